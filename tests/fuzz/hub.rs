//! What reaches the hub: stanzas of anybody, records of an earlier run, actions of a plugin that keeps to no rule, HTTP clients at a door.
//!
//! Beside not panicking: one input leads to a bounded number of outputs, and the hub comes to rest.

use std::collections::BTreeMap;

use minidom::Element;
use tombolo_core::hub::{Hub, HubConfig, Output};
use tombolo_core::model::bridge::{HttpAnswer, HttpCall};
use tombolo_core::model::{Action, Event, FullJid, Quality, Reading, Sample, Timestamp, Value};
use tombolo_core::policy::{Door, Grant, Grants};
use tombolo_runtime::{InstanceLimits, NativeInstance, Program};
use tombolo_tests::native::plain;
use tombolo_tests::script::{Names, house, http, queue, rules};

const BRIDGE: &str = "home";
const NOW: Timestamp = Timestamp(1_700_000_000_000_000);
/// Outputs of one input.
const OUTPUTS_MAX: usize = 10_000;
/// Lines of one input.
const LINES_MAX: usize = 32;
/// A number of a request at a door.
const KNOCK: u64 = 1 << 40;

struct World {
    hub: Hub,
    now: Timestamp,
}

impl World {
    fn new(kept: BTreeMap<String, Vec<u8>>) -> Self {
        let names = Names::default();
        let queues = [("jobs", &["dead", "grave"][..]), ("grave", &[]), ("switches", &["for", BRIDGE])];
        let config = HubConfig {
            name: "tombolo".into(),
            policy: rules(&names),
            first_item: 1_000_000,
            kept,
            http: http(&names).unwrap(),
            queues: queues.iter().map(|(name, more)| queue(&names, name, more).unwrap()).collect(),
            ..HubConfig::default()
        };
        let mut world = Self { hub: Hub::new(config), now: NOW };
        world.hub.bridge_added(BRIDGE, "The house", NOW);
        world.hub.restore(NOW);
        for node in house() {
            world.hub.handle_bridge(BRIDGE, Action::PutNode(Box::new(node)), NOW);
        }
        world.hub.session_online(FullJid::new(&names.me()).unwrap(), NOW);
        world.settle();
        world
    }

    /// Does what the hub wants, as the app would, until it wants nothing more.
    fn settle(&mut self) {
        for _ in 0..OUTPUTS_MAX {
            let Some(output) = self.hub.poll_output() else { return };
            match output {
                Output::Stanza { item: Some(item), .. } | Output::Hold { item, .. } => {
                    self.hub.handle_durable(item.number, self.now);
                }
                Output::Keep { item: Some(item), .. } => self.hub.handle_durable(item, self.now),
                Output::Event { event: Event::Read(read), .. } => {
                    self.hub.handle_bridge(BRIDGE, Action::Complete { id: read.id, outcome: Ok(()) }, self.now);
                }
                Output::Http { id, .. } => {
                    let answer = HttpAnswer { status: 200, headers: Vec::new(), body: b"warm".to_vec() };
                    self.hub.handle_http_done(id, Ok(answer), self.now);
                }
                _ => {}
            }
        }
        panic!("more than {OUTPUTS_MAX} outputs of one input");
    }

    /// Time passes, up to an hour.
    fn rest(&mut self) {
        for _ in 0..200 {
            let Some(due) = self.hub.poll_timeout().filter(|due| due.0 <= NOW.0 + 3_600_000_000) else { return };
            self.now = self.now.max(due);
            self.hub.handle_timeout(self.now);
            self.settle();
        }
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).take(LINES_MAX)
}

/// Each line a stanza.
pub(crate) fn stanzas(bytes: &[u8]) {
    let mut world = World::new(BTreeMap::new());
    for line in lines(bytes) {
        let Some(stanza) = std::str::from_utf8(line).ok().and_then(|text| text.parse::<Element>().ok()) else {
            continue;
        };
        world.hub.handle_stanza(&stanza, world.now);
        world.settle();
        world.now.0 += 1_000_000;
    }
    let samples = vec![Sample { field: 0, value: Value::Boolean(true), quality: Quality::default() }];
    let report = tombolo_core::model::bridge::Report {
        reading: Reading { node: 1, at: world.now, samples },
        answers: None,
        receipt: None,
    };
    world.hub.handle_bridge(BRIDGE, Action::Report(report), world.now);
    world.settle();
    world.rest();
}

/// Each line a record: its name, a space, its content.
pub(crate) fn records(bytes: &[u8]) {
    let records = lines(bytes).map(|line| {
        let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (name, content) = line.split_at(end);
        (String::from_utf8_lossy(name).into_owned(), content.get(1..).unwrap_or_default().to_vec())
    });
    let mut world = World::new(records.collect());
    let pull = "<iq xmlns='jabber:client' type='set' from='alice@example.org/phone' to='bridge@example.org/tombolo' id='1'><pull xmlns='urn:tombolo:queue:0' node='jobs'/></iq>";
    world.hub.handle_stanza(&pull.parse().unwrap(), world.now);
    world.settle();
    world.rest();
}

/// A plugin that answers with what it was given.
struct Puppet(Vec<tombolo_sdk::Action>);

impl NativeInstance for Puppet {
    fn start(&mut self, _: tombolo_core::model::bridge::StartInput) -> Result<Vec<Action>, tombolo_runtime::Fault> {
        Ok(Vec::new())
    }

    fn handle(&mut self, _: Vec<Event>, _: Timestamp) -> Result<Vec<Action>, tombolo_runtime::Fault> {
        Ok(plain(std::mem::take(&mut self.0)))
    }

    fn carry_over(&mut self) -> Result<tombolo_core::model::bridge::State, tombolo_runtime::Fault> {
        Ok(tombolo_core::model::bridge::State { version: 1, bytes: Vec::new() })
    }

    fn stop(&mut self, _: Timestamp) -> Result<Vec<Action>, tombolo_runtime::Fault> {
        Ok(Vec::new())
    }
}

/// Each line an action, as journals have them: over the contract's conversions and checks to the hub and to the operator's grants.
pub(crate) fn actions(bytes: &[u8]) {
    let mut world = World::new(BTreeMap::new());
    let endpoints =
        BTreeMap::from([("broker".to_owned(), Grant::connect(["mqtt://*.lan", "mqtt://10.0.0.0/8"]).unwrap())]);
    let endpoints = Grants::new(BRIDGE, endpoints);
    for line in lines(bytes) {
        let Ok(action) = serde_json::from_slice::<tombolo_sdk::Action>(line) else { continue };
        let Some(checked) = checked(action) else { continue };
        for action in checked {
            match &action {
                Action::Open { endpoint, target, .. } => drop(endpoints.open(endpoint, target.as_deref())),
                Action::Http { endpoint, call, .. } => drop(endpoints.request(endpoint, &call.target)),
                _ => {}
            }
            world.hub.handle_bridge(BRIDGE, action, world.now);
            world.settle();
        }
        world.now.0 += 1_000;
    }
    let read = "<iq xmlns='jabber:client' type='get' from='alice@example.org/phone' to='bridge@example.org/tombolo' id='1'><req xmlns='urn:nf:iot:sd:1.0' seqnr='1' all='true'/></iq>";
    world.hub.handle_stanza(&read.parse().unwrap(), world.now);
    world.settle();
    world.rest();
}

/// What of an action the runtime lets through.
fn checked(action: tombolo_sdk::Action) -> Option<Vec<Action>> {
    let description = tombolo_tests::native::description::<tombolo_thermometer::Thermometer>();
    let action = std::sync::Mutex::new(Some(action));
    let program = tombolo_runtime::Native::new(description, "puppet", move || {
        Puppet(action.lock().unwrap().take().into_iter().collect())
    });
    let now = |future| super::shells::runtime().block_on(future);
    let mut instance = super::shells::runtime().block_on(program.instantiate(InstanceLimits::default())).ok()?;
    now(instance.handle(Vec::new(), NOW)).ok()
}

/// What HTTP clients ask at a door: method, target, and a header a line.
pub(crate) fn door(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut all = text.lines();
    let (method, target) = all.next().and_then(|line| line.split_once(' ')).unwrap_or_default();
    let headers: Vec<(String, Vec<u8>)> = all
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .collect();
    let listen = "127.0.0.1:8080".parse().unwrap();
    let door = Door::new(listen, "httpx://alice@example.org/api", vec!["GET".into(), "PUT".into()], None).unwrap();
    let is_admitted = door.admit(&headers).is_ok() && door.allows(method);
    if let Some(resource) = door.resource(target) {
        assert!(resource.starts_with("/api/") || resource == "/api", "{resource:?}");
        let path = resource.split('?').next().unwrap();
        assert!(!path.split('/').any(|part| part == ".."), "{resource:?}");
    }
    if is_admitted {
        let mut world = World::new(BTreeMap::new());
        let call = HttpCall { method: method.to_owned(), target: target.to_owned(), headers, body: b"{}".to_vec() };
        world.hub.handle_knock(KNOCK, listen, call, world.now);
        world.settle();
        world.rest();
    }
}
