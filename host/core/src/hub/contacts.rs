//! The contacts of a component: who sees the presence of which of its addresses. A server keeps this for its accounts, for nobody else.
//!
//! Owns what is kept of it over restarts, and what those who see an address are told: the domain is there as long as we are, a node as
//! long as its device is not known to be offline. A request for the presence of an address asks for what stands there: it is approved
//! when a rule lets the asker see it (of the domain: anything), waits otherwise, and of an address where nothing stands nobody is told
//! anything, so that waiting and nothing look the same. Whoever a rule stops showing an address to, does not see it any more.

use jid::{BareJid, Jid};

use super::friends::Contact;
use super::registry::NodeKey;
use super::{Hub, Output};
use crate::model::{NodeState, limits};
use crate::wire::Element;
use crate::wire::roster::Subscription;
use crate::wire::stanza::{Availability, presence, sent_from, status};

/// Begins the names of what is kept.
const KEPT: &str = "contact/";
/// Kept for one whose request waits; a subscription is kept by its own word.
const WAITING: &str = "waiting";

impl Hub {
    /// Takes over what an earlier run kept.
    pub(super) fn recall_contacts(&mut self) {
        if self.config.component.is_none() {
            return;
        }
        let kept: Vec<(Contact, String)> = self
            .config
            .kept
            .iter()
            .filter_map(|(name, bytes)| Some((contact(name)?, String::from_utf8(bytes.clone()).ok()?)))
            .collect();
        for (contact, word) in kept {
            match Subscription::from_word(&word) {
                Some(subscription) => self.friends.put(contact, subscription),
                None if word == WAITING => _ = self.friends.wait(contact),
                None => {}
            }
        }
    }

    /// Whether somebody may see the presence of an address of ours: a rule lets it see what stands there, or an admin allowed it.
    pub(super) fn is_welcome_at(&self, contact: &Contact) -> bool {
        let at = contact.at.clone().map(Jid::from);
        let by_rule = match self.seat(at.as_ref()) {
            Ok(None) => self.is_welcome(&contact.jid),
            Ok(Some(_)) => self.seat_seen(&self.config.policy.of(&contact.jid), at.as_ref()).is_ok(),
            Err(_) => return false,
        };
        by_rule || self.decisions.of(&contact.jid) == Some(true)
    }

    /// Whether anything stands at the address.
    pub(super) fn is_there(&self, contact: &Contact) -> bool {
        self.seat(contact.at.clone().map(Jid::from).as_ref()).is_ok()
    }

    /// Writes down what is known of a contact now. A server does so for its accounts.
    pub(super) fn keep_contact(&mut self, contact: &Contact) {
        let Some(at) = &contact.at else { return };
        let word = self.friends.subscription(contact).map(Subscription::as_word);
        let word = word.or_else(|| self.friends.waiting().contains(contact).then_some(WAITING));
        let name = format!("{KEPT}{} {at}", contact.jid);
        self.outputs.push_back(Output::Keep { item: None, name, bytes: word.map(|word| word.as_bytes().to_vec()) });
    }

    /// One half of a subscription is other than before; as a client, our server tells us.
    pub(super) fn change_contact(&mut self, contact: &Contact, change: impl FnOnce(Subscription) -> Subscription) {
        if contact.at.is_none() {
            return;
        }
        let before = self.friends.subscription(contact);
        match change(before.unwrap_or(Subscription::None)) {
            Subscription::None | Subscription::Remove => self.friends.drop(contact),
            _ if before.is_none() && self.friends.contacts() >= limits::CONTACTS_MAX => return,
            after => self.friends.put(contact.clone(), after),
        }
        if before != self.friends.subscription(contact) {
            self.keep_contact(contact);
        }
    }

    /// Tells everybody who sees an address of ours how it is, and asks those whose presence we see for theirs.
    pub(super) fn greet_contacts(&mut self) {
        for (contact, subscription) in self.friends.all() {
            if subscription.shows_ours() {
                self.show(&contact, &contact.jid.clone().into());
            }
            if subscription.shows_theirs() {
                self.send_presence(Availability::Probe, &contact, []);
            }
        }
    }

    /// We are about to go.
    pub fn component_leaving(&mut self) {
        for (contact, subscription) in self.friends.all() {
            if subscription.shows_ours() && contact.at.is_some() {
                self.send_presence(Availability::Unavailable, &contact, []);
            }
        }
    }

    /// Who was asked for its presence, or for that of one of our addresses, wants to know it now.
    pub(super) fn probed(&mut self, contact: &Contact, by: &Jid) {
        let is_shown = self.friends.subscription(contact).is_some_and(Subscription::shows_ours);
        if is_shown {
            self.show(contact, by);
        } else if contact.at.is_some() && !self.friends.waiting().contains(contact) {
            // Its server believes otherwise, and forgets it so.
            self.send_presence(Availability::Unsubscribed, contact, []);
        }
    }

    /// Tells somebody how the address is.
    pub(super) fn show(&mut self, contact: &Contact, to: &Jid) {
        let Some(at) = contact.at.clone().map(Jid::from) else { return };
        if self.is_there(contact) && !self.is_welcome_at(contact) {
            return self.decline(contact);
        }
        let (availability, children) = self.appearance(&at);
        self.send(sent_from(presence(availability, Some(to), children), Some(&at)));
    }

    fn appearance(&self, at: &Jid) -> (Availability, Vec<Element>) {
        let entry = match self.seat(Some(at)) {
            Ok(None) => {
                let caps = std::iter::once(self.caps().to_element());
                return (Availability::Available, caps.chain(self.publisher.announced_last()).collect());
            }
            Ok(Some(key)) => self.registry.get(key),
            Err(_) => None,
        };
        match entry.map(|entry| entry.node.state) {
            None | Some(NodeState::Offline) => (Availability::Unavailable, Vec::new()),
            Some(NodeState::Unknown | NodeState::Online) => (Availability::Available, Vec::new()),
            Some(NodeState::Warning) => (Availability::Available, vec![status("The device reports a warning.")]),
            Some(NodeState::Error) => (Availability::Available, vec![status("The device reports an error.")]),
        }
    }

    /// A node came, went or changed its state: those who see its address are told.
    pub(super) fn show_node(&mut self, key: NodeKey) {
        if self.friends.contacts() == 0 && self.mirrors.is_nothing() {
            return;
        }
        if let Some(at) = self.address_of(key) {
            self.show_address(&at);
        }
    }

    /// The same by its address, also where nothing stands any more.
    pub(super) fn show_address(&mut self, at: &BareJid) {
        for jid in self.friends.watchers(at) {
            let to = Jid::from(jid.clone());
            self.show(&Contact { jid, at: Some(at.clone()) }, &to);
        }
        self.own_address_changed(at);
    }

    /// Rules changed: who may not see an address any more, does not.
    pub(super) fn recheck_contacts(&mut self) {
        for (contact, subscription) in self.friends.all() {
            let is_shown = contact.at.is_some() && subscription.shows_ours() && self.is_there(&contact);
            if is_shown && !self.is_welcome_at(&contact) {
                self.decline(&contact);
            }
        }
    }
}

fn contact(name: &str) -> Option<Contact> {
    let (jid, at) = name.strip_prefix(KEPT)?.split_once(' ')?;
    Some(Contact { jid: BareJid::new(jid).ok()?, at: Some(BareJid::new(at).ok()?) })
}
