//! `whinchat conformance`: what it says of our broker, of one that errs, and of none.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Stdio,
    thread,
};

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
    assert_eq!(list(&["--scene", "is not answered"]).lines().count(), 1);
    assert_eq!(list(&["--id", "*-3.12.*"]).lines().count(), 3);
    assert_eq!(
        list(&["--chapter", "3.12", "--mqtt", "5"]).lines().count(),
        2
    );
    assert!(run(&["--list"]).1.lines().count() > 10);
}

/// A server that answers each connection with these bytes, whatever it is sent.
fn peer_that_says(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    // Ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let read = stream.read(&mut [0; 1024]);
                if matches!(read, Ok(1..)) && stream.write_all(bytes).is_ok() {
                    while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {}
                }
            });
        }
    });
    url
}

#[test]
fn a_broker_that_cannot_be_judged_ends_with_1_and_why() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("mqtt://{}", free.local_addr().unwrap());
    drop(free);
    let (code, stdout, stderr) = run(&[&closed]);
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    assert!(
        stderr.starts_with(&format!("error: cannot connect to {closed}: ")),
        "{stderr}"
    );
    for (says, why) in [
        (
            &b"\x20\x02\x00\x05"[..],
            "MQTT 3.1 is answered with CONNACK 05",
        ),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "no version of MQTT is taken",
        ),
    ] {
        let url = peer_that_says(says);
        let (code, stdout, stderr) = run(&[&url, "--patience", "500ms"]);
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
        assert!(stderr.contains(&url), "{stderr}");
    }
}

#[test]
fn a_broker_that_errs_fails_the_scenes_that_show_it() {
    // It accepts every connection, and is silent then.
    let url = peer_that_says(b"\x20\x02\x00\x00");
    let (_folder, file) = scenes(PASSES);
    let (code, stdout, stderr) = run(&[&url, "--scenes", &file, "--patience", "300ms"]);
    assert_eq!((code, stderr.as_str()), (1, ""), "{stdout}");
    assert!(
        stdout.contains("failed: v311 MQTT-3.12.4-1 a PINGREQ is answered"),
        "{stdout}"
    );
    assert!(
        stdout.contains("received  nothing within 300ms"),
        "{stdout}"
    );
    assert!(
        stdout.contains("not offered: MQTT 5.0 is answered in 3.1.1: 1 scene\n"),
        "{stdout}"
    );
}

/// A broker that does not outlive a PINGREQ: whoever restarts it finds the failure where it is, and no other.
#[test]
fn a_broker_that_dies_is_started_again_and_fails_only_what_kills_it() {
    let folder = tempfile::tempdir().unwrap();
    let alive = folder.path().join("alive");
    fs::write(&alive, "").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    let is_alive = alive.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, alive) = (stream.unwrap(), is_alive.clone());
            thread::spawn(move || {
                let mut packet = [0; 1024];
                while let Ok(1..) = stream.read(&mut packet) {
                    if packet[0] == 0xc0 {
                        let _ = fs::remove_file(&alive);
                    }
                    if !alive.exists() {
                        return;
                    }
                    if packet[0] == 0x10 && stream.write_all(b"\x20\x02\x00\x00").is_err() {
                        return;
                    }
                }
            });
        }
    });
    let (_folder, file) = scenes(
        "scene a PINGREQ is answered\nv311 MQTT-3.12.4-1\nA> CONNECT clean A< CONNACK 00\nA> PINGREQ A< PINGRESP\n\
         scene a CONNECT is answered\nv311 MQTT-3.1.4-5\nneeds alone\nA> CONNECT clean A< CONNACK 00\nA> DISCONNECT\n",
    );
    let arguments = [&url, "--scenes", &file, "--jobs", "1", "--patience", "1s"];
    let (code, stdout, _) = run(&arguments);
    assert_eq!(code, 1);
    assert_eq!(stdout.matches("\nfailed: ").count(), 2, "{stdout}");
    let command = format!("touch {}", alive.display());
    let (code, stdout, stderr) = run(&[&arguments[..], &["--restart", &command]].concat());
    // Nobody is let in at the start either.
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    fs::write(&alive, "").unwrap();
    let (code, stdout, _) = run(&[&arguments[..], &["--restart", &command]].concat());
    assert_eq!(code, 1);
    assert_eq!(stdout.matches("\nfailed: ").count(), 1, "{stdout}");
    assert!(
        stdout.contains("failed: v311 MQTT-3.12.4-1 a PINGREQ is answered"),
        "{stdout}"
    );
}

#[test]
fn a_unix_socket_and_a_login_are_taken_as_by_the_other_tools() {
    let (folder, file) = scenes(PASSES);
    let socket = folder.path().join("broker.sock");
    let url = format!("unix:{}", socket.display());
    let mut broker = whinchat(&["serve", "--listen", &url])
        .env("STATE_DIRECTORY", folder.path().join("data"))
        .env("WHINCHAT__ADMIN__LISTEN", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(broker.stdout.take().unwrap()).lines();
    while !lines
        .next()
        .unwrap()
        .unwrap()
        .starts_with("listening on unix:")
    {}
    let arguments = [&url, "--scenes", &file, "-u", "me", "-P", "secret"];
    let (code, stdout, stderr) = run(&arguments);
    broker.kill().unwrap();
    broker.wait().unwrap();
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(stdout.starts_with(&format!("{url}: 2 scenes")), "{stdout}");
}

#[test]
fn a_client_that_is_started_for_each_scene_is_judged() {
    let program = env!("CARGO_BIN_EXE_whinchat");
    let command = format!("{program} sub -L {{url}} -V {{version}} -q 2 -t 'conformance/#'");
    let (code, stdout, stderr) = run(&[
        "--client",
        "--run",
        &command,
        "--chapter",
        "4.3",
        "--mqtt",
        "5",
        "--patience",
        "1s",
        "--json",
        "-",
    ]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    let json: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(json["subject"], "client");
    let state = |id: &str| {
        let statements = json["statements"].as_array().unwrap();
        let statement = statements.iter().find(|one| one["id"] == id).unwrap();
        statement["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state("MQTT-4.3.2-4"), "passed");
    assert_eq!(state("MQTT-4.3.3-11"), "passed");
    assert_eq!(state("MQTT-4.3.2-1"), "not_offered");
}

#[test]
fn a_client_that_comes_by_itself_is_told_where() {
    let (_folder, file) =
        scenes("scene a\nv311 MQTT-4.3.2-1\nC< CONNECT C> CONNACK 00\nwait 10s\n");
    let mut command = whinchat(&["conformance", "--client", "--scenes", &file]);
    let mut judge = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut notes = BufReader::new(judge.stderr.take().unwrap());
    let mut said = String::new();
    notes.read_line(&mut said).unwrap();
    let address = said
        .strip_prefix("waiting for a client at mqtt://")
        .and_then(|rest| rest.strip_suffix(", which has to connect again after each scene\n"))
        .unwrap();
    // A client that sends a message for the first time and says that it was sent before.
    let mut connections = 0;
    while let Ok(mut stream) = TcpStream::connect(address) {
        connections += 1;
        let connect = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c";
        let mut connack = [0; 4];
        if stream.write_all(connect).is_ok()
            && stream.read_exact(&mut connack).is_ok()
            && connack[3] == 0
        {
            stream.write_all(b"\x3a\x06\x00\x01a\x00\x07x").unwrap();
        }
        // Until it is the next one's turn.
        while matches!(stream.read(&mut [0; 64]), Ok(1..)) {}
    }
    let (code, stdout, _) = result(&judge.wait_with_output().unwrap());
    assert_eq!(code, 1, "{stdout}");
    assert!(connections > 1);
    assert!(
        stdout.contains("the first PUBLISH with id7 has DUP 1: MQTT-4.3.2-1"),
        "{stdout}"
    );
}

#[test]
fn a_client_that_does_not_come_ends_with_1_and_why() {
    let (code, stdout, stderr) = run(&["--client", "--run", "exit 3"]);
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    assert!(
        stderr.contains("no client connects: the client has ended with exit status: 3"),
        "{stderr}"
    );
    let (code, _, stderr) = run(&["--client", "--patience", "100ms"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("error: no client connects: "), "{stderr}");
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
        (&["--scene", "no such scene"], "no scene is left"),
        (&["--restart", "true"], "<URL>"),
        (&["--run", "true"], "--client"),
        (&["mqtt://host", "--client"], "cannot be used"),
        (&["--client", "-u", "me"], "only with the URL"),
        (&["--client", "--threads", "2"], "cannot be used"),
    ] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(why), "{arguments:?}: {stderr}");
    }
}
