//! What logic was told, one call after the other: checked against what the network did, told to the model, and compared with it.

use crate::base::ids::{ConnKey, ShardId};
use crate::engine::connection::ConnectionStage;
use crate::logic::Effect;
use crate::sim::checks::{self, Failure, ensure};
use crate::sim::model::link::Whose;
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
            LogicWord::Opened(key, peer) => {
                let link = self.comes_in(shard, key, |place| place == Place::Coming)?;
                let way = self.terminals[&link].way;
                let is_it = peer == way.peer(link) && !way.names_client();
                ensure("peer", is_it, || format!("{peer:?} is {link:?}"))?;
                self.model.opened(link, shard, Whose::Clients);
                self.is_heard(link);
            }
            LogicWord::ProxyOpened(key) => {
                let link = self.comes_in(shard, key, |place| place == Place::Coming)?;
                let is_it = self.terminals[&link].way.names_client();
                ensure("peer", is_it, || format!("{link:?} is no proxy"))?;
                self.model.opened(link, shard, Whose::Proxys);
                self.is_heard(link);
            }
            LogicWord::ClientKnown(key, address) => {
                let link = self.link_at(shard, key)?;
                let is_it = self.terminals[&link].way.peer(link).address == address;
                ensure("peer", is_it, || format!("{address} is {link:?}"))?;
                self.model.client_known(link);
            }
            LogicWord::Alive(key) => {
                let link = self.link_at(shard, key)?;
                self.life_is_heard(link)?;
                self.model.alive(link);
            }
            LogicWord::TransportSkipped(key) => {
                let link = self.link_at(shard, key)?;
                self.is_skipped(link)?;
                self.model.skipped(link);
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
                self.packets_are_read(link, &bytes)?;
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
            LogicWord::TurnEnded => {}
        }
        Ok(())
    }

    /// Logic is told of a connection: what was said before comes to the model's ears.
    fn is_heard(&mut self, link: Link) {
        let terminal = self.terminals.get_mut(&link).expect("it came in");
        for sent in terminal.unheard.drain(..) {
            self.model.sent(link, sent);
        }
    }

    fn tell_model(&mut self, event: &Event) {
        match event {
            Event::Registry(user, says, _) => self.model.registry_answered(*user, *says),
            Event::Kick(request, user, whom) => self.model.kicked(*request, *user, *whom),
            Event::Inspect(request, user) => self.model.inspect(*request, *user),
            Event::Send(request, user, _) => self.model.send(*request, *user),
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
