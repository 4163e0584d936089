//! An established connection, turn by turn.
//!
//! A turn reads what has come and handles it, takes what the application asked for, lets acks leave, and writes once. It ends when
//! there is nothing to do; then everything that may bring more has the task's waker. Reading comes before the deadlines, so that
//! a process that was stopped for a while does not take the peer for dead.

use std::{
    future::{Future, poll_fn},
    task::{Context, Poll},
};

use tokio::time::{sleep_until, timeout};
use whinchat_codec::{DisconnectProperties, DisconnectReason};

use super::{Closing, Driver, GOODBYE, link::Link};
use crate::{
    command::Ending,
    error::{DisconnectError, ProtocolFault},
};

pub(super) enum Served {
    /// The application asked for it.
    Ended,
    Lost(DisconnectError),
}

enum Turn {
    /// Something happened: there may be more.
    Busy,
    Idle,
    /// Everything is said.
    Done,
    /// The last handle was dropped.
    Abandoned,
}

impl Driver {
    pub(super) async fn serve(&mut self, mut link: Link) -> Served {
        let served = poll_fn(|cx| self.poll_serve(cx, &mut link)).await;
        match served {
            Ok(Turn::Abandoned) => {
                self.connection_ended(link);
                Served::Ended
            }
            Ok(Turn::Busy | Turn::Idle | Turn::Done) => {
                let properties = DisconnectProperties::new();
                // Refused would be a longer session expiry, or a reason that clients do not have.
                let _ = link.connection.disconnect(
                    DisconnectReason::NormalDisconnection,
                    properties,
                    &mut link.outgoing,
                );
                // What it could not say in this time, it does not say.
                let _ = timeout(GOODBYE, link.hang_up()).await;
                self.connection_ended(link);
                Served::Ended
            }
            Err(error) => {
                tracing::debug!(%error, "connection ended");
                self.say_why(&mut link, &error).await;
                self.connection_ended(link);
                Served::Lost(error)
            }
        }
    }

    fn poll_serve(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link,
    ) -> Poll<Result<Turn, DisconnectError>> {
        match self.turn(cx, link)? {
            Turn::Busy => {
                // Who reads what has come does so while it is still in the processor's cache.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Turn::Idle => Poll::Pending,
            over @ (Turn::Done | Turn::Abandoned) => Poll::Ready(Ok(over)),
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>, link: &mut Link) -> Result<Turn, DisconnectError> {
        self.now = self.shared.now();
        let mut busy = false;
        if let Poll::Ready(packets) = link.poll_read(cx) {
            self.handle_packets(link, &packets?)?;
            busy = true;
        }
        busy |= self.take_commands(cx, link);
        self.send_acks(link);
        self.run_timers(cx, link)?;

        let flushed = link.poll_flush(cx)?;
        self.after_write(link, flushed.is_ready());
        // What was queued may have followed what was written, and is to be written in its turn.
        busy |= flushed.is_ready() && link.has_unwritten();
        self.give_back_room();
        let turn = self.poll_end(cx, link);
        Ok(if busy && matches!(turn, Turn::Idle) {
            Turn::Busy
        } else {
            turn
        })
    }

    fn run_timers(&mut self, cx: &mut Context<'_>, link: &mut Link) -> Result<(), DisconnectError> {
        while let Some(deadline) = link.connection.poll_timeout() {
            let deadline =
                self.shared.origin + deadline.saturating_since(whinchat_session::Instant::ORIGIN);
            if link.poll_deadline(cx, deadline).is_pending() {
                break;
            }
            let now = self.now;
            link.connection
                .handle_timeout(now, &mut link.outgoing)
                .map_err(|violation| {
                    DisconnectError::Protocol(ProtocolFault::Violation(violation))
                })?;
        }
        Ok(())
    }

    /// Whether the end was asked for, and has come.
    fn poll_end(&mut self, cx: &mut Context<'_>, link: &Link) -> Turn {
        if self.closing.is_none() {
            if self.shared.outbox.poll_ending(cx).is_pending() {
                return Turn::Idle;
            }
            match self.shared.outbox.take_ending() {
                Some(Ending::Close { until, report }) => {
                    self.closing = Some(Closing {
                        timer: Box::pin(sleep_until(until)),
                        report,
                    });
                }
                Some(Ending::Abandoned) | None => return Turn::Abandoned,
            }
        }
        let nothing_left = self.session.in_flight() == 0
            && self.session.queue_len() == 0
            && self.unsent.is_empty()
            && self.commands.is_empty()
            && self.operations.is_empty()
            && !link.has_unwritten();
        let over = self
            .closing
            .as_mut()
            .is_none_or(|closing| closing.timer.as_mut().poll(cx).is_ready());
        if nothing_left || over {
            Turn::Done
        } else {
            Turn::Idle
        }
    }

    /// Tells the broker what it did wrong, if there is anybody to tell.
    async fn say_why(&mut self, link: &mut Link, error: &DisconnectError) {
        match error {
            DisconnectError::Transport(_) | DisconnectError::ByServer(_) => return,
            DisconnectError::Protocol(ProtocolFault::Decode(error)) => {
                link.connection
                    .close_on_malformed(error, &mut link.outgoing);
            }
            DisconnectError::Protocol(ProtocolFault::Violation(violation)) => {
                link.connection
                    .close_on_violation(*violation, &mut link.outgoing);
            }
            DisconnectError::TooMuchUnread { .. } => {
                let properties = DisconnectProperties::new();
                let _ = link.connection.disconnect(
                    DisconnectReason::QuotaExceeded,
                    properties,
                    &mut link.outgoing,
                );
            }
        }
        // A peer that does not read is left alone after this.
        let _ = timeout(GOODBYE, poll_fn(|cx| link.poll_flush(cx))).await;
    }

    /// Takes back what belongs to the connection.
    fn connection_ended(&mut self, mut link: Link) {
        self.after_write(&mut link, false);
        for message in link.into_unwritten().rev() {
            self.unsent.push_front(message);
        }
        self.receipts.connection_ended();
        self.operations.connection_ended();
        self.give_back_room();
    }

    fn give_back_room(&mut self) {
        let finished = std::mem::take(&mut self.finished);
        if finished.messages > 0 {
            self.shared
                .outbox
                .give_back(finished.messages, finished.bytes);
        }
    }
}
