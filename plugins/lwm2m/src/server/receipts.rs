//! Notifications that are acknowledged only when every report they made is durable. Owns which receipt belongs to which of them, up to a bound:
//! what comes while too many wait is acknowledged at once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::session::{Address, Incoming};

/// Notifications that wait.
const WAITING_MAX: usize = 4096;

/// Who waits for the acknowledgement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Source {
    Notification {
        peer: Address,
        id: u16,
    },
    /// A Send of LwM2M 1.1.
    Sent(Box<Incoming>),
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Receipts {
    next: u64,
    /// By their first receipt.
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Waiting {
    /// The number after its last receipt.
    end: u64,
    missing: u64,
    source: Source,
}

impl Receipts {
    /// Whether one more may wait.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX
    }

    /// Gives the first of `count` receipts, which follow each other.
    pub(super) fn open(&mut self, count: u64, source: Source) -> u64 {
        let first = self.next;
        self.next += count;
        self.waiting.insert(first, Waiting { end: self.next, missing: count, source });
        first
    }

    /// A report is durable; gives the source when it was the last.
    pub(super) fn stored(&mut self, receipt: u64) -> Option<Source> {
        let (first, waiting) = self.waiting.range_mut(..=receipt).next_back()?;
        if receipt >= waiting.end {
            return None;
        }
        waiting.missing = waiting.missing.saturating_sub(1);
        let (first, is_done) = (*first, waiting.missing == 0);
        is_done.then(|| self.waiting.remove(&first)).flatten().map(|waiting| waiting.source)
    }
}
