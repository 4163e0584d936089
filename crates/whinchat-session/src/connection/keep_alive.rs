//! Keep alive: PINGREQ, PINGRESP, and when the peer counts as gone.
//!
//! Read first: MQTT 5.0 sections 3.1.2.10, 3.12 and 3.13.

use bytes::BufMut;
use whinchat_codec::PacketType;

use super::timer::Timer;
use super::{Connection, Role};
use crate::{Instant, Output, Violation};

/// PINGREQ and PINGRESP are only their fixed header.
const fn ping_packet(packet: PacketType) -> [u8; 2] {
    [(packet as u8) << 4, 0]
}

impl Connection {
    /// Does what is due by `now`: a client sends PINGREQ. To be called when
    /// [`poll_timeout`](Self::poll_timeout) has passed; earlier does no harm.
    ///
    /// # Errors
    /// The peer was silent for too long. Pass the violation to
    /// [`close_on_violation`](Self::close_on_violation) and close the transport.
    pub fn handle_timeout<M, O: Output<M>>(
        &mut self,
        now: Instant,
        out: &mut O,
    ) -> Result<(), Violation> {
        while let Some(timer) = self.timers.take_expired(now) {
            match (timer, self.role) {
                (Timer::Handshake, _) => return Err(Violation::HandshakeTimeout),
                // v5 [MQTT-3.1.2-22]
                (Timer::KeepAlive, Role::Server) => return Err(Violation::KeepAliveTimeout),
                // v5 [MQTT-3.1.2-20]
                (Timer::KeepAlive, Role::Client) => {
                    out.buffer().put_slice(&ping_packet(PacketType::PingReq));
                    self.wrote(now);
                    if !self.timers.is_running(Timer::PingResponse) {
                        self.await_ping_response(now);
                    }
                }
                (Timer::PingResponse, _) => return Err(Violation::PingResponseTimeout),
            }
        }
        Ok(())
    }

    /// When [`handle_timeout`](Self::handle_timeout) has to be called; `None`: not at all.
    #[inline]
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The Keep Alive in seconds that is in force; 0: none.
    #[inline]
    #[must_use]
    pub const fn keep_alive(&self) -> u16 {
        self.keep_alive
    }

    /// Starts to watch over the Keep Alive that the handshake has settled.
    pub(super) fn start_keep_alive(&mut self, now: Instant) {
        self.timers.clear(Timer::KeepAlive);
        match self.role {
            Role::Server => self.heard(now),
            Role::Client => self.wrote(now),
        }
    }

    /// Something has arrived.
    #[inline]
    pub(super) fn heard(&mut self, now: Instant) {
        match self.role {
            Role::Server => {
                if self.keep_alive > 0 && !planted!(KeepAliveIgnored) {
                    let silence_max = u64::from(self.keep_alive) * 1_500;
                    self.timers
                        .set(Timer::KeepAlive, now.saturating_add_millis(silence_max));
                }
            }
            // A peer that sends is there, even if its PINGRESP is behind a long message.
            Role::Client => {
                if self.timers.is_running(Timer::PingResponse) {
                    self.await_ping_response(now);
                }
            }
        }
    }

    /// Something has been written.
    #[inline]
    pub(super) fn wrote(&mut self, now: Instant) {
        if self.role == Role::Client && self.keep_alive > 0 {
            let gap_max = u64::from(self.keep_alive) * 1_000;
            self.timers
                .set(Timer::KeepAlive, now.saturating_add_millis(gap_max));
        }
    }

    fn await_ping_response(&mut self, now: Instant) {
        let patience = match self.ping_timeout_millis {
            0 => u64::from(self.keep_alive) * 1_000,
            millis => u64::from(millis),
        };
        self.timers
            .set(Timer::PingResponse, now.saturating_add_millis(patience));
    }

    /// Server. // v5 [MQTT-3.12.4-1]
    pub(super) fn on_pingreq<M, O: Output<M>>(out: &mut O) {
        out.buffer().put_slice(&ping_packet(PacketType::PingResp));
    }

    /// Client.
    pub(super) const fn on_pingresp(&mut self) {
        self.timers.clear(Timer::PingResponse);
    }
}
