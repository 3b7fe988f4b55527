//! Tasmota by its own discovery: `tasmota/discovery/MAC/config` and `.../sensors`, retained. Owns which device is which node; what a
//! configuration means is read in [`device`]. States are told after commands (`stat`) and now and then (`tele`) and are not retained, so a
//! late starter asks for them.

use std::collections::BTreeMap;

use serde_json::Value;
use tombolo_sdk::{Actions, Level, Timestamp};

use super::convention::{Convention, MEMORY_MAX, Memory, Place, tag};
use super::names::{Identity, hardware, path};
use super::registry::Arrival;
use super::spec::{About, Entity};

mod device;

use device::Device;

const PREFIX: &str = "tasmota/discovery/";

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tasmota {
    memory: Memory,
    /// By MAC as the topic has it.
    shown: BTreeMap<String, Shown>,
}

#[derive(Debug)]
struct Shown {
    id: String,
    /// Where its commands go, with a slash at the end.
    commands: String,
}

impl Convention for Tasmota {
    fn filters(&self) -> Vec<String> {
        vec![format!("{PREFIX}+/config"), format!("{PREFIX}+/sensors")]
    }

    fn concerns(&self, topic: &str) -> bool {
        split(topic).is_some()
    }

    fn handle(&mut self, arrival: &Arrival<'_>, place: &mut Place<'_>, out: &mut Actions) -> u32 {
        let Some((mac, _)) = split(arrival.topic) else { return 0 };
        let Ok(text) = std::str::from_utf8(arrival.payload) else {
            out.log(Level::Warn, format!("topic {:?}: the payload is not UTF-8", arrival.topic));
            return 0;
        };
        if text.is_empty() {
            self.memory.remove(arrival.topic);
        } else if self.memory.get(arrival.topic).is_some_and(|known| known == text) {
            return 0;
        } else if self.memory.len() < MEMORY_MAX {
            self.memory.insert(arrival.topic.to_owned(), text.to_owned());
        }
        self.show(mac, place, out);
        if let Some(shown) = self.shown.get(mac) {
            shown.ask(place);
        }
        0
    }

    fn memory(&self) -> Memory {
        self.memory.clone()
    }

    fn begin(&mut self, memory: Memory, place: &mut Place<'_>, out: &mut Actions) {
        self.memory = memory;
        self.show_again(place, out);
    }

    fn handle_online(&mut self, _now: Timestamp, place: &mut Place<'_>, _out: &mut Actions) {
        self.shown.values().for_each(|shown| shown.ask(place));
    }

    fn show_again(&mut self, place: &mut Place<'_>, out: &mut Actions) {
        let macs = self.memory.keys().filter_map(|topic| split(topic)).filter(|(_, what)| *what == "config");
        let macs: Vec<String> = macs.map(|(mac, _)| mac.to_owned()).collect();
        macs.iter().for_each(|mac| self.show(mac, place, out));
    }
}

impl Tasmota {
    fn show(&mut self, mac: &str, place: &mut Place<'_>, out: &mut Actions) {
        let read = |what: &str| {
            let text = self.memory.get(&format!("{PREFIX}{mac}/{what}"))?;
            Some(serde_json::from_str::<Value>(text).map_err(|error| format!("{what} is no JSON: {error}")))
        };
        let sensors = read("sensors").and_then(Result::ok).unwrap_or_default();
        let outcome = match read("config") {
            None => {
                self.hide(mac, place);
                Ok(())
            }
            Some(config) => config.and_then(|config| self.put(mac, &config, &sensors, place)),
        };
        if let Err(error) = outcome {
            out.log(Level::Warn, format!("Tasmota device {mac:?}: {error}"));
        }
    }

    fn put(&mut self, mac: &str, config: &Value, sensors: &Value, place: &mut Place<'_>) -> Result<(), String> {
        let device = Device::read(config).ok_or("its configuration names no topics")?;
        let key = key(mac);
        let address = hardware(mac);
        let wish = path(&device.name, mac);
        let Some(id) = place.claim(Identity { key: &key, hardware: address.as_deref(), wish: &wish }) else {
            self.shown.remove(mac);
            return Ok(());
        };
        let entity = Entity {
            fields: device.fields(sensors),
            actions: device.actions(),
            availability: vec![device.availability()],
            ..Entity::new(&key, Some(place.qos))
        };
        let told = [tag("MAN", "Tasmota"), tag("MODEL", &device.model), tag("SN", mac), tag("V", &device.version)];
        let about = About { id, label: device.name.clone(), extras: told.into_iter().flatten().collect() };
        place.put(&about, entity)?;
        self.shown.insert(mac.to_owned(), Shown { id: about.id, commands: device.command });
        Ok(())
    }

    fn hide(&mut self, mac: &str, place: &mut Place<'_>) {
        if let Some(shown) = self.shown.remove(mac) {
            place.remove(&shown.id, &key(mac));
        }
    }
}

impl Shown {
    /// Asks for the state of outputs and of sensors.
    fn ask(&self, place: &mut Place<'_>) {
        place.ask(format!("{}State", self.commands), "");
        place.ask(format!("{}Status", self.commands), "10");
    }
}

fn key(mac: &str) -> String {
    format!("tasmota {mac}")
}

/// MAC, and `config` or `sensors`.
fn split(topic: &str) -> Option<(&str, &str)> {
    let (mac, what) = topic.strip_prefix(PREFIX)?.split_once('/')?;
    (matches!(what, "config" | "sensors") && !mac.is_empty()).then_some((mac, what))
}
