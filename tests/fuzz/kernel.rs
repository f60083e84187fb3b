//! The connection machine against the model of a kernel, as an entry: bytes decide what chance decides in the run by seeds.

#[path = "../kernel/model.rs"]
#[allow(dead_code, reason = "the simulation uses the rest")]
mod model;
#[path = "../kernel/ring.rs"]
#[allow(dead_code, reason = "the simulation uses the rest")]
mod ring;
#[path = "../kernel/socket.rs"]
#[allow(dead_code, reason = "the simulation uses the rest")]
mod socket;
#[path = "../kernel/world.rs"]
mod world;

/// Of a step two bytes: what is inserted or taken away among them leaves the steps behind it what they are.
const STEP_BYTES: usize = 2;

/// Connections of the machine keep all that the model checks, whatever happens when.
pub(crate) fn connections(bytes: &[u8]) {
    let (begin, steps) = bytes.split_at(bytes.len().min(STEP_BYTES));
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    world::World::live(number(begin), steps.chunks(STEP_BYTES).map(number));
}
