//! Which connection numbers are in use, by whom, and when they are free again.
//!
//! Owns the one lock of the transport. It is held for table look-ups and for putting `closed` into a mailbox where room is already
//! reserved, never across anything that waits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tombolo_core::model::bridge::{ConnectionId, Event};
use tombolo_core::model::{Failure, ReasonCode, limits};

use super::outgoing::Outgoing;

/// Connections of one bridge at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Resolving, connecting or in the TLS handshake.
    pub opening: usize,
    /// Connected.
    pub open: usize,
    /// Bytes that wait to leave.
    pub queued_bytes: usize,
    /// Bytes received over the connections that there are.
    pub received_bytes: u64,
    /// Bytes sent over the connections that there are.
    pub sent_bytes: u64,
}

/// What a connection's task and its handle share, for counting.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Zero until connected, then one.
    pub(super) is_open: AtomicU64,
    /// Bytes.
    pub(super) received: AtomicU64,
    /// Bytes.
    pub(super) sent: AtomicU64,
}

type Key = (String, ConnectionId);

#[derive(Debug)]
struct Entry {
    serial: u64,
    outgoing: Arc<Outgoing>,
    meter: Arc<Meter>,
}

#[derive(Debug, Default)]
struct Table {
    serial: u64,
    entries: BTreeMap<Key, Entry>,
}

/// All numbers in use.
#[derive(Debug, Default)]
pub(super) struct Slots {
    table: Mutex<Table>,
}

/// One number in use, held by the connection's task.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    serial: u64,
    bridge: String,
    /// The number.
    pub(super) connection: ConnectionId,
    /// Bytes to write, and whether to go on.
    pub(super) outgoing: Arc<Outgoing>,
    /// For counting.
    pub(super) meter: Arc<Meter>,
    mailbox: mpsc::Sender<Event>,
}

/// The bridge is gone: nobody listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deaf;

impl Slots {
    /// Takes a number for a new connection. If it is in use, whoever uses it is told to end.
    pub(super) fn occupy(
        self: &Arc<Self>,
        bridge: &str,
        connection: ConnectionId,
        mailbox: mpsc::Sender<Event>,
    ) -> Option<Slot> {
        let mut table = self.lock();
        let key = (bridge.to_owned(), connection);
        if let Some(entry) = table.entries.get(&key) {
            let what = "a connection was opened with a number that is in use";
            entry.outgoing.fail(Failure::new(ReasonCode::ProtocolViolation, what));
            return None;
        }
        table.serial += 1;
        let (outgoing, meter) = (Arc::new(Outgoing::default()), Arc::new(Meter::default()));
        let is_full = range(&table.entries, bridge).count() >= limits::CONNECTIONS_PER_BRIDGE_MAX;
        if is_full {
            outgoing.fail(Failure::new(ReasonCode::QuotaExceeded, "the bridge has too many connections"));
        }
        let entry = Entry { serial: table.serial, outgoing: Arc::clone(&outgoing), meter: Arc::clone(&meter) };
        table.entries.insert(key, entry);
        let (slots, serial, bridge) = (Arc::clone(self), table.serial, bridge.to_owned());
        Some(Slot { slots, serial, bridge, connection, outgoing, meter, mailbox })
    }

    /// The queue of a connection.
    pub(super) fn outgoing(&self, bridge: &str, connection: ConnectionId) -> Option<Arc<Outgoing>> {
        let key = (bridge.to_owned(), connection);
        self.lock().entries.get(&key).map(|entry| Arc::clone(&entry.outgoing))
    }

    /// The queues of all connections of a bridge.
    pub(super) fn of(&self, bridge: &str) -> Vec<Arc<Outgoing>> {
        range(&self.lock().entries, bridge).map(|(_, entry)| Arc::clone(&entry.outgoing)).collect()
    }

    /// Frees all numbers of a bridge at once; returns the queues of the connections that had them.
    pub(super) fn forget(&self, bridge: &str) -> Vec<Arc<Outgoing>> {
        let mut table = self.lock();
        let keys: Vec<Key> = range(&table.entries, bridge).map(|(key, _)| key.clone()).collect();
        let entries = keys.iter().filter_map(|key| table.entries.remove(key));
        entries.map(|entry| entry.outgoing).collect()
    }

    /// What there is, by bridge.
    pub(super) fn counts(&self) -> BTreeMap<String, Counts> {
        let mut all: BTreeMap<String, Counts> = BTreeMap::new();
        for ((bridge, _), entry) in &self.lock().entries {
            let counts = all.entry(bridge.clone()).or_default();
            match entry.meter.is_open.load(Ordering::Relaxed) {
                0 => counts.opening += 1,
                _ => counts.open += 1,
            }
            counts.queued_bytes += entry.outgoing.queued_bytes();
            counts.received_bytes += entry.meter.received.load(Ordering::Relaxed);
            counts.sent_bytes += entry.meter.sent.load(Ordering::Relaxed);
        }
        all
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Every change of the table is a single call, so a panic elsewhere leaves it whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn range<'a>(entries: &'a BTreeMap<Key, Entry>, bridge: &'a str) -> impl Iterator<Item = (&'a Key, &'a Entry)> {
    entries.range((bridge.to_owned(), 0)..).take_while(move |((name, _), _)| name == bridge)
}

impl Slot {
    /// Puts an event into the bridge's mailbox, waiting for room. An event of a forgotten bridge is dropped.
    pub(super) async fn tell(&self, event: Event) -> Result<(), Deaf> {
        let permit = self.mailbox.reserve().await.map_err(|_| Deaf)?;
        let table = self.slots.lock();
        if !self.is_current(&table) {
            return Err(Deaf);
        }
        permit.send(event);
        Ok(())
    }

    /// Puts `closed` into the mailbox and frees the number, in one step: whoever has read `closed` may use the number again, and nobody
    /// before.
    pub(super) async fn finish(&self, reason: Option<Failure>) {
        if !self.is_current(&self.slots.lock()) {
            return;
        }
        let permit = self.mailbox.reserve().await;
        let mut table = self.slots.lock();
        if !self.is_current(&table) {
            return;
        }
        table.entries.remove(&(self.bridge.clone(), self.connection));
        if let Ok(permit) = permit {
            permit.send(Event::Closed { connection: self.connection, reason });
        }
    }

    fn is_current(&self, table: &Table) -> bool {
        let key = (self.bridge.clone(), self.connection);
        table.entries.get(&key).is_some_and(|entry| entry.serial == self.serial)
    }
}
