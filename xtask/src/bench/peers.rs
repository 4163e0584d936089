//! `cargo xtask bench codec` and `client`: the package in `bench/`, and its figures as chapters of the page.

use std::error::Error;

use serde::Deserialize;

use super::section::{Chart, ChartKind, Section, Series, Table, X, short};
use crate::process::{cargo, read};
use crate::{Outcome, setup, workspace};

#[derive(Deserialize)]
struct CodecRow {
    packet: String,
    codec: String,
    decode_ns: f64,
    encode_ns: f64,
}

#[derive(Deserialize)]
struct ClientRow {
    case: String,
    library: String,
    messages_per_second: f64,
    cpu_us: f64,
}

/// Runs a program of the package, as it would be released.
fn run(program: &str, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
    let manifest = workspace::root().join("bench/Cargo.toml");
    let mut command = cargo([
        "run",
        "--quiet",
        "--release",
        "--bin",
        program,
        "--manifest-path",
    ]);
    command.arg(manifest).arg("--").args(arguments);
    Ok(read(&mut command)?)
}

pub(super) fn codec() -> Outcome {
    let rows: Vec<CodecRow> = serde_json::from_str(&run("codec", &[])?)?;
    let table = |caption: &str, figure: fn(&CodecRow) -> f64| {
        pivot(
            caption,
            "packet",
            rows.iter()
                .map(|row| (&*row.packet, &*row.codec, figure(row))),
        )
    };
    let chart = |file: &str, title: &str, figure: fn(&CodecRow) -> f64| {
        bars(
            file,
            title,
            "ns",
            rows.iter()
                .map(|row| (&*row.packet, &*row.codec, figure(row))),
        )
    };
    let mut text = vec![
        "*whinchat* and mqttrs look at a packet where it lies; all others, *whinchat, owned* among them, take it out of a buffer and own it. Everybody reads the same \
         bytes and has to write the same bytes again, but for the order of properties. What was read is used by reference, whoever read it: `decode(..)?` moves the packet, which costs as much as \
         reading a small one. Times of one packet among a thousand behind each other: medians of 200 turns."
            .to_owned(),
        "What others leave out: mqtt-protocol-core is handed what is behind the fixed header, whose length the bench knows; it takes memory of its own for all that it writes. mqttrs does not look for \
         wildcards in a topic name that it reads, and knows no properties and reasons. mqttbytes and rumqttc write a topic name as it is; *whinchat* has looked through it, measured the \
         packet in its version and taken the memory for all of it before the first byte, so that a packet that may not be sent leaves nothing in the buffer."
            .to_owned(),
    ];
    text.extend(slower(&rows));
    let section = Section {
        order: 70,
        heading: "The codec beside others".into(),
        commands: vec!["cargo xtask bench codec".into()],
        conditions: "One thread; versions are those in [bench/README.md](../bench/README.md)."
            .into(),
        text,
        tables: vec![
            table("Reading, ns per packet:", |row| row.decode_ns),
            table("Writing, ns per packet:", |row| row.encode_ns),
        ],
        charts: vec![
            chart(
                "codec-decode",
                "Reading a packet, ns (less is better)",
                |row| row.decode_ns,
            ),
            chart(
                "codec-encode",
                "Writing a packet, ns (less is better)",
                |row| row.encode_ns,
            ),
        ],
    };
    section.save("codec")
}

/// Where somebody is faster than we are.
fn slower(rows: &[CodecRow]) -> Option<String> {
    let mut found = Vec::new();
    for ours in rows.iter().filter(|row| row.codec == "whinchat") {
        for other in rows
            .iter()
            .filter(|row| row.packet == ours.packet && !row.codec.starts_with("whinchat"))
        {
            for (what, theirs, own) in [
                ("reads", other.decode_ns, ours.decode_ns),
                ("writes", other.encode_ns, ours.encode_ns),
            ] {
                if theirs < own {
                    found.push(format!(
                        "{} {what} {} in {theirs:.1} ns, we in {own:.1}",
                        other.codec, ours.packet
                    ));
                }
            }
        }
    }
    (!found.is_empty()).then(|| format!("Faster than ours: {}.", found.join("; ")))
}

pub(super) fn client() -> Outcome {
    let python = setup::python();
    let rows: Vec<ClientRow> = serde_json::from_str(&run("client", &[&python.to_string_lossy()])?)?;
    let cells = |figure: fn(&ClientRow) -> f64| {
        rows.iter()
            .map(move |row| (&*row.case, &*row.library, figure(row)))
    };
    let section = Section {
        order: 60,
        heading: "The client beside others".into(),
        commands: vec!["cargo xtask bench client".into()],
        conditions: "MQTT 3.1.1, payloads of 16 bytes, at most 1,000 messages without an ack; versions are those in [bench/README.md](../bench/README.md).".into(),
        text: vec![
            "Each library runs in a process of its own, in turn, five times; the peer is a thread elsewhere that does nothing but acknowledge or send. Rust clients have one thread."
                .to_owned(),
        ],
        tables: vec![
            pivot("CPU of the client, us per message:", "case", cells(|row| row.cpu_us)),
            pivot("Messages per second:", "case", cells(|row| row.messages_per_second)),
        ],
        charts: vec![Chart {
            log_y: true,
            ..bars("client-cpu", "CPU of the client, us per message (less is better)", "us", cells(|row| row.cpu_us))
        }],
    };
    section.save("client")
}

/// A line for each of the first names, a column for each of the second.
fn pivot<'a>(
    caption: &str,
    corner: &str,
    cells: impl Iterator<Item = (&'a str, &'a str, f64)>,
) -> Table {
    let mut columns = vec![corner.to_owned()];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (line, column, value) in cells {
        let at = columns
            .iter()
            .position(|known| known == column)
            .unwrap_or_else(|| {
                columns.push(column.to_owned());
                columns.len() - 1
            });
        let row = match rows.iter_mut().position(|row| row[0] == line) {
            Some(place) => &mut rows[place],
            None => {
                rows.push(vec![line.to_owned()]);
                let last = rows.len() - 1;
                &mut rows[last]
            }
        };
        row.resize(row.len().max(at + 1), "-".to_owned());
        row[at] = short(value);
    }
    for row in &mut rows {
        row.resize(columns.len(), "-".to_owned());
    }
    Table {
        caption: caption.to_owned(),
        columns,
        rows,
    }
}

fn bars<'a>(
    file: &str,
    title: &str,
    y_label: &str,
    cells: impl Iterator<Item = (&'a str, &'a str, f64)>,
) -> Chart {
    let mut series: Vec<Series> = Vec::new();
    for (label, name, value) in cells {
        let point = (X::Label(label.to_owned()), value);
        match series.iter_mut().find(|series| series.name == name) {
            Some(series) => series.points.push(point),
            None => series.push(Series {
                name: name.to_owned(),
                points: vec![point],
            }),
        }
    }
    Chart {
        file: file.to_owned(),
        title: title.to_owned(),
        kind: ChartKind::Bars,
        x_label: String::new(),
        y_label: y_label.to_owned(),
        log_x: false,
        log_y: false,
        series,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_nobody_filled_is_a_dash() {
        let cells = [
            ("a", "x", 1.0),
            ("b", "y", 2.0),
            ("a", "y", 3.0),
            ("b", "z", 4.0),
        ];
        let table = pivot("", "what", cells.into_iter());
        assert_eq!(table.columns, ["what", "x", "y", "z"]);
        assert_eq!(
            table.rows,
            [["a", "1.00", "3.00", "-"], ["b", "-", "2.00", "4.00"]]
        );
    }

    #[test]
    fn who_is_faster_is_named() {
        let row = |codec: &str, decode_ns| CodecRow {
            packet: "PUBLISH".into(),
            codec: codec.into(),
            decode_ns,
            encode_ns: 5.0,
        };
        assert_eq!(slower(&[row("whinchat", 10.0), row("other", 12.0)]), None);
        assert_eq!(
            slower(&[row("whinchat", 10.0), row("other", 9.0)]).unwrap(),
            "Faster than ours: other reads PUBLISH in 9.0 ns, we in 10.0."
        );
    }
}
