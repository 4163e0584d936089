//! One connection from dialling to DISCONNECT.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::{Instant, Interval, interval_at};
use whinchat_codec::{PacketRef, ProtocolVersion};

use super::clock::now_ns;
use super::failure::Failure;
use super::handshake::{disconnect, open, out_of_place, subscribe};
use super::load::{ConnectionPlan, Part};
use super::publisher::Publisher;
use super::subscriber::{Subscriber, Tally};
use super::thread::{Phase, Thread};
use super::wire::Wire;

/// Filters of one SUBSCRIBE.
const FILTERS_AT_ONCE: usize = 100;

struct Connection {
    wire: Wire,
    role: Role,
    ping: Option<Interval>,
}

enum Role {
    Publisher(Publisher),
    Subscriber(Subscriber),
}

/// Connects, subscribes, reports that it is ready, does its part of the run, and leaves when the run closes.
pub(super) async fn run(plan: &ConnectionPlan, thread: Rc<Thread>) -> Result<(), Failure> {
    let load = &thread.load;
    let hears = matches!(plan.part, Part::Subscriber { .. } | Part::Member { .. });
    let is_kept = load.persistent && hears;
    let (wire, role, greeting) = {
        // Held until the broker has answered: a broker's backlog of connections is short.
        let _turn = thread
            .dialing
            .acquire()
            .await
            .map_err(|_| Failure::Closed)?;
        let (mut wire, greeting) = open(&plan.client_id, !is_kept, load, &thread.scratch).await?;
        let role = match &plan.part {
            Part::Publisher { number, topic } => {
                let gauges = &thread.gauges;
                let publisher =
                    Publisher::new(*number, topic, load, wire.version(), Arc::clone(gauges))?;
                Role::Publisher(publisher.with_receive_maximum(greeting.receive_maximum))
            }
            Part::Subscriber { filter, publishers } => {
                subscribe(&mut wire, filter.as_slice(), load.qos, &thread.scratch).await?;
                Role::Subscriber(Subscriber::new(
                    publishers.clone(),
                    Arc::clone(&thread.gauges),
                ))
            }
            Part::Member { filter, publishers } => {
                subscribe(
                    &mut wire,
                    std::slice::from_ref(filter),
                    load.qos,
                    &thread.scratch,
                )
                .await?;
                let group = thread.group.clone();
                let group = group.expect("a thread with members has the book of their group");
                let gauges = Arc::clone(&thread.gauges);
                Role::Subscriber(Subscriber::new(publishers.clone(), gauges).of_group(group))
            }
            Part::Bystander { filters } => {
                for some in filters.chunks(FILTERS_AT_ONCE) {
                    subscribe(&mut wire, some, load.qos, &thread.scratch).await?;
                }
                Role::Subscriber(Subscriber::new(0..0, Arc::clone(&thread.gauges)))
            }
        };
        (wire, role, greeting)
    };
    let mut connection = Connection {
        wire,
        role,
        ping: ping_timer(greeting.keep_alive),
    };
    thread.report_ready();

    let mut phase = thread.phase.clone();
    if let Role::Publisher(publisher) = &mut connection.role {
        let start = phase
            .wait_for(|phase| *phase != Phase::Connect)
            .await
            .map_err(|_| Failure::Closed)?;
        if let Phase::Publish { start_ns } = *start {
            publisher.start(load, start_ns);
        }
    }
    let failed = tokio::select! {
        biased;
        ended = poll_fn(|cx| connection.poll(cx, &thread)) => ended.err(),
        _ = phase.wait_for(|phase| *phase == Phase::Close) => None,
    };
    let is_open = failed.is_none();
    if let Some(failure) = failed {
        thread.report_failure(plan, failure);
        // How much it misses is certain when the publishers have sent their last.
        let _ = phase.wait_for(|phase| *phase == Phase::Close).await;
    }
    if let Role::Subscriber(subscriber) = &connection.role {
        subscriber.close(&mut thread.tally.borrow_mut());
    }
    if !is_open {
        return Ok(());
    }
    // The broker may be faster to close, and all is counted by now.
    let _ = disconnect(&mut connection.wire, is_kept).await;
    if is_kept && !connection.wire.version().is_v5() {
        // Before 5.0 only a clean session ends one that was kept.
        let _turn = thread
            .dialing
            .acquire()
            .await
            .map_err(|_| Failure::Closed)?;
        let (mut wire, _) = open(&plan.client_id, true, load, &thread.scratch).await?;
        disconnect(&mut wire, false).await?;
    }
    Ok(())
}

/// Half of the keep alive leaves time for a late wake.
fn ping_timer(keep_alive: u16) -> Option<Interval> {
    let period = Duration::from_secs(keep_alive.into()) / 2;
    (keep_alive > 0).then(|| interval_at(Instant::now() + period, period))
}

impl Connection {
    /// Reads, answers and publishes as long as there is anything to do.
    fn poll(&mut self, cx: &mut Context<'_>, thread: &Thread) -> Poll<Result<(), Failure>> {
        let version = self.wire.version();
        loop {
            let mut progressed = false;
            {
                let mut arrived = None;
                let role = &mut self.role;
                let mut tally = thread.tally.borrow_mut();
                let mut scratch = thread.scratch.borrow_mut();
                let polled = self.wire.poll_packets(cx, &mut scratch, |packet, out| {
                    role.handle(
                        packet,
                        *arrived.get_or_insert_with(now_ns),
                        version,
                        &mut tally,
                        out,
                    )
                });
                if let Role::Subscriber(subscriber) = role {
                    subscriber.end_batch(&mut tally);
                }
                if let Poll::Ready(read) = polled {
                    read?;
                    progressed = true;
                }
            }
            if self
                .ping
                .as_mut()
                .is_some_and(|timer| timer.poll_tick(cx).is_ready())
            {
                PacketRef::PingReq.encode(version, self.wire.out())?;
                progressed = true;
            }
            if let Role::Publisher(publisher) = &mut self.role
                && self.wire.is_flushed()
            {
                publisher.fill(self.wire.out(), &thread.pacer, cx)?;
            }
            if !self.wire.is_flushed()
                && let Poll::Ready(sent) = self.wire.poll_flush(cx)
            {
                sent?;
                progressed = true;
            }
            if !progressed {
                return Poll::Pending;
            }
        }
    }
}

impl Role {
    #[inline]
    fn handle(
        &mut self,
        packet: PacketRef<'_>,
        now: u64,
        version: ProtocolVersion,
        tally: &mut Tally,
        out: &mut BytesMut,
    ) -> Result<(), Failure> {
        match (self, packet) {
            (Self::Subscriber(subscriber), PacketRef::Publish(publish)) => {
                subscriber.on_publish(now, &publish, version, tally, out)
            }
            (Self::Subscriber(subscriber), PacketRef::PubRel(pubrel)) => {
                subscriber.on_pubrel(pubrel.packet_id, version, out)
            }
            (Self::Publisher(publisher), PacketRef::PubAck(puback)) => {
                if puback.reason.is_error() {
                    return Err(Failure::PubAckRefused(puback.reason));
                }
                publisher.on_puback(puback.packet_id)
            }
            (Self::Publisher(publisher), PacketRef::PubRec(pubrec)) => {
                if pubrec.reason.is_error() {
                    return Err(Failure::PubRecRefused(pubrec.reason));
                }
                publisher.on_pubrec(pubrec.packet_id, version, out)
            }
            (Self::Publisher(publisher), PacketRef::PubComp(pubcomp)) => {
                publisher.on_pubcomp(pubcomp.packet_id)
            }
            (_, PacketRef::PingResp) => Ok(()),
            (_, packet) => Err(out_of_place(&packet)),
        }
    }
}
