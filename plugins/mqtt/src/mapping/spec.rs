//! What a node is made of, wherever that was learnt: the common ground of the declared and the discovered mapping. Plain data.

use tombolo_sdk::{Extra, Field, Timestamp, Value};

use super::sparkplug::Target;
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
    /// Topics that its convention reads itself.
    pub(crate) watched: Vec<String>,
    /// Its topics are subscribed one by one with this; none: a wildcard brings them.
    pub(crate) subscription: Option<Qos>,
}

impl Entity {
    /// Nothing yet.
    pub(crate) fn new(key: &str, subscription: Option<Qos>) -> Self {
        let (fields, actions, availability, watched) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { key: key.to_owned(), fields, actions, availability, mode: Mode::All, watched, subscription }
    }

    /// Every topic that matters to it.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &String> {
        let fields = self.fields.iter().flat_map(FieldSpec::all_topics);
        fields.chain(self.availability.iter().map(|one| &one.topic)).chain(&self.watched)
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
    /// Other places that tell the same.
    pub(crate) more: Vec<(String, Extract)>,
    pub(crate) command: Option<Command>,
}

impl FieldSpec {
    /// A field that is read at one place.
    pub(crate) fn new(field: Field, kind: Kind, topic: &str, extract: Extract) -> Self {
        let topics = if topic.is_empty() { Vec::new() } else { vec![topic.to_owned()] };
        Self { field, qualifier: String::new(), kind, topics, extract, more: Vec::new(), command: None }
    }

    fn all_topics(&self) -> impl Iterator<Item = &String> {
        self.topics.iter().chain(self.more.iter().map(|(topic, _)| topic))
    }
}

/// How a field is set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Command {
    pub(crate) topic: String,
    pub(crate) shape: Shape,
    pub(crate) confirm: Confirm,
    /// How the value is spelt; may differ from what the state says.
    pub(crate) kind: Kind,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
}

impl Command {
    /// A command that the state topic confirms, in the form of a convention.
    pub(crate) fn confirmed(topic: String, shape: Shape, kind: Kind, tolerance: f64) -> Self {
        Self { topic, shape, confirm: Confirm::State(tolerance), kind, qos: Qos::AtLeastOnce, retain: false }
    }
}

/// What some commands carry beside their value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// What an answer will name.
    pub(crate) token: u64,
    pub(crate) now: Timestamp,
}

/// What a command's payload looks like around its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// The value alone.
    Plain,
    Template(Template),
    /// The value as JSON between two texts.
    Json(String, String),
    /// The same behind the beginning of a remote call, which needs a number to be answered to.
    Call(String, String),
    Sparkplug(Target),
}

impl Shape {
    /// `{"a":{"b":VALUE}}`.
    pub(crate) fn json(path: &[&str]) -> Self {
        let quoted = path.iter().map(|step| serde_json::Value::from(*step).to_string());
        Self::Json(quoted.map(|step| format!("{{{step}:")).collect(), "}".repeat(path.len()))
    }

    /// What is sent for a value.
    pub(crate) fn payload(&self, kind: &Kind, value: &Value, stamp: Stamp) -> Vec<u8> {
        match self {
            Self::Plain => kind.write(value).into_bytes(),
            Self::Template(template) => template.render(&kind.write(value)).into_bytes(),
            Self::Json(before, after) => format!("{before}{}{after}", kind.write_json(value)).into_bytes(),
            Self::Call(before, after) => {
                format!("{{\"id\":{},{before}{}{after}", stamp.token, kind.write_json(value)).into_bytes()
            }
            Self::Sparkplug(target) => target.payload(value, stamp.now),
        }
    }
}

/// What ends a command.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Confirm {
    /// The broker has it.
    Broker,
    /// The thing says that it is so: its state comes with the value, but for so much.
    State(f64),
    /// The field of this name says anything: what was set takes longer than anybody waits.
    Any(String),
    /// The thing answers the call.
    Answer,
}

/// Something that the thing can be told to do: one message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Action {
    /// The name that it would like to have.
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) topic: String,
    pub(crate) payload: Payload,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
}

/// What an action publishes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Payload {
    Text(String),
    /// A remote call, after its number; the answer ends it.
    Call(String),
    /// A truth of Sparkplug.
    Sparkplug(Target),
}

impl Payload {
    pub(crate) fn bytes(&self, stamp: Stamp) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Call(rest) => format!("{{\"id\":{},{rest}", stamp.token).into_bytes(),
            Self::Sparkplug(target) => target.payload(&Value::Boolean(true), stamp.now),
        }
    }
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
