//! Which lanes a request is for, and whether they can be read here: each lane of a cluster is read at the node that owns its partition.
//! Reads no changes but the first one of each lane.

use std::collections::BTreeSet;
use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::base::ids::PartitionId;
use crate::logic::cluster::home::Home;
use crate::services::http::admin::cursor::CursorStore;
use crate::services::http::admin::readers::Archived;
use crate::services::http::admin::state::AdminState;
use crate::services::http::homes::ClusterView;
use crate::services::http::refusal::{JsonAnswer, JsonRefusal, json_response};
use crate::services::http::sizes::LANES_MAX;
use crate::services::registry::archive::{Archive, Position, ReadError};

/// A lane that can be read here.
pub(super) type ReadableLane = (PartitionId, Arc<dyn Archive>);

/// All lanes of the store: whose each is, and how far those go that can be read here.
pub(super) async fn show(state: &AdminState) -> JsonAnswer {
    let archived = state.readers.archived()?;
    let (store, lanes) = (archived.store(), Arc::clone(&archived.lanes));
    let cluster = state.http.pending.cluster();
    let all = (0..store.lanes).map(PartitionId);
    let mut entries: Vec<(Value, Option<ReadableLane>)> = all
        .map(|lane| {
            (
                owner_json(cluster, lane),
                lanes.lane(lane).map(|archive| (lane, archive)),
            )
        })
        .collect();
    let read = move || {
        for (entry, readable) in &mut entries {
            entry["here"] = readable.is_some().into();
            if let Some(readable) = readable {
                add_places(store, entry, readable);
            }
        }
        Ok(entries.into_iter().map(|(entry, _)| entry).collect::<Vec<_>>())
    };
    let lanes = state.readers.work(read).await?;
    Ok(json_response(&json!({
        "store": format!("{:016x}", store.id),
        "node": cluster.map(|cluster| cluster.node.0),
        "lanes": lanes,
    })))
}

fn add_places(store: CursorStore, entry: &mut Value, (lane, archive): &ReadableLane) {
    // Before the first one is looked for, so that it is no later.
    let last = archive.last();
    let first = match archive.changes(Position(0), 1) {
        Ok(page) => Ok(page.first().map(|placed| placed.position.0)),
        Err(ReadError::Pruned(pruned)) => Ok((pruned < last).then_some(pruned.0 + 1)),
        Err(error) => Err(error.to_string()),
    };
    entry["first"] = first.clone().ok().flatten().into();
    entry["last"] = last.0.into();
    entry["cursor"] = store.write_one(*lane, last).into();
    if let Err(error) = first {
        entry["error"] = error.into();
    }
}

/// A lane, the node that has it as far as this one knows, and where readers reach that.
fn owner_json(cluster: Option<&ClusterView>, lane: PartitionId) -> Value {
    let owner = cluster.and_then(|cluster| match cluster.homes.borrow().of(lane) {
        Home::Here(_) => Some(cluster.node),
        Home::There(node) => Some(node),
        Home::Nobody => None,
    });
    let status = cluster.map(|cluster| cluster.status.borrow().clone());
    let known = status.as_ref().zip(owner);
    let address = known.and_then(|(status, owner)| status.nodes.get(&owner)?.says.admin.as_deref());
    json!({ "lane": lane.0, "node": owner.map(|node| node.0), "address": address })
}

/// The lanes that a request names, if it does.
pub(super) fn named(store: CursorStore, text: Option<&str>) -> Result<Option<Vec<PartitionId>>, JsonRefusal> {
    let Some(text) = text else { return Ok(None) };
    let wrong = |text: String| JsonRefusal::new(StatusCode::BAD_REQUEST, text);
    let last = store.lanes - 1;
    let number = |text: &str| text.parse().ok().filter(|lane| *lane <= last);
    let mut lanes = BTreeSet::new();
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let ends = number(from).zip(number(to)).filter(|(from, to)| from <= to);
        let (from, to) = ends.ok_or_else(|| {
            wrong(format!(
                "lanes is no list such as 0-15,17 of lanes from 0 to {last}"
            ))
        })?;
        lanes.extend((from..=to).map(PartitionId));
    }
    match lanes.len() <= LANES_MAX {
        true => Ok(Some(lanes.into_iter().collect())),
        false => Err(wrong(format!("lanes names more than {LANES_MAX} lanes"))),
    }
}

/// All lanes that can be read here.
pub(super) fn all(archived: &Archived) -> Result<Vec<PartitionId>, JsonRefusal> {
    let lanes: Vec<_> = readable(archived).collect();
    if lanes.is_empty() {
        return Err(JsonRefusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "this node has no lanes at this moment: try again",
        ));
    }
    if lanes.len() > LANES_MAX {
        let text = format!(
            "{} lanes are here: name at most {LANES_MAX} of them, as in lanes=0-{}; see /v1/lanes",
            lanes.len(),
            LANES_MAX - 1
        );
        return Err(JsonRefusal::new(StatusCode::BAD_REQUEST, text));
    }
    Ok(lanes)
}

/// The same, however many there are.
pub(super) fn readable(archived: &Archived) -> impl Iterator<Item = PartitionId> {
    let all = (0..archived.lanes.partitions()).map(PartitionId);
    all.filter(|lane| archived.lanes.lane(*lane).is_some())
}

/// These lanes, all of which have to be readable here.
pub(super) fn open(
    state: &AdminState,
    archived: &Archived,
    lanes: impl IntoIterator<Item = PartitionId>,
) -> Result<Vec<ReadableLane>, JsonRefusal> {
    let (mut open, mut missing) = (Vec::new(), Vec::new());
    for lane in lanes {
        match archived.lanes.lane(lane) {
            Some(archive) => open.push((lane, archive)),
            None => missing.push(lane),
        }
    }
    match missing.is_empty() {
        true => Ok(open),
        false => Err(elsewhere(state, &missing)),
    }
}

/// What is said of lanes that cannot be read here: where they are, or that they will be somewhere.
fn elsewhere(state: &AdminState, lanes: &[PartitionId]) -> JsonRefusal {
    let cluster = state.http.pending.cluster();
    let owners: Vec<_> = lanes.iter().map(|lane| owner_json(cluster, *lane)).collect();
    let own = cluster.map(|cluster| u64::from(cluster.node.0));
    let other = owners
        .iter()
        .find(|owner| owner["node"].as_u64().is_some_and(|node| Some(node) != own));
    let refusal = match other {
        Some(Value::Object(owner)) => {
            let place = match owner["address"].as_str() {
                Some(address) => format!(", at {address}"),
                None => String::new(),
            };
            let text = format!("lane {} is at node {}{place}", owner["lane"], owner["node"]);
            JsonRefusal::new(StatusCode::MISDIRECTED_REQUEST, text)
        }
        Some(_) | None => JsonRefusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("no node has lane {} at this moment: try again", lanes[0].0),
        ),
    };
    refusal.and("elsewhere", owners)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: CursorStore = CursorStore { id: 7, lanes: 4_096 };

    fn check(text: &str, expected: Option<&[u16]>) {
        let named = named(STORE, Some(text)).ok().flatten();
        let numbers = named.map(|lanes| lanes.iter().map(|lane| lane.0).collect::<Vec<_>>());
        assert_eq!(numbers.as_deref(), expected, "{text}");
    }

    #[test]
    fn lanes_are_named_one_by_one_or_from_one_to_another() {
        check("0", Some(&[0]));
        check("4095", Some(&[4_095]));
        check("3-5,1,4", Some(&[1, 3, 4, 5]));
        check("7-7", Some(&[7]));
        let all: Vec<_> = (0..256).collect();
        check("0-255", Some(&all));
        for wrong in [
            "", ",", "1,", "-", "1-", "-1", "5-3", "4096", "0-4096", "x", "0-256", "1 ", "1-2-3", "65536",
        ] {
            check(wrong, None);
        }
        assert_eq!(named(STORE, None).unwrap(), None);
    }
}
