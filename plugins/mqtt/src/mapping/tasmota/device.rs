//! One Tasmota device as its configuration tells: relays, light, shutters, fan and sensors as fields, parameters and commands. Owns the
//! abbreviations of the configuration and the names of commands and results.

use serde_json::Value;
use tombolo_sdk::{Constraint, Field, FieldKinds};

use crate::codec::Qos;
use crate::mapping::spec::{Action, Availability, Command, FieldSpec, Payload, Shape};
use crate::mapping::tree;
use crate::mapping::value::{Extract, Kind};

/// Tasmota has at most so many.
const RELAYS_MAX: usize = 32;
/// Sensors of one device: far more than there is room for in its memory.
const SENSORS_MAX: usize = 256;
/// Kinds of relay.
const LIGHT: u64 = 2;
const SHUTTER: u64 = 3;
/// Kinds of light from here on have these.
const COLD_WARM: u64 = 2;
const RGB: u64 = 3;
const RGB_COLD_WARM: u64 = 5;

/// What is read of a configuration.
pub(super) struct Device {
    pub(super) name: String,
    pub(super) model: String,
    pub(super) version: String,
    /// Topics with a slash at the end.
    pub(super) command: String,
    stat: String,
    tele: String,
    on: String,
    off: String,
    online: String,
    offline: String,
    /// Kind of each, and what people call it.
    relays: Vec<(u64, String)>,
    light: u64,
    is_fan: bool,
    /// Several dimmers instead of a light.
    is_multi_channel: bool,
    is_range_reduced: bool,
    /// Results stand under the command's name.
    is_result_named: bool,
}

impl Device {
    /// None: it does not say where it is.
    pub(super) fn read(config: &Value) -> Option<Self> {
        let text = |word: &str| config.get(word).and_then(Value::as_str);
        let item = |word: &str, at: usize, default: &str| {
            config.get(word).and_then(|list| list.get(at)?.as_str()).unwrap_or(default).to_owned()
        };
        let option = |number: &str| config.get("so").and_then(|all| all.get(number)).is_some_and(|one| *one == 1);
        let mac = text("mac").unwrap_or_default();
        let short = mac.get(mac.len().saturating_sub(6)..).unwrap_or(mac);
        let full = text("ft")?.replace("%hostname%", text("hn").unwrap_or_default()).replace("%id%", short);
        let full = full.replace("%topic%", text("t").filter(|topic| !topic.is_empty())?);
        let topic = |at: usize, default: &str| full.replace("%prefix%", &item("tp", at, default));
        let topics = [topic(0, "cmnd"), topic(1, "stat"), topic(2, "tele")];
        let is_topic = |topic: &String| topic.ends_with('/') && !topic.contains(['+', '#', '\0', '%']);
        let kinds = config.get("rl").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let relays = kinds.iter().take(RELAYS_MAX).enumerate();
        let [command, stat, tele] = topics.iter().all(is_topic).then_some(topics)?;
        Some(Self {
            name: text("dn").filter(|name| !name.is_empty()).or(text("t"))?.to_owned(),
            model: text("md").unwrap_or_default().to_owned(),
            version: text("sw").unwrap_or_default().to_owned(),
            command,
            stat,
            tele,
            on: item("state", 1, "ON"),
            off: item("state", 0, "OFF"),
            online: text("onln").unwrap_or("Online").to_owned(),
            offline: text("ofln").unwrap_or("Offline").to_owned(),
            relays: relays.map(|(at, kind)| (kind.as_u64().unwrap_or(0), item("fn", at, ""))).collect(),
            light: config.get("lt_st").and_then(Value::as_u64).unwrap_or(0),
            is_fan: config.get("if").is_some_and(|fan| *fan == 1),
            is_multi_channel: option("68"),
            is_range_reduced: option("82"),
            is_result_named: option("4"),
        })
    }

    pub(super) fn availability(&self) -> Availability {
        Availability {
            topic: format!("{}LWT", self.tele),
            online: self.online.clone(),
            offline: self.offline.clone(),
            extract: Extract::Plain,
        }
    }

    pub(super) fn fields(&self, sensors: &Value) -> Vec<FieldSpec> {
        let mut fields = self.relays();
        fields.extend(self.light());
        if self.is_fan {
            let speeds = Constraint::range(0.0, 3.0);
            fields.push(self.output("fan_speed", "FanSpeed", &["FanSpeed"], Kind::Int32, "", speeds));
        }
        fields.extend((1..=self.shutters()).flat_map(|number| self.shutter(number)));
        fields.extend(self.sensors(sensors));
        fields.extend(self.status());
        fields
    }

    /// Opens, closes and stops shutters; restarts the device.
    pub(super) fn actions(&self) -> Vec<Action> {
        let action = |name: String, command: String, payload: &str| Action {
            label: String::new(),
            name,
            topic: format!("{}{command}", self.command),
            payload: Payload::Text(payload.to_owned()),
            qos: Qos::AtLeastOnce,
            retain: false,
        };
        let shutters = (1..=self.shutters()).flat_map(|number| {
            ["Open", "Close", "Stop"].map(|verb| {
                let name = format!("shutter{number}_{}", verb.to_ascii_lowercase());
                action(name, format!("Shutter{verb}{number}"), "")
            })
        });
        shutters.chain([action("restart".into(), "Restart".into(), "1")]).collect()
    }

    fn relays(&self) -> Vec<FieldSpec> {
        let all = (1_usize..).zip(&self.relays).filter(|(_, (kind, _))| *kind != 0 && *kind != SHUTTER);
        let is_only = all.clone().count() == 1;
        let kind = || Kind::Boolean { on: self.on.clone(), off: self.off.clone() };
        all.map(|(number, (_, label))| {
            let (name, command) = (format!("power{number}"), format!("POWER{number}"));
            let name = if is_only { "power" } else { name.as_str() };
            let mut field = self.output(name, &command, &[&command], kind(), "", Constraint::any());
            field.field.label.clone_from(label);
            if number == 1 {
                // A device with one output leaves the number out, unless it is told not to.
                self.tell(&mut field, "POWER", &["POWER"]);
            }
            field
        })
        .collect()
    }

    fn light(&self) -> Vec<FieldSpec> {
        let mut fields = Vec::new();
        if self.is_multi_channel || !self.relays.iter().any(|(kind, _)| *kind == LIGHT) || self.light == 0 {
            return fields;
        }
        let percent = Constraint::range(0.0, 100.0);
        fields.push(self.output("dimmer", "Dimmer", &["Dimmer"], Kind::Quantity, "%", percent));
        if matches!(self.light, COLD_WARM | RGB_COLD_WARM) {
            let range = if self.is_range_reduced { (200.0, 380.0) } else { (153.0, 500.0) };
            let range = Constraint::range(range.0, range.1);
            fields.push(self.output("ct", "CT", &["CT"], Kind::Quantity, "mired", range));
        }
        if self.light >= RGB {
            let numbers = Constraint { pattern: Some("[0-9]{1,3},[0-9]{1,3},[0-9]{1,3}".into()), ..Constraint::any() };
            fields.push(self.output("hsb_color", "HSBColor", &["HSBColor"], Kind::Text, "", numbers));
        }
        fields
    }

    /// Two relays move one shutter.
    fn shutters(&self) -> usize {
        self.relays.iter().filter(|(kind, _)| *kind == SHUTTER).count().div_ceil(2)
    }

    /// Moving takes longer than anybody waits; where it goes is told at once.
    fn shutter(&self, number: usize) -> [FieldSpec; 2] {
        let (name, member) = (format!("shutter{number}"), format!("Shutter{number}"));
        let (command, percent) = (format!("ShutterPosition{number}"), Constraint::range(0.0, 100.0));
        let mut target =
            self.output(&format!("{name}/target"), &command, &[&member, "Target"], Kind::Quantity, "%", percent);
        let mut position = target.clone();
        target.more.push((format!("{}SENSOR", self.tele), pointer(&[&member, "Target"])));
        position.extract = pointer(&[&member, "Position"]);
        position.more = vec![(format!("{}SENSOR", self.tele), position.extract.clone())];
        (position.field.name, position.field.control, position.command) = (format!("{name}/position"), None, None);
        [position, target]
    }

    /// Something that is set, and told after that and now and then.
    fn output(
        &self,
        name: &str,
        command: &str,
        place: &[&str],
        kind: Kind,
        unit: &str,
        constraint: Constraint,
    ) -> FieldSpec {
        let constraint = Constraint { members: Vec::new(), ..constraint };
        let field = Field { unit: unit.into(), control: Some(constraint), ..Field::new(name, kind.value_type()) };
        let mut spec = FieldSpec::new(field, kind.clone(), &self.result(command), pointer(place));
        spec.more.push((format!("{}STATE", self.tele), pointer(place)));
        spec.command = Some(Command::confirmed(format!("{}{command}", self.command), Shape::Plain, kind, 0.0));
        spec
    }

    /// One more name that the same is told under.
    fn tell(&self, field: &mut FieldSpec, command: &str, place: &[&str]) {
        field.more.push((self.result(command), pointer(place)));
        field.more.push((format!("{}STATE", self.tele), pointer(place)));
    }

    fn result(&self, command: &str) -> String {
        let name = if self.is_result_named { command.to_ascii_uppercase() } else { "RESULT".into() };
        format!("{}{name}", self.stat)
    }

    fn sensors(&self, sensors: &Value) -> Vec<FieldSpec> {
        let Some(tree) = sensors.get("sn") else { return Vec::new() };
        let is_reading = |path: &[String]| {
            let first = path.first().map(String::as_str).unwrap_or_default();
            first != "Time" && !(path.len() == 1 && first.ends_with("Unit")) && !first.starts_with("Shutter")
        };
        let leaves = tree::leaves(tree, SENSORS_MAX).into_iter().filter(|(path, _)| is_reading(path));
        leaves.map(|(path, leaf)| self.sensor(&path, tree::kind(leaf), tree)).collect()
    }

    fn sensor(&self, path: &[String], kind: Kind, tree: &Value) -> FieldSpec {
        let kinds =
            if path.last().is_some_and(|last| last == "Battery") { FieldKinds::STATUS } else { FieldKinds::MOMENTARY };
        let unit = if kind == Kind::Quantity { unit(path, tree) } else { String::new() };
        let field = Field { unit, kinds, ..Field::new(&path.join("/"), kind.value_type()) };
        let mut spec = FieldSpec::new(field, kind, &format!("{}SENSOR", self.tele), Extract::Pointer(path.to_vec()));
        let answer = [&["StatusSNS".to_owned()], path].concat();
        spec.more.push((format!("{}STATUS10", self.stat), Extract::Pointer(answer)));
        if let [only] = path {
            // Switches and the like are told as they change.
            spec.more.push((format!("{}RESULT", self.stat), Extract::Pointer(vec![only.clone()])));
        }
        spec
    }

    fn status(&self) -> Vec<FieldSpec> {
        let plans: [(&str, &[&str], &str); 3] =
            [("rssi", &["Wifi", "RSSI"], "%"), ("signal", &["Wifi", "Signal"], "dBm"), ("uptime", &["UptimeSec"], "s")];
        let field = |(name, place, unit): &(&str, &[&str], &str)| {
            let field = Field {
                unit: (*unit).into(),
                kinds: FieldKinds::STATUS,
                ..Field::new(name, Kind::Quantity.value_type())
            };
            let mut spec = FieldSpec::new(field, Kind::Quantity, &format!("{}STATE", self.tele), pointer(place));
            spec.more.push((format!("{}RESULT", self.stat), pointer(place)));
            spec
        };
        plans.iter().map(field).collect()
    }
}

fn pointer(path: &[&str]) -> Extract {
    Extract::Pointer(path.iter().map(|step| (*step).to_owned()).collect())
}

/// The unit of a number, by its name; three of them the device chooses.
fn unit(path: &[String], tree: &Value) -> String {
    let name = path.iter().rev().find(|step| step.parse::<usize>().is_err()).map(String::as_str).unwrap_or_default();
    let chosen = |word: &str, default: &str| {
        let unit = tree.get(word).and_then(Value::as_str).unwrap_or(default);
        if word == "TempUnit" { format!("°{unit}") } else { unit.to_owned() }
    };
    let fixed = match name {
        "Temperature" | "DewPoint" => return chosen("TempUnit", "C"),
        "Pressure" | "SeaPressure" => return chosen("PressureUnit", "hPa"),
        "Speed" => return chosen("SpeedUnit", "m/s"),
        "Humidity" | "Moisture" | "Battery" => "%",
        "Voltage" => "V",
        "Current" | "CurrentNeutral" => "A",
        "Power" | "ActivePower" => "W",
        "ApparentPower" => "VA",
        "ReactivePower" => "var",
        "Total" | "Today" | "Yesterday" | "ExportActive" | "ExportTariff" | "TotalTariff" | "Energy" => "kWh",
        "ImportReactive" | "ExportReactive" => "kvarh",
        "Frequency" => "Hz",
        "Illuminance" | "Ambient" => "lx",
        "CarbonDioxide" | "eCO2" => "ppm",
        "TVOC" => "ppb",
        "PM1" | "PM2.5" | "PM10" | "CF1" | "CF2.5" | "CF10" => "µg/m³",
        "Distance" => "cm",
        "Weight" => "kg",
        "CCT" => "K",
        "PhaseAngle" => "°",
        _ => "",
    };
    fixed.to_owned()
}
