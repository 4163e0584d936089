//! Owns [`NameIndex`]: topic names with a value each, walked by a filter. What the value means
//! (retained messages, mostly) and how long it lives are left to the caller.
//!
//! The names stand in one ordered map, level by level, so that all names below a prefix are
//! neighbours. A filter is a walk through that order which leaps over what cannot match: after each
//! name that does not match, it knows the least name that could. Nothing hangs on a node, so a scan
//! can stop anywhere and go on after any change, and a name of 65,535 empty levels is one entry.
//!
//! Read first: `levels.rs` for the order, `matches.rs`.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::cmp::Ordering;
use core::fmt;
use core::ops::Bound;

use crate::filter::TopicFilter;
use crate::name::{TopicName, TopicNameBuf};

/// Topic names with a value each, matched by topic filter.
///
/// ```
/// use whinchat_topic::{NameIndex, TopicFilter, TopicName};
///
/// let mut retained = NameIndex::new();
/// retained.insert(TopicName::new("sensors/temperature/lab1")?, 22.5);
/// retained.insert(TopicName::new("sensors/humidity/lab1")?, 40.0);
///
/// let mut found = Vec::new();
/// retained.for_each_match(TopicFilter::new("sensors/+/lab1")?, |name, value| {
///     found.push((name.to_string(), *value));
/// });
/// assert_eq!(found[1], ("sensors/temperature/lab1".to_string(), 22.5));
/// # Ok::<(), whinchat_topic::TopicError>(())
/// ```
pub struct NameIndex<V> {
    names: BTreeMap<TopicNameBuf, V>,
    /// The bytes of all names together.
    text_bytes: usize,
}

/// Where a [`NameIndex::scan`] goes on: an order, not an entry, so that it stays good whatever is
/// inserted or removed in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The least name that was not looked at.
    from: String,
}

impl<V> NameIndex<V> {
    /// An empty index.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            names: BTreeMap::new(),
            text_bytes: 0,
        }
    }

    /// Sets the value of a name; gives the one that this replaces.
    pub fn insert(&mut self, name: &TopicName, value: V) -> Option<V> {
        if let Some(kept) = self.names.get_mut(name) {
            return Some(core::mem::replace(kept, value));
        }
        self.text_bytes += name.as_str().len();
        self.names.insert(name.into(), value)
    }

    /// Removes a name; gives its value.
    pub fn remove(&mut self, name: &TopicName) -> Option<V> {
        let value = self.names.remove(name)?;
        self.text_bytes -= name.as_str().len();
        Some(value)
    }

    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &TopicName) -> Option<&V> {
        self.names.get(name)
    }

    /// The value of a name, to be changed in place.
    pub fn get_mut(&mut self, name: &TopicName) -> Option<&mut V> {
        self.names.get_mut(name)
    }

    /// All names with their values, each name directly before the names below it.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicName, &V)> {
        self.names.iter().map(|(name, value)| (&**name, value))
    }

    /// Calls `each` for each name that `filter` matches, in order.
    pub fn for_each_match(&self, filter: &TopicFilter, each: impl FnMut(&TopicName, &V)) {
        let rest = self.scan(filter, None, usize::MAX, each);
        debug_assert!(rest.is_none());
    }

    /// Goes through the names that `filter` matches, at most `looks` steps at a time.
    ///
    /// The first call has no cursor; each further one takes the cursor of the call before, with the
    /// same filter, until `None` says that all is done. A step is one name looked at, so that the
    /// time of a call is bounded even if nothing matches; `each` is called at most once per step.
    ///
    /// The index may change between the calls: a name that is in it from the first call to the last
    /// comes exactly once, a name that comes or goes in between comes once or not at all. Names come
    /// in order.
    pub fn scan(
        &self,
        filter: &TopicFilter,
        cursor: Option<Cursor>,
        looks: usize,
        mut each: impl FnMut(&TopicName, &V),
    ) -> Option<Cursor> {
        let mut from = cursor.map_or_else(|| literal_prefix(filter).into(), |cursor| cursor.from);
        let mut looks_left = looks;
        loop {
            let bound: Bound<&TopicName> = Bound::Included(TopicName::from_validated(&from));
            let mut leap = None;
            for (name, value) in self.names.range::<TopicName, _>((bound, Bound::Unbounded)) {
                if looks_left == 0 {
                    from.clear();
                    from.push_str(name.as_str());
                    return Some(Cursor { from });
                }
                looks_left -= 1;
                match step(filter, name.as_str()) {
                    Step::Match => each(name, value),
                    Step::Leap { keep, then } => {
                        leap = Some((&name.as_str()[..keep], then));
                        break;
                    }
                    Step::Done => return None,
                }
            }
            let (kept, then) = leap?;
            from.clear();
            from.push_str(kept);
            then.append_to(&mut from);
        }
    }

    /// The number of names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The memory that the index holds, in bytes: names, values and the map between them. The map
    /// does not say how full its nodes are, so they count as two thirds full, which is what they
    /// are after insertions in no particular order. What a value owns elsewhere, and the allocator's
    /// own overhead, is not in it.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let entry_bytes = size_of::<(TopicNameBuf, V)>() + size_of::<usize>();
        size_of::<Self>() + self.text_bytes + self.len() * entry_bytes * 3 / 2
    }
}

impl<V> Default for NameIndex<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> fmt::Debug for NameIndex<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NameIndex")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// What to do about one name.
enum Step<'a> {
    /// It matches.
    Match,
    /// It does not; the least name that can is its first `keep` bytes with something behind them.
    Leap { keep: usize, then: Then<'a> },
    /// Neither it nor any name after it matches.
    Done,
}

/// What stands behind the kept bytes of a leap.
enum Then<'a> {
    /// This level, in place of the name's.
    Level(&'a str),
    /// One more level: this one, or any if it is a wildcard.
    Below(&'a str),
    /// What comes after all names below the kept bytes.
    After,
}

impl Then<'_> {
    fn append_to(&self, text: &mut String) {
        match *self {
            Self::Level(level) => text.push_str(level),
            Self::Below(level) => {
                text.push('/');
                text.push_str(if level == "+" { "" } else { level });
            }
            // `/` is the least character and U+0000 none, so U+0001 is the next.
            Self::After => text.push('\u{1}'),
        }
    }
}

/// Compares a name with a filter, and says where the next match can be.
fn step<'a>(filter: &'a TopicFilter, name: &str) -> Step<'a> {
    if filter.starts_with_wildcard() && name.starts_with('$') {
        // Beyond all names that begin with `$`: the next character. v5 [MQTT-4.7.2-1]
        return Step::Leap {
            keep: 0,
            then: Then::Level("%"),
        };
    }
    // Up to the end of the last level that a `+` stands for: there the walk can move on when
    // everything below is done.
    let mut plus_end = None;
    let beyond = |plus_end: Option<usize>| {
        plus_end.map_or(Step::Done, |keep| Step::Leap {
            keep,
            then: Then::After,
        })
    };
    let mut name_levels = name.split('/');
    let mut start = 0;
    for filter_level in filter.levels() {
        if filter_level == "#" {
            return Step::Match;
        }
        let Some(name_level) = name_levels.next() else {
            return Step::Leap {
                keep: name.len(),
                then: Then::Below(filter_level),
            };
        };
        if filter_level == "+" {
            plus_end = Some(start + name_level.len());
        } else {
            match name_level.cmp(filter_level) {
                Ordering::Equal => {}
                Ordering::Less => {
                    return Step::Leap {
                        keep: start,
                        then: Then::Level(filter_level),
                    };
                }
                Ordering::Greater => return beyond(plus_end),
            }
        }
        start += name_level.len() + 1;
    }
    if name_levels.next().is_none() {
        Step::Match
    } else {
        beyond(plus_end)
    }
}

/// The levels before the first wildcard: where the names that can match begin.
fn literal_prefix(filter: &TopicFilter) -> &str {
    let text = filter.as_str();
    match text.find(['+', '#']) {
        Some(wildcard) => text[..wildcard].strip_suffix('/').unwrap_or_default(),
        None => text,
    }
}
