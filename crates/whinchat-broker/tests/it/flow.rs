//! How much is under way: windows, packet sizes, aliases, readers that are too slow; the plain cases are in the transcripts.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use whinchat_broker::{
    config::ByteSize,
    metrics::{CloseLabel, DropLabel},
};
use whinchat_codec::{DisconnectReason, Packet, ProtocolVersion, QoS};

use crate::{
    harness::{TestBroker, limited, on_every_broker, on_every_broker_with},
    peer::{
        IntoPacket, Peer, Refine, V5, V31, V311, connect, connect_durable, puback, pubcomp,
        publish, pubrec, pubrel,
    },
};

const SECOND: Duration = Duration::from_secs(1);

fn dropped(broker: &TestBroker, reason: DropLabel) -> u64 {
    broker
        .metrics()
        .sum(|shard| shard.messages_dropped.of(reason).value())
}

mod receive_maximum {
    use super::*;

    #[tokio::test]
    async fn v311_a_client_of_3_x_has_a_window_too() {
        let four = limited(|limits| limits.send_window_v3 = 4);
        on_every_broker_with(four, async |broker| {
            for version in [V31, V311] {
                let mut peer = Peer::connected(broker, version, "s").await;
                peer.subscribe("t", QoS::AtLeastOnce).await;
                let mut publisher = Peer::connected(broker, V5, "p").await;
                for number in 0..10 {
                    publisher.publish_acked("t", &number.to_string()).await;
                }
                let mut ids = Vec::new();
                for _ in 0..4 {
                    let message = peer.receive_publish().await;
                    ids.push(message.guarantee.packet_id().unwrap().get());
                }
                peer.receive_nothing().await;
                for id in ids {
                    peer.send(puback(id)).await;
                }
                for number in 4..10 {
                    assert_eq!(peer.take_payload().await, number.to_string());
                }
                peer.disconnect().await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn v311_more_than_the_window_waits_in_the_socket() {
        let two = limited(|limits| limits.receive_maximum = 2);
        on_every_broker_with(two, async |broker| {
            // Durable, so that acks wait for the log where there is one.
            let (mut peer, _) = Peer::connected_with(broker, connect_durable(V5, "s")).await;
            peer.subscribe("t", QoS::AtLeastOnce).await;
            for version in [V31, V311] {
                let mut publisher = Peer::connected(broker, version, "p").await;
                for number in 1..=50 {
                    publisher
                        .send(publish("t", &number.to_string()).at_least_once(number))
                        .await;
                }
                for number in 1..=50 {
                    assert_eq!(publisher.receive().await, puback(number));
                }
                for number in 1..=50 {
                    assert_eq!(peer.take_payload().await, number.to_string());
                }
                publisher.disconnect().await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn qos_2_ids_that_are_never_released_end_with_the_session() {
        on_every_broker(async |broker| {
            let mut subscriber = Peer::connected(broker, V5, "s").await;
            subscriber.subscribe("t", QoS::AtMostOnce).await;
            let (mut peer, _) = Peer::connected_with(broker, connect_durable(V5, "p")).await;
            peer.send(publish("t", "one").exactly_once(1)).await;
            assert!(matches!(peer.receive().await, Packet::PubRec(_)));
            peer.cut();
            broker.settle().await;
            broker.advance(3601 * SECOND).await;
            let (mut peer, connack) = Peer::connected_with(broker, connect_durable(V5, "p")).await;
            assert!(!connack.session_present);
            peer.send(publish("t", "two").exactly_once(1)).await;
            assert!(matches!(peer.receive().await, Packet::PubRec(_)));
            subscriber.take_payloads(&["one", "two"]).await;
        })
        .await;
    }
}

mod packet_size {
    use super::*;

    #[tokio::test]
    async fn a_packet_beyond_the_limit_is_0x95() {
        let small = limited(|limits| limits.packet_size = ByteSize::new(1024));
        on_every_broker_with(small, async |broker| {
            let mut watcher = Peer::connected(broker, V5, "w").await;
            watcher.subscribe("#", QoS::AtMostOnce).await;
            for version in [V31, V311, V5] {
                let mut peer = Peer::connected(broker, version, "p").await;
                // The fixed header is enough.
                peer.send_bytes(&[0x30, 0x80, 0x80, 0x80, 0x01]).await;
                peer.receive_disconnect(DisconnectReason::PacketTooLarge)
                    .await;
            }
            watcher.receive_nothing().await;
        })
        .await;
    }

    #[tokio::test]
    async fn large_messages_pass_whole() {
        on_every_broker(async |broker| {
            let mut peer = Peer::connected(broker, V5, "s").await;
            peer.subscribe("t", QoS::AtLeastOnce).await;
            let mut publisher = Peer::connected(broker, V5, "p").await;
            let large: String = (0..1_000_000)
                .map(|n| char::from(b'a' + (n % 26) as u8))
                .collect();
            let (answer, got) = tokio::join!(publisher.publish_acked("t", &large), peer.take());
            assert!(!answer.reason.is_error());
            assert!(got.payload == large.as_bytes());
        })
        .await;
    }
}

mod topic_aliases {
    use super::*;

    #[tokio::test]
    async fn v5_mqtt_3_1_2_26_aliases_towards_a_client_stay_within_its_maximum() {
        on_every_broker(async |broker| {
            let mut aliased = connect(V5, "s");
            aliased.properties.set_topic_alias_maximum(2);
            let (mut peer, _) = Peer::connected_with(broker, aliased).await;
            peer.subscribe("#", QoS::AtLeastOnce).await;
            let mut publisher = Peer::connected(broker, V5, "p").await;
            let mut names = std::collections::HashMap::new();
            for round in 0..4 {
                for letter in ["a", "b", "c", "d"] {
                    let topic = &format!("sensors/temperature/laboratory/{letter}");
                    if round % 2 == 0 {
                        publisher.publish_read(publish(topic, topic)).await;
                    } else {
                        publisher.publish_acked(topic, topic).await;
                    }
                    let got = peer.take().await;
                    let mut name = got.topic.to_string();
                    if let Some(alias) = got.properties.topic_alias() {
                        assert!((1..=2).contains(&alias));
                        if name.is_empty() {
                            name = names.get(&alias).cloned().expect("a known alias");
                        } else {
                            names.insert(alias, name.clone());
                        }
                    }
                    assert_eq!(name.as_bytes(), &*got.payload);
                }
            }
            assert!(!names.is_empty(), "aliases were used");
        })
        .await;
    }
}

mod slow_readers {
    use super::*;

    const COUNT: u16 = 600;

    /// Fills what the broker may hold for a reader that reads nothing, with messages of 2 KiB.
    async fn publish_many(publisher: &mut Peer, qos: QoS) {
        let payload = "x".repeat(2048);
        for number in 0..COUNT {
            let id = number % 200 + 1;
            let message = publish("t", &format!("{number} {payload}"));
            match qos {
                QoS::AtMostOnce => publisher.send(message).await,
                _ => publisher.send(message.at_least_once(id)).await,
            }
            if qos > QoS::AtMostOnce && id == 200 {
                for id in 1..=200 {
                    assert_eq!(publisher.receive().await, puback(id));
                }
            }
        }
        publisher.receive_nothing().await;
    }

    fn number_of(payload: &[u8]) -> u16 {
        let text = std::str::from_utf8(payload).unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    }

    fn tight() -> impl Fn(whinchat_broker::Broker) -> whinchat_broker::Broker {
        limited(|limits| limits.unsent_size = ByteSize::kib(64))
    }

    #[tokio::test]
    async fn qos_0_beyond_the_buffer_is_dropped_and_counted() {
        on_every_broker_with(tight(), async |broker| {
            let mut slow = Peer::connected(broker, V5, "slow").await;
            let mut quick = Peer::connected(broker, V5, "quick").await;
            slow.subscribe("t", QoS::AtMostOnce).await;
            quick.subscribe("other", QoS::AtMostOnce).await;
            let mut publisher = Peer::connected(broker, V5, "p").await;
            publish_many(&mut publisher, QoS::AtMostOnce).await;
            // Nobody else notices.
            publisher.publish_read(publish("other", "x")).await;
            quick.take_payloads(&["x"]).await;
            broker.settle().await;
            let lost = dropped(broker, DropLabel::UnsentFull);
            assert!(lost > 0, "nothing was dropped");
            let mut last = None;
            for _ in 0..u64::from(COUNT) - lost {
                let number = number_of(&slow.take().await.payload);
                assert!(last.is_none_or(|last| last < number));
                last = Some(number);
            }
            slow.receive_nothing().await;
        })
        .await;
    }

    #[tokio::test]
    async fn qos_1_beyond_the_buffer_waits_and_comes_later() {
        on_every_broker_with(tight(), async |broker| {
            for version in [V311, V5] {
                let mut slow = Peer::connected(broker, version, "slow").await;
                slow.subscribe("t", QoS::AtLeastOnce).await;
                let mut publisher = Peer::connected(broker, V5, "p").await;
                publish_many(&mut publisher, QoS::AtLeastOnce).await;
                for number in 0..COUNT {
                    assert_eq!(number_of(&slow.take().await.payload), number);
                }
                slow.receive_nothing().await;
                slow.disconnect().await;
            }
            assert_eq!(dropped(broker, DropLabel::UnsentFull), 0);
            assert_eq!(dropped(broker, DropLabel::QueueFull), 0);
        })
        .await;
    }

    #[tokio::test]
    async fn qos_2_beyond_the_buffer_comes_without_an_answer_to_what_came_before() {
        on_every_broker_with(tight(), async |broker| {
            let (mut slow, _) = Peer::connected_with(broker, connect_durable(V5, "slow")).await;
            slow.subscribe("t", QoS::ExactlyOnce).await;
            let mut publisher = Peer::connected(broker, V5, "p").await;
            let payload = "x".repeat(2048);
            for id in 1..=250 {
                let message = publish("t", &format!("{id} {payload}")).exactly_once(id);
                publisher.send(message).await;
            }
            for id in 1..=250 {
                assert_eq!(publisher.receive().await, pubrec(id));
            }
            for number in 1..=250 {
                assert_eq!(number_of(&slow.receive_publish().await.payload), number);
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_session_that_was_cut_while_slow_loses_nothing() {
        on_every_broker_with(tight(), async |broker| {
            let (mut slow, _) = Peer::connected_with(broker, connect_durable(V5, "slow")).await;
            slow.subscribe("t", QoS::AtLeastOnce).await;
            let mut publisher = Peer::connected(broker, V5, "p").await;
            publish_many(&mut publisher, QoS::AtLeastOnce).await;
            slow.cut();
            let (mut slow, _) = Peer::connected_with(broker, connect_durable(V5, "slow")).await;
            for number in 0..COUNT {
                assert_eq!(number_of(&slow.take().await.payload), number);
            }
            slow.receive_nothing().await;
        })
        .await;
    }

    #[tokio::test]
    async fn a_reader_that_takes_nothing_is_cut_in_the_end() {
        on_every_broker_with(tight(), async |broker| {
            let mut stuck = Peer::connected(broker, V5, "stuck").await;
            stuck.subscribe("t", QoS::AtMostOnce).await;
            let mut publisher = Peer::connected(broker, V5, "p").await;
            // A turn may bring so much that most of it is dropped: several fill the stream as well.
            for _ in 0..6 {
                publish_many(&mut publisher, QoS::AtMostOnce).await;
                broker.settle().await;
            }
            broker.advance(20 * SECOND).await;
            assert_eq!(stalled(broker), 0);
            broker.advance(20 * SECOND).await;
            assert_eq!(stalled(broker), 1);
            stuck.read_to_end().await;
        })
        .await;
    }

    // T-89
    #[tokio::test]
    async fn two_that_publish_to_each_other_and_read_nothing_hold_up_nobody_and_are_cut_in_the_end()
    {
        let small = limited(|limits| limits.unsent_size = ByteSize::kib(4));
        on_every_broker_with(small, async |broker| {
            let mut pair = Vec::new();
            for (name, own, other) in [
                ("left", "to/left", "to/right"),
                ("right", "to/right", "to/left"),
            ] {
                let mut peer = Peer::connected(broker, V5, name).await;
                peer.subscribe(own, QoS::AtLeastOnce).await;
                let mut bytes = BytesMut::new();
                for number in 0..80_000u32 {
                    let id = u16::try_from(number % 250).unwrap() + 1;
                    let message = publish(other, &"x".repeat(100)).at_least_once(id);
                    message.into_packet().encode(V5, &mut bytes).unwrap();
                }
                pair.push((peer, bytes.freeze()));
            }
            // Until the broker reads neither of them, for there is no room for its answers.
            loop {
                let mut taken = 0;
                for (peer, bytes) in &mut pair {
                    let count = peer.send_until(bytes, broker.settle()).await;
                    bytes.advance(count);
                    taken += count;
                }
                if taken == 0 {
                    break;
                }
            }
            assert!(
                pair.iter().all(|(_, bytes)| !bytes.is_empty()),
                "it reads on"
            );

            let mut third = Peer::connected(broker, V5, "third").await;
            third.subscribe("t", QoS::AtLeastOnce).await;
            third.send(publish("t", "hello").at_least_once(1)).await;
            assert_eq!(third.take_payload().await, "hello");
            broker.advance(40 * SECOND).await;
            assert_eq!(stalled(broker), 2);
            for (peer, _) in &mut pair {
                peer.read_to_end().await;
            }
        })
        .await;
    }

    fn stalled(broker: &TestBroker) -> u64 {
        broker
            .metrics()
            .sum(|shard| shard.connections_closed.of(CloseLabel::Stalled).value())
    }
}

mod windows_of_every_version {
    use super::*;

    /// T-57
    #[tokio::test]
    async fn hundreds_of_messages_in_each_direction_come_once_and_in_order() {
        on_every_broker(async |broker| {
            for version in [V31, V311, V5] {
                both_ways(broker, version).await;
            }
        })
        .await;
    }

    async fn both_ways(broker: &TestBroker, version: ProtocolVersion) {
        let mut peer = Peer::connected(broker, version, "s").await;
        peer.subscribe("t", QoS::ExactlyOnce).await;
        let mut publisher = Peer::connected(broker, version, "p").await;
        for id in 1..=150 {
            publisher
                .send(publish("t", &id.to_string()).exactly_once(id))
                .await;
        }
        for id in 1..=150 {
            publisher.receive_before_more_messages(pubrec(id)).await;
        }
        for id in 1..=150 {
            publisher.send(pubrel(id)).await;
        }
        for id in 1..=150 {
            assert_eq!(publisher.receive().await, pubcomp(id));
            assert_eq!(peer.take_payload().await, id.to_string());
        }
        peer.receive_nothing().await;
        publisher.disconnect().await;
        peer.disconnect().await;
    }
}
