//! The end: goodbyes, what is still sent, and that nothing stays behind.

use std::time::Duration;

use whinchat_broker::{Broker, BrokerHandle, config::Config};
use whinchat_codec::{DisconnectReason, Packet, QoS};
use whinchat_transport::Endpoint;

use crate::{
    harness::{TestBroker, configured, on_every_broker, on_every_broker_with},
    peer::{Peer, Refine, V5, V31, V311, connect, connect_durable, publish, will},
};

/// Begins to stop the broker, which goes on elsewhere.
fn stop(broker: &BrokerHandle, within: Duration) -> tokio::task::JoinHandle<()> {
    let broker = broker.clone();
    tokio::task::spawn_blocking(move || broker.shutdown(within))
}

const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn clients_are_told_0x8b_and_closed() {
    on_every_broker(async |broker| {
        let mut peers = Vec::new();
        for version in [V31, V311, V5] {
            for place in 0..3 {
                let id = format!("{version:?}-{place}");
                peers.push(Peer::connected(broker, version, &id).await);
            }
        }
        let mut silent = Peer::silent(broker, V5);
        broker.settle().await;
        assert!(broker.is_ready());
        let stopping = stop(broker, LONG);
        for peer in &mut peers {
            peer.receive_disconnect(DisconnectReason::ServerShuttingDown)
                .await;
        }
        silent.receive_end().await;
        stopping.await.unwrap();
        assert!(!broker.is_ready());
        // Whoever comes now is not served.
        Peer::silent(broker, V5).receive_end().await;
    })
    .await;
}

#[tokio::test]
async fn clients_may_be_sent_to_another_server() {
    let elsewhere = configured(|config: &mut Config| {
        config.shutdown.redirect = Some("other:1883".to_owned());
    });
    on_every_broker_with(elsewhere, async |broker| {
        let mut peer = Peer::connected(broker, V5, "c").await;
        let stopping = stop(broker, LONG);
        let Packet::Disconnect(goodbye) = peer.receive().await else {
            panic!("expected DISCONNECT")
        };
        assert_eq!(goodbye.reason, DisconnectReason::UseAnotherServer);
        assert_eq!(goodbye.properties.server_reference(), Some("other:1883"));
        peer.receive_end().await;
        stopping.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_was_written_for_a_client_is_sent_before_the_end() {
    on_every_broker(async |broker| {
        let mut slow = Peer::connected(broker, V5, "slow").await;
        slow.subscribe("t", QoS::AtMostOnce).await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        let payload = "x".repeat(10_000);
        for _ in 0..100 {
            publisher.send(publish("t", &payload)).await;
        }
        publisher.receive_nothing().await;
        broker.settle().await;
        let stopping = stop(broker, LONG);
        publisher
            .receive_disconnect(DisconnectReason::ServerShuttingDown)
            .await;
        for _ in 0..100 {
            assert_eq!(slow.receive_publish().await.payload.len(), payload.len());
        }
        slow.receive_disconnect(DisconnectReason::ServerShuttingDown)
            .await;
        stopping.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_does_not_hold_up_the_end() {
    on_every_broker(async |broker| {
        let mut stuck = Peer::connected(broker, V5, "stuck").await;
        stuck.subscribe("t", QoS::AtMostOnce).await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        let payload = "x".repeat(10_000);
        for _ in 0..100 {
            publisher.send(publish("t", &payload)).await;
        }
        publisher.receive_nothing().await;
        broker.settle().await;
        stop(broker, Duration::from_millis(50)).await.unwrap();
        stuck.read_to_end().await;
    })
    .await;
}

#[tokio::test]
async fn an_ack_that_waits_for_the_log_is_not_given_in_advance() {
    on_every_broker(async |broker| {
        let (mut peer, _) = Peer::connected_with(broker, connect_durable(V5, "s")).await;
        peer.subscribe("t", QoS::AtLeastOnce).await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        for id in 1..=20 {
            publisher.send(publish("t", "x").at_least_once(id)).await;
        }
        let stopping = stop(broker, LONG);
        // Acks in their order, then goodbye: whatever was not acknowledged is not.
        let mut next = 1;
        loop {
            match publisher.receive().await {
                Packet::PubAck(answer) => {
                    assert_eq!(answer.packet_id.get(), next);
                    next += 1;
                }
                Packet::Disconnect(goodbye) => {
                    assert_eq!(goodbye.reason, DisconnectReason::ServerShuttingDown);
                    break;
                }
                other => panic!("expected PUBACK or DISCONNECT, got {other:?}"),
            }
        }
        publisher.receive_end().await;
        stopping.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn wills_do_not_keep_a_broker_from_ending() {
    on_every_broker(async |broker| {
        let mut peers = Vec::new();
        for place in 0..20 {
            let mut with_will = connect(V5, &format!("c{place}"));
            with_will.will = Some(will("gone", "x"));
            let (mut peer, _) = Peer::connected_with(broker, with_will).await;
            peer.subscribe("gone", QoS::AtMostOnce).await;
            peers.push(peer);
        }
        let stopping = stop(broker, LONG);
        for peer in &mut peers {
            peer.read_to_end().await;
        }
        stopping.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn three_brokers_dropped_unawaited_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut left = Vec::new();
    let mut peers = Vec::new();
    let brokers: Vec<BrokerHandle> = (0..3)
        .map(|place| {
            Broker::builder()
                .threads(2)
                .listen(Endpoint::tcp("127.0.0.1", 0))
                .listen(Endpoint::unix(directory.path().join(place.to_string())))
                .start()
                .unwrap()
        })
        .collect();
    for broker in &brokers {
        left.extend(broker.local_endpoints().to_vec());
        let mut peer = Peer::over_tcp(broker, V5).await;
        peer.log_in(connect(V5, "c")).await;
        peers.push(peer);
        peers.push(Peer::connected(broker, V5, "d").await);
        // One topic name in three brokers is three topics.
        peers
            .last_mut()
            .unwrap()
            .publish_read(publish("t", "x").retained())
            .await;
    }
    for peer in &mut peers {
        peer.receive_nothing().await;
    }
    drop(brokers);
    for peer in &mut peers {
        peer.read_to_end().await;
    }
    for endpoint in left {
        match endpoint {
            Endpoint::Tcp { host, port } => {
                tokio::net::TcpStream::connect((host, port))
                    .await
                    .unwrap_err();
            }
            Endpoint::Unix { path } => assert!(!path.exists()),
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[tokio::test]
async fn listeners_are_gone_after_a_shutdown_and_their_port_is_free() {
    let broker = Broker::builder()
        .listen(Endpoint::tcp("127.0.0.1", 0))
        .start()
        .unwrap();
    let endpoint = broker.local_endpoints()[0].clone();
    stop(&broker, LONG).await.unwrap();
    let Endpoint::Tcp { host, port } = &endpoint else {
        panic!("a TCP listener")
    };
    tokio::net::TcpStream::connect((host.as_str(), *port))
        .await
        .unwrap_err();
    let again = Broker::builder().listen(endpoint.clone()).start().unwrap();
    let mut peer = Peer::at(&endpoint, V5).await;
    peer.log_in(connect(V5, "c")).await;
    peer.receive_nothing().await;
    drop(again);
}

#[tokio::test]
async fn a_clone_of_the_handle_keeps_the_broker_alive() {
    on_every_broker(async |broker: &TestBroker| {
        let clone = BrokerHandle::clone(broker);
        let mut peer = Peer::connected(&clone, V5, "c").await;
        drop(clone);
        peer.receive_nothing().await;
    })
    .await;
}
