//! A datum of a resource to a value of the model, and back. Owns what fits: what a device says that its type does not allow is no value.

use tombolo_sdk::{Decimal, Value};

use crate::codec::{Datum, base64};
use crate::dictionary::Kind;

/// Longest text that is shown; the host takes no more.
const TEXT_BYTES_MAX: usize = 60 * 1024;
const US: i64 = 1_000_000;

/// What a resource of this kind says. None: it does not fit.
pub(crate) fn read(kind: Kind, has_unit: bool, datum: &Datum) -> Option<Value> {
    let value = match kind {
        Kind::String | Kind::Corelnk => Value::Text(text(datum)?),
        Kind::Integer | Kind::Unsigned => {
            let number = integer(datum, kind == Kind::Unsigned)?;
            if has_unit { Value::Decimal(Decimal::new(number, 0)) } else { Value::Int64(number) }
        }
        Kind::Float => float(datum)?,
        Kind::Boolean => Value::Boolean(boolean(datum)?),
        Kind::Opaque => Value::Text(match datum {
            Datum::Raw(bytes) | Datum::Opaque(bytes) => base64::encode(bytes),
            Datum::Plain(text) | Datum::Text(text) => text.clone(),
            _ => return None,
        }),
        Kind::Time => Value::Instant(integer(datum, false)?.checked_mul(US)?),
        Kind::Link => match datum {
            Datum::Link(object, instance) => Value::Text(format!("{object}:{instance}")),
            Datum::Raw(bytes) => match bytes.as_slice() {
                [a, b, c, d] => {
                    Value::Text(format!("{}:{}", u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])))
                }
                _ => return None,
            },
            Datum::Plain(text) | Datum::Text(text) => Value::Text(text.clone()),
            _ => return None,
        },
        Kind::Nothing | Kind::Unknown => return None,
    };
    let fits = !matches!(&value, Value::Text(text) if text.len() > TEXT_BYTES_MAX);
    fits.then_some(value)
}

fn text(datum: &Datum) -> Option<String> {
    Some(match datum {
        Datum::Raw(bytes) => String::from_utf8(bytes.clone()).ok()?,
        other => crate::codec::text(other),
    })
}

fn integer(datum: &Datum, is_unsigned: bool) -> Option<i64> {
    match datum {
        Datum::Raw(bytes) if !bytes.is_empty() && bytes.len() <= 8 => {
            let is_negative = !is_unsigned && bytes.first().is_some_and(|byte| byte & 0x80 != 0);
            let start = if is_negative { -1_i64 } else { 0 };
            let number = bytes.iter().fold(start, |number, byte| number << 8 | i64::from(*byte));
            (!is_unsigned || number >= 0).then_some(number)
        }
        Datum::Plain(text) | Datum::Text(text) => text.trim().parse().ok(),
        Datum::Integer(number) | Datum::Time(number) => Some(*number),
        Datum::Number(decimal) => whole(decimal.to_f64()),
        Datum::Double(number) => whole(*number),
        Datum::Boolean(_) | Datum::Raw(_) | Datum::Opaque(_) | Datum::Link(..) => None,
    }
}

fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9.0e18).then_some(number as i64)
}

fn float(datum: &Datum) -> Option<Value> {
    match datum {
        // The shortest text of a short float has its decimals; widening it first would invent more.
        Datum::Raw(bytes) => match bytes.as_slice() {
            [a, b, c, d] => number(&f32::from_be_bytes([*a, *b, *c, *d]).to_string()),
            [a, b, c, d, e, f, g, h] => number(&f64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]).to_string()),
            [_] | [_, _] => Some(Value::Decimal(Decimal::new(integer(datum, false)?, 0))),
            _ => None,
        },
        Datum::Plain(text) | Datum::Text(text) => number(text.trim()),
        Datum::Integer(number) => Some(Value::Decimal(Decimal::new(*number, 0))),
        Datum::Number(decimal) => Some(Value::Decimal(*decimal)),
        Datum::Double(double) => number(&double.to_string()),
        Datum::Boolean(_) | Datum::Opaque(_) | Datum::Time(_) | Datum::Link(..) => None,
    }
}

fn number(text: &str) -> Option<Value> {
    if let Ok(decimal) = text.parse() {
        return Some(Value::Decimal(decimal));
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::Double)
}

fn boolean(datum: &Datum) -> Option<bool> {
    match datum {
        Datum::Boolean(is_true) => Some(*is_true),
        Datum::Plain(text) | Datum::Text(text) => match text.trim() {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        },
        other => integer(other, false).filter(|number| (0..=1).contains(number)).map(|number| number == 1),
    }
}

/// What a resource is that nobody described, by its first value.
pub(crate) fn guess(datum: &Datum) -> Kind {
    match datum {
        Datum::Raw(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if !text.is_empty() && !text.chars().any(char::is_control) => Kind::String,
            _ => Kind::Opaque,
        },
        Datum::Plain(text) if text.parse::<Decimal>().is_ok() => Kind::Float,
        Datum::Plain(_) | Datum::Text(_) => Kind::String,
        Datum::Integer(_) => Kind::Integer,
        Datum::Number(_) | Datum::Double(_) => Kind::Float,
        Datum::Boolean(_) => Kind::Boolean,
        Datum::Opaque(_) => Kind::Opaque,
        Datum::Time(_) => Kind::Time,
        Datum::Link(..) => Kind::Link,
    }
}

/// What is written into a resource of this kind. None: it does not fit.
pub(crate) fn write(kind: Kind, value: &Value) -> Option<Datum> {
    Some(match (kind, value) {
        (Kind::Boolean, Value::Boolean(is_true)) => Datum::Boolean(*is_true),
        (Kind::Integer | Kind::Unsigned, Value::Boolean(is_true)) => Datum::Integer(i64::from(*is_true)),
        (Kind::Boolean, other) => match whole(other.as_decimal()?.to_f64())? {
            0 => Datum::Boolean(false),
            1 => Datum::Boolean(true),
            _ => return None,
        },
        (Kind::Integer | Kind::Unsigned, Value::Double(number)) => Datum::Integer(whole(*number)?),
        (Kind::Integer | Kind::Unsigned, other) => Datum::Integer(whole(other.as_decimal()?.to_f64())?),
        (Kind::Float, Value::Double(number)) => Datum::Double(*number),
        (Kind::Float, other) => Datum::Number(other.as_decimal()?),
        (Kind::Time, Value::Instant(instant)) => Datum::Time(instant.div_euclid(US)),
        (Kind::Opaque, Value::Text(text)) => Datum::Opaque(base64::decode(text)?),
        (Kind::Link, Value::Text(text)) => {
            let (object, instance) = text.split_once(':')?;
            Datum::Link(object.parse().ok()?, instance.parse().ok()?)
        }
        (Kind::String | Kind::Corelnk | Kind::Unknown, Value::Text(text) | Value::Member(text)) => {
            Datum::Text(text.clone())
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tlv_numbers_are_read_by_the_type_of_their_resource() {
        let raw = |bytes: &[u8]| Datum::Raw(bytes.to_vec());
        assert_eq!(read(Kind::Integer, false, &raw(&[0xff])), Some(Value::Int64(-1)));
        assert_eq!(read(Kind::Unsigned, false, &raw(&[0xff])), Some(Value::Int64(255)));
        assert_eq!(read(Kind::Integer, true, &raw(&[0x0e, 0xd8])), Some(Value::Decimal(Decimal::new(3800, 0))));
        assert_eq!(read(Kind::Float, true, &raw(&23.4_f32.to_be_bytes())), Some(Value::Decimal(Decimal::new(234, 1))));
        assert_eq!(read(Kind::Float, true, &raw(&1e300_f64.to_be_bytes())), Some(Value::Double(1e300)));
        assert_eq!(read(Kind::Float, true, &raw(&f64::NAN.to_be_bytes())), None);
        assert_eq!(read(Kind::Boolean, false, &raw(&[2])), None);
        assert_eq!(read(Kind::Link, false, &raw(&[0, 66, 0, 0])), Some(Value::Text("66:0".into())));
        assert_eq!(read(Kind::Time, false, &raw(&[0x51, 0x82, 0x42, 0x8f])), Some(Value::Instant(1_367_491_215 * US)));
        assert_eq!(read(Kind::Time, false, &raw(&[0x7f; 8])), None);
        assert_eq!(read(Kind::Integer, false, &raw(&[0; 9])), None);
    }

    #[test]
    fn text_keeps_its_decimals() {
        assert_eq!(read(Kind::Float, true, &Datum::Plain("23.40".into())), Some(Value::Decimal(Decimal::new(2340, 2))));
        assert_eq!(read(Kind::Float, true, &Datum::Plain("1e3".into())), Some(Value::Double(1000.0)));
        assert_eq!(read(Kind::Boolean, false, &Datum::Plain("true".into())), Some(Value::Boolean(true)));
        assert_eq!(read(Kind::Integer, false, &Datum::Plain("x".into())), None);
    }

    #[test]
    fn what_nobody_described_is_judged_by_its_first_value() {
        assert_eq!(guess(&Datum::Raw(b"abc".to_vec())), Kind::String);
        assert_eq!(guess(&Datum::Raw(vec![0, 1])), Kind::Opaque);
        assert_eq!(guess(&Datum::Plain("1.5".into())), Kind::Float);
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        assert_eq!(write(Kind::Integer, &Value::Double(1.5)), None);
        assert_eq!(write(Kind::Boolean, &Value::Int64(2)), None);
        assert_eq!(write(Kind::Opaque, &Value::Text("%".into())), None);
        assert_eq!(write(Kind::Link, &Value::Text("70000:0".into())), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(number in any::<i32>(), digits in -99_999_i64..99_999, is_true: bool, text in "[a-zé]{0,9}") {
            for (kind, value) in [
                (Kind::Integer, Value::Int64(number.into())),
                (Kind::Float, Value::Decimal(Decimal::new(digits, 2))),
                (Kind::Boolean, Value::Boolean(is_true)),
                (Kind::String, Value::Text(text)),
                (Kind::Time, Value::Instant(i64::from(number) * US)),
            ] {
                prop_assert_eq!(read(kind, false, &write(kind, &value).unwrap()), Some(value));
            }
        }
    }
}
