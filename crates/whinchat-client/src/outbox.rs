//! Where the application's wishes wait for the driver.
//!
//! One short lock guards a list of commands and the quota of messages. The driver takes the whole list at once and goes to sleep
//! only when it is empty, so that a busy client costs one wake for many messages.

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

use crate::{
    command::{Command, Ending},
    error::{CloseReason, PublishError},
    outgoing::{Outgoing, OutgoingMessage, OutgoingRef},
    quota::{Place, Quota},
};

pub(crate) struct Outbox {
    state: Mutex<State>,
}

struct State {
    commands: VecDeque<Command>,
    quota: Quota,
    /// Somebody asked for the end; how, until the driver takes it.
    ending: Option<Option<Ending>>,
    closed: Option<CloseReason>,
    driver: Option<Waker>,
}

impl Outbox {
    pub(crate) fn new(quota: Quota) -> Self {
        Self {
            state: Mutex::new(State {
                commands: VecDeque::new(),
                quota,
                ending: None,
                closed: None,
                driver: None,
            }),
        }
    }

    /// Accepts a message, or waits in line for room. `message` is taken when it was accepted or is refused.
    pub(crate) fn poll_publish(
        &self,
        cx: &mut Context<'_>,
        message: &mut Option<OutgoingMessage>,
        place: &mut Option<Place>,
    ) -> Poll<Result<OutgoingRef, PublishError>> {
        let Some(bytes) = message.as_ref().map(OutgoingMessage::queue_bytes) else {
            return Poll::Ready(Err(PublishError::Closed(CloseReason::ByApplication)));
        };
        let mut state = self.state.lock();
        if let Err(error) = state.check_can_accept(bytes) {
            return Poll::Ready(Err(error));
        }
        if !state.quota.take(bytes, place.as_ref()) {
            state.quota.wait(bytes, place, cx.waker());
            return Poll::Pending;
        }
        *place = None;
        let next = state.quota.whom_to_wake();
        let accepted = message.take().map(Outgoing::new);
        let Some((outgoing, reference)) = accepted else {
            return Poll::Ready(Err(PublishError::Closed(CloseReason::ByApplication)));
        };
        let driver = state.push(Command::Publish(outgoing));
        drop(state);
        wake(driver);
        wake(next);
        Poll::Ready(Ok(reference))
    }

    /// Accepts a message if there is room at once.
    pub(crate) fn try_publish(
        &self,
        message: OutgoingMessage,
    ) -> Result<OutgoingRef, PublishError> {
        let bytes = message.queue_bytes();
        let mut state = self.state.lock();
        state.check_can_accept(bytes)?;
        if !state.quota.take(bytes, None) {
            return Err(PublishError::QueueFull {
                messages: state.quota.messages(),
                bytes: state.quota.bytes(),
                messages_max: state.quota.messages_max(),
                bytes_max: state.quota.bytes_max(),
            });
        }
        let (outgoing, reference) = Outgoing::new(message);
        let driver = state.push(Command::Publish(outgoing));
        drop(state);
        wake(driver);
        Ok(reference)
    }

    /// Leaves the line: the future that waited was dropped.
    pub(crate) fn leave_line(&self, place: &Place) {
        let mut state = self.state.lock();
        state.quota.leave(place);
        let next = state.quota.whom_to_wake();
        drop(state);
        wake(next);
    }

    /// Hands over anything but a message.
    ///
    /// # Errors
    /// The client is at its end; the command is dropped.
    pub(crate) fn send(&self, command: Command) -> Result<(), CloseReason> {
        let mut state = self.state.lock();
        if let Some(reason) = &state.closed {
            return Err(reason.clone());
        }
        if state.ending.is_some() && command.needs_the_broker() {
            return Err(CloseReason::ByApplication);
        }
        let driver = state.push(command);
        drop(state);
        wake(driver);
        Ok(())
    }

    /// Asks for the end; the first to ask decides which.
    ///
    /// # Errors
    /// The client is at its end already, or about to be.
    pub(crate) fn end(&self, ending: Ending) -> Result<(), CloseReason> {
        let mut state = self.state.lock();
        if let Some(reason) = &state.closed {
            return Err(reason.clone());
        }
        if state.ending.is_some() {
            return Err(CloseReason::ByApplication);
        }
        state.ending = Some(Some(ending));
        let waiting = state.quota.dissolve_line();
        let driver = state.driver.take();
        drop(state);
        wake(driver);
        waiting.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Why the client is at its end, if it is.
    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.state.lock().closed.clone()
    }

    // The driver's side.

    /// Swaps all commands into `empty`; pending when there are none.
    pub(crate) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        empty: &mut VecDeque<Command>,
    ) -> Poll<()> {
        let mut state = self.state.lock();
        if state.commands.is_empty() {
            state.listen(cx);
            return Poll::Pending;
        }
        std::mem::swap(empty, &mut state.commands);
        Poll::Ready(())
    }

    /// Whether somebody asked for the end; if not, wakes the driver once somebody does.
    pub(crate) fn poll_ending(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.ending.is_some() {
            return Poll::Ready(());
        }
        state.listen(cx);
        Poll::Pending
    }

    /// How to end: to be asked once.
    pub(crate) fn take_ending(&self) -> Option<Ending> {
        self.state.lock().ending.as_mut().and_then(Option::take)
    }

    /// Gives back the room of finished messages.
    pub(crate) fn give_back(&self, messages: usize, bytes: usize) {
        let mut state = self.state.lock();
        state.quota.give_back(messages, bytes);
        let next = state.quota.whom_to_wake();
        drop(state);
        wake(next);
    }

    /// Nothing is accepted from here on. Gives what was never looked at.
    pub(crate) fn close(&self, reason: CloseReason) -> VecDeque<Command> {
        let mut state = self.state.lock();
        state.closed.get_or_insert(reason);
        let commands = std::mem::take(&mut state.commands);
        let waiting = state.quota.dissolve_line();
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        commands
    }
}

impl State {
    fn check_can_accept(&self, bytes: usize) -> Result<(), PublishError> {
        if let Some(reason) = &self.closed {
            return Err(PublishError::Closed(reason.clone()));
        }
        if self.ending.is_some() {
            return Err(PublishError::Closed(CloseReason::ByApplication));
        }
        let limit = self.quota.bytes_max();
        if bytes > limit {
            return Err(PublishError::LargerThanQueue { size: bytes, limit });
        }
        Ok(())
    }

    fn push(&mut self, command: Command) -> Option<Waker> {
        self.commands.push_back(command);
        self.driver.take()
    }

    fn listen(&mut self, cx: &Context<'_>) {
        match &mut self.driver {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.driver = Some(cx.waker().clone()),
        }
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
