//! Our own addresses as remotes: the account, or as a component the domain and the address of every node. Nothing of them leaves for the
//! server, no presence tells how they are, and the rules that name our own account, or domain, decide what is seen.

use jid::BareJid;

use super::Hub;
use super::entry::address;
use crate::hub::registry::Entry;
use crate::model::{NodeRef, NodeState, ORIGIN, Timestamp};

impl Hub {
    /// Whether this is our own account, or any address at our own domain.
    pub(super) fn is_our_account(&self, jid: &BareJid) -> bool {
        match &self.config.component {
            Some(domain) => jid.domain() == domain.domain(),
            None => self.me().is_some_and(|me| me.to_bare() == *jid),
        }
    }

    /// The node at an address of its own.
    fn own_node(&self, jid: &BareJid) -> Option<&Entry> {
        let at = self.is_our_account(jid).then(|| jid.clone().into());
        self.registry.get(self.seat(at.as_ref()).ok()??)
    }

    /// How the node at an address of its own is: it does not say so itself.
    pub(super) fn own_state(&self, jid: &BareJid) -> Option<NodeState> {
        self.own_node(jid).map(|entry| entry.node.state)
    }

    /// A bridge is not shown its own nodes, nor what it was the origin of.
    pub(super) fn may_show(&self, bridge: &str, jid: &BareJid, name: &NodeRef) -> bool {
        let Some(me) = self.me().filter(|_| self.is_our_account(jid)) else { return true };
        let home = format!("{}/", address(&me.to_bare(), &NodeRef::new("", bridge)));
        let thing = self.mirrors.remotes.get(jid).and_then(|remote| remote.things.get(name));
        let (source, node) = match self.own_node(jid) {
            Some(entry) => (&*entry.bridge, Some(&entry.node)),
            None => (name.source.as_str(), thing.map(|thing| &thing.node)),
        };
        let origin = node.and_then(|node| node.extra(ORIGIN));
        source != bridge && origin.is_none_or(|origin| !origin.starts_with(&home))
    }

    /// Other rules of ours: what we may see of ourselves may be other things. Nobody else's rules are known to change.
    pub(in crate::hub) fn own_rules_changed(&mut self, now: Timestamp) {
        let own = self.mirrors.remotes.keys().filter(|jid| self.is_our_account(jid));
        for jid in own.cloned().collect::<Vec<_>>() {
            let is_node = self.own_node(&jid).is_some();
            let has_peer = self.mirrors.remotes.get(&jid).is_some_and(|remote| remote.peer.is_some());
            match has_peer && !is_node {
                true => self.begin_browse(&jid),
                false => self.look_again(&jid, now),
            }
            self.ask_more(&jid, now);
        }
    }

    /// Forgets what was seen at an address of ours, and looks whether we may see it.
    fn look_again(&mut self, jid: &BareJid, now: Timestamp) {
        self.lose(jid, "The rules are others.", now);
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        (remote.attempts, remote.retry_at) = (0, None);
        remote.unsuitable.clear();
        for name in remote.things.keys().cloned().collect::<Vec<_>>() {
            self.thing_gone(jid, &name);
        }
        self.meet(jid, now);
    }

    /// What stands at an address of ours came, went or is otherwise than before.
    pub(in crate::hub) fn own_address_changed(&mut self, jid: &BareJid) {
        let (state, now) = (self.own_state(jid), self.now);
        let Some(remote) = self.mirrors.remotes.get_mut(jid).filter(|_| jid.node().is_some()) else { return };
        match (state, remote.peer.is_some()) {
            (None, _) | (Some(_), false) => self.look_again(jid, now),
            (Some(state), true) => {
                let changed: Vec<NodeRef> = remote.things.keys().cloned().collect();
                remote.things.values_mut().for_each(|thing| thing.node.state = state);
                changed.iter().for_each(|name| self.show_thing(jid, name));
            }
        }
    }
}
