//! Payload values to model values and back. Owns every conversion; what does not fit is an error with a sentence, never a guess.

use tombolo_sdk::{Decimal, Value, ValueType};

use super::json::Scalar;
use super::template::{Extracted, Template};
use super::time;

/// What a field's values are, and how payloads spell them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Quantity,
    Int32,
    Int64,
    /// Texts of true and false. Empty: the common pairs, in any case.
    Boolean {
        on: String,
        off: String,
    },
    Text,
    /// Only these.
    Member(Vec<String>),
    Instant,
    Date,
    /// As ISO 8601 writes it: `PT1H30M`.
    Duration,
    Colour,
    /// Red, green and blue, 0 to 255 each, with commas between them; behind this prefix.
    Rgb(&'static str),
}

/// The payload does not fit the field; says what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch(pub(crate) &'static str);

const TRUE_TEXTS: [&str; 5] = ["on", "true", "1", "yes", "online"];
const FALSE_TEXTS: [&str; 5] = ["off", "false", "0", "no", "offline"];
/// The host ends a mapper that hands over a longer one.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// How devices say that they have no value.
const NO_VALUE_TEXTS: [&str; 6] = ["", "none", "null", "unknown", "unavailable", "nan"];

impl Kind {
    /// A truth with the common texts.
    pub(crate) fn boolean() -> Self {
        Self::Boolean { on: String::new(), off: String::new() }
    }

    pub(crate) fn value_type(&self) -> ValueType {
        match self {
            Self::Quantity => ValueType::Quantity,
            Self::Int32 => ValueType::Int32,
            Self::Int64 => ValueType::Int64,
            Self::Boolean { .. } => ValueType::Boolean,
            Self::Text => ValueType::Text,
            Self::Member(_) => ValueType::Enumeration,
            Self::Instant => ValueType::Instant,
            Self::Date => ValueType::Date,
            Self::Duration => ValueType::Duration,
            Self::Colour | Self::Rgb(_) => ValueType::Colour,
        }
    }

    /// What a value of unknown type most likely is.
    pub(crate) fn guess(extracted: &Extracted<'_>) -> Option<Self> {
        let text = extracted.text();
        match extracted {
            Extracted::Nothing | Extracted::Scalar(Scalar::Null) => None,
            Extracted::Scalar(Scalar::Boolean(_)) => Some(Self::boolean()),
            _ if quantity(text.trim()).is_some() => Some(Self::Quantity),
            _ if ["true", "false"].contains(&text.trim().to_ascii_lowercase().as_str()) => Some(Self::boolean()),
            _ => Some(Self::Text),
        }
    }

    /// None: the payload says that there is no value.
    pub(crate) fn read(&self, extracted: &Extracted<'_>) -> Result<Option<Value>, Mismatch> {
        if matches!(extracted, Extracted::Nothing | Extracted::Scalar(Scalar::Null)) {
            return Ok(None);
        }
        if let (Self::Quantity, Extracted::Decimal(number)) = (self, extracted) {
            return Ok(Some(Value::Decimal(*number)));
        }
        let text = extracted.text();
        let found = match self {
            Self::Text if text.len() > TEXT_BYTES_MAX => Err(Mismatch("a text of at most 64 KiB")),
            Self::Text => Ok(Value::Text(text.clone().into_owned())),
            Self::Quantity => quantity(text.trim()).ok_or(Mismatch("a number")),
            Self::Int32 => whole(text.trim())
                .and_then(|whole| i32::try_from(whole).ok())
                .map(Value::Int32)
                .ok_or(Mismatch("a whole number of 32 bits")),
            Self::Int64 => whole(text.trim()).map(Value::Int64).ok_or(Mismatch("a whole number")),
            Self::Boolean { on, off } => {
                boolean(on, off, extracted, text.trim()).map(Value::Boolean).ok_or(Mismatch("one of its two texts"))
            }
            Self::Member(members) => member(members, text.trim()).ok_or(Mismatch("one of its members")),
            Self::Instant => time::instant(text.trim()).map(Value::Instant).ok_or(Mismatch("a date and time")),
            Self::Date => time::date(text.trim()).map(Value::Date).ok_or(Mismatch("a date")),
            Self::Duration => time::duration(text.trim()).map(Value::Duration).ok_or(Mismatch("a duration")),
            Self::Rgb(prefix) => rgb(prefix, text.trim()).ok_or(Mismatch("three numbers of a colour")),
            Self::Colour => colour(text.trim()).ok_or(Mismatch("six or eight hexadecimal digits")),
        };
        match found {
            Err(_) if NO_VALUE_TEXTS.contains(&text.trim().to_ascii_lowercase().as_str()) => Ok(None),
            found => found.map(Some),
        }
    }

    /// The payload's text for a value that somebody sets.
    pub(crate) fn write(&self, value: &Value) -> String {
        match (self, value) {
            (Self::Boolean { on, off }, Value::Boolean(truth)) => match (truth, on.as_str(), off.as_str()) {
                (true, "", _) => "ON".into(),
                (false, _, "") => "OFF".into(),
                (true, on, _) => on.into(),
                (false, _, off) => off.into(),
            },
            (Self::Rgb(prefix), Value::Text(digits)) => rgb_text(prefix, digits),
            (_, value) => plain(value),
        }
    }

    /// The same as JSON: numbers and truths bare, texts quoted.
    pub(crate) fn write_json(&self, value: &Value) -> String {
        let text = self.write(value);
        let is_bare = match value {
            Value::Boolean(_) => matches!(text.as_str(), "true" | "false"),
            Value::Int32(_) | Value::Int64(_) | Value::Decimal(_) | Value::Double(_) => true,
            _ => false,
        };
        if is_bare { text } else { serde_json::Value::String(text).to_string() }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Boolean(truth) => truth.to_string(),
        Value::Int32(number) => number.to_string(),
        Value::Int64(number) => number.to_string(),
        Value::Decimal(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Text(text) | Value::Member(text) => text.clone(),
        Value::Instant(micros) => time::write_instant(*micros),
        Value::Duration(micros) => time::write_duration(*micros),
        Value::Date(days) => time::write_date(i64::from(*days)),
        Value::TimeOfDay(micros) => time::write_time_of_day(*micros),
    }
}

fn quantity(text: &str) -> Option<Value> {
    if let Ok(number) = text.parse::<Decimal>() {
        return Some(Value::Decimal(number));
    }
    // An exponent, or more digits than a decimal keeps.
    let is_numeric = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    text.parse::<f64>().ok().filter(|number| is_numeric && number.is_finite()).map(Value::Double)
}

fn whole(text: &str) -> Option<i64> {
    let number: Decimal = text.parse().ok()?;
    let unit = 10_i64.checked_pow(u32::from(number.scale))?;
    (number.digits % unit == 0).then_some(number.digits / unit)
}

fn boolean(on: &str, off: &str, extracted: &Extracted<'_>, text: &str) -> Option<bool> {
    // A truth of JSON is compared in any case, because templates elsewhere write True.
    let is_truth = matches!(extracted, Extracted::Scalar(Scalar::Boolean(_)));
    let is = |expected: &str, common: &[&str]| match expected {
        "" => common.iter().any(|common| common.eq_ignore_ascii_case(text)),
        expected if is_truth => expected.eq_ignore_ascii_case(text),
        expected => expected == text,
    };
    match (is(on, &TRUE_TEXTS), is(off, &FALSE_TEXTS), extracted) {
        (true, _, _) => Some(true),
        (_, true, _) => Some(false),
        (_, _, Extracted::Scalar(Scalar::Boolean(truth))) => Some(*truth),
        _ => None,
    }
}

fn member(members: &[String], text: &str) -> Option<Value> {
    members.iter().find(|member| *member == text).map(|member| Value::Member(member.clone()))
}

fn colour(text: &str) -> Option<Value> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    let is_colour = matches!(digits.len(), 6 | 8) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_colour.then(|| Value::Text(digits.to_ascii_uppercase()))
}

/// Six digits of a colour from `R,G,B`.
fn rgb(prefix: &str, text: &str) -> Option<Value> {
    let mut parts = text.strip_prefix(prefix)?.split(',').map(|part| part.trim().parse::<u8>().ok());
    let (red, green, blue) = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then(|| Value::Text(format!("{red:02X}{green:02X}{blue:02X}")))
}

fn rgb_text(prefix: &str, digits: &str) -> String {
    let part = |at: usize| digits.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok()).unwrap_or_default();
    format!("{prefix}{},{},{}", part(0), part(2), part(4))
}

/// Where in a payload a value is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Extract {
    Plain,
    Pointer(Vec<String>),
    Template(Template),
}

impl Extract {
    /// A JSON pointer (RFC 6901).
    pub(crate) fn pointer(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Pointer(Vec::new()));
        }
        let steps = text.strip_prefix('/').ok_or_else(|| format!("the pointer {text:?} does not begin with /"))?;
        Ok(Self::Pointer(steps.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect()))
    }

    pub(crate) fn template(text: &str) -> Result<Self, String> {
        Template::parse(text).map(Self::Template)
    }

    pub(crate) fn needs_json(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Pointer(_) => true,
            Self::Template(template) => template.needs_json(),
        }
    }

    pub(crate) fn get<'a>(&self, payload: &'a str, document: Option<super::json::Document<'a>>) -> Extracted<'a> {
        match self {
            Self::Plain => Extracted::Scalar(Scalar::Text(payload.into())),
            Self::Pointer(path) => {
                document.and_then(|document| document.get(path)).map_or(Extracted::Nothing, Extracted::Scalar)
            }
            Self::Template(template) => template.evaluate(payload, document),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &Kind, text: &str) -> Result<Option<Value>, Mismatch> {
        kind.read(&Extracted::Scalar(Scalar::Text(text.into())))
    }

    #[test]
    fn numbers_keep_their_decimals() {
        assert_eq!(read(&Kind::Quantity, " 23.40 "), Ok(Some(Value::Decimal(Decimal::new(2340, 2)))));
        assert_eq!(read(&Kind::Quantity, "1.5e3"), Ok(Some(Value::Double(1500.0))));
        assert_eq!(read(&Kind::Quantity, "unavailable"), Ok(None));
        assert_eq!(read(&Kind::Quantity, "NaN"), Ok(None));
        assert!(read(&Kind::Quantity, "warm").is_err() && read(&Kind::Quantity, "infinity").is_err());
    }

    #[test]
    fn truths_have_their_own_texts() {
        let own = Kind::Boolean { on: "open".into(), off: "shut".into() };
        assert_eq!(read(&own, "open"), Ok(Some(Value::Boolean(true))));
        assert!(read(&own, "ON").is_err());
        assert_eq!(read(&Kind::boolean(), "Off"), Ok(Some(Value::Boolean(false))));
        let inverted = Kind::Boolean { on: "false".into(), off: "true".into() };
        assert_eq!(inverted.read(&Extracted::Scalar(Scalar::Boolean(false))), Ok(Some(Value::Boolean(true))));
        assert_eq!(own.write(&Value::Boolean(false)), "shut");
    }

    #[test]
    fn colours_may_be_three_numbers() {
        let kind = Kind::Rgb("rgb,");
        assert_eq!(read(&kind, "rgb,255,0,16"), Ok(Some(Value::Text("FF0010".into()))));
        assert_eq!(kind.write(&Value::Text("ff0010".into())), "rgb,255,0,16");
        assert!(read(&kind, "rgb,256,0,0").is_err() && read(&kind, "1,2,3").is_err());
    }

    #[test]
    fn json_has_bare_numbers_and_quoted_texts() {
        assert_eq!(Kind::Quantity.write_json(&Value::Decimal(Decimal::new(215, 1))), "21.5");
        assert_eq!(Kind::Text.write_json(&Value::Text("a\"b".into())), r#""a\"b""#);
        assert_eq!(Kind::Boolean { on: "true".into(), off: "false".into() }.write_json(&Value::Boolean(true)), "true");
        assert_eq!(Kind::boolean().write_json(&Value::Boolean(true)), r#""ON""#);
    }

    #[test]
    fn guesses_types_of_undeclared_fields() {
        let guess = |text: &'static str| Kind::guess(&Extracted::Scalar(Scalar::Text(text.into()))).unwrap();
        assert_eq!((guess("21.5"), guess("True"), guess("ON")), (Kind::Quantity, Kind::boolean(), Kind::Text));
    }

    #[test]
    fn pointers_follow_their_rfc() {
        assert_eq!(Extract::pointer("/a~1b/m~0n"), Ok(Extract::Pointer(vec!["a/b".into(), "m~n".into()])));
        assert!(Extract::pointer("a").is_err());
    }
}
