//! Readings: as mappers hand them over (by number), and as people and peers see them (by name).

use serde::{Deserialize, Serialize};

use super::field::{FieldKinds, Quality};
use super::node::NodeRef;
use super::now::Timestamp;
use super::value::Value;

/// One field's value, by number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Index into the node's declared fields.
    pub field: u16,
    /// Must fit the declared type.
    pub value: Value,
    /// None set: an automatic readout.
    pub quality: Quality,
}

/// Fields of a node at one instant, by number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The declared node.
    pub node: u32,
    /// When it was so.
    pub at: Timestamp,
    /// The values.
    pub samples: Vec<Sample>,
}

/// One new value for a controllable field, by number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Index into the node's declared fields.
    pub field: u16,
    /// Checked against type and constraint.
    pub value: Value,
}

/// One field's value, by name: what crosses the XMPP wire in both directions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldValue {
    /// The field's name.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// Unit of a quantity; empty for none.
    pub unit: String,
    /// Name of the enumeration of a [`Value::Member`]; empty where unknown.
    pub enumeration: String,
    /// What it is about.
    pub kinds: FieldKinds,
    /// How good it is.
    pub quality: Quality,
    /// A control parameter of the same name exists.
    pub controllable: bool,
    /// How the name is said in other languages.
    #[serde(default, skip_serializing_if = "Localization::is_none")]
    pub localization: Localization,
}

/// Where a reader that has the string tables finds the name of a field in its own language: start with nothing; at each step look the string up, and
/// put what there is and the seed into it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Localization {
    /// Of those steps that do not say; empty for none.
    pub namespace: String,
    /// In their order; empty: nobody knows.
    pub steps: Vec<LocalizationStep>,
}

/// One string of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalizationStep {
    /// Its number.
    pub id: u32,
    /// Whose table; empty: the localization's.
    pub namespace: String,
    /// What to put into it.
    pub seed: Option<String>,
}

impl Localization {
    /// Whether nothing is known.
    pub fn is_none(&self) -> bool {
        self.steps.is_empty()
    }
}

/// Fields of one node at one instant, by name, and what went wrong with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeReading {
    /// Which node; none: the device itself.
    pub node: Option<NodeRef>,
    /// When it was so.
    pub at: Timestamp,
    /// The values.
    pub fields: Vec<FieldValue>,
    /// Trouble with this node, for people.
    pub errors: Vec<String>,
}
