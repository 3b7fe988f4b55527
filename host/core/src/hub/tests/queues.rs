//! Queues: who may do what, order, leases, what a crash leaves, and what a full queue says.

use std::collections::BTreeMap;

use minidom::Element;

use super::world::*;
use crate::hub::{Hub, HubConfig, Output};
use crate::model::{FullJid, Timestamp};
use crate::policy::{Glob, May, Policy, QueueRule, Rule};
use crate::wire::ns;

const METER: &str = "meter@plant.example/1";
const BILLING: &str = "billing@example.org/a";
const OTHER: &str = "billing@example.org/b";

/// A hub with queues and a store that can be slow, and that survives the hub.
struct Service {
    hub: Hub,
    now: Timestamp,
    kept: BTreeMap<String, Vec<u8>>,
    unwritten: Vec<u64>,
    is_slow: bool,
}

fn rule(name: &str, capacity: usize) -> QueueRule {
    QueueRule {
        name: name.into(),
        capacity,
        expire_ms: None,
        lease_ms: 30_000,
        attempts_max: 2,
        dead: (name == "readings").then(|| "dead".into()),
        providers: vec![Glob::new("*@plant.example")],
        consumers: vec![Glob::new("billing@example.org")],
        bridges: Vec::new(),
    }
}

impl Service {
    fn new() -> Self {
        Self::with(BTreeMap::new(), vec![rule("readings", 3), rule("dead", 1)])
    }

    fn with(kept: BTreeMap<String, Vec<u8>>, queues: Vec<QueueRule>) -> Self {
        let first_item = 1000 * (1 + u64::try_from(kept.len()).unwrap());
        let mut hub = Hub::new(HubConfig { first_item, queues, kept: kept.clone(), ..HubConfig::default() });
        let now = Timestamp::parse("2026-01-31T12:00:00Z").unwrap();
        hub.session_online(FullJid::new(ME).unwrap(), now);
        let mut service = Self { hub, now, kept, unwritten: Vec::new(), is_slow: false };
        service.drain();
        service
    }

    /// The process dies; what was not written is lost.
    fn crash(self) -> Self {
        Self::with(self.kept, vec![rule("readings", 3), rule("dead", 1)])
    }

    /// What leaves; a quick store writes at once.
    fn drain(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        loop {
            while let Some(output) = self.hub.poll_output().map(uncounted) {
                match output {
                    Output::Stanza { stanza, .. } | Output::After { stanza, .. } => left.push(digest_of(&stanza)),
                    Output::Keep { item, name, bytes } => {
                        match bytes {
                            Some(bytes) => _ = self.kept.insert(name, bytes),
                            None => _ = self.kept.remove(&name),
                        }
                        self.unwritten.extend(item);
                    }
                    Output::Event { .. }
                    | Output::Wish { .. }
                    | Output::HttpReply { .. }
                    | Output::Http { .. }
                    | Output::Trouble { .. }
                    | Output::Refused { .. }
                    | Output::Hold { .. }
                    | Output::LetGo { .. }
                    | Output::Take { .. }
                    | Output::End { .. }
                    | Output::Recall { .. }
                    | Output::GivenUp { .. } => {}
                }
            }
            if self.is_slow || self.unwritten.is_empty() {
                return left;
            }
            self.write();
        }
    }

    fn write(&mut self) {
        for item in std::mem::take(&mut self.unwritten) {
            self.hub.handle_durable(item, self.now);
        }
    }

    fn iq(&mut self, from: &str, kind: &str, payload: &str) -> Vec<String> {
        let xml = format!("<iq xmlns='jabber:client' type='{kind}' from='{from}' to='{ME}' id='q'>{payload}</iq>");
        let stanza: Element = xml.parse().unwrap();
        self.hub.handle_stanza(&stanza, self.now);
        self.drain()
    }

    fn pubsub(&mut self, from: &str, kind: &str, action: &str) -> Vec<String> {
        self.iq(from, kind, &format!("<pubsub xmlns='{}'>{action}</pubsub>", ns::PUBSUB))
    }

    fn push(&mut self, ids: &[&str]) -> Vec<String> {
        self.push_into("readings", METER, ids)
    }

    fn push_into(&mut self, queue: &str, from: &str, ids: &[&str]) -> Vec<String> {
        let items: String = ids.iter().map(|id| format!("<item id='{id}'><v xmlns='x'>{id}</v></item>")).collect();
        self.pubsub(from, "set", &format!("<publish node='{queue}'>{items}</publish>"))
    }

    fn pull(&mut self, from: &str, attributes: &str) -> Vec<String> {
        self.iq(from, "set", &format!("<pull xmlns='{}' node='readings' {attributes}/>", ns::QUEUE))
    }

    fn about(&mut self, from: &str, verb: &str, ids: &[&str]) -> Vec<String> {
        let items: String = ids.iter().map(|id| format!("<item id='{id}'/>")).collect();
        match verb {
            "retract" => self.pubsub(from, "set", &format!("<retract node='readings'>{items}</retract>")),
            _ => self.iq(from, "set", &format!("<{verb} xmlns='{}' node='readings'>{items}</{verb}>", ns::QUEUE)),
        }
    }

    fn look(&mut self, from: &str, queue: &str) -> Vec<String> {
        self.pubsub(from, "get", &format!("<items node='{queue}'/>"))
    }

    fn pass_s(&mut self, seconds: u64) -> Vec<String> {
        self.now = self.now.plus_ms(seconds * 1000);
        while self.hub.poll_timeout().is_some_and(|at| at <= self.now) {
            self.hub.handle_timeout(self.now);
        }
        self.drain()
    }
}

/// Who, what, and the ids in it with attempts.
fn digest_of(stanza: &Element) -> String {
    let to = stanza.attr("to").unwrap_or("-");
    let items = |list: &Element| {
        let items = list.children().filter(|child| child.name() == "item").map(|item| {
            let id = item.attr("id").unwrap_or("?");
            item.attr("attempt").map_or_else(|| id.to_owned(), |attempt| format!("{id}*{attempt}"))
        });
        items.collect::<Vec<_>>().join(" ")
    };
    if let Some(error) = stanza.get_child("error", ns::CLIENT) {
        let names: Vec<&str> = error.children().filter(|child| child.name() != "text").map(Element::name).collect();
        return format!("{to} {}", names.join(" "));
    }
    match stanza.children().next() {
        Some(payload) if matches!(payload.name(), "pubsub" | "event") => {
            let action = payload.children().next().unwrap();
            format!("{to} {} {}", action.name(), items(action)).trim_end().to_owned()
        }
        Some(payload) => format!("{to} {} {}", payload.name(), items(payload)).trim_end().to_owned(),
        None => format!("{to} ok"),
    }
}

#[test]
fn the_oldest_is_pulled_first_acknowledged_and_gone() {
    let mut service = Service::new();
    assert_eq!(service.push(&["a", "b"]), [format!("{METER} publish a b")]);
    assert_eq!(service.push(&["c"]), [format!("{METER} publish c")]);
    assert_eq!(service.look(BILLING, "readings"), [format!("{BILLING} items a b c")]);
    assert_eq!(service.pull(BILLING, "max='2'"), [format!("{BILLING} pulled a*1 b*1")]);
    assert_eq!(service.look(OTHER, "readings"), [format!("{OTHER} items c")], "the other resource has no lease");
    assert_eq!(service.about(OTHER, "retract", &["a"]), [format!("{OTHER} item-not-found")]);
    assert_eq!(service.about(BILLING, "retract", &["a", "b"]), [format!("{BILLING} ok")]);
    assert_eq!(service.look(BILLING, "readings"), [format!("{BILLING} items c")]);
    assert_eq!(service.about(OTHER, "retract", &["c"]), [format!("{OTHER} ok")], "plain clients need no lease");
    assert_eq!(service.pull(BILLING, ""), [format!("{BILLING} pulled")]);
}

#[test]
fn nobody_is_answered_before_the_store_has_it() {
    let mut service = Service::new();
    service.is_slow = true;
    assert!(service.push(&["a"]).is_empty());
    assert_eq!(service.pull(BILLING, ""), [format!("{BILLING} pulled")], "not yet");
    service.write();
    assert_eq!(service.drain(), [format!("{METER} publish a")]);
    service.pull(BILLING, "");
    assert!(service.about(BILLING, "retract", &["a"]).is_empty());
    service.write();
    assert_eq!(service.drain(), [format!("{BILLING} ok")]);
}

#[test]
fn a_full_queue_takes_all_or_nothing_and_says_so() {
    let mut service = Service::new();
    service.push(&["a", "b"]);
    assert_eq!(service.push(&["c", "d"]), [format!("{METER} conflict node-full")]);
    assert_eq!(service.push(&["c", "d", "e", "f"]), [format!("{METER} not-allowed max-items-exceeded")]);
    assert_eq!(service.look(BILLING, "readings"), [format!("{BILLING} items a b")]);
    assert_eq!(service.push(&["b", "c"]), [format!("{METER} publish b c")], "b is there already");
    service.about(BILLING, "retract", &["a"]);
    assert_eq!(service.push(&["d"]), [format!("{METER} publish d")], "room again");
}

#[test]
fn a_provider_may_repeat_itself() {
    let mut service = Service::new();
    service.push(&["a"]);
    assert_eq!(service.push(&["a"]), [format!("{METER} publish a")]);
    service.about(BILLING, "retract", &["a"]);
    let mut service = service.crash();
    assert_eq!(service.push(&["a"]), [format!("{METER} publish a")]);
    assert_eq!(service.look(BILLING, "readings"), [format!("{BILLING} items")], "it was done with");
    service.is_slow = true;
    assert!(service.push(&["b"]).is_empty() && service.push(&["b"]).is_empty());
    service.write();
    assert_eq!(service.drain(), [format!("{METER} publish b"), format!("{METER} publish b")]);
}

#[test]
fn who_may_not_know_of_a_queue_learns_nothing() {
    let mut service = Service::new();
    for queue in ["readings", "nothing"] {
        assert_eq!(service.push_into(queue, EVE, &["a"]), [format!("{EVE} item-not-found")]);
        assert_eq!(service.look(EVE, queue), [format!("{EVE} item-not-found")]);
    }
    assert_eq!(service.look(METER, "readings"), [format!("{METER} forbidden")], "a provider knows of it");
    assert_eq!(service.push_into("readings", BILLING, &["a"]), [format!("{BILLING} forbidden")]);
    let items = format!("<query xmlns='{}'/>", ns::DISCO_ITEMS);
    assert_eq!(service.iq(EVE, "get", &items), [format!("{EVE} forbidden")]);
    let info = format!("<query xmlns='{}' node='readings'/>", ns::DISCO_INFO);
    assert_eq!(service.iq(BILLING, "get", &info), [format!("{BILLING} query")]);
    assert_eq!(service.iq(EVE, "get", &info), [format!("{EVE} forbidden")]);
}

#[test]
fn a_lease_ends_and_after_the_last_attempt_the_item_is_dead() {
    let mut service = Service::new();
    service.push(&["a", "b"]);
    assert_eq!(service.pull(BILLING, "lease='10'"), [format!("{BILLING} pulled a*1")]);
    service.pass_s(10);
    assert_eq!(service.pull(OTHER, "lease='10'"), [format!("{OTHER} pulled a*2")], "where it was");
    assert_eq!(service.about(BILLING, "retract", &["a"]), [format!("{BILLING} item-not-found")]);
    service.pass_s(10);
    assert_eq!(service.look(BILLING, "readings"), [format!("{BILLING} items b")]);
    assert_eq!(service.look(BILLING, "dead"), [format!("{BILLING} items a")]);
    service.pull(BILLING, "");
    service.pass_s(30);
    service.pull(BILLING, "");
    service.pass_s(30);
    assert_eq!(service.look(BILLING, "dead"), [format!("{BILLING} items b")], "the oldest dead made room");
    let service = service.crash();
    assert_eq!(service.kept.keys().filter(|name| name.starts_with("queue/")).count(), 1);
}

#[test]
fn attempts_and_items_outlive_a_crash_and_leases_do_not() {
    let mut service = Service::new();
    service.push(&["a", "b"]);
    service.pull(BILLING, "");
    let mut service = service.crash();
    assert_eq!(service.pull(BILLING, "max='9'"), [format!("{BILLING} pulled a*2 b*1")]);
    service.about(BILLING, "retract", &["a", "b"]);
    let mut service = service.crash();
    assert_eq!(service.look(BILLING, "readings"), [format!("{BILLING} items")]);
}

#[test]
fn an_item_can_be_given_back_and_a_lease_extended() {
    let mut service = Service::new();
    service.push(&["a", "b"]);
    service.pull(BILLING, "max='2' lease='10'");
    assert_eq!(service.about(OTHER, "return", &["a"]), [format!("{OTHER} item-not-found")]);
    assert_eq!(service.about(BILLING, "return", &["a"]), [format!("{BILLING} ok")]);
    assert_eq!(service.about(BILLING, "extend", &["b"]), [format!("{BILLING} ok")]);
    service.pass_s(15);
    assert_eq!(service.look(OTHER, "readings"), [format!("{OTHER} items a")], "b is still with the other");
    assert_eq!(service.about(BILLING, "extend", &["a"]), [format!("{BILLING} item-not-found")]);
}

#[test]
fn who_waits_is_served_when_something_comes_or_the_wait_is_over() {
    let mut service = Service::new();
    assert!(service.pull(BILLING, "wait='20'").is_empty());
    assert_eq!(service.push(&["a"]), [format!("{METER} publish a"), format!("{BILLING} pulled a*1")]);
    assert!(service.pull(BILLING, "wait='20'").is_empty());
    assert_eq!(service.pass_s(20), [format!("{BILLING} pulled")]);
    for _ in 0..crate::model::limits::QUEUE_PULLS_PER_CALLER_MAX {
        assert!(service.pull(BILLING, "wait='20'").is_empty());
    }
    assert_eq!(service.pull(BILLING, "wait='20'"), [format!("{BILLING} resource-constraint")]);
}

#[test]
fn a_consumer_that_goes_offline_gives_back_what_it_had() {
    let mut service = Service::new();
    service.push(&["a"]);
    service.pull(BILLING, "");
    let gone: Element =
        format!("<presence xmlns='jabber:client' type='unavailable' from='{BILLING}' to='{ME}'/>").parse().unwrap();
    service.hub.handle_stanza(&gone, service.now);
    service.drain();
    assert_eq!(service.pull(OTHER, ""), [format!("{OTHER} pulled a*2")]);
}

#[test]
fn subscribers_hear_that_something_waits_and_nobody_subscribes_others() {
    let mut service = Service::new();
    let subscribe = |jid: &str| format!("<subscribe node='readings' jid='{jid}'/>");
    assert_eq!(service.pubsub(BILLING, "set", &subscribe(EVE)), [format!("{BILLING} bad-request invalid-jid")]);
    assert_eq!(service.pubsub(BILLING, "set", &subscribe(BILLING)), [format!("{BILLING} subscription")]);
    let mut service = service.crash();
    assert_eq!(service.push(&["a"]), [format!("{METER} publish a"), format!("{BILLING} items a")]);
    let unsubscribe = subscribe(BILLING).replace("<subscribe", "<unsubscribe");
    assert_eq!(service.pubsub(BILLING, "set", &unsubscribe), [format!("{BILLING} ok")]);
    assert_eq!(service.push(&["b"]), [format!("{METER} publish b")]);
    assert_eq!(service.pubsub(BILLING, "set", &unsubscribe), [format!("{BILLING} unexpected-request not-subscribed")]);
}

#[test]
fn looking_goes_in_pages() {
    let mut service = Service::new();
    service.push(&["a", "b", "c"]);
    let page = |set: &str| format!("<items node='readings'/><set xmlns='{}'>{set}</set>", ns::RESULT_SET);
    assert_eq!(service.pubsub(BILLING, "get", &page("<max>2</max>")), [format!("{BILLING} items a b")]);
    assert_eq!(service.pubsub(BILLING, "get", &page("<max>2</max><after>b</after>")), [format!("{BILLING} items c")]);
    assert_eq!(service.pubsub(BILLING, "get", &page("<max>2</max><before/>")), [format!("{BILLING} items b c")]);
    assert_eq!(service.pubsub(BILLING, "get", &page("<after>z</after>")), [format!("{BILLING} item-not-found")]);
    let one = "<items node='readings'><item id='b'/></items>";
    assert_eq!(service.pubsub(BILLING, "get", one), [format!("{BILLING} items b")]);
}

#[test]
fn an_item_that_nobody_wants_in_time_is_dead() {
    let mut short = rule("readings", 3);
    short.expire_ms = Some(5_000);
    let mut service = Service::with(BTreeMap::new(), vec![short, rule("dead", 3)]);
    service.push(&["a"]);
    service.pass_s(5);
    assert_eq!(service.look(BILLING, "readings"), [format!("{BILLING} items")]);
    assert_eq!(service.look(BILLING, "dead"), [format!("{BILLING} items a")]);
}

#[test]
fn a_bridge_carries_out_what_its_provider_may_and_the_rest_is_tried_again_or_dead() {
    let mut world = World::new();
    let mut jobs = rule("jobs", 9);
    (jobs.bridges, jobs.dead) = (vec!["home".into()], Some("dead".into()));
    jobs.providers = vec![Glob::new("alice@example.org"), Glob::new("carol@example.org")];
    let mut dead = rule("dead", 9);
    dead.consumers = vec![Glob::new("alice@example.org")];
    world.hub.queues_changed(vec![jobs, dead], world.now);
    let push = |world: &mut World, who: &str, payload: &str| {
        let publish = format!("<publish node='jobs'><item>{payload}</item></publish>");
        world.set(who, &format!("<pubsub xmlns='{}'>{publish}</pubsub>", ns::PUBSUB));
        let item = world.items.pop().unwrap();
        world.hub.handle_durable(item, world.now);
        world.drain()
    };
    let warmer =
        "<set xmlns='urn:nf:iot:ctr:1.0'><nd id='kitchen/thermometer' src='home'/><db n='setpoint' v='21'/></set>";
    let told = push(&mut world, ALICE, warmer);
    let asked = request_in(&told);
    assert!(told.iter().any(|line| line.starts_with("ask home write")), "{told:?}");
    let done = world.complete("home", asked);
    assert!(done.iter().any(|line| line.starts_with("keep queue-done/jobs/")), "{done:?}");

    let told = push(&mut world, CAROL, warmer);
    assert!(!told.iter().any(|line| line.starts_with("ask ")), "who pushed may not: {told:?}");
    world.hub.rules_changed(
        Policy::new(vec![Rule::new(&["carol@example.org"], May::CONTROL, &["home/*"], &["*"])]),
        world.now,
    );
    assert!(world.pass_ms(30_000).iter().any(|line| line.starts_with("ask home write")), "tried again");

    let told = push(&mut world, ALICE, "<v xmlns='x'>no control</v>");
    assert!(told.iter().any(|line| line.starts_with("keep queue/dead/")), "{told:?}");
}

#[test]
fn what_is_in_a_queue_waits_for_the_day_the_queue_comes_back() {
    let mut service = Service::new();
    service.push(&["a"]);
    service.hub.queues_changed(vec![], service.now);
    assert_eq!(service.drain(), ["- c"]); // What we can do is other than before.
    assert_eq!(service.look(BILLING, "readings"), [format!("{BILLING} item-not-found")]);
    service.hub.queues_changed(vec![rule("readings", 3)], service.now);
    assert_eq!(service.drain(), ["- c"]);
    assert_eq!(service.look(BILLING, "readings"), [format!("{BILLING} items a")]);
}
