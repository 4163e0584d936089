//! When acks leave, by the levels of the configuration: seen on a disk that commits when it is told to and says what was synced.

use std::sync::Arc;

use whinchat_broker::{
    Broker, Clock, SettingsError, StartError, SteppedBroker, Store,
    config::{Ack, Config},
};
use whinchat_codec::{Packet, QoS, SubscriptionOptions};
use whinchat_store::{
    Commit, DurableLogOptions,
    disk::{Fault, SimulatedDisk},
};
use whinchat_transport::Stream;

use crate::{
    peer::{
        IntoPacket, Refine, V5, connect_durable, puback, pubcomp, publish, pubrec, pubrel,
        subscribe,
    },
    stepped::{received, write},
};

struct Scene {
    broker: SteppedBroker,
    disk: SimulatedDisk,
}

/// A broker on a disk of its own, and a client whose session is durable and wants every message.
fn scene(config: &str) -> (Scene, Stream, Vec<Option<Packet>>) {
    let disk = SimulatedDisk::new();
    let mut config = Config::parse("test", config).expect("a configuration");
    config.listeners.clear();
    config.admin.listen = None;
    let broker = Broker::builder()
        .config(config)
        .threads(1)
        .clock(Clock::manual().0)
        .store(Store::new(
            Arc::new(disk.clone()),
            DurableLogOptions::default(),
        ))
        .start_stepped()
        .expect("a broker starts");
    let mut scene = Scene { broker, disk };
    let mut client = scene.broker.connect_in_memory();
    scene.send(
        &mut client,
        Packet::Connect(Box::new(connect_durable(V5, "client"))),
    );
    scene.broker.commit_store();
    assert!(scene.broker.settle(1_000));
    let connack = received(&mut client);
    let filter = ("#", SubscriptionOptions::new(QoS::AtMostOnce));
    scene.send(&mut client, Packet::Subscribe(subscribe(1, &[filter])));
    scene.broker.commit_store();
    assert!(scene.broker.settle(1_000));
    assert_eq!(acks(&mut client).len(), 1, "its SUBACK");
    (scene, client, connack)
}

impl Scene {
    fn send(&mut self, stream: &mut Stream, packet: impl IntoPacket) {
        write(stream, packet);
        assert!(self.broker.settle(1_000));
    }

    fn commit(&mut self) {
        assert!(matches!(self.broker.commit_store(), Some(Commit::Done(_))));
        assert!(self.broker.settle(1_000));
    }

    /// Commits, and no sync may be needed for it.
    fn commit_without_sync(&mut self) {
        self.disk.plan(Fault::Sync(0));
        self.commit();
    }
}

/// The acks among what has arrived.
fn acks(stream: &mut Stream) -> Vec<Packet> {
    let packets = received(stream)
        .into_iter()
        .map(|packet| packet.expect("an open connection"));
    packets
        .filter(|packet| !matches!(packet, Packet::Publish(_)))
        .collect()
}

/// A retained message is one that must survive.
fn retained(topic: &str, id: u16) -> Packet {
    publish(topic, "x")
        .at_least_once(id)
        .retained()
        .into_packet()
}

#[test]
fn a_store_acknowledges_what_is_synced() {
    let (mut scene, mut client, _) = scene("");
    scene.send(&mut client, retained("a", 2));
    assert_eq!(acks(&mut client), []);
    scene.disk.plan(Fault::Sync(0));
    assert_eq!(scene.broker.commit_store(), Some(Commit::Failed));
    assert!(scene.broker.settle(1_000));
    assert_eq!(acks(&mut client), [], "a failed sync vouches for nothing");
}

#[test]
fn at_written_no_ack_waits_for_a_sync() {
    let (mut scene, mut client, _) = scene("ack = \"written\"");
    scene.send(&mut client, retained("a", 2));
    assert_eq!(acks(&mut client), []);
    scene.commit_without_sync();
    assert_eq!(acks(&mut client), [puback(2)]);
}

#[test]
fn at_memory_no_ack_waits_and_the_log_is_written_all_the_same() {
    let (mut scene, mut client, _) = scene("ack = \"memory\"");
    scene.send(&mut client, retained("a", 2));
    assert_eq!(acks(&mut client), [puback(2)]);
    scene.send(&mut client, publish("a", "x").exactly_once(3));
    assert_eq!(acks(&mut client), [pubrec(3)]);
    scene.send(&mut client, pubrel(3));
    assert_eq!(acks(&mut client), [pubcomp(3)]);
    scene.commit_without_sync();
}

#[test]
fn a_topic_has_a_level_of_its_own() {
    let (mut scene, mut client, _) = scene("[acks]\nmemory = [\"m/#\"]\nwritten = [\"w\"]");
    scene.send(&mut client, retained("m/1", 2));
    assert_eq!(acks(&mut client), [puback(2)]);
    scene.commit_without_sync();
    let (mut scene, mut client, _) = self::scene("[acks]\nwritten = [\"w\"]");
    scene.send(&mut client, retained("w", 3));
    assert_eq!(acks(&mut client), []);
    scene.commit_without_sync();
    assert_eq!(acks(&mut client), [puback(3)]);
    // One fault is planned still: whatever waits for a sync meets it.
    scene.send(&mut client, retained("s", 4));
    assert_eq!(scene.broker.commit_store(), Some(Commit::Failed));
}

#[test]
fn a_release_waits_for_the_strongest_level_of_all() {
    let (mut scene, mut client, _) = scene("ack = \"memory\"\n[acks]\nsynced = [\"s\"]");
    scene.send(&mut client, publish("m", "x").exactly_once(2));
    assert_eq!(acks(&mut client), [pubrec(2)]);
    scene.send(&mut client, pubrel(2));
    assert_eq!(
        acks(&mut client),
        [],
        "an id that comes back could be that of a message to s"
    );
    scene.commit();
    assert_eq!(acks(&mut client), [pubcomp(2)]);
}

#[test]
fn answers_keep_their_order_whatever_their_levels() {
    let (mut scene, mut client, _) = scene("[acks]\nmemory = [\"m\"]");
    scene.send(&mut client, retained("s", 2));
    scene.send(&mut client, retained("m", 3));
    assert_eq!(acks(&mut client), []); // v5 [MQTT-4.6.0-2]
    scene.commit();
    assert_eq!(acks(&mut client), [puback(2), puback(3)]);
}

#[test]
fn the_level_is_told_in_connack_and_in_the_metrics() {
    for (text, level) in [("", "synced"), ("ack = \"written\"\n", "written")] {
        let (scene, _client, connack) =
            scene(&format!("{text}[mqtt]\nack_user_property = \"ack\""));
        let Some(Some(Packet::ConnAck(connack))) = connack.first() else {
            panic!("{connack:?}");
        };
        let told: Vec<_> = connack.properties.user_properties().collect();
        assert_eq!(told, [("ack", level)]);
        let metrics = scene.broker.metrics().encode();
        let line = format!("\nwhinchat_ack_info{{level=\"{level}\"}} 1\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[test]
fn a_level_that_needs_a_store_is_refused_without_one() {
    let mut config = Config::embedded();
    config.general.ack = whinchat_broker::config::Auto::Set(Ack::Synced);
    let refused = Broker::builder().config(config.clone()).start();
    assert!(matches!(
        refused.err(),
        Some(StartError::Settings(SettingsError::AckWithoutStore(_)))
    ));
    let broker = Broker::builder()
        .threads(1)
        .start()
        .expect("a broker starts");
    let refused = broker.reload(&config).expect_err("it has no store");
    assert!(
        refused.to_string().contains("ack = \"memory\""),
        "{refused}"
    );
    assert_eq!(broker.ack(), Ack::Memory);
}
