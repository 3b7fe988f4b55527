//! When to try again. Owns the growth of the delay, never gives up, reads no clock and no randomness.

use std::time::Duration;

/// First retry after a connection that had lasted: at once, spread over this much so that many clients do not meet.
const FIRST: Duration = Duration::from_millis(50);
/// Second retry; from here it doubles.
const SECOND: Duration = Duration::from_millis(250);
/// Longest delay between two attempts.
const LONGEST: Duration = Duration::from_secs(60);
/// Shortest delay after a refused login: servers ban who asks faster.
const REFUSED: Duration = Duration::from_secs(20);

/// Delays between attempts to connect.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The delay before the next attempt; `random` in 0..1 shortens it by up to a half.
    pub(super) fn next(&mut self, random: f64) -> Duration {
        let delay = match self.attempts.checked_sub(1) {
            None => return FIRST.mul_f64(random.clamp(0.0, 1.0)),
            Some(doublings) => SECOND.saturating_mul(1 << doublings.min(16)).min(LONGEST),
        };
        delay.mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0)
    }

    /// As [`Self::next`], after the server refused the login.
    pub(super) fn next_after_refusal(&mut self, random: f64) -> Duration {
        self.next(random).max(REFUSED.mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0))
    }

    /// An attempt begins.
    pub(super) fn attempted(&mut self) {
        self.attempts = self.attempts.saturating_add(1);
    }

    /// A connection has lasted.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_a_minute_and_stays_there() {
        let mut backoff = Backoff::default();
        let mut last = Duration::ZERO;
        for _ in 0..1000 {
            let delay = backoff.next(0.0);
            assert!(delay >= last || delay == LONGEST);
            last = delay;
            backoff.attempted();
        }
        assert_eq!(last, LONGEST);
        assert_eq!(backoff.next(1.0), LONGEST / 2);
    }

    #[test]
    fn starts_again_at_once_after_a_connection_that_lasted() {
        let mut backoff = Backoff::default();
        (0..10).for_each(|_| backoff.attempted());
        backoff.reset();
        assert!(backoff.next(0.9) < Duration::from_millis(50));
    }

    #[test]
    fn is_slow_after_a_refused_login() {
        assert!(Backoff::default().next_after_refusal(0.5) >= REFUSED / 2);
    }
}
