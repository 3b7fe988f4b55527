//! Timers of one bridge. Owns when each runs out; sleeps only in [`Timers::wait`].

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::{Duration, Instant, sleep_until};
use tombolo_core::model::{Action, limits};

use crate::program::Fault;

#[derive(Default)]
pub(super) struct Timers {
    ends: BTreeMap<u64, Instant>,
    order: BTreeSet<(Instant, u64)>,
}

impl Timers {
    /// Refuses before anything is changed, so that a refused call leaves no trace.
    pub(super) fn check_room(&self, actions: &[Action]) -> Result<(), Fault> {
        let is_new = |action: &&Action| matches!(action, Action::SetTimer { id, .. } if !self.ends.contains_key(id));
        let timers = self.ends.len() + actions.iter().filter(is_new).count();
        if timers <= limits::TIMERS_PER_BRIDGE_MAX {
            return Ok(());
        }
        Err(Fault::Contract(format!("{timers} timers, at most {} are allowed", limits::TIMERS_PER_BRIDGE_MAX)))
    }

    /// Setting an id again moves it.
    pub(super) fn set(&mut self, id: u64, after_ms: u32, called: Instant) {
        self.cancel(id);
        let end = called + Duration::from_millis(after_ms.into());
        self.ends.insert(id, end);
        self.order.insert((end, id));
    }

    pub(super) fn cancel(&mut self, id: u64) {
        if let Some(end) = self.ends.remove(&id) {
            self.order.remove(&(end, id));
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Those that have run out, the earliest first.
    pub(super) fn take_due(&mut self, now: Instant, most: usize) -> Vec<u64> {
        let due: Vec<u64> =
            self.order.iter().take_while(|(end, _)| *end <= now).take(most).map(|(_, id)| *id).collect();
        due.iter().for_each(|id| self.cancel(*id));
        due
    }

    /// Until one runs out; for ever without any.
    pub(super) async fn wait(&self) {
        match self.order.first() {
            Some((end, _)) => sleep_until(*end).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_a_timer_that_is_set_again_and_forgets_a_cancelled_one() {
        let (now, mut timers) = (Instant::now(), Timers::default());
        timers.set(1, 10, now);
        timers.set(2, 20, now);
        timers.set(1, 30, now);
        timers.set(3, 5, now);
        timers.cancel(3);
        assert_eq!(timers.take_due(now + Duration::from_millis(30), 9), [2, 1]);
        assert!(timers.take_due(now + Duration::from_millis(99), 9).is_empty());
    }

    #[test]
    fn counts_only_new_timers_against_the_limit() {
        let mut timers = Timers::default();
        for id in 0..limits::TIMERS_PER_BRIDGE_MAX as u64 {
            timers.set(id, 1, Instant::now());
        }
        assert_eq!(timers.check_room(&[Action::SetTimer { id: 0, after_ms: 1 }]), Ok(()));
        assert!(timers.check_room(&[Action::SetTimer { id: u64::MAX, after_ms: 1 }]).is_err());
    }
}
