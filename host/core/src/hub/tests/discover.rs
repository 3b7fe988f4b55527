use super::world::*;
use crate::wire::discovery::{Info, Item, parse_items};

fn ask(who: &str, kind: &str, node: &str) -> Result<minidom::Element, String> {
    let mut world = World::new();
    let node = if node.is_empty() { String::new() } else { format!("node='{node}'") };
    let payload = format!("<query xmlns='http://jabber.org/protocol/disco#{kind}' {node}/>");
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
