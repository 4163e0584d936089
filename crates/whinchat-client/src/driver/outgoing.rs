//! What the application asks for: commands to the engine, and what became of messages.

use std::{sync::Arc, task::Context};

use whinchat_codec::{
    self as codec, Guarantee, PacketId, ProtocolVersion, QoS, RetainHandling, SubAckReason,
    SubscribeProperties, SubscriptionOptions, UnsubAckReason, UnsubscribeProperties, Utf8String,
};
use whinchat_session::{Delivery, DeliveryOptions, DropReason, Refused};
use whinchat_topic::TopicName;

use super::{Driver, link::Link, operations::Step};
use crate::{
    command::{Command, Subscribe, Unsubscribe},
    dispatch::{EntryKey, Target},
    error::{PublishError, SubscribeError, UnsubscribeError},
    inbox::Inbox,
    message::Message,
    outgoing::Outgoing,
    publish::PublishOutcome,
};

impl Driver {
    /// Carries out what the application asked for while there is room in the outgoing buffer. Says whether it did anything.
    pub(super) fn take_commands(&mut self, cx: &mut Context<'_>, link: &mut Link) -> bool {
        if self.commands.is_empty() && link.outgoing.has_room() {
            // Pending means that there is nothing, and that the next command wakes the task.
            let _ = self.shared.outbox.poll_take(cx, &mut self.commands);
        }
        let mut busy = false;
        while link.outgoing.has_room() {
            if let Some(message) = self.unsent.pop_front() {
                self.publish(link, message);
            } else if let Some(command) = self.commands.pop_front() {
                self.carry_out(link, command);
            } else {
                break;
            }
            busy = true;
        }
        self.send_steps(link);
        busy
    }

    fn carry_out(&mut self, link: &mut Link, command: Command) {
        match command {
            Command::Publish(message) => self.publish(link, message),
            Command::Subscribe(subscribe) => self.subscribe(link, subscribe),
            Command::Unsubscribe(unsubscribe) => self.unsubscribe(unsubscribe),
            Command::Acknowledge(receipt) => self.receipts.spend(receipt),
            Command::StreamDropped {
                inbox,
                unread,
                release,
            } => self.stream_dropped(&inbox, unread, release),
        }
    }

    fn publish(&mut self, link: &mut Link, outgoing: Outgoing) {
        let now = self.now;
        let (qos, retain) = (outgoing.message().qos, outgoing.message().retain);
        let options = DeliveryOptions::new(qos).with_retain(retain);
        match link.connection.publish(
            now,
            &mut self.session,
            &outgoing,
            &options,
            &mut link.outgoing,
        ) {
            Ok(Delivery::Sent(_)) if qos == QoS::AtMostOnce => link.done_when_written(outgoing),
            Ok(Delivery::Sent(_) | Delivery::Queued) => {}
            Ok(Delivery::Dropped(reason)) => self.give_up(link, outgoing, reason),
            Err(Refused::RetainNotSupported) => {
                self.give_up(link, outgoing, DropReason::RetainNotSupported)
            }
            // The only other thing that the server may have said in advance.
            Err(_) => self.give_up(link, outgoing, DropReason::QoSNotSupported),
        }
    }

    /// The engine will not deliver this message.
    fn give_up(&mut self, link: &Link, outgoing: Outgoing, reason: DropReason) {
        let message = outgoing.message();
        let result = Err(match reason {
            DropReason::Expired => PublishError::Expired,
            DropReason::PacketTooLarge => PublishError::TooLarge {
                size: packet_size(&outgoing, link),
                limit: link.connection.maximum_packet_size_out(),
            },
            DropReason::QoSNotSupported => PublishError::QosNotSupported {
                qos: message.qos,
                maximum: link.connection.maximum_qos(),
            },
            DropReason::RetainNotSupported => PublishError::RetainNotSupported,
            // The broker has the message; that it forgot the exchange changes nothing.
            DropReason::SessionLost => {
                self.finish(&outgoing, Ok(PublishOutcome::success()));
                return;
            }
            DropReason::NotEncodable => PublishError::NotInThisVersion {
                version: link.connection.version(),
            },
            // The engine's own bounds are above ours, so that these do not come. If they do, nothing is lost.
            DropReason::PeerTooSlow | DropReason::QueueFull | _ => {
                self.unsent.push_back(outgoing);
                return;
            }
        });
        self.finish(&outgoing, result);
    }

    /// Tells the application about messages that were written, or given up by the engine.
    pub(super) fn after_write(&mut self, link: &mut Link, all_written: bool) {
        while let Some(message) = link.next_written() {
            self.finish(&message, Ok(PublishOutcome::success()));
        }
        for (message, reason) in std::mem::take(&mut link.outgoing.dropped) {
            self.give_up(link, message, reason);
        }
        if all_written && self.session.queue_len() > 0 {
            link.connection
                .send_queued(self.now, &mut self.session, &mut link.outgoing);
        }
    }

    fn subscribe(&mut self, link: &Link, subscribe: Subscribe) {
        let Subscribe {
            filters,
            user_properties,
            target,
            reply,
        } = subscribe;
        let version = link.connection.version();
        if let Some(error) = filters
            .iter()
            .find_map(|(_, options)| not_in_version(options, version))
        {
            let _ = reply.send(Err(error)); // whoever dropped the call does not care
            return;
        }
        let keys: Vec<_> = filters
            .iter()
            .map(|(filter, options)| {
                self.dispatch
                    .add(filter, *options, &user_properties, &target)
            })
            .collect();
        if let Target::Stream(inbox) = &target {
            self.claim(inbox, &keys);
        }
        self.operations.subscribe(keys, reply);
    }

    /// Gives a new stream what waited for one.
    fn claim(&mut self, inbox: &Arc<Inbox>, keys: &[EntryKey]) {
        let Self {
            dispatch, shared, ..
        } = self;
        let is_meant = |message: &Message| {
            let topic = TopicName::from_validated(&message.topic);
            keys.iter().any(|&key| dispatch.matches(key, topic))
        };
        for message in shared.unclaimed.take_where(is_meant) {
            if let Some(message) = inbox.push(message) {
                self.take_back(message);
            }
        }
    }

    fn unsubscribe(&mut self, unsubscribe: Unsubscribe) {
        let Unsubscribe { filters, reply } = unsubscribe;
        let filters = filters
            .into_iter()
            .map(|filter| {
                let key = self.dispatch.key_of(&filter);
                if let Some(key) = key {
                    self.dispatch.detach(key);
                }
                (filter, key)
            })
            .collect();
        self.operations.unsubscribe(filters, reply);
    }

    fn stream_dropped(&mut self, inbox: &Arc<Inbox>, unread: Vec<Message>, release: bool) {
        let left_alone = self.dispatch.remove_stream(inbox);
        if release {
            for key in left_alone {
                let Some(entry) = self.dispatch.entry(key) else {
                    continue;
                };
                let (filter, asked) = (entry.filter.clone(), entry.asked);
                if asked {
                    self.dispatch.detach(key);
                    let key = Some(key);
                    self.operations.push(Step::Unsubscribe {
                        filter,
                        key,
                        operation: None,
                    });
                } else {
                    self.operations.forget(key);
                    self.dispatch.remove(key);
                }
            }
        }
        for message in unread {
            self.take_back(message);
        }
    }

    /// After a connection on which the broker knows no session of ours: everything is subscribed again.
    pub(super) fn subscribe_again(&mut self) {
        let keys: Vec<_> = self.dispatch.granted().collect();
        for key in keys {
            self.operations.push(Step::Subscribe {
                key,
                operation: None,
            });
        }
    }

    /// Sends SUBSCRIBE and UNSUBSCRIBE packets that wait.
    fn send_steps(&mut self, link: &mut Link) {
        while link.outgoing.has_room() {
            let Some(step) = self.operations.next_to_send() else {
                return;
            };
            let sent = match &step {
                Step::Subscribe { key, .. } => self.send_subscribe(link, *key),
                Step::Unsubscribe { filter, .. } => self.send_unsubscribe(link, filter),
            };
            match sent {
                Ok(Some(id)) => self.operations.sent(id, step),
                Ok(None) => {} // its filter is gone, and with it whoever asked for it
                Err(Refused::NoPacketId) => {
                    self.operations.put_back(step);
                    return;
                }
                Err(refused) => self.step_refused(step, refused),
            }
        }
    }

    fn send_subscribe(
        &mut self,
        link: &mut Link,
        key: EntryKey,
    ) -> Result<Option<PacketId>, Refused> {
        let Some(entry) = self.dispatch.entry(key) else {
            return Ok(None);
        };
        let mut properties = SubscribeProperties::new();
        if link.connection.version() == ProtocolVersion::V5 {
            if link.takes_subscription_identifiers {
                properties.set_subscription_identifier(key.subscription_identifier())?;
            }
            for (name, value) in &entry.user_properties {
                properties.add_user_property(name, value)?;
            }
        }
        let mut subscribe = codec::Subscribe {
            packet_id: PacketId::MIN, // the engine puts in its own
            properties,
            subscriptions: vec![codec::Subscription {
                filter: entry.filter.clone(),
                options: entry.options,
            }],
        };
        let now = self.now;
        let id = link.connection.subscribe(
            now,
            &mut self.session,
            &mut subscribe,
            &mut link.outgoing,
        )?;
        if let Some(entry) = self.dispatch.entry_mut(key) {
            entry.asked = true;
        }
        Ok(Some(id))
    }

    fn send_unsubscribe(
        &mut self,
        link: &mut Link,
        filter: &Utf8String,
    ) -> Result<Option<PacketId>, Refused> {
        let mut unsubscribe = codec::Unsubscribe {
            packet_id: PacketId::MIN, // the engine puts in its own
            properties: UnsubscribeProperties::new(),
            filters: vec![filter.clone()],
        };
        let now = self.now;
        link.connection
            .unsubscribe(now, &mut self.session, &mut unsubscribe, &mut link.outgoing)
            .map(Some)
    }

    /// A step that this broker, or this version, cannot be asked.
    fn step_refused(&mut self, step: Step, refused: Refused) {
        match step {
            Step::Subscribe { key, operation } => {
                let Some(entry) = self.dispatch.entry(key) else {
                    return;
                };
                let error = subscribe_refused(&entry.filter, refused);
                match operation {
                    Some(part) => self.operations.subscribed(
                        part,
                        SubAckReason::UnspecifiedError,
                        Some(error),
                    ),
                    None => {
                        tracing::warn!(%error, "cannot be subscribed again: its streams end");
                        self.dispatch.remove(key);
                    }
                }
            }
            Step::Unsubscribe {
                filter,
                key,
                operation,
            } => {
                tracing::warn!(?filter, %refused, "cannot be unsubscribed");
                if let Some(key) = key {
                    self.dispatch.remove(key);
                }
                if let Some(part) = operation {
                    let reason = UnsubAckReason::UnspecifiedError;
                    let error = UnsubscribeError::Rejected {
                        filter: filter.to_string(),
                        reason,
                    };
                    self.operations.unsubscribed(part, reason, Some(error));
                }
            }
        }
    }
}

fn subscribe_refused(filter: &Utf8String, refused: Refused) -> SubscribeError {
    let feature = if refused == Refused::WildcardSubscriptionsNotSupported {
        "wildcard subscriptions"
    } else if refused == Refused::SharedSubscriptionsNotSupported {
        "shared subscriptions"
    } else {
        let filter = filter.to_string();
        return SubscribeError::NotSendable { filter, refused };
    };
    SubscribeError::NotSupported {
        filter: filter.to_string(),
        feature,
    }
}

/// What of these options this version does not have.
fn not_in_version(
    options: &SubscriptionOptions,
    version: ProtocolVersion,
) -> Option<SubscribeError> {
    let option = if version == ProtocolVersion::V5 {
        return None;
    } else if options.no_local {
        "no local"
    } else if options.retain_as_published {
        "retain as published"
    } else if options.retain_handling != RetainHandling::SendAtSubscribe {
        "retain handling"
    } else {
        return None;
    };
    Some(SubscribeError::NotInThisVersion { option, version })
}

fn packet_size(outgoing: &Outgoing, link: &Link) -> usize {
    let message = outgoing.message();
    let guarantee = Guarantee::new(message.qos, PacketId::MAX, false);
    let publish = message.publish_ref(link.connection.version(), guarantee, message.retain);
    publish
        .encoded_len(link.connection.version())
        .unwrap_or(usize::MAX)
}
