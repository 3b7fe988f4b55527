//! What an earlier instance had stored when it ended: the broker may send it again.
//!
//! A receipt is the name of a report: the packet's id, a hash of the message, and which of its reports it is. The host tells a new instance
//! which receipts are stored. A message with DUP whose name is among them is the same one, unless the broker gave its id to another message
//! of the same content since; brokers count ids round and round, and one that is seen to take them up again soon is not believed: then
//! readings may come twice, but none is lost.

use std::collections::BTreeMap;
use std::hash::Hasher;

use serde::{Deserialize, Serialize};

use crate::codec::Publish;
use crate::mapping::Mix;

/// An id that comes back within so many receipts is one that the broker gives out as soon as it is free.
const SOON: u64 = 1024;
/// As many as the host remembers.
const RECEIPTS_MAX: usize = 8192;
/// Bits of a receipt for which of a message's reports it is, and for the hash; the id is above them, and all below 2^53.
const REPORT_BITS: u32 = 12;
const HASH_BITS: u32 = 25;

/// The receipt of a message's first report; the next ones follow it.
pub(super) fn name_of(publish: &Publish<'_>) -> u64 {
    let mut hash = Mix::default();
    hash.write(publish.topic.as_bytes());
    hash.write(publish.payload);
    let hash = hash.finish() & ((1 << HASH_BITS) - 1);
    u64::from(publish.id) << (HASH_BITS + REPORT_BITS) | hash << REPORT_BITS
}

fn id_of(receipt: u64) -> u16 {
    u16::try_from(receipt >> (HASH_BITS + REPORT_BITS)).unwrap_or_default()
}

/// The receipts that the packet id can have.
fn all_of(id: u16) -> std::ops::Range<u64> {
    let first = u64::from(id) << (HASH_BITS + REPORT_BITS);
    first..first + (1 << (HASH_BITS + REPORT_BITS))
}

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    /// With their place in the order in which they were told.
    receipts: BTreeMap<u64, u64>,
    told: u64,
    /// The broker gives out ids as soon as they are free.
    is_hasty: bool,
}

impl Before {
    /// The host says that this one is stored, and nobody here waits for it.
    pub(super) fn add(&mut self, receipt: u64) {
        self.told += 1;
        if self.is_hasty || id_of(receipt) == 0 {
            return;
        }
        let message = receipt >> REPORT_BITS;
        let (told, mut is_soon) = (self.told, false);
        let others: Vec<u64> = self.receipts.range(all_of(id_of(receipt))).map(|(other, _)| *other).collect();
        for other in others.into_iter().filter(|other| *other == receipt || other >> REPORT_BITS != message) {
            let before = self.receipts.remove(&other);
            is_soon |= before.is_some_and(|before| told - before < SOON);
        }
        if is_soon {
            (self.is_hasty, self.receipts) = (true, BTreeMap::new());
        } else if self.receipts.len() < RECEIPTS_MAX {
            self.receipts.insert(receipt, told);
        }
    }

    /// Whether a report of the message with this first receipt is stored.
    pub(super) fn knows(&self, first: u64) -> bool {
        self.receipts.range(first..first + (1 << REPORT_BITS)).next().is_some()
    }

    /// Whether this report is stored.
    pub(super) fn has(&self, receipt: u64) -> bool {
        self.receipts.contains_key(&receipt)
    }

    /// The packet id belongs to another message from now on.
    pub(super) fn forget(&mut self, id: u16) {
        while let Some(receipt) = self.receipts.range(all_of(id)).next().map(|(receipt, _)| *receipt) {
            self.receipts.remove(&receipt);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Qos;

    fn name(id: u16, payload: &[u8]) -> u64 {
        name_of(&Publish { topic: "a", payload, qos: Qos::AtLeastOnce, id, dup: false, retain: false })
    }

    #[test]
    fn names_are_of_the_id_and_the_content_and_within_bounds() {
        assert_eq!(name(7, b"1"), name(7, b"1"));
        assert_ne!(name(7, b"1"), name(7, b"2"));
        assert_ne!(name(7, b"1"), name(8, b"1"));
        assert!(name(1, b"") >= 1 << 32 && name(u16::MAX, b"x") + (1 << REPORT_BITS) <= 1 << 53);
    }

    #[test]
    fn knows_what_was_stored_until_its_id_is_given_to_another_message() {
        let mut before = Before::default();
        before.add(name(7, b"1"));
        before.add(name(7, b"1") + 1);
        assert!(before.knows(name(7, b"1")) && before.has(name(7, b"1") + 1) && !before.knows(name(7, b"2")));
        before.forget(7);
        assert!(!before.knows(name(7, b"1")));
    }

    #[test]
    fn a_broker_that_gives_an_id_out_as_soon_as_it_is_free_is_not_believed() {
        for again in [&b"1"[..], b"2"] {
            let mut before = Before::default();
            before.add(name(1, b"1"));
            before.add(name(1, again));
            before.add(name(2, b"1"));
            assert!(!before.knows(name(1, again)) && !before.knows(name(2, b"1")));
        }
    }

    #[test]
    fn ids_of_an_earlier_session_give_way_to_those_of_the_newest() {
        let mut before = Before::default();
        for id in (1..=2000).chain(1..=10) {
            before.add(name(id, if before.told < 2000 { b"old" } else { b"new" }));
        }
        assert!(before.knows(name(5, b"new")) && !before.knows(name(5, b"old")) && before.knows(name(20, b"old")));
    }
}
