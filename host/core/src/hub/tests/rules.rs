//! What callers may, what they learn, and rules that change under them.

use super::world::*;
use crate::policy::{May, Policy, Rule};

const ND: &str = "<nd id='kitchen/thermometer' src='home'/>";

fn subscribed() -> World {
    let mut world = World::warm();
    for who in [ALICE, BOB] {
        world.set(who, &format!("<subscribe xmlns='urn:nf:iot:events:1.0' id='s1' all='true'>{ND}</subscribe>"));
    }
    world
}

#[test]
fn a_live_subscription_ends_when_its_rule_goes() {
    let mut world = subscribed();
    let bob_only = Rule::new(&["bob@example.org"], May::SEE | May::READ, &["home/*"], &["temp*"]);
    let told = "alice last s1: home|kitchen/thermometer !Access denied.";
    assert_eq!(world.rule(Policy::new(vec![bob_only])), [told]);
    assert_eq!(world.temperature("1.0"), ["bob last s1: home|kitchen/thermometer temperature=1.0 °C"]);
    assert_eq!(world.rule(Policy::default()), [&told.replace("alice", "bob"), "unwanted home 1"]);
    assert!(world.temperature("2.0").is_empty());
    assert_eq!(world.hub.things().subscriptions, 0);
}

#[test]
fn a_live_subscription_follows_the_fields_of_its_rule() {
    let mut world = subscribed();
    world.rule(Policy::new(vec![Rule::new(&["*"], May::SEE | May::READ, &["*"], &["uptime"])]));
    assert!(world.temperature("1.0").is_empty());
    let out = world.report("home", 1, vec![sample(1, crate::model::Value::Int32(1))], None, None);
    assert_eq!(out.len(), 2);
}

#[test]
fn a_readout_under_way_ends_without_what_may_not_be_read_any_more() {
    let mut world = World::warm();
    let nodes = "<nd id='kitchen/meter' src='home'/><nd id='kitchen/thermometer' src='home'/>";
    let out = world.get(ALICE, &format!("<req xmlns='urn:nf:iot:sd:1.0' id='r1' m='true'>{nodes}</req>"));
    let request = request_in(&out);
    assert!(world.rule(Policy::default()).is_empty());
    assert!(world.report("home", 2, vec![sample(0, decimal("1.0"))], Some(request), None).is_empty());
    let out = world.complete("home", request);
    assert_eq!(out.len(), 1);
    assert!(out[0].contains("!Access denied.") && !out[0].contains("temperature"), "{out:?}");
}

#[test]
fn a_queued_readout_asks_again_when_it_starts() {
    let mut world = World::warm();
    let when = world.now.plus_ms(1000);
    world.get(BOB, &format!("<req xmlns='urn:nf:iot:sd:1.0' id='r1' m='true' when='{when}'>{ND}</req>"));
    world.rule(Policy::default());
    assert_eq!(world.pass_ms(1000), ["bob started r1", "bob last r1: home|kitchen/thermometer !Access denied."]);
}

#[test]
fn what_was_held_back_is_narrowed_to_the_new_rule() {
    let mut world = World::warm();
    let nodes = "<nd id='kitchen/meter' src='home'/><nd id='kitchen/thermometer' src='home'/>";
    let out = world.get(ALICE, &format!("<req xmlns='urn:nf:iot:sd:1.0' id='r1' all='true'>{nodes}</req>"));
    let request = request_in(&out);
    world.rule(Policy::new(vec![Rule::new(&["*"], May::SEE | May::READ, &["*"], &["uptime"])]));
    assert_eq!(world.complete("home", request), ["alice last r1: home|kitchen/thermometer uptime=4711i"]);
}

#[test]
fn a_watch_ends_when_nothing_is_allowed_any_more() {
    let mut world = World::warm();
    world.set(ALICE, "<subscribe xmlns='urn:nf:iot:concentrator:1.0' src='home' ttl='60'/>");
    world.rule(Policy::default());
    assert_eq!(world.hub.poll_timeout(), None);
}

#[test]
fn who_waited_is_approved_when_a_rule_appears() {
    let mut world = World::new();
    assert!(world.hear(&format!("<presence type='subscribe' from='eve@evil.example' to='{ME}'/>")).is_empty());
    assert_eq!(world.hub.waiting().len(), 1);
    let out = world.rule(Policy::new(vec![Rule::new(&["*@evil.example"], May::SEE, &["*"], &["*"])]));
    assert_eq!(out, ["eve presence subscribed", "eve presence subscribe"]);
    assert!(world.hub.waiting().is_empty());
}
