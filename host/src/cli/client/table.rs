//! Readings for people and for scripts.

use serde_json::value::RawValue;
use tombolo_core::model::{FieldKinds, FieldValue, NodeReading, Quality, Value};
use tombolo_core::wire::lexical;

use super::super::say;
use super::text::tame;

/// All readings, aligned: node, field, value with unit, time, quality.
pub(super) fn print(readings: &[NodeReading]) {
    let rows: Vec<[String; 4]> = readings.iter().flat_map(rows).collect();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let (node, field, value) = (width(0), width(1), width(2));
    for [a, b, c, d] in &rows {
        say(format!("{a:node$}  {b:field$}  {c:>value$}  {d}").trim_end());
    }
}

fn rows(reading: &NodeReading) -> Vec<[String; 4]> {
    let node = node_of(reading);
    let at = reading.at.to_string();
    let fields = reading.fields.iter().map(|field| {
        let quality = quality(field.quality);
        let note = if quality.is_empty() { at.clone() } else { format!("{at}  ({})", quality.join(", ")) };
        [node.clone(), tame(&field.name).into_owned(), shown(field), note]
    });
    let errors = reading.errors.iter().map(|error| [node.clone(), "!".into(), String::new(), tame(error).into_owned()]);
    fields.chain(errors).collect()
}

/// One reading on one line.
pub(super) fn line(reading: &NodeReading) -> String {
    let fields = reading.fields.iter().map(|field| format!("{}={}", tame(&field.name), shown(field)));
    let errors = reading.errors.iter().map(|error| format!("! {}", tame(error)));
    format!("{}  {}  {}", reading.at, node_of(reading), fields.chain(errors).collect::<Vec<_>>().join("  "))
}

/// One object for each field, and one for each error.
pub(super) fn json_lines(reading: &NodeReading) -> impl Iterator<Item = String> + '_ {
    let (source, node) = reading.node.as_ref().map_or(("", ""), |node| (node.source.as_str(), node.id.as_str()));
    let at = reading.at.to_string();
    let errors = {
        let at = at.clone();
        reading.errors.iter().map(move |error| {
            serde_json::json!({ "source": source, "node": node, "at": at, "error": error }).to_string()
        })
    };
    let fields = reading.fields.iter().map(move |field| {
        let mut object = serde_json::json!({
            "source": source, "node": node, "field": field.name, "unit": field.unit, "at": at,
            "kinds": kinds(field.kinds), "quality": quality(field.quality), "controllable": field.controllable,
        });
        if let (false, Some(object)) = (field.localization.is_none(), object.as_object_mut()) {
            object.insert("localization".to_owned(), serde_json::json!(field.localization));
        }
        with_value(&object.to_string(), &value(&field.value))
    });
    fields.chain(errors)
}

/// The value keeps its digits: 23.40 is written so, which a number in memory could not.
fn with_value(object: &str, value: &RawValue) -> String {
    format!("{{\"value\":{},{}", value.get(), object.trim_start_matches('{'))
}

fn value(value: &Value) -> Box<RawValue> {
    let text = match value {
        Value::Boolean(_) | Value::Int32(_) | Value::Int64(_) | Value::Decimal(_) => lexical::write(value),
        Value::Double(number) => number.to_string(),
        other => serde_json::Value::from(lexical::write(other)).to_string(),
    };
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn shown(field: &FieldValue) -> String {
    let value = lexical::write(&field.value);
    match field.unit.as_str() {
        "" => tame(&value).into_owned(),
        unit => format!("{} {}", tame(&value), tame(unit)),
    }
}

fn node_of(reading: &NodeReading) -> String {
    reading.node.as_ref().map_or_else(|| "-".to_owned(), |node| tame(&node.to_string()).into_owned())
}

fn kinds(kinds: FieldKinds) -> Vec<String> {
    kinds.iter_names().map(|(name, _)| name.to_lowercase().replace('_', " ")).collect()
}

fn quality(quality: Quality) -> Vec<String> {
    quality
        .iter_names()
        .filter(|(_, flag)| *flag != Quality::AUTOMATIC_READOUT)
        .map(|(name, _)| name.to_lowercase().replace('_', " "))
        .collect()
}
