//! What a broker says of itself, and the system of it.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

/// A broker that does not answer its operator for so long is stuck.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The most memory in RAM that the process has had, in bytes.
pub(super) fn resident_peak(process: u32) -> io::Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path)?;
    kibibytes(&status, "VmHWM:")
        .map(|kibibytes| kibibytes << 10)
        .ok_or_else(|| io::Error::other(format!("{path} has no VmHWM")))
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// All counters and gauges of `/metrics` by name, labels included.
pub(super) fn metrics(port: u16) -> io::Result<BTreeMap<String, u64>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.lines().next().unwrap_or_default();
    if !status.ends_with("200 OK") {
        return Err(io::Error::other(format!("answered with {status:?}")));
    }
    Ok(answer.lines().filter_map(sample).collect())
}

/// A line `name{labels} number`.
fn sample(line: &str) -> Option<(String, u64)> {
    let (name, number) = line.rsplit_once(' ')?;
    Some((name.to_owned(), number.parse().ok()?))
}

/// The members of a family with one label, by its value, without those that are 0.
pub(super) fn family(metrics: &BTreeMap<String, u64>, name: &str) -> BTreeMap<String, u64> {
    let members = metrics.iter().filter(|(_, number)| **number > 0);
    members
        .filter_map(|(member, number)| {
            let label = member.strip_prefix(name)?.strip_prefix('{')?;
            let value = label.split('"').nth(1)?;
            Some((value.to_owned(), *number))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{family, kibibytes, sample};

    #[test]
    fn a_family_is_read_by_its_label() {
        let text = "# HELP dropped Deliveries.\ndropped_total{reason=\"memory\"} 3\ndropped_total{reason=\"expired\"} 0\nother 2\n";
        let metrics = text.lines().filter_map(sample).collect();
        let dropped = family(&metrics, "dropped_total");
        assert_eq!(
            dropped.into_iter().collect::<Vec<_>>(),
            [("memory".to_owned(), 3)]
        );
    }

    #[test]
    fn the_peak_is_found_among_the_lines_of_a_process() {
        let status = "Name:\twhinchat\nVmHWM:\t   10240 kB\nVmRSS:\t    8192 kB\n";
        assert_eq!(kibibytes(status, "VmHWM:"), Some(10_240));
        assert_eq!(kibibytes(status, "VmSwap:"), None);
    }
}
