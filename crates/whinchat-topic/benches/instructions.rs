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

#[library_benchmark]
fn check_name() -> bool {
    TopicName::new(black_box(NAME)).is_ok()
}

#[library_benchmark]
fn check_filter() -> bool {
    TopicFilter::new(black_box("fleet/+/dev-1007/#")).is_ok()
}

#[library_benchmark]
#[bench::three(filters())]
fn match_name(index: FilterIndex<u32, u64>) -> (FilterIndex<u32, u64>, u64) {
    let mut sum = 0;
    index.for_each_match(black_box(name()), |_, value| sum += value);
    (index, sum)
}

#[library_benchmark]
#[bench::of_30_000(filters())]
fn subscribe(mut index: FilterIndex<u32, u64>) -> FilterIndex<u32, u64> {
    let filter = TopicFilter::new("fleet/site-7/dev-10007/status").expect("a valid filter");
    index.insert(black_box(filter), 1, 1);
    index
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
