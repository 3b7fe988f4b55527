//! What there is behind us: sources, their nodes, and the last value of every field.
//!
//! Owns the numbers that mappers use, the ids that people use, and the tree. Asks nobody's permission: callers do. A node that is gone
//! but still subscribed to stays as an absent entry, so that a device which comes back is heard again; absent entries are found by nobody.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::model::{
    Field, FieldValue, Localization, Node, NodeRef, NodeState, Quality, Reading, Sample, Timestamp, Value, limits,
};
use crate::wire::address;
use crate::work;

/// The data source that has every bridge's nodes (concentrator.md §2).
pub(super) const UNION: &str = "MeteringTopology";

/// Names a node within the hub, for as long as anything refers to it; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeKey(u64);

/// Everything there is.
#[derive(Debug, Default)]
pub(super) struct Registry {
    sources: BTreeMap<Arc<str>, Source>,
    /// In boxes: a tree's leaves are half empty, and of these there are many.
    nodes: BTreeMap<NodeKey, Box<Entry>>,
    keys: u64,
}

/// A bridge's nodes.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) label: String,
    pub(super) changed: Timestamp,
    numbers: BTreeMap<u32, NodeKey>,
    ids: BTreeMap<Arc<str>, NodeKey>,
    /// Ids that cannot stand in an address as they are, by what stands there instead.
    odd: BTreeMap<String, NodeKey>,
    /// Nodes that are there and have no parent, by id.
    roots: BTreeMap<Arc<str>, NodeKey>,
}

/// Where a list begins and ends, both left out; none: at its very beginning or end.
pub(super) type Between<T> = (Option<T>, Option<T>);

/// One node.
#[derive(Debug)]
pub(super) struct Entry {
    /// The bridge's name.
    pub(super) bridge: Arc<str>,
    /// As rules and people name it.
    pub(super) name: NodeRef,
    /// As declared.
    pub(super) node: Node,
    /// False: gone, and remembered for its subscribers.
    pub(super) is_present: bool,
    pub(super) parent: Option<NodeKey>,
    pub(super) children: BTreeSet<NodeKey>,
    pub(super) changed: Timestamp,
    /// Instant of the newest reading.
    pub(super) reported: Option<Timestamp>,
    last: Vec<Option<Last>>,
}

#[derive(Clone, Debug)]
struct Last {
    at: Timestamp,
    value: Value,
    quality: Quality,
}

/// What became of a declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It was not there, or absent.
    Added(NodeKey),
    /// It was there.
    Updated(NodeKey),
}

impl Registry {
    pub(super) fn add_source(&mut self, name: &str, label: &str, now: Timestamp) {
        if let Some(source) = self.sources.get_mut(name) {
            label.clone_into(&mut source.label);
            return;
        }
        let (numbers, ids, odd, roots) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        self.sources.insert(name.into(), Source { label: label.to_owned(), changed: now, numbers, ids, odd, roots });
    }

    /// Takes a source with everything in it.
    pub(super) fn remove_source(&mut self, name: &str) {
        let Some(source) = self.sources.remove(name) else { return };
        for key in source.ids.into_values() {
            self.nodes.remove(&key);
        }
    }

    /// Everything in a source, absent nodes included.
    pub(super) fn keys_of(&self, source: &str) -> Vec<NodeKey> {
        self.sources.get(source).into_iter().flat_map(|source| source.ids.values().copied()).collect()
    }

    pub(super) fn source(&self, name: &str) -> Option<&Source> {
        self.sources.get(name)
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = (&Arc<str>, &Source)> {
        self.sources.iter()
    }

    /// Nodes that are there, by id.
    pub(super) fn nodes_of(&self, source: &str) -> impl Iterator<Item = (NodeKey, &Entry)> {
        let keys = self.sources.get(source).into_iter().flat_map(|source| source.ids.values());
        keys.filter_map(|key| self.get(*key).map(|entry| (*key, entry)))
    }

    /// Names of sources, in their order.
    pub(super) fn names_between(&self, between: Between<&str>) -> impl DoubleEndedIterator<Item = &Arc<str>> {
        range(&self.sources, between).map(|(name, _)| name)
    }

    /// Nodes of a source that are there, by id.
    pub(super) fn nodes_between(
        &self,
        source: &str,
        between: Between<&str>,
    ) -> impl DoubleEndedIterator<Item = (NodeKey, &Entry)> {
        let keys = self.sources.get(source).into_iter().flat_map(move |source| range(&source.ids, between));
        keys.filter_map(|(_, key)| self.get(*key).map(|entry| (*key, entry)))
    }

    /// Nodes of a source that are there and have no parent, by id.
    pub(super) fn roots_between(
        &self,
        source: &str,
        between: Between<&str>,
    ) -> impl DoubleEndedIterator<Item = NodeKey> {
        let keys = self.sources.get(source).into_iter().flat_map(move |source| range(&source.roots, between));
        keys.map(|(_, key)| *key)
    }

    /// Nodes right below another, in the order in which they came.
    pub(super) fn children_between(
        &self,
        key: NodeKey,
        (after, before): Between<NodeKey>,
    ) -> impl DoubleEndedIterator<Item = NodeKey> {
        let bounds =
            (after.map_or(Bound::Unbounded, Bound::Excluded), before.map_or(Bound::Unbounded, Bound::Excluded));
        let is_empty = after.zip(before).is_some_and(|(after, before)| after >= before);
        let children = self.get(key).filter(|_| !is_empty).map(|entry| entry.children.range(bounds));
        children.into_iter().flatten().copied()
    }

    /// How many nodes stand right below another.
    pub(super) fn children_count(&self, key: NodeKey) -> usize {
        self.get(key).map_or(0, |entry| entry.children.len())
    }

    /// How many nodes of a source have no parent.
    pub(super) fn roots_count(&self, source: &str) -> usize {
        self.sources.get(source).map_or(0, |source| source.roots.len())
    }

    /// All nodes that are there, by source and id.
    pub(super) fn all(&self) -> impl Iterator<Item = (NodeKey, &Entry)> {
        self.sources.keys().flat_map(|source| self.nodes_of(source))
    }

    /// A node that is there.
    pub(super) fn get(&self, key: NodeKey) -> Option<&Entry> {
        work::step();
        self.remembered(key).filter(|entry| entry.is_present)
    }

    /// A node, also an absent one.
    pub(super) fn remembered(&self, key: NodeKey) -> Option<&Entry> {
        self.nodes.get(&key).map(Box::as_ref)
    }

    /// The node that a mapper calls so.
    pub(super) fn by_number(&self, bridge: &str, number: u32) -> Option<NodeKey> {
        self.sources.get(bridge)?.numbers.get(&number).copied()
    }

    pub(super) fn by_id(&self, bridge: &str, id: &str) -> Option<NodeKey> {
        self.sources.get(bridge)?.ids.get(id).copied().filter(|key| self.get(*key).is_some())
    }

    /// The node whose own address has this before the bridge.
    pub(super) fn by_part(&self, bridge: &str, part: &str) -> Option<NodeKey> {
        let odd = || self.sources.get(bridge)?.odd.get(part).copied().filter(|key| self.get(*key).is_some());
        address::plain_id(part, bridge).and_then(|id| self.by_id(bridge, &id)).or_else(odd)
    }

    /// The node that a caller calls so. In the union, ids start with the bridge; without a source and in the union a bare id is
    /// found as well, because clients that know nothing of sources send it (interop-clients §3).
    pub(super) fn find(&self, name: &NodeRef) -> Option<NodeKey> {
        if !name.partition.is_empty() {
            return None;
        }
        if !name.source.is_empty() && name.source != UNION {
            return self.by_id(&name.source, &name.id);
        }
        let qualified = name.id.split_once('/').and_then(|(bridge, id)| self.by_id(bridge, id));
        qualified.or_else(|| self.sources.keys().find_map(|bridge| self.by_id(bridge, &name.id)))
    }

    /// Declares a node. What was refused is untouched.
    pub(super) fn put(&mut self, bridge: &str, node: Node, now: Timestamp) -> Result<Put, String> {
        check(&node)?;
        let source = self.sources.get_mut(bridge).ok_or_else(|| "the bridge is not there".to_owned())?;
        let known = source.ids.get(node.id.as_str()).copied();
        if known.is_none() && source.ids.len() >= limits::NODES_PER_BRIDGE_MAX {
            return Err(format!("more than {} nodes", limits::NODES_PER_BRIDGE_MAX));
        }
        let parent = node.parent.and_then(|number| source.numbers.get(&number).copied());
        let is_too_deep = parent.is_some_and(|parent| depth(&self.nodes, parent) >= limits::NODE_DEPTH_MAX);
        if is_too_deep {
            return Err(format!("node `{}` is more than {} levels deep", node.id, limits::NODE_DEPTH_MAX));
        }
        let key = known.unwrap_or_else(|| {
            self.keys += 1;
            NodeKey(self.keys)
        });
        // An absent node's number may be another's by now.
        if let Some(old) = self.nodes.get(&key).filter(|old| source.numbers.get(&old.node.number) == Some(&key)) {
            source.numbers.remove(&old.node.number);
        }
        if known.is_none() {
            source.ids.insert(node.id.as_str().into(), key);
        }
        if let Some(odd) = address::odd_part(bridge, &node.id) {
            source.odd.insert(odd, key);
        }
        source.numbers.insert(node.number, key);
        source.changed = now;
        let is_new = self.fill(bridge, key, node, now);
        self.hang(key, parent);
        Ok(if is_new { Put::Added(key) } else { Put::Updated(key) })
    }

    /// The node, if any, that has this number but another id: declaring the number anew takes it away.
    pub(super) fn displaced_by(&self, bridge: &str, node: &Node) -> Option<NodeKey> {
        let key = self.by_number(bridge, node.number)?;
        self.nodes.get(&key).filter(|entry| entry.node.id != node.id).map(|_| key)
    }

    fn fill(&mut self, bridge: &str, key: NodeKey, node: Node, now: Timestamp) -> bool {
        let old = self.nodes.remove(&key);
        let last = node.fields.iter().map(|field| old.as_ref().and_then(|old| old.kept(field))).collect();
        let is_new = old.as_ref().is_none_or(|old| !old.is_present);
        let name_of_source = self.sources.get_key_value(bridge).map(|(name, _)| Arc::clone(name));
        let entry = Entry {
            bridge: name_of_source.unwrap_or_else(|| bridge.into()),
            name: NodeRef::new(&node.id, bridge),
            node,
            is_present: true,
            parent: old.as_ref().and_then(|old| old.parent),
            reported: old.as_ref().and_then(|old| old.reported),
            children: old.map(|old| old.children).unwrap_or_default(),
            changed: now,
            last,
        };
        self.nodes.insert(key, Box::new(entry));
        is_new
    }

    /// Hangs a node below another; below itself or a descendant would make a ring, so it becomes a root then.
    fn hang(&mut self, key: NodeKey, parent: Option<NodeKey>) {
        let parent = parent.filter(|parent| !self.ancestors(*parent).contains(&key));
        let old = self.nodes.get_mut(&key).and_then(|entry| std::mem::replace(&mut entry.parent, parent));
        if let Some(old) = old.and_then(|old| self.nodes.get_mut(&old)) {
            old.children.remove(&key);
        }
        if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(&parent)) {
            parent.children.insert(key);
        }
        self.note_root(key);
    }

    /// Keeps the list of roots in step with the tree.
    fn note_root(&mut self, key: NodeKey) {
        let Some(entry) = self.nodes.get(&key) else { return };
        let Some(source) = self.sources.get_mut(&entry.bridge) else { return };
        match entry.is_present && entry.parent.is_none() {
            true => {
                // One text for both lists.
                let id = source.ids.get_key_value(entry.node.id.as_str()).map(|(id, _)| Arc::clone(id));
                source.roots.extend(id.map(|id| (id, key)));
            }
            false => _ = source.roots.remove(entry.node.id.as_str()),
        }
    }

    /// The node itself, its parent, and so on to the root.
    pub(super) fn ancestors(&self, key: NodeKey) -> Vec<NodeKey> {
        std::iter::successors(Some(key), |key| self.nodes.get(key).and_then(|entry| entry.parent)).collect()
    }

    /// The node itself and everything below it, parents first.
    pub(super) fn descendants(&self, key: NodeKey) -> Vec<NodeKey> {
        let mut found = vec![key];
        let mut next = 0;
        while let Some(key) = found.get(next) {
            found.extend(self.nodes.get(key).into_iter().flat_map(|entry| entry.children.iter().copied()));
            next += 1;
        }
        found
    }

    /// Takes one node away. Remembered: as an absent one, for its subscribers.
    pub(super) fn remove(&mut self, key: NodeKey, is_remembered: bool, now: Timestamp) {
        self.hang(key, None);
        let Some(entry) = self.nodes.get_mut(&key) else { return };
        entry.is_present = false;
        self.note_root(key);
        let Some(entry) = self.nodes.get_mut(&key) else { return };
        let orphans: Vec<NodeKey> = entry.children.iter().copied().collect();
        let (bridge, number) = (Arc::clone(&entry.bridge), entry.node.number);
        if let Some(source) = self.sources.get_mut(&bridge) {
            if source.numbers.get(&number) == Some(&key) {
                source.numbers.remove(&number);
            }
            source.changed = now;
        }
        for orphan in orphans {
            self.hang(orphan, None);
        }
        if !is_remembered {
            self.forget(key);
        }
    }

    /// Nobody refers to the node any more: if it is absent, nothing is left of it.
    pub(super) fn forget(&mut self, key: NodeKey) {
        let Some(entry) = self.nodes.get(&key).filter(|entry| !entry.is_present) else { return };
        if let Some(source) = self.sources.get_mut(&entry.bridge) {
            source.ids.remove(entry.node.id.as_str());
            source.odd.retain(|_, odd| *odd != key);
        }
        self.nodes.remove(&key);
    }

    pub(super) fn set_state(&mut self, key: NodeKey, state: NodeState, now: Timestamp) -> bool {
        let Some(entry) = self.nodes.get_mut(&key).filter(|entry| entry.node.state != state) else { return false };
        entry.node.state = state;
        entry.changed = now;
        true
    }

    /// Keeps what is new in a reading as last values, and drops from it what does not fit the declaration. Gives what was dropped.
    /// `now` is what the clock says.
    pub(super) fn report(&mut self, key: NodeKey, reading: &mut Reading, now: Timestamp) -> usize {
        let Some(entry) = self.nodes.get_mut(&key) else { return 0 };
        let before = reading.samples.len();
        reading.samples.retain(|sample| entry.fits(sample));
        // What lies in the future was stamped before the clock was set back, and must not hide what comes until then.
        let latest = now.plus_ms(limits::CLOCK_AHEAD_MS_MAX);
        entry.reported = entry.reported.filter(|reported| *reported <= latest).max(Some(reading.at));
        for sample in &reading.samples {
            entry.keep(reading.at, sample, latest);
        }
        before - reading.samples.len()
    }
}

impl Entry {
    pub(super) fn field(&self, name: &str) -> Option<(u16, &Field)> {
        let index = self.node.fields.iter().position(|field| field.name == name)?;
        Some((u16::try_from(index).ok()?, self.node.fields.get(index)?))
    }

    /// Whether it has a parameter to set.
    pub(super) fn is_controllable(&self) -> bool {
        self.node.fields.iter().any(|field| field.control.is_some())
    }

    /// The label, or the id.
    pub(super) fn label(&self) -> &str {
        if self.node.label.is_empty() { &self.node.id } else { &self.node.label }
    }

    /// The value of a field and its instant, as last reported.
    pub(super) fn last_value(&self, index: u16) -> Option<(Timestamp, &Value)> {
        let last = self.last.get(usize::from(index))?.as_ref()?;
        Some((last.at, &last.value))
    }

    /// The last values, by instant, of the fields that are wanted.
    pub(super) fn last_values(&self, wants: impl Fn(&Field) -> bool) -> BTreeMap<Timestamp, Vec<FieldValue>> {
        let mut found: BTreeMap<Timestamp, Vec<FieldValue>> = BTreeMap::new();
        for (field, last) in self.node.fields.iter().zip(&self.last) {
            if let Some(last) = last.as_ref().filter(|_| wants(field)) {
                found.entry(last.at).or_default().push(named(field, &last.value, last.quality));
            }
        }
        found
    }

    /// The values of a reading, by name, of the fields that are wanted.
    pub(super) fn values(&self, reading: &Reading, wants: impl Fn(&Field) -> bool) -> Vec<FieldValue> {
        let pairs = reading.samples.iter().filter_map(|sample| {
            let field = self.node.fields.get(usize::from(sample.field)).filter(|field| wants(field))?;
            Some(named(field, &sample.value, sample.quality))
        });
        pairs.collect()
    }

    fn fits(&self, sample: &Sample) -> bool {
        let is_short = match &sample.value {
            Value::Text(text) | Value::Member(text) => text.len() <= limits::TEXT_BYTES_MAX,
            _ => true,
        };
        let field = self.node.fields.get(usize::from(sample.field));
        is_short && field.is_some_and(|field| sample.value.fits(field.value_type))
    }

    fn keep(&mut self, at: Timestamp, sample: &Sample, latest: Timestamp) {
        let Some(slot) = self.last.get_mut(usize::from(sample.field)) else { return };
        if slot.as_ref().is_none_or(|last| last.at <= at || last.at > latest) {
            *slot = Some(Last { at, value: sample.value.clone(), quality: sample.quality });
        }
    }

    /// The last value of a field that is declared anew, if name and type stay.
    fn kept(&self, field: &Field) -> Option<Last> {
        let (index, old) = self.field(&field.name)?;
        let last = self.last.get(usize::from(index)).filter(|_| old.value_type == field.value_type)?;
        last.clone()
    }
}

/// Whatever stands between two keys of a map, both left out.
fn range<'a, K: Ord + Borrow<str>, V>(
    map: &'a BTreeMap<K, V>,
    (after, before): Between<&str>,
) -> impl DoubleEndedIterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
    let is_empty = after.zip(before).is_some_and(|(after, before)| after >= before);
    let bounds = (after.map_or(Bound::Unbounded, Bound::Excluded), before.map_or(Bound::Unbounded, Bound::Excluded));
    let found = (!is_empty).then(|| map.range::<str, _>(bounds));
    found.into_iter().flatten()
}

/// How many nodes stand above a node, itself included.
fn depth(nodes: &BTreeMap<NodeKey, Box<Entry>>, key: NodeKey) -> usize {
    std::iter::successors(Some(key), |key| nodes.get(key).and_then(|entry| entry.parent)).count()
}

/// A value with what its field's declaration says of it.
fn named(field: &Field, value: &Value, quality: Quality) -> FieldValue {
    FieldValue {
        name: field.name.clone(),
        value: value.clone(),
        unit: field.unit.clone(),
        enumeration: if matches!(value, Value::Member(_)) { field.name.clone() } else { String::new() },
        kinds: field.kinds,
        quality,
        controllable: field.control.is_some(),
        localization: Localization::default(),
    }
}

/// Whether a declaration keeps the bounds and its own promises.
fn check(node: &Node) -> Result<(), String> {
    let is_name = |name: &str| !name.is_empty() && name.len() <= limits::NAME_BYTES_MAX;
    if !is_name(&node.id) {
        return Err(format!("a node's id must have 1 to {} bytes", limits::NAME_BYTES_MAX));
    }
    check_fields(&node.fields, &node.id)?;
    if node.commands.len() > limits::COMMANDS_PER_NODE_MAX {
        return Err(format!("node `{}` has more than {} commands", node.id, limits::COMMANDS_PER_NODE_MAX));
    }
    let mut names = BTreeSet::new();
    for command in &node.commands {
        if !is_name(&command.name) || command.label.len() > limits::NAME_BYTES_MAX || !names.insert(&command.name) {
            return Err(format!("a command of node `{}` has no name of its own or too long a one", node.id));
        }
        check_fields(&command.parameters, &node.id)?;
    }
    Ok(())
}

fn check_fields(fields: &[Field], node: &str) -> Result<(), String> {
    let is_name = |name: &str| !name.is_empty() && name.len() <= limits::NAME_BYTES_MAX;
    if fields.len() > limits::FIELDS_PER_NODE_MAX {
        return Err(format!("node `{node}` has more than {} fields", limits::FIELDS_PER_NODE_MAX));
    }
    let mut names = BTreeSet::new();
    for field in fields {
        if !is_name(&field.name) || field.unit.len() > limits::NAME_BYTES_MAX {
            return Err(format!("a field of node `{node}` has no name or too long a one"));
        }
        if !names.insert(&field.name) {
            return Err(format!("node `{node}` declares field `{}` twice", field.name));
        }
    }
    Ok(())
}
