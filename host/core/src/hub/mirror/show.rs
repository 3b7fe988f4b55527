//! Which bridge is shown what, and under which number. Owns the numbers: a thing keeps its number for as long as the host runs, also
//! while it is away. Decides nothing about remotes.

use std::collections::{BTreeMap, BTreeSet};

use jid::BareJid;

use super::entry::Mirror;
use super::thing::Thing;
use crate::hub::Hub;
use crate::model::bridge::Thing as Shown;
use crate::model::{Event, Node, NodeRef, Sample, Timestamp, limits};

/// What one bridge is shown.
#[derive(Debug)]
pub(super) struct Show {
    pub(super) entries: Vec<Mirror>,
    numbers: BTreeMap<(BareJid, NodeRef), u32>,
    names: BTreeMap<u32, (BareJid, NodeRef)>,
    /// What the mapper was told of and not told to be gone.
    told: BTreeSet<u32>,
    next: u32,
    is_crowded: bool,
    /// Requests of the mapper that are under way.
    pub(super) orders: BTreeSet<u64>,
}

impl Show {
    pub(super) fn new(entries: Vec<Mirror>) -> Self {
        Self {
            entries,
            numbers: BTreeMap::new(),
            names: BTreeMap::new(),
            told: BTreeSet::new(),
            next: 0,
            is_crowded: false,
            orders: BTreeSet::new(),
        }
    }

    pub(super) fn wants(&self, jid: &BareJid, node: &NodeRef) -> bool {
        self.entries.iter().any(|entry| entry.jid == *jid && entry.covers(node))
    }

    pub(super) fn wants_any(&self, jid: &BareJid) -> bool {
        self.entries.iter().any(|entry| entry.jid == *jid)
    }

    pub(super) fn wants_address(&self, address: &str) -> bool {
        self.entries.iter().any(|entry| entry.covers_address(address))
    }

    /// What the mapper knows of.
    pub(super) fn shown(&self) -> impl Iterator<Item = (&BareJid, &NodeRef)> {
        self.told.iter().filter_map(|number| self.names.get(number)).map(|(jid, node)| (jid, node))
    }

    /// The thing that the mapper calls so.
    pub(super) fn thing(&self, number: u32) -> Option<&(BareJid, NodeRef)> {
        self.names.get(&number).filter(|_| self.told.contains(&number))
    }

    pub(super) fn forget_told(&mut self) {
        self.told.clear();
    }

    fn number_told(&self, jid: &BareJid, node: &NodeRef) -> Option<u32> {
        let number = self.numbers.get(&(jid.clone(), node.clone())).copied()?;
        self.told.contains(&number).then_some(number)
    }

    /// The number of a thing, known or new; none: there are too many.
    fn number(&mut self, jid: &BareJid, node: &NodeRef) -> Option<u32> {
        let name = (jid.clone(), node.clone());
        if let Some(number) = self.numbers.get(&name) {
            return Some(*number);
        }
        if self.numbers.len() >= 2 * limits::MIRRORED_THINGS_PER_BRIDGE_MAX {
            // A remote that invents nodes all the time must not be remembered for ever; who is away longest is not known, so all who are.
            let told = &self.told;
            self.names.retain(|number, _| told.contains(number));
            self.numbers.retain(|_, number| told.contains(number));
        }
        self.next = self.next.checked_add(1)?;
        self.names.insert(self.next, name.clone());
        self.numbers.insert(name, self.next);
        Some(self.next)
    }

    fn is_full(&self) -> bool {
        self.told.len() >= limits::MIRRORED_THINGS_PER_BRIDGE_MAX
    }
}

fn numbered(number: u32, thing: &Thing) -> Shown {
    let node = Node { number, ..thing.node.clone() };
    Shown { number, address: node.id.clone(), node }
}

impl Hub {
    /// A thing came, or changed: bridges that want it are told, with its values if it is new to them.
    pub(super) fn show_thing(&mut self, jid: &BareJid, name: &NodeRef) {
        for bridge in self.bridges_wanting(jid, name) {
            self.show_to(&bridge, jid, name);
        }
    }

    fn show_to(&mut self, bridge: &str, jid: &BareJid, name: &NodeRef) {
        let Some(thing) = self.mirrors.remotes.get(jid).and_then(|remote| remote.things.get(name)) else { return };
        let Some(show) = self.mirrors.shows.get_mut(bridge).filter(|_| thing.is_ready()) else { return };
        if let Some(number) = show.number_told(jid, name) {
            let event = Event::ThingChanged(numbered(number, thing));
            return self.tell(bridge, event);
        }
        if show.is_full() {
            if !std::mem::replace(&mut show.is_crowded, true) {
                let most = limits::MIRRORED_THINGS_PER_BRIDGE_MAX;
                self.complain(bridge, format!("more than {most} things are mirrored; the others are left out"));
            }
            return;
        }
        let Some(number) = show.number(jid, name) else { return };
        show.told.insert(number);
        let mut events = vec![Event::ThingAppeared(numbered(number, thing))];
        let readings = thing.readings().into_iter();
        events.extend(readings.map(|(at, samples)| Event::ThingReported { number, at, samples }));
        events.into_iter().for_each(|event| self.tell(bridge, event));
    }

    /// Values of a thing, for the bridges that know it.
    pub(super) fn show_values(&mut self, jid: &BareJid, name: &NodeRef, at: Timestamp, samples: &[Sample]) {
        let told =
            self.mirrors.shows.iter().filter_map(|(bridge, show)| Some((bridge.clone(), show.number_told(jid, name)?)));
        for (bridge, number) in told.collect::<Vec<_>>() {
            self.tell(&bridge, Event::ThingReported { number, at, samples: samples.to_vec() });
        }
    }

    /// A thing is gone.
    pub(super) fn hide_thing(&mut self, jid: &BareJid, name: &NodeRef) {
        let mut events = Vec::new();
        for (bridge, show) in &mut self.mirrors.shows {
            if let Some(number) = show.number_told(jid, name) {
                show.told.remove(&number);
                events.push((bridge.clone(), Event::ThingVanished(number)));
            }
        }
        events.into_iter().for_each(|(bridge, event)| self.tell(&bridge, event));
    }

    /// The operator's entries changed: what none of them means any more is gone for the bridge.
    pub(super) fn hide_unwanted(&mut self, bridge: &str) {
        let Some(show) = self.mirrors.shows.get_mut(bridge) else { return };
        let is_unwanted = |number: &u32| show.names.get(number).is_none_or(|(jid, node)| !show.wants(jid, node));
        let gone: Vec<u32> = show.told.iter().copied().filter(is_unwanted).collect();
        for number in gone {
            if let Some(show) = self.mirrors.shows.get_mut(bridge) {
                show.told.remove(&number);
            }
            self.tell(bridge, Event::ThingVanished(number));
        }
    }

    /// Tells a bridge of everything that it does not know yet.
    pub(super) fn tell_things(&mut self, bridge: &str) {
        let Some(show) = self.mirrors.shows.get(bridge) else { return };
        let remotes = self.mirrors.remotes.iter();
        let all = remotes.flat_map(|(jid, remote)| remote.things.keys().map(move |name| (jid.clone(), name.clone())));
        let unknown = all.filter(|(jid, name)| show.wants(jid, name) && show.number_told(jid, name).is_none());
        for (jid, name) in unknown.collect::<Vec<_>>() {
            if self.may_show(bridge, &jid, &name) {
                self.show_to(bridge, &jid, &name);
            }
        }
    }

    /// The bridges whose entries mean this node.
    pub(super) fn bridges_wanting(&self, jid: &BareJid, name: &NodeRef) -> Vec<String> {
        let wanting = self.mirrors.shows.iter().filter(|(_, show)| show.wants(jid, name));
        wanting.map(|(bridge, _)| bridge.clone()).filter(|bridge| self.may_show(bridge, jid, name)).collect()
    }
}
