//! Readings that are pushed without being asked for: the operator's `[[publish]]` sections at work.
//!
//! Owns which section names which node, the pace of each, and what is on its way and not confirmed ([`parcels`], by [`channel`]). A section that pushes to one
//! JID pushes only what that JID may read, looked at again whenever something is sent; for presence, nodes and rooms the section itself
//! is the permission. What was promised (a reading with a receipt, and every message with a promise) outlives a restart; it is let go when it is
//! confirmed, refused for good, or displaced in a full channel.

mod channel;
mod messages;
mod parcels;
mod presence;
mod pubsub;
mod room;
mod rule;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jid::{BareJid, Jid};
use minidom::Element;

use super::Hub;
use super::addresses::Peer;
use super::mirror::address;
use super::registry::NodeKey;
use super::rooms::RoomRule;
use super::timers::Timer;
use super::traces::Cause;
use crate::model::{Event, Field, HOPS, Node, NodeReading, NodeRef, ORIGIN, Reading, Timestamp, limits};
use crate::wire::sensor;

use channel::{Channel, Lane};
pub use rule::{How, Promise, Rule};

/// All sections, and what is on its way because of them.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    rules: Vec<Arc<Rule>>,
    /// Which rules name a node, found once for each.
    named: BTreeMap<NodeKey, Vec<usize>>,
    /// When a node was published by a rule that has a pace.
    paces: BTreeMap<(usize, NodeKey), Pace>,
    lanes: BTreeMap<u64, Lane>,
    channels: BTreeMap<Channel, u64>,
    /// From parcel to lane.
    parcels: BTreeMap<u64, u64>,
    announced: presence::Announced,
    /// Nodes of services that take no options with a publication; true: the node is as it must be.
    optionless: BTreeMap<Channel, bool>,
    /// Whom we asked in this session to show us when they are there.
    asked: BTreeSet<BareJid>,
    pub(super) is_online: bool,
    given_up: u64,
}

#[derive(Clone, Copy, Debug)]
struct Pace {
    last: Timestamp,
    is_late: bool,
}

/// A parcel cannot be sent now; whatever changes that tries again.
struct NotNow;

impl Publisher {
    /// The rule that says how a channel is to be.
    fn rule_of(&self, channel: &Channel) -> Option<Arc<Rule>> {
        self.rules.iter().find(|rule| rule.feeds(channel)).cloned()
    }

    fn rules_of(&mut self, key: NodeKey, name: &NodeRef) -> Vec<usize> {
        if self.rules.is_empty() {
            return Vec::new();
        }
        let rules = &self.rules;
        let found = self.named.entry(key).or_insert_with(|| {
            rules.iter().enumerate().filter(|(_, rule)| rule.share.names(name)).map(|(index, _)| index).collect()
        });
        found.clone()
    }

    /// Whether some rule names the node.
    pub(super) fn wants(&self, name: &NodeRef) -> bool {
        self.rules.iter().any(|rule| rule.share.names(name))
    }

    /// A node is gone.
    pub(super) fn forget(&mut self, key: NodeKey) {
        self.named.remove(&key);
        self.paces.retain(|(_, other), _| *other != key);
    }

    /// Rooms that some section speaks in, with what the first says of each.
    pub(super) fn rooms(&self) -> impl Iterator<Item = RoomRule> {
        self.rules.iter().filter_map(|rule| match &rule.how {
            How::Room(room) => Some(room.clone()),
            How::Message { .. } | How::Presence | How::Node { .. } | How::Queue(_) => None,
        })
    }

    fn lane_of(&mut self, channel: &Channel, number: u64) -> Option<u64> {
        if let Some(lane) = self.channels.get(channel) {
            return Some(*lane);
        }
        if self.lanes.len() >= limits::CHANNELS_MAX {
            return None;
        }
        self.lanes.insert(number, Lane::new(channel.clone()));
        self.channels.insert(channel.clone(), number);
        Some(number)
    }

    fn lanes_where(&self, is_so: impl Fn(&Channel) -> bool) -> Vec<u64> {
        self.lanes.iter().filter(|(_, lane)| is_so(&lane.channel)).map(|(number, _)| *number).collect()
    }

    /// Where a section publishes, for people.
    pub(super) fn described(&self, index: usize) -> Option<String> {
        Some(match &self.rules.get(index)?.how {
            How::Message { to, .. } => to.to_string(),
            How::Presence => "presence".to_owned(),
            How::Node { service: Some(service), node, .. } => format!("node {node} of {service}"),
            How::Node { service: None, node, .. } => format!("node {node} of our account"),
            How::Room(room) => format!("room {}", room.room),
            How::Queue(queue) => format!("queue {queue}"),
        })
    }

    /// Publications that nobody has confirmed, and how many were given up.
    pub(super) fn counts(&self) -> (usize, u64) {
        (self.parcels.len(), self.given_up)
    }
}

impl Hub {
    /// Other sections are in force: channels that none leads to any more are given up, rooms are left and entered.
    pub fn publish_changed(&mut self, rules: Vec<Rule>, now: Timestamp) {
        self.now = now;
        let before = self.published_nodes();
        self.publisher.rules = rules.into_iter().map(Arc::new).collect();
        self.publisher.named.clear();
        self.publisher.paces.clear();
        self.publisher.optionless.clear();
        let after = self.published_nodes();
        for (key, bridge, number) in before.iter().filter(|node| !after.contains(node)) {
            if self.subscriptions.of_node(*key) == 0 {
                self.tell(bridge, Event::Unwanted(*number));
            }
        }
        for (key, bridge, number) in after.difference(&before) {
            if self.subscriptions.of_node(*key) == 0 {
                self.tell(bridge, Event::Wanted(*number));
            }
        }
        self.close_channels();
        self.rooms_changed(now);
        self.presence_due(now);
        self.renew_channels(|_| true, now);
    }

    fn published_nodes(&self) -> BTreeSet<(NodeKey, String, u32)> {
        if self.publisher.rules.is_empty() {
            return BTreeSet::new();
        }
        let named = self.registry.all().filter(|(_, entry)| self.publisher.wants(&entry.name));
        named.map(|(key, entry)| (key, entry.bridge.to_string(), entry.node.number)).collect()
    }

    /// The session is a new one: what was under way is sent again, rooms are entered again.
    pub(super) fn publisher_online(&mut self, now: Timestamp) {
        self.publisher.is_online = true;
        self.publisher.asked.clear();
        self.enter_all(now);
        self.renew_channels(|_| true, now);
    }

    /// Publishes a report by every section that names its node; gives the items of what has to be durable.
    pub(super) fn publish(&mut self, key: NodeKey, reading: &Reading, is_durable: bool, now: Timestamp) -> Vec<u64> {
        let Some(entry) = self.registry.get(key) else { return Vec::new() };
        let mut items = Vec::new();
        for index in self.publisher.rules_of(key, &entry.name) {
            let Some(rule) = self.publisher.rules.get(index).cloned() else { continue };
            if matches!(rule.how, How::Presence) {
                self.presence_due(now);
            } else if !self.is_early(index, key, &rule, now) {
                let reading = Some(reading).filter(|_| !rule.is_whole());
                let published = self.publish_by(&rule, key, reading, is_durable, now);
                let is_allowed = !published.is_empty() || self.may_publish(&rule, key);
                self.traces.copy(Cause::Rule(index), is_allowed, published.first().copied());
                items.extend(published);
            }
        }
        items
    }

    /// Whether its reader may see the node at all.
    fn may_publish(&self, rule: &Rule, key: NodeKey) -> bool {
        let How::Message { to, .. } = &rule.how else { return true };
        let entry = self.registry.get(key);
        entry.is_some_and(|entry| self.config.policy.of(&to.to_bare()).read(&entry.name).is_ok())
    }

    /// Whether the section's pace makes the node wait; then its newest values are published when it ends.
    fn is_early(&mut self, index: usize, key: NodeKey, rule: &Rule, now: Timestamp) -> bool {
        if rule.interval_us_min == 0 {
            return false;
        }
        let pace = self.publisher.paces.get(&(index, key)).copied();
        let next = pace.map_or(now, |pace| pace.last.plus_ms(rule.interval_us_min / 1000));
        if next <= now {
            self.publisher.paces.insert((index, key), Pace { last: now, is_late: false });
            return false;
        }
        if let Some(pace) = self.publisher.paces.get_mut(&(index, key)).filter(|pace| !pace.is_late) {
            pace.is_late = true;
            self.timers.set(next, Timer::Pace(index, key));
        }
        true
    }

    /// A node may be published again.
    pub(super) fn pace_over(&mut self, index: usize, key: NodeKey, now: Timestamp) {
        let Some(rule) = self.publisher.rules.get(index).cloned() else { return };
        let pace = self.publisher.paces.get(&(index, key)).filter(|pace| pace.is_late);
        if pace.is_some_and(|pace| pace.last.plus_ms(rule.interval_us_min / 1000) <= now) {
            self.publisher.paces.insert((index, key), Pace { last: now, is_late: false });
            self.publish_by(&rule, key, None, false, now);
        }
    }

    /// Publishes a reading, or without one all that is known of the node, as far as the section and its reader's rules go.
    fn publish_by(
        &mut self,
        rule: &Rule,
        key: NodeKey,
        reading: Option<&Reading>,
        is_durable: bool,
        now: Timestamp,
    ) -> Vec<u64> {
        let Some(entry) = self.registry.get(key) else { return Vec::new() };
        let permit = match &rule.how {
            How::Message { to, .. } => match self.config.policy.of(&to.to_bare()).read(&entry.name) {
                Ok(permit) => Some(permit),
                Err(_) => return Vec::new(),
            },
            How::Presence | How::Node { .. } | How::Room(_) | How::Queue(_) => None,
        };
        let is_wanted = |field: &Field| {
            rule.share.covers(&field.name) && permit.as_ref().is_none_or(|permit| permit.covers(&field.name))
        };
        let stamped = match reading {
            Some(reading) => vec![(reading.at, entry.values(reading, is_wanted))],
            None => entry.last_values(is_wanted).into_iter().collect(),
        };
        let node = entry.name.clone();
        let origin = self.origin_of(rule, &entry.node, &node);
        let readings = stamped.into_iter().filter(|(_, fields)| !fields.is_empty()).map(|(at, fields)| NodeReading {
            node: Some(node.clone()),
            at,
            fields,
            errors: Vec::new(),
        });
        let readings: Vec<NodeReading> = readings.collect();
        if readings.is_empty() {
            return Vec::new();
        }
        self.hand_over(rule, &node, (&readings, origin), is_durable, now)
    }

    /// Where the node lives, if that has to be said: it is somebody else's, or whoever reads it sees a service and not us.
    fn origin_of(&self, rule: &Rule, node: &Node, name: &NodeRef) -> Option<(String, u32)> {
        let is_by_a_service = matches!(&rule.how, How::Node { service: Some(_), .. });
        let own = || Some((address(&self.me().filter(|_| is_by_a_service)?.to_bare(), name), 0));
        elsewhere(node).or_else(own)
    }

    fn hand_over(
        &mut self,
        rule: &Rule,
        node: &NodeRef,
        (readings, origin): (&[NodeReading], Option<(String, u32)>),
        is_durable: bool,
        now: Timestamp,
    ) -> Vec<u64> {
        let id = self.stanza_id();
        let payloads = match &rule.how {
            How::Message { to, .. } => sensor::split(self.profile(&self.reader(to), rule.dialect), &id, readings, true),
            How::Node { .. } | How::Queue(_) => vec![sensor::data(rule.dialect.into(), &id, readings, true)],
            How::Presence | How::Room(_) => sensor::split(rule.dialect.into(), &id, readings, true),
        };
        let route = self.routes.of(&node.source, rule.how.way());
        let mut items = Vec::new();
        for payload in payloads {
            let payload = sensor::with_origins(payload, |_| origin.clone());
            match (&rule.how, rule.channel(node)) {
                (How::Message { promise, .. }, Some(channel)) => {
                    let is_kept = *promise != Promise::None || is_durable;
                    items.extend(self.post(channel, payload, is_kept.then_some(&route), now));
                }
                (_, Some(channel)) => items.extend(self.post(channel, payload, is_durable.then_some(&route), now)),
                (How::Message { to, .. }, None) if is_durable => {
                    items.extend(self.durable_message(&self.reader(to), payload, &route));
                }
                (How::Message { to, .. }, None) => self.message(&self.reader(to), payload),
                (How::Queue(queue), None) => items.extend(self.enqueue(queue, &payload, &node.source, is_durable, now)),
                (_, None) => {}
            }
        }
        items
    }

    /// Puts a reading into a queue of ours; gives its item. A full queue takes it later if its device waits for a receipt.
    fn enqueue(
        &mut self,
        queue: &str,
        payload: &Element,
        bridge: &str,
        is_durable: bool,
        now: Timestamp,
    ) -> Option<u64> {
        let item = self.provide(queue, payload, bridge, is_durable, now);
        if item.is_none() {
            self.publisher.given_up += 1;
        }
        item
    }

    /// A recipient, who hears us from our own address.
    fn reader(&self, to: &Jid) -> Peer {
        Peer { jid: to.clone(), at: self.config.component.clone().map(Jid::from) }
    }
}

/// Where a node lives that shows somebody else's thing, and through how many hosts' hands it has come.
fn elsewhere(node: &Node) -> Option<(String, u32)> {
    let hops = node.extra(HOPS).map_or(0, |hops| hops.parse().unwrap_or(u32::MAX));
    Some((node.extra(ORIGIN)?.to_owned(), hops))
}
