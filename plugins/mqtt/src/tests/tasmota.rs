//! Tasmota's own discovery; payloads as its documentation shows them.

use tombolo_sdk::{Action, Decimal, NodeState, Value};

use super::broker::{Bench, Sent, field, names};
use crate::codec::Ack;

const SETTINGS: &str = r#"{"conventions": ["tasmota"]}"#;

const PLUG: &str = r#"{"ip":"192.168.15.10","dn":"Washer Plug","fn":["Washer",null,null,null,null,null,null,null],"hn":"tasmota-ABCDEF-1234","mac":"00000049A3BC","md":"Sonoff Pow R2","ty":0,"if":0,"ofln":"Offline","onln":"Online","state":["OFF","ON","TOGGLE","HOLD"],"sw":"9.4.0.4","t":"tasmota_49A3BC","ft":"%prefix%/%topic%/","tp":["cmnd","stat","tele"],"rl":[1,0,0,0,0,0,0,0],"swc":[-1,-1,-1,-1,-1,-1,-1,-1],"btn":[0,0,0,0],"so":{"4":0,"11":0,"13":0,"17":0,"20":0,"30":0,"68":0,"73":0,"82":0,"114":0,"117":0},"lk":1,"lt_st":0,"ver":1}"#;
const SENSORS: &str = r#"{"sn":{"Time":"2020-09-25T12:47:15","ENERGY":{"TotalStartTime":"2018-11-23T15:33:47","Total":0.017,"Yesterday":0.000,"Today":0.002,"Power":0.00,"ApparentPower":7.84,"Factor":0.51,"Voltage":234.31,"Current":0.039},"DHT11":{"Temperature":21.5,"Humidity":44.0,"DewPoint":8.9},"Switch1":"OFF","TempUnit":"C"},"ver":1}"#;

fn light() -> String {
    PLUG.replace(r#""rl":[1,0"#, r#""rl":[1,2"#).replace(r#""lt_st":0"#, r#""lt_st":5"#)
}

fn announce(bench: &mut Bench, config: &str, sensors: &str) -> Vec<Sent> {
    bench.publish("tasmota/discovery/00000049A3BC/sensors", sensors);
    bench.publish("tasmota/discovery/00000049A3BC/config", config)
}

#[test]
fn a_configuration_and_its_sensors_are_a_node() {
    let mut bench = Bench::online(SETTINGS);
    announce(&mut bench, PLUG, SENSORS);
    let node = bench.node();
    assert_eq!((node.id.as_str(), node.label.as_str()), ("washer-plug", "Washer Plug"));
    let expected = [
        "power",
        "ENERGY/TotalStartTime",
        "ENERGY/Total",
        "ENERGY/Yesterday",
        "ENERGY/Today",
        "ENERGY/Power",
        "ENERGY/ApparentPower",
        "ENERGY/Factor",
        "ENERGY/Voltage",
        "ENERGY/Current",
        "DHT11/Temperature",
        "DHT11/Humidity",
        "DHT11/DewPoint",
        "Switch1",
        "rssi",
        "signal",
        "uptime",
    ];
    let mut found = names(&node);
    assert_eq!(found.remove(0), "power");
    let mut rest = expected[1..].to_vec();
    found.sort_unstable();
    rest.sort_unstable();
    assert_eq!(found, rest);
    assert_eq!(
        (field(&node, "ENERGY/Voltage").1.unit.as_str(), field(&node, "power").1.label.as_str()),
        ("V", "Washer")
    );
    assert_eq!(field(&node, "DHT11/Temperature").1.unit, "°C");
    assert_eq!(node.commands.iter().map(|command| command.name.as_str()).collect::<Vec<_>>(), ["restart"]);
}

#[test]
fn a_late_starter_listens_and_then_asks() {
    let mut bench = Bench::online(SETTINGS);
    let sent = announce(&mut bench, PLUG, SENSORS);
    let [Sent::Subscribe(topics), Sent::Publish { topic, .. }, Sent::Publish { topic: status, payload, .. }] =
        &sent[..]
    else {
        panic!("{sent:?}")
    };
    let expected = ["stat/tasmota_49A3BC/RESULT", "stat/tasmota_49A3BC/STATUS10"];
    assert!(expected.iter().all(|topic| topics.iter().any(|known| known == topic)), "{topics:?}");
    assert_eq!(
        (topic.as_str(), status.as_str(), payload.as_str()),
        ("cmnd/tasmota_49A3BC/State", "cmnd/tasmota_49A3BC/Status", "10")
    );
    bench.publish("stat/tasmota_49A3BC/RESULT", r#"{"Time":"2020-09-25T12:47:15","Uptime":"0T00:00:15","UptimeSec":15,"POWER":"ON","Wifi":{"AP":1,"RSSI":100,"Signal":-38}}"#);
    let values: Vec<String> = bench.values().into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["true", "100", "-38", "15"]);
    bench
        .publish("stat/tasmota_49A3BC/STATUS10", r#"{"StatusSNS":{"Time":"x","ENERGY":{"Power":3.5},"Switch1":"ON"}}"#);
    let values: Vec<String> = bench.values().into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["3.5", "true"]);
    // After the next connection it asks again.
    let sent = bench.reconnect(true);
    assert_eq!(sent.iter().filter(|sent| matches!(sent, Sent::Publish { .. })).count(), 2, "{sent:?}");
}

#[test]
fn tele_messages_are_readings_and_the_will_is_the_state() {
    let mut bench = Bench::online(SETTINGS);
    announce(&mut bench, PLUG, SENSORS);
    bench.publish(
        "tele/tasmota_49A3BC/SENSOR",
        r#"{"Time":"2020-09-25T12:47:15","ENERGY":{"Total":1.250,"Power":60},"DHT11":{"Temperature":22.0}}"#,
    );
    let mut values: Vec<String> = bench.values().into_iter().map(|(_, value)| value).collect();
    values.sort();
    assert_eq!(values, ["1.250", "22.0", "60"]);
    bench.publish("tele/tasmota_49A3BC/LWT", "Online");
    assert_eq!(bench.states(), [NodeState::Online]);
    bench.publish("tele/tasmota_49A3BC/LWT", "Offline");
    assert_eq!(bench.states(), [NodeState::Offline]);
}

#[test]
fn results_confirm_commands() {
    let mut bench = Bench::online(SETTINGS);
    announce(&mut bench, &light(), r#"{"sn":{}}"#);
    let node = bench.node();
    assert_eq!(names(&node)[..5], ["power1", "power2", "dimmer", "ct", "hsb_color"]);
    assert_eq!(field(&node, "ct").1.control.as_ref().unwrap().minimum, Some(153.0));
    let (request, sent) =
        bench.set(node.number, &[(1, Value::Boolean(true)), (2, Value::Decimal(Decimal::new(50, 0)))]);
    let told: Vec<_> = sent
        .iter()
        .map(|sent| {
            if let Sent::Publish { topic, payload, .. } = sent { (topic.as_str(), payload.as_str()) } else { panic!() }
        })
        .collect();
    assert_eq!(told, [("cmnd/tasmota_49A3BC/POWER2", "ON"), ("cmnd/tasmota_49A3BC/Dimmer", "50")]);
    bench.publish("stat/tasmota_49A3BC/RESULT", r#"{"POWER2":"ON"}"#);
    assert_eq!(bench.outcome(request), None);
    bench.publish("stat/tasmota_49A3BC/RESULT", r#"{"POWER2":"ON","Dimmer":50,"HSBColor":"120,100,50"}"#);
    assert_eq!(bench.outcome(request), Some(Ok(())));
    let (late, _) = bench.set(node.number, &[(0, Value::Boolean(false))]);
    bench.advance(10_100);
    assert!(bench.outcome(late).unwrap().unwrap_err().contains("did not confirm power1 = false within 10 s"));
}

#[test]
fn shutters_tell_where_they_go() {
    let mut bench = Bench::online(SETTINGS);
    announce(&mut bench, &PLUG.replace("[1,0,0", "[3,3,1"), "{}");
    let node = bench.node();
    assert_eq!(names(&node)[..3], ["power", "shutter1/position", "shutter1/target"]);
    let (request, sent) = bench.set(node.number, &[(2, Value::Decimal(Decimal::new(30, 0)))]);
    let [Sent::Publish { topic, payload, .. }] = &sent[..] else { panic!() };
    assert_eq!((topic.as_str(), payload.as_str()), ("cmnd/tasmota_49A3BC/ShutterPosition1", "30"));
    bench.publish("stat/tasmota_49A3BC/RESULT", r#"{"Shutter1":{"Position":100,"Direction":-1,"Target":30}}"#);
    assert_eq!(bench.outcome(request), Some(Ok(())));
    let (request, sent) = bench.invoke(node.number, "shutter1_stop");
    let [Sent::Publish { topic, id, .. }] = &sent[..] else { panic!() };
    assert_eq!(topic, "cmnd/tasmota_49A3BC/ShutterStop1");
    bench.ack(Ack::Puback, *id);
    assert_eq!(bench.outcome(request), Some(Ok(())));
}

#[test]
fn an_empty_configuration_takes_the_node_away_and_a_swap_keeps_it() {
    let mut bench = Bench::online(SETTINGS);
    announce(&mut bench, PLUG, SENSORS);
    let node = bench.node();
    let open = [bench.connection];
    let mut bench = Bench { harness: bench.harness.swap(&open, &[]).unwrap(), ..bench };
    assert_eq!((bench.node().id, bench.node().fields.len()), (node.id.clone(), node.fields.len()));
    assert_eq!(bench.sent(), []);
    bench.publish("tasmota/discovery/00000049A3BC/config", "");
    assert!(bench.harness.actions.contains(&Action::RemoveNode(node.number)));
}

#[test]
fn hostile_configurations_are_survived() {
    let mut bench = Bench::online(SETTINGS);
    for config in [
        "7",
        "[]",
        "{",
        r#"{"ft":"%prefix%/#/","t":"x","dn":"x"}"#,
        r#"{"ft":"%prefix%/%topic%/","t":"","dn":"x"}"#,
        r#"{"ft":7,"t":[]}"#,
        &"[".repeat(5000),
    ] {
        announce(&mut bench, config, SENSORS);
        assert!(bench.harness.nodes().is_empty() && bench.warnings().len() == 1, "{config}");
    }
    let sensors: Vec<String> = (0..3000).map(|number| format!(r#""s{number}":{number}"#)).collect();
    announce(&mut bench, PLUG, &format!(r#"{{"sn":{{{}}}}}"#, sensors.join(",")));
    assert_eq!(bench.node().fields.len(), 1 + 256 + 3);
}
