//! What the settings say of devices, read once: patterns, names, types, commands. Owns what is refused and with which sentence.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_sdk::{Constraint, Field, FieldKinds};

use crate::codec::Qos;
use crate::mapping::pattern::{Captures, Name, Pattern};
use crate::mapping::settings::{
    ActionSettings, AvailabilitySettings, CommandSettings, DeviceSettings, FieldSettings, KindSetting, TypeSetting,
};
use crate::mapping::spec::{Action, Availability, Command, Confirm, Entity, FieldSpec, Mode, Payload, Shape};
use crate::mapping::template::Template;
use crate::mapping::value::{Extract, Kind};

/// Devices that follow one pattern.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) node: Name,
    pub(super) label: Option<Name>,
    availability: Option<(Pattern, Availability)>,
    pub(super) fields: Vec<FieldPlan>,
    actions: Vec<(Pattern, Action)>,
}

/// One field of them.
#[derive(Debug)]
pub(super) struct FieldPlan {
    pub(super) name: Name,
    pattern: Option<Pattern>,
    pub(super) extract: Extract,
    /// None: the first payload decides.
    pub(super) kind: Option<Kind>,
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
pub(super) struct Instance {
    pub(super) captures: Captures,
    /// By position in the settings and name.
    pub(super) fields: BTreeMap<(usize, String), FoundField>,
}

impl Instance {
    /// Topics that feed it; a field that can only be set counts as one.
    pub(super) fn topics(&self) -> usize {
        self.fields.values().map(|field| field.topics.len().max(1)).sum()
    }
}

/// A field of a node, with the topics found so far.
#[derive(Debug)]
pub(super) struct FoundField {
    pub(super) kind: Kind,
    pub(super) topics: BTreeSet<String>,
    pub(super) captures: Captures,
}

impl Device {
    pub(super) fn new(settings: &DeviceSettings) -> Result<Self, String> {
        let node = Name::parse(&settings.node)?;
        let label = settings.label.as_deref().map(Name::parse).transpose()?;
        let availability = settings.availability.as_ref().map(availability).transpose()?;
        let fields = settings
            .fields
            .iter()
            .map(|field| FieldPlan::new(field, &node).map_err(|error| format!("field {:?}: {error}", field.name)));
        let actions = settings
            .commands
            .iter()
            .map(|command| action(command, &node).map_err(|error| format!("command {:?}: {error}", command.name)));
        let actions = actions.collect::<Result<_, _>>()?;
        let device = Self { fields: fields.collect::<Result<_, _>>()?, node, label, availability, actions };
        match device.availability.as_ref().and_then(|(pattern, _)| missing(&device.node, pattern)) {
            Some(name) => Err(format!("availability: its topic lacks {{{name}}}, which node needs")),
            None => Ok(device),
        }
    }

    pub(super) fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        let availability = self.availability.iter().map(|(pattern, _)| pattern);
        self.fields.iter().filter_map(|field| field.pattern.as_ref()).chain(availability)
    }

    pub(super) fn without_placeholders(&self) -> Option<(String, Captures)> {
        let captures = Captures::new();
        self.node.fill(&captures).map(|id| (id, captures))
    }

    /// Node, what the placeholders mean, and which field; no field: its availability.
    pub(super) fn matches(&self, topic: &str) -> Vec<(String, Captures, Option<usize>)> {
        let fields = self.fields.iter().enumerate().filter_map(|(at, field)| Some((field.pattern.as_ref()?, Some(at))));
        let availability = self.availability.iter().map(|(pattern, _)| (pattern, None));
        let matched = fields.chain(availability).filter_map(|(pattern, field)| {
            let captures = pattern.captures(topic)?;
            Some((self.node.fill(&captures)?, captures, field))
        });
        matched.collect()
    }

    /// Fields of known type whose topic, if they have one, is certain.
    pub(super) fn certain_fields(&self, captures: &Captures) -> BTreeMap<(usize, String), FoundField> {
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

    pub(super) fn entity(&self, at: usize, instance: &Instance) -> Entity {
        let fields = instance.fields.iter().filter_map(|((at, name), found)| self.fields.get(*at)?.spec(name, found));
        let availability = self.availability.iter().filter_map(|(pattern, availability)| {
            Some(Availability { topic: pattern.topic(&instance.captures)?, ..availability.clone() })
        });
        let actions = self.actions.iter().filter_map(|(pattern, action)| {
            Some(Action { topic: pattern.topic(&instance.captures)?, ..action.clone() })
        });
        Entity {
            fields: fields.collect(),
            actions: actions.collect(),
            availability: availability.collect(),
            mode: Mode::Latest,
            ..Entity::new(&format!("settings {at:04}"), None)
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
                shape: plan.template.clone().map_or(Shape::Plain, Shape::Template),
                confirm: Confirm::Broker,
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
            more: Vec::new(),
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

fn action(settings: &ActionSettings, node: &Name) -> Result<(Pattern, Action), String> {
    if settings.name == "settings" || settings.name.starts_with("query.") {
        return Err("the name means something else to the host".into());
    }
    let topic = Pattern::parse(&settings.topic)?;
    if topic.filter().contains('#') || settings.topic.split('/').any(|level| level == "+") {
        return Err("a command's topic has no wildcards".into());
    }
    let known: BTreeSet<&str> = node.placeholders().collect();
    if let Some(name) = topic.placeholders().find(|name| !known.contains(name)) {
        return Err(format!("its topic uses {{{name}}}, which node lacks"));
    }
    let ActionSettings { name, label, payload, qos, retain, .. } = settings.clone();
    Ok((topic, Action { name, label, topic: String::new(), payload: Payload::Text(payload), qos, retain }))
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
