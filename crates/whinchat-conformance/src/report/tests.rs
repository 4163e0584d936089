//! States, merging and both forms, on verdicts made by hand.

use std::time::Duration;

use serde_json::Value;
use whinchat_codec::ProtocolVersion::{V5, V31, V311};

use super::{Report, Run, State, Subject};
use crate::{Failure, Played, Verdict};

fn played(version: whinchat_codec::ProtocolVersion, ids: &[&str], verdict: Verdict) -> Played {
    Played {
        name: format!("v{} {} a title", version.level(), ids.join(" ")),
        place: "broker/publish.txt:7".into(),
        version,
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        verdict,
        duration: Duration::from_millis(12),
    }
}

fn failed(received: &str) -> Verdict {
    Verdict::Failed(Box::new(Failure {
        line: 9,
        step: "B< PUBLISH a/b 'x'".into(),
        sent: "A> PUBLISH a/b 'x'".into(),
        expected: "PUBLISH a/b 'x'".into(),
        received: received.into(),
        conversation: vec!["A> PUBLISH a/b 'x'".into()],
    }))
}

fn report(runs: Vec<Run>) -> Report {
    Report::new(
        Subject::Broker,
        "mqtt://host:1",
        runs,
        Duration::from_secs(2),
        |_| true,
    )
}

fn state(report: &Report, id: &str) -> (State, Option<String>) {
    let judged = report
        .statements()
        .iter()
        .find(|judged| judged.statement.version == V5 && judged.statement.id == id)
        .unwrap();
    (judged.state, judged.why.clone())
}

#[test]
fn a_statement_is_failed_by_one_scene_and_passed_by_one_if_none_failed() {
    let report = report(vec![Run::new(vec![
        played(V5, &["MQTT-3.3.1-3", "MQTT-3.3.1-2"], Verdict::Passed),
        played(V5, &["MQTT-3.3.1-3"], failed("nothing")),
        played(
            V5,
            &["MQTT-3.3.1-2", "MQTT-3.3.1-5"],
            Verdict::NotOffered("retain".into()),
        ),
        played(
            V5,
            &["MQTT-4.12.0-1", "MQTT-3.3.1-5"],
            Verdict::NotTested("method echo".into()),
        ),
        played(
            V5,
            &["MQTT-4.12.0-1"],
            Verdict::NotTested("method echo".into()),
        ),
    ])]);
    assert_eq!(state(&report, "MQTT-3.3.1-3"), (State::Failed, None));
    assert_eq!(state(&report, "MQTT-3.3.1-2"), (State::Passed, None));
    assert_eq!(
        state(&report, "MQTT-3.3.1-5"),
        (State::NotOffered, Some("retain".into()))
    );
    assert_eq!(
        state(&report, "MQTT-4.12.0-1"),
        (State::NotTested, Some("method echo".into()))
    );
    assert_eq!(
        state(&report, "MQTT-3.1.0-1"),
        (State::NotTested, Some("about clients, see --client".into()))
    );
    assert_eq!(
        state(&report, "MQTT-3.3.1-6"),
        (State::NotTested, Some("no scene shows it".into()))
    );
    let (_, why) = state(&report, "MQTT-6.0.0-4");
    assert!(why.unwrap().contains("WebSocket"));
    assert!(!report.is_clean());
}

#[test]
fn a_scene_of_several_set_ups_counts_from_where_it_was_played_and_from_where_it_failed() {
    let in_default = vec![
        played(V5, &["MQTT-3.3.1-3"], Verdict::NotTested("limit".into())),
        played(V5, &["MQTT-3.3.1-2"], Verdict::Passed),
        played(V5, &["MQTT-3.3.1-5"], Verdict::Passed),
    ];
    let limited = vec![
        played(V5, &["MQTT-3.3.1-3"], Verdict::Passed),
        played(V5, &["MQTT-3.3.1-2"], failed("nothing")),
        played(V5, &["MQTT-3.3.1-5"], Verdict::NotOffered("retain".into())),
    ];
    let report = report(vec![
        Run::with_setup("default", in_default),
        Run::with_setup("limited", limited),
    ]);
    let rows: Vec<_> = report
        .rows()
        .iter()
        .map(|row| (row.state(), row.setup.unwrap()))
        .collect();
    assert_eq!(
        rows,
        [
            (State::Passed, "limited"),
            (State::Failed, "limited"),
            (State::Passed, "default")
        ]
    );
}

#[test]
fn every_statement_is_counted_once_in_its_chapter_and_in_its_version() {
    let report = report(vec![Run::new(vec![
        played(V311, &["MQTT-3.3.1-3"], Verdict::Passed),
        played(V31, &["M31-12"], failed("nothing")),
    ])]);
    for (version, statements) in [(V5, 251), (V311, 141), (V31, 59)] {
        let chapters = report.chapters(version);
        let sum: usize = chapters.iter().map(|(_, count)| count.statements()).sum();
        assert_eq!(sum, statements);
        assert_eq!(report.count(version).statements(), statements);
    }
    assert_eq!(report.count(V5).of(State::NotTested), 251);
    assert_eq!(report.count(V311).of(State::Passed), 1);
    assert_eq!(report.count(V31).of(State::Failed), 1);
    let publish = Report::new(
        Subject::Broker,
        "here",
        vec![],
        Duration::ZERO,
        |statement| statement.version == V311 && statement.id.starts_with("MQTT-3.3."),
    );
    let chapters = publish.chapters(V311);
    assert_eq!((chapters.len(), chapters[0].0), (1, "3.3 PUBLISH"));
    assert_eq!(publish.chapters(V5), []);
}

/// One of each, with what is awkward to write.
fn one_of_each() -> Report {
    report(vec![Run::with_setup(
        "limited",
        vec![
            played(V5, &["MQTT-3.3.1-3"], Verdict::Passed),
            played(
                V5,
                &["MQTT-1.5.4-2"],
                failed("PUBLISH a/b 'x\0 <&\"]]>\u{ffff}'"),
            ),
            played(
                V311,
                &["MQTT-3.3.1-5"],
                Verdict::NotOffered("\"retain\"".into()),
            ),
            played(V31, &[], Verdict::NotTested("keep".into())),
        ],
    )])
}

#[test]
fn the_json_has_every_statement_every_scene_and_every_failure() {
    let text = one_of_each().to_json();
    assert!(text.ends_with("}\n"));
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&json["subject"], &json["target"], &json["seconds"]),
        (&"broker".into(), &"mqtt://host:1".into(), &2.0.into())
    );
    let statements = json["statements"].as_array().unwrap();
    assert_eq!(statements.len(), 251 + 141 + 59);
    let passed = statements
        .iter()
        .find(|one| one["state"] == "passed")
        .unwrap();
    assert_eq!(
        (&passed["id"], &passed["version"], &passed["actor"]),
        (&"MQTT-3.3.1-3".into(), &"5.0".into(), &"server".into())
    );
    assert_eq!(passed["scenes"][0], "v5 MQTT-3.3.1-3 a title");
    let scenes = json["scenes"].as_array().unwrap();
    let verdicts: Vec<_> = scenes.iter().map(|one| one["verdict"].clone()).collect();
    assert_eq!(verdicts, ["passed", "failed", "not_offered", "not_tested"]);
    assert_eq!(
        scenes[1]["failure"]["received"],
        "PUBLISH a/b 'x\0 <&\"]]>\u{ffff}'"
    );
    assert_eq!(scenes[2]["why"], "\"retain\"");
    let chapters = json["chapters"].as_array().unwrap();
    let sum: u64 = chapters
        .iter()
        .map(|one| one["statements"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, 251 + 141 + 59);
}

#[test]
fn the_junit_file_is_well_formed_whatever_was_received() {
    let text = one_of_each().to_junit();
    let document = roxmltree::Document::parse(&text).unwrap();
    let all = document.root_element();
    assert_eq!(all.tag_name().name(), "testsuites");
    for (name, value) in [("tests", "4"), ("failures", "1"), ("skipped", "2")] {
        assert_eq!(all.attribute(name), Some(value), "{name}");
    }
    let suites: Vec<_> = all.children().filter(|node| node.is_element()).collect();
    let names: Vec<_> = suites
        .iter()
        .map(|suite| suite.attribute("name").unwrap())
        .collect();
    assert_eq!(names, ["MQTT 5.0", "MQTT 3.1.1", "MQTT 3.1"]);
    let failure = all
        .descendants()
        .find(|node| node.has_tag_name("failure"))
        .unwrap();
    assert_eq!(
        failure.attribute("message"),
        Some("expected PUBLISH a/b 'x', received PUBLISH a/b 'x\\u{0} <&\"]]>\\u{ffff}'")
    );
    assert!(failure.text().unwrap().contains("A> PUBLISH a/b 'x'\n"));
    let skipped: Vec<_> = all
        .descendants()
        .filter(|node| node.has_tag_name("skipped"))
        .map(|node| node.attribute("message").unwrap())
        .collect();
    assert_eq!(skipped, ["not offered: \"retain\"", "not tested: keep"]);
}
