//! The sending part of one connection: when a message is due, and which packet ids are in flight.

use std::sync::Arc;
use std::task::Context;

use bytes::BytesMut;
use whinchat_codec::{
    EncodeError, Guarantee, PacketId, PacketType, ProtocolVersion, PubRelRef, PublishFrame,
    PublishRef, QoS,
};

use super::clock::{NS_PER_S, now_ns};
use super::failure::Failure;
use super::gauge::Gauge;
use super::load::{Load, Pace, Stop};
use super::pacer::Pacer;
use super::stamp::Stamp;

/// A write takes about this much; a larger one gains nothing and delays acks.
const BATCH_BYTES: usize = 64 * 1024;

/// How long after its end a publisher at a fixed rate may send what was due before.
const GRACE_NS: u64 = NS_PER_S;

pub(super) struct Publisher {
    number: u32,
    /// The next message's.
    sequence: u32,
    /// Encoded once; packet id and stamp are written over each copy.
    frame: PublishFrame,
    payload_bytes: usize,
    in_flight: InFlight,
    schedule: Schedule,
    stop: Stop,
    /// Where [`Stop::After`] ends; [`now_ns`].
    end_ns: u64,
    /// By publisher number.
    gauges: Arc<[Gauge]>,
}

enum Schedule {
    Window(u64),
    Flood,
    Rate {
        first_ns: u64,
        interval_ns: f64,
        /// The time for which the pacer has been asked already.
        armed_ns: u64,
    },
}

impl Publisher {
    pub(super) fn new(
        number: u32,
        topic: &str,
        load: &Load,
        version: ProtocolVersion,
        gauges: Arc<[Gauge]>,
    ) -> Result<Self, EncodeError> {
        let payload = vec![0; load.payload_bytes];
        let publish = PublishRef {
            guarantee: Guarantee::new(load.qos, PacketId::MIN, false),
            retain: false,
            topic,
            properties: Default::default(),
            payload: &payload,
        };
        Ok(Self {
            number,
            sequence: 0,
            frame: PublishFrame::new(&publish, version)?,
            payload_bytes: load.payload_bytes,
            in_flight: InFlight::new(load.in_flight),
            schedule: Schedule::Flood,
            stop: load.stop,
            end_ns: u64::MAX,
            gauges,
        })
    }

    /// Keeps within the broker's Receive Maximum.
    pub(super) fn with_receive_maximum(mut self, receive_maximum: u16) -> Self {
        self.in_flight = InFlight::new(receive_maximum.min(self.in_flight.maximum()));
        self
    }

    fn gauge(&self) -> &Gauge {
        &self.gauges[self.number as usize]
    }

    /// Sets the times. Publishers of one rate are spread over its interval.
    pub(super) fn start(&mut self, load: &Load, start_ns: u64) {
        self.schedule = match load.pace {
            Pace::Window(window) => Schedule::Window(window),
            Pace::Flood => Schedule::Flood,
            Pace::Rate(rate) => {
                let interval_ns = NS_PER_S as f64 / rate;
                let part = f64::from(self.number) / f64::from(load.topology.publishers());
                Schedule::Rate {
                    first_ns: start_ns + (interval_ns * part) as u64,
                    interval_ns,
                    armed_ns: 0,
                }
            }
        };
        if let Stop::After(duration) = self.stop {
            self.end_ns = start_ns + u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2);
        }
    }

    /// Appends the messages that may go now. If none may, the task is woken when one may: by `pacer`, by a delivery, by
    /// the coordinator at the end, or by the ack that it waits for.
    pub(super) fn fill(
        &mut self,
        out: &mut BytesMut,
        pacer: &Pacer,
        cx: &Context<'_>,
    ) -> Result<(), Failure> {
        if self.gauge().is_finished() {
            return Ok(());
        }
        let now = now_ns();
        let before = self.sequence;
        let mut room = match self.schedule {
            Schedule::Window(window) => self.gauge().room(window, cx),
            Schedule::Flood | Schedule::Rate { .. } => {
                self.gauge().register(cx);
                u64::MAX
            }
        };
        while out.len() < BATCH_BYTES && room > 0 && !self.is_over(now) {
            let due_ns = self.due_ns();
            let sent_ns = match &mut self.schedule {
                Schedule::Window(_) | Schedule::Flood => now,
                Schedule::Rate { armed_ns, .. } if due_ns > now => {
                    if *armed_ns != due_ns {
                        *armed_ns = due_ns;
                        pacer.wake_at(due_ns, cx.waker())?;
                    }
                    break;
                }
                Schedule::Rate { .. } => due_ns,
            };
            let id = match self.frame.qos() {
                QoS::AtMostOnce => None,
                qos @ (QoS::AtLeastOnce | QoS::ExactlyOnce) => match self.in_flight.take(qos) {
                    Some(id) => Some(id),
                    None => break,
                },
            };
            self.append(out, id, sent_ns);
            room -= 1;
        }
        if self.sequence != before {
            self.gauge().note_sent(self.sequence.into());
        }
        if self.is_over(now) && self.in_flight.is_empty() {
            self.gauge().finish(self.unsent());
        }
        Ok(())
    }

    /// When the next message is to go; without a rate at once.
    #[inline]
    fn due_ns(&self) -> u64 {
        match self.schedule {
            Schedule::Window(_) | Schedule::Flood => 0,
            Schedule::Rate {
                first_ns,
                interval_ns,
                ..
            } => first_ns + (f64::from(self.sequence) * interval_ns) as u64,
        }
    }

    fn is_over(&self, now: u64) -> bool {
        let enough = match (self.stop, &self.schedule) {
            (Stop::Messages(messages), _) => self.sequence >= messages,
            // What was due in time is still sent, unless it is far too late.
            (Stop::After(_), Schedule::Rate { .. }) => {
                self.due_ns() >= self.end_ns || now >= self.end_ns.saturating_add(GRACE_NS)
            }
            (Stop::After(_), Schedule::Window(_) | Schedule::Flood) => now >= self.end_ns,
        };
        enough || self.sequence == u32::MAX
    }

    /// Messages that were due and have not been sent.
    fn unsent(&self) -> u64 {
        match (self.stop, &self.schedule) {
            (Stop::After(_), Schedule::Rate { interval_ns, .. }) => {
                let late_ns = self.end_ns.saturating_sub(self.due_ns());
                (late_ns as f64 / interval_ns).ceil() as u64
            }
            (Stop::After(_) | Stop::Messages(_), _) => 0,
        }
    }

    #[inline]
    fn append(&mut self, out: &mut BytesMut, id: Option<PacketId>, sent_ns: u64) {
        self.frame.append_to(out, id.map(|id| (id, false)));
        let payload_at = out.len() - self.payload_bytes;
        let stamp = Stamp {
            publisher: self.number,
            sequence: self.sequence,
            sent_ns,
        };
        stamp.write_to(&mut out[payload_at..]);
        self.sequence += 1;
    }

    pub(super) fn on_puback(&mut self, id: PacketId) -> Result<(), Failure> {
        self.in_flight.on_puback(id)
    }

    pub(super) fn on_pubrec(
        &mut self,
        id: PacketId,
        version: ProtocolVersion,
        out: &mut BytesMut,
    ) -> Result<(), Failure> {
        self.in_flight.on_pubrec(id)?;
        Ok(PubRelRef::success(id).encode(version, out)?)
    }

    pub(super) fn on_pubcomp(&mut self, id: PacketId) -> Result<(), Failure> {
        self.in_flight
            .settle(id, Waiting::PubComp, PacketType::PubComp)
    }
}

/// What a packet id waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Nothing,
    PubAck,
    PubRec,
    PubComp,
}

/// Packet ids 1 to some maximum.
pub(super) struct InFlight {
    free: Vec<PacketId>,
    /// By packet id; the first is none's.
    waiting: Vec<Waiting>,
}

impl InFlight {
    pub(super) fn new(maximum: u16) -> Self {
        Self {
            free: (1..=maximum).rev().filter_map(PacketId::new).collect(),
            waiting: vec![Waiting::Nothing; usize::from(maximum) + 1],
        }
    }

    fn maximum(&self) -> u16 {
        u16::try_from(self.waiting.len() - 1).unwrap_or(u16::MAX)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.len() + 1 == self.waiting.len()
    }

    #[inline]
    pub(super) fn take(&mut self, qos: QoS) -> Option<PacketId> {
        let id = self.free.pop()?;
        let waiting = self.waiting.get_mut(usize::from(id.get()))?;
        *waiting = if qos == QoS::ExactlyOnce {
            Waiting::PubRec
        } else {
            Waiting::PubAck
        };
        Some(id)
    }

    /// The last ack of a message with QoS 1.
    #[inline]
    pub(super) fn on_puback(&mut self, id: PacketId) -> Result<(), Failure> {
        self.settle(id, Waiting::PubAck, PacketType::PubAck)
    }

    #[inline]
    fn settle(
        &mut self,
        id: PacketId,
        expected: Waiting,
        packet: PacketType,
    ) -> Result<(), Failure> {
        match self.waiting.get_mut(usize::from(id.get())) {
            Some(waiting) if *waiting == expected => {
                *waiting = Waiting::Nothing;
                self.free.push(id);
                Ok(())
            }
            Some(_) | None => Err(Failure::NotInFlight { packet, id }),
        }
    }

    #[inline]
    fn on_pubrec(&mut self, id: PacketId) -> Result<(), Failure> {
        match self.waiting.get_mut(usize::from(id.get())) {
            Some(waiting @ Waiting::PubRec) => {
                *waiting = Waiting::PubComp;
                Ok(())
            }
            Some(_) | None => Err(Failure::NotInFlight {
                packet: PacketType::PubRec,
                id,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u16) -> PacketId {
        PacketId::new(number).unwrap()
    }

    #[test]
    fn an_id_is_in_use_until_its_last_ack() {
        let mut in_flight = InFlight::new(1);
        assert_eq!(in_flight.take(QoS::ExactlyOnce), Some(id(1)));
        assert_eq!(in_flight.take(QoS::ExactlyOnce), None);
        in_flight.on_pubrec(id(1)).unwrap();
        assert_eq!(in_flight.take(QoS::ExactlyOnce), None);
        in_flight
            .settle(id(1), Waiting::PubComp, PacketType::PubComp)
            .unwrap();
        assert!(in_flight.is_empty());
        assert_eq!(in_flight.take(QoS::AtLeastOnce), Some(id(1)));
    }

    #[test]
    fn an_ack_out_of_place_is_a_failure() {
        let mut in_flight = InFlight::new(2);
        assert!(
            in_flight
                .settle(id(1), Waiting::PubAck, PacketType::PubAck)
                .is_err()
        );
        assert!(
            in_flight
                .settle(id(3), Waiting::PubAck, PacketType::PubAck)
                .is_err()
        );
        in_flight.take(QoS::AtLeastOnce).unwrap();
        assert!(in_flight.on_pubrec(id(1)).is_err());
        assert!(
            in_flight
                .settle(id(1), Waiting::PubComp, PacketType::PubComp)
                .is_err()
        );
        assert!(
            in_flight
                .settle(id(1), Waiting::PubAck, PacketType::PubAck)
                .is_ok()
        );
    }
}
