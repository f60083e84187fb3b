//! What a turn does at most, so that the pump hears what it is told; and what is told of what was given up.

use std::io;
use std::sync::Mutex;

use super::*;
use crate::services::callback::expiry::PAGE;

/// More than two pages.
const MANY: usize = 2 * PAGE + 40;

/// Lines of the log.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn without_a_receiver() -> CallbackSettings {
    CallbackSettings {
        url: None,
        ..given_up_after_a_day()
    }
}

#[test]
fn what_is_given_up_while_there_is_no_receiver_is_told() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    record(&mut store, 3, 1..=1);
    let (wakes, inbox) = unbounded();
    let (attempts, _due) = mpsc::unbounded_channel();
    let pump = Pump::new(vec![store.reader()], &without_a_receiver(), inbox, attempts, 1).unwrap();
    // So it has one turn.
    drop(wakes);
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt().with_writer(move || writer.clone());
    tracing::subscriber::with_default(log.finish(), || pump.run(Clock::start()));
    let told = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(told.contains("callbacks were given up"), "{told}");
}

#[test]
fn a_page_of_what_is_old_is_given_up_in_a_turn() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let reading = store.reader();
    record(&mut store, MANY, 1..=1);
    let mut held = Held::new(&store, &given_up_after_a_day());
    held.now = FIRST_AT;
    while reading.late_count() < MANY as u64 {
        for attempt in held.work() {
            held.end(attempt, refused());
        }
    }
    record(&mut store, MANY, 2..=2);
    held.follow(&without_a_receiver());
    held.now.0 += 2 * DAY_MS;
    let all = 2 * MANY as u64;
    let mut before = 0;
    while before < all {
        held.pump.pass_by(held.now).unwrap();
        let given_up = reading.dead_count();
        assert!(given_up > before && given_up <= before + 2 * PAGE as u64);
        if given_up < all {
            assert_eq!(held.pump.rest(), Duration::ZERO, "{given_up} of {all}");
        }
        before = given_up;
    }
    held.pass_by();
    assert!(held.pump.rest() > Duration::ZERO);
    assert_eq!(reading.late_count(), 0);
    assert_eq!(reading.cursor().unwrap(), reading.last());
}

#[test]
fn a_page_of_late_callbacks_is_dropped_in_a_turn_and_the_answer_counts_all() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let reading = store.reader();
    let late = |store: &mut EmbeddedStore, held: &mut Held, users: usize, change: u64| {
        let expected = reading.late_count() + users as u64;
        record(store, users, change..=change);
        while reading.late_count() < expected {
            for attempt in held.work() {
                held.end(attempt, refused());
            }
        }
    };
    let mut held = Held::new(&store, &settings("http://receiver".to_owned()));
    late(&mut store, &mut held, MANY, 1);
    let (answer, answered) = bounded(1);
    held.pump.take(held.now, PumpEvent::DropLate(None, answer));
    held.pump.drop_some();
    assert_eq!(reading.late_count(), (MANY - PAGE) as u64);
    assert_eq!(held.pump.rest(), Duration::ZERO);
    assert!(answered.try_recv().is_err());
    // It was no late one when that was asked for.
    late(&mut store, &mut held, 1, 2);
    let dropped = loop {
        held.pump.drop_some();
        if let Ok(dropped) = answered.try_recv() {
            break dropped.unwrap();
        }
    };
    assert_eq!((dropped, reading.late_count()), (MANY as u64, 1));
}
