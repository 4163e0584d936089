//! T-45 to T-59: acknowledgements that are missing, doubled, out of place or refused.

use std::sync::Arc;

use whinchat_broker::{Broker, Clock};
use whinchat_codec::{
    DisconnectReason, Packet, PubCompReason, PubRec, PubRecReason, PubRelReason, QoS, SubAckReason,
    SubscriptionOptions, UnsubAckReason, Unsubscribe,
};
use whinchat_store::DelayedLog;

use super::Witnesses;
use crate::peer::{
    Peer, Refine, V5, V31, V311, connect, connect_durable, packet_id, puback, pubcomp, publish,
    pubrec, pubrel, subscribe, text,
};

/// T-45
#[tokio::test]
async fn a_qos_2_message_repeated_a_thousand_times_is_routed_once() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let witnesses = Witnesses::of(&broker).await;
    for version in [V31, V311, V5] {
        let mut reader = Peer::connected(&broker, V5, "r").await;
        reader.subscribe("t", QoS::AtMostOnce).await;
        let mut peer = Peer::connected(&broker, version, "c").await;
        peer.send(publish("t", "once").exactly_once(7)).await;
        assert_eq!(peer.receive().await, pubrec(7));
        for _ in 0..1_000 {
            peer.send(publish("t", "once").exactly_once(7).dup()).await;
            assert_eq!(peer.receive().await, pubrec(7));
        }
        assert_eq!(reader.receive_publish().await.payload, "once");
        reader.receive_nothing().await;
        peer.disconnect().await;
        reader.disconnect().await;
    }
    witnesses.are_alone_again().await;
}

/// T-46: what is never released is held up to the limit, and goes with the session.
#[tokio::test]
async fn ids_that_are_never_released_are_bounded_and_freed() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let witnesses = Witnesses::of(&broker).await;
    let (mut peer, _) = Peer::connected_with(&broker, connect_durable(V5, "c")).await;
    for id in 1..=256 {
        peer.send(publish("t", "").exactly_once(id)).await;
        let Packet::PubRec(answer) = peer.receive().await else {
            panic!("expected PUBREC");
        };
        assert_eq!(answer.packet_id, packet_id(id));
    }
    peer.send(publish("t", "").exactly_once(257)).await;
    peer.receive_disconnect(DisconnectReason::ReceiveMaximumExceeded)
        .await;
    // Nothing of it is left for the next session of this name.
    let mut again = Peer::connected(&broker, V5, "c").await;
    again.send(pubrel(256)).await;
    let Packet::PubComp(answer) = again.receive().await else {
        panic!("expected PUBCOMP");
    };
    assert_eq!(answer.reason, PubCompReason::PacketIdentifierNotFound);
    again.disconnect().await;
    witnesses.are_alone_again().await;
}

/// T-47: who cannot be told how much is allowed is not read any further.
#[tokio::test]
async fn a_3_x_publisher_that_waits_for_no_ack_loses_nothing() {
    let (clock, _hand) = Clock::manual();
    let broker = Broker::builder()
        .threads(2)
        .clock(clock)
        .log(Arc::new(DelayedLog::new(47)))
        .start()
        .unwrap();
    let mut witnesses = Witnesses::of(&broker).await;
    let (mut reader, _) = Peer::connected_with(&broker, connect_durable(V311, "r")).await;
    reader.subscribe("t", QoS::AtLeastOnce).await;
    let mut peer = Peer::connected(&broker, V311, "c").await;
    for id in 1..=2_000 {
        peer.send(publish("t", &id.to_string()).at_least_once(id))
            .await;
    }
    for id in 1..=2_000 {
        assert_eq!(peer.receive().await, puback(id));
    }
    for id in 1..=2_000 {
        assert_eq!(reader.take_payload().await, id.to_string());
    }
    witnesses.notice_nothing().await;
}

/// T-48
#[tokio::test]
async fn stray_acks_are_answered_or_ignored_and_give_nothing_away() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let witnesses = Witnesses::of(&broker).await;
    for version in [V31, V311, V5] {
        let mut peer = Peer::connected(&broker, version, "c").await;
        for _ in 0..2 {
            peer.send(puback(9)).await;
            peer.receive_nothing().await;
            peer.send(pubcomp(9)).await;
            peer.receive_nothing().await;
            peer.send(pubrec(9)).await;
            match peer.receive().await {
                Packet::PubRel(pubrel) if version == V5 => {
                    assert_eq!(pubrel.reason, PubRelReason::PacketIdentifierNotFound);
                }
                other => assert_eq!(other, pubrel(9)),
            }
            peer.send(pubrel(9)).await;
            match peer.receive().await {
                Packet::PubComp(pubcomp) if version == V5 => {
                    assert_eq!(pubcomp.reason, PubCompReason::PacketIdentifierNotFound);
                }
                other => assert_eq!(other, pubcomp(9)),
            }
        }
        peer.disconnect().await;
    }
    witnesses.are_alone_again().await;
}

/// T-48: acks of the wrong kind and doubled ones do not widen the window.
#[tokio::test]
async fn the_send_quota_never_rises_above_its_start() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let witnesses = Witnesses::of(&broker).await;
    let mut hello = connect(V5, "narrow");
    hello.properties.set_receive_maximum(2).unwrap();
    let (mut narrow, _) = Peer::connected_with(&broker, hello).await;
    narrow.subscribe("t", QoS::ExactlyOnce).await;
    let mut publisher = Peer::connected(&broker, V5, "p").await;
    publisher.publish_acked("t", "1").await;
    let first = narrow.receive_publish().await;
    let id = first.guarantee.packet_id().unwrap().get();
    for _ in 0..5 {
        narrow.send(pubcomp(id)).await; // it waits for PUBACK
        narrow.send(puback(id + 100)).await;
    }
    narrow.send(puback(id)).await;
    for _ in 0..5 {
        narrow.send(puback(id)).await;
    }
    narrow.receive_nothing().await;
    for payload in ["2", "3", "4", "5"] {
        publisher.publish_acked("t", payload).await;
    }
    let second = narrow.receive_publish().await;
    let third = narrow.receive_publish().await;
    assert_eq!((&*second.payload, &*third.payload), (&b"2"[..], &b"3"[..]));
    narrow.receive_nothing().await;
    for message in [second, third] {
        let id = message.guarantee.packet_id().unwrap().get();
        narrow.send(puback(id)).await;
    }
    narrow.take_payloads(&["4", "5"]).await;
    narrow.disconnect().await;
    publisher.disconnect().await;
    witnesses.are_alone_again().await;
}

/// T-49
#[tokio::test]
async fn an_id_in_use_is_refused_for_subscribe_and_unsubscribe() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let mut peer = Peer::connected(&broker, V5, "c").await;
    peer.send(publish("t", "").exactly_once(5)).await;
    peer.receive().await;
    let ask = subscribe(5, &[("t", SubscriptionOptions::new(QoS::AtMostOnce))]);
    let suback = peer.subscribe_with(ask).await;
    assert_eq!(suback.reasons, [SubAckReason::PacketIdentifierInUse]);
    peer.send(Packet::Unsubscribe(Unsubscribe {
        packet_id: packet_id(5),
        properties: Default::default(),
        filters: vec![text("t")],
    }))
    .await;
    let Packet::UnsubAck(unsuback) = peer.receive().await else {
        panic!("expected UNSUBACK");
    };
    assert_eq!(unsuback.reasons, [UnsubAckReason::PacketIdentifierInUse]);
    peer.send(pubrel(5)).await;
    assert_eq!(peer.receive().await, pubcomp(5));
    let ask = subscribe(5, &[("t", SubscriptionOptions::new(QoS::AtMostOnce))]);
    let suback = peer.subscribe_with(ask).await;
    assert_eq!(suback.reasons, [SubAckReason::GrantedQoS0]);
}

/// T-53
#[tokio::test]
async fn unsubscribing_with_messages_in_flight_gives_the_quota_back() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let mut hello = connect(V5, "narrow");
    hello.properties.set_receive_maximum(1).unwrap();
    let (mut narrow, _) = Peer::connected_with(&broker, hello).await;
    narrow.subscribe("t", QoS::ExactlyOnce).await;
    let mut publisher = Peer::connected(&broker, V5, "p").await;
    for round in ["1", "2", "3"] {
        publisher.publish_completed("t", round).await;
        let got = narrow.receive_publish().await;
        let id = got.guarantee.packet_id().unwrap().get();
        narrow.unsubscribe(&["t"]).await;
        narrow.send(pubrec(id)).await;
        assert_eq!(narrow.receive().await, pubrel(id));
        narrow.send(pubcomp(id)).await;
        narrow.subscribe("t", QoS::ExactlyOnce).await;
    }
    narrow.receive_nothing().await;
}

/// T-56
#[tokio::test]
async fn a_subscriber_that_refuses_a_message_is_not_asked_again() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let mut hello = connect_durable(V5, "narrow");
    hello.properties.set_receive_maximum(1).unwrap();
    let (mut narrow, _) = Peer::connected_with(&broker, hello.clone()).await;
    narrow.subscribe("t", QoS::ExactlyOnce).await;
    let mut publisher = Peer::connected(&broker, V5, "p").await;
    publisher.publish_completed("t", "no").await;
    let got = narrow.receive_publish().await;
    narrow
        .send(Packet::PubRec(PubRec {
            packet_id: got.guarantee.packet_id().unwrap(),
            reason: PubRecReason::QuotaExceeded,
            properties: Default::default(),
        }))
        .await;
    narrow.receive_nothing().await;
    // Its place in the window is free, and nothing is sent again.
    publisher.publish_completed("t", "yes").await;
    narrow.take_payloads(&["yes"]).await;
    narrow.cut();
    let (mut back, connack) = Peer::connected_with(&broker, hello).await;
    assert!(connack.session_present);
    back.receive_nothing().await;
}

/// T-59: whatever it does meanwhile, what it has not answered is not sent again on this connection.
#[tokio::test]
async fn a_live_connection_gets_no_message_twice() {
    let (clock, hand) = Clock::manual();
    let broker = Broker::builder().threads(2).clock(clock).start().unwrap();
    let (mut lazy, _) = Peer::connected_with(&broker, connect_durable(V5, "lazy")).await;
    lazy.subscribe("t", QoS::ExactlyOnce).await;
    let mut publisher = Peer::connected(&broker, V5, "p").await;
    publisher.publish_acked("t", "one").await;
    publisher.publish_completed("t", "two").await;
    let one = lazy.receive_publish().await;
    let two = lazy.receive_publish().await;
    for _ in 0..10 {
        hand.advance(std::time::Duration::from_secs(600));
        lazy.receive_nothing().await;
    }
    lazy.cut();
    let (mut back, _) = Peer::connected_with(&broker, connect_durable(V5, "lazy")).await;
    for sent in [one, two] {
        assert_eq!(back.receive_publish().await, sent.dup());
    }
    back.receive_nothing().await;
}
