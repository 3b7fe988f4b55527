//! Devices and groups behind Zigbee2MQTT, without Home Assistant's discovery: from `bridge/devices`, `bridge/groups`, `bridge/state` and
//! each device's `availability`. Owns which of them is which node and how it is; what a device exposes is read in [`exposes`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tombolo_sdk::{Actions, Level, NodeState};

use super::convention::{Convention, MEMORY_MAX, Memory, Place, tag};
use super::names::{Identity, hardware, path};
use super::registry::Arrival;
use super::spec::{About, Entity};

mod exposes;

/// See the module.
#[derive(Debug)]
pub(crate) struct Zigbee2mqtt {
    bases: Vec<Base>,
    memory: Memory,
    /// Types of exposes that were said to be unknown.
    said: BTreeSet<String>,
}

/// One instance of Zigbee2MQTT.
#[derive(Debug, Default)]
struct Base {
    /// With a slash at the end.
    topic: String,
    /// What it says of itself.
    is_online: Option<bool>,
    /// By address or number of a group.
    shown: BTreeMap<String, Shown>,
    /// What a group may have, by the address of its members.
    features: BTreeMap<String, Vec<Value>>,
}

#[derive(Debug)]
struct Shown {
    id: String,
    key: String,
    availability: String,
    is_available: Option<bool>,
}

/// A device or group as it is announced.
struct Announced {
    /// Within its base.
    key: String,
    name: String,
    exposes: Vec<Value>,
    extras: Vec<tombolo_sdk::Extra>,
    is_device: bool,
}

impl Zigbee2mqtt {
    pub(crate) fn new(topics: &[String]) -> Self {
        let base = |topic: &String| Base { topic: format!("{}/", topic.trim_end_matches('/')), ..Base::default() };
        Self { bases: topics.iter().map(base).collect(), memory: Memory::new(), said: BTreeSet::new() }
    }

    fn take(&mut self, topic: &str, text: &str, place: &mut Place<'_>, out: &mut Actions) {
        let Some(base) = self.bases.iter_mut().find(|base| topic.starts_with(&base.topic)) else { return };
        let told = match topic.get(base.topic.len()..).unwrap_or_default() {
            "bridge/state" => {
                base.is_online = state_of(text);
                base.tell(place, out);
                Ok(())
            }
            "bridge/devices" => {
                let groups = self.memory.get(&format!("{}bridge/groups", base.topic));
                // What a group has is known by its members.
                base.devices(text, place, &mut self.said, out)
                    .and_then(|()| groups.map_or(Ok(()), |groups| base.groups(groups, place, &mut self.said, out)))
            }
            "bridge/groups" => base.groups(text, place, &mut self.said, out),
            _ => {
                base.availability(topic, text, place, out);
                Ok(())
            }
        };
        match told {
            Err(error) => out.log(Level::Warn, format!("topic {topic:?}: {error}")),
            Ok(()) if text.is_empty() => drop(self.memory.remove(topic)),
            Ok(()) if self.memory.len() < MEMORY_MAX => drop(self.memory.insert(topic.to_owned(), text.to_owned())),
            Ok(()) => {}
        }
    }
}

impl Convention for Zigbee2mqtt {
    fn filters(&self) -> Vec<String> {
        let topics = ["bridge/state", "bridge/devices", "bridge/groups"];
        self.bases.iter().flat_map(|base| topics.map(|topic| format!("{}{topic}", base.topic))).collect()
    }

    fn concerns(&self, topic: &str) -> bool {
        let rest = self.bases.iter().find_map(|base| topic.strip_prefix(&base.topic));
        rest.is_some_and(|rest| {
            matches!(rest, "bridge/state" | "bridge/devices" | "bridge/groups") || rest.ends_with("/availability")
        })
    }

    fn handle(&mut self, arrival: &Arrival<'_>, place: &mut Place<'_>, out: &mut Actions) -> u32 {
        match std::str::from_utf8(arrival.payload) {
            Ok(text) => self.take(arrival.topic, text, place, out),
            Err(_) => out.log(Level::Warn, format!("topic {:?}: the payload is not UTF-8", arrival.topic)),
        }
        0
    }

    fn memory(&self) -> Memory {
        self.memory.clone()
    }

    fn begin(&mut self, memory: Memory, place: &mut Place<'_>, out: &mut Actions) {
        // Groups take their fields from devices, and availability needs to know both.
        let last = |topic: &str| (topic.ends_with("/availability"), topic.ends_with("bridge/groups"));
        let mut all: Vec<(String, String)> = memory.into_iter().collect();
        all.sort_by_key(|(topic, _)| last(topic));
        for (topic, text) in all {
            self.take(&topic, &text, place, out);
        }
    }

    fn show_again(&mut self, place: &mut Place<'_>, out: &mut Actions) {
        self.begin(self.memory.clone(), place, out);
    }
}

impl Base {
    fn devices(
        &mut self,
        text: &str,
        place: &mut Place<'_>,
        said: &mut BTreeSet<String>,
        out: &mut Actions,
    ) -> Result<(), String> {
        let announced: Vec<Announced> = list(text)?.iter().filter_map(device).collect();
        let features = announced.iter().map(|one| (one.key.clone(), exposes::shared(&one.exposes)));
        self.features = features.collect();
        self.show(true, announced, place, said, out);
        Ok(())
    }

    fn groups(
        &mut self,
        text: &str,
        place: &mut Place<'_>,
        said: &mut BTreeSet<String>,
        out: &mut Actions,
    ) -> Result<(), String> {
        let announced = list(text)?.iter().filter_map(|group| self.group(group)).collect();
        self.show(false, announced, place, said, out);
        Ok(())
    }

    /// A group has what all its members have in common.
    fn group(&self, group: &Value) -> Option<Announced> {
        let number = group.get("id")?.as_u64()?;
        let members = group.get("members").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let addresses = members.iter().filter_map(|member| member.get("ieee_address")?.as_str());
        let mut features = addresses.map(|address| self.features.get(address).map(Vec::as_slice).unwrap_or_default());
        let first = features.next().unwrap_or_default().to_vec();
        let shared = features.fold(first, exposes::intersection);
        let name = group.get("friendly_name")?.as_str()?.to_owned();
        (!shared.is_empty()).then(|| Announced {
            key: format!("group {number}"),
            name,
            exposes: shared,
            extras: Vec::new(),
            is_device: false,
        })
    }

    /// Shows these and takes away others of their kind that are not among them.
    fn show(
        &mut self,
        are_devices: bool,
        announced: Vec<Announced>,
        place: &mut Place<'_>,
        said: &mut BTreeSet<String>,
        out: &mut Actions,
    ) {
        let keys: BTreeSet<&str> = announced.iter().map(|one| one.key.as_str()).collect();
        let of_kind = self.shown.keys().filter(|key| key.starts_with("group ") != are_devices);
        let gone: Vec<String> = of_kind.filter(|key| !keys.contains(key.as_str())).cloned().collect();
        for one in announced {
            if let Err(error) = self.put(&one, place, said, out) {
                out.log(Level::Warn, error);
            }
        }
        for key in gone {
            self.remove(&key, place);
        }
        self.tell(place, out);
    }

    fn put(
        &mut self,
        one: &Announced,
        place: &mut Place<'_>,
        said: &mut BTreeSet<String>,
        out: &mut Actions,
    ) -> Result<(), String> {
        let key = format!("zigbee2mqtt {}{}", self.topic, one.key);
        let (address, wish) = (hardware(&one.key).filter(|_| one.is_device), path(&one.name, &one.key));
        let claimed = place.claim(Identity { key: &key, hardware: address.as_deref(), wish: &wish });
        let Some(id) = claimed else {
            self.shown.remove(&one.key);
            return Ok(());
        };
        let topic = format!("{}{}", self.topic, one.name);
        let found = exposes::entity(&one.exposes, &topic);
        for unknown in found.unknown {
            if said.insert(unknown.clone()) {
                out.log(Level::Info, format!("Zigbee2MQTT's exposes of the type {unknown:?} are not shown"));
            }
        }
        let availability = format!("{topic}/availability");
        let watched = vec![availability.clone()];
        let entity = Entity { fields: found.fields, watched, ..Entity::new(&key, Some(place.qos)) };
        let about = About { id: id.clone(), label: one.name.clone(), extras: one.extras.clone() };
        place.put(&about, entity)?;
        let before = self.shown.get(&one.key).filter(|before| before.availability == availability);
        let is_available = before.and_then(|before| before.is_available);
        self.shown.insert(one.key.clone(), Shown { id, key, availability, is_available });
        Ok(())
    }

    fn remove(&mut self, key: &str, place: &mut Place<'_>) {
        if let Some(shown) = self.shown.remove(key) {
            place.remove(&shown.id, &shown.key);
        }
    }

    fn availability(&mut self, topic: &str, text: &str, place: &mut Place<'_>, out: &mut Actions) {
        let is_online = self.is_online;
        if let Some(shown) = self.shown.values_mut().find(|shown| shown.availability == topic) {
            shown.is_available = state_of(text);
            shown.tell(is_online, place, out);
        }
    }

    fn tell(&self, place: &mut Place<'_>, out: &mut Actions) {
        self.shown.values().for_each(|shown| shown.tell(self.is_online, place, out));
    }
}

impl Shown {
    /// Without its bridge a device is out of reach; one that never said whether it is there is judged by its readings.
    fn tell(&self, is_bridge_online: Option<bool>, place: &mut Place<'_>, out: &mut Actions) {
        let state = match (is_bridge_online, self.is_available) {
            (Some(false), _) | (_, Some(false)) => Some(NodeState::Offline),
            (_, Some(true)) => Some(NodeState::Online),
            (_, None) => None,
        };
        place.registry.tell(&self.id, state, out);
    }
}

fn list(text: &str) -> Result<Vec<Value>, String> {
    match serde_json::from_str(if text.is_empty() { "[]" } else { text }) {
        Ok(Value::Array(list)) => Ok(list),
        Ok(_) => Err("a list was expected".into()),
        Err(error) => Err(format!("the payload is no JSON: {error}")),
    }
}

/// `{"state":"online"}`, or the bare word that older versions write.
fn state_of(text: &str) -> Option<bool> {
    let parsed: Option<Value> = serde_json::from_str(text).ok();
    let state = parsed.as_ref().and_then(|value| value.get("state")?.as_str()).unwrap_or(text.trim());
    match state {
        "online" => Some(true),
        "offline" => Some(false),
        _ => None,
    }
}

/// None: the coordinator, or nothing that could be shown.
fn device(device: &Value) -> Option<Announced> {
    let text = |value: &Value, word: &str| value.get(word).and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_disabled = device.get("disabled").and_then(Value::as_bool).unwrap_or(false);
    let definition = device.get("definition").filter(|definition| definition.is_object() && !is_disabled)?;
    if text(device, "type") == "Coordinator" {
        return None;
    }
    let address = text(device, "ieee_address");
    let told = [
        tag("MAN", &text(definition, "vendor")),
        tag("MODEL", &text(definition, "model")),
        tag("SN", &address),
        tag("V", &text(device, "software_build_id")),
    ];
    let name = Some(text(device, "friendly_name")).filter(|name| !name.is_empty()).unwrap_or_else(|| address.clone());
    let is_topic = !name.is_empty() && !name.contains(['+', '#', '\0']);
    is_topic.then(|| Announced {
        key: address,
        name,
        exposes: definition.get("exposes").and_then(Value::as_array).cloned().unwrap_or_default(),
        extras: told.into_iter().flatten().collect(),
        is_device: true,
    })
}
