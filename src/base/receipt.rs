//! What goes with a notice and is dropped when the notice was taken: so whoever sent it learns when that is true, without an
//! answer. Carries nothing.

use std::convert::Infallible;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};

/// The taker's half: to drop it says that the notice was taken, or that there is nobody any more who could take it.
#[derive(Debug, Clone, Default)]
pub struct Receipt {
    /// Nothing is ever sent.
    _sender: Option<Sender<Infallible>>,
}

/// The sender's half. Clones wait for the same.
#[derive(Debug, Clone)]
pub struct Receipts(Receiver<Infallible>);

/// Of notices it is what they say that counts.
impl PartialEq for Receipt {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Receipt {}

impl Receipt {
    /// A receipt, to be cloned for each notice and dropped, and what waits for all of them.
    #[must_use]
    pub fn new() -> (Self, Receipts) {
        let (sender, receiver) = bounded(0);
        let receipt = Self {
            _sender: Some(sender),
        };
        (receipt, Receipts(receiver))
    }

    /// For a letter of which nobody wants to know.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }
}

impl Receipts {
    /// Waits until all notices were taken, at most this long. Gives whether they were.
    #[must_use]
    pub fn wait(&self, within: Duration) -> bool {
        match self.0.recv_timeout(within) {
            Ok(nothing) => match nothing {},
            Err(RecvTimeoutError::Disconnected) => true,
            Err(RecvTimeoutError::Timeout) => false,
        }
    }

    /// Whether all notices were taken.
    #[must_use]
    pub fn are_in(&self) -> bool {
        match self.0.try_recv() {
            Ok(nothing) => match nothing {},
            Err(TryRecvError::Disconnected) => true,
            Err(TryRecvError::Empty) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_notices_are_waited_for() {
        let (receipt, receipts) = Receipt::new();
        let other = receipt.clone();
        drop(receipt);
        assert!(!receipts.are_in() && !receipts.wait(Duration::ZERO));
        drop(other);
        assert!(receipts.wait(Duration::MAX) && receipts.are_in());
    }
}
