//! The clients that others wrote, each with an application that does much by itself.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

use crate::process::find_program;
use crate::{setup, workspace};

/// A client that may be installed.
pub(super) struct Client {
    pub(super) name: &'static str,
    /// The command as the page shows it, with what `whinchat conformance --run` fills in.
    pub(super) shown: &'static str,
    program: Program,
    arguments: &'static str,
}

/// What runs it.
enum Program {
    /// A program, and what stands in front of the version in the first line of its help.
    Named(&'static str, &'static str),
    /// A script of `interop/paho`.
    Python,
    /// A script of `interop/mqttjs`.
    Node,
}

pub(super) const CLIENTS: &[Client] = &[
    Client {
        name: "mosquitto_sub",
        shown: "mosquitto_sub -h {host} -p {port} -V {version} -i busy -c -k 5 -q 2 -t 'conformance/#'",
        program: Program::Named("mosquitto_sub", "version "),
        arguments: "-h {host} -p {port} -V {version} -i busy -c -k 5 -q 2 -t 'conformance/#'",
    },
    Client {
        name: "mosquitto_pub",
        shown: "seq 1000 | mosquitto_pub -h {host} -p {port} -V {version} -i busy -c -k 5 -q 2 -t conformance/a -l",
        program: Program::Named("mosquitto_pub", "version "),
        arguments: "-h {host} -p {port} -V {version} -i busy -c -k 5 -q 2 -t conformance/a -l",
    },
    Client {
        name: "paho-mqtt (Python)",
        shown: "python interop/paho/busy_client.py --host {host} --port {port} --version {version}",
        program: Program::Python,
        arguments: "--host {host} --port {port} --version {version}",
    },
    Client {
        name: "mqtt.js",
        shown: "node interop/mqttjs/busy_client.mjs --host {host} --port {port} --version {version}",
        program: Program::Node,
        arguments: "--host {host} --port {port} --version {version}",
    },
];

impl Client {
    /// Its version and the command that starts it, if it is installed.
    pub(super) fn command(&self) -> Result<Option<(String, String)>, Box<dyn Error>> {
        let arguments = self.arguments;
        match self.program {
            Program::Named(name, prefix) => {
                let Some(program) = find_program(name, &[]) else {
                    return Ok(None);
                };
                let help = Command::new(&program).arg("--help").output()?;
                let said = String::from_utf8_lossy(&help.stdout).into_owned();
                let version = said
                    .split_once(prefix)
                    .and_then(|(_, rest)| rest.split_whitespace().next())
                    .unwrap_or("unknown");
                let input = if self.shown.starts_with("seq") {
                    "seq 1000 | "
                } else {
                    "exec "
                };
                let program = program.display();
                let command = format!("{input}'{program}' {arguments}");
                Ok(Some((version.to_owned(), command)))
            }
            Program::Python => {
                let python = setup::python();
                if !python.exists() {
                    return Ok(None);
                }
                let asked = "import paho.mqtt; print(paho.mqtt.__version__)";
                let version = Command::new(&python).args(["-c", asked]).output()?;
                let script = script("paho/busy_client.py");
                Ok(Some((
                    String::from_utf8_lossy(&version.stdout).trim().to_owned(),
                    format!(
                        "exec '{}' -B '{}' {arguments}",
                        python.display(),
                        script.display()
                    ),
                )))
            }
            Program::Node => {
                let modules = setup::node_modules();
                let package = modules.join("mqtt/package.json");
                let Ok(package) = std::fs::read_to_string(package) else {
                    return Ok(None);
                };
                let package: serde_json::Value = serde_json::from_str(&package)?;
                let version = package["version"].as_str().unwrap_or("unknown");
                let script = script("mqttjs/busy_client.mjs");
                Ok(Some((
                    version.to_owned(),
                    format!(
                        "NODE_MODULES='{}' exec node '{}' {arguments}",
                        modules.display(),
                        script.display()
                    ),
                )))
            }
        }
    }
}

fn script(name: &str) -> PathBuf {
    workspace::root().join("interop").join(name)
}
