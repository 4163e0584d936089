//! T-141: the queue is bounded; publishing waits and enqueueing fails.

use std::time::Duration;

use whinchat_client::{PublishError, QoS};

use crate::broker::{broker, broker_with_buffer};

#[tokio::test(start_paused = true)]
async fn publish_waits_for_room_in_line_and_enqueue_fails_with_the_numbers() {
    let (mut broker, options) = broker();
    let client = options.queue_messages(2).start().unwrap();
    drop(client.publish("a", "1").enqueue().unwrap());
    drop(client.publish("a", "2").enqueue().unwrap());
    let third = tokio::spawn(client.publish("a", "3").into_future());
    tokio::task::yield_now().await;
    let error = client.publish("a", "4").enqueue().unwrap_err();
    assert!(
        matches!(
            error,
            PublishError::QueueFull {
                messages: 2,
                bytes: 4,
                messages_max: 2,
                ..
            }
        ),
        "{error}"
    );

    let mut connection = broker.accept_new().await;
    let one = connection.expect_publish().await;
    assert_eq!(&connection.expect_publish().await.payload[..], b"2");
    connection.expect_silence(Duration::from_secs(1)).await;
    connection.puback(one.guarantee.packet_id().unwrap()).await;
    let three = connection.expect_publish().await;
    assert_eq!(&three.payload[..], b"3");
    connection
        .puback(three.guarantee.packet_id().unwrap())
        .await;
    third.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn bytes_are_bounded_too() {
    let (_broker, options) = broker();
    let client = options.queue_bytes(10).start().unwrap();
    drop(client.publish("a", "12345").enqueue().unwrap());
    assert!(matches!(
        client.publish("a", "12345").enqueue(),
        Err(PublishError::QueueFull { bytes: 6, .. })
    ));
    drop(client.publish("a", "123").enqueue().unwrap());
    let error = client.publish("a", "1234567890").await.unwrap_err();
    assert!(
        matches!(
            error,
            PublishError::LargerThanQueue {
                size: 11,
                limit: 10
            }
        ),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_read_holds_back_publishers_of_qos_0() {
    let (mut broker, options) = broker_with_buffer(1000);
    let (_connection, client) = broker.connect(options.queue_messages(100)).await;
    let mut accepted = 0;
    let error = loop {
        match client
            .publish("a", vec![0; 10_000])
            .qos(QoS::AtMostOnce)
            .enqueue()
        {
            Ok(completion) => drop(completion),
            Err(error) => break error,
        }
        accepted += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert!(matches!(error, PublishError::QueueFull { .. }), "{error}");
    assert_eq!(accepted, 100);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_in_line_learns_of_the_end() {
    let (_broker, options) = broker();
    let client = options.queue_messages(1).start().unwrap();
    drop(client.publish("a", "1").enqueue().unwrap());
    let waiting = tokio::spawn(client.publish("a", "2").into_future());
    tokio::task::yield_now().await;
    let report = client.close().await;
    assert_eq!(report.unsent.len(), 1);
    assert!(matches!(
        waiting.await.unwrap(),
        Err(PublishError::Closed(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn everything_that_waited_for_a_slow_broker_is_sent_in_order() {
    let (mut broker, options) = broker_with_buffer(1000);
    let (mut connection, client) = broker.connect(options).await;
    let publishes: Vec<_> = (0..200_u8)
        .map(|n| client.publish("a", vec![n; 10_000]).enqueue().unwrap())
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    for n in 0..200_u8 {
        let publish = connection.expect_publish().await;
        assert_eq!(publish.payload[0], n);
        connection
            .puback(publish.guarantee.packet_id().unwrap())
            .await;
    }
    for publish in publishes {
        publish.await.unwrap();
    }
}
