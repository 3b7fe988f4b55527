//! Event subscriptions: standing wishes for readings (sensor-data §5).
//!
//! Owns who wants what of which node, indexed by node, so that a report that nobody wants costs one look. Without field rules every report
//! is passed on as it came; with rules, a change that is worth it sends what is known of the node. An interval that delays keeps only the
//! newest values, so a receipt does not wait for it. A subscriber that is away is not sent anything; when it is back, it gets what is known,
//! and before that what was promised meanwhile ([`super::held`]). What is wished is kept over a restart ([`kept`]).

mod kept;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use jid::BareJid;

use super::addresses::Peer;
use super::lookup::{Readable, check_count, not_found};
use super::readouts::Filter;
use super::registry::{NodeKey, Registry};
use super::timers::Timer;
use super::traces::Cause;
use super::{Asker, Hub};
use crate::model::custody::{self, Route};
use crate::model::{Event, NodeReading, NodeRef, Reading, Timestamp, limits};
use crate::policy::{Access, ReadPermit};
use crate::wire::StanzaFault;
use crate::wire::sensor;
use crate::wire::subscribe::Subscribe;

use kept::forgotten;
pub(super) use table::Subscriptions;
use table::{Notice, Subscription, Target};

impl Hub {
    /// Answers `<subscribe>`; the result leaves when the wish would survive a crash, and before any reading.
    pub(super) fn subscribe(&mut self, asker: &Asker, caller: Peer, wish: Subscribe, now: Timestamp) {
        let (dialect, id, is_read_now) = (wish.dialect, wish.id.clone(), wish.read_now);
        match self.accept(&caller, wish, now) {
            Ok(number) => {
                let kept = self.subscriptions.live.get(&number).filter(|live| live.is_kept).map(|live| live.record);
                self.answer_after(kept, asker, Some(sensor::accepted(dialect, &id, false)));
                self.give_held(&caller.bare());
                if is_read_now {
                    self.read_subscribed(number, now);
                }
            }
            Err(fault) => self.refuse(asker, &sensor::refuse(dialect, &id, fault)),
        }
    }

    fn accept(&mut self, caller: &Peer, wish: Subscribe, now: Timestamp) -> Result<u64, StanzaFault> {
        let selection = self.readable(caller, wish.dialect, &wish.nodes)?;
        check_count(wish.fields.len())?;
        if let Some((_, reason)) = selection.unreadable.first() {
            return Err(StanzaFault::bad_request(*reason));
        }
        if selection.nodes.is_empty() {
            return Err(not_found());
        }
        self.check_room(caller, &wish.id, selection.nodes.len())?;
        if let Some(number) = self.subscriptions.names.get(&(caller.clone(), wish.id.clone())).copied() {
            self.end_subscription(number);
        }
        self.replace_older(caller, &selection.nodes);
        let number = self.number();
        let record = self.item();
        let is_kept = self.keep_wish(record, caller, &wish);
        let subscription = Subscription { is_kept, ..self.subscription(caller, wish, record) };
        self.insert(number, subscription, selection.nodes, now);
        Ok(number)
    }

    /// A wish without nodes yet.
    fn subscription(&self, caller: &Peer, wish: Subscribe, record: u64) -> Subscription {
        Subscription {
            caller: caller.clone(),
            profile: self.profile(caller, wish.dialect),
            id: wish.id,
            kinds: wish.kinds,
            rules: wish.fields,
            age_us_max: wish.age_us_max,
            interval_us_min: wish.interval_us_min,
            interval_us_max: wish.interval_us_max,
            targets: BTreeMap::new(),
            away_since: None,
            is_unknown: false,
            record,
            is_kept: false,
            waiting: Vec::new(),
        }
    }

    fn check_room(&self, caller: &Peer, id: &str, nodes: usize) -> Result<(), StanzaFault> {
        let subscriptions = &self.subscriptions;
        let is_new = !subscriptions.names.contains_key(&(caller.clone(), id.to_owned()));
        let is_full = is_new
            && (subscriptions.len() >= limits::SUBSCRIPTIONS_MAX
                || subscriptions.of_caller(&caller.jid) >= limits::SUBSCRIPTIONS_PER_CALLER_MAX);
        match is_full || subscriptions.pairs + nodes > limits::SUBSCRIBED_NODES_MAX {
            true => Err(StanzaFault::overload("Too many subscriptions.")),
            false => Ok(()),
        }
    }

    /// At most one subscription for each subscriber and node: the newer one counts.
    fn replace_older(&mut self, caller: &Peer, nodes: &[Readable]) {
        for number in self.subscriptions.of_peer(caller) {
            for node in nodes {
                self.end_target(number, node.key);
            }
            self.end_if_empty(number);
        }
    }

    fn insert(&mut self, number: u64, mut subscription: Subscription, nodes: Vec<Readable>, now: Timestamp) {
        let name = (subscription.caller.clone(), subscription.id.clone());
        let mut wanted = Vec::new();
        for node in nodes {
            let key = node.key;
            let Some(entry) = self.registry.get(key) else { continue };
            subscription.targets.insert(key, Target::new(node, &subscription.rules, entry, now));
            subscription.arm(number, key, &mut self.timers);
            let numbers = self.subscriptions.nodes.entry(key).or_default();
            if numbers.is_empty() {
                wanted.push((entry.bridge.to_string(), entry.node.number));
            }
            numbers.insert(number);
            self.subscriptions.pairs += 1;
        }
        self.subscriptions.names.insert(name, number);
        self.subscriptions.live.insert(number, subscription);
        for (bridge, node) in wanted {
            self.tell(&bridge, Event::Wanted(node));
        }
    }

    fn read_subscribed(&mut self, number: u64, now: Timestamp) {
        let Some(subscription) = self.subscriptions.live.get(&number) else { return };
        let nodes = subscription.targets.values().map(|target| target.wanted.clone()).collect();
        let fields = subscription.rules.iter().map(|rule| rule.name.clone()).collect();
        let filter = Filter { fields, kinds: subscription.kinds, from: None, to: None };
        let named = (subscription.caller.clone(), subscription.profile, subscription.id.clone());
        self.read_now(named, subscription.wants_all(), nodes, filter, now);
    }

    /// The subscriber wants no more of it.
    pub(super) fn unsubscribe(&mut self, caller: &Peer, id: &str) {
        if let Some(number) = self.subscriptions.names.get(&(caller.clone(), id.to_owned())).copied() {
            self.end_subscription(number);
        }
    }

    /// Passes a report on to those who want its node; gives the items of what has to be durable.
    pub(super) fn notify(&mut self, key: NodeKey, reading: &Reading, is_durable: bool, now: Timestamp) -> Vec<u64> {
        let Some(entry) = self.registry.get(key) else { return Vec::new() };
        let at = (now, self.stamp(now));
        let notices = self.subscriptions.report(key, entry, reading, &mut self.timers, at);
        if notices.is_empty() {
            return Vec::new();
        }
        let promised = is_durable.then(|| self.routes.of(&entry.bridge, custody::EVENT));
        let (away, present): (Vec<Notice>, Vec<Notice>) = notices.into_iter().partition(|notice| notice.is_away);
        let mut items = Vec::new();
        for notice in &present {
            let sent = self.send_notice(notice, promised.as_ref());
            self.traces.copy(Cause::Subscription(notice.record), true, sent.first().copied());
            items.extend(sent);
        }
        let mut served = present;
        for (notice, route) in away.into_iter().zip(promised.iter().cycle()) {
            if !served.iter().any(|other| other.has_all_of(&notice)) {
                let held = self.hold_notice(&notice, route.bridge(), now);
                self.traces.copy(Cause::Subscription(notice.record), true, held.first().copied());
                items.extend(held);
                served.push(notice);
            }
        }
        items
    }

    fn hold_notice(&mut self, notice: &Notice, bridge: &str, now: Timestamp) -> Vec<u64> {
        let messages = sensor::split(notice.profile, &notice.id, &notice.readings, true);
        messages.into_iter().filter_map(|message| self.hold(&notice.caller, message, bridge, now)).collect()
    }

    /// Gives a reading that was held to the first subscription of the account that is to have it, under the number under which it was
    /// promised; gives its node if there is one.
    pub(super) fn give_reading(
        &mut self,
        account: &BareJid,
        reading: &NodeReading,
        number: &mut Option<u64>,
    ) -> Option<NodeKey> {
        let key = reading.node.as_ref().and_then(|name| self.registry.find(name))?;
        let numbers = self.subscriptions.nodes.get(&key).into_iter().flatten();
        let found = numbers.filter_map(|number| self.subscriptions.live.get(number)).find_map(|subscription| {
            let is_theirs = subscription.away_since.is_none() && subscription.caller.bare() == *account;
            let target = subscription.targets.get(&key).filter(|_| is_theirs && subscription.wants_all())?;
            let fields = subscription.select(target, reading.fields.clone());
            let node = target.wanted.shown.clone();
            let reading = NodeReading { node, at: reading.at, fields, errors: Vec::new() };
            (!reading.fields.is_empty()).then(|| subscription.notice(vec![reading]))
        });
        let notice = found?;
        let route = self.registry.get(key).map(|entry| self.routes.of(&entry.bridge, custody::EVENT))?;
        for message in sensor::split(notice.profile, &notice.id, &notice.readings, true) {
            self.named_message(&notice.caller, message, &route, number.take());
        }
        Some(key)
    }

    /// Sends it, in custody if it has a route; gives the items then.
    fn send_notice(&mut self, notice: &Notice, promised: Option<&Route>) -> Vec<u64> {
        let messages = sensor::split(notice.profile, &notice.id, &notice.readings, true);
        match promised {
            Some(route) => messages
                .into_iter()
                .filter_map(|message| self.durable_message(&notice.caller, message, route))
                .collect(),
            None => {
                self.messages(&notice.caller, messages);
                Vec::new()
            }
        }
    }

    /// An interval of a node ends.
    pub(super) fn interval_over(&mut self, number: u64, key: NodeKey, now: Timestamp) {
        let Some(subscription) = self.subscriptions.live.get_mut(&number) else { return };
        let Some(target) = subscription.targets.get_mut(&key) else { return };
        target.timer = None;
        if subscription.away_since.is_some() {
            return;
        }
        let is_due =
            subscription.targets.get(&key).and_then(|target| subscription.due(target)).is_some_and(|due| due <= now);
        if is_due {
            self.send_known(number, key, now);
        }
        self.rearm(number, key);
    }

    fn rearm(&mut self, number: u64, key: NodeKey) {
        if let Some(subscription) = self.subscriptions.live.get_mut(&number) {
            subscription.arm(number, key, &mut self.timers);
        }
    }

    fn send_known(&mut self, number: u64, key: NodeKey, now: Timestamp) {
        let at = self.stamp(now);
        let Some(subscription) = self.subscriptions.live.get_mut(&number) else { return };
        if let Some(target) = subscription.targets.get_mut(&key) {
            target.passed(now);
        }
        let (Some(target), Some(entry)) = (subscription.targets.get(&key), self.registry.get(key)) else { return };
        let readings = subscription.known(target, entry, at);
        if !readings.is_empty() {
            let notice = subscription.notice(readings);
            self.send_notice(&notice, None);
        }
    }

    /// A subscriber went offline: nothing is sent, and after a while the subscription ends.
    pub(super) fn subscriber_away(&mut self, caller: &Peer, now: Timestamp) {
        for number in self.subscriptions.of_peer(caller) {
            let Some(subscription) = self.subscriptions.live.get_mut(&number) else { continue };
            subscription.is_unknown = false;
            if subscription.away_since.is_none() {
                subscription.away_since = Some(now);
                self.timers.set(now.plus_ms(limits::SUBSCRIBER_AWAY_MS_MAX), Timer::Offline(number));
            }
        }
    }

    /// A subscriber is back: it gets what is known.
    pub(super) fn subscriber_back(&mut self, caller: &Peer, now: Timestamp) {
        let mut is_back = false;
        for number in self.subscriptions.of_peer(caller) {
            let Some(subscription) = self.subscriptions.live.get_mut(&number) else { continue };
            let Some(since) = subscription.away_since.take() else { continue };
            subscription.is_unknown = false;
            self.timers.cancel(since.plus_ms(limits::SUBSCRIBER_AWAY_MS_MAX), Timer::Offline(number));
            is_back = true;
        }
        if !is_back {
            return;
        }
        let given = self.give_held(&caller.bare());
        for number in self.subscriptions.of_peer(caller) {
            let profile = self.subscriptions.live.get(&number).map(|live| self.profile(caller, live.profile.dialect));
            let Some(subscription) = self.subscriptions.live.get_mut(&number) else { continue };
            subscription.profile = profile.unwrap_or(subscription.profile);
            let keys: Vec<NodeKey> = subscription.targets.keys().copied().collect();
            for key in keys {
                let reported = self.registry.get(key).and_then(|entry| entry.reported);
                if given.get(&key).is_none_or(|given| Some(*given) < reported) {
                    self.send_known(number, key, now);
                }
                self.rearm(number, key);
            }
        }
    }

    /// A subscriber was away for too long.
    pub(super) fn away_too_long(&mut self, number: u64) {
        if self.subscriptions.live.get(&number).is_some_and(|subscription| subscription.away_since.is_some()) {
            self.end_subscription(number);
        }
    }

    fn end_subscription(&mut self, number: u64) {
        self.wait_no_more(number);
        let Some(subscription) = self.subscriptions.live.get(&number) else { return };
        let keys: Vec<NodeKey> = subscription.targets.keys().copied().collect();
        for key in keys {
            self.end_target(number, key);
        }
        self.end_if_empty(number);
    }

    fn end_target(&mut self, number: u64, key: NodeKey) {
        if !self.subscriptions.take_target(number, key, &mut self.timers) {
            return;
        }
        match self.registry.get(key) {
            Some(entry) if self.publisher.wants(&entry.name) || self.follows.wants(key) => {}
            Some(entry) => {
                let (bridge, node) = (entry.bridge.to_string(), entry.node.number);
                self.tell(&bridge, Event::Unwanted(node));
            }
            None => self.registry.forget(key),
        }
    }

    fn end_if_empty(&mut self, number: u64) {
        let is_alive = |live: &Subscription| !live.targets.is_empty() || !live.waiting.is_empty();
        if self.subscriptions.live.get(&number).is_none_or(is_alive) {
            return;
        }
        if let Some(subscription) = self.subscriptions.live.remove(&number) {
            self.subscriptions.names.remove(&(subscription.caller.clone(), subscription.id));
            if subscription.is_kept {
                self.outputs.push_back(forgotten(subscription.record));
            }
            if let Some(since) = subscription.away_since {
                self.timers.cancel(since.plus_ms(limits::SUBSCRIBER_AWAY_MS_MAX), Timer::Offline(number));
            }
        }
    }

    /// The subscribers of whom this is so.
    pub(super) fn subscribers(&self, is_so: impl Fn(&Peer) -> bool) -> BTreeSet<Peer> {
        self.subscriptions.live.values().map(|live| &live.caller).filter(|caller| is_so(caller)).cloned().collect()
    }

    /// Subscribers who cannot be reached any more.
    pub(super) fn drop_subscriptions(&mut self, is_gone: impl Fn(&Peer) -> bool) {
        let live = self.subscriptions.live.iter().filter(|(_, subscription)| is_gone(&subscription.caller));
        for number in live.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.end_subscription(number);
        }
    }

    /// A node is gone for good.
    pub(super) fn subscriptions_lose(&mut self, key: NodeKey) {
        let numbers = self.subscriptions.nodes.get(&key).cloned().unwrap_or_default();
        for number in numbers {
            self.subscriptions.take_target(number, key, &mut self.timers);
            self.end_if_empty(number);
        }
    }

    /// Rules changed: permits are asked for again; who lost one is told so, and is not sent anything more of that node.
    pub(super) fn recheck_subscriptions(&mut self, now: Timestamp) {
        let numbers: Vec<u64> = self.subscriptions.live.keys().copied().collect();
        for number in numbers {
            let Some(subscription) = self.subscriptions.live.get_mut(&number) else { continue };
            let access = self.config.policy.of(&subscription.caller.bare());
            let mut lost = Vec::new();
            for (key, target) in &mut subscription.targets {
                match permit_again(&self.registry, &access, *key) {
                    Some(permit) => target.wanted.permit = permit,
                    None => lost.push(*key),
                }
            }
            if access.check().is_err() {
                self.wait_no_more(number);
            }
            self.tell_denied(number, &lost, now);
            for key in lost {
                self.end_target(number, key);
            }
            self.end_if_empty(number);
        }
    }

    /// The end of the wish for these nodes, as a readout would tell it. They are called what the subscriber calls them.
    fn tell_denied(&mut self, number: u64, lost: &[NodeKey], now: Timestamp) {
        let Some(subscription) = self.subscriptions.live.get(&number).filter(|live| live.away_since.is_none()) else {
            return;
        };
        let shown =
            lost.iter().filter_map(|key| subscription.targets.get(key)).map(|target| target.wanted.shown.clone());
        let nodes: Vec<Option<NodeRef>> = match lost.len() {
            0 => return,
            count if count > limits::NAMES_PER_REQUEST_MAX => vec![None],
            _ => shown.collect(),
        };
        let at = self.stamp(now);
        let denied = |node| NodeReading { node, at, fields: Vec::new(), errors: vec!["Access denied.".to_owned()] };
        let notice = subscription.notice(nodes.into_iter().map(denied).collect());
        self.send_notice(&notice, None);
    }
}

fn permit_again(registry: &Registry, access: &Access<'_>, key: NodeKey) -> Option<ReadPermit> {
    registry.remembered(key).and_then(|entry| access.read(&entry.name).ok())
}
