//! Receive Maximum, in both directions.
//!
//! Out: a PUBLISH with QoS above 0 leaves only while fewer are in flight than the peer takes; the
//! count is that of [`Sender`](crate::state::Sender), so that it can never rise above its start.
//! In: what the peer has not been given its last answer for is counted here.
//! Read first: MQTT 5.0 section 4.9.

use whinchat_codec::ProtocolVersion;

use super::Connection;
use crate::Violation;
use crate::state::Receiver;

/// How many messages may be in flight at a time, by what we want and what the peer takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) max: u16,
    pub(super) max_v3: u16,
}

impl Window {
    /// The window to a peer of this version with this Receive Maximum.
    pub(super) fn to_peer(self, version: ProtocolVersion, receive_maximum: Option<u16>) -> u16 {
        match version {
            ProtocolVersion::V31 | ProtocolVersion::V311 => self.max_v3,
            // v5 [MQTT-3.3.4-7] [MQTT-3.3.4-9] [MQTT-4.9.0-1]
            ProtocolVersion::V5 => self.max.min(receive_maximum.unwrap_or(u16::MAX)),
        }
        .max(1)
    }
}

impl Connection {
    /// Whether the driver should stop reading for now.
    ///
    /// True when as many answers wait for a commit or a decision as a Receive Maximum allows. A
    /// 5.0 peer that keeps to it never gets there with messages alone. A 3.x peer knows no
    /// Receive Maximum: holding back what it has sent is the only way to slow it. Reading goes on
    /// after [`handle_committed`](Self::handle_committed) or
    /// [`acknowledge`](Self::acknowledge). To be asked after each packet: it is also what bounds
    /// the answers to a peer that repeats itself.
    #[inline]
    #[must_use]
    pub fn is_receive_window_full(&self) -> bool {
        let max = usize::from(self.receive_maximum);
        if self.version.is_v5() {
            self.answers.len() > max
        } else {
            self.answers.len() >= max
        }
    }

    /// Counts a new message of the peer.
    #[inline]
    pub(super) fn count_incoming(&mut self) -> Result<(), Violation> {
        if self.version.is_v5() && self.unanswered >= self.receive_maximum {
            // v5 [MQTT-3.3.4-7] [MQTT-3.3.4-9]
            return Err(Violation::ReceiveMaximumExceeded {
                max: self.receive_maximum,
            });
        }
        self.unanswered = self.unanswered.saturating_add(1);
        Ok(())
    }

    /// Whether the peer holds more QoS 2 ids than two connections that keep to our Receive Maximum
    /// can leave behind. Those of the first are released at the start of the second, so that more
    /// only come together when they never are. What counts is the largest Receive Maximum that the
    /// session has seen: ids of a connection with a larger one may still be held.
    #[inline]
    pub(super) fn check_held_ids(&self, receiver: &mut Receiver) -> Result<(), Violation> {
        receiver.note_receive_maximum(self.receive_maximum);
        if self.version.is_v5() && receiver.len() >= 2 * receiver.receive_maximum() {
            return Err(Violation::ReceiveMaximumExceeded {
                max: self.receive_maximum,
            });
        }
        Ok(())
    }

    /// Gives the peer back what it may send. An exchange of an earlier connection was not counted
    /// on this one, hence the stop at 0.
    #[inline]
    pub(super) const fn uncount_incoming(&mut self, ended: u16) {
        self.unanswered = self.unanswered.saturating_sub(ended);
    }
}
