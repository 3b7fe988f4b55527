//! Sessions with a scripted broker: login, fallback, acknowledgements, resumption.

use tombolo_sdk::events::Closed;
use tombolo_sdk::{Action, Event, Failure, ReasonCode, Value};

use super::broker::{Bench, Sent};
use crate::codec::{Ack, Version};

/// Two fields, one settable; no discovery, so that only what matters is sent.
pub(super) const LAMP: &str = r#"{"client_id": "c", "discovery_prefix": null, "devices": [{"node": "lamp", "fields": [
    {"name": "power", "topic": "lamp/power", "type": "quantity", "unit": "W"},
    {"name": "on", "topic": "lamp/on", "type": "boolean", "command": {"topic": "lamp/set"}}]}]}"#;

fn with(extra: &str) -> String {
    LAMP.replacen('{', &format!("{{{extra}, "), 1)
}

const RECONNECT: u64 = 3;

#[test]
fn connects_with_mqtt_5_and_subscribes() {
    let mut bench = Bench::new(LAMP);
    bench.harness.event(Event::Opened(bench.connection));
    assert_eq!(bench.sent(), [Sent::Connect { client_id: "c".into(), clean_start: false, will: None }]);
    assert_eq!(bench.accept(false), [Sent::Subscribe(vec!["lamp/on".into(), "lamp/power".into()])]);
}

#[test]
fn falls_back_to_3_1_1_when_refused_in_either_language() {
    for refusal in [&[0x20, 2, 0, 1][..], &[0x20, 3, 0, 0x84, 0]] {
        let mut bench = Bench::new(LAMP);
        bench.harness.event(Event::Opened(bench.connection));
        bench.receive(refusal);
        assert!(bench.is_closed());
        bench.wait_for_open();
        bench.version = Version::V3;
        assert_eq!(bench.connect(false).len(), 1);
        // It stays with what was accepted.
        assert_eq!(bench.reconnect(true), []);
    }
}

#[test]
fn falls_back_when_the_broker_just_closes() {
    let mut bench = Bench::new(LAMP);
    bench.harness.event(Event::Opened(bench.connection));
    bench.harness.closed(bench.connection);
    bench.wait_for_open();
    bench.version = Version::V3;
    bench.harness.event(Event::Opened(bench.connection));
    assert!(matches!(bench.sent()[..], [Sent::Connect { .. }]));
}

#[test]
fn keeps_to_a_version_that_is_set() {
    let mut bench = Bench::new(&with(r#""version": "5""#));
    bench.harness.event(Event::Opened(bench.connection));
    bench.receive(&[0x20, 3, 0, 0x84, 0]);
    assert!(bench.warnings()[0].contains("look at version"), "{:?}", bench.warnings());
    bench.wait_for_open();
    bench.connect(false);
}

#[test]
fn a_wrong_password_is_an_error_that_does_not_show_it() {
    let mut bench = Bench::new(&with(r#""username": "u", "password": "secret-word""#));
    bench.harness.event(Event::Opened(bench.connection));
    bench.receive(&[0x20, 3, 0, 0x86, 0]);
    assert!(bench.warnings()[0].contains("username and password"));
    assert!(!format!("{:?}", bench.harness.actions).contains("secret-word"));
}

#[test]
fn reconnects_with_growing_delay_and_chance() {
    let mut bench = Bench::new(&with(r#""version": "5""#));
    let mut delays = Vec::new();
    for _ in 0..9 {
        let reason = Some(Failure::new(ReasonCode::Unreachable, "no route"));
        bench.harness.event(Event::Closed(Closed { connection: bench.connection, reason }));
        delays.push(bench.timer(RECONNECT).unwrap());
        bench.wait_for_open();
    }
    for (attempt, delay) in delays.iter().enumerate() {
        let full = (1000_u32 << attempt).min(60_000);
        assert!((full / 2..full).contains(delay), "{delays:?}");
    }
}

#[test]
fn a_connection_that_lasted_resets_the_delay() {
    let mut bench = Bench::online(LAMP);
    for _ in 0..4 {
        bench.reconnect(true);
    }
    bench.advance(11_000);
    bench.harness.closed(bench.connection);
    assert!(bench.timer(RECONNECT).unwrap() < 1_000);
}

#[test]
fn gives_up_a_broker_that_never_answers() {
    let mut bench = Bench::new(LAMP);
    bench.harness.event(Event::Opened(bench.connection));
    bench.harness.advance(20_000);
    assert!(bench.is_closed());
}

#[test]
fn keeps_alive_and_notices_silence() {
    let mut bench = Bench::online(&with(r#""keep_alive_s": 10"#));
    assert_eq!(bench.advance(4_500), []);
    assert_eq!(bench.advance(4_500), [Sent::Ping]);
    bench.receive(&[0xD0, 0]);
    assert_eq!(bench.advance(4_500), []);
    assert_eq!(bench.advance(4_500), [Sent::Ping]);
    assert_eq!(bench.advance(4_500), [Sent::Disconnect(0x8D)]);
    assert!(bench.is_closed());
    assert!(bench.warnings()[0].contains("silent"));
}

#[test]
fn acknowledges_qos_1_only_when_stored_and_in_order() {
    for version in [Version::V5, Version::V3] {
        let mut bench =
            Bench::new(&with(if version == Version::V5 { r#""version": "5""# } else { r#""version": "3.1.1""# }));
        bench.version = version;
        bench.connect(false);
        let mut receipts = Vec::new();
        for id in 1..=3_u16 {
            assert_eq!(bench.receive(&bench.publish_bytes("lamp/power", "1.0", 1, id, false)), []);
            receipts.extend(bench.receipts());
        }
        assert_eq!(bench.stored(receipts[1]), []);
        assert_eq!(bench.stored(receipts[0]), [Sent::Ack(0x40, 1), Sent::Ack(0x40, 2)]);
        assert_eq!(bench.stored(receipts[2]), [Sent::Ack(0x40, 3)]);
    }
}

#[test]
fn acknowledges_at_once_what_makes_no_report() {
    let mut bench = Bench::online(LAMP);
    assert_eq!(bench.receive(&bench.publish_bytes("elsewhere", "1", 1, 9, false)), [Sent::Ack(0x40, 9)]);
    assert_eq!(bench.receive(&bench.publish_bytes("lamp/power", "much", 1, 10, false)), [Sent::Ack(0x40, 10)]);
}

#[test]
fn receives_exactly_once() {
    let mut bench = Bench::online(LAMP);
    assert_eq!(bench.receive(&bench.publish_bytes("lamp/power", "1", 2, 5, false)), []);
    assert_eq!(bench.stored(bench.receipts()[0]), [Sent::Ack(0x50, 5)]);
    assert_eq!(bench.reconnect(true), []);
    assert_eq!(bench.receive(&bench.publish_bytes("lamp/power", "1", 2, 5, true)), [Sent::Ack(0x50, 5)]);
    assert!(bench.harness.reports().is_empty());
    assert_eq!(bench.ack(Ack::Pubrel, 5), [Sent::Ack(0x70, 5)]);
    bench.receive(&bench.publish_bytes("lamp/power", "2", 2, 5, false));
    assert_eq!(bench.harness.reports().len(), 1);
}

#[test]
fn does_not_report_twice_what_the_resumed_session_repeats() {
    let mut bench = Bench::online(LAMP);
    bench.receive(&bench.publish_bytes("lamp/power", "1", 1, 1, false));
    let first = bench.receipts()[0];
    bench.receive(&bench.publish_bytes("lamp/power", "2", 1, 2, false));
    let second = bench.receipts()[0];
    bench.harness.closed(bench.connection);
    assert_eq!(bench.stored(first), []);
    bench.wait_for_open();
    assert_eq!(bench.connect(true), []);
    assert_eq!(bench.receive(&bench.publish_bytes("lamp/power", "1", 1, 1, true)), [Sent::Ack(0x40, 1)]);
    assert_eq!(bench.receive(&bench.publish_bytes("lamp/power", "2", 1, 2, true)), []);
    assert!(bench.harness.reports().is_empty());
    assert_eq!(bench.stored(second), [Sent::Ack(0x40, 2)]);
}

#[test]
fn what_was_stored_before_a_restart_is_acknowledged_and_not_reported_again() {
    let mut bench = Bench::online(LAMP);
    bench.receive(&bench.publish_bytes("lamp/power", "1", 1, 1, false));
    let stored = bench.receipts()[0];
    bench.receive(&bench.publish_bytes("lamp/power", "2", 1, 2, false));
    bench.harness = bench.harness.restart().unwrap();
    bench.connection = bench.opened().unwrap();
    bench.stored(stored);
    bench.connect(true);
    assert_eq!(bench.receive(&bench.publish_bytes("lamp/power", "1", 1, 1, true)), [Sent::Ack(0x40, 1)]);
    assert!(bench.harness.reports().is_empty());
    // What was not stored, and what has the id of what was, is new.
    assert_eq!(bench.receive(&bench.publish_bytes("lamp/power", "2", 1, 2, true)), []);
    assert_eq!(bench.harness.reports().len(), 1);
    assert_eq!(bench.receive(&bench.publish_bytes("lamp/power", "1", 1, 1, false)), []);
    assert_eq!(bench.harness.reports().len(), 1);
}

#[test]
fn reports_again_in_a_new_session() {
    let mut bench = Bench::online(LAMP);
    bench.receive(&bench.publish_bytes("lamp/power", "1", 1, 1, false));
    assert_eq!(bench.reconnect(false).len(), 1);
    bench.receive(&bench.publish_bytes("lamp/power", "1", 1, 1, true));
    assert_eq!(bench.harness.reports().len(), 1);
}

#[test]
fn subscribes_again_only_in_a_new_session() {
    let mut bench = Bench::online(LAMP);
    assert_eq!(bench.reconnect(true), []);
    bench.harness.closed(bench.connection);
    bench.wait_for_open();
    bench.harness.event(Event::Opened(bench.connection));
    assert_eq!(bench.accept(false), [Sent::Subscribe(vec!["lamp/on".into(), "lamp/power".into()])]);
    // Lost before SUBACK: that one is sent again even in the old session.
    assert_eq!(bench.reconnect(true).len(), 1);
}

#[test]
fn clean_start_begins_a_session_each_time() {
    let mut bench = Bench::online(&with(r#""clean_start": true"#));
    assert_eq!(bench.reconnect(true).len(), 1);
}

#[test]
fn says_which_subscription_was_refused() {
    let mut bench = Bench::new(LAMP);
    bench.harness.event(Event::Opened(bench.connection));
    bench.accept(false);
    let id = bench.harness.mapper.session.state().next_packet_id.to_be_bytes();
    bench.receive(&[0x90, 5, id[0], id[1], 0, 0x87, 1]);
    assert!(bench.warnings()[0].contains("lamp/on"), "{:?}", bench.warnings());
}

fn lamp() -> u32 {
    crate::mapping::number_of("lamp")
}

#[test]
fn completes_a_write_when_the_broker_acknowledges() {
    let mut bench = Bench::online(LAMP);
    let number = lamp();
    let (request, sent) = bench.set(number, &[(1, Value::Boolean(true))]);
    let [Sent::Publish { topic, payload, qos: 1, id, dup: false, retain: false }] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!((topic.as_str(), payload.as_str()), ("lamp/set", "ON"));
    assert_eq!(bench.outcome(request), None);
    bench.ack(Ack::Puback, *id);
    assert_eq!(bench.outcome(request), Some(Ok(())));
}

#[test]
fn completes_exactly_once_and_at_most_once_writes() {
    let mut bench = Bench::online(&LAMP.replace(r#""lamp/set""#, r#""lamp/set", "qos": 2"#));
    let number = lamp();
    let (request, sent) = bench.set(number, &[(1, Value::Boolean(false))]);
    let [Sent::Publish { qos: 2, id, .. }] = sent[..] else { panic!("{sent:?}") };
    assert_eq!(bench.ack(Ack::Pubrec, id), [Sent::Ack(0x62, id)]);
    assert_eq!(bench.outcome(request), None);
    bench.ack(Ack::Pubcomp, id);
    assert_eq!(bench.outcome(request), Some(Ok(())));

    let mut bench = Bench::online(&LAMP.replace(r#""lamp/set""#, r#""lamp/set", "qos": 0"#));
    let (request, _) = bench.set(number, &[(1, Value::Boolean(false))]);
    assert_eq!(bench.outcome(request), Some(Ok(())));
}

#[test]
fn repeats_a_command_in_the_resumed_session() {
    let mut bench = Bench::online(LAMP);
    let number = lamp();
    let (request, sent) = bench.set(number, &[(1, Value::Boolean(true))]);
    let Some(Sent::Publish { id, .. }) = sent.first().cloned() else { panic!() };
    let again = bench.reconnect(true);
    assert!(
        again.iter().any(|sent| matches!(sent, Sent::Publish { dup: true, id: other, .. } if *other == id)),
        "{again:?}"
    );
    bench.ack(Ack::Puback, id);
    assert_eq!(bench.outcome(request), Some(Ok(())));
}

#[test]
fn fails_a_command_with_a_sentence() {
    let mut bench = Bench::online(LAMP);
    let number = lamp();
    let (refused, sent) = bench.set(number, &[(1, Value::Boolean(true))]);
    let Some(Sent::Publish { id, .. }) = sent.first().cloned() else { panic!() };
    let [high, low] = id.to_be_bytes();
    bench.receive(&[0x40, 3, high, low, 0x87]);
    assert!(bench.outcome(refused).unwrap().unwrap_err().contains("does not allow"));

    let (lost, _) = bench.set(number, &[(1, Value::Boolean(true))]);
    bench.harness.closed(bench.connection);
    bench.wait_for_open();
    bench.harness.event(Event::Opened(bench.connection));
    bench.accept(false);
    assert!(bench.outcome(lost).unwrap().unwrap_err().contains("lost the session"));

    bench.harness.closed(bench.connection);
    let (offline, _) = bench.set(number, &[(1, Value::Boolean(true))]);
    assert!(bench.outcome(offline).unwrap().unwrap_err().contains("no connection"));
    let (read_only, _) = bench.set(number, &[(0, Value::Boolean(true))]);
    assert!(bench.outcome(read_only).unwrap().is_err());
    let (unknown, _) = bench.set(1, &[(0, Value::Boolean(true))]);
    assert!(bench.outcome(unknown).unwrap().is_err());
}

#[test]
fn respects_the_brokers_receive_maximum() {
    let mut bench = Bench::new(LAMP);
    bench.harness.event(Event::Opened(bench.connection));
    bench.receive(&[0x20, 6, 0, 0, 3, 0x21, 0, 1]);
    let number = lamp();
    let (_, first) = bench.set(number, &[(1, Value::Boolean(true))]);
    let (second, nothing) = bench.set(number, &[(1, Value::Boolean(false))]);
    assert_eq!(nothing, []);
    let Some(Sent::Publish { id, .. }) = first.first().cloned() else { panic!() };
    let sent = bench.ack(Ack::Puback, id);
    let [Sent::Publish { id, .. }] = sent[..] else { panic!("{sent:?}") };
    bench.ack(Ack::Puback, id);
    assert_eq!(bench.outcome(second), Some(Ok(())));
}

#[test]
fn a_command_larger_than_the_broker_takes_fails() {
    let mut bench = Bench::new(LAMP);
    bench.harness.event(Event::Opened(bench.connection));
    bench.receive(&[0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 10]);
    let number = lamp();
    let (request, sent) = bench.set(number, &[(1, Value::Boolean(true))]);
    assert_eq!(sent, []);
    assert!(bench.outcome(request).unwrap().unwrap_err().contains("size"));
}

#[test]
fn ends_the_connection_over_what_is_malformed_or_too_large_and_comes_back() {
    let cases: [(&[u8], u8); 4] = [
        (&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], 0x95),
        (&[0x36, 2, 0, 0], 0x81),
        (&[0x20, 3, 0, 0, 0], 0x82),
        (&[0x82, 0], 0x82),
    ];
    for (bytes, reason) in cases {
        let mut bench = Bench::online(LAMP);
        assert_eq!(bench.receive(bytes), [Sent::Disconnect(reason)], "{bytes:02x?}");
        assert!(bench.is_closed() && bench.warnings().len() == 1);
        // What still comes over the old connection is of no interest.
        bench.publish("lamp/power", "1");
        assert!(bench.harness.actions.is_empty());
        bench.wait_for_open();
    }
}

#[test]
fn a_broker_that_exceeds_receive_maximum_is_borne_with_as_long_as_packet_ids_differ() {
    let mut bench = Bench::online(&with(r#""receive_maximum": 2"#));
    for id in 1..=5 {
        assert_eq!(bench.receive(&bench.publish_bytes("lamp/power", "1", 1, id, false)), []);
    }
    assert_eq!(
        bench.receive(&bench.publish_bytes("lamp/power", "1", 1, 3, true)),
        [],
        "a repetition is none the worse"
    );
    assert_eq!(bench.receive(&bench.publish_bytes("lamp/power", "1", 1, 3, false)), [Sent::Disconnect(0x82)]);
}

#[test]
fn will_and_its_opposite_are_published() {
    let messages = r#""will": {"topic": "s", "payload": "offline"}, "online": {"topic": "s", "payload": "online"}"#;
    let mut bench = Bench::new(&with(messages));
    bench.harness.event(Event::Opened(bench.connection));
    assert!(matches!(&bench.sent()[..], [Sent::Connect { will: Some(topic), .. }] if topic == "s"));
    let sent = bench.accept(false);
    assert!(matches!(&sent[0], Sent::Publish { payload, retain: true, .. } if payload == "online"), "{sent:?}");
    bench.harness.stop();
    assert_eq!(bench.sent(), [Sent::Disconnect(4)]);
    assert!(bench.is_closed());
}

#[test]
fn takes_leave_of_a_3_1_1_broker_with_the_will() {
    let mut bench = Bench::new(&with(r#""version": "3.1.1", "will": {"topic": "s", "payload": "offline"}"#));
    bench.version = Version::V3;
    bench.connect(false);
    bench.harness.stop();
    assert!(matches!(&bench.sent()[..], [Sent::Publish { .. }, Sent::Disconnect(0)]));
}

#[test]
fn says_why_the_broker_ended_the_connection() {
    let mut bench = Bench::online(LAMP);
    bench.receive(&[0xE0, 1, 0x8E]);
    assert!(bench.warnings()[0].contains("SessionTakenOver"));
    assert!(bench.is_closed());
}

#[test]
fn a_refused_endpoint_is_logged_with_its_remedy() {
    let mut bench = Bench::new(LAMP);
    let reason = Some(Failure::new(ReasonCode::AccessDenied, "add broker = { ... }"));
    bench.harness.event(Event::Closed(Closed { connection: bench.connection, reason }));
    assert!(bench.warnings()[0].contains("add broker"), "{:?}", bench.harness.actions);
}

#[test]
fn many_packets_in_one_piece_are_answered_in_one() {
    let mut bench = Bench::online(LAMP);
    let bytes: Vec<u8> = (1..=50).flat_map(|id| bench.publish_bytes("elsewhere", "1", 1, id, false)).collect();
    assert_eq!(bench.receive(&bytes).len(), 50);
    let sends = bench.harness.actions.iter().filter(|action| matches!(action, Action::Send(_))).count();
    assert_eq!(sends, 1);
}

#[test]
fn a_bad_setting_is_an_error_for_the_operator() {
    for (settings, part) in [
        (r#"{"usrname": "x"}"#, "usrname"),
        (r#"{"devices": [{"node": "a/{b}", "fields": [{"name": "x", "topic": "t/{c}"}]}]}"#, "{b}"),
        (
            r#"{"devices": [{"node": "a", "fields": [{"name": "x", "topic": "t", "template": "{{ x }}"}]}]}"#,
            "not supported",
        ),
        (r#"{"password": "p"}"#, "username"),
    ] {
        let error = tombolo_sdk::testing::Harness::<crate::Mqtt>::fresh(settings).err().unwrap();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn describes_itself() {
    let description = <crate::Mqtt as tombolo_sdk::Mapper>::describe();
    assert_eq!((description.name.as_str(), description.endpoints[0].name.as_str()), ("mqtt", "broker"));
    assert_eq!(description.endpoints[0].schemes, ["mqtt", "mqtts"]);
}

#[test]
fn a_retained_message_does_not_undo_what_a_resumed_session_brought() {
    let mut bench = Bench::online(LAMP);
    let retained = |bench: &Bench, payload| {
        let mut bytes = bench.publish_bytes("lamp/power", payload, 0, 0, false);
        bytes[0] |= 1;
        bytes
    };
    bench.receive(&retained(&bench, "0"));
    assert_eq!(bench.harness.reports().len(), 1);
    bench.reconnect(true);
    bench.receive(&bench.publish_bytes("lamp/power", "20", 1, 1, false));
    bench.receive(&retained(&bench, "0"));
    assert!(bench.harness.reports().is_empty());
    // After another outage it may be newer than what we have.
    bench.reconnect(true);
    bench.receive(&retained(&bench, "30"));
    assert_eq!(bench.harness.reports().len(), 1);
}

#[test]
fn keeps_its_client_id_from_the_first_call_on() {
    let bench = Bench::new("{}");
    assert!(bench.harness.actions.iter().any(|action| matches!(action, Action::Checkpoint(_))));
}
