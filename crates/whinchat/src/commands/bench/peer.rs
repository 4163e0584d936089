//! A broker that is started for one run and ended after it.

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use whinchat_transport::Endpoint;

use super::failure::Failure;

/// How long a broker may take until it accepts connections.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Which broker, and how.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Whinchat {
        name: &'static str,
        program: PathBuf,
        threads: Option<u16>,
        /// In which directory it gets one of its own; `None`: everything is in memory.
        store: Option<PathBuf>,
    },
    Mosquitto,
}

/// A running broker. Dropping it ends the process.
pub(super) struct Broker {
    child: Child,
    port: u16,
    /// Its configuration file or data directory, which goes with the broker.
    files: Option<PathBuf>,
}

impl Kind {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Whinchat { name, .. } => name,
            Self::Mosquitto => "mosquitto",
        }
    }

    /// What it says its version is.
    pub(super) fn version(&self) -> Option<String> {
        match self {
            Self::Whinchat { .. } => Some(env!("CARGO_PKG_VERSION").to_owned()),
            Self::Mosquitto => mosquitto_version(),
        }
    }

    /// Starts it on a free port of the loopback interface and waits until it accepts connections.
    ///
    /// # Errors
    /// The program is not there, or ended, or does not listen in time.
    pub(super) fn start(&self) -> Result<Broker, Failure> {
        let failed = |why: String| Failure::Broker {
            program: self.name().to_owned(),
            why,
        };
        let port = free_port()?;
        let (mut command, files) = match self {
            Self::Whinchat {
                program,
                threads,
                store,
                ..
            } => {
                let mut command = Command::new(program);
                // Another broker on this machine may have the usual port.
                command.env("WHINCHAT__ADMIN__LISTEN", "127.0.0.1:0");
                command.args(["serve", "--listen", &format!("127.0.0.1:{port}")]);
                let data = store
                    .as_ref()
                    .map(|store| store.join(format!("whinchat-bench-{port}")));
                match &data {
                    Some(data) => command.arg("--data-dir").arg(data),
                    None => command.arg("--ephemeral"),
                };
                if let Some(threads) = threads {
                    command.args(["--threads", &threads.to_string()]);
                }
                (command, data)
            }
            Self::Mosquitto => {
                let config = write_config(port)?;
                let mut command = Command::new(mosquitto_program());
                command.arg("-c").arg(&config);
                (command, Some(config))
            }
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed(format!("{}: {error}", command.get_program().display())))?;
        let mut broker = Broker { child, port, files };
        broker.wait_until_listening().map_err(failed)?;
        Ok(broker)
    }
}

impl Broker {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint::tcp("127.0.0.1", self.port)
    }

    fn wait_until_listening(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("it ended at once: {status}"));
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(format!(
            "nothing listens on port {} after {} s",
            self.port,
            START_TIMEOUT.as_secs()
        ))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(files) = &self.files {
            let _ = if files.is_dir() {
                fs::remove_dir_all(files)
            } else {
                fs::remove_file(files)
            };
        }
    }
}

/// The version that `program --version` or `-h` tells, for the head of a table.
fn mosquitto_version() -> Option<String> {
    let help = Command::new(mosquitto_program()).arg("-h").output().ok()?;
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    text.lines()
        .next()?
        .rsplit_once(' ')
        .map(|(_, version)| version.to_owned())
}

/// Debian installs it where only root's PATH leads.
fn mosquitto_program() -> &'static str {
    let sbin = "/usr/sbin/mosquitto";
    if Path::new(sbin).exists() {
        sbin
    } else {
        "mosquitto"
    }
}

/// The fastest it can be: nothing is logged, bounded or stored.
fn write_config(port: u16) -> io::Result<PathBuf> {
    let path =
        std::env::temp_dir().join(format!("whinchat-bench-{}-{port}.conf", std::process::id()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)?;
    write!(
        file,
        "listener {port} 127.0.0.1\n\
         allow_anonymous true\n\
         max_inflight_messages 0\n\
         max_queued_messages 0\n\
         set_tcp_nodelay true\n\
         persistence false\n\
         log_dest none\n"
    )?;
    Ok(path)
}

/// A port that was free a moment ago; the broker takes it over.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}
