//! Formats that hold one value: plain text, octets and a single item of CBOR (LwM2M 1.1 core §7.4.1 to §7.4.3).

use minicbor::data::{Tag, Type};
use minicbor::{Decoder, Encoder};

use super::{Datum, Entry, Malformed, Path, base64, number};

const NEEDS_RESOURCE: Malformed = Malformed("a format for one value where there are several");

fn one(base: Path, datum: Datum) -> Result<Vec<Entry>, Malformed> {
    if base.len() < 3 { Err(NEEDS_RESOURCE) } else { Ok(vec![Entry::new(base, datum)]) }
}

pub(super) fn decode_text(base: Path, bytes: &[u8]) -> Result<Vec<Entry>, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed("plain text that is not UTF-8"))?;
    one(base, Datum::Plain(text.to_owned()))
}

pub(super) fn decode_octets(base: Path, bytes: &[u8]) -> Result<Vec<Entry>, Malformed> {
    one(base, Datum::Opaque(bytes.to_vec()))
}

pub(super) fn decode_cbor(base: Path, bytes: &[u8]) -> Result<Vec<Entry>, Malformed> {
    let mut decoder = Decoder::new(bytes);
    let datum = item(&mut decoder).ok_or(Malformed("no single value of CBOR"))?;
    one(base, datum)
}

/// One value of CBOR that LwM2M knows, tags for time (1) and decimal fractions (4) included.
pub(super) fn item(decoder: &mut Decoder<'_>) -> Option<Datum> {
    Some(match decoder.datatype().ok()? {
        Type::Bool => Datum::Boolean(decoder.bool().ok()?),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
            match i64::try_from(decoder.int().ok()?) {
                Ok(integer) => Datum::Integer(integer),
                Err(_) => return None,
            }
        }
        Type::F16 => single(decoder.f16().ok()?)?,
        Type::F32 => single(decoder.f32().ok()?)?,
        Type::F64 => number(&decoder.f64().ok()?.to_string())?,
        Type::String => Datum::Text(decoder.str().ok()?.to_owned()),
        Type::StringIndef => Datum::Text(decoder.str_iter().ok()?.collect::<Result<String, _>>().ok()?),
        Type::Bytes => Datum::Opaque(decoder.bytes().ok()?.to_owned()),
        Type::BytesIndef => {
            let pieces = decoder.bytes_iter().ok()?.collect::<Result<Vec<_>, _>>().ok()?;
            Datum::Opaque(pieces.concat())
        }
        Type::Tag => match decoder.tag().ok()?.as_u64() {
            1 => match item_plain(decoder)? {
                Datum::Integer(seconds) => Datum::Time(seconds),
                _ => return None,
            },
            4 => fraction(decoder)?,
            _ => return None,
        },
        _ => return None,
    })
}

/// What may stand below a tag: no further tag, so that nothing nests.
fn item_plain(decoder: &mut Decoder<'_>) -> Option<Datum> {
    if decoder.datatype().ok()? == Type::Tag { None } else { item(decoder) }
}

/// The shortest text of a short float has its decimals; widening it first would invent more.
fn single(value: f32) -> Option<Datum> {
    number(&value.to_string())
}

/// `[exponent, mantissa]` (RFC 8949 §3.4.4).
fn fraction(decoder: &mut Decoder<'_>) -> Option<Datum> {
    if decoder.array().ok()? != Some(2) {
        return None;
    }
    let (exponent, mantissa) = (decoder.i64().ok()?, decoder.i64().ok()?);
    number(&match exponent {
        -18..=0 => tombolo_sdk::Decimal::new(mantissa, (-exponent) as u8).to_string(),
        _ => format!("{mantissa}e{exponent}"),
    })
}

/// As text: numbers in decimals, booleans as 0 and 1, octets as base64, links with a colon.
pub(crate) fn text(datum: &Datum) -> String {
    match datum {
        Datum::Raw(bytes) | Datum::Opaque(bytes) => base64::encode(bytes),
        Datum::Plain(text) | Datum::Text(text) => text.clone(),
        Datum::Integer(number) | Datum::Time(number) => number.to_string(),
        Datum::Number(decimal) => decimal.to_string(),
        Datum::Double(number) => number.to_string(),
        Datum::Boolean(is_true) => u8::from(*is_true).to_string(),
        Datum::Link(object, instance) => format!("{object}:{instance}"),
    }
}

pub(super) fn encode_text(datum: &Datum) -> Option<Vec<u8>> {
    Some(text(datum).into_bytes())
}

pub(super) fn encode_octets(datum: &Datum) -> Option<Vec<u8>> {
    match datum {
        Datum::Raw(bytes) | Datum::Opaque(bytes) => Some(bytes.clone()),
        _ => None,
    }
}

pub(super) fn encode_cbor(datum: &Datum) -> Option<Vec<u8>> {
    let mut encoder = Encoder::new(Vec::new());
    match datum {
        Datum::Time(seconds) => encoder.tag(Tag::new(1)).and_then(|encoder| encoder.i64(*seconds)).ok()?,
        other => write(&mut encoder, other)?,
    };
    Some(encoder.into_writer())
}

/// One value, without a tag.
pub(super) fn write<'a>(encoder: &'a mut Encoder<Vec<u8>>, datum: &Datum) -> Option<&'a mut Encoder<Vec<u8>>> {
    match datum {
        Datum::Raw(bytes) | Datum::Opaque(bytes) => encoder.bytes(bytes),
        Datum::Plain(text) | Datum::Text(text) => encoder.str(text),
        Datum::Integer(number) | Datum::Time(number) => encoder.i64(*number),
        Datum::Number(decimal) => float(encoder, decimal.to_f64()),
        Datum::Double(number) => float(encoder, *number),
        Datum::Boolean(is_true) => encoder.bool(*is_true),
        Datum::Link(..) => encoder.str(&text(datum)),
    }
    .ok()
}

fn float(
    encoder: &mut Encoder<Vec<u8>>,
    number: f64,
) -> Result<&mut Encoder<Vec<u8>>, minicbor::encode::Error<std::convert::Infallible>> {
    let short = number as f32;
    if short.to_string() == number.to_string() { encoder.f32(short) } else { encoder.f64(number) }
}
