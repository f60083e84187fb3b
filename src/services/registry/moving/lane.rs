//! Everything of a lane, one after the other, for what may fail.

use std::ops::ControlFlow;

use crate::base::ids::UserId;
use crate::services::registry::archive::Position;
use crate::services::registry::codec::{ChainedChange, StoredRecord};
use crate::services::registry::moved_lane::MovedLane;
use crate::services::registry::moving::fault::MoveError;

/// Batches of a page, where one lane is read after the other.
const PAGE_BATCHES: u32 = 256;

/// Hands over all changes of a lane in their order.
pub(super) fn every_change(
    lane: &dyn MovedLane,
    take: &mut dyn FnMut(Position, ChainedChange) -> Result<(), MoveError>,
) -> Result<(), MoveError> {
    let mut after = lane.pruned()?;
    loop {
        let page = lane.page(after, PAGE_BATCHES)?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        after = *last;
        for (place, link) in page {
            take(place, link)?;
        }
    }
}

/// Hands over all users of a lane.
pub(super) fn every_user(
    lane: &dyn MovedLane,
    take: &mut dyn FnMut(UserId, StoredRecord) -> Result<(), MoveError>,
) -> Result<(), MoveError> {
    let mut came = Ok(());
    lane.all_users(&mut |user, known| {
        came = take(user, known);
        match came {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    came
}
