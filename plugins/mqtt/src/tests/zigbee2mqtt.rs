//! Zigbee2MQTT without Home Assistant's discovery; payloads as its documentation shows them.

use tombolo_sdk::{Action, Decimal, FieldKinds, NodeState, Value, ValueType};

use super::broker::{Bench, Sent, field, names};
use crate::codec::Ack;

const SETTINGS: &str = r#"{"conventions": ["zigbee2mqtt"]}"#;
const BOTH: &str = r#"{"conventions": ["homeassistant", "zigbee2mqtt"]}"#;

const COORDINATOR: &str = r#"{"ieee_address":"0x00124b00120144ae","type":"Coordinator","network_address":0,"supported":false,"disabled":false,"friendly_name":"Coordinator","endpoints":{"1":{"bindings":[],"configured_reportings":[],"clusters":{"input":[],"output":[]}}},"definition":null}"#;

const BULB: &str = r#"{"ieee_address":"0x00158d00018255df","type":"Router","network_address":29159,"supported":true,"disabled":false,
 "friendly_name":"Kitchen/Bulb","description":"x","endpoints":{},"software_build_id":"1.3.009","interviewing":false,"interview_completed":true,
 "definition":{"source":"native","model":"LED1545G12","vendor":"IKEA","description":"TRADFRI LED bulb E27","exposes":[
  {"type":"light","features":[
   {"type":"binary","name":"state","property":"state","value_on":"ON","value_off":"OFF","value_toggle":"TOGGLE","access":7,"label":"State"},
   {"type":"numeric","name":"brightness","property":"brightness","value_min":0,"value_max":254,"access":7,"label":"Brightness"},
   {"type":"numeric","name":"color_temp","property":"color_temp","unit":"mired","value_min":250,"value_max":454,"access":7,"presets":[{"name":"coolest","value":250,"description":"x"}]},
   {"type":"composite","name":"color_xy","property":"color","features":[
     {"type":"numeric","name":"x","property":"x","access":7},{"type":"numeric","name":"y","property":"y","access":7}]}]},
  {"type":"enum","name":"effect","property":"effect","values":["blink","breathe"],"access":2,"label":"Effect"},
  {"type":"binary","name":"child_lock","property":"child_lock","value_on":true,"value_off":false,"access":7,"category":"config"},
  {"type":"composite","name":"level_config","property":"level_config","category":"config","features":[
     {"type":"numeric","name":"execute_if_off","property":"execute_if_off","access":7,"value_step":2}]},
  {"type":"list","name":"schedule","property":"schedule","access":1,"item_type":{"type":"numeric"}},
  {"type":"hologram","name":"odd","property":"odd","access":1},
  {"type":"numeric","name":"linkquality","property":"linkquality","unit":"lqi","value_min":0,"value_max":255,"access":1,"category":"diagnostic"}]}}"#;

const PLUG: &str = r#"{"ieee_address":"0x00124b00257aaaaa","type":"Router","disabled":false,"friendly_name":"plug","definition":{"model":"P","vendor":"V","exposes":[
  {"type":"switch","features":[{"type":"binary","name":"state","property":"state","value_on":"ON","value_off":"OFF","access":7}]}]}}"#;

fn devices(list: &[&str]) -> String {
    format!("[{}]", list.join(","))
}

fn bench() -> Bench {
    let mut bench = Bench::online(SETTINGS);
    bench.publish("zigbee2mqtt/bridge/devices", &devices(&[COORDINATOR, BULB]));
    bench
}

#[test]
fn exposes_become_fields_and_parameters() {
    let bench = bench();
    let node = bench.node();
    assert_eq!((node.id.as_str(), node.label.as_str()), ("kitchen/bulb", "Kitchen/Bulb"));
    let extras: Vec<_> = node.extras.iter().map(|extra| (extra.key.as_str(), extra.value.as_str())).collect();
    assert_eq!(extras, [("MAN", "IKEA"), ("MODEL", "LED1545G12"), ("SN", "0x00158d00018255df"), ("V", "1.3.009")]);
    let expected = [
        "state",
        "brightness",
        "color_temp",
        "color/x",
        "color/y",
        "colour",
        "effect",
        "child_lock",
        "level_config/execute_if_off",
        "schedule",
        "linkquality",
    ];
    assert_eq!(names(&node), expected);
    assert_eq!(field(&node, "linkquality").1.kinds, FieldKinds::STATUS);
    let brightness = field(&node, "brightness").1;
    assert_eq!(brightness.control.as_ref().unwrap().maximum, Some(254.0));
    assert_eq!(field(&node, "color_temp").1.unit, "mired");
    assert_eq!(field(&node, "effect").1.value_type, ValueType::Enumeration);
    assert!(field(&node, "color/x").1.control.is_none() && field(&node, "colour").1.control.is_some());
}

#[test]
fn states_are_read_and_truths_may_be_texts_or_bare() {
    let mut bench = bench();
    let sent = bench.advance(50);
    let topics = ["zigbee2mqtt/Kitchen/Bulb", "zigbee2mqtt/Kitchen/Bulb/availability"].map(str::to_owned).to_vec();
    assert_eq!(sent, [Sent::Subscribe(topics)]);
    bench.publish(
        "zigbee2mqtt/Kitchen/Bulb",
        r#"{"state":"ON","brightness":215,"color":{"x":0.4576,"y":0.41},"child_lock":false,"schedule":[1,2],"linkquality":79,"update":{"state":"idle"}}"#,
    );
    let values: Vec<String> = bench.values().into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["true", "215", "0.4576", "0.41", "false", "[1,2]", "79"]);
}

#[test]
fn only_what_the_device_says_ends_a_command() {
    let mut bench = bench();
    let number = bench.node().number;
    let (request, sent) = bench.set(number, &[(0, Value::Boolean(true)), (1, Value::Decimal(Decimal::new(100, 0)))]);
    let [Sent::Publish { topic, payload, id, .. }, Sent::Publish { payload: second, id: second_id, .. }] = &sent[..]
    else {
        panic!("{sent:?}")
    };
    assert_eq!((topic.as_str(), payload.as_str()), ("zigbee2mqtt/Kitchen/Bulb/set", r#"{"state":"ON"}"#));
    assert_eq!(second, r#"{"brightness":100}"#);
    bench.ack(Ack::Puback, *id);
    bench.ack(Ack::Puback, *second_id);
    assert_eq!(bench.outcome(request), None);
    bench.publish("zigbee2mqtt/Kitchen/Bulb", r#"{"state":"ON","brightness":20}"#);
    assert_eq!(bench.outcome(request), None);
    bench.publish("zigbee2mqtt/Kitchen/Bulb", r#"{"state":"ON","brightness":100}"#);
    assert_eq!(bench.outcome(request), Some(Ok(())));
}

#[test]
fn a_device_that_does_not_confirm_has_failed() {
    let mut bench = bench();
    let number = bench.node().number;
    let (silent, _) = bench.set(number, &[(0, Value::Boolean(true))]);
    bench.advance(9_900);
    assert_eq!(bench.outcome(silent), None);
    bench.advance(200);
    assert_eq!(bench.outcome(silent).unwrap().unwrap_err(), "the device did not confirm state = true within 10 s");
    let (stubborn, _) = bench.set(number, &[(0, Value::Boolean(true))]);
    bench.publish("zigbee2mqtt/Kitchen/Bulb", r#"{"state":"OFF"}"#);
    bench.advance(10_100);
    let error = bench.outcome(stubborn).unwrap().unwrap_err();
    assert_eq!(error, "the device did not confirm state = true within 10 s: it says false");
}

#[test]
fn what_a_device_never_tells_is_assumed() {
    let mut bench = bench();
    let node = bench.node();
    let (effect, colour) = (field(&node, "effect").0, field(&node, "colour").0);
    let (request, sent) = bench.set(node.number, &[(effect, Value::Member("blink".into()))]);
    let [Sent::Publish { payload, id, .. }] = &sent[..] else { panic!() };
    assert_eq!(payload, r#"{"effect":"blink"}"#);
    bench.ack(Ack::Puback, *id);
    assert_eq!(bench.outcome(request), Some(Ok(())));
    let (_, sent) = bench.set(node.number, &[(colour, Value::Text("FF8000".into()))]);
    let [Sent::Publish { payload, .. }] = &sent[..] else { panic!() };
    assert_eq!(payload, r#"{"color":{"hex":"FF8000"}}"#);
}

#[test]
fn a_device_is_there_as_it_and_its_bridge_say() {
    let mut bench = bench();
    bench.publish("zigbee2mqtt/Kitchen/Bulb", r#"{"state":"ON"}"#);
    assert_eq!(bench.states(), [NodeState::Online]);
    bench.publish("zigbee2mqtt/Kitchen/Bulb/availability", r#"{"state":"offline"}"#);
    assert_eq!(bench.states(), [NodeState::Offline]);
    bench.publish("zigbee2mqtt/Kitchen/Bulb/availability", "online");
    assert_eq!(bench.states(), [NodeState::Online]);
    bench.publish("zigbee2mqtt/bridge/state", r#"{"state":"offline"}"#);
    assert_eq!(bench.states(), [NodeState::Offline]);
    bench.publish("zigbee2mqtt/bridge/state", "online");
    assert_eq!(bench.states(), [NodeState::Online]);
}

#[test]
fn a_group_has_what_its_members_share() {
    let mut bench = Bench::online(SETTINGS);
    bench.publish("zigbee2mqtt/bridge/devices", &devices(&[BULB, PLUG]));
    let groups = r#"[{"id":1,"friendly_name":"all","scenes":[],"members":[{"ieee_address":"0x00158d00018255df","endpoint":1},{"ieee_address":"0x00124b00257aaaaa","endpoint":1}]},{"id":2,"friendly_name":"empty","members":[]}]"#;
    bench.publish("zigbee2mqtt/bridge/groups", groups);
    let node = bench.node();
    assert_eq!((node.id.as_str(), names(&node)), ("all", vec!["state"]));
    // Whichever comes first.
    let mut other = Bench::online(SETTINGS);
    other.publish("zigbee2mqtt/bridge/groups", groups);
    assert!(other.harness.nodes().is_empty());
    other.publish("zigbee2mqtt/bridge/devices", &devices(&[BULB, PLUG]));
    assert_eq!(other.harness.nodes().len(), 3);
    bench.publish("zigbee2mqtt/bridge/groups", "[]");
    assert!(bench.harness.actions.contains(&Action::RemoveNode(node.number)));
    bench.publish("zigbee2mqtt/plug", r#"{"state":"ON"}"#);
    assert_eq!(bench.values(), [(0, "true".to_owned())]);
}

#[test]
fn a_renamed_device_keeps_its_node_and_one_that_left_goes() {
    let mut bench = bench();
    let node = bench.node();
    let renamed = BULB.replace("Kitchen/Bulb", "Hall");
    bench.publish("zigbee2mqtt/bridge/devices", &devices(&[&renamed, PLUG]));
    let nodes: Vec<_> = bench.harness.nodes().iter().map(|node| (node.id.clone(), node.label.clone())).collect();
    assert_eq!(nodes, [("kitchen/bulb".to_owned(), "Hall".to_owned()), ("plug".to_owned(), "plug".to_owned())]);
    bench.publish("zigbee2mqtt/Hall", r#"{"state":"ON"}"#);
    assert_eq!(bench.readings()[0].0, node.number);
    bench.publish("zigbee2mqtt/bridge/devices", &devices(&[COORDINATOR, PLUG]));
    assert!(bench.harness.actions.contains(&Action::RemoveNode(node.number)));
}

#[test]
fn a_swap_and_a_restart_show_the_same_nodes() {
    let mut bench = bench();
    bench.publish("zigbee2mqtt/Kitchen/Bulb/availability", r#"{"state":"offline"}"#);
    let (request, sent) = bench.set(crate::mapping::number_of("kitchen/bulb"), &[(0, Value::Boolean(true))]);
    let [Sent::Publish { id, .. }] = &sent[..] else { panic!() };
    let open = [bench.connection];
    let mut bench = Bench { harness: bench.harness.swap(&open, &[request]).unwrap(), ..bench };
    assert_eq!((bench.node().id.as_str(), bench.node().state), ("kitchen/bulb", NodeState::Offline));
    bench.ack(Ack::Puback, *id);
    assert_eq!(bench.outcome(request), None);
    bench.publish("zigbee2mqtt/Kitchen/Bulb", r#"{"state":"ON"}"#);
    assert_eq!(bench.outcome(request), Some(Ok(())));
    bench.advance(1_000);
    let restarted = bench.harness.restart().unwrap();
    assert_eq!(restarted.nodes().iter().map(|node| node.id.as_str()).collect::<Vec<_>>(), ["kitchen/bulb"]);
}

fn announce_to_home_assistant(bench: &mut Bench) {
    bench.publish(
        "homeassistant/light/0x00158d00018255df/light/config",
        r#"{"schema":"json","state_topic":"zigbee2mqtt/Kitchen/Bulb","command_topic":"zigbee2mqtt/Kitchen/Bulb/set","name":null,"unique_id":"u","device":{"identifiers":["zigbee2mqtt_0x00158d00018255df"],"name":"Bulb"}}"#,
    );
}

#[test]
fn a_device_of_two_conventions_is_shown_once_by_the_one_named_first() {
    for is_native_first in [false, true] {
        let mut bench = Bench::online(BOTH);
        let devices = devices(&[BULB, PLUG]);
        if is_native_first {
            bench.publish("zigbee2mqtt/bridge/devices", &devices);
            announce_to_home_assistant(&mut bench);
        } else {
            announce_to_home_assistant(&mut bench);
            bench.publish("zigbee2mqtt/bridge/devices", &devices);
        }
        bench.advance(50);
        bench.publish("zigbee2mqtt/Kitchen/Bulb", r#"{"state":"ON","brightness":1}"#);
        assert_eq!(bench.values(), [(0, "true".to_owned())], "native first: {is_native_first}");
        bench.publish("zigbee2mqtt/plug", r#"{"state":"ON"}"#);
        assert_eq!(bench.values(), [(0, "true".to_owned())]);
        // Once the first convention gives it up, the other shows it.
        bench.publish("homeassistant/light/0x00158d00018255df/light/config", "");
        assert_eq!(names(&bench.node()).len(), 11);
    }
}

#[test]
fn hostile_announcements_stay_small() {
    let mut bench = Bench::online(SETTINGS);
    let deep = format!("{}{}", r#"[{"definition":"#.repeat(200), "}]".repeat(200));
    bench.publish("zigbee2mqtt/bridge/devices", &deep);
    assert_eq!(bench.warnings().len(), 1);
    let nested = (0..50).fold(r#"{"type":"numeric","name":"n","property":"n","access":7}"#.to_owned(), |inner, _| {
        format!(r#"{{"type":"composite","name":"c","property":"c","features":[{inner}]}}"#)
    });
    let many: Vec<String> = (0..2000)
        .map(|number| format!(r#"{{"type":"numeric","name":"n","property":"p{number}","access":1}}"#))
        .collect();
    let device = format!(
        r#"[{{"ieee_address":"0x1","type":"Router","friendly_name":"x","definition":{{"exposes":[{nested},{}]}}}}, 7, null, {{"definition":{{}}}}, {{"friendly_name":"a/#","definition":{{}}}}]"#,
        many.join(",")
    );
    bench.publish("zigbee2mqtt/bridge/devices", &device);
    assert_eq!(bench.node().fields.len(), 512);
    for payload in ["", "{}", "null", "[[]]", "\u{0}"] {
        for topic in ["bridge/devices", "bridge/groups", "bridge/state", "x/availability"] {
            bench.publish(&format!("zigbee2mqtt/{topic}"), payload);
        }
    }
}
