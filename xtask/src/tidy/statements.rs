//! Ids of statements in comments, tests, test data and pages: each must exist.
//!
//! `MQTT-3.3.2-2` points into MQTT 3.1.1 or 5.0, whose numbers differ; a `v311` or `v5` in front of it, or in the path
//! of the file, says which. A test says which by its name, its module or its version line, and must.

use crate::statements::{Lists, Version, numbers, ours, tests::tests_of};

use super::Finding;

/// Files in which ids are the subject.
const OWN_FILES: &[&str] = &[
    "xtask/src/tidy/",
    "xtask/src/statements/",
    "xtask/src/conformance/",
];

pub(super) fn check(file: &str, text: &str, lists: &Lists) -> Vec<Finding> {
    if OWN_FILES.iter().any(|own| file.starts_with(own)) {
        return Vec::new();
    }
    let of_file = Version::of_path(file);
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for (start, id) in numbers(line) {
            let own = match id.split('-').next() {
                Some("M31") => Some(Version::V31),
                Some("E5") => Some(Version::V5),
                _ => Version::named_last(&line[..start]).or(of_file),
            };
            if !lists.has(&id, own) {
                let place = own.map_or(String::new(), |version| format!(" in {version}"));
                findings.push(Finding::new(
                    file,
                    number,
                    format!("there is no statement {id}{place}"),
                ));
            }
        }
        for id in ours(line).into_iter().filter(|id| !lists.has(id, None)) {
            findings.push(Finding::new(file, number, format!("no page defines {id}")));
        }
    }
    if let Err((line, complaint)) = tests_of(file, text, lists) {
        findings.push(Finding::new(file, line, complaint));
    }
    findings.dedup();
    findings
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::statements::unit::few;

    #[track_caller]
    fn rules(file: &str, line: &str) -> Vec<String> {
        check(file, line, &few())
            .into_iter()
            .map(|finding| finding.rule)
            .collect()
    }

    #[test]
    fn an_id_that_no_version_has_is_found() {
        assert_eq!(
            rules("a.rs", "// v5 [MQTT-9.9.9-9]"),
            ["there is no statement MQTT-9.9.9-9 in MQTT 5.0"]
        );
        assert_eq!(
            rules("a.rs", "// [MQTT-9.9.9-9]."),
            ["there is no statement MQTT-9.9.9-9"]
        );
        assert_eq!(
            rules("a.rs", "// M31-9, E5-9"),
            [
                "there is no statement M31-9 in MQTT 3.1",
                "there is no statement E5-9 in MQTT 5.0"
            ]
        );
        assert!(rules("a.rs", "// [MQTT-1.5.3-1], [MQTT-1.5.4-1], M31-1, E5-1").is_empty());
    }

    #[test]
    fn the_version_in_front_or_in_the_path_decides() {
        assert!(rules("a.rs", "// v311 [MQTT-1.5.3-1], v5 [MQTT-1.5.4-1]").is_empty());
        assert_eq!(rules("a.rs", "// v5 [MQTT-1.5.3-1]").len(), 1);
        assert_eq!(rules("testdata/v5/a.txt", "MQTT-1.5.3-1").len(), 1);
        assert_eq!(rules("testdata/v31/a.txt", "MQTT-1.5.3-1").len(), 1);
        assert!(rules("testdata/v5/a.txt", "v311 MQTT-1.5.3-1").is_empty());
        assert!(rules("testdata/v311/a.txt", "MQTT-1.5.3-1").is_empty());
    }

    #[test]
    fn what_a_test_claims_is_looked_up_as_well() {
        let test = "#[test]\nfn v5_mqtt_1_5_3_1_utf8() {}\n";
        assert_eq!(
            rules("crates/a/src/b.rs", test),
            ["there is no statement MQTT-1.5.3-1 in MQTT 5.0"]
        );
        let scene = "scene a\nv5 MQTT-3.1.0\n";
        assert_eq!(
            rules(
                "crates/whinchat-conformance/transcripts/broker/a.txt",
                scene
            ),
            ["`MQTT-3.1.0` is no id"]
        );
    }

    #[test]
    fn our_own_ids_are_defined_on_a_page() {
        assert!(rules("a.rs", "// T-01, A-1: guarded here").is_empty());
        assert_eq!(
            rules("a.rs", "// T-02 and I-9"),
            ["no page defines T-02", "no page defines I-9"]
        );
    }
}
