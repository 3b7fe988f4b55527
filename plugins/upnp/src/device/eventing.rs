//! Who listens to our devices (UDA 2.0 §4): subscriptions are taken, renewed and ended, and changes are told. Owns the subscribers.
//!
//! A callback must be at the address that subscribes: a device that sends where others tell it to is a weapon (CallStranger, CVE-2020-12695).
//! Each subscriber is told one thing at a time, in order; what changes meanwhile is told together. What cannot be delivered is tried again
//! with the same number and the same words, then given up, and after some of those the subscriber is.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tombolo_sdk::events::{HttpAnswer, HttpCall};
use tombolo_sdk::{Failure, Timestamp};

use super::control::status;
use crate::bridge::Purpose;
use crate::calls::{Call, Way};
use crate::codec::gena::{self, Subscribe};
use crate::codec::headers::{get, header, sender};
use crate::codec::url::{self, Url};

/// Subscribers in all, and of one service.
const SUBSCRIBERS_MAX: usize = 512;
const PER_SERVICE_MAX: usize = 16;
/// How often one event is tried.
const ATTEMPTS_MAX: u32 = 3;
/// First delay before it is tried again, in microseconds; it doubles.
const RETRY: Timestamp = 1_000_000;
/// Events that were given up in a row, after which a subscriber is.
const GIVEN_UP_MAX: u32 = 3;

/// By their subscription's id.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Subscribers(BTreeMap<String, Subscriber>);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Subscriber {
    thing: u32,
    service: usize,
    callbacks: Vec<Url>,
    until: Timestamp,
    /// The number of the next event.
    sequence: u32,
    /// Variables that changed, by position.
    changed: BTreeSet<usize>,
    /// What it is being told.
    event: Option<Event>,
    given_up: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Event {
    body: String,
    attempts: u32,
    /// When it is tried again; none while it is under way.
    again_at: Option<Timestamp>,
}

impl Subscribers {
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let of = |subscriber: &Subscriber| {
            let again = subscriber.event.as_ref().and_then(|event| event.again_at);
            again.into_iter().chain([subscriber.until]).min()
        };
        self.0.values().filter_map(of).min()
    }

    /// A variable is another now.
    pub(super) fn changed(&mut self, thing: u32, service: usize, variable: usize) {
        let concerned =
            self.0.values_mut().filter(|subscriber| (subscriber.thing, subscriber.service) == (thing, service));
        concerned.for_each(|subscriber| {
            subscriber.changed.insert(variable);
        });
    }

    /// A device is gone, and with it its subscribers.
    pub(super) fn lose(&mut self, thing: u32) {
        self.0.retain(|_, subscriber| subscriber.thing != thing);
    }

    /// `SUBSCRIBE` and `UNSUBSCRIBE`; `evented` are the variables that the service tells.
    pub(super) fn request(
        &mut self,
        place: (u32, usize),
        evented: &[usize],
        call: &HttpCall,
        way: &mut Way<'_>,
    ) -> HttpAnswer {
        if call.method == "UNSUBSCRIBE" {
            return self.unsubscribe(call);
        }
        let granted = match gena::read_subscribe(&call.headers) {
            Ok(Subscribe::New { callbacks, timeout_s }) => {
                let from = sender(&call.headers);
                let callbacks = callbacks.iter().filter_map(|text| Url::parse(text));
                let callbacks = callbacks.filter(|callback| url::is_at(callback.host(), from)).collect();
                self.subscribe(place, evented, callbacks, timeout_s, way)
            }
            Ok(Subscribe::Renew { sid, timeout_s }) => self.renew(place, sid, timeout_s, way.now),
            Err(status) => Err(status),
        };
        match granted {
            Ok((sid, timeout_s)) => {
                let mut answer = status(200);
                answer.headers.extend([header("SID", &sid), header("TIMEOUT", &format!("Second-{timeout_s}"))]);
                answer
            }
            Err(code) => status(code),
        }
    }

    fn subscribe(
        &mut self,
        (thing, service): (u32, usize),
        evented: &[usize],
        callbacks: Vec<Url>,
        timeout_s: u32,
        way: &mut Way<'_>,
    ) -> Result<(String, u32), u16> {
        if callbacks.is_empty() {
            return Err(412);
        }
        let of_service = self.0.values().filter(|other| (other.thing, other.service) == (thing, service)).count();
        if self.0.len() >= SUBSCRIBERS_MAX || of_service >= PER_SERVICE_MAX {
            return Err(503);
        }
        let (high, low) = (way.chance.next(), way.chance.next());
        let sid = format!(
            "uuid:{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 48 & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff
        );
        let until = way.now + Timestamp::from(timeout_s) * 1_000_000;
        let changed = evented.iter().copied().collect();
        let subscriber =
            Subscriber { thing, service, callbacks, until, sequence: 0, changed, event: None, given_up: 0 };
        self.0.insert(sid.clone(), subscriber);
        Ok((sid, timeout_s))
    }

    fn renew(
        &mut self,
        place: (u32, usize),
        sid: String,
        timeout_s: u32,
        now: Timestamp,
    ) -> Result<(String, u32), u16> {
        let subscriber =
            self.0.get_mut(&sid).filter(|subscriber| (subscriber.thing, subscriber.service) == place).ok_or(412_u16)?;
        subscriber.until = now + Timestamp::from(timeout_s) * 1_000_000;
        Ok((sid, timeout_s))
    }

    fn unsubscribe(&mut self, call: &HttpCall) -> HttpAnswer {
        if get(&call.headers, "NT").is_some() || get(&call.headers, "CALLBACK").is_some() {
            return status(400);
        }
        let known = get(&call.headers, "SID").and_then(gena::sid_of).and_then(|sid| self.0.remove(&sid));
        status(if known.is_some() { 200 } else { 412 })
    }

    /// An event was delivered, or not.
    pub(super) fn notified(&mut self, sid: &str, outcome: Result<HttpAnswer, Failure>, now: Timestamp) {
        let Some(subscriber) = self.0.get_mut(sid) else { return };
        let Some(event) = &mut subscriber.event else { return };
        match outcome {
            Ok(answer) if (200..300).contains(&answer.status) => {
                subscriber.given_up = 0;
                subscriber.end_event();
            }
            // It does not know of the subscription any more.
            Ok(answer) if answer.status == 412 => drop(self.0.remove(sid)),
            Ok(_) | Err(_) if event.attempts < ATTEMPTS_MAX => {
                event.again_at = Some(now + (RETRY << event.attempts.min(8)));
            }
            Ok(_) | Err(_) => {
                subscriber.given_up += 1;
                subscriber.end_event();
                if subscriber.given_up >= GIVEN_UP_MAX {
                    self.0.remove(sid);
                }
            }
        }
    }

    /// Tells what is to be told. `text` gives a variable's name and text, or none if it is not known.
    pub(super) fn flush(&mut self, text: impl Fn(u32, usize, usize) -> Option<(String, String)>, way: &mut Way<'_>) {
        self.0.retain(|_, subscriber| subscriber.until > way.now);
        for (sid, subscriber) in &mut self.0 {
            subscriber.tell(sid, &text, way);
        }
    }
}

impl Subscriber {
    fn end_event(&mut self) {
        self.event = None;
        self.sequence = gena::next(self.sequence);
    }

    fn tell(&mut self, sid: &str, text: &impl Fn(u32, usize, usize) -> Option<(String, String)>, way: &mut Way<'_>) {
        if self.event.is_none() {
            let changed = std::mem::take(&mut self.changed);
            let all: Vec<(String, String)> =
                changed.into_iter().filter_map(|variable| text(self.thing, self.service, variable)).collect();
            // The first event is awaited even if there is nothing to say yet.
            if all.is_empty() && self.sequence != 0 {
                return;
            }
            let body = gena::write_properties(all.iter().map(|(name, text)| (name.as_str(), text.as_str())));
            let body = String::from_utf8(body).unwrap_or_default();
            self.event = Some(Event { body, attempts: 0, again_at: Some(way.now) });
        }
        let Some(event) = self.event.as_mut().filter(|event| event.again_at.is_some_and(|at| at <= way.now)) else {
            return;
        };
        // Callbacks are tried in their order, one at each attempt.
        let turn = usize::try_from(event.attempts).unwrap_or(0) % self.callbacks.len().max(1);
        let Some(callback) = self.callbacks.get(turn) else { return };
        let headers = gena::notify(sid, self.sequence);
        let call = Call::new(Purpose::Event { sid: sid.to_owned() }, "NOTIFY", callback, headers);
        match way.calls.push(Call { body: event.body.clone(), ..call }) {
            Ok(()) => (event.attempts, event.again_at) = (event.attempts + 1, None),
            Err(_) => event.again_at = Some(way.now + RETRY),
        }
    }
}
