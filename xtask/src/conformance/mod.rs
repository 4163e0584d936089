//! `cargo xtask conformance`: which test shows which statement, as the page `docs/conformance.md`.
//!
//! What counts as a test is decided in [`statements::tests`](crate::statements::tests), what stands in for one in
//! [`exceptions`]; [`page`] writes the tables. This file brings them together and says what is missing.

mod exceptions;
mod others;
mod page;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use crate::statements::tests::{Test, tests_of};
use crate::statements::{Lists, Statement, Version};
use crate::tidy::files;
use crate::{Outcome, workspace};

use self::exceptions::Exceptions;

pub(crate) const USAGE: &str = "
Usage: cargo xtask conformance [--check | --others [--program PATH]]

Writes docs/conformance.md: each statement of the specifications, each error of MQTT 5.0 and each row T-01 to T-81 of
docs/known-failures.md with the tests that name it. Fails if one has neither a test nor a reason why it needs none, and
with --check, which writes nothing, if the page is not what it would write.

With --others it writes docs/conformance-others.md instead: what `whinchat conformance` says of mosquitto, nats-server,
rabbitmq-server and rumqttd, and of mosquitto's clients, paho-mqtt and mqtt.js, as far as they are installed. It takes a
quarter of an hour. --program takes this whinchat instead of building one.
";

const PAGE: &str = "docs/conformance.md";

/// The last row of docs/known-failures.md that is about the protocol.
const LAST_ROW: u32 = 81;

/// A statement and what shows it.
struct Entry {
    statement: Statement,
    tests: Vec<Test>,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Shown,
    /// By tests, save for what the text says.
    ShownInPart(String),
    NotApplicable(String),
    /// Belongs to a part that is not there yet.
    Later(String),
    Gap,
}

/// One list of the page.
struct Part {
    title: String,
    entries: Vec<Entry>,
}

pub(crate) fn run(args: &[String]) -> Outcome {
    let is_check = match args {
        [] => false,
        [arg] if arg == "--check" => true,
        [arg] if arg == "--others" => return others::run(None),
        [arg, program, path] if arg == "--others" && program == "--program" => {
            return others::run(Some(Path::new(path)));
        }
        [arg, ..] => return Err(format!("unexpected argument `{arg}`; see --help").into()),
    };
    let parts = parts(workspace::root())?;
    let page = page::write(&parts);
    let path = workspace::root().join(PAGE);
    if !is_check {
        fs::write(&path, &page)?;
    } else if fs::read_to_string(&path).unwrap_or_default() != page {
        return Err(format!("{PAGE} is stale: run `cargo xtask conformance`").into());
    }
    let gaps = gaps(&parts);
    for gap in &gaps {
        eprintln!("{gap}");
    }
    match gaps.len() {
        0 => Ok(()),
        count => Err(format!("nothing shows {count} of the statements and rows").into()),
    }
}

/// Every list with the tests of the tree at `root`.
fn parts(root: &Path) -> Result<Vec<Part>, Box<dyn Error>> {
    let lists = Lists::load(root)?;
    let exceptions = Exceptions::load(root, &lists)?;
    let mut tests: BTreeMap<(Option<Version>, String), Vec<Test>> = BTreeMap::new();
    for (file, text) in files::texts(root)? {
        let found = tests_of(&file, &text, &lists)
            .map_err(|(line, complaint)| format!("{file}:{line}: {complaint}"))?;
        for test in found {
            for claim in &test.claims {
                let version = lists.version_of(&claim.id, claim.named)?;
                let of_id = tests.entry((version, claim.id.clone())).or_default();
                if of_id.last() != Some(&test) {
                    of_id.push(test.clone());
                }
            }
        }
    }
    let mut part = |title: String, version: Option<Version>, statements: &[Statement]| {
        let entries = statements
            .iter()
            .map(|statement| {
                let id = (version, statement.id.clone());
                let tests = tests.remove(&id).unwrap_or_default();
                let state = exceptions.state(&id, !tests.is_empty())?;
                Ok(Entry {
                    statement: statement.clone(),
                    tests,
                    state,
                })
            })
            .collect::<Result<Vec<_>, String>>()?;
        Ok::<_, String>(Part { title, entries })
    };
    let mut parts = Vec::new();
    for version in Version::ALL {
        parts.push(part(version.to_string(), Some(version), lists.of(version))?);
    }
    let errors = "Errors of MQTT 5.0".to_owned();
    parts.push(part(errors, Some(Version::V5), &lists.errors)?);
    let rows: Vec<Statement> = lists
        .rows
        .iter()
        .filter(|row| number(&row.id).is_some_and(|number| number <= LAST_ROW))
        .cloned()
        .collect();
    parts.push(part("Known failures".to_owned(), None, &rows)?);
    Ok(parts)
}

/// 12 of `T-12`.
fn number(id: &str) -> Option<u32> {
    id.split_once('-')?.1.parse().ok()
}

/// What has neither a test nor a reason, a line each.
fn gaps(parts: &[Part]) -> Vec<String> {
    let of_part = |part: &Part| -> Vec<String> {
        part.entries
            .iter()
            .filter(|entry| entry.state == State::Gap)
            .map(|entry| {
                let Statement { id, text, .. } = &entry.statement;
                format!("{}: {id} has no test: {text}", part.title)
            })
            .collect()
    };
    parts.iter().flat_map(of_part).collect()
}

#[cfg(test)]
mod tests {
    use super::{Entry, Part, State, gaps, parts};
    use crate::statements::Statement;
    use crate::workspace;

    #[test]
    fn a_statement_without_test_and_reason_is_a_gap() {
        let entry = |id: &str, state: State| Entry {
            statement: Statement {
                id: id.to_owned(),
                chapter: None,
                text: "It holds.".to_owned(),
            },
            tests: Vec::new(),
            state,
        };
        let part = Part {
            title: "MQTT 5.0".to_owned(),
            entries: vec![
                entry("A", State::Shown),
                entry("B", State::Gap),
                entry("C", State::NotApplicable("it does not apply".to_owned())),
            ],
        };
        assert_eq!(gaps(&[part]), ["MQTT 5.0: B has no test: It holds."]);
    }

    #[test]
    fn our_own_tests_name_only_what_exists() {
        let parts = parts(workspace::root()).unwrap();
        let sizes: Vec<usize> = parts.iter().map(|part| part.entries.len()).collect();
        assert_eq!(sizes, [251, 141, 59, 47, 81]);
    }
}
