//! One connection as the rules have it: what its bytes mean before, during and after the login.

use std::collections::VecDeque;

use crate::base::ids::{DeviceId, ShardId, UserId};
use crate::base::limits;
use crate::base::time::{Instant, millis};
use crate::protocol::native::proto::Code;
use crate::sim::shown::{Link, Said, Shown};
use crate::sim::terminal::{Item, Login, Sent};

use super::Model;
use super::user::{Busy, Came, Decision, Event};

#[derive(Debug, Clone)]
pub(crate) struct Conn {
    pub(crate) shard: ShardId,
    pub(crate) phase: Phase,
    /// What the terminal sent and nobody has looked at yet.
    pub(crate) sent: VecDeque<Sent>,
    /// Bytes that have reached the gateway, and those of them that were looked at.
    pub(crate) delivered: usize,
    pub(crate) consumed: usize,
    pub(super) whose: Whose,
    opened: Instant,
}

/// Whose a connection is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Clients,
    /// Of a proxy that has not said for whom it connected. No limit counts it.
    Proxys,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Greeting,
    /// On its way to this home.
    Moving(UserId, DeviceId),
    /// Its login waits, or is with the registry.
    Waiting(UserId, DeviceId),
    Live(UserId, DeviceId),
    LoggingOut,
    /// Closed by either side: nothing reaches it, nothing of it counts.
    Gone,
}

/// What the next bytes of a connection are.
enum Next {
    Nothing,
    TooLarge,
    Malformed,
    Whole(Item),
}

impl Model {
    pub(crate) fn opened(&mut self, link: Link, shard: ShardId, whose: Whose) {
        let conn = Conn {
            shard,
            phase: Phase::Greeting,
            sent: VecDeque::new(),
            delivered: 0,
            consumed: 0,
            whose,
            opened: self.now.instant,
        };
        self.links.insert(link, conn);
        if whose == Whose::Clients {
            self.enter(link);
        }
    }

    /// A proxy has said for whom it connected.
    pub(crate) fn client_known(&mut self, link: Link) {
        self.conn(link).whose = Whose::Clients;
        self.enter(link);
    }

    fn enter(&mut self, link: Link) {
        if !self.may_enter(self.links[&link].shard, link) {
            self.fail(link, Code::AddressLimit);
        }
    }

    /// The terminal does without the TLS that its listener wants.
    pub(crate) fn skipped(&mut self, link: Link) {
        self.fail(link, Code::TlsFirst);
    }

    /// The terminal shows that it lives, without a packet.
    pub(crate) fn alive(&mut self, link: Link) {
        if let Phase::Live(user, device) = self.links[&link].phase {
            self.heard(link, user, device);
        }
    }

    /// The terminal put something on its way; nothing of it has arrived.
    pub(crate) fn sent(&mut self, link: Link, sent: Sent) {
        self.conn(link).sent.push_back(sent);
    }

    pub(crate) fn received(&mut self, link: Link, bytes: usize) {
        self.conn(link).delivered += bytes;
        let shard = self.conn(link).shard;
        self.read(link);
        self.go_on(shard);
    }

    /// The move could not be made.
    pub(crate) fn stayed(&mut self, link: Link) {
        // Whose home has no room is what counts, not where the login came in.
        self.turn_down(link, Code::Busy, None);
    }

    pub(crate) fn arrived(&mut self, link: Link, login: Login) {
        let user = login.user;
        let home = user.home(self.shards);
        self.conn(link).shard = home;
        if !self.may_enter(home, link) {
            return self.turn_down(link, Code::AddressLimit, None);
        }
        self.join(link, login);
        self.read(link);
        self.go_on_with(user);
    }

    /// The link ended by the terminal or the network.
    pub(crate) fn closed(&mut self, link: Link) {
        let shard = self.conn(link).shard;
        self.lose(link);
        self.go_on(shard);
    }

    pub(super) fn conn(&mut self, link: Link) -> &mut Conn {
        self.links.get_mut(&link).expect("a link of the world")
    }

    pub(crate) fn is_gone(&self, link: Link) -> bool {
        self.links.get(&link).is_none_or(|conn| conn.phase == Phase::Gone)
    }

    pub(crate) fn is_live(&self, link: Link) -> bool {
        let conn = self.links.get(&link);
        conn.is_some_and(|conn| matches!(conn.phase, Phase::Live(..)))
    }

    pub(super) fn is_logging_out(&self, link: Link) -> bool {
        self.links
            .get(&link)
            .is_some_and(|conn| conn.phase == Phase::LoggingOut)
    }

    /// Nothing reaches this connection any more; its user learns it in turn.
    fn lose(&mut self, link: Link) {
        let logs_out = self.links[&link].logs_out();
        let phase = std::mem::replace(&mut self.conn(link).phase, Phase::Gone);
        match phase {
            Phase::Live(user, device) => self.user(user).queue.push_back(Event::LinkEnd(link, device)),
            // The login goes on, as if the link had ended behind the logout.
            Phase::Waiting(..) if logs_out => _ = self.logged_out.insert(link),
            Phase::Waiting(user, device) => {
                let user = self.user(user);
                let deciding = matches!(&user.busy, Busy::Committing { decision: Decision::Login { link: of, .. }, .. } if *of == link);
                if deciding {
                    user.queue.push_back(Event::LinkEnd(link, device));
                }
            }
            Phase::Greeting | Phase::Moving(..) | Phase::LoggingOut | Phase::Gone => {}
        }
    }

    pub(super) fn say(&mut self, link: Link, said: Said) {
        if !self.is_gone(link) {
            self.out.push(Shown::Said(link, said));
        }
    }

    /// Closes without more words; its device knows.
    pub(super) fn hang_up(&mut self, link: Link) {
        if !self.is_gone(link) {
            self.out.push(Shown::Closed(link));
            self.conn(link).phase = Phase::Gone;
        }
    }

    pub(super) fn refuse(&mut self, link: Link, code: Code, winner: Option<crate::base::ids::Platform>) {
        // Only lack of room with the registry: what a user is refused for is nobody else's affair.
        if code == Code::Busy {
            let shard = self.links[&link].shard;
            self.pause_grace(shard);
        }
        self.turn_down(link, code, winner);
    }

    fn turn_down(&mut self, link: Link, code: Code, winner: Option<crate::base::ids::Platform>) {
        self.say(link, Said::Refused { code, winner });
        self.hang_up(link);
    }

    /// The terminal did something wrong.
    fn fail(&mut self, link: Link, code: Code) {
        self.say(link, Said::Error(code));
        self.out.push(Shown::Closed(link));
        self.lose(link);
    }

    pub(super) fn close_late_logins(&mut self, shard: ShardId) {
        self.links.retain(|_, conn| conn.phase != Phase::Gone);
        let deadline = millis(self.settings.login_deadline);
        let now = self.now.instant.0;
        let late = self.links.iter().filter(|(_, conn)| {
            conn.phase == Phase::Greeting && conn.shard == shard && conn.opened.0 + deadline <= now
        });
        let late: Vec<Link> = late.map(|(link, _)| *link).collect();
        for link in late {
            self.fail(link, Code::LoginTooLate);
        }
    }

    /// Looks at what has arrived, as far as it may be looked at now.
    pub(super) fn read(&mut self, link: Link) {
        loop {
            let conn = &self.links[&link];
            match conn.phase {
                Phase::Greeting => {
                    let next = self.conn(link).next(limits::FRAME_BYTES_MAX_BEFORE_LOGIN);
                    match next {
                        Next::Nothing => return,
                        Next::TooLarge => self.fail(link, Code::FrameTooLarge),
                        Next::Malformed => self.fail(link, Code::Malformed),
                        Next::Whole(Item::Login(login)) => self.greet(link, *login),
                        Next::Whole(Item::BadPacket) => self.fail(link, Code::Malformed),
                        Next::Whole(_) => self.fail(link, Code::LoginFirst),
                    }
                }
                Phase::Waiting(..) => {
                    if conn.delivered - conn.consumed > limits::EAGER_BYTES_MAX {
                        self.fail(link, Code::TooEager);
                    }
                    return;
                }
                Phase::Live(user, device) => {
                    let next = self.conn(link).next(limits::FRAME_BYTES_MAX_AFTER_LOGIN);
                    match next {
                        Next::Nothing => return,
                        Next::TooLarge => self.fail(link, Code::FrameTooLarge),
                        Next::Malformed => self.fail(link, Code::Malformed),
                        Next::Whole(item) => self.take(link, user, device, &item),
                    }
                }
                Phase::Moving(..) | Phase::LoggingOut | Phase::Gone => return,
            }
        }
    }

    /// One frame of a terminal that is logged in.
    fn take(&mut self, link: Link, user: UserId, device: DeviceId, item: &Item) {
        self.heard(link, user, device);
        match item {
            Item::Heartbeat | Item::Big => self.say(link, Said::HeartbeatAnswer),
            Item::Background(background) => {
                let known = self.user(user).devices.get_mut(&device);
                if let Some(known) = known.filter(|known| known.link == Some(link)) {
                    known.background = *background;
                }
            }
            Item::Ack(ids, _) if ids.len() > limits::ACK_IDS_MAX => self.fail(link, Code::AckInvalid),
            Item::Ack(..) | Item::Unknown => {}
            Item::Logout => {
                self.conn(link).phase = Phase::LoggingOut;
                self.user(user).queue.push_back(Event::Logout(link, device));
            }
            Item::Login(_) => self.fail(link, Code::AlreadyLoggedIn),
            Item::BadPacket => self.fail(link, Code::Malformed),
            Item::BadLength | Item::TooLarge => unreachable!("not whole"),
        }
    }

    fn heard(&mut self, link: Link, user: UserId, device: DeviceId) {
        let now = self.now.instant;
        let known = self.user(user).devices.get_mut(&device);
        if let Some(known) = known.filter(|known| known.link == Some(link)) {
            known.heard = now;
        }
    }

    /// The first packet of a connection is a login.
    fn greet(&mut self, link: Link, login: Login) {
        let shard = self.links[&link].shard;
        if self.has_failed_too_often(shard, link) {
            return self.refuse(link, Code::AddressLimit, None);
        }
        if let Some(code) = login.fault {
            self.note_failed(shard, link, code);
            self.refuse(link, code, None);
            return;
        }
        let home = login.user.home(self.shards);
        if home == self.links[&link].shard {
            self.join(link, login);
        } else {
            self.conn(link).phase = Phase::Moving(login.user, login.device);
            self.out.push(Shown::Moved(link, home));
        }
    }

    /// The login is at its user's home.
    fn join(&mut self, link: Link, login: Login) {
        let id = login.user;
        let is_login = |event: &&Event| matches!(event, Event::Login(..));
        let crowd = self.user(id).undecided().filter(is_login).count();
        if crowd >= self.settings.capacities.logins_waiting {
            self.refuse(link, Code::UserLimit, None);
            return;
        }
        let idle = matches!(self.user(id).busy, Busy::Idle) && self.user(id).queue.is_empty();
        let came = if idle { Came::ToTheDoor } else { Came::Inside };
        self.conn(link).phase = Phase::Waiting(id, login.device);
        self.user(id)
            .queue
            .push_back(Event::Login(link, Box::new(login), came));
    }
}

impl Conn {
    /// Whether a logout has arrived that is read as soon as the login is answered.
    pub(super) fn logs_out(&self) -> bool {
        let arrived = self.delivered.min(self.consumed + limits::EAGER_BYTES_MAX);
        let whole = self.sent.iter().take_while(|sent| sent.end <= arrived);
        let mut frames = whole.map(|sent| &sent.item).skip_while(|item| match item {
            Item::Heartbeat | Item::Background(_) | Item::Unknown | Item::Big => true,
            Item::Ack(ids, _) => ids.len() <= limits::ACK_IDS_MAX,
            Item::Logout | Item::Login(_) => false,
            Item::TooLarge | Item::BadLength | Item::BadPacket => false,
        });
        frames.next() == Some(&Item::Logout)
    }

    fn next(&mut self, limit: usize) -> Next {
        let Some(sent) = self.sent.front() else {
            return Next::Nothing;
        };
        let too_large = match sent.item {
            Item::TooLarge => true,
            Item::Big => limit == limits::FRAME_BYTES_MAX_BEFORE_LOGIN,
            Item::Login(_) | Item::Heartbeat | Item::Logout | Item::Background(_) | Item::Unknown => false,
            Item::BadLength | Item::BadPacket | Item::Ack(..) => false,
        };
        if too_large && self.delivered >= sent.header_end {
            return Next::TooLarge;
        }
        if self.delivered < sent.end {
            return Next::Nothing;
        }
        let sent = self.sent.pop_front().expect("it was just seen");
        self.consumed = sent.end;
        match sent.item {
            Item::BadLength => Next::Malformed,
            item @ (Item::Login(_) | Item::Heartbeat | Item::Logout | Item::Background(_)) => {
                Next::Whole(item)
            }
            item @ (Item::Unknown | Item::Ack(..) | Item::Big | Item::BadPacket) => Next::Whole(item),
            Item::TooLarge => unreachable!("seen by its header"),
        }
    }
}
