//! Asks the servers who is master of what: a cluster by CLUSTER SLOTS, one master with replicas by ROLE. Decides nothing else.

use std::collections::HashMap;

use redis::Value;

use crate::services::shared_store::address::ServerAddress;
use crate::services::shared_store::decoding::{list, number, text};
use crate::services::shared_store::link::StoreLink;
use crate::services::shared_store::outcome::{Refusal, SharedStoreError};
use crate::services::shared_store::settings::RedisSettings;
use crate::services::shared_store::slots::SlotMap;

/// What a server is that belongs to no cluster.
enum ServerRole {
    Master(Vec<ServerAddress>),
    ReplicaOf(ServerAddress),
}

/// Asks these servers in their order until one knows. Of servers without a cluster all are asked: the master with the most
/// replicas counts, since one that was deposed may still call itself a master.
pub(crate) fn inquire(
    servers: &[ServerAddress],
    settings: &RedisSettings,
    links: &mut HashMap<ServerAddress, StoreLink>,
) -> Result<SlotMap, SharedStoreError> {
    let mut last_error = None;
    let mut masters: Vec<(ServerAddress, Vec<ServerAddress>)> = Vec::new();
    let mut to_ask = servers.to_vec();
    let mut at = 0;
    while let Some(server) = to_ask.get(at).cloned() {
        at += 1;
        match describe(&server, settings, links) {
            Ok(ServerDescription::Cluster(map)) => return Ok(map),
            Ok(ServerDescription::Alone(ServerRole::Master(replicas))) => masters.push((server, replicas)),
            Ok(ServerDescription::Alone(ServerRole::ReplicaOf(master))) => {
                if !to_ask.contains(&master) {
                    to_ask.push(master);
                }
            }
            Err(error) => {
                links.remove(&server);
                last_error = Some(error);
            }
        }
    }
    let master = masters.into_iter().max_by_key(|(_, replicas)| replicas.len());
    let map = master.map(|(master, replicas)| SlotMap::single(master, replicas));
    map.ok_or_else(|| not_executed(last_error))
}

/// Whatever the servers said, the call that wanted to know was not executed.
fn not_executed(error: Option<SharedStoreError>) -> SharedStoreError {
    match error {
        Some(error @ SharedStoreError::NotExecuted { .. }) => error,
        Some(error) => unreachable(error.to_string()),
        None => unreachable("no server is a master".to_owned()),
    }
}

fn unreachable(text: String) -> SharedStoreError {
    SharedStoreError::NotExecuted {
        why: Refusal::Unreachable,
        text,
    }
}

enum ServerDescription {
    Cluster(SlotMap),
    Alone(ServerRole),
}

fn describe(
    server: &ServerAddress,
    settings: &RedisSettings,
    links: &mut HashMap<ServerAddress, StoreLink>,
) -> Result<ServerDescription, SharedStoreError> {
    if !links.contains_key(server) {
        links.insert(server.clone(), StoreLink::open(server, settings)?);
    }
    let link = links.get_mut(server).expect("it is open");
    match link.ask(&["CLUSTER", "SLOTS"]) {
        Ok(answer) => {
            let map = SlotMap::read(&answer, server).ok_or_else(|| SharedStoreError::NotExecuted {
                why: Refusal::ClusterDown,
                text: format!("{server}: no slot has a master"),
            })?;
            Ok(ServerDescription::Cluster(map))
        }
        Err(SharedStoreError::Unknown(said)) if said.contains("cluster support disabled") => {
            let role = link.ask(&["ROLE"])?;
            let read = read_role(&role, server);
            let unclear = || unreachable(format!("{server}: ROLE gave {role:?}"));
            read.map(ServerDescription::Alone).ok_or_else(unclear)
        }
        Err(error) => Err(error),
    }
}

fn read_role(role: &Value, server: &ServerAddress) -> Option<ServerRole> {
    let role = list(role)?;
    match (text(role.first()?)?.as_str(), &role[1..]) {
        ("master", [_, replicas]) => {
            let replicas = list(replicas)?
                .iter()
                .map(|replica| address(list(replica)?, server));
            Some(ServerRole::Master(replicas.collect::<Option<_>>()?))
        }
        ("slave", [host, port, ..]) => {
            let parts = [host.clone(), port.clone()];
            Some(ServerRole::ReplicaOf(address(&parts, server)?))
        }
        _ => None,
    }
}

fn address(parts: &[Value], near: &ServerAddress) -> Option<ServerAddress> {
    let [host, port, ..] = parts else {
        return None;
    };
    ServerAddress::of(&text(host)?, u16::try_from(number(port)?).ok()?, near)
}
