//! What a Zigbee2MQTT device exposes, as fields and parameters. Owns the vocabulary of exposes: binary, numeric, enum, text, list and
//! composite, and the specific ones (light, switch, fan, cover, lock, climate) that are groups of these.

use std::collections::BTreeSet;

use serde_json::Value;
use tombolo_sdk::{Constraint, Field, FieldKinds};

use crate::mapping::spec::{Command, Confirm, FieldSpec, Shape};
use crate::mapping::value::{Extract, Kind};

/// Bits of `access`.
const STATE: u64 = 1;
const SET: u64 = 2;
/// Composites inside composites: no device has more.
const DEPTH_MAX: usize = 4;
/// The host keeps no more fields of a node.
const FIELDS_MAX: usize = 512;
/// Specific types, whose features stand in the payload beside everything else.
const SPECIFIC: [&str; 6] = ["light", "switch", "fan", "cover", "lock", "climate"];
/// What members of a group may have in common.
const SHARED: [&str; 4] = ["light", "switch", "cover", "lock"];
/// What a device tells of itself.
const STATUS: [&str; 6] =
    ["battery", "battery_low", "linkquality", "voltage", "device_temperature", "power_outage_count"];

/// What was understood.
#[derive(Default)]
pub(super) struct Found {
    pub(super) fields: Vec<FieldSpec>,
    pub(super) unknown: Vec<String>,
    names: BTreeSet<String>,
}

/// Reads the exposes of a device whose state is at `topic`.
pub(super) fn entity(exposes: &[Value], topic: &str) -> Found {
    let mut found = Found::default();
    for expose in exposes {
        found.add(expose, &[], topic);
    }
    found
}

/// The features that a group of such devices may share.
pub(super) fn shared(exposes: &[Value]) -> Vec<Value> {
    let specific = exposes.iter().filter(|expose| SHARED.contains(&text(expose, "type")));
    specific.flat_map(features).filter(|feature| !text(feature, "property").is_empty()).cloned().collect()
}

/// Those that the others have as well.
pub(super) fn intersection(shared: Vec<Value>, other: &[Value]) -> Vec<Value> {
    let is_there = |feature: &Value| other.iter().any(|one| text(one, "property") == text(feature, "property"));
    shared.into_iter().filter(is_there).collect()
}

fn text<'a>(value: &'a Value, word: &str) -> &'a str {
    value.get(word).and_then(Value::as_str).unwrap_or_default()
}

fn features(expose: &Value) -> &[Value] {
    expose.get("features").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

impl Found {
    fn add(&mut self, expose: &Value, path: &[&str], topic: &str) {
        let (kind_word, property) = (text(expose, "type"), text(expose, "property"));
        if SPECIFIC.contains(&kind_word) {
            return features(expose).iter().filter(|_| path.is_empty()).for_each(|one| self.add(one, path, topic));
        }
        if self.fields.len() >= FIELDS_MAX || property.is_empty() || path.len() >= DEPTH_MAX {
            return;
        }
        let path = [path, &[property]].concat();
        if kind_word == "composite" {
            features(expose).iter().for_each(|one| self.add(one, &path, topic));
            if matches!(text(expose, "name"), "color_xy" | "color_hs") {
                self.push(colour(property, topic));
            }
            return;
        }
        match kind(expose, kind_word) {
            Some(kind) => self.push(field(expose, kind, &path, topic)),
            None => self.unknown.push(kind_word.to_owned()),
        }
    }

    /// Two exposes may mean the same property.
    fn push(&mut self, field: FieldSpec) {
        if self.names.insert(field.field.name.clone()) {
            self.fields.push(field);
        }
    }
}

fn kind(expose: &Value, word: &str) -> Option<Kind> {
    Some(match word {
        "binary" => Kind::Boolean { on: spelling(expose, "value_on", "ON"), off: spelling(expose, "value_off", "OFF") },
        "numeric" => Kind::Quantity,
        "enum" => Kind::Member(values(expose)),
        "text" | "list" => Kind::Text,
        _ => return None,
    })
}

fn spelling(expose: &Value, word: &str, default: &str) -> String {
    match expose.get(word) {
        Some(Value::String(text)) => text.clone(),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
        _ => default.to_owned(),
    }
}

fn values(expose: &Value) -> Vec<String> {
    let all = expose.get("values").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let written = all.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    written.take(FIELDS_MAX).collect()
}

fn field(expose: &Value, kind: Kind, path: &[&str], topic: &str) -> FieldSpec {
    let access = expose.get("access").and_then(Value::as_u64).unwrap_or(STATE);
    let property = path.last().copied().unwrap_or_default();
    let is_status = text(expose, "category") == "diagnostic" || STATUS.contains(&property);
    // A list is read as it is written; a colour's coordinates mean something together only, and are set as one (see `colour`).
    let is_settable = access & SET != 0 && text(expose, "type") != "list" && (path.len() == 1 || !is_colour(path));
    let field = Field {
        unit: text(expose, "unit").to_owned(),
        kinds: if is_status { FieldKinds::STATUS } else { FieldKinds::MOMENTARY },
        control: is_settable.then(|| constraint(expose, &kind)),
        label: text(expose, "label").to_owned(),
        description: text(expose, "description").chars().take(500).collect(),
        ..Field::new(&path.join("/"), kind.value_type())
    };
    let is_told = access & STATE != 0;
    let pointer = Extract::Pointer(path.iter().map(|step| (*step).to_owned()).collect());
    let mut spec = FieldSpec::new(field, kind.clone(), if is_told { topic } else { "" }, pointer);
    let step = expose.get("value_step").and_then(Value::as_f64).unwrap_or(0.0).abs();
    if is_settable {
        let command = Command::confirmed(format!("{topic}/set"), Shape::json(path), kind, step / 2.0);
        spec.command = Some(if is_told { command } else { Command { confirm: Confirm::Broker, ..command } });
    }
    spec
}

fn is_colour(path: &[&str]) -> bool {
    path.first().is_some_and(|first| first.starts_with("color"))
}

fn constraint(expose: &Value, kind: &Kind) -> Constraint {
    let bound = |word: &str| expose.get(word).and_then(Value::as_f64);
    match kind {
        Kind::Member(members) => Constraint::members(members.clone()),
        Kind::Quantity => Constraint { minimum: bound("value_min"), maximum: bound("value_max"), ..Constraint::any() },
        _ => Constraint::any(),
    }
}

/// Colours are told as coordinates and may be set as red, green and blue; what comes of it is told as coordinates only.
fn colour(property: &str, topic: &str) -> FieldSpec {
    let field = Field { control: Some(Constraint::any()), ..Field::new("colour", Kind::Colour.value_type()) };
    let mut spec = FieldSpec::new(field, Kind::Colour, "", Extract::Plain);
    let shape = Shape::json(&[property, "hex"]);
    let command = Command::confirmed(format!("{topic}/set"), shape, Kind::Colour, 0.0);
    spec.command = Some(Command { confirm: Confirm::Broker, ..command });
    spec
}
