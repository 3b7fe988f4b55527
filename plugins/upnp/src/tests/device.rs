//! Things of others as devices, and a scripted control point that looks at them.

use std::collections::BTreeSet;

use tombolo_sdk::events::{HttpCall, Outcome, Thing, ThingReading};
use tombolo_sdk::{
    Constraint, Event, Extra, Failure, Field, Node, NodeState, ReasonCode, Sample, Setting, Value, ValueType,
};

use super::bench::{Bench, URL};
use crate::codec::headers::{get, header};
use crate::codec::ssdp::{self, Message};
use crate::codec::url::Url;
use crate::codec::{description, scpd, soap};

pub(super) const POINT: &str = "192.0.2.9:50000";

pub(super) fn lamp(state: NodeState) -> Thing {
    let fields = vec![
        Field::new("light/on", ValueType::Boolean).settable(Constraint::any()),
        Field::quantity("light/level", "").settable(Constraint::range(0.0, 254.0)),
        Field::quantity("power", "W"),
    ];
    let extras = vec![Extra { key: "tombolo.origin".into(), value: "far@away.example/x/lamp".into() }];
    let node = Node { state, label: "Reading & lamp".into(), extras, ..Node::new(4, "far", "mqtt.device", fields) };
    Thing { number: 4, address: "far@away.example/x/lamp".into(), node }
}

pub(super) fn shown() -> Bench {
    let mut bench = Bench::new("{}", true);
    bench.open();
    bench.sent.clear();
    bench.event(Event::ThingAppeared(lamp(NodeState::Online)));
    bench.advance_s(1);
    bench
}

pub(super) fn tell(bench: &mut Bench, field: u16, value: Value) {
    bench.event(Event::ThingReported(ThingReading { number: 4, at: 0, samples: vec![Sample::new(field, value)] }));
}

/// Announcements since this was asked last: what, and whether it is a goodbye.
fn announced(bench: &mut Bench) -> Vec<(String, bool)> {
    let sent = std::mem::take(&mut bench.sent);
    let targets = sent.iter().filter(|text| text.starts_with("NOTIFY")).map(|text| {
        let target = text.lines().find_map(|line| line.strip_prefix("NT: ")).unwrap();
        (target.to_owned(), text.contains("ssdp:byebye"))
    });
    targets.collect()
}

pub(super) fn location(bench: &Bench) -> Url {
    let found = bench.sent.iter().rev().find_map(|text| match ssdp::parse(text.as_bytes()) {
        Ok(Message::Here(here)) => Some(here.location),
        _ => None,
    });
    found.expect("an announcement")
}

pub(super) fn ask(bench: &mut Bench, method: &str, url: &str, headers: &[(&str, &str)], body: Vec<u8>) -> u64 {
    let headers = headers.iter().map(|(name, value)| header(name, value)).collect();
    bench.request(POINT, url, HttpCall { method: method.into(), target: String::new(), headers, body })
}

fn fetch(bench: &mut Bench, url: &Url) -> Vec<u8> {
    let request = ask(bench, "GET", &url.to_string(), &[], Vec::new());
    assert_eq!(bench.replies[&request], 200, "{url}");
    bench.answers[&request].body.clone()
}

fn described(bench: &mut Bench) -> description::Device {
    let location = location(bench);
    let bytes = fetch(bench, &location);
    description::parse(&bytes, &location).unwrap().devices.remove(0)
}

/// An action of the first service of this name. Gives the request.
fn act(bench: &mut Bench, service: &str, action: &str, arguments: &[(&str, &str)]) -> u64 {
    let device = described(bench);
    let service = device.services.iter().find(|known| known.service_type.contains(service)).unwrap().clone();
    let arguments: Vec<(String, String)> =
        arguments.iter().map(|(name, text)| (String::from(*name), String::from(*text))).collect();
    let body = soap::write_request(&service.service_type, action, &arguments);
    let action = format!("\"{}#{action}\"", service.service_type);
    ask(bench, "POST", &service.control.unwrap().to_string(), &[("SOAPACTION", &action)], body)
}

fn answered(bench: &Bench, request: u64) -> Result<Vec<(String, String)>, u32> {
    soap::read_answer(&bench.answers[&request].body).unwrap().map_err(|fault| fault.code)
}

#[test]
fn a_thing_is_announced_twice_under_all_its_names() {
    let mut bench = shown();
    let all = announced(&mut bench);
    let names: BTreeSet<&str> = all.iter().map(|(target, _)| target.as_str()).collect();
    assert_eq!((all.len(), names.len()), (12, 6), "root, UDN, type and three services");
    assert!(names.contains("urn:schemas-upnp-org:device:DimmableLight:1") && names.contains("upnp:rootdevice"));
    bench.advance_s(900);
    assert_eq!(announced(&mut bench).len() % 12, 0);
}

#[test]
fn announcements_go_on_before_they_run_out() {
    let mut bench = shown();
    announced(&mut bench);
    bench.advance_s(3600);
    let rounds = announced(&mut bench).len() / 12;
    assert!((4..=8).contains(&rounds), "{rounds}");
}

#[test]
fn a_description_says_what_a_thing_is_and_where_it_comes_from() {
    let mut bench = shown();
    let device = described(&mut bench);
    assert_eq!((device.friendly_name.as_str(), device.origin.as_str()), ("Reading & lamp", "far@away.example/x/lamp"));
    assert_eq!(device.device_type, "urn:schemas-upnp-org:device:DimmableLight:1");
    let urls: Vec<Url> = device.services.iter().map(|service| service.scpd.clone().unwrap()).collect();
    let services: Vec<scpd::Scpd> = urls.iter().map(|url| scpd::parse(&fetch(&mut bench, url)).unwrap()).collect();
    assert_eq!(services.len(), 3);
    assert!(services[0].variable("Status").unwrap().is_evented && services[0].action("SetTarget").is_some());
    assert_eq!(services[1].variable("LoadLevelStatus").unwrap().range, Some((0.0, 100.0)));
    assert!(services[2].variable("Power").unwrap().is_evented && services[2].action("SetPower").is_none());
}

#[test]
fn what_is_not_there_is_not_found() {
    let mut bench = shown();
    let base = location(&bench).to_string().replace("/desc.xml", "");
    for (method, path, status) in [
        ("GET", "/other.xml", 404),
        ("GET", "/switch/control", 405),
        ("POST", "/desc.xml", 405),
        ("POST", "/other/control", 404),
        ("SUBSCRIBE", "/other/event", 404),
        ("GET", "", 404),
    ] {
        let request = ask(&mut bench, method, &format!("{base}{path}"), &[], Vec::new());
        assert_eq!(bench.replies[&request], status, "{method} {path}");
    }
    let request =
        ask(&mut bench, "GET", &format!("{URL}/d/00000000-0000-0000-0000-000000000000/desc.xml"), &[], Vec::new());
    assert_eq!(bench.replies[&request], 404);
}

#[test]
fn searches_are_answered_at_random_within_their_time() {
    let mut bench = shown();
    let search = |target: &str, mx: u32| ssdp::write_search(target, mx);
    bench.datagram(POINT, &search(ssdp::ALL, 3));
    assert!(bench.sent_to.is_empty());
    bench.advance_s(3);
    let answers = std::mem::take(&mut bench.sent_to);
    assert_eq!(answers.len(), 6);
    assert!(
        answers
            .iter()
            .all(|(peer, text)| peer == POINT && matches!(ssdp::parse(text.as_bytes()), Ok(Message::Here(_))))
    );
    for (target, count) in
        [("upnp:rootdevice", 1), ("urn:schemas-upnp-org:service:SwitchPower:1", 1), ("urn:x:device:Y:1", 0)]
    {
        bench.datagram("192.0.2.10:1", &search(target, 1));
        bench.advance_s(1);
        assert_eq!(std::mem::take(&mut bench.sent_to).len(), count, "{target}");
    }
}

#[test]
fn a_flood_of_searches_is_answered_within_bounds() {
    let mut bench = shown();
    let search = ssdp::write_search("upnp:rootdevice", 1);
    (0..1000).for_each(|_| bench.datagram("192.0.2.66:1", &search));
    bench.advance_s(1);
    assert_eq!(std::mem::take(&mut bench.sent_to).len(), 10, "of one peer");
    (1..1000).for_each(|port| bench.datagram(&format!("192.0.2.67:{port}"), &search));
    bench.advance_s(1);
    assert_eq!(std::mem::take(&mut bench.sent_to).len(), 99, "of all");
    bench.advance_s(5);
    bench.datagram(POINT, &search);
    bench.advance_s(1);
    assert_eq!(bench.sent_to.len(), 1);
}

#[test]
fn switching_sets_the_field_and_answers_when_it_is_done() {
    let mut bench = shown();
    let request = act(&mut bench, "SwitchPower", "SetTarget", &[("newTargetValue", "1")]);
    assert_eq!(
        (bench.controls[0].thing, &bench.controls[0].settings[..]),
        (4, &[Setting { field: 0, value: Value::Boolean(true) }][..])
    );
    assert!(!bench.replies.contains_key(&request));
    let id = bench.controls[0].id;
    bench.event(Event::Done(Outcome { id, outcome: Ok(()) }));
    assert_eq!((bench.replies[&request], answered(&bench, request)), (200, Ok(vec![])));
    let target = act(&mut bench, "SwitchPower", "GetTarget", &[]);
    assert_eq!(answered(&bench, target), Ok(vec![("RetTargetValue".into(), "1".into())]));
}

#[test]
fn levels_are_percent() {
    let mut bench = shown();
    act(&mut bench, "Dimming", "SetLoadLevelTarget", &[("newLoadlevelTarget", "50")]);
    assert_eq!(bench.controls[0].settings[0].value, Value::Decimal("127".parse().unwrap()));
    tell(&mut bench, 1, Value::Int32(254));
    let status = act(&mut bench, "Dimming", "GetLoadLevelStatus", &[]);
    assert_eq!(answered(&bench, status), Ok(vec![("retLoadlevelStatus".into(), "100".into())]));
}

#[test]
fn what_is_not_known_is_read_from_the_thing() {
    let mut bench = shown();
    let request = act(&mut bench, "Fields", "GetPower", &[]);
    let read = bench.thing_reads[0];
    tell(&mut bench, 2, Value::Decimal("23.40".parse().unwrap()));
    bench.event(Event::Done(Outcome { id: read, outcome: Ok(()) }));
    assert_eq!(answered(&bench, request), Ok(vec![("CurrentPower".into(), "23.40".into())]));
    let again = act(&mut bench, "Fields", "GetPower", &[]);
    assert!(answered(&bench, again).is_ok() && bench.thing_reads.len() == 1);
}

#[test]
fn trouble_is_a_fault() {
    let mut bench = shown();
    let request = act(&mut bench, "SwitchPower", "SetTarget", &[("newTargetValue", "1")]);
    let outcome = Err(Failure::new(ReasonCode::AccessDenied, "no"));
    let id = bench.controls[0].id;
    bench.event(Event::Done(Outcome { id, outcome }));
    assert_eq!((bench.replies[&request], answered(&bench, request)), (500, Err(606)));
    for (service, action, arguments, code) in [
        ("SwitchPower", "SetTarget", &[("newTargetValue", "maybe")][..], 600),
        ("SwitchPower", "SetTarget", &[], 402),
        ("SwitchPower", "Explode", &[], 401),
        ("Dimming", "SetLoadLevelTarget", &[("newLoadlevelTarget", "101")], 600),
        ("Fields", "QueryStateVariable", &[("varName", "Nothing")], 404),
    ] {
        let request = act(&mut bench, service, action, arguments);
        assert_eq!(answered(&bench, request), Err(code), "{action}");
    }
    assert_eq!(bench.controls.len(), 1);
}

#[test]
fn orders_have_an_end() {
    let mut bench = shown();
    let last =
        (0..100).map(|_| act(&mut bench, "SwitchPower", "SetTarget", &[("newTargetValue", "1")])).last().unwrap();
    assert_eq!((bench.controls.len(), answered(&bench, last)), (64, Err(603)));
}

#[test]
fn a_state_variable_can_be_asked_for_by_name() {
    let mut bench = shown();
    tell(&mut bench, 0, Value::Boolean(true));
    let request = act(&mut bench, "SwitchPower", "QueryStateVariable", &[("varName", "Status")]);
    assert_eq!(answered(&bench, request), Ok(vec![("return".into(), "1".into())]));
}

#[test]
fn a_thing_that_is_away_is_not_in_the_network() {
    let mut bench = shown();
    let url = location(&bench).to_string();
    announced(&mut bench);
    bench.event(Event::ThingChanged(lamp(NodeState::Offline)));
    bench.advance_s(1);
    assert!(announced(&mut bench).iter().all(|(_, is_goodbye)| *is_goodbye));
    let request = ask(&mut bench, "GET", &url, &[], Vec::new());
    assert_eq!(bench.replies[&request], 404);
    bench.event(Event::ThingChanged(lamp(NodeState::Online)));
    bench.advance_s(1);
    assert_eq!(announced(&mut bench).len(), 12);
    bench.event(Event::ThingVanished(4));
    bench.advance_s(1);
    assert_eq!(announced(&mut bench).iter().filter(|(_, is_goodbye)| *is_goodbye).count(), 6);
}

#[test]
fn a_thing_that_is_another_now_leaves_and_comes_again() {
    let mut bench = shown();
    let config = |bench: &Bench| {
        let mut lines = bench.sent.iter().rev().flat_map(|text| text.lines());
        lines.find(|line| line.starts_with("CONFIGID")).unwrap().to_owned()
    };
    let before = config(&bench);
    bench.sent.clear();
    let mut thing = lamp(NodeState::Online);
    thing.node.fields.truncate(1);
    bench.event(Event::ThingChanged(thing));
    bench.advance_s(1);
    assert_ne!(config(&bench), before);
    let all = announced(&mut bench);
    assert_eq!((all.iter().filter(|(_, is_goodbye)| *is_goodbye).count(), all.len()), (6, 14));
}

#[test]
fn the_last_word_is_goodbye() {
    let mut bench = shown();
    announced(&mut bench);
    bench.harness.stop();
    bench.absorb();
    let all = announced(&mut bench);
    assert!(all.len() == 6 && all.iter().all(|(_, is_goodbye)| *is_goodbye));
}

#[test]
fn own_devices_are_not_found() {
    let mut bench = shown();
    for text in std::mem::take(&mut bench.sent) {
        bench.datagram("192.0.2.1:1900", text.as_bytes());
    }
    assert!(bench.nodes.is_empty() && bench.strays.is_empty());
}

#[test]
fn without_a_place_to_serve_nothing_is_shown() {
    let mut bench = Bench::new("{}", false);
    bench.open();
    bench.event(Event::ThingAppeared(lamp(NodeState::Online)));
    bench.advance_s(1);
    assert!(announced(&mut bench).is_empty());
    bench.datagram(POINT, &ssdp::write_search(ssdp::ALL, 1));
    bench.advance_s(2);
    assert!(bench.sent_to.is_empty());
}

#[test]
fn a_swap_announces_nothing() {
    let mut bench = shown();
    let url = location(&bench).to_string();
    announced(&mut bench);
    let mut bench = bench.swapped();
    bench.event(Event::ThingAppeared(lamp(NodeState::Online)));
    bench.advance_s(1);
    assert!(announced(&mut bench).is_empty());
    let request = ask(&mut bench, "GET", &url, &[], Vec::new());
    assert_eq!(bench.replies[&request], 200);
}

#[test]
fn after_a_restart_a_thing_is_the_same_device_started_again() {
    let mut bench = shown();
    bench.advance_s(2);
    let boot = |bench: &Bench| {
        let line = bench
            .sent
            .iter()
            .rev()
            .find_map(|text| text.lines().find_map(|line| line.strip_prefix("BOOTID.UPNP.ORG: ")));
        line.unwrap().parse::<u32>().unwrap()
    };
    let (before, place) = (boot(&bench), location(&bench));
    let mut bench = bench.restarted();
    bench.open();
    bench.event(Event::ThingAppeared(lamp(NodeState::Online)));
    bench.advance_s(1);
    assert_eq!(location(&bench), place);
    assert!(boot(&bench) > before);
    announced(&mut bench);
    bench.advance_s(70);
    assert!(announced(&mut bench).is_empty());
}

#[test]
fn what_does_not_come_back_after_a_restart_says_goodbye() {
    let mut bench = shown();
    bench.advance_s(2);
    let mut bench = bench.restarted();
    bench.open();
    bench.advance_s(1);
    announced(&mut bench);
    bench.advance_s(62);
    assert_eq!(announced(&mut bench).iter().filter(|(_, is_goodbye)| *is_goodbye).count(), 6);
}

#[test]
fn answers_say_who_speaks() {
    let mut bench = shown();
    let url = location(&bench).to_string();
    let request = ask(&mut bench, "GET", &url, &[], Vec::new());
    let headers = &bench.answers[&request].headers;
    assert!(get(headers, "SERVER").unwrap().contains("UPnP/2.0") && get(headers, "DATE").is_some());
    assert_eq!(get(headers, "CONTENT-TYPE"), Some("text/xml; charset=\"utf-8\""));
}
