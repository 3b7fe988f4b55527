//! A hub with two bridges, a few people with different rules, and a clock that one can push.

use std::collections::BTreeMap;

use minidom::Element;

use crate::hub::{Downgrade, Hub, HubConfig, Output};
use crate::model::bridge::Report;
use crate::model::{
    Action, Constraint, Decimal, Event, Field, FieldKinds, FullJid, Node, NodeState, Quality, Reading, Readout, Sample,
    Timestamp, Value, ValueType,
};
use crate::policy::{Glob, May, Policy, Rule};
use crate::wire::sensor::{Answer, Progress};
use crate::wire::{StanzaFault, ns};

pub(super) const ME: &str = "bridge@example.org/tombolo";
pub(super) const ALICE: &str = "alice@example.org/phone";
/// May see and read what begins with "temp", in the kitchen.
pub(super) const BOB: &str = "bob@example.org/desk";
/// May see, no more.
pub(super) const CAROL: &str = "carol@example.org/desk";
/// Looks after the service, and has no rule.
pub(super) const ROOT: &str = "root@example.org/desk";
/// Has no rule.
pub(super) const EVE: &str = "eve@evil.example/x";

pub(super) const NF: &str = "urn:nf:iot";
/// The start of the namespaces of the generations with short names.
pub(super) const SHORT: [&str; 3] = ["urn:ieee:iot", "urn:nf:iot", "urn:nfi:iot"];

pub(super) struct World {
    pub(super) hub: Hub,
    pub(super) now: Timestamp,
    /// Items of stanzas that have to be durable, as they came.
    pub(super) items: Vec<u64>,
    /// What the store has of event subscriptions.
    pub(super) kept: BTreeMap<String, Vec<u8>>,
}

pub(super) fn rules() -> Policy {
    Policy::new(vec![
        Rule::new(&["alice@example.org"], May::SEE | May::READ | May::CONTROL, &["home/*", "office/*"], &["*"]),
        Rule::new(&["bob@example.org"], May::SEE | May::READ | May::CONTROL, &["home/kitchen/*"], &["temp*"]),
        Rule::new(&["carol@example.org"], May::SEE, &["home/*"], &["*"]),
    ])
    .with_admins(vec![Glob::new("root@example.org")])
}

pub(super) fn field(name: &str, value_type: ValueType, unit: &str, kinds: FieldKinds) -> Field {
    Field {
        name: name.into(),
        value_type,
        unit: unit.into(),
        kinds,
        control: None,
        label: String::new(),
        description: String::new(),
    }
}

pub(super) fn controllable(mut field: Field, constraint: Constraint) -> Field {
    field.control = Some(Box::new(constraint));
    field
}

pub(super) fn node(number: u32, id: &str, parent: Option<u32>, readout: Readout, fields: Vec<Field>) -> Node {
    Node {
        number,
        id: id.into(),
        parent,
        node_type: "test.device".into(),
        label: String::new(),
        state: NodeState::Online,
        readout,
        fields,
        commands: Vec::new(),
        extras: vec![("maker".into(), "Example".into())],
    }
}

/// Number 1: reported; temperature, uptime, setpoint from 5 to 30, mode.
pub(super) fn thermometer() -> Node {
    let setpoint = Constraint { minimum: Some(5.0), maximum: Some(30.0), ..Constraint::default() };
    let mode = Constraint { members: vec!["auto".into(), "off".into()], ..Constraint::default() };
    node(
        1,
        "kitchen/thermometer",
        Some(10),
        Readout::Reported,
        vec![
            field("temperature", ValueType::Quantity, "°C", FieldKinds::MOMENTARY),
            field("uptime", ValueType::Int32, "", FieldKinds::STATUS),
            controllable(field("setpoint", ValueType::Quantity, "°C", FieldKinds::MOMENTARY), setpoint),
            controllable(field("mode", ValueType::Enumeration, "", FieldKinds::STATUS), mode),
        ],
    )
}

/// Number 2: asked.
pub(super) fn meter() -> Node {
    node(
        2,
        "kitchen/meter",
        Some(10),
        Readout::OnRequest,
        vec![
            field("energy", ValueType::Quantity, "kWh", FieldKinds::MOMENTARY),
            field("peak", ValueType::Quantity, "kW", FieldKinds::PEAK),
        ],
    )
}

/// Number 7 of the office: reported, can be switched.
pub(super) fn lamp() -> Node {
    let on = controllable(field("on", ValueType::Boolean, "", FieldKinds::MOMENTARY), Constraint::default());
    node(7, "lamp", None, Readout::Reported, vec![on])
}

pub(super) fn decimal(text: &str) -> Value {
    Value::Decimal(text.parse::<Decimal>().unwrap())
}

pub(super) fn sample(field: u16, value: Value) -> Sample {
    Sample { field, value, quality: Quality::empty() }
}

impl World {
    /// Bridges, nodes, and a session; nothing reported yet.
    pub(super) fn new() -> Self {
        Self::with(Downgrade::Heuristic)
    }

    pub(super) fn with(downgrade: Downgrade) -> Self {
        let (name, version) = ("tombolo".into(), "0.1".into());
        let hub = Hub::new(HubConfig {
            me: None,
            name,
            version,
            policy: rules(),
            downgrade,
            first_item: 100,
            ..HubConfig::default()
        });
        let now = Timestamp::parse("2025-03-01T10:00:00Z").unwrap();
        let mut world = Self { hub, now, items: Vec::new(), kept: BTreeMap::new() };
        world.hub.bridge_added("home", "My home", world.now);
        world.hub.bridge_added("office", "", world.now);
        let kitchen = node(10, "kitchen", None, Readout::Reported, Vec::new());
        for (bridge, node) in [("home", kitchen), ("home", thermometer()), ("home", meter()), ("office", lamp())] {
            assert_eq!(world.act(bridge, Action::PutNode(Box::new(node))), Vec::<String>::new());
        }
        world.hub.session_online(FullJid::new(ME).unwrap(), world.now);
        let Some(Output::Stanza { stanza, .. }) = world.hub.poll_output() else { panic!("asks for its contacts") };
        world.drain();
        let id = stanza.attr("id").unwrap();
        world.hear(&format!("<iq type='result' to='{ME}' id='{id}'><query xmlns='jabber:iq:roster'/></iq>"));
        world
    }

    /// With a first reading of the thermometer.
    pub(super) fn warm() -> Self {
        let mut world = Self::new();
        world.temperature("23.40");
        let samples = vec![sample(1, Value::Int32(4711)), sample(3, Value::Member("auto".into()))];
        world.report("home", 1, samples, None, None);
        world
    }

    /// With so many nodes in the office, and no lamp.
    pub(super) fn crowded(nodes: u32) -> Self {
        let mut world = Self::new();
        world.act("office", Action::RemoveNode(7));
        for number in 0..nodes {
            let value = field("value", ValueType::Quantity, "W", FieldKinds::MOMENTARY);
            let node = node(number, &format!("{number:04}"), None, Readout::Reported, vec![value]);
            world.act("office", Action::PutNode(Box::new(node)));
        }
        world
    }

    pub(super) fn drain(&mut self) -> Vec<String> {
        let mut digests = Vec::new();
        while let Some(output) = self.hub.poll_output().map(uncounted) {
            match &output {
                Output::Keep { name, bytes, .. } if name.starts_with("wish/") => {
                    match bytes {
                        Some(bytes) => self.kept.insert(name.clone(), bytes.clone()),
                        None => self.kept.remove(name),
                    };
                    continue;
                }
                Output::Stanza { item: Some(item), .. } | Output::Hold { item, .. } => self.items.push(item.number),
                Output::Keep { item: Some(item), .. } => self.items.push(*item),
                _ => {}
            }
            digests.push(digest(&output));
        }
        digests
    }

    /// A stanza arrives.
    pub(super) fn hear(&mut self, stanza: &str) -> Vec<String> {
        let stanza = stanza.replacen(' ', " xmlns='jabber:client' ", 1);
        let stanza: Element = stanza.parse().unwrap();
        self.hub.handle_stanza(&stanza, self.now);
        self.drain()
    }

    pub(super) fn get(&mut self, from: &str, payload: &str) -> Vec<String> {
        self.hear(&format!("<iq type='get' from='{from}' to='{ME}' id='q'>{payload}</iq>"))
    }

    pub(super) fn set(&mut self, from: &str, payload: &str) -> Vec<String> {
        self.hear(&format!("<iq type='set' from='{from}' to='{ME}' id='q'>{payload}</iq>"))
    }

    /// A mapper acts.
    pub(super) fn act(&mut self, bridge: &str, action: Action) -> Vec<String> {
        self.hub.handle_bridge(bridge, action, self.now);
        self.drain()
    }

    pub(super) fn report(
        &mut self,
        bridge: &str,
        node: u32,
        samples: Vec<Sample>,
        answers: Option<u64>,
        receipt: Option<u64>,
    ) -> Vec<String> {
        let reading = Reading { node, at: self.now, samples };
        self.act(bridge, Action::Report(Report { reading, answers, receipt }))
    }

    /// The thermometer reports.
    pub(super) fn temperature(&mut self, text: &str) -> Vec<String> {
        self.report("home", 1, vec![sample(0, decimal(text))], None, None)
    }

    /// Time passes; what was due happens.
    pub(super) fn pass_ms(&mut self, ms: u64) -> Vec<String> {
        self.now = self.now.plus_ms(ms);
        while self.hub.poll_timeout().is_some_and(|at| at <= self.now) {
            self.hub.handle_timeout(self.now);
        }
        self.drain()
    }

    /// Other rules.
    pub(super) fn rule(&mut self, policy: Policy) -> Vec<String> {
        self.hub.rules_changed(policy, self.now);
        self.drain()
    }

    pub(super) fn complete(&mut self, bridge: &str, id: u64) -> Vec<String> {
        self.act(bridge, Action::Complete { id, outcome: Ok(()) })
    }
}

/// The number of the only request among digests of events: `ask home read 7 ...`.
pub(super) fn request_in(digests: &[String]) -> u64 {
    let asked: Vec<&String> = digests.iter().filter(|digest| digest.starts_with("ask ")).collect();
    assert_eq!(asked.len(), 1, "{digests:?}");
    asked[0].split(' ').nth(3).unwrap().parse().unwrap()
}

/// A record as what it is to a store that counts nothing.
pub(super) fn uncounted(output: Output) -> Output {
    match output {
        Output::Take { item, name, bytes } => Output::Keep { item: Some(item.number), name, bytes: Some(bytes) },
        Output::End { name, .. } => Output::Keep { item: None, name, bytes: None },
        output => output,
    }
}

/// One line that says what an output is.
pub(super) fn digest(output: &Output) -> String {
    match output {
        Output::Stanza { stanza, .. } => stanza_digest(stanza),
        Output::After { stanza, .. } => stanza_digest(stanza),
        Output::Hold { stanza, .. } => format!("hold {}", stanza_digest(stanza)),
        Output::LetGo { items, .. } => format!("let go {}", items.len()),
        Output::Recall { number, .. } => format!("recall {number}"),
        Output::GivenUp { readings, reason } => format!("given up {readings}: {reason}"),
        Output::Event { bridge, event } => event_digest(bridge, event),
        Output::Keep { name, bytes, .. } => format!("{} {name}", if bytes.is_some() { "keep" } else { "forget" }),
        Output::Take { name, .. } => format!("keep {name}"),
        Output::End { name, .. } => format!("forget {name}"),
        Output::Wish { id, wish } => format!("wish {id} {wish:?}"),
        Output::Trouble { about, reason } => format!("trouble {about}: {}", reason.as_deref().unwrap_or("over")),
        Output::Http { id, target, call, .. } => {
            let headers: String = call
                .headers
                .iter()
                .map(|(name, value)| format!(" {name}={}", String::from_utf8_lossy(value)))
                .collect();
            let body = if call.body.is_empty() { String::new() } else { format!(" +{}", call.body.len()) };
            format!("http {id} {} {}{}{headers}{body}", call.method, target.host(), call.target)
        }
        Output::HttpReply { id, answer } => {
            let headers: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
            let body = String::from_utf8_lossy(answer.body.get(..answer.body.len().min(80)).unwrap_or_default());
            format!("reply {id} {} [{}] {}", answer.status, headers.join(" "), body.trim_end())
        }
        Output::Refused { bridge, reason } => format!("refused {bridge}: {reason}"),
    }
}

fn event_digest(bridge: &str, event: &Event) -> String {
    match event {
        Event::Read(read) => format!("ask {bridge} read {} {:?} {:?}", read.id, read.nodes, read.fields),
        Event::Write { id, node, settings } => {
            let settings: Vec<String> =
                settings.iter().map(|one| format!("{}={}", one.field, text(&one.value))).collect();
            format!("ask {bridge} write {id} {node}: {}", settings.join(" "))
        }
        Event::Invoke { id, node, command, arguments } => {
            let arguments: Vec<String> = arguments.iter().map(|(name, text)| format!("{name}={text}")).collect();
            format!("ask {bridge} invoke {id} {node} {command}: {}", arguments.join(" "))
        }
        Event::Cancelled(id) => format!("cancelled {bridge} {id}"),
        Event::Wanted(node) => format!("wanted {bridge} {node}"),
        Event::Unwanted(node) => format!("unwanted {bridge} {node}"),
        Event::Stored(receipt) => format!("stored {bridge} {receipt}"),
        other => format!("{bridge} {other:?}"),
    }
}

fn stanza_digest(stanza: &Element) -> String {
    let to = stanza.attr("to").unwrap_or("-");
    let who = to.split('@').next().unwrap();
    let payload = stanza.children().find(|child| !child.is("error", ns::CLIENT));
    match (stanza.name(), stanza.attr("type")) {
        ("iq", Some("error")) => {
            let fault = StanzaFault::from_element(stanza.get_child("error", ns::CLIENT).unwrap());
            let about = fault
                .application
                .as_ref()
                .map(|about| format!(" [{} {}: {}]", about.name(), about.attr("var").unwrap_or(""), about.text()));
            let beside = payload.map(|beside| format!(" beside {}", short(beside)));
            let (kind, condition) = (fault.kind.as_str(), fault.condition.as_str());
            format!("{who} error {kind} {condition}{}{}", about.unwrap_or_default(), beside.unwrap_or_default())
        }
        ("iq", Some(kind)) => format!("{who} {kind} {}", payload.map_or_else(|| "-".into(), short)),
        ("message", _) => match payload.and_then(Answer::parse) {
            Some(answer) => format!("{who} {}", progress(&answer)),
            None => format!("{who} message {}", payload.map_or_else(|| "-".into(), short)),
        },
        ("presence", kind) => format!("{who} presence {}", kind.unwrap_or("available")),
        _ => String::from(stanza),
    }
}

/// Name, the end of the namespace's generation, and attributes in order of name.
fn short(element: &Element) -> String {
    let mut attributes: Vec<String> =
        element.attrs().iter().map(|((_, name), value)| format!("{}={value}", name.as_str())).collect();
    attributes.sort();
    let generation = element.ns().split(":iot").next().unwrap_or_default().trim_start_matches("urn:").to_owned();
    let generation =
        if generation.contains("http") || generation.contains("jabber") { String::new() } else { generation };
    [vec![format!("{generation}:{}", element.name())], attributes].concat().join(" ")
}

fn progress(answer: &Answer) -> String {
    let id = &answer.id;
    match &answer.progress {
        Progress::Accepted { .. } => format!("accepted {id}"),
        Progress::Started => format!("started {id}"),
        Progress::Done => format!("done {id}"),
        Progress::Cancelled => format!("cancelled {id}"),
        Progress::Data { readings, last } => {
            let readings: Vec<String> = readings
                .iter()
                .map(|reading| {
                    let node =
                        reading.node.as_ref().map_or_else(|| "-".into(), |node| format!("{}|{}", node.source, node.id));
                    let fields = reading.fields.iter().map(|field| {
                        let unit = if field.unit.is_empty() { String::new() } else { format!(" {}", field.unit) };
                        format!("{}={}{unit}", field.name, text(&field.value))
                    });
                    let errors = reading.errors.iter().map(|error| format!("!{error}"));
                    format!("{node} {}", fields.chain(errors).collect::<Vec<_>>().join(", "))
                })
                .collect();
            format!("{} {id}: {}", if *last { "last" } else { "part" }, readings.join("; "))
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Int32(value) => format!("{value}i"),
        Value::Int64(value) => format!("{value}l"),
        Value::Decimal(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
        Value::Text(value) | Value::Member(value) => value.clone(),
        other => format!("{other:?}"),
    }
}
