//! Messages between versions, and payloads that say what they are; the flows of each QoS are in the transcripts.

use bytes::Bytes;
use whinchat_broker::config::Config;
use whinchat_codec::{ConnAckReason, Packet, PacketType, ProtocolVersion, QoS};

use crate::{
    harness::{configured, on_every_broker, on_every_broker_with},
    peer::{Peer, Refine, V5, V31, V311, connect, connect_durable, publish, pubrec, will},
};

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

/// What is large takes other ways through the broker: read in pieces, kept where it arrived, and sent from there to all.
#[tokio::test]
async fn a_large_payload_is_the_same_for_everyone() {
    let payload: Bytes = (0..300_000u32).map(|at| (at * 7 / 3) as u8).collect();
    on_every_broker(async |broker| {
        let (away, _) = Peer::connected_with(broker, connect_durable(V5, "away")).await;
        let mut readers = vec![away];
        for (version, name) in [(V311, "first"), (V5, "second"), (V31, "third")] {
            readers.push(Peer::connected(broker, version, name).await);
        }
        let granted = [
            QoS::AtLeastOnce,
            QoS::AtMostOnce,
            QoS::ExactlyOnce,
            QoS::AtLeastOnce,
        ];
        for (reader, qos) in readers.iter_mut().zip(granted) {
            reader.subscribe("t", qos).await;
        }
        readers.remove(0).cut();
        let mut publisher = Peer::connected(broker, V5, "publisher").await;
        let sent = || {
            let publish = PacketType::Publish;
            let packets = broker
                .metrics()
                .sum(|shard| shard.packets_sent.of(publish).value());
            let bytes = broker
                .metrics()
                .sum(|shard| shard.packets_sent_bytes.of(publish).value());
            (packets, bytes)
        };
        let before = sent();
        for id in [1, 3] {
            let mut large = publish("t", "").exactly_once(id);
            large.payload = payload.clone();
            publisher.send(large).await;
            // A small one behind it, to see that nothing of it was lost.
            publisher
                .send(publish("t", "small").exactly_once(id + 1))
                .await;
            for id in [id, id + 1] {
                assert_eq!(publisher.receive().await, pubrec(id));
            }
        }
        let (back, _) = Peer::connected_with(broker, connect_durable(V5, "away")).await;
        readers.push(back);
        let mut read = 0;
        for reader in &mut readers {
            for _ in 0..2 {
                for expected in [&payload[..], b"small"] {
                    let message = reader.take().await;
                    assert!(message.payload == expected);
                    read += message.borrowed().encoded_len(reader.version()).unwrap() as u64;
                }
            }
        }
        let (packets, bytes) = sent();
        assert_eq!((packets - before.0, bytes - before.1), (16, read));
    })
    .await;
}
