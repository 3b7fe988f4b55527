//! Days and times: ISO 8601 as state variables have it (UDA 2.0 §2.5), and the `DATE` header of HTTP (RFC 9110 §5.6.7).
//! Owns these texts; the calendar is the SDK's.

use tombolo_sdk::calendar;

const MICROS: i64 = 1_000_000;
const DAY: i64 = 86_400 * MICROS;
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Days since 1970-01-01 of `YYYY-MM-DD`.
pub(crate) fn date(text: &str) -> Option<i32> {
    let mut parts = text.trim().splitn(3, '-');
    let mut next =
        |width: usize| parts.next().filter(|part| part.len() == width).and_then(|part| part.parse::<i64>().ok());
    i32::try_from(calendar::days(next(4)?, next(2)?, next(2)?)?).ok()
}

/// Microseconds since 1970 of `YYYY-MM-DD[Thh:mm:ss[.fraction][zone]]`; without a zone it is taken for UTC.
pub(crate) fn instant(text: &str) -> Option<i64> {
    let text = text.trim();
    let (day, rest) = text.split_at_checked(10)?;
    let midnight = i64::from(date(day)?) * DAY;
    match rest.strip_prefix(['T', 't', ' ']) {
        Some(rest) => Some(midnight + zoned(rest)?),
        None => rest.is_empty().then_some(midnight),
    }
}

/// Microseconds since midnight of `hh:mm:ss[.fraction][zone]`; the zone is taken into account.
pub(crate) fn time_of_day(text: &str) -> Option<u64> {
    u64::try_from(zoned(text.trim())?.rem_euclid(DAY)).ok()
}

/// Microseconds, less the zone's.
fn zoned(text: &str) -> Option<i64> {
    let (time, zone) = text.find(['Z', 'z', '+', '-']).and_then(|at| text.split_at_checked(at)).unwrap_or((text, "Z"));
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = clock.splitn(3, ':').map(|part| part.parse::<i64>().ok().filter(|_| part.len() == 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    if hour > 23 || minute > 59 || second > 60 || hour < 0 || minute < 0 || second < 0 {
        return None;
    }
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    Some((hour * 3600 + minute * 60 + second - zone_seconds(zone)?) * MICROS + micros)
}

fn zone_seconds(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes().first()? {
        b'Z' | b'z' => return (zone.len() == 1).then_some(0),
        b'-' => -1,
        _ => 1,
    };
    let digits: String = zone.chars().filter(char::is_ascii_digit).collect();
    let (hours, minutes) = digits.split_at_checked(2)?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().unwrap_or(0));
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// `YYYY-MM-DD`.
pub(crate) fn write_date(days: i32) -> String {
    let (year, month, day) = calendar::date(i64::from(days));
    format!("{year:04}-{month:02}-{day:02}")
}

/// `hh:mm:ss[.ffffff]`.
pub(crate) fn write_time(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    let fraction = micros % 1_000_000;
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction == 0 { clock } else { format!("{clock}.{fraction:06}").trim_end_matches('0').to_owned() }
}

/// `YYYY-MM-DDThh:mm:ss[.ffffff]Z`.
pub(crate) fn write_instant(micros: i64) -> String {
    let days = micros.div_euclid(DAY);
    let (year, month, day) = calendar::date(days);
    let time = write_time(micros.rem_euclid(DAY).unsigned_abs());
    format!("{year:04}-{month:02}-{day:02}T{time}Z")
}

/// As the `DATE` header has it.
pub(crate) fn http(micros: i64) -> String {
    let days = micros.div_euclid(DAY);
    let (year, month, day) = calendar::date(days);
    let weekday = usize::try_from(days.rem_euclid(7)).ok().and_then(|at| WEEKDAYS.get(at)).unwrap_or(&"Thu");
    let month = usize::try_from(month - 1).ok().and_then(|at| MONTHS.get(at)).unwrap_or(&"Jan");
    let seconds = micros.rem_euclid(DAY) / MICROS;
    format!(
        "{weekday}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_instants_are_read_and_written() {
        for text in ["1970-01-01", "2024-02-29", "1999-12-31", "2100-03-01"] {
            assert_eq!(write_date(date(text).unwrap()), text);
        }
        assert_eq!(instant("2023-11-14T22:13:20Z"), Some(1_700_000_000_000_000));
        assert_eq!(instant("2023-11-14T23:13:20.5+01:00"), Some(1_700_000_000_500_000));
        assert_eq!(instant("2023-11-14T23:13:20+0100"), Some(1_700_000_000_000_000));
        assert_eq!(instant("2023-11-14"), Some(1_699_920_000_000_000));
        assert_eq!(write_instant(1_700_000_000_500_000), "2023-11-14T22:13:20.5Z");
        for text in ["", "2023-02-29", "2023-13-01", "20231114", "2023-11-14x", "2023-11-14T25:00:00"] {
            assert_eq!(instant(text), None, "{text}");
        }
    }

    #[test]
    fn times_of_day_are_read_and_written() {
        assert_eq!(time_of_day("01:02:03"), Some(3_723_000_000));
        assert_eq!(time_of_day("00:30:00+01:00"), Some(84_600_000_000));
        assert_eq!((write_time(3_723_000_000).as_str(), write_time(1_500_000).as_str()), ("01:02:03", "00:00:01.5"));
        assert_eq!(time_of_day("1:2:3"), None);
    }

    #[test]
    fn the_date_header_is_that_of_http() {
        assert_eq!(http(784_111_777_000_000), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
