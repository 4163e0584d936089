//! Starting and stopping a broker: threads, listeners, handles.
//!
//! A broker installs nothing in its process: no subscriber for logs, no signal handler, no global
//! registry. Its threads end when its last [`BrokerHandle`] is dropped.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::Mutex;
use whinchat_session::SnapshotError;
use whinchat_store::{
    DurableLogOptions, Log, LogFailure, MemoryLog, OpenError,
    disk::{DataDirectory, DirectoryError},
};
use whinchat_transport::{DetachedListener, Endpoint, ListenError, ListenOptions, Peer, Stream};

use crate::{
    admin::{Admin, Readiness},
    clock::Clock,
    commons::Commons,
    config::{Ack, Auto, Config, ListenerConfig, LoopbackAddr},
    core::{keys::ShardId, mail::Mail},
    hooks::{Authenticate, Authorize, Intercept, installed::Hooks},
    metrics::Metrics,
    restoration::Restoration,
    settings::{Settings, SettingsError},
    shard::{
        Shard,
        accept::Accepting,
        driver::{Driver, Tick},
    },
    store::{Progress, Store},
};

/// A broker that is being set up. See [`Broker::builder`].
pub struct Broker {
    config: Config,
    hooks: Hooks,
    intercept: Option<Arc<dyn Intercept>>,
    pub(crate) clock: Clock,
    pub(crate) log: Option<Arc<dyn Log>>,
    pub(crate) store: Option<Store>,
    on_progress: Option<Progress>,
}

impl Broker {
    /// Begins with the default configuration, less its listeners: a broker opens no port that was
    /// not asked for.
    #[must_use]
    pub fn builder() -> Self {
        Self {
            config: Config::embedded(),
            hooks: Hooks::default(),
            intercept: None,
            clock: Clock::system(),
            log: None,
            store: None,
            on_progress: None,
        }
    }

    /// Takes the whole configuration, listeners included, in place of what was set so far.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Adds a listener. Port 0 takes a free one: see [`BrokerHandle::local_endpoints`].
    ///
    /// Anonymous clients are served there if it is a loopback address or a Unix socket, or if an
    /// authenticator says so.
    #[must_use]
    pub fn listen(mut self, endpoint: Endpoint) -> Self {
        self.config.listeners.push(ListenerConfig::new(endpoint));
        self
    }

    /// The number of shards, each a thread: 1 to 1,024. The default is what the process may use at a
    /// time.
    #[must_use]
    pub fn threads(mut self, threads: u16) -> Self {
        self.config.general.threads = Auto::Set(threads.clamp(1, SHARDS_MAX));
        self
    }

    /// Asks `authenticate` about every client.
    #[must_use]
    pub fn authenticate(mut self, authenticate: impl Authenticate) -> Self {
        self.hooks.authenticate = Some(Arc::new(authenticate));
        self
    }

    /// Asks `authorize` about every publish, subscription and will.
    #[must_use]
    pub fn authorize(mut self, authorize: impl Authorize) -> Self {
        self.hooks.set_authorize(Arc::new(authorize));
        self
    }

    /// Shows `intercept` what passes.
    #[must_use]
    pub fn intercept(mut self, intercept: impl Intercept) -> Self {
        self.intercept = Some(Arc::new(intercept));
        self
    }

    /// Takes the time from `clock`.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Keeps what must survive in `log`, and holds every ack back until `log` has committed what it
    /// vouches for.
    #[must_use]
    pub fn log(mut self, log: Arc<dyn Log>) -> Self {
        self.log = Some(log);
        self
    }

    /// Keeps what must survive in `store`, and begins with what an earlier broker kept there: sessions, what they are owed, retained messages, Wills.
    /// It takes the place of a [`log`](Self::log).
    #[must_use]
    pub fn store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }

    /// Keeps what must survive in this folder, as in a [`store`](Self::store): those take its place.
    ///
    /// The folder is made if it is not there, readable by its owner alone, and belongs to this broker until it has ended. [`start`](Self::start) takes it
    /// when all ports are open, and serves them when it was read back; [`start_stepped`](Self::start_stepped) takes it at once.
    #[must_use]
    pub fn data_directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.general.data_dir = Auto::Set(Some(path.into()));
        self
    }

    /// Calls `progress` while what an earlier broker kept is read back: with the bytes that were read, and that there are.
    #[must_use]
    pub fn on_progress(mut self, progress: impl FnMut(u64, u64) + Send + 'static) -> Self {
        self.on_progress = Some(Box::new(progress));
        self
    }

    /// Opens the listeners and starts the threads. Works inside any runtime or none.
    ///
    /// # Errors
    ///
    /// [`StartError`]: an address that cannot be listened on, a listener open to the network without
    /// a login, a value that is out of range, a data directory that cannot be used, or a thread that
    /// could not be started.
    pub fn start(mut self) -> Result<BrokerHandle, StartError> {
        let has_authenticator = self.hooks.has_authenticator();
        // A port that is taken is found before the store is touched.
        let listeners = bind_listeners(&self.config)?;
        let admin_failed = |address: LoopbackAddr| {
            move |source| StartError::Admin {
                address: address.get(),
                source,
            }
        };
        let admin = match self.config.admin.listen {
            Some(listen) => Some((listen, Admin::bind(listen).map_err(admin_failed(listen))?)),
            None => None,
        };
        let held = self.take_data_directory()?;
        let checkpoint = match self.store.take() {
            Some(store) => {
                let (log, checkpoint) = store.open(&self.clock)?;
                self.log = Some(log);
                Some(checkpoint)
            }
            None => None,
        };
        let commons = self.commons()?;
        let endpoints: Vec<Endpoint> = listeners
            .iter()
            .map(|(_, listener)| listener.endpoint().clone())
            .collect();
        let readiness = Arc::new(Readiness::default());
        let admin = match admin {
            Some((listen, listener)) => Some(
                Admin::start(
                    listener,
                    Arc::clone(&commons.metrics),
                    Arc::clone(&readiness),
                )
                .map_err(admin_failed(listen))?,
            ),
            None => None,
        };
        let threads = commons.shards();
        let restoration =
            checkpoint.map(|checkpoint| Arc::new(Restoration::new(checkpoint, &commons)));
        let running = Running {
            commons,
            endpoints,
            has_authenticator,
            shards: Mutex::new(Vec::with_capacity(threads)),
            next_shard: AtomicUsize::new(0),
            admin,
            readiness,
            _data_directory: held,
        };
        for position in 0..threads {
            let own = listeners
                .iter()
                .map(|(number, listener)| Ok((*number, listener.try_clone()?)))
                .collect::<io::Result<Vec<_>>>()
                .map_err(StartError::Thread)?;
            // If this fails, `running` is dropped and takes the threads before it along.
            let restoration = restoration.clone();
            let shard = spawn_shard(position, Arc::clone(&running.commons), own, restoration)?;
            running.shards.lock().push(shard);
        }
        if let Some(restoration) = &restoration {
            restoration.wait()?;
        }
        running.readiness.set_ready();
        Ok(BrokerHandle(Arc::new(running)))
    }

    /// Takes the folder that was named: its files are the store.
    pub(crate) fn take_data_directory(&mut self) -> Result<Option<DataDirectory>, DirectoryError> {
        let (Auto::Set(Some(path)), None, None) =
            (&self.config.general.data_dir, &self.store, &self.log)
        else {
            return Ok(None);
        };
        let held = DataDirectory::open(path)?;
        let options = DurableLogOptions::default();
        let store = Store::new(Arc::new(held.disk()), options);
        self.store = Some(match self.on_progress.take() {
            Some(progress) => store.on_progress(progress),
            None => store,
        });
        Ok(Some(held))
    }

    /// What all shards share, made of what was set; the wakers of the shards are in place.
    pub(crate) fn commons(&mut self) -> Result<Arc<Commons>, StartError> {
        if let Some(intercept) = self.intercept.take() {
            self.hooks
                .set_intercept(intercept)
                .map_err(|filter| StartError::InterestInvalid { filter })?;
        }
        let log_is_awaited = self.log.is_some();
        let has_authenticator = self.hooks.has_authenticator();
        let settings = Settings::new(&self.config, has_authenticator, log_is_awaited)?;
        let shards = shards(&self.config);
        let metrics = Arc::new(Metrics::new(shards));
        let log = self
            .log
            .take()
            .unwrap_or_else(|| Arc::new(MemoryLog::new()));
        metrics.set_log(Arc::clone(&log));
        let commons = Arc::new(Commons::new(
            shards,
            settings,
            log,
            log_is_awaited,
            std::mem::take(&mut self.hooks),
            metrics,
            self.clock.clone(),
        ));
        for (shard, ready) in commons.ready.iter().enumerate() {
            let on_move = Arc::clone(ready);
            commons.clock.on_move(move || on_move.wake_driver());
            let on_commit = Arc::clone(ready);
            commons
                .log
                .subscribe(shard, Box::new(move |_| on_commit.wake_driver()));
        }
        Ok(commons)
    }
}

/// More shards than any machine has cores; their number is part of keys of 16 bits.
const SHARDS_MAX: u16 = 1024;

fn shards(config: &Config) -> usize {
    let auto = || {
        thread::available_parallelism()
            .map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(SHARDS_MAX))
    };
    usize::from(config.general.threads.or_else(auto).clamp(1, SHARDS_MAX))
}

fn bind_listeners(config: &Config) -> Result<Vec<(u16, DetachedListener)>, StartError> {
    let mut listeners = Vec::with_capacity(config.listeners.len());
    for (number, listener) in config.listeners.iter().enumerate() {
        let number = u16::try_from(number).map_err(|_| StartError::TooManyListeners)?;
        let limits = config.limits_of(listener);
        let options = ListenOptions::default().with_tcp_keep_alive(limits.tcp_keep_alive_after);
        match DetachedListener::bind(&listener.url, &options) {
            Ok(bound) => listeners.push((number, bound)),
            Err(error) if listener.optional && error.kind() != io::ErrorKind::AddrInUse => {
                tracing::info!(url = %listener.url, %error, "not listening there: the machine does not have the address");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(listeners)
}

fn spawn_shard(
    position: usize,
    commons: Arc<Commons>,
    listeners: Vec<(u16, DetachedListener)>,
    restoration: Option<Arc<Restoration>>,
) -> Result<JoinHandle<()>, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        // One turn handles all that is ready: look for more right after it.
        .event_interval(1)
        .build()
        .map_err(StartError::Thread)?;
    let attached = {
        let _inside = runtime.enter();
        Accepting::attach(listeners)
    };
    let accepting = match attached {
        Ok(accepting) => accepting,
        Err(error) => {
            runtime.shutdown_background(); // may be dropped inside the caller's runtime
            return Err(StartError::Thread(error));
        }
    };
    thread::Builder::new()
        .name(format!("whinchat-{position}"))
        .spawn(move || {
            runtime.block_on(async move {
                let mut shard = Shard::new(ShardId::new(position), commons, accepting);
                if let Some(restoration) = restoration {
                    restoration.restore(&mut shard);
                }
                let driver = Driver::new(shard, Tick::of_the_runtime());
                // The driver ends its own turns: no budget of the runtime cuts into them.
                tokio::task::unconstrained(driver).await;
            });
        })
        .map_err(StartError::Thread)
}

/// What one direction of a connection inside the process holds.
pub(crate) const MEMORY_STREAM_BYTES: usize = 256 * 1024;

/// A running broker. Clones share it; dropping the last one stops it at once.
#[derive(Clone)]
pub struct BrokerHandle(Arc<Running>);

struct Running {
    commons: Arc<Commons>,
    endpoints: Vec<Endpoint>,
    has_authenticator: bool,
    shards: Mutex<Vec<JoinHandle<()>>>,
    next_shard: AtomicUsize,
    admin: Option<Admin>,
    readiness: Arc<Readiness>,
    /// Held until all threads have ended.
    _data_directory: Option<DataDirectory>,
}

impl BrokerHandle {
    /// Where the broker listens, in the order of its configuration, with the ports it got.
    #[must_use]
    pub fn local_endpoints(&self) -> &[Endpoint] {
        &self.0.endpoints
    }

    /// A client's end of a connection that needs no socket.
    ///
    /// It counts as a local one: anonymous unless an authenticator was given.
    #[must_use]
    pub fn connect_in_memory(&self) -> Stream {
        self.connect_in_memory_as(Peer::Memory)
    }

    /// The same for a program that brings its own transport: the broker takes the connection for one
    /// from `peer`, in its log, its limits per address and for its hooks.
    ///
    /// Anonymous clients are served unless an authenticator was given: give one if strangers can get
    /// this far.
    #[must_use]
    pub fn connect_in_memory_as(&self, peer: Peer) -> Stream {
        let (client, server) = Stream::pair(MEMORY_STREAM_BYTES);
        if !self.is_ready() {
            return client; // closed at its other end: nobody is served any more
        }
        let shard = self.0.next_shard.fetch_add(1, Ordering::Relaxed) % self.0.commons.shards();
        if let Ok(stream) = server.detach() {
            self.0
                .commons
                .send_from_outside(ShardId::new(shard), Mail::Inside { stream, peer });
        }
        client
    }

    /// When acks leave, unless their topic says otherwise.
    #[must_use]
    pub fn ack(&self) -> Ack {
        self.0.commons.settings().acks.broker()
    }

    /// All metrics, as Prometheus reads them.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.commons.metrics
    }

    /// Ends the connection of this client id, if there is one: 5.0 clients are told 0x98
    /// (Administrative action).
    pub fn disconnect_client(&self, client_id: &str) {
        let home = self.0.commons.home_of(client_id);
        self.0.commons.send_from_outside(
            home,
            Mail::Kick {
                client_id: client_id.into(),
            },
        );
    }

    /// Puts a new configuration in force as far as that is possible in a running broker: limits and
    /// features, for new connections. Listeners and threads stay.
    ///
    /// # Errors
    ///
    /// If a listener of the new configuration would be open to the network without a login, or its acks would wait for a store that this broker
    /// does not have; then the old one stays in force.
    pub fn reload(&self, config: &Config) -> Result<(), SettingsError> {
        let commons = &self.0.commons;
        let settings = Settings::new(config, self.0.has_authenticator, commons.log_is_awaited)?;
        commons.set_settings(settings);
        Ok(())
    }

    /// Returns when the log has failed: from then on nothing is acknowledged, and the process should end.
    pub async fn log_failed(&self) -> LogFailure {
        loop {
            // Registered before it is looked at, so that none is missed.
            let failed = self.0.commons.log_failed.notified();
            if let Some(failure) = self.0.commons.log.failure() {
                return failure;
            }
            failed.await;
        }
    }

    /// Where the admin port is, if it was configured.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.0.admin.as_ref().map(Admin::local_addr)
    }

    /// Whether clients are served: not any more once a shutdown has begun.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.readiness.is_ready()
    }

    /// Stops: tells 5.0 clients 0x8B (Server shutting down), sends what is queued for the sockets
    /// until `deadline` has passed, and returns when all threads have ended.
    ///
    /// Blocks its thread; call it from `spawn_blocking` inside a runtime.
    pub fn shutdown(&self, deadline: Duration) {
        self.0.begin_shutdown(deadline);
        self.0.join();
    }
}

impl Running {
    fn begin_shutdown(&self, within: Duration) {
        self.readiness.set_draining();
        let deadline = std::time::Instant::now() + within;
        for shard in 0..self.commons.shards() {
            self.commons
                .send_from_outside(ShardId::new(shard), Mail::Shutdown { deadline });
        }
    }

    fn join(&self) {
        for shard in self.shards.lock().drain(..) {
            // A shard that panicked has said so; there is nothing left to stop.
            shard.join().ok();
        }
        self.commons.stop_service();
        self.commons.log.close();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.begin_shutdown(Duration::ZERO);
        self.join();
    }
}

impl std::fmt::Debug for BrokerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerHandle")
            .field("endpoints", &self.0.endpoints)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Why a broker did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The configuration cannot be put in force.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// More listeners than can be numbered.
    #[error("more than 65,535 listeners")]
    TooManyListeners,
    /// The admin port cannot be opened.
    #[error(
        "cannot open the admin port at {address}: {source}; admin.listen takes another one, or \"none\""
    )]
    Admin {
        /// Where.
        address: SocketAddr,
        /// What the system answered.
        source: io::Error,
    },
    /// An interceptor is interested in something that is no topic filter.
    #[error("the interceptor's interest names {filter:?}, which is no topic filter")]
    InterestInvalid {
        /// The text.
        filter: String,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A session in the store cannot be read.
    #[error("a session in the store cannot be read: {0}")]
    Session(#[from] SnapshotError),
    /// A thread, or the files it needs, could not be made.
    #[error("cannot start a thread of the broker: {0}")]
    Thread(#[source] io::Error),
}

impl StartError {
    /// True if what an earlier broker kept cannot be used: it is in use, damaged, of a later release, or in a place that may not be used.
    #[must_use]
    pub fn is_data(&self) -> bool {
        matches!(self, Self::Directory(_) | Self::Store(_) | Self::Session(_))
    }

    /// True if the configuration has to change; false if the machine is in the way.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Settings(_) | Self::TooManyListeners | Self::InterestInvalid { .. } => true,
            Self::Listen(_)
            | Self::Admin { .. }
            | Self::Directory(_)
            | Self::Store(_)
            | Self::Session(_)
            | Self::Thread(_) => false,
        }
    }
}
