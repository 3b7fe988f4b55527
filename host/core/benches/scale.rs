//! `cargo bench-scale`: what the hub costs when there is much of everything. Prints tables, and fails where a budget is not kept.
//!
//! Only the hub is measured: no sandbox, no disk, no server. Memory is what the process holds in addition (`/proc/self/statm`), so that
//! maps, free lists and fragmentation count.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use minidom::Element;
use tombolo_core::hub::{How, Hub, HubConfig, Output, Promise, PublishRule};
use tombolo_core::model::bridge::Report;
use tombolo_core::model::{
    Action, Event, Field, FieldKinds, FullJid, Node, NodeState, Quality, Reading, Readout, Sample, Timestamp, Value,
    ValueType,
};
use tombolo_core::policy::{May, Policy, Rule, Share};
use tombolo_core::wire::Dialect;

const ME: &str = "bridge@example.org/tombolo";
const READER: &str = "reader@example.org/desk";
/// Reports in one measurement.
const REPORTS: u32 = 20_000;

fn main() {
    let mut budgets = Budgets::default();
    nodes(&mut budgets);
    bridges(&mut budgets);
    subscriptions(&mut budgets);
    fan_out(&mut budgets);
    std::process::exit(i32::from(!budgets.are_kept()));
}

/// Nodes in one bridge: start, memory, a page of them, and a report that is published, which must not do more where there are more. It takes
/// longer all the same, for what 100 nodes need is in the processor's caches and what 100,000 need is not; that must not reach twice.
fn nodes(budgets: &mut Budgets) {
    println!(
        "| nodes | declared in ms | bytes a node beyond its strings | a page of 50 in ms | a published report in us |"
    );
    println!("|---|---|---|---|---|");
    let mut first = None;
    for count in [100, 1_000, 10_000, 100_000] {
        let before = resident();
        let mut world = World::new(true);
        let began = Instant::now();
        let strings = world.declare("home", count);
        let declared = began.elapsed();
        let bytes = resident().saturating_sub(before).saturating_sub(strings) / count as usize;
        let page = world.page();
        let report = world.reports("home", count);
        println!("| {count} | {:.1} | {bytes} | {:.2} | {:.2} |", millis(declared), millis(page), report);
        budgets.at_most("a page of nodes, in ms", millis(page), 5.0);
        if count == 100_000 {
            budgets.at_most("declaring 100,000 nodes, in ms", millis(declared), 2000.0);
            budgets.at_most("bytes a node", bytes as f64, 1024.0);
            budgets.at_most("a report among 100,000 nodes, as a multiple", report / first.unwrap_or(report), 2.0);
        }
        first = first.or(Some(report));
    }
}

fn bridges(budgets: &mut Budgets) {
    println!("\n| bridges of 10 nodes | declared in ms | a published report in us |\n|---|---|---|");
    let mut first = None;
    for count in [1_u32, 1_000] {
        let mut world = World::new(true);
        let began = Instant::now();
        for number in 0..count {
            world.declare(&format!("bridge{number}"), 10);
        }
        let declared = began.elapsed();
        let report = world.reports(&format!("bridge{}", count / 2), 10);
        println!("| {count} | {:.1} | {report:.2} |", millis(declared));
        if let Some(first) = first {
            budgets.at_most("a report among 1,000 bridges, as a multiple", report / first, 2.0);
        }
        first = first.or(Some(report));
    }
}

/// Each to a node of its own: a report goes to one subscriber, however many there are.
fn subscriptions(budgets: &mut Budgets) {
    println!("\n| subscriptions | made in ms | a report to one of them in us |\n|---|---|---|");
    let mut first = None;
    for count in [100_u32, 10_000] {
        let mut world = World::new(false);
        world.declare("home", count);
        let began = Instant::now();
        for number in 0..count {
            world.subscribe(&format!("s{}@example.org/r", number / 100), number);
        }
        let made = began.elapsed();
        let report = world.reports("home", count);
        println!("| {count} | {:.1} | {report:.2} |", millis(made));
        if let Some(first) = first {
            budgets.at_most("a report among 10,000 subscriptions, as a multiple", report / first, 2.5);
        }
        first = first.or(Some(report));
    }
}

fn fan_out(budgets: &mut Budgets) {
    println!("\n| subscribers of one node | a report in us | each in us |\n|---|---|---|");
    for count in [1_u32, 1_000] {
        let mut world = World::new(false);
        world.declare("home", 1);
        for number in 0..count {
            world.subscribe(&format!("s{number}@example.org/r"), 0);
        }
        let began = Instant::now();
        let rounds = (REPORTS / 4 / count).max(5);
        let sent: usize = (0..rounds).map(|round| world.report("home", 0, round)).sum();
        assert_eq!(sent, (rounds * count) as usize, "each is told each time");
        let one = began.elapsed().as_secs_f64() * 1e6 / f64::from(rounds);
        println!("| {count} | {one:.1} | {:.2} |", one / f64::from(count));
        if count == 1_000 {
            budgets.at_most("one reading to 1,000 subscribers, in ms", one / 1000.0, 100.0);
        }
    }
}

#[derive(Default)]
struct Budgets(Vec<String>);

impl Budgets {
    fn at_most(&mut self, what: &str, have: f64, budget: f64) {
        if have > budget {
            self.0.push(format!("{what}: {have:.2}, at most {budget}"));
        }
    }

    fn are_kept(&self) -> bool {
        self.0.iter().for_each(|broken| println!("\nOver budget: {broken}"));
        self.0.is_empty()
    }
}

/// A hub in a session, and the time.
struct World {
    hub: Hub,
    now: Timestamp,
}

impl World {
    /// Everybody of the domain may read; what is reported is published to one of them, or to nobody.
    fn new(is_published: bool) -> Self {
        let everybody = Rule::new(&["*@example.org"], May::SEE | May::READ, &["*"], &["*"]);
        let mut config = HubConfig { policy: Policy::new(vec![everybody]), first_item: 100, ..HubConfig::default() };
        if is_published {
            config.publish = vec![published()];
        }
        let mut world = Self { hub: Hub::new(config), now: Timestamp::parse("2026-03-01T10:00:00Z").unwrap() };
        world.hub.session_online(FullJid::new(ME).unwrap(), world.now);
        let roster = world.drain().into_iter().find_map(|output| match output {
            Output::Stanza { stanza, .. } => stanza.attr("id").map(str::to_owned),
            _ => None,
        });
        world.hear(&format!(
            "<iq xmlns='jabber:client' type='result' to='{ME}' id='{}'><query xmlns='jabber:iq:roster'/></iq>",
            roster.unwrap_or_default()
        ));
        world
    }

    fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.hub.poll_output()).collect()
    }

    fn hear(&mut self, xml: &str) -> Vec<Output> {
        let stanza: Element = xml.parse().unwrap();
        self.hub.handle_stanza(&stanza, self.now);
        self.drain()
    }

    /// Declares nodes with two fields each; gives the bytes of their strings.
    fn declare(&mut self, bridge: &str, count: u32) -> usize {
        self.hub.bridge_added(bridge, bridge, self.now);
        let mut strings = 0;
        for number in 0..count {
            let node = node(number);
            strings += node.id.len() + node.node_type.len() + node.label.len();
            strings += node.fields.iter().map(|field| field.name.len() + field.unit.len()).sum::<usize>();
            self.hub.handle_bridge(bridge, Action::PutNode(Box::new(node)), self.now);
            while self.hub.poll_output().is_some() {}
        }
        strings
    }

    fn subscribe(&mut self, who: &str, number: u32) {
        let outputs = self.hear(&format!(
            "<iq xmlns='jabber:client' type='set' from='{who}' to='{ME}' id='i{number}'><subscribe \
             xmlns='urn:nf:iot:events:1.0' id='s{number}' m='true'><nd id='{}' src='home'/></subscribe></iq>",
            id(number)
        ));
        let is_refused =
            |output: &Output| matches!(output, Output::Stanza { stanza, .. } if stanza.attr("type") == Some("error"));
        assert!(!outputs.iter().any(is_refused), "{outputs:?}");
    }

    /// The first page of the nodes, the best of five.
    fn page(&mut self) -> Duration {
        let request = format!(
            "<iq xmlns='jabber:client' type='get' from='{READER}' to='{ME}' id='p'><getChildNodes \
             xmlns='urn:nf:iot:concentrator:1.0' id='{}' src='home'><set xmlns='http://jabber.org/protocol/rsm'><max>50</max>\
             </set></getChildNodes></iq>",
            id(0)
        );
        let once = |world: &mut Self| {
            let began = Instant::now();
            let outputs = world.hear(&request);
            assert!(matches!(&outputs[..], [Output::Stanza { stanza, .. }] if stanza.attr("type") == Some("result")));
            began.elapsed()
        };
        (0..5).map(|_| once(self)).min().unwrap()
    }

    /// Reports nodes in turn; microseconds for each.
    fn reports(&mut self, bridge: &str, nodes: u32) -> f64 {
        let began = Instant::now();
        for round in 0..REPORTS {
            // A step that has nothing in common with the count visits all of them.
            let sent = self.report(bridge, round.wrapping_mul(7919) % nodes, round);
            assert_eq!(sent, 1, "each report is one message");
        }
        began.elapsed().as_secs_f64() * 1e6 / f64::from(REPORTS)
    }

    /// One report that has to be durable; how many messages come of it.
    fn report(&mut self, bridge: &str, node: u32, round: u32) -> usize {
        self.now = self.now.plus_ms(1);
        let value = Value::Int32(i32::try_from(round).unwrap());
        let sample = Sample { field: 0, value, quality: Quality::AUTOMATIC_READOUT };
        let reading = Reading { node, at: self.now, samples: vec![sample] };
        let report = Report { reading, answers: None, receipt: Some(u64::from(round)) };
        self.hub.handle_bridge(bridge, Action::Report(report), self.now);
        let (mut messages, mut items) = (0, Vec::new());
        while let Some(output) = self.hub.poll_output() {
            if let Output::Stanza { item: Some(item), .. } = output {
                messages += 1;
                items.push(item);
            }
        }
        for item in items {
            self.hub.handle_durable(item.number, self.now);
        }
        let stored = self.drain();
        assert!(matches!(&stored[..], [Output::Event { event: Event::Stored(_), .. }]));
        messages
    }
}

fn published() -> PublishRule {
    let how = How::Message { to: READER.parse().unwrap(), promise: Promise::None };
    PublishRule { share: Share::new(&["*"], &["*"]), how, dialect: Dialect::Nf, interval_us_min: 0 }
}

fn id(number: u32) -> String {
    format!("room{:03}/meter{number:06}", number % 500)
}

fn node(number: u32) -> Node {
    let field = |name: &str, unit: &str| Field {
        name: name.into(),
        value_type: ValueType::Int32,
        unit: unit.into(),
        kinds: FieldKinds::MOMENTARY,
        control: None,
        label: String::new(),
        description: String::new(),
    };
    Node {
        number,
        id: id(number),
        parent: (number > 0).then_some(0),
        node_type: "meter".into(),
        label: String::new(),
        state: NodeState::Online,
        readout: Readout::Reported,
        fields: vec![field("power", "W"), field("energy", "kWh")],
        commands: Vec::new(),
        extras: Vec::new(),
    }
}

/// Bytes of memory that the process holds.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
