//! Fuzzing without tools: the entries of `entries.rs`, fed with inputs that are changed at random. The same seed repeats the
//! same inputs, and a failure prints the one that failed.
//!
//! ```text
//! cargo test --test fuzz                                     two seconds each
//! HOLDFAST_FUZZ_S=600 HOLDFAST_FUZZ_SEED=7 cargo test …      ten minutes each, with other inputs
//! ```

#[allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]
mod entries;
#[allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]
mod kernel;

use std::panic::{AssertUnwindSafe, catch_unwind};

use fastrand::Rng;
use holdfast::base::ids::UserId;
use holdfast::base::time::Stopwatch;
use holdfast::protocol::native::{HEARTBEAT, encode, proto};
use holdfast::protocol::transport::websocket::client::{self, put_masked};
use holdfast::protocol::transport::websocket::frame::Opcode;
use holdfast::protocol::usersig;

// Where the model of the kernel looks for them.
use holdfast::{base, engine};

/// How long an input may become.
const BYTES_MAX: usize = 8_192;

/// How many inputs are kept to be changed again.
const KEPT_MAX: usize = 1_024;

fn number(variable: &str, default: u64) -> u64 {
    let given = std::env::var(variable);
    given.map_or(default, |given| given.parse().expect("a number"))
}

/// Feeds an entry with inputs that are made of these.
fn fuzz(entry: fn(&[u8]), mut known: Vec<Vec<u8>>) {
    let (began, lasts_s) = (Stopwatch::start(), number("HOLDFAST_FUZZ_S", 2));
    let mut random = Rng::with_seed(number("HOLDFAST_FUZZ_SEED", 1));
    known.iter().for_each(|input| run(entry, input));
    let mut count = 0_u64;
    while began.elapsed().as_secs() < lasts_s {
        for _ in 0..16 {
            let mut input = known[random.usize(..known.len())].clone();
            for _ in 0..random.u8(1..8) {
                change(&mut input, &known, &mut random);
            }
            input.truncate(BYTES_MAX);
            run(entry, &input);
            keep(input, &mut known, &mut random);
        }
        count += 16;
    }
    println!("{count} inputs");
}

fn run(entry: fn(&[u8]), input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| entry(input))) {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("the input was {hex}");
        std::panic::resume_unwind(panic);
    }
}

/// Some changed inputs are changed again later, so that they wander far from the first ones.
fn keep(input: Vec<u8>, known: &mut Vec<Vec<u8>>, random: &mut Rng) {
    if known.len() < KEPT_MAX {
        known.push(input);
    } else if random.u8(..64) == 0 {
        let place = random.usize(16..known.len());
        known[place] = input;
    }
}

/// One change.
fn change(input: &mut Vec<u8>, known: &[Vec<u8>], random: &mut Rng) {
    let place = random.usize(..=input.len());
    let end = random.usize(place..=input.len());
    match random.u8(..8) {
        0 => input.insert(place, random.u8(..)),
        1 => drop(input.drain(place..end)),
        2 => input
            .splice(place..place, known[random.usize(..known.len())].clone())
            .for_each(drop),
        3 => {
            let again = input[place..end].to_vec();
            input.splice(place..place, again).for_each(drop);
        }
        4 => input
            .iter_mut()
            .skip(place)
            .take(1)
            .for_each(|byte| *byte ^= 1 << random.u8(..8)),
        5 => input
            .iter_mut()
            .skip(place)
            .take(1)
            .for_each(|byte| *byte = random.u8(..)),
        6 => input
            .iter_mut()
            .skip(place)
            .take(1)
            .for_each(|byte| *byte = byte.wrapping_add(random.u8(..3)).wrapping_sub(1)),
        _ => input.truncate(end),
    }
}

/// What a terminal sends, in pieces.
fn conversations() -> Vec<Vec<u8>> {
    let user = UserId::new(entries::USER.as_bytes()).expect("a UserID");
    let login = |secret: &str, session: u64| {
        encode(&proto::Request {
            packet: Some(proto::request::Packet::Login(proto::Login {
                protocol: 1,
                user_id: entries::USER.to_owned(),
                user_sig: usersig::sign(entries::NOW, entries::APP, secret, &user, 86_400),
                platform: proto::Platform::Android.into(),
                instance: 1,
                session,
                sdk_version: "fuzz/1".to_owned(),
                app_version: "1.0".to_owned(),
                ..Default::default()
            })),
        })
    };
    let (logout, background) = (
        encode(&proto::Request {
            packet: Some(proto::request::Packet::Logout(proto::Logout::default())),
        }),
        encode(&proto::Request {
            packet: Some(proto::request::Packet::Background(proto::Background {
                background: true,
            })),
        }),
    );
    let heartbeat = HEARTBEAT.to_vec();
    let whole = [
        login("another secret", 0),
        heartbeat.clone(),
        background.clone(),
        logout.clone(),
    ];
    let mut all: Vec<Vec<u8>> = whole.to_vec();
    all.push(whole.concat());
    all.push([heartbeat, login("another secret", 7), logout].concat());
    in_pieces(&all)
}

/// Each in pieces of up to 255 bytes, of 9, and of 1.
fn in_pieces(all: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let cut = |bytes: &[u8], length: usize| {
        let pieces = bytes.chunks(length);
        pieces
            .flat_map(|piece| [&[piece.len() as u8][..], piece].concat())
            .collect::<Vec<u8>>()
    };
    [255, 9, 1]
        .iter()
        .flat_map(|length| all.iter().map(|bytes| cut(bytes, *length)))
        .collect()
}

/// What comes by WebSocket: a request with frames behind it, and the frames alone.
fn websockets() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for (opcode, payload) in [
        (Opcode::Binary, &[7; 300][..]),
        (Opcode::Ping, b"there?"),
        (Opcode::Binary, HEARTBEAT),
        (Opcode::Close, b"\x03\xe8bye"),
    ] {
        put_masked(opcode, payload, [1, 2, 3, 4], &mut frames);
    }
    let request = client::request("localhost", "/", &client::key([7; 16]));
    let more = "\r\nOrigin: http://localhost\r\nX-Forwarded-For: 192.0.2.1, 192.0.2.2\r\n\r\n";
    let request = request.replace("\r\n\r\n", more).into_bytes();
    in_pieces(&[[&request[..], &frames].concat(), frames])
}

fn usersigs() -> Vec<Vec<u8>> {
    let user = UserId::new(entries::USER.as_bytes()).expect("a UserID");
    let sign = |secret: &str| usersig::sign(entries::NOW, entries::APP, secret, &user, 86_400).into_bytes();
    vec![Vec::new(), sign("another secret"), sign("a"), b"eJw*".to_vec()]
}

#[test]
fn any_bytes_are_the_same_packets_wherever_they_are_cut() {
    fuzz(entries::packets, conversations());
}

#[test]
fn no_text_is_a_good_usersig() {
    fuzz(entries::usersig, usersigs());
}

/// What happens to connections, in longer and longer lives.
fn lives() -> Vec<Vec<u8>> {
    let mut random = Rng::with_seed(2);
    let mut life = |bytes| std::iter::repeat_with(|| random.u8(..)).take(bytes).collect();
    (1..=12).map(|power| life(1 << power)).collect()
}

#[test]
fn connections_keep_what_a_kernel_would_not_forgive() {
    fuzz(kernel::connections, lives());
}

#[test]
fn a_shard_takes_any_bytes_of_a_terminal() {
    fuzz(entries::terminal, conversations());
}

#[test]
fn a_websocket_gives_the_same_wherever_bytes_are_cut() {
    fuzz(entries::websocket, websockets());
}

#[test]
fn nothing_is_content_before_a_handshake() {
    fuzz(entries::tls::tls_beginning, in_pieces(&entries::tls::hellos()));
}

#[test]
fn tls_gives_the_same_wherever_records_are_cut() {
    fuzz(entries::tls::tls_records, entries::tls::records());
}
