//! SUBSCRIBE and UNSUBSCRIBE: what is to be sent, what waits for its answer, and who is told.
//!
//! Every filter travels alone, as a [`Step`]. A step whose answer did not come before the connection ended is sent again on the
//! next one. Steps without an operation are our own: subscribing again after the broker lost the session, and taking back what a
//! failed call had subscribed.

use std::collections::{HashMap, VecDeque};

use tokio::sync::oneshot;
use whinchat_codec::{PacketId, SubAckReason, UnsubAckReason, Utf8String};

use crate::{
    dispatch::EntryKey,
    error::{SubscribeError, UnsubscribeError},
};

/// How many may wait for their answers at a time.
const IN_FLIGHT_MAX: usize = 1024;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Subscribe {
        key: EntryKey,
        operation: Option<Part>,
    },
    Unsubscribe {
        filter: Utf8String,
        key: Option<EntryKey>,
        operation: Option<Part>,
    },
}

/// The place of a step in an operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    operation: u64,
    index: usize,
}

#[derive(Debug, Default)]
pub(super) struct Operations {
    to_send: VecDeque<Step>,
    in_flight: HashMap<PacketId, Step>,
    subscribes: HashMap<u64, Operation<SubAckReason, SubscribeError>>,
    unsubscribes: HashMap<u64, Operation<UnsubAckReason, UnsubscribeError>>,
    next_operation: u64,
}

#[derive(Debug)]
struct Operation<R, E> {
    answers: Vec<Option<R>>,
    failure: Option<E>,
    reply: oneshot::Sender<Result<Vec<R>, E>>,
}

impl<R: Copy, E> Operation<R, E> {
    fn new(parts: usize, reply: oneshot::Sender<Result<Vec<R>, E>>) -> Self {
        Self {
            answers: vec![None; parts],
            failure: None,
            reply,
        }
    }
}

impl Operations {
    /// Begins a call that subscribes these entries.
    pub(super) fn subscribe(
        &mut self,
        keys: Vec<EntryKey>,
        reply: oneshot::Sender<Result<Vec<SubAckReason>, SubscribeError>>,
    ) {
        let operation = self.number();
        for (index, &key) in keys.iter().enumerate() {
            self.to_send.push_back(Step::Subscribe {
                key,
                operation: Some(Part { operation, index }),
            });
        }
        self.subscribes
            .insert(operation, Operation::new(keys.len(), reply));
    }

    /// Begins a call that unsubscribes these filters.
    pub(super) fn unsubscribe(
        &mut self,
        filters: Vec<(Utf8String, Option<EntryKey>)>,
        reply: oneshot::Sender<Result<Vec<UnsubAckReason>, UnsubscribeError>>,
    ) {
        let operation = self.number();
        self.unsubscribes
            .insert(operation, Operation::new(filters.len(), reply));
        for (index, (filter, key)) in filters.into_iter().enumerate() {
            self.to_send.push_back(Step::Unsubscribe {
                filter,
                key,
                operation: Some(Part { operation, index }),
            });
        }
    }

    /// A step of our own.
    pub(super) fn push(&mut self, step: Step) {
        self.to_send.push_back(step);
    }

    fn number(&mut self) -> u64 {
        self.next_operation += 1;
        self.next_operation
    }

    /// The next step to send, if one more may be in flight.
    pub(super) fn next_to_send(&mut self) -> Option<Step> {
        if self.in_flight.len() >= IN_FLIGHT_MAX {
            None
        } else {
            self.to_send.pop_front()
        }
    }

    /// An entry goes that was never sent, and with it the call that asked for it.
    pub(super) fn forget(&mut self, entry: EntryKey) {
        let subscribes = &mut self.subscribes;
        self.to_send.retain(|step| match step {
            Step::Subscribe { key, operation } if *key == entry => {
                if let Some(part) = operation {
                    subscribes.remove(&part.operation);
                }
                false
            }
            Step::Subscribe { .. } | Step::Unsubscribe { .. } => true,
        });
    }

    /// A step that could not be sent at the moment.
    pub(super) fn put_back(&mut self, step: Step) {
        self.to_send.push_front(step);
    }

    pub(super) fn sent(&mut self, id: PacketId, step: Step) {
        self.in_flight.insert(id, step);
    }

    /// The step that this packet answers.
    pub(super) fn answered(&mut self, id: PacketId) -> Option<Step> {
        self.in_flight.remove(&id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.to_send.is_empty() && self.in_flight.is_empty()
    }

    /// What was not answered is sent again, before what was not sent yet.
    pub(super) fn connection_ended(&mut self) {
        let mut again: Vec<_> = self.in_flight.drain().collect();
        again.sort_by_key(|(id, _)| id.get());
        for (_, step) in again.into_iter().rev() {
            self.to_send.push_front(step);
        }
    }

    /// A part of a subscribe call is answered. Nobody listens to the reply if the call was dropped.
    pub(super) fn subscribed(
        &mut self,
        part: Part,
        answer: SubAckReason,
        failure: Option<SubscribeError>,
    ) {
        record(&mut self.subscribes, part, answer, failure);
    }

    /// A part of an unsubscribe call is answered.
    pub(super) fn unsubscribed(
        &mut self,
        part: Part,
        answer: UnsubAckReason,
        failure: Option<UnsubscribeError>,
    ) {
        record(&mut self.unsubscribes, part, answer, failure);
    }
}

fn record<R: Copy, E>(
    operations: &mut HashMap<u64, Operation<R, E>>,
    part: Part,
    answer: R,
    failure: Option<E>,
) {
    let Some(operation) = operations.get_mut(&part.operation) else {
        return;
    };
    if let Some(place) = operation.answers.get_mut(part.index) {
        *place = Some(answer);
    }
    operation.failure = operation.failure.take().or(failure);
    if operation.answers.iter().all(Option::is_some)
        && let Some(operation) = operations.remove(&part.operation)
    {
        let _ = operation.reply.send(match operation.failure {
            Some(error) => Err(error),
            None => Ok(operation.answers.into_iter().flatten().collect()),
        });
    }
}
