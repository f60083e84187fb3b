//! What single faults cost, when nothing else goes wrong: how long it takes until a node's partitions are open again, and what a wrong
//! replica does.

use super::process::{Line, PausePlan, Todo};
use super::shared_store::Ms;
use super::world::{Happening, World, WorldSize};
use crate::base::ids::PartitionId;
use crate::logic::cluster::home::Home;
use crate::services::cluster::event::{MemberEvent, Order};
use crate::services::cluster::settings::ADOPTIONS_MAX;
use crate::services::cluster::token::Token;
use crate::services::shared_store::calls::NodeState;

const SEEDS: u64 = 12;

fn world(seed: u64, nodes: u16) -> World {
    let size = WorldSize {
        nodes,
        partitions: 256,
        groups: 3,
        users: 256,
    };
    let mut world = World::new(seed, size);
    world.run(30_000 + seed * 37);
    world
}

fn all_open(world: &World) -> bool {
    (0..256).map(PartitionId).all(|partition| {
        world.slots.iter().any(|slot| {
            let process = slot.process.as_ref();
            process.is_some_and(|process| matches!(process.membership.home(partition), Home::Here(_)))
        })
    })
}

/// Kills a node; gives how long after its last beat all partitions were open, and after the kill. The node comes back after `back`.
fn kill(world: &mut World, back: Option<Ms>) -> (Ms, Ms) {
    assert!(all_open(world), "there was time enough");
    let beat = |world: &World| {
        world.groups[0]
            .master
            .nodes
            .get(&world.slots[0].node)
            .map(|row| row.beat)
    };
    let last = beat(world);
    // Right before the next beat, so that the silence before the kill is as long as can be.
    let mut beaten = world.now;
    while beat(world) == last || world.now < beaten + 900 {
        let before = beat(world);
        world.run(world.now + 10);
        if beat(world) != before {
            beaten = world.now;
        }
    }
    let killed = world.now;
    world.kill(0);
    if let Some(back) = back {
        world.after(back, Happening::Start { slot: 0 });
    }
    while !all_open(world) && world.now < killed + 30_000 {
        world.run(world.now + 10);
    }
    assert_eq!(world.history.fault, None);
    (world.now - beaten, world.now - killed)
}

#[test]
fn a_lost_host_is_replaced_within_12_s_of_its_last_beat() {
    let mut worst = 0;
    for seed in 0..SEEDS {
        let nodes = 2 + u16::try_from(seed % 3).expect("it is small");
        let (time, _) = kill(&mut world(seed, nodes), None);
        assert!(time <= 12_000, "seed {seed}: {time} ms");
        worst = worst.max(time);
    }
    println!("a lost host: {worst} ms at most");
}

#[test]
fn a_node_that_crashes_and_is_started_again_has_its_partitions_within_6_s() {
    let mut worst = 0;
    for seed in 0..SEEDS {
        let nodes = 1 + u16::try_from(seed % 4).expect("it is small");
        let mut world = world(seed, nodes);
        let (time, _) = kill(&mut world, Some(1_000));
        assert!(time <= 6_000, "seed {seed}: {time} ms");
        worst = worst.max(time);
        let owned = (0..256).map(PartitionId).filter(|partition| {
            let process = world.slots[0].process.as_ref();
            process.is_some_and(|process| matches!(process.membership.home(*partition), Home::Here(_)))
        });
        assert!(
            owned.count() >= 256 / usize::from(nodes) * 8 / 10,
            "it has them itself"
        );
    }
    println!("a restart in place: {worst} ms at most");
}

#[test]
fn a_second_process_of_the_same_name_waits_until_the_first_is_dead() {
    for seed in 0..10 {
        let mut world = world(seed, 2);
        // The second host takes the first one's name.
        world.kill(1);
        world.run(world.now + 100);
        world.slots[1].node = world.slots[0].node;
        // Redirects to the node that is no more lead nowhere for a while.
        world.calm_since = world.now;
        world.start(1);
        world.run(world.now + 4_000);
        assert_eq!(world.history.fault, None);
        assert!(world.history.counts.name_taken > 0, "seed {seed}");
        world.run(world.now + 20_000);
        world.kill(0);
        // Its last beat may still be on its way.
        world.run(world.now + 100);
        world.kill(1);
        world.start(1);
        world.run(world.now + 7_000);
        let row = |world: &World| {
            let nodes = &world.groups[0].master.nodes;
            nodes.get(&world.slots[1].node).map(|row| (row.state, row.site))
        };
        assert_eq!(
            row(&world),
            Some((NodeState::Up, world.slots[0].site)),
            "seed {seed}"
        );
        world.run(world.now + 12_000);
        assert_eq!(world.history.fault, None);
        assert_eq!(
            row(&world),
            Some((NodeState::Up, world.slots[1].site)),
            "seed {seed}"
        );
    }
}

#[test]
fn a_node_takes_over_a_few_partitions_at_a_time() {
    let size = WorldSize {
        nodes: 1,
        partitions: 64,
        groups: 1,
        users: 64,
    };
    let mut world = World::new(1, size);
    let mut most = 0;
    for ms in 0..10_000 {
        world.run(ms);
        most = most.max(world.asked_by(0));
    }
    assert_eq!(most, ADOPTIONS_MAX);
}

fn here(world: &World, slot: usize, partition: PartitionId) -> bool {
    let process = world.slots[slot].process.as_ref();
    process.is_some_and(|process| matches!(process.membership.home(partition), Home::Here(_)))
}

fn small_world(seed: u64) -> World {
    let size = WorldSize {
        nodes: 2,
        partitions: 8,
        groups: 1,
        users: 32,
    };
    let mut world = World::new(seed, size);
    world.run(40_000);
    world
}

/// Changes both copies of the shared store, as the promotion of a wrong replica would.
fn change_store(world: &mut World, change: impl FnOnce(&mut super::shared_store::Copy)) {
    let now = world.now;
    let group = &mut world.groups[0];
    change(&mut group.master);
    group.lose_replica(now);
    group.attach();
}

#[test]
fn a_partition_whose_confirmed_changes_are_lost_is_not_opened_before_the_operator_says_so() {
    let mut world = small_world(3);
    world.expects_loss = true;
    let lost = (0..8)
        .map(PartitionId)
        .find(|p| here(&world, 0, *p) && world.history.position(*p) > 1);
    let lost = lost.expect("there were logins");
    world.kill(0);
    change_store(&mut world, |copy| {
        copy.metas[usize::from(lost.0)].chain.pop();
    });
    world.slots[0].no_process_until = 0;
    world.run(world.now + 15_000);
    assert_eq!(world.history.fault, None);
    assert!(world.history.counts.alarms > 0);
    let open = |world: &World| (0..8).map(PartitionId).filter(|p| here(world, 1, *p)).count();
    assert_eq!(open(&world), 7);
    assert!(!here(&world, 1, lost));
    let life = world.slots[1].lives;
    world.arrive(
        1,
        life,
        Todo::MemberEvent(MemberEvent::Ordered(Order::AcceptLoss(lost))),
    );
    world.run(world.now + 1_000);
    assert_eq!(open(&world), 8);
    let chain = &world.groups[0].master.metas[usize::from(lost.0)].chain;
    assert!(
        chain.len() as u64 >= world.history.position(lost),
        "no place is given twice"
    );
}

#[test]
fn a_claim_that_the_shared_store_has_lost_is_made_again_and_the_users_stay() {
    let mut world = small_world(5);
    let lost = (0..8)
        .map(PartitionId)
        .find(|p| here(&world, 0, *p))
        .expect("it has some");
    let before = world.groups[0].master.metas[usize::from(lost.0)].token;
    change_store(&mut world, |copy| {
        copy.metas[usize::from(lost.0)].token = Token::default();
    });
    let opened = world.history.counts.opened;
    world.run(world.now + 30_000);
    assert_eq!(world.history.fault, None);
    let after = world.groups[0].master.metas[usize::from(lost.0)].token;
    assert!(here(&world, 0, lost));
    assert_eq!(after, before.passed_to(before.owner));
    assert_eq!(world.history.counts.opened, opened, "nobody had to load it again");
    assert!(world.history.counts.resumed > 0);
}

#[test]
fn a_process_that_stood_still_before_it_saw_its_beat_answered_has_no_lease_once_others_own_what_it_held() {
    for seed in 0..12 {
        let mut world = small_world(seed);
        let beat = |world: &World| world.groups[0].master.nodes[&world.slots[0].node].beat;
        let before = beat(&world);
        while beat(&world) == before {
            world.run(world.now + 1);
        }
        // Before anything else the answer waits in the process, for almost as long as the lease of the beat before.
        if let Some(process) = &mut world.slots[0].process {
            process.pause_plan = Some(PausePlan {
                after: 0,
                lasts: 4_700,
            });
        }
        world.run(world.now + 10);
        world.slots[0].line = Line::RequestsLost;
        world.slots[0].line_bad_until = world.now + 20_000;
        let opened = world.history.counts.opened;
        world.run(world.now + 14_000);
        assert_eq!(world.history.fault, None, "seed {seed}");
        assert!(world.history.counts.opened > opened, "the other has taken over");
    }
}
