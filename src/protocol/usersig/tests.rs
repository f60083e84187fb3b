//! UserSigs as signers make them, and as somebody might forge them.

use serde_json::json;

use super::*;

// The vectors were made with the vendor's Python and Node packages at Unix second 1700000000.
const SECRET: &str = "4855ad03102720c4a71c4da4efe64e56bc587d2285082ccc176e8e428bc5ad41";
const APP: u64 = 1_400_000_001;
const MADE: u64 = 1_700_000_000;
const AHEAD_MAX_S: u64 = 86_400;
const A_PYTHON: &str = "eJyrVgrxCdYrSy1SslJQMtIzUNJRAItkpqTmlWSmZUIkElNyM-Myi0uKEkvyi2BKilOyEwsKMlOACgxNDCDAECqXWlGQWZQKlLEwA0pBBUsyc0FChuZQxTDx4sx0kCUhqb7ZpsWeEeZZlZZVzrmRJVnhqR4VvrnariXuxubpQeX5jnmRBfpV4ZnFtkq1AFVqNkQ_";
const A_NODE: &str = "eJw1ykELgkAQBeD-MtfC3LKshQ4RUUFeSjCPwk4yyuqyO5QZ-ffAtXd733sfSC*34IkWJMyDEKZDJ4UN04MGLpSmhhzbgls7HpyqC2NIgRRR6CP8wqQRpIhHDb1iZ8giyPUq*pOjEiSkmNRLd77H1XvT73XOVYanLtGTAx8XcXl9tbsmN7M*I7eF7w-EZzTk";
const B_PYTHON: &str = "eJyrVgrxCdYrSy1SslJQMtIzUNJRAItkpqTmlWSmZUIkEnMyk1NhUsUp2YkFBZkpQAlDEwMIMITKpVYUZBalAmXMDEwsDAygoiWZuSAxQ3Ooaph4cWY6yHTjIo8yQ20-V6NwzxTz5Mg030zXqhzHnArTkPwUbW3P-DxjL-NE87wM-UALW6VaABAMMV4_";
const B_NODE: &str = "eJyrVgrxCdYrSy1SslIy0jNQ0gHzM1NS80oy0zLBwok5mcmpUInilOzEgoLMFCUrQxMDCDCEyJRk5qYqWRmaQ0UNIKKpFQWZRalKVmYGJhYwseLMdCUrJeMijzJDbT9Xo3DPFPPkyDTfTNeqHMecCtOQ-BRtbc-8PGMv80TzvAz9QAtbpVoAncMv-g__";
const B_STORED: &str = "eAEBpwBY-3siVExTLnZlciI6IjIuMCIsIlRMUy5pZGVudGlmaWVyIjoiYWxpY2UiLCJUTFMuc2RrYXBwaWQiOjE0MDAwMDAwMDEsIlRMUy5leHBpcmUiOjYwNDgwMCwiVExTLnRpbWUiOjE3MDAwMDAwMDAsIlRMUy5zaWciOiIzckh2MStORTJXSWQ3Y1lmTWlFemxBbHg1VG9kKytJb24zSjdhN25oL1E4PSJ9q-cv-g__";
const B_FORGED: &str = "eJyrVgrxCdYrSy1SslJQMtIzUNJRAItkpqTmlWSmZUIkEnMyk1NhUsUp2YkFBZkpQAlDEwMIMITKpVYUZBalAmXMDEwsgOJQ4ZLMXJCgoTlUOUy8ODMdZLxxkUeZobafq1G4Z4p5cmSab6ZrVY5jToVpSH6KtrZnfp6xl3mieV6GfqCFrVItADnTMY4_";
const C_PYTHON: &str = "eJyrVgrxCdYrSy1SslJQMtIzUNJRAItkpqTmlWSmZUIkSotTi*INdR2TYNLFKdmJBQWZKUBJQxMDCDCEyqVWFGQWpQJljM0MDKBiJZm5IBFDc6hamDjI4KTSNJAdkeFeWXDjM9NBQtqpjmapIcaJYamhZQbZTvqBLs5uhcWWVe5R7vpBQcmm6V6B5b4FviU*Psm2SrUASA45DA__";

fn key(secret: &str) -> Key {
    Key {
        secret: secret.into(),
        not_after_s: None,
    }
}

fn verify(at_s: u64, app: u64, keys: &[Key], user: &str, sig: &str) -> Result<Claims, Fault> {
    let user = UserId::new(user.as_bytes()).unwrap();
    let app = App {
        sdk_app_id: app,
        keys,
        ahead_max_s: AHEAD_MAX_S,
    };
    Verifier::default().verify(Timestamp(at_s * 1_000), app, &user, sig)
}

fn check(user: &str, at_s: u64, sig: &str, expected: Result<(), Fault>) {
    let claims = verify(at_s, APP, &[key(SECRET)], user, sig);
    assert_eq!(
        claims,
        expected.map(|()| Claims { signed_at_s: MADE }),
        "{user} at {at_s}"
    );
}

#[test]
fn takes_what_the_vendors_packages_make() {
    for sig in [A_PYTHON, A_NODE] {
        check("administrator", MADE, sig, Ok(()));
        check("administrator", MADE + 86_400, sig, Ok(()));
        check("administrator", MADE + 86_401, sig, Err(Fault::Expired));
    }
    for sig in [B_PYTHON, B_NODE, B_STORED] {
        check("alice", 1_700_604_800, sig, Ok(()));
        check("alice", 1_700_604_801, sig, Err(Fault::Expired));
    }
    check("user_1-Ab", MADE, C_PYTHON, Ok(()));
}

#[test]
fn names_the_first_fault() {
    check("alice", MADE, B_FORGED, Err(Fault::WrongSignature));
    check("alice", MADE, "", Err(Fault::Empty));
    check("alice", MADE, "not a signature", Err(Fault::Unreadable));
    check("alice", MADE, "____", Err(Fault::Unreadable));
    check(
        "alice",
        MADE,
        &B_PYTHON[..B_PYTHON.len() - 20],
        Err(Fault::Unreadable),
    );
    check("bob", MADE, B_PYTHON, Err(Fault::WrongUser));
    let keys = [key(SECRET)];
    assert_eq!(
        verify(MADE, APP + 1, &keys, "bob", B_PYTHON),
        Err(Fault::WrongApp)
    );
    assert_eq!(verify(MADE, APP, &[], "alice", B_PYTHON), Err(Fault::NoKey));
    assert_eq!(
        verify(MADE, APP, &[key("another")], "alice", B_PYTHON),
        Err(Fault::WrongSignature)
    );
}

#[test]
fn keys_rotate() {
    let ending = Key {
        not_after_s: Some(MADE + 10),
        ..key(SECRET)
    };
    let keys = [key("the next one"), ending];
    assert!(verify(MADE + 9, APP, &keys, "alice", B_PYTHON).is_ok());
    assert_eq!(
        verify(MADE + 10, APP, &keys, "alice", B_PYTHON),
        Err(Fault::WrongSignature)
    );
    assert_eq!(
        verify(MADE + 10, APP, &keys[1..], "alice", B_PYTHON),
        Err(Fault::NoKey)
    );
}

#[test]
fn takes_what_it_makes() {
    let user = UserId::new(b"a b+c/~").unwrap();
    let now = Timestamp(MADE * 1_000 + 999);
    let sig = sign(now, APP, SECRET, &user, 60);
    assert!(
        sig.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"*-_".contains(&byte))
    );
    check(user.as_str(), MADE + 60, &sig, Ok(()));
    check(user.as_str(), MADE + 61, &sig, Err(Fault::Expired));
}

#[test]
fn a_small_signature_cannot_inflate_without_end() {
    let mut packed = Vec::with_capacity(100_000);
    let zeros = vec![b' '; 10_000_000];
    Compress::new(Compression::best(), true)
        .compress_vec(&zeros, &mut packed, FlushCompress::Finish)
        .unwrap();
    let sig = STANDARD
        .encode(packed)
        .replace('+', "*")
        .replace('/', "-")
        .replace('=', "_");
    check("alice", MADE, &sig, Err(Fault::Unreadable));
}

#[test]
fn secrets_are_not_printed() {
    assert!(!format!("{:?}", key(SECRET)).contains(SECRET));
}

/// A UserSig of a document as its signer wrote it, signed for the text of `signed`.
fn forge(signed: &Document, members: &str) -> String {
    let mut signed = signed.clone();
    seal(&mut signed, SECRET);
    pack(format!(r#"{{{members}, "TLS.sig": {:?}}}"#, signed.signature).as_bytes())
}

fn alice(user_buffer: Option<&str>) -> Document {
    Document {
        user_buffer: user_buffer.map(str::to_owned),
        ..Document::new("alice", APP, MADE, 600)
    }
}

/// Checks what becomes of these members, signed as they mean.
fn check_members(members: &str, user_buffer: Option<&str>, expected: Result<(), Fault>) {
    let sig = forge(&alice(user_buffer), members);
    let found = verify(MADE, APP, &[key(SECRET)], "alice", &sig);
    assert_eq!(found.map(|_| ()), expected, "{members}");
}

const PLAIN: &str =
    r#""TLS.identifier": "alice", "TLS.sdkappid": 1400000001, "TLS.expire": 600, "TLS.time": 1700000000"#;

#[test]
fn a_text_that_was_signed_for_a_name_with_line_feeds_is_nobody_elses() {
    let lines = format!("TLS.sdkappid:{APP}\nTLS.time:{MADE}\nTLS.expire:9999999999\nTLS.userbuf:x");
    let signed = Document::new(&format!("administrator\n{lines}"), APP, MADE, 600);
    let (_, buffer) = signed
        .content()
        .split_once("TLS.userbuf:")
        .map(|(head, buffer)| (head.to_owned(), buffer.trim_end().to_owned()))
        .unwrap();
    let read = json!({
        "TLS.identifier": "administrator", "TLS.sdkappid": APP, "TLS.time": MADE,
        "TLS.expire": 9_999_999_999_u64, "TLS.userbuf": buffer,
    });
    let members = read.to_string();
    let sig = forge(&signed, members.trim_matches(['{', '}']));
    let found = verify(MADE, APP, &[key(SECRET)], "administrator", &sig);
    assert_eq!(found, Err(Fault::Unreadable));
}

#[test]
fn a_user_buffer_is_base64_with_line_breaks_where_signers_put_them() {
    let with = |buffer: &str| format!(r#"{PLAIN}, "TLS.userbuf": {}"#, json!(buffer));
    let long = "YWJj".repeat(19);
    for good in [
        "",
        "YWJj",
        "YQ==",
        &format!("{long}\n{long}"),
        &format!("{long}\r\nYQ==\r\n"),
    ] {
        check_members(&with(good), Some(good), Ok(()));
    }
    for bad in [
        "abc",
        "YWJj TLS",
        "YWJj\nTLS.expire:9",
        "YWJj\t",
        "YQ=="[1..].into(),
        "a:bc",
    ] {
        check_members(&with(bad), Some(bad), Err(Fault::Unreadable));
    }
    check_members(&format!(r#"{PLAIN}, "TLS.userbuf": null"#), None, Ok(()));
}

#[test]
fn numbers_may_be_digits_in_a_text_of_one_form() {
    let with = |app: &str| PLAIN.replace("1400000001", app);
    for good in ["1400000001", "\"1400000001\""] {
        check_members(&with(good), None, Ok(()));
    }
    for bad in [
        "\"01400000001\"",
        "\"+1400000001\"",
        "\" 1400000001\"",
        "\"1400000001\\n\"",
        "1400000001.0",
        "\"\"",
        "-1",
        "null",
    ] {
        check_members(&with(bad), None, Err(Fault::Unreadable));
    }
    let texts = PLAIN
        .replace("600", "\"600\"")
        .replace("1700000000", "\"1700000000\"");
    check_members(&texts, None, Ok(()));
}

#[test]
fn a_member_that_stands_twice_is_refused_and_an_unknown_one_ignored() {
    for good in [
        r#""TLS.ver": "2.0""#,
        r#""TLS.new": {"a": [1]}"#,
        r#""x": 1, "y": 1"#,
    ] {
        check_members(&format!("{PLAIN}, {good}"), None, Ok(()));
    }
    for twice in [
        r#""TLS.identifier": "alice""#,
        r#""TLS.tim\u0065": 1700000000"#,
        r#""x": 1, "x": 1"#,
    ] {
        check_members(&format!("{PLAIN}, {twice}"), None, Err(Fault::Unreadable));
    }
    check_members(r#""TLS.identifier": "alice""#, None, Err(Fault::Unreadable));
    let list = pack(br#"["2.0","alice",1400000001,600,1700000000,null,"c2ln"]"#);
    check("alice", MADE, &list, Err(Fault::Unreadable));
}

#[test]
fn nothing_lives_for_ever() {
    let with = |expire_s: u64| {
        let mut document = Document::new("alice", APP, MADE, expire_s);
        seal(&mut document, SECRET);
        pack(&serde_json::to_vec(&document).unwrap())
    };
    check("alice", MADE, &with(USERSIG_LIFETIME_S_MAX), Ok(()));
    check(
        "alice",
        MADE,
        &with(USERSIG_LIFETIME_S_MAX + 1),
        Err(Fault::LivesTooLong),
    );
    check("alice", MADE, &with(u64::MAX), Err(Fault::LivesTooLong));
}

#[test]
fn a_date_too_far_ahead_is_refused_until_it_is_near() {
    check("alice", MADE - AHEAD_MAX_S, B_PYTHON, Ok(()));
    check("alice", MADE - AHEAD_MAX_S - 1, B_PYTHON, Err(Fault::Ahead));
    check("alice", 0, B_FORGED, Err(Fault::WrongSignature));
}

#[test]
fn a_key_that_has_ended_does_not_count() {
    let ending = Key {
        not_after_s: Some(MADE),
        ..key(SECRET)
    };
    assert!(key(SECRET).counts(Timestamp(u64::MAX)) && ending.counts(Timestamp(MADE * 1_000 - 1)));
    assert!(!ending.counts(Timestamp(MADE * 1_000)));
}

/// All documents that a text can be taken for, however little sense they make.
fn readings(content: &str) -> Vec<Document> {
    let mut found = Vec::new();
    let Some(rest) = content
        .strip_prefix("TLS.identifier:")
        .and_then(|rest| rest.strip_suffix('\n'))
    else {
        return found;
    };
    for (identifier, rest) in cuts(rest, "\nTLS.sdkappid:") {
        for (app, rest) in cuts(rest, "\nTLS.time:") {
            for (time, rest) in cuts(rest, "\nTLS.expire:") {
                let with_buffer = cuts(rest, "\nTLS.userbuf:").map(|(expire, buffer)| (expire, Some(buffer)));
                for (expire, buffer) in with_buffer.chain([(rest, None)]) {
                    if let (Ok(app), Ok(time), Ok(expire)) = (app.parse(), time.parse(), expire.parse()) {
                        let mut document = Document::new(identifier, app, time, expire);
                        document.user_buffer = buffer.map(str::to_owned);
                        found.push(document);
                    }
                }
            }
        }
    }
    found.retain(|document| document.content() == content);
    found
}

fn cuts<'a>(text: &'a str, mark: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    text.match_indices(mark)
        .map(move |(place, _)| (&text[..place], &text[place + mark.len()..]))
}

/// Whether it is ever taken, signed or not.
fn is_readable(document: &Document) -> bool {
    let json = serde_json::to_vec(document).unwrap();
    UserId::new(document.identifier.as_bytes()).is_ok() && Document::read(&json).is_some()
}

/// Texts that somebody would choose who wants to be somebody else.
fn chosen() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::strategy::Strategy;
    const PIECES: &[&str] = &[
        "\n",
        "a",
        "7",
        "YWJj",
        "=",
        ":",
        "TLS.sdkappid:7",
        "TLS.time:7",
        "TLS.expire:7",
        "TLS.userbuf:",
        "\nTLS.sdkappid:7\nTLS.time:7\nTLS.expire:7",
    ];
    proptest::collection::vec(proptest::sample::select(PIECES), 0..5).prop_map(|pieces| pieces.concat())
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(2_000))]

    #[test]
    fn a_signed_text_stands_for_one_document_and_one_user(
        identifier in chosen(), buffer in proptest::option::of(chosen()), time_s in 6..9_u64,
    ) {
        let mut signed = Document::new(&identifier, 7, time_s, 7);
        signed.user_buffer = buffer;
        let all = readings(&signed.content());
        proptest::prop_assert!(all.contains(&signed));
        let taken: Vec<_> = all.into_iter().filter(is_readable).collect();
        proptest::prop_assert!(taken.len() <= 1, "{taken:?}");
        proptest::prop_assert!(taken.iter().all(|taken| *taken == signed), "{signed:?} taken for {taken:?}");
    }

    #[test]
    fn any_text_never_panics(text in "[ -~]{0,200}") {
        proptest::prop_assert!(verify(MADE, APP, &[key(SECRET)], "alice", &text).is_err());
    }
}
