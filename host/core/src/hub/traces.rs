//! How the newest value of each node went: when its mapper was called, who was to have it, and where each copy is.
//!
//! Owns a bounded ring, for the operator only. On the way of a message it notes numbers and times, no texts: who a recipient is, is looked up
//! when somebody asks. Decides nothing; a value is not one whit different for being traced.

use std::collections::{BTreeMap, VecDeque};

use super::Hub;
use super::registry::NodeKey;
use crate::model::custody::End;
use crate::model::{NodeRef, Timestamp, limits};

/// The newest value of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traced {
    /// When its mapper was called with what it came from.
    pub called: Timestamp,
    /// When the mapper's report was handled.
    pub reported: Timestamp,
    /// Whether the mapper is to be told that it is stored.
    pub has_receipt: bool,
    /// When it was.
    pub told: Option<Timestamp>,
    /// Its copies.
    pub hops: Vec<TracedHop>,
    /// Copies that are not followed.
    pub more: usize,
}

/// One copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedHop {
    /// For whom, for people.
    pub to: String,
    /// What policy said.
    pub via: Via,
    /// Whether it is in custody.
    pub is_promised: bool,
    /// When it would survive a crash.
    pub durable: Option<Timestamp>,
    /// When the session, or its queue, had it.
    pub handed: Option<Timestamp>,
    /// When its custody ended.
    pub ended: Option<Timestamp>,
    /// How; empty before.
    pub end: &'static str,
}

/// What policy said about a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// It may be read there.
    Allowed,
    /// It may not.
    Denied,
    /// It was allowed; its subscription or section is gone.
    Gone,
}

/// Because of what a copy was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Subscription(u64),
    Rule(usize),
}

#[derive(Debug)]
struct Copy {
    cause: Cause,
    is_allowed: bool,
    item: Option<u64>,
    durable: Option<Timestamp>,
    handed: Option<Timestamp>,
    ended: Option<Timestamp>,
    end: &'static str,
}

#[derive(Debug, Default)]
struct Trace {
    called: Timestamp,
    reported: Timestamp,
    receipt: Option<u64>,
    told: Option<Timestamp>,
    copies: Vec<Copy>,
    more: usize,
}

/// Newest values by node.
#[derive(Debug, Default)]
pub(super) struct Traces {
    nodes: BTreeMap<NodeKey, Trace>,
    /// Oldest first, as nodes came in.
    order: VecDeque<NodeKey>,
    /// Whose an item is.
    items: BTreeMap<u64, NodeKey>,
    /// What is being reported.
    current: Option<NodeKey>,
    /// When the mapper that acts now was called.
    called: Timestamp,
}

impl Traces {
    /// A node's newest value; its last one's trace ends.
    pub(super) fn begin(&mut self, key: NodeKey, receipt: Option<u64>, now: Timestamp) {
        if !self.nodes.contains_key(&key) {
            self.make_room();
            self.order.push_back(key);
        }
        let called = if self.called.0 == 0 { now } else { self.called };
        let trace = self.nodes.entry(key).or_default();
        for copy in trace.copies.drain(..) {
            copy.item.map(|item| self.items.remove(&item));
        }
        *trace =
            Trace { called, reported: now, receipt, copies: std::mem::take(&mut trace.copies), ..Trace::default() };
        self.current = Some(key);
    }

    fn make_room(&mut self) {
        if self.nodes.len() < limits::TRACED_NODES_MAX {
            return;
        }
        let oldest = self.order.pop_front().and_then(|key| self.nodes.remove(&key));
        for copy in oldest.into_iter().flat_map(|trace| trace.copies) {
            copy.item.map(|item| self.items.remove(&item));
        }
    }

    /// The report is handled: nothing more is a copy of it.
    pub(super) fn over(&mut self) {
        self.current = None;
    }

    /// A copy of what is being reported.
    pub(super) fn copy(&mut self, cause: Cause, is_allowed: bool, item: Option<u64>) {
        let Some(key) = self.current else { return };
        let Some(trace) = self.nodes.get_mut(&key) else { return };
        if trace.copies.len() >= limits::TRACED_COPIES_MAX {
            trace.more += 1;
            return;
        }
        trace.copies.push(Copy { cause, is_allowed, item, durable: None, handed: None, ended: None, end: "" });
        if let Some(item) = item {
            self.items.insert(item, key);
        }
    }

    fn of(&mut self, item: u64) -> Option<&mut Copy> {
        let key = self.items.get(&item)?;
        self.nodes.get_mut(key)?.copies.iter_mut().find(|copy| copy.item == Some(item))
    }

    pub(super) fn durable(&mut self, item: u64, now: Timestamp) {
        if let Some(copy) = self.of(item) {
            copy.durable = copy.durable.or(Some(now));
        }
    }

    pub(super) fn handed(&mut self, item: u64, now: Timestamp) {
        if let Some(copy) = self.of(item) {
            copy.handed = copy.handed.or(Some(now));
        }
    }

    pub(super) fn ended(&mut self, item: u64, end: &End, now: Timestamp) {
        if let Some(copy) = self.of(item) {
            copy.ended = Some(now);
            copy.end = match end {
                End::Delivered => "acknowledged by the next hop",
                End::Expired => "expired",
                End::Refused => "refused by the next hop",
                End::Dead(_) | End::Buried => "set aside; see `tombolo dead`",
            };
        }
        self.items.remove(&item);
    }

    /// The mapper is told that this receipt's report is stored.
    pub(super) fn told(&mut self, key: Option<NodeKey>, receipt: u64, now: Timestamp) {
        let trace = key.and_then(|key| self.nodes.get_mut(&key)).filter(|trace| trace.receipt == Some(receipt));
        if let Some(trace) = trace {
            trace.told = Some(now);
        }
    }

    /// Whose report this item carries.
    pub(super) fn node_of(&self, item: u64) -> Option<NodeKey> {
        self.items.get(&item).copied()
    }

    pub(super) fn current(&self) -> Option<NodeKey> {
        self.current
    }
}

impl Hub {
    /// The mapper whose actions follow was called then.
    pub fn mapper_called(&mut self, at: Timestamp) {
        self.traces.called = at;
    }

    /// The session took this stanza.
    pub fn handle_handed(&mut self, item: u64, now: Timestamp) {
        self.traces.handed(item, now);
    }

    /// The custody of these stanzas has ended outside.
    pub fn handle_ended(&mut self, items: &[u64], end: &End, now: Timestamp) {
        items.iter().for_each(|item| self.traces.ended(*item, end, now));
    }

    /// How the newest value of a node went, written `SOURCE/ID`; none: nothing is known.
    pub fn traced(&self, node: &str) -> Option<Traced> {
        let (source, id) = node.split_once('/')?;
        let name = NodeRef { source: source.to_owned(), id: id.to_owned(), ..NodeRef::default() };
        let trace = self.traces.nodes.get(&self.registry.find(&name)?)?;
        let hops = trace.copies.iter().map(|copy| self.hop(copy)).collect();
        let Trace { called, reported, told, more, .. } = *trace;
        Some(Traced { called, reported, has_receipt: trace.receipt.is_some(), told, hops, more })
    }

    fn hop(&self, copy: &Copy) -> TracedHop {
        let to = match copy.cause {
            Cause::Subscription(number) => self.subscriptions.caller_of(number),
            Cause::Rule(index) => self.publisher.described(index),
        };
        let via = match (&to, copy.is_allowed) {
            (_, false) => Via::Denied,
            (Some(_), true) => Via::Allowed,
            (None, true) => Via::Gone,
        };
        let (durable, handed, ended, end) = (copy.durable, copy.handed, copy.ended, copy.end);
        let to = to.unwrap_or_else(|| "somebody".to_owned());
        TracedHop { to, via, is_promised: copy.item.is_some(), durable, handed, ended, end }
    }
}
