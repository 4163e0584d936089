//! Queues longer than memory should hold are in the log, and come back in order.

use std::sync::Arc;

use whinchat_broker::{Broker, BrokerHandle, Clock, Store, config::Config};
use whinchat_codec::QoS;
use whinchat_store::{
    DurableLogOptions,
    disk::{Disk, SimulatedDisk},
};

use crate::peer::{Peer, V5, connect_durable};

const IN_MEMORY: u32 = 8;
const MESSAGES: u32 = 400;

fn start(disk: &SimulatedDisk, clock: &Clock) -> BrokerHandle {
    let mut config = Config::embedded();
    config.limits.queue_in_memory = IN_MEMORY;
    let mut options = DurableLogOptions::default();
    options.segment_bytes = 64 << 10;
    Broker::builder()
        .config(config)
        .threads(2)
        .clock(clock.clone())
        .store(Store::new(Arc::new(disk.clone()), options))
        .start()
        .expect("what was stored can be read")
}

/// Reads back all of a queue that `publish_all` filled.
async fn take_all(reader: &mut Peer) {
    for number in 0..MESSAGES {
        assert_eq!(reader.take_payload().await, payload(number));
    }
    reader.receive_nothing().await;
}

async fn publish_all(broker: &BrokerHandle, qos: QoS) {
    let mut writer = Peer::connected(broker, V5, "writer").await;
    for number in 0..MESSAGES {
        if qos == QoS::AtLeastOnce {
            writer.publish_acked("a/b", &payload(number)).await;
        } else {
            writer.publish_completed("a/b", &payload(number)).await;
        }
    }
}

fn payload(number: u32) -> String {
    format!("{number:0>500}")
}

async fn absent_readers(broker: &BrokerHandle) {
    for name in ["one", "two"] {
        let (mut reader, _) = Peer::connected_with(broker, connect_durable(V5, name)).await;
        reader.subscribe("a/#", QoS::ExactlyOnce).await;
        reader.disconnect().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_a_long_queue_comes_in_order_from_the_log() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let (clock, _hand) = Clock::manual();
        let broker = start(&SimulatedDisk::new(), &clock);
        absent_readers(&broker).await;
        publish_all(&broker, qos).await;
        for name in ["one", "two"] {
            let (mut reader, _) = Peer::connected_with(&broker, connect_durable(V5, name)).await;
            take_all(&mut reader).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_queue_is_there_after_a_restart() {
    let (clock, _hand) = Clock::manual();
    let disk = SimulatedDisk::new();
    let broker = start(&disk, &clock);
    absent_readers(&broker).await;
    publish_all(&broker, QoS::AtLeastOnce).await;
    let disk = disk.copy();
    tokio::task::spawn_blocking(move || drop(broker))
        .await
        .expect("it ends");
    let broker = start(&disk, &clock);
    let (mut reader, connack) = Peer::connected_with(&broker, connect_durable(V5, "one")).await;
    assert!(connack.session_present);
    take_all(&mut reader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_back_is_no_message_but_a_failed_log() {
    let (clock, _hand) = Clock::manual();
    let disk = SimulatedDisk::new();
    let broker = start(&disk, &clock);
    absent_readers(&broker).await;
    publish_all(&broker, QoS::AtLeastOnce).await;
    for name in disk.list().expect("a disk in memory") {
        for offset in (0..64 << 10).step_by(500) {
            disk.flip(&name, offset, 0x55);
        }
    }
    let (mut reader, _) = Peer::connected_with(&broker, connect_durable(V5, "one")).await;
    let taken = async {
        loop {
            reader.take().await;
        }
    };
    tokio::select! {
        failure = broker.log_failed() => assert_eq!(failure.operation, "read"),
        () = taken => unreachable!("it never ends"),
    }
}
