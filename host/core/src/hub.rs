//! What happens next: the one state machine between bridges and XMPP.
//!
//! Owns the registry of nodes, readouts, controls, event subscriptions, the concentrator's answers and the friends. It gets stanzas,
//! actions and the time, and gives stanzas and events; it asks [`crate::policy`] before anything reaches a bridge or a caller. It
//! never does I/O, reads a clock or waits.

mod actions;
mod addresses;
mod asks;
mod assured;
mod chat;
mod checks;
mod commands;
mod concentrator;
mod contacts;
mod controls;
mod decisions;
mod discover;
mod errands;
mod friends;
mod held;
mod http;
mod lookup;
mod mirror;
mod named;
mod orders;
mod output;
mod phrases;
mod publish;
mod queues;
mod readouts;
mod receipts;
mod registry;
mod replay;
mod rooms;
mod routes;
mod subscriptions;
#[cfg(test)]
mod tests;
mod things;
mod timers;
mod traces;
mod trigger;
mod watches;

use std::collections::{BTreeMap, VecDeque};

use addresses::Peer;
pub use errands::{Granted, Service, ServiceBridge, Wish};
pub use friends::Contact;
pub use mirror::{Mirror, MirroredThings, Way as MirrorWay};
pub use orders::Manage;
pub use output::Output;
pub use publish::{How, Promise, Rule as PublishRule};
pub use rooms::RoomRule;
pub use things::{BridgeThings, QueueThings, Things};
pub use traces::{Traced, TracedHop, Via};

use jid::{BareJid, FullJid, Jid};
use minidom::Element;

use crate::model::custody::{End, Item, Route};
use crate::model::{Event, Timestamp};
use crate::policy::{HttpRule, Policy, QueueRule};
use crate::wire::receipts as receipts_of;
use crate::wire::stanza::{Kind, Message, Request};
use crate::wire::{Dialect, Profile, StanzaFault, control, discovery, sensor, stanza, subscribe};

/// When peers get the oldest element names, which slixmpp wants (interop-clients §3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Downgrade {
    /// For peers whose capabilities say slixmpp or SleekXMPP.
    #[default]
    Heuristic,
    /// For everybody who speaks the long names.
    Always,
    /// For nobody.
    Never,
}

/// What a hub is made of.
#[derive(Clone, Debug, Default)]
pub struct HubConfig {
    /// Our address as a client; none before the session is bound.
    pub me: Option<FullJid>,
    /// The domain that we serve, as a component: then every node has an address of its own. None: we are a client.
    pub component: Option<BareJid>,
    /// What we say that we are (XEP-0092).
    pub name: String,
    /// And its version.
    pub version: String,
    /// Who may do what.
    pub policy: Policy,
    /// How to treat slixmpp.
    pub downgrade: Downgrade,
    /// Where [`Output::Stanza`]'s items and the ids of stanzas begin: greater than any item that is still stored, below 2^52. The
    /// clock's microseconds do.
    pub first_item: u64,
    /// The queues that we serve.
    pub queues: Vec<QueueRule>,
    /// HTTP endpoints that we serve.
    pub http: Vec<HttpRule>,
    /// Whether readings that are known are the answer to the request itself, where a generation allows that.
    pub inline_answers: bool,
    /// What is pushed without being asked for.
    pub publish: Vec<PublishRule>,
    /// What [`Output::Keep`] kept over a restart.
    pub kept: BTreeMap<String, Vec<u8>>,
}

/// The hub. **After every `handle_*` and every other call that takes `now`: drain [`Hub::poll_output`], then ask
/// [`Hub::poll_timeout`] when to call [`Hub::handle_timeout`].** Outputs are in the order in which they must be sent.
///
/// `now` is time that is never set: whoever waits or is away does so no longer because somebody sets the clock. What the clock says is told
/// with [`Hub::clock_set`], and what others are told or what outlives the process is stamped by the clock.
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    registry: registry::Registry,
    readouts: readouts::Readouts,
    controls: controls::Controls,
    runs: orders::Runs,
    queries: orders::Queries,
    subscriptions: subscriptions::Subscriptions,
    watches: watches::Watches,
    friends: friends::Friends,
    held: held::Held,
    asks: asks::Asks,
    wishes: errands::Wishes,
    sessions: commands::Sessions,
    talks: chat::Talks,
    follows: chat::Follows,
    decisions: decisions::Decisions,
    receipts: receipts::Receipts,
    named: named::Named,
    queues: queues::Queues,
    http: http::Http,
    publisher: publish::Publisher,
    rooms: rooms::Rooms,
    assured: assured::Assured,
    mirrors: mirror::Mirrors,
    timers: timers::Timers,
    routes: routes::Routes,
    traces: traces::Traces,
    /// What mappers were asked and have not completed.
    requests: BTreeMap<u64, Asked>,
    outputs: VecDeque<Output>,
    /// What we sent to ourselves; it comes in again without leaving.
    own: VecDeque<Element>,
    /// Of the last call.
    now: Timestamp,
    /// How far the clock is ahead of the hub's time, in microseconds.
    ahead_us: i64,
    numbers: u64,
    items: u64,
}

/// To whom an iq's answer goes, and from which address of ours.
#[derive(Clone, Debug)]
struct Asker {
    from: Option<Jid>,
    at: Option<Jid>,
    id: String,
}

/// Which bridge's mapper was asked, and on whose behalf: nobody else can answer.
#[derive(Debug)]
struct Asked {
    bridge: String,
    owner: Owner,
}

/// On whose behalf a mapper was asked.
#[derive(Clone, Copy, Debug)]
enum Owner {
    Readout(u64),
    Control(u64),
    Run(u64),
    Query(u64),
}

impl Hub {
    /// A hub without bridges.
    pub fn new(mut config: HubConfig) -> Self {
        let rules = std::mem::take(&mut config.publish);
        let (queues, unreadable_items) = queues::Queues::restore(config.queues.clone(), &config.kept);
        let mut hub = Self {
            items: config.first_item,
            queues,
            http: http::Http::new(std::mem::take(&mut config.http)),
            registry: registry::Registry::default(),
            readouts: readouts::Readouts::default(),
            controls: controls::Controls::default(),
            runs: orders::Runs::default(),
            queries: orders::Queries::default(),
            subscriptions: subscriptions::Subscriptions::default(),
            watches: watches::Watches::default(),
            friends: friends::Friends::default(),
            held: held::Held::default(),
            asks: asks::Asks::default(),
            wishes: errands::Wishes::default(),
            sessions: commands::Sessions::default(),
            talks: chat::Talks::default(),
            follows: chat::Follows::default(),
            decisions: decisions::Decisions::restore(&config.kept),
            receipts: receipts::Receipts::default(),
            named: named::Named::restore(&config.kept),
            publisher: publish::Publisher::default(),
            rooms: rooms::Rooms::new(),
            assured: assured::Assured::default(),
            mirrors: mirror::Mirrors::default(),
            timers: timers::Timers::default(),
            routes: routes::Routes::default(),
            traces: traces::Traces::default(),
            requests: BTreeMap::new(),
            outputs: unreadable_items.iter().map(|name| unreadable(name)).collect(),
            own: VecDeque::new(),
            now: Timestamp::default(),
            ahead_us: 0,
            numbers: 0,
            config,
        };
        hub.restore_publications();
        hub.restore_assured();
        hub.publish_changed(rules, Timestamp::default());
        hub.recall_contacts();
        hub.recall_services();
        hub
    }

    /// Everything that arrives on the XMPP session.
    pub fn handle_stanza(&mut self, stanza: &Element, now: Timestamp) {
        self.now = now;
        let incoming = stanza::read(stanza);
        let Ok(at) = self.addressed(incoming.to) else { return };
        if at.is_some() && incoming.from.is_none() {
            return;
        }
        let asker = Asker { from: incoming.from.clone(), at: at.clone(), id: incoming.id.unwrap_or_default() };
        match incoming.kind {
            Kind::Request(request) => self.handle_request(asker, request, now),
            Kind::Unreadable(fault) => self.refuse(&asker, &fault),
            Kind::Answer { error, payload } => {
                let outcome = error.map_or(Ok(payload), Err);
                self.answered(asker.from.as_ref(), &asker.id, outcome, now);
            }
            Kind::Message(message) => {
                let Some(jid) = incoming.from else { return };
                let from = Peer { jid, at };
                self.handle_message(from.clone(), &asker.id, message, now);
                if incoming.wants_receipt && !asker.id.is_empty() && self.friends.is_seeing_us(&from) {
                    self.message(&from, receipts_of::received(&asker.id));
                }
            }
            Kind::Room(event) => {
                if let Some(from) = incoming.from {
                    self.room_event(&from, event, now);
                }
            }
            Kind::Presence(presence) => {
                if let Some(jid) = incoming.from.filter(|from| !self.is_me(from)) {
                    self.presence_changed(&Peer { jid, at }, &presence, now);
                }
            }
            Kind::Other => {}
        }
    }

    fn handle_message(&mut self, from: Peer, id: &str, message: Message, now: Timestamp) {
        if let Message::Bounce(fault) = &message
            && (self.message_bounced(&from.jid, id, fault, now) || self.room_bounced(&from.jid, fault, now))
        {
            return;
        }
        let is_occupant = self.is_occupant(&from.jid);
        let Some(jid) = self.real_jid(&from.jid) else { return };
        let from = Peer { jid, at: from.at };
        match message {
            // A room says who its occupants are; whose things they have is not for it to say.
            Message::Sensor(_) if is_occupant => {}
            Message::Received(id) => self.receipt_came(&from.jid, &id, now),
            Message::Control(set) => self.control(None, from, &set, now),
            Message::Chat(chat) => self.chat(&from, &chat, now),
            Message::Bounce(fault) => self.bounced(&from, id, &fault, now),
            Message::Sensor(answer) => self.remote_says(&from.jid, answer, now),
            Message::Node(event) => self.remote_node_event(&from.jid, *event, now),
            Message::Http(part) => self.http_part(&from, part, now),
            Message::Published(event) => self.node_told(&from.jid, event, now),
            Message::Query(_) | Message::Other => {}
        }
    }

    /// Requests that anybody may make; all others need to know who asks.
    fn handle_request(&mut self, asker: Asker, request: Request, now: Timestamp) {
        if let Err(fault) = self.admit(&asker) {
            return self.refuse(&asker, &fault);
        }
        let caller = self.caller(&asker);
        match request {
            Request::Ping => self.answer(&asker, None),
            Request::Version => {
                let version = discovery::version(&self.config.name, &self.config.version);
                self.answer(&asker, Some(version));
            }
            Request::Disco(request) => self.discover(&asker, caller.as_ref(), &request),
            Request::Roster(items) if self.is_own(asker.from.as_ref()) => {
                self.roster_changed(items);
                self.answer(&asker, None);
            }
            Request::Card if asker.at.is_some() => self.answer_card(&asker),
            Request::Card | Request::Roster(_) | Request::Unknown => {
                self.refuse(&asker, &StanzaFault::service_unavailable())
            }
            request => match caller {
                Some(caller) => self.handle_call(asker, caller, request, now),
                None => self.refuse(&asker, &StanzaFault::forbidden()),
            },
        }
    }

    fn handle_call(&mut self, asker: Asker, caller: Peer, request: Request, now: Timestamp) {
        match request {
            Request::Sensor(sensor::Request::Read(read)) => self.read(asker, caller, read, now),
            Request::Sensor(sensor::Request::Cancel { dialect, id }) => {
                self.cancel_readout(&caller, &id);
                self.answer(&asker, sensor::cancelled(dialect, &id));
            }
            Request::Subscribe(subscribe::Request::Subscribe(wish)) => self.subscribe(&asker, caller, wish, now),
            Request::Subscribe(subscribe::Request::Unsubscribe { id, .. }) => {
                self.unsubscribe(&caller, &id);
                self.cancel_readout(&caller, &id);
                self.answer(&asker, None);
            }
            Request::Control(control::Request::Set(set)) => self.control(Some(asker), caller, &set, now),
            Request::Control(control::Request::GetForm(request)) => {
                self.get_form(&asker, &caller, &request);
            }
            Request::Concentrator(_) if !caller.is_with_concentrator() => {
                self.refuse(&asker, &StanzaFault::service_unavailable());
            }
            Request::Qos(request) => self.handle_promise(asker, caller, request, now),
            Request::Concentrator(request) => self.concentrate(asker, caller, *request, now),
            Request::Http(request) => self.http_request(asker, caller, *request, now),
            Request::Queue(request) => self.queue_request(asker, &caller, request, now),
            Request::Command(_) if !caller.is_with_concentrator() => {
                self.refuse(&asker, &StanzaFault::service_unavailable());
            }
            Request::Command(request) => self.command(asker, &caller, &request, now),
            Request::Ping
            | Request::Version
            | Request::Disco(_)
            | Request::Card
            | Request::Roster(_)
            | Request::Unknown => {}
        }
    }

    /// The stanza of this item would survive a crash from now on (or is not wanted any more).
    pub fn handle_durable(&mut self, item: u64, now: Timestamp) {
        self.now = now;
        self.queue_durable(item, now);
        self.traces.durable(item, now);
        if let Some(receipts::Due { bridge, receipt, is_late }) = self.receipts.durable(item) {
            if is_late {
                self.named.add(&bridge, receipt);
            }
            self.traces.told(self.traces.node_of(item), receipt, now);
            self.tell(&bridge, Event::Stored(receipt));
        }
        self.assured_durable(item);
    }

    /// A new session is bound; not for one that was resumed.
    pub fn session_online(&mut self, me: FullJid, now: Timestamp) {
        self.now = now;
        self.config.me = Some(me);
        self.mirrors_lost(now);
        self.asks_lost(now);
        self.subscribers_unknown(now);
        self.greet(now);
        self.publisher_online(now);
        self.queues_due(now);
    }

    /// The component is connected: its domain is ours from now on.
    pub fn component_online(&mut self, now: Timestamp) {
        self.now = now;
        self.mirrors_lost(now);
        self.asks_lost(now);
        self.subscribers_unknown(now);
        self.greet(now);
        self.publisher_online(now);
        self.queues_due(now);
        self.contacts_known(now);
        self.look_behind_doors();
        self.mirrors_begin(now);
    }

    /// The session is gone and was not resumed: nobody is known to be online. Readouts and subscriptions live on, since their answers
    /// wait for the next session.
    pub fn session_offline(&mut self, _now: Timestamp) {
        self.friends.all_unknown();
    }

    /// Other rules are in force: whatever is alive is checked against them.
    pub fn rules_changed(&mut self, policy: Policy, now: Timestamp) {
        self.now = now;
        self.config.policy = policy;
        self.recheck_readouts(now);
        self.recheck_subscriptions(now);
        self.recheck_watches();
        self.recheck_contacts();
        self.recheck_queries();
        self.recheck_follows();
        self.reconsider_waiting();
        self.own_rules_changed(now);
    }

    /// Whether readings that are known are the answer to the request itself, from now on.
    pub fn answer_inline(&mut self, is_so: bool) {
        self.config.inline_answers = is_so;
    }

    /// The clock is ahead of the hub's time by so many microseconds, from now on.
    pub fn clock_set(&mut self, ahead_us: i64) {
        self.ahead_us = ahead_us;
    }

    /// What the clock says at a time of the hub's.
    fn stamp(&self, at: Timestamp) -> Timestamp {
        Timestamp(at.0.saturating_add(self.ahead_us))
    }

    /// When the clock will say so.
    fn when(&self, stamp: Timestamp) -> Timestamp {
        Timestamp(stamp.0.saturating_sub(self.ahead_us))
    }

    /// The time of [`Hub::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.now = now;
        use timers::Timer;
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::ReadoutStart(number) => self.readout_due(number, now),
                Timer::ReadoutDeadline(number) => self.readout_overdue(number, now),
                Timer::ControlDeadline(number) => self.control_overdue(number),
                Timer::Interval(number, key) => self.interval_over(number, key, now),
                Timer::Offline(number) => self.away_too_long(number),
                Timer::Watch(number) => self.watch_over(number),
                Timer::Wish(id) => self.wish_overdue(id, now),
                Timer::Session(number) => self.session_over(number),
                Timer::RunDeadline(number) => self.run_overdue(number),
                Timer::QueryDeadline(number) => self.query_overdue(number),
                Timer::Ask(number) => self.ask_overdue(number, now),
                Timer::Queues => self.queues_due(now),
                Timer::Pace(index, key) => self.pace_over(index, key, now),
                Timer::Lane(number) => self.lane_due(number, now),
                Timer::Announce => self.announce_due(now),
                Timer::Room(number) => self.room_due(number, now),
                Timer::Held => self.held_too_long(now),
                Timer::Remote(number) => self.remote_due(number, now),
                Timer::HttpInflow(number) => self.inflow_overdue(number, now),
                Timer::HttpOutflow(number) => self.outflow_turn(number, now),
                Timer::Follow(number) => self.follow_due(number, now),
                Timer::HttpPassage(id) => self.passage_overdue(id),
                Timer::Service(number) => self.service_due(number, now),
            }
        }
    }

    /// When [`Hub::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        // What we say to ourselves is heard before anybody else hears what comes of it.
        while let Some(stanza) = self.own.pop_front() {
            self.handle_stanza(&stanza, self.now);
        }
        // Last, so that it is written with what it is about.
        self.outputs.pop_front().or_else(|| self.named.take_unwritten())
    }

    /// Whether a stanza is for ourselves; then it is on its way.
    fn keeps(&mut self, stanza: &Element) -> bool {
        let Some(me) = self.me() else { return false };
        let is_ours = match &self.config.component {
            Some(domain) => stanza::is_for_domain(stanza, domain),
            None => stanza::is_for(stanza, &me),
        };
        if is_ours {
            self.own.push_back(stanza::kept(stanza.clone(), &me));
        }
        is_ours
    }

    /// Who asked for a presence subscription and waits for the operator's decision.
    pub fn waiting(&self) -> Vec<Contact> {
        self.friends.waiting().iter().cloned().collect()
    }

    /// Who asks. Without a sender it is our own account or its server; an occupant of a room is who it really is.
    fn caller(&self, asker: &Asker) -> Option<Peer> {
        let jid = match &asker.from {
            Some(from) => self.real_jid(from)?,
            None => self.config.me.as_ref()?.to_bare().into(),
        };
        Some(Peer { jid, at: asker.at.clone() })
    }

    /// Whether a stanza comes from our own account's server.
    fn is_own(&self, from: Option<&Jid>) -> bool {
        let is_account =
            |from: &Jid| self.config.me.as_ref().is_some_and(|me| from.is_bare() && from.to_bare() == me.to_bare());
        self.config.component.is_none() && from.is_none_or(is_account)
    }

    fn is_me(&self, from: &Jid) -> bool {
        match &self.config.component {
            Some(domain) => from.domain() == domain.domain(),
            None => self.config.me.as_ref().is_some_and(|me| from == me),
        }
    }

    /// How to speak with a peer that asked in this generation.
    fn profile(&self, peer: &Peer, dialect: Dialect) -> Profile {
        let is_old = match self.config.downgrade {
            Downgrade::Always => true,
            Downgrade::Heuristic => self.friends.is_slixmpp(&peer.jid),
            Downgrade::Never => false,
        };
        Profile { dialect, v0_2: dialect.is_long() && is_old }
    }

    /// On whose behalf a mapper was asked this.
    fn owner_of(&self, request: u64) -> Option<Owner> {
        self.requests.get(&request).map(|asked| asked.owner)
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn item(&mut self) -> u64 {
        self.items += 1;
        self.items
    }

    fn stanza_id(&mut self) -> String {
        format!("t{:x}", self.item())
    }

    fn answer(&mut self, asker: &Asker, payload: Option<Element>) {
        self.send_from(asker.at.as_ref(), stanza::result(asker.from.as_ref(), &asker.id, payload));
    }

    /// The same, as soon as what has this number is durable.
    fn answer_after(&mut self, kept: Option<u64>, asker: &Asker, payload: Option<Element>) {
        let stanza = stanza::sent_from(stanza::result(asker.from.as_ref(), &asker.id, payload), asker.at.as_ref());
        match kept {
            Some(item) if !self.keeps(&stanza) => self.outputs.push_back(Output::After { item, stanza }),
            Some(_) => {}
            None => self.send(stanza),
        }
    }

    fn refuse(&mut self, asker: &Asker, fault: &StanzaFault) {
        self.send_from(asker.at.as_ref(), stanza::error(asker.from.as_ref(), &asker.id, fault));
    }

    fn message(&mut self, to: &Peer, payload: Element) {
        let id = self.stanza_id();
        self.send_from(to.at.as_ref(), stanza::message(Some(&to.jid), &id, payload));
    }

    fn messages(&mut self, to: &Peer, payloads: Vec<Element>) {
        for payload in payloads {
            self.message(to, payload);
        }
    }

    /// A message that must survive a crash; gives its item.
    /// None for ourselves: what is mirrored here is shown at once and kept by nobody.
    fn durable_message(&mut self, to: &Peer, payload: Element, route: &Route) -> Option<u64> {
        self.named_message(to, payload, route, None)
    }

    /// The same; what was promised before leaves under the number of then.
    fn named_message(&mut self, to: &Peer, payload: Element, route: &Route, number: Option<u64>) -> Option<u64> {
        let item = self.item();
        let stanza = stanza::message(Some(&to.jid), &format!("t{:x}", number.unwrap_or(item)), payload);
        let stanza = stanza::sent_from(stanza, to.at.as_ref());
        if self.keeps(&stanza) {
            return None;
        }
        let taken = Item { number: item, route: route.clone() };
        self.outputs.push_back(Output::Stanza { item: Some(taken), stanza });
        Some(item)
    }

    fn send(&mut self, stanza: Element) {
        if !self.keeps(&stanza) {
            self.outputs.push_back(Output::Stanza { item: None, stanza });
        }
    }

    /// From our own address, whoever we are.
    fn send_as_us(&mut self, stanza: Element) {
        let at = self.config.component.clone().map(Jid::from);
        self.send_from(at.as_ref(), stanza);
    }

    fn send_from(&mut self, at: Option<&Jid>, stanza: Element) {
        self.send(stanza::sent_from(stanza, at));
    }

    fn tell(&mut self, bridge: &str, event: Event) {
        self.outputs.push_back(Output::Event { bridge: bridge.to_owned(), event });
    }

    fn complain(&mut self, bridge: &str, reason: impl Into<String>) {
        self.outputs.push_back(Output::Refused { bridge: bridge.to_owned(), reason: reason.into() });
    }
}

/// A record that another version wrote, or nobody: it can be looked at, no more.
fn unreadable(name: &str) -> Output {
    Output::End { name: name.to_owned(), end: End::dead("it cannot be read") }
}
