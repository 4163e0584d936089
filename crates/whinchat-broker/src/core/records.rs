//! What the broker writes to its log: one turn's records, in the order of their effects.
//!
//! Decisions are recorded, never repeated: who gets a message stands in [`ROUTE`], and only that
//! fills queues when the log is read again. `docs/decisions/` says who waits for which kind.
//!
//! | kind | written when | who waits for it |
//! | --- | --- | --- |
//! | `MESSAGE` | a message is for a durable session, or retained | its publisher's PUBACK or PUBREC |
//! | `ROUTE` | with `MESSAGE`; for a retained one, when a new subscription gets it | the same; nobody |
//! | `SESSION` | a session begins or its expiry changes | CONNACK |
//! | `SESSION_END` | a session with an expiry ends | nobody |
//! | `SUBSCRIBED`, `UNSUBSCRIBED` | the subscriptions of a durable session change | SUBACK, UNSUBACK |
//! | `RETAIN` | a retained message is set or cleared | PUBACK or PUBREC |
//! | `SENT` | a PUBLISH got its packet id | the PUBLISH, at QoS 2 |
//! | `ACKED`, `COMPLETED` | a delivery ended | nobody |
//! | `PUBREC_RECEIVED` | the receiver of a QoS 2 message has it | PUBREL |
//! | `RECEIVED` | a QoS 2 packet id was taken | PUBREC |
//! | `RELEASED` | a QoS 2 packet id was given back | PUBCOMP |
//! | `WILL`, `WILL_END` | a connection brings a Will; it is removed or published | CONNACK; nobody |
//! | `DROPPED` | a session will not get a message that was routed to it: no room, no right, or passed on to another member of its group | nobody |

use whinchat_codec::{PacketId, QoS};
use whinchat_session::{Effect, Ticket};
use whinchat_store::{RecordKind, record};

use super::{
    message::{Delivery, Message},
    wills::Will,
};

const VERSION: u8 = 1;

const MESSAGE: RecordKind = RecordKind::required(1);
const ROUTE: RecordKind = RecordKind::required(2);
const SESSION: RecordKind = RecordKind::required(3);
const SESSION_END: RecordKind = RecordKind::required(4);
const SUBSCRIBED: RecordKind = RecordKind::required(5);
const UNSUBSCRIBED: RecordKind = RecordKind::required(6);
const RETAIN: RecordKind = RecordKind::required(7);
const SENT: RecordKind = RecordKind::required(8);
const ACKED: RecordKind = RecordKind::required(9);
const PUBREC_RECEIVED: RecordKind = RecordKind::required(10);
const COMPLETED: RecordKind = RecordKind::required(11);
const RECEIVED: RecordKind = RecordKind::required(12);
const RELEASED: RecordKind = RecordKind::required(13);
const WILL: RecordKind = RecordKind::required(14);
const WILL_END: RecordKind = RecordKind::required(15);
const DROPPED: RecordKind = RecordKind::required(16);

/// The records of one turn, and the ticket under which their effects wait.
///
/// A ticket counts this shard's turns that recorded something; which position of the log it got is
/// known once the turn's records were appended.
pub(crate) struct Records {
    group: Vec<u8>,
    ticket: u64,
    durable_log: bool,
}

impl Records {
    /// `enabled` is false where the log promises nothing: then nothing is written, and nobody waits.
    pub(crate) fn new(enabled: bool) -> Self {
        Self {
            group: Vec::new(),
            ticket: 1,
            durable_log: enabled,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.group.is_empty()
    }

    /// Ends the turn: the group to append, and the ticket that waits for it.
    pub(crate) fn end_turn(&mut self) -> (&mut Vec<u8>, Ticket) {
        let ticket = Ticket::new(self.ticket);
        self.ticket += 1;
        (&mut self.group, ticket)
    }

    fn write(
        &mut self,
        kind: RecordKind,
        partition: u16,
        body: impl FnOnce(&mut Vec<u8>),
    ) -> Ticket {
        if !self.durable_log {
            return Ticket::NONE;
        }
        record::write(&mut self.group, kind, VERSION, partition, body);
        Ticket::new(self.ticket)
    }

    /// A message that must survive.
    pub(crate) fn message(&mut self, message: &Message) -> Ticket {
        self.write(MESSAGE, 0, |body| {
            number(body, message.id);
            number(body, message.publisher);
            body.push((message.qos as u8) | u8::from(message.retain) << 2);
            number(body, message.expires_at.map_or(0, |at| at.as_millis()));
            text(body, &message.topic);
            bytes(body, message.properties.borrowed().as_bytes());
            bytes(body, &message.payload);
        })
    }

    /// Which sessions get a message, decided.
    pub(crate) fn route<'a>(
        &mut self,
        message: u64,
        receivers: impl Iterator<Item = Receiver<'a>>,
    ) -> Ticket {
        self.write(ROUTE, 0, |body| {
            number(body, message);
            for receiver in receivers {
                number(body, receiver.session);
                body.push((receiver.qos as u8) | u8::from(receiver.retain) << 2);
                number(body, receiver.subscription_ids.len() as u64);
                for id in receiver.subscription_ids {
                    number(body, u64::from(*id));
                }
            }
        })
    }

    pub(crate) fn session(
        &mut self,
        partition: u16,
        session: u64,
        client_id: &str,
        expiry_interval: u32,
    ) -> Ticket {
        self.write(SESSION, partition, |body| {
            number(body, session);
            number(body, u64::from(expiry_interval));
            text(body, client_id);
        })
    }

    pub(crate) fn session_end(&mut self, partition: u16, session: u64) -> Ticket {
        self.write(SESSION_END, partition, |body| number(body, session))
    }

    pub(crate) fn subscribed(
        &mut self,
        session: u64,
        filter: &str,
        options: u8,
        subscription_id: Option<u32>,
    ) -> Ticket {
        self.write(SUBSCRIBED, 0, |body| {
            number(body, session);
            body.push(options);
            number(body, u64::from(subscription_id.unwrap_or(0)));
            text(body, filter);
        })
    }

    pub(crate) fn unsubscribed(&mut self, session: u64, filter: &str) -> Ticket {
        self.write(UNSUBSCRIBED, 0, |body| {
            number(body, session);
            text(body, filter);
        })
    }

    /// The message of that number is the retained one of its topic; an empty payload clears it.
    pub(crate) fn retain(&mut self, message: u64) -> Ticket {
        self.write(RETAIN, 0, |body| number(body, message))
    }

    pub(crate) fn will(&mut self, session: u64, will: &Will) -> Ticket {
        self.write(WILL, 0, |body| {
            number(body, session);
            body.push((will.qos as u8) | u8::from(will.retain) << 2);
            number(body, u64::from(will.delay_interval));
            // One more than the interval; 0 is none.
            number(
                body,
                will.expiry_interval
                    .map_or(0, |seconds| u64::from(seconds) + 1),
            );
            text(body, &will.topic);
            bytes(body, will.properties.borrowed().as_bytes());
            bytes(body, &will.payload);
        })
    }

    pub(crate) fn will_end(&mut self, session: u64) -> Ticket {
        self.write(WILL_END, 0, |body| number(body, session))
    }

    pub(crate) fn dropped(&mut self, session: u64, message: u64) -> Ticket {
        self.write(DROPPED, 0, |body| {
            number(body, session);
            number(body, message);
        })
    }

    /// A step of a QoS 1 or QoS 2 exchange of a durable session.
    pub(crate) fn effect(&mut self, session: u64, effect: Effect<'_, Delivery>) -> Ticket {
        let mut step = |kind, id: PacketId, message: Option<u64>| {
            self.write(kind, 0, |body| {
                number(body, session);
                body.extend_from_slice(&id.get().to_le_bytes());
                if let Some(message) = message {
                    number(body, message);
                }
            })
        };
        match effect {
            Effect::Sent { id, message, .. } => step(SENT, id, Some(message.message.id)),
            Effect::Acked { id } => step(ACKED, id, None),
            Effect::PubRecReceived { id } => step(PUBREC_RECEIVED, id, None),
            Effect::Completed { id } => step(COMPLETED, id, None),
            Effect::Received { id } => step(RECEIVED, id, None),
            Effect::Released { id } => step(RELEASED, id, None),
        }
    }
}

/// One session that gets a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receiver<'a> {
    pub(crate) session: u64,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) subscription_ids: &'a [u32],
}

/// Seven bits a byte, the lowest first; the top bit says that more follow.
fn number(body: &mut Vec<u8>, mut value: u64) {
    while value > 0x7F {
        body.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    body.push(value.to_le_bytes()[0]);
}

fn bytes(body: &mut Vec<u8>, value: &[u8]) {
    number(body, value.len() as u64);
    body.extend_from_slice(value);
}

fn text(body: &mut Vec<u8>, value: &str) {
    bytes(body, value.as_bytes());
}
