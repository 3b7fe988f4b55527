//! Devices and strangers that mean ill, or do it badly: everything has a bound.

use super::bench::{Bench, HOST};
use super::lamp::{Lamp, SWITCH_SCPD};

fn alive(host: &str, udn: &str, location: &str) -> Vec<u8> {
    let lamp = Lamp::new(host, udn);
    String::from_utf8(lamp.alive("")).unwrap().replace(&lamp.location(), location).into_bytes()
}

#[test]
fn a_flood_of_announcements_is_bounded() {
    let mut bench = Bench::new(r#"{"max_devices": 50}"#, true);
    bench.open();
    bench.held = Some(Vec::new());
    for number in 0..5000 {
        bench.datagram(
            &format!("{HOST}:1900"),
            &alive(HOST, &format!("uuid:{number}"), &format!("http://{HOST}:{}/", number % 60_000 + 1)),
        );
    }
    assert!(bench.held.as_ref().unwrap().len() <= 16);
    assert_eq!(bench.warnings.len(), 1, "{:?}", bench.warnings);
    bench.release();
    bench.lamps.push(Lamp::new("192.0.2.8", "uuid:lamp"));
    bench.advance_s(61);
    bench.announce(0);
    bench.advance_s(10);
    assert_eq!(bench.nodes.len(), 1, "who cannot be described makes room");
}

#[test]
fn a_description_of_somebody_else_is_refused() {
    let mut bench = Bench::with_lamp();
    let mut thief = Lamp::new("192.0.2.66", "uuid:thief");
    thief.embedded = "<deviceList><device><UDN>uuid:lamp</UDN></device></deviceList>".into();
    bench.lamps.push(thief);
    bench.announce(1);
    let mut liar = Lamp::new("192.0.2.67", "uuid:liar");
    liar.description = Some(Lamp::new("192.0.2.67", "uuid:other").described());
    bench.lamps.push(liar);
    bench.announce(2);
    assert_eq!(bench.nodes.len(), 1);
    assert!(
        bench.warnings.iter().any(|text| text.contains("device of its own"))
            && bench.warnings.iter().any(|text| text.contains("another device"))
    );
}

#[test]
fn bombs_are_not_unpacked() {
    let bomb = "<!DOCTYPE root [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><root><device><UDN>uuid:lamp</UDN><friendlyName>&b;</friendlyName></device></root>";
    let mut bench = Bench::new("{}", true);
    bench.open();
    bench.lamps.push(Lamp { description: Some(bomb.into()), ..Lamp::new(HOST, "uuid:lamp") });
    bench.announce(0);
    assert!(bench.nodes.is_empty() && bench.warnings[0].contains("document type"), "{:?}", bench.warnings);
}

#[test]
fn urls_elsewhere_are_not_used() {
    let mut bench = Bench::new("{}", true);
    bench.open();
    let mut lamp = Lamp::new(HOST, "uuid:lamp");
    lamp.description = Some(
        lamp.described()
            .replace("/switch/control", "http://192.0.2.99/steal")
            .replace("/switch/event", "http://192.0.2.99/flood"),
    );
    bench.lamps.push(lamp);
    bench.announce(0);
    let node = bench.node().number;
    let request = bench.write(node, &[(0, tombolo_sdk::Value::Boolean(true))]);
    assert!(bench.ended[&request].is_err() && bench.strays.is_empty());
}

#[test]
fn a_service_that_is_too_large_is_left_out() {
    let mut bench = Bench::new("{}", true);
    bench.open();
    let mut lamp = Lamp::new(HOST, "uuid:lamp");
    lamp.description = Some(format!("<root>{}</root>", "x".repeat(600 * 1024)));
    bench.lamps.push(lamp);
    bench.announce(0);
    assert!(bench.nodes.is_empty() && bench.warnings[0].contains("longer than"));
    assert!(SWITCH_SCPD.len() < 10_000);
}

#[test]
fn nonsense_is_answered_and_forgotten() {
    let mut bench = Bench::with_lamp();
    let (callback, sid, sequence) = bench.lamps[0].subscriber.clone().unwrap();
    for body in
        ["", "<", "<propertyset/>", "<x/>", "<propertyset><property><Status>maybe</Status></property></propertyset>"]
    {
        let headers = crate::codec::gena::notify(&sid, sequence);
        let call = tombolo_sdk::events::HttpCall {
            method: "NOTIFY".into(),
            target: String::new(),
            headers,
            body: body.into(),
        };
        let request = bench.request(&format!("{HOST}:1"), &callback, call);
        assert!(matches!(bench.replies[&request], 200 | 400), "{body}");
    }
    for bytes in [&b""[..], b"NOTIFY", b"NOTIFY * HTTP/1.1\r\nNTS: ssdp:byebye\r\nUSN: uuid:\r\n\r\n", &[0xff; 9000]] {
        bench.datagram("192.0.2.7:1900", bytes);
    }
    assert_eq!(bench.nodes.len(), 1);
}

#[test]
fn a_device_that_answers_with_nonsense_is_told_so() {
    let mut bench = Bench::with_lamp();
    let node = bench.node().number;
    bench.lamps[0].temperature = "warm".into();
    let request = bench.read(&[node], &["Sensor/CurrentTemperature"]);
    assert!(bench.ended[&request].is_ok());
    bench.read(&[node], &["Sensor/CurrentTemperature"]);
    assert_eq!(bench.warnings.iter().filter(|text| text.contains("does not fit")).count(), 1);
}
