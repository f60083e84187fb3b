//! The store that the nodes of a cluster share, on Redis or Valkey: what is asked of it ([`calls::SharedStore`]), the scripts that its
//! servers execute (`scripts/*.lua`), and the client around them ([`client::RedisStore`]). It says what came of each call, and
//! above all whether the call was executed. It never decides, and knows no users' rules, no membership and no cache.
//!
//! Each call may be made any number of times, late and doubled, with the effect of one. What may come of it:
//!
//! | what servers say | outcome | who goes on |
//! | --- | --- | --- |
//! | OK, and WAIT gives n | `Ok(Vouched { copies: n })` | the caller: with too few copies it makes the same call again, which waits again |
//! | NOREPLICAS, OOM, MISCONF, LOADING, CLUSTERDOWN, TRYAGAIN, BUSY, NOAUTH, WRONGPASS, NOPERM; no connection | `NotExecuted` | the caller, later |
//! | MOVED, ASK, READONLY, MASTERDOWN, NOSCRIPT | none | the client sends it on, up to 4 times; then `NotExecuted` |
//! | connection lost, time-out, an error of WAIT, any other error | `Unknown` | the caller makes the same call again until it is known |
//! | BEHIND, FENCED | `Behind`, `Fenced` | the caller |

pub mod outcome;
pub mod seen;
pub mod outbox;
pub mod keys;
pub mod calls;
pub mod address;
pub mod settings;
mod scripts;
mod packing;
mod requests;
mod outbox_requests;
mod heard;
mod decoding;
mod link;
mod slots;
mod topology;
mod rounds;
pub mod client;
pub mod check;
