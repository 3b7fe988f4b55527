//! Things of others, shown to whoever is at the broker: retained topics for their values and whether they are there, configurations by which
//! Home Assistant finds them, and topics that take commands.
//!
//! Owns what is shown under which topic ([`topics`]), what a payload means ([`payload`]) and what the broker was told ([`retained`]); how a
//! configuration reads is in [`announce`]. Whatever stands under these topics is ours and never becomes a device again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tombolo_sdk::events::{Thing, ThingReading};
use tombolo_sdk::{Actions, Failure, Level, NodeState, Request, Sample, Setting};

use super::settings::Settings;
use crate::codec::Qos;
use crate::session::{Session, Undelivered};

mod announce;
mod payload;
mod retained;
mod topics;

use announce::Announcer;
pub(super) use announce::ORIGIN;
use payload::Accepts;
use retained::Retained;
use topics::Topics;

/// What is published of a thing that is not there.
const OFFLINE: &str = "offline";
const ONLINE: &str = "online";

/// What a newer build, or the next run, has to know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    shown: BTreeMap<u32, Shown>,
    retained: Retained,
    orders: BTreeMap<Request, String>,
    next_request: Request,
    /// Topics that an earlier run left at the broker, by the topic that they begin with.
    left: BTreeMap<String, Vec<String>>,
}

/// One thing at the broker.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Shown {
    base: String,
    /// By position of the field.
    fields: Vec<Entry>,
    /// Every topic that holds something of it.
    topics: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    state: String,
    /// Where commands for it are taken, and what they may say.
    command: Option<(String, Accepts)>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Things {
    topics: Option<Topics>,
    announcer: Option<Announcer>,
    memory: Memory,
    /// Thing and field of each topic that takes commands.
    commands: BTreeMap<String, (u32, u16)>,
    /// Filters that became wanted or not.
    changes: Vec<(String, bool)>,
    /// What a checkpoint would tell has changed.
    is_dirty: bool,
}

impl Things {
    /// Goes on from what another version left; after a restart the things of before are offline until they are told of again.
    pub(crate) fn new(settings: &Settings, memory: Memory, is_swap: bool) -> Self {
        let topics = settings.mirror_prefix.as_deref().map(Topics::new);
        let announcer = settings.mirror_discovery_prefix().map(|prefix| Announcer::new(prefix, settings.presence()));
        let mut things =
            Self { topics, announcer, memory, commands: BTreeMap::new(), changes: Vec::new(), is_dirty: false };
        match is_swap {
            true => things.resume(),
            false => things.begin_anew(),
        }
        things
    }

    fn resume(&mut self) {
        for (number, shown) in &self.memory.shown {
            for (field, entry) in (0..).zip(&shown.fields) {
                if let Some((topic, _)) = &entry.command {
                    self.commands.insert(topic.clone(), (*number, field));
                    self.changes.push((topic.clone(), true));
                }
            }
        }
    }

    /// Numbers of an earlier run mean nothing any more; its topics do.
    fn begin_anew(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        let shown = memory.shown.into_values().map(|shown| (shown.base, shown.topics));
        self.memory.left = memory.left.into_iter().chain(shown).collect();
        self.memory.next_request = memory.next_request;
        for base in self.memory.left.keys() {
            self.memory.retained.put(topics::availability(base), OFFLINE.into());
        }
    }

    /// Everything, for the next version; for the next run, only what it cannot learn again.
    pub(crate) fn memory(&self, is_swap: bool) -> Memory {
        match is_swap {
            true => self.memory.clone(),
            false => Memory { retained: Retained::default(), orders: BTreeMap::new(), ..self.memory.clone() },
        }
    }

    /// Filters of the topics that take commands, since this was asked last; true: wanted.
    pub(crate) fn take_changes(&mut self) -> Vec<(String, bool)> {
        std::mem::take(&mut self.changes)
    }

    /// Filters that are wanted, for whoever begins anew.
    pub(crate) fn filters(&self) -> impl Iterator<Item = (String, Qos)> {
        self.commands.keys().map(|topic| (topic.clone(), Qos::AtLeastOnce))
    }

    /// Whether there is something new to keep.
    pub(crate) fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.is_dirty)
    }

    /// A thing came, or was told again: the broker hears only what is new.
    pub(crate) fn put(&mut self, thing: &Thing) {
        let Some(topics) = &self.topics else { return };
        let base = topics.base(&thing.address);
        let entries: Vec<Entry> = thing.node.fields.iter().map(|field| Entry::new(&base, field)).collect();
        let mut retained = vec![(topics::availability(&base), availability(thing.node.state).to_owned())];
        if let Some(announcer) = &self.announcer {
            let described = thing.node.fields.iter().zip(&entries);
            retained.extend(described.map(|(field, entry)| {
                let command = entry.command.as_ref().map(|(topic, accepts)| (topic.as_str(), accepts));
                announcer.announce(thing, &base, field, &entry.state, command)
            }));
        }
        let states = entries.iter().map(|entry| entry.state.clone());
        let all: Vec<String> = retained.iter().map(|(topic, _)| topic.clone()).chain(states).collect();
        let before = self.memory.shown.remove(&thing.number);
        let bound = before.as_ref().map(Shown::commands).unwrap_or_default();
        let left = self.memory.left.remove(&base).into_iter().chain(before.map(|shown| shown.topics)).flatten();
        for topic in left.filter(|topic| !all.contains(topic)) {
            self.memory.retained.clear(topic);
        }
        for (topic, payload) in retained {
            self.memory.retained.put(topic, payload);
        }
        let shown = Shown { base, fields: entries, topics: all };
        self.bind(thing.number, &bound, &shown.commands());
        self.memory.shown.insert(thing.number, shown);
        self.is_dirty = true;
    }

    /// Topics that take commands for a thing become others; those that stay are not asked for again.
    fn bind(&mut self, thing: u32, before: &BTreeMap<String, u16>, after: &BTreeMap<String, u16>) {
        for topic in before.keys().filter(|topic| !after.contains_key(*topic)) {
            self.commands.remove(topic);
            self.changes.push((topic.clone(), false));
        }
        for (topic, field) in after {
            self.commands.insert(topic.clone(), (thing, *field));
            if !before.contains_key(topic) {
                self.changes.push((topic.clone(), true));
            }
        }
    }

    /// A thing is gone, and with it whatever the broker kept of it.
    pub(crate) fn remove(&mut self, number: u32) {
        let Some(shown) = self.memory.shown.remove(&number) else { return };
        self.bind(number, &shown.commands(), &BTreeMap::new());
        shown.topics.into_iter().for_each(|topic| self.memory.retained.clear(topic));
        self.is_dirty = true;
    }

    /// Values of a thing.
    pub(crate) fn report(&mut self, reading: &ThingReading) {
        let Some(shown) = self.memory.shown.get(&reading.number) else { return };
        for Sample { field, value, .. } in &reading.samples {
            if let Some(entry) = shown.fields.get(usize::from(*field)) {
                self.memory.retained.put(entry.state.clone(), payload::write(value));
            }
        }
    }

    /// Takes a message that stands under our topics: a command, or our own words. None: it is somebody else's.
    pub(crate) fn hear(&mut self, topic: &str, payload: &[u8], is_retained: bool, out: &mut Actions) -> Option<()> {
        if !self.topics.as_ref()?.owns(topic) {
            return None;
        }
        let Some((thing, field)) = self.commands.get(topic).copied() else { return Some(()) };
        let shown = self.memory.shown.get(&thing);
        let entry = shown.and_then(|shown| shown.fields.get(usize::from(field)));
        let Some((_, accepts)) = entry.and_then(|entry| entry.command.as_ref()) else { return Some(()) };
        // A command is for now: one that was kept for those who come later would be carried out at every connection.
        if is_retained || payload.is_empty() {
            return Some(());
        }
        match accepts.read(payload) {
            Some(value) => {
                self.memory.next_request += 1;
                self.memory
                    .orders
                    .insert(self.memory.next_request, entry.map(|entry| entry.state.clone()).unwrap_or_default());
                out.control_thing(self.memory.next_request, thing, vec![Setting { field, value }]);
            }
            None => out.log(Level::Warn, format!("command {topic:?}: expects {}", accepts.expected())),
        }
        Some(())
    }

    /// A command came to its end. After a failure the state is told once more, for whoever took the command for done.
    pub(crate) fn done(&mut self, request: Request, outcome: Result<(), Failure>, out: &mut Actions) {
        let Some(state) = self.memory.orders.remove(&request) else { return };
        if let Err(failure) = outcome {
            out.log(Level::Warn, format!("command for {state:?} failed: {}", failure.message));
            self.memory.retained.repeat(&state);
        }
    }

    /// The broker may have lost what it kept.
    pub(crate) fn handle_online(&mut self) {
        self.memory.retained.repeat_all();
    }

    /// Publishes what is due, some at a time.
    pub(crate) fn flush(&mut self, session: &mut Session) {
        while session.is_online()
            && let Some((token, message)) = self.memory.retained.next()
        {
            session.publish(token, message);
        }
    }

    /// A publish of ours came to its end. Whether the token was ours.
    pub(crate) fn delivered(&mut self, token: u64, outcome: &Result<(), Undelivered>, out: &mut Actions) -> bool {
        match self.memory.retained.delivered(token, outcome) {
            Ok(is_ours) => is_ours,
            Err(trouble) => {
                out.log(Level::Warn, trouble);
                true
            }
        }
    }
}

impl Shown {
    /// Its topics that take commands, and the field of each.
    fn commands(&self) -> BTreeMap<String, u16> {
        let numbered = (0..).zip(&self.fields);
        numbered.filter_map(|(field, entry)| Some((entry.command.as_ref()?.0.clone(), field))).collect()
    }
}

impl Entry {
    fn new(base: &str, field: &tombolo_sdk::Field) -> Self {
        let command = Accepts::of(field).map(|accepts| (topics::command(base, &field.name), accepts));
        Self { state: topics::state(base, &field.name), command }
    }
}

fn availability(state: NodeState) -> &'static str {
    match state {
        NodeState::Offline => OFFLINE,
        NodeState::Unknown | NodeState::Online | NodeState::Warning | NodeState::Error => ONLINE,
    }
}
