//! What the world lets happen: one step at a time, chosen by its seed.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::base::ids::{DeviceId, ShardId, UserId};
use crate::protocol::native::proto::Code;
use crate::sim::checks::{self, Failure};
use crate::sim::model::RegistrySays;
use crate::sim::network::Pace;
use crate::sim::shown::Link;
use crate::sim::terminal::{Item, Login, Place, Reading, SIG_LIFETIME_S, Terminal};
use crate::sim::world::{Event, Trace, World};

/// How the registry behaves for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Answers before anything else happens.
    Prompt,
    /// Answers when its turn comes.
    Slow,
    /// Answers nothing.
    Stalled,
    /// Slow, and often fails.
    Failing,
    /// Slow, and always fails.
    Down,
}

const MOODS: [Mood; 8] = [
    Mood::Prompt,
    Mood::Prompt,
    Mood::Slow,
    Mood::Slow,
    Mood::Slow,
    Mood::Stalled,
    Mood::Failing,
    Mood::Down,
];

const PACES: [Pace; 3] = [Pace::Prompt, Pace::Prompt, Pace::Late];

const FAULTS: [Code; 8] = [
    Code::ProtocolUnsupported,
    Code::FieldInvalid,
    Code::UsersigEmpty,
    Code::UsersigUnreadable,
    Code::UsersigWrongUser,
    Code::UsersigExpired,
    Code::UsersigWrongApp,
    Code::UsersigWrongSignature,
];

impl World {
    /// One step, and a full look at everybody now and then.
    pub(crate) fn step(&mut self, number: u32) -> Result<(), Failure> {
        if self.random.u8(..) < 6 {
            self.mood = self.random.choice(MOODS).expect("there are some");
            self.pace = self.random.choice(PACES).expect("there are some");
        }
        match self.random.u8(..100) {
            0..20 => self.connect()?,
            20..40 => self.answer_one()?,
            40..54 => self.talk()?,
            54..60 => self.deliver_some()?,
            60 if self.random.u8(..20) == 0 => self.chatter()?,
            60..63 => self.read_some()?,
            63..65 => self.gesture()?,
            65..72 => self.settle()?,
            72..78 => self.hang_up()?,
            78..86 => self.let_time_pass()?,
            86..90 => self.send_message()?,
            90..92 => self.acknowledge()?,
            92..94 => self.kick()?,
            94..96 => self.query()?,
            96..98 => self.inspect()?,
            98 => self.import(),
            _ if self.random.u8(..3) == 0 => {
                self.restart()?;
                if self.random.u8(..3) == 0 {
                    self.rush()?;
                }
            }
            _ => self.flood()?,
        }
        self.post.step(&mut self.random, self.now.wall)?;
        while self.mood == Mood::Prompt && !self.registry.asks.is_empty() {
            self.answer_one()?;
        }
        self.pump()?;
        self.sweep()?;
        if number.is_multiple_of(16) {
            self.query_all()?;
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<(), Failure> {
        let shard = ShardId(self.random.u16(..self.shard_count()));
        let pool = self.random.usize(..self.pools.len());
        let (user, devices) = &self.pools[pool];
        let (user, device) = (*user, devices[self.random.usize(..devices.len())]);
        let (user, device) = self.somebody_connected().unwrap_or((user, device));
        let Some(link) = self.open(shard, user, device)? else {
            return Ok(());
        };
        match self.random.u8(..100) {
            0..4 => return Ok(()),
            4..7 => {
                let item = self.any_item(user, device);
                self.say(link, item);
            }
            _ => {
                let login = self.login(user, device);
                self.say(link, Item::Login(Box::new(login)));
            }
        }
        if self.random.u8(..100) < 12 {
            return self.leave_at_once(link);
        }
        while self.random.u8(..100) < 15 && !self.terminals[&link].broken {
            let item = self.any_item(user, device);
            self.say(link, item);
        }
        if self.random.u8(..100) < 85 {
            self.deliver(link, usize::MAX)?;
        }
        Ok(())
    }

    /// A terminal connects, unless there is no slot, or its address may have no more.
    pub(super) fn open(
        &mut self,
        shard: ShardId,
        user: UserId,
        device: DeviceId,
    ) -> Result<Option<Link>, Failure> {
        let (reading, room) = match self.random.u8(..100) {
            // Some have no room for the whole answer to their login.
            0..8 => (Reading::Never, self.random.usize(1..60)),
            8..15 => (Reading::Slowly, self.random.usize(1..600)),
            15..20 => (Reading::AtOnce, self.random.usize(1..600)),
            _ => (Reading::AtOnce, 1 << 16),
        };
        let socket = self.kernel.borrow_mut().accept(usize::from(shard.0), room);
        let Some(link) = socket.map(Link::of_socket) else {
            return Ok(None);
        };
        let way = self.ways.choose(&mut self.random);
        self.terminals
            .insert(link, Terminal::new((way, reading), user, device));
        self.note(|| {
            format!("{link:?} connects to {shard:?} by {way:?}, reads {reading:?} with room for {room}")
        });
        self.begin(link);
        self.pump()?;
        Ok((self.terminals[&link].place != Place::Over).then_some(link))
    }

    /// Often a device comes back over a second connection.
    fn somebody_connected(&mut self) -> Option<(UserId, DeviceId)> {
        if self.random.u8(..100) >= 25 {
            return None;
        }
        let devices = self
            .terminals
            .values()
            .map(|terminal| (terminal.user, terminal.device));
        let devices: Vec<_> = devices.collect();
        self.random.choice(devices)
    }

    pub(super) fn login(&mut self, user: UserId, device: DeviceId) -> Login {
        let known = self.sessions.get(&(user, device)).cloned().unwrap_or_default();
        let last = known.last().copied().unwrap_or(0);
        let session = match self.random.u8(..100) {
            0..42 => 0,
            42..84 => last,
            84..94 => known
                .get(self.random.usize(..known.len().max(1)))
                .copied()
                .unwrap_or(0),
            _ => self.random.u64(..=last + 3),
        };
        let fault = (self.random.u8(..100) < 3).then(|| self.random.choice(FAULTS).expect("there are some"));
        Login {
            user,
            device,
            session,
            signed_at_s: self.signing_second(user),
            background: self.random.bool(),
            features: self.random.choice([0, 2, 6, 6, 7]).expect("there are some"),
            fault,
        }
    }

    /// Mostly the UserSig that the app has already, as long as it is good for a while.
    fn signing_second(&mut self, user: UserId) -> u64 {
        let (now, newest) = (self.now.wall.seconds(), self.wallet.newest(user));
        let good = now - newest.min(now) < SIG_LIFETIME_S / 2;
        if self.random.u8(..100) < 10 {
            let since = now.saturating_sub(SIG_LIFETIME_S / 2);
            let older = self.wallet.made_since(user, since);
            return self.random.choice(older).unwrap_or(now);
        }
        if good && self.random.u8(..100) < 80 {
            newest
        } else {
            now
        }
    }

    pub(super) fn any_item(&mut self, user: UserId, device: DeviceId) -> Item {
        match self.random.u8(..100) {
            0..44 => Item::Heartbeat,
            44..62 => Item::Background(self.random.bool()),
            62..82 => Item::Logout,
            82..88 => Item::Unknown,
            88..91 => Item::Big,
            91..93 => Item::TooLarge,
            93..95 => Item::BadLength,
            95..97 => Item::BadPacket,
            _ => Item::Login(Box::new(self.login(user, device))),
        }
    }

    /// Connections that are not over.
    pub(super) fn connected(&mut self, fits: impl Fn(&Terminal) -> bool) -> Option<Link> {
        let terminals = self.terminals.iter();
        let connected = terminals.filter(|(_, terminal)| terminal.place != Place::Over && fits(terminal));
        let connected: Vec<Link> = connected.map(|(link, _)| *link).collect();
        self.random.choice(connected)
    }

    fn talk(&mut self) -> Result<(), Failure> {
        let Some(link) = self.connected(|terminal| terminal.login.is_some() && !terminal.broken) else {
            return Ok(());
        };
        let (user, device) = (self.terminals[&link].user, self.terminals[&link].device);
        let item = if self.random.u8(..100) < 60 {
            Item::Heartbeat
        } else {
            self.any_item(user, device)
        };
        self.say(link, item);
        if self.random.u8(..100) < 80 {
            self.deliver(link, usize::MAX)
        } else {
            Ok(())
        }
    }

    /// Bytes arrive as the network cut them.
    fn deliver_some(&mut self) -> Result<(), Failure> {
        let Some(link) = self.connected(|terminal| !terminal.under_way.is_empty()) else {
            return Ok(());
        };
        let cut = self.random.usize(1..=self.terminals[&link].under_way.len());
        self.deliver(link, cut)
    }

    pub(super) fn deliver(&mut self, link: Link, bytes_max: usize) -> Result<(), Failure> {
        let Some(terminal) = self.terminals.get_mut(&link) else {
            return Ok(());
        };
        let length = terminal.under_way.len().min(bytes_max);
        if length == 0 {
            return Ok(());
        }
        let bytes: Vec<u8> = terminal.under_way.drain(..length).collect();
        self.note(|| format!("{length} bytes of {link:?}"));
        self.socket(link, |socket| socket.peer_writes(bytes));
        self.pump()
    }

    /// The link of a terminal ends, wherever it is.
    fn hang_up(&mut self) -> Result<(), Failure> {
        let links: Vec<Link> = self.terminals.keys().copied().collect();
        let Some(link) = self.random.choice(links) else {
            return Ok(());
        };
        self.note(|| format!("{link:?} leaves"));
        self.leave(link);
        self.pump()
    }

    /// A terminal that takes its time reads some of what came.
    fn read_some(&mut self) -> Result<(), Failure> {
        let Some(link) = self.connected(|terminal| terminal.reading == Reading::Slowly) else {
            return Ok(());
        };
        let count_max = self.random.usize(1..100);
        self.terminal_reads(link, count_max)
    }

    fn answer_one(&mut self) -> Result<(), Failure> {
        if self.registry.asks.is_empty() || self.mood == Mood::Stalled {
            return Ok(());
        }
        let place = self.random.usize(..self.registry.asks.len());
        let fails = match self.mood {
            Mood::Prompt | Mood::Stalled => false,
            Mood::Slow => self.random.u8(..100) < 3,
            Mood::Failing => self.random.u8(..100) < 50,
            Mood::Down => true,
        };
        let says = if fails {
            RegistrySays::Failed
        } else {
            RegistrySays::Done
        };
        let (ask, letter) = self.registry.answer(place, says, self.now.wall, &self.settings)?;
        self.note(|| format!("the registry: {says:?} {ask:?}"));
        self.happen(ask.shard, &Event::Registry(ask.user, says, letter))?;
        let record = self.registry.records.get(&ask.user);
        checks::compare_record(ask.user, record, &self.model)
    }

    fn let_time_pass(&mut self) -> Result<(), Failure> {
        let now = self.now.instant.0;
        let to = match self.random.u16(..1000) {
            0..500 => now + self.random.u64(1..300),
            500..700 => now + self.random.u64(300..12_000),
            700..900 => {
                let shard = ShardId(self.random.u16(..self.shard_count()));
                let ring = self
                    .model
                    .next_ring(shard)
                    .map(|(due, _)| due)
                    .filter(|due| *due < now + 1_000_000);
                ring.unwrap_or(now + 1) + self.random.u64(..3) - 1
            }
            900..970 => now + self.random.u64(50_000..420_000),
            970..990 => now + self.random.u64(400_000..90_000_000),
            _ => now + 7 * 86_400_000 - self.random.u64(..60_000_000),
        };
        if to > now + 20_000 && self.random.bool() {
            self.beat_some()?;
        }
        self.advance(to)
    }

    /// Some terminals show that they live, before a long silence.
    fn beat_some(&mut self) -> Result<(), Failure> {
        let links: Vec<Link> = self.terminals.keys().copied().collect();
        for link in links {
            let speaks = self
                .terminals
                .get(&link)
                .is_some_and(|terminal| terminal.logged_in && !terminal.broken);
            if speaks && self.random.bool() {
                self.say(link, Item::Heartbeat);
                self.deliver(link, usize::MAX)?;
            }
        }
        Ok(())
    }

    pub(crate) fn note(&self, text: impl FnOnce() -> String) {
        match self.trace {
            Trace::Off => {}
            Trace::Printed => println!("   {}", text()),
            Trace::Hashed => {
                let mut hasher = DefaultHasher::new();
                (self.history.get(), text()).hash(&mut hasher);
                self.history.set(hasher.finish());
            }
        }
    }
}
