//! Values and parameters as people write and read them, in plain English. Owns no state and decides nothing: what a value may be is
//! [`super::checks`]' business.

use crate::model::{Field, Timestamp, Value, ValueType};
use crate::wire::control::Refusal;
use crate::wire::lexical;

/// What a field is called.
pub(super) fn name(field: &Field) -> &str {
    if field.label.is_empty() { &field.name } else { &field.label }
}

/// A value with its unit.
pub(super) fn value_text(value: &Value, unit: &str) -> String {
    let text = match value {
        Value::Boolean(true) => "on".to_owned(),
        Value::Boolean(false) => "off".to_owned(),
        other => lexical::write(other),
    };
    with_unit(&text, unit)
}

fn with_unit(text: &str, unit: &str) -> String {
    if unit.is_empty() { text.to_owned() } else { format!("{text} {unit}") }
}

/// How long ago something was, in a few characters.
pub(super) fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.micros_since(at) / 1_000_000;
    match (seconds / 86_400, seconds / 3600, seconds / 60) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, _) => format!("{hours} h"),
        (days, ..) => format!("{days} d"),
    }
}

/// What a parameter can be set to: "a number from 5 to 30 °C".
pub(super) fn wanted(field: &Field) -> String {
    let constraint = field.control.clone().unwrap_or_default();
    if !constraint.members.is_empty() {
        return format!("one of: {}", constraint.members.join(", "));
    }
    let ranged = |what: &str| {
        let bounds = [("from", constraint.minimum), ("to", constraint.maximum)].map(|(word, bound)| {
            let bound = bound.filter(|bound| bound.is_finite());
            bound.map(|bound| format!(" {word} {}", lexical::double_text(bound))).unwrap_or_default()
        });
        with_unit(&format!("{what}{}", bounds.concat()), &field.unit)
    };
    match field.value_type {
        ValueType::Boolean => "on or off".to_owned(),
        ValueType::Int32 | ValueType::Int64 => ranged("a whole number"),
        ValueType::Quantity => ranged("a number"),
        ValueType::Instant => "a time, as in 2026-01-31T07:30:00Z".to_owned(),
        ValueType::Date => "a date, as in 2026-01-31".to_owned(),
        ValueType::TimeOfDay => "a time of day, as in 07:30".to_owned(),
        ValueType::Duration => "a duration, as in PT1H30M or 01:30:00".to_owned(),
        ValueType::Colour => "a colour of six or eight hexadecimal digits, as in FF8800".to_owned(),
        ValueType::Enumeration => "one of its members, of which it names none".to_owned(),
        ValueType::Text => match constraint.pattern {
            Some(pattern) => format!("a text that matches {pattern}"),
            None => "a text".to_owned(),
        },
    }
}

/// The value that a person means; an error is a sentence. Whether it may be set is not looked at.
pub(super) fn value(field: &Field, text: &str) -> Result<Value, String> {
    let text = text.trim();
    let members = field.control.as_ref().map(|constraint| constraint.members.as_slice()).unwrap_or_default();
    let member = members.iter().find(|member| is_same(member, text));
    let found = match field.value_type {
        ValueType::Boolean => boolean(text).map(Value::Boolean),
        ValueType::Enumeration => member.map(|member| Value::Member(member.clone())),
        ValueType::Text if !members.is_empty() => member.map(|member| Value::Text(member.clone())),
        ValueType::Int32 | ValueType::Int64 | ValueType::Quantity => {
            let number = without_unit(text, &field.unit);
            if number.contains(',') {
                return Err(format!("Numbers have a point and no comma, as in 21.5. {}", must_be(field)));
            }
            lexical::parse(number, field.value_type)
        }
        value_type => lexical::parse(text, value_type),
    };
    found.ok_or_else(|| must_be(field))
}

/// "Level must be a whole number from 0 to 100 %."
pub(super) fn must_be(field: &Field) -> String {
    format!("{} must be {}.", name(field), wanted(field))
}

/// Why nothing was set. `field`: the parameter that the refusal names.
pub(super) fn refused(refusal: &Refusal, field: Option<&Field>) -> String {
    match (refusal, field) {
        (Refusal::Invalid { .. } | Refusal::Syntax(_) | Refusal::WrongType(_), Some(field)) => must_be(field),
        (Refusal::Invalid { parameter: name, .. } | Refusal::Syntax(name) | Refusal::WrongType(name), None) => {
            format!("{name} cannot be set to that.")
        }
        (Refusal::ParameterNotFound(name), _) => format!("There is no parameter {name} to set."),
        (Refusal::Forbidden, _) => "You may not set that.".to_owned(),
        (Refusal::NodeNotFound, _) => "There is no such device.".to_owned(),
        (Refusal::NoParameters, _) => "Nothing of it can be set.".to_owned(),
        (Refusal::Failed { fault, .. }, _) => fault.text.clone().unwrap_or_else(|| "It did not work.".to_owned()),
        (Refusal::BadRequest(text), _) => text.clone(),
        (Refusal::Twice(name), _) => format!("{name} is given more than once."),
        (Refusal::NotImplemented | Refusal::Locked, _) => "That is not possible now.".to_owned(),
    }
}

/// How a person says yes and no.
pub(super) fn boolean(text: &str) -> Option<bool> {
    const YES: [&str; 4] = ["on", "true", "yes", "1"];
    const NO: [&str; 4] = ["off", "false", "no", "0"];
    let is_in = |words: [&str; 4]| words.iter().any(|word| is_same(word, text));
    is_in(YES).then_some(true).or_else(|| is_in(NO).then_some(false))
}

/// "21.5 °C" and "21.5°C" are 21.5.
fn without_unit<'a>(text: &'a str, unit: &str) -> &'a str {
    if unit.is_empty() { text } else { text.strip_suffix(unit).unwrap_or(text).trim_end() }
}

/// Whether two names are the same but for capitals.
pub(super) fn is_same(name: &str, given: &str) -> bool {
    name.chars().flat_map(char::to_lowercase).eq(given.chars().flat_map(char::to_lowercase))
}

/// Whether a name begins with this, capitals aside.
pub(super) fn begins_with(name: &str, given: &str) -> bool {
    let mut name = name.chars().flat_map(char::to_lowercase);
    given.chars().flat_map(char::to_lowercase).all(|wanted| name.next() == Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Constraint, Decimal, FieldKinds};

    fn parameter(value_type: ValueType, unit: &str, constraint: Constraint) -> Field {
        Field {
            name: "Level".into(),
            value_type,
            unit: unit.into(),
            kinds: FieldKinds::MOMENTARY,
            control: Some(Box::new(constraint)),
            label: String::new(),
            description: String::new(),
        }
    }

    fn range() -> Constraint {
        Constraint { minimum: Some(5.0), maximum: Some(30.5), ..Constraint::default() }
    }

    #[test]
    fn people_write_values_in_many_ways() {
        let on_off = parameter(ValueType::Boolean, "", Constraint::default());
        for (text, meant) in [("on", true), ("ON", true), ("Yes", true), ("1", true), ("off", false), ("FALSE", false)]
        {
            assert_eq!(value(&on_off, text), Ok(Value::Boolean(meant)), "{text}");
        }
        let degrees = parameter(ValueType::Quantity, "°C", range());
        for text in ["21.5", " 21.5 ", "21.5 °C", "21.5°C"] {
            assert_eq!(value(&degrees, text), Ok(Value::Decimal(Decimal { digits: 215, scale: 1 })), "{text}");
        }
        let modes = Constraint { members: vec!["Auto".into(), "off".into()], ..Constraint::default() };
        let mode = parameter(ValueType::Enumeration, "", modes);
        assert_eq!(value(&mode, "auto"), Ok(Value::Member("Auto".into())));
        assert_eq!(value(&mode, "on").unwrap_err(), "Level must be one of: Auto, off.");
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        let degrees = parameter(ValueType::Quantity, "°C", range());
        assert_eq!(value(&degrees, "warm").unwrap_err(), "Level must be a number from 5 to 30.5 °C.");
        assert!(value(&degrees, "21,5").unwrap_err().starts_with("Numbers have a point and no comma, as in 21.5."));
        let percent = parameter(ValueType::Int32, "%", Constraint { minimum: Some(0.0), ..Constraint::default() });
        assert_eq!(value(&percent, "4.5").unwrap_err(), "Level must be a whole number from 0 %.");
        let on_off = parameter(ValueType::Boolean, "", Constraint::default());
        assert_eq!(value(&on_off, "maybe").unwrap_err(), "Level must be on or off.");
    }

    #[test]
    fn names_are_compared_without_capitals() {
        assert!(is_same("Küche", "KÜCHE") && !is_same("Küche", "Küch"));
        assert!(begins_with("Living room", "living") && !begins_with("Lamp", "lamps") && begins_with("x", ""));
    }

    #[test]
    fn ages_are_short() {
        let now = Timestamp(0).plus_ms(90_000_000);
        let texts = [89_999_000, 89_000_000, 80_000_000, 0].map(|ms| age(Timestamp(0).plus_ms(ms), now));
        assert_eq!(texts, ["1 s", "16 min", "2 h", "1 d"]);
        assert_eq!(age(now, Timestamp(0)), "0 s", "a clock that went backwards");
    }
}
