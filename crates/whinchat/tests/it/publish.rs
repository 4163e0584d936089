//! `whinchat pub` against our broker.

use std::{io::Write as _, process::Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::broker::{Broker, result};

/// Over TCP. v5 [MQTT-4.2.0-1], v311 [MQTT-7.1.2-1]
#[test]
fn lines_keep_their_order_and_the_end_waits_for_the_acks() {
    let broker = Broker::start();
    let lines: String = (0..5_000).map(|number| format!("{number}\n")).collect();
    for qos in ["0", "1", "2"] {
        let sub = broker.subscribe(&["-t", "l", "-q", qos, "-C", "5000"]);
        broker.feed(&["pub", "-t", "l", "-q", qos, "-l"], lines.as_bytes());
        let (code, stdout, stderr) = sub.wait();
        assert_eq!((code, stderr.as_str()), (0, ""));
        assert!(stdout == lines, "QoS {qos}: lost, doubled or out of order");
    }
}

#[test]
fn the_last_line_needs_no_end_and_an_empty_one_is_a_message() {
    let broker = Broker::start();
    let sub = broker.subscribe(&["-t", "l", "-F", "[%p]", "-C", "3"]);
    broker.feed(&["pub", "-t", "l", "-l"], b"a\n\nb");
    assert_eq!(sub.wait().1, "[a]\n[]\n[b]\n");
}

#[test]
fn a_payload_may_be_a_file_or_standard_input() {
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("payload");
    std::fs::write(&file, b"line\nline\n").unwrap();
    let sub = broker.subscribe(&["-t", "f", "-N", "-C", "2", "-F", "%l %x;"]);
    broker.succeed(&["pub", "-t", "f", "-f", file.to_str().unwrap()]);
    broker.feed(&["pub", "-t", "f", "-s"], b"\x00\xFF\n");
    assert_eq!(sub.wait().1, "10 6c696e650a6c696e650a;3 00ff0a;");
}

#[test]
fn a_message_is_repeated_as_often_as_asked() {
    let broker = Broker::start();
    let sub = broker.subscribe(&["-t", "r", "-C", "3"]);
    broker.succeed(&[
        "pub",
        "-t",
        "r",
        "-m",
        "x",
        "--repeat",
        "3",
        "--repeat-delay",
        "0.001",
    ]);
    assert_eq!(sub.wait().1, "x\nx\nx\n");
}

#[test]
fn debug_tells_what_became_of_the_message() {
    let broker = Broker::start();
    let (code, _, stderr) = broker.run(&[
        "pub", "-t", "nobody", "-m", "x", "-q", "1", "-d", "-i", "me",
    ]);
    assert_eq!(code, 0);
    assert!(
        stderr.contains("with MQTT 5.0, client id \"me\", new session\n"),
        "{stderr}"
    );
    assert!(
        stderr.ends_with("published: No matching subscribers\n"),
        "{stderr}"
    );
}

#[test]
fn int_ends_it_with_1_after_saying_goodbye() {
    let broker = Broker::start();
    let mut sub = broker.subscribe(&["-t", "#", "-v"]);
    let mut child = broker
        .tool(&["pub", "-t", "l", "-q", "1", "-l", "--will-topic", "lost"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"one\n").unwrap();
    assert_eq!(sub.line(), "l one");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let (code, _, stderr) = result(&child.wait_with_output().unwrap());
    assert_eq!((code, stderr.as_str()), (1, "error: interrupted\n"));
    // No will: it left with DISCONNECT.
    broker.succeed(&["pub", "-t", "next", "-m", "x", "-q", "1"]);
    assert_eq!(sub.line(), "next x");
}
