//! What the drivers of both roles have in common: time, commits, the end of a connection, a restart.

use bytes::{Buf, BytesMut};
use whinchat_codec::{DecodeLimits, PacketRef, decode};
use whinchat_session::{Connection, Instant, SessionLimits, SessionState, Ticket, Violation};

use super::letter::Letter;
use super::witness::Witness;

/// One end of a connection, with what outlives it and who watches.
pub(super) struct End {
    pub(super) now: Instant,
    /// All is durable at once.
    pub(super) durable_at_once: bool,
    pub(super) limits: SessionLimits,
    pub(super) connection: Connection,
    pub(super) session: SessionState<Letter>,
    pub(super) out: Witness,
    /// The transport is gone or on its way.
    pub(super) is_closed: bool,
    input: BytesMut,
}

impl End {
    /// The settings choose small limits, and whether all is durable at once.
    pub(super) fn new(settings: u8, out: Witness) -> Self {
        let mut limits = SessionLimits::default();
        if settings & 1 != 0 {
            limits = limits
                .with_receive_maximum(2)
                .with_in_flight_max(2)
                .with_in_flight_max_v3(2)
                .with_topic_alias_maximum_in(2)
                .with_topic_alias_maximum_out(2);
        }
        Self {
            now: Instant::ORIGIN,
            durable_at_once: settings & 2 != 0,
            limits,
            connection: Connection::server(Instant::ORIGIN, &limits),
            session: SessionState::new(),
            out,
            is_closed: false,
            input: BytesMut::new(),
        }
    }

    /// Hands the whole packets of what has come to `handle`, which sees the same end.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        mut handle: impl FnMut(&mut Self, PacketRef<'_>),
    ) {
        if self.is_closed {
            return;
        }
        self.input.extend_from_slice(bytes);
        let mut input = std::mem::take(&mut self.input);
        while !self.is_closed {
            match decode(&input, self.connection.version(), &DecodeLimits::default()) {
                Ok(Some((packet, len))) => {
                    handle(self, packet);
                    if self.durable_at_once {
                        self.commit(u8::MAX);
                    }
                    self.check();
                    input.advance(len);
                }
                Ok(None) => break,
                Err(error) => {
                    self.connection.close_on_malformed(&error, &mut self.out);
                    self.is_closed = true;
                }
            }
        }
        self.input = input;
    }

    pub(super) fn violated(&mut self, violation: Violation) {
        assert!(violation.reason().is_error(), "{violation}");
        self.connection.close_on_violation(violation, &mut self.out);
        self.is_closed = true;
    }

    pub(super) fn commit(&mut self, count: u8) {
        let up_to = self.out.commit(u64::from(count));
        if !self.is_closed {
            let (session, out) = (&mut self.session, &mut self.out);
            self.connection
                .handle_committed(self.now, up_to, session, out);
        }
    }

    pub(super) fn pass_time(&mut self, half_seconds: u8) {
        self.now = self
            .now
            .saturating_add_millis(u64::from(half_seconds) * 500);
        if self.is_closed {
            return;
        }
        let due = self
            .connection
            .poll_timeout()
            .is_some_and(|deadline| deadline <= self.now);
        match self
            .connection
            .handle_timeout::<Letter, _>(self.now, &mut self.out)
        {
            Ok(()) => {
                let next = self.connection.poll_timeout();
                assert!(
                    next.is_none_or(|next| next > self.now),
                    "{next:?} is due at {:?}",
                    self.now
                );
            }
            Err(violation) => {
                assert!(due, "{violation} before its time");
                self.violated(violation);
            }
        }
    }

    /// The transport breaks; a new connection is the caller's to make.
    pub(super) fn cut(&mut self) {
        self.connection.handle_transport_closed();
        self.check();
        self.input.clear();
        self.out.reconnected();
        self.is_closed = false;
    }

    /// The process ends without a connection, and starts again with what it had kept.
    pub(super) fn restart(&mut self) {
        self.commit(u8::MAX);
        let before = self.counts();
        let snapshot = self.session.export(|letter, out| letter.write(out));
        self.session = SessionState::restore(&snapshot, Letter::read).expect("what was exported");
        assert_eq!(self.counts(), before, "in flight, queued, held");
        let snapshot = self.session.export(|letter, out| letter.write(out));
        self.session = SessionState::restore(&snapshot, Letter::read).expect("what was exported");
        let again = self.session.export(|letter, out| letter.write(out));
        assert_eq!(again.as_bytes(), snapshot.as_bytes());
    }

    fn counts(&self) -> (usize, usize, usize) {
        let session = &self.session;
        (session.in_flight(), session.queue_len(), session.held_ids())
    }

    pub(super) fn check(&mut self) {
        self.out.check(self.connection.version());
        let awaited = self.connection.awaited_ticket(&self.session);
        assert!(
            !self.connection.is_connected()
                || awaited.is_none_or(|ticket| ticket > self.out.committed()),
            "{awaited:?} is committed and still waited for"
        );
        assert!(awaited != Some(Ticket::NONE));
    }
}
