//! What survives the end of a connection, and when the next one comes.

use std::time::Duration;

use tokio::time::Instant;
use whinchat_client::{
    Client, ClientOptions, CloseReason, ConnAckReason, DisconnectError, DisconnectReason,
    Interruption, QoS, ReconnectPolicy, Status,
};
use whinchat_codec::{Disconnect, Packet, PubRel, SubAckReason};

use crate::broker::{
    Broker, Connection, Qos, broker, connected, id, message, pubcomp, pubrec, text,
};

/// A client whose session outlives its connections.
async fn resumable() -> (Broker, Connection, Client) {
    let (mut broker, options) = broker();
    let (connection, client) = broker.connect(with_session(options)).await;
    (broker, connection, client)
}

fn with_session(options: ClientOptions) -> ClientOptions {
    options.session_expiry(Duration::from_secs(3600))
}

#[tokio::test(start_paused = true)]
async fn later_connections_ask_for_the_session() {
    let (mut broker, options) = broker();
    let client = tokio::spawn(with_session(options).connect());
    let mut connection = broker.accept().await;
    assert!(connection.expect_connect().await.clean_start);
    connection.connack(false, Default::default()).await;
    let _client = client.await.unwrap().unwrap();
    connection.cut();
    assert!(!broker.accept().await.expect_connect().await.clean_start);
}

#[tokio::test(start_paused = true)]
async fn qos_1_in_flight_is_sent_again_with_its_id_and_dup() {
    let (mut broker, mut connection, client) = resumable().await;
    let publish = tokio::spawn(client.publish("a", "x").into_future());
    let first = connection.expect_publish().await;
    connection.cut();
    let mut connection = broker.accept_resumed().await;
    let second = connection.expect_publish().await;
    assert_eq!(second.guarantee.packet_id(), first.guarantee.packet_id());
    assert!(second.guarantee.dup());
    connection
        .puback(second.guarantee.packet_id().unwrap())
        .await;
    publish.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn qos_2_goes_on_where_it_was() {
    let (mut broker, mut connection, client) = resumable().await;
    let publish = tokio::spawn(client.publish("a", "x").qos(QoS::ExactlyOnce).into_future());
    let packet_id = connection
        .expect_publish()
        .await
        .guarantee
        .packet_id()
        .unwrap();
    connection.send(pubrec(packet_id)).await;
    assert!(matches!(connection.expect().await, Packet::PubRel(_)));
    connection.cut();
    let mut connection = broker.accept_resumed().await;
    assert!(
        matches!(connection.expect().await, Packet::PubRel(PubRel { packet_id: id, .. }) if id == packet_id)
    );
    connection.send(pubcomp(packet_id)).await;
    publish.await.unwrap().unwrap();
}

// T-138
#[tokio::test(start_paused = true)]
async fn when_the_session_is_lost_what_was_in_flight_is_published_again() {
    let (mut broker, mut connection, client) = resumable().await;
    let one = tokio::spawn(client.publish("a", "1").into_future());
    connection.expect_publish().await;
    let two = tokio::spawn(client.publish("a", "2").qos(QoS::ExactlyOnce).into_future());
    connection.expect_publish().await;
    let taken_over = tokio::spawn(client.publish("a", "3").qos(QoS::ExactlyOnce).into_future());
    let packet_id = connection
        .expect_publish()
        .await
        .guarantee
        .packet_id()
        .unwrap();
    connection.send(pubrec(packet_id)).await;
    assert!(matches!(connection.expect().await, Packet::PubRel(_)));
    connection.cut();

    let mut connection = broker.accept_new().await;
    let again = connection.expect_publish().await;
    assert_eq!(&again.payload[..], b"1");
    assert!(!again.guarantee.dup());
    connection
        .puback(again.guarantee.packet_id().unwrap())
        .await;
    let again = connection.expect_publish().await;
    assert_eq!(&again.payload[..], b"2");
    connection
        .complete_qos2(again.guarantee.packet_id().unwrap())
        .await;
    one.await.unwrap().unwrap();
    two.await.unwrap().unwrap();
    // The broker took this one over before it forgot the exchange.
    taken_over.await.unwrap().unwrap();
    connection.expect_silence(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn messages_accepted_while_there_is_no_connection_go_in_order() {
    let (mut broker, connection, client) = connected().await;
    connection.cut();
    let mut watch = client.watch();
    while client.status().is_connected() {
        watch.changed().await.unwrap();
    }
    for n in 0..10 {
        let qos = if n % 2 == 0 {
            QoS::AtMostOnce
        } else {
            QoS::AtLeastOnce
        };
        drop(
            client
                .publish("a", format!("{n}"))
                .qos(qos)
                .enqueue()
                .unwrap(),
        );
    }
    let mut connection = broker.accept_new().await;
    for n in 0..10 {
        assert_eq!(connection.expect_publish().await.payload, format!("{n}"));
    }
}

#[tokio::test(start_paused = true)]
async fn qos_0_that_was_not_written_is_sent_on_the_next_connection() {
    let (mut broker, options) = crate::broker::broker_with_buffer(200);
    let (connection, client) = broker.connect(options).await;
    let large = tokio::spawn(
        client
            .publish("a", vec![b'x'; 1000])
            .qos(QoS::AtMostOnce)
            .into_future(),
    );
    let small = tokio::spawn(
        client
            .publish("a", "small")
            .qos(QoS::AtMostOnce)
            .into_future(),
    );
    tokio::time::sleep(Duration::from_secs(1)).await; // the buffer is full, and nobody reads
    assert!(!large.is_finished() && !small.is_finished());
    connection.cut();
    let mut connection = broker.accept_new().await;
    assert_eq!(connection.expect_publish().await.payload.len(), 1000);
    assert_eq!(&connection.expect_publish().await.payload[..], b"small");
    large.await.unwrap().unwrap();
    small.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_is_subscribed_again_and_a_kept_one_is_not() {
    let (mut broker, mut connection, client) = resumable().await;
    let (stream, first) = tokio::join!(
        client.subscribe("a").qos(QoS::ExactlyOnce),
        connection.grant()
    );
    let mut stream = stream.unwrap();

    connection.cut();
    let mut connection = broker.accept_resumed().await;
    connection.expect_silence(Duration::from_secs(1)).await;
    connection.cut();

    let mut connection = broker.accept_new().await;
    let again = connection.grant().await;
    assert_eq!(again.subscriptions, first.subscriptions);
    connection.deliver(message("a", "x")).await;
    assert_eq!(text(&stream.next().await.unwrap()), "a=x");
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_is_refused_the_second_time_ends_its_stream() {
    let (mut broker, mut connection, client) = connected().await;
    let (stream, _) = tokio::join!(client.subscribe("a"), connection.grant());
    connection.cut();
    let mut connection = broker.accept_new().await;
    let subscribe = connection.expect_subscribe().await;
    connection
        .suback(&subscribe, vec![SubAckReason::NotAuthorized])
        .await;
    assert!(stream.unwrap().next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_subscribe_without_an_answer_is_sent_again() {
    let (mut broker, mut connection, client) = connected().await;
    let subscribing = tokio::spawn(client.subscribe("a").into_future());
    connection.expect_subscribe().await;
    connection.cut();
    let mut connection = broker.accept_new().await;
    connection.grant().await;
    let _stream = subscribing.await.unwrap().unwrap();
    connection.expect_silence(Duration::from_secs(1)).await;
}

mod messages_not_acknowledged_yet {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn are_not_given_twice_when_the_broker_repeats_them() {
        let (mut broker, mut connection, client) = resumable().await;
        let (stream, _) = tokio::join!(client.subscribe("a"), connection.grant());
        let mut stream = stream.unwrap();
        connection.deliver(message("a", "1").qos1(1)).await;
        connection.deliver(message("a", "2").qos2(2)).await;
        connection.expect_silence(Duration::from_secs(1)).await;
        connection.cut();

        let mut connection = broker.accept_resumed().await;
        assert_eq!(text(&stream.next().await.unwrap()), "a=1"); // read before it came again
        connection.deliver(message("a", "1").qos1(1).dup()).await;
        connection.deliver(message("a", "2").qos2(2).dup()).await;
        assert_eq!(text(&stream.next().await.unwrap()), "a=2");
        connection.expect_puback(1).await;
        stream.acknowledge();
        assert!(
            matches!(connection.expect().await, Packet::PubRec(pubrec) if pubrec.packet_id == id(2))
        );
        assert_eq!(stream.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn stay_readable_when_the_session_is_lost_and_want_no_ack() {
        let (mut broker, mut connection, client) = resumable().await;
        let (stream, _) = tokio::join!(client.subscribe("a"), connection.grant());
        let mut stream = stream.unwrap();
        connection.deliver(message("a", "1").qos1(1)).await;
        connection.expect_silence(Duration::from_secs(1)).await;
        connection.cut();

        let mut connection = broker.accept_new().await;
        connection.grant().await;
        assert_eq!(text(&stream.next().await.unwrap()), "a=1");
        stream.acknowledge();
        connection.expect_silence(Duration::from_secs(1)).await;
        connection.deliver(message("a", "another").qos1(1)).await;
        assert_eq!(text(&stream.next().await.unwrap()), "a=another");
        stream.acknowledge();
        connection.expect_puback(1).await;
    }
}

// T-143
mod back_off {
    use super::*;

    /// How long after the last attempt the next one comes.
    async fn wait_for_attempt(broker: &mut Broker) -> (Duration, Connection) {
        let start = Instant::now();
        let mut connection = broker.accept().await;
        let waited = start.elapsed();
        connection.expect_connect().await;
        (waited, connection)
    }

    #[tokio::test(start_paused = true)]
    async fn grows_to_two_minutes_and_starts_again_after_a_connection() {
        let (mut broker, connection, client) = connected().await;
        connection.cut();
        for attempt in 0..12 {
            let (waited, mut connection) = wait_for_attempt(&mut broker).await;
            let ceiling = Duration::from_secs(1 << attempt.min(7)).min(Duration::from_secs(120));
            assert!(
                waited <= ceiling + Duration::from_millis(1),
                "attempt {attempt}: {waited:?}"
            );
            connection.refuse(ConnAckReason::ServerUnavailable).await;
            connection.expect_end().await;
        }
        let (_, mut connection) = wait_for_attempt(&mut broker).await;
        connection.connack(false, Default::default()).await;
        client.connected().await.unwrap();
        connection.expect_silence(Duration::from_secs(121)).await;
        connection.cut();
        let (waited, _connection) = wait_for_attempt(&mut broker).await;
        assert!(waited <= Duration::from_millis(1001), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn is_longest_for_refused_credentials() {
        for reason in [
            ConnAckReason::BadUserNameOrPassword,
            ConnAckReason::NotAuthorized,
        ] {
            let (mut broker, connection, _client) = connected().await;
            connection.cut();
            let (_, mut connection) = wait_for_attempt(&mut broker).await;
            connection.refuse(reason).await;
            let (waited, _connection) = wait_for_attempt(&mut broker).await;
            assert!(waited >= Duration::from_secs(60), "{reason}: {waited:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn stops_at_refused_credentials_if_asked_to() {
        let (mut broker, options) = broker();
        let policy = ReconnectPolicy::default().stop_on_refused_credentials(true);
        let (connection, client) = broker.connect(options.reconnect(policy)).await;
        connection.cut();
        let (_, mut connection) = wait_for_attempt(&mut broker).await;
        connection.refuse(ConnAckReason::NotAuthorized).await;
        assert!(matches!(
            client.watch().closed().await,
            CloseReason::Connect(_)
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn stops_when_the_session_was_taken_over() {
        let (mut broker, mut connection, client) = connected().await;
        let disconnect = Disconnect::new(DisconnectReason::SessionTakenOver);
        connection.send(Packet::Disconnect(disconnect)).await;
        let reason = client.watch().closed().await;
        assert!(
            matches!(
                reason,
                CloseReason::Disconnect(DisconnectError::ByServer(_))
            ),
            "{reason}"
        );
        assert!(!broker.is_tried_within(Duration::from_secs(600)).await);
        assert!(client.publish("a", "x").await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn does_not_happen_if_the_policy_says_never() {
        let (mut broker, options) = broker();
        let (connection, client) = broker
            .connect(options.reconnect(ReconnectPolicy::never()))
            .await;
        connection.cut();
        assert!(matches!(
            client.watch().closed().await,
            CloseReason::Disconnect(_)
        ));
        assert!(!broker.is_tried_within(Duration::from_secs(600)).await);
    }
}

#[tokio::test(start_paused = true)]
async fn the_status_says_why_and_for_how_long() {
    let (mut broker, mut connection, client) = connected().await;
    let mut watch = client.watch();
    let mut disconnect = Disconnect::new(DisconnectReason::UseAnotherServer);
    disconnect.properties.set_server_reference("other").unwrap();
    connection.send(Packet::Disconnect(disconnect)).await;
    let Some(Status::Waiting {
        because: Interruption::Disconnected(error),
        retry_after,
    }) = watch.changed().await
    else {
        panic!("{:?}", client.status())
    };
    let DisconnectError::ByServer(disconnect) = error else {
        panic!("{error}")
    };
    assert_eq!(disconnect.server_reference.as_deref(), Some("other"));
    assert!(retry_after <= Duration::from_secs(1));
    let _connection = broker.accept_new().await;
    watch.connected().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_pings_is_left() {
    let (mut broker, options) = broker();
    let (_silent, client) = broker
        .connect(options.keep_alive(Duration::from_secs(10)))
        .await;
    let start = Instant::now();
    let _next = broker.accept_new().await;
    assert!(start.elapsed() >= Duration::from_secs(10));
    client.connected().await.unwrap();
}
