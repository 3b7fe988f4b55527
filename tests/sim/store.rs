//! The disk and its writer, as the outbox and the app see them: the same calls as the store's, without a thread and without a file.
//!
//! Models `host/src/store/writer.rs` and `tables.rs` over the product's own batches: what is asked for while a batch is being written waits for the next one; a batch is on the disk whole or
//! not at all, and the accounts of custody with it; a batch that the disk refuses is tried again before what came meanwhile; nothing is told durable before it is on the disk. Says
//! nothing of its own accord: the world says when a batch is begun and when the disk has it or refuses it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use tombolo_core::model::bridge::State;
use tombolo_core::model::custody::{self, Account, End, Item, Route};
use tombolo_core::model::limits;

/// The product's own file. Its number tells the store which batch was there after all; here the writer knows.
#[path = "../../host/src/store/batch.rs"]
#[allow(dead_code, reason = "see above")]
mod batch;

use batch::{Batch, Change};

/// What survives a crash.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) items: BTreeMap<u64, (Route, Vec<u8>)>,
    pub(crate) checkpoints: BTreeMap<String, State>,
    /// With a route, if it is an item.
    records: BTreeMap<String, (Option<Route>, Vec<u8>)>,
    pub(crate) next_item: u64,
    pub(crate) accounts: BTreeMap<Route, Account>,
}

impl Disk {
    pub(crate) fn left(&self) -> Vec<(Item, Arc<[u8]>)> {
        let item = |(number, (route, bytes)): (&u64, &(Route, Vec<u8>))| {
            (Item { number: *number, route: route.clone() }, bytes.as_slice().into())
        };
        self.items.iter().map(item).collect()
    }

    pub(crate) fn kept(&self) -> BTreeMap<String, Vec<u8>> {
        self.records.iter().map(|(name, (_, bytes))| (name.clone(), bytes.clone())).collect()
    }

    /// Whether taken is delivered, expired, refused, dead and waiting, and what waits is what there is.
    pub(crate) fn check_custody(&self) -> Result<(), String> {
        let mut waiting: BTreeMap<&Route, u64> = BTreeMap::new();
        let records =
            self.records.iter().filter_map(|(name, (route, _))| custody::is_item(name).then_some(route.as_ref()?));
        for route in self.items.values().map(|(route, _)| route).chain(records) {
            *waiting.entry(route).or_default() += 1;
        }
        let found = self.accounts.iter().find(|(route, account)| {
            !account.balances() || account.waiting != waiting.get(route).copied().unwrap_or(0)
        });
        match found {
            Some((route, account)) => Err(format!("{} does not balance: {account:?}, {waiting:?}", route.as_str())),
            None => Ok(()),
        }
    }

    fn take(&mut self, route: &Route) {
        self.accounts.entry(route.clone()).or_default().take();
    }

    fn end(&mut self, route: &Route, end: &End) {
        self.accounts.entry(route.clone()).or_default().end(end);
    }

    /// As `host/src/store/tables.rs` does in a transaction.
    fn commit(&mut self, batch: Batch) -> Vec<u64> {
        let numbers = batch.append.iter().map(|(item, _)| item.number);
        let mut durable: Vec<u64> = numbers.chain(batch.awaited.iter().copied()).collect();
        durable.sort_unstable();
        self.next_item = durable.last().map_or(0, |last| last + 1).max(self.next_item);
        for (item, bytes) in batch.append {
            self.take(&item.route);
            self.items.insert(item.number, (item.route, bytes.to_vec()));
        }
        let mut seen = BTreeSet::new();
        for (item, end) in batch.remove.iter().filter(|(item, _)| seen.insert(*item)) {
            if let Some((route, _)) = self.items.remove(item) {
                self.end(&route, end);
            }
        }
        for (name, change) in batch.records {
            self.change(name, change);
        }
        for (bridge, state) in batch.checkpoints {
            match state {
                Some(state) => drop(self.checkpoints.insert(bridge, state)),
                None => drop(self.checkpoints.remove(&bridge)),
            }
        }
        durable
    }

    fn change(&mut self, name: String, change: Change) {
        let kept = self.records.get(&name).and_then(|(route, _)| route.clone());
        if let (None, Some(begun)) = (&kept, &change.begun) {
            self.take(begun);
        }
        let route = kept.or(change.begun);
        match change.bytes.filter(|_| !change.is_gone) {
            Some(bytes) => drop(self.records.insert(name, (route, bytes))),
            None => {
                self.records.remove(&name);
                let forgotten = End::dead("it was let go of without a reason");
                let end = change.end.unwrap_or(forgotten);
                route.iter().for_each(|route| self.end(route, &end));
            }
        }
    }
}

#[derive(Debug, Default)]
struct Writer {
    pending: Batch,
    /// With the disk, or refused by it and tried again.
    writing: Option<Writing>,
    told: VecDeque<Vec<u64>>,
}

#[derive(Debug)]
enum Writing {
    Tried(Box<Batch>),
    /// The disk has it, although it said no: these are durable.
    There(Vec<u64>),
}

/// More waits for the disk than the outbox may hold.
#[derive(Debug)]
pub(crate) struct StoreFull;

/// The handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store(Rc<RefCell<Writer>>);

impl Store {
    pub(crate) fn append(&self, items: Vec<(Item, Arc<[u8]>)>) -> Result<(), StoreFull> {
        let mut writer = self.0.borrow_mut();
        if writer.pending.append.len() + items.len() > limits::OUTBOX_STANZAS_MAX {
            return Err(StoreFull);
        }
        writer.pending.append.extend(items);
        Ok(())
    }

    pub(crate) fn remove(&self, items: &[u64], end: &End) {
        self.0.borrow_mut().pending.remove.extend(items.iter().map(|item| (*item, end.clone())));
    }

    pub(crate) fn checkpoint(&self, bridge: &str, state: State) {
        self.0.borrow_mut().pending.checkpoints.insert(bridge.to_owned(), Some(state));
    }

    pub(crate) fn record(&self, name: &str, bytes: Option<Vec<u8>>, item: Option<u64>) {
        let mut writer = self.0.borrow_mut();
        writer.pending.change(name, bytes.map_or_else(|| Change::gone(None), |bytes| Change::put(bytes, None)));
        writer.pending.awaited.extend(item);
    }

    pub(crate) fn take(&self, name: &str, bytes: Vec<u8>, item: Item) {
        let mut writer = self.0.borrow_mut();
        writer.pending.change(name, Change::put(bytes, Some(item.route)));
        writer.pending.awaited.push(item.number);
    }

    pub(crate) fn end(&self, name: &str, end: End) {
        self.0.borrow_mut().pending.change(name, Change::gone(Some(end)));
    }

    /// Whether something waits for the disk, and whether it is being written.
    pub(crate) fn is_busy(&self) -> (bool, bool) {
        let writer = self.0.borrow();
        (!writer.pending.is_empty(), writer.writing.is_some())
    }

    /// The writer takes what waits.
    pub(crate) fn begin(&self) {
        let mut writer = self.0.borrow_mut();
        if writer.writing.is_none() && !writer.pending.is_empty() {
            writer.writing = Some(Writing::Tried(Box::new(std::mem::take(&mut writer.pending))));
        }
    }

    /// The disk has what was being written.
    pub(crate) fn commit(&self, disk: &mut Disk) {
        let mut writer = self.0.borrow_mut();
        let durable = match writer.writing.take() {
            Some(Writing::Tried(batch)) => disk.commit(*batch),
            Some(Writing::There(durable)) => durable,
            None => return,
        };
        if !durable.is_empty() {
            writer.told.push_back(durable);
        }
    }

    /// The disk says no, and may have written it all the same. The batch is tried again as it is; what is asked for meanwhile waits.
    pub(crate) fn refuse(&self, disk: &mut Disk, is_there: bool) {
        let mut writer = self.0.borrow_mut();
        writer.writing = match writer.writing.take() {
            Some(Writing::Tried(batch)) if is_there => Some(Writing::There(disk.commit(*batch))),
            other => other,
        };
    }

    /// What is told durable next.
    pub(crate) fn told(&self) -> Option<Vec<u64>> {
        self.0.borrow_mut().told.pop_front()
    }

    pub(crate) fn has_told(&self) -> bool {
        !self.0.borrow().told.is_empty()
    }
}
