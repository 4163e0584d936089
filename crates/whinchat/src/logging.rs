//! Log lines on stderr: for people or for machines, one line per event whatever a client sends.
//!
//! Owns form, level and flood control. What is logged, and that no payload or password is among it,
//! is the business of the code that logs.

mod escape;
mod flood;
mod output;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, Registry, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};
use whinchat_broker::config::{LogConfig, LogFormat, LogLevel};

use output::Output;

/// Changes the level of a running program.
pub(crate) struct LevelHandle(reload::Handle<LevelFilter, Registry>);

impl LevelHandle {
    /// Takes the level of `config`; its form cannot be changed while the program runs.
    pub(crate) fn set(&self, config: &LogConfig) {
        if self.0.reload(level(config.level)).is_err() {
            tracing::error!("the log level could not be changed");
        }
    }
}

/// Installs the program's subscriber.
///
/// # Errors
///
/// If there is one already.
pub(crate) fn install(
    config: &LogConfig,
) -> Result<LevelHandle, tracing_subscriber::util::TryInitError> {
    let (filter, handle) = reload::Layer::new(level(config.level));
    let lines = tracing_subscriber::fmt::layer().with_ansi(false);
    let lines = match config.format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_writer(Output::json())
            .boxed(),
        LogFormat::Text | _ => lines.with_writer(Output::text()).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()?;
    Ok(LevelHandle(handle))
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
        // Levels that a later library knows are none of ours to guess.
        LogLevel::Info | _ => LevelFilter::INFO,
    }
}
