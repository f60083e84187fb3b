//! TLS against rustls' own connections and against foreign programs. The gateway's end is the pure layer, over pipes in memory
//! or over a small server on loopback; nothing of a shard takes part.

mod world;
mod handshakes;
mod records;
mod differential;
mod certificates;
mod tickets;
mod terminals;
mod echo;
mod foreign;
