//! Homie 4 and 5; trees as the convention's own examples show them.

use tombolo_sdk::{Action, Decimal, NodeState, Value, ValueType};

use super::broker::{Bench, Sent, field, names};
use crate::codec::Ack;

const SETTINGS: &str = r#"{"conventions": ["homie"]}"#;

const TREE: [(&str, &str); 22] = [
    ("light/brightness/$format", "0:100"),
    ("light/brightness/$unit", "%"),
    ("light/brightness/$settable", "true"),
    ("light/brightness/$datatype", "integer"),
    ("light/brightness/$name", "Brightness"),
    ("light/colour/$datatype", "color"),
    ("light/colour/$format", "rgb"),
    ("light/colour/$settable", "true"),
    ("light/mode/$datatype", "enum"),
    ("light/mode/$format", "day,night"),
    ("light/on/$datatype", "boolean"),
    ("light/on/$settable", "true"),
    ("light/since/$datatype", "datetime"),
    ("light/count/$datatype", "integer"),
    ("light/bell/$datatype", "boolean"),
    ("light/bell/$settable", "true"),
    ("light/bell/$retained", "false"),
    ("light/$properties", "on,brightness,colour,mode,since,count,bell"),
    ("$nodes", "light"),
    ("$name", "Hall Lamp"),
    ("$homie", "4.0.0"),
    ("$state", "ready"),
];

fn four() -> (Bench, tombolo_sdk::Node) {
    let mut bench = Bench::online(SETTINGS);
    let bytes = TREE.map(|(rest, text)| bench.publish_bytes(&format!("homie/hall-lamp/{rest}"), text, 0, 0, false));
    bench.receive(&bytes.concat());
    let node = bench.node();
    (bench, node)
}

const DESCRIPTION: &str = r#"{"homie":"5.0","version":1,"name":"Dimmer","nodes":{"main":{"name":"Main","properties":{
    "level":{"name":"Level","datatype":"float","format":"0:100:5","unit":"%","settable":true},
    "colour":{"datatype":"color","format":"rgb,hsv","settable":true},
    "left":{"datatype":"duration"},
    "raw":{"datatype":"json"}}}}}"#;

fn five() -> (Bench, tombolo_sdk::Node) {
    let mut bench = Bench::online(SETTINGS);
    bench.publish("homie/5/dimmer-1/$state", "init");
    bench.publish("homie/5/dimmer-1/$description", DESCRIPTION);
    let node = bench.node();
    bench.publish("homie/5/dimmer-1/$state", "ready");
    assert_eq!(bench.states(), [NodeState::Online]);
    (bench, node)
}

#[test]
fn a_tree_of_attributes_is_one_node_whatever_their_order() {
    let (mut bench, node) = four();
    assert_eq!((node.id.as_str(), node.label.as_str(), node.state), ("hall-lamp", "Hall Lamp", NodeState::Online));
    let expected =
        ["light/on", "light/brightness", "light/colour", "light/mode", "light/since", "light/count", "light/bell"];
    assert_eq!(names(&node), expected);
    let types: Vec<ValueType> = node.fields.iter().map(|field| field.value_type).collect();
    use ValueType::{Boolean, Colour, Enumeration, Instant, Int64, Quantity};
    assert_eq!(types, [Boolean, Quantity, Colour, Enumeration, Instant, Int64, Boolean]);
    let brightness = field(&node, "light/brightness").1;
    let control = brightness.control.as_ref().unwrap();
    assert_eq!((brightness.unit.as_str(), control.minimum, control.maximum), ("%", Some(0.0), Some(100.0)));
    let sent = bench.advance(50);
    let Some(Sent::Subscribe(topics)) = sent.first() else { panic!("{sent:?}") };
    assert!(topics.contains(&"homie/hall-lamp/light/on".to_owned()) && topics.len() == 7, "{topics:?}");
    for (property, text, value) in
        [("on", "true", "true"), ("colour", "255,128,0", "FF8000"), ("mode", "night", "night"), ("count", "12", "12")]
    {
        bench.publish(&format!("homie/hall-lamp/light/{property}"), text);
        assert_eq!(bench.values()[0].1, value);
    }
}

#[test]
fn the_state_is_the_nodes_state() {
    let (mut bench, _) = four();
    for (text, state) in [
        ("sleeping", None),
        ("alert", Some(NodeState::Warning)),
        ("lost", Some(NodeState::Offline)),
        ("init", Some(NodeState::Unknown)),
        ("disconnected", Some(NodeState::Offline)),
        ("ready", Some(NodeState::Online)),
    ] {
        bench.publish("homie/hall-lamp/$state", text);
        assert_eq!(bench.states(), state.into_iter().collect::<Vec<_>>(), "{text}");
    }
}

#[test]
fn a_property_that_is_set_tells_so_itself() {
    let (mut bench, node) = four();
    let (request, sent) = bench.set(node.number, &[(1, Value::Decimal(Decimal::new(40, 0)))]);
    let [Sent::Publish { topic, payload, id, retain: false, .. }] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((topic.as_str(), payload.as_str()), ("homie/hall-lamp/light/brightness/set", "40"));
    bench.ack(Ack::Puback, *id);
    assert_eq!(bench.outcome(request), None);
    bench.publish("homie/hall-lamp/light/brightness", "40");
    assert_eq!(bench.outcome(request), Some(Ok(())));
    let (_, sent) = bench.set(node.number, &[(2, Value::Text("0010FF".into()))]);
    assert!(matches!(&sent[..], [Sent::Publish { payload, .. }] if payload == "0,16,255"));
    let (request, sent) = bench.set(node.number, &[(6, Value::Boolean(true))]);
    let [Sent::Publish { id, payload, .. }] = &sent[..] else { panic!() };
    assert_eq!(payload, "true");
    bench.ack(Ack::Puback, *id);
    assert_eq!(bench.outcome(request), Some(Ok(())));
    let (silent, _) = bench.set(node.number, &[(0, Value::Boolean(true))]);
    bench.advance(10_100);
    assert!(bench.outcome(silent).unwrap().unwrap_err().contains("did not confirm light/on = true"));
}

#[test]
fn a_description_is_a_node_and_a_target_confirms() {
    let (mut bench, node) = five();
    assert_eq!((node.id.as_str(), node.label.as_str(), node.state), ("dimmer-1", "Dimmer", NodeState::Unknown));
    assert_eq!(names(&node), ["main/colour", "main/left", "main/level", "main/raw"]);
    bench.publish("homie/5/dimmer-1/main/level", "10");
    assert_eq!(bench.values(), [(2, "10".to_owned())]);
    bench.publish("homie/5/dimmer-1/main/colour", "rgb,1,2,3");
    assert_eq!(bench.values(), [(0, "010203".to_owned())]);
    bench.publish("homie/5/dimmer-1/main/left", "PT1M");
    assert_eq!(bench.values(), [(1, "60000000".to_owned())]);
    bench.publish("homie/5/dimmer-1/main/level/$target", "10");
    let node = bench.node();
    assert_eq!(names(&node)[3], "main/level/target");
    // A step of 5 allows half of it either way.
    let (request, sent) = bench.set(node.number, &[(2, Value::Decimal(Decimal::new(52, 0)))]);
    assert!(matches!(&sent[..], [Sent::Publish { topic, .. }] if topic == "homie/5/dimmer-1/main/level/set"));
    bench.publish("homie/5/dimmer-1/main/level", "12");
    assert_eq!(bench.outcome(request), None);
    bench.publish("homie/5/dimmer-1/main/level/$target", "50");
    assert_eq!(bench.outcome(request), Some(Ok(())));
}

#[test]
fn an_alert_is_a_warning_until_it_is_taken_back() {
    let (mut bench, _) = five();
    bench.publish("homie/5/dimmer-1/$alert/hot", "too hot");
    assert_eq!(bench.states(), [NodeState::Warning]);
    bench.publish("homie/5/dimmer-1/$alert/hot", "");
    assert_eq!(bench.states(), [NodeState::Online]);
}

#[test]
fn a_device_that_takes_its_attributes_back_is_gone() {
    let (mut bench, node) = four();
    for (rest, _) in TREE {
        bench.publish(&format!("homie/hall-lamp/{rest}"), "");
    }
    let (mut five, other) = five();
    five.publish("homie/5/dimmer-1/$description", "");
    assert!(five.harness.actions.contains(&Action::RemoveNode(other.number)));
    bench.publish("homie/hall-lamp/light/on", "true");
    assert!(bench.harness.reports().is_empty(), "{}", node.id);
}

#[test]
fn a_swap_and_a_restart_show_the_same() {
    for (mut bench, node) in [four(), five()] {
        bench.advance(50);
        let open = [bench.connection];
        let mut bench = Bench { harness: bench.harness.swap(&open, &[]).unwrap(), ..bench };
        assert_eq!(
            (bench.node().id, bench.node().fields, bench.node().state),
            (node.id, node.fields, NodeState::Online)
        );
        assert_eq!(bench.advance(1_000), []);
        assert_eq!(bench.harness.restart().unwrap().nodes().len(), 1);
    }
}

#[test]
fn hostile_trees_stay_small() {
    let mut bench = Bench::online(SETTINGS);
    let many: Vec<String> = (0..3_000).map(|number| format!("p{number}")).collect();
    bench.publish("homie/x/$nodes", "n");
    bench.publish("homie/x/n/$properties", &many.join(","));
    let bytes: Vec<Vec<u8>> = many
        .iter()
        .map(|id| bench.publish_bytes(&format!("homie/x/n/{id}/$datatype"), "string", 0, 0, false))
        .collect();
    bench.receive(&bytes.concat());
    assert_eq!(bench.node().fields.len(), 512);
    let deep = format!("{}1{}", r#"{"nodes":"#.repeat(500), "}".repeat(500));
    for text in ["{", "7", "[]", "null", &deep, r#"{"nodes":{"a":{"properties":{"p":{"datatype":7,"format":[]}}}}}"#] {
        bench.publish("homie/5/y/$description", text);
    }
    for topic in
        ["homie//$state", "homie/5//$state", "homie/5", "homie/$state", "homie/a/b/c/d/$name", "homie/x/$nodes/set"]
    {
        bench.publish(topic, "ready");
    }
    assert!(bench.harness.nodes().is_empty());
}
