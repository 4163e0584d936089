//! CONNECT and CONNACK: who gets which session, what is refused, what is announced.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use whinchat_broker::{
    Broker,
    config::{Auto, Config, Seconds},
    hooks::{Access, AuthenticationRequest, Authorize, Decision, HookError, Identity, Refusal},
};
use whinchat_codec::{ConnAckReason, Connect, Disconnect, DisconnectReason, Packet, QoS};

use crate::{
    harness::{configured, limited, on_every_broker, on_every_broker_with},
    peer::{
        IntoPacket, Peer, Refine, V5, V31, V311, connect, connect_durable, publish, subscribe,
        text, will,
    },
};

const SECOND: Duration = Duration::from_secs(1);

/// What CONNACK says to this CONNECT; then the connection is closed.
#[track_caller]
fn refused(
    broker: &whinchat_broker::BrokerHandle,
    connect: Connect,
) -> impl Future<Output = ConnAckReason> {
    let mut peer = Peer::silent(broker, connect.version);
    async move {
        let connack = peer.log_in(connect).await;
        assert!(connack.reason.is_error(), "{connack:?}");
        assert!(!connack.session_present); // v5 [MQTT-3.2.2-6]
        peer.receive_end().await; // v5 [MQTT-3.2.2-7]
        connack.reason
    }
}

fn bytes_of(version: whinchat_codec::ProtocolVersion, packets: Vec<Packet>) -> BytesMut {
    let mut bytes = BytesMut::new();
    for packet in packets {
        packet.encode(version, &mut bytes).unwrap();
    }
    bytes
}

mod sessions {
    use super::*;

    #[tokio::test]
    async fn v5_mqtt_3_1_2_6_without_a_stored_session_a_new_one_begins() {
        on_every_broker(async |broker| {
            for version in [V311, V5] {
                let (peer, connack) =
                    Peer::connected_with(broker, connect_durable(version, "new")).await;
                assert!(!connack.session_present);
                peer.disconnect().await;
                Peer::connected(broker, version, "new")
                    .await
                    .disconnect()
                    .await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_3_1_2_5_a_stored_session_goes_on() {
        on_every_broker(async |broker| {
            for version in [V31, V311, V5] {
                let (mut peer, _) =
                    Peer::connected_with(broker, connect_durable(version, "c")).await;
                peer.subscribe("t", QoS::AtLeastOnce).await;
                peer.disconnect().await;
                let (mut peer, connack) =
                    Peer::connected_with(broker, connect_durable(version, "c")).await;
                // CONNACK of 3.1 has no place for it.
                assert_eq!(connack.session_present, version != V31);
                let mut publisher = Peer::connected(broker, V5, "p").await;
                publisher.publish_acked("t", "x").await;
                peer.take_payloads(&["x"]).await;
                peer.disconnect().await;
                Peer::connected(broker, version, "c")
                    .await
                    .disconnect()
                    .await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_3_1_2_4_clean_start_discards_the_stored_session() {
        on_every_broker(async |broker| {
            for version in [V31, V311, V5] {
                let (mut peer, _) =
                    Peer::connected_with(broker, connect_durable(version, "c")).await;
                peer.subscribe("t", QoS::AtLeastOnce).await;
                peer.disconnect().await;
                let mut publisher = Peer::connected(broker, V5, "p").await;
                publisher.publish_acked("t", "queued").await;
                let mut peer = Peer::connected(broker, version, "c").await;
                publisher.publish_acked("t", "live").await;
                peer.receive_nothing().await;
                peer.disconnect().await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_3_1_2_23_an_interval_of_0_ends_the_session_with_the_connection() {
        on_every_broker(async |broker| {
            let mut connect_for_now = connect(V5, "c");
            connect_for_now.clean_start = false;
            let (peer, _) = Peer::connected_with(broker, connect_for_now.clone()).await;
            peer.disconnect().await;
            let (_peer, connack) = Peer::connected_with(broker, connect_for_now).await;
            assert!(!connack.session_present);
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_4_1_0_2_a_session_ends_when_its_interval_has_passed() {
        on_every_broker(async |broker| {
            let mut an_hour = connect_durable(V5, "c");
            an_hour.properties.set_session_expiry_interval(3600);
            let (peer, _) = Peer::connected_with(broker, an_hour.clone()).await;
            peer.cut();
            broker.settle().await;
            broker.advance(3599 * SECOND).await;
            let (peer, connack) = Peer::connected_with(broker, an_hour.clone()).await;
            assert!(connack.session_present);
            // While connected, no time counts (v5 [MQTT-4.1.0-1]).
            broker.advance(10_000 * SECOND).await;
            peer.cut();
            broker.settle().await;
            broker.advance(3601 * SECOND).await;
            let (_peer, connack) = Peer::connected_with(broker, an_hour).await;
            assert!(!connack.session_present);
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_4_1_0_2_the_highest_interval_is_no_end() {
        on_every_broker(async |broker| {
            let mut forever = connect_durable(V5, "c");
            forever.properties.set_session_expiry_interval(u32::MAX);
            Peer::connected_with(broker, forever.clone()).await.0.cut();
            broker.settle().await;
            broker
                .advance(Duration::from_secs(u64::from(u32::MAX) * 2))
                .await;
            let (_peer, connack) = Peer::connected_with(broker, forever).await;
            assert!(connack.session_present);
        })
        .await;
    }

    #[tokio::test]
    async fn session_expiry_is_held_to_the_limit_and_the_client_is_told() {
        let hour = limited(|limits| {
            limits.session_expiry_max = Some(Seconds::new(3600));
        });
        on_every_broker_with(hour, async |broker| {
            let mut forever = connect_durable(V5, "c");
            forever.properties.set_session_expiry_interval(u32::MAX);
            let (peer, connack) = Peer::connected_with(broker, forever).await;
            assert_eq!(connack.properties.session_expiry_interval(), Some(3600));
            peer.cut();
            let (mut peer, connack) = Peer::connected_with(broker, connect_durable(V5, "c")).await;
            assert_eq!(connack.properties.session_expiry_interval(), None);
            // Not by DISCONNECT either.
            let mut goodbye = Disconnect::new(DisconnectReason::NormalDisconnection);
            goodbye.properties.set_session_expiry_interval(u32::MAX);
            peer.send(Packet::Disconnect(goodbye)).await;
            peer.receive_end().await;
            broker.advance(3601 * SECOND).await;
            let (_peer, connack) = Peer::connected_with(broker, connect_durable(V5, "c")).await;
            assert!(!connack.session_present);
        })
        .await;
    }
}

mod take_over {
    use super::*;

    #[tokio::test]
    async fn v5_mqtt_3_1_4_3_the_older_connection_is_told_0x8e_and_closed() {
        on_every_broker(async |broker| {
            for version in [V31, V311, V5] {
                let (mut old, _) =
                    Peer::connected_with(broker, connect_durable(version, "c")).await;
                let (mut new, connack) =
                    Peer::connected_with(broker, connect_durable(version, "c")).await;
                assert_eq!(connack.session_present, version != V31);
                old.receive_disconnect(DisconnectReason::SessionTakenOver)
                    .await;
                new.receive_nothing().await;
                new.disconnect().await;
                Peer::connected(broker, version, "c")
                    .await
                    .disconnect()
                    .await;
            }
        })
        .await;
    }

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
    async fn v311_mqtt_3_1_2_6_a_clean_session_is_not_used_again() {
        on_every_broker(async |broker| {
            let mut clean = Peer::connected(broker, V311, "c").await;
            clean.subscribe("t", QoS::AtLeastOnce).await;
            let (mut next, connack) =
                Peer::connected_with(broker, connect_durable(V311, "c")).await;
            clean.receive_end().await;
            assert!(!connack.session_present);
            let mut publisher = Peer::connected(broker, V5, "p").await;
            publisher.publish_acked("t", "x").await;
            next.receive_nothing().await;
        })
        .await;
    }

    #[tokio::test]
    async fn v5_a_session_without_an_interval_is_not_taken_over() {
        on_every_broker(async |broker| {
            let mut old = Peer::connected(broker, V5, "c").await;
            old.subscribe("t", QoS::AtLeastOnce).await;
            let (mut new, connack) = Peer::connected_with(broker, connect_durable(V5, "c")).await;
            old.receive_disconnect(DisconnectReason::SessionTakenOver)
                .await;
            assert!(!connack.session_present);
            let mut publisher = Peer::connected(broker, V5, "p").await;
            publisher.publish_acked("t", "x").await;
            new.receive_nothing().await;
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
}

mod client_ids {
    use super::*;

    #[tokio::test]
    async fn v5_mqtt_3_1_3_6_an_empty_id_is_replaced_by_a_unique_one() {
        on_every_broker(async |broker| {
            let mut ids = std::collections::HashSet::new();
            for clean_start in [true, false] {
                for _ in 0..5 {
                    let mut anonymous = connect(V5, "");
                    anonymous.clean_start = clean_start;
                    let (peer, connack) = Peer::connected_with(broker, anonymous).await;
                    let assigned = connack.properties.assigned_client_identifier().unwrap();
                    assert!(assigned.len() >= 24, "{assigned}"); // 96 bits at 5 bits a letter
                    assert!(ids.insert(assigned.to_owned()), "{assigned} twice");
                    peer.disconnect().await;
                }
            }
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_3_1_3_7_the_assigned_id_is_the_session_s_name() {
        on_every_broker(async |broker| {
            let (peer, connack) = Peer::connected_with(broker, connect_durable(V5, "")).await;
            let id = connack
                .properties
                .assigned_client_identifier()
                .unwrap()
                .to_owned();
            peer.cut();
            let (_peer, connack) = Peer::connected_with(broker, connect_durable(V5, &id)).await;
            assert!(connack.session_present);
            assert_eq!(connack.properties.assigned_client_identifier(), None);
        })
        .await;
    }

    #[tokio::test]
    async fn v311_mqtt_3_1_3_8_an_empty_id_needs_a_clean_session() {
        on_every_broker(async |broker| {
            let mut two = Vec::new();
            for _ in 0..2 {
                two.push(Peer::connected(broker, V311, "").await);
            }
            for peer in &mut two {
                peer.receive_nothing().await;
            }
            let reason = refused(broker, connect_durable(V311, "")).await;
            assert_eq!(reason, ConnAckReason::ClientIdentifierNotValid);
        })
        .await;
    }

    #[tokio::test]
    async fn v31_an_empty_id_is_refused() {
        on_every_broker(async |broker| {
            for connect in [connect(V31, ""), connect_durable(V31, "")] {
                let reason = refused(broker, connect).await;
                assert_eq!(reason, ConnAckReason::ClientIdentifierNotValid);
            }
        })
        .await;
    }

    #[tokio::test]
    async fn hostile_ids_are_opaque() {
        on_every_broker(async |broker| {
            let long = "x".repeat(1024);
            for id in [
                "+",
                "#",
                "a/../b",
                "$SYS",
                "\u{1}\u{7f}\n",
                "a b",
                "ÄÖ",
                &long,
            ] {
                let (mut peer, _) = Peer::connected_with(broker, connect_durable(V5, id)).await;
                peer.subscribe("t", QoS::AtMostOnce).await;
                peer.receive_nothing().await;
                peer.disconnect().await;
                let (peer, connack) = Peer::connected_with(broker, connect_durable(V5, id)).await;
                assert!(connack.session_present, "{id:?}");
                peer.disconnect().await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn an_id_beyond_the_limit_is_refused_with_0x85() {
        on_every_broker(async |broker| {
            for version in [V311, V5] {
                let reason = refused(broker, connect(version, &"x".repeat(1025))).await;
                assert_eq!(reason, ConnAckReason::ClientIdentifierNotValid);
            }
        })
        .await;
    }
}

mod keep_alive {
    use super::*;

    #[tokio::test]
    async fn v5_mqtt_3_1_2_22_one_and_a_half_times_of_silence_close_the_connection() {
        on_every_broker(async |broker| {
            for version in [V31, V311, V5] {
                let mut silent = connect(version, "c");
                silent.keep_alive = 10;
                let (mut peer, _) = Peer::connected_with(broker, silent).await;
                broker.advance(Duration::from_millis(14_900)).await;
                peer.receive_nothing().await;
                // That was a packet: counted from there.
                broker.advance(Duration::from_millis(14_900)).await;
                peer.receive_nothing().await;
                broker.advance(Duration::from_millis(15_500)).await;
                peer.receive_disconnect(DisconnectReason::KeepAliveTimeout)
                    .await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_3_1_2_22_without_a_keep_alive_silence_has_no_end() {
        on_every_broker(async |broker| {
            let mut peer = Peer::connected(broker, V5, "c").await;
            broker.advance(1_000_000 * SECOND).await;
            peer.receive_nothing().await;
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_3_1_2_21_a_longer_keep_alive_is_replaced_by_the_server_s() {
        let minute = limited(|limits| {
            limits.keep_alive_max = Some(Seconds::new(60));
        });
        on_every_broker_with(minute, async |broker| {
            for asked in [0, 61, u16::MAX] {
                let mut long = connect(V5, "c");
                long.keep_alive = asked;
                let (mut peer, connack) = Peer::connected_with(broker, long).await;
                assert_eq!(connack.properties.server_keep_alive(), Some(60));
                broker.advance(89 * SECOND).await;
                peer.receive_nothing().await;
                broker.advance(91 * SECOND).await;
                peer.receive_disconnect(DisconnectReason::KeepAliveTimeout)
                    .await;
            }
            let mut short = connect(V5, "c");
            short.keep_alive = 60;
            let (_peer, connack) = Peer::connected_with(broker, short).await;
            assert_eq!(connack.properties.server_keep_alive(), None); // v5 [MQTT-3.2.2-22]
        })
        .await;
    }

    #[tokio::test]
    async fn v311_a_longer_keep_alive_is_held_to_the_limit() {
        let minute = limited(|limits| {
            limits.keep_alive_max = Some(Seconds::new(60));
        });
        on_every_broker_with(minute, async |broker| {
            for version in [V31, V311] {
                let mut peer = Peer::connected(broker, version, "c").await;
                broker.advance(89 * SECOND).await;
                peer.receive_nothing().await;
                broker.advance(91 * SECOND).await;
                peer.receive_end().await;
            }
        })
        .await;
    }

    /// Holds its shard up where it is told to.
    struct Holding(std::sync::Mutex<std::sync::mpsc::Receiver<()>>);

    impl Authorize for Holding {
        fn authorize(&self, access: &Access<'_>) -> Result<Decision, HookError> {
            if access.topic == "hold" {
                let go_on = self.0.lock().unwrap();
                go_on
                    .recv()
                    .map_err(|_| HookError::new("nobody is there any more"))?;
            }
            Ok(Decision::Allow)
        }
    }

    #[tokio::test]
    async fn after_a_pause_of_the_process_what_has_come_is_read_before_anybody_is_cut() {
        let (let_go, held) = std::sync::mpsc::channel();
        let (clock, hand) = whinchat_broker::Clock::manual();
        let broker = Broker::builder()
            .threads(1)
            .clock(clock)
            .authorize(Holding(std::sync::Mutex::new(held)))
            .start()
            .unwrap();
        let mut living = connect(V5, "living");
        living.keep_alive = 10;
        let (mut peer, _) = Peer::connected_with(&broker, living).await;
        let mut other = Peer::connected(&broker, V5, "other").await;
        other.send(publish("hold", "x")).await;
        // The shard stands still; meanwhile the packet comes, and time passes.
        peer.send(Packet::PingReq).await;
        hand.advance(60 * SECOND);
        let_go.send(()).unwrap();
        assert_eq!(peer.receive().await, Packet::PingResp);
        peer.receive_nothing().await;
    }
}

mod announced {
    use super::*;

    #[tokio::test]
    async fn v5_mqtt_3_2_2_9_what_is_not_offered_stands_in_connack() {
        let poor = configured(|config: &mut Config| {
            config.mqtt.maximum_qos = 1;
            config.mqtt.retain_available = false;
            config.mqtt.wildcard_subscription_available = false;
            config.mqtt.subscription_identifiers_available = false;
            config.mqtt.shared_subscription_available = false;
            config.limits.receive_maximum = 7;
        });
        on_every_broker_with(poor, async |broker| {
            let (_peer, connack) = Peer::connected_with(broker, connect(V5, "c")).await;
            let told = &connack.properties;
            assert_eq!(told.maximum_qos(), Some(QoS::AtLeastOnce));
            assert_eq!(told.retain_available(), Some(false));
            assert_eq!(told.wildcard_subscription_available(), Some(false));
            assert_eq!(told.subscription_identifier_available(), Some(false));
            assert_eq!(told.shared_subscription_available(), Some(false));
            assert_eq!(told.receive_maximum(), Some(7));
            assert_eq!(told.topic_alias_maximum(), Some(32));
            assert_eq!(told.maximum_packet_size(), Some(2 * 1024 * 1024));
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_3_1_2_28_response_information_is_given_on_request() {
        let informed = configured(|config: &mut Config| {
            config.mqtt.response_information = Some("responses/".to_owned());
        });
        on_every_broker_with(informed, async |broker| {
            for (asked, told) in [
                (None, None),
                (Some(false), None),
                (Some(true), Some("responses/")),
            ] {
                let mut curious = connect(V5, "c");
                if let Some(asked) = asked {
                    curious.properties.set_request_response_information(asked);
                }
                let (peer, connack) = Peer::connected_with(broker, curious).await;
                assert_eq!(connack.properties.response_information(), told);
                peer.disconnect().await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_3_2_2_19_reason_strings_respect_the_packet_size() {
        on_every_broker(async |broker| {
            // A CONNACK with its reason string would be longer; the bare one fits.
            let mut tight = connect(V5, "c");
            tight.properties.set_maximum_packet_size(20).unwrap();
            tight.keep_alive = 1;
            let (mut peer, _) = Peer::connected_with(broker, connect(V5, "other")).await;
            peer.receive_nothing().await;
            let mut silent = Peer::silent(broker, V5);
            silent.send(Packet::Connect(Box::new(tight.clone()))).await;
            let Packet::ConnAck(connack) = silent.receive().await else {
                panic!("expected CONNACK")
            };
            assert!(Packet::ConnAck(connack).encoded_len(V5).unwrap() <= 20);
            broker.advance(2 * SECOND).await;
            let goodbye = silent.receive().await;
            assert!(goodbye.encoded_len(V5).unwrap() <= 20, "{goodbye:?}");
        })
        .await;
    }
}

mod refusals {
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
    async fn v5_mqtt_3_1_0_2_a_second_connect_ends_the_connection_and_the_will_is_sent() {
        on_every_broker(async |broker| {
            let mut watcher = Peer::connected(broker, V5, "w").await;
            watcher.subscribe("gone", QoS::AtMostOnce).await;
            for version in [V31, V311, V5] {
                let mut twice = connect(version, "c");
                twice.will = Some(will("gone", "x"));
                let (mut peer, _) = Peer::connected_with(broker, twice.clone()).await;
                peer.send(Packet::Connect(Box::new(twice))).await;
                peer.receive_disconnect(DisconnectReason::ProtocolError)
                    .await;
                watcher.take_payloads(&["x"]).await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn v5_mqtt_3_1_2_2_unknown_protocol_levels_are_refused() {
        on_every_broker(async |broker| {
            for (level, version, reason) in [
                (3_u8, V311, ConnAckReason::UnsupportedProtocolVersion),
                (6, V5, ConnAckReason::UnsupportedProtocolVersion),
            ] {
                let mut peer = Peer::silent(broker, version);
                let mut bytes = bytes_of(
                    version,
                    vec![Packet::Connect(Box::new(connect(version, "c")))],
                );
                bytes[8] = level;
                peer.send_bytes(&bytes).await;
                let Packet::ConnAck(connack) = peer.receive().await else {
                    panic!("expected CONNACK")
                };
                assert_eq!(connack.reason, reason);
                peer.receive_end().await;
            }
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
}

mod one_segment {
    use super::*;

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
                            Packet::Disconnect(Disconnect::new(
                                DisconnectReason::NormalDisconnection,
                            )),
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
}
