//! Dialogues about sources and nodes, in every generation.

use super::world::*;
use crate::model::{Action, NodeRef, NodeState};
use crate::policy::{May, Policy, Rule};
use crate::wire::concentrator::{Answer, NodeInfo};

fn ask(world: &mut World, who: &str, operation: &str, attributes: &str) -> Result<Answer, String> {
    ask_about(world, who, operation, attributes, "")
}

fn ask_about(world: &mut World, who: &str, operation: &str, attributes: &str, inner: &str) -> Result<Answer, String> {
    let payload = format!("<{operation} xmlns='urn:nf:iot:concentrator:1.0' {attributes}>{inner}</{operation}>");
    let stanza = format!("<iq xmlns='jabber:client' type='get' from='{who}' id='c'>{payload}</iq>");
    world.hub.handle_stanza(&stanza.parse().unwrap(), world.now);
    let output = world.hub.poll_output().unwrap();
    assert_eq!(world.hub.poll_output(), None);
    match &output {
        crate::hub::Output::Stanza { stanza, .. } if stanza.attr("type") == Some("result") => {
            Answer::parse(stanza.children().next()).map_err(|fault| format!("{fault:?}"))
        }
        other => Err(digest(other)),
    }
}

fn ids(answer: Result<Answer, String>) -> Vec<String> {
    match answer.unwrap() {
        Answer::Nodes(nodes) => nodes.into_iter().map(|node| node.node.id).collect(),
        other => panic!("{other:?}"),
    }
}

fn node_of(answer: Result<Answer, String>) -> NodeInfo {
    match answer.unwrap() {
        Answer::Node(node) => *node,
        other => panic!("{other:?}"),
    }
}

#[test]
fn lists_what_it_can_do() {
    let Answer::Capabilities(operations) = ask(&mut World::new(), ALICE, "getCapabilities", "").unwrap() else {
        panic!()
    };
    assert!(operations.iter().any(|operation| operation == "getChildNodes"));
    assert!(!operations.iter().any(|operation| operation == "createNewNode"));
}

#[test]
fn lists_the_union_and_the_sources_in_which_the_caller_may_see_something() {
    let sources = |who: &str, operation: &str| match ask(&mut World::new(), who, operation, "").unwrap() {
        Answer::DataSources(sources) => sources.into_iter().map(|source| source.id).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(sources(ALICE, "getAllDataSources"), ["MeteringTopology", "home", "office"]);
    assert_eq!(sources(CAROL, "getAllDataSources"), ["MeteringTopology", "home"]);
    for who in [ALICE, CAROL] {
        assert_eq!(sources(who, "getRootDataSources"), ["MeteringTopology"]);
    }
    let below = |who: &str, source: &str| match ask(
        &mut World::new(),
        who,
        "getChildDataSources",
        &format!("src='{source}'"),
    ) {
        Ok(Answer::DataSources(sources)) => Ok(sources.into_iter().map(|source| source.id).collect::<Vec<_>>()),
        other => Err(Box::new(other)),
    };
    assert_eq!(below(ALICE, "MeteringTopology").unwrap(), ["home", "office"]);
    assert_eq!(below(CAROL, "MeteringTopology").unwrap(), ["home"]);
    assert!(below(CAROL, "home").unwrap().is_empty());
    assert_eq!(*below(CAROL, "office").unwrap_err(), Err("carol error cancel item-not-found".into()));
}

#[test]
fn walks_the_tree_of_a_source() {
    let world = &mut World::new();
    assert_eq!(ids(ask(world, ALICE, "getRootNodes", "src='home'")), ["kitchen"]);
    let children = ids(ask(world, ALICE, "getChildNodes", "id='kitchen' src='home'"));
    assert_eq!(children, ["kitchen/thermometer", "kitchen/meter"]);
    assert_eq!(
        ids(ask(world, ALICE, "getAllNodes", "src='home'")),
        ["kitchen", "kitchen/meter", "kitchen/thermometer"]
    );
    assert_eq!(ids(ask(world, ALICE, "getAncestors", "id='kitchen/meter' src='home'")), ["kitchen/meter", "kitchen"]);
}

#[test]
fn tells_of_several_nodes_in_the_order_asked() {
    let world = &mut World::new();
    let names = "<nd id='kitchen/meter' src='home'/><nd id='office/lamp' src='MeteringTopology'/>";
    assert_eq!(ids(ask_about(world, ALICE, "getNodes", "", names)), ["kitchen/meter", "office/lamp"]);
    assert_eq!(ask_about(world, CAROL, "getNodes", "", names).unwrap_err(), "carol error cancel item-not-found");
    assert_eq!(ask_about(world, CAROL, "containsNodes", "", names).unwrap(), Answer::ContainsEach(vec![true, false]));
    assert_eq!(ask_about(world, EVE, "containsNodes", "", names).unwrap_err(), "eve error cancel forbidden");
}

#[test]
fn more_nodes_than_fit_into_one_answer_are_not_sent_at_all() {
    let world = &mut World::crowded(2000);
    for (operation, attributes) in [
        ("getAllNodes", "src='office'"),
        ("getRootNodes", "src='office'"),
        ("getChildNodes", "id='office' src='MeteringTopology'"),
    ] {
        assert_eq!(ask(world, ALICE, operation, attributes).unwrap_err(), "alice error wait resource-constraint");
    }
    let names: String = (0..100).map(|number| format!("<nd id='{number:04}' src='office'/>")).collect();
    assert_eq!(ids(ask_about(world, ALICE, "getNodes", "", &names)).len(), 100);
}

#[test]
fn walks_the_tree_of_the_union() {
    let world = &mut World::new();
    let union = "src='MeteringTopology'";
    assert_eq!(ids(ask(world, ALICE, "getRootNodes", union)), ["home", "office"]);
    assert_eq!(ids(ask(world, ALICE, "getChildNodes", &format!("id='home' {union}"))), ["home/kitchen"]);
    assert_eq!(ids(ask(world, ALICE, "getChildNodes", &format!("id='office' {union}"))), ["office/lamp"]);
    assert_eq!(
        ids(ask(world, ALICE, "getAllNodes", union)),
        ["home", "home/kitchen", "home/kitchen/meter", "home/kitchen/thermometer", "office", "office/lamp"]
    );
    let ancestors = ids(ask(world, ALICE, "getAncestors", &format!("id='home/kitchen/meter' {union}")));
    assert_eq!(ancestors, ["home/kitchen/meter", "home/kitchen", "home"]);
    let lamp = node_of(ask(world, ALICE, "getNode", &format!("id='office/lamp' {union}")));
    assert_eq!(lamp.parent, Some(NodeRef::new("office", "MeteringTopology")));
}

#[test]
fn a_node_tells_what_the_caller_may_do_with_it() {
    let world = &mut World::new();
    world.act("home", Action::NodeState { node: 1, state: NodeState::Warning });
    let name = "id='kitchen/thermometer' src='home' parameters='true' messages='true'";
    let node = node_of(ask(world, ALICE, "getNode", name));
    assert_eq!((node.readable, node.controllable, node.has_children), (true, true, false));
    assert_eq!((node.parameters.len(), node.messages.len()), (1, 1));
    assert_eq!(node.parent, Some(NodeRef::new("kitchen", "home")));
    assert!(node.last_changed.is_some());
    let node = node_of(ask(world, CAROL, "getNode", name));
    assert_eq!((node.readable, node.controllable), (false, false));
    let node = node_of(ask(world, BOB, "getNode", name));
    assert_eq!((node.readable, node.controllable), (true, false), "no parameter of his");
    assert!(node.parent.is_none(), "he may not see it");
}

#[test]
fn what_may_not_be_seen_does_not_exist() {
    let world = &mut World::new();
    for operation in ["getNode", "getChildNodes", "getAncestors", "getNodeCommands"] {
        for (who, name) in
            [(BOB, "id='kitchen' src='home'"), (BOB, "id='lamp' src='office'"), (BOB, "id='nothing' src='home'")]
        {
            assert_eq!(ask(world, who, operation, name).unwrap_err(), "bob error cancel item-not-found");
        }
    }
    assert_eq!(ids(ask(world, BOB, "getRootNodes", "src='home'")), ["kitchen/meter", "kitchen/thermometer"]);
    for operation in ["getRootNodes", "getAllNodes"] {
        assert_eq!(ask(world, BOB, operation, "src='office'").unwrap_err(), "bob error cancel item-not-found");
        assert_eq!(ask(world, BOB, operation, "src='nothing'").unwrap_err(), "bob error cancel item-not-found");
    }
    assert!(matches!(ask(world, BOB, "containsNode", "id='lamp' src='office'"), Ok(Answer::Contains(false))));
    assert!(matches!(ask(world, ALICE, "containsNode", "id='lamp' src='office'"), Ok(Answer::Contains(true))));
}

#[test]
fn a_stranger_is_forbidden_everything() {
    let world = &mut World::new();
    for operation in ["getCapabilities", "getAllDataSources", "getRootDataSources"] {
        assert_eq!(ask(world, EVE, operation, "").unwrap_err(), "eve error cancel forbidden");
    }
    for operation in ["getNode", "containsNode", "getChildNodes", "getAncestors", "getNodeCommands"] {
        assert_eq!(ask(world, EVE, operation, "id='lamp' src='office'").unwrap_err(), "eve error cancel forbidden");
    }
    for operation in ["getRootNodes", "getAllNodes"] {
        assert_eq!(ask(world, EVE, operation, "src='office'").unwrap_err(), "eve error cancel forbidden");
    }
    let out = world.set(EVE, "<subscribe xmlns='urn:nf:iot:concentrator:1.0' src='home' ttl='60'/>");
    assert_eq!(out, ["eve error cancel forbidden"]);
}

#[test]
fn nobody_adds_moves_or_destroys_nodes_from_here() {
    let world = &mut World::new();
    assert_eq!(ask(world, ALICE, "getNodeCommands", "id='lamp' src='office'"), Ok(Answer::Commands(vec![])));
    for operation in
        ["destroyNode", "moveNodeUp", "moveNodesDown", "createNewNode", "getParametersForNewNode", "registerSniffer"]
    {
        assert_eq!(
            ask(world, ALICE, operation, "id='lamp' src='office'").unwrap_err(),
            "alice error cancel feature-not-implemented"
        );
    }
    assert_eq!(ask(world, ALICE, "getAddableNodeTypes", "id='lamp' src='office'"), Ok(Answer::NodeTypes(vec![])));
}

#[test]
fn answers_in_the_generation_of_the_request() {
    for (ns, answer) in [
        ("urn:ieee:iot:concentrator:1.0", "alice result ieee:nodeInfos"),
        ("urn:nf:iot:concentrator:1.0", "alice result nf:nodeInfos"),
        ("urn:nfi:iot:concentrator:1.0", "alice result nfi:nodeInfos"),
    ] {
        assert_eq!(World::new().get(ALICE, &format!("<getRootNodes xmlns='{ns}' src='home'/>")), [answer]);
    }
    let old = |operation: &str| format!("<{operation} xmlns='urn:xmpp:iot:concentrators' sourceId='home'/>");
    assert_eq!(World::new().get(ALICE, &old("getRootNodes")), ["alice result xmpp:getRootNodesResponse result=OK"]);
    assert_eq!(
        World::new().get(EVE, &old("getRootNodes")),
        ["eve result xmpp:getRootNodesResponse result=InsufficientPrivileges"]
    );
    assert_eq!(
        World::new().set(ALICE, &old("createNewNode")),
        ["alice result xmpp:createNewNodeResponse result=NotImplemented"]
    );
}

#[test]
fn too_many_nodes_for_one_answer_are_to_be_walked() {
    let mut world = World::new();
    for number in 100..700 {
        let one = node(number, &format!("hall/{number}"), None, crate::model::Readout::Reported, lamp().fields);
        world.act("home", Action::PutNode(Box::new(one)));
    }
    assert_eq!(
        ask(&mut world, ALICE, "getAllNodes", "src='home'").unwrap_err(),
        "alice error wait resource-constraint"
    );
    assert_eq!(ids(ask(&mut world, ALICE, "getRootNodes", "src='MeteringTopology'")), ["home", "office"]);
}

#[test]
fn tells_subscribers_what_happens_in_a_source_until_the_time_is_up() {
    let mut world = World::new();
    let subscribe =
        |source: &str, ttl: &str| format!("<subscribe xmlns='urn:nfi:iot:concentrator:1.0' src='{source}' {ttl}/>");
    assert_eq!(world.set(ALICE, &subscribe("office", "ttl='0'")), ["alice error modify bad-request"]);
    assert_eq!(world.set(ALICE, &subscribe("office", "")), ["alice error modify bad-request"]);
    assert_eq!(world.set(ALICE, &subscribe("nothing", "ttl='60'")), ["alice error cancel item-not-found"]);
    assert_eq!(world.set(ALICE, &subscribe("office", "ttl='60'")), ["alice result -"]);
    assert!(world.act("office", Action::PutNode(Box::new(lamp()))).is_empty(), "nothing changed");
    assert!(world.act("home", Action::NodeState { node: 1, state: NodeState::Error }).is_empty(), "another source");
    let mut second = lamp();
    (second.number, second.id) = (8, "lamp2".into());
    for (action, told) in [
        (Action::PutNode(Box::new(second.clone())), "alice message nfi:nodeAdded"),
        (Action::NodeState { node: 8, state: NodeState::Error }, "alice message nfi:nodeStatusChanged"),
        (Action::PutNode(Box::new(second)), "alice message nfi:nodeUpdated"),
        (Action::RemoveNode(8), "alice message nfi:nodeRemoved"),
    ] {
        let out = world.act("office", action);
        assert_eq!(out.len(), 1, "{out:?}");
        assert!(out[0].starts_with(told), "{out:?}");
    }
    assert!(world.pass_ms(60_000).is_empty());
    assert!(world.act("office", Action::RemoveNode(7)).is_empty());
}

#[test]
fn a_watch_hears_only_of_nodes_that_may_be_seen_and_of_what_it_asked_for() {
    let mut world = World::new();
    world.set(BOB, "<subscribe xmlns='urn:nf:iot:concentrator:1.0' src='MeteringTopology' ttl='60'/>");
    assert!(world.act("office", Action::NodeState { node: 7, state: NodeState::Error }).is_empty());
    let out = world.act("home", Action::NodeState { node: 1, state: NodeState::Error });
    assert!(out[0].contains("id=home/kitchen/thermometer") && out[0].contains("src=MeteringTopology"), "{out:?}");
    let without = "<unsubscribe xmlns='urn:nf:iot:concentrator:1.0' src='MeteringTopology' nodeAdded='false' nodeRemoved='false'/>";
    assert_eq!(world.set(BOB, without), ["bob result -"]);
    assert!(world.act("home", Action::NodeState { node: 1, state: NodeState::Online }).is_empty());
    assert_eq!(world.act("home", Action::RemoveNode(1)).len(), 1);
    world.set(BOB, "<unsubscribe xmlns='urn:nf:iot:concentrator:1.0' src='MeteringTopology'/>");
    assert!(world.act("home", Action::RemoveNode(2)).is_empty());
    assert_eq!(world.hub.poll_timeout(), None);
}

#[test]
fn who_may_read_but_not_see_lists_nothing() {
    let mut world = World::warm();
    world.rule(Policy::new(vec![Rule::new(&["carol@example.org"], May::READ, &["home/*"], &["*"])]));
    assert_eq!(ask(&mut world, CAROL, "getRootNodes", "src='home'").unwrap_err(), "carol error cancel item-not-found");
    assert!(ids(ask(&mut world, CAROL, "getRootNodes", "src='MeteringTopology'")).is_empty());
    let out = world.get(CAROL, "<req xmlns='urn:nf:iot:sd:1.0' id='r1'><nd id='kitchen/thermometer'/></req>");
    assert_eq!(out.len(), 2);
}
