//! SenML in JSON (RFC 8428 §5, `application/senml+json`), and the JSON of LwM2M 1.0 (`application/vnd.oma.lwm2m+json`), which devices
//! go on writing. Numbers keep the decimals that were written.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::senml::{Record, Resolver, below, common_base};
use super::single::text;
use super::{Datum, Entry, Malformed, Path, base64, number};

/// Members of a record. Those that end in an underscore must be understood and are not (RFC 8428 §4.4).
#[derive(Deserialize)]
struct Written<'a> {
    bn: Option<String>,
    bt: Option<f64>,
    n: Option<String>,
    t: Option<f64>,
    #[serde(borrow)]
    v: Option<&'a RawValue>,
    vb: Option<bool>,
    vs: Option<String>,
    vd: Option<String>,
    vlo: Option<String>,
    /// Of LwM2M 1.0.
    sv: Option<String>,
    bv: Option<bool>,
    ov: Option<String>,
}

/// The document of LwM2M 1.0.
#[derive(Deserialize)]
struct Oma<'a> {
    bn: Option<String>,
    bt: Option<f64>,
    #[serde(borrow)]
    e: Vec<Written<'a>>,
}

pub(super) fn decode(base: Path, bytes: &[u8]) -> Result<Vec<Entry>, Malformed> {
    read(base, bytes).map(|resolver| resolver.entries)
}

pub(super) fn decode_paths(bytes: &[u8]) -> Result<Vec<Path>, Malformed> {
    read(Path::root(), bytes).map(|resolver| resolver.paths)
}

fn read(base: Path, bytes: &[u8]) -> Result<Resolver, Malformed> {
    const MALFORMED: Malformed = Malformed("no SenML in JSON");
    let mut resolver = Resolver::new(base);
    let records = match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => {
            let oma: Oma<'_> = serde_json::from_slice(bytes).map_err(|_| MALFORMED)?;
            // Names of this format are below the base name, which is the request's path where it is not told.
            let name = oma.bn.unwrap_or_else(|| base.to_string());
            let name = if name.ends_with('/') { name } else { format!("{name}/") };
            resolver.add(Record { base_name: Some(name), base_time: oma.bt, ..Record::default() })?;
            resolver.paths.clear();
            oma.e
        }
        _ => serde_json::from_slice::<Vec<Written<'_>>>(bytes).map_err(|_| MALFORMED)?,
    };
    for written in records {
        resolver.add(record(written)?)?;
    }
    Ok(resolver)
}

fn record(written: Written<'_>) -> Result<Record, Malformed> {
    let number = written.v.map(|raw| number(raw.get()).ok_or(Malformed("SenML with a value that is no number")));
    let opaque = written.vd.map(|text| base64::decode(&text).ok_or(Malformed("SenML with data that is not base64")));
    let link = written.vlo.or(written.ov);
    let link = link.map(|text| link_of(&text).ok_or(Malformed("SenML with a link that is none")));
    let boolean = written.vb.or(written.bv).map(Datum::Boolean);
    let texts = written.vs.or(written.sv).map(Datum::Text);
    let datum = number.transpose()?.or(boolean).or(texts).or(opaque.transpose()?.map(Datum::Opaque));
    Ok(Record {
        base_name: written.bn,
        base_time: written.bt,
        name: written.n,
        time: written.t,
        datum: datum.or(link.transpose()?),
    })
}

/// `OBJECT:INSTANCE`.
pub(super) fn link_of(text: &str) -> Option<Datum> {
    let (object, instance) = text.split_once(':')?;
    Some(Datum::Link(object.parse().ok()?, instance.parse().ok()?))
}

pub(super) fn encode(entries: &[Entry]) -> Vec<u8> {
    let base = common_base(entries);
    let records = entries.iter().enumerate().map(|(position, entry)| {
        let base_name = base.filter(|_| position == 0).map(|base| format!("\"bn\":\"{base}/\",")).unwrap_or_default();
        format!("{{{base_name}\"n\":\"{}\",{}}}", below(base, entry.path), value(&entry.datum))
    });
    format!("[{}]", records.collect::<Vec<_>>().join(",")).into_bytes()
}

/// The JSON of LwM2M 1.0, for servers that ask for it.
pub(super) fn encode_oma(base: Path, entries: &[Entry]) -> Vec<u8> {
    let base = base.up_to(2);
    let records = entries.iter().map(|entry| {
        let value = match &entry.datum {
            Datum::Boolean(is_true) => format!("\"bv\":{is_true}"),
            Datum::Text(text) | Datum::Plain(text) => format!("\"sv\":{}", quoted(text)),
            Datum::Opaque(bytes) | Datum::Raw(bytes) => format!("\"sv\":\"{}\"", base64::encode(bytes)),
            Datum::Link(..) => format!("\"ov\":\"{}\"", text(&entry.datum)),
            other => format!("\"v\":{}", text(other)),
        };
        format!("{{\"n\":\"{}\",{value}}}", below(Some(base), entry.path))
    });
    let base = if base.len() == 0 { String::new() } else { base.to_string() };
    format!("{{\"bn\":\"{base}/\",\"e\":[{}]}}", records.collect::<Vec<_>>().join(",")).into_bytes()
}

pub(super) fn encode_paths(paths: &[Path]) -> Vec<u8> {
    let records = paths.iter().map(|path| format!("{{\"n\":\"{path}\"}}"));
    format!("[{}]", records.collect::<Vec<_>>().join(",")).into_bytes()
}

fn value(datum: &Datum) -> String {
    match datum {
        Datum::Boolean(is_true) => format!("\"vb\":{is_true}"),
        Datum::Text(text) | Datum::Plain(text) => format!("\"vs\":{}", quoted(text)),
        Datum::Opaque(bytes) | Datum::Raw(bytes) => format!("\"vd\":\"{}\"", base64::encode_url(bytes)),
        Datum::Link(..) => format!("\"vlo\":\"{}\"", text(datum)),
        Datum::Integer(_) | Datum::Number(_) | Datum::Double(_) | Datum::Time(_) => format!("\"v\":{}", text(datum)),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
