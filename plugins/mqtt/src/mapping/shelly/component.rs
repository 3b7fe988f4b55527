//! The components of a Gen2 device: which of their values are shown, in which unit, and which calls set them.

use serde_json::Value;
use tombolo_sdk::{Constraint, Field, FieldKinds};

use crate::codec::Qos;
use crate::mapping::spec::{Action, Command, Confirm, FieldSpec, Payload, Shape};
use crate::mapping::tree::Path;
use crate::mapping::value::{Extract, Kind};

/// Components that tell of the device's own workings.
const HIDDEN: [&str; 13] =
    ["ble", "cloud", "mqtt", "ws", "script", "schedule", "eth", "knx", "matter", "modbus", "bthome", "webhook", "ui"];
/// What is shown of the two that are worth something.
const SHOWN: [(&str, &str); 3] = [("sys", "uptime"), ("sys", "restart_required"), ("wifi", "rssi")];
/// Members that say nothing of the thing that is measured.
const SKIPPED: [&str; 6] = ["id", "source", "by_minute", "minute_ts", "tF", "flags"];

/// A call that sets a value, and what it takes.
struct Setter {
    method: &'static str,
    /// Names of parameters around the value.
    place: &'static [&'static str],
    range: Option<(f64, f64)>,
}

fn component_of(path: &[String]) -> (&str, Option<u32>) {
    let first = path.first().map(String::as_str).unwrap_or_default();
    match first.split_once(':') {
        Some((name, number)) => (name, number.parse().ok()),
        None => (first, None),
    }
}

/// Whether a leaf of the status is shown.
pub(super) fn is_shown(path: &[String]) -> bool {
    let (name, _) = component_of(path);
    let is_skipped = path.iter().skip(1).any(|step| SKIPPED.contains(&step.as_str()));
    let inside: Vec<&str> = path.iter().skip(1).map(String::as_str).collect();
    match name {
        "sys" | "wifi" => inside.len() == 1 && SHOWN.iter().any(|(of, what)| *of == name && inside.contains(what)),
        name => path.len() > 1 && !is_skipped && !HIDDEN.contains(&name),
    }
}

/// The field of a leaf. `source` is who answers are for, `topic` where calls go.
pub(super) fn field(path: &[String], kind: Kind, topic: &str, source: &str) -> FieldSpec {
    let (name, number) = component_of(path);
    let setter = number.and_then(|number| Some((number, setter(name, path)?)));
    let is_status = matches!(name, "sys" | "wifi" | "devicepower")
        || path.iter().any(|step| step == "temperature") && name != "temperature";
    let field = Field {
        unit: if kind == Kind::Quantity { unit(name, path).to_owned() } else { String::new() },
        kinds: if is_status { FieldKinds::STATUS } else { FieldKinds::MOMENTARY },
        control: setter.as_ref().map(|(_, setter)| {
            setter.range.map_or_else(Constraint::any, |(minimum, maximum)| Constraint::range(minimum, maximum))
        }),
        ..Field::new(&path.join("/"), kind.value_type())
    };
    // JSON has truths of its own.
    let kind = if kind == Kind::boolean() { Kind::Boolean { on: "true".into(), off: "false".into() } } else { kind };
    let mut spec = FieldSpec::new(field, kind.clone(), "", Extract::Plain);
    spec.command = setter.map(|(number, setter)| Command {
        topic: topic.to_owned(),
        shape: call(source, number, &setter),
        confirm: Confirm::Answer,
        kind,
        qos: Qos::AtLeastOnce,
        retain: false,
    });
    spec
}

fn setter(name: &str, path: &[String]) -> Option<Setter> {
    let inside: Vec<&str> = path.iter().skip(1).map(String::as_str).collect();
    let percent = Some((0.0, 100.0));
    let (method, place, range): (_, &[&str], _) = match (name, inside.as_slice()) {
        ("switch", ["output"]) => ("Switch.Set", &["on"], None),
        ("light", ["output"]) => ("Light.Set", &["on"], None),
        ("light", ["brightness"]) => ("Light.Set", &["brightness"], percent),
        ("rgb", ["output"]) => ("RGB.Set", &["on"], None),
        ("rgb", ["brightness"]) => ("RGB.Set", &["brightness"], percent),
        ("rgbw", ["output"]) => ("RGBW.Set", &["on"], None),
        ("rgbw", ["brightness"]) => ("RGBW.Set", &["brightness"], percent),
        ("rgbw", ["white"]) => ("RGBW.Set", &["white"], Some((0.0, 255.0))),
        ("cct", ["output"]) => ("CCT.Set", &["on"], None),
        ("cct", ["brightness"]) => ("CCT.Set", &["brightness"], percent),
        ("cct", ["ct"]) => ("CCT.Set", &["ct"], Some((2700.0, 6500.0))),
        ("cover", ["current_pos"]) => ("Cover.GoToPosition", &["pos"], percent),
        ("thermostat", ["target_C"]) => ("Thermostat.SetConfig", &["config", "target_C"], Some((5.0, 35.0))),
        ("thermostat", ["enable"]) => ("Thermostat.SetConfig", &["config", "enable"], None),
        ("boolean", ["value"]) => ("Boolean.Set", &["value"], None),
        ("number", ["value"]) => ("Number.Set", &["value"], None),
        ("text", ["value"]) => ("Text.Set", &["value"], None),
        ("enum", ["value"]) => ("Enum.Set", &["value"], None),
        _ => return None,
    };
    Some(Setter { method, place, range })
}

fn call(source: &str, number: u32, setter: &Setter) -> Shape {
    let inner = setter.place.iter().skip(1).map(|step| format!("{{\"{step}\":")).collect::<String>();
    let first = setter.place.first().copied().unwrap_or_default();
    let before = format!("{}{{\"id\":{number},\"{first}\":{inner}", beginning(source, setter.method));
    Shape::Call(before, "}".repeat(setter.place.len() + 1))
}

fn beginning(source: &str, method: &str) -> String {
    format!("\"src\":{},\"method\":\"{method}\",\"params\":", Value::from(source))
}

/// What a component can be told to do beside setting values.
pub(super) fn actions(component: &str, topic: &str, source: &str) -> Vec<Action> {
    let path: Path = vec![component.to_owned()];
    let (name, Some(number)) = component_of(&path) else { return Vec::new() };
    let verbs: &[(&str, &str)] = match name {
        "cover" => &[("open", "Cover.Open"), ("close", "Cover.Close"), ("stop", "Cover.Stop")],
        "switch" => &[("toggle", "Switch.Toggle")],
        "light" => &[("toggle", "Light.Toggle")],
        "button" => &[("press", "Button.Trigger")],
        _ => &[],
    };
    let action = |(verb, method): &(&str, &str)| {
        let more = if *method == "Button.Trigger" { ",\"event\":\"single_push\"" } else { "" };
        Action {
            name: format!("{}_{verb}", component.replace(':', "_")),
            label: String::new(),
            topic: topic.to_owned(),
            payload: Payload::Call(format!("{}{{\"id\":{number}{more}}}}}", beginning(source, method))),
            qos: Qos::AtLeastOnce,
            retain: false,
        }
    };
    verbs.iter().map(action).collect()
}

fn unit(name: &str, path: &[String]) -> &'static str {
    let last = path.last().map(String::as_str).unwrap_or_default();
    match last {
        "apower" | "act_power" => "W",
        "aprt_power" => "VA",
        "voltage" | "V" => "V",
        "current" => "A",
        "freq" => "Hz",
        "tC" | "target_C" | "current_C" => "°C",
        "rh" | "percent" | "current_pos" | "target_pos" | "brightness" => "%",
        "lux" => "lx",
        "rssi" => "dBm",
        "uptime" => "s",
        "ct" => "K",
        "total" if path.iter().any(|step| step == "aenergy" || step == "ret_aenergy") => "Wh",
        _ if last.ends_with("_act_power") => "W",
        _ if last.ends_with("_aprt_power") => "VA",
        _ if last.ends_with("_voltage") => "V",
        _ if last.ends_with("_current") => "A",
        _ if last.ends_with("_freq") => "Hz",
        _ if last.ends_with("_energy") || name == "emdata" || name == "em1data" => "Wh",
        _ => "",
    }
}
