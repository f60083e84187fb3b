//! A node that starts, serves and stops, with shards that only note what they are told.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::Receiver;

use super::*;
use crate::node::config::{Sources, StoreKind};
use crate::node::log::{LogLevel, LogLines};
use crate::node::tests::{fill, manager, next};

type Notices = Arc<Mutex<Vec<(ShardId, ToShard)>>>;

/// Shards that note what they are told, and answer nothing.
#[derive(Default)]
struct Recorder {
    notices: Notices,
    /// Where the way into the registry is kept when the shards have ended.
    keeps: Option<Arc<Mutex<Option<Inboxes>>>>,
    /// Whether one has ended on its own.
    ended: bool,
    /// Users whose changes the registry cannot take.
    retrying: Arc<AtomicU64>,
}

struct Recording {
    notices: Notices,
    ended: bool,
    retrying: Arc<AtomicU64>,
    keeps: Option<Arc<Mutex<Option<Inboxes>>>>,
    inboxes: Inboxes,
}

impl ShardLauncher for Recorder {
    type Shards = Recording;

    fn count(&self) -> u16 {
        2
    }

    fn transports(&self) -> ListenerTransports {
        ListenerTransports(Arc::new([]))
    }

    fn sender(&self) -> SendToShard {
        let notices = Arc::clone(&self.notices);
        Arc::new(move |shard, notice| {
            notices.lock().unwrap().push((shard, notice));
            Ok(())
        })
    }

    fn start(self, _: Clock, inboxes: &Inboxes, _: Vec<Receiver<Restored>>) -> anyhow::Result<Recording> {
        Ok(Recording {
            notices: self.notices,
            ended: self.ended,
            retrying: self.retrying,
            keeps: self.keeps,
            inboxes: inboxes.clone(),
        })
    }
}

impl LiveShards for Recording {
    fn counters(&self) -> ShardCounters {
        ShardCounters {
            names: vec![("commits_retrying_now", "")],
            values: Box::new({
                let retrying = Arc::clone(&self.retrying);
                move || vec![vec![retrying.load(Ordering::Relaxed)]]
            }),
            turn_times: Box::new(Vec::new),
        }
    }

    fn connections(&self) -> u64 {
        0
    }

    fn has_ended(&self) -> bool {
        self.ended
    }

    fn join(self) -> u64 {
        let told = self.notices.lock().unwrap().clone();
        assert_eq!(told, [(ShardId(0), ToShard::Stop), (ShardId(1), ToShard::Stop)]);
        if let Some(keeps) = self.keeps {
            *keeps.lock().unwrap() = Some(self.inboxes);
        }
        0
    }
}

fn node(shards: Recorder, stop_within: Duration) -> Node<Recording> {
    let mut config = Config::read(&Sources::default()).unwrap();
    let anywhere = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    (config.http, config.admin) = (anywhere.clone(), anywhere);
    config.registry.store = StoreKind::Memory;
    config.stop_within = stop_within;
    let origin = ConfigSource {
        sources: Sources::default(),
        level: LogLevel::new(&config).1,
        lines: LogLines::start(io::sink(), 0, |_| ()).unwrap(),
    };
    Node::start(
        &config,
        origin,
        (shards, http::HttpTls::default()),
        ServiceManager::default(),
    )
    .unwrap()
}

#[test]
fn starts_serves_and_stops() {
    let node = node(Recorder::default(), Duration::from_secs(600));
    node.check().unwrap();
    node.stop().unwrap();
}

#[test]
fn a_shard_that_ends_on_its_own_ends_the_node() {
    let shards = Recorder {
        ended: true,
        ..Recorder::default()
    };
    let node = node(shards, Duration::from_secs(600));
    let error = node.check().unwrap_err();
    assert!(
        error.to_string().starts_with("a shard has ended on its own"),
        "{error}"
    );
    node.stop().unwrap();
}

#[test]
fn a_reload_that_panics_ends_the_node() {
    let mut node = node(Recorder::default(), Duration::from_secs(600));
    node.reloads = ReloadThread::start(|| panic!("as a test wants it")).unwrap();
    node.check().unwrap();
    node.reloads.ask();
    while !node.reloads.has_ended() {
        std::thread::yield_now();
    }
    let error = node.check().unwrap_err();
    assert!(error.to_string().starts_with("the thread for reloads"), "{error}");
    node.stop().unwrap();
}

#[test]
fn people_are_told_what_probes_are_told() {
    let retrying = Arc::new(AtomicU64::new(0));
    let shards = Recorder {
        retrying: Arc::clone(&retrying),
        ..Recorder::default()
    };
    let node = node(shards, Duration::from_secs(600));
    let before = "not ready: the gateway is starting or stopping; 0 connections";
    assert_eq!(node.condition(), before);
    node.serving.begin();
    assert_eq!(node.condition(), "0 connections on 2 shards");
    retrying.store(3, Ordering::Relaxed);
    let lacking = "not ready: the registry cannot take the changes of 3 users; 0 connections";
    assert_eq!(node.condition(), lacking);
    node.stop().unwrap();
}

#[test]
fn a_manager_that_had_no_room_is_told_of_the_stop_while_it_goes_on() {
    let (_folder, socket, known) = manager();
    let keeps = Arc::default();
    let shards = Recorder {
        keeps: Some(Arc::clone(&keeps)),
        ..Recorder::default()
    };
    let mut node = node(shards, Duration::from_secs(600));
    node.manager = known;
    fill(&socket);
    let stopping = std::thread::spawn(|| node.stop());
    // It has begun, and lasts for as long as somebody can write to the registry.
    while keeps.lock().unwrap().is_none() {
        std::thread::yield_now();
    }
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    while next(&socket)[0] != "STOPPING=1" {}
    drop(keeps.lock().unwrap().take());
    stopping.join().unwrap().unwrap();
}

#[test]
fn what_does_not_end_is_left_at_the_deadline() {
    let keeps = Arc::default();
    let shards = Recorder {
        keeps: Some(Arc::clone(&keeps)),
        ..Recorder::default()
    };
    let node = node(shards, Duration::from_millis(100));
    // The registry goes on for as long as somebody can write to it.
    let late = node.stop().unwrap_err();
    assert!(late.to_string().contains("node.stop_deadline_s"), "{late}");
    drop(keeps.lock().unwrap().take());
}
