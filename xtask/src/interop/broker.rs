//! A broker for the length of a run: ours, freshly built, or Debian's mosquitto, on a port that nobody chose.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{cargo, find_program, run as run_command};
use crate::workspace;

const START_MAX: Duration = Duration::from_secs(10);
const STOP_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// Which broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Whinchat,
    Mosquitto,
}

impl Kind {
    pub(super) fn named(name: &str) -> Result<Self, String> {
        [Self::Whinchat, Self::Mosquitto]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or(format!(
                "no broker is called `{name}`; there are: whinchat, mosquitto"
            ))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Whinchat => "whinchat",
            Self::Mosquitto => "mosquitto",
        }
    }
}

/// A running broker; dropping it kills it.
pub(super) struct Broker {
    kind: Kind,
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Broker {
    /// Starts one; `program` stands in for the one that is built otherwise.
    pub(super) fn start(kind: Kind, program_given: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        let folder = run_folder()?;
        let log = folder.join(format!("{}.log", kind.name()));
        let (child, port) = match kind {
            Kind::Whinchat => start_whinchat(&program(program_given)?, &log)?,
            Kind::Mosquitto => start_mosquitto(&folder, &log)?,
        };
        println!(
            "{} listens on 127.0.0.1:{port}, its log is {}",
            kind.name(),
            log.display()
        );
        Ok(Self {
            kind,
            child,
            port,
            log,
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Asks the broker to end: it must do so in time and well, and must not have panicked before.
    pub(super) fn stop(mut self) -> Result<(), String> {
        if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
            return Err(format!(
                "the broker ended by itself with {status}; see {}",
                self.log.display()
            ));
        }
        let told = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        told.map_err(|error| error.to_string())?;
        let deadline = Instant::now() + STOP_MAX;
        let status = loop {
            match self.child.try_wait().map_err(|error| error.to_string())? {
                Some(status) => break status,
                None if Instant::now() > deadline => {
                    return Err(format!("still runs {} s after SIGTERM", STOP_MAX.as_secs()));
                }
                None => thread::sleep(POLL),
            }
        };
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        if self.kind == Kind::Whinchat && log.contains("panicked at") {
            return Err(format!("the broker panicked; see {}", self.log.display()));
        }
        if status.success() {
            Ok(())
        } else {
            Err(format!(
                "ended with {status} after SIGTERM; see {}",
                self.log.display()
            ))
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already, which is all that is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where our program is: where the caller says, or where it is built to.
pub(crate) fn program(given: Option<&Path>) -> Result<PathBuf, Box<dyn Error>> {
    if let Some(path) = given {
        return Ok(path
            .canonicalize()
            .map_err(|error| format!("{}: {error}", path.display()))?);
    }
    run_command(&mut cargo([
        "build",
        "--quiet",
        "--profile",
        workspace::CI_PROFILE,
        "--package",
        "whinchat",
        "--bin",
        "whinchat",
    ]))?;
    Ok(workspace::metadata()?
        .target_directory
        .join(workspace::CI_PROFILE)
        .join("whinchat")
        .into_std_path_buf())
}

fn run_folder() -> Result<PathBuf, Box<dyn Error>> {
    let folder = workspace::metadata()?
        .target_directory
        .join("interop")
        .into_std_path_buf();
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Our broker begins without data, syncs what it acknowledges, as users run it, takes port 0 and says on standard output which one it got: `listening on mqtt://127.0.0.1:PORT`.
fn start_whinchat(program: &Path, log: &Path) -> Result<(Child, u16), Box<dyn Error>> {
    let data = log.with_extension("data");
    if data.exists() {
        fs::remove_dir_all(&data)?; // what the last run left
    }
    let mut child = Command::new(program)
        .args(["serve", "--listen", "mqtt://127.0.0.1:0", "--data-dir"])
        .arg(data)
        .env("WHINCHAT__ADMIN__LISTEN", "127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(log)?)
        .spawn()?;
    let stdout = child.stdout.take().expect("standard output is piped");
    let (lines, said) = mpsc::channel();
    // Reads on to the end, so that the broker never waits for a reader.
    thread::spawn(move || {
        BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .for_each(|line| drop(lines.send(line)))
    });
    let deadline = Instant::now() + START_MAX;
    while let Ok(line) = said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        if let Some(port) = listening_port(&line) {
            return Ok((child, port));
        }
    }
    child.kill()?;
    child.wait()?;
    let said = fs::read_to_string(log).unwrap_or_default();
    Err(format!(
        "whinchat serve did not say `listening on mqtt://127.0.0.1:PORT` within {} s: {}",
        START_MAX.as_secs(),
        said.trim()
    )
    .into())
}

fn listening_port(line: &str) -> Option<u16> {
    line.trim()
        .strip_prefix("listening on mqtt://127.0.0.1:")?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// Mosquitto knows no port 0: a free one is looked up, and another if someone was faster.
fn start_mosquitto(folder: &Path, log: &Path) -> Result<(Child, u16), Box<dyn Error>> {
    let program =
        find_program("mosquitto", &[]).ok_or("mosquitto is missing: run `cargo xtask setup`")?;
    for _ in 0..3 {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let configuration = folder.join("mosquitto.conf");
        fs::write(
            &configuration,
            format!(
                "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest stderr\n"
            ),
        )?;
        let mut child = Command::new(&program)
            .arg("-c")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(log)?)
            .spawn()?;
        let deadline = Instant::now() + START_MAX;
        while child.try_wait()?.is_none() {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok((child, port));
            }
            if Instant::now() > deadline {
                child.kill()?;
            }
            thread::sleep(POLL);
        }
    }
    Err(format!(
        "mosquitto did not start: {}",
        fs::read_to_string(log).unwrap_or_default().trim()
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::listening_port;

    #[test]
    fn the_port_is_read_from_the_banner() {
        assert_eq!(
            listening_port("listening on mqtt://127.0.0.1:40123"),
            Some(40123)
        );
        assert_eq!(
            listening_port("  listening on mqtt://127.0.0.1:40123 (anonymous)"),
            Some(40123)
        );
        assert_eq!(listening_port("listening on unix:/tmp/x"), None);
        assert_eq!(listening_port("try: whinchat pub -p 40123"), None);
    }
}
