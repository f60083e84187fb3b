//! Which server is the master of which slot, as the servers themselves tell it. Connects nowhere.

use std::collections::BTreeSet;

use redis::Value;

use crate::services::shared_store::address::ServerAddress;
use crate::services::shared_store::decoding::{list, number, text};
use crate::services::shared_store::keys::SLOTS;

const NOBODY: u16 = u16::MAX;

/// The masters of all slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotMap {
    masters: Vec<ServerAddress>,
    /// Places in `masters`.
    of_slot: Vec<u16>,
    /// All servers that were named, masters and replicas.
    servers: BTreeSet<ServerAddress>,
}

impl SlotMap {
    /// Without any.
    pub(crate) fn empty() -> Self {
        Self {
            masters: Vec::new(),
            of_slot: vec![NOBODY; usize::from(SLOTS)],
            servers: BTreeSet::new(),
        }
    }

    /// One master for all slots.
    pub(crate) fn single(master: ServerAddress, replicas: impl IntoIterator<Item = ServerAddress>) -> Self {
        let mut map = Self::empty();
        map.servers = replicas.into_iter().chain([master.clone()]).collect();
        map.take(0, SLOTS - 1, master);
        map
    }

    /// Reads the answer of `asked` to CLUSTER SLOTS: ranges of slots, each with its servers, the master first.
    pub(crate) fn read(answer: &Value, asked: &ServerAddress) -> Option<Self> {
        let mut map = Self::empty();
        for range in list(answer)? {
            let range = list(range)?;
            let [first, last, servers @ ..] = range else {
                return None;
            };
            let (first, last) = (slot(first)?, slot(last)?);
            let servers = servers.iter().map(|server| address(server, asked));
            let servers = servers.collect::<Option<Vec<_>>>()?;
            let master = servers.first()?.clone();
            map.servers.extend(servers);
            map.take(first, last, master);
        }
        (!map.masters.is_empty()).then_some(map)
    }

    /// A slot has moved.
    pub(crate) fn moved(&mut self, slot: u16, master: ServerAddress) {
        self.servers.insert(master.clone());
        self.take(slot, slot, master);
    }

    fn take(&mut self, first: u16, last: u16, master: ServerAddress) {
        let known = self.masters.iter().position(|known| *known == master);
        let place = known.unwrap_or_else(|| {
            self.masters.push(master);
            self.masters.len() - 1
        });
        self.of_slot[usize::from(first)..=usize::from(last)].fill(place as u16);
    }

    /// The master of a slot, if it has one.
    pub(crate) fn master(&self, slot: u16) -> Option<&ServerAddress> {
        self.masters.get(usize::from(self.of_slot[usize::from(slot)]))
    }

    /// All servers that are known.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &ServerAddress> {
        self.servers.iter()
    }
}

fn slot(value: &Value) -> Option<u16> {
    number(value)
        .and_then(|slot| u16::try_from(slot).ok())
        .filter(|slot| *slot < SLOTS)
}

fn address(server: &Value, asked: &ServerAddress) -> Option<ServerAddress> {
    let [host, port, ..] = list(server)? else {
        return None;
    };
    let host = text(host).unwrap_or_default();
    ServerAddress::of(&host, u16::try_from(number(port)?).ok()?, asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: Option<&str>, port: i64) -> Value {
        let host = host.map_or(Value::Nil, |host| Value::BulkString(host.into()));
        Value::Array(vec![host, Value::Int(port), Value::BulkString("id".into())])
    }

    fn asked() -> ServerAddress {
        ServerAddress {
            host: "asked".to_owned(),
            port: 1,
        }
    }

    fn check(ranges: Vec<Value>, expected: &[(u16, Option<&str>)]) {
        let map = SlotMap::read(&Value::Array(ranges), &asked()).expect("a map");
        for (slot, master) in expected {
            let found = map.master(*slot).map(ToString::to_string);
            assert_eq!(found.as_deref(), *master, "{slot}");
        }
    }

    fn range(first: i64, last: i64, servers: &[Value]) -> Value {
        Value::Array([&[Value::Int(first), Value::Int(last)], servers].concat())
    }

    #[test]
    fn ranges_give_the_masters() {
        let (one, two) = (server(Some("10.0.0.1"), 7000), server(Some("10.0.0.2"), 7000));
        let ranges = vec![
            range(0, 99, &[one.clone(), two.clone()]),
            range(200, 16_383, &[two]),
        ];
        let expected = [
            (0, Some("10.0.0.1:7000")),
            (99, Some("10.0.0.1:7000")),
            (100, None),
            (200, Some("10.0.0.2:7000")),
            (16_383, Some("10.0.0.2:7000")),
        ];
        check(ranges, &expected);
        check(vec![range(0, 0, &[server(None, 7)])], &[(0, Some("asked:7"))]);
        check(vec![range(0, 0, &[server(Some(""), 7)])], &[(0, Some("asked:7"))]);
    }

    #[test]
    fn nonsense_gives_no_map() {
        let one = server(Some("a"), 7);
        for bad in [
            Value::Nil,
            Value::Array(vec![]),
            Value::Array(vec![range(0, 16_384, std::slice::from_ref(&one))]),
            Value::Array(vec![range(-1, 3, &[one])]),
            Value::Array(vec![range(0, 3, &[])]),
            Value::Array(vec![range(0, 3, &[server(Some("a"), 70_000)])]),
        ] {
            assert_eq!(SlotMap::read(&bad, &asked()), None, "{bad:?}");
        }
    }

    #[test]
    fn a_slot_moves_alone() {
        let mut map = SlotMap::single(asked(), []);
        let other = ServerAddress {
            host: "b".to_owned(),
            port: 2,
        };
        map.moved(5, other.clone());
        assert_eq!(map.master(5), Some(&other));
        assert_eq!(map.master(4), Some(&asked()));
        assert_eq!(map.servers().count(), 2);
    }
}
