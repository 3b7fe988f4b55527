//! Packets to the model and back: the only place with both vocabularies. Owns which of the two ways of mapping a message goes.
//!
//! Order of evaluation: a topic that a node knows is a look-up in the [`registry`]; only what nobody knows is offered to the conventions
//! that are switched on (see [`convention`]), in the order of the settings, and then to the declared patterns, once per topic.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Actions, Level, NodeNumber, Setting, Timestamp};

use crate::codec::Qos;

mod convention;
mod declared;
mod discovered;
mod hash;
mod homie;
mod json;
mod names;
mod node;
mod pattern;
mod registry;
mod settings;
mod shelly;
mod sparkplug;
mod spec;
mod tasmota;
mod template;
mod things;
mod time;
mod tree;
mod value;
mod zigbee2mqtt;

use convention::{Convention, Place};
use declared::Declared;
use discovered::Discovered;
pub(crate) use hash::Mix;
#[cfg(test)]
pub(crate) use hash::number_of;
use names::Names;
use registry::Registry;
pub(crate) use registry::{Arrival, Change, Echo, Order};
use settings::ConventionName;
pub(crate) use settings::{SCHEMA, Settings};
#[cfg(test)]
pub(crate) use sparkplug::play;
pub(crate) use spec::{Confirm, Stamp};
pub(crate) use things::{Memory as ThingsMemory, Things};

/// What a newer build needs to show the same nodes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    declared: declared::Memory,
    /// By the convention's name.
    #[serde(default)]
    conventions: BTreeMap<ConventionName, convention::Memory>,
    #[serde(default)]
    names: names::Memory,
    nodes: BTreeMap<String, node::NodeMemory>,
    /// COMPAT: how builds wrote it that knew one convention.
    #[serde(default, skip_serializing)]
    discovered: Before,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Before {
    configs: convention::Memory,
    ids: names::Memory,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Mapping {
    registry: Registry,
    names: Names,
    declared: Declared,
    conventions: Vec<(ConventionName, Box<dyn Convention>)>,
    /// A convention was told something.
    is_unsettled: bool,
    qos: Qos,
}

impl Mapping {
    /// Reads the settings and shows what needs no message: nodes of the settings, and those of the version before. `client_id` is our name
    /// at the broker, in case somebody has to answer us.
    pub(crate) fn new(
        settings: &Settings,
        client_id: &str,
        mut memory: Memory,
        out: &mut Actions,
    ) -> Result<Self, String> {
        let mut registry = Registry::new(settings.max_nodes, memory.nodes);
        let mut declared = Declared::new(&settings.devices)?;
        for trouble in declared.begin(memory.declared, &mut registry) {
            out.log(Level::Warn, trouble);
        }
        memory.names.append(&mut memory.discovered.ids);
        if !memory.discovered.configs.is_empty() {
            memory.conventions.insert(ConventionName::Homeassistant, memory.discovered.configs);
        }
        let names = Names::new(memory.names);
        let conventions =
            settings.conventions().filter_map(|name| Some((name, convention(name, settings, client_id)?)));
        let mut mapping = Self {
            registry,
            names,
            declared,
            conventions: conventions.collect(),
            is_unsettled: true,
            qos: settings.qos,
        };
        mapping.each(|name, convention, place| {
            convention.begin(memory.conventions.remove(&name).unwrap_or_default(), place, out);
        });
        Ok(mapping)
    }

    /// Does the same with every convention.
    fn each(&mut self, mut act: impl FnMut(ConventionName, &mut dyn Convention, &mut Place<'_>)) {
        let Self { registry, names, conventions, qos, .. } = self;
        for (rank, (name, convention)) in conventions.iter_mut().enumerate() {
            act(*name, convention.as_mut(), &mut Place { registry, names, rank, qos: *qos });
        }
    }

    pub(crate) fn memory(&self) -> Memory {
        Memory {
            declared: self.declared.memory().clone(),
            conventions: self.conventions.iter().map(|(name, convention)| (*name, convention.memory())).collect(),
            names: self.names.memory().clone(),
            nodes: self.registry.memory(),
            discovered: Before::default(),
        }
    }

    /// Filters that are always wanted.
    pub(crate) fn filters(&self) -> Vec<(String, Qos)> {
        let conventions = self.conventions.iter().flat_map(|(_, convention)| convention.filters());
        self.declared.filters().into_iter().chain(conventions).map(|filter| (filter, self.qos)).collect()
    }

    /// Takes a message; gives how many reports it made.
    pub(crate) fn handle(&mut self, arrival: &Arrival<'_>, out: &mut Actions) -> u32 {
        // A discovered node may know a topic that the settings mean as well.
        let is_shared =
            !self.conventions.is_empty() && !self.declared.is_empty() && self.declared.is_new(arrival.topic);
        if (is_shared && !self.is_announcement(arrival.topic)) || self.declared.is_open(arrival.topic) {
            self.offer(arrival, out);
        }
        match self.registry.handle(arrival, out) {
            Some(reports) => reports,
            None => self.handle_unknown(arrival, out),
        }
    }

    fn handle_unknown(&mut self, arrival: &Arrival<'_>, out: &mut Actions) -> u32 {
        let Self { registry, names, conventions, qos, .. } = self;
        let mut all = conventions.iter_mut().enumerate();
        if let Some((rank, (_, convention))) = all.find(|(_, (_, convention))| convention.concerns(arrival.topic)) {
            self.is_unsettled = true;
            return convention.handle(arrival, &mut Place { registry, names, rank, qos: *qos }, out);
        }
        if self.declared.is_new(arrival.topic) && self.offer(arrival, out) {
            return self.registry.handle(arrival, out).unwrap_or(0);
        }
        0
    }

    /// What came together has been handled.
    pub(crate) fn settle(&mut self, out: &mut Actions) {
        if !std::mem::take(&mut self.is_unsettled) {
            return;
        }
        self.each(|_, convention, place| convention.settle(place, out));
        // A device that one convention gave up may be another's.
        if std::mem::take(&mut self.names.was_released) {
            self.each(|_, convention, place| {
                convention.show_again(place, out);
                convention.settle(place, out);
            });
            self.names.was_released = false;
        }
    }

    fn is_announcement(&self, topic: &str) -> bool {
        self.conventions.iter().any(|(_, convention)| convention.concerns(topic))
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

    /// How a field is set; `stamp` has what an answer will name. None: it cannot be set.
    pub(crate) fn command(&self, node: NodeNumber, setting: &Setting, stamp: Stamp) -> Option<Order> {
        let mut order = self.registry.command(node, setting, stamp)?;
        if self.conventions.iter().any(|(_, convention)| convention.is_already(node, setting)) {
            order.confirm = Confirm::Broker;
        }
        Some(order)
    }

    /// How a node is made to do something. None: it cannot.
    pub(crate) fn action(&self, node: NodeNumber, name: &str, stamp: Stamp) -> Option<Order> {
        self.registry.action(node, name, stamp)
    }

    pub(crate) fn has_node(&self, node: NodeNumber) -> bool {
        self.registry.node_by_number(node).is_some()
    }

    /// The name of a field.
    pub(crate) fn field_name(&self, node: NodeNumber, setting: &Setting) -> Option<String> {
        self.registry.node_by_number(node)?.field_name(setting.field).cloned()
    }

    pub(crate) fn number_of_field(&self, node: NodeNumber, name: &str) -> Option<u16> {
        self.registry.node_by_number(node)?.number_of_field(name)
    }

    pub(crate) fn assume(&mut self, echo: &Echo, now: Timestamp, out: &mut Actions) {
        self.registry.assume(echo, now, out);
    }

    pub(crate) fn forget_news(&mut self) {
        self.registry.forget_news();
    }

    /// A connection to the broker begins.
    pub(crate) fn handle_online(&mut self, now: Timestamp, out: &mut Actions) {
        self.each(|_, convention, place| convention.handle_online(now, place, out));
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

/// None: the settings leave out what it needs.
fn convention(name: ConventionName, settings: &Settings, client_id: &str) -> Option<Box<dyn Convention>> {
    Some(match name {
        ConventionName::Homeassistant => Box::new(Discovered::new(settings.discovery_prefix.as_deref()?)),
        ConventionName::Homie => Box::new(homie::Homie::new(&settings.homie_topics)),
        ConventionName::Sparkplug => Box::new(sparkplug::Sparkplug::new(&settings.sparkplug_groups)),
        ConventionName::Shelly => Box::new(shelly::Shelly::new(&settings.shelly_prefixes, client_id)),
        ConventionName::Tasmota => Box::new(tasmota::Tasmota::default()),
        ConventionName::Zigbee2mqtt => Box::new(zigbee2mqtt::Zigbee2mqtt::new(&settings.zigbee2mqtt_topics)),
    })
}
