//! Conformance dialogues: a script of stanzas and bridge actions, driven against the hub in this process with a clock of its own.
//!
//! Owns the format (`tests/conformance/README.md` tells it) and the house that every script finds. Everything that the hub does must stand in
//! the script: what is left over at its end is an error.

mod door;
mod publish;
mod things;

use std::collections::{BTreeMap, VecDeque};

use minidom::Element;
use tombolo_core::hub::{Granted, Hub, HubConfig, Output, Service, ServiceBridge, Wish};
use tombolo_core::model::bridge::{HttpAnswer, HttpCall, Read, Report};
use tombolo_core::model::{
    Action, BareJid, Command, Constraint, Event, Failure, Field, FieldKinds, FullJid, Node, NodeState, Quality,
    Reading, Readout, ReasonCode, Sample, Timestamp, Value, ValueType,
};
use tombolo_core::policy::{Glob, HttpRule, HttpTarget, May, Policy, QueueRule, Rule};
use tombolo_core::wire::{lexical, stanza};

use crate::pattern::mismatch;

const ME: &str = "bridge@example.org/tombolo";
/// Our domain, where a script says `component`.
const DOMAIN: &str = "iot.example.org";
const BRIDGE: &str = "home";
const BEGIN: &str = "2026-01-31T12:00:00Z";

/// Generations whose element names are the same; scripts are written in the second one.
const SHORT: [&str; 3] = ["ieee", "nf", "nfi"];

/// Runs a script, once for each of the generations with short names that its head names; an error names line and reason.
pub fn run(script: &str) -> Result<(), String> {
    let dialects = dialects(script)?;
    let told = |dialect: &str| script.replace("urn:nf:iot:", &format!("urn:{dialect}:iot:"));
    dialects.iter().try_for_each(|dialect| run_once(&told(dialect)).map_err(|reason| format!("{dialect}: {reason}")))
}

/// What the head says after `# dialects:`; nothing: as it is written.
pub fn dialects(script: &str) -> Result<Vec<&str>, String> {
    let Some(named) = script.lines().find_map(|line| line.strip_prefix("# dialects:")) else { return Ok(vec!["nf"]) };
    let named: Vec<&str> = named.split_whitespace().collect();
    match named.iter().find(|name| !SHORT.contains(name)) {
        Some(odd) => Err(format!("{odd} is no generation with short names")),
        None => Ok(named),
    }
}

fn run_once(script: &str) -> Result<(), String> {
    let is_component = script.lines().any(|line| line.trim_end() == "component");
    let mut stage = Stage::new(is_component)?;
    if script.lines().any(|line| line.starts_with("island ")) {
        stage.open_door()?;
    }
    let mut lines = script.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut block = String::new();
        while let Some((_, more)) = lines.next_if(|(_, next)| next.starts_with(' ')) {
            block.push_str(more.trim());
            block.push(' ');
        }
        stage.step(line, block.trim()).map_err(|reason| format!("line {}: {line}: {reason}", index + 1))?;
    }
    stage.end()
}

struct Stage {
    hub: Hub,
    is_component: bool,
    now: Timestamp,
    stanzas: VecDeque<Element>,
    events: VecDeque<Event>,
    /// What only the app could do, and the last of it that the script has seen.
    wishes: VecDeque<(u64, Wish)>,
    wish: u64,
    /// What an HTTP endpoint is asked, and the last of it that the script has seen.
    calls: VecDeque<(u64, HttpCall)>,
    call: u64,
    /// What HTTP clients of the island were told, and how many have asked.
    replies: VecDeque<HttpAnswer>,
    knocks: u64,
    /// The last session of a command.
    session: String,
    items: Vec<u64>,
    /// Durable stanzas that were sent.
    sent: BTreeMap<u64, Element>,
    /// What the hub keeps in the store.
    kept: BTreeMap<String, Vec<u8>>,
    /// What was kept or let go of, for scripts that want to know.
    records: VecDeque<String>,
    /// The last request that the bridge got.
    request: u64,
    /// The id of the last stanza of ours.
    id: String,
    /// Nodes that a script added.
    added: Vec<Node>,
    /// Those of the operator.
    queues: Vec<QueueRule>,
    /// Things of others that the bridge was shown.
    shown: things::Shown,
    /// The question for our contact list.
    roster: Option<String>,
}

impl Stage {
    fn new(is_component: bool) -> Result<Self, String> {
        let now = Timestamp::parse(BEGIN).ok_or("the clock")?;
        let (stanzas, events) = (VecDeque::new(), VecDeque::new());
        let (hub, items) = (Hub::new(HubConfig::default()), Vec::new());
        let (sent, kept) = (BTreeMap::new(), BTreeMap::new());
        let mut stage = Self {
            hub,
            is_component,
            now,
            stanzas,
            events,
            wishes: VecDeque::new(),
            wish: 0,
            calls: VecDeque::new(),
            call: 0,
            replies: VecDeque::new(),
            knocks: 0,
            session: String::new(),
            items,
            sent,
            kept,
            records: VecDeque::new(),
            request: 0,
            id: String::new(),
            added: Vec::new(),
            queues: Vec::new(),
            shown: things::Shown::new(),
            roster: None,
        };
        stage.start()?;
        Ok(stage)
    }

    /// A process begins, with what an earlier one kept.
    fn start(&mut self) -> Result<(), String> {
        let domain = BareJid::new(DOMAIN).map_err(|error| error.to_string())?;
        let config = HubConfig {
            name: "tombolo".into(),
            version: "0.1".into(),
            policy: rules(),
            component: self.is_component.then_some(domain),
            first_item: self.now.0.unsigned_abs(),
            kept: self.kept.clone(),
            http: http()?,
            queues: self.queues.clone(),
            ..HubConfig::default()
        };
        self.hub = Hub::new(config);
        self.hub.bridge_added(BRIDGE, "The house", self.now);
        self.hub.restore(self.now);
        for node in house() {
            self.hub.handle_bridge(BRIDGE, Action::PutNode(Box::new(node)), self.now);
        }
        match self.is_component {
            true => self.hub.component_online(self.now),
            false => self.hub.session_online(FullJid::new(ME).map_err(|error| error.to_string())?, self.now),
        }
        // The greeting is every script's and none's.
        let before = self.stanzas.len();
        self.drain();
        let asked = self.stanzas.iter().skip(before).find(|stanza| stanza.has_child("query", "jabber:iq:roster"));
        self.roster = asked.and_then(|asked| asked.attr("id")).map(str::to_owned);
        self.stanzas.truncate(before);
        Ok(())
    }

    /// The operator changes something; what our presence says of it is every script's and none's.
    fn quietly(&mut self, change: impl FnOnce(&mut Self)) {
        change(self);
        let before = self.stanzas.len();
        self.drain();
        self.stanzas.truncate(before);
    }

    /// Our contact list comes, and is empty. Only who mirrors waits for it.
    fn know_contacts(&mut self) {
        let Some(id) = self.roster.take() else { return };
        let roster = Element::bare("query", "jabber:iq:roster");
        self.hub.handle_stanza(&stanza::result(None, &id, Some(roster)), self.now);
        self.drain();
    }

    /// What was sent last that had to be durable comes back.
    fn bounce(&mut self, who: &str, condition: &str) -> Result<(), String> {
        let theirs = |stanza: &&Element| stanza.attr("to") == Some(jid(who).as_str());
        let last = self.sent.values().rev().find(theirs).and_then(|stanza| stanza.attr("id"));
        let id = last.ok_or("nothing was sent that had to be durable")?;
        let error = format!("<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>");
        let block = format!("<message type='error' id='{id}'><error type='cancel'>{error}</error></message>");
        self.hear(who, &[], &block)
    }

    fn step(&mut self, line: &str, block: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["component"] => {}
            ["keeps" | "forgets", ..] => return self.expect_kept(line),
            ["->", who, at @ ..] => self.hear(who, at, block)?,
            ["<-", who, at @ ..] => return self.expect_stanza(who, at, block),
            [BRIDGE, "reports", node, values @ ..] => self.report(node, values, None)?,
            [BRIDGE, "answers", node, values @ ..] => self.report(node, values, Some(self.request))?,
            [BRIDGE, "completes"] => self.act(Action::Complete { id: self.request, outcome: Ok(()) }),
            [BRIDGE, "fails", reason @ ..] => {
                let failure = Failure::new(ReasonCode::Unreachable, reason.join(" "));
                self.act(Action::Complete { id: self.request, outcome: Err(failure) });
            }
            [BRIDGE, "is", node, state @ ("online" | "offline")] => {
                let state = if *state == "online" { NodeState::Online } else { NodeState::Offline };
                self.act(Action::NodeState { node: self.find(node)?.number, state });
            }
            [BRIDGE, "adds", id] => {
                self.act(Action::PutNode(Box::new(node(9, id, None, Readout::Reported, Vec::new()))))
            }
            [BRIDGE, "adds", id, "like", other] => {
                let twin = Node { number: 10, id: (*id).to_owned(), ..self.find(other)? };
                self.added.push(twin.clone());
                self.act(Action::PutNode(Box::new(twin)));
            }
            [BRIDGE, "labels", id, label] => {
                self.act(Action::PutNode(Box::new(Node { label: (*label).to_owned(), ..self.find(id)? })))
            }
            [BRIDGE, "has", node, "in", "trouble"] => {
                self.act(Action::NodeState { node: self.find(node)?.number, state: NodeState::Error })
            }
            [BRIDGE, "cannot", "read", node, reason @ ..] => {
                let failure = Failure::new(ReasonCode::Unreachable, reason.join(" "));
                self.act(Action::NodeFailed { id: self.request, node: self.find(node)?.number, failure })
            }
            [BRIDGE, "removes", node] => self.act(Action::RemoveNode(self.find(node)?.number)),
            [BRIDGE, expected @ ..] => return self.expect_event(&expected.join(" ")),
            ["wait", seconds] => self.wait(seconds.parse().map_err(|_| "no number of seconds")?),
            ["endpoint", "is", "asked", wanted @ ..] => return self.expect_call(&wanted.join(" ")),
            ["endpoint", "says", status, body @ ..] => {
                let status = status.parse().map_err(|_| "no status")?;
                let body = match body {
                    ["bytes", count] => vec![b'x'; count.parse().map_err(|_| "no number of bytes")?],
                    text => text.join(" ").into_bytes(),
                };
                let headers = vec![
                    ("Content-Type".to_owned(), b"text/plain".to_vec()),
                    ("Connection".to_owned(), b"close".to_vec()),
                ];
                self.hub.handle_http_done(self.call, Ok(HttpAnswer { status, headers, body }), self.now);
            }
            ["endpoint", "fails", reason @ ..] => {
                let failure = Failure::new(ReasonCode::Unreachable, reason.join(" "));
                self.hub.handle_http_done(self.call, Err(failure), self.now);
            }
            ["island", "asks", method, target, body @ ..] => self.knock(method, target, body)?,
            ["island", "is", "told", wanted @ ..] => return self.expect_reply(&wanted.join(" ")),
            ["service", "is", "asked", wanted @ ..] => return self.expect_wish(&wanted.join(" ")),
            ["service", "says", state] => self.grant(Ok(Granted::Status(service(state)))),
            ["service", "does", text @ ..] => self.grant(Ok(Granted::Done(text.join(" ")))),
            ["service", "fails", text @ ..] => self.grant(Err(text.join(" "))),
            ["publish", how @ ..] => self.hub.publish_changed(vec![publish::section(how)?], self.now),
            ["mirror", ..] if self.roster.is_some() => {
                self.know_contacts();
                return self.step(line, block);
            }
            ["mirror", "nothing"] => self.hub.mirror(BRIDGE, Vec::new(), self.now),
            ["mirror", way @ ..] => self.hub.mirror(BRIDGE, vec![things::entry(way)?], self.now),
            ["queue", name, more @ ..] => {
                self.queues.push(queue(name, more)?);
                let queues = self.queues.clone();
                self.quietly(|stage| stage.hub.queues_changed(queues, stage.now));
            }
            ["durable"] => self.durable(),
            ["rules", "none"] => self.hub.rules_changed(Policy::default(), self.now),
            [who, "bounces", condition] => self.bounce(who, condition)?,
            ["restart"] => self.start()?,
            ["offline"] => self.hub.session_offline(self.now),
            ["nothing"] => return self.end(),
            _ => return Err("no such step".to_owned()),
        }
        self.drain();
        Ok(())
    }

    fn drain(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Stanza { item, stanza } => {
                    self.items.extend(item);
                    if let Some(item) = item {
                        self.sent.insert(item, stanza.clone());
                    }
                    self.stanzas.push_back(stanza);
                }
                Output::Hold { item, .. } => self.items.push(item),
                Output::Recall { item, from } => {
                    if let Some(stanza) = self.sent.get(&item) {
                        self.hub.handle_returned(&from, stanza, self.now);
                    }
                }
                Output::Keep { item, name, bytes } => {
                    self.items.extend(item);
                    self.records.push_back(match &bytes {
                        Some(bytes) => format!("keeps {name} {}", String::from_utf8_lossy(bytes)),
                        None => format!("forgets {name}"),
                    });
                    match bytes {
                        Some(bytes) => self.kept.insert(name, bytes),
                        None => self.kept.remove(&name),
                    };
                }
                Output::LetGo(_) | Output::GivenUp { .. } => {}
                Output::Wish { id, wish } => self.wishes.push_back((id, wish)),
                Output::Trouble { .. } | Output::Refused { .. } => {}
                Output::Http { id, call, .. } => self.calls.push_back((id, call)),
                Output::HttpReply { answer, .. } => self.replies.push_back(answer),
                Output::Event { event, .. } => self.events.push_back(event),
            }
        }
    }

    /// The address of ours that a script names after the peer's: `lamp.home` for a node, nothing for all of them.
    fn address(&self, at: &[&str]) -> Result<String, String> {
        match (self.is_component, at) {
            (false, []) => Ok(ME.to_owned()),
            (true, []) => Ok(DOMAIN.to_owned()),
            (true, [local]) => Ok(format!("{local}@{DOMAIN}")),
            _ => Err("only a component has more than one address".to_owned()),
        }
    }

    /// As it comes from the session: mended, with the sender that the server vouches for.
    fn hear(&mut self, who: &str, at: &[&str], block: &str) -> Result<(), String> {
        let block = block.replace("$SESSION", &self.session).replace("'$'", &format!("'{}'", self.id));
        let from = if who == "server" { String::new() } else { format!("from='{}'", jid(who)) };
        let element = parse(&block, &format!("{from} to='{}'", self.address(at)?))?;
        self.hub.handle_stanza(&stanza::mend(element), self.now);
        Ok(())
    }

    fn expect_stanza(&mut self, who: &str, at: &[&str], block: &str) -> Result<(), String> {
        let from = self.is_component.then(|| self.address(at)).transpose()?;
        let found = self.stanzas.pop_front().ok_or("nothing was sent")?;
        found.attr("id").unwrap_or_default().clone_into(&mut self.id);
        let to = (who != "server").then(|| jid(who));
        if found.attr("to") != to.as_deref() {
            return Err(format!("went to {:?}: {}", found.attr("to"), String::from(&found)));
        }
        if found.attr("from") != from.as_deref() {
            return Err(format!("came from {:?}: {}", found.attr("from"), String::from(&found)));
        }
        let session = found.children().find_map(|child| child.attr("sessionid"));
        self.session = session.map_or_else(|| std::mem::take(&mut self.session), str::to_owned);
        // The hub numbers its messages; a script does not repeat that.
        let id = if block.starts_with("<message") && !block.contains("<message id=") { "id='*'" } else { "" };
        let pattern = parse(
            block,
            &format!(
                "{} {id} {}",
                to.map(|to| format!("to='{to}'")).unwrap_or_default(),
                from.map(|from| format!("from='{from}'")).unwrap_or_default()
            ),
        )?;
        match mismatch(&pattern, &found) {
            None => Ok(()),
            Some(reason) => Err(format!("{reason}\n  found {}", String::from(&found))),
        }
    }

    /// Scripts that are about something else do not say what is kept.
    fn expect_kept(&mut self, expected: &str) -> Result<(), String> {
        let kept = self.records.pop_front().ok_or("nothing is kept")?;
        if kept == expected { Ok(()) } else { Err(kept) }
    }

    fn expect_event(&mut self, expected: &str) -> Result<(), String> {
        let event = self.events.pop_front().ok_or("the bridge was told nothing")?;
        let told = self.digest(&event);
        if told == expected { Ok(()) } else { Err(format!("the bridge was told: {told}")) }
    }

    fn expect_wish(&mut self, expected: &str) -> Result<(), String> {
        let (id, wish) = self.wishes.pop_front().ok_or("nothing was asked")?;
        self.wish = id;
        let asked = match wish {
            Wish::Status => "status".to_owned(),
            Wish::Reload => "reload".to_owned(),
            Wish::Manage { bridge, what } => format!("{what:?} {bridge}").to_lowercase(),
        };
        if asked == expected { Ok(()) } else { Err(format!("the service was asked: {asked}")) }
    }

    /// `METHOD PATH HEADER=VALUE ...`, and `+ BODY` where there is one.
    fn expect_call(&mut self, expected: &str) -> Result<(), String> {
        let (id, call) = self.calls.pop_front().ok_or("the endpoint is asked nothing")?;
        self.call = id;
        let header = |(name, value): &(String, Vec<u8>)| format!(" {name}={}", String::from_utf8_lossy(value));
        let headers: String = call.headers.iter().map(header).collect();
        let body =
            if call.body.is_empty() { String::new() } else { format!(" + {}", String::from_utf8_lossy(&call.body)) };
        let asked = format!("{} {}{headers}{body}", call.method, call.target);
        if asked == expected { Ok(()) } else { Err(format!("the endpoint is asked {asked}")) }
    }

    fn grant(&mut self, outcome: Result<Granted, String>) {
        let outcome = outcome.map_err(|text| Failure::new(ReasonCode::Busy, text));
        self.hub.handle_granted(self.wish, outcome, self.now);
    }

    /// An event as a script writes it; remembers the request.
    fn digest(&mut self, event: &Event) -> String {
        match event {
            Event::Read(Read { id, nodes, .. }) => {
                self.request = *id;
                let names: Vec<String> = nodes.iter().map(|number| self.node_name(*number)).collect();
                format!("is asked for {}", names.join(" "))
            }
            Event::Write { id, node, settings } => {
                self.request = *id;
                let fields =
                    self.nodes().find(|known| known.number == *node).map(|node| node.fields).unwrap_or_default();
                let texts = settings.iter().map(|setting| {
                    let name = fields.get(usize::from(setting.field)).map_or("?", |field| field.name.as_str());
                    format!("{name}={}", lexical::write(&setting.value))
                });
                format!("is told {} {}", self.node_name(*node), texts.collect::<Vec<_>>().join(" "))
            }
            Event::Invoke { id, node, command, arguments } => {
                self.request = *id;
                let arguments = arguments.iter().map(|(name, text)| format!(" {name}={text}"));
                format!("is to do {} {command}{}", self.node_name(*node), arguments.collect::<String>())
            }
            Event::Cancelled(_) => "is no longer asked".to_owned(),
            Event::Wanted(node) => format!("has {} wanted", self.node_name(*node)),
            Event::Unwanted(node) => format!("has {} unwanted", self.node_name(*node)),
            Event::Stored(receipt) => format!("has receipt {receipt} stored"),
            other => things::digest(other, &mut self.shown).unwrap_or_else(|| format!("{other:?}")),
        }
    }

    fn act(&mut self, action: Action) {
        self.hub.handle_bridge(BRIDGE, action, self.now);
    }

    /// Values as `NAME=VALUE`; `receipt=N` asks for one.
    fn report(&mut self, node: &str, values: &[&str], answers: Option<u64>) -> Result<(), String> {
        let node = self.find(node)?;
        let (mut samples, mut receipt, mut at) = (Vec::new(), None, self.now);
        for value in values {
            let (name, text) = value.split_once('=').ok_or("values are NAME=VALUE")?;
            match node.fields.iter().position(|field| field.name == name) {
                Some(index) => samples.push(sample(index, &node.fields, text)?),
                None if name == "at" => at = Timestamp::parse(text).ok_or("no instant")?,
                None if name == "receipt" => receipt = Some(text.parse().map_err(|_| "no number")?),
                None => return Err(format!("no field {name}")),
            }
        }
        let reading = Reading { node: node.number, at, samples };
        self.act(Action::Report(Report { reading, answers, receipt }));
        Ok(())
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now.plus_ms(seconds * 1000);
        while self.hub.poll_timeout().is_some_and(|due| due <= self.now) {
            self.hub.handle_timeout(self.now);
        }
    }

    fn durable(&mut self) {
        for item in std::mem::take(&mut self.items) {
            self.hub.handle_durable(item, self.now);
        }
    }

    fn end(&mut self) -> Result<(), String> {
        if let Some((_, call)) = self.calls.front() {
            return Err(format!("left over: the endpoint is asked {call:?}"));
        }
        if let Some(answer) = self.replies.front() {
            return Err(format!("left over: the island is told {} {:?}", answer.status, answer.body));
        }
        if let Some((_, wish)) = self.wishes.front() {
            return Err(format!("left over: the service is asked {wish:?}"));
        }
        match (self.stanzas.front(), self.events.front().cloned()) {
            (None, None) => Ok(()),
            (Some(stanza), _) => Err(format!("left over: {}", String::from(stanza))),
            (None, Some(event)) => Err(format!("left over: home {}", self.digest(&event))),
        }
    }

    fn nodes(&self) -> impl Iterator<Item = Node> {
        house().into_iter().chain(self.added.clone())
    }

    fn find(&self, name: &str) -> Result<Node, String> {
        self.nodes().find(|node| node.id == name).ok_or_else(|| format!("the house has no {name}"))
    }

    fn node_name(&self, number: u32) -> String {
        self.nodes().find(|node| node.number == number).map_or_else(|| number.to_string(), |node| node.id)
    }
}

fn sample(index: usize, fields: &[Field], text: &str) -> Result<Sample, String> {
    let field = fields.get(index).ok_or("no such field")?;
    let value = match field.value_type {
        ValueType::Enumeration => Value::Member(text.to_owned()),
        kind => lexical::parse(text, kind).ok_or_else(|| format!("{text} is no {kind:?}"))?,
    };
    Ok(Sample { field: u16::try_from(index).map_err(|error| error.to_string())?, value, quality: Quality::empty() })
}

/// A stanza as a script writes it: without namespace and addresses.
fn parse(block: &str, attributes: &str) -> Result<Element, String> {
    let name_ends = block.find([' ', '/', '>']).ok_or("no stanza")?;
    let (name, rest) = block.split_at(name_ends);
    format!("{name} xmlns='jabber:client' {attributes}{rest}").parse().map_err(|error| format!("{error}: {block}"))
}

fn jid(who: &str) -> String {
    if who.contains(['@', '.']) { who.to_owned() } else { format!("{who}@example.org/phone") }
}

/// A queue of two items, from which an item is leased for 30 s, twice; Alice and Bob may push, Alice may pull, and `home` does what it can
/// where the script says so.
fn queue(name: &str, more: &[&str]) -> Result<QueueRule, String> {
    let (dead, bridges) = match more {
        [] => (None, Vec::new()),
        ["dead", grave] => (Some((*grave).to_owned()), Vec::new()),
        ["for", BRIDGE] => (None, vec![BRIDGE.to_owned()]),
        _ => return Err("no such queue".to_owned()),
    };
    let people = |names: &[&str]| names.iter().map(|name| Glob::new(format!("{name}@example.org"))).collect();
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
fn service(state: &str) -> Service {
    let bridge =
        ServiceBridge { name: BRIDGE.into(), plugin: "mqtt".into(), state: state.into(), ..ServiceBridge::default() };
    Service { version: "0.1".into(), bridges: vec![bridge], ..Service::default() }
}

/// Alice may everything, Bob may see and read the lamp, Root looks after the service; nobody else may anything.
fn rules() -> Policy {
    Policy::new(vec![
        Rule::new(&["alice@example.org"], May::SEE | May::READ | May::CONTROL, &["home/*"], &["*"]),
        Rule::new(&["bob@example.org"], May::SEE | May::READ, &["home/lamp"], &["*"]),
    ])
    .with_admins(vec![Glob::new("root@example.org")])
}

/// Alice may read and write below `/heating`, Bob may read what is below `/camera`.
fn http() -> Result<Vec<HttpRule>, String> {
    let rule = |path: &str, target: &str, who: &str, methods: &[&str]| {
        let target = HttpTarget::parse(target)?;
        HttpRule::new(path, target, vec![Glob::new(who)], methods.iter().map(|method| (*method).to_owned()).collect())
    };
    let rules = [
        rule("/heating", "http://192.0.2.20:8080/api", "alice@example.org", &["GET", "HEAD", "PUT"]),
        rule("/camera", "http://192.0.2.21", "bob@example.org", &["GET"]),
    ];
    rules.into_iter().collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// A lamp that is controlled, a thermometer that reports, a meter that has to be asked, in a kitchen.
fn house() -> Vec<Node> {
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

fn node(number: u32, id: &str, parent: Option<u32>, readout: Readout, fields: Vec<Field>) -> Node {
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
    Field { name: name.to_owned(), value_type, unit: unit.to_owned(), kinds, control, label, description }
}
