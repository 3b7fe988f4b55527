//! What devices are asked and told.

use tombolo_sdk::{Decimal, Event, NodeState, ReasonCode, Value};

use super::bench::Bench;
use crate::codec::soap::Fault;

#[test]
fn what_events_tell_is_known_and_the_rest_is_asked_for() {
    let mut bench = Bench::with_lamp();
    let node = bench.node().number;
    bench.values();
    bench.lamps[0].called.clear();
    let request = bench.read(&[node], &[]);
    assert_eq!(bench.lamps[0].called, ["GetCurrentTemperature()"]);
    let values = bench.values();
    assert!(values.contains(&("SwitchPower/Status".into(), Value::Boolean(false))));
    assert!(values.contains(&("Sensor/CurrentTemperature".into(), Value::Decimal(Decimal::new(2150, 2)))));
    assert_eq!(bench.ended[&request], Ok(()));
    let named = bench.read(&[node], &["SwitchPower/Status"]);
    assert_eq!((bench.lamps[0].called.len(), bench.ended[&named].is_ok()), (1, true));
}

#[test]
fn a_read_ends_when_the_last_answer_is_there() {
    let mut bench = Bench::with_lamp();
    let node = bench.node().number;
    bench.held = Some(Vec::new());
    let request = bench.read(&[node], &[]);
    assert!(!bench.ended.contains_key(&request));
    bench.release();
    assert!(bench.ended.contains_key(&request));
}

#[test]
fn a_read_that_was_cancelled_is_not_ended() {
    let mut bench = Bench::with_lamp();
    let node = bench.node().number;
    bench.held = Some(Vec::new());
    let request = bench.read(&[node], &[]);
    bench.event(Event::Cancelled(request));
    bench.release();
    assert!(!bench.ended.contains_key(&request));
}

#[test]
fn a_getter_that_the_device_lacks_is_asked_once() {
    let mut bench = Bench::with_lamp();
    let node = bench.node().number;
    bench.lamps[0].fault = Some(Fault::new(602, "Optional Action Not Implemented"));
    let request = bench.read(&[node], &["Sensor/CurrentTemperature"]);
    assert!(bench.ended[&request].is_ok() && bench.failed.is_empty());
    bench.lamps[0].called.clear();
    bench.read(&[node], &["Sensor/CurrentTemperature"]);
    assert!(bench.lamps[0].called.is_empty());
}

#[test]
fn a_device_that_is_gone_cannot_be_read() {
    let mut bench = Bench::with_lamp();
    let node = bench.node().number;
    let bytes = bench.lamps[0].byebye();
    bench.datagram("192.0.2.7:1900", &bytes);
    let request = bench.read(&[node, 77], &[]);
    let codes: Vec<_> = bench.failed.iter().map(|(_, failure)| failure.code).collect();
    assert_eq!((codes, bench.ended[&request].is_ok()), (vec![ReasonCode::Unreachable, ReasonCode::NotFound], true));
}

#[test]
fn a_setting_calls_its_action_and_is_confirmed_by_the_answer() {
    let mut bench = Bench::with_lamp();
    let node = bench.node().number;
    bench.lamps[0].called.clear();
    let request = bench.write(node, &[(0, Value::Boolean(true)), (3, Value::Text("K<".into()))]);
    assert_eq!(bench.lamps[0].called, ["SetTarget(newTargetValue=1)", "SetName(NewName=K<)"]);
    assert_eq!(bench.ended[&request], Ok(()));
    assert!(
        bench.values().contains(&("Sensor/Name".into(), Value::Text("K<".into()))),
        "nothing else would ever tell it"
    );
}

#[test]
fn a_fault_ends_a_setting_with_its_reason() {
    let mut bench = Bench::with_lamp();
    let node = bench.node().number;
    bench.lamps[0].called.clear();
    bench.lamps[0].fault = Some(Fault::new(601, "Argument Value Out of Range"));
    let request = bench.write(node, &[(0, Value::Boolean(true)), (3, Value::Text("x".into()))]);
    let failure = bench.ended[&request].clone().unwrap_err();
    assert_eq!(
        (failure.code, failure.message.as_str()),
        (ReasonCode::InvalidArgument, "the device says: Argument Value Out of Range (601)")
    );
    assert_eq!((bench.lamps[0].called.len(), bench.state()), (1, NodeState::Online), "what follows is not done");
    let request = bench.write(node, &[(2, Value::Int32(1))]);
    assert_eq!(bench.ended[&request].clone().unwrap_err().code, ReasonCode::NotSupported);
}

#[test]
fn a_setting_that_no_event_tells_is_read_again() {
    let mut bench = Bench::new("{}", false);
    bench.open();
    bench.lamps.push(super::lamp::Lamp::new(super::bench::HOST, "uuid:lamp"));
    bench.announce(0);
    let node = bench.node().number;
    bench.values();
    bench.write(node, &[(0, Value::Boolean(true))]);
    assert_eq!(bench.values(), [("SwitchPower/Status".into(), Value::Boolean(true))]);
}

#[test]
fn a_command_with_results_is_a_query() {
    let mut bench = Bench::with_lamp();
    let node = bench.node().number;
    bench.readings.clear();
    let request = bench.invoke(node, "query.SwitchPower/Blink", &[("Times", "3")]);
    assert_eq!(bench.readings[0].1, Some(request));
    assert_eq!(bench.values(), [("SwitchPower/Blink/Done".into(), Value::Int64(3))]);
    assert_eq!(bench.ended[&request], Ok(()));
    let unknown = bench.invoke(node, "Other", &[]);
    assert_eq!(bench.ended[&unknown].clone().unwrap_err().code, ReasonCode::NotFound);
}
