//! `holdfast-load`: simulates terminals on the same engine as the gateway. It measures a gateway from outside, by its
//! process, its sockets and its answers, and checks each of them; it knows nothing of how the gateway decides, and
//! connects to nothing but loopback.

mod arguments;
mod steps;
mod cluster_size;
mod scenario;

mod generator;
mod gateway;
mod cluster;

mod redis_servers;
mod certificate;
mod wrapping;
mod mosquitto;
mod peer;
mod peer_kind;
mod http;
mod receiver;
mod buckets;

mod apart;
mod ending;
mod process;
mod slab;

mod machine;
mod plot;
mod progress;
mod screen;
mod report;
mod results;

use std::process::ExitCode;

use clap::Parser;

use arguments::LoadArguments;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A check failed: what was measured is not to be used.
const EXIT_CHECK_FAILED: u8 = 3;
/// The arguments ask for what is not done, as with those that cannot be read.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = LoadArguments::parse();
    match ending::listen().and_then(|()| scenario::run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            ending::last_word("holdfast-load: not every check held; the table says which");
            ExitCode::from(EXIT_CHECK_FAILED)
        }
        Err(error) => {
            ending::last_word(&format!("holdfast-load: {error:#}"));
            if error.is::<report::Displaces>() {
                return ExitCode::from(EXIT_USAGE);
            }
            ExitCode::FAILURE
        }
    }
}
