//! Things that others publish: what came by way of an account's own nodes or presence, a service, a room, or a message that nobody asked for.
//!
//! Owns how such a thing is called, when it joins, and when it counts as offline. It has the fields that its readings show, and no controls
//! unless its JID is also asked. Each spot has its own names: a publisher that lies about ids lies about its own spot only. What comes from us
//! in the end, or went through too many hands, is left out (see [`super`]).

use jid::BareJid;

use super::entry::{Way, address};
use super::thing::Thing;
use super::{Hub, Mirror, Provenance};
use crate::model::{NodeRef, NodeState, Timestamp, limits};
use crate::wire::sensor::{Answer, Origin, Progress};

/// Where, within what a JID stands for, something was published.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spot<'a> {
    /// By the account itself.
    Own,
    /// In a node of a service.
    Node(&'a str),
    /// In a room: by whoever it says that this really is, else by whoever is called so.
    Room(Option<&'a BareJid>, &'a str),
}

impl Spot<'_> {
    /// What a thing is called whose readings call it so. A node of a service that is named after its only thing is that thing.
    fn name(&self, inner: Option<&NodeRef>) -> NodeRef {
        let inner = inner.cloned().unwrap_or_default();
        let joined =
            |parts: &[&str]| parts.iter().copied().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        let (source, id) = (joined(&[&inner.source, &inner.partition]), inner.id.clone());
        match self {
            Self::Own => inner,
            Self::Node(node) => {
                let whole = joined(&[&source, &id]);
                let is_named_so = node.strip_suffix(&whole).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
                match whole.is_empty() || is_named_so {
                    true => NodeRef::new("", *node),
                    false => NodeRef { partition: source, ..NodeRef::new(id, *node) },
                }
            }
            Self::Room(Some(real), _) => NodeRef { partition: source, ..NodeRef::new(id, real.as_str()) },
            Self::Room(None, nick) => {
                NodeRef { partition: (*nick).to_owned(), ..NodeRef::new(joined(&[&source, &id]), "") }
            }
        }
    }
}

impl Provenance {
    fn published(origins: &[Origin], node: Option<&NodeRef>) -> Self {
        match origins.iter().find(|origin| origin.node.as_ref() == node) {
            Some(origin) => Self { origin: Some(origin.thing.clone()), hops: origin.hops },
            None => Self { origin: None, hops: 0 },
        }
    }
}

impl Hub {
    /// Whether some bridge wants what is published so by this JID.
    pub(super) fn is_published_by(&self, jid: &BareJid, is_way: impl Fn(&Way) -> bool) -> bool {
        self.all_entries_of(jid).any(|entry| is_way(&entry.way))
    }

    /// Readings that were published. Those that were kept for us count only as far as nothing newer is known.
    pub(super) fn hear_published(
        &mut self,
        jid: &BareJid,
        spot: Spot<'_>,
        answer: Answer,
        is_kept: bool,
        now: Timestamp,
    ) {
        let Progress::Data { readings, .. } = answer.progress else { return };
        let state = if is_kept && self.is_away(jid) { NodeState::Offline } else { NodeState::Online };
        for mut reading in readings.into_iter().filter(|reading| !reading.fields.is_empty()) {
            let from = Provenance::published(&answer.origins, reading.node.as_ref());
            if !self.is_foreign(jid, &from) {
                continue;
            }
            let name = spot.name(reading.node.as_ref());
            if !self.knows_published(jid, &name, &from) {
                self.say_once(
                    jid,
                    "readings were published of things that are not wanted, are too many or share a name",
                );
                continue;
            }
            let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
            let Some(thing) = remote.things.get_mut(&name) else { continue };
            thing.heard_at = Some(now);
            if is_kept {
                thing.drop_known(&mut reading);
            }
            self.hear_of(jid, &name, reading, Some(state));
        }
        self.watch_for_silence(jid, now);
    }

    /// Whether a thing is known, or may join: it is wanted, there is room, and no other has its address.
    fn knows_published(&mut self, jid: &BareJid, name: &NodeRef, from: &Provenance) -> bool {
        let Some(remote) = self.mirrors.remotes.get(jid) else { return false };
        if remote.things.contains_key(name) {
            return true;
        }
        // A concentrator shows what it has; what it only says is no more of it, except where the operator wants just that.
        let is_enough = |entry: &Mirror| entry.way != Way::Ask || remote.is_single();
        let is_wanted = self.all_entries_of(jid).any(|entry| entry.covers(name) && is_enough(entry));
        let is_short =
            [&name.id, &name.source, &name.partition].iter().all(|part| part.len() <= limits::NAME_BYTES_MAX);
        let has_room = remote.things.len() < limits::MIRRORED_NODES_PER_REMOTE_MAX;
        if !is_wanted || !is_short || !has_room {
            return false;
        }
        let own = address(jid, name);
        if remote.things.values().any(|thing| thing.node.id == own) {
            return false;
        }
        let has_form = remote.peer.as_ref().is_some_and(|peer| peer.has_control) && !name.id.is_empty();
        let mut thing = Thing::published(jid, name, from);
        thing.is_unformed = has_form;
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return false };
        remote.things.insert(name.clone(), thing);
        if has_form {
            remote.unformed.insert(name.clone());
        }
        true
    }

    /// Whether an account is known not to be there.
    fn is_away(&self, jid: &BareJid) -> bool {
        let is_account = self.all_entries_of(jid).any(Mirror::is_of_account);
        let is_silent = self.mirrors.remotes.get(jid).is_some_and(|remote| remote.here.is_empty());
        is_account && is_silent && self.friends.sees(&self.contact(jid))
    }

    /// Published things come or go with whoever publishes them.
    pub(super) fn set_published(&mut self, jid: &BareJid, state: NodeState, is_meant: impl Fn(&NodeRef) -> bool) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let mut changed = Vec::new();
        for (name, thing) in remote.things.iter_mut().filter(|(name, thing)| thing.is_published && is_meant(name)) {
            if std::mem::replace(&mut thing.node.state, state) != state {
                changed.push(name.clone());
            }
        }
        changed.iter().for_each(|name| self.show_thing(jid, name));
    }

    /// Published things are gone.
    pub(super) fn drop_published(&mut self, jid: &BareJid, is_meant: impl Fn(&NodeRef) -> bool) {
        let Some(remote) = self.mirrors.remotes.get(jid) else { return };
        let gone = remote.things.iter().filter(|(name, thing)| thing.is_published && is_meant(name));
        for name in gone.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.thing_gone(jid, &name);
        }
    }

    fn stale_ms(&self, jid: &BareJid) -> Option<u64> {
        self.all_entries_of(jid).filter_map(|entry| entry.stale_ms).min()
    }

    fn watch_for_silence(&mut self, jid: &BareJid, now: Timestamp) {
        let Some(stale_ms) = self.stale_ms(jid) else { return };
        if let Some(remote) = self.mirrors.remotes.get_mut(jid) {
            remote.stale_at.get_or_insert(now.plus_ms(stale_ms));
        }
        self.set_alarm(jid, now);
    }

    /// What was silent for too long counts as offline.
    pub(super) fn grow_stale(&mut self, jid: &BareJid, now: Timestamp) {
        let stale_ms = self.stale_ms(jid);
        let (Some(remote), Some(stale_ms)) = (self.mirrors.remotes.get_mut(jid), stale_ms) else { return };
        let ends = |thing: &Thing| thing.heard_at.filter(|_| thing.is_published).map(|at| at.plus_ms(stale_ms));
        let is_over = |thing: &Thing| ends(thing).is_some_and(|at| at <= now);
        let over = remote.things.iter().filter(|(_, thing)| is_over(thing)).map(|(name, _)| name.clone());
        let over: std::collections::BTreeSet<NodeRef> = over.collect();
        remote.stale_at = remote.things.values().filter_map(ends).filter(|at| *at > now).min();
        self.set_published(jid, NodeState::Offline, |name| over.contains(name));
    }

    /// Readings were said in a room, by an occupant that really is this account, or that the room hides.
    pub(in crate::hub) fn room_told(
        &mut self,
        room: &BareJid,
        nick: &str,
        real: Option<BareJid>,
        answer: Answer,
        now: Timestamp,
    ) {
        let is_wanted = self.is_published_by(room, |way| matches!(way, Way::Room { .. }));
        if !is_wanted || real.as_ref().is_some_and(|real| self.is_our_account(real)) {
            return;
        }
        let is_for_all = |way: &Way| matches!(way, Way::Room { from, .. } if from.is_empty());
        if real.is_none() && !self.is_published_by(room, is_for_all) {
            if let Some(remote) = self.mirrors.remotes.get_mut(room) {
                remote.is_anonymous = true;
            }
            return self.say_once(room, "a room hides who its occupants really are, so nothing in it is believed");
        }
        let spot = Spot::Room(real.as_ref(), nick);
        // Somebody whom nobody wants to hear is nothing unusual in a room.
        if real.is_none() || self.all_entries_of(room).any(|entry| entry.covers(&spot.name(None))) {
            self.hear_published(room, spot, answer, false, now);
        }
    }

    /// An occupant came, or with nobody named all are gone from us.
    pub(in crate::hub) fn room_presence(
        &mut self,
        room: &BareJid,
        who: Option<(&str, Option<&BareJid>)>,
        is_here: bool,
    ) {
        if !self.is_published_by(room, |way| matches!(way, Way::Room { .. })) {
            return;
        }
        let state = if is_here { NodeState::Online } else { NodeState::Offline };
        self.set_published(room, state, |name| match who {
            None => true,
            Some((_, Some(real))) => name.source == real.as_str(),
            Some((nick, None)) => name.source.is_empty() && name.partition == nick,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_called_by_its_spot_and_by_what_its_readings_call_it() {
        let jid = BareJid::new("pubsub.example.org").unwrap();
        let real = BareJid::new("a@b").unwrap();
        let lamp = NodeRef::new("lamp", "home");
        let own = |spot: Spot<'_>, inner: Option<&NodeRef>| address(&jid, &spot.name(inner));
        assert_eq!(own(Spot::Own, Some(&lamp)), "pubsub.example.org/home/lamp");
        assert_eq!(own(Spot::Own, None), "pubsub.example.org");
        assert_eq!(own(Spot::Node("readings/home/lamp"), Some(&lamp)), "pubsub.example.org/readings/home/lamp");
        assert_eq!(own(Spot::Node("readings/home/lamp"), None), "pubsub.example.org/readings/home/lamp");
        assert_eq!(own(Spot::Node("readings"), Some(&lamp)), "pubsub.example.org/readings/home/lamp");
        assert_eq!(own(Spot::Node("my-home/lamp"), Some(&lamp)), "pubsub.example.org/my-home/lamp/home/lamp");
        assert_eq!(own(Spot::Room(Some(&real), "x"), Some(&lamp)), "pubsub.example.org/a@b/home/lamp");
        assert_eq!(own(Spot::Room(None, "x"), Some(&lamp)), "pubsub.example.org/x/home/lamp");
    }

    #[test]
    fn no_nickname_passes_for_an_account() {
        let real = BareJid::new("boss@example.org").unwrap();
        let (real, nick) = (Spot::Room(Some(&real), "x").name(None), Spot::Room(None, "boss@example.org").name(None));
        assert_ne!(real, nick);
        assert!(nick.source.is_empty());
    }
}
