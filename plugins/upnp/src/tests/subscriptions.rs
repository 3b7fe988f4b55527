//! What devices tell.

use tombolo_sdk::events::HttpCall;
use tombolo_sdk::{NodeState, Value};

use super::bench::{Bench, HOST, URL};
use super::lamp::Lamp;
use crate::codec::gena;
use crate::codec::headers::header;

fn status(on: bool) -> (String, Value) {
    ("SwitchPower/Status".into(), Value::Boolean(on))
}

#[test]
fn an_event_is_a_reading_and_is_answered_once_it_is_stored() {
    let mut bench = Bench::with_lamp();
    let values = bench.values();
    assert!(values.contains(&status(false)), "{values:?}");
    bench.store();
    bench.lamps[0].is_on = true;
    let request = bench.notify(0);
    assert_eq!((bench.values(), bench.replies.get(&request)), (vec![status(true)], None));
    bench.store();
    assert_eq!(bench.replies[&request], 200);
}

#[test]
fn the_callback_is_the_granted_url_with_a_secret_end() {
    let bench = Bench::with_lamp();
    let (callback, ..) = bench.lamps[0].subscriber.as_ref().unwrap();
    let token = callback.strip_prefix(&format!("{URL}/e/")).unwrap();
    assert_eq!(token.len(), 16);
}

#[test]
fn the_initial_event_may_come_before_the_subscription_is_known() {
    let mut bench = Bench::new("{}", true);
    bench.open();
    bench.lamps.push(Lamp::new(HOST, "uuid:lamp"));
    bench.announce(0);
    let mut bench = {
        // The subscription is asked for once more, and now the answer is late.
        let sid = bench.lamps[0].subscriber.as_ref().unwrap().1.clone();
        bench.lamps[0].subscriber = None;
        bench.held = Some(Vec::new());
        bench.advance_s(151);
        assert_eq!(sid, "uuid:sub-1");
        bench.release();
        bench
    };
    assert_eq!(bench.lamps[0].subscriptions, 2, "a renewal that is refused is a new subscription");
    bench.values();
    bench.notify(0);
    assert_eq!(bench.values(), [status(false)]);
}

#[test]
fn an_early_event_counts() {
    let mut bench = Bench::new("{}", true);
    bench.open();
    bench.lamps.push(Lamp::new(HOST, "uuid:lamp"));
    bench.announce(0);
    bench.lamps[0].subscriber = None;
    bench.advance_s(149);
    bench.held = Some(Vec::new());
    bench.advance_s(2);
    let renewal = bench.held.take().unwrap().pop().unwrap();
    bench.held = Some(Vec::new());
    let answer = bench.lamps[0].handle(&renewal.call);
    bench.event(tombolo_sdk::Event::HttpDone(tombolo_sdk::events::HttpDone { id: renewal.id, outcome: Ok(answer) }));
    let subscribe = bench.held.take().unwrap().pop().unwrap();
    let answer = bench.lamps[0].handle(&subscribe.call);
    bench.values();
    let request = bench.notify(0);
    assert_eq!(bench.values(), [status(false)]);
    bench.store();
    assert_eq!(bench.replies[&request], 200);
    bench.event(tombolo_sdk::Event::HttpDone(tombolo_sdk::events::HttpDone { id: subscribe.id, outcome: Ok(answer) }));
    bench.notify(0);
    assert_eq!((bench.values(), bench.lamps[0].subscriptions), (vec![status(false)], 2));
}

#[test]
fn subscriptions_are_renewed_before_they_end() {
    let mut bench = Bench::with_lamp();
    bench.advance_s(1700);
    let renewals = bench.lamps[0].called.iter().filter(|called| *called == "RENEW").count();
    assert_eq!((renewals, bench.lamps[0].subscriptions), (11, 1));
}

#[test]
fn a_missing_number_means_a_new_subscription() {
    let mut bench = Bench::with_lamp();
    bench.values();
    bench.lamps[0].subscriber.as_mut().unwrap().2 += 1;
    bench.lamps[0].is_on = true;
    bench.notify(0);
    assert_eq!(bench.values(), [status(true)], "what is known is told");
    assert_eq!((bench.lamps[0].subscriptions, bench.lamps[0].called.last().unwrap().as_str()), (2, "UNSUBSCRIBE"));
    bench.notify(0);
    assert_eq!(bench.values(), [status(true)]);
}

#[test]
fn a_repeated_event_is_answered_and_not_told_again() {
    let mut bench = Bench::with_lamp();
    bench.notify(0);
    bench.values();
    bench.lamps[0].subscriber.as_mut().unwrap().2 -= 1;
    let request = bench.notify(0);
    assert_eq!((bench.values(), bench.replies[&request]), (vec![], 200));
}

#[test]
fn spoofed_notifications_are_refused() {
    let mut bench = Bench::with_lamp();
    bench.values();
    let (callback, sid, sequence) = bench.lamps[0].subscriber.clone().unwrap();
    let body = gena::write_properties([("Status", "1")]);
    let call = |sid: &str| HttpCall {
        method: "NOTIFY".into(),
        target: String::new(),
        headers: gena::notify(sid, sequence),
        body: body.clone(),
    };
    let there = format!("{HOST}:1");
    let elsewhere = bench.request("192.0.2.66:1", &callback, call(&sid));
    let other_sid = bench.request(&there, &callback, call("uuid:other"));
    let other_token = bench.request(&there, &format!("{URL}/e/0000000000000000"), call(&sid));
    let no_token = bench.request(&there, &format!("{URL}/e/"), call(&sid));
    for request in [elsewhere, other_sid, other_token, no_token] {
        assert_eq!(bench.replies[&request], 412);
    }
    let odd = HttpCall { headers: vec![header("SID", &sid)], ..call(&sid) };
    let odd = bench.request(&there, &callback, odd);
    let get = bench.request(&there, &callback, HttpCall { method: "GET".into(), ..call(&sid) });
    let nowhere = bench.request(&there, &format!("{URL}/x"), call(&sid));
    assert_eq!((bench.replies[&odd], bench.replies[&get], bench.replies[&nowhere]), (400, 405, 404));
    assert!(bench.values().is_empty());
}

#[test]
fn what_tells_no_events_is_read_instead() {
    let mut bench = Bench::new("{}", true);
    bench.open();
    bench.lamps.push(Lamp { subscribe_status: 501, ..Lamp::new(HOST, "uuid:lamp") });
    bench.announce(0);
    assert!(bench.warnings[0].contains("tells no events"), "{:?}", bench.warnings);
    assert!(bench.values().contains(&status(false)));
    bench.lamps[0].subscribe_status = 200;
    bench.advance_s(40);
    assert_eq!(bench.lamps[0].subscriptions, 1, "it is asked again");
}

#[test]
fn without_a_place_for_events_what_is_wanted_is_read_from_time_to_time() {
    let mut bench = Bench::new(r#"{"poll_s": 10}"#, false);
    bench.open();
    bench.lamps.push(Lamp::new(HOST, "uuid:lamp"));
    bench.announce(0);
    assert_eq!(bench.values().len(), 2, "once, to begin with");
    bench.advance_s(60);
    assert!(bench.values().is_empty(), "nobody wants it");
    let node = bench.node().number;
    bench.event(tombolo_sdk::Event::Wanted(node));
    bench.advance_s(21);
    assert_eq!(bench.values().len(), 6);
    bench.event(tombolo_sdk::Event::Unwanted(node));
    bench.advance_s(60);
    assert!(bench.values().is_empty() && bench.lamps[0].subscriptions == 0);
}

#[test]
fn a_device_that_is_told_to_stop_is() {
    let mut bench = Bench::with_lamp();
    bench.harness.stop();
    bench.absorb();
    assert!(bench.lamps[0].subscriber.is_none());
}

#[test]
fn an_event_shows_that_a_lost_device_is_there() {
    let mut bench = Bench::with_lamp();
    let node = bench.node().number;
    let mut lamp = bench.lamps.pop().unwrap();
    bench.write(node, &[(0, Value::Boolean(true))]);
    assert_eq!(bench.state(), NodeState::Offline);
    let (url, call) = lamp.notification();
    bench.request(&format!("{HOST}:1"), &url, call);
    assert_eq!(bench.state(), NodeState::Online);
}
