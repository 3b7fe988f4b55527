//! Packets to the model and back: the only place with both vocabularies. Owns which of the two ways of mapping a message goes.
//!
//! Order of evaluation: a topic that a node knows is a look-up in the [`registry`]; only what nobody knows is tried as a discovery
//! configuration and then on the declared patterns, once per topic.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Actions, Level, NodeNumber, Setting, Timestamp};

use crate::codec::{Message, Qos};

mod declared;
mod discovered;
mod hash;
mod json;
mod node;
mod pattern;
mod registry;
mod settings;
mod spec;
mod template;
mod things;
mod value;

use declared::Declared;
use discovered::Discovered;
#[cfg(test)]
pub(crate) use hash::number_of;
use registry::Registry;
pub(crate) use registry::{Arrival, Change, Echo};
pub(crate) use settings::{SCHEMA, Settings};
pub(crate) use things::{Memory as ThingsMemory, Things};

/// What a newer build needs to show the same nodes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    declared: declared::Memory,
    discovered: discovered::Memory,
    nodes: BTreeMap<String, node::NodeMemory>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Mapping {
    registry: Registry,
    declared: Declared,
    discovered: Option<Discovered>,
    qos: Qos,
}

impl Mapping {
    /// Reads the settings and shows what needs no message: nodes of the settings, and those of the version before.
    pub(crate) fn new(settings: &Settings, memory: Memory, out: &mut Actions) -> Result<Self, String> {
        let mut registry = Registry::new(settings.max_nodes, memory.nodes);
        let mut declared = Declared::new(&settings.devices)?;
        for trouble in declared.begin(memory.declared, &mut registry) {
            out.log(Level::Warn, trouble);
        }
        let mut discovered = settings.discovery_prefix.as_deref().map(|prefix| Discovered::new(prefix, settings.qos));
        if let Some(discovered) = &mut discovered {
            discovered.begin(memory.discovered, &mut registry, out);
        }
        Ok(Self { registry, declared, discovered, qos: settings.qos })
    }

    pub(crate) fn memory(&self) -> Memory {
        Memory {
            declared: self.declared.memory().clone(),
            discovered: self.discovered.as_ref().map(|discovered| discovered.memory().clone()).unwrap_or_default(),
            nodes: self.registry.memory(),
        }
    }

    /// Filters that are always wanted.
    pub(crate) fn filters(&self) -> Vec<(String, Qos)> {
        let discovery = self.discovered.iter().flat_map(Discovered::filters);
        self.declared.filters().into_iter().chain(discovery).map(|filter| (filter, self.qos)).collect()
    }

    /// Takes a message; gives how many reports it made.
    pub(crate) fn handle(&mut self, arrival: &Arrival<'_>, out: &mut Actions) -> u32 {
        // A discovered node may know a topic that the settings mean as well.
        let is_shared = self.discovered.is_some() && !self.declared.is_empty() && self.declared.is_new(arrival.topic);
        if (is_shared && !self.is_discovery(arrival.topic)) || self.declared.is_open(arrival.topic) {
            self.offer(arrival, out);
        }
        match self.registry.handle(arrival, out) {
            Some(reports) => reports,
            None => self.handle_unknown(arrival, out),
        }
    }

    fn handle_unknown(&mut self, arrival: &Arrival<'_>, out: &mut Actions) -> u32 {
        if let Some(discovered) = self.discovered.as_mut().filter(|discovered| discovered.concerns(arrival.topic)) {
            discovered.handle(arrival.topic, arrival.payload, &mut self.registry, out);
            return 0;
        }
        if self.declared.is_new(arrival.topic) && self.offer(arrival, out) {
            return self.registry.handle(arrival, out).unwrap_or(0);
        }
        0
    }

    fn is_discovery(&self, topic: &str) -> bool {
        self.discovered.as_ref().is_some_and(|discovered| discovered.concerns(topic))
    }

    /// Tries the declared patterns.
    fn offer(&mut self, arrival: &Arrival<'_>, out: &mut Actions) -> bool {
        let payload = std::str::from_utf8(arrival.payload).ok();
        match self.declared.handle(arrival.topic, payload, &mut self.registry) {
            Ok(is_known) => is_known,
            Err(trouble) => {
                out.log(Level::Warn, trouble);
                false
            }
        }
    }

    /// The message that sets a field, and what to report of it once it is delivered. None: it cannot be set.
    pub(crate) fn command(&self, node: NodeNumber, setting: &Setting) -> Option<(Message, Option<Echo>)> {
        self.registry.command(node, setting)
    }

    /// The message that has a node do something. None: it cannot.
    pub(crate) fn action(&self, node: NodeNumber, name: &str) -> Option<Message> {
        self.registry.action(node, name)
    }

    pub(crate) fn has_node(&self, node: NodeNumber) -> bool {
        self.registry.node_by_number(node).is_some()
    }

    pub(crate) fn assume(&mut self, echo: &Echo, now: Timestamp, out: &mut Actions) {
        self.registry.assume(echo, now, out);
    }

    pub(crate) fn forget_news(&mut self) {
        self.registry.forget_news();
    }

    pub(crate) fn set_reachable(&mut self, is_reachable: bool, out: &mut Actions) {
        self.registry.set_reachable(is_reachable, out);
    }

    /// Tells the host of nodes that came, changed or went; gives whether there were any.
    pub(crate) fn flush(&mut self, out: &mut Actions) -> bool {
        self.registry.flush(out)
    }

    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        if self.registry.has_changes() { self.registry.take_changes() } else { Vec::new() }
    }
}
