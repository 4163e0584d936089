//! The same over real sockets: TCP on IPv4 and IPv6, Unix sockets.

use std::{io, net::Ipv6Addr, os::unix::fs::FileTypeExt};

use tokio::io::AsyncWriteExt;
use whinchat_broker::{Broker, StartError};
use whinchat_codec::{ConnAckReason, Packet, QoS};
use whinchat_transport::Endpoint;

use crate::{
    harness::{TestBroker, on_every_broker_with},
    peer::{Peer, Refine, V5, V31, V311, connect, puback, publish, will},
};

fn on_ipv4(builder: Broker) -> Broker {
    builder.listen(Endpoint::tcp("127.0.0.1", 0))
}

/// Logs in, and sends and receives at every QoS.
async fn converse(mut peer: Peer, client_id: &str) {
    let connack = peer.log_in(connect(peer.version(), client_id)).await;
    assert_eq!(connack.reason, ConnAckReason::Success);
    peer.subscribe(client_id, QoS::ExactlyOnce).await;
    peer.send(publish(client_id, "0")).await;
    peer.take_payloads(&["0"]).await;
    peer.send(publish(client_id, "1").at_least_once(1)).await;
    peer.receive_before_more_messages(puback(1)).await;
    peer.take_payloads(&["1"]).await;
    let large = "x".repeat(500_000);
    peer.send(publish(client_id, &large).at_least_once(1)).await;
    peer.receive_before_more_messages(puback(1)).await;
    assert_eq!(peer.take().await.payload.len(), large.len());
    peer.disconnect().await;
}

async fn converse_in_every_version(broker: &TestBroker, endpoint: &Endpoint) {
    for version in [V31, V311, V5] {
        for id in ["a", "b", "c"] {
            converse(Peer::at(endpoint, version).await, id).await;
        }
    }
    broker.settle().await;
}

/// v5 [MQTT-4.2.0-1], v311 [MQTT-7.1.1-1]
#[tokio::test]
async fn tcp() {
    on_every_broker_with(on_ipv4, async |broker| {
        let endpoint = &broker.local_endpoints()[0];
        assert!(matches!(endpoint, Endpoint::Tcp { port, .. } if *port != 0));
        converse_in_every_version(broker, endpoint).await;
    })
    .await;
}

#[tokio::test]
async fn ipv6() {
    // Where the machine has no IPv6 there is nothing to show.
    if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return;
    }
    let on_ipv6 = |builder: Broker| builder.listen(Endpoint::tcp("::1", 0));
    on_every_broker_with(on_ipv6, async |broker| {
        converse_in_every_version(broker, &broker.local_endpoints()[0]).await;
    })
    .await;
}

#[tokio::test]
async fn unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mqtt.sock");
    let on_unix = |builder: Broker| builder.listen(Endpoint::unix(&path));
    on_every_broker_with(on_unix, async |broker| {
        let file = std::fs::symlink_metadata(&path).unwrap();
        assert!(file.file_type().is_socket());
        converse_in_every_version(broker, &broker.local_endpoints()[0]).await;
    })
    .await;
    assert!(!path.exists(), "the file goes with the broker");
}

#[tokio::test]
async fn several_listeners_reach_the_same_topics() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mqtt.sock");
    let on_both = |builder: Broker| on_ipv4(builder).listen(Endpoint::unix(&path));
    on_every_broker_with(on_both, async |broker| {
        let [tcp, unix] = broker.local_endpoints() else {
            panic!("two listeners")
        };
        let mut subscriber = Peer::at(tcp, V5).await;
        subscriber.log_in(connect(V5, "s")).await;
        subscriber.subscribe("t", QoS::AtMostOnce).await;
        let mut publisher = Peer::at(unix, V5).await;
        publisher.log_in(connect(V5, "p")).await;
        publisher.publish_acked("t", "x").await;
        subscriber.take_payloads(&["x"]).await;
    })
    .await;
}

#[tokio::test]
async fn one_byte_at_a_time() {
    on_every_broker_with(on_ipv4, async |broker| {
        let mut peer = Peer::over_tcp(broker, V5).await;
        let mut bytes = bytes::BytesMut::new();
        Packet::Connect(Box::new(connect(V5, "c")))
            .encode(V5, &mut bytes)
            .unwrap();
        Packet::Publish(publish("t", "x").at_least_once(1))
            .encode(V5, &mut bytes)
            .unwrap();
        for byte in &bytes {
            peer.send_bytes(&[*byte]).await;
        }
        assert!(matches!(peer.receive().await, Packet::ConnAck(_)));
        assert!(matches!(peer.receive().await, Packet::PubAck(_)));
    })
    .await;
}

#[tokio::test]
async fn a_reset_is_the_end_as_any_other() {
    on_every_broker_with(on_ipv4, async |broker| {
        let mut watcher = Peer::connected(broker, V5, "w").await;
        watcher.subscribe("#", QoS::AtMostOnce).await;
        for id in ["a", "b", "c"] {
            let mut peer = Peer::over_tcp(broker, V5).await;
            let mut with_will = connect(V5, id);
            with_will.will = Some(will("gone", id));
            peer.log_in(with_will).await;
            peer.publish_read(publish("t", "before")).await;
            watcher.take_payloads(&["before"]).await;
            peer.reset();
            watcher.take_payloads(&[id]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_closes_its_half_gets_what_it_asked_for_and_is_closed() {
    on_every_broker_with(on_ipv4, async |broker| {
        let Endpoint::Tcp { host, port } = &broker.local_endpoints()[0] else {
            panic!("a TCP listener")
        };
        let mut socket = tokio::net::TcpStream::connect((host.as_str(), *port))
            .await
            .unwrap();
        let mut bytes = bytes::BytesMut::new();
        Packet::Connect(Box::new(connect(V311, "c")))
            .encode(V311, &mut bytes)
            .unwrap();
        socket.write_all(&bytes).await.unwrap();
        let mut connack = [0; 4];
        tokio::io::AsyncReadExt::read_exact(&mut socket, &mut connack)
            .await
            .unwrap();
        socket.shutdown().await.unwrap();
        let mut rest = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut rest)
            .await
            .unwrap();
        assert!(rest.is_empty());
    })
    .await;
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Broker::builder()
        .listen(Endpoint::tcp("127.0.0.1", port))
        .start()
        .unwrap_err();
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    let StartError::Listen(error) = error else {
        panic!("expected a listener's error, got {error:?}")
    };
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn a_listener_open_to_the_network_needs_a_login() {
    let error = Broker::builder()
        .listen(Endpoint::tcp("0.0.0.0", 0))
        .start()
        .unwrap_err();
    assert!(matches!(error, StartError::Settings(_)), "{error:?}");
    assert!(error.is_configuration());
}
