//! Connections that are accepted on one shard and live on another.

use bytes::BytesMut;
use whinchat_codec::{DisconnectReason, Packet, QoS, SubscriptionOptions};

use crate::{
    harness::on_every_broker,
    peer::{
        IntoPacket, Peer, Refine, V5, V31, V311, connect, connect_durable, puback, publish,
        subscribe,
    },
};

/// Connections made one after the other are accepted on one shard after the other; these ids make
/// each of them live here and there.
const IDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

#[tokio::test]
async fn bytes_behind_connect_move_along_wherever_they_are_cut() {
    on_every_broker(async |broker| {
        let mut bytes = BytesMut::new();
        let packets = [
            Packet::Subscribe(subscribe(
                1,
                &[("t", SubscriptionOptions::new(QoS::AtMostOnce))],
            )),
            publish("t", "hello").into_packet(),
            publish("none", "x").at_least_once(2).into_packet(),
        ];
        for packet in packets {
            packet.encode(V5, &mut bytes).unwrap();
        }
        for cut in 0..=bytes.len() {
            let mut head = BytesMut::new();
            let id = format!("c{}", cut % 7);
            Packet::Connect(Box::new(connect(V5, &id)))
                .encode(V5, &mut head)
                .unwrap();
            head.extend_from_slice(&bytes[..cut]);
            let mut peer = Peer::silent(broker, V5);
            peer.send_bytes(&head).await;
            assert!(matches!(peer.receive().await, Packet::ConnAck(_)));
            peer.send_bytes(&bytes[cut..]).await;
            assert!(
                matches!(peer.receive().await, Packet::SubAck(_)),
                "cut at {cut}"
            );
            peer.take_payloads(&["hello"]).await;
            assert!(matches!(peer.receive().await, Packet::PubAck(_)));
            peer.disconnect().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_large_packet_behind_connect_moves_along() {
    on_every_broker(async |broker| {
        let mut watcher = Peer::connected(broker, V5, "w").await;
        watcher.subscribe("t", QoS::AtMostOnce).await;
        let large = "x".repeat(300_000);
        for id in IDS {
            for version in [V31, V311, V5] {
                let mut bytes = BytesMut::new();
                let connect = Packet::Connect(Box::new(connect_durable(version, id)));
                connect.encode(version, &mut bytes).unwrap();
                let publish = publish("t", &large).at_least_once(1).into_packet();
                publish.encode(version, &mut bytes).unwrap();
                let mut peer = Peer::silent(broker, version);
                let exchange = async {
                    peer.send_bytes(&bytes).await;
                    assert!(matches!(peer.receive().await, Packet::ConnAck(_)));
                    assert_eq!(peer.receive().await, puback(1));
                };
                let ((), got) = tokio::join!(exchange, watcher.take());
                assert_eq!(got.payload.len(), large.len());
                peer.disconnect().await;
                Peer::connected(broker, version, id)
                    .await
                    .disconnect()
                    .await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_while_it_moves_leaves_nothing() {
    on_every_broker(async |broker| {
        for id in IDS {
            for _ in 0..4 {
                let mut peer = Peer::silent(broker, V5);
                peer.send(Packet::Connect(Box::new(connect(V5, id)))).await;
                peer.cut();
            }
        }
        let metrics = broker.metrics();
        broker
            .settle_until(|| {
                metrics.sum_gauge(|shard| shard.sessions.value()) == 0
                    && metrics.sum_gauge(|shard| shard.connections.value()) == 0
            })
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_take_over_finds_the_session_wherever_it_is_accepted() {
    on_every_broker(async |broker| {
        for id in IDS {
            let (mut old, _) = Peer::connected_with(broker, connect_durable(V5, id)).await;
            for _ in 0..3 {
                let (new, connack) = Peer::connected_with(broker, connect_durable(V5, id)).await;
                assert!(connack.session_present);
                old.receive_disconnect(DisconnectReason::SessionTakenOver)
                    .await;
                old = new;
            }
            old.receive_nothing().await;
        }
    })
    .await;
}

#[tokio::test]
async fn messages_cross_shards_in_both_directions() {
    on_every_broker(async |broker| {
        let ids = [
            broker.client_id_on(0, "here"),
            broker.client_id_on(1, "there"),
        ];
        let mut here = Peer::connected(broker, V5, &ids[0]).await;
        let mut there = Peer::connected(broker, V5, &ids[1]).await;
        here.subscribe("to/here", QoS::ExactlyOnce).await;
        there.subscribe("to/there", QoS::ExactlyOnce).await;
        for number in 0..20 {
            let payload = number.to_string();
            here.publish_completed("to/there", &payload).await;
            there.take_payloads(&[&payload]).await;
            there.publish_completed("to/here", &payload).await;
            here.take_payloads(&[&payload]).await;
        }
        assert_eq!(broker.client_id_on(0, "here"), ids[0]);
    })
    .await;
}
