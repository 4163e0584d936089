//! Wrong usage, and brokers that are not there or refuse: exit codes that scripts rely on.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
};

use crate::broker::{result, whinchat};

fn run(arguments: &[&str]) -> (i32, String, String) {
    result(&whinchat(arguments).output().unwrap())
}

#[test]
fn wrong_usage_ends_with_2_and_says_why() {
    for (arguments, why) in [
        (&["sub"][..], "a topic filter is missing"),
        (&["sub", "-t", "a/#/b"], "'a/#/b'"),
        (&["sub", "-t", "a", "-C", "0"], "'0'"),
        (&["sub", "-t", "a", "-q", "3"], "'3'"),
        (&["sub", "-t", "a", "-F", "%m"], "%m is not known"),
        (&["sub", "-t", "a", "-V", "4"], "'4'"),
        (&["sub", "-t", "a", "-c"], "needs a client id"),
        (
            &["sub", "-t", "a", "-R", "--retained-only"],
            "--retained-only",
        ),
        (&["sub", "-t", "a", "--json", "-v"], "--json"),
        (&["sub", "-L", "mqtts://localhost/a"], "mqtts"),
        (&["sub", "-t", "a", "--will-retain"], "--will-topic"),
        (&["sub", "-t", "a", "--unknown"], "--unknown"),
        (&["pub", "-t", "a"], "a payload is missing"),
        (&["pub", "-m", "x"], "a topic is missing"),
        (&["pub", "-t", "a/+", "-m", "x"], "a/+"),
        (&["pub", "-t", "a", "-m", "x", "-n"], "cannot be used"),
        (&["pub", "-t", "a", "-m", "x", "-l"], "cannot be used"),
        (&["pub", "-t", "a", "-f", "/nonexistent"], "/nonexistent"),
        (
            &["pub", "-t", "a", "-n", "-D", "publish", "topic-alias", "1"],
            "topic-alias",
        ),
        (
            &[
                "pub",
                "-t",
                "a",
                "-n",
                "-D",
                "publish",
                "user-property",
                "1",
            ],
            "expected 2",
        ),
        (
            &[
                "pub",
                "-t",
                "a",
                "-n",
                "-V",
                "311",
                "-D",
                "publish",
                "content-type",
                "x",
            ],
            "-V 5",
        ),
        (&["rr", "-t", "a"], "a payload is missing"),
        (&["bench"], "SCENARIO"),
        (&["bench", "p2p", "-s", "15"], "16 bytes"),
        (
            &["bench", "p2p", "--subscribers", "2"],
            "--subscribers has no meaning for p2p",
        ),
        (&["bench", "idle", "-m", "5"], "idle has no messages"),
        (
            &["bench", "p2p", "--rate", "1", "--unbounded"],
            "cannot be used",
        ),
    ] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(why), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_bare_h_names_the_host_and_points_to_help() {
    for tool in ["pub", "sub", "rr"] {
        for arguments in [&[tool, "-t", "a", "-n", "-h"][..], &[tool, "-h"]] {
            if tool == "sub" && arguments.contains(&"-n") {
                continue;
            }
            let (code, _, stderr) = run(arguments);
            assert_eq!(code, 2, "{arguments:?}");
            assert_eq!(
                stderr, "error: -h names the broker's host; for help use --help\n",
                "{arguments:?}"
            );
        }
        let (code, stdout, _) = run(&[tool, "--help"]);
        assert_eq!(code, 0);
        assert!(stdout.contains("--protocol-version"), "{stdout}");
        assert_eq!(run(&[tool, "--version"]).0, 0);
    }
}

#[test]
fn no_broker_ends_with_1_and_names_the_address() {
    // Bound and never listening: nobody else gets the port meanwhile, and connecting to it fails.
    let socket = socket_without_listener();
    let port = socket.1.to_string();
    for arguments in [
        &["sub", "-p", &port, "-t", "a"][..],
        &["pub", "-p", &port, "-t", "a", "-n"],
        &["rr", "-p", &port, "-t", "a", "-n"],
    ] {
        let (code, _, stderr) = run(arguments);
        assert_eq!(code, 1, "{arguments:?}");
        assert!(stderr.contains(&port), "{stderr}");
        let (code, _, stderr) = run(&[arguments, &["--quiet"]].concat());
        assert_eq!((code, stderr.as_str()), (1, ""));
    }
    let url = format!("127.0.0.1:{port}");
    let (code, _, stderr) = run(&["bench", "p2p", &url]);
    assert_eq!(code, 1);
    assert!(stderr.contains(&port), "{stderr}");
}

fn socket_without_listener() -> (rustix::fd::OwnedFd, u16) {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&fd, &std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    let name = std::net::SocketAddrV4::try_from(getsockname(&fd).unwrap()).unwrap();
    (fd, name.port())
}

/// Answers one CONNECT with these bytes.
fn refuse_once(connack: &'static [u8]) -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let thread = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let read = client.read(&mut [0; 256]).unwrap();
        assert!(read > 0);
        client.write_all(connack).unwrap();
        // Until the client has read the answer and left.
        let _ = client.read(&mut [0; 256]);
    });
    (port, thread)
}

#[test]
fn a_refused_connection_ends_with_the_connack_code() {
    for (version, connack, code, why) in [
        ("311", &b"\x20\x02\x00\x05"[..], 5, "Not authorized"),
        ("31", b"\x20\x02\x00\x02", 2, "Client Identifier not valid"),
        ("5", b"\x20\x03\x00\x87\x00", 135, "Not authorized"),
    ] {
        let (port, thread) = refuse_once(connack);
        let (found, _, stderr) = run(&["pub", "-p", &port, "-V", version, "-t", "a", "-n"]);
        thread.join().unwrap();
        assert_eq!(found, code, "{version}: {stderr}");
        assert!(stderr.contains(why), "{stderr}");
    }
}

#[test]
fn a_clear_text_password_off_this_machine_is_warned_of() {
    // 0.0.0.0 is no loopback address, and connecting to it stays on this machine.
    let (port, thread) = refuse_once(b"\x20\x02\x00\x04");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "secret\nsecond line\n").unwrap();
    let arguments = [
        "pub", "-V", "311", "-h", "0.0.0.0", "-p", &port, "-t", "a", "-n", "-u", "me",
    ];
    let (code, _, stderr) =
        run(&[&arguments[..], &["--password-file", file.to_str().unwrap()]].concat());
    thread.join().unwrap();
    assert_eq!(code, 4);
    assert!(
        stderr.starts_with("warning: the password goes to 0.0.0.0 in clear text\n"),
        "{stderr}"
    );
    assert!(
        !stderr.contains("-P") && !stderr.contains("secret"),
        "{stderr}"
    );

    let (port, thread) = refuse_once(b"\x20\x02\x00\x04");
    let arguments = [
        "pub", "-V", "311", "-h", "0.0.0.0", "-p", &port, "-t", "a", "-n", "-u", "me", "-P",
        "secret",
    ];
    let (_, _, stderr) = run(&arguments);
    thread.join().unwrap();
    assert!(
        stderr.contains("the password of -P; --password-file and WHINCHAT_PASSWORD hide it"),
        "{stderr}"
    );
    assert!(!stderr.contains("secret"), "{stderr}");

    let (port, thread) = refuse_once(b"\x20\x02\x00\x04");
    let (_, _, stderr) = run(&[
        "pub",
        "-V",
        "311",
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-t",
        "a",
        "-n",
        "-u",
        "me",
        "-P",
        "x",
    ]);
    thread.join().unwrap();
    assert!(!stderr.contains("warning"), "{stderr}");
}

/// What a CONNECT of 3.1.1 has behind its client id.
#[track_caller]
fn credentials_sent(arguments: &[&str], password: Option<&str>) -> Vec<u8> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let thread = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut connect = vec![0; 256];
        let read = client.read(&mut connect).unwrap();
        connect.truncate(read);
        connect
    });
    let mut command = whinchat(&["pub", "-V", "311", "-i", "c", "-p", &port, "-t", "a", "-n"]);
    command.args(arguments);
    if let Some(password) = password {
        command.env("WHINCHAT_PASSWORD", password);
    }
    assert_eq!(command.output().unwrap().status.code(), Some(1));
    let connect = thread.join().unwrap();
    // Fixed header 2, "MQTT" 6, level, flags, keep alive 2, client id 3.
    connect[15..].to_vec()
}

#[test]
fn a_password_comes_from_the_option_the_file_or_the_environment_in_this_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "from file\r\n").unwrap();
    let file = file.to_str().unwrap();
    let environment = Some("from environment");
    assert_eq!(
        credentials_sent(&["-u", "me", "-P", "given"], environment),
        b"\0\x02me\0\x05given"
    );
    assert_eq!(
        credentials_sent(&["-u", "me", "--password-file", file], environment),
        b"\0\x02me\0\x09from file"
    );
    assert_eq!(
        credentials_sent(&["-u", "me"], environment),
        b"\0\x02me\0\x10from environment"
    );
    assert_eq!(credentials_sent(&["-u", "me"], None), b"\0\x02me");
    assert_eq!(
        credentials_sent(&[], environment),
        b"",
        "a password without a user name was meant for another call"
    );
}
