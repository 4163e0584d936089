//! `whinchat serve`: banner, exit codes, signals, and what it tells the service manager.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A CONNECT of MQTT 3.1.1 without credentials, client id `c`, keep alive 60 s.
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c";
const CONNACK: &[u8] = b"\x20\x02\x00\x00";

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whinchat"));
    command
        .arg("serve")
        .env("WHINCHAT__ADMIN__LISTEN", "127.0.0.1:0")
        .stdin(Stdio::null());
    command
}

/// A broker that runs until it is told to stop, or until the test ends. Its usual place for data is a folder of its own.
struct Served {
    child: Child,
    data: TempDir,
    stdout: BufReader<ChildStdout>,
    banner: Vec<String>,
}

impl Served {
    /// Starts the broker and waits for its banner.
    fn start(command: &mut Command) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut child = command
            .env("STATE_DIRECTORY", data.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut banner = Vec::new();
        while banner
            .last()
            .is_none_or(|line: &String| !line.starts_with("  mosquitto_pub"))
        {
            let mut line = String::new();
            if stdout.read_line(&mut line).unwrap() == 0 {
                let mut stderr = String::new();
                child
                    .stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut stderr)
                    .unwrap();
                panic!("the broker did not start: {stderr}");
            }
            banner.push(line.trim_end().to_owned());
        }
        Self {
            child,
            data,
            stdout,
            banner,
        }
    }

    fn line(&self, beginning: &str) -> &str {
        self.banner
            .iter()
            .find_map(|line| line.strip_prefix(beginning))
            .unwrap_or_else(|| panic!("{:?}", self.banner))
    }

    fn address(&self) -> SocketAddr {
        self.line("listening on mqtt://").parse().unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// A connection whose CONNECT was accepted.
    fn connect(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.write_all(CONNECT).unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, CONNACK);
        stream
    }

    fn admin(&self, path: &str) -> String {
        let address = self.line("admin: http://").split('/').next().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Waits for the end: exit code and what was logged.
    fn wait(mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "nothing follows the banner on stdout");
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // A test that failed leaves no broker behind; one that ended well has none left.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn refused(command: &mut Command) -> (Option<i32>, String) {
    let data = tempfile::tempdir().unwrap();
    command.env("STATE_DIRECTORY", data.path());
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn the_banner_says_where_it_listens_and_how_to_try_it() {
    let served = Served::start(command().args(["--listen", "127.0.0.1:0", "--threads", "2"]));
    let port = served.address().port();
    assert_ne!(port, 0);
    let data = served.data.path().display();
    served.line(&format!("store: {data}, synced before it is acknowledged"));
    served.line(&format!(
        "  mosquitto_pub -h 127.0.0.1 -p {port} -t hello/world -m hi"
    ));
    served.connect();
    assert!(served.admin("/readyz").starts_with("HTTP/1.1 200"));
    assert!(
        served
            .admin("/metrics")
            .contains("\nwhinchat_connections_accepted_total 1\n")
    );
    served.signal(Signal::INT);
    assert_eq!(served.wait().0, Some(0));
}

#[test]
fn term_ends_it_with_0_while_clients_are_connected() {
    let served = Served::start(command().args(["--listen", "127.0.0.1:0", "--listen", "[::1]:0"]));
    let mut clients: Vec<TcpStream> = (0..20).map(|_| served.connect()).collect();
    served.signal(Signal::TERM);
    assert_eq!(served.wait().0, Some(0));
    for client in &mut clients {
        assert!(
            matches!(client.read(&mut [0]), Ok(0) | Err(_)),
            "the connection was closed"
        );
    }
}

#[test]
fn hang_up_reloads_and_never_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("whinchat.toml");
    std::fs::write(&file, "[log]\nlevel = \"info\"\n").unwrap();
    let notify = folder.path().join("notify");
    let manager = UnixDatagram::bind(&notify).unwrap();
    let told = || {
        let mut message = [0; 128];
        let length = manager.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let served = Served::start(
        command()
            .args(["--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .env("NOTIFY_SOCKET", &notify),
    );
    assert_eq!(told(), "READY=1\nSTATUS=serving\n");

    served.signal(Signal::HUP);
    assert!(told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(told(), "READY=1\nSTATUS=serving\n");
    assert!(
        served
            .admin("/metrics")
            .contains("\nwhinchat_config_reloads_total 1\n")
    );

    std::fs::write(&file, "[log]\nlevle = \"info\"\n").unwrap();
    served.signal(Signal::HUP);
    assert!(told().starts_with("RELOADING=1\n"));
    assert_eq!(told(), "READY=1\nSTATUS=serving\n");
    assert!(
        served
            .admin("/metrics")
            .contains("\nwhinchat_config_reload_errors_total 1\n")
    );
    served.connect();

    served.signal(Signal::TERM);
    assert_eq!(told(), "STOPPING=1\n");
    let (code, log) = served.wait();
    assert_eq!(code, Some(0));
    assert!(
        log.contains("unknown key log.levle; perhaps level is meant"),
        "{log}"
    );
}

/// One packet: its first byte and what stands behind its length of one byte.
fn read_packet(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut header = [0; 2];
    stream.read_exact(&mut header).unwrap();
    let mut rest = vec![0; usize::from(header[1])];
    stream.read_exact(&mut rest).unwrap();
    (header[0], rest)
}

#[test]
fn term_under_load_says_0x8b_and_ends_it_with_0() {
    let served = Served::start(
        command()
            .args(["--listen", "127.0.0.1:0", "--threads", "2"])
            .env("WHINCHAT__SHUTDOWN__DRAIN", "500ms"),
    );
    // 5.0, clean start, no keep alive; the last byte is the client id.
    let connect = |client_id: u8| {
        let mut stream = TcpStream::connect(served.address()).unwrap();
        stream
            .write_all(b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01")
            .unwrap();
        stream.write_all(&[client_id]).unwrap();
        assert_eq!(read_packet(&mut stream).0, 0x20);
        stream
    };
    let mut idle = connect(b'i');
    // Subscribes to everything and reads nothing of it.
    let mut stuck = connect(b's');
    stuck
        .write_all(b"\x82\x07\x00\x01\x00\x00\x01#\x00")
        .unwrap();
    assert_eq!(read_packet(&mut stuck).0, 0x90);
    // Publishes 1,000 bytes at QoS 0, again and again, until the broker hangs up.
    let (mut loud, payload) = (connect(b'l'), [0; 1000]);
    let (started, is_under_load) = std::sync::mpsc::channel();
    let publisher = std::thread::spawn(move || {
        let message = [&b"\x30\xec\x07\x00\x01t\x00"[..], &payload].concat();
        for number in 0_u32.. {
            if loud.write_all(&message).is_err() {
                return number;
            }
            if number == 10_000 {
                started.send(()).unwrap();
            }
        }
        u32::MAX
    });
    is_under_load.recv().unwrap();
    served.signal(Signal::TERM);
    assert_eq!(
        read_packet(&mut idle),
        (0xe0, vec![0x8b]),
        "DISCONNECT, Server shutting down"
    );
    assert_eq!(served.wait().0, Some(0));
    assert!(publisher.join().unwrap() > 10_000);
}

/// T-30
#[test]
fn without_descriptors_it_waits_with_accepting_and_serves_those_it_has() {
    let program = command();
    let mut limited = Command::new("sh");
    limited
        .args(["-c", r#"ulimit -n 40; exec "$@""#, "sh"])
        .arg(program.get_program())
        .args(program.get_args())
        .args(["--listen", "127.0.0.1:0", "--threads", "1"])
        .envs(
            program
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::null());
    let mut served = Served::start(&mut limited);
    let mut log = BufReader::new(served.child.stderr.take().unwrap());
    let mut ping = {
        let mut stream = served.connect();
        move || {
            stream.write_all(b"\xc0\x00").unwrap();
            let mut answer = [0; 2];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, *b"\xd0\x00");
        }
    };
    ping();

    // The system takes them all; the program has descriptors for some.
    let mut crowd: Vec<TcpStream> = (10..70)
        .map(|number| {
            let mut stream = TcpStream::connect(served.address()).unwrap();
            let connect = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02";
            stream.write_all(connect).unwrap();
            write!(stream, "{number}").unwrap();
            stream
        })
        .collect();
    let mut line = String::new();
    while !line.contains("cannot accept connections for a moment") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "the broker has ended");
    }
    for _ in 0..10 {
        ping();
    }

    // The last one has its turn when others have gone.
    let mut last = crowd.pop().unwrap();
    drop(crowd);
    let mut answer = [0; 4];
    last.read_exact(&mut answer).unwrap();
    assert_eq!(answer, CONNACK);
    ping();
    served.signal(Signal::TERM);
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    let pauses = rest
        .matches("cannot accept connections for a moment")
        .count();
    assert!(
        pauses < 1_000,
        "it tried again {pauses} times, at once each time"
    );
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_busy_port_ends_with_1_and_names_the_address_before_anything_else() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let notify = folder.path().join("notify");
    let manager = UnixDatagram::bind(&notify).unwrap();
    manager.set_nonblocking(true).unwrap();
    let output = command()
        .args(["--listen", "127.0.0.1:0", "--listen", &address])
        .env("NOTIFY_SOCKET", &notify)
        .env("STATE_DIRECTORY", folder.path().join("data"))
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&address), "{error}");
    assert!(output.stdout.is_empty(), "no banner says that it listens");
    let told = manager.recv(&mut [0; 128]);
    assert!(told.is_err(), "nobody was told that it is ready");
    assert!(!folder.path().join("data").exists());
}

#[test]
fn a_busy_admin_port_ends_with_1_before_the_data_is_touched() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--data-dir"]);
    let (code, error) = refused(command.arg(&data).env("WHINCHAT__ADMIN__LISTEN", &address));
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains(&address), "{error}");
    assert!(!data.exists());
}

#[test]
fn hang_up_keeps_the_connections_that_are_there() {
    let served = Served::start(command().args(["--listen", "127.0.0.1:0"]));
    let mut client = served.connect();
    for reloads in 1..=3 {
        served.signal(Signal::HUP);
        while !served
            .admin("/metrics")
            .contains(&format!("\nwhinchat_config_reloads_total {reloads}\n"))
        {}
        client.write_all(b"\xc0\x00").unwrap();
        assert_eq!(read_packet(&mut client), (0xd0, vec![]), "PINGRESP");
    }
    served.signal(Signal::TERM);
    assert_eq!(served.wait().0, Some(0));
}

#[test]
fn an_address_for_others_is_refused_with_the_line_to_add() {
    let (code, error) = refused(command().args(["--listen", "0.0.0.0:0"]));
    assert_eq!(code, Some(2));
    assert!(error.contains("anonymous = true"), "{error}");
}

/// CONNECT of `d` without Clean Session, SUBSCRIBE to `t` at QoS 1, PUBLISH of `x` to `t` at QoS 1, retained.
const CONNECT_KEPT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x00\x00\x3c\x00\x01d";
const SUBSCRIBE: &[u8] = b"\x82\x06\x00\x01\x00\x01t\x01";
const SUBACK: &[u8] = b"\x90\x03\x00\x01\x01";
const PUBLISH: &[u8] = b"\x33\x06\x00\x01t\x00\x07x";
const PUBACK: &[u8] = b"\x40\x02\x00\x07";

fn exchange(stream: &mut TcpStream, sent: &[u8], expected: &[u8]) {
    stream.write_all(sent).unwrap();
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, expected);
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let start = || {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0", "--data-dir"]);
        Served::start(command.arg(&data))
    };
    let served = start();
    served.line(&format!(
        "store: {}, synced before it is acknowledged",
        data.display()
    ));
    let mut keeper = TcpStream::connect(served.address()).unwrap();
    exchange(&mut keeper, CONNECT_KEPT, CONNACK);
    exchange(&mut keeper, SUBSCRIBE, SUBACK);
    drop(keeper);
    let mut publisher = served.connect();
    exchange(&mut publisher, PUBLISH, PUBACK);
    served.signal(Signal::KILL);
    served.wait();

    let served = start();
    let mut keeper = TcpStream::connect(served.address()).unwrap();
    exchange(&mut keeper, CONNECT_KEPT, b"\x20\x02\x01\x00");
    let mut message = [0; 8];
    keeper.read_exact(&mut message).unwrap();
    // With DUP if the end of the connection was not on disk yet: then it may have left before.
    assert_eq!(message[0] & !0x08, 0x32);
    assert_eq!(message[1..6], *b"\x06\x00\x01t\x00");
    assert_eq!(message[7], b'x');
    served.signal(Signal::TERM);
    assert_eq!(served.wait().0, Some(0));
}

#[test]
fn the_flag_wins_over_the_environment_that_over_the_file_that_over_the_usual_place() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let file = place("whinchat.toml");
    std::fs::write(&file, format!("data_dir = {:?}\n", place("of the file"))).unwrap();
    let usual = || {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0"]);
        command
    };
    let with_file = || {
        let mut command = usual();
        command.arg("--config").arg(&file);
        command
    };
    let with_variable = |value: &std::path::Path| {
        let mut command = with_file();
        command.env("WHINCHAT__DATA_DIR", value);
        command
    };
    let of_environment = place("of the environment");
    let is_kept_in = |command: &mut Command, path: &std::path::Path| {
        let kept = format!("store: {}, ", path.display());
        Served::start(command).line(&kept);
        assert!(path.join("lock").exists());
    };
    let is_in_memory = |command: &mut Command| {
        let served = Served::start(command);
        served.line("store: memory, nothing survives a restart");
        assert!(!served.data.path().join("lock").exists());
    };
    is_kept_in(&mut with_file(), &place("of the file"));
    is_kept_in(&mut with_variable(&of_environment), &of_environment);
    is_in_memory(&mut with_variable("none".as_ref()));
    let of_flag = place("of the flag");
    is_kept_in(
        with_variable("none".as_ref())
            .arg("--data-dir")
            .arg(&of_flag),
        &of_flag,
    );
    is_in_memory(with_variable(&of_environment).arg("--ephemeral"));
}

#[test]
fn a_data_directory_that_cannot_be_used_ends_with_3() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = |data: &std::path::Path| {
        let mut command = command();
        command
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data);
        command
    };
    let served = Served::start(&mut serve(&data));
    let (code, error) = refused(&mut serve(&data));
    assert_eq!(code, Some(3));
    assert!(error.contains("in use by another process"), "{error}");
    let mut publisher = served.connect();
    exchange(&mut publisher, PUBLISH, PUBACK);
    served.signal(Signal::TERM);
    served.wait();

    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&data, &link).unwrap();
    let (code, error) = refused(&mut serve(&link));
    assert_eq!(code, Some(3));
    assert!(error.contains("is a symbolic link"), "{error}");

    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (code, error) = refused(&mut serve(&file));
    assert_eq!(code, Some(3));
    assert!(error.contains("is not a directory"), "{error}");

    let segment = std::fs::OpenOptions::new()
        .write(true)
        .open(data.join("log-000000"))
        .unwrap();
    std::os::unix::fs::FileExt::write_all_at(&segment, b"XX", 20).unwrap();
    let (code, error) = refused(&mut serve(&data));
    assert_eq!(code, Some(3));
    assert!(error.contains("log-000000 is damaged at byte 0"), "{error}");
}

#[test]
fn wrong_options_end_with_2() {
    for arguments in [
        &["--threads", "0"][..],
        &["--listen", "mqtts://127.0.0.1:8883"],
        &["--config", "/nowhere/whinchat.toml"],
        &["--config", "a", "--config", "b"],
        &["--log-level", "loud"],
        &["--ephemeral", "--data-dir", "/nowhere/data"],
    ] {
        assert_eq!(
            refused(command().args(arguments)).0,
            Some(2),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_mosquitto_conf_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mosquitto.conf");
    std::fs::write(&file, "listener 1883\nallow_anonymous true\n").unwrap();
    let (code, error) = refused(command().arg("--config").arg(&file));
    assert_eq!(code, Some(2));
    assert!(
        error.contains("configuration file of Mosquitto")
            && error.contains("line 2: allow_anonymous"),
        "{error}"
    );
}

#[test]
fn variables_of_a_kubernetes_service_do_no_harm() {
    let served = Served::start(
        command()
            .args(["--listen", "127.0.0.1:0"])
            .env("WHINCHAT_PORT", "tcp://10.0.0.11:1883")
            .env("WHINCHAT_SERVICE_HOST", "10.0.0.11")
            .env("WHINCHAT_SERVICE_PORT", "1883"),
    );
    served.connect();
    served.signal(Signal::TERM);
    assert_eq!(served.wait().0, Some(0));
}

#[test]
fn a_line_break_in_a_client_id_forges_no_log_line() {
    let served = Served::start(command().args(["--listen", "127.0.0.1:0", "--log-level", "trace"]));
    let mut stream = TcpStream::connect(served.address()).unwrap();
    stream
        .write_all(b"\x10\x17\x00\x04MQTT\x04\x02\x00\x3c\x00\x0bid\nERROR me!")
        .unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    served.signal(Signal::TERM);
    let (_, log) = served.wait();
    assert!(
        !log.lines().any(|line| line.starts_with("ERROR me!")),
        "{log}"
    );
}

#[test]
fn log_lines_in_json_are_json() {
    let served = Served::start(command().args(["--listen", "127.0.0.1:0", "--log-format", "json"]));
    served.signal(Signal::TERM);
    let (_, log) = served.wait();
    assert!(!log.is_empty());
    for line in log.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            line["message"].is_string() && line["level"].is_string(),
            "{line}"
        );
    }
}
