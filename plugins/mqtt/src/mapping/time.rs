//! Dates, times and durations as texts, both ways (RFC 3339, ISO 8601). Owns these texts; knows no payload.

use tombolo_sdk::calendar;

/// Days since 1970-01-01 of `YYYY-MM-DD`.
pub(crate) fn date(text: &str) -> Option<i32> {
    let mut parts = text.splitn(3, '-');
    let mut next =
        |width: usize| parts.next().filter(|part| part.len() == width).and_then(|part| part.parse::<i64>().ok());
    i32::try_from(calendar::days(next(4)?, next(2)?, next(2)?)?).ok()
}

/// Microseconds of `YYYY-MM-DDThh:mm:ss[.fraction](Z|±hh:mm)`; without a zone it is UTC.
pub(crate) fn instant(text: &str) -> Option<i64> {
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
    let (hours, minutes) = digits.split_at_checked(2).filter(|_| digits.len() == 4)?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Microseconds of `[-]P[nD][T[nH][nM][nS]]`; years and months have no length.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let rest = text.strip_prefix('P')?;
    let (days, clock) = rest.split_once('T').unwrap_or((rest, ""));
    let seconds =
        parts(days, &[('W', 604_800.0), ('D', 86_400.0)])? + parts(clock, &[('H', 3600.0), ('M', 60.0), ('S', 1.0)])?;
    // Within ten thousand years, where a double is exact to the microsecond and less.
    (rest.len() > 1 && seconds < 3.2e11).then_some((sign * seconds * 1e6).round() as i64)
}

fn parts(mut text: &str, units: &[(char, f64)]) -> Option<f64> {
    let mut sum = 0.0;
    for (unit, seconds) in units {
        if let Some((number, rest)) = text.split_once(*unit) {
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            sum += number.parse::<f64>().ok().filter(|_| is_number)? * seconds;
            text = rest;
        }
    }
    text.is_empty().then_some(sum)
}

const DAY_MICROS: i64 = 86_400_000_000;

/// `YYYY-MM-DD`.
pub(crate) fn write_date(days: i64) -> String {
    let (year, month, day) = calendar::date(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `hh:mm:ss`, with a fraction where there is one.
pub(crate) fn write_time_of_day(micros: u64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction == 0 { clock } else { format!("{clock}.{fraction:06}") }
}

/// `YYYY-MM-DDThh:mm:ssZ`.
pub(crate) fn write_instant(micros: i64) -> String {
    let (day, time) = (micros.div_euclid(DAY_MICROS), micros.rem_euclid(DAY_MICROS).unsigned_abs());
    format!("{}T{}Z", write_date(day), write_time_of_day(time))
}

/// `PTnHnMnS`.
pub(crate) fn write_duration(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let (seconds, fraction) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:06}") };
    format!("{sign}PT{hours}H{minutes}M{seconds}{fraction}S")
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn durations_go_both_ways() {
        assert_eq!(duration("PT1H30M5.5S"), Some(5_405_500_000));
        assert_eq!(duration("-P1DT1S"), Some(-86_401_000_000));
        for text in ["", "P", "PT", "1H", "PT1X", "P1Y", "PT-1S", "PTS", "PT99999999999999H"] {
            assert_eq!(duration(text).filter(|_| text != "PT"), None, "{text}");
        }
        assert_eq!(write_duration(5_405_500_000), "PT1H30M5.500000S");
        assert_eq!(write_duration(-60_000_000), "-PT0H1M0S");
        assert_eq!(write_instant(1_700_000_000_000_000), "2023-11-14T22:13:20Z");
    }
}
