//! The report as JUnit XML: a suite for each version, a case for each scene. What was not offered or not tested is
//! skipped.

use std::fmt::Write as _;

use whinchat_codec::ProtocolVersion;

use super::{Report, Row, State};

impl Report {
    /// An XML document with a line end.
    pub fn to_junit(&self) -> String {
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let all: Vec<&Row> = self.rows.iter().collect();
        let seconds = self.time.as_secs_f64();
        open(&mut text, "<testsuites", &self.target, &all, seconds);
        for version in ProtocolVersion::ALL.into_iter().rev() {
            let rows: Vec<&Row> = self
                .rows
                .iter()
                .filter(|row| row.played.version == version)
                .collect();
            if rows.is_empty() {
                continue;
            }
            let seconds = rows
                .iter()
                .map(|row| row.played.duration.as_secs_f64())
                .sum();
            open(
                &mut text,
                "  <testsuite",
                &format!("MQTT {version}"),
                &rows,
                seconds,
            );
            for row in rows {
                case(&mut text, row);
            }
            text += "  </testsuite>\n";
        }
        text + "</testsuites>\n"
    }
}

fn open(text: &mut String, tag: &str, name: &str, rows: &[&Row], seconds: f64) {
    let in_state = |wanted: &[State]| {
        rows.iter()
            .filter(|row| wanted.contains(&row.state()))
            .count()
    };
    let _ = writeln!(
        text,
        "{tag} name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{seconds:.3}\">",
        escaped(name),
        rows.len(),
        in_state(&[State::Failed]),
        in_state(&[State::NotOffered, State::NotTested]),
    );
}

fn case(text: &mut String, row: &Row) {
    let played = &row.played;
    let _ = write!(
        text,
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
        escaped(&played.place),
        escaped(&played.name),
        played.duration.as_secs_f64()
    );
    if let Some(failure) = row.failure() {
        let _ = writeln!(
            text,
            "><failure message=\"{}\">{}</failure></testcase>",
            escaped(&format!(
                "expected {}, received {}",
                failure.expected, failure.received
            )),
            escaped(&failure.to_string())
        );
    } else if let Some(why) = row.why() {
        let _ = writeln!(
            text,
            "><skipped message=\"{}\"/></testcase>",
            escaped(&format!("{}: {why}", row.state().name()))
        );
    } else {
        *text += "/>\n";
    }
}

/// Text for an element or an attribute. Characters that XML 1.0 cannot hold are written as escapes of Rust.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\n' | '\t' => escaped.push(character),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {
                escaped.extend(character.escape_unicode());
            }
            other => escaped.push(other),
        }
    }
    escaped
}
