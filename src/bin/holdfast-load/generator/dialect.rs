//! What the terminals speak, at one place: their login, their heartbeat and what a server answers. Pure: it sends nothing. The gateway's own answers are read in `packets`, where there is more to them.

use holdfast::base::time::Timestamp;
use holdfast::protocol::native::HEARTBEAT;

use super::mqtt;
use super::terminal::Identities;

/// Whose language it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TerminalDialect {
    /// The gateway's protocol.
    Gateway,
    /// MQTT 3.1.1. Pings are its heartbeats; a logout is a DISCONNECT, and ends when the server has closed.
    Mqtt,
    /// What is sent comes back. A login is a connect and a first echo; a logout is a close.
    Echo,
}

/// What a server other than the gateway says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerAnswer<'a> {
    LoggedIn,
    /// Messages for the terminal come to it from now on.
    Subscribed,
    /// A message, with its number if it is to be acknowledged.
    Message(Option<u16>, &'a [u8]),
    /// An acknowledgement.
    Acked(u16),
    /// With the server's code.
    Refused(u8),
    Heartbeat,
    /// A login's or a heartbeat's: they look the same.
    Echo,
}

/// What bytes of such a server begin with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ParsedAnswer<'a> {
    /// A whole answer, and the bytes behind it.
    Answer(PeerAnswer<'a>, &'a [u8]),
    Incomplete,
    Malformed,
}

impl TerminalDialect {
    /// What a terminal says first. `session` is what it resumes, where there is such a thing; 0: a fresh login.
    pub(super) fn login(self, of: &Identities, now: Timestamp, number: u32, session: u64) -> Vec<u8> {
        match self {
            Self::Gateway => of.login(now, number, session),
            Self::Mqtt => {
                let user = of.user(number);
                let mut bytes = mqtt::connect(&user, &user, &of.sign(now, &user));
                if of.take_messages() {
                    bytes.extend(mqtt::subscribe(&user));
                }
                bytes
            }
            Self::Echo => HEARTBEAT.to_vec(),
        }
    }

    pub(super) fn heartbeat(self) -> &'static [u8] {
        match self {
            Self::Gateway | Self::Echo => HEARTBEAT,
            Self::Mqtt => mqtt::PINGREQ,
        }
    }

    /// Reads one answer of a server other than the gateway.
    pub(super) fn next(self, bytes: &[u8]) -> ParsedAnswer<'_> {
        match self {
            Self::Gateway => unreachable!("its answers are read in `packets`"),
            Self::Mqtt => match mqtt::next(bytes) {
                mqtt::ParsedPacket::Packet(packet, behind) => ParsedAnswer::Answer(packet.into(), behind),
                mqtt::ParsedPacket::Incomplete => ParsedAnswer::Incomplete,
                mqtt::ParsedPacket::Malformed => ParsedAnswer::Malformed,
            },
            Self::Echo => match bytes.strip_prefix(HEARTBEAT) {
                Some(behind) => ParsedAnswer::Answer(PeerAnswer::Echo, behind),
                None if HEARTBEAT.starts_with(bytes) => ParsedAnswer::Incomplete,
                None => ParsedAnswer::Malformed,
            },
        }
    }
}

impl<'a> From<mqtt::MqttPacket<'a>> for PeerAnswer<'a> {
    fn from(packet: mqtt::MqttPacket<'a>) -> Self {
        match packet {
            mqtt::MqttPacket::Accepted => Self::LoggedIn,
            mqtt::MqttPacket::Refused(code) => Self::Refused(code),
            mqtt::MqttPacket::PingAnswer => Self::Heartbeat,
            mqtt::MqttPacket::Subscribed => Self::Subscribed,
            mqtt::MqttPacket::Message { number, body } => Self::Message(number, body),
            mqtt::MqttPacket::Acked(number) => Self::Acked(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast::base::time::Clock;

    use super::super::terminal::{DevicesPerUser, MIXED};
    use super::*;

    /// Feeds `bytes` in two parts, split everywhere, as a link does: what is incomplete stands before what comes next.
    fn check(dialect: TerminalDialect, bytes: &[u8], expected: &[PeerAnswer<'_>]) {
        for split in 0..=bytes.len() {
            let (mut answers, mut partial) = (Vec::new(), Vec::new());
            for part in [&bytes[..split], &bytes[split..]] {
                let whole = [&partial[..], part].concat();
                let mut rest = &whole[..];
                while let ParsedAnswer::Answer(answer, behind) = dialect.next(rest) {
                    answers.push(format!("{answer:?}"));
                    rest = behind;
                }
                assert_eq!(
                    dialect.next(rest),
                    ParsedAnswer::Incomplete,
                    "{dialect:?}, split at {split}"
                );
                partial = rest.to_vec();
            }
            let expected: Vec<String> = expected.iter().map(|answer| format!("{answer:?}")).collect();
            assert_eq!(answers, expected, "{dialect:?}, split at {split}");
            assert!(partial.is_empty());
        }
    }

    #[test]
    fn answers_are_read_however_they_are_split() {
        let (ping, echo) = (PeerAnswer::Heartbeat, PeerAnswer::Echo);
        let accepted = [0x20, 2, 0, 0, 0xD0, 0, 0xD0, 0];
        check(
            TerminalDialect::Mqtt,
            &accepted,
            &[PeerAnswer::LoggedIn, ping, ping],
        );
        check(TerminalDialect::Mqtt, &[0x20, 2, 0, 5], &[PeerAnswer::Refused(5)]);
        check(TerminalDialect::Echo, &HEARTBEAT.repeat(3), &[echo, echo, echo]);
    }

    #[test]
    fn other_bytes_are_malformed() {
        assert_eq!(TerminalDialect::Echo.next(&[2, 0x12, 1]), ParsedAnswer::Malformed);
        assert_eq!(TerminalDialect::Mqtt.next(HEARTBEAT), ParsedAnswer::Malformed);
    }

    #[test]
    fn a_login_of_mqtt_names_the_user_twice_and_brings_its_usersig() {
        let identities = Identities {
            sdk_app_id: 1,
            secret: "secret".to_owned(),
            prefix: "user".to_owned(),
            devices_per_user: DevicesPerUser::One,
            platforms: MIXED,
            features: 0,
        };
        let now = Clock::start().now().wall;
        let user = identities.user(7);
        let expected = mqtt::connect("user-0000007", "user-0000007", &identities.sign(now, &user));
        assert_eq!(TerminalDialect::Mqtt.login(&identities, now, 7, 0), expected);
    }
}
