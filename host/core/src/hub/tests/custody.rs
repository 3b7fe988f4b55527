//! Custody as the hub gives it out: each item begins once and ends at most once, and what has not ended is what the hub or the outbox has.

use std::collections::BTreeMap;

use minidom::Element;

use super::world::*;
use crate::hub::{How, Hub, HubConfig, Output, Promise, PublishRule};
use crate::model::custody::{Account, End, Route};
use crate::model::{Action, FullJid, Jid, Timestamp};
use crate::policy::{Glob, QueueRule, Share};
use crate::wire::{Dialect, ns};

/// A store that counts, and a server that takes stanzas or does not.
struct Books {
    hub: Hub,
    now: Timestamp,
    accounts: BTreeMap<Route, Account>,
    /// What was begun and has not ended: stanzas by number, records by name.
    alive: BTreeMap<String, Route>,
    records: BTreeMap<String, Vec<u8>>,
    unwritten: Vec<u64>,
    /// Sent and not acknowledged by the server; with what was sent.
    sent: Vec<(u64, Element)>,
    held: BTreeMap<u64, Element>,
    /// Ids of our own iqs that wait for an answer.
    asked: Vec<(String, String)>,
    random: u64,
    run: u64,
}

fn queue(name: &str, dead: Option<&str>) -> QueueRule {
    QueueRule {
        name: name.into(),
        capacity: 3,
        expire_ms: Some(60_000),
        lease_ms: 20_000,
        attempts_max: 2,
        dead: dead.map(Into::into),
        providers: vec![Glob::new("alice@example.org")],
        consumers: vec![Glob::new("alice@example.org")],
        bridges: if name == "jobs" { vec!["home".into()] } else { Vec::new() },
    }
}

fn published() -> Vec<PublishRule> {
    let to = |promise| How::Message { to: Jid::new(ALICE).unwrap(), promise };
    let ways = [to(Promise::None), to(Promise::Receipts), to(Promise::Assured), How::Queue("readings".into())];
    let share = || Share::new(&["home/*"], &["*"]);
    ways.map(|how| PublishRule { share: share(), how, dialect: Dialect::Nf, interval_us_min: 0 }).to_vec()
}

impl Books {
    fn new(random: u64) -> Self {
        let hub = Self::hub(BTreeMap::new(), 1000);
        let now = Timestamp::parse("2026-01-31T12:00:00Z").unwrap();
        let mut books = Self {
            hub,
            now,
            accounts: BTreeMap::new(),
            alive: BTreeMap::new(),
            records: BTreeMap::new(),
            unwritten: Vec::new(),
            sent: Vec::new(),
            held: BTreeMap::new(),
            asked: Vec::new(),
            random,
            run: 0,
        };
        books.begin();
        books
    }

    fn hub(kept: BTreeMap<String, Vec<u8>>, first_item: u64) -> Hub {
        let queues = vec![queue("readings", Some("grave")), queue("grave", None), queue("jobs", None)];
        Hub::new(HubConfig { policy: rules(), first_item, queues, publish: published(), kept, ..HubConfig::default() })
    }

    fn begin(&mut self) {
        self.hub.bridge_added("home", "", self.now);
        self.hub.restore(self.now);
        self.hub.handle_bridge("home", Action::PutNode(Box::new(thermometer())), self.now);
        self.hub.session_online(FullJid::new(ME).unwrap(), self.now);
        self.drain();
        let contacts = "<query xmlns='jabber:iq:roster'><item jid='alice@example.org' subscription='both'/></query>";
        for (id, _) in std::mem::take(&mut self.asked) {
            self.hear(&format!("<iq type='result' id='{id}'>{contacts}</iq>"));
        }
        self.hear(&format!("<presence from='{ALICE}'/>"));
        let wish = "<subscribe xmlns='urn:nf:iot:events:1.0' id='s1' m='true'><nd id='kitchen/thermometer' src='home'/></subscribe>";
        self.hear(&format!("<iq type='set' from='{ALICE}' to='{ME}' id='q'>{wish}</iq>"));
    }

    /// The process dies: what was not written is lost, and what was taken is sent again.
    fn crash(&mut self) {
        // As the clock does: greater than any item that an earlier run could have made.
        self.run += 1;
        self.hub = Self::hub(self.records.clone(), self.run << 32);
        self.unwritten.clear();
        self.asked.clear();
        let held = std::mem::take(&mut self.held);
        self.sent.extend(held);
        self.sent.sort_by_key(|(item, _)| *item);
        self.begin();
    }

    fn begins(&mut self, name: String, route: Route) {
        self.accounts.entry(route.clone()).or_default().take();
        assert!(self.alive.insert(name.clone(), route).is_none(), "{name} begins twice");
    }

    fn ends(&mut self, name: &str, end: &End) {
        let route = self.alive.remove(name).unwrap_or_else(|| panic!("{name} ends again, as {end:?}"));
        self.accounts.entry(route).or_default().end(end);
    }

    fn drain(&mut self) {
        loop {
            while let Some(output) = self.hub.poll_output() {
                self.book(output);
            }
            let durable = std::mem::take(&mut self.unwritten);
            if durable.is_empty() {
                return;
            }
            durable.into_iter().for_each(|item| self.hub.handle_durable(item, self.now));
        }
    }

    fn book(&mut self, output: Output) {
        match output {
            Output::Stanza { item: Some(item), stanza } => {
                self.begins(item.number.to_string(), item.route);
                self.unwritten.push(item.number);
                self.sent.push((item.number, stanza));
            }
            Output::Hold { item, stanza } => {
                self.begins(item.number.to_string(), item.route);
                self.unwritten.push(item.number);
                self.held.insert(item.number, stanza);
            }
            Output::Stanza { item: None, stanza } => {
                let is_question =
                    stanza.name() != "presence" && stanza.attr("type").is_none_or(|kind| kind != "result");
                let id = stanza.attr("id").filter(|_| is_question);
                self.asked.extend(id.map(|id| (id.to_owned(), stanza.attr("to").unwrap_or_default().to_owned())));
            }
            Output::Take { item, name, bytes } => {
                self.begins(name.clone(), item.route);
                self.unwritten.push(item.number);
                self.records.insert(name, bytes);
            }
            Output::Keep { item, name, bytes } => {
                self.unwritten.extend(item);
                match bytes {
                    Some(bytes) => _ = self.records.insert(name, bytes),
                    None => {
                        assert!(!self.alive.contains_key(&name), "{name} is let go of without an end");
                        self.records.remove(&name);
                    }
                }
            }
            Output::End { name, end } => {
                self.ends(&name, &end);
                self.records.remove(&name);
            }
            Output::LetGo { items, end } => {
                for item in items {
                    self.ends(&item.to_string(), &end);
                    self.held.remove(&item);
                }
            }
            _ => {}
        }
    }

    fn hear(&mut self, xml: &str) {
        let stanza: Element = xml.replacen(' ', " xmlns='jabber:client' ", 1).parse().unwrap();
        self.hub.handle_stanza(&stanza, self.now);
        self.drain();
    }

    fn pick(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    fn step(&mut self) {
        match self.pick(13) {
            0..=3 => {
                let text = format!("{}.5", self.pick(30));
                let reading = crate::model::Reading { node: 1, at: self.now, samples: vec![sample(0, decimal(&text))] };
                let report = crate::model::bridge::Report { reading, answers: None, receipt: Some(self.random) };
                self.hub.handle_bridge("home", Action::Report(report), self.now);
            }
            4 => self.acknowledge(),
            5 => self.come_back(),
            6 => self.answer(),
            7 => self.queue(),
            8 => self.job(),
            9 => {
                let kind = if self.pick(2) == 0 { "" } else { "type='unavailable' " };
                self.hear(&format!("<presence {kind}from='{ALICE}'/>"));
            }
            10 => self.assured(),
            11 => {
                self.now = self.now.plus_ms(1000 * (1 + self.pick(300)));
                self.hub.handle_timeout(self.now);
            }
            _ => self.crash(),
        }
        self.drain();
    }

    fn acknowledge(&mut self) {
        let count = usize::try_from(self.pick(4)).unwrap().min(self.sent.len());
        let sent: Vec<_> = self.sent.drain(..count).collect();
        sent.iter().for_each(|(item, _)| self.ends(&item.to_string(), &End::Delivered));
    }

    /// The server had it, and its receiver did not.
    fn come_back(&mut self) {
        if let Some((item, stanza)) = self.sent.first().cloned() {
            self.sent.remove(0);
            self.ends(&item.to_string(), &End::Delivered);
            self.hub.handle_returned(&ALICE.parse().unwrap(), &stanza, "home", self.now);
        }
    }

    fn answer(&mut self) {
        let Some((id, to)) = self.asked.pop() else { return };
        let fault = ["<not-acceptable", "<service-unavailable"][usize::from(self.pick(2) == 0)];
        let error = format!("<error type='cancel'>{fault} xmlns='{}'/></error>", "urn:ietf:params:xml:ns:xmpp-stanzas");
        match self.pick(4) {
            0 => self.hear(&format!("<iq type='error' from='{to}' id='{id}'>{error}</iq>")),
            1 => self.hear(&format!("<message type='error' from='{to}' id='{id}'>{error}</message>")),
            2 => self.hear(&format!("<message from='{to}'><received xmlns='urn:xmpp:receipts' id='{id}'/></message>")),
            _ => self.hear(&format!("<iq type='result' from='{to}' id='{id}'/>")),
        }
    }

    fn queue(&mut self) {
        let name = ["readings", "grave"][usize::from(self.pick(3) == 0)];
        let id = self.pick(20);
        let kind = self.pick(3);
        if kind == 1 {
            let pull = format!("<pull xmlns='{}' node='{name}'/>", ns::QUEUE);
            return self.hear(&format!("<iq type='set' from='{ALICE}' to='{ME}' id='q'>{pull}</iq>"));
        }
        let action = match kind {
            0 => format!("<publish node='{name}'><item id='i{id}'><a xmlns='x'/></item></publish>"),
            _ => format!("<retract node='{name}'><item id='i{id}'/></retract>"),
        };
        let body = format!("<pubsub xmlns='{}'>{action}</pubsub>", ns::PUBSUB);
        self.hear(&format!("<iq type='set' from='{ALICE}' to='{ME}' id='q'>{body}</iq>"));
    }

    fn job(&mut self) {
        let set = "<set xmlns='urn:nf:iot:ctr:1.0'><nd id='kitchen/thermometer' src='home'/><p n='x' v='1'/></set>";
        let payload = if self.pick(2) == 0 { set } else { "<nonsense xmlns='x'/>" };
        let item = format!("<publish node='jobs'><item>{payload}</item></publish>");
        let body = format!("<pubsub xmlns='{}'>{item}</pubsub>", ns::PUBSUB);
        self.hear(&format!("<iq type='set' from='{ALICE}' to='{ME}' id='q'>{body}</iq>"));
    }

    fn assured(&mut self) {
        let id = self.pick(5);
        let inner = match self.pick(2) {
            0 => {
                format!("<assured xmlns='urn:nf:iot:qos:1.0' msgId='m{id}'><message><a xmlns='x'/></message></assured>")
            }
            _ => format!("<deliver xmlns='urn:nf:iot:qos:1.0' msgId='m{id}'/>"),
        };
        self.hear(&format!("<iq type='set' from='{ALICE}' to='{ME}' id='q'>{inner}</iq>"));
    }

    fn check(&self) {
        for (route, account) in &self.accounts {
            assert!(account.balances(), "{route:?} {account:?}");
            let waiting = self.alive.values().filter(|other| *other == route).count();
            assert_eq!(account.waiting, waiting as u64, "{route:?}");
        }
        // What waits is what somebody really has.
        let items = self.sent.len() + self.hub.held.len();
        assert_eq!(self.alive.keys().filter(|name| !name.contains('/')).count(), items);
        let records = self.records.keys().filter(|name| crate::model::custody::is_item(name)).count();
        assert_eq!(self.alive.len() - items, records);
    }
}

#[test]
fn any_sequence_of_readings_faults_and_crashes_balances_and_ends_each_item_once() {
    let mut ways = BTreeMap::<String, Account>::new();
    for seed in 0..12 {
        let mut books = Books::new(seed * 7919);
        for _ in 0..120 {
            books.step();
            books.check();
        }
        for (route, account) in &books.accounts {
            let sum = ways.entry(route.way().to_owned()).or_default();
            sum.taken += account.taken;
            sum.delivered += account.delivered;
            sum.expired += account.expired;
            sum.refused += account.refused;
            sum.dead += account.dead;
        }
    }
    let all = ["assured", "event", "held", "publish:assured", "publish:message", "publish:receipts", "queue:grave"];
    for way in all.into_iter().chain(["queue:jobs", "queue:readings"]) {
        assert!(ways.get(way).is_some_and(|account| account.taken > 10), "{way}: {ways:?}");
    }
    let sum = |of: fn(&Account) -> u64| ways.values().map(of).sum::<u64>();
    let ends = [sum(|one| one.delivered), sum(|one| one.expired), sum(|one| one.refused), sum(|one| one.dead)];
    assert!(ends.iter().all(|count| *count > 0), "each end is met: {ends:?}");
}
