//! A newer version takes over: no request is made twice, nothing is lost, nobody at the CSE notices.

use tombolo_sdk::{Event, Value};

use super::bench::{Bench, device, switch};

#[test]
fn a_swap_is_invisible_to_the_cse() {
    let mut bench = Bench::new("{}", device);
    bench.readings();
    bench.cse.asked.clear();
    let mut bench = bench.swap(&[]);
    assert!(bench.cse.asked.is_empty(), "{:?}", bench.cse.asked);
    assert_eq!(bench.ids(), ["dev", "dev/temp"]);
    let reports = bench.log.iter().filter(|action| matches!(action, tombolo_sdk::Action::Report(_))).count();
    assert_eq!(reports, 0, "nothing is told again");
    bench.cse.say("dev/temp", "22.0");
    bench.pump();
    assert_eq!(bench.readings(), ["dev/temp value 22.0"]);
    bench.advance(600_000);
    assert_eq!(bench.changes(), Vec::<String>::new());
}

#[test]
fn a_notification_that_waits_is_answered_by_the_new_version() {
    let mut bench = Bench::new("{}", device);
    bench.replies.clear();
    bench.is_storing = false;
    bench.cse.say("dev/temp", "22.0");
    bench.pump();
    let receipt = bench.receipts[0];
    let mut bench = bench.swap(&[]);
    bench.event(Event::Stored(receipt));
    assert_eq!(bench.replies.len(), 1);
}

#[test]
fn requests_under_way_end_in_the_new_version() {
    let mut bench = Bench::new("{}", |cse| {
        device(cse);
        switch(cse);
    });
    bench.is_holding = true;
    let write = bench.set("switch", &[("powerState", Value::Boolean(true))]);
    let read = bench.read("dev/temp", tombolo_sdk::FieldKinds::HISTORICAL, None, None);
    assert_eq!((bench.outcome(write), bench.outcome(read)), (None, None));
    let mut bench = bench.swap(&[write, read, 77]);
    assert!(bench.outcome(77).unwrap().is_err(), "nobody knows it");
    bench.is_holding = false;
    for (id, answer) in std::mem::take(&mut bench.held) {
        bench.event(Event::HttpDone(tombolo_sdk::events::HttpDone { id, outcome: Ok(answer) }));
    }
    assert_eq!((bench.outcome(write), bench.outcome(read)), (Some(Ok(())), Some(Ok(()))));
}

#[test]
fn a_swap_in_the_middle_of_the_beginning_goes_on() {
    for steps in 0..12 {
        let mut bench = Bench::new("{}", |cse| {
            device(cse);
            cse.is_away = true;
        });
        bench.cse.is_away = false;
        bench.is_holding = true;
        bench.advance(2_000);
        for _ in 0..steps {
            if let Some((id, answer)) = (!bench.held.is_empty()).then(|| bench.held.remove(0)) {
                bench.event(Event::HttpDone(tombolo_sdk::events::HttpDone { id, outcome: Ok(answer) }));
            }
        }
        let mut bench = bench.swap(&[]);
        bench.is_holding = false;
        for (id, answer) in std::mem::take(&mut bench.held) {
            bench.event(Event::HttpDone(tombolo_sdk::events::HttpDone { id, outcome: Ok(answer) }));
        }
        assert_eq!(bench.ids(), ["dev", "dev/temp"], "after {steps}");
        assert_eq!(bench.readings(), ["dev/temp value 21.50"], "after {steps}");
    }
}

#[test]
fn state_of_another_version_ends_a_swap_but_not_a_restart() {
    use tombolo_sdk::testing::{Harness, fresh};
    use tombolo_sdk::{StartInput, State, Why};
    let state = Some(State { version: 99, bytes: Vec::new() });
    let input = |why| StartInput { why, state: state.clone(), ..fresh("{}") };
    assert!(Harness::<crate::OneM2m>::start(input(Why::Swapped)).is_err());
    assert!(Harness::<crate::OneM2m>::start(input(Why::Restarted)).is_ok());
}
