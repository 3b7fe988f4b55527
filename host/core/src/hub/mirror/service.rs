//! Nodes in which others publish: of a publish-subscribe service (XEP-0060), or of an account itself (XEP-0163).
//!
//! Owns which nodes are listened to, and how far we are with each: nodes of a service are subscribed to, by name or by a pattern over what
//! the service lists; those of an account tell whoever sees its presence and says in its capabilities that it wants to be told. Then what
//! was published last is fetched. Believed is only the service that was subscribed to, and of it only nodes that are listened to; that a
//! publisher is we counts, whoever says so, and who else it is proves nothing.
//!
//! What we are subscribed to is kept over a restart, so that it ends when nobody wants it any more. After every new session, and now and then,
//! everything is subscribed to anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jid::{BareJid, Jid};
use minidom::Element;

use super::entry::Way;
use super::jobs::is_unreachable;
use super::published::Spot;
use crate::hub::asks::{Answered, Purpose};
use crate::hub::timers::Timer;
use crate::hub::{Hub, Output};
use crate::model::{NodeState, Timestamp, limits};
use crate::wire::discovery;
use crate::wire::paging::{Page, Place};
use crate::wire::pubsub::{self, Event, Happened, Item};
use crate::wire::sensor::Answer;
use crate::wire::stanza::Condition;

/// How names of records begin; then the service, a space and the node.
const RECORDS: &str = "mirror/";

/// A service, or an account with nodes of its own.
#[derive(Debug)]
pub(super) struct Service {
    /// Names it for its timer.
    number: u64,
    /// Answers of an older one mean nothing.
    epoch: u64,
    taps: BTreeMap<String, Tap>,
    chores: VecDeque<Chore>,
    under_way: usize,
    /// What was found in the listing that is under way.
    found: BTreeSet<String>,
    attempts: u32,
    retry_at: Option<Timestamp>,
    list_at: Option<Timestamp>,
    renew_at: Option<Timestamp>,
    armed: Option<Timestamp>,
}

/// A node that is listened to.
#[derive(Debug, Default)]
struct Tap {
    state: State,
    /// The item that was heard last.
    last: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// To be subscribed to.
    #[default]
    Wanted,
    /// Somebody has to consent first.
    Pending,
    /// It is not there.
    Absent,
    /// We may not.
    Refused,
    Open,
}

/// Something to be asked of a service.
#[derive(Clone, Debug, PartialEq)]
enum Chore {
    /// What it has, after this item.
    List(Option<String>),
    Subscribe(String),
    /// What was published last.
    Fetch(String),
}

/// What was asked of which service.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::hub) struct Errand {
    service: BareJid,
    epoch: u64,
    chore: Chore,
}

impl Chore {
    /// How it is asked; whether in a set. `me` is who subscribes.
    fn ask(&self, me: &BareJid) -> (bool, Element) {
        match self {
            Self::List(after) => {
                let page = after.clone().map(|after| Page { max: None, after: Some(after), before: None });
                (false, discovery::Request::Items { node: None, page }.to_element())
            }
            Self::Subscribe(node) => (true, pubsub::subscribe(node, me.as_str())),
            Self::Fetch(node) => (false, pubsub::newest(node, limits::MIRROR_ITEMS_MAX)),
        }
    }
}

impl Service {
    fn new(number: u64) -> Self {
        Self {
            number,
            epoch: 0,
            taps: BTreeMap::new(),
            chores: VecDeque::new(),
            under_way: 0,
            found: BTreeSet::new(),
            attempts: 0,
            retry_at: None,
            list_at: None,
            renew_at: None,
            armed: None,
        }
    }

    /// Whatever was agreed is void.
    fn forget(&mut self) {
        self.epoch += 1;
        self.chores.clear();
        self.found.clear();
        self.under_way = 0;
        (self.retry_at, self.list_at, self.renew_at) = (None, None, None);
        self.taps.values_mut().for_each(|tap| tap.state = State::Wanted);
    }

    pub(super) fn state_for_people(&self) -> &'static str {
        let any = |state: State| self.taps.values().any(|tap| tap.state == state);
        match () {
            () if self.retry_at.is_some() => "away",
            () if any(State::Refused) => "refused",
            () if any(State::Pending) => "waiting",
            () if any(State::Absent) || self.taps.is_empty() => "absent",
            () if any(State::Wanted) => "met",
            () => "present",
        }
    }

    fn subscribe(&mut self, node: &str) {
        let has_room = self.taps.len() < limits::MIRROR_PUBSUB_NODES_MAX || self.taps.contains_key(node);
        if has_room {
            self.taps.entry(node.to_owned()).or_default();
            self.chores.push_back(Chore::Subscribe(node.to_owned()));
        }
    }

    fn due(&self) -> Option<Timestamp> {
        self.retry_at.into_iter().chain(self.list_at).chain(self.renew_at).min()
    }
}

impl Hub {
    /// What we were subscribed to when an earlier run ended.
    pub(in crate::hub) fn recall_services(&mut self) {
        let kept = self.config.kept.range(RECORDS.to_owned()..).take_while(|(name, _)| name.starts_with(RECORDS));
        let named = kept.filter_map(|(name, _)| {
            let (service, node) = name.strip_prefix(RECORDS)?.split_once(' ')?;
            Some((BareJid::new(service).ok()?, node.to_owned()))
        });
        self.mirrors.taken = named.collect();
    }

    /// The operator's entries changed: services come and go with them.
    pub(super) fn services_changed(&mut self, touched: &BTreeSet<BareJid>, now: Timestamp) {
        for jid in touched {
            if !self.is_published_by(jid, |way| matches!(way, Way::Service(_) | Way::Pep(_))) {
                self.leave_service(jid);
                continue;
            }
            if !self.mirrors.services.contains_key(jid) {
                let number = self.number();
                self.mirrors.services.insert(jid.clone(), Service::new(number));
            }
            self.begin_service(jid, now);
        }
        self.unsubscribe_unwanted(now);
    }

    fn leave_service(&mut self, jid: &BareJid) {
        let Some(service) = self.mirrors.services.remove(jid) else { return };
        if let Some(at) = service.armed {
            self.timers.cancel(at, Timer::Service(service.number));
        }
    }

    /// A new session of ours.
    pub(super) fn services_lost(&mut self, now: Timestamp) {
        for jid in self.mirrors.services.keys().cloned().collect::<Vec<_>>() {
            if let Some(service) = self.mirrors.services.get_mut(&jid) {
                service.forget();
                service.attempts = 0;
            }
            self.set_service_alarm(&jid, now);
        }
    }

    /// We are there and know our contacts.
    pub(super) fn services_begin(&mut self, now: Timestamp) {
        for jid in self.mirrors.services.keys().cloned().collect::<Vec<_>>() {
            self.begin_service(&jid, now);
        }
        self.unsubscribe_unwanted(now);
    }

    /// Listens to whatever is wanted of a service, from the beginning.
    pub(super) fn begin_service(&mut self, jid: &BareJid, now: Timestamp) {
        if !self.mirrors.is_begun || self.is_our_account(jid) {
            return;
        }
        let ways: Vec<Way> = self.all_entries_of(jid).map(|entry| entry.way.clone()).collect();
        let Some(service) = self.mirrors.services.get_mut(jid) else { return };
        service.forget();
        service.taps.retain(|node, _| ways.iter().any(|way| means(way, node)));
        for way in &ways {
            match way {
                Way::Pep(nodes) => {
                    for node in nodes {
                        service.taps.entry(node.clone()).or_default().state = State::Open;
                        service.chores.push_back(Chore::Fetch(node.clone()));
                    }
                }
                Way::Service(nodes) if nodes.is_literal() => service.subscribe(&nodes.to_string()),
                Way::Service(_) => service.chores.push_back(Chore::List(None)),
                Way::Ask | Way::Presence | Way::Room { .. } => {}
            }
        }
        service.renew_at = Some(now.plus_ms(limits::MIRROR_RENEW_MS));
        self.do_chores(jid, now);
    }

    /// What an earlier run, or an earlier entry, subscribed to and nobody wants.
    fn unsubscribe_unwanted(&mut self, now: Timestamp) {
        let Some(me) = self.me().filter(|_| self.mirrors.is_begun).map(|me| me.to_bare()) else { return };
        for (service, node) in self.mirrors.taken.clone() {
            if !self.is_published_by(&service, |way| means(way, &node)) {
                let leave = pubsub::unsubscribe(&node, me.as_str());
                self.ask_peer(Some(&service.clone().into()), true, leave, Purpose::Nothing, now);
                self.forget_taken(&service, &node);
            }
        }
    }

    fn forget_taken(&mut self, service: &BareJid, node: &str) {
        if self.mirrors.taken.remove(&(service.clone(), node.to_owned())) {
            self.outputs.push_back(Output::Keep { item: None, name: record(service, node), bytes: None });
        }
    }

    fn do_chores(&mut self, jid: &BareJid, now: Timestamp) {
        let Some(me) = self.me().map(|me| me.to_bare()) else { return };
        while let Some(service) = self.mirrors.services.get_mut(jid)
            && service.under_way < limits::MIRROR_ASKS_PER_REMOTE_MAX
            && let Some(chore) = service.chores.pop_front()
        {
            service.under_way += 1;
            let (set, payload) = chore.ask(&me);
            let errand = Errand { service: jid.clone(), epoch: service.epoch, chore };
            self.ask_peer(Some(&jid.clone().into()), set, payload, Purpose::Service(Box::new(errand)), now);
        }
        self.set_service_alarm(jid, now);
    }

    /// A service answered.
    pub(in crate::hub) fn service_answered(&mut self, errand: Errand, outcome: Answered, now: Timestamp) {
        let Errand { service: jid, epoch, chore } = errand;
        let Some(service) = self.mirrors.services.get_mut(&jid).filter(|service| service.epoch == epoch) else {
            return;
        };
        service.under_way = service.under_way.saturating_sub(1);
        match (chore, outcome) {
            (_, Err(fault)) if is_unreachable(&fault) || fault.condition == Condition::ResourceConstraint => {
                return self.lose_service(&jid, now);
            }
            (Chore::List(_), Ok(payload)) => self.nodes_listed(&jid, payload.as_ref(), now),
            (Chore::List(_), Err(_)) => {
                self.say_once(&jid, "a service does not say which nodes it has");
                self.list_later(&jid, now);
            }
            (Chore::Subscribe(node), Ok(payload)) => {
                let state = if pubsub::is_subscribed(payload.as_ref()) { State::Open } else { State::Pending };
                self.subscribed_to(&jid, &node, state);
            }
            (Chore::Subscribe(node), Err(fault)) => {
                let is_absent = fault.condition == Condition::ItemNotFound;
                if !is_absent {
                    self.say_once(&jid, "a service does not let us subscribe to a node");
                }
                self.close_tap(&jid, &node, if is_absent { State::Absent } else { State::Refused });
                self.list_later(&jid, now);
            }
            (Chore::Fetch(node), Ok(payload)) => {
                let items = payload.as_ref().map(pubsub::items).unwrap_or_default();
                items.into_iter().for_each(|item| self.take_item(&jid, &node, item, true, now));
            }
            // Who keeps nothing, or does not let us look, may tell us all the same.
            (Chore::Fetch(_), Err(_)) => {}
        }
        if let Some(service) = self.mirrors.services.get_mut(&jid) {
            service.attempts = 0;
        }
        self.do_chores(&jid, now);
    }

    /// It does not answer, or it or we have too much to do: everything begins anew later.
    fn lose_service(&mut self, jid: &BareJid, now: Timestamp) {
        let Some(service) = self.mirrors.services.get_mut(jid) else { return };
        service.forget();
        let delay_ms = limits::MIRROR_RETRY_MS << service.attempts.min(10);
        service.attempts += 1;
        service.retry_at = Some(now.plus_ms(delay_ms.min(limits::MIRROR_RETRY_MS_MAX)));
        self.set_published(jid, NodeState::Offline, |_| true);
        self.set_service_alarm(jid, now);
    }

    fn subscribed_to(&mut self, jid: &BareJid, node: &str, state: State) {
        let Some(service) = self.mirrors.services.get_mut(jid) else { return };
        let Some(tap) = service.taps.get_mut(node) else { return };
        tap.state = state;
        if state == State::Open {
            service.chores.push_back(Chore::Fetch(node.to_owned()));
        }
        if self.mirrors.taken.insert((jid.clone(), node.to_owned())) {
            let bytes = Some(b"subscribed".to_vec());
            self.outputs.push_back(Output::Keep { item: None, name: record(jid, node), bytes });
        }
    }

    /// We hear nothing of a node any more, though it is wanted.
    fn close_tap(&mut self, jid: &BareJid, node: &str, state: State) {
        if let Some(tap) = self.mirrors.services.get_mut(jid).and_then(|service| service.taps.get_mut(node)) {
            tap.state = state;
        }
        self.forget_taken(jid, node);
    }

    /// Names of nodes, or a part of them.
    fn nodes_listed(&mut self, jid: &BareJid, query: Option<&Element>, now: Timestamp) {
        let items = query.map(discovery::parse_items).unwrap_or_default();
        let last = query.and_then(Place::parse).and_then(|place| place.last).filter(|_| !items.is_empty());
        let ways: Vec<Way> = self.all_entries_of(jid).map(|entry| entry.way.clone()).collect();
        let Some(service) = self.mirrors.services.get_mut(jid) else { return };
        let wanted = items.into_iter().map(|item| item.node).filter(|node| ways.iter().any(|way| means(way, node)));
        for node in wanted.filter(|node| !node.is_empty()) {
            if service.taps.get(&node).is_none_or(|tap| tap.state == State::Absent) {
                service.subscribe(&node);
            }
            service.found.insert(node);
        }
        let is_full = service.taps.len() >= limits::MIRROR_PUBSUB_NODES_MAX;
        match last.filter(|_| service.found.len() < limits::MIRROR_BROWSED_MAX) {
            Some(last) => service.chores.push_back(Chore::List(Some(last))),
            None => self.listing_ended(jid, now),
        }
        if is_full {
            self.say_once(jid, "a service has more nodes than are listened to; the others are left out");
        }
    }

    fn listing_ended(&mut self, jid: &BareJid, now: Timestamp) {
        let named: BTreeSet<String> = self.all_entries_of(jid).filter_map(|entry| literal(&entry.way)).collect();
        let Some(service) = self.mirrors.services.get_mut(jid) else { return };
        let found = std::mem::take(&mut service.found);
        let is_gone = |node: &&String| !found.contains(*node) && !named.contains(*node);
        let gone: Vec<String> = service.taps.keys().filter(is_gone).cloned().collect();
        gone.iter().for_each(|node| self.node_gone(jid, node, now));
        self.list_later(jid, now);
    }

    /// What a pattern means, and what is not there yet, is looked for again.
    fn list_later(&mut self, jid: &BareJid, now: Timestamp) {
        let every_ms =
            self.all_entries_of(jid).filter(|entry| matches!(entry.way, Way::Service(_))).map(|entry| entry.poll_ms);
        let at = now.plus_ms(every_ms.min().unwrap_or(limits::MIRROR_POLL_MS));
        if let Some(service) = self.mirrors.services.get_mut(jid) {
            service.list_at.get_or_insert(at);
        }
    }

    /// A node was deleted.
    fn node_gone(&mut self, jid: &BareJid, node: &str, now: Timestamp) {
        let named = self.all_entries_of(jid).any(|entry| literal(&entry.way).as_deref() == Some(node));
        match named {
            true => self.close_tap(jid, node, State::Absent),
            false => {
                self.forget_taken(jid, node);
                if let Some(service) = self.mirrors.services.get_mut(jid) {
                    service.taps.remove(node);
                }
            }
        }
        self.drop_published(jid, |name| name.source == node);
        self.list_later(jid, now);
        self.set_service_alarm(jid, now);
    }

    /// Something happened in a node. Only services speak in a name without a resource.
    pub(in crate::hub) fn node_told(&mut self, from: &Jid, event: Event, now: Timestamp) {
        let jid = from.to_bare();
        let Some(service) = self.mirrors.services.get(&jid).filter(|_| from.is_bare()) else { return };
        let Some(tap) = service.taps.get(&event.node) else { return };
        let (state, is_own_node) = (tap.state, self.is_pep(&jid, &event.node));
        match event.what {
            Happened::Subscribed(true) => self.subscribed_to(&jid, &event.node, State::Open),
            Happened::Subscribed(false) if is_own_node => {}
            Happened::Subscribed(false) => {
                self.close_tap(&jid, &event.node, State::Refused);
                self.node_silent(&jid, &event.node);
            }
            _ if state != State::Open => {}
            Happened::Items { items, retracted } => {
                self.items_gone(&jid, &event.node, &retracted);
                items.into_iter().for_each(|item| self.take_item(&jid, &event.node, item, false, now));
            }
            Happened::Deleted if !is_own_node => self.node_gone(&jid, &event.node, now),
            Happened::Purged | Happened::Deleted => self.node_silent(&jid, &event.node),
        }
        self.do_chores(&jid, now);
    }

    fn is_pep(&self, jid: &BareJid, node: &str) -> bool {
        self.is_published_by(jid, |way| matches!(way, Way::Pep(nodes) if nodes.iter().any(|own| own == node)))
    }

    /// What was published in it is not so any more.
    fn node_silent(&mut self, jid: &BareJid, node: &str) {
        let is_own_node = self.is_pep(jid, node);
        self.set_published(jid, NodeState::Offline, |name| is_own_node || name.source == node);
    }

    fn items_gone(&mut self, jid: &BareJid, node: &str, retracted: &[String]) {
        let tap = self.mirrors.services.get(jid).and_then(|service| service.taps.get(node));
        if tap.is_some_and(|tap| retracted.contains(&tap.last)) {
            self.node_silent(jid, node);
        }
    }

    fn take_item(&mut self, jid: &BareJid, node: &str, item: Item, is_kept: bool, now: Timestamp) {
        let Some(service) = self.mirrors.services.get_mut(jid) else { return };
        let Some(tap) = service.taps.get_mut(node) else { return };
        let Some(payload) = item.payload else {
            // It only tells that there is something.
            let fetch = Chore::Fetch(node.to_owned());
            if !is_kept && !service.chores.contains(&fetch) {
                service.chores.push_back(fetch);
            }
            return;
        };
        tap.last = item.id;
        if item.publisher.is_some_and(|publisher| self.is_our_account(&publisher.to_bare())) {
            return;
        }
        let is_own_node = self.is_pep(jid, node);
        match Answer::parse(&payload) {
            Some(answer) => {
                let spot = if is_own_node { Spot::Own } else { Spot::Node(node) };
                self.hear_published(jid, spot, answer, is_kept, now);
            }
            None => self.say_once(jid, "something was published that is no reading"),
        }
    }

    /// Whatever of a service is due.
    pub(in crate::hub) fn service_due(&mut self, number: u64, now: Timestamp) {
        let found = self.mirrors.services.iter_mut().find(|(_, service)| service.number == number);
        let Some((jid, service)) = found.map(|(jid, service)| (jid.clone(), service)) else { return };
        service.armed = None;
        let is_past = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        if is_past(service.retry_at) {
            return self.begin_service(&jid, now);
        }
        let (is_listing, is_renewal) = (is_past(service.list_at), is_past(service.renew_at));
        if is_renewal {
            service.renew_at = Some(now.plus_ms(limits::MIRROR_RENEW_MS));
        }
        if is_listing {
            service.list_at = None;
        }
        let is_tried = |tap: &Tap| is_renewal || (is_listing && tap.state == State::Absent);
        let nodes: Vec<String> =
            service.taps.iter().filter(|(_, tap)| is_tried(tap)).map(|(node, _)| node.clone()).collect();
        for node in nodes {
            let is_own_node = self.is_pep(&jid, &node);
            let Some(service) = self.mirrors.services.get_mut(&jid) else { continue };
            match is_own_node {
                false => service.subscribe(&node),
                // Its server may not tell us: then we look.
                true => service.chores.push_back(Chore::Fetch(node)),
            }
        }
        let is_pattern = |way: &Way| matches!(way, Way::Service(nodes) if !nodes.is_literal());
        let has_pattern = self.is_published_by(&jid, is_pattern);
        if let Some(service) = self.mirrors.services.get_mut(&jid).filter(|_| is_listing && has_pattern) {
            service.found.clear();
            service.chores.push_back(Chore::List(None));
        }
        self.do_chores(&jid, now);
    }

    fn set_service_alarm(&mut self, jid: &BareJid, now: Timestamp) {
        let Some(service) = self.mirrors.services.get_mut(jid) else { return };
        let due = service.due().map(|due| due.max(now));
        if due == service.armed {
            return;
        }
        let number = service.number;
        if let Some(before) = std::mem::replace(&mut service.armed, due) {
            self.timers.cancel(before, Timer::Service(number));
        }
        if let Some(due) = due {
            self.timers.set(due, Timer::Service(number));
        }
    }
}

/// Whether a way leads to a node of this name.
fn means(way: &Way, node: &str) -> bool {
    match way {
        Way::Service(nodes) => nodes.fits(node),
        Way::Pep(nodes) => nodes.iter().any(|own| own == node),
        Way::Ask | Way::Presence | Way::Room { .. } => false,
    }
}

/// The only node that a way leads to.
fn literal(way: &Way) -> Option<String> {
    match way {
        Way::Service(nodes) => nodes.is_literal().then(|| nodes.to_string()),
        Way::Pep(_) | Way::Ask | Way::Presence | Way::Room { .. } => None,
    }
}

fn record(service: &BareJid, node: &str) -> String {
    format!("{RECORDS}{service} {node}")
}
