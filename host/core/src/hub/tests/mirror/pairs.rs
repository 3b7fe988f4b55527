//! Two hosts that mirror each other: values, settings and failures pass, nothing comes back to where it is from.

use super::pair::*;
use super::setting;
use crate::model::{Action, Failure, HOPS, ORIGIN, ReasonCode, Value, limits};

/// One host mirrors all of the other; the other mirrors nothing.
fn one_way() -> Pair {
    let mut pair = Pair::new();
    pair.bridge(1, "office", "lamp", &[]);
    pair.bridge(0, "home", "kettle", &["b@two.example/office/*"]);
    pair.go_online();
    pair
}

/// Both mirror all of the other.
fn both_ways() -> Pair {
    let mut pair = Pair::new();
    pair.bridge(0, "home", "kettle", &["b@two.example"]);
    pair.bridge(1, "office", "lamp", &["a@one.example"]);
    pair.go_online();
    pair
}

#[test]
fn a_thing_appears_with_its_fields_what_can_be_set_and_its_values() {
    let mut pair = one_way();
    assert_eq!(
        pair.sides[0].take_told(),
        ["home +1 b@two.example/office/lamp on!,power,level!,mode!", "home =1 0:false 1:0.50"]
    );
    let (_, there) = (pair.sides[1].take_told(), pair.sides[0].hub.mirrored("home"));
    assert_eq!((there[0].state, there[0].things), ("present", 1));
}

#[test]
fn values_follow_as_they_are_reported() {
    let mut pair = one_way();
    pair.sides[0].take_told();
    pair.report(1, "office", 1, vec![sample(0, Value::Boolean(true)), sample(2, Value::Member("auto".into()))]);
    // The form did not say of which kind the mode is.
    assert_eq!(pair.sides[0].take_told(), ["home ~1 Online on!,power,level!,mode!", "home =1 0:true 3:auto"]);
    pair.report(1, "office", 1, vec![sample(2, Value::Member("off".into()))]);
    assert_eq!(pair.sides[0].take_told(), ["home =1 3:off"]);
}

#[test]
fn a_setting_reaches_the_device_and_its_end_comes_back() {
    let mut pair = one_way();
    pair.sides[0].take_told();
    pair.act(0, "home", Action::ControlThing { id: 7, thing: 1, settings: setting(0, Value::Boolean(true)) });
    let (bridge, id, node, settings) = pair.sides[1].writes.pop().expect("the device is told");
    assert_eq!((bridge.as_str(), node, settings.as_str()), ("office", 1, "0=Boolean(true)"));
    assert!(pair.sides[0].take_told().is_empty(), "it is not done yet");
    pair.act(1, "office", Action::Complete { id, outcome: Ok(()) });
    assert_eq!(pair.sides[0].take_told(), ["home done 7"]);
}

#[test]
fn what_the_other_side_refuses_comes_back_with_its_reason_and_text() {
    let mut pair = one_way();
    pair.sides[0].take_told();
    // Refused here: the form said what is accepted.
    pair.act(0, "home", Action::ControlThing { id: 1, thing: 1, settings: setting(2, Value::Int32(101)) });
    // Refused by the device.
    pair.act(0, "home", Action::ControlThing { id: 2, thing: 1, settings: setting(2, Value::Int32(100)) });
    let (_, id, ..) = pair.sides[1].writes.pop().unwrap();
    let failure = Failure::new(ReasonCode::Busy, "The lamp is being painted.");
    pair.act(1, "office", Action::Complete { id, outcome: Err(failure) });
    // Refused by the rules.
    let (now, none) = (pair.now, crate::policy::Policy::default());
    pair.sides[1].hub.rules_changed(none, now);
    pair.act(0, "home", Action::ControlThing { id: 3, thing: 1, settings: setting(0, Value::Boolean(true)) });
    pair.act(0, "home", Action::ControlThing { id: 4, thing: 9, settings: setting(0, Value::Boolean(true)) });
    assert_eq!(
        pair.sides[0].take_told(),
        [
            "home failed 1 InvalidArgument the value is outside of what the thing accepts",
            "home failed 2 QuotaExceeded level: The lamp is being painted.",
            "home failed 3 AccessDenied Access denied.",
            "home failed 4 NotFound there is no such thing",
        ]
    );
}

#[test]
fn a_thing_is_read_at_once_when_its_mapper_asks() {
    let mut pair = one_way();
    pair.sides[0].take_told();
    pair.act(0, "home", Action::ReadThing { id: 5, thing: 1 });
    assert_eq!(pair.sides[0].take_told(), ["home =1 0:false 1:0.50", "home done 5"]);
}

#[test]
fn things_are_offline_while_their_host_is_and_come_back_under_their_numbers() {
    let mut pair = one_way();
    pair.sides[0].take_told();
    pair.disconnect(1);
    assert_eq!(pair.sides[0].take_told(), ["home ~1 Offline on!,power,level!,mode!"]);
    pair.act(0, "home", Action::ControlThing { id: 1, thing: 1, settings: setting(0, Value::Boolean(true)) });
    assert_eq!(pair.sides[0].take_told(), ["home failed 1 Unreachable the thing is offline"]);
    assert_eq!(pair.sides[0].hub.mirrored("home")[0].state, "away");
    pair.connect(1);
    // The host tells who comes back the last values, under the subscription of before, and answers who reads.
    let mut told = pair.sides[0].take_told();
    told.dedup();
    assert_eq!(told, ["home ~1 Online on!,power,level!,mode!", "home =1 0:false 1:0.50"]);
    pair.report(1, "office", 1, vec![sample(0, Value::Boolean(true))]);
    assert_eq!(pair.sides[0].take_told(), ["home =1 0:true"], "subscribed anew, and only once");
}

#[test]
fn a_new_session_of_ours_begins_everything_anew() {
    let mut pair = one_way();
    pair.sides[0].take_told();
    pair.connect(0);
    let told = pair.sides[0].take_told();
    assert_eq!(told.first().unwrap(), "home ~1 Offline on!,power,level!,mode!");
    pair.report(1, "office", 1, vec![sample(0, Value::Boolean(true))]);
    assert_eq!(pair.sides[0].take_told(), ["home =1 0:true"]);
}

#[test]
fn a_mapper_that_starts_again_is_told_everything_under_the_same_numbers() {
    let mut pair = one_way();
    let first = pair.sides[0].take_told();
    let now = pair.now;
    pair.sides[0].hub.mapper_started("home", now);
    pair.pass_ms(1);
    pair.act(0, "home", Action::ReadThing { id: 1, thing: 1 });
    let again = pair.sides[0].take_told();
    assert_eq!(again[0], first[0]);
    assert_eq!(again[1], "home =1 0:false 1:0.50");
}

#[test]
fn nodes_that_come_change_and_go_are_told() {
    let mut pair = one_way();
    pair.sides[0].take_told();
    pair.act(1, "office", Action::PutNode(Box::new(lamp(2, "second"))));
    assert_eq!(pair.sides[0].take_told(), ["home +2 b@two.example/office/second on!,level!,mode!"]);
    pair.act(1, "office", Action::NodeState { node: 2, state: crate::model::NodeState::Offline });
    assert_eq!(pair.sides[0].take_told(), ["home ~2 Offline on!,level!,mode!"]);
    pair.act(1, "office", Action::RemoveNode(2));
    assert_eq!(pair.sides[0].take_told(), ["home -2"]);
}

#[test]
fn two_hosts_that_mirror_each_other_do_not_echo() {
    let mut pair = both_ways();
    assert_eq!(pair.sides[0].take_told()[0], "home +1 b@two.example/office/lamp on!,power,level!,mode!");
    assert_eq!(pair.sides[1].take_told()[0], "office +1 a@one.example/home/kettle on!,power,level!,mode!");
    pair.delivered = 0;
    pair.report(0, "home", 1, vec![sample(0, Value::Boolean(true))]);
    assert_eq!((pair.sides[0].take_told(), pair.sides[1].take_told()), (vec![], vec!["office =1 0:true".to_owned()]));
    assert_eq!(pair.delivered, 1, "one message, and nothing that answers it");
}

#[test]
fn a_thing_that_a_mapper_declares_as_its_own_node_is_refused_where_it_is_shown_and_skipped_where_it_is_from() {
    let mut pair = both_ways();
    let provenance =
        |origin: &str, hops: u32| vec![(ORIGIN.to_owned(), origin.to_owned()), (HOPS.to_owned(), hops.to_string())];
    let mut echo = lamp(5, "echo");
    echo.extras = provenance("b@two.example/office/lamp", 1);
    pair.act(0, "home", Action::PutNode(Box::new(echo.clone())));
    assert_eq!(pair.sides[0].refused, ["home: node `echo` is what the bridge is shown itself"]);
    // Another bridge on the same broker sees it; its host lets it have it, and the other host knows it for its own.
    let now = pair.now;
    pair.sides[0].hub.bridge_added("home2", "", now);
    pair.sides[1].take_told();
    pair.act(0, "home2", Action::PutNode(Box::new(echo)));
    assert!(pair.sides[1].take_told().is_empty());
}

#[test]
fn a_thing_of_ours_that_another_host_shows_where_a_bridge_looks_is_refused() {
    let mut pair = one_way();
    let mut round = lamp(6, "round");
    round.extras = vec![(ORIGIN.to_owned(), "b@two.example/office/lamp".to_owned())];
    pair.act(1, "office", Action::PutNode(Box::new(round)));
    assert_eq!(pair.sides[1].refused, ["office: node `round` is a thing of ours that somebody else shows"]);
}

#[test]
fn a_thing_that_went_through_too_many_hands_is_not_mirrored() {
    let mut pair = one_way();
    pair.sides[0].take_told();
    let from_far = |number: u32, id: &str, hops: &str| {
        let mut node = lamp(number, id);
        node.extras = vec![(ORIGIN.into(), "far@away.example/x/y".into()), (HOPS.into(), hops.into())];
        Action::PutNode(Box::new(node))
    };
    let most = limits::MIRROR_HOPS_MAX;
    pair.act(1, "office", from_far(2, "near", &(most - 1).to_string()));
    pair.act(1, "office", from_far(3, "far", &most.to_string()));
    pair.act(1, "office", from_far(4, "odd", "many"));
    assert_eq!(pair.sides[0].take_told(), ["home +2 b@two.example/office/near on!,level!,mode!"]);
}

#[test]
fn what_the_operator_takes_out_vanishes_and_is_not_sent_any_more() {
    let mut pair = one_way();
    pair.sides[0].take_told();
    let now = pair.now;
    pair.sides[0].hub.mirror("home", Vec::new(), now);
    pair.act(0, "home", Action::RemoveNode(9));
    assert_eq!(pair.sides[0].take_told(), ["home -1"]);
    pair.delivered = 0;
    pair.report(1, "office", 1, vec![sample(0, Value::Boolean(true))]);
    assert_eq!(pair.delivered, 0);
    assert_eq!(pair.sides[1].hub.things().subscriptions, 0);
}

#[test]
fn subscriptions_are_renewed_and_a_host_that_forgot_them_silently_tells_again() {
    let mut pair = one_way();
    pair.sides[0].take_told();
    let now = pair.now;
    // As if it had been started again, and its server had not said so.
    pair.sides[1].hub.rules_changed(crate::policy::Policy::default(), now);
    pair.sides[1].hub.rules_changed(open_rules(), now);
    pair.report(1, "office", 1, vec![sample(0, Value::Boolean(true))]);
    assert!(pair.sides[0].take_told().is_empty());
    pair.pass_ms(limits::MIRROR_RENEW_MS + 1000);
    pair.report(1, "office", 1, vec![sample(0, Value::Boolean(false))]);
    assert_eq!(pair.sides[0].take_told().last().unwrap(), "home =1 0:false");
}

#[test]
fn what_comes_to_be_while_both_are_online_is_shown_under_its_own_name() {
    for entry in ["b@two.example/office/*", "b@two.example"] {
        let mut pair = Pair::new();
        pair.bridge(0, "home", "kettle", &[entry]);
        pair.go_online();
        pair.bridge(1, "office", "lamp", &[]);
        let told = pair.sides[0].take_told();
        assert!(told[0].starts_with("home +1 b@two.example/office/lamp on!"), "{entry}: {told:?}");
        assert_eq!(pair.sides[0].hub.mirrored("home")[0].things, 1, "{entry}: {told:?}");
        pair.report(1, "office", 1, vec![sample(0, Value::Boolean(true))]);
        assert_eq!(pair.sides[0].take_told(), ["home =1 0:true"]);
    }
}
