//! Servers that die and come back: the device's readings wait where they are durable, and arrive once.

use serde_json::json;
use tombolo_tests::peer::values_in;
use tombolo_tests::service::SOON;
use tombolo_tests::world::{ALICE, SERVICE, World};

fn subscribe(alice: &tombolo_tests::peer::Peer) {
    let subscribe = format!(
        "<iq type='set' id='s1' to='{SERVICE}'><subscribe xmlns='urn:nf:iot:events:1.0' id='e1' m='true'><nd id='counter' src='home'/></subscribe></iq>"
    );
    assert!(alice.exchange("s1", &subscribe).unwrap().contains("accepted"));
}

#[test]
fn a_broker_that_was_killed_is_found_again_and_its_devices_too() {
    let (mut world, _service) = World::running().unwrap();
    let alice = world.peer(ALICE).unwrap();
    world.broker.publish("lamp/level", "40", true).unwrap();
    world.await_value(&alice, "lamp", "Level", "40").unwrap();
    world.broker.restart().unwrap();
    world.broker.publish("lamp/level", "41", true).unwrap();
    world.await_value(&alice, "lamp", "Level", "41").unwrap();
    let told = world.broker.subscriber("lamp/level/set", |_| {}).unwrap();
    let answer =
        alice.ask("set", json!({"to": SERVICE, "nodes": ["lamp"], "fields": [["Level", "int", "3"]]})).unwrap();
    assert_eq!(answer["result"], "OK", "{answer}");
    told.expect("lamp/level/set 3", SOON).unwrap();
}

#[test]
fn readings_of_an_xmpp_outage_arrive_once_and_in_order() {
    let (mut world, service) = World::running().unwrap();
    let alice = world.peer(ALICE).unwrap();
    world.broker.publish("load/counter", "0", true).unwrap();
    world.await_value(&alice, "counter", "Count", "0").unwrap();
    subscribe(&alice);
    let mark = alice.mark();
    world.broker.publish("load/counter", "1", false).unwrap();
    alice.wait_stanza(mark, |stanza| counts(stanza).contains(&1)).unwrap();
    // What a server dies with before it has said that it has it is sent again, with the same id.
    world.site.await_status(|status| status["outbox"] == 0).unwrap();

    let (log, session) = (service.lines.count(), alice.mark());
    world.server.kill();
    service.expect_from(log, "xmpp offline", SOON).unwrap();
    for number in 2..=50 {
        world.broker.publish("load/counter", &number.to_string(), false).unwrap();
    }
    world.server.start_again().unwrap();
    service.expect_from(log, "xmpp online", SOON).unwrap();
    alice.wait_event(session, "online").unwrap();
    alice.wait_stanza(mark, |stanza| counts(stanza).contains(&50)).expect("the last reading arrives");
    let stanzas = alice.stanzas(mark);
    let seen: Vec<u32> = stanzas.iter().flat_map(|stanza| counts(stanza)).collect();
    assert!(seen.iter().copied().eq(1..=50), "{seen:?}");
}

#[test]
fn readings_survive_a_crash_of_tombolo_itself() {
    let (world, mut service) = World::running().unwrap();
    let alice = world.peer(ALICE).unwrap();
    world.broker.publish("load/counter", "0", true).unwrap();
    world.await_value(&alice, "counter", "Count", "0").unwrap();
    service.kill();
    for number in 1..=20 {
        world.broker.publish("load/counter", &number.to_string(), false).unwrap();
    }
    let _again = world.site.run_ready().unwrap();
    world.await_value(&alice, "counter", "Count", "20").unwrap();
}

#[test]
fn a_watch_goes_on_after_the_xmpp_server_was_started_again() {
    let (mut world, _service) = World::running().unwrap();
    let alice = world.peer(ALICE).unwrap();
    world.broker.publish("lamp/level", "40", true).unwrap();
    world.await_value(&alice, "lamp", "Level", "40").unwrap();
    let watch = world.follow(ALICE, &["watch", SERVICE, "home/lamp"]).unwrap();
    watch.expect("Level=40", SOON).unwrap();
    world.server.kill();
    world.server.start_again().unwrap();
    world.broker.publish("lamp/level", "55", true).unwrap();
    watch.expect("Level=55", SOON).unwrap();
}

fn counts(stanza: &str) -> Vec<u32> {
    values_in(stanza, "e1", "Count").iter().filter_map(|value| value.parse().ok()).collect()
}
