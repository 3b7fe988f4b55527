//! A device that is written by hand, one for each test: it registers, keeps values of one instance, and answers what it is asked.

use std::collections::BTreeMap;

use tombolo_sdk::events::{Datagram, Peer};
use tombolo_sdk::testing::{Harness, fresh};
use tombolo_sdk::{Action, Event, Granted, Level, Node, NodeNumber, Report};

use crate::Lwm2m;
use crate::codec::message::{Kind, Message, code, option};
use crate::codec::{self, Datum, Entry, Path, format};

/// The bench: the plugin, and everything that it did since it was asked last.
pub(super) struct Bench {
    pub(super) harness: Harness<Lwm2m>,
    pub(super) identity: Option<String>,
    pub(super) address: String,
    next_id: u16,
    pub(super) device: Device,
    /// All actions but datagrams, since they were taken last.
    pub(super) actions: Vec<Action>,
    /// Requests that the device got, as `GET /3/0?query accept`.
    pub(super) asked: Vec<String>,
    /// Messages of the plugin that are neither requests nor taken by [`Bench::exchange`].
    pub(super) heard: Vec<Message>,
}

/// What the device is like.
pub(super) struct Device {
    pub(super) values: BTreeMap<Path, Datum>,
    pub(super) executable: Vec<Path>,
    pub(super) executed: Vec<(Path, String)>,
    pub(super) format: Option<u16>,
    pub(super) writes: Vec<u16>,
    pub(super) is_mute: bool,
    pub(super) reads_instances: bool,
    pub(super) has_discover: bool,
    pub(super) has_composite: bool,
    /// Observes what a composite request names; paths that it leaves out are missing.
    pub(super) observes_together: bool,
    pub(super) left_out: Vec<Path>,
    /// Observes at this depth only.
    pub(super) observes: Option<u8>,
    /// Token of each observation.
    pub(super) observers: BTreeMap<Path, Vec<u8>>,
    pub(super) sequence: u32,
    /// Writes are refused with this.
    pub(super) refusal: Option<u8>,
    pub(super) root: &'static str,
}

pub(super) fn path(text: &str) -> Path {
    text.parse().unwrap()
}

impl Device {
    fn thermometer() -> Self {
        let values = [
            ("/3/0/0", Datum::Text("Acme".into())),
            ("/3/0/2", Datum::Text("4711".into())),
            ("/3/0/9", Datum::Integer(87)),
            ("/3/0/6/0", Datum::Integer(1)),
            ("/3/0/6/1", Datum::Integer(5)),
            ("/3303/0/5700", Datum::Number("21.5".parse().unwrap())),
            ("/3303/0/5601", Datum::Number("18.2".parse().unwrap())),
            ("/3303/0/5701", Datum::Text("Cel".into())),
            ("/3306/0/5850", Datum::Boolean(false)),
            ("/3306/0/5851", Datum::Integer(20)),
        ];
        Self {
            values: values.into_iter().map(|(at, datum)| (path(at), datum)).collect(),
            executable: vec![path("/3/0/4"), path("/3303/0/5605")],
            executed: Vec::new(),
            format: Some(format::TLV),
            writes: vec![format::TEXT, format::TLV],
            is_mute: false,
            reads_instances: true,
            has_discover: true,
            has_composite: false,
            observes_together: false,
            left_out: Vec::new(),
            observes: Some(2),
            observers: BTreeMap::new(),
            sequence: 10,
            refusal: None,
            root: "",
        }
    }

    fn below(&self, at: Path) -> Vec<Entry> {
        let own = self.values.iter().filter(|(path, _)| at.covers(**path));
        own.map(|(path, datum)| Entry::new(*path, datum.clone())).collect()
    }

    fn content(&self, at: Path) -> Message {
        let entries = self.below(at);
        if entries.is_empty() || (at.len() == 2 && !self.reads_instances) {
            return reply(code::NOT_FOUND);
        }
        let mut message = reply(code::CONTENT);
        self.format.into_iter().for_each(|format| message.push_number(option::CONTENT_FORMAT, format.into()));
        message.payload = codec::encode(self.format.unwrap_or(format::TLV), at, &entries).unwrap();
        message
    }

    fn answer(&mut self, request: &Message) -> Message {
        let segments = request.texts(option::URI_PATH);
        let own = segments.iter().map(String::as_str).filter(|segment| *segment != self.root);
        let at = Path::of_segments(own).unwrap();
        match request.code {
            code::GET if request.number(option::ACCEPT) == Some(format::LINK.into()) => self.discover(at),
            code::GET if request.number(option::OBSERVE) == Some(1) => {
                self.observers.remove(&at);
                self.content(at)
            }
            code::GET => {
                let mut message = self.content(at);
                if request.number(option::OBSERVE) == Some(0) && self.observes == Some(at.len()) {
                    self.observers.insert(at, request.token.clone());
                    message.options.insert(0, (option::OBSERVE, vec![self.sequence as u8]));
                }
                message
            }
            code::PUT if request.format().is_none() => reply(code::CHANGED),
            code::PUT | code::POST if request.format().is_some() => self.write(at, request),
            code::POST if self.executable.contains(&at) => {
                self.executed.push((at, String::from_utf8(request.payload.clone()).unwrap()));
                reply(code::CHANGED)
            }
            code::FETCH if self.has_composite => {
                let mut paths = codec::decode_paths(request.format(), &request.payload).unwrap();
                paths.retain(|path| !self.left_out.contains(path));
                let mut message = reply(code::CONTENT);
                match request.number(option::OBSERVE) {
                    Some(1) => self.observers.retain(|_, token| *token != request.token),
                    Some(_) if self.observes_together => {
                        self.observers.extend(paths.iter().map(|path| (*path, request.token.clone())));
                        message.push_number(option::OBSERVE, self.sequence);
                    }
                    _ => {}
                }
                self.composite(message, &paths)
            }
            code::IPATCH if self.has_composite => self.write(at, request),
            _ => reply(code::NOT_ALLOWED),
        }
    }

    fn composite(&self, mut message: Message, paths: &[Path]) -> Message {
        let entries: Vec<Entry> = paths.iter().flat_map(|path| self.below(*path)).collect();
        message.push_number(option::CONTENT_FORMAT, format::SENML_CBOR.into());
        message.payload = codec::encode(format::SENML_CBOR, Path::root(), &entries).unwrap();
        message
    }

    fn discover(&self, at: Path) -> Message {
        if !self.has_discover {
            return reply(code::NOT_ALLOWED);
        }
        let mut ids: Vec<Path> = self.values.keys().chain(&self.executable).map(|path| path.up_to(3)).collect();
        ids.sort_unstable();
        ids.dedup();
        let links = ids.iter().filter(|path| at.covers(**path)).map(|path| format!("<{}{path}>;dim=1", self.prefix()));
        let mut message = reply(code::CONTENT);
        message.push_number(option::CONTENT_FORMAT, format::LINK.into());
        message.payload =
            format!("<{}{at}>;pmin=10,{}", self.prefix(), links.collect::<Vec<_>>().join(",")).into_bytes();
        message
    }

    fn prefix(&self) -> String {
        if self.root.is_empty() { String::new() } else { format!("/{}", self.root) }
    }

    fn write(&mut self, at: Path, request: &Message) -> Message {
        let format = request.format().unwrap();
        if let Some(refusal) = self.refusal {
            return reply(refusal);
        }
        let is_composite = request.code == code::IPATCH && format == format::SENML_CBOR;
        if !self.writes.contains(&format) && !is_composite {
            return reply(code::UNSUPPORTED_FORMAT);
        }
        for entry in codec::decode(Some(format), at, &request.payload).unwrap() {
            let datum = self.typed(entry.path, entry.datum);
            self.values.insert(entry.path, datum);
        }
        reply(code::CHANGED)
    }

    /// Plain text does not say what it is; the device knows.
    fn typed(&self, at: Path, datum: Datum) -> Datum {
        match (self.values.get(&at), &datum) {
            (Some(Datum::Boolean(_)), Datum::Plain(text)) => Datum::Boolean(text == "1"),
            (Some(Datum::Integer(_)), Datum::Plain(text)) => Datum::Integer(text.parse().unwrap()),
            _ => datum,
        }
    }
}

pub(super) fn reply(code: u8) -> Message {
    Message::new(Kind::Acknowledgement, code, 0, Vec::new())
}

impl Bench {
    pub(super) fn new(settings: &str) -> Self {
        let granted = vec![Granted { name: "server".into(), url: Some("coap://127.0.0.1:5683".into()) }];
        let harness = Harness::start(tombolo_sdk::StartInput { granted, ..fresh(settings) }).unwrap();
        let mut bench = Self {
            harness,
            identity: None,
            address: "udp:1".into(),
            next_id: 100,
            device: Device::thermometer(),
            actions: Vec::new(),
            asked: Vec::new(),
            heard: Vec::new(),
        };
        let started = std::mem::take(&mut bench.harness.actions);
        assert!(started.iter().any(|action| matches!(action, Action::Open(open) if open.endpoint == "server")));
        bench.event(Event::Opened(1));
        bench
    }

    /// Registered and learned.
    pub(super) fn registered(settings: &str, query: &str) -> Self {
        let mut bench = Self::new(settings);
        assert_eq!(bench.register(query).code, code::CREATED);
        bench.advance(200);
        bench
    }

    pub(super) fn event(&mut self, event: Event) {
        let actions = self.harness.event(event).to_vec();
        self.act(actions);
    }

    pub(super) fn advance(&mut self, by_ms: u32) {
        let until = self.harness.now + i64::from(by_ms) * 1000;
        while let Some((_, due)) = self.harness.next_timer().filter(|(_, due)| *due <= until) {
            let by = u32::try_from(((due - self.harness.now).max(0) as u64).div_ceil(1000)).unwrap();
            let actions = self.harness.advance(by).to_vec();
            self.act(actions);
        }
        let by = u32::try_from((until - self.harness.now).max(0) / 1000).unwrap();
        let actions = self.harness.advance(by).to_vec();
        self.act(actions);
    }

    /// Takes what the plugin does; the device answers.
    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            let Action::SendTo(sent) = action else {
                self.actions.push(action);
                continue;
            };
            let message = Message::read(&sent.bytes).unwrap();
            if sent.peer != self.address || self.device.is_mute {
                continue;
            }
            if !code::is_request(message.code) {
                self.heard.push(message);
                continue;
            }
            self.asked.push(describe(&message));
            let answer = self.device.answer(&message);
            self.send(Message { id: message.id, token: message.token, ..answer });
        }
    }

    pub(super) fn send(&mut self, message: Message) {
        self.send_bytes(message.write());
    }

    pub(super) fn send_bytes(&mut self, bytes: Vec<u8>) {
        let peer = Peer { address: self.address.clone(), identity: self.identity.clone() };
        self.event(Event::Datagram(Datagram { connection: 1, peer, bytes }));
    }

    pub(super) fn next_id(&mut self) -> u16 {
        self.next_id += 1;
        self.next_id
    }

    /// A request of the device, as in `POST rd?ep=a`, and its answer.
    pub(super) fn exchange(&mut self, code: u8, target: &str, body: &str) -> Message {
        let id = self.next_id();
        let mut message = Message::new(Kind::Confirmable, code, id, vec![9, id as u8]);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        path.split('/').for_each(|segment| message.push(option::URI_PATH, segment.as_bytes()));
        query
            .split('&')
            .filter(|part| !part.is_empty())
            .for_each(|part| message.push(option::URI_QUERY, part.as_bytes()));
        message.payload = body.as_bytes().to_vec();
        self.heard.clear();
        self.send(message);
        let at = self.heard.iter().position(|message| message.id == id).expect("an answer");
        self.heard.remove(at)
    }

    pub(super) fn register(&mut self, query: &str) -> Message {
        self.exchange(code::POST, &format!("rd?{query}"), "</>;rt=\"oma.lwm2m\",</1/0>,</3/0>,</3303/0>,</3306/0>")
    }

    /// The device says that a value of what is observed changed.
    pub(super) fn notify(&mut self, observed: &str, changed: &str, datum: Datum, kind: Kind) -> u16 {
        let token = self.device.observers.get(&path(observed)).expect("it is observed").clone();
        self.device.values.insert(path(changed), datum);
        self.device.sequence += 1;
        let id = self.next_id();
        let together = self.device.observers.iter().filter(|(_, own)| **own == token);
        let together: Vec<Path> = together.map(|(path, _)| *path).collect();
        let mut message = reply(code::CONTENT);
        message.push_number(option::OBSERVE, self.device.sequence);
        let content = match together.len() {
            1 => self.device.content(path(observed)),
            _ => self.device.composite(reply(code::CONTENT), &together),
        };
        message.options.extend(content.options);
        let message = Message { kind, id, token, payload: content.payload, ..message };
        self.heard.clear();
        self.send(message);
        id
    }

    pub(super) fn is_acknowledged(&self, id: u16) -> bool {
        self.heard.iter().any(|message| message.kind == Kind::Acknowledgement && message.id == id)
    }

    /// The newest declaration of a node.
    pub(super) fn node(&self, id: &str) -> Node {
        let nodes = self.actions.iter().rev().filter_map(|action| match action {
            Action::PutNode(node) => Some(node),
            _ => None,
        });
        nodes.clone().find(|node| node.id == id).unwrap_or_else(|| panic!("no node {id}")).clone()
    }

    pub(super) fn number(&self, id: &str) -> NodeNumber {
        self.node(id).number
    }

    /// The newest value of each field, as `name=value unit`.
    pub(super) fn values(&self, id: &str) -> Vec<String> {
        let node = self.node(id);
        let mut newest = BTreeMap::new();
        for report in self.reports().iter().filter(|report| report.reading.node == node.number) {
            for sample in &report.reading.samples {
                newest.insert(sample.field, sample.value.clone());
            }
        }
        let shown = newest.iter().map(|(field, value)| {
            let field = &node.fields[usize::from(*field)];
            let text = match value {
                tombolo_sdk::Value::Text(text) => text.clone(),
                tombolo_sdk::Value::Boolean(is_true) => is_true.to_string(),
                tombolo_sdk::Value::Instant(at) => format!("@{}", at / 1_000_000),
                other => other.as_decimal().unwrap().to_string(),
            };
            format!("{}={text}{}", field.name, field.unit)
        });
        shown.collect()
    }

    pub(super) fn reports(&self) -> Vec<Report> {
        self.actions
            .iter()
            .filter_map(|action| if let Action::Report(report) = action { Some(report.clone()) } else { None })
            .collect()
    }

    /// How a request of the host ended; none: it goes on.
    pub(super) fn ended(&self, request: u64) -> Option<Result<(), tombolo_sdk::ReasonCode>> {
        self.actions.iter().find_map(|action| match action {
            Action::Complete(outcome) if outcome.id == request => {
                Some(outcome.outcome.clone().map_err(|failure| failure.code))
            }
            _ => None,
        })
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let logs = self.actions.iter().filter_map(|action| match action {
            Action::Log(log) if log.level == Level::Warn => Some(log.message.clone()),
            _ => None,
        });
        logs.collect()
    }

    pub(super) fn forget(&mut self) {
        self.asked.clear();
        self.heard.clear();
    }
}

fn describe(message: &Message) -> String {
    let method = match message.code {
        code::GET => "GET",
        code::POST => "POST",
        code::PUT => "PUT",
        code::FETCH => "FETCH",
        code::IPATCH => "IPATCH",
        _ => "?",
    };
    let query = message.texts(option::URI_QUERY).join("&");
    let observe = message.number(option::OBSERVE).map(|observe| format!(" observe {observe}")).unwrap_or_default();
    let accept = message.number(option::ACCEPT).map(|accept| format!(" accept {accept}")).unwrap_or_default();
    let format = message.format().map(|format| format!(" format {format}")).unwrap_or_default();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{method} /{}{mark}{query}{observe}{accept}{format}", message.texts(option::URI_PATH).join("/"))
}
