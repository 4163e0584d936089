//! Debian packages: named always, installed only by someone who may.

use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::process::{command, find_program, read, run};

/// A program that a check starts, and the package that has it.
struct Needed {
    program: &'static str,
    package: &'static str,
}

const NEEDED: &[Needed] = &[
    Needed {
        program: "mosquitto",
        package: "mosquitto",
    },
    Needed {
        program: "mosquitto_pub",
        package: "mosquitto-clients",
    },
    Needed {
        program: "valgrind",
        package: "valgrind",
    },
    Needed {
        program: "node",
        package: "nodejs",
    },
    Needed {
        program: "npm",
        package: "npm",
    },
    Needed {
        program: "tshark",
        package: "tshark",
    },
    Needed {
        program: "strace",
        package: "strace",
    },
    Needed {
        program: "python3",
        package: "python3",
    },
];

const SERVICE: &str = "mosquitto.service";

pub(super) fn install_missing() -> Outcome {
    let mut missing: Vec<&str> = NEEDED
        .iter()
        .filter(|needed| find_program(needed.program, &[]).is_none())
        .map(|needed| needed.package)
        .collect();
    // Debian's Python leaves the part that fills a virtual environment to a package of its own.
    if missing.contains(&"python3")
        || read(&mut command("python3", ["-c", "import ensurepip, venv"])).is_err()
    {
        missing.push("python3-venv");
    }
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!("apt-get install {}", missing.join(" "));
    if find_program("apt-get", &[]).is_none() {
        return Err(format!(
            "missing programs; their Debian packages are called: {}",
            missing.join(" ")
        )
        .into());
    }
    let Some(privilege) = Privilege::of_this_run()? else {
        return Err(format!("system packages are missing; install them with\n  sudo {by_hand}\nor let this chore do it: CI=true cargo xtask setup").into());
    };
    let brings_service = missing.contains(&"mosquitto");
    if brings_service {
        keep_service_down(privilege)?;
    }
    let installed = install(privilege, &missing);
    if brings_service {
        release_service(privilege)?;
    }
    installed
}

fn install(privilege: Privilege, packages: &[&str]) -> Outcome {
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    if run(&mut privilege.command("apt-get", &arguments)).is_ok() {
        return Ok(());
    }
    // A machine that has never asked, or not for long, knows no packages or old addresses.
    run(&mut privilege.command("apt-get", &["update"]))?;
    run(&mut privilege.command("apt-get", &arguments))
}

/// How this run may change the system.
#[derive(Clone, Copy)]
enum Privilege {
    Root,
    Sudo,
}

impl Privilege {
    /// Root may; anyone may who says `CI=true` and needs no password for it.
    fn of_this_run() -> Result<Option<Self>, Box<dyn std::error::Error>> {
        if read(&mut command("id", ["-u"]))?.trim() == "0" {
            return Ok(Some(Self::Root));
        }
        Ok(std::env::var("CI")
            .is_ok_and(|value| value == "true")
            .then_some(Self::Sudo))
    }

    /// The command with this privilege. `RUNLEVEL=1` tells Debian's scripts, where there is no systemd, that
    /// services are not to be started.
    fn command(self, program: &str, args: &[&str]) -> Command {
        let mut words = match self {
            Self::Root => vec!["env"],
            Self::Sudo => vec!["sudo", "-n", "env"],
        };
        words.extend(["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", program]);
        words.extend(args);
        command(words.remove(0), words)
    }
}

fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Masks the service until the next boot at most, so that installing the package does not take port 1883.
fn keep_service_down(privilege: Privilege) -> Outcome {
    if has_systemd() {
        run(&mut privilege.command("systemctl", &["mask", "--runtime", SERVICE]))
    } else {
        Ok(())
    }
}

/// Gives the service back to the machine's owner, disabled: it starts when they say so.
fn release_service(privilege: Privilege) -> Outcome {
    if !has_systemd() {
        // An init script may have been run despite the run level. A service that does not run is stopped as well.
        return if find_program("service", &[]).is_some() {
            run(&mut privilege.command("service", &["mosquitto", "stop"]))
        } else {
            Ok(())
        };
    }
    run(&mut privilege.command("systemctl", &["unmask", "--runtime", SERVICE]))?;
    run(&mut privilege.command("systemctl", &["disable", SERVICE]))
}
