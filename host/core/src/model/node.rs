//! Nodes: things as they are shown behind a bridge.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::field::Field;

/// How the family addresses a node: id, data source, partition; empty where absent (XEP-0326 §2).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeRef {
    /// Unique within source and partition.
    pub id: String,
    /// The data source; ours is the bridge's name.
    pub source: String,
    /// A division of the source; we have none of our own.
    pub partition: String,
}

impl NodeRef {
    /// A node of a bridge.
    pub fn new(id: impl Into<String>, source: impl Into<String>) -> Self {
        Self { id: id.into(), source: source.into(), partition: String::new() }
    }
}

impl fmt::Display for NodeRef {
    /// `source/id`, as the operator's rules write it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.source, self.id)
    }
}

/// The extra of a node that shows somebody else's thing: where that thing is at home, as `JID/source/id`.
pub const ORIGIN: &str = "tombolo.origin";
/// The extra that says through how many hosts' hands it has come.
pub const HOPS: &str = "tombolo.hops";

/// How the host answers a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Readout {
    /// From the last report.
    Reported,
    /// By asking the mapper.
    OnRequest,
}

/// What the mapper knows of a node's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum NodeState {
    /// Nothing heard yet.
    Unknown,
    Online,
    Offline,
    Warning,
    Error,
}

/// Something a node can be told to do that is not setting a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Unique within the node.
    pub name: String,
    /// For people.
    pub label: String,
    /// What it wants to know.
    pub parameters: Vec<Field>,
}

/// A thing, as its mapper declares it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Names it between mapper and host.
    pub number: u32,
    /// Unique within the bridge, stable over restarts.
    pub id: String,
    /// Put before this one.
    pub parent: Option<u32>,
    /// What it is in its own protocol.
    pub node_type: String,
    /// For people; empty: the id serves.
    pub label: String,
    /// Its health.
    pub state: NodeState,
    /// How reads are answered.
    pub readout: Readout,
    /// What it has; readings name them by index.
    pub fields: Vec<Field>,
    /// What it can do.
    pub commands: Vec<Command>,
    /// Whatever else is known, key and value.
    pub extras: Vec<(String, String)>,
}

impl Node {
    /// The value of an extra.
    pub fn extra(&self, key: &str) -> Option<&str> {
        self.extras.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}
