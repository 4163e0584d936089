//! `cargo xtask setup`: what the tests need beyond a Rust toolchain, each only if it is missing.
//!
//! System packages are the only thing that touches the machine outside this folder: [`debian`] asks before it does.
//! Everything else lies under `.tools/`, which git ignores and anyone may delete.

mod cargo_tools;
mod debian;
mod node;
mod python;

use std::path::PathBuf;

use crate::{Outcome, no_arguments, workspace};

pub(crate) const USAGE: &str = "
Usage: cargo xtask setup

Installs, each only if it is missing:
  Debian packages    mosquitto, mosquitto-clients, valgrind, nodejs, npm,
                     tshark, python3-venv
                     (as root or with CI=true; else the command is shown and the chore ends with code 1)
  .tools/venv        a Python virtual environment with paho-mqtt, as interop/requirements.txt says
  .tools/node        mqtt.js and mqtt-packet, as interop/package-lock.json says
  .tools/cargo       cargo-fuzz, and gungraun-runner in the version of the workspace's gungraun

The mosquitto package brings a service: it is kept from starting, unless mosquitto was there before.
";

pub(crate) fn run(args: &[String]) -> Outcome {
    no_arguments(args)?;
    debian::install_missing()?;
    python::install_missing()?;
    node::install_missing()?;
    cargo_tools::install_missing()
}

/// The Python that has paho-mqtt.
pub(crate) fn python() -> PathBuf {
    workspace::tools().join("venv/bin/python")
}

/// The folder in which Node.js finds mqtt.js and mqtt-packet.
pub(crate) fn node_modules() -> PathBuf {
    workspace::tools().join("node/node_modules")
}

/// The folder of cargo's subcommands that `setup` installed.
pub(crate) fn cargo_bin() -> PathBuf {
    workspace::tools().join("cargo/bin")
}
