//! Members of a JSON object, each as what it has to be. What is wrong is said with the member's name. Knows no request.

use std::fmt::Display;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// An object of a request, with the name that it goes by in what is said of it.
pub(super) struct Fields<'a> {
    name: String,
    members: &'a Map<String, Value>,
}

/// What is wrong with a request, for people.
pub(in crate::services::http) type Wrong = String;

impl<'a> Fields<'a> {
    /// An object that may have these members and no others; `name` is empty for the request itself.
    pub(super) fn of(name: &str, value: &'a Value, known: &[&str]) -> Result<Self, Wrong> {
        let members = value.as_object();
        let members = members.ok_or_else(|| match name {
            "" => "the body is not an object".to_owned(),
            name => format!("{name} is not an object"),
        })?;
        let fields = Self {
            name: name.to_owned(),
            members,
        };
        match members.keys().find(|member| !known.contains(&member.as_str())) {
            Some(unknown) => {
                let unknown: String = unknown.chars().take(64).collect();
                Err(format!("{} is not known", fields.path(&unknown)))
            }
            None => Ok(fields),
        }
    }

    fn path(&self, member: &str) -> String {
        match self.name.as_str() {
            "" => member.to_owned(),
            name => format!("{name}.{member}"),
        }
    }

    /// Says what is wrong with a member.
    pub(super) fn wrong(&self, member: &str, what: impl Display) -> Wrong {
        format!("{} {what}", self.path(member))
    }

    /// A member that is there, and not null.
    pub(super) fn get(&self, member: &str) -> Option<&'a Value> {
        self.members.get(member).filter(|value| !value.is_null())
    }

    /// What a member is, as `read` has it, which is what `kind` says.
    fn read<T>(
        &self,
        member: &str,
        kind: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Wrong> {
        let value = self.get(member).map(|value| {
            let read = read(value);
            read.ok_or_else(|| self.wrong(member, format_args!("is not {kind}")))
        });
        value.transpose()
    }

    pub(super) fn text(&self, member: &str) -> Result<Option<&'a str>, Wrong> {
        self.read(member, "a string", Value::as_str)
    }

    pub(super) fn number(&self, member: &str) -> Result<Option<u64>, Wrong> {
        self.read(member, "a whole number from 0 on", Value::as_u64)
    }

    pub(super) fn list(&self, member: &str) -> Result<Option<&'a [Value]>, Wrong> {
        self.read(member, "an array", |value| value.as_array().map(Vec::as_slice))
    }

    /// A number up to this one.
    pub(super) fn number_up_to(&self, member: &str, most: u64) -> Result<Option<u64>, Wrong> {
        match self.number(member)? {
            Some(number) if number > most => Err(self.wrong(member, format_args!("is above {most}"))),
            number => Ok(number),
        }
    }

    /// A text of 1 to so many bytes of printable ASCII.
    pub(super) fn name(&self, member: &str, bytes_max: usize) -> Result<Option<&'a str>, Wrong> {
        let is_name = |text: &str| {
            let is_printable = text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
            is_printable && (1..=bytes_max).contains(&text.len())
        };
        match self.text(member)? {
            Some(text) if !is_name(text) => {
                let what = format_args!("has not 1 to {bytes_max} bytes of printable ASCII");
                Err(self.wrong(member, what))
            }
            text => Ok(text),
        }
    }

    /// Bytes that are written in base64.
    pub(super) fn bytes(&self, member: &str) -> Result<Option<Vec<u8>>, Wrong> {
        self.read(member, "base64", |value| STANDARD.decode(value.as_str()?).ok())
    }
}
