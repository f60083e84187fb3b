//! JSON as strangers write it: a byte order mark in front is skipped, and a member that stands twice is refused, since
//! readers differ in which of the two they take. Never knows what a member means.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Value};

/// What some editors and libraries put in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What is said of a member's name, in characters: a name may be as long as a body.
const NAME_CHARACTERS_MAX: usize = 64;

/// Why bytes were not taken as JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// There is nothing, or nothing but white space.
    #[error("there is no JSON: it is empty")]
    Empty,
    /// It is no JSON, or more than one, or nested deeper than 127 times.
    #[error("it is not JSON: {0}")]
    Malformed(String),
    /// One object has two members of one name.
    #[error("{0}")]
    Twice(String),
}

impl JsonFault {
    /// What a reader of `bytes` ran into.
    #[must_use]
    pub fn of(error: &serde_json::Error, bytes: &[u8]) -> Self {
        match error.classify() {
            Category::Data => Self::Twice(error.to_string()),
            Category::Eof if bytes.trim_ascii().is_empty() => Self::Empty,
            Category::Io | Category::Syntax | Category::Eof => Self::Malformed(error.to_string()),
        }
    }
}

/// Reads one JSON value, and nothing behind it but white space.
///
/// # Errors
/// If it is none, or if any object in it has two members of one name.
pub fn read(bytes: &[u8]) -> Result<Value, JsonFault> {
    read_as(bytes, Whole)
}

/// Reads one JSON value by `seed`, which has no other complaint than a member that stands twice.
///
/// # Errors
/// As [`read`].
pub fn read_as<'de, S: DeserializeSeed<'de>>(bytes: &'de [u8], seed: S) -> Result<S::Value, JsonFault> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = seed.deserialize(&mut reader);
    value
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| JsonFault::of(&error, bytes))
}

/// What a field says that means yes or no, in any of the ways in which it is written; `None` if it says neither.
#[must_use]
pub fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) if number.as_f64() == Some(1.0) => Some(true),
        Value::Number(number) if number.as_f64() == Some(0.0) => Some(false),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        },
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The names of one object's members so far.
#[derive(Debug, Default)]
pub struct Names(HashSet<String>);

impl Names {
    /// Takes the next member's name.
    ///
    /// # Errors
    /// If it stands here for the second time.
    pub fn take<E: Error>(&mut self, name: &str) -> Result<(), E> {
        if self.0.insert(name.to_owned()) {
            return Ok(());
        }
        let name: String = name.chars().take(NAME_CHARACTERS_MAX).collect();
        Err(E::custom(format_args!("the member {name:?} stands twice")))
    }
}

/// Reads a whole value.
#[derive(Debug, Clone, Copy)]
pub struct Whole;

/// Looks at a value that is of no use, and keeps nothing of it.
#[derive(Debug, Clone, Copy)]
pub struct Skipped;

impl<'de> DeserializeSeed<'de> for Whole {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> DeserializeSeed<'de> for Skipped {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Whole {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(Self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let (mut names, mut members) = (Names::default(), Map::new());
        while let Some(name) = map.next_key::<String>()? {
            names.take::<A::Error>(&name)?;
            members.insert(name, map.next_value_seed(Self)?);
        }
        Ok(Value::Object(members))
    }
}

impl<'de> Visitor<'de> for Skipped {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = Names::default();
        while let Some(name) = map.next_key::<String>()? {
            names.take::<A::Error>(&name)?;
            map.next_value_seed(Self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], expected: Result<&str, &str>) {
        let seen = read(text).map(|value| value.to_string());
        let seen = seen.map_err(|fault| fault.to_string());
        assert_eq!(seen.as_deref().map_err(String::as_str), expected, "{text:?}");
        let skipped = read_as(text, Skipped).map_err(|fault| fault.to_string());
        assert_eq!(
            skipped.as_ref().err().map(String::as_str),
            expected.err(),
            "{text:?}"
        );
    }

    #[test]
    fn any_value_is_read() {
        for text in [
            "null",
            "true",
            "-1",
            "18446744073709551615",
            "1.5",
            "\"a\"",
            "[]",
            "{}",
            r#"[{"a":[1,{"b":null}]},{"a":2}]"#,
        ] {
            check(text.as_bytes(), Ok(text));
        }
        check(b" \n{ \"a\" : \"\\u0061\" }\t", Ok(r#"{"a":"a"}"#));
    }

    #[test]
    fn one_byte_order_mark_in_front_is_skipped() {
        check(b"\xef\xbb\xbf{}", Ok("{}"));
        check(b"\xef\xbb\xbf", Err("there is no JSON: it is empty"));
        assert!(matches!(
            read(b"\xef\xbb\xbf\xef\xbb\xbf{}"),
            Err(JsonFault::Malformed(_))
        ));
        assert!(matches!(read(b"{}\xef\xbb\xbf"), Err(JsonFault::Malformed(_))));
    }

    #[test]
    fn a_member_that_stands_twice_is_refused_wherever_it_stands() {
        for (text, column) in [
            (r#"{"a":1,"a":1}"#, 10),
            (r#"{"x":[{"a":1,"b":2,"\u0061":3}]}"#, 27),
            (r#"{"x":{"y":{"a":1,"a":2}}}"#, 20),
        ] {
            let told = format!(r#"the member "a" stands twice at line 1 column {column}"#);
            check(text.as_bytes(), Err(&told));
        }
        let long = "x".repeat(1_000);
        let fault = read(format!("{{\"{long}\":1,\"{long}\":2}}").as_bytes()).unwrap_err();
        assert!(fault.to_string().len() < 200, "{fault}");
    }

    #[test]
    fn what_is_no_json_is_told_apart_from_nothing() {
        check(b"", Err("there is no JSON: it is empty"));
        check(b" \r\n", Err("there is no JSON: it is empty"));
        let deep = ["[", "]"].map(|bracket| bracket.repeat(128)).concat();
        for text in [
            &b"{"[..],
            b"{}x",
            b"{} {}",
            b"{'a':1}",
            b"\"\xff\"",
            b"{\"a\":1,}",
            b"NaN",
            deep.as_bytes(),
        ] {
            assert!(matches!(read(text), Err(JsonFault::Malformed(_))), "{text:?}");
            assert!(
                matches!(read_as(text, Skipped), Err(JsonFault::Malformed(_))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn yes_and_no_are_read_in_every_way_they_are_written() {
        for (text, expected) in [
            ("true 1 1.0 1e0 \"1\" \"true\" \"True\"", Some(true)),
            ("false 0 0.0 -0 \"0\" \"false\"", Some(false)),
            ("null 2 -1 1.5 \"\" \"x\" \"2\" [1] {\"a\":1}", None),
        ] {
            for text in text.split(' ') {
                assert_eq!(flag(&read(text.as_bytes()).unwrap()), expected, "{text}");
            }
        }
    }
}
