//! The operator's REST interface: a page for browsers, health, metrics, users, changes, callbacks, kicks and reloads.

mod callbacks;
mod cluster;
mod commands;
pub(crate) mod cursor;
mod dead_letters;
mod history;
mod inspect;
mod lanes;
mod lines;
mod page;
pub(crate) mod pages;
mod readers;
mod reload;
mod state;
mod user_list;

pub use dead_letters::{CallbackStatus, DeadLetters, DeadSelection};
pub(crate) use pages::answer;
pub use readers::Archived;
pub(crate) use readers::StoreReaders;
pub use reload::{ReloadAsked, ReloadCaller, ReloadError, ReloadHandler, ReloadMode, Reloaded, Touched};
pub(crate) use state::AdminState;
