//! What browsers get: the client for web pages, and a page to try it. Knows no user.

mod files;

pub(super) use files::WebFiles;
