//! What the backend's requests share: what every request does, and what was found of callers.

use std::cell::RefCell;
use std::rc::Rc;

use hashbrown::HashMap;

use crate::base::ids::UserId;
use crate::base::time::Instant;
use crate::protocol::usersig::Verifier;
use crate::services::http::messages::Repeats;
use crate::services::http::state::HttpState;

/// What the backend's requests share.
pub(crate) struct BackendState {
    pub(super) http: Rc<HttpState>,
    pub(super) verifier: RefCell<Verifier>,
    /// Of administrators the Unix second of the last kick, and when that was asked.
    pub(super) kicks: RefCell<HashMap<UserId, (u64, Instant)>>,
    /// Messages that were sent a moment ago.
    pub(super) repeats: Repeats,
}

impl BackendState {
    pub(crate) fn new(http: Rc<HttpState>) -> Self {
        Self {
            http,
            verifier: RefCell::default(),
            kicks: RefCell::default(),
            repeats: Repeats::default(),
        }
    }
}
