//! What a method of torture did and found, as a row of a table, and how far it is while it runs.

use std::{
    fmt::Write as _,
    io::{IsTerminal, Write},
};

use super::finding::Findings;

/// One line of the table.
#[derive(Debug)]
pub struct Row {
    /// What was done.
    pub method: &'static str,
    /// How it went.
    pub outcome: Outcome,
}

/// How a method went.
#[derive(Debug)]
pub enum Outcome {
    /// It ran to its end.
    Run {
        /// How often: kills, cuts, images, or acknowledgements.
        cycles: u64,
        /// Messages that the broker has acknowledged.
        acknowledged: u64,
        /// What it did that it must not do.
        findings: Findings,
    },
    /// It could not run here; why.
    NotRun(String),
}

impl Row {
    /// Whether something was found.
    #[must_use]
    pub fn has_findings(&self) -> bool {
        matches!(&self.outcome, Outcome::Run { findings, .. } if findings.count() > 0)
    }
}

/// All rows, below a head; then the offenders.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<12} {:>10} {:>14}  findings\n",
        "method", "cycles", "acknowledged"
    );
    for Row { method, outcome } in rows {
        let line = match outcome {
            Outcome::Run {
                cycles,
                acknowledged,
                findings,
            } => format!("{cycles:>10} {acknowledged:>14}  {}", findings.summary()),
            Outcome::NotRun(why) => format!("{:>10} {:>14}  not run: {why}", "-", "-"),
        };
        writeln!(text, "{method:<12} {line}").expect("a string takes all");
    }
    for Row { method, outcome } in rows {
        if let Outcome::Run { findings, .. } = outcome
            && findings.count() > 0
        {
            write!(text, "\n{method}\n{findings}").expect("a string takes all");
        }
    }
    text
}

/// A bar on a terminal; nothing elsewhere.
#[derive(Debug)]
pub struct Progress {
    name: &'static str,
    all: u64,
    is_shown: bool,
}

impl Progress {
    /// Of `all` steps none is done.
    #[must_use]
    pub fn new(name: &'static str, all: u64) -> Self {
        let is_shown = std::io::stderr().is_terminal();
        Self {
            name,
            all,
            is_shown,
        }
    }

    /// So many are done, and this was found.
    pub fn show(&self, done: u64, acknowledged: u64, findings: &Findings) {
        const WIDTH: u64 = 30;
        if !self.is_shown {
            return;
        }
        let full = done * WIDTH / self.all.max(1);
        let bar: String = (0..WIDTH)
            .map(|at| if at < full { '#' } else { '.' })
            .collect();
        let found = findings.summary();
        let mut stderr = std::io::stderr();
        // A terminal that is gone is no reason to stop.
        let _ = write!(
            stderr,
            "\r{} [{bar}] {done}/{}, {acknowledged} acknowledged, findings: {found}\x1b[K",
            self.name, self.all
        );
        if done == self.all {
            let _ = writeln!(stderr);
        }
    }
}
