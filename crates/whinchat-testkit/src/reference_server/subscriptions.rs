//! SUBSCRIBE and UNSUBSCRIBE.
//!
//! Read first: MQTT 5.0 sections 3.8.4 and 3.10.4.

use whinchat_codec::{
    RetainHandling, SubAckProperties, SubAckReason, SubscribeRef, SubscriptionRef,
    UnsubAckProperties, UnsubAckReason, UnsubscribeRef,
};
use whinchat_session::Ticket;
use whinchat_topic::Subscribed;

use super::server::{IN_WORDS, Number, Server, Subscription};

impl Server {
    pub(super) fn on_subscribe(&mut self, number: Number, subscribe: &SubscribeRef<'_>) {
        let now = self.now;
        let session = self.client(number).session.clone().unwrap_or_default();
        let id = subscribe.properties.subscription_identifier();
        let mut reasons = Vec::new();
        let mut with_retained = Vec::new();
        for asked in subscribe.subscriptions {
            let (reason, subscription) = match self.subscribe(&session, &asked, id) {
                Ok((subscription, is_new)) => {
                    let wanted = match subscription.options.retain_handling {
                        RetainHandling::SendAtSubscribe => true,
                        RetainHandling::SendIfNew => is_new, // v5 [MQTT-3.3.1-10]
                        RetainHandling::DoNotSend => false,  // v5 [MQTT-3.3.1-11]
                    };
                    let is_plain = subscription.group.is_none();
                    let granted = SubAckReason::granted(subscription.options.qos);
                    (granted, (wanted && is_plain).then_some(subscription))
                }
                Err(reason) => (reason, None),
            };
            reasons.push(reason);
            with_retained.extend(subscription);
        }
        let (engine, _, outbox) = self.engine(number);
        // A SUBACK that is longer than the client takes counts as sent. // v5 [MQTT-3.1.2-25]
        let properties = SubAckProperties::new()
            .with_reason_string(IN_WORDS)
            .expect("a short text");
        engine
            .suback(
                now,
                subscribe.packet_id,
                &reasons,
                properties,
                Ticket::NONE,
                outbox,
            )
            .ok();
        for subscription in with_retained {
            self.deliver_retained(&session, &subscription);
        }
    }

    /// Adds the subscription or replaces it; whether it is new.
    fn subscribe(
        &mut self,
        session: &str,
        asked: &SubscriptionRef<'_>,
        id: Option<u32>,
    ) -> Result<(Subscription, bool), SubAckReason> {
        let subscribed =
            Subscribed::parse(asked.filter).map_err(|_| SubAckReason::TopicFilterInvalid)?;
        let (group, filter) = match subscribed {
            Subscribed::Plain(filter) => (None, filter),
            Subscribed::Shared(shared) => (Some(shared.group().to_owned()), shared.filter()),
        };
        if self.is_denied(filter.as_str()) {
            return Err(SubAckReason::NotAuthorized);
        }
        if filter.is_wildcard() && !self.offered.wildcards {
            return Err(SubAckReason::WildcardSubscriptionsNotSupported);
        }
        if group.is_some() && !self.offered.shared_subscriptions {
            return Err(SubAckReason::SharedSubscriptionsNotSupported);
        }
        if id.is_some() && !self.offered.subscription_ids {
            return Err(SubAckReason::SubscriptionIdentifiersNotSupported);
        }
        let mut options = asked.options;
        options.qos = options.qos.min(self.offered.limits.maximum_qos); // v5 [MQTT-3.2.2-10]
        let subscription = Subscription {
            text: asked.filter.to_owned(),
            filter: filter.to_owned(),
            group,
            options,
            id,
        };
        let session = self
            .sessions
            .get_mut(session)
            .ok_or(SubAckReason::UnspecifiedError)?;
        let same = |known: &&mut Subscription| known.text == subscription.text;
        // v5 [MQTT-3.8.4-3]
        let is_new = match session.subscriptions.iter_mut().find(same) {
            Some(known) => {
                *known = subscription.clone();
                false
            }
            None => {
                session.subscriptions.push(subscription.clone());
                true
            }
        };
        Ok((subscription, is_new))
    }

    pub(super) fn on_unsubscribe(&mut self, number: Number, unsubscribe: &UnsubscribeRef<'_>) {
        let now = self.now;
        let session = self.client(number).session.clone().unwrap_or_default();
        let reasons: Vec<UnsubAckReason> = unsubscribe
            .filters
            .into_iter()
            .map(|text| self.unsubscribe(&session, text))
            .collect();
        let (engine, _, outbox) = self.engine(number);
        let properties = UnsubAckProperties::new()
            .with_reason_string(IN_WORDS)
            .expect("a short text");
        // As for SUBACK.
        engine
            .unsuback(
                now,
                unsubscribe.packet_id,
                &reasons,
                properties,
                Ticket::NONE,
                outbox,
            )
            .ok();
    }

    fn unsubscribe(&mut self, session: &str, text: &str) -> UnsubAckReason {
        if Subscribed::parse(text).is_err() {
            return UnsubAckReason::TopicFilterInvalid;
        }
        let Some(session) = self.sessions.get_mut(session) else {
            return UnsubAckReason::UnspecifiedError;
        };
        let before = session.subscriptions.len();
        // Character by character. // v5 [MQTT-3.10.4-1]
        session.subscriptions.retain(|known| known.text != text);
        if session.subscriptions.len() < before {
            UnsubAckReason::Success
        } else {
            UnsubAckReason::NoSubscriptionExisted
        }
    }
}
