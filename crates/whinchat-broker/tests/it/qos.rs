//! Messages of every QoS from publisher to subscriber, across shards and versions.

use bytes::Bytes;
use whinchat_broker::config::Config;
use whinchat_codec::{ConnAckReason, Packet, ProtocolVersion, PubCompReason, PubRelReason, QoS};

use crate::{
    harness::{configured, on_every_broker, on_every_broker_with},
    peer::{Peer, Refine, V5, V31, V311, connect, puback, pubcomp, publish, pubrec, pubrel, will},
};

const ALL_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
const ALL_VERSIONS: [ProtocolVersion; 3] = [V31, V311, V5];

#[tokio::test]
async fn a_message_reaches_subscribers_of_every_version() {
    on_every_broker(async |broker| {
        for from in ALL_VERSIONS {
            for to in ALL_VERSIONS {
                let mut subscriber = Peer::connected(broker, to, "sub").await;
                subscriber.subscribe("a/+", QoS::AtMostOnce).await;
                let mut publisher = Peer::connected(broker, from, "pub").await;
                publisher.send(publish("a/b", "hello")).await;
                let got = subscriber.receive_publish().await;
                assert_eq!((&*got.topic, &*got.payload), ("a/b", &b"hello"[..]));
                publisher.disconnect().await;
                subscriber.disconnect().await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn v5_mqtt_3_8_4_8_a_message_is_delivered_at_the_lower_qos_of_publish_and_subscription() {
    on_every_broker(async |broker| {
        let mut publisher = Peer::connected(broker, V5, "p").await;
        for granted in ALL_QOS {
            let mut subscriber = Peer::connected(broker, V5, "s").await;
            subscriber.subscribe("t", granted).await;
            for published in ALL_QOS {
                match published {
                    QoS::AtMostOnce => publisher.send(publish("t", "x")).await,
                    QoS::AtLeastOnce => {
                        publisher.publish_acked("t", "x").await;
                    }
                    QoS::ExactlyOnce => publisher.publish_completed("t", "x").await,
                }
                let got = subscriber.take().await;
                assert_eq!(got.guarantee.qos(), granted.min(published));
            }
            subscriber.disconnect().await;
        }
    })
    .await;
}

#[tokio::test]
async fn v5_mqtt_4_3_2_4_qos_1_is_acknowledged_both_ways() {
    on_every_broker(async |broker| {
        let mut subscriber = Peer::connected(broker, V5, "s").await;
        subscriber.subscribe("t", QoS::AtLeastOnce).await;
        let mut publisher = Peer::connected(broker, V311, "p").await;
        publisher.publish_acked("t", "x").await;
        let got = subscriber.receive_publish().await;
        assert_eq!(got.guarantee.qos(), QoS::AtLeastOnce);
        assert!(!got.guarantee.dup());
        subscriber
            .send(puback(got.guarantee.packet_id().unwrap().get()))
            .await;
        subscriber.receive_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn v5_mqtt_4_3_2_5_an_id_behind_its_puback_is_a_new_message_whatever_dup_says() {
    on_every_broker(async |broker| {
        let mut subscriber = Peer::connected(broker, V5, "s").await;
        subscriber.subscribe("t", QoS::AtLeastOnce).await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        publisher.publish_acked("t", "one").await;
        publisher
            .send(publish("t", "two").at_least_once(1).dup())
            .await;
        assert_eq!(publisher.receive().await, puback(1));
        let one = subscriber.take().await;
        let two = subscriber.take().await;
        assert_eq!((&*one.payload, &*two.payload), (&b"one"[..], &b"two"[..]));
        assert!(!two.guarantee.dup(), "DUP of a publisher is its own"); // v5 [MQTT-3.3.1-3]
    })
    .await;
}

#[tokio::test]
async fn v5_mqtt_4_3_3_10_a_repeated_qos_2_publish_is_answered_and_routed_once() {
    on_every_broker(async |broker| {
        let mut subscriber = Peer::connected(broker, V5, "s").await;
        subscriber.subscribe("t", QoS::ExactlyOnce).await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        publisher.send(publish("t", "x").exactly_once(7)).await;
        assert_eq!(publisher.receive().await, pubrec(7));
        for _ in 0..100 {
            publisher
                .send(publish("t", "x").exactly_once(7).dup())
                .await;
            assert_eq!(publisher.receive().await, pubrec(7));
        }
        publisher.send(pubrel(7)).await;
        assert_eq!(publisher.receive().await, pubcomp(7));
        let got = subscriber.receive_publish().await;
        let id = got.guarantee.packet_id().unwrap().get();
        subscriber.send(pubrec(id)).await;
        assert_eq!(subscriber.receive().await, pubrel(id));
        subscriber.send(pubcomp(id)).await;
        subscriber.receive_nothing().await;
        // v5 [MQTT-4.3.3-12]
        publisher.publish_completed("t", "again").await;
        assert_eq!(subscriber.take_payload().await, "again");
    })
    .await;
}

#[tokio::test]
async fn v5_mqtt_4_4_0_2_a_pubrec_with_an_error_ends_the_exchange() {
    on_every_broker(async |broker| {
        let mut subscriber = Peer::connected(broker, V5, "s").await;
        subscriber.subscribe("t", QoS::ExactlyOnce).await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        publisher.publish_completed("t", "x").await;
        let got = subscriber.receive_publish().await;
        let id = got.guarantee.packet_id().unwrap().get();
        let Packet::PubRec(mut refusal) = pubrec(id) else {
            unreachable!()
        };
        refusal.reason = whinchat_codec::PubRecReason::QuotaExceeded;
        subscriber.send(Packet::PubRec(refusal)).await;
        subscriber.receive_nothing().await;
        publisher.publish_completed("t", "next").await;
        assert_eq!(subscriber.take_payload().await, "next");
    })
    .await;
}

#[tokio::test]
async fn stray_acks_are_answered_and_change_nothing() {
    on_every_broker(async |broker| {
        let mut peer = Peer::connected(broker, V5, "c").await;
        peer.subscribe("t", QoS::ExactlyOnce).await;
        peer.send(puback(9)).await;
        peer.send(pubcomp(9)).await;
        peer.receive_nothing().await;
        peer.send(pubrec(9)).await;
        match peer.receive().await {
            Packet::PubRel(pubrel) => {
                assert_eq!(pubrel.reason, PubRelReason::PacketIdentifierNotFound);
            }
            other => panic!("expected PUBREL, got {other:?}"),
        }
        peer.send(pubrel(9)).await;
        match peer.receive().await {
            Packet::PubComp(pubcomp) => {
                assert_eq!(pubcomp.reason, PubCompReason::PacketIdentifierNotFound);
            }
            other => panic!("expected PUBCOMP, got {other:?}"),
        }
        let mut publisher = Peer::connected(broker, V5, "p").await;
        publisher.publish_completed("t", "x").await;
        assert_eq!(peer.take_payload().await, "x");
    })
    .await;
}

#[tokio::test]
async fn v5_mqtt_4_6_0_5_messages_of_one_publisher_keep_their_order() {
    on_every_broker(async |broker| {
        let mut subscriber = Peer::connected(broker, V5, "s").await;
        subscriber.subscribe("t", QoS::ExactlyOnce).await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        for number in 1..=200_u16 {
            publisher
                .send(publish("t", &number.to_string()).at_least_once(number))
                .await;
        }
        for number in 1..=200_u16 {
            assert_eq!(publisher.receive().await, puback(number)); // v5 [MQTT-4.6.0-2]
        }
        for number in 1..=200_u16 {
            assert_eq!(subscriber.take_payload().await, number.to_string());
        }
    })
    .await;
}

/// T-15, v5 E5-23, E5-33
#[tokio::test]
async fn v5_what_is_declared_as_text_is_checked_where_that_is_configured() {
    let checking = configured(|config: &mut Config| config.mqtt.check_payload_format = true);
    on_every_broker_with(checking, async |broker| {
        let mut subscriber = Peer::connected(broker, V5, "s").await;
        subscriber.subscribe("t", QoS::AtMostOnce).await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        for (is_text, payload, reason) in [
            (Some(true), &b"text"[..], 0x00),
            (Some(true), b"\xFF", 0x99),
            (Some(false), b"\xFF", 0x00),
            (None, b"\xFF", 0x00),
        ] {
            let mut message = publish("t", "");
            message.payload = Bytes::copy_from_slice(payload);
            if let Some(is_text) = is_text {
                message.properties.set_payload_format_indicator(is_text);
            }
            publisher.publish_read(message.clone()).await;
            publisher.send(message.at_least_once(1)).await;
            let Packet::PubAck(answer) = publisher.receive().await else {
                panic!("expected PUBACK")
            };
            assert_eq!(answer.reason.code(), reason);
            if reason == 0 {
                for _ in 0..2 {
                    assert_eq!(*subscriber.take().await.payload, *payload);
                }
            }
            subscriber.receive_nothing().await;
        }
        let mut connect = connect(V5, "c");
        let mut last = will("gone", "");
        last.payload = Bytes::from_static(b"\xFF");
        last.properties.set_payload_format_indicator(true);
        connect.will = Some(last);
        let mut peer = Peer::silent(broker, V5);
        let connack = peer.log_in(connect).await;
        assert_eq!(connack.reason, ConnAckReason::PayloadFormatInvalid);
    })
    .await;
}
