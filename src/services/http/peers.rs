//! What other nodes ask of this one: answered by its shards and its registry, as the app's backend is, and never passed on to a
//! third node.

use std::io;
use std::rc::Rc;

use tokio::net::TcpListener;
use tokio::task::spawn_local;

use crate::base::ids::{RequestId, UserId};
use crate::logic::delivery::{ToHttp, ToPeer, ToRegistry};
use crate::logic::message::SendOrder;
use crate::logic::user_status::{QueryDepth, StatusList, UserStatuses};
use crate::services::http::cluster_handles::ClusterHandles;
use crate::services::http::homes::UserHome;
use crate::services::http::pending::RequestPurpose;
use crate::services::http::state::HttpState;
use crate::services::http::statuses::{self, FoundStatus};
use crate::services::http::user_request::UserRequest;
use crate::services::peers::{AnswersPeers, EndsWith, PeersDoor};

/// Answers other nodes.
struct PeerAnswers(Rc<HttpState>);

/// Opens the doors for other nodes. They are open until what this gives is dropped.
pub(super) fn open(http: &Rc<HttpState>, cluster: ClusterHandles) -> io::Result<Vec<EndsWith>> {
    let door = Rc::new(PeersDoor {
        identity: cluster.identity,
        exchange: cluster.exchange,
        answers: Rc::new(PeerAnswers(Rc::clone(http))),
    });
    let open = |listener: std::net::TcpListener| {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        Ok(EndsWith(spawn_local(Rc::clone(&door).run(listener))))
    };
    cluster.listeners.into_iter().map(open).collect()
}

impl AnswersPeers for PeerAnswers {
    async fn answer(&self, asked: ToPeer) -> Option<ToHttp> {
        match asked {
            ToPeer::Query(request, depth, users) => self.query(request, depth, users).await,
            ToPeer::Kick(_, user) => self.ask(RequestPurpose::Change, user, UserRequest::Kick).await,
            ToPeer::KickDevice(_, user, device) => {
                self.ask(RequestPurpose::Change, user, UserRequest::KickDevice(device))
                    .await
            }
            ToPeer::Delete(_, user) => self.ask(RequestPurpose::Change, user, UserRequest::Delete).await,
            ToPeer::Inspect(_, user) => self.ask(RequestPurpose::Read, user, UserRequest::Inspect).await,
            ToPeer::Accounts(_, ask, users) => {
                let now = self.0.pending.homes();
                if users.iter().any(|user| now.here(user) == UserHome::Nobody) {
                    return None;
                }
                let ask = |request| [ToRegistry::Accounts(request, ask, users).into()];
                self.0.pending.ask(RequestPurpose::Read, ask).await.ok()?.pop()
            }
            ToPeer::Send(request, order) => self.send(request, &order).await,
        }
    }
}

impl PeerAnswers {
    async fn ask(&self, purpose: RequestPurpose, user: UserId, what: UserRequest) -> Option<ToHttp> {
        let home = self.0.pending.homes().here(&user);
        let asked = self
            .0
            .pending
            .ask(purpose, |request| [what.to(home, request, user)]);
        asked.await.ok()?.pop()
    }

    async fn send(&self, request: RequestId, order: &SendOrder) -> Option<ToHttp> {
        let now = self.0.pending.homes();
        let homes = order.targets.iter().map(|target| now.here(&target.user));
        let homes: Vec<UserHome> = homes.collect();
        let sent = self.0.messages.send(&self.0.pending, order, (&now, &homes)).await;
        Some(ToHttp::Sent(request, sent.ok()?))
    }

    async fn query(&self, request: RequestId, depth: QueryDepth, users: Vec<UserId>) -> Option<ToHttp> {
        let now = self.0.pending.homes();
        let homes: Vec<UserHome> = users.iter().map(|user| now.here(user)).collect();
        let (mut brief, mut full) = (Vec::new(), Vec::new());
        let asked = statuses::ask(
            &self.0.pending,
            (&users, depth),
            (&now, &homes),
            |_, found| match found {
                FoundStatus::Brief(status) => brief.push(status),
                FoundStatus::Full(status) => full.push(status.clone()),
            },
        );
        asked.await.ok()?;
        let statuses = match depth {
            QueryDepth::Status => StatusList::Status(brief),
            QueryDepth::Devices => StatusList::Devices(full),
        };
        Some(ToHttp::Statuses(request, UserStatuses { users, statuses }))
    }
}
