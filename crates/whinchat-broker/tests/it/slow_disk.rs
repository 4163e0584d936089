//! Publishers that are faster than the disk wait for it, and nobody else does.

use std::sync::Arc;

use whinchat_broker::{Broker, Clock, SteppedBroker, Store, metrics::PacketLabel};
use whinchat_codec::{Packet, QoS::AtLeastOnce, SubscriptionOptions};
use whinchat_store::{Commit, DurableLogOptions, disk::SimulatedDisk};
use whinchat_transport::Stream;

use crate::{
    peer::{Refine, V5, V311, connect, connect_durable, publish, subscribe},
    stepped::{received, received_as, write, write_as},
};

/// Messages of one client that may wait for the disk: L-9 as it comes.
const WINDOW: usize = 256;
const MESSAGES: u16 = 1_000;
const PAYLOAD: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A broker whose disk syncs when it is told to.
struct Scene {
    broker: SteppedBroker,
}

impl Scene {
    fn new() -> Self {
        let disk = Arc::new(SimulatedDisk::new());
        let broker = Broker::builder()
            .threads(2)
            .clock(Clock::manual().0)
            .store(Store::new(disk, DurableLogOptions::default()))
            .start_stepped()
            .expect("an empty disk can be read");
        Self { broker }
    }

    fn settle(&mut self) {
        assert!(self.broker.settle(10_000), "it comes to rest");
    }

    /// One sync of the disk.
    fn sync(&mut self) {
        assert!(matches!(self.broker.commit_store(), Some(Commit::Done(_))));
        self.settle();
    }

    fn taken(&self) -> usize {
        let of = PacketLabel::Publish;
        let taken = self
            .broker
            .metrics()
            .sum(|shard| shard.packets_received.of(of).value());
        usize::try_from(taken).unwrap()
    }
}

fn acknowledged(stream: &mut Stream) -> Vec<u16> {
    received_as(V311, stream)
        .into_iter()
        .map(|packet| match packet {
            Some(Packet::PubAck(ack)) => ack.packet_id.get(),
            other => panic!("{other:?} in place of a PUBACK"),
        })
        .collect()
}

/// T-84: it is read from no further than its window, each sync acknowledges what had come before it, and what is left waits in its
/// socket; a client that needs no disk goes on.
#[test]
fn a_publisher_faster_than_the_disk_is_read_at_the_pace_of_the_disk() {
    let mut scene = Scene::new();
    let mut away = scene.broker.connect_in_memory();
    write(
        &mut away,
        Packet::Connect(Box::new(connect_durable(V5, "away"))),
    );
    let filters = [("t", SubscriptionOptions::new(AtLeastOnce))];
    write(&mut away, Packet::Subscribe(subscribe(1, &filters)));
    let mut fast = scene.broker.connect_in_memory();
    write_as(
        V311,
        &mut fast,
        Packet::Connect(Box::new(connect(V311, "fast"))),
    );
    let mut other = scene.broker.connect_in_memory();
    write(&mut other, Packet::Connect(Box::new(connect(V5, "other"))));
    scene.settle();
    scene.sync();
    drop(away);
    scene.settle();
    assert_eq!(received_as(V311, &mut fast).len(), 1, "a CONNACK");
    assert_eq!(received(&mut other).len(), 1, "a CONNACK");

    for id in 1..=MESSAGES {
        write_as(V311, &mut fast, publish("t", PAYLOAD).at_least_once(id));
    }
    scene.settle();
    assert_eq!(scene.taken(), WINDOW);
    assert_eq!(acknowledged(&mut fast), [0_u16; 0]);

    write(&mut other, Packet::PingReq);
    scene.settle();
    assert_eq!(received(&mut other), [Some(Packet::PingResp)]);

    let mut acknowledged_so_far = 0;
    let mut syncs = 0;
    while acknowledged_so_far < MESSAGES {
        let taken_before = scene.taken();
        scene.sync();
        syncs += 1;
        let ids = acknowledged(&mut fast);
        let expected: Vec<u16> = (1..=MESSAGES)
            .skip(usize::from(acknowledged_so_far))
            .take(ids.len())
            .collect();
        assert_eq!(ids, expected, "in order, none left out");
        acknowledged_so_far += u16::try_from(ids.len()).unwrap();
        assert_eq!(usize::from(acknowledged_so_far), taken_before);
        assert!(scene.taken() <= taken_before + WINDOW);
    }
    assert_eq!(syncs, usize::from(MESSAGES).div_ceil(WINDOW));
}
