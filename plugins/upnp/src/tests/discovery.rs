//! Who is there, and what becomes of it.

use tombolo_sdk::{NodeState, ReasonCode, Value, ValueType};

use super::bench::{Bench, HOST};
use super::lamp::Lamp;

#[test]
fn devices_are_searched_for_twice_and_then_from_time_to_time() {
    let mut bench = Bench::new(r#"{"search_s": 100}"#, true);
    assert_eq!(bench.opened, [1, 2]);
    bench.open();
    assert!(bench.sent[0].starts_with("M-SEARCH * HTTP/1.1\r\n") && bench.sent[0].contains("ST: upnp:rootdevice\r\n"));
    bench.advance_s(1);
    assert_eq!(bench.sent.len(), 2);
    bench.advance_s(98);
    assert_eq!(bench.sent.len(), 2);
    bench.advance_s(3);
    assert_eq!(bench.sent.len(), 4);
}

#[test]
fn a_device_becomes_a_node_with_fields_and_commands() {
    let bench = Bench::with_lamp();
    let node = bench.node();
    assert!(node.id.starts_with("desk-lamp-"), "{}", node.id);
    assert_eq!(
        (node.label.as_str(), node.node_type.as_str(), node.state),
        ("Desk Lamp", "upnp.BinaryLight.1", NodeState::Online)
    );
    let fields: Vec<_> =
        node.fields.iter().map(|field| (field.name.as_str(), field.value_type, field.control.is_some())).collect();
    let expected = [
        ("SwitchPower/Status", ValueType::Boolean, true),
        ("SwitchPower/Blink/Done", ValueType::Int64, false),
        ("Sensor/CurrentTemperature", ValueType::Quantity, false),
        ("Sensor/Name", ValueType::Text, true),
    ];
    assert_eq!(fields, expected);
    assert_eq!(node.fields[2].unit, "°C");
    let extras: Vec<_> = node.extras.iter().map(|extra| (extra.key.as_str(), extra.value.as_str())).collect();
    assert!(extras.contains(&("MAN", "Maker")) && extras.contains(&("upnp.udn", "uuid:lamp")), "{extras:?}");
    assert_eq!(
        node.commands.iter().map(|command| command.name.as_str()).collect::<Vec<_>>(),
        ["query.SwitchPower/Blink"]
    );
}

#[test]
fn embedded_devices_stand_below_their_root() {
    let mut bench = Bench::new("{}", true);
    bench.open();
    let mut lamp = Lamp::new(HOST, "uuid:lamp");
    lamp.embedded =
        "<deviceList><device><UDN>uuid:inner</UDN><friendlyName>Inner</friendlyName></device></deviceList>".into();
    bench.lamps.push(lamp);
    bench.announce(0);
    let root = bench.node().clone();
    let inner = bench.nodes.values().find(|node| node.parent == Some(root.number)).unwrap();
    assert!(inner.id.starts_with(&format!("{}/inner-", root.id)));
}

#[test]
fn a_device_that_says_goodbye_or_falls_silent_is_offline_and_comes_back() {
    let mut bench = Bench::with_lamp();
    let bytes = bench.lamps[0].byebye();
    bench.datagram("192.0.2.7:1900", &bytes);
    assert_eq!(bench.state(), NodeState::Offline);
    bench.announce(0);
    bench.advance_s(5);
    assert_eq!((bench.state(), bench.lamps[0].subscriptions), (NodeState::Online, 2));
    bench.advance_s(1801);
    assert_eq!(bench.state(), NodeState::Offline);
    bench.advance_s(8 * 86_400);
    assert!(bench.nodes.is_empty(), "after a week it is forgotten");
}

#[test]
fn a_goodbye_by_somebody_else_is_looked_into() {
    let mut bench = Bench::with_lamp();
    let bytes = bench.lamps[0].byebye();
    for _ in 0..100 {
        bench.datagram("192.0.2.66:1900", &bytes);
        bench.advance_s(1);
    }
    assert_eq!((bench.state(), bench.lamps[0].fetches, bench.lamps[0].subscriptions), (NodeState::Online, 5, 1));
    bench.lamps.clear();
    bench.advance_s(20);
    bench.datagram("192.0.2.66:1900", &bytes);
    bench.advance_s(2);
    assert_eq!(bench.state(), NodeState::Offline);
}

#[test]
fn a_device_that_started_again_is_read_and_subscribed_to_again() {
    let mut bench = Bench::with_lamp();
    let number = bench.node().number;
    let first = bench.lamps[0].alive("BOOTID.UPNP.ORG: 1\r\n");
    bench.datagram("192.0.2.7:1900", &first);
    assert_eq!(
        (bench.lamps[0].fetches, bench.lamps[0].subscriptions),
        (1, 1),
        "a number that is told for the first time is no news"
    );
    let second = bench.lamps[0].alive("BOOTID.UPNP.ORG: 2\r\n");
    bench.lamps[0].name = "Renamed".into();
    bench.datagram("192.0.2.7:1900", &second);
    bench.advance_s(5);
    assert_eq!((bench.lamps[0].fetches, bench.lamps[0].subscriptions), (2, 2));
    assert_eq!((bench.node().number, bench.node().label.as_str()), (number, "Renamed"));
    assert!(bench.node().id.starts_with("desk-lamp-"), "it keeps its id");
}

#[test]
fn a_device_that_is_configured_anew_keeps_its_subscription() {
    let mut bench = Bench::with_lamp();
    for (number, fetches) in [(1, 1), (2, 2)] {
        let bytes = bench.lamps[0].alive(&format!("CONFIGID.UPNP.ORG: {number}\r\n"));
        bench.datagram("192.0.2.7:1900", &bytes);
        bench.advance_s(6);
        assert_eq!(bench.lamps[0].fetches, fetches);
    }
    assert_eq!(bench.lamps[0].subscriptions, 1);
    assert!(bench.lamps[0].called.contains(&"RENEW".to_owned()));
}

#[test]
fn a_boot_id_that_is_told_before_is_no_start() {
    let mut bench = Bench::with_lamp();
    let bytes = bench.lamps[0].alive("BOOTID.UPNP.ORG: 1\r\n");
    bench.datagram("192.0.2.7:1900", &bytes);
    let update = String::from_utf8(bench.lamps[0].alive("BOOTID.UPNP.ORG: 1\r\nNEXTBOOTID.UPNP.ORG: 2\r\n")).unwrap();
    bench.datagram("192.0.2.7:1900", update.replace("ssdp:alive", "ssdp:update").as_bytes());
    let bytes = bench.lamps[0].alive("BOOTID.UPNP.ORG: 2\r\n");
    bench.datagram("192.0.2.7:1900", &bytes);
    assert_eq!(bench.lamps[0].fetches, 1);
}

#[test]
fn a_device_that_does_not_answer_is_offline_until_it_does() {
    let mut bench = Bench::with_lamp();
    let node = bench.node().number;
    let lamp = bench.lamps.pop().unwrap();
    let request = bench.write(node, &[(0, Value::Boolean(true))]);
    assert_eq!(bench.ended[&request].as_ref().unwrap_err().code, ReasonCode::Unreachable);
    assert_eq!(bench.state(), NodeState::Offline);
    bench.lamps.push(lamp);
    bench.advance_s(6);
    assert_eq!(bench.state(), NodeState::Online);
}

#[test]
fn a_device_that_moved_is_found_at_its_new_place() {
    let mut bench = Bench::with_lamp();
    bench.lamps[0].authority = "192.0.2.8:8000".into();
    bench.announce(0);
    assert_eq!(bench.lamps[0].fetches, 1, "what works is used");
    let node = bench.node().number;
    bench.write(node, &[(0, Value::Boolean(true))]);
    bench.advance_s(6);
    assert_eq!((bench.lamps[0].fetches, bench.state()), (2, NodeState::Online));
}

#[test]
fn who_claims_to_be_a_device_that_answers_is_not_asked() {
    let mut bench = Bench::with_lamp();
    let own = bench.lamps[0].alive("BOOTID.UPNP.ORG: 1\r\n");
    bench.datagram("192.0.2.7:1900", &own);
    let thief = Lamp::new("192.0.2.66", "uuid:lamp");
    for number in 2..1000 {
        bench.datagram("192.0.2.66:1900", &thief.alive(&format!("BOOTID.UPNP.ORG: {number}\r\n")));
    }
    bench.advance_s(10);
    assert!(
        bench.strays.is_empty() && bench.lamps[0].fetches <= 3,
        "the place that is known is asked, and not for each claim"
    );
    assert_eq!(bench.state(), NodeState::Online);
}

#[test]
fn only_types_that_are_wanted_are_shown() {
    let mut bench = Bench::new(r#"{"device_types": ["*:MediaServer:*"]}"#, true);
    bench.open();
    bench.lamps.push(Lamp::new(HOST, "uuid:lamp"));
    bench.announce(0);
    assert!(bench.nodes.is_empty() && bench.lamps[0].fetches == 1);
}

#[test]
fn a_description_that_cannot_be_read_is_asked_for_again() {
    let mut bench = Bench::new("{}", true);
    bench.open();
    let lamp = Lamp { description: Some("<html>busy</html>".into()), ..Lamp::new(HOST, "uuid:lamp") };
    bench.lamps.push(lamp);
    bench.announce(0);
    assert!(bench.nodes.is_empty() && bench.warnings[0].contains("has no device"), "{:?}", bench.warnings);
    bench.lamps[0].description = None;
    bench.advance_s(6);
    assert_eq!((bench.nodes.len(), bench.warnings.len()), (1, 1));
}

#[test]
fn a_group_that_was_closed_is_joined_again() {
    let mut bench = Bench::with_lamp();
    bench.event(tombolo_sdk::Event::Closed(tombolo_sdk::events::Closed { connection: 1, reason: None }));
    bench.advance_s(3);
    assert_eq!(bench.opened, [1]);
    let before = bench.sent.len();
    bench.open();
    assert_eq!(bench.sent.len(), before + 1);
}
