//! What the topics of a Gen1 device mean: a table from the rest of a topic to fields. Owns their types, units and commands.

use serde_json::Value;
use tombolo_sdk::{Constraint, Field, FieldKinds};

use crate::codec::Qos;
use crate::mapping::spec::{Action, Command, Confirm, FieldSpec, Payload, Shape};
use crate::mapping::value::{Extract, Kind};

/// What one topic gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Meaning {
    pub(super) fields: Vec<FieldSpec>,
    pub(super) actions: Vec<Action>,
}

/// Members of a light's status that are set by a member of the same name: with their range and unit.
const LIGHT: [(&str, f64, f64, &str); 7] = [
    ("brightness", 0.0, 100.0, "%"),
    ("gain", 0.0, 100.0, "%"),
    ("temp", 2700.0, 6500.0, "K"),
    ("red", 0.0, 255.0, ""),
    ("green", 0.0, 255.0, ""),
    ("blue", 0.0, 255.0, ""),
    ("white", 0.0, 255.0, ""),
];

/// Reads what follows the device in a topic; the payload tells what a status has. None: nothing that is shown.
pub(super) fn meaning(topic: &str, rest: &str, payload: &str) -> Option<Meaning> {
    let parts: Vec<&str> = rest.split('/').collect();
    let plain = |kind, unit: &str| Some(one(topic, rest, kind, unit, FieldKinds::MOMENTARY));
    let status = |kind, unit: &str| Some(one(topic, rest, kind, unit, FieldKinds::STATUS));
    match parts.as_slice() {
        ["relay" | "light" | "white" | "color", number] if is_number(number) => Some(switch(topic, rest)),
        ["light" | "white" | "color", number, "status"] if is_number(number) => Some(light(topic, rest, payload)),
        ["roller", number] if is_number(number) => Some(roller(topic, rest)),
        ["roller", number, "pos"] if is_number(number) => Some(position(topic, rest)),
        ["roller", number, "stop_reason"] if is_number(number) => plain(Kind::Text, ""),
        ["relay" | "roller" | "light" | "white" | "color" | "emeter", number, what] if is_number(number) => {
            plain(Kind::Quantity, measure(what, parts.first() == Some(&"emeter"))?)
        }
        ["input" | "longpush" | "ext_switch", number] if is_number(number) => plain(Kind::boolean(), ""),
        ["input_event", number] if is_number(number) => {
            let mut found = one(topic, rest, Kind::Text, "", FieldKinds::MOMENTARY);
            found.fields.iter_mut().for_each(|field| field.extract = Extract::Pointer(vec!["event".into()]));
            Some(found)
        }
        ["ext_temperature", number] if is_number(number) => plain(Kind::Quantity, "°C"),
        ["ext_humidity", number] if is_number(number) => plain(Kind::Quantity, "%"),
        ["adc" | "voltage", number] if is_number(number) => plain(Kind::Quantity, "V"),
        ["voltage"] => plain(Kind::Quantity, "V"),
        ["temperature"] => status(Kind::Quantity, "°C"),
        ["overtemperature" | "overload" | "loaderror"] => status(Kind::boolean(), ""),
        ["temperature_status"] => status(Kind::Text, ""),
        ["sensor", what] => match *what {
            "temperature" => plain(Kind::Quantity, "°C"),
            "humidity" => plain(Kind::Quantity, "%"),
            "lux" => plain(Kind::Quantity, "lx"),
            "tilt" => plain(Kind::Quantity, "°"),
            "concentration" => plain(Kind::Quantity, "ppm"),
            "battery" => status(Kind::Quantity, "%"),
            "flood" | "motion" | "smoke" | "vibration" => plain(Kind::boolean(), ""),
            "charger" | "active" => status(Kind::boolean(), ""),
            "state" | "gas" | "illumination" => plain(Kind::Text, ""),
            "self_test" => status(Kind::Text, ""),
            _ => None,
        },
        _ => None,
    }
}

fn is_number(text: &str) -> bool {
    (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn one(topic: &str, name: &str, kind: Kind, unit: &str, kinds: FieldKinds) -> Meaning {
    let field = Field { unit: unit.to_owned(), kinds, ..Field::new(name, kind.value_type()) };
    Meaning { fields: vec![FieldSpec::new(field, kind, topic, Extract::Plain)], actions: Vec::new() }
}

fn measure(what: &str, is_meter: bool) -> Option<&'static str> {
    Some(match what {
        "power" => "W",
        "reactive_power" => "var",
        "apparent_power" => "VA",
        "voltage" => "V",
        "current" => "A",
        "pf" => "",
        // Of an output in watt-minutes; a meter counts watt-hours in `total`.
        "energy" | "returned_energy" => "W·min",
        "total" | "total_returned" if is_meter => "Wh",
        _ => return None,
    })
}

fn switch(topic: &str, name: &str) -> Meaning {
    let kind = Kind::Boolean { on: "on".into(), off: "off".into() };
    let mut found = one(topic, name, kind.clone(), "", FieldKinds::MOMENTARY);
    let command = Command::confirmed(format!("{topic}/command"), Shape::Plain, kind, 0.0);
    control(&mut found, command, Constraint::any());
    found
}

fn control(found: &mut Meaning, command: Command, constraint: Constraint) {
    for field in &mut found.fields {
        (field.field.control, field.command) = (Some(constraint.clone()), Some(command.clone()));
    }
}

/// What a light's status tells, and its neighbour `set` takes.
fn light(topic: &str, rest: &str, payload: &str) -> Meaning {
    let status: Value = serde_json::from_str(payload).unwrap_or_default();
    let base = |text: &str| text.strip_suffix("/status").unwrap_or(text).to_owned();
    let told = LIGHT.iter().filter(|(member, ..)| status.get(member).is_some_and(Value::is_number));
    let fields = told.flat_map(|(member, minimum, maximum, unit)| {
        let name = format!("{}/{member}", base(rest));
        let mut found = one(topic, &name, Kind::Quantity, unit, FieldKinds::MOMENTARY);
        let command = Command::confirmed(format!("{}/set", base(topic)), Shape::json(&[member]), Kind::Quantity, 0.0);
        control(&mut found, command, Constraint::range(*minimum, *maximum));
        found.fields.iter_mut().for_each(|field| field.extract = Extract::Pointer(vec![(*member).to_owned()]));
        found.fields
    });
    Meaning { fields: fields.collect(), actions: Vec::new() }
}

fn roller(topic: &str, rest: &str) -> Meaning {
    let mut found = one(topic, rest, Kind::Text, "", FieldKinds::MOMENTARY);
    found.actions = ["open", "close", "stop"]
        .map(|verb| Action {
            name: format!("{}_{verb}", rest.replace('/', "_")),
            label: String::new(),
            topic: format!("{topic}/command"),
            payload: Payload::Text(verb.to_owned()),
            qos: Qos::AtLeastOnce,
            retain: false,
        })
        .into();
    found
}

/// Moving takes longer than anybody waits: that the roller began is the confirmation.
fn position(topic: &str, rest: &str) -> Meaning {
    let base = |text: &str| text.strip_suffix("/pos").unwrap_or(text).to_owned();
    let mut found = one(topic, rest, Kind::Quantity, "%", FieldKinds::MOMENTARY);
    let command = Command::confirmed(format!("{}/command/pos", base(topic)), Shape::Plain, Kind::Quantity, 0.0);
    let command = Command { confirm: Confirm::Any(base(rest)), ..command };
    control(&mut found, command, Constraint::range(0.0, 100.0));
    found
}
