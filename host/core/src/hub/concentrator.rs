//! Many nodes behind one address: data sources, nodes, and what happens to them (concentrator.md, read-only).
//!
//! Every bridge is a source. The union of all is a tree: bridges on top, ids of nodes prefixed with their bridge's name, so that two bridges
//! may use the same id. What the caller may not see does not exist: not in a list, not as a child, not as a parent.

use jid::BareJid;

use super::addresses::Peer;
use super::lookup::{Place, not_found, refusal, shown_in};
use super::mirror::OFFLINE;
use super::registry::{Entry, NodeKey, UNION};
use super::{Asker, Hub};
use crate::model::{NodeRef, NodeState, Timestamp, Value, limits};
use crate::policy::Access;
use crate::wire::StanzaFault;
use crate::wire::concentrator::{
    self, Answer, DataSource, Detail, MessageKind, NodeInfo, NodeMessage, NodeParameter, Operation, Reply, Request,
};

impl Hub {
    /// Answers an operation.
    pub(super) fn concentrate(&mut self, asker: &Asker, caller: &Peer, request: &Request, now: Timestamp) {
        let reply = match self.operate(caller, request, now) {
            Ok(answer) => concentrator::answer(request, &answer),
            Err(fault) => concentrator::refuse(request, fault),
        };
        match reply {
            Reply::Result(Some(payload)) if String::from(&payload).len() > limits::ANSWER_BYTES_MAX => {
                let fault =
                    StanzaFault::overload("Too many nodes for one answer; ask for root nodes and children instead.");
                self.refuse(asker, &fault);
            }
            Reply::Result(payload) => self.answer(asker, payload),
            Reply::Error(fault) => self.refuse(asker, &fault),
        }
    }

    fn operate(&mut self, caller: &Peer, request: &Request, now: Timestamp) -> Result<Answer, StanzaFault> {
        let bare = caller.bare();
        self.config.policy.of(&bare).check().map_err(refusal)?;
        match &request.operation {
            Operation::Subscribe { source, ttl_s, detail, events, .. } => {
                let watch = (source.as_str(), *ttl_s, *detail, *events);
                self.watch(caller, request.dialect, watch, now).map(|()| Answer::Done)
            }
            Operation::Unsubscribe { source, events } => {
                self.check_source(&bare, source)?;
                self.unwatch(caller, source, *events);
                Ok(Answer::Done)
            }
            operation => self.look(&bare, operation),
        }
    }

    /// Operations that change nothing.
    fn look(&self, caller: &BareJid, operation: &Operation) -> Result<Answer, StanzaFault> {
        let access = &self.config.policy.of(caller);
        let nodes = |nodes| Ok(Answer::Nodes(nodes));
        match operation {
            Operation::GetCapabilities => {
                Ok(Answer::Capabilities(concentrator::OPERATIONS.iter().map(|name| (*name).to_owned()).collect()))
            }
            Operation::GetAllDataSources | Operation::GetRootDataSources => {
                Ok(Answer::DataSources(self.data_sources(access)))
            }
            Operation::ContainsNode(node) => Ok(Answer::Contains(self.visible(access, node).is_ok())),
            Operation::GetNode { node, detail } => {
                let place = self.visible(access, node)?;
                Ok(Answer::Node(Box::new(self.info(access, &place, &node.source, *detail)?)))
            }
            Operation::ContainsNodes(names) => {
                Ok(Answer::ContainsEach(names.iter().map(|name| self.visible(access, name).is_ok()).collect()))
            }
            Operation::GetNodes { nodes: names, detail } => {
                let info = |name: &NodeRef| self.info(access, &self.visible(access, name)?, &name.source, *detail);
                nodes(names.iter().map(info).collect::<Result<_, _>>()?)
            }
            Operation::GetAllNodes { source, detail, types } => {
                self.check_source(caller, source)?;
                let mut found = self.all_nodes(access, source, *detail);
                found.retain(|node| types.is_empty() || types.contains(&node.node_type));
                nodes(found)
            }
            Operation::GetRootNodes { source, detail } => {
                self.check_source(caller, source)?;
                nodes(self.infos(access, self.roots(access, source), source, *detail))
            }
            Operation::GetChildNodes { node, detail } => {
                let place = self.visible(access, node)?;
                nodes(self.infos(access, self.children(access, &place), &node.source, *detail))
            }
            Operation::GetAncestors { node, detail } => {
                let place = self.visible(access, node)?;
                nodes(self.infos(access, self.lineage(access, place, &node.source), &node.source, *detail))
            }
            Operation::GetNodeCommands(node) => self.visible(access, node).map(|_| Answer::Commands),
            Operation::Subscribe { .. } | Operation::Unsubscribe { .. } | Operation::Unsupported(_) => {
                Err(StanzaFault::not_implemented())
            }
        }
    }

    fn data_sources(&self, access: &Access<'_>) -> Vec<DataSource> {
        let bridges = self.registry.sources().filter(|(name, _)| self.sees_bridge(access, name));
        let bridges: Vec<DataSource> = bridges
            .map(|(name, source)| DataSource {
                id: name.to_string(),
                name: if source.label.is_empty() { name.to_string() } else { source.label.clone() },
                has_children: false,
                last_changed: Some(source.changed),
            })
            .collect();
        let last_changed = bridges.iter().filter_map(|source| source.last_changed).max();
        let name = "All bridges".to_owned();
        let union = DataSource { id: UNION.to_owned(), name, has_children: false, last_changed };
        std::iter::once(union).chain(bridges).collect()
    }

    pub(super) fn check_source(&self, caller: &BareJid, source: &str) -> Result<(), StanzaFault> {
        let access = self.config.policy.of(caller);
        match is_union(source) || self.sees_bridge(&access, source) {
            true => Ok(()),
            false => Err(StanzaFault::not_found("Source not found.")),
        }
    }

    /// What a name leads to, if the caller may see it.
    pub(super) fn visible(&self, access: &Access<'_>, name: &NodeRef) -> Result<Place, StanzaFault> {
        let place = self.place(name).ok_or_else(not_found)?;
        let is_seen = match &place {
            Place::Bridge(bridge) => self.sees_bridge(access, bridge),
            Place::Node(key) => self.sees(access, *key),
        };
        if is_seen { Ok(place) } else { Err(not_found()) }
    }

    fn sees(&self, access: &Access<'_>, key: NodeKey) -> bool {
        self.registry.get(key).is_some_and(|entry| access.see(&entry.name).is_ok())
    }

    fn all_nodes(&self, access: &Access<'_>, source: &str, detail: Detail) -> Vec<NodeInfo> {
        let seen = |bridge: &str| -> Vec<Place> {
            let nodes = self.registry.nodes_of(bridge).filter(|(_, entry)| access.see(&entry.name).is_ok());
            nodes.map(|(key, _)| Place::Node(key)).collect()
        };
        let places = match is_union(source) {
            false => seen(source),
            true => {
                let bridges = self.roots(access, source).into_iter();
                bridges.flat_map(|place| std::iter::once(place.clone()).chain(self.beneath(&place, &seen))).collect()
            }
        };
        self.infos(access, places, source, detail)
    }

    fn beneath(&self, place: &Place, seen: &dyn Fn(&str) -> Vec<Place>) -> Vec<Place> {
        match place {
            Place::Bridge(bridge) => seen(bridge),
            Place::Node(_) => Vec::new(),
        }
    }

    /// Nodes without a parent that the caller may see; in the union, the bridges.
    pub(super) fn roots(&self, access: &Access<'_>, source: &str) -> Vec<Place> {
        if is_union(source) {
            let bridges = self.registry.sources().filter(|(name, _)| self.sees_bridge(access, name));
            return bridges.map(|(name, _)| Place::Bridge(name.to_string())).collect();
        }
        let nodes = self.registry.nodes_of(source).filter(|(_, entry)| {
            access.see(&entry.name).is_ok() && !entry.parent.is_some_and(|parent| self.sees(access, parent))
        });
        nodes.map(|(key, _)| Place::Node(key)).collect()
    }

    pub(super) fn children(&self, access: &Access<'_>, place: &Place) -> Vec<Place> {
        match place {
            Place::Bridge(bridge) => self.roots(access, bridge),
            Place::Node(key) => {
                let children = self.registry.get(*key).into_iter().flat_map(|entry| entry.children.iter().copied());
                children.filter(|child| self.sees(access, *child)).map(Place::Node).collect()
            }
        }
    }

    /// The node itself, its parent, and so on, as far as the caller may see.
    fn lineage(&self, access: &Access<'_>, place: Place, source: &str) -> Vec<Place> {
        let Place::Node(key) = &place else { return vec![place] };
        let nodes = self.registry.ancestors(*key).into_iter().take_while(|key| self.sees(access, *key));
        let bridge = self.registry.get(*key).map(|entry| Place::Bridge(entry.bridge.to_string()));
        nodes.map(Place::Node).chain(bridge.filter(|_| source == UNION)).collect()
    }

    fn infos(&self, access: &Access<'_>, places: Vec<Place>, source: &str, detail: Detail) -> Vec<NodeInfo> {
        places.iter().filter_map(|place| self.info(access, place, source, detail).ok()).collect()
    }

    fn info(&self, access: &Access<'_>, place: &Place, source: &str, detail: Detail) -> Result<NodeInfo, StanzaFault> {
        match place {
            Place::Bridge(bridge) => self.bridge_info(bridge).ok_or_else(not_found),
            Place::Node(key) => {
                let entry = self.registry.get(*key).ok_or_else(not_found)?;
                Ok(self.node_info(access, *key, entry, source, detail))
            }
        }
    }

    fn bridge_info(&self, bridge: &str) -> Option<NodeInfo> {
        let source = self.registry.source(bridge)?;
        Some(NodeInfo {
            node: NodeRef::new(bridge, UNION),
            display_name: if source.label.is_empty() { bridge.to_owned() } else { source.label.clone() },
            node_type: "tombolo.bridge".to_owned(),
            has_children: true,
            last_changed: Some(source.changed),
            ..NodeInfo::default()
        })
    }

    pub(super) fn node_info(
        &self,
        access: &Access<'_>,
        key: NodeKey,
        entry: &Entry,
        source: &str,
        detail: Detail,
    ) -> NodeInfo {
        let parent = entry.parent.filter(|parent| self.sees(access, *parent)).and_then(|key| self.registry.get(key));
        let parent = parent.map(|parent| shown_in(source, parent));
        let above = || (source == UNION).then(|| NodeRef::new(&*entry.bridge, UNION));
        NodeInfo {
            node: shown_in(source, entry),
            local_id: Some(entry.label().to_owned()),
            display_name: if entry.node.label.is_empty() {
                entry.node.node_type.clone()
            } else {
                entry.node.label.clone()
            },
            node_type: entry.node.node_type.clone(),
            state: entry.node.state.into(),
            has_children: !self.children(access, &Place::Node(key)).is_empty(),
            readable: !entry.node.fields.is_empty() && access.read(&entry.name).is_ok(),
            controllable: self.may_control(access, entry),
            parent: parent.or_else(above),
            last_changed: Some(entry.changed),
            parameters: if detail.parameters { parameters(entry) } else { Vec::new() },
            messages: if detail.messages { messages(entry) } else { Vec::new() },
            ..NodeInfo::default()
        }
    }
}

/// COMPAT: some clients leave the source out.
pub(super) fn is_union(source: &str) -> bool {
    source == UNION || source.is_empty()
}

fn parameters(entry: &Entry) -> Vec<NodeParameter> {
    let extras = entry.node.extras.iter();
    extras
        .map(|(key, value)| NodeParameter { id: key.clone(), name: key.clone(), value: Value::Text(value.clone()) })
        .collect()
}

fn messages(entry: &Entry) -> Vec<NodeMessage> {
    let (kind, text) = match entry.node.state {
        NodeState::Unknown | NodeState::Online => return Vec::new(),
        NodeState::Warning => (MessageKind::Warning, "The device reports a warning."),
        NodeState::Error => (MessageKind::Error, "The device reports an error."),
        NodeState::Offline => (MessageKind::Error, "The device is offline."),
    };
    // The family has no health for it, so that whoever mirrors the node has to be told here.
    let event_id = if entry.node.state == NodeState::Offline { OFFLINE } else { "" };
    vec![NodeMessage { at: entry.changed, kind, event_id: event_id.to_owned(), text: text.to_owned() }]
}
