//! SUBSCRIBE and UNSUBSCRIBE: the subscriptions of a session, in its own table and in the index.
//!
//! The index is changed before SUBACK is queued, so a message that is read after SUBACK left meets
//! the subscription. Read first: MQTT 5.0 sections 3.8 to 3.11, 4.7 and 4.8.

use std::sync::Arc;

use whinchat_codec::{
    QoS, RetainHandling, SubAckProperties, SubAckReason, SubscribeRef, SubscriptionOptions,
    UnsubAckProperties, UnsubAckReason, UnsubscribeRef,
};
use whinchat_session::Ticket;
use whinchat_topic::Subscribed;

use super::{
    groups::{Level, Member, Membership},
    keys::{Grant, SubscriberKey},
    sessions::Subscription,
};
use crate::{
    hooks::{Action, Client, Decision, SubscribeEvent},
    limits::Limit,
    shard::{Shard, read::Flow},
};

impl Shard {
    /// Answers each filter in order (v5 [MQTT-3.8.4-6]).
    pub(crate) fn handle_subscribe(
        &mut self,
        slot: u32,
        session: u32,
        subscribe: &SubscribeRef<'_>,
    ) -> Flow {
        let id = subscribe.properties.subscription_identifier();
        let mut reasons = Vec::with_capacity(subscribe.subscriptions.len());
        let mut ticket = Ticket::NONE;
        let most = self.filters_allowed(slot, session, subscribe.subscriptions.len());
        for (place, subscription) in subscribe.subscriptions.iter().enumerate() {
            let reason = if place >= most {
                Err(SubAckReason::QuotaExceeded)
            } else {
                self.subscribe(slot, session, subscription.filter, subscription.options, id)
            };
            match reason {
                Ok((granted, waits)) => {
                    ticket = ticket.max(waits);
                    reasons.push(granted);
                }
                Err(refused) => reasons.push(refused),
            }
        }
        self.answer(slot, ticket, |engine, now, _, wire| {
            // Larger than the client takes: treated as sent (v5 [MQTT-3.1.2-25]).
            engine
                .suback(
                    now,
                    subscribe.packet_id,
                    &reasons,
                    SubAckProperties::default(),
                    ticket,
                    wire,
                )
                .ok();
        });
        Flow::Continue
    }

    /// How many of the filters of one packet are looked at.
    fn filters_allowed(&mut self, slot: u32, session: u32, asked: usize) -> usize {
        let listener = self
            .slots
            .get(slot as usize)
            .map_or(0, |slot| slot.listener);
        let most = usize::from(
            self.settings
                .listener(listener)
                .limits
                .filters_per_subscribe,
        );
        if asked > most {
            self.meet_limit(slot, session, Limit::FiltersPerSubscribe, &asked);
        }
        most
    }

    fn subscribe(
        &mut self,
        slot: u32,
        session_index: u32,
        text: &str,
        options: SubscriptionOptions,
        id: Option<u32>,
    ) -> Result<(SubAckReason, Ticket), SubAckReason> {
        // v5 [MQTT-4.7.1-1], [MQTT-4.7.3-1], [MQTT-4.8.2-1]
        let subscribed = Subscribed::parse(text).map_err(|_| SubAckReason::TopicFilterInvalid)?;
        let filter = subscribed.filter();
        if let Some((limit, value)) = self.topic_limit(slot, filter.as_str()) {
            self.meet_limit(slot, session_index, limit, &value);
            return Err(SubAckReason::TopicFilterInvalid);
        }
        let limits = &self.settings.limits;
        let features = &self.settings.features;
        if filter.is_wildcard() && !features.wildcard_subscriptions {
            return Err(SubAckReason::WildcardSubscriptionsNotSupported);
        }
        let share = match &subscribed {
            Subscribed::Plain(_) => None,
            Subscribed::Shared(shared) => Some(shared.group()),
        };
        if share.is_some() && !features.shared_subscriptions {
            return Err(SubAckReason::SharedSubscriptionsNotSupported);
        }
        if id.is_some() && !features.subscription_identifiers {
            return Err(SubAckReason::SubscriptionIdentifiersNotSupported);
        }
        let options = SubscriptionOptions {
            qos: options.qos.min(features.maximum_qos),
            ..options
        };
        let session = self
            .sessions
            .get(session_index)
            .expect("an attached session is in the table");
        let action = Action::Subscribe {
            qos: options.qos,
            share,
        };
        let partly = match self.commons.may(
            &session.identity,
            &session.client_id,
            action,
            filter.as_str(),
        ) {
            Decision::Allow => false,
            Decision::AllowPartly => true,
            Decision::Deny => {
                self.metrics.access_denied.of(action).increment();
                return Err(SubAckReason::NotAuthorized);
            }
        };
        let known = session.subscriptions.get(text).copied();
        if known.is_none() {
            if session.subscriptions.len() >= limits.subscriptions_per_session as usize {
                let most = session.subscriptions.len();
                self.meet_limit(slot, session_index, Limit::SubscriptionsPerSession, &most);
                return Err(SubAckReason::QuotaExceeded);
            }
            if !self
                .commons
                .take_subscription(limits.subscriptions as usize)
            {
                let most = limits.subscriptions;
                self.meet_limit(slot, session_index, Limit::Subscriptions, &most);
                return Err(SubAckReason::QuotaExceeded);
            }
            self.metrics.subscriptions.add(1);
            self.metrics
                .shared_subscriptions
                .add(usize::from(share.is_some()));
        }
        let grant = Grant::new(&options, id, session.is_durable(), partly);
        let number = session.number;
        let durable = session.is_durable();
        let key = self
            .sessions
            .key(session_index)
            .expect("an attached session is in the table");

        let mut scan_mark = None;
        match &subscribed {
            Subscribed::Plain(filter) => {
                let wanted = match options.retain_handling {
                    RetainHandling::SendAtSubscribe => true,
                    RetainHandling::SendIfNew => known.is_none(), // v5 [MQTT-3.3.1-10]
                    RetainHandling::DoNotSend => false,           // v5 [MQTT-3.3.1-11]
                };
                // The filter is in the index before the mark is read: see `core::retained`.
                let retained = self.commons.retained.read();
                self.commons.subscriptions.write().insert(
                    filter,
                    SubscriberKey::Session(key),
                    grant,
                );
                if wanted {
                    scan_mark = Some(retained.mark());
                }
            }
            Subscribed::Shared(shared) => {
                let session = self
                    .sessions
                    .get_mut(session_index)
                    .expect("an attached session is in the table");
                let readiness = Arc::clone(session.readiness.get_or_insert_default());
                readiness.set(Level::Ready);
                let member = Member {
                    session: key,
                    grant,
                    readiness,
                };
                // The index is locked first, as everywhere, so that a group is in it as long as it has members.
                let mut filters = self.commons.subscriptions.write();
                let (membership, _) =
                    self.commons
                        .groups
                        .join(shared.group(), shared.filter().as_str(), member);
                let (Membership::GroupChanged(group) | Membership::Unchanged(group)) = membership;
                let entry = self.commons.groups.grant(group).unwrap_or(grant);
                filters.insert(shared.filter(), SubscriberKey::Group(group), entry);
                if planted!(RetainedToShared) {
                    scan_mark = Some(u64::MAX);
                }
            }
        }
        let mut ticket = if durable {
            self.records.subscribed(number, text, options.bits(), id)
        } else {
            Ticket::NONE
        };
        if planted!(SubAckNotAwaited) {
            ticket = Ticket::NONE;
        }
        let scan = match scan_mark {
            Some(mark) => self.begin_scan(key, filter, mark, ticket),
            None => known.map(|known| known.scan).unwrap_or_default(),
        };
        let session = self
            .sessions
            .get_mut(session_index)
            .expect("an attached session is in the table");
        session.subscriptions.insert(
            text.into(),
            Subscription {
                grant,
                options,
                scan,
            },
        );
        self.commons.hooks.on_subscribe(
            &Client::new(&session.client_id, &session.identity),
            &SubscribeEvent::new(text, options.qos),
            self.commons.shared_metrics(),
        );
        Ok((granted(options.qos), ticket))
    }

    /// Answers each filter in order (v5 [MQTT-3.11.3-1]).
    pub(crate) fn handle_unsubscribe(
        &mut self,
        slot: u32,
        session: u32,
        unsubscribe: &UnsubscribeRef<'_>,
    ) -> Flow {
        let mut reasons = Vec::with_capacity(unsubscribe.filters.len());
        let mut ticket = Ticket::NONE;
        let most = self.filters_allowed(slot, session, unsubscribe.filters.len());
        for (place, text) in unsubscribe.filters.iter().enumerate() {
            let (reason, waits) = if place >= most {
                // UNSUBACK has no code for a quota.
                (UnsubAckReason::ImplementationSpecificError, Ticket::NONE)
            } else {
                self.unsubscribe(session, text)
            };
            reasons.push(reason);
            ticket = ticket.max(waits);
        }
        self.answer(slot, ticket, |engine, now, _, wire| {
            engine
                .unsuback(
                    now,
                    unsubscribe.packet_id,
                    &reasons,
                    UnsubAckProperties::default(),
                    ticket,
                    wire,
                )
                .ok();
        });
        Flow::Continue
    }

    fn unsubscribe(&mut self, session_index: u32, text: &str) -> (UnsubAckReason, Ticket) {
        if Subscribed::parse(text).is_err() {
            return (UnsubAckReason::TopicFilterInvalid, Ticket::NONE);
        }
        let key = self
            .sessions
            .key(session_index)
            .expect("an attached session is in the table");
        let session = self
            .sessions
            .get_mut(session_index)
            .expect("an attached session is in the table");
        // Character by character, as it was subscribed (v5 [MQTT-3.10.4-1]).
        if session.subscriptions.remove(text).is_none() {
            return (UnsubAckReason::NoSubscriptionExisted, Ticket::NONE);
        }
        let number = session.number;
        let durable = session.is_durable();
        if !planted!(UnsubscribeForgotten) {
            self.commons.remove_subscription(key, text);
        }
        self.metrics.subscriptions.subtract(1);
        self.metrics
            .shared_subscriptions
            .subtract(usize::from(text.starts_with("$share/")));
        let ticket = if durable {
            self.records.unsubscribed(number, text)
        } else {
            Ticket::NONE
        };
        (UnsubAckReason::Success, ticket)
    }

    /// Takes all subscriptions of a session out of the index.
    pub(crate) fn remove_subscriptions(&mut self, session_index: u32) {
        let Some(key) = self.sessions.key(session_index) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(session_index) else {
            return;
        };
        for (text, _) in std::mem::take(&mut session.subscriptions) {
            self.commons.remove_subscription(key, &text);
            self.metrics.subscriptions.subtract(1);
            self.metrics
                .shared_subscriptions
                .subtract(usize::from(text.starts_with("$share/")));
        }
    }

    /// A session began or ceased to outlive its connections: what the index says of it follows.
    pub(crate) fn update_durability(&mut self, session_index: u32) {
        let Some(session) = self.sessions.get_mut(session_index) else {
            return;
        };
        let durable = session.is_durable();
        for subscription in session.subscriptions.values_mut() {
            subscription.grant.set_durable(durable);
        }
        self.enter_subscriptions(session_index);
    }

    /// Puts all subscriptions of a session into the index and into their groups, as they stand in its
    /// own table.
    pub(crate) fn enter_subscriptions(&mut self, session_index: u32) {
        let Some(key) = self.sessions.key(session_index) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(session_index) else {
            return;
        };
        for (text, subscription) in &session.subscriptions {
            match Subscribed::parse(text) {
                Ok(Subscribed::Plain(filter)) => {
                    let entry = SubscriberKey::Session(key);
                    self.commons
                        .subscriptions
                        .write()
                        .insert(filter, entry, subscription.grant);
                }
                Ok(Subscribed::Shared(shared)) => {
                    let member = Member {
                        session: key,
                        grant: subscription.grant,
                        readiness: Arc::clone(session.readiness.get_or_insert_default()),
                    };
                    let mut filters = self.commons.subscriptions.write();
                    let (membership, _) =
                        self.commons
                            .groups
                            .join(shared.group(), shared.filter().as_str(), member);
                    let (Membership::GroupChanged(group) | Membership::Unchanged(group)) =
                        membership;
                    if let Some(grant) = self.commons.groups.grant(group) {
                        filters.insert(shared.filter(), SubscriberKey::Group(group), grant);
                    }
                }
                Err(_) => debug_assert!(false, "only parsed filters are in the table"),
            }
        }
    }
}

fn granted(qos: QoS) -> SubAckReason {
    match qos {
        QoS::AtMostOnce => SubAckReason::GrantedQoS0,
        QoS::AtLeastOnce => SubAckReason::GrantedQoS1,
        QoS::ExactlyOnce => SubAckReason::GrantedQoS2,
    }
}
