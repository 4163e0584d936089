//! The tables of `docs/conformance-others.md`.

use std::collections::BTreeMap;

use super::Judged;
use super::report::{Count, State, VERSIONS};

/// Longer texts are cut in the tables.
const CELL_MAX: usize = 90;

const HEAD: &str = "# Other brokers and clients

What `whinchat conformance` says of brokers and clients that others wrote. Written by

    cargo xtask conformance --others

on a machine where they are installed, and not checked by CI: the versions are those of that machine. A cell has the statements of a chapter that
passed, and behind a stroke those that failed; in parentheses are those that it does not offer, that it was not set up for, and that are about the other side. A
statement is failed if one of its scenes is. Scenes that failed were played a second time, each by itself, and on a broker that was started again if it let nobody
in any more. Where all others fail a statement, the scene was read again beside the specification; the scenes are in `crates/whinchat-conformance/transcripts/`, and
`whinchat conformance URL --scene TITLE --verbose` shows one packet by packet.
";

pub(super) fn write(brokers: &[Judged], clients: &[Judged]) -> String {
    let mut page = HEAD.to_owned();
    page += "\n## Brokers\n\n";
    page += &versions(brokers);
    page += &matrices(brokers);
    page += "\n## Clients\n\nEach does much by itself: it subscribes, publishes, and comes back when it is cut off, as far as it can.\n\n";
    page += &versions(clients);
    page += &matrices(clients);
    for (title, judged) in [("brokers", brokers), ("clients", clients)] {
        page += &format!("\n## Failed statements of {title}\n");
        for one in judged.iter().filter(|one| one.version.is_some()) {
            page += &failures(one);
        }
    }
    page
}

fn versions(judged: &[Judged]) -> String {
    let mut table = String::from("| | version | run with |\n| --- | --- | --- |\n");
    for one in judged {
        let version = one.version.as_deref().unwrap_or("not run");
        table += &format!("| {} | {version} | {} |\n", one.name, cell(&one.how));
    }
    table
}

fn matrices(judged: &[Judged]) -> String {
    let run: Vec<&Judged> = judged.iter().filter(|one| one.version.is_some()).collect();
    let mut text = String::new();
    for version in VERSIONS {
        text += &format!("\n### MQTT {version}\n\n| chapter |");
        for one in &run {
            text += &format!(" {} |", one.name);
        }
        text += &format!("\n| --- |{}\n", " --- |".repeat(run.len()));
        let chapters = run.iter().flat_map(|one| one.report.of(version));
        let mut seen = BTreeMap::new();
        let mut ordered = Vec::new();
        for statement in chapters {
            if seen.insert(&statement.chapter, ()).is_none() {
                ordered.push(&statement.chapter);
            }
        }
        for chapter in ordered {
            let counts = run
                .iter()
                .map(|one| one.report.count(version, Some(chapter)));
            text += &row(chapter, counts);
        }
        text += &row(
            "together",
            run.iter().map(|one| one.report.count(version, None)),
        );
    }
    text
}

fn row(name: &str, counts: impl Iterator<Item = Count>) -> String {
    let cells: String = counts.map(|count| format!(" {} |", shown(count))).collect();
    format!("| {name} |{cells}\n")
}

/// `12 / 3 (4)`, without what is nothing.
fn shown(count: Count) -> String {
    let Count {
        passed,
        failed,
        other,
    } = count;
    let mut text = match (passed, failed) {
        (0, 0) => String::new(),
        (passed, 0) => passed.to_string(),
        (passed, failed) => format!("{passed} / {failed}"),
    };
    if other > 0 {
        text += &format!(" ({other})");
    }
    text.trim().to_owned()
}

fn failures(judged: &Judged) -> String {
    let version = judged.version.as_deref().unwrap_or_default();
    let mut text = format!("\n### {} {version}\n\n", judged.name);
    let mut table = String::new();
    for version in VERSIONS {
        let failed = judged
            .report
            .of(version)
            .filter(|statement| statement.state == State::Failed);
        for statement in failed {
            let Some(failure) = judged.report.failure(statement) else {
                continue;
            };
            table += &format!(
                "| {version} | {} | {} | {} | {} |\n",
                statement.id,
                cell(&failure.title),
                code(&failure.expected),
                code(&failure.received)
            );
        }
    }
    if table.is_empty() {
        return text + "None.\n";
    }
    text += "| MQTT | statement | first scene that failed | expected | received |\n| --- | --- | --- | --- | --- |\n";
    text + &table
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// What was said on the wire, without the bytes behind an error: they have the names of one run.
fn code(text: &str) -> String {
    let is_hex = |word: &str| word.len() == 2 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let shown = match text.rsplit_once(": ") {
        Some((message, bytes)) if bytes.split(' ').take(2).all(is_hex) => message,
        _ => text,
    };
    let mut cut: String = shown.chars().take(CELL_MAX).collect();
    if cut.len() < shown.len() {
        cut += "...";
    }
    format!("`{}`", cell(&cut).replace('`', "'"))
}

#[cfg(test)]
mod tests {
    use super::{Count, code, shown};

    #[test]
    fn a_cell_is_read_at_a_glance() {
        let count = |passed, failed, other| Count {
            passed,
            failed,
            other,
        };
        assert_eq!(shown(count(12, 3, 4)), "12 / 3 (4)");
        assert_eq!(shown(count(12, 0, 0)), "12");
        assert_eq!(shown(count(0, 2, 0)), "0 / 2");
        assert_eq!(shown(count(0, 0, 5)), "(5)");
    }

    #[test]
    fn bytes_of_one_run_are_left_out() {
        assert_eq!(
            code("PUBLISH: topic name holds a wildcard: 30 21 00"),
            "`PUBLISH: topic name holds a wildcard`"
        );
        assert_eq!(code("PUBACK id7 | x"), "`PUBACK id7 \\| x`");
    }
}
