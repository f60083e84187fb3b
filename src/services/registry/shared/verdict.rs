//! What the outcome of a batch means for whoever sent it. Pure: a table.

use crate::services::registry::shared::settings::{DeskFigures, DeskSettings};
use crate::services::shared_store::outcome::{Outcome, Refusal, SharedStoreError, Vouched};
use crate::services::shared_store::settings::CopiesMissing;

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BatchVerdict {
    /// It is in as many copies as wanted; the store's last change is this one.
    Confirmed(u64),
    /// It may be there, or may yet come there: the same again.
    Doubtful(String),
    /// This sending was not executed.
    Refused(Refusal, String),
    /// This sending was not executed: the store's last change is this one.
    Behind(u64),
    /// This sending was not executed: somebody says that another owns the partition.
    Fenced,
}

/// Whether so many copies are enough to go on with.
pub(super) fn are_enough(copies: u16, settings: &DeskSettings) -> bool {
    copies >= settings.copies || settings.copies_missing == CopiesMissing::GoOn
}

/// Judges an outcome.
pub(super) fn judge(
    outcome: Outcome<Vouched<u64>>,
    settings: &DeskSettings,
    figures: &mut DeskFigures,
) -> BatchVerdict {
    let (figure, verdict) = match outcome {
        Ok(Vouched { answer, copies }) if copies >= settings.copies => {
            return BatchVerdict::Confirmed(answer);
        }
        Ok(Vouched { answer, copies }) if are_enough(copies, settings) => {
            (&mut figures.copies_missing, BatchVerdict::Confirmed(answer))
        }
        Ok(Vouched { copies, .. }) => {
            let why = format!("it is in {copies} copies");
            (&mut figures.copies_missing, BatchVerdict::Doubtful(why))
        }
        Err(SharedStoreError::NotExecuted { why, text }) => {
            (&mut figures.refused, BatchVerdict::Refused(why, text))
        }
        Err(SharedStoreError::Unknown(text)) => (&mut figures.unknown, BatchVerdict::Doubtful(text)),
        Err(SharedStoreError::Behind(place)) => (&mut figures.behind, BatchVerdict::Behind(place)),
        Err(SharedStoreError::Fenced(_)) => (&mut figures.fenced, BatchVerdict::Fenced),
    };
    *figure += 1;
    verdict
}
