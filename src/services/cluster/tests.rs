//! The whole table of a member: each standing and duty, whatever it hears.

pub(crate) mod simulated;

use std::fmt::Write;
use std::time::Duration;

use crate::base::ids::{Epoch, NodeId, PartitionId};
use crate::base::time::Instant;
use crate::logic::cluster::home::Home;
use crate::services::cluster::act::MemberAct;
use crate::services::cluster::event::{
    BeatAnswer, Contact, DepartAnswer, JoinAnswer, MemberEvent, Order, PartitionNews, SurveyAnswer,
};
use crate::services::cluster::membership::Membership;
use crate::services::cluster::settings::ClusterSettings;
use crate::services::cluster::table::{NodeRow, NodeTable};
use crate::services::cluster::token::{Incarnation, Owner, Site, Token};
use crate::services::shared_store::calls::NodeState;

const ME: Owner = Owner {
    node: NodeId(1),
    incarnation: Incarnation(5),
};
const START: Instant = Instant(1_000_000);

fn row(incarnation: u64, beat: u64, state: NodeState, site: u64) -> NodeRow {
    NodeRow {
        incarnation: Incarnation(incarnation),
        beat,
        state,
        site: Site(site),
        weight: 1,
        unreachable: Vec::new(),
    }
}

/// Node 2 lives and owns the only partition.
fn table(own: Option<NodeRow>) -> NodeTable {
    let mut nodes = std::collections::BTreeMap::from([(NodeId(2), row(2, 7, NodeState::Up, 20))]);
    nodes.extend(own.map(|own| (NodeId(1), own)));
    let owner = Owner {
        node: NodeId(2),
        incarnation: Incarnation(2),
    };
    let hints = vec![Token {
        owner: Some(owner),
        epoch: Epoch(1),
    }];
    NodeTable { nodes, hints }
}

fn up() -> NodeTable {
    table(Some(row(5, 1, NodeState::Up, 10)))
}

/// One that has heard all this, a second apart.
fn after(events: &[MemberEvent]) -> (Membership, Instant) {
    let settings = ClusterSettings::new(NodeId(1), Site(10), 1);
    let mut now = START;
    let mut member = Membership::new(now, settings);
    for event in events {
        member.handle(now, event.clone(), &mut Vec::new());
        now = now.after(Duration::from_secs(1));
    }
    (member, now)
}

fn counted(number: u64, table: NodeTable) -> MemberEvent {
    MemberEvent::Beaten {
        owner: ME,
        number,
        answer: BeatAnswer::Counted(table),
    }
}

fn beaten(answer: BeatAnswer) -> MemberEvent {
    MemberEvent::Beaten {
        owner: ME,
        number: 1,
        answer,
    }
}

fn told(act: &MemberAct) -> String {
    match act {
        MemberAct::Join { over: Some(row) } => {
            format!("Join over {}.{}", row.owner.node.0, row.owner.incarnation.0)
        }
        MemberAct::Join { over: None } => "Join".to_owned(),
        MemberAct::Beat { number, state, .. } => format!("Beat {number} {state:?}"),
        MemberAct::Bury(row) => format!("Bury {}.{}", row.owner.node.0, row.owner.incarnation.0),
        MemberAct::Depart { state, .. } => format!("Depart {state:?}"),
        MemberAct::Lease(lease) if lease.holds(START) => "Lease".to_owned(),
        MemberAct::Lease(_) => "Lease ends".to_owned(),
        MemberAct::SendAway { .. } => "SendAway".to_owned(),
        MemberAct::Survey
        | MemberAct::Publish { .. }
        | MemberAct::Ask { .. }
        | MemberAct::Open { .. }
        | MemberAct::Resume { .. }
        | MemberAct::Drop(_)
        | MemberAct::Alarm(_)
        | MemberAct::End(_) => format!("{act:?}"),
    }
}

fn surveyed(own: Option<NodeRow>) -> MemberEvent {
    MemberEvent::Surveyed(SurveyAnswer::Known(table(own)))
}

/// Where a member may stand, and what it has heard until then.
fn standings() -> Vec<(&'static str, Vec<MemberEvent>)> {
    let join = [MemberEvent::Tick, surveyed(None)];
    let member = [
        join.as_slice(),
        &[MemberEvent::Joined(JoinAnswer::Joined(Incarnation(5)))],
    ]
    .concat();
    let with = |order| [member.as_slice(), &[MemberEvent::Ordered(order)]].concat();
    vec![
        ("Surveying", vec![MemberEvent::Tick]),
        (
            "Waiting",
            vec![
                MemberEvent::Tick,
                surveyed(Some(row(4, 3, NodeState::Up, 11))),
                MemberEvent::Tick,
            ],
        ),
        ("Joining", join.to_vec()),
        ("Serving", member.clone()),
        ("Draining", with(Order::Drain)),
        (
            "Departing, drained",
            [
                with(Order::Drain).as_slice(),
                &[beaten(BeatAnswer::Counted(up()))],
            ]
            .concat(),
        ),
        ("Departing, stopped", with(Order::Stop)),
        (
            "Ended",
            [
                with(Order::Stop),
                vec![MemberEvent::Departed {
                    owner: ME,
                    answer: DepartAnswer::Done,
                }],
            ]
            .concat(),
        ),
    ]
}

/// What it may hear there.
fn all_events() -> Vec<(&'static str, MemberEvent)> {
    let departed = |answer| MemberEvent::Departed { owner: ME, answer };
    vec![
        ("tick", MemberEvent::Tick),
        ("surveyed: free", surveyed(None)),
        ("surveyed: dead", surveyed(Some(row(4, 3, NodeState::Dead, 11)))),
        (
            "surveyed: restarting",
            surveyed(Some(row(4, 3, NodeState::Restarting, 11))),
        ),
        ("surveyed: mine", surveyed(Some(row(4, 3, NodeState::Up, 10)))),
        (
            "surveyed: another's",
            surveyed(Some(row(4, 3, NodeState::Up, 11))),
        ),
        ("surveyed: it beats", surveyed(Some(row(4, 4, NodeState::Up, 11)))),
        ("surveyed: failed", MemberEvent::Surveyed(SurveyAnswer::Failed)),
        ("joined", MemberEvent::Joined(JoinAnswer::Joined(Incarnation(5)))),
        ("joined: occupied", MemberEvent::Joined(JoinAnswer::Occupied)),
        ("joined: failed", MemberEvent::Joined(JoinAnswer::Failed)),
        ("beaten", beaten(BeatAnswer::Counted(up()))),
        ("beaten: dead", beaten(BeatAnswer::Dead)),
        ("beaten: stranger", beaten(BeatAnswer::Stranger)),
        ("beaten: failed", beaten(BeatAnswer::Failed)),
        ("departed", departed(DepartAnswer::Done)),
        ("departed: failed", departed(DepartAnswer::Failed)),
        ("drain", MemberEvent::Ordered(Order::Drain)),
        ("stop", MemberEvent::Ordered(Order::Stop)),
    ]
}

#[test]
fn the_whole_table() {
    let mut lines = String::new();
    for (standing, history) in standings() {
        for (name, event) in all_events() {
            let (mut member, now) = after(&history);
            let mut acts = Vec::new();
            member.handle(now, event, &mut acts);
            let acts: Vec<String> = acts.iter().map(told).collect();
            let next = member.standing_name();
            writeln!(lines, "{standing:<19} {name:<21} {next:<10} {}", acts.join(", "))
                .expect("a string takes all");
        }
    }
    insta::assert_snapshot!(lines);
}

/// A member that had its last beat counted at the beginning, and hears this from node 2 every second. Gives the second in which it sends
/// all terminals away.
fn sends_away(contact: Option<Contact>) -> Option<u64> {
    let joined = MemberEvent::Joined(JoinAnswer::Joined(Incarnation(5)));
    let (mut member, beaten_at) = after(&[MemberEvent::Tick, surveyed(None), joined]);
    let mut acts = Vec::new();
    member.handle(beaten_at, counted(1, up()), &mut acts);
    (0..600).find(|tenth| {
        let now = beaten_at.after(Duration::from_millis(tenth * 100));
        if let Some(contact) = contact {
            let from = NodeId(2);
            member.handle(now, MemberEvent::Heard { from, contact }, &mut acts);
        }
        acts.clear();
        member.handle(now, MemberEvent::Tick, &mut acts);
        acts.iter().any(|act| matches!(act, MemberAct::SendAway { .. }))
    })
}

#[test]
fn a_node_that_alone_has_lost_the_shared_store_sends_its_terminals_away_after_lease_and_hold() {
    // The beat was sent a second before it was answered.
    assert_eq!(sends_away(Some(Contact::Held)), Some(200));
    assert_eq!(sends_away(None), Some(200));
    assert_eq!(sends_away(Some(Contact::Lost { had: None })), None);
}

#[test]
fn a_partition_of_a_life_that_the_table_does_not_show_yet_is_not_claimed() {
    let joined = MemberEvent::Joined(JoinAnswer::Joined(Incarnation(5)));
    let owner = |incarnation| Owner {
        node: NodeId(2),
        incarnation: Incarnation(incarnation),
    };
    let check = |told: u64, expected: usize| {
        let (mut member, now) = after(&[MemberEvent::Tick, surveyed(None), joined.clone()]);
        let mut dead = up();
        dead.nodes.insert(NodeId(2), row(2, 7, NodeState::Dead, 20));
        let token = Token {
            owner: Some(owner(told)),
            epoch: Epoch(2),
        };
        let partition = PartitionId(0);
        let mut acts = Vec::new();
        member.handle(now, MemberEvent::Told { partition, token }, &mut acts);
        member.handle(now, counted(1, dead), &mut acts);
        for second in 1..=3 {
            acts.retain(|act| matches!(act, MemberAct::Ask { .. }));
            member.handle(
                now.after(Duration::from_secs(second)),
                MemberEvent::Tick,
                &mut acts,
            );
        }
        acts.retain(|act| matches!(act, MemberAct::Ask { .. }));
        assert_eq!(acts.len(), expected);
    };
    check(2, 1);
    check(3, 0);
}

/// A member that has heard that node 2 is in this life and state, where the only partition is node 2's in life 2.
fn home_if(incarnation: u64, state: NodeState) -> Home {
    let joined = MemberEvent::Joined(JoinAnswer::Joined(Incarnation(5)));
    let (mut member, now) = after(&[MemberEvent::Tick, surveyed(None), joined]);
    let mut known = up();
    known.nodes.insert(NodeId(2), row(incarnation, 7, state, 20));
    member.handle(now, counted(1, known), &mut Vec::new());
    member.home(PartitionId(0))
}

#[test]
fn terminals_are_sent_only_to_a_node_that_beats_in_the_life_that_owns_the_partition() {
    let there = Home::There(NodeId(2));
    let check = |incarnation, state, expected| {
        assert_eq!(home_if(incarnation, state), expected, "{incarnation} {state:?}");
    };
    check(2, NodeState::Up, there);
    check(2, NodeState::Isolated, there);
    check(2, NodeState::Draining, there);
    check(2, NodeState::Restarting, Home::Nobody);
    check(2, NodeState::Left, Home::Nobody);
    check(2, NodeState::Dead, Home::Nobody);
    check(3, NodeState::Up, Home::Nobody);
}

#[test]
fn an_answer_to_what_was_asked_under_another_token_counts_for_nothing() {
    let joined = MemberEvent::Joined(JoinAnswer::Joined(Incarnation(5)));
    let (mut member, now) = after(&[MemberEvent::Tick, surveyed(None), joined]);
    // The partition is this node's, of an earlier life: it claims it at once.
    let before = Token {
        owner: Some(Owner {
            incarnation: Incarnation(4),
            ..ME
        }),
        epoch: Epoch(3),
    };
    let mut known = up();
    known.hints = vec![before];
    let mut acts = Vec::new();
    member.handle(now, counted(1, known), &mut acts);
    let asked = acts.iter().find_map(|act| {
        if let MemberAct::Ask { token, .. } = act {
            Some(*token)
        } else {
            None
        }
    });
    let mine = before.passed_to(Some(ME));
    assert_eq!(asked, Some(mine));
    let mut follows = |token| {
        acts.clear();
        let partition = PartitionId(0);
        let news = PartitionNews::Claimed;
        let event = MemberEvent::Partition {
            partition,
            token,
            news,
        };
        member.handle(now, event, &mut acts);
        acts.len()
    };
    assert_eq!(follows(before), 0);
    assert_eq!(follows(mine), 1, "it is loaded");
}
