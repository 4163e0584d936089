//! `whinchat conformance`: plays the transcripts of `whinchat-conformance` and tells which statements hold.
//!
//! What a scene is and how it is played is the business of that crate; here is where the streams come from, and how
//! the result is shown.
//!
//! Read first: [`args`] (what is asked for), [`own`] (the set-ups of our own broker), [`clients`] (where clients come from),
//! [`show`] (the tables).

mod args;
mod choice;
mod clients;
mod glob;
mod guard;
mod own;
mod restart;
mod show;
mod target;

pub(crate) use args::Args;

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::time::Instant;

use indicatif::ProgressBar;
use whinchat_conformance::{
    Options, Play, Played, Report, Run, RunError, Scene, Setup, Subject, Verdict, broker_scenes,
    client_scenes, plays, run as play_all, run_clients,
};
use whinchat_transport::{DialOptions, Endpoint};

use self::args::{Judged, Output, Task};
use self::clients::ClientSource;
use self::own::OWN_SETUPS;
use self::restart::Restart;
use self::target::SocketTarget;
use super::progress::bar;
use super::table::counted;
use super::tool::{Failure, note};
use crate::exit::{Exit, print};

pub(crate) fn run(args: Args) -> Exit {
    let outcome = args.into_task().and_then(judge);
    outcome.unwrap_or_else(|failure| failure.report(false))
}

fn judge(task: Task) -> Result<Exit, Failure> {
    let given = task.scenes()?;
    let (subject, built_in) = match task.judged {
        Judged::Client { .. } => (Subject::Client, client_scenes()),
        Judged::Broker { .. } | Judged::Own { .. } => (Subject::Broker, broker_scenes()),
    };
    let scenes = given.as_deref().unwrap_or(built_in);
    let plays: Vec<_> = plays(scenes)
        .into_iter()
        .filter(|play| task.choice.has_play(play))
        .collect();
    if plays.is_empty() {
        return Err(Failure::Usage("no scene is left to be played".into()));
    }
    if task.is_list {
        return Ok(print(&listed(&plays)));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| Failure::Io {
            what: "the runtime",
            error,
        })?;
    let began = Instant::now();
    let progress = Progress::new(task.output.is_quiet, plays.len(), &task.judged);
    let played = runtime.block_on(task.play(&plays, &progress));
    progress.clear();
    let (target, runs) = played?;
    let report = Report::new(subject, &target, runs, began.elapsed(), |statement| {
        task.choice.has_statement(statement)
    });
    deliver(&report, &target, began, &task.output)
}

impl Task {
    /// The scenes of the files that were named, if any were.
    fn scenes(&self) -> Result<Option<Vec<Scene>>, Failure> {
        if self.scene_files.is_empty() {
            return Ok(None);
        }
        let mut scenes = Vec::new();
        for file in &self.scene_files {
            let shown = file.display().to_string();
            let text = fs::read_to_string(file)
                .map_err(|error| Failure::Usage(format!("--scenes {shown}: {error}")))?;
            let read = Scene::parse_file(&shown, &text)
                .map_err(|error| Failure::Usage(format!("--scenes {error}")))?;
            scenes.extend(read);
        }
        Ok(Some(scenes))
    }

    async fn play(
        &self,
        plays: &[Play<'_>],
        progress: &Progress,
    ) -> Result<(String, Vec<Run>), Failure> {
        match &self.judged {
            Judged::Broker {
                endpoint,
                setup,
                restart,
            } => {
                let mut played = play_on(endpoint, *setup, plays, &self.options, progress).await?;
                if let Some(command) = restart {
                    let target = socket(endpoint, *setup, &self.options);
                    let again = Restart {
                        command,
                        target: &target,
                        options: &self.options,
                    };
                    again.play_failed(plays, &mut played, &progress.bar).await?;
                }
                Ok((endpoint.to_string(), vec![Run::new(played)]))
            }
            Judged::Client { listen, command } => {
                let source = ClientSource::new(listen.clone(), command.clone())
                    .map_err(|error| Failure::Runtime(error.to_string()))?;
                let played = self.play_clients(&source, plays, progress).await?;
                let target = match command {
                    Some(command) => format!("client `{command}`"),
                    None => "client".to_owned(),
                };
                Ok((target, vec![Run::new(played)]))
            }
            Judged::Own { threads } => {
                let runs = self.play_own(*threads, plays, progress).await?;
                let version = env!("CARGO_PKG_VERSION");
                Ok((
                    format!(
                        "whinchat {version} with {}",
                        counted((*threads).into(), "thread")
                    ),
                    runs,
                ))
            }
        }
    }

    async fn play_clients(
        &self,
        source: &ClientSource,
        plays: &[Play<'_>],
        progress: &Progress,
    ) -> Result<Vec<Played>, Failure> {
        let mut options = self.options.clone();
        if !source.has_own_ports() {
            options.jobs = 1;
        }
        if let Some(endpoint) = source.waits_at() {
            progress.say(&format!(
                "waiting for a client at {endpoint}, which has to connect again after each scene"
            ));
        }
        run_clients(plays, source, &options, |played| progress.played(played))
            .await
            .map_err(|error| Failure::Runtime(error.to_string()))
    }

    /// Each scene in the first set-up of our own broker that it can be played in.
    async fn play_own(
        &self,
        threads: u16,
        plays: &[Play<'_>],
        progress: &Progress,
    ) -> Result<Vec<Run>, Failure> {
        let mut left = plays.to_vec();
        let mut runs = Vec::new();
        for own in &OWN_SETUPS {
            if left.is_empty() {
                break;
            }
            let (broker, endpoint) = own
                .start(threads)
                .map_err(|error| Failure::Runtime(error.to_string()))?;
            let options = own.options(&self.options);
            let played = play_on(&endpoint, own.setup(), &left, &options, progress).await?;
            drop(broker);
            let has_ended =
                |played: &Played| matches!(played.verdict, Verdict::Passed | Verdict::Failed(_));
            let mut outcomes = played.iter().map(has_ended);
            left.retain(|_| !outcomes.next().unwrap_or(false));
            runs.push(Run::with_setup(own.name, played));
        }
        Ok(runs)
    }
}

async fn play_on(
    endpoint: &Endpoint,
    setup: Setup,
    plays: &[Play<'_>],
    options: &Options,
    progress: &Progress,
) -> Result<Vec<Played>, Failure> {
    let target = socket(endpoint, setup, options);
    let played = play_all(plays, &target, options, |played| progress.played(played)).await;
    played.map_err(|error| {
        Failure::Runtime(if let RunError::Unreachable(error) = error {
            // It names the place itself.
            error.to_string()
        } else {
            format!("{endpoint}: {error}")
        })
    })
}

fn socket(endpoint: &Endpoint, setup: Setup, options: &Options) -> SocketTarget {
    SocketTarget {
        endpoint: endpoint.clone(),
        setup,
        dial: DialOptions::default().with_timeout(options.patience),
    }
}

/// How far the run has come.
struct Progress {
    bar: ProgressBar,
    has_several_set_ups: bool,
    failed: Cell<u64>,
}

impl Progress {
    fn new(is_quiet: bool, scenes: usize, judged: &Judged) -> Self {
        let bar = bar(is_quiet, "{wide_bar} {pos} of {len} scenes{msg}");
        bar.set_length(scenes as u64);
        Self {
            bar,
            has_several_set_ups: matches!(judged, Judged::Own { .. }),
            failed: Cell::new(0),
        }
    }

    fn played(&self, played: &Played) {
        // What could not be played may be so in another set-up.
        let is_over = matches!(played.verdict, Verdict::Passed | Verdict::Failed(_));
        if !self.has_several_set_ups || is_over {
            self.bar.inc(1);
        }
        if matches!(played.verdict, Verdict::Failed(_)) {
            self.failed.set(self.failed.get() + 1);
            self.bar
                .set_message(format!(", {} failed", self.failed.get()));
        }
    }

    /// A line for people, which the bar leaves alone.
    fn say(&self, text: &str) {
        self.bar.suspend(|| note(text));
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// A line for each scene.
fn listed(plays: &[Play<'_>]) -> String {
    plays
        .iter()
        .map(|play| format!("{}\n", play.scene.name(play.version)))
        .collect()
}

/// Writes the files that were asked for, and the table unless one of them goes to standard output.
fn deliver(
    report: &Report,
    target: &str,
    began: Instant,
    output: &Output,
) -> Result<Exit, Failure> {
    let mut stdout = None;
    if let Some(file) = &output.json {
        write("--json", file, report.to_json(), &mut stdout)?;
    }
    if let Some(file) = &output.junit {
        write("--junit", file, report.to_junit(), &mut stdout)?;
    }
    let text =
        stdout.unwrap_or_else(|| show::text(report, target, began.elapsed(), output.is_verbose));
    let printed = print(&text);
    // What failed stands in the report.
    Ok(if printed == Exit::Ok && !report.is_clean() {
        Exit::Runtime
    } else {
        printed
    })
}

/// Into the file, or `-` into `stdout`.
fn write(
    option: &str,
    file: &Path,
    text: String,
    stdout: &mut Option<String>,
) -> Result<(), Failure> {
    if file == Path::new("-") {
        *stdout = Some(text);
        return Ok(());
    }
    fs::write(file, text)
        .map_err(|error| Failure::Runtime(format!("{option} {}: {error}", file.display())))
}
