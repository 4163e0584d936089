//! `cargo xtask conformance --others`: brokers and clients that others wrote, judged by our transcripts, as the page
//! `docs/conformance-others.md`.
//!
//! [`others`](crate::others) starts each broker that is installed, on loopback and with a folder of its own; [`clients`] names the
//! clients; [`report`] reads what `whinchat conformance` says of them, and [`page`] writes the tables. What is not
//! installed is "not run".

mod clients;
mod page;
mod report;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::clients::CLIENTS;
use self::report::Report;
use crate::interop::broker::program;
use crate::others::{OTHERS, Other};
use crate::{Outcome, workspace};

const PAGE: &str = "docs/conformance-others.md";

/// One broker or client, and what was found of it.
struct Judged {
    name: &'static str,
    /// As it says itself; `None` if it is not installed.
    version: Option<String>,
    /// What it was run with, for the page.
    how: String,
    report: Report,
}

/// `program` stands in for the whinchat that is built otherwise.
pub(super) fn run(program_given: Option<&Path>) -> Outcome {
    let whinchat = program(program_given)?;
    let folder = workspace::metadata()?
        .target_directory
        .join("conformance")
        .into_std_path_buf();
    fs::create_dir_all(&folder)?;
    let judge = Judge {
        whinchat: &whinchat,
        folder: &folder,
    };
    let mut brokers = vec![judge.ours()?];
    for other in OTHERS {
        brokers.push(judge.broker(other)?);
    }
    let mut judged_clients = Vec::new();
    for client in CLIENTS {
        judged_clients.push(judge.client(client)?);
    }
    fs::write(
        workspace::root().join(PAGE),
        page::write(&brokers, &judged_clients),
    )?;
    Ok(())
}

/// Runs our program.
struct Judge<'a> {
    whinchat: &'a Path,
    folder: &'a Path,
}

impl Judge<'_> {
    fn ours(&self) -> Result<Judged, Box<dyn Error>> {
        let mut report = Report::default();
        report.add(&self.conformance("whinchat", &[])?)?;
        Ok(Judged {
            name: "whinchat",
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            how: "inside the process, in its four set-ups".to_owned(),
            report,
        })
    }

    fn broker(&self, other: &Other) -> Result<Judged, Box<dyn Error>> {
        let mut judged = Judged {
            name: other.name,
            version: None,
            how: other.how.to_owned(),
            report: Report::default(),
        };
        let Some(found) = other.find() else {
            return Ok(judged);
        };
        judged.version = Some((other.version)(&found)?);
        let broker = other.start(&found, &self.folder.join(other.name))?;
        for (port, versions) in broker.ports() {
            let url = format!("mqtt://127.0.0.1:{port}");
            let restart = broker.restart_command();
            let mut arguments = vec![url.as_str(), "--restart", restart.as_str()];
            arguments.extend(versions);
            let name = format!("{}-{port}", other.name);
            judged.report.add(&self.conformance(&name, &arguments)?)?;
        }
        broker.stop();
        Ok(judged)
    }

    fn client(&self, client: &clients::Client) -> Result<Judged, Box<dyn Error>> {
        let mut judged = Judged {
            name: client.name,
            version: None,
            how: format!("`{}`", client.shown),
            report: Report::default(),
        };
        if let Some((version, command)) = client.command()? {
            judged.version = Some(version);
            let arguments = ["--client", "--run", command.as_str()];
            judged
                .report
                .add(&self.conformance(client.name, &arguments)?)?;
        }
        Ok(judged)
    }

    /// The report of one run, as JSON.
    fn conformance(&self, name: &str, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
        eprintln!("$ whinchat conformance {}", arguments.join(" "));
        let file: PathBuf = self.folder.join(format!("{name}.json"));
        let _ = fs::remove_file(&file);
        // That statements fail is a result, and no failure of the chore.
        let output = Command::new(self.whinchat)
            .arg("conformance")
            .args(arguments)
            .arg("--json")
            .arg(&file)
            .current_dir(workspace::root())
            .output()?;
        fs::read_to_string(&file).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr);
            format!("{name} cannot be judged: {}", said.trim()).into()
        })
    }
}
