//! One attempt to connect: credentials, dial, CONNECT, CONNACK.
//!
//! "5.0, else 3.1.1" asks a second time within the attempt, on a stream of its own.

use std::{future::poll_fn, io, sync::Arc};

use tokio::time::{Instant, timeout_at};
use whinchat_codec::{
    ConnAckReason, ConnAckRef, Connect, DecodeError, DecodeLimits, PacketRef, ProtocolVersion,
    Utf8String, decode,
};
use whinchat_session::{Connection, Event, QueueLimits, SessionLimits};
use whinchat_transport::{DialOptions, Stream, dial};

use super::{
    Driver,
    link::{Link, Wire},
};
use crate::{
    error::{ConnectError, DisconnectError, OptionsError, ProtocolFault, Refusal},
    options::{Credentials, CredentialsSetting, Dialer, Version},
    status::{ConnectionInfo, Status},
};

impl Driver {
    /// Connects within the time limit, and sets everything up for the connection.
    pub(super) async fn connect(&mut self) -> Result<Link, ConnectError> {
        let after = self.options.connect_timeout;
        match timeout_at(Instant::now() + after, self.connect_in_some_version()).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::TimedOut { after }),
        }
    }

    async fn connect_in_some_version(&mut self) -> Result<Link, ConnectError> {
        let credentials = match &self.options.credentials {
            CredentialsSetting::Fixed(credentials) => credentials.clone(),
            CredentialsSetting::Asked(source) => source()
                .await
                .map_err(|error| ConnectError::Credentials(Arc::from(error)))?,
        };
        let version = self.version;
        let error = match self.connect_in(version, credentials.clone()).await {
            Err(error)
                if version == ProtocolVersion::V5
                    && self.options.version == Version::V5ElseV311 =>
            {
                error
            }
            result => return result,
        };
        let said_so = matches!(&error, ConnectError::Refused(refusal)
            if refusal.reason == ConnAckReason::UnsupportedProtocolVersion);
        if said_so {
            self.version = ProtocolVersion::V311; // 5.0 is not asked for again
        } else if !matches!(error, ConnectError::Transport(_)) {
            return Err(error);
        }
        // A broker that has never heard of 5.0 may just hang up. So may one that is being restarted: no conclusion.
        tracing::debug!(%error, "the broker does not seem to know MQTT 5.0: trying 3.1.1");
        match self.connect_in(ProtocolVersion::V311, credentials).await {
            Err(ConnectError::Transport(_)) => Err(error),
            result => result,
        }
    }

    async fn connect_in(
        &mut self,
        version: ProtocolVersion,
        credentials: Credentials,
    ) -> Result<Link, ConnectError> {
        let connect = self.connect_packet(version, credentials)?;
        let stream = self.dial().await?;
        let mut wire = Wire::default();
        let connection = Connection::client(
            self.shared.now(),
            &connect,
            &self.session_limits(),
            &mut wire,
        )
        .map_err(ConnectError::NotSendable)?;
        let limits = DecodeLimits::default().with_packet_size(self.options.maximum_packet_size);
        let mut link = Link::new(stream, connection, wire, limits);
        self.shake_hands(&mut link).await?;
        Ok(link)
    }

    fn connect_packet(
        &self,
        version: ProtocolVersion,
        credentials: Credentials,
    ) -> Result<Connect, ConnectError> {
        let options = &self.options;
        let (user_name, password) = credentials.into_parts();
        if version < ProtocolVersion::V5 && password.is_some() && user_name.is_none() {
            return Err(OptionsError::PasswordWithoutUserName { version }.into()); // v311 [MQTT-3.1.2-22]
        }
        let mut connect = Connect::new(version, self.client_id.clone());
        connect.keep_alive = options.keep_alive_seconds();
        connect.user_name = user_name;
        connect.password = password;
        connect.will = options.will.as_ref().map(|will| will.to_packet(version));
        connect.clean_start = options.clean_start;
        if version == ProtocolVersion::V5 {
            // A clean start is meant for the first connection; later ones resume what this process began.
            connect.clean_start &= !self.was_connected;
            connect.properties = options
                .connect_properties()
                .map_err(|error| ConnectError::NotSendable(error.into()))?;
        }
        Ok(connect)
    }

    async fn dial(&self) -> Result<Stream, ConnectError> {
        match &self.options.dialer {
            Dialer::Endpoint(endpoint, options) => {
                let options: DialOptions =
                    options.clone().with_timeout(self.options.connect_timeout);
                dial(endpoint, &options)
                    .await
                    .map_err(|error| ConnectError::Dial(Arc::new(error)))
            }
            Dialer::Factory(factory) => factory()
                .await
                .map_err(|error| ConnectError::NoStream(Arc::new(error))),
        }
    }

    fn session_limits(&self) -> SessionLimits {
        // The outbox bounds what waits, and tells the application; the engine need not.
        let queue = QueueLimits {
            messages: u32::MAX,
            bytes: u64::MAX,
            ..QueueLimits::default()
        };
        let limits = SessionLimits::default()
            .with_queue(queue)
            .with_handshake_timeout(self.options.connect_timeout);
        match self.options.in_flight_maximum {
            Some(maximum) => limits
                .with_in_flight_max(maximum)
                .with_in_flight_max_v3(maximum),
            None => limits,
        }
    }

    /// Sends CONNECT and waits for CONNACK. Packets behind it stay in the link.
    async fn shake_hands(&mut self, link: &mut Link) -> Result<(), ConnectError> {
        poll_fn(|cx| link.poll_flush(cx))
            .await
            .map_err(before_connack)?;
        let packets = poll_fn(|cx| link.poll_read(cx))
            .await
            .map_err(before_connack)?;
        let version = link.connection.version();
        let decoded = decode(&packets, version, &link.limits)
            .map_err(|error| refused_in_3_1_1(&packets, link, error))?;
        let Some((packet, length)) = decoded else {
            return Err(ConnectError::Transport(Arc::new(
                io::ErrorKind::UnexpectedEof.into(),
            )));
        };
        let now = self.shared.now();
        let event = link
            .connection
            .handle(now, packet, &mut self.session, &mut link.outgoing)
            .map_err(|violation| ConnectError::Protocol(ProtocolFault::Violation(violation)))?;
        let Event::ConnAck(connack) = event else {
            return Err(ConnectError::NotConnAck);
        };
        if connack.reason.is_error() {
            return Err(ConnectError::Refused(Box::new(Refusal {
                reason: connack.reason,
                reason_string: connack.properties.reason_string().map(str::to_owned),
                server_reference: connack.properties.server_reference().map(str::to_owned),
            })));
        }
        link.takes_subscription_identifiers = connack
            .properties
            .subscription_identifier_available()
            .unwrap_or(true);
        self.connected(version, &connack);
        link.put_back(packets.get(length..).unwrap_or_default());
        Ok(())
    }

    fn connected(&mut self, version: ProtocolVersion, connack: &ConnAckRef<'_>) {
        if let Some(assigned) = connack.properties.assigned_client_identifier()
            && let Ok(assigned) = Utf8String::try_from(assigned)
        {
            self.client_id = assigned;
        }
        if !connack.session_present {
            self.receipts.session_lost();
            self.subscribe_again();
        }
        tracing::debug!(%version, session_present = connack.session_present, "connected");
        self.shared
            .status
            .send_replace(Status::Connected(Arc::new(ConnectionInfo {
                version,
                client_id: self.client_id.to_string(),
                session_present: connack.session_present,
                properties: connack.properties.to_owned(),
            })));
    }
}

/// A broker that does not know 5.0 refuses it in the form of its own version.
fn refused_in_3_1_1(packets: &[u8], link: &Link, error: DecodeError) -> ConnectError {
    match decode(packets, ProtocolVersion::V311, &link.limits) {
        Ok(Some((PacketRef::ConnAck(connack), _))) if connack.reason.is_error() => {
            ConnectError::Refused(Box::new(Refusal {
                reason: connack.reason,
                reason_string: None,
                server_reference: None,
            }))
        }
        _ => ConnectError::Protocol(ProtocolFault::Decode(error)),
    }
}

fn before_connack(error: DisconnectError) -> ConnectError {
    match error {
        DisconnectError::Protocol(fault) => ConnectError::Protocol(fault),
        DisconnectError::Transport(error) => ConnectError::Transport(error),
        DisconnectError::ByServer(_) | DisconnectError::TooMuchUnread { .. } => {
            ConnectError::Closed
        }
    }
}
