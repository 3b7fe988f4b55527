//! Lexical forms of XML Schema: texts to model values and back. Knows no element names.
//!
//! Reading is lenient where peers are known to be sloppy (no zone, .NET time spans, capital booleans); writing is canonical.

use std::fmt::Write as _;

use time::{Date, Month};

use crate::model::{Decimal, Timestamp, Value, ValueType};

const MICROS_PER_SECOND: u64 = 1_000_000;
const MICROS_PER_DAY: u64 = 86_400 * MICROS_PER_SECOND;
/// Julian day number of 1970-01-01.
const EPOCH_JULIAN_DAY: i32 = 2_440_588;

/// The value that a text is for a field of this type; none: it is no such value.
pub fn parse(text: &str, value_type: ValueType) -> Option<Value> {
    match value_type {
        ValueType::Boolean => boolean(text).map(Value::Boolean),
        ValueType::Int32 => text.trim().parse().ok().map(Value::Int32),
        ValueType::Int64 => text.trim().parse().ok().map(Value::Int64),
        ValueType::Quantity => number(text),
        ValueType::Text => Some(Value::Text(text.to_owned())),
        ValueType::Instant => Timestamp::parse(text).map(Value::Instant),
        ValueType::Date => date(text).map(Value::Date),
        ValueType::TimeOfDay => time_of_day(text).map(Value::TimeOfDay),
        ValueType::Duration => duration(text).map(Value::Duration),
        ValueType::Enumeration => Some(Value::Member(text.to_owned())),
        ValueType::Colour => colour(text).map(Value::Text),
    }
}

/// The text of a value.
pub fn write(value: &Value) -> String {
    match value {
        Value::Boolean(true) => "true".to_owned(),
        Value::Boolean(false) => "false".to_owned(),
        Value::Int32(value) => value.to_string(),
        Value::Int64(value) => value.to_string(),
        Value::Decimal(value) => value.to_string(),
        Value::Double(value) => double_text(*value),
        Value::Text(value) | Value::Member(value) => value.clone(),
        Value::Instant(value) => value.to_string(),
        Value::Date(days) => date_text(*days),
        Value::TimeOfDay(micros) => time_text(*micros),
        Value::Duration(micros) => duration_text(*micros),
    }
}

/// `xs:boolean`. COMPAT: Python applications write `True`.
pub fn boolean(text: &str) -> Option<bool> {
    match text.trim() {
        "true" | "1" | "True" => Some(true),
        "false" | "0" | "False" => Some(false),
        _ => None,
    }
}

/// A number with its decimals; with an exponent, or with more digits than fit, a double. Never infinite.
pub fn number(text: &str) -> Option<Value> {
    let text = text.trim();
    match text.parse::<Decimal>() {
        Ok(decimal) => Some(Value::Decimal(decimal)),
        Err(_) => text.parse().ok().filter(|double: &f64| double.is_finite()).map(Value::Double),
    }
}

/// `xs:double` without invented digits: an exponent only where plain notation would be longer than it is precise.
pub fn double_text(value: f64) -> String {
    let magnitude = value.abs();
    match value {
        _ if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "INF".to_owned(),
        f64::NEG_INFINITY => "-INF".to_owned(),
        _ if magnitude == 0.0 || (1e-6..1e15).contains(&magnitude) => value.to_string(),
        _ => format!("{value:e}"),
    }
}

/// Six or eight hexadecimal digits, as capitals. COMPAT: people write a `#` before them.
pub fn colour(text: &str) -> Option<String> {
    let digits = text.trim();
    let digits = digits.strip_prefix('#').unwrap_or(digits);
    let is_colour = matches!(digits.len(), 6 | 8) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_colour.then(|| digits.to_ascii_uppercase())
}

/// `xs:date` as days since 1970-01-01. A zone, or the time of an `xs:dateTime`, is ignored.
pub fn date(text: &str) -> Option<i32> {
    let text = text.trim();
    let text = text.split_once('T').map_or(text, |(date, _)| date).trim_end_matches('Z');
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
    let mut parts = text.split(['-', '+']);
    let year: i32 = whole(parts.next()?, 4)?;
    let month: u8 = whole(parts.next()?, 2)?;
    let day: u8 = whole(parts.next()?, 2)?;
    let date = Date::from_calendar_date(sign * year, Month::try_from(month).ok()?, day).ok()?;
    date.to_julian_day().checked_sub(EPOCH_JULIAN_DAY)
}

/// `xs:date` without a zone; a day outside of the calendar's range becomes its last or first.
pub fn date_text(days: i32) -> String {
    let limit = if days < 0 { Date::MIN } else { Date::MAX };
    let date = Date::from_julian_day(days.saturating_add(EPOCH_JULIAN_DAY)).unwrap_or(limit);
    let sign = if date.year() < 0 { "-" } else { "" };
    format!("{sign}{:04}-{:02}-{:02}", date.year().unsigned_abs(), u8::from(date.month()), date.day())
}

/// `xs:time` as microseconds since midnight; a zone is ignored. COMPAT: the reference writes .NET time spans, which can exceed a day and then
/// carry the days before a dot.
pub fn time_of_day(text: &str) -> Option<u64> {
    let text = text.trim().trim_end_matches('Z');
    let text = text.split_once(['+', '-']).map_or(text, |(time, _)| time);
    let mut parts = text.split(':');
    let hours = parts.next()?;
    let (days, hours) = hours.split_once('.').unwrap_or(("0", hours));
    let hours = digits(days)?.checked_mul(24)?.checked_add(digits(hours)?)?;
    let minutes: u64 = whole(parts.next()?, 2)?;
    let seconds = parts.next().map_or(Some(0), seconds_micros)?;
    if parts.next().is_some() || minutes > 59 || seconds >= 60 * MICROS_PER_SECOND {
        return None;
    }
    hours.checked_mul(60)?.checked_add(minutes)?.checked_mul(60 * MICROS_PER_SECOND)?.checked_add(seconds)
}

/// `xs:time` without a zone.
pub fn time_text(micros: u64) -> String {
    let seconds = micros / MICROS_PER_SECOND;
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    push_fraction(&mut text, micros % MICROS_PER_SECOND);
    text
}

/// `xs:duration` in microseconds; years count 365 days and months 30, as there is no calendar to ask. COMPAT: also .NET time spans.
pub fn duration(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let micros = match text.strip_prefix('P') {
        Some(parts) => duration_parts(parts)?,
        None => time_of_day(text)?,
    };
    let micros = i64::try_from(micros).ok()?;
    Some(if negative { -micros } else { micros })
}

/// `xs:duration` in days, hours, minutes and seconds.
pub fn duration_text(micros: i64) -> String {
    let magnitude = micros.unsigned_abs();
    let mut text = String::from(if micros < 0 { "-P" } else { "P" });
    let (days, rest) = (magnitude / MICROS_PER_DAY, magnitude % MICROS_PER_DAY);
    let (seconds, fraction) = (rest / MICROS_PER_SECOND, rest % MICROS_PER_SECOND);
    push_part(&mut text, days, 'D');
    if rest > 0 || magnitude == 0 {
        text.push('T');
        push_part(&mut text, seconds / 3600, 'H');
        push_part(&mut text, seconds / 60 % 60, 'M');
        if seconds % 60 > 0 || fraction > 0 || magnitude == 0 {
            let _ = write!(text, "{}", seconds % 60);
            push_fraction(&mut text, fraction);
            text.push('S');
        }
    }
    text
}

fn push_part(text: &mut String, count: u64, designator: char) {
    if count > 0 {
        let _ = write!(text, "{count}{designator}");
    }
}

fn push_fraction(text: &mut String, micros: u64) {
    if micros > 0 {
        let _ = write!(text, ".{micros:06}");
        text.truncate(text.trim_end_matches('0').len());
    }
}

/// The parts behind the `P`, each designator at most once and in order.
fn duration_parts(text: &str) -> Option<u64> {
    let (days, times) = text.split_once('T').map_or((text, None), |(days, times)| (days, Some(times)));
    if days.is_empty() && times.is_none_or(str::is_empty) {
        return None;
    }
    let days = sum_parts(days, &[('Y', 365 * MICROS_PER_DAY), ('M', 30 * MICROS_PER_DAY), ('D', MICROS_PER_DAY)])?;
    let minute = 60 * MICROS_PER_SECOND;
    let times = sum_parts(times.unwrap_or_default(), &[('H', 60 * minute), ('M', minute), ('S', MICROS_PER_SECOND)])?;
    days.checked_add(times)
}

fn sum_parts(mut text: &str, units: &[(char, u64)]) -> Option<u64> {
    let mut sum = 0_u64;
    for (designator, micros) in units {
        let Some((count, rest)) = text.split_once(*designator) else { continue };
        let part = match designator {
            'S' => seconds_micros(count)?,
            _ => digits(count)?.checked_mul(*micros)?,
        };
        sum = sum.checked_add(part)?;
        text = rest;
    }
    text.is_empty().then_some(sum)
}

/// Seconds with a fraction; digits behind the microseconds are cut off.
fn seconds_micros(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    digits(fraction.get(..1)?)?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let micros = digits(format!("{fraction:0<6}").get(..6)?)?;
    digits(seconds)?.checked_mul(MICROS_PER_SECOND)?.checked_add(micros)
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A number of at least this many digits and no sign.
fn whole<T: TryFrom<u64>>(text: &str, width: usize) -> Option<T> {
    if text.len() < width { None } else { T::try_from(digits(text)?).ok() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keeps_decimals_and_falls_back_to_doubles() {
        assert_eq!(number("23.40"), Some(Value::Decimal(Decimal { digits: 2340, scale: 2 })));
        assert_eq!(number(" 21 "), Some(Value::Decimal(Decimal { digits: 21, scale: 0 })));
        assert_eq!(number("1.5e3"), Some(Value::Double(1500.0)));
        assert_eq!(number("123456789012345678901234"), Some(Value::Double(1.234_567_890_123_456_8e23)));
        for text in ["NaN", "INF", "inf", "", "1,5", "1e999"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn writes_doubles_without_endless_zeros() {
        for (value, text) in [(0.0, "0"), (21.0, "21"), (0.1, "0.1"), (1e300, "1e300"), (-2.5e-9, "-2.5e-9")] {
            assert_eq!(double_text(value), text);
        }
        assert_eq!(double_text(f64::NEG_INFINITY), "-INF");
    }

    #[test]
    fn reads_dates_with_zone_and_with_time() {
        for text in ["1970-01-02", "1970-01-02Z", "1970-01-02+02:00", "1970-01-02-05:00", "1970-01-02T10:00:00Z"] {
            assert_eq!(date(text), Some(1), "{text}");
        }
        for text in ["", "1970", "1970-13-01", "1970-02-30", "70-01-01", "1970-1-1", "x-01-01", "99999999999-01-01"] {
            assert_eq!(date(text), None, "{text}");
        }
        assert_eq!(date_text(-1), "1969-12-31");
        assert_eq!(date_text(i32::MAX), "9999-12-31");
    }

    #[test]
    fn reads_times_and_time_spans() {
        assert_eq!(time_of_day("01:02:03"), Some(3_723_000_000));
        assert_eq!(time_of_day("01:02:03.5Z"), Some(3_723_500_000));
        assert_eq!(time_of_day("01:02:03.1234567+01:00"), Some(3_723_123_456));
        assert_eq!(time_of_day("1.01:00:00"), Some(25 * 3_600_000_000));
        assert_eq!(time_of_day("25:00:00"), Some(25 * 3_600_000_000));
        for text in ["", "1", "1:2:3", "00:60:00", "00:00:60", "00:00:00:00", "-01:00:00", "a:00:00", "00:00:0x"] {
            assert_eq!(time_of_day(text), None, "{text}");
        }
    }

    #[test]
    fn reads_durations() {
        let hour = 3_600_000_000;
        assert_eq!(duration("PT1H30M"), Some(hour * 3 / 2));
        assert_eq!(duration("-P1DT0.5S"), Some(-(24 * hour + 500_000)));
        assert_eq!(duration("P1Y1M"), Some(395 * 24 * hour));
        assert_eq!(duration("01:30:00"), Some(hour * 3 / 2));
        for text in ["", "P", "PT", "1H", "PT1M1H", "PT1", "P1S", "PT-1S", "P99999999999999Y", "PT1.S"] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(duration_text(0), "PT0S");
        assert_eq!(duration_text(hour * 3 / 2), "PT1H30M");
        assert_eq!(duration_text(-24 * hour), "-P1D");
    }

    #[test]
    fn reads_colours_and_refuses_others() {
        assert_eq!(colour("#00ff7f").as_deref(), Some("00FF7F"));
        assert_eq!(colour("00FF7F80").as_deref(), Some("00FF7F80"));
        assert_eq!(colour("0ff"), None);
        assert_eq!(colour("red--!"), None);
    }

    proptest! {
        #[test]
        fn every_written_value_is_read_again(days in -2_000_000..2_000_000_i32, micros in any::<u32>(), span: i64, double: f64, digits: i64, scale in 0..=18_u8) {
            prop_assert_eq!(date(&date_text(days)), Some(days));
            let micros = u64::from(micros) * 1000;
            prop_assert_eq!(time_of_day(&time_text(micros)), Some(micros));
            prop_assume!(span != i64::MIN);
            prop_assert_eq!(duration(&duration_text(span)), Some(span));
            let decimal = Value::Decimal(Decimal { digits, scale });
            prop_assert_eq!(parse(&write(&decimal), ValueType::Quantity), Some(decimal));
            if double.is_finite() {
                prop_assert_eq!(number(&double_text(double)).and_then(|value| value.as_f64()), Some(double));
            }
        }

        #[test]
        fn no_text_makes_reading_panic(text: String) {
            for value_type in [ValueType::Boolean, ValueType::Int32, ValueType::Quantity, ValueType::Instant, ValueType::Date,
                               ValueType::TimeOfDay, ValueType::Duration, ValueType::Colour] {
                let _ = parse(&text, value_type);
            }
        }
    }
}
