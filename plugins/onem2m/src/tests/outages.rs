//! A CSE that is away, lost its mind, or forgets to tell: nothing is lost and nothing doubled.

use serde_json::json;
use tombolo_sdk::{NodeState, ReasonCode, Value};

use super::bench::{Bench, device, switch};

#[test]
fn what_was_made_during_an_outage_is_fetched_after_it() {
    let mut bench = Bench::new("{}", device);
    bench.readings();
    bench.cse.is_away = true;
    bench.advance(61_000);
    assert_eq!(bench.state("dev/temp"), NodeState::Offline);
    assert!(bench.warnings().iter().any(|warning| warning.contains("connection refused")));
    bench.log.clear();
    bench.cse.is_silent = true;
    for value in ["1", "2", "3"] {
        bench.advance(1_000);
        bench.cse.say("dev/temp", value);
    }
    bench.cse.is_silent = false;
    bench.cse.is_away = false;
    bench.advance(60_000);
    assert_eq!(bench.state("dev/temp"), NodeState::Online);
    assert_eq!(bench.readings(), ["dev/temp value 1", "dev/temp value 2", "dev/temp value 3"]);
}

#[test]
fn what_was_made_while_we_were_down_is_fetched() {
    let mut bench = Bench::new("{}", device);
    bench.advance(2_000);
    bench.readings();
    bench.cse.is_silent = true;
    bench.cse.now += 5_000_000;
    bench.cse.say("dev/temp", "1");
    bench.cse.now += 1_000_000;
    bench.cse.say("dev/temp", "2");
    bench.cse.is_silent = false;
    let mut bench = bench.restart();
    assert_eq!(bench.readings(), ["dev/temp value 1", "dev/temp value 2"]);
    bench.cse.say("dev/temp", "3");
    bench.pump();
    assert_eq!(bench.readings(), ["dev/temp value 3"]);
}

#[test]
fn what_was_not_stored_before_a_crash_is_fetched_after_it() {
    let mut bench = Bench::new("{}", device);
    bench.advance(2_000);
    bench.is_storing = false;
    bench.cse.say("dev/temp", "1");
    bench.pump();
    bench.advance(2_000);
    assert_eq!(bench.readings(), ["dev/temp value 21.50", "dev/temp value 1"]);
    let mut bench = bench.recover();
    assert_eq!(bench.readings(), ["dev/temp value 1"]);
}

#[test]
fn a_notification_that_was_lost_is_noticed_by_the_next() {
    let mut bench = Bench::new("{}", device);
    bench.cse.say("dev/temp", "1");
    bench.pump();
    bench.readings();
    bench.cse.is_silent = true;
    bench.advance(3_000);
    bench.cse.say("dev/temp", "2");
    bench.cse.is_silent = false;
    bench.advance(3_000);
    bench.cse.say("dev/temp", "3");
    bench.pump();
    let mut readings = bench.readings();
    readings.sort();
    assert_eq!(readings, ["dev/temp value 2", "dev/temp value 3"]);
}

#[test]
fn notifications_that_all_were_lost_are_noticed_by_the_check() {
    let mut bench = Bench::new("{}", |cse| {
        device(cse);
        switch(cse);
    });
    bench.readings();
    bench.cse.is_silent = true;
    bench.advance(10_000);
    bench.cse.say("dev/temp", "1");
    bench.cse.change("switch", json!({"cod:binSh": {"state": true}}));
    bench.advance(300_000);
    assert_eq!(bench.readings(), ["dev/temp value 1", "switch powerState true"]);
}

#[test]
fn without_notifications_it_polls() {
    let mut bench = Bench::polling("{}", |cse| {
        device(cse);
        switch(cse);
    });
    assert_eq!(bench.readings(), ["switch powerState false", "dev/temp value 21.50"]);
    for value in ["1", "2"] {
        bench.advance(3_000);
        bench.cse.say("dev/temp", value);
    }
    bench.cse.change("switch", json!({"cod:binSh": {"state": true}}));
    bench.advance(10_000);
    assert_eq!(bench.readings(), ["dev/temp value 1", "dev/temp value 2", "switch powerState true"]);
    bench.advance(30_000);
    assert_eq!(bench.readings(), Vec::<String>::new());
}

#[test]
fn where_subscriptions_are_refused_it_polls_and_says_so() {
    let mut bench = Bench::new("{}", |cse| {
        device(cse);
        cse.has_no_subscriptions = true;
    });
    assert_eq!(bench.state("dev/temp"), NodeState::Warning);
    assert!(bench.warnings().iter().any(|warning| warning.contains("polled")), "{:?}", bench.warnings());
    bench.readings();
    bench.cse.say("dev/temp", "1");
    bench.advance(10_000);
    assert_eq!(bench.readings(), ["dev/temp value 1"]);
    bench.cse.has_no_subscriptions = false;
    bench.advance(300_000);
    assert_eq!(bench.state("dev/temp"), NodeState::Online);
}

#[test]
fn a_subscription_that_was_deleted_is_made_again() {
    let mut bench = Bench::new("{}", device);
    let ri = bench.cse.get("dev/temp/tombolo")["ri"].as_str().unwrap().to_owned();
    bench.cse.remove("dev/temp/tombolo");
    let url = bench.url();
    bench.post(&url, json!({"m2m:sgn": {"sud": true, "sur": format!("/id-in/{ri}")}}).to_string().as_bytes());
    assert!(bench.cse.has("dev/temp/tombolo"));
}

#[test]
fn attempts_grow_rare_and_wishes_fail_at_once() {
    let mut bench = Bench::new("{}", switch);
    bench.cse.is_away = true;
    let write = bench.set("switch", &[("powerState", Value::Boolean(true))]);
    assert_eq!(bench.outcome(write).unwrap().unwrap_err().code, ReasonCode::Unreachable);
    let write = bench.set("switch", &[("powerState", Value::Boolean(true))]);
    assert!(bench.outcome(write).unwrap().is_err());
    bench.cse.is_away = false;
    bench.cse.is_other_server = true;
    bench.log.clear();
    bench.cse.asked.clear();
    let attempts =
        |bench: &Bench| bench.log.iter().filter(|action| format!("{action:?}").contains("next attempt")).count();
    bench.advance(600_000);
    assert!((8..25).contains(&attempts(&bench)), "{}", attempts(&bench));
    assert!(bench.warnings().is_empty(), "said once for an outage: {:?}", bench.warnings());
    bench.cse.is_other_server = false;
    bench.advance(61_000);
    assert_eq!(bench.state("switch"), NodeState::Online);
}

#[test]
fn a_resource_that_may_not_be_read_is_named_by_its_state() {
    let bench = Bench::new("{}", |cse| {
        device(cse);
        cse.denied.insert("dev/temp/la".into());
    });
    assert_eq!(bench.state("dev/temp"), NodeState::Error);
}

#[test]
fn many_missed_ones_come_in_order() {
    let mut bench = Bench::new("{}", device);
    bench.readings();
    bench.cse.is_silent = true;
    for value in 0..2500 {
        bench.cse.now += 10_000;
        bench.cse.say("dev/temp", value.to_string());
    }
    bench.advance(300_000);
    let expected: Vec<String> = (0..2500).map(|value| format!("dev/temp value {value}")).collect();
    assert_eq!(bench.readings(), expected);
}

#[test]
fn what_is_too_much_for_one_answer_is_fetched_in_slices() {
    let mut bench = Bench::new("{}", device);
    bench.readings();
    bench.cse.is_away = true;
    bench.advance(30_000);
    bench.cse.is_silent = true;
    for value in 0..300 {
        bench.advance(60_000);
        bench.cse.say("dev/temp", value.to_string());
    }
    bench.cse.is_silent = false;
    bench.cse.is_away = false;
    bench.cse.most = 20;
    bench.log.clear();
    bench.advance(61_000);
    let expected: Vec<String> = (0..300).map(|value| format!("dev/temp value {value}")).collect();
    assert_eq!(bench.readings(), expected);
    bench.cse.most = 0;
    bench.advance(400_000);
    assert!(bench.cse.asked.len() < 5_000, "it gives up");
}

#[test]
fn missed_ones_are_fetched_page_by_page() {
    let mut bench = Bench::new(r#"{"page_size": 7}"#, device);
    bench.readings();
    bench.cse.is_silent = true;
    for value in 0..40 {
        bench.cse.now += 1_000_000;
        bench.cse.say("dev/temp", value.to_string());
    }
    bench.advance(300_000);
    let expected: Vec<String> = (0..40).map(|value| format!("dev/temp value {value}")).collect();
    assert_eq!(bench.readings(), expected);
}

#[test]
fn a_cse_that_notifies_is_there_again() {
    let mut bench = Bench::new("{}", device);
    bench.cse.is_away = true;
    bench.advance(300_000);
    bench.cse.is_away = false;
    bench.cse.say("dev/temp", "1");
    bench.pump();
    assert_eq!(bench.state("dev/temp"), NodeState::Online);
}
