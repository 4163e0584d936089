//! When messages of QoS 1 and 2 are acknowledged, and what waits when they are not.

use std::time::Duration;

use whinchat_client::{Client, ProtocolVersion, Subscription};
use whinchat_codec::{Packet, PubRel, PubRelReason};

use crate::broker::{Broker, Connection, Qos, broker, connected, connected_in, id, message, text};

const MOMENT: Duration = Duration::from_secs(1);

async fn subscribed() -> (Broker, Connection, Client, Subscription) {
    let (broker, mut connection, client) = connected().await;
    let (stream, _) = tokio::join!(client.subscribe("a/#"), connection.grant());
    (broker, connection, client, stream.unwrap())
}

#[tokio::test(start_paused = true)]
async fn asking_for_the_next_message_acknowledges_the_one_before() {
    let (_broker, mut connection, _client, mut stream) = subscribed().await;
    connection.deliver(message("a/1", "x").qos1(7)).await;
    connection.deliver(message("a/2", "x").qos1(8)).await;
    connection.expect_silence(MOMENT).await;
    stream.next().await.unwrap();
    connection.expect_silence(MOMENT).await;
    stream.next().await.unwrap();
    connection.expect_puback(7).await;
    connection.expect_silence(MOMENT).await;
    stream.acknowledge();
    connection.expect_puback(8).await;
}

/// v5 [MQTT-4.5.0-2]
#[tokio::test(start_paused = true)]
async fn qos_2_is_received_once_and_completed() {
    let (_broker, mut connection, _client, mut stream) = subscribed().await;
    connection.deliver(message("a/1", "x").qos2(7)).await;
    stream.next().await.unwrap();
    stream.acknowledge();
    assert!(
        matches!(connection.expect().await, Packet::PubRec(pubrec) if pubrec.packet_id == id(7))
    );
    connection.deliver(message("a/1", "x").qos2(7).dup()).await;
    assert!(
        matches!(connection.expect().await, Packet::PubRec(pubrec) if pubrec.packet_id == id(7))
    );
    assert_eq!(stream.waiting(), 0);
    let (packet_id, reason) = (id(7), PubRelReason::Success);
    connection
        .send(Packet::PubRel(PubRel {
            packet_id,
            reason,
            properties: Default::default(),
        }))
        .await;
    assert!(
        matches!(connection.expect().await, Packet::PubComp(pubcomp) if pubcomp.packet_id == id(7))
    );
}

#[tokio::test(start_paused = true)]
async fn overlapping_streams_are_acknowledged_after_all_of_them() {
    let (_broker, mut connection, client, mut one) = subscribed().await;
    let (other, _) = tokio::join!(client.subscribe("a/+"), connection.grant());
    let mut other = other.unwrap();
    connection
        .deliver(message("a/b", "x").qos1(7).identified(1).identified(2))
        .await;
    one.next().await.unwrap();
    one.acknowledge();
    connection.expect_silence(MOMENT).await;
    other.next().await.unwrap();
    connection.expect_silence(MOMENT).await;
    other.acknowledge();
    connection.expect_puback(7).await;
}

// v5 [MQTT-4.6.0-2]
#[tokio::test(start_paused = true)]
async fn manual_acks_leave_in_the_order_of_the_messages() {
    let (_broker, mut connection, client) = connected().await;
    let (stream, _) = tokio::join!(client.subscribe("a/#").manual_acks(), connection.grant());
    let mut stream = stream.unwrap();
    for number in [7, 3, 5] {
        connection.deliver(message("a/b", "x").qos1(number)).await;
    }
    let mut first = stream.next().await.unwrap();
    let mut second = stream.next().await.unwrap();
    let mut third = stream.next().await.unwrap();
    third.acknowledge();
    second.acknowledge();
    connection.expect_silence(MOMENT).await;
    first.acknowledge();
    first.acknowledge(); // once more does nothing
    for number in [7, 3, 5] {
        connection.expect_puback(number).await;
    }
    connection.expect_silence(MOMENT).await;
}

// T-146
#[tokio::test(start_paused = true)]
async fn an_application_that_reads_slowly_closes_the_window_while_everything_else_goes_on() {
    let (mut broker, options) = broker();
    let options = options
        .receive_maximum(2)
        .keep_alive(Duration::from_secs(10));
    let client = tokio::spawn(options.connect());
    let mut connection = broker.accept().await;
    assert_eq!(
        connection
            .expect_connect()
            .await
            .properties
            .receive_maximum(),
        Some(2)
    );
    connection.connack(false, Default::default()).await;
    let client = client.await.unwrap().unwrap();
    let (stream, _) = tokio::join!(client.subscribe("a"), connection.grant());
    let mut stream = stream.unwrap();
    connection.deliver(message("a", "1").qos1(1)).await;
    connection.deliver(message("a", "2").qos1(2)).await;
    // For a minute: pings are answered inside, and no ack leaves.
    connection.expect_silence(Duration::from_secs(60)).await;
    assert!(client.status().is_connected());
    let publish = tokio::spawn(client.publish("b", "x").into_future());
    let sent = connection.expect_publish().await;
    connection.puback(sent.guarantee.packet_id().unwrap()).await;
    publish.await.unwrap().unwrap();
    stream.next().await.unwrap();
    stream.next().await.unwrap();
    connection.expect_puback(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_wait_for_acks_is_disconnected_at_the_limit() {
    let (mut broker, options) = broker();
    let options = options.unread_bytes(10);
    let (mut connection, client) = broker.connect(options).await;
    let (stream, _) = tokio::join!(client.subscribe("a"), connection.grant());
    connection.deliver(message("a", "12345").qos1(1)).await;
    connection.deliver(message("a", "12345").qos1(2)).await;
    assert!(matches!(connection.expect().await, Packet::Disconnect(d) if d.reason.code() == 0x97));
    connection.expect_end().await;
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_stream_had_not_handed_out_goes_to_unclaimed() {
    let (_broker, mut connection, client, mut stream) = subscribed().await;
    for (number, payload) in [(1, "handed out"), (2, "waiting"), (3, "waiting too")] {
        connection
            .deliver(message("a/b", payload).qos1(number))
            .await;
    }
    assert_eq!(text(&stream.next().await.unwrap()), "a/b=handed out");
    stream.acknowledge();
    connection.expect_puback(1).await;
    drop(stream);
    let mut unclaimed = client.unclaimed();
    assert_eq!(text(&unclaimed.next().await.unwrap()), "a/b=waiting");
    assert_eq!(text(&unclaimed.next().await.unwrap()), "a/b=waiting too");
    connection.expect_puback(2).await;
    // Dropping a stream does not unsubscribe: what comes later is nobody's, too.
    connection.deliver(message("a/b", "later").qos1(4)).await;
    assert_eq!(text(&unclaimed.next().await.unwrap()), "a/b=later");
    connection.expect_puback(3).await;
}

/// v5 [MQTT-4.5.0-2]
#[tokio::test(start_paused = true)]
async fn unsubscribing_a_stream_acknowledges_what_nobody_wants_any_more() {
    let (_broker, mut connection, _client, mut stream) = subscribed().await;
    connection
        .deliver(message("a/b", "handed out").qos1(1))
        .await;
    connection.deliver(message("a/b", "waiting").qos1(2)).await;
    stream.next().await.unwrap();
    let unsubscribing = tokio::spawn(stream.unsubscribe());
    let Packet::Unsubscribe(unsubscribe) = connection.expect().await else {
        panic!("expected UNSUBSCRIBE")
    };
    let unsuback = whinchat_codec::UnsubAck {
        packet_id: unsubscribe.packet_id,
        properties: Default::default(),
        reasons: vec![whinchat_client::UnsubAckReason::Success],
    };
    connection.send(Packet::UnsubAck(unsuback)).await;
    unsubscribing.await.unwrap().unwrap();
    connection.expect_puback(1).await;
    connection.expect_puback(2).await;
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_resumed_session_wait_in_unclaimed_until_somebody_wants_them() {
    let (mut broker, options) = broker();
    let options = options
        .clean_start(false)
        .session_expiry(Duration::from_secs(60));
    let (mut connection, client) = tokio::join!(broker.accept_resumed(), options.connect());
    let client = client.unwrap();
    connection
        .deliver(message("a/1", "for the stream").qos1(1))
        .await;
    connection.deliver(message("b", "for nobody").qos1(2)).await;
    connection
        .deliver(message("a/2", "for the stream too").qos1(3))
        .await;
    connection.expect_silence(MOMENT).await;

    // A stream whose filter matches gets what waited for it, before anything newer.
    let (stream, _) = tokio::join!(client.subscribe("a/+"), connection.grant());
    let mut stream = stream.unwrap();
    assert_eq!(text(&stream.next().await.unwrap()), "a/1=for the stream");
    assert_eq!(
        text(&stream.next().await.unwrap()),
        "a/2=for the stream too"
    );
    connection.expect_puback(1).await;

    let mut unclaimed = client.unclaimed();
    assert_eq!(text(&unclaimed.next().await.unwrap()), "b=for nobody");
    unclaimed.acknowledge();
    connection.expect_puback(2).await;
}

#[tokio::test(start_paused = true)]
async fn topic_aliases_of_the_broker_are_resolved() {
    let (_broker, mut connection, _client, mut stream) = subscribed().await;
    let mut defining = message("a/b", "1");
    defining.properties.set_topic_alias(1).unwrap();
    let mut reusing = message("", "2");
    reusing.properties.set_topic_alias(1).unwrap();
    connection.deliver(defining).await;
    connection.deliver(reusing).await;
    assert_eq!(text(&stream.next().await.unwrap()), "a/b=1");
    assert_eq!(text(&stream.next().await.unwrap()), "a/b=2");
}

/// v5 [MQTT-4.5.0-2], v311 [MQTT-4.5.0-2]
#[tokio::test(start_paused = true)]
async fn all_versions_acknowledge_alike() {
    for version in [
        ProtocolVersion::V31,
        ProtocolVersion::V311,
        ProtocolVersion::V5,
    ] {
        let (_broker, mut connection, client) = connected_in(version).await;
        let (stream, _) = tokio::join!(client.subscribe("a"), connection.grant());
        let mut stream = stream.unwrap();
        connection.deliver(message("a", "x").qos1(9)).await;
        stream.next().await.unwrap();
        stream.acknowledge();
        connection.expect_puback(9).await;
    }
}
