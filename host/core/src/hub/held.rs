//! Readings that were promised and cannot be delivered: held for the subscriber's account, for a while.
//!
//! A reading is promised when its device was told `stored`. It comes here when its subscriber is away, or when the server sends it back. It
//! is given to the first subscription of the same account, from whichever client, that wants every reading of its node; an account whose
//! other client was sent the reading has had it. What nobody fetches in time is given up, and counted for the log. It leaves under the number
//! under which it was promised, so that whoever gets it twice can tell.
//!
//! Each is an item of the store like any durable stanza, addressed to whom it was meant for, so a crash costs nothing.

use std::collections::{BTreeMap, BTreeSet};

use jid::{BareJid, Jid};
use minidom::Element;

use super::addresses::Peer;
use super::registry::NodeKey;
use super::timers::Timer;
use super::{Hub, Output};
use crate::model::custody::{self, End, Item};
use crate::model::{NodeReading, Timestamp, limits};
use crate::wire::sensor::{Answer, Progress};
use crate::wire::stanza;

/// Held readings by item, which is the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Held {
    messages: BTreeMap<u64, Message>,
    accounts: BTreeMap<BareJid, BTreeSet<u64>>,
    /// Whose server said to wait, and until when we do.
    paused: BTreeMap<BareJid, Timestamp>,
    /// Given up for want of room and not told yet.
    displaced: usize,
    timer: Option<Timestamp>,
}

#[derive(Debug)]
struct Message {
    account: BareJid,
    /// What it was promised under, until something has left under it.
    number: Option<u64>,
    readings: Vec<NodeReading>,
    until: Timestamp,
}

impl Held {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    fn take(&mut self, item: u64) -> Option<Message> {
        let message = self.messages.remove(&item)?;
        if let Some(items) = self.accounts.get_mut(&message.account) {
            items.remove(&item);
            if items.is_empty() {
                self.accounts.remove(&message.account);
            }
        }
        Some(message)
    }

    /// Who has to make room for one more of this account.
    fn excess(&self, account: &BareJid) -> Option<u64> {
        let own = self.accounts.get(account).filter(|items| items.len() >= limits::HELD_READINGS_PER_ACCOUNT_MAX);
        let all = || self.messages.keys().next().filter(|_| self.messages.len() >= limits::HELD_READINGS_MAX);
        own.and_then(BTreeSet::first).or_else(all).copied()
    }
}

impl Hub {
    /// A stanza that [`Output::Recall`] asked for: what its receiver never got, although the server had it. A new custody begins, of the
    /// same bridge. False if it was another's: it may still come back.
    pub fn handle_returned(&mut self, from: &Jid, stanza: &Element, bridge: &str, now: Timestamp) -> bool {
        self.now = now;
        let Some((jid, at, payload)) = stanza::sent_message(stanza) else { return false };
        let to = Peer { jid, at };
        // Whoever sends back what others were sent is not believed.
        if !(Peer { jid: from.clone(), at: to.at.clone() }).concerns(&to) {
            return false;
        }
        self.hold_again(&to, payload, bridge, stanza::number_in(stanza), now);
        if !self.held.paused.contains_key(&to.bare()) {
            self.give_held(&to.bare());
        }
        true
    }

    /// Its server has no room for now: what comes back is not sent again at once, or it would go back and forth.
    pub(super) fn pause_giving(&mut self, account: &BareJid, now: Timestamp) {
        if self.held.paused.len() < limits::HELD_READINGS_MAX {
            let until = now.plus_ms(limits::RETURNED_WAIT_MS);
            let until = *self.held.paused.entry(account.clone()).or_insert(until);
            self.held_timer(until);
        }
    }

    fn end_pauses(&mut self, now: Timestamp) {
        let (over, paused) = std::mem::take(&mut self.held.paused).into_iter().partition(|(_, until)| *until <= now);
        self.held.paused = paused;
        for account in BTreeMap::into_keys(over) {
            self.give_held(&account);
        }
        if let Some(next) = self.held.paused.values().min().copied() {
            self.held_timer(next);
        }
    }

    /// Holds a message of a bridge's readings; gives its item.
    pub(super) fn hold(&mut self, to: &Peer, payload: Element, bridge: &str, now: Timestamp) -> Option<u64> {
        self.hold_again(to, payload, bridge, None, now)
    }

    /// The same; what was promised before keeps its number.
    fn hold_again(
        &mut self,
        to: &Peer,
        payload: Element,
        bridge: &str,
        number: Option<u64>,
        now: Timestamp,
    ) -> Option<u64> {
        let readings = match Answer::parse(&payload)?.progress {
            Progress::Data { readings, .. } => readings,
            _ => return None,
        };
        let readings: Vec<NodeReading> = readings
            .into_iter()
            .filter(|reading| !reading.fields.is_empty())
            .map(|one| self.by_own_name(to, one))
            .collect();
        let account = to.bare();
        if readings.is_empty() {
            return None;
        }
        if let Some(oldest) = self.held.excess(&account) {
            self.held.displaced += usize::from(self.held.take(oldest).is_some());
            self.traces.ended(oldest, &End::dead(""), now);
            self.outputs.push_back(Output::LetGo { items: vec![oldest], end: End::dead("too much was held") });
            self.held_timer(now.plus_ms(limits::GIVEN_UP_TOLD_MS));
        }
        let item = self.item();
        let number = number.unwrap_or(item);
        let stanza = stanza::message(Some(&to.jid), &format!("t{number:x}"), payload);
        let stanza = stanza::sent_from(stanza, to.at.as_ref());
        let taken = Item { number: item, route: self.routes.of(bridge, custody::HELD) };
        self.outputs.push_back(Output::Hold { item: taken, stanza });
        let until = now.plus_ms(limits::HELD_READING_MS_MAX);
        self.held_timer(until);
        self.held.accounts.entry(account.clone()).or_default().insert(item);
        self.held.messages.insert(item, Message { account, number: Some(number), readings, until });
        Some(item)
    }

    /// As the node is called at home, however the subscriber named it.
    pub(super) fn by_own_name(&self, to: &Peer, mut reading: NodeReading) -> NodeReading {
        let seat = self.seat(to.at.as_ref()).ok().flatten();
        let key = reading.node.as_ref().map_or(seat, |name| self.registry.find(name));
        if let Some(entry) = key.and_then(|key| self.registry.get(key)) {
            reading.node = Some(entry.name.clone());
        }
        reading
    }

    /// Gives an account what it is owed, as far as somebody is there who wants it. Tells of which nodes, up to when.
    pub(super) fn give_held(&mut self, account: &BareJid) -> BTreeMap<NodeKey, Timestamp> {
        let items: Vec<u64> = self.held.accounts.get(account).into_iter().flatten().copied().collect();
        let (mut given, mut done) = (BTreeMap::new(), Vec::new());
        for item in items {
            let Some(mut message) = self.held.take(item) else { continue };
            let number = &mut message.number;
            message.readings.retain(|reading| {
                let key = self.give_reading(account, reading, number);
                given.extend(key.map(|key| (key, reading.at)));
                key.is_none()
            });
            match message.readings.is_empty() {
                true => done.push(item),
                false => {
                    self.held.accounts.entry(account.clone()).or_default().insert(item);
                    self.held.messages.insert(item, message);
                }
            }
        }
        if !done.is_empty() {
            self.handle_ended(&done, &End::Delivered, self.now);
            // Each is another item by now, on its way to who is there.
            self.outputs.push_back(Output::LetGo { items: done, end: End::Delivered });
        }
        given
    }

    fn held_timer(&mut self, at: Timestamp) {
        if self.held.timer.is_some_and(|earlier| earlier <= at) {
            return;
        }
        if let Some(later) = self.held.timer.replace(at) {
            self.timers.cancel(later, Timer::Held);
        }
        self.timers.set(at, Timer::Held);
    }

    /// Nobody came for these. Before the first session nobody could.
    pub(super) fn held_too_long(&mut self, now: Timestamp) {
        self.held.timer = None;
        self.end_pauses(now);
        let can_come = self.config.me.is_some();
        let late = self.held.messages.iter().filter(|(_, message)| can_come && message.until <= now);
        let late: Vec<u64> = late.map(|(item, _)| *item).collect();
        for item in &late {
            self.held.take(*item);
        }
        let displaced = std::mem::take(&mut self.held.displaced);
        for (readings, reason) in [(late.len(), "nobody came for them in time"), (displaced, "too many were held")] {
            if readings > 0 {
                self.outputs.push_back(Output::GivenUp { readings, reason });
            }
        }
        if !late.is_empty() {
            self.handle_ended(&late, &End::Expired, now);
            self.outputs.push_back(Output::LetGo { items: late, end: End::Expired });
        }
        let next = self.held.messages.values().map(|message| message.until).min();
        if let Some(next) = next {
            self.held_timer(next.max(now.plus_ms(limits::GIVEN_UP_TOLD_MS)));
        }
    }
}
