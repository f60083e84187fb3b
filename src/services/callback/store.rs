//! A lane of the registry's store as the callback service sees it.

use crate::services::registry::archive::Archive;
use crate::services::registry::outbox::Outbox;

/// A lane of a store as the callback service sees it.
pub trait CallbackStore: Archive + Outbox {}

impl<S: Archive + Outbox> CallbackStore for S {}

/// Changes that were not looked at for callbacks.
pub(super) fn behind(store: &dyn CallbackStore) -> u64 {
    let done = store.cursor().unwrap_or_default();
    store.last().0.saturating_sub(done.0)
}
