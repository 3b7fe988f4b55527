//! All nodes, and which topic concerns which of their fields. Owns the hot path from a message to a report.
//!
//! Order of evaluation of a message: one look-up by topic; the payload is checked as text and, if a field needs it, as JSON, once;
//! then each bound field takes its value out of it, and each node gets one report. What does not fit is logged once per topic.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Actions, NodeNumber, NodeState, Sample, Setting, Timestamp, Value};

use super::hash::{Map, number_of};
use super::json::{Scalar, Tape};
use super::node::{Node, NodeMemory};
use super::spec::{About, Confirm, Entity, Payload, Stamp};
use super::template::Extracted;
use crate::codec::{Message, Qos};

mod reading;

pub(super) use reading::text_of;
use reading::{Reading, report, report_all, warn};

/// What the session is to do, or learnt, because of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Subscribe(String, Qos),
    Unsubscribe(String),
    /// A question to a thing, once what was subscribed is.
    Ask(Message),
    /// A thing answered the command of this token.
    Answered(u64, Result<(), String>),
}

/// A message that carries out a wish, and what becomes of it.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) message: Message,
    /// What to report once it is delivered, where nothing else tells.
    pub(crate) echo: Option<Echo>,
    pub(crate) confirm: Confirm,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    nodes: Vec<Option<Node>>,
    free: Vec<usize>,
    ids: Map<String, usize>,
    numbers: Map<NodeNumber, usize>,
    topics: Map<String, Topic>,
    subscriptions: Map<String, u32>,
    /// Of nodes that were there before a swap.
    memory: BTreeMap<String, NodeMemory>,
    dirty: Vec<usize>,
    removed: Vec<NodeNumber>,
    changes: Vec<Change>,
    tape: Tape,
    nodes_max: usize,
    /// Counts connections to the broker.
    link: u32,
}

#[derive(Debug, Default)]
struct Topic {
    bindings: Vec<Binding>,
    needs_json: bool,
    is_declared: bool,
    warned: bool,
    /// The link on which it last brought news, which is anything not retained.
    news_on: u32,
}

#[derive(Clone, Copy, Debug)]
struct Binding {
    slot: usize,
    role: Role,
}

#[derive(Clone, Copy, Debug)]
enum Role {
    /// Position of the field in the node.
    Field(u16),
    /// The same, at another place of its list.
    More(u16, usize),
    Availability(usize),
}

/// A value that was set where no topic tells the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Echo {
    node: NodeNumber,
    field: String,
    /// As the field would read it.
    text: String,
}

/// What a message is and whether its source waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) receipt: Option<u64>,
    /// Kept by the broker from some time before.
    pub(crate) is_retained: bool,
    pub(crate) now: Timestamp,
}

impl Registry {
    pub(crate) fn new(nodes_max: usize, memory: BTreeMap<String, NodeMemory>) -> Self {
        Self { nodes_max, memory, link: 1, ..Self::default() }
    }

    /// The link to the broker is gone: what is retained then may be news again.
    pub(crate) fn forget_news(&mut self) {
        self.link = self.link.wrapping_add(1);
    }

    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    pub(crate) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.ids.contains_key(id)
    }

    pub(crate) fn node_by_number(&self, number: NodeNumber) -> Option<&Node> {
        self.nodes.get(*self.numbers.get(&number)?)?.as_ref()
    }

    /// What a newer build has to know of the nodes' health.
    pub(crate) fn memory(&self) -> BTreeMap<String, NodeMemory> {
        self.nodes.iter().flatten().map(|node| (node.about.id.clone(), node.memory.clone())).collect()
    }

    /// Handles a message. None: the topic concerns nobody. Otherwise the number of reports.
    pub(crate) fn handle(&mut self, arrival: &Arrival<'_>, out: &mut Actions) -> Option<u32> {
        let topic = self.topics.get_mut(arrival.topic)?;
        // A resumed session first brings what was missed; the retained message that follows each new SUBSCRIBE is older than that.
        if arrival.is_retained && topic.news_on == self.link {
            return Some(0);
        }
        if !arrival.is_retained {
            topic.news_on = self.link;
        }
        let mut reports = 0;
        match Reading::new(arrival.payload, topic.needs_json, &mut self.tape) {
            Ok(reading) => {
                let trouble = report_all(topic, &mut self.nodes, &reading, arrival, &mut reports, out);
                warn(topic, arrival.topic, trouble, out);
            }
            Err(trouble) => warn(topic, arrival.topic, Some(trouble), out),
        }
        Some(reports)
    }

    /// Adds an entity to a node, or replaces it. An error is for the log.
    pub(crate) fn put_entity(&mut self, about: &About, entity: Entity) -> Result<(), String> {
        let slot = self.slot_of(about)?;
        let Some(node) = self.nodes.get_mut(slot).and_then(Option::as_mut) else { return Ok(()) };
        let is_same = node.about == *about && node.entity(&entity.key) == Some(&entity);
        if is_same {
            return Ok(());
        }
        node.about = about.clone();
        self.subscribe(&entity);
        let before = self.unbind(slot, |node| node.put(entity));
        self.bind(slot);
        before.iter().for_each(|entity| self.unsubscribe(entity));
        Ok(())
    }

    /// Takes an entity away, and with the last one its node.
    pub(crate) fn remove_entity(&mut self, id: &str, key: &str) {
        let Some(slot) = self.ids.get(id).copied() else { return };
        let before = self.unbind(slot, |node| node.remove(key));
        before.iter().for_each(|entity| self.unsubscribe(entity));
        if self.nodes.get(slot).and_then(Option::as_ref).is_some_and(|node| !node.is_empty()) {
            self.bind(slot);
        } else if let Some(node) = self.nodes.get_mut(slot).and_then(Option::take) {
            self.ids.remove(id);
            self.numbers.remove(&node.number);
            self.free.push(slot);
            self.removed.extend(node.is_declared.then_some(node.number));
        }
    }

    /// The number of a node, for who knows its id.
    pub(crate) fn number_of(&self, id: &str) -> Option<NodeNumber> {
        self.node(id).map(|node| node.number)
    }

    /// Takes everything away from a node.
    pub(crate) fn clear(&mut self, id: &str) {
        let keys = self.node(id).map(Node::keys).unwrap_or_default();
        keys.iter().for_each(|key| self.remove_entity(id, key));
    }

    fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.get(*self.ids.get(id)?)?.as_ref()
    }

    /// A convention says how a node is; none: what is heard decides.
    pub(crate) fn tell(&mut self, id: &str, state: Option<NodeState>, out: &mut Actions) {
        let node = self.ids.get(id).and_then(|slot| self.nodes.get_mut(*slot)).and_then(Option::as_mut);
        if let Some(node) = node {
            node.tell(state);
            node.tell_state(out);
        }
    }

    /// Reports values that a convention read itself, by the position of their fields in the entity.
    pub(crate) fn report(
        &mut self,
        (id, key): (&str, &str),
        values: Vec<(usize, Value)>,
        arrival: &Arrival<'_>,
        reports: &mut u32,
        out: &mut Actions,
    ) {
        let node = self.ids.get(id).and_then(|slot| self.nodes.get_mut(*slot)).and_then(Option::as_mut);
        let Some(node) = node else { return };
        let numbered = values.into_iter().filter_map(|(at, value)| Some(Sample::new(node.number_at(key, at)?, value)));
        let samples = numbered.collect();
        report(node, samples, arrival, reports, out);
    }

    /// Has a message published.
    pub(crate) fn ask(&mut self, message: Message) {
        self.changes.push(Change::Ask(message));
    }

    /// A thing answered a command.
    pub(crate) fn answer(&mut self, token: u64, outcome: Result<(), String>) {
        self.changes.push(Change::Answered(token, outcome));
    }

    fn slot_of(&mut self, about: &About) -> Result<usize, String> {
        if let Some(slot) = self.ids.get(&about.id) {
            return Ok(*slot);
        }
        if self.ids.len() >= self.nodes_max {
            return Err(format!("node {:?} is left out: max_nodes is {}", about.id, self.nodes_max));
        }
        let mut number = number_of(&about.id);
        while self.numbers.contains_key(&number) {
            number = number.wrapping_add(1);
        }
        let slot = self.free.pop().unwrap_or(self.nodes.len());
        let node = Node::new(number, about.clone(), self.memory.remove(&about.id).unwrap_or_default());
        match self.nodes.get_mut(slot) {
            Some(place) => *place = Some(node),
            None => self.nodes.push(Some(node)),
        }
        self.ids.insert(about.id.clone(), slot);
        self.numbers.insert(number, slot);
        Ok(slot)
    }

    /// Changes a node while no topic points at it.
    fn unbind<R>(&mut self, slot: usize, change: impl FnOnce(&mut Node) -> Option<R>) -> Option<R> {
        let node = self.nodes.get_mut(slot).and_then(Option::as_mut)?;
        for name in node.topics() {
            let Some(topic) = self.topics.get_mut(name) else { continue };
            topic.bindings.retain(|binding| binding.slot != slot);
            if topic.bindings.is_empty() {
                self.topics.remove(name);
            }
        }
        change(node)
    }

    fn bind(&mut self, slot: usize) {
        let Some(node) = self.nodes.get_mut(slot).and_then(Option::as_mut) else { return };
        node.arrange();
        for (number, (field, is_declared)) in (0..).zip(node.fields()) {
            for name in &field.topics {
                let topic = self.topics.entry(name.clone()).or_default();
                topic.needs_json |= field.extract.needs_json();
                topic.is_declared |= is_declared;
                topic.insert(Binding { slot, role: Role::Field(number) });
            }
            for (at, (name, extract)) in field.more.iter().enumerate() {
                let topic = self.topics.entry(name.clone()).or_default();
                topic.needs_json |= extract.needs_json();
                topic.insert(Binding { slot, role: Role::More(number, at) });
            }
        }
        let all: Vec<_> = node.availability().collect();
        for (position, availability) in all.iter().enumerate() {
            // Entities of one device tend to share their topics.
            if all.iter().take(position).any(|other| other == availability) {
                continue;
            }
            let topic = self.topics.entry(availability.topic.clone()).or_default();
            topic.needs_json |= availability.extract.needs_json();
            topic.insert(Binding { slot, role: Role::Availability(position) });
        }
        if !node.is_dirty {
            node.is_dirty = true;
            self.dirty.push(slot);
        }
    }

    /// Also what is subscribed already is asked for again: the new entity wants the retained message.
    fn subscribe(&mut self, entity: &Entity) {
        let Some(qos) = entity.subscription else { return };
        for topic in distinct(entity) {
            *self.subscriptions.entry(topic.clone()).or_default() += 1;
            self.changes.push(Change::Subscribe(topic.clone(), qos));
        }
    }

    fn unsubscribe(&mut self, entity: &Entity) {
        if entity.subscription.is_none() {
            return;
        }
        for topic in distinct(entity) {
            let Some(count) = self.subscriptions.get_mut(topic) else { continue };
            *count -= 1;
            if *count == 0 {
                self.subscriptions.remove(topic);
                self.changes.push(Change::Unsubscribe(topic.clone()));
            }
        }
    }

    /// Tells the host of nodes that came, changed or went; gives whether there were any.
    pub(crate) fn flush(&mut self, out: &mut Actions) -> bool {
        let has_changed = !self.removed.is_empty() || !self.dirty.is_empty();
        self.removed.drain(..).for_each(|number| out.remove_node(number));
        for slot in std::mem::take(&mut self.dirty) {
            if let Some(node) = self.nodes.get_mut(slot).and_then(Option::as_mut) {
                node.declare(out);
            }
        }
        has_changed
    }

    /// Whether the broker is there: without it nothing is known of any node.
    pub(crate) fn set_reachable(&mut self, is_reachable: bool, out: &mut Actions) {
        for node in self.nodes.iter_mut().flatten() {
            node.set_reachable(is_reachable);
            node.tell_state(out);
        }
    }

    /// How a field is set. None: it cannot be.
    pub(crate) fn command(&self, node: NodeNumber, setting: &Setting, stamp: Stamp) -> Option<Order> {
        let owner = self.node_by_number(node)?;
        let spec = owner.field(setting.field)?;
        let command = spec.command.as_ref()?;
        let payload = command.shape.payload(&command.kind, &setting.value, stamp);
        let echo = || {
            let field = owner.field_name(setting.field)?.clone();
            Some(Echo { node, field, text: spec.kind.write(&setting.value) })
        };
        let is_told = !spec.topics.is_empty() || command.confirm != Confirm::Broker;
        let echo = if is_told { None } else { echo() };
        let message = Message { topic: command.topic.clone(), payload, qos: command.qos, retain: command.retain };
        Some(Order { message, echo, confirm: command.confirm.clone() })
    }

    /// How a node is made to do something.
    pub(crate) fn action(&self, node: NodeNumber, name: &str, stamp: Stamp) -> Option<Order> {
        let actions = self.node_by_number(node)?.actions();
        let (_, action) = actions.into_iter().find(|(known, _)| known == name)?;
        let payload = action.payload.bytes(stamp);
        let message = Message { topic: action.topic.clone(), payload, qos: action.qos, retain: action.retain };
        let is_call = matches!(action.payload, Payload::Call(_));
        Some(Order { message, echo: None, confirm: if is_call { Confirm::Answer } else { Confirm::Broker } })
    }

    /// Reports a value that no topic will ever confirm.
    pub(crate) fn assume(&mut self, echo: &Echo, now: Timestamp, out: &mut Actions) {
        let node = self.numbers.get(&echo.node).and_then(|slot| self.nodes.get_mut(*slot)).and_then(Option::as_mut);
        let Some(node) = node else { return };
        let Some(number) = node.number_of_field(&echo.field) else { return };
        let extracted = Extracted::Scalar(Scalar::Text((&echo.text).into()));
        let value = node.field(number).and_then(|field| field.kind.read(&extracted).ok().flatten());
        if let Some(value) = value {
            node.declare(out);
            out.report(node.number, now, vec![Sample::new(number, value)]);
        }
    }
}

impl Topic {
    /// Sorted by node, so that each node gets one report.
    fn insert(&mut self, binding: Binding) {
        let at = self.bindings.partition_point(|other| other.slot <= binding.slot);
        self.bindings.insert(at, binding);
    }
}

fn distinct(entity: &Entity) -> Vec<&String> {
    let mut topics: Vec<&String> = entity.topics().collect();
    topics.sort();
    topics.dedup();
    topics
}
