//! The filter index against a plain list of subscriptions.

use std::collections::{BTreeMap, BTreeSet};

use whinchat_topic::{
    FilterId, FilterIndex, Generation, TopicFilter, TopicFilterBuf, TopicName, TopicNameBuf,
};

use super::super::steps::Steps;
use super::text;

/// Subscriptions come and go, by filter and by place; names find the same
/// subscribers by the index, by the definition, and in a cache that is good while its stamp is. In the end the index knows
/// the same ones as the list, and has a node for each level of them.
pub fn filter_index(data: &[u8]) {
    let mut steps = Steps(data);
    let mut pair = Pair::default();
    while let Some(step) = steps.next() {
        // Some filters get more subscribers than are kept without an index of their own.
        let key = steps.byte() % if step & 0x80 == 0 { 3 } else { 64 };
        let text = text(&mut steps);
        match step % 8 {
            0..=2 => pair.subscribe(&text, key, step),
            3 => pair.unsubscribe(&text, key),
            4 => pair.unsubscribe_at(step, key),
            _ => pair.find(&text),
        }
        assert_eq!(pair.index.len(), pair.plain.len());
    }
    pair.check();
    let names: Vec<_> = pair.found.keys().cloned().collect();
    for name in names {
        pair.find(name.as_str());
    }
}

#[derive(Default)]
struct Pair {
    index: FilterIndex<u8, u8>,
    plain: BTreeMap<(TopicFilterBuf, u8), u8>,
    /// Where filters were kept when they were subscribed to.
    places: Vec<(FilterId, TopicFilterBuf)>,
    found: BTreeMap<TopicNameBuf, (Generation, Vec<(u8, u8)>)>,
}

impl Pair {
    fn subscribe(&mut self, text: &str, key: u8, value: u8) {
        let Ok(filter) = TopicFilter::new(text) else {
            return;
        };
        let expected = self.plain.insert((filter.to_owned(), key), value);
        let (id, replaced) = self.index.insert_at(filter, key, value);
        assert_eq!(replaced, expected, "subscribe {filter}");
        assert_eq!(self.index.id_of(filter), Some(id));
        assert_eq!(self.index.filter_at(id).as_deref(), Some(filter));
        self.places.push((id, filter.to_owned()));
    }

    fn unsubscribe(&mut self, text: &str, key: u8) {
        if let Ok(filter) = TopicFilter::new(text) {
            let expected = self.plain.remove(&(filter.to_owned(), key));
            assert_eq!(
                self.index.remove(filter, &key),
                expected,
                "unsubscribe {filter}"
            );
        }
    }

    /// A place is that of its filter for as long as that has a subscriber; then it may be another's.
    fn unsubscribe_at(&mut self, choice: u8, key: u8) {
        let Some(place) = usize::from(choice).checked_rem(self.places.len()) else {
            return;
        };
        let (id, _) = self.places.swap_remove(place);
        let filter = self.index.filter_at(id);
        let expected = filter.and_then(|filter| self.plain.remove(&(filter, key)));
        assert_eq!(self.index.remove_at(id, &key), expected);
    }

    fn find(&mut self, text: &str) {
        let Ok(name) = TopicName::new(text) else {
            return;
        };
        let mut found = Vec::new();
        let visited = self
            .index
            .for_each_match(name, |key, value| found.push((*key, *value)));
        found.sort_unstable();
        let mut expected: Vec<_> = self
            .plain
            .iter()
            .filter(|((filter, _), _)| filter.matches(name))
            .map(|((_, key), value)| (*key, *value))
            .collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "subscribers of {name}");
        assert!(
            visited <= self.index.node_count() + 1,
            "{visited} nodes for {name}"
        );
        let generation = self.index.generation_of(name);
        if let Some((then, cached)) = self.found.get(name)
            && *then == generation
        {
            assert_eq!(*cached, found, "the stamp of {name} has not changed");
        }
        self.found.insert(name.to_owned(), (generation, found));
    }

    fn check(&self) {
        assert_eq!(self.index.is_empty(), self.plain.is_empty());
        let prefixes: BTreeSet<_> = self
            .plain
            .keys()
            .flat_map(|(filter, _)| {
                let text = filter.as_str();
                let ends = text
                    .match_indices('/')
                    .map(|(end, _)| end)
                    .chain([text.len()]);
                ends.map(move |end| &text[..end])
            })
            .collect();
        assert_eq!(self.index.node_count(), prefixes.len(), "{prefixes:?}");
        for ((filter, key), value) in &self.plain {
            assert_eq!(self.index.get(filter, key), Some(value), "{filter}");
            assert!(
                self.index.subscribers(filter).contains(&(*key, *value)),
                "{filter}"
            );
        }
    }
}
