//! Bytes to values and back: CoAP messages, link format, and the formats of LwM2M content. Holds no state and knows neither devices nor things.
//!
//! Content is a list of [`Entry`]: a path and a [`Datum`]. TLV and plain text do not say of what type a value is; what they hold is
//! [`Datum::Raw`] and [`Datum::Plain`], and whoever knows the resource makes a value of it.

use serde::{Deserialize, Serialize};
use tombolo_sdk::Decimal;

pub(crate) mod base64;
pub(crate) mod link;
pub(crate) mod message;
mod path;
mod senml;
mod senml_cbor;
mod senml_json;
mod single;
mod tlv;

pub(crate) use path::Path;
pub(crate) use single::text;

/// Content-Format numbers (IANA CoRE parameters).
pub(crate) mod format {
    pub(crate) const TEXT: u16 = 0;
    pub(crate) const LINK: u16 = 40;
    pub(crate) const OCTETS: u16 = 42;
    pub(crate) const JSON: u16 = 50;
    pub(crate) const CBOR: u16 = 60;
    pub(crate) const SENML_JSON: u16 = 110;
    pub(crate) const SENML_CBOR: u16 = 112;
    pub(crate) const TLV: u16 = 11_542;
    /// The JSON of LwM2M 1.0, which many devices write in answers.
    pub(crate) const OMA_JSON: u16 = 11_543;
    /// Numbers of drafts, for TLV and JSON.
    pub(crate) const TLV_DRAFT: u16 = 1542;
    pub(crate) const OMA_JSON_DRAFT: u16 = 1543;
}

/// Values that one content may hold; more is not what a device says of itself.
pub(crate) const ENTRIES_MAX: usize = 2048;

/// The content is not what its format says. The sentence is for the log, without the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// A value as content has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Datum {
    /// Of TLV: the type is not said.
    Raw(Vec<u8>),
    /// Of plain text: neither.
    Plain(String),
    Integer(i64),
    /// With the decimals that were written.
    #[serde(with = "decimal")]
    Number(Decimal),
    Double(f64),
    Boolean(bool),
    Text(String),
    Opaque(Vec<u8>),
    /// Seconds since 1970.
    Time(i64),
    /// Object and instance.
    Link(u16, u16),
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) path: Path,
    pub(crate) datum: Datum,
    /// Seconds, since 1970 or, below 2^28, from now (RFC 8428 §4.5.3); only SenML tells them.
    pub(crate) seconds: Option<f64>,
}

impl Entry {
    pub(crate) fn new(path: Path, datum: Datum) -> Self {
        Self { path, datum, seconds: None }
    }
}

/// Reads content that answers a request for `base`. Without a format, the first byte has to tell it.
pub(crate) fn decode(format: Option<u16>, base: Path, bytes: &[u8]) -> Result<Vec<Entry>, Malformed> {
    match format.unwrap_or_else(|| guess(base, bytes)) {
        format::TEXT => single::decode_text(base, bytes),
        format::OCTETS => single::decode_octets(base, bytes),
        format::CBOR => single::decode_cbor(base, bytes),
        format::TLV | format::TLV_DRAFT => tlv::decode(base, bytes),
        format::SENML_JSON | format::OMA_JSON | format::OMA_JSON_DRAFT | format::JSON => {
            senml_json::decode(base, bytes)
        }
        format::SENML_CBOR => senml_cbor::decode(base, bytes),
        _ => Err(Malformed("a content format that is none of LwM2M's")),
    }
}

/// Whether [`decode`] knows the format.
pub(crate) fn is_known(format: u16) -> bool {
    use format::{CBOR, JSON, OCTETS, OMA_JSON, OMA_JSON_DRAFT, SENML_CBOR, SENML_JSON, TEXT, TLV, TLV_DRAFT};
    [TEXT, OCTETS, CBOR, TLV, TLV_DRAFT, SENML_JSON, OMA_JSON, OMA_JSON_DRAFT, JSON, SENML_CBOR].contains(&format)
}

/// Some devices leave the format out. TLV begins with a byte whose upper bits are an identifier type; JSON and CBOR begin with an array.
fn guess(base: Path, bytes: &[u8]) -> u16 {
    match bytes {
        [b'[' | b'{', ..] if serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() => format::SENML_JSON,
        [0x80..=0x9f, rest @ ..] if rest.first().is_some_and(|byte| byte & 0xe0 == 0xa0) => format::SENML_CBOR,
        _ if base.resource().is_some() && std::str::from_utf8(bytes).is_ok_and(is_text) => format::TEXT,
        _ => format::TLV,
    }
}

fn is_text(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// Writes content; none: this format cannot say it (plain formats hold one value).
pub(crate) fn encode(format: u16, base: Path, entries: &[Entry]) -> Option<Vec<u8>> {
    match format {
        format::TEXT => single::encode_text(only(entries)?),
        format::OCTETS => single::encode_octets(only(entries)?),
        format::CBOR => single::encode_cbor(only(entries)?),
        format::TLV | format::TLV_DRAFT => tlv::encode(base, entries),
        format::SENML_JSON => Some(senml_json::encode(entries)),
        format::OMA_JSON | format::OMA_JSON_DRAFT => Some(senml_json::encode_oma(base, entries)),
        format::SENML_CBOR => Some(senml_cbor::encode(entries)),
        _ => None,
    }
}

fn only(entries: &[Entry]) -> Option<&Datum> {
    match entries {
        [entry] => Some(&entry.datum),
        _ => None,
    }
}

/// The paths that a Read-Composite or Observe-Composite asks for.
pub(crate) fn decode_paths(format: Option<u16>, bytes: &[u8]) -> Result<Vec<Path>, Malformed> {
    match format {
        Some(format::SENML_JSON) => senml_json::decode_paths(bytes),
        Some(format::SENML_CBOR) => senml_cbor::decode_paths(bytes),
        _ => Err(Malformed("composite operations need SenML")),
    }
}

/// Writes them.
pub(crate) fn encode_paths(format: u16, paths: &[Path]) -> Option<Vec<u8>> {
    match format {
        format::SENML_JSON => Some(senml_json::encode_paths(paths)),
        format::SENML_CBOR => Some(senml_cbor::encode_paths(paths)),
        _ => None,
    }
}

/// How a number that was written as text is kept: with its decimals, if they fit.
fn number(text: &str) -> Option<Datum> {
    if let Ok(decimal) = text.parse::<Decimal>() {
        return Some(Datum::Number(decimal));
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Datum::Double)
}

/// Decimals in what is kept over a swap.
mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use tombolo_sdk::Decimal;

    pub(super) fn serialize<S: Serializer>(decimal: &Decimal, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(decimal)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Decimal, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
