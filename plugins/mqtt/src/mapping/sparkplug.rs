//! Sparkplug B: edge nodes and their devices, born and dead by certificates. Owns the session of each edge node (sequence, birth and death,
//! aliases); what they have is in [`thing`], a metric is read in [`metric`], bytes in [`wire`].
//!
//! Nothing of it is retained. Whoever starts late, misses a number of the sequence or meets a metric that was never born asks the edge node
//! to be born again, not more often than every ten seconds, and until then believes nothing that needs the birth to be understood.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Actions, Level, NodeNumber, NodeState, Setting, Timestamp, Value};

use super::convention::{Convention, Memory, Place};
use super::registry::Arrival;

mod metric;
mod thing;
mod wire;

#[cfg(test)]
pub(crate) use wire::play;

pub(crate) use metric::Target;
use thing::Thing;
use wire::{Number, Payload};

const NAMESPACE: &str = "spBv1.0/";
/// Between two requests to one edge node.
const REBIRTH_EVERY: i64 = 10_000_000;
/// A longer topic is nobody's.
const TOPIC_BYTES_MAX: usize = 512;
/// Edge nodes, and devices of one; max_nodes bounds what is shown.
const EDGES_MAX: usize = 10_000;
const DEVICES_MAX: usize = 1_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Sparkplug {
    groups: Vec<String>,
    /// By group and name, with a slash between them.
    edges: BTreeMap<String, Edge>,
}

/// One edge node and its session.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Edge {
    is_born: bool,
    /// Which birth its death will be of.
    birth: Option<u64>,
    seq: u8,
    asked_at: Option<Timestamp>,
    own: Thing,
    devices: BTreeMap<String, Thing>,
}

/// A topic, read.
#[derive(Clone, Copy, Debug)]
struct Topic<'t> {
    group: &'t str,
    verb: &'t str,
    edge: &'t str,
    device: Option<&'t str>,
}

impl<'t> Topic<'t> {
    fn of(topic: &'t str) -> Option<Self> {
        let mut levels = topic.strip_prefix(NAMESPACE)?.split('/');
        let (group, verb, edge, device) = (levels.next()?, levels.next()?, levels.next()?, levels.next());
        let is_short = topic.len() <= TOPIC_BYTES_MAX;
        let is_whole =
            is_short && levels.next().is_none() && !group.is_empty() && !edge.is_empty() && device != Some("");
        is_whole.then_some(Self { group, verb, edge, device })
    }

    fn edge(&self) -> String {
        format!("{}/{}", self.group, self.edge)
    }
}

impl Sparkplug {
    pub(crate) fn new(groups: &[String]) -> Self {
        Self { groups: groups.to_vec(), edges: BTreeMap::new() }
    }

    fn take(&mut self, topic: Topic<'_>, arrival: &Arrival<'_>, place: &mut Place<'_>, out: &mut Actions) -> u32 {
        let Ok(payload) = Payload::read(arrival.payload) else {
            out.log(Level::Warn, format!("topic {:?}: the payload is not Sparkplug B", arrival.topic));
            return 0;
        };
        let name = topic.edge();
        if !self.edges.contains_key(&name) && (self.edges.len() >= EDGES_MAX || topic.verb == "NDEATH") {
            return 0;
        }
        let edge = self.edges.entry(name.clone()).or_default();
        match (topic.verb, topic.device) {
            ("NBIRTH", None) => {
                edge.be_born(&payload, place, out);
                edge.own.bear(&name, &payload, place, out);
                edge.own.report(&key(&name), &payload, arrival, place, out).0
            }
            ("NDEATH", None) => {
                edge.die(&payload, place, out);
                0
            }
            ("NDATA", None) if edge.follows(&name, &payload, arrival.now, place) => {
                let (reports, is_known) = edge.own.report(&key(&name), &payload, arrival, place, out);
                if !is_known {
                    edge.ask(&name, arrival.now, place);
                }
                reports
            }
            ("DBIRTH" | "DDATA" | "DDEATH", Some(device)) if edge.follows(&name, &payload, arrival.now, place) => {
                edge.device(&name, topic.verb, device, &payload, arrival, place, out)
            }
            _ => 0,
        }
    }
}

impl Convention for Sparkplug {
    fn filters(&self) -> Vec<String> {
        let all = [String::from("+")];
        let groups = if self.groups.is_empty() { all.as_slice() } else { self.groups.as_slice() };
        let node = ["NBIRTH", "NDATA", "NDEATH"].map(|verb| format!("{verb}/+"));
        let device = ["DBIRTH", "DDATA", "DDEATH"].map(|verb| format!("{verb}/+/+"));
        let verbs: Vec<String> = node.into_iter().chain(device).collect();
        groups.iter().flat_map(|group| verbs.iter().map(move |verb| format!("{NAMESPACE}{group}/{verb}"))).collect()
    }

    fn concerns(&self, topic: &str) -> bool {
        topic.starts_with(NAMESPACE)
    }

    fn handle(&mut self, arrival: &Arrival<'_>, place: &mut Place<'_>, out: &mut Actions) -> u32 {
        // What somebody retained against the rules is of another time.
        match Topic::of(arrival.topic).filter(|_| !arrival.is_retained) {
            Some(topic) => self.take(topic, arrival, place, out),
            None => 0,
        }
    }

    fn memory(&self) -> Memory {
        let written = self.edges.iter().filter(|(_, edge)| edge.birth.is_some() || !edge.own.metrics.is_empty());
        written.filter_map(|(name, edge)| Some((name.clone(), serde_json::to_string(edge).ok()?))).collect()
    }

    fn begin(&mut self, memory: Memory, place: &mut Place<'_>, out: &mut Actions) {
        for (name, text) in memory {
            if let Ok(edge) = serde_json::from_str::<Edge>(&text) {
                self.edges.insert(name.clone(), edge);
            }
        }
        self.show_again(place, out);
    }

    /// Deaths may have been missed, and everything that came after them.
    fn handle_online(&mut self, now: Timestamp, place: &mut Place<'_>, out: &mut Actions) {
        for (name, edge) in &mut self.edges {
            (edge.is_born, edge.asked_at) = (false, None);
            edge.things().for_each(|thing| place.registry.tell(&thing.id, Some(NodeState::Unknown), out));
            edge.ask(name, now, place);
        }
    }

    fn show_again(&mut self, place: &mut Place<'_>, out: &mut Actions) {
        for (name, edge) in &mut self.edges {
            edge.own.show(name, place, out);
            for (device, thing) in &mut edge.devices {
                thing.show(&format!("{name}/{device}"), place, out);
            }
            let is_born = edge.is_born;
            edge.things().filter(|_| !is_born).for_each(|thing| {
                let state = if thing.is_alive { NodeState::Unknown } else { NodeState::Offline };
                place.registry.tell(&thing.id, Some(state), out);
            });
        }
    }

    fn is_already(&self, node: NodeNumber, setting: &Setting) -> bool {
        let things = self.edges.values().flat_map(Edge::things);
        let thing = things.into_iter().find(|thing| thing.number == Some(node));
        thing.is_some_and(|thing| thing.last.get(&usize::from(setting.field)) == Some(&setting.value))
    }
}

impl Edge {
    fn things(&self) -> impl Iterator<Item = &Thing> {
        std::iter::once(&self.own).chain(self.devices.values())
    }

    /// A new session: what was known of devices is of the old one.
    fn be_born(&mut self, payload: &Payload<'_>, place: &mut Place<'_>, out: &mut Actions) {
        (self.is_born, self.seq, self.birth) = (true, low(payload.seq), birth(payload));
        for device in self.devices.values_mut() {
            device.set_alive(false, place, out);
        }
    }

    /// The death of an earlier session comes late and means nothing.
    fn die(&mut self, payload: &Payload<'_>, place: &mut Place<'_>, out: &mut Actions) {
        let death = birth(payload);
        if self.birth.is_some() && death.is_some() && self.birth != death {
            return;
        }
        self.is_born = false;
        self.own.set_alive(false, place, out);
        for device in self.devices.values_mut() {
            device.set_alive(false, place, out);
        }
    }

    /// Whether a message can be understood: the birth came, and whatever follows a gap does until it is born again.
    fn follows(&mut self, name: &str, payload: &Payload<'_>, now: Timestamp, place: &mut Place<'_>) -> bool {
        if !self.is_born {
            self.ask(name, now, place);
            return false;
        }
        let expected = self.seq.wrapping_add(1);
        self.seq = low(payload.seq);
        if payload.seq != Some(u64::from(expected)) {
            self.ask(name, now, place);
        }
        true
    }

    /// Asks the edge node to tell everything again.
    fn ask(&mut self, name: &str, now: Timestamp, place: &mut Place<'_>) {
        if self.asked_at.is_some_and(|before| (0..REBIRTH_EVERY).contains(&(now - before))) {
            return;
        }
        self.asked_at = Some(now);
        place.ask(command_topic(name), Target::rebirth().payload(&Value::Boolean(true), now));
    }

    #[allow(clippy::too_many_arguments)]
    fn device(
        &mut self,
        name: &str,
        verb: &str,
        device: &str,
        payload: &Payload<'_>,
        arrival: &Arrival<'_>,
        place: &mut Place<'_>,
        out: &mut Actions,
    ) -> u32 {
        let whole = format!("{name}/{device}");
        if verb == "DBIRTH" && (self.devices.len() < DEVICES_MAX || self.devices.contains_key(device)) {
            let thing = self.devices.entry(device.to_owned()).or_default();
            thing.bear(&whole, payload, place, out);
            return thing.report(&key(&whole), payload, arrival, place, out).0;
        }
        let Some(thing) = self.devices.get_mut(device) else {
            self.ask(name, arrival.now, place);
            return 0;
        };
        if verb == "DDEATH" {
            thing.set_alive(false, place, out);
            return 0;
        }
        let (reports, is_known) = thing.report(&key(&whole), payload, arrival, place, out);
        if !is_known || !thing.is_alive {
            self.ask(name, arrival.now, place);
        }
        reports
    }
}

fn key(name: &str) -> String {
    format!("sparkplug {name}")
}

/// Of `group/edge` or `group/edge/device`.
fn command_topic(name: &str) -> String {
    let (group, rest) = name.split_once('/').unwrap_or((name, ""));
    let verb = if rest.contains('/') { "DCMD" } else { "NCMD" };
    format!("{NAMESPACE}{group}/{verb}/{rest}")
}

/// The number that joins a birth to its death.
fn birth(payload: &Payload<'_>) -> Option<u64> {
    let metric = payload.metrics.iter().find(|metric| metric.name == Some("bdSeq"))?;
    match metric.value? {
        Number::Long(number) => Some(number),
        Number::Int(number) => Some(u64::from(number)),
        _ => None,
    }
}

/// Numbers of a sequence go to 255; a larger one is taken for what is left of it.
fn low(seq: Option<u64>) -> u8 {
    seq.unwrap_or_default().to_le_bytes().first().copied().unwrap_or_default()
}
