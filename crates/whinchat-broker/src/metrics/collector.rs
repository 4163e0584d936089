//! From cells to text: sums over the shards, the log, the process.

use std::{fmt, fs, sync::Arc};

use prometheus_client::{
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};
use whinchat_store::Log;

use super::{
    Description, LabelValues, ShardMetrics, SharedMetrics, Sources,
    row::{LabelNames, Read, Row},
};
use crate::limits::machine::bytes_of_line;

/// What the registry asks at each scrape.
#[derive(Debug)]
pub(super) struct Collector(pub(super) Arc<Sources>);

impl prometheus_client::collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let shards: Vec<&ShardMetrics> = self.0.shards.iter().map(AsRef::as_ref).collect();
        for row in ShardMetrics::ROWS {
            encode(&mut encoder, row, &shards)?;
        }
        for row in SharedMetrics::ROWS {
            encode(&mut encoder, row, &[&self.0.shared])?;
        }
        for row in PROCESS {
            encode(&mut encoder, row, &[&self.0])?;
        }
        let ack = self.0.ack.lock().word();
        for ((name, help, label), value) in INFOS.iter().zip([ack, env!("CARGO_PKG_VERSION")]) {
            let mut info = encoder.encode_descriptor(name, help, None, MetricType::Info)?;
            info.encode_info(&[(*label, value)])?;
        }
        Ok(())
    }
}

/// One metric with what `cells` hold together.
fn encode<S>(encoder: &mut DescriptorEncoder<'_>, row: &Row<S>, cells: &[&S]) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(row.name, row.help, None, kind(&row.read))?;
    match &row.read {
        Read::Counter(read) => counter(
            &mut metric,
            cells
                .iter()
                .map(|cell| read(cell))
                .fold(0, u64::wrapping_add),
        ),
        Read::Gauge(read) => metric.encode_gauge(
            &cells
                .iter()
                .map(|cell| read(cell))
                .fold(0, i64::wrapping_add),
        ),
        Read::Family(label, read) => (0..label.count).try_for_each(|index| {
            let sum = cells
                .iter()
                .map(|cell| read(cell, index))
                .fold(0, u64::wrapping_add);
            counter(
                &mut metric.encode_family(&[(label.name, (label.text)(index))])?,
                sum,
            )
        }),
        Read::PerShard(read) => cells.iter().enumerate().try_for_each(|(shard, cell)| {
            counter(
                &mut metric.encode_family(&[(SHARD_LABEL, shard)])?,
                read(cell),
            )
        }),
        Read::PerShardTime(read) => cells.iter().enumerate().try_for_each(|(shard, cell)| {
            metric
                .encode_family(&[(SHARD_LABEL, shard)])?
                .encode_counter::<NoLabelSet, _, u64>(&read(cell), None)
        }),
        Read::Histogram(read) => cells.iter().try_for_each(|cell| {
            let histogram = read(cell);
            metric.encode_histogram::<NoLabelSet>(
                histogram.sum_seconds(),
                histogram.count(),
                &histogram.buckets(),
                None,
            )
        }),
    }
}

const SHARD_LABEL: &str = "shard";

fn counter(metric: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn kind<S>(read: &Read<S>) -> MetricType {
    match read {
        Read::Counter(_) | Read::Family(..) | Read::PerShard(_) | Read::PerShardTime(_) => {
            MetricType::Counter
        }
        Read::Gauge(_) => MetricType::Gauge,
        Read::Histogram(_) => MetricType::Histogram,
    }
}

fn kind_name<S>(read: &Read<S>) -> &'static str {
    match read {
        Read::Counter(_) | Read::Family(..) | Read::PerShard(_) | Read::PerShardTime(_) => {
            "counter"
        }
        Read::Gauge(_) => "gauge",
        Read::Histogram(_) => "histogram",
    }
}

/// What is asked of the log and the process at each scrape.
const PROCESS: &[Row<Sources>] = &[
    Row {
        name: "log_commits",
        help: "Commits of the log.",
        read: Read::Counter(|sources| sources.log().map_or(0, |log| log.stats().commits)),
    },
    Row {
        name: "log_groups",
        help: "Groups of records appended to the log.",
        read: Read::Counter(|sources| sources.log().map_or(0, |log| log.stats().groups)),
    },
    Row {
        name: "log_bytes",
        help: "Bytes of records appended to the log.",
        read: Read::Counter(|sources| sources.log().map_or(0, |log| log.stats().bytes)),
    },
    Row {
        name: "log_pending_bytes",
        help: "Bytes appended to the log and not committed yet.",
        read: Read::Gauge(|sources| {
            sources
                .log()
                .map_or(0, |log| gauge(log.pending_bytes() as u64))
        }),
    },
    Row {
        name: "log_failed",
        help: "1 once the log can commit nothing any more.",
        read: Read::Gauge(|sources| {
            i64::from(sources.log().is_some_and(|log| log.failure().is_some()))
        }),
    },
    Row {
        name: "resident_memory_bytes",
        help: "Memory of the process that is in RAM.",
        read: Read::Gauge(|_| gauge(resident_bytes().unwrap_or(0))),
    },
    Row {
        name: "open_file_descriptors",
        help: "File descriptors that the process has open.",
        read: Read::Gauge(|_| {
            gauge(fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64))
        }),
    },
    Row {
        name: "start_time_seconds",
        help: "When the broker was started, in seconds since the Unix epoch.",
        read: Read::Gauge(|sources| gauge(sources.started_seconds)),
    },
];

/// Name, help and label of what is a text.
const INFOS: [(&str, &str, &str); 2] = [
    (
        "ack",
        "When acks leave, unless their topic says otherwise.",
        "level",
    ),
    ("build", "The version of the broker.", "version"),
];

impl Sources {
    fn log(&self) -> Option<&dyn Log> {
        self.log.get().map(AsRef::as_ref)
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// `VmRSS` of /proc/self/status.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    bytes_of_line(&status, "VmRSS:")
}

pub(super) fn descriptions() -> Vec<Description> {
    fn described<S>(rows: &[Row<S>]) -> impl Iterator<Item = Description> {
        rows.iter().map(|row| {
            let label = match &row.read {
                Read::Family(LabelNames { name, .. }, _) => Some(*name),
                Read::PerShard(_) | Read::PerShardTime(_) => Some(SHARD_LABEL),
                Read::Counter(_) | Read::Gauge(_) | Read::Histogram(_) => None,
            };
            let total = if kind_name(&row.read) == "counter" {
                "_total"
            } else {
                ""
            };
            Description {
                name: format!("whinchat_{}{total}", row.name),
                kind: kind_name(&row.read),
                label,
                help: row.help,
            }
        })
    }
    let infos = INFOS.iter().map(|(name, help, label)| Description {
        name: format!("whinchat_{name}_info"),
        kind: "info",
        label: Some(label),
        help,
    });
    described(ShardMetrics::ROWS)
        .chain(described(SharedMetrics::ROWS))
        .chain(described(PROCESS))
        .chain(infos)
        .collect()
}

pub(super) fn label_values() -> Vec<LabelValues> {
    fn labelled<S>(rows: &[Row<S>]) -> impl Iterator<Item = LabelValues> {
        rows.iter().filter_map(|row| match &row.read {
            Read::Family(LabelNames { name, count, text }, _) => Some(LabelValues {
                label: name,
                of: format!("whinchat_{}_total", row.name),
                values: (0..*count).map(text).collect(),
            }),
            Read::Counter(_)
            | Read::Gauge(_)
            | Read::PerShard(_)
            | Read::PerShardTime(_)
            | Read::Histogram(_) => None,
        })
    }
    labelled(ShardMetrics::ROWS)
        .chain(labelled(SharedMetrics::ROWS))
        .collect()
}
