//! Whether the gateway can do its work: for probes of load balancers, as a metric, and for the service manager. Changes nothing.

use super::{CountersView, Serving, inspect};
use crate::services::registry::Vitals;

/// Whether a gateway can do its work, by what its parts say of themselves.
///
/// # Errors
/// The reason why not, for people.
pub fn ready(serving: &Serving, vitals: &Vitals, counters: &CountersView) -> Result<(), String> {
    let retrying = counters.sum("commits_retrying_now");
    if !serving.is_on() {
        Err("the gateway is starting or stopping".to_owned())
    } else if let Some(since) = vitals.failing_since() {
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
