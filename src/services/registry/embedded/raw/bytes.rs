//! Files as bytes, and numbers read off them. Knows no format.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What a disk may fail to give is left out in pieces of this many bytes: a sector of today's disks.
const SECTOR_BYTES: usize = 4_096;

/// A file is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", file.display())]
pub struct FileFault {
    /// Which, within the store.
    pub file: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

impl FileFault {
    pub(in super::super) fn new(file: impl Into<PathBuf>, what: impl std::fmt::Display) -> Self {
        Self {
            file: file.into(),
            what: what.to_string(),
        }
    }
}

/// All bytes of a file. Those that the disk cannot give are zeros, so that a checksum finds them.
pub(in super::super) fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    Ok(bytes_in(&file, 0..length))
}

/// Bytes of a file, as [`bytes_of`] gives them.
pub(in super::super) fn bytes_in(file: &File, range: Range<usize>) -> Vec<u8> {
    let mut bytes = vec![0; range.len()];
    if file.read_exact_at(&mut bytes, range.start as u64).is_ok() {
        return bytes;
    }
    for (place, sector) in bytes.chunks_mut(SECTOR_BYTES).enumerate() {
        let at = range.start + place * SECTOR_BYTES;
        if file.read_exact_at(sector, at as u64).is_err() {
            sector.fill(0);
        }
    }
    bytes
}

/// Reads numbers off the front of some bytes; `None` at their end.
pub(in super::super) struct ByteReader<'a> {
    pub(in super::super) left: &'a [u8],
}

impl<'a> ByteReader<'a> {
    pub(in super::super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.left.split_at_checked(count)?;
        self.left = left;
        Some(taken)
    }

    pub(in super::super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(in super::super) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(in super::super) fn short(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(in super::super) fn word(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(in super::super) fn long(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(in super::super) fn sum(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }
}

/// The numbers of the files in a folder whose whole name is a number.
pub(in super::super) fn numbered(folder: &Path, suffix: &str) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(suffix));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}
