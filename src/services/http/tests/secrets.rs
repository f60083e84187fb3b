//! What is told to nobody, by any page, answer or line of the log.

use super::*;

/// Collects what would be logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn secrets_are_told_to_nobody() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone());
    // The only test that sets it: the HTTP server logs from a thread of its own.
    tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
    tracing::info!("the log is collected");
    let mut settings = settings();
    settings.admin_token = Some(TOKEN.into());
    let mut told = BTreeMap::from([("settings", format!("{settings:?}"))]);
    let world = World::new(settings, shards);
    let (good, foreign) = (user_sig("administrator"), user_sig("alice"));
    let mut replies = String::new();
    for (caller, sig) in [
        ("administrator", &good),
        ("administrator", &foreign),
        ("alice", &foreign),
    ] {
        for path in [QUERY, KICK, "/v4/unknown", "/%zz"] {
            let target = format!("{path}?sdkappid={APP}&identifier={caller}&usersig={sig}&random=31337");
            for body in ["{", r#"{"To_Account":["off"]}"#] {
                replies += &world.post(&target, body).to_string();
            }
        }
    }
    told.insert("replies", replies);
    let header = format!("Authorization: Bearer {TOKEN}\r\n");
    told.insert(
        "admin",
        world.get("/v1/users/ghost", &header).1 + &world.get("/x", "Authorization: Bearer no\r\n").1,
    );
    told.insert("metrics", world.get("/metrics", &header).1);
    drop(world);
    told.insert("log", String::from_utf8(log.0.lock().unwrap().clone()).unwrap());
    assert!(told["log"].contains("the log is collected"));
    for (place, text) in told {
        for secret in [SECRET, TOKEN, &good, &foreign, "31337"] {
            assert!(!text.contains(secret), "{place} tells {secret}");
        }
    }
}
