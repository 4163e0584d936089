//! Recognises a configuration file of Mosquitto and says what its lines are called here.

use std::fmt;

/// A directive of Mosquitto's file, and what to write instead.
const DIRECTIVES: &[(&str, &str)] = &[
    (
        "listener",
        "[[listener]] with url = \"mqtt://ADDRESS:PORT\"",
    ),
    ("port", "[[listener]] with url = \"mqtt://ADDRESS:PORT\""),
    (
        "bind_address",
        "[[listener]] with url = \"mqtt://ADDRESS:PORT\"",
    ),
    (
        "socket_domain",
        "[[listener]] with an address of that family in its url",
    ),
    (
        "protocol",
        "not there yet: listeners speak MQTT over TCP and Unix sockets",
    ),
    (
        "allow_anonymous",
        "anonymous = true in a [[listener]]; a local listener needs nothing",
    ),
    (
        "password_file",
        "not there yet: the program has no login; embed the broker with an authenticator of your own",
    ),
    (
        "acl_file",
        "not there yet: embed the broker with an authorizer of your own",
    ),
    ("psk_file", "not there: TLS with pre-shared keys"),
    ("cafile", "not there yet: TLS"),
    ("certfile", "not there yet: TLS"),
    ("keyfile", "not there yet: TLS"),
    ("plugin", "not there: embed the broker and use its hooks"),
    (
        "auth_plugin",
        "not there: embed the broker and use its hooks",
    ),
    (
        "persistence",
        "nothing: it is on; data_dir = \"none\" keeps everything in memory",
    ),
    ("persistence_location", "data_dir before the first heading"),
    (
        "persistence_file",
        "nothing: the files have names of their own",
    ),
    (
        "autosave_interval",
        "nothing: what is acknowledged is saved; see ack",
    ),
    (
        "autosave_on_changes",
        "nothing: what is acknowledged is saved; see ack",
    ),
    (
        "persistent_client_expiration",
        "session_expiry_max under [limits]",
    ),
    ("max_packet_size", "packet_size under [limits]"),
    ("message_size_limit", "packet_size under [limits]"),
    ("max_keepalive", "keep_alive_max under [limits]"),
    ("max_connections", "connections under [limits]"),
    (
        "max_inflight_messages",
        "send_window and send_window_v3 under [limits]",
    ),
    ("max_queued_messages", "queue_messages under [limits]"),
    ("max_queued_bytes", "queue_size under [limits]"),
    ("max_topic_alias", "topic_alias_maximum under [limits]"),
    ("max_qos", "maximum_qos under [mqtt]"),
    ("memory_limit", "memory_size under [limits]"),
    ("retain_available", "retain_available under [mqtt]"),
    ("sys_interval", "interval under [sys]"),
    ("log_type", "level under [log]"),
    ("log_dest", "nothing: logs go to stderr"),
    ("log_timestamp", "nothing: log lines always have their time"),
    ("connection_messages", "level = \"debug\" under [log]"),
    ("set_tcp_nodelay", "nothing: it is always on"),
    ("pid_file", "nothing: the service manager knows the process"),
    ("user", "nothing: the service manager chooses the user"),
    ("include_dir", "not there: one file"),
    ("connection", "not there yet: bridges"),
    ("address", "not there yet: bridges"),
    ("topic", "not there yet: bridges"),
];

/// A line of the other file, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hint {
    pub(super) line: usize,
    directive: &'static str,
    instead: &'static str,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.directive, self.instead)
    }
}

/// What to write instead of each line, if `text` is a file of Mosquitto: a known directive is
/// followed by a space and a value, and no line is TOML.
pub(super) fn mosquitto(text: &str) -> Option<Vec<Hint>> {
    let hints: Vec<Hint> = (1..)
        .zip(text.lines())
        .filter_map(|(number, line)| hint(number, line))
        .collect();
    let is_toml = |line: &str| {
        line.starts_with('[')
            || line
                .split_once('=')
                .is_some_and(|(key, _)| is_bare_key(key))
    };
    let toml = text.lines().map(str::trim).any(is_toml);
    (!hints.is_empty() && !toml).then_some(hints)
}

fn hint(line: usize, text: &str) -> Option<Hint> {
    let (word, value) = text.trim().split_once(char::is_whitespace)?;
    if value.trim_start().starts_with('=') {
        return None;
    }
    let (directive, instead) = *DIRECTIVES
        .iter()
        .find(|(directive, _)| *directive == word)?;
    Some(Hint {
        line,
        directive,
        instead,
    })
}

fn is_bare_key(key: &str) -> bool {
    let key = key.trim();
    !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}
