//! What a server's answer means for the call it answers: above all, whether the call was executed. One table of error words.

use redis::{RedisError, Value};

use crate::services::shared_store::address::ServerAddress;
use crate::services::shared_store::outcome::{Refusal, SharedStoreError};

/// What was heard of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    /// It was executed, with this answer.
    Answer(Value),
    /// It was not executed: it belongs to another server.
    Elsewhere(Redirect),
    /// It was not executed: the server does not know the script.
    NoScript,
    /// Not carried out, or perhaps.
    Error(SharedStoreError),
}

/// Where a request belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// From now on.
    Moved(ServerAddress),
    /// This once.
    Ask(ServerAddress),
    /// Not to this server: it is no master, or none any more.
    NotHere,
}

/// What an answer from `server` says.
pub(crate) fn hear(received: Result<Value, RedisError>, server: &ServerAddress) -> Heard {
    match received {
        Ok(Value::ServerError(error)) => judge(error.code(), error.details().unwrap_or_default(), server),
        Ok(answer) => Heard::Answer(answer),
        Err(error) => match error.code() {
            Some(code) => judge(code, error.detail().unwrap_or_default(), server),
            None => Heard::Error(SharedStoreError::Unknown(format!("{server}: {error}"))),
        },
    }
}

/// The table of error words.
fn judge(code: &str, detail: &str, server: &ServerAddress) -> Heard {
    let target = || {
        detail
            .split(' ')
            .nth(1)
            .and_then(|target| ServerAddress::read(target, server))
    };
    let why = match code {
        "MOVED" => return Heard::Elsewhere(target().map_or(Redirect::NotHere, Redirect::Moved)),
        "ASK" => return Heard::Elsewhere(target().map_or(Redirect::NotHere, Redirect::Ask)),
        "READONLY" | "MASTERDOWN" => return Heard::Elsewhere(Redirect::NotHere),
        "NOSCRIPT" => return Heard::NoScript,
        "NOREPLICAS" => Refusal::NoReplicas,
        "OOM" => Refusal::Full,
        "MISCONF" => Refusal::DiskFault,
        "LOADING" => Refusal::Loading,
        "CLUSTERDOWN" => Refusal::ClusterDown,
        "TRYAGAIN" => Refusal::Moving,
        "BUSY" => Refusal::Busy,
        "NOAUTH" | "WRONGPASS" | "NOPERM" => Refusal::Denied,
        // A script that fails half-way leaves what it wrote. So whatever is not known to be refused may be executed.
        _ => return Heard::Error(SharedStoreError::Unknown(format!("{server}: {code} {detail}"))),
    };
    Heard::Error(SharedStoreError::NotExecuted {
        why,
        text: format!("{server}: {code} {detail}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &str, detail: &str, expected: &str) {
        let server = ServerAddress {
            host: "s".to_owned(),
            port: 1,
        };
        let heard = match judge(code, detail, &server) {
            Heard::Elsewhere(redirect) => match redirect {
                Redirect::Moved(to) => format!("moved {to}"),
                Redirect::Ask(to) => format!("ask {to}"),
                Redirect::NotHere => "not here".to_owned(),
            },
            Heard::NoScript => "no script".to_owned(),
            Heard::Error(SharedStoreError::NotExecuted { why, .. }) => format!("{why:?}"),
            Heard::Error(SharedStoreError::Unknown(_)) => "unknown".to_owned(),
            other @ (Heard::Answer(_) | Heard::Error(_)) => panic!("{other:?}"),
        };
        assert_eq!(heard, expected, "{code}");
    }

    #[test]
    fn every_word_has_its_meaning() {
        check("MOVED", "3999 10.0.0.1:7000", "moved 10.0.0.1:7000");
        check("MOVED", "3999 :7000", "moved s:7000");
        check("MOVED", "", "not here");
        check("ASK", "3999 10.0.0.1:7000", "ask 10.0.0.1:7000");
        check(
            "READONLY",
            "You can't write against a read only replica.",
            "not here",
        );
        check("MASTERDOWN", "StoreLink with MASTER is down", "not here");
        check("NOSCRIPT", "No matching script.", "no script");
        check("NOREPLICAS", "Not enough good replicas to write.", "NoReplicas");
        check("OOM", "allow-oom flag is not set", "Full");
        check("MISCONF", "Errors writing to the AOF file", "DiskFault");
        check("LOADING", "Redis is loading the dataset in memory", "Loading");
        check("CLUSTERDOWN", "The cluster is down", "ClusterDown");
        check(
            "TRYAGAIN",
            "Multiple keys request during rehashing of slot",
            "Moving",
        );
        check("BUSY", "Redis is busy running a script.", "Busy");
        check("NOAUTH", "Authentication required.", "Denied");
        check("WRONGPASS", "invalid username-password pair", "Denied");
        check("NOPERM", "this user has no permissions", "Denied");
        check(
            "UNBLOCKED",
            "force unblock from blocking operation, instance state changed",
            "unknown",
        );
        check("ERR", "user_script:20: attempt to index a nil value", "unknown");
        check(
            "WRONGTYPE",
            "Operation against a key holding the wrong kind of value",
            "unknown",
        );
        check("SOMETHINGNEW", "", "unknown");
    }
}
