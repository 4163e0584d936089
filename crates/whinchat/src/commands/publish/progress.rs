//! How far long input has come, on the terminal if there is one.

use std::io::{IsTerminal, stderr, stdin};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A message of more bytes takes a while to leave.
const LARGE_BYTES: usize = 1 << 20;

/// The bytes of standard input, unless it is a keyboard.
pub(super) fn of_lines(is_quiet: bool) -> ProgressBar {
    if is_quiet || !stderr().is_terminal() || stdin().is_terminal() {
        return ProgressBar::hidden();
    }
    match input_len() {
        Some(len) => with_style(
            ProgressBar::new(len),
            "{wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}",
        ),
        None => with_style(
            ProgressBar::no_length(),
            "{spinner} {bytes} {binary_bytes_per_sec} {elapsed}",
        ),
    }
}

/// Messages from one payload: nothing for a single small one.
pub(super) fn of_messages(count: u64, payload_bytes: usize, is_quiet: bool) -> ProgressBar {
    if is_quiet || !stderr().is_terminal() || (count == 1 && payload_bytes < LARGE_BYTES) {
        return ProgressBar::hidden();
    }
    let size = indicatif::BinaryBytes(payload_bytes as u64);
    let bar = with_style(
        ProgressBar::new(count),
        "{spinner} {wide_bar} {pos}/{len} of {msg} {elapsed}",
    );
    bar.set_message(size.to_string());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn with_style(bar: ProgressBar, template: &str) -> ProgressBar {
    bar.with_style(
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    )
}

/// The size of standard input, if it is a file.
fn input_len() -> Option<u64> {
    let status = rustix::fs::fstat(stdin()).ok()?;
    let is_file = rustix::fs::FileType::from_raw_mode(status.st_mode).is_file();
    u64::try_from(status.st_size).ok().filter(|_| is_file)
}
