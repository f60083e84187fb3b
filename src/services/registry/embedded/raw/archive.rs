//! The frame that tables and manifests have in common: named sections, a table of contents with a checksum, and a trailer
//! that says where it lies. Knows no section's content.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_128;

use crate::services::registry::embedded::raw::bytes::ByteReader;

const TRAILER: &[u8] = b"SFA!";
const CONTENTS: &[u8] = b"TOC!";
const TRAILER_BYTES: usize = 4 + 1 + 1 + 16 + 8 + 8;

/// A named part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct ArchiveSection {
    pub(in super::super) name: Vec<u8>,
    pub(in super::super) bytes: Range<usize>,
}

/// Sections are named in the last bytes of a file. Theirs never take more than this.
pub(in super::super) const CONTENTS_BYTES_MAX: usize = 4_096;

/// The sections of a file, by its last bytes; `None` if the frame is damaged.
pub(in super::super) fn sections(end: &[u8], file_bytes: usize) -> Option<Vec<ArchiveSection>> {
    let (body, trailer) = end.split_at_checked(end.len().checked_sub(TRAILER_BYTES)?)?;
    let mut trailer = ByteReader { left: trailer };
    let known = trailer.take(4)? == TRAILER && trailer.byte()? == 1 && trailer.byte()? == 0;
    let sum = trailer.sum()?;
    let start = usize::try_from(trailer.long()?).ok()?;
    let contents = body.get(start.checked_sub(file_bytes - end.len())?..)?;
    let sound = known && trailer.long()? == contents.len() as u64 && xxh3_128(contents) == sum;
    let mut contents = ByteReader { left: contents };
    if !sound || contents.take(4)? != CONTENTS {
        return None;
    }
    let count = contents.word()?;
    (0..count).map(|_| section(&mut contents, start)).collect()
}

fn section(contents: &mut ByteReader<'_>, end: usize) -> Option<ArchiveSection> {
    let position = usize::try_from(contents.long()?).ok()?;
    let length = usize::try_from(contents.long()?).ok()?;
    let name = contents.short()?;
    let name = contents.take(usize::from(name))?.to_vec();
    let bytes = position..position.checked_add(length)?;
    (bytes.end <= end).then_some(ArchiveSection { name, bytes })
}

/// A file of these sections.
pub(in super::super) fn write(sections: &[(&[u8], Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut contents = CONTENTS.to_vec();
    contents.extend((sections.len() as u32).to_le_bytes());
    for (name, bytes) in sections {
        contents.extend((file.len() as u64).to_le_bytes());
        contents.extend((bytes.len() as u64).to_le_bytes());
        contents.extend((name.len() as u16).to_le_bytes());
        contents.extend(*name);
        file.extend(bytes);
    }
    let start = file.len() as u64;
    let sum = xxh3_128(&contents);
    let length = contents.len() as u64;
    file.extend(contents);
    file.extend(TRAILER);
    file.extend([1, 0]);
    file.extend(sum.to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend(length.to_le_bytes());
    file
}
