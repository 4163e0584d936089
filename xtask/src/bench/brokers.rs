//! `cargo xtask bench brokers`: the scenarios of the goals, our broker and others in turn, medians of several rounds.

use std::collections::BTreeMap;
use std::error::Error;

use serde_json::Value;

use super::load::{Contender, Program, faults};
use super::scenarios::{Figure, SCENARIOS, Scenario};
use super::section::{Chart, ChartKind, Section, Series, Table, X, median, short};
use crate::Outcome;
use crate::others::OTHERS;

/// What was asked for.
struct Options {
    rounds: usize,
    seconds: u32,
    /// Only scenarios whose title has this.
    only: Option<String>,
}

/// The reports of each scenario and broker.
type Runs = BTreeMap<(usize, &'static str), Vec<Value>>;

pub(super) fn run(arguments: &[String]) -> Outcome {
    let options = Options::parse(arguments)?;
    let program = Program::build()?;
    let mut contenders = vec![program.broker()?];
    for other in OTHERS {
        match Contender::find(other)? {
            Some(contender) => contenders.push(contender),
            None => println!("{} is not installed", other.name),
        }
    }
    let (runs, failures) = measure(&options, &program, &contenders);
    let section = section(&options, &contenders, &runs, &failures);
    for table in &section.tables {
        println!("\n{}", table.caption);
        println!("{}", table.columns.join(" | "));
        for row in &table.rows {
            println!("{}", row.join(" | "));
        }
    }
    if options.only.is_some() {
        return Ok(()); // A part of the table would stand for the whole.
    }
    section.save("brokers")
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, Box<dyn Error>> {
        let mut options = Self {
            rounds: 3,
            seconds: 2,
            only: None,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let value = words.next().ok_or(format!("{word} needs a value"))?;
            match word.as_str() {
                "--rounds" => options.rounds = value.parse()?,
                "--seconds" => options.seconds = value.parse()?,
                "--only" => options.only = Some(value.clone()),
                _ => return Err(format!("unexpected argument `{word}`; see --help").into()),
            }
        }
        Ok(options)
    }

    fn chosen(&self) -> impl Iterator<Item = (usize, &'static Scenario)> {
        let only = self.only.clone().unwrap_or_default();
        SCENARIOS
            .iter()
            .enumerate()
            .filter(move |(_, scenario)| scenario.title.contains(&only))
    }
}

fn measure(options: &Options, program: &Program, contenders: &[Contender]) -> (Runs, Vec<String>) {
    let mut runs = Runs::new();
    let mut failures = Vec::new();
    for round in 0..options.rounds.max(1) {
        for (number, scenario) in options.chosen() {
            let mut order: Vec<_> = contenders
                .iter()
                .filter(|contender| scenario.is_for(contender.name(), round))
                .collect();
            // Who is first changes, so that nobody always finds the machine warm.
            let len = order.len().max(1);
            order.rotate_left(round % len);
            for contender in order {
                println!(
                    "round {}: {}, {}",
                    round + 1,
                    scenario.title,
                    contender.name()
                );
                let arguments = scenario.arguments(options.seconds);
                match program.measure(contender, &arguments, scenario.processors) {
                    Ok(report) => runs
                        .entry((number, contender.name()))
                        .or_default()
                        .push(report),
                    Err(error) => {
                        println!("  {error}");
                        failures.push(format!("{}, {}: {error}", contender.name(), scenario.title));
                    }
                }
            }
        }
    }
    (runs, failures)
}

/// The median of a figure over the rounds.
fn figure(runs: &Runs, scenario: usize, broker: &'static str, figure: &Figure) -> Option<f64> {
    let reports = runs.get(&(scenario, broker))?;
    median(
        reports
            .iter()
            .filter_map(|report| figure.of(report))
            .collect(),
    )
}

fn section(
    options: &Options,
    contenders: &[Contender],
    runs: &Runs,
    failures: &[String],
) -> Section {
    let versions: Vec<String> = contenders
        .iter()
        .map(|Contender { other, version, .. }| format!("{} {version} ({})", other.name, other.how))
        .collect();
    let mut text = vec![
        "Whinchat keeps its promises while it is measured: what it acknowledges for a session that outlives its connection is synced to disk first, limits and \
         metrics are on. All others acknowledge from memory, Mosquitto with its limits of messages lifted and its log off. A mark is the ratio to Mosquitto that the \
         project set itself before it was built."
            .to_owned(),
        "In the flood publishers wait for nobody; QoS 0 messages beyond what the subscriber takes are dropped and counted, which stands under faults and is none."
            .to_owned(),
    ];
    if !failures.is_empty() {
        let mut unique = failures.to_vec();
        unique.dedup();
        text.push(format!("Without a result: {}.", unique.join("; ")));
    }
    Section {
        order: 10,
        heading: "Beside other brokers".into(),
        commands: vec!["cargo xtask bench brokers".into()],
        conditions: format!(
            "Two processors; *pinned* is one for the broker and one for the load, *free* is as the system likes. Medians of {} rounds of {} s, one round for those other \
             than Mosquitto; the brokers take turns. {}.",
            options.rounds,
            options.seconds,
            versions.join("; ")
        ),
        text,
        tables: vec![
            beside_mosquitto(options, runs),
            everybody(options, contenders, runs),
        ],
        charts: charts(options, contenders, runs),
    }
}

fn beside_mosquitto(options: &Options, runs: &Runs) -> Table {
    let mut rows = Vec::new();
    for (number, scenario) in options.chosen() {
        for wanted in scenario.figures {
            let ours = figure(runs, number, "whinchat", wanted);
            let theirs = figure(runs, number, "mosquitto", wanted);
            let show = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), short);
            let ratio = ours.zip(theirs).map(|(ours, theirs)| ours / theirs);
            rows.push(vec![
                scenario.title.to_owned(),
                wanted.label.to_owned(),
                show(ours),
                show(theirs),
                show(ratio),
                show(wanted.mark),
                ratio
                    .zip(wanted.mark)
                    .map_or_else(String::new, |(ratio, mark)| wanted.verdict(ratio, mark)),
            ]);
        }
    }
    Table {
        caption: "Against the marks:".into(),
        columns: [
            "scenario",
            "figure",
            "whinchat",
            "mosquitto",
            "ratio",
            "mark",
            "",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows,
    }
}

fn everybody(options: &Options, contenders: &[Contender], runs: &Runs) -> Table {
    const CPU: Figure = Figure::lower("", "/broker/cpu_seconds_per_million");
    const RATE: Figure = Figure::lower("", "/received_per_second");
    const P50: Figure = Figure::lower("", "/latency_us/p50");
    const P99: Figure = Figure::lower("", "/latency_us/p99");
    const OWN: Figure = Figure::lower("", "/own_cpu_seconds_per_million");
    const MEMORY: Figure =
        Figure::lower("", "/broker/memory_bytes_after").scaled(1.0 / 1_048_576.0);
    let mut rows = Vec::new();
    for (number, scenario) in options.chosen() {
        for contender in contenders {
            let broker = contender.name();
            let Some(reports) = runs.get(&(number, broker)) else {
                continue;
            };
            let cells = [CPU, RATE, P50, P99, MEMORY, OWN]
                .map(|wanted| figure(runs, number, broker, &wanted).map_or("-".to_owned(), short));
            if cells[1] == "-" {
                continue; // Nothing was sent.
            }
            let bad: u64 = reports.iter().map(faults).sum();
            let mut row = vec![scenario.title.to_owned(), broker.to_owned()];
            row.extend(cells);
            row.push(bad.to_string());
            rows.push(row);
        }
    }
    Table {
        caption: "All of them; *faults* are messages lost, doubled or out of order in all rounds, *load* is what the load generator itself took:".into(),
        columns: [
            "scenario", "broker", "CPU s/M", "messages/s", "p50 us", "p99 us", "MiB at the end", "load s/M", "faults",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows,
    }
}

fn charts(options: &Options, contenders: &[Contender], runs: &Runs) -> Vec<Chart> {
    const CPU: Figure = Figure::lower("", "/broker/cpu_seconds_per_million");
    let mut series = Vec::new();
    for contender in contenders {
        let points: Vec<_> = options
            .chosen()
            .filter(|(_, scenario)| scenario.is_drawn)
            .filter_map(|(number, scenario)| {
                let value = figure(runs, number, contender.name(), &CPU)?;
                (value > 0.0).then(|| (X::Label(scenario.title.to_owned()), value))
            })
            .collect();
        if !points.is_empty() {
            series.push(Series {
                name: contender.name().to_owned(),
                points,
            });
        }
    }
    if series.is_empty() {
        return Vec::new();
    }
    vec![Chart {
        file: "brokers-cpu".into(),
        title: "CPU of the broker, seconds per million messages (less is better)".into(),
        kind: ChartKind::Bars,
        x_label: String::new(),
        y_label: "s/M".into(),
        log_x: false,
        log_y: true,
        series,
    }]
}
