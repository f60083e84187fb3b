//! Connections that say nothing: the gateway answers probes and queries beside as many as anyone opens.

use std::net::TcpStream;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use serde_json::json;

use crate::gateway;
use crate::support::gateway::Gateway;
use crate::support::http::Http;

/// More than each listener has places for.
const SILENT_AT_ADMIN: usize = 1_100;
const SILENT_AT_HTTP: usize = 4_200;

fn raise_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("the soft limit may be as high as the hard one");
}

#[test]
fn silent_connections_hold_up_neither_probes_nor_queries() {
    raise_descriptors();
    let gateway = gateway(&[]);
    let mut silent = Vec::new();
    for (address, count) in [(gateway.admin, SILENT_AT_ADMIN), (gateway.http, SILENT_AT_HTTP)] {
        silent.extend((0..count).map(|_| TcpStream::connect(address).expect("a connection")));
    }
    let http = Http::default();
    for page in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(http.get(gateway.admin, page).0, 200, "{page}");
    }
    let asked = json!({"To_Account": ["nobody"]});
    let reply = http.call(gateway.http, "openim/query_online_status", &asked);
    assert_eq!(reply["ErrorCode"], 70_107, "{reply}");
    drop(silent);
}

/// Sets how many descriptors the gateway may have from now on. Gives what held before.
fn limit_descriptors(gateway: &Gateway, limit: Rlimit) -> Rlimit {
    let id = i32::try_from(gateway.id()).ok().and_then(Pid::from_raw);
    prlimit(id, Resource::Nofile, limit).expect("a process of this user")
}

#[test]
fn a_process_without_descriptors_serves_those_who_are_connected_and_accepts_later() {
    let gateway = gateway(&[]);
    let at_admin = Http::default();
    let failures = || {
        let (_, text) = at_admin.get(gateway.admin, "/metrics");
        let name = "holdfast_http_accept_failures_total ";
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.expect("the metric is there").parse::<u64>().unwrap()
    };
    assert_eq!(failures(), 0);
    let none = Rlimit {
        current: Some(3),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    let before = limit_descriptors(&gateway, none);
    // The client keeps its connection, so this is answered all the same.
    let _waiting = TcpStream::connect(gateway.http).expect("the kernel takes it in");
    while failures() == 0 {
        std::thread::yield_now();
    }
    limit_descriptors(&gateway, before);
    let asked = json!({"To_Account": ["nobody"]});
    let reply = Http::default().call(gateway.http, "openim/query_online_status", &asked);
    assert_eq!(reply["ErrorCode"], 70_107, "{reply}");
}
