//! What a concentrator tells of a node: attributes, parameters, messages, in both codecs.

use minidom::Element;

use super::super::dialect::Dialect;
use super::super::lexical;
use super::super::xml::{Tag, flag, node_of, text_of, with_node};
use crate::model::{NodeRef, NodeState, Timestamp, Value, ValueType};

/// Health as concentrators write it, in rising severity; signed: an operator took notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum HealthState {
    #[default]
    None,
    Information,
    WarningSigned,
    WarningUnsigned,
    ErrorSigned,
    ErrorUnsigned,
}

/// How health is written.
const STATES: [(HealthState, &str); 6] = [
    (HealthState::None, "None"),
    (HealthState::Information, "Information"),
    (HealthState::WarningSigned, "WarningSigned"),
    (HealthState::WarningUnsigned, "WarningUnsigned"),
    (HealthState::ErrorSigned, "ErrorSigned"),
    (HealthState::ErrorUnsigned, "ErrorUnsigned"),
];

impl HealthState {
    /// As the `state` attribute writes it.
    pub fn as_str(self) -> &'static str {
        STATES.iter().find(|(state, _)| *state == self).map_or("None", |(_, name)| name)
    }

    pub(super) fn from_attribute(text: Option<&str>) -> Self {
        STATES.iter().find(|(_, name)| Some(*name) == text).map_or(Self::None, |(state, _)| *state)
    }
}

impl From<NodeState> for HealthState {
    fn from(state: NodeState) -> Self {
        match state {
            NodeState::Unknown | NodeState::Online => Self::None,
            NodeState::Warning => Self::WarningUnsigned,
            NodeState::Offline | NodeState::Error => Self::ErrorUnsigned,
        }
    }
}

/// A node, as a concentrator shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeInfo {
    /// Which.
    pub node: NodeRef,
    /// Within its parent, for people.
    pub local_id: Option<String>,
    /// In logs.
    pub log_id: Option<String>,
    /// Name of its type, for people.
    pub display_name: String,
    /// Its type.
    pub node_type: String,
    /// Its health.
    pub state: HealthState,
    /// Others stand below it.
    pub has_children: bool,
    /// Their order means something.
    pub children_ordered: bool,
    /// Readouts are answered.
    pub readable: bool,
    /// Parameters can be set.
    pub controllable: bool,
    /// It has commands.
    pub has_commands: bool,
    /// Its communication can be watched; unknown to the first generation.
    pub sniffable: bool,
    /// It stands below this one, in the same source.
    pub parent: Option<NodeRef>,
    /// When its declaration changed last.
    pub last_changed: Option<Timestamp>,
    /// Only if asked for.
    pub parameters: Vec<NodeParameter>,
    /// Only if asked for.
    pub messages: Vec<NodeMessage>,
}

/// Something that is known of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeParameter {
    /// For machines.
    pub id: String,
    /// For people.
    pub name: String,
    /// The value; dates and members of enumerations are written as texts.
    pub value: Value,
}

/// How grave a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MessageKind {
    Error,
    Warning,
    #[default]
    Information,
}

/// Something that happened to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeMessage {
    /// When.
    pub at: Timestamp,
    /// How grave.
    pub kind: MessageKind,
    /// For machines; empty for none.
    pub event_id: String,
    /// For people.
    pub text: String,
}

/// Types of parameters, by element; the same names in both codecs. There are none for dates and enumerations.
const PARAMETER_TYPES: [(&str, ValueType); 9] = [
    ("boolean", ValueType::Boolean),
    ("color", ValueType::Colour),
    ("dateTime", ValueType::Instant),
    ("double", ValueType::Quantity),
    ("duration", ValueType::Duration),
    ("int", ValueType::Int32),
    ("long", ValueType::Int64),
    ("string", ValueType::Text),
    ("time", ValueType::TimeOfDay),
];

impl NodeInfo {
    /// Reads attributes and children; none: it names no node.
    pub(super) fn parse(element: &Element, long: bool) -> Option<Self> {
        let node = node_of(element, long);
        let [parent_id, parent_partition] = parent_names(long);
        let parent = element.attr(parent_id).filter(|id| !id.is_empty()).map(|id| NodeRef {
            id: id.to_owned(),
            source: node.source.clone(),
            partition: text_of(element, parent_partition),
        });
        let optional = |name: &str| element.attr(name).map(str::to_owned);
        (!node.id.is_empty()).then(|| Self {
            node,
            local_id: optional("localId"),
            log_id: optional("logId"),
            display_name: text_of(element, "displayName"),
            node_type: text_of(element, "nodeType"),
            state: HealthState::from_attribute(element.attr("state")),
            has_children: flag(element, "hasChildren"),
            children_ordered: flag(element, "childrenOrdered"),
            readable: flag(element, "isReadable"),
            controllable: flag(element, "isControllable"),
            has_commands: flag(element, "hasCommands"),
            sniffable: flag(element, "sniffable"),
            parent,
            last_changed: element.attr("lastChanged").and_then(Timestamp::parse),
            parameters: element.children().filter_map(NodeParameter::parse).collect(),
            messages: element.children().filter_map(NodeMessage::parse).collect(),
        })
    }

    /// Writes attributes and children. `state` and `hasChildren` are required; the reference's client also wants `lastChanged`.
    pub(super) fn write(&self, tag: Tag, dialect: Dialect) -> Tag {
        let long = dialect.is_long();
        let [parent_id, parent_partition] = parent_names(long);
        let partition = self.parent.as_ref().map(|parent| parent.partition.as_str()).unwrap_or_default();
        with_node(tag, &self.node, long)
            .maybe("localId", self.local_id.as_ref())
            .maybe("logId", self.log_id.as_ref())
            .filled("displayName", &self.display_name)
            .filled("nodeType", &self.node_type)
            .attr("state", self.state.as_str())
            .truth("hasChildren", self.has_children)
            .flag("childrenOrdered", self.children_ordered)
            .flag("isReadable", self.readable)
            .flag("isControllable", self.controllable)
            .flag("hasCommands", self.has_commands)
            .flag("sniffable", self.sniffable && !long)
            .maybe(parent_id, self.parent.as_ref().map(|parent| &parent.id))
            .filled(parent_partition, partition)
            .maybe("lastChanged", self.last_changed.map(|at| at.to_string()))
            .children(self.parameters.iter().map(|parameter| parameter.to_tag(dialect)))
            .children(self.messages.iter().map(|message| message.to_tag(dialect)))
    }
}

const fn parent_names(long: bool) -> [&'static str; 2] {
    if long { ["parentId", "parentCacheType"] } else { ["parentId", "parentPartition"] }
}

impl NodeParameter {
    fn parse(element: &Element) -> Option<Self> {
        let (_, value_type) = PARAMETER_TYPES.iter().find(|(name, _)| *name == element.name())?;
        let text = element.attr("value")?;
        let value = lexical::parse(text, *value_type).unwrap_or_else(|| Value::Text(text.to_owned()));
        Some(Self { id: element.attr("id")?.to_owned(), name: text_of(element, "name"), value })
    }

    fn to_tag(&self, dialect: Dialect) -> Tag {
        let name = match self.value {
            Value::Boolean(_) => "boolean",
            Value::Int32(_) => "int",
            Value::Int64(_) => "long",
            Value::Decimal(_) | Value::Double(_) => "double",
            Value::Instant(_) => "dateTime",
            Value::TimeOfDay(_) => "time",
            Value::Duration(_) => "duration",
            Value::Text(_) | Value::Date(_) | Value::Member(_) => "string",
        };
        Tag::new(name, dialect.concentrator_ns())
            .attr("id", &self.id)
            .attr("name", &self.name)
            .attr("value", lexical::write(&self.value))
    }
}

impl NodeMessage {
    pub(super) fn parse(element: &Element) -> Option<Self> {
        let kind = match element.attr("type") {
            _ if element.name() != "message" => return None,
            Some("Error") => MessageKind::Error,
            Some("Warning") => MessageKind::Warning,
            _ => MessageKind::Information,
        };
        let at = element.attr("timestamp").and_then(Timestamp::parse)?;
        Some(Self { at, kind, event_id: text_of(element, "eventId"), text: element.text() })
    }

    pub(super) fn to_tag(&self, dialect: Dialect) -> Tag {
        let kind = match self.kind {
            MessageKind::Error => "Error",
            MessageKind::Warning => "Warning",
            MessageKind::Information => "Information",
        };
        let tag =
            Tag::new("message", dialect.concentrator_ns()).attr("timestamp", self.at.to_string()).attr("type", kind);
        tag.filled("eventId", &self.event_id).text(&self.text)
    }
}
