//! Messages with a promise, as their recipient (`qos:1.0`).
//!
//! An acknowledged message is handled like any other, and then acknowledged. An assured one is kept, under its sender's account and its name,
//! until the sender says that it knows that; then it is handled, once. That a message is kept is told when it would survive a crash; that
//! one was handled is remembered for a while, over a restart as well, so that a late repetition is not kept again. Only contacts may.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jid::{BareJid, Jid};
use minidom::Element;
use serde::{Deserialize, Serialize};

use super::addresses::Peer;
use super::{Asker, Hub, Output};
use crate::model::custody::{self, End, Item};
use crate::model::{Timestamp, limits};
use crate::wire::qos::{self, Request};
use crate::wire::stanza::{self, Condition, FaultKind, Kind, StanzaFault};

/// How names of records begin.
const RECORDS: &str = "assured/";
/// The same, of messages that were handled; the number that they had follows, with all its digits, so that they sort.
const DONE: &str = "assured-done/";

type Name = (BareJid, String);

/// What is kept for its delivery.
#[derive(Debug, Default)]
pub(super) struct Assured {
    kept: BTreeMap<Name, Kept>,
    /// By item: who waits to be told that a message is kept.
    waiting: BTreeMap<u64, Vec<(Asker, String)>>,
    done: BTreeSet<Name>,
    /// The same, oldest first, by the numbers that they had.
    done_order: VecDeque<(u64, Name)>,
}

#[derive(Debug)]
struct Kept {
    number: u64,
    is_durable: bool,
    message: Element,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    from: String,
    id: String,
    message: String,
}

impl Kept {
    fn restore(name: &str, bytes: &[u8]) -> Option<(Name, Self)> {
        let number = u64::from_str_radix(name.strip_prefix(RECORDS)?, 16).ok()?;
        let record: Record = serde_json::from_slice(bytes).ok()?;
        let message = record.message.parse().ok()?;
        Some(((BareJid::new(&record.from).ok()?, record.id), Self { number, is_durable: true, message }))
    }
}

/// A sender and its name of a message, as they are kept: no JID has a line break.
fn done_text((from, id): &Name) -> String {
    format!("{from}\n{id}")
}

fn done_of(name: &str, bytes: &[u8]) -> Option<(u64, Name)> {
    let number = u64::from_str_radix(name.strip_prefix(DONE)?, 16).ok()?;
    let (from, id) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    Some((number, (BareJid::new(from).ok()?, id.to_owned())))
}

impl Assured {
    /// Gives the number of one that is forgotten for it.
    fn remember(&mut self, number: u64, name: Name) -> Option<u64> {
        if !self.done.insert(name.clone()) {
            return None;
        }
        self.done_order.push_back((number, name));
        if self.done_order.len() <= limits::ASSURED_DONE_MAX {
            return None;
        }
        let (number, oldest) = self.done_order.pop_front()?;
        self.done.remove(&oldest);
        Some(number)
    }

    fn is_full(&self, from: &BareJid) -> bool {
        let own = self.kept.range((from.clone(), String::new())..).take_while(|((other, _), _)| other == from).count();
        own >= limits::ASSURED_PER_SENDER_MAX || self.kept.len() >= limits::ASSURED_MAX
    }
}

impl Hub {
    /// Takes up what was kept when an earlier run ended.
    pub(super) fn restore_assured(&mut self) {
        let kept = self.config.kept.range(RECORDS.to_owned()..).take_while(|(name, _)| name.starts_with(RECORDS));
        for (name, bytes) in kept {
            match Kept::restore(name, bytes) {
                Some((name, kept)) => _ = self.assured.kept.insert(name, kept),
                None => self.outputs.push_back(super::unreadable(name)),
            }
        }
        let done = self.config.kept.range(DONE.to_owned()..).take_while(|(name, _)| name.starts_with(DONE));
        for (number, name) in done.filter_map(|(name, bytes)| done_of(name, bytes)) {
            self.assured.remember(number, name);
        }
    }

    /// Answers a message with a promise.
    pub(super) fn handle_promise(&mut self, asker: Asker, caller: Peer, request: Request, now: Timestamp) {
        let bare = caller.bare();
        if !self.friends.is_contact(&caller) {
            let fault = StanzaFault::new(FaultKind::Cancel, Condition::NotAllowed);
            return self.refuse(&asker, &fault.with_text("Only contacts may send messages with a promise."));
        }
        match request {
            Request::Acknowledged { message } => {
                self.handle_inner(&caller, message, now);
                self.answer(&asker, None);
            }
            Request::Assured { id, message } => self.keep_assured(asker, (bare, id), message),
            Request::Deliver { id } => {
                if let Some(kept) = self.assured.kept.remove(&(bare.clone(), id.clone())) {
                    self.remember_done(kept.number, (bare, id));
                    self.handle_inner(&caller, kept.message, now);
                    let name = format!("{RECORDS}{:x}", kept.number);
                    self.outputs.push_back(Output::End { name, end: End::Delivered });
                }
                self.answer(&asker, None);
            }
        }
    }

    /// Kept in the transaction in which its custody ends.
    fn remember_done(&mut self, number: u64, name: Name) {
        let text = done_text(&name);
        let forgotten = self.assured.remember(number, name);
        self.keep(format!("{DONE}{number:016x}"), Some(text.into_bytes()));
        if let Some(forgotten) = forgotten {
            self.keep(format!("{DONE}{forgotten:016x}"), None);
        }
    }

    fn keep_assured(&mut self, asker: Asker, name: Name, message: Element) {
        let id = name.1.clone();
        let kept = self.assured.kept.get(&name).map(|kept| (kept.number, kept.is_durable));
        match kept {
            None if self.assured.done.contains(&name) => self.answer(&asker, Some(qos::received(&id))),
            Some((_, true)) => self.answer(&asker, Some(qos::received(&id))),
            Some((number, false)) => self.assured.waiting.entry(number).or_default().push((asker, id)),
            None if self.assured.is_full(&name.0) => {
                self.refuse(&asker, &StanzaFault::overload("Too many messages wait for their delivery."));
            }
            None => {
                let number = self.item();
                let record = Record { from: name.0.to_string(), id: id.clone(), message: String::from(&message) };
                let bytes = serde_json::to_vec(&record).unwrap_or_default();
                let item = Item { number, route: self.routes.of("", custody::ASSURED) };
                self.outputs.push_back(Output::Take { item, name: format!("{RECORDS}{number:x}"), bytes });
                self.assured.waiting.insert(number, vec![(asker, id)]);
                self.assured.kept.insert(name, Kept { number, is_durable: false, message });
            }
        }
    }

    /// A record would survive a crash: if it is a message that is kept, its sender is told.
    pub(super) fn assured_durable(&mut self, item: u64) {
        let Some(waiting) = self.assured.waiting.remove(&item) else { return };
        for (asker, id) in waiting {
            if let Some(from) = asker.from.as_ref().map(Jid::to_bare)
                && let Some(kept) = self.assured.kept.get_mut(&(from, id.clone()))
            {
                kept.is_durable = true;
            }
            self.answer(&asker, Some(qos::received(&id)));
        }
    }

    /// The inner message, as if its sender had sent it alone.
    fn handle_inner(&mut self, from: &Peer, message: Element, now: Timestamp) {
        let incoming = stanza::read(&qos::addressed(message, from.jid.as_str()));
        if let Kind::Message(message) = incoming.kind {
            self.handle_message(from.clone(), incoming.id.as_deref().unwrap_or_default(), message, now);
        }
    }
}
