//! When a failed instance is started again, and when not any more. Owns the memory of faults.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant};
use tombolo_core::model::limits;

#[derive(Default)]
pub(super) struct Restarts {
    faults: VecDeque<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Again { faults: u32, after: Duration },
    Enough { faults: u32 },
}

impl Restarts {
    /// Counts a fault.
    pub(super) fn fault(&mut self, now: Instant) -> Verdict {
        let window = Duration::from_millis(limits::RESTART_WINDOW_MS);
        self.faults.push_back(now);
        self.faults.retain(|fault| now.duration_since(*fault) < window);
        let faults = u32::try_from(self.faults.len()).unwrap_or(u32::MAX);
        if faults >= limits::RESTARTS_MAX {
            return Verdict::Enough { faults };
        }
        Verdict::Again { faults, after: delay(faults) }
    }

    /// A new program starts with a clean slate.
    pub(super) fn forget(&mut self) {
        self.faults.clear();
    }
}

fn delay(faults: u32) -> Duration {
    let doubled =
        limits::RESTART_DELAY_MS.saturating_mul(1_u64.checked_shl(faults.saturating_sub(1)).unwrap_or(u64::MAX));
    Duration::from_millis(doubled.min(limits::RESTART_DELAY_MS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_each_time_and_then_gives_up() {
        let (now, mut restarts) = (Instant::now(), Restarts::default());
        for faults in 1..limits::RESTARTS_MAX {
            let after = Duration::from_millis(limits::RESTART_DELAY_MS << (faults - 1));
            assert_eq!(restarts.fault(now), Verdict::Again { faults, after });
        }
        assert_eq!(restarts.fault(now), Verdict::Enough { faults: limits::RESTARTS_MAX });
    }

    #[test]
    fn forgets_what_is_long_past() {
        let (mut now, mut restarts) = (Instant::now(), Restarts::default());
        for _ in 0..20 {
            now += Duration::from_millis(limits::RESTART_WINDOW_MS);
            let after = Duration::from_millis(limits::RESTART_DELAY_MS);
            assert_eq!(restarts.fault(now), Verdict::Again { faults: 1, after });
        }
    }

    #[test]
    fn never_waits_longer_than_the_limit() {
        assert_eq!(delay(u32::MAX), Duration::from_millis(limits::RESTART_DELAY_MS_MAX));
    }
}
