//! The store's files as bytes: what can be checked and read of them without the database, which opens nothing that is
//! damaged and removes what it does not know. Never writes, but for the manifest of a keyspace.
//!
//! | file | what it is | checked by |
//! | --- | --- | --- |
//! | `version` | the database's format | its text |
//! | `<n>.jnl` | a journal: batches that may not be in tables yet | a checksum for each batch |
//! | `keyspaces/<id>/current` | which manifest counts | it names the manifest's checksum |
//! | `keyspaces/<id>/v<n>` | a manifest: the tables of a keyspace, by levels | the checksum in `current` |
//! | `keyspaces/<id>/tables/<n>` | a table: blocks in the order of their keys | a checksum for each block, and for the table of contents |

mod archive;
pub(super) mod bytes;
pub(super) mod journal;
pub(super) mod manifest;
pub(super) mod table;
