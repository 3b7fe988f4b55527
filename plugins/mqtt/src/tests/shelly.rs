//! Shelly of both generations; payloads as their documentation shows them.

use tombolo_sdk::{Decimal, FieldKinds, NodeState, Value};

use super::broker::{Bench, Sent, field, names};
use crate::codec::Ack;

const SETTINGS: &str = r#"{"conventions": ["shelly"], "client_id": "Bridge 1"}"#;
const PREFIX: &str = "shellypro4pm-f008d1d8b8b8";
const SOURCE: &str = "tombolo-bridge-1";

fn bench() -> Bench {
    Bench::online(SETTINGS)
}

fn texts(bench: &Bench) -> Vec<String> {
    bench.values().into_iter().map(|(_, value)| value).collect()
}

fn published(sent: &[Sent]) -> Vec<(&str, &str)> {
    let all = sent.iter().filter_map(|sent| match sent {
        Sent::Publish { topic, payload, .. } => Some((topic.as_str(), payload.as_str())),
        _ => None,
    });
    all.collect()
}

#[test]
fn a_first_generation_device_is_what_its_topics_say() {
    let mut bench = Bench::new(SETTINGS);
    let sent = bench.connect(false);
    assert_eq!(published(&sent), [("shellies/command", "announce"), ("shellies/command", "update")]);
    bench.publish("shellies/announce", r#"{"id":"shelly1pm-B1E31C","mac":"98F4ABB1E31C","ip":"192.168.1.3","new_fw":false,"fw_ver":"20200309-104051/v1.6.0@43056d58","model":"SHSW-PM"}"#);
    assert!(bench.harness.nodes().is_empty());
    bench.publish("shellies/shelly1pm-B1E31C/relay/0", "off");
    assert_eq!(texts(&bench), ["false"]);
    let node = bench.node();
    assert_eq!(node.id, "shelly1pm-b1e31c");
    let extras: Vec<_> = node.extras.iter().map(|extra| extra.value.as_str()).collect();
    assert_eq!(extras, ["Shelly", "SHSW-PM", "98F4ABB1E31C", "20200309-104051/v1.6.0@43056d58"]);
    for (topic, payload, value) in [
        ("relay/0/power", "12.5", "12.5"),
        ("relay/0/energy", "1500", "1500"),
        ("input/0", "1", "true"),
        ("input_event/0", r#"{"event":"S","event_cnt":2}"#, "S"),
        ("temperature", "41.2", "41.2"),
        ("overtemperature", "0", "false"),
        ("ext_temperature/1", "7.5", "7.5"),
        ("sensor/battery", "88", "88"),
    ] {
        bench.publish(&format!("shellies/shelly1pm-B1E31C/{topic}"), payload);
        assert_eq!(texts(&bench), [value], "{topic}");
    }
    let node = bench.node();
    assert_eq!(node.fields.len(), 9, "{:?}", names(&node));
    assert_eq!(field(&node, "relay/0/energy").1.unit, "W·min");
    assert_eq!(field(&node, "sensor/battery").1.kinds, FieldKinds::STATUS);
    for topic in ["info", "relay/0/command", "relay/x", "nothing", "settings"] {
        bench.publish(&format!("shellies/shelly1pm-B1E31C/{topic}"), "{}");
        assert!(bench.harness.nodes().is_empty() && bench.harness.reports().is_empty(), "{topic}");
    }
    bench.publish("shellies/shelly1pm-B1E31C/online", "true");
    bench.publish("shellies/shelly1pm-B1E31C/online", "false");
    assert_eq!(bench.states(), [NodeState::Offline]);
}

#[test]
fn a_relay_confirms_under_its_own_topic() {
    let mut bench = bench();
    bench.publish("shellies/shelly1-1/relay/0", "off");
    let number = bench.node().number;
    let (request, sent) = bench.set(number, &[(0, Value::Boolean(true))]);
    assert_eq!(published(&sent), [("shellies/shelly1-1/relay/0/command", "on")]);
    let [Sent::Publish { id, .. }] = &sent[..] else { panic!() };
    bench.ack(Ack::Puback, *id);
    assert_eq!(bench.outcome(request), None);
    bench.publish("shellies/shelly1-1/relay/0", "on");
    assert_eq!(bench.outcome(request), Some(Ok(())));
}

#[test]
fn lights_and_rollers_have_more_than_a_switch() {
    let mut bench = bench();
    bench.publish(
        "shellies/bulb/light/0/status",
        r#"{"ison":true,"mode":"white","red":0,"brightness":30,"temp":3000,"effect":0}"#,
    );
    let node = bench.node();
    assert_eq!(names(&node), ["light/0/brightness", "light/0/temp", "light/0/red"]);
    assert_eq!(texts(&bench), ["30", "3000", "0"]);
    let (request, sent) = bench.set(node.number, &[(0, Value::Decimal(Decimal::new(55, 0)))]);
    assert_eq!(published(&sent), [("shellies/bulb/light/0/set", r#"{"brightness":55}"#)]);
    bench.publish("shellies/bulb/light/0/status", r#"{"ison":true,"brightness":55}"#);
    assert_eq!(bench.outcome(request), Some(Ok(())));

    bench.publish("shellies/blind/roller/0", "stop");
    bench.publish("shellies/blind/roller/0/pos", "100");
    let node = bench.node();
    assert_eq!(names(&node), ["roller/0", "roller/0/pos"]);
    let (request, sent) = bench.set(node.number, &[(1, Value::Decimal(Decimal::new(20, 0)))]);
    assert_eq!(published(&sent), [("shellies/blind/roller/0/command/pos", "20")]);
    bench.publish("shellies/blind/roller/0", "close");
    assert_eq!(bench.outcome(request), Some(Ok(())));
    let (_, sent) = bench.invoke(node.number, "roller_0_stop");
    assert_eq!(published(&sent), [("shellies/blind/roller/0/command", "stop")]);
}

/// Tells that it is there, is asked, and answers.
fn second(bench: &mut Bench) -> tombolo_sdk::Node {
    let sent = bench.publish(&format!("{PREFIX}/online"), "true");
    let asked = published(&sent);
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked.iter().all(|(topic, _)| *topic == format!("{PREFIX}/rpc")));
    assert!(
        asked[1].1.contains(r#""method":"Shelly.GetStatus""#) && asked[1].1.contains(&format!(r#""src":"{SOURCE}""#))
    );
    bench.publish(
        &format!("{SOURCE}/rpc"),
        &format!(r#"{{"id":"info {PREFIX}","src":"{PREFIX}","dst":"{SOURCE}","result":{{"name":"Rack","id":"{PREFIX}","mac":"F008D1D8B8B8","model":"SPSW-004PE16EU","gen":2,"fw_id":"20210720","ver":"0.7.0","app":"Pro4PM","auth_en":false}}}}"#),
    );
    bench.publish(
        &format!("{SOURCE}/rpc"),
        &format!(
            r#"{{"id":"status {PREFIX}","src":"{PREFIX}","dst":"{SOURCE}","result":{{"ble":{{}},"cloud":{{"connected":false}},"mqtt":{{"connected":true}},
            "cover:1":{{"id":1,"source":"limit_switch","state":"open","apower":0.0,"current_pos":100,"target_pos":null}},
            "switch:0":{{"id":0,"source":"timer","output":false,"apower":8.9,"voltage":237.5,"aenergy":{{"total":6.532,"by_minute":[45.199,47.141,88.397],"minute_ts":1626935779}},"temperature":{{"tC":23.5,"tF":74.4}}}},
            "input:0":{{"id":0,"state":false}},
            "sys":{{"mac":"F008D1D8B8B8","restart_required":false,"time":"16:06","unixtime":1650035219,"uptime":11081,"ram_size":254744}},
            "wifi":{{"sta_ip":"192.168.33.10","status":"got ip","ssid":"x","rssi":-50}}}}}}"#
        ),
    );
    bench.node()
}

#[test]
fn a_second_generation_device_is_asked_and_answers() {
    let mut bench = bench();
    let node = second(&mut bench);
    assert_eq!((node.id.as_str(), node.label.as_str(), node.state), (PREFIX, "Rack", NodeState::Online));
    let mut found = names(&node);
    found.sort_unstable();
    let expected = [
        "cover:1/apower",
        "cover:1/current_pos",
        "cover:1/state",
        "input:0/state",
        "switch:0/aenergy/total",
        "switch:0/apower",
        "switch:0/output",
        "switch:0/temperature/tC",
        "switch:0/voltage",
        "sys/restart_required",
        "sys/uptime",
        "wifi/rssi",
    ];
    assert_eq!(found, expected);
    assert_eq!(field(&node, "switch:0/aenergy/total").1.unit, "Wh");
    assert_eq!(field(&node, "switch:0/temperature/tC").1.kinds, FieldKinds::STATUS);
    assert!(field(&node, "switch:0/output").1.control.is_some() && field(&node, "input:0/state").1.control.is_none());
    let commands: Vec<_> = node.commands.iter().map(|command| command.name.as_str()).collect();
    assert_eq!(commands, ["cover_1_open", "cover_1_close", "cover_1_stop", "switch_0_toggle"]);
    assert_eq!(texts(&bench).len(), 12);
}

#[test]
fn notifications_are_readings_and_new_values_new_fields() {
    let mut bench = bench();
    let node = second(&mut bench);
    let notify = |method: &str, params: &str| {
        format!(
            r#"{{"src":"{PREFIX}","dst":"{PREFIX}/events","method":"{method}","params":{{"ts":1631186545.04,{params}}}}}"#
        )
    };
    let topic = format!("{PREFIX}/events/rpc");
    bench.publish(&topic, &notify("NotifyStatus", r#""switch:0":{"id":0,"output":true,"source":"button"}"#));
    assert_eq!(bench.values(), [(field(&node, "switch:0/output").0, "true".to_owned())]);
    bench.publish(&topic, &notify("NotifyFullStatus", r#""switch:0":{"id":0,"output":false,"current":0.04}"#));
    let more = bench.node();
    assert_eq!(more.fields.last().unwrap().name, "switch:0/current");
    assert_eq!(more.fields[..node.fields.len()], node.fields[..]);
    assert_eq!(bench.values().first().unwrap(), &(u16::try_from(node.fields.len()).unwrap(), "0.04".to_owned()));
    bench.publish(
        &topic,
        &notify("NotifyEvent", r#""events":[{"component":"input:0","id":0,"event":"single_push","ts":1631266595.44}]"#),
    );
    assert_eq!(
        (bench.node().fields.last().unwrap().name.as_str(), texts(&bench)),
        ("input:0/event", vec!["single_push".to_owned()])
    );
    bench.publish(&format!("{PREFIX}/online"), "false");
    assert_eq!(bench.states(), [NodeState::Offline]);
}

#[test]
fn calls_are_answered_by_their_number() {
    let mut bench = bench();
    let node = second(&mut bench);
    let (output, position) = (field(&node, "switch:0/output").0, field(&node, "cover:1/current_pos").0);
    let (request, sent) =
        bench.set(node.number, &[(output, Value::Boolean(true)), (position, Value::Decimal(Decimal::new(40, 0)))]);
    let calls: Vec<serde_json::Value> =
        published(&sent).iter().map(|(_, payload)| serde_json::from_str(payload).unwrap()).collect();
    assert_eq!(
        (calls[0]["method"].as_str(), &calls[0]["params"]),
        (Some("Switch.Set"), &serde_json::json!({"id": 0, "on": true}))
    );
    assert_eq!(
        (calls[1]["method"].as_str(), &calls[1]["params"]),
        (Some("Cover.GoToPosition"), &serde_json::json!({"id": 1, "pos": 40}))
    );
    let answer = |call: &serde_json::Value, rest: &str| {
        format!(r#"{{"id":{},"src":"{PREFIX}","dst":"{SOURCE}",{rest}}}"#, call["id"])
    };
    let topic = format!("{SOURCE}/rpc");
    bench.publish(&topic, &answer(&calls[0], r#""result":{"was_on":false}"#));
    assert_eq!(bench.outcome(request), None);
    bench.publish(&topic, &answer(&calls[1], r#""error":{"code":-109,"message":"not calibrated"}"#));
    assert_eq!(bench.outcome(request), Some(Err("the device refused: not calibrated".into())));
    let (request, sent) = bench.invoke(node.number, "switch_0_toggle");
    let call: serde_json::Value = serde_json::from_str(published(&sent)[0].1).unwrap();
    assert_eq!(call["method"], "Switch.Toggle");
    assert_eq!(call["params"], serde_json::json!({"id": 0}));
    bench.publish(&topic, &answer(&call, r#""result":{"was_on":true}"#));
    assert_eq!(bench.outcome(request), Some(Ok(())));
    let (silent, _) = bench.set(node.number, &[(output, Value::Boolean(true))]);
    bench.advance(10_100);
    assert_eq!(bench.outcome(silent), Some(Err("the device did not answer within 10 s".into())));
}

#[test]
fn both_generations_survive_a_swap_and_a_restart() {
    let mut bench = bench();
    let node = second(&mut bench);
    bench.publish("shellies/shelly1-1/relay/0", "off");
    bench.publish("shellies/shelly1-1/online", "true");
    let open = [bench.connection];
    let mut bench = Bench { harness: bench.harness.swap(&open, &[]).unwrap(), ..bench };
    let found: Vec<_> =
        bench.harness.nodes().iter().map(|node| (node.id.clone(), node.state, node.fields.len())).collect();
    assert_eq!(
        found,
        [("shelly1-1".to_owned(), NodeState::Online, 1), (PREFIX.to_owned(), NodeState::Online, node.fields.len())]
    );
    assert_eq!(bench.sent(), []);
    bench.advance(1_000);
    assert_eq!(bench.harness.restart().unwrap().nodes().len(), 2);
}

#[test]
fn hostile_devices_stay_small() {
    let mut bench = bench();
    for number in 0..300 {
        bench.publish(&format!("shellies/x/relay/{number}"), "on");
        bench.publish(
            "x/events/rpc",
            &format!(r#"{{"src":"x","method":"NotifyStatus","params":{{"switch:{number}":{{"a":1,"b":true}}}}}}"#),
        );
    }
    let open = [bench.connection];
    let mut bench = Bench { harness: bench.harness.swap(&open, &[]).unwrap(), ..bench };
    let sizes: Vec<usize> = bench.harness.nodes().iter().map(|node| node.fields.len()).collect();
    assert_eq!(sizes, [128, 400]);
    let deep = format!("{}1{}", r#"{"a":"#.repeat(100), "}".repeat(100));
    for payload in [
        "",
        "7",
        "[]",
        "null",
        r#"{"method":"NotifyStatus","params":7}"#,
        r#"{"id":1,"result":{}}"#,
        r#"{"id":"status","result":{}}"#,
        &deep,
    ] {
        for topic in [
            "y/events/rpc",
            "tombolo-bridge-1/rpc",
            "y/online",
            "/online",
            "shellies/announce",
            "shellies//announce",
            "shellies/y/online",
        ] {
            bench.publish(topic, payload);
            assert!(bench.harness.nodes().is_empty(), "{topic} {payload}");
        }
    }
}
