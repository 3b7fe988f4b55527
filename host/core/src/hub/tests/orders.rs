//! Dialogues about commands, edit forms and queries: who may, what is checked, and how they end.

use super::world::*;
use crate::model::{Action, Command, Constraint, Failure, FieldKinds, Node, ReasonCode, ValueType, limits};
use crate::policy::{May, Policy, Rule};

fn commandable(number: u32, id: &str) -> Node {
    let range = Constraint { minimum: Some(0.0), maximum: Some(10.0), ..Constraint::default() };
    let times = controllable(field("Times", ValueType::Int32, "", FieldKinds::MOMENTARY), range);
    let command = |name: &str, parameters| Command { name: name.into(), label: String::new(), parameters };
    Node {
        commands: vec![
            command("blink", vec![times.clone()]),
            command("identify", vec![]),
            command("query.log", vec![]),
            command("settings", vec![times]),
        ],
        ..node(number, id, None, crate::model::Readout::Reported, lamp().fields)
    }
}

fn world() -> World {
    let mut world = World::new();
    for (number, id) in [(20, "a"), (21, "b")] {
        world.act("office", Action::PutNode(Box::new(commandable(number, id))));
    }
    world
}

fn fail(world: &mut World, id: u64) -> Vec<String> {
    world.act("office", Action::Complete { id, outcome: Err(Failure::new(ReasonCode::Unreachable, "Gone.")) })
}

const NS: &str = "urn:nf:iot:concentrator:1.0";

fn execute(command: &str, node: &str) -> String {
    format!("<executeNodeCommand xmlns='{NS}' id='{node}' src='office' command='{command}'/>")
}

fn query(id: &str) -> String {
    format!("<executeNodeQuery xmlns='{NS}' id='a' src='office' command='query.log' queryId='{id}'/>")
}

#[test]
fn a_command_that_nobody_completes_ends_by_itself() {
    let mut world = world();
    let asked = world.set(ALICE, &execute("identify", "a"));
    assert!(asked[0].starts_with("ask office invoke"), "{asked:?}");
    let out = world.pass_ms(limits::COMMAND_DEADLINE_MS);
    assert!(out.iter().any(|line| line.starts_with("cancelled office")), "{out:?}");
    assert!(out.iter().any(|line| line == "alice error wait remote-server-timeout"), "{out:?}");
    assert_eq!(world.hub.poll_timeout(), None);
}

#[test]
fn commands_at_once_are_bounded_for_a_caller() {
    let mut world = world();
    for _ in 0..limits::COMMANDS_PER_CALLER_MAX {
        world.set(ALICE, &execute("identify", "a"));
    }
    assert_eq!(world.set(ALICE, &execute("identify", "a")), ["alice error wait resource-constraint"]);
    for id in 0..limits::QUERIES_PER_CALLER_MAX {
        assert_eq!(world.set(ALICE, &query(&id.to_string())).len(), 3);
    }
    assert_eq!(world.set(ALICE, &query("more")), ["alice error wait resource-constraint"]);
}

#[test]
fn of_several_nodes_each_is_told_of_and_nothing_is_done_unless_all_can() {
    let mut world = world();
    let both = |nodes: &str| {
        format!("<executeCommonNodeCommand xmlns='{NS}' command='identify'>{nodes}</executeCommonNodeCommand>")
    };
    let out = world.set(ALICE, &both("<nd id='a' src='office'/><nd id='lamp' src='office'/>"));
    assert_eq!(out, ["alice error cancel item-not-found"], "the lamp has no such command");
    let asked = world.set(ALICE, &both("<nd id='a' src='office'/><nd id='b' src='office'/><nd id='a' src='office'/>"));
    assert_eq!(asked.len(), 2, "one each: {asked:?}");
    let ids: Vec<u64> = asked.iter().map(|line| request_in(std::slice::from_ref(line))).collect();
    assert!(fail(&mut world, ids[1]).is_empty());
    assert_eq!(world.complete("office", ids[0]), ["alice result nf:partialExecution"]);
}

#[test]
fn a_rule_covers_commands_by_their_names() {
    let mut world = world();
    world.rule(Policy::new(vec![Rule::new(&["alice@example.org"], May::all(), &["office/*"], &["identify"])]));
    assert_eq!(world.set(ALICE, &execute("blink", "a")), ["alice error cancel item-not-found"]);
    assert_eq!(world.set(ALICE, &execute("identify", "a")).len(), 1);
    world.rule(Policy::new(vec![Rule::new(&["alice@example.org"], May::SEE, &["office/*"], &["*"])]));
    assert_eq!(world.set(ALICE, &execute("identify", "a")), ["alice error auth forbidden"]);
    assert_eq!(world.set(CAROL, &execute("identify", "a")), ["carol error cancel forbidden"], "a stranger by now");
    assert_eq!(world.set(EVE, &execute("identify", "a")), ["eve error cancel forbidden"]);
}

#[test]
fn whoever_loses_the_right_or_goes_away_gets_no_more_of_a_query() {
    let mut first = world();
    first.set(ALICE, &query("q"));
    let out = first.rule(Policy::default());
    assert!(out.iter().any(|line| line.starts_with("cancelled office")), "{out:?}");
    assert!(out.iter().any(|line| line.starts_with("alice message nf:queryProgress")), "{out:?}");
    assert_eq!(first.hub.poll_timeout(), None);
    let mut second = world();
    second.set(ALICE, &query("q"));
    let out = second.hear(&format!("<presence xmlns='jabber:client' from='{ALICE}' type='unavailable'/>"));
    assert_eq!(out.len(), 1, "{out:?}");
    assert!(out[0].starts_with("cancelled office"));
    assert_eq!(second.hub.poll_timeout(), None);
}

#[test]
fn queries_belong_to_whoever_asked() {
    let mut world = world();
    world.rule(Policy::new(vec![Rule::new(&["*"], May::all(), &["*"], &["*"])]));
    world.set(ALICE, &query("q"));
    let abort = format!("<abortNodeQuery xmlns='{NS}' id='a' src='office' command='query.log' queryId='q'/>");
    assert_eq!(world.set(BOB, &abort), ["bob error cancel item-not-found"]);
    assert_eq!(world.set(BOB, &query("q")).len(), 3, "the same name is another's");
    let other = abort.replace("query.log", "other");
    assert_eq!(world.set(ALICE, &other), ["alice error cancel item-not-found"]);
    assert_eq!(world.set(ALICE, &abort).len(), 3);
}

#[test]
fn a_bridge_that_goes_ends_what_was_asked_of_it() {
    let mut world = world();
    world.set(ALICE, &execute("identify", "a"));
    world.set(ALICE, &query("q"));
    world.hub.bridge_down("office", world.now);
    let out = world.drain();
    assert!(out.iter().any(|line| line == "alice error wait remote-server-timeout"), "{out:?}");
    assert!(out.iter().any(|line| line.starts_with("alice message nf:queryProgress")), "{out:?}");
    assert_eq!(world.hub.poll_timeout(), None);
    let things = world.hub.things();
    assert_eq!((things.commands, things.queries), (0, 0));
}

#[test]
fn an_edit_that_fails_names_the_node_of_several() {
    let mut world = world();
    let edit = format!(
        "<setCommonNodeParametersAfterEdit xmlns='{NS}'><nd id='a' src='office'/><nd id='b' src='office'/>
         <x xmlns='jabber:x:data' type='submit'><field var='Times'><value>3</value></field></x></setCommonNodeParametersAfterEdit>"
    );
    let asked = world.set(ALICE, &edit);
    assert_eq!(asked.len(), 2, "{asked:?}");
    let ids: Vec<u64> = asked.iter().map(|line| request_in(std::slice::from_ref(line))).collect();
    world.complete("office", ids[0]);
    assert_eq!(fail(&mut world, ids[1]), ["alice error wait remote-server-timeout"]);
}

#[test]
fn declarations_of_commands_are_bounded() {
    let mut world = world();
    let mut many = commandable(30, "many");
    many.commands = (0..=limits::COMMANDS_PER_NODE_MAX)
        .map(|number| Command { name: number.to_string(), label: String::new(), parameters: vec![] })
        .collect();
    assert!(world.act("office", Action::PutNode(Box::new(many)))[0].starts_with("refused office"));
    let mut twice = commandable(30, "twice");
    twice.commands[0].name = "identify".into();
    assert!(world.act("office", Action::PutNode(Box::new(twice)))[0].starts_with("refused office"));
}

#[test]
fn a_bridge_answers_nothing_that_another_was_asked() {
    let mut world = world();
    let asked = world.set(ALICE, &execute("identify", "a"));
    let id: u64 = asked[0].split(' ').nth(3).unwrap().parse().unwrap();
    let refused = world.complete("home", id);
    assert!(refused.len() == 1 && refused[0].starts_with("refused home: an answer to request"), "{refused:?}");
    assert_eq!(world.complete("office", id), ["alice result -"]);
    assert!(world.complete("office", id).is_empty(), "only once");

    let read = format!("<req xmlns='{NF}:sd:1.0' id='r' m='true'><nd id='kitchen/meter' src='home'/></req>");
    let id = request_in(&world.get(ALICE, &read));
    let foreign = world.report("office", 7, vec![sample(0, crate::model::Value::Boolean(true))], Some(id), None);
    assert!(foreign[0].starts_with("refused office"), "{foreign:?}");
    let failure = Failure::new(ReasonCode::Unreachable, "Gone.");
    assert!(world.act("office", Action::NodeFailed { id, node: 7, failure })[0].starts_with("refused office"));
    assert!(world.complete("office", id)[0].starts_with("refused office"));
    assert!(!world.complete("home", id).is_empty());
}

#[test]
fn what_is_done_to_a_bridge_as_a_whole_is_wished_of_the_app_whoever_asks() {
    let mut world = world();
    let union = format!("<executeNodeCommand xmlns='{NS}' id='home' src='MeteringTopology' command='checkpoint'/>");
    let wished = |world: &mut World| {
        let wished = world.set(ALICE, &union);
        assert!(
            wished.len() == 1 && wished[0].ends_with("Manage { bridge: \"home\", what: Checkpoint }"),
            "{wished:?}"
        );
        wished[0].split(' ').nth(1).unwrap().parse::<u64>().unwrap()
    };
    let id = wished(&mut world);
    world.hub.handle_granted(id, Ok(crate::hub::Granted::Done("Kept.".into())), world.now);
    assert_eq!(world.drain(), ["alice result -"]);
    let id = wished(&mut world);
    world.hub.handle_granted(id, Err(Failure::new(ReasonCode::Busy, "home is quarantined.")), world.now);
    assert_eq!(world.drain(), ["alice error wait resource-constraint"]);
    wished(&mut world);
    assert_eq!(world.pass_ms(limits::WISH_DEADLINE_MS), ["alice error wait remote-server-timeout"]);
    assert_eq!(world.hub.poll_timeout(), None);
}
