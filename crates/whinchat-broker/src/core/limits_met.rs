//! A limit was met: counted every time, logged so often that an operator sees it and no oftener.
//!
//! Whoever meets a limit decides how often that is, so each limit has its own small allowance of log
//! lines per period; the first line after a silence says how many were left out.

use std::fmt;

use whinchat_session::Instant;
use whinchat_topic::TopicName;
use whinchat_transport::Peer;

use crate::{limits::Limit, metrics::ShardMetrics, shard::Shard};

const LINES_PER_PERIOD: u32 = 10;
const PERIOD_MILLIS: u64 = 10_000;

/// Who met which limit, and with what.
pub(crate) struct Met<'a> {
    pub(crate) limit: Limit,
    /// Unknown before its CONNECT was read.
    pub(crate) client_id: Option<&'a str>,
    pub(crate) peer: Option<Peer>,
    /// What was above the limit, or what the limit made of it.
    pub(crate) value: &'a dyn fmt::Display,
}

/// What one shard has logged of late, by limit.
pub(crate) struct LimitLog(Vec<Lines>);

#[derive(Clone, Copy, Default)]
struct Lines {
    since: Instant,
    written: u32,
    left_out: u64,
}

impl Default for LimitLog {
    fn default() -> Self {
        Self(vec![Lines::default(); Limit::ALL.len()])
    }
}

impl LimitLog {
    pub(crate) fn note(&mut self, now: Instant, metrics: &ShardMetrics, met: &Met<'_>) {
        metrics.limit_hits.of(met.limit).increment();
        let Some(left_out) = self.0[met.limit as usize].take(now) else {
            return;
        };
        // With Debug: a client id may hold anything.
        tracing::warn!(
            client_id = met.client_id.map(tracing::field::debug),
            peer = met.peer.map(tracing::field::display),
            value = %met.value,
            limit = met.limit.option(),
            left_out,
            "a client met a limit"
        );
    }
}

impl Shard {
    /// The client of this connection and session has met a limit.
    pub(crate) fn meet_limit(
        &mut self,
        slot: u32,
        session: u32,
        limit: Limit,
        value: &dyn fmt::Display,
    ) {
        let met = Met {
            limit,
            client_id: self
                .sessions
                .get(session)
                .map(|session| &*session.client_id),
            peer: self.slots.get(slot as usize).map(|slot| slot.peer),
            value,
        };
        self.limit_log.note(self.now, &self.metrics, &met);
    }

    /// The limit that a topic name or filter from this connection is above, and its size there.
    pub(crate) fn topic_limit(&self, slot: u32, topic: &str) -> Option<(Limit, usize)> {
        let listener = self.slots.get(slot as usize)?.listener;
        let limits = &self.settings.listener(listener).limits;
        if topic.len() as u64 > limits.topic_size.bytes() {
            return Some((Limit::TopicSize, topic.len()));
        }
        TopicName::from_validated(topic)
            .check_levels(usize::from(limits.topic_levels))
            .is_err()
            .then(|| (Limit::TopicLevels, topic.split('/').count()))
    }
}

impl Lines {
    /// Whether a line may be written now: then how many were left out before it.
    fn take(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_since(self.since).as_millis() >= u128::from(PERIOD_MILLIS) {
            self.since = now;
            self.written = 0;
        }
        if self.written >= LINES_PER_PERIOD {
            self.left_out += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_lines_and_the_number_of_those_left_out() {
        let mut lines = Lines::default();
        let at = Instant::from_millis;
        let written = (0..1000).filter(|_| lines.take(at(5)).is_some()).count();
        assert_eq!(written, 10);
        assert_eq!(lines.take(at(9_999)), None);
        assert_eq!(lines.take(at(10_000)), Some(991));
        assert_eq!(lines.take(at(10_001)), Some(0));
    }
}
