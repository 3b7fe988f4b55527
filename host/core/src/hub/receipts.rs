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
}

impl Receipts {
    /// This receipt waits for these stanzas.
    pub(super) fn owe(&mut self, bridge: &str, receipt: u64, items: &[u64]) {
        self.made += 1;
        self.items.extend(items.iter().map(|item| (*item, self.made)));
        self.owed.insert(self.made, Owed { bridge: bridge.to_owned(), receipt, missing: items.len() });
    }

    /// This stanza is durable; gives the receipt that waited for it last.
    pub(super) fn durable(&mut self, item: u64) -> Option<(String, u64)> {
        let number = self.items.remove(&item)?;
        let owed = self.owed.get_mut(&number)?;
        owed.missing = owed.missing.saturating_sub(1);
        if owed.missing > 0 {
            return None;
        }
        self.owed.remove(&number).map(|owed| (owed.bridge, owed.receipt))
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
