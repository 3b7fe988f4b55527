//! What the host asks for becomes operations, and what devices answer becomes readings and ends.

use tombolo_sdk::events::{Invoke, Write};
use tombolo_sdk::{Action, Decimal, Event, ReasonCode, Setting, Value};

use super::device::{Bench, path};
use super::registration::read;
use crate::codec::message::{Kind, code, option};
use crate::codec::{Datum, format};

fn write(bench: &Bench, id: u64, node: &str, settings: &[(&str, Value)]) -> Event {
    let node = bench.node(node);
    let settings = settings.iter().map(|(name, value)| Setting {
        field: node.fields.iter().position(|field| field.name == *name).unwrap() as u16,
        value: value.clone(),
    });
    Event::Write(Write { id, node: node.number, settings: settings.collect() })
}

fn ready(query: &str) -> Bench {
    let mut bench = Bench::registered("{}", query);
    bench.forget();
    bench
}

#[test]
fn a_read_asks_the_device_and_ends_with_its_answer() {
    let mut bench = ready("ep=a");
    bench.device.values.insert(path("/3303/0/5700"), Datum::Number("23.25".parse().unwrap()));
    bench.event(Event::Read(read(1, bench.number("a/3303/0"))));
    assert_eq!((bench.asked.as_slice(), bench.ended(1)), (&["GET /3303/0".to_owned()][..], Some(Ok(()))));
    let report = bench.reports().pop().unwrap();
    assert_eq!((report.answers, report.receipt), (Some(1), None));
    assert_eq!(bench.values("a/3303/0")[1], "Sensor Value=23.25°C");
}

#[test]
fn whatever_format_a_device_answers_in_is_read() {
    for format in [Some(format::TLV), Some(format::SENML_JSON), Some(format::SENML_CBOR), Some(format::OMA_JSON), None]
    {
        let mut bench = Bench::new("{}");
        bench.device.format = format;
        bench.register("ep=a");
        bench.advance(200);
        assert_eq!(bench.values("a/3303/0"), ["Min Measured Value=18.2°C", "Sensor Value=21.5°C"], "{format:?}");
        assert_eq!(bench.values("a/3306/0"), ["On-Off=false", "Dimmer=20%"], "{format:?}");
    }
}

#[test]
fn a_read_of_a_device_that_is_not_registered_or_does_not_answer_says_so() {
    let mut bench = ready("ep=a");
    let number = bench.number("a/3303/0");
    bench.device.is_mute = true;
    bench.event(Event::Read(read(1, number)));
    assert_eq!(bench.ended(1), None);
    bench.advance(100_000);
    assert_eq!(bench.ended(1), Some(Ok(())));
    let failed = |bench: &Bench, request| {
        bench.actions.iter().find_map(|action| match action {
            Action::NodeFailed(failed) if failed.id == request => Some((failed.node, failed.failure.code)),
            _ => None,
        })
    };
    assert_eq!(failed(&bench, 1), Some((number, ReasonCode::Timeout)));
    bench.advance(90_000_000);
    bench.event(Event::Read(read(2, number)));
    assert_eq!(failed(&bench, 2), Some((number, ReasonCode::Unreachable)));
    bench.event(Event::Read(read(3, 12_345)));
    assert_eq!(failed(&bench, 3), Some((12_345, ReasonCode::NotFound)));
}

#[test]
fn a_device_that_reads_resources_only_is_read_so() {
    let mut bench = Bench::new(r#"{"poll_s": 30}"#);
    bench.device.reads_instances = false;
    bench.device.observes = None;
    bench.register("ep=a");
    bench.advance(200);
    assert_eq!(bench.values("a/3303/0"), ["Min Measured Value=18.2°C", "Sensor Value=21.5°C"]);
    bench.forget();
    bench.event(Event::Read(read(1, bench.number("a/3303/0"))));
    assert_eq!(
        (bench.asked.as_slice(), bench.ended(1)),
        (&["GET /3303/0/5601".to_owned(), "GET /3303/0/5700".into()][..], Some(Ok(())))
    );
    bench.event(Event::Wanted(bench.number("a/3303/0")));
    bench.forget();
    bench.advance(31_000);
    assert_eq!(bench.asked, ["GET /3303/0/5601", "GET /3303/0/5700"]);
}

#[test]
fn several_nodes_of_a_device_of_1_1_are_read_together() {
    let mut bench = ready("ep=a&lwm2m=1.1");
    bench.device.has_composite = true;
    let nodes = vec![bench.number("a/3303/0"), bench.number("a/3306/0"), bench.number("a")];
    bench.event(Event::Read(tombolo_sdk::Read { nodes: nodes.clone(), ..read(1, 0) }));
    assert_eq!(bench.asked, ["FETCH / accept 110 format 110"]);
    assert_eq!(
        (bench.reports().iter().filter(|report| report.answers == Some(1)).count(), bench.ended(1)),
        (2, Some(Ok(())))
    );
    // One that has no composite operations is asked one by one from then on.
    bench.device.has_composite = false;
    bench.forget();
    for request in [2, 3] {
        bench.event(Event::Read(tombolo_sdk::Read { nodes: nodes.clone(), ..read(request, 0) }));
        assert_eq!(
            (bench.reports().iter().filter(|report| report.answers == Some(request)).count(), bench.ended(request)),
            (2, Some(Ok(())))
        );
    }
    assert_eq!(bench.asked.iter().filter(|asked| asked.starts_with("FETCH")).count(), 1);
}

#[test]
fn a_write_is_a_put_on_the_resource_and_what_came_of_it_is_read() {
    let mut bench = ready("ep=a");
    let event = write(
        &bench,
        1,
        "a/3306/0",
        &[("On-Off", Value::Boolean(true)), ("Dimmer", Value::Decimal(Decimal::new(55, 0)))],
    );
    bench.event(event);
    assert_eq!(
        bench.asked,
        ["PUT /3306/0/5850 format 11542", "PUT /3306/0/5851 format 11542", "GET /3306/0/5850", "GET /3306/0/5851"]
    );
    assert_eq!(
        (bench.ended(1), bench.values("a/3306/0")),
        (Some(Ok(())), vec!["On-Off=true".to_owned(), "Dimmer=55%".into()])
    );
}

#[test]
fn what_was_written_is_read_although_it_is_observed() {
    let mut bench = ready("ep=a");
    bench.event(Event::Wanted(bench.number("a/3306/0")));
    let event = write(&bench, 1, "a/3306/0", &[("On-Off", Value::Boolean(true))]);
    bench.event(event);
    assert_eq!(bench.asked[1..], ["PUT /3306/0/5850 format 11542", "GET /3306/0/5850"]);
    assert!(bench.values("a/3306/0").contains(&"On-Off=true".to_owned()));
}

#[test]
fn a_device_that_takes_another_format_gets_it_and_gets_it_first_from_then_on() {
    let mut bench = ready("ep=a");
    bench.device.writes = vec![format::SENML_JSON];
    for request in [1, 2] {
        let event = write(&bench, request, "a/3306/0", &[("On-Off", Value::Boolean(true))]);
        bench.event(event);
        assert_eq!(bench.ended(request), Some(Ok(())));
    }
    let puts: Vec<&String> = bench.asked.iter().filter(|asked| asked.starts_with("PUT")).collect();
    assert_eq!(puts.len(), 3);
    assert_eq!(puts[2], "PUT /3306/0/5850 format 110");
    bench.device.writes.clear();
    let event = write(&bench, 3, "a/3306/0", &[("On-Off", Value::Boolean(true))]);
    bench.event(event);
    assert_eq!(bench.ended(3), Some(Err(ReasonCode::NotSupported)));
}

#[test]
fn several_settings_go_together_where_the_protocol_has_a_way() {
    let settings = [("On-Off", Value::Boolean(true)), ("Dimmer", Value::Decimal(Decimal::new(5, 0)))];
    let mut bench = Bench::registered(r#"{"partial_update": true}"#, "ep=a");
    bench.forget();
    let event = write(&bench, 1, "a/3306/0", &settings);
    bench.event(event);
    assert_eq!((bench.asked[0].as_str(), bench.ended(1)), ("POST /3306/0 format 11542", Some(Ok(()))));
    let mut bench = ready("ep=a&lwm2m=1.1");
    bench.device.has_composite = true;
    bench.device.writes.push(format::SENML_JSON);
    let event = write(&bench, 1, "a/3306/0", &settings);
    bench.event(event);
    assert_eq!((bench.asked[0].as_str(), bench.ended(1)), ("IPATCH / format 110", Some(Ok(()))));
    // And where there is none, one by one.
    bench.device.has_composite = false;
    bench.forget();
    let event = write(&bench, 2, "a/3306/0", &settings);
    bench.event(event);
    assert_eq!((bench.asked[1].as_str(), bench.ended(2)), ("PUT /3306/0/5850 format 11542", Some(Ok(()))));
}

#[test]
fn what_a_device_refuses_ends_with_its_reason() {
    for (refusal, reason) in [
        (code::BAD_REQUEST, ReasonCode::InvalidArgument),
        (code::UNAUTHORIZED, ReasonCode::AccessDenied),
        (code::NOT_ALLOWED, ReasonCode::NotSupported),
        (code::NOT_FOUND, ReasonCode::NotFound),
        (code::INTERNAL, ReasonCode::Internal),
    ] {
        let mut bench = ready("ep=a");
        bench.device.refusal = Some(refusal);
        let event = write(&bench, 1, "a/3306/0", &[("On-Off", Value::Boolean(true))]);
        bench.event(event);
        assert_eq!(bench.ended(1), Some(Err(reason)));
    }
}

#[test]
fn a_command_executes_its_resource() {
    let mut bench = ready("ep=a");
    let node = bench.number("a/3/0");
    bench.event(Event::Invoke(Invoke {
        id: 1,
        node,
        command: "Reboot".into(),
        arguments: vec![("arguments".into(), "0='x'".into())],
    }));
    assert_eq!((bench.asked.as_slice(), bench.ended(1)), (&["POST /3/0/4".to_owned()][..], Some(Ok(()))));
    assert_eq!(bench.device.executed, [(path("/3/0/4"), "0='x'".to_owned())]);
    bench.event(Event::Invoke(Invoke { id: 2, node, command: "Explode".into(), arguments: Vec::new() }));
    assert_eq!(bench.ended(2), Some(Err(ReasonCode::NotFound)));
}

#[test]
fn only_what_is_wanted_is_observed_and_only_as_long() {
    let mut bench = ready("ep=a");
    let node = bench.number("a/3303/0");
    bench.event(Event::Wanted(node));
    assert_eq!(bench.asked, ["GET /3303/0 observe 0"]);
    bench.event(Event::Wanted(node));
    assert_eq!(bench.asked.len(), 1);
    bench.notify("/3303/0", "/3303/0/5700", Datum::Number("22.75".parse().unwrap()), Kind::NonConfirmable);
    assert_eq!(bench.values("a/3303/0")[1], "Sensor Value=22.75°C");
    bench.event(Event::Unwanted(node));
    assert_eq!(bench.asked[1..], ["GET /3303/0 observe 1"]);
    assert!(bench.device.observers.is_empty());
}

#[test]
fn a_notification_is_acknowledged_when_it_is_stored() {
    let mut bench = ready("ep=a");
    bench.event(Event::Wanted(bench.number("a/3303/0")));
    let id = bench.notify("/3303/0", "/3303/0/5700", Datum::Number("22.5".parse().unwrap()), Kind::Confirmable);
    assert!(!bench.is_acknowledged(id));
    let receipt = bench.reports().pop().unwrap().receipt.unwrap();
    bench.event(Event::Stored(receipt + 1));
    assert!(!bench.is_acknowledged(id));
    bench.event(Event::Stored(receipt));
    assert!(bench.is_acknowledged(id));
    // Its repetition is acknowledged again and reported no more.
    let count = bench.reports().len();
    let token = bench.device.observers[&path("/3303/0")].clone();
    bench.heard.clear();
    let mut again = crate::codec::message::Message::new(Kind::Confirmable, code::CONTENT, id, token);
    again.push_number(option::OBSERVE, bench.device.sequence);
    bench.send(again);
    assert!(bench.is_acknowledged(id) && bench.reports().len() == count);
}

#[test]
fn a_device_that_observes_resources_only_is_observed_so() {
    let mut bench = ready("ep=a");
    bench.device.observes = Some(3);
    bench.event(Event::Wanted(bench.number("a/3303/0")));
    assert_eq!(bench.asked, ["GET /3303/0 observe 0", "GET /3303/0/5601 observe 0", "GET /3303/0/5700 observe 0"]);
    bench.notify("/3303/0/5700", "/3303/0/5700", Datum::Number("1.5".parse().unwrap()), Kind::NonConfirmable);
    assert_eq!(bench.values("a/3303/0")[1], "Sensor Value=1.5°C");
    bench.event(Event::Unwanted(bench.number("a/3303/0")));
    assert!(bench.device.observers.is_empty());
}

#[test]
fn what_cannot_be_observed_is_read_now_and_then() {
    let mut bench = ready("ep=a&lt=100000");
    bench.device.observes = None;
    bench.event(Event::Wanted(bench.number("a/3303/0")));
    bench.forget();
    bench.advance(61_000);
    assert_eq!(bench.asked, ["GET /3303/0"]);
    bench.advance(60_000);
    assert_eq!(bench.asked.len(), 2);
    bench.event(Event::Unwanted(bench.number("a/3303/0")));
    bench.advance(600_000);
    assert_eq!(bench.asked.len(), 2);
}

#[test]
fn periods_are_written_before_something_is_observed() {
    let mut bench = Bench::registered(r#"{"observe_min_s": 5, "observe_max_s": 600}"#, "ep=a");
    bench.forget();
    bench.event(Event::Wanted(bench.number("a/3303/0")));
    assert_eq!(bench.asked, ["PUT /3303/0?pmin=5&pmax=600", "GET /3303/0 observe 0"]);
}

#[test]
fn a_device_in_queue_mode_is_asked_when_it_is_awake() {
    let mut bench = Bench::new(r#"{"awake_s": 10}"#);
    let answer = bench.register("ep=a&lt=86400&b=UQ");
    let location = answer.texts(option::LOCATION_PATH).join("/");
    bench.advance(200);
    bench.forget();
    bench.advance(11_000);
    bench.event(Event::Wanted(bench.number("a/3303/0")));
    let event = write(&bench, 1, "a/3306/0", &[("On-Off", Value::Boolean(true))]);
    bench.event(event);
    let event = write(&bench, 2, "a/3306/0", &[("On-Off", Value::Boolean(false))]);
    bench.event(event);
    bench.event(Event::Cancelled(2));
    assert!(bench.asked.is_empty());
    bench.exchange(code::POST, &location, "");
    assert_eq!(bench.asked, ["GET /3303/0 observe 0", "PUT /3306/0/5850 format 11542", "GET /3306/0/5850"]);
    assert_eq!((bench.ended(1), bench.ended(2)), (Some(Ok(())), None));
    // One that falls asleep in the middle is asked once more when it wakes.
    bench.device.is_mute = true;
    let event = write(&bench, 3, "a/3306/0", &[("On-Off", Value::Boolean(true))]);
    bench.event(event);
    bench.advance(100_000);
    assert_eq!(bench.ended(3), None);
    bench.device.is_mute = false;
    bench.exchange(code::POST, &location, "");
    assert_eq!(bench.ended(3), Some(Ok(())));
}

#[test]
fn what_a_device_of_1_1_sends_is_answered_when_it_is_stored() {
    let mut bench = ready("ep=a&lwm2m=1.1");
    let id = bench.next_id();
    let mut message = crate::codec::message::Message::new(Kind::Confirmable, code::POST, id, vec![1]);
    message.push(option::URI_PATH, *b"dp");
    message.push_number(option::CONTENT_FORMAT, format::SENML_JSON.into());
    message.payload =
        br#"[{"bn":"/3303/0/","n":"5700","v":19.5,"t":-60},{"n":"5700","v":19.75},{"bn":"/9999/0/","n":"1","v":1}]"#
            .to_vec();
    bench.send(message);
    let receipts: Vec<u64> = bench.reports().iter().filter_map(|report| report.receipt).collect();
    assert_eq!(receipts.len(), 2, "two instants");
    bench.event(Event::Stored(receipts[1]));
    assert!(!bench.heard.iter().any(|message| message.code == code::CHANGED));
    bench.event(Event::Stored(receipts[0]));
    assert!(bench.heard.iter().any(|message| message.code == code::CHANGED));
}

/// A device of 1.1 sends a value; gives the code of the answer, and for how many seconds it counts.
fn sends(bench: &mut Bench, value: &str) -> Option<(u8, Option<u32>)> {
    let id = bench.next_id();
    let mut message = crate::codec::message::Message::new(Kind::Confirmable, code::POST, id, vec![1]);
    message.push(option::URI_PATH, *b"dp");
    message.push_number(option::CONTENT_FORMAT, format::SENML_JSON.into());
    message.payload = format!(r#"[{{"bn":"/3303/0/","n":"5700","v":{value}}}]"#).into_bytes();
    bench.heard.clear();
    bench.send(message);
    let answer = bench.heard.iter().find(|message| message.code != code::EMPTY)?;
    Some((answer.code, answer.number(option::MAX_AGE)))
}

#[test]
fn devices_are_told_to_wait_while_too_much_waits_for_the_store_or_the_host_is_full() {
    const WAITING: usize = 4096;
    let mut bench = ready("ep=a&lwm2m=1.1");
    let mut receipts = Vec::new();
    for _ in 0..WAITING {
        assert_eq!(sends(&mut bench, "19.5"), None, "it is answered when it is stored");
        receipts.extend(bench.reports().iter().filter_map(|report| report.receipt));
        bench.actions.clear();
    }
    assert_eq!(receipts.len(), WAITING);
    assert_eq!(sends(&mut bench, "20"), Some((code::UNAVAILABLE, Some(15))));
    assert!(bench.reports().is_empty(), "and not taken");
    bench.event(Event::Stored(receipts[0]));
    assert_eq!(sends(&mut bench, "20"), None);
    assert_eq!(bench.reports().len(), 1);
    receipts.into_iter().skip(1).for_each(|receipt| bench.event(Event::Stored(receipt)));
    let load = |payload: &[u8]| {
        Event::Extension(tombolo_sdk::model::Extension { topic: "load".into(), payload: payload.into() })
    };
    bench.event(load(b"full"));
    assert_eq!(sends(&mut bench, "21"), Some((code::UNAVAILABLE, Some(15))));
    bench.event(load(b"free"));
    assert_eq!(sends(&mut bench, "21"), None);
}

#[test]
fn an_object_that_nobody_described_is_shown_by_its_numbers() {
    let mut bench = Bench::new(
        r#"{"objects": [{"id": 33000, "name": "Pump", "resources": [{"id": 1, "name": "Speed", "operations": "RW", "type": "integer", "unit": "1/min"}]}]}"#,
    );
    for (at, datum) in [
        ("/26000/0/1", Datum::Text("hello".into())),
        ("/26000/0/5700", Datum::Number("1.5".parse().unwrap())),
        ("/33000/0/1", Datum::Integer(900)),
    ] {
        bench.device.values.insert(path(at), datum);
    }
    bench.exchange(code::POST, "rd?ep=a", "</26000/0>,</33000/0>");
    bench.advance(200);
    assert_eq!(bench.node("a/26000/0").node_type, "lwm2m.26000");
    assert_eq!(bench.values("a/26000/0"), ["1=hello", "Sensor Value=1.5"]);
    assert_eq!(bench.values("a/33000/0"), ["Speed=900".to_owned() + "1/min"]);
}
