//! What a device or a broker sends: bytes to the mappers, natively.

use tombolo_mqtt::Mqtt;
use tombolo_sdk::testing::Harness;
use tombolo_sdk::{Action, Event, Mapper};
use tombolo_thermometer::Thermometer;

const SETTINGS: &str = r#"{"version":"3.1.1","client_id":"f","devices":[{"node":"r/{room}","fields":[
    {"name":"T","topic":"r/{room}","pointer":"/t","type":"quantity"},{"name":"X","topic":"x/{room}","template":"{{ value | float }}"}]}]}"#;
const CONVENTIONS: &str = r#"{"version":"3.1.1","client_id":"f","max_nodes":50,
    "conventions":["homeassistant","zigbee2mqtt","tasmota","shelly","homie","sparkplug"]}"#;
const SPARKPLUG: [&str; 6] = [
    "spBv1.0/g/NBIRTH/e",
    "spBv1.0/g/NDATA/e",
    "spBv1.0/g/NDEATH/e",
    "spBv1.0/g/DBIRTH/e/d",
    "spBv1.0/g/DDATA/e/d",
    "spBv1.0/g/DDEATH/e/d",
];
/// MQTT 3.1.1: accepted, no session.
const CONNACK: &[u8] = &[0x20, 2, 0, 0];

/// The connection that a mapper opened last.
fn opened<M: Mapper>(harness: &Harness<M>) -> u64 {
    let open = harness.actions.iter().rev().find_map(|action| match action {
        Action::Open(open) => Some(open.connection),
        _ => None,
    });
    open.unwrap_or(1)
}

fn connected(settings: &str) -> Option<(Harness<Mqtt>, u64)> {
    let mut harness = Harness::<Mqtt>::fresh(settings).ok()?;
    let connection = opened(&harness);
    harness.event(Event::Opened(connection));
    Some((harness, connection))
}

/// From the first byte on, in pieces of seven.
pub(crate) fn bytes(bytes: &[u8]) {
    let Some((mut harness, connection)) = connected(SETTINGS) else { return };
    for piece in bytes.chunks(7) {
        harness.data(connection, piece);
    }
    let _ = harness.mapper.carry_over();
}

/// Lines of topic, space, payload as messages after a good beginning: mapping, discovery, templates.
pub(crate) fn messages(bytes: &[u8]) {
    let Some((mut harness, connection)) = connected(SETTINGS) else { return };
    harness.data(connection, CONNACK);
    for line in bytes.split(|byte| *byte == b'\n') {
        let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (topic, payload) = line.split_at(end);
        harness.data(connection, publish(topic, payload.get(1..).unwrap_or_default()));
    }
    let state = harness.mapper.carry_over();
    let again = harness.swap(&[connection], &[]).expect("a state of its own can always be read");
    assert_eq!(again.mapper.carry_over().version, state.version);
}

/// The same for devices of every convention, with a swap after each message: what is kept of them can be read again.
pub(crate) fn conventions(bytes: &[u8]) {
    let Some((mut harness, connection)) = connected(CONVENTIONS) else { return };
    harness.data(connection, CONNACK);
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (topic, payload) = line.split_at(end);
        harness.data(connection, publish(topic, payload.get(1..).unwrap_or_default()));
    }
    harness = harness.swap(&[connection], &[]).expect("a state of its own can always be read");
    harness.advance(60_000);
}

/// Messages of Sparkplug B: a byte for the topic, two for the length, the payload.
pub(crate) fn sparkplug(bytes: &[u8]) {
    let Some((mut harness, connection)) = connected(CONVENTIONS) else { return };
    harness.data(connection, CONNACK);
    let mut rest = bytes;
    while let [verb, high, low, after @ ..] = rest {
        let length = (usize::from(*high) << 8 | usize::from(*low)).min(after.len());
        let (payload, next) = after.split_at(length);
        let topic = SPARKPLUG[usize::from(*verb) % SPARKPLUG.len()];
        harness.data(connection, publish(topic.as_bytes(), payload));
        rest = next;
    }
    harness = harness.swap(&[connection], &[]).expect("a state of its own can always be read");
    harness.advance(60_000);
}

/// QoS 0.
fn publish(topic: &[u8], payload: &[u8]) -> Vec<u8> {
    let topic = topic.get(..topic.len().min(1000)).unwrap_or_default();
    let payload = payload.get(..payload.len().min(10_000)).unwrap_or_default();
    let mut packet = vec![0x30];
    let mut length = topic.len() + payload.len() + 2;
    while length >= 0x80 {
        packet.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    packet.push(length as u8);
    packet.extend([(topic.len() >> 8) as u8, topic.len() as u8]);
    packet.extend(topic.iter().chain(payload));
    packet
}

/// The operator's settings, and whatever follows from them.
pub(crate) fn settings(bytes: &[u8]) {
    let Some((mut harness, connection)) = std::str::from_utf8(bytes).ok().and_then(connected) else { return };
    harness.data(connection, CONNACK);
    harness.data(connection, publish(b"r/a", b"{\"t\":1}"));
    let _ = harness.mapper.carry_over();
}

pub(crate) fn thermometer(bytes: &[u8]) {
    let Ok(mut harness) = Harness::<Thermometer>::fresh("{}") else { return };
    let connection = opened(&harness);
    harness.event(Event::Opened(connection));
    for piece in bytes.chunks(5) {
        harness.data(connection, piece);
    }
}
