//! Whether the gateway can do its work: for probes of load balancers, as a metric, and for the service manager. Changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::services::http::counters::ShardCounters;
use crate::services::registry::health::RegistryHealth;

/// Whether the node serves: set by the node, shown by `/readyz`.
#[derive(Debug, Clone, Default)]
pub struct Serving(Arc<AtomicBool>);

impl Serving {
    /// From now on the listeners are open.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// From now on the node stops.
    pub fn end(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether it serves now.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Whether a gateway can do its work, by what its parts say of themselves.
///
/// # Errors
/// The reason why not, for people.
pub fn ready(serving: &Serving, registry: &RegistryHealth, counters: &ShardCounters) -> Result<(), String> {
    let retrying = counters.sum("commits_retrying_now");
    if !serving.is_on() {
        Err("the gateway is starting or stopping".to_owned())
    } else if let Some(since) = registry.failing_since() {
        Err(format!(
            "the registry can record nothing since {}",
            since.rfc3339()
        ))
    } else if retrying > 0 {
        Err(format!(
            "the registry cannot take the changes of {retrying} users"
        ))
    } else {
        Ok(())
    }
}
