//! Presence: who may see ours, who waits for a decision, and who is online.
//!
//! A presence subscription lets a peer find our full address; it is no permission (security-e2ee.md §1). It is approved when a rule gives
//! the bare JID anything, and waits otherwise: a stranger is not refused before the operator could say something.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jid::{BareJid, Jid};

use super::Hub;
use super::addresses::Peer;
use super::asks::Purpose;
use crate::model::{Timestamp, limits};
use crate::wire::Element;
use crate::wire::roster::{self, Subscription};
use crate::wire::stanza::{Availability, Presence, presence};

/// A person or thing, and the address of ours that it wants to see; none as a client, which has only one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contact {
    /// Who.
    pub jid: BareJid,
    /// Whom.
    pub at: Option<BareJid>,
}

impl fmt::Display for Contact {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(out, "{} for {at}", self.jid),
            None => self.jid.fmt(out),
        }
    }
}

impl Contact {
    fn of(peer: &Peer) -> Self {
        Self { jid: peer.bare(), at: peer.at.as_ref().map(Jid::to_bare) }
    }

    fn peer(&self) -> Peer {
        Peer { jid: self.jid.clone().into(), at: self.at.clone().map(Jid::from) }
    }
}

/// What is known of peers.
#[derive(Debug, Default)]
pub(super) struct Friends {
    /// Full JIDs that are online, and whether they are slixmpp.
    online: BTreeMap<Peer, bool>,
    waiting: BTreeSet<Contact>,
    roster: BTreeMap<Contact, Subscription>,
}

impl Friends {
    pub(super) fn is_slixmpp(&self, peer: &Jid) -> bool {
        let own = self.online.range(Peer::first_of(peer)..).take_while(|(one, _)| one.jid == *peer);
        own.into_iter().any(|(_, is_slixmpp)| *is_slixmpp)
    }

    pub(super) fn online(&self) -> usize {
        self.online.len()
    }

    pub(super) fn all_unknown(&mut self) {
        self.online.clear();
    }

    pub(super) fn waiting(&self) -> &BTreeSet<Contact> {
        &self.waiting
    }

    /// At which of our addresses somebody is a contact.
    pub(super) fn contacts_of(&self, who: &BareJid) -> Vec<Contact> {
        self.roster.keys().filter(|contact| contact.jid == *who).cloned().collect()
    }

    /// A resource of an account that is online.
    pub(super) fn resource_of(&self, account: &BareJid) -> Option<&Jid> {
        let first = Peer::first_of(&account.clone().into());
        self.online
            .range(first..)
            .map(|(peer, _)| &peer.jid)
            .find(|jid| jid.to_bare() >= *account)
            .filter(|jid| jid.to_bare() == *account)
    }

    /// Whether the peer is in our contact list, either way.
    pub(super) fn is_contact(&self, peer: &Peer) -> bool {
        matches!(self.roster.get(&Contact::of(peer)), Some(Subscription::To | Subscription::From | Subscription::Both))
    }

    /// Whether the peer is sent our presence.
    pub(super) fn is_seeing_us(&self, peer: &Peer) -> bool {
        matches!(self.roster.get(&Contact::of(peer)), Some(Subscription::From | Subscription::Both))
    }

    /// Whether we are sent the peer's presence.
    pub(super) fn sees(&self, contact: &Contact) -> bool {
        matches!(self.roster.get(contact), Some(Subscription::To | Subscription::Both))
    }
}

impl Hub {
    /// Says that we are here, and asks who our contacts are.
    pub(super) fn greet(&mut self, now: Timestamp) {
        self.friends.all_unknown();
        if self.config.component.is_some() {
            return;
        }
        self.ask_peer(None, false, roster::get(), Purpose::Roster, now);
        self.announce(now);
    }

    /// The contact list, or a change of it; the caller has checked that it comes from our own server.
    pub(super) fn roster_changed(&mut self, items: Vec<roster::Item>) {
        for item in items {
            let contact = Contact { jid: item.jid, at: None };
            match item.subscription {
                Subscription::Remove => _ = self.friends.roster.remove(&contact),
                _ if self.friends.roster.len() < limits::CONTACTS_MAX || self.friends.roster.contains_key(&contact) => {
                    self.friends.roster.insert(contact, item.subscription);
                }
                _ => {}
            }
        }
    }

    /// Presence of a peer.
    pub(super) fn presence_changed(&mut self, from: &Peer, what: &Presence, now: Timestamp) {
        let contact = Contact::of(from);
        match what {
            Presence::Available { caps } => {
                let is_slixmpp = caps.as_ref().is_some_and(|caps| caps.is_slixmpp());
                if self.friends.online.len() < limits::CONTACTS_MAX || self.friends.online.contains_key(from) {
                    let before = self.friends.online.insert(from.clone(), is_slixmpp);
                    if before.is_none() {
                        self.recipient_here(&from.bare(), now);
                    }
                }
                self.subscriber_back(from, now);
            }
            Presence::Unavailable => self.peer_away(from, now),
            Presence::Subscribe => self.asked_for_presence(contact),
            Presence::Subscribed => {}
            Presence::Unsubscribe => {
                self.friends.waiting.remove(&contact);
                self.send_presence(Availability::Unsubscribed, &contact, []);
                if self.friends.sees(&contact) {
                    self.send_presence(Availability::Unsubscribe, &contact, []);
                }
                self.drop_peer(&contact.peer());
            }
            // Who only declines to show its own presence keeps what it has: many clients decline whatever they do not know.
            Presence::Unsubscribed if self.friends.sees(&contact) => self.drop_peer(&contact.peer()),
            Presence::Unsubscribed | Presence::Error | Presence::Other => {}
        }
    }

    fn asked_for_presence(&mut self, contact: Contact) {
        let decided = self.decisions.of(&contact.jid);
        if self.is_welcome(&contact.jid) || decided == Some(true) {
            self.approve(&contact);
        } else if decided == Some(false) {
            self.decline(&contact);
        } else if self.friends.waiting.len() < limits::WAITING_MAX {
            self.friends.waiting.insert(contact);
        }
    }

    /// Refuses, or takes back.
    pub(super) fn decline(&mut self, contact: &Contact) {
        self.friends.waiting.remove(contact);
        self.send_presence(Availability::Unsubscribed, contact, []);
    }

    pub(super) fn approve(&mut self, contact: &Contact) {
        self.friends.waiting.remove(contact);
        self.send_presence(Availability::Subscribed, contact, []);
        if !self.friends.sees(contact) {
            // Its presence tells when it comes and goes, and which client it is.
            self.send_presence(Availability::Subscribe, contact, []);
        }
    }

    fn send_presence(&mut self, what: Availability, contact: &Contact, children: impl IntoIterator<Item = Element>) {
        let Peer { jid, at } = contact.peer();
        self.send_from(at.as_ref(), presence(what, Some(&jid), children));
    }

    /// Rules changed: those who waited may be welcome now.
    pub(super) fn reconsider_waiting(&mut self) {
        let known = self.friends.waiting.iter().filter(|contact| self.is_welcome(&contact.jid)).cloned();
        for contact in known.collect::<Vec<_>>() {
            self.approve(&contact);
        }
    }

    /// A peer, or with a bare JID all of it, went offline.
    fn peer_away(&mut self, peer: &Peer, now: Timestamp) {
        let is_gone = |one: &Peer| peer.concerns(one);
        self.friends.online.retain(|one, _| !is_gone(one));
        for jid in self.subscribers(is_gone) {
            self.subscriber_away(&jid, now);
        }
        self.drop_readouts(is_gone);
        self.drop_watches(is_gone);
        self.queues_lose(peer, now);
        self.drop_queries(is_gone);
    }

    /// A peer, or with a bare JID all of it, wants nothing any more or cannot be reached.
    pub(super) fn drop_peer(&mut self, peer: &Peer) {
        let is_gone = |one: &Peer| peer.concerns(one);
        self.drop_readouts(is_gone);
        self.drop_subscriptions(is_gone);
        self.drop_watches(is_gone);
        self.drop_queries(is_gone);
    }
}
