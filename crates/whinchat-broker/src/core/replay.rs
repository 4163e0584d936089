//! The log read back: records in, a [`Checkpoint`] out. No I/O, and the clock only to turn wall time into the broker's own.
//!
//! ```text
//!  record ──► messages, sessions, retained messages, Wills ──finish──► Checkpoint ──► the shards
//! ```
//!
//! Nothing is decided here. Who gets a message stands in `ROUTE`; what became of it in the steps behind. Three things that look odd follow from several shards
//! that append to one log:
//!
//! - A record about a session may come before the one that begins it, or after the log has given up the older ones. So a session is made on first sight,
//!   and counts only once a `SESSION` or a `STATE` has said who it is.
//! - `STATE` is what the session's own shard knew. What another shard had routed to it and it had not seen yet is kept, behind.
//! - Of two retained messages of a topic the one with the higher mark came later, wherever it stands.

use std::sync::{Arc, OnceLock, atomic::AtomicU64};

use bytes::BytesMut;
use hashbrown::{HashMap, HashSet};
use whinchat_codec::{EncodeError, ProtocolVersion, SubscriptionOptions, Utf8String};
use whinchat_session::{DeliveryOptions, Instant, PublishHead, SessionState, WallTime};
use whinchat_store::{Place, Replayed, record};

use super::{
    checkpoint::{Checkpoint, Orphan, SessionCheckpoint},
    keys::Grant,
    message::Message,
    records::{
        read::{
            Absence, BadRecord, MessageCopy, Recorded, RecordedMessage, RecordedReceiver,
            RecordedSession, RecordedState, Step,
        },
        read_delivery,
    },
    retained::Source,
    sessions::Counted,
    spill::{Spill, Stored},
    wills::Will,
};
use crate::{clock::Clock, hooks::Identity};

/// The state that the records so far give.
#[derive(Default)]
pub(crate) struct Replay {
    messages: HashMap<u64, Body>,
    /// Whether messages may stay in the log where memory has no room for all: a broker reads them back when their turn comes.
    may_spill: bool,
    /// Bytes of the messages in memory.
    bytes: usize,
    /// The same when it was last looked at.
    bytes_after_look: usize,
    sessions: HashMap<u64, ReplayedSession>,
    retained: HashMap<Utf8String, Retained>,
    wills: HashMap<u64, Box<OwnedWill>>,
    next_message: u64,
    next_session: u64,
    retained_mark: u64,
    /// Messages there were when the dead ones were taken out last.
    messages_after_forgetting: usize,
}

/// A message, or where it is.
enum Body {
    /// Apart, so that the table of all messages stays small.
    Memory(Box<RecordedMessage>, Place),
    Log {
        expires_at: Option<WallTime>,
        size: usize,
        place: Place,
    },
}

#[derive(Default)]
struct ReplayedSession {
    known: Option<Known>,
    absence: Option<Absence>,
    subscriptions: HashMap<Box<str>, (SubscriptionOptions, Option<u32>)>,
    state: SessionState<Handle>,
}

/// Who a session belongs to.
struct Known {
    client_id: Box<str>,
    identity: Identity,
    expiry_interval: u32,
    is_anonymous_from_elsewhere: bool,
}

struct Retained {
    message: u64,
    mark: u64,
    source: Option<Arc<Source>>,
}

struct OwnedWill {
    client_id: Box<str>,
    identity: Identity,
    will: Will,
}

/// Dead messages are looked for when there are this many more than after the last time, or this many bytes of them.
const FORGET_AFTER: usize = 100_000;
/// The living ones may take as many bytes before they are left in the log.
const BYTES_IN_MEMORY: usize = 64 << 20;

impl Replay {
    /// For a broker that goes on with the log.
    pub(crate) fn spilling() -> Self {
        Self {
            may_spill: true,
            ..Self::default()
        }
    }

    /// Takes the records of one group.
    pub(crate) fn group(&mut self, group: &Replayed<'_>) -> Result<(), ReplayError> {
        self.records(group.records, group.place, group.is_settled)
    }

    fn records(
        &mut self,
        records: &[u8],
        place: Place,
        is_settled: bool,
    ) -> Result<(), ReplayError> {
        let mut offset = place.offset;
        for record in record::read(records) {
            let record = record?;
            if let Some(recorded) = Recorded::read(&record)? {
                self.take(recorded, Place { offset, ..place });
            }
            offset += (record::HEADER_BYTES + record.body.len()) as u64;
        }
        // Between groups, since what needs a message stands in the same group with it; but where old segments were written anew, one shard may have
        // written a message for the sessions of others: it may be left in the log, and not be forgotten.
        let are_many = self.messages.len() > self.messages_after_forgetting * 2 + FORGET_AFTER;
        if is_settled && (are_many || self.are_large()) {
            self.forget();
        }
        if self.are_large() {
            self.leave_in_log();
        }
        Ok(())
    }

    /// Whether the messages take much more memory than was left after the last look.
    fn are_large(&self) -> bool {
        self.bytes > self.bytes_after_look * 2 + BYTES_IN_MEMORY
    }

    fn session(&mut self, number: u64) -> &mut ReplayedSession {
        self.next_session = self.next_session.max(number + 1);
        self.sessions.entry(number).or_default()
    }

    fn take(&mut self, recorded: Recorded<'_>, place: Place) {
        match recorded {
            Recorded::Message(message) => {
                self.next_message = self.next_message.max(message.id + 1);
                self.bytes += message.size();
                let old = self
                    .messages
                    .insert(message.id, Body::Memory(Box::new(message), place));
                self.bytes -= old.as_ref().map_or(0, Body::bytes_in_memory);
            }
            Recorded::Route { message, receivers } => {
                for receiver in receivers {
                    self.route(message, &receiver);
                }
            }
            Recorded::Session(recorded) => {
                let session = self.session(recorded.number);
                session.known = Some(Known::of(&recorded));
                session.absence = None;
            }
            Recorded::Absence { session, absence } => {
                self.session(session).absence = Some(absence);
            }
            Recorded::SessionEnd { session } => {
                self.next_session = self.next_session.max(session + 1);
                self.sessions.remove(&session);
            }
            Recorded::Subscribed {
                session,
                subscription,
            } => {
                self.session(session).subscriptions.insert(
                    subscription.filter.into(),
                    (subscription.options, subscription.id),
                );
            }
            Recorded::Unsubscribed { session, filter } => {
                self.session(session).subscriptions.remove(filter);
            }
            Recorded::Retain {
                message,
                mark,
                source,
            } => self.retain(message, mark, source),
            Recorded::Will {
                session,
                client_id,
                identity,
                will,
            } => {
                self.next_session = self.next_session.max(session + 1);
                let owned = OwnedWill {
                    client_id: client_id.into(),
                    identity,
                    will,
                };
                self.wills.insert(session, Box::new(owned));
            }
            Recorded::WillEnd { session } => {
                self.wills.remove(&session);
            }
            Recorded::Dropped { session, copy } => {
                let state = &mut self.session(session).state;
                let found = state.replay_dropped(|handle| handle.is_exactly(copy));
                if !found {
                    state.replay_dropped(|handle| handle.message == copy.message);
                }
            }
            Recorded::Step { session, step } => self.step(session, step),
            Recorded::State(state) => self.state(*state),
            Recorded::Numbers {
                next_message,
                next_session,
                retained_mark,
            } => {
                self.next_message = self.next_message.max(next_message);
                self.next_session = self.next_session.max(next_session);
                self.retained_mark = self.retained_mark.max(retained_mark);
            }
        }
    }

    fn route(&mut self, message: u64, receiver: &RecordedReceiver<'_>) {
        // Also where the message itself is lost: its number is not used again.
        self.next_message = self.next_message.max(message + 1);
        let handle = Handle {
            message,
            group: receiver.group.map(Arc::from),
        };
        let options = DeliveryOptions::new(receiver.qos)
            .with_retain(receiver.retain)
            .with_subscription_ids(&receiver.subscription_ids);
        self.session(receiver.session)
            .state
            .replay_queued(handle, &options);
    }

    fn step(&mut self, session: u64, step: Step) {
        let state = &mut self.session(session).state;
        match step {
            Step::Sent { id, copy } => {
                // Not found: its ROUTE stands in what the log has given up, and a STATE follows.
                let found = state.replay_sent(id, |handle| handle.is_exactly(copy));
                if !found {
                    state.replay_sent(id, |handle| handle.message == copy.message);
                }
            }
            Step::Answered { id } => state.replay_answered(id),
            Step::PubRecReceived { id } => state.replay_pubrec(id),
            Step::Received { id } => state.replay_received(id),
            Step::Released { id } => state.replay_released(id),
        }
    }

    fn retain(&mut self, message: u64, mark: u64, source: Option<(&str, Identity)>) {
        self.retained_mark = self.retained_mark.max(mark);
        // One that is left in the log was retained when it came, and something later has taken its place.
        let Some(Body::Memory(recorded, _)) = self.messages.get(&message) else {
            return;
        };
        let topic = &recorded.publish.topic;
        if self.retained.get(topic).is_some_and(|old| old.mark > mark) {
            return;
        }
        let source = source.map(|(client_id, identity)| Source::new(&identity, client_id));
        // A cleared one stays as a mark: an older message may still follow.
        let retained = Retained {
            message,
            mark,
            source,
        };
        self.retained.insert(topic.clone(), retained);
    }

    fn state(&mut self, recorded: RecordedState<'_>) {
        let session = self.session(recorded.session.number);
        session.known = Some(Known::of(&recorded.session));
        session.absence = recorded.absence;
        session.subscriptions = recorded
            .subscriptions
            .into_iter()
            .map(|subscription| {
                let key = Box::from(subscription.filter);
                (key, (subscription.options, subscription.id))
            })
            .collect();
        let state = SessionState::restore(&recorded.state, |bytes| {
            let (message, group) = read_delivery(bytes)?;
            let group = group.map(Arc::from);
            Some(Handle { message, group })
        });
        // What the format allows was checked when the record was read.
        if let Ok(state) = state {
            let mut last = 0;
            for handle in state.messages() {
                last = last.max(handle.message);
            }
            session.state.replay_state(state, |handle| handle.message);
            self.next_message = self.next_message.max(last + 1);
        }
    }

    /// Takes out the messages that nobody needs.
    fn forget(&mut self) {
        let retained = self.retained_messages();
        let queued = self
            .sessions
            .values()
            .flat_map(|session| session.state.messages());
        let queued: HashSet<u64> = queued.map(|handle| handle.message).collect();
        self.messages
            .retain(|id, _| queued.contains(id) || retained.contains(id));
        self.messages_after_forgetting = self.messages.len();
        self.count_bytes();
    }

    /// Keeps only the places of the messages that are not retained, if all together are too large for memory.
    fn leave_in_log(&mut self) {
        if self.may_spill && self.bytes > BYTES_IN_MEMORY {
            let retained = self.retained_messages();
            for (id, body) in &mut self.messages {
                if !retained.contains(id) {
                    body.leave_in_log();
                }
            }
        }
        self.count_bytes();
    }

    fn retained_messages(&self) -> HashSet<u64> {
        let retained = self.retained.values();
        retained.map(|retained| retained.message).collect()
    }

    fn count_bytes(&mut self) {
        self.bytes = self.messages.values().map(Body::bytes_in_memory).sum();
        self.bytes_after_look = self.bytes;
    }

    /// What a broker on this log starts with.
    pub(crate) fn finish(mut self, clock: &Clock, spill: &Arc<Spill>) -> Checkpoint {
        let now = clock.now();
        let mut checkpoint = Checkpoint {
            next_message: self.next_message,
            next_session: self.next_session,
            retained_mark: self.retained_mark,
            ..Checkpoint::default()
        };
        self.forget();
        self.leave_in_log();
        let messages = self.messages.into_iter();
        checkpoint.messages = messages
            .map(|(id, body)| (id, body.into_stored(id, clock, spill)))
            .collect();
        // In the order in which they came: topics that are near each other often came together.
        let mut retained: Vec<Retained> = self.retained.into_values().collect();
        retained.sort_unstable_by_key(|retained| retained.mark);
        for retained in retained {
            if let Some(Stored::Memory(message)) = checkpoint.messages.get(&retained.message)
                && !message.payload.is_empty()
                && !message.has_expired(now)
            {
                let entry = (Arc::clone(message), retained.source);
                checkpoint.retained.push(entry);
            }
        }
        for (number, mut session) in self.sessions {
            let Some(known) = session
                .known
                .take()
                .filter(|known| known.expiry_interval > 0)
            else {
                continue;
            };
            // Routed by a shard that had not yet recorded the message: its publisher has no ack.
            while session
                .state
                .replay_dropped(|handle| !checkpoint.messages.contains_key(&handle.message))
            {
            }
            let will = self.wills.remove(&number).map(|owned| Box::new(owned.will));
            checkpoint
                .sessions
                .push(session.into_checkpoint(number, known, will, clock));
        }
        for (session, owned) in self.wills {
            checkpoint.orphans.push(Orphan {
                session,
                client_id: owned.client_id,
                identity: owned.identity,
                will: Box::new(owned.will),
            });
        }
        checkpoint
    }
}

impl Body {
    fn bytes_in_memory(&self) -> usize {
        match self {
            Self::Memory(message, _) => message.size(),
            Self::Log { .. } => 0,
        }
    }

    fn leave_in_log(&mut self) {
        if let Self::Memory(message, place) = self {
            *self = Self::Log {
                expires_at: message.expires_at,
                size: message.size(),
                place: *place,
            };
        }
    }

    fn into_stored(self, id: u64, clock: &Clock, spill: &Arc<Spill>) -> Stored {
        let instant = |at: Option<WallTime>| at.map(|at| clock.instant(at));
        match self {
            Self::Memory(message, _) => {
                let expires_at = instant(message.expires_at);
                Stored::Memory(Arc::new(message.into_message(expires_at, 1)))
            }
            Self::Log {
                expires_at,
                size,
                place,
            } => Stored::Log(spill.spilled(id, instant(expires_at), size, place)),
        }
    }
}

impl Known {
    fn of(recorded: &RecordedSession<'_>) -> Self {
        Self {
            client_id: recorded.client_id.into(),
            identity: recorded.identity.clone(),
            expiry_interval: recorded.expiry_interval,
            is_anonymous_from_elsewhere: recorded.is_anonymous_from_elsewhere,
        }
    }
}

impl ReplayedSession {
    fn into_checkpoint(
        self,
        number: u64,
        known: Known,
        will: Option<Box<Will>>,
        clock: &Clock,
    ) -> SessionCheckpoint {
        let absence = self.absence.unwrap_or_default();
        let instant = |at: Option<WallTime>| at.map(|at| clock.instant(at));
        // The wall clock may have been set back meanwhile: no session lasts longer than it was granted (T-62).
        let latest = (known.expiry_interval != u32::MAX).then(|| {
            clock
                .now()
                .saturating_add_millis(u64::from(known.expiry_interval) * 1_000)
        });
        let subscriptions = self
            .subscriptions
            .into_iter()
            .map(|(filter, (options, id))| {
                // Whether only a part is allowed is asked anew.
                let grant = Grant::new(&options, id, true, false);
                (filter, grant, options)
            })
            .collect();
        SessionCheckpoint {
            number,
            client_id: known.client_id,
            identity: known.identity,
            state: if planted!(SessionWithoutQueue) {
                SessionState::<Handle>::new().export(|handle, out| handle.write(out))
            } else {
                self.state.export(|handle, out| handle.write(out))
            },
            subscriptions,
            expiry_interval: known.expiry_interval,
            ends_at: instant(absence.ends_at).map(|at| {
                if planted!(ExpiryBeginsAnew) {
                    return latest.unwrap_or(at);
                }
                latest.map_or(at, |latest| at.min(latest))
            }),
            will_at: will.as_ref().and(instant(absence.will_at)),
            will,
            was_connected: self.absence.is_none(),
            counted: if known.is_anonymous_from_elsewhere {
                Counted::DurableAnonymous
            } else {
                Counted::Durable
            },
        }
    }
}

impl RecordedMessage {
    /// As [`Message::size`] of the message.
    fn size(&self) -> usize {
        Message::size_with(
            &self.publish.topic,
            &self.publish.properties,
            &self.publish.payload,
        )
    }

    /// The message, which lies in `segment` of the log or in a later one.
    pub(super) fn into_message(self, expires_at: Option<Instant>, segment: u64) -> Message {
        Message {
            id: self.id,
            publisher: self.publisher,
            topic: self.publish.topic,
            properties: self.publish.properties,
            payload: self.publish.payload,
            qos: self.qos,
            retain: self.retain,
            expires_at,
            segment: AtomicU64::new(segment),
            spilled: OnceLock::new(),
        }
    }
}

/// A message of a session while the log is read: its number alone.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    pub(super) message: u64,
    group: Option<Arc<str>>,
}

impl Handle {
    /// Reads one, and forgets the group it was picked for.
    pub(super) fn without_group(bytes: &[u8]) -> Option<Self> {
        let (message, _) = read_delivery(bytes)?;
        Some(Self {
            message,
            group: None,
        })
    }

    /// A session may have a message twice, once of its own and once for a group.
    fn is_exactly(&self, copy: MessageCopy) -> bool {
        self.message == copy.message && self.group.is_some() == copy.is_shared
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.message.to_le_bytes());
        if let Some(group) = &self.group {
            out.extend_from_slice(group.as_bytes());
        }
    }
}

/// Nothing is sent while the log is read.
impl whinchat_session::Message for Handle {
    fn topic(&self) -> &str {
        ""
    }

    fn encode_to(
        &self,
        _version: ProtocolVersion,
        _head: &PublishHead<'_>,
        _out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        Ok(())
    }

    fn encoded_len(
        &self,
        _version: ProtocolVersion,
        _head: &PublishHead<'_>,
    ) -> Result<usize, EncodeError> {
        Ok(0)
    }

    fn expires_at(&self) -> Option<Instant> {
        None
    }

    fn byte_size(&self) -> usize {
        0
    }
}

/// Why the log cannot be read back, though its checksums are right.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    #[error(transparent)]
    Frame(#[from] whinchat_store::RecordError),
    #[error(transparent)]
    Record(#[from] BadRecord),
}

/// Reads the records of one group and keeps nothing of them.
pub(crate) fn check(records: &[u8]) -> Result<(), ReplayError> {
    for record in record::read(records) {
        Recorded::read(&record?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use whinchat_codec::QoS;

    use super::*;
    use crate::core::records::{Receiver, Records};

    /// Where segments were written anew, nothing is forgotten before all was read; memory is bounded all the same.
    #[test]
    fn a_log_that_was_written_anew_is_read_in_bounded_memory() {
        const MESSAGES: u64 = 60;
        let mut replay = Replay::spilling();
        let mut records = Records::new(true, Clock::manual().0);
        for id in 1..=MESSAGES {
            let message = Arc::new(Message {
                id,
                publisher: 1,
                topic: "a".try_into().unwrap(),
                properties: Default::default(),
                payload: vec![0; BYTES_IN_MEMORY / 16].into(),
                qos: QoS::AtLeastOnce,
                retain: false,
                expires_at: None,
                segment: AtomicU64::new(0),
                spilled: OnceLock::new(),
            });
            records.message(&message);
            let receiver = Receiver {
                session: 1,
                qos: QoS::AtLeastOnce,
                retain: false,
                subscription_ids: &[],
                group: None,
            };
            records.route(id, std::iter::once(receiver));
            let group = records.end_turn();
            let place = Place {
                segment: 1,
                offset: id,
            };
            replay.records(group.records, place, false).unwrap();
            group.records.clear();
            assert!(replay.bytes < 2 * BYTES_IN_MEMORY, "{} bytes", replay.bytes);
        }
        assert_eq!(replay.messages.len() as u64, MESSAGES);
        assert_eq!(replay.sessions[&1].state.queue_len() as u64, MESSAGES);
    }
}
