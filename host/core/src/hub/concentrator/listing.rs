//! Lists of nodes, walked and not copied: a bridge may have 100,000.
//!
//! Owns the order of each list and where a part of it begins and ends. Whoever asks for a list as a whole gets it as far as it fits into one
//! answer, or is told to ask for parts: half a list that looks like a whole one would be worse than none. A part (XEP-0059) tells how many there
//! are where that is known without a walk through all of them.

use super::super::Hub;
use super::super::lookup::Place;
use super::super::registry::{Between, NodeKey};
use super::{base_classes, interfaces, is_union};
use crate::model::{NodeRef, limits};
use crate::policy::Access;
use crate::wire::StanzaFault;
use crate::wire::concentrator::{Answer, Detail, NodeInfo, Request, node_bytes};
use crate::wire::paging::{self as page, Page};

/// A list of nodes.
#[derive(Clone, Debug)]
pub(in super::super) enum List {
    /// The bridges, on top of the union.
    Bridges,
    /// Nodes of a bridge without a parent that the caller may see, by id.
    Roots(String),
    /// Nodes right below one, in the order in which they came.
    Below(NodeKey),
    /// A bridge's nodes, by id.
    Nodes(String),
    /// Bridges, each followed by its nodes.
    Everything,
}

impl List {
    pub(in super::super) fn roots(source: &str) -> Self {
        if is_union(source) { Self::Bridges } else { Self::Roots(source.to_owned()) }
    }

    pub(super) fn all(source: &str) -> Self {
        if is_union(source) { Self::Everything } else { Self::Nodes(source.to_owned()) }
    }

    pub(in super::super) fn below(place: Place) -> Self {
        match place {
            Place::Bridge(bridge) => Self::Roots(bridge),
            Place::Node(key) => Self::Below(key),
        }
    }
}

/// Walks in either direction.
type Walk<'a> = Box<dyn DoubleEndedIterator<Item = Place> + 'a>;

/// What a list is asked with: the source in which it is shown, how much of each node, and which types only.
pub(super) type Wanted<'a> = (&'a str, Detail, &'a [String]);

impl Hub {
    /// What the caller may see of a list, between two places of it.
    pub(in super::super) fn walk<'a>(
        &'a self,
        access: &'a Access<'a>,
        list: &'a List,
        between: Between<&'a Place>,
    ) -> Walk<'a> {
        match list {
            List::Bridges => {
                let names = self.registry.names_between((bridge_of(self, between.0), bridge_of(self, between.1)));
                let seen = names.filter(|name| self.sees_bridge(access, name));
                Box::new(seen.map(|name| Place::Bridge(name.to_string())))
            }
            List::Roots(bridge) if access.sees_all_of(bridge) => {
                Box::new(self.registry.roots_between(bridge, self.ids(between)).map(Place::Node))
            }
            List::Roots(bridge) => {
                let nodes = self.registry.nodes_between(bridge, self.ids(between));
                let roots = nodes.filter(|(_, entry)| {
                    access.see(&entry.name).is_ok() && !entry.parent.is_some_and(|parent| self.sees(access, parent))
                });
                Box::new(roots.map(|(key, _)| Place::Node(key)))
            }
            List::Below(key) => {
                let children = self.registry.children_between(*key, (key_of(between.0), key_of(between.1)));
                Box::new(children.filter(|child| self.sees(access, *child)).map(Place::Node))
            }
            List::Nodes(bridge) => self.nodes(access, bridge, self.ids(between)),
            List::Everything => self.everything(access, between),
        }
    }

    fn nodes<'a>(&'a self, access: &'a Access<'a>, bridge: &'a str, ids: Between<&'a str>) -> Walk<'a> {
        let nodes = self.registry.nodes_between(bridge, ids);
        Box::new(nodes.filter(|(_, entry)| access.see(&entry.name).is_ok()).map(|(key, _)| Place::Node(key)))
    }

    fn everything<'a>(&'a self, access: &'a Access<'a>, (after, before): Between<&'a Place>) -> Walk<'a> {
        let (first, last) =
            (after.and_then(|place| self.bridge_at(place)), before.and_then(|place| self.bridge_at(place)));
        let is_wanted =
            move |name: &str| first.is_none_or(|first| name >= first) && last.is_none_or(|last| name <= last);
        let names = self.registry.names_between((None, None)).filter(move |name| is_wanted(name));
        Box::new(names.flat_map(move |name| -> Walk<'a> {
            let is_first = after.is_some() && first == Some(&**name);
            let is_last = before.is_some() && last == Some(&**name);
            if is_last && matches!(before, Some(Place::Bridge(_))) {
                return Box::new(std::iter::empty());
            }
            let ids = (
                after.filter(|_| is_first).and_then(|place| self.id_of(place)),
                before.filter(|_| is_last).and_then(|place| self.id_of(place)),
            );
            let nodes = self.nodes(access, name, ids);
            match is_first || !self.sees_bridge(access, name) {
                true => nodes,
                false => Box::new(std::iter::once(Place::Bridge(name.to_string())).chain(nodes)),
            }
        }))
    }

    fn bridge_at<'a>(&'a self, place: &'a Place) -> Option<&'a str> {
        match place {
            Place::Bridge(bridge) => Some(bridge),
            Place::Node(key) => self.registry.get(*key).map(|entry| &*entry.bridge),
        }
    }

    fn id_of(&self, place: &Place) -> Option<&str> {
        match place {
            Place::Bridge(_) => None,
            Place::Node(key) => self.registry.get(*key).map(|entry| entry.node.id.as_str()),
        }
    }

    fn ids<'a>(&'a self, (after, before): Between<&Place>) -> Between<&'a str> {
        (after.and_then(|place| self.id_of(place)), before.and_then(|place| self.id_of(place)))
    }

    /// Answers with a list, or with the part of it that is asked for.
    pub(super) fn list_nodes(
        &self,
        access: &Access<'_>,
        list: &List,
        wanted: Wanted<'_>,
        request: &Request,
    ) -> Result<Answer, StanzaFault> {
        match &request.page {
            None => {
                let (nodes, is_whole) =
                    self.fill(access, self.walk(access, list, (None, None)), wanted, request, usize::MAX);
                match is_whole {
                    true => Ok(Answer::Nodes(nodes)),
                    false => Err(StanzaFault::overload(
                        "Too many nodes for one answer; ask for parts of it (XEP-0059), or for root nodes and children instead.",
                    )),
                }
            }
            Some(page) => self.part(access, list, wanted, request, page),
        }
    }

    fn part(
        &self,
        access: &Access<'_>,
        list: &List,
        wanted: Wanted<'_>,
        request: &Request,
        page: &Page,
    ) -> Result<Answer, StanzaFault> {
        let place = |id: &String| self.visible(access, &NodeRef::new(id, wanted.0));
        let after = page.after.as_ref().map(place).transpose()?;
        let before = page.before.as_ref().filter(|id| !id.is_empty()).map(place).transpose()?;
        let walk = self.walk(access, list, (after.as_ref(), before.as_ref()));
        let max = page.max.unwrap_or(usize::MAX);
        let (nodes, is_whole) = match page.before {
            None => self.fill(access, walk, wanted, request, max),
            Some(_) => {
                let (mut nodes, is_whole) = self.fill(access, walk.rev(), wanted, request, max);
                nodes.reverse();
                (nodes, is_whole)
            }
        };
        let is_from_the_start = after.is_none() && (page.before.is_none() || is_whole);
        let is_all = is_whole && after.is_none() && before.is_none();
        let count = if is_all { Some(nodes.len()) } else { self.count(access, list, wanted) };
        let id = |node: Option<&NodeInfo>| node.map(|node| node.node.id.clone());
        let index = is_from_the_start.then_some(0);
        let place = page::Place { first: id(nodes.first()), index, last: id(nodes.last()), count };
        Ok(Answer::Part(nodes, place))
    }

    /// As many as are wanted and fit into one answer, at least one, or nobody would come further; and whether that is all there is.
    fn fill(
        &self,
        access: &Access<'_>,
        walk: impl Iterator<Item = Place>,
        (source, detail, types): Wanted<'_>,
        request: &Request,
        max: usize,
    ) -> (Vec<NodeInfo>, bool) {
        let (mut nodes, mut bytes) = (Vec::new(), 0);
        for place in walk {
            let Ok(node) = self.info(access, &place, source, detail) else { continue };
            if !is_of(&node, types) {
                continue;
            }
            bytes += node_bytes(&node, request.dialect);
            if nodes.len() >= max || (bytes > limits::ANSWER_BYTES_MAX - FRAME_BYTES && !nodes.is_empty()) {
                return (nodes, false);
            }
            nodes.push(node);
        }
        (nodes, true)
    }

    /// How many there are, if nobody has to walk for it.
    fn count(&self, access: &Access<'_>, list: &List, (_, _, types): Wanted<'_>) -> Option<usize> {
        match list {
            List::Roots(bridge) => access.sees_all_of(bridge).then(|| self.registry.roots_count(bridge)),
            List::Below(key) => {
                let bridge = &self.registry.get(*key)?.bridge;
                access.sees_all_of(bridge).then(|| self.registry.children_count(*key))
            }
            List::Bridges | List::Nodes(_) | List::Everything => None,
        }
        .filter(|_| types.is_empty())
    }
}

/// Bytes of an answer beside its nodes: its own element, and where the part stands in its list.
const FRAME_BYTES: usize = 4096;

/// Whether a node is of one of these types, or derived from it.
fn is_of(node: &NodeInfo, types: &[String]) -> bool {
    let is = |wanted: &String| {
        node.node_type == *wanted || base_classes(&node.node_type).contains(wanted) || interfaces(node).contains(wanted)
    };
    types.is_empty() || types.iter().any(is)
}

fn key_of(place: Option<&Place>) -> Option<NodeKey> {
    match place {
        Some(Place::Node(key)) => Some(*key),
        Some(Place::Bridge(_)) | None => None,
    }
}

fn bridge_of<'a>(hub: &'a Hub, place: Option<&'a Place>) -> Option<&'a str> {
    place.and_then(|place| hub.bridge_at(place))
}
