//! One run of `whinchat bench` against a broker that was started for it.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::others::{Other, Running, WHINCHAT};
use crate::process::{cargo, run as run_command, shown};
use crate::workspace;

/// The program as it is released: it is the load generator, and the broker to be measured.
pub(super) struct Program(PathBuf);

/// A broker that is there to be measured.
pub(super) struct Contender {
    pub(super) other: &'static Other,
    pub(super) program: PathBuf,
    pub(super) version: String,
    /// What is added to its command: an option such as ` --threads 1`, with the space before it.
    pub(super) options: &'static str,
}

/// Which processors broker and load have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Processors {
    /// One for each.
    Pinned,
    /// As the system gives them.
    Free,
}

impl Program {
    pub(super) fn build() -> Result<Self, Box<dyn Error>> {
        Self::build_as("release")
    }

    /// With another profile of the workspace than the one that is released.
    pub(super) fn build_as(profile: &str) -> Result<Self, Box<dyn Error>> {
        run_command(&mut cargo([
            "build",
            "--quiet",
            "--profile",
            profile,
            "--package",
            "whinchat",
        ]))?;
        let target = workspace::metadata()?.target_directory;
        Ok(Self(target.join(profile).join("whinchat").into()))
    }

    /// Our broker with default settings.
    pub(super) fn broker(&self) -> Result<Contender, Box<dyn Error>> {
        Contender::new(&WHINCHAT, self.0.clone())
    }

    /// Starts `contender`, loads it with `arguments` of `whinchat bench`, and gives the report.
    ///
    /// # Errors
    /// It does not start, or the run has no report. Messages that were lost are part of one.
    pub(super) fn measure(
        &self,
        contender: &Contender,
        arguments: &[String],
        processors: Processors,
    ) -> Result<Value, Box<dyn Error>> {
        let (for_broker, for_load): (_, &[&str]) = match processors {
            Processors::Pinned => ("taskset -c 0", &["--pin", "1"]),
            Processors::Free => ("", &[]),
        };
        let running = Self::start(contender, for_broker)?;
        self.load(&running, arguments, for_load)
    }

    /// Starts `contender`; `before` are the words before its command.
    pub(super) fn start(contender: &Contender, before: &str) -> Result<Running, Box<dyn Error>> {
        let folder = folder().join(contender.other.name);
        let other = contender.other;
        other.start_for_load(&contender.program, &folder, before, contender.options)
    }

    /// Loads a broker with `arguments` of `whinchat bench` and `more` of them, and gives the report.
    pub(super) fn load(
        &self,
        running: &Running,
        arguments: &[String],
        more: &[&str],
    ) -> Result<Value, Box<dyn Error>> {
        let (port, _) = running.ports().next().ok_or("it has no port")?;
        let pid = running.main_process()?;
        let mut command = Command::new(&self.0);
        let Some((scenario, options)) = arguments.split_first() else {
            return Err("a run needs a scenario".into());
        };
        command
            .args(["bench", scenario, &format!("127.0.0.1:{port}")])
            .args(options)
            .args(more)
            .args(["--pid", &pid.to_string(), "--json", "--quiet"])
            .stdin(Stdio::null());
        let output = command.output()?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr);
            format!("{}: {}", shown(&command), said.trim()).into()
        })
    }
}

impl Contender {
    fn new(other: &'static Other, program: PathBuf) -> Result<Self, Box<dyn Error>> {
        let version = (other.version)(&program)?;
        Ok(Self {
            other,
            program,
            version,
            options: other.load_lines,
        })
    }

    /// One that is installed here.
    pub(super) fn find(other: &'static Other) -> Result<Option<Self>, Box<dyn Error>> {
        other
            .find()
            .map(|program| Self::new(other, program))
            .transpose()
    }

    pub(super) fn name(&self) -> &'static str {
        self.other.name
    }
}

/// Where brokers have their files.
fn folder() -> PathBuf {
    Path::new(workspace::root()).join("target/bench")
}

/// Messages that did not arrive once and in order.
pub(super) fn faults(report: &Value) -> u64 {
    ["lost", "duplicates", "reordered", "foreign"]
        .iter()
        .filter_map(|fault| report.get(fault)?.as_u64())
        .sum()
}
