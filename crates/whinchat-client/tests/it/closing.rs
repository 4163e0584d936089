//! The end: in order, with a report, or without a word.

use std::time::Duration;

use tokio::time::Instant;
use whinchat_client::{CloseReason, DisconnectReason, PublishError, QoS, Status};
use whinchat_codec::{Packet, ProtocolVersion};

use crate::broker::{Qos, broker, connected, connected_in, message};

#[tokio::test(start_paused = true)]
async fn close_waits_for_what_is_under_way_and_says_goodbye() {
    let (_broker, mut connection, client) = connected().await;
    let publish = tokio::spawn(client.publish("a", "x").into_future());
    let packet_id = connection
        .expect_publish()
        .await
        .guarantee
        .packet_id()
        .unwrap();
    let closing = tokio::spawn({
        let client = client.clone();
        async move { client.close().await }
    });
    connection.expect_silence(Duration::from_secs(1)).await;
    assert!(matches!(
        client.publish("b", "too late").await,
        Err(PublishError::Closed(_))
    ));
    connection.puback(packet_id).await;
    publish.await.unwrap().unwrap();
    let Packet::Disconnect(disconnect) = connection.expect().await else {
        panic!("expected DISCONNECT")
    };
    assert_eq!(disconnect.reason, DisconnectReason::NormalDisconnection);
    connection.expect_end().await;
    drop(connection);
    assert!(closing.await.unwrap().is_complete());
    assert!(matches!(
        client.status(),
        Status::Closed(CloseReason::ByApplication)
    ));
}

#[tokio::test(start_paused = true)]
async fn close_gives_up_in_time_and_says_what_was_not_sent() {
    let (mut broker, options) = broker();
    let (mut connection, client) = broker
        .connect(options.close_timeout(Duration::from_secs(3)))
        .await;
    let in_flight = client.publish("a", "in flight").enqueue().unwrap();
    let exactly_once = client
        .publish("a", "exactly once")
        .qos(QoS::ExactlyOnce)
        .enqueue()
        .unwrap();
    connection.expect_publish().await;
    connection.expect_publish().await;
    let start = Instant::now();
    let report = client.close().await;
    assert!(start.elapsed() >= Duration::from_secs(3));
    assert!(report.unsent.is_empty());
    let mut left: Vec<_> = report
        .unacknowledged
        .iter()
        .map(|message| message.payload.clone())
        .collect();
    left.sort();
    assert_eq!(left, ["exactly once", "in flight"]);
    assert!(matches!(
        in_flight.await,
        Err(PublishError::Closed(CloseReason::ByApplication))
    ));
    assert!(exactly_once.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn disconnect_does_not_wait_for_acks_but_sends_what_was_accepted() {
    let (_broker, mut connection, client) = connected().await;
    let message = client.publish("a", "x").enqueue().unwrap();
    let (report, ()) = tokio::join!(client.disconnect(), async {
        assert_eq!(&connection.expect_publish().await.payload[..], b"x");
        assert!(matches!(connection.expect().await, Packet::Disconnect(_)));
        connection.expect_end().await;
        drop(connection);
    });
    assert_eq!(report.unacknowledged.len(), 1);
    assert!(message.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn without_a_connection_everything_is_reported_unsent_in_order() {
    let (_broker, connection, client) = connected().await;
    connection.cut();
    let mut watch = client.watch();
    while client.status().is_connected() {
        watch.changed().await.unwrap();
    }
    for payload in ["1", "2", "3"] {
        drop(client.publish("a", payload).retain(true).enqueue().unwrap());
    }
    let report = client.close().await;
    let left: Vec<_> = report
        .unsent
        .iter()
        .map(|message| message.payload.clone())
        .collect();
    assert_eq!(left, ["1", "2", "3"]);
    assert!(report.unsent[0].retain);
}

#[tokio::test(start_paused = true)]
async fn acks_of_what_was_read_leave_before_the_goodbye() {
    let (_broker, mut connection, client) = connected().await;
    let (stream, _) = tokio::join!(client.subscribe("a"), connection.grant());
    let mut stream = stream.unwrap();
    connection.deliver(message("a", "x").qos1(1)).await;
    stream.next().await.unwrap();
    stream.acknowledge();
    let (_, ()) = tokio::join!(client.disconnect(), async {
        connection.expect_puback(1).await;
        assert!(matches!(connection.expect().await, Packet::Disconnect(_)));
    });
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_ends_the_connection_without_disconnect() {
    for version in [ProtocolVersion::V311, ProtocolVersion::V5] {
        let (_broker, mut connection, client) = connected_in(version).await;
        let (stream, _) = tokio::join!(client.subscribe("a"), connection.grant());
        let mut stream = stream.unwrap();
        let clone = client.clone();
        drop(client);
        connection.expect_silence(Duration::from_secs(1)).await;
        drop(clone);
        connection.expect_end().await;
        assert!(
            stream.next().await.is_none(),
            "a stream does not keep the client"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn closing_twice_closes_once() {
    let (_broker, mut connection, client) = connected().await;
    let clone = client.clone();
    let (one, other, ()) = tokio::join!(client.close(), clone.close(), async {
        assert!(matches!(connection.expect().await, Packet::Disconnect(_)));
        connection.expect_end().await;
        drop(connection);
    });
    assert!(one.is_complete() && other.is_complete());
    assert!(client.close().await.is_complete());
}

#[test]
fn the_end_of_the_runtime_is_the_end_of_the_client() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (client, publish, subscription) = runtime.block_on(async {
        let (_broker, mut connection, client) = connected().await;
        let (stream, _) = tokio::join!(client.subscribe("a"), connection.grant());
        (
            client.clone(),
            client.publish("a", "x").enqueue().unwrap(),
            stream.unwrap(),
        )
    });
    drop(runtime);
    let mut subscription = subscription;
    let other = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    other.block_on(async {
        assert!(matches!(
            publish.await,
            Err(PublishError::Closed(CloseReason::RuntimeEnded))
        ));
        assert!(client.publish("a", "y").await.is_err());
        assert!(subscription.next().await.is_none());
        assert!(matches!(
            client.status(),
            Status::Closed(CloseReason::RuntimeEnded)
        ));
    });
}
