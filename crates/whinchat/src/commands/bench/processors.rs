//! Which processors a thread and what it starts may run on.

use std::str::FromStr;

use super::failure::Failure;

/// A list such as `1` or `1,3-5`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Processors(Vec<usize>);

/// The kernel's own limit for one such list.
const PROCESSOR_MAX: usize = 1023;

impl FromStr for Processors {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.parse()
                .ok()
                .filter(|number| *number <= PROCESSOR_MAX)
                .ok_or_else(|| {
                    format!("expected processors such as 1 or 1,3-5, none above {PROCESSOR_MAX}")
                })
        };
        let mut list = Vec::new();
        for part in text.split(',') {
            match part.split_once('-') {
                Some((first, last)) => list.extend(number(first)?..=number(last)?),
                None => list.push(number(part)?),
            }
        }
        if list.is_empty() {
            return Err(format!("{text} has no processor in it"));
        }
        Ok(Self(list))
    }
}

impl Processors {
    /// Keeps the calling thread, and every thread and process it starts from now on, on these.
    ///
    /// # Errors
    /// There is none of them, or this system has no such thing.
    #[cfg(target_os = "linux")]
    pub(super) fn apply(&self) -> Result<(), Failure> {
        let mut set = rustix::thread::CpuSet::new();
        for processor in &self.0 {
            set.set(*processor);
        }
        rustix::thread::sched_setaffinity(None, &set).map_err(|error| Failure::Affinity {
            list: self.to_string(),
            error: error.into(),
        })
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn apply(&self) -> Result<(), Failure> {
        Err(Failure::Affinity {
            list: self.to_string(),
            error: std::io::ErrorKind::Unsupported.into(),
        })
    }
}

impl std::fmt::Display for Processors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&list.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_numbers_and_ranges() {
        assert_eq!("1,3-5".parse(), Ok(Processors(vec![1, 3, 4, 5])));
        assert_eq!("0".parse(), Ok(Processors(vec![0])));
        for wrong in ["", "a", "1-", "3-1", "1024", "0-99999999999"] {
            assert!(wrong.parse::<Processors>().is_err(), "{wrong}");
        }
    }
}
