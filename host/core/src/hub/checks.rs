//! Whether a value may be set: range, pattern and members of a declared parameter (control.md §4.1).

use regex::RegexBuilder;

use crate::model::{Constraint, Field, Value, ValueType, limits};

/// Whether the field's constraint lets the value pass.
pub(super) fn is_allowed(field: &Field, constraint: &Constraint, value: &Value) -> bool {
    value.fits(field.value_type)
        && in_range(constraint, field.value_type, value)
        && is_member(constraint, field.value_type, value)
        && is_shaped(constraint, field.value_type, value)
}

fn in_range(constraint: &Constraint, value_type: ValueType, value: &Value) -> bool {
    let is_number = matches!(value_type, ValueType::Int32 | ValueType::Int64 | ValueType::Quantity);
    let Some(number) = value.as_f64().filter(|_| is_number) else { return true };
    let is_enough = constraint.minimum.is_none_or(|minimum| number >= minimum);
    is_enough && constraint.maximum.is_none_or(|maximum| number <= maximum)
}

/// An enumeration without members has no value that could be set.
fn is_member(constraint: &Constraint, value_type: ValueType, value: &Value) -> bool {
    let (Value::Text(text) | Value::Member(text)) = value else { return true };
    let is_open = constraint.members.is_empty() && value_type != ValueType::Enumeration;
    is_open || constraint.members.contains(text)
}

fn is_shaped(constraint: &Constraint, value_type: ValueType, value: &Value) -> bool {
    let (Value::Text(text) | Value::Member(text)) = value else { return true };
    let is_colour = || matches!(text.len(), 6 | 8) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.len() <= limits::TEXT_BYTES_MAX
        && (value_type != ValueType::Colour || is_colour())
        && constraint.pattern.as_ref().is_none_or(|pattern| matches(pattern, text))
}

/// A pattern that does not compile lets nothing pass: it was meant to hold something back.
fn matches(pattern: &str, text: &str) -> bool {
    let whole = format!("^(?:{pattern})$");
    let compiled = RegexBuilder::new(&whole).size_limit(limits::PATTERN_BYTES_MAX).build();
    compiled.is_ok_and(|regex| regex.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Decimal, FieldKinds};

    fn field(value_type: ValueType) -> Field {
        Field {
            name: "x".into(),
            value_type,
            unit: String::new(),
            kinds: FieldKinds::MOMENTARY,
            control: None,
            label: String::new(),
            description: String::new(),
        }
    }

    fn allows(value_type: ValueType, constraint: &Constraint, value: Value) -> bool {
        is_allowed(&field(value_type), constraint, &value)
    }

    #[test]
    fn numbers_stay_in_their_range_with_both_ends() {
        let constraint = Constraint { minimum: Some(-1.0), maximum: Some(21.5), ..Constraint::default() };
        let decimal = |digits| Value::Decimal(Decimal { digits, scale: 1 });
        assert!(allows(ValueType::Quantity, &constraint, decimal(215)));
        assert!(allows(ValueType::Int32, &constraint, Value::Int32(-1)));
        assert!(!allows(ValueType::Quantity, &constraint, decimal(216)));
        assert!(!allows(ValueType::Quantity, &constraint, Value::Double(f64::NAN)));
        assert!(!allows(ValueType::Int64, &constraint, Value::Int64(-2)));
    }

    #[test]
    fn texts_fit_the_whole_pattern() {
        let constraint = Constraint { pattern: Some("a+|b".into()), ..Constraint::default() };
        assert!(allows(ValueType::Text, &constraint, Value::Text("aaa".into())));
        assert!(!allows(ValueType::Text, &constraint, Value::Text("aab".into())));
    }

    #[test]
    fn a_pattern_that_is_none_lets_nothing_pass() {
        for pattern in ["(", "(a{1000}){1000}"] {
            let constraint = Constraint { pattern: Some(pattern.into()), ..Constraint::default() };
            assert!(!allows(ValueType::Text, &constraint, Value::Text("(".into())));
        }
    }

    #[test]
    fn enumerations_have_only_their_members() {
        let constraint = Constraint { members: vec!["auto".into(), "off".into()], ..Constraint::default() };
        assert!(allows(ValueType::Enumeration, &constraint, Value::Member("off".into())));
        assert!(!allows(ValueType::Enumeration, &constraint, Value::Member("OFF".into())));
        assert!(!allows(ValueType::Enumeration, &Constraint::default(), Value::Member("off".into())));
    }

    #[test]
    fn colours_are_six_or_eight_digits() {
        for (text, allowed) in
            [("00ff7F", true), ("00ff7F80", true), ("#00ff7", false), ("00ff7", false), ("red", false)]
        {
            assert_eq!(allows(ValueType::Colour, &Constraint::default(), Value::Text(text.into())), allowed, "{text}");
        }
    }
}
