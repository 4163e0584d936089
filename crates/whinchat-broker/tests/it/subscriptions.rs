//! SUBSCRIBE and UNSUBSCRIBE, as far as the transcripts do not show them: names of the broker, overlaps, options, limits.

use whinchat_codec::{
    DisconnectReason, Packet, PubAckReason, QoS, RetainHandling, SubAckReason, Subscribe,
    SubscriptionOptions,
};

use crate::{
    harness::{limited, on_every_broker, on_every_broker_with},
    peer::{Peer, Refine, V5, publish, subscribe},
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

mod matching {
    use super::*;

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
}
