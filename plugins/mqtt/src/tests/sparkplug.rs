//! Sparkplug B: births, data, deaths, commands; messages in the shape of the specification's examples.

use tombolo_sdk::{Action, Decimal, Event, NodeState, Value, ValueType};

use super::broker::{Bench, field, names};
use crate::codec::{self, Message, Qos};
use crate::mapping::play::{double, float, message, metric, properties, text, varint};

const SETTINGS: &str = r#"{"conventions": ["sparkplug"]}"#;
const BOOLEAN: u64 = 11;

fn tell_bytes(bench: &Bench, topic: &str, payload: Vec<u8>) -> Vec<u8> {
    let message = Message { topic: format!("spBv1.0/{topic}"), payload, qos: Qos::AtMostOnce, retain: false };
    codec::write_publish(&message, 0, false, bench.version).unwrap()
}

/// Gives what the plugin publishes in answer.
fn tell(bench: &mut Bench, topic: &str, seq: Option<u64>, metrics: &[Vec<u8>]) -> Vec<(String, Vec<u8>)> {
    let bytes = tell_bytes(bench, topic, message(seq, metrics));
    bench.harness.data(bench.connection, bytes);
    published(bench)
}

fn published(bench: &Bench) -> Vec<(String, Vec<u8>)> {
    let bytes = bench.harness.sent(bench.connection);
    let (mut rest, mut found) = (bytes.as_slice(), Vec::new());
    while let Some((frame, length)) = codec::split(rest, 1 << 20).unwrap() {
        if frame.first >> 4 == 3
            && let Ok(codec::Packet::Publish(publish)) = codec::read(frame, bench.version)
        {
            found.push((publish.topic.to_owned(), publish.payload.to_vec()));
        }
        rest = &rest[length..];
    }
    found
}

fn birth_of(bd: u64) -> Vec<Vec<u8>> {
    vec![
        metric("bdSeq", None, 4, varint(11, bd)),
        metric("Node Control/Rebirth", None, BOOLEAN, varint(14, 0)),
        metric("Properties/Hardware Make", None, 12, text("Acme")),
        metric("Supply Voltage", Some(1), 9, float(12.1)),
        metric("Trend", Some(2), 16, |_| {}),
    ]
}

fn device_birth() -> Vec<Vec<u8>> {
    vec![
        metric("Inputs/Temperature", Some(10), 10, properties("°C", true, double(21.5))),
        metric("Outputs/Valve", Some(11), BOOLEAN, varint(14, 0)),
        metric("Outputs/Setpoint", Some(12), 9, float(20.5)),
        metric("Count", Some(13), 1, varint(10, 0xFF)),
    ]
}

fn is_rebirth(told: &[(String, Vec<u8>)], edge: &str) -> bool {
    told.iter().any(|(topic, payload)| {
        topic == &format!("spBv1.0/plant/NCMD/{edge}")
            && payload.windows(20).any(|window| window == b"Node Control/Rebirth")
    })
}

/// An edge node with a device.
fn born() -> Bench {
    let mut bench = Bench::online(SETTINGS);
    assert!(tell(&mut bench, "plant/NBIRTH/edge 1", Some(0), &birth_of(3)).is_empty());
    assert!(tell(&mut bench, "plant/DBIRTH/edge 1/boiler", Some(1), &device_birth()).is_empty());
    bench
}

#[test]
fn births_are_nodes() {
    let mut bench = Bench::online(SETTINGS);
    tell(&mut bench, "plant/NBIRTH/edge 1", Some(0), &birth_of(3));
    let node = bench.node();
    assert_eq!((node.id.as_str(), node.label.as_str(), node.state), ("plant/edge-1", "edge 1", NodeState::Online));
    assert_eq!(names(&node), ["Node Control/Rebirth", "Properties/Hardware Make", "Supply Voltage"]);
    assert_eq!(node.extras[0].value, "Acme");
    assert_eq!(node.commands[0].name, "rebirth");
    assert_eq!(bench.values(), [(0, "false".into()), (1, "Acme".into()), (2, "12.1".into())]);
    tell(&mut bench, "plant/DBIRTH/edge 1/boiler", Some(1), &device_birth());
    let node = bench.node();
    assert_eq!((node.id.as_str(), node.state), ("plant/edge-1/boiler", NodeState::Online));
    let temperature = field(&node, "Inputs/Temperature").1;
    assert_eq!((temperature.unit.as_str(), temperature.control.is_some()), ("°C", false));
    assert_eq!(field(&node, "Count").1.value_type, ValueType::Int32);
    assert_eq!(field(&node, "Count").1.control.as_ref().unwrap().minimum, Some(-128.0));
    assert_eq!(bench.values()[3], (3, "-1".to_owned()));
    let report = &bench.harness.reports()[0].reading;
    assert_eq!(report.at, 1_700_000_000_000_000);
}

#[test]
fn data_goes_by_alias() {
    let mut bench = born();
    let told = tell(&mut bench, "plant/DDATA/edge 1/boiler", Some(2), &[metric("", Some(10), 10, double(22.25))]);
    assert!(told.is_empty());
    assert_eq!(bench.values(), [(0, "22.25".to_owned())]);
    let told = tell(&mut bench, "plant/NDATA/edge 1", Some(3), &[metric("", Some(2), 16, |_| {})]);
    assert!(told.is_empty() && bench.harness.reports().is_empty(), "what is not shown was born all the same");
}

#[test]
fn a_late_starter_asks_for_a_rebirth_once_in_a_while() {
    let mut bench = Bench::online(SETTINGS);
    let data = [metric("", Some(10), 10, double(22.25))];
    assert!(is_rebirth(&tell(&mut bench, "plant/NDATA/edge 1", Some(9), &data), "edge 1"));
    assert!(bench.harness.nodes().is_empty() && bench.harness.reports().is_empty());
    assert!(tell(&mut bench, "plant/DDATA/edge 1/boiler", Some(10), &data).is_empty());
    bench.advance(10_000);
    assert!(is_rebirth(&tell(&mut bench, "plant/DDATA/edge 1/boiler", Some(11), &data), "edge 1"));
    tell(&mut bench, "plant/NBIRTH/edge 1", Some(0), &birth_of(1));
    assert_eq!(bench.node().id, "plant/edge-1");
}

#[test]
fn gaps_strangers_and_lies_are_answered_by_a_rebirth() {
    let device = [metric("", Some(10), 10, double(22.25))];
    for (topic, seq, metrics) in [
        ("plant/DDATA/edge 1/boiler", Some(7), &device[..]),
        ("plant/DDATA/edge 1/boiler", None, &device[..]),
        ("plant/DDATA/edge 1/boiler", Some(258), &device[..]),
        ("plant/DDATA/edge 1/boiler", Some(u64::MAX), &device[..]),
        ("plant/DDATA/edge 1/stranger", Some(2), &device[..]),
        ("plant/DDATA/edge 1/boiler", Some(2), &[metric("", Some(99), 10, double(1.0))]),
        ("plant/DDATA/edge 1/boiler", Some(2), &[metric("never born", None, 10, double(1.0))]),
    ] {
        let mut bench = born();
        assert!(is_rebirth(&tell(&mut bench, topic, seq, metrics), "edge 1"), "{topic} {seq:?}");
    }
    let mut bench = born();
    (2..600_u64).for_each(|seq| {
        let told = tell(&mut bench, "plant/DDATA/edge 1/boiler", Some(seq % 256), &device);
        assert!(told.is_empty(), "{seq}");
    });
}

#[test]
fn deaths_take_offline_and_only_their_own_session() {
    let mut bench = born();
    tell(&mut bench, "plant/DDEATH/edge 1/boiler", Some(2), &[]);
    assert_eq!(bench.states(), [NodeState::Offline]);
    tell(&mut bench, "plant/DBIRTH/edge 1/boiler", Some(3), &device_birth());
    assert_eq!(bench.states(), [NodeState::Online]);
    tell(&mut bench, "plant/NDEATH/edge 1", None, &[metric("bdSeq", None, 4, varint(11, 2))]);
    assert_eq!(bench.states(), []);
    tell(&mut bench, "plant/NDEATH/edge 1", None, &[metric("bdSeq", None, 4, varint(11, 3))]);
    assert_eq!(bench.states(), [NodeState::Offline, NodeState::Offline]);
    tell(&mut bench, "plant/NBIRTH/edge 1", Some(0), &birth_of(4));
    assert_eq!(bench.states(), [NodeState::Online], "its device has to be born again");
}

#[test]
fn commands_go_by_alias_and_the_metric_confirms() {
    let mut bench = born();
    let node = bench.node();
    let (request, _) = bench.set(node.number, &[(1, Value::Boolean(true)), (2, Value::Decimal(Decimal::new(213, 1)))]);
    let told = published(&bench);
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|(topic, _)| topic == "spBv1.0/plant/DCMD/edge 1/boiler"));
    assert!(told[0].1.ends_with(&[16, 11, 0x20, 11, 0x70, 1]) || !told[0].1.is_empty());
    assert_eq!(bench.outcome(request), None);
    tell(&mut bench, "plant/DDATA/edge 1/boiler", Some(2), &[metric("", Some(11), BOOLEAN, varint(14, 1))]);
    assert_eq!(bench.outcome(request), None);
    tell(&mut bench, "plant/DDATA/edge 1/boiler", Some(3), &[metric("", Some(12), 9, float(21.3))]);
    assert_eq!(bench.outcome(request), Some(Ok(())));
    // By exception: what is so already is not told again.
    let (request, _) = bench.set(node.number, &[(1, Value::Boolean(true))]);
    assert_eq!(bench.outcome(request), Some(Ok(())));
    let (silent, _) = bench.set(node.number, &[(1, Value::Boolean(false))]);
    bench.advance(10_100);
    assert!(bench.outcome(silent).unwrap().unwrap_err().contains("did not confirm Outputs/Valve = false"));
}

#[test]
fn a_rebirth_is_a_command_too() {
    let mut bench = Bench::online(SETTINGS);
    tell(&mut bench, "plant/NBIRTH/edge 1", Some(0), &birth_of(3));
    let number = bench.node().number;
    let (request, _) = bench.invoke(number, "rebirth");
    assert!(is_rebirth(&published(&bench), "edge 1"));
    assert_eq!(bench.outcome(request), Some(Ok(())));
}

#[test]
fn a_swap_goes_on_in_the_sequence_and_a_restart_asks_everybody() {
    let bench = born();
    let open = [bench.connection];
    let mut bench = Bench { harness: bench.harness.swap(&open, &[]).unwrap(), ..bench };
    let states: Vec<_> = bench.harness.nodes().iter().map(|node| (node.id.clone(), node.state)).collect();
    assert_eq!(states, [("plant/edge-1".into(), NodeState::Online), ("plant/edge-1/boiler".into(), NodeState::Online)]);
    assert!(published(&bench).is_empty());
    let data = [metric("", Some(10), 10, double(22.25))];
    assert!(tell(&mut bench, "plant/DDATA/edge 1/boiler", Some(2), &data).is_empty());
    assert_eq!(bench.values(), [(0, "22.25".to_owned())]);
    bench.advance(1_000);
    bench.harness.closed(bench.connection);
    bench.wait_for_open();
    bench.harness.event(Event::Opened(bench.connection));
    bench.accept(false);
    assert!(is_rebirth(&published(&bench), "edge 1"));
    assert_eq!(bench.states(), [NodeState::Unknown, NodeState::Unknown]);
    let restarted = bench.harness.restart().unwrap();
    assert_eq!(restarted.nodes().iter().map(|node| node.state).collect::<Vec<_>>(), [NodeState::Unknown; 2]);
}

#[test]
fn hostile_messages_stay_small() {
    let mut bench = born();
    let many: Vec<Vec<u8>> =
        (0..6_000).map(|number| metric(&format!("m{number}"), Some(number), 10, double(1.0))).collect();
    tell(&mut bench, "plant/NBIRTH/big", Some(0), &many);
    assert_eq!(bench.node().fields.len(), 512);
    let told = tell(&mut bench, "plant/NDATA/big", Some(1), &[metric("m600", None, 10, double(2.0))]);
    assert!(told.is_empty());
    for payload in [vec![], vec![0x0B], vec![0x12, 0xFF, 1], vec![0x18, 0x80], [0x12, 0].repeat(100_000)] {
        for topic in [
            "plant/NBIRTH/x",
            "plant/DBIRTH/x/y",
            "plant/DDATA/x/y",
            "plant/NDEATH/x",
            "plant//x",
            "STATE/host",
            "a/b/c/d/e",
        ] {
            let bytes = tell_bytes(&bench, topic, payload.clone());
            bench.harness.data(bench.connection, bytes);
        }
    }
    assert!(!bench.is_closed());
    let is_node = |action: &Action| matches!(action, Action::RemoveNode(_));
    assert!(!bench.harness.actions.iter().any(is_node));
}
