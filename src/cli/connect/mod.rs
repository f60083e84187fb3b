//! `holdfast connect`: a terminal in a terminal, or in a script. It logs in, beats, tells what arrives, and comes back by
//! itself after a lost link, as the gateway's verdicts ask it to; never where that cannot help.

mod arguments;
mod destination;
mod input;
mod seen;
mod link;
mod pauses;
mod route;
mod wire;

use std::fmt::Display;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::Instant;

use super::outcome::{CommandFault, EXIT_USAGE, ended_by, print, tell};
use super::termination::Termination;
use super::words::{NextStep, describe, next_of, remedy};
use crate::base::ids::InstanceId;
use crate::node::config::Config;
use crate::protocol::native::HEARTBEAT;
use crate::protocol::native::proto::{self, request, response};
pub(super) use arguments::{ConnectArguments, FOR_SCRIPTS};
use destination::{BrokenLink, Destination, Onward};
use input::{Line, LineInput, Writer};
use link::{GatewayLink, LinkEvent, NoLink, Pulse, until};
use route::GatewayRoute;
pub(super) use route::usual_listener;
use seen::SeenMessages;

/// The first wait after a lost link, and the longest; doubled in between.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// See [`BACKOFF_MIN`].
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// For how long it tries to come back. A gateway that is started again is there much sooner, with any number of users.
const COMING_BACK_MAX: Duration = Duration::from_secs(600);

const HELP: &str = "commands: /background on|off, /ack on|off, /logout, /quit";

/// Why a link is over.
enum End {
    /// The gateway's last word.
    Told(NextStep, String),
    /// A login's answer: it is to be made at this address.
    SentOn(String, Duration, String),
    /// It was logged out, as was asked for.
    LoggedOut,
    /// It broke.
    Lost(String),
    /// It was never there.
    NotThere(NoLink),
    /// LineInput asked for it.
    Quit,
}

/// What the gateway still owes an answer to. Lines wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PendingAnswer {
    Login,
    Logout,
    Nothing,
}

/// Runs a terminal until its input, the gateway or a signal ends it.
pub(super) async fn connect(config: &Config, arguments: &ConnectArguments) -> anyhow::Result<ExitCode> {
    let mut ending = Termination::listen(|| {})?;
    let route = GatewayRoute::of(&arguments.route, config)?;
    let mut terminal = InteractiveTerminal::new(config, arguments, route, LineInput::standard());
    let start = format!(
        "{} on {} {}, instance {}\n{HELP}\n",
        arguments.user,
        arguments.platform.name(),
        terminal.destination.route(),
        terminal.instance
    );
    print(&start)?;
    tokio::select! {
        signal = ending.asked() => Ok(ended_by(signal)),
        outcome = terminal.stay() => outcome,
    }
}

struct InteractiveTerminal<'a> {
    config: &'a Config,
    arguments: &'a ConnectArguments,
    destination: Destination,
    instance: InstanceId,
    session: u64,
    background: bool,
    /// A gateway has answered a login here.
    was_in: bool,
    /// When it began to come back.
    away_since: Option<Instant>,
    backoff: Duration,
    input: LineInput,
    seen: SeenMessages,
    /// Lines that were no commands.
    mistyped: u64,
}

impl<'a> InteractiveTerminal<'a> {
    fn new(
        config: &'a Config,
        arguments: &'a ConnectArguments,
        route: GatewayRoute,
        input: LineInput,
    ) -> Self {
        let drawn = || InstanceId::new(fastrand::u64(1..)).expect("drawn from 1 on");
        Self {
            config,
            arguments,
            destination: Destination::new(route),
            instance: arguments.instance.unwrap_or_else(drawn),
            session: 0,
            background: arguments.background,
            was_in: false,
            away_since: None,
            backoff: BACKOFF_MIN,
            input,
            seen: SeenMessages::default(),
            mistyped: 0,
        }
    }

    /// The end that was asked for. A script is told that not all of it was done.
    fn left(&self) -> ExitCode {
        match (self.input.writer, self.mistyped) {
            (Writer::Person, _) | (Writer::Script, 0) => ExitCode::SUCCESS,
            (Writer::Script, _) => ExitCode::from(EXIT_USAGE),
        }
    }

    fn tell_mistyped(&mut self, what: &str) {
        self.mistyped += 1;
        tell(&format!("{what} is no command; {HELP}"));
    }

    /// Stays connected until it is to end.
    async fn stay(&mut self) -> anyhow::Result<ExitCode> {
        loop {
            match self.hold_link().await? {
                End::Quit => return Ok(self.left()),
                End::LoggedOut => {
                    if !self.ask_for_login(NextStep::Ask).await? {
                        return Ok(self.left());
                    }
                }
                End::Told(NextStep::Stop, text) => return Err(CommandFault::Refused(text).into()),
                End::Told(next @ (NextStep::Ask | NextStep::Renew), text) => {
                    let refused = CommandFault::Refused(text);
                    if self.input.writer == Writer::Script {
                        return Err(refused.into());
                    }
                    print(&format!("{refused}\n"))?;
                    if !self.ask_for_login(next).await? {
                        return Ok(refused.exit_code());
                    }
                }
                End::Told(NextStep::Resume(at_least), text) => {
                    self.pause(at_least, self.fault()(text)).await?;
                }
                End::SentOn(address, at_least, text) => self.go_on(&address, at_least, text).await?,
                End::NotThere(why) => self.come_back(BrokenLink::NotThere(why)).await?,
                End::Lost(why) => self.come_back(BrokenLink::Lost(why)).await?,
            }
        }
    }

    /// What it is to be told as if it is not to come back any more.
    fn fault(&self) -> fn(String) -> CommandFault {
        if self.was_in {
            CommandFault::Lost
        } else {
            CommandFault::Refused
        }
    }

    /// Goes to the node that has the user; after a wait, if it does not know it or was sent in circles.
    async fn go_on(&mut self, address: &str, at_least: Duration, text: String) -> anyhow::Result<()> {
        match self.destination.sent_on(address) {
            Onward::AtOnce => {
                print(&format!("{text}: going to {}\n", self.destination.route()))?;
                tokio::time::sleep(at_least).await;
                Ok(())
            }
            Onward::Later => self.pause(at_least, self.fault()(text)).await,
        }
    }

    /// Waits before it comes back after a broken link, if that may help.
    async fn come_back(&mut self, why: BrokenLink) -> anyhow::Result<()> {
        let fault = self.destination.fault_of(&why);
        let has_another = self.destination.lost();
        if self.was_in || has_another {
            return self.pause(Duration::ZERO, self.lost(&why)).await;
        }
        // It may be no gateway, and then nothing is gained by trying again.
        Err(fault.into())
    }

    /// Connects, logs in, and stays for as long as it can.
    async fn hold_link(&mut self) -> anyhow::Result<End> {
        self.destination.begins();
        let mut link = match GatewayLink::open(self.destination.route()).await {
            Ok(link) => link,
            Err(why) => return Ok(End::NotThere(why)),
        };
        if let Err(error) = link.request(request::Packet::Login(self.login())).await {
            return Ok(End::Lost(error.to_string()));
        }
        let (mut pulse, mut owed) = (Pulse::before_login(), PendingAnswer::Login);
        loop {
            tokio::select! {
                heard = link.next() => match heard {
                    Ok(LinkEvent::Packet(packet)) => {
                        if let Some(end) = self.take(packet, &mut pulse, &mut owed)? {
                            return Ok(end);
                        }
                        if let Err(error) = self.acknowledge(&mut link, &mut pulse).await {
                            return Ok(End::Lost(error.to_string()));
                        }
                    }
                    Ok(LinkEvent::End) if self.was_in => return Ok(End::Lost("it ended the connection".to_owned())),
                    Ok(LinkEvent::End) => return Ok(End::Lost(self.destination.route().ended().to_owned())),
                    Ok(LinkEvent::Foreign(what)) => return Ok(End::Lost(what.to_owned())),
                    Err(error) => return Ok(End::Lost(error.to_string())),
                },
                line = self.input.next(), if owed == PendingAnswer::Nothing => {
                    if line == Line::Quit {
                        link.end().await;
                        return Ok(End::Quit);
                    }
                    if let Err(error) = self.obey(line, &mut link, &mut pulse, &mut owed).await? {
                        return Ok(End::Lost(error.to_string()));
                    }
                }
                () = until(pulse.beat_at) => {
                    if let Err(error) = link.send(HEARTBEAT).await {
                        return Ok(End::Lost(error.to_string()));
                    }
                    pulse.beat_sent();
                }
                () = tokio::time::sleep_until(pulse.silent_at) => {
                    return Ok(End::Lost("it does not answer".to_owned()));
                }
            }
        }
    }

    fn lost(&self, why: &impl Display) -> CommandFault {
        CommandFault::Lost(format!("no link to {}: {why}", self.destination.route()))
    }

    fn login(&self) -> proto::Login {
        proto::Login {
            instance: self.instance.get(),
            session: self.session,
            background: self.background,
            ..self.arguments.login(self.config)
        }
    }

    /// Takes what came, and gives the end of the link if it is one. That is told by whoever deals with it.
    fn take(
        &mut self,
        packet: response::Packet,
        pulse: &mut Pulse,
        owed: &mut PendingAnswer,
    ) -> anyhow::Result<Option<End>> {
        pulse.heard();
        let text = describe(&packet);
        let verdict = match packet {
            response::Packet::LoginAnswer(answer) => {
                let verdict = answer.verdict.unwrap_or_default();
                if verdict.code == 0 {
                    print(&format!("{text}\n"))?;
                    self.session = answer.session;
                    (self.was_in, self.away_since) = (true, None);
                    self.destination.logged_in();
                    *pulse = Pulse::of(answer.heartbeat_interval_ms, answer.heartbeat_timeout_ms);
                    *owed = PendingAnswer::Nothing;
                    return Ok(None);
                }
                if let (proto::Code::Elsewhere, NextStep::Resume(at_least)) =
                    (verdict.code(), next_of(&verdict))
                {
                    return Ok(Some(End::SentOn(answer.address, at_least, text)));
                }
                verdict
            }
            response::Packet::HeartbeatAnswer(_) => {
                self.backoff = BACKOFF_MIN;
                print(&format!("{text}\n"))?;
                return Ok(None);
            }
            response::Packet::LogoutAnswer(_) => {
                print(&format!("{text}\n"))?;
                return Ok(Some(End::LoggedOut));
            }
            response::Packet::Message(message) => {
                let again = self.seen.take(&message);
                print(&format!("{text}{again}\n"))?;
                return Ok(None);
            }
            response::Packet::ForceOffline(force) => force.verdict.unwrap_or_default(),
            response::Packet::GoAway(away) => {
                let verdict = away.verdict.unwrap_or_default();
                if verdict.code() == proto::Code::Elsewhere {
                    self.destination.sent_away(&away.address);
                }
                verdict
            }
            response::Packet::Error(error) => {
                let verdict = error.verdict.unwrap_or_default();
                if verdict.code() == proto::Code::TlsFirst && !self.was_in {
                    let why = "it speaks TLS: give --tls".to_owned();
                    return Ok(Some(End::NotThere(NoLink::NoWay(why))));
                }
                verdict
            }
        };
        let (next, remedy) = match (next_of(&verdict), &self.arguments.usersig) {
            (next, None) => (next, remedy(&verdict)),
            (NextStep::Renew, Some(_)) => (NextStep::Stop, ""), // Whoever brought it knows where to get another.
            (next, Some(_)) => (next, ""),
        };
        Ok(Some(End::Told(next, format!("{text}{remedy}"))))
    }

    /// Acknowledges what has come, unless it is not to. That it is there is heard by it, too.
    async fn acknowledge(&mut self, link: &mut GatewayLink, pulse: &mut Pulse) -> io::Result<()> {
        if let Some(ack) = self.seen.ack() {
            link.request(request::Packet::MessageAck(ack)).await?;
            pulse.beat_later();
        }
        Ok(())
    }

    /// Does what a line asks for, but for `/quit`. The inner error is the link's.
    async fn obey(
        &mut self,
        line: Line,
        link: &mut GatewayLink,
        pulse: &mut Pulse,
        owed: &mut PendingAnswer,
    ) -> anyhow::Result<io::Result<()>> {
        let packet = match line {
            Line::Logout => {
                pulse.expect_answer();
                *owed = PendingAnswer::Logout;
                request::Packet::Logout(proto::Logout {})
            }
            Line::Background(background) => {
                self.background = background;
                request::Packet::Background(proto::Background { background })
            }
            Line::Acks(to) => {
                self.seen.set_acks(to);
                return Ok(self.acknowledge(link, pulse).await);
            }
            Line::Enter | Line::Quit => return Ok(Ok(())),
            Line::Mistyped(what) => {
                self.tell_mistyped(&what);
                return Ok(Ok(()));
            }
        };
        let sent = link.request(packet).await;
        pulse.beat_later();
        Ok(sent)
    }
}

#[cfg(test)]
mod tests;
