//! One node: its entities in a stable order, its fields with unique names, its health. Owns what the host is told of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Actions, FieldNumber, NodeNumber, NodeState};

use super::json::Document;
use super::registry::text_of;
use super::spec::{About, Action, Availability, Entity, FieldSpec, Mode};

/// The host keeps no more; what comes after is left out.
const FIELDS_MAX: usize = 512;
/// The same of commands.
const ACTIONS_MAX: usize = 64;

/// What was heard of a node's health; survives a swap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeMemory {
    /// A reading came.
    pub(crate) heard: bool,
    /// Topic and what it said last, the newest at the end.
    pub(crate) availability: Vec<(String, bool)>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) number: NodeNumber,
    pub(crate) about: About,
    pub(crate) memory: NodeMemory,
    /// Changed since it was declared.
    pub(crate) is_dirty: bool,
    pub(crate) is_declared: bool,
    is_unreachable: bool,
    /// What its convention says of it; what is heard does not count then.
    told: Option<NodeState>,
    /// Something was heard that may change the state.
    is_health_stale: bool,
    state: NodeState,
    /// Sorted by key.
    entities: Vec<Entity>,
    /// Entity and field of each field number.
    places: Vec<(usize, usize)>,
    names: Vec<String>,
}

impl Node {
    pub(crate) fn new(number: NodeNumber, about: About, memory: NodeMemory) -> Self {
        Self {
            number,
            about,
            memory,
            is_dirty: false,
            is_declared: false,
            is_unreachable: false,
            told: None,
            is_health_stale: true,
            state: NodeState::Unknown,
            entities: Vec::new(),
            places: Vec::new(),
            names: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    pub(crate) fn entity(&self, key: &str) -> Option<&Entity> {
        self.entities.iter().find(|entity| entity.key == key)
    }

    /// Gives the entity that was replaced.
    pub(crate) fn put(&mut self, entity: Entity) -> Option<Entity> {
        let at = self.entities.partition_point(|other| other.key < entity.key);
        match self.entities.get_mut(at).filter(|other| other.key == entity.key) {
            Some(place) => Some(std::mem::replace(place, entity)),
            None => {
                self.entities.insert(at, entity);
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Entity> {
        let at = self.entities.iter().position(|entity| entity.key == key)?;
        Some(self.entities.remove(at))
    }

    /// Numbers the fields and gives each a name of its own.
    pub(crate) fn arrange(&mut self) {
        self.places.clear();
        self.names.clear();
        let mut taken = BTreeSet::new();
        for (entity_at, entity) in self.entities.iter().enumerate() {
            for (field_at, field) in entity.fields.iter().enumerate() {
                if self.places.len() < FIELDS_MAX {
                    let name = free_name(field, &taken);
                    taken.insert(name.clone());
                    self.names.push(name);
                    self.places.push((entity_at, field_at));
                }
            }
        }
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = &String> {
        self.entities.iter().flat_map(Entity::topics)
    }

    pub(crate) fn field(&self, number: FieldNumber) -> Option<&FieldSpec> {
        let (entity, field) = self.places.get(usize::from(number))?;
        self.entities.get(*entity)?.fields.get(*field)
    }

    pub(crate) fn field_name(&self, number: FieldNumber) -> Option<&String> {
        self.names.get(usize::from(number))
    }

    pub(crate) fn number_of_field(&self, name: &str) -> Option<FieldNumber> {
        self.names.iter().position(|other| other == name).and_then(|at| FieldNumber::try_from(at).ok())
    }

    /// The number of a field of an entity, by its position there.
    pub(crate) fn number_at(&self, key: &str, position: usize) -> Option<FieldNumber> {
        let entity = self.entities.binary_search_by(|entity| entity.key.as_str().cmp(key)).ok()?;
        self.places.binary_search(&(entity, position)).ok().and_then(|at| FieldNumber::try_from(at).ok())
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.entities.iter().map(|entity| entity.key.clone()).collect()
    }

    /// The convention knows of its health; none: what is heard decides.
    pub(crate) fn tell(&mut self, state: Option<NodeState>) {
        (self.told, self.is_health_stale) = (state, true);
    }

    /// In the order of their numbers, each with whether settings declared it.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&FieldSpec, bool)> {
        self.places.iter().filter_map(|(entity, field)| {
            let entity = self.entities.get(*entity)?;
            Some((entity.fields.get(*field)?, entity.subscription.is_none()))
        })
    }

    /// What it can be told to do, each by a name of its own.
    pub(crate) fn actions(&self) -> Vec<(String, &Action)> {
        let mut named: Vec<(String, &Action)> = Vec::new();
        for action in self.entities.iter().flat_map(|entity| &entity.actions).take(ACTIONS_MAX) {
            let numbered = (2..).map(|number| format!("{}_{number}", action.name));
            let mut names = std::iter::once(action.name.clone()).chain(numbered);
            let free = names.find(|name| named.iter().all(|(taken, _)| taken != name));
            named.extend(free.map(|name| (name, action)));
        }
        named
    }

    pub(crate) fn availability(&self) -> impl Iterator<Item = &Availability> {
        self.entities.iter().flat_map(|entity| &entity.availability)
    }

    /// One of the availability topics said something.
    pub(crate) fn hear(&mut self, position: usize, text: &str, document: Option<Document<'_>>) {
        let Some(availability) = self.availability().nth(position) else { return };
        let extracted = availability.extract.get(text, document);
        let said = text_of(&extracted);
        let is_online = if said == availability.online.as_str() {
            true
        } else if said == availability.offline.as_str() {
            false
        } else {
            return;
        };
        let topic = availability.topic.clone();
        self.memory.availability.retain(|(other, _)| *other != topic);
        self.memory.availability.push((topic, is_online));
        self.is_health_stale = true;
    }

    /// A reading came.
    pub(crate) fn hear_reading(&mut self) {
        self.is_health_stale |= !self.memory.heard;
        self.memory.heard = true;
    }

    pub(crate) fn set_reachable(&mut self, is_reachable: bool) {
        (self.is_unreachable, self.is_health_stale) = (!is_reachable, true);
    }

    /// Declares the node if it is new or changed.
    pub(crate) fn declare(&mut self, out: &mut Actions) {
        if !self.is_dirty {
            return;
        }
        (self.is_dirty, self.is_declared) = (false, true);
        self.state = self.health();
        let named = self.fields().zip(&self.names);
        let fields = named.map(|((spec, _), name)| tombolo_sdk::Field { name: name.clone(), ..spec.field.clone() });
        out.put_node(tombolo_sdk::Node {
            label: self.about.label.clone(),
            extras: self.about.extras.clone(),
            commands: self.actions().into_iter().map(|(name, action)| command(name, action)).collect(),
            state: self.state,
            ..tombolo_sdk::Node::new(self.number, &self.about.id, "mqtt.device", fields.collect())
        });
    }

    /// Tells the host if the health is another than before.
    pub(crate) fn tell_state(&mut self, out: &mut Actions) {
        if self.is_dirty || !self.is_health_stale {
            return;
        }
        let health = self.health();
        self.is_health_stale = false;
        if std::mem::replace(&mut self.state, health) != health {
            out.node_state(self.number, self.state);
        }
    }

    fn health(&self) -> NodeState {
        if self.is_unreachable {
            return NodeState::Unknown;
        }
        if let Some(told) = self.told {
            return told;
        }
        let mut topics: Vec<&str> = self.availability().map(|one| one.topic.as_str()).collect();
        topics.sort_unstable();
        topics.dedup();
        let relevant = || self.memory.availability.iter().filter(|(topic, _)| topics.contains(&topic.as_str()));
        let is_online =
            match self.entities.iter().find(|entity| !entity.availability.is_empty()).map(|entity| entity.mode) {
                None => return if self.memory.heard { NodeState::Online } else { NodeState::Unknown },
                Some(_) if relevant().next().is_none() => return NodeState::Unknown,
                Some(Mode::Latest) => relevant().next_back().is_some_and(|(_, is_online)| *is_online),
                Some(Mode::Any) => relevant().any(|(_, is_online)| *is_online),
                Some(Mode::All) if relevant().any(|(_, is_online)| !is_online) => false,
                // One that has said nothing yet leaves it open.
                Some(Mode::All) if relevant().count() < topics.len() => return NodeState::Unknown,
                Some(Mode::All) => true,
            };
        if is_online { NodeState::Online } else { NodeState::Offline }
    }
}

fn command(name: String, action: &Action) -> tombolo_sdk::Command {
    tombolo_sdk::Command { name, label: action.label.clone(), parameters: Vec::new() }
}

fn free_name(field: &FieldSpec, taken: &BTreeSet<String>) -> String {
    let wish = &field.field.name;
    if !taken.contains(wish) {
        return wish.clone();
    }
    let qualified = format!("{wish}_{}", field.qualifier);
    if !field.qualifier.is_empty() && !taken.contains(&qualified) {
        return qualified;
    }
    let mut numbered = (2..).map(|number| format!("{wish}_{number}"));
    numbered.find(|name| !taken.contains(name)).unwrap_or(qualified)
}
