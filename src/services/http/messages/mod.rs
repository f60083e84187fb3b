//! Messages from the app's backend to devices: what is asked, who waits for what becomes of it, and what is told. Knows no caller.

mod answer;
mod fields;
mod order;
mod repeats;
mod under_way;

pub(super) use answer::{line, results};
pub(super) use fields::Wrong;
pub(super) use order::{SendRequest, TTL_S_MAX, read};
pub(super) use repeats::{Repeat, Repeats};
pub(super) use under_way::{Messages, OutcomePlace, id_of};
