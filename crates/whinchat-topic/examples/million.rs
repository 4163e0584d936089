//! Prints what a million filters and a hundred thousand retained names cost:
//! `cargo run --release --example million -p whinchat-topic`.
//!
//! Bytes come from the index itself and, as a check, from the growth of the process's resident
//! memory; times are wall-clock, for names in random order that were not looked up before.
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use whinchat_topic::{FilterIndex, NameIndex, TopicFilter, TopicFilterBuf, TopicNameBuf};

/// Three filters for each device: one exact, one with `+`, one with `#`.
const DEVICES: usize = 333_334;
const SITES: usize = 1_000;
const NAMES: usize = 100_000;
const PAYLOAD_BYTES: usize = 64;
const ROUNDS: usize = 100_000;

/// What a broker keeps for a subscription: options and a subscription identifier.
#[derive(Clone, Copy)]
struct Options {
    _bits: u8,
    subscription_id: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut random = fastrand::Rng::with_seed(1);
    // The names stay in memory, so that the filters cannot settle in memory that they left.
    let index = names(&mut random)?;
    filters(&mut random)?;
    drop(index);
    Ok(())
}

fn device_filters(device: usize) -> [String; 3] {
    let site = device % SITES;
    [
        format!("fleet/site-{site:03}/dev-{device:06}/status"),
        format!("fleet/+/dev-{device:06}/status"),
        format!("fleet/site-{site:03}/dev-{device:06}/#"),
    ]
}

fn filters(random: &mut fastrand::Rng) -> Result<(), Box<dyn Error>> {
    let mut filters = Vec::new();
    for device in 0..DEVICES {
        for text in device_filters(device) {
            filters.push((TopicFilterBuf::new(text)?, device as u32));
        }
    }
    random.shuffle(&mut filters);

    let resident = resident_bytes()?;
    let mut index = FilterIndex::new();
    let start = Instant::now();
    let mut longest = start.elapsed();
    let mut last = start;
    for (filter, client) in &filters {
        index.insert(
            filter,
            *client,
            Options {
                _bits: 1,
                subscription_id: *client,
            },
        );
        let now = Instant::now();
        longest = longest.max(now - last);
        last = now;
    }
    let inserting = start.elapsed();
    let count = index.len();
    println!(
        "{count} filters (a third exact, a third with +, a third with #), {} nodes",
        index.node_count()
    );
    println!(
        "  {:6.1} bytes per filter by memory_bytes()",
        per(index.memory_bytes(), count)
    );
    println!(
        "  {:6.1} bytes per filter by VmRSS",
        per(resident_bytes()? - resident, count)
    );
    println!(
        "  {:6.0} ns per insert, longest {:.0} us",
        nanos(inserting, count),
        longest.as_secs_f64() * 1e6
    );

    for (what, spread) in [("any device", DEVICES), ("one of 1,000 devices", 1_000)] {
        let names = (0..ROUNDS).map(|_| {
            let [name, ..] = device_filters(random.usize(..spread));
            TopicNameBuf::new(name)
        });
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let (mut reached, mut visited, mut sum) = (0_usize, 0, 0);
        let start = Instant::now();
        for name in &names {
            visited += index.for_each_match(name, |_, options| {
                reached += 1;
                sum += u64::from(options.subscription_id);
            });
        }
        let matching = start.elapsed();
        black_box(sum);
        println!(
            "  {:6.0} ns per match ({what}), {:.1} subscribers reached, {:.1} nodes visited",
            nanos(matching, ROUNDS),
            per(reached, ROUNDS),
            per(visited, ROUNDS)
        );
    }

    random.shuffle(&mut filters);
    let start = Instant::now();
    for (filter, client) in &filters {
        index.remove(filter, client);
    }
    println!("  {:6.0} ns per removal", nanos(start.elapsed(), count));
    println!("  {:6} bytes left when empty", index.memory_bytes());
    Ok(())
}

fn names(random: &mut fastrand::Rng) -> Result<NameIndex<Box<[u8]>>, Box<dyn Error>> {
    let names = (0..NAMES).map(|device| {
        let [name, ..] = device_filters(device);
        TopicNameBuf::new(name)
    });
    let mut names = names.collect::<Result<Vec<_>, _>>()?;
    random.shuffle(&mut names);

    let resident = resident_bytes()?;
    let mut index: NameIndex<Box<[u8]>> = NameIndex::new();
    let start = Instant::now();
    for name in &names {
        index.insert(name, Box::from([1; PAYLOAD_BYTES]));
    }
    let inserting = start.elapsed();
    println!(
        "{} retained names with {PAYLOAD_BYTES} bytes of payload each",
        index.len()
    );
    println!(
        "  {:6.1} bytes per name by memory_bytes(), payload not counted",
        per(index.memory_bytes(), NAMES)
    );
    println!(
        "  {:6.1} bytes per name by VmRSS, payload and all",
        per(resident_bytes()? - resident, NAMES)
    );
    println!("  {:6.0} ns per insert", nanos(inserting, NAMES));

    let start = Instant::now();
    let mut sum = 0;
    for name in &names {
        sum += index.get(name).map_or(0, |payload| payload.len());
    }
    println!(
        "  {:6.0} ns per exact look-up",
        nanos(start.elapsed(), NAMES)
    );
    for filter in [
        "#",
        "fleet/+/+/status",
        "fleet/site-007/#",
        "fleet/+/dev-000007/status",
    ] {
        let filter = TopicFilter::new(filter)?;
        let mut found = 0;
        let start = Instant::now();
        index.for_each_match(filter, |_, value| {
            found += 1;
            sum += value.len();
        });
        println!(
            "  {:6.2} ms for all {found} that match {filter}",
            start.elapsed().as_secs_f64() * 1e3
        );
    }
    black_box(sum);
    Ok(index)
}

fn per(total: usize, count: usize) -> f64 {
    total as f64 / count as f64
}

fn nanos(time: std::time::Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e9 / count as f64
}

/// The resident memory of this process.
fn resident_bytes() -> Result<usize, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .ok_or("no VmRSS in /proc/self/status")?;
    Ok(kib.parse::<usize>()? * 1024)
}
