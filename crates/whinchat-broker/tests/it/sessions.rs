//! Sessions that outlive their connections: queues, what is sent again, expiry; the plain cases are in the transcripts.

use std::time::Duration;

use whinchat_broker::{QueueOverflow, metrics::DropLabel};
use whinchat_codec::{Packet, ProtocolVersion, PubAckReason, QoS};

use crate::{
    harness::{TestBroker, limited, on_every_broker, on_every_broker_with},
    peer::{
        Peer, Refine, V5, V31, V311, connect, connect_durable, packet_id, puback, pubcomp, publish,
        pubrec, pubrel,
    },
};

const SECOND: Duration = Duration::from_secs(1);

/// A durable session with a subscription to `t`, not connected.
async fn offline_subscriber(broker: &TestBroker, version: ProtocolVersion, client_id: &str) {
    let connect = connect_durable(version, client_id);
    let (mut peer, _) = Peer::connected_with(broker, connect).await;
    peer.subscribe("t", QoS::ExactlyOnce).await;
    peer.disconnect().await;
}

async fn resumed(broker: &TestBroker, version: ProtocolVersion, client_id: &str) -> Peer {
    let (peer, connack) = Peer::connected_with(broker, connect_durable(version, client_id)).await;
    assert_eq!(connack.session_present, version != V31);
    peer
}

mod queues {
    use super::*;

    #[tokio::test]
    async fn v5_mqtt_4_5_0_1_messages_wait_for_a_session_that_is_not_connected() {
        on_every_broker(async |broker| {
            for version in [V31, V311, V5] {
                offline_subscriber(broker, version, "s").await;
                let mut publisher = Peer::connected(broker, V5, "p").await;
                for number in 0..20 {
                    let payload = number.to_string();
                    match number % 3 {
                        // QoS 0 does not wait.
                        0 => publisher.publish_read(publish("t", &payload)).await,
                        1 => assert_eq!(
                            publisher.publish_acked("t", &payload).await.reason,
                            PubAckReason::Success
                        ),
                        _ => publisher.publish_completed("t", &payload).await,
                    }
                }
                let mut peer = resumed(broker, version, "s").await;
                let mut last = [0; 3];
                for _ in (0..20).filter(|number| number % 3 != 0) {
                    let message = peer.take().await;
                    assert!(!message.guarantee.dup());
                    let number: usize = std::str::from_utf8(&message.payload)
                        .unwrap()
                        .parse()
                        .unwrap();
                    let qos = message.guarantee.qos() as usize;
                    assert_eq!(qos, number % 3);
                    // v5 [MQTT-4.6.0-5]: those of one QoS in order.
                    assert!(number > last[qos], "{number} behind {}", last[qos]);
                    last[qos] = number;
                }
                peer.receive_nothing().await;
                peer.disconnect().await;
                Peer::connected(broker, version, "s")
                    .await
                    .disconnect()
                    .await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_message_that_is_published_while_the_session_connects_comes_behind_the_queue() {
        on_every_broker(async |broker| {
            offline_subscriber(broker, V5, "s").await;
            let mut publisher = Peer::connected(broker, V5, "p").await;
            for round in 0..10 {
                publisher
                    .publish_acked("t", &format!("{round} queued"))
                    .await;
                let mut peer = Peer::silent(broker, V5);
                peer.send(Packet::Connect(Box::new(connect_durable(V5, "s"))))
                    .await;
                publisher
                    .send(publish("t", &format!("{round} live")).at_least_once(2))
                    .await;
                assert!(matches!(peer.receive().await, Packet::ConnAck(_)));
                for what in ["queued", "live"] {
                    assert_eq!(peer.take_payload().await, format!("{round} {what}"));
                }
                assert_eq!(publisher.receive().await, puback(2));
                peer.disconnect().await;
            }
        })
        .await;
    }

    fn three(
        overflow: QueueOverflow,
    ) -> impl Fn(whinchat_broker::Broker) -> whinchat_broker::Broker {
        limited(move |limits| {
            limits.queue_messages = 3;
            limits.queue_overflow = overflow;
        })
    }

    /// Publishes "1" to "6" to a session that holds three; what the publisher is answered.
    async fn overflow(broker: &TestBroker) -> Vec<PubAckReason> {
        offline_subscriber(broker, V5, "s").await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        let mut reasons = Vec::new();
        for number in 1..=6 {
            let answer = publisher.publish_acked("t", &number.to_string()).await;
            reasons.push(answer.reason);
            broker.settle().await;
        }
        reasons
    }

    #[tokio::test]
    async fn a_full_queue_takes_nothing_new() {
        on_every_broker_with(three(QueueOverflow::DropNew), async |broker| {
            let reasons = overflow(broker).await;
            assert_eq!(reasons, [PubAckReason::Success; 6]);
            assert_eq!(dropped(broker), 3);
            let mut peer = resumed(broker, V5, "s").await;
            peer.take_payloads(&["1", "2", "3"]).await;
            peer.receive_nothing().await;
            peer.disconnect().await;
            // Drained: it takes messages again.
            let mut publisher = Peer::connected(broker, V5, "p").await;
            publisher.publish_acked("t", "7").await;
            resumed(broker, V5, "s").await.take_payloads(&["7"]).await;
        })
        .await;
    }

    #[tokio::test]
    async fn a_full_queue_drops_the_oldest_where_that_is_configured() {
        on_every_broker_with(three(QueueOverflow::DropOldest), async |broker| {
            let reasons = overflow(broker).await;
            assert_eq!(reasons, [PubAckReason::Success; 6]);
            assert_eq!(dropped(broker), 3);
            let mut peer = resumed(broker, V5, "s").await;
            peer.take_payloads(&["4", "5", "6"]).await;
            peer.receive_nothing().await;
        })
        .await;
    }

    /// v311 [MQTT-4.8.0-2]
    #[tokio::test]
    async fn a_full_queue_refuses_publishers_where_that_is_configured() {
        on_every_broker_with(three(QueueOverflow::Refuse), async |broker| {
            let reasons = overflow(broker).await;
            let (taken, refused) = (PubAckReason::Success, PubAckReason::QuotaExceeded);
            assert_eq!(reasons, [taken, taken, taken, refused, refused, refused]);
            assert_eq!(dropped(broker), 0, "nobody was told yes and lost it");
            // QoS 2 is refused with its PUBREC.
            let mut publisher = Peer::connected(broker, V5, "p").await;
            publisher.send(publish("t", "7").exactly_once(1)).await;
            let Packet::PubRec(answer) = publisher.receive().await else {
                panic!("expected PUBREC")
            };
            assert_eq!(answer.reason.code(), 0x97);
            // 3.x has no words for it, and is not acknowledged what could be lost.
            let mut old = Peer::connected(broker, V311, "old").await;
            old.send(publish("t", "7").at_least_once(1)).await;
            old.receive_end().await;
            // Other topics and QoS 0 are not concerned.
            publisher.publish_read(publish("t", "QoS 0")).await;
            assert!(
                !publisher
                    .publish_acked("other", "x")
                    .await
                    .reason
                    .is_error()
            );
            let mut peer = resumed(broker, V5, "s").await;
            peer.take_payloads(&["1", "2", "3"]).await;
            peer.receive_nothing().await;
            // Drained: publishers are served again.
            assert_eq!(publisher.publish_acked("t", "8").await.reason, taken);
            peer.take_payloads(&["8"]).await;
        })
        .await;
    }

    #[tokio::test]
    async fn a_queue_is_bounded_in_bytes_too() {
        let small = limited(|limits| {
            limits.queue_size = whinchat_broker::config::ByteSize::new(10_000);
        });
        on_every_broker_with(small, async |broker| {
            offline_subscriber(broker, V5, "s").await;
            let mut publisher = Peer::connected(broker, V5, "p").await;
            let large = "x".repeat(3000);
            for _ in 0..5 {
                publisher.publish_acked("t", &large).await;
            }
            broker.settle().await;
            assert_eq!(dropped(broker), 2);
            let mut peer = resumed(broker, V5, "s").await;
            for _ in 0..3 {
                peer.take().await;
            }
            peer.receive_nothing().await;
        })
        .await;
    }

    /// Every copy is counted once: as sent or as dropped (I-7).
    #[tokio::test]
    async fn what_was_sent_is_not_counted_as_dropped_when_its_session_ends() {
        on_every_broker(async |broker| {
            let mut connect = connect_durable(V5, "s");
            connect.properties.set_receive_maximum(1).unwrap();
            let (mut peer, _) = Peer::connected_with(broker, connect).await;
            peer.subscribe("t", QoS::AtLeastOnce).await;
            let mut publisher = Peer::connected(broker, V5, "p").await;
            for payload in ["sent", "queued"] {
                publisher.publish_acked("t", payload).await;
            }
            peer.receive_publish().await; // and never answers
            let other = Peer::connected(broker, V5, "s").await;
            broker.settle().await;
            let metrics = broker.metrics();
            let sent = metrics.sum(|shard| shard.messages_sent.total());
            assert_eq!((sent, dropped_as(broker, DropLabel::SessionEnded)), (1, 1));
            other.disconnect().await;
            peer.cut();
        })
        .await;
    }

    fn dropped(broker: &TestBroker) -> u64 {
        dropped_as(broker, DropLabel::QueueFull)
    }

    fn dropped_as(broker: &TestBroker, label: DropLabel) -> u64 {
        broker
            .metrics()
            .sum(|shard| shard.messages_dropped.of(label).value())
    }
}

mod resumption {
    use super::*;

    /// T-51
    #[tokio::test]
    async fn v5_mqtt_4_4_0_1_what_is_unacknowledged_is_sent_again_in_order_with_its_ids() {
        on_every_broker(async |broker| {
            for version in [V31, V311, V5] {
                offline_subscriber(broker, version, "s").await;
                let mut peer = resumed(broker, version, "s").await;
                let mut publisher = Peer::connected(broker, V5, "p").await;
                publisher.publish_acked("t", "1").await;
                publisher.publish_completed("t", "2").await;
                publisher.publish_acked("t", "3").await;
                publisher.publish_completed("t", "4").await;
                let mut ids = Vec::new();
                for _ in 0..4 {
                    let first = peer.receive_publish().await;
                    assert!(!first.guarantee.dup());
                    ids.push(first.guarantee.packet_id().unwrap().get());
                }
                // The second got as far as PUBREL.
                peer.send(pubrec(ids[1])).await;
                assert_eq!(peer.receive().await, pubrel(ids[1]));
                peer.cut();

                for _ in 0..3 {
                    let mut peer = resumed(broker, version, "s").await;
                    for (place, payload) in ["1", "2", "3", "4"].into_iter().enumerate() {
                        let id = ids[place];
                        match peer.receive().await {
                            // v5 [MQTT-4.3.3-6]
                            Packet::PubRel(again) if place == 1 => {
                                assert_eq!(again.packet_id.get(), id);
                            }
                            Packet::Publish(again) if place != 1 => {
                                assert_eq!(*again.payload, *payload.as_bytes());
                                assert_eq!(again.guarantee.packet_id(), Some(packet_id(id)));
                                assert!(again.guarantee.dup()); // v5 [MQTT-3.3.1-1]
                            }
                            other => panic!("unexpected at {place}: {other:?}"),
                        }
                    }
                    peer.receive_nothing().await;
                    peer.cut();
                }

                let mut peer = resumed(broker, version, "s").await;
                for _ in 0..4 {
                    peer.receive().await;
                }
                peer.send(puback(ids[0])).await;
                peer.send(pubcomp(ids[1])).await;
                peer.send(puback(ids[2])).await;
                peer.send(pubrec(ids[3])).await;
                assert_eq!(peer.receive().await, pubrel(ids[3]));
                peer.send(pubcomp(ids[3])).await;
                peer.receive_nothing().await;
                peer.cut();
                let mut peer = resumed(broker, version, "s").await;
                peer.receive_nothing().await;
                peer.disconnect().await;
                Peer::connected(broker, version, "s")
                    .await
                    .disconnect()
                    .await;
            }
        })
        .await;
    }

    /// T-51
    #[tokio::test]
    async fn v5_mqtt_4_3_3_6_behind_a_pubrec_only_the_pubrel_is_sent_again() {
        on_every_broker(async |broker| {
            offline_subscriber(broker, V5, "s").await;
            let mut peer = resumed(broker, V5, "s").await;
            let mut publisher = Peer::connected(broker, V5, "p").await;
            for number in 0..10 {
                publisher.publish_completed("t", &number.to_string()).await;
                let got = peer.receive_publish().await;
                assert_eq!(*got.payload, *number.to_string().as_bytes());
                let id = got.guarantee.packet_id().unwrap().get();
                peer.send(pubrec(id)).await;
                peer.cut(); // perhaps before the PUBREL was allowed to leave
                peer = resumed(broker, V5, "s").await;
                assert_eq!(peer.receive().await, pubrel(id));
                peer.cut();
                peer = resumed(broker, V5, "s").await;
                assert_eq!(peer.receive().await, pubrel(id));
                peer.send(pubcomp(id)).await;
            }
            peer.receive_nothing().await;
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_4_3_3_10_a_received_qos_2_id_is_remembered_over_a_reconnect() {
        on_every_broker(async |broker| {
            for version in [V31, V311, V5] {
                let mut subscriber = Peer::connected(broker, V5, "s").await;
                subscriber.subscribe("t", QoS::ExactlyOnce).await;
                let (mut publisher, _) =
                    Peer::connected_with(broker, connect_durable(version, "p")).await;
                publisher.send(publish("t", "once").exactly_once(5)).await;
                // Cut before the PUBREC came, and after it.
                for wait_for_pubrec in [false, true, false] {
                    if wait_for_pubrec {
                        publisher.receive_before_more_messages(pubrec(5)).await;
                    }
                    publisher.cut();
                    publisher = resumed(broker, version, "p").await;
                    publisher
                        .send(publish("t", "once").exactly_once(5).dup())
                        .await;
                }
                assert_eq!(publisher.receive().await, pubrec(5));
                publisher.send(pubrel(5)).await;
                publisher.cut();
                publisher = resumed(broker, version, "p").await;
                publisher.send(pubrel(5)).await; // T-51: 5.0 may say 0x92, the exchange is over
                assert!(matches!(publisher.receive().await, Packet::PubComp(_)));
                subscriber.take_payloads(&["once"]).await;
                subscriber.receive_nothing().await;
                publisher.publish_completed("t", "next").await;
                subscriber.take_payloads(&["next"]).await;
                publisher.disconnect().await;
                Peer::connected(broker, version, "p")
                    .await
                    .disconnect()
                    .await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn nothing_is_sent_again_on_a_live_connection() {
        on_every_broker(async |broker| {
            for version in [V31, V311, V5] {
                let mut peer = Peer::connected(broker, version, "s").await;
                peer.subscribe("t", QoS::ExactlyOnce).await;
                let mut publisher = Peer::connected(broker, V5, "p").await;
                publisher.publish_acked("t", "1").await;
                publisher.publish_completed("t", "2").await;
                peer.receive_publish().await;
                let second = peer.receive_publish().await.guarantee.packet_id().unwrap();
                peer.send(pubrec(second.get())).await;
                assert_eq!(peer.receive().await, pubrel(second.get()));
                broker.advance(3600 * SECOND).await;
                peer.receive_nothing().await;
            }
        })
        .await;
    }
}

mod expiry {
    use super::*;

    #[tokio::test]
    async fn an_ended_session_takes_its_subscriptions_and_its_queue_along() {
        on_every_broker(async |broker| {
            let (mut peer, _) = Peer::connected_with(broker, connect_durable(V5, "s")).await;
            peer.subscribe("t", QoS::AtLeastOnce).await;
            peer.subscribe("$share/g/t", QoS::AtLeastOnce).await;
            peer.cut();
            let mut publisher = Peer::connected(broker, V5, "p").await;
            publisher.publish_acked("t", "x").await;
            broker.advance(3601 * SECOND).await;
            let answer = publisher.publish_acked("t", "y").await;
            assert_eq!(answer.reason, PubAckReason::NoMatchingSubscribers);
            let metrics = broker.metrics();
            assert_eq!(metrics.sum_gauge(|shard| shard.subscriptions.value()), 0);
            assert_eq!(metrics.sum(|shard| shard.sessions_expired.value()), 1);
            let mut again = connect(V5, "s");
            again.clean_start = false;
            let (mut peer, connack) = Peer::connected_with(broker, again).await;
            assert!(!connack.session_present);
            peer.receive_nothing().await;
        })
        .await;
    }
}
