//! Nodes that announce themselves by Home Assistant's MQTT discovery. Owns which configuration became part of which node, and that a
//! device keeps its node id. What a configuration says is read in [`config`], what a component means in [`components`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Actions, Level};

use super::registry::Registry;
use super::spec::About;
use super::things::ORIGIN;
use crate::codec::Qos;

mod components;
mod config;

use config::Config;

/// What a newer build needs: the raw configurations, so that it reads them in its own way.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// By topic.
    configs: BTreeMap<String, String>,
    /// Node id of each device.
    ids: BTreeMap<String, String>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Discovered {
    /// With a slash at the end.
    prefix: String,
    qos: Qos,
    memory: Memory,
    /// Node id of each configuration.
    nodes: BTreeMap<String, String>,
    /// Components that were said to be unsupported.
    said: BTreeSet<String>,
}

impl Discovered {
    pub(crate) fn new(prefix: &str, qos: Qos) -> Self {
        let prefix = format!("{}/", prefix.trim_end_matches('/'));
        Self { prefix, qos, memory: Memory::default(), nodes: BTreeMap::new(), said: BTreeSet::new() }
    }

    pub(crate) fn filters(&self) -> Vec<String> {
        vec![format!("{}+/+/config", self.prefix), format!("{}+/+/+/config", self.prefix)]
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Makes the nodes that the version before had found.
    pub(crate) fn begin(&mut self, memory: Memory, registry: &mut Registry, out: &mut Actions) {
        self.memory.ids = memory.ids;
        for (topic, payload) in memory.configs {
            self.handle(&topic, payload.as_bytes(), registry, out);
        }
    }

    pub(crate) fn concerns(&self, topic: &str) -> bool {
        topic.starts_with(&self.prefix) && topic.ends_with("/config")
    }

    /// A configuration came, changed, or went (empty).
    pub(crate) fn handle(&mut self, topic: &str, payload: &[u8], registry: &mut Registry, out: &mut Actions) {
        if payload.is_empty() {
            return self.remove(topic, registry);
        }
        if self.memory.configs.get(topic).is_some_and(|known| known.as_bytes() == payload)
            && self.nodes.contains_key(topic)
        {
            return;
        }
        let outcome = self.put(topic, payload, registry, out);
        if let Err(error) = outcome {
            out.log(Level::Warn, format!("entity {topic:?}: {error}"));
        }
    }

    fn put(&mut self, topic: &str, payload: &[u8], registry: &mut Registry, out: &mut Actions) -> Result<(), String> {
        let text = std::str::from_utf8(payload).map_err(|_| "its configuration is not UTF-8")?;
        let (component, object) =
            self.split(topic).ok_or("its topic is not <prefix>/<component>/[<node>/]<object>/config")?;
        let config = Config::parse(text, component, object)?;
        if config.origin() == Some(ORIGIN) {
            // A mirrored thing, shown by us or by another like us: where it is a device, it is one already.
            self.remove(topic, registry);
            return Ok(());
        }
        let found = components::entity(topic, &config, self.qos);
        for component in found.unsupported {
            if self.said.insert(component.clone()) {
                out.log(Level::Info, format!("components of the kind {component:?} are not shown"));
            }
        }
        for warning in found.warnings {
            out.log(Level::Warn, format!("entity {topic:?}: {warning}"));
        }
        if found.entity.fields.is_empty() && found.entity.actions.is_empty() {
            self.remove(topic, registry);
            return Ok(());
        }
        let about = self.about(&config, registry);
        if self.nodes.get(topic).is_some_and(|before| *before != about.id) {
            self.remove(topic, registry);
            self.memory.ids.insert(config.device_key(), about.id.clone());
        }
        registry.put_entity(&about, found.entity)?;
        self.nodes.insert(topic.to_owned(), about.id);
        self.memory.configs.insert(topic.to_owned(), text.to_owned());
        Ok(())
    }

    fn remove(&mut self, topic: &str, registry: &mut Registry) {
        self.memory.configs.remove(topic);
        let Some(id) = self.nodes.remove(topic) else { return };
        registry.remove_entity(&id, topic);
        if !registry.has(&id) {
            self.memory.ids.retain(|_, other| *other != id);
        }
    }

    /// Component and object id; between them may stand a node id, which only makes the topic unique.
    fn split<'a>(&self, topic: &'a str) -> Option<(&'a str, &'a str)> {
        let path = topic.strip_prefix(&self.prefix)?.strip_suffix("/config")?;
        let (component, object) = path.split_once('/')?;
        Some((component, object.rsplit('/').next().unwrap_or(object)))
    }

    /// A device keeps the id that it got first, whatever it is called later.
    fn about(&mut self, config: &Config, registry: &Registry) -> About {
        let key = config.device_key();
        let id = match self.memory.ids.get(&key) {
            Some(id) => id.clone(),
            None => {
                let id = self.free_id(&config.device_slug(), &key, registry);
                self.memory.ids.insert(key, id.clone());
                id
            }
        };
        About { id, label: config.device_name(), extras: config.extras() }
    }

    fn free_id(&self, wish: &str, key: &str, registry: &Registry) -> String {
        let is_free = |id: &String| !registry.has(id) && !self.memory.ids.values().any(|other| other == id);
        let qualified = [wish.to_owned(), format!("{wish}-{}", config::slug(key, '-'))];
        let numbered = (2..).map(|number| format!("{wish}-{number}"));
        qualified.into_iter().chain(numbered).find(is_free).unwrap_or_default()
    }
}
