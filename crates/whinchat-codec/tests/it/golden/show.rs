//! A decoded packet in the notation of the vectors, read through its public fields and getters.

use whinchat_codec::{
    Guarantee, PacketRef, ProtocolVersion, RetainHandling, SubscriptionOptions, WillRef,
};

use super::properties::Show;
use super::text::{quote, quote_bytes};

pub(super) fn show(packet: &PacketRef<'_>) -> String {
    match packet {
        PacketRef::Connect(connect) => {
            let version = match connect.version {
                ProtocolVersion::V31 => "v31",
                ProtocolVersion::V311 => "v311",
                ProtocolVersion::V5 => "v5",
            };
            let clean = flag(" clean", connect.clean_start);
            let client_id = quote(connect.client_id);
            let will = connect.will.as_ref().map(show_will).unwrap_or_default();
            let user_name = connect
                .user_name
                .map(|name| format!(" user {}", quote(name)));
            let password = connect
                .password
                .map(|password| format!(" password {}", quote_bytes(password)));
            format!(
                "CONNECT {version}{clean} keep{} {client_id}{will}{}{}{}",
                connect.keep_alive,
                user_name.unwrap_or_default(),
                password.unwrap_or_default(),
                connect.properties.show(),
            )
        }
        PacketRef::ConnAck(connack) => format!(
            "CONNACK{} {:#04x}{}",
            flag(" present", connack.session_present),
            connack.reason.code(),
            connack.properties.show(),
        ),
        PacketRef::Publish(publish) => format!(
            "PUBLISH {}{} {} {}{}",
            show_guarantee(publish.guarantee),
            flag(" retain", publish.retain),
            quote(publish.topic),
            quote_bytes(publish.payload),
            publish.properties.show(),
        ),
        PacketRef::PubAck(ack) => show_ack(
            "PUBACK",
            ack.packet_id.get(),
            ack.reason.code(),
            ack.properties,
        ),
        PacketRef::PubRec(ack) => show_ack(
            "PUBREC",
            ack.packet_id.get(),
            ack.reason.code(),
            ack.properties,
        ),
        PacketRef::PubRel(ack) => show_ack(
            "PUBREL",
            ack.packet_id.get(),
            ack.reason.code(),
            ack.properties,
        ),
        PacketRef::PubComp(ack) => show_ack(
            "PUBCOMP",
            ack.packet_id.get(),
            ack.reason.code(),
            ack.properties,
        ),
        PacketRef::Subscribe(subscribe) => {
            let subscriptions = subscribe.subscriptions.map(|subscription| {
                format!(
                    " [{}{}]",
                    quote(subscription.filter),
                    show_options(subscription.options)
                )
            });
            let subscriptions: String = subscriptions.collect();
            let id = subscribe.packet_id.get();
            format!(
                "SUBSCRIBE id{id}{subscriptions}{}",
                subscribe.properties.show()
            )
        }
        PacketRef::SubAck(suback) => {
            let codes = show_codes(suback.reasons.map(|reason| reason.code()));
            format!(
                "SUBACK id{} {codes}{}",
                suback.packet_id.get(),
                suback.properties.show()
            )
        }
        PacketRef::Unsubscribe(unsubscribe) => {
            let filters: String = unsubscribe
                .filters
                .map(|filter| format!(" [{}]", quote(filter)))
                .collect();
            let id = unsubscribe.packet_id.get();
            format!(
                "UNSUBSCRIBE id{id}{filters}{}",
                unsubscribe.properties.show()
            )
        }
        PacketRef::UnsubAck(unsuback) => {
            let codes = show_codes(unsuback.reasons.map(|reason| reason.code()));
            format!(
                "UNSUBACK id{} {codes}{}",
                unsuback.packet_id.get(),
                unsuback.properties.show()
            )
        }
        PacketRef::PingReq => "PINGREQ".to_owned(),
        PacketRef::PingResp => "PINGRESP".to_owned(),
        PacketRef::Disconnect(disconnect) => {
            format!(
                "DISCONNECT {:#04x}{}",
                disconnect.reason.code(),
                disconnect.properties.show()
            )
        }
        PacketRef::Auth(auth) => {
            format!("AUTH {:#04x}{}", auth.reason.code(), auth.properties.show())
        }
    }
}

fn flag(name: &'static str, set: bool) -> &'static str {
    if set { name } else { "" }
}

fn show_ack(name: &str, id: u16, code: u8, properties: impl Show) -> String {
    format!("{name} id{id} {code:#04x}{}", properties.show())
}

fn show_codes(codes: impl Iterator<Item = u8>) -> String {
    let codes: Vec<_> = codes.map(|code| format!("{code:#04x}")).collect();
    format!("[{}]", codes.join(" "))
}

fn show_guarantee(guarantee: Guarantee) -> String {
    match guarantee.packet_id() {
        None => "q0".to_owned(),
        Some(id) => format!(
            "q{} id{}{}",
            guarantee.qos() as u8,
            id.get(),
            flag(" dup", guarantee.dup())
        ),
    }
}

fn show_will(will: &WillRef<'_>) -> String {
    format!(
        " will(q{}{} {} {}{})",
        will.qos as u8,
        flag(" retain", will.retain),
        quote(will.topic),
        quote_bytes(will.payload),
        will.properties.show(),
    )
}

fn show_options(options: SubscriptionOptions) -> String {
    let handling = match options.retain_handling {
        RetainHandling::SendAtSubscribe => "",
        RetainHandling::SendIfNew => " rh1",
        RetainHandling::DoNotSend => " rh2",
    };
    format!(
        " q{}{}{}{handling}",
        options.qos as u8,
        flag(" nl", options.no_local),
        flag(" rap", options.retain_as_published),
    )
}
