//! The report as one JSON object. Field names are part of the program's face.

use serde::Serialize;
use whinchat_codec::ProtocolVersion;

use super::{Count, Judged, Report, Row, State, Subject};
use crate::Actor;

impl Report {
    /// One JSON object, in several lines, with a line end.
    pub fn to_json(&self) -> String {
        let document = Document {
            subject: match self.subject {
                Subject::Broker => "broker",
                Subject::Client => "client",
            },
            target: &self.target,
            program_version: env!("CARGO_PKG_VERSION"),
            seconds: self.time.as_secs_f64(),
            chapters: self.chapter_rows(),
            statements: self
                .statements
                .iter()
                .map(|judged| self.statement_row(judged))
                .collect(),
            scenes: self.rows.iter().map(SceneRow::new).collect(),
        };
        let mut text = serde_json::to_string_pretty(&document)
            .expect("a report has text keys and finite numbers only");
        text.push('\n');
        text
    }

    fn chapter_rows(&self) -> Vec<ChapterRow> {
        let of_version = |version: ProtocolVersion| {
            self.chapters(version)
                .into_iter()
                .map(move |(chapter, count)| ChapterRow {
                    version: version.to_string(),
                    chapter,
                    count: count.into(),
                })
        };
        ProtocolVersion::ALL
            .into_iter()
            .rev()
            .flat_map(of_version)
            .collect()
    }

    fn statement_row<'a>(&'a self, judged: &'a Judged) -> StatementRow<'a> {
        StatementRow {
            version: judged.statement.version.to_string(),
            id: &judged.statement.id,
            chapter: judged.statement.chapter(),
            actor: match judged.statement.actor {
                Actor::Client => "client",
                Actor::Server => "server",
                Actor::Both => "both",
                Actor::Codec => "codec",
            },
            state: word(judged.state),
            why: judged.why.as_deref(),
            scenes: judged
                .scenes
                .iter()
                .map(|index| self.rows[*index].played.name.as_str())
                .collect(),
        }
    }
}

/// The state as one word.
fn word(state: State) -> &'static str {
    match state {
        State::Passed => "passed",
        State::Failed => "failed",
        State::NotOffered => "not_offered",
        State::NotTested => "not_tested",
    }
}

#[derive(Serialize)]
struct Document<'a> {
    subject: &'static str,
    target: &'a str,
    program_version: &'static str,
    seconds: f64,
    chapters: Vec<ChapterRow>,
    statements: Vec<StatementRow<'a>>,
    scenes: Vec<SceneRow<'a>>,
}

#[derive(Serialize)]
struct ChapterRow {
    version: String,
    chapter: &'static str,
    #[serde(flatten)]
    count: CountFields,
}

#[derive(Serialize)]
struct CountFields {
    statements: usize,
    passed: usize,
    failed: usize,
    not_offered: usize,
    not_tested: usize,
}

impl From<Count> for CountFields {
    fn from(count: Count) -> Self {
        Self {
            statements: count.statements(),
            passed: count.of(State::Passed),
            failed: count.of(State::Failed),
            not_offered: count.of(State::NotOffered),
            not_tested: count.of(State::NotTested),
        }
    }
}

#[derive(Serialize)]
struct StatementRow<'a> {
    version: String,
    id: &'a str,
    chapter: &'static str,
    actor: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    scenes: Vec<&'a str>,
}

#[derive(Serialize)]
struct SceneRow<'a> {
    version: String,
    name: &'a str,
    place: &'a str,
    statements: &'a [String],
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    setup: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureFields<'a>>,
    seconds: f64,
}

#[derive(Serialize)]
struct FailureFields<'a> {
    line: usize,
    step: &'a str,
    sent: &'a str,
    expected: &'a str,
    received: &'a str,
    conversation: &'a [String],
}

impl<'a> SceneRow<'a> {
    fn new(row: &'a Row) -> Self {
        let played = &row.played;
        Self {
            version: played.version.to_string(),
            name: &played.name,
            place: &played.place,
            statements: &played.ids,
            verdict: word(row.state()),
            setup: row.setup,
            why: row.why(),
            failure: row.failure().map(|failure| FailureFields {
                line: failure.line,
                step: &failure.step,
                sent: &failure.sent,
                expected: &failure.expected,
                received: &failure.received,
                conversation: &failure.conversation,
            }),
            seconds: played.duration.as_secs_f64(),
        }
    }
}
