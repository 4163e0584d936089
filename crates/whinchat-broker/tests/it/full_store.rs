//! A store without room for more: T-118, and L-20 where it is about the disk.

use std::time::Duration;

use whinchat_broker::{BrokerHandle, Limit, config::Config, metrics::ShardMetrics};
use whinchat_codec::{Packet, QoS};

use crate::{
    peer::{Peer, Refine, V5, V311, connect_durable, puback, publish},
    restart::{Lives, SEGMENT_BYTES, on_a_store, on_a_store_with},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_what_must_survive_and_nothing_else_until_there_is_room() {
    on_a_store(async |lives, broker| {
        let (mut reader, _) = Peer::connected_with(&broker, connect_durable(V5, "reader")).await;
        reader.subscribe("a/#", QoS::AtLeastOnce).await;
        let mut writer = Peer::connected(&broker, V5, "writer").await;
        let mut old_writer = Peer::connected(&broker, V311, "old-writer").await;
        lives.disk.set_capacity(Some(lives.disk.used_bytes()));
        let body = "x".repeat(2_000);
        let mut taken = 0;
        while !writer.publish_acked("a/b", &body).await.reason.is_error() {
            reader.take_payloads(&[&body]).await;
            taken += 1;
            assert!(taken < 1_000, "the disk never fills up");
        }
        // What needs no store goes on, and so does what empties queues.
        writer.publish_read(publish("a/b", "QoS 0")).await;
        reader.take_payloads(&["QoS 0"]).await;
        assert!(!writer.publish_acked("nobody", "x").await.reason.is_error());
        // A publisher that cannot be told waits.
        old_writer
            .send(publish("a/b", "waited").at_least_once(7))
            .await;
        reader.receive_nothing().await;
        lives.disk.set_capacity(None);
        assert_eq!(old_writer.receive().await, puback(7));
        reader.take_payloads(&["waited"]).await;
        while writer.publish_acked("a/b", "again").await.reason.is_error() {}
        reader.take_payloads(&["again"]).await;
        drop(broker);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_of_what_nobody_needs_is_cleared() {
    on_a_store(async |lives, broker| {
        // Less than a log has before it is written anew for its length alone.
        lives.disk.set_capacity(Some(3 * SEGMENT_BYTES));
        let mut writer = Peer::connected(&broker, V5, "writer").await;
        let body = "x".repeat(4_000);
        for _ in 0..20 * SEGMENT_BYTES / 4_000 {
            within_reason(async || {
                writer
                    .send(publish("state", &body).at_least_once(1).retained())
                    .await;
                let Packet::PubAck(puback) = writer.receive().await else {
                    panic!("expected PUBACK");
                };
                lives.hand.advance(Duration::from_secs(1));
                !puback.reason.is_error()
            })
            .await;
        }
        drop(broker);
    })
    .await;
}

/// What is written anew needs room before what is old is given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_does_not_fill_the_disk_by_writing_anew_what_is_needed() {
    // The disk is full of other things: the log has no share that it exceeds.
    let mut config = Config::embedded();
    config.limits.store_percent = 100;
    for more in 0..4 {
        on_a_store_with(config.clone(), async |lives, broker| {
            absent_reader(&broker).await;
            let mut writer = Peer::connected(&broker, V5, "writer").await;
            let body = "x".repeat(4_000);
            const QUEUED: u64 = 3 * SEGMENT_BYTES / 4_000;
            for _ in 0..QUEUED {
                writer.publish_acked("a", &body).await;
            }
            let capacity = lives.disk.used_bytes() + more * SEGMENT_BYTES;
            lives.disk.set_capacity(Some(capacity));
            // The clock stands still: the session must not come to its end.
            let mut publish_state = async || {
                writer
                    .send(publish("state", &body).at_least_once(1).retained())
                    .await;
                assert!(matches!(writer.receive().await, Packet::PubAck(_)));
            };
            // A pass is considered right after the queues were counted.
            let queued = || {
                broker
                    .metrics()
                    .sum_gauge(|shard| shard.messages_queued.value())
            };
            within_reason(async || {
                publish_state().await;
                queued() == QUEUED
            })
            .await;
            for _ in 0..200 {
                publish_state().await;
            }
            expect_queue_and_room(&lives, &broker, &mut writer, QUEUED, &body).await;
            drop(broker);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_has_its_share_of_the_volume_refuses_until_queues_are_shorter() {
    on_a_store(async |lives, broker| {
        let capacity = 30 * SEGMENT_BYTES;
        lives.disk.set_capacity(Some(capacity));
        absent_reader(&broker).await;
        let mut writer = Peer::connected(&broker, V5, "writer").await;
        let body = "x".repeat(4_000);
        let mut taken = 0;
        while !writer.publish_acked("a", &body).await.reason.is_error() {
            lives.hand.advance(Duration::from_secs(1));
            taken += 1;
        }
        let hits = |shard: &ShardMetrics| shard.limit_hits.of(Limit::StorePercent).value();
        assert!(broker.metrics().sum(hits) > 0);
        let live = taken * 4_000;
        assert!(
            (capacity / 2..capacity * 9 / 10).contains(&live),
            "{live} of {capacity} bytes"
        );
        expect_queue_and_room(&lives, &broker, &mut writer, taken, &body).await;
        drop(broker);
    })
    .await;
}

/// Somebody who wants all messages of the topic `a`, and is away.
async fn absent_reader(broker: &BrokerHandle) {
    let (mut reader, _) = Peer::connected_with(broker, connect_durable(V5, "reader")).await;
    reader.subscribe("a", QoS::AtLeastOnce).await;
    reader.disconnect().await;
}

/// What was taken for the reader goes out, and then there is room again.
async fn expect_queue_and_room(
    lives: &Lives,
    broker: &BrokerHandle,
    writer: &mut Peer,
    queued: u64,
    body: &str,
) {
    let (mut reader, _) = Peer::connected_with(broker, connect_durable(V5, "reader")).await;
    for _ in 0..queued {
        reader.take_payloads(&[body]).await;
    }
    within_reason(async || {
        lives.hand.advance(Duration::from_secs(1));
        let puback = writer.publish_acked("a", "again").await;
        !puback.reason.is_error()
    })
    .await;
    reader.take_payloads(&["again"]).await;
}

/// Tries until it succeeds. The log looks for room in its own time, not in that of the broker's clock.
async fn within_reason(mut is_done: impl AsyncFnMut() -> bool) {
    let trying = async { while !is_done().await {} };
    tokio::time::timeout(Duration::from_secs(60), trying)
        .await
        .expect("there is room in the end");
}
