//! Wall-clock times of the checks and of both indexes at several sizes:
//! `cargo bench --bench index -p whinchat-topic`.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use whinchat_topic::{
    FilterIndex, NameIndex, TopicFilter, TopicFilterBuf, TopicName, TopicNameBuf,
};

const SIZES: [u32; 3] = [10, 1_000, 100_000];

fn main() {
    divan::main();
}

fn name(device: u32) -> TopicNameBuf {
    TopicNameBuf::new(format!("fleet/site-{}/dev-{device}/status", device % 100))
        .expect("a valid name")
}

fn filters(device: u32) -> [TopicFilterBuf; 3] {
    let site = device % 100;
    [
        format!("fleet/site-{site}/dev-{device}/status"),
        format!("fleet/+/dev-{device}/status"),
        format!("fleet/site-{site}/dev-{device}/#"),
    ]
    .map(|text| TopicFilterBuf::new(text).expect("a valid filter"))
}

fn filter_index(devices: u32) -> FilterIndex<u32, u64> {
    let mut index = FilterIndex::new();
    for device in 0..devices {
        for filter in filters(device) {
            index.insert(&filter, device, 1);
        }
    }
    index
}

#[divan::bench]
fn check_name(bencher: Bencher<'_, '_>) {
    let text = name(7).into_string();
    bencher.bench(|| TopicName::new(black_box(&text)).is_ok());
}

#[divan::bench]
fn check_filter(bencher: Bencher<'_, '_>) {
    bencher.bench(|| TopicFilter::new(black_box("fleet/+/dev-7/#")).is_ok());
}

#[divan::bench(args = SIZES)]
fn match_three(bencher: Bencher<'_, '_>, devices: u32) {
    let index = filter_index(devices);
    let name = name(devices / 2);
    bencher.bench(|| {
        let mut sum = 0;
        index.for_each_match(black_box(&name), |_, value| sum += value);
        sum
    });
}

#[divan::bench(args = SIZES)]
fn match_none(bencher: Bencher<'_, '_>, devices: u32) {
    let index = filter_index(devices);
    let name = TopicName::new("fleet/site-1/none/status").expect("a valid name");
    bencher.bench(|| index.for_each_match(black_box(name), |_, _| ()));
}

#[divan::bench(args = SIZES)]
fn generation(bencher: Bencher<'_, '_>, devices: u32) {
    let index = filter_index(devices);
    let name = name(devices / 2);
    bencher.bench(|| index.generation_of(black_box(&name)));
}

#[divan::bench(args = SIZES)]
fn subscribe_and_unsubscribe(bencher: Bencher<'_, '_>, devices: u32) {
    let mut index = filter_index(devices);
    let [filter, ..] = filters(devices + 1);
    bencher.bench_local(|| {
        index.insert(black_box(&filter), 1, 1);
        index.remove(black_box(&filter), &1)
    });
}

#[divan::bench(args = [10, 1_000, 100_000])]
fn match_one_filter_with_many_subscribers(bencher: Bencher<'_, '_>, clients: u32) {
    let mut index = FilterIndex::new();
    let news = TopicFilter::new("news/#").expect("a valid filter");
    for client in 0..clients {
        index.insert(news, client, 1_u64);
    }
    let name = TopicName::new("news/today").expect("a valid name");
    bencher.counter(ItemsCount::new(clients)).bench(|| {
        let mut sum = 0;
        index.for_each_match(black_box(name), |_, value| sum += value);
        sum
    });
}

fn name_index(devices: u32) -> NameIndex<u64> {
    let mut index = NameIndex::new();
    for device in 0..devices {
        index.insert(&name(device), 1);
    }
    index
}

#[divan::bench(args = SIZES)]
fn retained_exact(bencher: Bencher<'_, '_>, devices: u32) {
    let index = name_index(devices);
    let name = name(devices / 2);
    bencher.bench(|| index.get(black_box(&name)).copied());
}

#[divan::bench(args = SIZES)]
fn retained_all(bencher: Bencher<'_, '_>, devices: u32) {
    let index = name_index(devices);
    let all = TopicFilter::new("#").expect("a valid filter");
    bencher.counter(ItemsCount::new(devices)).bench(|| {
        let mut sum = 0;
        index.for_each_match(black_box(all), |_, value| sum += value);
        sum
    });
}

#[divan::bench(args = SIZES)]
fn retained_plus(bencher: Bencher<'_, '_>, devices: u32) {
    let index = name_index(devices);
    let filter = TopicFilter::new("fleet/+/dev-5/status").expect("a valid filter");
    bencher.bench(|| {
        let mut sum = 0;
        index.for_each_match(black_box(filter), |_, value| sum += value);
        sum
    });
}
