//! `whinchat config`: what the broker would be told, without starting it.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use whinchat_broker::config::{Config, Page};

use crate::exit::{Exit, print};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Reads FILE and the environment as `serve` would, and says all that is wrong with them.
    ///
    /// Ends with 0 if the broker would start with it, with 2 if not.
    Check {
        /// A file in TOML.
        file: PathBuf,
    },
    /// Prints a file with every option, its text and its default.
    Default,
    /// Prints a page of the operators' manual, in Markdown.
    Reference {
        /// Which one.
        #[arg(value_enum, default_value = "configuration")]
        page: PageName,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum PageName {
    /// Every option.
    Configuration,
    /// Every bound.
    Limits,
    /// Every metric.
    Metrics,
}

pub(crate) fn run(args: Args) -> Exit {
    match args.action {
        Action::Check { file } => {
            let checked = Config::load(Some(&file), std::env::vars_os()).and_then(|config| {
                config.check(false)?;
                Ok(config)
            });
            match checked {
                Ok(config) => print(&summary(&file.display().to_string(), &config)),
                Err(error) => Exit::Usage.with_error(error),
            }
        }
        Action::Default => print(&Config::default_file()),
        Action::Reference { page } => print(
            &match page {
                PageName::Configuration => Page::Configuration,
                PageName::Limits => Page::Limits,
                PageName::Metrics => Page::Metrics,
            }
            .text(),
        ),
    }
}

fn summary(file: &str, config: &Config) -> String {
    let mut text = format!("{file}: ok\n");
    for listener in &config.listeners {
        text += &format!("would listen on {}\n", listener.url);
    }
    text
}
