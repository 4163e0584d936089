//! What connections cost a broker in memory, by the hundred thousand: connected, subscribed, after a message each, and gone.
//!
//! ```text
//! cargo run --release -p whinchat-broker --example connections -- 100000
//! ```
//!
//! Prints JSON. The transport is one in memory: no kernel, no sockets. It lives in the same process and has memory of its own,
//! which a second process measures without a broker and which is taken off: `transport_bytes_each`.
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use std::{
    env,
    error::Error,
    fs,
    num::NonZeroUsize,
    ops::Range,
    process::Command,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::BytesMut;
use serde_json::json;
use whinchat_broker::{
    Broker, Clock, ClockHand, SteppedBroker,
    config::{Auto, Config},
};
use whinchat_codec::{
    ConnectRef, DecodeLimits, Guarantee, PacketId, PacketRef, ProtocolVersion, PubAckRef,
    PublishRef, QoS, SubscribeRef, Subscription, SubscriptionOptions, decode,
};
use whinchat_transport::Stream;

const VERSION: ProtocolVersion = ProtocolVersion::V5;
/// Clients that say something at the same time: fewer than a publisher may have without an answer.
const BATCH: usize = 200;
/// Long enough for the whole program, and a timer for each, as real ones have.
const KEEP_ALIVE_SECONDS: u16 = 3_600;
const PAYLOAD: &[u8; 64] = &[b'x'; 64];
const TURNS_MAX: usize = 10_000;
/// What one direction of the broker's own pairs holds.
const PIPE_BYTES: usize = 256 * 1_024;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The bytes that one client has sent and read in a step.
#[derive(Clone, Copy, Default)]
struct Exchanged {
    sent: usize,
    read: usize,
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &arguments[..] {
        [count] => with_a_broker(count.parse::<NonZeroUsize>()?.get()),
        [count, transport, bytes @ ..] if transport == "transport" => {
            transport_alone(count.parse::<NonZeroUsize>()?.get(), bytes)
        }
        _ => Err("usage: connections COUNT".into()),
    }
}

fn with_a_broker(count: usize) -> Outcome<()> {
    let mut fleet = Fleet::new(count)?;
    let before = resident_bytes()?;
    let mut resident = Vec::new();
    let mut exchanged = Vec::new();
    for step in [Fleet::connect, Fleet::subscribe, Fleet::message] {
        exchanged.push(step(&mut fleet)?);
        fleet.rest()?;
        resident.push(resident_bytes()?);
    }
    fleet.leave()?;
    let gone = resident_bytes()?;
    let transport = ask_for_transport(count, &exchanged)?;

    let each = |resident: usize| (resident as f64 - before as f64) / count as f64;
    let names = ["connected", "subscribed", "after a message"];
    let steps = names.iter().zip(resident).zip(transport);
    let steps: Vec<_> = steps
        .map(|((name, resident), transport)| {
            json!({
                "step": name,
                "resident_bytes": resident,
                "bytes_each": each(resident),
                "transport_bytes_each": transport,
                "broker_bytes_each": each(resident) - transport,
            })
        })
        .collect();
    let report = json!({
        "connections": count,
        "resident_bytes_before": before,
        "steps": steps,
        "resident_bytes_gone": gone,
    });
    println!("{report:#}");
    Ok(())
}

/// A broker of one shard and its clients, of which nothing is kept but their ends of the transport.
struct Fleet {
    broker: SteppedBroker,
    clock: ClockHand,
    publisher: Stream,
    devices: Vec<Stream>,
    count: usize,
    out: BytesMut,
    input: Vec<u8>,
}

impl Fleet {
    fn new(count: usize) -> Outcome<Self> {
        let mut config = Config::embedded();
        // All other limits are wide enough as they are. Half of those who are not past CONNECT may be there before one has to go.
        config.limits.connections = Auto::Set(u32::try_from(count + 2 * BATCH)?);
        config.limits.unauthenticated_percent = 100;
        let (clock, hand) = Clock::manual();
        let builder = Broker::builder().config(config).threads(1).clock(clock);
        let mut broker = builder.start_stepped()?;
        let mut fleet = Self {
            publisher: broker.connect_in_memory(),
            broker,
            clock: hand,
            devices: Vec::with_capacity(count),
            count,
            out: BytesMut::new(),
            input: vec![0; 64 * 1_024],
        };
        connect("publisher").encode(VERSION, &mut fleet.out)?;
        write(&mut fleet.publisher, &mut fleet.out)?;
        fleet.settle()?;
        read(
            &mut fleet.publisher,
            &mut fleet.input,
            |packet| matches!(packet, PacketRef::ConnAck(connack) if !connack.reason.is_error()),
        )?;
        Ok(fleet)
    }

    fn connect(&mut self) -> Outcome<Exchanged> {
        self.exchange(
            |fleet, number| {
                connect(&format!("device-{number}")).encode(VERSION, &mut fleet.out)?;
                let mut stream = fleet.broker.connect_in_memory();
                let sent = write(&mut stream, &mut fleet.out)?;
                fleet.devices.push(stream);
                Ok(sent)
            },
            |packet| matches!(packet, PacketRef::ConnAck(connack) if !connack.reason.is_error()),
        )
    }

    fn subscribe(&mut self) -> Outcome<Exchanged> {
        self.exchange(
            |fleet, number| {
                let topic = topic(number);
                let subscriptions = [Subscription {
                    filter: topic.as_str().try_into()?,
                    options: SubscriptionOptions::new(QoS::AtLeastOnce),
                }];
                let subscribe = SubscribeRef {
                    packet_id: PacketId::MIN,
                    properties: Default::default(),
                    subscriptions: subscriptions.as_slice().into(),
                };
                subscribe.encode(VERSION, &mut fleet.out)?;
                write(&mut fleet.devices[number], &mut fleet.out)
            },
            |packet| matches!(packet, PacketRef::SubAck(_)),
        )
    }

    /// One message of QoS 1 to each, which each acknowledges.
    fn message(&mut self) -> Outcome<Exchanged> {
        let mut last = Exchanged::default();
        for first in (0..self.count).step_by(BATCH) {
            let batch = first..self.count.min(first + BATCH);
            self.publish(batch.clone())?;
            self.settle()?;
            for device in &mut self.devices[batch.clone()] {
                let mut acknowledged = None;
                last.read = read(device, &mut self.input, |packet| {
                    let PacketRef::Publish(publish) = packet else {
                        return false;
                    };
                    acknowledged = publish.guarantee.packet_id();
                    acknowledged.is_some()
                })?;
                let id = acknowledged.ok_or("a device has no message")?;
                PubAckRef::success(id).encode(VERSION, &mut self.out)?;
                last.sent = write(device, &mut self.out)?;
            }
            self.settle()?;
            self.acknowledged(batch.len())?;
        }
        Ok(last)
    }

    /// One message for each of these devices.
    fn publish(&mut self, devices: Range<usize>) -> Outcome<()> {
        for (id, number) in (1..).zip(devices) {
            let publish = PublishRef {
                guarantee: Guarantee::new(
                    QoS::AtLeastOnce,
                    PacketId::new(id).ok_or("id 0")?,
                    false,
                ),
                retain: false,
                topic: &topic(number),
                properties: Default::default(),
                payload: PAYLOAD,
            };
            publish.encode(VERSION, &mut self.out)?;
        }
        write(&mut self.publisher, &mut self.out)?;
        Ok(())
    }

    /// The publisher has so many answers, and none is a refusal.
    fn acknowledged(&mut self, messages: usize) -> Outcome<()> {
        let mut acks = 0;
        read(&mut self.publisher, &mut self.input, |packet| {
            acks += 1;
            matches!(packet, PacketRef::PubAck(puback) if !puback.reason.is_error())
        })?;
        if acks == messages {
            Ok(())
        } else {
            Err(format!("{acks} of {messages} messages are acknowledged").into())
        }
    }

    /// Each device says something, and gets one answer.
    fn exchange(
        &mut self,
        say: impl Fn(&mut Self, usize) -> Outcome<usize>,
        is_fine: impl Fn(&PacketRef<'_>) -> bool,
    ) -> Outcome<Exchanged> {
        let mut last = Exchanged::default();
        for first in (0..self.count).step_by(BATCH) {
            let batch = first..self.count.min(first + BATCH);
            for number in batch.clone() {
                last.sent = say(self, number)?;
            }
            self.settle()?;
            for device in &mut self.devices[batch] {
                last.read = read(device, &mut self.input, &is_fine)?;
            }
        }
        Ok(last)
    }

    /// All close their connections.
    fn leave(&mut self) -> Outcome<()> {
        while !self.devices.is_empty() {
            let left = self.devices.len().saturating_sub(BATCH);
            self.devices.truncate(left);
            self.settle()?;
        }
        self.devices = Vec::new();
        self.rest()
    }

    /// A minute without a word: whatever is put off is done then.
    fn rest(&mut self) -> Outcome<()> {
        for _ in 0..60 {
            self.clock.advance(Duration::from_secs(1));
            self.settle()?;
        }
        Ok(())
    }

    fn settle(&mut self) -> Outcome<()> {
        if self.broker.settle(TURNS_MAX) {
            Ok(())
        } else {
            Err(format!("the broker does not come to rest in {TURNS_MAX} turns").into())
        }
    }
}

fn connect(client_id: &str) -> ConnectRef<'_> {
    ConnectRef {
        version: VERSION,
        clean_start: true,
        keep_alive: KEEP_ALIVE_SECONDS,
        client_id,
        will: None,
        user_name: None,
        password: None,
        properties: Default::default(),
    }
}

fn topic(number: usize) -> String {
    format!("device/{number}/command")
}

/// Writes all of it, and gives how much that was.
fn write(stream: &mut Stream, out: &mut BytesMut) -> Outcome<usize> {
    let cx = &mut Context::from_waker(Waker::noop());
    let Poll::Ready(written) = stream.poll_write(cx, out) else {
        return Err("the transport is full".into());
    };
    let written = written?;
    if written != out.len() {
        return Err(format!("the transport took {written} of {} bytes", out.len()).into());
    }
    out.clear();
    Ok(written)
}

/// Reads what has come: whole packets, at least one, all of them fine. Gives their length.
fn read(
    stream: &mut Stream,
    input: &mut [u8],
    mut is_fine: impl FnMut(&PacketRef<'_>) -> bool,
) -> Outcome<usize> {
    let cx = &mut Context::from_waker(Waker::noop());
    let Poll::Ready(read) = stream.poll_read(cx, input) else {
        return Err("the broker has not answered".into());
    };
    let read = read?;
    let mut rest = &input[..read];
    while !rest.is_empty() {
        let (packet, len) = decode(rest, VERSION, &DecodeLimits::default())?
            .ok_or("the broker has sent part of a packet")?;
        if !is_fine(&packet) {
            return Err(format!("not expected: {packet:?}").into());
        }
        rest = &rest[len..];
    }
    if read == 0 {
        return Err("the broker has closed a connection".into());
    }
    Ok(read)
}

/// What the transport needs for the same exchange, from a process without a broker.
fn ask_for_transport(count: usize, exchanged: &[Exchanged]) -> Outcome<Vec<f64>> {
    let mut command = Command::new(env::current_exe()?);
    command.args([&count.to_string(), "transport"]);
    for Exchanged { sent, read } in exchanged {
        command.args([sent.to_string(), read.to_string()]);
    }
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the transport alone: {said}").into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Pairs through which so many bytes went there and back, for each step, and what they take then.
fn transport_alone(count: usize, bytes: &[String]) -> Outcome<()> {
    let bytes: Vec<usize> = bytes
        .iter()
        .map(|word| word.parse())
        .collect::<Result<_, _>>()?;
    let mut input = vec![1; 64 * 1_024];
    let mut out = BytesMut::new();
    let mut devices = Vec::with_capacity(count);
    // The broker keeps its ends in places of its own, which are the broker's: here they are there before.
    let mut ends: Vec<Option<Stream>> = Vec::new();
    ends.resize_with(count, || None);
    let before = resident_bytes()?;
    for end in &mut ends {
        let (device, its_own) = Stream::pair(PIPE_BYTES);
        devices.push(device);
        *end = Some(its_own);
    }
    let mut each = Vec::new();
    for step in bytes.chunks_exact(2) {
        for (device, end) in devices.iter_mut().zip(ends.iter_mut().flatten()) {
            pass(device, end, step[0], &mut out, &mut input)?;
            pass(end, device, step[1], &mut out, &mut input)?;
        }
        each.push((resident_bytes()? - before) as f64 / count as f64);
    }
    println!("{}", json!(each));
    Ok(())
}

fn pass(
    from: &mut Stream,
    to: &mut Stream,
    len: usize,
    out: &mut BytesMut,
    input: &mut [u8],
) -> Outcome<()> {
    out.resize(len, 0);
    write(from, out)?;
    let cx = &mut Context::from_waker(Waker::noop());
    if to.poll_read(cx, input).is_pending() {
        return Err("what was written cannot be read".into());
    }
    Ok(())
}

/// The resident memory of this process.
fn resident_bytes() -> Outcome<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .ok_or("no VmRSS in /proc/self/status")?;
    Ok(kib.parse::<usize>()? * 1_024)
}
