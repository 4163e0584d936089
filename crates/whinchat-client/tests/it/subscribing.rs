//! Subscriptions: what is granted, who gets a message, and how it ends.

use std::time::Duration;

use futures_util::StreamExt;
use whinchat_client::{
    ProtocolVersion, QoS, RetainHandling, SubAckReason, SubscribeError, UnsubscribeError,
};
use whinchat_codec::{ConnAckProperties, Packet, UnsubAck, UnsubAckReason};

use crate::broker::{Connection, Qos, broker, connected, connected_in, message, text};

async fn expect_unsubscribe(connection: &mut Connection, reason: UnsubAckReason) -> String {
    let Packet::Unsubscribe(unsubscribe) = connection.expect().await else {
        panic!("expected UNSUBSCRIBE")
    };
    let (packet_id, properties) = (unsubscribe.packet_id, Default::default());
    connection
        .send(Packet::UnsubAck(UnsubAck {
            packet_id,
            properties,
            reasons: vec![reason],
        }))
        .await;
    unsubscribe.filters[0].to_string()
}

#[tokio::test(start_paused = true)]
async fn a_subscription_says_what_was_granted_and_streams_messages() {
    let (_broker, mut connection, client) = connected().await;
    let (subscription, ()) = tokio::join!(client.subscribe("a/+").qos(QoS::ExactlyOnce), async {
        let subscribe = connection.expect_subscribe().await;
        assert_eq!(&*subscribe.subscriptions[0].filter, "a/+");
        connection
            .suback(&subscribe, vec![SubAckReason::GrantedQoS1])
            .await;
    });
    let mut subscription = subscription.unwrap();
    assert_eq!(
        subscription.granted().collect::<Vec<_>>(),
        [("a/+", QoS::AtLeastOnce)]
    );
    connection.deliver(message("a/b", "1")).await;
    connection.deliver(message("a/c", "2")).await;
    assert_eq!(text(&subscription.next().await.unwrap()), "a/b=1");
    assert_eq!(
        text(&StreamExt::next(&mut subscription).await.unwrap()),
        "a/c=2"
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_before_suback_is_not_lost() {
    let (_broker, mut connection, client) = connected().await;
    let (subscription, ()) = tokio::join!(client.subscribe("a"), async {
        let subscribe = connection.expect_subscribe().await;
        connection.deliver(message("a", "retained")).await;
        connection
            .suback(&subscribe, vec![SubAckReason::GrantedQoS1])
            .await;
    });
    assert_eq!(
        text(&subscription.unwrap().next().await.unwrap()),
        "a=retained"
    );
}

#[tokio::test(start_paused = true)]
async fn the_options_of_5_0_travel() {
    let (_broker, mut connection, client) = connected().await;
    let subscription = client
        .subscribe("a")
        .no_local(true)
        .retain_as_published(true)
        .retain_handling(RetainHandling::DoNotSend)
        .user_property("k", "v");
    let (subscription, subscribe) = tokio::join!(subscription, connection.grant());
    let options = subscribe.subscriptions[0].options;
    assert!(options.no_local && options.retain_as_published);
    assert_eq!(options.retain_handling, RetainHandling::DoNotSend);
    assert_eq!(
        subscribe.properties.user_properties().collect::<Vec<_>>(),
        [("k", "v")]
    );
    drop(subscription);
}

#[tokio::test(start_paused = true)]
async fn the_options_of_5_0_are_an_error_before() {
    let (_broker, mut connection, client) = connected_in(ProtocolVersion::V311).await;
    let error = client.subscribe("a").no_local(true).await.unwrap_err();
    assert_eq!(error.to_string(), "MQTT 3.1.1 has no no local");
    connection.expect_silence(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_filter_is_an_error_and_nothing_stays_subscribed() {
    let (_broker, mut connection, client) = connected().await;
    let (error, undone) = tokio::join!(client.subscribe_all(["good", "bad"]), async {
        connection.grant().await;
        let bad = connection.expect_subscribe().await;
        connection
            .suback(&bad, vec![SubAckReason::NotAuthorized])
            .await;
        expect_unsubscribe(&mut connection, UnsubAckReason::Success).await
    });
    match error.unwrap_err() {
        SubscribeError::Rejected { filter, reason } => {
            assert_eq!((&*filter, reason), ("bad", SubAckReason::NotAuthorized));
        }
        other => panic!("{other}"),
    }
    assert_eq!(undone, "good");
    connection.expect_silence(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn an_invalid_filter_is_an_error_and_sends_nothing() {
    let (_broker, mut connection, client) = connected().await;
    for filter in ["", "a#", "#/a", "$share/g"] {
        assert!(client.subscribe(filter).await.is_err(), "{filter:?}");
    }
    assert!(matches!(
        client.subscribe_all([]).await,
        Err(SubscribeError::NoFilter)
    ));
    connection.expect_silence(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_does_not_offer_is_an_error_before_anything_is_sent() {
    let (mut broker, options) = broker();
    let limits = ConnAckProperties::new()
        .with_wildcard_subscription_available(false)
        .with_shared_subscription_available(false)
        .with_subscription_identifier_available(false);
    let (mut connection, client) =
        tokio::join!(broker.accept_with(false, limits), options.connect());
    let client = client.unwrap();
    for (filter, feature) in [
        ("a/#", "wildcard subscriptions"),
        ("$share/g/a", "shared subscriptions"),
    ] {
        let error = client.subscribe(filter).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the broker offers no {feature}, which '{filter}' needs")
        );
    }
    let (subscription, subscribe) = tokio::join!(client.subscribe("a"), connection.grant());
    assert_eq!(subscribe.properties.subscription_identifier(), None);
    drop(subscription);
}

#[tokio::test(start_paused = true)]
async fn overlapping_streams_each_get_the_message() {
    let (_broker, mut connection, client) = connected_in(ProtocolVersion::V311).await;
    let (one, _) = tokio::join!(client.subscribe("a/#"), connection.grant());
    let (other, _) = tokio::join!(client.subscribe("a/+"), connection.grant());
    let (none, _) = tokio::join!(client.subscribe("b"), connection.grant());
    let (mut one, mut other, none) = (one.unwrap(), other.unwrap(), none.unwrap());
    connection.deliver(message("a/b", "x")).await;
    assert_eq!(text(&one.next().await.unwrap()), "a/b=x");
    assert_eq!(text(&other.next().await.unwrap()), "a/b=x");
    assert_eq!(none.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_several_filters_gets_a_message_that_two_of_them_match_once() {
    let (_broker, mut connection, client) = connected().await;
    let (stream, _) = tokio::join!(client.subscribe_all(["a/#", "a/+"]), async {
        connection.grant().await;
        connection.grant().await;
    });
    let mut stream = stream.unwrap();
    connection
        .deliver(message("a/b", "1").identified(1).identified(2))
        .await;
    connection.deliver(message("a/b", "2")).await;
    assert_eq!(text(&stream.next().await.unwrap()), "a/b=1");
    assert_eq!(text(&stream.next().await.unwrap()), "a/b=2");
}

#[tokio::test(start_paused = true)]
async fn subscription_identifiers_tell_a_shared_from_a_plain_subscription() {
    let (_broker, mut connection, client) = connected().await;
    let (plain, first) = tokio::join!(client.subscribe("a/+"), connection.grant());
    let (shared, second) = tokio::join!(client.subscribe("$share/g/a/+"), connection.grant());
    let (mut plain, mut shared) = (plain.unwrap(), shared.unwrap());
    let first = first.properties.subscription_identifier().unwrap();
    let second = second.properties.subscription_identifier().unwrap();
    connection
        .deliver(message("a/b", "plain").identified(first))
        .await;
    connection
        .deliver(message("a/b", "shared").identified(second))
        .await;
    assert_eq!(text(&plain.next().await.unwrap()), "a/b=plain");
    assert_eq!(text(&shared.next().await.unwrap()), "a/b=shared");
    assert_eq!((plain.waiting(), shared.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_identifier_of_an_earlier_process_is_not_believed() {
    let (_broker, mut connection, client) = connected().await;
    let (a, first) = tokio::join!(client.subscribe("a"), connection.grant());
    let (b, _) = tokio::join!(client.subscribe("b"), connection.grant());
    let (a, mut b) = (a.unwrap(), b.unwrap());
    let identifier = first.properties.subscription_identifier().unwrap();
    connection
        .deliver(message("b", "x").identified(identifier))
        .await;
    assert_eq!(text(&b.next().await.unwrap()), "b=x");
    assert_eq!(a.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_ends_the_stream_after_what_it_holds() {
    let (_broker, mut connection, client) = connected().await;
    let (stream, _) = tokio::join!(client.subscribe("a"), connection.grant());
    let mut stream = stream.unwrap();
    connection.deliver(message("a", "last")).await;
    let (ended, filter) = tokio::join!(
        client.unsubscribe("a"),
        expect_unsubscribe(&mut connection, UnsubAckReason::Success)
    );
    ended.unwrap();
    assert_eq!(filter, "a");
    assert_eq!(text(&stream.next().await.unwrap()), "a=last");
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_refused_unsubscribe_is_an_error_and_the_stream_lives() {
    let (_broker, mut connection, client) = connected().await;
    let (stream, _) = tokio::join!(client.subscribe("a"), connection.grant());
    let mut stream = stream.unwrap();
    let (refused, _) = tokio::join!(
        client.unsubscribe("a"),
        expect_unsubscribe(&mut connection, UnsubAckReason::NotAuthorized)
    );
    assert!(matches!(refused, Err(UnsubscribeError::Rejected { .. })));
    connection.deliver(message("a", "x")).await;
    assert_eq!(text(&stream.next().await.unwrap()), "a=x");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_subscribed_is_unsubscribed_without_an_error() {
    let (_broker, mut connection, client) = connected().await;
    let (done, _) = tokio::join!(
        client.unsubscribe("a"),
        expect_unsubscribe(&mut connection, UnsubAckReason::NoSubscriptionExisted)
    );
    done.unwrap();
}

#[tokio::test(start_paused = true)]
async fn subscribing_again_while_an_unsubscribe_is_under_way_gives_a_stream_that_lives() {
    let (_broker, mut connection, client) = connected().await;
    let (old, _) = tokio::join!(client.subscribe("a"), connection.grant());
    let mut old = old.unwrap();
    let unsubscribing = tokio::spawn({
        let client = client.clone();
        async move { client.unsubscribe("a").await }
    });
    let Packet::Unsubscribe(unsubscribe) = connection.expect().await else {
        panic!("expected UNSUBSCRIBE")
    };
    let subscribing = tokio::spawn(client.subscribe("a").into_future());
    let subscribe = connection.expect_subscribe().await;
    let reasons = vec![UnsubAckReason::Success];
    let (packet_id, properties) = (unsubscribe.packet_id, Default::default());
    connection
        .send(Packet::UnsubAck(UnsubAck {
            packet_id,
            properties,
            reasons,
        }))
        .await;
    connection
        .suback(&subscribe, vec![SubAckReason::GrantedQoS1])
        .await;
    unsubscribing.await.unwrap().unwrap();
    let mut new = subscribing.await.unwrap().unwrap();
    connection.deliver(message("a", "x")).await;
    assert_eq!(text(&new.next().await.unwrap()), "a=x");
    assert!(old.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn qos_0_that_nobody_reads_is_bounded_and_counted() {
    let (mut broker, options) = broker();
    let (mut connection, client) = broker.connect(options.unread_messages(3)).await;
    let (stream, _) = tokio::join!(client.subscribe("a"), connection.grant());
    let mut stream = stream.unwrap();
    for payload in ["1", "2", "3", "4", "5"] {
        connection.deliver(message("a", payload)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((stream.waiting(), stream.missed()), (3, 2));
    assert_eq!(text(&stream.next().await.unwrap()), "a=1");
}
