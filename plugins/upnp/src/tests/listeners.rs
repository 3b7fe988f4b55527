//! Control points that listen to our devices.

use tombolo_sdk::actions::Http;
use tombolo_sdk::events::{HttpDone, Outcome};
use tombolo_sdk::{Event, Failure, NodeState, ReasonCode, Value};

use super::bench::Bench;
use super::device::{ask, lamp, location, shown, tell};
use crate::codec::gena;
use crate::codec::headers::get;

const CALLBACK: &str = "<http://192.0.2.9:7000/cb>";

/// A bench with somebody who listens to the lamp's switch; its notifications wait for an answer.
fn listened() -> (Bench, String, String) {
    let mut bench = shown();
    let url = location(&bench).to_string().replace("desc.xml", "switch/event");
    bench.held = Some(Vec::new());
    let sid = subscribe(&mut bench, &url, CALLBACK).unwrap();
    (bench, url, sid)
}

fn subscribe(bench: &mut Bench, url: &str, callback: &str) -> Result<String, u16> {
    let request = ask(
        bench,
        "SUBSCRIBE",
        url,
        &[("CALLBACK", callback), ("NT", "upnp:event"), ("TIMEOUT", "Second-300")],
        Vec::new(),
    );
    match bench.replies[&request] {
        200 => Ok(get(&bench.answers[&request].headers, "SID").unwrap().to_owned()),
        status => Err(status),
    }
}

/// The request of a notification, its number and what it says.
type Told = (Http, u32, Vec<(String, String)>);

/// The notification that is under way.
fn told(bench: &mut Bench) -> Option<Told> {
    let held = bench.held.replace(Vec::new()).unwrap();
    assert!(held.len() < 2, "one at a time");
    let http = held.into_iter().next()?;
    assert_eq!((http.call.method.as_str(), http.endpoint.as_str()), ("NOTIFY", "devices"));
    let notify = gena::read_notify(&http.call.headers).unwrap();
    let properties = gena::read_properties(&http.call.body).unwrap();
    Some((http, notify.sequence, properties))
}

fn answer(bench: &mut Bench, http: &Http, status: u16) {
    bench.event(Event::HttpDone(HttpDone { id: http.id, outcome: Ok(super::lamp::status(status)) }));
}

fn status(text: &str) -> Vec<(String, String)> {
    vec![("Status".into(), text.into())]
}

#[test]
fn a_listener_is_told_everything_first_and_then_what_changes() {
    let mut bench = shown();
    tell(&mut bench, 0, Value::Boolean(false));
    let url = location(&bench).to_string().replace("desc.xml", "switch/event");
    bench.held = Some(Vec::new());
    subscribe(&mut bench, &url, CALLBACK).unwrap();
    let (first, sequence, properties) = told(&mut bench).unwrap();
    assert_eq!((sequence, properties, first.call.target.as_str()), (0, status("0"), "http://192.0.2.9:7000/cb"));
    tell(&mut bench, 0, Value::Boolean(true));
    tell(&mut bench, 2, Value::Int32(1));
    assert!(told(&mut bench).is_none(), "one at a time");
    answer(&mut bench, &first, 200);
    let (second, sequence, properties) = told(&mut bench).unwrap();
    assert_eq!((sequence, properties), (1, status("1")));
    answer(&mut bench, &second, 200);
    tell(&mut bench, 0, Value::Boolean(true));
    assert!(told(&mut bench).is_none(), "nothing changed");
}

#[test]
fn the_first_event_comes_even_if_nothing_is_known() {
    let (mut bench, ..) = listened();
    assert_eq!(told(&mut bench).map(|(_, sequence, properties)| (sequence, properties)), Some((0, vec![])));
}

#[test]
fn what_is_not_delivered_is_tried_again_with_the_same_words() {
    let (mut bench, ..) = listened();
    let (first, ..) = told(&mut bench).unwrap();
    let failure = Failure::new(ReasonCode::Timeout, "late");
    bench.event(Event::HttpDone(HttpDone { id: first.id, outcome: Err(failure) }));
    tell(&mut bench, 0, Value::Boolean(true));
    bench.advance_s(2);
    let (again, sequence, properties) = told(&mut bench).unwrap();
    assert_eq!((sequence, properties), (0, vec![]));
    answer(&mut bench, &again, 500);
    bench.advance_s(5);
    let (again, sequence, _) = told(&mut bench).unwrap();
    answer(&mut bench, &again, 200);
    assert_eq!(
        (sequence, told(&mut bench).map(|(_, sequence, properties)| (sequence, properties))),
        (0, Some((1, status("1"))))
    );
}

#[test]
fn who_never_listens_is_given_up() {
    let (mut bench, url, sid) = listened();
    for on in [true, false, true, false, true] {
        for _ in 0..3 {
            if let Some((http, ..)) = told(&mut bench) {
                answer(&mut bench, &http, 500);
            }
            bench.advance_s(10);
        }
        tell(&mut bench, 0, Value::Boolean(on));
    }
    let renew = ask(&mut bench, "SUBSCRIBE", &url, &[("SID", &sid)], Vec::new());
    assert_eq!(bench.replies[&renew], 412);
}

#[test]
fn who_has_forgotten_is_not_told_again() {
    let (mut bench, ..) = listened();
    let (http, ..) = told(&mut bench).unwrap();
    answer(&mut bench, &http, 412);
    tell(&mut bench, 0, Value::Boolean(true));
    bench.advance_s(10);
    assert!(told(&mut bench).is_none());
}

#[test]
fn subscriptions_are_renewed_and_ended() {
    let (mut bench, url, sid) = listened();
    let (http, ..) = told(&mut bench).unwrap();
    answer(&mut bench, &http, 200);
    bench.advance_s(200);
    let renew = ask(&mut bench, "SUBSCRIBE", &url, &[("SID", &sid), ("TIMEOUT", "Second-300")], Vec::new());
    assert_eq!(get(&bench.answers[&renew].headers, "TIMEOUT"), Some("Second-300"));
    bench.advance_s(200);
    tell(&mut bench, 0, Value::Boolean(true));
    let (http, ..) = told(&mut bench).unwrap();
    answer(&mut bench, &http, 200);
    let odd = ask(&mut bench, "UNSUBSCRIBE", &url, &[("SID", &sid), ("NT", "upnp:event")], Vec::new());
    let end = ask(&mut bench, "UNSUBSCRIBE", &url, &[("SID", &sid)], Vec::new());
    let twice = ask(&mut bench, "UNSUBSCRIBE", &url, &[("SID", &sid)], Vec::new());
    assert_eq!([odd, end, twice].map(|request| bench.replies[&request]), [400, 200, 412]);
    tell(&mut bench, 0, Value::Boolean(false));
    assert!(told(&mut bench).is_none());
}

#[test]
fn a_subscription_that_nobody_renews_ends() {
    let (mut bench, ..) = listened();
    let (http, ..) = told(&mut bench).unwrap();
    answer(&mut bench, &http, 200);
    bench.advance_s(301);
    tell(&mut bench, 0, Value::Boolean(true));
    assert!(told(&mut bench).is_none());
}

#[test]
fn callbacks_are_only_taken_from_those_who_live_there() {
    let (mut bench, url, _) = listened();
    for callback in
        ["<http://192.0.2.66/victim>", "<http://victim.example/>", "<ftp://192.0.2.9/>", "", "http://192.0.2.9/"]
    {
        assert_eq!(subscribe(&mut bench, &url, callback), Err(412), "{callback}");
    }
    assert!(subscribe(&mut bench, &url, "<http://192.0.2.66/x><http://192.0.2.9:7001/own>").is_ok());
}

#[test]
fn listeners_have_an_end() {
    let (mut bench, url, _) = listened();
    let refused = (0..100).filter(|_| subscribe(&mut bench, &url, CALLBACK) == Err(503)).count();
    assert_eq!(refused, 85);
}

#[test]
fn a_swap_loses_no_listener_and_no_event() {
    let (mut bench, ..) = listened();
    let (http, ..) = told(&mut bench).unwrap();
    tell(&mut bench, 0, Value::Boolean(true));
    let mut bench = bench.swapped();
    bench.event(Event::ThingAppeared(lamp(NodeState::Online)));
    answer(&mut bench, &http, 200);
    let (http, sequence, properties) = told(&mut bench).unwrap();
    assert_eq!((sequence, properties), (1, status("1")));
    let mut bench = bench.swapped();
    let failure = Failure::new(ReasonCode::Closed, "gone");
    bench.event(Event::HttpDone(HttpDone { id: http.id, outcome: Err(failure) }));
    bench.advance_s(3);
    assert_eq!(told(&mut bench).map(|(_, sequence, _)| sequence), Some(1));
}

#[test]
fn an_order_is_answered_by_the_version_after() {
    let (mut bench, ..) = listened();
    let url = location(&bench).to_string().replace("desc.xml", "switch/control");
    let kind = "urn:schemas-upnp-org:service:SwitchPower:1";
    let body = crate::codec::soap::write_request(kind, "SetTarget", &[("newTargetValue".into(), "1".into())]);
    let request = ask(&mut bench, "POST", &url, &[("SOAPACTION", &format!("\"{kind}#SetTarget\""))], body);
    let id = bench.controls[0].id;
    let mut bench = bench.swapped();
    bench.event(Event::Done(Outcome { id, outcome: Ok(()) }));
    assert_eq!(bench.replies[&request], 200);
}
