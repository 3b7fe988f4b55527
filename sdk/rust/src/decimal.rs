//! Exact decimals. Owns parsing and printing, by which 23.40 stays 23.40, and which values are such numbers.

use std::fmt;
use std::str::FromStr;

use crate::{Decimal, Value};

/// The text is no plain decimal number that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotDecimal;

impl fmt::Display for NotDecimal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("not a plain decimal number of at most 18 digits")
    }
}

impl std::error::Error for NotDecimal {}

impl Decimal {
    /// Most decimals that are kept: 10^18 is the last power of ten in an `i64`.
    pub const SCALE_MAX: u8 = 18;

    /// `digits * 10^-scale`.
    pub const fn new(digits: i64, scale: u8) -> Self {
        Self { digits, scale }
    }

    /// The nearest double.
    pub fn to_f64(self) -> f64 {
        // Parsing the text rounds once; dividing would round twice.
        self.to_string().parse().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.digits < 0 { "-" } else { "" };
        let magnitude = self.digits.unsigned_abs();
        let scale = self.scale.min(Self::SCALE_MAX);
        match scale {
            0 => write!(out, "{sign}{magnitude}"),
            _ => {
                let unit = 10_u64.pow(u32::from(scale));
                write!(out, "{sign}{}.{:0width$}", magnitude / unit, magnitude % unit, width = usize::from(scale))
            }
        }
    }
}

impl FromStr for Decimal {
    type Err = NotDecimal;

    /// Plain notation only: an exponent says nothing about decimals.
    fn from_str(text: &str) -> Result<Self, NotDecimal> {
        let (negative, unsigned) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            all => (false, all),
        };
        let mut magnitude: u64 = 0;
        let mut any_digit = false;
        let mut scale = None;
        for byte in unsigned {
            match byte {
                b'0'..=b'9' => {
                    any_digit = true;
                    magnitude = append(magnitude, byte - b'0').ok_or(NotDecimal)?;
                    scale = scale.map(|decimals: u8| decimals.saturating_add(1));
                }
                b'.' if scale.is_none() => scale = Some(0),
                _ => return Err(NotDecimal),
            }
        }
        let digits = signed(magnitude, negative).ok_or(NotDecimal)?;
        let scale = scale.unwrap_or(0);
        if any_digit && scale <= Self::SCALE_MAX { Ok(Self { digits, scale }) } else { Err(NotDecimal) }
    }
}

/// Compares instead of `checked_mul`, which on 32-bit guests is a multiplication of 128 bits.
fn append(magnitude: u64, digit: u8) -> Option<u64> {
    // Beyond this no `i64` is left, whatever the digit.
    (magnitude <= i64::MAX as u64 / 10).then(|| magnitude * 10 + u64::from(digit))
}

fn signed(magnitude: u64, negative: bool) -> Option<i64> {
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

impl Value {
    /// The number as people write it, whichever numeric case holds it. None for what is no number or has too many digits.
    pub fn as_decimal(&self) -> Option<Decimal> {
        match self {
            Self::Int32(value) => Some(Decimal::new(i64::from(*value), 0)),
            Self::Int64(value) => Some(Decimal::new(*value, 0)),
            Self::Decimal(value) => Some(*value),
            Self::Double(value) => value.to_string().parse().ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_survive() {
        for text in ["23.40", "-0.05", "0", "1000", "-7.000", "922337203685477580.7", "-9223372036854775808"] {
            assert_eq!(text.parse::<Decimal>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_no_plain_decimal() {
        for text in [
            "",
            ".",
            "-",
            "1e3",
            "NaN",
            "0x10",
            "1,5",
            "99999999999999999999",
            "9223372036854775808",
            "-9223372036854775809",
            "1.2.3",
            "--1",
        ] {
            assert_eq!(text.parse::<Decimal>(), Err(NotDecimal), "{text}");
        }
    }
}
