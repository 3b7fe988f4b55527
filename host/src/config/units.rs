//! Sizes and durations as people write them: a number and its unit.

use std::time::Duration;

/// The text is no number with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnitError {
    /// For sizes.
    #[error("no size; write a number and a unit (B, kB, MB, GB, KiB, MiB, GiB), as in \"64 MiB\"")]
    Size,
    /// For durations.
    #[error("no duration; write a number and a unit (us, ms, s, min, h, d), as in \"100 ms\"")]
    Duration,
}

/// Bytes of `64 MiB`.
pub(super) fn size(text: &str) -> Result<u64, UnitError> {
    let factor = |unit: &str| match unit {
        "B" => Some(1),
        "kB" => Some(1000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    product(text, factor).ok_or(UnitError::Size)
}

/// The duration of `100 ms`.
pub(super) fn duration(text: &str) -> Result<Duration, UnitError> {
    let factor = |unit: &str| match unit {
        "us" | "µs" => Some(1),
        "ms" => Some(1000),
        "s" => Some(1_000_000),
        "min" => Some(60_000_000),
        "h" => Some(3_600_000_000),
        "d" => Some(86_400_000_000),
        _ => None,
    };
    product(text, factor).map(Duration::from_micros).ok_or(UnitError::Duration)
}

/// `1 GiB` for 1073741824: the largest unit that leaves a whole number.
pub(super) fn show_size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let whole = units.iter().find(|(factor, _)| bytes >= *factor && bytes.is_multiple_of(*factor));
    whole.map_or_else(|| format!("{bytes} B"), |(factor, unit)| format!("{} {unit}", bytes / factor))
}

fn product(text: &str, factor: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    number.parse::<u64>().ok()?.checked_mul(factor(unit.trim_start())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        for (text, bytes) in
            [("64 MiB", 64 << 20), ("64MiB", 64 << 20), ("1 kB", 1000), ("0 B", 0), (" 2 GiB ", 2 << 30)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "64", "MiB", "64 mib", "-1 MiB", "1.5 MiB", "99999999999 GiB", "64 Mi B"] {
            assert_eq!(size(text), Err(UnitError::Size), "{text}");
        }
    }

    #[test]
    fn reads_durations() {
        assert_eq!(duration("100 ms"), Ok(Duration::from_millis(100)));
        assert_eq!(duration("2min"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("100"), Err(UnitError::Duration));
        assert_eq!(duration("1 fortnight"), Err(UnitError::Duration));
    }

    #[test]
    fn shows_sizes_as_they_are_written() {
        assert_eq!(show_size(64 << 20), "64 MiB");
        assert_eq!(show_size(1500), "1500 B");
    }
}
