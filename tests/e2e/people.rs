//! People without an IoT client: plain sentences in a chat, and slixmpp's own xep_0050 as a client with ad-hoc commands.

use serde_json::{Value, json};
use tombolo_dev::broker::Broker;
use tombolo_dev::place;
use tombolo_tests::prosody::Prosody;
use tombolo_tests::service::{SOON, Site};
use tombolo_tests::world::{ALICE, DEVICES, MALLORY, RULES, SERVICE, World, configuration};

/// The usual stage, with Alice as an admin.
fn world() -> World {
    let server = Prosody::start(&["bridge", "alice", "mallory"]).unwrap();
    let broker = Broker::start(&place::scratch().unwrap(), "").unwrap();
    let file = configuration(&server, broker.port, DEVICES, RULES);
    let site = Site::new(&format!("admins = [\"alice@test.localhost\"]\n{file}")).unwrap();
    site.install("mqtt").unwrap();
    World { site, broker, server }
}

#[test]
fn a_person_reads_and_switches_in_a_chat() {
    let world = world();
    let _service = world.site.run_ready().unwrap();
    world.broker.publish("lamp/power", "OFF", true).unwrap();
    world.broker.publish("lamp/level", "40", true).unwrap();
    let alice = world.peer(ALICE).unwrap();
    world.await_value(&alice, "lamp", "Power", "false").unwrap();
    let say = |body: &str, expected: &str| {
        let mark = alice.mark();
        alice.ask("say", json!({"to": SERVICE, "body": body})).unwrap();
        let answer = alice.wait_stanza(mark, |stanza| stanza.contains("<body>"));
        assert!(answer.as_ref().is_some_and(|answer| answer.contains(expected)), "{body}: {answer:?}");
    };
    say("list", "lamp");
    say("read lamp power", "Power: off");
    let told = world.broker.subscriber("lamp/+/set", |_| {}).unwrap();
    say("set lamp on", "Done. lamp: Power on");
    told.expect("lamp/power/set ON", SOON).unwrap();
    say("set lamp level 101", "Level must be a whole number from 0 to 100.");
    say("status", "home running: mqtt");

    let mallory = world.peer(MALLORY).unwrap();
    let mark = mallory.mark();
    mallory.ask("say", json!({"to": SERVICE, "body": "read lamp"})).unwrap();
    let answer = mallory.wait_stanza(mark, |stanza| stanza.contains("<body>")).unwrap();
    assert!(answer.contains("nothing to offer") && !answer.contains("lamp"), "{answer}");
}

#[test]
fn a_client_with_ad_hoc_commands_reads_controls_and_looks_after_the_service() {
    let world = world();
    let service = world.site.run_ready().unwrap();
    world.broker.publish("lamp/power", "OFF", true).unwrap();
    let alice = world.peer(ALICE).unwrap();
    world.await_value(&alice, "lamp", "Power", "false").unwrap();
    let step = |mut arguments: Value| {
        arguments["to"] = SERVICE.into();
        alice.ask("adhoc", arguments).unwrap()
    };

    let asked = step(json!({"node": "read"}));
    assert_eq!(asked["options"]["device"], json!(["home/counter", "home/lamp"]), "{asked}");
    let read = step(
        json!({"node": "read", "session": asked["session"], "action": "complete", "form": {"device": "home/lamp"}}),
    );
    assert_eq!((&read["status"], &read["rows"][0]["value"]), (&"completed".into(), &"off".into()), "{read}");

    let told = world.broker.subscriber("lamp/+/set", |_| {}).unwrap();
    let asked = step(json!({"node": "set"}));
    let form =
        step(json!({"node": "set", "session": asked["session"], "action": "next", "form": {"device": "home/lamp"}}));
    assert_eq!(form["status"], "executing", "{form}");
    let done = step(
        json!({"node": "set", "session": form["session"], "action": "complete", "form": {"Power": "1", "Level": ""}}),
    );
    assert_eq!((&done["status"], &done["notes"]), (&"completed".into(), &json!([["info", "Done."]])), "{done}");
    told.expect("lamp/power/set ON", SOON).unwrap();

    let asked = step(json!({"node": "restart"}));
    let done =
        step(json!({"node": "restart", "session": asked["session"], "action": "complete", "form": {"bridge": "home"}}));
    assert_eq!(done["notes"][0][0], "info", "{done}");
    service.expect("bridge stopped", SOON).unwrap();
    world.broker.publish("lamp/power", "ON", true).unwrap();
    world.await_value(&alice, "lamp", "Power", "true").unwrap();

    let mallory = world.peer(MALLORY).unwrap();
    assert_eq!(mallory.ask("adhoc", json!({"to": SERVICE, "node": "status"})).unwrap()["iq_error"], "forbidden");
    let mark = mallory.mark();
    mallory.send("<presence type='subscribe' to='bridge@test.localhost'/>").unwrap();
    // A request may take a moment between two sessions of the server.
    let mut tries = std::iter::repeat_with(|| step(json!({"node": "requests"}))).take(500);
    let asked = tries.find(|asked| asked["status"] == "executing").expect("the request arrives");
    let form = json!({"jid": "mallory@test.localhost", "decision": "allow"});
    step(json!({"node": "requests", "session": asked["session"], "action": "complete", "form": form}));
    // The consent itself goes only to clients that asked for their contact list; the presence that follows goes to all.
    let is_shown = |stanza: &str| stanza.contains("<presence") && stanza.contains(SERVICE) && !stanza.contains("type=");
    mallory.wait_stanza(mark, is_shown).expect("sees the service");
    assert_eq!(mallory.ask("items", json!({"to": SERVICE})).unwrap()["iq_error"], "forbidden", "no access by that");
}
