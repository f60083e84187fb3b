//! Logins and logouts in a closed loop: the gateway's CPU for each, from the connect to the answer and from the logout to
//! the close.

use holdfast::base::time::Stopwatch;

use crate::arguments::{Common, Rounds};
use crate::crowd::Plan;
use crate::crowd::orders::{Op, Outcome, Pick};
use crate::crowd::terminal::Kinship;
use crate::report::Report;

use super::Stage;
use super::statuses::Compared;

/// Users that are compared after each round.
const COMPARED: usize = 500;

/// One figure of each round.
#[derive(Default)]
struct Course {
    cpu_us: Vec<f64>,
    per_second: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
}

impl Course {
    fn add(&mut self, outcome: &Outcome, cpu_s: f64, took_s: f64) {
        let done = outcome.done.max(1) as f64;
        self.cpu_us.push(cpu_s * 1e6 / done);
        self.per_second.push(done / took_s);
        self.p50_ms.push(outcome.percentile_ms(50.0));
        self.p99_ms.push(outcome.percentile_ms(99.0));
    }

    fn report(self, report: &mut Report, what: &str) {
        report.rounds(&format!("CPU of the gateway for {what}"), "µs", self.cpu_us);
        report.rounds(&format!("{what}, rate"), "1/s", self.per_second);
        report.rounds(&format!("{what}, p50"), "ms", self.p50_ms);
        report.rounds(&format!("{what}, p99"), "ms", self.p99_ms);
    }
}

pub(super) fn run(
    common: &Common,
    name: &'static str,
    (connections, window): (u32, u32),
    rounds: Rounds,
) -> anyhow::Result<bool> {
    let report = Report::new(name, "Logins and logouts in a closed loop");
    let mut stage = Stage::new(common, report, (connections, Kinship::Alone), &[], &[])?;
    stage.report.condition(format!(
        "{window} under way at once; each login has its own connection and a UserSig that is checked. A visit is a login and a logout."
    ));
    let all = (0, connections);
    let (mut logins, mut logouts, mut visits) = (Course::default(), Course::default(), Course::default());
    let mut compared = Compared::default();
    let (mut logged_in, mut logged_out) = (0, 0);
    for round in 1..=rounds.rounds {
        for (title, op, course) in [
            ("logins", Op::LogIn, &mut logins),
            ("logouts", Op::LogOut, &mut logouts),
        ] {
            let (before_s, watch) = (stage.cpu_s()?, Stopwatch::start());
            let outcome = stage.each(&format!("round {round}: {title}"), op, all, window)?;
            course.add(&outcome, stage.cpu_s()? - before_s, watch.elapsed().as_secs_f64());
            stage.report.check_equal(
                &format!("round {round}: {title} answered well"),
                connections.into(),
                outcome.done,
            );
            stage.compare_at_rest(COMPARED, &mut compared)?;
            if op == Op::LogIn {
                logged_in += outcome.done;
            } else {
                logged_out += outcome.done;
            }
        }
        let (before_s, watch) = (stage.cpu_s()?, Stopwatch::start());
        let id = stage.crowd.begin(Plan {
            op: Op::Visit,
            pick: Pick::Round,
            range: all,
            window,
            per_second: None,
        });
        let recorder = &mut stage.recorder;
        stage
            .crowd
            .pass(rounds.duration, &mut |board| recorder.look(board))?;
        let outcome = stage.crowd.end(id, &mut |board| recorder.look(board))?;
        visits.add(&outcome, stage.cpu_s()? - before_s, watch.elapsed().as_secs_f64());
        logged_in += outcome.done;
        logged_out += outcome.done;
    }
    logins.report(&mut stage.report, "a login");
    logouts.report(&mut stage.report, "a logout");
    visits.report(&mut stage.report, "a visit");
    stage.report_compared(&compared);
    let metrics = stage.http.metrics(stage.gateway.admin)?;
    for (what, metric, seen) in [
        ("logins, by the gateway", "logins_accepted_total", logged_in),
        ("logouts, by the gateway", "logouts_total", logged_out),
        ("link ends, by the gateway", "link_ends_total", 0),
    ] {
        let grown = stage.grown(&metrics, metric);
        stage.report.check_equal(what, seen, grown);
    }
    stage.finish(common)
}
