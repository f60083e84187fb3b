//! Terminals: they log in, beat, log out, go without a word, follow redirects, remember where they were sent, and come back. Each does
//! what it is told, and notes what it was told.

use super::super::cluster::group::Ms;
use super::super::terminal::{APP, SECRET};
use super::history::Told;
use super::process::{LinkEvent, LinkNumber, START, place_at};
use super::world::{Happening, Place, World};
use crate::base::ids::{DeviceId, InstanceId, PartitionId, Platform, ShardId, UserId};
use crate::protocol::native::proto::{self, Code, request, response};
use crate::protocol::native::terminal::{NextResponse, next, request};
use crate::protocol::packet::FEATURE_REDIRECT;
use crate::protocol::usersig;

pub(super) const BEAT_MS: Ms = 5_000;
/// A login that is not answered for so long is given up.
const ANSWER_MS: Ms = 3_000;
const REDIRECTS_MAX: u32 = 4;
const PLATFORMS: [Platform; 3] = [Platform::Android, Platform::Mac, Platform::Web];

/// A user.
pub(super) struct Person {
    pub(super) id: UserId,
    pub(super) partition: PartitionId,
    sig: String,
}

impl Person {
    pub(super) fn new(number: usize, partitions: u16) -> Self {
        let id = UserId::new(format!("user-{number}").as_bytes()).expect("it is a name");
        Self {
            id,
            partition: id.partition(partitions),
            sig: usersig::sign(START, APP, SECRET, &id, 86_400),
        }
    }
}

/// A device with its app.
pub(super) struct Terminal {
    pub(super) person: usize,
    pub(super) device: DeviceId,
    pub(super) wants: bool,
    /// Until then nobody wants it to be there.
    pub(super) away_until: Ms,
    /// The session of its last answer, if it is not over; 0 if there is none.
    pub(super) session: u64,
    /// Where it was sent.
    remembered: Option<usize>,
    redirects: u32,
    pub(super) link: Option<TerminalLink>,
    attempts: u64,
    /// Since when it has no link on which it is logged in.
    pub(super) lost: Option<Ms>,
    /// A login that it had given up has begun a session, of which it knows nothing.
    pub(super) is_replaced: bool,
}

/// A terminal's end of a connection.
pub(super) struct TerminalLink {
    pub(super) number: LinkNumber,
    pub(super) phase: LinkPhase,
    /// What was confirmed of the user when the login was sent.
    floor: u64,
    /// When it has sent a beat that is not answered.
    beat_at: Option<Ms>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkPhase {
    LoggingIn,
    Live,
    LoggingOut,
}

/// A connection between a terminal and a process.
pub(super) struct Link {
    pub(super) terminal: usize,
    pub(super) place: Place,
    pub(super) shard: ShardId,
    /// When the last of what was sent arrives.
    pub(super) up_at: Ms,
    pub(super) down_at: Ms,
    /// The process has closed it, or is gone.
    pub(super) is_gone: bool,
}

impl Terminal {
    /// All of so many users.
    pub(super) fn all(people: usize) -> Vec<Self> {
        let devices = |person| {
            (1..).zip(PLATFORMS).map(move |(instance, platform)| Self {
                person,
                device: DeviceId {
                    platform,
                    instance: InstanceId::new(instance).expect("it is above 0"),
                },
                wants: false,
                away_until: 0,
                session: 0,
                remembered: None,
                redirects: 0,
                link: None,
                attempts: 0,
                lost: None,
                is_replaced: false,
            })
        };
        (0..people).flat_map(devices).collect()
    }

    pub(super) fn is_live(&self) -> bool {
        self.link
            .as_ref()
            .is_some_and(|link| link.phase == LinkPhase::Live)
    }

    /// Its link has ended.
    fn lose(&mut self, now: Ms) -> Option<TerminalLink> {
        let link = self.link.take()?;
        if link.phase != LinkPhase::LoggingIn {
            self.lost = Some(now);
        }
        Some(link)
    }
}

impl World {
    pub(super) fn try_later(&mut self, terminal: usize, wait: Ms) {
        let known = &mut self.terminals[terminal];
        known.attempts += 1;
        let attempt = known.attempts;
        self.after(wait, Happening::Knock { terminal, attempt });
    }

    fn try_after_a_while(&mut self, terminal: usize) {
        self.terminals[terminal].redirects = 0;
        let wait = self.random.u64(200..1_800);
        self.try_later(terminal, wait);
    }

    pub(super) fn knock(&mut self, terminal: usize, attempt: u64) {
        let any = self.random.usize(0..self.hosts.len());
        let shard = ShardId(self.random.u16(0..self.plan.shards));
        let known = &mut self.terminals[terminal];
        if known.attempts != attempt || known.link.is_some() || !known.wants {
            return;
        }
        let host = known.remembered.take().unwrap_or(any);
        let Some(place) = self.place(host) else {
            return self.try_after_a_while(terminal);
        };
        let number = self.number();
        let link = Link {
            terminal,
            place,
            shard,
            up_at: self.now,
            down_at: self.now,
            is_gone: false,
        };
        self.links.insert(number, link);
        let login = self.login(terminal);
        let known = &mut self.terminals[terminal];
        known.link = Some(TerminalLink {
            number,
            phase: LinkPhase::LoggingIn,
            floor: self.history.known(known.person),
            beat_at: None,
        });
        self.send_up(number, LinkEvent::Opened);
        self.send_up(number, LinkEvent::Bytes(login));
        self.after(ANSWER_MS, Happening::KnockTimeOut(number));
    }

    fn login(&self, terminal: usize) -> Vec<u8> {
        let Terminal {
            person,
            device,
            session,
            ..
        } = self.terminals[terminal];
        let person = &self.people[person];
        request(request::Packet::Login(proto::Login {
            protocol: 1,
            features: FEATURE_REDIRECT,
            user_id: person.id.as_str().to_owned(),
            user_sig: person.sig.clone(),
            platform: device.platform as i32,
            instance: device.instance.get(),
            session,
            ..Default::default()
        }))
    }

    /// The terminal that still has this link.
    fn holder(&self, number: LinkNumber) -> Option<usize> {
        let terminal = self.links.get(&number)?.terminal;
        let link = self.terminals[terminal].link.as_ref()?;
        (link.number == number).then_some(terminal)
    }

    pub(super) fn knock_timed_out(&mut self, number: LinkNumber) {
        if let Some(terminal) = self.holder(number)
            && let Some(link) = &self.terminals[terminal].link
            && link.phase == LinkPhase::LoggingIn
        {
            self.leave_link(terminal);
            self.try_after_a_while(terminal);
        }
    }

    /// A terminal gives a link up. Its node hears of it, or not.
    pub(super) fn leave_link(&mut self, terminal: usize) {
        let now = self.now;
        if let Some(link) = self.terminals[terminal].lose(now)
            && (self.is_peaceful || self.random.u8(..3) != 0)
        {
            self.send_up(link.number, LinkEvent::Closed);
        }
    }

    pub(super) fn beat(&mut self, number: LinkNumber) {
        let Some(terminal) = self.holder(number) else {
            return;
        };
        let now = self.now;
        let Some(link) = &mut self.terminals[terminal].link else {
            return;
        };
        if link.beat_at.is_some() {
            self.leave_link(terminal);
            return self.try_later(terminal, 10);
        }
        link.beat_at = Some(now);
        let beat = request(request::Packet::Heartbeat(proto::Heartbeat {}));
        self.send_up(number, LinkEvent::Bytes(beat));
        self.after(BEAT_MS, Happening::Beat(number));
    }

    /// Something of a link reaches its terminal.
    pub(super) fn down(&mut self, number: LinkNumber, bytes: Option<Vec<u8>>) {
        let Some(terminal) = self.holder(number) else {
            return;
        };
        let Some(bytes) = bytes else {
            let now = self.now;
            self.terminals[terminal].lose(now);
            return self.try_after_a_while(terminal);
        };
        let mut rest = bytes.as_slice();
        while let NextResponse::Packet(Some(packet), behind) = next(rest, usize::MAX) {
            if self.holder(number).is_some() {
                self.hear_packet(terminal, packet);
            }
            rest = behind;
        }
        assert!(rest.is_empty(), "what a node says is whole packets");
    }

    fn hear_packet(&mut self, terminal: usize, packet: response::Packet) {
        let now = self.now;
        match packet {
            response::Packet::LoginAnswer(answer) => self.answered(terminal, &answer),
            response::Packet::HeartbeatAnswer(_) => {
                if let Some(link) = &mut self.terminals[terminal].link {
                    link.beat_at = None;
                }
            }
            response::Packet::LogoutAnswer(_) => {
                self.note(terminal, |session| Told::LoggedOut { session });
                self.over(terminal);
            }
            response::Packet::ForceOffline(_) => {
                self.note(terminal, |session| Told::ForcedOff { session });
                self.over(terminal);
            }
            response::Packet::Message(_) => unreachable!("nobody sends a message"),
            response::Packet::GoAway(away) => {
                self.terminals[terminal].remembered = place_at(&away.address);
                self.terminals[terminal].lose(now);
                self.try_later(terminal, 5);
            }
            response::Packet::Error(error) => {
                self.told(|| format!("terminal {terminal} hears {error:?}"));
                self.terminals[terminal].lose(now);
                self.try_later(terminal, 5);
            }
        }
    }

    fn note(&mut self, terminal: usize, told: impl FnOnce(u64) -> Told) {
        let Terminal {
            person,
            device,
            session,
            ..
        } = self.terminals[terminal];
        let told = told(session);
        self.told(|| format!("terminal {terminal} of {person} is told {told:?}"));
        self.was_told(person, device, told);
    }

    /// The session is over, and the person goes.
    fn over(&mut self, terminal: usize) {
        let known = &mut self.terminals[terminal];
        known.link = None;
        known.lost = None;
        known.session = 0;
        known.wants = false;
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a well-behaved terminal is told nothing else"
    )]
    fn answered(&mut self, terminal: usize, answer: &proto::LoginAnswer) {
        let Some(link) = &mut self.terminals[terminal].link else {
            return;
        };
        let floor = link.floor;
        let verdict = answer.verdict.as_ref().expect("each answer has one");
        if verdict.code() == Code::Ok {
            link.phase = LinkPhase::Live;
            let number = link.number;
            let known = &mut self.terminals[terminal];
            (known.session, known.lost, known.redirects) = (answer.session, None, 0);
            known.is_replaced = false;
            self.history.counts.accepted += 1;
            self.note(terminal, |session| Told::Accepted { session, floor });
            return self.after(BEAT_MS, Happening::Beat(number));
        }
        self.terminals[terminal].link = None;
        match verdict.code() {
            Code::Elsewhere if !answer.address.is_empty() => self.redirected(terminal, &answer.address),
            Code::Busy | Code::NotRecorded | Code::Elsewhere | Code::UserLimit => {
                self.try_after_a_while(terminal);
            }
            Code::SessionForcedOff => {
                self.note(terminal, |session| Told::ForcedOff { session });
                self.over(terminal);
            }
            Code::SessionUnknown => {
                self.note(terminal, |session| Told::Replaced { session });
                self.over(terminal);
                self.terminals[terminal].is_replaced = true;
            }
            Code::SessionLoggedOut => {
                self.note(terminal, |session| Told::LoggedOut { session });
                self.over(terminal);
            }
            other => {
                let session = self.terminals[terminal].session;
                self.fail(&format!(
                    "terminal {terminal} with session {session} is told {other:?}"
                ));
            }
        }
    }

    fn redirected(&mut self, terminal: usize, address: &str) {
        self.history.counts.redirects += 1;
        self.terminals[terminal].redirects += 1;
        if self.terminals[terminal].redirects > REDIRECTS_MAX {
            return self.try_after_a_while(terminal);
        }
        self.terminals[terminal].remembered = place_at(address);
        self.try_later(terminal, 2);
    }
}
