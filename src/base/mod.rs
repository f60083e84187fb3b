//! Floor 0: the words and containers that every other floor uses. No I/O but the one clock call in `time`.

pub mod ids;
pub mod limits;
pub mod measured;
pub mod secret;
pub mod time;

pub mod arena;
pub mod counters;
pub mod credits;
pub mod histogram;
pub mod json;
pub mod packed;
pub mod receipt;
pub mod wheel;
