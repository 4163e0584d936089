//! `$SYS`: what the broker says of itself, under the names that Mosquitto made usual.
//!
//! The first shard publishes those values that changed, as retained messages, at the configured
//! interval; an interval of zero switches it off.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use hashbrown::HashMap;
use whinchat_codec::{PublishProperties, QoS, Utf8String};
use whinchat_session::Instant;

use super::{deliver::Outgoing, message::Message};
use crate::{metrics::ShardMetrics, shard::Shard};

/// The values published last, and when the next round is due.
#[derive(Debug, Default)]
pub(crate) struct SystemTopics {
    last: HashMap<&'static str, String>,
    due: Option<Instant>,
    clients_maximum: usize,
}

/// Retained messages looked at per tick for some that have expired.
const SWEPT_PER_TICK: usize = 4096;

impl Shard {
    /// Called with every tick: gives back what expired retained messages hold.
    pub(crate) fn sweep_retained(&mut self) {
        if self.id.position() == 0 {
            let cursor = self.retained_sweep.take();
            let mut retained = self.commons.retained.write();
            self.retained_sweep = retained.sweep(cursor, SWEPT_PER_TICK, self.now);
            self.metrics.retained_messages.set(retained.len());
            self.metrics.retained_messages_bytes.set(retained.bytes());
        }
    }

    /// Called with every turn.
    pub(crate) fn publish_system_topics(&mut self) {
        let Some(interval) = self.settings.sys_interval else {
            return;
        };
        if self.id.position() != 0 || self.system_topics.due.is_some_and(|due| self.now < due) {
            return;
        }
        self.system_topics.due = Some(self.now.saturating_add(interval));
        for (name, value) in self.system_values() {
            if self.system_topics.last.get(name) == Some(&value) {
                continue;
            }
            let message = Arc::new(Message {
                id: self.commons.next_message_id(),
                publisher: 0,
                topic: Utf8String::try_from(format!("$SYS/broker/{name}"))
                    .expect("a short text without U+0000"),
                properties: PublishProperties::default(),
                payload: Bytes::from(value.clone()),
                qos: QoS::AtMostOnce,
                retain: true,
                expires_at: None,
                segment: AtomicU64::new(0),
                spilled: OnceLock::new(),
            });
            self.system_topics.last.insert(name, value);
            self.route(Outgoing::kept(&message));
        }
    }

    fn system_values(&mut self) -> Vec<(&'static str, String)> {
        let counts = &self.commons.counts;
        let metrics = Arc::clone(&self.commons.metrics);
        let sum = |of: &dyn Fn(&ShardMetrics) -> u64| metrics.sum(of).to_string();
        let connected = counts.clients.load(Ordering::Relaxed);
        let sessions = counts.sessions.load(Ordering::Relaxed);
        let maximum = self.system_topics.clients_maximum.max(connected);
        self.system_topics.clients_maximum = maximum;
        let retained = self.commons.retained.read();
        let (retained_count, retained_bytes) = (retained.len(), retained.bytes());
        drop(retained);
        vec![
            (
                "version",
                concat!("whinchat version ", env!("CARGO_PKG_VERSION")).to_owned(),
            ),
            ("uptime", format!("{} seconds", self.now.as_millis() / 1000)),
            ("clients/total", sessions.to_string()),
            ("clients/connected", connected.to_string()),
            ("clients/active", connected.to_string()),
            (
                "clients/disconnected",
                sessions.saturating_sub(connected).to_string(),
            ),
            (
                "clients/inactive",
                sessions.saturating_sub(connected).to_string(),
            ),
            ("clients/maximum", maximum.to_string()),
            (
                "clients/expired",
                sum(&|shard| shard.sessions_expired.value()),
            ),
            (
                "bytes/received",
                sum(&|shard| shard.packets_received_bytes.total()),
            ),
            ("bytes/sent", sum(&|shard| shard.packets_sent_bytes.total())),
            (
                "messages/received",
                sum(&|shard| shard.packets_received.total()),
            ),
            ("messages/sent", sum(&|shard| shard.packets_sent.total())),
            (
                "publish/messages/received",
                sum(&|shard| shard.messages_received.total()),
            ),
            (
                "publish/messages/sent",
                sum(&|shard| shard.messages_sent.total()),
            ),
            (
                "publish/messages/dropped",
                sum(&|shard| shard.messages_dropped.total()),
            ),
            (
                "clients/overflowed",
                metrics
                    .sum_gauge(|shard| shard.sessions_overflowed.value())
                    .to_string(),
            ),
            ("retained messages/count", retained_count.to_string()),
            ("store/messages/count", retained_count.to_string()),
            ("store/messages/bytes", retained_bytes.to_string()),
            (
                "subscriptions/count",
                counts.subscriptions.load(Ordering::Relaxed).to_string(),
            ),
            (
                "shared_subscriptions/count",
                self.commons.groups.memberships().to_string(),
            ),
        ]
    }
}
