//! What a node is made of, wherever that was learnt: the common ground of the declared and the discovered mapping. Plain data.

use tombolo_sdk::{Extra, Field};

use super::template::Template;
use super::value::{Extract, Kind};
use crate::codec::Qos;

/// One contribution to a node: a discovered configuration, or everything that the settings say of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entity {
    /// Unique within the node; decides the order of fields.
    pub(crate) key: String,
    pub(crate) fields: Vec<FieldSpec>,
    pub(crate) actions: Vec<Action>,
    pub(crate) availability: Vec<Availability>,
    pub(crate) mode: Mode,
    /// Its topics are subscribed one by one with this; none: a wildcard brings them.
    pub(crate) subscription: Option<Qos>,
}

impl Entity {
    /// Every topic that matters to it.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &String> {
        self.fields.iter().flat_map(|field| &field.topics).chain(self.availability.iter().map(|one| &one.topic))
    }
}

/// A field, where its values come from and where new ones go.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldSpec {
    /// With the name that it would like to have.
    pub(crate) field: Field,
    /// Joined to the name where that is taken.
    pub(crate) qualifier: String,
    pub(crate) kind: Kind,
    pub(crate) topics: Vec<String>,
    pub(crate) extract: Extract,
    pub(crate) command: Option<Command>,
}

/// How a field is set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Command {
    pub(crate) topic: String,
    /// None: the value alone.
    pub(crate) template: Option<Template>,
    /// How the value is spelt; may differ from what the state says.
    pub(crate) kind: Kind,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
}

/// Something that the thing can be told to do: one message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Action {
    /// The name that it would like to have.
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
}

/// A topic that tells whether a thing is there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Availability {
    pub(crate) topic: String,
    pub(crate) online: String,
    pub(crate) offline: String,
    pub(crate) extract: Extract,
}

/// What several availability topics mean together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    All,
    Any,
    Latest,
}

/// What a node is called.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct About {
    pub(crate) id: String,
    pub(crate) label: String,
    pub(crate) extras: Vec<Extra>,
}
