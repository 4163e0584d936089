//! Both indexes against the plain definition of a match, under random steps.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use whinchat_topic::{
    FilterIndex, NameIndex, TopicFilter, TopicFilterBuf, TopicName, TopicNameBuf,
};

/// Few different levels, so that random filters and names meet; two that sort around `/`, and one
/// too long to stand in its node.
fn level() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        4 => Just("a"),
        4 => Just("b"),
        1 => Just(""),
        1 => Just("$s"),
        1 => Just("a!"),
        1 => Just("\u{1}"),
        1 => Just("3f2504e0-4f89-11d3-9a0c-0305e82c3301"),
    ]
}

fn name() -> impl Strategy<Value = TopicNameBuf> {
    vec(level(), 1..6)
        .prop_map(|levels| levels.join("/"))
        .prop_filter_map("one character", |text| TopicNameBuf::new(text).ok())
}

fn filter() -> impl Strategy<Value = TopicFilterBuf> {
    let level = prop_oneof![2 => level(), 1 => Just("+")];
    (vec(level, 0..6), any::<bool>())
        .prop_map(|(mut levels, multi)| {
            levels.extend(multi.then_some("#"));
            levels.join("/")
        })
        .prop_filter_map("one character", |text| TopicFilterBuf::new(text).ok())
}

#[derive(Debug, Clone)]
enum Step {
    Subscribe(TopicFilterBuf, u8, u8),
    Unsubscribe(TopicFilterBuf, u8),
    /// Ends the n-th subscription there is.
    UnsubscribeNth(prop::sample::Index),
    Match(TopicNameBuf),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (filter(), 0..4_u8, any::<u8>()).prop_map(|(f, k, v)| Step::Subscribe(f, k, v)),
        1 => (filter(), 0..4_u8).prop_map(|(f, k)| Step::Unsubscribe(f, k)),
        2 => any::<prop::sample::Index>().prop_map(Step::UnsubscribeNth),
        4 => name().prop_map(Step::Match),
    ];
    vec(step, 0..80)
}

type Model = BTreeMap<(TopicFilterBuf, u8), u8>;

fn matched(index: &FilterIndex<u8, u8>, name: &TopicNameBuf) -> Vec<(u8, u8)> {
    let mut found = Vec::new();
    index.for_each_match(name, |&key, &value| found.push((key, value)));
    found.sort_unstable();
    found
}

fn matched_plainly(model: &Model, name: &TopicNameBuf) -> Vec<(u8, u8)> {
    let matching = model.iter().filter(|((filter, _), _)| filter.matches(name));
    let mut found: Vec<_> = matching.map(|((_, key), value)| (*key, *value)).collect();
    found.sort_unstable();
    found
}

/// How many prefixes of the filters match the beginning of the name: the nodes that a match has to
/// visit, and no more.
fn reached(model: &Model, name: &TopicNameBuf) -> usize {
    let name_levels: Vec<_> = name.levels().collect();
    let mut prefixes = BTreeSet::new();
    for (filter, _) in model.keys() {
        let levels: Vec<_> = filter.levels().collect();
        prefixes.extend((1..=levels.len()).map(|depth| levels[..depth].to_vec()));
    }
    let reached = prefixes.iter().filter(|prefix| {
        let beginning = match prefix.last() {
            Some(&"#") => &name_levels[..],
            _ => match name_levels.get(..prefix.len()) {
                Some(beginning) => beginning,
                None => return false,
            },
        };
        match (TopicFilter::new(&prefix.join("/")), beginning.join("/")) {
            (Ok(prefix), name) if !name.is_empty() => {
                prefix.matches(TopicName::from_validated(&name))
            }
            // An empty first level, which is no topic of its own.
            (prefix, name) => match prefix {
                Err(_) => name.is_empty(),
                Ok(prefix) => prefix.is_wildcard(),
            },
        }
    });
    reached.count()
}

proptest! {
    #[test]
    fn filter_index_agrees_with_the_definition(steps in steps(), probes in vec(name(), 1..6)) {
        let mut index = FilterIndex::new();
        let mut model = Model::new();
        for step in steps {
            let before: Vec<_> = probes
                .iter()
                .map(|name| (index.generation_of(name), matched(&index, name)))
                .collect();
            match step {
                Step::Subscribe(filter, key, value) => {
                    let (id, replaced) = index.insert_at(&filter, key, value);
                    prop_assert_eq!(index.filter_at(id), Some(filter.clone()));
                    prop_assert_eq!(replaced, model.insert((filter, key), value));
                }
                Step::Unsubscribe(filter, key) => {
                    prop_assert_eq!(index.remove(&filter, &key), model.remove(&(filter, key)));
                }
                Step::UnsubscribeNth(nth) => {
                    if let Some((filter, key)) = (!model.is_empty())
                        .then(|| model.keys().nth(nth.index(model.len())).cloned())
                        .flatten()
                    {
                        let id = index.id_of(&filter).expect("the filter has a subscriber");
                        prop_assert_eq!(index.remove_at(id, &key), model.remove(&(filter, key)));
                    }
                }
                Step::Match(name) => {
                    prop_assert_eq!(matched(&index, &name), matched_plainly(&model, &name));
                    let visited = index.for_each_match(&name, |_, _| {});
                    prop_assert_eq!(visited, 1 + reached(&model, &name));
                }
            }
            prop_assert_eq!(index.len(), model.len());
            for (name, (generation, found)) in probes.iter().zip(before) {
                if matched(&index, name) != found {
                    prop_assert_ne!(index.generation_of(name), generation);
                }
            }
        }
        for (filter, key) in model.keys() {
            prop_assert!(index.remove(filter, key).is_some());
        }
        prop_assert_eq!((index.len(), index.node_count()), (0, 0));
    }

    #[test]
    fn name_index_agrees_with_the_definition(
        names in vec(name(), 0..60),
        removed in vec(name(), 0..20),
        filters in vec(filter(), 1..8),
    ) {
        let mut index = NameIndex::new();
        let mut model = BTreeMap::new();
        for (at, name) in names.into_iter().enumerate() {
            prop_assert_eq!(index.insert(&name, at), model.insert(name, at));
        }
        for name in removed {
            prop_assert_eq!(index.remove(&name), model.remove(&name));
        }
        prop_assert_eq!(index.len(), model.len());
        for filter in filters {
            let mut found = Vec::new();
            index.for_each_match(&filter, |name, &value| found.push((name.to_owned(), value)));
            let matching = model.iter().filter(|(name, _)| filter.matches(name));
            let expected: Vec<_> = matching.map(|(name, &value)| (name.clone(), value)).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_scan_survives_changes_between_its_calls(
        names in vec(name(), 0..60),
        changes in vec((any::<bool>(), name()), 0..60),
        filter in filter(),
        looks in 1..7_usize,
    ) {
        let mut index: NameIndex<()> = NameIndex::new();
        for name in &names {
            index.insert(name, ());
        }
        let mut stayed: BTreeMap<_, _> = index.iter().map(|(name, ())| (name.to_owned(), ())).collect();
        let mut seen = Vec::new();
        let mut cursor = None;
        let mut changes = changes.into_iter();
        loop {
            let before = seen.len();
            cursor = index.scan(&filter, cursor, looks, |name, ()| seen.push(name.to_owned()));
            prop_assert!(seen.len() - before <= looks);
            if cursor.is_none() {
                break;
            }
            for (insert, name) in changes.by_ref().take(2) {
                if insert {
                    index.insert(&name, ());
                } else {
                    index.remove(&name);
                    stayed.remove(&name);
                }
            }
        }
        prop_assert!(seen.is_sorted_by(|a, b| a < b), "in order, none twice");
        prop_assert!(seen.iter().all(|name| filter.matches(name)));
        for (name, ()) in stayed {
            prop_assert_eq!(filter.matches(&name), seen.contains(&name));
        }
    }
}
