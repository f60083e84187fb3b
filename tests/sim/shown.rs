//! What shows of a shard's work, in words that the world and the model share. Checks the form of each packet on the
//! way; never what it means.

use std::net::Ipv6Addr;

use prost::Message;

use crate::base::ids::{DeviceId, Platform, RequestId, ShardId, UserId};
use crate::base::time::{Now, millis};
use crate::logic::delivery::KickError;
use crate::logic::message::SendRefusal;
use crate::logic::record::{AccountStep, Change, ChangeKind, Commit, Status};
use crate::logic::settings::Settings;
use crate::protocol::native::frame;
use crate::protocol::native::proto::{Code, LoginAnswer, Response, Verdict, WhatNext, response};
use crate::protocol::outgoing::Outgoing;

/// One connection of the world: the same one before and after it moved to another shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Link(pub(crate) u32);

impl Link {
    /// The connection of a socket of the kernel's model.
    pub(crate) fn of_socket(socket: usize) -> Self {
        Self(u32::try_from(socket).expect("few sockets"))
    }

    pub(crate) fn socket(self) -> usize {
        self.0 as usize
    }
}

/// The terminals of one customer: no two have the same address, but all have the same /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group(u32);

/// Few, so that limits of an address are reached.
const GROUPS: u32 = 5;

impl Group {
    pub(crate) fn of(link: Link) -> Self {
        Self(link.0 % GROUPS)
    }

    pub(crate) fn address(self, link: Link) -> Ipv6Addr {
        let customer = 0x2001_0db8_0000_0000 + u128::from(self.0);
        Ipv6Addr::from(customer << 64 | u128::from(link.0))
    }
}

/// What a terminal is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    LoggedIn {
        session: u64,
        timeout_ms: u64,
        forced_off: Vec<Platform>,
    },
    Refused {
        code: Code,
        winner: Option<Platform>,
    },
    Error(Code),
    ForcedOff {
        code: Code,
        winner: Option<Platform>,
    },
    HeartbeatAnswer,
    LogoutAnswer,
    GoAway,
    /// The rules of presence say nothing of it.
    Message {
        id: u64,
        wants_ack: bool,
    },
}

/// Whether a message found its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SentTo {
    Known,
    Nobody,
    Refused(SendRefusal),
}

/// A step of a device, without its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) device: DeviceId,
    pub(crate) kind: ChangeKind,
    /// From where the terminal is, or was, connected.
    pub(crate) address: Option<Ipv6Addr>,
}

/// Something that shows outside of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    Said(Link, Said),
    Closed(Link),
    Moved(Link, ShardId),
    Load(UserId),
    Commit {
        user: UserId,
        first: u64,
        at_ms: u64,
        kicked_at_s: Option<u64>,
        deletes: bool,
        steps: Vec<Step>,
    },
    Kicked(RequestId, Result<(), KickError>),
    /// Whether there is such an account.
    Inspected(RequestId, bool),
    Sent(RequestId, SentTo),
}

impl Shown {
    /// A commit; what may come in any order is put in one.
    pub(crate) fn commit(commit: &Commit, now: Now) -> Self {
        let first = commit.changes.first();
        let mut steps: Vec<Step> = commit.changes.iter().map(step).collect();
        steps.sort_by_key(|step| step.device);
        Self::Commit {
            user: commit.user,
            first: first.map_or(0, |change| change.number.0),
            at_ms: first.map_or(now.wall.0, |change| change.at.0),
            kicked_at_s: commit.kicked_at_s,
            deletes: commit.account == AccountStep::Delete,
            steps,
        }
    }

    /// Things of one order of their own have the same key.
    pub(crate) fn key(&self) -> (u8, u64, Option<UserId>) {
        match self {
            Self::Said(link, _) | Self::Closed(link) | Self::Moved(link, _) => (0, u64::from(link.0), None),
            Self::Load(user) | Self::Commit { user, .. } => (1, 0, Some(*user)),
            Self::Kicked(request, _) | Self::Inspected(request, _) => (2, request.0, None),
            Self::Sent(request, _) => (2, request.0, None),
        }
    }
}

fn step(change: &Change) -> Step {
    let kind = match &change.kind {
        ChangeKind::Login { fresh, forced_off } => {
            let mut forced_off: Vec<(DeviceId, Status)> = forced_off.clone();
            forced_off.sort_unstable_by_key(|(device, _)| *device);
            ChangeKind::Login {
                fresh: *fresh,
                forced_off,
            }
        }
        ChangeKind::Logout
        | ChangeKind::LinkEnd
        | ChangeKind::TimeOut
        | ChangeKind::Expiry
        | ChangeKind::Kick
        | ChangeKind::Deletion => change.kind.clone(),
    };
    Step {
        device: change.device,
        kind,
        address: change.address,
    }
}

/// Reads the frame of one packet, as its terminal would.
///
/// # Errors
/// If it is no such frame.
pub(crate) fn packet_of(sent: &Outgoing) -> Result<response::Packet, String> {
    let frame::Next::Packet(packet, []) = frame::next(sent.as_slice(), usize::MAX) else {
        return Err(format!("{sent:?} is not one frame"));
    };
    let response = Response::decode(packet).map_err(|error| error.to_string())?;
    response.packet.ok_or(format!("{sent:?} is no packet"))
}

/// What a packet says.
///
/// # Errors
/// If a field is not what the protocol says.
pub(crate) fn said(packet: &response::Packet, now: Now, settings: &Settings) -> Result<Said, String> {
    match packet {
        response::Packet::LoginAnswer(answer) => login_answer(answer, now, settings),
        response::Packet::Error(error) => Ok(Said::Error(verdict(error.verdict.as_ref(), settings)?)),
        response::Packet::ForceOffline(offline) => Ok(Said::ForcedOff {
            code: verdict(offline.verdict.as_ref(), settings)?,
            winner: platform(offline.winner)?,
        }),
        response::Packet::GoAway(go_away) => {
            verdict(go_away.verdict.as_ref(), settings)?;
            Ok(Said::GoAway)
        }
        response::Packet::HeartbeatAnswer(_) => Ok(Said::HeartbeatAnswer),
        response::Packet::LogoutAnswer(_) => Ok(Said::LogoutAnswer),
        response::Packet::Message(message) => Ok(Said::Message {
            id: message.id,
            wants_ack: message.wants_ack,
        }),
    }
}

fn login_answer(answer: &LoginAnswer, now: Now, settings: &Settings) -> Result<Said, String> {
    let code = verdict(answer.verdict.as_ref(), settings)?;
    let range = if code == Code::ProtocolUnsupported {
        (1, 1)
    } else {
        (0, 0)
    };
    ensure((answer.protocol_min, answer.protocol_max) == range, || {
        format!("protocol range {answer:?}")
    })?;
    if code != Code::Ok {
        return Ok(Said::Refused {
            code,
            winner: platform(answer.winner)?,
        });
    }
    ensure(answer.protocol == 1, || format!("protocol {}", answer.protocol))?;
    ensure(
        u64::from(answer.heartbeat_interval_ms) == millis(settings.heartbeat_interval),
        || format!("heartbeat interval {}", answer.heartbeat_interval_ms),
    )?;
    ensure(answer.server_time_ms == now.wall.0, || {
        format!("server time {}", answer.server_time_ms)
    })?;
    let platforms = answer.forced_off.iter().map(|number| platform(*number));
    let platforms = platforms.collect::<Result<Option<Vec<_>>, _>>()?;
    let mut forced_off = platforms.ok_or("an unspecified platform was forced off")?;
    forced_off.sort_unstable();
    Ok(Said::LoggedIn {
        session: answer.session,
        timeout_ms: u64::from(answer.heartbeat_timeout_ms),
        forced_off,
    })
}

fn platform(number: i32) -> Result<Option<Platform>, String> {
    let known = |platform: &Platform| *platform as i32 == number;
    match Platform::ALL.into_iter().find(known) {
        None if number != 0 => Err(format!("platform {number}")),
        found => Ok(found),
    }
}

/// The code of a verdict whose other fields fit it.
fn verdict(verdict: Option<&Verdict>, settings: &Settings) -> Result<Code, String> {
    let verdict = verdict.ok_or("a packet without its verdict")?;
    let code = Code::try_from(verdict.code).map_err(|_| format!("code {}", verdict.code))?;
    let must = what_next(code);
    ensure(must.is_none_or(|next| next as i32 == verdict.what_next), || {
        format!("what next: {verdict:?}")
    })?;
    ensure((code == Code::Ok) == verdict.text.is_empty(), || {
        format!("text: {verdict:?}")
    })?;
    let waits = code != Code::Ok && verdict.what_next() == WhatNext::Retry;
    let (middle, wait) = (millis(settings.retry_after), u64::from(verdict.retry_after_ms));
    // Those who are sent away together are spread the wider the more they are.
    let crowded = [Code::Busy, Code::NotRecorded, Code::Stopping].contains(&code);
    let of_user = code == Code::UserLimit;
    let widest = match (crowded, of_user) {
        (true, _) => (millis(settings.restart_grace) / 2).min(60_000),
        // With one login a minute.
        (false, true) => 60_000,
        (false, false) => 0,
    };
    let in_bounds = (middle / 2..=widest.max(middle + middle / 2)).contains(&wait);
    ensure(if waits { in_bounds } else { wait == 0 || in_bounds }, || {
        format!("retry: {verdict:?}")
    })?;
    Ok(code)
}

/// What the rules say that a terminal is to do; `None` where they leave it open.
fn what_next(code: Code) -> Option<WhatNext> {
    let retry = [
        Code::Busy,
        Code::NotRecorded,
        Code::Silent,
        Code::Stopping,
        Code::AddressLimit,
        Code::UserLimit,
    ];
    if retry.contains(&code) {
        return Some(WhatNext::Retry);
    }
    if code == Code::OtherDeviceOnline {
        return Some(WhatNext::Stop);
    }
    let renewable = [
        Code::UsersigExpired,
        Code::UsersigEmpty,
        Code::UsersigUnreadable,
        Code::UsersigWrongSignature,
        Code::UsersigWrongUser,
        Code::UsersigWrongApp,
    ];
    if renewable.contains(&code) {
        return Some(WhatNext::RenewUsersig);
    }
    let is_session_over = code.as_str_name().starts_with("CODE_SESSION_") || code == Code::UsersigKicked;
    is_session_over.then_some(WhatNext::LogInAfresh)
}

fn ensure(holds: bool, fault: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(fault()) }
}
