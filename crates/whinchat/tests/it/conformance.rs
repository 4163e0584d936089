//! `whinchat conformance`: what it says of our broker, of one that errs, and of none.

use std::fs;

use serde_json::Value;

use crate::broker::{Broker, result, whinchat};

fn run(arguments: &[&str]) -> (i32, String, String) {
    let arguments = [&["conformance"], arguments].concat();
    result(&whinchat(&arguments).output().unwrap())
}

/// A folder with one file of scenes: the folder, and the path of the file.
fn scenes(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.txt");
    fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap().to_owned();
    (folder, path)
}

const PASSES: &str = "scene a PINGREQ is answered\nv5 MQTT-3.12.4-1\nv311 MQTT-3.12.4-1\n\
                      A> CONNECT clean A< CONNACK 00\nA> PINGREQ A< PINGRESP\n";
const FAILS: &str = "scene a PINGREQ is not answered\nv5 MQTT-3.12.4-1\n\
                     A> CONNECT clean A< CONNACK 00\nA> PINGREQ A< PUBACK id7\n";

#[test]
fn our_own_broker_is_judged_without_a_url() {
    let (_folder, file) = scenes(PASSES);
    for threads in ["1", "2"] {
        let (code, stdout, stderr) =
            run(&["--scenes", &file, "--chapter", "3.12", "--threads", threads]);
        assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
        let lines: Vec<_> = stdout.lines().collect();
        assert!(lines[0].starts_with("whinchat "), "{stdout}");
        assert!(lines[0].contains(": 2 scenes in "), "{stdout}");
        assert_eq!(
            lines[1..],
            [
                "",
                "MQTT 5.0      statements  passed  failed  not offered  not tested",
                "3.12 PINGREQ           1       1       -            -           -",
                "",
                "MQTT 3.1.1    statements  passed  failed  not offered  not tested",
                "3.12 PINGREQ           1       1       -            -           -",
            ]
        );
    }
}

#[test]
fn a_failure_is_shown_with_what_was_sent_expected_and_received() {
    let broker = Broker::start();
    let (_folder, file) = scenes(&[PASSES, FAILS].concat());
    let url = format!("mqtt://127.0.0.1:{}", broker.port());
    let (code, stdout, stderr) = run(&[&url, "--scenes", &file, "--mqtt", "5"]);
    assert_eq!((code, stderr.as_str()), (1, ""), "{stdout}");
    let at = stdout.find("failed: ").unwrap();
    assert_eq!(
        stdout[at..],
        format!(
            "failed: v5 MQTT-3.12.4-1 a PINGREQ is not answered\n  \
               at        {file}:6, line 9\n  \
               step      A< PUBACK id7\n  \
               sent      PINGREQ\n  \
               expected  PUBACK id7\n  \
               received  PINGRESP   (PINGRESP instead of PUBACK)\n"
        ),
        "{stdout}"
    );
    let (_, stdout, _) = run(&[&url, "--scenes", &file, "--mqtt", "5", "--verbose"]);
    assert!(stdout.contains("            A< CONNACK 00"), "{stdout}");
}

#[test]
fn the_report_is_written_as_json_and_as_junit() {
    let (folder, file) = scenes(&[PASSES, FAILS].concat());
    let junit = folder.path().join("report.xml");
    let (code, stdout, _) = run(&[
        "--scenes",
        &file,
        "--json",
        "-",
        "--junit",
        junit.to_str().unwrap(),
    ]);
    assert_eq!(code, 1);
    let json: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(json["statements"].as_array().unwrap().len(), 251 + 141 + 59);
    let failed: Vec<_> = json["scenes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|scene| scene["verdict"] == "failed")
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["failure"]["expected"], "PUBACK id7");
    let junit = fs::read_to_string(junit).unwrap();
    assert_eq!(junit.matches("<testcase ").count(), 3, "{junit}");
    assert_eq!(junit.matches("<failure ").count(), 1, "{junit}");
}

#[test]
fn the_list_has_the_scenes_that_the_filters_leave() {
    let (_folder, file) = scenes(&[PASSES, FAILS].concat());
    let list = |arguments: &[&str]| {
        let (code, stdout, stderr) = run(&[&["--list", "--scenes", &file], arguments].concat());
        assert_eq!((code, stderr.as_str()), (0, ""));
        stdout
    };
    let answered = "MQTT-3.12.4-1 a PINGREQ is answered\n";
    assert_eq!(list(&["--mqtt", "3.1.1"]), format!("v311 {answered}"));
    assert_eq!(list(&["--id", "*-3.12.*"]).lines().count(), 3);
    assert_eq!(
        list(&["--chapter", "3.12", "--mqtt", "5"]).lines().count(),
        2
    );
    assert!(run(&["--list"]).1.lines().count() > 10);
}

#[test]
fn what_is_asked_for_wrongly_is_said() {
    let (folder, wrong) = scenes("scene a\nv5\nA> PINGREK\n");
    let missing = folder.path().join("missing.txt");
    for (arguments, why) in [
        (&["--id", "MQTT-9.*"][..], "--id MQTT-9.*: no statement"),
        (
            &["--chapter", "9.9"],
            "--chapter 9.9: there is none; there are 1.5, 2.1,",
        ),
        (&["--mqtt", "4"], "'4'"),
        (&["--scenes", &wrong], "own.txt:3: `PINGREK` is no packet"),
        (&["--scenes", missing.to_str().unwrap()], "missing.txt"),
        (&["--json", "-", "--junit", "-"], "cannot both"),
        (&["--with", "method"], "<URL>"),
        (&["mqtt://host", "--threads", "2"], "cannot be used"),
        (&["mqtt://host?a=b"], "no options such as a="),
        (&["mqtts://host"], "mqtts"),
        (&["--patience", "soon"], "soon"),
    ] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(why), "{arguments:?}: {stderr}");
    }
}
