//! What of queues outlives the process: items, how often they were tried, ids that were acknowledged lately, and subscribers.
//!
//! Names of records: `queue/NAME/PLACE` an item, `queue-tries/NAME/PLACE` a number, `queue-done/NAME/PLACE` an id, `queue-ear/NAME/PEER`
//! nothing. Places are written in hexadecimal digits, all sixteen, so that they sort.

use std::collections::{BTreeMap, BTreeSet};

use jid::Jid;

use super::super::addresses::Peer;
use super::super::things::QueueThings;
use super::super::{Hub, Output};
use super::table::Place;
use super::{Queues, Storing};
use crate::model::Timestamp;
use crate::model::custody::{self, End, Route};
use crate::policy::QueueRule;
use crate::wire::queue::Item;

const ITEM: &str = "queue/";
const TRIES: &str = "queue-tries/";
const DONE: &str = "queue-done/";
const EAR: &str = "queue-ear/";

impl Queues {
    /// Queues as configured, with what an earlier run kept; and the names of items that cannot be read.
    pub(in crate::hub) fn restore(rules: Vec<QueueRule>, kept: &BTreeMap<String, Vec<u8>>) -> (Self, Vec<String>) {
        let mut queues = Self { rules: by_name(rules), ..Self::default() };
        let mut unreadable = Vec::new();
        for (name, bytes) in of_kind(kept, ITEM) {
            let item = std::str::from_utf8(bytes).ok().and_then(Item::from_record);
            let Some(((queue, place), item)) = apart(name).zip(item) else {
                unreadable.push(format!("{ITEM}{name}"));
                continue;
            };
            let tries = kept.get(&record(TRIES, queue, place)).and_then(|tries| std::str::from_utf8(tries).ok());
            let attempts = tries.and_then(|tries| tries.parse().ok()).unwrap_or_default();
            queues.tables.entry(queue.to_owned()).or_default().restore(place, item, attempts);
        }
        for (name, bytes) in of_kind(kept, DONE) {
            if let (Some((queue, place)), Ok(id)) = (apart(name), String::from_utf8(bytes.clone())) {
                queues.tables.entry(queue.to_owned()).or_default().remember_done(place, id);
            }
        }
        for (name, _) in of_kind(kept, EAR) {
            if let Some((queue, peer)) = name.split_once('/').and_then(|(queue, peer)| Some((queue, ear(peer)?))) {
                queues.subscribers.entry(queue.to_owned()).or_default().insert(peer);
            }
        }
        (queues, unreadable)
    }
}

/// Queues by their names.
fn by_name(rules: Vec<QueueRule>) -> BTreeMap<String, QueueRule> {
    rules.into_iter().map(|rule| (rule.name.clone(), rule)).collect()
}

fn of_kind<'a>(
    kept: &'a BTreeMap<String, Vec<u8>>,
    kind: &'a str,
) -> impl Iterator<Item = (&'a str, &'a Vec<u8>)> + 'a {
    let from = kept.range(kind.to_owned()..);
    from.map_while(move |(name, bytes)| Some((name.strip_prefix(kind)?, bytes)))
}

fn record(kind: &str, queue: &str, place: Place) -> String {
    format!("{kind}{queue}/{place:016x}")
}

fn apart(name: &str) -> Option<(&str, Place)> {
    let (queue, place) = name.rsplit_once('/')?;
    Some((queue, u64::from_str_radix(place, 16).ok()?))
}

/// A peer as its record's name: its JID, a space, and our address.
fn ear(text: &str) -> Option<Peer> {
    let (jid, at) = text.split_once(' ')?;
    let at = if at.is_empty() { None } else { Some(Jid::new(at).ok()?) };
    Some(Peer { jid: Jid::new(jid).ok()?, at })
}

impl Hub {
    /// Other queues are configured. What is in a queue that is gone stays, for the day it comes back.
    pub fn queues_changed(&mut self, rules: Vec<QueueRule>, now: Timestamp) {
        self.now = now;
        let before = self.caps();
        self.queues.rules = by_name(rules);
        let queues = &mut self.queues;
        let rules = &queues.rules;
        queues.pulls.retain(|pull| rules.get(&pull.queue).is_some_and(|rule| rule.may_pull(&pull.caller.bare())));
        for (name, subscribers) in &mut queues.subscribers {
            subscribers.retain(|peer| rules.get(name).is_some_and(|rule| rule.may_pull(&peer.bare())));
        }
        let names: Vec<String> = queues.rules.keys().cloned().collect();
        names.iter().for_each(|name| self.take_backlog(name));
        self.recheck_contacts();
        self.reconsider_waiting();
        self.say_if_changed(&before, now);
        self.queues_due(now);
    }

    /// Puts an item into a queue, on whichever bridge's behalf, and has it kept under its place; it waits once that is durable.
    pub(super) fn keep_item(&mut self, bridge: &str, queue: &str, place: Place, item: Item) {
        let expires = item.expires.map(|expires| self.stamp(expires));
        let bytes = Item { expires, ..item.clone() }.to_record().into_bytes();
        self.queues.tables.entry(queue.to_owned()).or_default().push(place, item);
        let pushed = Some((queue.to_owned(), place));
        self.queues.storing.insert(place, Storing { pushed, batches: Vec::new() });
        let route = Route::new(bridge, &format!("{}{queue}", custody::QUEUE));
        let taken = custody::Item { number: place, route };
        self.outputs.push_back(Output::Take { item: taken, name: record(ITEM, queue, place), bytes });
    }

    /// An item was acknowledged: it is let go of and its id remembered.
    pub(super) fn item_done(&mut self, queue: &str, place: Place) {
        let Some(table) = self.queues.tables.get_mut(queue) else { return };
        let Some(held) = table.remove(place) else { return };
        let id = held.item.id;
        let forgotten = table.remember_done(place, id.clone());
        self.let_go(queue, place, End::Delivered);
        self.keep(record(DONE, queue, place), Some(id.into_bytes()));
        if let Some(forgotten) = forgotten {
            self.keep(record(DONE, queue, forgotten), None);
        }
    }

    /// Nothing of an item is kept any more.
    pub(super) fn let_go(&mut self, queue: &str, place: Place, end: End) {
        self.traces.ended(place, &end, self.now);
        self.outputs.push_back(Output::End { name: record(ITEM, queue, place), end });
        self.keep(record(TRIES, queue, place), None);
    }

    /// What was let go of for this place is durable when this item is told so.
    pub(super) fn wait_for_store(&mut self, item: u64, queue: &str, place: Option<Place>) {
        let Some(place) = place else { return };
        self.queues.storing.insert(item, Storing { pushed: None, batches: Vec::new() });
        self.outputs.push_back(Output::Keep { item: Some(item), name: record(ITEM, queue, place), bytes: None });
    }

    pub(super) fn keep_attempts(&mut self, queue: &str, place: Place) {
        let attempts = self.queues.tables.get(queue).and_then(|table| table.get(place)).map(|held| held.attempts);
        if let Some(attempts) = attempts {
            self.keep(record(TRIES, queue, place), Some(attempts.to_string().into_bytes()));
        }
    }

    pub(super) fn keep_ear(&mut self, queue: &str, peer: &Peer, is_there: bool) {
        let at = peer.at.as_ref().map(Jid::as_str).unwrap_or_default();
        self.keep(format!("{EAR}{queue}/{} {at}", peer.jid), is_there.then(Vec::new));
    }

    /// Keeps a record, or lets go of it.
    pub(in crate::hub) fn keep(&mut self, name: String, bytes: Option<Vec<u8>>) {
        self.outputs.push_back(Output::Keep { item: None, name, bytes });
    }

    /// What is in each queue.
    pub(in crate::hub) fn queue_things(&self) -> Vec<QueueThings> {
        let count = |name: &String| {
            let (items, waiting) = self.queues.tables.get(name).map_or((0, 0), |table| (table.len(), table.waiting()));
            QueueThings { name: name.clone(), items, waiting }
        };
        self.queues.rules.keys().map(count).collect()
    }

    /// Subscribers of a queue.
    pub(super) fn ears(&mut self, queue: &str) -> &mut BTreeSet<Peer> {
        self.queues.subscribers.entry(queue.to_owned()).or_default()
    }
}
