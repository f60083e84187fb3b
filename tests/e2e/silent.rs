//! Connections that say nothing: the gateway answers probes and queries beside as many as anyone opens.

use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::gateway;
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
