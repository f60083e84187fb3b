//! Reloads that are taken, refused and tried out, with shards that take what they are told when a test lets them.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, Mode, mkfifoat};

use super::*;
use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform, UserId};
use crate::base::time::Timestamp;
use crate::logic::record::{Callbacks, DeviceRecord, Status, UserRecord};
use crate::logic::settings::Policy;
use crate::node::certificates::TlsTerms;
use crate::node::listeners::listeners;
use crate::node::store;
use crate::node::tests::certificate::TestCertificate;
use crate::services::http::ReloadHandler as _;
use crate::services::registry::archive::{Placed, Position, ReadError};

/// What the shards were told, and have not taken.
type Notices = Arc<Mutex<Vec<(ShardId, ToShard)>>>;

struct World {
    file: tempfile::NamedTempFile,
    reloader: Reloader,
    notices: Notices,
    front: watch::Receiver<Arc<http::HttpSettings>>,
    owed: watch::Receiver<Callbacks>,
    /// They take what they are told when the test looks at it.
    shards_lag: Arc<AtomicBool>,
    serving: Serving,
}

impl World {
    /// A node that was started with `text` as its file.
    fn new(text: &str, archive: Option<Arc<dyn Archive>>) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().write_all(text.as_bytes()).unwrap();
        let sources = Sources {
            file: Some(file.path().to_owned()),
            ..Sources::default()
        };
        let config = Config::read(&sources).unwrap();
        let tls = TlsTerms::new(&config, Clock::start().now().wall).unwrap();
        let terminals = listeners(&config, &tls).into_iter();
        let transports = ListenerTransports(terminals.map(|listener| listener.transport).collect());
        let notices = Notices::default();
        let told = Arc::clone(&notices);
        let shards_lag = Arc::new(AtomicBool::new(false));
        let lags = Arc::clone(&shards_lag);
        let settings = http_settings(&config, http::HttpTls::default(), http::Limits::default());
        let (front, front_follows) = watch::channel(Arc::new(settings));
        let (owed, owed_follows) = watch::channel(store::callbacks(&config));
        let listeners = ReloadTargets {
            shards: Arc::new(move |shard, mut notice| {
                if let ToShard::Settings(_, receipt) | ToShard::Transports(_, receipt) = &mut notice
                    && !lags.load(Ordering::Relaxed)
                {
                    *receipt = Receipt::none();
                }
                told.lock().unwrap().push((shard, notice));
                Ok(())
            }),
            count: 2,
            transports,
            front,
            callbacks: CallbackUpdates::new(owed, None),
            answer_within: Duration::ZERO,
            manager: ServiceManager::default(),
        };
        let source = ConfigSource {
            sources,
            level: LogLevel::new(&config).1,
            lines: LogLines::start(std::io::sink(), 0, |_| ()).unwrap(),
        };
        let serving = Serving::default();
        serving.begin();
        Self {
            file,
            reloader: Reloader::new(
                (config, source),
                listeners,
                archive,
                (Clock::start(), serving.clone()),
            ),
            notices,
            front: front_follows,
            owed: owed_follows,
            shards_lag,
            serving,
        }
    }

    fn reload(&self, text: &str, mode: ReloadMode) -> Result<Reloaded, ReloadError> {
        std::fs::write(self.file.path(), text).unwrap();
        self.reloader.reload(&ReloadAsked::of(mode))
    }

    /// What the shards were told of transports since the last look.
    fn told_transports(&self) -> Vec<ListenerTransports> {
        let notices = std::mem::take(&mut *self.notices.lock().unwrap()).into_iter();
        let transports = notices.filter_map(|(_, notice)| {
            let ToShard::Transports(transports, _) = notice else {
                return None;
            };
            Some(transports)
        });
        transports.collect()
    }

    /// What the shards were told since the last look.
    fn told(&self) -> Vec<(u16, Arc<Settings>)> {
        let notices = std::mem::take(&mut *self.notices.lock().unwrap());
        let settings = notices.into_iter().map(|(shard, notice)| {
            let ToShard::Settings(settings, _) = notice else {
                panic!("not settings: {notice:?}");
            };
            (shard.0, settings)
        });
        settings.collect()
    }

    fn expect_nothing_taken(&self) {
        assert_eq!(self.told().len(), 0);
        assert!(!self.front.has_changed().unwrap() && !self.owed.has_changed().unwrap());
    }
}

const GOOD: &str = "[presence]\npolicy = \"multi\"\n[shards]\ncount = 3\n[app]\nadministrators = [\"root\"]\n\
    [callback]\nurl = \"http://127.0.0.1:1/\"\n";

#[test]
fn a_good_file_is_taken_but_for_what_waits() {
    let world = World::new("", None);
    let reloaded = world.reload(GOOD, ReloadMode::Take).unwrap();
    let changes = [
        ("app.administrators", "at once"),
        ("shards.count", "at a restart"),
        ("presence.policy", "for next logins"),
        ("callback.url", "at once"),
    ];
    assert_eq!(reloaded.changes, changes);
    let told = world.told();
    assert_eq!(told.iter().map(|(shard, _)| *shard).collect::<Vec<_>>(), [0, 1]);
    assert!(told.iter().all(|(_, settings)| settings.policy == Policy::Multi));
    assert_eq!(
        world.front.borrow().administrators,
        [UserId::new(b"root").unwrap()]
    );
    assert_eq!(*world.owed.borrow(), Callbacks::Documented);
    let again = world.reload(GOOD, ReloadMode::Take).unwrap();
    assert_eq!(again.changes, [("shards.count", "at a restart")], "it waits on");
    assert_eq!(world.told().len(), 0, "no decision depends on it");
}

#[test]
fn a_bad_file_changes_nothing_and_every_problem_is_named() {
    let world = World::new("", None);
    let bad = format!("{GOOD}\n[terminals]\nretry_after_ms = 1\nlisten = 5\n");
    for mode in [ReloadMode::Take, ReloadMode::DryRun] {
        match world.reload(&bad, mode) {
            Err(ReloadError::Problems(problems)) => assert_eq!(problems.len(), 2, "{problems:?}"),
            other => panic!("taken: {other:?}"),
        }
        world.expect_nothing_taken();
    }
    world.reload(GOOD, ReloadMode::Take).unwrap();
    assert_eq!(world.told().len(), 2, "a good one is taken after it");
}

#[test]
fn what_waits_for_a_restart_is_part_of_the_check() {
    let own = "[usersig]\nkeys = [{ secret = \"one-of-my-own-app\" }]\n";
    let world = World::new(&format!("{own}[http]\nlisten = [\"0.0.0.0:9002\"]\n"), None);
    match world.reload("", ReloadMode::Take) {
        Err(ReloadError::Problems(problems)) => {
            assert!(problems[0].starts_with("usersig.keys"), "{problems:?}")
        }
        other => panic!("the public secret was taken beyond loopback: {other:?}"),
    }
    world.expect_nothing_taken();
}

const SECRETS: &str = "[usersig]\nkeys = [{ secret = \"one-of-my-own-app\" }]\n\
    [admin]\ntoken = \"a-token-of-the-operator\"\n\
    [callback]\nurl = \"http://127.0.0.1:1/\"\ntoken = \"a-token-of-the-backend\"\n";

fn expect_refused(world: &World, text: &str, keys: &[&str]) {
    for mode in [ReloadMode::DryRun, ReloadMode::Take] {
        let Err(ReloadError::Problems(problems)) = world.reload(text, mode) else {
            panic!("taken: {text}");
        };
        let named = problems
            .iter()
            .zip(keys)
            .all(|(problem, key)| problem.starts_with(key));
        assert!(named && problems.len() == keys.len(), "{problems:?}");
    }
    world.expect_nothing_taken();
}

#[test]
fn a_reload_replaces_secrets_and_never_takes_them_away() {
    let world = World::new(SECRETS, None);
    expect_refused(&world, "", &["usersig.keys", "admin.token"]);
    let without = |section: &str| {
        let begins = SECRETS.find(section).unwrap();
        let ends = SECRETS[begins..].find('\n').unwrap() + begins;
        SECRETS[..begins].to_owned() + &SECRETS[ends..]
    };
    expect_refused(&world, &without("keys ="), &["usersig.keys"]);
    expect_refused(
        &world,
        &without("token = \"a-token-of-the-operator"),
        &["admin.token"],
    );
    expect_refused(
        &world,
        &without("token = \"a-token-of-the-backend"),
        &["callback.token"],
    );
    let public = SECRETS.replace("one-of-my-own-app", crate::node::config::DEVELOPMENT_SECRET);
    expect_refused(&world, &public, &["usersig.keys"]);

    let others = SECRETS.replace("one-of", "two-of").replace("a-token", "b-token");
    world.reload(&others, ReloadMode::Take).unwrap();
    let silent = &others[..others.find("[callback]").unwrap()];
    world.reload(silent, ReloadMode::Take).unwrap();
}

#[test]
fn a_reload_that_leaves_no_key_that_counts_is_refused() {
    let world = World::new(SECRETS, None);
    let ended = |secret: &str| {
        let key = format!("secret = \"{secret}\", not_after = \"2001-01-01T00:00:00Z\"");
        SECRETS.replace("secret = \"one-of-my-own-app\"", &key)
    };
    expect_refused(&world, &ended("one-of-my-own-app"), &["usersig.keys"]);
    expect_refused(&world, &ended("two-of-my-own-app"), &["usersig.keys"]);
    let beside =
        ended("two-of-my-own-app").replace("keys = [", "keys = [{ secret = \"one-of-my-own-app\" }, ");
    world.reload(&beside, ReloadMode::Take).unwrap();
}

#[test]
fn a_gateway_whose_keys_have_all_ended_takes_what_else_changes() {
    let ended =
        "[usersig]\nkeys = [{ secret = \"one-of-my-own-app\", not_after = \"2001-01-01T00:00:00Z\" }]\n";
    let world = World::new(ended, None);
    let changed = format!("{ended}[presence]\npolicy = \"multi\"\n");
    world.reload(&changed, ReloadMode::Take).unwrap();
}

#[test]
fn a_start_without_secrets_takes_them_by_a_reload() {
    let world = World::new("", None);
    world.reload("", ReloadMode::Take).unwrap();
    world.reload(SECRETS, ReloadMode::Take).unwrap();
}

fn asked_with(file: Option<String>, of_file: &[(&str, &str)], own: &[(&str, &str)]) -> ReloadAsked {
    let named = |list: &[(&str, &str)]| {
        let list = list
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        list.collect()
    };
    let caller = http::ReloadCaller {
        file,
        of_file: named(of_file),
        own: named(own),
    };
    ReloadAsked {
        mode: ReloadMode::Take,
        caller: Some(caller),
    }
}

#[test]
fn what_the_caller_was_given_must_be_what_the_gateway_reads() {
    let world = World::new("[presence]\npolicy = \"dual\"\n", None);
    let here = Some(absolute(world.file.path()));
    let dual = [("presence.policy", "\"dual\"")];
    let multi = [("presence.policy", "\"multi\"")];
    let elsewhere = || Some("/nowhere.toml".to_owned());
    for bad in [
        asked_with(None, &[], &multi),
        asked_with(elsewhere(), &multi, &[]),
        asked_with(here.clone(), &dual, &multi),
    ] {
        let Err(ReloadError::Differs(told)) = world.reloader.reload(&bad) else {
            panic!("it was dropped in silence: {bad:?}");
        };
        let file = format!("the gateway reads the file {}", here.as_ref().unwrap());
        assert!(told[0].starts_with(&file), "{told:?}");
        assert_eq!(
            told[1..],
            ["presence.policy: the gateway reads \"dual\", its caller was given \"multi\""]
        );
    }
    world.expect_nothing_taken();
    for good in [
        asked_with(None, &[], &[]),
        asked_with(None, &[], &dual),
        asked_with(elsewhere(), &dual, &[]),
        asked_with(here.clone(), &multi, &dual),
    ] {
        world.reloader.reload(&good).unwrap();
    }
}

#[test]
fn a_reload_waits_for_shards_that_have_not_taken_the_last() {
    let world = World::new("", None);
    world.shards_lag.store(true, Ordering::Relaxed);
    let policy = |name: &str| format!("[presence]\npolicy = \"{name}\"\n");
    let counts = |policy_name: &str| {
        let reloaded = world.reload(&policy(policy_name), ReloadMode::Take);
        reloaded.map(|reloaded| reloaded.changes[0].1)
    };
    assert_eq!(counts("multi"), Ok(NOT_YET), "two shards have it before them");
    assert_eq!(counts("dual"), Err(ReloadError::Busy));
    assert_eq!(world.told().len(), 2);
    assert_eq!(counts("triple"), Ok(NOT_YET));
}

/// Makes a pipe of the world's file, so that a test learns when it is read.
fn make_pipe(world: &World) {
    let pipe = world.file.path().with_extension("pipe");
    mkfifoat(CWD, &pipe, Mode::RWXU).unwrap();
    std::fs::rename(&pipe, world.file.path()).unwrap();
}

/// Waits until somebody begins to read the world's file. What is written comes to that reader alone.
fn wait_for_reader(world: &World) -> std::fs::File {
    let reader = std::fs::OpenOptions::new().write(true).open(world.file.path());
    make_pipe(world);
    reader.unwrap()
}

#[test]
fn a_configuration_is_read_when_no_other_can_be_taken() {
    let world = World::new("", None);
    make_pipe(&world);
    std::thread::scope(|scope| {
        scope.spawn(|| world.reloader.reload_by_signal(0));
        let mut reader = wait_for_reader(&world);
        let others_wait = world.reloader.running.try_lock().is_err();
        reader.write_all(GOOD.as_bytes()).unwrap();
        assert!(
            others_wait,
            "a newer one could be taken before the one that is read"
        );
    });
    assert_eq!(world.told().len(), 2);
}

#[test]
fn a_reload_by_a_signal_waits_until_the_last_is_taken() {
    let world = World::new("", None);
    world.shards_lag.store(true, Ordering::Relaxed);
    let policy = |name: &str| format!("[presence]\npolicy = \"{name}\"\n");
    world.reload(&policy("multi"), ReloadMode::Take).unwrap();
    make_pipe(&world);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            world.reloader.reload_by_signal(1);
            done.store(true, Ordering::Release);
            // Whoever still waits for a reader gets one.
            drop(std::fs::read(world.file.path()));
        });
        let mut first = wait_for_reader(&world);
        first.write_all(policy("dual").as_bytes()).unwrap();
        drop(first);
        let mut second = wait_for_reader(&world);
        assert!(!done.load(Ordering::Acquire), "it was dropped for good");
        assert_eq!(world.told().len(), 2);
        second.write_all(policy("dual").as_bytes()).unwrap();
        drop(second);
        drop(wait_for_reader(&world));
    });
    let told = world.told();
    assert!(told.len() == 2 && told.iter().all(|(_, settings)| settings.policy == Policy::Dual));
}

#[test]
fn what_is_answered_is_true_when_it_is_answered() {
    let mut world = World::new("", None);
    world.reloader.targets.answer_within = Duration::MAX;
    world.shards_lag.store(true, Ordering::Relaxed);
    let notices = Arc::clone(&world.notices);
    let taken = Arc::new(Mutex::new(0));
    let (count, asked) = (Arc::clone(&taken), watch::Sender::new(()));
    let mut told = asked.subscribe();
    let shards = Arc::clone(&world.reloader.targets.shards);
    world.reloader.targets.shards = Arc::new(move |shard, notice| {
        let taken = shards(shard, notice);
        asked.send_replace(());
        taken
    });
    // A shard that takes its notice whenever it has time.
    let shard = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        while *count.lock().unwrap() < 2 {
            runtime.block_on(told.changed()).unwrap();
            for notice in std::mem::take(&mut *notices.lock().unwrap()) {
                *count.lock().unwrap() += 1;
                drop(notice);
            }
        }
    });
    let reloaded = world.reload(GOOD, ReloadMode::Take).unwrap();
    assert_eq!(
        *taken.lock().unwrap(),
        2,
        "the answer came before every shard had taken it"
    );
    assert!(reloaded.changes.contains(&("presence.policy", "for next logins")));
    assert!(reloaded.changes.contains(&("callback.url", "at once")));
    shard.join().unwrap();
}

/// Keeps users.
struct Shelf(Vec<(UserId, UserRecord)>);

impl Archive for Shelf {
    fn store_id(&self) -> u64 {
        0
    }

    fn last(&self) -> Position {
        Position(0)
    }

    fn changes(&self, _: Position, _: usize) -> Result<Vec<Placed>, ReadError> {
        panic!("a dry run does not ask this")
    }

    fn changes_of(&self, _: &UserId, _: ChangeNumber, _: usize) -> Result<Vec<Placed>, ReadError> {
        panic!("a dry run does not ask this")
    }

    fn users(
        &self,
        after: Option<&UserId>,
        count_max: usize,
    ) -> Result<Vec<(UserId, UserRecord)>, ReadError> {
        let behind = self
            .0
            .iter()
            .filter(|(user, _)| after.is_none_or(|after| user > after));
        Ok(behind.take(count_max).cloned().collect())
    }

    fn residents(&self, _: &mut dyn FnMut(UserId, UserRecord)) -> Result<(), ReadError> {
        panic!("a dry run does not ask this")
    }
}

fn record(devices: &[(Platform, Status)]) -> UserRecord {
    let device = |(place, (platform, status)): (usize, &(Platform, Status))| DeviceRecord {
        device: DeviceId {
            platform: *platform,
            instance: InstanceId::MIN,
        },
        status: *status,
        session: ChangeNumber(place as u64 + 1),
        fresh: ChangeNumber(place as u64 + 1),
        login_at: Timestamp(0),
        since: Timestamp(0),
        address: None,
    };
    UserRecord {
        devices: devices.iter().enumerate().map(device).collect(),
        registered: true,
        ..UserRecord::default()
    }
}

fn check_touched(text: &str, expected: Touched) {
    use Platform::{Android, Mac, Web, Windows};
    use Status::{Online, PushOnline};
    let users: [&[(Platform, Status)]; 3] = [
        &[(Android, Online), (Mac, Online), (Web, Online)],
        &[(Android, PushOnline), (Windows, Online)],
        &[(Web, Online)],
    ];
    // More than a page of each.
    let users = (0..3_000).map(|number| {
        let user = UserId::new(format!("user-{number:04}").as_bytes()).unwrap();
        (user, record(users[number % 3]))
    });
    let world = World::new(
        "[presence]\npolicy = \"multi\"\n",
        Some(Arc::new(Shelf(users.collect()))),
    );
    let reloaded = world.reload(text, ReloadMode::DryRun).unwrap();
    assert_eq!(reloaded.touched, expected, "{text}");
    world.expect_nothing_taken();
}

#[test]
fn a_dry_run_counts_whom_the_policy_would_touch_and_takes_nothing() {
    let live = |users, devices| Touched::Live { users, devices };
    check_touched("", live(1_000, 2_000));
    check_touched("[presence]\npolicy = \"dual\"\n", live(1_000, 1_000));
    check_touched("[presence]\npolicy = \"triple\"\n", live(0, 0));
    check_touched("[presence]\nconflict = \"oldest-wins\"\n", live(1_000, 1_000));
    let same = "[presence]\npolicy = \"multi\"\n[terminals]\nretry_after_ms = 500\n";
    check_touched(same, Touched::NotAsked);
}

#[test]
fn a_dry_run_does_not_hold_up_the_stop() {
    let world = World::new("", Some(Arc::new(Shelf(Vec::new()))));
    world.serving.end();
    assert_eq!(world.reload(GOOD, ReloadMode::DryRun), Err(ReloadError::Stopping));
}

#[test]
fn without_an_archive_nobody_is_counted() {
    let reloaded = World::new("", None).reload(GOOD, ReloadMode::DryRun).unwrap();
    assert_eq!(reloaded.touched, Touched::Unknown);
}

#[test]
fn new_certificates_are_taken_and_bad_ones_leave_the_old() {
    let certificate = TestCertificate::new(&["a.example"]);
    let listener = "[[terminals.listener]]\naddress = \"127.0.0.1:1\"\ntls = true\n";
    let text = format!(
        "{listener}[terminals.tls]\ncertificates = {}\n",
        certificate.setting()
    );
    let world = World::new(&text, None);
    let before = world.reloader.targets.transports.clone();
    let names = || {
        let front = world.front.borrow();
        let first = front.tls.certificates.first();
        first.map(|one| one.facts.names.clone()).unwrap_or_default()
    };
    certificate.renew(&["b.example"], 2020);
    expect_refused(&world, &text, &["terminals.tls.certificates[1].chain"]);
    certificate.renew(&["b.example"], 2100);
    let reloaded = world.reload(&text, ReloadMode::Take).unwrap();
    assert_eq!(reloaded.changes, [("terminals.tls.certificates", "at once")]);
    assert_eq!(names(), ["b.example"]);
    let told = world.told_transports();
    assert!(
        told.len() == 2 && told[0] == told[1],
        "each shard is told the same"
    );
    for (before, now) in before.0.iter().zip(told[0].0.iter()) {
        assert_eq!(before.tls.is_some(), now.tls.is_some());
        assert_eq!(
            Arc::ptr_eq(before, now),
            before.tls.is_none(),
            "plain TCP is as it was"
        );
    }
    assert_eq!(told[0].0.iter().filter(|one| one.tls.is_some()).count(), 1);
    let certificates = Arc::clone(&world.front.borrow().tls.certificates);
    let reloaded = world
        .reload(&format!("{text}[log]\nlevel = \"warn\"\n"), ReloadMode::Take)
        .unwrap();
    assert_eq!(reloaded.changes, [("log.level", "at once")]);
    assert_eq!(world.told_transports().len(), 0);
    assert!(
        Arc::ptr_eq(&certificates, &world.front.borrow().tls.certificates),
        "they are as they were"
    );
}

#[test]
fn https_is_taken_by_a_reload_too() {
    let certificate = TestCertificate::new(&["a.example"]);
    let world = World::new("", None);
    let text = format!("[admin.tls]\ncertificates = {}\n", certificate.setting());
    let reloaded = world.reload(&text, ReloadMode::Take).unwrap();
    assert_eq!(reloaded.changes, [("admin.tls.certificates", "at once")]);
    let front = world.front.borrow();
    assert!(front.tls.admin.is_some() && front.tls.backend.is_none());
    assert_eq!(
        (
            front.tls.certificates[0].listener,
            front.tls.certificates[0].entry
        ),
        ("admin", 1)
    );
}

#[test]
fn a_listener_that_speaks_https_goes_on_doing_so() {
    let certificate = TestCertificate::new(&["a.example"]);
    let section = |of: &str| format!("[{of}.tls]\ncertificates = {}\n", certificate.setting());
    let all = ["http", "admin", "web"].map(section);
    let web = "[web]\nlisten = [\"127.0.0.1:9009\"]\n";
    let world = World::new(&format!("{web}{}", all.concat()), None);
    let keys = ["http", "admin", "web"].map(|of| format!("{of}.tls.certificates"));
    expect_refused(&world, web, &keys.each_ref().map(String::as_str));
    // At no address nobody is served.
    let world = World::new(&all[2], None);
    world.reload("", ReloadMode::Take).unwrap();
}

#[test]
fn what_concerns_https_alone_leaves_the_tickets_of_terminals() {
    let [of_terminals, of_admin] = [(); 2].map(|()| TestCertificate::new(&["a.example"]));
    let text = format!(
        "[terminals.tls]\ncertificates = {}\n[admin.tls]\ncertificates = {}\n",
        of_terminals.setting(),
        of_admin.setting()
    );
    let world = World::new(&text, None);
    of_admin.renew(&["b.example"], 2100);
    let reloaded = world.reload(&text, ReloadMode::Take).unwrap();
    assert_eq!(reloaded.changes, [("admin.tls.certificates", "at once")]);
    assert_eq!(
        world.front.borrow().tls.certificates[1].facts.names,
        ["b.example"]
    );
    assert_eq!(world.told_transports().len(), 0);
}

#[test]
fn terminals_that_need_a_certificate_need_one_after_a_reload_too() {
    let certificate = TestCertificate::new(&["a.example"]);
    let text = format!("[terminals.tls]\ncertificates = {}\n", certificate.setting());
    let strict = format!("{text}client_ca_file = {:?}\n", certificate.chain());
    let world = World::new(&strict, None);
    expect_refused(&world, &text, &["terminals.tls.client_ca_file"]);
}
