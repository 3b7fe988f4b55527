//! Shelly Gen1: plain topics under `shellies/DEVICE/`, mostly not retained, and an announcement on request. Owns which topics each device
//! has shown so far: a field appears when its topic first speaks. What a topic means is in [`topics`](super::topics).

use std::collections::BTreeMap;

use serde_json::Value;
use tombolo_sdk::{Actions, Level, NodeState};

use super::topics::{Meaning, meaning};
use crate::mapping::convention::{MEMORY_MAX, Memory, Place, tag};
use crate::mapping::names::{Identity, hardware, slug};
use crate::mapping::registry::Arrival;
use crate::mapping::spec::{About, Entity};

pub(super) const PREFIX: &str = "shellies/";
/// Topics of one device that are kept; no device has half as many.
const TOPICS_MAX: usize = 128;
/// A longer payload announces nothing.
const PAYLOAD_MAX: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct First {
    devices: BTreeMap<String, Device>,
    memory: Memory,
}

#[derive(Debug, Default)]
struct Device {
    id: String,
    announced: Value,
    is_online: Option<bool>,
    /// By the rest of the topic.
    topics: BTreeMap<String, Meaning>,
}

impl First {
    pub(super) fn concerns(&self, topic: &str) -> bool {
        topic.starts_with(PREFIX)
    }

    pub(super) fn memory(&self) -> Memory {
        self.memory.clone()
    }

    pub(super) fn begin(&mut self, memory: &Memory, place: &mut Place<'_>, out: &mut Actions) {
        for (topic, payload) in memory {
            self.take(topic, payload, place, out);
        }
    }

    /// Devices announce themselves and tell everything when they are asked to.
    pub(super) fn handle_online(&self, place: &mut Place<'_>) {
        place.ask(format!("{PREFIX}command"), "announce");
        place.ask(format!("{PREFIX}command"), "update");
    }

    pub(super) fn handle(&mut self, arrival: &Arrival<'_>, place: &mut Place<'_>, out: &mut Actions) -> u32 {
        let payload = std::str::from_utf8(arrival.payload).ok().filter(|payload| payload.len() <= PAYLOAD_MAX);
        match payload {
            Some(payload) if self.take(arrival.topic, payload, place, out) => {
                place.registry.handle(arrival, out).unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// Gives whether a field came of it.
    fn take(&mut self, topic: &str, payload: &str, place: &mut Place<'_>, out: &mut Actions) -> bool {
        let Some(rest) = topic.strip_prefix(PREFIX) else { return false };
        match rest.split_once('/') {
            None if rest == "announce" => {
                self.announce(payload, place, out);
                false
            }
            Some((device, "announce")) if !device.is_empty() => {
                self.announce(payload, place, out);
                false
            }
            Some((device, "online")) if self.devices.contains_key(device) || self.has_room() => {
                self.online(device, topic, payload, place, out);
                false
            }
            Some((device, rest)) if !device.is_empty() => self.field(device, topic, rest, payload, place, out),
            _ => false,
        }
    }

    fn has_room(&self) -> bool {
        self.memory.len() < MEMORY_MAX
    }

    fn announce(&mut self, payload: &str, place: &mut Place<'_>, out: &mut Actions) {
        let announced: Value = serde_json::from_str(payload).unwrap_or_default();
        let name = announced.get("id").and_then(Value::as_str).filter(|name| !name.contains(['/', '+', '#']));
        // Devices of later generations may announce themselves here too, and are read elsewhere.
        let Some(name) = name.filter(|_| announced.get("gen").is_none() && self.has_room()).map(str::to_owned) else {
            return;
        };
        self.memory.insert(format!("{PREFIX}{name}/announce"), payload.to_owned());
        self.devices.entry(name.clone()).or_default().announced = announced;
        self.show(&name, place, out);
    }

    fn online(&mut self, name: &str, topic: &str, payload: &str, place: &mut Place<'_>, out: &mut Actions) {
        let device = self.devices.entry(name.to_owned()).or_default();
        device.is_online = match payload {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        self.memory.insert(topic.to_owned(), payload.to_owned());
        device.tell(place, out);
    }

    fn field(
        &mut self,
        name: &str,
        topic: &str,
        rest: &str,
        payload: &str,
        place: &mut Place<'_>,
        out: &mut Actions,
    ) -> bool {
        let Some(meaning) = meaning(topic, rest, payload).filter(|meaning| !meaning.fields.is_empty()) else {
            return false;
        };
        if !self.has_room() {
            return false;
        }
        let device = self.devices.entry(name.to_owned()).or_default();
        let is_known = device.topics.get(rest) == Some(&meaning);
        if !is_known && device.topics.len() >= TOPICS_MAX {
            return false;
        }
        device.topics.insert(rest.to_owned(), meaning);
        self.memory.insert(topic.to_owned(), payload.to_owned());
        self.show(name, place, out);
        true
    }

    fn show(&mut self, name: &str, place: &mut Place<'_>, out: &mut Actions) {
        let Some(device) = self.devices.get_mut(name).filter(|device| !device.topics.is_empty()) else { return };
        let key = format!("shelly {name}");
        let text = |word: &str| device.announced.get(word).and_then(Value::as_str).unwrap_or_default();
        let address = hardware(text("mac")).or_else(|| hardware(name));
        let claimed = place.claim(Identity { key: &key, hardware: address.as_deref(), wish: &slug(name, '-') });
        let Some(id) = claimed else {
            device.id.clear();
            return;
        };
        let told =
            [tag("MAN", "Shelly"), tag("MODEL", text("model")), tag("SN", text("mac")), tag("V", text("fw_ver"))];
        let about = About { id: id.clone(), label: String::new(), extras: told.into_iter().flatten().collect() };
        let entity = Entity {
            fields: device.topics.values().flat_map(|meaning| meaning.fields.clone()).collect(),
            actions: device.topics.values().flat_map(|meaning| meaning.actions.clone()).collect(),
            ..Entity::new(&key, None)
        };
        match place.put(&about, entity) {
            Ok(()) => {
                device.id = id;
                device.tell(place, out);
            }
            Err(error) => out.log(Level::Warn, error),
        }
    }
}

impl Device {
    fn tell(&self, place: &mut Place<'_>, out: &mut Actions) {
        let state = self.is_online.map(|online| if online { NodeState::Online } else { NodeState::Offline });
        place.registry.tell(&self.id, state, out);
    }
}
