//! A message reaches the sessions of this shard: sent, queued or dropped, one by one.
//!
//! The packet is encoded once per variant (version, QoS, RETAIN, Subscription Identifier) and
//! copied into each subscriber's buffer; only the packet id differs. For one subscriber it is
//! encoded there at once, and a large payload is not copied at all.
//!
//! Read first: MQTT 5.0 sections 3.3.1, 3.3.2.3 and 4.3.

use std::{
    mem,
    sync::{Arc, OnceLock, atomic::AtomicU64},
};

use bytes::{Bytes, BytesMut};
use whinchat_codec::{
    Guarantee, PacketId, ProtocolVersion, PublishFrame, PublishRef, QoS, Utf8String,
};
use whinchat_session::{DeliveryOptions, DropReason, Instant, PublishHead, TopicAlias};

use super::{
    groups::Level,
    keys::GroupKey,
    message::{Delivery, LARGE_BYTES, Message, Parts},
    retained::Source,
    routing::Target,
    sessions::Session,
    spill::Stored,
};
use crate::{
    commons::Commons,
    hooks::{Action, Client, Decision, DeliverVerdict, MessageEvent},
    limits::Limit,
    metrics::DropLabel,
    shard::{COPY_BYTES, Shard, Wire},
};

/// A payload of QoS 0 up to this size is copied if it is for one subscriber only: what would be kept costs more.
const COPIED_ALONE_BYTES: usize = 16 * 1024;

/// A message on its way out.
pub(crate) struct Outgoing<'a> {
    pub(crate) parts: Parts<'a>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// The number of the session that published it; 0 for the broker itself.
    pub(crate) publisher: u64,
    /// Already in the log.
    pub(crate) recorded: bool,
    /// Sent because it was retained, not because it was published: RETAIN stays 1 (v5 [MQTT-3.3.1-8]).
    from_retained: bool,
    /// Who published it, if that has to be known of a retained message.
    pub(crate) source: Option<Arc<Source>>,
    /// The buffer that the payload may lie in; it can be kept as it is.
    arrived: Option<Bytes>,
    /// Made when the first session has to keep it.
    kept: Option<Arc<Message>>,
}

impl<'a> Outgoing<'a> {
    pub(crate) fn new(parts: Parts<'a>, qos: QoS, retain: bool, publisher: u64) -> Self {
        Self {
            parts,
            qos,
            retain,
            publisher,
            recorded: false,
            from_retained: false,
            source: None,
            arrived: None,
            kept: None,
        }
    }

    pub(crate) fn published_by(self, source: Option<Arc<Source>>) -> Self {
        Self { source, ..self }
    }

    pub(crate) fn arrived_in(self, arrived: Option<Bytes>) -> Self {
        Self { arrived, ..self }
    }

    /// A message that is kept already.
    pub(crate) fn kept(message: &'a Arc<Message>) -> Self {
        Self {
            parts: message.parts(),
            qos: message.qos,
            retain: message.retain,
            publisher: message.publisher,
            recorded: true,
            from_retained: false,
            source: None,
            arrived: None,
            kept: Some(Arc::clone(message)),
        }
    }

    /// The same, for a new subscription.
    pub(crate) fn retained(message: &'a Arc<Message>) -> Self {
        Self {
            from_retained: true,
            ..Self::kept(message)
        }
    }

    /// The message as something that outlives the read buffer.
    pub(crate) fn keep(&mut self, commons: &Commons) -> &Arc<Message> {
        self.kept.get_or_insert_with(|| {
            let (topic, payload) = (self.parts.topic, self.parts.payload);
            let (topic, payload) = if let Some(arrived) = &self.arrived
                && payload.len() > LARGE_BYTES
                && arrived.as_ptr_range().contains(&payload.as_ptr())
            {
                let topic = Bytes::copy_from_slice(topic.as_bytes());
                (topic, arrived.slice_ref(payload))
            } else {
                // Topic and payload share one allocation.
                let mut bytes = BytesMut::with_capacity(topic.len() + payload.len());
                bytes.extend_from_slice(topic.as_bytes());
                bytes.extend_from_slice(payload);
                let mut bytes = bytes.freeze();
                (bytes.split_to(topic.len()), bytes)
            };
            Arc::new(Message {
                id: commons.next_message_id(),
                publisher: self.publisher,
                topic: Utf8String::try_from(topic).expect("the topic was decoded as a string"),
                properties: self.parts.properties.to_owned(),
                payload,
                qos: self.qos,
                retain: self.retain,
                expires_at: self.parts.expires_at,
                segment: AtomicU64::new(0),
                spilled: OnceLock::new(),
            })
        })
    }

    fn retain_for(&self, target: &Target) -> bool {
        // v5 [MQTT-3.3.1-12], [MQTT-3.3.1-13]; v311 [MQTT-3.3.1-9]
        self.from_retained
            || (self.retain && (target.retain_as_published || planted!(RetainPassedOn)))
    }
}

/// One message in the forms in which it leaves, made as they are needed.
#[derive(Default)]
pub(crate) struct Frames(Vec<(Variant, PublishFrame)>);

/// What copies of one message may differ in, besides packet id and DUP.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Variant {
    version: ProtocolVersion,
    qos: QoS,
    retain: bool,
    subscription_id: Option<u32>,
}

impl Variant {
    fn head(&self, parts: &Parts<'_>, now: Instant) -> PublishHead<'_> {
        PublishHead {
            guarantee: Guarantee::new(self.qos, PacketId::MIN, false),
            retain: self.retain,
            subscription_ids: self.subscription_id.as_slice(),
            message_expiry_interval: parts.remaining_seconds(now),
            topic_alias: TopicAlias::None,
        }
    }

    /// Appends the message in this form, at QoS 0; false if it cannot be expressed in it or takes more than `max` bytes.
    fn write(&self, parts: &Parts<'_>, now: Instant, max: usize, out: &mut BytesMut) -> bool {
        let before = out.len();
        let written = parts.as_publish(self.version, &self.head(parts, now), |publish| {
            publish.encode(self.version, out)
        });
        if out.len() - before > max {
            out.truncate(before);
            return false;
        }
        written.is_ok()
    }
}

impl Frames {
    /// The message in this form; `None` if it cannot be expressed in it.
    fn get(&mut self, variant: Variant, parts: &Parts<'_>, now: Instant) -> Option<&PublishFrame> {
        let place = match self.0.iter().position(|(made, _)| *made == variant) {
            Some(place) => place,
            None => {
                let frame = parts
                    .as_publish(variant.version, &variant.head(parts, now), |publish| {
                        PublishFrame::new(publish, variant.version)
                    })
                    .ok()?;
                self.0.push((variant, frame));
                self.0.len() - 1
            }
        };
        self.0.get(place).map(|(_, frame)| frame)
    }
}

impl Shard {
    /// Gives a message to sessions of this shard. `group` is the shared subscription it was picked for.
    pub(crate) fn deliver(
        &mut self,
        message: &mut Outgoing<'_>,
        targets: &[Target],
        group: Option<GroupKey>,
    ) {
        if message.parts.expires_at.is_some_and(|at| at <= self.now) {
            self.metrics
                .messages_dropped
                .of(DropLabel::Expired)
                .add(targets.len() as u64);
            if let Some(kept) = &message.kept {
                let durable = targets.iter().filter(|target| target.durable);
                let kept = Stored::Memory(Arc::clone(kept));
                for target in durable {
                    self.records
                        .dropped(target.session.number, &kept, group.is_some());
                }
            }
            return;
        }
        let copies = targets
            .len()
            .saturating_mul(message.parts.payload.len() + COPY_BYTES);
        self.given_bytes = self.given_bytes.saturating_add(copies);
        let mut frames = mem::take(&mut self.frames);
        frames.0.clear();
        let is_alone = targets.len() == 1;
        for target in targets {
            self.deliver_to(message, target, is_alone, group, &mut frames);
        }
        self.frames = frames;
    }

    fn deliver_to(
        &mut self,
        message: &mut Outgoing<'_>,
        target: &Target,
        is_alone: bool,
        group: Option<GroupKey>,
        frames: &mut Frames,
    ) {
        let Some(session) = self
            .sessions
            .numbered_mut(target.session.index, target.session.number)
        else {
            // It ended while the message was on its way.
            if let Some(group) = group {
                let kept = Arc::clone(message.keep(&self.commons));
                self.deliver_to_group(group, &kept);
            }
            return;
        };
        let qos = message.qos.min(target.qos);
        let is_denied = target.partly && !may_receive(&self.commons, session, message.parts.topic);
        let withheld = if is_denied {
            Some(DropLabel::NotAuthorized)
        } else if self.commons.hooks.watches_deliveries()
            && !passes(&self.commons, session, &message.parts)
        {
            Some(DropLabel::Intercepted)
        } else {
            None
        };
        if let Some(label) = withheld {
            self.metrics.messages_dropped.of(label).increment();
            if qos > QoS::AtMostOnce
                && let Some(number) = session.durable_number()
            {
                let kept = Stored::Memory(Arc::clone(message.keep(&self.commons)));
                self.records.dropped(number, &kept, group.is_some());
            }
            return;
        }
        let retain = message.retain_for(target);
        let ids = target.subscription_ids.as_slice();
        let options = DeliveryOptions::new(qos)
            .with_retain(retain)
            .with_subscription_ids(ids);
        let connection = session
            .slot
            .and_then(|index| Some((index, self.slots.get_mut(index as usize)?)))
            .filter(|(_, slot)| slot.engine.is_connected());
        let Some((index, slot)) = connection else {
            // Nobody is there, or only somebody whose CONNACK waits for the log.
            if qos == QoS::AtMostOnce {
                self.metrics
                    .messages_dropped
                    .of(DropLabel::Offline)
                    .increment();
            } else {
                let delivery = Delivery {
                    message: Stored::Memory(Arc::clone(message.keep(&self.commons))),
                    group,
                };
                self.queue_for(target.session.index, &delivery, &options);
            }
            return;
        };
        slot.out.take_buffer(&mut self.buffers);
        let version = slot.engine.version();
        let variant = Variant {
            version,
            qos,
            retain,
            subscription_id: if version.is_v5() {
                ids.first().copied()
            } else {
                None
            },
        };
        // One for nobody else is encoded by itself; so is one with several identifiers, which are rare, and a large one,
        // whose payload is not copied.
        let is_small = message.parts.payload.len() <= LARGE_BYTES;
        let frame = if !is_alone && ids.len() <= 1 && is_small {
            frames.get(variant, &message.parts, self.now)
        } else {
            None
        };
        if qos == QoS::AtMostOnce {
            let unsent = slot.out.len();
            if self.memory_is_full && slot.write_blocked {
                self.metrics
                    .messages_dropped
                    .of(DropLabel::Memory)
                    .increment();
                return;
            }
            if unsent >= self.unsent_room {
                let (why, limit) = if unsent >= self.settings.unsent_bytes {
                    (DropLabel::UnsentFull, Limit::UnsentSize)
                } else {
                    (DropLabel::Memory, Limit::MemorySize)
                };
                self.metrics.messages_dropped.of(why).increment();
                self.metrics.limit_hits.of(limit).increment();
                return;
            }
        }
        // A QoS 0 copy leaves no trace in the session: its bytes are all there is to it.
        let is_plain = qos == QoS::AtMostOnce && slot.engine.topic_alias_maximum_out() == 0;
        let max = slot.engine.maximum_packet_size_out() as usize;
        let is_written = match frame {
            Some(frame) if is_plain && frame.len() <= max => {
                frame.append_to(slot.out.buffer(), None);
                true
            }
            None if is_alone
                && is_plain
                && ids.len() <= 1
                && message.parts.payload.len() <= COPIED_ALONE_BYTES =>
            {
                variant.write(&message.parts, self.now, max, slot.out.buffer())
            }
            Some(_) | None => false,
        };
        if !is_written {
            let delivery = Delivery {
                message: Stored::Memory(Arc::clone(message.keep(&self.commons))),
                group,
            };
            let durable = session.durable_number();
            let queue_full = self.metrics.messages_dropped.of(DropLabel::QueueFull);
            let lost_before = queue_full.value();
            let mut wire = Wire::new(
                &mut slot.out,
                &mut self.records,
                &self.metrics,
                self.unsent_room,
            )
            .for_session(durable);
            let outcome = slot.engine.deliver(
                self.now,
                &mut session.state,
                &delivery,
                &options,
                frame,
                &mut wire,
            );
            match outcome {
                whinchat_session::Delivery::Sent(_) => {}
                whinchat_session::Delivery::Queued => {
                    let index = target.session.index;
                    let made_room = queue_full.value() != lost_before;
                    self.note_queued(index);
                    if made_room {
                        self.note_overflow(index);
                    }
                    return;
                }
                whinchat_session::Delivery::Dropped(reason) => {
                    self.drop_delivery(target.session.index, &delivery, reason);
                    return;
                }
            }
        }
        if qos == QoS::AtMostOnce {
            self.metrics.messages_sent.of(qos).increment(); // others are counted where they are recorded
        }
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(index);
        }
        if qos == QoS::ExactlyOnce && session.is_durable() {
            self.after_engine(index); // the PUBLISH may wait for the log
        }
    }

    /// A session without a connection takes a message into its queue.
    fn queue_for(&mut self, index: u32, delivery: &Delivery, options: &DeliveryOptions<'_>) {
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        let durable = session.durable_number();
        let dropped = self.metrics.messages_dropped.of(DropLabel::QueueFull);
        let mut made_room = false;
        let outcome = session.state.enqueue(
            self.now,
            delivery,
            options,
            &self.settings.queue,
            |oldest| {
                made_room = true;
                dropped.increment();
                if let Some(number) = durable {
                    self.records
                        .dropped(number, &oldest.message, oldest.group.is_some());
                }
            },
        );
        match outcome {
            whinchat_session::Delivery::Dropped(reason) => {
                self.drop_delivery(index, delivery, reason)
            }
            whinchat_session::Delivery::Sent(_) | whinchat_session::Delivery::Queued => {
                self.note_queued(index)
            }
        }
        if made_room {
            self.note_overflow(index);
        }
    }

    /// Counts and records a message that a session will not get, and says once that its queue is full.
    fn drop_delivery(&mut self, index: u32, delivery: &Delivery, reason: DropReason) {
        self.metrics.messages_dropped.of(reason).increment();
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        if let Some(number) = session.durable_number() {
            self.records
                .dropped(number, &delivery.message, delivery.group.is_some());
        }
        if reason == DropReason::QueueFull {
            self.note_overflow(index);
        }
    }

    /// A session lost a message because its queue is full: counted each time, said once until it has
    /// drained.
    fn note_overflow(&mut self, index: u32) {
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        // The bound that is nearer is the one that was met.
        let (messages, bytes) = (session.state.queue_len(), session.state.queue_bytes());
        let queue = &self.settings.queue;
        let by_count = messages as u128 * u128::from(queue.bytes)
            >= u128::from(bytes) * u128::from(queue.messages);
        let limit = if by_count {
            Limit::QueueMessages
        } else {
            Limit::QueueSize
        };
        self.metrics.limit_hits.of(limit).increment();
        if !session.overflow_logged {
            session.overflow_logged = true;
            self.metrics.sessions_overflowed.add(1);
            tracing::warn!(
                client_id = ?session.client_id,
                queued_messages = messages,
                queued_bytes = bytes,
                limit = limit.option(),
                "the queue of a session is full"
            );
        }
    }

    /// A session queued a message; those it is picked for go to readier members from here on.
    fn note_queued(&mut self, index: u32) {
        self.note_fullness(index);
        self.note_readiness(index);
        self.note_queue_length(index);
    }

    /// Tells the groups that the session is a member of how well it can take one more message.
    fn note_readiness(&self, index: u32) {
        let Some(session) = self.sessions.get(index) else {
            return;
        };
        let Some(readiness) = &session.readiness else {
            return;
        };
        let slot = session.slot.and_then(|slot| self.slots.get(slot as usize));
        readiness.set(match slot {
            None => Level::Absent,
            Some(slot) if !slot.engine.is_connected() => Level::Awaited,
            Some(_) if session.state.queue_len() > 0 => Level::Busy,
            Some(_) => Level::Ready,
        });
    }

    /// An exchange of the session ended: it may have room again.
    pub(crate) fn note_progress(&mut self, index: u32) {
        self.note_fullness(index);
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        let queue = &self.settings.queue;
        let has_drained = session.state.queue_len() as u64 * 10 < u64::from(queue.messages) * 9
            && u128::from(session.state.queue_bytes()) * 10 < u128::from(queue.bytes) * 9;
        if session.overflow_logged && has_drained {
            session.overflow_logged = false;
            self.metrics.sessions_overflowed.subtract(1);
        }
        self.note_readiness(index);
    }
}

/// Whether the interceptor lets the session have the message.
fn passes(commons: &Commons, session: &Session, parts: &Parts<'_>) -> bool {
    let publish = PublishRef {
        guarantee: Guarantee::AtMostOnce,
        retain: false,
        topic: parts.topic,
        properties: parts.properties,
        payload: parts.payload,
    };
    let client = Client::new(&session.client_id, &session.identity);
    let event = MessageEvent::new(parts.topic, &publish);
    commons
        .hooks
        .on_deliver(&client, &event, commons.shared_metrics())
        == DeliverVerdict::Pass
}

/// Whether a subscription that was only partly allowed covers this topic.
fn may_receive(commons: &Commons, session: &Session, topic: &str) -> bool {
    commons.may(
        &session.identity,
        &session.client_id,
        Action::Receive,
        topic,
    ) != Decision::Deny
}
