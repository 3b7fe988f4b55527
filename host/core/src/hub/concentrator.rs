//! Many nodes behind one address: data sources, nodes, and what happens to them (concentrator.md).
//!
//! Every bridge is a source below the union of all. The union is a tree: bridges on top, ids of nodes prefixed with their bridge's name, so
//! that two bridges may use the same id. What the caller may not see does not exist: not in a list, not as a child, not as a parent.

mod listing;

use jid::BareJid;

use super::addresses::Peer;
use super::lookup::{Place, not_found, refusal, shown_in};
use super::mirror::OFFLINE;
use super::registry::{Entry, NodeKey, UNION};
use super::{Asker, Hub};
use crate::model::{FieldKinds, NodeRef, NodeState, Timestamp, Value, limits};
use crate::policy::Access;
use crate::wire::StanzaFault;
use crate::wire::concentrator::{
    self, Answer, DataSource, Detail, Head, MessageKind, NodeInfo, NodeMessage, NodeParameter, Operation, Reply,
    Request,
};

pub(super) use listing::List;

/// What every node is derived from.
const ANY_NODE: &str = "tombolo.node";
/// The type of the nodes that stand for bridges.
pub(super) const BRIDGE: &str = "tombolo.bridge";

impl Hub {
    /// Answers an operation, at once or when whoever was asked has answered.
    pub(super) fn concentrate(&mut self, asker: Asker, caller: Peer, request: Request, now: Timestamp) {
        let head = request.head();
        if let Err(denial) = self.config.policy.of(&caller.bare()).check() {
            return self.reply(&asker, concentrator::refuse(&head, refusal(denial)));
        }
        match request.operation {
            Operation::SetParametersAfterEdit { of, form } => self.edit(asker, caller, head, &of, &form, now),
            Operation::ExecuteCommand { of, command, form } => {
                self.execute_command(asker, caller, head, (&of, &command), form.as_ref(), now);
            }
            Operation::ExecuteQuery { of, command, query, form } => {
                self.execute_query(&asker, caller, &head, (&of, &command, query), form.as_ref(), now);
            }
            Operation::AbortQuery { of, command, query } => {
                self.abort_query(&asker, &caller, &head, (&of, &command, &query))
            }
            Operation::Subscribe { source, ttl_s, since, detail, events } => {
                let watch = (source.as_str(), ttl_s, detail, events);
                match self.watch(&caller, head.dialect, watch, now) {
                    Ok(()) => {
                        self.reply(&asker, concentrator::answer(&head, &Answer::Done));
                        self.tell_missed(&caller, &source, since);
                    }
                    Err(fault) => self.reply(&asker, concentrator::refuse(&head, fault)),
                }
            }
            Operation::Unsubscribe { source, events } => {
                let answer =
                    self.check_source(&caller.bare(), &source).map(|()| self.unwatch(&caller, &source, events));
                self.conclude_with(&asker, &head, answer.map(|()| Answer::Done));
            }
            _ => {
                let answer = self.look(&caller.bare(), &request);
                self.conclude_with(&asker, &head, answer);
            }
        }
    }

    pub(super) fn conclude_with(&mut self, asker: &Asker, head: &Head, answer: Result<Answer, StanzaFault>) {
        let reply = match answer {
            Ok(answer) => concentrator::answer(head, &answer),
            Err(fault) => concentrator::refuse(head, fault),
        };
        self.reply(asker, reply);
    }

    pub(super) fn reply(&mut self, asker: &Asker, reply: Reply) {
        match reply {
            Reply::Result(Some(payload)) if String::from(&payload).len() > limits::ANSWER_BYTES_MAX => {
                self.refuse(asker, &StanzaFault::overload("Too much for one answer; ask for less at once."));
            }
            Reply::Result(payload) => self.answer(asker, payload),
            Reply::Error(fault) => self.refuse(asker, &fault),
        }
    }

    /// Operations that change nothing.
    fn look(&self, caller: &BareJid, request: &Request) -> Result<Answer, StanzaFault> {
        let access = &self.config.policy.of(caller);
        let list = |list: List, source: &str, detail: Detail, types: &[String]| {
            self.list_nodes(access, &list, (source, detail, types), request)
        };
        match &request.operation {
            Operation::GetCapabilities => {
                Ok(Answer::Capabilities(concentrator::OPERATIONS.iter().map(|name| (*name).to_owned()).collect()))
            }
            Operation::GetAllDataSources => {
                Ok(Answer::DataSources(std::iter::once(self.union(access)).chain(self.bridges(access)).collect()))
            }
            Operation::GetRootDataSources => Ok(Answer::DataSources(vec![self.union(access)])),
            Operation::GetChildDataSources(source) => {
                self.check_source(caller, source)?;
                Ok(Answer::DataSources(if is_union(source) { self.bridges(access).collect() } else { Vec::new() }))
            }
            Operation::ContainsNode(node) => Ok(Answer::Contains(self.visible(access, node).is_ok())),
            Operation::ContainsNodes(names) => {
                Ok(Answer::ContainsEach(names.iter().map(|name| self.visible(access, name).is_ok()).collect()))
            }
            Operation::GetNode { node, detail } => {
                let place = self.visible(access, node)?;
                Ok(Answer::Node(Box::new(self.info(access, &place, &node.source, *detail)?)))
            }
            Operation::GetNodes { nodes: names, detail } => {
                let info = |name: &NodeRef| self.info(access, &self.visible(access, name)?, &name.source, *detail);
                Ok(Answer::Nodes(names.iter().map(info).collect::<Result<_, _>>()?))
            }
            Operation::GetAllNodes { source, detail, types } => {
                self.check_source(caller, source)?;
                list(List::all(source), source, *detail, types)
            }
            Operation::GetRootNodes { source, detail } => {
                self.check_source(caller, source)?;
                list(List::roots(source), source, *detail, &[])
            }
            Operation::GetChildNodes { node, detail } => {
                let place = self.visible(access, node)?;
                list(List::below(place), &node.source, *detail, &[])
            }
            Operation::GetAncestors { node, detail } => {
                let place = self.visible(access, node)?;
                let line = self.lineage(access, place, &node.source);
                let infos = line.iter().filter_map(|place| self.info(access, place, &node.source, *detail).ok());
                Ok(Answer::Nodes(infos.collect()))
            }
            Operation::GetNodeInheritance(node) => {
                let place = self.visible(access, node)?;
                Ok(self.inheritance(&self.info(access, &place, &node.source, Detail::default())?))
            }
            // Nodes come from bridges; nobody adds one from here.
            Operation::GetAddableNodeTypes(node) => self.visible(access, node).map(|_| Answer::NodeTypes(Vec::new())),
            Operation::GetParametersForEdit(of) => self.edit_form(access, of).map(Answer::Form),
            Operation::GetCommands(of) => self.commands_of(access, of).map(Answer::Commands),
            Operation::GetCommandParameters { of, command } => self.command_form(access, of, command).map(Answer::Form),
            Operation::SetParametersAfterEdit { .. }
            | Operation::ExecuteCommand { .. }
            | Operation::ExecuteQuery { .. }
            | Operation::AbortQuery { .. }
            | Operation::Subscribe { .. }
            | Operation::Unsubscribe { .. }
            | Operation::Unsupported(_) => Err(StanzaFault::not_implemented()),
        }
    }

    /// The source that has everything.
    fn union(&self, access: &Access<'_>) -> DataSource {
        let last_changed = self.bridges(access).filter_map(|source| source.last_changed).max();
        let has_children = last_changed.is_some();
        DataSource { id: UNION.to_owned(), name: "All bridges".to_owned(), has_children, last_changed }
    }

    fn bridges<'a>(&'a self, access: &'a Access<'a>) -> impl Iterator<Item = DataSource> + 'a {
        let bridges = self.registry.sources().filter(|(name, _)| self.sees_bridge(access, name));
        bridges.map(|(name, source)| DataSource {
            id: name.to_string(),
            name: if source.label.is_empty() { name.to_string() } else { source.label.clone() },
            has_children: false,
            last_changed: Some(source.changed),
        })
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

    /// The node itself, its parent, and so on, as far as the caller may see.
    fn lineage(&self, access: &Access<'_>, place: Place, source: &str) -> Vec<Place> {
        let Place::Node(key) = &place else { return vec![place] };
        let nodes = self.registry.ancestors(*key).into_iter().take_while(|key| self.sees(access, *key));
        let bridge = self.registry.get(*key).map(|entry| Place::Bridge(entry.bridge.to_string()));
        nodes.map(Place::Node).chain(bridge.filter(|_| source == UNION)).collect()
    }

    fn inheritance(&self, node: &NodeInfo) -> Answer {
        Answer::Inheritance { base_classes: base_classes(&node.node_type), interfaces: interfaces(node) }
    }

    pub(super) fn info(
        &self,
        access: &Access<'_>,
        place: &Place,
        source: &str,
        detail: Detail,
    ) -> Result<NodeInfo, StanzaFault> {
        match place {
            Place::Bridge(bridge) => self.bridge_info(access, bridge).ok_or_else(not_found),
            Place::Node(key) => {
                let entry = self.registry.get(*key).ok_or_else(not_found)?;
                Ok(self.node_info(access, *key, entry, source, detail))
            }
        }
    }

    pub(super) fn bridge_info(&self, access: &Access<'_>, bridge: &str) -> Option<NodeInfo> {
        let source = self.registry.source(bridge)?;
        Some(NodeInfo {
            node: NodeRef::new(bridge, UNION),
            display_name: if source.label.is_empty() { bridge.to_owned() } else { source.label.clone() },
            node_type: BRIDGE.to_owned(),
            has_children: true,
            has_commands: access.controls_all_of(bridge),
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
            has_children: self.walk(access, &List::Below(key), (None, None)).next().is_some(),
            readable: !entry.node.fields.is_empty() && access.read(&entry.name).is_ok(),
            controllable: self.may_control(access, entry),
            has_commands: self.has_commands(access, entry),
            parent: parent.or_else(above),
            last_changed: Some(entry.changed),
            parameters: if detail.parameters { parameters(access, entry) } else { Vec::new() },
            messages: if detail.messages { messages(entry) } else { Vec::new() },
            ..NodeInfo::default()
        }
    }
}

/// COMPAT: some clients leave the source out.
pub(super) fn is_union(source: &str) -> bool {
    source == UNION || source.is_empty()
}

/// What is known of the node itself: whatever else its mapper declared, and the last values of what says who it is and how it is.
fn parameters(access: &Access<'_>, entry: &Entry) -> Vec<NodeParameter> {
    let extras = entry.node.extras.iter();
    let extras = extras.map(|(key, value)| NodeParameter {
        id: key.clone(),
        name: key.clone(),
        value: Value::Text(value.clone()),
    });
    let permit = access.read(&entry.name).ok();
    let fields = entry.node.fields.iter().enumerate().filter(|(_, field)| {
        field.kinds.intersects(FieldKinds::IDENTITY | FieldKinds::STATUS)
            && permit.as_ref().is_some_and(|permit| permit.covers(&field.name))
            && entry.node.extras.iter().all(|(key, _)| *key != field.name)
    });
    let known = fields.filter_map(|(index, field)| {
        let (_, value) = entry.last_value(u16::try_from(index).ok()?)?;
        let name = if field.label.is_empty() { field.name.clone() } else { field.label.clone() };
        let name = if field.unit.is_empty() { name } else { format!("{name} ({})", field.unit) };
        Some(NodeParameter { id: field.name.clone(), name, value: value.clone() })
    });
    extras.chain(known).collect()
}

/// What a type is derived from: whatever stands before its dots, and at last what all nodes are.
fn base_classes(node_type: &str) -> Vec<String> {
    let dots = node_type.match_indices('.').map(|(at, _)| at).rev();
    let named = dots.filter_map(|at| node_type.get(..at)).filter(|name| !name.is_empty());
    named.map(str::to_owned).chain(std::iter::once(ANY_NODE.to_owned())).collect()
}

/// What can be done with a node, whatever it is.
fn interfaces(node: &NodeInfo) -> Vec<String> {
    let can = [
        (node.readable, "tombolo.sensor"),
        (node.controllable, "tombolo.actuator"),
        (node.has_commands, "tombolo.commandable"),
    ];
    can.iter().filter(|(can, _)| *can).map(|(_, name)| (*name).to_owned()).collect()
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
