//! T-137, T-139: a broker that breaks the rules is told so and left; the client reports it and neither panics nor grows.

use std::time::Duration;

use proptest::prelude::*;
use whinchat_client::{Client, ConnectError, DisconnectError, Interruption, Status};
use whinchat_codec::{Packet, SubAck};

use crate::broker::{Broker, Connection, Qos, broker, connected, id, message};

/// Sends bytes on a connection and gives the reason code that the client leaves with.
async fn leaves_with(connection: &mut Connection, client: &Client, bytes: &[u8]) -> u8 {
    let mut watch = client.watch();
    connection.send_bytes(bytes).await;
    let reason = match connection.expect().await {
        Packet::Disconnect(disconnect) => disconnect.reason.code(),
        other => panic!("expected DISCONNECT, got {other:?}"),
    };
    connection.expect_end().await;
    let status = watch.changed().await.unwrap();
    assert!(
        matches!(
            &status,
            Status::Waiting {
                because: Interruption::Disconnected(DisconnectError::Protocol(_)),
                ..
            }
        ),
        "{status:?}"
    );
    reason
}

async fn answer_before_connack(bytes: &'static [u8]) -> ConnectError {
    let (mut broker, options) = broker();
    let client = tokio::spawn(options.connect());
    let mut connection = broker.accept().await;
    connection.expect_connect().await;
    connection.send_bytes(bytes).await;
    client.await.unwrap().unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn suback_without_codes() {
    let (_broker, mut connection, client) = connected().await;
    let subscribing = tokio::spawn(client.subscribe("a").into_future());
    let subscribe = connection.expect_subscribe().await;
    let [high, low] = subscribe.packet_id.get().to_be_bytes();
    assert_eq!(
        leaves_with(&mut connection, &client, &[0x90, 3, high, low, 0]).await,
        0x82
    );
    // The call is not lost: it is asked again on the next connection.
    assert!(!subscribing.is_finished());
}

#[tokio::test(start_paused = true)]
async fn answers_to_nothing_do_no_harm() {
    let (_broker, mut connection, client) = connected().await;
    let (packet_id, properties) = (id(99), Default::default());
    connection
        .send(Packet::SubAck(SubAck {
            packet_id,
            properties,
            reasons: vec![whinchat_client::SubAckReason::GrantedQoS0],
        }))
        .await;
    connection.puback(id(98)).await;
    connection.send(crate::broker::pubcomp(id(97))).await;
    let (stream, _) = tokio::join!(client.subscribe("a"), connection.grant());
    assert!(stream.is_ok());
}

#[tokio::test(start_paused = true)]
async fn packets_before_connack() {
    let publish = answer_before_connack(&[0x30, 5, 0, 1, b'a', 0, b'x']).await;
    assert!(matches!(publish, ConnectError::Protocol(_)), "{publish}");
    let pingresp = answer_before_connack(&[0xD0, 0]).await;
    assert!(matches!(pingresp, ConnectError::Protocol(_)), "{pingresp}");
    let giant = answer_before_connack(&[0x20, 0xFF, 0xFF, 0xFF, 0x7F]).await;
    assert!(matches!(giant, ConnectError::Protocol(_)), "{giant}");
    // The beginning of a packet that never ends.
    let other_protocol = answer_before_connack(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert!(
        matches!(other_protocol, ConnectError::TimedOut { .. }),
        "{other_protocol}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_topic_alias() {
    let (_broker, mut connection, client) = connected().await;
    // PUBLISH, QoS 0, empty topic, alias 1, which was never defined.
    assert_eq!(
        leaves_with(&mut connection, &client, &[0x30, 6, 0, 0, 3, 0x23, 0, 1]).await,
        0x82
    );
}

#[tokio::test(start_paused = true)]
async fn a_topic_alias_above_the_maximum() {
    let (_broker, mut connection, client) = connected().await;
    let publish = [0x30, 7, 0, 1, b'a', 3, 0x23, 0, 200];
    assert_eq!(leaves_with(&mut connection, &client, &publish).await, 0x94);
}

#[tokio::test(start_paused = true)]
async fn a_packet_above_the_maximum_is_refused_at_its_header() {
    let (mut broker, options) = broker();
    let (mut connection, client) = broker.connect(options.maximum_packet_size(1000)).await;
    assert_eq!(
        leaves_with(&mut connection, &client, &[0x30, 0xFF, 0xFF, 0xFF, 0x7F]).await,
        0x95
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_connack() {
    let (_broker, mut connection, client) = connected().await;
    assert_eq!(
        leaves_with(&mut connection, &client, &[0x20, 3, 0, 0, 0]).await,
        0x82
    );
}

#[tokio::test(start_paused = true)]
async fn packets_that_only_clients_send() {
    let (_broker, mut connection, client) = connected().await;
    assert_eq!(
        leaves_with(&mut connection, &client, &[0xC0, 0]).await,
        0x82
    );
}

#[tokio::test(start_paused = true)]
async fn more_messages_than_the_receive_maximum() {
    let (mut broker, options) = broker();
    let (mut connection, _client) = broker.connect(options.receive_maximum(2)).await;
    for number in 1..=3 {
        connection.deliver(message("a", "x").qos1(number)).await;
    }
    assert!(matches!(connection.expect().await, Packet::Disconnect(d) if d.reason.code() == 0x93));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_hangs_up_at_once_is_not_asked_faster_and_faster() {
    let (mut broker, connection, _client) = connected().await;
    connection.cut();
    let start = tokio::time::Instant::now();
    for _ in 0..20 {
        let connection = broker.accept_new().await;
        connection.cut();
    }
    // Full jitter up to 2 min each: less than 5 min in sum is as good as impossible.
    assert!(
        start.elapsed() > Duration::from_secs(300),
        "{:?}",
        start.elapsed()
    );
}

// T-139
#[tokio::test(start_paused = true)]
async fn publish_and_subscribe_share_one_allocator_of_packet_ids() {
    let (_broker, mut connection, client) = connected().await;
    let mut used = std::collections::HashSet::new();
    for _ in 0..50 {
        drop(client.publish("a", "x").enqueue().unwrap());
        used.insert(
            connection
                .expect_publish()
                .await
                .guarantee
                .packet_id()
                .unwrap(),
        );
        drop(tokio::spawn(client.subscribe("a").into_future()));
        used.insert(connection.expect_subscribe().await.packet_id);
    }
    assert_eq!(used.len(), 100);
}

async fn survive(bytes: Vec<u8>) {
    let (mut broker, mut connection, client): (Broker, Connection, Client) = connected().await;
    let subscribing = tokio::spawn(client.subscribe("#").into_future());
    connection.expect_subscribe().await;
    drop(client.publish("a", "x").enqueue().unwrap());
    connection.expect_publish().await;
    connection.send_bytes(&bytes).await;
    drop(connection);
    // Whatever it was: the client comes back and works, unless it was told to stay away.
    let mut watch = client.watch();
    let mut next = tokio::select! {
        next = broker.accept_new() => next,
        _ = watch.closed() => return,
    };
    while !subscribing.is_finished() {
        match tokio::time::timeout(Duration::from_secs(1), next.expect()).await {
            Ok(Packet::Subscribe(subscribe)) => {
                next.suback(&subscribe, vec![whinchat_client::SubAckReason::GrantedQoS0])
                    .await;
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    assert!(client.status().is_connected());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_from_the_broker_are_survived(first in any::<u8>(), rest in proptest::collection::vec(any::<u8>(), 0..64)) {
        let length = u8::try_from(rest.len()).unwrap();
        let mut framed = vec![first, length];
        framed.extend(&rest);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            survive(framed).await;
            survive(rest).await;
        });
    }
}
