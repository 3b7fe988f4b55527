//! Dialogues of service discovery, version, ping, and what cannot be read.

use super::world::*;
use crate::wire::discovery::{Info, Item, parse_items};
use crate::wire::paging::Place;

fn ask(who: &str, kind: &str, node: &str) -> Result<minidom::Element, String> {
    ask_of(&mut World::new(), who, kind, node, "")
}

fn ask_of(world: &mut World, who: &str, kind: &str, node: &str, inner: &str) -> Result<minidom::Element, String> {
    let node = if node.is_empty() { String::new() } else { format!("node='{node}'") };
    let payload = format!("<query xmlns='http://jabber.org/protocol/disco#{kind}' {node}>{inner}</query>");
    let stanza = format!("<iq xmlns='jabber:client' type='get' from='{who}' id='d'>{payload}</iq>");
    world.hub.handle_stanza(&stanza.parse().unwrap(), world.now);
    match world.hub.poll_output().unwrap() {
        crate::hub::Output::Stanza { stanza, .. } if stanza.attr("type") == Some("result") => {
            Ok(stanza.children().next().unwrap().clone())
        }
        other => Err(digest(&other)),
    }
}

fn items(who: &str, node: &str) -> Vec<String> {
    let items = parse_items(&ask(who, "items", node).unwrap());
    assert!(items.iter().all(|item: &Item| item.jid.as_str() == ME && !item.name.is_empty()));
    items.into_iter().map(|item| item.node).collect()
}

#[test]
fn everybody_learns_what_we_can_do() {
    for who in [ALICE, EVE] {
        let info = Info::parse(&ask(who, "info", "").unwrap());
        for feature in [
            "urn:xmpp:iot:sensordata",
            "urn:ieee:iot:sd:1.0",
            "urn:nf:iot:ctr:1.0",
            "urn:nfi:iot:concentrator:1.0",
            "urn:nf:iot:events:1.0",
            "urn:xmpp:ping",
        ] {
            assert!(info.features.iter().any(|known| known == feature), "{feature}: {info:?}");
        }
    }
}

#[test]
fn items_are_the_tree_that_the_caller_may_see() {
    assert_eq!(items(ALICE, ""), ["home", "office"]);
    assert_eq!(items(ALICE, "home"), ["home/kitchen"]);
    assert_eq!(items(ALICE, "home/kitchen"), ["home/kitchen/thermometer", "home/kitchen/meter"]);
    assert_eq!(items(BOB, ""), ["home"]);
    assert_eq!(items(BOB, "home"), ["home/kitchen/meter", "home/kitchen/thermometer"]);
    assert_eq!(ask(BOB, "items", "office").unwrap_err(), "bob error cancel item-not-found");
    assert_eq!(ask(EVE, "items", "").unwrap_err(), "eve error cancel forbidden");
    assert_eq!(ask(EVE, "items", "home").unwrap_err(), "eve error cancel forbidden");
}

fn page(world: &mut World, rules: &str) -> Result<(Vec<String>, Place), String> {
    let set = format!("<set xmlns='http://jabber.org/protocol/rsm'>{rules}</set>");
    let query = ask_of(world, ALICE, "items", "office", &set)?;
    Ok((parse_items(&query).into_iter().map(|item| item.node).collect(), Place::parse(&query).unwrap()))
}

#[test]
fn long_lists_are_told_in_parts_that_fit_into_an_answer() {
    let mut world = World::crowded(2000);
    let query = ask_of(&mut world, ALICE, "items", "office", "").unwrap();
    assert!(String::from(&query).len() < crate::model::limits::ANSWER_BYTES_MAX);
    let place = Place::parse(&query).unwrap();
    assert_eq!((place.index, place.count), (Some(0), Some(2000)));
    let (mut found, mut last): (Vec<String>, _) = (Vec::new(), String::new());
    while found.len() < 2000 {
        let after = if last.is_empty() { String::new() } else { format!("<after>{last}</after>") };
        let (part, place) = page(&mut world, &after).unwrap();
        assert_eq!(place.index, Some(found.len()));
        last = place.last.unwrap();
        found.extend(part);
    }
    assert_eq!(
        (found.len(), found.first(), found.last()),
        (2000, Some(&"office/0000".into()), Some(&"office/1999".into()))
    );
}

#[test]
fn a_client_takes_the_part_it_likes() {
    let mut world = World::crowded(10);
    let (part, place) = page(&mut world, "<max>2</max>").unwrap();
    assert_eq!((part, place.index, place.count), (vec!["office/0000".into(), "office/0001".into()], Some(0), Some(10)));
    let (part, place) = page(&mut world, "<max>2</max><before/>").unwrap();
    assert_eq!((part, place.index), (vec!["office/0008".into(), "office/0009".into()], Some(8)));
    let (part, _) = page(&mut world, "<max>1</max><before>office/0008</before>").unwrap();
    assert_eq!(part, ["office/0007"]);
    let (part, place) = page(&mut world, "<max>0</max>").unwrap();
    assert_eq!((part.len(), place), (0, Place { count: Some(10), ..Place::default() }));
    let (part, _) = page(&mut world, "<after>office/0009</after>").unwrap();
    assert_eq!(part.len(), 0);
    assert_eq!(page(&mut world, "<after>office/x</after>").unwrap_err(), "alice error cancel item-not-found");
}

#[test]
fn a_node_says_what_the_caller_can_do_with_it() {
    let features = |who: &str| Info::parse(&ask(who, "info", "home/kitchen/thermometer").unwrap()).features;
    let has = |features: &[String], feature: &str| features.iter().any(|known| known == feature);
    assert!(has(&features(ALICE), "urn:xmpp:iot:sensordata") && has(&features(ALICE), "urn:xmpp:iot:control"));
    assert!(has(&features(BOB), "urn:nf:iot:sd:1.0") && !has(&features(BOB), "urn:nf:iot:ctr:1.0"));
    assert!(!has(&features(CAROL), "urn:nf:iot:sd:1.0"));
    assert_eq!(ask(CAROL, "info", "office/lamp").unwrap_err(), "carol error cancel item-not-found");
    assert_eq!(ask(EVE, "info", "office/lamp").unwrap_err(), "eve error cancel forbidden");
}

#[test]
fn presence_names_capabilities_that_can_be_asked_for() {
    let mut world = World::new();
    world.hub.session_online(crate::model::FullJid::new(ME).unwrap(), world.now);
    let mut caps = None;
    while let Some(crate::hub::Output::Stanza { stanza, .. }) = world.hub.poll_output() {
        caps = caps.or_else(|| stanza.get_child("c", "http://jabber.org/protocol/caps").cloned());
    }
    let caps = caps.unwrap();
    let node = format!("{}#{}", caps.attr("node").unwrap(), caps.attr("ver").unwrap());
    let info = Info::parse(&ask(EVE, "info", &node).unwrap());
    assert_eq!(info.verification(), caps.attr("ver").unwrap());
}
