//! `cargo xtask test`: every test of every package, doc examples included.

use crate::Outcome;
use crate::process::{cargo, run as run_command};

pub(crate) const USAGE: &str = "
Usage: cargo xtask test [ARGUMENTS OF cargo test]

  cargo xtask test                    everything
  cargo xtask test -p whinchat-codec  one crate
  cargo xtask test -- qos2            tests with qos2 in their name
";

pub(crate) fn run(args: &[String]) -> Outcome {
    run_command(&mut test_command(args))
}

/// `cargo test` for the whole workspace, unless the arguments choose packages themselves.
fn test_command(args: &[String]) -> std::process::Command {
    let chooses = args
        .iter()
        .take_while(|arg| *arg != "--")
        .any(|arg| arg == "-p" || arg.starts_with("--package"));
    let whole: &[&str] = if chooses { &[] } else { &["--workspace"] };
    let mut command = cargo(["test"]);
    command.args(whole).args(args);
    command
}

#[cfg(test)]
mod tests {
    use super::test_command;
    use crate::process::shown;

    fn shown_for(args: &[&str]) -> String {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        shown(&test_command(&args))
    }

    #[test]
    fn the_whole_workspace_is_tested_unless_a_package_is_chosen() {
        assert_eq!(shown_for(&[]), "cargo test --workspace");
        assert_eq!(shown_for(&["--", "-p"]), "cargo test --workspace -- -p");
        assert_eq!(
            shown_for(&["-p", "whinchat-topic", "--", "tree"]),
            "cargo test -p whinchat-topic -- tree"
        );
    }
}
