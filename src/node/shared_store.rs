//! The shared store by the configuration: how it is reached, and whether its cluster is the one that is meant. Keeps nothing.

use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::config::{Config, StoreKind};
use crate::services::registry::moving::{ClusterAccess, MoveMark};
use crate::services::shared_store::calls::{Founding, SharedStore};
use crate::services::shared_store::client::RedisStore;
use crate::services::shared_store::keys::PARTITIONS_MAX;
use crate::services::shared_store::outcome::{Outcome, Vouched};
use crate::services::shared_store::settings::{CopiesMissing, RedisSettings, TypedRedis};

/// The format of everything that a cluster keeps. A cluster of another one is not used.
pub const FORMAT: u32 = 1;

/// The version of [`UserId::partition`](crate::base::ids::UserId::partition).
const HASH: u32 = 1;

/// How a client of the shared store connects.
///
/// # Errors
/// Says which setting is wrong, or which file cannot be read.
pub fn settings(config: &Config) -> anyhow::Result<RedisSettings> {
    let store = &config.shared_store;
    let identity = store.identity.as_ref();
    let typed = TypedRedis {
        urls: &store.urls,
        user: store.user.as_deref(),
        password: store.password.as_ref(),
        ca: store.ca_file.as_deref(),
        identity: identity.map(|(certificate, key)| (certificate.as_path(), key.as_path())),
        copies: store.copies,
        copies_missing: store.copies_missing,
    };
    RedisSettings::read(&typed).context("registry.redis")
}

/// What the store says, the second time if it says nothing the first time: a command must not fail because one connection did, by a
/// signal, say. For calls that may be made again.
fn asked_twice<T>(mut ask: impl FnMut() -> Outcome<T>) -> Outcome<T> {
    ask().or_else(|first| {
        tracing::debug!(error = %first, "the store is asked again");
        ask()
    })
}

/// Founds the cluster of the configuration, or finds it founded.
///
/// # Errors
/// If the store cannot be reached, has too few copies, or the cluster was founded with something else.
pub fn found(config: &Config, partitions: u16) -> anyhow::Result<Founding> {
    let settings = settings(config)?;
    let (copies, missing) = (settings.copies, settings.copies_missing);
    let wanted = Founding {
        format: FORMAT,
        partitions,
        hash: HASH,
        store: format!("{:016x}", fastrand::u64(1..)),
    };
    let mut store = RedisStore::new(settings, &config.cluster.name, partitions);
    let Vouched {
        answer: founded,
        copies: there,
    } = asked_twice(|| store.create(&wanted))?;
    ensure!(
        there >= copies || missing == CopiesMissing::GoOn,
        "only {there} of {copies} replicas have it: look at the replicas, and call this again"
    );
    check(config, &founded)?;
    ensure!(
        founded.partitions == partitions,
        "the cluster {:?} was founded with {} partitions, for all its time: go on with these, or found another one under another cluster.name",
        config.cluster.name,
        founded.partitions
    );
    Ok(founded)
}

/// What the cluster of the configuration was founded with.
///
/// # Errors
/// If the store cannot be reached, there is no such cluster, or it is of another version.
pub fn founded(config: &Config) -> anyhow::Result<Founding> {
    let mut store = RedisStore::new(settings(config)?, &config.cluster.name, PARTITIONS_MAX);
    let Some(founded) = asked_twice(|| store.founding())? else {
        bail!(
            "there is no cluster {:?} in this store: `holdfast cluster create` founds it; or cluster.name or registry.redis.urls are of another one",
            config.cluster.name
        );
    };
    check(config, &founded)?;
    Ok(founded)
}

/// Sees to it that the cluster's nodes may start: its records are not being moved, and were not moved away.
///
/// # Errors
/// If the store cannot be reached, or the records are, or were.
pub(super) fn ensure_open(config: &Config, founded: &Founding) -> anyhow::Result<()> {
    let mut store = RedisStore::new(settings(config)?, &config.cluster.name, founded.partitions);
    match MoveMark::of(&asked_twice(|| store.nodes())?) {
        Some(mark) => Err(mark.refusal().into()),
        None => Ok(()),
    }
}

/// The cluster of the configuration, for who moves its records.
///
/// # Errors
/// As [`founded`] says.
pub fn access(config: &Config) -> anyhow::Result<ClusterAccess<RedisStore>> {
    let (founded, settings) = (founded(config)?, settings(config)?);
    let copies = match settings.copies_missing {
        CopiesMissing::Wait => settings.copies,
        CopiesMissing::GoOn => 0,
    };
    Ok(ClusterAccess {
        store: RedisStore::new(settings, &config.cluster.name, founded.partitions),
        partitions: founded.partitions,
        copies,
        format: partition_format(&founded.store),
        store_id: store_id(&founded)?,
        dead: dead_after(config),
    })
}

/// What the partitions of a store name their format.
pub(super) fn partition_format(store: &str) -> String {
    format!("{FORMAT}.{store}")
}

/// The store's id as a number.
pub(super) fn store_id(founded: &Founding) -> anyhow::Result<u64> {
    u64::from_str_radix(&founded.store, 16).context("the store's id is none")
}

/// A node whose beat stands still for so long is dead.
pub(super) fn dead_after(config: &Config) -> Duration {
    config.cluster.lease * 3 / 2
}

/// Into how many partitions all users fall: those of the cluster, or one.
///
/// # Errors
/// As [`founded`] says.
pub fn partitions(config: &Config) -> anyhow::Result<u16> {
    match config.registry.store {
        StoreKind::Embedded | StoreKind::Memory => Ok(1),
        StoreKind::Shared => Ok(founded(config)?.partitions),
    }
}

fn check(config: &Config, founded: &Founding) -> anyhow::Result<()> {
    let name = &config.cluster.name;
    ensure!(
        (founded.format, founded.hash) == (FORMAT, HASH),
        "the cluster {name:?} has format {}.{}, and this is a gateway for {FORMAT}.{HASH}: use a gateway of its version",
        founded.format,
        founded.hash
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::shared_store::outcome::SharedStoreError;

    #[test]
    fn one_failure_is_not_told_and_a_second_one_is() {
        let check = |fails: usize, expected: Result<usize, &str>| {
            let mut asked = 0;
            let said = asked_twice(|| {
                asked += 1;
                match asked {
                    time if time <= fails => Err(SharedStoreError::Unknown(format!("failure {time}"))),
                    time => Ok(time),
                }
            });
            let expected = expected.map_err(|text| SharedStoreError::Unknown(text.to_owned()));
            assert_eq!(said, expected);
        };
        check(0, Ok(1));
        check(1, Ok(2));
        check(2, Err("failure 2"));
    }
}
