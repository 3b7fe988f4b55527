//! What transports do between mappers and the broker: connections that open, carry bytes cut anywhere, and end.
//!
//! Models `host/src/transport`: bytes queued before a close still leave; `closed` is the last that a mapper hears of a number, and only then
//! it may use the number again; a number in use that is opened again ends whoever has it.

use std::collections::{BTreeMap, VecDeque};

use tombolo_core::model::bridge::ConnectionId;
use tombolo_core::model::{Failure, ReasonCode};

#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) is_open: bool,
    /// To the mapper.
    pub(crate) up: VecDeque<Vec<u8>>,
    /// To the broker.
    pub(crate) down: VecDeque<Vec<u8>>,
    /// The mapper wants no more of it.
    pub(crate) is_closing: bool,
    /// Over, once the mapper was told so.
    pub(crate) ended: Option<Option<Failure>>,
}

/// All connections of the bridge that has some.
#[derive(Debug, Default)]
pub(crate) struct Wires(pub(crate) BTreeMap<ConnectionId, Wire>);

impl Wires {
    pub(crate) fn open(&mut self, connection: ConnectionId) {
        let in_use = Failure::new(ReasonCode::ProtocolViolation, "a number that is in use");
        match self.0.get_mut(&connection) {
            Some(wire) => wire.end(Some(in_use)),
            None => drop(self.0.insert(connection, Wire::default())),
        }
    }

    pub(crate) fn send(&mut self, connection: ConnectionId, bytes: Vec<u8>) {
        if let Some(wire) = self.0.get_mut(&connection).filter(|wire| !wire.is_closing && wire.ended.is_none()) {
            wire.down.push_back(bytes);
        }
    }

    pub(crate) fn close(&mut self, connection: ConnectionId) {
        if let Some(wire) = self.0.get_mut(&connection) {
            wire.is_closing = true;
            wire.up.clear();
            if !wire.is_open {
                wire.end(None);
            }
        }
    }

    pub(crate) fn close_all(&mut self) {
        let all: Vec<ConnectionId> = self.0.keys().copied().collect();
        all.into_iter().for_each(|connection| self.close(connection));
    }

    /// The one that the broker talks over.
    pub(crate) fn current(&self) -> Option<ConnectionId> {
        self.0.iter().filter(|(_, wire)| wire.is_open && wire.ended.is_none()).map(|(id, _)| *id).next_back()
    }
}

impl Wire {
    /// It breaks; what was on its way is lost.
    pub(crate) fn end(&mut self, reason: Option<Failure>) {
        if self.ended.is_none() {
            self.ended = Some(reason);
        }
        self.up.clear();
        self.down.clear();
    }
}
