//! Receipts that are names: which of them are stored, over a crash and a restart.
//!
//! A mapper may give its receipts names ([`limits::RECEIPT_NAMES_FROM`]). The first events of its next instance tell which of them are stored,
//! so that what its source sends again is acknowledged and not reported twice (decision 0010). Owns the newest of each bridge, in slots
//! that are records: what is new is written with the items of the reports, in the same transaction, as one small record for all of them.

use std::collections::{BTreeMap, VecDeque};

use super::Output;
use crate::model::limits;

/// How names of records begin; the bridge's name and the slot's place follow.
const RECORDS: &str = "stored/";

/// By bridge.
#[derive(Debug, Default)]
pub(super) struct Named(BTreeMap<Box<str>, Ring>);

/// Oldest first.
#[derive(Debug, Default)]
struct Ring {
    slots: VecDeque<Slot>,
    /// The first slot that is not written as it is.
    unwritten: Option<u64>,
}

/// So many receipts as are written at once.
#[derive(Debug, Default)]
struct Slot {
    /// Counts slots; the record's place is what is left of it.
    serial: u64,
    receipts: Vec<u64>,
}

impl Slot {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (words, _) = bytes.as_chunks::<8>();
        let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
        Some(Self { serial: words.next()?, receipts: words.take(limits::RECEIPT_NAMES_PER_SLOT).collect() })
    }

    fn write(&self) -> Vec<u8> {
        let words = std::iter::once(&self.serial).chain(&self.receipts);
        words.flat_map(|word| word.to_le_bytes()).collect()
    }
}

impl Ring {
    fn add(&mut self, receipt: u64) {
        let is_full = |slot: &Slot| slot.receipts.len() >= limits::RECEIPT_NAMES_PER_SLOT;
        if self.slots.back().is_none_or(is_full) {
            let serial = self.slots.back().map_or(0, |last| last.serial + 1);
            self.slots.push_back(Slot { serial, receipts: Vec::new() });
            if self.slots.len() > limits::RECEIPT_NAME_SLOTS {
                self.slots.pop_front();
            }
        }
        if let Some(slot) = self.slots.back_mut() {
            slot.receipts.push(receipt);
            self.unwritten.get_or_insert(slot.serial);
        }
    }

    fn take_unwritten(&mut self) -> Option<(u64, Vec<u8>)> {
        let serial = self.unwritten?;
        let slot = self.slots.iter().rev().find(|slot| slot.serial <= serial).filter(|slot| slot.serial == serial);
        let written = slot.map(|slot| (serial, slot.write()));
        let last = self.slots.back().map_or(0, |slot| slot.serial);
        self.unwritten = (serial < last).then_some(serial + 1);
        written
    }
}

fn record_of(bridge: &str, serial: u64) -> String {
    format!("{RECORDS}{bridge}/{:02x}", serial % limits::RECEIPT_NAME_SLOTS as u64)
}

/// Whether a receipt is a name.
pub(super) fn is_name(receipt: u64) -> bool {
    receipt >= limits::RECEIPT_NAMES_FROM
}

impl Named {
    /// What an earlier run kept.
    pub(super) fn restore(kept: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut named = Self::default();
        let of_kind = kept.range(RECORDS.to_owned()..);
        for (name, bytes) in of_kind.map_while(|(name, bytes)| Some((name.strip_prefix(RECORDS)?, bytes))) {
            if let (Some((bridge, _)), Some(slot)) = (name.rsplit_once('/'), Slot::read(bytes)) {
                named.0.entry(bridge.into()).or_default().slots.push_back(slot);
            }
        }
        for ring in named.0.values_mut() {
            ring.slots.make_contiguous().sort_by_key(|slot| slot.serial);
        }
        named
    }

    /// This receipt's report is stored with what is written next.
    pub(super) fn add(&mut self, bridge: &str, receipt: u64) {
        match self.0.get_mut(bridge) {
            Some(ring) => ring.add(receipt),
            None => self.0.entry(bridge.into()).or_default().add(receipt),
        }
    }

    /// It is not after all.
    pub(super) fn take_back(&mut self, bridge: &str, receipt: u64) {
        let Some(slot) = self.0.get_mut(bridge).and_then(|ring| ring.slots.back_mut()) else { return };
        slot.receipts.retain(|other| *other != receipt);
    }

    /// Oldest first.
    pub(super) fn of(&self, bridge: &str) -> Vec<u64> {
        let slots = self.0.get(bridge).into_iter().flat_map(|ring| &ring.slots);
        slots.flat_map(|slot| &slot.receipts).copied().collect()
    }

    /// The next record that is to be written.
    pub(super) fn take_unwritten(&mut self) -> Option<Output> {
        self.0.iter_mut().find_map(|(bridge, ring)| {
            let (serial, bytes) = ring.take_unwritten()?;
            Some(Output::Keep { item: None, name: record_of(bridge, serial), bytes: Some(bytes) })
        })
    }

    /// Bridges that are not there any more: their records go.
    pub(super) fn retain(&mut self, is_there: impl Fn(&str) -> bool) -> Vec<Output> {
        let mut gone = Vec::new();
        self.0.retain(|bridge, ring| {
            let stays = is_there(bridge);
            if !stays {
                let records = ring.slots.iter().map(|slot| record_of(bridge, slot.serial));
                gone.extend(records.map(|name| Output::Keep { item: None, name, bytes: None }));
            }
            stays
        });
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: u64 = limits::RECEIPT_NAMES_FROM;

    fn written(named: &mut Named, disk: &mut BTreeMap<String, Vec<u8>>) -> usize {
        let mut count = 0;
        while let Some(output) = named.take_unwritten() {
            let Output::Keep { name, bytes: Some(bytes), .. } = output else { panic!("{output:?}") };
            disk.insert(name, bytes);
            count += 1;
        }
        count
    }

    #[test]
    fn the_newest_receipts_outlive_the_process_in_their_order() {
        let (mut named, mut disk) = (Named::default(), BTreeMap::new());
        let all = (limits::RECEIPT_NAME_SLOTS * limits::RECEIPT_NAMES_PER_SLOT) as u64;
        let count = all + 300;
        for receipt in 0..count {
            named.add("home", FIRST + receipt);
            if receipt % 7 == 0 {
                assert!(written(&mut named, &mut disk) <= 2);
            }
        }
        written(&mut named, &mut disk);
        assert_eq!(disk.len(), limits::RECEIPT_NAME_SLOTS);
        let found = Named::restore(&disk).of("home");
        assert_eq!(found, named.of("home"));
        assert_eq!(found.last(), Some(&(FIRST + count - 1)));
        assert!(found.len() as u64 > all - limits::RECEIPT_NAMES_PER_SLOT as u64 && found.is_sorted());
    }

    #[test]
    fn goes_on_in_the_slot_that_an_earlier_run_left() {
        let (mut named, mut disk) = (Named::default(), BTreeMap::new());
        named.add("home", FIRST);
        named.add("away", FIRST + 5);
        assert_eq!(written(&mut named, &mut disk), 2);
        let mut next = Named::restore(&disk);
        assert_eq!(written(&mut next, &mut disk), 0);
        next.add("home", FIRST + 1);
        assert_eq!(written(&mut next, &mut disk), 1);
        assert_eq!(Named::restore(&disk).of("home"), [FIRST, FIRST + 1]);
        assert_eq!(Named::restore(&disk).of("away"), [FIRST + 5]);
    }

    #[test]
    fn what_was_not_stored_after_all_and_whose_bridge_is_gone_is_forgotten() {
        let mut named = Named::default();
        named.add("home", FIRST);
        named.add("home", FIRST + 1);
        named.take_back("home", FIRST);
        assert_eq!(named.of("home"), [FIRST + 1]);
        let gone = named.retain(|bridge| bridge != "home");
        assert_eq!(gone, [Output::Keep { item: None, name: "stored/home/00".into(), bytes: None }]);
        assert!(named.of("home").is_empty());
    }
}
