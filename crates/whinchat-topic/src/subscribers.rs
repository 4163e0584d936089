//! Owns [`Subscribers`]: who subscribed with one filter. Most filters have one subscriber, some
//! have a hundred thousand.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hash};
use core::{mem, slice};

use hashbrown::{DefaultHashBuilder, HashTable};

pub(crate) enum Subscribers<K, V> {
    None,
    One((K, V)),
    Many(Box<Many<K, V>>),
}

pub(crate) struct Many<K, V> {
    entries: Vec<(K, V)>,
    /// Where each key stands in `entries`, from `INDEXED_MIN` entries on; empty below.
    positions: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// From how many entries on a key is looked up by hash and not by a scan.
const INDEXED_MIN: usize = 32;

impl<K, V> Subscribers<K, V> {
    pub(crate) const fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(crate) fn as_slice(&self) -> &[(K, V)] {
        match self {
            Self::None => &[],
            Self::One(entry) => slice::from_ref(entry),
            Self::Many(many) => &many.entries,
        }
    }

    /// The bytes held beyond `Self`.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Self::None | Self::One(_) => 0,
            Self::Many(many) => {
                size_of::<Many<K, V>>()
                    + many.entries.capacity() * size_of::<(K, V)>()
                    + many.positions.allocation_size()
            }
        }
    }
}

impl<K: Copy + Eq + Hash, V: Copy> Subscribers<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let at = match self {
            Self::None => return None,
            Self::One(entry) => (entry.0 == *key).then_some(0)?,
            Self::Many(many) => many.position(key)?,
        };
        self.as_slice().get(at).map(|(_, value)| value)
    }

    /// Gives the value that this replaces.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self {
            Self::None => *self = Self::One((key, value)),
            Self::One(entry) if entry.0 == key => return Some(mem::replace(&mut entry.1, value)),
            Self::One(entry) => {
                let mut many = Many {
                    entries: Vec::with_capacity(4),
                    positions: HashTable::new(),
                    hasher: DefaultHashBuilder::default(),
                };
                many.entries.extend([*entry, (key, value)]);
                *self = Self::Many(Box::new(many));
            }
            Self::Many(many) => match many.position(&key) {
                Some(at) => return Some(mem::replace(&mut many.entries[at].1, value)),
                None => many.push(key, value),
            },
        }
        None
    }

    /// Gives the value that this removes.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        match self {
            Self::None => None,
            Self::One(entry) if entry.0 != *key => None,
            Self::One(entry) => {
                let value = entry.1;
                *self = Self::None;
                Some(value)
            }
            Self::Many(many) => {
                let value = many.swap_remove(many.position(key)?);
                if let [entry] = many.entries[..] {
                    *self = Self::One(entry);
                }
                Some(value)
            }
        }
    }
}

impl<K: Copy + Eq + Hash, V: Copy> Many<K, V> {
    fn position(&self, key: &K) -> Option<usize> {
        if self.positions.is_empty() {
            return self.entries.iter().position(|entry| entry.0 == *key);
        }
        let hash = self.hasher.hash_one(key);
        let found = self
            .positions
            .find(hash, |&at| self.entries[at as usize].0 == *key);
        found.map(|&at| at as usize)
    }

    /// `key` must not be in it.
    fn push(&mut self, key: K, value: V) {
        self.entries.push((key, value));
        let unindexed = match (self.entries.len(), self.positions.is_empty()) {
            (..INDEXED_MIN, true) => return,
            (_, true) => 0,
            (len, false) => len - 1,
        };
        for at in unindexed..self.entries.len() {
            let (entries, hasher) = (&self.entries, &self.hasher);
            let hash_at = |&at: &u32| hasher.hash_one(entries[at as usize].0);
            // A key takes four bytes or more, so that memory ends before the numbers do.
            let at = at as u32;
            self.positions.insert_unique(hash_at(&at), at, hash_at);
        }
    }

    fn swap_remove(&mut self, at: usize) -> V {
        let last = self.entries.len() - 1;
        if !self.positions.is_empty() {
            let hash_at = |at: usize| self.hasher.hash_one(self.entries[at].0);
            let (removed, moved) = (hash_at(at), hash_at(last));
            if let Ok(entry) = self
                .positions
                .find_entry(removed, |&found| found as usize == at)
            {
                entry.remove();
            }
            if let Some(found) = self
                .positions
                .find_mut(moved, |&found| found as usize == last)
            {
                *found = at as u32;
            }
        }
        let (_, value) = self.entries.swap_remove(at);
        self.give_back();
        value
    }

    /// Returns memory once a quarter is used; half of it stays, so that churn costs no copying.
    fn give_back(&mut self) {
        let len = self.entries.len();
        if len < INDEXED_MIN / 2 {
            self.positions = HashTable::new();
        }
        if self.entries.capacity() > 8 && len < self.entries.capacity() / 4 {
            self.entries.shrink_to(len * 2);
            let (entries, hasher) = (&self.entries, &self.hasher);
            self.positions
                .shrink_to(len * 2, |&at| hasher.hash_one(entries[at as usize].0));
        }
    }
}
