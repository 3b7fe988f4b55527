//! Presence: who may see ours, who waits for a decision, and who is online.
//!
//! A presence subscription lets a peer find our full address; it is no permission (security-e2ee.md §1). It is approved when a rule gives
//! the bare JID anything, and waits otherwise: a stranger is not refused before the operator could say something.

use std::collections::{BTreeMap, BTreeSet};

use jid::{BareJid, Jid};

use super::Hub;
use super::asks::Purpose;
use crate::model::{Timestamp, limits};
use crate::wire::roster::{self, Subscription};
use crate::wire::stanza::{Availability, Presence, presence};

/// What is known of peers.
#[derive(Debug, Default)]
pub(super) struct Friends {
    /// Full JIDs that are online, and whether they are slixmpp.
    online: BTreeMap<Jid, bool>,
    waiting: BTreeSet<BareJid>,
    roster: BTreeMap<BareJid, Subscription>,
}

impl Friends {
    pub(super) fn is_slixmpp(&self, peer: &Jid) -> bool {
        self.online.get(peer).copied().unwrap_or_default()
    }

    pub(super) fn online(&self) -> usize {
        self.online.len()
    }

    pub(super) fn all_unknown(&mut self) {
        self.online.clear();
    }

    pub(super) fn waiting(&self) -> &BTreeSet<BareJid> {
        &self.waiting
    }

    /// Whether we are sent the peer's presence.
    pub(super) fn sees(&self, peer: &BareJid) -> bool {
        matches!(self.roster.get(peer), Some(Subscription::To | Subscription::Both))
    }
}

impl Hub {
    /// Says that we are here, and asks who our contacts are.
    pub(super) fn greet(&mut self, now: Timestamp) {
        self.friends.all_unknown();
        self.ask_peer(None, false, roster::get(), Purpose::Roster, now);
        let caps = self.caps().to_element();
        self.send(presence(Availability::Available, None, [caps]));
    }

    /// The contact list, or a change of it; the caller has checked that it comes from our own server.
    pub(super) fn roster_changed(&mut self, items: Vec<roster::Item>) {
        for item in items {
            match item.subscription {
                Subscription::Remove => _ = self.friends.roster.remove(&item.jid),
                _ if self.friends.roster.len() < limits::CONTACTS_MAX
                    || self.friends.roster.contains_key(&item.jid) =>
                {
                    self.friends.roster.insert(item.jid, item.subscription);
                }
                _ => {}
            }
        }
    }

    /// Presence of a peer.
    pub(super) fn presence_changed(&mut self, from: &Jid, what: &Presence, now: Timestamp) {
        let bare = from.to_bare();
        match what {
            Presence::Available { caps } => {
                let is_slixmpp = caps.as_ref().is_some_and(|caps| caps.is_slixmpp());
                if self.friends.online.len() < limits::CONTACTS_MAX || self.friends.online.contains_key(from) {
                    self.friends.online.insert(from.clone(), is_slixmpp);
                }
                self.subscriber_back(from, now);
            }
            Presence::Unavailable => self.peer_away(from, now),
            Presence::Subscribe => self.asked_for_presence(bare),
            Presence::Subscribed => {}
            Presence::Unsubscribe => {
                self.friends.waiting.remove(&bare);
                self.send(presence(Availability::Unsubscribed, Some(&bare.clone().into()), []));
                if self.friends.sees(&bare) {
                    self.send(presence(Availability::Unsubscribe, Some(&bare.clone().into()), []));
                }
                self.drop_peer(&bare.into());
            }
            // Who only declines to show its own presence keeps what it has: many clients decline whatever they do not know.
            Presence::Unsubscribed if self.friends.sees(&bare) => self.drop_peer(&bare.into()),
            Presence::Unsubscribed | Presence::Error | Presence::Other => {}
        }
    }

    fn asked_for_presence(&mut self, bare: BareJid) {
        if self.config.policy.knows(&bare) {
            self.approve(&bare);
        } else if self.friends.waiting.len() < limits::WAITING_MAX {
            self.friends.waiting.insert(bare);
        }
    }

    fn approve(&mut self, bare: &BareJid) {
        self.friends.waiting.remove(bare);
        let to = Jid::from(bare.clone());
        self.send(presence(Availability::Subscribed, Some(&to), []));
        if !self.friends.sees(bare) {
            // Its presence tells when it comes and goes, and which client it is.
            self.send(presence(Availability::Subscribe, Some(&to), []));
        }
    }

    /// Rules changed: those who waited may be welcome now.
    pub(super) fn reconsider_waiting(&mut self) {
        let known = self.friends.waiting.iter().filter(|bare| self.config.policy.knows(bare)).cloned();
        for bare in known.collect::<Vec<_>>() {
            self.approve(&bare);
        }
    }

    /// A peer, or with a bare JID all of it, went offline.
    fn peer_away(&mut self, peer: &Jid, now: Timestamp) {
        let is_gone = |jid: &Jid| concerns(peer, jid);
        let gone: Vec<Jid> = self.friends.online.keys().filter(|jid| is_gone(jid)).cloned().collect();
        for jid in &gone {
            self.friends.online.remove(jid);
        }
        for jid in self.subscribers(is_gone) {
            self.subscriber_away(&jid, now);
        }
        self.drop_readouts(is_gone);
        self.drop_watches(is_gone);
    }

    /// A peer, or with a bare JID all of it, wants nothing any more or cannot be reached.
    pub(super) fn drop_peer(&mut self, peer: &Jid) {
        let is_gone = |jid: &Jid| concerns(peer, jid);
        self.drop_readouts(is_gone);
        self.drop_subscriptions(is_gone);
        self.drop_watches(is_gone);
    }
}

/// Whether what is said of a peer is said of this JID: a bare one speaks for all its resources.
fn concerns(peer: &Jid, jid: &Jid) -> bool {
    match peer.is_full() {
        true => peer == jid,
        false => peer.to_bare() == jid.to_bare(),
    }
}
