//! One remote: how far we are with it, and what is known of it.
//!
//! Owns its epochs, its retries and its one timer. Every loss begins a new *epoch*: answers of an older one mean nothing, except to the mapper
//! whose request they end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jid::{BareJid, Jid};

use super::entry::Mirror;
use super::jobs::Job;
use super::order::Order;
use super::thing::Thing;
use crate::hub::Hub;
use crate::hub::timers::Timer;
use crate::model::{Failure, NodeRef, NodeState, ReasonCode, Timestamp, limits};
use crate::wire::Dialect;

/// Somebody whose things are mirrored.
#[derive(Debug)]
pub(super) struct Remote {
    number: u64,
    /// Full JIDs that are online, and the hash of what each can do.
    pub(super) here: BTreeMap<Jid, Option<String>>,
    /// Where we met it last, unless it said that it goes: it may be there although no presence reaches us.
    pub(super) last: Option<Jid>,
    /// Those of them that are nothing for us.
    pub(super) unsuitable: BTreeSet<Jid>,
    /// It does not want us to see its presence.
    pub(super) is_refused: bool,
    pub(super) epoch: u64,
    pub(super) peer: Option<Peer>,
    pub(super) queue: VecDeque<Job>,
    pub(super) under_way: usize,
    pub(super) readouts: BTreeMap<String, Readout>,
    pub(super) things: BTreeMap<NodeRef, Thing>,
    /// Things to be read, asked for their form, subscribed to.
    pub(super) unread: BTreeSet<NodeRef>,
    pub(super) unformed: BTreeSet<NodeRef>,
    pub(super) unsubscribed: BTreeSet<NodeRef>,
    pub(super) round: u64,
    pub(super) browsed: usize,
    pub(super) attempts: u32,
    pub(super) retry_at: Option<Timestamp>,
    pub(super) renew_at: Option<Timestamp>,
    pub(super) poll_at: Option<Timestamp>,
    /// When published things grow stale.
    pub(super) stale_at: Option<Timestamp>,
    /// A room that hides who is in it, where that was to be known.
    pub(super) is_anonymous: bool,
    armed: Option<Timestamp>,
    /// Complaints that were made already.
    said: BTreeSet<&'static str>,
}

/// The resource that we deal with.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) address: Jid,
    pub(super) dialect: Dialect,
    /// Discovery has answered.
    pub(super) is_met: bool,
    pub(super) is_concentrator: bool,
    pub(super) has_events: bool,
    pub(super) has_control: bool,
    pub(super) subscriptions: BTreeMap<String, Vec<NodeRef>>,
    /// Nodes that tell nothing by themselves.
    pub(super) polled: BTreeSet<NodeRef>,
    /// Data sources that are mirrored, beside the union of them.
    pub(super) sources: BTreeSet<String>,
    /// Data sources that tell us what happens to their nodes.
    pub(super) watched: BTreeSet<String>,
    /// Browses that have not ended, and whether one of them failed.
    pub(super) browsing: usize,
    pub(super) is_patchy: bool,
}

/// A readout of ours under way.
#[derive(Debug)]
pub(super) struct Readout {
    pub(super) nodes: Vec<NodeRef>,
    pub(super) order: Option<Order>,
    pub(super) deadline: Timestamp,
    pub(super) error: Option<String>,
}

impl Remote {
    fn new(number: u64) -> Self {
        Self {
            number,
            here: BTreeMap::new(),
            last: None,
            unsuitable: BTreeSet::new(),
            is_refused: false,
            epoch: 0,
            peer: None,
            queue: VecDeque::new(),
            under_way: 0,
            readouts: BTreeMap::new(),
            things: BTreeMap::new(),
            unread: BTreeSet::new(),
            unformed: BTreeSet::new(),
            unsubscribed: BTreeSet::new(),
            round: 0,
            browsed: 0,
            attempts: 0,
            retry_at: None,
            renew_at: None,
            poll_at: None,
            stale_at: None,
            is_anonymous: false,
            armed: None,
            said: BTreeSet::new(),
        }
    }

    pub(super) fn peer_if_there(&self) -> Option<&Peer> {
        self.peer.as_ref().filter(|peer| peer.is_met)
    }

    pub(super) fn state_for_people(&self) -> &'static str {
        match &self.peer {
            Some(peer) if !peer.is_met || peer.browsing > 0 => "met",
            Some(_) => "present",
            None if self.is_refused => "refused",
            None if !self.here.is_empty() && self.here.keys().all(|jid| self.unsuitable.contains(jid)) => "unsuitable",
            None => "away",
        }
    }

    /// A thing that tells nothing by itself is to be read again.
    pub(super) fn read_again(&mut self, node: &NodeRef) {
        let is_polled = |peer: &Peer| peer.polled.contains(node) || peer.polled.contains(&NodeRef::default());
        if self.peer.as_ref().is_some_and(is_polled) {
            self.unread.insert(node.clone());
        }
    }

    /// How many fields it may still bring.
    pub(super) fn room(&self) -> usize {
        let fields: usize = self.things.values().map(|thing| thing.node.fields.len()).sum();
        limits::MIRRORED_FIELDS_PER_REMOTE_MAX.saturating_sub(fields)
    }

    /// Ends everything that is under way; gives the mappers' requests that end with it.
    fn forget(&mut self) -> Vec<Order> {
        self.epoch += 1;
        (self.peer, self.under_way) = (None, 0);
        (self.renew_at, self.poll_at) = (None, None);
        self.unread.clear();
        self.unformed.clear();
        self.unsubscribed.clear();
        let queued = std::mem::take(&mut self.queue).into_iter().filter_map(|job| match job {
            Job::Set { order, .. } => Some(order),
            Job::Read { order, .. } => order,
            _ => None,
        });
        queued.chain(std::mem::take(&mut self.readouts).into_values().filter_map(|readout| readout.order)).collect()
    }

    pub(super) fn retry_after(&mut self, now: Timestamp) {
        let delay =
            limits::MIRROR_RETRY_MS.checked_shl(self.attempts).unwrap_or(u64::MAX).min(limits::MIRROR_RETRY_MS_MAX);
        self.attempts = (self.attempts + 1).min(20);
        self.retry_at = Some(now.plus_ms(delay));
    }

    /// It did what it should: the next trouble is the first one again.
    pub(super) fn is_well(&mut self) {
        self.attempts = 0;
    }

    fn due(&self) -> Option<Timestamp> {
        let readouts = self.readouts.values().map(|readout| readout.deadline);
        readouts.chain(self.retry_at).chain(self.renew_at).chain(self.poll_at).chain(self.stale_at).min()
    }
}

impl Hub {
    /// The operator's entries changed: remotes come and go with them.
    pub(super) fn remotes_changed(&mut self, touched: &BTreeSet<BareJid>, now: Timestamp) {
        for jid in touched {
            self.unsubscribe_at(jid, now);
            if self.all_entries_of(jid).next().is_none() {
                self.abandon(jid);
                continue;
            }
            // Another pattern may mean other nodes.
            self.lose(jid, "The operator changed what is mirrored.", now);
            if !self.mirrors.remotes.contains_key(jid) {
                let number = self.number();
                let mut remote = Remote::new(number);
                remote.here = self.friends.resources(jid);
                self.mirrors.remotes.insert(jid.clone(), remote);
            }
            self.drop_unwanted(jid);
            self.approach(jid, now);
        }
    }

    /// Published things that no entry means any more; of what is asked, the next look decides.
    fn drop_unwanted(&mut self, jid: &BareJid) {
        let wanted: Vec<Mirror> = self.all_entries_of(jid).cloned().collect();
        self.drop_published(jid, |name| !wanted.iter().any(|entry| entry.covers(name)));
    }

    /// Nobody wants anything of it any more.
    fn abandon(&mut self, jid: &BareJid) {
        let Some(mut remote) = self.mirrors.remotes.remove(jid) else { return };
        if let Some(at) = remote.armed {
            self.timers.cancel(at, Timer::Remote(remote.number));
        }
        for order in remote.forget() {
            self.order_ended(&order, Err(Failure::new(ReasonCode::Closed, "the thing is not mirrored any more")));
        }
        for name in remote.things.into_keys() {
            self.hide_thing(jid, &name);
        }
    }

    /// A new session of ours: whatever was agreed with anybody is void, except with ourselves.
    pub(in crate::hub) fn mirrors_lost(&mut self, now: Timestamp) {
        self.mirrors.is_begun = false;
        self.services_lost(now);
        let jids: Vec<BareJid> = self.mirrors.remotes.keys().cloned().collect();
        for jid in jids {
            let is_own = self.is_our_account(&jid);
            let Some(remote) = self.mirrors.remotes.get_mut(&jid) else { continue };
            if is_own && remote.peer.is_some() {
                continue;
            }
            remote.here.clear();
            remote.unsuitable.clear();
            (remote.is_refused, remote.attempts, remote.retry_at) = (false, 0, None);
            self.lose(&jid, "The connection to the server was lost.", now);
        }
    }

    /// Our contacts are known: we go looking for our remotes.
    pub(in crate::hub) fn mirrors_begin(&mut self, now: Timestamp) {
        self.mirrors.is_begun = true;
        let jids: Vec<BareJid> = self.mirrors.remotes.keys().cloned().collect();
        for jid in jids {
            self.approach(&jid, now);
        }
        self.services_begin(now);
    }

    /// It cannot be reached, or we begin anew: its things are offline until it is met again.
    pub(super) fn lose(&mut self, jid: &BareJid, why: &str, now: Timestamp) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let orders = remote.forget();
        let mut changed = Vec::new();
        for (name, thing) in &mut remote.things {
            (thing.is_unread, thing.is_unformed) = (false, false);
            if std::mem::replace(&mut thing.node.state, NodeState::Offline) != NodeState::Offline {
                changed.push(name.clone());
            }
        }
        for order in orders {
            self.order_ended(&order, Err(Failure::new(ReasonCode::Closed, why)));
        }
        changed.iter().for_each(|name| self.show_thing(jid, name));
        self.set_alarm(jid, now);
    }

    /// The same, and it is tried again later.
    pub(super) fn lose_for_a_while(&mut self, jid: &BareJid, why: &str, now: Timestamp) {
        self.lose(jid, why, now);
        if let Some(remote) = self.mirrors.remotes.get_mut(jid) {
            remote.retry_after(now);
        }
        self.set_alarm(jid, now);
    }

    /// Whatever of a remote is due.
    pub(in crate::hub) fn remote_due(&mut self, number: u64, now: Timestamp) {
        let found = self.mirrors.remotes.iter_mut().find(|(_, remote)| remote.number == number);
        let Some((jid, remote)) = found.map(|(jid, remote)| (jid.clone(), remote)) else { return };
        remote.armed = None;
        let is_past = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        if is_past(remote.retry_at) {
            remote.retry_at = None;
            remote.unsuitable.clear();
            self.meet(&jid, now);
        }
        let Some(remote) = self.mirrors.remotes.get(&jid) else { return };
        let (is_renewal, is_poll, is_stale) =
            (is_past(remote.renew_at), is_past(remote.poll_at), is_past(remote.stale_at));
        if is_stale {
            self.grow_stale(&jid, now);
        }
        if is_renewal {
            self.renew(&jid, now);
        }
        if is_poll {
            self.poll(&jid);
        }
        self.end_overdue_readouts(&jid, now);
        self.ask_more(&jid, now);
    }

    /// One timer for each remote, at the earliest of what is due.
    pub(super) fn set_alarm(&mut self, jid: &BareJid, now: Timestamp) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let due = remote.due().map(|due| due.max(now));
        if due == remote.armed {
            return;
        }
        if let Some(before) = std::mem::replace(&mut remote.armed, due) {
            self.timers.cancel(before, Timer::Remote(remote.number));
        }
        if let Some(due) = due {
            self.timers.set(due, Timer::Remote(remote.number));
        }
    }

    /// Says something of a remote once, in the log of the bridges that it is mirrored to.
    pub(super) fn say_once(&mut self, jid: &BareJid, what: &'static str) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid).filter(|remote| !remote.said.contains(what)) else {
            return;
        };
        remote.said.insert(what);
        let bridges =
            self.mirrors.shows.iter().filter(|(_, show)| show.wants_any(jid)).map(|(bridge, _)| bridge.clone());
        for bridge in bridges.collect::<Vec<_>>() {
            self.complain(&bridge, format!("mirror: {what}; said once"));
        }
    }
}
