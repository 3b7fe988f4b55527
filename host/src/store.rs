//! Durable state: the outbox's items, the bridges' checkpoints and the hub's records, in one redb file; and a copy of it that a backup can
//! rely on.
//!
//! Owns the file, the one thread that touches it, the moment at which something counts as durable, and the accounts of custody
//! (`tombolo_core::model::custody`), which change with the items and in the same transaction (decision 0010). Never looks into an item: items
//! are bytes with a number and a route, checkpoints are bytes with a version, records are bytes with a name and perhaps a route.
//!
//! Whatever is asked for while a transaction is under way waits for the next one, which takes all of it: one fsync for many
//! readings. That custody ended is in no hurry and begins no transaction by itself for a while. Within a transaction additions come first, then removals, then checkpoints and records, so that a checkpoint is never
//! durable before the items that were handed over earlier.
//!
//! A file that is copied while it is written may be torn. Checksums tell, and then the copy `backup.redb`, which is never written to but
//! replaced, is taken up instead (decision 0006).

mod batch;
mod file;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tombolo_core::model::bridge::State;
use tombolo_core::model::custody::{Account, End, Item, Route};
use tombolo_core::model::limits;

use batch::Change;
use writer::{Copying, Writer};

/// What the store tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreEvent {
    /// These items survive a crash from now on, in the order in which they were handed over. Each is told once.
    Durable(Vec<u64>),
    /// Nothing is durable at the moment; the store keeps what waits and tries again. Told once until [`StoreEvent::Recovered`].
    Failed {
        /// For the operator.
        reason: String,
    },
    /// Writing works again.
    Recovered,
}

/// What an earlier run left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Items by number, ascending: the order in which they were handed over.
    pub items: Vec<(Item, Arc<[u8]>)>,
    /// The newest checkpoint of each bridge.
    pub checkpoints: BTreeMap<String, State>,
    /// What the hub keeps for itself, by names of its own.
    pub records: BTreeMap<String, Vec<u8>>,
    /// Greater than the number of any item there ever was.
    pub next_item: u64,
    /// What became of everything so far, with what waits counted from the items.
    pub accounts: BTreeMap<Route, Account>,
    /// The number of the last transaction.
    last_batch: u64,
}

/// Something that was set aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dead {
    /// Names it; never used again.
    pub id: u64,
    /// Its route, as [`Route::as_str`].
    pub route: String,
    /// Why.
    pub reason: String,
    /// The record that it was; empty: it was to be sent.
    pub name: String,
    /// When it was set aside, in milliseconds since 1970.
    pub at_ms: u64,
    /// The stanza, or the record's content.
    pub content: Vec<u8>,
}

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be created or reached.
    #[error("cannot use the state directory {}: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("{} is in use: another tombolo runs on this state directory; stop it or set another `state`", path.display())]
    Locked {
        /// Which file.
        path: PathBuf,
    },
    /// It is no database, or a broken one.
    #[error("{} is damaged ({what}); restore it from a backup, or move it away to start with empty state", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// A newer tombolo wrote it.
    #[error("{} was written by a newer tombolo (schema {found}, this version reads {known})", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        found: u64,
        /// Ours.
        known: u64,
    },
    /// Reading or writing failed.
    #[error("cannot read or write {}: {what}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        what: String,
    },
}

/// More items wait to become durable than the outbox may hold; nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {} items wait for the disk", limits::OUTBOX_STANZAS_MAX)]
pub struct StoreFull;

/// The handle. All calls return at once; what they ask for happens in order. Dropping the last one writes what waits and ends the thread.
#[derive(Clone, Debug)]
pub struct Store {
    writer: Arc<Writer>,
}

impl Store {
    /// Opens `tombolo.redb` in the state directory, making both if need be, and loads what is in it. Blocks.
    pub fn open(state: &Path, events: mpsc::Sender<StoreEvent>) -> Result<(Self, Contents), StoreError> {
        Self::open_with(state, Duration::from_millis(limits::STORE_COPY_EVERY_MS), events)
    }

    fn open_with(
        state: &Path,
        every: Duration,
        events: mpsc::Sender<StoreEvent>,
    ) -> Result<(Self, Contents), StoreError> {
        let path = state.join("tombolo.redb");
        let copying = Copying { path: state.join("backup.redb"), every };
        file::prepare_directory(state)?;
        let opened = file::open(&path).and_then(|database| Ok((file::load(&database, &path)?, database)));
        let (contents, database) = match opened {
            Err(damaged @ StoreError::Damaged { .. }) => file::restore(&path, &copying.path).ok_or(damaged)?,
            opened => opened?,
        };
        let reopen = move || file::open(&path);
        check(&contents.accounts);
        let books = (contents.accounts.clone(), contents.last_batch);
        let writer = Writer::start(database, Box::new(reopen), copying, books, events);
        Ok((Self { writer: Arc::new(writer) }, contents))
    }

    /// What is asked for as long as this lives is one transaction.
    pub fn gather(&self) -> Gathering {
        self.writer.gather(true);
        Gathering(Arc::clone(&self.writer))
    }

    /// Takes items into custody; answered by [`StoreEvent::Durable`]. Numbers ascend over the life of the state directory.
    pub fn append(&self, items: Vec<(Item, Arc<[u8]>)>) -> Result<(), StoreFull> {
        self.writer.append(items)
    }

    /// Ends the custody of items, also of those that are not durable yet; of what is not there any more it has ended. Nobody waits for it, so it
    /// waits for the next transaction, at most [`limits::ENDS_WAIT_MS`]: after a crash in that time the item is there again.
    pub fn remove(&self, items: &[u64], end: &End) {
        self.writer.remove(items, end);
    }

    /// How the accounts stand: what is durable, by route. Costs a copy.
    pub fn custody(&self) -> BTreeMap<Route, Account> {
        self.writer.accounts()
    }

    /// What was set aside, oldest first; only this one, if one is named. Nobody answers while the disk refuses.
    pub fn dead(&self, only: Option<u64>) -> oneshot::Receiver<Vec<Dead>> {
        let (answer, answered) = oneshot::channel();
        self.writer.ask(only, answer);
        answered
    }

    /// Lets go of something that was set aside, for good.
    pub fn unbury(&self, id: u64) {
        self.writer.unbury(id);
    }

    /// Keeps a bridge's newest checkpoint.
    pub fn checkpoint(&self, bridge: &str, state: State) {
        self.writer.checkpoint(bridge, Some(state));
    }

    /// Lets go of a bridge's checkpoint.
    pub fn forget(&self, bridge: &str) {
        self.writer.checkpoint(bridge, None);
    }

    /// Keeps a record of the hub's, or lets go of it (none). With an item, answered by [`StoreEvent::Durable`].
    pub fn record(&self, name: &str, bytes: Option<Vec<u8>>, item: Option<u64>) {
        self.writer.record(name, bytes.map_or_else(|| Change::gone(None), |bytes| Change::put(bytes, None)), item);
    }

    /// Takes a record into custody; its number is answered by [`StoreEvent::Durable`].
    pub fn take(&self, name: &str, bytes: Vec<u8>, item: Item) {
        self.writer.record(name, Change::put(bytes, Some(item.route)), Some(item.number));
    }

    /// Ends the custody of a record and lets go of it.
    pub fn end(&self, name: &str, end: End) {
        self.writer.record(name, Change::gone(Some(end)), None);
    }

    /// Writes what waits and ends the thread; false if the disk did not take it. Blocks; calls after it do nothing.
    pub fn close(&self) -> bool {
        self.writer.close()
    }
}

/// As long as it lives, no transaction begins. For moments only: everybody waits for the disk meanwhile.
#[derive(Debug)]
pub struct Gathering(Arc<Writer>);

impl Drop for Gathering {
    fn drop(&mut self) {
        self.0.gather(false);
    }
}

/// Never mended: whoever looks after the service must learn of it, and of where.
fn check(accounts: &BTreeMap<Route, Account>) {
    for (route, account) in accounts.iter().filter(|(_, account)| !account.balances()) {
        tracing::error!(
            bridge = route.bridge(),
            way = route.way(),
            ?account,
            "custody does not balance: something was lost or doubled"
        );
    }
}
