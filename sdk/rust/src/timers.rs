//! Timers by name. Owns which number stands for which purpose; the host owns the time.

use std::collections::BTreeMap;

use crate::Actions;

/// Lets a mapper think of its timers as `Retry` or `KeepAlive(session)`, and not as numbers.
///
/// Timers go on over a swap: carry [`Timers::running`] over and give it back to [`Timers::resume`].
#[derive(Clone, Debug)]
pub struct Timers<K> {
    numbers: BTreeMap<K, u64>,
    purposes: BTreeMap<u64, K>,
    next: u64,
}

impl<K: Ord + Clone> Timers<K> {
    /// None runs.
    pub const fn new() -> Self {
        Self { numbers: BTreeMap::new(), purposes: BTreeMap::new(), next: 0 }
    }

    /// As the version before left them.
    pub fn resume(running: impl IntoIterator<Item = (K, u64)>) -> Self {
        let mut timers = Self::new();
        for (purpose, number) in running {
            timers.next = timers.next.max(number + 1);
            timers.insert(purpose, number);
        }
        timers
    }

    /// Those that have not run out, with their numbers.
    pub fn running(&self) -> impl Iterator<Item = (&K, u64)> {
        self.numbers.iter().map(|(purpose, number)| (purpose, *number))
    }

    /// Whether this one has not run out.
    pub fn is_running(&self, purpose: &K) -> bool {
        self.numbers.contains_key(purpose)
    }

    /// Starts it, or moves it.
    pub fn set(&mut self, purpose: K, after_ms: u32, out: &mut Actions) {
        let number = self.numbers.get(&purpose).copied().unwrap_or(self.next);
        self.next = self.next.max(number + 1);
        self.insert(purpose, number);
        out.set_timer(number, after_ms);
    }

    /// Takes it back, if it runs.
    pub fn cancel(&mut self, purpose: &K, out: &mut Actions) {
        if let Some(number) = self.numbers.remove(purpose) {
            self.purposes.remove(&number);
            out.cancel_timer(number);
        }
    }

    /// What [`crate::Event::Timer`] means. None: it was taken back meanwhile.
    pub fn ran_out(&mut self, number: u64) -> Option<K> {
        let purpose = self.purposes.remove(&number)?;
        self.numbers.remove(&purpose);
        Some(purpose)
    }

    fn insert(&mut self, purpose: K, number: u64) {
        self.numbers.insert(purpose.clone(), number);
        self.purposes.insert(number, purpose);
    }
}

impl<K: Ord + Clone> Default for Timers<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Action;
    use crate::actions::Timer;

    #[test]
    fn a_timer_that_is_set_again_is_moved() {
        let (mut timers, mut out) = (Timers::new(), Actions::new());
        timers.set("retry", 10, &mut out);
        timers.set("retry", 20, &mut out);
        let timer = |after_ms| Action::SetTimer(Timer { id: 0, after_ms });
        assert_eq!(out.as_slice(), [timer(10), timer(20)]);
    }

    #[test]
    fn a_timer_that_was_taken_back_means_nothing() {
        let (mut timers, mut out) = (Timers::new(), Actions::new());
        timers.set("retry", 10, &mut out);
        timers.cancel(&"retry", &mut out);
        assert_eq!(out.as_slice().last(), Some(&Action::CancelTimer(0)));
        assert_eq!(timers.ran_out(0), None);
    }

    #[test]
    fn running_timers_keep_their_numbers_over_a_swap() {
        let (mut timers, mut out) = (Timers::new(), Actions::new());
        timers.set("ping", 10, &mut out);
        timers.set("retry", 10, &mut out);
        assert_eq!(timers.ran_out(0), Some("ping"));
        let running: Vec<_> = timers.running().map(|(purpose, number)| (*purpose, number)).collect();
        let mut next = Timers::resume(running);
        next.set("ping", 10, &mut out);
        assert_eq!(next.ran_out(1), Some("retry"));
        assert_eq!(next.ran_out(2), Some("ping"));
    }
}
