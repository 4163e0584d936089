//! What this machine gives the process: memory and file descriptors.

use std::{fs, path::Path};

use rustix::process::{Resource, getrlimit};

/// Assumed where the system says nothing.
const MEMORY_BYTES_UNKNOWN: u64 = 2 << 30;
const DESCRIPTORS_UNKNOWN: u64 = 1024;

/// The machine's memory, or the limit of the control group if that is less.
pub(super) fn memory_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| bytes_of_line(&text, "MemTotal:"));
    let group = fs::read_to_string("/proc/self/cgroup")
        .ok()
        .and_then(|text| group_limit(&text));
    machine
        .into_iter()
        .chain(group)
        .min()
        .unwrap_or(MEMORY_BYTES_UNKNOWN)
}

/// File descriptors the process may have open.
pub(super) fn descriptors_max() -> u64 {
    getrlimit(Resource::Nofile)
        .current
        .unwrap_or(DESCRIPTORS_UNKNOWN)
}

/// The line of a file in /proc that begins with `name` and counts in KiB.
pub(crate) fn bytes_of_line(file: &str, name: &str) -> Option<u64> {
    let line = file.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

/// The least `memory.max` from the process's own group up to the root; cgroup version 2, then 1.
fn group_limit(cgroup: &str) -> Option<u64> {
    let v2 = cgroup
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .map(|group| {
            let root = Path::new("/sys/fs/cgroup");
            let own = root.join(group);
            own.ancestors()
                .take_while(|folder| folder.starts_with(root))
                .filter_map(|folder| read_bytes(&folder.join("memory.max")))
                .min()
        });
    v2.flatten()
        .or_else(|| read_bytes(Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes")))
}

/// `None` also for the word `max`.
fn read_bytes(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_in_bytes() {
        assert_eq!(
            bytes_of_line("MemTotal:       16 kB\nMemFree: 1 kB\n", "MemTotal:"),
            Some(16 << 10)
        );
        assert_eq!(bytes_of_line("MemFree: 1 kB\n", "MemTotal:"), None);
        assert_eq!(
            bytes_of_line("MemTotal: 99999999999999999999 kB", "MemTotal:"),
            None
        );
    }

    #[test]
    fn the_machine_gives_something() {
        assert!(memory_bytes() > 0);
        assert!(descriptors_max() > 0);
    }
}
