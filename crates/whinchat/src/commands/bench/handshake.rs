//! The packets that a connection waits for before it goes on: CONNECT and SUBSCRIBE with their answers, and DISCONNECT.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, ready};

use whinchat_codec::{
    ConnAckRef, ConnectProperties, ConnectRef, DisconnectProperties, DisconnectReason,
    DisconnectRef, PacketId, PacketRef, QoS, SubAckReason, SubscribeRef, Subscription,
    SubscriptionOptions,
};
use whinchat_transport::{DialOptions, dial};

use super::failure::Failure;
use super::load::Load;
use super::wire::Wire;

/// The buffer that all connections of a thread read into.
pub(super) type Scratch = RefCell<Vec<u8>>;

/// What CONNACK says about what may follow.
pub(super) struct Greeting {
    pub(super) receive_maximum: u16,
    /// Seconds; 0 is none.
    pub(super) keep_alive: u16,
}

/// Dials, and sends CONNECT.
///
/// # Errors
/// Nobody is there, or the broker refuses.
pub(super) async fn open(
    client_id: &str,
    clean_start: bool,
    load: &Load,
    scratch: &Scratch,
) -> Result<(Wire, Greeting), Failure> {
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
    let greeting = answer(&mut wire, scratch, |packet| {
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

/// Subscribes to all of them with one packet.
///
/// # Errors
/// A filter is refused or granted with less than the QoS asked for, or the answer is no SUBACK.
pub(super) async fn subscribe(
    wire: &mut Wire,
    filters: &[String],
    asked: QoS,
    scratch: &Scratch,
) -> Result<(), Failure> {
    let mut subscriptions = Vec::with_capacity(filters.len());
    for filter in filters {
        subscriptions.push(Subscription {
            filter: filter.as_str().try_into()?,
            options: SubscriptionOptions::new(asked),
        });
    }
    if subscriptions.is_empty() {
        return Ok(());
    }
    let subscribe = SubscribeRef {
        packet_id: PacketId::MIN,
        properties: Default::default(),
        subscriptions: subscriptions.as_slice().into(),
    };
    subscribe.encode(wire.version(), wire.out())?;
    answer(wire, scratch, |packet| {
        let PacketRef::SubAck(mut suback) = packet else {
            return Err(out_of_place(&packet));
        };
        filters
            .iter()
            .try_for_each(|filter| granted(filter, asked, suback.reasons.next()))
    })
    .await
}

/// Whether a subscription got the QoS that it asked for.
pub(super) fn granted(
    filter: &str,
    asked: QoS,
    reason: Option<SubAckReason>,
) -> Result<(), Failure> {
    let reason = reason.unwrap_or(SubAckReason::UnspecifiedError);
    let filter = filter.to_owned();
    if reason.is_error() {
        Err(Failure::SubscriptionRefused { filter, reason })
    } else if reason as u8 != asked as u8 {
        Err(Failure::LowerQos {
            filter,
            asked: asked as u8,
            granted: reason,
        })
    } else {
        Ok(())
    }
}

/// Sends what waits and gives what `expect` makes of the packet that answers it.
async fn answer<T>(
    wire: &mut Wire,
    scratch: &Scratch,
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
            let mut scratch = scratch.borrow_mut();
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

/// What to say of a packet that nothing was to follow.
pub(super) fn out_of_place(packet: &PacketRef<'_>) -> Failure {
    if let PacketRef::Disconnect(disconnect) = packet {
        return Failure::Disconnected(disconnect.reason);
    }
    Failure::Unexpected(packet.packet_type())
}

/// Sends DISCONNECT and ends this side; with `end_session` a 5.0 session that was kept ends too.
pub(super) async fn disconnect(wire: &mut Wire, end_session: bool) -> Result<(), Failure> {
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
