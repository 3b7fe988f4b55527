//! From the names that a caller gives to nodes that it may use. Owns what a caller learns of what it may not use.
//!
//! Order of evaluation: who has no rule at all is forbidden everything, whether it exists or not. Then each name must lead to a node, and
//! the caller must be allowed what it wants of it; what it may not even see looks like what does not exist.

use std::collections::BTreeSet;

use super::Hub;
use super::addresses::Peer;
use super::registry::{Entry, NodeKey, UNION};
use crate::model::{NodeRef, limits};
use crate::policy::{Access, Denial, ReadPermit};
use crate::wire::{Dialect, StanzaFault};

/// A node that a caller may read, and what it is called in answers.
#[derive(Clone, Debug)]
pub(super) struct Readable {
    pub(super) key: NodeKey,
    /// As the caller named it, so that it knows the answer for its own; none for a thing that answers at its own address.
    pub(super) shown: Option<NodeRef>,
    pub(super) permit: ReadPermit,
}

/// What the nodes of a request come to.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) nodes: Vec<Readable>,
    /// What can be named but not read, and why.
    pub(super) unreadable: Vec<(Option<NodeRef>, &'static str)>,
}

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the union, a bridge is a node above its nodes.
    Bridge(String),
    /// A node.
    Node(NodeKey),
}

pub(super) fn refusal(denial: Denial) -> StanzaFault {
    match denial {
        Denial::Stranger | Denial::Forbidden => StanzaFault::forbidden(),
        Denial::Hidden => not_found(),
    }
}

pub(super) fn not_found() -> StanzaFault {
    StanzaFault::not_found("Node not found.")
}

pub(super) fn check_count(names: usize) -> Result<(), StanzaFault> {
    match names > limits::NAMES_PER_REQUEST_MAX {
        true => Err(StanzaFault::overload(format!("At most {} names in one request.", limits::NAMES_PER_REQUEST_MAX))),
        false => Ok(()),
    }
}

/// COMPAT: Smack's things send `<node/>` without an id for the device itself.
pub(super) fn is_device_itself(names: &[NodeRef]) -> bool {
    names.iter().all(|name| name.id.is_empty())
}

impl Hub {
    /// The nodes that a readout or subscription is about.
    pub(super) fn readable(
        &self,
        caller: &Peer,
        dialect: Dialect,
        names: &[NodeRef],
    ) -> Result<Selection, StanzaFault> {
        let access = self.config.policy.of(&caller.bare());
        let seat = self.seat_seen(&access, caller.at.as_ref())?;
        check_count(names.len())?;
        if is_device_itself(names) {
            return match seat {
                Some(key) => self.thing_itself(&access, dialect, key),
                None => Ok(self.device_itself(&access, dialect)),
            };
        }
        let mut selection = Selection::default();
        let mut seen = BTreeSet::new();
        for name in names {
            self.select(&access, dialect, (name, seat), &mut selection)?;
        }
        selection.nodes.retain(|node| seen.insert(node.key));
        Ok(selection)
    }

    /// Without nodes: with long names everything of the device, with short names nothing of a concentrator (sensor-data §3).
    fn device_itself(&self, access: &Access<'_>, dialect: Dialect) -> Selection {
        if !dialect.is_long() {
            let unreadable = vec![(None, "Node specification required for concentrators.")];
            return Selection { nodes: Vec::new(), unreadable };
        }
        let nodes = self.registry.all().filter(|(_, entry)| !entry.node.fields.is_empty());
        let nodes = nodes.filter_map(|(key, entry)| {
            Some(Readable { key, shown: Some(entry.name.clone()), permit: access.read(&entry.name).ok()? })
        });
        Selection { nodes: nodes.collect(), unreadable: Vec::new() }
    }

    /// At its own address a thing stands alone, and so do its values, except with long names, which always say whose they are
    /// (sensor-data §4).
    fn thing_itself(&self, access: &Access<'_>, dialect: Dialect, key: NodeKey) -> Result<Selection, StanzaFault> {
        let entry = self.registry.get(key).ok_or_else(not_found)?;
        let permit = access.read(&entry.name).map_err(refusal)?;
        let shown = dialect.is_long().then(|| entry.name.clone());
        if entry.node.fields.is_empty() {
            return Ok(Selection { nodes: Vec::new(), unreadable: vec![(shown, "Node not readable.")] });
        }
        Ok(Selection { nodes: vec![Readable { key, shown, permit }], unreadable: Vec::new() })
    }

    fn select(
        &self,
        access: &Access<'_>,
        dialect: Dialect,
        (name, seat): (&NodeRef, Option<NodeKey>),
        selection: &mut Selection,
    ) -> Result<(), StanzaFault> {
        let place = self.place_at(seat, name).ok_or_else(not_found)?;
        let own = match &place {
            Place::Bridge(bridge) => {
                self.sees_bridge(access, bridge).then_some(()).ok_or_else(not_found)?;
                None
            }
            Place::Node(key) => {
                let entry = self.registry.get(*key).ok_or_else(not_found)?;
                let permit = access.read(&entry.name).map_err(refusal)?;
                (!entry.node.fields.is_empty()).then(|| Readable { key: *key, shown: Some(name.clone()), permit })
            }
        };
        let before = selection.nodes.len();
        selection.nodes.extend(own);
        if dialect.is_long() {
            selection.nodes.extend(self.below(access, &place, name));
        }
        if selection.nodes.len() == before {
            selection.unreadable.push((Some(name.clone()), "Node not readable."));
        }
        Ok(())
    }

    /// With long names, reading a node implies what is below it (XEP-0323 §3), as far as the caller may.
    fn below(&self, access: &Access<'_>, place: &Place, name: &NodeRef) -> Vec<Readable> {
        let keys: Vec<NodeKey> = match place {
            Place::Bridge(bridge) => self.registry.nodes_of(bridge).map(|(key, _)| key).collect(),
            Place::Node(key) => self.registry.descendants(*key).into_iter().skip(1).collect(),
        };
        let readable = keys.into_iter().filter_map(|key| {
            let entry = self.registry.get(key).filter(|entry| !entry.node.fields.is_empty())?;
            Some(Readable { key, shown: Some(shown_in(&name.source, entry)), permit: access.read(&entry.name).ok()? })
        });
        readable.collect()
    }

    /// What a name leads to, whether or not anybody may know.
    pub(super) fn place(&self, name: &NodeRef) -> Option<Place> {
        if let Some(key) = self.registry.find(name) {
            return Some(Place::Node(key));
        }
        let in_union = name.partition.is_empty() && (name.source == UNION || name.source.is_empty());
        (in_union && self.registry.source(&name.id).is_some()).then(|| Place::Bridge(name.id.clone()))
    }

    /// The same, at an address of ours: a node's own leads to it and to what is below it, and no further.
    pub(super) fn place_at(&self, seat: Option<NodeKey>, name: &NodeRef) -> Option<Place> {
        let Some(seat) = seat else { return self.place(name) };
        let bridge = self.registry.get(seat).map(|entry| &*entry.bridge)?;
        let bare =
            || self.registry.by_id(bridge, &name.id).filter(|_| name.source.is_empty() && name.partition.is_empty());
        let key = bare().or_else(|| self.registry.find(name))?;
        self.registry.ancestors(key).contains(&seat).then_some(Place::Node(key))
    }

    /// Whether the caller may see anything of a bridge, and so that there is one.
    pub(super) fn sees_bridge(&self, access: &Access<'_>, bridge: &str) -> bool {
        self.registry.nodes_of(bridge).any(|(_, entry)| access.see(&entry.name).is_ok())
    }
}

/// What a node is called in a source: by its own id in its bridge's, by bridge and id in the union.
pub(super) fn shown_in(source: &str, entry: &Entry) -> NodeRef {
    match source == UNION {
        true => NodeRef::new(entry.name.to_string(), UNION),
        false => entry.name.clone(),
    }
}
