//! One row per metric: field, name, label and help.

use super::{
    cell::{Counter, Family, Gauge, Histogram, SharedCounter, SharedFamily, TimeCounter},
    label::{
        AccessLabel, AuthenticationLabel, CloseLabel, DropLabel, HookLabel, Label, PacketLabel,
        QosLabel, RefusalLabel,
    },
};
use crate::Limit;

/// One metric of the cells `S`.
pub(super) struct Row<S> {
    /// Without prefix and `_total`; the unit is part of it.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) read: Read<S>,
}

/// How a metric is read from its cells.
pub(super) enum Read<S> {
    /// Summed over the shards.
    Counter(fn(&S) -> u64),
    /// Summed over the shards.
    Gauge(fn(&S) -> i64),
    /// For each value of a label, summed over the shards.
    Family(LabelNames, fn(&S, usize) -> u64),
    /// For each shard by itself.
    PerShard(fn(&S) -> u64),
    /// For each shard by itself, in seconds.
    PerShardTime(fn(&S) -> f64),
    Histogram(fn(&S) -> &Histogram),
}

/// The name and the values of a label.
#[derive(Clone, Copy)]
pub(super) struct LabelNames {
    pub(super) name: &'static str,
    pub(super) count: usize,
    pub(super) text: fn(usize) -> &'static str,
}

macro_rules! metrics {
    (
        $(#[$meta:meta])*
        pub struct $struct:ident {
            $($kind:ident $(<$label:ty>)? $field:ident $help:literal;)+
        }
    ) => {
        $(#[$meta])*
        pub struct $struct {
            $(#[doc = $help] pub $field: metrics!(@type $kind $($label)?),)+
        }

        impl $struct {
            /// Its metrics in the order of the documentation.
            pub(super) const ROWS: &'static [Row<Self>] = &[$(Row {
                name: stringify!($field),
                help: $help,
                read: metrics!(@read $kind $field $($label)?),
            }),+];
        }
    };
    (@type counter) => { Counter };
    (@type per_shard) => { Counter };
    (@type per_shard_time) => { TimeCounter };
    (@type gauge) => { Gauge };
    (@type family $label:ty) => { Family<$label> };
    (@type shared_counter) => { SharedCounter };
    (@type shared_family $label:ty) => { SharedFamily<$label> };
    (@type histogram) => { Histogram };
    (@read counter $field:ident) => { Read::Counter(|cells| cells.$field.value()) };
    (@read shared_counter $field:ident) => { Read::Counter(|cells| cells.$field.value()) };
    (@read per_shard $field:ident) => { Read::PerShard(|cells| cells.$field.value()) };
    (@read per_shard_time $field:ident) => { Read::PerShardTime(|cells| cells.$field.seconds()) };
    (@read gauge $field:ident) => { Read::Gauge(|cells| cells.$field.value()) };
    (@read family $field:ident $label:ty) => {
        Read::Family(LabelNames::of::<$label>(), |cells, index| cells.$field.at(index))
    };
    (@read shared_family $field:ident $label:ty) => {
        Read::Family(LabelNames::of::<$label>(), |cells, index| cells.$field.at(index))
    };
    (@read histogram $field:ident) => { Read::Histogram(|cells| &cells.$field) };
}

impl LabelNames {
    const fn of<L: Label>() -> Self {
        Self {
            name: L::NAME,
            count: L::ALL.len(),
            text: |index| L::ALL[index].text(),
        }
    }
}

metrics! {
    /// The counters of one shard: written by its thread alone, and on cache lines of their own.
    #[derive(Debug, Default)]
    #[repr(align(128))]
    pub struct ShardMetrics {
        gauge connections "Connections that are open.";
        counter connections_opened "Connections that a listener took.";
        counter connections_accepted "Connections whose CONNECT was accepted.";
        family<RefusalLabel> connections_refused "Connections that ended before their CONNECT was accepted, by reason.";
        family<CloseLabel> connections_closed "Accepted connections that ended, by reason.";
        family<PacketLabel> packets_received "Packets from clients, by type.";
        family<PacketLabel> packets_sent "Packets to clients, by type.";
        family<PacketLabel> packets_received_bytes "Bytes of packets from clients, by type.";
        family<PacketLabel> packets_sent_bytes "Bytes of packets to clients, by type.";
        family<QosLabel> messages_received "Messages that clients published, by QoS.";
        family<QosLabel> messages_sent "Messages given to clients, by the QoS of the delivery; repeats not counted.";
        family<DropLabel> messages_dropped "Deliveries that will not happen, by reason.";
        counter messages_repeated "Messages sent again after a reconnect.";
        gauge messages_queued "Messages that wait in the queues of sessions.";
        gauge messages_queued_bytes "Bytes of messages that wait in the queues of sessions.";
        gauge messages_in_flight "Messages sent at QoS 1 or 2 and not acknowledged.";
        gauge retained_messages "Retained messages.";
        gauge retained_messages_bytes "Bytes of retained messages.";
        gauge subscriptions "Subscriptions of all sessions, shared ones included.";
        gauge shared_subscriptions "Shared subscriptions of all sessions.";
        gauge sessions "Sessions, with and without a connection.";
        gauge sessions_overflowed "Sessions whose queue was full and has not drained yet.";
        counter sessions_expired "Sessions that ended because their expiry interval passed.";
        counter sessions_taken_over "Connections that took over the session of another one.";
        counter wills_published "Wills that were published.";
        family<Limit> limit_hits "Times that a limit held something off, by the option that sets it.";
        family<AccessLabel> access_denied "Requests that authorization denied, by action.";
        per_shard shard_turns "Turns of the shard's loop.";
        per_shard shard_mailbox_batches "Batches that the shard took from the mailboxes of other shards.";
        per_shard_time shard_busy_seconds "Time that the shard spent inside turns.";
    }
}

metrics! {
    /// Counters of what does not happen on a shard's hot path: any thread may write them.
    #[derive(Debug, Default)]
    pub struct SharedMetrics {
        shared_family<AuthenticationLabel> authentications "Authentications, by result.";
        histogram authentication_seconds "Time that the authenticator took.";
        shared_family<HookLabel> hook_errors "Calls of a hook that ended with an error and were taken as a refusal, by hook.";
        shared_family<HookLabel> hook_panics "Calls of a hook that panicked and were taken as a refusal, by hook.";
        shared_family<HookLabel> hook_timeouts "Calls of a hook that took too long and were taken as a refusal, by hook.";
        shared_counter panics "Panics that ended one connection instead of the process.";
        shared_counter admin_requests "Requests to the admin port.";
        shared_counter admin_requests_refused "Requests to the admin port that were refused.";
        shared_counter config_reloads "Reloads of the configuration that succeeded.";
        shared_counter config_reload_errors "Reloads of the configuration that were refused; the old one stays.";
    }
}
