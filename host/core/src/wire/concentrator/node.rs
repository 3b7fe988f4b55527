//! What a concentrator tells of a node.

use crate::model::{NodeRef, NodeState, Timestamp, Value};

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
