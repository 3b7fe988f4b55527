//! What a client library sees that knows nothing of us: slixmpp's own xep_0030, xep_0323 and xep_0325.

use serde_json::json;
use tombolo_dev::devices::Household;
use tombolo_tests::service::SOON;
use tombolo_tests::world::{ALICE, SERVICE, World, values};

#[test]
fn discovers_reads_and_controls_devices_that_announced_themselves() {
    let (world, _service) = World::running().unwrap();
    let household = Household::start(&world.broker).unwrap();
    let alice = world.peer(ALICE).unwrap();

    let info = alice.ask("info", json!({"to": SERVICE})).unwrap();
    let features = info["features"].to_string();
    for feature in
        ["urn:xmpp:iot:sensordata", "urn:xmpp:iot:control", "urn:xmpp:iot:concentrators", "urn:nf:iot:sd:1.0"]
    {
        assert!(features.contains(feature), "{feature} is missing in {features}");
    }
    world.await_value(&alice, "coffee-machine", "power", "0.0").unwrap();
    world.await_value(&alice, "bathroom-thermostat", "setpoint", "20.0").unwrap();

    let answer = alice
        .ask("set", json!({"to": SERVICE, "nodes": ["coffee-machine"], "fields": [["switch", "boolean", "true"]]}))
        .unwrap();
    assert_eq!(answer["result"], "OK", "{answer}");
    assert_eq!(household.heard.wait("sim/plug-1/switch/set", SOON).as_deref(), Some("ON"));
    world.await_value(&alice, "coffee-machine", "power", "1260.5").unwrap();

    let answer = alice
        .ask(
            "set",
            json!({"to": SERVICE, "nodes": ["bathroom-thermostat"], "fields": [["setpoint", "double", "22.5"]]}),
        )
        .unwrap();
    assert_eq!(answer["result"], "OK", "{answer}");
    assert_eq!(household.heard.wait("sim/thermostat-1/setpoint/set", SOON).as_deref(), Some("22.5"));
    world.await_value(&alice, "bathroom-thermostat", "setpoint", "22.5").unwrap();
}

#[test]
fn a_device_that_begins_to_retain_what_it_says_is_still_heard() {
    let (world, _service) = World::running().unwrap();
    let alice = world.peer(ALICE).unwrap();
    for (value, is_retained) in [("1", true), ("2", false), ("3", true), ("4", true)] {
        world.broker.publish("lamp/level", value, is_retained).unwrap();
        world.await_value(&alice, "lamp", "Level", value).unwrap();
    }
}

#[test]
fn reads_all_nodes_when_none_is_named_and_keeps_decimals() {
    let (world, _service) = World::running().unwrap();
    world.broker.publish("rooms/attic/climate", r#"{"t":21.50}"#, true).unwrap();
    world.broker.publish("lamp/level", "40", true).unwrap();
    let alice = world.peer(ALICE).unwrap();
    world.await_value(&alice, "rooms/attic/climate", "Temperature", "21.50").unwrap();
    world.await_value(&alice, "lamp", "Level", "40").unwrap();
    let all = alice.ask("read", json!({"to": SERVICE, "flags": {"momentary": "true"}})).unwrap();
    let seen = values(&all);
    assert!(
        seen.iter().any(|(node, ..)| node == "lamp") && seen.iter().any(|(node, ..)| node == "rooms/attic/climate"),
        "{all}"
    );
    assert_eq!(all["seen"].as_array().unwrap().last().unwrap()["result"], "done");
}

#[test]
fn a_parameter_out_of_range_or_unknown_is_refused_and_the_device_hears_nothing() {
    let (world, _service) = World::running().unwrap();
    world.broker.publish("lamp/level", "40", true).unwrap();
    let alice = world.peer(ALICE).unwrap();
    world.await_value(&alice, "lamp", "Level", "40").unwrap();
    let told = world.broker.subscriber("lamp/+/set", |_| {}).unwrap();
    let set = |name: &str, kind: &str, value: &str| {
        let answer =
            alice.ask("set", json!({"to": SERVICE, "nodes": ["lamp"], "fields": [[name, kind, value]]})).unwrap();
        answer["result"].as_str().unwrap().to_owned()
    };
    assert_ne!(set("Level", "int", "101"), "OK");
    assert_ne!(set("Level", "int", "loud"), "OK");
    assert_eq!(set("Volume", "int", "3"), "NotFound");
    assert_eq!(set("Level", "int", "99"), "OK");
    let heard = told.lines.wait_from(0, SOON, |line| line.starts_with("lamp/level/set ")).unwrap();
    assert_eq!(heard, "lamp/level/set 99");
}

#[test]
fn a_command_by_message_is_carried_out_without_an_answer() {
    let (world, _service) = World::running().unwrap();
    world.broker.publish("lamp/power", "OFF", true).unwrap();
    let alice = world.peer(ALICE).unwrap();
    world.await_value(&alice, "lamp", "Power", "false").unwrap();
    let told = world.broker.subscriber("lamp/power/set", |_| {}).unwrap();
    alice.ask("command", json!({"to": SERVICE, "nodes": ["lamp"], "fields": [["Power", "boolean", "true"]]})).unwrap();
    told.expect("lamp/power/set ON", SOON).unwrap();
}

#[test]
fn a_subscription_brings_readings_until_it_is_taken_back() {
    let (world, _service) = World::running().unwrap();
    world.broker.publish("rooms/attic/climate", r#"{"t":20.1}"#, true).unwrap();
    let alice = world.peer(ALICE).unwrap();
    world.await_value(&alice, "rooms/attic/climate", "Temperature", "20.1").unwrap();
    let subscribe = format!(
        "<iq type='set' id='s1' to='{SERVICE}'><subscribe xmlns='urn:nf:iot:events:1.0' id='e1' m='true'>\
         <nd id='rooms/attic/climate' src='home'/><f n='Temperature' by='0.5'/></subscribe></iq>"
    );
    let answer = alice.exchange("s1", &subscribe).unwrap();
    assert!(answer.contains("<accepted") && answer.contains("urn:nf:iot:sd:1.0"), "{answer}");

    let mark = alice.mark();
    world.broker.publish("rooms/attic/climate", r#"{"t":20.3}"#, true).unwrap();
    world.broker.publish("rooms/attic/climate", r#"{"t":20.7}"#, true).unwrap();
    let reading = alice.wait_stanza(mark, |stanza| stanza.contains("urn:nf:iot:sd:1.0")).unwrap();
    assert!(
        reading.contains("20.7") && reading.contains("id=\"e1\""),
        "the change of 0.2 was below the threshold: {reading}"
    );

    let unsubscribe =
        format!("<iq type='set' id='s2' to='{SERVICE}'><unsubscribe xmlns='urn:nf:iot:events:1.0' id='e1'/></iq>");
    assert!(alice.exchange("s2", &unsubscribe).unwrap().contains("type=\"result\""));
    let mark = alice.mark();
    world.broker.publish("rooms/attic/climate", r#"{"t":30.0}"#, true).unwrap();
    world.await_value(&alice, "rooms/attic/climate", "Temperature", "30.0").unwrap();
    assert!(alice.stanzas(mark).iter().all(|stanza| !stanza.contains("id=\"e1\"")));
}
