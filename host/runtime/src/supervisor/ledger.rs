//! What a bridge has going on, as seen from outside its mapper: open connections, requests not yet completed, the newest checkpoint.
//!
//! It outlives instances: the next one is told of it, and what nobody will answer any more is answered from here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tombolo_core::model::bridge::{ConnectionId, HttpAnswer, RequestId, State};
use tombolo_core::model::{Action, Event, Failure, ReasonCode, limits};

#[derive(Default)]
pub(super) struct Ledger {
    connections: BTreeSet<ConnectionId>,
    requests: BTreeMap<RequestId, Asked>,
    checkpoint: Option<State>,
    /// Receipts that are names and were told stored, oldest first.
    stored: VecDeque<u64>,
}

/// How a request is to be answered.
#[derive(Clone, Copy)]
enum Asked {
    Model,
    Http,
}

impl Ledger {
    pub(super) fn new(checkpoint: Option<State>, stored: Vec<u64>) -> Self {
        Self { checkpoint, stored: stored.into(), ..Self::default() }
    }

    /// Notes what the mapper is told.
    pub(super) fn delivered(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Accepted { connection, .. } => {
                    self.connections.insert(*connection);
                }
                Event::Closed { connection, .. } => {
                    self.connections.remove(connection);
                }
                Event::Read(read) => self.asked(read.id, Asked::Model),
                Event::Write { id, .. } | Event::Invoke { id, .. } => self.asked(*id, Asked::Model),
                Event::HttpIncoming { id, .. } => self.asked(*id, Asked::Http),
                Event::Cancelled(id) => {
                    self.requests.remove(id);
                }
                Event::Stored(receipt) if *receipt >= limits::RECEIPT_NAMES_FROM => self.remember(*receipt),
                _ => (),
            }
        }
    }

    /// Notes what the mapper wishes.
    pub(super) fn wished(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Open { connection, .. } => {
                    self.connections.insert(*connection);
                }
                Action::Complete { id, .. } | Action::HttpReply { id, .. } => {
                    self.requests.remove(id);
                }
                Action::Checkpoint(state) => self.checkpoint = Some(state.clone()),
                _ => (),
            }
        }
    }

    fn remember(&mut self, receipt: u64) {
        if self.stored.len() >= limits::RECEIPT_NAMES_MAX {
            self.stored.pop_front();
        }
        self.stored.push_back(receipt);
    }

    /// What an instance without its predecessor's memory is to be told before anything else; telling it fills the ledger again.
    pub(super) fn take_stored(&mut self) -> VecDeque<u64> {
        std::mem::take(&mut self.stored)
    }

    pub(super) fn connections(&self) -> Vec<ConnectionId> {
        self.connections.iter().copied().collect()
    }

    pub(super) fn requests(&self) -> Vec<RequestId> {
        self.requests.keys().copied().collect()
    }

    pub(super) fn checkpoint(&self) -> Option<&State> {
        self.checkpoint.as_ref()
    }

    /// Answers to everything that was asked; nothing is outstanding afterwards.
    pub(super) fn fail_requests(&mut self, reason: &str) -> Vec<Action> {
        let requests = std::mem::take(&mut self.requests);
        requests.into_iter().map(|(id, asked)| failed(id, asked, reason)).collect()
    }

    /// The connections stay in the ledger until their end is reported.
    pub(super) fn close_connections(&self) -> Vec<Action> {
        self.connections.iter().map(|connection| Action::Close(*connection)).collect()
    }

    fn asked(&mut self, id: RequestId, asked: Asked) {
        self.requests.insert(id, asked);
    }
}

fn failed(id: RequestId, asked: Asked, reason: &str) -> Action {
    match asked {
        Asked::Model => Action::Complete { id, outcome: Err(Failure::new(ReasonCode::Internal, reason)) },
        Asked::Http => Action::HttpReply {
            id,
            answer: HttpAnswer { status: 503, headers: Vec::new(), body: reason.as_bytes().to_vec() },
        },
    }
}
