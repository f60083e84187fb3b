//! The registry of a node whose store is shared with other nodes.

mod batch_codec;
