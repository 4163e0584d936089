//! Power is lost at every moment of a short story, and what a client was told until then holds on whatever the disk may have kept.
//!
//! Longer stories, and many more of them: `cargo xtask torture --only images`.

use std::{sync::Arc, time::Duration};

use whinchat_broker::{Broker, Clock, SteppedBroker, Store};
use whinchat_codec::{
    Connect, Packet, PubAck, PubRec, Publish, QoS,
    QoS::{AtLeastOnce, ExactlyOnce},
    SubscriptionOptions, Unsubscribe,
};
use whinchat_store::{
    Commit, DurableLogOptions,
    disk::{Crash, SimulatedDisk},
};
use whinchat_transport::Stream;

use crate::{
    peer::{
        IntoPacket, Refine, V5, connect, connect_durable, packet_id, pubcomp, publish, pubrec,
        pubrel, subscribe, text,
    },
    stepped::{received, write},
};

const TURNS_MAX: usize = 10_000;

/// A broker of two shards on a disk.
struct Life {
    disk: SimulatedDisk,
    broker: SteppedBroker,
    clock: Clock,
}

/// A moment of it: so many operations of the disk were done.
type Moment = usize;

impl Life {
    fn on(disk: SimulatedDisk, clock: &Clock) -> Self {
        let mut options = DurableLogOptions::default();
        options.segment_bytes = 8 << 10;
        let broker = Broker::builder()
            .threads(2)
            .clock(clock.clone())
            .store(Store::new(Arc::new(disk.clone()), options))
            .start_stepped()
            .expect("whatever is left can be read");
        Self {
            disk,
            broker,
            clock: clock.clone(),
        }
    }

    fn new() -> Self {
        Self::on(SimulatedDisk::new(), &Clock::manual().0)
    }

    fn settle(&mut self) {
        assert!(self.broker.settle(TURNS_MAX), "it comes to rest");
    }

    /// Commits until there is nothing to commit.
    fn commit(&mut self) {
        self.settle();
        while let Some(Commit::Done(_)) = self.broker.commit_store() {
            self.settle();
        }
    }

    /// What has arrived at a client by now.
    fn heard(client: &mut Stream) -> Vec<Packet> {
        let packets = received(client).into_iter();
        packets
            .map(|packet| packet.expect("it stays connected"))
            .collect()
    }

    /// All that comes back when this was sent and everything was committed.
    fn tell(&mut self, client: &mut Stream, packet: impl IntoPacket) -> Vec<Packet> {
        write(client, packet);
        self.commit();
        Self::heard(client)
    }

    /// Session Present, and what came with it.
    fn connect(&mut self, connect: Connect) -> (Stream, bool, Vec<Packet>) {
        let mut stream = self.broker.connect_in_memory();
        let mut packets = self.tell(&mut stream, Packet::Connect(Box::new(connect)));
        assert!(!packets.is_empty(), "there is a CONNACK");
        let Packet::ConnAck(connack) = packets.remove(0) else {
            panic!("{packets:?}")
        };
        assert!(!connack.reason.is_error(), "{connack:?}");
        (stream, connack.session_present, packets)
    }

    fn resume(&mut self, client_id: &str) -> (Stream, bool, Vec<Packet>) {
        self.connect(connect_durable(V5, client_id))
    }

    fn subscribe(&mut self, client: &mut Stream, filter: &str, qos: QoS) {
        let filters = [(filter, SubscriptionOptions::new(qos))];
        let answer = self.tell(client, Packet::Subscribe(subscribe(900, &filters)));
        assert!(matches!(answer[0], Packet::SubAck(_)), "{answer:?}");
    }

    fn unsubscribe(&mut self, client: &mut Stream, filter: &str) {
        let answer = self.tell(client, unsubscribe(filter));
        assert!(matches!(answer[0], Packet::UnsubAck(_)), "{answer:?}");
    }

    /// Somebody publishes this at QoS 1, and it is acknowledged.
    fn publish(&mut self, topic: &str, payload: &str) {
        let (mut writer, ..) = self.connect(connect(V5, "somebody"));
        let message = publish(topic, payload).at_least_once(1);
        let answer = self.tell(&mut writer, message);
        let is_taken = |ack: &PubAck| ack.packet_id.get() == 1 && !ack.reason.is_error();
        assert!(matches!(&answer[..], [Packet::PubAck(ack)] if is_taken(ack)));
    }

    /// Now: what was told until now is known at all later moments.
    fn now(&self) -> Moment {
        self.disk.operations()
    }

    /// Looks at a broker on each disk that may be left from `begin` on.
    fn at_every_moment(self, begin: Moment, look: impl Fn(Moment, Self)) {
        let Self {
            disk,
            broker,
            clock,
        } = self;
        drop(broker);
        let mut images = 0;
        disk.moments(|moment| {
            let now = moment.operations();
            let crashes = (0..4).map(Crash::Mixture);
            for crash in crashes.chain([Crash::Nothing, Crash::Everything]) {
                if now >= begin {
                    look(now, Self::on(moment.after(crash), &clock));
                    images += 1;
                }
            }
        });
        assert!(images > 6, "{images} images");
    }
}

fn unsubscribe(filter: &str) -> Packet {
    Packet::Unsubscribe(Unsubscribe {
        packet_id: packet_id(901),
        properties: Default::default(),
        filters: vec![text(filter)],
    })
}

fn payloads(packets: &[Packet]) -> Vec<String> {
    let messages = packets.iter().filter_map(|packet| match packet {
        Packet::Publish(Publish { payload, .. }) => Some(payload),
        _ => None,
    });
    messages
        .map(|payload| String::from_utf8_lossy(payload).into_owned())
        .collect()
}

/// T-54
#[test]
fn a_qos_2_message_and_its_id_are_there_together_or_not_at_all() {
    let mut life = Life::new();
    let (mut reader, ..) = life.resume("reader");
    life.subscribe(&mut reader, "a", ExactlyOnce);
    drop(reader);
    let (mut writer, ..) = life.resume("writer");
    let begin = life.now();
    let message = publish("a", "once").exactly_once(7);
    assert_eq!(life.tell(&mut writer, message.clone()), [pubrec(7)]);
    life.at_every_moment(begin, |_, mut life| {
        // It does not know whether the first one arrived.
        let (mut writer, is_present, _) = life.resume("writer");
        assert!(is_present);
        assert_eq!(life.tell(&mut writer, message.clone().dup()), [pubrec(7)]);
        assert_eq!(life.tell(&mut writer, pubrel(7)), [pubcomp(7)]);
        let (_, _, owed) = life.resume("reader");
        assert_eq!(payloads(&owed), ["once"]);
    });
}

/// T-55, for each packet that vouches for something.
#[test]
fn whatever_vouches_for_something_leaves_when_that_is_synced() {
    let mut life = Life::new();
    let (mut reader, ..) = life.resume("reader");
    life.subscribe(&mut reader, "a/#", ExactlyOnce);
    let mut client = life.broker.connect_in_memory();
    let filters = [("b", SubscriptionOptions::new(AtLeastOnce))];
    let steps = [
        Packet::Connect(Box::new(connect_durable(V5, "client"))),
        Packet::Subscribe(subscribe(3, &filters)),
        publish("a/1", "one").at_least_once(1).into_packet(),
        publish("a/2", "two").exactly_once(2).into_packet(),
        pubrel(2),
        publish("c", "kept")
            .at_least_once(4)
            .retained()
            .into_packet(),
        unsubscribe("b"),
    ];
    for step in steps {
        write(&mut client, step.clone());
        life.settle();
        assert_eq!(Life::heard(&mut client), [], "behind {step:?}");
        life.broker.commit_store();
        life.settle();
        assert_eq!(Life::heard(&mut client).len(), 1, "behind {step:?}");
        let mut is_synced = false;
        life.disk.moments(|moment| is_synced = moment.is_certain());
        assert!(is_synced, "behind {step:?}");
        life.commit();
    }
    // To a session: its QoS 2 messages behind their ids, PUBREL behind what PUBREC said.
    assert_eq!(payloads(&Life::heard(&mut reader)), ["one", "two"]);
    write(&mut client, publish("a/3", "three").exactly_once(5));
    life.settle();
    let mut commits = 0;
    while payloads(&Life::heard(&mut reader)).is_empty() {
        life.broker.commit_store();
        life.settle();
        commits += 1;
    }
    assert!(commits > 0);
    write(&mut reader, pubrec(3));
    life.settle();
    assert_eq!(Life::heard(&mut reader), []);
    life.broker.commit_store();
    life.settle();
    assert_eq!(Life::heard(&mut reader), [pubrel(3)]);
}

/// A session that lasts a minute and is without a connection.
fn with_a_minute(life: &mut Life) {
    let mut wish = connect_durable(V5, "short");
    wish.properties.set_session_expiry_interval(60);
    let (mut client, ..) = life.connect(wish);
    life.subscribe(&mut client, "a", AtLeastOnce);
    drop(client);
    life.commit();
}

/// T-62
#[test]
fn a_session_whose_time_came_while_the_broker_was_down_is_gone_before_anyone_is_served() {
    for (seconds, is_there) in [(59, true), (61, false)] {
        let (clock, hand) = Clock::manual();
        let mut life = Life::on(SimulatedDisk::new(), &clock);
        with_a_minute(&mut life);
        let disk = life.disk.copy();
        drop(life);
        hand.advance(Duration::from_secs(seconds));
        let mut life = Life::on(disk, &clock);
        let sessions = life
            .broker
            .metrics()
            .sum_gauge(|shard| shard.sessions.value());
        assert_eq!(sessions, u64::from(is_there), "after {seconds} s");
        let (_, is_present, _) = life.resume("short");
        assert_eq!(is_present, is_there, "after {seconds} s");
    }
}

/// T-62
#[test]
fn a_clock_that_was_set_back_gives_no_session_more_than_it_was_granted() {
    for (seconds, is_there) in [(59, true), (61, false)] {
        let (clock, hand) = Clock::manual();
        hand.advance(Duration::from_secs(1_000));
        let mut life = Life::on(SimulatedDisk::new(), &clock);
        with_a_minute(&mut life);
        let (clock, hand) = Clock::manual();
        let mut life = Life::on(life.disk.copy(), &clock);
        hand.advance(Duration::from_secs(seconds));
        life.commit();
        let (_, is_present, _) = life.resume("short");
        assert_eq!(is_present, is_there, "after {seconds} s");
    }
}

/// T-63
#[test]
fn v5_mqtt_3_1_2_4_what_a_clean_start_has_ended_never_comes_back() {
    let mut life = Life::new();
    let (mut client, ..) = life.resume("client");
    life.subscribe(&mut client, "a", AtLeastOnce);
    drop(client);
    life.publish("a", "old");
    let begin = life.now();
    let (client, is_present, _) = life.connect(connect(V5, "client"));
    assert!(!is_present);
    let ended = life.now();
    drop(client);
    life.commit();
    life.at_every_moment(begin, |moment, mut life| {
        let (mut client, is_present, owed) = life.resume("client");
        life.publish("a", "new");
        let owed = [owed, Life::heard(&mut client)].concat();
        if moment >= ended {
            assert!(!is_present);
        }
        // All of it or nothing.
        let expected: &[&str] = if is_present { &["old", "new"] } else { &[] };
        assert_eq!(payloads(&owed), expected);
    });
}

/// T-64
#[test]
fn v5_mqtt_3_2_2_3_a_session_that_is_present_has_its_subscriptions_its_queue_and_its_ids() {
    let mut life = Life::new();
    let (mut client, ..) = life.resume("client");
    let begun = life.now();
    life.subscribe(&mut client, "a", ExactlyOnce);
    let subscribed = life.now();
    let message = publish("b", "for nobody").exactly_once(9);
    let answer = life.tell(&mut client, message);
    let is_taken = |ack: &PubRec| ack.packet_id.get() == 9 && !ack.reason.is_error();
    assert!(matches!(&answer[..], [Packet::PubRec(ack)] if is_taken(ack)));
    let received = life.now();
    drop(client);
    life.publish("a", "waits");
    let queued = life.now();
    life.at_every_moment(0, |moment, mut life| {
        let (mut client, is_present, mut owed) = life.resume("client");
        if moment >= begun {
            assert!(is_present);
        }
        life.publish("a", "new");
        owed.extend(Life::heard(&mut client));
        let owed = payloads(&owed);
        if moment >= queued {
            assert_eq!(owed, ["waits", "new"]);
        } else if moment >= subscribed {
            assert_eq!(owed.last().map(String::as_str), Some("new"));
        } else if !is_present {
            assert!(owed.is_empty(), "{owed:?}");
        }
        let answer = life.tell(&mut client, pubrel(9));
        if moment >= received {
            assert_eq!(answer, [pubcomp(9)]);
        } else if !is_present {
            assert_ne!(answer, [pubcomp(9)]);
        }
    });
}

/// T-65
#[test]
fn a_suback_holds_for_every_later_publish_and_so_does_an_unsuback() {
    for filter in ["a", "$share/g/a"] {
        let mut life = Life::new();
        let (mut client, ..) = life.resume("client");
        let begin = life.now();
        life.subscribe(&mut client, filter, AtLeastOnce);
        let subscribed = life.now();
        life.unsubscribe(&mut client, filter);
        let unsubscribed = life.now();
        life.at_every_moment(begin, |moment, mut life| {
            life.publish("a", "new");
            let (_, _, owed) = life.resume("client");
            let owed = payloads(&owed);
            if moment >= unsubscribed {
                assert!(owed.is_empty(), "{owed:?}");
            } else if moment == subscribed {
                assert_eq!(owed, ["new"]);
            }
        });
    }
}
