//! The REST interface of the app's backend, in the dialect of Tencent Cloud IM.

mod accounts;
mod caller;
pub(crate) mod codes;
pub(crate) mod commands;
mod messages;
mod outcomes;
pub(crate) mod pages;
mod query;
mod reply;
mod state;
mod status;

pub(crate) use commands::answer;
pub(crate) use state::BackendState;
