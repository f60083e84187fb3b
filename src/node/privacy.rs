//! Keeps other users of the host from what the process writes, and everyone from what it knows. Set once, before there are
//! threads and files.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, set_dumpable_behavior, umask};

use super::config::CoreDumps;

/// Files that are made from now on are for nobody else, whoever may read the folder.
pub fn keep_files_private() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Begins all of it: [`keep_files_private`], and, unless it is wanted, no core dump has the secrets in the process's memory,
/// and no other process of the same user may look into it. So the secrets' pages need no marks of their own.
///
/// # Errors
/// If the system refuses it.
pub fn begin(core_dumps: CoreDumps) -> io::Result<()> {
    keep_files_private();
    match core_dumps {
        CoreDumps::Allowed => Ok(()),
        CoreDumps::None => Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?),
    }
}

/// The mode of a folder that others than its owner may read, write or search.
pub(super) fn open_to_others(folder: &Path) -> Option<u32> {
    let mode = std::fs::metadata(folder).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

/// The mode of a file that every user may read or write.
pub(super) fn open_to_everyone(file: &Path) -> Option<u32> {
    let mode = std::fs::metadata(file).ok()?.permissions().mode() & 0o777;
    (mode & 0o006 != 0).then_some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_everyone_may_read_is_noticed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, expected) in [
            (0o600, None),
            (0o640, None),
            (0o644, Some(0o644)),
            (0o602, Some(0o602)),
        ] {
            std::fs::set_permissions(file.path(), PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(open_to_everyone(file.path()), expected);
        }
    }

    #[test]
    fn a_folder_that_others_may_read_is_noticed() {
        let folder = tempfile::TempDir::new().unwrap();
        for (mode, expected) in [(0o700, None), (0o750, Some(0o750)), (0o701, Some(0o701))] {
            std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(open_to_others(folder.path()), expected);
        }
        assert_eq!(open_to_others(Path::new("/nowhere/at/all")), None);
    }

    #[test]
    fn a_gateway_leaves_no_core_dump_unless_it_is_wanted() {
        let now = || rustix::process::dumpable_behavior().unwrap();
        set_dumpable_behavior(DumpableBehavior::Dumpable).unwrap();
        begin(CoreDumps::Allowed).unwrap();
        assert_eq!(now(), DumpableBehavior::Dumpable);
        begin(CoreDumps::None).unwrap();
        assert_eq!(now(), DumpableBehavior::NotDumpable);
        set_dumpable_behavior(DumpableBehavior::Dumpable).unwrap();
        assert_eq!(umask(Mode::RWXG | Mode::RWXO), Mode::RWXG | Mode::RWXO);
    }
}
