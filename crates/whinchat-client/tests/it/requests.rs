//! Requests and responses.

use std::time::Duration;

use whinchat_client::{ProtocolVersion, RequestError};
use whinchat_codec::{Publish, Utf8String};

use crate::broker::{Connection, connected, connected_in, message, text};

/// Takes a request, and the response to it.
async fn expect_request(connection: &mut Connection) -> (Publish, Publish) {
    let request = connection.expect_publish().await;
    connection
        .puback(request.guarantee.packet_id().unwrap())
        .await;
    let mut response = message("", "");
    response.topic = Utf8String::try_from(request.properties.response_topic().unwrap()).unwrap();
    response
        .properties
        .set_correlation_data(request.properties.correlation_data().unwrap())
        .unwrap();
    response.payload = [b"re: ", &request.payload[..]].concat().into();
    (request, response)
}

#[tokio::test(start_paused = true)]
async fn responses_find_their_requests_in_whatever_order_they_come() {
    let (_broker, mut connection, client) = connected().await;
    let one = tokio::spawn(client.request("ask", "1").into_future());
    let subscribe = connection.grant().await;
    let (request, first) = expect_request(&mut connection).await;
    assert_eq!(
        request.properties.response_topic().unwrap(),
        &*subscribe.subscriptions[0].filter
    );
    let two = tokio::spawn(client.request("ask", "2").into_future());
    let (_, second) = expect_request(&mut connection).await; // subscribed once only
    connection.deliver(second).await;
    assert!(text(&two.await.unwrap().unwrap()).ends_with("=re: 2"));
    connection.deliver(first).await;
    assert!(text(&one.await.unwrap().unwrap()).ends_with("=re: 1"));
}

#[tokio::test(start_paused = true)]
async fn a_response_to_no_request_is_acknowledged_and_ignored() {
    use crate::broker::Qos;
    let (_broker, mut connection, client) = connected().await;
    let request = tokio::spawn(
        client
            .request("ask", "1")
            .response_topic("answers")
            .into_future(),
    );
    connection.grant().await;
    let (_, response) = expect_request(&mut connection).await;
    assert_eq!(&*response.topic, "answers");
    connection
        .deliver(message("answers", "without correlation data").qos1(1))
        .await;
    connection.expect_puback(1).await;
    connection.deliver(response.clone().qos1(2)).await;
    connection.expect_puback(2).await;
    request.await.unwrap().unwrap();
    connection.deliver(response.qos1(3)).await;
    connection.expect_puback(3).await;
}

#[tokio::test(start_paused = true)]
async fn no_response_in_time_is_an_error() {
    let (_broker, mut connection, client) = connected().await;
    let request = client.request("ask", "1").timeout(Duration::from_secs(2));
    let (error, _) = tokio::join!(request, async {
        connection.grant().await;
        expect_request(&mut connection).await
    });
    assert_eq!(error.unwrap_err().to_string(), "no response within 2s");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_client_is_an_error() {
    let (_broker, mut connection, client) = connected().await;
    let request = tokio::spawn(client.request("ask", "1").into_future());
    connection.grant().await;
    expect_request(&mut connection).await;
    client.disconnect().await;
    assert!(matches!(
        request.await.unwrap(),
        Err(RequestError::Closed(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn before_5_0_there_are_no_requests() {
    let (_broker, _connection, client) = connected_in(ProtocolVersion::V311).await;
    let error = client.request("ask", "1").await.unwrap_err();
    assert_eq!(error.to_string(), "MQTT 3.1.1 has no response topic");
}
