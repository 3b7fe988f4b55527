//! Values and their types. Owns decimals that keep their digits; knows no element names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::now::Timestamp;

/// `digits * 10^-scale`: 23.40 stays 23.40.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decimal {
    /// All digits, as one whole number.
    pub digits: i64,
    /// How many of them are decimals, 0 to 18.
    pub scale: u8,
}

impl Decimal {
    /// Most decimals that are kept: 10^18 is the last power of ten in an `i64`.
    pub const SCALE_MAX: u8 = 18;

    /// The nearest double.
    pub fn to_f64(self) -> f64 {
        // Parsing the text rounds once; dividing would round twice.
        self.to_string().parse().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = usize::from(self.scale.min(Self::SCALE_MAX));
        let sign = if self.digits < 0 { "-" } else { "" };
        let digits = format!("{:0width$}", self.digits.unsigned_abs(), width = scale + 1);
        let (whole, decimals) = digits.split_at(digits.len() - scale);
        match scale {
            0 => write!(out, "{sign}{whole}"),
            _ => write!(out, "{sign}{whole}.{decimals}"),
        }
    }
}

/// The text is no plain decimal number that fits 18 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a plain decimal number of at most 18 digits")]
pub struct NotDecimal;

impl FromStr for Decimal {
    type Err = NotDecimal;

    /// Plain notation only: an exponent says nothing about decimals.
    fn from_str(text: &str) -> Result<Self, NotDecimal> {
        let (sign, unsigned) = match text.as_bytes().first() {
            Some(b'-') => ("-", text.get(1..).unwrap_or_default()),
            Some(b'+') => ("", text.get(1..).unwrap_or_default()),
            _ => ("", text),
        };
        let (whole, decimals) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && decimals.is_empty()) || !is_digits(whole) || !is_digits(decimals) {
            return Err(NotDecimal);
        }
        let scale = u8::try_from(decimals.len()).ok().filter(|scale| *scale <= Self::SCALE_MAX).ok_or(NotDecimal)?;
        let digits = format!("{sign}{whole}{decimals}").parse().map_err(|_| NotDecimal)?;
        Ok(Self { digits, scale })
    }
}

/// A value with its type; the unit stands beside it, in the field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Value {
    Boolean(bool),
    Int32(i32),
    Int64(i64),
    /// A quantity with its decimals.
    Decimal(Decimal),
    /// A quantity whose decimals mean nothing; always finite.
    Double(f64),
    Text(String),
    Instant(Timestamp),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since midnight.
    TimeOfDay(u64),
    /// Microseconds; may be negative.
    Duration(i64),
    /// A member of an enumeration.
    Member(String),
}

impl Value {
    /// The type of a field that has such values and says no more of itself.
    pub const fn value_type(&self) -> ValueType {
        match self {
            Self::Boolean(_) => ValueType::Boolean,
            Self::Int32(_) => ValueType::Int32,
            Self::Int64(_) => ValueType::Int64,
            Self::Decimal(_) | Self::Double(_) => ValueType::Quantity,
            Self::Text(_) => ValueType::Text,
            Self::Instant(_) => ValueType::Instant,
            Self::Date(_) => ValueType::Date,
            Self::TimeOfDay(_) => ValueType::TimeOfDay,
            Self::Duration(_) => ValueType::Duration,
            Self::Member(_) => ValueType::Enumeration,
        }
    }

    /// The number that comparisons and ranges use; none for texts.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Boolean(value) => Some(f64::from(u8::from(*value))),
            Self::Int32(value) => Some(f64::from(*value)),
            Self::Int64(value) => Some(*value as f64),
            Self::Decimal(value) => Some(value.to_f64()),
            Self::Double(value) => Some(*value),
            Self::Instant(value) => Some(value.0 as f64 / 1e6),
            Self::Date(days) => Some(f64::from(*days) * 86_400.0),
            Self::TimeOfDay(micros) => Some(*micros as f64 / 1e6),
            Self::Duration(micros) => Some(*micros as f64 / 1e6),
            Self::Text(_) | Self::Member(_) => None,
        }
    }

    /// Whether a field of this type can hold the value.
    pub fn fits(&self, value_type: ValueType) -> bool {
        match (self, value_type) {
            (Self::Boolean(_), ValueType::Boolean)
            | (Self::Int32(_), ValueType::Int32 | ValueType::Int64)
            | (Self::Int64(_), ValueType::Int64)
            | (Self::Decimal(_) | Self::Int32(_) | Self::Int64(_), ValueType::Quantity)
            | (Self::Text(_), ValueType::Text | ValueType::Colour)
            | (Self::Instant(_), ValueType::Instant)
            | (Self::Date(_), ValueType::Date)
            | (Self::TimeOfDay(_), ValueType::TimeOfDay)
            | (Self::Duration(_), ValueType::Duration)
            | (Self::Member(_), ValueType::Enumeration) => true,
            (Self::Double(value), ValueType::Quantity) => value.is_finite(),
            _ => false,
        }
    }
}

/// What values a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ValueType {
    Boolean,
    Int32,
    Int64,
    /// A number with a unit.
    Quantity,
    Text,
    Instant,
    Date,
    TimeOfDay,
    Duration,
    /// [`Value::Member`].
    Enumeration,
    /// [`Value::Text`] of six or eight hexadecimal digits.
    Colour,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_survive() {
        for text in ["23.40", "-0.05", "0", "1000", "-7.000", "922337203685477580.7"] {
            assert_eq!(text.parse::<Decimal>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_no_plain_decimal() {
        for text in ["", ".", "-", "1e3", "NaN", "0x10", "1,5", "99999999999999999999", "1.2.3", "--1"] {
            assert_eq!(text.parse::<Decimal>(), Err(NotDecimal), "{text}");
        }
    }
}
