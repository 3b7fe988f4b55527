//! Presence: who may see ours, who waits for a decision, and who is online.
//!
//! A presence subscription lets a peer find our full address; it is no permission (security-e2ee.md §1). It is approved when a rule gives
//! the bare JID anything, and waits otherwise: a stranger is not refused before the operator could say something.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jid::{BareJid, Jid};

use super::addresses::Peer;
use super::asks::Purpose;
use super::{Hub, Output};
use crate::model::{Timestamp, limits};
use crate::wire::Element;
use crate::wire::roster::{self, Subscription};
use crate::wire::stanza::{self, Availability, Condition, FaultKind, Presence, StanzaFault, presence};

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
    pub(super) fn of(peer: &Peer) -> Self {
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
    /// By address of ours, those who see it; as a client there is only one.
    watchers: BTreeMap<BareJid, BTreeSet<BareJid>>,
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
        self.is_shown(&Contact::of(peer))
    }

    /// The resources of a peer that are online; what each can do is not remembered.
    pub(super) fn resources(&self, peer: &BareJid) -> BTreeMap<Jid, Option<String>> {
        self.online.keys().filter(|one| one.bare() == *peer).map(|one| (one.jid.clone(), None)).collect()
    }

    /// Whether the peer is sent our presence.
    pub(super) fn is_shown(&self, contact: &Contact) -> bool {
        matches!(self.roster.get(contact), Some(Subscription::From | Subscription::Both))
    }

    /// Whether we are sent the peer's presence.
    pub(super) fn sees(&self, contact: &Contact) -> bool {
        self.subscription(contact).is_some_and(Subscription::shows_theirs)
    }

    pub(super) fn subscription(&self, contact: &Contact) -> Option<Subscription> {
        self.roster.get(contact).copied()
    }

    pub(super) fn contacts(&self) -> usize {
        self.roster.len()
    }

    pub(super) fn all(&self) -> Vec<(Contact, Subscription)> {
        self.roster.iter().map(|(contact, subscription)| (contact.clone(), *subscription)).collect()
    }

    /// Who sees an address of ours.
    pub(super) fn watchers(&self, at: &BareJid) -> Vec<BareJid> {
        self.watchers.get(at).into_iter().flatten().cloned().collect()
    }

    pub(super) fn put(&mut self, contact: Contact, subscription: Subscription) {
        self.drop(&contact);
        if let Some(at) = contact.at.clone().filter(|_| subscription.shows_ours()) {
            self.watchers.entry(at).or_default().insert(contact.jid.clone());
        }
        self.roster.insert(contact, subscription);
    }

    pub(super) fn drop(&mut self, contact: &Contact) {
        self.roster.remove(contact);
        let Some(at) = &contact.at else { return };
        if let Some(jids) = self.watchers.get_mut(at) {
            jids.remove(&contact.jid);
            if jids.is_empty() {
                self.watchers.remove(at);
            }
        }
    }

    /// Remembers that a request waits, if there is room: one asker must not keep all others out.
    pub(super) fn wait(&mut self, contact: Contact) -> bool {
        let from = Contact { jid: contact.jid.clone(), at: None };
        let own = self.waiting.range(from..).take_while(|one| one.jid == contact.jid).count();
        let has_room = self.waiting.len() < limits::WAITING_MAX && own < limits::WAITING_PER_JID_MAX;
        has_room && self.waiting.insert(contact)
    }
}

impl Hub {
    /// Says that we are here, and asks who our contacts are.
    pub(super) fn greet(&mut self, now: Timestamp) {
        self.friends.all_unknown();
        if self.config.component.is_some() {
            return self.greet_contacts();
        }
        self.ask_peer(None, false, roster::get(), Purpose::Roster, now);
        self.announce(now);
    }

    /// The whole contact list at the begin of a session. What our server forgot, as some do in a crash, is forgotten by us, or we would not
    /// ask for it again.
    pub(super) fn roster_told(&mut self, items: Vec<roster::Item>) {
        let told: BTreeSet<&BareJid> = items.iter().map(|item| &item.jid).collect();
        let is_forgotten = |contact: &Contact| contact.at.is_none() && !told.contains(&contact.jid);
        let forgotten: Vec<Contact> = self.friends.roster.keys().filter(|one| is_forgotten(one)).cloned().collect();
        forgotten.iter().for_each(|contact| self.friends.drop(contact));
        self.roster_changed(items);
    }

    /// Contacts that were added or changed; the caller has checked that this comes from our own server.
    pub(super) fn roster_changed(&mut self, items: Vec<roster::Item>) {
        for item in items {
            let contact = Contact { jid: item.jid, at: None };
            match item.subscription {
                Subscription::Remove => self.friends.drop(&contact),
                _ if self.friends.roster.len() < limits::CONTACTS_MAX || self.friends.roster.contains_key(&contact) => {
                    self.friends.put(contact, item.subscription);
                }
                _ => {}
            }
        }
    }

    /// Presence of a peer.
    pub(super) fn presence_changed(&mut self, from: &Peer, what: &Presence, now: Timestamp) {
        let contact = Contact::of(from);
        self.remote_presence(&from.jid, what, now);
        match what {
            Presence::Available { caps, .. } => {
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
            Presence::Subscribed => self.change_contact(&contact, Subscription::with_theirs),
            Presence::Probe => self.probed(&contact, &from.jid),
            Presence::Unsubscribe => {
                self.no_longer_waits(&contact);
                self.send_presence(Availability::Unsubscribed, &contact, []);
                if self.friends.sees(&contact) {
                    self.send_presence(Availability::Unsubscribe, &contact, []);
                }
                self.change_contact(&contact, |_| Subscription::None);
                self.drop_peer(&contact.peer());
            }
            // Who only declines to show its own presence keeps what it has: many clients decline whatever they do not know.
            Presence::Unsubscribed if self.friends.sees(&contact) => {
                self.change_contact(&contact, Subscription::without_theirs);
                self.drop_peer(&contact.peer());
            }
            Presence::Unsubscribed | Presence::Error | Presence::Other => {}
        }
    }

    fn asked_for_presence(&mut self, contact: Contact) {
        // Whoever is mirrored or asked must be able to tell when we come and go; that allows it nothing.
        let is_ours_to_find = self.mirrors.names(&contact.jid) || self.http.leads_to(&contact.jid);
        if self.is_welcome_at(&contact) || is_ours_to_find {
            self.approve(&contact);
        } else if self.decisions.of(&contact.jid) == Some(false) {
            self.decline(&contact);
        } else if self.is_there(&contact) && self.friends.wait(contact.clone()) {
            self.keep_contact(&contact);
        }
    }

    fn no_longer_waits(&mut self, contact: &Contact) {
        if self.friends.waiting.remove(contact) {
            self.keep_contact(contact);
        }
    }

    /// Refuses, or takes back.
    pub(super) fn decline(&mut self, contact: &Contact) {
        self.no_longer_waits(contact);
        self.send_presence(Availability::Unsubscribed, contact, []);
        if contact.at.is_some() && self.friends.subscription(contact).is_some_and(Subscription::shows_ours) {
            self.send_presence(Availability::Unavailable, contact, []);
            self.change_contact(contact, Subscription::without_ours);
        }
    }

    pub(super) fn approve(&mut self, contact: &Contact) {
        self.no_longer_waits(contact);
        self.send_presence(Availability::Subscribed, contact, []);
        self.change_contact(contact, Subscription::with_ours);
        self.show(contact, &contact.jid.clone().into());
        if !self.friends.sees(contact) {
            // Its presence tells when it comes and goes, and which client it is.
            self.send_presence(Availability::Subscribe, contact, []);
        }
    }

    pub(super) fn send_presence(
        &mut self,
        what: Availability,
        contact: &Contact,
        children: impl IntoIterator<Item = Element>,
    ) {
        let Peer { jid, at } = contact.peer();
        self.send_from(at.as_ref(), presence(what, Some(&jid), children));
    }

    /// Rules changed: those who waited may be welcome now.
    pub(super) fn reconsider_waiting(&mut self) {
        let known = self.friends.waiting.iter().filter(|contact| self.is_welcome_at(contact)).cloned();
        for contact in known.collect::<Vec<_>>() {
            self.approve(&contact);
        }
    }

    /// A peer, or with a bare JID all of it, went offline.
    pub(super) fn peer_away(&mut self, peer: &Peer, now: Timestamp) {
        let is_gone = |one: &Peer| peer.concerns(one);
        self.friends.online.retain(|one, _| !is_gone(one));
        for jid in self.subscribers(is_gone) {
            self.subscriber_away(&jid, now);
        }
        self.drop_readouts(is_gone);
        self.drop_watches(is_gone);
        self.queues_lose(peer, now);
        self.drop_queries(is_gone);
        self.drop_follows(is_gone);
    }

    /// What we sent came back. Who is not there is away, and may come back; who refuses is left alone. What was promised is not lost.
    pub(super) fn bounced(&mut self, from: &Peer, id: &str, fault: &StanzaFault, now: Timestamp) {
        match fault.condition {
            _ if fault.kind == FaultKind::Wait => self.pause_giving(&from.bare(), now),
            Condition::RecipientUnavailable
            | Condition::ServiceUnavailable
            | Condition::RemoteServerNotFound
            | Condition::RemoteServerTimeout => self.peer_away(from, now),
            _ => self.drop_peer(from),
        }
        if let Some(number) = stanza::number_of(id) {
            self.outputs.push_back(Output::Recall { number, from: from.jid.clone() });
        }
    }

    /// A peer, or with a bare JID all of it, wants nothing any more or cannot be reached.
    pub(super) fn drop_peer(&mut self, peer: &Peer) {
        let is_gone = |one: &Peer| peer.concerns(one);
        self.drop_readouts(is_gone);
        self.drop_subscriptions(is_gone);
        self.drop_watches(is_gone);
        self.drop_queries(is_gone);
        self.drop_follows(is_gone);
    }
}
