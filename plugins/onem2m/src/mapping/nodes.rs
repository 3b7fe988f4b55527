//! All nodes, and how they are found: by number, by id, by the subscription that a notification names. Owns which of them the host still
//! has to hear of; bounded by the operator's `max_nodes`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Actions, NodeNumber, Timestamp};

use super::node::{Node, Subscription, Trouble};
use super::number_of;
use crate::codec::address;
use crate::codec::resource::Resource;
use crate::settings::Settings;

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Nodes {
    all: BTreeMap<NodeNumber, Node>,
    #[serde(skip)]
    by_id: BTreeMap<String, NodeNumber>,
    /// By resource identifier, the last word of its address.
    #[serde(skip)]
    by_subscription: BTreeMap<String, NodeNumber>,
    #[serde(skip)]
    dirty: BTreeSet<NodeNumber>,
    is_reachable: bool,
}

impl Nodes {
    /// After they were read from a state: finds them again, as the settings are now.
    pub(crate) fn resume(&mut self, settings: &Settings) {
        for (number, node) in &mut self.all {
            node.configure(settings);
            self.by_id.insert(node.id.clone(), *number);
            if let Subscription::Unverified(ri) | Subscription::Active(ri) = &node.subscription {
                self.by_subscription.insert(ri.clone(), *number);
            }
            self.dirty.insert(*number);
        }
    }

    pub(crate) fn get(&self, number: NodeNumber) -> Option<&Node> {
        self.all.get(&number)
    }

    /// For a change that the host need not hear of.
    pub(crate) fn get_mut(&mut self, number: NodeNumber) -> Option<&mut Node> {
        self.all.get_mut(&number)
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<NodeNumber> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.all.values()
    }

    pub(crate) fn numbers(&self) -> Vec<NodeNumber> {
        self.all.keys().copied().collect()
    }

    /// Adds a resource or takes what is new of it. None: it is no resource that is shown, or there is no room.
    pub(crate) fn put(&mut self, address: &str, resource: &Resource, settings: &Settings) -> Option<NodeNumber> {
        let id = address::below_cse(address);
        if let Some(number) = self.by_id(id) {
            if self.all.get_mut(&number).is_some_and(|node| node.update(resource)) {
                self.dirty.insert(number);
            }
            return Some(number);
        }
        if self.all.len() >= settings.max_nodes {
            return None;
        }
        let mut number = number_of(id);
        while self.all.contains_key(&number) {
            number = number.wrapping_add(1);
        }
        let node = Node::new(number, id, address, resource, settings)?;
        self.by_id.insert(id.to_owned(), number);
        self.all.insert(number, node);
        self.dirty.insert(number);
        Some(number)
    }

    pub(crate) fn remove(&mut self, number: NodeNumber, out: &mut Actions) {
        let Some(node) = self.all.remove(&number) else { return };
        self.by_id.remove(&node.id);
        self.by_subscription.retain(|_, owner| *owner != number);
        self.dirty.remove(&number);
        // The host takes children along; they are declared again without this parent.
        let below: Vec<NodeNumber> = self
            .all
            .values()
            .filter(|other| address::is_below(&other.id, &node.id))
            .map(|other| other.number)
            .collect();
        self.dirty.extend(below);
        out.remove_node(number);
    }

    /// The host has to hear of it anew.
    pub(crate) fn touch(&mut self, number: NodeNumber) {
        self.dirty.insert(number);
    }

    pub(crate) fn set_subscription(
        &mut self,
        number: NodeNumber,
        subscription: Subscription,
        expiry: Option<Timestamp>,
    ) {
        let Some(node) = self.all.get_mut(&number) else { return };
        let trouble = (subscription == Subscription::Refused).then_some(Trouble::Polled);
        if let Subscription::Active(ri) = &subscription
            && !ri.is_empty()
        {
            self.by_subscription.insert(ri.clone(), number);
        }
        (node.subscription, node.subscription_expiry) = (subscription, expiry);
        self.set_trouble(number, trouble);
    }

    pub(crate) fn set_trouble(&mut self, number: NodeNumber, trouble: Option<Trouble>) {
        if self.all.get_mut(&number).is_some_and(|node| node.set_trouble(trouble)) {
            self.dirty.insert(number);
        }
    }

    /// Whose subscription that is.
    pub(crate) fn by_subscription(&self, address: &str) -> Option<NodeNumber> {
        let by_identifier = self.by_subscription.get(address::last(address)).copied();
        by_identifier.or_else(|| self.by_id(address::below_cse(address::parent(address)?)))
    }

    /// Whose resource identifier that is: for notifications that are faster than the answer about their subscription.
    pub(crate) fn by_resource(&self, ri: &str) -> Option<NodeNumber> {
        self.all.values().find(|node| node.about.ri == ri).map(|node| node.number)
    }

    /// Whether the CSE is there.
    pub(crate) fn set_reachable(&mut self, is_reachable: bool, out: &mut Actions) {
        if std::mem::replace(&mut self.is_reachable, is_reachable) == is_reachable {
            return;
        }
        for node in self.all.values().filter(|node| !self.dirty.contains(&node.number)) {
            out.node_state(node.number, node.state(is_reachable));
        }
    }

    /// Tells the host of nodes that came or changed; gives whether there were any. Shorter ids first: parents before their children.
    pub(crate) fn flush(&mut self, now: Timestamp, out: &mut Actions) -> bool {
        if self.dirty.is_empty() {
            return false;
        }
        let mut dirty: Vec<NodeNumber> = std::mem::take(&mut self.dirty).into_iter().collect();
        dirty.sort_by_key(|number| self.all.get(number).map_or(0, |node| node.id.len()));
        for number in dirty {
            let Some(node) = self.all.get(&number) else { continue };
            node.declare(self.parent_of(&node.id), self.is_reachable, out);
            let Some(node) = self.all.get_mut(&number).filter(|node| !node.is_told) else { continue };
            node.is_told = true;
            let (at, samples) = node.head_reading();
            out.report(node.number, at.unwrap_or(now), samples);
        }
        true
    }

    fn parent_of(&self, id: &str) -> Option<NodeNumber> {
        let parent = address::parent(id)?;
        self.by_id(parent).or_else(|| self.parent_of(parent))
    }

    /// What the next run needs; `unkept` are instances by node that are not stored yet.
    pub(crate) fn checkpoint(&self, unkept: &BTreeMap<NodeNumber, Vec<(&str, Timestamp)>>) -> Self {
        let of = |number: &NodeNumber| unkept.get(number).into_iter().flatten().copied();
        let all = self.all.iter().map(|(number, node)| (*number, node.checkpoint(of(number)))).collect();
        Self { all, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }
}
