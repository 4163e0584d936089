//! What a method of torture did and found, as a row of a table, and how far it is while it runs.

use std::{
    fmt::{self, Write as _},
    io::{IsTerminal, Write},
};

use super::finding::Findings;

/// One line of the table.
#[derive(Debug)]
pub struct Row {
    /// What was done.
    pub method: &'static str,
    /// How often.
    pub cycles: u64,
    /// Messages that the broker has acknowledged.
    pub acknowledged: u64,
    /// What it did that it must not do.
    pub findings: Findings,
    /// What else is to be said, in a line.
    pub note: String,
    /// Why the method could not run here; then nothing was shown.
    pub not_run: Option<String>,
}

impl Row {
    /// A method that could not run here, and why.
    #[must_use]
    pub fn not_run(method: &'static str, why: impl fmt::Display) -> Self {
        Self {
            method,
            cycles: 0,
            acknowledged: 0,
            findings: Findings::default(),
            note: String::new(),
            not_run: Some(why.to_string()),
        }
    }
}

/// All rows, below a head; then the offenders.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<12} {:>10} {:>14}  findings\n",
        "method", "cycles", "acknowledged"
    );
    for row in rows {
        let Row {
            method,
            cycles,
            acknowledged,
            findings,
            note,
            not_run,
        } = row;
        if let Some(why) = not_run {
            writeln!(text, "{method:<12} not run: {why}").expect("a string takes all");
            continue;
        }
        let summary = findings.summary();
        writeln!(
            text,
            "{method:<12} {cycles:>10} {acknowledged:>14}  {summary}"
        )
        .expect("a string takes all");
        if !note.is_empty() {
            writeln!(text, "  {note}").expect("a string takes all");
        }
    }
    for row in rows.iter().filter(|row| row.findings.count() > 0) {
        write!(text, "\n{}\n{}", row.method, row.findings).expect("a string takes all");
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
