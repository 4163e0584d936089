//! Every bound of the broker: its name, its default, and what happens at it.
//!
//! Owns the numbers and their documentation ([`BrokerLimits`]) and their names for metrics and logs
//! ([`Limit`]). Leaves to the rest of the broker: keeping them. Nothing may queue, grow or wait
//! without a row here.

pub(crate) mod machine;
mod name;

use std::time::Duration;

use crate::config::{
    Auto,
    row::section,
    units::{ByteSize, Seconds},
    value::words,
};

pub use name::Limit;

/// The largest packet that MQTT can express: a fixed header of five bytes and the largest Remaining Length.
const PACKET_BYTES_MAX: u64 = 268_435_460;
const SECOND: u64 = 1_000;
const DAY: u64 = 86_400 * SECOND;

section! {
    /// What one client, or all of them together, may use. The defaults hold off harm and let a real fleet work untouched.
    ///
    /// A listener may set those about a single connection for itself, in `[listener.limits]`.
    pub struct BrokerLimits in "limits" {
        /// Largest packet before CONNACK: the CONNECT itself. A larger one closes the connection.
        packet_size_before_connect: ByteSize = ByteSize::kib(64), 256 => PACKET_BYTES_MAX;
        /// Largest packet after CONNACK. MQTT 5.0 clients are told it as Maximum Packet Size; a larger one is answered with 0x95 and closes the connection.
        packet_size: ByteSize = ByteSize::mib(2), 256 => PACKET_BYTES_MAX;
        /// Time from accepting a connection to its complete CONNECT.
        connect_timeout: Duration = Duration::from_secs(10), 100 => 3600 * SECOND;
        /// The same where a TLS handshake comes first. Read by TLS listeners, which this version does not have yet.
        connect_timeout_tls: Duration = Duration::from_secs(30), 100 => 3600 * SECOND;
        /// A packet that has begun and makes no progress for this long closes its connection.
        packet_stall_timeout: Duration = Duration::from_secs(30), 100 => 3600 * SECOND;
        /// A packet that has begun and arrives slower than this per second closes its connection; "0B" is no lowest rate.
        packet_rate_min: ByteSize = ByteSize::new(100), 0 => 1 << 20;
        /// Longest keep alive. A client that asks for more, or for none, is held to this one; MQTT 5.0 clients are told it as Server Keep Alive. With "none" every value is taken as the client asks.
        keep_alive_max: Option<Seconds> = None, SECOND => 65_535 * SECOND;
        /// Silence after which TCP begins to probe a peer, so that dead ones without a keep alive are found. With "none" the system's own setting stays.
        tcp_keep_alive_after: Option<Duration> = Some(Duration::from_secs(600)), SECOND => 32_767 * SECOND;
        /// Longest client id. A longer one is answered with 0x85.
        client_id_size: ByteSize = ByteSize::kib(1), 23 => 65_535;
        /// Longest user name. A longer one is answered with 0x86.
        user_name_size: ByteSize = ByteSize::kib(16), 0 => 65_535;
        /// Longest password. A longer one is answered with 0x86.
        password_size: ByteSize = ByteSize::kib(16), 0 => 65_535;
        /// Longest topic name or topic filter.
        topic_size: ByteSize = ByteSize::new(65_535), 1 => 65_535;
        /// Most levels of a topic name or topic filter.
        topic_levels: u16 = 200, 1 => 65_535;
        /// Most user properties in one packet.
        user_properties: u16 = 64, 0 => 65_535;
        /// Most bytes of properties in one packet.
        properties_size: ByteSize = ByteSize::kib(16), 64 => PACKET_BYTES_MAX;
        /// Most topic filters in one SUBSCRIBE or UNSUBSCRIBE.
        filters_per_subscribe: u16 = 10_000, 1 => 65_535;
        /// Most subscriptions of one session. A further one is answered with 0x97.
        subscriptions_per_session: u32 = 50_000, 1 => u32::MAX as u64;
        /// Most subscriptions of all sessions together. A further one is answered with 0x97.
        subscriptions: u32 = 10_000_000, 1 => u32::MAX as u64;
        /// Most QoS 1 and 2 messages from one client that are not acknowledged yet. MQTT 5.0 clients are told it as Receive Maximum; more is answered with 0x93.
        receive_maximum: u16 = 256, 1 => 65_535;
        /// Most QoS 1 and 2 messages to one client that it has not acknowledged yet, if the client itself allows as many.
        send_window: u16 = 256, 1 => 65_535;
        /// The same for MQTT 3.1 and 3.1.1 clients, which cannot say what they allow.
        send_window_v3: u16 = 32, 1 => 65_535;
        /// Most messages that wait for one session.
        queue_messages: u32 = 100_000, 1 => u32::MAX as u64;
        /// Most bytes of messages that wait for one session.
        queue_size: ByteSize = ByteSize::mib(64), 1024 => 1 << 40;
        /// So many messages at the front of a session's queue stay in memory. Those behind them are read back from the data directory when their turn comes; without one all are in memory.
        queue_in_memory: u32 = 1_000, 0 => u32::MAX as u64;
        /// What happens to a message that finds the queue of a session full. "drop-new": it is not queued, nor is any other until the queue is below 90 %. "drop-oldest": the oldest queued message makes room. "refuse": its publisher is answered with 0x97.
        queue_overflow: QueueOverflow = QueueOverflow::DropNew;
        /// Most bytes that are written for a connection and not taken by its peer; one message may exceed it alone. QoS 0 messages beyond it are dropped, others wait in the session's queue.
        unsent_size: ByteSize = ByteSize::mib(4), 4096 => 1 << 32;
        /// A connection whose unsent bytes stay full without progress for this long, and for 1.5 times its keep alive, is closed.
        unsent_stall_timeout: Duration = Duration::from_secs(30), SECOND => DAY;
        /// Most topic aliases a client may use towards the broker; 0 is none.
        topic_alias_maximum: u16 = 32, 0 => 65_535;
        /// Most topic aliases the broker uses towards a client, if the client itself allows as many; 0 is none.
        topic_alias_maximum_out: u16 = 32, 0 => 65_535;
        /// Longest session expiry. A client that asks for more gets this one and is told so in CONNACK; it also ends the sessions of MQTT 3.1 and 3.1.1 clients without Clean Session. With "none" they last as asked.
        session_expiry_max: Option<Seconds> = None, SECOND => u32::MAX as u64 * SECOND;
        /// Most sessions that outlive their connection. A further one is answered with 0x97.
        durable_sessions: u32 = 1_000_000, 1 => u32::MAX as u64;
        /// Most of those that belong to anonymous clients from other machines.
        anonymous_sessions: u32 = 10_000, 0 => u32::MAX as u64;
        /// Longest session expiry of anonymous clients from other machines.
        anonymous_session_expiry_max: Seconds = Seconds::new(86_400), 0 => u32::MAX as u64 * SECOND;
        /// Most retained messages. A further one is answered with 0x97 and not retained.
        retained_messages: u32 = 1_000_000, 0 => u32::MAX as u64;
        /// Most bytes of retained messages. With "auto" 1 GiB or a quarter of memory_size, whichever is less.
        retained_size: Auto<ByteSize> = Auto::Auto, 0 => 1 << 44;
        /// Most nodes of an index of retained topics with a node for each level that no other topic shares. The index of this version has no nodes: retained_messages and retained_size bound all it holds.
        retained_nodes: u32 = 10_000_000, 1 => u32::MAX as u64;
        /// Most connects per second from one source: an IPv4 address, or an IPv6 network of 64 bits. With "none" there is no bound: a whole fleet may share one address.
        connects_per_address: Option<u32> = None, 1 => u32::MAX as u64;
        /// So many times one client id may be taken over by a new connection within takeover_period; each further one waits for takeover_delay before it is answered.
        takeovers: u32 = 30, 1 => u32::MAX as u64;
        /// The span over which takeovers are counted.
        takeover_period: Duration = Duration::from_secs(10), SECOND => 3600 * SECOND;
        /// How long a takeover beyond the bound waits.
        takeover_delay: Duration = Duration::from_millis(500), 0 => 60 * SECOND;
        /// Most connections at a time. With "auto" nine tenths of the file descriptors that the process may open.
        connections: Auto<u32> = Auto::Auto, 1 => u32::MAX as u64;
        /// Share of the connections, in percent, that may be open without being past CONNECT. When half of that is used, the oldest of the address with most of them makes room for a new one.
        unauthenticated_percent: u8 = 10, 1 => 100;
        /// Longest header of the HTTP request that opens a WebSocket. Read by WebSocket listeners, which this version does not have yet.
        websocket_header_size: ByteSize = ByteSize::kib(8), 512 => 1 << 20;
        /// Most fragments of one WebSocket message. Read by WebSocket listeners, which this version does not have yet.
        websocket_fragments: u32 = 1_024, 1 => 1 << 20;
        /// Longest payload of a will. A longer one is answered with 0x95.
        will_size: ByteSize = ByteSize::kib(32), 0 => PACKET_BYTES_MAX;
        /// Memory of the process above which nothing new is taken: connections and publishers at QoS 1 and 2 are answered with 0x97, retained messages are delivered and not kept, QoS 0 messages to readers that lag are dropped. Above two thirds of it readers that lag have 64 KiB of unsent_size each, and messages at QoS 1 and 2 for sessions with 256 messages or more in their queue are answered with 0x97. With "auto" half of the machine's memory or of the control group's limit.
        memory_size: Auto<ByteSize> = Auto::Auto, 32 << 20 => 1 << 50;
        /// Most of the data directory's volume that the log may take, in percent. Above it, and where the volume is full, messages that have to be stored are answered with 0x97; from 3.1 and 3.1.1 clients they are not read until there is room.
        store_percent: u8 = 80, 1 => 100;
    }
}

words! {
    /// What happens to a message that finds the queue of a session full.
    pub enum QueueOverflow {
        /// It is not queued, nor is any other until the queue is below 90 %.
        DropNew = "drop-new",
        /// The oldest queued message makes room.
        DropOldest = "drop-oldest",
        /// Its publisher is answered with 0x97 (Quota exceeded).
        Refuse = "refuse",
    }
}

impl BrokerLimits {
    /// The options that a listener may set for itself: those about a single connection.
    pub(crate) const OF_A_LISTENER: &'static [&'static str] = &[
        "packet_size_before_connect",
        "packet_size",
        "connect_timeout",
        "connect_timeout_tls",
        "packet_stall_timeout",
        "packet_rate_min",
        "keep_alive_max",
        "tcp_keep_alive_after",
        "client_id_size",
        "user_name_size",
        "password_size",
        "topic_size",
        "topic_levels",
        "user_properties",
        "properties_size",
        "filters_per_subscribe",
        "receive_maximum",
        "send_window",
        "send_window_v3",
        "unsent_stall_timeout",
        "topic_alias_maximum",
        "topic_alias_maximum_out",
        "session_expiry_max",
        "anonymous_session_expiry_max",
        "websocket_header_size",
        "websocket_fragments",
        "will_size",
    ];

    /// Replaces each [`Auto::Auto`] by what this machine has.
    ///
    /// Reads the system's and the control group's memory and the process's bound on file
    /// descriptors: call it once, after that bound was raised.
    #[must_use]
    pub fn resolved(&self) -> Self {
        Self {
            memory_size: Auto::Set(ByteSize::new(self.memory_bytes())),
            retained_size: Auto::Set(ByteSize::new(self.retained_bytes())),
            connections: Auto::Set(self.connections_max()),
            ..self.clone()
        }
    }

    /// Most bytes the process may use before it takes nothing new.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.memory_size
            .or_else(|| ByteSize::new(machine::memory_bytes() / 2))
            .bytes()
    }

    /// Most bytes of retained messages.
    #[must_use]
    pub fn retained_bytes(&self) -> u64 {
        self.retained_size
            .or_else(|| ByteSize::gib(1).min(ByteSize::new(self.memory_bytes() / 4)))
            .bytes()
    }

    /// Most connections at a time.
    #[must_use]
    pub fn connections_max(&self) -> u32 {
        self.connections.or_else(|| {
            let descriptors = machine::descriptors_max();
            u32::try_from(descriptors - descriptors / 10).unwrap_or(u32::MAX)
        })
    }

    /// Most connections that are open and not past CONNECT; at least one.
    #[must_use]
    pub fn unauthenticated_max(&self) -> u32 {
        let share =
            u64::from(self.connections_max()) * u64::from(self.unauthenticated_percent) / 100;
        u32::try_from(share).unwrap_or(u32::MAX).max(1)
    }
}

#[cfg(test)]
mod tests;
