//! What shards ask for: compared with the model, looked at by whom it concerns, and carried out.

use crate::base::ids::{ConnKey, ShardId};
use crate::logic::delivery::{Delivery, ToHttp, ToRegistry};
use crate::logic::{Arrival, Effect};
use crate::protocol::native::proto::{Code, response};
use crate::sim::checks::{self, Failure, ensure};
use crate::sim::crowd;
use crate::sim::registry::Ask;
use crate::sim::shown::{self, Link, Said, Shown};
use crate::sim::terminal::Place;
use crate::sim::world::{Event, World, peer};

impl World {
    /// Compares what shows with the model, then lets the world do what was asked for.
    pub(crate) fn carry_out(&mut self, shard: ShardId, out: Vec<Effect>) -> Result<(), Failure> {
        let mut seen = Vec::new();
        let mut stayed = Vec::new();
        for effect in out {
            if self.trace {
                println!("      {shard:?} {effect:?}");
            }
            self.one_effect(shard, effect, &mut seen, &mut stayed)?;
        }
        let must = self.model.shown();
        checks::compare(seen, must)?;
        let agreed = self.model.agrees_who_starves(shard);
        let (shown, must) = (&self.model.orders.starving, &self.model.starved);
        ensure("room", agreed, || {
            format!("waiting for room: {shown:?}, by the rules {must:?}")
        })?;
        for link in stayed {
            let home = self.terminals[&link].user.home(self.shard_count());
            self.happen(shard, Event::Stayed(link))?;
            self.happen(home, Event::TurnedAway)?;
        }
        Ok(())
    }

    fn one_effect(
        &mut self,
        shard: ShardId,
        effect: Effect,
        seen: &mut Vec<Shown>,
        stayed: &mut Vec<Link>,
    ) -> Result<(), Failure> {
        match effect {
            Effect::Send(key, sent) => {
                let link = self.link_at(shard, key)?;
                let fault = |text| Failure {
                    check: "packet",
                    text,
                };
                let packet = shown::packet_of(&sent).map_err(fault)?;
                let said = shown::said(&packet, self.now, &self.settings).map_err(fault)?;
                if let Some(wait) = crowd::told_to_wait(&packet, &crowd::CROWDED) {
                    let crowd = &mut self.crowds[usize::from(shard.0)];
                    crowd.sent_away(shard, self.now.instant, wait, &self.settings)?;
                }
                self.hear(link, &said)?;
                self.check_wait(link, &packet)?;
                seen.push(Shown::Said(link, said));
            }
            Effect::Stay(key) => {
                let link = self.link_at(shard, key)?;
                let user = self.terminals[&link].user;
                let home = user.home(self.shard_count()) == shard;
                ensure("home", home, || format!("{user} stays at {shard:?}"))?;
            }
            Effect::Move(key, to, arrival) => {
                let link = self.link_at(shard, key)?;
                self.check_arrival(link, &arrival)?;
                seen.push(Shown::Moved(link, to));
                let lane = self.lanes.entry((shard, to)).or_default();
                if lane.len() < self.lane_room {
                    lane.push_back((link, arrival));
                    self.free(link);
                    self.terminals.get_mut(&link).expect("it moves").place = Place::Moving;
                } else {
                    stayed.push(link);
                }
            }
            Effect::Close(key) => {
                let link = self.link_at(shard, key)?;
                seen.push(Shown::Closed(link));
                self.free(link);
                self.terminals.remove(&link);
            }
            Effect::Deliver(Delivery::Registry(ask)) => self.take_ask(shard, ask, seen)?,
            Effect::Deliver(Delivery::Http(reply)) => self.take_reply(reply, seen)?,
            Effect::Deliver(Delivery::Shard(to, notice)) => {
                unreachable!("shards say nothing to one another: {notice:?} to {to:?}")
            }
            // They are for people; that they can be made at any time is what is seen here.
            Effect::Trace(_) => {}
        }
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
            ToHttp::Accounts(..) => unreachable!("the registry answers for accounts"),
        }
    }

    /// A terminal reads a packet.
    fn hear(&mut self, link: Link, said: &Said) -> Result<(), Failure> {
        let terminal = self.terminals.get_mut(&link).expect("it has a slot");
        terminal.hears(said).map_err(|text| Failure {
            check: "terminal",
            text,
        })?;
        if let Said::LoggedIn { session, .. } = said {
            let known = self.sessions.entry((terminal.user, terminal.device)).or_default();
            known.push(*session);
        }
        Ok(())
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

    fn check_arrival(&self, link: Link, arrival: &Arrival) -> Result<(), Failure> {
        let login = self.terminals[&link]
            .login
            .as_ref()
            .expect("it moves for a login");
        let seen = &arrival.login;
        let fits = (seen.user, seen.device, seen.signed_at_s, seen.background)
            == (login.user, login.device, login.signed_at_s, login.background)
            && seen.session.map_or(0, |session| session.0) == login.session
            && arrival.peer == peer(link);
        ensure("arrival", fits, || format!("{arrival:?} of {login:?}"))
    }

    fn link_at(&self, shard: ShardId, key: ConnKey) -> Result<Link, Failure> {
        let slot = self.slots[usize::from(shard.0)].get(key.slot as usize);
        match slot {
            Some(Some((known, link))) if *known == key => Ok(*link),
            Some(_) | None => {
                let text = format!("something for {key:?} of {shard:?}, which is nobody");
                Err(Failure {
                    check: "nobody",
                    text,
                })
            }
        }
    }
}
