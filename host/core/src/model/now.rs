//! Instants. Owns their text form; never reads a clock.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, PrimitiveDateTime, macros::format_description};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// The years 0 to 9999 in UTC: what `xs:dateTime` writes with four digits.
const WRITABLE: std::ops::RangeInclusive<i64> = -62_167_219_200_000_000..=253_402_300_799_999_999;

impl Timestamp {
    /// This instant and `duration_ms` milliseconds, as far as the range goes.
    pub fn plus_ms(self, duration_ms: u64) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration_ms.saturating_mul(1000)).unwrap_or(i64::MAX)))
    }

    /// Microseconds from `earlier` to this instant; zero if the clock went backwards.
    pub fn micros_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// Reads `xs:dateTime` of the years 0 to 9999. Without a zone it is UTC, as interop practice is.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let instant = match OffsetDateTime::parse(text, &Rfc3339) {
            Ok(instant) => instant,
            Err(_) => PrimitiveDateTime::parse(
                text,
                format_description!("[year]-[month]-[day]T[hour]:[minute]:[second][optional [.[subsecond]]]"),
            )
            .ok()?
            .assume_utc(),
        };
        let micros = i64::try_from(instant.unix_timestamp_nanos().div_euclid(1000)).ok()?;
        WRITABLE.contains(&micros).then_some(Self(micros))
    }
}

impl fmt::Display for Timestamp {
    /// `xs:dateTime` in UTC with `Z`, fractions only where there are some. What is outside of the years 0 to 9999 is their beginning or end.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1000);
        match instant.ok().and_then(|instant| instant.format(&Rfc3339).ok()) {
            Some(text) => out.write_str(&text),
            None if self.0 < 0 => out.write_str("0000-01-01T00:00:00Z"),
            None => out.write_str("9999-12-31T23:59:59Z"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_with_zone_without_zone_and_with_fraction() {
        assert_eq!(Timestamp::parse("1970-01-01T00:00:01Z"), Some(Timestamp(1_000_000)));
        assert_eq!(Timestamp::parse("1970-01-01T00:00:01"), Some(Timestamp(1_000_000)));
        assert_eq!(Timestamp::parse("1970-01-01T02:00:01.5+02:00"), Some(Timestamp(1_500_000)));
        assert_eq!(Timestamp::parse("yesterday"), None);
        // What could only be written as something else.
        for text in ["-2025-03-01T10:00:00", "0000-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
        for text in ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"] {
            assert_eq!(Timestamp::parse(text).map(|instant| instant.to_string()).as_deref(), Some(text));
        }
    }

    #[test]
    fn writes_utc() {
        assert_eq!(Timestamp(1_000_000).to_string(), "1970-01-01T00:00:01Z");
        assert_eq!(Timestamp(1_500_000).to_string(), "1970-01-01T00:00:01.5Z");
        assert_eq!(Timestamp(i64::MIN).to_string(), "0000-01-01T00:00:00Z");
        assert_eq!(Timestamp(i64::MAX).to_string(), "9999-12-31T23:59:59Z");
    }
}
