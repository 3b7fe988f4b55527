//! A tree of 100,000 nodes: what is asked of it costs what is answered, not what there is. Counted in steps, not in time.

use std::time::Instant;

use super::world::*;
use crate::model::{Action, Readout, limits};
use crate::policy::{May, Policy, Rule};
use crate::wire::concentrator::Answer;
use crate::wire::paging::Place;
use crate::work;

const CHILDREN: u32 = 99_999;

/// One root, everything else right below it.
fn wide() -> World {
    let mut world = World::with(crate::hub::Downgrade::Never);
    world.hub.bridge_removed("office", world.now);
    world.hub.bridge_added("office", "", world.now);
    world.drain();
    world.act("office", Action::PutNode(Box::new(node(1, "root", None, Readout::Reported, vec![]))));
    for number in 0..CHILDREN {
        let child = node(number + 2, &format!("n{number:05}"), Some(1), Readout::Reported, vec![]);
        world.hub.handle_bridge("office", Action::PutNode(Box::new(child)), world.now);
    }
    world.drain();
    world
}

fn ask(world: &mut World, payload: &str) -> (Answer, usize) {
    work::taken();
    let stanza = format!("<iq xmlns='jabber:client' type='get' from='{ALICE}' id='c'>{payload}</iq>");
    world.hub.handle_stanza(&stanza.parse().unwrap(), world.now);
    let Some(crate::hub::Output::Stanza { stanza, .. }) = world.hub.poll_output() else { panic!() };
    let steps = work::taken();
    assert!(String::from(&stanza).len() < limits::ANSWER_BYTES_MAX + 1024);
    (Answer::parse(stanza.children().next()).unwrap(), steps)
}

fn part(world: &mut World, set: &str) -> (Vec<String>, Place, usize) {
    let payload = format!(
        "<getChildNodes xmlns='urn:nf:iot:concentrator:1.0' id='root' src='office'><set xmlns='http://jabber.org/protocol/rsm'>{set}</set></getChildNodes>"
    );
    let (Answer::Part(nodes, place), steps) = ask(world, &payload) else { panic!() };
    (nodes.into_iter().map(|node| node.node.id).collect(), place, steps)
}

#[test]
fn a_hundred_thousand_nodes_cost_no_more_than_what_is_answered() {
    let began = Instant::now();
    let mut world = wide();
    let built = began.elapsed();
    let began = Instant::now();
    let (node, steps) = ask(&mut world, "<getNode xmlns='urn:nf:iot:concentrator:1.0' id='root' src='office'/>");
    let one = began.elapsed();
    assert!(matches!(node, Answer::Node(node) if node.has_children));
    assert!(steps < 50, "getNode took {steps} steps");
    let began = Instant::now();
    let (first, place, steps) = part(&mut world, "");
    let page = began.elapsed();
    assert!(first.len() > 100 && steps < 12 * first.len(), "{} nodes took {steps} steps", first.len());
    assert_eq!((place.index, place.count), (Some(0), Some(99_999)));
    let (next, _, steps) = part(&mut world, "<max>10</max><after>n50000</after>");
    assert_eq!((next.first().map(String::as_str), next.len()), (Some("n50001"), 10));
    assert!(steps < 200, "10 nodes in the middle took {steps} steps");
    let (last, place, steps) = part(&mut world, "<max>2</max><before/>");
    assert_eq!((last, place.index), (vec!["n99997".to_owned(), "n99998".to_owned()], None));
    assert!(steps < 100, "the last 2 nodes took {steps} steps");
    let (roots, steps) = ask(&mut world, "<getRootNodes xmlns='urn:nf:iot:concentrator:1.0' src='office'/>");
    assert!(matches!(roots, Answer::Nodes(nodes) if nodes.len() == 1));
    assert!(steps < 50, "the only root took {steps} steps");
    println!("100,000 nodes: declared in {built:?}; getNode {one:?}; {} of getChildNodes {page:?}", first.len());
}

#[test]
fn every_node_is_in_exactly_one_part() {
    let mut world = World::crowded(1000);
    for rules in [rules(), Policy::new(vec![Rule::new(&["alice@example.org"], May::SEE, &["office/*1"], &["*"])])] {
        world.rule(rules);
        for operation in [
            "getAllNodes xmlns='urn:nf:iot:concentrator:1.0' src='office'",
            "getAllNodes xmlns='urn:nf:iot:concentrator:1.0' src='MeteringTopology'",
            "getRootNodes xmlns='urn:nf:iot:concentrator:1.0' src='office'",
        ] {
            let name = operation.split(' ').next().unwrap();
            let mut seen: Vec<String> = Vec::new();
            let mut set = String::new();
            loop {
                let (Answer::Part(nodes, place), _) = ask(
                    &mut world,
                    &format!(
                        "<{operation}><set xmlns='http://jabber.org/protocol/rsm'><max>70</max>{set}</set></{name}>"
                    ),
                ) else {
                    panic!()
                };
                if nodes.is_empty() {
                    break;
                }
                seen.extend(nodes.into_iter().map(|node| node.node.id));
                set = format!("<after>{}</after>", place.last.unwrap());
            }
            let mut sorted = seen.clone();
            sorted.sort();
            sorted.dedup();
            assert_eq!(sorted.len(), seen.len(), "{operation}: some came twice");
            assert!(seen.len() >= 100, "{operation}: {}", seen.len());
        }
    }
}
