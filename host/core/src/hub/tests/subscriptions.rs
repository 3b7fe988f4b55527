//! Dialogues that watch fields, in every generation.

use super::world::*;
use crate::model::{Action, Value};

const ND: &str = "<nd id='kitchen/thermometer' src='home'/>";

fn wish(attributes: &str, inner: &str) -> String {
    format!("<subscribe xmlns='urn:nf:iot:events:1.0' id='s1' {attributes}>{inner}</subscribe>")
}

fn event(text: &str) -> Vec<String> {
    vec![format!("alice last s1: home|kitchen/thermometer temperature={text} °C")]
}

/// A thermometer that alice has subscribed to.
fn subscribed(attributes: &str, inner: &str) -> World {
    let mut world = World::warm();
    let out = world.set(ALICE, &wish(attributes, inner));
    assert_eq!(out, ["wanted home 1", "alice result nf:accepted id=s1"]);
    world
}

#[test]
fn passes_on_what_is_reported_in_every_generation_until_unsubscribed() {
    for (ns, accepted) in [
        ("ieee", "alice result ieee:accepted id=s1"),
        ("nf", "alice result nf:accepted id=s1"),
        ("nfi", "alice result nfi:accepted id=s1"),
    ] {
        let mut world = World::warm();
        let events = format!("urn:{ns}:iot:events:1.0");
        let subscribe = format!("<subscribe xmlns='{events}' id='s1' m='true'>{ND}</subscribe>");
        assert_eq!(world.set(ALICE, &subscribe), ["wanted home 1", accepted]);
        assert_eq!(world.temperature("23.50"), event("23.50"));
        let unsubscribe = format!("<unsubscribe xmlns='{events}' id='s1'/>");
        assert_eq!(world.get(ALICE, &unsubscribe), ["unwanted home 1", "alice result -"]);
        assert!(world.temperature("23.60").is_empty());
        assert_eq!(world.get(ALICE, &unsubscribe), ["alice result -"]);
        assert_eq!(world.hub.things().subscriptions, 0);
    }
}

#[test]
fn passes_on_with_long_names_too() {
    let mut world = World::warm();
    let subscribe = "<subscribe xmlns='urn:xmpp:iot:events' seqnr='5' momentary='true'><node nodeId='kitchen/thermometer'/></subscribe>";
    assert_eq!(world.get(ALICE, subscribe), ["wanted home 1", "alice result xmpp:accepted seqnr=5"]);
    assert_eq!(world.temperature("23.50"), ["alice last 5: |kitchen/thermometer temperature=23.50 °C"]);
    assert_eq!(
        world.get(ALICE, "<unsubscribe xmlns='urn:xmpp:iot:events' seqnr='5'/>").last().unwrap(),
        "alice result -"
    );
    assert!(world.temperature("23.60").is_empty());
}

#[test]
fn without_rules_the_same_value_again_is_an_event_and_only_new_values_are_sent() {
    let mut world = subscribed("all='true'", ND);
    assert_eq!(world.temperature("23.40"), event("23.40"));
    assert_eq!(world.temperature("23.40"), event("23.40"));
    assert_eq!(
        world.report("home", 1, vec![sample(1, Value::Int32(5))], None, None),
        ["alice last s1: home|kitchen/thermometer uptime=5i"]
    );
}

#[test]
fn kinds_that_were_not_asked_for_are_no_event() {
    let mut world = subscribed("m='true'", ND);
    assert!(world.report("home", 1, vec![sample(1, Value::Int32(5))], None, None).is_empty());
}

#[test]
fn rules_decide_which_change_is_an_event() {
    let mut world = subscribed("m='true'", &format!("{ND}<f n='temperature' up='0.5' dn='1'/>"));
    assert!(world.temperature("23.89").is_empty());
    assert_eq!(world.temperature("23.90"), event("23.90"));
    assert!(world.temperature("22.91").is_empty(), "compared with what was an event");
    assert_eq!(world.temperature("22.90"), event("22.90"));
    assert_eq!(world.temperature("24.00"), event("24.00"));
}

#[test]
fn the_subscriber_says_what_it_takes_the_value_to_be() {
    let mut world = subscribed("m='true'", &format!("{ND}<f n='temperature' v='20' by='1'/>"));
    assert_eq!(world.temperature("23.41"), event("23.41"));
}

#[test]
fn a_rule_without_thresholds_means_any_change() {
    let mut world = subscribed("m='true'", &format!("{ND}<f n='temperature'/>"));
    assert!(world.temperature("23.40").is_empty());
    assert_eq!(world.temperature("23.41"), event("23.41"));
}

#[test]
fn an_event_of_one_field_brings_the_others_that_were_named() {
    let mut world = subscribed("all='true'", &format!("{ND}<f n='temperature' by='1'/><f n='uptime' by='1000'/>"));
    assert_eq!(
        world.temperature("25.00"),
        ["alice last s1: home|kitchen/thermometer temperature=25.00 °C, uptime=4711i"]
    );
}

#[test]
fn the_shortest_interval_delays_and_keeps_the_newest() {
    let mut world = subscribed("m='true' minInt='PT10S'", ND);
    assert_eq!(world.temperature("24.0"), event("24.0"));
    assert!(world.temperature("25.0").is_empty());
    assert!(world.temperature("26.0").is_empty());
    assert!(world.pass_ms(9_999).is_empty());
    assert_eq!(world.pass_ms(1), event("26.0"));
    assert!(world.pass_ms(60_000).is_empty());
    assert_eq!(world.temperature("27.0"), event("27.0"));
}

#[test]
fn the_longest_interval_forces_an_event() {
    let mut world = subscribed("m='true' maxInt='PT60S'", ND);
    assert!(world.pass_ms(59_999).is_empty());
    assert_eq!(world.pass_ms(1), event("23.40"));
    world.pass_ms(30_000);
    assert_eq!(world.temperature("24.0"), event("24.0"));
    assert!(world.pass_ms(59_999).is_empty());
    assert_eq!(world.pass_ms(1), event("24.0"));
    world.set(ALICE, "<unsubscribe xmlns='urn:nf:iot:events:1.0' id='s1'/>");
    assert_eq!(world.hub.poll_timeout(), None);
}

#[test]
fn what_is_known_can_be_read_at_once() {
    let mut world = World::warm();
    let out = world.set(ALICE, &wish("m='true' req='true'", ND));
    assert_eq!(out[1..], ["alice result nf:accepted id=s1".to_owned(), event("23.40")[0].clone()]);
    let out = world.set(ALICE, &wish("m='true' req='true'", "<nd id='kitchen/meter'/>"));
    let request = request_in(&out);
    let out = world.report("home", 2, vec![sample(0, decimal("1.0"))], Some(request), None);
    assert_eq!(out, ["alice last s1: |kitchen/meter energy=1.0 kWh"], "it is news as well");
    assert_eq!(
        world.act("home", Action::Complete { id: request, outcome: Ok(()) }),
        Vec::<String>::new(),
        "and told once"
    );
}

#[test]
fn a_newer_subscription_replaces_the_older_for_the_nodes_it_lists() {
    let mut world = subscribed("m='true'", &format!("{ND}<nd id='lamp'/>").replace("<nd id='lamp'/>", ""));
    let out = world.set(ALICE, &wish("all='true'", ND).replace("s1", "s2"));
    assert_eq!(out.last().unwrap(), "alice result nf:accepted id=s2");
    assert_eq!(world.hub.things().subscriptions, 1);
    assert_eq!(world.temperature("1.0"), ["alice last s2: home|kitchen/thermometer temperature=1.0 °C"]);
}

#[test]
fn a_newer_subscription_leaves_the_other_nodes_of_the_older() {
    let mut world = World::warm();
    world.set(ALICE, &wish("m='true'", &format!("{ND}<nd id='lamp' src='office'/>")));
    world.set(ALICE, &wish("m='true'", ND).replace("s1", "s2"));
    assert_eq!(world.hub.things().subscriptions, 2);
    assert_eq!(
        world.report("office", 7, vec![sample(0, Value::Boolean(true))], None, None),
        ["alice last s1: office|lamp on=true"]
    );
    assert_eq!(world.temperature("1.0").len(), 1);
}

#[test]
fn several_subscribers_each_get_what_they_may() {
    let mut world = subscribed("all='true'", ND);
    let out = world.set(BOB, &wish("all='true'", ND));
    assert_eq!(out, ["bob result nf:accepted id=s1"], "the mapper knows already");
    let samples = vec![sample(0, decimal("1.0")), sample(1, Value::Int32(2))];
    assert_eq!(
        world.report("home", 1, samples, None, None),
        [
            "alice last s1: home|kitchen/thermometer temperature=1.0 °C, uptime=2i",
            "bob last s1: home|kitchen/thermometer temperature=1.0 °C",
        ]
    );
    assert_eq!(world.set(ALICE, "<unsubscribe xmlns='urn:nf:iot:events:1.0' id='s1'/>"), ["alice result -"]);
    assert_eq!(world.set(BOB, "<unsubscribe xmlns='urn:nf:iot:events:1.0' id='s1'/>")[0], "unwanted home 1");
}

#[test]
fn is_refused_like_a_readout() {
    for (who, inner, refusal) in [
        (EVE, ND, "eve error cancel forbidden"),
        (CAROL, ND, "carol error cancel forbidden"),
        (BOB, "<nd id='lamp'/>", "bob error cancel item-not-found"),
        (ALICE, "<nd id='nothing'/>", "alice error cancel item-not-found"),
        (ALICE, "<nd id='kitchen'/>", "alice error modify bad-request"),
        (ALICE, "", "alice error modify bad-request"),
        (ALICE, "<nd id='lamp'/><f n='on' by='0'/>", "alice error modify bad-request"),
    ] {
        assert_eq!(World::warm().set(who, &wish("m='true'", inner)), [refusal], "{who} {inner}");
    }
    assert_eq!(World::warm().set(ALICE, &wish("minInt='soon'", ND)), ["alice error modify bad-request"]);
}

#[test]
fn a_receipt_is_answered_when_every_subscriber_has_its_stanza() {
    let mut world = subscribed("m='true'", ND);
    world.set(BOB, &wish("m='true'", ND));
    let out = world.report("home", 1, vec![sample(0, decimal("1.0"))], None, Some(55));
    assert_eq!(out.len(), 2);
    let items = std::mem::take(&mut world.items);
    assert_eq!(items.len(), 2);
    assert!(items.iter().all(|item| *item > 100));
    world.hub.handle_durable(items[1], world.now);
    assert!(world.drain().is_empty());
    world.hub.handle_durable(items[1], world.now);
    assert!(world.drain().is_empty(), "twice counts once");
    world.hub.handle_durable(items[0], world.now);
    assert_eq!(world.drain(), ["stored home 55"]);
    assert_eq!(world.hub.things().receipts, 0);
}

#[test]
fn a_receipt_is_answered_at_once_where_nobody_is_to_receive() {
    let mut world = World::warm();
    let report = |world: &mut World, value| world.report("home", 1, vec![sample(0, decimal(value))], None, Some(1));
    assert_eq!(report(&mut world, "1.0"), ["stored home 1"]);
    world.set(ALICE, &wish("m='true'", &format!("{ND}<f n='temperature' by='5'/>")));
    assert_eq!(report(&mut world, "2.0"), ["stored home 1"], "no event");
    world.set(ALICE, &wish("m='true' minInt='PT1M'", ND));
    report(&mut world, "9.0");
    assert_eq!(report(&mut world, "10.0"), ["stored home 1"], "delayed");
}

#[test]
fn a_report_without_a_receipt_needs_no_durability() {
    let mut world = subscribed("m='true'", ND);
    world.temperature("1.0");
    assert!(world.items.is_empty());
}

#[test]
fn a_receipt_for_values_that_do_not_fit_is_answered_as_well() {
    let mut world = subscribed("m='true'", ND);
    let out = world.report("home", 1, vec![sample(0, Value::Text("hot".into()))], None, Some(9));
    assert_eq!(out, ["refused home: 1 values of node 1 do not fit their fields", "stored home 9"]);
    let out = world.report("home", 99, vec![], None, Some(10));
    assert_eq!(out, ["refused home: a report of node 99, which was never declared", "stored home 10"]);
}

#[test]
fn a_subscriber_that_is_away_gets_nothing_and_what_is_known_when_it_is_back() {
    let mut world = subscribed("m='true'", ND);
    let presence = |kind: &str| format!("<presence {kind} from='{ALICE}' to='{ME}'/>");
    world.hear(&presence("type='unavailable'"));
    assert!(world.temperature("1.0").is_empty());
    world.pass_ms(599_000);
    assert_eq!(world.hear(&presence("")), event("1.0"));
    assert_eq!(world.temperature("2.0"), event("2.0"));
    assert_eq!(world.hub.poll_timeout(), None);
}

#[test]
fn a_subscriber_that_stays_away_is_forgotten() {
    let mut world = subscribed("m='true'", ND);
    world.hear(&format!("<presence type='unavailable' from='{ALICE}' to='{ME}'/>"));
    assert_eq!(world.pass_ms(600_000), ["unwanted home 1"]);
    assert_eq!((world.hub.things().subscriptions, world.hub.poll_timeout()), (0, None));
}

#[test]
fn presence_of_the_whole_account_counts_for_every_resource() {
    let mut world = subscribed("m='true'", ND);
    world.hear(&format!("<presence type='unavailable' from='alice@example.org' to='{ME}'/>"));
    assert!(world.temperature("1.0").is_empty());
}

#[test]
fn who_unsubscribes_from_presence_is_forgotten() {
    let mut world = subscribed("m='true'", ND);
    let out = world.hear(&format!("<presence type='unsubscribe' from='alice@example.org' to='{ME}'/>"));
    assert_eq!(out, ["alice presence unsubscribed", "unwanted home 1"]);
}

#[test]
fn a_node_that_comes_back_is_heard_again() {
    let mut world = subscribed("m='true'", ND);
    world.act("home", Action::RemoveNode(1));
    assert_eq!(world.hub.things().bridges[0].nodes, 2);
    assert_eq!(
        world.get(BOB, "<req xmlns='urn:nf:iot:sd:1.0' id='r'><nd id='kitchen/thermometer'/></req>"),
        ["bob error cancel item-not-found"]
    );
    let mut back = thermometer();
    back.number = 77;
    assert_eq!(world.act("home", Action::PutNode(Box::new(back))), ["wanted home 77"]);
    assert_eq!(world.report("home", 77, vec![sample(0, decimal("1.0"))], None, None), event("1.0"));
}

#[test]
fn a_restarted_mapper_may_number_its_nodes_anew() {
    let mut world = subscribed("m='true'", ND);
    let (mut first, mut second) = (meter(), thermometer());
    (first.number, second.number) = (1, 2);
    world.act("home", Action::PutNode(Box::new(first)));
    assert_eq!(world.act("home", Action::PutNode(Box::new(second))), ["wanted home 2"]);
    assert_eq!(world.report("home", 2, vec![sample(0, decimal("1.0"))], None, None), event("1.0"));
    assert!(world.report("home", 1, vec![sample(0, decimal("1.0"))], None, None).is_empty());
    assert_eq!(world.hub.things().bridges[0].nodes, 3);
}

#[test]
fn nothing_is_left_of_a_node_that_nobody_waits_for_any_more() {
    let mut world = subscribed("m='true'", ND);
    world.act("home", Action::RemoveNode(1));
    assert_eq!(world.set(ALICE, "<unsubscribe xmlns='urn:nf:iot:events:1.0' id='s1'/>"), ["alice result -"]);
    assert!(world.act("home", Action::PutNode(Box::new(thermometer()))).is_empty());
}

#[test]
fn a_bridge_that_goes_takes_subscriptions_and_receipts_along() {
    let mut world = subscribed("m='true' maxInt='PT1M'", ND);
    world.report("home", 1, vec![sample(0, decimal("1.0"))], None, Some(1));
    world.hub.bridge_removed("home", world.now);
    assert!(world.drain().is_empty());
    let item = world.items[0];
    world.hub.handle_durable(item, world.now);
    assert!(world.drain().is_empty());
    let things = world.hub.things();
    assert_eq!((things.subscriptions, things.receipts, things.bridges.len()), (0, 0, 1));
    assert_eq!(world.hub.poll_timeout(), None);
}
