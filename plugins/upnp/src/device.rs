//! Things of others as UPnP devices: announced, described, controlled and listened to. Owns which thing is which device, and what control
//! points were told of it.
//!
//! [`shape`] says what a thing is as a device, [`documents`] how that reads, [`announce`] when it is told to the network, [`control`] answers
//! requests, [`eventing`] keeps subscribers. Nothing is shown without the endpoint `serve`. **Driving contract: after any call,
//! [`Things::next_due`] says when [`Things::handle_time`] is to be called.**

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tombolo_sdk::events::{HttpAnswer, HttpCall, Outcome, Thing, ThingReading};
use tombolo_sdk::{Failure, Request, Timestamp, ValueType};

use crate::calls::Way;
use crate::chance::Chance;
use crate::codec::ssdp::Search;
use crate::codec::url::Url;
use crate::mapping::fnv;

mod announce;
mod control;
mod documents;
mod eventing;
mod shape;

use announce::{Announcer, Card, Times};
use control::Orders;
use eventing::Subscribers;
use shape::Shape;

/// What stands before a device's part of our URLs.
pub(crate) const DEVICES: &str = "d";
/// How long things of an earlier run may take to be told again before they are taken back from the network.
const RETURN: Timestamp = 60_000_000;

/// What survives a swap, and of that what survives a restart.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Told apart from other bridges that show the same things.
    installation: u64,
    boot_id: u32,
    /// By the thing's number.
    shown: BTreeMap<u32, Shown>,
    /// Devices of an earlier run, with the time when they are given up.
    left: BTreeMap<String, (Timestamp, Card)>,
    announcer: Announcer,
    subscribers: Subscribers,
    orders: Orders,
}

/// A thing as a device.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Shown {
    udn: String,
    shape: Shape,
    /// Types of the thing's fields.
    types: Vec<FieldType>,
    /// The last text of each variable, by service and variable.
    texts: BTreeMap<String, String>,
    is_there: bool,
    card: Card,
    /// When it is announced next; none while it is not.
    announce_at: Option<Timestamp>,
}

/// A [`ValueType`] that can be kept.
type FieldType = u8;

/// See the module.
#[derive(Debug)]
pub(crate) struct Things {
    memory: Memory,
    max_age_s: u32,
    /// What peers reach us under; none: nothing is served.
    url: Option<String>,
    /// Whether anything can be announced.
    has_group: bool,
    is_dirty: bool,
}

impl Things {
    /// Goes on where the version before was.
    pub(crate) fn resume(memory: Memory, max_age_s: u32) -> Self {
        Self { memory, max_age_s, url: None, has_group: false, is_dirty: false }
    }

    /// Begins anew: devices are the same as in the run before, started again. Who listened has to come again, which the boot id says.
    pub(crate) fn restarted(memory: Memory, max_age_s: u32, now: Timestamp, chance: &mut Chance) -> Self {
        let installation = if memory.installation == 0 { chance.next() } else { memory.installation };
        let seconds = u32::try_from((now / 1_000_000) & 0x7fff_ffff).unwrap_or(1);
        let shown = memory
            .shown
            .into_values()
            .filter(|shown| shown.is_there)
            .map(|shown| (shown.udn, (now + RETURN, shown.card)));
        let memory = Memory {
            installation,
            boot_id: seconds.max(memory.boot_id.wrapping_add(1) & 0x7fff_ffff),
            left: memory.left.into_iter().chain(shown).collect(),
            ..Memory::default()
        };
        Self { is_dirty: true, ..Self::resume(memory, max_age_s) }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.is_dirty)
    }

    /// Whether a device that was found in the network is one of these.
    pub(crate) fn is_own(&self, udn: &str) -> bool {
        self.memory.left.contains_key(udn) || self.memory.shown.values().any(|shown| shown.udn == udn)
    }

    /// Under which URL we serve, and whether the group is open. What can be reached now is announced.
    pub(crate) fn set_open(&mut self, url: Option<&str>, has_group: bool, now: Timestamp) {
        if self.url.as_deref() == url && self.has_group == has_group {
            return;
        }
        self.stay_open(url, has_group);
        for shown in self.memory.shown.values_mut() {
            shown.place(url.unwrap_or_default());
            shown.announce_at = (url.is_some() && has_group && shown.is_there).then_some(now);
        }
    }

    /// What was open before a swap is open, and nothing is announced for it.
    pub(crate) fn stay_open(&mut self, url: Option<&str>, has_group: bool) {
        (self.url, self.has_group) = (url.map(str::to_owned), has_group);
        if !self.can_announce() {
            self.memory.announcer.clear();
        }
    }

    fn can_announce(&self) -> bool {
        self.url.is_some() && self.has_group
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let announcements = self.memory.shown.values().filter_map(|shown| shown.announce_at);
        let left = self.memory.left.values().map(|(until, _)| *until);
        let said = announcements.chain(left).chain(self.memory.announcer.next_due()).filter(|_| self.can_announce());
        said.chain(self.memory.subscribers.next_due()).min()
    }

    /// Does what is due.
    pub(crate) fn handle_time(&mut self, way: &mut Way<'_>) {
        if self.can_announce() {
            self.announce_due(way);
        }
        self.flush(way);
    }

    fn announce_due(&mut self, way: &mut Way<'_>) {
        let (times, now) = (self.times(), way.now);
        let gone: Vec<String> =
            self.memory.left.iter().filter(|(_, (until, _))| *until <= now).map(|(udn, _)| udn.clone()).collect();
        for (_, card) in gone.into_iter().filter_map(|udn| self.memory.left.remove(&udn)) {
            self.memory.announcer.byebye(&card, times, now);
        }
        let life = Timestamp::from(self.max_age_s) * 1_000_000;
        for shown in self.memory.shown.values_mut().filter(|shown| shown.announce_at.is_some_and(|at| at <= now)) {
            self.memory.announcer.alive(&shown.card, times, now);
            // Between a quarter and a half of its life, so that one may be lost (UDA 2.0 §1.2.2).
            let spread = way.chance.below(u64::from(self.max_age_s) * 250_000);
            shown.announce_at = Some(now + life / 4 + Timestamp::try_from(spread).unwrap_or(0));
        }
        self.memory.announcer.handle_time(now, way.out);
    }

    /// A thing came, changed, or was told again.
    pub(crate) fn put(&mut self, thing: &Thing, now: Timestamp) {
        let shape = Shape::of(thing);
        let udn = udn(self.memory.installation, &thing.address);
        self.memory.left.remove(&udn);
        let types = thing.node.fields.iter().map(|field| field.value_type as u8).collect();
        let is_same = |shown: &&mut Shown| shown.shape == shape && shown.udn == udn;
        if let Some(shown) = self.memory.shown.get_mut(&thing.number).filter(is_same) {
            shown.types = types;
        } else {
            // Another description: the device leaves and comes as what it is now (UDA 2.0 §1.2.2, CONFIGID).
            self.remove(thing.number, now);
            let shown = Shown::new(udn, shape, types, self.url.as_deref().unwrap_or_default());
            self.memory.shown.insert(thing.number, shown);
        }
        self.set_there(thing.number, shape::is_there(thing.node.state), now);
    }

    /// A device that is not there is not in the network.
    fn set_there(&mut self, number: u32, is_there: bool, now: Timestamp) {
        let (times, can_announce) = (self.times(), self.can_announce());
        let Some(shown) = self.memory.shown.get_mut(&number).filter(|shown| shown.is_there != is_there) else { return };
        shown.is_there = is_there;
        shown.announce_at = (is_there && can_announce).then_some(now);
        if !is_there && can_announce {
            self.memory.announcer.byebye(&shown.card, times, now);
        }
        if !is_there {
            self.memory.subscribers.lose(number);
        }
        self.is_dirty = true;
    }

    /// A thing is gone.
    pub(crate) fn remove(&mut self, number: u32, now: Timestamp) {
        self.set_there(number, false, now);
        self.is_dirty |= self.memory.shown.remove(&number).is_some();
    }

    /// Values of a thing.
    pub(crate) fn report(&mut self, reading: &ThingReading, way: &mut Way<'_>) {
        let Some(shown) = self.memory.shown.get_mut(&reading.number) else { return };
        for sample in &reading.samples {
            for (service, variable) in shown.take(sample.field, &sample.value) {
                self.memory.subscribers.changed(reading.number, service, variable);
            }
        }
        self.flush(way);
    }

    /// Somebody looks for devices.
    pub(crate) fn search(&mut self, search: &Search, from: &str, way: &mut Way<'_>) {
        if !self.can_announce() {
            return;
        }
        let times = self.times();
        let cards = self.memory.shown.values().filter(|shown| shown.is_there).map(|shown| &shown.card);
        self.memory.announcer.answer(search, from, cards, times, (way.now, &mut *way.chance));
    }

    /// Somebody makes a request under our devices' URLs: what stands behind `d/` in its path.
    pub(crate) fn request(&mut self, request: Request, path: &[&str], call: &HttpCall, way: &mut Way<'_>) {
        if let Some(answer) = self.answer(request, path, call, way) {
            way.out.http_reply(request, answer);
        }
        self.flush(way);
    }

    /// An order or a read of a thing came to its end.
    pub(crate) fn done(&mut self, done: Outcome, way: &mut Way<'_>) {
        self.end_order(done, way);
        self.flush(way);
    }

    /// A notification of ours came to its end.
    pub(crate) fn notified(&mut self, sid: &str, outcome: Result<HttpAnswer, Failure>, way: &mut Way<'_>) {
        self.memory.subscribers.notified(sid, outcome, way.now);
        self.flush(way);
    }

    /// Every device says goodbye at once: there will be no later.
    pub(crate) fn stop(&mut self, way: &mut Way<'_>) {
        if !self.can_announce() {
            return;
        }
        let times = self.times();
        self.memory.announcer.clear();
        for shown in self.memory.shown.values().filter(|shown| shown.is_there) {
            self.memory.announcer.byebye(&shown.card, times, 0);
        }
        self.memory.announcer.handle_time(Timestamp::MAX / 2, way.out);
    }

    fn flush(&mut self, way: &mut Way<'_>) {
        let shown = &self.memory.shown;
        let text = |thing: u32, service: usize, variable: usize| {
            let shown = shown.get(&thing)?;
            let name = &shown.shape.services.get(service)?.variables.get(variable)?.name;
            Some((name.clone(), shown.texts.get(&key(service, variable))?.clone()))
        };
        self.memory.subscribers.flush(text, way);
    }

    fn times(&self) -> Times {
        Times { max_age_s: self.max_age_s, boot_id: self.memory.boot_id }
    }

    fn by_id(&self, id: &str) -> Option<(u32, &Shown)> {
        let is_it = |shown: &Shown| shown.is_there && shown.udn.strip_prefix("uuid:") == Some(id);
        self.memory.shown.iter().find(|(_, shown)| is_it(shown)).map(|(number, shown)| (*number, shown))
    }
}

/// What texts are kept under.
fn key(service: usize, variable: usize) -> String {
    format!("{service}.{variable}")
}

fn types_of(shape: &Shape) -> Vec<String> {
    std::iter::once(shape.device_type.clone())
        .chain(shape.services.iter().map(|service| service.service_type.clone()))
        .collect()
}

/// A name for a thing that is the same in every run and that no other bridge gives: UUID version 8 (RFC 9562 §5.8).
fn udn(installation: u64, address: &str) -> String {
    let part = |salt: &str| u64::from(fnv(&format!("{salt}{installation:016x}{address}")));
    let (a, b, c, d) = (part("a"), part("b"), part("c"), part("d"));
    let (version, variant) = (b & 0xfff | 0x8000, c & 0x3fff | 0x8000);
    format!("uuid:{a:08x}-{:04x}-{version:04x}-{variant:04x}-{d:08x}{:04x}", b >> 16, c >> 16)
}

impl Shown {
    fn new(udn: String, shape: Shape, types: Vec<FieldType>, url: &str) -> Self {
        let card = Card { udn: udn.clone(), location: String::new(), types: types_of(&shape), config_id: 0 };
        let mut shown = Self { udn, shape, types, texts: BTreeMap::new(), is_there: false, card, announce_at: None };
        shown.place(url);
        shown
    }

    /// Where it is described, and the number of that description.
    fn place(&mut self, url: &str) {
        let base = self.base(url);
        self.card.location = format!("{base}/desc.xml");
        let all = documents::description(&self.shape, &self.udn, &base, 0);
        let services: String = self.shape.services.iter().map(documents::scpd).collect();
        self.card.config_id = fnv(&format!("{all}{services}")) & 0xff_ffff;
    }

    fn base(&self, url: &str) -> String {
        format!("{url}/{DEVICES}/{}", self.udn.trim_start_matches("uuid:"))
    }

    fn described(&self, url: &str) -> String {
        let base = self.base(url);
        let path = Url::parse(&base).map(|base| base.path().to_owned()).unwrap_or_default();
        documents::description(&self.shape, &self.udn, &path, self.card.config_id)
    }

    /// Takes a value of a field; gives the variables that changed, by service and position.
    fn take(&mut self, field: u16, value: &tombolo_sdk::Value) -> Vec<(usize, usize)> {
        let mut changed = Vec::new();
        for (at, service) in self.shape.services.iter().enumerate() {
            for (position, variable) in
                service.variables.iter().enumerate().filter(|(_, variable)| variable.field == field)
            {
                let text = variable.form.write(value);
                let before = self.texts.insert(key(at, position), text.clone());
                if before.as_ref() != Some(&text) && variable.is_evented {
                    changed.push((at, position));
                }
            }
        }
        changed
    }

    fn type_of(&self, field: u16) -> ValueType {
        const ALL: [ValueType; 11] = [
            ValueType::Boolean,
            ValueType::Int32,
            ValueType::Int64,
            ValueType::Quantity,
            ValueType::Text,
            ValueType::Instant,
            ValueType::Date,
            ValueType::TimeOfDay,
            ValueType::Duration,
            ValueType::Enumeration,
            ValueType::Colour,
        ];
        let kept = self.types.get(usize::from(field)).copied().unwrap_or_default();
        ALL.into_iter().find(|value_type| *value_type as u8 == kept).unwrap_or(ValueType::Text)
    }
}
