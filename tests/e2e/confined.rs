//! The gateway under the filters of system calls that its packages name: the seccomp profile for containers and the one of the
//! systemd unit. A filter is loaded into a thread of the test, and counts for what that thread starts.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use holdfast::protocol::native::proto::Platform;
use seccompiler::{BpfProgram, apply_filter, compile_from_json};
use serde_json::{Value, json};

use crate::gateway;
use crate::support::command::{Said, run};
use crate::support::http::Http;
use crate::support::terminal::{Terminal, login};

const PROGRAM: &str = env!("CARGO_BIN_EXE_holdfast");
const PROFILE: &str = include_str!("../../src/package/seccomp.json");
const UNIT: &str = include_str!("../../src/package/holdfast.service");
const RING_CALLS: [&str; 3] = ["io_uring_setup", "io_uring_enter", "io_uring_register"];
const EPERM: u64 = 1;
const ENOSYS: u64 = 38;

/// What a system call is allowed for: no conditions, or one of these.
type Allowed = BTreeMap<String, Vec<Value>>;

/// One filter: what is in `rules` meets `hit`, the rest meets `miss`.
fn compile(rules: &Allowed, hit: &Value, miss: &Value) -> BpfProgram {
    let program = |filter: &[Value]| {
        let whole = json!({"filter": {"match_action": hit, "mismatch_action": miss, "filter": filter}});
        let arch = std::env::consts::ARCH.try_into().unwrap();
        compile_from_json(whole.to_string().as_bytes(), arch)
    };
    let rule = |name: &String, condition: &Value| match condition {
        Value::Null => json!({"syscall": name}),
        condition => json!({"syscall": name, "args": [condition]}),
    };
    let every = rules.iter().flat_map(|(name, conditions)| {
        let known = program(&[json!({"syscall": name})]).is_ok();
        // Other processors have calls that this one has not.
        conditions
            .iter()
            .filter(move |_| known)
            .map(move |condition| rule(name, condition))
    });
    let rules: Vec<Value> = every.collect();
    program(&rules).unwrap().remove("filter").unwrap()
}

/// Does it on a thread that has these filters, as all that it starts. A later one counts where both refuse.
fn under<T: Send>(filters: &[BpfProgram], act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let confined = scope.spawn(|| {
            filters.iter().for_each(|filter| apply_filter(filter).unwrap());
            act()
        });
        confined.join().unwrap()
    })
}

fn profile() -> Value {
    serde_json::from_str(PROFILE).unwrap()
}

fn names(rule: &Value) -> impl Iterator<Item = &str> {
    rule["names"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
}

/// A condition as the compiler wants it.
fn condition(argument: &Value) -> Value {
    let (value, second) = (&argument["value"], &argument["valueTwo"]);
    let (op, value) = match argument["op"].as_str().unwrap() {
        "SCMP_CMP_EQ" => (json!("eq"), value),
        "SCMP_CMP_NE" => (json!("ne"), value),
        "SCMP_CMP_MASKED_EQ" => (json!({"masked_eq": value}), second),
        other => panic!("a condition that no test knows: {other}"),
    };
    json!({"index": argument["index"], "type": "qword", "op": op, "val": value})
}

/// The profile, as a container engine loads it, without these system calls and with this answer to what is not allowed.
fn load(profile: &Value, without: &[&str], refusal: u64) -> Vec<BpfProgram> {
    let (mut allowed, mut refused) = (Allowed::new(), Vec::new());
    for rule in profile["syscalls"].as_array().unwrap() {
        let conditions = rule["args"].as_array().map_or_else(
            || vec![Value::Null],
            |arguments| {
                // Several have to hold together, which is not done here.
                assert_eq!(arguments.len(), 1, "{rule}");
                vec![condition(&arguments[0])]
            },
        );
        for name in names(rule).filter(|name| !without.contains(name)) {
            match rule["action"].as_str().unwrap() {
                "SCMP_ACT_ALLOW" => allowed
                    .entry(name.to_owned())
                    .or_default()
                    .extend(conditions.clone()),
                "SCMP_ACT_ERRNO" => {
                    let hit = Allowed::from([(name.to_owned(), conditions.clone())]);
                    refused.push(compile(
                        &hit,
                        &json!({"errno": rule["errnoRet"]}),
                        &json!("allow"),
                    ));
                }
                other => panic!("an action that no test knows: {other}"),
            }
        }
    }
    let main = compile(&allowed, &json!("allow"), &json!({"errno": refusal}));
    [vec![main], refused].concat()
}

/// A gateway starts, lets a terminal in, answers a query and stops.
fn serve() {
    let gateway = gateway(&[("shards.count", "2"), ("shards.pin", "true")]);
    let (_terminal, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 1));
    let asked = json!({"To_Account": ["alice"]});
    let answer = Http::default().call(gateway.http, "openim/query_online_status", &asked);
    assert_eq!(answer["QueryResult"][0]["Status"], "Online", "{answer}");
    assert!(gateway.stop());
}

#[test]
fn the_gateway_runs_under_the_seccomp_profile() {
    let profile = profile();
    let refusal = profile["defaultErrnoRet"].as_u64().unwrap();
    under(&load(&profile, &[], refusal), serve);
}

fn check() -> Said {
    run(PROGRAM, &["check", "--set", "registry.store=memory"], b"")
}

fn start() -> Said {
    run(PROGRAM, &["--set", "registry.store=memory"], b"")
}

#[test]
fn without_io_uring_in_a_profile_check_and_start_name_the_one_that_has_it() {
    let known = profile();
    // As Docker and containerd refuse it, and as Podman does.
    for (refusal, error) in [(EPERM, "EPERM"), (ENOSYS, "ENOSYS")] {
        let (checked, started) = under(&load(&known, &RING_CALLS, refusal), || (check(), start()));
        let problem = checked
            .out
            .lines()
            .find(|line| line.starts_with("PROBLEM  io_uring: "));
        let text = problem
            .unwrap_or_else(|| panic!("{checked:?}"))
            .trim_start_matches("PROBLEM  io_uring: ");
        assert!(
            text.contains(error) && text.contains("`holdfast print seccomp`"),
            "{text}"
        );
        assert_eq!((checked.code, started.code), (Some(1), Some(1)));
        assert!(started.errors.contains(text), "{started:?}");
    }
}

/// Docker's format and the runtime specification's have more than this, and not the same: Kubernetes with containerd reads
/// a profile by the latter, and would take what Docker allows to some containers only as allowed to all.
#[test]
fn every_container_engine_reads_the_profile_in_the_same_way() {
    let profile = profile();
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<BTreeSet<_>>()
    };
    let within = |value: &Value, known: &[&str]| keys(value).iter().all(|key| known.contains(&key.as_str()));
    assert!(within(
        &profile,
        &[
            "comment",
            "defaultAction",
            "defaultErrnoRet",
            "architectures",
            "syscalls"
        ]
    ));
    for rule in profile["syscalls"].as_array().unwrap() {
        assert!(within(rule, &["names", "action", "args", "errnoRet"]), "{rule}");
    }
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
}

#[test]
fn the_profile_adds_io_uring_and_nothing_that_is_for_administrators() {
    let profile = profile();
    let rules = profile["syscalls"].as_array().unwrap();
    let allowed: Vec<&str> = rules
        .iter()
        .filter(|rule| rule["action"] == "SCMP_ACT_ALLOW")
        .flat_map(names)
        .collect();
    assert!(RING_CALLS.iter().all(|call| allowed.contains(call)));
    for name in [
        "bpf",
        "mount",
        "umount2",
        "unshare",
        "setns",
        "pivot_root",
        "chroot",
        "kexec_load",
        "init_module",
        "finit_module",
        "delete_module",
        "keyctl",
        "add_key",
        "request_key",
        "perf_event_open",
        "userfaultfd",
        "open_by_handle_at",
        "reboot",
        "swapon",
        "settimeofday",
        "clock_settime",
        "iopl",
        "ioperm",
        "clone3",
    ] {
        assert!(!allowed.contains(&name), "{name}");
    }
}

/// The names of systemd's groups of system calls, and what is in them.
fn systemd_groups() -> BTreeMap<String, Vec<String>> {
    let output = Command::new("systemd-analyze")
        .args(["--no-pager", "syscall-filter"])
        .output();
    let text = String::from_utf8(output.expect("systemd-analyze is installed").stdout).unwrap();
    let (mut groups, mut current) = (BTreeMap::<String, Vec<String>>::new(), String::new());
    for line in text.lines().take_while(|line| !line.starts_with("# Ungrouped")) {
        match (line.strip_prefix("    "), line.starts_with('@')) {
            (_, true) => line.clone_into(&mut current),
            (Some(name), _) if !name.starts_with('#') => {
                groups.entry(current.clone()).or_default().push(name.to_owned());
            }
            _ => {}
        }
    }
    groups
}

/// A name, or all of a group.
fn expand(name: &str, groups: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
    match groups.get(name) {
        Some(members) => members.iter().flat_map(|member| expand(member, groups)).collect(),
        None => BTreeSet::from([name.to_owned()]),
    }
}

#[test]
#[ignore = "needs systemd-analyze, whose groups the unit names"]
fn the_gateway_runs_under_the_units_filter_of_system_calls() {
    let groups = systemd_groups();
    // What systemd itself adds to each list.
    let mut allowed = expand("@default", &groups);
    for line in UNIT
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
    {
        let (takes_away, list) = line.strip_prefix('~').map_or((false, line), |list| (true, list));
        let named: BTreeSet<_> = list.split(' ').flat_map(|name| expand(name, &groups)).collect();
        if takes_away {
            allowed.retain(|name| !named.contains(name));
        } else {
            allowed.extend(named);
        }
    }
    assert!(allowed.len() > 100 && !allowed.contains("mount") && !allowed.contains("setuid"));
    assert!(UNIT.contains("SystemCallErrorNumber=EPERM"));
    let rules = allowed
        .into_iter()
        .map(|name| (name, vec![Value::Null]))
        .collect();
    under(
        &[compile(&rules, &json!("allow"), &json!({"errno": EPERM}))],
        serve,
    );
}
