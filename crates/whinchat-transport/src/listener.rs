//! Waiting for others to open streams.
//!
//! A socket is bound outside any runtime, so that a busy port is known before anything else is started, and each of several
//! single-threaded runtimes can attach its own handle on the one socket.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::{Endpoint, Peer, Stream, dial::set_tcp_options, socket_file::SocketFile};

/// How to listen, and what each accepted stream gets.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenOptions {
    /// How many connections the operating system completes before they are accepted. Default: 4096; the system may cap it.
    pub backlog: i32,
    /// Whether small writes leave at once (TCP_NODELAY). Default: true.
    pub tcp_no_delay: bool,
    /// After how much silence TCP begins to ask whether the peer still exists; `None` is never. Default: 10 min.
    pub tcp_keep_alive: Option<Duration>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: 4096,
            tcp_no_delay: true,
            tcp_keep_alive: Some(Duration::from_secs(600)),
        }
    }
}

impl ListenOptions {
    /// Sets [`backlog`](Self::backlog).
    #[must_use]
    pub fn with_backlog(mut self, backlog: i32) -> Self {
        self.backlog = backlog;
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

/// A bound, listening socket that belongs to no runtime.
#[derive(Debug)]
pub struct DetachedListener {
    socket: DetachedSocket,
    endpoint: Endpoint,
    options: ListenOptions,
}

#[derive(Debug)]
enum DetachedSocket {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener, Arc<SocketFile>),
}

impl DetachedListener {
    /// Binds and listens; connections are completed by the operating system from here on.
    ///
    /// TCP needs an IP address, not a name. An IPv6 socket takes IPv6 alone, so that `0.0.0.0` and `[::]` stand side by side.
    /// A Unix socket's file has mode 0600; one that nobody listens on is replaced, any other file is left alone.
    ///
    /// # Errors
    /// The address is in use or not ours, or needs a privilege; the message names it.
    pub fn bind(endpoint: &Endpoint, options: &ListenOptions) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Bind {
            endpoint: endpoint.clone(),
            source,
        };
        let (socket, endpoint) = match endpoint {
            Endpoint::Tcp { host, port } => {
                let address = socket_address(host, *port)
                    .ok_or_else(|| ListenError::NotAnAddress { host: host.clone() })?;
                let tcp = bind_tcp(address, options).map_err(failed)?;
                let address = tcp.local_addr().map_err(failed)?;
                (DetachedSocket::Tcp(tcp), address.into())
            }
            Endpoint::Unix { path } => {
                let (unix, file) = SocketFile::bind(path, options.backlog).map_err(failed)?;
                (DetachedSocket::Unix(unix, Arc::new(file)), endpoint.clone())
            }
        };
        Ok(Self {
            socket,
            endpoint,
            options: options.clone(),
        })
    }

    /// Where it listens, with the port that port 0 became.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Another handle on the same socket: each connection is accepted by one of them.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        let socket = match &self.socket {
            DetachedSocket::Tcp(tcp) => DetachedSocket::Tcp(tcp.try_clone()?),
            DetachedSocket::Unix(unix, file) => {
                DetachedSocket::Unix(unix.try_clone()?, Arc::clone(file))
            }
        };
        Ok(Self {
            socket,
            endpoint: self.endpoint.clone(),
            options: self.options.clone(),
        })
    }

    /// Registers the socket with the runtime this is called in.
    ///
    /// # Errors
    /// The runtime could not register the socket.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled, as tokio's own sockets do.
    pub fn attach(self) -> io::Result<Listener> {
        let socket = match self.socket {
            DetachedSocket::Tcp(tcp) => AttachedSocket::Tcp(TcpListener::from_std(tcp)?),
            DetachedSocket::Unix(unix, file) => {
                AttachedSocket::Unix(UnixListener::from_std(unix)?, file)
            }
        };
        Ok(Listener {
            socket,
            endpoint: self.endpoint,
            options: self.options,
        })
    }
}

fn socket_address(host: &str, port: u16) -> Option<SocketAddr> {
    match host.parse::<IpAddr>() {
        Ok(ip) => Some(SocketAddr::new(ip, port)),
        // A link-local address with its zone's number.
        Err(_) => format!("[{host}]:{port}").parse().ok(),
    }
}

/// Whether a connection that is accepted has the options of the socket that listened: four system calls less for each.
const INHERITS_OPTIONS: bool = cfg!(target_os = "linux");

fn bind_tcp(address: SocketAddr, options: &ListenOptions) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for the old connections' TIME-WAIT; a port somebody listens on stays refused.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    if INHERITS_OPTIONS {
        let (no_delay, keep_alive) = (options.tcp_no_delay, options.tcp_keep_alive);
        set_tcp_options(SockRef::from(&socket), no_delay, keep_alive)?;
    }
    socket.listen(options.backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A listening socket on one tokio runtime.
#[derive(Debug)]
pub struct Listener {
    socket: AttachedSocket,
    endpoint: Endpoint,
    options: ListenOptions,
}

#[derive(Debug)]
enum AttachedSocket {
    Tcp(TcpListener),
    // The file goes when the last handle on it does.
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "held for its Drop")] Arc<SocketFile>,
    ),
}

impl Listener {
    /// [`DetachedListener::bind`] and [`DetachedListener::attach`] in one.
    ///
    /// # Errors
    /// As theirs.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub fn bind(endpoint: &Endpoint, options: &ListenOptions) -> Result<Self, ListenError> {
        let detached = DetachedListener::bind(endpoint, options)?;
        detached.attach().map_err(|source| ListenError::Bind {
            endpoint: endpoint.clone(),
            source,
        })
    }

    /// Where it listens, with the port that port 0 became.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The next connection and who opened it.
    ///
    /// # Errors
    /// The process or the system has no file descriptor left: the listener is still good, but accepting again at once fails
    /// again at once, so wait a little. A connection that ended before it was accepted is passed over.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        loop {
            let accepted = match &self.socket {
                AttachedSocket::Tcp(listener) => {
                    ready!(listener.poll_accept(cx)).and_then(|(tcp, address)| {
                        if !INHERITS_OPTIONS {
                            set_tcp_options(
                                SockRef::from(&tcp),
                                self.options.tcp_no_delay,
                                self.options.tcp_keep_alive,
                            )?;
                        }
                        Ok((Stream::Tcp(tcp), Peer::Tcp(address)))
                    })
                }
                AttachedSocket::Unix(listener, _) => ready!(listener.poll_accept(cx))
                    .map(|(unix, _)| (Stream::Unix(unix), Peer::Unix)),
            };
            match accepted {
                Err(error) if is_about_one_connection(&error) => {}
                accepted => return Poll::Ready(accepted),
            }
        }
    }

    /// [`poll_accept`](Self::poll_accept) as a future; dropping it loses no connection.
    ///
    /// # Errors
    /// As its.
    pub async fn accept(&mut self) -> io::Result<(Stream, Peer)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    // InvalidInput is what setting an option on a socket that was reset gives on some systems.
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::NotConnected
            | io::ErrorKind::InvalidInput
    )
}

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// A name where an IP address is needed.
    #[error(
        "cannot listen on '{host}': a listener needs an IP address (127.0.0.1 and [::1] are this machine alone)"
    )]
    NotAnAddress {
        /// What stood there.
        host: String,
    },
    /// The operating system refused.
    #[error("cannot listen on {endpoint}: {source}")]
    Bind {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        source: io::Error,
    },
}

impl ListenError {
    /// The nearest [`io::ErrorKind`]: `AddrInUse` for a busy port or socket.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::NotAnAddress { .. } => io::ErrorKind::InvalidInput,
            Self::Bind { source, .. } => source.kind(),
        }
    }
}
