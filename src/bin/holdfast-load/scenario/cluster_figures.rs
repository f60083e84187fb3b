//! What one costs clusters of some sizes, as rows of a report: one for each size, and how far larger ones are from the smallest. It
//! measures nothing.

use crate::arguments::GrowClusterArguments;
use crate::cluster_size::ClusterSize;
use crate::report::RunReport;
use crate::results::{FLAT, median};

/// CPU of one operation of a whole cluster, µs, and how many there were in a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpCost {
    pub(super) nodes_us: f64,
    pub(super) masters_us: f64,
    pub(super) replicas_us: f64,
    pub(super) per_second: f64,
}

/// The same of each round.
#[derive(Debug, Default)]
pub(super) struct OpCosts {
    nodes_us: Vec<f64>,
    masters_us: Vec<f64>,
    replicas_us: Vec<f64>,
    per_second: Vec<f64>,
}

/// What was measured at one size.
#[derive(Debug)]
pub(super) struct SizeFigures {
    size: ClusterSize,
    pub(super) login: OpCosts,
    pub(super) logout: OpCosts,
    pub(super) fast: OpCosts,
    pub(super) even: OpCosts,
    pub(super) status: OpCosts,
    /// Of a second.
    pub(super) silent: OpCosts,
    pub(super) redirect_us: Vec<f64>,
    pub(super) redirects: u64,
    /// Of a connection.
    pub(super) user_bytes: f64,
    /// That a new user takes at the masters, with the first change.
    pub(super) new_user_bytes: f64,
    pub(super) change_bytes: f64,
    /// That masters receive, and send to replicas, for a change.
    pub(super) received_bytes: f64,
    pub(super) replicated_bytes: f64,
    /// Statuses.
    pub(super) asked: u64,
    pub(super) wrong: u64,
}

impl OpCost {
    /// Of so many, if this is what all of them cost.
    pub(super) fn each_of(self, count: u64) -> Self {
        let count = count.max(1) as f64;
        Self {
            nodes_us: self.nodes_us / count,
            masters_us: self.masters_us / count,
            replicas_us: self.replicas_us / count,
            per_second: self.per_second * count,
        }
    }
}

impl OpCosts {
    pub(super) fn add(&mut self, cost: &OpCost) {
        self.nodes_us.push(cost.nodes_us);
        self.masters_us.push(cost.masters_us);
        self.replicas_us.push(cost.replicas_us);
        self.per_second.push(cost.per_second);
    }
}

impl SizeFigures {
    pub(super) fn new(size: ClusterSize) -> Self {
        Self {
            size,
            login: OpCosts::default(),
            logout: OpCosts::default(),
            fast: OpCosts::default(),
            even: OpCosts::default(),
            status: OpCosts::default(),
            silent: OpCosts::default(),
            redirect_us: Vec::new(),
            redirects: 0,
            user_bytes: 0.0,
            new_user_bytes: 0.0,
            change_bytes: 0.0,
            received_bytes: 0.0,
            replicated_bytes: 0.0,
            asked: 0,
            wrong: 0,
        }
    }

    /// What a record takes at the masters.
    fn record_bytes(&self) -> f64 {
        self.new_user_bytes - self.change_bytes
    }

    /// For each node.
    fn of_each_node(&self, all: &[f64]) -> Vec<f64> {
        all.iter().map(|one| one / f64::from(self.size.nodes)).collect()
    }
}

/// What a row is of, its unit, and how it is to be at larger sizes.
struct FigureRow {
    what: String,
    unit: &'static str,
    growth: Growth,
}

#[derive(Clone, Copy)]
enum Growth {
    /// The same as at the smallest.
    Flat,
    /// Whatever it is.
    Free,
}

type Of<'a> = &'a dyn Fn(&SizeFigures) -> Vec<f64>;

/// All rows.
pub(super) fn report(report: &mut RunReport, grow: &GrowClusterArguments, sizes: &[SizeFigures]) {
    let (window, rate) = (grow.window, grow.rate);
    let fast = format!("heartbeat, saturated ({window} at once for each node)");
    let even = format!("heartbeat, paced ({rate}/s for each node)");
    let mut row = |what: &str, unit, growth, of: Of<'_>| {
        let what = what.to_owned();
        add(report, &FigureRow { what, unit, growth }, sizes, of);
    };
    type OfOp = fn(&SizeFigures) -> &OpCosts;
    let recorded: [(&str, OfOp); 2] = [("login", |size| &size.login), ("logout", |size| &size.logout)];
    for (op, costs) in recorded {
        let cpu = |whose: &str| format!("{op}, recorded: CPU of the {whose} for one");
        row(&cpu("nodes"), "µs", Growth::Flat, &|size| {
            costs(size).nodes_us.clone()
        });
        row(&cpu("masters"), "µs", Growth::Flat, &|size| {
            costs(size).masters_us.clone()
        });
        row(&cpu("replicas"), "µs", Growth::Free, &|size| {
            costs(size).replicas_us.clone()
        });
        let rate = format!("{op}, recorded: rate");
        row(&rate, "1/s", Growth::Free, &|size| costs(size).per_second.clone());
    }
    row(
        "redirect: CPU of the nodes for one",
        "µs",
        Growth::Free,
        &|size| size.redirect_us.clone(),
    );
    let beats: [(&str, OfOp); 2] = [(&fast, |size| &size.fast), (&even, |size| &size.even)];
    for (beat, costs) in beats {
        let cpu = format!("{beat}: CPU of the nodes for one");
        row(&cpu, "µs", Growth::Flat, &|size| costs(size).nodes_us.clone());
    }
    let status = "user's status in a query: CPU of the nodes for one";
    row(status, "µs", Growth::Flat, &|size| size.status.nodes_us.clone());
    row("a silent second: CPU of each node", "µs", Growth::Flat, &|size| {
        size.of_each_node(&size.silent.nodes_us)
    });
    row(
        "a silent second: CPU of all masters",
        "µs",
        Growth::Free,
        &|size| size.silent.masters_us.clone(),
    );
    row(
        "a silent second: CPU of all replicas",
        "µs",
        Growth::Free,
        &|size| size.silent.replicas_us.clone(),
    );
    report_bytes(report, sizes);
}

fn report_bytes(report: &mut RunReport, sizes: &[SizeFigures]) {
    let mut row = |what: &str, unit, growth, of: Of<'_>| {
        let what = what.to_owned();
        add(report, &FigureRow { what, unit, growth }, sizes, of);
    };
    row("user bytes of a connection", "B", Growth::Flat, &|size| {
        vec![size.user_bytes]
    });
    row(
        "bytes of a user, kept at the masters",
        "B",
        Growth::Free,
        &|size| vec![size.record_bytes()],
    );
    type OneOf = fn(&SizeFigures) -> f64;
    let of_change: [(&str, OneOf); 3] = [
        ("kept at the masters", |size| size.change_bytes),
        ("received by the masters", |size| size.received_bytes),
        ("sent to the replicas", |size| size.replicated_bytes),
    ];
    for (which, bytes) in of_change {
        let what = format!("bytes of a change, {which}");
        row(&what, "B", Growth::Free, &|size| vec![bytes(size)]);
    }
}

/// A row of each size that has the figure, and how far larger sizes are from the smallest.
fn add(report: &mut RunReport, row: &FigureRow, sizes: &[SizeFigures], of: Of<'_>) {
    let FigureRow { what, unit, growth } = row;
    for size in sizes {
        let rounds = of(size);
        if !rounds.is_empty() {
            report.rounds(&format!("{what}, {}", size.size), unit, rounds);
        }
    }
    if matches!(growth, Growth::Free) {
        return;
    }
    let figures: Vec<(ClusterSize, f64)> = sizes
        .iter()
        .filter_map(|size| Some((size.size, median(&of(size))?)))
        .collect();
    for (by, ratio) in [("nodes", by_nodes(&figures)), ("masters", by_masters(&figures))] {
        if let Some(ratio) = ratio {
            let name = format!("{what}, by {by}: the most ÷ that of the fewest (aim {FLAT:.2}, no check)");
            report.figure(&name, "", ratio);
        }
    }
}

/// Of sizes with as few masters as any, how far those with more nodes are from the one with fewest.
fn by_nodes(figures: &[(ClusterSize, f64)]) -> Option<f64> {
    let masters = figures.iter().map(|(size, _)| size.masters).min()?;
    let alike = figures.iter().filter(|(size, _)| size.masters == masters);
    growth(alike.map(|(size, figure)| (size.nodes, *figure)).collect())
}

/// Of sizes with as many nodes as any, how far those with more masters are from the one with fewest.
fn by_masters(figures: &[(ClusterSize, f64)]) -> Option<f64> {
    let nodes = figures.iter().map(|(size, _)| size.nodes).max()?;
    let alike = figures.iter().filter(|(size, _)| size.nodes == nodes);
    growth(alike.map(|(size, figure)| (size.masters, *figure)).collect())
}

/// The largest of the others ÷ that of the smallest number. `None` if there are no others, or if it is not above 0, where a ratio says
/// nothing.
fn growth(mut figures: Vec<(u16, f64)>) -> Option<f64> {
    figures.sort_by_key(|(number, _)| *number);
    let ((_, first), others) = figures.split_first()?;
    let most = others.iter().map(|(_, figure)| *figure).reduce(f64::max)?;
    (*first > 0.0).then(|| most / first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(nodes: u16, masters: u16) -> ClusterSize {
        ClusterSize { nodes, masters }
    }

    #[test]
    fn larger_sizes_are_compared_with_the_smallest_in_each_direction() {
        let figures = [
            (size(3, 3), 30.0),
            (size(1, 1), 10.0),
            (size(2, 1), 12.0),
            (size(3, 1), 20.0),
            (size(3, 2), 10.0),
        ];
        assert_eq!(by_nodes(&figures), Some(2.0));
        assert_eq!(by_masters(&figures), Some(1.5));
    }

    #[test]
    fn what_falls_with_the_size_is_below_one() {
        assert_eq!(
            by_nodes(&[(size(1, 1), 10.0), (size(2, 1), 8.0), (size(3, 1), 9.0)]),
            Some(0.9)
        );
    }

    #[test]
    fn one_size_alone_has_no_ratio() {
        assert_eq!((by_nodes(&[(size(1, 1), 10.0)]), by_masters(&[])), (None, None));
        assert_eq!(by_nodes(&[(size(1, 1), 0.0), (size(2, 1), 8.0)]), None);
    }

    #[test]
    fn what_all_cost_is_shared_among_them() {
        let all = OpCost {
            nodes_us: 100.0,
            masters_us: 10.0,
            replicas_us: 1.0,
            per_second: 0.5,
        };
        let each = all.each_of(10);
        assert_eq!(
            (each.nodes_us, each.masters_us, each.replicas_us),
            (10.0, 1.0, 0.1)
        );
        assert_eq!((each.per_second, all.each_of(0).nodes_us), (5.0, 100.0));
    }
}
