//! Notes once a second how the run stands, for the plots. It changes nothing.

use holdfast::base::time::Stopwatch;

use crate::generator::statistics::Statistics;
use crate::plot::PlotCourse;
use crate::process;

/// Seconds between two points.
const EVERY_S: f64 = 1.0;

/// The courses so far.
pub(super) struct Recorder {
    process: u32,
    watch: Stopwatch,
    last: Option<Point>,
    live: Vec<(f64, f64)>,
    answers: Vec<(f64, f64)>,
    cores: Vec<(f64, f64)>,
    rss: Vec<(f64, f64)>,
}

#[derive(Clone, Copy)]
struct Point {
    at_s: f64,
    answers: u64,
    cpu_ns: u64,
}

impl Recorder {
    pub(super) fn new(process: u32) -> Self {
        Self {
            process,
            watch: Stopwatch::start(),
            last: None,
            live: Vec::new(),
            answers: Vec::new(),
            cores: Vec::new(),
            rss: Vec::new(),
        }
    }

    /// The gateway is another process now.
    pub(super) fn follow(&mut self, process: u32) {
        self.process = process;
        self.last = None;
    }

    /// Notes a point, if it is time.
    pub(super) fn look(&mut self, statistics: &Statistics) {
        let at_s = self.watch.elapsed().as_secs_f64();
        if self.last.is_some_and(|last| at_s - last.at_s < EVERY_S) {
            return;
        }
        // While the gateway is gone there is nothing to note.
        let (Ok(cpu_ns), Ok(rss)) = (process::cpu_ns(self.process), process::rss_bytes(self.process)) else {
            return;
        };
        let point = Point {
            at_s,
            answers: statistics.answers(),
            cpu_ns,
        };
        if let Some(last) = self.last.replace(point) {
            let passed = at_s - last.at_s;
            let answers = point.answers.saturating_sub(last.answers) as f64;
            let cpu_s = point.cpu_ns.saturating_sub(last.cpu_ns) as f64 / 1e9;
            self.answers.push((at_s, answers / passed));
            self.cores.push((at_s, cpu_s / passed));
        }
        self.live.push((at_s, statistics.live() as f64));
        self.rss.push((at_s, rss as f64 / f64::from(1 << 20)));
    }

    pub(super) fn courses(self) -> Vec<PlotCourse> {
        let course = |name: &str, unit, points| PlotCourse {
            name: name.to_owned(),
            unit,
            points,
        };
        vec![
            course("terminals logged in", "connections", self.live),
            course("answers", "a second", self.answers),
            course("CPU of the gateway", "cores", self.cores),
            course("memory of the gateway", "RSS, MiB", self.rss),
        ]
    }
}
