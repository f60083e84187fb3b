//! The machine's whole table, and the slots. What it does under load and chance is in `tests/kernel`.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::*;
use crate::engine::kernel::{Cancel, ReceiveMode};

const CONSTANT: &[u8] = b"constant";
const SLOT: u32 = 0;
const TARGET: ShardId = ShardId(1);
const ENDS: (SocketAddrV4, SocketAddrV4) = {
    let nowhere = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    (nowhere, nowhere)
};

/// Keeps what was begun.
#[derive(Default)]
struct Recorder(Vec<Operation>);

impl Kernel for Recorder {
    type Buffer = ();

    fn begin(&mut self, _: ConnKey, operation: Operation) {
        self.0.push(operation);
    }

    fn bytes<'a>(&'a self, (): &'a ()) -> &'a [u8] {
        &[]
    }

    fn recycle(&mut self, (): ()) {}
}

/// One connection and all that was begun for it.
struct Bench {
    table: ConnectionTable,
    kernel: Recorder,
    key: ConnKey,
}

type Act = fn(&mut Bench) -> Option<ConnectionNews<()>>;

impl Bench {
    fn open() -> Self {
        let mut table = ConnectionTable::new(4);
        let key = table.open(SLOT);
        Self {
            table,
            kernel: Recorder::default(),
            key,
        }
    }

    fn connecting() -> Self {
        let (mut table, mut kernel) = (ConnectionTable::new(4), Recorder::default());
        let key = table.connect(SLOT, ENDS, &mut kernel);
        Self { table, kernel, key }
    }

    fn after(mut self, acts: &[Act]) -> Self {
        for act in acts {
            act(&mut self);
        }
        self
    }

    fn happens(&mut self, event: ConnectionEvent<()>) -> Option<ConnectionNews<()>> {
        self.table.complete(self.key, event, &mut self.kernel)
    }

    fn receives(&mut self, end: ReceiveEnd<()>) -> Option<ConnectionNews<()>> {
        self.happens(ConnectionEvent::Received(end))
    }

    /// All sends that were begun.
    fn sends(&self) -> Vec<(Vec<u8>, usize)> {
        let send = |operation: &Operation| {
            if let Operation::Send { bytes, start } = operation {
                return Some((bytes.clone(), *start));
            }
            None
        };
        self.kernel.0.iter().filter_map(send).collect()
    }

    /// The send in flight ends.
    fn sent(&mut self, count: impl Fn(usize) -> Result<usize, KernelRefusal>) -> Option<ConnectionNews<()>> {
        let (bytes, start) = self.sends().pop().expect("something is being sent");
        let length = bytes.len() - start;
        let sent = count(length);
        self.happens(ConnectionEvent::Sent(SendEnd { bytes, sent }))
    }
}

const READ: Act = |of| {
    of.table.read_on(of.key, Unread::Nothing, &mut of.kernel);
    None
};
const STAY: Act = |of| {
    of.table.stay(of.key, &mut of.kernel);
    None
};
const SEND: Act = |of| {
    let lost = of.table.send(of.key, vec![1, 2, 3], &mut of.kernel);
    lost.map(ConnectionNews::Lost)
};
const SEND_CONSTANT: Act = |of| {
    let lost = of.table.send_constant(of.key, CONSTANT, &mut of.kernel);
    lost.map(ConnectionNews::Lost)
};
const MOVE: Act = |of| {
    if of.table.may_move(of.key) {
        let token = MoveToken::new(ShardId(0), of.key);
        of.table
            .move_to(Instant(0), of.key, (TARGET, token), &mut of.kernel);
    }
    None
};
const CLOSE: Act = |of| {
    of.table.close(Instant(0), of.key, &mut of.kernel);
    None
};
const RESET: Act = |of| {
    of.table.reset(of.key, &mut of.kernel);
    None
};
const EXPIRE: Act = |of| {
    of.table.expire(Instant(DRAIN_MS_MAX), &mut of.kernel);
    None
};
const POLLED: Act = |of| of.happens(ConnectionEvent::Polled);
const READ_MORE: Act = |of| {
    of.table.read_on(of.key, Unread::Perhaps, &mut of.kernel);
    None
};
const BYTES: Act = |of| {
    let unread = Unread::Nothing;
    of.receives(ReceiveEnd::Bytes { buffer: (), unread })
};
const END: Act = |of| of.receives(ReceiveEnd::End);
const NO_BUFFER: Act = |of| of.receives(ReceiveEnd::NoBuffer);

/// Wishes and deadlines, which may come at any time.
const WISHES: [(&str, Act); 8] = [
    ("read on", READ),
    ("stay", STAY),
    ("send", SEND),
    ("send constant", SEND_CONSTANT),
    ("move", MOVE),
    ("close", CLOSE),
    ("reset", RESET),
    ("drain deadline", EXPIRE),
];

const GONE: KernelRefusal = KernelRefusal(libc::EPIPE);

/// What may come once it is in flight.
fn ends(operation: &str) -> Vec<(&'static str, Act)> {
    match operation {
        "receive" => vec![
            ("bytes", BYTES),
            ("end", END),
            ("nothing", |of| of.receives(ReceiveEnd::Nothing)),
            ("no buffer", NO_BUFFER),
            ("receive cancelled", |of| of.receives(ReceiveEnd::Cancelled)),
        ],
        "poll" => vec![("polled", POLLED)],
        "send" => vec![
            ("sent", |of| of.sent(Ok)),
            ("sent in part", |of| of.sent(|_| Ok(1))),
            ("not sent: gone", |of| of.sent(|_| Err(GONE))),
            ("not sent: other", |of| of.sent(|_| Ok(0))),
        ],
        "constant" => vec![
            ("constant: full", |of| {
                of.happens(ConnectionEvent::ConstantNotSent(KernelRefusal::FULL))
            }),
            ("constant: gone", |of| {
                of.happens(ConnectionEvent::ConstantNotSent(GONE))
            }),
        ],
        "move" => vec![
            ("left", |of| of.happens(ConnectionEvent::Left(Ok(())))),
            ("not left", |of| of.happens(ConnectionEvent::Left(Err(GONE)))),
            ("untold", |of| {
                of.happens(ConnectionEvent::Left(Err(KernelRefusal::UNTOLD)))
            }),
        ],
        "connect" => vec![
            ("connected", |of| of.happens(ConnectionEvent::Connected(Ok(())))),
            ("refused", |of| of.happens(ConnectionEvent::Connected(Err(GONE)))),
        ],
        "close" => vec![("closed", |of| of.happens(ConnectionEvent::Closed))],
        other => unreachable!("{other}"),
    }
}

/// Its name, what is in flight in it, and how it is reached.
type State = (&'static str, &'static [&'static str], fn() -> Bench);

/// All states but `Free`.
fn states() -> Vec<State> {
    vec![
        ("connecting", &["connect"], Bench::connecting),
        ("open", &[], Bench::open),
        ("open, receives", &["receive", "constant"], || {
            Bench::open().after(&[READ])
        }),
        ("open, sends", &["send"], || Bench::open().after(&[SEND])),
        ("moving", &["move"], || Bench::open().after(&[MOVE])),
        ("moving, sends", &["send"], || Bench::open().after(&[SEND, MOVE])),
        ("settled, polls", &["poll", "constant"], || {
            Bench::open().after(&[STAY])
        }),
        ("settled, receives", &["receive"], || {
            Bench::open().after(&[STAY, POLLED])
        }),
        ("settled, both", &["receive", "poll"], || {
            Bench::open().after(&[READ, BYTES, STAY, READ_MORE])
        }),
        ("settled, no buffer", &[], || {
            Bench::open().after(&[STAY, POLLED, NO_BUFFER])
        }),
        ("settled, sends", &["poll", "send"], || {
            Bench::open().after(&[STAY, SEND])
        }),
        ("settled, sends more", &["send"], || {
            Bench::open().after(&[STAY, SEND, SEND])
        }),
        ("draining", &["poll", "send", "constant"], || {
            Bench::open().after(&[STAY, SEND, CLOSE])
        }),
        ("draining, receives", &["receive"], || {
            Bench::open().after(&[STAY, POLLED, SEND, CLOSE])
        }),
        ("ending, receives", &["receive"], || Bench::open().after(&[CLOSE])),
        ("ending, polls", &["poll", "constant"], || {
            Bench::open().after(&[STAY, CLOSE])
        }),
        ("ending, no buffer", &[], || {
            Bench::open().after(&[CLOSE, NO_BUFFER])
        }),
        ("reset, sends", &["send"], || Bench::open().after(&[SEND, RESET])),
        ("closing", &["close"], || Bench::open().after(&[READ, END])),
    ]
}

fn name(operation: &Operation) -> String {
    match operation {
        Operation::Receive(ReceiveMode::Wait) => "receive".to_owned(),
        Operation::Receive(ReceiveMode::DontWait) => "receive at once".to_owned(),
        Operation::Poll => "poll".to_owned(),
        Operation::SendConstant(_) => "send constant".to_owned(),
        Operation::Send { bytes, start } => format!("send {}", bytes.len() - start),
        Operation::Cancel(Cancel::Receive) => "cancel receive".to_owned(),
        Operation::Cancel(Cancel::Poll) => "cancel poll".to_owned(),
        Operation::Cancel(Cancel::Send) => "cancel send".to_owned(),
        Operation::Abort => "abort".to_owned(),
        Operation::Close => "close".to_owned(),
        Operation::Move(..) => "move".to_owned(),
        Operation::Connect { .. } => "connect".to_owned(),
    }
}

fn row(state: &str, event: &str, mut bench: Bench, act: Act) -> Option<String> {
    let (before, begun) = (bench.table.stage(bench.key), bench.kernel.0.len());
    let news = act(&mut bench);
    let after = bench.table.stage(bench.key);
    let operations: Vec<String> = bench.kernel.0[begun..].iter().map(name).collect();
    let news = news.map(|news| format!("{news:?}")).unwrap_or_default();
    let happened = before != after || !operations.is_empty() || !news.is_empty();
    let after = format!("{after:?}");
    let line = format!(
        "{state:<20} {event:<18} {after:<29} {:<28} {news}",
        operations.join(", ")
    );
    happened.then(|| line.trim_end().to_owned())
}

/// Rows in which nothing happens are left out.
#[test]
fn the_whole_table() {
    let mut table = String::new();
    for (state, in_flight, bench) in states() {
        let ends = in_flight.iter().flat_map(|operation| ends(operation));
        let feed: [(&str, Act); 1] = [("buffers are back", |of| {
            of.table.feed(&mut of.kernel);
            None
        })];
        for (event, act) in ends.chain(WISHES).chain(feed) {
            if let Some(row) = row(state, event, bench(), act) {
                writeln!(table, "{row}").unwrap();
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_slot_may_be_given_again_before_the_word_of_its_close() {
    let mut bench = Bench::open().after(&[READ, END]);
    assert_eq!(bench.table.stage(bench.key), ConnectionStage::Closing);
    let new = bench.table.open(SLOT);
    assert_eq!(bench.table.open_count(), 1);
    assert_eq!(bench.table.stage(bench.key), ConnectionStage::Free);
    assert_eq!(bench.happens(ConnectionEvent::Closed), None);
    assert_eq!(
        (bench.table.stage(new), bench.table.open_count()),
        (ConnectionStage::Open, 1)
    );
}

#[test]
#[should_panic(expected = "twice")]
fn a_slot_in_use_is_not_given_again() {
    Bench::open().table.open(SLOT);
}

#[test]
fn bytes_behind_a_short_send_go_out_in_order() {
    let mut bench = Bench::open().after(&[STAY, SEND, SEND_CONSTANT]);
    bench.sent(|_| Ok(1));
    bench.sent(|_| Ok(2));
    let expected = [(vec![1, 2, 3], 0), (vec![1, 2, 3], 1), (CONSTANT.to_vec(), 0)];
    assert_eq!(bench.sends(), expected);
}
