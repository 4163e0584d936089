//! Queues longer than memory should hold are in the log, and come back in order.

use std::{future::pending, sync::Arc};

use whinchat_broker::{
    Broker, BrokerHandle, Clock, Store,
    config::{ByteSize, Config},
};
use whinchat_codec::{Packet, QoS};
use whinchat_store::{
    DurableLogOptions,
    disk::{Disk, SimulatedDisk, write_all},
};

use crate::peer::{Peer, V5, connect_durable, puback};

const IN_MEMORY: u32 = 8;
const MESSAGES: u32 = 400;

fn start(disk: &SimulatedDisk, clock: &Clock) -> BrokerHandle {
    let mut config = Config::embedded();
    config.limits.queue_in_memory = IN_MEMORY;
    config.limits.queue_size = ByteSize::mib(1_024);
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

async fn end(broker: BrokerHandle) {
    tokio::task::spawn_blocking(move || drop(broker))
        .await
        .expect("it ends");
}

async fn absent_readers(broker: &BrokerHandle) {
    for name in ["one", "two"] {
        let (mut reader, _) = Peer::connected_with(broker, connect_durable(V5, name)).await;
        reader.subscribe("a/#", QoS::ExactlyOnce).await;
        reader.disconnect().await;
    }
}

fn payload(number: u32) -> String {
    format!("{number:0>500}")
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

async fn take_all(reader: &mut Peer) {
    for number in 0..MESSAGES {
        assert_eq!(reader.take_payload().await, payload(number));
    }
    reader.receive_nothing().await;
}

/// T-57
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

/// T-57
#[tokio::test(flavor = "multi_thread")]
async fn a_long_queue_is_there_after_a_restart() {
    let (clock, _hand) = Clock::manual();
    let disk = SimulatedDisk::new();
    let broker = start(&disk, &clock);
    absent_readers(&broker).await;
    publish_all(&broker, QoS::AtLeastOnce).await;
    let disk = disk.copy();
    end(broker).await;
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
    expect_failed_read(&broker, &disk).await;
}

/// Together more than a broker keeps in memory while it reads its log.
const LARGE: usize = 512 << 10;
const LARGE_MESSAGES: usize = (64 << 20) / LARGE + 10;

async fn publish_large(broker: &BrokerHandle) {
    let mut writer = Peer::connected(broker, V5, "writer").await;
    for number in 0..LARGE_MESSAGES {
        let payload = format!("{}{number:0>9}", "0".repeat(LARGE - 9));
        writer.publish_acked("a/b", &payload).await;
    }
}

async fn take_large(reader: &mut Peer) {
    for number in 0..LARGE_MESSAGES {
        let payload = reader.take_payload().await;
        assert!(payload.len() == LARGE && payload.ends_with(&format!("{number:0>9}")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_start_has_no_room_for_is_left_in_the_log() {
    let (clock, _hand) = Clock::manual();
    let disk = SimulatedDisk::new();
    let broker = start(&disk, &clock);
    absent_readers(&broker).await;
    publish_large(&broker).await;
    let copies = [disk.copy(), disk.copy()];
    end(broker).await;
    let broker = start(&copies[0], &clock);
    let (mut reader, _) = Peer::connected_with(&broker, connect_durable(V5, "one")).await;
    take_large(&mut reader).await;
    let broker = start(&copies[1], &clock);
    expect_failed_read(&broker, &copies[1]).await;
}

/// T-115
#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_flight_comes_again_from_the_log() {
    let (clock, _hand) = Clock::manual();
    let disk = SimulatedDisk::new();
    let broker = start(&disk, &clock);
    absent_readers(&broker).await;
    publish_large(&broker).await;
    let (mut reader, _) = Peer::connected_with(&broker, connect_durable(V5, "one")).await;
    for _ in 0..LARGE_MESSAGES {
        reader.receive_publish().await;
    }
    end(broker).await;
    let broker = start(&disk, &clock);
    let (mut reader, _) = Peer::connected_with(&broker, connect_durable(V5, "one")).await;
    take_large(&mut reader).await;
}

/// Spoils the files, so that a message in memory is told from one that is not.
async fn expect_failed_read(broker: &BrokerHandle, disk: &SimulatedDisk) {
    for name in disk.list().expect("a disk in memory") {
        let file = disk.open(&name).expect("it is there");
        let bytes = usize::try_from(file.size().expect("a disk in memory"));
        write_all(&*file, &vec![0x55; bytes.expect("it is in memory")], 0).expect("it has room");
    }
    // A pass that writes old segments anew may be first to read: then there is no CONNACK.
    let mut reader = Peer::silent(broker, V5);
    reader
        .send(Packet::Connect(Box::new(connect_durable(V5, "one"))))
        .await;
    let taken = async {
        loop {
            match reader.receive_or_end().await {
                Some(Packet::Publish(publish)) => {
                    let id = publish.guarantee.packet_id().expect("QoS 1");
                    reader.send(puback(id.get())).await;
                }
                Some(_) => {}
                None => pending().await,
            }
        }
    };
    tokio::select! {
        failure = broker.log_failed() => assert_eq!(failure.operation, "read"),
        () = taken => unreachable!("it never ends"),
    }
}
