//! What pages of lines have in common: the parameters that ask for one, the header that says where the next begins, and how long a
//! follower waits. Reads nothing of what is on them.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderName;

use crate::services::http::refusal::JsonRefusal;
use crate::services::http::server::url;

/// What to send as `after` for the next page.
pub(super) const NEXT: HeaderName = HeaderName::from_static("holdfast-next");

/// How long a follower waits for news if it does not say, and at most: proxies end what is silent for a minute.
const WAIT_S: u64 = 30;
const WAIT_S_MAX: u64 = 55;

/// Once there is news, others are waited for this long: a follower of a busy stream gets pages, not single lines.
pub(super) const GATHER: Duration = Duration::from_millis(10);

/// How long a follower waits for news.
pub(super) fn wait(query: &str) -> Result<Duration, JsonRefusal> {
    let wait_s = number(query, "wait_s")?.unwrap_or(WAIT_S);
    Ok(Duration::from_secs(wait_s.min(WAIT_S_MAX)))
}

/// A parameter of the query.
pub(super) fn parameter(query: &str, name: &str) -> Result<Option<String>, JsonRefusal> {
    let value = url::parameter(query, name).map(|value| value.map(std::borrow::Cow::into_owned));
    value.map_err(|_| bad(format!("{name} cannot be decoded")))
}

/// A parameter that is a number.
pub(super) fn number(query: &str, name: &str) -> Result<Option<u64>, JsonRefusal> {
    let number = parameter(query, name)?.map(|text| text.parse());
    let number = number.transpose();
    number.map_err(|_| bad(format!("{name} is not a number")))
}

fn bad(text: String) -> JsonRefusal {
    JsonRefusal::new(StatusCode::BAD_REQUEST, text)
}
