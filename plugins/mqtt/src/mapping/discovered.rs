//! Nodes that announce themselves by Home Assistant's MQTT discovery. Owns which configuration became part of which node, and that a
//! device keeps its node id. What a configuration says is read in [`config`], what a component means in [`components`].

use std::collections::{BTreeMap, BTreeSet};

use tombolo_sdk::{Actions, Level};

use super::convention::{Convention, Memory, Place};
use super::names::Identity;
use super::registry::Arrival;
use super::spec::About;
use super::things::ORIGIN;

mod components;
mod config;

use config::Config;

/// See the module.
#[derive(Debug)]
pub(crate) struct Discovered {
    /// With a slash at the end.
    prefix: String,
    memory: Memory,
    /// Node id of each configuration.
    nodes: BTreeMap<String, String>,
    /// Components that were said to be unsupported.
    said: BTreeSet<String>,
}

impl Discovered {
    pub(crate) fn new(prefix: &str) -> Self {
        let prefix = format!("{}/", prefix.trim_end_matches('/'));
        Self { prefix, memory: Memory::new(), nodes: BTreeMap::new(), said: BTreeSet::new() }
    }
}

impl Convention for Discovered {
    fn filters(&self) -> Vec<String> {
        vec![format!("{}+/+/config", self.prefix), format!("{}+/+/+/config", self.prefix)]
    }

    fn concerns(&self, topic: &str) -> bool {
        topic.starts_with(&self.prefix) && topic.ends_with("/config")
    }

    fn handle(&mut self, arrival: &Arrival<'_>, place: &mut Place<'_>, out: &mut Actions) -> u32 {
        self.take(arrival.topic, arrival.payload, place, out);
        0
    }

    fn memory(&self) -> Memory {
        self.memory.clone()
    }

    fn begin(&mut self, memory: Memory, place: &mut Place<'_>, out: &mut Actions) {
        for (topic, payload) in memory {
            self.take(&topic, payload.as_bytes(), place, out);
        }
    }

    fn show_again(&mut self, place: &mut Place<'_>, out: &mut Actions) {
        for (topic, payload) in self.memory.clone() {
            self.take(&topic, payload.as_bytes(), place, out);
        }
    }
}

impl Discovered {
    /// A configuration came, changed, or went (empty).
    fn take(&mut self, topic: &str, payload: &[u8], place: &mut Place<'_>, out: &mut Actions) {
        if payload.is_empty() {
            return self.remove(topic, place);
        }
        if self.memory.get(topic).is_some_and(|known| known.as_bytes() == payload)
            && self.nodes.get(topic).is_some_and(|id| place.registry.has(id))
        {
            return;
        }
        let outcome = self.put(topic, payload, place, out);
        if let Err(error) = outcome {
            out.log(Level::Warn, format!("entity {topic:?}: {error}"));
        }
    }

    fn put(&mut self, topic: &str, payload: &[u8], place: &mut Place<'_>, out: &mut Actions) -> Result<(), String> {
        let text = std::str::from_utf8(payload).map_err(|_| "its configuration is not UTF-8")?;
        let (component, object) =
            self.split(topic).ok_or("its topic is not <prefix>/<component>/[<node>/]<object>/config")?;
        let config = Config::parse(text, component, object)?;
        if config.origin() == Some(ORIGIN) {
            // A mirrored thing, shown by us or by another like us: where it is a device, it is one already.
            self.remove(topic, place);
            return Ok(());
        }
        let found = components::entity(topic, &config, place.qos);
        for component in found.unsupported {
            if self.said.insert(component.clone()) {
                out.log(Level::Info, format!("components of the kind {component:?} are not shown"));
            }
        }
        for warning in found.warnings {
            out.log(Level::Warn, format!("entity {topic:?}: {warning}"));
        }
        if found.entity.fields.is_empty() && found.entity.actions.is_empty() {
            self.remove(topic, place);
            return Ok(());
        }
        let Some(id) = claim(&config, place) else {
            // Kept for when the other convention gives the device up.
            self.nodes.remove(topic);
            self.memory.insert(topic.to_owned(), text.to_owned());
            return Ok(());
        };
        if self.nodes.get(topic).is_some_and(|before| *before != id) {
            self.remove(topic, place);
            claim(&config, place);
        }
        let about = About { id, label: config.device_name(), extras: config.extras() };
        place.put(&about, found.entity)?;
        self.nodes.insert(topic.to_owned(), about.id);
        self.memory.insert(topic.to_owned(), text.to_owned());
        Ok(())
    }

    fn remove(&mut self, topic: &str, place: &mut Place<'_>) {
        self.memory.remove(topic);
        let Some(id) = self.nodes.remove(topic) else { return };
        place.remove(&id, topic);
    }

    /// Component and object id; between them may stand a node id, which only makes the topic unique.
    fn split<'a>(&self, topic: &'a str) -> Option<(&'a str, &'a str)> {
        let path = topic.strip_prefix(&self.prefix)?.strip_suffix("/config")?;
        let (component, object) = path.split_once('/')?;
        Some((component, object.rsplit('/').next().unwrap_or(object)))
    }
}

/// A device keeps the id that it got first, whatever it is called later. None: another convention shows it.
fn claim(config: &Config, place: &mut Place<'_>) -> Option<String> {
    let (key, hardware, wish) = (config.device_key(), config.hardware(), config.device_slug());
    place.claim(Identity { key: &key, hardware: hardware.as_deref(), wish: &wish })
}
