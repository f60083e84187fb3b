//! How far a move is, for people.

/// Hears what is done, and how many records of it.
pub type MoveProgress<'a> = &'a mut dyn FnMut(&'static str, u64);
