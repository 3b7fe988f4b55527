//! Payload values to model values and back. Owns every conversion; what does not fit is an error with a sentence, never a guess.

use tombolo_sdk::{Decimal, Value, ValueType};

use super::json::Scalar;
use super::template::{Extracted, Template};

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
    Colour,
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
            Self::Colour => ValueType::Colour,
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
            Self::Instant => instant(text.trim()).map(Value::Instant).ok_or(Mismatch("a date and time")),
            Self::Date => date(text.trim()).map(Value::Date).ok_or(Mismatch("a date")),
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
            (_, value) => plain(value),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Boolean(truth) => truth.to_string(),
        Value::Int32(number) => number.to_string(),
        Value::Int64(number) | Value::Instant(number) | Value::Duration(number) => number.to_string(),
        Value::Decimal(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Text(text) | Value::Member(text) => text.clone(),
        Value::Date(number) => number.to_string(),
        Value::TimeOfDay(number) => number.to_string(),
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

/// Days since 1970-01-01 of `YYYY-MM-DD`.
fn date(text: &str) -> Option<i32> {
    let mut parts = text.splitn(3, '-');
    let mut next =
        |width: usize| parts.next().filter(|part| part.len() == width).and_then(|part| part.parse::<u32>().ok());
    let (year, month, day) = (next(4)?, next(2)?, next(2)?);
    if !(1..=12).contains(&month) || day == 0 || day > days_of_month(year, month) {
        return None;
    }
    // Years begin in March, so that the leap day is the last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    i32::try_from(days).ok().map(|days| days - 719_468)
}

fn days_of_month(year: u32, month: u32) -> u32 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Microseconds of `YYYY-MM-DDThh:mm:ss[.fraction](Z|±hh:mm)`; without a zone it is UTC.
fn instant(text: &str) -> Option<i64> {
    let (day, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, zone) = rest.find(['Z', 'z', '+', '-']).and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, "Z"));
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = clock.splitn(3, ':').map(|part| part.parse::<i64>().ok().filter(|_| part.len() == 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    if hour > 23 || minute > 59 || second > 60 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    let seconds = i64::from(date(day)?) * 86_400 + hour * 3600 + minute * 60 + second - zone_seconds(zone)?;
    Some(seconds * 1_000_000 + micros)
}

fn zone_seconds(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes().first()? {
        b'Z' | b'z' => return (zone.len() == 1).then_some(0),
        b'-' => -1,
        _ => 1,
    };
    let digits: String = zone.chars().filter(char::is_ascii_digit).collect();
    let (hours, minutes) = digits.split_at_checked(2)?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    Some(sign * (hours * 3600 + minutes * 60))
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
    fn reads_dates_and_instants() {
        assert_eq!(date("1970-01-01"), Some(0));
        assert_eq!(date("2024-02-29"), Some(19_782));
        assert_eq!(date("2023-02-29"), None);
        assert_eq!(instant("2023-11-14T22:13:20Z"), Some(1_700_000_000_000_000));
        assert_eq!(instant("2023-11-14T23:13:20.5+01:00"), Some(1_700_000_000_500_000));
        assert_eq!(instant("yesterday"), None);
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
