//! What of a process is in memory, as the kernel tells.

use std::error::Error;
use std::fs;

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Resident {
    /// All of it (RSS).
    pub(super) bytes: f64,
    /// What no file backs: heaps and stacks, and not the program.
    pub(super) own_bytes: f64,
}

impl Resident {
    /// Of the process with this number.
    pub(super) fn of(pid: u32) -> Result<Self, Box<dyn Error>> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        Self::parse(&status).map_err(|error| format!("{path}: {error}").into())
    }

    fn parse(status: &str) -> Result<Self, String> {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kibibytes =
                line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
            kibibytes
                .map(|kibibytes| kibibytes * 1_024.0)
                .ok_or_else(|| format!("no `{name}` with a number"))
        };
        Ok(Self {
            bytes: bytes("VmRSS:")?,
            own_bytes: bytes("RssAnon:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Resident;

    #[test]
    fn what_is_resident_is_read_from_the_status_of_a_process() {
        let status =
            "Name:\twhinchat\nVmRSS:\t    8216 kB\nRssAnon:\t    1024 kB\nRssFile:\t    7192 kB\n";
        let resident = Resident {
            bytes: 8_413_184.0,
            own_bytes: 1_048_576.0,
        };
        assert_eq!(Resident::parse(status), Ok(resident));
    }

    #[test]
    fn a_process_that_has_ended_has_no_memory_and_is_an_error() {
        // A zombie has a status, without these lines.
        assert_eq!(
            Resident::parse("Name:\twhinchat\nState:\tZ (zombie)\n"),
            Err("no `VmRSS:` with a number".to_owned())
        );
        assert!(Resident::of(u32::MAX).is_err());
    }
}
