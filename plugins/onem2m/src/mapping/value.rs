//! Values of contents to model values and back. What does not fit is none, never a guess.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tombolo_sdk::{Decimal, Value, ValueType};

use crate::codec::time;

/// What a field's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Quantity,
    Int64,
    Boolean,
    Text,
    Instant,
}

const TRUE_TEXTS: [&str; 5] = ["true", "on", "1", "yes", "online"];
const FALSE_TEXTS: [&str; 5] = ["false", "off", "0", "no", "offline"];
/// The host ends a mapper that hands over a longer one.
const TEXT_BYTES_MAX: usize = 64 * 1024;

impl Kind {
    pub(crate) const fn value_type(self) -> ValueType {
        match self {
            Self::Quantity => ValueType::Quantity,
            Self::Int64 => ValueType::Int64,
            Self::Boolean => ValueType::Boolean,
            Self::Text => ValueType::Text,
            Self::Instant => ValueType::Instant,
        }
    }

    /// For people.
    pub(crate) const fn expected(self) -> &'static str {
        match self {
            Self::Quantity => "a number",
            Self::Int64 => "a whole number",
            Self::Boolean => "true or false",
            Self::Text => "a text of at most 64 KiB",
            Self::Instant => "a date and time",
        }
    }

    /// What values like this one most likely are. None: there is no value.
    pub(crate) fn guess(json: &Json) -> Option<Self> {
        match json {
            Json::Null => None,
            Json::Bool(_) => Some(Self::Boolean),
            Json::Number(_) => Some(Self::Quantity),
            Json::String(text) if text.trim().is_empty() => None,
            Json::String(text) if quantity(text.trim()).is_some() => Some(Self::Quantity),
            Json::String(text) if matches!(text.trim(), "true" | "false") => Some(Self::Boolean),
            Json::String(_) | Json::Array(_) | Json::Object(_) => Some(Self::Text),
        }
    }
}

/// None: it does not fit.
pub(crate) fn read(kind: Kind, json: &Json) -> Option<Value> {
    let text = match json {
        Json::Null => return None,
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let trimmed = text.trim();
    match kind {
        Kind::Quantity => quantity(trimmed),
        Kind::Int64 => trimmed.parse().ok().map(Value::Int64),
        Kind::Boolean => boolean(trimmed).map(Value::Boolean),
        Kind::Text => (text.len() <= TEXT_BYTES_MAX).then_some(Value::Text(text)),
        Kind::Instant => time::read(trimmed).map(Value::Instant),
    }
}

/// Numbers as texts keep their decimals: 23.40 stays 23.40.
fn quantity(text: &str) -> Option<Value> {
    if let Ok(number) = text.parse::<Decimal>() {
        return Some(Value::Decimal(number));
    }
    let is_numeric = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    text.parse::<f64>().ok().filter(|number| is_numeric && number.is_finite()).map(Value::Double)
}

fn boolean(text: &str) -> Option<bool> {
    let is = |texts: &[&str]| texts.iter().any(|known| known.eq_ignore_ascii_case(text));
    match (is(&TRUE_TEXTS), is(&FALSE_TEXTS)) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// As JSON has it: numbers and truths are no texts.
pub(crate) fn write(value: &Value) -> Json {
    let number = |text: String| serde_json::from_str(&text).unwrap_or(Json::String(text));
    match value {
        Value::Boolean(truth) => Json::Bool(*truth),
        Value::Int32(_) | Value::Int64(_) | Value::Decimal(_) | Value::Double(_) => number(plain(value)),
        other => Json::String(plain(other)),
    }
}

/// As a text alone.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Boolean(truth) => truth.to_string(),
        Value::Int32(number) => number.to_string(),
        Value::Int64(number) => number.to_string(),
        Value::Decimal(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Text(text) | Value::Member(text) => text.clone(),
        Value::Instant(at) => time::write_separated(*at),
        Value::Date(day) => time::write_date(*day),
        Value::TimeOfDay(micros) => {
            let seconds = micros / 1_000_000;
            format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
        }
        Value::Duration(micros) => Decimal::new(*micros / 1000, 3).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_as_texts_keep_their_decimals() {
        assert_eq!(read(Kind::Quantity, &json!(" 23.40 ")), Some(Value::Decimal(Decimal::new(2340, 2))));
        assert_eq!(read(Kind::Quantity, &json!(1.5)), Some(Value::Decimal(Decimal::new(15, 1))));
        assert_eq!(read(Kind::Quantity, &json!("1e3")), Some(Value::Double(1000.0)));
        assert_eq!((read(Kind::Quantity, &json!("warm")), read(Kind::Quantity, &json!("NaN"))), (None, None));
    }

    #[test]
    fn truths_have_several_spellings() {
        assert_eq!(read(Kind::Boolean, &json!("Off")), Some(Value::Boolean(false)));
        assert_eq!(read(Kind::Boolean, &json!(1)), Some(Value::Boolean(true)));
        assert_eq!(read(Kind::Boolean, &json!("open")), None);
    }

    #[test]
    fn types_are_guessed_carefully() {
        assert_eq!(Kind::guess(&json!("21.5")), Some(Kind::Quantity));
        assert_eq!((Kind::guess(&json!("ON")), Kind::guess(&json!("true"))), (Some(Kind::Text), Some(Kind::Boolean)));
        assert_eq!((Kind::guess(&json!(null)), Kind::guess(&json!(" "))), (None, None));
    }

    #[test]
    fn json_has_numbers_and_truths() {
        assert_eq!(write(&Value::Decimal(Decimal::new(215, 1))), json!(21.5));
        assert_eq!(write(&Value::Boolean(true)), json!(true));
        assert_eq!(write(&Value::Text("x".into())), json!("x"));
        assert_eq!(plain(&Value::Duration(1_500_000)), "1.500");
    }
}
