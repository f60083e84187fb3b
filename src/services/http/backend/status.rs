//! A status query: what was found of the users, as the dialect has it.

use crate::services::http::backend::codes::Failure;
use crate::services::http::backend::query::Query;
use crate::services::http::backend::reply::Statuses;
use crate::services::http::backend::state::BackendState;
use crate::services::http::homes::UserHome;
use crate::services::http::statuses::{self, FoundStatus};

/// The whole answer to a query.
pub(super) async fn answer(state: &BackendState, query: &Query) -> Result<Vec<u8>, Failure> {
    let mut answer = Statuses::new(query.users.len(), query.detail);
    if !query.users.is_empty() {
        let pending = &state.http.pending;
        let now = pending.homes();
        let homes: Vec<UserHome> = query.users.iter().map(|user| now.of(user)).collect();
        let asked = (&query.users[..], query.detail.depth());
        let found = statuses::ask(pending, asked, (&now, &homes), |user, found| match found {
            FoundStatus::Brief(status) => answer.put_brief(user, status),
            FoundStatus::Full(status) => answer.put(user, status),
        });
        found.await.map_err(Failure::of_no_reply)?;
    }
    query.nobodies.iter().for_each(|text| answer.put_nobody(text));
    Ok(answer.finish())
}
