//! Things of others, written into the CSE below our AE: a container for each thing, in it one for each field, its state, and two for commands
//! and their results. Owns what stands where, the order in which it is written ([`jobs`]), and what a command means ([`accept`]).
//!
//! | address below our AE | holds |
//! |---|---|
//! | `THING` | nothing; labels `thing:ADDRESS`, `type:TYPE` |
//! | `THING/state` | `online` or `offline` |
//! | `THING/FIELD` | values as texts; labels `field:NAME`, `unit:UNIT`, `type:TYPE`; or a flexContainer of the fitting class |
//! | `THING/command` | what others put there: `{"FIELD": value}`, or a value alone where only one field can be set |
//! | `THING/result` | what became of each command |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tombolo_sdk::events::{Thing, ThingReading};
use tombolo_sdk::{Actions, Failure, Level, NodeState, Request, Setting, Timestamp};

use crate::codec::address;
use crate::codec::resource::{Instance, Resource};
use crate::codec::response::{Answer, is_success, rsc};
use crate::mapping::{Seen, number_of, plain};
use crate::settings::Settings;

mod accept;
mod jobs;
mod plan;

pub(crate) use jobs::Job;
use jobs::Jobs;
use plan::Entry;

/// Marks our AE, so that no other tombolo takes what is below it for devices.
pub(crate) const LABEL: &str = "tombolo";
const STATE: &str = "state";
const COMMAND: &str = "command";
const RESULT: &str = "result";
/// Things at most; the host shows no more nodes than this of one bridge.
const THINGS_MAX: usize = 10_000;

/// Which of our subscriptions a notification is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heard {
    pub(crate) thing: u32,
    /// None: the commands; else the flexContainer of this field.
    pub(crate) field: Option<u16>,
}

/// What of the session the mirror has to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) settings: &'a Settings,
    /// Our AE-ID.
    pub(crate) origin: &'a str,
    /// Where notifications go, if they are granted.
    pub(crate) url: Option<&'a str>,
}

/// A command that was carried on to the host.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    thing: u32,
    /// What its result names.
    command: String,
    /// The flexContainer to be set back if it fails.
    field: Option<u16>,
}

/// One thing at the CSE.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Shown {
    address: String,
    /// Of its container.
    name: String,
    node_type: String,
    fields: Vec<Entry>,
    /// Its number with the host. None: it is not there in this run.
    number: Option<u32>,
    is_online: bool,
    jobs: Jobs,
    /// Everything was created once.
    is_made: bool,
    /// Trouble with it was told, and nothing went well since.
    is_warned: bool,
    /// It is to be forgotten once its jobs are done.
    is_gone: bool,
    seen: Seen,
}

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Mirror {
    /// By a number of our own, the same in every run.
    things: BTreeMap<u32, Shown>,
    orders: BTreeMap<Request, Order>,
    next_request: Request,
    /// Access control policies, which all things link to, are created before them.
    policies: Jobs,
    /// Resource identifiers of those, by name: what links to them has to use these.
    policy_ids: BTreeMap<String, String>,
    /// By resource identifier.
    subscriptions: BTreeMap<String, Heard>,
}

/// The policies' place among things.
pub(crate) const POLICIES: u32 = 0;

impl Mirror {
    /// After a swap or a restart.
    pub(crate) fn resume(&mut self) {
        for shown in self.things.values_mut() {
            if shown.number.is_none() && std::mem::replace(&mut shown.is_online, false) {
                shown.jobs.put_only(STATE, state(false));
            }
        }
    }

    /// For the next run, in which things have other numbers and nothing is under way.
    pub(crate) fn checkpoint(&self) -> Self {
        let mut kept = self.clone();
        kept.orders.clear();
        kept.policies = Jobs::default();
        kept.things.retain(|_, shown| !shown.is_gone);
        for shown in kept.things.values_mut() {
            shown.number = None;
            shown.jobs = Jobs::default();
            shown.fields.iter_mut().for_each(Entry::forget_large);
        }
        kept
    }

    /// A thing came, or was told again: the CSE hears only what is new.
    pub(crate) fn put(&mut self, thing: &Thing, place: &Place<'_>) {
        let Some(key) = self.key_of(&thing.address) else { return };
        self.policies_once(place);
        let fields = plan::entries(&thing.node.fields, place.settings.mirror_flex_containers);
        let is_online = thing.node.state != NodeState::Offline;
        let shown = self.things.entry(key).or_insert_with(|| Shown::new(key, &thing.address, &thing.node.node_type));
        let is_same = shown.is_made && shown.is_like(&fields) && !shown.is_gone;
        let was_there = shown.number.replace(thing.number).is_some();
        if !is_same {
            shown.reshape(fields, place);
        }
        if !is_same || !was_there || shown.is_online != is_online {
            shown.is_online = is_online;
            shown.jobs.put_only(STATE, state(is_online));
        }
    }

    fn key_of(&self, address: &str) -> Option<u32> {
        let mut key = number_of(address).max(POLICIES + 1);
        while self.things.get(&key).is_some_and(|shown| shown.address != address) {
            key = key.wrapping_add(1).max(POLICIES + 1);
        }
        (self.things.contains_key(&key) || self.things.len() < THINGS_MAX).then_some(key)
    }

    fn policies_once(&mut self, place: &Place<'_>) {
        if !self.policies.was_used() {
            plan::policies(place).into_iter().for_each(|job| self.policies.push(job));
        }
    }

    fn of(&mut self, number: u32) -> Option<(u32, &mut Shown)> {
        let found = self.things.iter_mut().find(|(_, shown)| shown.number == Some(number) && !shown.is_gone);
        found.map(|(key, shown)| (*key, shown))
    }

    /// A thing is not mirrored any more: what stands of it is deleted.
    pub(crate) fn remove(&mut self, number: u32) {
        let Some((key, shown)) = self.of(number) else { return };
        shown.is_gone = true;
        shown.jobs.clear();
        shown.jobs.push(Job::Delete { below: String::new() });
        self.subscriptions.retain(|_, heard| heard.thing != key);
    }

    /// Values of a thing.
    pub(crate) fn report(&mut self, reading: &ThingReading) {
        let Some((_, shown)) = self.of(reading.number) else { return };
        for sample in &reading.samples {
            let entry = shown.fields.get_mut(usize::from(sample.field));
            // After a start and a swap everything is told again.
            if let Some(entry) = entry.filter(|entry| entry.is_news(reading.at, &sample.value)) {
                entry.last_at = Some(reading.at);
                entry.last = Some(crate::mapping::write_value(&sample.value));
                let text = plain(&sample.value);
                shown.jobs.push(entry.job(text));
            }
        }
    }

    /// The CSE lost our AE: everything is created anew, with the last values.
    pub(crate) fn forget(&mut self, place: &Place<'_>) {
        self.policies = Jobs::default();
        self.subscriptions.clear();
        self.things.retain(|_, shown| !shown.is_gone && shown.number.is_some());
        if !self.things.is_empty() {
            self.policies_once(place);
        }
        for shown in self.things.values_mut() {
            shown.again(place);
        }
    }

    /// Jobs that can be sent now, one for each thing, so that each thing's are done in order.
    pub(crate) fn due(&mut self) -> Vec<u32> {
        if self.policies.is_idle() && self.policies.has_next() {
            return vec![POLICIES];
        }
        if !self.policies.is_idle() {
            return Vec::new();
        }
        let due = self.things.iter().filter(|(_, shown)| shown.jobs.is_idle() && shown.jobs.has_next());
        due.map(|(key, _)| *key).collect()
    }

    /// Takes the first job of a thing, with the address of the thing.
    pub(crate) fn begin(&mut self, key: u32, place: &Place<'_>) -> Option<(String, u32, Job)> {
        if key == POLICIES {
            let (serial, job) = self.policies.begin()?;
            return Some((place.settings.ae(), serial, job));
        }
        let shown = self.things.get_mut(&key)?;
        let (serial, job) = shown.jobs.begin()?;
        Some((address::child(&place.settings.ae(), &shown.name), serial, job.with_policies(&self.policy_ids)))
    }

    /// The CSE answered to the first job. An error is for the log.
    pub(crate) fn done(&mut self, (key, serial): (u32, u32), answer: &Answer, place: &Place<'_>) -> Result<(), String> {
        let Some(shown) = self.things.get_mut(&key) else { return self.policy_done(serial, answer) };
        let Some(job) = shown.jobs.end(serial) else { return Ok(()) };
        if let (Job::Subscribe { field, .. }, Some(told)) = (&job, Resource::read(&answer.body)) {
            let heard = Heard { thing: key, field: *field };
            self.subscriptions.extend(told.text("ri").map(|ri| (ri, heard)));
        }
        if shown.is_gone {
            self.things.remove(&key);
            return Ok(());
        }
        let outcome = shown.job_done(job, answer, place);
        shown.is_made |= !shown.is_warned && !shown.jobs.has_next();
        outcome
    }

    fn policy_done(&mut self, serial: u32, answer: &Answer) -> Result<(), String> {
        match (self.policies.end(serial), Resource::read(&answer.body)) {
            (Some(_), Some(made)) if is_success(answer.rsc) => {
                let named = made.text("rn").zip(made.text("ri"));
                self.policy_ids.extend(named);
                Ok(())
            }
            // Of an earlier run, perhaps with other rules.
            (Some(Job::Create { body, .. }), _) if is_there(answer.rsc) => {
                self.policies.put_back(plan::policy_update(&body));
                Ok(())
            }
            (None, _) => Ok(()),
            (Some(_), _) => Err(answer.failure().message),
        }
    }

    /// The first job was not answered: it comes again.
    pub(crate) fn lost(&mut self, key: u32, serial: u32) {
        match self.things.get_mut(&key) {
            Some(shown) => shown.jobs.lose(serial),
            None => self.policies.lose(serial),
        }
    }

    pub(crate) fn by_subscription(&self, address: &str) -> Option<Heard> {
        self.subscriptions.get(address::last(address)).copied()
    }

    pub(crate) fn subscription_lost(&mut self, heard: Heard, place: &Place<'_>) {
        self.subscriptions.retain(|_, other| *other != heard);
        if let Some(shown) = self.things.get_mut(&heard.thing) {
            shown.again(place);
        }
    }

    /// Things with commands, the address of those and since when they are to be looked at.
    pub(crate) fn listening(&self, settings: &Settings) -> Vec<(u32, String, Option<Timestamp>)> {
        let takes = self.things.iter().filter(|(_, shown)| shown.is_made && shown.takes_commands());
        let address = |shown: &Shown| format!("{}/{}/{COMMAND}", settings.ae(), shown.name);
        takes.map(|(key, shown)| (*key, address(shown), shown.seen.since())).collect()
    }

    /// An instance in a thing's command container.
    pub(crate) fn command(&mut self, key: u32, instance: &Instance, age_max_s: u32, now: Timestamp, out: &mut Actions) {
        let Some(shown) = self.things.get_mut(&key) else { return };
        if !shown.seen.is_new(&instance.ri, instance.created) {
            return;
        }
        shown.seen.note(&instance.ri, instance.created, instance.st);
        if now - instance.created > i64::from(age_max_s) * 1_000_000 {
            return shown.result(&instance.ri, "expired", Some("the command was too old when it was seen"));
        }
        match accept::command(&shown.fields, &instance.con, instance.cnf.as_deref()) {
            Ok(settings) => self.order(key, instance.ri.clone(), None, settings, out),
            Err(trouble) => shown.result(&instance.ri, "failed", Some(&trouble)),
        }
    }

    /// Commands up to this instant were seen.
    pub(crate) fn advance(&mut self, key: u32, until: Timestamp) {
        if let Some(shown) = self.things.get_mut(&key) {
            shown.seen.advance(until);
        }
    }

    /// Somebody changed a flexContainer of ours.
    pub(crate) fn flex_changed(&mut self, heard: Heard, resource: &Resource, out: &mut Actions) {
        let Some(number) = heard.field else { return };
        let Some(shown) = self.things.get_mut(&heard.thing) else { return };
        let Some(entry) = shown.fields.get(usize::from(number)) else { return };
        // Our own writing is told to us, too.
        let Some(told) = entry.flex_value(resource).filter(|told| entry.last.as_ref() != Some(told)) else { return };
        let (name, accepted) = (entry.name.clone(), entry.accept(&told));
        match accepted {
            Ok(value) => self.order(heard.thing, name, Some(number), vec![Setting { field: number, value }], out),
            Err(trouble) => {
                shown.result(&name, "failed", Some(&trouble));
                shown.restore(number);
            }
        }
    }

    fn order(&mut self, key: u32, command: String, field: Option<u16>, settings: Vec<Setting>, out: &mut Actions) {
        let Some(shown) = self.things.get_mut(&key) else { return };
        let Some(number) = shown.number else {
            return shown.result(&command, "failed", Some("the thing is not there"));
        };
        self.next_request += 1;
        out.control_thing(self.next_request, number, settings);
        self.orders.insert(self.next_request, Order { thing: key, command, field });
    }

    /// A command came to its end.
    pub(crate) fn ordered(&mut self, request: Request, outcome: Result<(), Failure>, out: &mut Actions) {
        let Some(order) = self.orders.remove(&request) else { return };
        let Some(shown) = self.things.get_mut(&order.thing) else { return };
        match outcome {
            Ok(()) => shown.result(&order.command, "done", None),
            Err(failure) => {
                out.log(Level::Warn, format!("command for {:?} failed: {}", shown.address, failure.message));
                shown.result(&order.command, "failed", Some(&failure.message));
                order.field.into_iter().for_each(|field| shown.restore(field));
            }
        }
    }
}

impl Shown {
    fn new(key: u32, address: &str, node_type: &str) -> Self {
        let readable: String = address::name(address).chars().take(80).collect();
        Self {
            address: address.to_owned(),
            name: format!("{readable}-{key:08x}"),
            node_type: node_type.to_owned(),
            fields: Vec::new(),
            number: None,
            is_online: false,
            jobs: Jobs::default(),
            is_made: false,
            is_warned: false,
            is_gone: false,
            seen: Seen::default(),
        }
    }

    fn takes_commands(&self) -> bool {
        self.fields.iter().any(|field| field.takes_commands())
    }

    /// Fields are others now: those that went are deleted, the rest is created as far as it is not there.
    fn reshape(&mut self, fields: Vec<Entry>, place: &Place<'_>) {
        let before = std::mem::replace(&mut self.fields, fields);
        self.is_gone = false;
        for old in before.iter().filter(|old| !self.fields.iter().any(|new| new.has_same_place(old))) {
            self.jobs.push(Job::Delete { below: old.resource.clone() });
        }
        for new in &mut self.fields {
            let old = before.iter().find(|old| old.name == new.name);
            (new.last, new.last_at) = old.map(|old| (old.last.clone(), old.last_at)).unwrap_or_default();
        }
        self.create(place);
    }

    fn create(&mut self, place: &Place<'_>) {
        let jobs = plan::creations((&self.address, &self.name, &self.node_type), &self.fields, place);
        jobs.into_iter().for_each(|job| self.jobs.push(job));
    }

    fn is_like(&self, fields: &[Entry]) -> bool {
        self.fields.len() == fields.len() && self.fields.iter().zip(fields).all(|(one, other)| one.is_like(other))
    }

    /// Everything once more, with the last values.
    fn again(&mut self, place: &Place<'_>) {
        self.is_made = false;
        let results = self.jobs.take_of(RESULT);
        self.create(place);
        results.into_iter().for_each(|job| self.jobs.push(job));
        self.jobs.put(STATE, state(self.is_online));
        let values: Vec<Job> =
            self.fields.iter().filter_map(|field| Some(field.job(text(field.last.as_ref()?)))).collect();
        values.into_iter().for_each(|job| self.jobs.push(job));
    }

    fn job_done(&mut self, job: Job, answer: &Answer, place: &Place<'_>) -> Result<(), String> {
        let is_creation = matches!(job, Job::Create { .. } | Job::Subscribe { .. });
        match answer.rsc {
            code if is_success(code) || (is_creation && is_there(code)) => {
                self.jobs.succeeded();
                self.is_warned = false;
                Ok(())
            }
            rsc::NOT_FOUND if matches!(job, Job::Delete { .. }) => Ok(()),
            // Somebody deleted what it stands in. Once: what cannot be made is not made for ever.
            rsc::NOT_FOUND if self.jobs.may_repair() => {
                self.jobs.put_back(job);
                self.again(place);
                self.jobs.repairing();
                Ok(())
            }
            _ => {
                // Without its container nothing of it can be made.
                if job.makes(&self.name) {
                    self.jobs.clear();
                }
                let is_news = !std::mem::replace(&mut self.is_warned, true);
                if is_news { Err(format!("{:?}: {}", self.address, answer.failure().message)) } else { Ok(()) }
            }
        }
    }

    fn result(&mut self, command: &str, outcome: &str, message: Option<&str>) {
        let mut result = json!({ "command": command, "outcome": outcome });
        if let (Json::Object(result), Some(message)) = (&mut result, message) {
            result.insert("message".into(), message.into());
        }
        self.jobs.put(RESULT, result);
    }

    /// A flexContainer says what is so again.
    fn restore(&mut self, field: u16) {
        let job = self.fields.get(usize::from(field)).and_then(|entry| Some(entry.job(text(entry.last.as_ref()?))));
        job.into_iter().for_each(|job| self.jobs.push(job));
    }
}

const fn is_there(code: u16) -> bool {
    matches!(code, rsc::CONFLICT | rsc::ALREADY_EXISTS)
}

fn state(is_online: bool) -> Json {
    if is_online { "online".into() } else { "offline".into() }
}

fn text(json: &Json) -> String {
    json.as_str().map_or_else(|| json.to_string(), str::to_owned)
}
