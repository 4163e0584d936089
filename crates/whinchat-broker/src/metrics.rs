//! What the broker counts, and the text that Prometheus reads.
//!
//! ```text
//! shard thread --plain store--> ShardMetrics (one per shard, own cache lines) --\
//! any thread --atomic add--> SharedMetrics ------------------------------------- > scrape: sum, encode
//! the log, the kernel -----------------------------------------------------------/
//! ```
//!
//! A shard counts without a lock, without an atomic read-modify-write and without touching a cache
//! line that another shard writes; the sums are made when somebody asks. Names and help texts are a
//! contract: a test compares them with a stored list. No label ever carries what a client chose.

mod cell;
mod collector;
mod label;
mod row;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use prometheus_client::{encoding::text, registry::Registry};
use whinchat_store::{Log, LogFailure};

use crate::config::Ack;

pub use cell::{
    Counter, Family, Gauge, Histogram, PerLabel, SharedCounter, SharedFamily, TimeCounter,
};
pub(crate) use collector::resident_bytes;
pub use label::{
    AccessLabel, AuthenticationLabel, CloseLabel, DropLabel, HookLabel, Label, PacketLabel,
    QosLabel, RefusalLabel,
};
pub use row::{ShardMetrics, SharedMetrics};

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All counters of one broker.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    sources: Arc<Sources>,
}

/// Where the numbers come from; shared with the collector.
pub(crate) struct Sources {
    shards: Box<[Arc<ShardMetrics>]>,
    shared: SharedMetrics,
    log: OnceLock<Arc<dyn Log>>,
    ack: Mutex<Ack>,
    /// Since the Unix epoch.
    started_seconds: u64,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

impl Metrics {
    /// Counters for this many shards, all at zero.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        let sources = Arc::new(Sources {
            shards: (0..shards).map(|_| Arc::default()).collect(),
            shared: SharedMetrics::default(),
            log: OnceLock::new(),
            ack: Mutex::new(Ack::Memory),
            started_seconds: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        });
        let mut registry = Registry::with_prefix("whinchat");
        registry.register_collector(Box::new(collector::Collector(Arc::clone(&sources))));
        Self { registry, sources }
    }

    /// The counters of one shard: to be written by its thread alone.
    ///
    /// # Panics
    ///
    /// If there is no such shard.
    #[must_use]
    pub fn shard(&self, index: usize) -> Arc<ShardMetrics> {
        Arc::clone(&self.sources.shards[index])
    }

    /// The counters of all shards, for who reads sums (`$SYS`).
    #[must_use]
    pub fn shards(&self) -> &[Arc<ShardMetrics>] {
        &self.sources.shards
    }

    /// Counters that any thread may write.
    #[must_use]
    pub fn shared(&self) -> &SharedMetrics {
        &self.sources.shared
    }

    /// Names the log whose commits are shown; the first call counts.
    pub fn set_log(&self, log: Arc<dyn Log>) {
        // A second log of one broker does not exist.
        let _ = self.sources.log.set(log);
    }

    /// Names the level of acks that is shown.
    pub fn set_ack(&self, ack: Ack) {
        *self.sources.ack.lock() = ack;
    }

    /// Why the log can commit nothing any more, if that is so.
    #[must_use]
    pub fn log_failure(&self) -> Option<LogFailure> {
        self.sources.log.get().and_then(|log| log.failure())
    }

    /// The sum over all shards of what `of` reads from one.
    #[must_use]
    pub fn sum(&self, of: impl Fn(&ShardMetrics) -> u64) -> u64 {
        self.sources
            .shards
            .iter()
            .map(|shard| of(shard))
            .fold(0, u64::wrapping_add)
    }

    /// The sum over all shards of a gauge; never below 0.
    #[must_use]
    pub fn sum_gauge(&self, of: impl Fn(&ShardMetrics) -> i64) -> u64 {
        let sum = self
            .sources
            .shards
            .iter()
            .map(|shard| of(shard))
            .fold(0, i64::wrapping_add);
        u64::try_from(sum).unwrap_or(0)
    }

    /// What this process has in memory, in bytes (RSS). `None` where the system does not say.
    #[must_use]
    pub fn resident_memory_bytes() -> Option<u64> {
        resident_bytes()
    }

    /// All metrics as text, in the form of [`CONTENT_TYPE`].
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(16 << 10);
        text::encode(&mut out, &self.registry).expect("writing into a String does not fail");
        out
    }
}

/// The metrics as rows of the documentation: name, type, label name (or nothing) and help.
#[must_use]
pub fn descriptions() -> Vec<Description> {
    collector::descriptions()
}

/// The values that the labels may have, for each metric that has one with words for values.
#[must_use]
pub fn label_values() -> Vec<LabelValues> {
    collector::label_values()
}

/// A label of one metric and all its values.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LabelValues {
    /// The name of the label.
    pub label: &'static str,
    /// The metric.
    pub of: String,
    /// Its values.
    pub values: Vec<&'static str>,
}

/// One metric, as documented.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// The full name, with prefix, unit and `_total`.
    pub name: String,
    /// `counter`, `gauge`, `histogram` or `info`.
    pub kind: &'static str,
    /// The name of its label.
    pub label: Option<&'static str>,
    /// What it counts, in one sentence.
    pub help: &'static str,
}
