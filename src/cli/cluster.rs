//! `holdfast cluster`: founds a cluster in a shared store, and shows its nodes. Asks no gateway but for `drain`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::client;
use super::moving;
use super::outcome::{CommandFault, print};
use crate::base::ids::PartitionId;
use crate::base::time::Clock;
use crate::node::config::{Config, StoreKind};
use crate::node::shared_store;
use crate::services::registry::moving::{MARK_NAME, MoveMark};
use crate::services::shared_store::calls::{Founding, NodeEntry, NodeState, SharedStore};
use crate::services::shared_store::check::{SettingFault, check_settings};
use crate::services::shared_store::client::RedisStore;
use crate::services::shared_store::keys::PARTITIONS_MAX;
use crate::services::shared_store::outcome::Fence;

/// What is done.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum ClusterCommand {
    /// Founds the cluster of the configuration in its shared store, once for all its nodes. Where it is founded already, nothing happens.
    Create {
        /// Into how many parts all users fall, for all the cluster's time: a power of two. Each node has about the same number of
        /// them. 256 are good for up to 16 nodes, 1024 for 64, 4096 for 256.
        #[arg(long, default_value_t = 256, value_parser = partitions)]
        partitions: u16,
    },
    /// Has the running gateway of this configuration hand over all its users to the other nodes, and end. Nobody sees a change.
    Drain,
    /// Has the running gateway of this configuration go on with a partition although the shared store lacks changes of it that were
    /// confirmed. What is lost stays lost: its users are what the shared store knows of them.
    AcceptLoss {
        /// Its number, as `/v1/cluster` lists it under `behind`.
        partition: u16,
    },
    /// Shows the cluster's nodes, and how many partitions each has. Exit code 6: some have no node.
    Status,
    /// Moves all records of a store on disk into the cluster, which has none yet and no node that runs. The store is not changed, and
    /// no gateway uses it meanwhile. An import that was interrupted is to be called again.
    Import {
        /// The store's folder.
        #[arg(value_name = "DIR")]
        from: PathBuf,
    },
    /// Moves all records of the cluster into a new store on disk. No node runs, and none starts afterwards: the new store is the one
    /// that counts.
    Export {
        /// The new store's folder; it must not exist yet, or be empty.
        #[arg(value_name = "DIR")]
        to: PathBuf,
    },
    /// Lets the nodes of a cluster start again that was exported, with the records that it had by then.
    Reopen,
}

/// One partition is what a gateway has that is no node of a cluster.
const PARTITIONS_MIN: u16 = 2;

/// Some partitions have no owner that lives.
const EXIT_HOMELESS: u8 = 6;

fn partitions(text: &str) -> Result<u16, String> {
    let number: u16 = text
        .parse()
        .map_err(|_| "it is no number up to 4096".to_owned())?;
    match number.is_power_of_two() && (PARTITIONS_MIN..=PARTITIONS_MAX).contains(&number) {
        true => Ok(number),
        false => Err(format!(
            "it is a power of two, from {PARTITIONS_MIN} to {PARTITIONS_MAX}"
        )),
    }
}

/// Does it.
pub(super) async fn cluster(config: &Config, command: &ClusterCommand) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        config.registry.store == StoreKind::Shared,
        "registry.store is not \"redis\": a cluster needs a shared store"
    );
    match command {
        ClusterCommand::Create { partitions } => create(config, *partitions),
        ClusterCommand::Drain => drain(config).await,
        ClusterCommand::AcceptLoss { partition } => accept_loss(config, *partition).await,
        ClusterCommand::Status => status(config),
        ClusterCommand::Import { from } => moving::import(config, from),
        ClusterCommand::Export { to } => moving::export(config, to),
        ClusterCommand::Reopen => moving::reopen(config),
    }
}

/// Everything of the store's servers that is not as a cluster needs it.
pub(super) fn faults(config: &Config) -> anyhow::Result<Vec<SettingFault>> {
    let mut clock = Clock::start();
    let clock = std::cell::RefCell::new(&mut clock);
    let wall_ms = || clock.borrow_mut().now().wall.0;
    Ok(check_settings(&shared_store::settings(config)?, wall_ms)?)
}

/// A fault, and what would do.
pub(super) fn told(fault: &SettingFault) -> String {
    let SettingFault {
        server,
        setting,
        is,
        would_do,
    } = fault;
    format!("{server}: {setting} is {is}; needed is {would_do}")
}

fn create(config: &Config, partitions: u16) -> anyhow::Result<ExitCode> {
    let faults = faults(config)?;
    if !faults.is_empty() {
        let lines = faults.iter().map(|fault| format!("\n  {}", told(fault)));
        anyhow::bail!(
            "the store's servers are not set up for a cluster:{}",
            lines.collect::<String>()
        );
    }
    let Founding {
        store, partitions, ..
    } = shared_store::found(config, partitions)?;
    print(&format!(
        "cluster {:?}: {partitions} partitions, store {store}. Start its nodes.\n",
        config.cluster.name
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Orders something of the running gateway.
async fn order(config: &Config, path: &str, body: &Value) -> anyhow::Result<()> {
    let (status, answer) = client::command(config, path, body).await?;
    if status != 200 {
        let text = client::quoted(answer["error"].as_str().unwrap_or("it was refused"));
        return Err(CommandFault::Refused(text).into());
    }
    Ok(())
}

async fn accept_loss(config: &Config, partition: u16) -> anyhow::Result<ExitCode> {
    order(
        config,
        "/v1/cluster/accept-loss",
        &json!({ "partition": partition }),
    )
    .await?;
    print("The node goes on with what the shared store has of the partition.\n")?;
    Ok(ExitCode::SUCCESS)
}

async fn drain(config: &Config) -> anyhow::Result<ExitCode> {
    order(config, "/v1/cluster/drain", &json!({})).await?;
    print(
        "The node hands over its users, and ends when it has none. `holdfast cluster status` shows how far it is.\n",
    )?;
    Ok(ExitCode::SUCCESS)
}

fn status(config: &Config) -> anyhow::Result<ExitCode> {
    let founded = shared_store::founded(config)?;
    let settings = shared_store::settings(config)?;
    let mut store = RedisStore::new(settings, &config.cluster.name, founded.partitions);
    let (nodes, owners) = (store.nodes()?, store.map()?.owners);
    let (text, homeless) = shown(&founded, &nodes, &owners);
    print(&format!("cluster {:?}: {text}", config.cluster.name))?;
    Ok(match homeless {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(EXIT_HOMELESS),
    })
}

/// The cluster in lines for people, and how many partitions have no owner that takes part.
fn shown(
    founded: &Founding,
    nodes: &[(String, NodeEntry)],
    owners: &[(PartitionId, Fence)],
) -> (String, usize) {
    let mut owned: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, fence) in owners {
        *owned.entry(&fence.owner).or_default() += 1;
    }
    let mut text = format!("{} partitions, store {}\n", founded.partitions, founded.store);
    text.push_str("node  life  state       partitions\n");
    let mut at_home = 0;
    for (name, node) in nodes.iter().filter(|(name, _)| name != MARK_NAME) {
        let partitions = owned
            .get(&*format!("{name}.{}", node.incarnation))
            .copied()
            .unwrap_or(0);
        if !matches!(node.state, NodeState::Dead | NodeState::Left) {
            at_home += partitions;
        }
        let (life, state) = (node.incarnation, node.state.name());
        text.push_str(&format!("{name:<5} {life:<5} {state:<11} {partitions}\n"));
    }
    let homeless = usize::from(founded.partitions) - at_home;
    if let Some(mark) = MoveMark::of(nodes) {
        text.push_str(&format!("no node may start: {}\n", mark.refusal()));
    }
    if homeless > 0 {
        text.push_str(&format!(
            "{homeless} partitions have no node: their users cannot log in\n"
        ));
    }
    (text, homeless)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_a_power_of_two() {
        assert_eq!(partitions("1024"), Ok(1_024));
        assert!(
            ["0", "1", "100", "8192", "many"]
                .iter()
                .all(|text| partitions(text).is_err())
        );
    }

    #[test]
    fn nodes_are_shown_with_what_they_own_in_this_life() {
        let founded = Founding {
            format: 1,
            partitions: 4,
            hash: 1,
            store: "5".to_owned(),
        };
        let node = |incarnation, state| NodeEntry {
            incarnation,
            beat: 9,
            state,
            says: Vec::new(),
        };
        let nodes = [
            ("1".to_owned(), node(3, NodeState::Up)),
            ("2".to_owned(), node(2, NodeState::Dead)),
        ];
        let owned = |partition, owner: &str| {
            (
                PartitionId(partition),
                Fence {
                    owner: owner.into(),
                    epoch: 1,
                },
            )
        };
        let owners = [owned(0, "1.3"), owned(1, "2.2"), owned(2, "1.1"), owned(3, "1.3")];
        let (text, homeless) = shown(&founded, &nodes, &owners);
        let expected = "4 partitions, store 5
node  life  state       partitions
1     3     up          2
2     2     dead        1
2 partitions have no node: their users cannot log in
";
        assert_eq!((text.as_str(), homeless), (expected, 2));
    }
}
