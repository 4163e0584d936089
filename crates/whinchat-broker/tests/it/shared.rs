//! Shared subscriptions: one member gets each message, and nothing is lost with a member.

use std::time::Duration;

use whinchat_codec::{DisconnectReason, Packet, PubAckReason, QoS, SubscriptionOptions};

use crate::{
    harness::{TestBroker, on_every_broker},
    peer::{Peer, V5, V31, V311, connect, connect_durable, puback, publish, subscribe},
};

const SECOND: Duration = Duration::from_secs(1);

/// A connected member of the group `g` for `t`.
async fn member(broker: &TestBroker, client_id: &str, qos: QoS) -> Peer {
    let mut peer = Peer::connected(broker, V5, client_id).await;
    peer.subscribe("$share/g/t", qos).await;
    peer
}

/// The same with a session that outlives its connection.
async fn durable_member(broker: &TestBroker, client_id: &str) -> Peer {
    let (mut peer, _) = Peer::connected_with(broker, connect_durable(V5, client_id)).await;
    peer.subscribe("$share/g/t", QoS::ExactlyOnce).await;
    peer
}

async fn resumed(broker: &TestBroker, client_id: &str) -> Peer {
    let (peer, connack) = Peer::connected_with(broker, connect_durable(V5, client_id)).await;
    assert!(connack.session_present);
    peer
}

/// All messages that have come by now, acknowledged.
async fn take_all(peer: &mut Peer) -> Vec<String> {
    peer.send(Packet::PingReq).await;
    let mut payloads = Vec::new();
    loop {
        match peer.receive().await {
            Packet::PingResp => return payloads,
            Packet::Publish(publish) => {
                if let Some(id) = publish.guarantee.packet_id() {
                    assert_eq!(publish.guarantee.qos(), QoS::AtLeastOnce);
                    peer.send(puback(id.get())).await;
                }
                payloads.push(String::from_utf8_lossy(&publish.payload).into_owned());
            }
            other => panic!("expected PUBLISH, got {other:?}"),
        }
    }
}

#[tokio::test]
async fn members_take_turns() {
    on_every_broker(async |broker| {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            let mut members = Vec::new();
            for id in ["1", "2", "3"] {
                members.push(member(broker, id, qos).await);
            }
            let mut publisher = Peer::connected(broker, V5, "p").await;
            for number in 0..30 {
                publisher.publish_acked("t", &number.to_string()).await;
            }
            let mut all = Vec::new();
            for member in &mut members {
                // Not what has come by now: an ack to the publisher may overtake what another shard delivers.
                for _ in 0..10 {
                    all.push(member.take_payload().await);
                }
                assert_eq!(take_all(member).await, [""; 0]);
            }
            all.sort_by_key(|number| number.parse::<u8>().unwrap());
            assert_eq!(
                all,
                (0..30).map(|number| number.to_string()).collect::<Vec<_>>()
            );
            for member in members {
                member.disconnect().await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn each_group_gets_its_copy_and_so_does_a_plain_subscription() {
    on_every_broker(async |broker| {
        let mut peer = Peer::connected(broker, V5, "c").await;
        let filters = ["t", "$share/g/t", "$share/h/t", "$share/g/+"];
        for filter in filters {
            peer.subscribe(filter, QoS::AtMostOnce).await;
        }
        let mut publisher = Peer::connected(broker, V5, "p").await;
        for _ in 0..3 {
            publisher.publish_acked("t", "x").await;
            assert_eq!(take_all(&mut peer).await.len(), filters.len());
        }
    })
    .await;
}

#[tokio::test]
async fn identifiers_and_versions_are_those_of_the_member() {
    on_every_broker(async |broker| {
        let mut five = Peer::connected(broker, V5, "5").await;
        let mut identified = subscribe(
            1,
            &[("$share/g/t", SubscriptionOptions::new(QoS::AtMostOnce))],
        );
        identified
            .properties
            .set_subscription_identifier(42)
            .unwrap();
        five.subscribe_with(identified).await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        publisher.publish_acked("t", "x").await;
        let got = five.take().await;
        assert_eq!(
            got.properties
                .subscription_identifiers()
                .collect::<Vec<_>>(),
            [42]
        );
        five.disconnect().await;
        for version in [V31, V311] {
            let mut old = Peer::connected(broker, version, "old").await;
            old.subscribe("$share/g/t", QoS::AtMostOnce).await;
            publisher.publish_acked("t", "x").await;
            old.take_payloads(&["x"]).await;
            old.disconnect().await;
        }
    })
    .await;
}

/// T-79
#[tokio::test]
async fn unacknowledged_messages_of_a_lost_member_go_to_another() {
    on_every_broker(async |broker| {
        for durable in [false, true] {
            let mut lost = if durable {
                durable_member(broker, "lost").await
            } else {
                member(broker, "lost", QoS::AtLeastOnce).await
            };
            let mut publisher = Peer::connected(broker, V5, "p").await;
            for payload in ["1", "2", "3"] {
                publisher.publish_acked("t", payload).await;
                lost.receive_publish().await;
            }
            let mut other = member(broker, "other", QoS::AtLeastOnce).await;
            lost.cut();
            other.take_payloads(&["1", "2", "3"]).await;
            if durable {
                // What went to the other is not sent again.
                resumed(broker, "lost").await.receive_nothing().await;
            }
            other.disconnect().await;
            Peer::connected(broker, V5, "lost").await.disconnect().await;
        }
    })
    .await;
}

/// T-79
#[tokio::test]
async fn queued_messages_of_a_lost_member_go_to_another() {
    on_every_broker(async |broker| {
        let mut narrow = connect_durable(V5, "narrow");
        narrow.properties.set_receive_maximum(1).unwrap();
        let (mut lost, _) = Peer::connected_with(broker, narrow).await;
        lost.subscribe("$share/g/t", QoS::ExactlyOnce).await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        for payload in ["1", "2", "3"] {
            publisher.publish_completed("t", payload).await;
        }
        lost.receive_publish().await; // the others are behind its Receive Maximum
        let mut other = member(broker, "other", QoS::ExactlyOnce).await;
        lost.cut();
        other.take_payloads(&["2", "3"]).await;
        other.receive_nothing().await;
        // The first may have arrived: its exchange is finished where it began. // v5 [MQTT-4.8.2-4]
        let mut back = resumed(broker, "narrow").await;
        assert!(back.receive_publish().await.guarantee.dup());
    })
    .await;
}

/// T-80
#[tokio::test]
async fn connected_members_are_preferred() {
    on_every_broker(async |broker| {
        durable_member(broker, "away").await.disconnect().await;
        let mut here = member(broker, "here", QoS::AtLeastOnce).await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        for payload in ["1", "2", "3"] {
            publisher.publish_acked("t", payload).await;
        }
        here.take_payloads(&["1", "2", "3"]).await;
        resumed(broker, "away").await.receive_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn messages_wait_for_members_that_are_away() {
    on_every_broker(async |broker| {
        durable_member(broker, "1").await.disconnect().await;
        durable_member(broker, "2").await.disconnect().await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        let answer = publisher.publish_acked("t", "a").await;
        assert_eq!(answer.reason, PubAckReason::Success);
        publisher.publish_acked("t", "b").await;
        // QoS 0 waits for nobody.
        publisher.publish_read(publish("t", "lost")).await;
        let mut one = resumed(broker, "1").await;
        let mut two = resumed(broker, "2").await;
        let mut all = take_all(&mut one).await;
        all.extend(take_all(&mut two).await);
        all.sort_unstable();
        assert_eq!(all, ["a", "b"]);
    })
    .await;
}

/// T-79
#[tokio::test]
async fn messages_of_a_session_that_ends_go_to_members_that_are_away() {
    on_every_broker(async |broker| {
        let mut short = connect_durable(V5, "short");
        short.properties.set_session_expiry_interval(10);
        let (mut peer, _) = Peer::connected_with(broker, short).await;
        peer.subscribe("$share/g/t", QoS::AtLeastOnce).await;
        peer.disconnect().await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        publisher.publish_acked("t", "1").await;
        publisher.publish_acked("t", "2").await;
        durable_member(broker, "long").await.disconnect().await;
        broker.advance(11 * SECOND).await;
        let mut long = resumed(broker, "long").await;
        long.take_payloads(&["1", "2"]).await;
    })
    .await;
}

/// T-80
#[tokio::test]
async fn a_full_member_is_passed_over() {
    on_every_broker(async |broker| {
        let mut narrow = connect(V5, "narrow");
        narrow.properties.set_receive_maximum(1).unwrap();
        let (mut stuck, _) = Peer::connected_with(broker, narrow).await;
        stuck.subscribe("$share/g/t", QoS::AtLeastOnce).await;
        let mut free = member(broker, "free", QoS::AtLeastOnce).await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        let mut to_free = 0;
        for number in 0..20 {
            publisher.publish_acked("t", &number.to_string()).await;
            broker.settle().await;
            to_free += take_all(&mut free).await.len();
        }
        // One in flight, one queued; from then on it is known to be full.
        assert_eq!(to_free, 18);
        let first = stuck.receive_publish().await;
        stuck
            .send(puback(first.guarantee.packet_id().unwrap().get()))
            .await;
        stuck.take().await;
        broker.settle().await;
        publisher.publish_acked("t", "a").await;
        publisher.publish_acked("t", "b").await;
        assert_eq!(take_all(&mut free).await.len(), 1, "it takes turns again");
    })
    .await;
}

#[tokio::test]
async fn a_member_that_unsubscribes_finishes_what_it_has() {
    on_every_broker(async |broker| {
        let mut one = member(broker, "1", QoS::AtLeastOnce).await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        publisher.publish_acked("t", "x").await;
        let got = one.receive_publish().await;
        one.unsubscribe(&["$share/g/t"]).await;
        one.send(puback(got.guarantee.packet_id().unwrap().get()))
            .await;
        let mut two = member(broker, "2", QoS::AtLeastOnce).await;
        publisher.publish_acked("t", "y").await;
        two.take_payloads(&["y"]).await;
        two.receive_nothing().await;
        one.receive_nothing().await;
    })
    .await;
}

/// T-81
#[tokio::test]
async fn many_groups_come_and_go() {
    on_every_broker(async |broker| {
        let mut peer = Peer::connected(broker, V5, "c").await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        for round in 0..3 {
            let names: Vec<String> = (0..500).map(|n| format!("$share/g{n}/t")).collect();
            let filters: Vec<_> = names
                .iter()
                .map(|name| (&**name, SubscriptionOptions::new(QoS::AtMostOnce)))
                .collect();
            peer.subscribe_with(subscribe(1, &filters)).await;
            publisher.publish_acked("t", &round.to_string()).await;
            assert_eq!(take_all(&mut peer).await.len(), 500);
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            peer.unsubscribe(&names).await;
            let answer = publisher.publish_acked("t", "x").await;
            assert_eq!(answer.reason, PubAckReason::NoMatchingSubscribers);
        }
        peer.disconnect().await;
        broker.settle().await;
        assert_eq!(
            broker
                .metrics()
                .sum_gauge(|shard| shard.shared_subscriptions.value()),
            0
        );
    })
    .await;
}

#[tokio::test]
async fn a_kicked_member_loses_nothing() {
    on_every_broker(async |broker| {
        let mut one = member(broker, "1", QoS::AtLeastOnce).await;
        let mut publisher = Peer::connected(broker, V5, "p").await;
        publisher.publish_acked("t", "x").await;
        one.receive_publish().await;
        let mut two = member(broker, "2", QoS::AtLeastOnce).await;
        broker.disconnect_client("1");
        one.receive_disconnect(DisconnectReason::AdministrativeAction)
            .await;
        two.take_payloads(&["x"]).await;
    })
    .await;
}
