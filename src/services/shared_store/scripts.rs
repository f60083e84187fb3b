//! The scripts that servers execute, each in a file of its own. A script's hash is its version: nodes of two versions each bring
//! their own, side by side.

use std::fmt::Write as _;
use std::sync::LazyLock;

use sha1::{Digest, Sha1};

/// A script.
#[derive(Debug)]
pub(crate) struct ServerScript {
    /// What a server compiles.
    pub(crate) text: &'static str,
    /// The name by which a server knows it: the SHA-1 of its text, in hexadecimal digits.
    pub(crate) hash: String,
}

impl ServerScript {
    fn new(text: &'static str) -> Self {
        let mut hash = String::with_capacity(40);
        for byte in Sha1::digest(text.as_bytes()) {
            write!(hash, "{byte:02x}").expect("a string takes all");
        }
        Self { text, hash }
    }
}

macro_rules! scripts {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(pub(crate) static $name: LazyLock<ServerScript> =
            LazyLock::new(|| ServerScript::new(include_str!(concat!("scripts/", $file))));)*
    };
}

scripts! {
    COMMIT = "commit.lua",
    CLAIM = "claim.lua",
    RELEASE = "release.lua",
    LOOK = "look.lua",
    STEPS = "steps.lua",
    PRUNE = "prune.lua",
    ACCEPT = "accept.lua",
    LOAD = "load.lua",
    STREAM = "stream.lua",
    BATCHES = "batches.lua",
    OUTBOX = "outbox.lua",
    CREATE = "create.lua",
    JOIN = "join.lua",
    BEAT = "beat.lua",
    BURY = "bury.lua",
    LEAVE = "leave.lua",
    PUBLISH = "publish.lua",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_what_it_is_given_and_gives() {
        let owners = [
            &COMMIT, &CLAIM, &RELEASE, &LOOK, &STEPS, &PRUNE, &ACCEPT, &LOAD, &STREAM, &BATCHES, &OUTBOX,
        ];
        let nodes = [&CREATE, &JOIN, &BEAT, &BURY, &LEAVE, &PUBLISH];
        for script in owners.into_iter().chain(nodes) {
            let lines: Vec<&str> = script.text.lines().collect();
            assert!(lines[0].starts_with("#!lua"), "{}", lines[0]);
            for word in ["-- KEYS  1 ", "-- Gives "] {
                assert!(
                    lines.iter().any(|line| line.starts_with(word)),
                    "{word} in {}",
                    lines[1]
                );
            }
        }
    }

    #[test]
    fn the_hash_is_what_a_server_reckons() {
        let script = ServerScript::new("return 1");
        assert_eq!(script.hash, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }
}
