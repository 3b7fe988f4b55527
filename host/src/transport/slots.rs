//! Which connection numbers are in use, by whom, and when they are free again.
//!
//! Owns the one lock of the transport. It is held for table look-ups and for putting `closed` into a mailbox where room is already
//! reserved, never across anything that waits.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tombolo_core::model::bridge::{ConnectionId, Event};
use tombolo_core::model::{Failure, ReasonCode, limits};

use super::outgoing::{Outgoing, Takes};

/// The first number that the host gives out; below it they are the mappers' (`wit/v0.1/events.wit`).
const ACCEPTED: ConnectionId = 1 << 52;

/// Connections of one bridge at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Resolving, connecting or in the TLS handshake.
    pub opening: usize,
    /// Streams that are connected.
    pub open: usize,
    /// Sockets for datagrams, and places where the bridge listens.
    pub sockets: usize,
    /// Peers that have proved who they are over datagrams.
    pub peers: u64,
    /// Datagrams that were given up, in either direction.
    pub lost: u64,
    /// Requests of HTTP that await an answer of others.
    pub requests_out: usize,
    /// Requests of HTTP that await an answer of the bridge's.
    pub requests_in: usize,
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
    /// Sessions of DTLS.
    pub(super) peers: AtomicU64,
    /// Datagrams.
    pub(super) lost: AtomicU64,
}

type Key = (String, ConnectionId);

#[derive(Debug)]
struct Entry {
    serial: u64,
    takes: Takes,
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
    /// All of them.
    pub(super) slots: Arc<Slots>,
    serial: u64,
    /// Whose it is.
    pub(super) bridge: String,
    /// The number.
    pub(super) connection: ConnectionId,
    /// Bytes to write, and whether to go on.
    pub(super) outgoing: Arc<Outgoing>,
    /// For counting.
    pub(super) meter: Arc<Meter>,
    /// Where the bridge's events go.
    pub(super) mailbox: mpsc::Sender<Event>,
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
        takes: Takes,
        mailbox: mpsc::Sender<Event>,
    ) -> Option<Slot> {
        let mut table = self.lock();
        let key = (bridge.to_owned(), connection);
        if let Some(entry) = table.entries.get(&key) {
            let what = "a connection was opened with a number that is in use";
            entry.outgoing.fail(Failure::new(ReasonCode::ProtocolViolation, what));
            return None;
        }
        let is_full = range(&table.entries, bridge, 0..ACCEPTED).count() >= limits::CONNECTIONS_PER_BRIDGE_MAX;
        let slot = self.enter(&mut table, key, takes, mailbox);
        if is_full {
            slot.outgoing.fail(Failure::new(ReasonCode::QuotaExceeded, "the bridge has too many connections"));
        }
        Some(slot)
    }

    /// Takes the next of the host's own numbers for a connection that somebody made to us. None: there are too many.
    pub(super) fn admit(self: &Arc<Self>, bridge: &str, mailbox: mpsc::Sender<Event>) -> Option<Slot> {
        let mut table = self.lock();
        if range(&table.entries, bridge, ACCEPTED..u64::MAX).count() >= limits::ACCEPTED_PER_BRIDGE_MAX {
            return None;
        }
        // Serials are far from 2^52 for as long as any host runs, and of both only one is given out.
        let key = (bridge.to_owned(), ACCEPTED + table.serial + 1);
        Some(self.enter(&mut table, key, Takes::Bytes, mailbox))
    }

    fn enter(self: &Arc<Self>, table: &mut Table, key: Key, takes: Takes, mailbox: mpsc::Sender<Event>) -> Slot {
        table.serial += 1;
        let (outgoing, meter) = (Arc::new(Outgoing::new(takes)), Arc::new(Meter::default()));
        let entry = Entry { serial: table.serial, takes, outgoing: Arc::clone(&outgoing), meter: Arc::clone(&meter) };
        let (bridge, connection) = key.clone();
        table.entries.insert(key, entry);
        Slot { slots: Arc::clone(self), serial: table.serial, bridge, connection, outgoing, meter, mailbox }
    }

    /// The queue of a connection.
    pub(super) fn outgoing(&self, bridge: &str, connection: ConnectionId) -> Option<Arc<Outgoing>> {
        let key = (bridge.to_owned(), connection);
        self.lock().entries.get(&key).map(|entry| Arc::clone(&entry.outgoing))
    }

    /// Notes a datagram that was given up.
    pub(super) fn lost(&self, bridge: &str, connection: ConnectionId) {
        let key = (bridge.to_owned(), connection);
        if let Some(entry) = self.lock().entries.get(&key) {
            entry.meter.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The queues of all connections of a bridge.
    pub(super) fn of(&self, bridge: &str) -> Vec<Arc<Outgoing>> {
        range(&self.lock().entries, bridge, 0..u64::MAX).map(|(_, entry)| Arc::clone(&entry.outgoing)).collect()
    }

    /// Frees all numbers of a bridge at once; returns the queues of the connections that had them.
    pub(super) fn forget(&self, bridge: &str) -> Vec<Arc<Outgoing>> {
        let mut table = self.lock();
        let keys: Vec<Key> = range(&table.entries, bridge, 0..u64::MAX).map(|(key, _)| key.clone()).collect();
        let entries = keys.iter().filter_map(|key| table.entries.remove(key));
        entries.map(|entry| entry.outgoing).collect()
    }

    /// What there is, by bridge.
    pub(super) fn counts(&self) -> BTreeMap<String, Counts> {
        let mut all: BTreeMap<String, Counts> = BTreeMap::new();
        for ((bridge, _), entry) in &self.lock().entries {
            let counts = all.entry(bridge.clone()).or_default();
            match (entry.meter.is_open.load(Ordering::Relaxed), entry.takes) {
                (0, _) => counts.opening += 1,
                (_, Takes::Bytes) => counts.open += 1,
                (_, Takes::Datagrams | Takes::Nothing) => counts.sockets += 1,
            }
            counts.peers += entry.meter.peers.load(Ordering::Relaxed);
            counts.lost += entry.meter.lost.load(Ordering::Relaxed);
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

fn range<'a>(
    entries: &'a BTreeMap<Key, Entry>,
    bridge: &str,
    numbers: Range<ConnectionId>,
) -> impl Iterator<Item = (&'a Key, &'a Entry)> {
    entries.range((bridge.to_owned(), numbers.start)..(bridge.to_owned(), numbers.end))
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

    /// Whether the number is still in use by this, and the mapper wants it to be.
    pub(super) fn is_heard(&self) -> bool {
        self.outgoing.is_on() && self.is_current(&self.slots.lock())
    }

    fn is_current(&self, table: &Table) -> bool {
        let key = (self.bridge.clone(), self.connection);
        table.entries.get(&key).is_some_and(|entry| entry.serial == self.serial)
    }
}
