//! Fuzz body of the topic crate: both indexes against the plain definition of a match.

use std::collections::BTreeMap;

use whinchat_topic::{
    FilterIndex, NameIndex, TopicFilter, TopicFilterBuf, TopicName, TopicNameBuf,
};

/// Lines of text, each a command: `-filter` unsubscribes, `!name` removes a retained name, and any other line is
/// subscribed as a filter and kept as a name, so far as it is one. After all commands every name is matched with every
/// filter, through the indexes and by the definition.
pub fn topic(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut filters = FilterIndex::new();
    let mut names = NameIndex::new();
    let mut subscribed: BTreeMap<(TopicFilterBuf, u8), usize> = BTreeMap::new();
    let mut retained: BTreeMap<TopicNameBuf, usize> = BTreeMap::new();

    for (number, line) in text.lines().enumerate().take(64) {
        // Two subscribers take turns, so that one filter can have both.
        let key = (number % 2) as u8;
        if let Some(filter) = line.strip_prefix('-') {
            if let Ok(filter) = TopicFilter::new(filter) {
                let expected = subscribed.remove(&(filter.to_owned(), key));
                assert_eq!(
                    filters.remove(filter, &key),
                    expected,
                    "unsubscribe {filter}"
                );
            }
            continue;
        }
        if let Some(name) = line.strip_prefix('!') {
            if let Ok(name) = TopicName::new(name) {
                assert_eq!(names.remove(name), retained.remove(name), "remove {name}");
            }
            continue;
        }
        if let Ok(filter) = TopicFilter::new(line) {
            let expected = subscribed.insert((filter.to_owned(), key), number);
            assert_eq!(
                filters.insert(filter, key, number),
                expected,
                "subscribe {filter}"
            );
        }
        if let Ok(name) = TopicName::new(line) {
            let expected = retained.insert(name.to_owned(), number);
            assert_eq!(names.insert(name, number), expected, "retain {name}");
        }
    }

    for name in text
        .lines()
        .take(64)
        .filter_map(|line| TopicName::new(line).ok())
    {
        let mut found = Vec::new();
        filters.for_each_match(name, |key, value| found.push((*key, *value)));
        found.sort_unstable();
        let mut expected: Vec<_> = subscribed
            .iter()
            .filter(|((filter, _), _)| filter.matches(name))
            .map(|((_, key), value)| (*key, *value))
            .collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "subscribers of {name}");
    }
    for filter in text
        .lines()
        .take(64)
        .filter_map(|line| TopicFilter::new(line).ok())
    {
        let mut found = Vec::new();
        names.for_each_match(filter, |name, value| found.push((name.to_owned(), *value)));
        found.sort_unstable();
        let expected: Vec<_> = retained
            .iter()
            .filter(|(name, _)| filter.matches(name))
            .map(|(name, value)| (name.clone(), *value))
            .collect();
        assert_eq!(found, expected, "retained names of {filter}");
    }
    assert_eq!(names.len(), retained.len());
}
