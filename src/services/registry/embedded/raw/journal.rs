//! Journals: one batch after the other, each with a checksum. The database cuts a journal off where it cannot read on, which
//! is right for a batch that was being written at the end, and a silent loss anywhere else. This tells the two apart.

use xxhash_rust::xxh3::xxh3_64;

use crate::services::registry::embedded::raw::bytes::ByteReader;

/// How every batch ends.
const END: &[u8] = b"FJL\x03";

/// What a disk writes as a whole: of a batch that was not written to its end, some such part is still zeros.
const SECTOR_BYTES: usize = 512;

/// Numbers of batches grow by a few. One that leaps is damaged: no checksum covers it.
const LEAP_MAX: u64 = 1 << 32;

/// One change of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct JournalItem {
    pub(in super::super) keyspace: u64,
    pub(in super::super) key: Vec<u8>,
    /// `None`: the key was removed.
    pub(in super::super) value: Option<Vec<u8>>,
}

/// Changes that were written together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct JournalBatch {
    pub(in super::super) seqno: u64,
    pub(in super::super) items: Vec<JournalItem>,
}

/// How a journal was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in super::super) struct JournalWalk {
    /// Places of bytes that are not what was written.
    pub(in super::super) damaged: Vec<usize>,
    /// The last batch was not written to its end: so many bytes of it are there. Nobody was told that it is durable.
    pub(in super::super) torn: Option<usize>,
}

/// Reads all that can be read of a journal.
pub(in super::super) fn walk(journal: &[u8], take: &mut dyn FnMut(JournalBatch)) -> JournalWalk {
    let end = journal
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    let (mut course, mut place, mut before) = (JournalWalk::default(), 0, None);
    while place < end {
        let Some((batch, length)) = batch(&journal[place..]) else {
            if let Some((batch, length)) = with_a_damaged_end(&journal[place..]) {
                course.damaged.push(place);
                before = Some(batch.seqno);
                take(batch);
                place += length;
                continue;
            }
            let Some(next) = next_batch(journal, place + 1, end) else {
                course.end_at(journal, place..end);
                break;
            };
            course.damaged.push(place);
            place = next;
            continue;
        };
        if !follows(before, batch.seqno) {
            course.damaged.push(place);
        }
        before = Some(batch.seqno);
        take(batch);
        place += length;
    }
    course
}

impl JournalWalk {
    fn end_at(&mut self, journal: &[u8], rest: std::ops::Range<usize>) {
        let sectors = rest.start.next_multiple_of(SECTOR_BYTES)..rest.end;
        let sectors = journal
            .get(sectors)
            .unwrap_or_default()
            .chunks_exact(SECTOR_BYTES);
        let unwritten = sectors
            .into_iter()
            .any(|sector| sector.iter().all(|byte| *byte == 0));
        if journal[rest.clone()].ends_with(END) && !unwritten {
            self.damaged.push(rest.start);
        } else {
            self.torn = Some(rest.len());
        }
    }
}

fn follows(before: Option<u64>, seqno: u64) -> bool {
    before.is_none_or(|before| seqno > before && seqno - before < LEAP_MAX)
}

fn next_batch(journal: &[u8], from: usize, end: usize) -> Option<usize> {
    (from..end).find(|place| journal[*place] == 1 && batch(&journal[*place..]).is_some())
}

/// A batch and its length, if it is whole.
fn batch(bytes: &[u8]) -> Option<(JournalBatch, usize)> {
    let (batch, length) = contents(bytes)?;
    let whole = bytes[length..].starts_with(END);
    whole.then_some((batch, length + END.len()))
}

/// A batch whose contents are whole, and behind which stands neither its end nor the first part of it, with nothing written
/// behind that.
fn with_a_damaged_end(bytes: &[u8]) -> Option<(JournalBatch, usize)> {
    let (batch, length) = contents(bytes)?;
    let end = bytes.get(length..length + END.len())?;
    let written = end.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let is_damaged = end != END && !END.starts_with(&end[..written]);
    is_damaged.then_some((batch, length + END.len()))
}

/// A batch whose checksum fits, and its length up to its end mark.
fn contents(bytes: &[u8]) -> Option<(JournalBatch, usize)> {
    let mut cursor = ByteReader { left: bytes };
    if cursor.byte()? != 1 {
        return None;
    }
    let count = cursor.word()?;
    let seqno = cursor.long()?;
    let start = bytes.len() - cursor.left.len();
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(item(&mut cursor)?);
    }
    let checked = &bytes[start..bytes.len() - cursor.left.len()];
    let fits = cursor.byte()? == 3 && cursor.long()? == xxh3_64(checked);
    fits.then(|| (JournalBatch { seqno, items }, bytes.len() - cursor.left.len()))
}

fn item(cursor: &mut ByteReader<'_>) -> Option<JournalItem> {
    if cursor.byte()? != 2 {
        // What clears a keyspace has another tag, and is never written here.
        return None;
    }
    let kind = cursor.byte()?;
    let plain = cursor.byte()? == 0;
    let keyspace = cursor.long()?;
    let key = cursor.short()?;
    let (length, on_disk) = (cursor.word()?, cursor.word()?);
    let key = cursor.take(usize::from(key))?.to_vec();
    let value = cursor.take(length as usize)?.to_vec();
    let value = match kind {
        0 => Some(value),
        1 | 2 => None,
        _ => return None,
    };
    (plain && length == on_disk).then_some(JournalItem { keyspace, key, value })
}
