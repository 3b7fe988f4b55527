//! Devices that lie, flood, loop and forge: bounded, answered as the protocol says, and said in the log.

use proptest::prelude::*;
use tombolo_sdk::{Action, Event};

use super::device::{Bench, path};
use super::registration::read;
use crate::codec::Datum;
use crate::codec::message::{Block, Kind, Message, code, option};

#[test]
fn ten_thousand_objects_are_refused() {
    let mut bench = Bench::new("{}");
    let links: Vec<String> = (0..10_000).map(|id| format!("</3303/{id}>")).collect();
    let answer = in_blocks(&mut bench, links.join(",").as_bytes());
    assert_eq!(answer, code::TOO_LARGE);
    assert_eq!(in_blocks(&mut bench, links[..1000].join(",").as_bytes()), code::BAD_REQUEST);
    let warnings = bench.warnings();
    assert_eq!(warnings[0], "1 requests refused with 4.13 more than 65536 bytes");
    assert!(warnings[1].contains("256 object instances"), "{warnings:?}");
    assert!(bench.actions.iter().all(|action| !matches!(action, Action::PutNode(_))));
    assert_eq!(in_blocks(&mut bench, links[..256].join(",").as_bytes()), code::CREATED);
}

/// Registers in blocks; gives the code that ended it.
fn in_blocks(bench: &mut Bench, body: &[u8]) -> u8 {
    for (number, chunk) in body.chunks(1024).enumerate() {
        let id = bench.next_id();
        let mut message = Message::new(Kind::Confirmable, code::POST, id, vec![1]);
        message.push(option::URI_PATH, *b"rd");
        message.push(option::URI_QUERY, *b"ep=a");
        let is_more = (number + 1) * 1024 < body.len();
        message.push_block(option::BLOCK1, Block { number: number as u32, is_more, exponent: 6 });
        message.payload = chunk.to_vec();
        bench.heard.clear();
        bench.send(message);
        let answer = bench.heard.iter().find(|message| message.id == id).unwrap().code;
        if answer != code::CONTINUE {
            return answer;
        }
    }
    panic!("no end")
}

#[test]
fn a_repeated_registration_is_answered_the_same_and_done_once() {
    let mut bench = Bench::new("{}");
    let mut message = Message::new(Kind::Confirmable, code::POST, 1, vec![1]);
    message.push(option::URI_PATH, *b"rd");
    message.push(option::URI_QUERY, *b"ep=a");
    message.payload = b"</3/0>".to_vec();
    bench.send(message.clone());
    bench.send(message);
    assert_eq!((bench.heard.len(), &bench.heard[0]), (2, &bench.heard[1]));
}

#[test]
fn wrong_content_is_said_once_and_ends_what_waits_for_it() {
    let mut bench = Bench::registered("{}", "ep=a");
    bench.device.format = Some(60);
    bench.device.values.insert(path("/3303/0/5700"), Datum::Text("x".into()));
    // The device says CBOR and sends TLV.
    let node = bench.number("a/3303/0");
    let mut wrong = |request| {
        bench.device.is_mute = true;
        bench.event(Event::Read(read(request, node)));
        let sent = bench.harness.actions.iter().find_map(|action| match action {
            Action::SendTo(sent) => Message::read(&sent.bytes).ok(),
            _ => None,
        });
        let asked = sent.unwrap();
        let mut answer = Message::new(Kind::Acknowledgement, code::CONTENT, asked.id, asked.token);
        answer.push_number(option::CONTENT_FORMAT, 60);
        answer.payload = vec![0xff; 20];
        bench.send(answer);
        assert_eq!(bench.ended(request), Some(Ok(())));
        bench.warnings().len()
    };
    assert_eq!((wrong(1), wrong(2)), (1, 1));
}

#[test]
fn values_that_do_not_fit_their_type_are_no_values() {
    let mut bench = Bench::registered("{}", "ep=a");
    bench.device.format = Some(110);
    bench.device.values.insert(path("/3303/0/5700"), Datum::Text("warm".into()));
    bench.device.values.insert(path("/3303/0/65534"), Datum::Integer(1));
    bench.event(Event::Read(read(1, bench.number("a/3303/0"))));
    let report = bench.reports().pop().unwrap();
    let names: Vec<String> = report
        .reading
        .samples
        .iter()
        .map(|sample| bench.node("a/3303/0").fields[usize::from(sample.field)].name.clone())
        .collect();
    assert_eq!(names, ["Min Measured Value", "65534"]);
}

#[test]
fn forged_notifications_and_answers_change_nothing() {
    let mut bench = Bench::registered("{}", "ep=a");
    bench.event(Event::Wanted(bench.number("a/3303/0")));
    let token = bench.device.observers[&path("/3303/0")].clone();
    let count = bench.reports().len();
    let mut forged = Message::new(Kind::Confirmable, code::CONTENT, 9, token.clone());
    forged.push_number(option::OBSERVE, 99);
    forged.payload = vec![0xc1, 0, 1];
    bench.address = "udp:mallory".into();
    bench.send(forged.clone());
    assert_eq!(bench.heard.pop(), Some(Message::empty(Kind::Reset, 9)));
    forged.id = 10;
    forged.token = vec![1, 2, 3];
    bench.address = "udp:1".into();
    bench.send(forged);
    assert_eq!(bench.heard.pop(), Some(Message::empty(Kind::Reset, 10)));
    assert_eq!(bench.reports().len(), count);
}

#[test]
fn a_resource_that_grows_without_end_is_not_followed() {
    let mut bench = Bench::registered("{}", "ep=a");
    (0..1000).for_each(|sub| drop(bench.device.values.insert(path(&format!("/3/0/6/{sub}")), Datum::Integer(1))));
    bench.event(Event::Read(read(1, bench.number("a/3/0"))));
    assert_eq!(bench.ended(1), Some(Ok(())));
    assert!(bench.node("a/3/0").fields.len() <= 200);
}

#[test]
fn a_flood_of_wishes_for_one_device_is_refused_in_the_end() {
    let mut bench = Bench::registered("{}", "ep=a");
    bench.device.is_mute = true;
    let node = bench.number("a/3306/0");
    for id in 0..2000 {
        let settings = vec![tombolo_sdk::Setting { field: 0, value: tombolo_sdk::Value::Boolean(true) }];
        bench.event(Event::Write(tombolo_sdk::Write { id, node, settings }));
    }
    assert_eq!(bench.ended(1999), Some(Err(tombolo_sdk::ReasonCode::Busy)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any bytes, and any message with any body at the paths that mean something.
    #[test]
    fn nothing_that_comes_ends_the_plugin(
        datagrams in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..80), 0_u8..6, any::<u8>()), 0..30),
    ) {
        let mut bench = Bench::registered("{}", "ep=a");
        for node in ["a/3303/0", "a/3306/0"] {
            bench.event(Event::Wanted(bench.number(node)));
        }
        for (bytes, shape, code) in datagrams {
            let id = bench.next_id();
            let mut message = Message::new(Kind::Confirmable, code, id, bytes.iter().take(8).copied().collect());
            message.payload.clone_from(&bytes);
            match shape {
                0 => { bench.send_bytes(bytes); continue }
                1 => message.push(option::URI_PATH, *b"rd"),
                2 => message.push(option::URI_PATH, *b"dp"),
                3 => message.push(option::BLOCK1, bytes.iter().take(3).copied().collect::<Vec<u8>>()),
                4 => message.token = bench.device.observers[&path("/3303/0")].clone(),
                _ => message.push(u16::from(code), bytes.clone()),
            }
            message.push_number(option::CONTENT_FORMAT, 11_542);
            message.options.sort();
            bench.send(message);
        }
        bench.advance(300_000);
    }
}

#[test]
fn requests_that_make_no_sense_are_refused_as_the_protocol_says_and_counted_for_the_operator() {
    let mut bench = Bench::new("{}");
    let mut ask = |option: u16, value: &[u8]| {
        let id = bench.next_id();
        let mut message = Message::new(Kind::Confirmable, code::POST, id, vec![1]);
        message.push(option::URI_PATH, *b"rd");
        message.push(option, value);
        bench.send(message);
        bench.heard.pop().unwrap().code
    };
    // RFC 7959 §2.2: the exponent is reserved; RFC 7252 §5.4.3 and §5.4.1: too long, and not understood.
    assert_eq!(ask(option::BLOCK1, &[0x0f]), code::BAD_REQUEST);
    assert_eq!(ask(option::BLOCK1, &[0, 0, 0, 0x0e]), code::BAD_OPTION);
    assert_eq!((0..50).map(|_| ask(9, b"x")).collect::<Vec<_>>(), [code::BAD_OPTION; 50]);
    assert_eq!(bench.warnings(), ["1 requests refused with 4.00 block", "1 requests refused with 4.02 block"]);
    bench.advance(61_000);
    bench.send(Message { options: vec![(9, vec![])], ..Message::new(Kind::Confirmable, code::POST, 1, Vec::new()) });
    assert_eq!(bench.warnings()[2], "51 requests refused with 4.02 option 9");
}

#[test]
fn a_marker_without_a_payload_is_no_message() {
    let mut bench = Bench::new("{}");
    bench.send_bytes(vec![0x40, code::POST, 0, 9, 0xff]);
    assert_eq!((bench.heard[0].kind, bench.heard[0].id), (Kind::Reset, 9));
    // A token, an id and a value may end so.
    bench.send_bytes(vec![0x41, code::GET, 0, 0xff, 0xff]);
    bench.send_bytes(vec![0x40, code::GET, 0xff, 0xff]);
    bench.send_bytes(vec![0x40, code::GET, 0, 1, 0xb1, 0xff]);
    assert!(bench.heard[1..].iter().all(|message| message.kind == Kind::Acknowledgement));
    assert_eq!(bench.heard.len(), 4);
}

#[test]
fn a_registration_in_another_format_is_refused_as_that() {
    let mut bench = Bench::new("{}");
    for (format, body, wanted) in [
        (50, "{\"e\":[]}", code::UNSUPPORTED_FORMAT),
        (40, "no links", code::BAD_REQUEST),
        // Some say so of link format.
        (0, "</3/0>", code::CREATED),
    ] {
        let mut message = Message::new(Kind::Confirmable, code::POST, bench.next_id(), vec![1]);
        message.push(option::URI_PATH, *b"rd");
        message.push_number(option::CONTENT_FORMAT, format);
        message.push(option::URI_QUERY, *b"ep=a");
        message.payload = body.as_bytes().to_vec();
        bench.send(message);
        assert_eq!(bench.heard.pop().unwrap().code, wanted, "{body}");
    }
}
