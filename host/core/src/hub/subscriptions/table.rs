//! Who wants what of which node, and what of a report that is for each of them. Sends nothing and asks nobody's permission.

use std::collections::{BTreeMap, BTreeSet};

use jid::Jid;

use super::super::addresses::Peer;
use jid::BareJid;

use super::super::lookup::Readable;
use super::super::registry::{Entry, NodeKey};
use super::super::timers::{Timer, Timers};
use super::super::trigger::{Reference, triggers};
use crate::model::{Field, FieldKinds, FieldValue, NodeReading, NodeRef, Reading, Timestamp, Value};
use crate::policy::ReadPermit;
use crate::wire::Profile;
use crate::wire::subscribe::FieldRule;

/// A name that somebody waits for, and the node's address at which it was said; none: the concentrator's.
pub(super) type Waited = (Option<BareJid>, NodeRef);

/// All subscriptions.
#[derive(Debug, Default)]
pub(in crate::hub) struct Subscriptions {
    pub(super) live: BTreeMap<u64, Subscription>,
    pub(super) names: BTreeMap<(Peer, String), u64>,
    pub(super) nodes: BTreeMap<NodeKey, BTreeSet<u64>>,
    /// By names of which nothing was declared yet: who waits for it.
    pub(super) waiting: BTreeMap<Waited, BTreeSet<u64>>,
    /// Pairs of subscriber and node.
    pub(super) pairs: usize,
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) caller: Peer,
    pub(super) profile: Profile,
    pub(super) id: String,
    pub(super) kinds: FieldKinds,
    pub(super) rules: Vec<FieldRule>,
    pub(super) age_us_max: Option<u64>,
    pub(super) interval_us_min: Option<u64>,
    pub(super) interval_us_max: Option<u64>,
    pub(super) targets: BTreeMap<NodeKey, Target>,
    pub(super) away_since: Option<Timestamp>,
    /// Away only as far as we know: its presence has not been told in this session.
    pub(super) is_unknown: bool,
    /// Names it in the store; the greater is the newer.
    pub(super) record: u64,
    /// Whether the store has it.
    pub(super) is_kept: bool,
    /// Names of nodes that it waits for.
    pub(super) waiting: Vec<Waited>,
}

#[derive(Debug)]
pub(super) struct Target {
    pub(super) wanted: Readable,
    pub(super) references: BTreeMap<String, Reference>,
    /// When the last event left, or when the subscription began.
    pub(super) sent: Timestamp,
    /// There was none yet: nothing that an interval could start from.
    pub(super) is_first: bool,
    pub(super) is_delayed: bool,
    pub(super) timer: Option<Timestamp>,
}

/// Readings for one subscriber.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) caller: Peer,
    pub(super) profile: Profile,
    pub(super) id: String,
    /// The subscription's.
    pub(super) record: u64,
    pub(super) readings: Vec<NodeReading>,
    /// It is away, and would have been sent this at once.
    pub(super) is_away: bool,
}

impl Notice {
    /// Whether the same account has everything of the other with this one.
    pub(super) fn has_all_of(&self, other: &Self) -> bool {
        let is_here = |at: Timestamp, field: &FieldValue| {
            self.readings.iter().any(|one| one.at == at && one.fields.iter().any(|own| own.name == field.name))
        };
        let mut fields = other.readings.iter().flat_map(|one| one.fields.iter().map(|field| (one.at, field)));
        self.caller.bare() == other.caller.bare() && fields.all(|(at, field)| is_here(at, field))
    }
}

fn plus_us(at: Timestamp, us: u64) -> Timestamp {
    Timestamp(at.0.saturating_add(i64::try_from(us).unwrap_or(i64::MAX)))
}

impl Target {
    pub(super) fn new(wanted: Readable, rules: &[FieldRule], entry: &Entry, now: Timestamp) -> Self {
        let references = rules.iter().filter_map(|rule| {
            let known = || entry.field(&rule.name).and_then(|(index, _)| entry.last_value(index));
            let reference =
                rule.current.map(Reference::Number).or_else(|| known().map(|(_, value)| Reference::of(value)));
            Some((rule.name.clone(), reference?))
        });
        let references = references.collect();
        Self { wanted, references, sent: now, is_first: true, is_delayed: false, timer: None }
    }

    /// Whether a new value is worth an event; remembers those that are.
    fn is_triggered(&mut self, rules: &[FieldRule], name: &str, value: &Value) -> bool {
        let mut is_triggered = false;
        for rule in rules.iter().filter(|rule| rule.name == name) {
            is_triggered |= triggers(rule, self.references.get(name), value);
        }
        if is_triggered {
            self.references.insert(name.to_owned(), Reference::of(value));
        }
        is_triggered
    }

    pub(super) fn passed(&mut self, now: Timestamp) {
        (self.sent, self.is_first, self.is_delayed) = (now, false, false);
    }
}

/// Whether a subscription with these kinds and rules is sent a field.
fn is_wanted(kinds: FieldKinds, rules: &[FieldRule], permit: &ReadPermit, field: &Field) -> bool {
    let is_named = rules.is_empty() || rules.iter().any(|rule| rule.name == field.name);
    is_named && field.kinds.meets(kinds) && permit.covers(&field.name)
}

impl Subscription {
    /// When the target's interval ends next.
    pub(super) fn due(&self, target: &Target) -> Option<Timestamp> {
        let shortest = self.interval_us_min.filter(|_| target.is_delayed).map(|us| plus_us(target.sent, us));
        let longest = self.interval_us_max.map(|us| plus_us(target.sent, us));
        shortest.into_iter().chain(longest).min()
    }

    /// What is known of the node, as far as the subscription goes.
    pub(super) fn known(&self, target: &Target, entry: &Entry, now: Timestamp) -> Vec<NodeReading> {
        let oldest = self.age_us_max.and_then(|us| i64::try_from(us).ok()).map(|us| now.0.saturating_sub(us));
        let values = entry.last_values(|field| is_wanted(self.kinds, &self.rules, &target.wanted.permit, field));
        let readings = values.into_iter().map(|(at, mut fields)| {
            let is_old = oldest.is_some_and(|oldest| at.0 < oldest);
            fields.retain(|field| !(is_old && (field.kinds - FieldKinds::PAST).is_empty() && !field.kinds.is_empty()));
            NodeReading { node: target.wanted.shown.clone(), at, fields, errors: Vec::new() }
        });
        readings.filter(|reading| !reading.fields.is_empty()).collect()
    }

    pub(super) fn notice(&self, readings: Vec<NodeReading>) -> Notice {
        let (caller, id, is_away) = (self.caller.clone(), self.id.clone(), self.away_since.is_some());
        Notice { caller, profile: self.profile, id, record: self.record, readings, is_away }
    }

    /// Whether every report is to be passed on as it comes.
    pub(super) fn wants_all(&self) -> bool {
        self.rules.is_empty() && self.interval_us_min.is_none()
    }

    /// Those of a node's values that it is sent.
    pub(super) fn select(&self, target: &Target, mut fields: Vec<FieldValue>) -> Vec<FieldValue> {
        fields.retain(|field| field.kinds.meets(self.kinds) && target.wanted.permit.covers(&field.name));
        fields
    }

    /// Decides about a report: now, later, or not at all. `stamp` is what the clock says.
    pub(super) fn report(
        &mut self,
        key: NodeKey,
        entry: &Entry,
        reading: &Reading,
        (now, stamp): (Timestamp, Timestamp),
    ) -> Option<Vec<NodeReading>> {
        let (kinds, rules) = (self.kinds, &self.rules);
        let (is_away, wants_all) = (self.away_since.is_some(), self.wants_all());
        let target = self.targets.get_mut(&key).filter(|_| !is_away || wants_all)?;
        let permit = &target.wanted.permit;
        let fields = entry.values(reading, |field| is_wanted(kinds, rules, permit, field));
        let mut is_worth_it = rules.is_empty() && !fields.is_empty();
        for field in fields.iter().filter(|_| !rules.is_empty()) {
            is_worth_it |= target.is_triggered(rules, &field.name, &field.value);
        }
        if !is_worth_it {
            return None;
        }
        if is_away {
            return Some(vec![reading_of(target, reading.at, fields)]);
        }
        let is_early = self.interval_us_min.is_some_and(|us| now < plus_us(target.sent, us)) && !target.is_first;
        if is_early {
            target.is_delayed = true;
            return None;
        }
        target.passed(now);
        if rules.is_empty() {
            return Some(vec![reading_of(target, reading.at, fields)]);
        }
        let target = self.targets.get(&key)?;
        Some(self.known(target, entry, stamp))
    }
}

fn reading_of(target: &Target, at: Timestamp, fields: Vec<FieldValue>) -> NodeReading {
    NodeReading { node: target.wanted.shown.clone(), at, fields, errors: Vec::new() }
}

impl Subscriptions {
    pub(in crate::hub) fn len(&self) -> usize {
        self.live.len()
    }

    /// Whose the subscription with this record is, for people.
    pub(in crate::hub) fn caller_of(&self, record: u64) -> Option<String> {
        self.live.values().find(|live| live.record == record).map(|live| live.caller.jid.to_string())
    }

    /// How many want this node.
    pub(in crate::hub) fn of_node(&self, key: NodeKey) -> usize {
        self.nodes.get(&key).map_or(0, BTreeSet::len)
    }

    /// How many this JID has, at all our addresses.
    pub(super) fn of_caller(&self, caller: &Jid) -> usize {
        let from = (Peer::first_of(caller), String::new());
        self.names.range(from..).take_while(|((peer, _), _)| peer.jid == *caller).count()
    }

    /// Those of a peer, if its JID is a full one.
    pub(super) fn of_peer(&self, peer: &Peer) -> Vec<u64> {
        let from = (Peer::first_of(&peer.jid), String::new());
        let own = self.names.range(from..).take_while(|((one, _), _)| one.jid == peer.jid);
        own.filter(|((one, _), _)| peer.concerns(one)).map(|(_, number)| *number).collect()
    }

    /// What a report comes to for those who want its node, now, and as the clock says.
    pub(super) fn report(
        &mut self,
        key: NodeKey,
        entry: &Entry,
        reading: &Reading,
        timers: &mut Timers,
        now: (Timestamp, Timestamp),
    ) -> Vec<Notice> {
        let Some(numbers) = self.nodes.get(&key) else { return Vec::new() };
        let mut notices = Vec::new();
        for number in numbers {
            let Some(subscription) = self.live.get_mut(number) else { continue };
            let readings = subscription.report(key, entry, reading, now);
            notices.extend(readings.map(|readings| subscription.notice(readings)));
            subscription.arm(*number, key, timers);
        }
        notices
    }

    /// Takes one node out of a subscription; gives whether nobody is left who wants the node.
    pub(super) fn take_target(&mut self, number: u64, key: NodeKey, timers: &mut Timers) -> bool {
        let target = self.live.get_mut(&number).and_then(|subscription| subscription.targets.remove(&key));
        let Some(target) = target else { return false };
        self.pairs = self.pairs.saturating_sub(1);
        if let Some(at) = target.timer {
            timers.cancel(at, Timer::Interval(number, key));
        }
        let Some(numbers) = self.nodes.get_mut(&key) else { return false };
        numbers.remove(&number);
        if numbers.is_empty() {
            self.nodes.remove(&key);
            return true;
        }
        false
    }
}

impl Subscription {
    /// Sets the node's timer, if there is something to wait for that is earlier than what is set.
    pub(super) fn arm(&mut self, number: u64, key: NodeKey, timers: &mut Timers) {
        if self.interval_us_min.is_none() && self.interval_us_max.is_none() {
            return;
        }
        let due = self.targets.get(&key).and_then(|target| self.due(target));
        let Some(target) = self.targets.get_mut(&key) else { return };
        if due == target.timer {
            return;
        }
        if let Some(at) = target.timer {
            timers.cancel(at, Timer::Interval(number, key));
        }
        if let Some(at) = due {
            timers.set(at, Timer::Interval(number, key));
        }
        target.timer = due;
    }
}
