//! How items move by themselves: to those who wait for one, back when a lease ends, and to the dead.

use super::super::addresses::Peer;
use super::super::{Asker, Hub};
use super::table::{Ended, Place, Table};
use super::{Backlog, Pull, no_item};
use crate::model::custody::{End, Route};
use crate::model::{Timestamp, limits};
use crate::policy::QueueRule;
use crate::wire::queue::{self, Death, Item, Leased, Pushed};
use crate::wire::{Element, StanzaFault};

impl Hub {
    /// Leases what waits, or waits for something.
    pub(super) fn pull(&mut self, pull: Pull, may_wait: bool, now: Timestamp) -> Result<(), StanzaFault> {
        let has_waiting = self.queues.tables.get(&pull.queue).is_some_and(|table| table.waiting() > 0);
        if has_waiting || !may_wait {
            self.lease(&pull, now);
            return Ok(());
        }
        let of_caller = self.queues.pulls.iter().filter(|other| other.caller == pull.caller).count();
        if of_caller >= limits::QUEUE_PULLS_PER_CALLER_MAX || self.queues.pulls.len() >= limits::QUEUE_PULLS_MAX {
            return Err(StanzaFault::overload("Too many requests wait for an item."));
        }
        self.queues.pulls.push_back(pull);
        Ok(())
    }

    fn lease(&mut self, pull: &Pull, now: Timestamp) {
        let until = now.plus_ms(pull.lease_ms);
        let Some(table) = self.queues.tables.get_mut(&pull.queue) else {
            return self.answer(&pull.asker, Some(queue::pulled(&pull.queue, &[])));
        };
        let places = table.lease(pull.max, limits::ANSWER_BYTES_MAX, &pull.caller.jid, until);
        let held = places.iter().filter_map(|place| table.get(*place));
        let leased: Vec<Leased<'_>> =
            held.map(|held| Leased { item: &held.item, attempt: held.attempts, until }).collect();
        let answer = queue::pulled(&pull.queue, &leased);
        for place in places {
            self.keep_attempts(&pull.queue, place);
        }
        self.answer(&pull.asker, Some(answer));
    }

    /// Something waits that did not before: whoever waited for it longest is served first; then subscribers hear of what is left.
    pub(super) fn queue_wakes(&mut self, name: &str, id: Option<String>, now: Timestamp) {
        while self.queues.tables.get(name).is_some_and(|table| table.waiting() > 0) {
            let Some(index) = self.queues.pulls.iter().position(|pull| pull.queue == name) else { break };
            if let Some(pull) = self.queues.pulls.remove(index) {
                self.lease(&pull, now);
            }
        }
        self.carry_out(name, now);
        let is_left = self.queues.tables.get(name).is_some_and(|table| table.waiting() > 0);
        let Some(id) = id.filter(|_| is_left) else { return };
        let subscribers: Vec<Peer> = self.queues.subscribers.get(name).into_iter().flatten().cloned().collect();
        for subscriber in subscribers {
            self.message(&subscriber, queue::waiting(name, std::slice::from_ref(&id)));
        }
    }

    /// Somebody gives items back before the end of the lease.
    pub(super) fn give_back(
        &mut self,
        asker: &Asker,
        caller: &Peer,
        rule: &QueueRule,
        ids: &[String],
        now: Timestamp,
    ) -> Result<(), StanzaFault> {
        let places = self.leased_places(caller, &rule.name, ids)?;
        self.answer(asker, None);
        for place in places {
            self.item_ended(&rule.name, place, now);
        }
        Ok(())
    }

    /// Somebody needs more time.
    pub(super) fn extend_leases(
        &mut self,
        asker: &Asker,
        caller: &Peer,
        name: &str,
        ids: &[String],
        until: Timestamp,
    ) -> Result<(), StanzaFault> {
        let places = self.leased_places(caller, name, ids)?;
        if let Some(table) = self.queues.tables.get_mut(name) {
            places.into_iter().for_each(|place| table.extend(place, until));
        }
        self.answer(asker, None);
        Ok(())
    }

    fn leased_places(&self, caller: &Peer, name: &str, ids: &[String]) -> Result<Vec<Place>, StanzaFault> {
        self.queues.tables.get(name).and_then(|table| table.leased_to(ids, &caller.jid)).ok_or_else(no_item)
    }

    /// A lease or an item's time is over.
    pub(super) fn item_ended(&mut self, name: &str, place: Place, now: Timestamp) {
        let Some(rule) = self.queues.rules.get(name).cloned() else { return };
        let Some(table) = self.queues.tables.get_mut(name) else { return };
        match table.end(place, rule.attempts_max) {
            Ended::Lease => {
                let id = table.get(place).map(|held| held.item.id.clone());
                self.queue_wakes(name, id, now);
            }
            Ended::Dead(death) => self.bury(&rule, place, death, "it was tried as often as the queue says"),
        }
    }

    /// Takes an item out for good: to the dead-letter queue, if there is one. It is kept there before it is let go of here.
    pub(super) fn bury(&mut self, rule: &QueueRule, place: Place, death: Death, why: &'static str) {
        let Some(held) = self.queues.tables.get_mut(&rule.name).and_then(|table| table.remove(place)) else { return };
        let end = match (death, &rule.dead) {
            (Death::Expired, _) => End::Expired,
            (_, Some(grave)) if self.queues.rules.contains_key(grave) => End::Buried,
            _ => End::dead(why),
        };
        let grave = rule.dead.as_ref().and_then(|name| self.queues.rules.get(name)).cloned();
        if let Some(grave) = grave {
            self.make_room(&grave);
            let dead = Some((rule.name.clone(), death));
            let place = self.item();
            self.keep_item("", &grave.name, place, Item { expires: None, dead, ..held.item });
        }
        self.let_go(&rule.name, place, end);
        self.take_backlog(&rule.name);
    }

    /// The dead must not stop the living: the oldest goes.
    fn make_room(&mut self, grave: &QueueRule) {
        let Some(table) = self.queues.tables.get_mut(&grave.name) else { return };
        if table.len() < grave.capacity {
            return;
        }
        if let Some(oldest) = table.oldest() {
            table.remove(oldest);
            self.let_go(&grave.name, oldest, End::dead("the dead-letter queue was full"));
        }
    }

    /// A consumer is gone: what it had waits again at once, and nobody is answered there.
    pub(in crate::hub) fn queues_lose(&mut self, gone: &Peer, now: Timestamp) {
        self.queues.pulls.retain(|pull| !gone.concerns(&pull.caller));
        let names: Vec<String> = self.queues.tables.keys().cloned().collect();
        for name in names {
            let is_gone = |jid: &jid::Jid| gone.jid == *jid || (gone.jid.is_bare() && gone.bare() == jid.to_bare());
            let places = self.queues.tables.get(&name).map(|table| table.of_consumer(is_gone)).unwrap_or_default();
            places.into_iter().for_each(|place| self.item_ended(&name, place, now));
        }
    }

    /// A bridge pushes a reading. Gives the item that a receipt has to wait for; none: nothing was pushed, because the queue is not there,
    /// or is full and nobody waits for a receipt.
    pub(in crate::hub) fn provide(
        &mut self,
        name: &str,
        payload: &Element,
        bridge: &str,
        has_receipt: bool,
        now: Timestamp,
    ) -> Option<u64> {
        let rule = self.queues.rules.get(name)?.clone();
        let item = self.item();
        let payload = String::from(payload);
        let table = self.queues.tables.entry(rule.name.clone()).or_default();
        if has_room(table, &rule, payload.len()) {
            let pushed = Pushed { id: Some(format!("{item:x}")), payload };
            return self.push_one(&rule, item, pushed, Err(bridge), now);
        }
        if !has_receipt || self.queues.backlog.len() >= limits::QUEUE_BACKLOG_MAX {
            return None;
        }
        self.queues.backlog.push_back(Backlog { queue: rule.name, bridge: bridge.to_owned(), payload, item });
        Some(item)
    }

    /// Puts an item that was set aside into its queue again, with the time that any new item has.
    pub(in crate::hub) fn replay_item(
        &mut self,
        route: &Route,
        record: &str,
        text: &str,
        now: Timestamp,
    ) -> Result<(), String> {
        let name = record.rsplit_once('/').map_or(record, |(queue, _)| queue);
        let rule = self.queues.rules.get(name).cloned().ok_or_else(|| format!("there is no queue {name} any more"))?;
        let item = Item::from_record(text).ok_or("it cannot be read")?;
        let table = self.queues.tables.entry(rule.name.clone()).or_default();
        if table.place_of(&item.id).is_some() || table.was_done(&item.id) {
            return Err(format!("the queue has, or had, an item {} since", item.id));
        }
        if !has_room(table, &rule, item.bytes()) {
            return Err(format!("the queue {name} is full"));
        }
        let place = self.item();
        let expires = rule.expire_ms.map(|expire| now.plus_ms(expire));
        self.keep_item(route.bridge(), name, place, Item { expires, ..item });
        Ok(())
    }

    /// Room may have become: readings that waited for it are pushed, oldest first, under the items that their receipts wait for.
    pub(super) fn take_backlog(&mut self, name: &str) {
        let Some(rule) = self.queues.rules.get(name).cloned() else { return };
        while let Some(index) = self.queues.backlog.iter().position(|backlog| backlog.queue == name) {
            let table = self.queues.tables.entry(rule.name.clone()).or_default();
            let bytes = self.queues.backlog.get(index).map_or(0, |backlog| backlog.payload.len());
            if !has_room(table, &rule, bytes) {
                return;
            }
            if let Some(Backlog { bridge, payload, item, .. }) = self.queues.backlog.remove(index) {
                let id = format!("{item:x}");
                self.keep_item(&bridge, name, item, Item { id, payload, ..Item::default() });
            }
        }
    }
}

fn has_room(table: &Table, rule: &QueueRule, bytes: usize) -> bool {
    table.len() < rule.capacity && table.bytes() + bytes <= limits::QUEUE_BYTES_MAX
}
