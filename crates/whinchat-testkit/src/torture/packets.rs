//! Packets as the clients of all methods, and of overload, send them.

use whinchat_codec::{
    Packet, PacketId, QoS, Subscribe, Subscription, SubscriptionOptions, Unsubscribe, Utf8String,
};

pub(crate) fn text(text: &str) -> Utf8String {
    Utf8String::try_from(text).expect("a text that MQTT can carry")
}

pub(crate) fn subscribe(packet_id: PacketId, filters: &[impl AsRef<str>], qos: QoS) -> Packet {
    let subscriptions = filters.iter().map(|filter| Subscription {
        filter: text(filter.as_ref()),
        options: SubscriptionOptions::new(qos),
    });
    Packet::Subscribe(Subscribe {
        packet_id,
        properties: Default::default(),
        subscriptions: subscriptions.collect(),
    })
}

pub(crate) fn unsubscribe(packet_id: PacketId, filter: &str) -> Packet {
    Packet::Unsubscribe(Unsubscribe {
        packet_id,
        properties: Default::default(),
        filters: vec![text(filter)],
    })
}
