//! The bridge as LwM2M client: things of others, shown to somebody's server as the object instances of one client.
//!
//! Owns what follows from the server's requests and from the host's news. Which object shows what is in [`objects`], being known to the server in
//! [`link`], who observes what in [`observers`], what the server may ask for in [`serving`].
//!
//! Order of evaluation of a request: the path; whether the operation fits it; the format; only then is anything set.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tombolo_sdk::events::{Datagram, Thing, ThingReading};
use tombolo_sdk::{Actions, Failure, Level, ReasonCode, Setting, Timestamp};

use crate::codec::Path;
use crate::codec::message::code;
use crate::dictionary::Dictionary;
use crate::session::{self, Answer, Event, Incoming, SECOND, Session};
use crate::settings::{Settings, UpstreamSettings};

mod link;
mod objects;
mod observers;
mod serving;

use link::Link;
use objects::Objects;
use observers::Observers;

/// The socket has one peer, whatever its address.
const SERVER: &str = "";
/// Writes of the server that wait for their things.
const ORDERS_MAX: usize = 256;

/// What survives.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    session: session::State,
    link: Link,
    objects: Objects,
    observers: Observers,
    orders: BTreeMap<u64, Order>,
    requests: BTreeMap<u64, u64>,
    next: u64,
}

/// A write of the server, which may concern several things.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    incoming: Incoming,
    missing: usize,
    /// The code of the first that failed.
    failure: Option<u8>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Client {
    session: Session,
    state: State,
    dictionary: Dictionary,
    settings: UpstreamSettings,
    is_dirty: bool,
}

impl Client {
    pub(crate) fn new(settings: &Settings, seed: u64) -> Self {
        let session = Session::new(seed, settings.timing()).state().clone();
        Self::resume(settings, State { session, ..State::default() })
    }

    /// Goes on where another version stopped.
    pub(crate) fn resume(settings: &Settings, mut state: State) -> Self {
        let session = std::mem::take(&mut state.session);
        Self {
            session: Session::resume(session, settings.timing()),
            state,
            dictionary: Dictionary::new(&settings.objects),
            settings: settings.upstream.clone(),
            is_dirty: false,
        }
    }

    /// Everything, for the next version.
    pub(crate) fn state(&self) -> State {
        State { session: self.session.state().clone(), ..self.state.clone() }
    }

    /// What the next run cannot learn again: which instance shows what.
    pub(crate) fn checkpoint(&self) -> State {
        State { session: self.session.checkpoint(), objects: self.state.objects.checkpoint(), ..State::default() }
    }

    pub(crate) fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.is_dirty)
    }

    pub(crate) fn due(&self) -> Option<Timestamp> {
        let dues = [self.session.due(), self.state.link.due(), self.state.observers.due()];
        dues.into_iter().flatten().min()
    }

    /// What has to leave.
    pub(crate) fn take_datagrams(&mut self) -> impl Iterator<Item = Vec<u8>> {
        self.session.take_datagrams().into_iter().map(|(_, bytes)| bytes)
    }

    pub(crate) fn handle_datagram(&mut self, now: Timestamp, datagram: &Datagram, out: &mut Actions) {
        if let Some(event) = self.session.handle_datagram(now, SERVER, None, &datagram.bytes) {
            self.handle_event(now, event, out);
        }
    }

    pub(crate) fn handle_time(&mut self, now: Timestamp, out: &mut Actions) {
        for event in self.session.handle_time(now) {
            self.handle_event(now, event, out);
        }
        self.handle_link_time(now, out);
        self.tell(now);
    }

    fn handle_event(&mut self, now: Timestamp, event: Event, out: &mut Actions) {
        match event {
            Event::Asked(incoming) => self.asked(now, incoming, out),
            Event::Answer { token, outcome, .. } => self.handle_registration(now, token, outcome, out),
            // A client observes nothing, and what its server should not have asked was answered.
            Event::Notified { .. } | Event::Refused { .. } => {}
            Event::Delivered { observer, is_wanted } => {
                self.state.observers.delivered(observer, is_wanted);
                self.tell(now);
            }
        }
    }

    /// A thing came, or is told of again.
    pub(crate) fn put(&mut self, now: Timestamp, thing: &Thing) {
        let objects = &mut self.state.objects;
        if objects.put(thing, &self.settings.objects, &self.dictionary) {
            self.changed(now);
        }
    }

    pub(crate) fn remove(&mut self, now: Timestamp, number: u32) {
        if self.state.objects.remove(number) {
            self.changed(now);
        }
    }

    /// The server is told of other objects with the next update.
    fn changed(&mut self, now: Timestamp) {
        self.is_dirty = true;
        self.state.link.offer_changed(now);
    }

    /// A thing said something.
    pub(crate) fn report(&mut self, now: Timestamp, reading: &ThingReading) {
        for sample in &reading.samples {
            if let Some(path) = self.state.objects.report(reading.number, sample, reading.at) {
                let number = self.state.objects.number(path);
                self.state.observers.changed(path, number, now);
            }
        }
        self.tell(now);
    }

    /// Tells observers what is due.
    fn tell(&mut self, now: Timestamp) {
        while let Some((key, peer, token, sequence)) = self.state.observers.next_due(now) {
            let Some(answer) = self.content_for(key, now) else {
                self.state.observers.remove(key);
                continue;
            };
            if !self.session.notify(now, key, &peer, &token, Answer { observe: Some(sequence), ..answer }) {
                self.state.observers.delivered(key, true);
                return;
            }
        }
    }

    /// Sets fields of things; the server is answered when all of it is done.
    fn order(
        &mut self,
        now: Timestamp,
        mut incoming: Incoming,
        settings: BTreeMap<u32, Vec<Setting>>,
        out: &mut Actions,
    ) {
        if self.state.orders.len() >= ORDERS_MAX {
            return self.session.answer(now, &incoming, Answer::new(code::UNAVAILABLE));
        }
        self.session.defer(&mut incoming);
        self.state.next += 1;
        let order = self.state.next;
        self.state.orders.insert(order, Order { incoming, missing: settings.len(), failure: None });
        for (thing, settings) in settings {
            self.state.next += 1;
            self.state.requests.insert(self.state.next, order);
            out.control_thing(self.state.next, thing, settings);
        }
    }

    /// A thing was set, or was not.
    pub(crate) fn done(&mut self, now: Timestamp, request: u64, outcome: Result<(), Failure>, out: &mut Actions) {
        let Some(key) = self.state.requests.remove(&request) else { return };
        let Some(order) = self.state.orders.get_mut(&key) else { return };
        order.missing = order.missing.saturating_sub(1);
        if let Err(failure) = outcome {
            out.log(Level::Info, format!("a write of the server failed: {}", failure.message));
            order.failure.get_or_insert(refusal(failure.code));
        }
        if order.missing > 0 {
            return;
        }
        if let Some(order) = self.state.orders.remove(&key) {
            let code = order.failure.unwrap_or(code::CHANGED);
            self.session.answer(now, &order.incoming, Answer::new(code));
        }
    }

    /// What stands at or below a path: resources that can be read, in their order.
    fn entries(&self, path: Path, now: Timestamp) -> Vec<crate::codec::Entry> {
        let lifetime = self.state.link.lifetime_s(&self.settings);
        let own = objects::own(&self.settings, lifetime, now / SECOND);
        let own = own.into_iter().filter(|entry| path.covers(entry.path));
        own.chain(self.state.objects.entries(path, &self.dictionary)).collect()
    }
}

/// How a failure is said in CoAP.
fn refusal(code: ReasonCode) -> u8 {
    match code {
        ReasonCode::InvalidArgument => code::BAD_REQUEST,
        ReasonCode::NotFound => code::NOT_FOUND,
        ReasonCode::NotSupported => code::NOT_ALLOWED,
        ReasonCode::AccessDenied => code::UNAUTHORIZED,
        ReasonCode::Unreachable | ReasonCode::Timeout | ReasonCode::Closed => code::GATEWAY_TIMEOUT,
        ReasonCode::Busy | ReasonCode::QuotaExceeded => code::UNAVAILABLE,
        ReasonCode::ProtocolViolation | ReasonCode::Internal => code::INTERNAL,
    }
}
