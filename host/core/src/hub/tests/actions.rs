//! What bridges tell the hub: nodes that come, change and go, readings, receipts.

use super::world::*;
use crate::model::{Action, NodeState, Readout};

#[test]
fn things_says_what_there_is() {
    let world = World::warm();
    let things = world.hub.things();
    let home = &things.bridges[0];
    assert_eq!((home.name.as_str(), home.label.as_str()), ("home", "My home"));
    assert_eq!((home.nodes, home.offline), (3, 0));
}

#[test]
fn a_bridge_added_again_keeps_its_nodes() {
    let mut world = World::warm();
    world.hub.bridge_added("home", "Our home", world.now);
    assert_eq!((world.hub.things().bridges[0].label.as_str(), world.hub.things().bridges[0].nodes), ("Our home", 3));
}

#[test]
fn a_bridge_that_is_down_keeps_its_nodes_as_offline() {
    let mut world = World::warm();
    world.hub.bridge_down("home", world.now);
    let things = world.hub.things();
    assert_eq!((things.bridges[0].nodes, things.bridges[0].offline), (3, 3));
}

#[test]
fn last_values_stay_where_name_and_type_stay() {
    let mut world = World::warm();
    let mut changed = thermometer();
    changed.fields.swap(0, 1);
    changed.fields[2].name = "target".into();
    world.act("home", Action::PutNode(Box::new(changed)));
    let read = "<req xmlns='urn:nf:iot:sd:1.0' id='r1' all='true'><nd id='kitchen/thermometer' src='home'/></req>";
    assert_eq!(
        world.get(ALICE, read)[1],
        "alice last r1: home|kitchen/thermometer uptime=4711i, temperature=23.40 °C, mode=auto"
    );
    let mut retyped = thermometer();
    retyped.fields[1].value_type = crate::model::ValueType::Text;
    world.act("home", Action::PutNode(Box::new(retyped)));
    assert_eq!(world.get(ALICE, read)[1], "alice last r1: home|kitchen/thermometer temperature=23.40 °C, mode=auto");
}

#[test]
fn removing_a_node_takes_its_children_along() {
    let mut world = World::warm();
    world.act("home", Action::RemoveNode(10));
    assert_eq!(world.hub.things().bridges[0].nodes, 0);
    assert!(world.act("home", Action::RemoveNode(10)).is_empty());
}

#[test]
fn a_ring_of_parents_is_cut() {
    let mut world = World::new();
    let ring =
        |number, id: &str, parent| Action::PutNode(Box::new(node(number, id, parent, Readout::Reported, Vec::new())));
    world.act("home", ring(20, "a", None));
    world.act("home", ring(21, "b", Some(20)));
    world.act("home", ring(20, "a", Some(21)));
    world.act("home", ring(22, "c", Some(22)));
    let out = world.get(ALICE, "<getAncestors xmlns='urn:nf:iot:concentrator:1.0' id='b' src='home'/>");
    assert_eq!(out.len(), 1);
    world.act("home", Action::RemoveNode(20));
    assert_eq!(world.hub.things().bridges[0].nodes, 4, "a and b are gone, c is there");
}

#[test]
fn declarations_that_break_their_promises_are_refused() {
    let mut world = World::new();
    let put = |world: &mut World, node| world.act("home", Action::PutNode(Box::new(node)));
    assert!(put(&mut world, node(30, "", None, Readout::Reported, Vec::new()))[0].starts_with("refused home: "));
    assert!(
        put(&mut world, node(30, &"x".repeat(513), None, Readout::Reported, Vec::new()))[0]
            .starts_with("refused home: ")
    );
    let mut twice = thermometer();
    twice.fields[1].name = "temperature".into();
    assert_eq!(put(&mut world, twice), ["refused home: node `kitchen/thermometer` declares field `temperature` twice"]);
    let wide = vec![lamp().fields[0].clone(); 513];
    assert!(put(&mut world, node(31, "wide", None, Readout::Reported, wide))[0].contains("more than 512 fields"));
    assert_eq!(world.act("cellar", Action::PutNode(Box::new(lamp()))), ["refused cellar: the bridge is not there"]);
    assert!(
        world.act("home", Action::NodeState { node: 99, state: NodeState::Online })[0].starts_with("refused home: ")
    );
}
