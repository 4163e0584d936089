//! Owns the change counters: by first level, and one for filters that begin with a wildcard.

use alloc::boxed::Box;
use alloc::vec;

use crate::name::TopicName;
use crate::text_hasher::TextHasher;

/// A stamp of [`FilterIndex::generation_of`](crate::FilterIndex::generation_of). Stamps of the same
/// index and the same first level are equal only if nothing changed in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Generation {
    first_level: u64,
    wildcard: u64,
}

pub(super) struct Generations {
    /// Counters outlive the levels they stand for, or a level that goes and comes back would show
    /// an old stamp: so there is a fixed number of them, and levels share them by hash.
    by_first_level: Box<[u64]>,
    wildcard: u64,
    hasher: TextHasher,
}

const COUNTERS: usize = 256;

impl Generations {
    pub(super) fn new() -> Self {
        Self {
            by_first_level: vec![0; COUNTERS].into_boxed_slice(),
            wildcard: 0,
            hasher: TextHasher::new(),
        }
    }

    /// A filter with this first level came, went or got another value.
    pub(super) fn changed(&mut self, first_level: &[u8]) {
        if matches!(first_level, b"+" | b"#") {
            self.wildcard += 1;
        } else {
            let slot = self.slot(first_level);
            self.by_first_level[slot] += 1;
        }
    }

    pub(super) fn of(&self, name: &TopicName) -> Generation {
        let first_level = name.levels().next().unwrap_or_default().as_bytes();
        Generation {
            first_level: self.by_first_level[self.slot(first_level)],
            // Filters that begin with a wildcard do not match these names.
            wildcard: if name.starts_with_dollar() {
                0
            } else {
                self.wildcard
            },
        }
    }

    /// The bytes held beyond `Self`.
    pub(super) const fn memory_bytes(&self) -> usize {
        size_of::<[u64; COUNTERS]>()
    }

    fn slot(&self, first_level: &[u8]) -> usize {
        self.hasher.hash(first_level) as usize % COUNTERS
    }
}
