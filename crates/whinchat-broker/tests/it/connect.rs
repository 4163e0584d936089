//! CONNECT and CONNACK, as far as the transcripts do not show them: limits, what is announced, shards.

mod keep_alive;
mod one_segment;
mod refusals;
mod take_over;

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

    /// v5 E5-19
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
