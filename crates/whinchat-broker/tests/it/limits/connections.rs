//! L-2, L-4, L-13, L-14, L-16, L-17 and L-20: who may be there.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use whinchat_broker::{
    Broker, Clock, Limit,
    config::{Auto, ByteSize, Config, Seconds},
};
use whinchat_codec::{ConnAckReason, DisconnectReason, Packet, ProtocolVersion, PubAckReason, QoS};
use whinchat_transport::Peer as Address;

use super::hits;
use crate::{
    harness::{TestBroker, configured, limited, on_every_broker_with},
    log_lines,
    peer::{Peer, Refine, V5, V31, V311, connect, connect_durable, publish, will},
};

fn address(ip: &str) -> Address {
    let ip: IpAddr = ip.parse().unwrap();
    Address::Tcp(SocketAddr::new(ip, 50_000))
}

fn silent_from(broker: &TestBroker, ip: &str, version: ProtocolVersion) -> Peer {
    Peer::on(broker.connect_in_memory_as(address(ip)), version)
}

/// L-2. T-20
#[tokio::test]
async fn a_connect_that_is_not_complete_in_time_is_cut() {
    on_every_broker_with(limited(|_| {}), async |broker| {
        let mut silent = Peer::silent(broker, V5);
        let mut slow = Peer::silent(broker, V5);
        slow.send_bytes(&[0x10, 14, 0, 4]).await;
        broker.settle().await;
        broker.advance(Duration::from_millis(9_900)).await;
        assert_eq!(hits(broker, Limit::ConnectTimeout), 0);
        broker.advance(Duration::from_millis(500)).await;
        silent.receive_end().await;
        slow.receive_end().await;
        assert_eq!(hits(broker, Limit::ConnectTimeout), 2);
    })
    .await;
}

/// L-4. T-21, T-22
#[tokio::test]
async fn the_longest_keep_alive_holds_for_every_version() {
    let minute = limited(|limits| limits.keep_alive_max = Some(Seconds::new(60)));
    on_every_broker_with(minute, async |broker| {
        let mut watcher = Peer::connected(broker, V5, "watcher").await;
        watcher.subscribe("gone/+", QoS::AtMostOnce).await;
        for (version, keep_alive) in [(V5, 0), (V5, 65_535), (V311, 0), (V31, 65_535)] {
            let before = hits(broker, Limit::KeepAliveMax);
            let mut hello = connect(version, "c");
            hello.keep_alive = keep_alive;
            hello.will = Some(will("gone/c", "gone"));
            let (mut peer, connack) = Peer::connected_with(broker, hello).await;
            if version == V5 {
                assert_eq!(connack.properties.server_keep_alive(), Some(60));
            }
            assert_eq!(hits(broker, Limit::KeepAliveMax), before + 1);
            for _ in 0..3 {
                // The others are heard of in time.
                broker.advance(Duration::from_secs(29)).await;
                watcher.receive_nothing().await;
            }
            broker.advance(Duration::from_secs(4)).await;
            peer.receive_disconnect(DisconnectReason::KeepAliveTimeout)
                .await;
            assert_eq!(watcher.receive_publish().await.payload, "gone");
        }
    })
    .await;
}

/// L-14
#[tokio::test]
async fn anonymous_clients_from_elsewhere_have_bounds_of_their_own() {
    let one = limited(|limits| limits.anonymous_sessions = 1);
    on_every_broker_with(one, async |broker| {
        let mut first = silent_from(broker, "192.0.2.1", V5);
        let mut hello = connect_durable(V5, "first");
        hello.properties.set_session_expiry_interval(u32::MAX);
        let connack = first.log_in(hello).await;
        assert_eq!(connack.reason, ConnAckReason::Success);
        assert_eq!(connack.properties.session_expiry_interval(), Some(86_400));
        assert_eq!(hits(broker, Limit::AnonymousSessionExpiryMax), 1);

        let mut second = silent_from(broker, "192.0.2.2", V5);
        let connack = second.log_in(connect_durable(V5, "second")).await;
        assert_eq!(connack.reason, ConnAckReason::QuotaExceeded);
        assert_eq!(hits(broker, Limit::AnonymousSessions), 1);

        let mut clean = silent_from(broker, "192.0.2.2", V5);
        assert!(!clean.log_in(connect(V5, "clean")).await.reason.is_error());
        let (local, _) = Peer::connected_with(broker, connect_durable(V5, "local")).await;
        local.disconnect().await;
    })
    .await;
}

/// L-14
#[tokio::test]
async fn it_is_said_when_most_durable_sessions_are_used_up() {
    log_lines::keep();
    let ten = limited(|limits| limits.durable_sessions = 4_321);
    on_every_broker_with(ten, async |_| {}).await;
    let five = limited(|limits| limits.durable_sessions = 5);
    on_every_broker_with(five, async |broker| {
        let mut peers = Vec::new();
        for id in ["1", "2", "3", "4"] {
            peers.push(Peer::connected_with(broker, connect_durable(V5, id)).await);
        }
        broker.advance(Duration::from_secs(1)).await;
        let said = log_lines::with(&["sessions=4 most=5", "limits.durable_sessions"]);
        assert!(!said.is_empty());
        assert!(log_lines::with(&["most=4321"]).is_empty());
    })
    .await;
}

/// L-16. T-27
#[tokio::test]
async fn clients_that_fight_for_one_id_slow_each_other_down() {
    log_lines::keep();
    let three = limited(|limits| limits.takeovers = 3);
    on_every_broker_with(three, async |broker| {
        let mut holder = Peer::connected(broker, V5, "fought\nfor").await;
        for _ in 0..3 {
            let next = Peer::connected(broker, V5, "fought\nfor").await;
            holder
                .receive_disconnect(DisconnectReason::SessionTakenOver)
                .await;
            holder = next;
        }
        let mut next = Peer::silent(broker, V5);
        next.send(Packet::Connect(Box::new(connect(V5, "fought\nfor"))))
            .await;
        broker.settle().await;
        broker.advance(Duration::from_millis(400)).await;
        holder.receive_nothing().await;
        broker.advance(Duration::from_millis(400)).await;
        holder
            .receive_disconnect(DisconnectReason::SessionTakenOver)
            .await;
        let Packet::ConnAck(connack) = next.receive().await else {
            panic!("expected CONNACK");
        };
        assert_eq!(connack.reason, ConnAckReason::Success);
        assert_eq!(hits(broker, Limit::Takeovers), 1);
        assert!(!log_lines::with(&[r#""fought\nfor""#, "limits.takeovers"]).is_empty());

        // After a quiet period it goes at once again.
        broker.advance(Duration::from_secs(10)).await;
        Peer::connected(broker, V5, "fought\nfor").await;
        assert_eq!(hits(broker, Limit::Takeovers), 1);
    })
    .await;
}

/// L-16
#[tokio::test]
async fn connects_from_one_address_are_held_under_their_rate() {
    let two = limited(|limits| limits.connects_per_address = Some(2));
    on_every_broker_with(two, async |broker| {
        for round in 1..=2 {
            for _ in 0..2 {
                let mut peer = silent_from(broker, "192.0.2.1", V5);
                assert!(!peer.log_in(connect(V5, "c")).await.reason.is_error());
            }
            silent_from(broker, "192.0.2.1", V5).receive_end().await;
            assert_eq!(hits(broker, Limit::ConnectsPerAddress), round);
            let mut other = silent_from(broker, "192.0.2.2", V5);
            assert!(!other.log_in(connect(V5, "d")).await.reason.is_error());
            broker.advance(Duration::from_secs(1)).await;
        }
    })
    .await;
}

/// L-17. T-20, T-28
#[tokio::test]
async fn a_flood_of_silent_connections_pushes_itself_out() {
    let forty = limited(|limits| limits.connections = Auto::Set(40)); // 4 strangers, 2 before one has to go
    on_every_broker_with(forty, async |broker| {
        broker.settle().await;
        let mut flood = Vec::new();
        for _ in 0..60 {
            flood.push(silent_from(broker, "192.0.2.66", V5));
            broker.settle().await;
        }
        let mut good = silent_from(broker, "192.0.2.1", V311);
        assert!(!good.log_in(connect(V311, "good")).await.reason.is_error());
        let hit = hits(broker, Limit::UnauthenticatedPercent);
        assert!(hit >= 55, "{hit}");
        for mut pushed in flood.drain(..50) {
            pushed.receive_end().await;
        }
        good.receive_nothing().await;
    })
    .await;
}

/// L-20. T-85
#[tokio::test]
async fn above_the_memory_cap_nothing_new_is_taken() {
    const BALLAST_BYTES: usize = 64 << 20;
    let ballast = vec![1_u8; BALLAST_BYTES];
    let small = |most: ByteSize| {
        move |config: &mut Config| {
            config.sys.interval = None;
            config.limits.memory_size = Auto::Set(most);
        }
    };
    on_every_broker_with(configured(small(ByteSize::gib(64))), async |broker| {
        let mut peer = Peer::connected(broker, V5, "p").await;
        peer.subscribe("t/#", QoS::AtLeastOnce).await;
        let mut old = Peer::connected(broker, V311, "old").await;
        let mut config = Config::embedded();
        small(ByteSize::mib(32))(&mut config);
        broker.reload(&config).unwrap();
        broker.move_clock(Duration::from_secs(1));
        until_all_are(broker, ConnAckReason::QuotaExceeded).await;

        let (quota, busy) = (
            ConnAckReason::QuotaExceeded,
            ConnAckReason::ServerUnavailable,
        );
        for (version, reason) in [(V5, quota), (V311, busy), (V31, busy)] {
            let mut late = Peer::silent(broker, version);
            let connack = late.log_in(connect(version, "late")).await;
            assert_eq!(connack.reason, reason);
            late.receive_end().await;
        }
        let puback = peer.publish_acked("t/1", "x").await;
        assert_eq!(puback.reason, PubAckReason::QuotaExceeded);
        // Delivered, and not kept.
        peer.send(publish("t/2", "x").retained()).await;
        assert_eq!(&*peer.receive_publish().await.topic, "t/2");
        // No ack that would be a lie.
        old.send(publish("t/1", "x").at_least_once(1)).await;
        old.receive_end().await;
        assert!(hits(broker, Limit::MemorySize) >= 6);

        small(ByteSize::gib(64))(&mut config);
        broker.reload(&config).unwrap();
        broker.move_clock(Duration::from_secs(1));
        until_all_are(broker, ConnAckReason::Success).await;
        let mut late = Peer::connected(broker, V5, "late").await;
        late.subscribe("t/#", QoS::AtMostOnce).await;
        late.receive_nothing().await;
    })
    .await;
    assert_eq!(
        ballast.iter().filter(|byte| **byte == 1).count(),
        BALLAST_BYTES
    );
}

/// Connects until every shard gives this answer: they hear of the memory one after the other.
async fn until_all_are(broker: &TestBroker, reason: ConnAckReason) {
    let mut in_a_row = 0;
    while in_a_row < 4 {
        let mut peer = Peer::silent(broker, V5);
        let answer = peer.log_in(connect(V5, "")).await.reason;
        in_a_row = if answer == reason { in_a_row + 1 } else { 0 };
    }
}

/// L-2: the settings of the whole broker hold where no test clock does.
#[tokio::test]
async fn a_broker_on_the_system_clock_watches_as_well() {
    let mut config = Config::embedded();
    config.limits.connect_timeout = Duration::from_millis(100);
    let broker = Broker::builder()
        .config(config)
        .clock(Clock::system())
        .threads(1)
        .start()
        .unwrap();
    Peer::silent(&broker, V5).receive_end().await;
    assert_eq!(hits(&broker, Limit::ConnectTimeout), 1);
}
