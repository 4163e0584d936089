//! The admin port over raw sockets.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use super::*;

struct Port {
    admin: Admin,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

fn open() -> Port {
    let metrics = Arc::new(Metrics::new(2));
    let readiness = Arc::new(Readiness::default());
    let admin = Admin::start(
        Admin::bind(LoopbackAddr::v4(0)).unwrap(),
        Arc::clone(&metrics),
        Arc::clone(&readiness),
    )
    .unwrap();
    Port {
        admin,
        metrics,
        readiness,
    }
}

impl Port {
    /// Sends raw bytes and reads until the port closes the connection.
    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.admin.local_addr()).unwrap();
        // The port may have answered and closed before it has read everything.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn get(&self, path: &str) -> String {
        self.raw(
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        )
    }

    #[track_caller]
    fn expect(&self, request: &str, status: &str) {
        let answer = self.raw(request.as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request:?} gave {answer:?}"
        );
    }
}

#[test]
fn metrics_are_given_as_open_metrics() {
    let port = open();
    port.metrics.shard(0).connections_accepted.add(2);
    port.metrics.shard(1).connections_accepted.add(3);
    let answer = port.get("/metrics");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains("content-type: application/openmetrics-text"),
        "{answer}"
    );
    assert!(
        answer.contains("\nwhinchat_connections_accepted_total 5\n"),
        "{answer}"
    );
    assert!(answer.ends_with("# EOF\n"), "{answer}");
}

#[test]
fn it_is_ready_only_between_start_and_drain() {
    let port = open();
    assert!(port.get("/healthz").starts_with("HTTP/1.1 200"));
    let starting = port.get("/readyz");
    assert!(
        starting.starts_with("HTTP/1.1 503") && starting.ends_with("starting\n"),
        "{starting}"
    );
    port.readiness.set_ready();
    assert!(port.get("/readyz").starts_with("HTTP/1.1 200"));
    port.readiness.set_draining();
    port.readiness.set_ready();
    let draining = port.get("/readyz");
    assert!(
        draining.starts_with("HTTP/1.1 503") && draining.ends_with("draining\n"),
        "{draining}"
    );
}

#[test]
fn a_foreign_host_is_refused() {
    let port = open();
    for host in [
        "evil.example",
        "evil.example:9883",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "[::2]",
        "",
    ] {
        port.expect(
            &format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
            "403",
        );
    }
    port.expect(
        "GET /metrics HTTP/1.0\r\n\r\n"
            .replace("1.0", "1.1\r\nConnection: close")
            .as_str(),
        "403",
    );
    port.expect(
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "403",
    );
    port.expect(
        "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "403",
    );
    assert_eq!(port.metrics.shared().admin_requests_refused.value(), 10);
}

#[test]
fn names_of_this_machine_are_served() {
    let port = open();
    for host in [
        "localhost",
        "LocalHost:1",
        "127.0.0.1:9883",
        "127.1.2.3",
        "[::1]",
        "[::1]:9883",
    ] {
        port.expect(
            &format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
            "200",
        );
    }
}

#[test]
fn only_get_and_only_the_three_paths() {
    let port = open();
    for method in ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE"] {
        port.expect(
            &format!("{method} /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
            "405",
        );
    }
    for path in [
        "/",
        "/metrics/",
        "/../metrics",
        "//metrics",
        "/%6detrics",
        "/metrics%00",
        "*",
    ] {
        port.expect(
            &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
            "404",
        );
    }
    assert!(
        port.get("/healthz?verbose").starts_with("HTTP/1.1 200"),
        "a query means nothing"
    );
}

#[test]
fn a_header_that_is_too_large_is_refused() {
    let port = open();
    let long = "x".repeat(HEADER_BYTES_MAX + 1);
    port.expect(
        &format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"),
        "431",
    );
}

#[test]
fn what_is_not_http_is_refused() {
    let port = open();
    port.expect(
        "\u{10}\u{c}\u{0}\u{4}MQTT\u{5}\u{2}\u{0}\u{0}\r\n\r\n",
        "400",
    );
    assert!(port.get("/healthz").starts_with("HTTP/1.1 200"));
}

#[test]
fn idle_connections_do_not_keep_it_from_closing() {
    let port = open();
    let address = port.admin.local_addr();
    let mut idle: Vec<TcpStream> = (0..CONNECTIONS_MAX + 4)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    drop(port.admin);
    for stream in &mut idle {
        // The end of the stream or a reset: both say closed.
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    }
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_busy_port_is_an_error() {
    let port = open();
    let busy = LoopbackAddr::new(port.admin.local_addr()).unwrap();
    let error = Admin::bind(busy).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}
