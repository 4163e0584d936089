//! Owns [`SharedGroups`]: which groups share a subscription, and who is in them. Which member gets
//! a message is left to the caller.
//!
//! Read first: MQTT 5.0 section 4.8.2.

use core::fmt;
use core::hash::Hash;

use hashbrown::HashTable;

use crate::arena::Arena;
use crate::shared::{SharedFilter, SharedFilterBuf};
use crate::subscribers::Subscribers;
use crate::text_hasher::TextHasher;

/// The groups of shared subscriptions and their members.
///
/// A group is a ShareName and a filter; it exists while it has a member, and has a small number to
/// stand for it as a subscriber in a [`FilterIndex`](crate::FilterIndex). `K` and `V` are as there:
/// who is a member, and with which options.
///
/// ```
/// use whinchat_topic::{FilterIndex, GroupId, SharedGroups, Subscribed, TopicFilter, TopicName};
///
/// #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
/// enum Subscriber {
///     Session(u32),
///     Group(GroupId),
/// }
///
/// let mut groups = SharedGroups::new();
/// let mut index = FilterIndex::new();
/// let Subscribed::Shared(workers) = Subscribed::parse("$share/workers/jobs/+")? else { panic!() };
/// for session in [1_u32, 2] {
///     let (group, _) = groups.join(workers, session, "q1");
///     index.insert(workers.filter(), Subscriber::Group(group), ());
/// }
/// index.insert(TopicFilter::new("jobs/+")?, Subscriber::Session(3), ());
///
/// let mut found = Vec::new();
/// index.for_each_match(TopicName::new("jobs/7")?, |&subscriber, ()| found.push(subscriber));
/// let group = groups.id_of(workers).expect("it has members");
/// assert_eq!(found, [Subscriber::Group(group), Subscriber::Session(3)]);
/// assert_eq!(groups.members(group).len(), 2);
/// # Ok::<(), whinchat_topic::TopicError>(())
/// ```
pub struct SharedGroups<K, V> {
    groups: Arena<Option<Group<K, V>>>,
    /// The numbers of the groups, by ShareName and filter.
    numbers: HashTable<u32>,
    hasher: TextHasher,
}

/// Stands for a group of a [`SharedGroups`]. It is good as long as the group has a member;
/// afterwards the number is given to other groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(u32);

struct Group<K, V> {
    shared: SharedFilterBuf,
    members: Subscribers<K, V>,
}

impl<K: Copy + Eq + Hash, V: Copy> SharedGroups<K, V> {
    /// No groups.
    #[must_use]
    pub fn new() -> Self {
        let hasher = TextHasher::new();
        Self {
            groups: Arena::new(),
            numbers: HashTable::new(),
            hasher,
        }
    }

    /// Makes `key` a member; gives the group, which is made for its first member, and the value that
    /// this replaces, if `key` was a member.
    pub fn join(&mut self, shared: SharedFilter<'_>, key: K, value: V) -> (GroupId, Option<V>) {
        let number = self.find(shared).unwrap_or_else(|| self.add(shared));
        let group = self.groups[number].as_mut();
        let replaced = group.and_then(|group| group.members.insert(key, value));
        (GroupId(number), replaced)
    }

    /// Ends the membership of `key`; gives the group and the value. After the last member has left,
    /// [`members`](Self::members) is empty and the group's own subscription is to be removed.
    pub fn leave(&mut self, shared: SharedFilter<'_>, key: &K) -> Option<(GroupId, V)> {
        let number = self.find(shared)?;
        let group = self.groups[number].as_mut()?;
        let value = group.members.remove(key)?;
        if group.members.is_empty() {
            self.forget(number, shared);
        }
        Some((GroupId(number), value))
    }

    /// The group of a ShareName and filter, if it has a member.
    #[must_use]
    pub fn id_of(&self, shared: SharedFilter<'_>) -> Option<GroupId> {
        self.find(shared).map(GroupId)
    }

    /// Who is in the group, in no particular order.
    #[must_use]
    pub fn members(&self, group: GroupId) -> &[(K, V)] {
        self.group(group)
            .map_or(&[], |group| group.members.as_slice())
    }

    /// The value that `key` joined with.
    #[must_use]
    pub fn get(&self, group: GroupId, key: &K) -> Option<&V> {
        self.group(group)?.members.get(key)
    }

    /// The ShareName and filter of the group.
    #[must_use]
    pub fn shared_filter(&self, group: GroupId) -> Option<SharedFilter<'_>> {
        Some(self.group(group)?.shared.as_shared_filter())
    }

    /// The number of groups.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there is no group.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn group(&self, group: GroupId) -> Option<&Group<K, V>> {
        self.groups.get(group.0)?.as_ref()
    }

    fn find(&self, shared: SharedFilter<'_>) -> Option<u32> {
        let is_it = |&number: &u32| self.shared_filter(GroupId(number)) == Some(shared);
        self.numbers
            .find(hash_of(&self.hasher, shared), is_it)
            .copied()
    }

    fn add(&mut self, shared: SharedFilter<'_>) -> u32 {
        let group = Group {
            shared: shared.to_owned(),
            members: Subscribers::None,
        };
        let number = self.groups.insert(Some(group));
        let (groups, hasher) = (&self.groups, &self.hasher);
        let rehash = |number: &u32| {
            let group = groups[*number].as_ref();
            group.map_or(0, |group| hash_of(hasher, group.shared.as_shared_filter()))
        };
        self.numbers.insert_unique(rehash(&number), number, rehash);
        number
    }

    fn forget(&mut self, number: u32, shared: SharedFilter<'_>) {
        self.groups.remove(number);
        let hash = hash_of(&self.hasher, shared);
        if let Ok(entry) = self.numbers.find_entry(hash, |&found| found == number) {
            entry.remove();
        }
    }
}

impl<K: Copy + Eq + Hash, V: Copy> Default for SharedGroups<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> fmt::Debug for SharedGroups<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedGroups")
            .field("len", &self.numbers.len())
            .finish_non_exhaustive()
    }
}

fn hash_of(hasher: &TextHasher, shared: SharedFilter<'_>) -> u64 {
    let [group, filter] = [shared.group(), shared.filter().as_str()];
    hasher.hash(group.as_bytes()).rotate_left(1) ^ hasher.hash(filter.as_bytes())
}
