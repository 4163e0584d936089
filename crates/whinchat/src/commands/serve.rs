//! `whinchat serve`: the broker as a service.
//!
//! Order at start: configuration, logs, file descriptors, the broker (which opens every port, then
//! takes the data directory), banner, service manager. Order at the end: the service manager is told, the
//! broker drains, the process ends.

mod banner;
mod data;
mod descriptors;
mod relief;
mod service_manager;
mod start;

use std::{path::PathBuf, pin::pin, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};
use whinchat_broker::{
    Broker, BrokerHandle, StartError,
    config::{Auto, Config, ConfigError, ListenerConfig, LogFormat, LogLevel},
};
use whinchat_transport::Endpoint;

use crate::{
    commands::store,
    exit::{Exit, print},
    logging::{self, LevelHandle},
};

#[derive(Clone, clap::Args)]
pub(crate) struct Args {
    /// Configuration in TOML; `whinchat config default` prints one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen, in place of the configuration's listeners: mqtt://HOST:PORT, ADDRESS:PORT or unix:PATH. May be given several times.
    #[arg(long, value_name = "URL")]
    listen: Vec<Endpoint>,
    /// Keep sessions, their messages, retained messages and Wills in this folder. Without it: $STATE_DIRECTORY, else /var/lib/whinchat as root, else $XDG_STATE_HOME/whinchat, else $HOME/.local/state/whinchat.
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    data_dir: Option<PathBuf>,
    /// Keep everything in memory: nothing survives a restart.
    #[arg(long)]
    ephemeral: bool,
    /// Threads that serve clients.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// The least severe that is logged.
    #[arg(long, value_enum, value_name = "LEVEL")]
    log_level: Option<LevelName>,
    /// The form of log lines.
    #[arg(long, value_enum, value_name = "FORM")]
    log_format: Option<FormatName>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum LevelName {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum FormatName {
    Text,
    Json,
}

pub(crate) fn run(args: Args) -> Exit {
    let mut config = match args.configuration() {
        Ok(config) => config,
        Err(error) => return Exit::Usage.with_error(error),
    };
    if config.general.data_dir == Auto::Auto {
        match data::usual_place() {
            Ok(place) => config.general.data_dir = Auto::Set(Some(place)),
            Err(error) => return Exit::Usage.with_error(error),
        }
    }
    let log_level = match logging::install(&config.log) {
        Ok(handle) => handle,
        Err(error) => return Exit::Runtime.with_error(error),
    };
    descriptors::raise_limit();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return Exit::Runtime.with_error(format_args!("cannot wait for signals: {error}"));
        }
    };
    runtime.block_on(serve(&args, config, &log_level))
}

impl Args {
    /// File, environment and flags together, checked.
    fn configuration(&self) -> Result<Config, ConfigError> {
        let mut config = Config::load(self.config.as_deref(), std::env::vars_os())?;
        if !self.listen.is_empty() {
            let configured = std::mem::take(&mut config.listeners);
            // A listener of the configuration at the same place keeps its settings.
            let listener = |url: &Endpoint| {
                let same = configured.iter().find(|listener| listener.url == *url);
                same.cloned()
                    .unwrap_or_else(|| ListenerConfig::new(url.clone()))
            };
            config.listeners = self.listen.iter().map(listener).collect();
        }
        if let Some(threads) = self.threads {
            config.general.threads = Auto::Set(threads);
        }
        if self.ephemeral {
            config.general.data_dir = Auto::Set(None);
        }
        if let Some(place) = &self.data_dir {
            config.general.data_dir = Auto::Set(Some(place.clone()));
        }
        if let Some(level) = self.log_level {
            config.log.level = match level {
                LevelName::Off => LogLevel::Off,
                LevelName::Error => LogLevel::Error,
                LevelName::Warn => LogLevel::Warn,
                LevelName::Info => LogLevel::Info,
                LevelName::Debug => LogLevel::Debug,
                LevelName::Trace => LogLevel::Trace,
            };
        }
        if let Some(format) = self.log_format {
            config.log.format = match format {
                FormatName::Text => LogFormat::Text,
                FormatName::Json => LogFormat::Json,
            };
        }
        config.check(false)?;
        Ok(config)
    }
}

async fn serve(args: &Args, config: Config, log_level: &LevelHandle) -> Exit {
    // Before the broker starts: a signal that comes meanwhile is kept.
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            return Exit::Runtime.with_error(format_args!("cannot wait for signals: {error}"));
        }
    };
    let mut drain = config.shutdown.drain;
    let data = match &config.general.data_dir {
        Auto::Set(place) => place.clone(),
        Auto::Auto => None,
    };
    let acks = config.acks.clone();
    let (bar, moves) = start::progress();
    let started = Broker::builder().config(config).on_progress(moves).start();
    bar.finish_and_clear();
    let broker = match started {
        Ok(broker) => broker,
        Err(error) if error.is_configuration() => return Exit::Usage.with_error(error),
        Err(error) if error.is_data() => {
            return match (&error, &data) {
                (StartError::Store(found), Some(path)) if store::is_damage(found) => {
                    Exit::Data.with_error(format_args!("{error}\n{}", store::advice(path)))
                }
                _ => Exit::Data.with_error(error),
            };
        }
        Err(error) => return Exit::Runtime.with_error(error),
    };
    if print(&banner::text(
        broker.local_endpoints(),
        broker.admin_address(),
        data.as_deref(),
        broker.ack(),
        &acks,
    )) != Exit::Ok
    {
        return Exit::Runtime;
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listeners = broker.local_endpoints().len(),
        "started"
    );
    service_manager::ready();
    let mut relief = pin!(relief::watch(broker.clone()));
    loop {
        let asked = tokio::select! {
            asked = signals.next() => asked,
            never = &mut relief => match never {},
            failure = broker.log_failed() => {
                // What was acknowledged is on disk; what was not, its sender sends again.
                return Exit::Disk.with_error(failure);
            }
        };
        match asked {
            Asked::Reload => {
                service_manager::reloading();
                if let Some(config) = reload(args, &broker, log_level) {
                    drain = config.shutdown.drain;
                }
                service_manager::ready();
            }
            Asked::Stop(name) => {
                tracing::info!(
                    signal = name,
                    drain_seconds = drain.as_secs_f64(),
                    "shutting down"
                );
                service_manager::stopping();
                return shut_down(broker, drain, &mut signals).await;
            }
        }
    }
}

/// Takes over what can change in a running broker; a configuration that is wrong changes nothing.
fn reload(args: &Args, broker: &BrokerHandle, log_level: &LevelHandle) -> Option<Config> {
    let counters = broker.metrics().shared();
    let taken = args
        .configuration()
        .map_err(|error| error.to_string())
        .and_then(|config| {
            broker.reload(&config).map_err(|error| error.to_string())?;
            Ok(config)
        });
    match taken {
        Ok(config) => {
            log_level.set(&config.log);
            counters.config_reloads.increment();
            tracing::info!(
                "reloaded the configuration: log level, limits and features; the rest needs a restart"
            );
            Some(config)
        }
        Err(error) => {
            counters.config_reload_errors.increment();
            tracing::error!(%error, "the configuration was not reloaded; the old one holds");
            None
        }
    }
}

/// Drains for at most `drain`; a second signal ends it at once.
async fn shut_down(broker: BrokerHandle, drain: Duration, signals: &mut Signals) -> Exit {
    let draining = tokio::task::spawn_blocking(move || broker.shutdown(drain));
    tokio::select! {
        ended = draining => match ended {
            Ok(()) => Exit::Ok,
            Err(error) => Exit::Runtime.with_error(format_args!("the shutdown failed: {error}")),
        },
        name = signals.next_stop() => {
            tracing::warn!(signal = name, "a second signal: not everything was sent");
            Exit::Runtime
        }
    }
}

/// What a signal asks for.
enum Asked {
    Stop(&'static str),
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Asked::Stop("SIGINT"),
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }

    async fn next_stop(&mut self) -> &'static str {
        loop {
            if let Asked::Stop(name) = self.next().await {
                return name;
            }
        }
    }
}
