//! What shards ask for: looked at by whom it concerns, and carried out where the world has to.

use crate::base::ids::ShardId;
use crate::engine::connection::ConnectionStage;
use crate::logic::delivery::{Delivery, ToHttp, ToRegistry};
use crate::logic::{Arrival, Effect};
use crate::protocol::native::proto::{Code, response};
use crate::protocol::outgoing::Outgoing;
use crate::sim::checks::{self, Failure, ensure};
use crate::sim::crowd;
use crate::sim::registry::Ask;
use crate::sim::shown::{self, Link, Said, Shown};
use crate::sim::terminal::Place;
use crate::sim::world::World;

impl World {
    pub(crate) fn one_effect(
        &mut self,
        shard: ShardId,
        effect: Effect,
        seen: &mut Vec<Shown>,
    ) -> Result<(), Failure> {
        match &effect {
            Effect::Send(key, sent) => {
                let link = self.link_at(shard, *key)?;
                self.one_packet(shard, link, sent, seen)?;
            }
            Effect::Stay(key) => {
                let link = self.link_at(shard, *key)?;
                let user = self.terminals[&link].user;
                let home = user.home(self.shard_count()) == shard;
                ensure("home", home, || format!("{user} stays at {shard:?}"))?;
                self.expect_stage(shard, (*key, &effect), |stage| stage != ConnectionStage::Open)?;
            }
            Effect::Move(key, to, arrival) => {
                let link = self.link_at(shard, *key)?;
                self.check_arrival(link, arrival)?;
                seen.push(Shown::Moved(link, *to));
                self.goes(shard, *key, Place::Moving(self.now.instant));
            }
            Effect::Close(key, reason) => {
                let link = self.link_at(shard, *key)?;
                seen.push(Shown::Closed(link));
                self.message_link(link, false);
                self.closes(link, *reason);
                self.goes(shard, *key, Place::Over);
                self.expect_stage(shard, (*key, &effect), |stage| {
                    !matches!(stage, ConnectionStage::Open | ConnectionStage::Settled)
                })?;
            }
            Effect::Deliver(Delivery::Registry(ask)) => self.take_ask(shard, ask.clone(), seen)?,
            Effect::Deliver(Delivery::Http(reply)) => self.take_reply(reply.clone(), seen)?,
            Effect::Deliver(Delivery::Shard(to, notice)) => {
                unreachable!("shards say nothing to one another: {notice:?} to {to:?}")
            }
            Effect::Deliver(Delivery::Outcomes(outcomes)) => self.messages_ended(outcomes)?,
            Effect::Deliver(Delivery::Peer(..)) => unreachable!("shards say nothing to other nodes"),
            // They are for people; that they can be made at any time is what is seen here.
            Effect::Trace(_) => {}
        }
        Ok(())
    }

    /// A packet is on its way to a terminal, which reads it when it likes.
    fn one_packet(
        &mut self,
        shard: ShardId,
        link: Link,
        sent: &Outgoing,
        seen: &mut Vec<Shown>,
    ) -> Result<(), Failure> {
        let fault = |text| Failure {
            check: "packet",
            text,
        };
        let packet = shown::packet_of(sent).map_err(fault)?;
        let said = shown::said(&packet, self.now, &self.settings).map_err(fault)?;
        if let Some(wait) = crowd::told_to_wait(&packet, &crowd::CROWDED) {
            let crowd = &mut self.crowds[usize::from(shard.0)];
            crowd.sent_away(shard, self.now.instant, wait, &self.settings)?;
        }
        self.check_wait(link, &packet)?;
        let read = self.socket(link, |socket| {
            if !socket.is_wrapped {
                socket.wanted.extend_from_slice(sent.as_slice());
            }
            socket.told()
        });
        let terminal = self.terminals.get_mut(&link).expect("logic knows it");
        terminal.is_told(read, sent.as_slice(), &said);
        match (packet, &said) {
            (response::Packet::Message(message), _) => return self.message_shown(link, &message),
            (_, Said::LoggedIn { .. }) => self.message_link(link, true),
            (_, Said::HeartbeatAnswer) => {}
            (_, _) => self.message_link(link, false),
        }
        seen.push(Shown::Said(link, said));
        Ok(())
    }

    fn take_ask(&mut self, from: ShardId, ask: ToRegistry, seen: &mut Vec<Shown>) -> Result<(), Failure> {
        let ask = match ask {
            ToRegistry::Load(shard, key, user) => {
                seen.push(Shown::Load(user));
                Ask {
                    shard,
                    key,
                    user,
                    commit: None,
                }
            }
            ToRegistry::Commit(shard, key, commit) => {
                seen.push(Shown::commit(&commit, self.now));
                Ask {
                    shard,
                    key,
                    user: commit.user,
                    commit: Some(commit),
                }
            }
            ToRegistry::Accounts(..) => unreachable!("the front asks for accounts"),
            ToRegistry::Complete(_, statuses) => {
                return checks::compare_statuses(&statuses, &self.model);
            }
        };
        ensure("home", ask.shard == from, || {
            format!("{from:?} asks as {:?}", ask.shard)
        })?;
        self.registry.ask(ask, &self.settings, self.shard_count())
    }

    fn take_reply(&mut self, reply: ToHttp, seen: &mut Vec<Shown>) -> Result<(), Failure> {
        match reply {
            ToHttp::Statuses(_, statuses) => checks::compare_statuses(&statuses, &self.model),
            ToHttp::Kicked(request, answer) => {
                seen.push(Shown::Kicked(request, answer));
                Ok(())
            }
            ToHttp::Inspected(request, inspection) => {
                let inspection = inspection.ok().flatten();
                seen.push(Shown::Inspected(request, inspection.is_some()));
                let inspection = inspection.as_deref();
                inspection.map_or(Ok(()), |seen| {
                    checks::compare_inspection((request, seen), &self.model, self.now)
                })
            }
            ToHttp::Sent(request, results) => {
                let sent_to = self.message_sent(request, &results)?;
                seen.push(Shown::Sent(request, sent_to));
                Ok(())
            }
            ToHttp::Accounts(..) => unreachable!("the registry answers for accounts"),
        }
    }

    /// Whoever met a limit of its user is told when it may come back.
    fn check_wait(&self, link: Link, packet: &response::Packet) -> Result<(), Failure> {
        let Some(wait) = crowd::told_to_wait(packet, &[Code::UserLimit]) else {
            return Ok(());
        };
        let must = self.model.login_wait_ms(self.terminals[&link].user);
        ensure("rate", wait >= must, || {
            format!("{link:?} is to wait {wait} ms, and has a login in {must} ms")
        })
    }

    pub(crate) fn check_arrival(&self, link: Link, arrival: &Arrival) -> Result<(), Failure> {
        let login = self.terminals[&link]
            .login
            .as_ref()
            .expect("it moves for a login");
        let seen = &arrival.login;
        let fits = (seen.user, seen.device, seen.signed_at_s, seen.background)
            == (login.user, login.device, login.signed_at_s, login.background)
            && seen.session.map_or(0, |session| session.0) == login.session
            && arrival.peer == self.terminals[&link].way.peer(link);
        ensure("arrival", fits, || format!("{arrival:?} of {login:?}"))
    }
}
