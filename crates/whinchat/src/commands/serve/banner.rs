//! What `serve` says on stdout once it listens.

use std::{fmt::Write as _, net::SocketAddr, path::Path};

use whinchat_broker::config::{Ack, AcksConfig};
use whinchat_transport::Endpoint;

/// One line per listener, what is kept, where the admin port is, and two commands to try.
pub(super) fn text(
    listeners: &[Endpoint],
    admin: Option<SocketAddr>,
    data: Option<&Path>,
    ack: Ack,
    acks: &AcksConfig,
) -> String {
    let mut text = format!("whinchat {}\n", env!("CARGO_PKG_VERSION"));
    for listener in listeners {
        line(&mut text, format_args!("listening on {listener}"));
    }
    match data {
        Some(path) => {
            let when = match ack {
                Ack::Memory => "acknowledged from memory, written and synced within a second",
                Ack::Written => "written before it is acknowledged, synced within a second",
                Ack::Synced | _ => "synced before it is acknowledged",
            };
            line(&mut text, format_args!("store: {}, {when}", path.display()));
        }
        None => text.push_str("store: memory, nothing survives a restart\n"),
    }
    for (level, filters) in [
        (Ack::Memory, &acks.memory),
        (Ack::Written, &acks.written),
        (Ack::Synced, &acks.synced),
    ] {
        let topics: Vec<_> = filters.iter().map(|filter| filter.as_str()).collect();
        if !topics.is_empty() {
            let topics = topics.join(", ");
            line(&mut text, format_args!("ack of {topics}: {}", level.word()));
        }
    }
    if let Some(address) = admin {
        line(
            &mut text,
            format_args!("admin: http://{address}/metrics, /healthz and /readyz"),
        );
    }
    if let Some(place) = listeners.iter().find_map(place) {
        let program = program();
        text.push_str("try it, in two terminals:\n");
        line(
            &mut text,
            format_args!("  {program} sub {place} -t 'hello/#'"),
        );
        line(
            &mut text,
            format_args!("  mosquitto_pub {place} -t hello/world -m hi"),
        );
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing into a String does not fail");
}

/// The options with which Mosquitto's tools and ours reach a listener over TCP; an address that
/// stands for all is reached by the loopback one.
fn place(listener: &Endpoint) -> Option<String> {
    let Endpoint::Tcp { host, port } = listener else {
        return None;
    };
    let host = match host.as_str() {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    Some(format!("-h {host} -p {port}"))
}

/// How this program was called, so that the command works from the same folder.
fn program() -> String {
    let called = std::env::args_os().next();
    let called = called.as_deref().map(Path::new).and_then(Path::to_str);
    called
        .filter(|path| !path.contains(char::is_whitespace))
        .unwrap_or("whinchat")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use whinchat_broker::config::Config;

    use super::*;

    #[test]
    fn each_listener_has_its_line() {
        let listeners = [
            Endpoint::unix("/run/w.sock"),
            Endpoint::tcp("0.0.0.0", 1884),
            Endpoint::tcp("::1", 1883),
        ];
        let admin = Some(SocketAddr::from(([127, 0, 0, 1], 9883)));
        let all = AcksConfig::default();
        let text = text(&listeners, admin, None, Ack::Memory, &all);
        for line in [
            "listening on unix:/run/w.sock",
            "listening on mqtt://0.0.0.0:1884",
            "listening on mqtt://[::1]:1883",
            "store: memory, nothing survives a restart",
            "admin: http://127.0.0.1:9883/metrics, /healthz and /readyz",
            "  mosquitto_pub -h 127.0.0.1 -p 1884 -t hello/world -m hi",
        ] {
            assert!(text.lines().any(|own| own == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn the_level_of_acks_is_told() {
        let config =
            Config::parse("test", "[acks]\nmemory = [\"a/#\", \"b\"]").expect("a configuration");
        let path = Some(Path::new("/var/lib/w"));
        for (ack, line) in [
            (Ack::Synced, "synced before it is acknowledged"),
            (
                Ack::Written,
                "written before it is acknowledged, synced within a second",
            ),
            (
                Ack::Memory,
                "acknowledged from memory, written and synced within a second",
            ),
        ] {
            let text = text(&[], None, path, ack, &config.acks);
            assert!(
                text.contains(&format!("\nstore: /var/lib/w, {line}\n")),
                "{text}"
            );
            assert!(text.contains("\nack of a/#, b: memory\n"), "{text}");
        }
    }

    #[test]
    fn without_a_port_there_is_nothing_to_try() {
        let listeners = [Endpoint::unix("/run/w.sock")];
        let text = text(&listeners, None, None, Ack::Memory, &AcksConfig::default());
        assert!(!text.contains("try it"), "{text}");
    }
}
