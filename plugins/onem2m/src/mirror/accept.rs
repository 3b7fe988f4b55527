//! What commands of others mean for a thing's fields. Owns every reading of them; what does not fit is refused with a sentence, and nothing
//! of a command is carried out unless all of it fits.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tombolo_sdk::{Field, Setting, Value, ValueType};

use super::plan::Entry;
use crate::codec::time;
use crate::mapping::{Kind, decode, read_value};

/// What a field can be set to. The host checks ranges and patterns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Accepts {
    Boolean,
    Int32,
    Int64,
    Quantity,
    Text,
    Instant,
    Date,
    /// Only these, of an enumeration.
    Members(Vec<String>),
}

impl Accepts {
    /// None: the field cannot be set, or not from here.
    pub(super) fn of(field: &Field) -> Option<Self> {
        let constraint = field.control.as_ref()?;
        match field.value_type {
            ValueType::Boolean => Some(Self::Boolean),
            ValueType::Int32 => Some(Self::Int32),
            ValueType::Int64 => Some(Self::Int64),
            ValueType::Quantity => Some(Self::Quantity),
            ValueType::Text | ValueType::Colour => Some(Self::Text),
            ValueType::Instant => Some(Self::Instant),
            ValueType::Date => Some(Self::Date),
            ValueType::Enumeration => Some(Self::Members(constraint.members.clone())),
            ValueType::TimeOfDay | ValueType::Duration => None,
        }
    }

    pub(super) fn read(&self, json: &Json) -> Option<Value> {
        match self {
            Self::Boolean => read_value(Kind::Boolean, json),
            Self::Int32 => match read_value(Kind::Int64, json)? {
                Value::Int64(number) => i32::try_from(number).ok().map(Value::Int32),
                _ => None,
            },
            Self::Int64 => read_value(Kind::Int64, json),
            Self::Quantity => read_value(Kind::Quantity, json),
            Self::Text => read_value(Kind::Text, json),
            Self::Instant => read_value(Kind::Instant, json),
            Self::Date => time::read_date(json.as_str()?).map(Value::Date),
            Self::Members(members) => {
                let text = json.as_str()?;
                members.iter().find(|member| *member == text).map(|member| Value::Member(member.clone()))
            }
        }
    }

    /// For people.
    pub(super) fn expected(&self) -> String {
        match self {
            Self::Boolean => Kind::Boolean.expected().to_owned(),
            Self::Int32 => "a whole number of 32 bits".to_owned(),
            Self::Int64 => Kind::Int64.expected().to_owned(),
            Self::Quantity => Kind::Quantity.expected().to_owned(),
            Self::Text => Kind::Text.expected().to_owned(),
            Self::Instant => Kind::Instant.expected().to_owned(),
            Self::Date => "a date".to_owned(),
            Self::Members(members) => format!("one of {}", members.join(", ")),
        }
    }
}

/// The settings that a command asks for: an object of fields and values, or a value alone where one field only can be set.
pub(super) fn command(fields: &[Entry], con: &Json, cnf: Option<&str>) -> Result<Vec<Setting>, String> {
    let content = decode(con, cnf);
    let Json::Object(wishes) = &content else {
        let mut settable = (0..).zip(fields).filter(|(_, field)| field.takes_commands());
        let (Some((number, field)), None) = (settable.next(), settable.next()) else {
            return Err("a command is a JSON object of fields and values".into());
        };
        return Ok(vec![Setting { field: number, value: field.accept(&content)? }]);
    };
    if wishes.is_empty() {
        return Err("the command asks for nothing".into());
    }
    let setting = |(name, json): (&String, &Json)| {
        let found = (0..).zip(fields).find(|(_, field)| field.name == *name || field.resource == *name);
        let (number, field) = found.ok_or_else(|| format!("there is no field {name:?}"))?;
        Ok(Setting { field: number, value: field.accept(json)? })
    };
    wishes.iter().map(setting).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tombolo_sdk::Constraint;

    use super::super::plan::entries;
    use super::*;

    fn fields() -> Vec<Entry> {
        let lamp = [
            Field::new("on", ValueType::Boolean).settable(Constraint::any()),
            Field::quantity("power", "W"),
            Field::new("mode", ValueType::Enumeration).settable(Constraint::members(["day", "night"])),
        ];
        entries(&lamp, false)
    }

    #[test]
    fn an_object_names_fields() {
        let settings = command(&fields(), &json!("{\"on\": true, \"mode\": \"night\"}"), None).unwrap();
        let expected = [(2, Value::Member("night".into())), (0, Value::Boolean(true))];
        for (field, value) in expected {
            assert!(settings.contains(&Setting { field, value }));
        }
    }

    #[test]
    fn a_value_alone_is_for_the_only_field() {
        let one = entries(&[Field::new("on", ValueType::Boolean).settable(Constraint::any())], false);
        assert_eq!(command(&one, &json!("on"), None).unwrap(), [Setting { field: 0, value: Value::Boolean(true) }]);
        assert!(command(&fields(), &json!("on"), None).unwrap_err().contains("JSON object"));
    }

    #[test]
    fn nothing_is_done_of_what_does_not_fit() {
        for con in [
            json!({"on": true, "power": 1}),
            json!({"on": "perhaps"}),
            json!({"mode": "dusk"}),
            json!({"x": 1}),
            json!({}),
            json!(null),
        ] {
            assert!(command(&fields(), &con, None).is_err(), "{con}");
        }
    }
}
