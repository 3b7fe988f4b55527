//! Devices that announce themselves.

use tombolo_sdk::{Action, FieldKinds, NodeState, Value, ValueType};

use super::broker::{Bench, Sent, field, names};
use crate::codec::Ack;

fn bench() -> Bench {
    Bench::online("{}")
}

/// One device with two sensors and a lamp, as zigbee2mqtt writes it.
fn announce(bench: &mut Bench) -> tombolo_sdk::Node {
    let device = r#""device":{"identifiers":["zigbee2mqtt_0x01"],"name":"Desk Lamp","manufacturer":"Acme","model":"L1"},
        "availability":[{"topic":"z/bridge/state","value_template":"{{ value_json.state }}"},{"topic":"z/lamp/availability"}],"availability_mode":"all""#;
    for (topic, own) in [
        (
            "light/0x01/light",
            r#""schema":"json","brightness":true,"brightness_scale":254,"state_topic":"z/lamp","command_topic":"z/lamp/set","name":null,"unique_id":"1""#,
        ),
        (
            "sensor/0x01/linkquality",
            r#""state_topic":"z/lamp","value_template":"{{ value_json.linkquality }}","unit_of_measurement":"lqi","entity_category":"diagnostic","name":"Linkquality","unique_id":"2""#,
        ),
        (
            "sensor/0x01/temperature",
            r#""state_topic":"z/lamp","value_template":"{{ value_json['temperature'] | round(1) }}","device_class":"temperature","unit_of_measurement":"°C","state_class":"measurement","unique_id":"3""#,
        ),
    ] {
        bench.publish(&format!("homeassistant/{topic}/config"), &format!("{{{own},{device}}}"));
    }
    bench.node()
}

#[test]
fn subscribes_to_the_prefix_and_then_to_what_is_announced() {
    let mut bench = Bench::new("{}");
    let filters = ["homeassistant/+/+/+/config", "homeassistant/+/+/config"].map(str::to_owned).to_vec();
    assert_eq!(bench.connect(false), [Sent::Subscribe(filters)]);
    announce(&mut bench);
    let topics = ["z/bridge/state", "z/lamp", "z/lamp/availability"].map(str::to_owned).to_vec();
    assert_eq!(bench.advance(50), [Sent::Subscribe(topics)]);
    assert_eq!(bench.advance(1_000), []);
}

#[test]
fn entities_of_a_device_are_fields_of_one_node() {
    let mut bench = bench();
    let node = announce(&mut bench);
    assert_eq!(
        (node.id.as_str(), node.label.as_str(), node.node_type.as_str()),
        ("desk-lamp", "Desk Lamp", "mqtt.device")
    );
    assert_eq!(names(&node), ["light", "brightness", "linkquality", "temperature"]);
    assert_eq!(node.extras.iter().map(|extra| extra.key.as_str()).collect::<Vec<_>>(), ["MAN", "MODEL"]);
    assert_eq!(field(&node, "linkquality").1.kinds, FieldKinds::STATUS);
    assert_eq!(field(&node, "brightness").1.control.as_ref().unwrap().maximum, Some(254.0));
    bench.publish("z/lamp", r#"{"state":"ON","brightness":128,"linkquality":87,"temperature":21.46}"#);
    let values: Vec<String> = bench.values().into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["true", "128", "87", "21.5"]);
}

#[test]
fn several_availability_topics_are_one_state() {
    let mut bench = bench();
    announce(&mut bench);
    bench.publish("z/bridge/state", r#"{"state":"online"}"#);
    assert_eq!(bench.states(), []);
    bench.publish("z/lamp/availability", "online");
    assert_eq!(bench.states(), [NodeState::Online]);
    bench.publish("z/bridge/state", r#"{"state":"offline"}"#);
    assert_eq!(bench.states(), [NodeState::Offline]);
}

#[test]
fn a_json_light_is_switched_and_dimmed() {
    let mut bench = bench();
    let number = announce(&mut bench).number;
    let (request, sent) = bench.set(number, &[(0, Value::Boolean(false)), (1, Value::Int32(20))]);
    let payloads: Vec<_> = sent
        .iter()
        .map(|sent| if let Sent::Publish { payload, id, .. } = sent { (payload.as_str(), *id) } else { panic!() })
        .collect();
    assert_eq!(
        payloads.iter().map(|(payload, _)| *payload).collect::<Vec<_>>(),
        [r#"{"state":"OFF"}"#, r#"{"state":"ON","brightness":20}"#]
    );
    bench.ack(Ack::Puback, payloads[0].1);
    assert_eq!(bench.outcome(request), None);
    bench.ack(Ack::Puback, payloads[1].1);
    assert_eq!(bench.outcome(request), None);
    bench.publish("z/lamp", r#"{"state":"OFF","brightness":20}"#);
    assert_eq!(bench.outcome(request), Some(Ok(())));
}

#[test]
fn an_empty_configuration_removes_its_entity_and_the_last_one_the_node() {
    let mut bench = bench();
    let number = announce(&mut bench).number;
    bench.advance(50);
    bench.publish("homeassistant/light/0x01/light/config", "");
    assert_eq!(names(&bench.node()), ["linkquality", "temperature"]);
    bench.publish("z/lamp", r#"{"linkquality":80}"#);
    assert_eq!(bench.values(), [(0, "80".to_owned())]);
    bench.publish("homeassistant/sensor/0x01/linkquality/config", "");
    bench.publish("homeassistant/sensor/0x01/temperature/config", "");
    assert!(bench.harness.actions.contains(&Action::RemoveNode(number)));
    let topics = ["z/bridge/state", "z/lamp", "z/lamp/availability"].map(str::to_owned).to_vec();
    assert_eq!(bench.advance(50), [Sent::Unsubscribe(topics)]);
    bench.publish("z/lamp", r#"{"linkquality":80}"#);
    assert!(bench.harness.reports().is_empty());
}

#[test]
fn a_changed_configuration_replaces_its_entity() {
    let mut bench = bench();
    bench.publish("homeassistant/sensor/a/config", r#"{"stat_t":"a/1","name":"A","unit_of_meas":"W","uniq_id":"a"}"#);
    let number = bench.node().number;
    bench.publish("homeassistant/sensor/a/config", r#"{"stat_t":"a/1","name":"A","unit_of_meas":"W","uniq_id":"a"}"#);
    assert!(bench.harness.nodes().is_empty());
    bench.publish("homeassistant/sensor/a/config", r#"{"stat_t":"a/2","name":"A","unit_of_meas":"kW","uniq_id":"a"}"#);
    assert_eq!((bench.node().number, bench.node().fields[0].unit.as_str()), (number, "kW"));
    bench.publish("a/1", "1");
    assert!(bench.harness.reports().is_empty());
    bench.publish("a/2", "2");
    assert_eq!(bench.values(), [(0, "2".to_owned())]);
}

fn only_field(topic: &str, config: &str) -> tombolo_sdk::Field {
    let mut bench = bench();
    bench.publish(&format!("homeassistant/{topic}/config"), config);
    assert!(bench.warnings().is_empty(), "{:?}", bench.warnings());
    let node = bench.node();
    assert_eq!(node.fields.len(), 1, "{:?}", names(&node));
    node.fields[0].clone()
}

#[test]
fn components_have_their_types() {
    let dev = r#""dev":{"ids":"x","name":"X"}"#;
    for (topic, config, name, value_type) in [
        ("sensor/a", r#""stat_t":"t","name":"Status""#, "status", ValueType::Text),
        ("sensor/a", r#""stat_t":"t","dev_cla":"power""#, "power", ValueType::Quantity),
        (
            "sensor/a",
            r#""stat_t":"t","stat_cla":"total_increasing","name":"Energy today""#,
            "energy_today",
            ValueType::Quantity,
        ),
        ("sensor/a", r#""stat_t":"t","dev_cla":"timestamp""#, "timestamp", ValueType::Instant),
        ("sensor/a", r#""stat_t":"t","dev_cla":"enum","ops":["a","b"]"#, "enum", ValueType::Enumeration),
        ("binary_sensor/a", r#""stat_t":"t","dev_cla":"door""#, "door", ValueType::Boolean),
        ("switch/a", r#""stat_t":"t","cmd_t":"c""#, "switch", ValueType::Boolean),
        ("number/a", r#""stat_t":"t","cmd_t":"c","min":-5,"max":5,"name":"Offset""#, "offset", ValueType::Quantity),
        ("select/a", r#""stat_t":"t","cmd_t":"c","ops":["x","y"]"#, "select", ValueType::Enumeration),
        ("light/a", r#""stat_t":"t","cmd_t":"c""#, "light", ValueType::Boolean),
    ] {
        let found = only_field(topic, &format!("{{{config},{dev}}}"));
        assert_eq!((found.name.as_str(), found.value_type), (name, value_type), "{config}");
        assert_eq!(found.control.is_some(), config.contains("cmd_t"), "{config}");
    }
}

#[test]
fn a_basic_light_has_brightness_of_its_own() {
    let mut bench = bench();
    bench.publish(
        "homeassistant/light/a/config",
        r#"{"~":"l","name":"Lamp","cmd_t":"~/set","stat_t":"~/state","bri_cmd_t":"~/bri/set","bri_stat_t":"~/bri","bri_scl":100,"pl_on":"1","pl_off":"0"}"#,
    );
    let node = bench.node();
    assert_eq!((node.id.as_str(), names(&node)), ("lamp", vec!["light", "brightness"]));
    bench.publish("l/state", "1");
    assert_eq!(bench.values(), [(0, "true".to_owned())]);
    let (_, sent) = bench.set(node.number, &[(1, Value::Int32(40))]);
    assert!(
        matches!(&sent[..], [Sent::Publish { topic, payload, .. }] if topic == "l/bri/set" && payload == "40"),
        "{sent:?}"
    );
}

#[test]
fn a_thermostat_is_shown_whole() {
    let mut bench = bench();
    bench.publish(
        "homeassistant/climate/0x02/climate/config",
        r#"{"name":null,"dev":{"ids":["2"],"name":"Bath"},"mode_stat_t":"z/bath","mode_stat_tpl":"{{ value_json.mode }}","mode_cmd_t":"z/bath/set/mode","modes":["off","heat"],
            "temp_stat_t":"z/bath","temp_stat_tpl":"{{ value_json.target }}","temp_cmd_t":"z/bath/set/target","min_temp":5,"max_temp":30,
            "curr_temp_t":"z/bath","curr_temp_tpl":"{{ value_json.local }}","act_t":"z/bath","act_tpl":"{{ value_json.action }}"}"#,
    );
    let node = bench.node();
    assert_eq!(names(&node), ["mode", "target_temperature", "current_temperature", "action"]);
    assert_eq!(field(&node, "target_temperature").1.control.as_ref().unwrap().minimum, Some(5.0));
    assert_eq!(field(&node, "current_temperature").1.unit, "°C");
    bench.publish("z/bath", r#"{"mode":"heat","target":21,"local":19.50,"action":"heating"}"#);
    let values: Vec<String> = bench.values().into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["heat", "21", "19.50", "heating"]);
}

#[test]
fn a_template_outside_the_subset_is_named_and_the_rest_is_shown() {
    let mut bench = bench();
    bench.publish("homeassistant/sensor/a/config", r#"{"stat_t":"a","name":"A","val_tpl":"{{ value_json.x * 2 }}"}"#);
    let warning = &bench.warnings()[0];
    assert!(warning.contains("homeassistant/sensor/a/config") && warning.contains("value_json.x * 2"), "{warning}");
    assert!(bench.harness.nodes().is_empty());
}

#[test]
fn bad_configurations_are_named() {
    for (topic, payload, part) in [
        ("sensor/a", "{", "no JSON"),
        ("sensor/a", "[]", "no JSON object"),
        ("sensor/a", "{}", "no topic"),
        ("select/a", r#"{"cmd_t":"c"}"#, "without options"),
        ("light/a", r#"{"schema":"template","cmd_t":"c"}"#, "template"),
    ] {
        let mut bench = bench();
        bench.publish(&format!("homeassistant/{topic}/config"), payload);
        assert!(bench.warnings()[0].contains(part), "{:?}", bench.warnings());
        assert!(bench.harness.nodes().is_empty());
    }
}

#[test]
fn unsupported_components_are_said_once_and_do_not_alarm() {
    let mut bench = bench();
    bench.publish("homeassistant/device_automation/a/config", "{}");
    assert!(bench.warnings().is_empty());
    assert_eq!(bench.harness.actions.len(), 1);
    bench.publish("homeassistant/device_automation/b/config", "{}");
    assert!(bench.harness.actions.is_empty());
}

#[test]
fn devices_of_one_name_stay_apart_and_keep_their_ids() {
    let mut bench = bench();
    let config = |ids: &str| format!(r#"{{"stat_t":"t/{ids}","dev":{{"ids":["{ids}"],"name":"Plug"}}}}"#);
    bench.publish("homeassistant/sensor/1/config", &config("A1"));
    assert_eq!(bench.node().id, "plug");
    bench.publish("homeassistant/sensor/2/config", &config("B2"));
    assert_eq!(bench.node().id, "plug-b2");
    bench.publish("homeassistant/binary_sensor/2/config", &config("B2"));
    assert_eq!((bench.node().id.as_str(), names(&bench.node())), ("plug-b2", vec!["binary_sensor", "sensor"]));
    let renamed = config("A1").replace("Plug", "Socket");
    bench.publish("homeassistant/sensor/1/config", &renamed);
    assert_eq!((bench.node().id.as_str(), bench.node().label.as_str()), ("plug", "Socket"));
}

#[test]
fn fields_of_one_name_stay_apart() {
    let mut bench = bench();
    let config = |topic: &str| format!(r#"{{"stat_t":"{topic}","dev_cla":"power","dev":{{"ids":["d"],"name":"D"}}}}"#);
    bench.publish("homeassistant/sensor/d/l1/config", &config("1"));
    bench.publish("homeassistant/sensor/d/l2/config", &config("2"));
    assert_eq!(names(&bench.node()), ["power", "power_l2"]);
}

#[test]
fn a_device_configuration_holds_several_components() {
    let mut bench = bench();
    bench.publish(
        "homeassistant/device/d1/config",
        r#"{"dev":{"ids":"d1","name":"Meter"},"o":{"name":"x"},"stat_t":"m/state","avty_t":"m/lwt",
            "cmps":{"p":{"p":"sensor","dev_cla":"power","unit_of_meas":"W","val_tpl":"{{ value_json.p }}"},
                    "s":{"p":"switch","cmd_t":"m/set","val_tpl":"{{ value_json.s }}"}}}"#,
    );
    assert_eq!(names(&bench.node()), ["power", "switch"]);
    bench.publish("m/state", r#"{"p":1.0,"s":"ON"}"#);
    assert_eq!(bench.values().len(), 2);
    bench.publish("m/lwt", "offline");
    assert_eq!(bench.states(), [NodeState::Offline]);
}

#[test]
fn a_switch_without_state_topic_is_assumed() {
    let mut bench = bench();
    bench.publish("homeassistant/switch/a/config", r#"{"cmd_t":"c","name":"Pump","ret":true,"qos":0}"#);
    let number = bench.node().number;
    let (request, sent) = bench.set(number, &[(0, Value::Boolean(true))]);
    assert!(matches!(&sent[..], [Sent::Publish { retain: true, qos: 0, .. }]), "{sent:?}");
    assert_eq!(bench.outcome(request), Some(Ok(())));
    assert_eq!(bench.values(), [(0, "true".to_owned())]);
}

#[test]
fn a_device_can_be_declared_and_discovered() {
    let mut bench = Bench::online(
        r#"{"devices": [{"node": "own/{n}", "fields": [{"name": "v", "topic": "z/{n}", "pointer": "/v"}]}]}"#,
    );
    bench.publish("homeassistant/sensor/a/config", r#"{"stat_t":"z/a","name":"A","val_tpl":"{{ value_json.v }}"}"#);
    bench.publish("z/a", r#"{"v": 1}"#);
    assert_eq!(bench.readings().len(), 2);
}

#[test]
fn a_broker_away_for_long_leaves_states_unknown() {
    let mut bench = bench();
    announce(&mut bench);
    bench.publish("z/bridge/state", r#"{"state":"online"}"#);
    bench.publish("z/lamp/availability", "online");
    bench.harness.closed(bench.connection);
    bench.harness.advance(59_000);
    assert_eq!(bench.states(), []);
    bench.harness.advance(2_000);
    assert_eq!(bench.states(), [NodeState::Unknown]);
    bench.wait_for_open();
    bench.connect(true);
    assert_eq!(bench.states(), []);
}

#[test]
fn a_button_is_a_command_that_is_pressed() {
    let mut bench = bench();
    let device = r#""device":{"identifiers":["d1"],"name":"Gate"}"#;
    let sensor = r#""state_topic":"gate/state","name":"State","unique_id":"1""#;
    bench.publish("homeassistant/sensor/gate/state/config", &format!("{{{sensor},{device}}}"));
    let button = r#""command_topic":"gate/set","payload_press":"open","name":"Open","unique_id":"2","qos":1"#;
    bench.publish("homeassistant/button/gate/open/config", &format!("{{{button},{device}}}"));
    let node = bench.node();
    let commands: Vec<_> =
        node.commands.iter().map(|command| (command.name.as_str(), command.label.as_str())).collect();
    assert_eq!(commands, [("open", "Open")]);
    let (id, sent) = bench.invoke(node.number, "open");
    let [Sent::Publish { topic, payload, id: packet, .. }] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((topic.as_str(), payload.as_str()), ("gate/set", "open"));
    assert_eq!(bench.outcome(id), None, "the broker has not acknowledged");
    bench.ack(Ack::Puback, *packet);
    assert_eq!(bench.outcome(id), Some(Ok(())));
    let (id, sent) = bench.invoke(node.number, "close");
    assert!(sent.is_empty() && bench.outcome(id).is_some_and(|outcome| outcome.is_err()));
}

#[test]
fn a_button_alone_is_a_node() {
    let mut bench = bench();
    bench.publish("homeassistant/button/bell/config", r#"{"command_topic":"bell","name":"Bell"}"#);
    let node = bench.node();
    assert_eq!((node.fields.len(), node.commands.len()), (0, 1));
}
