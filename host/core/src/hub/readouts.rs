//! Readouts: requests for readings, until done (sensor-data §3, §4).
//!
//! What is known is answered from last values; for the rest the mappers are asked, several at once, and have a deadline. One message is
//! always held back, so that the last one can say that it is. COMPAT: trouble is told at the very end, because slixmpp forgets a readout
//! at its first failure.

use std::collections::{BTreeMap, BTreeSet};

use jid::Jid;

use super::addresses::Peer;
use super::errands::Errand;
use super::lookup::{Readable, check_count};
use super::registry::NodeKey;
use super::timers::Timer;
use super::{Asked, Asker, Downgrade, Hub, Owner};
use crate::model::bridge::Read as ReadEvent;
use crate::model::{
    Event, Failure, Field, FieldKinds, FieldValue, NodeReading, NodeRef, Reading, Readout as How, ReasonCode,
    Timestamp, limits,
};
use crate::policy::ReadPermit;
use crate::wire::sensor::{self, Read};
use crate::wire::{Profile, StanzaFault};

/// Readouts that are queued or under way.
#[derive(Debug, Default)]
pub(super) struct Readouts {
    live: BTreeMap<u64, Readout>,
    names: BTreeMap<(Peer, String), u64>,
}

/// What of a node is wanted.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) fields: Vec<String>,
    pub(super) kinds: FieldKinds,
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
}

impl Filter {
    pub(super) fn wants(&self, field: &Field, permit: &ReadPermit) -> bool {
        let is_named = self.fields.is_empty() || self.fields.contains(&field.name);
        is_named && field.kinds.meets(self.kinds) && permit.covers(&field.name)
    }

    fn spans(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at <= to)
    }
}

#[derive(Debug)]
pub(super) struct Readout {
    caller: Peer,
    /// None: the caller is sent messages.
    pub(super) errand: Option<Errand>,
    /// Whose request was not answered yet: if everything is known, readings are the answer.
    asker: Option<Asker>,
    /// It belongs to a subscription, which is told every report as it comes: here only what is known already, and trouble.
    is_told: bool,
    profile: Profile,
    id: String,
    nodes: BTreeMap<NodeKey, Readable>,
    filter: Filter,
    timer: Option<(Timestamp, Timer)>,
    /// By request: the bridge, and its nodes of which nothing was heard.
    pending: BTreeMap<u64, (String, BTreeSet<NodeKey>)>,
    held: Vec<(NodeKey, NodeReading)>,
    errors: Vec<NodeReading>,
}

impl Readouts {
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    pub(super) fn of(&self, caller: &Jid) -> usize {
        let from = (Peer::first_of(caller), String::new());
        self.names.range(from..).take_while(|((peer, _), _)| peer.jid == *caller).count()
    }
}

impl Readout {
    fn fail(&mut self, shown: Option<NodeRef>, at: Timestamp, reason: impl Into<String>) {
        self.errors.push(NodeReading { node: shown, at, fields: Vec::new(), errors: vec![reason.into()] });
    }

    fn fail_nodes(&mut self, keys: &BTreeSet<NodeKey>, at: Timestamp, reason: &str) {
        for key in keys {
            let Some(node) = self.nodes.get(key) else { continue };
            let shown = node.shown.clone();
            self.fail(shown, at, reason);
        }
    }
}

impl Hub {
    /// Answers `<req>`; the result leaves before any reading.
    pub(super) fn read(&mut self, asker: Asker, caller: Peer, read: Read, now: Timestamp) {
        let (dialect, id) = (read.dialect, read.id.clone());
        let queued = read.when.map(|when| self.when(when)).filter(|when| *when > now);
        let has_old_habits = dialect.is_long() && asker.id == id;
        match self.prepare(caller, read, has_old_habits, now) {
            Ok(mut readout) => {
                // With long names nothing but `accepted` can be the answer.
                let is_inline = self.config.inline_answers && queued.is_none() && !dialect.is_long();
                match is_inline {
                    true => readout.asker = Some(asker),
                    false => self.answer(&asker, Some(sensor::accepted(dialect, &id, queued.is_some()))),
                }
                match queued {
                    Some(when) => self.queue(readout, when),
                    None => self.start(readout, now),
                }
            }
            Err(fault) => self.refuse(&asker, &sensor::refuse(dialect, &id, fault)),
        }
    }

    /// COMPAT: slixmpp numbers its iq like the readout within, and nobody else does. Its capabilities are known only to contacts.
    fn prepare(
        &mut self,
        caller: Peer,
        read: Read,
        has_old_habits: bool,
        now: Timestamp,
    ) -> Result<Readout, StanzaFault> {
        let selection = self.readable(&caller, read.dialect, &read.nodes)?;
        check_count(read.fields.len())?;
        // The first generation refuses the request (XEP-0323 §5); the later ones tell of it in the answer.
        if let Some((_, reason)) = selection.unreadable.first().filter(|_| read.dialect.is_long()) {
            return Err(StanzaFault::bad_request(*reason));
        }
        if read.from.zip(read.to).is_some_and(|(from, to)| from > to) {
            return Err(StanzaFault::bad_request("`from` is after `to`."));
        }
        // The same id again replaces the readout before, so it must not count.
        self.cancel_readout(&caller, &read.id);
        if self.readouts.of(&caller.jid) >= limits::READOUTS_PER_CALLER_MAX
            || self.readouts.len() >= limits::READOUTS_MAX
        {
            return Err(StanzaFault::overload("Too many readouts at once."));
        }
        let filter = Filter { fields: read.fields, kinds: read.kinds, from: read.from, to: read.to };
        let mut profile = self.profile(&caller, read.dialect);
        profile.v0_2 |= has_old_habits && self.config.downgrade == Downgrade::Heuristic;
        let mut readout = self.readout(caller, profile, read.id, selection.nodes, filter);
        for (shown, reason) in selection.unreadable {
            readout.fail(shown, self.stamp(now), reason);
        }
        Ok(readout)
    }

    pub(super) fn readout(
        &self,
        caller: Peer,
        profile: Profile,
        id: String,
        nodes: Vec<Readable>,
        filter: Filter,
    ) -> Readout {
        let nodes = nodes.into_iter().map(|node| (node.key, node)).collect();
        let (pending, held, errors) = (BTreeMap::new(), Vec::new(), Vec::new());
        let is_told = false;
        Readout {
            caller,
            errand: None,
            asker: None,
            is_told,
            profile,
            id,
            nodes,
            filter,
            timer: None,
            pending,
            held,
            errors,
        }
    }

    /// Reads for a subscriber who wants to know at once; the readings carry the subscription's id. `is_told`: it is sent every report anyway.
    pub(super) fn read_now(
        &mut self,
        (caller, profile, id): (Peer, Profile, String),
        is_told: bool,
        nodes: Vec<Readable>,
        filter: Filter,
        now: Timestamp,
    ) {
        self.cancel_readout(&caller, &id);
        if self.readouts.len() < limits::READOUTS_MAX {
            let readout = self.readout(caller, profile, id, nodes, filter);
            self.start(Readout { is_told, ..readout }, now);
        }
    }

    fn queue(&mut self, mut readout: Readout, when: Timestamp) {
        let number = self.number();
        readout.timer = Some((when, Timer::ReadoutStart(number)));
        self.timers.set(when, Timer::ReadoutStart(number));
        self.keep_readout(number, readout);
    }

    /// A queued readout's time has come.
    pub(super) fn readout_due(&mut self, number: u64, now: Timestamp) {
        let Some(readout) = self.take_readout(number) else { return };
        let started = sensor::started(readout.profile.dialect, &readout.id);
        self.message(&readout.caller, started);
        self.start(readout, now);
    }

    pub(super) fn start(&mut self, mut readout: Readout, now: Timestamp) {
        let mut asked: BTreeMap<String, BTreeSet<NodeKey>> = BTreeMap::new();
        let keys: Vec<NodeKey> = readout.nodes.keys().copied().collect();
        for key in keys {
            match self.registry.get(key) {
                Some(entry) if entry.node.readout == How::OnRequest => {
                    if readout.wants_any(key, &entry.node.fields) {
                        asked.entry(entry.bridge.to_string()).or_default().insert(key);
                    }
                }
                Some(entry) => readout.answer_from(key, |wants| entry.last_values(wants)),
                None => readout.fail_nodes(&BTreeSet::from([key]), self.stamp(now), "The node is gone."),
            }
        }
        // Who has to be waited for is: then readings follow.
        if let Some(asker) = readout.asker.take_if(|_| !asked.is_empty()) {
            self.answer(&asker, Some(sensor::accepted(readout.profile.dialect, &readout.id, false)));
        }
        let number = self.number();
        for (bridge, keys) in asked {
            self.ask(number, &mut readout, bridge, keys);
        }
        if readout.pending.is_empty() {
            return self.finish(readout, now);
        }
        let deadline = now.plus_ms(limits::READOUT_DEADLINE_MS);
        readout.timer = Some((deadline, Timer::ReadoutDeadline(number)));
        self.timers.set(deadline, Timer::ReadoutDeadline(number));
        self.keep_readout(number, readout);
    }

    fn ask(&mut self, number: u64, readout: &mut Readout, bridge: String, keys: BTreeSet<NodeKey>) {
        let id = self.number();
        let numbers = keys.iter().filter_map(|key| self.registry.get(*key)).map(|entry| entry.node.number);
        let read = ReadEvent {
            id,
            nodes: numbers.collect(),
            fields: readout.filter.fields.clone(),
            kinds: readout.filter.kinds.coarse(),
            since: readout.filter.from,
            until: readout.filter.to,
        };
        self.requests.insert(id, Asked { bridge: bridge.clone(), owner: Owner::Readout(number) });
        self.tell(&bridge, Event::Read(read));
        readout.pending.insert(id, (bridge, keys));
    }

    /// A mapper's report that answers a read.
    pub(super) fn readout_reported(&mut self, request: u64, key: NodeKey, reading: &Reading) {
        let Some(Owner::Readout(number)) = self.owner_of(request) else { return };
        let (Some(readout), Some(entry)) = (self.readouts.live.get_mut(&number), self.registry.get(key)) else {
            return;
        };
        if let Some((_, unanswered)) = readout.pending.get_mut(&request) {
            unanswered.remove(&key);
        }
        if readout.is_told {
            return;
        }
        let ready = std::mem::take(&mut readout.held);
        readout.answer_from(key, |wants| BTreeMap::from([(reading.at, entry.values(reading, wants))]));
        if readout.held.is_empty() {
            readout.held = ready;
            return;
        }
        if readout.errand.is_some() {
            // Whoever sent us wants all of it at once, and no history.
            let room = limits::ERRAND_READINGS_MAX.saturating_sub(ready.len());
            readout.held.truncate(room);
            readout.held.splice(0..0, ready);
            return;
        }
        let ready: Vec<NodeReading> = ready.into_iter().map(|(_, reading)| reading).collect();
        if !ready.is_empty() {
            let (to, messages) = (readout.caller.clone(), sensor::split(readout.profile, &readout.id, &ready, false));
            self.messages(&to, messages);
        }
    }

    /// A mapper cannot read one of the nodes.
    pub(super) fn readout_failed(&mut self, request: u64, key: NodeKey, failure: &Failure, now: Timestamp) {
        let Some(Owner::Readout(number)) = self.owner_of(request) else { return };
        let at = self.stamp(now);
        let Some(readout) = self.readouts.live.get_mut(&number) else { return };
        let is_asked = readout.pending.get_mut(&request).is_some_and(|(_, unanswered)| unanswered.remove(&key));
        if is_asked {
            readout.fail_nodes(&BTreeSet::from([key]), at, &failure.message);
        }
    }

    /// A mapper is done with its part.
    pub(super) fn readout_completed(
        &mut self,
        number: u64,
        request: u64,
        outcome: Result<(), Failure>,
        now: Timestamp,
    ) {
        let at = self.stamp(now);
        let Some(readout) = self.readouts.live.get_mut(&number) else { return };
        let Some((_, unanswered)) = readout.pending.remove(&request) else { return };
        if let Err(failure) = outcome {
            readout.fail_nodes(&unanswered, at, &failure.message);
        }
        if readout.pending.is_empty() {
            let Some(readout) = self.take_readout(number) else { return };
            self.finish(readout, now);
        }
    }

    /// The mappers had their time.
    pub(super) fn readout_overdue(&mut self, number: u64, now: Timestamp) {
        let Some(mut readout) = self.take_readout(number) else { return };
        for (_, unanswered) in std::mem::take(&mut readout.pending).into_values() {
            readout.fail_nodes(&unanswered, self.stamp(now), "The device did not answer in time.");
        }
        self.finish(readout, now);
    }

    /// The last messages: what was held back, and then all trouble.
    fn finish(&mut self, readout: Readout, now: Timestamp) {
        let mut last: Vec<NodeReading> = readout.held.into_iter().map(|(_, reading)| reading).collect();
        last.extend(readout.errors);
        if let Some(errand) = readout.errand {
            return self.errand_read(errand, last, now);
        }
        let is_empty = last.is_empty();
        if is_empty && readout.is_told {
            return;
        }
        let mut messages = sensor::split(readout.profile, &readout.id, &last, true);
        if let Some(asker) = readout.asker {
            let accepted = || sensor::accepted(readout.profile.dialect, &readout.id, false);
            let answer = if is_empty { accepted() } else { messages.remove(0) };
            self.answer(&asker, Some(answer));
        }
        self.messages(&readout.caller, messages);
    }

    fn keep_readout(&mut self, number: u64, readout: Readout) {
        self.readouts.names.insert((readout.caller.clone(), readout.id.clone()), number);
        self.readouts.live.insert(number, readout);
    }

    /// Takes a readout out of the tables and tells the mappers that nobody waits any more.
    fn take_readout(&mut self, number: u64) -> Option<Readout> {
        let readout = self.readouts.live.remove(&number)?;
        self.readouts.names.remove(&(readout.caller.clone(), readout.id.clone()));
        if let Some((at, timer)) = readout.timer {
            self.timers.cancel(at, timer);
        }
        for (request, (bridge, _)) in &readout.pending {
            self.requests.remove(request);
            self.tell(bridge, Event::Cancelled(*request));
        }
        Some(readout)
    }

    /// The caller wants no more of it.
    pub(super) fn cancel_readout(&mut self, caller: &Peer, id: &str) {
        if let Some(number) = self.readouts.names.get(&(caller.clone(), id.to_owned())).copied() {
            self.take_readout(number);
        }
    }

    /// Callers who cannot be reached any more.
    pub(super) fn drop_readouts(&mut self, is_gone: impl Fn(&Peer) -> bool) {
        let live = self.readouts.live.iter().filter(|(_, readout)| is_gone(&readout.caller));
        for number in live.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.take_readout(number);
        }
    }

    /// Nodes that are gone for good fail the readouts that wait for them.
    pub(super) fn readouts_lose(&mut self, key: NodeKey, now: Timestamp) {
        let at = self.stamp(now);
        for readout in self.readouts.live.values_mut() {
            let mut is_missed = false;
            for (_, unanswered) in readout.pending.values_mut() {
                is_missed |= unanswered.remove(&key);
            }
            if is_missed {
                readout.fail_nodes(&BTreeSet::from([key]), at, "The node is gone.");
            }
        }
    }

    /// A bridge is gone: nobody answers its requests any more.
    pub(super) fn readouts_lose_bridge(&mut self, bridge: &str, now: Timestamp) {
        let lost: Vec<(u64, u64)> = self
            .readouts
            .live
            .iter()
            .flat_map(|(number, readout)| {
                let requests = readout.pending.iter().filter(|(_, (name, _))| name == bridge);
                requests.map(|(request, _)| (*number, *request)).collect::<Vec<_>>()
            })
            .collect();
        for (number, request) in lost {
            self.requests.remove(&request);
            let gone = Failure::new(ReasonCode::Closed, "The bridge is gone.");
            self.readout_completed(number, request, Err(gone), now);
        }
    }

    /// Rules changed: permits are asked for again, and what was held back for those who lost theirs goes nowhere.
    pub(super) fn recheck_readouts(&mut self, now: Timestamp) {
        let at = self.stamp(now);
        let numbers: Vec<u64> = self.readouts.live.keys().copied().collect();
        for number in numbers {
            let Some(readout) = self.readouts.live.get_mut(&number) else { continue };
            let access = self.config.policy.of(&readout.caller.bare());
            let mut lost = BTreeSet::new();
            for (key, node) in &mut readout.nodes {
                match self.registry.get(*key).and_then(|entry| access.read(&entry.name).ok()) {
                    Some(permit) => node.permit = permit,
                    None => _ = lost.insert(*key),
                }
            }
            readout.lose(&lost, at);
            readout.narrow_held();
        }
    }
}

impl Readout {
    /// A mapper is not bothered for fields that nobody asked for or may read.
    fn wants_any(&self, key: NodeKey, fields: &[Field]) -> bool {
        let node = self.nodes.get(&key);
        node.is_some_and(|node| fields.iter().any(|field| self.filter.wants(field, &node.permit)))
    }

    /// Holds what is wanted of a node's values.
    fn answer_from(
        &mut self,
        key: NodeKey,
        values: impl FnOnce(&dyn Fn(&Field) -> bool) -> BTreeMap<Timestamp, Vec<FieldValue>>,
    ) {
        let Some(node) = self.nodes.get(&key) else { return };
        let by_instant = values(&|field| self.filter.wants(field, &node.permit));
        for (at, fields) in by_instant.into_iter().filter(|(at, fields)| !fields.is_empty() && self.filter.spans(*at)) {
            let reading = NodeReading { node: node.shown.clone(), at, fields, errors: Vec::new() };
            self.held.push((key, reading));
        }
    }

    fn lose(&mut self, lost: &BTreeSet<NodeKey>, now: Timestamp) {
        self.fail_nodes(lost, now, "Access denied.");
        self.nodes.retain(|key, _| !lost.contains(key));
        self.held.retain(|(key, _)| !lost.contains(key));
        for (_, unanswered) in self.pending.values_mut() {
            unanswered.retain(|key| !lost.contains(key));
        }
    }

    fn narrow_held(&mut self) {
        for (key, reading) in &mut self.held {
            let permit = self.nodes.get(key).map(|node| &node.permit);
            reading.fields.retain(|field| permit.is_some_and(|permit| permit.covers(&field.name)));
        }
        self.held.retain(|(_, reading)| !reading.fields.is_empty());
    }
}
