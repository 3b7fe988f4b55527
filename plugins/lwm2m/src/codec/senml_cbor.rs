//! SenML in CBOR (RFC 8428 §6, `application/senml+cbor`). Owns its labels; what records mean together is in [`super::senml`].

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use super::senml::{Record, Resolver, below, common_base};
use super::senml_json::link_of;
use super::single::{item, text, write};
use super::{Datum, ENTRIES_MAX, Entry, Malformed, Path};

const BASE_TIME: i64 = -3;
const BASE_NAME: i64 = -2;
const NAME: i64 = 0;
const VALUE: i64 = 2;
const STRING: i64 = 3;
const BOOLEAN: i64 = 4;
const TIME: i64 = 6;
const DATA: i64 = 8;
/// Of LwM2M: a link to an object.
const LINK: &str = "vlo";

/// What an item that is no SenML gives.
const MALFORMED: Malformed = Malformed("no SenML in CBOR");

pub(super) fn decode(base: Path, bytes: &[u8]) -> Result<Vec<Entry>, Malformed> {
    read(base, bytes).map(|resolver| resolver.entries)
}

pub(super) fn decode_paths(bytes: &[u8]) -> Result<Vec<Path>, Malformed> {
    read(Path::root(), bytes).map(|resolver| resolver.paths)
}

fn read(base: Path, bytes: &[u8]) -> Result<Resolver, Malformed> {
    let mut decoder = Decoder::new(bytes);
    let mut resolver = Resolver::new(base);
    let length = decoder.array().map_err(|_| MALFORMED)?;
    let mut count = 0;
    while more(&mut decoder, length, count)? {
        resolver.add(record(&mut decoder)?)?;
        count += 1;
    }
    Ok(resolver)
}

/// Whether an array or map goes on; an indefinite one ends with a break.
fn more(decoder: &mut Decoder<'_>, length: Option<u64>, count: u64) -> Result<bool, Malformed> {
    if count > 2 * ENTRIES_MAX as u64 {
        return Err(Malformed("SenML with too many records"));
    }
    match length {
        Some(length) => Ok(count < length),
        None if decoder.datatype().map_err(|_| MALFORMED)? == Type::Break => {
            decoder.set_position(decoder.position() + 1);
            Ok(false)
        }
        None => Ok(true),
    }
}

fn record(decoder: &mut Decoder<'_>) -> Result<Record, Malformed> {
    let mut record = Record::default();
    let length = decoder.map().map_err(|_| MALFORMED)?;
    let mut count = 0;
    while more(decoder, length, count)? {
        member(decoder, &mut record)?;
        count += 1;
    }
    Ok(record)
}

fn member(decoder: &mut Decoder<'_>, record: &mut Record) -> Result<(), Malformed> {
    if decoder.datatype().map_err(|_| MALFORMED)? == Type::String {
        return match decoder.str().map_err(|_| MALFORMED)? {
            LINK => {
                let link = decoder.str().ok().and_then(link_of).ok_or(Malformed("SenML with a link that is none"))?;
                record.datum = Some(link);
                Ok(())
            }
            name if name.ends_with('_') => Err(Malformed("SenML with a member that has to be understood and is not")),
            _ => decoder.skip().map_err(|_| MALFORMED),
        };
    }
    match decoder.i64().map_err(|_| MALFORMED)? {
        BASE_NAME => record.base_name = Some(string(decoder)?),
        NAME => record.name = Some(string(decoder)?),
        BASE_TIME => record.base_time = Some(time(decoder)?),
        TIME => record.time = Some(time(decoder)?),
        VALUE | STRING | BOOLEAN | DATA => record.datum = Some(item(decoder).ok_or(MALFORMED)?),
        _ => decoder.skip().map_err(|_| MALFORMED)?,
    }
    Ok(())
}

fn string(decoder: &mut Decoder<'_>) -> Result<String, Malformed> {
    match item(decoder) {
        Some(Datum::Text(text)) => Ok(text),
        _ => Err(MALFORMED),
    }
}

fn time(decoder: &mut Decoder<'_>) -> Result<f64, Malformed> {
    match item(decoder) {
        Some(Datum::Integer(seconds)) => Ok(seconds as f64),
        Some(Datum::Number(seconds)) => Ok(seconds.to_f64()),
        Some(Datum::Double(seconds)) => Ok(seconds),
        _ => Err(MALFORMED),
    }
}

pub(super) fn encode(entries: &[Entry]) -> Vec<u8> {
    let base = common_base(entries);
    let mut encoder = Encoder::new(Vec::new());
    // Writing to a vector cannot fail.
    let _ = encoder.array(entries.len() as u64);
    for (position, entry) in entries.iter().enumerate() {
        let base_name = base.filter(|_| position == 0);
        let _ = encoder.map(if base_name.is_some() { 3 } else { 2 });
        if let Some(base_name) = base_name {
            let _ = encoder.i64(BASE_NAME).and_then(|encoder| encoder.str(&format!("{base_name}/")));
        }
        let _ = encoder.i64(NAME).and_then(|encoder| encoder.str(&below(base, entry.path)));
        encode_value(&mut encoder, &entry.datum);
    }
    encoder.into_writer()
}

fn encode_value(encoder: &mut Encoder<Vec<u8>>, datum: &Datum) {
    let label = match datum {
        Datum::Integer(_) | Datum::Number(_) | Datum::Double(_) | Datum::Time(_) => VALUE,
        Datum::Text(_) | Datum::Plain(_) => STRING,
        Datum::Boolean(_) => BOOLEAN,
        Datum::Opaque(_) | Datum::Raw(_) => DATA,
        Datum::Link(..) => {
            let _ = encoder.str(LINK).and_then(|encoder| encoder.str(&text(datum)));
            return;
        }
    };
    let _ = encoder.i64(label);
    let _ = write(encoder, datum);
}

pub(super) fn encode_paths(paths: &[Path]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    let _ = encoder.array(paths.len() as u64);
    for path in paths {
        let _ = encoder.map(1);
        let _ = encoder.i64(NAME).and_then(|encoder| encoder.str(&path.to_string()));
    }
    encoder.into_writer()
}
