//! Every bound of the hub, reached.

use super::world::*;
use crate::model::{Readout, limits};

#[test]
fn a_caller_that_asks_faster_than_it_listens_is_told_to_wait() {
    let mut world = World::new();
    let read = |id: usize| format!("<req xmlns='urn:nf:iot:sd:1.0' id='r{id}' m='true'><nd id='kitchen/meter'/></req>");
    for id in 0..limits::READOUTS_PER_CALLER_MAX {
        assert_eq!(world.get(ALICE, &read(id)).len(), 2);
    }
    assert_eq!(world.get(ALICE, &read(9999)), ["alice error wait resource-constraint"]);
    assert_eq!(world.get("alice@example.org/other", &read(9999)).len(), 2, "another resource has its own");
    assert_eq!(world.hub.things().readouts, limits::READOUTS_PER_CALLER_MAX + 1);
}

#[test]
fn control_operations_under_way_are_bounded() {
    let mut world = World::new();
    let set = "<set xmlns='urn:nf:iot:ctr:1.0'><nd id='lamp'/><b n='on' v='true'/></set>";
    for _ in 0..limits::CONTROLS_PER_CALLER_MAX {
        assert!(world.set(ALICE, set)[0].starts_with("ask office write"));
    }
    assert!(world.set(ALICE, set)[0].starts_with("alice error wait resource-constraint"));
}

#[test]
fn subscriptions_of_one_caller_are_bounded() {
    let mut world = World::new();
    for number in 0..=limits::SUBSCRIPTIONS_PER_CALLER_MAX {
        let id = format!("n{number}");
        let fields = lamp().fields;
        let one = node(u32::try_from(1000 + number).unwrap(), &id, None, Readout::Reported, fields);
        world.act("home", crate::model::Action::PutNode(Box::new(one)));
        let wish =
            format!("<subscribe xmlns='urn:nf:iot:events:1.0' id='s{number}' m='true'><nd id='{id}'/></subscribe>");
        let out = world.set(ALICE, &wish);
        let expected = match number < limits::SUBSCRIPTIONS_PER_CALLER_MAX {
            true => format!("alice result nf:accepted id=s{number}"),
            false => "alice error wait resource-constraint".to_owned(),
        };
        assert_eq!(out.last().unwrap(), &expected);
    }
    let renewed = "<subscribe xmlns='urn:nf:iot:events:1.0' id='s0' m='true'><nd id='n0'/></subscribe>";
    assert_eq!(
        world.set(ALICE, renewed).last().unwrap(),
        "alice result nf:accepted id=s0",
        "an old one can be renewed"
    );
}

#[test]
fn names_in_one_request_are_bounded() {
    let nodes = "<nd id='lamp'/>".repeat(limits::NAMES_PER_REQUEST_MAX + 1);
    for payload in [
        format!("<req xmlns='urn:nf:iot:sd:1.0' id='r1'>{nodes}</req>"),
        format!("<subscribe xmlns='urn:nf:iot:events:1.0' id='r1'>{nodes}</subscribe>"),
        format!("<set xmlns='urn:nf:iot:ctr:1.0'>{nodes}<b n='on' v='1'/></set>"),
    ] {
        let out = World::new().set(ALICE, &payload);
        assert_eq!(out.len(), 1);
        assert!(out[0].starts_with("alice error "), "{out:?}");
    }
}

#[test]
fn watches_of_sources_are_bounded() {
    let mut world = World::new();
    for number in 0..=limits::WATCHES_PER_CALLER_MAX {
        let bridge = format!("home{number}");
        world.hub.bridge_added(&bridge, "", world.now);
        world.act(&bridge, crate::model::Action::PutNode(Box::new(lamp())));
    }
    let all = crate::policy::Rule::new(&["*"], crate::policy::May::SEE, &["*"], &["*"]);
    world.rule(crate::policy::Policy::new(vec![all]));
    for number in 0..=limits::WATCHES_PER_CALLER_MAX {
        let out =
            world.set(ALICE, &format!("<subscribe xmlns='urn:nf:iot:concentrator:1.0' src='home{number}' ttl='60'/>"));
        assert_eq!(out[0].contains("resource-constraint"), number == limits::WATCHES_PER_CALLER_MAX, "{out:?}");
    }
}

#[test]
fn strangers_who_wait_are_bounded() {
    let mut world = World::new();
    for number in 0..limits::WAITING_MAX + 5 {
        world.hear(&format!("<presence type='subscribe' from='x{number}@evil.example' to='{ME}'/>"));
    }
    assert_eq!(world.hub.waiting().len(), limits::WAITING_MAX);
}

#[test]
fn a_large_readout_is_split_and_its_last_part_says_so() {
    let mut world = World::new();
    let fields: Vec<_> = (0..400)
        .map(|index| {
            field(&format!("field{index:03}"), crate::model::ValueType::Text, "", crate::model::FieldKinds::MOMENTARY)
        })
        .collect();
    world.act("home", crate::model::Action::PutNode(Box::new(node(50, "big", None, Readout::Reported, fields))));
    let samples = (0..400).map(|index| sample(index, crate::model::Value::Text("x".repeat(50)))).collect();
    world.report("home", 50, samples, None, None);
    let out = world.get(ALICE, "<req xmlns='urn:nf:iot:sd:1.0' id='r1' m='true'><nd id='big'/></req>");
    assert!(out.len() > 3, "{}", out.len());
    let (last, parts) = out[1..].split_last().unwrap();
    assert!(last.starts_with("alice last r1") && parts.iter().all(|part| part.starts_with("alice part r1")));
}
