//! The house that every script finds, who may what in it, and under which names everybody is known.
//!
//! Owns no state. The same dialogue runs many times at one server: each time with accounts of its own, whose names are those of the script
//! with a number.

use tombolo_core::hub::{How, Promise, PublishRule, RoomRule, Service, ServiceBridge};
use tombolo_core::model::{Command, Constraint, Field, FieldKinds, Jid, Node, NodeState, Readout, ValueType};
use tombolo_core::policy::{Glob, HttpRule, HttpTarget, May, Policy, QueueRule, Rule, Share};
use tombolo_core::wire::Dialect;
use tombolo_core::wire::pubsub::NodeConfig;

use super::BRIDGE;

/// Under which names everybody is known.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Added to accounts and to domains of services; nothing where nobody else is there.
    pub number: Option<usize>,
}

impl Names {
    /// A text of the script with its names as they are this time.
    pub fn localize(&self, text: &str) -> String {
        let Some(number) = self.number else { return text.to_owned() };
        let services = ["iot", "pubsub", "rooms"];
        let accounts = super::live::DOMAINS
            .iter()
            .fold(text.to_owned(), |text, domain| text.replace(&format!("@{domain}"), &format!("-{number}@{domain}")));
        services.iter().fold(accounts, |text, service| {
            text.replace(&format!("{service}.example.org"), &format!("{service}{number}.example.org"))
        })
    }

    /// Whom a script means: `alice`, or a JID.
    pub fn jid(&self, who: &str) -> String {
        if who.contains(['@', '.']) { who.to_owned() } else { self.localize(&format!("{who}@example.org/phone")) }
    }

    /// Our own account with its resource.
    pub fn me(&self) -> String {
        self.localize("bridge@example.org/tombolo")
    }

    /// Our domain, where a script says `component`.
    pub fn domain(&self) -> String {
        self.localize("iot.example.org")
    }
}

/// A section that pushes what is in the kitchen: the way, then to whom.
pub(super) fn publish(names: &Names, how: &[&str]) -> Result<PublishRule, String> {
    let to = |to: &str| Jid::new(&names.jid(to)).map_err(|error| error.to_string());
    let message = |who: &str, promise| Ok::<_, String>(How::Message { to: to(who)?, promise });
    let config = |access: &str| NodeConfig { access_model: access.to_owned(), max_items: 1 };
    let how = match how {
        ["message", who] => message(who, Promise::None)?,
        ["receipts", who] => message(who, Promise::Receipts)?,
        ["acknowledged", who] => message(who, Promise::Acknowledged)?,
        ["assured", who] => message(who, Promise::Assured)?,
        ["presence"] => How::Presence,
        ["pep"] => {
            How::Node { service: None, node: "urn:nf:iot:sd:1.0".to_owned(), config: config("presence"), create: true }
        }
        ["pubsub", service, node] => {
            How::Node { service: Some(to(service)?), node: (*node).to_owned(), config: config("open"), create: true }
        }
        ["room", room, commands @ ..] => How::Room(RoomRule {
            room: to(room)?.into_bare(),
            nick: "tombolo".to_owned(),
            password: None,
            create: true,
            config: Vec::new(),
            commands: commands == ["commands"],
        }),
        _ => return Err("no such way to publish".to_owned()),
    };
    Ok(PublishRule { share: Share::new(&["home/*"], &["*"]), how, dialect: Dialect::Nf, interval_us_min: 0 })
}

/// A queue of two items, from which an item is leased for 30 s, twice; Alice and Bob may push, Alice may pull, and `home` does what it can
/// where the script says so.
pub fn queue(names: &Names, name: &str, more: &[&str]) -> Result<QueueRule, String> {
    let (dead, bridges) = match more {
        [] => (None, Vec::new()),
        ["dead", grave] => (Some((*grave).to_owned()), Vec::new()),
        ["for", BRIDGE] => (None, vec![BRIDGE.to_owned()]),
        _ => return Err("no such queue".to_owned()),
    };
    let people =
        |all: &[&str]| all.iter().map(|who| Glob::new(names.localize(&format!("{who}@example.org")))).collect();
    Ok(QueueRule {
        name: name.to_owned(),
        capacity: 2,
        expire_ms: None,
        lease_ms: 30_000,
        attempts_max: 2,
        dead,
        providers: people(&["alice", "bob"]),
        consumers: people(&["alice"]),
        bridges,
    })
}

/// The service with its bridge in this state.
pub(super) fn service(state: &str) -> Service {
    let bridge =
        ServiceBridge { name: BRIDGE.into(), plugin: "mqtt".into(), state: state.into(), ..ServiceBridge::default() };
    Service { version: "0.1".into(), bridges: vec![bridge], ..Service::default() }
}

/// Alice may everything, Bob may see and read the lamp, Root looks after the service; nobody else may anything.
pub fn rules(names: &Names) -> Policy {
    let [alice, bob, root] = ["alice", "bob", "root"].map(|who| names.localize(&format!("{who}@example.org")));
    Policy::new(vec![
        Rule::new(&[&alice], May::SEE | May::READ | May::CONTROL, &["home/*"], &["*"]),
        Rule::new(&[&bob], May::SEE | May::READ, &["home/lamp"], &["*"]),
    ])
    .with_admins(vec![Glob::new(&root)])
}

/// Alice may read and write below `/heating`, Bob may read what is below `/camera`.
pub fn http(names: &Names) -> Result<Vec<HttpRule>, String> {
    let rule = |path: &str, target: &str, who: &str, methods: &[&str]| {
        let target = HttpTarget::parse(target)?;
        HttpRule::new(
            path,
            target,
            vec![Glob::new(names.localize(who))],
            methods.iter().map(|method| (*method).to_owned()).collect(),
        )
    };
    let rules = [
        rule("/heating", "http://192.0.2.20:8080/api", "alice@example.org", &["GET", "HEAD", "PUT"]),
        rule("/camera", "http://192.0.2.21", "bob@example.org", &["GET"]),
    ];
    rules.into_iter().collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// A lamp that is controlled, a thermometer that reports, a meter that has to be asked, in a kitchen.
pub fn house() -> Vec<Node> {
    let range = Constraint { minimum: Some(0.0), maximum: Some(100.0), ..Constraint::default() };
    let modes = Constraint { members: vec!["auto".into(), "off".into()], ..Constraint::default() };
    let momentary = FieldKinds::MOMENTARY;
    let lamp = node(
        2,
        "lamp",
        Some(1),
        Readout::Reported,
        vec![
            field("Power", ValueType::Boolean, "", momentary, Some(Constraint::default())),
            field("Level", ValueType::Int32, "%", momentary, Some(range.clone())),
            field("Mode", ValueType::Enumeration, "", FieldKinds::STATUS, Some(modes)),
        ],
    );
    let few = |name: &str| field(name, ValueType::Int32, "", momentary, Some(range.clone()));
    let commands = vec![
        command("identify", Vec::new()),
        command("blink", vec![few("Times")]),
        command("query.history", vec![few("Hours")]),
        command("settings", vec![few("Level"), field("Name", ValueType::Text, "", momentary, None)]),
    ];
    vec![
        node(1, "kitchen", None, Readout::Reported, Vec::new()),
        Node { commands, ..lamp },
        node(
            3,
            "thermometer",
            Some(1),
            Readout::Reported,
            vec![
                field("Temperature", ValueType::Quantity, "°C", momentary, None),
                field("Uptime", ValueType::Int64, "", FieldKinds::STATUS, None),
            ],
        ),
        node(
            4,
            "meter",
            None,
            Readout::OnRequest,
            vec![
                field("Energy", ValueType::Quantity, "kWh", momentary, None),
                field("Serial", ValueType::Text, "", FieldKinds::IDENTITY, None),
            ],
        ),
    ]
}

pub(super) fn node(number: u32, id: &str, parent: Option<u32>, readout: Readout, fields: Vec<Field>) -> Node {
    let (commands, extras) = (Vec::new(), Vec::new());
    let (node_type, label) = ("test.device".to_owned(), String::new());
    Node {
        number,
        id: id.to_owned(),
        parent,
        node_type,
        label,
        state: NodeState::Online,
        readout,
        fields,
        commands,
        extras,
    }
}

fn command(name: &str, parameters: Vec<Field>) -> Command {
    Command { name: name.to_owned(), label: String::new(), parameters }
}

fn field(name: &str, value_type: ValueType, unit: &str, kinds: FieldKinds, control: Option<Constraint>) -> Field {
    let (label, description) = (String::new(), String::new());
    Field {
        name: name.to_owned(),
        value_type,
        unit: unit.to_owned(),
        kinds,
        control: control.map(Box::new),
        label,
        description,
    }
}
