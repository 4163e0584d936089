//! What the broker writes to its log: one turn's records, in the order of their effects.
//!
//! Decisions are recorded, never repeated: who gets a message stands in [`ROUTE`], and only that
//! fills queues when the log is read again. `docs/decisions/` says who waits for which kind.
//!
//! | kind | written when | who waits for it |
//! | --- | --- | --- |
//! | `MESSAGE` | a message is for a durable session, or retained | its publisher's PUBACK or PUBREC |
//! | `ROUTE` | with `MESSAGE`; for a retained one, when a new subscription gets it | the same; nobody |
//! | `SESSION` | a client connects to a session with an expiry, or its expiry changes | CONNACK |
//! | `ABSENCE` | the session goes on without a connection | nobody |
//! | `SESSION_END` | a session with an expiry ends | CONNACK of a client that begins anew; nobody |
//! | `SUBSCRIBED`, `UNSUBSCRIBED` | the subscriptions of a durable session change | SUBACK, UNSUBACK |
//! | `RETAIN` | a retained message is set or cleared | PUBACK or PUBREC |
//! | `SENT` | a PUBLISH got its packet id | the PUBLISH, at QoS 2 |
//! | `ACKED`, `COMPLETED` | a delivery ended | nobody |
//! | `PUBREC_RECEIVED` | the receiver of a QoS 2 message has it | PUBREL |
//! | `RECEIVED` | a QoS 2 packet id was taken | PUBREC |
//! | `RELEASED` | a QoS 2 packet id was given back | PUBCOMP |
//! | `WILL`, `WILL_END` | a connection brings a Will, also one of a session that ends with it; it is removed or published | CONNACK of a durable session; nobody |
//! | `DROPPED` | a session will not get a message that was routed to it: no room, no right, or passed on to another member of its group | nobody |
//! | `STATE` | what a session has is written anew, so that older records of it are not needed | nobody |
//! | `NUMBERS` | with `STATE`: numbers of messages and sessions that are not used again | nobody |
//!
//! `docs/records.md` has the bodies, and what the loss of each would do. [`read`] reads them.

mod body;
pub(crate) mod read;

use std::sync::Arc;

use whinchat_codec::{PacketId, QoS, SubscriptionOptions};
use whinchat_session::{Effect, Instant, Ticket};
use whinchat_store::{Durability, RecordKind, record};

use self::body::{put_bytes as bytes, put_id, put_number as number, put_text as text};
use super::{
    checkpoint::SessionCheckpoint,
    groups::Groups,
    keys::{Grant, partition_of},
    message::{Delivery, Message},
    retained::Source,
    sessions::{Counted, Session},
    spill::{Notes, Stored},
    wills::Will,
};
use crate::{clock::Clock, hooks::Identity};

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
const ABSENCE: RecordKind = RecordKind::required(17);
const STATE: RecordKind = RecordKind::required(18);
const NUMBERS: RecordKind = RecordKind::required(19);

/// How `docs/records.md` calls a kind.
pub(crate) fn name(kind: RecordKind) -> Option<&'static str> {
    Some(match kind {
        MESSAGE => "MESSAGE",
        ROUTE => "ROUTE",
        SESSION => "SESSION",
        SESSION_END => "SESSION_END",
        SUBSCRIBED => "SUBSCRIBED",
        UNSUBSCRIBED => "UNSUBSCRIBED",
        RETAIN => "RETAIN",
        SENT => "SENT",
        ACKED => "ACKED",
        PUBREC_RECEIVED => "PUBREC_RECEIVED",
        COMPLETED => "COMPLETED",
        RECEIVED => "RECEIVED",
        RELEASED => "RELEASED",
        WILL => "WILL",
        WILL_END => "WILL_END",
        DROPPED => "DROPPED",
        ABSENCE => "ABSENCE",
        STATE => "STATE",
        NUMBERS => "NUMBERS",
        _ => return None,
    })
}

/// The records of one turn, and the ticket under which their effects wait.
///
/// A ticket counts this shard's turns that recorded something; which position of the log it got is
/// known once the turn's records were appended.
pub(crate) struct Records {
    group: Vec<u8>,
    ticket: u64,
    durable_log: bool,
    /// What the effects that are written now wait for; `None` for nothing.
    awaited: Option<Durability>,
    /// How safe what this turn has written so far has to be.
    durability: Durability,
    clock: Clock,
    /// What is written in this turn lies in this segment of the log or in a later one.
    segment: u64,
    /// Where the messages of this turn are, if that is of interest.
    notes_places: bool,
    notes: Notes,
    /// What is held back until the next turn.
    #[cfg(feature = "planted-bugs")]
    late: Vec<u8>,
}

/// What one turn has written.
pub(crate) struct Group<'a> {
    pub(crate) records: &'a mut Vec<u8>,
    /// How safe it has to be.
    pub(crate) durability: Durability,
    /// What waits for it.
    pub(crate) ticket: Ticket,
    /// Where its messages are.
    pub(crate) notes: Notes,
}

impl Records {
    /// `enabled` is false where the log promises nothing: then nothing is written, and nobody waits.
    pub(crate) fn new(enabled: bool, clock: Clock) -> Self {
        Self {
            group: Vec::new(),
            ticket: 1,
            durable_log: enabled,
            awaited: Some(Durability::Synced),
            durability: Durability::Written,
            clock,
            segment: 0,
            notes_places: false,
            notes: Vec::new(),
            #[cfg(feature = "planted-bugs")]
            late: Vec::new(),
        }
    }

    /// Begins a turn: what is written in it will lie in `segment` of the log or in a later one.
    pub(crate) fn begin_turn(&mut self, segment: u64, notes_places: bool) {
        self.segment = segment;
        self.notes_places = notes_places;
        #[cfg(feature = "planted-bugs")]
        self.group.append(&mut self.late);
    }

    /// From now on effects wait until they are as safe as this, or with `None` for nothing. The answer is what they waited for before.
    pub(crate) fn await_until(&mut self, awaited: Option<Durability>) -> Option<Durability> {
        std::mem::replace(&mut self.awaited, awaited)
    }

    /// What this turn has written behind its first `bytes` bytes.
    pub(crate) fn since(&self, bytes: usize) -> &[u8] {
        self.group.get(bytes..).unwrap_or_default()
    }

    /// Bytes that this turn has written so far.
    pub(crate) fn bytes(&self) -> usize {
        self.group.len()
    }

    /// The ticket of what was written last.
    pub(crate) fn last_ticket(&self) -> Ticket {
        Ticket::new(self.ticket - u64::from(self.group.is_empty()))
    }

    /// Whether what is written here is kept.
    pub(crate) fn is_enabled(&self) -> bool {
        self.durable_log
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.group.is_empty()
    }

    /// Ends the turn: the group to append.
    pub(crate) fn end_turn(&mut self) -> Group<'_> {
        let ticket = Ticket::new(self.ticket);
        self.ticket += 1;
        Group {
            durability: std::mem::replace(&mut self.durability, Durability::Written),
            records: &mut self.group,
            ticket,
            notes: std::mem::take(&mut self.notes),
        }
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
        let Some(awaited) = self.awaited else {
            return Ticket::NONE;
        };
        self.durability = self.durability.max(awaited);
        Ticket::new(self.ticket)
    }

    /// A message that must survive.
    pub(crate) fn message(&mut self, message: &Arc<Message>) -> Ticket {
        message.set_segment(self.segment.max(1));
        if self.notes_places {
            self.notes
                .push((Arc::clone(message), self.group.len() as u64));
        }
        let expires_at = self.wall(message.expires_at);
        self.write(MESSAGE, 0, |body| {
            number(body, message.id);
            number(body, message.publisher);
            body.push((message.qos as u8) | u8::from(message.retain) << 2);
            number(body, expires_at);
            text(body, &message.topic);
            bytes(body, message.properties.borrowed().as_bytes());
            body.extend_from_slice(&message.payload);
        })
    }

    /// A point in time as milliseconds of wall time, and 0 for none.
    fn wall(&self, at: Option<Instant>) -> u64 {
        at.map_or(0, |at| self.clock.wall(at).as_millis())
    }

    /// Which sessions get a message, decided.
    pub(crate) fn route<'a>(
        &mut self,
        message: u64,
        receivers: impl Iterator<Item = Receiver<'a>>,
    ) -> Ticket {
        self.write(ROUTE, 0, |body| {
            number(body, message);
            for receiver in receivers.skip(usize::from(planted!(RouteLosesReceiver))) {
                number(body, receiver.session);
                let shared = receiver.group.is_some();
                body.push(
                    (receiver.qos as u8) | u8::from(receiver.retain) << 2 | u8::from(shared) << 3,
                );
                number(body, receiver.subscription_ids.len() as u64);
                for id in receiver.subscription_ids {
                    number(body, u64::from(*id));
                }
                if let Some(group) = receiver.group {
                    text(body, group);
                }
            }
        })
    }

    /// A client connects to this session, or what it was granted changes.
    pub(crate) fn session(&mut self, session: &Session) -> Ticket {
        self.write(SESSION, session.partition(), |body| {
            who_and_how_long(body, session);
        })
    }

    /// The session goes on without a connection.
    pub(crate) fn absence(
        &mut self,
        session: u64,
        ends_at: Option<Instant>,
        will_at: Option<Instant>,
    ) -> Ticket {
        let times = [self.wall(ends_at), self.wall(will_at)];
        self.write(ABSENCE, 0, |body| {
            number(body, session);
            for time in times {
                number(body, time);
            }
        })
    }

    pub(crate) fn session_end(&mut self, partition: u16, session: u64) -> Ticket {
        if planted!(SessionEndNotRecorded) {
            return Ticket::NONE;
        }
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
        if planted!(UnsubscribeNotRecorded) {
            return Ticket::NONE;
        }
        self.write(UNSUBSCRIBED, 0, |body| {
            number(body, session);
            text(body, filter);
        })
    }

    /// The message of that number is the retained one of its topic; an empty payload clears it. Of two, that with the higher `mark` came later.
    pub(crate) fn retain(&mut self, message: u64, mark: u64, source: Option<&Source>) -> Ticket {
        self.write(RETAIN, 0, |body| {
            number(body, message);
            number(body, mark);
            if let Some(source) = source {
                text(body, source.client_id());
                identity(body, source.identity());
            }
        })
    }

    /// A connection brought this Will. Sessions that end with their connection have no other record, so it says whose it is.
    pub(crate) fn will(&mut self, session: &Session, will: &Will) -> Ticket {
        self.will_of(session.number, &session.client_id, &session.identity, will)
    }

    /// The same, where there is no session any more.
    pub(crate) fn will_of(
        &mut self,
        session: u64,
        client_id: &str,
        identity: &Identity,
        will: &Will,
    ) -> Ticket {
        self.write(WILL, partition_of(client_id), |body| {
            number(body, session);
            text(body, client_id);
            self::identity(body, identity);
            self::will(body, will);
        })
    }

    pub(crate) fn will_end(&mut self, session: u64) -> Ticket {
        if planted!(WillEndNotRecorded) {
            return Ticket::NONE;
        }
        self.write(WILL_END, 0, |body| number(body, session))
    }

    /// A copy of a message that waited in a session's queue, or was to, will not be delivered. What the log does not know is not written.
    pub(crate) fn dropped(&mut self, session: u64, message: &Stored, is_shared: bool) -> Ticket {
        if !message.is_recorded() {
            return Ticket::NONE;
        }
        self.write(DROPPED, 0, |body| {
            number(body, session);
            copy(body, message, is_shared);
        })
    }

    /// A delivery in flight is over, and its packet id free, because another session gets the message.
    pub(crate) fn given_back(&mut self, session: u64, id: PacketId) -> Ticket {
        self.write(ACKED, 0, |body| {
            number(body, session);
            put_id(body, id);
        })
    }

    /// Everything about a session, so that records of it in segments before `from` are not needed.
    pub(crate) fn session_anew(&mut self, session: &Session, groups: &Groups, from: u64) {
        let mut old: Vec<Stored> = Vec::new();
        self.state(session, groups, |message| {
            if message.is_before(from) {
                old.push(message.clone());
            }
        });
        for stored in old {
            // Once, however often the session has it.
            if stored.is_before(from)
                && let Some(message) = stored.message()
            {
                self.message(&message);
            }
        }
        if let Some(will) = &session.will {
            self.will(session, will);
        }
    }

    fn state(&mut self, session: &Session, groups: &Groups, mut each: impl FnMut(&Stored)) {
        let absence = session
            .slot
            .is_none()
            .then(|| [self.wall(session.ends_at), self.wall(session.will_at)]);
        self.write(STATE, session.partition(), |body| {
            who_and_how_long(body, session);
            let subscriptions = session.subscriptions.iter();
            absence_and_subscriptions(
                body,
                absence,
                subscriptions.map(|(filter, own)| (&**filter, own.grant, own.options)),
            );
            let state = session.state.export(|delivery, out| {
                each(&delivery.message);
                write_delivery(delivery, groups, out);
            });
            body.extend_from_slice(state.as_bytes());
        });
    }

    /// A session that is kept, and its Will, as a start finds them.
    pub(crate) fn session_kept(&mut self, session: &SessionCheckpoint) {
        let absence = [self.wall(session.ends_at), self.wall(session.will_at)];
        let absence = (!session.was_connected).then_some(absence);
        self.write(STATE, partition_of(&session.client_id), |body| {
            number(body, session.number);
            number(body, u64::from(session.expiry_interval));
            body.push(u8::from(session.counted == Counted::DurableAnonymous));
            text(body, &session.client_id);
            identity(body, &session.identity);
            let subscriptions = session.subscriptions.iter();
            absence_and_subscriptions(
                body,
                absence,
                subscriptions.map(|(filter, grant, options)| (&**filter, *grant, *options)),
            );
            body.extend_from_slice(session.state.as_bytes());
        });
        if let Some(will) = &session.will {
            self.will_of(session.number, &session.client_id, &session.identity, will);
        }
    }

    /// Numbers below these are taken.
    pub(crate) fn numbers(&mut self, next_message: u64, next_session: u64, mark: u64) -> Ticket {
        self.write(NUMBERS, 0, |body| {
            number(body, next_message);
            number(body, next_session);
            number(body, mark);
        })
    }

    /// A step of a QoS 1 or QoS 2 exchange of a durable session.
    pub(crate) fn effect(&mut self, session: u64, effect: Effect<'_, Delivery>) -> Ticket {
        let mut step = |kind, id: PacketId, message: Option<&Delivery>| {
            self.write(kind, 0, |body| {
                number(body, session);
                put_id(body, id);
                if let Some(delivery) = message {
                    copy(body, &delivery.message, delivery.group.is_some());
                }
            })
        };
        match effect {
            Effect::Sent { id, message, .. } => {
                let ticket = step(SENT, id, Some(message));
                if planted!(SentNotAwaited) {
                    Ticket::NONE
                } else {
                    ticket
                }
            }
            Effect::Acked { id } => step(ACKED, id, None),
            Effect::PubRecReceived { .. } if planted!(PubRecNotRecorded) => Ticket::NONE,
            Effect::PubRecReceived { id } => step(PUBREC_RECEIVED, id, None),
            Effect::Completed { id } => step(COMPLETED, id, None),
            #[cfg(feature = "planted-bugs")]
            Effect::Received { id } if planted!(ReceivedLate) => {
                let from = self.group.len();
                self.write(RECEIVED, 0, |body| {
                    number(body, session);
                    put_id(body, id);
                });
                self.late.extend(self.group.drain(from..));
                Ticket::NONE
            }
            Effect::Received { id } => step(RECEIVED, id, None),
            Effect::Released { .. } if planted!(ReleasedNotRecorded) => Ticket::NONE,
            Effect::Released { id } => step(RELEASED, id, None),
        }
    }
}

/// How a snapshot of a session names a message: its number, and the text of the group that it was picked for.
pub(crate) fn write_delivery(delivery: &Delivery, groups: &Groups, out: &mut Vec<u8>) {
    out.extend_from_slice(&delivery.message.id().to_le_bytes());
    if let Some(text) = delivery.group.and_then(|group| groups.text_of(group)) {
        out.extend_from_slice(text.as_bytes());
    }
}

/// Reads what [`write_delivery`] wrote.
pub(crate) fn read_delivery(bytes: &[u8]) -> Option<(u64, Option<&str>)> {
    let (id, group) = bytes.split_first_chunk::<8>()?;
    let group = std::str::from_utf8(group).ok()?;
    Some((
        u64::from_le_bytes(*id),
        (!group.is_empty()).then_some(group),
    ))
}

/// One session that gets a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receiver<'a> {
    pub(crate) session: u64,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) subscription_ids: &'a [u32],
    /// The shared subscription it was picked for: share name, `/`, filter.
    pub(crate) group: Option<&'a str>,
}

/// Which copy of a message: a session may have one of its own and one for a group.
fn copy(body: &mut Vec<u8>, message: &Stored, is_shared: bool) {
    number(body, message.id());
    body.push(u8::from(is_shared));
}

fn who_and_how_long(body: &mut Vec<u8>, session: &Session) {
    number(body, session.number);
    number(body, u64::from(session.expiry_interval));
    body.push(u8::from(session.counted == Counted::DurableAnonymous));
    text(body, &session.client_id);
    identity(body, &session.identity);
}

fn absence_and_subscriptions<'a>(
    body: &mut Vec<u8>,
    absence: Option<[u64; 2]>,
    subscriptions: impl ExactSizeIterator<Item = (&'a str, Grant, SubscriptionOptions)>,
) {
    body.push(u8::from(absence.is_some()));
    for time in absence.into_iter().flatten() {
        number(body, time);
    }
    number(body, subscriptions.len() as u64);
    for (filter, grant, options) in subscriptions {
        body.push(options.bits());
        number(body, u64::from(grant.subscription_id().unwrap_or(0)));
        text(body, filter);
    }
}

/// Who it is, for rights that are asked about later. How long somebody is known belongs to a connection.
fn identity(body: &mut Vec<u8>, identity: &Identity) {
    body.push(u8::from(identity.is_anonymous()));
    text(body, identity.name());
    number(body, identity.roles().len() as u64);
    for role in identity.roles() {
        text(body, role);
    }
    number(body, identity.attributes().len() as u64);
    for (key, value) in identity.attributes() {
        text(body, key);
        text(body, value);
    }
}

fn will(body: &mut Vec<u8>, will: &Will) {
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
}
