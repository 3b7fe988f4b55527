//! Which object shows which field of which thing. Owns the choice by type and unit, the numbers of instances, which stay the same in every run,
//! and the newest values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tombolo_sdk::events::Thing;
use tombolo_sdk::{Field, Sample, Setting, Timestamp, Value, ValueType};

use crate::codec::{Datum, Entry, Path};
use crate::dictionary::{Dictionary, Kind};
use crate::mapping::{unit, value};
use crate::session::SECOND;
use crate::settings::{ObjectRule, UpstreamSettings};

/// Instances that are shown at most.
const INSTANCES_MAX: usize = 4096;
const UNITS: u16 = 5701;
const TIMESTAMP: u16 = 5518;
const APPLICATION: u16 = 5750;

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Objects {
    instances: BTreeMap<Path, Shown>,
    /// By thing and field.
    paths: BTreeMap<u32, BTreeMap<u16, Path>>,
    /// What an instance was given to: address and field. Kept for good, so that numbers stay.
    given: BTreeMap<String, Path>,
}

/// A field as an object instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Shown {
    thing: u32,
    field: u16,
    resource: u16,
    kind: Kind,
    value_type: Typed,
    is_settable: bool,
    members: Vec<String>,
    /// As SenML writes it.
    unit: String,
    label: String,
    /// Of the resource, not of the field.
    datum: Option<Datum>,
    at: Timestamp,
}

/// What a written value has to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Typed {
    Boolean,
    Int32,
    Int64,
    Quantity,
    Text,
    Member,
}

/// What shows a field: object and resource.
type Choice = (u16, u16);

impl Objects {
    /// What the next run has to know.
    pub(super) fn checkpoint(&self) -> Self {
        Self { given: self.given.clone(), ..Self::default() }
    }

    pub(super) fn instances(&self) -> impl Iterator<Item = Path> {
        self.instances.keys().copied()
    }

    /// Shows a thing, or what it became; gives whether the instances are others now.
    pub(super) fn put(&mut self, thing: &Thing, rules: &[ObjectRule], dictionary: &Dictionary) -> bool {
        let before = self.paths.remove(&thing.number).unwrap_or_default();
        let old: BTreeMap<Path, Shown> =
            before.values().filter_map(|path| Some((*path, self.instances.remove(path)?))).collect();
        let mut paths = BTreeMap::new();
        for (number, field) in (0..).zip(&thing.node.fields) {
            let Some(choice) = choose(thing, field, rules) else { continue };
            let Some(path) = self.give(thing, field, choice.0) else { continue };
            let mut shown = Shown::new(thing, number, field, choice, dictionary);
            if let Some(known) = old.get(&path).filter(|known| known.kind == shown.kind && known.unit == shown.unit) {
                (shown.datum, shown.at) = (known.datum.clone(), known.at);
            }
            self.instances.insert(path, shown);
            paths.insert(number, path);
        }
        let is_changed = paths.len() != old.len() || paths.values().any(|path| !old.contains_key(path));
        self.paths.insert(thing.number, paths);
        is_changed
    }

    pub(super) fn remove(&mut self, thing: u32) -> bool {
        let paths = self.paths.remove(&thing).unwrap_or_default();
        paths.values().for_each(|path| drop(self.instances.remove(path)));
        !paths.is_empty()
    }

    /// The instance for a field: that of before, else the lowest free one.
    fn give(&mut self, thing: &Thing, field: &Field, object: u16) -> Option<Path> {
        let key = format!("{}\n{}", thing.address, field.name);
        if let Some(path) = self.given.get(&key).filter(|path| path.object() == Some(object)) {
            return Some(*path);
        }
        if self.given.len() >= INSTANCES_MAX {
            let instances = &self.instances;
            // What is not shown now makes room.
            self.given.retain(|_, path| instances.contains_key(path));
        }
        let taken: Vec<u16> = self
            .given
            .values()
            .filter(|path| path.object() == Some(object))
            .filter_map(|path| path.instance())
            .collect();
        let free = (0..u16::MAX).find(|instance| !taken.contains(instance))?;
        let path = Path::instance_of(object, free);
        (self.given.len() < INSTANCES_MAX).then(|| {
            self.given.insert(key, path);
            path
        })
    }

    /// Takes a value; gives where it stands if it is another than before.
    pub(super) fn report(&mut self, thing: u32, sample: &Sample, at: Timestamp) -> Option<Path> {
        let path = *self.paths.get(&thing)?.get(&sample.field)?;
        let shown = self.instances.get_mut(&path)?;
        let datum = shown.write(&sample.value)?;
        shown.at = at;
        let is_new = shown.datum.as_ref() != Some(&datum);
        shown.datum = Some(datum);
        is_new.then(|| path.join(shown.resource)).flatten()
    }

    /// A resource's newest value as a number, for what observers want to know of steps and thresholds.
    pub(super) fn number(&self, path: Path) -> Option<f64> {
        let shown = self.instances.get(&path.up_to(2))?;
        match shown.datum.as_ref()? {
            Datum::Integer(number) => Some(*number as f64),
            Datum::Number(decimal) => Some(decimal.to_f64()),
            Datum::Double(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn entries(&self, path: Path, dictionary: &Dictionary) -> Vec<Entry> {
        let near = self.instances.iter().filter(|(own, _)| path.covers(**own) || own.covers(path));
        near.flat_map(|(own, shown)| shown.entries(*own, dictionary)).filter(|entry| path.covers(entry.path)).collect()
    }

    /// Whether there is an object or an instance.
    pub(super) fn has(&self, path: Path) -> bool {
        self.instances.keys().any(|own| path.covers(*own))
    }

    /// What sets the field behind a resource. None: it is not there; an error: it cannot be set so.
    pub(super) fn setting(&self, entry: &Entry) -> Option<Result<(u32, Setting), Unfit>> {
        let shown = self.instances.get(&entry.path.up_to(2))?;
        if entry.path.resource() != Some(shown.resource) {
            let is_there = shown.extra(entry.path.up_to(2)).iter().any(|extra| extra.path == entry.path);
            return is_there.then_some(Err(Unfit::ReadOnly));
        }
        if !shown.is_settable {
            return Some(Err(Unfit::ReadOnly));
        }
        let value = shown.read(&entry.datum).ok_or(Unfit::Value);
        Some(value.map(|value| (shown.thing, Setting { field: shown.field, value })))
    }
}

/// Why a resource cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    ReadOnly,
    Value,
}

impl Shown {
    fn new(thing: &Thing, number: u16, field: &Field, (object, resource): Choice, dictionary: &Dictionary) -> Self {
        let value_type = match field.value_type {
            ValueType::Boolean => Typed::Boolean,
            ValueType::Int32 => Typed::Int32,
            ValueType::Int64 => Typed::Int64,
            ValueType::Quantity => Typed::Quantity,
            ValueType::Enumeration => Typed::Member,
            _ => Typed::Text,
        };
        let kind = match dictionary.resource(object, resource).kind {
            Kind::Unknown | Kind::Nothing => kind_of(value_type),
            kind => kind,
        };
        let label = if field.label.is_empty() { &field.name } else { &field.label };
        Self {
            thing: thing.number,
            field: number,
            resource,
            kind,
            value_type,
            is_settable: field.control.is_some(),
            members: field.control.as_ref().map(|control| control.members.clone()).unwrap_or_default(),
            unit: unit::senml(&field.unit),
            label: format!("{} {label}", thing.address).chars().take(200).collect(),
            datum: None,
            at: 0,
        }
    }

    fn write(&self, value: &Value) -> Option<Datum> {
        match value::write(self.kind, value) {
            // A whole number is wanted and the field has decimals, as of a level in percent.
            None if matches!(self.kind, Kind::Integer | Kind::Unsigned) => {
                Some(Datum::Integer(value.as_decimal()?.to_f64().round() as i64))
            }
            datum => datum,
        }
    }

    /// The field's value for what was written into the resource.
    fn read(&self, datum: &Datum) -> Option<Value> {
        let value = value::read(self.kind, false, datum)?;
        match self.value_type {
            Typed::Boolean => match value {
                Value::Boolean(_) => Some(value),
                other => Some(Value::Boolean(other.as_decimal()?.to_f64() != 0.0)),
            },
            Typed::Int32 => whole(&value).and_then(|number| i32::try_from(number).ok()).map(Value::Int32),
            Typed::Int64 => whole(&value).map(Value::Int64),
            Typed::Quantity => match value {
                Value::Double(_) => Some(value),
                other => other.as_decimal().map(Value::Decimal),
            },
            Typed::Text | Typed::Member => match value {
                Value::Text(text) if self.members.is_empty() && self.value_type == Typed::Text => {
                    Some(Value::Text(text))
                }
                Value::Text(text) if self.members.contains(&text) => {
                    Some(if self.value_type == Typed::Member { Value::Member(text) } else { Value::Text(text) })
                }
                _ => None,
            },
        }
    }

    fn entries(&self, path: Path, dictionary: &Dictionary) -> Vec<Entry> {
        let object = path.object().unwrap_or_default();
        let has = |entry: &Entry| entry.path.resource().is_some_and(|id| dictionary.has(object, id));
        let mut all: Vec<Entry> = self.extra(path).into_iter().filter(has).collect();
        let value = self.datum.clone().and_then(|datum| Some(Entry::new(path.join(self.resource)?, datum)));
        all.extend(value);
        all.sort_by_key(|entry| entry.path);
        all
    }

    /// What stands beside the value.
    fn extra(&self, path: Path) -> Vec<Entry> {
        let unit = (!self.unit.is_empty()).then(|| Datum::Text(self.unit.clone()));
        let time = self.datum.is_some().then_some(Datum::Time(self.at / SECOND));
        let all = [(UNITS, unit), (TIMESTAMP, time), (APPLICATION, Some(Datum::Text(self.label.clone())))];
        all.into_iter().filter_map(|(id, datum)| Some(Entry::new(path.join(id)?, datum?))).collect()
    }
}

fn kind_of(value_type: Typed) -> Kind {
    match value_type {
        Typed::Boolean => Kind::Boolean,
        Typed::Int32 | Typed::Int64 => Kind::Integer,
        Typed::Quantity => Kind::Float,
        Typed::Text | Typed::Member => Kind::String,
    }
}

fn whole(value: &Value) -> Option<i64> {
    let number = value.as_decimal()?.to_f64();
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

/// The operator's rules first, then what type and unit say. None: there is no object for such a field.
fn choose(thing: &Thing, field: &Field, rules: &[ObjectRule]) -> Option<Choice> {
    let fits = |rule: &&ObjectRule| {
        rule.thing.as_ref().is_none_or(|end| thing.address.ends_with(end.as_str()))
            && rule.field.as_ref().is_none_or(|name| *name == field.name)
            && rule.unit.as_ref().is_none_or(|unit| *unit == field.unit)
    };
    if let Some(rule) = rules.iter().find(fits) {
        let object = rule.object?;
        return Some((object, rule.resource.unwrap_or_else(|| value_of(object))));
    }
    let is_settable = field.control.is_some();
    match field.value_type {
        ValueType::Boolean if is_settable => Some((3306, 5850)),
        ValueType::Boolean if names(field, &["presence", "motion", "occupancy"]) => Some((3302, 5500)),
        ValueType::Boolean => Some((3200, 5500)),
        ValueType::Int32 | ValueType::Int64 | ValueType::Quantity if is_settable => {
            Some(if field.unit == "%" { (3343, 5548) } else { (3308, 5900) })
        }
        ValueType::Int32 | ValueType::Int64 | ValueType::Quantity => Some(sensor(field)),
        ValueType::Text | ValueType::Enumeration | ValueType::Colour if is_settable => Some((3341, 5527)),
        _ => None,
    }
}

fn names(field: &Field, words: &[&str]) -> bool {
    let name = field.name.to_lowercase();
    words.iter().any(|word| name.contains(word))
}

fn sensor(field: &Field) -> Choice {
    let object = match field.unit.as_str() {
        "°C" | "°F" | "K" => 3303,
        "%" if names(field, &["humid", "moist"]) => 3304,
        "%" => 3320,
        "lx" => 3301,
        "Pa" | "hPa" | "kPa" | "bar" | "mbar" if names(field, &["baro", "air", "atmos"]) => 3315,
        "Pa" | "hPa" | "kPa" | "bar" | "mbar" => 3323,
        "V" | "mV" => 3316,
        "A" | "mA" => 3317,
        "Hz" | "kHz" => 3318,
        "W" | "kW" | "mW" => 3328,
        "Wh" | "kWh" | "MWh" => 3331,
        "dB" => 3324,
        "ppm" | "ppb" | "µg/m³" => 3325,
        "pH" => 3326,
        "kg" | "g" => 3322,
        "m" | "cm" | "mm" | "km" => 3330,
        "m/s" | "km/h" | "l/min" | "m³/h" => 3346,
        _ => 3300,
    };
    (object, 5700)
}

/// The resource that holds the value of an object.
fn value_of(object: u16) -> u16 {
    match object {
        3200 | 3302 | 3342 | 3347 => 5500,
        3201 => 5550,
        3202 => 5600,
        3203 => 5650,
        3305 => 5800,
        3306 | 3311 | 3312 | 3338 => 5850,
        3308 => 5900,
        3332 => 5705,
        3335 => 5706,
        3337 => 5536,
        3341 => 5527,
        3343 => 5548,
        3348 => 5547,
        _ => 5700,
    }
}

/// What every client has (LwM2M 1.1 core, appendices E.2 and E.4): the Server and the Device instance.
pub(super) fn own(settings: &UpstreamSettings, lifetime_s: u32, seconds: i64) -> Vec<Entry> {
    let server = [
        (0, Datum::Integer(1)),
        (1, Datum::Integer(lifetime_s.into())),
        (6, Datum::Boolean(false)),
        (7, Datum::Text("U".into())),
    ];
    let device = [
        (0, Datum::Text("tombolo".into())),
        (1, Datum::Text("bridge".into())),
        (2, Datum::Text(settings.endpoint.clone())),
        (3, Datum::Text(env!("CARGO_PKG_VERSION").into())),
    ];
    let at = |object, resource| Path::instance_of(object, 0).join(resource);
    let mut all: Vec<Entry> =
        server.into_iter().filter_map(|(id, datum)| Some(Entry::new(at(1, id)?, datum))).collect();
    all.extend(device.into_iter().filter_map(|(id, datum)| Some(Entry::new(at(3, id)?, datum))));
    all.extend(at(3, 11).and_then(|path| path.join(0)).map(|path| Entry::new(path, Datum::Integer(0))));
    all.extend(at(3, 13).map(|path| Entry::new(path, Datum::Time(seconds))));
    all.extend(at(3, 16).map(|path| Entry::new(path, Datum::Text("U".into()))));
    all
}
