//! PUBLISH: who gets a message, with what; retained messages; whose turn it is in a group.
//!
//! Read first: MQTT 5.0 sections 3.3.1.3, 3.3.4 and 4.8.2.

use std::collections::BTreeSet;

use whinchat_codec::{PubAckProperties, PubAckReason, QoS};
use whinchat_session::{DeliveryOptions, IncomingPublish, Ticket};
use whinchat_topic::{TopicFilter, TopicName};

use super::message::{Group, Published, Routed};
use super::server::{IN_WORDS, Number, Server, Session, Subscription};
use crate::TestMessage;

impl Server {
    /// Whether nobody may publish or subscribe there.
    pub(super) fn is_denied(&self, topic: &str) -> bool {
        let is_there = topic == "denied" || topic.starts_with("denied/");
        self.offered.has_rules && is_there
    }

    pub(super) fn on_publish(&mut self, number: Number, incoming: &IncomingPublish<'_>) {
        let (topic, publish) = (incoming.topic.as_str(), &incoming.publish);
        let now = self.now;
        let mut properties = publish.properties.to_owned();
        properties.remove_topic_alias();
        properties.remove_message_expiry_interval();
        let seconds = publish.properties.message_expiry_interval();
        let published = Published {
            message: TestMessage {
                properties,
                expires_at: seconds.map(|seconds| self.after(seconds)),
                ..TestMessage::new(topic, publish.payload)
            },
            qos: publish.guarantee.qos(),
            retain: publish.retain,
        };
        let publisher = self.client(number).session.clone().unwrap_or_default();
        // Topics that begin with $ are the server's own.
        let reason = if self.is_denied(topic) || topic.starts_with('$') {
            PubAckReason::NotAuthorized
        } else if self.publish(&publisher, &published) {
            PubAckReason::Success
        } else {
            PubAckReason::NoMatchingSubscribers
        };
        if let Some(id) = publish.guarantee.packet_id() {
            let (engine, state, outbox) = self.engine(number);
            let in_words = PubAckProperties::new().with_reason_string(IN_WORDS);
            let answered = engine.acknowledge_with(
                now,
                state,
                id,
                reason,
                &in_words.expect("a short text"),
                Ticket::NONE,
                outbox,
            );
            answered.expect("the engine has asked for it");
        }
    }

    /// Gives a message to all who are to get it, and keeps it if it is retained. Whether anybody got it.
    pub(super) fn publish(&mut self, publisher: &str, published: &Published) -> bool {
        let topic = published.message.topic.as_str().to_owned();
        if published.retain && published.message.payload.is_empty() {
            self.retained.remove(&topic); // v5 [MQTT-3.3.1-6]
        } else if published.retain {
            self.retained.insert(topic.clone(), published.clone()); // v5 [MQTT-3.3.1-5]
        }
        let name = TopicName::new(&topic).expect("the codec takes no other topic");
        let mut groups = BTreeSet::new();
        let mut plain = Vec::new();
        for (id, session) in &self.sessions {
            let matching = session
                .subscriptions
                .iter()
                .filter(|subscription| subscription.filter.matches(name));
            let mut own: Vec<Subscription> = Vec::new();
            for subscription in matching {
                match subscription.group() {
                    Some(group) => drop(groups.insert(group)),
                    // v5 [MQTT-3.8.3-3]
                    None if subscription.options.no_local && id == publisher => {}
                    None => own.push(subscription.clone()),
                }
            }
            if !own.is_empty() {
                plain.push((id.clone(), own));
            }
        }
        let is_matched = !plain.is_empty() || !groups.is_empty();
        for (id, subscriptions) in plain {
            self.deliver(&id, &subscriptions, None, published);
        }
        for group in groups {
            self.deliver_to_group(&group, published);
        }
        is_matched
    }

    /// One copy for one session, with the highest QoS of its subscriptions and all their ids.
    /// // v5 [MQTT-3.3.4-2] [MQTT-3.3.4-3]
    fn deliver(
        &mut self,
        id: &str,
        subscriptions: &[Subscription],
        group: Option<Group>,
        published: &Published,
    ) {
        let granted = subscriptions
            .iter()
            .map(|subscription| subscription.options.qos)
            .max();
        let ids: Vec<u32> = subscriptions
            .iter()
            .filter_map(|subscription| subscription.id)
            .collect();
        let keeps_retain = subscriptions
            .iter()
            .any(|subscription| subscription.options.retain_as_published);
        let options = DeliveryOptions::new(published.qos.min(granted.unwrap_or_default()))
            .with_retain(published.retain && keeps_retain) // v5 [MQTT-3.3.1-12] [MQTT-3.3.1-13]
            .with_subscription_ids(&ids);
        let routed = Routed {
            published: published.clone(),
            group,
        };
        self.hand_in(id, &routed, &options);
    }

    /// To the client that is connected, or into the queue of its session; QoS 0 does not wait.
    fn hand_in(&mut self, id: &str, routed: &Routed, options: &DeliveryOptions<'_>) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        match session
            .connection
            .and_then(|number| self.clients.get_mut(&number))
        {
            Some(client) => {
                let (engine, outbox) = (&mut client.engine, &mut client.outbox);
                engine.deliver(now, &mut session.state, routed, options, None, outbox);
            }
            None if options.qos == QoS::AtMostOnce => {}
            None => {
                session
                    .state
                    .enqueue(now, routed, options, &self.offered.limits.queue, |_| {});
            }
        }
    }

    /// To the next member of the best that there are: with room, connected, any.
    pub(super) fn deliver_to_group(&mut self, group: &Group, published: &Published) {
        let members: Vec<(usize, String, Subscription)> = self
            .sessions
            .iter()
            .flat_map(|(id, session)| {
                let of_group =
                    |subscription: &&Subscription| subscription.group().as_ref() == Some(group);
                let subscriptions = session.subscriptions.iter().filter(of_group);
                subscriptions
                    .map(|subscription| (self.readiness(session), id.clone(), subscription.clone()))
            })
            .collect();
        let Some(best) = members.iter().map(|(readiness, _, _)| *readiness).max() else {
            return;
        };
        let candidates: Vec<_> = members
            .into_iter()
            .filter(|(readiness, _, _)| *readiness == best)
            .collect();
        let turn = self.turns.entry(group.clone()).or_default();
        *turn += 1;
        let (_, id, subscription) = &candidates[*turn % candidates.len()];
        self.deliver(
            id,
            std::slice::from_ref(subscription),
            Some(group.clone()),
            published,
        );
    }

    /// 0: not connected. 1: connected. 2: with room for one more message.
    fn readiness(&self, session: &Session) -> usize {
        let client = session
            .connection
            .and_then(|number| self.clients.get(&number));
        client.map_or(0, |client| {
            let has_room = session.state.in_flight() < usize::from(client.engine.in_flight_max());
            1 + usize::from(has_room)
        })
    }

    pub(super) fn has_connected_member(&self, group: &Group) -> bool {
        self.sessions.values().any(|session| {
            let is_member =
                |subscription: &Subscription| subscription.group().as_ref() == Some(group);
            session.connection.is_some() && session.subscriptions.iter().any(is_member)
        })
    }

    /// The retained messages of a new subscription. // v5 [MQTT-3.3.1-9]
    pub(super) fn deliver_retained(&mut self, id: &str, subscription: &Subscription) {
        let filter: &TopicFilter = &subscription.filter;
        let matching: Vec<Published> = self
            .retained
            .iter()
            .filter(|(topic, _)| TopicName::new(topic).is_ok_and(|name| filter.matches(name)))
            .map(|(_, published)| published.clone())
            .collect();
        let ids: Vec<u32> = subscription.id.into_iter().collect();
        for published in matching {
            let options = DeliveryOptions::new(published.qos.min(subscription.options.qos))
                .with_retain(true) // v5 [MQTT-3.3.1-8]
                .with_subscription_ids(&ids);
            let routed = Routed {
                published,
                group: None,
            };
            self.hand_in(id, &routed, &options);
        }
    }
}

impl Subscription {
    /// The group of a shared subscription.
    fn group(&self) -> Option<Group> {
        let name = self.group.clone()?;
        Some((name, self.filter.as_str().to_owned()))
    }
}
