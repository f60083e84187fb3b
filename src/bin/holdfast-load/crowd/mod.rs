//! The crowd: terminals on rings, a thread each, and its director, who gives orders and hears what came of them. It
//! knows what terminals speak and nothing else of the server that they go to.

pub(crate) mod board;
pub(crate) mod dialect;
pub(crate) mod mqtt;
pub(crate) mod orders;
pub(crate) mod terminal;

mod drive;
mod link;
mod packets;
mod ring;

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};
use holdfast::base::time::Stopwatch;
use holdfast::engine::setup::{PreparedRing, Size, slots_max};
use holdfast::engine::wake::{self, Waker};

use board::Board;
use dialect::Dialect;
use orders::{DriveId, Known, Links, Op, Order, Outcome, Pick, Said, Spec};
use ring::{CrowdRing, Seat};
use terminal::Identities;

/// Of the descriptors that a ring may have, so many stay free: a slot is free only when its close has ended.
const SPARE_SLOTS: u32 = 500;
/// Receive buffers of a ring. A thousand answers may come between two looks.
const BUFFERS: u16 = 1_024;
/// How often the director looks up while it waits.
const LOOK: Duration = Duration::from_millis(100);
/// How long anything that was begun may take to end. A connect that the gateway's full backlog dropped is tried again by
/// the kernel after 1, 2, 4 and 8 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the names of the rings' threads begin with.
pub(crate) const CROWD_THREADS: &str = "crowd-";

/// One ring's thread, seen from the director.
struct Desk {
    orders: Sender<Order>,
    /// There is an order that the ring has not looked for.
    queued: Arc<AtomicBool>,
    waker: Waker,
    thread: JoinHandle<anyhow::Result<()>>,
    first: u32,
    count: u32,
}

/// All terminals.
pub(crate) struct Crowd {
    desks: Vec<Desk>,
    said: Receiver<(u16, Said)>,
    pub(crate) board: Arc<Board>,
    pub(crate) count: u32,
    drives: DriveId,
    /// Drives whose parts have not all ended: how many are missing, and what came of the others.
    open: Vec<(DriveId, usize, Outcome)>,
    looked: Vec<Known>,
}

/// What a drive of the whole crowd is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) op: Op,
    pub(crate) pick: Pick,
    /// Terminals by number, from the first up to, not including, the second.
    pub(crate) range: (u32, u32),
    /// Under way at once, in all rings together; at least one in each.
    pub(crate) window: u32,
    /// Begun in a second, in all rings together.
    pub(crate) per_second: Option<f64>,
}

/// The most terminals of one ring on this machine.
pub(crate) fn per_ring_max() -> u32 {
    slots_max().saturating_sub(SPARE_SLOTS).max(1)
}

impl Crowd {
    /// Starts the threads of `count` terminals, all away, that speak `dialect` with the server at `target`.
    pub(crate) fn start(
        count: u32,
        (target, dialect): (SocketAddrV4, Dialect),
        identities: &Identities,
    ) -> anyhow::Result<Self> {
        // Two devices of one user have to be in one ring.
        let per_ring = per_ring_max() & !1;
        let rings = count.div_ceil(per_ring);
        let (say, said) = channel();
        let board = Arc::new(Board::default());
        let watch = Stopwatch::start();
        let mut desks = Vec::new();
        for place in 0..rings {
            let first = place * per_ring;
            let seat = Seat {
                place: u16::try_from(place).context("there are too many connections for 65,536 rings")?,
                first,
                count: per_ring.min(count - first),
                target,
                dialect,
                identities: identities.clone(),
                board: Arc::clone(&board),
                watch,
            };
            desks.push(start_ring(seat, say.clone())?);
        }
        Ok(Self {
            desks,
            said,
            board,
            count,
            drives: 0,
            open: Vec::new(),
            looked: Vec::new(),
        })
    }

    /// Begins something. It goes on until [`Crowd::end`], or until all of a walk have had their turn.
    pub(crate) fn begin(&mut self, plan: Plan) -> DriveId {
        self.drives += 1;
        let id = self.drives;
        let length = f64::from(plan.range.1.saturating_sub(plan.range.0)).max(1.0);
        let parts: Vec<(&Desk, u32, u32)> = self
            .desks
            .iter()
            .map(|desk| {
                let first = plan.range.0.max(desk.first);
                (desk, first, plan.range.1.min(desk.first + desk.count))
            })
            .filter(|(_, first, end)| first < end)
            .collect();
        for (place, (desk, first, end)) in parts.iter().enumerate() {
            let share = f64::from(end - first) / length;
            let spec = Spec {
                op: plan.op,
                pick: plan.pick,
                range: (first - desk.first, end - desk.first),
                window: ((f64::from(plan.window) * share).ceil() as u32).max(1),
                per_second: plan.per_second.map(|rate| rate * share),
                first_after: (place + 1) as f64 / parts.len() as f64,
            };
            desk.give(Order::Start(id, spec));
        }
        let parts = parts.len();
        self.open.push((id, parts, Outcome::default()));
        id
    }

    /// Lets each terminal of `range` that can do `op` do it once, `window` at a time. `look` is called meanwhile.
    pub(crate) fn each(
        &mut self,
        op: Op,
        range: (u32, u32),
        window: u32,
        look: &mut dyn FnMut(&Board),
    ) -> anyhow::Result<Outcome> {
        let pick = Pick::Once;
        let id = self.begin(Plan {
            op,
            pick,
            range,
            window,
            per_second: None,
        });
        let mut progress = (self.board.answers(), Stopwatch::start());
        let in_vain = move |board: &Board| {
            if board.answers() != progress.0 {
                progress = (board.answers(), Stopwatch::start());
            }
            progress.1.elapsed()
        };
        self.join(id, in_vain, look)
    }

    /// Lets nothing more begin, and waits for what is under way.
    pub(crate) fn end(&mut self, id: DriveId, look: &mut dyn FnMut(&Board)) -> anyhow::Result<Outcome> {
        self.desks.iter().for_each(|desk| desk.give(Order::Stop(id)));
        let watch = Stopwatch::start();
        // Answers may be those of another drive.
        self.join(id, |_| watch.elapsed(), look)
    }

    /// Waits until a drive has ended. `in_vain` says for how long that has been without a sign of it.
    fn join(
        &mut self,
        id: DriveId,
        mut in_vain: impl FnMut(&Board) -> Duration,
        look: &mut dyn FnMut(&Board),
    ) -> anyhow::Result<Outcome> {
        loop {
            if let Some(place) = self
                .open
                .iter()
                .position(|(open, parts, _)| *open == id && *parts == 0)
            {
                return Ok(self.open.swap_remove(place).2);
            }
            self.hear(LOOK)?;
            look(&self.board);
            if in_vain(&self.board) > PATIENCE {
                bail!(
                    "nothing has come for {} s of what is still under way: {} terminals are logged in",
                    PATIENCE.as_secs(),
                    self.board.live()
                );
            }
        }
    }

    /// Passes `duration`, calling `look` now and then.
    pub(crate) fn pass(&mut self, duration: Duration, look: &mut dyn FnMut(&Board)) -> anyhow::Result<()> {
        let watch = Stopwatch::start();
        while let Some(left) = duration
            .checked_sub(watch.elapsed())
            .filter(|left| !left.is_zero())
        {
            self.hear(left.min(LOOK))?;
            look(&self.board);
        }
        Ok(())
    }

    /// Waits until every ring has heard all orders.
    pub(crate) fn hear_out(&mut self) -> anyhow::Result<()> {
        let firsts: Vec<u32> = self.desks.iter().map(|desk| desk.first).collect();
        self.look_at(&firsts).map(drop)
    }

    /// What some terminals know of their users.
    pub(crate) fn look_at(&mut self, numbers: &[u32]) -> anyhow::Result<Vec<Known>> {
        self.looked.clear();
        for desk in &self.desks {
            let own = numbers
                .iter()
                .filter(|number| (desk.first..desk.first + desk.count).contains(number));
            let slots: Vec<u32> = own.map(|number| number - desk.first).collect();
            if !slots.is_empty() {
                desk.give(Order::Look(slots));
            }
        }
        while self.looked.len() < numbers.len() {
            self.hear(LOOK)?;
        }
        Ok(std::mem::take(&mut self.looked))
    }

    /// What the end of a link that nobody asked for means from now on.
    pub(crate) fn links(&self, links: Links) {
        self.desks.iter().for_each(|desk| desk.give(Order::Links(links)));
    }

    /// Waits for one word of a ring.
    fn hear(&mut self, at_most: Duration) -> anyhow::Result<()> {
        match self.said.recv_timeout(at_most) {
            Ok((_, Said::Ended(id, outcome))) => {
                let open = self.open.iter_mut().find(|(open, _, _)| *open == id);
                let (_, parts, all) = open.context("a drive that nobody began has ended")?;
                *parts -= 1;
                all.add(&outcome);
            }
            Ok((_, Said::Looked(known))) => self.looked.extend(known),
            Err(RecvTimeoutError::Timeout) => {
                if self.desks.iter().any(|desk| desk.thread.is_finished()) {
                    bail!("a thread of the crowd has ended before its time");
                }
            }
            Err(RecvTimeoutError::Disconnected) => bail!("all threads of the crowd have ended"),
        }
        Ok(())
    }

    /// Ends the threads, and with them all links.
    pub(crate) fn quit(self) -> anyhow::Result<()> {
        self.desks.iter().for_each(|desk| desk.give(Order::Quit));
        for desk in self.desks {
            match desk.thread.join() {
                Ok(result) => result?,
                Err(_) => bail!("a thread of the crowd has panicked"),
            }
        }
        Ok(())
    }
}

impl Desk {
    fn give(&self, order: Order) {
        // A thread that has ended is found by whoever waits for it.
        let _ = self.orders.send(order);
        self.queued.store(true, Ordering::SeqCst);
        self.waker.wake();
    }
}

fn start_ring(seat: Seat, said: Sender<(u16, Said)>) -> anyhow::Result<Desk> {
    let (sleeper, waker) = wake::pair().context("no descriptor for a ring's eventfd")?;
    let size = Size {
        slots: seat.count,
        buffers: BUFFERS,
        accepts: 1,
    };
    let ring = PreparedRing::new(size, Vec::new(), sleeper.event())?;
    let (orders, ordered) = channel();
    let queued = Arc::new(AtomicBool::new(false));
    let (first, count) = (seat.first, seat.count);
    let seen = Arc::clone(&queued);
    let thread = std::thread::Builder::new()
        .name(format!("{CROWD_THREADS}{}", seat.place))
        .spawn(move || {
            let ring = ring.enable(Vec::new())?;
            CrowdRing::new(ring, seat).run(&ordered, &seen, &said, &sleeper);
            Ok(())
        })
        .context("no thread for a ring")?;
    Ok(Desk {
        orders,
        queued,
        waker,
        thread,
        first,
        count,
    })
}
