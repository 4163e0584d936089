//! One connection from dialling to DISCONNECT.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::{Instant, Interval, interval_at};
use whinchat_codec::{
    ConnAckRef, ConnectProperties, ConnectRef, DisconnectProperties, DisconnectReason,
    DisconnectRef, PacketId, PacketRef, ProtocolVersion, SubAckReason, SubscribeRef, Subscription,
    SubscriptionOptions,
};
use whinchat_transport::{DialOptions, dial};

use super::clock::now_ns;
use super::failure::Failure;
use super::load::{ConnectionPlan, Load, Part};
use super::publisher::Publisher;
use super::subscriber::{Subscriber, Tally};
use super::thread::{Phase, Thread};
use super::wire::Wire;

/// What CONNACK says about what may follow.
struct Greeting {
    receive_maximum: u16,
    /// Seconds; 0 is none.
    keep_alive: u16,
}

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
    let is_kept = load.persistent && matches!(plan.part, Part::Subscriber { .. });
    let (wire, role, greeting) = {
        // Held until the broker has answered: a broker's backlog of connections is short.
        let _turn = thread
            .dialing
            .acquire()
            .await
            .map_err(|_| Failure::Closed)?;
        let (mut wire, greeting) = open(&plan.client_id, !is_kept, &thread).await?;
        let role = match &plan.part {
            Part::Publisher { number, topic } => {
                let gauges = &thread.gauges;
                let publisher =
                    Publisher::new(*number, topic, load, wire.version(), Arc::clone(gauges))?;
                Role::Publisher(publisher.with_receive_maximum(greeting.receive_maximum))
            }
            Part::Subscriber { filter, publishers } => {
                if let Some(filter) = filter {
                    subscribe(&mut wire, filter, &thread).await?;
                }
                Role::Subscriber(Subscriber::new(
                    publishers.clone(),
                    Arc::clone(&thread.gauges),
                ))
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
        let (mut wire, _) = open(&plan.client_id, true, &thread).await?;
        disconnect(&mut wire, false).await?;
    }
    Ok(())
}

async fn open(
    client_id: &str,
    clean_start: bool,
    thread: &Thread,
) -> Result<(Wire, Greeting), Failure> {
    let load = &thread.load;
    let stream = dial(&load.url.endpoint, &DialOptions::default()).await?;
    let mut wire = Wire::new(stream, load.version);
    let mut properties = ConnectProperties::new();
    if load.version.is_v5() && !clean_start {
        properties.set_session_expiry_interval(u32::MAX);
    }
    let connect = ConnectRef {
        version: load.version,
        clean_start,
        keep_alive: load.keep_alive,
        client_id,
        will: None,
        user_name: load.url.user_name.as_deref(),
        password: load.url.password.as_deref(),
        properties: properties.borrowed(),
    };
    connect.encode(load.version, wire.out())?;
    let greeting = answer(&mut wire, thread, |packet| {
        let PacketRef::ConnAck(connack) = packet else {
            return Err(out_of_place(&packet));
        };
        greeting(&connack, load)
    })
    .await?;
    Ok((wire, greeting))
}

fn greeting(connack: &ConnAckRef<'_>, load: &Load) -> Result<Greeting, Failure> {
    if connack.reason.is_error() {
        return Err(Failure::Refused(connack.reason));
    }
    Ok(Greeting {
        receive_maximum: connack.properties.receive_maximum().unwrap_or(u16::MAX),
        keep_alive: connack
            .properties
            .server_keep_alive()
            .unwrap_or(load.keep_alive),
    })
}

async fn subscribe(wire: &mut Wire, filter: &str, thread: &Thread) -> Result<(), Failure> {
    let asked = thread.load.qos;
    let subscriptions = [Subscription {
        filter: filter.try_into()?,
        options: SubscriptionOptions::new(asked),
    }];
    let subscribe = SubscribeRef {
        packet_id: PacketId::MIN,
        properties: Default::default(),
        subscriptions: subscriptions.as_slice().into(),
    };
    subscribe.encode(wire.version(), wire.out())?;
    answer(wire, thread, |packet| {
        let PacketRef::SubAck(mut suback) = packet else {
            return Err(out_of_place(&packet));
        };
        let reason = suback
            .reasons
            .next()
            .unwrap_or(SubAckReason::UnspecifiedError);
        let filter = || filter.to_owned();
        if reason.is_error() {
            Err(Failure::SubscriptionRefused {
                filter: filter(),
                reason,
            })
        } else if reason as u8 != asked as u8 {
            Err(Failure::LowerQos {
                filter: filter(),
                asked: asked as u8,
                granted: reason,
            })
        } else {
            Ok(())
        }
    })
    .await
}

/// Sends what waits and gives what `expect` makes of the packet that answers it.
async fn answer<T>(
    wire: &mut Wire,
    thread: &Thread,
    expect: impl Fn(PacketRef<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut answer = None;
    poll_fn(|cx| {
        loop {
            // Pending is as good as ready here: the answer cannot come before all was sent.
            if let Poll::Ready(sent) = wire.poll_flush(cx) {
                sent?;
            }
            if let Some(answer) = answer.take() {
                return Poll::Ready(Ok(answer));
            }
            let mut scratch = thread.scratch.borrow_mut();
            ready!(wire.poll_packets(cx, &mut scratch, |packet, _| {
                if answer.is_some() {
                    return Err(out_of_place(&packet));
                }
                answer = Some(expect(packet)?);
                Ok(())
            }))?;
        }
    })
    .await
}

fn out_of_place(packet: &PacketRef<'_>) -> Failure {
    if let PacketRef::Disconnect(disconnect) = packet {
        return Failure::Disconnected(disconnect.reason);
    }
    Failure::Unexpected(packet.packet_type())
}

async fn disconnect(wire: &mut Wire, end_session: bool) -> Result<(), Failure> {
    let mut properties = DisconnectProperties::new();
    if end_session && wire.version().is_v5() {
        properties.set_session_expiry_interval(0);
    }
    let packet = DisconnectRef {
        reason: DisconnectReason::NormalDisconnection,
        properties: properties.borrowed(),
    };
    let version = wire.version();
    packet.encode(version, wire.out())?;
    poll_fn(|cx| wire.poll_shutdown(cx)).await
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
