//! What a program may watch and change on the way of a message.

use bytes::Bytes;
use whinchat_codec::{DisconnectReason, ProtocolVersion, PubAckReason, PublishRef, QoS};
use whinchat_transport::Peer;

use super::Identity;

/// Watches connections and messages, and may stop or change a message.
///
/// It runs on the shard and is called only for what [`interest`](Self::interest) names: without it
/// no message pays for it. Return at once; hand work to another thread.
pub trait Intercept: Send + Sync + 'static {
    /// What this interceptor wants to be called for. Asked once, when the broker starts.
    fn interest(&self) -> Interest;

    /// A client was accepted.
    fn on_connect(&self, _client: &Client<'_>, _event: &ConnectEvent) {}

    /// An accepted connection ended.
    fn on_disconnect(&self, _client: &Client<'_>, _event: &DisconnectEvent) {}

    /// A subscription was granted.
    fn on_subscribe(&self, _client: &Client<'_>, _event: &SubscribeEvent<'_>) {}

    /// A client published a message that authorization allows; wills included.
    fn on_publish(&self, _client: &Client<'_>, _event: &MessageEvent<'_>) -> PublishVerdict {
        PublishVerdict::Pass
    }

    /// A message is about to be given to a client's session; asked before the message is queued.
    fn on_deliver(&self, _client: &Client<'_>, _event: &MessageEvent<'_>) -> DeliverVerdict {
        DeliverVerdict::Pass
    }
}

/// What an [`Intercept`] wants to be called for; nothing unless set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interest {
    /// Call `on_connect`.
    pub connects: bool,
    /// Call `on_disconnect`.
    pub disconnects: bool,
    /// Call `on_subscribe`.
    pub subscribes: bool,
    /// Call `on_publish` for topics that one of these filters matches.
    pub publishes: Vec<String>,
    /// Call `on_deliver` for topics that one of these filters matches.
    pub deliveries: Vec<String>,
}

impl Interest {
    /// In nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Also in connections that begin and end.
    #[must_use]
    pub fn with_connections(mut self) -> Self {
        self.connects = true;
        self.disconnects = true;
        self
    }

    /// Also in subscriptions.
    #[must_use]
    pub fn with_subscriptions(mut self) -> Self {
        self.subscribes = true;
        self
    }

    /// Also in messages published to topics that this filter matches.
    #[must_use]
    pub fn with_publishes(mut self, filter: impl Into<String>) -> Self {
        self.publishes.push(filter.into());
        self
    }

    /// Also in deliveries on topics that this filter matches.
    #[must_use]
    pub fn with_deliveries(mut self, filter: impl Into<String>) -> Self {
        self.deliveries.push(filter.into());
        self
    }
}

/// The client that an event is about.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Client<'a> {
    /// The client id.
    pub client_id: &'a str,
    /// Who it is.
    pub identity: &'a Identity,
}

impl<'a> Client<'a> {
    /// The client with this id.
    #[must_use]
    pub fn new(client_id: &'a str, identity: &'a Identity) -> Self {
        Self {
            client_id,
            identity,
        }
    }
}

/// A client was accepted.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ConnectEvent {
    /// The protocol version.
    pub version: ProtocolVersion,
    /// Where it connects from.
    pub peer: Peer,
    /// Whether it resumed a session.
    pub session_present: bool,
}

impl ConnectEvent {
    /// An accepted connection.
    #[must_use]
    pub fn new(version: ProtocolVersion, peer: Peer, session_present: bool) -> Self {
        Self {
            version,
            peer,
            session_present,
        }
    }
}

/// An accepted connection ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DisconnectEvent {
    /// The reason of the DISCONNECT that either side sent or would have sent; `None` if the
    /// connection was lost.
    pub reason: Option<DisconnectReason>,
}

impl DisconnectEvent {
    /// An ended connection.
    #[must_use]
    pub fn new(reason: Option<DisconnectReason>) -> Self {
        Self { reason }
    }
}

/// A subscription was granted.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SubscribeEvent<'a> {
    /// The filter as the client wrote it, `$share` included.
    pub filter: &'a str,
    /// What was granted.
    pub granted: QoS,
}

impl<'a> SubscribeEvent<'a> {
    /// A granted subscription.
    #[must_use]
    pub fn new(filter: &'a str, granted: QoS) -> Self {
        Self { filter, granted }
    }
}

/// A message on its way.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MessageEvent<'a> {
    /// The topic name, also where the packet carried an alias.
    pub topic: &'a str,
    /// The packet as it was published; its `topic` may be empty.
    pub publish: &'a PublishRef<'a>,
}

impl<'a> MessageEvent<'a> {
    /// A message.
    #[must_use]
    pub fn new(topic: &'a str, publish: &'a PublishRef<'a>) -> Self {
        Self { topic, publish }
    }
}

/// What becomes of a published message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishVerdict {
    /// It goes on as it is.
    Pass,
    /// It goes on with this payload.
    Replace(Bytes),
    /// It ends here; a QoS 1 or 2 publisher is answered with this reason. One that says success
    /// takes the message and drops it.
    Refuse(PubAckReason),
}

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliverVerdict {
    /// It happens.
    Pass,
    /// This client does not get the message.
    Drop,
}
