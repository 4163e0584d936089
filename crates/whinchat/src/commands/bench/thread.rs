//! One thread of the load generator: a runtime of its own and the connections that live on it.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::{Builder, JoinHandle};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::connection;
use super::failure::Failure;
use super::gauge::Gauge;
use super::ledger::Ledger;
use super::load::{ConnectionPlan, Load, Part, Topology};
use super::pacer::Pacer;
use super::subscriber::Tally;
use super::wire::SCRATCH_BYTES;

/// Where the whole run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Connections are made.
    Connect,
    /// Publishers send.
    Publish {
        /// From when on; [`now_ns`](super::clock::now_ns).
        start_ns: u64,
    },
    /// Everybody leaves.
    Close,
}

/// What a connection tells the coordinator.
#[derive(Debug)]
pub(super) enum Notice {
    /// Connected and subscribed.
    Ready,
    Failed {
        client_id: String,
        failure: Failure,
    },
}

/// What all threads share.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) load: Arc<Load>,
    /// By publisher number.
    pub(super) gauges: Arc<[Gauge]>,
    pub(super) phase: watch::Receiver<Phase>,
    /// A permit for each connection that may be in the making.
    pub(super) dialing: Arc<Semaphore>,
    pub(super) notices: mpsc::Sender<Notice>,
}

/// What the connections of one thread share.
pub(super) struct Thread {
    pub(super) load: Arc<Load>,
    pub(super) gauges: Arc<[Gauge]>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) dialing: Arc<Semaphore>,
    pub(super) pacer: Pacer,
    pub(super) scratch: RefCell<Vec<u8>>,
    pub(super) tally: RefCell<Tally>,
    /// The book of the group, if its members live here.
    pub(super) group: Option<Rc<RefCell<Ledger>>>,
    notices: mpsc::Sender<Notice>,
}

impl Thread {
    /// Starts a thread with these connections; it ends after [`Phase::Close`].
    pub(super) fn spawn(
        common: Common,
        plans: Vec<ConnectionPlan>,
    ) -> io::Result<JoinHandle<io::Result<Tally>>> {
        Builder::new().name("bench".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(Default::default())?;
            runtime.block_on(Self::run(common, plans))
        })
    }

    async fn run(common: Common, plans: Vec<ConnectionPlan>) -> io::Result<Tally> {
        let Common {
            load,
            gauges,
            phase,
            dialing,
            notices,
        } = common;
        let group = match load.topology {
            Topology::Shared { publishers, .. } => {
                Some(Rc::new(RefCell::new(Ledger::new(0..publishers))))
            }
            Topology::Pairs { .. } | Topology::All { .. } | Topology::Idle { .. } => None,
        };
        // All members live on one thread; elsewhere the book stays empty and says nothing.
        let has_members = plans
            .iter()
            .any(|plan| matches!(plan.part, Part::Member { .. }));
        let thread = Rc::new(Self {
            load,
            gauges,
            phase,
            dialing,
            pacer: Pacer::new()?,
            scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
            tally: RefCell::new(Tally::new()),
            group: group.filter(|_| has_members),
            notices,
        });
        let mut connections = JoinSet::new();
        for plan in plans {
            let thread = Rc::clone(&thread);
            connections.spawn_local(async move {
                if let Err(failure) = connection::run(&plan, Rc::clone(&thread)).await {
                    thread.report_failure(&plan, failure);
                }
            });
        }
        let pacer = Rc::clone(&thread);
        tokio::select! {
            joined = async { while connections.join_next().await.transpose()?.is_some() {} io::Result::Ok(()) } => joined?,
            failed = pacer.pacer.run() => match failed? {},
        }
        drop(pacer);
        let mut tally = thread.tally.replace(Tally::new());
        if let Some(group) = &thread.group {
            let sent =
                |publisher: u32| thread.gauges.get(publisher as usize).map_or(0, Gauge::sent);
            tally.lost += group.borrow().missing(sent);
        }
        Ok(tally)
    }

    pub(super) fn report_ready(&self) {
        // The coordinator is gone only if the run has failed already.
        let _ = self.notices.send(Notice::Ready);
    }

    pub(super) fn report_failure(&self, plan: &ConnectionPlan, failure: Failure) {
        if let Part::Publisher { number, .. } = plan.part
            && let Some(gauge) = self.gauges.get(number as usize)
        {
            gauge.finish(0);
        }
        let client_id = plan.client_id.clone();
        let _ = self.notices.send(Notice::Failed { client_id, failure });
    }
}
