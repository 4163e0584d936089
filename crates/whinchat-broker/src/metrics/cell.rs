//! Single numbers: those that one thread writes, and those that many do.

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::label::Label;

/// A count that one thread writes and any thread reads.
///
/// Writing is a plain load and store: two writers at a time lose counts (and nothing worse).
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `count` more.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0
            .store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    /// Counts one more.
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// The count so far.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A sum of times; written by one thread as [`Counter`].
#[derive(Debug, Default)]
pub struct TimeCounter {
    nanos: Counter,
}

impl TimeCounter {
    /// Adds this much.
    #[inline]
    pub fn add(&self, duration: Duration) {
        self.nanos
            .add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The sum so far, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        Duration::from_nanos(self.nanos.value()).as_secs_f64()
    }
}

/// A number that goes up and down; written by one thread as [`Counter`].
///
/// It may be negative on one shard, where what one shard adds another one takes away: only the sum
/// over the shards means something.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Raises it by `count`.
    #[inline]
    pub fn add(&self, count: usize) {
        self.0.store(
            self.0.load(Relaxed).wrapping_add_unsigned(count as u64),
            Relaxed,
        );
    }

    /// Lowers it by `count`.
    #[inline]
    pub fn subtract(&self, count: usize) {
        self.0.store(
            self.0.load(Relaxed).wrapping_sub_unsigned(count as u64),
            Relaxed,
        );
    }

    /// Sets it.
    #[inline]
    pub fn set(&self, value: usize) {
        self.0
            .store(i64::try_from(value).unwrap_or(i64::MAX), Relaxed);
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// A count that any thread writes.
#[derive(Debug, Default)]
pub struct SharedCounter(AtomicU64);

impl SharedCounter {
    /// Counts `count` more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// Counts one more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// The count so far.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One count per value of a label; a [`Counter`] or a [`SharedCounter`] each.
#[derive(Debug)]
pub struct PerLabel<L, C> {
    counters: Box<[C]>,
    label: PhantomData<fn(L)>,
}

/// One [`Counter`] per value of a label.
pub type Family<L> = PerLabel<L, Counter>;

/// One [`SharedCounter`] per value of a label.
pub type SharedFamily<L> = PerLabel<L, SharedCounter>;

impl<L: Label, C: Default> Default for PerLabel<L, C> {
    fn default() -> Self {
        Self {
            counters: L::ALL.iter().map(|_| C::default()).collect(),
            label: PhantomData,
        }
    }
}

impl<L: Label, C> PerLabel<L, C> {
    /// The count for this value.
    #[inline]
    pub fn of(&self, value: impl Into<L>) -> &C {
        &self.counters[value.into().index()]
    }
}

/// How long something took, in buckets; any thread writes.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_SECONDS.len() + 1],
    sum_micros: AtomicU64,
}

/// Upper ends of the buckets but the last, which has none.
const BOUNDS_SECONDS: [f64; 8] = [0.000_1, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0];

impl Histogram {
    /// Counts one that took this long.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BOUNDS_SECONDS.partition_point(|bound| *bound < seconds);
        self.buckets[bucket].fetch_add(1, Relaxed);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum_micros.fetch_add(micros, Relaxed);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }

    pub(super) fn sum_seconds(&self) -> f64 {
        Duration::from_micros(self.sum_micros.load(Relaxed)).as_secs_f64()
    }

    /// Upper end and count of each bucket, as the encoder wants them.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS_SECONDS.into_iter().chain([f64::MAX]);
        bounds
            .zip(&self.buckets)
            .map(|(bound, count)| (bound, count.load(Relaxed)))
            .collect()
    }
}

impl<L: Label> PerLabel<L, Counter> {
    /// The sum over all values.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counters
            .iter()
            .map(Counter::value)
            .fold(0, u64::wrapping_add)
    }

    pub(super) fn at(&self, index: usize) -> u64 {
        self.counters[index].value()
    }
}

impl<L: Label> PerLabel<L, SharedCounter> {
    pub(super) fn at(&self, index: usize) -> u64 {
        self.counters[index].value()
    }
}
