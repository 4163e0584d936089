//! `whinchat sub` against our broker.

use crate::broker::Broker;

#[test]
fn messages_are_printed_as_they_were_published() {
    let broker = Broker::start();
    for (version, qos) in [("31", "0"), ("311", "1"), ("5", "2")] {
        let mut sub = broker.subscribe(&[
            "-V", version, "-t", "a/+", "-t", "b/#", "-q", qos, "-v", "-C", "3",
        ]);
        broker.succeed(&["pub", "-V", version, "-q", qos, "-t", "a/x", "-m", "first"]);
        assert_eq!(sub.line(), "a/x first");
        broker.succeed(&[
            "pub",
            "-V",
            version,
            "-q",
            qos,
            "-t",
            "c",
            "-m",
            "not for us",
        ]);
        broker.succeed(&["pub", "-V", version, "-q", qos, "-t", "b", "-n"]);
        broker.succeed(&[
            "pub", "-V", version, "-q", qos, "-t", "b/y/z", "-m", "-3 °C",
        ]);
        assert_eq!(
            sub.wait(),
            (0, "b \nb/y/z -3 °C\n".into(), String::new()),
            "{version}"
        );
    }
}

#[test]
fn w_ends_with_27_and_e_with_0() {
    let broker = Broker::start();
    assert_eq!(
        broker.run(&["sub", "-t", "a", "-W", "1"]),
        (27, String::new(), String::new())
    );
    assert_eq!(broker.succeed(&["sub", "-t", "a", "-E"]), "");
}

#[test]
fn json_holds_what_was_published() {
    let broker = Broker::start();
    let sub = broker.subscribe(&["-t", "j", "-q", "1", "--json", "-C", "2"]);
    broker.succeed(&[
        "pub",
        "-t",
        "j",
        "-q",
        "1",
        "-m",
        "\"quoted\"\n\u{1}",
        "--content-type",
        "text/plain",
        "--message-expiry",
        "60",
        "--user-property",
        "b",
        "1",
        "--user-property",
        "a",
        "2",
        "-D",
        "publish",
        "user-property",
        "b",
        "3",
        "--response-topic",
        "answer",
        "--correlation-data",
        "id",
    ]);
    broker.feed(&["pub", "-t", "j", "-s"], b"\xFF\x00");
    let (code, stdout, _) = sub.wait();
    assert_eq!(code, 0);
    let mut lines = stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let text = lines.next().unwrap();
    assert_eq!(text["topic"], "j");
    assert_eq!(text["qos"], 1);
    assert_eq!(text["retain"], 0);
    assert_eq!(text["payload"], "\"quoted\"\n\u{1}");
    assert_eq!(text["payloadlen"], 10);
    let properties = &text["properties"];
    assert_eq!(properties["content-type"], "text/plain");
    assert_eq!(properties["message-expiry-interval"], 60);
    assert_eq!(properties["response-topic"], "answer");
    assert_eq!(properties["correlation-data"], "id");
    assert_eq!(
        properties["user-properties"],
        serde_json::json!([{"b": "3"}, {"b": "1"}, {"a": "2"}])
    );
    let binary = lines.next().unwrap();
    assert_eq!(binary["payload_base64"], "/wA=");
    assert_eq!(binary.get("payload"), None);
    assert_eq!(binary.get("properties"), None);
}

#[test]
fn a_format_is_followed_and_other_payloads_than_json_are_told() {
    let broker = Broker::start();
    let sub = broker.subscribe(&["-t", "f", "-F", "%t\\t%q%r%d %3l %J", "-N", "-C", "3"]);
    broker.succeed(&["pub", "-t", "f", "-m", "{\"b\": 1.0, \"a\": 2}"]);
    broker.succeed(&["pub", "-t", "f", "-m", "no json"]);
    broker.succeed(&["pub", "-t", "f", "-m", "[]"]);
    let (code, stdout, stderr) = sub.wait();
    assert_eq!(code, 0);
    assert!(stdout.starts_with("f\t000  18 {\"tst\":"), "{stdout}");
    assert!(
        stdout.contains("\"payload\":{\"b\": 1.0, \"a\": 2}}f\t000   2 {"),
        "{stdout}"
    );
    assert_eq!(stderr, "error: the payload on topic \"f\" is no JSON\n");
}

#[test]
fn retained_messages_are_told_apart_and_cleared() {
    let broker = Broker::start();
    broker.succeed(&["pub", "-t", "r/1", "-m", "old", "-r", "-q", "1"]);
    assert_eq!(
        broker.succeed(&["sub", "-t", "r/1", "-C", "1", "-F", "%p %r"]),
        "old 1\n"
    );

    let fresh = broker.subscribe(&["-t", "r/#", "-R", "-C", "1"]);
    let retained = broker.subscribe(&["-t", "r/#", "--retained-only", "-q", "1"]);
    broker.succeed(&["pub", "-t", "r/2", "-m", "new", "-q", "1"]);
    assert_eq!(fresh.wait(), (0, "new\n".into(), String::new()));
    assert_eq!(retained.wait(), (0, "old\n".into(), String::new()));

    let as_published =
        broker.subscribe(&["-t", "r/3", "--retain-as-published", "-C", "1", "-F", "%r"]);
    broker.succeed(&["pub", "-t", "r/3", "-m", "x", "-r", "-q", "1"]);
    assert_eq!(as_published.wait().1, "1\n");

    let mut cleared = broker.subscribe(&["-t", "r/#", "-T", "r/3", "--remove-retained", "-v"]);
    assert_eq!(cleared.line(), "r/1 old");
    // What clears a retained message reaches its subscribers too.
    assert_eq!(cleared.line(), "r/1 ");
    drop(cleared);
    assert_eq!(broker.run(&["sub", "-t", "r/1", "-W", "1"]).0, 27);
    assert_eq!(
        broker.succeed(&["sub", "-t", "r/3", "-C", "1"]),
        "x\n",
        "-T keeps it"
    );
}

#[test]
fn filters_can_be_left_out_of_the_output_and_unsubscribed() {
    let broker = Broker::start();
    let sub = broker.subscribe(&["-t", "#", "-T", "b/#", "-C", "2", "-v"]);
    for topic in ["a", "b", "b/c", "d"] {
        broker.succeed(&["pub", "-t", topic, "-m", "x", "-q", "1"]);
    }
    assert_eq!(sub.wait().1, "a x\nd x\n");
    assert_eq!(
        broker.run(&["sub", "-t", "a", "-U", "a"]),
        (0, String::new(), String::new())
    );
}

#[test]
fn a_kept_session_has_what_came_meanwhile() {
    let broker = Broker::start();
    for version in ["311", "5"] {
        let id = format!("keeper-{version}");
        let session = ["sub", "-V", version, "-c", "-i", &id, "-q", "1", "-t", "s"];
        broker.succeed(&[&session[..], &["-E"]].concat());
        broker.succeed(&["pub", "-t", "s", "-q", "1", "-m", "while you were out"]);
        assert_eq!(
            broker.succeed(&[&session[..], &["-C", "1"]].concat()),
            "while you were out\n"
        );
        // It was acknowledged: it does not come again.
        assert_eq!(broker.run(&[&session[..], &["-W", "1"]].concat()).0, 27);
    }
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let broker = Broker::start();
    let mut sub = broker.subscribe(&["-t", "p"]);
    broker.succeed(&["pub", "-t", "p", "-m", "one", "-q", "1"]);
    assert_eq!(sub.line(), "one");
    sub.close_stdout();
    broker.succeed(&["pub", "-t", "p", "-m", "two", "-q", "1"]);
    assert_eq!(sub.wait(), (0, String::new(), String::new()));
}

#[test]
fn a_will_is_published_when_the_tool_is_killed() {
    let broker = Broker::start();
    let mut watch = broker.subscribe(&["-t", "status/+", "-F", "%t %p %q %r %C", "-q", "1"]);
    let dying = broker.subscribe(&[
        "-t",
        "x",
        "--will-topic",
        "status/me",
        "--will-payload",
        "offline",
        "--will-qos",
        "1",
        "--will-retain",
        "-D",
        "will",
        "content-type",
        "text/plain",
    ]);
    dying.kill();
    assert_eq!(watch.line(), "status/me offline 1 0 text/plain");
    assert_eq!(
        broker.succeed(&["sub", "-t", "status/me", "-C", "1", "-F", "%p %r"]),
        "offline 1\n"
    );
}

#[test]
fn a_lost_connection_is_told_and_made_again() {
    let broker = Broker::start();
    let mut sub = broker.subscribe(&["-t", "r"]);
    let broker = broker.restart();
    let note = sub.note();
    assert!(
        note.starts_with("warning: ") && note.contains("next attempt in "),
        "{note}"
    );
    // Retained, for nothing else tells when the new broker knows the subscription.
    broker.succeed(&["pub", "-t", "r", "-m", "again", "-q", "1", "-r"]);
    assert_eq!(sub.line(), "again");
    sub.interrupt();
    let (code, _, notes) = sub.wait();
    assert_eq!(code, 0);
    assert!(notes.ends_with("connected again\n"), "{notes}");
}

#[test]
fn int_ends_it_in_order() {
    let broker = Broker::start();
    let sub = broker.subscribe(&["-t", "a"]);
    sub.interrupt();
    assert_eq!(sub.wait(), (0, String::new(), String::new()));
}

#[test]
fn a_unix_socket_and_a_url_name_the_broker_too() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("mqtt.sock");
    let broker = Broker::start_on(&format!("unix:{}", socket.display()));
    broker.succeed(&["pub", "-t", "u/v", "-m", "x", "-r", "-q", "1"]);
    let run = |arguments: &[&str]| {
        crate::broker::result(&crate::broker::whinchat(arguments).output().unwrap())
    };
    let path = socket.to_str().unwrap();
    assert_eq!(
        run(&["sub", "--unix", path, "-t", "u/v", "-C", "1"]),
        (0, "x\n".into(), String::new())
    );
    let url = format!("mqtt://127.0.0.1:{}/u/v", broker.port());
    assert_eq!(
        run(&["sub", "-L", &url, "-C", "1"]),
        (0, "x\n".into(), String::new())
    );
}
