//! Opening a stream to an [`Endpoint`].
//!
//! A host name may have several addresses, and some may lead nowhere. They are tried in the resolver's order with the families
//! taking turns; the next one starts when the last failed or after a short while, and the first that answers wins (the idea of
//! RFC 8305).

use std::{collections::VecDeque, fmt, future, io, net::SocketAddr, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpStream, UnixStream, lookup_host},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{Endpoint, Stream};

/// How long one address has before the next is tried beside it.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// Between two keep-alive probes once they have begun.
const KEEP_ALIVE_PROBE_INTERVAL: Duration = Duration::from_secs(60);

/// How to open a stream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DialOptions {
    /// How long name resolution and connecting may take together. Default: 30 s.
    pub timeout: Duration,
    /// Whether small writes leave at once (TCP_NODELAY). Default: true.
    pub tcp_no_delay: bool,
    /// After how much silence TCP begins to ask whether the peer still exists; `None` is never. Default: 10 min.
    pub tcp_keep_alive: Option<Duration>,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            tcp_no_delay: true,
            tcp_keep_alive: Some(Duration::from_secs(600)),
        }
    }
}

impl DialOptions {
    /// Sets [`timeout`](Self::timeout).
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets [`tcp_no_delay`](Self::tcp_no_delay).
    #[must_use]
    pub fn with_tcp_no_delay(mut self, no_delay: bool) -> Self {
        self.tcp_no_delay = no_delay;
        self
    }

    /// Sets [`tcp_keep_alive`](Self::tcp_keep_alive).
    #[must_use]
    pub fn with_tcp_keep_alive(mut self, after: Option<Duration>) -> Self {
        self.tcp_keep_alive = after;
        self
    }
}

/// Opens a stream to `endpoint`. Dropping the future gives up and closes whatever was opened.
///
/// # Errors
/// The name has no address, nobody answers at any, or the time is up.
pub async fn dial(endpoint: &Endpoint, options: &DialOptions) -> Result<Stream, DialError> {
    let failed = |reason| DialError {
        endpoint: endpoint.clone(),
        reason,
    };
    let connected = timeout(options.timeout, async {
        Ok(match endpoint {
            Endpoint::Tcp { host, port } => Stream::Tcp(dial_tcp(host, *port, options).await?),
            Endpoint::Unix { path } => {
                Stream::Unix(UnixStream::connect(path).await.map_err(DialReason::Io)?)
            }
        })
    });
    match connected.await {
        Ok(result) => result.map_err(failed),
        Err(_) => Err(failed(DialReason::TimedOut(options.timeout))),
    }
}

async fn dial_tcp(host: &str, port: u16, options: &DialOptions) -> Result<TcpStream, DialReason> {
    let addresses = lookup_host((host, port))
        .await
        .map_err(DialReason::Resolve)?;
    let tcp = first_to_answer(families_in_turn(addresses)).await?;
    set_tcp_options(
        SockRef::from(&tcp),
        options.tcp_no_delay,
        options.tcp_keep_alive,
    )
    .map_err(DialReason::Io)?;
    Ok(tcp)
}

async fn first_to_answer(mut addresses: VecDeque<SocketAddr>) -> Result<TcpStream, DialReason> {
    let mut attempts = JoinSet::new();
    let mut failures = Vec::new();
    loop {
        if let Some(address) = addresses.pop_front() {
            attempts.spawn(async move {
                TcpStream::connect(address)
                    .await
                    .map_err(|error| (address, error))
            });
        }
        if attempts.is_empty() {
            return Err(if failures.is_empty() {
                DialReason::NoAddress
            } else {
                DialReason::Connect(failures)
            });
        }
        let next_may_start = async {
            if addresses.is_empty() {
                future::pending::<()>().await;
            }
            sleep(NEXT_ADDRESS_AFTER).await;
        };
        tokio::select! {
            Some(attempt) = attempts.join_next() => match attempt {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(failure)) => failures.push(failure),
                Err(join) => return Err(DialReason::Io(io::Error::other(join))),
            },
            () = next_may_start => {}
        }
    }
}

fn families_in_turn(addresses: impl Iterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let (mut first, mut second) = (VecDeque::new(), VecDeque::new());
    let mut first_is_v6 = None;
    for address in addresses {
        if address.is_ipv6() == *first_is_v6.get_or_insert(address.is_ipv6()) {
            first.push_back(address);
        } else {
            second.push_back(address);
        }
    }
    let mut in_turn = VecDeque::with_capacity(first.len() + second.len());
    while !first.is_empty() || !second.is_empty() {
        in_turn.extend(first.pop_front());
        in_turn.extend(second.pop_front());
    }
    in_turn
}

/// What the system holds of a stream that the network has not taken. Without a bound it is 4 MiB for each peer that reads
/// nothing; a thousand of them take the memory that TCP may have in all, and then everybody's packets are late.
/// What is on its way is not bounded by this, so a fast or distant peer gets as much per second.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_IN_KERNEL: u32 = 128 * 1024;

pub(crate) fn set_tcp_options(
    tcp: SockRef<'_>,
    no_delay: bool,
    keep_alive: Option<Duration>,
) -> io::Result<()> {
    if no_delay {
        tcp.set_tcp_nodelay(true)?;
    }
    if let Some(after) = keep_alive {
        let probes = TcpKeepalive::new()
            .with_time(after)
            .with_interval(KEEP_ALIVE_PROBE_INTERVAL);
        tcp.set_tcp_keepalive(&probes)?;
    }
    #[cfg(target_os = "linux")]
    tcp.set_tcp_notsent_lowat(UNSENT_BYTES_IN_KERNEL)?;
    Ok(())
}

/// Why no stream could be opened. The message names the endpoint and each address that was tried.
#[derive(Debug)]
pub struct DialError {
    endpoint: Endpoint,
    reason: DialReason,
}

#[derive(Debug)]
enum DialReason {
    Resolve(io::Error),
    NoAddress,
    Connect(Vec<(SocketAddr, io::Error)>),
    Io(io::Error),
    TimedOut(Duration),
}

impl DialError {
    /// Where it was to go.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The nearest [`io::ErrorKind`]: that of the address tried last.
    pub fn kind(&self) -> io::ErrorKind {
        match &self.reason {
            DialReason::Resolve(error) | DialReason::Io(error) => error.kind(),
            DialReason::NoAddress => io::ErrorKind::NotFound,
            DialReason::Connect(failures) => failures
                .last()
                .map_or(io::ErrorKind::NotFound, |(_, error)| error.kind()),
            DialReason::TimedOut(_) => io::ErrorKind::TimedOut,
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot connect to {}: ", self.endpoint)?;
        match &self.reason {
            DialReason::Resolve(error) => write!(f, "the name cannot be resolved: {error}"),
            DialReason::NoAddress => f.write_str("the name has no address"),
            DialReason::Connect(failures) => {
                for (index, (address, error)) in failures.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "; " };
                    write!(f, "{separator}{address}: {error}")?;
                }
                Ok(())
            }
            DialReason::Io(error) => error.fmt(f),
            DialReason::TimedOut(after) => write!(f, "no answer within {after:?}"),
        }
    }
}

// The message already holds the causes, so there is no `source` to print twice.
impl std::error::Error for DialError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_families_take_turns_and_keep_their_order() {
        let addresses = ["[::1]:1", "[::2]:1", "1.1.1.1:1", "[::3]:1", "2.2.2.2:1"];
        let in_turn = families_in_turn(addresses.iter().map(|a| a.parse().unwrap()));
        let texts: Vec<_> = in_turn.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]
        );
    }
}
