//! A broker that says what the test tells it to, and understands what the plugin sends.

use mqtt_protocol_core::mqtt::packet::{v3_1_1, v5_0};
use tombolo_sdk::events::Invoke;
use tombolo_sdk::testing::Harness;
use tombolo_sdk::{Action, Event, Level, Node, NodeNumber, NodeState, Sample, Setting, Value, Write};

use crate::Mqtt;
use crate::codec::{self, Ack, Message, Qos, Version};

/// What the plugin sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sent {
    Connect { client_id: String, clean_start: bool, will: Option<String> },
    Publish { topic: String, payload: String, qos: u8, id: u16, dup: bool, retain: bool },
    Ack(u8, u16),
    Subscribe(Vec<String>),
    Unsubscribe(Vec<String>),
    Ping,
    Disconnect(u8),
}

pub(super) struct Bench {
    pub(super) harness: Harness<Mqtt>,
    pub(super) connection: u64,
    pub(super) version: Version,
    pub(super) next_request: u64,
}

impl Bench {
    /// Started, connection asked for.
    pub(super) fn new(settings: &str) -> Self {
        let harness = Harness::fresh(settings).unwrap();
        let mut bench = Self { harness, connection: 0, version: Version::V5, next_request: 1 };
        bench.connection = bench.opened().unwrap();
        bench
    }

    /// Accepted by a broker of MQTT 5 with a new session; every filter granted.
    pub(super) fn online(settings: &str) -> Self {
        let mut bench = Self::new(settings);
        bench.connect(false);
        bench
    }

    pub(super) fn connect(&mut self, session_present: bool) -> Vec<Sent> {
        self.harness.event(Event::Opened(self.connection));
        let sent = self.accept(session_present);
        self.grant(&sent);
        sent
    }

    /// Acknowledges what was subscribed last.
    pub(super) fn grant(&mut self, sent: &[Sent]) {
        let Some(Sent::Subscribe(filters)) = sent.last() else { return };
        let [high, low] = self.harness.mapper.session.state().next_packet_id.to_be_bytes();
        let properties: &[u8] = if self.version == Version::V5 { &[0] } else { &[] };
        let length = u8::try_from(2 + properties.len() + filters.len()).unwrap();
        let bytes = [&[0x90, length, high, low], properties, &vec![1; filters.len()]].concat();
        self.harness.data(self.connection, bytes);
    }

    pub(super) fn accept(&mut self, session_present: bool) -> Vec<Sent> {
        let properties: &[u8] = if self.version == Version::V5 { &[0] } else { &[] };
        let length = 2 + u8::try_from(properties.len()).unwrap();
        let bytes = [&[0x20, length, u8::from(session_present), 0], properties].concat();
        self.receive(&bytes)
    }

    /// The connection that the last call asked for.
    pub(super) fn opened(&self) -> Option<u64> {
        self.harness
            .actions
            .iter()
            .find_map(|action| if let Action::Open(open) = action { Some(open.connection) } else { None })
    }

    /// Lets timers run out one by one until the plugin asks for its next connection.
    pub(super) fn wait_for_open(&mut self) {
        for _ in 0..10 {
            let (_, due) = self.harness.next_timer().unwrap();
            let wait_ms = (due - self.harness.now) / 1000;
            self.harness.advance(u32::try_from(wait_ms).unwrap());
            if let Some(connection) = self.opened() {
                self.connection = connection;
                return;
            }
        }
        panic!("no new connection");
    }

    pub(super) fn is_closed(&self) -> bool {
        self.harness.actions.contains(&Action::Close(self.connection))
    }

    /// The broker says something; gives what the plugin answers.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Vec<Sent> {
        self.harness.data(self.connection, bytes);
        self.sent()
    }

    pub(super) fn advance(&mut self, by_ms: u32) -> Vec<Sent> {
        self.harness.advance(by_ms);
        self.sent()
    }

    /// Of the reports that the last call made.
    pub(super) fn receipts(&self) -> Vec<u64> {
        self.harness.reports().iter().filter_map(|report| report.receipt).collect()
    }

    pub(super) fn stored(&mut self, receipt: u64) -> Vec<Sent> {
        self.harness.event(Event::Stored(receipt));
        self.sent()
    }

    pub(super) fn publish_bytes(&self, topic: &str, payload: &str, qos: u8, id: u16, dup: bool) -> Vec<u8> {
        let qos = Qos::try_from(qos).unwrap();
        let message = Message { topic: topic.into(), payload: payload.into(), qos, retain: false };
        codec::write_publish(&message, id, dup, self.version).unwrap()
    }

    pub(super) fn publish(&mut self, topic: &str, payload: &str) -> Vec<Sent> {
        self.receive(&self.publish_bytes(topic, payload, 0, 0, false))
    }

    pub(super) fn ack(&mut self, kind: Ack, id: u16) -> Vec<Sent> {
        let mut bytes = Vec::new();
        codec::write_ack(kind, id, &mut bytes);
        self.receive(&bytes)
    }

    /// Loses the connection and gets the next.
    pub(super) fn reconnect(&mut self, session_present: bool) -> Vec<Sent> {
        self.harness.closed(self.connection);
        self.wait_for_open();
        self.connect(session_present)
    }

    pub(super) fn set(&mut self, node: NodeNumber, settings: &[(u16, Value)]) -> (u64, Vec<Sent>) {
        let id = self.next_request;
        self.next_request += 1;
        let settings = settings.iter().map(|(field, value)| Setting { field: *field, value: value.clone() }).collect();
        self.harness.event(Event::Write(Write { id, node, settings }));
        (id, self.sent())
    }

    pub(super) fn invoke(&mut self, node: NodeNumber, command: &str) -> (u64, Vec<Sent>) {
        let id = self.next_request;
        self.next_request += 1;
        self.harness.event(Event::Invoke(Invoke { id, node, command: command.into(), arguments: Vec::new() }));
        (id, self.sent())
    }

    /// How a request ended in the last call.
    pub(super) fn outcome(&self, id: u64) -> Option<Result<(), String>> {
        self.harness.actions.iter().find_map(|action| match action {
            Action::Complete(done) if done.id == id => Some(done.outcome.clone().map_err(|failure| failure.message)),
            _ => None,
        })
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        let bytes = self.harness.sent(self.connection);
        let (mut rest, mut sent) = (bytes.as_slice(), Vec::new());
        while let Some((frame, length)) = codec::split(rest, 1 << 20).unwrap() {
            sent.push(self.read(frame));
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        sent
    }

    fn read(&self, frame: codec::Frame<'_>) -> Sent {
        let id = || u16::from_be_bytes([frame.body[0], frame.body[1]]);
        match frame.first >> 4 {
            1 => self.connect_of(frame.body),
            3 => {
                let Ok(codec::Packet::Publish(publish)) = codec::read(frame, self.version) else {
                    panic!("no PUBLISH")
                };
                Sent::Publish {
                    topic: publish.topic.into(),
                    payload: String::from_utf8_lossy(publish.payload).into_owned(),
                    qos: publish.qos.into(),
                    id: publish.id,
                    dup: publish.dup,
                    retain: publish.retain,
                }
            }
            4..=7 => Sent::Ack(frame.first, id()),
            8 => Sent::Subscribe(self.filters(frame.body, 1)),
            10 => Sent::Unsubscribe(self.filters(frame.body, 0)),
            12 => Sent::Ping,
            14 => Sent::Disconnect(frame.body.first().copied().unwrap_or(0)),
            other => panic!("packet type {other}"),
        }
    }

    fn connect_of(&self, body: &[u8]) -> Sent {
        assert_eq!(body[6], if self.version == Version::V5 { 5 } else { 4 }, "protocol version");
        if self.version == Version::V5 {
            let (read, _) = v5_0::Connect::parse(body).unwrap();
            let will = read.will_topic().map(str::to_owned);
            return Sent::Connect { client_id: read.client_id().into(), clean_start: read.clean_start(), will };
        }
        let (read, _) = v3_1_1::Connect::parse(body).unwrap();
        let will = read.will_topic().map(str::to_owned);
        Sent::Connect { client_id: read.client_id().into(), clean_start: read.clean_session(), will }
    }

    fn filters(&self, body: &[u8], options: usize) -> Vec<String> {
        let (mut rest, mut filters) = (&body[if self.version == Version::V5 { 3 } else { 2 }..], Vec::new());
        while !rest.is_empty() {
            let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
            filters.push(String::from_utf8(rest[2..2 + length].into()).unwrap());
            rest = &rest[2 + length + options..];
        }
        filters
    }

    /// Node and values of the last call's reports.
    pub(super) fn readings(&self) -> Vec<(NodeNumber, Vec<Sample>)> {
        self.harness.reports().iter().map(|report| (report.reading.node, report.reading.samples.clone())).collect()
    }

    /// Values of the only report of the last call, as text.
    pub(super) fn values(&self) -> Vec<(u16, String)> {
        let reports = self.harness.reports();
        assert!(reports.len() < 2, "{reports:?}");
        let samples = reports.first().map(|report| report.reading.samples.clone()).unwrap_or_default();
        samples.iter().map(|sample| (sample.field, show(&sample.value))).collect()
    }

    /// The only node that the last call declared.
    pub(super) fn node(&self) -> Node {
        let nodes = self.harness.nodes();
        assert_eq!(nodes.len(), 1, "{nodes:?}");
        nodes[0].clone()
    }

    pub(super) fn states(&self) -> Vec<NodeState> {
        self.harness
            .actions
            .iter()
            .filter_map(|action| if let Action::NodeState(change) = action { Some(change.state) } else { None })
            .collect()
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let is_serious = |level: Level| matches!(level, Level::Warn | Level::Error);
        self.harness
            .actions
            .iter()
            .filter_map(|action| match action {
                Action::Log(log) if is_serious(log.level) => Some(log.message.clone()),
                _ => None,
            })
            .collect()
    }

    pub(super) fn timer(&self, id: u64) -> Option<u32> {
        self.harness.actions.iter().find_map(|action| match action {
            Action::SetTimer(timer) if timer.id == id => Some(timer.after_ms),
            _ => None,
        })
    }
}

pub(super) fn show(value: &Value) -> String {
    match value {
        Value::Boolean(truth) => truth.to_string(),
        Value::Int32(number) => number.to_string(),
        Value::Int64(number) | Value::Instant(number) | Value::Duration(number) => number.to_string(),
        Value::Decimal(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Text(text) | Value::Member(text) => text.clone(),
        Value::Date(number) => number.to_string(),
        Value::TimeOfDay(number) => number.to_string(),
    }
}

/// Field names in order.
pub(super) fn names(node: &Node) -> Vec<&str> {
    node.fields.iter().map(|field| field.name.as_str()).collect()
}

pub(super) fn field<'n>(node: &'n Node, name: &str) -> (u16, &'n tombolo_sdk::Field) {
    let at = node
        .fields
        .iter()
        .position(|field| field.name == name)
        .unwrap_or_else(|| panic!("{name} in {:?}", names(node)));
    (u16::try_from(at).unwrap(), &node.fields[at])
}
