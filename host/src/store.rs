//! Durable state: the outbox's items and the bridges' checkpoints, in one redb file.
//!
//! Owns the file, the one thread that touches it, and the moment at which something counts as durable. Never looks into an item:
//! items are bytes with a number, checkpoints are bytes with a version.
//!
//! Whatever is asked for while a transaction is under way waits for the next one, which takes all of it: one fsync for many
//! readings. Within a transaction additions come first, then removals, then checkpoints, so that a checkpoint is never durable
//! before the items that were handed over earlier.

mod file;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;
use tombolo_core::model::bridge::State;
use tombolo_core::model::limits;

use writer::Writer;

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
    pub items: Vec<(u64, Vec<u8>)>,
    /// The newest checkpoint of each bridge.
    pub checkpoints: BTreeMap<String, State>,
    /// Greater than the number of any item there ever was.
    pub next_item: u64,
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
        let path = state.join("tombolo.redb");
        file::prepare_directory(state)?;
        let database = file::open(&path)?;
        let contents = file::load(&database, &path)?;
        let reopen = move || file::open(&path);
        let writer = Writer::start(database, Box::new(reopen), events);
        Ok((Self { writer: Arc::new(writer) }, contents))
    }

    /// Keeps items; answered by [`StoreEvent::Durable`]. Numbers ascend over the life of the state directory.
    pub fn append(&self, items: Vec<(u64, Vec<u8>)>) -> Result<(), StoreFull> {
        self.writer.append(items)
    }

    /// Lets go of items, also of those that are not durable yet.
    pub fn remove(&self, items: &[u64]) {
        self.writer.remove(items);
    }

    /// Keeps a bridge's newest checkpoint.
    pub fn checkpoint(&self, bridge: &str, state: State) {
        self.writer.checkpoint(bridge, Some(state));
    }

    /// Lets go of a bridge's checkpoint.
    pub fn forget(&self, bridge: &str) {
        self.writer.checkpoint(bridge, None);
    }

    /// Writes what waits and ends the thread; false if the disk did not take it. Blocks; calls after it do nothing.
    pub fn close(&self) -> bool {
        self.writer.close()
    }
}
