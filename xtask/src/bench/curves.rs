//! `cargo xtask bench curves`: what each part costs as its work grows, one curve for each kind of growth.

use std::error::Error;

use serde_json::Value;

use super::load::{Contender, Processors, Program, faults};
use super::section::{Chart, ChartKind, Section, Series, Table, X, median, short};
use crate::Outcome;

/// One thing that grows.
struct Curve {
    file: &'static str,
    title: &'static str,
    x_label: &'static str,
    y_label: &'static str,
    log_y: bool,
    /// JSON pointer of the figure.
    value: &'static str,
    divisor: Option<&'static str>,
    scale: f64,
    lines: &'static [Line],
    /// What is to be seen, and why.
    reading: &'static str,
}

/// One line: the arguments of `whinchat bench` with `{n}` for what grows.
struct Line {
    name: &'static str,
    arguments: &'static str,
    options: &'static str,
    processors: Processors,
    at: &'static [u32],
}

const CPU: &str = "/broker/cpu_seconds_per_million";

impl Curve {
    const fn of_cpu(
        file: &'static str,
        title: &'static str,
        x_label: &'static str,
        lines: &'static [Line],
        reading: &'static str,
    ) -> Self {
        Self {
            file,
            title,
            x_label,
            y_label: "CPU us per delivery",
            log_y: false,
            value: CPU,
            divisor: None,
            scale: 1.0,
            lines,
            reading,
        }
    }

    fn of(&self, report: &Value) -> Option<f64> {
        let value = report.pointer(self.value)?.as_f64()?;
        let divisor = match self.divisor {
            Some(divisor) => report.pointer(divisor)?.as_f64()?,
            None => 1.0,
        };
        Some(value / divisor * self.scale)
    }
}

const fn line(name: &'static str, arguments: &'static str, at: &'static [u32]) -> Line {
    Line {
        name,
        arguments,
        options: "",
        processors: Processors::Pinned,
        at,
    }
}

const fn free(
    name: &'static str,
    arguments: &'static str,
    options: &'static str,
    at: &'static [u32],
) -> Line {
    Line {
        name,
        arguments,
        options,
        processors: Processors::Free,
        at,
    }
}

const SUBSCRIBERS: &[u32] = &[1, 10, 100, 1_000, 5_000];
const PAIRS: &[u32] = &[1, 10, 100, 1_000, 5_000];
const FILTERS: &[u32] = &[1_000, 10_000, 100_000, 1_000_000];

const CURVES: &[Curve] = &[
    Curve::of_cpu(
        "curve-subscribers",
        "Subscribers of one topic",
        "subscribers",
        &[
            line("QoS 0", "fan-out --subscribers {n}", SUBSCRIBERS),
            line("QoS 1", "fan-out -q 1 --subscribers {n}", SUBSCRIBERS),
        ],
        "Subscribers of one topic: falls while a message is read, matched and encoded once for more and more of them; beyond a hundred it rises, because the load lets 50,000 deliveries be under way and no more: at 5,000 subscribers ten messages share a write, and the system calls are the cost.",
    ),
    Curve::of_cpu(
        "curve-topics",
        "Topics, each with a publisher and a subscriber",
        "pairs",
        &[
            line("QoS 0", "p2p --pairs {n}", PAIRS),
            line("QoS 1", "p2p -q 1 --pairs {n}", PAIRS),
        ],
        "Topics and connections: flat at QoS 0. At QoS 1 a thousand pairs cost half as much again as a hundred; why is not looked into.",
    ),
    Curve::of_cpu(
        "curve-filters",
        "Filters beside the traffic of 50 pairs, QoS 0",
        "filters",
        &[line("QoS 0", "p2p --filters {n}", FILTERS)],
        "Filters that nothing matches: flat. Which node a level leads to is one probe of a table, whatever else is in it.",
    ),
    Curve {
        file: "curve-filter-bytes",
        title: "Memory per filter",
        x_label: "filters",
        y_label: "bytes",
        log_y: false,
        value: "/broker/bytes_per_filter",
        divisor: None,
        scale: 1.0,
        lines: &[line(
            "RUN/site-N/device-N/+",
            "p2p --pairs 1 --filters {n}",
            FILTERS,
        )],
        reading: "Memory per filter, connections with 1,000 each included: flat; a thousand of them fit into what the process has already.",
    },
    Curve {
        file: "curve-connections",
        title: "Memory per idle connection with a subscription",
        x_label: "connections",
        y_label: "bytes",
        log_y: false,
        value: "/broker/bytes_per_connection",
        divisor: None,
        scale: 1.0,
        lines: &[line(
            "whinchat",
            "idle --connections {n} --duration 1s",
            &[1_000, 3_000, 10_000, 17_900],
        )],
        reading: "Memory per connection: flat.",
    },
    Curve {
        file: "curve-payload",
        title: "Bytes through the broker, 4 pairs",
        x_label: "bytes of a payload",
        y_label: "MB/s",
        log_y: true,
        value: "/received_bytes_per_second",
        divisor: None,
        scale: 1e-6,
        lines: &[
            line(
                "QoS 0",
                "p2p --pairs 4 -s {n}",
                &[16, 256, 4_096, 65_536, 1_048_576],
            ),
            line(
                "QoS 1",
                "p2p -q 1 --pairs 4 -s {n}",
                &[16, 256, 4_096, 65_536, 1_048_576],
            ),
        ],
        reading: "Payload: at QoS 0 bytes grow with size until the kernel's copies are the cost. At QoS 1 a large message is kept until it is acknowledged, in memory that the allocator takes fresh from the kernel each time: 250 page faults for a message of 1 MiB in a process that has just begun, which is why the curve falls at the end.",
    },
    Curve {
        file: "curve-shards",
        title: "Fan-out QoS 0 on two processors, broker and load on both",
        x_label: "subscribers",
        y_label: "deliveries/s",
        log_y: false,
        value: "/received_per_second",
        divisor: None,
        scale: 1.0,
        lines: &[
            free(
                "1 shard",
                "fan-out --subscribers {n}",
                " --threads 1",
                &[10, 100, 1_000],
            ),
            free(
                "2 shards",
                "fan-out --subscribers {n}",
                " --threads 2",
                &[10, 100, 1_000],
            ),
        ],
        reading: "Shards: broker and load share two processors, so that a second shard takes from the load what it gives to the broker; what matters is that nothing collapses. A message goes to the other shard once, however many subscribers are there.",
    },
    Curve::of_cpu(
        "curve-shards-cpu",
        "The same by CPU",
        "subscribers",
        &[
            free(
                "1 shard, fan-out",
                "fan-out --subscribers {n}",
                " --threads 1",
                &[10, 100, 1_000],
            ),
            free(
                "2 shards, fan-out",
                "fan-out --subscribers {n}",
                " --threads 2",
                &[10, 100, 1_000],
            ),
            free(
                "1 shard, pairs QoS 1",
                "p2p -q 1 --pairs {n}",
                " --threads 1",
                &[10, 100, 1_000],
            ),
            free(
                "2 shards, pairs QoS 1",
                "p2p -q 1 --pairs {n}",
                " --threads 2",
                &[10, 100, 1_000],
            ),
        ],
        "CPU per delivery with one shard and with two: the difference is the price of the mail between them, half as much again for pairs at QoS 1, of which every second one has its ends on different shards. With a thousand pairs it has gone, as it should where a turn serves many and one wake is for all of them.",
    ),
];

/// The rest of the chapter: what the curves cannot show on two processors.
const MODEL: &str = "**16 and 64 cores, on paper.** A shard shares four things with the others. (1) The filter index: read-locked once for each batch that is read, so that a lock word is \
    touched 2 × batches/s; at 10,000 batches a second and shard it is 0.3 million touches a second with 16 and 1.3 million with 64, about 100 ns each when the line has to come from another \
    core: 3 % and 13 % of a core's time in all, but one after the other, so that 64 shards with tiny batches are the first place where it shows. The cache in front of the index takes most of them away. \
    (2) Mail: each pair of shards has its own queue and one wake per turn; a publisher whose subscribers are spread evenly sends 15 of 16 messages elsewhere, and a turn that \
    serves all others costs up to N − 1 wakes. With 64 shards that is 63 × 5 us = 0.3 ms of system calls per turn in the worst case: the first bottleneck under scattered traffic, and it gets better with load, because a shard that is awake needs no wake. \
    (3) The log: one committer takes the groups of all shards; it copies about 64 B + payload per message, so that 2 GB/s of memory traffic are about 10 million small messages a second, above what 16 shards make with QoS 1 (16 × 0.6 million) and below what 64 would. The sync itself is shared by all who wait, \
    so that its latency does not grow with shards. Beyond 16 cores the log is the bottleneck of durable QoS 1, and a second log (by partition) the way out. (4) The kernel: accept and loopback do not scale with us and are left out. What is not shared at all: sessions, timers, buffers, \
    in-flight tables. Expectation: linear to 16 cores for local and for fan-out traffic, about 0.8 × linear for scattered pairs; at 64 cores half of linear for scattered durable QoS 1. Only the figures at one and two shards are measured.";

pub(super) fn run(arguments: &[String]) -> Outcome {
    let seconds = match arguments {
        [] => 1,
        [option, value] if option == "--seconds" => value.parse::<u32>()?,
        [extra, ..] => return Err(format!("unexpected argument `{extra}`; see --help").into()),
    };
    let program = Program::build()?;
    let mut section = Section {
        order: 20,
        heading: "As work grows".into(),
        commands: vec!["cargo xtask bench curves".into()],
        conditions: format!(
            "Our broker alone, with a store and default settings; one processor for it and one for the load, but for the curves of shards. Each point is the median of three runs of {seconds} s."
        ),
        ..Section::default()
    };
    let mut bad = 0;
    for curve in CURVES {
        let (chart, table, faults) = measure(curve, &program, seconds)?;
        section.charts.push(chart);
        section.tables.push(table);
        section.text.push(curve.reading.to_owned());
        bad += faults;
    }
    section.text.push(MODEL.to_owned());
    section.text.push(format!(
        "Messages lost, doubled or out of order in all these runs: {bad}."
    ));
    section.save("curves")
}

fn measure(
    curve: &Curve,
    program: &Program,
    seconds: u32,
) -> Result<(Chart, Table, u64), Box<dyn Error>> {
    let mut bad = 0;
    let mut series = Vec::new();
    for line in curve.lines {
        let broker = Contender {
            options: line.options,
            ..program.broker()?
        };
        let mut points = Vec::new();
        for n in line.at {
            println!("{}: {}, {n}", curve.title, line.name);
            let mut arguments: Vec<String> = line
                .arguments
                .replace("{n}", &n.to_string())
                .split_ascii_whitespace()
                .map(str::to_owned)
                .collect();
            if !arguments.contains(&"--duration".to_owned()) {
                arguments.extend(["--duration".to_owned(), format!("{seconds}s")]);
            }
            let mut values = Vec::new();
            for _ in 0..3 {
                let report = program.measure(&broker, &arguments, line.processors)?;
                bad += faults(&report);
                values.extend(curve.of(&report));
            }
            let value = median(values).ok_or(format!("{}: no figure", curve.title))?;
            points.push((X::Number(f64::from(*n)), value));
        }
        series.push(Series {
            name: line.name.to_owned(),
            points,
        });
    }
    let chart = Chart {
        file: curve.file.to_owned(),
        title: curve.title.to_owned(),
        kind: ChartKind::Lines,
        x_label: curve.x_label.to_owned(),
        y_label: curve.y_label.to_owned(),
        log_x: true,
        log_y: curve.log_y,
        series,
    };
    let table = table(&chart);
    Ok((chart, table, bad))
}

/// The same in figures.
fn table(chart: &Chart) -> Table {
    let mut columns = vec![chart.x_label.clone()];
    columns.extend(
        chart
            .series
            .iter()
            .map(|series| format!("{}, {}", series.name, chart.y_label)),
    );
    let mut rows = Vec::new();
    if let Some(first) = chart.series.first() {
        for (place, (x, _)) in first.points.iter().enumerate() {
            let mut row = vec![match x {
                X::Number(number) => short(*number),
                X::Label(label) => label.clone(),
            }];
            row.extend(chart.series.iter().map(|series| {
                let point = series.points.get(place);
                point.map_or_else(|| "-".to_owned(), |(_, value)| short(*value))
            }));
            rows.push(row);
        }
    }
    Table {
        caption: format!("{}:", chart.title),
        columns,
        rows,
    }
}
