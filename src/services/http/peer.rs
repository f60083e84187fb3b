//! Who is at the other end of a connection: its address, its place, and whether it still sends. Knows no request.

use std::net::IpAddr;
use std::rc::Rc;

use tokio::net::TcpStream;

use super::places::Place;

/// Which listener a connection came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The backend's.
    Backend,
    /// The operator's.
    Admin,
}

impl Side {
    /// As metrics name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Backend => "http",
            Self::Admin => "admin",
        }
    }
}

/// The other end of a connection.
pub(super) struct Peer {
    pub(super) side: Side,
    /// Where it comes from.
    pub(super) address: IpAddr,
    /// The address of this machine that it came to; `None` if the system does not say.
    pub(super) reached: Option<IpAddr>,
    pub(super) place: Rc<Place>,
    pub(super) stream: Rc<TcpStream>,
}

impl Peer {
    /// Ends when the peer sends nothing more. It may be gone, or only have closed its half and wait for its answer: the
    /// system does not tell one from the other.
    pub(super) async fn has_sent_all(&self) {
        if let Ok(1..) = self.stream.peek(&mut [0]).await {
            // The next request is there already: whoever sent it is, too.
            std::future::pending::<()>().await;
        }
    }
}
