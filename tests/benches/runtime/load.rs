//! What a busy broker and the host make of a mapper's life. Owns the messages and the receipts that are owed; measures nothing.

use std::collections::VecDeque;

use tombolo_core::model::bridge::{Report, StartInput, Why};
use tombolo_core::model::{Action, Event, Timestamp};
use tombolo_runtime::{Instance, InstanceLimits, Program};

/// Each has three fields, and one topic that brings all three.
pub(crate) const DEVICES: usize = 50;
pub(crate) const NOW: Timestamp = Timestamp(1_700_000_000_000_000);
pub(crate) const SETTINGS: &str = r#"{"version":"5","client_id":"bench","discovery_prefix":null,"devices":[{"node":"rooms/{room}","fields":[
    {"name":"Temperature","topic":"house/{room}/climate","pointer":"/temperature","type":"quantity","unit":"°C"},
    {"name":"Humidity","topic":"house/{room}/climate","pointer":"/humidity","type":"quantity","unit":"%"},
    {"name":"Battery","topic":"house/{room}/climate","pointer":"/battery","type":"int32","unit":"%"}]}]}"#;
/// 125 bytes, as such sensors write them.
const PAYLOAD: &str = r#"{"temperature":21.50,"humidity":48.25,"battery":87,"voltage":2.97,"linkquality":112,"model":"TH-1","serial":"0x00158d0001a2"}"#;
/// MQTT 5: accepted, no session, no properties.
const CONNACK: &[u8] = &[0x20, 3, 0, 0, 0];

/// Messages of QoS 1 from all devices in turn, and between them what the host says: which reports are stored.
pub(crate) struct Load {
    connection: u64,
    messages: u64,
    events: u64,
    owed: VecDeque<u64>,
}

impl Load {
    pub(crate) fn new(connection: u64) -> Self {
        Self { connection, messages: 0, events: 0, owed: VecDeque::new() }
    }

    /// What comes first on a connection.
    pub(crate) fn accepted(&self) -> Vec<Event> {
        let connection = self.connection;
        vec![Event::Opened(connection), Event::Data { connection, bytes: CONNACK.to_vec() }]
    }

    /// A message and a receipt in turn, as far as receipts are owed.
    pub(crate) fn batch(&mut self, size: usize) -> Vec<Event> {
        (0..size).map(|_| self.next()).collect()
    }

    fn next(&mut self) -> Event {
        self.events += 1;
        let owed = if self.events.is_multiple_of(2) { self.owed.pop_front() } else { None };
        owed.map_or_else(|| self.message(), Event::Stored)
    }

    /// One PUBLISH.
    pub(crate) fn message(&mut self) -> Event {
        let topic = format!("house/room-{:02}/climate", self.messages % DEVICES as u64);
        let [high, low] = ((self.messages % 60_000) as u16 + 1).to_be_bytes();
        self.messages += 1;
        let length = 2 + topic.len() + 2 + 1 + PAYLOAD.len();
        let mut bytes = vec![0x32, (length & 0x7f) as u8 | 0x80, (length >> 7) as u8, 0, topic.len() as u8];
        bytes.extend(topic.bytes());
        bytes.extend([high, low, 0]);
        bytes.extend(PAYLOAD.bytes());
        Event::Data { connection: self.connection, bytes }
    }

    /// Remembers what the mapper wants to hear of again.
    pub(crate) fn take(&mut self, actions: &[Action]) {
        self.owed.extend(receipts(actions));
    }

    /// Lets every device speak once.
    pub(crate) async fn introduce(&mut self, instance: &mut dyn Instance) {
        instance.handle(self.accepted(), NOW).await.unwrap();
        for _ in 0..DEVICES * 2 {
            let actions = instance.handle(self.batch(1), NOW).await.unwrap();
            self.take(&actions);
        }
    }
}

/// The receipts that these actions ask for.
pub(crate) fn receipts(actions: &[Action]) -> impl Iterator<Item = u64> {
    actions.iter().filter_map(|action| match action {
        Action::Report(Report { receipt, .. }) => *receipt,
        _ => None,
    })
}

/// The connection that a mapper asks for.
pub(crate) fn opened(actions: &[Action]) -> Option<u64> {
    actions.iter().find_map(|action| match action {
        Action::Open { connection, .. } => Some(*connection),
        _ => None,
    })
}

pub(crate) fn input() -> StartInput {
    let (state, connections, requests, granted) = (None, Vec::new(), Vec::new(), Vec::new());
    let settings = SETTINGS.to_owned();
    StartInput { now: NOW, why: Why::Fresh, settings, seed: 1, state, connections, requests, granted }
}

/// A mapper whose broker has accepted it and whose devices are known.
pub(crate) async fn connected(program: &dyn Program) -> (Box<dyn Instance>, Load) {
    let mut instance = program.instantiate(InstanceLimits::default()).await.unwrap();
    let actions = instance.start(input()).await.unwrap();
    let mut load = Load::new(opened(&actions).expect("the mapper opens its broker"));
    load.introduce(&mut *instance).await;
    (instance, load)
}
