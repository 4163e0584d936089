//! The page: one table for each specification and chapter.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Entry, Part, State};
use crate::statements::Statement;
use crate::statements::tests::{Kind, Test};

const INTRODUCTION: &str = "\
# Conformance

Each statement of MQTT 5.0 and 3.1.1, each difference of 3.1, the errors to which 5.0 gives a reason code, and the rows of
[known failures](known-failures.md) that are about the protocol, each with the tests that fail if it stops being true.
Written by `cargo xtask conformance`, checked by `cargo xtask ci`; the paraphrases are those of
`crates/whinchat-conformance/statements/`, the errors' those of `crates/whinchat-codec/testdata/spec/packets.toml`.

*Shown* means that at least one test names the statement. *Not applicable* and *later* say why none does.

| tests | lie in | are played by |
| --- | --- | --- |
| broker/x | `crates/whinchat-conformance/transcripts/broker/x.txt` | the plain reference server on our engine, our broker, and `whinchat conformance` for any broker |
| client/x | `crates/whinchat-conformance/transcripts/client/x.txt` | our client, and `whinchat conformance --client` for any client |
| engine v5/x | `crates/whinchat-session/testdata/v5/x.txt` | the session engine |
| vectors in v5/x | `crates/whinchat-codec/testdata/v5/x.txt` | the codec |
| a function | the crate's file in front of it | `cargo xtask test` |
";

pub(super) fn write(parts: &[Part]) -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n| list | in all | shown | not applicable | later | gap |\n| --- | --- | --- | --- | --- | --- |\n");
    for part in parts {
        let count =
            |is: fn(&State) -> bool| part.entries.iter().filter(|entry| is(&entry.state)).count();
        writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} |",
            part.title,
            part.entries.len(),
            count(|state| matches!(state, State::Shown | State::ShownInPart(_))),
            count(|state| matches!(state, State::NotApplicable(_))),
            count(|state| matches!(state, State::Later(_))),
            count(|state| *state == State::Gap),
        )
        .expect("a string takes all");
    }
    for part in parts {
        write!(page, "\n## {}\n", part.title).expect("a string takes all");
        for (chapter, entries) in chapters(part) {
            if !chapter.is_empty() {
                write!(page, "\n### {chapter}\n").expect("a string takes all");
            }
            page.push_str("\n| id | what is asked | tests | state |\n| --- | --- | --- | --- |\n");
            for entry in entries {
                writeln!(
                    page,
                    "| {} | {} | {} | {} |",
                    entry.statement.id,
                    text(&entry.statement),
                    tests(&entry.tests),
                    state(&entry.state)
                )
                .expect("a string takes all");
            }
        }
    }
    page
}

/// The entries below their headings; lists without chapters have one, which is empty.
fn chapters(part: &Part) -> Vec<(&str, Vec<&Entry>)> {
    let mut chapters: Vec<(&str, Vec<&Entry>)> = Vec::new();
    for entry in &part.entries {
        let title = entry.statement.chapter.as_deref().unwrap_or_default();
        match chapters.iter_mut().find(|(of, _)| *of == title) {
            Some((_, entries)) => entries.push(entry),
            None => chapters.push((title, vec![entry])),
        }
    }
    chapters
}

fn state(state: &State) -> String {
    match state {
        State::Shown => "shown".to_owned(),
        State::ShownInPart(rest) => format!("shown; not tested: {}", cell(rest)),
        State::NotApplicable(why) => format!("not applicable: {}", cell(why)),
        State::Later(why) => format!("later: {}", cell(why)),
        State::Gap => "**gap**".to_owned(),
    }
}

/// The tests by the file they lie in: scenes and functions with their titles, vectors counted.
fn tests(tests: &[Test]) -> String {
    let mut places: BTreeMap<(Kind, String), Vec<&str>> = BTreeMap::new();
    for test in tests {
        let place = (test.kind, place(test.kind, &test.file));
        places.entry(place).or_default().push(&test.title);
    }
    let lines = places.iter().map(|((kind, place), titles)| match kind {
        Kind::Vector if titles.len() == 1 => format!("1 vector in {place}"),
        Kind::Vector => format!("{} vectors in {place}", titles.len()),
        Kind::Rust => {
            let names = titles.iter().map(|name| format!("`{name}`"));
            format!("{place}: {}", names.collect::<Vec<_>>().join(", "))
        }
        Kind::BrokerScene | Kind::ClientScene | Kind::EngineScene => {
            let titles = titles.iter().map(|title| cell(title));
            format!("{place}: {}", titles.collect::<Vec<_>>().join("; "))
        }
    });
    lines.collect::<Vec<_>>().join("<br>")
}

/// The name of the file as the table at the top of the page explains it.
fn place(kind: Kind, file: &str) -> String {
    let below = |folder: &str| {
        let file = file.strip_prefix(folder).unwrap_or(file);
        file.rsplit_once('.')
            .map_or(file, |(stem, _)| stem)
            .to_owned()
    };
    match kind {
        Kind::BrokerScene | Kind::ClientScene => below("crates/whinchat-conformance/transcripts/"),
        Kind::EngineScene => format!("engine {}", below("crates/whinchat-session/testdata/")),
        Kind::Vector => below("crates/whinchat-codec/testdata/"),
        Kind::Rust => below("crates/").replace("/tests/it/", "/"),
    }
}

/// What is asked. A row comes from a page of ours, as Markdown.
fn text(statement: &Statement) -> String {
    if statement.id.starts_with("T-") {
        statement.text.clone()
    } else {
        cell(&statement.text)
    }
}

/// Text that Markdown leaves as it is, in a cell.
fn cell(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '|' | '*' | '_' | '<' | '[' | ']' | '`' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod unit {
    use super::{cell, write};
    use crate::conformance::{Entry, Part, State};
    use crate::statements::Statement;
    use crate::statements::tests::{Kind, Test};

    fn entry(id: &str, chapter: &str, tests: Vec<Test>, state: State) -> Entry {
        Entry {
            statement: Statement {
                id: id.to_owned(),
                chapter: Some(chapter.to_owned()),
                text: "It holds.".to_owned(),
            },
            tests,
            state,
        }
    }

    fn test(kind: Kind, file: &str, title: &str) -> Test {
        Test {
            kind,
            file: file.to_owned(),
            title: title.to_owned(),
            claims: Vec::new(),
        }
    }

    #[test]
    fn statements_stand_below_their_chapter_with_their_tests() {
        let transcript = "crates/whinchat-conformance/transcripts/broker/connect.txt";
        let vectors = "crates/whinchat-codec/testdata/v5/connect.txt";
        let tests = vec![
            test(Kind::Vector, vectors, "one"),
            test(Kind::Vector, vectors, "two"),
            test(
                Kind::Rust,
                "crates/whinchat-broker/tests/it/qos.rs",
                "it_is",
            ),
            test(Kind::BrokerScene, transcript, "a clean start"),
        ];
        let part = Part {
            title: "MQTT 5.0".to_owned(),
            entries: vec![
                entry("MQTT-3.1.0-1", "3.1 CONNECT", tests, State::Shown),
                entry(
                    "MQTT-4.2.0-1",
                    "4.2 Network connections",
                    Vec::new(),
                    State::Gap,
                ),
            ],
        };
        let page = write(&[part]);
        assert!(page.contains("| MQTT 5.0 | 2 | 1 | 0 | 0 | 1 |\n"));
        let (_, tables) = page.split_once("\n## MQTT 5.0\n").unwrap();
        let heading = "\n| id | what is asked | tests | state |\n| --- | --- | --- | --- |\n";
        assert_eq!(
            tables,
            format!(
                "\n### 3.1 CONNECT\n{heading}| MQTT-3.1.0-1 | It holds. | broker/connect: a clean start\
                 <br>whinchat-broker/qos: `it_is`<br>2 vectors in v5/connect | shown |\n\
                 \n### 4.2 Network connections\n{heading}| MQTT-4.2.0-1 | It holds. |  | **gap** |\n"
            )
        );
    }

    #[test]
    fn what_markdown_would_change_is_escaped() {
        assert_eq!(cell("a|b <c> *"), "a\\|b \\<c> \\*");
    }
}
