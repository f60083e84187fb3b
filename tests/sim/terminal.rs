//! The far ends: what they send, in real frames, and what each believes of its own connection.

use std::collections::{BTreeMap, VecDeque};

use crate::base::ids::{ConnKey, DeviceId, ShardId, UserId};
use crate::base::time::{Instant, Now, Timestamp};
use crate::protocol::native::encode;
use crate::protocol::native::proto::{self, Code, request};
use crate::protocol::usersig;
use crate::sim::client::Client;
use crate::sim::shown::Said;
use crate::sim::ways::Way;

pub(crate) const APP: u64 = 1_400_000_000;
pub(crate) const SECRET: &str = "a secret of the simulated app";

/// Something a terminal says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    Login(Box<Login>),
    Heartbeat,
    Logout,
    Background(bool),
    /// That it has messages, or cannot take them.
    Ack(Vec<u64>, bool),
    /// A packet of a later protocol.
    Unknown,
    /// A heartbeat with 5,000 bytes of a later protocol in it: too large before the login, fine after.
    Big,
    /// A length of 70,000 bytes, and not one of them.
    TooLarge,
    /// Five bytes that are no length.
    BadLength,
    /// A whole frame that is no packet.
    BadPacket,
}

/// An item with its places in the stream of its connection.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sent {
    pub(crate) item: Item,
    /// Behind the length.
    pub(crate) header_end: usize,
    pub(crate) end: usize,
}

/// A login, and what is wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Login {
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    /// 0: afresh.
    pub(crate) session: u64,
    pub(crate) signed_at_s: u64,
    pub(crate) background: bool,
    pub(crate) features: u64,
    pub(crate) fault: Option<Code>,
}

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// No logic was told of it yet.
    Coming,
    At(ShardId, ConnKey),
    /// Since when.
    Moving(Instant),
    /// No logic knows it any more. There may be words for it on their way.
    Over,
}

/// How a terminal reads what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    AtOnce,
    /// In pieces, when its turn comes.
    Slowly,
    Never,
}

/// One connection, seen from its terminal.
#[derive(Debug)]
pub(crate) struct Terminal {
    pub(crate) place: Place,
    pub(crate) way: Way,
    /// `None`: the socket's bytes are packets.
    pub(crate) client: Option<Client>,
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    /// Sent, and not arrived: bytes of the socket.
    pub(crate) under_way: Vec<u8>,
    /// Bytes of packets sent in all.
    pub(crate) sent: usize,
    /// Said before any logic was told of the connection.
    pub(crate) unheard: Vec<Sent>,
    pub(crate) login: Option<Login>,
    pub(crate) reading: Reading,
    /// What it is sent, and has not read.
    pub(crate) told: VecDeque<(Vec<u8>, Said)>,
    /// What it has read of a packet that is not whole.
    unfinished: Vec<u8>,
    pub(crate) logged_in: bool,
    /// Messages that it has read, and not acknowledged.
    pub(crate) unacked: Vec<u64>,
    /// It said what cannot be followed by anything.
    pub(crate) broken: bool,
}

impl Terminal {
    pub(crate) fn new((way, reading): (Way, Reading), user: UserId, device: DeviceId) -> Self {
        Self {
            place: Place::Coming,
            way,
            client: None,
            user,
            device,
            under_way: Vec::new(),
            sent: 0,
            unheard: Vec::new(),
            login: None,
            reading,
            told: VecDeque::new(),
            unfinished: Vec::new(),
            logged_in: false,
            unacked: Vec::new(),
            broken: false,
        }
    }

    /// Puts an item on its way.
    pub(crate) fn say(&mut self, item: Item, wallet: &mut Wallet, now: Now) -> Sent {
        let (header, bytes) = bytes_of(&item, wallet, now);
        if let Item::Login(login) = &item {
            self.login.get_or_insert_with(|| (**login).clone());
        }
        self.broken |= matches!(item, Item::TooLarge | Item::BadLength);
        let header_end = self.sent + header;
        self.sent += bytes.len();
        match &mut self.client {
            None => self.under_way.extend(bytes),
            Some(client) => self.under_way.extend(client.say(&bytes)),
        }
        Sent {
            item,
            header_end,
            end: self.sent,
        }
    }

    /// The terminal reads bytes. Gives what it understands.
    ///
    /// # Errors
    /// If that is not what it was sent, or it cannot be.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<Vec<Said>, String> {
        match &mut self.client {
            None => self.unfinished.extend(bytes),
            Some(client) => {
                let came = client.receive(bytes)?;
                self.unfinished.extend(came.packets);
                self.under_way.extend(came.answer);
            }
        }
        let mut heard = Vec::new();
        while let Some((packet, said)) = self
            .told
            .pop_front_if(|(packet, _)| packet.len() <= self.unfinished.len())
        {
            if !self.unfinished.drain(..packet.len()).eq(packet) {
                return Err(format!("{said:?} came as other bytes to {self:?}"));
            }
            self.hears(&said)?;
            heard.push(said);
        }
        Ok(heard)
    }

    /// Whether it reads what comes. Until packets can be sent, each does.
    pub(crate) fn reads_at_once(&self) -> bool {
        let is_beginning = |client: &Client| !client.is_open() && client.end.is_none();
        self.reading == Reading::AtOnce || self.client.as_ref().is_some_and(is_beginning)
    }

    /// The gateway, which has read so many of the socket's bytes, sends a packet.
    pub(crate) fn is_told(&mut self, read: usize, packet: &[u8], said: &Said) {
        if self.client.as_ref().is_none_or(|client| client.can_hear(read)) {
            self.told.push_back((packet.to_vec(), said.clone()));
        }
    }

    /// Whether it has read all that it was sent.
    pub(crate) fn has_read_all(&self) -> bool {
        self.told.is_empty() && self.unfinished.is_empty()
    }

    /// What the terminal knows by itself: nothing comes twice, nothing uncalled for.
    fn hears(&mut self, said: &Said) -> Result<(), String> {
        let fits = match said {
            Said::LoggedIn { .. } => !std::mem::replace(&mut self.logged_in, true) && self.login.is_some(),
            Said::Refused { .. } => !self.logged_in && self.login.is_some(),
            Said::HeartbeatAnswer | Said::LogoutAnswer | Said::ForcedOff { .. } => self.logged_in,
            Said::Error(_) | Said::GoAway => true,
            Said::Message { id, wants_ack } => {
                self.unacked.extend(wants_ack.then_some(*id));
                self.logged_in
            }
        };
        if fits {
            Ok(())
        } else {
            Err(format!("{said:?} to {self:?}"))
        }
    }
}

fn bytes_of(item: &Item, wallet: &mut Wallet, now: Now) -> (usize, Vec<u8>) {
    let framed = |packet| encode(&proto::Request { packet: Some(packet) });
    let bytes = match item {
        Item::Login(login) => framed(request::Packet::Login(wallet.login_packet(login, now))),
        Item::Heartbeat => framed(request::Packet::Heartbeat(proto::Heartbeat {})),
        Item::Logout => framed(request::Packet::Logout(proto::Logout {})),
        Item::Background(background) => framed(request::Packet::Background(proto::Background {
            background: *background,
        })),
        Item::Ack(ids, refused) => framed(request::Packet::MessageAck(proto::MessageAck {
            id: ids.clone(),
            refused: *refused,
            ..proto::MessageAck::default()
        })),
        Item::Unknown => vec![3, 0x7a, 1, 9],
        Item::Big => {
            // A heartbeat, and 4,996 bytes in a field 15.
            let mut bytes = vec![0x88, 0x27, 0x12, 0, 0x7a, 0x83, 0x27];
            bytes.resize(2 + 5_000, 7);
            bytes
        }
        Item::TooLarge => return (3, vec![0xf0, 0xa2, 0x04]),
        Item::BadLength => vec![0xff; 5],
        Item::BadPacket => vec![2, 0x12, 9],
    };
    let header = bytes.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
    (header, bytes)
}

/// The UserSigs that terminals have: made by the app once per user and second.
#[derive(Debug, Default)]
pub(crate) struct Wallet {
    made: BTreeMap<(UserId, u64), String>,
}

/// How long a UserSig is good.
pub(crate) const SIG_LIFETIME_S: u64 = 86_400;

impl Wallet {
    /// The second of the newest UserSig of a user, or 0.
    pub(crate) fn newest(&self, user: UserId) -> u64 {
        let made = self.made.range((user, 0)..=(user, u64::MAX));
        made.last().map_or(0, |((_, second), _)| *second)
    }

    /// The seconds of all its UserSigs from `second` on.
    pub(crate) fn made_since(&self, user: UserId, second: u64) -> Vec<u64> {
        let made = self.made.range((user, second)..=(user, u64::MAX));
        made.map(|((_, second), _)| *second).collect()
    }

    fn sig(&mut self, user: UserId, second: u64) -> &str {
        let make = || usersig::sign(Timestamp(second * 1_000), APP, SECRET, &user, SIG_LIFETIME_S);
        self.made.entry((user, second)).or_insert_with(make)
    }

    fn login_packet(&mut self, login: &Login, now: Now) -> proto::Login {
        let other = UserId::new(b"somebody else").expect("a good name");
        let now_s = now.wall.seconds();
        let user_sig = match login.fault {
            Some(Code::UsersigEmpty) => String::new(),
            Some(Code::UsersigUnreadable) => "this is no UserSig".to_owned(),
            Some(Code::UsersigWrongUser) => self.sig(other, login.signed_at_s).to_owned(),
            Some(Code::UsersigExpired) => self.sig(login.user, now_s - SIG_LIFETIME_S - 5).to_owned(),
            Some(Code::UsersigWrongApp) => usersig::sign(now.wall, APP + 1, SECRET, &login.user, 60),
            Some(Code::UsersigWrongSignature) => usersig::sign(now.wall, APP, "guessed", &login.user, 60),
            Some(_) | None => self.sig(login.user, login.signed_at_s).to_owned(),
        };
        proto::Login {
            protocol: if login.fault == Some(Code::ProtocolUnsupported) {
                2
            } else {
                1
            },
            features: login.features,
            user_id: login.user.as_str().to_owned(),
            user_sig,
            platform: login.device.platform as i32,
            instance: if login.fault == Some(Code::FieldInvalid) {
                0
            } else {
                login.device.instance.get()
            },
            session: login.session,
            sdk_version: "7.1".to_owned(),
            app_version: "3.2.1".to_owned(),
            background: login.background,
        }
    }
}
