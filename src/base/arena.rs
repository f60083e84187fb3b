//! A table of values under small keys, in chunks: it grows without copying and without leaving a hole behind
//! in the allocator. Never shrinks a chunk that was touched.

use slab::Slab;

const CHUNK_BITS: u32 = 12;
/// Values a chunk.
const CHUNK: usize = 1 << CHUNK_BITS;

/// Values of one type under `u32` keys. A key is reused after its value was removed.
#[derive(Debug)]
pub struct Arena<T> {
    chunks: Vec<Slab<T>>,
    /// Chunks with room, the one to fill next last.
    with_room: Vec<u32>,
    length: usize,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            with_room: Vec::new(),
            length: 0,
        }
    }
}

impl<T> Arena<T> {
    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Puts `value` into the table and gives its key.
    pub fn insert(&mut self, value: T) -> u32 {
        let chunk = match self.with_room.last() {
            Some(chunk) => *chunk,
            None => self.grow(),
        };
        let slab = &mut self.chunks[chunk as usize];
        let offset = slab.insert(value);
        if slab.len() == CHUNK {
            self.with_room.pop();
        }
        self.length += 1;
        (chunk << CHUNK_BITS) | u32::try_from(offset).expect("a chunk has fewer than 2^32 places")
    }

    /// Takes the value of `key` out.
    ///
    /// # Panics
    /// If `key` has no value.
    pub fn remove(&mut self, key: u32) -> T {
        let chunk = key >> CHUNK_BITS;
        let slab = &mut self.chunks[chunk as usize];
        if slab.len() == CHUNK {
            self.with_room.push(chunk);
        }
        self.length -= 1;
        slab.remove(offset(key))
    }

    /// The value of `key`, if it has one.
    #[must_use]
    pub fn get(&self, key: u32) -> Option<&T> {
        self.chunks.get((key >> CHUNK_BITS) as usize)?.get(offset(key))
    }

    /// The value of `key`, if it has one.
    pub fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        self.chunks
            .get_mut((key >> CHUNK_BITS) as usize)?
            .get_mut(offset(key))
    }

    /// All values with their keys, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.chunks.iter().zip(0_u32..).flat_map(|(slab, chunk)| {
            slab.iter().map(move |(offset, value)| {
                (
                    (chunk << CHUNK_BITS) | u32::try_from(offset).expect("an offset within a chunk"),
                    value,
                )
            })
        })
    }

    fn grow(&mut self) -> u32 {
        let chunk = u32::try_from(self.chunks.len()).expect("fewer than 2^32 chunks");
        assert!(chunk < 1 << (32 - CHUNK_BITS), "a table has at most 2^32 values");
        self.chunks.push(Slab::with_capacity(CHUNK));
        self.with_room.push(chunk);
        chunk
    }
}

fn offset(key: u32) -> usize {
    (key & ((1 << CHUNK_BITS) - 1)) as usize
}

impl<T> std::ops::Index<u32> for Arena<T> {
    type Output = T;

    fn index(&self, key: u32) -> &T {
        self.get(key).expect("a key in use")
    }
}

impl<T> std::ops::IndexMut<u32> for Arena<T> {
    fn index_mut(&mut self, key: u32) -> &mut T {
        self.get_mut(key).expect("a key in use")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn does_what_a_map_does() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut arena = Arena::default();
        let mut model = BTreeMap::new();
        for step in 0..60_000_u32 {
            if random.u8(..) < 160 {
                let key = arena.insert(step);
                assert_eq!(model.insert(key, step), None, "a key in use was given again");
            } else if let Some(key) = model
                .keys()
                .nth(random.usize(..model.len().clamp(1, 50)))
                .copied()
            {
                assert_eq!(Some(arena.remove(key)), model.remove(&key));
                assert_eq!(arena.get(key), None);
            }
            assert_eq!(arena.len(), model.len());
        }
        assert!(arena.iter().map(|(key, value)| (key, *value)).eq(model));
        assert!(arena.len() > CHUNK, "the test grows past one chunk");
    }
}
