//! What the operator's requests share: what every request does, the store's readers, the callbacks and the reload.

use std::rc::Rc;
use std::sync::Arc;

use crossbeam_channel::Sender;
use tokio::sync::Semaphore;

use crate::services::cluster::event::Order;
use crate::services::http::admin::dead_letters::DeadLetters;
use crate::services::http::admin::readers::StoreReaders;
use crate::services::http::admin::reload::ReloadHandler;
use crate::services::http::metrics::MetricSources;
use crate::services::http::state::HttpState;

/// What the operator's requests share.
pub(crate) struct AdminState {
    pub(crate) http: Rc<HttpState>,
    /// All requests but those for its health.
    pub(crate) requests: Semaphore,
    pub(crate) metrics: MetricSources,
    pub(crate) readers: StoreReaders,
    /// `None` if there is nobody who sends callbacks.
    pub(crate) callbacks: Option<Arc<dyn DeadLetters>>,
    pub(crate) reload: Arc<dyn ReloadHandler>,
    /// One at a time, as each may read the whole archive.
    pub(crate) reloads: Arc<Semaphore>,
    /// What is wanted of the node's part in its cluster; `None` without one.
    pub(crate) orders: Option<Sender<Order>>,
}
