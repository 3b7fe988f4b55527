//! Who is owed `stored`: a report's receipt waits until every stanza that carries the report would survive a crash.

use std::collections::BTreeMap;

/// Receipts that wait for stanzas.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    owed: BTreeMap<u64, Owed>,
    /// From a stanza's item to the receipt that waits for it.
    items: BTreeMap<u64, u64>,
    made: u64,
}

#[derive(Debug)]
struct Owed {
    bridge: String,
    receipt: u64,
    missing: usize,
    /// A name that is remembered only when all is durable.
    is_late: bool,
}

/// A receipt whose report would survive a crash.
pub(super) struct Due {
    pub(super) bridge: String,
    pub(super) receipt: u64,
    /// It is a name, and not remembered yet.
    pub(super) is_late: bool,
}

impl Receipts {
    /// This receipt waits for these stanzas.
    pub(super) fn owe(&mut self, bridge: &str, receipt: u64, items: &[u64], is_late: bool) {
        self.made += 1;
        self.items.extend(items.iter().map(|item| (*item, self.made)));
        self.owed.insert(self.made, Owed { bridge: bridge.to_owned(), receipt, missing: items.len(), is_late });
    }

    /// This stanza is durable; gives the receipt that waited for it last.
    pub(super) fn durable(&mut self, item: u64) -> Option<Due> {
        let number = self.items.remove(&item)?;
        let owed = self.owed.get_mut(&number)?;
        owed.missing = owed.missing.saturating_sub(1);
        if owed.missing > 0 {
            return None;
        }
        let Owed { bridge, receipt, is_late, .. } = self.owed.remove(&number)?;
        Some(Due { bridge, receipt, is_late })
    }

    /// Which receipt waits for this stanza.
    pub(super) fn waiting_for(&self, item: u64) -> Option<(&str, u64)> {
        let owed = self.owed.get(self.items.get(&item)?)?;
        Some((&owed.bridge, owed.receipt))
    }

    /// A mapper lost its memory: the numbers that it counted mean nothing to the next one.
    pub(super) fn forget_counted(&mut self, bridge: &str) {
        self.owed.retain(|_, owed| owed.bridge != bridge || super::named::is_name(owed.receipt));
        self.items.retain(|_, number| self.owed.contains_key(number));
    }

    /// A bridge is gone: nobody is owed anything there.
    pub(super) fn forget(&mut self, bridge: &str) {
        self.owed.retain(|_, owed| owed.bridge != bridge);
        self.items.retain(|_, number| self.owed.contains_key(number));
    }

    pub(super) fn len(&self) -> usize {
        self.owed.len()
    }
}
