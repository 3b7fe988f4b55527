//! Homie 4 (a retained tree of `$` attributes) and Homie 5 (one `$description` a device). Owns what each device has told of itself and how it
//! is; what a property means is read in [`property`], how a description reads in [`description`]. Attributes come one by one and in any
//! order: what is known is shown when a batch of them has been handled, and the values, which are retained too, are asked for then.

use std::collections::BTreeMap;

use tombolo_sdk::{Actions, Level, NodeState};

use super::convention::{Convention, MEMORY_MAX, Memory, Place, tag};
use super::names::{Identity, hardware, slug};
use super::registry::Arrival;
use super::spec::{About, Entity};

mod description;
mod property;

use description::Description;

/// Attributes of one device that are kept: far more than 512 properties have.
const ATTRIBUTES_MAX: usize = 5_000;
const DEVICE_4: [&str; 5] = ["$homie", "$name", "$state", "$nodes", "$mac"];
const NODE_4: [&str; 2] = ["$name", "$properties"];
const PROPERTY_4: [&str; 6] = ["$name", "$datatype", "$settable", "$unit", "$format", "$retained"];

/// See the module.
#[derive(Debug)]
pub(crate) struct Homie {
    /// With a slash at the end.
    bases: Vec<String>,
    /// By topic.
    devices: BTreeMap<String, Device>,
    /// Of all devices.
    attributes: usize,
}

#[derive(Debug, Default)]
struct Device {
    id: String,
    is_five: bool,
    /// By what follows the device in the topic.
    attributes: BTreeMap<String, String>,
    is_changed: bool,
}

impl Homie {
    pub(crate) fn new(topics: &[String]) -> Self {
        let bases = topics.iter().map(|topic| format!("{}/", topic.trim_end_matches('/'))).collect();
        Self { bases, devices: BTreeMap::new(), attributes: 0 }
    }

    fn take(&mut self, topic: &str, text: &str, place: &mut Place<'_>, out: &mut Actions) {
        let Some((device_topic, rest, is_five)) = self.split(topic) else { return };
        if !self.devices.contains_key(device_topic) && text.is_empty() {
            return;
        }
        let (rest, has_room) = (rest.to_owned(), self.attributes < MEMORY_MAX);
        let device = self.devices.entry(device_topic.to_owned()).or_default();
        device.is_five = is_five;
        let before = device.attributes.len();
        if text.is_empty() {
            device.attributes.remove(&rest);
        } else if device.attributes.contains_key(&rest) || (has_room && before < ATTRIBUTES_MAX) {
            device.attributes.insert(rest.clone(), text.to_owned());
        }
        self.attributes = self.attributes + device.attributes.len() - before;
        match rest.as_str() {
            "$state" => device.tell(place, out),
            rest if rest.starts_with("$alert/") => device.tell(place, out),
            _ => device.is_changed = true,
        }
        device.is_changed |= device.id.is_empty();
    }

    /// The device's topic, what follows it, and whether it is of version 5. None: no attribute.
    fn split<'t>(&self, topic: &'t str) -> Option<(&'t str, &'t str, bool)> {
        let base = self.bases.iter().find(|base| topic.starts_with(base.as_str()))?;
        let below = topic.get(base.len()..)?;
        let (is_five, start) = if below.starts_with("5/") { (true, base.len() + 2) } else { (false, base.len()) };
        let length = topic.get(start..)?.find('/')?;
        let (device, rest) = (topic.get(..start + length)?, topic.get(start + length + 1..)?);
        let last = rest.rsplit('/').next().unwrap_or_default();
        let is_attribute = match (is_five, rest.split('/').count()) {
            (true, 1) => matches!(rest, "$state" | "$description"),
            (true, 2) => rest.starts_with("$alert/"),
            (true, 3) => last == "$target",
            (false, 1) => DEVICE_4.contains(&rest),
            (false, 2) => NODE_4.contains(&last),
            (false, 3) => PROPERTY_4.contains(&last),
            _ => false,
        };
        (is_attribute && length > 0).then_some((device, rest, is_five))
    }
}

impl Convention for Homie {
    fn filters(&self) -> Vec<String> {
        let below = |level: &'static str, names: &'static [&'static str]| {
            names.iter().map(move |name| format!("{level}{name}")).collect::<Vec<_>>()
        };
        let four = [below("+/", &DEVICE_4), below("+/+/", &NODE_4), below("+/+/+/", &PROPERTY_4)].concat();
        let five = ["5/+/$state", "5/+/$description", "5/+/$alert/+", "5/+/+/+/$target"].map(str::to_owned);
        let all: Vec<String> = four.into_iter().chain(five).collect();
        self.bases.iter().flat_map(|base| all.iter().map(move |filter| format!("{base}{filter}"))).collect()
    }

    fn concerns(&self, topic: &str) -> bool {
        self.split(topic).is_some()
    }

    fn handle(&mut self, arrival: &Arrival<'_>, place: &mut Place<'_>, out: &mut Actions) -> u32 {
        match std::str::from_utf8(arrival.payload) {
            Ok(text) => self.take(arrival.topic, text, place, out),
            Err(_) => out.log(Level::Warn, format!("topic {:?}: the payload is not UTF-8", arrival.topic)),
        }
        0
    }

    fn memory(&self) -> Memory {
        let all = self.devices.iter().flat_map(|(topic, device)| {
            device.attributes.iter().map(move |(rest, text)| (format!("{topic}/{rest}"), text.clone()))
        });
        all.collect()
    }

    fn begin(&mut self, memory: Memory, place: &mut Place<'_>, out: &mut Actions) {
        for (topic, text) in memory {
            self.take(&topic, &text, place, out);
        }
        self.settle(place, out);
    }

    fn settle(&mut self, place: &mut Place<'_>, out: &mut Actions) {
        for (topic, device) in self.devices.iter_mut().filter(|(_, device)| device.is_changed) {
            device.is_changed = false;
            if let Err(error) = device.show(topic, place, out) {
                out.log(Level::Warn, format!("Homie device {topic:?}: {error}"));
            }
        }
        self.devices.retain(|_, device| !device.attributes.is_empty());
    }

    fn show_again(&mut self, place: &mut Place<'_>, out: &mut Actions) {
        self.devices.values_mut().for_each(|device| device.is_changed = true);
        self.settle(place, out);
    }
}

impl Device {
    fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map(String::as_str).unwrap_or_default()
    }

    fn show(&mut self, topic: &str, place: &mut Place<'_>, out: &mut Actions) -> Result<(), String> {
        let description = if self.is_five {
            Description::of_five(self.attribute("$description"))
        } else {
            Ok(Description::of_four(&self.attributes))
        };
        // What cannot be read leaves what was shown before.
        let description = description?;
        let key = format!("homie {topic}");
        if description.properties.is_empty() {
            place.remove(&std::mem::take(&mut self.id), &key);
            return Ok(());
        }
        let Some(id) = self.claim(topic, place) else {
            self.id.clear();
            return Ok(());
        };
        let address = hardware(self.attribute("$mac"));
        let extras = address.and_then(|address| tag("SN", &address)).into_iter().collect();
        let about = About { id: id.clone(), label: description.name, extras };
        let mut fields = Vec::new();
        for one in &description.properties {
            fields.push(one.field(topic, self.is_five));
            if self.attributes.contains_key(&format!("{}/$target", one.path())) {
                fields.push(one.target(topic));
            }
        }
        let entity = Entity { fields, ..Entity::new(&key, Some(place.qos)) };
        place.put(&about, entity)?;
        self.id = id;
        self.tell(place, out);
        Ok(())
    }

    fn claim(&self, topic: &str, place: &mut Place<'_>) -> Option<String> {
        let address = hardware(self.attribute("$mac"));
        let name = topic.rsplit('/').next().unwrap_or_default();
        let wish = Some(slug(name, '-')).filter(|wish| !wish.is_empty()).unwrap_or_else(|| "device".into());
        place.claim(Identity { key: &format!("homie {topic}"), hardware: address.as_deref(), wish: &wish })
    }

    /// In the words of the convention; an alert is a warning of a thing that works.
    fn tell(&self, place: &mut Place<'_>, out: &mut Actions) {
        let has_alert = self.attributes.keys().any(|name| name.starts_with("$alert/"));
        let state = match self.attribute("$state") {
            "ready" | "sleeping" if has_alert => NodeState::Warning,
            "ready" | "sleeping" => NodeState::Online,
            "alert" => NodeState::Warning,
            "disconnected" | "lost" => NodeState::Offline,
            _ => NodeState::Unknown,
        };
        place.registry.tell(&self.id, Some(state), out);
    }
}
