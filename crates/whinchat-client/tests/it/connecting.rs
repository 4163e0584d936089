//! The first connection: what CONNECT says, what CONNACK may say, and which version is spoken.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use whinchat_client::{
    CloseReason, ConnAckReason, ConnectError, Credentials, ProtocolVersion, QoS, Status, Version,
    Will,
};
use whinchat_codec::{ConnAck, ConnAckProperties, Packet};

use crate::broker::{Qos, broker, message, text};

#[tokio::test(start_paused = true)]
async fn connect_carries_the_settings() {
    let (mut broker, options) = broker();
    let options = options
        .keep_alive(Duration::from_secs(30))
        .session_expiry(Duration::MAX)
        .credentials(Credentials::new("ann", "s3cret").unwrap())
        .will(
            Will::new("gone", "offline")
                .unwrap()
                .qos(QoS::ExactlyOnce)
                .retain(true)
                .delay(Duration::from_secs(5)),
        )
        .receive_maximum(7)
        .topic_alias_maximum(3)
        .maximum_packet_size(9000)
        .user_property("k", "v")
        .unwrap();
    let client = tokio::spawn(options.connect());
    let mut connection = broker.accept().await;
    let connect = connection.expect_connect().await;
    assert_eq!(
        (connect.version, &*connect.client_id),
        (ProtocolVersion::V5, "c")
    );
    assert!(connect.clean_start);
    assert_eq!(connect.keep_alive, 30);
    assert_eq!(connect.user_name.as_deref(), Some("ann"));
    assert_eq!(connect.password.as_deref(), Some(&b"s3cret"[..]));
    let will = connect.will.unwrap();
    assert_eq!(
        (&*will.topic, &will.payload[..], will.qos, will.retain),
        ("gone", &b"offline"[..], QoS::ExactlyOnce, true)
    );
    assert_eq!(will.properties.will_delay_interval(), Some(5));
    let properties = connect.properties;
    assert_eq!(properties.session_expiry_interval(), Some(u32::MAX));
    assert_eq!(properties.receive_maximum(), Some(7));
    assert_eq!(properties.topic_alias_maximum(), Some(3));
    assert_eq!(properties.maximum_packet_size(), Some(9000));
    assert_eq!(
        properties.user_properties().collect::<Vec<_>>(),
        [("k", "v")]
    );
    connection.connack(false, ConnAckProperties::new()).await;
    client.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_connack_says_is_in_the_status() {
    let (mut broker, options) = broker();
    let mut properties = ConnAckProperties::new();
    properties.set_assigned_client_identifier("chosen").unwrap();
    let options = options.client_id("").unwrap();
    let (_connection, client) = tokio::join!(
        broker.accept_with(true, properties),
        options.clean_start(true).connect()
    );
    // A session behind a clean start is a lie.
    assert!(matches!(client, Err(ConnectError::Protocol(_))));

    let (mut broker, options) = crate::broker::broker();
    let mut properties = ConnAckProperties::new();
    properties.set_assigned_client_identifier("chosen").unwrap();
    let options = options.client_id("").unwrap();
    let (connection, client) =
        tokio::join!(broker.accept_with(false, properties), options.connect());
    let client = client.unwrap();
    let Status::Connected(info) = client.status() else {
        panic!("{:?}", client.status())
    };
    assert_eq!((&*info.client_id, info.session_present), ("chosen", false));
    // From here on the name is ours.
    connection.cut();
    assert_eq!(
        &*broker.accept().await.expect_connect().await.client_id,
        "chosen"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_an_error_with_reason_and_server_reference() {
    let (mut broker, options) = broker();
    let client = tokio::spawn(options.connect());
    let mut connection = broker.accept().await;
    connection.expect_connect().await;
    let mut refusal = ConnAck {
        session_present: false,
        reason: ConnAckReason::UseAnotherServer,
        properties: ConnAckProperties::new(),
    };
    refusal
        .properties
        .set_server_reference("other.example:1883")
        .unwrap();
    refusal.properties.set_reason_string("full").unwrap();
    connection.send(Packet::ConnAck(refusal)).await;
    let error = client.await.unwrap().unwrap_err();
    let ConnectError::Refused(refusal) = &error else {
        panic!("{error}")
    };
    assert_eq!(
        refusal.server_reference.as_deref(),
        Some("other.example:1883")
    );
    assert_eq!(error.to_string(), r#"refused: Use another server ("full")"#);
    connection.expect_end().await;
    assert!(!broker.is_tried_within(Duration::from_secs(600)).await);
}

#[tokio::test(start_paused = true)]
async fn no_connack_in_time_is_an_error() {
    let (mut broker, options) = broker();
    let client = tokio::spawn(options.connect_timeout(Duration::from_secs(3)).connect());
    let mut connection = broker.accept().await;
    connection.expect_connect().await;
    let error = client.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "no CONNACK within 3s");
    connection.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn packets_right_behind_connack_are_handled() {
    let (mut broker, options) = broker();
    let client = tokio::spawn(options.connect());
    let mut connection = broker.accept().await;
    connection.expect_connect().await;
    let mut bytes = bytes::BytesMut::from(&[0x20, 3, 0, 0, 0][..]);
    Packet::Publish(message("a", "1").qos1(1))
        .encode(ProtocolVersion::V5, &mut bytes)
        .unwrap();
    Packet::Publish(message("a", "2"))
        .encode(ProtocolVersion::V5, &mut bytes)
        .unwrap();
    bytes.truncate(bytes.len() - 1);
    connection.send_bytes(&bytes).await;
    let client = client.await.unwrap().unwrap();
    let mut unclaimed = client.unclaimed();
    assert_eq!(text(&unclaimed.next().await.unwrap()), "a=1");
    connection.send_bytes(b"2").await;
    assert_eq!(text(&unclaimed.next().await.unwrap()), "a=2");
}

mod version_fallback {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_of_5_0_leads_to_3_1_1_for_good() {
        let (mut broker, options) = broker();
        let client = tokio::spawn(options.version(Version::V5ElseV311).connect());
        let mut connection = broker.accept().await;
        assert_eq!(
            connection.expect_connect().await.version,
            ProtocolVersion::V5
        );
        // An old broker answers in the form of its own version: return code 1.
        connection.send_bytes(&[0x20, 2, 0, 1]).await;
        let mut connection = broker.accept().await;
        assert_eq!(
            connection.expect_connect().await.version,
            ProtocolVersion::V311
        );
        connection.connack(false, ConnAckProperties::new()).await;
        let client = client.await.unwrap().unwrap();
        assert_eq!(
            client.connected().await.unwrap().version,
            ProtocolVersion::V311
        );
        connection.cut();
        assert_eq!(
            broker.accept().await.expect_connect().await.version,
            ProtocolVersion::V311
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_5_0_form_of_the_refusal_works_too() {
        let (mut broker, options) = broker();
        let client = tokio::spawn(options.version(Version::V5ElseV311).connect());
        let mut connection = broker.accept().await;
        connection.expect_connect().await;
        connection
            .refuse(ConnAckReason::UnsupportedProtocolVersion)
            .await;
        let mut connection = broker.accept().await;
        assert_eq!(
            connection.expect_connect().await.version,
            ProtocolVersion::V311
        );
        connection.connack(false, ConnAckProperties::new()).await;
        client.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn hanging_up_without_a_word_leads_to_3_1_1_for_this_connection() {
        let (mut broker, options) = broker();
        let client = tokio::spawn(options.version(Version::V5ElseV311).connect());
        let mut connection = broker.accept().await;
        connection.expect_connect().await;
        drop(connection);
        let mut connection = broker.accept().await;
        assert_eq!(
            connection.expect_connect().await.version,
            ProtocolVersion::V311
        );
        connection.connack(false, ConnAckProperties::new()).await;
        let _client = client.await.unwrap().unwrap();
        connection.cut();
        assert_eq!(
            broker.accept().await.expect_connect().await.version,
            ProtocolVersion::V5
        );
    }

    #[tokio::test(start_paused = true)]
    async fn other_refusals_are_not_asked_twice() {
        let (mut broker, options) = broker();
        let client = tokio::spawn(options.version(Version::V5ElseV311).connect());
        let mut connection = broker.accept().await;
        connection.expect_connect().await;
        connection.refuse(ConnAckReason::NotAuthorized).await;
        assert!(matches!(
            client.await.unwrap(),
            Err(ConnectError::Refused(_))
        ));
        assert!(!broker.is_tried_within(Duration::from_secs(600)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn each_version_can_be_demanded() {
        for version in [
            ProtocolVersion::V31,
            ProtocolVersion::V311,
            ProtocolVersion::V5,
        ] {
            let (_broker, mut connection, client) = crate::broker::connected_in(version).await;
            assert_eq!(client.connected().await.unwrap().version, version);
            client.publish("a", "x").qos(QoS::AtMostOnce).await.unwrap();
            connection.expect_publish().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_are_asked_for_before_each_connection() {
    let (mut broker, options) = broker();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let options = options.credentials_from(move || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        async move { Ok(Credentials::new("ann", format!("token {number}"))?) }
    });
    let client = tokio::spawn(options.connect());
    let mut connection = broker.accept().await;
    assert_eq!(
        connection.expect_connect().await.password.as_deref(),
        Some(&b"token 0"[..])
    );
    connection.connack(false, ConnAckProperties::new()).await;
    let _client = client.await.unwrap().unwrap();
    connection.cut();
    let mut connection = broker.accept().await;
    assert_eq!(
        connection.expect_connect().await.password.as_deref(),
        Some(&b"token 1"[..])
    );
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_not_connected_yet_can_be_closed() {
    let (mut broker, options) = broker();
    let client = options.start().unwrap();
    let message = client.publish("a", "x").enqueue().unwrap();
    let _connection = broker.accept().await;
    let report = client.close().await;
    assert_eq!(report.unsent.len(), 1);
    assert!(message.await.is_err());
    assert!(matches!(
        client.status(),
        Status::Closed(CloseReason::ByApplication)
    ));
}
