//! The body of a request: read within limits, or thrown away within the same. Knows no command.

use std::cell::Cell;
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::services::http::limits::Limits;
use crate::services::http::sizes;

/// Why a request's body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// It has more bytes than this limit.
    TooLarge(usize),
    /// It took too long.
    Late,
    /// The bodies under way leave no room for it.
    NoRoom,
    /// The connection broke, or it is no HTTP.
    Broken,
}

/// A body that was read. It takes its share of the room of all until it is dropped.
pub(crate) struct ReadBody<'a> {
    pub(crate) bytes: Bytes,
    _share: SemaphorePermit<'a>,
}

/// The room of all bodies under way.
pub(crate) struct Bodies {
    /// In bytes.
    room: Semaphore,
    /// From the last header to the end of the body, the waiting for room included.
    within: Duration,
}

impl Bodies {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            room: Semaphore::new(limits.bodies_bytes_max),
            within: limits.body_read_max,
        }
    }

    /// The whole body. One that says that it is too large is not begun, and one that says nothing has room for as much as
    /// it may have.
    pub(crate) async fn read(&self, body: Incoming, bytes_max: usize) -> Result<ReadBody<'_>, BodyFault> {
        let said = body.size_hint().upper();
        let body = limited(body, bytes_max)?;
        let bytes = said.map_or(bytes_max, |bytes| usize::try_from(bytes).unwrap_or(bytes_max));
        let share = u32::try_from(bytes.min(bytes_max)).expect("no limit has 4 GiB");
        let late = Cell::new(BodyFault::NoRoom);
        let read = async {
            let share = self.room.acquire_many(share).await;
            let share = share.expect("the room is never closed");
            late.set(BodyFault::Late);
            let body = body.collect().await;
            let body = body.map_err(|error| fault_of(&*error, bytes_max))?;
            Ok(ReadBody {
                bytes: body.to_bytes(),
                _share: share,
            })
        };
        let read = tokio::time::timeout(self.within, read).await;
        read.unwrap_or_else(|_| Err(late.get()))
    }

    /// Reads the body to its end, and keeps nothing, so that the connection can go on.
    pub(crate) async fn discard(&self, body: Incoming) -> Result<(), BodyFault> {
        let mut body = limited(body, sizes::LARGEST)?;
        let discard = async {
            while let Some(frame) = body.frame().await {
                frame.map_err(|error| fault_of(&*error, sizes::LARGEST))?;
            }
            Ok(())
        };
        let discarded = tokio::time::timeout(self.within, discard).await;
        discarded.unwrap_or(Err(BodyFault::Late))
    }
}

fn limited(body: Incoming, bytes_max: usize) -> Result<Limited<Incoming>, BodyFault> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(BodyFault::TooLarge(bytes_max));
    }
    Ok(Limited::new(body, bytes_max))
}

fn fault_of(error: &(dyn std::error::Error + Send + Sync + 'static), bytes_max: usize) -> BodyFault {
    if error.is::<LengthLimitError>() {
        BodyFault::TooLarge(bytes_max)
    } else {
        BodyFault::Broken
    }
}
