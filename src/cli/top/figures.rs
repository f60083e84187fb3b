//! Two readings of the metrics, and what happened between them: amounts, rates, and percentiles. Asks nobody.

use std::time::Duration;

use super::sample::{MetricsSample, of_shard};
use super::shown::ShownFigures;
use crate::cli::numbers::{bytes, grouped};

/// With fewer connections the growth of resident memory says nothing of what one of them takes.
const CONNECTIONS_THAT_TELL: f64 = 10_000.0;

const DAY_S: f64 = 86_400.0;

/// The columns of a gateway's rows.
const COLUMNS: [&str; 11] = [
    "shard",
    "connections",
    "table",
    "users",
    "beats/s",
    "logins/s",
    "changes/s",
    "queries/s",
    "turns/s",
    "turn p50",
    "p99",
];

/// What happened between two readings.
#[derive(Debug)]
pub(super) struct Figures<'a> {
    before: &'a MetricsSample,
    now: &'a MetricsSample,
    seconds: f64,
}

impl<'a> Figures<'a> {
    pub(super) fn between(before: &'a MetricsSample, now: &'a MetricsSample) -> Self {
        let passed = now.at.since(before.at).max(Duration::from_millis(1));
        Self {
            before,
            now,
            seconds: passed.as_secs_f64(),
        }
    }

    /// By how much a counter grew. One that fell began anew: the gateway was started again.
    pub(super) fn grown(&self, series: &str) -> f64 {
        let (before, now) = (self.before.value(series), self.now.value(series));
        if now < before { now } else { now - before }
    }

    pub(super) fn rate(&self, series: &str) -> f64 {
        self.grown(series) / self.seconds
    }

    fn per_second(&self, name: &str) -> String {
        rate_text(self.rate(&format!("holdfast_{name}_total")))
    }

    fn amount(&self, name: &str) -> String {
        count_text(self.now.value(&format!("holdfast_{name}")))
    }

    /// What so many of a hundred took at most; `-` if there were none.
    pub(super) fn percentile(&self, name: &str, labels: &str, percent: f64) -> String {
        let behind = if labels.is_empty() {
            String::new()
        } else {
            format!("{labels},")
        };
        let head = format!("{name}_bucket{{{behind}le=\"");
        let buckets = self.now.values.keys().filter_map(|series| {
            let bound = series.strip_prefix(&head)?.strip_suffix("\"}")?;
            let bound = if bound == "+Inf" {
                f64::INFINITY
            } else {
                bound.parse().ok()?
            };
            Some((bound, self.grown(series)))
        });
        let mut buckets: Vec<(f64, f64)> = buckets.collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let all = buckets.last().map_or(0.0, |(_, count)| *count);
        if all < 1.0 {
            return "-".to_owned();
        }
        let bound = buckets.iter().find(|(_, count)| *count >= all * percent / 100.0);
        match bound.map(|(bound, _)| *bound) {
            Some(bound) if bound.is_finite() => format!("≤{}", duration_text(bound)),
            Some(_) | None => {
                let largest = buckets.iter().rev().nth(1).map_or(0.0, |(bound, _)| *bound);
                format!(">{}", duration_text(largest))
            }
        }
    }

    fn percentiles(&self, name: &str) -> String {
        let of = |percent| self.percentile(name, "", percent);
        format!("p50 {}, p99 {}", of(50.0), of(99.0))
    }

    /// What the whole gateway does, a title and a line each.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let amount = |name| self.amount(name);
        let per_second = |name| self.per_second(name);
        vec![
            ("connections", self.connections()),
            (
                "users",
                format!(
                    "{} Online, {} PushOnline; devices {} Online, {} PushOnline",
                    amount("users_online_now"),
                    amount("users_push_online_now"),
                    amount("devices_online_now"),
                    amount("devices_push_online_now")
                ),
            ),
            ("logins", self.logins()),
            (
                "sessions",
                format!(
                    "{} heartbeats/s, {} time-outs/s, {} forced off/s",
                    per_second("heartbeats"),
                    per_second("time_outs"),
                    per_second("forced_off")
                ),
            ),
            ("changes", self.changes()),
            (
                "registry",
                format!(
                    "{} commits/s, {}; {} requests wait, {} users are tried again, {}",
                    per_second("registry_commits"),
                    self.percentiles("holdfast_registry_commit_seconds"),
                    amount("registry_requests_waiting_now"),
                    amount("commits_retrying_now"),
                    if self.now.value("holdfast_registry_failing_now") > 0.0 {
                        "IT CANNOT RECORD"
                    } else {
                        "no failure"
                    }
                ),
            ),
            ("callbacks", self.callbacks()),
            (
                "queries",
                format!(
                    "{}/s, {}; {} requests open",
                    rate_text(self.rate("holdfast_http_query_seconds_count")),
                    self.percentiles("holdfast_http_query_seconds"),
                    amount("http_requests_open_now")
                ),
            ),
            ("pressure", self.pressure()),
            ("memory", self.memory()),
            ("certificates", self.certificates()),
        ]
    }

    fn connections(&self) -> String {
        let live = |class: &str| {
            let by_all_ways = format!("holdfast_connections_live_now{{class=\"{class}\",");
            count_text(
                self.now
                    .beginning_with(&by_all_ways)
                    .map(|(_, value)| value)
                    .sum(),
            )
        };
        format!(
            "{} (logged in: mobile {}, desktop {}, web {}), {} opened/s, {} link ends/s",
            self.amount("connections_now"),
            live("mobile"),
            live("desktop"),
            live("web"),
            self.per_second("connections_opened"),
            self.per_second("link_ends")
        )
    }

    /// Labelled counters that grew, the fastest first.
    fn grew(&self, name: &str, label: &str) -> Vec<(String, f64)> {
        let head = format!("holdfast_{name}_total{{{label}=\"");
        let grew = self.now.values.keys().filter_map(|series| {
            let value = series.strip_prefix(&head)?.strip_suffix("\"}")?;
            let rate = self.rate(series);
            (rate > 0.0).then(|| (value.to_owned(), rate))
        });
        let mut grew: Vec<(String, f64)> = grew.collect();
        grew.sort_by(|one, other| other.1.total_cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        grew
    }

    fn logins(&self) -> String {
        by_label(&self.grew("logins", "code"), "none")
    }

    fn changes(&self) -> String {
        let kinds = by_label(&self.grew("changes_by_kind", "kind"), "none");
        format!("{}/s: {kinds}", self.per_second("changes"))
    }

    fn callbacks(&self) -> String {
        if !self.now.values.contains_key("holdfast_callbacks_dead_now") {
            return "none are sent".to_owned();
        }
        let down = self.now.value("holdfast_callback_receiver_down_now") > 0.0;
        format!(
            "{}/s delivered, {}/s failed; {} behind, {} late, {} dead, the oldest under way {}{}",
            self.per_second("callbacks_delivered"),
            self.per_second("callbacks_failed"),
            self.amount("callbacks_behind_now"),
            self.amount("callbacks_late_now"),
            self.amount("callbacks_dead_now"),
            duration_text(self.now.value("holdfast_callbacks_oldest_age_seconds")),
            if down { "; THE RECEIVER IS DOWN" } else { "" }
        )
    }

    fn pressure(&self) -> String {
        format!(
            "busy {}/s, accept pauses {}/s, buffer shortages {}/s, completions overflowed {}/s, {} operations unsubmitted; addresses refused: {}; users refused: {}",
            self.per_second("logins_busy"),
            self.per_second("accept_pauses"),
            self.per_second("buffer_shortages"),
            self.per_second("completions_overflowed"),
            self.amount("operations_unsubmitted_now"),
            by_label(&self.grew("address_refusals", "limit"), "none"),
            by_label(&self.grew("user_refusals", "limit"), "none")
        )
    }

    fn memory(&self) -> String {
        let part = |part: &str| {
            let series = format!("holdfast_bytes_per_connection{{part=\"{part}\"}}");
            count_text(self.now.value(&series))
        };
        format!(
            "a connection: user {}, kernel {} B (as measured before), TLS {} B; resident {}, registry {}; CPU {:.0} %",
            if self.now.value("holdfast_connections_now") < CONNECTIONS_THAT_TELL {
                "- (too few to tell)".to_owned()
            } else {
                format!("{} B", part("user"))
            },
            part("kernel"),
            part("tls"),
            bytes(whole(self.now.value("process_resident_memory_bytes"))),
            bytes(whole(self.now.value("holdfast_registry_bytes_now"))),
            self.rate("process_cpu_seconds_total") * 100.0
        )
    }

    /// The one that expires first, and how many there are.
    fn certificates(&self) -> String {
        let all = self
            .now
            .beginning_with("holdfast_tls_certificate_expires_seconds{");
        let count = all.clone().count();
        let Some((series, left_s)) = all.min_by(|one, other| one.1.total_cmp(&other.1)) else {
            return "none".to_owned();
        };
        let name = series
            .split_once("name=\"")
            .map_or("", |(_, behind)| behind.trim_end_matches("\"}"));
        if left_s < 0.0 {
            return format!("{count}; THE ONE FOR {name} HAS EXPIRED");
        }
        format!(
            "{count}; the first to expire is for {name}, in {:.1} days",
            left_s / DAY_S
        )
    }

    /// One row for all shards, then one for each.
    fn rows(&self) -> Vec<[String; COLUMNS.len()]> {
        let shards = (0..self.now.shards()).map(|shard| self.row(&shard.to_string(), Some(shard)));
        std::iter::once(self.row("all", None)).chain(shards).collect()
    }

    fn row(&self, title: &str, shard: Option<usize>) -> [String; COLUMNS.len()] {
        let series = |name: &str| match shard {
            Some(shard) => of_shard(name, shard),
            None => format!("holdfast_{name}"),
        };
        let amount = |name: &str| self.now.value(&series(name));
        let rate = |name: &str| rate_text(self.rate(&series(name)));
        let turn = |percent| match shard {
            Some(shard) => {
                let labels = format!("shard=\"{shard}\"");
                self.percentile("holdfast_shard_turn_seconds", &labels, percent)
            }
            None => self.percentile("holdfast_turn_seconds", "", percent),
        };
        let logins = self.login_rate(shard);
        [
            title.to_owned(),
            count_text(amount("connections_now")),
            format!(
                "{:.0} %",
                amount("slots_taken_now") / amount("slots_now").max(1.0) * 100.0
            ),
            count_text(amount("users_now")),
            rate("heartbeats_total"),
            rate_text(logins),
            rate("changes_total"),
            rate("queries_total"),
            rate("turns_total"),
            turn(50.0),
            turn(99.0),
        ]
    }

    /// Of all codes together.
    fn login_rate(&self, shard: Option<usize>) -> f64 {
        let head = match shard {
            Some(shard) => format!("holdfast_shard_logins_total{{shard=\"{shard}\","),
            None => "holdfast_logins_total{".to_owned(),
        };
        let of_codes = self.now.beginning_with(&head);
        of_codes.map(|(series, _)| self.rate(series)).sum()
    }

    /// All of it, to be shown.
    pub(super) fn shown(&self) -> ShownFigures {
        ShownFigures {
            seconds: self.seconds,
            lines: self.lines(),
            columns: &COLUMNS,
            rows: self.rows().into_iter().map(Vec::from).collect(),
        }
    }
}

fn by_label(rates: &[(String, f64)], none: &str) -> String {
    if rates.is_empty() {
        return none.to_owned();
    }
    let each = rates
        .iter()
        .map(|(label, rate)| format!("{label} {}/s", rate_text(*rate)));
    each.collect::<Vec<_>>().join(", ")
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "amounts that are not negative"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

pub(super) fn count_text(value: f64) -> String {
    grouped(whole(value))
}

pub(super) fn rate_text(rate: f64) -> String {
    if rate >= 100.0 || rate == 0.0 {
        count_text(rate)
    } else {
        format!("{rate:.1}")
    }
}

fn duration_text(seconds: f64) -> String {
    if seconds == 0.0 {
        "0".to_owned()
    } else if seconds < 1e-3 {
        format!("{:.0}µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.0}ms", seconds * 1e3)
    } else {
        format!("{seconds:.1}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Instant;
    use crate::cli::top::tests::reading;

    #[test]
    fn rates_are_per_second_and_amounts_are_of_now() {
        let (before, now) = (reading(0, 100, [0; 3]), reading(2_000, 1_100, [0; 3]));
        let text = Figures::between(&before, &now).shown().text();
        for part in [
            "in 2.0 s:",
            "connections  12 (logged in: mobile 7, desktop 0, web 0)",
            "logins       OK 500/s\n",
            "sessions     500 heartbeats/s, 0 time-outs/s",
            "callbacks    none are sent",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn connections_by_all_ways_are_logged_in_and_the_first_certificate_to_expire_is_told() {
        let told = |text: &str| {
            let sample = MetricsSample::new(Instant(0), text);
            Figures::between(&sample, &sample).shown().text()
        };
        let live = |transport, count| {
            format!("holdfast_connections_live_now{{class=\"web\",transport=\"{transport}\"}} {count}\n")
        };
        let certificate = |name, left_s| {
            format!(
                "holdfast_tls_certificate_expires_seconds{{listener=\"http\",entry=\"1\",name=\"{name}\"}} {left_s}\n"
            )
        };
        let text = told(&[live("tcp", 1), live("websocket-tls", 2)].concat());
        assert!(
            text.contains("web 3)") && text.contains("certificates none\n"),
            "{text}"
        );
        let good = certificate("a.example", "172800");
        let text = told(&[certificate("b.example", "8640000"), good.clone()].concat());
        assert!(
            text.contains("certificates 2; the first to expire is for a.example, in 2.0 days\n"),
            "{text}"
        );
        let text = told(&[good, certificate("b.example", "-1")].concat());
        assert!(text.contains("2; THE ONE FOR b.example HAS EXPIRED\n"), "{text}");
    }

    #[test]
    fn each_shard_has_a_row_and_all_have_one() {
        let (before, now) = (reading(0, 100, [0; 3]), reading(1_000, 150, [2, 4, 4]));
        let rows = Figures::between(&before, &now).rows();
        let firsts: Vec<&str> = rows.iter().map(|row| &*row[0]).collect();
        assert_eq!(firsts, ["all", "0", "1"]);
        assert_eq!(
            (&*rows[0][2], &*rows[0][4], &*rows[2][4], &*rows[1][4]),
            ("1 %", "50.0", "50.0", "0")
        );
        assert_eq!((&*rows[0][5], &*rows[1][5]), ("50.0", "50.0"));
        assert_eq!((&*rows[0][9], &*rows[0][10], &*rows[1][9]), ("≤4µs", "≤8µs", "-"));
    }

    #[test]
    fn percentiles_are_of_the_interval_alone() {
        let (before, now) = (
            reading(0, 0, [1_000, 1_000, 1_000]),
            reading(1_000, 0, [1_000, 1_010, 1_010]),
        );
        let figures = Figures::between(&before, &now);
        assert_eq!(figures.percentile("holdfast_turn_seconds", "", 50.0), "≤8µs");
        let now = reading(1_000, 0, [1_000, 1_000, 1_003]);
        let figures = Figures::between(&before, &now);
        assert_eq!(figures.percentile("holdfast_turn_seconds", "", 99.0), ">8µs");
    }

    #[test]
    fn a_gateway_that_was_started_again_counts_from_zero() {
        let (before, now) = (reading(0, 5_000, [0; 3]), reading(1_000, 30, [0; 3]));
        let figures = Figures::between(&before, &now);
        assert_eq!(figures.per_second("heartbeats"), "30.0");
    }

    #[test]
    fn times_are_shown_in_fitting_units() {
        let texts = [0.0, 0.000_004, 0.002, 4.194].map(duration_text);
        assert_eq!(texts, ["0", "4µs", "2ms", "4.2s"]);
    }
}
