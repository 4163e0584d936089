//! `whinchat bench retained`: what retained messages weigh, and how fast a new subscriber gets all of them.
//!
//! One connection publishes them with QoS 1, so that the broker has them when its memory is read; another subscribes to
//! all; then they are cleared again.
//!
//! ```text
//! publish N ──> memory ──> SUBSCRIBE run/# ──> N received ──> clear
//! ```

use std::cell::RefCell;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use serde::Serialize;
use whinchat_codec::{
    Guarantee, PacketId, PacketRef, ProtocolVersion, PublishRef, QoS, SubscribeRef, Subscription,
    SubscriptionOptions,
};

use super::clock::now_ns;
use super::failure::Failure;
use super::gauge::Gauge;
use super::handshake::{Scratch, disconnect, open, out_of_place};
use super::load::Load;
use super::meter::{Meter, memory};
use super::process::Memory;
use super::progress::Progress;
use super::publisher::InFlight;
use super::stamp::Stamp;
use super::subscriber::{Subscriber, Tally};
use super::wire::{SCRATCH_BYTES, Wire};
use crate::commands::table::{grouped, short};

/// A write takes about this much.
const BATCH_BYTES: usize = 64 * 1024;

/// The result. Field names are part of the program's face: `--json` prints them.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RetainedReport {
    scenario: &'static str,
    mqtt_version: ProtocolVersion,
    qos: u8,
    payload_bytes: usize,
    messages: u32,
    /// Until all of them were acknowledged.
    publish_seconds: f64,
    /// From SUBSCRIBE to the last message.
    delivery_seconds: f64,
    received: u64,
    lost: u64,
    duplicates: u64,
    reordered: u64,
    foreign: u64,
    delivery_broker_cpu_seconds: Option<f64>,
    bytes_per_message: Option<f64>,
    memory_bytes_before: Option<u64>,
    memory_bytes_retained: Option<u64>,
}

impl RetainedReport {
    pub(super) fn is_clean(&self) -> bool {
        self.lost + self.duplicates + self.reordered + self.foreign == 0
    }

    pub(super) fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self)
            .expect("a report has text keys and finite numbers only");
        json + "\n"
    }

    pub(super) fn to_text(&self) -> String {
        let messages = f64::from(self.messages);
        let mut text = format!(
            "retained, {} messages of {} B, QoS {}, MQTT {}\n",
            grouped(self.messages.into()),
            self.payload_bytes,
            self.qos,
            self.mqtt_version
        );
        let mut line = |label: &str, value: String| text += &format!("  {label:<12}{value}\n");
        line(
            "published",
            format!(
                "in {} s, {} per second",
                short(self.publish_seconds),
                short(messages / self.publish_seconds.max(1e-9))
            ),
        );
        line(
            "received",
            format!(
                "{} in {} s, {} per second",
                grouped(self.received),
                short(self.delivery_seconds),
                short(self.received as f64 / self.delivery_seconds.max(1e-9))
            ),
        );
        line(
            "faults",
            format!(
                "{} lost, {} duplicated, {} reordered, {} foreign",
                grouped(self.lost),
                grouped(self.duplicates),
                grouped(self.reordered),
                grouped(self.foreign)
            ),
        );
        if let Some(bytes) = self.bytes_per_message {
            line("memory", format!("{} bytes each", short(bytes)));
        }
        if let Some(cpu) = self.delivery_broker_cpu_seconds {
            line("broker CPU", format!("{} s for the delivery", short(cpu)));
        }
        text
    }
}

/// Publishes `messages` retained messages, has all of them delivered once, and clears them.
///
/// # Errors
/// A connection fails, or the broker refuses or says nothing for as long as [`Load::drain`].
pub(super) fn run(
    load: &Load,
    messages: u32,
    progress: &Progress,
) -> Result<RetainedReport, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())?;
    runtime.block_on(measure(load, messages, progress))
}

async fn measure(
    load: &Load,
    messages: u32,
    progress: &Progress,
) -> Result<RetainedReport, Failure> {
    let scratch = RefCell::new(vec![0; SCRATCH_BYTES]);
    let client_id = |part: &str| format!("{}-{part}", load.run_id);
    let (mut publisher, greeting) = open(&client_id("p"), true, load, &scratch).await?;
    let in_flight = load.in_flight.min(greeting.receive_maximum);
    let topics = Topics {
        run_id: &load.run_id,
        messages,
    };

    let before = memory(load)?;
    let start = Instant::now();
    let mut payload = vec![0; load.payload_bytes];
    progress.name("retained: publish".to_owned());
    publish(
        &mut publisher,
        &topics,
        in_flight,
        load,
        &scratch,
        |sequence| {
            let sent_ns = now_ns();
            Stamp {
                publisher: 0,
                sequence,
                sent_ns,
            }
            .write_to(&mut payload);
            payload.clone()
        },
    )
    .await?;
    let publish_seconds = start.elapsed().as_secs_f64();
    let retained = memory(load)?;

    progress.name("retained: deliver".to_owned());
    let (mut subscriber, _) = open(&client_id("s"), true, load, &scratch).await?;
    let meter = Meter::start(load)?;
    let start = Instant::now();
    let tally = receive(&mut subscriber, messages, load, &scratch).await?;
    let delivery_seconds = start.elapsed().as_secs_f64();
    let cost = meter.stop()?;
    disconnect(&mut subscriber, true).await?;

    progress.name("retained: clear".to_owned());
    publish(&mut publisher, &topics, in_flight, load, &scratch, |_| {
        Vec::new()
    })
    .await?;
    disconnect(&mut publisher, true).await?;
    Ok(RetainedReport {
        scenario: "retained",
        mqtt_version: load.version,
        qos: load.qos as u8,
        payload_bytes: load.payload_bytes,
        messages,
        publish_seconds,
        delivery_seconds,
        received: tally.received,
        lost: tally.lost,
        duplicates: tally.duplicates,
        reordered: tally.reordered,
        foreign: tally.foreign,
        delivery_broker_cpu_seconds: cost.broker_cpu.map(|cpu| cpu.as_secs_f64()),
        bytes_per_message: before.zip(retained).map(|(before, retained)| {
            (retained.bytes() as f64 - before.bytes() as f64) / f64::from(messages)
        }),
        memory_bytes_before: before.map(Memory::bytes),
        memory_bytes_retained: retained.map(Memory::bytes),
    })
}

/// The topics of a run: sites of a thousand devices.
struct Topics<'a> {
    run_id: &'a str,
    messages: u32,
}

impl Topics<'_> {
    fn name(&self, number: u32) -> String {
        format!(
            "{}/site-{}/device-{number}/temperature",
            self.run_id,
            number / 1_000
        )
    }
}

/// Publishes to each topic with QoS 1, and returns when the last is acknowledged.
async fn publish(
    wire: &mut Wire,
    topics: &Topics<'_>,
    in_flight: u16,
    load: &Load,
    scratch: &Scratch,
    mut payload: impl FnMut(u32) -> Vec<u8>,
) -> Result<(), Failure> {
    let mut in_flight = InFlight::new(in_flight);
    let mut next = 0;
    let version = wire.version();
    exchange(wire, load, scratch, |packet, out| {
        match packet {
            None => {}
            Some(PacketRef::PubAck(puback)) if puback.reason.is_error() => {
                return Err(Failure::PubAckRefused(puback.reason));
            }
            Some(PacketRef::PubAck(puback)) => in_flight.on_puback(puback.packet_id)?,
            Some(packet) => return Err(out_of_place(&packet)),
        }
        while next < topics.messages && out.len() < BATCH_BYTES {
            let Some(id) = in_flight.take(QoS::AtLeastOnce) else {
                break;
            };
            let publish = PublishRef {
                guarantee: Guarantee::new(QoS::AtLeastOnce, id, false),
                retain: true,
                topic: &topics.name(next),
                properties: Default::default(),
                payload: &payload(next),
            };
            publish.encode(version, out)?;
            next += 1;
        }
        Ok(if next == topics.messages && in_flight.is_empty() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })
    .await
}

/// Subscribes to all topics and returns when all messages are there.
async fn receive(
    wire: &mut Wire,
    messages: u32,
    load: &Load,
    scratch: &Scratch,
) -> Result<Tally, Failure> {
    let gauge = Gauge::new(1);
    gauge.note_sent(messages.into());
    let mut subscriber = Subscriber::new(0..1, Arc::new([gauge])).in_any_order();
    let mut tally = Tally::new();
    let version = wire.version();
    let filter = format!("{}/#", load.run_id);
    let subscriptions = [Subscription {
        filter: filter.as_str().try_into()?,
        options: SubscriptionOptions::new(load.qos),
    }];
    let subscribe = SubscribeRef {
        packet_id: PacketId::MIN,
        properties: Default::default(),
        subscriptions: subscriptions.as_slice().into(),
    };
    subscribe.encode(version, wire.out())?;
    let received = exchange(wire, load, scratch, |packet, out| {
        match packet {
            None => {}
            Some(PacketRef::SubAck(mut suback)) => {
                if let Some(reason) = suback.reasons.next().filter(|reason| reason.is_error()) {
                    let filter = filter.clone();
                    return Err(Failure::SubscriptionRefused { filter, reason });
                }
            }
            Some(PacketRef::Publish(publish)) => {
                subscriber.on_publish(now_ns(), &publish, version, &mut tally, out)?;
            }
            Some(PacketRef::PubRel(pubrel)) => {
                subscriber.on_pubrel(pubrel.packet_id, version, out)?;
            }
            Some(packet) => return Err(out_of_place(&packet)),
        }
        Ok(if tally.received >= messages.into() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })
    .await;
    match received {
        // What is missing is the result, not a reason to have none.
        Ok(()) | Err(Failure::Silent { .. }) => {}
        Err(failure) => return Err(failure),
    }
    subscriber.close(&mut tally);
    Ok(tally)
}

/// Hands `step` what arrives, and once nothing before that, and sends what it appends, until it says that all is done.
async fn exchange(
    wire: &mut Wire,
    load: &Load,
    scratch: &Scratch,
    mut step: impl FnMut(Option<PacketRef<'_>>, &mut BytesMut) -> Result<ControlFlow<()>, Failure>,
) -> Result<(), Failure> {
    let mut is_done = step(None, wire.out())?.is_break();
    loop {
        let turn = poll_fn(|cx| {
            let mut progressed = false;
            if let Poll::Ready(sent) = wire.poll_flush(cx) {
                sent?;
                if is_done {
                    return Poll::Ready(Ok::<_, Failure>(()));
                }
            }
            let mut scratch = scratch.borrow_mut();
            while let Poll::Ready(read) = wire.poll_packets(cx, &mut scratch, |packet, out| {
                is_done |= step(Some(packet), out)?.is_break();
                Ok(())
            }) {
                read?;
                progressed = true;
                if let Poll::Ready(sent) = wire.poll_flush(cx) {
                    sent?;
                }
                if is_done {
                    break;
                }
            }
            if progressed {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        });
        match tokio::time::timeout(load.drain.max(Duration::from_secs(1)), turn).await {
            Ok(turned) => turned?,
            Err(_) => {
                return Err(Failure::Silent {
                    seconds: load.drain.max(Duration::from_secs(1)).as_secs(),
                });
            }
        }
        if is_done && wire.is_flushed() {
            return Ok(());
        }
    }
}
