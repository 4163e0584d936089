//! The command line of `whinchat bench`, and what it asks for.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use whinchat_codec::{ProtocolVersion, QoS};
use whinchat_transport::Url;

use super::compare::Comparison;
use super::load::{Load, Pace, Stop, Topology};
use super::processors::Processors;
use super::stamp::STAMP_BYTES;
use crate::commands::quantity;

/// What the default window lets be under way: messages to one subscriber, deliveries of one publisher.
const OUTSTANDING_MAX: u64 = 10_000;
const DELIVERIES_MAX: u64 = 50_000;
const OUTSTANDING_BYTES_MAX: u64 = 4 << 20;

/// Loads a broker and measures rate, latency, losses, and what it costs the broker.
///
/// Prints messages received per second, latency from p50 to the maximum, lost, duplicated and reordered messages, the
/// load generator's own CPU and, given --pid, the broker's CPU per million received messages and its memory.
/// With --compare it starts Whinchat and another broker itself, alternately, and prints both side by side.
///
/// Ends with 0 if every message arrived once and in order, else with 1.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Who talks to whom. With --compare: only this one instead of the whole set.
    #[arg(value_enum, required_unless_present = "compare")]
    scenario: Option<Scenario>,
    /// The broker: mqtt://[USER[:PASSWORD]@]HOST[:PORT], HOST:PORT or unix:PATH.
    #[arg(default_value = "mqtt://127.0.0.1:1883", conflicts_with = "compare")]
    url: Url,

    /// Quality of Service of messages and subscriptions: 0, 1 or 2.
    #[arg(short, long, default_value = "0", value_parser = qos)]
    qos: QoS,
    /// Bytes of a payload, at least 16; KiB and MiB are known.
    #[arg(short = 's', long, default_value = "16", value_name = "SIZE", value_parser = payload)]
    payload: usize,
    /// MQTT version: 3.1, 3.1.1 or 5.0.
    #[arg(short = 'V', long, default_value = "3.1.1", value_parser = version)]
    version: ProtocolVersion,
    /// Connections that publish to one subscriber each (p2p) [default: 50].
    #[arg(long, value_name = "N", value_parser = count())]
    pairs: Option<u32>,
    /// Subscribers of each publisher (p2p) [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    each: Option<u32>,
    /// Connections that publish (fan-in, fan-out, shared) [default: 50, 1 and 1000].
    #[arg(long, value_name = "N", value_parser = count())]
    publishers: Option<u32>,
    /// Connections that subscribe (fan-in, fan-out, shared) [default: 1, 500 and 5].
    #[arg(long, value_name = "N", value_parser = count())]
    subscribers: Option<u32>,
    /// Connections without traffic (idle) [default: 10000].
    #[arg(long, value_name = "N", value_parser = count())]
    connections: Option<u32>,
    /// Without a subscription for each connection (idle).
    #[arg(long)]
    no_subscription: bool,
    /// Filters that nothing is published to, on connections of their own with 1,000 each.
    #[arg(long, default_value = "0", value_name = "N", value_parser = clap::value_parser!(u32).range(..=10_000_000))]
    filters: u32,

    /// Messages per second and publisher. Latency then counts from the time at which a message was due.
    #[arg(short, long, value_name = "N", value_parser = rate, group = "pace")]
    rate: Option<f64>,
    /// Messages of a publisher that may be on their way to subscribers. The default is 1,000, less if that were more than
    /// 50,000 deliveries, or more than 10,000 messages or 4 MiB from all publishers to one subscriber.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), group = "pace")]
    window: Option<u64>,
    /// Publishes as fast as the broker reads, whatever is delivered. At QoS 0 the broker may have to drop messages, which
    /// then is no failure.
    #[arg(long, group = "pace")]
    unbounded: bool,
    /// Messages of QoS 1 and 2 that a publisher may have unacknowledged.
    #[arg(long, default_value = "20", value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    inflight: u16,

    /// How long to publish, or to be idle: 10s, 500ms, 2m [default: 5s; idle 1s].
    #[arg(short, long, value_name = "TIME", value_parser = quantity::duration, group = "stop")]
    duration: Option<Duration>,
    /// How many messages to publish, over all publishers [default for retained: 100000].
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), group = "stop")]
    messages: Option<u64>,
    /// How long to wait for missing messages at the end.
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = quantity::duration)]
    drain: Duration,
    /// Subscribers have sessions that outlive their connections; they are removed at the end.
    #[arg(long)]
    persistent: bool,
    /// Keep alive in seconds; 0 is none.
    #[arg(short, long, default_value = "0", value_name = "SECONDS")]
    keep_alive: u16,

    /// Threads of the load generator.
    #[arg(long, default_value = "1", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Process id of the broker, on this machine: its CPU and memory are read from /proc.
    #[arg(long, conflicts_with = "compare", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,
    /// Processors for the load generator: 1 or 1,3-5.
    #[arg(long, value_name = "LIST")]
    pin: Option<Processors>,

    /// Starts this broker and Whinchat on free ports and measures both.
    #[arg(long, value_enum, value_name = "BROKER")]
    compare: Option<Peer>,
    /// How often each scenario is measured with each broker; the table has medians.
    #[arg(long, default_value = "3", value_name = "N", requires = "compare", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Processors for the brokers.
    #[arg(long, value_name = "LIST", requires = "compare")]
    pin_broker: Option<Processors>,
    /// Threads of Whinchat's broker.
    #[arg(long, value_name = "N", requires = "compare", value_parser = clap::value_parser!(u16).range(1..))]
    broker_threads: Option<u16>,
    /// Whinchat's broker acknowledges what it has synced to a new directory in DIR, as it does unless told otherwise. Without
    /// this it keeps everything in memory, as the others do.
    #[arg(long, value_name = "DIR", requires = "compare")]
    store: Option<PathBuf>,
    /// The program whose `serve` is measured, instead of this one.
    #[arg(long, value_name = "FILE", requires = "compare")]
    broker_program: Option<PathBuf>,

    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Without a progress bar.
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Scenario {
    /// Pairs: each publisher has its subscriber.
    P2p,
    /// Many publishers, one subscriber that hears all of them.
    FanIn,
    /// One publisher, many subscribers.
    FanOut,
    /// Many publishers, subscribers that share their messages.
    Shared,
    /// Retained messages: what each takes, and their delivery to a new subscriber of all.
    Retained,
    /// Connections that say nothing.
    Idle,
}

impl Scenario {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::P2p => "p2p",
            Self::FanIn => "fan-in",
            Self::FanOut => "fan-out",
            Self::Shared => "shared",
            Self::Retained => "retained",
            Self::Idle => "idle",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Peer {
    /// Eclipse Mosquitto, as it is found on the PATH.
    Mosquitto,
    /// Whinchat itself with everything in memory: what `--store` costs.
    Ephemeral,
}

impl Peer {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mosquitto => "mosquitto",
            Self::Ephemeral => "ephemeral",
        }
    }
}

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub(super) is_json: bool,
    pub(super) is_quiet: bool,
}

impl Output {
    pub(super) fn choose(
        self,
        json: impl FnOnce() -> String,
        text: impl FnOnce() -> String,
    ) -> String {
        if self.is_json { json() } else { text() }
    }
}

/// What the command line asks for.
pub(super) enum Task {
    Measure {
        name: &'static str,
        load: Load,
        output: Output,
    },
    Retained {
        load: Load,
        messages: u32,
        output: Output,
    },
    Compare(Comparison),
}

impl Args {
    /// # Errors
    /// Options that contradict each other.
    pub(super) fn into_task(self) -> Result<Task, String> {
        let output = Output {
            is_json: self.json,
            is_quiet: self.quiet,
        };
        let Some(peer) = self.compare else {
            let scenario = self.scenario.unwrap_or(Scenario::P2p);
            if let Some(processors) = &self.pin {
                processors.apply().map_err(|failure| failure.to_string())?;
            }
            if scenario == Scenario::Retained {
                return self.retained(output);
            }
            return Ok(Task::Measure {
                name: scenario.name(),
                load: self.load(scenario, self.qos)?,
                output,
            });
        };
        let mut cells = Vec::new();
        for (scenario, qos) in self.compared() {
            cells.push((scenario.name(), self.load(scenario, qos)?));
        }
        Ok(Task::Compare(Comparison {
            peer,
            cells,
            rounds: self.rounds,
            own_processors: self.pin,
            broker_processors: self.pin_broker,
            broker_threads: self.broker_threads,
            broker_program: self.broker_program,
            store: self.store,
            output,
        }))
    }

    fn retained(&self, output: Output) -> Result<Task, String> {
        for (is_given, option) in [
            (self.duration.is_some(), "--duration"),
            (self.rate.is_some(), "--rate"),
            (self.window.is_some(), "--window"),
            (self.unbounded, "--unbounded"),
            (self.persistent, "--persistent"),
            (self.filters > 0, "--filters"),
            (self.threads > 1, "--threads"),
        ] {
            if is_given {
                return Err(format!("{option} has no meaning for retained"));
            }
        }
        let messages = self.messages.unwrap_or(100_000);
        Ok(Task::Retained {
            load: self.load(Scenario::Retained, self.qos)?,
            messages: u32::try_from(messages)
                .map_err(|_| format!("--messages {messages} is more than 4,294,967,295"))?,
            output,
        })
    }

    fn compared(&self) -> Vec<(Scenario, QoS)> {
        match self.scenario {
            Some(scenario) => vec![(scenario, self.qos)],
            None => vec![
                (Scenario::P2p, QoS::AtMostOnce),
                (Scenario::P2p, QoS::AtLeastOnce),
                (Scenario::P2p, QoS::ExactlyOnce),
                (Scenario::FanIn, QoS::AtMostOnce),
                (Scenario::FanOut, QoS::AtMostOnce),
                (Scenario::FanOut, QoS::AtLeastOnce),
                (Scenario::Idle, QoS::AtMostOnce),
            ],
        }
    }

    fn load(&self, scenario: Scenario, qos: QoS) -> Result<Load, String> {
        let topology = self.topology(scenario)?;
        let publishers = topology.publishers().max(1);
        let stop = match (self.messages, self.duration) {
            (Some(_), _) if scenario == Scenario::Idle => {
                return Err("idle has no messages: use --duration".into());
            }
            (Some(messages), _) => {
                let each = messages.div_ceil(publishers.into());
                Stop::Messages(u32::try_from(each).map_err(|_| {
                    format!("--messages {messages} is more than 4,294,967,295 for each of {publishers} publishers")
                })?)
            }
            (None, Some(duration)) => Stop::After(duration),
            (None, None) if scenario == Scenario::Idle => Stop::After(Duration::from_secs(1)),
            (None, None) => Stop::After(Duration::from_secs(5)),
        };
        let pace = match (self.rate, self.window, self.unbounded) {
            (Some(rate), ..) => Pace::Rate(rate),
            (_, Some(window), _) => Pace::Window(window),
            (_, _, true) => Pace::Flood,
            (None, None, false) => Pace::Window(default_window(topology, self.payload)),
        };
        Ok(Load {
            url: self.url.clone(),
            version: self.version,
            qos,
            payload_bytes: self.payload,
            pace,
            in_flight: self.inflight,
            stop,
            persistent: self.persistent,
            keep_alive: self.keep_alive,
            threads: self.threads.into(),
            drain: self.drain,
            pid: self.pid,
            run_id: format!("bench-{:08x}", fastrand::u32(..)),
            topology,
            filters: self.filters,
        })
    }

    fn topology(&self, scenario: Scenario) -> Result<Topology, String> {
        // The default set of --compare has one of each: there an option is for those scenarios that know it.
        let is_set = self.scenario.is_none();
        let refuse = |is_given: bool, option: &str| {
            if is_given && !is_set {
                Err(format!("{option} has no meaning for {}", scenario.name()))
            } else {
                Ok(())
            }
        };
        let is_fan = matches!(
            scenario,
            Scenario::FanIn | Scenario::FanOut | Scenario::Shared
        );
        refuse(self.pairs.is_some() && scenario != Scenario::P2p, "--pairs")?;
        refuse(self.each.is_some() && scenario != Scenario::P2p, "--each")?;
        refuse(self.publishers.is_some() && !is_fan, "--publishers")?;
        refuse(self.subscribers.is_some() && !is_fan, "--subscribers")?;
        refuse(
            self.connections.is_some() && scenario != Scenario::Idle,
            "--connections",
        )?;
        refuse(
            self.no_subscription && scenario != Scenario::Idle,
            "--no-subscription",
        )?;
        Ok(match scenario {
            Scenario::P2p => Topology::Pairs {
                pairs: self.pairs.unwrap_or(50),
                each: self.each.unwrap_or(1),
            },
            Scenario::Shared => Topology::Shared {
                publishers: self.publishers.unwrap_or(1_000),
                subscribers: self.subscribers.unwrap_or(5),
            },
            Scenario::FanIn => Topology::All {
                publishers: self.publishers.unwrap_or(50),
                subscribers: self.subscribers.filter(|_| !is_set).unwrap_or(1),
            },
            Scenario::FanOut => Topology::All {
                publishers: self.publishers.filter(|_| !is_set).unwrap_or(1),
                subscribers: self.subscribers.unwrap_or(500),
            },
            Scenario::Retained if self.compare.is_some() => {
                return Err(
                    "retained is measured with one broker: --compare does not know it".into(),
                );
            }
            Scenario::Retained => Topology::Idle {
                connections: 0,
                subscribe: false,
            },
            Scenario::Idle => Topology::Idle {
                connections: self.connections.unwrap_or(10_000),
                subscribe: !self.no_subscription,
            },
        })
    }
}

fn default_window(topology: Topology, payload: usize) -> u64 {
    let heard = u64::from(topology.heard().max(1));
    let copies = u64::from(topology.copies().max(1));
    let by_bytes = OUTSTANDING_BYTES_MAX / (heard * payload as u64);
    let by_count = (OUTSTANDING_MAX / heard).min(DELIVERIES_MAX / copies);
    by_count.min(by_bytes).clamp(2, 1_000)
}

fn count() -> impl clap::builder::TypedValueParser<Value = u32> {
    clap::value_parser!(u32).range(1..=1_000_000)
}

fn qos(text: &str) -> Result<QoS, String> {
    let number: u8 = text.parse().map_err(|_| "expected 0, 1 or 2")?;
    QoS::try_from(number).map_err(|_| "expected 0, 1 or 2".into())
}

fn version(text: &str) -> Result<ProtocolVersion, String> {
    match text {
        "3.1" => Ok(ProtocolVersion::V31),
        "3.1.1" => Ok(ProtocolVersion::V311),
        "5.0" | "5" => Ok(ProtocolVersion::V5),
        _ => Err("expected 3.1, 3.1.1 or 5.0".into()),
    }
}

fn payload(text: &str) -> Result<usize, String> {
    /// What is left of the largest packet beside a topic.
    const PAYLOAD_MAX: usize = 255 << 20;
    let bytes = quantity::bytes(text)?;
    if !(STAMP_BYTES..=PAYLOAD_MAX).contains(&bytes) {
        return Err(format!(
            "expected {STAMP_BYTES} bytes (publisher, sequence number and time) to 255MiB"
        ));
    }
    Ok(bytes)
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=10_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("expected 0.001 to 10000000 messages per second".into()),
    }
}
