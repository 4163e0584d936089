//! What the driver lends the engine for one call: a place for bytes, a log, and an ear for what
//! will never be sent.

use bytes::BytesMut;
use whinchat_codec::{EncodeError, PacketId, ProtocolVersion, QoS};

use crate::{Message, PublishHead, Ticket};

/// Where the engine puts what it produces. Lent by the driver for one call.
pub trait Output<M> {
    /// Bytes for the peer are appended here, whole packets only.
    fn buffer(&mut self) -> &mut BytesMut;

    /// Appends the PUBLISH of a message as it writes itself. A driver that writes from several
    /// buffers can leave the payload of a large one where it lies, as long as the order stays:
    /// what is appended to [`buffer`](Self::buffer) later comes after it.
    ///
    /// # Errors
    /// As [`Message::encode_to`]; nothing is appended then.
    #[inline]
    fn append_message(
        &mut self,
        message: &M,
        version: ProtocolVersion,
        head: &PublishHead<'_>,
    ) -> Result<(), EncodeError>
    where
        M: Message,
    {
        message.encode_to(version, head, self.buffer())
    }

    /// Records a change of session state that has to survive, and says when it will have.
    ///
    /// A session that ends with its connection records nothing and answers [`Ticket::NONE`]. The
    /// engine waits for the ticket where the effect's documentation says so. Tickets must not
    /// decrease.
    fn record(&mut self, effect: Effect<'_, M>) -> Ticket;

    /// A message of this session will not be delivered, or not completed, and why. Each is
    /// reported exactly once: here, or as the [`Delivery`](crate::Delivery) of the call that
    /// brought it.
    fn dropped(&mut self, message: M, reason: DropReason);

    /// Whether the peer already has as many bytes waiting as it may. The engine then queues QoS 1
    /// and 2, drops QoS 0, and sends nothing from the queue until
    /// [`send_queued`](crate::Connection::send_queued).
    #[inline]
    fn is_full(&self) -> bool {
        false
    }
}

/// A change of the state of a session.
///
/// Replaying the effects of a session in order gives what is in flight and held, as
/// [`SessionState::export`](crate::SessionState::export) describes it. The queue is known to who
/// fills it: each message of it ends as `Sent` (QoS 0: in no effect) or in
/// [`Output::dropped`]. A client whose server has lost the session (Session Present 0) starts over
/// without effects, and exports anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect<'a, M> {
    /// A PUBLISH has been given a packet id. At QoS 1 it leaves at once, the ticket is not waited
    /// for; at QoS 2 it leaves when the ticket is committed.
    Sent {
        /// Its packet id.
        id: PacketId,
        /// QoS 1 or 2.
        qos: QoS,
        /// RETAIN of the delivery.
        retain: bool,
        /// Subscription Identifiers of the delivery.
        subscription_ids: &'a [u32],
        /// The message.
        message: &'a M,
    },
    /// A QoS 1 delivery is over (PUBACK, or given up). Not waited for.
    Acked {
        /// Its packet id, free from here on.
        id: PacketId,
    },
    /// A QoS 2 delivery has arrived; the PUBREL leaves when the ticket is committed.
    PubRecReceived {
        /// Its packet id.
        id: PacketId,
    },
    /// A QoS 2 delivery is over (PUBCOMP, a refusing PUBREC, or given up). Not waited for.
    Completed {
        /// Its packet id, free from here on.
        id: PacketId,
    },
    /// We have taken a QoS 2 message over; the PUBREC leaves when both this ticket and the one
    /// passed to [`acknowledge`](crate::Connection::acknowledge) are committed.
    Received {
        /// The peer's packet id.
        id: PacketId,
    },
    /// The peer has released a QoS 2 id; the PUBCOMP leaves when the ticket is committed.
    Released {
        /// The peer's packet id.
        id: PacketId,
    },
}

/// Why a message was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// Its Message Expiry Interval ran out before it was sent. // v5 [MQTT-3.3.2-5]
    Expired,
    /// Larger than the peer's Maximum Packet Size. // v5 [MQTT-3.1.2-25]
    PacketTooLarge,
    /// The peer's protocol version cannot carry it.
    NotEncodable,
    /// QoS 0, and the peer has as many bytes waiting as it may.
    PeerTooSlow,
    /// The queue of the session is at its limit.
    QueueFull,
    /// The peer's Maximum QoS is lower. // v5 [MQTT-3.2.2-11]
    QoSNotSupported,
    /// The peer does not support retained messages. // v5 [MQTT-3.2.2-14]
    RetainNotSupported,
    /// The peer lost the session after its PUBREC: it has the message, but the exchange will
    /// not be completed.
    SessionLost,
}

impl core::fmt::Display for DropReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Expired => "message expired before it was sent",
            Self::PacketTooLarge => "larger than the peer's maximum packet size",
            Self::NotEncodable => "the peer's protocol version cannot carry it",
            Self::PeerTooSlow => "peer has too many unread bytes",
            Self::QueueFull => "queue of the session is full",
            Self::QoSNotSupported => "peer does not support this QoS",
            Self::RetainNotSupported => "peer does not support retained messages",
            Self::SessionLost => "peer lost the session behind its PUBREC",
        })
    }
}
