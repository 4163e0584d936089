//! The report for people: a table for each version, then each failure.

use std::collections::BTreeMap;
use std::time::Duration;

use whinchat_conformance::{Count, Failure, ProtocolVersion, Report, Row, STATES, State};

use crate::commands::table::{Table, counted, grouped, short};

/// Text for the terminal; `is_verbose` adds what came before each failure, and each scene that was not played.
pub(super) fn text(report: &Report, target: &str, time: Duration, is_verbose: bool) -> String {
    let mut text = format!(
        "{target}: {} in {} s\n",
        counted(report.rows().len() as u64, "scene"),
        short(time.as_secs_f64())
    );
    for version in ProtocolVersion::ALL.into_iter().rev() {
        let chapters = report.chapters(version);
        if chapters.is_empty() {
            continue;
        }
        let title = format!("MQTT {version}");
        let [passed, failed, not_offered, not_tested] = STATES.map(State::name);
        let mut table = Table::new([
            &title,
            "statements",
            passed,
            failed,
            not_offered,
            not_tested,
        ]);
        let is_one = chapters.len() == 1;
        for (chapter, count) in chapters {
            table.row(cells(chapter, count));
        }
        if !is_one {
            table.row(cells("together", report.count(version)));
        }
        text += &format!("\n{}", table.to_text());
    }
    for (row, failure) in report.failures() {
        text += &format!("\n{}", failed(row, failure, is_verbose));
    }
    text + &left_out(report, is_verbose)
}

fn cells(name: &str, count: Count) -> [String; 6] {
    let [passed, failed, not_offered, not_tested] = STATES.map(|state| number(count.of(state)));
    [
        name.to_owned(),
        grouped(count.statements() as u64),
        passed,
        failed,
        not_offered,
        not_tested,
    ]
}

/// Zeroes do not draw the eye.
fn number(number: usize) -> String {
    if number == 0 {
        "-".to_owned()
    } else {
        grouped(number as u64)
    }
}

fn failed(row: &Row, failure: &Failure, is_verbose: bool) -> String {
    let mut text = format!("failed: {}\n", row.played.name);
    let setup = row
        .setup
        .map(|setup| format!(", set-up {setup}"))
        .unwrap_or_default();
    text += &format!(
        "  at        {}, line {}{setup}\n",
        row.played.place, failure.line
    );
    text += &format!("  step      {}\n", failure.step);
    if is_verbose {
        for line in &failure.conversation {
            text += &format!("            {line}\n");
        }
    } else if !failure.sent.is_empty() {
        text += &format!("  sent      {}\n", failure.sent);
    }
    text + &format!(
        "  expected  {}\n  received  {}\n",
        failure.expected, failure.received
    )
}

/// Scenes that were not played to their end: counted by reason, or each by name.
fn left_out(report: &Report, is_verbose: bool) -> String {
    let mut text = String::new();
    for state in [State::NotOffered, State::NotTested] {
        let rows = || {
            report
                .rows()
                .iter()
                .filter(|row| row.state() == state)
                .filter_map(|row| Some((row, row.why()?)))
        };
        if is_verbose {
            for (row, why) in rows() {
                text += &format!("{}: {} ({why})\n", state.name(), row.played.name);
            }
            continue;
        }
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, why) in rows() {
            *reasons.entry(why).or_default() += 1;
        }
        for (why, scenes) in reasons {
            text += &format!("{}: {why}: {}\n", state.name(), counted(scenes, "scene"));
        }
    }
    if text.is_empty() {
        text
    } else {
        format!("\n{text}")
    }
}
