//! `whinchat rr` against our broker.

use std::process::Stdio;

use crate::broker::{Broker, result};

#[test]
fn a_request_gets_the_response_that_belongs_to_it() {
    let broker = Broker::start();
    let mut responder = broker.subscribe(&["-t", "read/+", "-F", "%R %D %t %p"]);
    let request = broker
        .tool(&[
            "rr",
            "-t",
            "read/lab1",
            "-e",
            "answers",
            "-m",
            "now",
            "-q",
            "1",
            "-v",
            "-D",
            "publish",
            "correlation-data",
            "id-7",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(responder.line(), "answers id-7 read/lab1 now");
    broker.succeed(&[
        "pub",
        "-t",
        "answers",
        "-m",
        "another's",
        "-q",
        "1",
        "--correlation-data",
        "id-8",
    ]);
    broker.succeed(&[
        "pub",
        "-t",
        "answers",
        "-m",
        "22.5",
        "-q",
        "1",
        "--correlation-data",
        "id-7",
    ]);
    assert_eq!(
        result(&request.wait_with_output().unwrap()),
        (0, "answers 22.5\n".into(), String::new())
    );
}

#[test]
fn without_a_response_topic_one_is_made_up() {
    let broker = Broker::start();
    let mut responder = broker.subscribe(&["-t", "read", "-F", "%R"]);
    let request = broker
        .tool(&["rr", "-t", "read", "-n", "-C", "2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let topic = responder.line();
    assert!(topic.starts_with("whinchat/response/"), "{topic}");
    broker.succeed(&["pub", "-V", "311", "-t", &topic, "-m", "one"]);
    broker.succeed(&["pub", "-V", "311", "-t", &topic, "-m", "two"]);
    assert_eq!(
        result(&request.wait_with_output().unwrap()),
        (0, "one\ntwo\n".into(), String::new())
    );
}

#[test]
fn v311_has_a_response_topic_by_agreement_only() {
    let broker = Broker::start();
    let (code, _, stderr) = broker.run(&["rr", "-V", "311", "-t", "read", "-n"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("-e"), "{stderr}");
    let mut responder = broker.subscribe(&["-t", "read"]);
    let request = broker
        .tool(&[
            "rr", "-V", "311", "-t", "read", "-e", "answers", "-m", "now",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(responder.line(), "now");
    broker.succeed(&["pub", "-t", "answers", "-m", "22.5"]);
    assert_eq!(result(&request.wait_with_output().unwrap()).1, "22.5\n");
}

#[test]
fn no_response_in_time_ends_with_27() {
    let broker = Broker::start();
    assert_eq!(
        broker.run(&["rr", "-t", "nobody", "-n", "-W", "1"]),
        (27, String::new(), String::new())
    );
}
