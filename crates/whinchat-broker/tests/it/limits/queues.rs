//! L-10, L-11 and L-15: what waits and what is kept.

use std::time::Duration;

use bytes::Bytes;
use whinchat_broker::{
    BrokerHandle, Limit, QueueOverflow,
    config::{Auto, ByteSize},
};
use whinchat_codec::{Packet, PubAckReason, Publish, QoS};

use super::hits;
use crate::{
    harness::{configured, limited, on_every_broker_with},
    log_lines,
    peer::{Peer, Refine, V5, connect_durable, publish},
};

/// Waits for QoS 1 messages of "q" without a connection.
async fn absent(broker: &BrokerHandle, client_id: &str) {
    let (mut peer, _) = Peer::connected_with(broker, connect_durable(V5, client_id)).await;
    peer.subscribe("q", QoS::AtLeastOnce).await;
    peer.disconnect().await;
}

/// L-10
#[tokio::test]
async fn the_oldest_message_makes_room_and_that_is_said_once() {
    log_lines::keep();
    let three = limited(|limits| {
        limits.queue_messages = 3;
        limits.queue_overflow = QueueOverflow::DropOldest;
    });
    on_every_broker_with(three, async |broker| {
        let name = format!("absent-{}", fastrand::u64(..));
        absent(broker, &name).await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        for number in 1..=5 {
            publisher.publish_acked("q", &number.to_string()).await;
        }
        broker.settle().await;
        assert_eq!(hits(broker, Limit::QueueMessages), 2);
        assert_eq!(overflowed(broker), 1);
        let lines = log_lines::with(&[&name, "limits.queue_messages"]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let (mut back, _) = Peer::connected_with(broker, connect_durable(V5, &name)).await;
        back.take_payloads(&["3", "4", "5"]).await;
        broker.settle().await;
        assert_eq!(overflowed(broker), 0);
        let metrics = broker.metrics();
        let sent = metrics.sum(|shard| shard.messages_sent.of(QoS::AtLeastOnce).value());
        assert_eq!(
            sent, 3,
            "what came out of the queue is given to the client too"
        );
    })
    .await;
}

/// L-10
#[tokio::test]
async fn the_oldest_message_makes_room_for_a_slow_reader_too() {
    let three = limited(|limits| {
        limits.queue_messages = 3;
        limits.queue_overflow = QueueOverflow::DropOldest;
    });
    on_every_broker_with(three, async |broker| {
        let mut hello = connect_durable(V5, "slow");
        hello.properties.set_receive_maximum(1).unwrap();
        let (mut slow, _) = Peer::connected_with(broker, hello).await;
        slow.subscribe("q", QoS::AtLeastOnce).await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        for number in 1..=6 {
            publisher.publish_acked("q", &number.to_string()).await;
        }
        broker.settle().await;
        assert_eq!(hits(broker, Limit::QueueMessages), 2);
        assert_eq!(overflowed(broker), 1);
        slow.take_payloads(&["1", "4", "5", "6"]).await;
        broker.settle().await;
        assert_eq!(overflowed(broker), 0);
    })
    .await;
}

/// L-10
#[tokio::test]
async fn a_queue_full_of_bytes_is_counted_as_such_and_its_session_takes_the_gauge_along() {
    let small = limited(|limits| limits.queue_size = ByteSize::kib(4));
    on_every_broker_with(small, async |broker| {
        absent(broker, "s").await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        for _ in 0..5 {
            publisher.publish_acked("q", &"x".repeat(1_000)).await;
        }
        broker.settle().await;
        assert!(hits(broker, Limit::QueueSize) > 0);
        assert_eq!(hits(broker, Limit::QueueMessages), 0);
        assert_eq!(overflowed(broker), 1);
        Peer::connected(broker, V5, "s").await.disconnect().await;
        assert_eq!(overflowed(broker), 0);
    })
    .await;
}

fn overflowed(broker: &BrokerHandle) -> u64 {
    broker
        .metrics()
        .sum_gauge(|shard| shard.sessions_overflowed.value())
}

/// L-11. T-82
#[tokio::test]
async fn a_reader_that_stops_loses_qos_0_messages_and_is_cut() {
    on_every_broker_with(limited(|_| {}), async |broker| {
        let mut stopped = Peer::connected(broker, V5, "stopped").await;
        stopped.subscribe("flood", QoS::AtMostOnce).await;
        let mut good = Peer::connected(broker, V5, "good").await;
        let message = Publish {
            payload: Bytes::from(vec![b'x'; 256 << 10]),
            ..publish("flood", "")
        };
        for _ in 0..30 {
            good.publish_read(message.clone()).await;
        }
        broker.settle().await;
        assert!(hits(broker, Limit::UnsentSize) > 0);
        broker.advance(Duration::from_secs(29)).await;
        assert_eq!(hits(broker, Limit::UnsentStallTimeout), 0);
        broker.advance(Duration::from_millis(1_500)).await;
        assert_eq!(hits(broker, Limit::UnsentStallTimeout), 1);
        stopped.read_to_end().await;
        good.receive_nothing().await;
    })
    .await;
}

/// L-15. T-71
#[tokio::test]
async fn a_retained_message_that_finds_no_room_is_delivered_and_not_kept() {
    let few = configured(|config| {
        config.limits.retained_messages = 2;
        config.limits.retained_size = Auto::Set(ByteSize::kib(2));
    });
    on_every_broker_with(few, async |broker| {
        let mut watcher = Peer::connected(broker, V5, "w").await;
        watcher.subscribe("r/#", QoS::AtMostOnce).await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        let large = "x".repeat(3_000);
        for (topic, payload, limit) in [
            ("r/1", "one", None),
            ("r/1", &*large, Some(Limit::RetainedSize)),
            ("r/2", "two", None),
            ("r/3", "three", Some(Limit::RetainedMessages)),
        ] {
            publisher
                .send(publish(topic, payload).retained().at_least_once(1))
                .await;
            let Packet::PubAck(puback) = publisher.receive().await else {
                panic!("expected PUBACK");
            };
            match limit {
                None => assert_eq!(puback.reason, PubAckReason::Success),
                Some(limit) => {
                    assert_eq!(puback.reason, PubAckReason::QuotaExceeded);
                    assert_eq!(hits(broker, limit), 1, "{}", limit.key());
                }
            }
            assert_eq!(watcher.receive_publish().await.payload, payload);
        }
        let mut late = Peer::connected(broker, V5, "late").await;
        late.subscribe("r/#", QoS::AtMostOnce).await;
        late.take_payloads(&["one", "two"]).await;
        late.receive_nothing().await;
    })
    .await;
}
