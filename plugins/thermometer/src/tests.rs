//! The thermometer under the native harness: the behaviours that its README promises.

use tombolo_sdk::testing::Harness;
use tombolo_sdk::{Action, Decimal, Event, NodeState, Setting, Value, Write};

use super::*;

fn connected() -> Harness<Thermometer> {
    let mut harness = Harness::fresh("{}").unwrap();
    harness.event(Event::Opened(DEVICE));
    harness
}

fn write(setpoint: Value) -> Event {
    Event::Write(Write { id: 7, node: THERMOMETER, settings: vec![Setting { field: 1, value: setpoint }] })
}

#[test]
fn opens_its_endpoint_and_declares_one_node() {
    let harness = Harness::<Thermometer>::fresh("{}").unwrap();
    assert_eq!(harness.nodes().len(), 1);
    assert!(matches!(harness.actions.last(), Some(Action::Open(open)) if open.endpoint == "device"));
}

#[test]
fn reports_with_the_decimals_that_were_sent_wherever_the_stream_was_cut() {
    let mut harness = connected();
    harness.data(DEVICE, *b"temperature 23");
    assert!(harness.reports().is_empty());
    harness.data(DEVICE, *b".40\r\nsetpoint 21\n");
    let samples: Vec<_> = harness.reports().iter().flat_map(|report| report.reading.samples.clone()).collect();
    assert_eq!(samples, [Sample::new(0, Decimal::new(2340, 2)), Sample::new(1, Decimal::new(21, 0))]);
}

#[test]
fn ignores_lines_that_it_does_not_know() {
    let mut harness = connected();
    harness.data(DEVICE, *b"humidity 40\ntemperature warm\n\n\xff\n");
    assert!(harness.reports().is_empty());
}

#[test]
fn closes_when_a_line_does_not_end() {
    let mut harness = connected();
    assert_eq!(harness.data(DEVICE, vec![b'x'; 1000]), [Action::Close(DEVICE)]);
}

#[test]
fn sends_the_setpoint_and_completes() {
    let mut harness = connected();
    harness.event(write(Value::Double(21.5)));
    assert_eq!(harness.sent(DEVICE), b"setpoint 21.5\n");
    assert!(matches!(harness.actions.last(), Some(Action::Complete(done)) if done.id == 7 && done.outcome.is_ok()));
}

#[test]
fn refuses_to_write_to_a_thermometer_that_is_away() {
    let mut harness = Harness::<Thermometer>::fresh("{}").unwrap();
    let actions = harness.event(write(Value::Int32(21)));
    assert!(matches!(actions, [Action::Complete(done)] if done.outcome.is_err()));
}

#[test]
fn goes_offline_and_tries_again_after_a_second() {
    let mut harness = connected();
    let offline = Action::NodeState(tombolo_sdk::actions::StateChange { node: THERMOMETER, state: NodeState::Offline });
    assert!(harness.closed(DEVICE).contains(&offline));
    assert!(harness.advance(RETRY_MS - 1).is_empty());
    assert!(matches!(harness.advance(1), [Action::Open(_)]));
}

#[test]
fn a_swap_in_the_middle_of_a_line_loses_nothing() {
    let mut harness = connected();
    harness.data(DEVICE, *b"temperature 2");
    let mut harness = harness.swap(&[DEVICE], &[]).unwrap();
    assert!(!harness.actions.iter().any(|action| matches!(action, Action::Open(_))));
    harness.data(DEVICE, *b"3.40\n");
    assert_eq!(harness.reports()[0].reading.samples, [Sample::new(0, Decimal::new(2340, 2))]);
}
