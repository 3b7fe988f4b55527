//! Timestamps: `20240229T120000,123456` as TS-0004 §6.3.3 has them, and the dates of people and XML, which are the same with separators.

use tombolo_sdk::Timestamp;

const DAY_S: i64 = 86_400;

/// Reads either form; without a zone it is UTC.
pub(crate) fn read(text: &str) -> Option<Timestamp> {
    let (date, clock) = text.trim().split_once(['T', 't', ' '])?;
    let (clock, zone) = match clock.find(['Z', 'z', '+', '-']) {
        Some(at) => clock.split_at_checked(at)?,
        None => (clock, "Z"),
    };
    let (clock, fraction) = clock.split_once([',', '.']).unwrap_or((clock, ""));
    let (year, month, day) = date_parts(&digits(date)?)?;
    let (hour, minute, second) = clock_parts(&digits(clock)?)?;
    let seconds = days(year, month, day)? * DAY_S + hour * 3600 + minute * 60 + second - zone_seconds(zone)?;
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
    let (year, month, day) = date_of(i64::from(day));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Days since 1970 of either form of a date.
pub(crate) fn read_date(text: &str) -> Option<i32> {
    let (year, month, day) = date_parts(&digits(text.trim())?)?;
    i32::try_from(days(year, month, day)?).ok()
}

type Parts = (i64, i64, i64);

fn parts(at: Timestamp) -> (Parts, Parts) {
    let seconds = at.div_euclid(1_000_000);
    let of_day = seconds.rem_euclid(DAY_S);
    (date_of(seconds.div_euclid(DAY_S)), (of_day / 3600, of_day / 60 % 60, of_day % 60))
}

/// Digits without their separators.
fn digits(text: &str) -> Option<String> {
    let plain: String = text.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    plain.bytes().all(|byte| byte.is_ascii_digit()).then_some(plain)
}

fn number(text: &str, from: usize, to: usize) -> Option<i64> {
    text.get(from..to)?.parse().ok()
}

fn date_parts(text: &str) -> Option<Parts> {
    let (year, month, day) = (number(text, 0, 4)?, number(text, 4, 6)?, number(text, 6, 8)?);
    let is_date = text.len() == 8 && (1..=12).contains(&month) && (1..=days_of_month(year, month)).contains(&day);
    is_date.then_some((year, month, day))
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

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970. Years begin in March, so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5;
    Some(days + day - 1 - 719_468)
}

fn date_of(days: i64) -> Parts {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
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
