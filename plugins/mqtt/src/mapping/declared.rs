//! Nodes that the settings declare: topic patterns with placeholders to node ids and fields.
//!
//! A pattern without placeholders makes its node at once; one with placeholders makes a node when the first topic matches, with all
//! fields whose topics are then certain. Concrete topics are bound in the registry, so a pattern is matched once per topic.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Constraint, Field, FieldKinds};

use super::hash::Map;
use super::pattern::{Captures, Name, Pattern, covers};
use super::registry::Registry;
use super::settings::{
    AvailabilitySettings, CommandSettings, DeviceSettings, FieldSettings, KindSetting, TypeSetting,
};
use super::spec::{About, Availability, Command, Entity, FieldSpec, Mode};
use super::template::Template;
use super::value::{Extract, Kind};
use crate::codec::Qos;

/// Topics that match nothing are remembered, so that a wildcard does not cost a match each time; so many.
const IGNORED_MAX: usize = 10_000;

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
}

#[derive(Debug)]
struct Device {
    node: Name,
    label: Option<Name>,
    availability: Option<(Pattern, Availability)>,
    fields: Vec<FieldPlan>,
}

#[derive(Debug)]
struct FieldPlan {
    name: Name,
    pattern: Option<Pattern>,
    extract: Extract,
    /// None: the first payload decides.
    kind: Option<Kind>,
    field: Field,
    command: Option<CommandPlan>,
}

#[derive(Debug)]
struct CommandPlan {
    topic: Pattern,
    template: Option<Template>,
    /// Own texts for on and off.
    kind: Option<Kind>,
    qos: Qos,
    retain: bool,
}

/// A node of a device pattern.
#[derive(Debug, Default)]
struct Instance {
    captures: Captures,
    /// By position in the settings and name.
    fields: BTreeMap<(usize, String), FoundField>,
}

#[derive(Debug)]
struct FoundField {
    kind: Kind,
    topics: BTreeSet<String>,
    captures: Captures,
}

impl Declared {
    /// Reads the settings; an error names the device.
    pub(crate) fn new(settings: &[DeviceSettings]) -> Result<Self, String> {
        let devices = settings.iter().map(|device| {
            Device::new(device).map_err(|error| format!("settings: device {:?}: {error}", device.node))
        });
        Ok(Self { devices: devices.collect::<Result<_, _>>()?, ..Self::default() })
    }

    /// Filters to subscribe to, without those that another covers.
    pub(crate) fn filters(&self) -> Vec<String> {
        let all: BTreeSet<String> = self.devices.iter().flat_map(Device::patterns).map(Pattern::filter).collect();
        all.iter().filter(|filter| !all.iter().any(|other| other != *filter && covers(other, filter))).cloned().collect()
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
    pub(crate) fn handle(&mut self, topic: &str, payload: Option<&str>, registry: &mut Registry) -> Result<bool, String> {
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
        self.ignored += usize::from(!is_known);
        if is_known || self.ignored <= IGNORED_MAX {
            self.seen.insert(topic.to_owned(), ());
        }
        if is_known {
            self.memory.topics.insert(topic.to_owned());
        }
        if is_open { self.open.insert(topic.to_owned()) } else { self.open.remove(topic) };
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
        let id = key.1.clone();
        self.instances.insert(key, Instance { captures, fields });
        self.put(at, &id, registry).err()
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

fn guess(
    guesses: &mut BTreeMap<String, Guess>,
    key: String,
    plan: &FieldPlan,
    payload: Option<&str>,
) -> Option<Kind> {
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

impl Device {
    fn new(settings: &DeviceSettings) -> Result<Self, String> {
        let node = Name::parse(&settings.node)?;
        let label = settings.label.as_deref().map(Name::parse).transpose()?;
        let availability = settings.availability.as_ref().map(availability).transpose()?;
        let fields = settings.fields.iter().map(|field| {
            FieldPlan::new(field, &node).map_err(|error| format!("field {:?}: {error}", field.name))
        });
        let device = Self { fields: fields.collect::<Result<_, _>>()?, node, label, availability };
        match device.availability.as_ref().and_then(|(pattern, _)| missing(&device.node, pattern)) {
            Some(name) => Err(format!("availability: its topic lacks {{{name}}}, which node needs")),
            None => Ok(device),
        }
    }

    fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        let availability = self.availability.iter().map(|(pattern, _)| pattern);
        self.fields.iter().filter_map(|field| field.pattern.as_ref()).chain(availability)
    }

    fn without_placeholders(&self) -> Option<(String, Captures)> {
        let captures = Captures::new();
        self.node.fill(&captures).map(|id| (id, captures))
    }

    /// Node, what the placeholders mean, and which field; no field: its availability.
    fn matches(&self, topic: &str) -> Vec<(String, Captures, Option<usize>)> {
        let fields = self.fields.iter().enumerate().filter_map(|(at, field)| Some((field.pattern.as_ref()?, Some(at))));
        let availability = self.availability.iter().map(|(pattern, _)| (pattern, None));
        let matched = fields.chain(availability).filter_map(|(pattern, field)| {
            let captures = pattern.captures(topic)?;
            Some((self.node.fill(&captures)?, captures, field))
        });
        matched.collect()
    }

    /// Fields of known type whose topic, if they have one, is certain.
    fn certain_fields(&self, captures: &Captures) -> BTreeMap<(usize, String), FoundField> {
        let certain = self.fields.iter().enumerate().filter_map(|(at, plan)| {
            let topics = match &plan.pattern {
                Some(pattern) => BTreeSet::from([pattern.topic(captures)?]),
                None => BTreeSet::new(),
            };
            let found = FoundField { kind: plan.kind.clone()?, topics, captures: captures.clone() };
            Some(((at, plan.name.fill(captures)?), found))
        });
        certain.collect()
    }

    fn entity(&self, at: usize, instance: &Instance) -> Entity {
        let fields = instance.fields.iter().filter_map(|((at, name), found)| self.fields.get(*at)?.spec(name, found));
        let availability = self.availability.iter().filter_map(|(pattern, availability)| {
            Some(Availability { topic: pattern.topic(&instance.captures)?, ..availability.clone() })
        });
        Entity {
            key: format!("settings {at:04}"),
            fields: fields.collect(),
            availability: availability.collect(),
            mode: Mode::Latest,
            subscription: None,
        }
    }
}

impl FieldPlan {
    fn new(settings: &FieldSettings, node: &Name) -> Result<Self, String> {
        let pattern = settings.topic.as_deref().map(Pattern::parse).transpose()?;
        let name = Name::parse(&settings.name)?;
        let kind = kind(settings)?;
        match &pattern {
            Some(pattern) => {
                if let Some(name) = missing(node, pattern).or_else(|| missing(&name, pattern)) {
                    return Err(format!("its topic lacks {{{name}}}, which node or name needs"));
                }
            }
            None if settings.command.is_none() => return Err("it has neither topic nor command".into()),
            None if kind.is_none() => return Err("a field without topic needs a type".into()),
            None => {}
        }
        let command = settings.command.as_ref().map(|command| CommandPlan::new(command, kind.as_ref())).transpose()?;
        if let Some(command) = &command {
            let known: BTreeSet<&str> = match &pattern {
                Some(pattern) => pattern.placeholders().collect(),
                None => node.placeholders().collect(),
            };
            if let Some(name) = command.topic.placeholders().find(|name| !known.contains(name)) {
                return Err(format!("its command's topic uses {{{name}}}, which its topic lacks"));
            }
        }
        let control = settings.command.as_ref().map(|command| constraint(command, &settings.members));
        let field = Field {
            unit: settings.unit.clone(),
            kinds: kinds(&settings.kinds),
            control,
            label: settings.label.clone(),
            description: settings.description.clone(),
            ..Field::new("", tombolo_sdk::ValueType::Text)
        };
        let extract = extract(settings.pointer.as_deref(), settings.template.as_deref())?;
        Ok(Self { name, pattern, extract, kind, field, command })
    }

    fn spec(&self, name: &str, found: &FoundField) -> Option<FieldSpec> {
        let command = match &self.command {
            Some(plan) => Some(Command {
                topic: plan.topic.topic(&found.captures)?,
                template: plan.template.clone(),
                kind: plan.kind.clone().unwrap_or_else(|| found.kind.clone()),
                qos: plan.qos,
                retain: plan.retain,
            }),
            None => None,
        };
        let field = Field { name: name.to_owned(), value_type: found.kind.value_type(), ..self.field.clone() };
        Some(FieldSpec {
            field,
            qualifier: String::new(),
            kind: found.kind.clone(),
            topics: found.topics.iter().cloned().collect(),
            extract: self.extract.clone(),
            command,
        })
    }
}

impl CommandPlan {
    fn new(settings: &CommandSettings, kind: Option<&Kind>) -> Result<Self, String> {
        let template = settings.template.as_deref().map(Template::parse).transpose()?;
        if template.as_ref().is_some_and(Template::needs_json) {
            return Err("a command's template knows {{ value }} only".into());
        }
        let topic = Pattern::parse(&settings.topic)?;
        if topic.filter().contains('#') || settings.topic.split('/').any(|level| level == "+") {
            return Err("a command's topic has no wildcards".into());
        }
        let own = match kind {
            Some(Kind::Boolean { on, off }) => Some(Kind::Boolean {
                on: settings.payload_on.clone().unwrap_or_else(|| on.clone()),
                off: settings.payload_off.clone().unwrap_or_else(|| off.clone()),
            }),
            _ => None,
        };
        Ok(Self { topic, template, kind: own, qos: settings.qos, retain: settings.retain })
    }
}

/// A placeholder that the name uses and the pattern does not have.
fn missing(name: &Name, pattern: &Pattern) -> Option<String> {
    let has: BTreeSet<&str> = pattern.placeholders().collect();
    name.placeholders().find(|placeholder| !has.contains(placeholder)).map(str::to_owned)
}

fn availability(settings: &AvailabilitySettings) -> Result<(Pattern, Availability), String> {
    let availability = Availability {
        topic: String::new(),
        online: settings.payload_online.clone(),
        offline: settings.payload_offline.clone(),
        extract: extract(settings.pointer.as_deref(), settings.template.as_deref())?,
    };
    Ok((Pattern::parse(&settings.topic)?, availability))
}

fn extract(pointer: Option<&str>, template: Option<&str>) -> Result<Extract, String> {
    match (pointer, template) {
        (Some(_), Some(_)) => Err("pointer and template exclude each other".into()),
        (Some(pointer), None) => Extract::pointer(pointer),
        (None, Some(template)) => Extract::template(template),
        (None, None) => Ok(Extract::Plain),
    }
}

fn kind(settings: &FieldSettings) -> Result<Option<Kind>, String> {
    let has_texts = settings.payload_on.is_some() || settings.payload_off.is_some();
    Ok(Some(match settings.value_type {
        TypeSetting::Auto if !settings.members.is_empty() => Kind::Member(settings.members.clone()),
        TypeSetting::Auto if !has_texts => return Ok(None),
        TypeSetting::Auto | TypeSetting::Boolean => Kind::Boolean {
            on: settings.payload_on.clone().unwrap_or_default(),
            off: settings.payload_off.clone().unwrap_or_default(),
        },
        TypeSetting::Enumeration if settings.members.is_empty() => return Err("an enumeration needs members".into()),
        TypeSetting::Enumeration => Kind::Member(settings.members.clone()),
        TypeSetting::Quantity => Kind::Quantity,
        TypeSetting::Int32 => Kind::Int32,
        TypeSetting::Int64 => Kind::Int64,
        TypeSetting::Text => Kind::Text,
        TypeSetting::Instant => Kind::Instant,
        TypeSetting::Date => Kind::Date,
        TypeSetting::Colour => Kind::Colour,
    }))
}

fn constraint(command: &CommandSettings, members: &[String]) -> Constraint {
    Constraint {
        minimum: command.minimum,
        maximum: command.maximum,
        pattern: command.pattern.clone(),
        members: members.to_vec(),
    }
}

fn kinds(settings: &[KindSetting]) -> FieldKinds {
    let each = settings.iter().map(|kind| match kind {
        KindSetting::Momentary => FieldKinds::MOMENTARY,
        KindSetting::Peak => FieldKinds::PEAK,
        KindSetting::Status => FieldKinds::STATUS,
        KindSetting::Computed => FieldKinds::COMPUTED,
        KindSetting::Identity => FieldKinds::IDENTITY,
        KindSetting::Historical => FieldKinds::HISTORICAL,
    });
    let all = each.fold(FieldKinds::empty(), |all, kind| all | kind);
    if all.is_empty() { FieldKinds::MOMENTARY } else { all }
}
