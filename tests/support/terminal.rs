//! A terminal on a real TCP connection, speaking the protocol by `gateway.proto`.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use holdfast::base::ids::UserId;
use holdfast::base::time::Clock;
use holdfast::protocol::native::encode;
use holdfast::protocol::native::proto::{self, Platform, request, response};
use holdfast::protocol::usersig;
use prost::Message;

use super::gateway::SDK_APP_ID;

/// How long a terminal waits for the gateway. Generous: only a defect makes it wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// A UserSig of the development app, good for a day.
pub fn usersig(user: &str) -> String {
    let id = UserId::new(user.as_bytes()).expect("a UserID");
    let secret = holdfast::node::config::DEVELOPMENT_SECRET;
    usersig::sign(Clock::start().now().wall, SDK_APP_ID, secret, &id, 86_400)
}

/// The login of a device, as the person's fresh one.
pub fn login(user: &str, platform: Platform, instance: u64) -> proto::Login {
    proto::Login {
        protocol: 1,
        user_id: user.to_owned(),
        user_sig: usersig(user),
        platform: platform.into(),
        instance,
        sdk_version: "test/1".to_owned(),
        app_version: "1.0".to_owned(),
        ..Default::default()
    }
}

/// The frame of a packet.
pub fn frame(packet: request::Packet) -> Vec<u8> {
    encode(&proto::Request { packet: Some(packet) })
}

/// One connection.
pub struct Terminal {
    pub stream: TcpStream,
    received: Vec<u8>,
}

impl Terminal {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the gateway listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_nodelay(true).expect("no delay");
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// Connects and logs in. Gives the answer, good or not.
    pub fn log_in(address: SocketAddr, login: proto::Login) -> (Self, proto::LoginAnswer) {
        let mut terminal = Self::connect(address);
        terminal.send(request::Packet::Login(login));
        match terminal.read() {
            Some(response::Packet::LoginAnswer(answer)) => (terminal, answer),
            other => panic!("not a login answer: {other:?}"),
        }
    }

    /// The same with a gateway that may be gone: then there is no answer.
    pub fn try_log_in(address: SocketAddr, login: proto::Login) -> Option<(Self, proto::LoginAnswer)> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_nodelay(true).ok()?;
        let received = Vec::new();
        let mut terminal = Self { stream, received };
        if !terminal.try_send(request::Packet::Login(login)) {
            return None;
        }
        match terminal.read()? {
            response::Packet::LoginAnswer(answer) => Some((terminal, answer)),
            other => panic!("not a login answer: {other:?}"),
        }
    }

    /// Says whether it could be sent.
    pub fn try_send(&mut self, packet: request::Packet) -> bool {
        self.stream.write_all(&frame(packet)).is_ok()
    }

    /// Connects and logs in; fails if it is refused. Gives the session.
    pub fn logged_in(address: SocketAddr, login: proto::Login) -> (Self, u64) {
        let (terminal, answer) = Self::log_in(address, login);
        let verdict = answer.verdict.expect("every answer has a verdict");
        assert_eq!(verdict.code(), proto::Code::Ok, "{}", verdict.text);
        (terminal, answer.session)
    }

    pub fn send(&mut self, packet: request::Packet) {
        self.send_bytes(&frame(packet));
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the gateway reads");
    }

    /// The next packet; `None` when the gateway has closed the connection.
    pub fn read(&mut self) -> Option<response::Packet> {
        loop {
            let mut rest = &self.received[..];
            if let Ok(length) = prost::encoding::decode_varint(&mut rest)
                && let Some(packet) = rest.get(..usize::try_from(length).expect("a length"))
            {
                let response = proto::Response::decode(packet).expect("the gateway speaks the protocol");
                let used = self.received.len() - rest.len() + packet.len();
                self.received.drain(..used);
                return Some(response.packet.expect("every packet is known"));
            }
            let mut bytes = [0; 4_096];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.received.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("the gateway is silent: {error}"),
            }
        }
    }

    /// Sends a heartbeat and waits for its answer.
    pub fn beat(&mut self) {
        self.send(request::Packet::Heartbeat(proto::Heartbeat {}));
        let answer = self.read();
        assert!(
            matches!(answer, Some(response::Packet::HeartbeatAnswer(_))),
            "{answer:?}"
        );
    }

    /// Logs out and waits until the gateway has answered and closed.
    pub fn log_out(mut self) {
        self.send(request::Packet::Logout(proto::Logout {}));
        assert!(matches!(self.read(), Some(response::Packet::LogoutAnswer(_))));
        assert_eq!(self.read(), None);
    }

    /// Waits for an error packet and the close behind it. Gives the code.
    pub fn expect_error(&mut self) -> proto::Code {
        match self.read() {
            Some(response::Packet::Error(error)) => {
                assert_eq!(self.read(), None, "closed after the error");
                error.verdict.expect("every error has a verdict").code()
            }
            other => panic!("not an error: {other:?}"),
        }
    }

    /// Waits for a ForceOffline packet and the close behind it.
    pub fn expect_force_offline(&mut self) -> proto::ForceOffline {
        match self.read() {
            Some(response::Packet::ForceOffline(packet)) => {
                assert_eq!(self.read(), None, "closed after it");
                packet
            }
            other => panic!("not a ForceOffline: {other:?}"),
        }
    }
}
