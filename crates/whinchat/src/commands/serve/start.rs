//! Tells how far a start is: a long log takes seconds to read back, and nobody is served meanwhile.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::service_manager;
use crate::commands::{progress, store};

/// Between two words to the service manager.
const PAUSE: Duration = Duration::from_secs(1);

/// The bar, which shows itself on a terminal alone, and what moves it.
pub(super) fn progress() -> (ProgressBar, impl FnMut(u64, u64) + Send + 'static) {
    let bar = progress::bar(false, store::TEMPLATE).with_message("reading the log");
    let (bar, moves) = store::moves(bar);
    let mut told_at = Instant::now();
    let tells = move |done: u64, all: u64| {
        moves(done, all);
        if told_at.elapsed() >= PAUSE {
            told_at = Instant::now();
            service_manager::reading(done.saturating_mul(100) / all.max(1));
        }
    };
    (bar, tells)
}
