//! A table: blocks of records in the order of their keys, then indexes, filters and what the table says of itself. Each block
//! has a checksum, so what is intact can be told and read beside what is not.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use lsm_tree::table::{Block, DataBlock, Scanner};
use lsm_tree::{CompressionType, InternalValue, SeqNo};
use rustix::fs::{MemfdFlags, memfd_create};
use xxhash_rust::xxh3::xxh3_128;

use crate::services::registry::embedded::raw::archive::{ArchiveSection, CONTENTS_BYTES_MAX, sections};
use crate::services::registry::embedded::raw::bytes::{ByteReader, bytes_in, bytes_of};

const MAGIC: &[u8] = &[b'L', b'S', b'M', 3];
const HEADER_BYTES: usize = 4 + 1 + 16 + 4 + 4 + 4;
/// Kinds of blocks: records, and what a table says of itself.
const DATA: u8 = 0;
const META: u8 = 3;

/// Sections that are no blocks.
const NO_BLOCKS: &[&[u8]] = &[b"table_version"];

/// Sections that the database reads when it opens a table. The rest is read when it is asked for.
const READ_AT_THE_START: &[&[u8]] = &[b"tli", b"filter_tli", b"meta"];

/// A range of keys: from the one, which is among them, to before the other, or to the end of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Gap {
    pub(in super::super) from: Vec<u8>,
    pub(in super::super) before: Option<Vec<u8>>,
}

impl Gap {
    pub(in super::super) fn covers(&self, key: &[u8]) -> bool {
        key >= &self.from[..] && self.before.as_ref().is_none_or(|before| key < &before[..])
    }

    /// The gap for people.
    pub(in super::super) fn told(&self, keyspace: &str) -> String {
        let end = self
            .before
            .as_ref()
            .map_or("the last".to_owned(), |key| told(keyspace, key));
        let start = match &self.from[..] {
            [] => "the first".to_owned(),
            key => told(keyspace, key),
        };
        format!("between {start} and {end}")
    }
}

/// The first key that there can be behind this one.
pub(in super::super) fn behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// A key for people: places are numbers, UserIDs are text.
fn told(keyspace: &str, key: &[u8]) -> String {
    match (keyspace, key.first_chunk::<8>()) {
        ("changes", Some(place)) => u64::from_be_bytes(*place).to_string(),
        _ => String::from_utf8_lossy(key)
            .replace('\0', "")
            .escape_debug()
            .to_string(),
    }
}

/// A table as it was found.
#[derive(Debug)]
pub(in super::super) struct ReadTable {
    bytes: Vec<u8>,
    /// Stretches of intact blocks of records, with how many blocks each has.
    stretches: Vec<(Range<usize>, usize)>,
    /// Places of what is damaged, with what it is.
    pub(in super::super) faults: Vec<(usize, &'static str)>,
    /// What the table says of itself, if it still can.
    pub(in super::super) about: Option<TableSummary>,
    /// Whether records are among what is damaged.
    loses: TableLoss,
}

/// What a table says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct TableSummary {
    pub(in super::super) first: Vec<u8>,
    pub(in super::super) last: Vec<u8>,
    /// The highest number of a change in it.
    pub(in super::super) seqno: SeqNo,
}

/// What becomes of a table's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TableLoss {
    None,
    Some,
}

/// What is damaged in place of records.
const RECORDS: &str = "records";

/// A piece of a file: a block of a kind, or what is none.
struct BlockSpan {
    bytes: Range<usize>,
    kind: Option<u8>,
}

/// Reads a whole table.
pub(in super::super) fn read(path: &Path) -> io::Result<ReadTable> {
    let bytes = bytes_of(path)?;
    let mut table = ReadTable {
        stretches: Vec::new(),
        faults: Vec::new(),
        about: None,
        loses: TableLoss::None,
        bytes,
    };
    match sections(&table.bytes, table.bytes.len()) {
        Some(sections) => sections.iter().for_each(|section| table.take(section)),
        None => table.take_without_contents(),
    }
    Ok(table)
}

/// Looks at what the database reads when it opens a table. Gives what is damaged.
pub(in super::super) fn look(path: &Path) -> io::Result<Vec<&'static str>> {
    let file = File::open(path)?;
    let Some(sections) = contents(&file)? else {
        return Ok(vec!["the table of contents"]);
    };
    let partitioned = sections.iter().any(|section| section.name == b"filter_tli");
    let is_read = |section: &&ArchiveSection| {
        let name = &section.name[..];
        READ_AT_THE_START.contains(&name) || (name == b"filter" && !partitioned)
    };
    let is_damaged = |section: &&ArchiveSection| {
        let bytes = bytes_in(&file, section.bytes.clone());
        block(&bytes).is_none_or(|(_, length)| length != bytes.len())
    };
    let damaged = sections.iter().filter(is_read).filter(is_damaged);
    Ok(damaged.map(|section| named(&section.name)).collect())
}

/// What a table says of itself, if its end is intact.
pub(in super::super) fn ask(path: &Path) -> Option<TableSummary> {
    let file = File::open(path).ok()?;
    let sections = contents(&file).ok()??;
    let meta = sections.into_iter().find(|section| section.name == b"meta")?;
    about(&bytes_in(&file, meta.bytes))
}

/// The table of contents of an open file; `None` if it is damaged.
fn contents(file: &File) -> io::Result<Option<Vec<ArchiveSection>>> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let start = length.saturating_sub(CONTENTS_BYTES_MAX);
    Ok(sections(&bytes_in(file, start..length), length))
}

fn named(section: &[u8]) -> &'static str {
    match section {
        b"data" => RECORDS,
        b"tli" | b"index" => "the index",
        b"filter" | b"filter_tli" => "the filter",
        b"meta" => "what the table says of itself",
        _ => "a part",
    }
}

/// A block's kind and length, if it is intact.
fn block(bytes: &[u8]) -> Option<(u8, usize)> {
    let (kind, sum, length) = header(bytes)?;
    let data = bytes.get(HEADER_BYTES..HEADER_BYTES.checked_add(length)?)?;
    (xxh3_128(data) == sum).then_some((kind, HEADER_BYTES + length))
}

fn header(bytes: &[u8]) -> Option<(u8, u128, usize)> {
    let mut header = ByteReader {
        left: bytes.get(..HEADER_BYTES)?,
    };
    let known = header.take(4)? == MAGIC;
    let (kind, sum, length, _) = (header.byte()?, header.sum()?, header.word()?, header.word()?);
    let checked = xxh3_128(&bytes[..HEADER_BYTES - 4]) as u32;
    (known && header.word()? == checked).then_some((kind, sum, length as usize))
}

/// From block to block; where there is none, to the next that is intact.
fn pieces(bytes: &[u8], range: Range<usize>) -> Vec<BlockSpan> {
    let mut pieces = Vec::new();
    let mut place = range.start;
    while place < range.end {
        let (kind, length) = match block(&bytes[place..range.end]) {
            Some((kind, length)) => (Some(kind), length),
            None => (None, until_a_block(&bytes[place..range.end])),
        };
        let bytes = place..place + length;
        pieces.push(BlockSpan { bytes, kind });
        place += length;
    }
    pieces
}

fn until_a_block(bytes: &[u8]) -> usize {
    let starts = |place: &usize| bytes[*place..].starts_with(MAGIC) && block(&bytes[*place..]).is_some();
    (1..bytes.len()).find(starts).unwrap_or(bytes.len())
}

impl ReadTable {
    fn take(&mut self, section: &ArchiveSection) {
        if NO_BLOCKS.contains(&&section.name[..]) {
            return;
        }
        let is_data = section.name == b"data";
        for piece in pieces(&self.bytes, section.bytes.clone()) {
            match piece.kind {
                Some(DATA) if is_data => self.keep(piece.bytes),
                Some(_) if !is_data => {}
                Some(_) | None => self.faults.push((piece.bytes.start, named(&section.name))),
            }
        }
        if is_data && !self.faults.is_empty() {
            self.loses = TableLoss::Some;
        }
        if section.name == b"meta" {
            self.about = about(&self.bytes[section.bytes.clone()]);
        }
    }

    /// Records come first, and an index right behind them: only an intact block of another kind there tells that these are
    /// all. No table is empty: a file that is was cut off.
    fn take_without_contents(&mut self) {
        self.faults.push((self.bytes.len(), "the table of contents"));
        let pieces = pieces(&self.bytes, 0..self.bytes.len());
        let last = pieces.iter().rposition(|piece| piece.kind == Some(DATA));
        let (records, rest) = pieces.split_at(last.map_or(0, |last| last + 1));
        for piece in records {
            match piece.kind {
                Some(DATA) => self.keep(piece.bytes.clone()),
                Some(_) | None => self.lose_at(piece.bytes.start),
            }
        }
        let ends = !records.is_empty() && rest.first().is_some_and(|piece| piece.kind.is_some());
        if !ends {
            self.lose_at(rest.first().map_or(self.bytes.len(), |piece| piece.bytes.start));
        }
        let meta = pieces.iter().find(|piece| piece.kind == Some(META));
        self.about = meta.and_then(|meta| about(&self.bytes[meta.bytes.clone()]));
    }

    fn lose_at(&mut self, place: usize) {
        self.loses = TableLoss::Some;
        self.faults.push((place, RECORDS));
    }

    /// Whether all its records are intact.
    pub(in super::super) fn has_all_records(&self) -> bool {
        self.loses == TableLoss::None
    }

    fn keep(&mut self, bytes: Range<usize>) {
        match self.stretches.last_mut() {
            Some((stretch, count)) if stretch.end == bytes.start => {
                stretch.end = bytes.end;
                *count += 1;
            }
            _ => self.stretches.push((bytes, 1)),
        }
    }

    /// All records that are intact, in the order of their keys, each with its number and whether it removes the key.
    pub(in super::super) fn records(&self) -> io::Result<Vec<Vec<InternalValue>>> {
        self.stretches
            .iter()
            .map(|(stretch, count)| scan(&self.bytes[stretch.clone()], *count))
            .collect()
    }

    /// Where records are missing. `room` is where the table's records can be at all, for one that cannot say it itself.
    pub(in super::super) fn gaps(&self, records: &[Vec<InternalValue>], room: &Gap) -> Vec<Gap> {
        if self.has_all_records() {
            return Vec::new();
        }
        let (mut from, end) = match &self.about {
            Some(about) => (about.first.clone(), Some(behind(&about.last))),
            None => (room.from.clone(), room.before.clone()),
        };
        let mut gaps = Vec::new();
        for stretch in records {
            let (Some(first), Some(last)) = (stretch.first(), stretch.last()) else {
                continue;
            };
            let gap = Gap {
                from,
                before: Some(first.key.user_key.to_vec()),
            };
            // Nothing is missing before the table's first record.
            gaps.extend((gap.before.as_ref() != Some(&gap.from)).then_some(gap));
            from = behind(&last.key.user_key);
        }
        if end.as_ref() != Some(&from) {
            gaps.push(Gap { from, before: end });
        }
        gaps
    }
}

/// Has the database's own code read blocks, which lie in memory: it reads files only.
fn scan(blocks: &[u8], count: usize) -> io::Result<Vec<InternalValue>> {
    let memory = memfd_create("holdfast-blocks", MemfdFlags::CLOEXEC)?;
    let mut memory = File::from(memory);
    memory.write_all(blocks)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", memory.as_raw_fd()));
    let records = Scanner::new(&path, count, CompressionType::None, 0).map_err(io::Error::other)?;
    records.collect::<Result<_, _>>().map_err(io::Error::other)
}

fn about(mut block: &[u8]) -> Option<TableSummary> {
    let block = Block::from_reader(&mut block, CompressionType::None).ok()?;
    let block = DataBlock::new(block);
    let value = |name: &[u8]| {
        block
            .point_read(name, SeqNo::MAX)
            .map(|found| found.value.to_vec())
    };
    Some(TableSummary {
        first: value(b"key#min")?,
        last: value(b"key#max")?,
        seqno: SeqNo::from_le_bytes(value(b"seqno#max")?.try_into().ok()?),
    })
}
