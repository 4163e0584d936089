//! Configuration files, ours and another broker's.

use whinchat_broker::config::{Config, ConfigError, ENVIRONMENT_PREFIX};

use super::super::steps::Steps;

const FILE: &str = "whinchat.toml";

/// A text is a configuration or is refused: what is no TOML is refused, each problem names a line that is there, and a
/// comment changes nothing. Its lines as variables of the environment are read or refused as well.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let found = Config::parse(FILE, text);
    match &found {
        Ok(config) => {
            assert!(text.parse::<toml::Table>().is_ok(), "it is no TOML");
            for has_authenticator in [false, true] {
                if let Err(error) = config.check(has_authenticator) {
                    check_error(&error, text);
                }
            }
        }
        Err(error) => check_error(error, text),
    }
    let commented = format!("# {FILE}\n{text}\n# the end\n");
    if text.parse::<toml::Table>().is_ok() {
        assert_eq!(Config::parse(FILE, &commented).ok(), found.ok());
    }
    let variables = || {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (format!("{ENVIRONMENT_PREFIX}{name}").into(), value.into()))
    };
    let found = Config::load(None, variables());
    if let Err(error) = &found {
        check_error(error, text);
    }
    assert_eq!(Config::load(None, variables()), found, "read again");
}

fn check_error(error: &ConfigError, text: &str) {
    assert!(!error.problems().is_empty());
    for problem in error.problems() {
        assert!(!problem.to_string().is_empty());
        let last = text.lines().count().max(1) + 1;
        assert!(
            problem.line().is_none_or(|line| (1..=last).contains(&line)),
            "{problem}"
        );
    }
    assert!(error.problems().is_sorted_by_key(|problem| problem.line()));
}

/// Directives of Mosquitto's file.
pub(in crate::fuzzing) const DIRECTIVES: [&str; 12] = [
    "listener",
    "port",
    "allow_anonymous",
    "password_file",
    "persistence",
    "max_connections",
    "max_inflight_messages",
    "max_queued_messages",
    "log_type",
    "sys_interval",
    "connection",
    "topic",
];

/// A file of Mosquitto's directives with any values is recognised, whatever else stands in it that is no TOML, and each of
/// its lines is named. Any other text is not taken for one unless it has such a line.
pub fn mosquitto_conf(data: &[u8]) {
    let mut steps = Steps(data);
    let mut text = String::new();
    let mut expected = Vec::new();
    while let Some(step) = steps.next() {
        let value = String::from_utf8_lossy(steps.piece());
        let value = value
            .split(['\n', '\r', '=', '['])
            .next()
            .unwrap_or_default()
            .trim();
        let line = 1 + text.lines().count();
        if step & 0x80 == 0 && !value.is_empty() {
            let directive = DIRECTIVES[usize::from(step) % DIRECTIVES.len()];
            text.push_str(&format!("{directive} {value}\n"));
            expected.push(format!("line {line}: {directive}: "));
        } else {
            text.push_str(&format!("# {value}\n"));
        }
    }
    let found = Config::parse("mosquitto.conf", &text);
    let said = found
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    if !expected.is_empty() {
        assert!(
            said.contains("configuration file of Mosquitto"),
            "{text:?}: {said}"
        );
    }
    for line in expected {
        assert!(said.contains(&line), "{line:?} is not in {said}");
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Err(error) = Config::parse("mosquitto.conf", text)
        && error
            .to_string()
            .contains("configuration file of Mosquitto")
    {
        assert!(text.parse::<toml::Table>().is_err(), "it is TOML: {text:?}");
    }
}
