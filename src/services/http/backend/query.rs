//! The body of a status query: 500 UserIDs are read without an allocation each. Knows their form, never whether they
//! exist.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::base::ids::UserId;
use crate::base::json::{self, JsonFault, Names, Skipped, Whole, flag};
use crate::base::limits::QUERY_USERS_MAX;
use crate::logic::user_status::QueryDepth;
use crate::services::http::backend::codes::{
    ACCOUNTS_INVALID, ACCOUNTS_TOO_MANY, Failure, QUERY_BODY_INVALID,
};

/// What a query asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// With the nobodies 1 to 500, in the order of the request, repeated as there.
    pub(super) users: Vec<UserId>,
    /// Texts that can be nobody's UserID, in the order of the request.
    pub(super) nobodies: Vec<String>,
    /// How much of each.
    pub(super) detail: QueryDetail,
}

/// What `Detail` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueryDetail {
    /// It is left out.
    None,
    /// The highest status on each platform.
    Platforms,
    /// Every device, with its instance.
    Devices,
}

impl QueryDetail {
    /// What the shards have to tell for it.
    pub(super) fn depth(self) -> QueryDepth {
        match self {
            Self::None => QueryDepth::Status,
            Self::Platforms | Self::Devices => QueryDepth::Devices,
        }
    }
}

/// What is read of a body.
#[derive(Default)]
struct QueryBody {
    accounts: QueryAccounts,
    detail: bool,
    instances: bool,
}

/// Reads a query's body.
///
/// # Errors
/// What is to be told to the caller.
pub(super) fn read(body: &[u8]) -> Result<Query, Failure> {
    // The text is the one that the vendor's documentation prints for this code.
    let not_json = || {
        Failure::new(
            QUERY_BODY_INVALID,
            "Fail to Parse json data of body, Please check it",
        )
    };
    let body = match json::read_as(body, BodySeed) {
        Ok(body) => body.ok_or_else(not_json)?,
        Err(JsonFault::Empty | JsonFault::Malformed(_)) => return Err(not_json()),
        Err(JsonFault::Twice(text)) => return Err(Failure::new(QUERY_BODY_INVALID, text)),
    };
    let (users, nobodies) = body.accounts.check()?;
    Ok(Query {
        users,
        nobodies,
        detail: match (body.detail, body.instances) {
            (false, _) => QueryDetail::None,
            (true, false) => QueryDetail::Platforms,
            (true, true) => QueryDetail::Devices,
        },
    })
}

/// `To_Account`, with the first thing that is wrong with it.
#[derive(Default)]
struct QueryAccounts {
    users: Vec<UserId>,
    nobodies: Vec<String>,
    count: usize,
    fault: Option<String>,
    present: bool,
}

impl QueryAccounts {
    fn check(self) -> Result<(Vec<UserId>, Vec<String>), Failure> {
        if !self.present {
            return Err(Failure::new(ACCOUNTS_INVALID, "To_Account is missing"));
        }
        if self.count > QUERY_USERS_MAX {
            let text = format!(
                "To_Account has {} UserIDs: at most {QUERY_USERS_MAX} are allowed",
                self.count
            );
            return Err(Failure::new(ACCOUNTS_TOO_MANY, text));
        }
        if let Some(fault) = self.fault {
            return Err(Failure::new(ACCOUNTS_INVALID, fault));
        }
        if self.count == 0 {
            return Err(Failure::new(
                QUERY_BODY_INVALID,
                "To_Account is empty: name at least one UserID",
            ));
        }
        Ok((self.users, self.nobodies))
    }

    fn take(&mut self, text: &str) {
        if self.count < QUERY_USERS_MAX {
            match UserId::new(text.as_bytes()) {
                Ok(user) => self.users.push(user),
                Err(_) => self.nobodies.push(text.to_owned()),
            }
        }
        self.count += 1;
    }

    fn take_fault(&mut self) {
        let place = self.count;
        self.count += 1;
        self.fault
            .get_or_insert_with(|| format!("To_Account[{place}]: not a string"));
    }

    fn not_a_list() -> Self {
        let fault = Some("To_Account is not an array of strings".to_owned());
        Self {
            fault,
            present: true,
            ..Self::default()
        }
    }
}

/// Takes one entry of `To_Account` in where it belongs, without handing it on.
struct AccountEntry<'a>(&'a mut QueryAccounts);

/// Implements a visitor's methods for values that are of no use: each gives `$value`, which may use `$this`.
macro_rules! useless {
    ($this:ident => $value:expr; $($method:ident: $type:ty),*) => {
        $(fn $method<E>(self, _: $type) -> Result<Self::Value, E> { let $this = self; Ok($value) })*
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> { let $this = self; Ok($value) }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> { let $this = self; Ok($value) }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> { let $this = self; Ok($value) }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> { let $this = self; Ok($value) }
        fn visit_unit<E>(self) -> Result<Self::Value, E> { let $this = self; Ok($value) }
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("any JSON") }
    };
}

/// Reads the body; `None` if it is JSON but no object.
struct BodySeed;

impl<'de> DeserializeSeed<'de> for BodySeed {
    type Value = Option<QueryBody>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<QueryBody>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BodySeed {
    type Value = Option<QueryBody>;
    useless!(_any => None; visit_str: &str);

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Option<QueryBody>, A::Error> {
        Skipped.visit_seq(list).map(|()| None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<QueryBody>, A::Error> {
        let (mut body, mut names) = (QueryBody::default(), Names::default());
        while let Some(name) = map.next_key::<String>()? {
            names.take::<A::Error>(&name)?;
            match name.as_str() {
                "To_Account" => body.accounts = map.next_value_seed(AccountsSeed)?,
                "IsNeedDetail" => body.detail = flag(&map.next_value_seed(Whole)?) == Some(true),
                "IsReturnInstid" => body.instances = flag(&map.next_value_seed(Whole)?) == Some(true),
                _ => map.next_value_seed(Skipped)?,
            }
        }
        Ok(Some(body))
    }
}

/// Reads `To_Account`.
struct AccountsSeed;

impl<'de> DeserializeSeed<'de> for AccountsSeed {
    type Value = QueryAccounts;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<QueryAccounts, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AccountsSeed {
    type Value = QueryAccounts;
    useless!(_any => QueryAccounts::not_a_list(); visit_str: &str);

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<QueryAccounts, A::Error> {
        let mut accounts = QueryAccounts {
            present: true,
            users: Vec::with_capacity(QUERY_USERS_MAX),
            ..QueryAccounts::default()
        };
        while list.next_element_seed(AccountEntry(&mut accounts))?.is_some() {}
        Ok(accounts)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<QueryAccounts, A::Error> {
        Skipped.visit_map(map).map(|()| QueryAccounts::not_a_list())
    }
}

impl<'de> DeserializeSeed<'de> for AccountEntry<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AccountEntry<'_> {
    type Value = ();
    useless!(entry => entry.0.take_fault(););

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.take(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        Skipped.visit_seq(list)?;
        self.0.take_fault();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        Skipped.visit_map(map)?;
        self.0.take_fault();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: Result<(&[&str], QueryDetail), u32>) {
        let query = read(body.as_bytes());
        let seen = query.as_ref().map_err(|failure| failure.code);
        let names: Vec<_> = seen
            .iter()
            .flat_map(|query| query.users.iter().map(UserId::as_str))
            .collect();
        let seen = seen.map(|query| (&names[..], query.detail));
        assert_eq!(seen, expected, "{body}: {query:?}");
    }

    #[test]
    fn reads_what_is_asked() {
        check(
            r#"{"To_Account":["a","b","a"]}"#,
            Ok((&["a", "b", "a"], QueryDetail::None)),
        );
        check(
            r#" {"To_Account":["\u0061\""],"IsNeedDetail":1}"#,
            Ok((&["a\""], QueryDetail::Platforms)),
        );
        let both = r#"{"IsReturnInstid":1,"IsNeedDetail":1,"To_Account":["a"],"More":{"x":[1]}}"#;
        check(both, Ok((&["a"], QueryDetail::Devices)));
        check(
            r#"{"To_Account":["a"],"IsReturnInstid":1}"#,
            Ok((&["a"], QueryDetail::None)),
        );
        check(
            "\u{feff}{\"To_Account\":[\"a\"]}",
            Ok((&["a"], QueryDetail::None)),
        );
        for yes in ["1", "1.0", "true", "\"1\"", "\"true\""] {
            let body = format!(r#"{{"To_Account":["a"],"IsNeedDetail":{yes},"IsReturnInstid":{yes}}}"#);
            check(&body, Ok((&["a"], QueryDetail::Devices)));
        }
        for odd in [
            "0",
            "2",
            "\"x\"",
            "null",
            "[1]",
            "{\"a\":1}",
            "-1",
            "1.5",
            "false",
        ] {
            check(
                &format!(r#"{{"To_Account":["a"],"IsNeedDetail":{odd}}}"#),
                Ok((&["a"], QueryDetail::None)),
            );
        }
    }

    #[test]
    fn names_what_is_wrong() {
        for not_json in [
            "",
            "{",
            "[]",
            "[[\"a\"]]",
            "5",
            "\"x\"",
            "{\"To_Account\":[\"a\"]}x",
            "{'a':1}",
        ] {
            check(not_json, Err(QUERY_BODY_INVALID));
        }
        check(r#"{"To_Account":[]}"#, Err(QUERY_BODY_INVALID));
        for malformed in ["{}", r#"{"To_account":["a"]}"#] {
            check(malformed, Err(ACCOUNTS_INVALID));
        }
        for value in [
            "\"a\"",
            "null",
            "1",
            "{\"a\":[]}",
            "[1]",
            "[\"a\",null]",
            "[[\"a\"]]",
            "[{\"a\":2}]",
        ] {
            check(&format!(r#"{{"To_Account":{value}}}"#), Err(ACCOUNTS_INVALID));
        }
        let second = read(br#"{"To_Account":["a",7]}"#).unwrap_err();
        assert_eq!(second.text, "To_Account[1]: not a string");
    }

    #[test]
    fn a_member_that_stands_twice_is_refused() {
        for twice in [
            r#"{"To_Account":["a"],"To_Account":["b"]}"#,
            r#"{"To_Account":["a"],"IsNeedDetail":1,"IsNeedDetail":0}"#,
            r#"{"To_Account":["a"],"x":1,"x":1}"#,
            r#"{"To_Account":["a"],"x":[{"y":1,"y":1}]}"#,
            r#"{"To_Account":[{"y":1,"y":1}]}"#,
            r#"{"To_Account":{"y":1,"y":1}}"#,
        ] {
            let refused = read(twice.as_bytes()).unwrap_err();
            assert_eq!(refused.code, QUERY_BODY_INVALID, "{twice}");
            assert!(refused.text.contains("stands twice"), "{}", refused.text);
        }
    }

    #[test]
    fn texts_that_are_nobodys_user_id_are_kept_apart() {
        let long = "x".repeat(33);
        let query = read(format!(r#"{{"To_Account":["","a","{long}","é"]}}"#).as_bytes()).unwrap();
        assert_eq!(query.users, [UserId::new(b"a").unwrap()]);
        assert_eq!(query.nobodies, ["", &long, "é"]);
    }

    #[test]
    fn takes_500_and_no_more() {
        let body = |count| format!(r#"{{"To_Account":[{}]}}"#, vec!["\"a\""; count].join(","));
        assert_eq!(read(body(500).as_bytes()).unwrap().users.len(), 500);
        assert_eq!(read(body(501).as_bytes()).unwrap_err().code, ACCOUNTS_TOO_MANY);
    }
}
