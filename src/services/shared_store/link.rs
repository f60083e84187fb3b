//! One connection to one server: requests go out together, answers come in their order. Retries nothing. A link that failed once,
//! or was late once, is done with: an answer that comes late must not be taken for another's.

use std::collections::HashSet;
use std::time::Duration;

use redis::{Connection, ErrorKind, RedisError, Value};

use crate::services::shared_store::address::ServerAddress;
use crate::services::shared_store::heard::{Heard, hear};
use crate::services::shared_store::outcome::{Refusal, SharedStoreError};
use crate::services::shared_store::packing::{ScriptForm, StoreRequest, plain};
use crate::services::shared_store::scripts::ServerScript;
use crate::services::shared_store::settings::RedisSettings;

/// A connection.
pub(crate) struct StoreLink {
    server: ServerAddress,
    connection: Connection,
    /// Hashes of scripts that it has been given.
    given: HashSet<&'static str>,
}

impl StoreLink {
    /// Connects, and proves who we are. Nothing is executed if that fails.
    pub(crate) fn open(server: &ServerAddress, settings: &RedisSettings) -> Result<Self, SharedStoreError> {
        let connect = || {
            let client = settings.client(server)?;
            let connection =
                client.get_connection_with_timeout(Duration::from_millis(settings.connect_ms))?;
            connection.set_read_timeout(Some(settings.reply_timeout()))?;
            connection.set_write_timeout(Some(settings.reply_timeout()))?;
            Ok(connection)
        };
        let connection = connect().map_err(|error: RedisError| SharedStoreError::NotExecuted {
            why: if error.kind() == ErrorKind::AuthenticationFailed {
                Refusal::Denied
            } else {
                Refusal::Unreachable
            },
            text: format!("{server}: {error}"),
        })?;
        Ok(Self {
            server: server.clone(),
            connection,
            given: HashSet::new(),
        })
    }

    /// Appends a request to what will be sent. The first time, a script goes by its text.
    pub(crate) fn pack(&mut self, request: &StoreRequest, out: &mut Vec<u8>) {
        let new = |script: &'static ServerScript| self.given.insert(&script.hash);
        let by = if request.script_of().is_some_and(new) {
            ScriptForm::Text
        } else {
            ScriptForm::Hash
        };
        request.pack(out, by);
    }

    /// The server has lost the scripts that it was given.
    pub(crate) fn scripts_lost(&mut self) {
        self.given.clear();
    }

    /// Sends requests. If that fails, any of them may have been executed.
    pub(crate) fn send(&mut self, requests: &[u8]) -> Result<(), SharedStoreError> {
        let sent = self.connection.send_packed_command(requests);
        sent.map_err(|error| SharedStoreError::Unknown(format!("{}: {error}", self.server)))
    }

    /// Waits for the next answer.
    pub(crate) fn receive(&mut self) -> Heard {
        hear(self.connection.recv_response(), &self.server)
    }

    /// Asks for what belongs to no slot.
    pub(crate) fn ask(&mut self, words: &[&str]) -> Result<Value, SharedStoreError> {
        let mut out = Vec::new();
        plain(&mut out, words);
        self.send(&out)?;
        match self.receive() {
            Heard::Answer(answer) => Ok(answer),
            Heard::Error(error) => Err(error),
            other @ (Heard::Elsewhere(_) | Heard::NoScript) => {
                Err(SharedStoreError::Unknown(format!("{}: {other:?}", self.server)))
            }
        }
    }
}
