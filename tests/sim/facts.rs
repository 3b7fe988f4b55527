//! What must be true, told by somebody who keeps books of their own: who may what, who asked what, what was promised, who got it.
//!
//! Knows the product only at its edges: what is handed to the hub, what it gives, what devices and peers see. The first thing that is not as
//! it must be is [`Facts::trouble`]; the world ends there.

use std::collections::{BTreeMap, BTreeSet};

use minidom::Element;
use tombolo_core::model::Value;
use tombolo_core::policy::{May, Policy, Rule};
use tombolo_core::wire::sensor::{Answer, Progress};

/// What somebody may at a bridge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    #[default]
    Nothing,
    See,
    Read,
    Control,
}

/// What a request of a peer's is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Read { id: String },
    Subscribe { id: String, nodes: Vec<String>, is_for_all: bool },
    Other,
}

#[derive(Debug)]
struct Subscription {
    nodes: BTreeSet<String>,
    is_for_all: bool,
    record: Option<String>,
}

/// A device's message.
#[derive(Debug, Default)]
struct Reading {
    /// How often a mapper reported it.
    reports: usize,
    is_promised: bool,
    /// Accounts that are to have it.
    entitled: BTreeSet<String>,
}

/// Counters by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(pub(crate) BTreeMap<&'static str, u64>);

impl Tally {
    pub(crate) fn add(&mut self, what: &'static str, count: u64) {
        *self.0.entry(what).or_default() += count;
    }

    pub(crate) fn join(&mut self, other: &Self) {
        other.0.iter().for_each(|(what, count)| self.add(what, *count));
    }
}

type Jid = String;
/// Of a node, by name, and its value.
type Field = (String, String, Value);

#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) trouble: Option<String>,
    pub(crate) tally: Tally,
    rules: BTreeMap<(Jid, String), Level>,
    /// Iqs that the hub has not answered.
    asked: BTreeMap<(Jid, String), Ask>,
    /// Readouts that were accepted and have not ended.
    readouts: BTreeSet<(Jid, String)>,
    subscriptions: BTreeMap<(Jid, String), Subscription>,
    /// Whose subscription the hub is looking at, and the record that it kept for it.
    subscribing: Option<(Jid, Option<String>)>,
    readings: BTreeMap<(String, i64), Reading>,
    /// Ids of stanzas with a promised reading that left or are held.
    durable: BTreeSet<String>,
    /// What each message carried, and to whom.
    carried: BTreeMap<String, (Jid, Vec<Field>)>,
    /// And of those for who wants some changes only: they say again what is known.
    partial: BTreeSet<String>,
    /// Who got what, by ids of stanzas.
    got: BTreeMap<(Jid, String, i64), BTreeSet<String>>,
    /// The newest of a node that somebody got.
    newest: BTreeMap<(Jid, String), i64>,
    /// Accounts that had something sent back: what comes again comes late, and perhaps to a client that has it.
    pub(crate) bounced: BTreeSet<Jid>,
    /// Who cannot be reached, since when by a clock that is never set.
    pub(crate) away: BTreeMap<Jid, u64>,
    /// By the same clock.
    pub(crate) steady_us: u64,
    /// Readings that the host says it gave up.
    given_up: usize,
}

pub(crate) fn bare(jid: &str) -> &str {
    jid.split('/').next().unwrap_or(jid)
}

/// A payload's readings: node, field, value.
fn values(answer: &Answer) -> Vec<Field> {
    let Progress::Data { readings, .. } = &answer.progress else { return Vec::new() };
    let mut values = Vec::new();
    for reading in readings {
        let node = reading.node.as_ref().map_or_else(String::new, |node| match node.source.as_str() {
            "" | "MeteringTopology" => node.id.clone(),
            source => format!("{source}/{}", node.id),
        });
        for field in &reading.fields {
            values.push((node.clone(), field.name.clone(), field.value.clone()));
        }
    }
    values
}

/// A count, in whichever type the generation has for it.
fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int64(number) => Some(*number),
        Value::Int32(number) => Some(i64::from(*number)),
        Value::Decimal(number) if number.scale == 0 => Some(number.digits),
        _ => None,
    }
}

impl Facts {
    pub(crate) fn wrong(&mut self, what: impl Into<String>) {
        self.trouble.get_or_insert(what.into());
    }

    // Rules.

    pub(crate) fn set_rule(&mut self, who: &str, bridge: &str, level: Level) {
        self.rules.insert((who.to_owned(), bridge.to_owned()), level);
        let lost: Vec<(Jid, String)> = self.subscriptions.keys().filter(|(jid, _)| bare(jid) == who).cloned().collect();
        if level < Level::Read {
            for key in lost {
                self.end_nodes(&key, |node| node.starts_with(&format!("{bridge}/")));
            }
        }
    }

    fn may(&self, jid: &str, node: &str) -> Level {
        let bridge = node.split('/').next().unwrap_or_default();
        self.rules.get(&(bare(jid).to_owned(), bridge.to_owned())).copied().unwrap_or_default()
    }

    /// The operator's rules.
    pub(crate) fn policy(&self) -> Policy {
        let rules = self.rules.iter().filter_map(|((who, bridge), level)| {
            let may = match level {
                Level::Nothing => return None,
                Level::See => May::SEE,
                Level::Read => May::SEE | May::READ,
                Level::Control => May::SEE | May::READ | May::CONTROL,
            };
            Some(Rule::new(&[who], may, &[&format!("{bridge}/*")], &["*"]))
        });
        Policy::new(rules.collect())
    }

    // Requests.

    /// The hub is about to be handed this.
    pub(crate) fn asks(&mut self, jid: &str, iq: &str, ask: Ask) {
        if let Ask::Subscribe { .. } = ask {
            self.subscribing = Some((jid.to_owned(), None));
        }
        self.tally.add("requests", 1);
        if self.asked.insert((jid.to_owned(), iq.to_owned()), ask).is_some() {
            self.wrong(format!("the simulation used the id {iq} twice"));
        }
    }

    pub(crate) fn handed(&mut self) {
        self.subscribing = None;
    }

    pub(crate) fn unsubscribes(&mut self, jid: &str, id: &str) {
        self.end_nodes(&(jid.to_owned(), id.to_owned()), |_| true);
    }

    pub(crate) fn cancels(&mut self, jid: &str, id: &str) {
        self.readouts.remove(&(jid.to_owned(), id.to_owned()));
    }

    /// Somebody is gone as far as the host knows: it asks for nothing any more.
    pub(crate) fn goes(&mut self, jid: &str) {
        self.readouts.retain(|(one, _)| one != jid);
        self.asked.retain(|(one, _), _| one != jid);
        self.away.entry(jid.to_owned()).or_insert(self.steady_us);
    }

    pub(crate) fn comes(&mut self, jid: &str) {
        self.away.remove(jid);
    }

    fn end_nodes(&mut self, key: &(Jid, String), is_one: impl Fn(&str) -> bool) {
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        let ended: Vec<String> = subscription.nodes.iter().filter(|node| is_one(node)).cloned().collect();
        subscription.nodes.retain(|node| !is_one(node));
        if subscription.nodes.is_empty() {
            self.subscriptions.remove(key);
        }
        let account = bare(&key.0).to_owned();
        for node in ended {
            let is_covered = self
                .subscriptions
                .iter()
                .any(|((jid, _), other)| bare(jid) == account && other.is_for_all && other.nodes.contains(&node));
            if !is_covered {
                for (_, reading) in self.readings.iter_mut().filter(|((one, _), _)| *one == node) {
                    reading.entitled.remove(&account);
                }
            }
        }
    }

    // What the hub gives.

    pub(crate) fn keeps(&mut self, name: &str, is_there: bool) {
        if !name.starts_with("wish/") {
            return;
        }
        match (&mut self.subscribing, is_there) {
            (Some((_, record)), true) => *record = Some(name.to_owned()),
            (_, true) => {}
            (subscribing, false) => {
                let whose = subscribing.as_ref().map(|(jid, _)| jid.clone());
                let found = self.subscriptions.iter().find(|(_, one)| one.record.as_deref() == Some(name));
                let Some(key) = found.map(|(key, _)| key.clone()) else { return };
                let gone = self.away.get(&key.0).map_or(0, |since| self.steady_us.saturating_sub(*since));
                let is_long = gone >= 590_000_000;
                if whose.as_ref() != Some(&key.0) && !is_long {
                    self.wrong(format!("{} lost its subscription {} for no reason", key.0, key.1));
                }
                self.tally.add("subscriptions ended by absence", u64::from(is_long));
                self.end_nodes(&key, |_| true);
            }
        }
    }

    pub(crate) fn gives_up(&mut self, readings: usize) {
        self.given_up += readings;
        self.tally.add("readings given up", readings as u64);
    }

    /// A stanza leaves the hub. Whether it has to be durable before.
    pub(crate) fn leaves(&mut self, stanza: &Element, is_durable: bool) {
        let to = stanza.attr("to").unwrap_or_default().to_owned();
        let id = stanza.attr("id").unwrap_or_default().to_owned();
        let answer = stanza.children().find_map(Answer::parse);
        if let Some(answer) = &answer {
            let subscription = self.subscriptions.get(&(to.clone(), answer.id.clone()));
            self.partial.extend(subscription.filter(|one| !one.is_for_all).map(|_| id.clone()));
            self.durable.extend(is_durable.then(|| id.clone()));
            self.carried.insert(id.clone(), (to.clone(), values(answer)));
            self.check_permits(&to, answer);
        }
        if self.rules.keys().all(|(who, _)| who != bare(&to)) && String::from(stanza).contains("dev0") {
            self.wrong(format!("{to}, whom no rule names, learns of a device: {}", String::from(stanza)));
        }
        if stanza.name() == "iq" && matches!(stanza.attr("type"), Some("result" | "error")) {
            self.answers(&to, &id, answer.as_ref());
        } else if let Some(answer) = &answer {
            self.goes_on(&to, answer);
        }
    }

    /// A stanza is kept for who cannot be reached.
    pub(crate) fn holds(&mut self, stanza: &Element) {
        self.tally.add("readings held", 1);
        self.durable.extend(stanza.attr("id").map(str::to_owned));
    }

    /// As far as the host knows nobody has said yet that this one is here.
    pub(crate) fn unknown(&mut self, jid: &str) {
        self.away.entry(jid.to_owned()).or_insert(self.steady_us);
    }

    fn check_permits(&mut self, to: &str, answer: &Answer) {
        for (node, field, _) in values(answer) {
            if self.may(to, &node) < Level::Read {
                self.wrong(format!("{to} is sent {field} of {node} without a permit"));
            }
        }
    }

    fn answers(&mut self, to: &str, id: &str, answer: Option<&Answer>) {
        let Some(ask) = self.asked.remove(&(to.to_owned(), id.to_owned())) else {
            return self.wrong(format!("{to} is answered to {id}, which it did not ask or which was answered before"));
        };
        self.tally.add("requests answered", 1);
        match (ask, answer.map(|answer| &answer.progress)) {
            (Ask::Read { id }, Some(Progress::Accepted { .. })) => {
                self.readouts.insert((to.to_owned(), id));
                self.tally.add("readouts", 1);
            }
            (Ask::Subscribe { id, nodes, is_for_all }, Some(Progress::Accepted { .. })) => {
                let record = self.subscribing.take().and_then(|(_, record)| record);
                self.subscribed(to, id, nodes, is_for_all, record);
            }
            _ => {}
        }
    }

    fn subscribed(&mut self, jid: &str, id: String, nodes: Vec<String>, is_for_all: bool, record: Option<String>) {
        self.tally.add("subscriptions", 1);
        let nodes: BTreeSet<String> = nodes.into_iter().collect();
        // Put in first, so that what is owed to the account stays owed.
        let others: Vec<(Jid, String)> = self.subscriptions.keys().filter(|(one, _)| one == jid).cloned().collect();
        let key = (jid.to_owned(), id);
        let new = Subscription { nodes: nodes.clone(), is_for_all, record };
        self.subscriptions.remove(&key);
        let before = self.subscriptions.insert(key.clone(), new);
        debug_assert!(before.is_none());
        for other in others.into_iter().filter(|other| *other != key) {
            self.end_nodes(&other, |node| nodes.contains(node));
        }
    }

    fn goes_on(&mut self, to: &str, answer: &Answer) {
        let key = (to.to_owned(), answer.id.clone());
        let is_last = match answer.progress {
            Progress::Data { last, .. } => last,
            Progress::Done | Progress::Cancelled => true,
            Progress::Accepted { .. } | Progress::Started => false,
        };
        if !self.subscriptions.contains_key(&key) && is_last && self.readouts.remove(&key) {
            self.tally.add("readouts ended", 1);
        }
    }

    // Readings.

    /// A mapper reports what a device said.
    pub(crate) fn reported(&mut self, node: &str, number: i64) {
        let entitled: BTreeSet<String> = self
            .subscriptions
            .iter()
            .filter(|((jid, _), one)| one.is_for_all && one.nodes.contains(node) && self.may(jid, node) >= Level::Read)
            .map(|((jid, _), _)| bare(jid).to_owned())
            .collect();
        let reading = self.readings.entry((node.to_owned(), number)).or_default();
        reading.reports += 1;
        reading.entitled.extend(entitled);
    }

    /// The device was told that we answer for it.
    pub(crate) fn promised(&mut self, node: &str, number: i64) {
        self.tally.add("readings promised", 1);
        match self.readings.get_mut(&(node.to_owned(), number)) {
            Some(reading) => reading.is_promised = true,
            None => self.wrong(format!("{node} {number} was acknowledged and never reported")),
        }
    }

    /// A peer gets a message.
    pub(crate) fn got(&mut self, jid: &str, stanza: &Element) {
        let id = stanza.attr("id").unwrap_or_default();
        let Some(answer) = stanza.children().find_map(Answer::parse) else { return };
        for (node, field, value) in values(&answer) {
            let Some(number) = number(&value).filter(|_| field == "Count" && self.durable.contains(id)) else {
                continue;
            };
            self.got_reading(jid, &node, number, id);
        }
    }

    fn got_reading(&mut self, jid: &str, node: &str, number: i64, id: &str) {
        self.tally.add("readings received", 1);
        let reading = self.readings.get(&(node.to_owned(), number));
        let reports = reading.map_or(0, |reading| reading.reports);
        let ids = self.got.entry((jid.to_owned(), node.to_owned(), number)).or_default();
        let is_first = ids.is_empty();
        self.tally.add("readings doubled", u64::from(!is_first));
        ids.insert(id.to_owned());
        if self.partial.contains(id) {
            return;
        }
        if ids.len() > reports && !self.bounced.contains(bare(jid)) {
            let ids = ids.clone();
            self.wrong(format!("{jid} got {node} {number} under {} ids, {reports} reports: {ids:?}", ids.len()));
        }
        // What a broker sent again and a mapper reported again may be new to who came in between.
        if reports > 1 {
            return;
        }
        let newest = self.newest.entry((jid.to_owned(), node.to_owned())).or_insert(number);
        let (before, is_late) = (*newest, is_first && number < *newest && !self.bounced.contains(bare(jid)));
        *newest = number.max(before);
        if is_late {
            self.wrong(format!("{jid} got {node} {number} after {before}"));
        }
    }

    // Crashes and the end.

    /// The host was killed: what it was asked is forgotten, and of its subscriptions those that the disk does not have.
    pub(crate) fn killed(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.tally.add("requests lost with the host", self.asked.len() as u64);
        self.asked.clear();
        self.readouts.clear();
        let lost: Vec<(Jid, String)> = self
            .subscriptions
            .iter()
            .filter(|(_, one)| !one.record.as_deref().is_some_and(&is_kept))
            .map(|(key, _)| key.clone())
            .collect();
        self.tally.add("subscriptions lost before they were durable", lost.len() as u64);
        for key in lost {
            self.end_nodes(&key, |_| true);
        }
    }

    /// The server has had this message for long, and sends it back to a host that remembers nothing of it: custody ended with the server.
    pub(crate) fn forfeits(&mut self, id: &str) {
        let Some((jid, values)) = self.carried.get(id) else { return };
        for (node, _, value) in values {
            let reading = number(value).and_then(|number| self.readings.get_mut(&(node.clone(), number)));
            let was_owed = reading.is_some_and(|reading| reading.entitled.remove(bare(jid)));
            self.tally.add("readings sent back to a host that had died", u64::from(was_owed));
        }
    }

    /// Everything was mended and time has passed: nothing is missing.
    pub(crate) fn settle(&mut self) {
        if let Some(((jid, id), ask)) = self.asked.first_key_value() {
            let what = format!("{jid} was never answered to {id}: {ask:?}");
            self.wrong(what);
        }
        if let Some((jid, id)) = self.readouts.first() {
            let what = format!("the readout {id} of {jid} never ended");
            self.wrong(what);
        }
        let mut missing = Vec::new();
        for ((node, number), reading) in self.readings.iter().filter(|(_, reading)| reading.is_promised) {
            for account in &reading.entitled {
                let is_theirs = |((jid, ..), _): &(&(Jid, String, i64), &BTreeSet<String>)| bare(jid) == account;
                let has_it =
                    self.got.iter().filter(|((_, one, n), _)| one == node && n == number).any(|one| is_theirs(&one));
                if !has_it {
                    missing.push(format!("{account} never got {node} {number}"));
                }
            }
        }
        self.tally.add("readings owed and received", self.owed().saturating_sub(missing.len() as u64));
        if missing.len() > self.given_up {
            self.wrong(format!("{} were promised and are lost: {}", missing.len(), missing.join(", ")));
        }
    }

    fn owed(&self) -> u64 {
        self.readings.values().filter(|reading| reading.is_promised).map(|reading| reading.entitled.len() as u64).sum()
    }
}
