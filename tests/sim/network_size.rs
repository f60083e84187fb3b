//! How large one run's network is: tables, buffers, and how many may be on their way. Makes its kernel and its shards.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::base::ids::UserId;
use crate::base::time::Now;
use crate::kernel::model::Model as Kernel;
use crate::kernel::ring::ModelRing;
use crate::kernel::shared::SharedRing;
use crate::logic::settings::Settings;
use crate::shard::Shard;
use crate::sim::watched::WatchedLogic;
use crate::sim::world::World;

/// What one run's kernel has room for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NetworkSize {
    /// Of each shard.
    pub(crate) slots: u32,
    buffers: u16,
    buffer_bytes: usize,
    /// Connections that can be on their way to a shard at once.
    pub(crate) arrivals_max: usize,
}

/// Of so many moves one finds no room, and one arrives untold, which takes a slot for good.
const MOVE_FAILS_ONE_IN: u32 = 60;

impl NetworkSize {
    pub(crate) fn some(random: &mut fastrand::Rng) -> Self {
        let mut choice = |all: [usize; 4]| random.choice(all).expect("there are four");
        Self {
            slots: u32::try_from(choice([8, 64, 64, 64])).expect("few slots"),
            buffers: u16::try_from(choice([1, 2, 4, 16])).expect("few buffers"),
            buffer_bytes: choice([50, 512, 512, 512]),
            arrivals_max: choice([1, 2, 8, 64]),
        }
    }

    pub(crate) fn kernel(self, random: fastrand::Rng, shards: u16) -> Rc<RefCell<Kernel>> {
        Rc::new(RefCell::new(Kernel::new(
            random,
            self.rings(shards),
            MOVE_FAILS_ONE_IN,
        )))
    }

    pub(crate) fn rings(self, shards: u16) -> Vec<ModelRing> {
        let ring = |_| ModelRing::new(self.slots as usize, self.buffers, self.buffer_bytes);
        (0..shards).map(ring).collect()
    }

    /// The shards of a gateway on these rings.
    pub(crate) fn shards(
        self,
        (now, seed): (Now, u64),
        kernel: &Rc<RefCell<Kernel>>,
        settings: &Arc<Settings>,
        users: &[UserId],
    ) -> Vec<Shard<SharedRing, WatchedLogic>> {
        let count = u16::try_from(kernel.borrow().rings.len()).expect("few shards");
        let logics = World::logics(now, seed, (count, self.slots), settings, users);
        let shared = |ring| SharedRing {
            model: Rc::clone(kernel),
            ring,
        };
        let all = (0..).map(shared).zip(logics).collect();
        Shard::simulated(now, all, (self.slots, self.arrivals_max))
    }
}
