//! A store in which something cannot be read keeps nobody else from their callbacks.

use super::*;
use crate::services::callback::dispatch;

/// A store in which something cannot be read.
struct Flawed {
    reading: Arc<StoreReader>,
    /// Of this user no late callbacks.
    user: UserId,
    told: AtomicU64,
    /// How often all late callbacks were looked at.
    looked: AtomicU64,
}

const FLAW: &str = "it is damaged";

impl Archive for Flawed {
    fn store_id(&self) -> u64 {
        self.reading.store_id()
    }

    fn last(&self) -> Position {
        self.reading.last()
    }

    fn changes(&self, after: Position, count_max: usize) -> Result<Vec<Placed>, ReadError> {
        self.reading.changes(after, count_max)
    }

    fn changes_of(
        &self,
        user: &UserId,
        after: ChangeNumber,
        count_max: usize,
    ) -> Result<Vec<Placed>, ReadError> {
        self.reading.changes_of(user, after, count_max)
    }

    fn users(
        &self,
        after: Option<&UserId>,
        count_max: usize,
    ) -> Result<Vec<(UserId, UserRecord)>, ReadError> {
        self.reading.users(after, count_max)
    }

    fn residents(&self, take: &mut dyn FnMut(UserId, UserRecord)) -> Result<(), ReadError> {
        self.reading.residents(take)
    }
}

impl Outbox for Flawed {
    fn cursor(&self) -> Result<Position, ReadError> {
        self.reading.cursor()
    }

    fn due(&self, after: Position, count_max: usize) -> Result<(Vec<Placed>, Position), ReadError> {
        self.reading.due(after, count_max)
    }

    fn take(&self, steps: &[OutboxStep]) -> Result<(), ReadError> {
        self.reading.take(steps)
    }

    fn late_user(&self, user: &UserId) -> Result<Option<LateUser>, ReadError> {
        self.reading.late_user(user)
    }

    fn late_users(&self, now: Timestamp, count_max: usize) -> Result<Vec<LateUser>, ReadError> {
        self.reading.late_users(now, count_max)
    }

    fn late_of(&self, user: &UserId, after: Position, count_max: usize) -> Result<Vec<Late>, ReadError> {
        if *user == self.user {
            self.told.fetch_add(1, Ordering::Relaxed);
            return Err(ReadError::Store(FLAW.to_owned()));
        }
        self.reading.late_of(user, after, count_max)
    }

    fn late(&self, _: Position, _: usize) -> Result<Vec<(UserId, Late)>, ReadError> {
        self.looked.fetch_add(1, Ordering::Relaxed);
        Err(ReadError::Store(FLAW.to_owned()))
    }

    fn oldest_late(&self) -> Result<Option<Timestamp>, ReadError> {
        Err(ReadError::Store(FLAW.to_owned()))
    }

    fn late_count(&self) -> u64 {
        self.reading.late_count()
    }

    fn dead(&self, _: Position, _: usize) -> Result<Vec<outbox::Dead>, ReadError> {
        Err(ReadError::Store(FLAW.to_owned()))
    }

    fn dead_count(&self) -> u64 {
        self.reading.dead_count()
    }
}

#[test]
fn what_cannot_be_read_keeps_nobody_else_from_their_callbacks() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    record(&mut store, 3, 1..=1);
    let flawed = Arc::new(Flawed {
        reading: store.reader(),
        user: UserId::new(b"user-0").unwrap(),
        told: AtomicU64::new(0),
        looked: AtomicU64::new(0),
    });
    let source = Arc::clone(&flawed) as Arc<dyn CallbackStore>;
    let mut held = Held::of(vec![source], &settings("http://receiver".to_owned()));
    for attempt in held.work_as_it_can() {
        held.end(attempt, refused());
    }
    held.now.0 += 1_000_000;
    // A dead letter that is to be sent again cannot be read either.
    held.pump.take(
        held.now,
        PumpEvent::Replay(vec![(UserId::new(b"user-9").unwrap(), Position(1))]),
    );
    flood(&mut store, "another", 1..=1);
    let mut left = held.work_as_it_can();
    let mut names = named(&left);
    names.sort_unstable_by_key(|(user, ..)| *user);
    let expected = [
        ("another", 1, AttemptOrigin::Stream),
        ("user-1", 1, AttemptOrigin::Late),
        ("user-2", 1, AttemptOrigin::Late),
    ];
    assert_eq!(names, expected);
    for attempt in left.drain(..) {
        held.end(attempt, AttemptOutcome::Delivered);
    }
    for _ in 0..9 {
        held.work_as_it_can();
    }
    assert_eq!(
        flawed.told.load(Ordering::Relaxed),
        1,
        "it is looked at once a minute"
    );
}

#[test]
fn a_callback_whose_change_is_gone_is_counted_and_holds_up_nobody() {
    let folder = TempDir::new().unwrap();
    let mut store = store_with(folder.path(), Duration::ZERO);
    let reading = store.reader();
    record(&mut store, 2, 1..=2);
    reading.take(&[OutboxStep::Cursor(Position(4))]).unwrap();
    store.rest(Timestamp(2_000_000_000_000));
    assert_eq!(reading.oldest().unwrap(), Position(3), "these are gone");
    record(&mut store, 2, 3..=3);
    let [zero, one] = [b"user-0", b"user-1"].map(|name| UserId::new(name).unwrap());
    let late = |user, place| OutboxStep::Late(user, Position(place));
    let due = |user| dispatch::due_at_once(Timestamp(0), user, Position(0));
    let steps = [
        OutboxStep::Cursor(Position(6)),
        late(zero, 1),
        late(zero, 3),
        late(zero, 5),
        due(zero),
        late(one, 2),
        late(one, 6),
        due(one),
    ];
    reading.take(&steps).unwrap();
    let mut held = Held::new(&store, &settings("http://receiver".to_owned()));
    let numbers = held.pump.metrics();
    let (mut told, mut lost) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        for attempt in held.work() {
            told.push(attempt.placed.position.0);
            held.end(attempt, AttemptOutcome::Delivered);
        }
        lost.push(numbers.lost.load(Ordering::Relaxed));
    }
    assert_eq!((told, lost), (vec![6, 5], vec![2, 3, 3, 3]));
    held.work();
    assert_eq!(reading.late_count(), 0);
    assert_eq!(reading.late_users(Timestamp(u64::MAX), 9).unwrap(), []);
}

#[test]
fn late_callbacks_are_not_looked_at_where_there_are_none() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    record(&mut store, 3, 1..=1);
    let flawed = Arc::new(Flawed {
        reading: store.reader(),
        user: UserId::new(b"user-0").unwrap(),
        told: AtomicU64::new(0),
        looked: AtomicU64::new(0),
    });
    let source = Arc::clone(&flawed) as Arc<dyn CallbackStore>;
    let mut held = Held::of(vec![source], &settings("http://receiver".to_owned()));
    // Its dead letters cannot be read.
    let _ = held.pump.pass_by(held.now);
    assert_eq!(flawed.looked.load(Ordering::Relaxed), 0);
}
