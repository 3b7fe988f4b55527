//! A newer version takes over, or the host starts again.

use tombolo_sdk::{NodeState, Value, Why};

use super::bench::{Bench, HOST, input};
use super::lamp::Lamp;
use crate::Upnp;

#[test]
fn a_swap_is_invisible_to_devices() {
    let mut bench = Bench::with_lamp();
    bench.store();
    let (fetches, sent) = (bench.lamps[0].fetches, bench.sent.len());
    let mut bench = bench.swapped();
    assert_eq!((bench.state(), bench.opened.len(), bench.sent.len()), (NodeState::Online, 0, sent));
    bench.values();
    bench.lamps[0].is_on = true;
    bench.notify(0);
    assert_eq!(bench.values(), [("SwitchPower/Status".into(), Value::Boolean(true))]);
    bench.advance_s(160);
    assert_eq!(
        (bench.lamps[0].subscriptions, bench.lamps[0].fetches, bench.lamps[0].called.last().unwrap().as_str()),
        (1, fetches, "RENEW")
    );
}

#[test]
fn a_swap_between_request_and_answer_loses_nothing() {
    let mut bench = Bench::new("{}", true);
    bench.open();
    bench.lamps.push(Lamp::new(HOST, "uuid:lamp"));
    bench.held = Some(Vec::new());
    bench.announce(0);
    // Each answer comes to another version than the one that asked.
    for _ in 0..10 {
        let held = bench.held.replace(Vec::new()).unwrap();
        bench = bench.swapped();
        let mut again = bench.held.replace(held).unwrap();
        bench.release();
        bench.held = Some(std::mem::take(&mut again));
    }
    bench.release();
    bench.notify(0);
    assert_eq!((bench.nodes.len(), bench.lamps[0].subscriptions), (1, 1));
}

#[test]
fn a_notification_is_answered_by_the_version_after() {
    let mut bench = Bench::with_lamp();
    bench.store();
    let request = bench.notify(0);
    let mut bench = bench.swapped();
    bench.store();
    assert_eq!(bench.replies[&request], 200);
}

#[test]
fn a_setting_under_way_ends_in_the_version_after() {
    let mut bench = Bench::with_lamp();
    let node = bench.node().number;
    bench.held = Some(Vec::new());
    let request = bench.write(node, &[(0, Value::Boolean(true))]);
    let mut bench = bench.swapped_with(&[1, 2], vec![request, 7777]);
    assert!(bench.ended[&7777].is_err() && !bench.ended.contains_key(&request));
    bench.release();
    assert_eq!((&bench.ended[&request], bench.lamps[0].is_on), (&Ok(()), true));
}

#[test]
fn after_a_restart_nodes_are_there_and_wait_for_their_devices() {
    let mut bench = Bench::with_lamp();
    let (number, id) = (bench.node().number, bench.node().id.clone());
    bench.advance_s(2);
    let mut bench = bench.restarted();
    assert_eq!((bench.node().number, &bench.node().id, bench.state()), (number, &id, NodeState::Unknown));
    assert!(bench.lamps[0].called.contains(&"UNSUBSCRIBE".to_owned()), "what it told meanwhile is lost");
    bench.open();
    bench.announce(0);
    assert_eq!((bench.state(), bench.lamps[0].subscriptions), (NodeState::Online, 2));
}

#[test]
fn after_a_restart_who_does_not_come_back_is_offline() {
    let mut bench = Bench::with_lamp();
    bench.advance_s(2);
    let mut bench = bench.restarted();
    bench.lamps.clear();
    bench.open();
    bench.advance_s(61);
    assert_eq!(bench.state(), NodeState::Offline);
}

#[test]
fn state_that_cannot_be_read_keeps_the_old_version() {
    use tombolo_sdk::testing::Harness;
    for version in [1, 99] {
        let state = Some(tombolo_sdk::State { version, bytes: b"{}".to_vec() });
        let start = |why| tombolo_sdk::StartInput { why, state: state.clone(), ..input("{}", true) };
        assert!(Harness::<Upnp>::start(start(Why::Swapped)).is_err());
        assert!(Harness::<Upnp>::start(start(Why::Recovered)).is_ok());
    }
}

#[test]
fn a_grant_that_was_taken_away_is_not_used() {
    let mut bench = Bench::new("{}", false);
    assert_eq!(bench.opened, [1]);
    bench.open();
    bench.lamps.push(Lamp::new(HOST, "uuid:lamp"));
    bench.announce(0);
    assert_eq!((bench.nodes.len(), bench.lamps[0].subscriptions), (1, 0));
}
