//! What a session keeps of an application message, and how a delivery of it is described.
//!
//! The engine never looks into a message: it asks it to write itself as a PUBLISH. A client keeps
//! an owned message, a broker a reference of a few bytes.

use alloc::boxed::Box;

use bytes::BytesMut;
use whinchat_codec::{EncodeError, Guarantee, ProtocolVersion, QoS};

use crate::Instant;

/// An application message, as the session that delivers it keeps it.
///
/// Clones should be cheap: the engine makes one for each delivery that it has to remember.
pub trait Message: Clone {
    /// Makes the message ready to be written: called when its turn has come, before [`topic`](Self::topic),
    /// [`encode_to`](Self::encode_to) and [`encoded_len`](Self::encoded_len). For queues that are longer than
    /// memory should hold; a message that is there has nothing to do.
    ///
    /// False: it cannot be had now. It keeps its place, and nothing behind it is sent until the engine is
    /// asked again.
    #[inline]
    fn load(&mut self) -> bool {
        true
    }

    /// The topic name, for topic aliases.
    fn topic(&self) -> &str;

    /// Appends the whole PUBLISH to `out`: what is in `head`, and topic, payload and all other
    /// properties from the message. A [`TopicAlias::Reuse`] writes the topic name as empty.
    ///
    /// # Errors
    /// If this version cannot carry the message; `out` is then as it was.
    fn encode_to(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError>;

    /// Exactly the number of bytes that [`encode_to`](Self::encode_to) would append.
    ///
    /// # Errors
    /// As [`encode_to`](Self::encode_to).
    fn encoded_len(
        &self,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
    ) -> Result<usize, EncodeError>;

    /// When the message expires; `None` if it does not.
    fn expires_at(&self) -> Option<Instant>;

    /// Bytes that count against the byte limit of a queue.
    fn byte_size(&self) -> usize;
}

/// The part of a PUBLISH that belongs to one delivery and not to the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishHead<'a> {
    /// QoS, packet id and DUP.
    pub guarantee: Guarantee,
    /// RETAIN.
    pub retain: bool,
    /// Subscription Identifiers; empty below 5.0.
    pub subscription_ids: &'a [u32],
    /// Message Expiry Interval in seconds, lowered by the time the message has waited; `None`
    /// below 5.0 and for a message that does not expire.
    pub message_expiry_interval: Option<u32>,
    /// Whether and how a Topic Alias is used; [`TopicAlias::None`] below 5.0.
    pub topic_alias: TopicAlias,
}

/// How one PUBLISH uses a Topic Alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicAlias {
    /// Not at all: the topic name alone.
    None,
    /// The topic name and the alias that stands for it from here on.
    Define(u16),
    /// The alias, with an empty topic name.
    Reuse(u16),
}

/// How a message is delivered to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeliveryOptions<'a> {
    /// The QoS of this delivery.
    pub qos: QoS,
    /// RETAIN.
    pub retain: bool,
    /// Subscription Identifiers that the PUBLISH carries to a 5.0 client.
    pub subscription_ids: &'a [u32],
}

impl<'a> DeliveryOptions<'a> {
    /// A delivery at `qos` without RETAIN and without Subscription Identifiers.
    #[inline]
    #[must_use]
    pub const fn new(qos: QoS) -> Self {
        Self {
            qos,
            retain: false,
            subscription_ids: &[],
        }
    }

    /// The same with this RETAIN flag.
    #[inline]
    #[must_use]
    pub const fn with_retain(mut self, retain: bool) -> Self {
        self.retain = retain;
        self
    }

    /// The same with these Subscription Identifiers.
    #[inline]
    #[must_use]
    pub const fn with_subscription_ids(mut self, ids: &'a [u32]) -> Self {
        self.subscription_ids = ids;
        self
    }
}

/// Subscription Identifiers of a delivery that is kept. Most have none or one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum SubscriptionIds {
    #[default]
    None,
    One(u32),
    Many(Box<[u32]>),
}

impl SubscriptionIds {
    #[inline]
    pub(crate) fn new(ids: &[u32]) -> Self {
        match ids {
            [] => Self::None,
            [id] => Self::One(*id),
            many => Self::Many(many.into()),
        }
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(id) => core::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }
}
