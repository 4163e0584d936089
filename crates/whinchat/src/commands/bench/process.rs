//! What a process has used so far, as `/proc` of Linux tells.

use std::{fs, io, time::Duration};

/// A process by its id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    pid: u32,
}

/// Memory of a process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    /// Resident bytes.
    pub(super) rss_bytes: u64,
    /// Resident bytes, shared ones divided by those who share them. 0 where the kernel or our rights do not show it.
    pub(super) pss_bytes: u64,
}

impl Memory {
    /// The better of the two figures.
    pub(super) fn bytes(self) -> u64 {
        if self.pss_bytes > 0 {
            self.pss_bytes
        } else {
            self.rss_bytes
        }
    }
}

impl Process {
    pub(super) fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// This program.
    pub(super) fn own() -> Self {
        Self::new(std::process::id())
    }

    pub(super) fn id(self) -> u32 {
        self.pid
    }

    /// Processor time in user and system mode, of all threads that it has and had.
    ///
    /// # Errors
    /// There is no such process, or no `/proc`.
    pub(super) fn cpu(self) -> io::Result<Duration> {
        let stat = self.read("stat")?;
        let ticks = cpu_ticks(&stat).ok_or_else(|| self.unreadable("stat"))?;
        Ok(Duration::from_secs(ticks)
            / u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100))
    }

    /// # Errors
    /// There is no such process, or no `/proc`.
    pub(super) fn memory(self) -> io::Result<Memory> {
        let rss_bytes =
            kilobytes(&self.read("status")?, "VmRSS:").ok_or_else(|| self.unreadable("status"))?;
        // Not every kernel has it, and it may be for the owner only.
        let pss_bytes = self
            .read("smaps_rollup")
            .ok()
            .and_then(|rollup| kilobytes(&rollup, "Pss:"))
            .unwrap_or(0);
        Ok(Memory {
            rss_bytes,
            pss_bytes,
        })
    }

    /// Bytes that it has caused to be written to disks; `None` where our rights do not show it.
    pub(super) fn written_bytes(self) -> Option<u64> {
        let io = self.read("io").ok()?;
        let line = io
            .lines()
            .find_map(|line| line.strip_prefix("write_bytes:"))?;
        line.trim().parse().ok()
    }

    fn read(self, file: &str) -> io::Result<String> {
        let path = format!("/proc/{}/{file}", self.pid);
        fs::read_to_string(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
    }

    fn unreadable(self, file: &str) -> io::Error {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("/proc/{}/{file} has an unknown form", self.pid),
        )
    }
}

/// Fields 14 and 15; the name in field 2 may hold blanks and parentheses of its own.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn kilobytes(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_ascii_whitespace()
        .next()?
        .parse::<u64>()
        .ok()
        .map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticks_are_found_behind_a_name_with_parentheses() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 90 0 0 0 1234 66 0 0 20 0 1 0 100 1 2 3";
        assert_eq!(cpu_ticks(stat), Some(1300));
        assert_eq!(cpu_ticks("42 (cut"), None);
    }

    #[test]
    fn memory_is_given_in_bytes() {
        assert_eq!(
            kilobytes("VmPeak:\t 9 kB\nVmRSS:\t   12 kB\n", "VmRSS:"),
            Some(12 * 1024)
        );
        assert_eq!(kilobytes("VmPeak:\t 9 kB\n", "VmRSS:"), None);
    }

    #[test]
    fn this_program_can_be_read() {
        if cfg!(target_os = "linux") {
            Process::own().cpu().unwrap();
            assert!(Process::own().memory().unwrap().bytes() > 0);
            assert!(Process::own().written_bytes().is_some());
        }
    }
}
