//! Command-line clients with the letters of Mosquitto's tools: `pub`, `sub` and `rr`, theirs or ours.
//!
//! A subscriber is known to be subscribed by a retained message: beside its own filters it takes [`READY`], last, and
//! prints it. That needs no line of debug output, which each program words differently.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{find_program, shown};

pub(super) const READY: &str = "interop/ready";

/// How long anything may take before it counts as not happening.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a program is asked whether it has ended.
const POLL: Duration = Duration::from_millis(10);

/// A protocol version as the tools name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V31,
    V311,
    V5,
}

impl Version {
    pub(super) const ALL: [Self; 3] = [Self::V31, Self::V311, Self::V5];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V31 => "v31",
            Self::V311 => "v311",
            Self::V5 => "v5",
        }
    }

    fn flag(self) -> &'static str {
        match self {
            Self::V31 => "mqttv31",
            Self::V311 => "mqttv311",
            Self::V5 => "mqttv5",
        }
    }
}

/// How the three programs are called.
pub(super) struct Tools {
    publish: Vec<String>,
    subscribe: Vec<String>,
    request: Vec<String>,
    /// Topic aliases and Subscription Identifiers are for the user to set; ours sets both by itself.
    pub(super) sets_numbers: bool,
}

impl Tools {
    pub(super) fn mosquitto() -> Result<Self, String> {
        let tool = |name: &str| {
            let program = find_program(name, &[])
                .ok_or(format!("{name} is missing: run `cargo xtask setup`"))?;
            Ok::<_, String>(vec![program.to_string_lossy().into_owned()])
        };
        Ok(Self {
            publish: tool("mosquitto_pub")?,
            subscribe: tool("mosquitto_sub")?,
            request: tool("mosquitto_rr")?,
            sets_numbers: true,
        })
    }

    pub(super) fn whinchat(program: &Path) -> Self {
        let tool = |name: &str| vec![program.to_string_lossy().into_owned(), name.to_owned()];
        Self {
            publish: tool("pub"),
            subscribe: tool("sub"),
            request: tool("rr"),
            sets_numbers: false,
        }
    }

    /// The tools as they speak one version to one broker.
    pub(super) fn speaking(&self, version: Version, port: u16) -> Client<'_> {
        Client {
            tools: self,
            version,
            port,
        }
    }
}

/// The tools, a version and a broker.
#[derive(Clone, Copy)]
pub(super) struct Client<'a> {
    pub(super) tools: &'a Tools,
    pub(super) version: Version,
    port: u16,
}

impl Client<'_> {
    fn command(&self, words: &[String], args: &[&str]) -> Command {
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-V",
                self.version.flag(),
            ])
            .args(args);
        command
    }

    /// Leaves the retained message that tells subscribers they are subscribed; once for each broker.
    pub(super) fn prepare(&self) -> Result<(), String> {
        self.publish(&["-t", READY, "-q", "1", "-r", "-m", "ready"])
    }

    /// Publishes and waits for the end of the program, which is that of the exchange.
    pub(super) fn publish(&self, args: &[&str]) -> Result<(), String> {
        self.publish_input(args, "")
    }

    /// Publishes with something on standard input.
    pub(super) fn publish_input(&self, args: &[&str], input: &str) -> Result<(), String> {
        let mut command = self.command(&self.tools.publish, args);
        let mut child = spawn(command.stdin(Stdio::piped()).stdout(Stdio::null()))?;
        let mut stdin = child.stdin.take().expect("standard input is piped");
        // A program that does not read its input may be gone already.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let status = wait(&mut child, &command)?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("`{}` ended with {status}", shown(&command)))
        }
    }

    /// Starts a subscriber and returns once the broker has answered its SUBSCRIBE.
    pub(super) fn subscribe(&self, args: &[&str]) -> Result<Subscriber, String> {
        self.subscribe_printing("%q|%r|%p", args)
    }

    /// As [`Self::subscribe`], with another format for what follows the topic.
    pub(super) fn subscribe_printing(
        &self,
        format: &str,
        args: &[&str],
    ) -> Result<Subscriber, String> {
        let mut all = args.to_vec();
        let format = format!("%t|{format}");
        all.extend(["-t", READY, "-F", &format]);
        let mut subscriber = Subscriber::start(self.command(&self.tools.subscribe, &all))?;
        subscriber.wait_until_ready()?;
        Ok(subscriber)
    }

    /// Starts a request; its response is printed as it is.
    pub(super) fn request(&self, args: &[&str]) -> Result<Subscriber, String> {
        Subscriber::start(self.command(&self.tools.request, args))
    }
}

/// A running program whose lines are read as they come; dropping it kills it.
pub(super) struct Subscriber {
    child: Child,
    command: Command,
    lines: Receiver<String>,
    /// Lines that came while another one was waited for.
    early: Vec<String>,
}

impl Subscriber {
    fn start(mut command: Command) -> Result<Self, String> {
        let mut child = spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let stdout = child.stdout.take().expect("standard output is piped");
        let (send, lines) = channel();
        thread::spawn(move || {
            BufReader::new(stdout)
                .lines()
                .map_while(Result::ok)
                .for_each(|line| drop(send.send(line)))
        });
        Ok(Self {
            child,
            command,
            lines,
            early: Vec::new(),
        })
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        loop {
            let line = self.receive()?;
            if line.starts_with(READY) {
                return Ok(());
            }
            self.early.push(line);
        }
    }

    fn receive(&self) -> Result<String, String> {
        self.lines
            .recv_timeout(PATIENCE)
            .map_err(|_| format!("`{}` printed nothing more", shown(&self.command)))
    }

    /// The next message.
    pub(super) fn next(&mut self) -> Result<String, String> {
        if self.early.is_empty() {
            self.receive()
        } else {
            Ok(self.early.remove(0))
        }
    }

    /// The next messages must be these, in this order.
    pub(super) fn expect(&mut self, expected: &[&str]) -> Result<(), String> {
        for expected in expected {
            let line = self.next()?;
            if line != *expected {
                return Err(format!("expected `{expected}`, got `{line}`"));
            }
        }
        Ok(())
    }

    /// Ends the program without a DISCONNECT, as a crash would.
    pub(super) fn cut(mut self) -> Result<(), String> {
        self.child
            .kill()
            .and_then(|()| self.child.wait())
            .map_err(|error| error.to_string())
            .map(drop)
    }

    /// Waits until the program ends by itself.
    pub(super) fn finish(mut self) -> Result<ExitStatus, String> {
        wait(&mut self.child, &self.command)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // It may have ended already, which is all that is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &mut Command) -> Result<Child, String> {
    command
        .spawn()
        .map_err(|error| format!("`{}` did not start: {error}", shown(command)))
}

fn wait(child: &mut Child, command: &Command) -> Result<ExitStatus, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => return Ok(status),
            None if Instant::now() > deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!(
                    "`{}` did not end within {} s",
                    shown(command),
                    PATIENCE.as_secs()
                ));
            }
            None => thread::sleep(POLL),
        }
    }
}
