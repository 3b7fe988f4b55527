//! Short ways to make the model's records. Owns defaults only: an automatic readout, online, answered from the last report.

use crate::{
    Constraint, Decimal, Description, EndpointNeed, Failure, Field, FieldKinds, FieldNumber, Node, NodeNumber,
    NodeState, Quality, Readout, ReasonCode, Sample, StartInput, Value, ValueType,
};

impl Description {
    /// A mapper without settings, endpoints or state; add with struct update syntax.
    pub fn new(name: &str, version: &str, protocol: &str, summary: &str) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            protocol: protocol.into(),
            summary: summary.into(),
            settings_schema: r#"{"type":"object","additionalProperties":false}"#.into(),
            endpoints: Vec::new(),
            reads_state: Vec::new(),
            extras: Vec::new(),
        }
    }
}

impl EndpointNeed {
    /// An endpoint without which the bridge is of no use.
    pub fn required(name: &str, schemes: &[&str], purpose: &str) -> Self {
        let schemes = schemes.iter().map(|scheme| String::from(*scheme)).collect();
        Self { name: name.into(), schemes, required: true, purpose: purpose.into() }
    }

    /// An endpoint that the bridge does without if it is not granted.
    pub fn optional(name: &str, schemes: &[&str], purpose: &str) -> Self {
        Self { required: false, ..Self::required(name, schemes, purpose) }
    }
}

impl StartInput {
    /// Whether the operator granted an endpoint.
    pub fn is_granted(&self, endpoint: &str) -> bool {
        self.granted.iter().any(|granted| granted.name == endpoint)
    }

    /// The URL that peers reach an endpoint under, for listeners and what serves HTTP.
    pub fn url_of(&self, endpoint: &str) -> Option<&str> {
        self.granted.iter().find(|granted| granted.name == endpoint)?.url.as_deref()
    }
}

impl Node {
    /// A node of unknown state that is read from its last reports. Label, parent and the rest are plain members.
    pub fn new(number: NodeNumber, id: &str, node_type: &str, fields: Vec<Field>) -> Self {
        Self {
            number,
            id: id.into(),
            parent: None,
            node_type: node_type.into(),
            label: String::new(),
            state: NodeState::Unknown,
            readout: Readout::Reported,
            fields,
            commands: Vec::new(),
            extras: Vec::new(),
        }
    }
}

impl Field {
    /// A momentary value that can only be read.
    pub fn new(name: &str, value_type: ValueType) -> Self {
        Self {
            name: name.into(),
            value_type,
            unit: String::new(),
            kinds: FieldKinds::MOMENTARY,
            control: None,
            label: String::new(),
            description: String::new(),
        }
    }

    /// A momentary quantity with its unit.
    pub fn quantity(name: &str, unit: &str) -> Self {
        Self { unit: unit.into(), ..Self::new(name, ValueType::Quantity) }
    }

    /// The same field of other kinds.
    pub fn kinds(self, kinds: FieldKinds) -> Self {
        Self { kinds, ..self }
    }

    /// The same field with a label for people.
    pub fn label(self, label: &str) -> Self {
        Self { label: label.into(), ..self }
    }

    /// The same field, which can be set within `constraint`.
    pub fn settable(self, constraint: Constraint) -> Self {
        Self { control: Some(constraint), ..self }
    }
}

impl Constraint {
    /// Whatever the type allows.
    pub const fn any() -> Self {
        Self { minimum: None, maximum: None, pattern: None, members: Vec::new() }
    }

    /// Numbers from `minimum` to `maximum`, both included.
    pub fn range(minimum: f64, maximum: f64) -> Self {
        Self { minimum: Some(minimum), maximum: Some(maximum), ..Self::any() }
    }

    /// These texts only; an enumeration needs them.
    pub fn members(members: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { members: members.into_iter().map(Into::into).collect(), ..Self::any() }
    }
}

impl Sample {
    /// An automatic readout.
    pub fn new(field: FieldNumber, value: impl Into<Value>) -> Self {
        Self { field, value: value.into(), quality: Quality::empty() }
    }
}

impl Failure {
    /// Trouble, with a sentence for people.
    pub fn new(code: ReasonCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

macro_rules! value_from {
    ($($from:ty => $case:ident),*) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$case(value.into())
            }
        })*
    };
}

value_from!(bool => Boolean, i32 => Int32, i64 => Int64, Decimal => Decimal, &str => Text, String => Text);
