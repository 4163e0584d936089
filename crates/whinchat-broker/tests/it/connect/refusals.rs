//! What is not let in.

use super::*;

#[tokio::test]
async fn v5_mqtt_3_1_0_1_the_first_packet_must_be_connect() {
    on_every_broker(async |broker| {
        let firsts: Vec<Packet> = vec![
            Packet::PingReq,
            publish("t", "x").into_packet(),
            publish("t", "x").at_least_once(1).into_packet(),
            Packet::Subscribe(subscribe(1, &[("t", Default::default())])),
            Packet::Disconnect(Disconnect::new(DisconnectReason::NormalDisconnection)),
            crate::peer::puback(1),
            crate::peer::pubrec(1),
            crate::peer::pubrel(1),
            crate::peer::pubcomp(1),
            Packet::Auth(whinchat_codec::Auth {
                reason: whinchat_codec::AuthReason::Reauthenticate,
                properties: Default::default(),
            }),
            Packet::PingResp,
        ];
        for first in firsts {
            let mut peer = Peer::silent(broker, V5);
            peer.send(first).await;
            peer.receive_end().await;
        }
        for noise in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"\x16\x03\x01\x02\x00",
            b"\xff\xff\xff\xff\xff",
        ] {
            let mut peer = Peer::silent(broker, V5);
            peer.send_bytes(noise).await;
            peer.receive_end().await;
        }
        assert_eq!(
            broker
                .metrics()
                .sum(|shard| shard.connections_accepted.value()),
            0
        );
    })
    .await;
}

#[tokio::test]
async fn a_connect_that_does_not_come_in_time_is_cut() {
    on_every_broker(async |broker| {
        let mut silent = Peer::silent(broker, V5);
        let mut slow = Peer::silent(broker, V5);
        let bytes = bytes_of(V5, vec![Packet::Connect(Box::new(connect(V5, "c")))]);
        slow.send_bytes(&bytes[..bytes.len() - 1]).await;
        broker.settle().await;
        broker.advance(9 * SECOND).await;
        let mut good = Peer::connected(broker, V5, "good").await;
        broker.advance(2 * SECOND).await;
        silent.receive_end().await;
        slow.receive_end().await;
        good.receive_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn a_packet_may_arrive_in_pieces_after_a_long_pause() {
    on_every_broker(async |broker| {
        let mut peer = Peer::connected(broker, V5, "c").await;
        broker.advance(3600 * SECOND).await;
        let bytes = bytes_of(V5, vec![publish("t", "x").at_least_once(1).into_packet()]);
        peer.send_bytes(&bytes[..5]).await;
        broker.advance(5 * SECOND).await;
        peer.send_bytes(&bytes[5..]).await;
        assert!(matches!(peer.receive().await, Packet::PubAck(_)));
        // Yet not for ever.
        peer.send_bytes(&bytes[..5]).await;
        broker.settle().await;
        broker.advance(32 * SECOND).await;
        peer.receive_end().await;
    })
    .await;
}

#[tokio::test]
async fn user_names_and_passwords_beyond_the_limit_are_refused_with_0x86() {
    on_every_broker(async |broker| {
        let mut long_name = connect(V5, "c");
        long_name.user_name = Some(text(&"u".repeat(16 * 1024 + 1)));
        let mut long_password = connect(V5, "c");
        long_password.password = Some(Bytes::from(vec![b'p'; 16 * 1024 + 1]));
        for connect in [long_name, long_password] {
            assert_eq!(
                refused(broker, connect).await,
                ConnAckReason::BadUserNameOrPassword
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_connect_beyond_its_size_limit_is_refused() {
    on_every_broker(async |broker| {
        let mut large = connect(V5, "c");
        large.password = Some(Bytes::from(vec![b'p'; 65_000]));
        large.user_name = Some(text(&"u".repeat(10_000)));
        let mut peer = Peer::silent(broker, V5);
        peer.send(Packet::Connect(Box::new(large))).await;
        match peer.receive_or_end().await {
            None => {}
            Some(Packet::ConnAck(connack)) => {
                assert_eq!(connack.reason, ConnAckReason::PacketTooLarge);
                peer.receive_end().await;
            }
            Some(other) => panic!("expected CONNACK, got {other:?}"),
        }
    })
    .await;
}

/// v5 E5-20
#[tokio::test]
async fn v5_mqtt_4_12_0_1_an_authentication_method_without_an_authenticator_is_refused() {
    on_every_broker(async |broker| {
        let mut enhanced = connect(V5, "c");
        enhanced
            .properties
            .set_authentication_method("SCRAM")
            .unwrap();
        assert_eq!(
            refused(broker, enhanced).await,
            ConnAckReason::BadAuthenticationMethod
        );
    })
    .await;
}

/// T-60
#[tokio::test]
async fn when_durable_sessions_are_used_up_clean_ones_are_still_served() {
    let two = limited(|limits| limits.durable_sessions = 2);
    on_every_broker_with(two, async |broker| {
        let (one, _) = Peer::connected_with(broker, connect_durable(V5, "1")).await;
        let (_two, _) = Peer::connected_with(broker, connect_durable(V5, "2")).await;
        let reason = refused(broker, connect_durable(V5, "3")).await;
        assert_eq!(reason, ConnAckReason::QuotaExceeded);
        Peer::connected(broker, V5, "4")
            .await
            .receive_nothing()
            .await;
        // Who has one keeps it.
        one.cut();
        let (one, connack) = Peer::connected_with(broker, connect_durable(V5, "1")).await;
        assert!(connack.session_present);
        // And one that is discarded makes room.
        drop(one);
        Peer::connected(broker, V5, "1").await.disconnect().await;
        Peer::connected_with(broker, connect_durable(V5, "3")).await;
    })
    .await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once() {
    let three = limited(|limits| limits.connections = Auto::Set(3));
    on_every_broker_with(three, async |broker| {
        let mut peers = Vec::new();
        for id in ["1", "2", "3"] {
            peers.push(Peer::connected(broker, V5, id).await);
        }
        Peer::silent(broker, V5).receive_end().await;
        peers.pop().unwrap().disconnect().await;
        let mut again = Peer::connected(broker, V5, "4").await;
        again.receive_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn a_redirected_client_is_told_where_to_go() {
    for (permanent, reason) in [
        (false, ConnAckReason::UseAnotherServer),
        (true, ConnAckReason::ServerMoved),
    ] {
        let moved = configured(move |config: &mut Config| {
            config.mqtt.redirect = Some("elsewhere:1883".to_owned());
            config.mqtt.redirect_permanent = permanent;
        });
        on_every_broker_with(moved, async |broker| {
            let mut peer = Peer::silent(broker, V5);
            let connack = peer.log_in(connect(V5, "c")).await;
            assert_eq!(connack.reason, reason);
            assert_eq!(
                connack.properties.server_reference(),
                Some("elsewhere:1883")
            );
            peer.receive_end().await;
        })
        .await;
    }
}
