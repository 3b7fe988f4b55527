//! What one transaction writes, as it is gathered: additions, then removals, then checkpoints and records.
//!
//! Owns what two changes of the same thing in one transaction come to. Nothing is counted here: [`super::tables`] does that where it sees what
//! really was there.

use std::collections::BTreeMap;
use std::sync::Arc;

use tombolo_core::model::bridge::State;
use tombolo_core::model::custody::{End, Item, Route};

/// What is asked for between two transactions.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Names the transaction: one that was durable after all, although the disk said no, is not done twice.
    pub(super) number: u64,
    pub(super) append: Vec<(Item, Arc<[u8]>)>,
    pub(super) remove: Vec<(u64, End)>,
    pub(super) checkpoints: BTreeMap<String, Option<State>>,
    pub(super) records: BTreeMap<String, Change>,
    /// Items to be told durable with this batch that are no stanzas: somebody waits for a record.
    pub(super) awaited: Vec<u64>,
    /// Of what was set aside: what goes for good.
    pub(super) unburied: Vec<u64>,
}

/// What becomes of a record.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// It is an item, of this route: its custody begins, unless it has already.
    pub(super) begun: Option<Route>,
    /// The newest content, also of one that goes.
    pub(super) bytes: Option<Vec<u8>>,
    /// It goes.
    pub(super) is_gone: bool,
    /// How its custody ends.
    pub(super) end: Option<End>,
}

impl Change {
    /// The record is to be this.
    pub(super) fn put(bytes: Vec<u8>, begun: Option<Route>) -> Self {
        Self { begun, bytes: Some(bytes), ..Self::default() }
    }

    /// The record is to go.
    pub(super) fn gone(end: Option<End>) -> Self {
        Self { is_gone: true, end, ..Self::default() }
    }

    /// Another change of the same record. An item has its name for itself, so nothing begins after an end.
    fn then(&mut self, later: Self) {
        self.begun = self.begun.take().or(later.begun);
        self.bytes = later.bytes.or(self.bytes.take());
        self.end = self.end.take().or(later.end);
        self.is_gone = later.is_gone;
    }
}

impl Batch {
    /// Whether there is something that somebody waits for.
    pub(super) fn is_urgent(&self) -> bool {
        !self.append.is_empty()
            || !self.checkpoints.is_empty()
            || !self.awaited.is_empty()
            || !self.unburied.is_empty()
            || self.records.values().any(|change| !change.is_gone)
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.append.is_empty()
            && self.remove.is_empty()
            && self.checkpoints.is_empty()
            && self.records.is_empty()
            && self.awaited.is_empty()
            && self.unburied.is_empty()
    }

    /// A record changes.
    pub(super) fn change(&mut self, name: &str, change: Change) {
        match self.records.get_mut(name) {
            Some(earlier) => earlier.then(change),
            None => _ = self.records.insert(name.to_owned(), change),
        }
    }
}
