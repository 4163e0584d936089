//! Two connections with one client id.

use super::*;

#[tokio::test]
async fn many_in_a_row_leave_one_connection() {
    on_every_broker(async |broker| {
        let mut olds = Vec::new();
        for _ in 0..20 {
            let (peer, _) = Peer::connected_with(broker, connect_durable(V5, "c")).await;
            olds.push(peer);
        }
        let mut last = olds.pop().unwrap();
        for mut old in olds {
            old.receive_disconnect(DisconnectReason::SessionTakenOver)
                .await;
        }
        last.receive_nothing().await;
        broker.settle().await;
        let sessions = broker.metrics().sum_gauge(|shard| shard.sessions.value());
        assert_eq!(sessions, 1);
    })
    .await;
}

/// T-25
#[tokio::test]
async fn two_that_connect_at_once_leave_one_connection() {
    on_every_broker(async |broker| {
        let mut one = Peer::silent(broker, V5);
        let mut two = Peer::silent(broker, V5);
        for peer in [&mut one, &mut two] {
            let connect = connect_durable(V5, "c");
            peer.send(Packet::Connect(Box::new(connect))).await;
        }
        // Whichever came last has it; the other is told, or closed before its CONNACK.
        let alive = tokio::select! {
            () = one.read_to_end() => &mut two,
            () = two.read_to_end() => &mut one,
        };
        alive.send(Packet::PingReq).await;
        while alive.receive().await != Packet::PingResp {}
    })
    .await;
}

#[tokio::test]
async fn a_durable_session_resumed_without_an_interval_ends_with_that_connection() {
    on_every_broker(async |broker| {
        let (mut peer, _) = Peer::connected_with(broker, connect_durable(V5, "c")).await;
        peer.subscribe("t", QoS::ExactlyOnce).await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        publisher.publish_completed("t", "one").await;
        publisher.publish_completed("t", "two").await;
        let mut for_now = connect(V5, "c");
        for_now.clean_start = false;
        let (mut peer, connack) = Peer::connected_with(broker, for_now).await;
        assert!(connack.session_present);
        peer.take_payloads(&["one", "two"]).await;
        publisher.publish_completed("t", "three").await;
        peer.take_payloads(&["three"]).await;
        peer.disconnect().await;
        let (_peer, connack) = Peer::connected_with(broker, connect_durable(V5, "c")).await;
        assert!(!connack.session_present);
    })
    .await;
}
