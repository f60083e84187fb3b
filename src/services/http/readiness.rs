//! Whether the gateway can do its work: for probes of load balancers, and as a metric. Changes nothing.

use super::{Desk, inspect};

/// `Err` with the reason, for people, if it cannot.
pub(super) fn ready(desk: &Desk) -> Result<(), String> {
    let retrying = desk.counters.sum("commits_retrying_now");
    if !desk.serving.is_on() {
        Err("the gateway is starting or stopping".to_owned())
    } else if let Some(since) = desk.vitals.failing_since() {
        Err(format!(
            "the registry can record nothing since {}",
            inspect::time(since)
        ))
    } else if retrying > 0 {
        Err(format!(
            "the registry cannot take the changes of {retrying} users"
        ))
    } else {
        Ok(())
    }
}
