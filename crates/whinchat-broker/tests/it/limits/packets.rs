//! L-1, L-3, L-5 to L-9, L-12 and L-19: what one packet may be.

use std::time::Duration;

use bytes::Bytes;
use whinchat_broker::{Limit, config::ByteSize};
use whinchat_codec::{
    ConnAckReason, DisconnectReason, Packet, PubAckReason, Publish, QoS, SubAckReason,
    SubscriptionOptions, UnsubAckReason,
};

use super::hits;
use crate::{
    harness::{limited, on_every_broker_with},
    log_lines,
    peer::{Peer, Refine, V5, V311, connect, publish, subscribe, text, will},
};

fn large(bytes: usize) -> Publish {
    Publish {
        payload: Bytes::from(vec![b'x'; bytes]),
        ..publish("t", "")
    }
}

/// L-1; a 3.1.1 client is not told, so that the operator's log has to say it.
#[tokio::test]
async fn a_packet_above_its_size_is_logged_with_client_size_and_option() {
    log_lines::keep();
    on_every_broker_with(limited(|_| {}), async |broker| {
        let mut peer = Peer::connected(broker, V311, "camera\n7").await;
        let bytes = 3 << 20;
        peer.send_refused(large(bytes)).await;
        peer.receive_end().await;
        assert_eq!(hits(broker, Limit::PacketSize), 1);
        let said = log_lines::with(&[
            "limits.packet_size",
            r#""camera\n7""#,
            "packet of 3145736 bytes",
        ]);
        assert!(!said.is_empty(), "{:?}", log_lines::with(&["camera"]));
        // The newline in the client id begins no line of the log.
        let lines = log_lines::with(&["7\""]);
        assert!(lines.iter().all(|line| !line.starts_with("7\"")));
    })
    .await;
}

#[tokio::test]
async fn a_connect_above_its_size_is_closed_without_an_answer() {
    on_every_broker_with(limited(|_| {}), async |broker| {
        let mut hello = connect(V5, "c");
        hello.password = Some(Bytes::from(vec![0; 65_000]));
        hello.user_name = Some(text(&"u".repeat(1_000)));
        let mut peer = Peer::silent(broker, V5);
        peer.send(Packet::Connect(Box::new(hello))).await;
        peer.receive_end().await;
        assert_eq!(hits(broker, Limit::PacketSizeBeforeConnect), 1);
    })
    .await;
}

/// L-3, L-11: a client that stands still is cut, one that only is slow is not.
/// T-05
#[tokio::test]
async fn a_packet_that_stops_is_cut_however_much_of_it_was_there() {
    on_every_broker_with(limited(|_| {}), async |broker| {
        let mut peer = Peer::connected(broker, V5, "c").await;
        // The head of a packet of 1 MiB, and half of the rest.
        peer.send_bytes(&[0x30, 0x80, 0x80, 0x40, 0, 1, b't', 0])
            .await;
        peer.send_bytes(&vec![0; 512 << 10]).await;
        broker.settle().await;
        broker.advance(Duration::from_secs(29)).await;
        assert_eq!(hits(broker, Limit::PacketStallTimeout), 0);
        broker.advance(Duration::from_millis(1_500)).await;
        peer.receive_end().await;
        assert_eq!(hits(broker, Limit::PacketStallTimeout), 1);
    })
    .await;
}

/// T-05
#[tokio::test]
async fn a_packet_that_crawls_is_cut_when_it_falls_below_the_lowest_rate() {
    on_every_broker_with(limited(|_| {}), async |broker| {
        let mut peer = Peer::connected(broker, V5, "c").await;
        peer.send_bytes(&[0x30, 0x80, 0x80, 0x40, 0, 1, b't', 0])
            .await;
        broker.settle().await;
        for _ in 0..3 {
            broker.advance(Duration::from_secs(10)).await;
            peer.send_bytes(&[0; 20]).await;
            broker.settle().await;
        }
        broker.advance(Duration::from_secs(2)).await;
        peer.receive_end().await;
        assert_eq!(hits(broker, Limit::PacketRateMin), 1);
    })
    .await;
}

#[tokio::test]
async fn without_a_lowest_rate_a_packet_may_crawl() {
    let any_rate = limited(|limits| limits.packet_rate_min = ByteSize::new(0));
    on_every_broker_with(any_rate, async |broker| {
        let mut peer = Peer::connected(broker, V5, "c").await;
        peer.send_bytes(&[0x30, 14, 0, 1, b't', 0]).await;
        for _ in 0..9 {
            broker.advance(Duration::from_secs(20)).await;
            peer.send_bytes(b"x").await;
            broker.settle().await;
        }
        peer.send_bytes(b"x").await;
        peer.receive_nothing().await;
    })
    .await;
}

/// L-5, L-6, L-19.
#[tokio::test]
async fn a_connect_with_something_too_long_is_told_so() {
    on_every_broker_with(limited(|_| {}), async |broker| {
        let mut long_id = connect(V5, "");
        long_id.client_id = text(&"i".repeat(1025));
        let mut long_name = connect(V5, "c");
        long_name.user_name = Some(text(&"u".repeat(16_385)));
        let mut long_password = connect(V5, "c");
        long_password.password = Some(Bytes::from(vec![0; 16_385]));
        let mut long_will = connect(V5, "c");
        long_will.will = Some(will("w", &"x".repeat(32_769)));
        let mut deep_will = connect(V5, "c");
        deep_will.will = Some(will(&"/".repeat(200), ""));
        for (hello, limit, reason) in [
            (
                long_id,
                Limit::ClientIdSize,
                ConnAckReason::ClientIdentifierNotValid,
            ),
            (
                long_name,
                Limit::UserNameSize,
                ConnAckReason::BadUserNameOrPassword,
            ),
            (
                long_password,
                Limit::PasswordSize,
                ConnAckReason::BadUserNameOrPassword,
            ),
            (long_will, Limit::WillSize, ConnAckReason::PacketTooLarge),
            (
                deep_will,
                Limit::TopicLevels,
                ConnAckReason::TopicNameInvalid,
            ),
        ] {
            let mut peer = Peer::silent(broker, V5);
            assert_eq!(peer.log_in(hello).await.reason, reason);
            peer.receive_end().await;
            assert_eq!(hits(broker, limit), 1, "{}", limit.key());
        }
    })
    .await;
}

/// L-6. T-34
#[tokio::test]
async fn a_topic_with_too_many_levels_or_bytes_is_refused_wherever_it_stands() {
    let short = limited(|limits| limits.topic_size = ByteSize::new(1_000));
    on_every_broker_with(short, async |broker| {
        let mut peer = Peer::connected(broker, V5, "c").await;
        let long = "x".repeat(1_001);
        let deep = "/".repeat(200);
        for (topic, limit) in [(&long, Limit::TopicSize), (&deep, Limit::TopicLevels)] {
            let before = hits(broker, limit);
            assert_eq!(
                peer.publish_acked(topic, "").await.reason,
                PubAckReason::TopicNameInvalid
            );
            let suback = peer.subscribe(topic, QoS::AtMostOnce).await;
            assert_eq!(suback.reasons, [SubAckReason::TopicFilterInvalid]);
            let unsuback = peer.unsubscribe(&[topic]).await;
            assert_eq!(unsuback.reasons, [UnsubAckReason::NoSubscriptionExisted]);
            assert_eq!(hits(broker, limit), before + 2);
        }
        assert_eq!(
            peer.publish_acked(&"/".repeat(199), "").await.reason,
            PubAckReason::NoMatchingSubscribers
        );
        peer.send(publish(&deep, "")).await;
        peer.receive_disconnect(DisconnectReason::TopicNameInvalid)
            .await;
    })
    .await;
}

/// L-8. T-41
#[tokio::test]
async fn filters_above_the_number_for_one_packet_are_answered_each() {
    let three = limited(|limits| limits.filters_per_subscribe = 3);
    on_every_broker_with(three, async |broker| {
        let mut peer = Peer::connected(broker, V5, "c").await;
        let options = SubscriptionOptions::new(QoS::AtMostOnce);
        let all = ["a", "b", "a", "c", "d"].map(|filter| (filter, options));
        let suback = peer.subscribe_with(subscribe(1, &all)).await;
        let (granted, refused) = (SubAckReason::GrantedQoS0, SubAckReason::QuotaExceeded);
        assert_eq!(
            suback.reasons,
            [granted, granted, granted, refused, refused]
        );
        let unsuback = peer.unsubscribe(&["c", "a", "x", "b"]).await;
        let none = UnsubAckReason::NoSubscriptionExisted;
        assert_eq!(
            unsuback.reasons,
            [
                none,
                UnsubAckReason::Success,
                none,
                UnsubAckReason::ImplementationSpecificError
            ]
        );
        assert_eq!(hits(broker, Limit::FiltersPerSubscribe), 2);
    })
    .await;
}

/// L-9, L-12. T-46, T-47, T-58
#[tokio::test]
async fn what_connack_announced_holds_and_is_counted() {
    let small = limited(|limits| {
        limits.receive_maximum = 2;
        limits.topic_alias_maximum = 3;
    });
    on_every_broker_with(small, async |broker| {
        let mut peer = Peer::connected(broker, V5, "window").await;
        // Never released, so that they stay in flight.
        for id in 1..=3 {
            peer.send_refused(publish("t", "").exactly_once(id)).await;
        }
        let mut last = None;
        while let Some(packet) = peer.receive_or_end().await {
            last = Some(packet);
        }
        let Some(Packet::Disconnect(disconnect)) = last else {
            panic!("{last:?}");
        };
        assert_eq!(disconnect.reason, DisconnectReason::ReceiveMaximumExceeded);
        assert_eq!(hits(broker, Limit::ReceiveMaximum), 1);

        let mut peer = Peer::connected(broker, V5, "alias").await;
        let mut message = publish("t", "");
        message.properties.set_topic_alias(4).unwrap();
        peer.send(message).await;
        peer.receive_disconnect(DisconnectReason::TopicAliasInvalid)
            .await;
        assert_eq!(hits(broker, Limit::TopicAliasMaximum), 1);
    })
    .await;
}
