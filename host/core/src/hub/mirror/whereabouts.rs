//! Where a remote is: its presence, the choice of the resource that we deal with, and of the generation that we speak with it.

use std::collections::{BTreeMap, BTreeSet};

use jid::{BareJid, Jid};

use super::entry::{Mirror, Way};
use super::jobs::{Job, is_unreachable};
use super::published::Spot;
use super::remote::{Peer, Remote};
use crate::hub::asks::Answered;
use crate::hub::{Contact, Hub};
use crate::model::{NodeState, Timestamp, limits};
use crate::wire::Dialect;
use crate::wire::discovery::Info;
use crate::wire::stanza::{Availability, Condition, Presence, StanzaFault, presence};

impl Hub {
    /// Asks to see its presence, and meets it where it needs none. Also where our contact list says that we see it: a server answers that
    /// by itself, and one that lost its contacts in a crash would never tell us again that the remote is there.
    pub(super) fn approach(&mut self, jid: &BareJid, now: Timestamp) {
        if self.me().is_none() || !self.mirrors.remotes.contains_key(jid) {
            return;
        }
        let is_account = self.all_entries_of(jid).any(Mirror::is_of_account);
        if is_account && !self.is_our_account(jid) {
            self.show_presence(Availability::Subscribe, &jid.clone().into());
        }
        self.be_told(jid);
        self.meet(jid, now);
    }

    /// Whoever publishes at its own account has to see from our capabilities what we want to be told.
    fn be_told(&mut self, jid: &BareJid) {
        let is_listened_to = self.is_published_by(jid, |way| matches!(way, Way::Pep(_)));
        if is_listened_to && !self.is_our_account(jid) && !self.friends.is_shown(&self.contact(jid)) {
            self.show_presence(Availability::Available, &jid.clone().into());
        }
    }

    pub(super) fn contact(&self, jid: &BareJid) -> Contact {
        Contact { jid: jid.clone(), at: self.config.component.clone() }
    }

    /// Presence for a remote, from the concentrator's address.
    fn show_presence(&mut self, what: Availability, to: &Jid) {
        let caps = (what == Availability::Available).then(|| self.caps().to_element());
        let at = self.config.component.clone().map(Jid::from);
        self.send_from(at.as_ref(), presence(what, Some(to), caps));
    }

    /// Where to find it: ourselves at our own address, a domain at its own; everybody else where presence says, each resource in turn, or
    /// where it was when a server between us lost its presence.
    fn whereabouts(&self, jid: &BareJid, remote: &Remote) -> Option<Jid> {
        if self.is_our_account(jid) {
            let own = if self.config.component.is_some() { Some(jid.clone().into()) } else { self.me() };
            return own.filter(|own| !remote.unsuitable.contains(own));
        }
        let is_domain = jid.node().is_none();
        let itself = is_domain.then(|| jid.clone().into());
        let mut all = remote.here.keys().cloned().chain(itself).chain(remote.last.clone());
        all.find(|jid| !remote.unsuitable.contains(jid))
    }

    /// Begins with it, if it can be found and we have not begun.
    pub(super) fn meet(&mut self, jid: &BareJid, now: Timestamp) {
        let Some(remote) = self.mirrors.remotes.get(jid).filter(|remote| remote.peer.is_none()) else { return };
        if self.entries_of(jid).is_empty() {
            return;
        }
        let Some(address) = self.whereabouts(jid, remote).filter(|_| remote.retry_at.is_none()) else { return };
        let contact = self.contact(jid);
        if !self.is_our_account(jid) && !self.friends.is_shown(&contact) {
            // It sees whether we are here, and from our capabilities who we are.
            self.show_presence(Availability::Available, &address);
        }
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        remote.peer = Some(Peer {
            address,
            dialect: Dialect::Nf,
            is_met: false,
            is_concentrator: false,
            has_events: false,
            has_control: false,
            subscriptions: BTreeMap::new(),
            polled: BTreeSet::new(),
            sources: BTreeSet::new(),
            watched: BTreeSet::new(),
            browsing: 0,
            is_patchy: false,
        });
        remote.queue.push_back(Job::Disco);
        self.ask_more(jid, now);
    }

    /// Presence of a remote.
    pub(in crate::hub) fn remote_presence(&mut self, from: &Jid, what: &Presence, now: Timestamp) {
        let jid = from.to_bare();
        if self.is_our_account(&jid) || !self.mirrors.remotes.contains_key(&jid) {
            return;
        }
        match what {
            Presence::Available { caps, answers } => {
                self.remote_here(&jid, from, caps.as_ref().map(|caps| caps.ver.clone()), now);
                if self.is_published_by(&jid, |way| *way == Way::Presence) {
                    answers.iter().for_each(|answer| {
                        self.hear_published(&jid, Spot::Own, answer.clone(), false, now);
                    });
                }
            }
            Presence::Unavailable => self.remote_gone(&jid, from, now),
            Presence::Unsubscribed => {
                if let Some(remote) = self.mirrors.remotes.get_mut(&jid) {
                    remote.is_refused = true;
                }
                self.remote_gone(&jid, &jid.clone().into(), now);
            }
            Presence::Subscribed => {
                if let Some(remote) = self.mirrors.remotes.get_mut(&jid) {
                    remote.is_refused = false;
                }
                self.be_told(&jid);
                self.begin_service(&jid, now);
            }
            Presence::Subscribe | Presence::Unsubscribe | Presence::Probe | Presence::Error | Presence::Other => {}
        }
    }

    fn remote_here(&mut self, jid: &BareJid, from: &Jid, ver: Option<String>, now: Timestamp) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        remote.is_refused = false;
        if remote.here.len() >= limits::MIRROR_ENTRIES_MAX && !remote.here.contains_key(from) {
            return;
        }
        let is_first = remote.here.is_empty();
        let before = remote.here.insert(from.clone(), ver.clone());
        let is_other = before.as_ref() != Some(&ver);
        let is_peer = remote.peer.as_ref().is_some_and(|peer| peer.address == *from);
        match (is_peer, is_other) {
            (true, true) if before.is_some() => self.lose(jid, "The thing came back as another.", now),
            // It may have been started again without its server saying so.
            (true, _) => self.renew(jid, now),
            (false, true) => _ = remote.unsuitable.remove(from),
            (false, false) => {}
        }
        if let Some(remote) = self.mirrors.remotes.get_mut(jid).filter(|remote| remote.peer.is_none()) {
            (remote.attempts, remote.retry_at) = (0, None);
        }
        if is_first {
            self.set_published(jid, NodeState::Online, |_| true);
        }
        self.meet(jid, now);
    }

    fn remote_gone(&mut self, jid: &BareJid, from: &Jid, now: Timestamp) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let is_gone = |address: &Jid| from.is_bare() || address == from;
        remote.here.retain(|address, _| !is_gone(address));
        remote.unsuitable.retain(|address| !is_gone(address));
        remote.last.take_if(|last| is_gone(last));
        let is_last = remote.here.is_empty();
        if remote.peer.as_ref().is_some_and(|peer| is_gone(&peer.address)) {
            self.lose(jid, "The thing went offline.", now);
            self.meet(jid, now);
        }
        if is_last && self.all_entries_of(jid).all(Mirror::is_of_account) {
            self.set_published(jid, NodeState::Offline, |_| true);
        }
    }

    /// What it is and can do.
    pub(super) fn discovered(&mut self, jid: &BareJid, outcome: Answered, now: Timestamp) {
        let generations = self.entries_of(jid).first().map_or_else(Vec::new, |entry| entry.generations.clone());
        let info = match outcome {
            Ok(payload) => payload.as_ref().map(Info::parse).unwrap_or_default(),
            Err(fault) if is_unreachable(&fault) || self.is_only_supposed(jid, &fault) => {
                return self.lose_for_a_while(jid, "The thing does not answer.", now);
            }
            Err(_) => Info::default(),
        };
        let has = |ns: &str| info.features.iter().any(|feature| feature == ns);
        let speaks = |dialect: &Dialect| {
            has(dialect.sensor_ns())
                || has(dialect.control_ns())
                || has(dialect.concentrator_ns())
                || has(dialect.events_ns())
        };
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let Some(peer) = &mut remote.peer else { return };
        let Some(dialect) = generations.into_iter().find(speaks) else {
            let address = peer.address.clone();
            remote.unsuitable.insert(address);
            return self.not_this_one(jid, now);
        };
        (peer.dialect, peer.is_met) = (dialect, true);
        remote.last = Some(peer.address.clone());
        peer.is_concentrator = has(dialect.concentrator_ns());
        (peer.has_events, peer.has_control) = (has(dialect.events_ns()), has(dialect.control_ns()));
        remote.renew_at = Some(now.plus_ms(limits::MIRROR_RENEW_MS));
        self.begin_browse(jid);
    }

    /// Nobody is where we only suppose it: that says nothing about what it can do.
    fn is_only_supposed(&self, jid: &BareJid, fault: &StanzaFault) -> bool {
        let is_supposed = |remote: &Remote| {
            let peer = remote.peer.as_ref().map(|peer| &peer.address);
            peer.is_some_and(|address| remote.last.as_ref() == Some(address) && !remote.here.contains_key(address))
        };
        fault.condition == Condition::ServiceUnavailable && self.mirrors.remotes.get(jid).is_some_and(is_supposed)
    }

    /// Another resource may do; if none does, all are looked at again later.
    fn not_this_one(&mut self, jid: &BareJid, now: Timestamp) {
        self.lose(jid, "The thing speaks nothing that we know.", now);
        self.meet(jid, now);
        if let Some(remote) = self.mirrors.remotes.get_mut(jid).filter(|remote| remote.peer.is_none()) {
            remote.retry_after(now);
            self.set_alarm(jid, now);
        }
    }
}
