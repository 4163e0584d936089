//! Retained messages, as far as the transcripts do not show them: many, while they are replaced, beyond their limits.

use whinchat_broker::config::Config;
use whinchat_codec::{DisconnectReason, Packet, PubAckReason, QoS, SubscriptionOptions};

use crate::{
    harness::{configured, on_every_broker, on_every_broker_with},
    peer::{Peer, Refine, V5, V31, V311, connect, connect_durable, puback, publish, subscribe},
};

/// T-72
#[tokio::test]
async fn every_retained_message_of_a_wildcard_is_sent_once() {
    on_every_broker(async |broker| {
        let mut publisher = Peer::connected(broker, V5, "p").await;
        for topic in ["a", "a/b", "a/b/c", "a/c", "b", "/", "a/"] {
            publisher
                .publish_read(publish(topic, topic).retained())
                .await;
        }
        for (filter, topics) in [
            ("#", &["/", "a", "a/", "a/b", "a/b/c", "a/c", "b"][..]),
            ("a/#", &["a", "a/", "a/b", "a/b/c", "a/c"]),
            ("a/+", &["a/", "a/b", "a/c"]),
            ("+", &["a", "b"]),
            ("+/+", &["/", "a/", "a/b", "a/c"]),
            ("a/+/c", &["a/b/c"]),
            ("c", &[]),
        ] {
            let mut peer = Peer::connected(broker, V5, "c").await;
            peer.subscribe(filter, QoS::AtMostOnce).await;
            let mut got = Vec::new();
            for _ in topics {
                let message = peer.take().await;
                assert!(message.retain);
                got.push(message.topic.to_string());
            }
            got.sort_unstable();
            assert_eq!(got, topics, "{filter}");
            broker.settle().await;
            peer.receive_nothing().await;
            peer.disconnect().await;
        }
    })
    .await;
}

/// T-72
#[tokio::test]
async fn two_thousand_are_sent_to_a_reader_that_acknowledges_each() {
    on_every_broker(async |broker| {
        const COUNT: usize = 2000;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        for batch in 0..COUNT / 100 {
            for place in 0..100 {
                let topic = format!("many/{batch}/{place}");
                let mut message = publish(&topic, &"x".repeat(100)).retained();
                if place % 2 == 0 {
                    message = message.at_least_once(place + 1);
                }
                publisher.send(message).await;
            }
            for _ in 0..50 {
                assert!(matches!(publisher.receive().await, Packet::PubAck(_)));
            }
        }
        publisher.receive_nothing().await;
        for durable in [false, true] {
            let connect = if durable {
                connect_durable(V5, "d")
            } else {
                connect(V5, "c")
            };
            let (mut peer, _) = Peer::connected_with(broker, connect).await;
            peer.subscribe("#", QoS::AtLeastOnce).await;
            let mut topics = std::collections::HashSet::new();
            for _ in 0..COUNT {
                let message = peer.take().await;
                assert!(message.retain);
                assert!(
                    topics.insert(message.topic.to_string()),
                    "{} twice",
                    &*message.topic
                );
            }
            broker.settle().await;
            peer.receive_nothing().await;
        }
    })
    .await;
}

/// T-73
#[tokio::test]
async fn a_message_that_is_replaced_during_a_scan_is_never_followed_by_the_old_one() {
    on_every_broker(async |broker| {
        let mut publisher = Peer::connected(broker, V5, "p").await;
        for number in 0..1500 {
            publisher
                .send(publish(&format!("r/{number}"), "old").retained())
                .await;
        }
        publisher.receive_nothing().await;
        let mut peer = Peer::silent(broker, V5);
        peer.log_in(connect(V5, "c")).await;
        let filter = [("r/#", SubscriptionOptions::new(QoS::AtMostOnce))];
        peer.send(Packet::Subscribe(subscribe(1, &filter))).await;
        for number in 0..1500 {
            publisher
                .send(publish(&format!("r/{number}"), "new").retained())
                .await;
        }
        publisher.receive_nothing().await;
        broker.settle().await;
        peer.send(Packet::PingReq).await;
        let mut last = std::collections::HashMap::new();
        let mut ponged = false;
        while !ponged || last.len() < 1500 {
            match peer.receive().await {
                Packet::Publish(message) => {
                    let payload = String::from_utf8_lossy(&message.payload).into_owned();
                    let before = last.insert(message.topic.to_string(), payload.clone());
                    assert!(
                        before.is_none() || (before.as_deref() == Some("old") && payload == "new"),
                        "{before:?}, then {payload}"
                    );
                }
                Packet::PingResp => ponged = true,
                _ => {}
            }
        }
        broker.settle().await;
        let answer = publisher.publish_acked("r/end", "end").await;
        assert!(!answer.reason.is_error());
        loop {
            let message = peer.receive_publish().await;
            let payload = String::from_utf8_lossy(&message.payload).into_owned();
            if payload == "end" {
                break;
            }
            assert_eq!(payload, "new");
            last.insert(message.topic.to_string(), payload);
        }
        assert!(
            last.values().all(|payload| payload == "new"),
            "what came last is the newest"
        );
    })
    .await;
}

#[tokio::test]
async fn suback_comes_before_the_retained_messages_it_brings() {
    on_every_broker(async |broker| {
        let mut publisher = Peer::connected(broker, V5, "p").await;
        publisher.publish_read(publish("t", "x").retained()).await;
        for round in 0..10 {
            let id = format!("c{round}");
            let (mut peer, _) = Peer::connected_with(broker, connect_durable(V5, &id)).await;
            let filter = [("t", SubscriptionOptions::new(QoS::AtMostOnce))];
            peer.send(Packet::Subscribe(subscribe(1, &filter))).await;
            assert!(matches!(peer.receive().await, Packet::SubAck(_)));
            peer.take_payloads(&["x"]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn beyond_the_limit_a_message_is_delivered_and_not_kept() {
    // The topics below $SYS, which are retained messages too, take none of it.
    let two = configured(|config: &mut Config| {
        config.limits.retained_messages = 2;
    });
    on_every_broker_with(two, async |broker| {
        let mut early = Peer::connected(broker, V5, "early").await;
        early.subscribe("#", QoS::AtMostOnce).await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        for (topic, reason) in [
            ("a", PubAckReason::Success),
            ("b", PubAckReason::Success),
            ("c", PubAckReason::QuotaExceeded),
            ("a", PubAckReason::Success), // replaced
        ] {
            publisher
                .send(publish(topic, topic).at_least_once(1).retained())
                .await;
            let Packet::PubAck(answer) = publisher.receive().await else {
                panic!("expected PUBACK")
            };
            assert_eq!(answer.reason, reason, "{topic}");
        }
        early.take_payloads(&["a", "b", "c", "a"]).await;
        let mut late = Peer::connected(broker, V5, "late").await;
        late.subscribe("#", QoS::AtMostOnce).await;
        let mut got = [late.take_payload().await, late.take_payload().await];
        got.sort_unstable();
        assert_eq!(got, ["a", "b"]);
        broker.settle().await;
        late.receive_nothing().await;
        // Cleared, it makes room.
        publisher.publish_read(publish("a", "").retained()).await;
        publisher
            .send(publish("c", "c").at_least_once(1).retained())
            .await;
        assert_eq!(publisher.receive().await, puback(1));
    })
    .await;
}

/// v5 E5-26
#[tokio::test]
async fn v5_mqtt_3_2_2_14_where_nothing_is_retained_a_retained_publish_ends_the_connection() {
    let none = configured(|config: &mut Config| config.mqtt.retain_available = false);
    on_every_broker_with(none, async |broker| {
        for version in [V31, V311, V5] {
            let mut peer = Peer::connected(broker, version, "c").await;
            peer.send(publish("t", "x").retained()).await;
            peer.receive_disconnect(DisconnectReason::RetainNotSupported)
                .await;
        }
    })
    .await;
}
