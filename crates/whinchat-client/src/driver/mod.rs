//! The task that owns the connection: it connects, serves, waits, and connects again.
//!
//! - [`connect`]: one attempt, from dialling to CONNACK.
//! - [`serve`]: an established connection; one poll is one turn: read, handle, take what the application asked, write once.
//! - [`incoming`] and [`outgoing`]: what a turn does with packets and commands.
//!
//! The driver never waits for the application: messages go into inboxes, and their acks wait for it instead. When the driver
//! goes, whatever the reason, its `Drop` tells everybody who waits.

mod connect;
mod incoming;
mod link;
mod operations;
mod outgoing;
mod serve;

use std::{collections::VecDeque, future::poll_fn, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    time::{Instant, Sleep, sleep},
};
use whinchat_codec::{ConnAckReason, DisconnectReason, ProtocolVersion, Utf8String};
use whinchat_session::SessionState;

use crate::{
    client::{CloseReport, Shared, UnsentMessage},
    command::{Command, Ending},
    dispatch::{Dispatch, Reader},
    driver::{operations::Operations, serve::Served},
    error::{CloseReason, ConnectError, DisconnectError},
    options::ClientOptions,
    outgoing::Outgoing,
    receipts::Receipts,
    reconnect::{Backoff, Failure},
    status::{Interruption, Status},
};

/// Starts the driver. `first` is told how the first attempt went; if it fails, the client is at its end.
pub(crate) fn spawn(
    options: ClientOptions,
    shared: Arc<Shared>,
    first: Option<oneshot::Sender<Result<(), ConnectError>>>,
) {
    let driver = Driver::new(options, shared);
    tokio::spawn(driver.run(first));
}

struct Driver {
    options: ClientOptions,
    shared: Arc<Shared>,
    session: SessionState<Outgoing>,
    /// Accepted and not with the engine: first what came back from a connection that ended, then what is new.
    unsent: VecDeque<Outgoing>,
    commands: VecDeque<Command>,
    dispatch: Dispatch,
    receipts: Receipts,
    operations: Operations,
    /// The readers of the message at hand; kept for its memory.
    readers: Vec<Reader>,
    backoff: Backoff,
    /// The version to try next.
    version: ProtocolVersion,
    /// Ours, or the one that the broker assigned.
    client_id: Utf8String,
    was_connected: bool,
    /// The time at the beginning of this turn.
    now: whinchat_session::Instant,
    finished: Finished,
    closing: Option<Closing>,
    end: CloseReason,
}

/// Messages whose room in the quota is to be given back.
#[derive(Default)]
struct Finished {
    messages: usize,
    bytes: usize,
}

/// The application asked for the end.
struct Closing {
    /// How long to wait for what is under way.
    timer: Pin<Box<Sleep>>,
    report: oneshot::Sender<CloseReport>,
}

enum Next {
    Retry(Interruption, Failure),
    Stop(CloseReason),
}

impl Driver {
    fn new(options: ClientOptions, shared: Arc<Shared>) -> Self {
        Self {
            session: SessionState::new(),
            unsent: VecDeque::new(),
            commands: VecDeque::new(),
            dispatch: Dispatch::default(),
            receipts: Receipts::default(),
            operations: Operations::default(),
            readers: Vec::new(),
            backoff: Backoff::new(options.reconnect.clone()),
            version: options.first_version(),
            client_id: options.client_id.clone(),
            was_connected: false,
            now: whinchat_session::Instant::ORIGIN,
            finished: Finished::default(),
            closing: None,
            end: CloseReason::RuntimeEnded,
            options,
            shared,
        }
    }

    async fn run(mut self, mut first: Option<oneshot::Sender<Result<(), ConnectError>>>) {
        self.end = loop {
            self.shared.status.send_replace(Status::Connecting);
            let next = match self.until_asked_to_end(Self::connect).await {
                None => break CloseReason::ByApplication,
                Some(Ok(link)) => {
                    self.was_connected = true;
                    if let Some(first) = first.take() {
                        let _ = first.send(Ok(())); // if nobody listens, the handle is gone and the end was asked for
                    }
                    let since = Instant::now();
                    match self.serve(link).await {
                        Served::Ended => break CloseReason::ByApplication,
                        Served::Lost(error) => {
                            self.backoff.connection_lasted(since.elapsed());
                            self.after_disconnect(error)
                        }
                    }
                }
                Some(Err(error)) => match first.take() {
                    Some(first) => {
                        let _ = first.send(Err(error.clone()));
                        Next::Stop(CloseReason::Connect(error))
                    }
                    None => self.after_failed_attempt(error),
                },
            };
            let (because, failure) = match next {
                Next::Retry(because, failure) => (because, failure),
                Next::Stop(reason) => break reason,
            };
            let wait = self.backoff.next_wait(failure, fastrand::f64());
            tracing::warn!(%because, ?wait, "not connected");
            self.shared.status.send_replace(Status::Waiting {
                because,
                retry_after: wait,
            });
            if self
                .until_asked_to_end(async |_: &mut Self| sleep(wait).await)
                .await
                .is_none()
            {
                break CloseReason::ByApplication;
            }
        };
    }

    /// Does something unless the application asks for the end meanwhile.
    async fn until_asked_to_end<T>(
        &mut self,
        something: impl AsyncFnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            biased;
            () = poll_fn(|cx| shared.outbox.poll_ending(cx)) => None,
            done = something(self) => Some(done),
        }
    }

    fn after_failed_attempt(&self, error: ConnectError) -> Next {
        let policy = self.backoff.policy();
        let failure = match &error {
            ConnectError::Refused(refusal) => match what_refusal_means(refusal.reason) {
                Some(failure) => failure,
                None => return Next::Stop(CloseReason::Connect(error)),
            },
            ConnectError::Options(_) | ConnectError::NotSendable(_) | ConnectError::Closed => {
                return Next::Stop(CloseReason::Connect(error));
            }
            ConnectError::Dial(_)
            | ConnectError::NoStream(_)
            | ConnectError::NotConnAck
            | ConnectError::Transport(_)
            | ConnectError::TimedOut { .. }
            | ConnectError::Credentials(_)
            | ConnectError::Protocol(_) => Failure::Transient,
        };
        let refused_for_good =
            failure == Failure::Credentials && policy.stops_on_refused_credentials();
        if !policy.is_enabled() || refused_for_good {
            return Next::Stop(CloseReason::Connect(error));
        }
        Next::Retry(Interruption::NotConnected(error), failure)
    }

    fn after_disconnect(&self, error: DisconnectError) -> Next {
        let failure = match &error {
            // Two clients of one id would take over from each other for ever; a moved server is not here any more.
            DisconnectError::ByServer(disconnect)
                if matches!(
                    disconnect.reason,
                    DisconnectReason::SessionTakenOver | DisconnectReason::ServerMoved
                ) =>
            {
                return Next::Stop(CloseReason::Disconnect(error));
            }
            DisconnectError::ByServer(disconnect)
                if disconnect.reason == DisconnectReason::NotAuthorized =>
            {
                Failure::Credentials
            }
            DisconnectError::ByServer(_)
            | DisconnectError::Transport(_)
            | DisconnectError::Protocol(_)
            | DisconnectError::TooMuchUnread { .. } => Failure::Transient,
        };
        let policy = self.backoff.policy();
        let refused_for_good =
            failure == Failure::Credentials && policy.stops_on_refused_credentials();
        if !policy.is_enabled() || refused_for_good {
            return Next::Stop(CloseReason::Disconnect(error));
        }
        Next::Retry(Interruption::Disconnected(error), failure)
    }

    /// Tells the application how a message ended.
    fn finish(
        &mut self,
        message: &Outgoing,
        result: Result<crate::publish::PublishOutcome, crate::error::PublishError>,
    ) {
        if message.complete(result) {
            self.finished.messages += 1;
            self.finished.bytes += message.message().queue_bytes();
        }
    }

    /// Takes out everything that is not finished.
    fn leftovers(&mut self, never_looked_at: VecDeque<Command>) -> CloseReport {
        let mut report = CloseReport::default();
        for left in self.session.take_unacked(|_| true) {
            let message = UnsentMessage::from(left.message.message());
            if left.was_sent {
                report.unacknowledged.push(message)
            } else {
                report.unsent.push(message)
            }
        }
        // What the engine keeps for itself was sent at QoS 2 and may have arrived.
        self.session
            .clear(|message| report.unacknowledged.push(message.message().into()));
        report.unsent.extend(
            self.unsent
                .drain(..)
                .map(|message| message.message().into()),
        );
        for command in self.commands.drain(..).chain(never_looked_at) {
            if let Command::Publish(message) = command {
                report.unsent.push(message.message().into());
            }
        }
        report
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let reason = self.end.clone();
        let never_looked_at = self.shared.outbox.close(reason.clone());
        let report = self.leftovers(never_looked_at);
        self.dispatch.end_all();
        self.shared.unclaimed.end();
        self.shared.responses.close();
        self.shared.status.send_replace(Status::Closed(reason));
        let closing = self.closing.take().map(|closing| closing.report);
        let asked = || match self.shared.outbox.take_ending() {
            Some(Ending::Close { report, .. }) => Some(report),
            Some(Ending::Abandoned) | None => None,
        };
        if let Some(reply) = closing.or_else(asked) {
            let _ = reply.send(report); // the caller may have stopped waiting
        }
    }
}

/// What a refused CONNECT says about the next: `None` if it would be refused again.
fn what_refusal_means(reason: ConnAckReason) -> Option<Failure> {
    match reason {
        ConnAckReason::BadUserNameOrPassword
        | ConnAckReason::NotAuthorized
        | ConnAckReason::BadAuthenticationMethod => Some(Failure::Credentials),
        ConnAckReason::UnsupportedProtocolVersion
        | ConnAckReason::ClientIdentifierNotValid
        | ConnAckReason::Banned
        | ConnAckReason::TopicNameInvalid
        | ConnAckReason::PacketTooLarge
        | ConnAckReason::PayloadFormatInvalid
        | ConnAckReason::RetainNotSupported
        | ConnAckReason::QoSNotSupported
        | ConnAckReason::ServerMoved => None,
        ConnAckReason::Success
        | ConnAckReason::UnspecifiedError
        | ConnAckReason::MalformedPacket
        | ConnAckReason::ProtocolError
        | ConnAckReason::ImplementationSpecificError
        | ConnAckReason::ServerUnavailable
        | ConnAckReason::ServerBusy
        | ConnAckReason::QuotaExceeded
        | ConnAckReason::UseAnotherServer
        | ConnAckReason::ConnectionRateExceeded => Some(Failure::Transient),
    }
}

/// How long a DISCONNECT may take to leave, and the peer to hang up after it.
const GOODBYE: Duration = Duration::from_secs(1);
