//! What is observed together: Observe-Composite of LwM2M 1.1, and devices that know it in part or not at all.

use tombolo_sdk::Event;

use super::device::{Bench, path};
use crate::codec::Datum;
use crate::codec::message::Kind;

const TOGETHER: &str = "FETCH / observe 0 accept 110 format 110";
const CANCEL: &str = "FETCH / observe 1 accept 110 format 110";

fn ready(settings: &str) -> Bench {
    let mut bench = Bench::registered(settings, "ep=a&lwm2m=1.1");
    (bench.device.has_composite, bench.device.observes_together) = (true, true);
    bench.forget();
    bench
}

fn want(bench: &mut Bench, nodes: &[&str]) {
    for node in nodes {
        bench.event(Event::Wanted(bench.number(node)));
    }
    bench.advance(100);
}

fn measured(bench: &mut Bench, observed: &str, value: &str) {
    let number = Datum::Number(value.parse().unwrap());
    bench.notify(observed, "/3303/0/5700", number, Kind::NonConfirmable);
    assert_eq!(bench.values("a/3303/0")[1], format!("Sensor Value={value}°C"));
}

#[test]
fn what_is_wanted_at_the_same_time_is_observed_together() {
    let mut bench = ready("{}");
    want(&mut bench, &["a/3303/0", "a/3306/0"]);
    assert_eq!(bench.asked, [TOGETHER]);
    assert_eq!(bench.device.observers.len(), 2);
    measured(&mut bench, "/3306/0", "22.75");
    // One alone is a plain observation.
    bench.forget();
    want(&mut bench, &["a/3/0"]);
    assert_eq!(bench.asked, ["GET /3/0 observe 0"]);
}

#[test]
fn what_nobody_wants_any_more_leaves_and_the_others_go_on() {
    let mut bench = ready("{}");
    want(&mut bench, &["a/3303/0", "a/3306/0", "a/3/0"]);
    bench.forget();
    bench.event(Event::Unwanted(bench.number("a/3306/0")));
    bench.advance(100);
    assert_eq!(bench.asked, [CANCEL, TOGETHER]);
    assert_eq!(bench.device.observers.keys().copied().collect::<Vec<_>>(), [path("/3/0"), path("/3303/0")]);
    measured(&mut bench, "/3/0", "23.5");
    bench.forget();
    bench.event(Event::Unwanted(bench.number("a/3/0")));
    bench.event(Event::Unwanted(bench.number("a/3303/0")));
    bench.advance(100);
    assert_eq!(bench.asked.iter().filter(|asked| asked.ends_with("observe 0")).count(), 1);
    assert!(bench.device.observers.is_empty(), "{:?}", bench.asked);
}

#[test]
fn one_that_knows_no_composite_observation_is_observed_one_by_one() {
    for has_composite in [true, false] {
        let mut bench = ready("{}");
        (bench.device.has_composite, bench.device.observes_together) = (has_composite, false);
        want(&mut bench, &["a/3303/0", "a/3306/0"]);
        assert_eq!(bench.asked, [TOGETHER, "GET /3303/0 observe 0", "GET /3306/0 observe 0"]);
        measured(&mut bench, "/3303/0", "19.5");
        bench.forget();
        want(&mut bench, &["a/3/0", "a/1/0"]);
        assert!(bench.asked.iter().all(|asked| asked.starts_with("GET")), "{:?}", bench.asked);
    }
}

#[test]
fn what_a_composite_answer_leaves_out_is_observed_alone() {
    let mut bench = ready("{}");
    bench.device.left_out = vec![path("/3306/0")];
    want(&mut bench, &["a/3303/0", "a/3306/0", "a/3/0"]);
    assert_eq!(bench.asked, [TOGETHER, "GET /3306/0 observe 0"]);
    assert_eq!(bench.device.observers.len(), 3);
}

#[test]
fn periods_are_written_before_instances_are_observed_together() {
    let mut bench = ready(r#"{"observe_min_s": 5}"#);
    want(&mut bench, &["a/3303/0", "a/3306/0"]);
    assert_eq!(bench.asked, ["PUT /3303/0?pmin=5", "PUT /3306/0?pmin=5", TOGETHER]);
}

#[test]
fn an_instance_that_is_gone_takes_no_other_with_it() {
    let mut bench = ready("{}");
    let answer = bench.register("ep=a&lwm2m=1.1");
    let location = String::from_utf8(answer.options[1].1.clone()).unwrap();
    bench.advance(200);
    want(&mut bench, &["a/3303/0", "a/3306/0", "a/3/0"]);
    bench.forget();
    bench.device.values.retain(|at, _| at.object() != Some(3306));
    bench.exchange(crate::codec::message::code::POST, &format!("rd/{location}"), "</1/0>,</3/0>,</3303/0>");
    bench.advance(200);
    assert_eq!(bench.asked, [TOGETHER]);
    measured(&mut bench, "/3/0", "20.25");
}

#[test]
fn observing_together_goes_on_over_a_swap_and_begins_anew_after_a_restart() {
    let mut bench = ready("{}");
    want(&mut bench, &["a/3303/0", "a/3306/0"]);
    bench.advance(60_000);
    bench.forget();
    bench.harness = bench.harness.swap(&[1], &[]).unwrap();
    measured(&mut bench, "/3306/0", "24.5");
    assert!(bench.asked.is_empty());
    bench.harness = bench.harness.restart().unwrap();
    want(&mut bench, &["a/3303/0", "a/3306/0"]);
    assert_eq!(bench.asked, [CANCEL, TOGETHER]);
    measured(&mut bench, "/3303/0", "25.5");
}
