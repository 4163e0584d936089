//! Wills: when they are published, when not, and as what.

use std::time::Duration;

use whinchat_broker::config::{ByteSize, Config};
use whinchat_codec::{
    ConnAckReason, Connect, Disconnect, DisconnectReason, Packet, ProtocolVersion, QoS,
};

use crate::{
    harness::{TestBroker, configured, limited, on_every_broker, on_every_broker_with},
    peer::{Peer, Refine, V5, V31, V311, connect, connect_durable, publish, will},
};

const SECOND: Duration = Duration::from_secs(1);

fn with_will(mut connect: Connect) -> Connect {
    connect.will = Some(will("gone", "will"));
    connect
}

/// A durable connection whose Will waits for `delay` seconds.
fn delayed(client_id: &str, delay: u32, expiry: u32) -> Connect {
    let mut connect = with_will(connect_durable(V5, client_id));
    connect.properties.set_session_expiry_interval(expiry);
    let will = connect.will.as_mut().unwrap();
    will.properties.set_will_delay_interval(delay);
    connect
}

async fn watcher(broker: &TestBroker) -> Peer {
    let mut watcher = Peer::connected(broker, V5, "watcher").await;
    watcher.subscribe("gone", QoS::ExactlyOnce).await;
    watcher
}

fn versions() -> [ProtocolVersion; 3] {
    [V31, V311, V5]
}

#[tokio::test]
async fn v5_mqtt_3_1_2_8_a_cut_connection_publishes_its_will() {
    on_every_broker(async |broker| {
        let mut watcher = watcher(broker).await;
        for version in versions() {
            for durable in [false, true] {
                let connect = if durable {
                    connect_durable(version, "c")
                } else {
                    connect(version, "c")
                };
                let (peer, _) = Peer::connected_with(broker, with_will(connect)).await;
                watcher.receive_nothing().await;
                peer.cut();
                watcher.take_payloads(&["will"]).await;
                Peer::connected(broker, version, "c")
                    .await
                    .disconnect()
                    .await;
                broker.settle().await;
                watcher.receive_nothing().await; // v5 [MQTT-3.1.2-10]
            }
        }
    })
    .await;
}

#[tokio::test]
async fn v5_mqtt_3_14_4_3_disconnect_removes_the_will() {
    on_every_broker(async |broker| {
        let mut watcher = watcher(broker).await;
        for version in versions() {
            for connect in [connect(version, "a"), connect_durable(version, "b")] {
                let (peer, _) = Peer::connected_with(broker, with_will(connect)).await;
                peer.disconnect().await;
            }
        }
        let (peer, _) = Peer::connected_with(broker, delayed("c", 10, 3600)).await;
        peer.disconnect().await;
        broker.advance(10_000 * SECOND).await;
        watcher.receive_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn v5_disconnect_with_0x04_and_with_an_error_publishes_the_will() {
    on_every_broker(async |broker| {
        let mut watcher = watcher(broker).await;
        for reason in [
            DisconnectReason::DisconnectWithWill,
            DisconnectReason::UnspecifiedError,
        ] {
            let (mut peer, _) = Peer::connected_with(broker, with_will(connect(V5, "c"))).await;
            peer.send(Packet::Disconnect(Disconnect::new(reason))).await;
            peer.receive_end().await;
            watcher.take_payloads(&["will"]).await;
        }
    })
    .await;
}

/// T-05, T-19, T-22
#[tokio::test]
async fn a_broken_rule_and_silence_publish_the_will() {
    on_every_broker(async |broker| {
        let mut watcher = watcher(broker).await;
        for version in versions() {
            let (mut peer, _) =
                Peer::connected_with(broker, with_will(connect(version, "c"))).await;
            peer.send_bytes(&[0xFF; 8]).await;
            peer.read_to_end().await;
            watcher.take_payloads(&["will"]).await;

            let mut silent = with_will(connect(version, "c"));
            silent.keep_alive = 10;
            let (mut peer, _) = Peer::connected_with(broker, silent).await;
            broker.advance(16 * SECOND).await;
            peer.receive_disconnect(DisconnectReason::KeepAliveTimeout)
                .await;
            watcher.take_payloads(&["will"]).await;

            let (mut peer, _) =
                Peer::connected_with(broker, with_will(connect(version, "c"))).await;
            broker.disconnect_client("c");
            peer.receive_disconnect(DisconnectReason::AdministrativeAction)
                .await;
            watcher.take_payloads(&["will"]).await;
        }
    })
    .await;
}

/// How a client that was cut comes back, or does not.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Resumes,
    StartsClean,
    StaysAway,
}

/// Will delay in seconds, session expiry in seconds, whether the old connection was cut before, what
/// happens 5 s later; after how many seconds the Will is published, `None` for never.
const CASES: [(u32, u32, bool, Then, Option<u64>); 14] = [
    (0, 3600, true, Then::Resumes, Some(0)),
    (0, 3600, true, Then::StartsClean, Some(0)),
    (0, 3600, true, Then::StaysAway, Some(0)),
    (0, 0, true, Then::StaysAway, Some(0)),
    (10, 0, true, Then::StaysAway, Some(0)),
    (10, 3600, true, Then::Resumes, None),
    (10, 3600, true, Then::StartsClean, Some(5)),
    (10, 3600, true, Then::StaysAway, Some(10)),
    (3600, 10, true, Then::StaysAway, Some(10)),
    (0, 3600, false, Then::Resumes, Some(5)),
    (0, 3600, false, Then::StartsClean, Some(5)),
    (10, 3600, false, Then::Resumes, None),
    (10, 3600, false, Then::StartsClean, Some(5)),
    (10, 0, false, Then::Resumes, Some(5)),
];

/// T-68
#[tokio::test]
async fn v5_mqtt_3_1_3_9_a_delayed_will_is_published_once_or_not_at_all() {
    on_every_broker(async |broker| {
        for (place, case) in CASES.into_iter().enumerate() {
            let (delay, expiry, is_cut, then, published_after) = case;
            let id = format!("c{place}");
            let mut watcher = watcher(broker).await;
            let (mut peer, _) = Peer::connected_with(broker, delayed(&id, delay, expiry)).await;
            let mut old = None;
            if is_cut {
                peer.cut();
                broker.settle().await;
            } else {
                peer.receive_nothing().await;
                old = Some(peer);
            }
            let mut seen = Vec::new();
            let mut new = None;
            for second in [0_u64, 5, 10, 11, 4000] {
                match second {
                    0 => {}
                    5 => {
                        broker.advance(5 * SECOND).await;
                        let mut again = connect_durable(V5, &id);
                        again.clean_start = then == Then::StartsClean;
                        if then != Then::StaysAway {
                            new = Some(Peer::connected_with(broker, again).await.0);
                        }
                        broker.settle().await;
                    }
                    10 => {}
                    11 => broker.advance(6 * SECOND).await,
                    _ => broker.advance(4000 * SECOND).await,
                }
                watcher.send(Packet::PingReq).await;
                loop {
                    match watcher.receive().await {
                        Packet::PingResp => break,
                        Packet::Publish(_) => seen.push(second),
                        other => panic!("unexpected {other:?}"),
                    }
                }
            }
            let expected: Vec<u64> = published_after
                .map(|second| if second == 10 { 11 } else { second })
                .into_iter()
                .collect();
            assert_eq!(seen, expected, "{case:?}");
            drop((old, new));
            watcher.disconnect().await;
        }
    })
    .await;
}

#[tokio::test]
async fn v5_mqtt_3_1_2_15_a_will_may_be_retained() {
    on_every_broker(async |broker| {
        for retain in [true, false] {
            let mut connect = with_will(connect(V5, "c"));
            connect.will.as_mut().unwrap().retain = retain;
            let mut early = watcher(broker).await;
            Peer::connected_with(broker, connect).await.0.cut();
            early.take_payloads(&["will"]).await;
            early.disconnect().await;
            let mut late = watcher(broker).await;
            if retain {
                assert!(late.take().await.retain);
                let mut publisher = Peer::connected(broker, V5, "p").await;
                publisher.publish_read(publish("gone", "").retained()).await;
                late.take_payloads(&[""]).await;
            }
            broker.settle().await;
            late.receive_nothing().await; // v5 [MQTT-3.1.2-14]
            late.disconnect().await;
        }
    })
    .await;
}

#[tokio::test]
async fn v5_mqtt_3_1_2_7_a_will_keeps_its_qos_and_its_properties() {
    on_every_broker(async |broker| {
        let mut watcher = watcher(broker).await;
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut connect = with_will(connect(V5, "c"));
            let will = connect.will.as_mut().unwrap();
            will.qos = qos;
            will.properties.set_payload_format_indicator(true);
            will.properties.set_message_expiry_interval(60);
            will.properties.set_content_type("text/plain").unwrap();
            will.properties.set_response_topic("r").unwrap();
            will.properties.set_correlation_data(b"data").unwrap();
            for (name, value) in [("b", "1"), ("a", "2"), ("b", "3")] {
                will.properties.add_user_property(name, value).unwrap();
            }
            Peer::connected_with(broker, connect).await.0.cut();
            let got = watcher.take().await;
            assert_eq!(got.guarantee.qos(), qos);
            let properties = &got.properties;
            assert_eq!(properties.payload_format_indicator(), Some(true));
            assert_eq!(properties.message_expiry_interval(), Some(60));
            assert_eq!(properties.content_type(), Some("text/plain"));
            assert_eq!(properties.response_topic(), Some("r"));
            assert_eq!(properties.correlation_data(), Some(&b"data"[..]));
            // v5 [MQTT-3.1.3-10]
            let pairs: Vec<_> = properties.user_properties().collect();
            assert_eq!(pairs, [("b", "1"), ("a", "2"), ("b", "3")]);
        }
    })
    .await;
}

#[tokio::test]
async fn an_empty_will_is_a_message_as_any_other() {
    on_every_broker(async |broker| {
        let mut watcher = watcher(broker).await;
        for version in versions() {
            let mut connect = connect(version, "c");
            connect.will = Some(will("gone", ""));
            Peer::connected_with(broker, connect).await.0.cut();
            watcher.take_payloads(&[""]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_will_reaches_sessions_that_are_not_connected() {
    on_every_broker(async |broker| {
        let (mut away, _) = Peer::connected_with(broker, connect_durable(V5, "away")).await;
        away.subscribe("gone", QoS::AtLeastOnce).await;
        away.disconnect().await;
        let mut watcher = watcher(broker).await;
        let mut connect = with_will(connect(V5, "c"));
        connect.will.as_mut().unwrap().qos = QoS::AtLeastOnce;
        Peer::connected_with(broker, connect).await.0.cut();
        watcher.take_payloads(&["will"]).await;
        let (mut away, _) = Peer::connected_with(broker, connect_durable(V5, "away")).await;
        away.take_payloads(&["will"]).await;
    })
    .await;
}

async fn refusal(broker: &TestBroker, connect: Connect) -> ConnAckReason {
    let mut peer = Peer::silent(broker, V5);
    let reason = peer.log_in(connect).await.reason;
    peer.receive_end().await;
    reason
}

/// T-69, v5 [MQTT-3.2.2-13], E5-21, E5-22
#[tokio::test]
async fn v5_mqtt_3_2_2_12_and_13_a_will_that_is_not_offered_is_refused() {
    let poor = configured(|config: &mut Config| {
        config.mqtt.maximum_qos = 1;
        config.mqtt.retain_available = false;
    });
    on_every_broker_with(poor, async |broker| {
        let mut connect_qos = with_will(connect(V5, "c"));
        connect_qos.will.as_mut().unwrap().qos = QoS::ExactlyOnce;
        assert_eq!(
            refusal(broker, connect_qos).await,
            ConnAckReason::QoSNotSupported
        );
        let mut connect_retain = with_will(connect(V5, "c"));
        connect_retain.will.as_mut().unwrap().retain = true;
        assert_eq!(
            refusal(broker, connect_retain).await,
            ConnAckReason::RetainNotSupported
        );
    })
    .await;
}

/// T-67
#[tokio::test]
async fn a_will_to_a_topic_of_the_server_is_refused() {
    on_every_broker(async |broker| {
        for topic in ["$SYS/x", "$share/g/t", "$"] {
            let mut hostile = connect(V5, "c");
            hostile.will = Some(will(topic, "x"));
            assert_eq!(refusal(broker, hostile).await, ConnAckReason::NotAuthorized);
        }
    })
    .await;
}

/// T-69
#[tokio::test]
async fn a_will_beyond_its_limits_is_refused() {
    let small = limited(|limits| limits.will_size = ByteSize::new(10));
    on_every_broker_with(small, async |broker| {
        let mut large = connect(V5, "c");
        large.will = Some(will("gone", "12345678901"));
        assert_eq!(refusal(broker, large).await, ConnAckReason::PacketTooLarge);
        let mut deep = connect(V5, "c");
        deep.will = Some(will(&"/".repeat(200), "x"));
        assert_eq!(refusal(broker, deep).await, ConnAckReason::TopicNameInvalid);
    })
    .await;
}

/// T-66
#[tokio::test]
async fn many_wills_at_once_are_all_published() {
    on_every_broker(async |broker| {
        const COUNT: usize = 200;
        let mut watcher = watcher(broker).await;
        let mut peers = Vec::new();
        for number in 0..COUNT {
            let mut connect = connect(V5, &format!("c{number}"));
            connect.will = Some(will("gone", &number.to_string()));
            peers.push(Peer::connected_with(broker, connect).await.0);
        }
        drop(peers);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..COUNT {
            assert!(seen.insert(watcher.take_payload().await));
        }
        watcher.receive_nothing().await;
    })
    .await;
}
