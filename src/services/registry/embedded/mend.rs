//! Damaged tables: one is replaced by a table of all that is intact in it, so that the database can open, merge and prune
//! again. The damaged file is kept in the folder `damaged`, with a note of the keys between which records are lost. Never
//! touches a store that is open.
//!
//! Under a key in such a gap the database may find an older record, or none. Neither is the truth, unless the record
//! is younger than the table, or the table's filter says that the key was never in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::Keyspace;
use lsm_tree::table::Writer;
use lsm_tree::{AbstractTree, Cache, Checksum, SeqNo, Table};
use prost::Message;
use xxhash_rust::xxh3::xxh3_64;

use crate::base::ids::UserId;
use crate::base::limits::USER_ID_BYTES_MAX;
use crate::services::registry::embedded::check::{self, Bad, TABLES, keyspace_folder};
use crate::services::registry::embedded::raw::bytes::{FileFault, numbered};
use crate::services::registry::embedded::raw::manifest::{
    Manifest, ManifestEntry, replace_durably, sync_folder,
};
use crate::services::registry::embedded::raw::table::{self, Gap, behind};

/// Where damaged tables are kept. Nothing removes them.
pub(super) const KEPT: &str = "damaged";
const NOTE_SUFFIX: &str = ".gaps";

const NOTE_DAMAGED: &str = "it is damaged, and with it is lost which records are not the newest";

/// The cache for looking things up in damaged tables, which is rare.
const CACHE_BYTES: u64 = 1 << 20;

/// Keyspaces without which there is no store: a table of theirs is replaced only if nothing is lost.
const NEEDED_WHOLE: [&str; 1] = ["meta"];

#[derive(Clone, PartialEq, Message)]
struct StoredGaps {
    #[prost(string, tag = "1")]
    keyspace: String,
    #[prost(uint64, tag = "2")]
    seqno: u64,
    #[prost(message, repeated, tag = "3")]
    gaps: Vec<StoredGap>,
    /// Of the rest, without this field. Older notes have none.
    #[prost(fixed64, optional, tag = "4")]
    sum: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredGap {
    #[prost(bytes = "vec", tag = "1")]
    from: Vec<u8>,
    #[prost(bytes = "vec", optional, tag = "2")]
    before: Option<Vec<u8>>,
}

/// A table that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mended {
    pub(super) keyspace: String,
    pub(super) bad: Bad,
    /// Records that were intact.
    pub(super) kept: usize,
    /// Where others are lost.
    pub(super) gaps: Vec<Gap>,
}

/// Between which keys the records of a table can be: those of its neighbours in its run are none of its own.
pub(super) fn room(store: &Path, keyspace: u64, table: u64) -> Gap {
    let folder = keyspace_folder(store, keyspace);
    let manifest = Manifest::read(&folder);
    let run = manifest
        .as_ref()
        .map_or(&[][..], |manifest| manifest.run_of(table));
    let ask = |entry: &ManifestEntry| table::ask(&folder.join(TABLES).join(entry.id.to_string()));
    let mut neighbours = run.split(|entry| entry.id == table);
    let before = neighbours.next().and_then(|run| run.iter().rev().find_map(ask));
    let after = neighbours.next().and_then(|run| run.iter().find_map(ask));
    Gap {
        from: before.map_or(Vec::new(), |before| behind(&before.last)),
        before: after.map(|after| after.first),
    }
}

/// Replaces a damaged table.
pub(super) fn replace(store: &Path, keyspace: &str, bad: &Bad) -> Result<Mended, FileFault> {
    let fault = |error: io::Error| FileFault::new(bad.file(), error);
    let folder = keyspace_folder(store, bad.keyspace);
    let path = store.join(bad.file());
    let damaged = table::read(&path).map_err(fault)?;
    let records = damaged.records().map_err(fault)?;
    let gaps = damaged.gaps(&records, &room(store, bad.keyspace, bad.table));
    if needed_whole(keyspace, bad) && !damaged.has_all_records() {
        return Err(FileFault::new(
            bad.file(),
            format_args!("{} of what nothing works without", bad.what),
        ));
    }
    let seqno = damaged.about.as_ref().map_or(SeqNo::MAX, |about| about.seqno);
    keep(store, keyspace, bad, &gaps, seqno).map_err(fault)?;
    let mut manifest = Manifest::read(&folder)?;
    let entry = manifest.tables().find(|entry| entry.id == bad.table);
    let seqno = entry.map_or(0, |entry| entry.seqno);
    let level = manifest.level_of(bad.table).unwrap_or(0);
    let kept = records.iter().map(Vec::len).sum();
    let written = write(&folder, &manifest, level, records).map_err(fault)?;
    let entry = written.map(|(id, sum)| ManifestEntry {
        id,
        sum: sum.into_u128(),
        seqno,
    });
    manifest.replace(bad.table, entry);
    manifest.write(&folder).map_err(fault)?;
    Ok(Mended {
        keyspace: keyspace.to_owned(),
        bad: bad.clone(),
        kept,
        gaps,
    })
}

/// Whether nothing of a table may be lost. What belongs to nobody known may belong to those who need it whole.
fn needed_whole(keyspace: &str, bad: &Bad) -> bool {
    bad.keyspace == check::NAMES || keyspace.is_empty() || NEEDED_WHOLE.contains(&keyspace)
}

/// Keeps the file under another name, which costs nothing, and notes what is lost: before anything is replaced.
fn keep(store: &Path, keyspace: &str, bad: &Bad, gaps: &[Gap], seqno: SeqNo) -> io::Result<()> {
    let folder = store.join(KEPT);
    fs::create_dir_all(&folder)?;
    let name = format!("{keyspace}-{}", bad.table);
    match fs::hard_link(store.join(bad.file()), folder.join(&name)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    note(&folder.join(name + NOTE_SUFFIX), keyspace, gaps, seqno)?;
    sync_folder(store)
}

/// Writes a note, in place of an older one if there is any.
fn note(path: &Path, keyspace: &str, gaps: &[Gap], seqno: SeqNo) -> io::Result<()> {
    let gap = |gap: &Gap| StoredGap {
        from: gap.from.clone(),
        before: gap.before.clone(),
    };
    let mut note = StoredGaps {
        keyspace: keyspace.to_owned(),
        seqno,
        gaps: gaps.iter().map(gap).collect(),
        sum: None,
    };
    note.sum = Some(xxh3_64(&note.encode_to_vec()));
    replace_durably(path, &note.encode_to_vec())
}

/// Reads a note; `None` if it is damaged. An empty file is none: each note has a number.
fn noted(path: &Path) -> io::Result<Option<StoredGaps>> {
    let bytes = fs::read(path)?;
    let Ok(mut note) = StoredGaps::decode(&bytes[..]) else {
        return Ok(None);
    };
    let sum = note.sum.take();
    let sound = sum.is_none_or(|sum| sum == xxh3_64(&note.encode_to_vec()));
    Ok((sound && !bytes.is_empty()).then_some(note))
}

fn write(
    folder: &Path,
    manifest: &Manifest,
    level: usize,
    records: Vec<Vec<lsm_tree::InternalValue>>,
) -> io::Result<Option<(u64, Checksum)>> {
    let tables = folder.join(TABLES);
    let there = numbered(&tables, "")?;
    let known = manifest.tables().map(|entry| entry.id).max();
    let id = there.last().copied().max(known).map_or(0, |last| last + 1);
    let level = u8::try_from(level).map_err(io::Error::other)?;
    let mut writer = Writer::new(tables.join(id.to_string()), id, level).map_err(io::Error::other)?;
    if level > 0 {
        // As the store's own layout has it for merged tables.
        writer = writer.use_partitioned_index().use_partitioned_filter();
    }
    for record in records.into_iter().flatten() {
        writer.write(record).map_err(io::Error::other)?;
    }
    writer.finish().map_err(io::Error::other)
}

/// Users that are lacking in their list.
pub(super) struct Lack {
    /// From this key on.
    pub(super) from: Vec<u8>,
    /// The list goes on behind this UserID, if it does.
    pub(super) behind: Option<UserId>,
}

/// Where records of an open store are lost.
#[derive(Default)]
pub(super) struct Holes(Vec<Hole>);

struct Hole {
    keyspace: String,
    gaps: Vec<Gap>,
    /// Its note.
    note: PathBuf,
    /// No record that may be older than a lost one has a higher number.
    seqno: SeqNo,
    /// The damaged table, if it can be asked what was never in it.
    table: Option<Table>,
}

impl Holes {
    /// Reads the notes.
    pub(super) fn read(store: &Path) -> Result<Self, FileFault> {
        let folder = store.join(KEPT);
        let fault = |error: io::Error| FileFault::new(KEPT, error);
        let mut holes = Vec::new();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            entries => entries.map_err(fault)?,
        };
        for entry in entries {
            let entry = entry.map_err(fault)?;
            let path = entry.path();
            if path.extension().is_some_and(|suffix| suffix == &NOTE_SUFFIX[1..]) {
                let damaged = || FileFault::new(Path::new(KEPT).join(entry.file_name()), NOTE_DAMAGED);
                let note = noted(&path).map_err(fault)?.ok_or_else(damaged)?;
                let hole = Hole::new(note, path);
                holes.extend((!hole.gaps.is_empty()).then_some(hole));
            }
        }
        Ok(Self(holes))
    }

    /// Before anything is written: nothing that is there has a higher number than `highest`, and everything that will be
    /// written has. So that is the most that may be older than what was lost. The table itself may know of a higher one
    /// that was lost, or of none at all, and what is written then must not be taken for old.
    pub(super) fn settle(&mut self, highest: SeqNo) -> io::Result<()> {
        for hole in self.0.iter_mut().filter(|hole| hole.seqno > highest) {
            hole.seqno = highest;
            note(&hole.note, &hole.keyspace, &hole.gaps, highest)?;
        }
        Ok(())
    }

    /// The gaps of a keyspace.
    pub(super) fn of<'a>(&'a self, keyspace: &'a str) -> impl Iterator<Item = &'a Gap> + 'a {
        let holes = self.0.iter().filter(move |hole| hole.keyspace == keyspace);
        holes.flat_map(|hole| &hole.gaps)
    }

    /// The next place in the list of users behind this one where some are lost.
    pub(super) fn next_users(&self, after: Option<&UserId>) -> Option<Lack> {
        let ends_behind = |gap: &&Gap| match gap.before.as_deref().map(just_before) {
            None => true,
            Some(None) => false,
            Some(Some(end)) => after.is_none_or(|after| after.as_bytes() < end.as_bytes()),
        };
        let gap = self
            .of("users")
            .filter(ends_behind)
            .min_by_key(|gap| gap.from.clone())?;
        Some(Lack {
            from: gap.from.clone(),
            behind: gap.before.as_deref().and_then(just_before),
        })
    }

    /// Whether what the database has under a key, a record or none, may be older than what was lost.
    pub(super) fn may_hide(&self, keyspace: &Keyspace, key: &[u8]) -> fjall::Result<bool> {
        let covers =
            |hole: &&Hole| hole.keyspace == **keyspace.name() && hole.gaps.iter().any(|gap| gap.covers(key));
        for hole in self.0.iter().filter(covers) {
            let found = keyspace.tree.get_internal_entry(key, SeqNo::MAX)?;
            let younger = found.is_some_and(|found| found.key.seqno > hole.seqno);
            if !younger && !hole.never_had(key) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Hole {
    fn new(note: StoredGaps, path: PathBuf) -> Self {
        let gap = |gap: StoredGap| Gap {
            from: gap.from,
            before: gap.before,
        };
        Self {
            keyspace: note.keyspace,
            gaps: note.gaps.into_iter().map(gap).collect(),
            seqno: note.seqno,
            table: open(&path.with_extension("")),
            note: path,
        }
    }

    fn never_had(&self, key: &[u8]) -> bool {
        let found = self
            .table
            .as_ref()
            .map(|table| table.get(key, SeqNo::MAX, xxh3_64(key)));
        matches!(found, Some(Ok(None)))
    }
}

/// The last UserID that can stand before this key; `None` if none can.
fn just_before(key: &[u8]) -> Option<UserId> {
    let (last, front) = key.split_last()?;
    let mut name = front.to_vec();
    if *last > b' ' {
        name.push(last - 1);
        name.resize(USER_ID_BYTES_MAX, b'~');
    }
    UserId::new(&name).ok()
}

fn open(path: &Path) -> Option<Table> {
    if !table::look(path).is_ok_and(|faults| faults.is_empty()) {
        return None;
    }
    let cache = Arc::new(Cache::with_capacity_bytes(CACHE_BYTES));
    let sum = Checksum::from_raw(0);
    Table::recover(path.to_owned(), sum, 0, 0, cache, None, true, true).ok()
}
