//! Owns [`FilterIndex`]: topic filters and who subscribed with them, and which of them match a
//! name. Sharing between threads, the groups behind `$share` and what a value means are left to the
//! caller.
//!
//! ```text
//!  filters: a/b  a/c  a/+/d  a/#  +         (root)
//!                                     first /     \ plus
//!   each node knows its `+` and            a       + ........ subscribers of `+`
//!   `#` child and one literal     first / : \ plus \ hash
//!   child by number; the other         /  :  \      \
//!   literal children of all nodes     b   c   +      # ...... subscribers of `a/#`
//!   hang in one table for the         :   :    \ first
//!   whole index (the dotted edge),    :   :     d ........... subscribers of `a/+/d`
//!   keyed (parent, level).            subscribers of `a/b`, of `a/c`
//! ```
//!
//! A node is a `u32` in an arena and holds its level's text and its first subscriber inline: on most
//! paths one step of a match touches one node and nothing else. Levels are not interned: a table of
//! them would be one more place to look, and would save less text than its own entries take.
//!
//! Read first: `matches.rs`, then `tree.rs`, `edges.rs`.

mod edges;
mod generation;
mod node;
mod tree;
mod walk;

use core::fmt;
use core::hash::Hash;

use crate::filter::{TopicFilter, TopicFilterBuf};
use crate::name::TopicName;
use generation::Generations;
use tree::Tree;

pub use generation::Generation;

/// Topic filters with their subscribers, matched by topic name.
///
/// `K` says who subscribed and `V` with which options; both are small copies. One filter holds each
/// `K` once. A shared subscription is a subscriber of its own kind: let `K` be an enum of session
/// and group, and `$share/g/t` and `t` are separate entries; [`SharedGroups`](crate::SharedGroups)
/// numbers the groups and knows their members.
///
/// A match visits one node for each distinct prefix of a stored filter that matches as many levels
/// at the beginning of the name, and no other. It takes memory only when more than 32 of them have
/// the same length. No operation recurses, and none copies or rehashes the index as it grows.
///
/// ```
/// use whinchat_topic::{FilterIndex, TopicFilter, TopicName};
///
/// let mut index = FilterIndex::new();
/// index.insert(TopicFilter::new("bank/account/+/deposit")?, 7_u32, "q1");
/// index.insert(TopicFilter::new("bank/#")?, 9_u32, "q0");
///
/// let mut found = Vec::new();
/// index.for_each_match(TopicName::new("bank/account/BA-1001-2025/deposit")?, |&key, &options| {
///     found.push((key, options));
/// });
/// found.sort_unstable();
/// assert_eq!(found, [(7, "q1"), (9, "q0")]);
/// # Ok::<(), whinchat_topic::TopicError>(())
/// ```
pub struct FilterIndex<K, V> {
    tree: Tree<K, V>,
    generations: Generations,
    len: usize,
}

/// Names the place of one filter in a [`FilterIndex`], so that its subscriptions can be removed
/// without keeping its text.
///
/// It is good as long as the filter has a subscriber; afterwards the number is given to other
/// filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FilterId(u32);

impl<K: Copy + Eq + Hash, V: Copy> FilterIndex<K, V> {
    /// An empty index.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tree: Tree::new(),
            generations: Generations::new(),
            len: 0,
        }
    }

    /// Subscribes `key` with `filter`; gives the value that this replaces, if `key` had one there.
    pub fn insert(&mut self, filter: &TopicFilter, key: K, value: V) -> Option<V> {
        self.insert_at(filter, key, value).1
    }

    /// [`insert`](Self::insert), and where the filter is kept.
    pub fn insert_at(&mut self, filter: &TopicFilter, key: K, value: V) -> (FilterId, Option<V>) {
        self.generations
            .changed(filter.levels().next().unwrap_or_default().as_bytes());
        let node = self.tree.find_or_add(filter.as_str());
        let replaced = self.tree.subscribers_mut(node).insert(key, value);
        self.len += usize::from(replaced.is_none());
        (FilterId(node), replaced)
    }

    /// Ends the subscription of `key` with `filter`; gives its value, or `None` when there was none.
    pub fn remove(&mut self, filter: &TopicFilter, key: &K) -> Option<V> {
        self.remove_at(self.id_of(filter)?, key)
    }

    /// [`remove`](Self::remove) for a filter whose text is not at hand.
    pub fn remove_at(&mut self, id: FilterId, key: &K) -> Option<V> {
        let value = self
            .tree
            .contains(id.0)
            .then(|| self.tree.subscribers_mut(id.0).remove(key))??;
        self.len -= 1;
        self.generations.changed(self.tree.first_level(id.0));
        self.tree.prune(id.0);
        Some(value)
    }

    /// The value that `key` subscribed to `filter` with.
    #[must_use]
    pub fn get(&self, filter: &TopicFilter, key: &K) -> Option<&V> {
        self.tree.subscribers(self.id_of(filter)?.0).get(key)
    }

    /// Who subscribed with exactly this filter, in no particular order.
    #[must_use]
    pub fn subscribers(&self, filter: &TopicFilter) -> &[(K, V)] {
        self.id_of(filter)
            .map_or(&[], |id| self.tree.subscribers(id.0).as_slice())
    }

    /// Where a filter is kept, if it has a subscriber.
    #[must_use]
    pub fn id_of(&self, filter: &TopicFilter) -> Option<FilterId> {
        let node = self.tree.find(filter.as_str())?;
        (!self.tree.subscribers(node).is_empty()).then_some(FilterId(node))
    }

    /// The filter that is kept there, put together from its levels.
    #[must_use]
    pub fn filter_at(&self, id: FilterId) -> Option<TopicFilterBuf> {
        let kept = self.tree.contains(id.0) && !self.tree.subscribers(id.0).is_empty();
        kept.then(|| self.tree.filter(id.0))
    }

    /// Calls `each` for each subscription whose filter matches `name`, in no particular order. A
    /// `key` with several matching filters comes several times.
    ///
    /// Gives the number of nodes visited, the root included: what the match cost.
    pub fn for_each_match(&self, name: &TopicName, mut each: impl FnMut(&K, &V)) -> usize {
        self.tree.walk(name, |subscribers| {
            for (key, value) in subscribers {
                each(key, value);
            }
        })
    }

    /// A stamp that changes whenever the result of a match for `name` may have changed, so that a
    /// result can be kept for as long as the stamp is the same.
    ///
    /// Names with the same first level share one, and a few unrelated first levels may too.
    #[must_use]
    pub fn generation_of(&self, name: &TopicName) -> Generation {
        self.generations.of(name)
    }

    /// The number of subscriptions: pairs of filter and key.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no subscription.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of nodes in the tree, without its root: one for each distinct prefix of a filter.
    #[must_use]
    pub const fn node_count(&self) -> usize {
        self.tree.node_count()
    }

    /// The memory that the index holds, in bytes, room that is not yet used included. The allocator's
    /// own overhead is not.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.tree.memory_bytes() + self.generations.memory_bytes()
    }
}

impl<K: Copy + Eq + Hash, V: Copy> Default for FilterIndex<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> fmt::Debug for FilterIndex<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterIndex")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
