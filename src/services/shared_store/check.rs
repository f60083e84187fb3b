//! Whether the servers are set up so that the shared store keeps what it promises: every setting that matters, at every master and
//! replica, since each replica may be a master tomorrow. Changes none of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::services::shared_store::address::ServerAddress;
use crate::services::shared_store::decoding::{number, pairs, text};
use crate::services::shared_store::link::StoreLink;
use crate::services::shared_store::outcome::{Outcome, SharedStoreError};
use crate::services::shared_store::settings::{CopiesMissing, RedisSettings};
use crate::services::shared_store::topology;

/// Farther apart, a change's date is worth little.
pub const CLOCKS_APART_MAX_MS: u64 = 2_000;

/// A setting that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingFault {
    /// Where, as host and port.
    pub server: String,
    /// Which: a setting of the server, or what it amounts to.
    pub setting: &'static str,
    /// What it is.
    pub is: String,
    /// What would do.
    pub would_do: String,
}

/// What was read of a server.
struct ServerFacts {
    info: BTreeMap<String, String>,
    /// Why it could not be read, otherwise.
    config: Result<BTreeMap<String, String>, String>,
    /// Addresses of the cluster's servers, as they know each other; none if there is no cluster.
    cluster: Option<Vec<String>>,
    /// Those of them that the others miss: nobody is told to ask them.
    failed: Vec<String>,
    clocks_apart_ms: u64,
}

/// What a rule goes by.
struct WantedCopies {
    copies: u16,
    /// A master that must have its replicas writes nothing without them, whatever would go on.
    replicas_to_write: u16,
}

/// A rule: its setting, what would do, and what it is if it will not do.
struct SettingRule {
    setting: &'static str,
    would_do: fn(&WantedCopies) -> String,
    fault: fn(&ServerFacts, &WantedCopies) -> Option<String>,
}

const RULES: &[SettingRule] = &[
    SettingRule {
        setting: "version",
        would_do: |_| "Redis 7.0 or later, or Valkey".to_owned(),
        fault: |facts, _| facts.version().filter(|_| !facts.is_new_enough()),
    },
    SettingRule {
        setting: "appendonly",
        would_do: |_| "yes".to_owned(),
        fault: |facts, _| {
            facts
                .said("aof_enabled")
                .filter(|on| on != "1")
                .map(|_| "no".to_owned())
        },
    },
    SettingRule {
        setting: "maxmemory-policy",
        would_do: |_| "noeviction".to_owned(),
        fault: |facts, _| {
            facts
                .said("maxmemory_policy")
                .filter(|policy| policy != "noeviction")
        },
    },
    SettingRule {
        setting: "replicas",
        would_do: |wanted| format!("at least {} that are online", wanted.copies),
        fault: |facts, wanted| {
            let online = facts
                .replicas()
                .filter(|replica| replica.contains("state=online"))
                .count();
            (facts.is_master() && online < usize::from(wanted.copies)).then(|| format!("{online} online"))
        },
    },
    SettingRule {
        setting: "foreign replicas",
        would_do: |_| {
            "none: whoever reads the replication stream counts as a copy, so only the cluster's servers may"
                .to_owned()
        },
        fault: |facts, _| {
            let known = facts.cluster.as_ref()?;
            let foreign = facts
                .replicas()
                .filter_map(|replica| replica_address(replica))
                .find(|address| !known.contains(address));
            foreign.filter(|_| facts.is_master())
        },
    },
    SettingRule {
        setting: "min-replicas-to-write",
        would_do: |wanted| wanted.replicas_to_write.to_string(),
        fault: |facts, wanted| {
            facts.set("min-replicas-to-write", |set| {
                set == wanted.replicas_to_write.to_string()
            })
        },
    },
    SettingRule {
        setting: "cluster-replica-validity-factor",
        would_do: |_| "1 or more, so that no replica that was long without its master takes over".to_owned(),
        fault: |facts, _| facts.set_in_cluster("cluster-replica-validity-factor", |set| set != "0"),
    },
    SettingRule {
        setting: "cluster-allow-replica-migration",
        would_do: |_| "no".to_owned(),
        fault: |facts, _| facts.set_in_cluster("cluster-allow-replica-migration", |set| set == "no"),
    },
    SettingRule {
        setting: "cluster-require-full-coverage",
        would_do: |_| "no, so that a lost slot stops only itself".to_owned(),
        fault: |facts, _| facts.set_in_cluster("cluster-require-full-coverage", |set| set == "no"),
    },
    SettingRule {
        setting: "clock",
        would_do: |_| format!("at most {CLOCKS_APART_MAX_MS} ms from this host's: synchronise both"),
        fault: |facts, _| {
            let apart = facts.clocks_apart_ms;
            (apart > CLOCKS_APART_MAX_MS).then(|| format!("{apart} ms apart"))
        },
    },
];

impl ServerFacts {
    fn said(&self, name: &str) -> Option<String> {
        self.info.get(name).cloned()
    }

    fn version(&self) -> Option<String> {
        self.said("redis_version")
    }

    /// Valkey says which version of Redis it equals.
    fn is_new_enough(&self) -> bool {
        let version = self.version().unwrap_or_default();
        version
            .split('.')
            .next()
            .and_then(|major| major.parse().ok())
            .is_some_and(|major: u32| major >= 7)
    }

    fn is_master(&self) -> bool {
        self.said("role").is_some_and(|role| role == "master")
    }

    fn replicas(&self) -> impl Iterator<Item = &String> {
        let is_one = |name: &String| {
            name.strip_prefix("slave")
                .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
        };
        self.info
            .iter()
            .filter(move |(name, _)| is_one(name))
            .map(|(_, replica)| replica)
    }

    /// What a setting is, unless it will do.
    fn set(&self, name: &str, will_do: impl Fn(&str) -> bool) -> Option<String> {
        match &self.config {
            Err(error) => Some(format!("unknown: {error}")),
            Ok(config) => match config.get(name) {
                Some(set) => (!will_do(set)).then(|| set.clone()),
                None => Some("unknown".to_owned()),
            },
        }
    }

    fn set_in_cluster(&self, name: &str, will_do: impl Fn(&str) -> bool) -> Option<String> {
        self.cluster.as_ref().and_then(|_| self.set(name, will_do))
    }
}

/// `ip=10.0.0.1,port=7000,state=online,…`
fn replica_address(replica: &str) -> Option<String> {
    let field = |name| replica.split(',').find_map(|field| field.strip_prefix(name));
    Some(format!("{}:{}", field("ip=")?, field("port=")?))
}

/// All that is not as it must be, server by server. `wall_ms` tells the time, in ms since 1970.
///
/// # Errors
/// If no server could be asked who the others are.
pub fn check_settings(settings: &RedisSettings, wall_ms: impl Fn() -> u64) -> Outcome<Vec<SettingFault>> {
    let mut links = HashMap::new();
    let slots = topology::inquire(&settings.servers, settings, &mut links)?;
    let wanted = WantedCopies {
        copies: settings.copies,
        replicas_to_write: match settings.copies_missing {
            CopiesMissing::Wait => settings.copies,
            CopiesMissing::GoOn => 0,
        },
    };
    let failed = RefCell::new(BTreeSet::new());
    let of_server = |server: &ServerAddress| match read(server, settings, &wall_ms) {
        Ok(facts) => {
            failed.borrow_mut().extend(facts.failed.iter().cloned());
            judge(server, &facts, &wanted)
        }
        Err(error) => vec![SettingFault {
            server: server.to_string(),
            setting: "reachable",
            is: error.to_string(),
            would_do: "a server that answers, or none that the others name".to_owned(),
        }],
    };
    let mut faults: Vec<_> = slots.servers().flat_map(of_server).collect();
    faults.extend(failed.into_inner().into_iter().map(|server| SettingFault {
        server,
        setting: "reachable",
        is: "the cluster takes it for failed".to_owned(),
        would_do: "a server that answers, or that the cluster has forgotten".to_owned(),
    }));
    Ok(faults)
}

fn judge(server: &ServerAddress, facts: &ServerFacts, wanted: &WantedCopies) -> Vec<SettingFault> {
    // An older server does not know the other settings.
    let rules = if facts.is_new_enough() { RULES } else { &RULES[..1] };
    let fault = |rule: &SettingRule| {
        Some(SettingFault {
            server: server.to_string(),
            setting: rule.setting,
            is: (rule.fault)(facts, wanted)?,
            would_do: (rule.would_do)(wanted),
        })
    };
    rules.iter().filter_map(fault).collect()
}

fn read(
    server: &ServerAddress,
    settings: &RedisSettings,
    wall_ms: &impl Fn() -> u64,
) -> Result<ServerFacts, SharedStoreError> {
    let mut link = StoreLink::open(server, settings)?;
    let info = link.ask(&["INFO"])?;
    let info: BTreeMap<_, _> = lines(&text(&info).unwrap_or_default());
    let time = link.ask(&["TIME"])?;
    let now_ms = wall_ms();
    let clustered = info.get("cluster_enabled").is_some_and(|enabled| enabled == "1");
    let nodes = if clustered {
        Some(link.ask(&["CLUSTER", "NODES"])?)
    } else {
        None
    };
    let nodes = nodes.and_then(|nodes| text(&nodes));
    let config = link.ask(&[
        "CONFIG",
        "GET",
        "min-replicas-to-write",
        "cluster-replica-validity-factor",
        "cluster-allow-replica-migration",
        "cluster-require-full-coverage",
    ]);
    Ok(ServerFacts {
        info,
        config: config
            .map(|config| set(&config))
            .map_err(|error| error.to_string()),
        failed: nodes.as_deref().map(failed_addresses).unwrap_or_default(),
        cluster: nodes.as_deref().map(addresses),
        clocks_apart_ms: time_ms(&time).map_or(0, |time| time.abs_diff(now_ms)),
    })
}

/// Lines of INFO as names and values.
fn lines(info: &str) -> BTreeMap<String, String> {
    let named = info.lines().filter_map(|line| line.split_once(':'));
    named
        .map(|(name, value)| (name.to_owned(), value.trim_end().to_owned()))
        .collect()
}

/// Addresses in lines of CLUSTER NODES: `id host:port@bus,name flags …`.
fn addresses(nodes: &str) -> Vec<String> {
    let address = |line: &str| Some(line.split(' ').nth(1)?.split('@').next()?.to_owned());
    nodes.lines().filter_map(address).collect()
}

/// Those with the flag `fail`.
fn failed_addresses(nodes: &str) -> Vec<String> {
    let is_failed = |line: &&str| {
        line.split(' ')
            .nth(2)
            .is_some_and(|flags| flags.split(',').any(|flag| flag == "fail"))
    };
    nodes.lines().filter(is_failed).flat_map(addresses).collect()
}

fn set(config: &redis::Value) -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pairs = pairs(config).unwrap_or_default().into_iter();
    pairs.map(|(name, value)| (text(name), text(value))).collect()
}

/// Seconds and microseconds.
fn time_ms(time: &redis::Value) -> Option<u64> {
    let [seconds, micros] = crate::services::shared_store::decoding::list(time)? else {
        return None;
    };
    Some(number(seconds)? * 1_000 + number(micros)? / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a master as it should be, with one thing changed; the setting that is then complained of, and what it is.
    fn check(change: impl FnOnce(&mut ServerFacts), expected: &[(&str, &str)]) {
        let info = "redis_version:7.0.15\r\naof_enabled:1\r\nmaxmemory_policy:noeviction\r\nrole:master\r\n\
            slave0:ip=10.0.0.2,port=7000,state=online,offset=1,lag=0\r\nslave_read_repl_offset:3\r\n";
        let config = [
            ("min-replicas-to-write", "1"),
            ("cluster-replica-validity-factor", "10"),
            ("cluster-allow-replica-migration", "no"),
            ("cluster-require-full-coverage", "no"),
        ];
        let nodes = "a 10.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-16383\n\
            b 10.0.0.2:7000@17000,name slave a 0 0 1 connected\n";
        let mut facts = ServerFacts {
            info: lines(info),
            config: Ok(config
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into()),
            cluster: Some(addresses(nodes)),
            failed: Vec::new(),
            clocks_apart_ms: 3,
        };
        change(&mut facts);
        let server = ServerAddress {
            host: "10.0.0.1".to_owned(),
            port: 7000,
        };
        let wanted = WantedCopies {
            copies: 1,
            replicas_to_write: 1,
        };
        let faults = judge(&server, &facts, &wanted);
        let found: Vec<_> = faults
            .iter()
            .map(|fault| (fault.setting, fault.is.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    fn info(name: &'static str, value: &'static str) -> impl FnOnce(&mut ServerFacts) {
        move |facts| drop(facts.info.insert(name.to_owned(), value.to_owned()))
    }

    fn config(name: &'static str, value: &'static str) -> impl FnOnce(&mut ServerFacts) {
        move |facts| {
            drop(
                facts
                    .config
                    .as_mut()
                    .unwrap()
                    .insert(name.to_owned(), value.to_owned()),
            )
        }
    }

    #[test]
    fn each_setting_is_looked_at() {
        check(|_| {}, &[]);
        check(info("redis_version", "10.0.1"), &[]);
        check(info("redis_version", "6.2.14"), &[("version", "6.2.14")]);
        check(info("aof_enabled", "0"), &[("appendonly", "no")]);
        check(
            info("maxmemory_policy", "allkeys-lru"),
            &[("maxmemory-policy", "allkeys-lru")],
        );
        check(
            |facts| drop(facts.info.remove("slave0")),
            &[("replicas", "0 online")],
        );
        let attaching = "ip=10.0.0.2,port=7000,state=wait_bgsave,offset=0,lag=0";
        check(info("slave0", attaching), &[("replicas", "0 online")]);
        let foreign = "ip=10.0.0.9,port=7000,state=online,offset=1,lag=0";
        check(info("slave12", foreign), &[("foreign replicas", "10.0.0.9:7000")]);
        check(
            config("min-replicas-to-write", "0"),
            &[("min-replicas-to-write", "0")],
        );
        check(
            config("min-replicas-to-write", "2"),
            &[("min-replicas-to-write", "2")],
        );
        let factor = "cluster-replica-validity-factor";
        check(config(factor, "0"), &[(factor, "0")]);
        check(config(factor, "1"), &[]);
        let migration = "cluster-allow-replica-migration";
        check(config(migration, "yes"), &[(migration, "yes")]);
        let coverage = "cluster-require-full-coverage";
        check(config(coverage, "yes"), &[(coverage, "yes")]);
        check(|facts| facts.clocks_apart_ms = 2_000, &[]);
        check(
            |facts| facts.clocks_apart_ms = 2_001,
            &[("clock", "2001 ms apart")],
        );
    }

    #[test]
    fn who_failed_is_named() {
        let nodes = "a 10.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-16383\n\
            b 10.0.0.2:7000@17000,name slave,fail a 0 0 1 connected\n\
            c 10.0.0.3:7000@17000 master,fail? a 0 0 1 connected\n";
        assert_eq!(failed_addresses(nodes), ["10.0.0.2:7000"]);
    }

    #[test]
    fn a_replica_needs_no_replicas() {
        let replica = |facts: &mut ServerFacts| {
            info("role", "slave")(facts);
            facts.info.remove("slave0");
        };
        check(replica, &[]);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let unknown = "unknown: denied";
        let expected = [
            ("min-replicas-to-write", unknown),
            ("cluster-replica-validity-factor", unknown),
            ("cluster-allow-replica-migration", unknown),
            ("cluster-require-full-coverage", unknown),
        ];
        check(|facts| facts.config = Err("denied".to_owned()), &expected);
        let alone = |facts: &mut ServerFacts| {
            facts.config = Err("denied".to_owned());
            facts.cluster = None;
        };
        check(alone, &expected[..1]);
    }
}
