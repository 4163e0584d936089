//! Payloads as JSON (feature `json`).

use serde::{Deserialize, Serialize};
use whinchat_client::{ProtocolVersion, QoS};

use crate::broker::{connected, connected_in, message};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Deposit {
    amount: f64,
}

#[tokio::test(start_paused = true)]
async fn a_value_is_published_as_json_and_marked_so_where_the_version_can() {
    let (_broker, mut connection, client) = connected().await;
    client
        .publish_json("deposit", &Deposit { amount: 100.0 })
        .qos(QoS::AtMostOnce)
        .await
        .unwrap();
    let publish = connection.expect_publish().await;
    assert_eq!(&publish.payload[..], br#"{"amount":100.0}"#);
    assert_eq!(publish.properties.content_type(), Some("application/json"));
    assert_eq!(publish.properties.payload_format_indicator(), Some(true));

    let (_broker, mut connection, client) = connected_in(ProtocolVersion::V311).await;
    client
        .publish_json("deposit", &Deposit { amount: 1.5 })
        .qos(QoS::AtMostOnce)
        .await
        .unwrap();
    assert_eq!(
        &connection.expect_publish().await.payload[..],
        br#"{"amount":1.5}"#
    );
}

#[tokio::test(start_paused = true)]
async fn a_payload_is_read_as_json_or_the_error_names_the_place() {
    let (_broker, mut connection, client) = connected().await;
    let (stream, _) = tokio::join!(client.subscribe("deposit"), connection.grant());
    let mut stream = stream.unwrap();
    connection
        .deliver(message("deposit", r#"{"amount": 22.5}"#))
        .await;
    assert_eq!(
        stream.next().await.unwrap().json::<Deposit>().unwrap(),
        Deposit { amount: 22.5 }
    );
    connection
        .deliver(message("deposit", r#"{"amount": "#))
        .await;
    let error = stream.next().await.unwrap().json::<Deposit>().unwrap_err();
    assert!(error.to_string().contains("line 1 column"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_has_no_json_is_an_error_and_sends_nothing() {
    let (_broker, mut connection, client) = connected().await;
    let no_key = std::collections::HashMap::from([((1, 2), 3)]);
    assert!(client.publish_json("deposit", &no_key).await.is_err());
    connection
        .expect_silence(std::time::Duration::from_secs(1))
        .await;
}
