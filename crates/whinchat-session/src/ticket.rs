//! What a not yet durable effect waits on.

/// The place in the log of the group that holds an effect, as the driver counts it.
///
/// A driver hands out tickets in non-decreasing order and tells with
/// [`handle_committed`](crate::Connection::handle_committed) up to which one all is durable.
/// A driver without a log uses [`Ticket::NONE`] everywhere, and nothing ever waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl Ticket {
    /// Nothing to wait for.
    pub const NONE: Self = Self(0);

    /// The ticket with this number; 0 is [`Ticket::NONE`].
    #[inline]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether there is something to wait for.
    #[inline]
    pub const fn is_some(self) -> bool {
        self.0 != 0
    }
}
