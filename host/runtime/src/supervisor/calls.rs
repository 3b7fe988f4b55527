//! What calls into a mapper cost, counted since its bridge began. Owns the counters; decides nothing.
//!
//! The bridge's task writes, anybody reads: single values are right, and between two values a call may lie.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper ends of the classes of durations, in microseconds; what takes longer than the last is in one more class.
pub const CALL_CLASSES_US: [u64; 9] = [100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000];

/// The counters at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// Batches of events that were handed over.
    pub calls: u64,
    /// Of these, how many ended in a fault.
    pub faults: u64,
    /// Events in these batches.
    pub events: u64,
    /// Actions that came back.
    pub actions: u64,
    /// Time within these calls, in microseconds.
    pub busy_us: u64,
    /// How many calls lasted so long, by [`CALL_CLASSES_US`]; the last is for what took longer.
    pub classes: [u64; CALL_CLASSES_US.len() + 1],
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    faults: AtomicU64,
    events: AtomicU64,
    actions: AtomicU64,
    busy_us: AtomicU64,
    classes: [AtomicU64; CALL_CLASSES_US.len() + 1],
}

impl Calls {
    /// A call has ended; no number of actions: in a fault.
    pub(super) fn ended(&self, events: usize, actions: Option<usize>, lasted: Duration) {
        let us = u64::try_from(lasted.as_micros()).unwrap_or(u64::MAX);
        let class = CALL_CLASSES_US.iter().position(|upper| us <= *upper).unwrap_or(CALL_CLASSES_US.len());
        if let Some(class) = self.classes.get(class) {
            class.fetch_add(1, Relaxed);
        }
        self.busy_us.fetch_add(us, Relaxed);
        self.events.fetch_add(events as u64, Relaxed);
        self.faults.fetch_add(u64::from(actions.is_none()), Relaxed);
        self.actions.fetch_add(actions.unwrap_or_default() as u64, Relaxed);
    }

    pub(super) fn counts(&self) -> CallCounts {
        let mut classes = [0; CALL_CLASSES_US.len() + 1];
        for (count, class) in classes.iter_mut().zip(&self.classes) {
            *count = class.load(Relaxed);
        }
        CallCounts {
            calls: classes.iter().sum(),
            faults: self.faults.load(Relaxed),
            events: self.events.load(Relaxed),
            actions: self.actions.load(Relaxed),
            busy_us: self.busy_us.load(Relaxed),
            classes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_is_in_the_class_of_its_duration_and_counted_once() {
        let calls = Calls::default();
        calls.ended(3, Some(2), Duration::from_micros(100));
        calls.ended(1, Some(0), Duration::from_micros(101));
        calls.ended(1, None, Duration::from_secs(2));
        let counts = calls.counts();
        assert_eq!(counts.classes, [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((counts.calls, counts.faults, counts.events, counts.actions), (3, 1, 5, 2));
        assert_eq!(counts.busy_us, 100 + 101 + 2_000_000);
    }
}
