//! Messages of every QoS from publisher to subscriber, across shards and versions.

use whinchat_broker::Broker;
use whinchat_codec::{Packet, QoS};

use crate::peer::{Peer, Refine, V5, V31, V311, puback, pubcomp, publish, pubrec, pubrel};

#[tokio::test]
async fn a_message_reaches_subscribers_of_every_version_at_qos_0() {
    let broker = Broker::builder().threads(2).start().unwrap();
    for (number, from) in [V31, V311, V5].into_iter().enumerate() {
        for to in [V31, V311, V5] {
            let mut subscriber = Peer::connected(&broker, to, &format!("sub{number}")).await;
            subscriber.subscribe("a/+", QoS::AtMostOnce).await;
            let mut publisher = Peer::connected(&broker, from, "pub").await;
            publisher.send(publish("a/b", "hello")).await;
            let got = subscriber.receive_publish().await;
            assert_eq!((&*got.topic, &*got.payload), ("a/b", &b"hello"[..]));
            publisher.disconnect().await;
            subscriber.disconnect().await;
        }
    }
}

#[tokio::test]
async fn qos_1_is_acknowledged_both_ways() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let mut subscriber = Peer::connected(&broker, V5, "s").await;
    subscriber.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = Peer::connected(&broker, V311, "p").await;
    publisher.publish_acked("t", "x").await;
    let got = subscriber.receive_publish().await;
    assert_eq!(got.guarantee.qos(), QoS::AtLeastOnce);
    subscriber
        .send(puback(got.guarantee.packet_id().unwrap().get()))
        .await;
    subscriber.receive_nothing().await;
}

#[tokio::test]
async fn qos_2_runs_its_four_steps_on_both_sides() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let mut subscriber = Peer::connected(&broker, V5, "s").await;
    subscriber.subscribe("t", QoS::ExactlyOnce).await;
    let mut publisher = Peer::connected(&broker, V5, "p").await;
    publisher.send(publish("t", "x").exactly_once(7)).await;
    assert_eq!(publisher.receive().await, pubrec(7));
    publisher
        .send(publish("t", "x").exactly_once(7).dup())
        .await; // [MQTT-4.3.3-10]
    assert_eq!(publisher.receive().await, pubrec(7));
    publisher.send(pubrel(7)).await;
    assert_eq!(publisher.receive().await, pubcomp(7));
    let got = subscriber.receive_publish().await;
    let id = got.guarantee.packet_id().unwrap().get();
    subscriber.send(pubrec(id)).await;
    assert_eq!(subscriber.receive().await, pubrel(id));
    subscriber.send(pubcomp(id)).await;
    subscriber.receive_nothing().await;
    publisher.send(Packet::PingReq).await;
    assert_eq!(publisher.receive().await, Packet::PingResp);
}
