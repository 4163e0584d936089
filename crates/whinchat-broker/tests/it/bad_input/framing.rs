//! T-03 to T-07, T-10, T-14 to T-17: bytes, their lengths and their pieces.

use std::fs;

use bytes::Bytes;
use proptest::prelude::*;
use whinchat_broker::{Broker, Limit};
use whinchat_codec::{
    Connect, Disconnect, DisconnectReason, Packet, ProtocolVersion, Publish, QoS,
    SubscriptionOptions,
};

use super::{Answer, Raw, Witnesses, encoded, eventually};
use crate::peer::{Peer, Refine, V5, V31, V311, connect, publish, pubrel, subscribe, text, will};

/// A whole life in one write: all the broker answers depends on nothing but these bytes.
fn a_life(version: ProtocolVersion) -> Vec<u8> {
    let goodbye = Disconnect::new(DisconnectReason::NormalDisconnection);
    let large = Publish {
        payload: Bytes::from(vec![b'x'; 5_000]),
        ..publish("own/large", "")
    };
    encoded(
        version,
        [
            Packet::Connect(Box::new(connect(version, "life"))),
            Packet::Subscribe(subscribe(
                1,
                &[("own/#", SubscriptionOptions::new(QoS::AtMostOnce))],
            )),
            Packet::Publish(publish("own/1", "one")),
            Packet::Publish(publish("own/2", "two").at_least_once(2)),
            Packet::Publish(large),
            Packet::Publish(publish("own/3", "three").exactly_once(3)),
            pubrel(3),
            Packet::PingReq,
            Packet::Disconnect(goodbye),
        ],
    )
}

async fn answers(
    broker: &whinchat_broker::BrokerHandle,
    version: ProtocolVersion,
    pieces: &[&[u8]],
) -> Answer {
    let mut peer = Raw::silent(broker, version);
    for piece in pieces {
        peer.send(piece).await;
        tokio::task::yield_now().await;
    }
    peer.until_closed().await.expect("it said goodbye")
}

/// T-06
#[tokio::test]
async fn one_byte_at_a_time_is_answered_like_all_at_once() {
    let broker = Broker::builder().threads(1).start().unwrap();
    for version in [V31, V311, V5] {
        let life = a_life(version);
        let whole = answers(&broker, version, &[&life]).await;
        assert_eq!(whole.0.len(), 10, "{whole:?}");
        let bytes: Vec<&[u8]> = life.chunks(1).collect();
        assert_eq!(answers(&broker, version, &bytes).await, whole);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// T-06
    #[test]
    fn cuts_anywhere_change_no_answer(cuts in proptest::collection::vec(0..5_200_usize, 0..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let broker = Broker::builder().threads(1).start().unwrap();
            let life = a_life(V5);
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < life.len()).collect();
            cuts.extend([0, life.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &life[ends[0]..ends[1]]).collect();
            let whole = answers(&broker, V5, &[&life]).await;
            assert_eq!(answers(&broker, V5, &pieces).await, whole);
        });
    }
}

/// T-07: each piece is read by itself, and is looked at when the last one is there.
#[tokio::test]
async fn a_large_packet_may_come_in_thousands_of_pieces() {
    let broker = Broker::builder().threads(1).start().unwrap();
    let mut witnesses = Witnesses::of(&broker).await;
    let mut peer = Peer::connected(&broker, V5, "dribbles").await;
    peer.subscribe("t", QoS::AtMostOnce).await;
    let message = Publish {
        payload: Bytes::from(vec![b'x'; 1 << 20]),
        ..publish("t", "")
    };
    let turns = || broker.metrics().sum(|shard| shard.shard_turns.value());
    for piece in encoded(V5, [Packet::Publish(message.clone())]).chunks(256) {
        let before = turns();
        peer.send_bytes(piece).await;
        while turns() == before {
            std::thread::yield_now();
        }
    }
    assert_eq!(peer.receive_publish().await, message);
    witnesses.notice_nothing().await;
    peer.disconnect().await;
    witnesses.are_alone_again().await;
}

/// T-05: every prefix of packets of every kind, then the end.
#[tokio::test]
async fn a_packet_that_breaks_off_is_an_abrupt_end() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let mut witnesses = Witnesses::of(&broker).await;
    for version in [V31, V311, V5] {
        let life = a_life(version);
        for end in (0..life.len()).filter(|end| *end < 200 || end + 100 > life.len()) {
            let mut peer = Raw::silent(&broker, version);
            peer.send(&life[..end]).await;
            drop(peer);
        }
        witnesses.notice_nothing().await;
    }
    let mut watcher = Peer::connected(&broker, V5, "watcher").await;
    watcher.subscribe("gone", QoS::AtMostOnce).await;
    let hello = Connect {
        will: Some(will("gone", "broke off")),
        ..connect(V5, "c")
    };
    let (mut peer, _) = Peer::connected_with(&broker, hello).await;
    peer.send_bytes(&[0x30, 9, 0, 1]).await;
    peer.cut();
    assert_eq!(watcher.receive_publish().await.payload, "broke off");
    watcher.disconnect().await;
    witnesses.are_alone_again().await;
}

/// T-03: memory follows the bytes that came, never a length that was declared.
#[tokio::test]
async fn ten_thousand_declared_lengths_reserve_nothing() {
    const SOCKETS: usize = 10_000;
    let mut config = whinchat_broker::config::Config::embedded();
    // As large as MQTT allows, so that nothing is refused for its length alone.
    let all = whinchat_broker::config::ByteSize::new(268_435_460);
    config.limits.packet_size = all;
    config.limits.packet_size_before_connect = all;
    config.limits.connections = whinchat_broker::config::Auto::Set(300_000);
    let broker = Broker::builder().config(config).threads(2).start().unwrap();
    let witnesses = Witnesses::of(&broker).await;
    let before = resident_bytes();
    let mut peers = Vec::new();
    for number in 0..SOCKETS {
        let mut peer = Raw::silent(&broker, V5);
        let first = if number % 2 == 0 { 0x10 } else { 0x30 };
        peer.send(&[first, 0xff, 0xff, 0xff, 0x7f, 0, 4, b'M'])
            .await;
        peers.push(peer);
    }
    let open = || {
        broker
            .metrics()
            .sum_gauge(|shard| shard.connections.value())
    };
    eventually(
        || open() >= SOCKETS as u64 / 2,
        || format!("{} are open", open()),
    )
    .await;
    let grown = resident_bytes().saturating_sub(before);
    println!(
        "{SOCKETS} sockets, {} open: {} KiB more",
        open(),
        grown >> 10
    );
    // One declared length alone is 256 MiB.
    assert!(grown < 256 << 20, "{grown} bytes");
    drop(peers);
    witnesses.are_alone_again().await;
}

fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        << 10
}

/// T-14: names are bytes; what looks alike is not.
#[tokio::test]
async fn names_are_compared_byte_for_byte() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let mut peer = Peer::connected(&broker, V5, "c").await;
    let names = [
        "caf\u{e9}",
        "cafe\u{301}",
        "Caf\u{e9}",
        "\u{feff}caf\u{e9}",
        "\u{ff0b}/\u{ff03}",
    ];
    for (number, name) in (1..).zip(names) {
        let mut packet = subscribe(1, &[(name, SubscriptionOptions::new(QoS::AtMostOnce))]);
        packet
            .properties
            .set_subscription_identifier(number)
            .unwrap();
        peer.subscribe_with(packet).await;
    }
    for (number, name) in (1..).zip(names) {
        peer.send(publish(name, "")).await;
        let got = peer.receive_publish().await;
        assert_eq!(got.topic, text(name));
        let ids: Vec<u32> = got.properties.subscription_identifiers().collect();
        assert_eq!(ids, [number], "{name:?}");
    }
}

/// T-17
#[tokio::test]
async fn what_the_peer_cannot_take_is_not_sent_and_counted() {
    let broker = Broker::builder().threads(2).start().unwrap();
    let mut hello = connect(V5, "small");
    hello.properties.set_maximum_packet_size(64).unwrap();
    let (mut small, _) = Peer::connected_with(&broker, hello).await;
    small.subscribe("t", QoS::ExactlyOnce).await;
    let mut publisher = Peer::connected(&broker, V5, "p").await;
    for payload in ["before", &"x".repeat(100), "after"] {
        publisher.publish_acked("t", payload).await;
    }
    small.take_payloads(&["before", "after"]).await;
    small.receive_nothing().await;
    let dropped = broker.metrics().encode();
    let line = "whinchat_messages_dropped_total{reason=\"packet_too_large\"} 1";
    assert!(dropped.lines().any(|own| own == line), "{dropped}");
    assert_eq!(
        broker
            .metrics()
            .sum(|shard| shard.limit_hits.of(Limit::PacketSize).value()),
        0
    );
}
