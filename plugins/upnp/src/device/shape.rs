//! What a thing is as a UPnP device: which standard services it has, and which state variable and action stands for which of its fields.
//! Owns this choice and the conversion of values in both directions; it depends on the thing alone, so that a swap changes nothing.
//!
//! Order of evaluation: a boolean that can be set makes a light (one whose name says so before others), a number in a range that can be set
//! and is a level makes it dimmable; every other field is a variable of one service of our own.

use serde::{Deserialize, Serialize};
use tombolo_sdk::events::Thing;
use tombolo_sdk::{Decimal, Field, NodeState, Setting, Value, ValueType};

use crate::codec::{date, name};
use crate::mapping::write;

pub(super) const BINARY_LIGHT: &str = "urn:schemas-upnp-org:device:BinaryLight:1";
pub(super) const DIMMABLE_LIGHT: &str = "urn:schemas-upnp-org:device:DimmableLight:1";
/// Our own, for what no standard has.
pub(super) const THING: &str = "urn:tombolo:device:Thing:1";
const SWITCH_POWER: &str = "urn:schemas-upnp-org:service:SwitchPower:1";
const DIMMING: &str = "urn:schemas-upnp-org:service:Dimming:1";
const FIELDS: &str = "urn:tombolo:service:Fields:1";
/// Variables of one service of ours.
const VARIABLES_MAX: usize = 128;
/// Bytes of a variable's name (UDA 2.0 §2.5: should be less than 32 characters).
const VARIABLE_BYTES_MAX: usize = 28;
/// Names of fields that mean the thing as a whole is on or off, the likeliest first.
const SWITCHES: [&str; 9] = ["on", "status", "switch", "power", "light", "state", "output", "relay", "target"];
/// What a level's name has in it.
const LEVELS: [&str; 4] = ["level", "bright", "dim", "intensity"];

/// A thing as a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Shape {
    pub(super) device_type: String,
    pub(super) label: String,
    pub(super) manufacturer: String,
    pub(super) model_name: String,
    pub(super) model_number: String,
    pub(super) serial_number: String,
    pub(super) origin: String,
    pub(super) hops: String,
    pub(super) services: Vec<Service>,
}

/// One of its services.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Service {
    pub(super) service_type: String,
    pub(super) service_id: String,
    /// Its part of URLs.
    pub(super) slug: String,
    pub(super) variables: Vec<Variable>,
    pub(super) actions: Vec<Action>,
}

/// A state variable that stands for a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) is_evented: bool,
    /// Of the thing.
    pub(super) field: u16,
    pub(super) form: Form,
}

/// How a field's values are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Form {
    Boolean,
    Int32,
    Int64,
    Number,
    Seconds,
    Text,
    Members(Vec<String>),
    Instant,
    Date,
    Time,
    /// From 0 to 100 of a range.
    Percent {
        minimum: f64,
        maximum: f64,
        is_whole: bool,
    },
}

/// An action on one variable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Action {
    pub(super) name: String,
    pub(super) argument: String,
    /// Position of the variable.
    pub(super) variable: usize,
    pub(super) is_set: bool,
}

impl Shape {
    pub(super) fn of(thing: &Thing) -> Self {
        let extra = |key: &str| thing.node.extras.iter().find(|extra| extra.key == key).map(|extra| name(&extra.value));
        let mut services = Vec::new();
        let fields = &thing.node.fields;
        let switch = switch_of(fields);
        let level = switch.and_then(|_| level_of(fields));
        services.extend(switch.map(switch_power));
        services.extend(level.clone().map(dimming));
        let rest = (0..)
            .zip(fields)
            .filter(|(number, _)| switch != Some(*number) && level.as_ref().map(|(field, _)| *field) != Some(*number));
        let rest: Vec<(u16, &Field)> = rest.take(VARIABLES_MAX).collect();
        if services.is_empty() || !rest.is_empty() {
            services.push(own(&rest));
        }
        let device_type = match (switch, &level) {
            (Some(_), Some(_)) => DIMMABLE_LIGHT,
            (Some(_), None) => BINARY_LIGHT,
            (None, _) => THING,
        };
        let label = if thing.node.label.is_empty() { &thing.address } else { &thing.node.label };
        Self {
            device_type: device_type.into(),
            label: name(label),
            manufacturer: extra("MAN").unwrap_or_else(|| "tombolo".into()),
            model_name: extra("MODEL").filter(|text| !text.is_empty()).unwrap_or_else(|| name(&thing.node.node_type)),
            model_number: extra("V").unwrap_or_default(),
            serial_number: extra("SN").unwrap_or_default(),
            origin: extra("tombolo.origin").unwrap_or_default(),
            hops: extra("tombolo.hops").unwrap_or_default(),
            services,
        }
    }
}

/// Whether a thing is to be announced: devices of UPnP that cannot be reached are not in the network.
pub(super) fn is_there(state: NodeState) -> bool {
    match state {
        NodeState::Offline => false,
        NodeState::Unknown | NodeState::Online | NodeState::Warning | NodeState::Error => true,
    }
}

/// The last part of a grouped name, in lower case.
fn last_part(field: &Field) -> String {
    field.name.rsplit('/').next().unwrap_or_default().to_lowercase()
}

fn switch_of(fields: &[Field]) -> Option<u16> {
    let settable =
        (0..).zip(fields).filter(|(_, field)| field.value_type == ValueType::Boolean && field.control.is_some());
    let rank = |field: &Field| SWITCHES.iter().position(|known| *known == last_part(field)).unwrap_or(SWITCHES.len());
    settable.min_by_key(|(number, field)| (rank(field), *number)).map(|(number, _)| number)
}

fn level_of(fields: &[Field]) -> Option<(u16, Form)> {
    let is_level = |field: &Field| field.unit == "%" || LEVELS.iter().any(|known| last_part(field).contains(known));
    (0..).zip(fields).filter(|(_, field)| is_level(field)).find_map(|(number, field)| {
        let is_whole = match field.value_type {
            ValueType::Int32 | ValueType::Int64 => true,
            ValueType::Quantity => false,
            _ => return None,
        };
        let control = field.control.as_ref()?;
        let (minimum, maximum) = control.minimum.zip(control.maximum).filter(|(minimum, maximum)| minimum < maximum)?;
        Some((number, Form::Percent { minimum, maximum, is_whole }))
    })
}

fn action(name: &str, argument: &str, variable: usize, is_set: bool) -> Action {
    Action { name: name.into(), argument: argument.into(), variable, is_set }
}

fn variable(name: &str, is_evented: bool, field: u16, form: Form) -> Variable {
    Variable { name: name.into(), is_evented, field, form }
}

/// SwitchPower:1.
fn switch_power(field: u16) -> Service {
    Service {
        service_type: SWITCH_POWER.into(),
        service_id: "urn:upnp-org:serviceId:SwitchPower".into(),
        slug: "switch".into(),
        variables: vec![
            variable("Target", false, field, Form::Boolean),
            variable("Status", true, field, Form::Boolean),
        ],
        actions: vec![
            action("SetTarget", "newTargetValue", 0, true),
            action("GetTarget", "RetTargetValue", 0, false),
            action("GetStatus", "ResultStatus", 1, false),
        ],
    }
}

/// Dimming:1, what it requires.
fn dimming((field, form): (u16, Form)) -> Service {
    Service {
        service_type: DIMMING.into(),
        service_id: "urn:upnp-org:serviceId:Dimming".into(),
        slug: "dimming".into(),
        variables: vec![
            variable("LoadLevelTarget", false, field, form.clone()),
            variable("LoadLevelStatus", true, field, form),
        ],
        actions: vec![
            action("SetLoadLevelTarget", "newLoadlevelTarget", 0, true),
            action("GetLoadLevelTarget", "GetLoadlevelTarget", 0, false),
            action("GetLoadLevelStatus", "retLoadlevelStatus", 1, false),
        ],
    }
}

/// Our own service.
fn own(fields: &[(u16, &Field)]) -> Service {
    let (mut variables, mut actions): (Vec<Variable>, Vec<Action>) = Default::default();
    for (number, field) in fields {
        let wish = variable_name(&field.name);
        let mut numbered = std::iter::once(wish.clone()).chain((2..).map(|number| format!("{wish}{number}")));
        let Some(name) =
            numbered.find(|name| !variables.iter().any(|variable| variable.name.eq_ignore_ascii_case(name)))
        else {
            continue;
        };
        let position = variables.len();
        actions.push(action(&format!("Get{name}"), &format!("Current{name}"), position, false));
        if field.control.is_some() {
            actions.push(action(&format!("Set{name}"), &format!("New{name}"), position, true));
        }
        variables.push(variable(&name, true, *number, Form::of(field)));
    }
    Service {
        service_type: FIELDS.into(),
        service_id: "urn:tombolo:serviceId:Fields".into(),
        slug: "fields".into(),
        variables,
        actions,
    }
}

/// Letters, digits and underscores, beginning with a capital letter: `light/level` is `Light_level`.
fn variable_name(field: &str) -> String {
    let plain: String = field
        .chars()
        .map(|part| if part.is_ascii_alphanumeric() { part } else { '_' })
        .take(VARIABLE_BYTES_MAX)
        .collect();
    let plain = plain.trim_matches('_');
    match plain.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => {
            format!("{}{}", first.to_ascii_uppercase(), plain.get(1..).unwrap_or_default())
        }
        Some(_) => format!("N{plain}"),
        None => "Value".into(),
    }
}

impl Form {
    fn of(field: &Field) -> Self {
        let members = field.control.as_ref().map(|control| control.members.clone()).unwrap_or_default();
        match field.value_type {
            ValueType::Boolean => Self::Boolean,
            ValueType::Int32 => Self::Int32,
            ValueType::Int64 => Self::Int64,
            ValueType::Quantity => Self::Number,
            ValueType::Duration => Self::Seconds,
            ValueType::Instant => Self::Instant,
            ValueType::Date => Self::Date,
            ValueType::TimeOfDay => Self::Time,
            ValueType::Enumeration if !members.is_empty() => Self::Members(members),
            ValueType::Text if !members.is_empty() => Self::Text,
            ValueType::Text | ValueType::Enumeration | ValueType::Colour => Self::Text,
        }
    }

    /// As `dataType` has it (UDA 2.0 §2.5).
    pub(super) fn data_type(&self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Int32 => "i4",
            Self::Int64 => "i8",
            Self::Number | Self::Seconds => "r8",
            Self::Text | Self::Members(_) => "string",
            Self::Instant => "dateTime.tz",
            Self::Date => "date",
            Self::Time => "time",
            Self::Percent { .. } => "ui1",
        }
    }

    /// The text of a value.
    pub(super) fn write(&self, value: &Value) -> String {
        match (self, number(value)) {
            (Self::Percent { minimum, maximum, .. }, Some(number)) => {
                let percent = ((number - minimum) * 100.0 / (maximum - minimum)).round().clamp(0.0, 100.0);
                percent.to_string()
            }
            _ => write(value),
        }
    }

    /// The value of a text. None: it is none.
    pub(super) fn read(&self, text: &str, value_type: ValueType) -> Option<Value> {
        let text = text.trim();
        let decimal = || text.parse::<Decimal>().ok();
        Some(match self {
            Self::Boolean => match text.to_ascii_lowercase().as_str() {
                "1" | "true" | "yes" => Value::Boolean(true),
                "0" | "false" | "no" => Value::Boolean(false),
                _ => return None,
            },
            Self::Int32 => Value::Int32(text.parse().ok()?),
            Self::Int64 => Value::Int64(text.parse().ok()?),
            Self::Number => match decimal() {
                Some(number) => Value::Decimal(number),
                None => Value::Double(text.parse::<f64>().ok().filter(|number| number.is_finite())?),
            },
            Self::Seconds => {
                let seconds = decimal()?;
                let micros =
                    10_i64.checked_pow(6_u32.checked_sub(seconds.scale.into())?)?.checked_mul(seconds.digits)?;
                Value::Duration(micros)
            }
            Self::Members(members) => Value::Member(members.iter().find(|member| *member == text)?.clone()),
            Self::Text if value_type == ValueType::Enumeration => Value::Member(text.to_owned()),
            Self::Text => Value::Text(text.to_owned()),
            Self::Instant => Value::Instant(date::instant(text)?),
            Self::Date => Value::Date(date::date(text)?),
            Self::Time => Value::TimeOfDay(date::time_of_day(text)?),
            Self::Percent { minimum, maximum, is_whole } => {
                let percent: f64 = text.parse().ok().filter(|percent| (0.0..=100.0).contains(percent))?;
                level(minimum + percent * (maximum - minimum) / 100.0, *is_whole, value_type)
            }
        })
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Double(number) => Some(*number),
        other => other.as_decimal().map(Decimal::to_f64),
    }
}

/// Two decimals are finer than any lamp.
fn level(number: f64, is_whole: bool, value_type: ValueType) -> Value {
    let scaled = if is_whole { number.round() } else { (number * 100.0).round() };
    // Saturates, and the host checks the range.
    let digits = scaled as i64;
    match value_type {
        ValueType::Int32 => Value::Int32(i32::try_from(digits).unwrap_or(i32::MAX)),
        ValueType::Int64 => Value::Int64(digits),
        _ if digits % 100 == 0 => Value::Decimal(Decimal::new(digits / 100, 0)),
        _ => Value::Decimal(Decimal::new(digits, 2)),
    }
}

/// What an order sets.
pub(super) fn setting(variable: &Variable, value_type: ValueType, text: &str) -> Option<Setting> {
    Some(Setting { field: variable.field, value: variable.form.read(text, value_type)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_sdk::{Constraint, Node};

    fn thing(fields: Vec<Field>) -> Thing {
        Thing { number: 1, address: "a@b/c/d".into(), node: Node::new(1, "a@b/c/d", "mqtt.device", fields) }
    }

    fn settable(name: &str, value_type: ValueType) -> Field {
        Field::new(name, value_type).settable(Constraint::any())
    }

    fn types(fields: Vec<Field>) -> (String, Vec<String>) {
        let shape = Shape::of(&thing(fields));
        (shape.device_type, shape.services.into_iter().map(|service| service.slug).collect())
    }

    #[test]
    fn what_can_be_switched_is_a_light() {
        assert_eq!(types(vec![settable("x", ValueType::Boolean)]), (BINARY_LIGHT.into(), vec!["switch".into()]));
        let level = Field::quantity("light/brightness", "").settable(Constraint::range(0.0, 255.0));
        let all = vec![Field::quantity("power", "W"), settable("on", ValueType::Boolean), level];
        assert_eq!(types(all), (DIMMABLE_LIGHT.into(), vec!["switch".into(), "dimming".into(), "fields".into()]));
    }

    #[test]
    fn everything_else_is_a_thing_with_fields() {
        assert_eq!(types(vec![Field::quantity("temperature", "°C")]), (THING.into(), vec!["fields".into()]));
        assert_eq!(types(vec![]), (THING.into(), vec!["fields".into()]));
        assert_eq!(types(vec![Field::new("on", ValueType::Boolean)]).0, THING, "what cannot be set is no switch");
    }

    #[test]
    fn the_likeliest_switch_is_taken() {
        let shape = Shape::of(&thing(vec![
            settable("child_lock", ValueType::Boolean),
            settable("light/On", ValueType::Boolean),
        ]));
        assert_eq!(shape.services[0].variables[0].field, 1);
    }

    #[test]
    fn variables_have_names_that_the_architecture_allows() {
        let all = [("light/level", "Light_level"), ("K\u{fc}che", "K_che"), ("1st", "N1st"), ("//", "Value")];
        for (field, expected) in all {
            assert_eq!(variable_name(field), expected);
        }
        let shape = Shape::of(&thing(vec![Field::new("a b", ValueType::Text), settable("A/b", ValueType::Text)]));
        let names: Vec<_> = shape.services[0].variables.iter().map(|variable| variable.name.as_str()).collect();
        assert_eq!(names, ["A_b", "A_b2"]);
        let actions: Vec<_> = shape.services[0].actions.iter().map(|action| action.name.as_str()).collect();
        assert_eq!(actions, ["GetA_b", "GetA_b2", "SetA_b2"]);
    }

    #[test]
    fn levels_are_percent_of_their_range() {
        let form = Form::Percent { minimum: 0.0, maximum: 254.0, is_whole: true };
        assert_eq!((form.write(&Value::Int32(254)), form.write(&Value::Int32(127))), ("100".into(), "50".into()));
        assert_eq!(form.read("50", ValueType::Int32), Some(Value::Int32(127)));
        assert_eq!((form.read("101", ValueType::Int32), form.read("x", ValueType::Int32)), (None, None));
        let fine = Form::Percent { minimum: 0.0, maximum: 1.0, is_whole: false };
        assert_eq!(fine.read("33", ValueType::Quantity), Some(Value::Decimal(Decimal::new(33, 2))));
        assert_eq!(fine.read("100", ValueType::Quantity), Some(Value::Decimal(Decimal::new(1, 0))));
    }

    #[test]
    fn values_come_back_as_they_were_written() {
        let all = [
            (Form::Boolean, ValueType::Boolean, Value::Boolean(true)),
            (Form::Int64, ValueType::Int64, Value::Int64(-5)),
            (Form::Number, ValueType::Quantity, Value::Decimal(Decimal::new(2340, 2))),
            (Form::Seconds, ValueType::Duration, Value::Duration(90_500_000)),
            (Form::Text, ValueType::Colour, Value::Text("ff0000".into())),
            (Form::Members(vec!["a".into()]), ValueType::Enumeration, Value::Member("a".into())),
            (Form::Instant, ValueType::Instant, Value::Instant(1_500_000)),
            (Form::Date, ValueType::Date, Value::Date(19_782)),
            (Form::Time, ValueType::TimeOfDay, Value::TimeOfDay(3_600_000_000)),
        ];
        for (form, value_type, value) in all {
            assert_eq!(form.read(&form.write(&value), value_type), Some(value));
        }
        assert_eq!(Form::Members(vec!["a".into()]).read("b", ValueType::Enumeration), None);
    }
}
