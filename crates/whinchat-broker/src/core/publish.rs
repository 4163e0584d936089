//! A PUBLISH arrives: may it, who gets it, what must survive, what is answered.
//!
//! Everything that the broker publishes goes through [`Shard::route`], whatever it came by: a
//! client, a Will, the broker's own `$SYS` topics.
//!
//! Read first: MQTT 5.0 sections 3.3.1.3, 3.3.4, 4.3 and 4.6; then `deliver`.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use whinchat_codec::{PubAckReason, PublishRef, QoS};
use whinchat_session::{IncomingPublish, Ticket};
use whinchat_topic::TopicName;

use super::{
    deliver::Outgoing,
    end::Ending,
    keys::GroupKey,
    limits_met::Met,
    mail::Mail,
    message::{Message, Parts},
    records::Receiver,
    retained::{NoRoom, Source},
    routing::{Routes, Target, find_routes},
};
use crate::{
    hooks::{Action, Client, Decision, MessageEvent, PublishVerdict},
    limits::Limit,
    metrics::{AccessLabel, DropLabel},
    shard::{Shard, read::Flow},
};

/// What became of a message, for the answer to its publisher.
pub(crate) struct Routed {
    pub(crate) reason: PubAckReason,
    /// What the answer waits for.
    pub(crate) ticket: Ticket,
    /// It was not taken because a queue is full: an ack without a reason code would be a lie.
    has_no_room: bool,
}

impl Routed {
    fn refused(reason: PubAckReason) -> Self {
        Self {
            reason,
            ticket: Ticket::NONE,
            has_no_room: false,
        }
    }
}

impl Shard {
    pub(crate) fn handle_publish(
        &mut self,
        slot: u32,
        session: u32,
        incoming: &IncomingPublish<'_>,
    ) -> Flow {
        let publish = &incoming.publish;
        let Some(id) = publish.guarantee.packet_id() else {
            let routed = self.take_publish(slot, session, incoming);
            // A message without an ack is refused by silence; but a name that is none ends it
            // (CATALOGUE T-34).
            if routed.reason == PubAckReason::TopicNameInvalid {
                self.end_connection(slot, Ending::TopicNameInvalid);
                return Flow::Stop;
            }
            return Flow::Continue;
        };
        let level = self.settings.acks.of(incoming.topic.as_str());
        let others = self.records.await_until(level);
        let routed = self.take_publish(slot, session, incoming);
        // 3.x has no way to say no. Without an ack it sends the message again when it is back.
        let is_taken = !routed.has_no_room || self.slots[slot as usize].engine.version().is_v5();
        if is_taken {
            let (reason, ticket) = (routed.reason, routed.ticket);
            self.answer(slot, ticket, |engine, now, state, wire| {
                let acknowledged = engine.acknowledge(now, state, id, reason, ticket, wire);
                debug_assert!(
                    acknowledged.is_ok(),
                    "the engine has just asked for this answer"
                );
            });
        }
        self.records.await_until(others);
        if !is_taken {
            self.end_connection(slot, Ending::QueueFull);
            return Flow::Stop;
        }
        Flow::Continue
    }

    fn take_publish(&mut self, slot: u32, session: u32, incoming: &IncomingPublish<'_>) -> Routed {
        let (topic, publish) = (incoming.topic.as_str(), &incoming.publish);
        self.metrics
            .messages_received
            .of(publish.guarantee.qos())
            .increment();
        let replaced = match self.may_publish(slot, session, topic, publish) {
            Ok(replaced) => replaced,
            Err(reason) => return Routed::refused(reason),
        };
        if self.memory_is_full && publish.guarantee.qos() > QoS::AtMostOnce {
            self.meet_limit(slot, session, Limit::MemorySize, &format_args!("{topic:?}"));
            return Routed {
                has_no_room: true,
                ..Routed::refused(PubAckReason::QuotaExceeded)
            };
        }
        if self.has_no_room_for(publish.guarantee.qos(), publish.retain, topic) {
            self.meet_limit(
                slot,
                session,
                Limit::StorePercent,
                &format_args!("{topic:?}"),
            );
            return Routed {
                has_no_room: true,
                ..Routed::refused(PubAckReason::QuotaExceeded)
            };
        }
        let qos = publish.guarantee.qos();
        if let Some(limit) = self.refused_by(qos, TopicName::from_validated(topic)) {
            self.meet_limit(slot, session, limit, &format_args!("{topic:?}"));
            return Routed {
                has_no_room: true,
                ..Routed::refused(PubAckReason::QuotaExceeded)
            };
        }
        let publisher = self.sessions.get(session);
        let source = publisher
            .filter(|_| publish.retain && self.commons.hooks.has_authorizer())
            .map(|session| Source::new(&session.identity, &session.client_id));
        let publisher = publisher.map_or(0, |session| session.number);
        let seconds = publish.properties.message_expiry_interval();
        // Properties that end at this broker are taken out, if there are any.
        let own = (publish.properties.topic_alias().is_some() || seconds.is_some()).then(|| {
            let mut own = publish.properties.to_owned();
            own.remove_topic_alias();
            own.remove_message_expiry_interval();
            own
        });
        let parts = Parts {
            topic,
            properties: own
                .as_ref()
                .map_or(publish.properties, |own| own.borrowed()),
            payload: replaced.as_deref().unwrap_or(publish.payload),
            expires_at: seconds
                .map(|seconds| self.now.saturating_add_millis(u64::from(seconds) * 1_000)),
        };
        let qos = publish.guarantee.qos();
        let message = Outgoing::new(parts, qos, publish.retain, publisher)
            .published_by(source)
            .arrived_in(self.arrived.clone());
        self.route(message)
    }

    /// Whether the client may publish this; an interceptor's payload in place of its own.
    fn may_publish(
        &mut self,
        slot: u32,
        session: u32,
        topic: &str,
        publish: &PublishRef<'_>,
    ) -> Result<Option<Bytes>, PubAckReason> {
        if topic.starts_with('$') {
            self.metrics
                .access_denied
                .of(AccessLabel::Publish)
                .increment();
            return Err(PubAckReason::NotAuthorized); // v5 section 4.7.2: the server's own trees (T-36)
        }
        if let Some((limit, value)) = self.topic_limit(slot, topic) {
            self.meet_limit(slot, session, limit, &value);
            return Err(PubAckReason::TopicNameInvalid);
        }
        let session = self
            .sessions
            .get(session)
            .expect("an attached session is in the table");
        let action = Action::Publish {
            qos: publish.guarantee.qos(),
            retain: publish.retain,
        };
        if self
            .commons
            .may(&session.identity, &session.client_id, action, topic)
            == Decision::Deny
        {
            self.metrics.access_denied.of(action).increment();
            return Err(PubAckReason::NotAuthorized);
        }
        if self.settings.features.check_payload_format
            && publish.properties.payload_format_indicator() == Some(true)
            && std::str::from_utf8(publish.payload).is_err()
        {
            let dropped = self.metrics.messages_dropped.of(DropLabel::Encoding);
            dropped.increment();
            return Err(PubAckReason::PayloadFormatInvalid); // v5 section 3.3.2.3.2
        }
        let client = Client::new(&session.client_id, &session.identity);
        let event = MessageEvent::new(topic, publish);
        match self
            .commons
            .hooks
            .on_publish(&client, &event, self.commons.shared_metrics())
        {
            PublishVerdict::Pass => Ok(None),
            PublishVerdict::Replace(payload) => Ok(Some(payload)),
            PublishVerdict::Refuse(reason) => {
                self.metrics
                    .messages_dropped
                    .of(DropLabel::Intercepted)
                    .increment();
                Err(reason)
            }
        }
    }

    /// Sends a message to everyone who is to get it, and keeps it as retained if it says so.
    pub(crate) fn route(&mut self, mut message: Outgoing<'_>) -> Routed {
        let topic = TopicName::from_validated(message.parts.topic);
        let mut reason = PubAckReason::Success;
        let mut ticket = Ticket::NONE;
        let routes = if message.retain {
            // Set and matched in one step: see `core::retained`.
            let kept = Arc::clone(message.keep(&self.commons));
            let kept = &kept;
            let commons = Arc::clone(&self.commons);
            let mut retained = commons.retained.write();
            let is_own = kept.is_own(); // `$SYS` replaces what is there
            let has_memory = !self.memory_is_full || is_own || kept.payload.is_empty();
            let source = message.source.take();
            let has_room = !self.room.is_missing() || is_own || kept.payload.is_empty();
            let no_room = |limit| {
                let value = kept.size() as u64;
                Err(NoRoom { limit, value })
            };
            let set = if !has_memory {
                no_room(Limit::MemorySize)
            } else if !has_room {
                no_room(Limit::StorePercent)
            } else {
                retained.set(kept, source.clone(), &self.settings)
            };
            match set {
                Err(NoRoom { limit, value }) => {
                    let met = Met {
                        limit,
                        client_id: None,
                        peer: None,
                        value: &value,
                    };
                    self.limit_log.note(self.now, &self.metrics, &met);
                    reason = PubAckReason::QuotaExceeded;
                }
                Ok(_) if planted!(RetainClearNotRecorded) && kept.payload.is_empty() => {}
                // What the broker says of itself is said anew after a start.
                Ok(mark) if commons.log_is_awaited && !is_own => {
                    ticket = ticket.max(self.records.message(kept));
                    let retain = self.records.retain(kept.id, mark, source.as_deref());
                    ticket = ticket.max(retain);
                    message.recorded = true;
                }
                Ok(_) => {}
            }
            let filters = commons.subscriptions.read();
            Rc::new(find_routes(
                &filters,
                self.id,
                topic,
                Some(message.publisher),
            ))
        } else {
            let routes = self
                .routes
                .routes(&self.commons.subscriptions, self.id, topic);
            if routes.no_local && message.publisher != 0 {
                let filters = self.commons.subscriptions.read();
                Rc::new(find_routes(
                    &filters,
                    self.id,
                    topic,
                    Some(message.publisher),
                ))
            } else {
                routes
            }
        };
        if routes.is_empty() {
            if reason == PubAckReason::Success && !message.retain {
                reason = PubAckReason::NoMatchingSubscribers;
            }
            return Routed {
                reason,
                ticket,
                has_no_room: false,
            };
        }
        let picked = self.pick_members(&mut message, &routes);
        if self.commons.log_is_awaited && message.qos != QoS::AtMostOnce {
            ticket = ticket.max(self.record_route(&mut message, &routes, &picked));
        }
        self.deliver(&mut message, &routes.local, None);
        for (shard, targets) in &routes.remote {
            let kept = Arc::clone(message.keep(&self.commons));
            self.mail(
                *shard,
                Mail::Deliver {
                    message: kept,
                    targets: Arc::clone(targets),
                },
            );
        }
        for (group, target) in picked {
            if target.session.shard == self.id {
                self.deliver(&mut message, std::slice::from_ref(&target), Some(group));
            } else {
                let kept = Arc::clone(message.keep(&self.commons));
                self.mail(
                    target.session.shard,
                    Mail::DeliverToMember {
                        message: kept,
                        group,
                        target,
                    },
                );
            }
        }
        Routed {
            reason,
            ticket,
            has_no_room: false,
        }
    }

    /// One member of each group (v5 [MQTT-4.8.2-4]).
    fn pick_members(&self, message: &mut Outgoing<'_>, routes: &Routes) -> Vec<(GroupKey, Target)> {
        if routes.groups.is_empty() {
            return Vec::new(); // allocates nothing
        }
        let can_wait = message.qos != QoS::AtMostOnce;
        routes
            .groups
            .iter()
            .flat_map(|group| std::iter::repeat_n(group, 1 + usize::from(planted!(SharedToTwo))))
            .filter_map(|(group, _)| {
                let member = self.commons.groups.pick(*group, can_wait)?;
                Some((*group, Target::new(member.session, member.grant)))
            })
            .collect()
    }

    fn record_route(
        &mut self,
        message: &mut Outgoing<'_>,
        routes: &Routes,
        picked: &[(GroupKey, Target)],
    ) -> Ticket {
        let durable = routes.durable || picked.iter().any(|(_, target)| target.durable);
        if !durable {
            return Ticket::NONE;
        }
        let recorded = message.recorded;
        let (qos, retain) = (message.qos, message.retain);
        let kept = Arc::clone(message.keep(&self.commons));
        if !recorded {
            self.records.message(&kept);
            message.recorded = true;
        }
        let remote = routes.remote.iter().flat_map(|(_, targets)| targets.iter());
        let own = routes.local.iter().chain(remote);
        let shared: Vec<_> = picked
            .iter()
            .filter(|(_, target)| target.durable)
            .map(|(group, target)| (self.commons.groups.text_of(*group), target))
            .collect();
        let receivers = own
            .filter(|target| target.durable)
            .map(|target| receiver(target, qos, retain, None))
            .chain(
                shared
                    .iter()
                    .map(|(group, target)| receiver(target, qos, retain, group.as_deref())),
            );
        self.records.route(kept.id, receivers)
    }

    /// A message that a member of the group did not get.
    pub(crate) fn deliver_to_group(&mut self, group: GroupKey, message: &Arc<Message>) {
        let can_wait = message.qos != QoS::AtMostOnce;
        let Some(member) = self.commons.groups.pick(group, can_wait) else {
            self.metrics
                .messages_dropped
                .of(DropLabel::SessionEnded)
                .increment();
            return;
        };
        let target = Target::new(member.session, member.grant);
        if target.durable && can_wait {
            // Whoever had it before may have had no records: the message itself may not be in the log.
            self.records.message(message);
            let text = self.commons.groups.text_of(group);
            let receiver = receiver(&target, message.qos, message.retain, text.as_deref());
            self.records.route(message.id, std::iter::once(receiver));
        }
        if target.session.shard == self.id {
            self.deliver(&mut Outgoing::kept(message), &[target], Some(group));
        } else {
            let to = target.session.shard;
            self.mail(
                to,
                Mail::DeliverToMember {
                    message: Arc::clone(message),
                    group,
                    target,
                },
            );
        }
    }
}

fn receiver<'a>(
    target: &'a Target,
    qos: QoS,
    retain: bool,
    group: Option<&'a str>,
) -> Receiver<'a> {
    Receiver {
        session: target.session.number,
        qos: target.qos.min(qos),
        retain: retain && target.retain_as_published,
        subscription_ids: target.subscription_ids.as_slice(),
        group,
    }
}
