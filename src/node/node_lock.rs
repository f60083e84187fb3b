//! The lock file of a node of a cluster: who holds it knows that no other process of this host is the node, and that the one before
//! is gone. It is never removed.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::config::Config;
use super::startup_wait::StartupWait;
use crate::services::cluster::token::Site;

/// Names each start of the system.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A held lock file.
#[derive(Debug)]
pub(super) struct NodeLock {
    site: Site,
    /// The lock lasts as long as it is open.
    _file: File,
}

impl NodeLock {
    /// Takes the lock of the configuration's node, once an earlier process has let go of it.
    ///
    /// # Errors
    /// If another process has it, or the folder cannot be written.
    pub(super) fn take(config: &Config) -> anyhow::Result<Self> {
        let (folder, cluster) = (&config.registry.path, &config.cluster);
        fs::create_dir_all(folder).with_context(|| format!("registry.path: {}", folder.display()))?;
        let path = folder.join(format!("{}-{}.lock", cluster.name, cluster.node.0));
        let file = open(&path).with_context(|| format!("registry.path: {}", path.display()))?;
        let attempt = || flock(&file, FlockOperation::NonBlockingLockExclusive);
        let is_taken = |error: &Errno| *error == Errno::WOULDBLOCK;
        let locked = StartupWait(config.startup_wait).wait_for(attempt, is_taken, |_| {
            tracing::warn!(path = %path.display(), "another process is this node: waiting for its end");
        });
        locked.with_context(|| {
            format!(
                "cluster.node: another process of this host is node {} ({})",
                cluster.node.0,
                path.display()
            )
        })?;
        let site = site(&file, &path)?;
        Ok(Self { site, _file: file })
    }

    pub(super) fn site(&self) -> Site {
        self.site
    }
}

fn open(path: &PathBuf) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    options.open(path)
}

/// The host's start, and the file: after a start of the system, or from another folder, it is another site.
fn site(file: &File, path: &Path) -> anyhow::Result<Site> {
    let boot = fs::read_to_string(BOOT_ID).context(BOOT_ID)?;
    let about = file.metadata().with_context(|| path.display().to_string())?;
    Ok(Site::of(boot.trim(), &format!("{} {}", about.dev(), about.ino())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;
    use crate::node::config::Sources;

    #[test]
    fn one_process_has_the_lock_and_each_node_and_folder_is_a_site() {
        let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let mut config = Config::read(&Sources::default()).unwrap();
        config.startup_wait = Duration::ZERO;
        let mut take = |folder: &TempDir, node: u16| {
            config.registry.path = folder.path().join("data");
            config.cluster.node.0 = node;
            NodeLock::take(&config)
        };
        let first = take(&folder, 1).unwrap();
        let refused = take(&folder, 1).unwrap_err();
        assert!(format!("{refused:#}").contains("node 1"), "{refused:#}");
        let (second, elsewhere) = (take(&folder, 2).unwrap(), take(&other, 1).unwrap());
        assert!(first.site() != second.site() && first.site() != elsewhere.site());
        let site = first.site();
        drop(first);
        assert_eq!(take(&folder, 1).unwrap().site(), site);
    }
}
