//! T-145: any future may be dropped at any await: nothing is lost, nothing doubled, no packet id is kept.
//!
//! Each future is polled a given number of times, with the client getting all the time it wants in between, and then dropped.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use whinchat_client::Client;
use whinchat_codec::{Packet, UnsubAck, UnsubAckReason};

use crate::broker::{Connection, Qos, broker, connected, message, text};

/// More polls than any of these futures needs.
const POLLS_MAX: usize = 4;

/// Polls so often, and drops. Says whether the future was done before.
async fn poll_and_drop(future: impl Future, polls: usize) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        if future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
        {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

/// Everything the client sends within a moment; each request is answered.
async fn answered(connection: &mut Connection) -> Vec<String> {
    let mut seen = Vec::new();
    while let Ok(packet) = tokio::time::timeout(Duration::from_secs(1), connection.expect()).await {
        seen.push(match packet {
            Packet::Publish(publish) => {
                if let Some(id) = publish.guarantee.packet_id() {
                    connection.puback(id).await;
                }
                format!("publish {}", String::from_utf8_lossy(&publish.payload))
            }
            Packet::Subscribe(subscribe) => {
                let granted = vec![whinchat_client::SubAckReason::GrantedQoS1];
                connection.suback(&subscribe, granted).await;
                format!("subscribe {}", subscribe.subscriptions[0].filter)
            }
            Packet::Unsubscribe(unsubscribe) => {
                let (packet_id, properties) = (unsubscribe.packet_id, Default::default());
                let reasons = vec![UnsubAckReason::Success];
                connection
                    .send(Packet::UnsubAck(UnsubAck {
                        packet_id,
                        properties,
                        reasons,
                    }))
                    .await;
                format!("unsubscribe {}", unsubscribe.filters[0])
            }
            other => format!("{other:?}"),
        });
    }
    seen
}

/// The client still works, and its packet ids start over.
async fn assert_works(client: &Client, connection: &mut Connection) {
    let (outcome, ()) = tokio::join!(client.publish("check", "works"), async {
        let publish = connection.expect_publish().await;
        assert_eq!(&publish.payload[..], b"works");
        connection
            .puback(publish.guarantee.packet_id().unwrap())
            .await;
    });
    outcome.unwrap();
}

#[tokio::test(start_paused = true)]
async fn publish_goes_once_if_it_was_polled_and_never_if_not() {
    for polls in 0..POLLS_MAX {
        let (_broker, mut connection, client) = connected().await;
        poll_and_drop(client.publish("a", "x").into_future(), polls).await;
        let expected = if polls == 0 {
            vec![]
        } else {
            vec!["publish x"]
        };
        assert_eq!(answered(&mut connection).await, expected, "{polls} polls");
        assert_works(&client, &mut connection).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_waits_for_room_sends_nothing_and_makes_way() {
    for polls in 0..POLLS_MAX {
        let (mut broker, options) = broker();
        let (mut connection, client) = broker.connect(options.queue_messages(1)).await;
        let first = client.publish("a", "first").enqueue().unwrap();
        poll_and_drop(client.publish("a", "waits").into_future(), polls).await;
        let third = tokio::spawn(client.publish("a", "third").into_future());
        assert_eq!(
            answered(&mut connection).await,
            ["publish first", "publish third"],
            "{polls} polls"
        );
        first.await.unwrap();
        third.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_completion_changes_nothing() {
    for polls in 0..POLLS_MAX {
        let (_broker, mut connection, client) = connected().await;
        poll_and_drop(client.publish("a", "x").enqueue().unwrap(), polls).await;
        assert_eq!(answered(&mut connection).await, ["publish x"]);
        assert_works(&client, &mut connection).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_subscribe_leaves_nothing_subscribed() {
    for polls in 0..POLLS_MAX {
        let (_broker, mut connection, client) = connected().await;
        poll_and_drop(client.subscribe("a").into_future(), polls).await;
        let expected = if polls == 0 {
            vec![]
        } else {
            vec!["subscribe a", "unsubscribe a"]
        };
        assert_eq!(answered(&mut connection).await, expected, "{polls} polls");
        assert_works(&client, &mut connection).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscribe_that_is_dropped_after_its_answer_leaves_nothing_subscribed() {
    let (_broker, mut connection, client) = connected().await;
    let mut subscribing = Box::pin(client.subscribe("a").into_future());
    assert!(
        subscribing
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    connection.grant().await;
    connection.expect_silence(Duration::from_secs(1)).await;
    drop(subscribing); // the answer is there and was never looked at
    assert_eq!(answered(&mut connection).await, ["unsubscribe a"]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_unsubscribe_still_unsubscribes_once_it_was_polled() {
    for polls in 0..POLLS_MAX {
        let (_broker, mut connection, client) = connected().await;
        poll_and_drop(client.unsubscribe("a"), polls).await;
        let expected = if polls == 0 {
            vec![]
        } else {
            vec!["unsubscribe a"]
        };
        assert_eq!(answered(&mut connection).await, expected, "{polls} polls");
        assert_works(&client, &mut connection).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_next_loses_no_message_and_acknowledges_none() {
    let (_broker, mut connection, client) = connected().await;
    let (stream, _) = tokio::join!(client.subscribe("a"), connection.grant());
    let mut stream = stream.unwrap();
    poll_and_drop(stream.next(), 2).await;
    connection.deliver(message("a", "1").qos1(1)).await;
    connection.expect_silence(Duration::from_secs(1)).await;
    poll_and_drop(stream.next(), 0).await;
    assert_eq!(text(&stream.next().await.unwrap()), "a=1");
    connection.expect_silence(Duration::from_secs(1)).await;
    poll_and_drop(stream.next(), 2).await;
    connection.expect_puback(1).await;
    connection.deliver(message("a", "2").qos1(2)).await;
    assert_eq!(text(&stream.next().await.unwrap()), "a=2");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_forgets_itself() {
    for polls in 0..POLLS_MAX {
        let (_broker, mut connection, client) = connected().await;
        poll_and_drop(client.request("ask", "x").into_future(), polls).await;
        answered(&mut connection).await;
        let request = tokio::spawn(
            client
                .request("ask", "y")
                .response_topic("answers")
                .into_future(),
        );
        assert!(
            answered(&mut connection)
                .await
                .contains(&"publish y".to_owned()),
            "{polls} polls"
        );
        request.abort();
        assert_works(&client, &mut connection).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_connect_gives_up() {
    for polls in 0..POLLS_MAX {
        let (mut broker, options) = broker();
        poll_and_drop(options.connect(), polls).await;
        if polls == 0 {
            assert!(!broker.is_tried_within(Duration::from_secs(600)).await);
        } else {
            let mut connection = broker.accept().await;
            connection.expect_connect().await;
            connection.expect_end().await;
            assert!(!broker.is_tried_within(Duration::from_secs(600)).await);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_close_still_closes_once_it_was_polled() {
    for polls in 1..POLLS_MAX {
        let (_broker, mut connection, client) = connected().await;
        poll_and_drop(client.close(), polls).await;
        assert!(matches!(connection.expect().await, Packet::Disconnect(_)));
        connection.expect_end().await;
        drop(connection);
        client.watch().closed().await;
    }
}
