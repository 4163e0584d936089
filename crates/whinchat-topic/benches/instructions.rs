//! Instruction counts of one operation each, which do not move with the machine:
//! `cargo bench --bench instructions -p whinchat-topic` (needs valgrind and gungraun-runner).
#![expect(
    missing_docs,
    unused_qualifications,
    reason = "the harness makes items without documentation and names them in full"
)]

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group, main};
use whinchat_topic::{FilterIndex, NameIndex, TopicFilter, TopicName};

const NAME: &str = "fleet/site-7/dev-1007/status";

fn name() -> &'static TopicName {
    TopicName::from_validated(NAME)
}

fn filters() -> FilterIndex<u32, u64> {
    let mut index = FilterIndex::new();
    for device in 0..10_000 {
        let site = device % 100;
        for text in [
            format!("fleet/site-{site}/dev-{device}/status"),
            format!("fleet/+/dev-{device}/status"),
            format!("fleet/site-{site}/dev-{device}/#"),
        ] {
            index.insert(TopicFilter::new(&text).expect("a valid filter"), device, 1);
        }
    }
    index
}

fn names() -> NameIndex<u64> {
    let mut index = NameIndex::new();
    for device in 0..10_000 {
        let text = format!("fleet/site-{}/dev-{device}/status", device % 100);
        index.insert(TopicName::new(&text).expect("a valid name"), 1);
    }
    index
}

/// Topics of a thousand devices.
fn texts(before: &str, behind: &str) -> Vec<String> {
    (0..MANY)
        .map(|device| format!("{before}/dev-{device}/{behind}"))
        .collect()
}

#[library_benchmark]
fn check_name() -> bool {
    TopicName::new(black_box(NAME)).is_ok()
}

#[library_benchmark]
fn check_filter() -> bool {
    TopicFilter::new(black_box("fleet/+/dev-1007/#")).is_ok()
}

/// The index hashes under a secret of its own, so that one look-up may have luck; a thousand have none.
const MANY: u32 = 1_000;

#[library_benchmark]
#[bench::a_thousand(filters(), texts("fleet/site-7", "status"))]
fn match_name(
    index: FilterIndex<u32, u64>,
    names: Vec<String>,
) -> (FilterIndex<u32, u64>, Vec<String>, u64) {
    let mut sum = 0;
    for name in &names {
        index.for_each_match(TopicName::from_validated(black_box(name)), |_, value| {
            sum += value;
        });
    }
    (index, names, sum)
}

#[library_benchmark]
#[bench::a_thousand_to_30_000(filters(), texts("fleet/site-8", "+"))]
fn subscribe(
    mut index: FilterIndex<u32, u64>,
    filters: Vec<String>,
) -> (FilterIndex<u32, u64>, Vec<String>) {
    for filter in &filters {
        let filter = TopicFilter::new(black_box(filter)).expect("a valid filter");
        index.insert(filter, 1, 1);
    }
    (index, filters)
}

#[library_benchmark]
#[bench::of_10_000(names())]
fn retained_exact(index: NameIndex<u64>) -> (NameIndex<u64>, Option<u64>) {
    let value = index.get(black_box(name())).copied();
    (index, value)
}

#[library_benchmark]
#[bench::of_10_000(names())]
fn retained_plus(index: NameIndex<u64>) -> (NameIndex<u64>, u64) {
    let filter = TopicFilter::new("fleet/+/dev-1007/status").expect("a valid filter");
    let mut sum = 0;
    index.for_each_match(black_box(filter), |_, value| sum += value);
    (index, sum)
}

library_benchmark_group!(
    name = topics,
    benchmarks = [
        check_name,
        check_filter,
        match_name,
        subscribe,
        retained_exact,
        retained_plus
    ]
);
main!(library_benchmark_groups = topics);
