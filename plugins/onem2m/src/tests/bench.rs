//! The plugin, its CSE and what went between them. Owns nothing that a test asserts.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use tombolo_sdk::Granted;
use tombolo_sdk::events::{HttpAnswer, HttpCall, HttpDone, HttpIncoming, Invoke, Peer};
use tombolo_sdk::testing::{Harness, fresh};
use tombolo_sdk::{
    Action, Event, Failure, FieldKinds, Level, Node, NodeState, Read, ReasonCode, Sample, Setting, StartInput,
    Timestamp, Value, Write,
};

use super::cse::Cse;
use crate::OneM2m;
use crate::mapping::plain;

pub(super) const URL: &str = "http://gateway.test:8090/onem2m";
/// So many exchanges without an end are a loop.
const EXCHANGES_MAX: usize = 20_000;

/// See the module.
pub(super) struct Bench {
    pub(super) harness: Harness<OneM2m>,
    pub(super) cse: Cse,
    /// By number, as they were declared last.
    pub(super) nodes: BTreeMap<u32, Node>,
    /// Everything but requests and what the fields above keep, since it was taken last.
    pub(super) log: Vec<Action>,
    /// Answers to notifications, by number.
    pub(super) replies: BTreeMap<u64, HttpAnswer>,
    /// Receipts that were not stored yet.
    pub(super) receipts: Vec<u64>,
    /// Whether readings are stored at once.
    pub(super) is_storing: bool,
    next_request: u64,
    /// Requests whose answer is held back.
    pub(super) held: Vec<(u64, HttpAnswer)>,
    pub(super) is_holding: bool,
}

/// What is granted, with notifications.
pub(super) fn input(settings: &str, with_notifications: bool) -> StartInput {
    let granted = |name: &str, url: Option<&str>| Granted { name: name.into(), url: url.map(str::to_owned) };
    let mut all = vec![granted("cse", None)];
    all.extend(with_notifications.then(|| granted("notifications", Some(URL))));
    StartInput { granted: all, ..fresh(settings) }
}

impl Bench {
    /// With notifications, at a CSE that a test has filled.
    pub(super) fn new(settings: &str, fill: impl FnOnce(&mut Cse)) -> Self {
        Self::start(input(settings, true), fill)
    }

    /// Without notifications.
    pub(super) fn polling(settings: &str, fill: impl FnOnce(&mut Cse)) -> Self {
        Self::start(input(settings, false), fill)
    }

    fn start(input: StartInput, fill: impl FnOnce(&mut Cse)) -> Self {
        let mut cse = Cse::new(input.now);
        fill(&mut cse);
        cse.outbox.clear();
        let harness = Harness::start(input).unwrap();
        let mut bench = Self::over(harness, cse);
        bench.pump();
        bench
    }

    fn over(harness: Harness<OneM2m>, cse: Cse) -> Self {
        Self {
            harness,
            cse,
            nodes: BTreeMap::new(),
            log: Vec::new(),
            replies: BTreeMap::new(),
            receipts: Vec::new(),
            is_storing: true,
            next_request: 1,
            held: Vec::new(),
            is_holding: false,
        }
    }

    /// Carries everything back and forth until nothing is left to be said.
    pub(super) fn pump(&mut self) {
        let mut events = self.take_actions();
        for _ in 0..EXCHANGES_MAX {
            events.extend(self.notifications());
            let Some(event) = (!events.is_empty()).then(|| events.remove(0)) else { return };
            self.harness.event(event);
            events.extend(self.take_actions());
        }
        panic!("no end of it: {:?}", self.cse.asked.iter().rev().take(10).collect::<Vec<_>>());
    }

    fn take_actions(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for action in std::mem::take(&mut self.harness.actions) {
            match action {
                Action::Http(http) => match self.cse.handle(&http.call) {
                    Some(answer) if self.is_too_large(&answer) => {
                        let failure = Failure::new(ReasonCode::QuotaExceeded, "the answer is too large");
                        events.push(Event::HttpDone(HttpDone { id: http.id, outcome: Err(failure) }));
                    }
                    Some(answer) if self.is_holding => self.held.push((http.id, answer)),
                    Some(answer) => events.push(Event::HttpDone(HttpDone { id: http.id, outcome: Ok(answer) })),
                    None => {
                        let failure = Failure::new(ReasonCode::Unreachable, "connection refused");
                        events.push(Event::HttpDone(HttpDone { id: http.id, outcome: Err(failure) }));
                    }
                },
                Action::HttpReply(reply) => drop(self.replies.insert(reply.id, reply.answer)),
                Action::Open(open) => events.push(Event::Opened(open.connection)),
                action => {
                    match &action {
                        Action::PutNode(node) => drop(self.nodes.insert(node.number, node.clone())),
                        Action::RemoveNode(number) => drop(self.nodes.remove(number)),
                        Action::NodeState(change) => self.nodes.get_mut(&change.node).unwrap().state = change.state,
                        Action::Report(report) => {
                            assert!(
                                self.nodes.contains_key(&report.reading.node),
                                "a reading of a node that is not there"
                            );
                            self.receipts.extend(report.receipt);
                            if self.is_storing {
                                events.extend(self.receipts.drain(..).map(Event::Stored));
                            }
                        }
                        _ => {}
                    }
                    self.log.push(action);
                }
            }
        }
        events
    }

    fn is_too_large(&self, answer: &HttpAnswer) -> bool {
        String::from_utf8_lossy(&answer.body).matches("\"con\"").count() > self.cse.most
    }

    fn notifications(&mut self) -> Vec<Event> {
        let told = std::mem::take(&mut self.cse.outbox);
        told.into_iter().map(|(url, body)| self.incoming(&url, body.to_string().as_bytes())).collect()
    }

    /// A request to the listener.
    fn incoming(&mut self, url: &str, body: &[u8]) -> Event {
        self.next_request += 1;
        let target = url.strip_prefix("http://gateway.test:8090").unwrap_or(url).to_owned();
        let headers = vec![("X-M2M-RI".to_owned(), format!("n{}", self.next_request).into_bytes())];
        let call = HttpCall { method: "POST".into(), target, headers, body: body.to_vec() };
        let peer = Peer { address: "peer".into(), identity: None };
        Event::HttpIncoming(HttpIncoming { id: self.next_request, listener: 1, peer, call })
    }

    /// Somebody posts this to where notifications go; gives the number of the request.
    pub(super) fn post(&mut self, url: &str, body: &[u8]) -> u64 {
        let event = self.incoming(url, body);
        let id = self.next_request;
        self.event(event);
        id
    }

    /// Where the CSE was told to send notifications.
    pub(super) fn url(&self) -> String {
        let ae = self.cse.get("tombolo");
        ae["poa"][0].as_str().unwrap().to_owned()
    }

    /// Time passes for both.
    pub(super) fn advance(&mut self, by_ms: u32) {
        let until = self.harness.now + i64::from(by_ms) * 1000;
        loop {
            let due = self.harness.next_timer().map(|(_, due)| due).filter(|due| *due <= until);
            let wait = due.unwrap_or(until).max(self.harness.now) - self.harness.now;
            self.harness.advance(u32::try_from(wait / 1000).unwrap());
            self.cse.now = self.harness.now;
            self.pump();
            if due.is_none() {
                return;
            }
        }
    }

    pub(super) fn event(&mut self, event: Event) {
        self.harness.event(event);
        self.pump();
    }

    pub(super) fn number(&self, id: &str) -> u32 {
        self.nodes.values().find(|node| node.id == id).unwrap_or_else(|| panic!("no {id} in {:?}", self.ids())).number
    }

    pub(super) fn node(&self, id: &str) -> &Node {
        &self.nodes[&self.number(id)]
    }

    pub(super) fn ids(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = self.nodes.values().map(|node| node.id.as_str()).collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn state(&self, id: &str) -> NodeState {
        self.node(id).state
    }

    /// Readings of contents since this was asked last: node, field and value of each.
    pub(super) fn readings(&mut self) -> Vec<String> {
        let all = std::mem::take(&mut self.log);
        let reports =
            all.iter().filter_map(|action| if let Action::Report(report) = action { Some(report) } else { None });
        reports.flat_map(|report| self.show(report.reading.node, &report.reading.samples)).collect()
    }

    /// The same with its time, in milliseconds since the bench began.
    pub(super) fn timed(&mut self) -> Vec<(Timestamp, String)> {
        let all = std::mem::take(&mut self.log);
        let reports =
            all.iter().filter_map(|action| if let Action::Report(report) = action { Some(report) } else { None });
        reports
            .flat_map(|report| {
                let at = (report.reading.at - fresh("").now) / 1000;
                self.show(report.reading.node, &report.reading.samples).into_iter().map(move |text| (at, text))
            })
            .collect()
    }

    fn show(&self, node: u32, samples: &[Sample]) -> Vec<String> {
        let Some(node) = self.nodes.get(&node) else { return Vec::new() };
        let head = ["labels", "acp", "expiry", "app-id", "ae-id"];
        let named = samples.iter().map(|sample| (&node.fields[usize::from(sample.field)], &sample.value));
        named
            .filter(|(field, _)| !head.contains(&field.name.as_str()))
            .map(|(field, value)| format!("{} {} {}", node.id, field.name, plain(value)))
            .collect()
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        self.log
            .iter()
            .filter_map(|action| match action {
                Action::Log(log) if matches!(log.level, Level::Warn | Level::Error) => Some(log.message.clone()),
                _ => None,
            })
            .collect()
    }

    pub(super) fn outcome(&self, id: u64) -> Option<Result<(), Failure>> {
        self.log.iter().find_map(|action| match action {
            Action::Complete(done) if done.id == id => Some(done.outcome.clone()),
            _ => None,
        })
    }

    pub(super) fn read(
        &mut self,
        id: &str,
        kinds: FieldKinds,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> u64 {
        let nodes = vec![self.number(id)];
        self.next_request += 1;
        let id = self.next_request;
        self.event(Event::Read(Read { id, nodes, fields: Vec::new(), kinds, since, until }));
        id
    }

    pub(super) fn set(&mut self, id: &str, settings: &[(&str, Value)]) -> u64 {
        let node = self.node(id);
        let number =
            |name: &str| node.fields.iter().position(|field| field.name == name).unwrap_or_else(|| panic!("{name}"));
        let settings =
            settings.iter().map(|(name, value)| Setting { field: number(name) as u16, value: value.clone() }).collect();
        let node = node.number;
        self.next_request += 1;
        let id = self.next_request;
        self.event(Event::Write(Write { id, node, settings }));
        id
    }

    pub(super) fn edit(&mut self, id: &str, arguments: &[(&str, &str)]) -> u64 {
        let node = self.number(id);
        let arguments = arguments.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        self.next_request += 1;
        let id = self.next_request;
        self.event(Event::Invoke(Invoke { id, node, command: "settings".into(), arguments }));
        id
    }

    /// A newer version takes over.
    pub(super) fn swap(self, requests: &[u64]) -> Self {
        let harness = self.harness.swap(&[1], requests).unwrap();
        let mut bench = Self { harness, ..self };
        bench.pump();
        bench
    }

    /// The instance is lost in a fault.
    pub(super) fn recover(self) -> Self {
        let mut bench =
            Self { harness: self.harness.recover(&[1]).unwrap(), nodes: BTreeMap::new(), receipts: Vec::new(), ..self };
        bench.pump();
        bench
    }

    /// The host was started again.
    pub(super) fn restart(self) -> Self {
        let mut bench =
            Self { harness: self.harness.restart().unwrap(), nodes: BTreeMap::new(), receipts: Vec::new(), ..self };
        bench.pump();
        bench
    }

    /// What was asked of the CSE since this was asked last, without reading.
    pub(super) fn changes(&mut self) -> Vec<String> {
        let asked = std::mem::take(&mut self.cse.asked);
        asked
            .into_iter()
            .filter(|(method, _, _)| method != "GET")
            .map(|(method, address, _)| format!("{method} {address}"))
            .collect()
    }
}

/// A temperature in a device's container.
pub(super) fn device(cse: &mut Cse) {
    cse.put("", 2, serde_json::json!({"m2m:ae": {"rn": "dev", "api": "Ndev", "lbl": ["iot"]}}));
    cse.put("dev", 3, serde_json::json!({"m2m:cnt": {"rn": "temp", "lbl": ["iot", "room:1"]}}));
    cse.say("dev/temp", "21.50");
}

/// A switch in a flexContainer.
pub(super) fn switch(cse: &mut Cse) {
    let body: Json = serde_json::json!({"cod:binSh": {"rn": "switch", "cnd": "org.onem2m.common.moduleclass.binarySwitch", "state": false}});
    cse.put("", 28, body);
}
