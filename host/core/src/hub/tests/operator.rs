//! What only the operator asks: how a value went, and to hand over again what was set aside.

use super::world::*;
use crate::hub::{Output, Via};
use crate::model::custody::{End, Item, Route};
use crate::model::limits;
use crate::policy::Policy;
use crate::wire::stanza;

const NODE: &str = "home/kitchen/thermometer";
const ND: &str = "<nd id='kitchen/thermometer' src='home'/>";

fn subscribed() -> World {
    let mut world = World::warm();
    world.set(ALICE, &format!("<subscribe xmlns='urn:nf:iot:events:1.0' id='s1' m='true'>{ND}</subscribe>"));
    world
}

fn promised(world: &mut World, text: &str) -> Vec<String> {
    world.report("home", 1, vec![sample(0, decimal(text))], None, Some(1))
}

fn message() -> String {
    let reading = format!(
        "<resp xmlns='urn:nf:iot:sd:1.0' id='s1'>{}<ts v='2025-03-01T10:00:00Z'><q n='temperature' v='1.0' u='°C' m='true'/></ts></nd></resp>",
        ND.replace("/>", ">")
    );
    String::from(&stanza::message(Some(&ALICE.parse().unwrap()), "told-once", reading.parse().unwrap()))
}

#[test]
fn a_value_is_followed_from_its_mapper_to_the_next_hop_and_back() {
    let mut world = subscribed();
    let called = world.now;
    world.hub.mapper_called(called);
    world.now = world.now.plus_ms(1);
    promised(&mut world, "1.0");
    let traced = world.hub.traced(NODE).unwrap();
    assert_eq!((traced.called, traced.reported, traced.has_receipt), (called, world.now, true));
    let [hop] = traced.hops.as_slice() else { panic!("{traced:?}") };
    assert_eq!((&*hop.to, hop.via, hop.is_promised, hop.durable), (ALICE, Via::Allowed, true, None));
    let item = world.items.pop().unwrap();
    let times: Vec<_> = (2..5).map(|ms| called.plus_ms(ms)).collect();
    world.hub.handle_durable(item, times[0]);
    world.hub.handle_handed(item, times[1]);
    world.hub.handle_ended(&[item], &End::Delivered, times[2]);
    let traced = world.hub.traced(NODE).unwrap();
    let hop = &traced.hops[0];
    assert_eq!(
        [hop.durable, hop.handed, hop.ended, traced.told].map(Option::unwrap),
        [times[0], times[1], times[2], times[0]]
    );
    assert_eq!(hop.end, "acknowledged by the next hop");
    world.temperature("2.0");
    let traced = world.hub.traced(NODE).unwrap();
    assert!(!traced.has_receipt && !traced.hops[0].is_promised, "the newest value takes its place");
    assert_eq!(world.hub.traced("home/kitchen/meter"), None, "nothing was reported");
    assert_eq!(world.hub.traced("nowhere"), None);
}

#[test]
fn as_many_nodes_are_followed_as_may_be_and_the_longest_known_make_room() {
    let count = u32::try_from(limits::TRACED_NODES_MAX).unwrap() + 2;
    let mut world = World::crowded(count);
    for number in 0..count {
        world.report("office", number, vec![sample(0, decimal("1"))], None, None);
    }
    assert_eq!(world.hub.traced("office/0000"), None);
    assert_eq!(world.hub.traced("office/0001"), None);
    assert!(world.hub.traced("office/0002").is_some_and(|traced| traced.hops.is_empty()));
}

#[test]
fn a_message_that_was_set_aside_begins_a_new_custody_of_the_same_route_if_its_recipient_may_still_read_it() {
    let mut world = subscribed();
    let route = Route::new("home", "event");
    world.hub.replay(&route, "", message().as_bytes(), world.now).unwrap();
    let Some(Output::Stanza { item: Some(Item { number, route: again }), stanza }) = world.hub.poll_output() else {
        panic!()
    };
    assert_eq!((&again, stanza.attr("id")), (&route, Some(&*format!("t{number:x}"))));
    world.drain();
    world.hub.rules_changed(Policy::default(), world.now);
    world.drain();
    let refused = world.hub.replay(&route, "", message().as_bytes(), world.now);
    assert_eq!(refused, Err("its recipient may not read it any more".to_owned()));
    assert_eq!(world.drain(), [] as [&str; 0]);
}

#[test]
fn what_cannot_be_replayed_says_why_and_changes_nothing() {
    let mut world = subscribed();
    let route = Route::new("", "queue:gone");
    let item = "<item xmlns='urn:tombolo:queue:0' id='a'><x xmlns='y'/></item>";
    let refused = [
        ("", &b"\xff"[..]),
        ("", b"no stanza"),
        ("queue/gone/0000000000000007", item.as_bytes()),
        ("publish/7", b"{}"),
        ("assured/7", b"{}"),
    ]
    .map(|(record, content)| world.hub.replay(&route, record, content, world.now).unwrap_err());
    assert_eq!(
        refused,
        [
            "it cannot be read",
            "it cannot be read",
            "there is no queue gone any more",
            "it cannot be read",
            "things of this kind cannot be replayed"
        ]
    );
    assert_eq!(world.drain(), [] as [&str; 0]);
}
