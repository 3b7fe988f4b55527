//! Who is told what happens to the nodes of a data source (concentrator.md §7). Owns the subscriptions to sources and their end.

use std::collections::{BTreeMap, VecDeque};

use super::Hub;
use super::addresses::Peer;
use super::concentrator::is_union;
use super::registry::{NodeKey, UNION};
use super::timers::Timer;
use crate::model::{NodeRef, NodeState, Timestamp, limits};
use crate::policy::Access;
use crate::wire::concentrator::{self, Detail, NodeEvent, NodeEvents, NodeInfo};
use crate::wire::{Dialect, StanzaFault};

/// Who is told what happens in which source.
#[derive(Debug, Default)]
pub(super) struct Watches {
    live: BTreeMap<u64, Watch>,
    /// What happened last, for whoever missed it.
    past: VecDeque<Past>,
}

/// Something that happened.
#[derive(Clone, Debug)]
struct Past {
    at: Timestamp,
    bridge: String,
    name: NodeRef,
    what: NodeEvents,
    /// The node's health then.
    state: NodeState,
}

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
    fn keep(&mut self, past: Past) {
        if self.past.len() >= limits::NODE_EVENTS_KEPT_MAX {
            self.past.pop_front();
        }
        self.past.push_back(past);
    }

    fn find(&self, caller: &Peer, source: &str) -> Option<u64> {
        let found =
            self.live.iter().find(|(_, watch)| watch.caller == *caller && is_same_source(&watch.source, source));
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
        let own = self.watches.live.values().filter(|watch| watch.caller.jid == caller.jid).count();
        if known.is_none() && (own >= limits::WATCHES_PER_CALLER_MAX || self.watches.live.len() >= limits::WATCHES_MAX)
        {
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
        self.watches.live.insert(number, watch);
        Ok(())
    }

    pub(super) fn unwatch(&mut self, caller: &Peer, source: &str, events: NodeEvents) {
        let Some(number) = self.watches.find(caller, source) else { return };
        let Some(watch) = self.watches.live.get_mut(&number) else { return };
        watch.events -= events;
        if watch.events.is_empty() {
            self.end_watch(number);
        }
    }

    pub(super) fn watch_over(&mut self, number: u64) {
        self.watches.live.remove(&number);
    }

    fn end_watch(&mut self, number: u64) -> Option<Watch> {
        let watch = self.watches.live.remove(&number)?;
        if let Some(until) = watch.until {
            self.timers.cancel(until, Timer::Watch(number));
        }
        Some(watch)
    }

    /// Watchers who cannot be reached any more.
    pub(super) fn drop_watches(&mut self, is_gone: impl Fn(&Peer) -> bool) {
        let gone = self.watches.live.iter().filter(|(_, watch)| is_gone(&watch.caller));
        for number in gone.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.end_watch(number);
        }
    }

    /// Rules changed: who has none left watches nothing.
    pub(super) fn recheck_watches(&mut self) {
        let policy = self.config.policy.clone();
        self.drop_watches(|caller| !policy.knows(&caller.bare()));
    }

    /// Tells the watchers of a node that is there. In the union, a bridge comes with the first of its nodes that may be seen.
    pub(super) fn tell_watchers(&mut self, key: NodeKey, what: NodeEvents, now: Timestamp) {
        let Some(entry) = self.registry.get(key) else { return };
        let (bridge, name, state) = (entry.bridge.to_string(), entry.name.clone(), entry.node.state);
        let mut notices = Vec::new();
        for watch in self.watches.live.values().filter(|watch| watch.hears(&bridge, what)) {
            let access = self.config.policy.of(&watch.caller.bare());
            if access.see(&name).is_err() {
                continue;
            }
            let is_first =
                what == NodeEvents::ADDED && is_union(&watch.source) && !self.sees_another(&access, &bridge, key);
            if let Some(node) = self.bridge_info(&access, &bridge).filter(|_| is_first) {
                notices.push(watch.notice(NodeEvent::Added { after: None, node }));
            }
            notices
                .push(watch.notice(event_of(what, self.node_info(&access, key, entry, &watch.source, watch.detail))));
        }
        self.watches.keep(Past { at: self.stamp(now), bridge, name, what, state });
        self.tell_all(notices, now);
    }

    fn sees_another(&self, access: &Access<'_>, bridge: &str, key: NodeKey) -> bool {
        self.registry.nodes_of(bridge).any(|(other, entry)| other != key && access.see(&entry.name).is_ok())
    }

    /// Tells the watchers of a node that was there. In the union, a bridge goes with the last of its nodes that may be seen.
    pub(super) fn tell_removed(&mut self, removed: &Removed, now: Timestamp) {
        let mut notices = Vec::new();
        for watch in self.watches.live.values().filter(|watch| watch.hears(&removed.bridge, NodeEvents::REMOVED)) {
            let access = self.config.policy.of(&watch.caller.bare());
            if access.see(&removed.name).is_ok() {
                notices.push(watch.notice(NodeEvent::Removed(called_in(&watch.source, &removed.name))));
                if is_union(&watch.source) && !self.sees_bridge(&access, &removed.bridge) {
                    notices.push(watch.notice(NodeEvent::Removed(NodeRef::new(&removed.bridge, UNION))));
                }
            }
        }
        let (bridge, name, what) = (removed.bridge.clone(), removed.name.clone(), NodeEvents::REMOVED);
        self.watches.keep(Past { at: self.stamp(now), bridge, name, what, state: NodeState::Unknown });
        self.tell_all(notices, now);
    }

    /// Tells a new watcher what happened since an instant, as far as that is kept. Nodes are told as they are now: what became of them since
    /// follows anyway.
    pub(super) fn tell_missed(&mut self, caller: &Peer, source: &str, since: Option<Timestamp>) {
        let (Some(since), Some(number)) = (since, self.watches.find(caller, source)) else { return };
        let Some(watch) = self.watches.live.get(&number) else { return };
        let access = self.config.policy.of(&caller.bare());
        let missed =
            self.watches.past.iter().filter(|past| {
                past.at >= since && watch.hears(&past.bridge, past.what) && access.see(&past.name).is_ok()
            });
        let told = missed.filter_map(|past| Some((past.at, watch.notice(self.told_again(&access, watch, past)?))));
        for (at, notice) in told.collect::<Vec<_>>() {
            self.tell_all(vec![notice], at);
        }
    }

    fn told_again(&self, access: &Access<'_>, watch: &Watch, past: &Past) -> Option<NodeEvent> {
        let name = called_in(&watch.source, &past.name);
        if past.what == NodeEvents::REMOVED {
            return Some(NodeEvent::Removed(name));
        }
        let key = self.registry.by_id(&past.bridge, &past.name.id)?;
        let mut node = self.node_info(access, key, self.registry.get(key)?, &watch.source, watch.detail);
        if past.what == NodeEvents::STATUS {
            node.state = past.state.into();
        }
        Some(event_of(past.what, node))
    }

    fn tell_all(&mut self, notices: Vec<(Peer, Dialect, NodeEvent)>, now: Timestamp) {
        for (caller, dialect, event) in notices {
            self.message(&caller, concentrator::event(dialect, &event, now));
        }
    }
}

impl Watch {
    fn notice(&self, event: NodeEvent) -> (Peer, Dialect, NodeEvent) {
        (self.caller.clone(), self.dialect, event)
    }

    fn hears(&self, bridge: &str, what: NodeEvents) -> bool {
        self.events.intersects(what) && (is_union(&self.source) || self.source == bridge)
    }
}

/// COMPAT: some clients leave the source of the union out.
fn is_same_source(one: &str, other: &str) -> bool {
    one == other || (is_union(one) && is_union(other))
}

/// What a node is called in a source, also when it is gone.
fn called_in(source: &str, name: &NodeRef) -> NodeRef {
    match source == UNION {
        true => NodeRef::new(name.to_string(), UNION),
        false => name.clone(),
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
