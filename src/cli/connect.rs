//! `holdfast connect`: a terminal in a terminal. It logs in, beats, tells what arrives, and comes back by itself after a
//! lost link, as the gateway's verdicts ask it to.

use std::io::BufRead;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::words::{Next, describe, next_of};
use super::{ConnectArguments, print, sign};
use crate::base::ids::InstanceId;
use crate::base::limits::FRAME_BYTES_MAX_AFTER_LOGIN;
use crate::logic::wire::frame;
use crate::logic::wire::packet::{HEARTBEAT, encode};
use crate::logic::wire::proto::{self, request, response};
use crate::node::config::Config;

/// The first wait after a lost link, and the longest; doubled in between.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// See [`BACKOFF_MIN`].
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// How long a connection and a login's answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Long enough to try things out; every login makes a new one.
const USERSIG_LIFETIME_S: u64 = 86_400;

const HELP: &str = "commands: /background on|off, /logout, /quit\n";

/// A person's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Background(bool),
    Logout,
    Quit,
    /// An empty one: yes, go on.
    Enter,
    Unknown,
}

impl Line {
    fn read(text: &str) -> Self {
        match text.trim() {
            "" => Self::Enter,
            "/background" | "/background on" => Self::Background(true),
            "/background off" | "/foreground" => Self::Background(false),
            "/logout" => Self::Logout,
            "/quit" | "/exit" => Self::Quit,
            _ => Self::Unknown,
        }
    }
}

/// Why a link is over.
enum End {
    /// The gateway's last word.
    Told(Next),
    /// It broke, or was never there.
    Lost(String),
    /// The person asked for it.
    Quit,
}

/// Runs a terminal until the person, or the gateway, ends it.
pub(super) async fn connect(config: &Config, arguments: &ConnectArguments) -> anyhow::Result<ExitCode> {
    let mut terminal = Terminal::new(config, arguments, read_lines());
    let start = format!(
        "{} on {} {}, instance {}\n{HELP}",
        arguments.user,
        arguments.platform.name(),
        terminal.address,
        terminal.instance
    );
    print(&start)?;
    loop {
        match terminal.hold_link().await? {
            End::Quit => return Ok(ExitCode::SUCCESS),
            End::Told(Next::Stop) => return Ok(ExitCode::FAILURE),
            End::Told(Next::Ask) => {
                terminal.session = 0;
                print("press Enter to log in afresh, or type /quit\n")?;
                if terminal.wait_for_enter().await {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            End::Told(Next::Resume(at_least)) => {
                if terminal.pause(at_least).await? {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            End::Lost(why) => {
                print(&format!("no link: {why}\n"))?;
                if terminal.pause(Duration::ZERO).await? {
                    return Ok(ExitCode::SUCCESS);
                }
            }
        }
    }
}

struct Terminal<'a> {
    config: &'a Config,
    arguments: &'a ConnectArguments,
    address: SocketAddr,
    instance: InstanceId,
    session: u64,
    background: bool,
    backoff: Duration,
    lines: mpsc::UnboundedReceiver<Line>,
    /// Standard input is at its end.
    deaf: bool,
}

impl<'a> Terminal<'a> {
    fn new(
        config: &'a Config,
        arguments: &'a ConnectArguments,
        lines: mpsc::UnboundedReceiver<Line>,
    ) -> Self {
        let first = config
            .terminals
            .first()
            .expect("a configuration has an address for each listener");
        Self {
            config,
            arguments,
            address: arguments.address.unwrap_or(*first),
            instance: arguments
                .instance
                .unwrap_or_else(|| InstanceId::new(fastrand::u64(1..)).expect("drawn from 1 on")),
            session: 0,
            background: arguments.background,
            backoff: BACKOFF_MIN,
            lines,
            deaf: false,
        }
    }

    /// Connects, logs in, and stays for as long as it can.
    async fn hold_link(&mut self) -> anyhow::Result<End> {
        let mut link = match tokio::time::timeout(PATIENCE, TcpStream::connect(self.address)).await {
            Ok(Ok(stream)) => Link {
                stream,
                received: Vec::new(),
            },
            Ok(Err(error)) => return Ok(End::Lost(error.to_string())),
            Err(_) => return Ok(End::Lost("nobody answers".to_owned())),
        };
        if let Err(error) = link
            .send(&encode_request(request::Packet::Login(self.login())))
            .await
        {
            return Ok(End::Lost(error.to_string()));
        }
        let mut pulse = Pulse {
            interval: PATIENCE,
            timeout: PATIENCE,
            beat_at: None,
            silent_at: Instant::now() + PATIENCE,
        };
        loop {
            tokio::select! {
                packet = link.next() => match packet {
                    Ok(Some(packet)) => if let Some(end) = self.take(packet, &mut pulse)? {
                        return Ok(end);
                    },
                    Ok(None) => return Ok(End::Lost("the gateway closed it".to_owned())),
                    Err(error) => return Ok(End::Lost(error.to_string())),
                },
                line = self.lines.recv(), if !self.deaf => {
                    let Some(line) = line else { self.deaf = true; continue };
                    if let Some(end) = self.obey(line, &mut link, &mut pulse).await? {
                        return Ok(end);
                    }
                }
                () = until(pulse.beat_at) => {
                    if let Err(error) = link.send(HEARTBEAT).await {
                        return Ok(End::Lost(error.to_string()));
                    }
                    pulse.beat_later();
                }
                () = tokio::time::sleep_until(pulse.silent_at) => {
                    return Ok(End::Lost("the gateway is silent".to_owned()));
                }
            }
        }
    }

    fn login(&self) -> proto::Login {
        let sig = self.arguments.usersig.clone();
        let user = &self.arguments.user;
        proto::Login {
            protocol: 1,
            features: 0,
            user_id: user.as_str().to_owned(),
            user_sig: sig.unwrap_or_else(|| sign(self.config, user, USERSIG_LIFETIME_S)),
            platform: self.arguments.platform as i32,
            instance: self.instance.get(),
            session: self.session,
            sdk_version: concat!("holdfast ", env!("CARGO_PKG_VERSION")).to_owned(),
            app_version: String::new(),
            background: self.background,
        }
    }

    /// Tells the person what came, and gives the end of the link if it is one.
    fn take(&mut self, packet: response::Packet, pulse: &mut Pulse) -> anyhow::Result<Option<End>> {
        pulse.silent_at = Instant::now() + pulse.timeout;
        print(&format!("{}\n", describe(&packet)))?;
        Ok(match packet {
            response::Packet::LoginAnswer(answer) => {
                let verdict = answer.verdict.unwrap_or_default();
                if verdict.code != 0 {
                    return Ok(Some(End::Told(next_of(&verdict))));
                }
                self.session = answer.session;
                self.backoff = BACKOFF_MIN;
                *pulse = Pulse::of(answer.heartbeat_interval_ms, answer.heartbeat_timeout_ms);
                None
            }
            response::Packet::HeartbeatAnswer(_) => None,
            response::Packet::LogoutAnswer(_) => Some(End::Told(Next::Ask)),
            response::Packet::ForceOffline(force) => Some(told(force.verdict)),
            response::Packet::GoAway(away) => Some(told(away.verdict)),
            response::Packet::Error(error) => Some(told(error.verdict)),
        })
    }

    async fn obey(&mut self, line: Line, link: &mut Link, pulse: &mut Pulse) -> anyhow::Result<Option<End>> {
        let packet = match line {
            Line::Quit => return Ok(Some(End::Quit)),
            Line::Logout => request::Packet::Logout(proto::Logout {}),
            Line::Background(background) => {
                self.background = background;
                request::Packet::Background(proto::Background { background })
            }
            Line::Enter => return Ok(None),
            Line::Unknown => {
                print(HELP)?;
                return Ok(None);
            }
        };
        let sent = link.send(&encode_request(packet)).await;
        pulse.beat_later();
        Ok(sent.err().map(|error| End::Lost(error.to_string())))
    }

    /// Waits before it comes back: longer each time, and at a moment of its own. Gives whether the person wants to leave.
    async fn pause(&mut self, at_least: Duration) -> anyhow::Result<bool> {
        let wait = self.backoff.mul_f64(0.5 + fastrand::f64()).max(at_least);
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        print(&format!("coming back in {:.1} s\n", wait.as_secs_f64()))?;
        let back_at = Instant::now() + wait;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(back_at) => return Ok(false),
                line = self.lines.recv(), if !self.deaf => match line {
                    Some(Line::Quit) => return Ok(true),
                    None => self.deaf = true,
                    // The next login tells it.
                    Some(Line::Background(background)) => self.background = background,
                    Some(Line::Enter | Line::Logout | Line::Unknown) => {}
                },
            }
        }
    }

    /// Whether the person wants to leave.
    async fn wait_for_enter(&mut self) -> bool {
        loop {
            match self.lines.recv().await {
                Some(Line::Enter) => return false,
                Some(Line::Quit) | None => return true,
                Some(Line::Background(_) | Line::Logout | Line::Unknown) => {}
            }
        }
    }
}

fn told(verdict: Option<proto::Verdict>) -> End {
    End::Told(next_of(&verdict.unwrap_or_default()))
}

/// When to beat, and when to give up on the gateway.
struct Pulse {
    interval: Duration,
    timeout: Duration,
    /// `None` before the login was answered.
    beat_at: Option<Instant>,
    silent_at: Instant,
}

impl Pulse {
    fn of(interval_ms: u32, timeout_ms: u32) -> Self {
        let interval = Duration::from_millis(u64::from(interval_ms)).max(BACKOFF_MIN);
        let timeout = Duration::from_millis(u64::from(timeout_ms)).max(interval + PATIENCE);
        let now = Instant::now();
        Self {
            interval,
            timeout,
            beat_at: Some(now + interval),
            silent_at: now + timeout,
        }
    }

    fn beat_later(&mut self) {
        self.beat_at = self.beat_at.map(|_| Instant::now() + self.interval);
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn encode_request(packet: request::Packet) -> Vec<u8> {
    encode(&proto::Request { packet: Some(packet) })
}

struct Link {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Link {
    async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next packet that is known; `None` at the end of the link.
    async fn next(&mut self) -> anyhow::Result<Option<response::Packet>> {
        loop {
            match frame::next(&self.received, FRAME_BYTES_MAX_AFTER_LOGIN) {
                frame::Next::Packet(packet, rest) => {
                    let response = proto::Response::decode(packet)?;
                    let used = self.received.len() - rest.len();
                    self.received.drain(..used);
                    if response.packet.is_some() {
                        return Ok(response.packet);
                    }
                }
                frame::Next::Incomplete => {
                    if self.stream.read_buf(&mut self.received).await? == 0 {
                        return Ok(None);
                    }
                }
                frame::Next::TooLarge | frame::Next::Malformed => anyhow::bail!("this is no gateway"),
            }
        }
    }
}

/// The person's lines. Reading blocks, so a thread does it; it ends with the process.
fn read_lines() -> mpsc::UnboundedReceiver<Line> {
    let (sender, lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let lines = std::io::stdin().lock().lines().map_while(Result::ok);
        for line in lines {
            if sender.send(Line::read(&line)).is_err() {
                return;
            }
        }
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes one connection, reads its login, says something, and closes.
    async fn answer(listener: &tokio::net::TcpListener, packets: Vec<response::Packet>) -> proto::Login {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut received = Vec::new();
        let login = loop {
            if let frame::Next::Packet(packet, _) = frame::next(&received, 4_096) {
                break proto::Request::decode(packet).unwrap();
            }
            assert!(stream.read_buf(&mut received).await.unwrap() > 0);
        };
        for packet in packets {
            let bytes = encode(&proto::Response { packet: Some(packet) });
            stream.write_all(&bytes).await.unwrap();
        }
        match login.packet {
            Some(request::Packet::Login(login)) => login,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn comes_back_with_its_session_until_it_is_told_to_ask() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let config = Config::read(&crate::node::config::Sources::default()).unwrap();
            let arguments = ConnectArguments {
                user: crate::base::ids::UserId::new(b"alice").unwrap(),
                platform: crate::base::ids::Platform::IPhone,
                instance: InstanceId::new(7),
                address: listener.local_addr().ok(),
                background: true,
                usersig: None,
            };
            let (_keyboard, lines) = mpsc::unbounded_channel();
            let mut terminal = Terminal::new(&config, &arguments, lines);
            let verdict = proto::Verdict::default();
            let accepted = proto::LoginAnswer {
                verdict: Some(verdict),
                session: 5,
                ..Default::default()
            };
            let accepted = vec![response::Packet::LoginAnswer(accepted)];
            let (end, login) = tokio::join!(terminal.hold_link(), answer(&listener, accepted));
            assert!(matches!(end.unwrap(), End::Lost(_)));
            assert_eq!((login.session, login.instance, login.background), (0, 7, true));
            let afresh = proto::Verdict {
                what_next: proto::WhatNext::LogInAfresh.into(),
                ..Default::default()
            };
            let force = proto::ForceOffline {
                verdict: Some(afresh),
                ..Default::default()
            };
            let force = vec![response::Packet::ForceOffline(force)];
            let (end, login) = tokio::join!(terminal.hold_link(), answer(&listener, force));
            assert!(matches!(end.unwrap(), End::Told(Next::Ask)));
            assert_eq!(login.session, 5);
        });
    }

    #[test]
    fn lines_are_commands() {
        let check = |text, expected| assert_eq!(Line::read(text), expected, "{text}");
        check("/background", Line::Background(true));
        check(" /background off\n", Line::Background(false));
        check("/logout", Line::Logout);
        check("/quit", Line::Quit);
        check("", Line::Enter);
        check("hello", Line::Unknown);
    }
}
