//! Numbers that nobody can guess who does not know the seed. Owns their state, which goes on over swaps.

use serde::{Deserialize, Serialize};

/// splitmix64.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Sixteen hexadecimal digits.
    pub(crate) fn token(&mut self) -> String {
        format!("{:016x}", self.next())
    }
}
