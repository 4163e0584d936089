//! Clients that are judged: where their connections come from.

use std::cell::RefCell;
use std::io;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use whinchat_conformance::{Client, Clients, ProtocolVersion};
use whinchat_transport::{Endpoint, ListenOptions, Listener, Stream};

/// How long a program may take to end behind its last connection.
const END_MAX: Duration = Duration::from_millis(500);

/// Where clients connect, and the command that starts one.
pub(super) struct ClientSource {
    listen: Endpoint,
    /// The socket that all share; without it each scene has its own.
    shared: Option<Rc<RefCell<Listener>>>,
    command: Option<String>,
}

impl ClientSource {
    /// Listens, unless each client that is started can have a port of its own.
    ///
    /// # Errors
    /// Nobody can listen there.
    pub(super) fn new(listen: Endpoint, command: Option<String>) -> io::Result<Self> {
        let takes_any_port = matches!(listen, Endpoint::Tcp { port: 0, .. });
        let shared = if command.is_some() && takes_any_port {
            None
        } else {
            Some(Rc::new(RefCell::new(bind(&listen)?)))
        };
        Ok(Self {
            listen,
            shared,
            command,
        })
    }

    /// Where a client has to connect by itself; `None` where it is started.
    pub(super) fn waits_at(&self) -> Option<Endpoint> {
        match (&self.shared, &self.command) {
            (Some(listener), None) => Some(listener.borrow().endpoint().clone()),
            _ => None,
        }
    }

    /// Whether scenes can be played beside each other, each with a client of its own.
    pub(super) fn has_own_ports(&self) -> bool {
        self.shared.is_none()
    }
}

fn bind(endpoint: &Endpoint) -> io::Result<Listener> {
    Listener::bind(endpoint, &ListenOptions::default()).map_err(io::Error::other)
}

impl Clients for ClientSource {
    type Client = Running;

    async fn begin(&self, version: ProtocolVersion) -> io::Result<Running> {
        let listener = match &self.shared {
            Some(shared) => Rc::clone(shared),
            None => Rc::new(RefCell::new(bind(&self.listen)?)),
        };
        let child = match &self.command {
            Some(command) => {
                let endpoint = listener.borrow().endpoint().clone();
                Some(start(&filled(command, &endpoint, version))?)
            }
            None => None,
        };
        Ok(Running { listener, child })
    }
}

/// The command with what stands for where and how to connect.
fn filled(command: &str, endpoint: &Endpoint, version: ProtocolVersion) -> String {
    // A Unix socket has neither: a command for one says {url}.
    let (host, port) = if let Endpoint::Tcp { host, port } = endpoint {
        (host.clone(), port.to_string())
    } else {
        (String::new(), String::new())
    };
    let version = match version {
        ProtocolVersion::V31 => "31",
        ProtocolVersion::V311 => "311",
        ProtocolVersion::V5 => "5",
    };
    command
        .replace("{url}", &endpoint.to_string())
        .replace("{host}", &host)
        .replace("{port}", &port)
        .replace("{version}", version)
}

/// Starts the shell in a process group of its own, so that all it starts can be ended with it.
fn start(command: &str) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// A client that has been started, or one that comes by itself.
pub(super) struct Running {
    listener: Rc<RefCell<Listener>>,
    child: Option<Child>,
}

impl Client for Running {
    type Stream = Stream;

    async fn accept(&mut self) -> io::Result<Stream> {
        let listener = &self.listener;
        let accept = std::future::poll_fn(|cx| listener.borrow_mut().poll_accept(cx));
        let ended = async {
            match &mut self.child {
                Some(child) => child.wait().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            accepted = accept => accepted.map(|(stream, _)| stream),
            status = ended => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the client has ended with {}", status?),
            )),
        }
    }

    async fn has_ended_well(&mut self) -> bool {
        let Some(child) = &mut self.child else {
            return false;
        };
        let status = tokio::time::timeout(END_MAX, child.wait()).await;
        matches!(status, Ok(Ok(status)) if status.success())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let id = self.child.as_ref().and_then(Child::id);
        let group = id.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group {
            // What has ended already need not be ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_told_where_and_how_to_connect() {
        let tcp = Endpoint::tcp("127.0.0.1", 1234);
        assert_eq!(
            filled(
                "sub -h {host} -p {port} -V {version}",
                &tcp,
                ProtocolVersion::V311
            ),
            "sub -h 127.0.0.1 -p 1234 -V 311"
        );
        let unix = Endpoint::unix("/run/x.sock");
        assert_eq!(
            filled("sub -L {url}", &unix, ProtocolVersion::V5),
            "sub -L unix:/run/x.sock"
        );
    }
}
