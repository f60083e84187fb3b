//! HTTP/1.1 below its commands: connections and their limits, who may ask at all, bodies, content codings, URLs. Knows no command
//! and no user.

pub(crate) mod access;
pub(crate) mod asset;
pub(crate) mod body;
pub(crate) mod encoding;
pub(crate) mod listener;
pub(crate) mod peer;
pub(crate) mod slots;
mod stream;
pub(crate) mod throttle;
pub(crate) mod url;
