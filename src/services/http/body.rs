//! The body of a request: read within limits, or thrown away within the same.

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};

use super::Limits;

/// Why a request's body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFault {
    /// It has more bytes than the limit.
    TooLarge,
    /// It took too long.
    Late,
    /// The connection broke, or it is no HTTP.
    Broken,
}

/// The whole body. One that says that it is too large is not begun.
pub(super) async fn read(body: Incoming, limits: &Limits) -> Result<Bytes, BodyFault> {
    let body = within(body, limits)?.collect();
    match tokio::time::timeout(limits.body_read_max, body).await {
        Ok(body) => body
            .map(|body| body.to_bytes())
            .map_err(|error| fault_of(&*error)),
        Err(_) => Err(BodyFault::Late),
    }
}

/// Reads the body to its end, and keeps nothing, so that the connection can go on.
pub(super) async fn discard(body: Incoming, limits: &Limits) -> Result<(), BodyFault> {
    let mut body = within(body, limits)?;
    let discard = async {
        while let Some(frame) = body.frame().await {
            frame.map_err(|error| fault_of(&*error))?;
        }
        Ok(())
    };
    let discarded = tokio::time::timeout(limits.body_read_max, discard).await;
    discarded.unwrap_or(Err(BodyFault::Late))
}

fn within(body: Incoming, limits: &Limits) -> Result<Limited<Incoming>, BodyFault> {
    let bytes_max = limits.body_bytes_max;
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(BodyFault::TooLarge);
    }
    Ok(Limited::new(body, bytes_max))
}

fn fault_of(error: &(dyn std::error::Error + Send + Sync + 'static)) -> BodyFault {
    if error.is::<LengthLimitError>() {
        BodyFault::TooLarge
    } else {
        BodyFault::Broken
    }
}
