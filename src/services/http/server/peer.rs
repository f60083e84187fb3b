//! Who is at the other end of a connection: its address, its slot, and whether it still sends. Knows no request.

use std::net::IpAddr;
use std::rc::Rc;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Duration, sleep};

use crate::services::http::server::slots::ConnectionSlot;

/// Which listener a connection came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListenerKind {
    /// The backend's.
    Backend,
    /// The operator's.
    Admin,
    /// That of browsers, which nobody has to prove anything at.
    Web,
}

impl ListenerKind {
    pub(crate) const ALL: [Self; 3] = [Self::Backend, Self::Admin, Self::Web];

    /// Those that refuse requests for who sent them.
    pub(crate) const GUARDED: [Self; 2] = [Self::Backend, Self::Admin];

    /// As metrics name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Backend => "http",
            Self::Admin => "admin",
            Self::Web => "web",
        }
    }
}

/// How often the end is looked for behind bytes that nobody reads yet.
const END_EVERY: Duration = Duration::from_secs(1);

/// The other end of a connection.
pub(crate) struct HttpPeer {
    pub(crate) listener: ListenerKind,
    /// Where it comes from.
    pub(crate) address: IpAddr,
    /// The address of this machine that it came to; `None` if the system does not say.
    pub(crate) reached: Option<IpAddr>,
    pub(crate) slot: Rc<ConnectionSlot>,
    pub(crate) stream: Rc<TcpStream>,
}

impl HttpPeer {
    /// Ends when the peer sends nothing more. It may be gone, or only have closed its half and wait for its answer: the
    /// system does not tell one from the other.
    pub(crate) async fn has_sent_all(&self) {
        // The next request may be there already, or the last word of TLS: whether the end is behind it, only the system knows.
        while let Ok(1..) = self.stream.peek(&mut [0]).await {
            match self.stream.ready(Interest::READABLE).await {
                Ok(ready) if !ready.is_read_closed() => sleep(END_EVERY).await,
                Ok(_) | Err(_) => return,
            }
        }
    }
}
