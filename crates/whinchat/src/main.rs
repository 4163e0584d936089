//! The program `whinchat`: reads the command line and hands over to a subcommand.

mod commands;
mod exit;
mod logging;

use std::process::ExitCode;

use clap::Parser;

/// An MQTT broker (3.1, 3.1.1 and 5.0) and the tools to use it.
#[derive(Parser)]
#[command(
    name = "whinchat",
    version,
    max_term_width = 110,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> ExitCode {
    // Wrong usage ends here with code 2, `--help` and `--version` with 0.
    let cli = Cli::parse();
    cli.command.run().into()
}
