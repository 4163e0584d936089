//! Every bound of the engine, with its default and its reason.

use core::time::Duration;

use whinchat_codec::QoS;

/// The bounds of one connection and its session.
///
/// | bound | default | why |
/// | --- | --- | --- |
/// | `receive_maximum` | 256 | unanswered QoS 1 and 2 messages cost memory until they are durable |
/// | `in_flight_max` | 256, 32 to a 3.x peer | a longer window buys no throughput, a 3.x peer cannot say what it takes |
/// | `topic_alias_maximum_in` | 32 | a table per connection |
/// | `topic_alias_maximum_out` | 32 | the same, for a peer that offers one |
/// | `packet_size_max` | 2 MiB | announced to a 5.0 peer; the codec enforces it |
/// | `queue` | 100,000 messages, 64 MiB | one absent subscriber must not fill the memory |
/// | `handshake_timeout` | 10 s | a silent connection holds a descriptor |
/// | `ping_timeout` | the keep alive | how long a client waits for PINGRESP |
/// | `authentication_rounds_max` | 10 | an AUTH exchange that never ends |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionLimits {
    /// Receive Maximum that a server announces: QoS 1 and 2 messages of the peer that may be
    /// without their last answer. 1 to 65,535; 0 counts as 1. A client announces its own in
    /// CONNECT.
    pub receive_maximum: u16,
    /// Our QoS 1 and 2 messages in flight to a 5.0 peer, if its Receive Maximum allows as many.
    /// 1 to 65,535; 0 counts as 1.
    pub in_flight_max: u16,
    /// The same to a 3.x peer.
    pub in_flight_max_v3: u16,
    /// Topic Alias Maximum that a server announces. 0: none.
    pub topic_alias_maximum_in: u16,
    /// Topic aliases that we use to a peer whose Topic Alias Maximum allows as many. 0: none.
    pub topic_alias_maximum_out: u16,
    /// Maximum Packet Size that a server announces, in bytes of the whole packet. The bytes are
    /// checked by the decoder, whose limit has to be the same.
    pub packet_size_max: u32,
    /// Maximum QoS that a server announces to 5.0 clients.
    pub maximum_qos: QoS,
    /// Whether a server takes retained messages from 5.0 clients.
    pub retain_available: bool,
    /// Bounds of the queue of messages that wait.
    pub queue: QueueLimits,
    /// From the start of the connection to the CONNACK, and for one re-authentication.
    pub handshake_timeout: Duration,
    /// How long a client waits for PINGRESP; `None`: one keep alive period.
    pub ping_timeout: Option<Duration>,
    /// AUTH packets of the peer in one exchange.
    pub authentication_rounds_max: u8,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            receive_maximum: 256,
            in_flight_max: 256,
            in_flight_max_v3: 32,
            topic_alias_maximum_in: 32,
            topic_alias_maximum_out: 32,
            packet_size_max: 2 * 1024 * 1024,
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
            queue: QueueLimits::default(),
            handshake_timeout: Duration::from_secs(10),
            ping_timeout: None,
            authentication_rounds_max: 10,
        }
    }
}

macro_rules! setters {
    ($($field:ident: $type:ty = $with:ident;)+) => {
        impl SessionLimits {
            $(
                #[doc = concat!("The same limits with another [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub const fn $with(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )+
        }
    };
}

setters! {
    receive_maximum: u16 = with_receive_maximum;
    in_flight_max: u16 = with_in_flight_max;
    in_flight_max_v3: u16 = with_in_flight_max_v3;
    topic_alias_maximum_in: u16 = with_topic_alias_maximum_in;
    topic_alias_maximum_out: u16 = with_topic_alias_maximum_out;
    packet_size_max: u32 = with_packet_size_max;
    maximum_qos: QoS = with_maximum_qos;
    retain_available: bool = with_retain_available;
    queue: QueueLimits = with_queue;
    handshake_timeout: Duration = with_handshake_timeout;
    ping_timeout: Option<Duration> = with_ping_timeout;
    authentication_rounds_max: u8 = with_authentication_rounds_max;
}

/// Bounds of the queue of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Messages that may wait.
    pub messages: u32,
    /// Bytes that may wait, as [`Message::byte_size`](crate::Message::byte_size) counts them.
    pub bytes: u64,
    /// What happens at the limit.
    pub policy: QueuePolicy,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            messages: 100_000,
            bytes: 64 * 1024 * 1024,
            policy: QueuePolicy::RefuseNew,
        }
    }
}

/// What happens to a message that finds the queue at its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QueuePolicy {
    /// It is dropped, and so are those behind it until the queue is below 90 % of its limits: a
    /// queue that hovers at its limit would keep a random subset.
    #[default]
    RefuseNew,
    /// The oldest waiting messages are dropped to make room.
    DropOldest,
}
