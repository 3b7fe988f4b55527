//! Which change of a field is worth an event (sensor-data §5, trigger rules).

use std::cmp::Ordering;

use crate::model::Value;
use crate::wire::subscribe::FieldRule;

/// What a value is compared with: the last one that was worth an event, or what the subscriber took it to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reference {
    Number(f64),
    Text(String),
}

impl Reference {
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Text(text) | Value::Member(text) => Self::Text(text.clone()),
            other => Self::Number(other.as_f64().unwrap_or_default()),
        }
    }
}

/// Whether the change from reference to value is worth an event. Without a reference, or if the kind of value changed, it is.
pub(super) fn triggers(rule: &FieldRule, reference: Option<&Reference>, value: &Value) -> bool {
    let change = match (reference, Reference::of(value)) {
        (Some(Reference::Number(before)), Reference::Number(now)) => now - before,
        (Some(Reference::Text(before)), Reference::Text(now)) => match now.cmp(before) {
            Ordering::Less => -1.0,
            Ordering::Equal => 0.0,
            Ordering::Greater => 1.0,
        },
        _ => return true,
    };
    let reaches = |threshold: Option<f64>, change: f64| threshold.is_some_and(|threshold| change >= threshold);
    match (rule.by, rule.up, rule.down) {
        (None, None, None) => change != 0.0,
        (by, up, down) => reaches(by, change.abs()) || reaches(up, change) || reaches(down, -change),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(by: Option<f64>, up: Option<f64>, down: Option<f64>) -> FieldRule {
        FieldRule { name: "x".into(), by, up, down, ..FieldRule::default() }
    }

    fn number(rule: &FieldRule, before: f64, now: f64) -> bool {
        triggers(rule, Some(&Reference::Number(before)), &Value::Double(now))
    }

    #[test]
    fn any_change_triggers_where_no_threshold_is_given() {
        assert!(number(&rule(None, None, None), 1.0, 1.001));
        assert!(!number(&rule(None, None, None), 1.0, 1.0));
    }

    #[test]
    fn thresholds_count_in_their_direction_and_include_themselves() {
        let up_or_down = rule(None, Some(0.5), Some(1.0));
        assert!(number(&up_or_down, 20.0, 20.5));
        assert!(!number(&up_or_down, 20.0, 20.4));
        assert!(!number(&up_or_down, 20.0, 19.5));
        assert!(number(&up_or_down, 20.0, 19.0));
        let either = rule(Some(2.0), None, None);
        assert!(number(&either, 20.0, 18.0) && number(&either, 20.0, 22.0) && !number(&either, 20.0, 21.9));
    }

    #[test]
    fn the_first_value_and_another_kind_of_value_trigger() {
        let rule = rule(Some(100.0), None, None);
        assert!(triggers(&rule, None, &Value::Int32(1)));
        assert!(triggers(&rule, Some(&Reference::Number(1.0)), &Value::Text("1".into())));
    }

    #[test]
    fn texts_change_by_one() {
        let before = Reference::Text("m".into());
        let text = |text: &str| Value::Text(text.into());
        assert!(triggers(&rule(Some(1.0), None, None), Some(&before), &text("a")));
        assert!(!triggers(&rule(Some(1.5), None, None), Some(&before), &text("a")));
        assert!(triggers(&rule(None, Some(1.0), None), Some(&before), &text("z")));
        assert!(!triggers(&rule(None, Some(1.0), None), Some(&before), &text("a")));
        assert!(!triggers(&rule(None, None, None), Some(&before), &text("m")));
    }
}
