//! What a peer can make the indexes cost: nodes visited, depth of the stack, memory kept.

use std::collections::BTreeSet;
use std::thread;

use whinchat_topic::{
    FilterIndex, NameIndex, TopicErrorKind, TopicFilter, TopicFilterBuf, TopicName, TopicNameBuf,
};

fn filter(text: impl Into<String>) -> TopicFilterBuf {
    TopicFilterBuf::new(text).expect("a valid filter")
}

fn name(text: impl Into<String>) -> TopicNameBuf {
    TopicNameBuf::new(text).expect("a valid name")
}

/// The filter that matches `levels` levels called `l`, with `+` where `wild` has a one bit.
fn with_plus(wild: u32, levels: u32) -> String {
    let level = |at| {
        if wild.checked_shr(at).unwrap_or(0) & 1 == 1 {
            "+"
        } else {
            "l"
        }
    };
    (0..levels).map(level).collect::<Vec<_>>().join("/")
}

/// T-39
#[test]
fn filters_with_plus_in_every_subset_of_levels_cost_what_they_match() {
    const LEVELS: u32 = 16;
    let mut index = FilterIndex::new();
    for wild in 0..1 << LEVELS {
        index.insert(&filter(with_plus(wild, LEVELS)), wild, ());
    }
    let mut matched = 0;
    let visited = index.for_each_match(&name(with_plus(0, LEVELS)), |_, ()| matched += 1);
    assert_eq!(matched, 1 << LEVELS);
    assert!(
        visited < 2 * matched,
        "{visited} nodes visited for {matched} matches"
    );
    // One level differs: half of the filters match, by way of its `+`.
    let mut other = with_plus(0, LEVELS);
    other.replace_range(..1, "m");
    let mut matched = 0;
    let visited = index.for_each_match(&name(other), |_, ()| matched += 1);
    assert_eq!(matched, 1 << (LEVELS - 1));
    assert!(
        visited <= 2 * matched,
        "{visited} nodes visited for {matched} matches"
    );
    // None matches: no node beyond the first level is of use.
    assert_eq!(index.for_each_match(&name("m"), |_, ()| unreachable!()), 2);
}

#[test]
fn a_match_does_not_visit_the_neighbours_of_what_matches() {
    let mut index = FilterIndex::new();
    for device in 0..10_000 {
        index.insert(&filter(format!("fleet/{device}/status")), device, ());
        index.insert(&filter(format!("fleet/{device}/+/x")), device, ());
    }
    let mut found = Vec::new();
    let visited = index.for_each_match(&name("fleet/77/status"), |&key, ()| found.push(key));
    assert_eq!(found, [77]);
    assert_eq!(visited, 5, "the root, fleet, 77, status, and + beside it");
}

/// Runs on the stack that the smallest of threads has.
fn on_small_stack(run: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new()
        .stack_size(64 * 1024)
        .spawn(run)
        .expect("a thread");
    thread.join().expect("it ends without a panic");
}

#[test]
fn topics_of_65535_bytes_all_separators_need_no_deep_stack() {
    on_small_stack(|| {
        let text = "/".repeat(65_535);
        let (deep_name, deep_filter) = (name(&*text), filter(&*text));
        assert_eq!(deep_name.levels().count(), 65_536);
        assert_eq!(
            deep_filter.check_levels(200).unwrap_err().kind(),
            TopicErrorKind::TooManyLevels {
                levels: 65_536,
                max: 200
            }
        );
        let all_plus = filter(format!("{}+", "+/".repeat(32_767)));
        let plus_then_all = filter(format!("{}#", "+/".repeat(32_767)));

        let mut filters = FilterIndex::new();
        for (key, filter) in [&deep_filter, &all_plus, &plus_then_all]
            .into_iter()
            .enumerate()
        {
            filters.insert(filter, key, ());
        }
        let mut found = Vec::new();
        filters.for_each_match(&deep_name, |&key, ()| found.push(key));
        assert_eq!(BTreeSet::from_iter(found), BTreeSet::from([0, 2]));
        for (key, filter) in [&deep_filter, &all_plus, &plus_then_all]
            .into_iter()
            .enumerate()
        {
            let id = filters.id_of(filter).expect("it has a subscriber");
            assert_eq!(filters.filter_at(id).as_ref(), Some(filter));
            assert_eq!(filters.remove(filter, &key), Some(()));
        }
        assert_eq!(filters.node_count(), 0);

        let mut names = NameIndex::new();
        names.insert(&deep_name, ());
        names.insert(&name("a/".repeat(32_767)), ());
        let mut found = 0;
        names.for_each_match(&plus_then_all, |_, ()| found += 1);
        assert_eq!(found, 2);
        names.remove(&deep_name);
        assert_eq!(names.len(), 1);
    });
}

#[test]
fn one_level_of_65535_bytes_is_a_level_like_any_other() {
    let long = "x".repeat(65_533);
    let mut index = FilterIndex::new();
    index.insert(&filter(format!("{long}/+")), 1, ());
    index.insert(&filter(&*long), 2, ());
    let mut found = Vec::new();
    index.for_each_match(&name(format!("{long}/a")), |&key, ()| found.push(key));
    assert_eq!(found, [1]);
    assert!(index.memory_bytes() > 65_533, "long levels are counted");
}

#[test]
fn filters_of_any_number_of_levels_match_alike() {
    for levels in 1..40 {
        let mut index = FilterIndex::new();
        let exact = with_plus(0, levels);
        index.insert(&filter(&*exact), 0, ());
        index.insert(&filter(with_plus(u32::MAX, levels.min(32))), 1, ());
        index.insert(&filter(format!("{exact}/#")), 2, ());
        let mut found = BTreeSet::new();
        index.for_each_match(&name(exact), |&key, ()| {
            found.insert(key);
        });
        let expected = if levels <= 32 {
            vec![0, 1, 2]
        } else {
            vec![0, 2]
        };
        assert_eq!(Vec::from_iter(found), expected, "{levels} levels");
    }
}

#[test]
fn memory_returns_after_a_burst_of_filters() {
    let mut index = FilterIndex::new();
    for client in 0..1_000 {
        index.insert(&filter(format!("home/{client}/+")), client, ());
    }
    let before = index.memory_bytes();
    let bomb = |n: u32| {
        filter(format!(
            "bomb/{}/{n}-with-a-level-too-long-for-its-node/#",
            n % 7
        ))
    };
    for n in 0..50_000 {
        index.insert(&bomb(n), n, ());
    }
    assert!(index.memory_bytes() > 20 * before);
    for n in 0..50_000 {
        assert_eq!(index.remove(&bomb(n), &n), Some(()));
    }
    assert_eq!(index.node_count(), 1 + 2 * 1_000);
    let after = index.memory_bytes();
    assert!(
        after <= before + before / 20,
        "{before} bytes before, {after} after"
    );
}

#[test]
fn a_filter_with_many_subscribers_keeps_each_once_and_gives_memory_back() {
    let mut index = FilterIndex::new();
    let news = filter("news");
    let empty = index.memory_bytes();
    for client in 0..20_000_u32 {
        assert_eq!(index.insert(&news, client, client), None);
    }
    for client in 0..20_000 {
        assert_eq!(index.insert(&news, client, client + 1), Some(client));
    }
    assert_eq!((index.len(), index.node_count()), (20_000, 1));
    let clients: BTreeSet<_> = index.subscribers(&news).iter().copied().collect();
    assert_eq!(clients.len(), 20_000);
    for client in (0..20_000).rev().filter(|client| client % 1_000 != 7) {
        assert_eq!(index.remove(&news, &client), Some(client + 1));
        assert_eq!(index.get(&news, &client), None);
    }
    let left: BTreeSet<_> = index
        .subscribers(&news)
        .iter()
        .map(|&(key, _)| key)
        .collect();
    assert_eq!(left, (0..20).map(|n| n * 1_000 + 7).collect());
    assert_eq!(index.get(&news, &7_007), Some(&7_008));
    assert!(index.memory_bytes() < empty + 4_096);
}

#[test]
fn generations_tell_first_levels_apart_and_know_the_dollar_rule() {
    let mut index = FilterIndex::new();
    let generation = |index: &FilterIndex<u32, ()>, text: &str| index.generation_of(&name(text));
    let (plain, system) = (generation(&index, "a/b"), generation(&index, "$SYS/x"));
    index.insert(&filter("a/+"), 1, ());
    assert_ne!(
        generation(&index, "a/z"),
        plain,
        "the first level is the same"
    );
    let plain = generation(&index, "a/b");
    index.insert(&filter("+/b"), 1, ());
    assert_ne!(
        generation(&index, "a/b"),
        plain,
        "a leading wildcard concerns all"
    );
    assert_eq!(
        generation(&index, "$SYS/x"),
        system,
        "but not names that begin with $"
    );
    let unchanged = (0..100).filter(|n| {
        let text = format!("other{n}/x");
        let before = generation(&index, &text);
        index.insert(&filter("a/c"), *n, ());
        generation(&index, &text) == before
    });
    assert!(unchanged.count() > 90, "few first levels share a counter");
}

#[test]
fn a_stale_filter_id_removes_nothing() {
    let mut index = FilterIndex::new();
    let (id, _) = index.insert_at(TopicFilter::new("a/b").unwrap(), 1, ());
    assert_eq!(index.remove_at(id, &1), Some(()));
    assert_eq!(index.remove_at(id, &1), None);
    assert_eq!(index.filter_at(id), None);
    assert!(index.is_empty());
}

#[test]
fn a_scan_looks_at_no_more_names_than_asked() {
    let mut index = NameIndex::new();
    for n in 0..1_000 {
        index.insert(&name(format!("a/{n}/x")), ());
    }
    let none = TopicFilter::new("a/+/y").unwrap();
    let mut calls = 1;
    let mut cursor = index.scan(none, None, 10, |_, ()| unreachable!("nothing matches"));
    while cursor.is_some() {
        cursor = index.scan(none, cursor, 10, |_, ()| unreachable!("nothing matches"));
        calls += 1;
    }
    assert!(
        calls >= 1_000 / 10,
        "each call looks at ten names, so that none takes long"
    );
    let exact = TopicFilter::new("a/500/x").unwrap();
    assert_eq!(
        index.scan(exact, None, 2, |found, ()| assert_eq!(found, "a/500/x")),
        None
    );
    let under = TopicFilter::new("a/500/#").unwrap();
    assert_eq!(
        index.scan(under, None, 2, |found, ()| assert_eq!(found, "a/500/x")),
        None
    );
}

#[test]
fn names_are_ordered_by_level() {
    let mut names: Vec<_> = ["a!", "a/b", "a", "a/b/c", "a/", "ab", "a/b!"]
        .map(name)
        .into();
    names.sort();
    assert_eq!(names, ["a", "a/", "a/b", "a/b/c", "a/b!", "a!", "ab"]);
    assert!(TopicName::new("a/b").unwrap() < TopicName::new("a!").unwrap());
}
