//! All records move from a store on disk into a cluster and back, and nobody notices: terminals go on with their sessions, the backend
//! is told what it was not told, and whatever is wrong is said before anything is lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use holdfast::base::ids::UserId;
use holdfast::protocol::native::proto::{self, Platform};
use http_body_util::Full;
use hyper::Request;
use tempfile::TempDir;

use crate::kept;
use crate::node::{Cluster, Node, arrive, following};
use crate::support::gateway::Gateway;
use crate::support::http::Http;
use crate::support::receiver::Receiver;
use crate::support::terminal::Terminal;

const PROGRAM: &str = env!("CARGO_BIN_EXE_holdfast");

/// Terminals that are there before, and come back.
const COME_BACK: [&str; 3] = ["back-1", "back-2", "back-3"];

/// A folder of stores on disk.
struct Folders(TempDir);

impl Folders {
    fn new() -> Self {
        Self(TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    fn of(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A gateway by itself, with a store in this folder.
fn alone(folder: &Path) -> Gateway {
    let path = format!("{folder:?}");
    Gateway::start(PROGRAM, &[("registry.path", &path)])
}

/// Where the stream goes on behind the list of users.
fn list(gateway: &Gateway) -> String {
    let path = format!("http://{}/v1/users", gateway.admin);
    let request = Request::get(path).body(Full::default()).unwrap();
    let (head, _) = Http::default().exchange(request);
    head.headers["holdfast-stream"].to_str().unwrap().to_owned()
}

/// How a follower of the stream is answered.
fn follow(gateway: &Gateway, after: &str) -> u16 {
    let path = format!("/v1/changes?wait_s=0&after={after}");
    Http::default().get(gateway.admin, &path).0
}

/// Logs in those who come back at a gateway by itself. Gives their logins, with their sessions; and a place in its stream.
fn settle(folder: &Path) -> (Vec<proto::Login>, String) {
    let gateway = alone(folder);
    let place = list(&gateway);
    assert_eq!(follow(&gateway, &place), 200);
    let settle = |name: &&str| {
        let mut login = following(name, Platform::Iphone, 1);
        let (terminal, session) = Terminal::logged_in(gateway.terminals, login.clone());
        login.session = session;
        (login, terminal)
    };
    let (logins, terminals): (Vec<_>, Vec<_>) = COME_BACK.iter().map(settle).unzip();
    // Their links last as long as it does.
    assert!(gateway.stop());
    drop(terminals);
    (logins, place)
}

fn told(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = cluster.run(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Everyone has the session of before, and no change since.
fn resume_at_node(node: &Node, logins: &[proto::Login]) -> Vec<Terminal> {
    let resume = |login: &proto::Login| {
        let (terminal, session, _) = arrive(node, login);
        assert_eq!(session, login.session);
        assert_eq!(node.user(&login.user_id)["change"], 1, "{}", login.user_id);
        terminal
    };
    logins.iter().map(resume).collect()
}

/// The same at a gateway by itself, which then ends. It is another store than the one of this place in its stream.
fn resume_alone(folder: &Path, (logins, place): (&[proto::Login], &str)) {
    let gateway = alone(folder);
    // Its followers begin with the list.
    assert_eq!(follow(&gateway, place), 400);
    assert_eq!(follow(&gateway, &list(&gateway)), 200);
    let resume = |login: &proto::Login| {
        let (terminal, session) = Terminal::logged_in(gateway.terminals, login.clone());
        assert_eq!(session, login.session);
        terminal
    };
    let terminals: Vec<_> = logins.iter().map(resume).collect();
    assert!(gateway.stop());
    drop(terminals);
}

fn all_users(users: usize) -> impl Iterator<Item = UserId> {
    let back = COME_BACK.iter().map(|name| UserId::new(name.as_bytes()).unwrap());
    (0..users).map(kept::user).chain(back)
}

#[test]
fn records_move_into_a_cluster_and_back_and_nobody_notices() {
    let users = 3_000;
    let folders = Folders::new();
    let (before, back, again) = (folders.of("before"), folders.of("back"), folders.of("again"));
    kept::fill(&before, users, 4);
    let (logins, place) = settle(&before);
    assert!(
        kept::prune(&before).0 > users as u64 / 2,
        "the first round is old"
    );
    let outbox = kept::outbox(&before);
    assert!(outbox.dead.len() > 5 && outbox.attempts.len() > 5 && outbox.untold.len() > 50);

    let receiver = Receiver::start(0);
    let cluster = Cluster::found(&[("callback.url", &receiver.url())]);
    cluster.command(&["cluster", "import", text(&before)]);
    cluster.command(&["cluster", "export", text(&back)]);
    assert!(kept::compare_users(&before, &back, all_users(users)) > users);
    assert_eq!(kept::outbox(&back), outbox);
    let ((_, one), (pruned, other)) = (kept::stream(&before), kept::stream(&back));
    assert!(pruned.0 > 0, "whoever begins at 0 is told that there was more");
    assert!(other.is_sorted_by_key(|recorded| recorded.change.at));
    assert_eq!(numbers(one), numbers(other));

    let refused = cluster.try_start(1, &[]);
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.contains("cluster reopen"), "{refused}");
    assert!(!cluster.run(&["cluster", "status"]).status.success());
    cluster.command(&["cluster", "reopen"]);
    let node = cluster.start(1);
    cluster.wait_whole(&[&node]);
    let terminals = resume_at_node(&node, &logins);
    // What was to be told is told, and nothing else.
    let told = receiver.wait_for(|told| told.len() >= outbox.untold.len());
    let mut told: Vec<_> = told.into_iter().map(|told| (told.user, told.change)).collect();
    told.sort();
    let untold = outbox
        .untold
        .iter()
        .map(|(user, number)| (user.to_string(), *number));
    let mut untold: Vec<_> = untold.collect();
    untold.sort();
    assert_eq!(told, untold);
    assert!(node.gateway.stop());
    drop(terminals);

    cluster.command(&["cluster", "export", text(&again)]);
    assert_eq!(kept::outbox(&again).dead, outbox.dead);
    kept::compare_users(&before, &again, all_users(users));
    resume_alone(&again, (&logins, &place));
    kept::compare_users(&before, &again, all_users(users));
}

/// The numbers of changes by user, in the order of a stream.
fn numbers(stream: Vec<holdfast::logic::record::RecordedChange>) -> BTreeMap<UserId, Vec<u64>> {
    let mut numbers: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for recorded in stream {
        numbers
            .entry(recorded.user)
            .or_default()
            .push(recorded.change.number.0);
    }
    numbers
}

#[test]
fn an_import_that_fails_in_the_middle_is_made_again_and_doubles_nothing() {
    let users = 3_000;
    let folders = Folders::new();
    let (before, other, back) = (folders.of("before"), folders.of("other"), folders.of("back"));
    kept::fill(&before, users, 3);
    kept::fill(&other, 400, 2);
    let cluster = Cluster::found(&[]);
    let import = ["cluster", "import", text(&before)];
    // There is room for a part of it.
    let used: u64 = cluster.store[0].info("used_memory").parse().unwrap();
    let set_room =
        |bytes: u64| -> () { cluster.store[0].ask(&["CONFIG", "SET", "maxmemory", &bytes.to_string()]) };
    set_room(used + (300 << 10));
    assert!(told(&cluster, &import).contains("its memory is full"));
    set_room(0);
    let size: u64 = cluster.store[0].ask(&["DBSIZE"]);
    assert!(size > 10, "a part of it is there: {size}");

    let refused = String::from_utf8_lossy(&cluster.try_start(1, &[]).stderr).into_owned();
    assert!(refused.contains("did not come to its end"), "{refused}");
    assert!(told(&cluster, &["cluster", "export", text(&back)]).contains("did not come to its end"));
    assert!(told(&cluster, &["cluster", "import", text(&other)]).contains("begun with another store"));
    cluster.command(&import);
    assert!(told(&cluster, &import).contains("has records already"));
    assert!(told(&cluster, &["cluster", "import", text(&other)]).contains("has records already"));
    cluster.command(&["cluster", "export", text(&back)]);
    let everyone = (0..users).map(kept::user);
    assert!(kept::compare_users(&before, &back, everyone) > users);
    assert_eq!(kept::outbox(&back), kept::outbox(&before));
    assert!(told(&cluster, &import).contains("cluster reopen"));
}

#[test]
fn what_is_wrong_is_said_before_anything_is_moved() {
    let folders = Folders::new();
    let (store, nowhere, full) = (folders.of("store"), folders.of("nowhere"), folders.of("full"));
    kept::fill(&store, 500, 2);
    fs::create_dir(&full).unwrap();
    fs::write(full.join("something"), "of others").unwrap();
    let cluster = Cluster::found(&[]);
    let import = |path: &Path| told(&cluster, &["cluster", "import", text(path)]);
    assert!(import(&nowhere).contains("there is no store"));
    assert!(import(&full).contains("there is no store"));
    let gateway = alone(&store);
    assert!(import(&store).contains("in use by another process"));
    assert!(gateway.stop());
    assert!(told(&cluster, &["cluster", "export", text(&full)]).contains("is not empty"));

    let node = cluster.start(1);
    assert!(import(&store).contains("node 1 of the cluster runs"));
    assert!(told(&cluster, &["cluster", "export", text(&nowhere)]).contains("node 1 of the cluster runs"));
    assert!(!nowhere.exists());
    // It was not harmed, and a node that was killed is waited for until it is sure that it is dead.
    cluster.wait_whole(&[&node]);
    node.gateway.kill();
    drop(node);
    cluster.command(&["cluster", "import", text(&store)]);
    cluster.command(&["cluster", "export", text(&nowhere)]);
    kept::compare_users(&store, &nowhere, (0..500).map(kept::user));

    let () = cluster.store[0].ask(&["HSET", "{hf:test}conf", "format", "9"]);
    assert!(import(&store).contains("use a gateway of its version"));
    let () = cluster.store[0].ask(&["FLUSHALL"]);
    assert!(import(&store).contains("`holdfast cluster create` founds it"));
    damage(&store);
    cluster.command(&["cluster", "create", "--partitions", "16"]);
    assert!(import(&store).contains("holdfast store salvage"));
}

#[test]
fn an_export_that_fails_leaves_no_store_and_the_cluster_as_it_was() {
    let folders = Folders::new();
    let (store, to) = (folders.of("store"), folders.of("to"));
    kept::fill(&store, 500, 3);
    let cluster = Cluster::found(&[]);
    cluster.command(&["cluster", "import", text(&store)]);
    let streams: Vec<String> = cluster.store[0].ask(&["KEYS", "hf:*s"]);
    let stream = &streams[0];
    let kept: Vec<u8> = cluster.store[0].ask(&["DUMP", stream]);
    let () = cluster.store[0].ask(&["DEL", stream]);
    let export = ["cluster", "export", text(&to)];
    let refused = told(&cluster, &export);
    assert!(refused.contains("lacks a part of partition"), "{refused}");
    assert_eq!(
        fs::read_dir(folders.0.path()).unwrap().count(),
        1,
        "the store of before"
    );
    let restore = redis::cmd("RESTORE")
        .arg(stream)
        .arg(0)
        .arg(kept)
        .exec(&mut cluster.store[0].connect());
    restore.unwrap();
    let node = cluster.start(1);
    cluster.wait_whole(&[&node]);
    assert!(node.gateway.stop());
    cluster.command(&export);
    kept::compare_users(&store, &to, (0..500).map(kept::user));
}

/// Flips a bit in the middle of the largest table.
fn damage(store: &Path) {
    let mut tables = Vec::new();
    for keyspace in fs::read_dir(store.join("keyspaces")).unwrap() {
        let folder = keyspace.unwrap().path().join("tables");
        for table in fs::read_dir(folder).into_iter().flatten() {
            let table = table.unwrap();
            tables.push((table.metadata().unwrap().len(), table.path()));
        }
    }
    let (_, largest) = tables.into_iter().max().expect("a store has tables");
    let mut bytes = fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&largest, bytes).unwrap();
}

/// Runs a command to its end. Gives how long it took, and the most memory that it had.
fn measured(cluster: &Cluster, arguments: &[&str]) -> (Duration, u64) {
    let began = Instant::now();
    let mut command = Command::new(PROGRAM);
    let settings = cluster.common_settings();
    command.args(arguments).stdout(Stdio::inherit());
    for (key, value) in settings {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let lines = fs::read_to_string(&status).unwrap_or_default();
        let line = lines.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(child.wait().unwrap().success());
    (began.elapsed(), peak / 1_024)
}

#[test]
#[ignore = "takes minutes"]
fn a_million_users_move_into_a_cluster_and_back() {
    let users = 1_000_000;
    let folders = Folders::new();
    let (before, back) = (folders.of("before"), folders.of("back"));
    kept::fill(&before, users, 4);
    let (logins, place) = settle(&before);
    let pruned = kept::prune(&before).0;
    println!("{users} users; {pruned} changes were pruned");
    let cluster = Cluster::found(&[]);
    let (took, peak) = measured(&cluster, &["cluster", "import", text(&before)]);
    let memory = cluster.store[0].info("used_memory_human");
    println!("import: {took:.1?}, {peak} MiB; the shared store has {memory}");
    let node = cluster.start(1);
    cluster.wait_whole(&[&node]);
    let terminals = resume_at_node(&node, &logins);
    assert!(node.gateway.stop());
    drop(terminals);
    let (took, peak) = measured(&cluster, &["cluster", "export", text(&back)]);
    println!("export: {took:.1?}, {peak} MiB");
    let changes = kept::compare_users(&before, &back, all_users(users));
    println!(
        "all {} users are equal, with {changes} changes",
        users + COME_BACK.len()
    );
    resume_alone(&back, (&logins, &place));
    kept::compare_users(&before, &back, all_users(0));
}
