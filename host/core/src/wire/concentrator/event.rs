//! What a data source tells its subscribers: one event a message, no reply.

use minidom::Element;

use super::super::dialect::Dialect;
use super::super::xml::{Tag, node_of, text_of, with_node};
use super::node::{HealthState, NodeInfo, NodeMessage};
use crate::model::{NodeRef, Timestamp};

/// Something happened to a node.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum NodeEvent {
    Added {
        /// The sibling that it follows.
        after: Option<NodeRef>,
        node: NodeInfo,
    },
    Updated {
        /// Its former id, if that changed.
        old_id: Option<String>,
        node: NodeInfo,
    },
    Status {
        node: NodeRef,
        state: HealthState,
        messages: Vec<NodeMessage>,
    },
    Removed(NodeRef),
    /// Among its siblings.
    MovedUp(NodeRef),
    /// Among its siblings.
    MovedDown(NodeRef),
}

/// The payload of the message that tells of it. The first generation does not say when it happened.
pub fn event(dialect: Dialect, event: &NodeEvent, at: Timestamp) -> Element {
    let long = dialect.is_long();
    let tag = |name| {
        let tag = Tag::new(name, dialect.concentrator_ns());
        if long { tag } else { tag.attr("ts", at.to_string()) }
    };
    match event {
        NodeEvent::Added { after, node } => node.write(with_sibling(tag("nodeAdded"), after.as_ref(), long), dialect),
        NodeEvent::Updated { old_id, node } => {
            node.write(tag("nodeUpdated").maybe(if long { "oldId" } else { "oid" }, old_id.as_ref()), dialect)
        }
        NodeEvent::Status { node, state, messages } => with_node(tag("nodeStatusChanged"), node, long)
            .attr("state", state.as_str())
            .children(messages.iter().map(|message| message.to_tag(dialect))),
        NodeEvent::Removed(node) => with_node(tag("nodeRemoved"), node, long),
        NodeEvent::MovedUp(node) => with_node(tag("nodeMovedUp"), node, long),
        NodeEvent::MovedDown(node) => with_node(tag("nodeMovedDown"), node, long),
    }
    .build()
}

impl NodeEvent {
    /// The subscriber's side: reads a message's payload, in any generation. None: it tells of no node.
    pub fn parse(payload: &Element) -> Option<Self> {
        let long = Dialect::from_concentrator_ns(&payload.ns())?.is_long();
        let node = || Some(node_of(payload, long)).filter(|node| !node.id.is_empty());
        match payload.name() {
            "nodeAdded" => {
                let [id, partition] = sibling_names(long);
                let after = payload.attr(id).filter(|id| !id.is_empty()).map(|id| NodeRef {
                    id: id.to_owned(),
                    source: node_of(payload, long).source,
                    partition: text_of(payload, partition),
                });
                Some(Self::Added { after, node: NodeInfo::parse(payload, long)? })
            }
            "nodeUpdated" => {
                let old_id = payload.attr(if long { "oldId" } else { "oid" }).filter(|id| !id.is_empty());
                Some(Self::Updated { old_id: old_id.map(str::to_owned), node: NodeInfo::parse(payload, long)? })
            }
            "nodeStatusChanged" => Some(Self::Status {
                node: node()?,
                state: HealthState::from_attribute(payload.attr("state")),
                messages: payload.children().filter_map(NodeMessage::parse).collect(),
            }),
            "nodeRemoved" => node().map(Self::Removed),
            "nodeMovedUp" => node().map(Self::MovedUp),
            "nodeMovedDown" => node().map(Self::MovedDown),
            _ => None,
        }
    }
}

const fn sibling_names(long: bool) -> [&'static str; 2] {
    if long { ["afterNodeId", "afterNodeCacheType"] } else { ["aid", "apt"] }
}

fn with_sibling(tag: Tag, after: Option<&NodeRef>, long: bool) -> Tag {
    let Some(after) = after else { return tag };
    let [id, partition] = sibling_names(long);
    tag.attr(id, &after.id).filled(partition, &after.partition)
}

#[cfg(test)]
mod tests {
    use super::super::node::MessageKind;
    use super::*;

    fn node() -> NodeInfo {
        NodeInfo { node: NodeRef::new("m1", "MeteringTopology"), ..NodeInfo::default() }
    }

    #[test]
    fn writes_the_example() {
        let at = Timestamp::parse("2025-03-01T10:05:00Z").unwrap();
        let message =
            NodeMessage { at, kind: MessageKind::Error, event_id: String::new(), text: "No reply.".to_owned() };
        let status =
            NodeEvent::Status { node: node().node, state: HealthState::ErrorUnsigned, messages: vec![message] };
        let expected = "<nodeStatusChanged xmlns='urn:nf:iot:concentrator:1.0' state='ErrorUnsigned' id='m1' src='MeteringTopology' ts='2025-03-01T10:05:00Z'>\
                        <message timestamp='2025-03-01T10:05:00Z' type='Error'>No reply.</message></nodeStatusChanged>";
        assert_eq!(event(Dialect::Nf, &status, at), expected.parse().unwrap());
    }

    #[test]
    fn the_first_generation_has_other_names_and_no_time() {
        let after = Some(NodeRef { partition: "p".to_owned(), ..NodeRef::new("m0", "MeteringTopology") });
        let added = NodeEvent::Added { after, node: node() };
        let [long, short] = [Dialect::Xmpp, Dialect::Nfi].map(|dialect| event(dialect, &added, Timestamp(0)));
        assert_eq!(
            (long.attr("afterNodeId"), long.attr("afterNodeCacheType"), long.attr("sourceId"), long.attr("ts")),
            (Some("m0"), Some("p"), Some("MeteringTopology"), None)
        );
        assert_eq!(
            (short.attr("aid"), short.attr("apt"), short.attr("state"), short.attr("ts")),
            (Some("m0"), Some("p"), Some("None"), Some("1970-01-01T00:00:00Z"))
        );
        let renamed = NodeEvent::Updated { old_id: Some("m9".to_owned()), node: node() };
        assert_eq!(event(Dialect::Xmpp, &renamed, Timestamp(0)).attr("oldId"), Some("m9"));
        assert_eq!(event(Dialect::Ieee, &renamed, Timestamp(0)).attr("oid"), Some("m9"));
        let removed = event(Dialect::Nf, &NodeEvent::Removed(node().node), Timestamp(0));
        assert_eq!((removed.name(), removed.attr("id")), ("nodeRemoved", Some("m1")));
    }

    #[test]
    fn every_event_is_read_as_it_was_written_in_every_generation() {
        let at = Timestamp::parse("2025-03-01T10:05:00Z").unwrap();
        let message =
            NodeMessage { at, kind: MessageKind::Error, event_id: "Offline".to_owned(), text: "No.".to_owned() };
        let after = Some(NodeRef { partition: "p".to_owned(), ..NodeRef::new("m0", "MeteringTopology") });
        let events = [
            NodeEvent::Added { after, node: node() },
            NodeEvent::Updated { old_id: Some("m9".to_owned()), node: node() },
            NodeEvent::Status { node: node().node, state: HealthState::ErrorSigned, messages: vec![message] },
            NodeEvent::Removed(node().node),
            NodeEvent::MovedUp(node().node),
            NodeEvent::MovedDown(node().node),
        ];
        for dialect in Dialect::ALL {
            for told in &events {
                let written: Element = String::from(&event(dialect, told, at)).parse().unwrap();
                assert_eq!(NodeEvent::parse(&written).as_ref(), Some(told), "{dialect:?}");
            }
        }
        assert_eq!(NodeEvent::parse(&"<nodeRemoved xmlns='urn:nf:iot:concentrator:1.0'/>".parse().unwrap()), None);
        assert_eq!(NodeEvent::parse(&"<nodeRemoved xmlns='other' id='m1'/>".parse().unwrap()), None);
    }
}
