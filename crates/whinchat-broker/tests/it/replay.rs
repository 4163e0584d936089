//! The log says what the broker knows: at any moment of a random life, what is read back from it is what the broker would export. The segments are
//! small, so that the oldest are given up again and again while clients are served.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use fastrand::Rng;
use whinchat_broker::{Broker, Clock, ClockHand, SteppedBroker, Store, config::Config};
use whinchat_codec::{
    Connect, DecodeLimits, Guarantee, Packet, QoS, SubscriptionOptions, Unsubscribe, decode,
};
use whinchat_store::{
    DurableLog, DurableLogOptions,
    disk::{Crash, Disk, SimulatedDisk},
};
use whinchat_transport::Stream;

use crate::peer::{
    IntoPacket, Refine, V5, connect, connect_durable, packet_id, puback, pubcomp, publish, pubrec,
    pubrel, subscribe, text, will,
};

const CLIENTS: usize = 4;
const FILTERS: [&str; 5] = ["a/#", "a/b", "+/b", "$share/g/a/#", "c"];
const TOPICS: [&str; 4] = ["a/b", "a/c", "c", "d/b"];

pub(crate) fn store(disk: &SimulatedDisk) -> Store {
    let mut options = DurableLogOptions::default();
    options.segment_bytes = 8 << 10;
    Store::new(Arc::new(disk.clone()), options)
}

/// Every second life keeps no more of a queue in memory than it must.
fn config(seed: u64) -> Config {
    let mut config = Config::embedded();
    if !seed.is_multiple_of(2) {
        config.limits.queue_in_memory = 0;
    }
    config
}

fn start(disk: &SimulatedDisk, clock: &Clock, seed: u64, shards: u16) -> SteppedBroker {
    Broker::builder()
        .config(config(seed))
        .threads(shards)
        .clock(clock.clone())
        .store(store(disk))
        .start_stepped()
        .expect("what was stored can be read")
}

/// A client that answers when it likes.
#[derive(Default)]
struct Client {
    stream: Option<Stream>,
    unread: BytesMut,
    /// Answers that it owes.
    due: Vec<Packet>,
    next_id: u16,
}

pub(crate) struct Run {
    pub(crate) disk: SimulatedDisk,
    pub(crate) clock: Clock,
    hand: ClockHand,
    broker: SteppedBroker,
    clients: [Client; CLIENTS],
    random: Rng,
    published: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let (clock, hand) = Clock::manual();
        let disk = SimulatedDisk::new();
        let broker = start(&disk, &clock, seed, 2);
        Self {
            disk,
            clock,
            hand,
            broker,
            clients: Default::default(),
            random: Rng::with_seed(seed),
            published: 0,
        }
    }

    /// Turns of the shards in any order, with commits in between, until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            let ready: Vec<usize> = self.broker.ready_shards().collect();
            match self.random.choice(&ready) {
                Some(next) => assert!(self.broker.turn(*next)),
                None => match self.broker.commit_store() {
                    Some(whinchat_store::Commit::Done(_)) => {}
                    _ => return,
                },
            }
            if self.random.u8(..4) == 0 {
                self.broker.commit_store();
            }
        }
        panic!("the broker never comes to rest");
    }

    fn send(&mut self, client: usize, packet: impl IntoPacket) {
        let mut bytes = BytesMut::new();
        let packet = packet.into_packet();
        packet.encode(V5, &mut bytes).expect("a packet of the test");
        if let Some(stream) = &mut self.clients[client].stream {
            let mut cx = Context::from_waker(Waker::noop());
            // A broker that has closed the stream hears nothing.
            let _ = stream.poll_write(&mut cx, &bytes);
        }
    }

    fn receive(&mut self, client: usize) {
        let client = &mut self.clients[client];
        let Some(stream) = &mut client.stream else {
            return;
        };
        let mut piece = [0; 4096];
        let mut cx = Context::from_waker(Waker::noop());
        let is_closed = loop {
            match stream.poll_read(&mut cx, &mut piece) {
                Poll::Ready(Ok(0) | Err(_)) => break true,
                Poll::Ready(Ok(count)) => client.unread.extend_from_slice(&piece[..count]),
                Poll::Pending => break false,
            }
        };
        while let Some((packet, len)) =
            decode(&client.unread, V5, &DecodeLimits::default()).expect("a broker sends packets")
        {
            let packet = packet.to_owned();
            if let Packet::Publish(publish) = &packet {
                match publish.guarantee {
                    Guarantee::AtMostOnce => {}
                    Guarantee::AtLeastOnce { id, .. } => client.due.push(puback(id.get())),
                    Guarantee::ExactlyOnce { id, .. } => client.due.push(pubrec(id.get())),
                }
            } else if let Packet::PubRel(pubrel) = &packet {
                client.due.push(pubcomp(pubrel.packet_id.get()));
            } else if let Packet::PubRec(pubrec) = &packet {
                client.due.push(pubrel(pubrec.packet_id.get()));
            }
            client.unread.advance(len);
        }
        if is_closed {
            client.stream = None;
        }
    }

    fn step(&mut self) {
        let client = self.random.usize(..CLIENTS);
        match self.random.u8(..20) {
            0..=2 => self.connect(client),
            3 => self.clients[client].stream = None,
            4 => {
                let filter = self.random.choice(FILTERS).expect("some");
                let qos = QoS::ALL[self.random.usize(1..3)];
                let filters = [(filter, SubscriptionOptions::new(qos))];
                self.send(client, Packet::Subscribe(subscribe(900, &filters)));
            }
            5 => {
                let filter = self.random.choice(FILTERS).expect("some");
                let unsubscribe = Unsubscribe {
                    packet_id: packet_id(901),
                    properties: Default::default(),
                    filters: vec![text(filter)],
                };
                self.send(client, Packet::Unsubscribe(unsubscribe));
            }
            6..=11 => self.publish(client),
            12 => {
                let seconds = self.random.u64(1..8);
                self.hand.advance(Duration::from_secs(seconds));
            }
            _ => {
                let due = self.clients[client].due.len();
                if due > 0 {
                    let answer = self.clients[client]
                        .due
                        .remove(self.random.usize(..due.min(2)));
                    self.send(client, answer);
                }
            }
        }
        self.settle();
        for client in 0..CLIENTS {
            self.receive(client);
        }
    }

    fn connect(&mut self, client: usize) {
        let mut connect = connect_durable(V5, &format!("client-{client}"));
        connect
            .properties
            .set_session_expiry_interval([20, 1000, u32::MAX][self.random.usize(..3)]);
        connect.properties.set_receive_maximum(3).expect("not 0");
        connect.clean_start = self.random.u8(..12) == 0;
        if self.random.u8(..3) == 0 {
            let mut will = will("c", "will");
            will.qos = QoS::AtLeastOnce;
            will.properties
                .set_will_delay_interval(self.random.u32(..10));
            connect.will = Some(will);
        }
        let known = &mut self.clients[client];
        known.unread.clear();
        known.due.clear();
        known.stream = Some(self.broker.connect_in_memory());
        self.send(client, Packet::Connect(Box::new(connect)));
    }

    fn publish(&mut self, client: usize) {
        let topic = self.random.choice(TOPICS).expect("some");
        self.published += 1;
        let payload = format!("{}{}", self.published, "x".repeat(self.random.usize(..300)));
        let known = &mut self.clients[client];
        known.next_id = known.next_id % 800 + 1;
        let id = known.next_id;
        let is_cleared = self.random.u8(..10) == 0;
        let mut message = publish(topic, if is_cleared { "" } else { &payload });
        if self.random.u8(..8) == 0 {
            message
                .properties
                .set_message_expiry_interval(self.random.u32(1..20));
        }
        message = if self.random.bool() {
            message.at_least_once(id)
        } else {
            message.exactly_once(id)
        };
        if is_cleared || self.random.u8(..4) == 0 {
            message = message.retained();
        }
        self.send(client, message);
    }

    /// What is read back is what the broker knows.
    fn check(&self, step: usize) {
        let live = format!("{:?}", self.broker.checkpoint());
        let read = store(&self.disk.copy())
            .read(&self.clock)
            .expect("it can be read");
        let read = format!("{read:?}");
        let differences: Vec<_> = live
            .lines()
            .zip(read.lines())
            .filter(|(live, read)| live != read)
            .collect();
        assert!(live == read, "after step {step}: {differences:#?}");
    }
}

pub(crate) fn live(seed: u64, steps: usize) -> Run {
    let mut run = Run::new(seed);
    for step in 0..steps {
        run.step();
        if step % 7 == 0 {
            run.check(step);
        }
        if run.random.u16(..150) == 0 {
            // The process ends; what was committed is there.
            let shards = run.random.u16(1..4);
            run.disk = run.disk.copy();
            run.broker = start(&run.disk, &run.clock, seed, shards);
            for client in &mut run.clients {
                client.stream = None;
            }
            run.settle();
            run.check(step);
        }
    }
    let files = run.disk.list().expect("a disk in memory").len();
    assert!(
        files <= 24,
        "{files} files: the oldest segments are not given up"
    );
    run
}

#[test]
fn what_is_read_back_is_what_the_broker_knows() {
    let seed = std::env::var("WHINCHAT_TEST_SEED").map_or_else(
        |_| fastrand::u64(..),
        |seed| seed.parse().expect("a seed is a number"),
    );
    for seed in seed..seed.saturating_add(8) {
        println!("seed {seed}");
        live(seed, 600);
    }
}

#[test]
fn every_moment_of_a_power_cut_can_be_read_back() {
    let run = live(7, 120);
    let mut images = 0;
    run.disk.crashes(|done, crash| {
        for kind in [
            Crash::Nothing,
            Crash::Everything,
            Crash::Mixture(done as u64),
        ] {
            let read = store(&crash(kind)).read(&run.clock);
            assert!(read.is_ok(), "after {done} operations, {kind:?}: {read:?}");
            images += 1;
        }
    });
    assert!(images > 100, "{images} images");
}

/// The topic of a retained message stands in its MESSAGE alone. Shards write at the same time, so only one group keeps an order.
#[test]
fn what_is_retained_is_in_one_group_with_its_message() {
    const MESSAGE: u8 = 1;
    const RETAIN: u8 = 7;
    let mut retained = 0;
    let mut read = |group: whinchat_store::Replayed<'_>| {
        let records: Vec<_> = whinchat_store::record::read(group.records)
            .collect::<Result<_, _>>()
            .expect("whole records");
        let messages = |of: u8| {
            let of_kind = records
                .iter()
                .filter(move |record| record.kind.number() == of);
            of_kind.map(|record| number(record.body))
        };
        for message in messages(RETAIN) {
            assert!(
                messages(MESSAGE).any(|there| there == message),
                "message {message} in group {}",
                group.lsn
            );
            retained += 1;
        }
        Ok(())
    };
    for seed in 0..8 {
        let disk = Arc::new(live(seed, 300).disk.copy());
        DurableLog::open_stepped(disk, DurableLogOptions::default(), &mut read)
            .expect("the log of a broker");
    }
    assert!(retained > 10, "{retained}");
}

/// The number that a body begins with.
fn number(body: &[u8]) -> u64 {
    let bytes = body
        .iter()
        .position(|byte| byte & 0x80 == 0)
        .expect("a number");
    (0..=bytes).fold(0, |number, place| {
        number | u64::from(body[place] & 0x7F) << (7 * place)
    })
}

#[test]
fn starts_alone_do_not_make_the_log_longer() {
    let (clock, _hand) = Clock::manual();
    let disk = SimulatedDisk::new();
    for _ in 0..40 {
        let mut broker = start(&disk, &clock, 0, 2);
        is_answered(&mut broker, connect_durable(V5, "client"));
        for _ in 0..10 {
            broker.commit_store();
            assert!(broker.settle(1_000));
        }
    }
    let files = disk.list().expect("a disk in memory").len();
    assert!(files <= 12, "{files} files");
}

/// A client whose connection is cut as soon as its CONNECT was handled: whether it got a CONNACK.
fn is_answered(broker: &mut SteppedBroker, connect: Connect) -> bool {
    let mut stream = broker.connect_in_memory();
    let mut bytes = BytesMut::new();
    let packet = Packet::Connect(Box::new(connect));
    packet.encode(V5, &mut bytes).expect("a CONNECT");
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(stream.poll_write(cx, &bytes).is_ready());
    assert!(broker.settle(1_000));
    let mut first = [0];
    matches!(stream.poll_read(cx, &mut first), Poll::Ready(Ok(1))) && first == [0x20]
}

/// T-63: after a crash the session would be there again.
#[test]
fn v5_mqtt_3_1_2_4_a_clean_start_is_answered_when_the_end_of_the_old_session_is_committed() {
    let (clock, _hand) = Clock::manual();
    let mut broker = start(&SimulatedDisk::new(), &clock, 0, 1);
    assert!(!is_answered(&mut broker, connect_durable(V5, "client")));
    broker.commit_store();
    // The first one ends the session; for the second one there is none to end.
    for _ in 0..2 {
        assert!(!is_answered(&mut broker, connect(V5, "client")));
    }
    broker.commit_store();
    assert!(broker.settle(1_000));
    assert!(is_answered(&mut broker, connect(V5, "client")));
}
