//! Two hubs and a server between them that knows rosters, presence and who is online; nothing is lost and nothing is late.

use std::collections::{BTreeSet, VecDeque};

use jid::{FullJid, Jid};
use minidom::Element;

use super::told;
use crate::hub::tests::world::{controllable, field, node};
use crate::hub::{Hub, HubConfig, Mirror, Output};
use crate::model::bridge::Report;
use crate::model::{
    Action, Constraint, Event, FieldKinds, Node, Reading, Readout, Sample, Timestamp, Value, ValueType,
};
use crate::policy::{May, Policy, Rule};
use crate::wire::stanza;

/// The two accounts.
pub(super) const JIDS: [&str; 2] = ["a@one.example/tombolo", "b@two.example/tombolo"];

/// A host's hub, and what its mappers were told.
pub(super) struct Side {
    pub(super) hub: Hub,
    pub(super) told: Vec<String>,
    /// Requests to mappers of its own nodes: writes.
    pub(super) writes: Vec<(String, u64, u32, String)>,
    pub(super) refused: Vec<String>,
}

/// Both.
pub(super) struct Pair {
    pub(super) sides: [Side; 2],
    pub(super) now: Timestamp,
    /// Whose presence goes to the other.
    approved: BTreeSet<usize>,
    /// Who is online at the server.
    online: BTreeSet<usize>,
    /// Subscription requests for who is not online.
    stored: Vec<(usize, Element)>,
    /// Stanzas that were delivered since the count was taken.
    pub(super) delivered: usize,
}

/// Everything of everybody is allowed: what is tested is not the rules.
pub(super) fn open_rules() -> Policy {
    Policy::new(vec![Rule::new(&["*"], May::SEE | May::READ | May::CONTROL, &["*"], &["*"])])
}

/// A lamp that can be switched and dimmed.
pub(super) fn lamp(number: u32, id: &str) -> Node {
    let level = Constraint { minimum: Some(0.0), maximum: Some(100.0), ..Constraint::default() };
    let mode = Constraint { members: vec!["auto".into(), "off".into()], ..Constraint::default() };
    node(
        number,
        id,
        None,
        Readout::Reported,
        vec![
            controllable(field("on", ValueType::Boolean, "", FieldKinds::MOMENTARY), Constraint::default()),
            controllable(field("level", ValueType::Int32, "%", FieldKinds::MOMENTARY), level),
            controllable(field("mode", ValueType::Enumeration, "", FieldKinds::STATUS), mode),
            field("power", ValueType::Quantity, "W", FieldKinds::MOMENTARY),
        ],
    )
}

pub(super) fn sample(field: u16, value: Value) -> Sample {
    crate::hub::tests::world::sample(field, value)
}

impl Side {
    fn new(policy: Policy) -> Self {
        let (name, version) = ("tombolo".into(), "0.1".into());
        let config = HubConfig { name, version, policy, first_item: 1_000_000, ..HubConfig::default() };
        Self { hub: Hub::new(config), told: Vec::new(), writes: Vec::new(), refused: Vec::new() }
    }

    pub(super) fn take_told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}

impl Pair {
    /// Two hosts without bridges, not online.
    pub(super) fn new() -> Self {
        Self {
            sides: [Side::new(open_rules()), Side::new(open_rules())],
            now: Timestamp::parse("2025-03-01T10:00:00Z").unwrap(),
            approved: BTreeSet::new(),
            online: BTreeSet::new(),
            stored: Vec::new(),
            delivered: 0,
        }
    }

    /// A bridge with one lamp, whose power was reported.
    pub(super) fn bridge(&mut self, side: usize, bridge: &str, lamp_id: &str, mirror: &[&str]) {
        let now = self.now;
        let hub = &mut self.sides[side].hub;
        hub.bridge_added(bridge, bridge, now);
        hub.mirror(bridge, mirror.iter().map(|entry| Mirror::parse(entry).unwrap()).collect(), now);
        self.act(side, bridge, Action::PutNode(Box::new(lamp(1, lamp_id))));
        self.report(
            side,
            bridge,
            1,
            vec![sample(0, Value::Boolean(false)), sample(3, Value::Decimal("0.50".parse().unwrap()))],
        );
    }

    pub(super) fn act(&mut self, side: usize, bridge: &str, action: Action) {
        let now = self.now;
        self.sides[side].hub.handle_bridge(bridge, action, now);
        self.pump();
    }

    pub(super) fn report(&mut self, side: usize, bridge: &str, node: u32, samples: Vec<Sample>) {
        let reading = Reading { node, at: self.now, samples };
        self.act(side, bridge, Action::Report(Report { reading, answers: None, receipt: None }));
    }

    /// Both come online.
    pub(super) fn go_online(&mut self) {
        for side in 0..2 {
            self.connect(side);
        }
    }

    pub(super) fn connect(&mut self, side: usize) {
        self.online.insert(side);
        let now = self.now;
        self.sides[side].hub.session_online(FullJid::new(JIDS[side]).unwrap(), now);
        self.pump();
        for (from, stanza) in std::mem::take(&mut self.stored) {
            self.route(from, stanza);
            self.pump();
        }
        if self.approved.contains(&(1 - side)) && self.online.contains(&(1 - side)) {
            self.deliver_presence(1 - side, "");
        }
    }

    /// One side is cut off; the server tells the other.
    pub(super) fn disconnect(&mut self, side: usize) {
        self.online.remove(&side);
        if self.approved.contains(&side) {
            self.deliver_presence(side, "type='unavailable'");
        }
    }

    /// Presence of one side arrives at the other.
    fn deliver_presence(&mut self, from: usize, attributes: &str) {
        let presence =
            format!("<presence xmlns='jabber:client' from='{}' to='{}' {attributes}/>", JIDS[from], JIDS[1 - from]);
        self.hear(1 - from, &presence);
    }

    pub(super) fn hear(&mut self, side: usize, xml: &str) {
        let (stanza, now): (Element, _) = (xml.parse().unwrap(), self.now);
        self.sides[side].hub.handle_stanza(&stanza, now);
        self.pump();
    }

    /// Time passes, and what was due happens.
    pub(super) fn pass_ms(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        for side in 0..2 {
            while self.sides[side].hub.poll_timeout().is_some_and(|at| at <= self.now) {
                let now = self.now;
                self.sides[side].hub.handle_timeout(now);
                self.pump();
            }
        }
    }

    /// Carries stanzas until nobody has anything to say.
    fn pump(&mut self) {
        let mut waiting: VecDeque<(usize, Element)> = VecDeque::new();
        loop {
            for side in 0..2 {
                while let Some(output) = self.sides[side].hub.poll_output() {
                    waiting.extend(self.sides[side].note(output).map(|stanza| (side, stanza)));
                }
            }
            let Some((from, stanza)) = waiting.pop_front() else { return };
            self.route(from, stanza);
            assert!(self.delivered < 100_000, "they never stop");
        }
    }

    /// What a server does with a stanza.
    fn route(&mut self, from: usize, stanza: Element) {
        self.delivered += 1;
        if std::env::var_os("TOMBOLO_SHOW").is_some() {
            eprintln!("{from}: {}", String::from(&stanza));
        }
        let now = self.now;
        let sender = Jid::new(JIDS[from]).unwrap();
        let Some(to) = stanza.attr("to").map(|to| Jid::new(to).unwrap()) else {
            return match stanza.name() {
                "iq" => {
                    let id = stanza.attr("id").unwrap();
                    let roster = Element::bare("query", "jabber:iq:roster");
                    let answer = stanza::result(None, id, Some(roster));
                    self.sides[from].hub.handle_stanza(&answer, now);
                }
                _ if self.approved.contains(&from) => {
                    self.sides[1 - from].hub.handle_stanza(&stanza::received(stanza, &sender), now)
                }
                _ => {}
            };
        };
        let is_reached =
            to.to_bare() == Jid::new(JIDS[1 - from]).unwrap().to_bare() && self.online.contains(&(1 - from));
        let is_subscription = stanza.name() == "presence" && stanza.attr("type").is_some();
        if !is_reached {
            self.stored.extend(is_subscription.then_some((from, stanza)));
            return;
        }
        let as_whom = if is_subscription { sender.to_bare().into() } else { sender };
        let is_approval = stanza.attr("type") == Some("subscribed") && self.approved.insert(from);
        self.sides[1 - from].hub.handle_stanza(&stanza::received(stanza, &as_whom), now);
        if is_approval {
            let push = format!(
                "<iq xmlns='jabber:client' type='set' id='push'><query xmlns='jabber:iq:roster'><item jid='{}' subscription='both'/></query></iq>",
                Jid::new(JIDS[from]).unwrap().to_bare()
            );
            self.sides[1 - from].hub.handle_stanza(&push.parse().unwrap(), now);
            let presence = format!("<presence xmlns='jabber:client' from='{}'/>", JIDS[from]);
            self.sides[1 - from].hub.handle_stanza(&presence.parse().unwrap(), now);
        }
    }
}

impl Side {
    /// Gives a stanza back, and notes everything else.
    fn note(&mut self, output: Output) -> Option<Element> {
        self.told.extend(told(&output));
        match output {
            Output::Stanza { stanza, .. } | Output::After { stanza, .. } => return Some(stanza),
            Output::Event { bridge, event: Event::Write { id, node, settings } } => {
                let settings: Vec<String> =
                    settings.iter().map(|one| format!("{}={:?}", one.field, one.value)).collect();
                self.writes.push((bridge, id, node, settings.join(" ")));
            }
            Output::Refused { bridge, reason } => self.refused.push(format!("{bridge}: {reason}")),
            Output::Event { .. }
            | Output::Keep { .. }
            | Output::Wish { .. }
            | Output::HttpReply { .. }
            | Output::Http { .. }
            | Output::Trouble { .. }
            | Output::Hold { .. }
            | Output::LetGo { .. }
            | Output::Take { .. }
            | Output::End { .. }
            | Output::Recall { .. }
            | Output::GivenUp { .. } => {}
        }
        None
    }
}
