//! Rules for one Rust file: its name, its first lines, its length, and words that do not belong in it.

use super::Finding;

const LINES_MAX: usize = 700;

/// Names that say nothing: the thing itself has a name.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "helper", "helpers", "common", "misc", "types",
];

/// Words of unfinished work and of tests that do not test. They may stand in this folder, where they are the subject.
const FORBIDDEN: &[(&str, &str)] = &[
    ("TODO", "unfinished work: do it or file an issue"),
    ("FIXME", "unfinished work: do it or file an issue"),
    ("XXX", "unfinished work: do it or file an issue"),
    ("todo!", "unfinished work: do it"),
    ("unimplemented!", "unfinished work: do it"),
    ("#[ignore", "a test that does not run is none"),
    (
        "should_panic",
        "compare the error instead: a panic may be the wrong one",
    ),
];

const OWN_FOLDER: &str = "xtask/src/tidy/";

pub(super) fn check(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(empty_name(file));
    findings.extend(missing_module_docs(file, text));
    findings.extend(too_long(file, text));
    if !file.starts_with(OWN_FOLDER) {
        findings.extend(forbidden_words(file, text));
        findings.extend(unexplained_exceptions(file, text));
        findings.extend(sleeping_tests(file, text));
    }
    findings
}

fn empty_name(file: &str) -> Option<Finding> {
    let name = file
        .split('/')
        .map(|part| part.strip_suffix(".rs").unwrap_or(part))
        .find(|part| EMPTY_NAMES.contains(part))?;
    Some(Finding::new(file, 0, format!("`{name}` names no thing")))
}

/// The first line that is neither blank nor an attribute of the file opens its docs.
fn missing_module_docs(file: &str, text: &str) -> Option<Finding> {
    let first = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with("#!["));
    let documented = first.is_some_and(|line| line.starts_with("//!") && line.len() > 3);
    (!documented).then(|| {
        Finding::new(
            file,
            1,
            "the file does not open with `//!`: what it owns, what it leaves to others",
        )
    })
}

fn too_long(file: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    (lines > LINES_MAX).then(|| {
        Finding::new(
            file,
            0,
            format!("{lines} lines; {LINES_MAX} are the most: split it by purpose"),
        )
    })
}

fn forbidden_words(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (word, why) in FORBIDDEN.iter().filter(|(word, _)| holds_word(line, word)) {
            findings.push(Finding::new(file, number + 1, format!("`{word}`: {why}")));
        }
    }
    findings
}

/// Whether the word stands in the line on its own, not as a part of a longer one.
pub(super) fn holds_word(line: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        let goes_on_before = word.starts_with(part_of_word) && before.is_some_and(part_of_word);
        let goes_on_after = word.ends_with(part_of_word) && after.is_some_and(part_of_word);
        !goes_on_before && !goes_on_after
    })
}

/// Every exception to a lint says why; `expect` rather than `allow`, for it complains once it is not needed.
fn unexplained_exceptions(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (start, _) in text.match_indices("#[").chain(text.match_indices("#![")) {
        let end = text[start..]
            .find(']')
            .map_or(text.len(), |length| start + length);
        let attribute = &text[start..end];
        let line = || text[..start].matches('\n').count() + 1;
        let in_comment = text[..start]
            .rsplit('\n')
            .next()
            .is_some_and(|before| before.trim_start().starts_with("//"));
        if in_comment {
            continue;
        }
        if attribute.contains("allow(") {
            findings.push(Finding::new(
                file,
                line(),
                "`allow` stays when it is no longer needed: use `expect` with a reason",
            ));
        } else if attribute.contains("expect(") && !attribute.contains("reason") {
            findings.push(Finding::new(
                file,
                line(),
                "an exception to a lint needs its `reason`",
            ));
        }
    }
    findings
}

/// A test waits for an event or moves a clock. Tokio's own clock may be slept on once it is paused.
fn sleeping_tests(file: &str, text: &str) -> Vec<Finding> {
    let in_tests = file.contains("/tests/") || file.ends_with("/tests.rs");
    let paused = text.contains("start_paused") || text.contains("time::pause(");
    let tests_begin = if in_tests {
        0
    } else {
        text.find("#[cfg(test)]").unwrap_or(text.len())
    };
    let first_line = text[..tests_begin].matches('\n').count();
    let sleeps =
        |line: &str| line.contains("thread::sleep(") || (!paused && line.contains("time::sleep("));
    text[tests_begin..]
        .lines()
        .enumerate()
        .filter(|(_, line)| sleeps(line))
        .map(|(number, _)| {
            Finding::new(
                file,
                first_line + number + 1,
                "a test sleeps: wait for the event or move a clock",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{LINES_MAX, check, holds_word};

    /// The rules that a file breaks, without its docs being one of them.
    #[track_caller]
    fn rules(file: &str, body: &str) -> Vec<String> {
        check(file, &format!("//! Docs.\n{body}"))
            .into_iter()
            .map(|finding| format!("{}: {}", finding.line, finding.rule))
            .collect()
    }

    #[test]
    fn a_plain_file_breaks_nothing() {
        assert!(rules("crates/a/src/lib.rs", "fn main() {}\n").is_empty());
    }

    #[test]
    fn a_file_opens_with_its_docs() {
        assert!(check("a.rs", "#![no_std]\n\n//! Docs.\n").is_empty());
        for text in ["", "fn main() {}\n//! too late", "// a comment\n", "//!\n"] {
            assert_eq!(check("a.rs", text).len(), 1, "{text:?}");
        }
    }

    #[test]
    fn names_that_say_nothing_are_found_in_files_and_folders() {
        for file in [
            "src/utils.rs",
            "src/helpers/mod.rs",
            "tests/it/common.rs",
            "src/types.rs",
        ] {
            assert_eq!(rules(file, "").len(), 1, "{file}");
        }
        assert!(rules("src/packet_type.rs", "").is_empty());
    }

    #[test]
    fn a_long_file_is_found() {
        assert!(rules("a.rs", &"x\n".repeat(LINES_MAX - 1)).is_empty());
        assert_eq!(
            rules("a.rs", &"x\n".repeat(LINES_MAX)),
            ["0: 701 lines; 700 are the most: split it by purpose"]
        );
    }

    #[test]
    fn unfinished_work_and_idle_tests_are_found() {
        for word in [
            "// TODO later",
            "todo!()",
            "unimplemented!(\"x\")",
            "#[ignore = \"slow\"]",
            "#[should_panic]",
            "// FIXME",
            "// XXX",
        ] {
            assert_eq!(rules("a.rs", word).len(), 1, "{word}");
        }
    }

    #[test]
    fn a_word_inside_another_is_not_that_word() {
        assert!(holds_word("a XXX b", "XXX") && holds_word("XXX", "XXX"));
        assert!(!holds_word("tmpXXXXXX", "XXX") && !holds_word("MY_TODO_LIST", "TODO"));
        assert!(holds_word("#[ignore]", "#[ignore"));
    }

    #[test]
    fn an_exception_to_a_lint_has_its_reason() {
        assert_eq!(rules("a.rs", "#[allow(dead_code)]").len(), 1);
        assert_eq!(
            rules("a.rs", "#![allow(dead_code, reason = \"x\")]").len(),
            1,
            "expect is asked for"
        );
        assert_eq!(
            rules("a.rs", "\n#[expect(dead_code)]"),
            ["3: an exception to a lint needs its `reason`"]
        );
        assert!(
            rules(
                "a.rs",
                "#[expect(\n    dead_code,\n    reason = \"kept for the log\"\n)]"
            )
            .is_empty()
        );
        assert!(
            rules(
                "a.rs",
                "/// Use `#[allow(dead_code)]` never.\nlet x = y.expect(\"reasoned\");"
            )
            .is_empty()
        );
    }

    #[test]
    fn sleeping_tests_are_found_and_working_sleep_is_not() {
        assert_eq!(
            rules("crates/a/tests/it/x.rs", "std::thread::sleep(d);").len(),
            1
        );
        assert_eq!(
            rules(
                "crates/a/src/x.rs",
                "#[cfg(test)]\nmod tests {\n    tokio::time::sleep(d).await;\n}"
            ),
            ["4: a test sleeps: wait for the event or move a clock"]
        );
        assert!(
            rules(
                "crates/a/src/x.rs",
                "tokio::time::sleep(backoff).await;\n#[cfg(test)]\nmod tests {}"
            )
            .is_empty()
        );
        assert!(
            rules(
                "crates/a/tests/it/x.rs",
                "#[tokio::test(start_paused = true)]\nasync fn f() { tokio::time::sleep(d).await; }"
            )
            .is_empty()
        );
    }
}
