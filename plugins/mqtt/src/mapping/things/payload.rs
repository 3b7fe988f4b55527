//! Payloads of things: a value as plain text, and the text of a command as a value. What is in range is the host's to decide.

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Decimal, Field, Value, ValueType};

use crate::mapping::time;

/// Bytes of a command's text: more is no setting.
const COMMAND_BYTES_MAX: usize = 4096;
const TRUE: [&str; 4] = ["ON", "true", "1", "yes"];
const FALSE: [&str; 4] = ["OFF", "false", "0", "no"];

/// What commands for a field may say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Accepts {
    Switch,
    Int32 {
        minimum: Option<f64>,
        maximum: Option<f64>,
    },
    Int64 {
        minimum: Option<f64>,
        maximum: Option<f64>,
    },
    Quantity {
        minimum: Option<f64>,
        maximum: Option<f64>,
    },
    /// Members of an enumeration, or the only texts allowed.
    Member {
        members: Vec<String>,
        is_text: bool,
    },
    Text,
}

impl Accepts {
    /// None: the field cannot be set, or not in a way that a payload could say.
    pub(super) fn of(field: &Field) -> Option<Self> {
        let constraint = field.control.as_ref()?;
        let (minimum, maximum) = (constraint.minimum, constraint.maximum);
        match field.value_type {
            ValueType::Boolean => Some(Self::Switch),
            ValueType::Int32 => Some(Self::Int32 { minimum, maximum }),
            ValueType::Int64 => Some(Self::Int64 { minimum, maximum }),
            ValueType::Quantity => Some(Self::Quantity { minimum, maximum }),
            ValueType::Enumeration => Some(Self::Member { members: constraint.members.clone(), is_text: false }),
            ValueType::Text if !constraint.members.is_empty() => {
                Some(Self::Member { members: constraint.members.clone(), is_text: true })
            }
            ValueType::Text | ValueType::Colour => Some(Self::Text),
            ValueType::Instant | ValueType::Date | ValueType::TimeOfDay | ValueType::Duration => None,
        }
    }

    /// None: the payload is nothing of the kind.
    pub(super) fn read(&self, payload: &[u8]) -> Option<Value> {
        let text = std::str::from_utf8(payload).ok().filter(|text| text.len() <= COMMAND_BYTES_MAX)?;
        let is_one = |texts: &[&str]| texts.iter().any(|known| known.eq_ignore_ascii_case(text.trim()));
        match self {
            Self::Switch if is_one(&TRUE) => Some(Value::Boolean(true)),
            Self::Switch if is_one(&FALSE) => Some(Value::Boolean(false)),
            Self::Switch => None,
            Self::Int32 { .. } => whole(text).and_then(|whole| i32::try_from(whole).ok()).map(Value::Int32),
            Self::Int64 { .. } => whole(text).map(Value::Int64),
            Self::Quantity { .. } => text.trim().parse().ok().map(Value::Decimal),
            Self::Member { members, is_text } => {
                let member = members.iter().find(|member| *member == text.trim())?.clone();
                Some(if *is_text { Value::Text(member) } else { Value::Member(member) })
            }
            Self::Text => Some(Value::Text(text.into())),
        }
    }

    /// For the log; never what came.
    pub(super) fn expected(&self) -> &'static str {
        match self {
            Self::Switch => "ON or OFF",
            Self::Int32 { .. } | Self::Int64 { .. } => "a whole number",
            Self::Quantity { .. } => "a number",
            Self::Member { .. } => "one of its members",
            Self::Text => "a text",
        }
    }
}

/// Automations tend to write 20.0 for 20.
fn whole(text: &str) -> Option<i64> {
    let number: Decimal = text.trim().parse().ok()?;
    let unit = 10_i64.checked_pow(u32::from(number.scale))?;
    (number.digits % unit == 0).then_some(number.digits / unit)
}

/// A value as it is published.
pub(super) fn write(value: &Value) -> String {
    match value {
        Value::Boolean(true) => "ON".into(),
        Value::Boolean(false) => "OFF".into(),
        Value::Int32(number) => number.to_string(),
        Value::Int64(number) => number.to_string(),
        Value::Decimal(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Text(text) | Value::Member(text) => text.clone(),
        Value::Instant(micros) => time::write_instant(*micros),
        Value::Date(days) => time::write_date(i64::from(*days)),
        Value::TimeOfDay(micros) => time::write_time_of_day(*micros),
        // Seconds, as every other number of a duration at a broker.
        Value::Duration(micros) => Decimal { digits: micros / 1000, scale: 3 }.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_plain_texts() {
        for (value, text) in [
            (Value::Boolean(true), "ON"),
            (Value::Decimal("23.40".parse().unwrap()), "23.40"),
            (Value::Member("auto".into()), "auto"),
            (Value::Instant(1_700_000_000_500_000), "2023-11-14T22:13:20.500000Z"),
            (Value::Date(19_782), "2024-02-29"),
            (Value::Date(-1), "1969-12-31"),
            (Value::TimeOfDay(3_661_000_000), "01:01:01"),
            (Value::Duration(1_500_000), "1.500"),
        ] {
            assert_eq!(write(&value), text);
        }
    }

    #[test]
    fn commands_are_read_as_the_field_wants_them() {
        let number = Accepts::Int32 { minimum: None, maximum: None };
        assert_eq!(Accepts::Switch.read(b"on"), Some(Value::Boolean(true)));
        assert_eq!(Accepts::Switch.read(b"maybe"), None);
        assert_eq!(number.read(b" 20.0 "), Some(Value::Int32(20)));
        assert_eq!(number.read(b"20.5"), None);
        let member = Accepts::Member { members: vec!["auto".into()], is_text: false };
        assert_eq!((member.read(b"auto"), member.read(b"AUTO")), (Some(Value::Member("auto".into())), None));
        assert_eq!(Accepts::Text.read(&[0xff]), None);
        assert_eq!(Accepts::Text.read(&vec![b'x'; COMMAND_BYTES_MAX + 1]), None);
    }
}
