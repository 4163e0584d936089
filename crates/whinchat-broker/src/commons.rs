//! What all shards of a broker share: the indexes, the log, the hooks, the counters, the mailboxes.
//!
//! Locks here are held for one look-up or one change, and in this order where two are held:
//! retained messages, then subscriptions, then groups.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use whinchat_store::Log;
use whinchat_topic::Subscribed;

use crate::{
    clock::Clock,
    core::{
        full_sessions::FullSessions,
        full_store::Share,
        groups::{Groups, Membership},
        keys::{SessionKey, ShardId, SubscriberKey, partition_of},
        mail::{Mail, SlotKey},
        memory::Memory,
        moving::Passes,
        retained::Retained,
        routing::SubscriptionIndex,
        sessions::Counted,
        spill::Spill,
    },
    hooks::{
        Action, Authentication, AuthenticationRequest, Decision, Exchange, Identity, Refusal,
        guard, installed::Hooks,
    },
    metrics::{Metrics, SharedMetrics},
    settings::Settings,
    shard::{
        handshakes::ConnectRates,
        mailbox::{CREDIT_BYTES, Mailbox},
        ready::ReadyList,
    },
};

pub(crate) struct Commons {
    settings: RwLock<Arc<Settings>>,
    pub(crate) subscriptions: SubscriptionIndex,
    pub(crate) retained: RwLock<Retained>,
    pub(crate) groups: Groups,
    pub(crate) full_sessions: FullSessions,
    pub(crate) lagging_sessions: FullSessions,
    pub(crate) log: Arc<dyn Log>,
    /// False where the log commits nothing that anybody has to wait for.
    pub(crate) log_is_awaited: bool,
    pub(crate) hooks: Hooks,
    pub(crate) metrics: Arc<Metrics>,
    /// One per shard; its last lane is for letters from outside the shards.
    pub(crate) mailboxes: Vec<Mailbox>,
    pub(crate) ready: Vec<Arc<ReadyList>>,
    pub(crate) clock: Clock,
    pub(crate) counts: Counts,
    pub(crate) memory: Memory,
    pub(crate) share: Share,
    pub(crate) passes: Passes,
    pub(crate) spill: Arc<Spill>,
    /// Told again and again once the log has failed.
    pub(crate) log_failed: Notify,
    pub(crate) connect_rates: Mutex<ConnectRates>,
    /// Who everybody is without an authenticator.
    pub(crate) anonymous: Identity,
    /// Where authenticators run; made when the first client has to be asked about.
    service: Mutex<Option<tokio::runtime::Runtime>>,
    next_message: AtomicU64,
    next_session: AtomicU64,
}

/// What is there now, across all shards.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) connections: AtomicUsize,
    /// Connections that have not shown who they are.
    pub(crate) handshakes: AtomicUsize,
    pub(crate) clients: AtomicUsize,
    pub(crate) sessions: AtomicUsize,
    /// Sessions that outlive their connection.
    pub(crate) durable_sessions: AtomicUsize,
    /// Those of them that belong to anonymous clients from other machines.
    pub(crate) anonymous_sessions: AtomicUsize,
    pub(crate) subscriptions: AtomicUsize,
}

impl Counts {
    pub(crate) fn count(&self, counted: Counted) {
        if counted != Counted::Transient {
            self.durable_sessions.fetch_add(1, Ordering::Relaxed);
        }
        if counted == Counted::DurableAnonymous {
            self.anonymous_sessions.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn uncount(&self, counted: Counted) {
        if counted != Counted::Transient {
            self.durable_sessions.fetch_sub(1, Ordering::Relaxed);
        }
        if counted == Counted::DurableAnonymous {
            self.anonymous_sessions.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Commons {
    pub(crate) fn new(
        shards: usize,
        settings: Settings,
        log: Arc<dyn Log>,
        log_is_awaited: bool,
        hooks: Hooks,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        let spill = Arc::new(Spill::new(Arc::clone(&log)));
        metrics.set_ack(settings.acks.broker());
        Self {
            settings: RwLock::new(Arc::new(settings)),
            subscriptions: SubscriptionIndex::default(),
            retained: RwLock::new(Retained::new()),
            groups: Groups::default(),
            full_sessions: FullSessions::default(),
            lagging_sessions: FullSessions::default(),
            log,
            log_is_awaited,
            hooks,
            metrics,
            mailboxes: (0..shards).map(|_| Mailbox::new(shards + 1)).collect(),
            ready: (0..shards)
                .map(|_| Arc::new(ReadyList::default()))
                .collect(),
            clock,
            counts: Counts::default(),
            memory: Memory::default(),
            share: Share::default(),
            passes: Passes::new(shards),
            spill,
            log_failed: Notify::new(),
            connect_rates: Mutex::default(),
            anonymous: Identity::anonymous(),
            service: Mutex::new(None),
            next_message: AtomicU64::new(1),
            next_session: AtomicU64::new(1),
        }
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read())
    }

    /// Puts new settings in force; every shard takes them over with its next turn.
    pub(crate) fn set_settings(&self, settings: Settings) {
        self.metrics.set_ack(settings.acks.broker());
        *self.settings.write() = Arc::new(settings);
        for shard in 0..self.shards() {
            self.send_from_outside(ShardId::new(shard), Mail::Reload);
        }
    }

    pub(crate) fn shards(&self) -> usize {
        self.mailboxes.len()
    }

    /// A letter from a thread that is no shard.
    pub(crate) fn send_from_outside(&self, to: ShardId, letter: Mail) {
        self.mailboxes[to.position()].put(self.shards(), &mut vec![letter]);
        self.ready[to.position()].wake_driver();
    }

    /// True if one of the other shards has not taken what `shard` has sent it: then `shard` reads no
    /// publishers until it has.
    pub(crate) fn is_out_of_credit(&self, shard: ShardId) -> bool {
        self.mailboxes
            .iter()
            .any(|mailbox| mailbox.waiting(shard.position()) > CREDIT_BYTES)
    }

    pub(crate) fn next_message_id(&self) -> u64 {
        self.next_message.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn next_session_number(&self) -> u64 {
        self.next_session.fetch_add(1, Ordering::Relaxed)
    }

    /// The numbers of messages and sessions that come next.
    pub(crate) fn numbers(&self) -> (u64, u64) {
        (
            self.next_message.load(Ordering::Relaxed),
            self.next_session.load(Ordering::Relaxed),
        )
    }

    /// Goes on with the numbers of an earlier broker, which are not used twice.
    pub(crate) fn begin_numbers_at(&self, message: u64, session: u64) {
        self.next_message.fetch_max(message, Ordering::Relaxed);
        self.next_session.fetch_max(session, Ordering::Relaxed);
    }

    /// Counts one more subscription, unless there are `max` of them.
    pub(crate) fn take_subscription(&self, max: usize) -> bool {
        let taken =
            self.counts
                .subscriptions
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                    (count < max).then_some(count + 1)
                });
        taken.is_ok()
    }

    /// Takes one subscription of a session out of the index and out of its group.
    pub(crate) fn remove_subscription(&self, session: SessionKey, text: &str) {
        match Subscribed::parse(text) {
            Ok(Subscribed::Plain(filter)) => {
                self.subscriptions
                    .write()
                    .remove(filter, &SubscriberKey::Session(session));
            }
            Ok(Subscribed::Shared(shared)) => {
                let mut filters = self.subscriptions.write();
                let left = self
                    .groups
                    .leave(shared.group(), shared.filter().as_str(), session);
                if let Some(Membership::GroupChanged(group)) = left {
                    filters.remove(shared.filter(), &SubscriberKey::Group(group));
                }
            }
            Err(_) => debug_assert!(false, "only parsed filters are subscribed"),
        }
        self.counts.subscriptions.fetch_sub(1, Ordering::Relaxed);
    }

    /// The shard where sessions of this client id live.
    pub(crate) fn home_of(&self, client_id: &str) -> ShardId {
        ShardId::new(usize::from(partition_of(client_id)) % self.shards())
    }

    /// Whether the client may do this to `topic`.
    pub(crate) fn may(
        &self,
        identity: &Identity,
        client_id: &str,
        action: Action<'_>,
        topic: &str,
    ) -> Decision {
        self.hooks
            .decide(identity, client_id, action, topic, self.shared_metrics())
    }

    pub(crate) fn shared_metrics(&self) -> &SharedMetrics {
        self.metrics.shared()
    }

    /// Asks the authenticator, away from the shards; the answer comes by mail.
    pub(crate) fn authenticate(
        self: &Arc<Self>,
        request: AuthenticationRequest,
        shard: ShardId,
        slot: SlotKey,
    ) {
        let commons = Arc::clone(self);
        self.ask(shard, slot, async move {
            let Some(hook) = &commons.hooks.authenticate else {
                return Err(Refusal::not_authorized());
            };
            let timeout = commons.settings().authentication_timeout;
            guard::authenticate(&**hook, &request, timeout, commons.shared_metrics()).await
        });
    }

    /// Goes on with an exchange, in the same way.
    pub(crate) fn proceed(
        self: &Arc<Self>,
        exchange: Box<dyn Exchange>,
        data: Bytes,
        shard: ShardId,
        slot: SlotKey,
    ) {
        let commons = Arc::clone(self);
        self.ask(shard, slot, async move {
            let timeout = commons.settings().authentication_timeout;
            guard::proceed(exchange, data, timeout, commons.shared_metrics()).await
        });
    }

    fn ask(
        self: &Arc<Self>,
        shard: ShardId,
        slot: SlotKey,
        answer: impl Future<Output = Result<Authentication, Refusal>> + Send + 'static,
    ) {
        let commons = Arc::clone(self);
        let mut service = self.service.lock();
        let service = service.get_or_insert_with(|| {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .max_blocking_threads(4)
                .thread_name("whinchat-auth")
                .enable_all()
                .build()
                .expect("a thread can be started while the broker serves")
        });
        service.spawn(async move {
            let outcome = answer.await;
            commons.send_from_outside(shard, Mail::Authenticated { slot, outcome });
        });
    }

    /// Ends what runs beside the shards.
    pub(crate) fn stop_service(&self) {
        if let Some(service) = self.service.lock().take() {
            service.shutdown_background();
        }
    }
}
