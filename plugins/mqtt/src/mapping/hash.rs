//! A hash for topics: the same in every run and fast on short texts. The number of topics is bounded, so it need not resist malice.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map that is looked up and never walked where its order could show.
pub(crate) type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// Multiplies and rotates, eight bytes at a time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mix(u64);

impl Mix {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517C_C1B7_2722_0A95);
    }
}

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.add(u64::from_le_bytes(*word)));
        self.add(rest.iter().fold(rest.len() as u64, |word, byte| word << 8 | u64::from(*byte)));
    }

    fn finish(&self) -> u64 {
        // The low bits choose the bucket, and multiplication mixes upwards only.
        self.0.rotate_left(26)
    }
}

/// A node's number: the same for the same id in every run, so that an instance that lost its memory does not mix nodes up.
pub(crate) fn number_of(id: &str) -> u32 {
    id.bytes().fold(0x811C_9DC5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
