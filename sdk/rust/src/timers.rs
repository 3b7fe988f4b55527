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
