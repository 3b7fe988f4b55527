//! Who or what is not allowed is refused with a clear reason, and nothing else is disturbed.

use serde_json::json;
use tombolo_tests::prosody::PASSWORD;
use tombolo_tests::service::SOON;
use tombolo_tests::world::{ALICE, DEVICES, MALLORY, RULES, SERVICE, World};

#[test]
fn a_jid_without_a_rule_learns_forbidden_and_nothing_else() {
    let (world, _service) = World::running().unwrap();
    world.broker.publish("lamp/level", "40", true).unwrap();
    let (alice, mallory) = (world.peer(ALICE).unwrap(), world.peer(MALLORY).unwrap());
    world.await_value(&alice, "lamp", "Level", "40").unwrap();
    let told = world.broker.subscriber("lamp/+/set", |_| {}).unwrap();

    let read =
        |nodes| mallory.ask("read", json!({"to": SERVICE, "nodes": nodes, "flags": {"momentary": "true"}})).unwrap();
    for nodes in [json!(["lamp"]), json!(["nowhere"])] {
        let answer = read(nodes);
        assert_eq!(answer["seen"][0]["result"], "rejected", "{answer}");
    }
    let answer =
        mallory.ask("set", json!({"to": SERVICE, "nodes": ["lamp"], "fields": [["Level", "int", "1"]]})).unwrap();
    assert_eq!(answer["result"], "InsufficientPrivileges", "{answer}");
    for (id, payload) in [
        ("f1", "<getAllDataSources xmlns='urn:nf:iot:concentrator:1.0'/>"),
        ("f2", "<getAllNodes xmlns='urn:nf:iot:concentrator:1.0' src='home'/>"),
        ("f3", "<req xmlns='urn:nf:iot:sd:1.0' id='r' all='true'/>"),
    ] {
        let answer = mallory.exchange(id, &format!("<iq type='get' id='{id}' to='{SERVICE}'>{payload}</iq>")).unwrap();
        assert!(answer.contains("forbidden") && !answer.contains("lamp"), "{answer}");
    }
    let subscribe = format!(
        "<iq type='set' id='f4' to='{SERVICE}'><subscribe xmlns='urn:nf:iot:events:1.0' id='e'><nd id='lamp' src='home'/></subscribe></iq>"
    );
    assert!(mallory.exchange("f4", &subscribe).unwrap().contains("forbidden"));

    alice.ask("set", json!({"to": SERVICE, "nodes": ["lamp"], "fields": [["Level", "int", "2"]]})).unwrap();
    let first = told.lines.wait_from(0, SOON, |line| line.starts_with("lamp/level/set ")).unwrap();
    assert_eq!(first, "lamp/level/set 2", "what Mallory sent must not have reached the device");
}

#[test]
fn the_command_line_ends_with_77_for_a_jid_without_a_rule() {
    let (world, _service) = World::running().unwrap();
    let refused = world.command(MALLORY, &["things", SERVICE]).unwrap();
    assert_eq!(refused.code, Some(77), "{}", refused.err);
    assert!(refused.err.contains(SERVICE), "{}", refused.err);
}

#[test]
fn read_without_control_is_possible() {
    let world = World::new().unwrap();
    world
        .configure(
            DEVICES,
            "[[allow]]\nwho = [\"alice@test.localhost\"]\nmay = [\"see\", \"read\"]\nnodes = [\"home/lamp\"]\n",
        )
        .unwrap();
    let _service = world.site.run_ready().unwrap();
    world.broker.publish("lamp/level", "40", true).unwrap();
    world.broker.publish("rooms/attic/climate", r#"{"t":20.1}"#, true).unwrap();
    let alice = world.peer(ALICE).unwrap();
    world.await_nodes(3).unwrap();
    world.await_value(&alice, "lamp", "Level", "40").unwrap();
    let answer =
        alice.ask("set", json!({"to": SERVICE, "nodes": ["lamp"], "fields": [["Level", "int", "1"]]})).unwrap();
    assert_eq!(answer["result"], "InsufficientPrivileges", "{answer}");
    let things = world.command(ALICE, &["things", SERVICE]).unwrap();
    assert!(things.out.contains("lamp") && !things.out.contains("attic"), "{}", things.out);
}

#[test]
fn a_rule_that_is_taken_back_ends_a_subscription() {
    let (world, service) = World::running().unwrap();
    world.broker.publish("lamp/level", "40", true).unwrap();
    let alice = world.peer(ALICE).unwrap();
    world.await_value(&alice, "lamp", "Level", "40").unwrap();
    let subscribe = format!(
        "<iq type='set' id='s1' to='{SERVICE}'><subscribe xmlns='urn:nf:iot:events:1.0' id='e1' m='true'><nd id='lamp' src='home'/></subscribe></iq>"
    );
    assert!(alice.exchange("s1", &subscribe).unwrap().contains("accepted"));
    let mark = service.lines.count();
    world.configure(DEVICES, "").unwrap();
    service.expect_from(mark, "configuration adopted", SOON).unwrap();
    let mark = alice.mark();
    world.broker.publish("lamp/level", "41", true).unwrap();
    let answer = alice.exchange(
        "r1",
        &format!("<iq type='get' id='r1' to='{SERVICE}'><req xmlns='urn:nf:iot:sd:1.0' id='r' all='true'/></iq>"),
    );
    assert!(answer.unwrap().contains("forbidden"));
    world.site.await_status(|status| status["subscriptions"] == 0).unwrap();
    assert!(alice.stanzas(mark).iter().all(|stanza| !stanza.contains("v='41'") && !stanza.contains("v=\"41\"")));
}

#[test]
fn a_plugin_without_a_grant_is_told_the_missing_lines() {
    let world = World::new().unwrap();
    let file = world.site.path().join("tombolo.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let without: String = text
        .lines()
        .filter(|line| !line.starts_with("broker =") && *line != "[bridges.home.endpoints]")
        .fold(String::new(), |all, line| all + line + "\n");
    world.site.write("tombolo.toml", without.as_bytes()).unwrap();
    let service = world.site.run().unwrap();
    let line = service.lines.wait_from(0, SOON, |line| line.contains("refused") && line.contains("broker")).unwrap();
    assert!(line.contains("[bridges.home.endpoints]") && line.contains("connect"), "{line}");
    let checked = world.site.command(&["check"], &[]).unwrap();
    assert_eq!(checked.code, Some(78), "{} {}", checked.out, checked.err);
    assert!(checked.err.contains("[bridges.home.endpoints]"), "{}", checked.err);
}

#[test]
fn a_wrong_password_is_told_and_leaves_the_service_waiting() {
    let world = World::new().unwrap();
    let file = world.site.path().join("tombolo.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace(PASSWORD, "not-it");
    world.site.write("tombolo.toml", text.as_bytes()).unwrap();
    let service = world.site.run().unwrap();
    let line = service.expect("xmpp login refused", SOON).unwrap();
    assert!(!line.contains("not-it"), "{line}");
    world.site.await_status(|status| status["xmpp"]["state"] == "refused").unwrap();
    world.configure(DEVICES, RULES).unwrap();
}

#[test]
fn a_server_that_nobody_vouches_for_is_refused() {
    let world = World::new().unwrap();
    let file = world.site.path().join("tombolo.toml");
    let text: String = std::fs::read_to_string(&file)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with("ca ="))
        .fold(String::new(), |all, line| all + line + "\n");
    world.site.write("tombolo.toml", text.as_bytes()).unwrap();
    let service = world.site.run().unwrap();
    let line = service.expect("xmpp offline", SOON).unwrap();
    assert!(line.to_lowercase().contains("certificate"), "{line}");
    assert!(!service.lines.all().iter().any(|line| line.contains("xmpp online")));
}

#[test]
fn direct_tls_works_like_starttls() {
    let world = World::new().unwrap();
    let file = world.site.path().join("tombolo.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let direct = text
        .replace(&world.server.server(), &format!("127.0.0.1:{}", world.server.direct_port))
        .replace("\nca =", "\ntls = \"direct\"\nca =");
    world.site.write("tombolo.toml", direct.as_bytes()).unwrap();
    let _service = world.site.run_ready().unwrap();
    let alice = world.peer(ALICE).unwrap();
    assert!(alice.ask("ping", json!({"to": SERVICE})).unwrap()["seconds"].is_number());
}
