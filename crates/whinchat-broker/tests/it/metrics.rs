//! Names, types, labels and texts of the metrics: a contract with whoever draws them.

use std::{collections::BTreeSet, sync::Arc};

use whinchat_broker::{
    Limit,
    metrics::{self, CloseLabel, Metrics, PacketLabel},
};
use whinchat_store::{Log, MemoryLog};

/// A change here breaks dashboards and alerts: add, and do not rename.
#[test]
fn the_list_of_metrics_is_the_stored_one() {
    let mut list = String::new();
    for metric in metrics::descriptions() {
        let label = metric.label.unwrap_or("-");
        list += &format!("{} {} {label}: {}\n", metric.name, metric.kind, metric.help);
    }
    for labels in metrics::label_values() {
        list += &format!(
            "{}{{{}}}: {}\n",
            labels.of,
            labels.label,
            labels.values.join(" ")
        );
    }
    super::docs::compare(&list, "tests/it/snapshots/metrics.txt");
}

#[test]
fn what_is_scraped_is_what_is_described() {
    let metrics = Metrics::new(3);
    let scraped = metrics.encode();
    let names: BTreeSet<String> = scraped
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            format!("{name}{suffix}")
        })
        .collect();
    let described: BTreeSet<String> = metrics::descriptions()
        .into_iter()
        .map(|metric| metric.name)
        .collect();
    assert_eq!(names, described);
}

#[test]
fn shards_are_summed_and_labels_kept_apart() {
    let metrics = Metrics::new(2);
    let (one, other) = (metrics.shard(0), metrics.shard(1));
    one.packets_received.of(PacketLabel::Publish).add(2);
    other.packets_received.of(PacketLabel::Publish).increment();
    other.packets_received.of(PacketLabel::Connect).increment();
    one.limit_hits.of(Limit::PacketSize).increment();
    one.connections_closed.of(CloseLabel::Lost).increment();
    one.retained_messages.subtract(1);
    other.retained_messages.add(4);
    one.shard_turns.add(10);
    other.shard_turns.add(20);
    metrics.shared().panics.increment();
    let text = metrics.encode();
    for line in [
        "whinchat_packets_received_total{type=\"publish\"} 3",
        "whinchat_packets_received_total{type=\"connect\"} 1",
        "whinchat_packets_received_total{type=\"auth\"} 0",
        "whinchat_limit_hits_total{limit=\"packet_size\"} 1",
        "whinchat_connections_closed_total{reason=\"lost\"} 1",
        "whinchat_retained_messages 3",
        "whinchat_shard_turns_total{shard=\"0\"} 10",
        "whinchat_shard_turns_total{shard=\"1\"} 20",
        "whinchat_panics_total 1",
    ] {
        assert!(text.lines().any(|own| own == line), "{line} in\n{text}");
    }
    assert_eq!(
        metrics.sum_gauge(|shard| shard.retained_messages.value()),
        3
    );
    assert_eq!(metrics.sum(|shard| shard.shard_turns.value()), 30);
}

#[test]
fn the_log_and_the_process_are_asked_at_each_scrape() {
    let metrics = Metrics::new(1);
    let log = Arc::new(MemoryLog::new());
    metrics.set_log(Arc::<MemoryLog>::clone(&log));
    log.append(0, &mut b"12345".to_vec());
    let text = metrics.encode();
    assert!(text.contains("\nwhinchat_log_commits_total 1\n"), "{text}");
    assert!(text.contains("\nwhinchat_log_bytes_total 5\n"), "{text}");
    assert!(
        text.contains(concat!(
            "\nwhinchat_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1\n"
        )),
        "{text}"
    );
    let resident = text
        .lines()
        .find_map(|line| line.strip_prefix("whinchat_resident_memory_bytes "))
        .unwrap();
    assert!(resident.parse::<u64>().unwrap() > 1 << 20, "{resident}");
}

#[test]
fn one_shard_counts_on_cache_lines_of_its_own() {
    assert_eq!(align_of::<metrics::ShardMetrics>(), 128);
    assert_eq!(size_of::<metrics::ShardMetrics>() % 128, 0);
}
