//! A device of a user: what its terminal does, and puts into the history.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use holdfast::base::ids::UserId;
use holdfast::base::time::Clock;
use holdfast::protocol::native::proto::{self, Code, Platform, WhatNext, request, response};
use holdfast::protocol::usersig;
use tokio::time::sleep;

use crate::history::{Event, LinkEnd, Outcome, Who};
use crate::support::gateway::SDK_APP_ID;
use crate::terminal::{Connection, Heard};
use crate::workload::{Standing, Workload};

/// How often a terminal beats.
const BEAT: Duration = Duration::from_secs(3);
/// A terminal that hears nothing for so long goes elsewhere.
const SILENCE: Duration = Duration::from_secs(6);
/// Terminals follow so many redirects in a row.
const REDIRECTS_MAX: usize = 3;
/// Feature bit: the terminal goes where it is sent.
const FOLLOWS: u64 = 1;

/// A device of a user.
pub struct Device {
    who: Who,
    login: proto::Login,
    shared: Arc<Workload>,
    rng: fastrand::Rng,
    /// The session to go on with; 0: none.
    session: u64,
    /// Where it was last.
    remembered: Option<SocketAddr>,
    /// It does not come back.
    is_gone: bool,
}

/// A link that is up.
struct Link {
    connection: Connection,
    begin: u64,
    heard: u64,
}

impl Device {
    pub fn new(shared: &Arc<Workload>, number: usize, user: &str, platform: Platform) -> Self {
        let id = UserId::new(user.as_bytes()).unwrap();
        let login = proto::Login {
            protocol: 1,
            features: FOLLOWS,
            user_id: user.to_owned(),
            user_sig: usersig::sign(Clock::start().now().wall, SDK_APP_ID, &shared.secret, &id, 86_400),
            platform: platform.into(),
            instance: number as u64 + 1,
            sdk_version: "nemesis/1".to_owned(),
            app_version: "1.0".to_owned(),
            ..Default::default()
        };
        let platform = match platform {
            Platform::Android => "Android",
            Platform::Windows => "Windows",
            _ => "Web",
        };
        let who = Who {
            user: user.to_owned(),
            platform: platform.to_owned(),
        };
        Self {
            who,
            login,
            shared: Arc::clone(shared),
            rng: fastrand::Rng::with_seed(shared.seed ^ (number as u64) << 20),
            session: 0,
            remembered: None,
            is_gone: false,
        }
    }

    pub async fn live(mut self) {
        self.stands(Standing::Out);
        // Not all at the same moment.
        self.wait(0..3_000).await;
        while !self.shared.is_over() {
            let may_begin = self.shared.is_busy() && !self.is_gone;
            if self.is_gone || (self.session == 0 && !may_begin) {
                self.stands(Standing::Out);
                sleep(Duration::from_millis(100)).await;
                continue;
            }
            self.stands(Standing::Coming);
            match self.come().await {
                Some(link) => self.stay(link).await,
                None => self.wait(100..600).await,
            }
        }
    }

    async fn wait(&mut self, range_ms: std::ops::Range<u64>) {
        sleep(Duration::from_millis(self.rng.u64(range_ms))).await;
    }

    fn stands(&self, standing: Standing) {
        self.shared
            .standings
            .lock()
            .unwrap()
            .insert(self.who.clone(), standing);
    }

    fn door(&mut self) -> Option<SocketAddr> {
        let doors = self.shared.doors.lock().unwrap().clone();
        let chosen = self.rng.choice(&doors).copied();
        self.remembered.take().or(chosen)
    }

    /// Comes in, wherever it is sent.
    async fn come(&mut self) -> Option<Link> {
        let mut at = self.door()?;
        for _ in 0..=REDIRECTS_MAX {
            let begin = self.shared.recorder.now();
            let (outcome, answer, connection) = self.try_come(at).await?;
            let end = self.shared.recorder.now();
            self.shared.recorder.record(&Event::Login {
                who: self.who.clone(),
                node: at.to_string(),
                asked: self.session,
                begin,
                end,
                outcome,
            });
            let answer = answer?;
            let verdict = answer.verdict.clone().unwrap_or_default();
            match verdict.code() {
                Code::Ok => {
                    self.session = answer.session;
                    self.remembered = Some(at);
                    return Some(Link {
                        connection,
                        begin: end,
                        heard: begin,
                    });
                }
                Code::Elsewhere => at = answer.address.parse().ok()?,
                _ => {
                    self.refused(&verdict).await;
                    return None;
                }
            }
        }
        None
    }

    /// `None` if nothing could be sent.
    async fn try_come(
        &mut self,
        at: SocketAddr,
    ) -> Option<(Outcome, Option<proto::LoginAnswer>, Connection)> {
        let mut connection = Connection::open(at).await?;
        let login = proto::Login {
            session: self.session,
            ..self.login.clone()
        };
        if !connection.send(request::Packet::Login(login)).await {
            return Some((Outcome::Unknown, None, connection));
        }
        let answer = match connection.hear(SILENCE).await {
            Heard::Packet(response::Packet::LoginAnswer(answer)) => answer,
            // It was still in the queue, and may be on record all the same.
            Heard::Packet(_) | Heard::Closed | Heard::Nothing => {
                return Some((Outcome::Unknown, None, connection));
            }
        };
        let outcome = match answer.verdict.clone().unwrap_or_default().code() {
            Code::Ok => Outcome::Ok(answer.session),
            code => Outcome::Refused(code.into()),
        };
        Some((outcome, Some(answer), connection))
    }

    async fn refused(&mut self, verdict: &proto::Verdict) {
        match verdict.what_next() {
            WhatNext::Retry => sleep(Duration::from_millis(u64::from(verdict.retry_after_ms))).await,
            WhatNext::LogInAfresh => {
                self.session = 0;
                self.wait(500..4_000).await;
            }
            next => panic!("{next:?}: {}", verdict.text),
        }
    }

    /// Stays until something ends the link.
    async fn stay(&mut self, mut link: Link) {
        self.stands(Standing::Linked(self.session));
        let session = self.session;
        let mut leaves = self.shared.recorder.now() + self.rng.u64(3_000_000..20_000_000);
        let mut beats = self.shared.recorder.now() + self.rng.u64(0..BEAT.as_micros() as u64);
        // When the beat that has no answer yet was sent.
        let mut open: Option<u64> = None;
        let ended_by = loop {
            let now = self.shared.recorder.now();
            if self.shared.is_over() {
                break LinkEnd::Nobody;
            }
            if open.is_some_and(|sent| now > sent + SILENCE.as_micros() as u64) {
                break LinkEnd::Terminal;
            }
            if now >= leaves && self.shared.is_busy() {
                if self.leave(&mut link).await {
                    return;
                }
                leaves = now + self.rng.u64(3_000_000..20_000_000);
            }
            if open.is_none() && now >= beats {
                if !link
                    .connection
                    .send(request::Packet::Heartbeat(proto::Heartbeat {}))
                    .await
                {
                    break LinkEnd::Gateway;
                }
                open = Some(now);
            }
            match link.connection.hear(Duration::from_millis(250)).await {
                Heard::Packet(response::Packet::HeartbeatAnswer(_)) => {
                    link.heard = open.take().expect("a beat was sent");
                    beats = link.heard + BEAT.as_micros() as u64;
                }
                Heard::Packet(packet) => {
                    self.told(packet);
                    break LinkEnd::Gateway;
                }
                Heard::Closed => break LinkEnd::Gateway,
                Heard::Nothing => {}
            }
        };
        self.record_link(&link, session, ended_by);
        if ended_by != LinkEnd::Nobody {
            drop(link);
            self.stands(Standing::Coming);
            // Who was forced off leaves the other device alone for a while.
            let patience_ms = if self.session == 0 { 8_000 } else { 300 };
            self.wait(0..patience_ms).await;
        }
    }

    fn record_link(&self, link: &Link, session: u64, ended_by: LinkEnd) {
        self.shared.recorder.record(&Event::Link {
            who: self.who.clone(),
            session,
            begin: link.begin,
            end: self.shared.recorder.now(),
            heard: link.heard,
            ended_by,
        });
    }

    /// What the gateway says when it ends a link.
    fn told(&mut self, packet: response::Packet) {
        match packet {
            response::Packet::ForceOffline(_) => {
                self.shared.recorder.record(&Event::ForcedOff {
                    who: self.who.clone(),
                    session: self.session,
                    at: self.shared.recorder.now(),
                });
                self.session = 0;
            }
            response::Packet::GoAway(goodbye) => self.remembered = goodbye.address.parse().ok(),
            response::Packet::Error(_) => {}
            packet => panic!("nobody asked for {packet:?}"),
        }
    }

    /// Leaves by itself, or does not. Says whether it did.
    async fn leave(&mut self, link: &mut Link) -> bool {
        let leaving = &self.shared.leaving;
        let goes = leaving.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
        if goes.is_ok() {
            self.is_gone = true;
        }
        match self.rng.u32(0..10) {
            // The link breaks, and the device returns with its session unless it is gone.
            0..3 => self.break_link(link).await,
            3..6 => self.log_out(link).await,
            _ if self.is_gone => self.break_link(link).await,
            _ => return false,
        }
        true
    }

    async fn break_link(&mut self, link: &mut Link) {
        self.record_link(link, self.session, LinkEnd::Terminal);
        self.stands(if self.is_gone {
            Standing::Out
        } else {
            Standing::Coming
        });
        // Nobody reads any more; what is on the way comes too late.
        let _ = link.connection.close().await;
        self.wait(0..3_000).await;
    }

    async fn log_out(&mut self, link: &mut Link) {
        let begin = self.shared.recorder.now();
        self.record_link(link, self.session, LinkEnd::Terminal);
        let mut is_answered = false;
        let mut is_forced_off = false;
        if link
            .connection
            .send(request::Packet::Logout(proto::Logout {}))
            .await
        {
            loop {
                match link.connection.hear(SILENCE).await {
                    Heard::Packet(response::Packet::HeartbeatAnswer(_)) => continue,
                    Heard::Packet(response::Packet::LogoutAnswer(_)) => is_answered = true,
                    Heard::Packet(response::Packet::ForceOffline(_)) => is_forced_off = true,
                    Heard::Packet(_) | Heard::Closed | Heard::Nothing => {}
                }
                break;
            }
        }
        self.shared.recorder.record(&Event::Logout {
            who: self.who.clone(),
            session: self.session,
            begin,
            end: self.shared.recorder.now(),
            is_answered,
        });
        if is_forced_off {
            let (who, session, at) = (self.who.clone(), self.session, self.shared.recorder.now());
            self.shared
                .recorder
                .record(&Event::ForcedOff { who, session, at });
        }
        self.stands(Standing::Coming);
        self.session = 0;
        self.wait(500..4_000).await;
    }
}
