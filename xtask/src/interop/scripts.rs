//! The suites written with other people's libraries: started, listened to, counted.
//!
//! A script prints one line per case, `ok NAME`, `FAIL NAME: why` or `not run NAME: why`, and `done` at its end;
//! a script that ends without `done` has failed, whatever it printed.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{setup, workspace};

use super::report::Report;

pub(super) fn paho(report: &mut Report, port: u16) -> Result<(), Box<dyn Error>> {
    let python = setup::python();
    if !python.exists() {
        return Err("paho-mqtt is missing: run `cargo xtask setup`".into());
    }
    listen(
        report,
        Command::new(python).arg("-B").arg(script("paho/run.py")),
        port,
    )
}

pub(super) fn mqttjs(report: &mut Report, port: u16) -> Result<(), Box<dyn Error>> {
    let modules = setup::node_modules();
    if !modules.join("mqtt").is_dir() {
        return Err("mqtt.js is missing: run `cargo xtask setup`".into());
    }
    listen(
        report,
        Command::new("node")
            .arg(script("mqttjs/run.mjs"))
            .env("NODE_MODULES", modules),
        port,
    )
}

fn script(name: &str) -> PathBuf {
    workspace::root().join("interop").join(name)
}

fn listen(report: &mut Report, command: &mut Command, port: u16) -> Result<(), Box<dyn Error>> {
    command.args(["--port", &port.to_string()]);
    for name in report.skipped_names() {
        command.args(["--skip", &name]);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().expect("standard output is piped");
    let mut done = false;
    for line in BufReader::new(stdout).lines() {
        match Said::of(&line?) {
            Said::Passed(name) => report.result(&name, Ok(())),
            Said::Failed(name, why) => report.result(&name, Err(why)),
            Said::NotRun(name, why) => report.not_run(&name, &why),
            Said::Done => done = true,
            Said::Else(line) => println!("   {line}"),
        }
    }
    let status = child.wait()?;
    if !done || !status.success() {
        report.result("script", Err(format!("ended with {status} before its end")));
    }
    Ok(())
}

/// One line of a script.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Passed(String),
    Failed(String, String),
    NotRun(String, String),
    Done,
    Else(String),
}

impl Said {
    fn of(line: &str) -> Self {
        let named = |rest: &str| {
            let (name, why) = rest.split_once(": ").unwrap_or((rest, "no reason given"));
            (name.to_owned(), why.to_owned())
        };
        if line == "done" {
            return Self::Done;
        }
        if let Some(name) = line.strip_prefix("ok ") {
            return Self::Passed(name.to_owned());
        }
        if let Some((name, why)) = line.strip_prefix("FAIL ").map(named) {
            return Self::Failed(name, why);
        }
        match line.strip_prefix("not run ").map(named) {
            Some((name, why)) => Self::NotRun(name, why),
            None => Self::Else(line.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Said;

    #[test]
    fn the_lines_of_a_script_are_understood() {
        assert_eq!(Said::of("ok v5/qos/1-2"), Said::Passed("v5/qos/1-2".into()));
        assert_eq!(
            Said::of("FAIL v5/will: nothing came: timed out"),
            Said::Failed("v5/will".into(), "nothing came: timed out".into())
        );
        assert_eq!(
            Said::of("not run v31/x: no such thing"),
            Said::NotRun("v31/x".into(), "no such thing".into())
        );
        assert_eq!(Said::of("done"), Said::Done);
        assert_eq!(Said::of("okay"), Said::Else("okay".into()));
    }
}
