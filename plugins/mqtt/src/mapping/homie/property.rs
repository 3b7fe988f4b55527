//! One Homie property as a field: datatypes, formats and units. Owns what both versions say about them.

use tombolo_sdk::{Constraint, Field};

use crate::mapping::spec::{Command, Confirm, FieldSpec, Shape};
use crate::mapping::value::{Extract, Kind};

/// As it is described.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Property {
    pub(super) node: String,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) datatype: String,
    pub(super) format: String,
    pub(super) unit: String,
    pub(super) is_settable: bool,
    pub(super) is_retained: bool,
}

impl Property {
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.node, self.id)
    }

    /// The field, and how it is set.
    pub(super) fn field(&self, device: &str, is_five: bool) -> FieldSpec {
        let (kind, (minimum, maximum, step)) = (self.kind(is_five), self.range());
        let topic = format!("{device}/{}", self.path());
        let mut spec = self.read(&topic, &self.path(), kind.clone());
        if self.is_settable {
            let constraint = match &kind {
                Kind::Member(members) => Constraint::members(members.clone()),
                Kind::Quantity | Kind::Int64 => Constraint { minimum, maximum, ..Constraint::any() },
                _ => Constraint::any(),
            };
            spec.field.control = Some(constraint);
            let command = Command::confirmed(format!("{topic}/set"), Shape::Plain, kind, step / 2.0);
            // What is not retained is an event: nobody tells that it is so now.
            let confirm = if self.is_retained { command.confirm } else { Confirm::Broker };
            spec.command = Some(Command { confirm, ..command });
        }
        spec
    }

    /// Where a property is going to, in version 5.
    pub(super) fn target(&self, device: &str) -> FieldSpec {
        let topic = format!("{device}/{}/$target", self.path());
        self.read(&topic, &format!("{}/target", self.path()), self.kind(true))
    }

    fn read(&self, topic: &str, name: &str, kind: Kind) -> FieldSpec {
        let unit = if kind == Kind::Quantity { self.unit.clone() } else { String::new() };
        let field = Field { unit, label: self.name.clone(), ..Field::new(name, kind.value_type()) };
        FieldSpec::new(field, kind, topic, Extract::Plain)
    }

    fn kind(&self, is_five: bool) -> Kind {
        let formats = || self.format.split(',').map(str::trim);
        match self.datatype.as_str() {
            "integer" if self.unit.is_empty() => Kind::Int64,
            "integer" | "float" | "percent" => Kind::Quantity,
            "boolean" => Kind::Boolean { on: "true".into(), off: "false".into() },
            "enum" => Kind::Member(formats().filter(|member| !member.is_empty()).map(str::to_owned).collect()),
            "color" if formats().any(|format| format == "rgb") => Kind::Rgb(if is_five { "rgb," } else { "" }),
            "datetime" => Kind::Instant,
            "duration" => Kind::Duration,
            // Texts, JSON, colours in other coordinates, and what later versions add.
            _ => Kind::Text,
        }
    }

    /// `min:max` or `min:max:step`, each of which may be left out.
    fn range(&self) -> (Option<f64>, Option<f64>, f64) {
        let mut parts =
            self.format.split(':').map(|part| part.trim().parse::<f64>().ok().filter(|part| part.is_finite()));
        let mut next = || parts.next().flatten();
        let (minimum, maximum, step) = (next(), next(), next());
        if !self.format.contains(':') {
            return (None, None, 0.0);
        }
        (minimum, maximum, step.unwrap_or(0.0).abs())
    }
}
