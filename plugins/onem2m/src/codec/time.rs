//! Timestamps: `20240229T120000,123456` as TS-0004 §6.3.3 has them, and the dates of people and XML, which are the same with separators.

use tombolo_sdk::{Timestamp, calendar};

const DAY_S: i64 = 86_400;

/// Reads either form; without a zone it is UTC.
pub(crate) fn read(text: &str) -> Option<Timestamp> {
    let (date, clock) = text.trim().split_once(['T', 't', ' '])?;
    let (clock, zone) = match clock.find(['Z', 'z', '+', '-']) {
        Some(at) => clock.split_at_checked(at)?,
        None => (clock, "Z"),
    };
    let (clock, fraction) = clock.split_once([',', '.']).unwrap_or((clock, ""));
    let day = days(&digits(date)?)?;
    let (hour, minute, second) = clock_parts(&digits(clock)?)?;
    let seconds = day * DAY_S + hour * 3600 + minute * 60 + second - zone_seconds(zone)?;
    Some(seconds * 1_000_000 + micros(fraction)?)
}

/// In whole seconds, which every CSE reads.
pub(crate) fn write(at: Timestamp) -> String {
    let (date, clock) = parts(at);
    format!("{:04}{:02}{:02}T{:02}{:02}{:02}", date.0, date.1, date.2, clock.0, clock.1, clock.2)
}

/// For people and for XML.
pub(crate) fn write_separated(at: Timestamp) -> String {
    let (date, clock) = parts(at);
    format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", date.0, date.1, date.2, clock.0, clock.1, clock.2)
}

/// `YYYY-MM-DD` of days since 1970.
pub(crate) fn write_date(day: i32) -> String {
    let (year, month, day) = calendar::date(i64::from(day));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Days since 1970 of either form of a date.
pub(crate) fn read_date(text: &str) -> Option<i32> {
    i32::try_from(days(&digits(text.trim())?)?).ok()
}

type Parts = (i64, i64, i64);

fn parts(at: Timestamp) -> (Parts, Parts) {
    let seconds = at.div_euclid(1_000_000);
    let of_day = seconds.rem_euclid(DAY_S);
    (calendar::date(seconds.div_euclid(DAY_S)), (of_day / 3600, of_day / 60 % 60, of_day % 60))
}

/// Digits without their separators.
fn digits(text: &str) -> Option<String> {
    let plain: String = text.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    plain.bytes().all(|byte| byte.is_ascii_digit()).then_some(plain)
}

fn number(text: &str, from: usize, to: usize) -> Option<i64> {
    text.get(from..to)?.parse().ok()
}

/// Of `YYYYMMDD`.
fn days(text: &str) -> Option<i64> {
    let (year, month, day) = (number(text, 0, 4)?, number(text, 4, 6)?, number(text, 6, 8)?);
    if text.len() == 8 { calendar::days(year, month, day) } else { None }
}

fn clock_parts(text: &str) -> Option<Parts> {
    let (hour, minute, second) = (number(text, 0, 2)?, number(text, 2, 4)?, number(text, 4, 6)?);
    (text.len() == 6 && hour < 24 && minute < 60 && second <= 60).then_some((hour, minute, second))
}

fn micros(fraction: &str) -> Option<i64> {
    let is_number = fraction.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| format!("{fraction:0<6}").get(..6)?.parse().ok())?
}

fn zone_seconds(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes().first()? {
        b'Z' | b'z' => return (zone.len() == 1).then_some(0),
        b'-' => -1,
        _ => 1,
    };
    let plain = digits(zone.get(1..)?)?;
    let minutes = if plain.len() > 2 { number(&plain, 2, 4)? } else { 0 };
    Some(sign * (number(&plain, 0, 2)? * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms_and_zones() {
        assert_eq!(read("20231114T221320"), Some(1_700_000_000_000_000));
        assert_eq!(read("20231114T221320,5"), Some(1_700_000_000_500_000));
        assert_eq!(read("2023-11-14T23:13:20.123456+01:00"), Some(1_700_000_000_123_456));
        assert_eq!(read("20231114T221320Z"), Some(1_700_000_000_000_000));
    }

    #[test]
    fn writes_what_it_reads() {
        for at in [0, 1_700_000_000_000_000, -1_000_000, 951_782_400_000_000, 4_102_444_799_000_000] {
            assert_eq!(read(&write(at)), Some(at));
            assert_eq!(read(&write_separated(at)), Some(at));
        }
        assert_eq!(write(1_700_000_000_999_999), "20231114T221320");
        assert_eq!((write_date(19_782), read_date("2024-02-29")), ("2024-02-29".into(), Some(19_782)));
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "T",
            "20231314T000000",
            "20230229T000000",
            "20231114T250000",
            "20231114",
            "x20231114T221320",
            "20231114T2213",
            "20231114T221320,x",
            "20231114T221320+",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
