//! What a client asks of a concentrator.

use bitflags::bitflags;
use minidom::Element;

use super::super::dialect::Dialect;
use super::super::sensor::bounded;
use super::super::stanza::StanzaFault;
use super::super::xml::{Tag, flag, lang_of, node_of, with_node};
use crate::model::limits::NAMES_PER_REQUEST_MAX;
use crate::model::{NodeRef, Timestamp};

/// Operations that can be read; what `getCapabilities` may list.
pub const OPERATIONS: &[&str] = &[
    "getCapabilities",
    "getAllDataSources",
    "getRootDataSources",
    "containsNode",
    "containsNodes",
    "getNode",
    "getNodes",
    "getAllNodes",
    "getRootNodes",
    "getChildNodes",
    "getAncestors",
    "getNodeCommands",
    "subscribe",
    "unsubscribe",
];

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The generation asked in.
    pub dialect: Dialect,
    /// Language for names.
    pub lang: Option<String>,
    /// What.
    pub operation: Operation,
}

/// How much is told of each node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// With parameters.
    pub parameters: bool,
    /// With messages.
    pub messages: bool,
}

bitflags! {
    /// What a data source tells its subscribers.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct NodeEvents: u8 {
        /// A node is new.
        const ADDED = 1;
        /// A node is different.
        const UPDATED = 2;
        /// A node's health changed.
        const STATUS = 4;
        /// A node is gone.
        const REMOVED = 8;
        /// A node went up among its siblings.
        const MOVED_UP = 16;
        /// A node went down among its siblings.
        const MOVED_DOWN = 32;
    }
}

/// Event types by attribute; all default to true.
const EVENTS: [(NodeEvents, &str); 6] = [
    (NodeEvents::ADDED, "nodeAdded"),
    (NodeEvents::UPDATED, "nodeUpdated"),
    (NodeEvents::STATUS, "nodeStatusChanged"),
    (NodeEvents::REMOVED, "nodeRemoved"),
    (NodeEvents::MOVED_UP, "nodeMovedUp"),
    (NodeEvents::MOVED_DOWN, "nodeMovedDown"),
];

/// The operations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operation {
    GetCapabilities,
    GetAllDataSources,
    GetRootDataSources,
    ContainsNode(NodeRef),
    ContainsNodes(Vec<NodeRef>),
    GetNode {
        node: NodeRef,
        detail: Detail,
    },
    GetNodes {
        nodes: Vec<NodeRef>,
        detail: Detail,
    },
    GetAllNodes {
        source: String,
        detail: Detail,
        /// Only nodes of these types; empty: of any.
        types: Vec<String>,
    },
    GetRootNodes {
        source: String,
        detail: Detail,
    },
    GetChildNodes {
        node: NodeRef,
        detail: Detail,
    },
    /// The node itself, its parent, and so on to the root.
    GetAncestors {
        node: NodeRef,
        detail: Detail,
    },
    GetNodeCommands(NodeRef),
    Subscribe {
        source: String,
        /// Seconds; none in the first generation, which knows no end.
        ttl_s: Option<u64>,
        /// First tell what happened since.
        since: Option<Timestamp>,
        detail: Detail,
        events: NodeEvents,
    },
    Unsubscribe {
        source: String,
        events: NodeEvents,
    },
    /// One that we do not serve.
    Unsupported(String),
}

impl Request {
    /// Reads any operation.
    pub fn parse(payload: &Element, dialect: Dialect) -> Result<Self, StanzaFault> {
        Ok(Self { dialect, lang: lang_of(payload), operation: Operation::parse(payload, dialect)? })
    }

    /// Writes it; whether it goes into an iq set is [`Operation::changes`].
    pub fn to_element(&self) -> Element {
        let tag = Tag::new(self.operation.name(), self.dialect.concentrator_ns()).lang(self.lang.as_deref());
        self.operation.write(tag, self.dialect).build()
    }
}

impl Operation {
    /// Whether it goes into an iq set.
    pub const fn changes(&self) -> bool {
        matches!(self, Self::Subscribe { .. } | Self::Unsubscribe { .. })
    }

    /// The request's element name.
    pub fn name(&self) -> &str {
        match self {
            Self::GetCapabilities => "getCapabilities",
            Self::GetAllDataSources => "getAllDataSources",
            Self::GetRootDataSources => "getRootDataSources",
            Self::ContainsNode(_) => "containsNode",
            Self::ContainsNodes(_) => "containsNodes",
            Self::GetNode { .. } => "getNode",
            Self::GetNodes { .. } => "getNodes",
            Self::GetAllNodes { .. } => "getAllNodes",
            Self::GetRootNodes { .. } => "getRootNodes",
            Self::GetChildNodes { .. } => "getChildNodes",
            Self::GetAncestors { .. } => "getAncestors",
            Self::GetNodeCommands(_) => "getNodeCommands",
            Self::Subscribe { .. } => "subscribe",
            Self::Unsubscribe { .. } => "unsubscribe",
            Self::Unsupported(name) => name,
        }
    }

    fn parse(payload: &Element, dialect: Dialect) -> Result<Self, StanzaFault> {
        let node = || required_node(payload, dialect);
        let source = || required_source(payload, dialect);
        let detail = Detail { parameters: flag(payload, "parameters"), messages: flag(payload, "messages") };
        Ok(match payload.name() {
            "getCapabilities" => Self::GetCapabilities,
            "getAllDataSources" => Self::GetAllDataSources,
            "getRootDataSources" => Self::GetRootDataSources,
            "containsNode" => Self::ContainsNode(node()?),
            "containsNodes" => Self::ContainsNodes(required_nodes(payload, dialect)?),
            "getNode" => Self::GetNode { node: node()?, detail },
            "getNodes" => Self::GetNodes { nodes: required_nodes(payload, dialect)?, detail },
            "getAllNodes" => Self::GetAllNodes { source: source()?, detail, types: types_of(payload)? },
            "getRootNodes" => Self::GetRootNodes { source: source()?, detail },
            "getChildNodes" => Self::GetChildNodes { node: node()?, detail },
            "getAncestors" => Self::GetAncestors { node: node()?, detail },
            "getNodeCommands" => Self::GetNodeCommands(node()?),
            "subscribe" => Self::Subscribe {
                source: source()?,
                ttl_s: ttl_of(payload, dialect)?,
                since: since_of(payload)?,
                detail,
                events: events_of(payload),
            },
            "unsubscribe" => Self::Unsubscribe { source: source()?, events: events_of(payload) },
            other => Self::Unsupported(bounded(other)?),
        })
    }

    fn write(&self, tag: Tag, dialect: Dialect) -> Tag {
        let long = dialect.is_long();
        let with_source = |tag: Tag, source: &str| tag.attr(source_name(dialect), source);
        match self {
            Self::GetCapabilities | Self::GetAllDataSources | Self::GetRootDataSources | Self::Unsupported(_) => tag,
            Self::ContainsNode(node) | Self::GetNodeCommands(node) => with_node(tag, node, long),
            Self::GetNode { node, detail }
            | Self::GetChildNodes { node, detail }
            | Self::GetAncestors { node, detail } => detail.write(with_node(tag, node, long)),
            Self::ContainsNodes(nodes) => with_nodes(tag, nodes, dialect),
            Self::GetNodes { nodes, detail } => detail.write(with_nodes(tag, nodes, dialect)),
            Self::GetRootNodes { source, detail } => detail.write(with_source(tag, source)),
            Self::GetAllNodes { source, detail, types } => detail
                .write(with_source(tag, source))
                .children(types.iter().map(|name| Tag::new("onlyIfDerivedFrom", dialect.concentrator_ns()).text(name))),
            Self::Subscribe { source, ttl_s, since, detail, events } => {
                let tag = detail.write(with_source(tag, source)).maybe("ttl", ttl_s.map(|ttl| ttl.to_string()));
                with_events(tag.maybe("getEventsSince", since.map(|since| since.to_string())), *events)
            }
            Self::Unsubscribe { source, events } => with_events(with_source(tag, source), *events),
        }
    }
}

impl Detail {
    fn write(self, tag: Tag) -> Tag {
        tag.flag("parameters", self.parameters).flag("messages", self.messages)
    }
}

pub(super) const fn source_name(dialect: Dialect) -> &'static str {
    if dialect.is_long() { "sourceId" } else { "src" }
}

fn required_node(payload: &Element, dialect: Dialect) -> Result<NodeRef, StanzaFault> {
    let node = node_of(payload, dialect.is_long());
    if node.id.is_empty() {
        return Err(StanzaFault::bad_request("The request names no node."));
    }
    Ok(node)
}

const fn node_name(dialect: Dialect) -> &'static str {
    if dialect.is_long() { "node" } else { "nd" }
}

/// The nodes of a plural operation, in their order.
fn required_nodes(payload: &Element, dialect: Dialect) -> Result<Vec<NodeRef>, StanzaFault> {
    let named = payload.children().filter(|child| child.name() == node_name(dialect));
    let nodes: Vec<NodeRef> =
        named.take(NAMES_PER_REQUEST_MAX + 1).map(|node| node_of(node, dialect.is_long())).collect();
    match nodes.len() {
        0 => Err(StanzaFault::bad_request("No nodes specified.")),
        count if count > NAMES_PER_REQUEST_MAX => {
            Err(StanzaFault::overload(format!("At most {NAMES_PER_REQUEST_MAX} names fit into one request.")))
        }
        _ => Ok(nodes),
    }
}

fn with_nodes(tag: Tag, nodes: &[NodeRef], dialect: Dialect) -> Tag {
    let name = |node| with_node(Tag::new(node_name(dialect), dialect.concentrator_ns()), node, dialect.is_long());
    tag.children(nodes.iter().map(name))
}

fn required_source(payload: &Element, dialect: Dialect) -> Result<String, StanzaFault> {
    let source = payload.attr(source_name(dialect));
    source.map(bounded).unwrap_or_else(|| Err(StanzaFault::bad_request("The request names no data source.")))
}

fn types_of(payload: &Element) -> Result<Vec<String>, StanzaFault> {
    let types = payload.children().filter(|child| child.name() == "onlyIfDerivedFrom");
    types.take(NAMES_PER_REQUEST_MAX).map(|child| bounded(&child.text())).collect()
}

/// The first generation subscribes until further notice.
fn ttl_of(payload: &Element, dialect: Dialect) -> Result<Option<u64>, StanzaFault> {
    if dialect.is_long() {
        return Ok(None);
    }
    let ttl = payload.attr("ttl").and_then(|text| text.trim().parse().ok()).filter(|seconds| *seconds > 0);
    ttl.map(Some).ok_or_else(|| StanzaFault::bad_request("Invalid timeout value."))
}

fn since_of(payload: &Element) -> Result<Option<Timestamp>, StanzaFault> {
    let since = payload.attr("getEventsSince").map(|text| Timestamp::parse(text).ok_or(()));
    since.transpose().map_err(|()| StanzaFault::bad_request("The attribute getEventsSince is no xs:dateTime."))
}

fn events_of(payload: &Element) -> NodeEvents {
    let wanted = EVENTS.iter().filter(|(_, name)| payload.attr(*name).is_none() || flag(payload, name));
    wanted.map(|(event, _)| *event).collect()
}

fn with_events(tag: Tag, events: NodeEvents) -> Tag {
    let unwanted = EVENTS.iter().filter(|(event, _)| !events.contains(*event));
    unwanted.fold(tag, |tag, (_, name)| tag.truth(name, false))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::stanza::Condition;
    use super::*;

    fn parse(xml: &str) -> Result<Request, StanzaFault> {
        let payload: Element = xml.parse().unwrap();
        Request::parse(&payload, Dialect::from_concentrator_ns(&payload.ns()).unwrap())
    }

    #[test]
    fn reads_the_example() {
        let request = parse("<getRootNodes xmlns='urn:nf:iot:concentrator:1.0' src='MeteringTopology' parameters='true' messages='true' xml:lang='en'/>").unwrap();
        let detail = Detail { parameters: true, messages: true };
        assert_eq!(request.operation, Operation::GetRootNodes { source: "MeteringTopology".to_owned(), detail });
        assert_eq!(request.lang.as_deref(), Some("en"));
    }

    #[test]
    fn subscriptions_want_everything_unless_told_otherwise() {
        let request = parse(
            "<subscribe xmlns='urn:nf:iot:concentrator:1.0' src='s' ttl='60' nodeMovedUp='false' nodeMovedDown='0'/>",
        )
        .unwrap();
        let Operation::Subscribe { ttl_s, events, .. } = request.operation else { panic!() };
        assert_eq!((ttl_s, events), (Some(60), NodeEvents::all() - NodeEvents::MOVED_UP - NodeEvents::MOVED_DOWN));
        assert!(parse("<subscribe xmlns='urn:xmpp:iot:concentrators' sourceId='s'/>").is_ok());
    }

    #[test]
    fn refuses_what_names_nothing_or_never_ends() {
        for xml in [
            "<getNode xmlns='urn:nf:iot:concentrator:1.0' src='s'/>",
            "<getNodes xmlns='urn:nf:iot:concentrator:1.0'/>",
            "<getRootNodes xmlns='urn:nf:iot:concentrator:1.0'/>",
            "<getAllNodes xmlns='urn:xmpp:iot:concentrators' src='s'/>",
            "<subscribe xmlns='urn:nf:iot:concentrator:1.0' src='s'/>",
            "<subscribe xmlns='urn:nf:iot:concentrator:1.0' src='s' ttl='0'/>",
            "<subscribe xmlns='urn:nf:iot:concentrator:1.0' src='s' ttl='1' getEventsSince='x'/>",
        ] {
            assert_eq!(parse(xml).unwrap_err().condition, Condition::BadRequest, "{xml}");
        }
    }

    #[test]
    fn keeps_the_name_of_what_is_not_served() {
        let request = parse("<destroyNode xmlns='urn:nf:iot:concentrator:1.0' id='a'/>").unwrap();
        assert_eq!(request.operation, Operation::Unsupported("destroyNode".to_owned()));
    }

    fn any_operation() -> impl Strategy<Value = Operation> {
        let text = "[^\\x00-\\x1f\u{fffe}\u{ffff}]{1,8}";
        let detail = || {
            proptest::array::uniform2(any::<bool>()).prop_map(|[parameters, messages]| Detail { parameters, messages })
        };
        let node = move || text.prop_map(|id| NodeRef { partition: id.clone(), ..NodeRef::new(id, "s") });
        let events = || (0..64_u8).prop_map(NodeEvents::from_bits_truncate);
        let since = proptest::option::of((0..4_000_000_000_000_000_i64).prop_map(Timestamp));
        prop_oneof![
            Just(Operation::GetCapabilities),
            Just(Operation::GetAllDataSources),
            Just(Operation::GetRootDataSources),
            node().prop_map(Operation::ContainsNode),
            node().prop_map(Operation::GetNodeCommands),
            proptest::collection::vec(node(), 1..3).prop_map(Operation::ContainsNodes),
            (proptest::collection::vec(node(), 1..3), detail())
                .prop_map(|(nodes, detail)| Operation::GetNodes { nodes, detail }),
            (node(), detail()).prop_map(|(node, detail)| Operation::GetNode { node, detail }),
            (node(), detail()).prop_map(|(node, detail)| Operation::GetChildNodes { node, detail }),
            (node(), detail()).prop_map(|(node, detail)| Operation::GetAncestors { node, detail }),
            (text, detail()).prop_map(|(source, detail)| Operation::GetRootNodes { source, detail }),
            (text, detail(), proptest::collection::vec(text, 0..3))
                .prop_map(|(source, detail, types)| Operation::GetAllNodes { source, detail, types }),
            (text, 1..u64::MAX, since, detail(), events()).prop_map(|(source, ttl, since, detail, events)| {
                Operation::Subscribe { source, ttl_s: Some(ttl), since, detail, events }
            }),
            (text, events()).prop_map(|(source, events)| Operation::Unsubscribe { source, events }),
            Just(Operation::Unsupported("moveNodeUp".to_owned())),
        ]
    }

    proptest! {
        #[test]
        fn every_request_is_read_as_it_was_written(
            dialect in proptest::sample::select(&Dialect::ALL[..]), lang in proptest::option::of("[a-z]{2}"), operation in any_operation(),
        ) {
            let operation = match operation {
                Operation::Subscribe { source, since, detail, events, .. } if dialect.is_long() => Operation::Subscribe { source, ttl_s: None, since, detail, events },
                other => other,
            };
            let request = Request { dialect, lang, operation };
            prop_assert_eq!(parse(&String::from(&request.to_element())), Ok(request));
        }
    }
}
