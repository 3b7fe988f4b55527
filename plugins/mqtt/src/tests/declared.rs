//! Devices that the operator declares.

use tombolo_sdk::{FieldKinds, NodeState, Value, ValueType};

use super::broker::{Bench, Sent, field, names};

fn bench(devices: &str) -> Bench {
    Bench::online(&format!(r#"{{"discovery_prefix": null, "devices": [{devices}]}}"#))
}

const ZIGBEE: &str = r#"{"node": "zigbee/{name}", "label": "Zigbee {name}",
    "availability": {"topic": "zigbee/{name}/availability", "pointer": "/state"},
    "fields": [
      {"name": "temperature", "topic": "zigbee/{name}", "pointer": "/temperature", "type": "quantity", "unit": "°C"},
      {"name": "battery", "topic": "zigbee/{name}", "template": "{{ value_json.battery | int }}", "type": "quantity", "unit": "%", "kinds": ["status"]},
      {"name": "valve", "topic": "zigbee/{name}", "pointer": "/valve", "payload_on": "OPEN", "payload_off": "SHUT",
       "command": {"topic": "zigbee/{name}/set", "template": "{\"valve\": \"{{ value }}\"}"}},
      {"name": "setpoint", "type": "quantity", "unit": "°C", "command": {"topic": "zigbee/{name}/set/setpoint", "minimum": 5, "maximum": 30}},
      {"name": "mode", "topic": "zigbee/{name}", "pointer": "/mode", "members": ["eco", "boost"], "command": {"topic": "zigbee/{name}/set/mode"}}]}"#;

#[test]
fn a_topic_makes_its_node_with_all_certain_fields() {
    let mut bench = bench(ZIGBEE);
    bench.publish("zigbee/lamp", r#"{"temperature": 23.40, "battery": 97.6, "valve": "SHUT"}"#);
    let node = bench.node();
    assert_eq!((node.id.as_str(), node.label.as_str()), ("zigbee/lamp", "Zigbee lamp"));
    assert_eq!(names(&node), ["temperature", "battery", "valve", "setpoint", "mode"]);
    assert_eq!(
        (field(&node, "temperature").1.unit.as_str(), field(&node, "battery").1.kinds),
        ("°C", FieldKinds::STATUS)
    );
    assert_eq!(field(&node, "setpoint").1.control.as_ref().unwrap().maximum, Some(30.0));
    assert_eq!(field(&node, "mode").1.control.as_ref().unwrap().members, ["eco", "boost"]);
    let text = |at: u16, value: &str| (at, value.to_owned());
    assert_eq!(bench.values(), [text(0, "23.40"), text(1, "97"), text(2, "false")]);
    bench.publish("zigbee/lamp", r#"{"temperature": 23.5}"#);
    assert!(bench.harness.nodes().is_empty());
    assert_eq!(bench.values(), [text(0, "23.5")]);
}

#[test]
fn wildcards_are_subscribed_once() {
    let mut bench = Bench::new(&format!(
        r#"{{"discovery_prefix": null, "devices": [{ZIGBEE},
        {{"node": "all", "fields": [{{"name": "any", "topic": "zigbee/+/availability", "pointer": "/x"}}, {{"name": "rest", "topic": "log/#"}}]}}]}}"#
    ));
    let sent = bench.connect(false);
    let filters = ["log/#", "zigbee/+", "zigbee/+/availability"].map(str::to_owned).to_vec();
    assert_eq!(sent, [Sent::Subscribe(filters)]);
}

#[test]
fn a_node_without_placeholders_is_there_at_once() {
    let mut bench = Bench::new(
        r#"{"discovery_prefix": null, "devices": [{"node": "boiler", "fields": [
        {"name": "pressure", "topic": "boiler/pressure", "type": "quantity", "unit": "bar"}]}]}"#,
    );
    let node = bench.node();
    assert_eq!((node.id.as_str(), node.state), ("boiler", NodeState::Unknown));
    bench.connect(false);
    bench.publish("boiler/pressure", "1.50");
    assert_eq!(bench.values(), [(0, "1.50".to_owned())]);
    assert_eq!(bench.states(), [NodeState::Online]);
}

#[test]
fn placeholders_name_fields_and_types_are_guessed() {
    let mut bench =
        bench(r#"{"node": "{device}", "fields": [{"name": "{what}", "topic": "sensors/{device}/{what}"}]}"#);
    bench.publish("sensors/shed/door", "true");
    bench.publish("sensors/shed/humidity", "55.0");
    bench.publish("sensors/shed/note", "hello");
    let node = bench.node();
    let types: Vec<_> = node.fields.iter().map(|field| (field.name.as_str(), field.value_type)).collect();
    assert_eq!(types, [("door", ValueType::Boolean), ("humidity", ValueType::Quantity), ("note", ValueType::Text)]);
    bench.publish("sensors/shed/humidity", "56.0");
    assert_eq!(bench.values(), [(1, "56.0".to_owned())]);
}

#[test]
fn a_field_without_type_waits_for_its_first_value() {
    let mut bench = bench(
        r#"{"node": "d", "fields": [{"name": "a", "topic": "t", "pointer": "/a"}, {"name": "b", "topic": "t", "pointer": "/b"}]}"#,
    );
    bench.publish("t", r#"{"a": 1}"#);
    assert_eq!(names(&bench.node()), ["a"]);
    bench.publish("t", r#"{"a": 2, "b": "x"}"#);
    assert_eq!(names(&bench.node()), ["a", "b"]);
    assert_eq!(bench.values().len(), 2);
    bench.publish("t", r#"{"a": 3, "b": "y"}"#);
    assert!(bench.harness.nodes().is_empty());
}

#[test]
fn availability_becomes_the_nodes_state() {
    let mut bench = bench(ZIGBEE);
    bench.publish("zigbee/lamp/availability", r#"{"state": "online"}"#);
    assert_eq!(bench.node().state, NodeState::Online);
    bench.publish("zigbee/lamp/availability", r#"{"state": "offline"}"#);
    assert_eq!(bench.states(), [NodeState::Offline]);
    bench.publish("zigbee/lamp/availability", r#"{"state": "offline"}"#);
    assert_eq!(bench.states(), []);
}

#[test]
fn commands_go_to_their_topics_in_their_spelling() {
    let mut bench = bench(ZIGBEE);
    bench.publish("zigbee/lamp", "{\"temperature\": 1}");
    let number = bench.node().number;
    let decimal = Value::Decimal("21.50".parse().unwrap());
    let (_, sent) = bench.set(number, &[(2, Value::Boolean(true)), (3, decimal), (4, Value::Member("eco".into()))]);
    let sent: Vec<_> = sent
        .iter()
        .map(|sent| {
            if let Sent::Publish { topic, payload, .. } = sent { (topic.as_str(), payload.as_str()) } else { panic!() }
        })
        .collect();
    let expected = [
        ("zigbee/lamp/set", r#"{"valve": "OPEN"}"#),
        ("zigbee/lamp/set/setpoint", "21.50"),
        ("zigbee/lamp/set/mode", "eco"),
    ];
    assert_eq!(sent, expected);
}

#[test]
fn what_no_topic_confirms_is_assumed_once_delivered() {
    let mut bench = bench(ZIGBEE);
    bench.publish("zigbee/lamp", "{\"temperature\": 1}");
    let number = bench.node().number;
    let (_, sent) = bench.set(number, &[(3, Value::Decimal("21.50".parse().unwrap()))]);
    let [Sent::Publish { id, .. }] = sent[..] else { panic!() };
    assert!(bench.values().is_empty());
    bench.ack(crate::codec::Ack::Puback, id);
    assert_eq!(bench.values(), [(3, "21.50".to_owned())]);
}

#[test]
fn a_bad_payload_is_said_once_and_disturbs_nothing_else() {
    let mut bench = bench(ZIGBEE);
    bench.publish("zigbee/lamp", r#"{"temperature": "warm", "battery": 5}"#);
    assert_eq!(
        bench.warnings(),
        ["topic \"zigbee/lamp\": field \"temperature\" expects a number; said once per topic"]
    );
    assert_eq!(bench.values(), [(1, "5".to_owned())]);
    for payload in ["not json", "{\"other\": 1}", "\u{1}"] {
        bench.publish("zigbee/lamp", payload);
        assert!(bench.warnings().is_empty() && bench.harness.reports().is_empty());
    }
    bench.publish("zigbee/bulb", "not json");
    assert!(bench.warnings()[0].contains("not JSON") && !bench.warnings()[0].contains("not json"));
    bench.publish("zigbee/tv", "{\"volume\": 3}");
    assert!(bench.warnings()[0].contains("nothing of what is mapped"));
    bench.publish("zigbee/fan", r#"{"temperature": null, "battery": "unavailable"}"#);
    assert!(bench.warnings().is_empty() && bench.harness.reports().is_empty());
    bench.publish("zigbee/lamp", r#"{"temperature": 20.0}"#);
    assert_eq!(bench.values(), [(0, "20.0".to_owned())]);
}

#[test]
fn max_nodes_bounds_a_flood() {
    let mut bench = Bench::online(
        r#"{"discovery_prefix": null, "max_nodes": 2, "devices": [
        {"node": "{n}", "fields": [{"name": "v", "topic": "x/{n}", "type": "quantity"}]}]}"#,
    );
    bench.publish("x/a", "1");
    bench.publish("x/b", "1");
    bench.publish("x/c", "1");
    assert!(bench.warnings()[0].contains("max_nodes"), "{:?}", bench.warnings());
    assert!(bench.harness.reports().is_empty());
    bench.publish("x/a", "2");
    assert_eq!(bench.values().len(), 1);
}

#[test]
fn one_message_for_two_nodes_is_two_reports_with_a_receipt_each() {
    let mut bench = bench(
        r#"{"node": "a", "fields": [{"name": "v", "topic": "x/{n}", "type": "quantity"}]},
           {"node": "b", "fields": [{"name": "v", "topic": "x/1", "type": "quantity"}]}"#,
    );
    bench.receive(&bench.publish_bytes("x/1", "5", 1, 7, false));
    let receipts = bench.receipts();
    assert_eq!(receipts, [receipts[0], receipts[0] + 1]);
    assert_eq!(bench.stored(receipts[1]), []);
    assert_eq!(bench.stored(receipts[0]), [Sent::Ack(0x40, 7)]);
}

#[test]
fn an_empty_payload_is_nothing() {
    let mut bench = bench(ZIGBEE);
    bench.publish("zigbee/lamp", "");
    assert!(bench.warnings().is_empty() && bench.harness.reports().is_empty());
}

#[test]
fn unmatched_topics_cost_one_match_only() {
    let mut bench =
        bench(r#"{"node": "d", "fields": [{"name": "v", "topic": "a/#", "pointer": "/v", "type": "quantity"}]}"#);
    for _ in 0..3 {
        bench.publish("b/c", "1");
        assert!(bench.harness.actions.is_empty());
    }
}

#[test]
fn declared_commands_are_messages() {
    let device = r#"{"node": "gate/{name}", "fields": [{"name": "state", "topic": "gate/{name}/state", "type": "text"}],
        "commands": [{"name": "open", "label": "Open the gate", "topic": "gate/{name}/do", "payload": "OPEN", "qos": 0}]}"#;
    let mut bench = bench(device);
    bench.publish("gate/north/state", "shut");
    let node = bench.node();
    assert_eq!(node.commands.iter().map(|command| command.label.as_str()).collect::<Vec<_>>(), ["Open the gate"]);
    let (id, sent) = bench.invoke(node.number, "open");
    let [Sent::Publish { topic, payload, .. }] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((topic.as_str(), payload.as_str()), ("gate/north/do", "OPEN"));
    assert_eq!(bench.outcome(id), Some(Ok(())));
}
