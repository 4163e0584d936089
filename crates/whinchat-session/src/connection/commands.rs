//! What a client asks for besides publishing: SUBSCRIBE and UNSUBSCRIBE. Publishing is
//! [`deliver`](Connection::deliver), checked first.
//!
//! Read first: MQTT 5.0 sections 3.2.2.3, 3.8 and 3.10.

use whinchat_codec::{PacketId, PubRecReason, QoS, Subscribe, Unsubscribe};
use whinchat_topic::{Subscribed, TopicFilter};

use super::{Connection, Delivery, Phase, Role};
use crate::message::SubscriptionIds;
use crate::state::{Outgoing, Slot};
use crate::{DeliveryOptions, Instant, Message, Output, Refused, SessionState};

impl Connection {
    /// Client: publishes a message, or queues it as [`deliver`](Self::deliver) does.
    ///
    /// # Errors
    /// If the server has said in its CONNACK that it takes no such message. Before the CONNACK
    /// nothing is known, and the message is queued; should the server not take it then, it is
    /// reported to [`Output::dropped`].
    pub fn publish<M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        session: &mut SessionState<M>,
        message: &M,
        options: &DeliveryOptions<'_>,
        out: &mut O,
    ) -> Result<Delivery, Refused> {
        if self.phase == Phase::Connected && self.role == Role::Client {
            let (asked, max) = (options.qos, self.maximum_qos);
            if asked > max {
                return Err(Refused::QoSNotSupported { asked, max }); // v5 [MQTT-3.2.2-11]
            }
            if options.retain && !self.retain_available {
                return Err(Refused::RetainNotSupported); // v5 [MQTT-3.2.2-14]
            }
        }
        Ok(self.deliver(now, session, message, options, None, out))
    }

    /// Client: sends a SUBSCRIBE with a packet id of ours, which it then has and which the SUBACK
    /// will have.
    ///
    /// # Errors
    /// If the server takes no such subscription, the packet is too large for it or cannot be
    /// written, or we are not connected.
    pub fn subscribe<M, O: Output<M>>(
        &mut self,
        now: Instant,
        session: &mut SessionState<M>,
        subscribe: &mut Subscribe,
        out: &mut O,
    ) -> Result<PacketId, Refused> {
        self.check_request()?;
        if !self.subscription_identifier_available
            && subscribe.properties.subscription_identifier().is_some()
        {
            return Err(Refused::SubscriptionIdentifiersNotSupported);
        }
        for subscription in &subscribe.subscriptions {
            self.check_filter(&subscription.filter)?;
        }
        let id = session.sender_mut().allocate().ok_or(Refused::NoPacketId)?;
        subscribe.packet_id = id;
        self.check_request_size(subscribe.encoded_len(self.version)?)?;
        subscribe.encode(self.version, out.buffer())?;
        self.await_request(now, session, id, Outgoing::AwaitSubAck);
        Ok(id)
    }

    /// Client: sends an UNSUBSCRIBE with a packet id of ours, which it then has and which the
    /// UNSUBACK will have.
    ///
    /// # Errors
    /// If the packet is too large for the server or cannot be written, or we are not connected.
    pub fn unsubscribe<M, O: Output<M>>(
        &mut self,
        now: Instant,
        session: &mut SessionState<M>,
        unsubscribe: &mut Unsubscribe,
        out: &mut O,
    ) -> Result<PacketId, Refused> {
        self.check_request()?;
        let id = session.sender_mut().allocate().ok_or(Refused::NoPacketId)?;
        unsubscribe.packet_id = id;
        self.check_request_size(unsubscribe.encoded_len(self.version)?)?;
        unsubscribe.encode(self.version, out.buffer())?;
        self.await_request(now, session, id, Outgoing::AwaitUnsubAck);
        Ok(id)
    }

    fn check_request(&self) -> Result<(), Refused> {
        match (self.role, self.phase) {
            (Role::Server, _) => Err(Refused::NotAvailable),
            (Role::Client, Phase::Connected) => Ok(()),
            (Role::Client, _) => Err(Refused::NotConnected),
        }
    }

    /// Whether the server takes subscriptions of this kind. What a filter may look like is the
    /// server's business.
    fn check_filter(&self, filter: &str) -> Result<(), Refused> {
        let filter = match Subscribed::parse(filter) {
            Ok(Subscribed::Plain(filter)) => filter,
            Ok(Subscribed::Shared(shared)) => {
                if !self.shared_subscription_available {
                    return Err(Refused::SharedSubscriptionsNotSupported);
                }
                shared.filter()
            }
            Err(_) => return Ok(()),
        };
        if !self.wildcard_subscription_available && TopicFilter::is_wildcard(filter) {
            return Err(Refused::WildcardSubscriptionsNotSupported);
        }
        Ok(())
    }

    fn check_request_size(&self, size: usize) -> Result<(), Refused> {
        let max = self.packet_size_max_out;
        if u32::try_from(size).is_ok_and(|size| size <= max) {
            Ok(())
        } else {
            Err(Refused::PacketTooLarge { size, max }) // v5 [MQTT-3.2.2-15]
        }
    }

    fn await_request<M>(
        &mut self,
        now: Instant,
        session: &mut SessionState<M>,
        id: PacketId,
        state: Outgoing,
    ) {
        session.sender_mut().push(Slot {
            id,
            state,
            retain: false,
            unsent: false,
            pubrec: PubRecReason::Success,
            message: None,
            subscription_ids: SubscriptionIds::None,
        });
        self.wrote(now);
    }

    /// Client: whether the server has said that it takes messages of this kind.
    #[must_use]
    pub fn can_publish(&self, qos: QoS, retain: bool) -> bool {
        qos <= self.maximum_qos && (!retain || self.retain_available)
    }
}
