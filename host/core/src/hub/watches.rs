//! Who is told what happens to the nodes of a data source (concentrator.md §7). Owns the subscriptions to sources and their end.

use std::collections::BTreeMap;

use super::Hub;
use super::addresses::Peer;
use super::concentrator::is_union;
use super::registry::{NodeKey, UNION};
use super::timers::Timer;
use crate::model::{NodeRef, Timestamp, limits};
use crate::wire::concentrator::{self, Detail, NodeEvent, NodeEvents, NodeInfo};
use crate::wire::{Dialect, StanzaFault};

/// Who is told what happens in which source.
#[derive(Debug, Default)]
pub(super) struct Watches(BTreeMap<u64, Watch>);

#[derive(Debug)]
struct Watch {
    caller: Peer,
    source: String,
    dialect: Dialect,
    detail: Detail,
    events: NodeEvents,
    until: Option<Timestamp>,
}

impl Watches {
    fn find(&self, caller: &Peer, source: &str) -> Option<u64> {
        let found = self.0.iter().find(|(_, watch)| watch.caller == *caller && watch.source == source);
        found.map(|(number, _)| *number)
    }
}

/// A node that is about to be taken away, as far as its watchers must know.
pub(super) struct Removed {
    pub(super) bridge: String,
    pub(super) name: NodeRef,
}

impl Hub {
    pub(super) fn watch(
        &mut self,
        caller: &Peer,
        dialect: Dialect,
        (source, ttl_s, detail, events): (&str, Option<u64>, Detail, NodeEvents),
        now: Timestamp,
    ) -> Result<(), StanzaFault> {
        self.check_source(&caller.bare(), source)?;
        let until = match ttl_s {
            Some(ttl_s) if ttl_s > 0 => Some(now.plus_ms(ttl_s.saturating_mul(1000))),
            None if dialect.is_long() => None,
            Some(_) | None => return Err(StanzaFault::bad_request("Invalid timeout value.")),
        };
        let known = self.watches.find(caller, source);
        let own = self.watches.0.values().filter(|watch| watch.caller.jid == caller.jid).count();
        if known.is_none() && (own >= limits::WATCHES_PER_CALLER_MAX || self.watches.0.len() >= limits::WATCHES_MAX) {
            return Err(StanzaFault::overload("Too many subscriptions."));
        }
        let mut watch = Watch { caller: caller.clone(), source: source.to_owned(), dialect, detail, events, until };
        if let Some(before) = known.and_then(|number| self.end_watch(number)) {
            watch.events |= before.events;
            watch.detail.parameters |= before.detail.parameters;
            watch.detail.messages |= before.detail.messages;
        }
        let number = self.number();
        if let Some(until) = until {
            self.timers.set(until, Timer::Watch(number));
        }
        self.watches.0.insert(number, watch);
        Ok(())
    }

    pub(super) fn unwatch(&mut self, caller: &Peer, source: &str, events: NodeEvents) {
        let Some(number) = self.watches.find(caller, source) else { return };
        let Some(watch) = self.watches.0.get_mut(&number) else { return };
        watch.events -= events;
        if watch.events.is_empty() {
            self.end_watch(number);
        }
    }

    pub(super) fn watch_over(&mut self, number: u64) {
        self.watches.0.remove(&number);
    }

    fn end_watch(&mut self, number: u64) -> Option<Watch> {
        let watch = self.watches.0.remove(&number)?;
        if let Some(until) = watch.until {
            self.timers.cancel(until, Timer::Watch(number));
        }
        Some(watch)
    }

    /// Watchers who cannot be reached any more.
    pub(super) fn drop_watches(&mut self, is_gone: impl Fn(&Peer) -> bool) {
        let gone = self.watches.0.iter().filter(|(_, watch)| is_gone(&watch.caller));
        for number in gone.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.end_watch(number);
        }
    }

    /// Rules changed: who has none left watches nothing.
    pub(super) fn recheck_watches(&mut self) {
        let policy = self.config.policy.clone();
        self.drop_watches(|caller| !policy.knows(&caller.bare()));
    }

    /// Tells the watchers of a node that is there.
    pub(super) fn tell_watchers(&mut self, key: NodeKey, what: NodeEvents, now: Timestamp) {
        let Some(entry) = self.registry.get(key).filter(|_| !self.watches.0.is_empty()) else { return };
        let mut notices = Vec::new();
        for watch in self.watches.0.values().filter(|watch| watch.hears(&entry.bridge, what)) {
            let access = self.config.policy.of(&watch.caller.bare());
            if access.see(&entry.name).is_ok() {
                let node = self.node_info(&access, key, entry, &watch.source, watch.detail);
                notices.push((watch.caller.clone(), watch.dialect, event_of(what, node)));
            }
        }
        self.tell_all(notices, now);
    }

    /// Tells the watchers of a node that was there.
    pub(super) fn tell_removed(&mut self, removed: &Removed, now: Timestamp) {
        let mut notices = Vec::new();
        for watch in self.watches.0.values().filter(|watch| watch.hears(&removed.bridge, NodeEvents::REMOVED)) {
            if self.config.policy.of(&watch.caller.bare()).see(&removed.name).is_ok() {
                let node = match watch.source == UNION {
                    true => NodeRef::new(removed.name.to_string(), UNION),
                    false => removed.name.clone(),
                };
                notices.push((watch.caller.clone(), watch.dialect, NodeEvent::Removed(node)));
            }
        }
        self.tell_all(notices, now);
    }

    fn tell_all(&mut self, notices: Vec<(Peer, Dialect, NodeEvent)>, now: Timestamp) {
        for (caller, dialect, event) in notices {
            self.message(&caller, concentrator::event(dialect, &event, now));
        }
    }
}

impl Watch {
    fn hears(&self, bridge: &str, what: NodeEvents) -> bool {
        self.events.intersects(what) && (is_union(&self.source) || self.source == bridge)
    }
}

fn event_of(what: NodeEvents, node: NodeInfo) -> NodeEvent {
    if what.contains(NodeEvents::ADDED) {
        NodeEvent::Added { after: None, node }
    } else if what.contains(NodeEvents::STATUS) {
        NodeEvent::Status { node: node.node, state: node.state, messages: node.messages }
    } else {
        NodeEvent::Updated { old_id: None, node }
    }
}
