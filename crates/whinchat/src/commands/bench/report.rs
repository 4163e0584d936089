//! What a run came to, for people and as JSON.

use serde::Serialize;
use std::time::Duration;
use whinchat_codec::ProtocolVersion;

use super::coordinator::Outcome;
use super::load::{Load, Pace};
use super::meter::Cost;
use crate::commands::table::{grouped, short};

/// The result of one run. Field names are part of the program's face: `--json` prints them.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) scenario: &'static str,
    pub(super) mqtt_version: ProtocolVersion,
    pub(super) qos: u8,
    pub(super) payload_bytes: usize,
    #[serde(flatten)]
    pub(super) pace: PaceReport,
    pub(super) in_flight: u16,
    pub(super) persistent: bool,
    pub(super) publishers: u32,
    pub(super) subscribers: u32,
    pub(super) connections: u32,
    /// Subscriptions that nothing was published to.
    pub(super) filters: u32,

    pub(super) sent: u64,
    /// Due by the rate, and not sent in time.
    pub(super) unsent: u64,
    /// Deliveries, duplicates left out.
    pub(super) received: u64,
    pub(super) lost: u64,
    pub(super) duplicates: u64,
    pub(super) reordered: u64,
    /// Messages that this run did not send.
    pub(super) foreign: u64,
    /// How often a publisher gave up waiting for lost messages.
    pub(super) stalls: u64,
    pub(super) seconds: f64,
    pub(super) received_per_second: f64,
    /// Payloads only.
    pub(super) received_bytes_per_second: f64,
    pub(super) latency_us: Option<Latency>,

    pub(super) connect_seconds: f64,
    pub(super) connects_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) broker: Option<BrokerReport>,
    pub(super) own_cpu_seconds: Option<f64>,
    pub(super) own_cpu_seconds_per_million: Option<f64>,
    pub(super) failures: Vec<String>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PaceReport {
    Window(u64),
    Unbounded(bool),
    RatePerPublisher(f64),
}

/// In microseconds: at a fixed rate from the time a message was due, else from when it was written.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

/// What the broker used.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct BrokerReport {
    pub(super) cpu_seconds: f64,
    pub(super) cpu_seconds_per_million: Option<f64>,
    /// Written to disks per message sent, files that were allocated meanwhile included.
    pub(super) disk_bytes_per_message: Option<f64>,
    pub(super) connect_cpu_us_each: f64,
    pub(super) bytes_per_connection: f64,
    /// With the connections that have them, a thousandth each.
    pub(super) bytes_per_filter: Option<f64>,
    pub(super) memory_bytes_before: u64,
    pub(super) memory_bytes_connected: u64,
    pub(super) memory_bytes_after: u64,
}

impl Report {
    pub(super) fn new(scenario: &'static str, load: &Load, outcome: &Outcome) -> Self {
        let connections = load.connections();
        let tally = &outcome.tally;
        let seconds = outcome.elapsed.as_secs_f64();
        let connect_seconds = outcome.connect.time.as_secs_f64();
        let per_million = |cpu: Duration| {
            (tally.received > 0).then(|| cpu.as_secs_f64() * 1e6 / tally.received as f64)
        };
        let per_second = if seconds > 0.0 {
            tally.received as f64 / seconds
        } else {
            0.0
        };
        let micros = |quantile: f64| tally.latency.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            scenario,
            mqtt_version: load.version,
            qos: load.qos as u8,
            payload_bytes: load.payload_bytes,
            pace: match load.pace {
                Pace::Window(window) => PaceReport::Window(window),
                Pace::Flood => PaceReport::Unbounded(true),
                Pace::Rate(rate) => PaceReport::RatePerPublisher(rate),
            },
            in_flight: load.in_flight,
            persistent: load.persistent,
            publishers: load.topology.publishers(),
            subscribers: load.topology.subscribers(),
            connections,
            filters: load.filters,
            sent: outcome.sent,
            unsent: outcome.unsent,
            received: tally.received,
            lost: tally.lost,
            duplicates: tally.duplicates,
            reordered: tally.reordered,
            foreign: tally.foreign,
            stalls: outcome.stalls,
            seconds,
            received_per_second: per_second,
            received_bytes_per_second: per_second * load.payload_bytes as f64,
            latency_us: (!tally.latency.is_empty()).then(|| Latency {
                p50: micros(0.5),
                p90: micros(0.9),
                p99: micros(0.99),
                p999: micros(0.999),
                max: tally.latency.max() as f64 / 1e3,
            }),
            connect_seconds,
            connects_per_second: f64::from(connections) / connect_seconds.max(1e-9),
            broker: broker(outcome, load, per_million),
            own_cpu_seconds: outcome.publish.own_cpu.map(|cpu| cpu.as_secs_f64()),
            own_cpu_seconds_per_million: outcome.publish.own_cpu.and_then(per_million),
            failures: outcome.failures.clone(),
        }
    }

    /// Whether every message arrived once and in order. An unbounded flood at QoS 0 may lose some.
    pub(super) fn is_clean(&self) -> bool {
        let may_lose = self.qos == 0 && matches!(self.pace, PaceReport::Unbounded(_));
        (self.lost == 0 || may_lose)
            && self.duplicates + self.reordered + self.foreign == 0
            && self.failures.is_empty()
    }

    /// What was done, in a few words.
    pub(super) fn title(&self) -> String {
        let Self {
            scenario,
            publishers,
            subscribers,
            connections,
            qos,
            payload_bytes,
            ..
        } = self;
        let parties = match *scenario {
            "idle" if *subscribers == 0 => return format!("idle, {connections} connections"),
            "idle" => return format!("idle, {connections} connections with a subscription"),
            "p2p" if subscribers == publishers => format!("p2p, {publishers} pairs"),
            _ => format!("{scenario} {publishers} to {subscribers}"),
        };
        let beside = match self.filters {
            0 => String::new(),
            filters => format!(", beside {filters} filters"),
        };
        format!("{parties}, QoS {qos}, {payload_bytes} B{beside}")
    }

    pub(super) fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self)
            .expect("a report has text keys and finite numbers only");
        json + "\n"
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!("{}, MQTT {}\n", self.title(), self.mqtt_version);
        let mut line = |label: &str, value: String| text += &format!("  {label:<12}{value}\n");
        line(
            "connected",
            format!(
                "{} in {} s, {} per second",
                grouped(self.connections.into()),
                short(self.connect_seconds),
                short(self.connects_per_second)
            ),
        );
        if self.publishers > 0 {
            line("sent", grouped(self.sent));
            line(
                "received",
                format!(
                    "{} in {} s, {} per second, {} MB/s",
                    grouped(self.received),
                    short(self.seconds),
                    short(self.received_per_second),
                    short(self.received_bytes_per_second / 1e6)
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
        }
        if let Some(Latency {
            p50,
            p90,
            p99,
            p999,
            max,
        }) = self.latency_us
        {
            let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, max].map(short);
            line(
                "latency us",
                format!("p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p999}, max {max}"),
            );
        }
        if let Some(broker) = &self.broker {
            if let Some(per_million) = broker.cpu_seconds_per_million {
                line(
                    "broker CPU",
                    format!("{} s per million received", short(per_million)),
                );
            }
            if let Some(bytes) = broker.disk_bytes_per_message.filter(|bytes| *bytes > 0.0) {
                line("broker disk", format!("{} bytes per message", short(bytes)));
            }
            if let Some(bytes) = broker.bytes_per_filter {
                line("filters", format!("{} bytes each", short(bytes)));
            }
            line(
                "broker",
                format!(
                    "{} bytes and {} us CPU per connection, {} KiB at the end",
                    short(broker.bytes_per_connection.max(0.0)),
                    short(broker.connect_cpu_us_each),
                    grouped(broker.memory_bytes_after / 1024)
                ),
            );
        }
        if let (Some(cpu), Some(per_million)) =
            (self.own_cpu_seconds, self.own_cpu_seconds_per_million)
        {
            let share = cpu / self.seconds.max(1e-9) * 100.0;
            line(
                "own CPU",
                format!(
                    "{} s per million received, {share:.0} % of a processor",
                    short(per_million)
                ),
            );
        }
        if self.unsent > 0 {
            line(
                "unsent",
                format!(
                    "{} messages were due: the rate is more than broker or generator can do",
                    grouped(self.unsent)
                ),
            );
        }
        if self.stalls > 0 {
            line(
                "stalls",
                format!(
                    "{}: a publisher waited 3 s for messages that were lost",
                    self.stalls
                ),
            );
        }
        for failure in &self.failures {
            line("failed", failure.clone());
        }
        text
    }
}

fn broker(
    outcome: &Outcome,
    load: &Load,
    per_million: impl Fn(Duration) -> Option<f64>,
) -> Option<BrokerReport> {
    let Cost {
        broker_cpu,
        broker_written_bytes,
        ..
    } = outcome.publish;
    let sent = outcome.sent;
    let (before, connected) = outcome.broker_memory?;
    let connections = f64::from(load.connections().max(1));
    let grown = connected.bytes() as f64 - before.bytes() as f64;
    Some(BrokerReport {
        cpu_seconds: broker_cpu?.as_secs_f64(),
        cpu_seconds_per_million: per_million(broker_cpu?),
        disk_bytes_per_message: broker_written_bytes
            .filter(|_| sent > 0)
            .map(|bytes| bytes as f64 / sent as f64),
        connect_cpu_us_each: outcome.connect.broker_cpu?.as_secs_f64() * 1e6 / connections,
        bytes_per_connection: grown / connections,
        bytes_per_filter: (load.filters > 0).then(|| grown / f64::from(load.filters)),
        memory_bytes_before: before.bytes(),
        memory_bytes_connected: connected.bytes(),
        memory_bytes_after: outcome.broker_memory_after?.bytes(),
    })
}
