//! A server that is written by hand: it takes registrations and asks what the tests have it ask.

use tombolo_sdk::events::{Datagram, Outcome, Peer, Thing, ThingReading};
use tombolo_sdk::testing::{Harness, fresh};
use tombolo_sdk::{
    Action, Constraint, Event, Failure, Field, Granted, Node, Quality, Sample, Setting, Value, ValueType,
};

use crate::Lwm2m;
use crate::codec::message::{Kind, Message, code, option};

pub(super) struct Bench {
    pub(super) harness: Harness<Lwm2m>,
    next_id: u16,
    /// Registrations, updates and the like, as `POST rd?ep=... body`.
    pub(super) told: Vec<String>,
    /// How registrations are answered.
    pub(super) answer: u8,
    pub(super) is_mute: bool,
    /// Answers and notifications.
    pub(super) heard: Vec<Message>,
    pub(super) controls: Vec<(u64, u32, Vec<Setting>)>,
    pub(super) opens: usize,
    pub(super) logs: Vec<String>,
    /// Acknowledges notifications.
    pub(super) acknowledges: bool,
}

pub(super) fn lamp() -> Thing {
    let fields = vec![
        Field::new("on", ValueType::Boolean).settable(Constraint::any()),
        Field::quantity("level", "%").settable(Constraint::range(0.0, 100.0)),
        Field::quantity("power", "kWh"),
        Field::quantity("temperature", "°C"),
        Field::new("mode", ValueType::Enumeration).settable(Constraint::members(["auto", "off"])),
        Field::new("note", ValueType::Text),
    ];
    let address = "plant@example.com/home/lamp".to_owned();
    Thing { number: 4, address: address.clone(), node: Node::new(9, &address, "test.lamp", fields) }
}

pub(super) fn reading(values: &[(u16, Value)]) -> Event {
    let samples =
        values.iter().map(|(field, value)| Sample { field: *field, value: value.clone(), quality: Quality::empty() });
    Event::ThingReported(ThingReading { number: 4, at: 1_700_000_000_000_000, samples: samples.collect() })
}

impl Bench {
    pub(super) fn new(settings: &str) -> Self {
        let granted = vec![Granted { name: "upstream".into(), url: None }];
        let harness = Harness::start(tombolo_sdk::StartInput { granted, ..fresh(settings) }).unwrap();
        let mut bench = Self {
            harness,
            next_id: 500,
            told: Vec::new(),
            answer: code::CREATED,
            is_mute: false,
            heard: Vec::new(),
            controls: Vec::new(),
            opens: 0,
            logs: Vec::new(),
            acknowledges: true,
        };
        bench.take();
        bench
    }

    /// Registered, with one thing that said something.
    pub(super) fn registered(settings: &str) -> Self {
        let mut bench = Self::new(settings);
        bench.event(Event::Opened(2));
        bench.event(Event::ThingAppeared(lamp()));
        bench.event(reading(&[
            (0, Value::Boolean(true)),
            (1, Value::Decimal("40".parse().unwrap())),
            (2, Value::Decimal("1.25".parse().unwrap())),
            (3, Value::Decimal("21.50".parse().unwrap())),
            (4, Value::Member("auto".into())),
            (5, Value::Text("hidden".into())),
        ]));
        bench.advance(1_000);
        bench
    }

    pub(super) fn event(&mut self, event: Event) {
        self.harness.event(event);
        self.take();
    }

    pub(super) fn advance(&mut self, by_ms: u32) {
        for _ in 0..by_ms / 500 {
            self.harness.advance(500);
            self.take();
        }
    }

    fn take(&mut self) {
        for action in std::mem::take(&mut self.harness.actions) {
            match action {
                Action::Send(sent) => self.hear(Message::read(&sent.bytes).unwrap()),
                Action::Open(open) => self.opens += usize::from(open.endpoint == "upstream"),
                Action::ControlThing(control) => self.controls.push((control.id, control.thing, control.settings)),
                Action::Log(log) => self.logs.push(log.message),
                _ => {}
            }
        }
    }

    fn hear(&mut self, message: Message) {
        if self.is_mute {
            return;
        }
        if !code::is_request(message.code) {
            let is_acknowledged = message.kind == Kind::Confirmable && self.acknowledges;
            let id = message.id;
            self.heard.push(message);
            if is_acknowledged {
                self.send(Message::empty(Kind::Acknowledgement, id));
            }
            return;
        }
        let method = ["?", "GET", "POST", "PUT", "DELETE"][usize::from(message.code)];
        let (path, query) = (message.texts(option::URI_PATH).join("/"), message.texts(option::URI_QUERY).join("&"));
        self.told.push(
            format!("{method} {path}?{query} {}", String::from_utf8_lossy(&message.payload)).trim_end().to_owned(),
        );
        let code = if path == "rd" {
            self.answer
        } else if self.answer == code::CREATED {
            code::CHANGED
        } else {
            self.answer
        };
        let mut answer = Message::new(Kind::Acknowledgement, code, message.id, message.token);
        answer.push(option::LOCATION_PATH, *b"rd");
        answer.push(option::LOCATION_PATH, *b"7");
        self.send(answer);
    }

    fn send(&mut self, message: Message) {
        let peer = Peer { address: "udp:server".into(), identity: None };
        self.event(Event::Datagram(Datagram { connection: 2, peer, bytes: message.write() }));
    }

    /// A request of the server; options are added by `with`.
    pub(super) fn ask(&mut self, code: u8, path: &str, with: impl FnOnce(&mut Message)) -> u16 {
        self.next_id += 1;
        let id = self.next_id;
        let mut message = Message::new(Kind::Confirmable, code, id, vec![id as u8]);
        path.split('/')
            .filter(|segment| !segment.is_empty())
            .for_each(|segment| message.push(option::URI_PATH, segment.as_bytes()));
        with(&mut message);
        message.options.sort_by_key(|(number, _)| *number);
        self.heard.clear();
        self.send(message);
        id
    }

    /// The answer to the request before, as code, format and body.
    pub(super) fn answered(&self) -> (u8, Option<u16>, String) {
        let message = self.heard.iter().find(|message| message.code != code::EMPTY).expect("an answer");
        (message.code, message.format(), String::from_utf8_lossy(&message.payload).into_owned())
    }

    pub(super) fn get(&mut self, path: &str, accept: Option<u16>) -> (u8, Option<u16>, String) {
        self.ask(code::GET, path, |message| {
            accept.into_iter().for_each(|format| message.push_number(option::ACCEPT, format.into()))
        });
        self.answered()
    }

    pub(super) fn put(&mut self, path: &str, format: u16, body: &[u8]) -> u16 {
        self.ask(code::PUT, path, |message| {
            message.push_number(option::CONTENT_FORMAT, format.into());
            message.payload = body.to_vec();
        })
    }

    /// Things that were to be set are set, or are not.
    pub(super) fn done(&mut self, outcome: Result<(), Failure>) {
        for (id, ..) in std::mem::take(&mut self.controls) {
            self.event(Event::Done(Outcome { id, outcome: outcome.clone() }));
        }
    }

    pub(super) fn again(mut self, swap: impl FnOnce(Harness<Lwm2m>) -> Harness<Lwm2m>) -> Self {
        self.harness = swap(self.harness);
        self.told.clear();
        self.heard.clear();
        self.opens = 0;
        self.take();
        self
    }
}
