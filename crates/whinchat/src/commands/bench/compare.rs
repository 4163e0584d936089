//! Two brokers under the same load, alternately: what else runs on the machine disturbs both alike.

use std::path::PathBuf;

use serde::Serialize;

use super::args::{Output, Peer};
use super::coordinator;
use super::failure::Failure;
use super::load::Load;
use super::peer::Kind;
use super::processors::Processors;
use super::progress::Progress;
use super::report::Report;
use super::worst;
use crate::commands::table::{Table, grouped, short};
use crate::exit::{Exit, print};

/// What to compare.
pub(super) struct Comparison {
    pub(super) peer: Peer,
    pub(super) cells: Vec<(&'static str, Load)>,
    pub(super) rounds: u16,
    pub(super) own_processors: Option<Processors>,
    pub(super) broker_processors: Option<Processors>,
    pub(super) broker_threads: Option<u16>,
    pub(super) broker_program: Option<PathBuf>,
    /// Where Whinchat's broker makes its data directory; `None`: it is ephemeral.
    pub(super) store: Option<PathBuf>,
    pub(super) output: Output,
}

/// All that `--json` prints.
#[derive(Serialize)]
struct Comparisons<'a> {
    whinchat_version: &'static str,
    peer: &'static str,
    peer_version: Option<String>,
    rounds: u16,
    cells: &'a [Cell],
}

/// One scenario with both brokers.
#[derive(Serialize)]
struct Cell {
    title: String,
    whinchat: Median,
    peer: Median,
    /// Ours to the peer's, of the figure that the scenario is about: CPU per message, or memory per connection.
    ratio: Option<f64>,
    runs: Vec<Run>,
}

#[derive(Serialize)]
struct Run {
    program: &'static str,
    #[serde(flatten)]
    report: Report,
}

/// Medians over the rounds.
#[derive(Serialize)]
struct Median {
    cpu_seconds_per_million: Option<f64>,
    received_per_second: Option<f64>,
    latency_us_p50: Option<f64>,
    latency_us_p99: Option<f64>,
    disk_bytes_per_message: Option<f64>,
    connect_cpu_us_each: Option<f64>,
    bytes_per_connection: Option<f64>,
    own_cpu_seconds_per_million: Option<f64>,
}

pub(super) fn run(comparison: Comparison) -> Exit {
    let progress = Progress::new(comparison.output.is_quiet);
    let measured = comparison.measure(&progress);
    progress.clear();
    let cells = match measured {
        Ok(cells) => cells,
        Err(failure) => return Exit::Runtime.with_error(failure),
    };
    let text = if comparison.output.is_json {
        comparison.to_json(&cells)
    } else {
        comparison.to_text(&cells)
    };
    let is_clean = cells
        .iter()
        .flat_map(|cell| &cell.runs)
        .all(|run| run.report.is_clean());
    let verdict = if is_clean { Exit::Ok } else { Exit::Runtime };
    worst(print(&text), verdict)
}

impl Comparison {
    fn measure(&self, progress: &Progress) -> Result<Vec<Cell>, Failure> {
        let whinchat = self.ours("whinchat", self.store.as_ref())?;
        let peer = self.peer()?;
        let mut runs: Vec<Vec<Run>> = self.cells.iter().map(|_| Vec::new()).collect();
        for round in 0..self.rounds {
            for ((scenario, load), runs) in self.cells.iter().zip(&mut runs) {
                // Who is first changes, so that neither always finds the machine warm.
                let mut order = [&whinchat, &peer];
                order.rotate_left(usize::from(round) % 2);
                for kind in order {
                    progress.name(format!(
                        "{scenario} {} {}/{}",
                        kind.name(),
                        round + 1,
                        self.rounds
                    ));
                    let report = self.measure_once(kind, scenario, load, progress)?;
                    runs.push(Run {
                        program: kind.name(),
                        report,
                    });
                }
            }
        }
        Ok(runs
            .into_iter()
            .filter_map(|runs| Cell::new(&whinchat, &peer, runs))
            .collect())
    }

    fn ours(&self, name: &'static str, store: Option<&PathBuf>) -> Result<Kind, Failure> {
        let program = match &self.broker_program {
            Some(program) => program.clone(),
            None => std::env::current_exe()?,
        };
        Ok(Kind::Whinchat {
            name,
            program,
            threads: self.broker_threads,
            store: store.cloned(),
        })
    }

    fn peer(&self) -> Result<Kind, Failure> {
        match self.peer {
            Peer::Mosquitto => Ok(Kind::Mosquitto),
            Peer::Ephemeral => self.ours("ephemeral", None),
        }
    }

    fn measure_once(
        &self,
        kind: &Kind,
        scenario: &'static str,
        load: &Load,
        progress: &Progress,
    ) -> Result<Report, Failure> {
        if let Some(processors) = &self.broker_processors {
            processors.apply()?;
        }
        let broker = kind.start()?;
        if let Some(processors) = &self.own_processors {
            processors.apply()?;
        }
        let mut load = load.clone();
        load.url.endpoint = broker.endpoint();
        load.pid = Some(broker.pid());
        let outcome = coordinator::run(load.clone(), progress)?;
        Ok(Report::new(scenario, &load, &outcome))
    }

    fn peer_version(&self) -> Option<String> {
        self.peer().ok()?.version()
    }

    fn to_json(&self, cells: &[Cell]) -> String {
        let comparisons = Comparisons {
            whinchat_version: env!("CARGO_PKG_VERSION"),
            peer: self.peer.name(),
            peer_version: self.peer_version(),
            rounds: self.rounds,
            cells,
        };
        let json = serde_json::to_string_pretty(&comparisons)
            .expect("a comparison has text keys and finite numbers only");
        json + "\n"
    }

    fn to_text(&self, cells: &[Cell]) -> String {
        let peer = self.peer.name();
        let version = self
            .peer_version()
            .unwrap_or_else(|| "of an unknown version".to_owned());
        let mut text = format!(
            "whinchat {} beside {peer} {version}; medians of {} rounds; CPU in seconds per million received, disk in bytes per message, memory in bytes per connection\n\n",
            env!("CARGO_PKG_VERSION"),
            self.rounds
        );
        let mut table = Table::new([
            "scenario", "CPU", peer, "ratio", "msgs/s", peer, "p50 us", peer, "p99 us", peer,
            "disk", peer, "own CPU", "lost", peer,
        ]);
        let mut idle = Table::new([
            "scenario",
            "bytes",
            peer,
            "ratio",
            "us CPU per connect",
            peer,
        ]);
        for cell in cells {
            let show = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), short);
            let (ours, theirs) = (&cell.whinchat, &cell.peer);
            let ratio = cell
                .ratio
                .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
            if ours.cpu_seconds_per_million.is_none() {
                idle.row([
                    cell.title.clone(),
                    show(ours.bytes_per_connection),
                    show(theirs.bytes_per_connection),
                    ratio,
                    show(ours.connect_cpu_us_each),
                    show(theirs.connect_cpu_us_each),
                ]);
                continue;
            }
            table.row([
                cell.title.clone(),
                show(ours.cpu_seconds_per_million),
                show(theirs.cpu_seconds_per_million),
                ratio,
                show(ours.received_per_second),
                show(theirs.received_per_second),
                show(ours.latency_us_p50),
                show(theirs.latency_us_p50),
                show(ours.latency_us_p99),
                show(theirs.latency_us_p99),
                show(ours.disk_bytes_per_message),
                show(theirs.disk_bytes_per_message),
                show(ours.own_cpu_seconds_per_million),
                grouped(cell.faults("whinchat")),
                grouped(cell.faults(peer)),
            ]);
        }
        text += &[table, idle]
            .iter()
            .filter(|table| !table.is_empty())
            .map(Table::to_text)
            .collect::<Vec<_>>()
            .join("\n");
        for run in cells.iter().flat_map(|cell| &cell.runs) {
            for failure in &run.report.failures {
                text += &format!(
                    "failed: {}, {}: {failure}\n",
                    run.program,
                    run.report.title()
                );
            }
        }
        text
    }
}

impl Cell {
    fn new(whinchat: &Kind, peer: &Kind, runs: Vec<Run>) -> Option<Self> {
        let title = runs.first()?.report.title();
        let reports = |kind: &Kind| {
            let name = kind.name();
            runs.iter()
                .filter(move |run| run.program == name)
                .map(|run| &run.report)
                .collect::<Vec<_>>()
        };
        let ours = Median::of(&reports(whinchat));
        let theirs = Median::of(&reports(peer));
        let ratio = |ours: Option<f64>, theirs: Option<f64>| {
            ours.zip(theirs)
                .filter(|(_, theirs)| *theirs > 0.0)
                .map(|(ours, theirs)| ours / theirs)
        };
        let ratio = if ours.cpu_seconds_per_million.is_some() {
            ratio(ours.cpu_seconds_per_million, theirs.cpu_seconds_per_million)
        } else {
            ratio(ours.bytes_per_connection, theirs.bytes_per_connection)
        };
        Some(Self {
            title,
            whinchat: ours,
            peer: theirs,
            ratio,
            runs,
        })
    }

    /// Messages that did not arrive once and in order, over all rounds.
    fn faults(&self, broker: &str) -> u64 {
        self.runs
            .iter()
            .filter(|run| run.program == broker)
            .map(|Run { report, .. }| {
                report.lost + report.duplicates + report.reordered + report.foreign
            })
            .sum()
    }
}

impl Median {
    fn of(reports: &[&Report]) -> Self {
        let over = |figure: fn(&Report) -> Option<f64>| {
            median(reports.iter().filter_map(|report| figure(report)).collect())
        };
        Self {
            cpu_seconds_per_million: over(|report| report.broker?.cpu_seconds_per_million),
            received_per_second: over(|report| {
                (report.received > 0).then_some(report.received_per_second)
            }),
            latency_us_p50: over(|report| Some(report.latency_us?.p50)),
            latency_us_p99: over(|report| Some(report.latency_us?.p99)),
            disk_bytes_per_message: over(|report| report.broker?.disk_bytes_per_message),
            connect_cpu_us_each: over(|report| Some(report.broker?.connect_cpu_us_each)),
            bytes_per_connection: over(|report| Some(report.broker?.bytes_per_connection)),
            own_cpu_seconds_per_million: over(|report| report.own_cpu_seconds_per_million),
        }
    }
}

/// The middle one, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied()?;
    if values.len().is_multiple_of(2) {
        let lower = values.get(middle - 1).copied()?;
        return Some(f64::midpoint(lower, upper));
    }
    Some(upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }
}
