//! What all requests share, whatever they ask for, on the HTTP server's one thread. Knows no command.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::base::histogram::Histogram;
use crate::base::time::{Clock, Now};
use crate::services::http::counters::ShardCounters;
use crate::services::http::limits::Limits;
use crate::services::http::messages::Messages;
use crate::services::http::pending::PendingRequests;
use crate::services::http::readiness::{Serving, ready};
use crate::services::http::server::body::Bodies;
use crate::services::http::server::peer::{HttpPeer, ListenerKind};
use crate::services::http::server::slots::ConnectionSlots;
use crate::services::http::server::throttle::{FailureThrottle, RefusalReason, ThrottleVerdict};
use crate::services::http::settings::HttpSettings;
use crate::services::registry::health::RegistryHealth;

/// What all requests share.
pub(super) struct HttpState {
    pub(super) settings: watch::Receiver<Arc<HttpSettings>>,
    pub(super) limits: Limits,
    pub(super) pending: PendingRequests,
    pub(super) messages: Messages,
    pub(super) bodies: Bodies,
    pub(super) backend_slots: Rc<ConnectionSlots>,
    pub(super) admin_slots: Rc<ConnectionSlots>,
    pub(super) web_slots: Rc<ConnectionSlots>,
    pub(super) throttle: FailureThrottle,
    pub(super) counters: ShardCounters,
    pub(super) registry: RegistryHealth,
    /// How long status queries took.
    pub(super) query_times: RefCell<Histogram>,
    pub(super) clock: RefCell<Clock>,
    pub(super) serving: Serving,
    /// How long the end may take, once there is to be one.
    pub(super) stopped: watch::Receiver<Option<Duration>>,
}

impl HttpState {
    /// See [`ready`].
    pub(super) fn ready(&self) -> Result<(), String> {
        ready(&self.serving, &self.registry, &self.counters)
    }

    /// What counts now.
    pub(super) fn settings(&self) -> Arc<HttpSettings> {
        Arc::clone(&self.settings.borrow())
    }

    pub(super) fn now(&self) -> Now {
        self.clock.borrow_mut().now()
    }

    pub(super) fn slots(&self, listener: ListenerKind) -> &Rc<ConnectionSlots> {
        match listener {
            ListenerKind::Backend => &self.backend_slots,
            ListenerKind::Admin => &self.admin_slots,
            ListenerKind::Web => &self.web_slots,
        }
    }

    /// Counts a request that is refused for who sent it. If it is one too many this waits: its answer is not urgent.
    pub(super) async fn count_failure(&self, peer: &HttpPeer, reason: RefusalReason) -> ThrottleVerdict {
        let now = self.now().instant;
        let verdict = self.throttle.count(now, peer.listener, peer.address, reason);
        if verdict == ThrottleVerdict::Over {
            tokio::time::sleep(self.limits.refusal_delay).await;
        }
        verdict
    }
}
