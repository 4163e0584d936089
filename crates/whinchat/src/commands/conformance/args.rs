//! The command line of `whinchat conformance`, and what it asks for.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use whinchat_conformance::{Options, ProtocolVersion, Setup};
use whinchat_transport::{Endpoint, Url};

use super::choice::Choice;
use super::glob::Glob;
use crate::commands::quantity;
use crate::commands::tool::{Failure, LoginArgs, version};

/// Scenes beside each other on our own broker, which is known to stand it.
const OWN_JOBS: usize = 128;

/// Programs that are started beside each other.
const CLIENT_JOBS: usize = 8;

/// Plays every statement of MQTT 3.1, 3.1.1 and 5.0 against a broker or a client, and tells which hold.
///
/// With a URL it judges the broker there. Without one it judges Whinchat's own broker, inside this process and in
/// several set-ups, so that nothing is left out. With --client it is the server, and judges whoever connects.
///
/// Ends with 0 if nothing failed, with 1 if a statement failed or the broker cannot be reached, with 2 for wrong usage.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The broker: mqtt://[USER[:PASSWORD]@]HOST[:PORT], HOST:PORT or unix:PATH.
    #[arg(conflicts_with = "client")]
    url: Option<Url>,

    /// Only scenes and statements with this id: MQTT-3.3.1-2, 'MQTT-3.3.*', 'M31-*'. Repeatable.
    #[arg(long, value_name = "ID", help_heading = "What is played")]
    id: Vec<Glob>,
    /// Only those of this chapter: 3.3. Repeatable.
    #[arg(long, value_name = "CHAPTER", help_heading = "What is played")]
    chapter: Vec<String>,
    /// Only this version: 5, 3.1.1 or 3.1. Repeatable.
    #[arg(long, value_name = "VERSION", value_parser = version, help_heading = "What is played")]
    mqtt: Vec<ProtocolVersion>,
    /// Only scenes whose name has this in it; the names are those of --list and of failures. Repeatable.
    #[arg(long, value_name = "TEXT", help_heading = "What is played")]
    scene: Vec<String>,
    /// Plays the scenes of this file instead of those that the program has. Repeatable.
    #[arg(long, value_name = "FILE", help_heading = "What is played")]
    scenes: Vec<PathBuf>,
    /// Prints the names of the scenes and plays none.
    #[arg(long, help_heading = "What is played")]
    list: bool,

    /// What the broker was set up with for the scenes that need it. Repeatable.
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        requires = "url",
        help_heading = "The broker"
    )]
    with: Vec<Prepared>,
    /// Starts the broker again, by the shell, when it lets nobody in any more. Scenes that failed are then played once
    /// more, each by itself.
    #[arg(
        long,
        value_name = "COMMAND",
        requires = "url",
        help_heading = "The broker"
    )]
    restart: Option<String>,
    #[command(flatten)]
    login: LoginArgs,
    /// Threads of Whinchat's own broker.
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u16).range(1..=1024), conflicts_with_all = ["url", "client"], help_heading = "The broker")]
    threads: u16,

    /// Judges a client instead of a broker.
    #[arg(long, help_heading = "A client")]
    client: bool,
    /// Where the client is to connect.
    #[arg(
        long,
        value_name = "URL",
        default_value = "mqtt://127.0.0.1:0",
        requires = "client",
        help_heading = "A client"
    )]
    listen: Endpoint,
    /// Starts the client for each scene, by the shell: {host}, {port}, {url} and {version} (5, 311, 31) stand for
    /// where and how it is to connect. Without this option it has to connect by itself, again and again.
    #[arg(
        long,
        value_name = "COMMAND",
        requires = "client",
        help_heading = "A client"
    )]
    run: Option<String>,

    /// Scenes that are played beside each other [default: 32; 128 without a URL; 8 clients that are started].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = "How it is played")]
    jobs: Option<u16>,
    /// How long to wait for what a step expects: 5s, 500ms.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = quantity::duration, help_heading = "How it is played")]
    patience: Duration,
    /// How long the broker may take to handle what it was sent.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = quantity::duration, help_heading = "How it is played")]
    settle: Duration,
    /// Sends byte by byte.
    #[arg(long, help_heading = "How it is played")]
    split: bool,
    /// Asks for what Whinchat's broker chooses where the specification leaves a choice. Always so without a URL.
    #[arg(long, help_heading = "How it is played")]
    strict: bool,

    /// Writes the report as JSON into this file; - is standard output, in place of the table.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    json: Option<PathBuf>,
    /// Writes the report as JUnit XML into this file; - is standard output, in place of the table.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    junit: Option<PathBuf>,
    /// Prints also all packets that came before a failure, and why scenes were not offered or not tested.
    #[arg(short, long, help_heading = "Output")]
    verbose: bool,
    /// Without a progress bar.
    #[arg(long, help_heading = "Output")]
    quiet: bool,
}

/// What a broker does not have by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Prepared {
    /// The authentication method echo
    Method,
    /// The user known with the password secret, and no other
    Login,
    /// Nobody may use the topics denied/#
    Denied,
}

/// Where results go, and how much is said.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) json: Option<PathBuf>,
    pub(super) junit: Option<PathBuf>,
    pub(super) is_verbose: bool,
    pub(super) is_quiet: bool,
}

/// What the command line asks for.
pub(super) struct Task {
    pub(super) judged: Judged,
    pub(super) choice: Choice,
    pub(super) scene_files: Vec<PathBuf>,
    pub(super) is_list: bool,
    pub(super) options: Options,
    pub(super) output: Output,
}

/// Who is judged.
pub(super) enum Judged {
    /// The broker at this place.
    Broker {
        endpoint: Endpoint,
        setup: Setup,
        /// What starts it again.
        restart: Option<String>,
    },
    /// Our own broker, with so many threads.
    Own { threads: u16 },
    /// Whoever connects here, or is started to do so.
    Client {
        listen: Endpoint,
        command: Option<String>,
    },
}

impl Args {
    /// # Errors
    /// Options that contradict each other, or a file that cannot be read.
    pub(super) fn into_task(self) -> Result<Task, Failure> {
        let is_stdout = |file: &Option<PathBuf>| file.as_deref().is_some_and(|file| file == "-");
        if is_stdout(&self.json) && is_stdout(&self.junit) {
            return Err(Failure::Usage(
                "--json - and --junit - cannot both have standard output".into(),
            ));
        }
        let mut options = Options::default();
        options.patience = self.patience;
        options.settle = self.settle;
        if let Some(jobs) = self.jobs {
            options.jobs = jobs.into();
        } else if self.client {
            options.jobs = CLIENT_JOBS;
        } else if self.url.is_none() {
            options.jobs = OWN_JOBS;
        }
        options.strict = self.strict;
        options.split = self.split;
        let judged = match self.url {
            Some(url) => {
                if let Some((name, _)) = url.options.first() {
                    return Err(Failure::Usage(format!(
                        "the URL takes no options such as {name}="
                    )));
                }
                let endpoint = url.endpoint.clone();
                if let Some(login) = self.login.login(url)? {
                    self.login.warn_of_clear_text(&endpoint);
                    options.user_name = login.user_name;
                    options.password = login.password;
                }
                let mut setup = Setup::default();
                setup.method = self.with.contains(&Prepared::Method);
                setup.login = self.with.contains(&Prepared::Login);
                setup.denied = self.with.contains(&Prepared::Denied);
                Judged::Broker {
                    endpoint,
                    setup,
                    restart: self.restart,
                }
            }
            None if self.login.is_given() => {
                return Err(Failure::Usage(
                    "user name and password have a meaning only with the URL of a broker".into(),
                ));
            }
            None if self.client => Judged::Client {
                listen: self.listen,
                command: self.run,
            },
            None => {
                options.strict = true;
                Judged::Own {
                    threads: self.threads,
                }
            }
        };
        Ok(Task {
            judged,
            choice: Choice::new(self.id, &self.chapter, self.mqtt, self.scene)?,
            scene_files: self.scenes,
            is_list: self.list,
            options,
            output: Output {
                json: self.json,
                junit: self.junit,
                is_verbose: self.verbose,
                is_quiet: self.quiet,
            },
        })
    }
}
