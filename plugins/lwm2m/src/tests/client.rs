//! Things of others at somebody's LwM2M server.

use tombolo_sdk::{Event, Failure, ReasonCode, Setting, Value};

use super::upstream::{Bench, lamp, reading};
use crate::codec::message::{Kind, code, option};
use crate::codec::{self, Path, format};

const OBJECTS: &str = "</>;rt=\"oma.lwm2m\";ct=\"110 112 11542\",</1/0>,</3/0>";

#[test]
fn things_are_the_objects_of_one_client() {
    let bench = Bench::registered(r#"{"upstream": {"endpoint": "plant-7", "lifetime_s": 120}}"#);
    assert_eq!(bench.opens, 1);
    let offer = format!("{OBJECTS},</3303/0>,</3306/0>,</3331/0>,</3341/0>,</3343/0>");
    assert_eq!(bench.told, [format!("POST rd?ep=plant-7&lt=120&lwm2m=1.1&b=U {offer}")]);
}

#[test]
fn the_registration_is_renewed_in_time_and_when_things_come_and_go() {
    let mut bench = Bench::registered(r#"{"upstream": {"lifetime_s": 120}}"#);
    bench.told.clear();
    bench.advance(91_000);
    assert_eq!(bench.told, ["POST rd/7?"]);
    bench.event(Event::ThingVanished(4));
    bench.advance(1_000);
    assert_eq!(bench.told[1..], [format!("POST rd/7? {OBJECTS}")]);
    // Told of again with the same fields, it has the same instances.
    bench.event(Event::ThingAppeared(lamp()));
    bench.event(Event::ThingChanged(lamp()));
    bench.advance(1_000);
    assert_eq!(bench.told.len(), 3);
    assert!(bench.told[2].ends_with("</3303/0>,</3306/0>,</3331/0>,</3341/0>,</3343/0>"));
}

#[test]
fn a_server_that_forgot_or_says_nothing_is_told_again() {
    let mut bench = Bench::registered(r#"{"upstream": {"lifetime_s": 120}}"#);
    bench.told.clear();
    bench.answer = code::NOT_FOUND;
    bench.advance(91_500);
    assert_eq!(bench.told[0], "POST rd/7?");
    bench.answer = code::CREATED;
    bench.advance(5_000);
    assert!(bench.told.last().unwrap().starts_with("POST rd?ep=tombolo"));
    bench.is_mute = true;
    bench.told.clear();
    bench.advance(400_000);
    bench.is_mute = false;
    bench.advance(310_000);
    assert!(bench.told[0].starts_with("POST rd?ep=tombolo"));
    assert!(bench.logs.iter().any(|log| log.contains("does not answer")));
}

#[test]
fn a_server_that_refuses_is_asked_less_and_less() {
    let mut bench = Bench::new("{}");
    bench.answer = code::FORBIDDEN;
    bench.event(Event::Opened(2));
    bench.advance(32_000);
    assert_eq!(bench.told.len(), 5);
    assert!(bench.logs[0].contains("refused us: 4.03"));
}

#[test]
fn a_socket_that_closes_is_opened_again() {
    let mut bench = Bench::registered("{}");
    bench.told.clear();
    bench.event(Event::Closed(tombolo_sdk::events::Closed { connection: 2, reason: None }));
    assert_eq!(bench.opens, 1);
    bench.advance(2_000);
    assert_eq!(bench.opens, 2);
    bench.event(Event::Opened(2));
    bench.advance(1_000);
    assert!(bench.told[0].starts_with("POST rd?"));
}

#[test]
fn resources_are_read_in_every_format() {
    let mut bench = Bench::registered("{}");
    assert_eq!(bench.get("3303/0/5700", None), (code::CONTENT, Some(format::TEXT), "21.50".into()));
    assert_eq!(bench.get("3306/0/5850", None).2, "1");
    assert_eq!(bench.get("3331/0/5701", None).2, "kWh");
    assert_eq!(bench.get("3303/0/5701", None).2, "Cel");
    assert_eq!(bench.get("3341/0/5527", None).2, "auto");
    assert_eq!(bench.get("3303/0/5750", None).2, "plant@example.com/home/lamp temperature");
    assert_eq!(
        bench.get("3343", Some(format::SENML_JSON)).2,
        r#"[{"bn":"/3343/0/","n":"5548","v":40},{"n":"5750","vs":"plant@example.com/home/lamp level"}]"#
    );
    assert_eq!(bench.get("3343/0/5548", Some(format::OMA_JSON)).2, r#"{"bn":"/3343/0/","e":[{"n":"5548","v":40}]}"#);
    for format in [format::TLV, format::SENML_CBOR] {
        bench.ask(code::GET, "3303/0", |message| message.push_number(option::ACCEPT, format.into()));
        let body = bench.heard[0].payload.clone();
        let entries = codec::decode(Some(format), "/3303/0".parse().unwrap(), &body).unwrap();
        let paths: Vec<String> = entries.iter().map(|entry| entry.path.to_string()).collect();
        assert_eq!(paths, ["/3303/0/5518", "/3303/0/5700", "/3303/0/5701", "/3303/0/5750"]);
    }
    assert_eq!(bench.get("3/0/0", None).2, "tombolo");
    assert_eq!(bench.get("1/0/1", None).2, "300");
}

#[test]
fn what_is_not_there_or_does_not_fit_is_refused_as_the_protocol_says() {
    let mut bench = Bench::registered("{}");
    assert_eq!(bench.get("3303/9", None).0, code::NOT_FOUND);
    assert_eq!(bench.get("bs", None).0, code::NOT_FOUND);
    assert_eq!(bench.get("", None).0, code::NOT_ALLOWED);
    assert_eq!(bench.get("3303/0", Some(format::TEXT)).0, code::NOT_ACCEPTABLE);
    assert_eq!(bench.get("3303/0", Some(9999)).0, code::NOT_ACCEPTABLE);
    let refused = |bench: &mut Bench, path: &str, format, body: &[u8]| {
        bench.put(path, format, body);
        bench.answered().0
    };
    assert_eq!(refused(&mut bench, "3303/0/5700", format::TEXT, b"1"), code::NOT_ALLOWED);
    assert_eq!(refused(&mut bench, "3306/0/5750", format::TEXT, b"x"), code::NOT_ALLOWED);
    assert_eq!(refused(&mut bench, "3306/0/5850", format::TEXT, b"maybe"), code::BAD_REQUEST);
    assert_eq!(refused(&mut bench, "3306/0/5850", 9999, b"1"), code::UNSUPPORTED_FORMAT);
    assert_eq!(refused(&mut bench, "3306/7/5850", format::TEXT, b"1"), code::NOT_FOUND);
    assert_eq!(refused(&mut bench, "3341/0/5527", format::TEXT, b"loud"), code::BAD_REQUEST);
    bench.ask(code::POST, "3/0/4", |_| {});
    assert_eq!(bench.answered().0, code::NOT_FOUND);
    bench.ask(code::POST, "3303", |message| message.push_number(option::CONTENT_FORMAT, format::TLV.into()));
    assert_eq!(bench.answered().0, code::NOT_ALLOWED);
    bench.ask(code::DELETE, "3303/0", |_| {});
    assert_eq!(bench.answered().0, code::NOT_ALLOWED);
    assert!(bench.controls.is_empty());
}

#[test]
fn discover_names_what_is_there() {
    let mut bench = Bench::registered("{}");
    assert_eq!(
        bench.get("3306", Some(format::LINK)).2,
        "</3306>,</3306/0>,</3306/0/5518>,</3306/0/5750>,</3306/0/5850>"
    );
    assert_eq!(bench.get("1/0", Some(format::LINK)).2, "</1/0>,</1/0/0>,</1/0/1>,</1/0/6>,</1/0/7>,</1/0/8>");
    assert_eq!(bench.get("9", Some(format::LINK)).0, code::NOT_FOUND);
}

#[test]
fn a_write_sets_the_thing_and_is_answered_when_it_is_set() {
    let mut bench = Bench::registered("{}");
    let id = bench.put("3306/0/5850", format::TEXT, b"0");
    assert_eq!((bench.heard[0].kind, bench.heard[0].id, bench.heard.len()), (Kind::Acknowledgement, id, 1));
    assert_eq!(bench.controls[0].2, [Setting { field: 0, value: Value::Boolean(false) }]);
    bench.done(Ok(()));
    assert_eq!((bench.heard[1].code, bench.heard[1].kind), (code::CHANGED, Kind::Confirmable));
    for (reason, code) in [
        (ReasonCode::AccessDenied, code::UNAUTHORIZED),
        (ReasonCode::InvalidArgument, code::BAD_REQUEST),
        (ReasonCode::Timeout, code::GATEWAY_TIMEOUT),
    ] {
        bench.put("3343/0/5548", format::TEXT, b"55.5");
        assert_eq!(bench.controls[0].2, [Setting { field: 1, value: Value::Decimal("55.5".parse().unwrap()) }]);
        bench.done(Err(Failure::new(reason, "no")));
        assert_eq!(bench.answered().0, code);
    }
}

#[test]
fn several_resources_are_written_together() {
    let mut bench = Bench::registered("{}");
    bench.ask(code::IPATCH, "", |message| {
        message.push_number(option::CONTENT_FORMAT, format::SENML_JSON.into());
        message.payload =
            br#"[{"n":"/3306/0/5850","vb":false},{"n":"/3343/0/5548","v":10},{"n":"/1/0/1","v":60}]"#.to_vec();
    });
    assert_eq!(bench.controls.len(), 1);
    assert_eq!(bench.controls[0].2.len(), 2);
    bench.done(Ok(()));
    assert_eq!(bench.answered().0, code::CHANGED);
    bench.told.clear();
    bench.advance(1_000);
    assert_eq!(bench.told, ["POST rd/7?lt=60"]);
    // One that cannot be written, and nothing is.
    bench.ask(code::IPATCH, "", |message| {
        message.push_number(option::CONTENT_FORMAT, format::SENML_JSON.into());
        message.payload = br#"[{"n":"/3306/0/5850","vb":false},{"n":"/3303/0/5700","v":10}]"#.to_vec();
    });
    assert_eq!((bench.answered().0, bench.controls.len()), (code::NOT_ALLOWED, 0));
    // TLV on the instance, as an update.
    bench.ask(code::POST, "3306/0", |message| {
        message.push_number(option::CONTENT_FORMAT, format::TLV.into());
        message.payload = vec![0xe1, 0x16, 0xda, 1];
    });
    assert_eq!(bench.controls[0].2, [Setting { field: 0, value: Value::Boolean(true) }]);
}

#[test]
fn several_resources_are_read_together() {
    let mut bench = Bench::registered("{}");
    bench.ask(code::FETCH, "", |message| {
        message.push_number(option::CONTENT_FORMAT, format::SENML_JSON.into());
        message.payload = br#"[{"n":"/3306/0/5850"},{"n":"/3303/0/5700"},{"n":"/9/9"}]"#.to_vec();
    });
    assert_eq!(bench.answered().2, r#"[{"n":"/3303/0/5700","v":21.50},{"n":"/3306/0/5850","vb":true}]"#);
    bench.ask(code::FETCH, "", |message| message.payload = b"no".to_vec());
    assert_eq!(bench.answered().0, code::BAD_REQUEST);
}

fn observe(bench: &mut Bench, path: &str) -> u16 {
    let id = bench.ask(code::GET, path, |message| message.push_number(option::OBSERVE, 0));
    assert_eq!(bench.heard[0].number(option::OBSERVE), Some(1));
    bench.heard.clear();
    id
}

fn told(bench: &mut Bench) -> Vec<String> {
    let heard = std::mem::take(&mut bench.heard);
    let notifications = heard.iter().filter(|message| message.option(option::OBSERVE).is_some());
    notifications.map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect()
}

fn warm(bench: &mut Bench, text: &str) {
    bench.event(reading(&[(3, Value::Decimal(text.parse().unwrap()))]));
}

#[test]
fn observers_hear_of_changes_until_they_want_no_more() {
    let mut bench = Bench::registered("{}");
    let id = observe(&mut bench, "3303/0/5700");
    warm(&mut bench, "22.0");
    warm(&mut bench, "22.0");
    bench.event(reading(&[(0, Value::Boolean(false))]));
    assert_eq!(told(&mut bench), ["22.0"]);
    // Under the same token, as it has to be, and under another, as some do.
    for token in [id as u8, 0] {
        bench.ask(code::GET, "3303/0/5700", |message| {
            message.token = vec![token];
            message.push_number(option::OBSERVE, 1);
        });
        told(&mut bench);
        warm(&mut bench, &format!("23.{token}"));
        assert!(told(&mut bench).is_empty());
        observe(&mut bench, "3303/0/5700");
    }
}

#[test]
fn a_slow_observer_hears_the_newest_and_a_mute_one_nothing_more() {
    let mut bench = Bench::registered("{}");
    observe(&mut bench, "3303/0/5700");
    bench.acknowledges = false;
    for text in ["22.0", "23.0", "24.0"] {
        warm(&mut bench, text);
    }
    let heard = std::mem::take(&mut bench.heard);
    assert_eq!(heard.len(), 1);
    bench.acknowledges = true;
    bench.advance(4_000);
    assert_eq!(told(&mut bench).last().unwrap(), "24.0");
    bench.is_mute = true;
    warm(&mut bench, "25.0");
    bench.advance(200_000);
    bench.is_mute = false;
    warm(&mut bench, "26.0");
    assert!(told(&mut bench).is_empty());
}

#[test]
fn attributes_say_when_an_observer_is_told() {
    let mut bench = Bench::registered("{}");
    let attributes = |bench: &mut Bench, path: &str, query: &str| {
        let parts: Vec<String> = query.split('&').map(str::to_owned).collect();
        bench.ask(code::PUT, path, |message| message.push_texts(option::URI_QUERY, &parts));
        bench.answered().0
    };
    assert_eq!(attributes(&mut bench, "3303/0", "pmin=10&pmax=60"), code::CHANGED);
    assert_eq!(attributes(&mut bench, "3303/0/5700", "st=1"), code::CHANGED);
    assert_eq!(attributes(&mut bench, "3303/0/5700", "colour=1"), code::BAD_REQUEST);
    assert_eq!(attributes(&mut bench, "9/9", "pmin=1"), code::NOT_FOUND);
    observe(&mut bench, "3303/0/5700");
    warm(&mut bench, "22.0");
    warm(&mut bench, "24.0");
    bench.advance(9_000);
    assert!(told(&mut bench).is_empty(), "not before pmin");
    bench.advance(2_000);
    assert_eq!(told(&mut bench), ["24.0"]);
    warm(&mut bench, "24.5");
    bench.advance(30_000);
    assert!(told(&mut bench).is_empty(), "less than the step");
    bench.advance(31_000);
    assert_eq!(told(&mut bench), ["24.5"], "at pmax in any case");
}

#[test]
fn several_paths_are_observed_together() {
    let mut bench = Bench::registered("{}");
    bench.ask(code::FETCH, "", |message| {
        message.push_number(option::CONTENT_FORMAT, format::SENML_JSON.into());
        message.push_number(option::OBSERVE, 0);
        message.payload = br#"[{"n":"/3306/0/5850"},{"n":"/3303/0/5700"}]"#.to_vec();
    });
    told(&mut bench);
    warm(&mut bench, "22.0");
    assert_eq!(told(&mut bench), [r#"[{"n":"/3303/0/5700","v":22.0},{"n":"/3306/0/5850","vb":true}]"#]);
}

#[test]
fn the_server_may_ask_for_an_update() {
    let mut bench = Bench::registered("{}");
    bench.told.clear();
    bench.ask(code::POST, "1/0/8", |_| {});
    assert_eq!(bench.answered().0, code::CHANGED);
    bench.advance(1_000);
    assert_eq!(bench.told, ["POST rd/7?"]);
}

#[test]
fn the_operator_chooses_objects() {
    let rules = r#"{"upstream": {"version": "1.0", "objects": [
        {"thing": "home/lamp", "field": "on", "object": 3311}, {"unit": "°C"}, {"field": "power", "object": 33000, "resource": 7}]}}"#;
    let mut bench = Bench::registered(rules);
    assert_eq!(
        bench.told,
        [
            "POST rd?ep=tombolo&lt=300&lwm2m=1.0&b=U </>;rt=\"oma.lwm2m\";ct=11542,</1/0>,</3/0>,</3311/0>,</3341/0>,</3343/0>,</33000/0>"
        ]
    );
    assert_eq!(bench.get("3311/0/5850", None).2, "1");
    assert_eq!(bench.get("33000/0/7", None).2, "1.25");
}

#[test]
fn two_things_of_a_kind_have_an_instance_each_which_stays_theirs() {
    let mut bench = Bench::registered("{}");
    let mut second = lamp();
    second.number = 5;
    second.address = "plant@example.com/home/other".into();
    bench.event(Event::ThingAppeared(second.clone()));
    bench.advance(2_000);
    assert!(bench.told.last().unwrap().contains("</3306/0>,</3306/1>"));
    // After a restart only the second comes back, and is what it was.
    let mut bench = bench.again(|harness| harness.restart().unwrap());
    assert_eq!(bench.opens, 1);
    bench.event(Event::Opened(2));
    second.number = 1;
    bench.event(Event::ThingAppeared(second));
    bench.advance(1_000);
    assert!(bench.told[0].contains("</3/0>,</3303/1>,</3306/1>"), "{}", bench.told[0]);
}

#[test]
fn a_swap_keeps_registration_observers_and_writes_under_way() {
    let mut bench = Bench::registered("{}");
    observe(&mut bench, "3303/0/5700");
    bench.put("3306/0/5850", format::TEXT, b"0");
    let mut bench = bench.again(|harness| harness.swap(&[2], &[]).unwrap());
    assert_eq!((bench.opens, bench.told.len()), (0, 0));
    bench.event(Event::ThingAppeared(lamp()));
    bench.done(Ok(()));
    assert!(bench.heard.iter().any(|message| message.code == code::CHANGED));
    bench.heard.clear();
    warm(&mut bench, "22.0");
    assert_eq!(told(&mut bench), ["22.0"]);
    bench.advance(2_000);
    assert!(bench.told.is_empty(), "the server knows all of it");
}

#[test]
fn the_last_word_is_a_deregistration() {
    let mut bench = Bench::registered("{}");
    bench.told.clear();
    let sent = bench.harness.stop().to_vec();
    assert!(sent.iter().any(|action| matches!(action, tombolo_sdk::Action::Send(_))));
}

#[test]
fn a_long_read_comes_in_blocks() {
    let mut bench = Bench::registered("{}");
    for number in 10..60 {
        let mut thing = lamp();
        thing.number = number;
        thing.address = format!("plant@example.com/home/lamp-{number}");
        bench.event(Event::ThingAppeared(thing));
    }
    bench.ask(code::GET, "3306", |message| message.push_number(option::ACCEPT, format::SENML_JSON.into()));
    let mut body = bench.heard[0].payload.clone();
    let mut block = bench.heard[0].block(option::BLOCK2).unwrap().unwrap();
    while block.is_more {
        let next = crate::codec::message::Block { number: block.number + 1, is_more: false, ..block };
        bench.ask(code::GET, "3306", |message| {
            message.push_number(option::ACCEPT, format::SENML_JSON.into());
            message.push_block(option::BLOCK2, next);
        });
        body.extend_from_slice(&bench.heard[0].payload);
        block = bench.heard[0].block(option::BLOCK2).unwrap().unwrap();
    }
    let entries = codec::decode(Some(format::SENML_JSON), Path::root(), &body).unwrap();
    assert!(entries.len() > 50);
}
