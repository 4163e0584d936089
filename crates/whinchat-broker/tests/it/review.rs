//! Connections that would make the broker wait, keep or forget too much.

use std::{sync::Arc, time::Duration};

use whinchat_broker::{Broker, BrokerHandle, Clock, ClockHand, config::ByteSize};
use whinchat_codec::{Connect, Packet, PacketType, QoS, SubscriptionOptions};

use crate::{
    harness::{limited, on_every_broker_with},
    open_log::{OpenLog, open_log},
    peer::{
        Peer, Refine, V5, V311, connect, connect_durable, packet_id, puback, publish, subscribe,
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
