//! The name index against a plain map.

use std::collections::{BTreeMap, BTreeSet};

use whinchat_topic::{Cursor, NameIndex, TopicFilter, TopicFilterBuf, TopicName, TopicNameBuf};

use super::super::steps::Steps;
use super::text;

/// Names come and go while searches are under way: a search takes no more looks than it may, gives names in their order,
/// each once, all that were there from its first call to its last, and none that never was.
pub fn name_index(data: &[u8]) {
    let mut steps = Steps(data);
    let mut index = NameIndex::new();
    let mut plain: BTreeMap<TopicNameBuf, u8> = BTreeMap::new();
    let mut searches: Vec<Search> = Vec::new();
    while let Some(step) = steps.next() {
        let text = text(&mut steps);
        match step % 8 {
            0..=2 => {
                if let Ok(name) = TopicName::new(&text) {
                    let expected = plain.insert(name.to_owned(), step);
                    assert_eq!(index.insert(name, step), expected, "insert {name}");
                }
                note(&mut searches, &text, Search::came);
            }
            3 => {
                if let Ok(name) = TopicName::new(&text) {
                    assert_eq!(index.remove(name), plain.remove(name), "remove {name}");
                }
                note(&mut searches, &text, Search::went);
            }
            4 => {
                if let Ok(filter) = TopicFilter::new(&text) {
                    searches.push(Search::new(filter, &plain));
                }
            }
            _ => {
                let looks = 1 + steps.below(4);
                searches.retain_mut(|search| !search.step(&index, looks));
            }
        }
        assert_eq!(index.len(), plain.len());
        if step & 0x80 != 0
            && let Ok(filter) = TopicFilter::new(&text)
        {
            check_match(&index, &plain, filter);
        }
    }
    let found: Vec<_> = index
        .iter()
        .map(|(name, value)| (name.to_owned(), *value))
        .collect();
    assert_eq!(found, plain.clone().into_iter().collect::<Vec<_>>());
    for mut search in searches {
        search.step(&index, usize::MAX);
    }
}

fn note(searches: &mut [Search], text: &str, what: fn(&mut Search, &TopicName)) {
    if let Ok(name) = TopicName::new(text) {
        for search in searches {
            what(search, name);
        }
    }
}

fn check_match(index: &NameIndex<u8>, plain: &BTreeMap<TopicNameBuf, u8>, filter: &TopicFilter) {
    let mut found = Vec::new();
    index.for_each_match(filter, |name, value| found.push((name.to_owned(), *value)));
    let expected: Vec<_> = plain
        .iter()
        .filter(|(name, _)| filter.matches(name))
        .map(|(name, value)| (name.clone(), *value))
        .collect();
    assert_eq!(found, expected, "names of {filter}");
}

/// A search in several calls.
struct Search {
    filter: TopicFilterBuf,
    cursor: Option<Cursor>,
    found: Vec<TopicNameBuf>,
    /// There from the beginning and not gone since.
    owed: BTreeSet<TopicNameBuf>,
    /// There at some time since the beginning.
    allowed: BTreeSet<TopicNameBuf>,
}

impl Search {
    fn new(filter: &TopicFilter, plain: &BTreeMap<TopicNameBuf, u8>) -> Self {
        let there: BTreeSet<_> = plain
            .keys()
            .filter(|name| filter.matches(name))
            .cloned()
            .collect();
        Self {
            filter: filter.to_owned(),
            cursor: None,
            found: Vec::new(),
            owed: there.clone(),
            allowed: there,
        }
    }

    fn came(&mut self, name: &TopicName) {
        if self.filter.matches(name) {
            self.allowed.insert(name.to_owned());
        }
    }

    fn went(&mut self, name: &TopicName) {
        self.owed.remove(name);
    }

    /// One call; whether it was the last.
    fn step(&mut self, index: &NameIndex<u8>, looks: usize) -> bool {
        let before = self.found.len();
        let cursor = self.cursor.take();
        self.cursor = index.scan(&self.filter, cursor, looks, |name, _| {
            assert!(
                self.found.last().is_none_or(|last| &**last < name),
                "{name} behind {:?}",
                self.found.last()
            );
            assert!(self.allowed.contains(name), "{name} was never there");
            self.found.push(name.to_owned());
        });
        assert!(
            self.found.len() - before <= looks,
            "more than {looks} looks"
        );
        if self.cursor.is_some() {
            return false;
        }
        for name in &self.owed {
            assert!(self.found.contains(name), "{name} was there all the time");
        }
        true
    }
}
