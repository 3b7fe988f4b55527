//! Things of others at the broker: what is published of them, what commands do, and that they never become devices again.

use tombolo_sdk::events::{Outcome, Thing, ThingReading};
use tombolo_sdk::{
    Action, Constraint, Event, Failure, Field, FieldKinds, Node, NodeState, Quality, Readout, ReasonCode, Sample,
    Value, ValueType,
};

use super::broker::{Bench, Sent};
use crate::codec::Ack;

const SETTINGS: &str = r##"{"version": "5", "devices": [{"node": "all", "fields": [{"name": "x", "topic": "#"}]}]}"##;
const BASE: &str = "tombolo/plant@example.com/home/lamp";

fn field(name: &str, value_type: ValueType, control: Option<Constraint>) -> Field {
    let (unit, label, description) = (String::new(), String::new(), String::new());
    Field { name: name.into(), value_type, unit, kinds: FieldKinds::MOMENTARY, control, label, description }
}

fn constraint(minimum: Option<f64>, maximum: Option<f64>, members: &[&str]) -> Constraint {
    Constraint { minimum, maximum, pattern: None, members: members.iter().map(|member| (*member).to_owned()).collect() }
}

fn lamp(state: NodeState, fields: Vec<Field>) -> Thing {
    let address = "plant@example.com/home/lamp".to_owned();
    let node = Node {
        number: 4,
        id: address.clone(),
        parent: None,
        node_type: "test.lamp".into(),
        label: "Lamp".into(),
        state,
        readout: Readout::Reported,
        fields,
        commands: Vec::new(),
        extras: Vec::new(),
    };
    Thing { number: 4, address, node }
}

fn fields() -> Vec<Field> {
    vec![
        field("on", ValueType::Boolean, Some(constraint(None, None, &[]))),
        field("level", ValueType::Int32, Some(constraint(Some(0.0), Some(100.0), &[]))),
        field("mode", ValueType::Enumeration, Some(constraint(None, None, &["auto", "off"]))),
        Field { unit: "W".into(), ..field("power", ValueType::Quantity, None) },
        field("alarm", ValueType::Boolean, None),
    ]
}

fn reading(field: u16, value: Value) -> Event {
    let samples = vec![Sample { field, value, quality: Quality::empty() }];
    Event::ThingReported(ThingReading { number: 4, at: 0, samples })
}

impl Bench {
    /// The host says something; gives what is published, acknowledged until nothing more comes.
    fn told(&mut self, event: Event) -> Vec<(String, String)> {
        self.harness.event(event);
        let sent = self.sent();
        self.published(sent)
    }

    fn published(&mut self, mut sent: Vec<Sent>) -> Vec<(String, String)> {
        let mut published = Vec::new();
        while !sent.is_empty() {
            let mut next = Vec::new();
            for one in sent {
                let Sent::Publish { topic, payload, id, retain, .. } = one else { continue };
                assert!(retain, "{topic}");
                published.push((topic, payload));
                next.extend(self.ack(Ack::Puback, id));
            }
            sent = next;
        }
        published
    }

    fn orders(&self) -> Vec<String> {
        let orders = self.harness.actions.iter().filter_map(|action| match action {
            Action::ControlThing(order) => Some(format!("{} {} {:?}", order.id, order.thing, order.settings)),
            _ => None,
        });
        orders.collect()
    }
}

fn of<'a>(published: &'a [(String, String)], topic: &str) -> &'a str {
    published.iter().find(|(known, _)| known == topic).map_or("(nothing)", |(_, payload)| payload)
}

fn shown() -> (Bench, Vec<(String, String)>) {
    let mut bench = Bench::online(SETTINGS);
    let published = bench.told(Event::ThingAppeared(lamp(NodeState::Online, fields())));
    (bench, published)
}

#[test]
fn a_thing_gets_topics_and_a_configuration_for_each_field() {
    let (_, published) = shown();
    assert_eq!(of(&published, &format!("{BASE}/availability")), "online");
    let configurations: Vec<_> = published.iter().filter(|(topic, _)| topic.ends_with("/config")).collect();
    let kinds: Vec<&str> = configurations.iter().map(|(topic, _)| topic.split('/').nth(1).unwrap()).collect();
    assert_eq!(kinds, ["switch", "number", "select", "sensor", "binary_sensor"]);
    let level: serde_json::Value = serde_json::from_str(&configurations[1].1).unwrap();
    assert_eq!(level["command_topic"], format!("{BASE}/set/level"));
    assert_eq!(
        (&level["min"], &level["max"], &level["origin"]["name"]),
        (&0.0.into(), &100.0.into(), &"tombolo".into())
    );
    let power: serde_json::Value = serde_json::from_str(&configurations[3].1).unwrap();
    assert_eq!(
        (&power["unit_of_measurement"], &power["state_topic"]),
        (&"W".into(), &format!("{BASE}/state/power").into())
    );
}

#[test]
fn commands_are_taken_before_a_thing_is_seen_and_asked_for_once() {
    let mut bench = Bench::online(SETTINGS);
    bench.harness.event(Event::ThingAppeared(lamp(NodeState::Online, fields())));
    let expected = ["level", "mode", "on"].map(|field| format!("{BASE}/set/{field}"));
    assert_eq!(bench.sent()[0], Sent::Subscribe(expected.to_vec()));
    bench.harness.event(Event::ThingChanged(lamp(NodeState::Offline, fields())));
    let again = bench.sent().into_iter().chain(bench.advance(100));
    assert!(again.into_iter().all(|sent| matches!(sent, Sent::Publish { .. })));
    bench.harness.event(Event::ThingChanged(lamp(NodeState::Online, fields()[..1].to_vec())));
    assert_eq!(bench.sent()[0], Sent::Unsubscribe(expected[..2].to_vec()));
}

#[test]
fn values_are_published_as_they_come_and_only_if_they_are_new() {
    let (mut bench, _) = shown();
    assert_eq!(bench.told(reading(0, Value::Boolean(true))), [(format!("{BASE}/state/on"), "ON".to_owned())]);
    assert!(bench.told(reading(0, Value::Boolean(true))).is_empty());
    assert!(bench.told(Event::ThingAppeared(lamp(NodeState::Online, fields()))).is_empty(), "told again");
    let away = bench.told(Event::ThingChanged(lamp(NodeState::Offline, fields())));
    assert_eq!(away, [(format!("{BASE}/availability"), "offline".to_owned())]);
}

#[test]
fn a_command_becomes_a_setting_and_its_failure_repeats_the_state() {
    let (mut bench, _) = shown();
    bench.told(reading(0, Value::Boolean(false)));
    bench.publish(&format!("{BASE}/set/on"), "ON");
    assert_eq!(bench.orders(), ["1 4 [Setting { field: 0, value: Value::Boolean(true) }]"]);
    bench.publish(&format!("{BASE}/set/level"), "loud");
    assert!(bench.orders().is_empty() && bench.warnings()[0].contains("expects a whole number"));
    let failure = Failure { code: ReasonCode::AccessDenied, message: "Access denied.".into() };
    let again = bench.told(Event::Done(Outcome { id: 1, outcome: Err(failure) }));
    assert_eq!(again, [(format!("{BASE}/state/on"), "OFF".to_owned())]);
}

#[test]
fn a_command_that_was_kept_for_later_is_not_carried_out() {
    let (mut bench, _) = shown();
    let message = crate::codec::Message {
        topic: format!("{BASE}/set/on"),
        payload: b"ON".to_vec(),
        qos: crate::codec::Qos::AtMostOnce,
        retain: true,
    };
    let bytes = crate::codec::write_publish(&message, 0, false, bench.version).unwrap();
    bench.receive(&bytes);
    assert!(bench.orders().is_empty());
}

#[test]
fn what_is_shown_never_becomes_a_device() {
    let (mut bench, published) = shown();
    for (topic, payload) in published {
        bench.publish(&topic, &payload);
        assert!(bench.harness.nodes().is_empty(), "{topic}");
    }
    bench.publish(&format!("{BASE}/state/on"), "ON");
    assert!(bench.harness.nodes().is_empty() && bench.harness.reports().is_empty());
    bench.publish("elsewhere", "1");
    assert_eq!(bench.harness.reports().len(), 1, "others still do");
}

#[test]
fn a_thing_that_vanishes_leaves_nothing_behind() {
    let (mut bench, published) = shown();
    bench.told(reading(0, Value::Boolean(true)));
    let cleared = bench.told(Event::ThingVanished(4));
    assert!(cleared.iter().all(|(_, payload)| payload.is_empty()));
    assert!(published.iter().all(|(topic, _)| cleared.iter().any(|(gone, _)| gone == topic)));
    assert!(cleared.iter().any(|(topic, _)| *topic == format!("{BASE}/state/on")));
}

#[test]
fn a_swap_goes_on_without_saying_anything_twice() {
    let (mut bench, _) = shown();
    bench.told(reading(0, Value::Boolean(true)));
    let open = [bench.connection];
    let mut bench = Bench { harness: bench.harness.swap(&open, &[]).unwrap(), ..bench };
    assert!(bench.told(Event::ThingAppeared(lamp(NodeState::Online, fields()))).is_empty());
    assert!(bench.told(reading(0, Value::Boolean(true))).is_empty());
    bench.publish(&format!("{BASE}/set/mode"), "off");
    assert_eq!(bench.orders(), ["1 4 [Setting { field: 2, value: Value::Member(\"off\") }]"]);
}

#[test]
fn a_reconnected_broker_is_told_everything_again() {
    let (mut bench, _) = shown();
    bench.told(reading(0, Value::Boolean(true)));
    let sent = bench.reconnect(true);
    let again = bench.published(sent);
    assert_eq!(
        (of(&again, &format!("{BASE}/state/on")), of(&again, &format!("{BASE}/availability"))),
        ("ON", "online")
    );
}

#[test]
fn the_bridges_own_presence_counts_where_the_operator_wants_it_said() {
    let settings =
        r#"{"version": "5", "will": {"topic": "t/up", "payload": "0"}, "online": {"topic": "t/up", "payload": "1"}}"#;
    let mut bench = Bench::online(settings);
    let published = bench.told(Event::ThingAppeared(lamp(NodeState::Online, fields())));
    let (_, config) = published.iter().find(|(topic, _)| topic.contains("/switch/")).unwrap();
    let config: serde_json::Value = serde_json::from_str(config).unwrap();
    assert_eq!(config["availability"][1]["payload_not_available"], "0");
}

#[test]
fn nothing_is_shown_where_the_operator_does_not_want_it() {
    let mut bench = Bench::online(r#"{"version": "5", "mirror_prefix": null}"#);
    assert!(bench.told(Event::ThingAppeared(lamp(NodeState::Online, fields()))).is_empty());
}
