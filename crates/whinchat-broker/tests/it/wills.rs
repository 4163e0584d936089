//! Wills, as far as the transcripts do not show them: what else ends a connection, limits, many at once.

use std::time::Duration;

use whinchat_broker::config::ByteSize;
use whinchat_codec::{ConnAckReason, Connect, DisconnectReason, ProtocolVersion, QoS};

use crate::{
    harness::{TestBroker, limited, on_every_broker, on_every_broker_with},
    peer::{Peer, V5, V31, V311, connect, will},
};

const SECOND: Duration = Duration::from_secs(1);

fn with_will(mut connect: Connect) -> Connect {
    connect.will = Some(will("gone", "will"));
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

async fn refusal(broker: &TestBroker, connect: Connect) -> ConnAckReason {
    let mut peer = Peer::silent(broker, V5);
    let reason = peer.log_in(connect).await.reason;
    peer.receive_end().await;
    reason
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
