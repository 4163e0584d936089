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
use super::load::{ConnectionPlan, Load, Part};
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
        let thread = Rc::new(Self {
            load,
            gauges,
            phase,
            dialing,
            pacer: Pacer::new()?,
            scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
            tally: RefCell::new(Tally::new()),
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
        let tally = thread.tally.replace(Tally::new());
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
