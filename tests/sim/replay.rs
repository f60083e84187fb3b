//! What logic was told, one call after the other: checked against what the network did, told to the model, and compared with it.

use crate::base::ids::{ConnKey, ShardId};
use crate::engine::connection::ConnectionStage;
use crate::logic::{Effect, LinkLoss};
use crate::sim::checks::{self, Failure, ensure};
use crate::sim::shown::{Link, Shown};
use crate::sim::terminal::Place;
use crate::sim::watched::{LogicStep, LogicWord};
use crate::sim::world::{Event, World};

impl World {
    /// Compares all that logic was told, and asked for, with the model. The first may be an event of the world.
    pub(crate) fn replay(
        &mut self,
        shard: ShardId,
        steps: Vec<LogicStep>,
        event: Option<&Event>,
    ) -> Result<(), Failure> {
        for step in steps {
            let mut seen = Vec::new();
            self.replay_step(shard, step, event, &mut seen)?;
            self.compare(shard, seen)?;
        }
        Ok(())
    }

    pub(crate) fn replay_step(
        &mut self,
        shard: ShardId,
        step: LogicStep,
        event: Option<&Event>,
        seen: &mut Vec<Shown>,
    ) -> Result<(), Failure> {
        self.note(|| format!("{shard:?}: {:?}", step.told));
        self.model.begin(self.now, step.orders);
        self.hear(shard, step.told, event)?;
        for effect in step.effects {
            self.note(|| format!("   {effect:?}"));
            self.one_effect(shard, effect, seen)?;
        }
        Ok(())
    }

    pub(crate) fn compare(&mut self, shard: ShardId, seen: Vec<Shown>) -> Result<(), Failure> {
        let must = self.model.shown();
        checks::compare(seen, must)?;
        let agreed = self.model.agrees_who_starves(shard);
        let (shown, must) = (&self.model.orders.starving, &self.model.starved);
        ensure("room", agreed, || {
            format!("waiting for room: {shown:?}, by the rules {must:?}")
        })
    }

    fn hear(&mut self, shard: ShardId, told: LogicWord, event: Option<&Event>) -> Result<(), Failure> {
        match told {
            LogicWord::Opened(key) => {
                let link = self.comes_in(shard, key, |place| place == Place::Coming)?;
                self.model.opened(link, shard);
                let terminal = self.terminals.get_mut(&link).expect("it came in");
                for sent in terminal.unheard.drain(..) {
                    self.model.sent(link, sent);
                }
            }
            LogicWord::Arrived(key, arrival) => {
                let link = self.comes_in(shard, key, |place| matches!(place, Place::Moving(_)))?;
                self.check_arrival(link, &arrival)?;
                let login = self.terminals[&link].login.clone().expect("a login made it move");
                self.model.arrived(link, login);
            }
            LogicWord::Stayed(key) => {
                let link = self.comes_in(shard, key, |place| matches!(place, Place::Moving(_)))?;
                let home = self.terminals[&link].user.home(self.shard_count());
                self.turned_away[usize::from(home.0)] = true;
                self.model.stayed(link);
            }
            LogicWord::Received(key, bytes) => {
                let link = self.link_at(shard, key)?;
                self.socket(link, |socket| socket.tell(&bytes));
                self.model.received(link, bytes.len());
            }
            LogicWord::Closed(key, loss) => {
                let link = self.link_at(shard, key)?;
                self.check_loss(link, loss)?;
                self.goes(shard, key, Place::Over);
                self.model.closed(link);
            }
            LogicWord::TurnedAway => {
                let was_due = std::mem::take(&mut self.turned_away[usize::from(shard.0)]);
                ensure("turned away", was_due, || format!("nobody, at {shard:?}"))?;
                self.model.pause_grace(shard);
            }
            LogicWord::Delivered => self.tell_model(event.expect("the world sent it")),
            LogicWord::Expired => self.model.time_passed(shard),
        }
        Ok(())
    }

    fn tell_model(&mut self, event: &Event) {
        match event {
            Event::Registry(user, says, _) => self.model.registry_answered(*user, *says),
            Event::Kick(request, user, whom) => self.model.kicked(*request, *user, *whom),
            Event::Inspect(request, user) => self.model.inspect(*request, *user),
            Event::Query(..) => {}
        }
    }

    /// Logic is told of a connection that it does not know: which is in the slot, and comes from where it must.
    fn comes_in(
        &mut self,
        shard: ShardId,
        key: ConnKey,
        may_come: impl FnOnce(Place) -> bool,
    ) -> Result<Link, Failure> {
        let socket = self.kernel.borrow_mut().socket_of(usize::from(shard.0), key.slot);
        let link = Link::of_socket(socket);
        let place = self.terminals.get(&link).map(|terminal| terminal.place);
        let (stage, known) = (self.stage(shard, key), &mut self.known[usize::from(shard.0)]);
        let comes = place.is_some_and(may_come) && stage != ConnectionStage::Free;
        ensure("nobody", comes, || {
            format!("{link:?} comes to {shard:?} as {key:?}, and was {place:?}")
        })?;
        known.insert(key, link);
        self.terminals.get_mut(&link).expect("it was just seen").place = Place::At(shard, key);
        Ok(link)
    }

    /// Logic has forgotten a connection.
    pub(crate) fn goes(&mut self, shard: ShardId, key: ConnKey, to: Place) {
        let known = &mut self.known[usize::from(shard.0)];
        let link = known.remove(&key).expect("it was just seen");
        self.terminals.get_mut(&link).expect("logic knew it").place = to;
    }

    /// A link ends by the terminal, which then was heard to its end, or because it does not read.
    fn check_loss(&self, link: Link, loss: LinkLoss) -> Result<(), Failure> {
        let (is_slow, has_ended, is_told) = self.socket(link, |socket| {
            (socket.reads_slowly(), socket.has_ended(), socket.is_told())
        });
        let holds = match loss {
            LinkLoss::SlowReader => is_slow,
            LinkLoss::Peer => has_ended && is_told,
            LinkLoss::Mistake => false,
        };
        ensure("loss", holds, || {
            format!("{link:?} is lost by {loss:?}: slow {is_slow}, ended {has_ended}, heard {is_told}")
        })
    }

    /// What logic asked for a connection, the machine does.
    pub(crate) fn stage(&self, shard: ShardId, key: ConnKey) -> ConnectionStage {
        match self.shards[usize::from(shard.0)].in_slot(key.slot) {
            (known, stage) if known == key => stage,
            _ => ConnectionStage::Free,
        }
    }

    pub(crate) fn link_at(&self, shard: ShardId, key: ConnKey) -> Result<Link, Failure> {
        let known = self.known[usize::from(shard.0)].get(&key).copied();
        known.ok_or_else(|| Failure {
            check: "nobody",
            text: format!("something for {key:?} of {shard:?}, which is nobody"),
        })
    }

    pub(crate) fn expect_stage(
        &self,
        shard: ShardId,
        (key, effect): (ConnKey, &Effect),
        is_it: impl FnOnce(ConnectionStage) -> bool,
    ) -> Result<(), Failure> {
        let stage = self.stage(shard, key);
        ensure("carried out", is_it(stage), || format!("{effect:?}: {stage:?}"))
    }
}
