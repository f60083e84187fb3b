//! What came behind a login that waits: kept until the login is answered, and looked at when the link ends before. A logout
//! among it counts all the same. Decides no login, and keeps nothing of a connection that is gone.

use crate::base::ids::ConnKey;
use crate::base::limits::{EAGER_BYTES_MAX, FRAME_BYTES_MAX_AFTER_LOGIN};
use crate::logic::between_wings::Pipelined;
use crate::logic::connections::Connections;
use crate::logic::connections::meaning::{Mistake, PacketMeaning, meaning};
use crate::logic::connections::session::{Buffered, SessionPhase};
use crate::logic::context::Context;
use crate::protocol::dialect::Dialect;
use crate::protocol::packet::NextPacket;

impl Connections {
    /// Keeps what came behind a login until it is answered, as far as there is room.
    pub(super) fn buffer_pipelined(&mut self, context: &mut Context, key: ConnKey, bytes: &[u8]) {
        let kept = self.buffered.get(&key.slot).map_or(0, Vec::len);
        let room = EAGER_BYTES_MAX - kept;
        let fitting = &bytes[..bytes.len().min(room)];
        if let Some(session) = self.sessions.get_mut(key).filter(|_| !fitting.is_empty()) {
            session.buffered = Buffered::Some;
            let buffered = self.buffered.entry(key.slot).or_default();
            buffered.extend_from_slice(fitting);
        }
        if bytes.len() > room {
            self.mistake(context, key, Mistake::TooEager);
        }
    }

    /// What a terminal has said behind its login, which waits.
    pub(in crate::logic) fn pipelined(&self, key: ConnKey) -> Pipelined {
        match self.sessions.get(key) {
            Some(session) if session.buffered == Buffered::Some => {
                read(session.peer.stack.dialect, &self.buffered[&key.slot])
            }
            Some(_) | None => Pipelined::Nothing,
        }
    }
}

/// Reads packets as they are read after a login. A mistake among them ends the link, and what follows it is not read.
fn read(dialect: Dialect, mut bytes: &[u8]) -> Pipelined {
    let live = SessionPhase::Live { device: 0 };
    while let NextPacket::Packet { packet, rest, .. } = dialect.next(bytes, FRAME_BYTES_MAX_AFTER_LOGIN) {
        match meaning(live, &packet) {
            PacketMeaning::LogOut => return Pipelined::Logout,
            PacketMeaning::Beat | PacketMeaning::SetBackground => bytes = rest,
            PacketMeaning::Acknowledge | PacketMeaning::Ignore => bytes = rest,
            PacketMeaning::Refuse(_) | PacketMeaning::LogIn | PacketMeaning::Buffer => break,
        }
    }
    Pipelined::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{ConnKey, Platform};
    use crate::logic::delivery::ToShard;
    use crate::logic::record::ChangeKind;
    use crate::logic::settings::Settings;
    use crate::logic::tests::harness::TestShard;
    use crate::logic::{Input, LinkLoss};
    use crate::protocol::native::proto;

    const HEARTBEAT: &[u8] = &[2, 0x12, 0];
    const LOGOUT: &[u8] = &[2, 0x1a, 0];
    const BACKGROUND: &[u8] = &[4, 0x22, 2, 8, 1];
    const LOGIN: &[u8] = &[2, 0x0a, 0];
    const UNKNOWN: &[u8] = &[3, 0x7a, 1, 9];
    const BAD_PACKET: &[u8] = &[2, 0x12, 9];
    const TOO_LARGE: &[u8] = &[0xf0, 0xa2, 0x04];

    fn check(frames: &[&[u8]], expected: Pipelined) {
        assert_eq!(read(Dialect::Native, &frames.concat()), expected, "{frames:?}");
    }

    #[test]
    fn a_logout_is_found_behind_whatever_may_stand_before_it() {
        check(&[], Pipelined::Nothing);
        check(&[HEARTBEAT, BACKGROUND], Pipelined::Nothing);
        check(&[LOGOUT], Pipelined::Logout);
        check(&[HEARTBEAT, BACKGROUND, UNKNOWN, LOGOUT], Pipelined::Logout);
        check(&[LOGOUT, TOO_LARGE], Pipelined::Logout);
    }

    #[test]
    fn what_follows_a_mistake_is_not_read() {
        check(&[LOGIN, LOGOUT], Pipelined::Nothing);
        check(&[BAD_PACKET, LOGOUT], Pipelined::Nothing);
        check(&[TOO_LARGE, LOGOUT], Pipelined::Nothing);
        check(&[&[0xff; 5], LOGOUT], Pipelined::Nothing);
    }

    #[test]
    fn the_first_part_of_a_frame_says_nothing() {
        let bytes = [HEARTBEAT, LOGOUT].concat();
        for end in 0..bytes.len() {
            assert_eq!(read(Dialect::Native, &bytes[..end]), Pipelined::Nothing, "{end}");
        }
    }

    #[test]
    fn a_logout_behind_a_login_is_recorded_whatever_ends_the_link() {
        let too_much = vec![0x12; EAGER_BYTES_MAX + 1];
        type End = fn(ConnKey, &[u8]) -> Input<'_>;
        let ends: [End; 4] = [
            |key, _| Input::Closed(key, LinkLoss::Peer),
            |key, _| Input::Closed(key, LinkLoss::SlowReader),
            |key, too_much| Input::Received(key, too_much),
            |_, _| Input::Delivered(ToShard::Stop),
        ];
        for end in ends {
            let mut shard = TestShard::new(Settings::default());
            let login = shard.login("alice", Platform::IPhone, proto::Login::default());
            let key = shard.connect();
            shard.handle(Input::Received(key, &[&login[..], LOGOUT].concat()));
            let end = end(key, &too_much);
            let how = format!("{end:?}");
            shard.handle(end);
            let kinds = shard.record();
            let first = matches!(kinds.first(), Some(ChangeKind::Login { .. }));
            assert!(
                first && kinds.get(1) == Some(&ChangeKind::Logout),
                "{how}: {kinds:?}"
            );
            assert_eq!((kinds.len(), shard.state.in_flight()), (2, 0), "{how}");
        }
    }

    #[test]
    fn a_login_with_nothing_behind_it_is_dropped_with_its_link() {
        let mut shard = TestShard::new(Settings::default());
        let key = shard.log_in("alice", Platform::IPhone);
        shard.handle(Input::Closed(key, LinkLoss::Peer));
        assert_eq!(shard.record(), []);
    }
}
