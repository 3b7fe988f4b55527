//! A swap at every byte of a conversation.

use tombolo_sdk::{Action, Event, NodeState, Value};

use super::broker::{Bench, Sent, names};
use super::session::LAMP;
use crate::codec::{Ack, Version};

fn swap(bench: Bench, requests: &[u64]) -> Bench {
    let open = [bench.connection];
    Bench { harness: bench.harness.swap(&open, requests).unwrap(), ..bench }
}

#[test]
fn a_swap_is_invisible_to_the_broker() {
    let mut bench = swap(Bench::online(LAMP), &[]);
    assert_eq!(bench.sent(), []);
    assert!(bench.opened().is_none() && !bench.is_closed());
    assert_eq!(bench.advance(60_000 * 45 / 100), []);
    bench.publish("lamp/power", "3.0");
    assert_eq!(bench.values(), [(0, "3.0".to_owned())]);
}

#[test]
fn a_swap_in_the_middle_of_a_packet_loses_and_doubles_nothing() {
    for version in [Version::V5, Version::V3] {
        let bytes = {
            let mut bench = Bench::new(LAMP);
            bench.version = version;
            [
                bench.publish_bytes("lamp/power", "1.25", 1, 3, false),
                bench.publish_bytes("lamp/power", "1.50", 2, 4, false),
            ]
            .concat()
        };
        for cut in 0..=bytes.len() {
            let settings = LAMP.replacen(
                '{',
                if version == Version::V5 { r#"{"version": "5", "# } else { r#"{"version": "3.1.1", "# },
                1,
            );
            let mut bench = Bench::new(&settings);
            bench.version = version;
            bench.connect(false);
            bench.receive(&bytes[..cut]);
            let mut receipts = bench.receipts();
            bench = swap(bench, &[]);
            assert!(bench.harness.reports().is_empty());
            bench.receive(&bytes[cut..]);
            receipts.extend(bench.receipts());
            assert_eq!(receipts.len(), 2, "cut at {cut}");
            bench = swap(bench, &[]);
            assert_eq!(bench.stored(receipts[1]), []);
            assert_eq!(bench.stored(receipts[0]), [Sent::Ack(0x40, 3), Sent::Ack(0x50, 4)], "cut at {cut}");
            bench = swap(bench, &[]);
            assert_eq!(bench.ack(Ack::Pubrel, 4), [Sent::Ack(0x70, 4)]);
        }
    }
}

#[test]
fn a_command_under_way_completes_in_the_new_version() {
    let mut bench = Bench::online(LAMP);
    let (request, sent) = bench.set(crate::mapping::number_of("lamp"), &[(1, Value::Boolean(true))]);
    let [Sent::Publish { id, .. }] = sent[..] else { panic!() };
    let mut bench = swap(bench, &[request]);
    assert_eq!(bench.outcome(request), None);
    bench.ack(Ack::Puback, id);
    assert_eq!(bench.outcome(request), Some(Ok(())));
}

#[test]
fn a_request_that_nobody_knows_is_ended() {
    let bench = swap(Bench::online(LAMP), &[77]);
    assert!(bench.outcome(77).unwrap().is_err());
}

#[test]
fn found_and_announced_nodes_are_there_at_once_with_their_state() {
    let mut bench =
        Bench::online(r#"{"devices": [{"node": "{n}", "fields": [{"name": "{f}", "topic": "x/{n}/{f}"}]}]}"#);
    bench.publish("x/a/t", "1.0");
    bench.publish("homeassistant/sensor/b/config", r#"{"stat_t":"b","name":"B","unit_of_meas":"W","avty_t":"b/lwt"}"#);
    bench.advance(50);
    bench.publish("b/lwt", "online");
    let mut bench = swap(bench, &[]);
    let nodes: Vec<_> =
        bench.harness.nodes().iter().map(|node| (node.id.clone(), node.state, names(node).len())).collect();
    assert_eq!(nodes, [("a".to_owned(), NodeState::Online, 1), ("b".to_owned(), NodeState::Online, 1)]);
    assert_eq!(bench.advance(1_000), []);
    bench.publish("x/a/t", "2.0");
    assert_eq!(bench.values(), [(0, "2.0".to_owned())]);
    bench.publish("b", "5");
    assert_eq!(bench.values(), [(0, "5".to_owned())]);
}

#[test]
fn a_connection_lost_during_the_swap_is_opened_again() {
    let bench = Bench::online(LAMP);
    let mut bench = Bench { harness: bench.harness.swap(&[], &[]).unwrap(), ..bench };
    bench.wait_for_open();
    assert_eq!(bench.connect(true), []);
}

#[test]
fn a_swap_before_connack_goes_on() {
    let mut bench = Bench::new(LAMP);
    bench = swap(bench, &[]);
    bench.harness.event(Event::Opened(bench.connection));
    assert!(matches!(bench.sent()[..], [Sent::Connect { .. }]));
    bench = swap(bench, &[]);
    assert_eq!(bench.accept(false).len(), 1);
}

#[test]
fn state_that_cannot_be_read_keeps_the_old_version() {
    let bench = Bench::online(LAMP);
    let input = |version: u32, why| tombolo_sdk::StartInput {
        why,
        state: Some(tombolo_sdk::State { version, bytes: b"{}".to_vec() }),
        ..tombolo_sdk::testing::fresh(LAMP)
    };
    use tombolo_sdk::Why;
    use tombolo_sdk::testing::Harness;
    for version in [1, 99] {
        assert!(Harness::<crate::Mqtt>::start(input(version, Why::Swapped)).is_err());
        assert!(Harness::<crate::Mqtt>::start(input(version, Why::Recovered)).is_ok());
    }
    drop(bench);
}

#[test]
fn after_a_fault_the_session_is_resumed_and_everything_is_asked_for_again() {
    let mut bench = Bench::online(r#"{"devices": [{"node": "{n}", "fields": [{"name": "v", "topic": "x/{n}"}]}]}"#);
    bench.publish("x/a", "1.0");
    bench.publish("homeassistant/sensor/b/config", r#"{"stat_t":"b","name":"B","unit_of_meas":"W"}"#);
    bench.advance(1_100);
    let client_id = bench.harness.mapper.session.state().client_id.clone();
    let open = bench.connection;
    let mut bench = Bench { harness: bench.harness.recover(&[open]).unwrap(), ..bench };
    assert!(bench.harness.actions.contains(&Action::Close(open)));
    assert_eq!(bench.harness.nodes().len(), 2);
    bench.connection = bench.opened().unwrap();
    assert_ne!(bench.connection, open);
    bench.harness.event(Event::Opened(bench.connection));
    assert_eq!(bench.sent(), [Sent::Connect { client_id, clean_start: false, will: None }]);
    let sent = bench.accept(true);
    let [Sent::Subscribe(filters)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(filters, &["b", "homeassistant/+/+/+/config", "homeassistant/+/+/config", "x/+"]);
}

#[test]
fn after_a_restart_the_client_id_and_the_node_ids_are_the_same() {
    let mut bench = Bench::online("{}");
    bench.publish("homeassistant/sensor/b/config", r#"{"stat_t":"b","name":"B","unit_of_meas":"W"}"#);
    let number = bench.node().number;
    bench.advance(1_100);
    let before = bench.harness.mapper.session.state().client_id.clone();
    let bench = Bench { harness: bench.harness.restart().unwrap(), ..bench };
    assert_eq!(bench.harness.mapper.session.state().client_id, before);
    assert_eq!((bench.node().number, bench.node().state), (number, NodeState::Unknown));
}

#[test]
fn settings_that_change_with_a_swap_change_the_subscriptions() {
    let mut bench = Bench::online(LAMP);
    let state = Some(tombolo_sdk::Mapper::carry_over(&bench.harness.mapper));
    let input = tombolo_sdk::StartInput {
        why: tombolo_sdk::Why::Swapped,
        state,
        connections: vec![bench.connection],
        ..tombolo_sdk::testing::fresh(&LAMP.replace("lamp/power", "lamp/watts"))
    };
    bench.harness = tombolo_sdk::testing::Harness::start(input).unwrap();
    assert_eq!(
        bench.advance(50),
        [Sent::Unsubscribe(vec!["lamp/power".into()]), Sent::Subscribe(vec!["lamp/watts".into()])]
    );
}
