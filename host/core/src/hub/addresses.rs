//! At which of our addresses something happens. A client has one; a component has its domain, which is the concentrator, and one for
//! every node, which is a thing of its own there.
//!
//! Owns what an address of ours stands for and who may learn that it stands for anything. What follows from a request leaves from the
//! address at which it was made, so peers are remembered as pairs.

use jid::{BareJid, Jid};

use super::lookup::{not_found, refusal};
use super::registry::NodeKey;
use super::{Asker, Hub};
use crate::policy::Access;
use crate::wire::{StanzaFault, address};

/// Somebody who speaks with us, and the address of ours that is spoken with; ordered by who.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Peer {
    pub(super) jid: Jid,
    /// None: we are a client, whose server fills it in.
    pub(super) at: Option<Jid>,
}

impl Peer {
    /// As rules name it.
    pub(super) fn bare(&self) -> BareJid {
        self.jid.to_bare()
    }

    /// Whether all nodes are spoken with, and not one of them.
    pub(super) fn is_with_concentrator(&self) -> bool {
        self.at.as_ref().is_none_or(|at| at.node().is_none())
    }

    /// Whether what is said of this peer is said of the other: a bare JID speaks for all its resources, at the same address of ours.
    pub(super) fn concerns(&self, other: &Self) -> bool {
        let is_same = match self.jid.is_full() {
            true => self.jid == other.jid,
            false => self.bare() == other.bare(),
        };
        is_same && self.at.as_ref().map(Jid::to_bare) == other.at.as_ref().map(Jid::to_bare)
    }

    /// The least pair of this JID, where a range over all its pairs begins.
    pub(super) fn first_of(jid: &Jid) -> Self {
        Self { jid: jid.clone(), at: None }
    }
}

impl Hub {
    /// The concentrator's address; none before a client's session is bound.
    pub(super) fn me(&self) -> Option<Jid> {
        let domain = self.config.component.clone().map(Jid::from);
        domain.or_else(|| self.config.me.clone().map(Jid::from))
    }

    /// The address of ours that a stanza was sent to; none as a client. An error: it is not for us.
    pub(super) fn addressed(&self, to: Option<Jid>) -> Result<Option<Jid>, ()> {
        let Some(domain) = &self.config.component else { return Ok(None) };
        let to = to.unwrap_or_else(|| domain.clone().into());
        if to.domain() == domain.domain() { Ok(Some(to)) } else { Err(()) }
    }

    /// The node that an address of ours stands for; none: all of them, behind the concentrator.
    pub(super) fn seat(&self, at: Option<&Jid>) -> Result<Option<NodeKey>, StanzaFault> {
        let Some(local) = at.and_then(Jid::node) else { return Ok(None) };
        if self.config.component.is_none() {
            return Ok(None);
        }
        let found = address::take_apart(local.as_str()).and_then(|(part, bridge)| self.registry.by_part(bridge, part));
        found.map(Some).ok_or_else(not_found)
    }

    /// Whether whoever asks may learn that there is anything at this address. At the concentrator's, everybody may.
    pub(super) fn admit(&self, asker: &Asker) -> Result<(), StanzaFault> {
        let Some(at) = asker.at.as_ref().filter(|at| at.node().is_some()) else { return Ok(()) };
        let caller = asker.from.as_ref().map(Jid::to_bare).ok_or_else(StanzaFault::forbidden)?;
        let access = self.config.policy.of(&caller);
        self.seat_seen(&access, Some(at)).map(|_| ())
    }

    /// The same as [`Hub::seat`], for somebody: what it may not see is not there.
    pub(super) fn seat_seen(&self, access: &Access<'_>, at: Option<&Jid>) -> Result<Option<NodeKey>, StanzaFault> {
        access.check().map_err(refusal)?;
        let seat = self.seat(at)?;
        match seat.and_then(|key| self.registry.get(key)) {
            Some(entry) => access.see(&entry.name).map_err(refusal).map(|_| seat),
            None => Ok(None),
        }
    }

    /// The address of a node of its own, if it has one.
    pub(super) fn address_of(&self, key: NodeKey) -> Option<BareJid> {
        let entry = self.registry.get(key)?;
        address::of_node(self.config.component.as_ref()?, &entry.bridge, &entry.node.id)
    }
}
