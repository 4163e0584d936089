//! Packets that arrive together with CONNECT.

use super::*;

/// T-23
#[tokio::test]
async fn packets_behind_connect_are_handled_after_it() {
    on_every_broker(async |broker| {
        for number in 0..8 {
            for durable in [false, true] {
                let id = format!("c{number}");
                let connect = if durable {
                    connect_durable(V5, &id)
                } else {
                    connect(V5, &id)
                };
                let mut peer = Peer::silent(broker, V5);
                let bytes = bytes_of(
                    V5,
                    vec![
                        Packet::Connect(Box::new(connect)),
                        Packet::Subscribe(subscribe(1, &[("t", Default::default())])),
                        publish("t", "x").into_packet(),
                        Packet::PingReq,
                    ],
                );
                peer.send_bytes(&bytes).await;
                assert!(matches!(peer.receive().await, Packet::ConnAck(_)));
                // The SUBACK of a durable session may wait for the log.
                let mut types = Vec::new();
                for _ in 0..3 {
                    types.push(peer.receive().await.packet_type().name());
                }
                types.sort_unstable();
                assert_eq!(types, ["PINGRESP", "PUBLISH", "SUBACK"]);
                peer.disconnect().await;
            }
        }
    })
    .await;
}

/// T-23
#[tokio::test]
async fn v5_mqtt_3_1_4_6_packets_behind_a_refused_connect_are_not_handled() {
    let deny = |builder: Broker| {
        builder.authenticate(
            |request: &AuthenticationRequest| match request.user_name() {
                Some(name) => Ok(Identity::new(name)),
                None => Err(Refusal::not_authorized()),
            },
        )
    };
    on_every_broker_with(deny, async |broker| {
        let mut known = connect(V5, "w");
        known.user_name = Some(text("u"));
        let (mut watcher, _) = Peer::connected_with(broker, known).await;
        watcher.subscribe("#", QoS::AtMostOnce).await;
        for number in 0..4 {
            let mut peer = Peer::silent(broker, V5);
            let bytes = bytes_of(
                V5,
                vec![
                    Packet::Connect(Box::new(connect(V5, &format!("c{number}")))),
                    publish("t", "x").into_packet(),
                ],
            );
            peer.send_bytes(&bytes).await;
            let Packet::ConnAck(connack) = peer.receive().await else {
                panic!("expected CONNACK")
            };
            assert_eq!(connack.reason, ConnAckReason::NotAuthorized);
            peer.receive_end().await;
        }
        watcher.receive_nothing().await;
    })
    .await;
}

/// T-24
#[tokio::test]
async fn publish_and_disconnect_and_a_cut_count_as_sent() {
    on_every_broker(async |broker| {
        let mut watcher = Peer::connected(broker, V5, "w").await;
        watcher.subscribe("#", QoS::AtLeastOnce).await;
        for version in [V31, V311, V5] {
            for number in 0..4 {
                let mut with_will = connect(version, &format!("c{number}"));
                with_will.will = Some(will("gone", "x"));
                let mut peer = Peer::silent(broker, version);
                let bytes = bytes_of(
                    version,
                    vec![
                        Packet::Connect(Box::new(with_will)),
                        publish("t", "last words").at_least_once(1).into_packet(),
                        Packet::Disconnect(Disconnect::new(DisconnectReason::NormalDisconnection)),
                        publish("t", "too late").into_packet(),
                    ],
                );
                peer.send_bytes(&bytes).await;
                peer.cut();
                watcher.take_payloads(&["last words"]).await;
            }
        }
        broker.settle().await;
        watcher.receive_nothing().await;
    })
    .await;
}
