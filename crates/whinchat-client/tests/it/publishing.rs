//! What awaiting a publish means, for each QoS and each answer.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;
use whinchat_client::{ProtocolVersion, PubAckReason, PublishError, QoS, Version};
use whinchat_codec::{ConnAckProperties, Packet, PubAck, PubRec, PubRecReason};

use crate::broker::{broker, connected, connected_in, id};

#[tokio::test(start_paused = true)]
async fn qos_0_completes_when_it_is_written() {
    let (_broker, mut connection, client) = connected().await;
    client
        .publish("a/b", "x")
        .qos(QoS::AtMostOnce)
        .await
        .unwrap();
    let publish = connection.expect_publish().await;
    assert_eq!((&*publish.topic, &publish.payload[..]), ("a/b", &b"x"[..]));
    assert_eq!(publish.guarantee.qos(), QoS::AtMostOnce);
}

#[tokio::test(start_paused = true)]
async fn qos_1_completes_on_puback_with_its_reason() {
    let (_broker, mut connection, client) = connected().await;
    let publish = tokio::spawn(client.publish("a", "x").retain(true).into_future());
    let sent = connection.expect_publish().await;
    assert!(sent.retain);
    assert!(!publish.is_finished());
    connection
        .puback_with(
            sent.guarantee.packet_id().unwrap(),
            PubAckReason::NoMatchingSubscribers,
        )
        .await;
    let outcome = publish.await.unwrap().unwrap();
    assert_eq!(outcome.reason(), PubAckReason::NoMatchingSubscribers);
    assert!(outcome.has_no_subscribers());
}

#[tokio::test(start_paused = true)]
async fn a_reason_of_0x80_or_more_is_an_error() {
    let (_broker, mut connection, client) = connected().await;
    let publish = tokio::spawn(client.publish("a", "x").into_future());
    let packet_id = connection
        .expect_publish()
        .await
        .guarantee
        .packet_id()
        .unwrap();
    let mut puback = PubAck {
        packet_id,
        reason: PubAckReason::NotAuthorized,
        properties: Default::default(),
    };
    puback.properties.set_reason_string("not\nyours").unwrap();
    connection.send(Packet::PubAck(puback)).await;
    let error = publish.await.unwrap().unwrap_err();
    assert!(matches!(
        error,
        PublishError::Rejected {
            reason: PubAckReason::NotAuthorized,
            ..
        }
    ));
    assert_eq!(
        error.to_string(),
        r#"the broker refused the message: Not authorized ("not\nyours")"#
    );
}

#[tokio::test(start_paused = true)]
async fn qos_2_completes_on_pubcomp() {
    let (_broker, mut connection, client) = connected().await;
    let publish = tokio::spawn(client.publish("a", "x").qos(QoS::ExactlyOnce).into_future());
    let packet_id = connection
        .expect_publish()
        .await
        .guarantee
        .packet_id()
        .unwrap();
    connection.complete_qos2(packet_id).await;
    assert_eq!(
        publish.await.unwrap().unwrap().reason(),
        PubAckReason::Success
    );
}

#[tokio::test(start_paused = true)]
async fn qos_2_is_refused_by_pubrec() {
    let (_broker, mut connection, client) = connected().await;
    let publish = tokio::spawn(client.publish("a", "x").qos(QoS::ExactlyOnce).into_future());
    let packet_id = connection
        .expect_publish()
        .await
        .guarantee
        .packet_id()
        .unwrap();
    let reason = PubRecReason::QuotaExceeded;
    connection
        .send(Packet::PubRec(PubRec {
            packet_id,
            reason,
            properties: Default::default(),
        }))
        .await;
    let error = publish.await.unwrap().unwrap_err();
    assert!(matches!(
        error,
        PublishError::Rejected {
            reason: PubAckReason::QuotaExceeded,
            ..
        }
    ));
}

#[tokio::test(start_paused = true)]
async fn an_invalid_topic_is_an_error_and_sends_nothing() {
    let (_broker, mut connection, client) = connected().await;
    for topic in ["", "a/#", "+/a", "a\0b"] {
        assert!(client.publish(topic, "x").await.is_err(), "{topic:?}");
    }
    connection.expect_silence(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn properties_travel() {
    let (_broker, mut connection, client) = connected().await;
    client
        .publish("a", "{}")
        .qos(QoS::AtMostOnce)
        .content_type("application/json")
        .payload_is_text()
        .response_topic("r")
        .correlation_data(b"42")
        .user_property("k", "v")
        .await
        .unwrap();
    let properties = connection.expect_publish().await.properties;
    assert_eq!(properties.content_type(), Some("application/json"));
    assert_eq!(properties.payload_format_indicator(), Some(true));
    assert_eq!(properties.response_topic(), Some("r"));
    assert_eq!(properties.correlation_data(), Some(&b"42"[..]));
    assert_eq!(
        properties.user_properties().collect::<Vec<_>>(),
        [("k", "v")]
    );
}

#[tokio::test(start_paused = true)]
async fn properties_are_an_error_before_5_0_unless_they_are_optional() {
    let (_broker, mut connection, client) = connected_in(ProtocolVersion::V311).await;
    let error = client
        .publish("a", "x")
        .qos(QoS::AtMostOnce)
        .user_property("k", "v")
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "MQTT 3.1.1 has no properties");
    let optional = client
        .publish("a", "y")
        .qos(QoS::AtMostOnce)
        .content_type("text/plain")
        .properties_optional();
    optional.await.unwrap();
    assert_eq!(&connection.expect_publish().await.payload[..], b"y");
}

#[tokio::test(start_paused = true)]
async fn messages_keep_their_order_whatever_their_number() {
    let (_broker, mut connection, client) = connected().await;
    let publishes = (0..1000).map(|n| client.publish("n", format!("{n}")).into_future());
    let (outcomes, ()) = tokio::join!(join_all(publishes), async {
        for n in 0..1000 {
            let publish = connection.expect_publish().await;
            assert_eq!(publish.payload, format!("{n}"));
            connection
                .puback(publish.guarantee.packet_id().unwrap())
                .await;
        }
    });
    assert!(outcomes.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn the_brokers_receive_maximum_holds_back_the_rest() {
    let (mut broker, options) = broker();
    let two_at_a_time = ConnAckProperties::new().with_receive_maximum(2).unwrap();
    let (mut connection, client) =
        tokio::join!(broker.accept_with(false, two_at_a_time), options.connect());
    let client = client.unwrap();
    for payload in ["1", "2", "3"] {
        drop(client.publish("a", payload).enqueue().unwrap());
    }
    let first = connection.expect_publish().await;
    assert_eq!(&connection.expect_publish().await.payload[..], b"2");
    connection.expect_silence(Duration::from_secs(10)).await;
    connection
        .puback(first.guarantee.packet_id().unwrap())
        .await;
    assert_eq!(&connection.expect_publish().await.payload[..], b"3");
}

#[tokio::test(start_paused = true)]
async fn the_in_flight_maximum_holds_back_the_rest_in_every_version() {
    for version in [ProtocolVersion::V5, ProtocolVersion::V311] {
        let (mut broker, options) = broker();
        let options = options
            .version(Version::Only(version))
            .in_flight_maximum(40);
        let (mut connection, client) = broker.connect(options).await;
        for number in 0..50 {
            drop(client.publish("a", format!("{number}")).enqueue().unwrap());
        }
        let first = connection.expect_publish().await;
        for _ in 1..40 {
            connection.expect_publish().await;
        }
        connection.expect_silence(Duration::from_secs(10)).await;
        connection
            .puback(first.guarantee.packet_id().unwrap())
            .await;
        assert_eq!(&connection.expect_publish().await.payload[..], b"40");
    }
}

// T-144
#[tokio::test(start_paused = true)]
async fn the_limits_of_connack_are_errors_before_anything_is_sent_and_end_with_the_connection() {
    let (mut broker, options) = broker();
    let limits = ConnAckProperties::new()
        .with_maximum_packet_size(100)
        .unwrap()
        .with_maximum_qos(QoS::AtLeastOnce)
        .unwrap()
        .with_retain_available(false);
    let (mut connection, client) =
        tokio::join!(broker.accept_with(false, limits), options.connect());
    let client = client.unwrap();

    let error = client.publish("a", vec![0; 200]).await.unwrap_err();
    assert!(
        matches!(
            error,
            PublishError::TooLarge {
                size: 201..=220,
                limit: 100
            }
        ),
        "{error}"
    );
    let error = client
        .publish("a", "x")
        .qos(QoS::ExactlyOnce)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            PublishError::QosNotSupported {
                maximum: QoS::AtLeastOnce,
                ..
            }
        ),
        "{error}"
    );
    let error = client.publish("a", "x").retain(true).await.unwrap_err();
    assert!(matches!(error, PublishError::RetainNotSupported), "{error}");
    connection.expect_silence(Duration::from_secs(1)).await;

    connection.cut();
    let mut connection = broker.accept_new().await;
    let publish = client
        .publish("a", vec![0; 200])
        .qos(QoS::ExactlyOnce)
        .retain(true)
        .into_future();
    let publish = tokio::spawn(publish);
    let packet_id = connection
        .expect_publish()
        .await
        .guarantee
        .packet_id()
        .unwrap();
    connection.complete_qos2(packet_id).await;
    publish.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_message_expires_in_the_queue_and_the_rest_of_its_time_is_sent() {
    let (mut broker, options) = broker();
    let client = options.start().unwrap();
    let short = tokio::spawn(
        client
            .publish("a", "short")
            .expires_after(Duration::from_secs(5))
            .into_future(),
    );
    let long = client
        .publish("a", "long")
        .expires_after(Duration::from_secs(60))
        .enqueue()
        .unwrap();
    let mut waiting = broker.accept().await;
    sleep(Duration::from_secs(10)).await;
    waiting.expect_connect().await;
    waiting.connack(false, ConnAckProperties::new()).await;
    let publish = waiting.expect_publish().await;
    assert_eq!(&publish.payload[..], b"long");
    assert_eq!(publish.properties.message_expiry_interval(), Some(50));
    assert!(matches!(short.await.unwrap(), Err(PublishError::Expired)));
    waiting
        .puback(id(publish.guarantee.packet_id().unwrap().get()))
        .await;
    long.await.unwrap();
}
