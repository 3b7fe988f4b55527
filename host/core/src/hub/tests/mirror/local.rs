//! Things of another bridge of the same host: the same path and the same rules, and nothing leaves for the server.

use super::pair::*;
use super::setting;
use crate::model::{Action, NodeState, Value};
use crate::policy::{May, Policy, Rule};

/// Home is shown the office's things.
fn shown() -> Pair {
    let mut pair = Pair::new();
    pair.bridge(0, "office", "lamp", &[]);
    pair.bridge(0, "home", "kettle", &["a@one.example/*"]);
    pair.connect(0);
    pair
}

#[test]
fn a_bridge_is_shown_another_bridges_things_and_not_its_own() {
    let mut pair = shown();
    assert_eq!(
        pair.sides[0].take_told(),
        ["home +1 a@one.example/office/lamp on!,power,level!,mode!", "home =1 0:false 1:0.50"]
    );
}

#[test]
fn values_and_settings_go_from_bridge_to_bridge_without_the_server() {
    let mut pair = shown();
    pair.sides[0].take_told();
    pair.delivered = 0;
    pair.report(0, "office", 1, vec![sample(0, Value::Boolean(true))]);
    pair.act(
        0,
        "home",
        Action::ControlThing { id: 7, thing: 1, settings: setting(1, Value::Decimal("1.0".parse().unwrap())) },
    );
    pair.act(0, "home", Action::ControlThing { id: 8, thing: 1, settings: setting(0, Value::Boolean(false)) });
    let (bridge, id, node, settings) = pair.sides[0].writes.pop().unwrap();
    assert_eq!((bridge.as_str(), node, settings.as_str()), ("office", 1, "0=Boolean(false)"));
    pair.act(0, "office", Action::Complete { id, outcome: Ok(()) });
    pair.act(0, "office", Action::NodeState { node: 1, state: NodeState::Offline });
    assert_eq!(
        pair.sides[0].take_told(),
        [
            "home =1 0:true",
            "home failed 7 InvalidArgument the field cannot be set",
            "home done 8",
            "home ~1 Offline on!,power,level!,mode!"
        ]
    );
    assert_eq!(pair.delivered, 0);
}

#[test]
fn the_rules_that_name_our_own_account_decide() {
    let mut pair = shown();
    pair.sides[0].take_told();
    let may_read = |nodes: &[&str]| {
        Policy::new(vec![Rule::new(&["a@one.example"], May::SEE | May::READ, nodes, &["on", "power"])])
    };
    let now = pair.now;
    pair.sides[0].hub.rules_changed(may_read(&["*"]), now);
    pair.act(0, "home", Action::ControlThing { id: 1, thing: 1, settings: setting(0, Value::Boolean(true)) });
    assert_eq!(pair.sides[0].take_told()[0], "home failed 1 AccessDenied Access denied.");
    pair.sides[0].hub.rules_changed(may_read(&["home/*"]), now);
    pair.report(0, "office", 1, vec![sample(0, Value::Boolean(true))]);
    assert_eq!(pair.sides[0].take_told(), ["home -1"]);
    pair.sides[0].hub.rules_changed(Policy::default(), now);
    pair.pass_ms(60_000);
    pair.sides[0].hub.rules_changed(open_rules(), now);
    pair.report(0, "office", 1, vec![sample(0, Value::Boolean(false))]);
    let told = pair.sides[0].take_told();
    assert!(told[0].starts_with("home +1 a@one.example/office/lamp "), "{told:?}");
}

#[test]
fn a_report_that_waits_to_be_durable_does_not_wait_for_a_mirror() {
    let mut pair = shown();
    pair.sides[0].take_told();
    let reading = crate::model::Reading { node: 1, at: pair.now, samples: vec![sample(0, Value::Boolean(true))] };
    let report = crate::model::bridge::Report { reading, answers: None, receipt: Some(3) };
    pair.act(0, "office", Action::Report(report));
    assert_eq!(pair.sides[0].take_told(), ["home =1 0:true"]);
    assert_eq!(pair.sides[0].hub.things().receipts, 0);
}

#[test]
fn a_new_session_does_not_disturb_what_stays_at_home() {
    let mut pair = shown();
    pair.sides[0].take_told();
    pair.connect(0);
    assert!(pair.sides[0].take_told().is_empty());
    pair.report(0, "office", 1, vec![sample(0, Value::Boolean(true))]);
    assert_eq!(pair.sides[0].take_told(), ["home =1 0:true"]);
}

#[test]
fn a_bridge_that_gets_its_first_node_later_is_shown_under_its_own_name() {
    for entry in ["a@one.example/office/*", "a@one.example"] {
        let mut pair = Pair::new();
        let now = pair.now;
        pair.sides[0].hub.bridge_added("home", "home", now);
        pair.sides[0].hub.mirror("home", vec![crate::hub::Mirror::parse(entry).unwrap()], now);
        pair.connect(0);
        pair.bridge(0, "office", "lamp", &[]);
        let told = pair.sides[0].take_told();
        assert!(told[0].starts_with("home +1 a@one.example/office/lamp on!"), "{entry}: {told:?}");
        assert_eq!(pair.sides[0].hub.mirrored("home")[0].things, 1, "{entry}: {told:?}");
        pair.report(0, "office", 1, vec![sample(0, Value::Boolean(true))]);
        assert_eq!(pair.sides[0].take_told(), ["home =1 0:true"]);
    }
}

#[test]
fn a_bridge_that_lost_all_its_nodes_and_has_one_again_is_shown_again() {
    let mut pair = shown();
    pair.sides[0].take_told();
    pair.act(0, "office", Action::RemoveNode(1));
    assert_eq!(pair.sides[0].take_told(), ["home -1"]);
    pair.act(0, "office", Action::PutNode(Box::new(lamp(2, "lamp"))));
    pair.report(0, "office", 2, vec![sample(0, Value::Boolean(true))]);
    let told = pair.sides[0].take_told();
    assert!(told[0].starts_with("home +1 a@one.example/office/lamp") && told.len() >= 2, "{told:?}");
}
