//! Before the database is opened: has the store's files looked at, and damaged tables of records replaced. Opens nothing.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use crate::services::registry::embedded::check::{self, Findings, TableCheck};
use crate::services::registry::embedded::errors::OpenError;
use crate::services::registry::embedded::mend::{self, Mended};

/// How often it is looked whether another process has let go of a store, and how long it is waited between: one that
/// was just killed takes a moment.
const LOCK_TRIES: usize = 3;
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// Keeps other processes out while the files are looked at, as the database does while it is open.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let name = path.join("lock");
    let denied = |error| OpenError::Directory {
        path: name.clone(),
        error,
    };
    let file = File::options()
        .read(true)
        .write(true)
        .open(&name)
        .map_err(denied)?;
    for attempt in 1..=LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(denied(error)),
            Err(TryLockError::WouldBlock) if attempt < LOCK_TRIES => std::thread::sleep(LOCK_WAIT),
            Err(TryLockError::WouldBlock) => {}
        }
    }
    Err(OpenError::InUse(path.to_owned()))
}

/// Looks at the files, and replaces damaged tables of records.
pub(super) fn make_sound(path: &Path, look: TableCheck) -> Result<(), OpenError> {
    let damaged = |faults| OpenError::Damaged {
        path: path.to_owned(),
        faults,
    };
    let findings = check::look(path, look, &mut |_| {});
    if !findings.faults.is_empty() {
        return Err(damaged(findings.faults));
    }
    tell_torn(&findings);
    if findings.tables.is_empty() {
        return Ok(());
    }
    let names = check::names(path);
    for bad in &findings.tables {
        let name = names.get(&bad.keyspace).map_or("", String::as_str);
        let mended = mend::replace(path, name, bad).map_err(|fault| damaged(vec![fault]))?;
        tell_mended(&mended);
    }
    Ok(())
}

fn tell_torn(findings: &Findings) {
    for (journal, bytes) in &findings.torn {
        let journal = journal.display();
        tracing::info!(%journal, bytes, "the last batch was not written to its end, and is dropped");
    }
}

fn tell_mended(mended: &Mended) {
    let (file, what) = (mended.bad.file(), &mended.bad.what);
    let (file, keyspace, kept, gaps) = (file.display(), &mended.keyspace, mended.kept, mended.gaps.len());
    let keys: Vec<_> = mended.gaps.iter().map(|gap| gap.told(keyspace)).collect();
    let keys = keys.join(", ");
    tracing::warn!(
        %file, keyspace, what, kept, gaps, keys,
        "a damaged table was replaced by what is intact in it; `holdfast store verify` says more"
    );
}

pub(super) fn make_directory(path: &Path) -> Result<(), OpenError> {
    // Only the gateway may read who its users are.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| OpenError::Directory {
        path: path.to_owned(),
        error,
    })
}
