//! Connections that would make the broker wait, keep or forget too much.

use std::{sync::Arc, time::Duration};

use whinchat_broker::{
    Broker, BrokerHandle, Clock, ClockHand,
    config::ByteSize,
    hooks::{Client, DeliverVerdict, Intercept, Interest, MessageEvent},
};
use whinchat_codec::{
    Connect, Packet, PacketType, QoS, SubscriptionOptions, UnsubAck, UnsubAckReason, Unsubscribe,
};

use crate::{
    harness::{TestBroker, limited, on_every_broker, on_every_broker_with},
    open_log::{OpenLog, open_log},
    peer::{
        Peer, Refine, V5, V311, connect, connect_durable, packet_id, puback, publish, subscribe,
        text,
    },
};

/// A broker of one shard whose log the test holds.
fn logged(log: &Arc<OpenLog>, refine: impl Fn(Broker) -> Broker) -> (BrokerHandle, ClockHand) {
    let (clock, hand) = Clock::manual();
    let builder = refine(Broker::builder()).threads(1).clock(clock);
    let broker = builder.log(Arc::clone(log) as _).start().unwrap();
    (broker, hand)
}

/// Waits until the shard has taken some turns.
async fn some_turns(broker: &BrokerHandle) {
    let mut probe = Peer::connected(broker, V5, "probe").await;
    for _ in 0..3 {
        probe.receive_nothing().await;
    }
    probe.disconnect().await;
}

/// I-11. Each PINGREQ brings a PINGRESP that stays here.
#[tokio::test]
async fn a_client_that_asks_and_never_listens_is_not_heard_for_ever() {
    let small = limited(|limits| limits.unsent_size = ByteSize::kib(64));
    on_every_broker_with(small, async |broker| {
        let mut deaf = Peer::connected(broker, V5, "deaf").await;
        let pings = [0xC0, 0].repeat(32 * 1024);
        let mut sent = 0;
        // What the stream, the buffer and one turn hold is far below this.
        while sent < 4 * 1024 * 1024 {
            match deaf.send_until(&pings[sent % 2..], broker.settle()).await {
                0 => break,
                taken => sent += taken,
            }
        }
        assert!(sent < 4 * 1024 * 1024, "all the answers are kept");
        for _ in 0..sent / 2 {
            assert_eq!(deaf.receive().await, Packet::PingResp);
        }
        deaf.send_bytes(&pings[sent % 2..2]).await;
        assert_eq!(deaf.receive().await, Packet::PingResp);
        deaf.disconnect().await;
    })
    .await;
}

/// A client of 3.x that sends more than the log commits waits in its socket; it is not silent.
#[tokio::test]
async fn keep_alive_does_not_run_out_while_the_socket_is_not_read() {
    let log = open_log();
    let (broker, hand) = logged(&log, |builder| builder);
    let mut keeper = Peer::connected_with(&broker, connect_durable(V5, "s"))
        .await
        .0;
    keeper.subscribe("t", QoS::AtLeastOnce).await;
    let connect = Connect {
        keep_alive: 10,
        ..connect(V311, "p")
    };
    let mut publisher = Peer::connected_with(&broker, connect).await.0;
    log.hold();
    for id in 1..=257 {
        publisher.send(publish("t", "x").at_least_once(id)).await;
    }
    some_turns(&broker).await;
    hand.advance(Duration::from_secs(100));
    some_turns(&broker).await;
    log.release();
    for id in 1..=257 {
        assert_eq!(publisher.receive().await, puback(id));
    }
    publisher.disconnect().await;
}

/// A client of 5.0 that keeps to no Receive Maximum, with packets that count towards none.
#[tokio::test]
async fn answers_that_wait_for_the_log_are_bounded() {
    let log = open_log();
    let (broker, _hand) = logged(&log, |builder| builder);
    let mut peer = Peer::connected_with(&broker, connect_durable(V5, "s"))
        .await
        .0;
    log.hold();
    let subscribe = |id| subscribe(id, &[("t", SubscriptionOptions::new(QoS::AtMostOnce))]);
    for id in 1..=1000 {
        peer.send(Packet::Subscribe(subscribe(id))).await;
    }
    some_turns(&broker).await;
    let read = broker
        .metrics()
        .sum(|shard| shard.packets_received.of(PacketType::Subscribe).value());
    assert!(read < 300, "{read} were read");
    log.release();
    for id in 1..=1000 {
        match peer.receive().await {
            Packet::SubAck(suback) => assert_eq!(suback.packet_id, packet_id(id)),
            other => panic!("{other:?}"),
        }
    }
}

/// The kinds of records that these tests read: see `core::records`.
const MESSAGE: u8 = 1;
const ROUTE: u8 = 2;
const RETAIN: u8 = 7;
const SESSION: u8 = 3;
const ACKED: u8 = 9;
const DROPPED: u8 = 16;

/// The numbers that begin a record.
fn numbers(body: &[u8]) -> impl Iterator<Item = u64> {
    let mut rest = body.iter();
    std::iter::from_fn(move || {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = *rest.next()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                break;
            }
        }
        Some(value)
    })
}

/// The first number of each record of this kind: a message, or a session.
fn named_by(log: &OpenLog, kind: u8) -> Vec<u64> {
    let first = |body: &Vec<u8>| numbers(body).next().unwrap();
    log.records(kind).iter().map(first).collect()
}

#[tokio::test]
async fn a_message_that_moves_to_another_member_leaves_the_first_in_the_log_too() {
    let log = open_log();
    let (broker, _hand) = logged(&log, |builder| builder);
    let mut first = Peer::connected_with(&broker, connect_durable(V5, "1"))
        .await
        .0;
    first.subscribe("$share/g/t", QoS::AtLeastOnce).await;
    let mut publisher = Peer::connected(&broker, V5, "p").await;
    publisher.publish_acked("t", "x").await;
    first.receive_publish().await;
    let mut second = Peer::connected_with(&broker, connect_durable(V5, "2"))
        .await
        .0;
    second.subscribe("$share/g/t", QoS::AtLeastOnce).await;
    assert_eq!(log.records(ACKED), [[0; 0]; 0]);
    first.cut();
    second.take_payloads(&["x"]).await;
    let message = named_by(&log, MESSAGE)[0];
    let gave_back = named_by(&log, SESSION)[0];
    assert_eq!(named_by(&log, ACKED)[0], gave_back, "its packet id is free");
    assert_eq!(log.records(DROPPED), [[0; 0]; 0]);
    assert_eq!(named_by(&log, ROUTE), [message, message]);
}

#[tokio::test]
async fn a_message_of_a_member_without_records_is_in_the_log_when_one_with_records_gets_it() {
    let log = open_log();
    let (broker, _hand) = logged(&log, |builder| builder);
    let mut first = Peer::connected(&broker, V5, "1").await;
    first.subscribe("$share/g/t", QoS::AtLeastOnce).await;
    let mut publisher = Peer::connected(&broker, V5, "p").await;
    publisher.publish_acked("t", "x").await;
    first.receive_publish().await;
    let mut second = Peer::connected_with(&broker, connect_durable(V5, "2"))
        .await
        .0;
    second.subscribe("$share/g/t", QoS::AtLeastOnce).await;
    first.cut();
    second.take_payloads(&["x"]).await;
    assert_eq!(named_by(&log, MESSAGE), named_by(&log, ROUTE));
    assert_eq!(named_by(&log, ROUTE).len(), 1);
}

#[tokio::test]
async fn what_an_interceptor_withholds_is_not_in_the_queue_after_a_restart() {
    struct Withhold;
    impl Intercept for Withhold {
        fn interest(&self) -> Interest {
            Interest::none().with_deliveries("#")
        }
        fn on_deliver(&self, _: &Client<'_>, _: &MessageEvent<'_>) -> DeliverVerdict {
            DeliverVerdict::Drop
        }
    }
    let log = open_log();
    let (broker, _hand) = logged(&log, |builder| builder.intercept(Withhold));
    let mut subscriber = Peer::connected_with(&broker, connect_durable(V5, "s"))
        .await
        .0;
    subscriber.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = Peer::connected(&broker, V5, "p").await;
    publisher.publish_acked("t", "x").await;
    assert_eq!(log.records(ROUTE).len(), 1);
    assert_eq!(log.records(DROPPED).len(), 1);
}

#[tokio::test]
async fn a_retained_message_for_a_session_that_survives_is_recorded_as_its_own() {
    let log = open_log();
    let (broker, _hand) = logged(&log, |builder| builder);
    let mut publisher = Peer::connected(&broker, V5, "p").await;
    publisher
        .send(publish("t", "x").at_least_once(1).retained())
        .await;
    publisher.receive().await;
    assert_eq!(named_by(&log, ROUTE), [0; 0]);
    let mut subscriber = Peer::connected_with(&broker, connect_durable(V5, "s"))
        .await
        .0;
    subscriber.subscribe("t", QoS::AtLeastOnce).await;
    subscriber.take_payloads(&["x"]).await;
    assert_eq!(named_by(&log, ROUTE), named_by(&log, RETAIN));
}

/// v5 [MQTT-3.3.4-4], after a restart.
#[tokio::test]
async fn all_subscription_identifiers_of_a_delivery_are_recorded() {
    let log = open_log();
    let (broker, _hand) = logged(&log, |builder| builder);
    let mut subscriber = Peer::connected_with(&broker, connect_durable(V5, "s"))
        .await
        .0;
    for (id, filter) in [(7, "t"), (8, "+"), (9, "#")] {
        let mut subscribe = subscribe(1, &[(filter, SubscriptionOptions::new(QoS::AtLeastOnce))]);
        subscribe
            .properties
            .set_subscription_identifier(id)
            .unwrap();
        subscriber.subscribe_with(subscribe).await;
    }
    let mut publisher = Peer::connected(&broker, V5, "p").await;
    publisher.publish_acked("t", "x").await;
    let route = log.records(ROUTE).remove(0);
    let mut ids: Vec<u64> = numbers(&route).skip(3).collect();
    assert_eq!(ids.remove(0), 3, "as many");
    ids.sort_unstable();
    assert_eq!(ids, [7, 8, 9]);
}

#[tokio::test]
async fn what_the_broker_says_of_itself_is_not_recorded() {
    let log = open_log();
    let (broker, hand) = logged(&log, |builder| builder);
    hand.advance(Duration::from_secs(60));
    some_turns(&broker).await;
    assert_eq!(log.records(RETAIN).len(), 0);
}

/// Keeps `count` retained messages below "r".
async fn retain(broker: &BrokerHandle, count: usize) {
    let mut publisher = Peer::connected(broker, V5, "retainer").await;
    for (number, id) in (0..count).zip((1..=100).cycle()) {
        let number = number.to_string();
        let message = publish(&format!("r/{number}"), &number);
        publisher.send(message.at_least_once(id).retained()).await;
        if number.ends_with("99") {
            for _ in 0..100 {
                publisher.receive().await;
            }
        }
    }
    publisher.disconnect().await;
}

/// Acknowledges what comes until nothing more does; how many messages those were.
async fn take_all(broker: &TestBroker, subscriber: &mut Peer) -> usize {
    let mut taken = 0;
    loop {
        broker.settle().await;
        subscriber.send(Packet::PingReq).await;
        let before = taken;
        loop {
            match subscriber.receive().await {
                Packet::PingResp => break,
                Packet::Publish(publish) => {
                    let id = publish.guarantee.packet_id().unwrap();
                    subscriber.send(puback(id.get())).await;
                    taken += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        if taken == before {
            return taken;
        }
    }
}

/// v5 [MQTT-3.10.4-2]: what was not sent yet is not sent any more.
#[tokio::test]
async fn retained_messages_stop_with_the_subscription() {
    on_every_broker(async |broker| {
        retain(broker, 3_000).await;
        let mut subscriber = Peer::connected(broker, V5, "s").await;
        subscriber.subscribe("r/#", QoS::AtLeastOnce).await;
        subscriber
            .send(Packet::Unsubscribe(Unsubscribe {
                packet_id: packet_id(2),
                properties: Default::default(),
                filters: vec![text("r/#")],
            }))
            .await;
        let unsuback = UnsubAck {
            packet_id: packet_id(2),
            properties: Default::default(),
            reasons: vec![UnsubAckReason::Success],
        };
        subscriber
            .receive_before_more_messages(Packet::UnsubAck(unsuback))
            .await;
        let taken = take_all(broker, &mut subscriber).await;
        assert!(taken < 3_000, "{taken}");
        subscriber.disconnect().await;
    })
    .await;
}

#[tokio::test]
async fn retained_messages_go_on_when_the_session_is_back() {
    on_every_broker(async |broker| {
        retain(broker, 3_000).await;
        let durable = connect_durable(V5, "s");
        let mut subscriber = Peer::connected_with(broker, durable.clone()).await.0;
        subscriber.subscribe("r/#", QoS::AtLeastOnce).await;
        broker.settle().await;
        subscriber.cut();
        broker.settle().await;
        let mut back = Peer::connected_with(broker, durable).await.0;
        assert_eq!(take_all(broker, &mut back).await, 3_000);
        back.disconnect().await;
    })
    .await;
}

/// More than one turn works off.
/// T-70
#[tokio::test]
async fn sessions_that_expire_together_all_end() {
    let (broker, hand) = logged(&open_log(), |builder| builder);
    for number in 0..2_500 {
        let id = format!("s{number}");
        let (peer, _) = Peer::connected_with(&broker, connect_durable(V5, &id)).await;
        peer.cut();
    }
    some_turns(&broker).await;
    hand.advance(Duration::from_secs(3_601));
    some_turns(&broker).await;
    let left = broker.metrics().sum_gauge(|shard| shard.sessions.value());
    assert_eq!(left, 0);
}
