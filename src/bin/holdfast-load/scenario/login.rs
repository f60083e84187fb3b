//! Logins and logouts in a closed loop: the gateway's CPU for each, from the connect to the answer and from the logout to
//! the close.

use crate::arguments::{Common, LoginArguments};
use crate::generator::terminal::DevicesPerUser;
use crate::generator::workload::{Op, Pick, Workload};
use crate::report::RunReport;

use super::series::Series;
use super::stage::ScenarioRun;
use super::statuses::Compared;

/// Users that are compared after each round.
const COMPARED: usize = 500;

pub(super) fn run(common: &Common, name: &str, login: LoginArguments) -> anyhow::Result<bool> {
    let LoginArguments {
        connections,
        window,
        rounds,
    } = login;
    let report = RunReport::begin(name, "Logins and logouts in a closed loop", &common.results)?;
    let mut run = ScenarioRun::new(common, report, (connections, DevicesPerUser::One), &[], &[])?;
    run.report.condition(format!(
        "{window} under way at once; each login has its own connection and a UserSig that is checked. A visit is a login and a logout."
    ));
    let range = (0, connections);
    let visit = Workload {
        op: Op::Visit,
        pick: Pick::Round,
        range,
        window,
        per_second: None,
    };
    let mut compared = Compared::default();
    let (mut logins, mut logouts, mut visits) = (Series::default(), Series::default(), Series::default());
    for round in 1..=rounds.rounds {
        let (login, logout) = (
            format!("round {round}: logins"),
            format!("round {round}: logouts"),
        );
        logins.add(
            &run.server
                .measured(|side| side.each(&login, Op::LogIn, range, window))?,
        );
        run.compare_at_rest(COMPARED, &mut compared)?;
        logouts.add(
            &run.server
                .measured(|side| side.each(&logout, Op::LogOut, range, window))?,
        );
        run.compare_at_rest(COMPARED, &mut compared)?;
        visits.add(&run.server.measure(visit, rounds.duration)?);
    }
    let all = u64::from(connections) * u64::from(rounds.rounds);
    let visited = visits.total.done;
    for (what, expected, seen) in [
        ("logins answered well", all, logins.total.done),
        ("logouts answered well", all, logouts.total.done),
        ("visits that failed", 0, visits.total.failed),
    ] {
        run.report.check_equal(what, expected, seen);
    }
    logins.report(&mut run.report, "login");
    logouts.report(&mut run.report, "logout");
    visits.report(&mut run.report, "visit");
    run.report_compared(&compared);
    run.check_books(&[
        ("logins, by the gateway", "logins_accepted_total", all + visited),
        ("logouts, by the gateway", "logouts_total", all + visited),
        ("link ends, by the gateway", "link_ends_total", 0),
    ])?;
    run.finish(common)
}
