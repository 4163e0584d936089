//! `cargo xtask bench memory`: what a connection takes, by the million, and whether a broker gives back what a load took.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::load::{Contender, Program, faults};
use super::resident::Resident;
use super::section::{Section, Table, short};
use crate::Outcome;
use crate::others::Running;
use crate::process::{cargo, read};

/// As many connections as the goals name.
const CONNECTIONS: [u32; 2] = [100_000, 1_000_000];

/// What is done to a broker that has just been started: title, and arguments of `whinchat bench`.
const LOADS: &[(&str, &str)] = &[
    ("50 pairs, QoS 1, 64 B", "p2p -q 1 --pairs 50 -s 64"),
    ("4 pairs, QoS 1, 1 MiB", "p2p -q 1 --pairs 4 -s 1MiB"),
    (
        "10,000 connections with a subscription",
        "idle --connections 10000",
    ),
];

/// The broker as it comes, and with an allocator that is told to give back, which shows whose memory it is.
const ALLOCATORS: &[(&str, &str)] = &[
    ("as it comes", ""),
    (
        "`MALLOC_TRIM_THRESHOLD_=65536`",
        "env MALLOC_TRIM_THRESHOLD_=65536",
    ),
];

/// What may be resident after a load, in terms of what was before.
const BACK_AT: f64 = 1.25;
const BACK_WITHIN: Duration = Duration::from_secs(60);
/// From when it listens to when its start is over.
const UNTIL_IDLE: Duration = Duration::from_secs(3);

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    seconds: u32,
    profile: String,
}

/// What the example `connections` prints.
#[derive(Deserialize)]
struct Connections {
    connections: u32,
    resident_bytes_before: f64,
    resident_bytes_gone: f64,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    step: String,
    resident_bytes: f64,
    bytes_each: f64,
    transport_bytes_each: f64,
    broker_bytes_each: f64,
}

/// One broker before a load and after it.
struct Watched {
    load: &'static str,
    allocator: &'static str,
    idle: Resident,
    after: Course,
}

/// What was resident so long after the load.
type Course = Vec<(Duration, Resident)>;

pub(super) fn run(arguments: &[String]) -> Outcome {
    let options = Options::parse(arguments)?;
    let mut fleets = Vec::new();
    for count in CONNECTIONS {
        println!("{count} connections in memory");
        fleets.push(connections(count, &options.profile)?);
    }
    let program = Program::build_as(&options.profile)?;
    let broker = program.broker()?;
    let mut watched = Vec::new();
    for (allocator, before) in ALLOCATORS {
        for (load, arguments) in LOADS {
            println!("{load}, allocator {allocator}");
            let running = Program::start(&broker, before)?;
            let arguments = format!("{arguments} --duration {}s", options.seconds);
            let words = arguments.split_ascii_whitespace().map(str::to_owned);
            let (idle, after) = watch(&program, &running, &words.collect::<Vec<_>>())?;
            watched.push(Watched {
                load,
                allocator,
                idle,
                after,
            });
        }
    }
    section(&options, &broker, &fleets, &watched).save("memory")
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, Box<dyn Error>> {
        let mut options = Self {
            seconds: 5,
            profile: "release".to_owned(),
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--seconds" => options.seconds = value()?.parse()?,
                "--profile" => options.profile.clone_from(value()?),
                _ => return Err(format!("unexpected argument `{word}`; see --help").into()),
            }
        }
        Ok(options)
    }

    /// As it is typed.
    fn command(&self) -> String {
        let mut command = "cargo xtask bench memory".to_owned();
        if self.profile != "release" {
            command += &format!(" --profile {}", self.profile);
        }
        command
    }
}

/// So many connections in a process of their own.
fn connections(count: u32, profile: &str) -> Result<Connections, Box<dyn Error>> {
    let mut command = cargo(["run", "--quiet", "--package", "whinchat-broker"]);
    command.args(["--profile", profile, "--example", "connections", "--"]);
    let printed = read(command.arg(count.to_string()))?;
    Ok(serde_json::from_str(&printed)?)
}

/// Loads a broker that has just been started, and looks at it each second until it has given back what it took or its
/// time is over. Gives what was resident before, and then.
fn watch(
    program: &Program,
    running: &Running,
    arguments: &[String],
) -> Result<(Resident, Course), Box<dyn Error>> {
    let pid = running.main_process()?;
    thread::sleep(UNTIL_IDLE);
    let idle = Resident::of(pid)?;
    let report = program.load(running, arguments, &[])?;
    let bad = faults(&report);
    if bad > 0 {
        return Err(format!("{}: {bad} faults", arguments.join(" ")).into());
    }
    let ended = Instant::now();
    let mut after = Course::new();
    loop {
        let since = ended.elapsed();
        let now = Resident::of(pid)?;
        after.push((since, now));
        if now.bytes <= idle.bytes * BACK_AT || since >= BACK_WITHIN {
            return Ok((idle, after));
        }
        thread::sleep(Duration::from_secs(1).min(BACK_WITHIN - since));
    }
}

fn section(
    options: &Options,
    broker: &Contender,
    fleets: &[Connections],
    watched: &[Watched],
) -> Section {
    Section {
        order: 30,
        heading: "Memory".into(),
        commands: vec![options.command()],
        conditions: format!(
            "whinchat {} of the profile `{}`. Connections with real sockets, 17,900 of them, are under *Beside other brokers*.",
            broker.version, options.profile
        ),
        text: vec![
            "Connections in memory leave out the kernel and the sockets, and whatever the kernel has for them: they show what the broker's own tables take, in one shard and without a store. \
             Each is a client of 5.0 with a keep alive of an hour and one subscription, to `device/N/command`; the message is of QoS 1 with 64 B, and acknowledged. Figures are taken after a \
             minute without a word. The transport is in the same process: what its queues take was measured in another, with the same bytes through them and no broker, and taken off. *Gone* is what is \
             resident when all have left."
                .to_owned(),
            format!(
                "After a load: *idle* is what an operator sees of a broker that nobody has connected to yet, {} s after its start. A new broker for each line, with a store and default settings; the load takes {} s, and its \
                 clients leave at its end. Then it is looked at each second, for a minute or until it is at {BACK_AT} x idle. *Own* is what no file backs: the rest is the program itself. With {} the allocator (glibc) \
                 gives back what is free at the end of a heap from 64 KiB on; by itself it raises that threshold, and the size from which a block is a mapping of its own, to twice and once the largest block that was freed.",
                UNTIL_IDLE.as_secs(),
                options.seconds,
                ALLOCATORS[1].0,
            ),
        ],
        tables: vec![of_connections(fleets), after_loads(watched)],
        charts: Vec::new(),
    }
}

fn of_connections(fleets: &[Connections]) -> Table {
    let mut rows = Vec::new();
    for fleet in fleets {
        let count = short(f64::from(fleet.connections));
        let mut row = |step: &str, resident: f64, bytes: [Option<f64>; 3]| {
            let mut row = vec![count.clone(), step.to_owned(), mib(resident)];
            row.extend(bytes.map(|bytes| bytes.map_or_else(|| "-".to_owned(), short)));
            rows.push(row);
        };
        row("before", fleet.resident_bytes_before, [None; 3]);
        for step in &fleet.steps {
            let bytes = [
                step.bytes_each,
                step.transport_bytes_each,
                step.broker_bytes_each,
            ];
            row(&step.step, step.resident_bytes, bytes.map(Some));
        }
        row("gone", fleet.resident_bytes_gone, [None; 3]);
    }
    Table {
        caption: "Connections in memory:".into(),
        columns: [
            "connections",
            "",
            "resident, MiB",
            "bytes each",
            "of them transport",
            "of them broker",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows,
    }
}

fn after_loads(watched: &[Watched]) -> Table {
    let rows = watched.iter().filter_map(Watched::row).collect();
    Table {
        caption: "Resident after a load, MiB:".into(),
        columns: [
            "load",
            "allocator",
            "idle",
            "own",
            "at the end of the load",
            "last",
            "own",
            "last / idle",
            "",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows,
    }
}

impl Watched {
    fn row(&self) -> Option<Vec<String>> {
        let (_, first) = self.after.first()?;
        let (since, last) = self.after.last()?;
        let ratio = last.bytes / self.idle.bytes;
        let verdict = if ratio <= BACK_AT {
            format!("back after {} s", since.as_secs())
        } else {
            format!("not back after {} s", since.as_secs())
        };
        let cells = [self.idle.bytes, self.idle.own_bytes, first.bytes];
        let mut row = vec![self.load.to_owned(), self.allocator.to_owned()];
        row.extend(cells.map(mib));
        row.extend([mib(last.bytes), mib(last.own_bytes), short(ratio), verdict]);
        Some(row)
    }
}

fn mib(bytes: f64) -> String {
    short(bytes / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Options, String> {
        let words: Vec<String> = words.split_ascii_whitespace().map(str::to_owned).collect();
        Options::parse(&words).map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_read_and_shown_as_they_are_typed() {
        let options = parse("--seconds 2 --profile ci").unwrap();
        assert_eq!((options.seconds, &*options.profile), (2, "ci"));
        assert_eq!(options.command(), "cargo xtask bench memory --profile ci");
        assert_eq!(parse("").unwrap().command(), "cargo xtask bench memory");
        assert_eq!(parse("--profile").unwrap_err(), "--profile needs a value");
        assert_eq!(
            parse("--rounds 2").unwrap_err(),
            "unexpected argument `--rounds`; see --help"
        );
    }

    #[test]
    fn a_broker_is_back_at_a_quarter_more_and_not_above() {
        let mebibytes = |count: f64| Resident {
            bytes: count * 1_048_576.0,
            own_bytes: 1_048_576.0,
        };
        let row = |last| {
            let watched = Watched {
                load: "pairs",
                allocator: "as it comes",
                idle: mebibytes(8.0),
                after: vec![
                    (Duration::ZERO, mebibytes(40.0)),
                    (Duration::from_secs(7), mebibytes(last)),
                ],
            };
            watched.row().unwrap().join(" | ")
        };
        assert_eq!(
            row(10.0),
            "pairs | as it comes | 8.00 | 1.00 | 40.0 | 10.0 | 1.00 | 1.25 | back after 7 s"
        );
        assert!(row(10.1).ends_with("| 1.26 | not back after 7 s"));
    }

    #[test]
    fn a_step_of_the_connections_is_a_line() {
        let fleet = serde_json::from_str(
            r#"{"connections": 1000, "resident_bytes_before": 4194304, "resident_bytes_gone": 5242880,
                "steps": [{"step": "connected", "resident_bytes": 6291456, "bytes_each": 2097.0,
                           "transport_bytes_each": 300.0, "broker_bytes_each": 1797.0}]}"#,
        )
        .unwrap();
        let rows: Vec<_> = of_connections(&[fleet])
            .rows
            .iter()
            .map(|row| row.join(" | "))
            .collect();
        assert_eq!(
            rows,
            [
                "1,000 | before | 4.00 | - | - | -",
                "1,000 | connected | 6.00 | 2,097 | 300 | 1,797",
                "1,000 | gone | 5.00 | - | - | -",
            ]
        );
    }
}
