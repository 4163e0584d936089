//! When to connect again after a connection ended: full-jitter back-off.
//!
//! Each wait is drawn evenly from nothing to a ceiling, so that a fleet that lost its broker does not come back in step; the
//! ceiling doubles with every failure in a row. Refused credentials wait for the longest time at once: the broker is well, and
//! asking faster only looks like an attack.

use std::time::Duration;

/// When to connect again.
///
/// ```
/// use std::time::Duration;
/// use whinchat_client::ReconnectPolicy;
///
/// let patient = ReconnectPolicy::default().first(Duration::from_secs(5)).longest(Duration::from_secs(600));
/// let never = ReconnectPolicy::never();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReconnectPolicy {
    enabled: bool,
    first: Duration,
    longest: Duration,
    stop_on_refused_credentials: bool,
}

impl Default for ReconnectPolicy {
    /// Up to 1 s after the first failure, up to 2 min in the long run, for ever.
    fn default() -> Self {
        Self {
            enabled: true,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(120),
            stop_on_refused_credentials: false,
        }
    }
}

impl ReconnectPolicy {
    /// The client ends with its connection.
    pub fn never() -> Self {
        Self {
            enabled: false,
            ..Self::default()
        }
    }

    /// The longest wait after a first failure; it doubles with each further one. Default: 1 s.
    #[must_use]
    pub fn first(mut self, first: Duration) -> Self {
        self.first = first;
        self
    }

    /// The longest wait of all. Default: 2 min.
    #[must_use]
    pub fn longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// Whether refused credentials (0x86, 0x87, 0x8C; 3.x return codes 4 and 5) end the client. Default: no, they are tried
    /// again after the longest wait, because a callback or an operator may put them right.
    #[must_use]
    pub fn stop_on_refused_credentials(mut self, stop: bool) -> Self {
        self.stop_on_refused_credentials = stop;
        self
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    pub(crate) fn stops_on_refused_credentials(&self) -> bool {
        self.stop_on_refused_credentials
    }
}

/// What a failure says about the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The network or the broker: try again, more and more slowly.
    Transient,
    /// The credentials were refused.
    Credentials,
}

/// Counts failures in a row and draws the waits.
#[derive(Debug)]
pub(crate) struct Backoff {
    policy: ReconnectPolicy,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(policy: ReconnectPolicy) -> Self {
        Self {
            policy,
            failures: 0,
        }
    }

    pub(crate) fn policy(&self) -> &ReconnectPolicy {
        &self.policy
    }

    /// A connection ended. It counts as good only if it lasted longer than the longest wait of the moment: a broker that accepts
    /// and then hangs up at once is not asked faster and faster.
    pub(crate) fn connection_lasted(&mut self, duration: Duration) {
        if duration > self.ceiling() {
            self.failures = 0;
        }
    }

    fn ceiling(&self) -> Duration {
        self.policy
            .first
            .saturating_mul(1 << self.failures.min(20))
            .min(self.policy.longest)
    }

    /// How long to wait. `random` is from 0 to 1.
    pub(crate) fn next_wait(&mut self, failure: Failure, random: f64) -> Duration {
        match failure {
            Failure::Transient => {
                let ceiling = self.ceiling();
                self.failures = self.failures.saturating_add(1);
                ceiling.mul_f64(random.clamp(0.0, 1.0))
            }
            // Jitter in the upper half alone: "at the longest back-off" must not become "at once".
            Failure::Credentials => self
                .policy
                .longest
                .mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_from_1_s_to_2_min_and_starts_again_after_success() {
        let mut backoff = Backoff::new(ReconnectPolicy::default());
        let ceilings: Vec<_> = (0..10)
            .map(|_| backoff.next_wait(Failure::Transient, 1.0).as_secs())
            .collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 32, 64, 120, 120, 120]);
        backoff.connection_lasted(Duration::from_secs(119));
        assert_eq!(
            backoff.next_wait(Failure::Transient, 1.0),
            Duration::from_secs(120)
        );
        backoff.connection_lasted(Duration::from_secs(121));
        assert_eq!(
            backoff.next_wait(Failure::Transient, 1.0),
            Duration::from_secs(1)
        );
    }

    #[test]
    fn the_wait_is_drawn_from_nothing_to_the_ceiling() {
        let mut backoff = Backoff::new(ReconnectPolicy::default());
        assert_eq!(backoff.next_wait(Failure::Transient, 0.0), Duration::ZERO);
        assert_eq!(
            backoff.next_wait(Failure::Transient, 0.25),
            Duration::from_millis(500)
        );
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut backoff = Backoff::new(ReconnectPolicy::default().longest(Duration::MAX));
        for _ in 0..100 {
            backoff.next_wait(Failure::Transient, 0.5);
        }
    }

    #[test]
    fn refused_credentials_wait_long_and_leave_the_count_alone() {
        let mut backoff = Backoff::new(ReconnectPolicy::default());
        assert_eq!(
            backoff.next_wait(Failure::Credentials, 0.0),
            Duration::from_secs(60)
        );
        assert_eq!(
            backoff.next_wait(Failure::Credentials, 1.0),
            Duration::from_secs(120)
        );
        assert_eq!(
            backoff.next_wait(Failure::Transient, 1.0),
            Duration::from_secs(1)
        );
    }
}
