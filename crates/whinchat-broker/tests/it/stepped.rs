//! The broker without threads: turns by hand, in any order, over a clock and a log that stand still.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{BufMut, BytesMut};
use fastrand::Rng;
use whinchat_broker::{Broker, Clock, ClockHand, SteppedBroker};
use whinchat_codec::{DecodeLimits, Packet, ProtocolVersion, QoS, SubscriptionOptions, decode};
use whinchat_store::Log;
use whinchat_transport::Stream;

use crate::{
    open_log::{OpenLog, open_log},
    peer::{IntoPacket, Refine, V5, connect_durable, puback, publish, pubrec, pubrel, subscribe},
};

const TURNS_MAX: usize = 1_000;

/// A broker of two shards with a log that commits when it is told to.
pub(crate) struct Scene {
    pub(crate) broker: SteppedBroker,
    clock: Clock,
    pub(crate) log: Arc<OpenLog>,
    pub(crate) hand: ClockHand,
    /// Which of the ready shards is next.
    random: Rng,
}

fn started(clock: &Clock, log: &Arc<OpenLog>, shards: u16) -> SteppedBroker {
    Broker::builder()
        .threads(shards)
        .clock(clock.clone())
        .log(Arc::clone(log) as Arc<dyn Log>)
        .start_stepped()
        .expect("a broker starts")
}

impl Scene {
    pub(crate) fn new(seed: u64) -> Self {
        let (clock, hand) = Clock::manual();
        let log = open_log();
        log.hold();
        Self {
            broker: started(&clock, &log, 2),
            clock,
            log,
            hand,
            random: Rng::with_seed(seed),
        }
    }

    /// The process ends and begins again, with another number of shards.
    fn restart(&mut self, shards: u16) {
        self.restart_after(Duration::ZERO, shards);
    }

    /// The same, with a while in between.
    pub(crate) fn restart_after(&mut self, pause: Duration, shards: u16) {
        let checkpoint = self.broker.checkpoint();
        self.hand.advance(pause);
        self.broker = started(&self.clock, &self.log, shards);
        self.broker.restore(checkpoint).expect("what was exported");
        self.settle();
    }

    pub(crate) fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            let ready: Vec<usize> = self.broker.ready_shards().collect();
            let Some(next) = self.random.choice(&ready) else {
                return;
            };
            assert!(self.broker.turn(*next));
        }
        panic!("the broker never comes to rest");
    }

    pub(crate) fn commit(&mut self) {
        self.log.release();
        self.settle();
        self.log.hold();
    }

    pub(crate) fn send(&mut self, stream: &mut Stream, packet: impl IntoPacket) {
        write(stream, packet);
        self.settle();
    }

    /// Some turns, if there is something to do, of any shard.
    pub(crate) fn some_turns(&mut self) {
        for _ in 0..self.random.usize(..6) {
            let ready: Vec<usize> = self.broker.ready_shards().collect();
            if let Some(next) = self.random.choice(&ready) {
                self.broker.turn(*next);
            }
        }
    }

    /// As [`received`].
    pub(crate) fn received(&mut self, stream: &mut Stream) -> Vec<Option<Packet>> {
        received(stream)
    }
}

/// All that has arrived; `None` behind the last packet is the end of the stream.
pub(crate) fn received(stream: &mut Stream) -> Vec<Option<Packet>> {
    received_as(V5, stream)
}

/// The same by a client of that version.
pub(crate) fn received_as(version: ProtocolVersion, stream: &mut Stream) -> Vec<Option<Packet>> {
    let mut bytes = BytesMut::new();
    let mut piece = [0; 4096];
    let mut cx = Context::from_waker(Waker::noop());
    let is_closed = loop {
        match stream.poll_read(&mut cx, &mut piece) {
            Poll::Ready(Ok(0) | Err(_)) => break true,
            Poll::Ready(Ok(count)) => bytes.put_slice(&piece[..count]),
            Poll::Pending => break false,
        }
    };
    let mut packets = Vec::new();
    let mut rest = &bytes[..];
    while let Some((packet, len)) =
        decode(rest, version, &DecodeLimits::default()).expect("a broker sends packets")
    {
        packets.push(Some(packet.to_owned()));
        rest = &rest[len..];
    }
    packets.extend(is_closed.then_some(None));
    packets
}

/// Sends a packet before the broker has its next turn.
pub(crate) fn write(stream: &mut Stream, packet: impl IntoPacket) {
    write_as(V5, stream, packet);
}

/// The same by a client of that version.
pub(crate) fn write_as(version: ProtocolVersion, stream: &mut Stream, packet: impl IntoPacket) {
    let mut bytes = BytesMut::new();
    let packet = packet.into_packet();
    packet
        .encode(version, &mut bytes)
        .expect("a packet of the test");
    let mut cx = Context::from_waker(Waker::noop());
    let written = stream.poll_write(&mut cx, &bytes);
    assert!(matches!(written, Poll::Ready(Ok(count)) if count == bytes.len()));
}

fn connect(client_id: &str) -> Packet {
    Packet::Connect(Box::new(connect_durable(V5, client_id)))
}

/// Plays a publisher and a subscriber that may live on different shards; what each of them got.
fn play(seed: u64) -> Vec<Vec<Option<Packet>>> {
    let mut scene = Scene::new(seed);
    let mut reader = scene.broker.connect_in_memory();
    let mut writer = scene.broker.connect_in_memory();
    let mut told = Vec::new();
    for (stream, client_id) in [(&mut reader, "reader"), (&mut writer, "writer")] {
        scene.send(stream, connect(client_id));
        assert_eq!(scene.received(stream), [], "the CONNACK waits for the log");
        scene.commit();
        told.push(scene.received(stream));
    }
    scene.send(
        &mut reader,
        Packet::Subscribe(subscribe(
            1,
            &[("a/#", SubscriptionOptions::new(QoS::AtLeastOnce))],
        )),
    );
    scene.commit();
    told.push(scene.received(&mut reader));

    scene.send(&mut writer, publish("a/b", "x").at_least_once(7));
    told.push(scene.received(&mut reader));
    assert!(
        matches!(told.last().unwrap()[..], [Some(Packet::Publish(_))]),
        "QoS 1 waits for nothing"
    );
    assert_eq!(scene.received(&mut writer), [], "its PUBACK does");
    scene.commit();
    assert_eq!(scene.received(&mut writer), [Some(puback(7))]);

    scene.hand.advance(Duration::from_secs(1_000_000));
    scene.settle();
    told.push(scene.received(&mut reader));
    told
}

#[test]
fn a_seed_gives_one_course_of_events_and_every_seed_the_same_result() {
    let first = play(1);
    assert_eq!(first.len(), 5);
    assert_eq!(play(1), first);
    for seed in 2..20 {
        assert_eq!(play(seed), first);
    }
}

/// I-9. T-88
#[test]
fn a_connection_with_many_readers_lets_others_have_their_turn() {
    const READERS: usize = 1_200;
    const MESSAGES: usize = 50;
    const PAYLOAD_BYTES: usize = 1_000;
    let mut scene = Scene::new(6);
    scene.log.release();
    scene.broker = started(&scene.clock, &scene.log, 1);
    let mut connected = |client_id: &str, filter: Option<&str>| {
        let mut stream = scene.broker.connect_in_memory();
        scene.send(&mut stream, connect(client_id));
        if let Some(filter) = filter {
            let filters = [(filter, SubscriptionOptions::new(QoS::AtMostOnce))];
            scene.send(&mut stream, Packet::Subscribe(subscribe(1, &filters)));
        }
        assert_eq!(
            scene.received(&mut stream).len(),
            1 + usize::from(filter.is_some())
        );
        stream
    };
    let mut readers: Vec<_> = (0..READERS)
        .map(|number| connected(&format!("reader-{number}"), Some("many")))
        .collect();
    let mut other_reader = connected("other-reader", Some("few"));
    let mut other = connected("other", None);
    let mut writer = connected("writer", None);

    for number in 0..MESSAGES {
        write(
            &mut writer,
            publish("many", &format!("{number:0PAYLOAD_BYTES$}")),
        );
    }
    write(&mut other, publish("few", "x"));
    assert!(scene.broker.turn(0));
    assert_eq!(scene.received(&mut other_reader).len(), 1);
    let mut told = scene.received(&mut readers[0]);
    assert!((1..MESSAGES).contains(&told.len()), "{}", told.len());

    scene.settle();
    told.extend(scene.received(&mut readers[0]));
    let told = told.iter().map(|packet| match packet {
        Some(Packet::Publish(publish)) => publish.payload.clone(),
        other => panic!("{other:?} is no message"),
    });
    let sent = (0..MESSAGES).map(|number| format!("{number:0PAYLOAD_BYTES$}"));
    assert!(told.eq(sent), "all of them, once and in order");
}

/// I-9. T-88
#[test]
fn a_publisher_waits_until_another_shard_has_taken_its_messages() {
    const READERS: usize = 400;
    const MESSAGES: u16 = 60;
    let mut scene = Scene::new(7);
    scene.log.release();
    let filters = [("many", SubscriptionOptions::new(QoS::AtMostOnce))];
    let mut readers: Vec<_> = (0..READERS)
        .map(|number| {
            let mut stream = scene.broker.connect_in_memory();
            scene.send(&mut stream, connect(&format!("reader-{number}")));
            scene.send(&mut stream, Packet::Subscribe(subscribe(1, &filters)));
            assert_eq!(scene.received(&mut stream).len(), 2);
            stream
        })
        .collect();
    let mut writer = scene.broker.connect_in_memory();
    scene.send(&mut writer, connect("writer"));
    assert_eq!(scene.received(&mut writer).len(), 1);

    for number in 1..=MESSAGES {
        let message = publish("many", &format!("{number:01000}"));
        write(&mut writer, message.at_least_once(number));
    }
    let home = scene.broker.ready_shards().next();
    let home = home.expect("the shard of the writer has something to read");
    // All in one read; the other shard takes nothing.
    for _ in 0..20 {
        scene.broker.turn(home);
    }
    let answers = scene.received(&mut writer).len();
    assert!((1..usize::from(MESSAGES)).contains(&answers), "{answers}");

    scene.settle();
    let rest = scene.received(&mut writer).len();
    assert_eq!(answers + rest, usize::from(MESSAGES));
    for reader in &mut readers {
        let told = scene
            .received(reader)
            .into_iter()
            .map(|packet| match packet {
                Some(Packet::Publish(publish)) => publish.payload,
                other => panic!("{other:?} is no message"),
            });
        let sent = (1..=MESSAGES).map(|number| format!("{number:01000}"));
        assert!(told.eq(sent), "all of them, once and in order");
    }
}

/// More than a turn reads is there after a pause, and a PINGREQ behind it.
#[test]
fn nobody_is_cut_whose_packet_waits_behind_those_of_many_others() {
    let mut scene = Scene::new(8);
    scene.log.release();
    scene.broker = started(&scene.clock, &scene.log, 1);
    let mut connected = |client_id: String| {
        let mut stream = scene.broker.connect_in_memory();
        let mut connect = connect_durable(V5, &client_id);
        connect.keep_alive = 10;
        scene.send(&mut stream, Packet::Connect(Box::new(connect)));
        assert_eq!(scene.received(&mut stream).len(), 1);
        stream
    };
    let mut many: Vec<_> = (0..20)
        .map(|number| connected(format!("one-of-many-{number}")))
        .collect();
    let mut keeper = connected("keeper".to_owned());
    for stream in &mut many {
        for _ in 0..60 {
            write(stream, publish("nobody", &"x".repeat(1_000)));
        }
    }
    write(&mut keeper, Packet::PingReq);
    scene.hand.advance(Duration::from_secs(16));
    assert!(scene.broker.turn(0));
    assert_eq!(scene.received(&mut keeper), [], "a turn does not read all");
    scene.settle();
    assert_eq!(scene.received(&mut keeper), [Some(Packet::PingResp)]);
    for stream in &mut many {
        assert_eq!(scene.received(stream), [], "it is connected");
    }
    scene.hand.advance(Duration::from_secs(16));
    scene.settle();
    assert!(
        scene.received(&mut keeper).contains(&None),
        "now it is silent"
    );
}

#[test]
fn dropping_it_closes_every_connection_without_a_word() {
    let mut scene = Scene::new(3);
    let mut client = scene.broker.connect_in_memory();
    scene.send(&mut client, connect("c"));
    scene.commit();
    assert_eq!(scene.received(&mut client).len(), 1);
    let mut other = Scene::new(4);
    scene.broker = std::mem::replace(&mut other.broker, scene.broker);
    drop(other);
    assert_eq!(scene.received(&mut client), [None]);
}

#[test]
fn a_checkpoint_brings_back_what_is_owed_what_is_retained_and_who_subscribed() {
    let mut scene = Scene::new(5);
    scene.log.release();
    let mut reader = scene.broker.connect_in_memory();
    let mut writer = scene.broker.connect_in_memory();
    scene.send(&mut reader, connect("reader"));
    scene.send(&mut writer, connect("writer"));
    let filters = [("a/#", SubscriptionOptions::new(QoS::ExactlyOnce))];
    scene.send(&mut reader, Packet::Subscribe(subscribe(1, &filters)));
    scene.send(&mut writer, publish("a/b", "1").exactly_once(1));
    scene.send(&mut reader, pubrec(1));
    drop(reader);
    scene.settle();
    scene.send(&mut writer, publish("a/b", "2").at_least_once(2).retained());

    scene.restart(3);
    assert!(scene.received(&mut writer).contains(&None), "it was cut");
    let mut reader = scene.broker.connect_in_memory();
    scene.send(&mut reader, connect("reader"));
    let told = scene.received(&mut reader);
    assert!(matches!(&told[0], Some(Packet::ConnAck(connack)) if connack.session_present));
    assert_eq!(told[1], Some(pubrel(1)));
    assert_eq!(
        told[2],
        Some(publish("a/b", "2").at_least_once(2).into_packet()),
        "queued, and not sent before: no DUP"
    );
    let mut writer = scene.broker.connect_in_memory();
    scene.send(&mut writer, connect("writer"));
    assert_eq!(scene.received(&mut writer).len(), 1);
    scene.send(&mut writer, publish("a/b", "1").exactly_once(1).dup());
    assert_eq!(scene.received(&mut writer), [Some(pubrec(1))]);
    assert_eq!(scene.received(&mut reader), [], "the id is held");
    scene.send(&mut writer, publish("a/c", "3"));
    assert_eq!(
        scene.received(&mut reader),
        [Some(publish("a/c", "3").into_packet())]
    );
    scene.send(&mut writer, Packet::Subscribe(subscribe(2, &filters)));
    assert_eq!(
        scene.received(&mut writer).last(),
        Some(&Some(
            publish("a/b", "2")
                .at_least_once(1)
                .retained()
                .into_packet()
        ))
    );
}

#[test]
fn a_member_that_waits_for_its_connack_is_not_picked_before_one_that_is_connected() {
    let mut scene = Scene::new(6);
    scene.log.release();
    let mut members = ["one", "two"].map(|name| (name, scene.broker.connect_in_memory()));
    for (name, stream) in &mut members {
        scene.send(stream, connect(name));
        let filters = [("$share/g/a", SubscriptionOptions::new(QoS::AtLeastOnce))];
        scene.send(stream, Packet::Subscribe(subscribe(1, &filters)));
        assert_eq!(scene.received(stream).len(), 2, "CONNACK and SUBACK");
    }
    let mut writer = scene.broker.connect_in_memory();
    scene.send(&mut writer, connect("writer"));
    scene.log.hold();
    let [(_, first), (name, second)] = &mut members;
    *second = scene.broker.connect_in_memory();
    scene.send(second, connect(name));
    for _ in 0..2 {
        scene.send(&mut writer, publish("a", "x"));
    }
    assert_eq!(scene.received(second), [], "its CONNACK waits for the log");
    assert_eq!(
        scene.received(first).len(),
        2,
        "QoS 0 goes to the one that is there"
    );
}
