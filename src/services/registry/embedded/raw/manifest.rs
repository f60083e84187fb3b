//! The manifest of a keyspace: which tables it has, on which levels. Read with its checksum, which the database does not
//! look at: a flipped bit in it would let go of tables. Written anew when a damaged table is replaced.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use crate::services::registry::embedded::raw::archive::{self, sections};
use crate::services::registry::embedded::raw::bytes::{ByteReader, FileFault};

/// Which manifest counts, and its checksum.
const CURRENT: &str = "current";

/// The section that names tables.
const TABLES: &[u8] = b"tables";

/// A table, as its manifest names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct ManifestEntry {
    pub(in super::super) id: u64,
    pub(in super::super) sum: u128,
    pub(in super::super) seqno: u64,
}

/// The tables of a keyspace: levels of runs of tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Manifest {
    id: u64,
    pub(in super::super) levels: Vec<Vec<Vec<ManifestEntry>>>,
    /// Everything else in it, as it was found.
    others: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Whether a keyspace was made at all: one that was not is made anew by the database.
pub(in super::super) fn exists(folder: &Path) -> bool {
    folder.join(CURRENT).exists()
}

impl Manifest {
    /// Reads the manifest that counts.
    pub(in super::super) fn read(folder: &Path) -> Result<Self, FileFault> {
        let path = folder.join(CURRENT);
        let current = fs::read(&path).map_err(|error| FileFault::new(&path, error))?;
        let (id, sum) = current_of(&current).ok_or_else(|| FileFault::new(&path, "it is damaged"))?;
        let path = folder.join(format!("v{id}"));
        let file = fs::read(&path).map_err(|error| {
            FileFault::new(&path, format_args!("{error}; `current` names it, or is damaged"))
        })?;
        if xxh3_128(&file) != sum {
            return Err(FileFault::new(
                &path,
                "it or `current` beside it is damaged: its checksum is not the one there",
            ));
        }
        Self::decode(id, &file).ok_or_else(|| FileFault::new(&path, "it cannot be read"))
    }

    fn decode(id: u64, file: &[u8]) -> Option<Self> {
        let sections = sections(file, file.len())?;
        let mut others = Vec::new();
        let mut levels = None;
        for section in sections {
            let bytes = file.get(section.bytes)?;
            if section.name == TABLES {
                levels = Some(levels_of(&mut ByteReader { left: bytes })?);
            }
            others.push((section.name, bytes.to_vec()));
        }
        Some(Self {
            id,
            levels: levels?,
            others,
        })
    }

    /// All its tables.
    pub(in super::super) fn tables(&self) -> impl Iterator<Item = ManifestEntry> + '_ {
        self.levels.iter().flatten().flatten().copied()
    }

    /// The level that a table is on.
    pub(in super::super) fn level_of(&self, table: u64) -> Option<usize> {
        let holds = |level: &Vec<Vec<ManifestEntry>>| level.iter().flatten().any(|entry| entry.id == table);
        self.levels.iter().position(holds)
    }

    /// The run that a table is in: tables in the order of their keys, of which no two share any.
    pub(in super::super) fn run_of(&self, table: u64) -> &[ManifestEntry] {
        let holds = |run: &&Vec<ManifestEntry>| run.iter().any(|entry| entry.id == table);
        let run = self.levels.iter().flatten().find(holds);
        run.map_or(&[], Vec::as_slice)
    }

    /// Puts another table in the place of one, or none.
    pub(in super::super) fn replace(&mut self, table: u64, by: Option<ManifestEntry>) {
        for level in &mut self.levels {
            for run in &mut *level {
                if let Some(place) = run.iter().position(|entry| entry.id == table) {
                    run.splice(place..=place, by);
                }
            }
            level.retain(|run| !run.is_empty());
        }
    }

    /// Makes it the one that counts: written beside the old one, and named by `current` in one step.
    pub(in super::super) fn write(mut self, folder: &Path) -> io::Result<()> {
        self.id += 1;
        let tables = self.encode_levels();
        let section = |(name, bytes): &(Vec<u8>, Vec<u8>)| match &name[..] {
            TABLES => tables.clone(),
            _ => bytes.clone(),
        };
        let sections: Vec<_> = self
            .others
            .iter()
            .map(|other| (&other.0[..], section(other)))
            .collect();
        let file = archive::write(&sections);
        write_durably(&folder.join(format!("v{}", self.id)), &file)?;
        let mut current = self.id.to_le_bytes().to_vec();
        current.extend(xxh3_128(&file).to_le_bytes());
        current.push(0);
        replace_durably(&folder.join(CURRENT), &current)
    }

    fn encode_levels(&self) -> Vec<u8> {
        let mut bytes = vec![self.levels.len() as u8];
        for level in &self.levels {
            bytes.push(level.len() as u8);
            for run in level {
                bytes.extend((run.len() as u32).to_le_bytes());
                for entry in run {
                    bytes.extend(entry.id.to_le_bytes());
                    bytes.push(0);
                    bytes.extend(entry.sum.to_le_bytes());
                    bytes.extend(entry.seqno.to_le_bytes());
                }
            }
        }
        bytes
    }
}

fn current_of(bytes: &[u8]) -> Option<(u64, u128)> {
    let mut bytes = ByteReader { left: bytes };
    let named = (bytes.long()?, bytes.sum()?);
    (bytes.byte()? == 0 && bytes.left.is_empty()).then_some(named)
}

fn levels_of(bytes: &mut ByteReader<'_>) -> Option<Vec<Vec<Vec<ManifestEntry>>>> {
    let count = bytes.byte()?;
    (0..count).map(|_| runs_of(bytes)).collect()
}

fn runs_of(bytes: &mut ByteReader<'_>) -> Option<Vec<Vec<ManifestEntry>>> {
    let count = bytes.byte()?;
    (0..count).map(|_| run_of(bytes)).collect()
}

fn run_of(bytes: &mut ByteReader<'_>) -> Option<Vec<ManifestEntry>> {
    let count = bytes.word()?;
    (0..count).map(|_| entry_of(bytes)).collect()
}

fn entry_of(bytes: &mut ByteReader<'_>) -> Option<ManifestEntry> {
    let id = bytes.long()?;
    let kind = bytes.byte()?;
    let (sum, seqno) = (bytes.sum()?, bytes.long()?);
    (kind == 0).then_some(ManifestEntry { id, sum, seqno })
}

/// Writes a whole file that is there after a power cut.
pub(in super::super) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_folder(path.parent().unwrap_or(path))
}

/// Writes a whole file in one step: after a power cut it is the new one, or what was there before.
pub(in super::super) fn replace_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    write_durably(Path::new(&aside), bytes)?;
    fs::rename(aside, path)?;
    sync_folder(path.parent().unwrap_or(path))
}

/// Makes durable which files a folder has.
pub(in super::super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
