//! One direction of a stream: splits anywhere, delays, never reorders.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use whinchat_session::Instant;

/// Bytes under way, in pieces of random size with random delays.
#[derive(Debug)]
pub struct Link {
    random: fastrand::Rng,
    delay_max: Duration,
    under_way: VecDeque<(Instant, Bytes)>,
}

impl Link {
    /// A link whose splits and delays follow from `seed`. A `delay_max` of zero neither splits nor
    /// delays.
    pub fn new(seed: u64, delay_max: Duration) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            delay_max,
            under_way: VecDeque::new(),
        }
    }

    /// Takes bytes from the sender.
    pub fn send(&mut self, now: Instant, mut bytes: BytesMut) {
        while !bytes.is_empty() {
            let (len, delay) = if self.delay_max.is_zero() {
                (bytes.len(), Duration::ZERO)
            } else {
                let len = match self.random.u8(..4) {
                    0 => 1,
                    1 => self.random.usize(1..=bytes.len().min(7)),
                    _ => self.random.usize(1..=bytes.len()),
                };
                let millis = u64::try_from(self.delay_max.as_millis()).unwrap_or(u64::MAX);
                (len, Duration::from_millis(self.random.u64(..=millis)))
            };
            let earliest = self.under_way.back().map_or(now, |(arrival, _)| *arrival);
            let arrival = now.saturating_add(delay).max(earliest);
            self.under_way
                .push_back((arrival, bytes.split_to(len).freeze()));
        }
    }

    /// When the next bytes arrive.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.under_way.front().map(|(arrival, _)| *arrival)
    }

    /// The next bytes that have arrived by `now`.
    pub fn receive(&mut self, now: Instant) -> Option<Bytes> {
        self.under_way
            .pop_front_if(|(arrival, _)| *arrival <= now)
            .map(|(_, bytes)| bytes)
    }

    /// What is under way is lost.
    pub fn cut(&mut self) {
        self.under_way.clear();
    }
}
