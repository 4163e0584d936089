//! What the application is told.

use core::ops::Deref;

use whinchat_codec::{
    AuthRef, ConnAckRef, ConnectRef, DisconnectRef, PacketId, PacketType, PubAckRef, PubCompRef,
    PubRecReason, PubRecRef, PublishRef, SubAckRef, SubscribeRef, UnsubAckRef, UnsubscribeRef,
    Utf8String,
};

/// What one packet means to the application. At most one event per packet; answers that need no
/// decision have been written already.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'p, M> {
    /// Nothing to do.
    None,
    /// Server: decide with [`accept`](crate::Connection::accept),
    /// [`refuse`](crate::Connection::refuse) or [`send_auth`](crate::Connection::send_auth), and
    /// hand in nothing but AUTH until then.
    Connect(ConnectRef<'p>),
    /// Client: the handshake is over; at a reason of 0x80 and above so is the connection.
    ConnAck(ConnAckRef<'p>),
    /// A message. At QoS 1 and 2 it waits for [`acknowledge`](crate::Connection::acknowledge).
    Publish(IncomingPublish<'p>),
    /// A QoS 2 PUBLISH with an id that is held: the message is known and must not be passed on,
    /// the answer is under way. // v5 [MQTT-4.3.3-10]
    Repeated(PacketId),
    /// Server: answer with [`suback`](crate::Connection::suback).
    Subscribe(SubscribeRef<'p>),
    /// Client: the answer to a SUBSCRIBE.
    SubAck(SubAckRef<'p>),
    /// Server: answer with [`unsuback`](crate::Connection::unsuback).
    Unsubscribe(UnsubscribeRef<'p>),
    /// Client: the answer to an UNSUBSCRIBE.
    UnsubAck(UnsubAckRef<'p>),
    /// One of our QoS 1 or 2 messages has its last answer; its packet id is free.
    Acked(Acked<'p, M>),
    /// A step of an authentication. A server answers with `send_auth`, `accept` or `refuse`, or
    /// with `disconnect` when a re-authentication fails; a client with `send_auth`.
    Auth(AuthRef<'p>),
    /// The peer is leaving: close the transport. What still arrives is ignored.
    Disconnect(DisconnectRef<'p>),
    /// An acknowledgement that belongs to nothing. It was answered if the protocol asks for it,
    /// and is worth counting.
    Stray {
        /// What arrived.
        packet: PacketType,
        /// Its packet id.
        id: PacketId,
    },
}

/// A message that arrived.
#[derive(Clone, Debug)]
pub struct IncomingPublish<'p> {
    /// The topic name, a Topic Alias being resolved.
    pub topic: Topic<'p>,
    /// The packet. Its own topic is empty if it came by alias.
    pub publish: PublishRef<'p>,
}

/// The topic name of a message that arrived.
#[derive(Clone, Debug)]
pub enum Topic<'p> {
    /// As it stands in the packet.
    Borrowed(&'p str),
    /// What its Topic Alias stands for.
    Aliased(Utf8String),
}

impl Topic<'_> {
    /// The topic name.
    #[inline]
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(topic) => topic,
            Self::Aliased(topic) => topic.as_str(),
        }
    }
}

impl Deref for Topic<'_> {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

/// The end of one of our deliveries.
#[derive(Clone, Debug)]
pub struct Acked<'p, M> {
    /// Its packet id, free from here on.
    pub id: PacketId,
    /// The message; `None` if a snapshot was restored behind its PUBREC.
    pub message: Option<M>,
    /// The packet that ended it.
    pub answer: Answer<'p>,
}

/// The packet that ended a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'p> {
    /// QoS 1.
    PubAck(PubAckRef<'p>),
    /// QoS 2, refused: 0x80 and above.
    PubRec(PubRecRef<'p>),
    /// QoS 2.
    PubComp {
        /// The PUBCOMP.
        pubcomp: PubCompRef<'p>,
        /// The reason of the PUBREC before it.
        pubrec: PubRecReason,
    },
}

impl Answer<'_> {
    /// The reason code that says what became of the message: that of PUBACK or PUBREC.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::PubAck(puback) => puback.reason.code(),
            Self::PubRec(pubrec) => pubrec.reason.code(),
            Self::PubComp { pubrec, .. } => pubrec.code(),
        }
    }
}

/// What became of a message that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is on its way, with this packet id at QoS 1 and 2.
    Sent(Option<PacketId>),
    /// It waits in the queue of the session.
    Queued,
    /// It was not taken and will not be sent.
    Dropped(crate::DropReason),
}
