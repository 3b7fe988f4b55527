//! A network of scripted devices around one mapper: requests are answered, notifications are sent, everything that the mapper says is kept.

use std::collections::BTreeMap;

use tombolo_sdk::actions::{Http, HttpReply};
use tombolo_sdk::events::{Datagram, HttpCall, HttpDone, HttpIncoming, Invoke, Outcome, Peer};
use tombolo_sdk::testing::{Harness, fresh};
use tombolo_sdk::{
    Action, Event, Failure, FieldKinds, Granted, Level, Node, NodeState, Read, Reading, ReasonCode, Sample, Setting,
    StartInput, Value, Write,
};

use super::lamp::Lamp;
use crate::Upnp;
use crate::codec::headers::header;

pub(super) const HOST: &str = "192.0.2.7";
pub(super) const URL: &str = "http://192.0.2.1:5001";

/// See the module.
pub(super) struct Bench {
    pub(super) harness: Harness<Upnp>,
    pub(super) lamps: Vec<Lamp>,
    pub(super) nodes: BTreeMap<u32, Node>,
    /// Every reading, with what it answers.
    pub(super) readings: Vec<(Reading, Option<u64>)>,
    /// Receipts that wait for `stored`.
    pub(super) receipts: Vec<u64>,
    /// Outcomes of requests.
    pub(super) ended: BTreeMap<u64, Result<(), Failure>>,
    pub(super) failed: Vec<(u64, Failure)>,
    /// Statuses of answers to requests that came in.
    pub(super) replies: BTreeMap<u64, u16>,
    pub(super) answers: BTreeMap<u64, tombolo_sdk::events::HttpAnswer>,
    pub(super) sent: Vec<String>,
    pub(super) sent_to: Vec<(String, String)>,
    pub(super) warnings: Vec<String>,
    pub(super) timers: u32,
    pub(super) controls: Vec<tombolo_sdk::actions::ControlThing>,
    pub(super) thing_reads: Vec<u64>,
    /// Requests that are not answered before a test says so.
    pub(super) held: Option<Vec<Http>>,
    /// Requests to nobody's device, which fail.
    pub(super) strays: Vec<Http>,
    pub(super) opened: Vec<u64>,
    next: u64,
}

pub(super) fn grants(with_serve: bool) -> Vec<Granted> {
    let granted = |name: &str, url: Option<&str>| Granted { name: name.into(), url: url.map(Into::into) };
    let mut all = vec![granted("ssdp", None), granted("devices", None)];
    all.extend(with_serve.then(|| granted("serve", Some(URL))));
    all
}

pub(super) fn input(settings: &str, with_serve: bool) -> StartInput {
    StartInput { granted: grants(with_serve), ..fresh(settings) }
}

impl Bench {
    pub(super) fn new(settings: &str, with_serve: bool) -> Self {
        Self::of(Harness::start(input(settings, with_serve)).unwrap())
    }

    pub(super) fn of(harness: Harness<Upnp>) -> Self {
        let mut bench = Self {
            harness,
            lamps: Vec::new(),
            nodes: BTreeMap::new(),
            readings: Vec::new(),
            receipts: Vec::new(),
            ended: BTreeMap::new(),
            failed: Vec::new(),
            replies: BTreeMap::new(),
            answers: BTreeMap::new(),
            sent: Vec::new(),
            sent_to: Vec::new(),
            warnings: Vec::new(),
            timers: 0,
            controls: Vec::new(),
            thing_reads: Vec::new(),
            held: None,
            strays: Vec::new(),
            opened: Vec::new(),
            next: 1000,
        };
        bench.absorb();
        bench
    }

    /// With both doors open and one lamp that is known and subscribed to.
    pub(super) fn with_lamp() -> Self {
        let mut bench = Self::new("{}", true);
        bench.open();
        bench.lamps.push(Lamp::new(HOST, "uuid:lamp"));
        bench.announce(0);
        bench.notify(0);
        bench
    }

    pub(super) fn open(&mut self) {
        for connection in std::mem::take(&mut self.opened) {
            self.event(Event::Opened(connection));
        }
    }

    pub(super) fn event(&mut self, event: Event) {
        self.harness.event(event);
        self.absorb();
    }

    pub(super) fn advance_s(&mut self, seconds: u32) {
        let before = self.harness.now;
        // Answers come at once, so time stands still while they are taken.
        let until = before + i64::from(seconds) * 1_000_000;
        while let Some((_, due)) = self.harness.next_timer().filter(|(_, due)| *due <= until) {
            self.timers += 1;
            assert!(self.timers < 100_000, "timers run without end");
            let by = (due - self.harness.now).max(0);
            self.harness.advance(u32::try_from(by / 1000).unwrap() + u32::from(by % 1000 != 0));
            self.absorb();
        }
        let rest = until - self.harness.now;
        self.harness.advance(u32::try_from(rest.max(0) / 1000).unwrap());
        self.absorb();
    }

    pub(super) fn datagram(&mut self, from: &str, bytes: &[u8]) {
        let peer = Peer { address: from.into(), identity: None };
        self.event(Event::Datagram(Datagram { connection: crate::bridge::GROUP, peer, bytes: bytes.into() }));
    }

    pub(super) fn announce(&mut self, lamp: usize) {
        let lamp = &self.lamps[lamp];
        let (from, bytes) = (format!("{}:1900", lamp.authority.split(':').next().unwrap()), lamp.alive(""));
        self.datagram(&from, &bytes);
    }

    /// The lamp tells its state. Gives the request.
    pub(super) fn notify(&mut self, lamp: usize) -> u64 {
        let (url, call) = self.lamps[lamp].notification();
        self.request(&format!("{HOST}:40000"), &url, call)
    }

    /// Somebody makes a request of us.
    pub(super) fn request(&mut self, from: &str, url: &str, call: HttpCall) -> u64 {
        self.next += 1;
        let target = url.strip_prefix(URL).unwrap_or(url).to_owned();
        let peer = Peer { address: format!("handle of {from}"), identity: None };
        // As the host says whose request it is.
        let host = from.rsplit_once(':').map_or(from, |(host, _)| host);
        let mut call = call;
        call.headers.push(header("Forwarded", &format!("for={host}")));
        self.event(Event::HttpIncoming(HttpIncoming {
            id: self.next,
            listener: 2,
            peer,
            call: HttpCall { target, ..call },
        }));
        self.next
    }

    pub(super) fn store(&mut self) {
        for receipt in std::mem::take(&mut self.receipts) {
            self.event(Event::Stored(receipt));
        }
    }

    pub(super) fn read(&mut self, nodes: &[u32], fields: &[&str]) -> u64 {
        self.next += 1;
        let fields = fields.iter().map(|name| String::from(*name)).collect();
        let kinds = FieldKinds::all();
        self.event(Event::Read(Read { id: self.next, nodes: nodes.into(), fields, kinds, since: None, until: None }));
        self.next
    }

    pub(super) fn write(&mut self, node: u32, settings: &[(u16, Value)]) -> u64 {
        self.next += 1;
        let settings = settings.iter().map(|(field, value)| Setting { field: *field, value: value.clone() }).collect();
        self.event(Event::Write(Write { id: self.next, node, settings }));
        self.next
    }

    pub(super) fn invoke(&mut self, node: u32, command: &str, arguments: &[(&str, &str)]) -> u64 {
        self.next += 1;
        let arguments = arguments.iter().map(|(name, text)| (String::from(*name), String::from(*text))).collect();
        self.event(Event::Invoke(Invoke { id: self.next, node, command: command.into(), arguments }));
        self.next
    }

    /// Answers what was held.
    pub(super) fn release(&mut self) {
        for http in self.held.take().unwrap_or_default() {
            self.answer(http);
        }
        self.absorb();
    }

    pub(super) fn node(&self) -> &Node {
        let mut roots = self.nodes.values().filter(|node| node.parent.is_none());
        roots.next().expect("a node")
    }

    pub(super) fn state(&self) -> NodeState {
        self.node().state
    }

    /// Readings since this was asked last, as name and value.
    pub(super) fn values(&mut self) -> Vec<(String, Value)> {
        let readings = std::mem::take(&mut self.readings);
        let named = readings.into_iter().flat_map(|(reading, _)| {
            let fields = self.nodes.get(&reading.node).map(|node| node.fields.clone()).unwrap_or_default();
            let named = |sample: Sample| (fields[usize::from(sample.field)].name.clone(), sample.value);
            reading.samples.into_iter().map(named).collect::<Vec<_>>()
        });
        named.collect()
    }

    pub(super) fn swapped(self) -> Self {
        let open = [crate::bridge::GROUP, crate::bridge::SERVE];
        let requests = Vec::new();
        self.swapped_with(&open, requests)
    }

    pub(super) fn swapped_with(self, open: &[u64], requests: Vec<u64>) -> Self {
        let Self { harness, .. } = self;
        let harness = harness.swap(open, &requests).unwrap();
        let mut next = Self { harness, nodes: BTreeMap::new(), ..self };
        next.absorb();
        next
    }

    pub(super) fn restarted(self) -> Self {
        let Self { harness, .. } = self;
        let mut next = Self { harness: harness.restart().unwrap(), nodes: BTreeMap::new(), opened: Vec::new(), ..self };
        next.absorb();
        next
    }

    /// Takes what the mapper said, and answers its requests.
    pub(super) fn absorb(&mut self) {
        for action in std::mem::take(&mut self.harness.actions) {
            match action {
                Action::Http(http) => match &mut self.held {
                    Some(held) => held.push(http),
                    None => self.answer(http),
                },
                Action::PutNode(node) => drop(self.nodes.insert(node.number, node)),
                Action::RemoveNode(number) => drop(self.nodes.remove(&number)),
                Action::NodeState(change) => {
                    self.nodes.get_mut(&change.node).expect("a declared node").state = change.state;
                }
                Action::Report(report) => {
                    assert!(self.nodes.contains_key(&report.reading.node));
                    self.receipts.extend(report.receipt);
                    self.readings.push((report.reading, report.answers));
                }
                Action::Complete(Outcome { id, outcome }) => {
                    assert!(self.ended.insert(id, outcome).is_none(), "ended twice")
                }
                Action::NodeFailed(failed) => self.failed.push((failed.id, failed.failure)),
                Action::HttpReply(HttpReply { id, answer }) => {
                    assert!(self.replies.insert(id, answer.status).is_none(), "answered twice");
                    self.answers.insert(id, answer);
                }
                Action::Send(send) => self.sent.push(String::from_utf8(send.bytes).unwrap()),
                Action::SendTo(send) => self.sent_to.push((send.peer, String::from_utf8(send.bytes).unwrap())),
                Action::Log(log) if log.level >= Level::Warn => self.warnings.push(log.message),
                Action::Open(open) => self.opened.push(open.connection),
                Action::ControlThing(control) => self.controls.push(control),
                Action::ReadThing(read) => self.thing_reads.push(read.id),
                _ => {}
            }
        }
    }

    fn answer(&mut self, http: Http) {
        assert_eq!(http.endpoint, "devices");
        let lamp =
            self.lamps.iter_mut().find(|lamp| http.call.target.starts_with(&format!("http://{}/", lamp.authority)));
        let outcome = match lamp {
            Some(lamp) => Ok(lamp.handle(&http.call)),
            None => Err(Failure { code: ReasonCode::Unreachable, message: "nobody is there".into() }),
        };
        if outcome.is_err() {
            self.strays.push(http.clone());
        }
        let before = std::mem::take(&mut self.harness.actions);
        assert!(before.is_empty());
        self.harness.event(Event::HttpDone(HttpDone { id: http.id, outcome }));
        self.absorb();
    }
}
