//! Requests as bytes, as servers read them (RESP2 arrays of bulk strings). Copies each argument once.

use std::io::Write as _;

use crate::services::shared_store::scripts::ServerScript;

/// What a request begins with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RequestVerb {
    /// A script, by its hash.
    Script(&'static ServerScript),
    /// A command.
    Command(&'static str),
}

/// A request for the master of a slot.
#[derive(Debug)]
pub(crate) struct StoreRequest {
    pub(crate) slot: u16,
    verb: RequestVerb,
    arguments: usize,
    body: Vec<u8>,
}

impl StoreRequest {
    /// A call of a script with these keys, all in one slot.
    pub(crate) fn script(script: &'static ServerScript, slot: u16, keys: &[&[u8]]) -> Self {
        let mut new = Self::new(RequestVerb::Script(script), slot);
        new.number(keys.len() as u64);
        keys.iter().for_each(|key| new.bytes(key));
        new
    }

    /// A command on a key.
    pub(crate) fn command(name: &'static str, slot: u16, key: &[u8]) -> Self {
        let mut new = Self::new(RequestVerb::Command(name), slot);
        new.bytes(key);
        new
    }

    fn new(verb: RequestVerb, slot: u16) -> Self {
        Self {
            slot,
            verb,
            arguments: 0,
            body: Vec::new(),
        }
    }

    /// Its script, if it is one.
    pub(crate) fn script_of(&self) -> Option<&'static ServerScript> {
        match self.verb {
            RequestVerb::Script(script) => Some(script),
            RequestVerb::Command(_) => None,
        }
    }

    /// One more argument.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        bulk(&mut self.body, bytes);
        self.arguments += 1;
    }

    /// One more argument, in decimal digits.
    pub(crate) fn number(&mut self, number: u64) {
        self.bytes(number.to_string().as_bytes());
    }

    /// Appends the request to `out`, the script by its whole text or only its hash.
    pub(crate) fn pack(&self, out: &mut Vec<u8>, by: ScriptForm) {
        match self.verb {
            RequestVerb::Command(name) => {
                array(out, self.arguments + 1);
                bulk(out, name.as_bytes());
            }
            RequestVerb::Script(script) => {
                array(out, self.arguments + 2);
                match by {
                    ScriptForm::Text => {
                        bulk(out, b"EVAL");
                        bulk(out, script.text.as_bytes());
                    }
                    ScriptForm::Hash => {
                        bulk(out, b"EVALSHA");
                        bulk(out, script.hash.as_bytes());
                    }
                }
            }
        }
        out.extend_from_slice(&self.body);
    }
}

/// How a script is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScriptForm {
    /// The server may not have it.
    Text,
    /// The server has been given it.
    Hash,
}

fn array(out: &mut Vec<u8>, length: usize) {
    write!(out, "*{length}\r\n").expect("a vector takes all");
}

fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    write!(out, "${}\r\n", bytes.len()).expect("a vector takes all");
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// A command that belongs to no slot.
pub(crate) fn plain(out: &mut Vec<u8>, words: &[&str]) {
    array(out, words.len());
    words.iter().for_each(|word| bulk(out, word.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_arrays_of_bulk_strings() {
        let mut request = StoreRequest::command("HGET", 0, b"k");
        request.bytes(b"\r\n");
        request.number(10);
        let mut out = Vec::new();
        request.pack(&mut out, ScriptForm::Hash);
        plain(&mut out, &["WAIT", "1"]);
        assert_eq!(
            out,
            b"*4\r\n$4\r\nHGET\r\n$1\r\nk\r\n$2\r\n\r\n\r\n$2\r\n10\r\n*2\r\n$4\r\nWAIT\r\n$1\r\n1\r\n"
        );
    }
}
