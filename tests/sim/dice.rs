//! Chance that can be repeated: the same seed throws the same numbers. Owns nothing else.

/// A stream of numbers (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(1));
        dice.next();
        dice
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which is at least one.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// So many times out of a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        let at = self.index(from.len());
        from.get(at).cloned()
    }

    /// One of several, each with its weight; none if all weights are zero.
    pub(crate) fn weighed<T: Clone>(&mut self, from: &[(u64, T)]) -> Option<T> {
        let total: u64 = from.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(total);
        let found = from.iter().filter(|(weight, _)| *weight > 0).find(|(weight, _)| {
            let is_it = left < *weight;
            left = left.saturating_sub(*weight);
            is_it
        });
        found.map(|(_, what)| what.clone())
    }
}
