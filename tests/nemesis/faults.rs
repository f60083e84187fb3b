//! What can go wrong: each fault is done to the world, and taken back. All that is chosen is chosen by the world's seed.

use std::time::Duration;

use holdfast::base::ids::PartitionId;
use holdfast::services::shared_store::keys::Tags;
use rustix::process::Signal;

use crate::history::Event;
use crate::network::{Cut, Group};
use crate::world::{ALL_NODES, ALL_SERVERS, OUTSIDE, PARTITIONS, World, comes_true};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of a node, which is started again in its place at the end.
    KillNode,
    /// The same, and it is started again at once.
    CrashNode,
    /// A node stands still, for longer than its lease if the fault lasts so long.
    PauseNode,
    /// `kill -9` of a master, which comes back as a replica if it was replaced meanwhile.
    KillMaster,
    KillReplica,
    /// A master stands still until its replica is promoted, and goes on.
    PauseMaster,
    /// Nothing goes from a node to the shared store.
    CutNodeToStore,
    /// Nothing comes from the shared store to a node.
    CutStoreToNode,
    /// Nothing goes from a node to the other nodes.
    CutNodeToPeers,
    /// Nothing comes from the other nodes to a node.
    CutPeersToNode,
    /// Nothing goes from a node to terminals, receiver and backend.
    CutNodeToOutside,
    /// Nothing comes from them to a node.
    CutOutsideToNode,
    /// A node hears nobody and is heard by nobody.
    CutNode,
    /// A server of the shared store hears nobody and is heard by nobody.
    CutServer,
    /// The wall clocks of some nodes are an hour ahead, those of others an hour behind. Redis does not run under libfaketime.
    Clocks,
    /// A node hands over all it has, and ends. It is started again at the end.
    Drain,
    /// All nodes are stopped and started, one after the other.
    RollingRestart,
    /// A node is added, and drained at the end.
    AddNode,
    /// The slot of a partition moves to another master, and back.
    Reshard,
}

/// All kinds.
pub const ALL: [Fault; 19] = [
    Fault::KillNode,
    Fault::CrashNode,
    Fault::PauseNode,
    Fault::KillMaster,
    Fault::KillReplica,
    Fault::PauseMaster,
    Fault::CutNodeToStore,
    Fault::CutStoreToNode,
    Fault::CutNodeToPeers,
    Fault::CutPeersToNode,
    Fault::CutNodeToOutside,
    Fault::CutOutsideToNode,
    Fault::CutNode,
    Fault::CutServer,
    Fault::Clocks,
    Fault::Drain,
    Fault::RollingRestart,
    Fault::AddNode,
    Fault::Reshard,
];

/// What was done, and has to be taken back.
pub enum Done {
    /// A node is gone.
    NodeGone(usize),
    /// A node that leaves as soon as it can.
    NodeLeaving,
    NodePaused(usize),
    ServerGone(usize),
    ServerPaused(usize),
    Cuts(Vec<Cut>),
    Clocks,
    Added(usize),
    Resharded {
        slot: u16,
        home: usize,
    },
    /// It is over by itself.
    Nothing,
}

const HOUR_S: i64 = 3_600;

/// A node that was started again is back within this time, or not as long as something else is wrong.
const BACK: Duration = Duration::from_secs(10);

/// A node has handed over all it has within this time, or cannot as long as something else is wrong.
const DRAINED: Duration = Duration::from_secs(15);

/// Servers that stand still are replaced within this time, or never.
const FAILOVER: Duration = Duration::from_secs(20);

impl Fault {
    /// Does it.
    pub fn inject(self, world: &mut World) -> Done {
        let begin = world.recorder.now();
        let done = self.act(world);
        self.note(world, false, begin);
        done
    }

    /// Takes it back, and does not wait until all is well.
    pub fn heal(self, world: &mut World, done: Done) {
        let begin = world.recorder.now();
        done.undo(world);
        self.note(world, true, begin);
    }

    fn note(self, world: &World, heals: bool, begin: u64) {
        world.recorder.record(&Event::Fault {
            name: format!("{self:?}"),
            heals,
            begin,
            end: world.recorder.now(),
        });
    }

    fn act(self, world: &mut World) -> Done {
        match self {
            Self::KillNode | Self::CrashNode | Self::PauseNode | Self::Drain | Self::RollingRestart => {
                self.act_on_nodes(world)
            }
            Self::KillMaster | Self::KillReplica | Self::PauseMaster | Self::Reshard => {
                self.act_on_servers(world)
            }
            Self::Clocks => {
                set_clocks(world, HOUR_S);
                Done::Clocks
            }
            Self::AddNode => {
                let place = world.add_node();
                world.start_node(place);
                Done::Added(place)
            }
            Self::CutServer => {
                let server = world.rng.usize(..world.servers.0.len());
                let address = Group::one(world.servers.0[server].address());
                cut(
                    world,
                    both(address, Group(std::net::Ipv4Addr::new(10, 77, 0, 0), 16)),
                )
            }
            Self::CutNodeToStore
            | Self::CutStoreToNode
            | Self::CutNodeToPeers
            | Self::CutPeersToNode
            | Self::CutNodeToOutside
            | Self::CutOutsideToNode
            | Self::CutNode => {
                let node = running(world);
                let cuts = self.cuts(Group::one(world.nodes[node].host.address));
                cut(world, cuts)
            }
        }
    }

    fn cuts(self, node: Group) -> Vec<Cut> {
        let way = |from, to| vec![Cut { from, to }];
        match self {
            Self::CutNodeToStore => way(node, ALL_SERVERS),
            Self::CutStoreToNode => way(ALL_SERVERS, node),
            Self::CutNodeToPeers => way(node, ALL_NODES),
            Self::CutPeersToNode => way(ALL_NODES, node),
            Self::CutNodeToOutside => way(node, OUTSIDE),
            Self::CutOutsideToNode => way(OUTSIDE, node),
            _ => both(node, Group(std::net::Ipv4Addr::new(10, 77, 0, 0), 16)),
        }
    }

    fn act_on_nodes(self, world: &mut World) -> Done {
        if self == Self::RollingRestart {
            for place in 0..world.nodes.len() {
                restart(world, place);
            }
            return Done::Nothing;
        }
        let node = running(world);
        let gateway = world.nodes[node].gateway.as_ref().expect("it runs");
        match self {
            Self::PauseNode => {
                gateway.pause();
                world.nodes[node].is_paused = true;
                return Done::NodePaused(node);
            }
            Self::Drain => {
                world.drain(node);
                if !world.ends_within(DRAINED, node) {
                    return Done::NodeLeaving;
                }
                return Done::NodeGone(node);
            }
            _ => gateway.kill(),
        }
        world.nodes[node].gateway = None;
        world.open_doors();
        if self == Self::CrashNode {
            world.start_node(node);
            return Done::Nothing;
        }
        Done::NodeGone(node)
    }

    fn act_on_servers(self, world: &mut World) -> Done {
        let tags = Tags::new(PARTITIONS);
        let slot = tags.slot(PartitionId(world.rng.u16(..PARTITIONS)));
        let masters = world.servers.masters();
        let chosen = if self == Self::KillReplica {
            let replicas = (0..world.servers.0.len()).filter(|number| !masters.contains(number));
            world.rng.choice(replicas.collect::<Vec<_>>())
        } else {
            world.servers.master_of(slot)
        };
        let Some(server) = chosen else {
            return Done::Nothing;
        };
        match self {
            Self::PauseMaster => {
                world.servers.0[server].signal(Signal::STOP);
                comes_true(FAILOVER, || {
                    world
                        .servers
                        .master_of(slot)
                        .is_some_and(|master| master != server)
                });
                Done::ServerPaused(server)
            }
            Self::Reshard => {
                let others: Vec<_> = masters.into_iter().filter(|master| *master != server).collect();
                let Some(target) = world.rng.choice(others) else {
                    return Done::Nothing;
                };
                world.servers.reshard(slot, server, target);
                Done::Resharded { slot, home: server }
            }
            _ => {
                world.servers.0[server].kill();
                Done::ServerGone(server)
            }
        }
    }
}

impl Done {
    /// Whether others have to be well for it to be taken back.
    pub fn is_taken_back_last(&self) -> bool {
        matches!(self, Self::Added(_) | Self::Resharded { .. })
    }

    fn undo(self, world: &mut World) {
        match self {
            Self::NodeGone(place) => world.start_node(place),
            Self::NodePaused(place) => {
                world.nodes[place].is_paused = false;
                let gateway = world.nodes[place].gateway.as_ref();
                gateway.expect("who stands still is left alone").go_on();
            }
            Self::ServerGone(server) => world.servers.0[server].restart(),
            Self::ServerPaused(server) => world.servers.0[server].signal(Signal::CONT),
            Self::Cuts(cuts) => cuts.into_iter().for_each(|cut| world.network.mend(cut)),
            Self::Clocks => set_clocks(world, 0),
            Self::Added(place) => {
                world.drain(place);
                world.wait_ended(place);
            }
            Self::Resharded { slot, home } => {
                world.servers.wait_whole();
                let master = world.servers.master_of(slot);
                // The one that had it may be no master any more.
                if let Some(master) = master.filter(|_| world.servers.0[home].is_master()) {
                    world.servers.reshard(slot, master, home);
                }
            }
            // When it has ended, its supervisor starts it again.
            Self::NodeLeaving | Self::Nothing => {}
        }
    }
}

/// A node that runs.
fn running(world: &mut World) -> usize {
    let running = (0..world.nodes.len()).filter(|place| world.nodes[*place].runs());
    let running: Vec<_> = running.collect();
    world.rng.choice(running).expect("a node runs")
}

fn both(one: Group, other: Group) -> Vec<Cut> {
    let (there, back) = (Cut { from: one, to: other }, Cut { from: other, to: one });
    vec![there, back]
}

fn cut(world: &mut World, cuts: Vec<Cut>) -> Done {
    for cut in &cuts {
        world.network.cut(*cut);
    }
    Done::Cuts(cuts)
}

fn restart(world: &mut World, place: usize) {
    if !world.nodes[place].runs() {
        return;
    }
    let gateway = world.nodes[place].gateway.as_ref();
    gateway.expect("it runs").ask_to_stop();
    world.wait_ended(place);
    world.start_node(place);
    // If it cannot be back, for what else is wrong, the next one has its turn all the same.
    comes_true(BACK, || world.is_ready(place));
}

/// One node is ahead by so much, the next one behind, and the third is right.
fn set_clocks(world: &World, seconds: i64) {
    let signs = [1, -1, 0].into_iter().cycle();
    for (node, sign) in world.nodes.iter().zip(signs) {
        node.set_clock(seconds * sign);
    }
}
