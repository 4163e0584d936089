//! How far a run has come.

use std::time::Duration;

use indicatif::ProgressBar;

use super::gauge::Gauge;
use super::load::{Load, Stop};
use crate::commands::progress::bar;

#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Hidden if asked, or if standard error is no terminal.
    pub(super) fn new(is_quiet: bool) -> Self {
        Self(bar(is_quiet, "{prefix:>24} {wide_bar} {msg}"))
    }

    /// What is being measured.
    pub(super) fn name(&self, name: String) {
        self.0.set_prefix(name);
    }

    pub(super) fn connected(&self, connected: u32, connections: u32) {
        self.0.set_length(connections.into());
        self.0.set_position(connected.into());
        if connected.is_multiple_of(64) || connected == connections {
            self.0
                .set_message(format!("{connected} of {connections} connected"));
        }
    }

    pub(super) fn published(&self, load: &Load, gauges: &[Gauge], elapsed: Duration) {
        if self.0.is_hidden() {
            return;
        }
        let sent: u64 = gauges.iter().map(Gauge::sent).sum();
        let delivered: u64 = gauges.iter().map(Gauge::delivered).sum();
        let (position, length) = match load.stop {
            Stop::Messages(messages) => (
                sent,
                u64::from(messages) * u64::from(load.topology.publishers()),
            ),
            Stop::After(duration) => (millis(elapsed), millis(duration)),
        };
        self.0.set_length(length.max(1));
        self.0.set_position(position.min(length));
        self.0
            .set_message(format!("{sent} sent, {delivered} received"));
    }

    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
