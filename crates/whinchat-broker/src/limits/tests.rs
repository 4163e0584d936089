//! The defaults of the catalogue, and that names and options belong together.

use std::collections::BTreeSet;

use super::*;
use crate::config::row::Section;

#[test]
fn every_limit_from_1_to_20_has_an_option() {
    let ids: BTreeSet<&str> = Limit::ALL.iter().map(|limit| limit.id()).collect();
    let all: BTreeSet<String> = (1..=20).map(|number| format!("L-{number}")).collect();
    assert_eq!(ids, all.iter().map(String::as_str).collect());
}

#[test]
fn names_and_options_are_the_same_words() {
    /// Options that say how a limit acts; the limit they belong to has its own name.
    const HOW: [&str; 4] = [
        "queue_in_memory",
        "queue_overflow",
        "takeover_period",
        "takeover_delay",
    ];
    let options: Vec<&str> = BrokerLimits::ROWS
        .iter()
        .map(|row| row.key)
        .filter(|key| !HOW.contains(key))
        .collect();
    let names: Vec<&str> = Limit::ALL.iter().map(|limit| limit.key()).collect();
    assert_eq!(options, names);
}

#[test]
fn what_a_listener_may_set_exists() {
    let options: Vec<&str> = BrokerLimits::ROWS.iter().map(|row| row.key).collect();
    for key in BrokerLimits::OF_A_LISTENER {
        assert!(options.contains(key), "{key}");
    }
}

#[test]
fn auto_is_resolved_to_numbers_that_fit_each_other() {
    let limits = BrokerLimits::default().resolved();
    assert!(limits.memory_bytes() > 0);
    assert!(limits.retained_bytes() <= limits.memory_bytes() / 4);
    assert!(limits.retained_bytes() <= 1 << 30);
    assert!(limits.connections_max() > 0);
    assert!((1..=limits.connections_max()).contains(&limits.unauthenticated_max()));
    assert_eq!(limits.resolved(), limits);
}

#[test]
fn what_is_set_is_not_replaced() {
    let mut limits = BrokerLimits {
        memory_size: Auto::Set(ByteSize::mib(400)),
        connections: Auto::Set(50),
        ..BrokerLimits::default()
    };
    assert_eq!(limits.retained_bytes(), 100 << 20);
    assert_eq!(limits.unauthenticated_max(), 5);
    limits.connections = Auto::Set(1);
    assert_eq!(
        limits.unauthenticated_max(),
        1,
        "one handshake is always possible"
    );
}
