//! Nodes that the settings declare: topic patterns with placeholders to node ids and fields.
//!
//! A pattern without placeholders makes its node at once; one with placeholders makes a node when the first topic matches, with all
//! fields whose topics are then certain. Concrete topics are bound in the registry, so a pattern is matched once per topic.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::hash::Map;
use super::pattern::{Captures, Pattern, covers};
use super::registry::Registry;
use super::settings::DeviceSettings;
use super::spec::About;
use super::value::Kind;

mod plan;

use plan::{Device, FieldPlan, FoundField, Instance};

/// Topics that match nothing are remembered, so that a wildcard does not cost a match each time; so many.
const IGNORED_MAX: usize = 10_000;
/// Topics that may be bound: what max_nodes cannot bound is a node with ever more fields.
const TOPICS_MAX: usize = 100_000;
/// Topics that may feed one node, for the same reason; the host keeps 512 fields of a node.
const TOPICS_PER_NODE_MAX: usize = 512;

/// What a newer build needs to make the same nodes at once.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Topics that matched.
    topics: BTreeSet<String>,
    /// Types of fields that declared none, by node and field.
    guesses: BTreeMap<String, Guess>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Guess {
    Quantity,
    Boolean,
    Text,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    devices: Vec<Device>,
    instances: BTreeMap<(usize, String), Instance>,
    memory: Memory,
    /// Bound topics of which a field still waits for its first value.
    open: BTreeSet<String>,
    /// Topics that were matched against the patterns already.
    seen: Map<String, ()>,
    ignored: usize,
    /// Topics that became bound and were not matched yet: another pattern may mean them too.
    unmatched: Vec<String>,
    /// That something was left out is said once.
    was_full_said: bool,
}

impl Declared {
    /// Reads the settings; an error names the device.
    pub(crate) fn new(settings: &[DeviceSettings]) -> Result<Self, String> {
        let devices = settings
            .iter()
            .map(|device| Device::new(device).map_err(|error| format!("settings: device {:?}: {error}", device.node)));
        Ok(Self { devices: devices.collect::<Result<_, _>>()?, ..Self::default() })
    }

    /// Filters to subscribe to, without those that another covers.
    pub(crate) fn filters(&self) -> Vec<String> {
        let all: BTreeSet<String> = self.devices.iter().flat_map(Device::patterns).map(Pattern::filter).collect();
        all.iter()
            .filter(|filter| !all.iter().any(|other| other != *filter && covers(other, filter)))
            .cloned()
            .collect()
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Makes the nodes that need no message, and those that the version before had found.
    pub(crate) fn begin(&mut self, memory: Memory, registry: &mut Registry) -> Vec<String> {
        self.memory.guesses = memory.guesses;
        let mut trouble = Vec::new();
        for at in 0..self.devices.len() {
            if let Some((id, captures)) = self.devices.get(at).and_then(Device::without_placeholders) {
                trouble.extend(self.instance(at, id, captures, registry));
            }
        }
        trouble.extend(self.match_bound(registry).err());
        for topic in memory.topics {
            trouble.extend(self.handle(&topic, None, registry).err());
        }
        trouble
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// Whether no pattern was tried on this topic yet.
    pub(crate) fn is_new(&self, topic: &str) -> bool {
        !self.devices.is_empty() && !self.seen.contains_key(topic)
    }

    /// Whether a field of this topic still waits for its first value.
    pub(crate) fn is_open(&self, topic: &str) -> bool {
        !self.open.is_empty() && self.open.contains(topic)
    }

    /// Binds a topic that no node knows yet; gives whether a pattern matched.
    pub(crate) fn handle(
        &mut self,
        topic: &str,
        payload: Option<&str>,
        registry: &mut Registry,
    ) -> Result<bool, String> {
        let is_known = self.match_topic(topic, payload, registry)?;
        self.match_bound(registry)?;
        Ok(is_known)
    }

    fn match_bound(&mut self, registry: &mut Registry) -> Result<(), String> {
        while let Some(topic) = self.unmatched.pop() {
            if self.is_new(&topic) {
                self.match_topic(&topic, None, registry)?;
            }
        }
        Ok(())
    }

    fn match_topic(&mut self, topic: &str, payload: Option<&str>, registry: &mut Registry) -> Result<bool, String> {
        let outcome = if self.memory.topics.len() < TOPICS_MAX || self.memory.topics.contains(topic) {
            self.try_topic(topic, payload, registry)
        } else {
            Err(format!("topic {topic:?} is left out: there are {TOPICS_MAX} already"))
        };
        let is_known = outcome.as_ref().is_ok_and(|is_known| *is_known);
        self.ignored += usize::from(!is_known);
        if is_known || self.ignored <= IGNORED_MAX {
            self.seen.insert(topic.to_owned(), ());
        }
        match outcome {
            Err(_) if std::mem::replace(&mut self.was_full_said, true) => Ok(false),
            outcome => outcome,
        }
    }

    fn try_topic(&mut self, topic: &str, payload: Option<&str>, registry: &mut Registry) -> Result<bool, String> {
        let (mut is_known, mut is_open) = (false, false);
        for at in 0..self.devices.len() {
            let Some(matched) = self.devices.get(at).map(|device| device.matches(topic)) else { continue };
            for (id, captures, field) in matched {
                is_known = true;
                self.instance(at, id.clone(), captures.clone(), registry).map_or(Ok(()), Err)?;
                if let Some(field) = field {
                    is_open |= !self.add(at, &id, field, topic, &captures, payload, registry)?;
                }
            }
        }
        if is_known {
            self.memory.topics.insert(topic.to_owned());
        }
        if is_open {
            self.open.insert(topic.to_owned())
        } else {
            self.open.remove(topic)
        };
        Ok(is_known)
    }

    /// Makes a node with its certain fields, if it is not there.
    fn instance(&mut self, at: usize, id: String, captures: Captures, registry: &mut Registry) -> Option<String> {
        let key = (at, id);
        if self.instances.contains_key(&key) {
            return None;
        }
        let device = self.devices.get(at)?;
        let own: BTreeSet<&str> = device.node.placeholders().collect();
        let captures: Captures = captures.into_iter().filter(|(name, _)| own.contains(name.as_str())).collect();
        let fields = device.certain_fields(&captures);
        self.unmatched.extend(fields.values().flat_map(|field| field.topics.iter().cloned()));
        let id = key.1.clone();
        self.instances.insert(key, Instance { captures, fields });
        let refused = self.put(at, &id, registry).err();
        if refused.is_some() {
            self.instances.remove(&(at, id));
        }
        refused
    }

    /// Gives whether the field's type is known.
    #[allow(clippy::too_many_arguments)]
    fn add(
        &mut self,
        at: usize,
        id: &str,
        field: usize,
        topic: &str,
        captures: &Captures,
        payload: Option<&str>,
        registry: &mut Registry,
    ) -> Result<bool, String> {
        let Some(plan) = self.devices.get(at).and_then(|device| device.fields.get(field)) else { return Ok(true) };
        let Some(name) = plan.name.fill(captures) else { return Ok(true) };
        let instance = self.instances.get(&(at, id.to_owned()));
        let topics = instance.map_or(0, Instance::topics);
        if topics >= TOPICS_PER_NODE_MAX {
            return Err(format!("node {id:?}: topic {topic:?} is left out: it has {TOPICS_PER_NODE_MAX} already"));
        }
        let guess_key = format!("{id}\n{name}");
        let Some(kind) = plan.kind.clone().or_else(|| guess(&mut self.memory.guesses, guess_key, plan, payload)) else {
            return Ok(false);
        };
        let Some(instance) = self.instances.get_mut(&(at, id.to_owned())) else { return Ok(true) };
        let found = instance.fields.entry((field, name)).or_insert_with(|| FoundField {
            kind,
            topics: BTreeSet::new(),
            captures: captures.clone(),
        });
        if found.topics.insert(topic.to_owned()) || !registry.has(id) {
            self.put(at, id, registry)?;
        }
        Ok(true)
    }

    fn put(&self, at: usize, id: &str, registry: &mut Registry) -> Result<(), String> {
        let key = (at, id.to_owned());
        let (Some(device), Some(instance)) = (self.devices.get(at), self.instances.get(&key)) else { return Ok(()) };
        let label = device.label.as_ref().and_then(|label| label.fill(&instance.captures)).unwrap_or_default();
        let about = About { id: id.to_owned(), label, extras: Vec::new() };
        registry.put_entity(&about, device.entity(at, instance))
    }
}

fn guess(guesses: &mut BTreeMap<String, Guess>, key: String, plan: &FieldPlan, payload: Option<&str>) -> Option<Kind> {
    if let Some(guess) = guesses.get(&key) {
        return Some(guess.kind());
    }
    let (payload, mut tape) = (payload?, super::json::Tape::new());
    let document = super::json::Document::parse(payload, &mut tape).ok().filter(|_| plan.extract.needs_json());
    let kind = Kind::guess(&plan.extract.get(payload, document))?;
    guesses.insert(key, Guess::of(&kind));
    Some(kind)
}

impl Guess {
    fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Quantity => Self::Quantity,
            Kind::Boolean { .. } => Self::Boolean,
            _ => Self::Text,
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Quantity => Kind::Quantity,
            Self::Boolean => Kind::boolean(),
            Self::Text => Kind::Text,
        }
    }
}
