//! T-34 to T-44: names, filters and how many of them.

use whinchat_broker::{Broker, config::Config};
use whinchat_codec::{
    DisconnectReason, Packet, ProtocolVersion, PubAckReason, QoS, SubAckReason, SubscriptionOptions,
};

use super::Witnesses;
use crate::peer::{Peer, Refine, V5, V31, V311, puback, publish, subscribe};

const ILL_FORMED: [&str; 16] = [
    "",
    "a#",
    "#a",
    "a/#b",
    "#/a",
    "a/#/b",
    "+a",
    "a+",
    "a/+b/c",
    "##",
    "++",
    "$share",
    "$share/",
    "$share/g",
    "$share//t",
    "$share/g+/t",
];

fn refused(version: ProtocolVersion) -> Option<SubAckReason> {
    match version {
        ProtocolVersion::V31 => None, // its SUBACK grants, whatever happened
        ProtocolVersion::V311 => Some(SubAckReason::UnspecifiedError),
        ProtocolVersion::V5 => Some(SubAckReason::TopicFilterInvalid),
    }
}

/// T-36
#[tokio::test]
async fn nobody_publishes_into_the_trees_of_the_broker() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let mut witnesses = Witnesses::of(&broker).await;
    let mut peer = Peer::connected(&broker, V5, "c").await;
    for topic in [
        "$SYS/broker/version",
        "$SYS",
        "$",
        "$share/g/t",
        "$anything",
    ] {
        let puback = peer.publish_acked(topic, "forged").await;
        assert_eq!(puback.reason, PubAckReason::NotAuthorized, "{topic}");
        peer.publish_read(publish(topic, "forged").retained()).await;
    }
    let mut reader = Peer::connected(&broker, V5, "r").await;
    reader
        .subscribe("$SYS/broker/version", QoS::AtMostOnce)
        .await;
    let version = reader.receive_publish().await;
    assert_ne!(version.payload, "forged");
    witnesses.notice_nothing().await;
}

/// T-38, T-77
#[tokio::test]
async fn an_ill_formed_filter_is_refused_by_itself_and_never_stored() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let witnesses = Witnesses::of(&broker).await;
    let options = SubscriptionOptions::new(QoS::AtLeastOnce);
    for version in [V31, V311, V5] {
        let mut peer = Peer::connected(&broker, version, "c").await;
        for filter in ILL_FORMED {
            let ask = subscribe(1, &[("fine", options), (filter, options)]);
            let suback = peer.subscribe_with(ask).await;
            assert_eq!(suback.reasons[0], SubAckReason::GrantedQoS1);
            if let Some(refused) = refused(version) {
                assert_eq!(suback.reasons[1], refused, "{version} {filter:?}");
            }
        }
        let held = broker
            .metrics()
            .sum_gauge(|shard| shard.subscriptions.value());
        assert_eq!(held, 2, "its own, and that of a witness");
        peer.disconnect().await;
    }
    witnesses.are_alone_again().await;
}

/// T-40
#[tokio::test]
async fn a_bomb_of_subscriptions_is_bounded_and_leaves_nothing() {
    let mut config = Config::embedded();
    config.limits.subscriptions_per_session = 1_000;
    let broker = Broker::builder().config(config).threads(2).start().unwrap();
    let mut witnesses = Witnesses::of(&broker).await;
    let options = SubscriptionOptions::new(QoS::AtMostOnce);
    let mut peer = Peer::connected(&broker, V5, "bomber").await;
    let mut granted = 0;
    for packet in 0..8_u32 {
        let filters: Vec<String> = (0..500)
            .map(|number| format!("{packet}/{number}/+/#"))
            .collect();
        let asked: Vec<_> = filters.iter().map(|text| (&**text, options)).collect();
        let suback = peer.subscribe_with(subscribe(1, &asked)).await;
        assert_eq!(suback.reasons.len(), 500);
        for reason in suback.reasons {
            match reason {
                SubAckReason::GrantedQoS0 => granted += 1,
                other => assert_eq!(other, SubAckReason::QuotaExceeded),
            }
        }
        witnesses.notice_nothing().await;
    }
    assert_eq!(granted, 1_000);
    // Those that are there may still be replaced and removed.
    let again = peer.subscribe("0/0/+/#", QoS::ExactlyOnce).await;
    assert_eq!(again.reasons, [SubAckReason::GrantedQoS2]);
    peer.cut();
    witnesses.are_alone_again().await;
}

/// T-41: 20,000 filters in one packet, some twice.
#[tokio::test]
async fn each_of_many_filters_gets_its_code_in_its_place() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let witnesses = Witnesses::of(&broker).await;
    let filters: Vec<String> = (0..20_000)
        .map(|number| (number % 7_000).to_string())
        .collect();
    let asked: Vec<_> = (0..)
        .zip(&filters)
        .map(|(place, text)| {
            let qos = QoS::try_from(u8::try_from(place % 3).unwrap()).unwrap();
            (&**text, SubscriptionOptions::new(qos))
        })
        .collect();
    let mut peer = Peer::connected(&broker, V5, "c").await;
    let suback = peer.subscribe_with(subscribe(1, &asked)).await;
    assert_eq!(suback.reasons.len(), 20_000);
    for (place, reason) in suback.reasons.iter().enumerate() {
        let expected = if place < 10_000 {
            u8::try_from(place % 3).unwrap()
        } else {
            0x97
        };
        assert_eq!(reason.code(), expected, "filter {place}");
    }
    peer.disconnect().await;
    witnesses.are_alone_again().await;
}

/// T-42
#[tokio::test]
async fn a_thousand_overlapping_filters_give_one_copy_with_all_identifiers() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let witnesses = Witnesses::of(&broker).await;
    let mut peer = Peer::connected(&broker, V5, "c").await;
    const LEVELS: u32 = 10;
    let name = ["x"; LEVELS as usize].join("/");
    for bits in 0..1 << LEVELS {
        let levels: Vec<&str> = (0..LEVELS)
            .map(|level| if bits >> level & 1 == 1 { "+" } else { "x" })
            .collect();
        let qos = if bits == 77 {
            QoS::AtLeastOnce
        } else {
            QoS::AtMostOnce
        };
        let mut ask = subscribe(1, &[(&levels.join("/"), SubscriptionOptions::new(qos))]);
        ask.properties
            .set_subscription_identifier(bits + 1)
            .unwrap();
        peer.subscribe_with(ask).await;
    }
    let mut publisher = Peer::connected(&broker, V5, "p").await;
    publisher.publish_acked(&name, "x").await;
    let got = peer.take().await;
    assert_eq!(got.guarantee.qos(), QoS::AtLeastOnce);
    let mut ids: Vec<u32> = got.properties.subscription_identifiers().collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=1 << LEVELS).collect::<Vec<_>>());
    peer.receive_nothing().await;
    peer.disconnect().await;
    publisher.disconnect().await;
    witnesses.are_alone_again().await;
}

/// T-43
#[tokio::test]
async fn a_plain_and_a_shared_subscription_of_one_filter_are_two() {
    let broker = Broker::builder().threads(2).start().unwrap();
    for gone in ["t", "$share/g/t"] {
        let mut peer = Peer::connected(&broker, V5, "c").await;
        peer.subscribe("t", QoS::AtMostOnce).await;
        peer.subscribe("$share/g/t", QoS::AtMostOnce).await;
        peer.unsubscribe(&[gone]).await;
        peer.send(publish("t", "x")).await;
        assert_eq!(peer.receive_publish().await.payload, "x");
        peer.receive_nothing().await;
        peer.disconnect().await;
    }
}

/// T-35, T-58
/// v5 E5-28
#[tokio::test]
async fn a_topic_alias_is_checked_resolved_and_forgotten() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let witnesses = Witnesses::of(&broker).await;
    let aliased = |topic: &str, alias| {
        let mut message = publish(topic, "x").at_least_once(1);
        message.properties.set_topic_alias(alias).unwrap();
        message
    };
    let mut peer = Peer::connected(&broker, V5, "c").await;
    // Remapped again and again: one place.
    for number in 0..200 {
        peer.send(aliased(&format!("t/{number}"), 1)).await;
        peer.receive().await;
    }
    let mut reader = Peer::connected(&broker, V5, "r").await;
    reader.subscribe("t/199", QoS::AtMostOnce).await;
    peer.send(aliased("", 1)).await;
    assert_eq!(peer.receive().await, puback(1));
    assert_eq!(&*reader.receive_publish().await.topic, "t/199");
    reader.disconnect().await;
    // The alias of a forbidden name stands for a forbidden name.
    for topic in ["$SYS/x", ""] {
        peer.send(aliased(topic, 2)).await;
        let Packet::PubAck(puback) = peer.receive().await else {
            panic!("expected PUBACK");
        };
        assert_eq!(puback.reason, PubAckReason::NotAuthorized);
    }
    peer.disconnect().await;
    let mut back = Peer::connected(&broker, V5, "c").await;
    back.send(aliased("", 1)).await;
    back.receive_disconnect(DisconnectReason::ProtocolError)
        .await;
    witnesses.are_alone_again().await;
}
