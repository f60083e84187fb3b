//! Any text as a UserSig: never a panic, never good.
#![no_main]

use holdfast::base::ids::UserId;
use holdfast::base::time::Timestamp;
use holdfast::protocol::usersig::{App, Key, Verifier};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let user = UserId::new(b"alice").expect("a UserID");
    let keys = [Key { secret: "secret".into(), not_after_s: None }];
    let now = Timestamp(1_700_000_000_000);
    let app = App { sdk_app_id: 1_400_000_001, keys: &keys, ahead_max_s: 86_400 };
    assert!(Verifier::default().verify(now, app, &user, text).is_err());
});
