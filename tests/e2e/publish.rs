//! What is pushed: to a room, a publish-subscribe service and the account's own node of a real Prosody, and to one person with a promise,
//! as slixmpp sees it.

use serde_json::json;
use tombolo_dev::process::Process;
use tombolo_tests::prosody::{PUBSUB, ROOMS};
use tombolo_tests::world::{ALICE, DEVICES, RULES, World};

const BRIDGE: &str = "bridge@test.localhost";
const LAMP: &str = "\nnodes = [\"home/lamp\"]\n";

/// A world whose service publishes, and a lamp that has said something.
fn publishing(sections: &str) -> (World, Process) {
    let world = World::new().unwrap();
    world.configure(DEVICES, &format!("{RULES}{sections}")).unwrap();
    let service = world.site.run_ready().unwrap();
    (world, service)
}

fn level(world: &World, level: u8) {
    world.broker.publish("lamp/level", &level.to_string(), true).unwrap();
}

fn has_level(stanza: &str, level: u8) -> bool {
    stanza.contains("urn:nf:iot:sd:1.0") && stanza.contains(&format!("v=\"{level}\""))
}

#[test]
fn a_room_a_node_and_the_accounts_own_node_get_readings_and_the_last_is_kept() {
    let sections = format!(
        "[[publish]]{LAMP}how = \"room\"\nto = \"plant@{ROOMS}\"\nconfig = {{ whois = \"anyone\" }}\n\
         [[publish]]{LAMP}how = \"pubsub\"\nto = \"{PUBSUB}\"\nnode = \"readings/{{bridge}}/{{node}}\"\n\
         [[publish]]{LAMP}how = \"pep\"\n"
    );
    let (world, _service) = publishing(&sections);
    let alice = world.peer(ALICE).unwrap();
    alice.ask("befriend", json!({"to": BRIDGE})).unwrap();
    alice.ask("notify", json!({"node": "urn:nf:iot:sd:1.0"})).unwrap();
    alice.ask("enter", json!({"room": format!("plant@{ROOMS}"), "nick": "alice"})).unwrap();
    let mark = alice.mark();
    level(&world, 40);
    let in_room = |stanza: &str| stanza.contains("groupchat") && has_level(stanza, 40);
    assert!(alice.wait_stanza(mark, in_room).unwrap().contains(&format!("plant@{ROOMS}/tombolo")));
    let in_own_node = |stanza: &str| stanza.contains("pubsub#event") && has_level(stanza, 40);
    assert!(alice.wait_stanza(0, in_own_node).unwrap().contains(&format!("from=\"{BRIDGE}\"")));

    let node = json!({"to": PUBSUB, "node": "readings/home/lamp"});
    // The node is made when the first publication finds none.
    let deadline = std::time::Instant::now() + tombolo_tests::service::SOON;
    while alice.ask("subscribe_node", node.clone()).unwrap()["subscription"] != "subscribed" {
        assert!(std::time::Instant::now() < deadline, "the node is made");
    }
    let mark = alice.mark();
    level(&world, 41);
    let in_node = |stanza: &str| stanza.contains(PUBSUB) && stanza.contains("pubsub#event") && has_level(stanza, 41);
    alice.wait_stanza(mark, in_node).unwrap();
    let items = alice.ask("node_items", node).unwrap();
    let items = items["items"].as_array().unwrap();
    assert!(items.len() == 1 && has_level(items[0].as_str().unwrap(), 41), "{items:?}");
    world.site.await_status(|status| status["publications"] == 0 && status["given_up"] == 0).unwrap();
}

#[test]
fn messages_with_a_promise_arrive_once_and_outlive_a_restart() {
    let section = |how: &str| format!("[[publish]]{LAMP}how = \"{how}\"\nto = \"{ALICE}\"\n");
    let sections = ["receipts", "acknowledged", "assured"].map(section).concat();
    let (world, service) = publishing(&sections);
    let alice = world.peer(ALICE).unwrap();
    let mark = alice.mark();
    level(&world, 7);
    let receipted = |stanza: &str| stanza.contains("urn:xmpp:receipts") && has_level(stanza, 7);
    alice.wait_stanza(mark, receipted).unwrap();
    let first = alice.wait_delivered(mark, |message| has_level(message, 7)).unwrap();
    alice
        .wait_delivered(alice.mark().min(mark), |message| has_level(message, 7) && *message != *first)
        .unwrap_or(first);
    world.site.await_status(|status| status["publications"] == 0 && status["given_up"] == 0).unwrap();

    alice.ask("quit", json!({})).unwrap();
    drop(alice);
    level(&world, 8);
    world.site.await_status(|status| status["publications"] == 3).unwrap();
    drop(service);
    let _service = world.site.run_ready().unwrap();
    let alice = world.peer(ALICE).unwrap();
    let first = alice.wait_delivered(0, |message| has_level(message, 8)).unwrap();
    alice.wait_delivered(0, |message| has_level(message, 8) && message != first).unwrap();
    world.site.await_status(|status| status["publications"] == 0 && status["given_up"] == 0).unwrap();
}

#[test]
fn a_section_that_goes_leaves_its_room_and_a_wrong_one_is_refused_by_line() {
    let (world, service) = publishing(&format!("[[publish]]{LAMP}how = \"room\"\nto = \"plant@{ROOMS}\"\n"));
    let alice = world.peer(ALICE).unwrap();
    alice.ask("enter", json!({"room": format!("plant@{ROOMS}"), "nick": "alice"})).unwrap();
    let mark = alice.mark();
    world.configure(DEVICES, RULES).unwrap();
    let left = |stanza: &str| stanza.contains("unavailable") && stanza.contains(&format!("plant@{ROOMS}/tombolo"));
    alice.wait_stanza(mark, left).unwrap();
    world.configure(DEVICES, &format!("{RULES}[[publish]]{LAMP}how = \"rooom\"\n")).unwrap();
    service.expect("did you mean \"room\"?", tombolo_tests::service::SOON).unwrap();
}
