//! SUBSCRIBE and UNSUBSCRIBE: what matches, every option, what is refused.

use whinchat_broker::config::Config;
use whinchat_codec::{
    DisconnectReason, Packet, PubAckReason, QoS, RetainHandling, SubAckReason, Subscribe,
    SubscriptionOptions, UnsubAckReason,
};

use crate::{
    harness::{configured, limited, on_every_broker, on_every_broker_with},
    peer::{Peer, Refine, V5, V31, V311, packet_id, publish, subscribe},
};

fn options(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions::new(qos)
}

fn identified(id: u32, filters: &[(&str, SubscriptionOptions)]) -> Subscribe {
    let mut subscribe = subscribe(3, filters);
    subscribe
        .properties
        .set_subscription_identifier(id)
        .unwrap();
    subscribe
}

mod answers {
    use super::*;

    #[tokio::test]
    async fn v5_mqtt_3_8_4_6_each_filter_has_its_reason_in_order() {
        on_every_broker(async |broker| {
            let filters = [
                ("a", options(QoS::ExactlyOnce)),
                ("a#", options(QoS::AtMostOnce)),
                ("b/+", options(QoS::AtLeastOnce)),
                ("#/a", options(QoS::AtMostOnce)),
                ("+a", options(QoS::AtMostOnce)),
                ("c/#", options(QoS::AtMostOnce)),
                ("$share/g", options(QoS::AtMostOnce)),
                ("$share//t", options(QoS::AtMostOnce)),
                ("$share/g+/t", options(QoS::AtMostOnce)),
                ("$share/g/t", options(QoS::AtLeastOnce)),
            ];
            let invalid = SubAckReason::TopicFilterInvalid;
            let mut peer = Peer::connected(broker, V5, "c").await;
            let suback = peer.subscribe_with(subscribe(77, &filters)).await;
            assert_eq!(suback.packet_id, packet_id(77)); // v5 [MQTT-3.8.4-2]
            assert_eq!(
                suback.reasons,
                [
                    SubAckReason::GrantedQoS2,
                    invalid,
                    SubAckReason::GrantedQoS1,
                    invalid,
                    invalid,
                    SubAckReason::GrantedQoS0,
                    invalid,
                    invalid,
                    invalid,
                    SubAckReason::GrantedQoS1,
                ]
            );
            let mut peer = Peer::connected(broker, V311, "d").await;
            let suback = peer.subscribe_with(subscribe(1, &filters)).await;
            assert_eq!(suback.reasons[1], SubAckReason::UnspecifiedError); // 0x80
            assert_eq!(suback.reasons[2], SubAckReason::GrantedQoS1);
        })
        .await;
    }

    #[tokio::test]
    async fn v31_has_no_code_for_a_refused_filter() {
        on_every_broker(async |broker| {
            let mut peer = Peer::connected(broker, V31, "c").await;
            let suback = peer.subscribe("a#", QoS::AtLeastOnce).await;
            assert_eq!(suback.reasons, [SubAckReason::GrantedQoS0]);
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_3_11_3_1_each_unsubscribed_filter_has_its_reason_in_order() {
        on_every_broker(async |broker| {
            let mut peer = Peer::connected(broker, V5, "c").await;
            peer.subscribe("a/+", QoS::AtMostOnce).await;
            peer.subscribe("b", QoS::AtMostOnce).await;
            // Character by character: `a/b` is not `a/+` (v5 [MQTT-3.10.4-1]).
            let unsuback = peer.unsubscribe(&["a/b", "a/+", "a/+", "b#", "b"]).await;
            assert_eq!(
                unsuback.reasons,
                [
                    UnsubAckReason::NoSubscriptionExisted,
                    UnsubAckReason::Success,
                    UnsubAckReason::NoSubscriptionExisted,
                    UnsubAckReason::TopicFilterInvalid,
                    UnsubAckReason::Success,
                ]
            );
            // v5 [MQTT-3.10.4-2]
            let answer = peer.publish_acked("a/b", "x").await;
            assert_eq!(answer.reason, PubAckReason::NoMatchingSubscribers);
            let mut old = Peer::connected(broker, V311, "d").await;
            assert!(old.unsubscribe(&["x", "y"]).await.reasons.is_empty()); // [MQTT-3.10.4-5]
        })
        .await;
    }

    #[tokio::test]
    async fn v5_a_packet_id_that_is_in_use_is_answered_with_0x91() {
        on_every_broker(async |broker| {
            let mut peer = Peer::connected(broker, V5, "c").await;
            peer.send(publish("t", "x").exactly_once(9)).await;
            peer.receive().await;
            let suback = peer
                .subscribe_with(subscribe(9, &[("t", options(QoS::AtMostOnce))]))
                .await;
            assert_eq!(suback.reasons, [SubAckReason::PacketIdentifierInUse]);
        })
        .await;
    }
}

mod matching {
    use super::*;

    #[tokio::test]
    async fn v5_mqtt_4_7_wildcards_and_the_dollar_rule() {
        on_every_broker(async |broker| {
            let mut publisher = Peer::connected(broker, V5, "p").await;
            for (filter, matches, others) in [
                (
                    "a/+/c",
                    &["a/b/c", "a//c"][..],
                    &["a/b", "a/b/c/d", "x/b/c"][..],
                ),
                ("a/#", &["a", "a/b", "a/b/c"], &["b", "ab"]),
                ("+", &["a", "b"], &["/a", "a/b"]),
                ("+/+", &["/a", "a/b"], &["a"]),
                ("/+", &["/a"], &["a"]),
                ("#", &["a", "/", "a/b/c"], &[]),
                ("A/b", &["A/b"], &["a/b", "A/B"]),
                ("Ångström", &["Ångström"], &["A\u{30a}ngstro\u{308}m"]), // v5 [MQTT-4.7.3-4]
            ] {
                let mut peer = Peer::connected(broker, V311, "c").await;
                peer.subscribe(filter, QoS::AtMostOnce).await;
                for topic in others {
                    publisher.publish_acked(topic, topic).await;
                }
                for topic in matches {
                    publisher.publish_acked(topic, topic).await;
                    assert_eq!(peer.take_payload().await, *topic, "by {filter}");
                }
                peer.receive_nothing().await;
                peer.disconnect().await;
            }
        })
        .await;
    }

    /// T-37
    #[tokio::test]
    async fn v5_mqtt_4_7_2_1_wildcards_do_not_match_dollar_topics() {
        on_every_broker(async |broker| {
            broker.settle().await;
            let mut peer = Peer::connected(broker, V5, "c").await;
            for filter in ["#", "+/#", "+/broker/version", "+/+/version"] {
                peer.subscribe(filter, QoS::AtMostOnce).await;
            }
            peer.receive_nothing().await;
            peer.subscribe("$SYS/broker/version", QoS::AtMostOnce).await;
            assert_eq!(&*peer.receive_publish().await.topic, "$SYS/broker/version");
        })
        .await;
    }

    /// T-36
    #[tokio::test]
    async fn a_client_must_not_publish_below_dollar() {
        on_every_broker(async |broker| {
            let mut watcher = Peer::connected(broker, V5, "w").await;
            for filter in ["$SYS/mine", "$share/mine", "$other/mine"] {
                watcher.subscribe(filter, QoS::AtMostOnce).await;
            }
            let mut peer = Peer::connected(broker, V5, "c").await;
            for topic in ["$SYS/mine", "$share/mine", "$other/mine", "$"] {
                peer.publish_read(publish(topic, "x")).await;
                let answer = peer.publish_acked(topic, "x").await;
                assert_eq!(answer.reason, PubAckReason::NotAuthorized);
                peer.send(publish(topic, "x").exactly_once(1)).await;
                let Packet::PubRec(answer) = peer.receive().await else {
                    panic!("expected PUBREC")
                };
                assert_eq!(answer.reason.code(), 0x87);
            }
            watcher.receive_nothing().await;
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_3_3_4_4_overlapping_subscriptions_give_one_copy_with_all_identifiers() {
        on_every_broker(async |broker| {
            let mut peer = Peer::connected(broker, V5, "c").await;
            for (id, filter, qos) in [
                (Some(1), "a/b", QoS::AtMostOnce),
                (Some(268_435_455), "a/+", QoS::ExactlyOnce),
                (None, "a/#", QoS::AtLeastOnce),
                (Some(1), "#", QoS::AtMostOnce),
            ] {
                let filters = [(filter, options(qos))];
                let subscribe = match id {
                    Some(id) => identified(id, &filters),
                    None => subscribe(3, &filters),
                };
                peer.subscribe_with(subscribe).await;
            }
            let mut publisher = Peer::connected(broker, V5, "p").await;
            for _ in 0..3 {
                publisher.publish_completed("a/b", "x").await;
                let got = peer.take().await;
                assert_eq!(got.guarantee.qos(), QoS::ExactlyOnce); // v5 [MQTT-3.3.4-2]
                let mut ids: Vec<u32> = got.properties.subscription_identifiers().collect();
                ids.sort_unstable();
                assert_eq!(ids, [1, 1, 268_435_455]);
                peer.receive_nothing().await;
            }
            publisher.publish_read(publish("b", "x")).await;
            let got = peer.take().await;
            assert_eq!(
                got.properties
                    .subscription_identifiers()
                    .collect::<Vec<_>>(),
                [1]
            );
        })
        .await;
    }

    #[tokio::test]
    async fn a_thousand_overlapping_filters_give_one_copy() {
        on_every_broker(async |broker| {
            let mut peer = Peer::connected(broker, V5, "c").await;
            // Each `+` in another place of ten levels.
            let filters: Vec<String> = (0..1000_u32)
                .map(|bits| {
                    let levels: Vec<&str> = (0..10)
                        .map(|level| if bits & (1 << level) == 0 { "x" } else { "+" })
                        .collect();
                    levels.join("/")
                })
                .collect();
            let all: Vec<(&str, SubscriptionOptions)> = filters
                .iter()
                .map(|filter| (&**filter, options(QoS::AtMostOnce)))
                .collect();
            let suback = peer.subscribe_with(subscribe(1, &all)).await;
            assert_eq!(suback.reasons.len(), 1000);
            let mut publisher = Peer::connected(broker, V5, "p").await;
            publisher.publish_acked(&["x"; 10].join("/"), "once").await;
            peer.take_payloads(&["once"]).await;
            peer.receive_nothing().await;
        })
        .await;
    }
}

mod options_of_5_0 {
    use super::*;

    #[tokio::test]
    async fn v5_mqtt_3_8_3_3_no_local_keeps_a_client_from_its_own_messages() {
        on_every_broker(async |broker| {
            let mut one = Peer::connected(broker, V5, "1").await;
            let mut two = Peer::connected(broker, V5, "2").await;
            let deaf = SubscriptionOptions {
                no_local: true,
                ..options(QoS::AtLeastOnce)
            };
            one.subscribe_with(subscribe(1, &[("t", deaf)])).await;
            two.subscribe_with(subscribe(1, &[("t", deaf)])).await;
            // Seen twice, so that it is looked up and then remembered.
            for _ in 0..3 {
                one.publish_acked("t", "of one").await;
                one.receive_nothing().await;
                two.take_payloads(&["of one"]).await;
                two.publish_acked("t", "of two").await;
                two.receive_nothing().await;
                one.take_payloads(&["of two"]).await;
            }
            one.send(publish("t", "kept").at_least_once(1).retained())
                .await;
            assert!(matches!(one.receive().await, Packet::PubAck(_)));
            one.receive_nothing().await;
            two.take_payloads(&["kept"]).await;
            // Another subscription without the option brings them.
            one.subscribe_with(subscribe(
                1,
                &[(
                    "+",
                    SubscriptionOptions {
                        retain_handling: RetainHandling::DoNotSend,
                        ..options(QoS::AtMostOnce)
                    },
                )],
            ))
            .await;
            one.send(publish("t", "own")).await;
            one.take_payloads(&["own"]).await;
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_3_8_3_4_no_local_on_a_shared_subscription_is_a_protocol_error() {
        on_every_broker(async |broker| {
            let mut peer = Peer::connected(broker, V5, "c").await;
            // The encoder refuses it, so by hand: filter "$share/g/t", options 0b0000_0100.
            let mut bytes = vec![0x82, 16, 0, 1, 0, 0, 10];
            bytes.extend_from_slice(b"$share/g/t");
            bytes.push(0b100);
            peer.send_bytes(&bytes).await;
            peer.receive_disconnect(DisconnectReason::ProtocolError)
                .await;
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_3_8_3_5_reserved_option_bits_are_malformed() {
        on_every_broker(async |broker| {
            for (bits, reason) in [
                (0b0100_0000_u8, DisconnectReason::MalformedPacket),
                (0b1000_0000, DisconnectReason::MalformedPacket),
                (0b0011_0000, DisconnectReason::ProtocolError), // retain handling 3
                (0b0000_0011, DisconnectReason::ProtocolError), // QoS 3
            ] {
                let mut peer = Peer::connected(broker, V5, "c").await;
                peer.send_bytes(&[0x82, 7, 0, 1, 0, 0, 1, b't', bits]).await;
                match peer.receive().await {
                    Packet::Disconnect(disconnect) => {
                        assert_eq!(disconnect.reason, reason, "{bits:08b}");
                    }
                    other => panic!("expected DISCONNECT, got {other:?}"),
                }
                peer.receive_end().await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_3_3_1_12_and_13_retain_as_published() {
        on_every_broker(async |broker| {
            let mut plain = Peer::connected(broker, V5, "plain").await;
            let mut as_published = Peer::connected(broker, V5, "as").await;
            let mut old = Peer::connected(broker, V311, "old").await;
            plain.subscribe("t", QoS::AtLeastOnce).await;
            old.subscribe("t", QoS::AtLeastOnce).await;
            let rap = SubscriptionOptions {
                retain_as_published: true,
                ..options(QoS::AtLeastOnce)
            };
            as_published
                .subscribe_with(subscribe(1, &[("t", rap)]))
                .await;
            let mut publisher = Peer::connected(broker, V5, "p").await;
            for retain in [true, false] {
                let mut message = publish("t", "x").at_least_once(1);
                message.retain = retain;
                publisher.send(message).await;
                publisher.receive().await;
                assert!(!plain.take().await.retain);
                assert!(!old.take().await.retain); // v311 [MQTT-3.3.1-9]
                assert_eq!(as_published.take().await.retain, retain);
            }
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_3_3_1_9_to_11_retain_handling() {
        on_every_broker(async |broker| {
            let mut publisher = Peer::connected(broker, V5, "p").await;
            publisher
                .publish_read(publish("t", "kept").retained())
                .await;
            for (handling, at_first, again) in [
                (RetainHandling::SendAtSubscribe, true, true),
                (RetainHandling::SendIfNew, true, false),
                (RetainHandling::DoNotSend, false, false),
            ] {
                let mut peer = Peer::connected(broker, V5, "c").await;
                let with = SubscriptionOptions {
                    retain_handling: handling,
                    ..options(QoS::AtMostOnce)
                };
                for expected in [at_first, again] {
                    peer.subscribe_with(subscribe(1, &[("t", with)])).await;
                    if expected {
                        assert!(peer.take().await.retain);
                    }
                    broker.settle().await;
                    peer.receive_nothing().await;
                }
                // Unsubscribed, it is new again.
                peer.unsubscribe(&["t"]).await;
                peer.subscribe_with(subscribe(1, &[("t", with)])).await;
                if at_first {
                    peer.take_payloads(&["kept"]).await;
                }
                peer.receive_nothing().await;
                peer.disconnect().await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_3_8_4_3_the_same_filter_replaces_the_subscription() {
        on_every_broker(async |broker| {
            let mut peer = Peer::connected(broker, V5, "c").await;
            peer.subscribe_with(identified(5, &[("t", options(QoS::ExactlyOnce))]))
                .await;
            peer.subscribe_with(identified(6, &[("t", options(QoS::AtMostOnce))]))
                .await;
            let mut publisher = Peer::connected(broker, V5, "p").await;
            publisher.publish_acked("t", "x").await;
            let got = peer.take().await;
            assert_eq!(got.guarantee.qos(), QoS::AtMostOnce);
            assert_eq!(
                got.properties
                    .subscription_identifiers()
                    .collect::<Vec<_>>(),
                [6]
            );
            peer.receive_nothing().await;
            assert_eq!(
                broker
                    .metrics()
                    .sum_gauge(|shard| shard.subscriptions.value()),
                1
            );
            peer.unsubscribe(&["t"]).await;
            let answer = publisher.publish_acked("t", "x").await;
            assert_eq!(answer.reason, PubAckReason::NoMatchingSubscribers);
        })
        .await;
    }

    #[tokio::test]
    async fn v5_properties_reach_every_subscriber_unchanged() {
        on_every_broker(async |broker| {
            let mut peer = Peer::connected(broker, V5, "c").await;
            let mut old = Peer::connected(broker, V311, "o").await;
            peer.subscribe("t", QoS::AtLeastOnce).await;
            old.subscribe("t", QoS::AtLeastOnce).await;
            let mut publisher = Peer::connected(broker, V5, "p").await;
            let mut message = publish("t", "x").at_least_once(1);
            let sent = &mut message.properties;
            sent.set_payload_format_indicator(true); // [MQTT-3.3.2-4]
            sent.set_response_topic("answer/here").unwrap(); // [MQTT-3.3.2-15]
            sent.set_correlation_data(&[0, 255, 1]).unwrap(); // [MQTT-3.3.2-16]
            sent.set_content_type("text/plain").unwrap(); // [MQTT-3.3.2-20]
            for (name, value) in [("b", "1"), ("a", "2"), ("b", "1")] {
                sent.add_user_property(name, value).unwrap(); // [MQTT-3.3.2-17], [MQTT-3.3.2-18]
            }
            publisher.send(message.clone()).await;
            let got = peer.take().await;
            assert_eq!(got.properties, message.properties);
            assert_eq!(got.payload, message.payload);
            assert!(old.take().await.properties.is_empty());
        })
        .await;
    }
}

mod limits {
    use super::*;

    #[tokio::test]
    async fn a_session_has_at_most_its_number_of_subscriptions() {
        let three = limited(|limits| limits.subscriptions_per_session = 3);
        on_every_broker_with(three, async |broker| {
            let mut peer = Peer::connected(broker, V5, "c").await;
            let filters =
                ["a", "b", "a", "c", "d"].map(|filter| (filter, options(QoS::AtMostOnce)));
            let suback = peer.subscribe_with(subscribe(1, &filters)).await;
            let granted = SubAckReason::GrantedQoS0;
            let full = SubAckReason::QuotaExceeded;
            assert_eq!(suback.reasons, [granted, granted, granted, granted, full]);
            peer.unsubscribe(&["a"]).await;
            assert_eq!(
                peer.subscribe("d", QoS::AtMostOnce).await.reasons,
                [granted]
            );
        })
        .await;
    }

    #[tokio::test]
    async fn all_sessions_together_have_at_most_their_number_of_subscriptions() {
        let two = limited(|limits| limits.subscriptions = 2);
        on_every_broker_with(two, async |broker| {
            let mut one = Peer::connected(broker, V5, "1").await;
            one.subscribe("a", QoS::AtMostOnce).await;
            one.subscribe("b", QoS::AtMostOnce).await;
            let mut two = Peer::connected(broker, V5, "2").await;
            let refused = two.subscribe("a", QoS::AtMostOnce).await;
            assert_eq!(refused.reasons, [SubAckReason::QuotaExceeded]);
            one.disconnect().await;
            let granted = two.subscribe("a", QoS::AtMostOnce).await;
            assert_eq!(granted.reasons, [SubAckReason::GrantedQoS0]);
        })
        .await;
    }

    #[tokio::test]
    async fn a_subscribe_has_at_most_its_number_of_filters() {
        let four = limited(|limits| limits.filters_per_subscribe = 4);
        on_every_broker_with(four, async |broker| {
            let mut peer = Peer::connected(broker, V5, "c").await;
            let names: Vec<String> = (0..6).map(|number| number.to_string()).collect();
            let filters: Vec<_> = names
                .iter()
                .map(|name| (&**name, options(QoS::AtMostOnce)))
                .collect();
            let suback = peer.subscribe_with(subscribe(1, &filters)).await;
            assert_eq!(suback.reasons[..4], [SubAckReason::GrantedQoS0; 4]);
            assert_eq!(suback.reasons[4..], [SubAckReason::QuotaExceeded; 2]);
        })
        .await;
    }

    #[tokio::test]
    async fn topics_and_filters_have_at_most_200_levels() {
        on_every_broker(async |broker| {
            let just = "/".repeat(199);
            let beyond = "/".repeat(200);
            let mut peer = Peer::connected(broker, V5, "c").await;
            let suback = peer.subscribe(&just, QoS::AtMostOnce).await;
            assert_eq!(suback.reasons, [SubAckReason::GrantedQoS0]);
            let suback = peer.subscribe(&beyond, QoS::AtMostOnce).await;
            assert_eq!(suback.reasons, [SubAckReason::TopicFilterInvalid]);
            let mut publisher = Peer::connected(broker, V5, "p").await;
            assert!(!publisher.publish_acked(&just, "x").await.reason.is_error());
            peer.take_payloads(&["x"]).await;
            let answer = peer.publish_acked(&beyond, "x").await;
            assert_eq!(answer.reason, PubAckReason::TopicNameInvalid);
            peer.send(publish(&"/".repeat(65_535), "x").exactly_once(1))
                .await;
            let Packet::PubRec(answer) = peer.receive().await else {
                panic!("expected PUBREC")
            };
            assert_eq!(answer.reason.code(), 0x90);
            peer.unsubscribe(&[&"/".repeat(65_535)]).await;
            peer.send(publish(&beyond, "x")).await;
            peer.receive_disconnect(DisconnectReason::TopicNameInvalid)
                .await;
        })
        .await;
    }

    /// v5 E5-25, E5-39, E5-40, E5-41
    #[tokio::test]
    async fn what_is_not_offered_is_refused() {
        let poor = configured(|config: &mut Config| {
            config.mqtt.maximum_qos = 1;
            config.mqtt.wildcard_subscription_available = false;
            config.mqtt.subscription_identifiers_available = false;
            config.mqtt.shared_subscription_available = false;
        });
        on_every_broker_with(poor, async |broker| {
            let mut peer = Peer::connected(broker, V5, "c").await;
            let filters = ["a", "a/+", "$share/g/t"].map(|f| (f, options(QoS::ExactlyOnce)));
            let suback = peer.subscribe_with(subscribe(1, &filters)).await;
            assert_eq!(
                suback.reasons,
                [
                    SubAckReason::GrantedQoS1, // v5 [MQTT-3.2.2-10]
                    SubAckReason::WildcardSubscriptionsNotSupported,
                    SubAckReason::SharedSubscriptionsNotSupported,
                ]
            );
            let suback = peer
                .subscribe_with(identified(1, &[("b", options(QoS::AtMostOnce))]))
                .await;
            assert_eq!(
                suback.reasons,
                [SubAckReason::SubscriptionIdentifiersNotSupported]
            );
            peer.send(publish("t", "x").exactly_once(1)).await;
            peer.receive_disconnect(DisconnectReason::QoSNotSupported)
                .await;
            // 3.x cannot be told: the connection ends all the same.
            let mut old = Peer::connected(broker, V311, "o").await;
            old.send(publish("t", "x").exactly_once(1)).await;
            old.receive_end().await;
        })
        .await;
    }
}
