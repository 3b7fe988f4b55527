//! Queues: providers push, consumers pull, nothing is lost and nothing is handed to two at once (host/docs/queues.md).
//!
//! Owns the queues' tables, who waits for an item, and what has to be durable before somebody is answered. Order of evaluation: is there such
//! a queue for the caller, may the caller do that, is the request sound, is there room; then it is kept, then answered. What the caller
//! may not know of is not there. Leases are not kept over a restart: their items wait again.

mod answers;
mod flow;
mod jobs;
mod kept;
mod table;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jid::BareJid;

use self::table::{Place, Table};
use super::addresses::Peer;
use super::timers::Timer;
use super::{Asker, Hub};
use crate::model::{Timestamp, limits};
use crate::policy::QueueRule;
use crate::wire::queue::{self, Item, MetaData, Pushed, Request, What};
use crate::wire::{Element, StanzaFault};

/// All queues.
#[derive(Debug, Default)]
pub(super) struct Queues {
    rules: BTreeMap<String, QueueRule>,
    /// Also of queues that have left the configuration: they may come back.
    tables: BTreeMap<String, Table>,
    subscribers: BTreeMap<String, BTreeSet<Peer>>,
    /// Who waits for an item, longest first.
    pulls: VecDeque<Pull>,
    /// What waits for the store, by durable item.
    storing: BTreeMap<u64, Storing>,
    /// Requests that are answered when all of theirs is durable.
    batches: BTreeMap<u64, Batch>,
    /// Readings that wait for room, oldest first.
    backlog: VecDeque<Backlog>,
    armed: Option<Timestamp>,
}

/// Somebody who waits for an item.
#[derive(Debug)]
struct Pull {
    queue: String,
    asker: Asker,
    caller: Peer,
    max: usize,
    lease_ms: u64,
    deadline: Timestamp,
}

#[derive(Debug)]
struct Storing {
    /// The item that begins to wait; none: one was taken out.
    pushed: Option<(String, Place)>,
    batches: Vec<u64>,
}

#[derive(Debug)]
struct Batch {
    missing: usize,
    asker: Asker,
    answer: Option<Element>,
}

/// A reading that a full queue had no room for, and whose device waits for the receipt.
#[derive(Debug)]
struct Backlog {
    queue: String,
    bridge: String,
    payload: String,
    /// What the receipt waits for.
    item: u64,
}

impl Queues {
    /// Whether this reading waits in memory for room in its queue.
    pub(super) fn has_no_room_for(&self, item: u64) -> bool {
        self.backlog.iter().any(|backlog| backlog.item == item)
    }

    /// Whether a section names somebody: then it must be able to find us.
    pub(super) fn names(&self, who: &BareJid) -> bool {
        self.rules.values().any(|rule| rule.may_see(who))
    }
}

impl Hub {
    /// Answers what is asked of a queue.
    pub(super) fn queue_request(&mut self, asker: Asker, caller: &Peer, request: Request, now: Timestamp) {
        if let Err(fault) = self.queue_answer(&asker, caller, request, now) {
            self.refuse(&asker, &fault);
        }
        self.arm_queues();
    }

    fn queue_answer(
        &mut self,
        asker: &Asker,
        caller: &Peer,
        request: Request,
        now: Timestamp,
    ) -> Result<(), StanzaFault> {
        let Request { queue, what } = request;
        let rule = self.queue_rule(caller, &queue)?.clone();
        let may = match what {
            What::Push(_) => rule.may_push(&caller.bare()),
            _ => rule.may_pull(&caller.bare()),
        };
        if !may {
            return Err(StanzaFault::forbidden());
        }
        match what {
            What::Push(items) => self.push(asker, caller, &rule, items, now),
            What::Look { page, ids } => self.show_queue(asker, caller, &queue, &page, &ids),
            What::Acknowledge(ids) => self.acknowledge(asker, caller, &queue, &ids),
            What::Pull { max, lease_s, wait_s } => {
                let lease_ms = lease_s.map_or(rule.lease_ms, |lease| rule.lease_ms.min(u64::from(lease) * 1000));
                let wait_ms = u64::from(wait_s.min(limits::QUEUE_WAIT_S_MAX)) * 1000;
                let max = max.clamp(1, limits::QUEUE_PAGE_ITEMS_MAX);
                let deadline = now.plus_ms(wait_ms);
                let pull = Pull { queue, asker: asker.clone(), caller: caller.clone(), max, lease_ms, deadline };
                self.pull(pull, wait_ms > 0, now)
            }
            What::Return(ids) => self.give_back(asker, caller, &rule, &ids, now),
            What::Extend { ids, lease_s } => {
                let lease_ms = lease_s.map_or(rule.lease_ms, |lease| rule.lease_ms.min(u64::from(lease) * 1000));
                self.extend_leases(asker, caller, &queue, &ids, now.plus_ms(lease_ms))
            }
            What::Subscribe(jid) => self.queue_subscribe(asker, caller, &queue, &jid),
            What::Unsubscribe(jid) => self.queue_unsubscribe(asker, caller, &queue, &jid),
        }
    }

    /// A queue that the caller may know of.
    fn queue_rule(&self, caller: &Peer, name: &str) -> Result<&QueueRule, StanzaFault> {
        let rule = self.queues.rules.get(name).filter(|rule| rule.may_see(&caller.bare()));
        rule.filter(|_| caller.is_with_concentrator()).ok_or_else(|| StanzaFault::not_found("No such queue."))
    }

    fn push(
        &mut self,
        asker: &Asker,
        caller: &Peer,
        rule: &QueueRule,
        items: Vec<Pushed>,
        now: Timestamp,
    ) -> Result<(), StanzaFault> {
        if items.len() > rule.capacity {
            return Err(queue::too_many());
        }
        let table = self.queues.tables.entry(rule.name.clone()).or_default();
        let mut seen = BTreeSet::new();
        let is_new = |item: &&Pushed| match &item.id {
            Some(id) => table.place_of(id).is_none() && !table.was_done(id) && seen.insert(id.clone()),
            None => true,
        };
        let new: Vec<&Pushed> = items.iter().filter(is_new).collect();
        let bytes: usize = new.iter().map(|item| item.payload.len() + item.id.as_ref().map_or(32, String::len)).sum();
        if table.len() + new.len() > rule.capacity || table.bytes() + bytes > limits::QUEUE_BYTES_MAX {
            return Err(queue::full());
        }
        let batch = self.number();
        let mut ids = Vec::with_capacity(items.len());
        let mut missing = BTreeSet::new();
        for item in items {
            let place = self.item();
            let id = item.id.unwrap_or_else(|| format!("{place:x}"));
            ids.push(id.clone());
            let item = Pushed { id: Some(id), payload: item.payload };
            missing.extend(self.push_one(rule, place, item, Ok(caller), now));
        }
        let answer = Some(queue::pushed_answer(&rule.name, &ids));
        self.when_durable(&missing, batch, asker, answer);
        Ok(())
    }

    /// Puts one item of somebody's, or of a bridge's, into its queue and has it kept, unless it is there already or was done with; gives the
    /// durable item to wait for.
    fn push_one(
        &mut self,
        rule: &QueueRule,
        place: Place,
        item: Pushed,
        publisher: Result<&Peer, &str>,
        now: Timestamp,
    ) -> Option<u64> {
        let id = item.id?;
        let table = self.queues.tables.entry(rule.name.clone()).or_default();
        if let Some(known) = table.place_of(&id) {
            return self.queues.storing.contains_key(&known).then_some(known);
        }
        if table.was_done(&id) {
            return None;
        }
        let expires = rule.expire_ms.map(|expire| now.plus_ms(expire));
        let (bridge, publisher) = publisher.map_or_else(|bridge| (bridge, None), |peer| ("", Some(peer.bare())));
        let item = Item { id, payload: item.payload, publisher, expires, dead: None };
        self.keep_item(bridge, &rule.name, place, item);
        Some(place)
    }

    /// Answers when all of these are durable.
    fn when_durable(&mut self, missing: &BTreeSet<u64>, batch: u64, asker: &Asker, answer: Option<Element>) {
        if missing.is_empty() {
            return self.answer(asker, answer);
        }
        for item in missing {
            if let Some(storing) = self.queues.storing.get_mut(item) {
                storing.batches.push(batch);
            }
        }
        self.queues.batches.insert(batch, Batch { missing: missing.len(), asker: asker.clone(), answer });
    }

    /// An item of the store's that a queue may wait for is durable.
    pub(super) fn queue_durable(&mut self, item: u64, now: Timestamp) {
        let Some(storing) = self.queues.storing.remove(&item) else { return };
        for number in storing.batches {
            let Some(batch) = self.queues.batches.get_mut(&number) else { continue };
            batch.missing = batch.missing.saturating_sub(1);
            if batch.missing == 0
                && let Some(Batch { asker, answer, .. }) = self.queues.batches.remove(&number)
            {
                self.answer(&asker, answer);
            }
        }
        if let Some((queue, place)) = storing.pushed {
            let id = self.queues.tables.get_mut(&queue).and_then(|table| table.stored(place));
            self.queue_wakes(&queue, id, now);
        }
        self.arm_queues();
    }

    fn acknowledge(&mut self, asker: &Asker, caller: &Peer, queue: &str, ids: &[String]) -> Result<(), StanzaFault> {
        let table = self.queues.tables.get(queue);
        let places = table.and_then(|table| table.acknowledgeable(ids, &caller.jid)).ok_or_else(no_item)?;
        let item = self.item();
        for place in &places {
            self.item_done(queue, *place);
        }
        self.wait_for_store(item, queue, places.first().copied());
        let batch = self.number();
        self.when_durable(&BTreeSet::from([item]), batch, asker, None);
        self.take_backlog(queue);
        Ok(())
    }

    /// The next thing that a queue has to do by itself is due.
    pub(super) fn queues_due(&mut self, now: Timestamp) {
        self.queues.armed = None;
        let names: Vec<String> = self.queues.rules.keys().cloned().collect();
        for name in names {
            self.carry_out(&name, now);
            while let Some(place) = self.queues.tables.get(&name).and_then(|table| table.ended(now)) {
                self.item_ended(&name, place, now);
            }
        }
        while let Some(index) = self.queues.pulls.iter().position(|pull| pull.deadline <= now) {
            if let Some(pull) = self.queues.pulls.remove(index) {
                self.answer(&pull.asker, Some(queue::pulled(&pull.queue, &[])));
            }
        }
        self.arm_queues();
    }

    fn arm_queues(&mut self) {
        let queues = &self.queues;
        let ends = queues.rules.keys().filter_map(|name| queues.tables.get(name)?.next_end());
        let next = ends.chain(queues.pulls.iter().map(|pull| pull.deadline)).min();
        if let Some(at) = next.filter(|at| queues.armed.is_none_or(|armed| *at < armed)) {
            self.timers.set(at, Timer::Queues);
            self.queues.armed = Some(at);
        }
    }

    pub(super) fn has_queues(&self) -> bool {
        !self.queues.rules.is_empty()
    }

    /// The queues that somebody may know of.
    pub(super) fn queues_of<'a>(&'a self, caller: &'a Peer) -> impl Iterator<Item = &'a str> {
        let rules = self.queues.rules.values().filter(|_| caller.is_with_concentrator());
        rules.filter(|rule| rule.may_see(&caller.bare())).map(|rule| rule.name.as_str())
    }

    /// What service discovery says of a queue that the caller may know of.
    pub(super) fn queue_described(&self, caller: &Peer, name: &str) -> Option<MetaData> {
        let rule = self.queue_rule(caller, name).ok()?;
        let items = self.queues.tables.get(name).map_or(0, Table::len);
        Some(MetaData {
            capacity: rule.capacity,
            expire_s: rule.expire_ms.map(|expire| expire / 1000),
            lease_s: rule.lease_ms / 1000,
            attempts: rule.attempts_max,
            items: rule.may_pull(&caller.bare()).then_some(items),
        })
    }
}

fn no_item() -> StanzaFault {
    StanzaFault::not_found("No such item, or somebody else has it.")
}
