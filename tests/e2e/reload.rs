//! Files that change under a running service: good ones take effect, bad ones are refused, and what ran goes on.

use serde_json::json;
use tombolo_tests::service::{SOON, built, field, rebuilt};
use tombolo_tests::world::{ALICE, DEVICES, RULES, SERVICE, World};

/// A component whose only import is nobody's: `(component (import "evil:clock/now" (func)))` by hand.
const FOREIGN_IMPORT: &str =
    r#"(component (import "evil:clock/now@1.0.0" (instance (export "now" (func (result u64))))))"#;
/// A core module, which is no component.
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

fn is_alive(world: &World) {
    let alice = world.peer(ALICE).unwrap();
    world.await_value(&alice, "lamp", "Level", "40").unwrap();
}

#[test]
fn bad_plugin_files_are_refused_with_a_reason_and_the_old_one_runs_on() {
    let (world, service) = World::running().unwrap();
    world.broker.publish("lamp/level", "40", true).unwrap();
    is_alive(&world);
    let whole = built("mqtt").unwrap();
    let foreign = wat::parse_str(FOREIGN_IMPORT).unwrap();
    for (bytes, reason) in [
        (&foreign[..], "evil:clock/now"),
        (CORE_MODULE, "component"),
        (b"not wasm at all", "component"),
        (&whole[..whole.len() / 2], ""),
    ] {
        let mark = service.lines.count();
        world.site.write("plugins/mqtt.wasm", bytes).unwrap();
        let line = service.expect_from(mark, "plugin refused", SOON).unwrap();
        assert!(line.contains(reason) && field(&line, "plugin").as_deref() == Some("mqtt"), "{line}");
        is_alive(&world);
    }
    let mark = service.lines.count();
    world.site.write("plugins/mqtt.wasm", &rebuilt("mqtt", "after the bad ones").unwrap()).unwrap();
    service.expect_from(mark, "plugin swapped", SOON).unwrap();
    is_alive(&world);
}

#[test]
fn a_plugin_that_arrives_later_starts_its_bridge() {
    let world = World::new().unwrap();
    std::fs::remove_file(world.site.path().join("plugins/mqtt.wasm")).unwrap();
    let service = world.site.run().unwrap();
    world.site.await_status(|status| status["bridges"][0]["state"] == "waiting").unwrap();
    world.site.install("mqtt").unwrap();
    let line = service.expect("plugin loaded", SOON).unwrap();
    assert!(field(&line, "version").is_some() && field(&line, "hash").is_some(), "{line}");
    world.site.await_ready().unwrap();
}

#[test]
fn a_broken_configuration_is_refused_with_its_line_and_the_old_one_stays() {
    let (world, service) = World::running().unwrap();
    world.broker.publish("lamp/level", "40", true).unwrap();
    is_alive(&world);
    let good = std::fs::read_to_string(world.site.path().join("tombolo.toml")).unwrap();
    let lines = good.lines().count();
    for (addition, complaint) in [("[adminn]\nlisten = \"127.0.0.1:0\"\n", "admin"), ("[[allow]\n", "")] {
        let mark = service.lines.count();
        world.site.write("tombolo.toml", format!("{good}{addition}").as_bytes()).unwrap();
        let line = service.expect_from(mark, "configuration refused", SOON).unwrap();
        let place = format!("tombolo.toml:{}", lines + 1);
        assert!(line.contains(&place) && line.contains(complaint), "{place} in {line}");
        is_alive(&world);
    }
}

#[test]
fn a_rule_added_while_running_takes_effect() {
    let world = World::new().unwrap();
    world.configure(DEVICES, "").unwrap();
    let service = world.site.run_ready().unwrap();
    world.broker.publish("lamp/level", "40", true).unwrap();
    world.await_nodes(1).unwrap();
    let alice = world.peer(ALICE).unwrap();
    let answer = alice.ask("read", json!({"to": SERVICE, "flags": {"momentary": "true"}})).unwrap();
    assert_eq!(answer["seen"][0]["result"], "rejected", "{answer}");
    let mark = service.lines.count();
    world.configure(DEVICES, RULES).unwrap();
    service.expect_from(mark, "configuration adopted", SOON).unwrap();
    world.await_value(&alice, "lamp", "Level", "40").unwrap();
}

#[test]
fn settings_that_the_plugin_does_not_take_are_refused_with_their_line_and_the_bridge_runs_on() {
    let (world, service) = World::running().unwrap();
    world.broker.publish("lamp/level", "40", true).unwrap();
    is_alive(&world);
    let good = std::fs::read_to_string(world.site.path().join("tombolo.toml")).unwrap();
    let bad = good.replace("[bridges.home.endpoints]", "settings.keepalive_s = 5\n[bridges.home.endpoints]");
    let line_number = bad.lines().position(|line| line.starts_with("settings.keepalive_s")).unwrap() + 1;
    let mark = service.lines.count();
    world.site.write("tombolo.toml", bad.as_bytes()).unwrap();
    let line = service.expect_from(mark, "configuration refused", SOON).unwrap();
    assert!(line.contains(&format!("tombolo.toml:{line_number}: bridges.home.settings.keepalive_s")), "{line}");
    assert!(line.contains("did you mean \"keep_alive_s\""), "{line}");
    is_alive(&world);
}

/// The schema allows it, the mapper does not: MQTT 3.1.1 knows no password without a user name.
#[test]
fn settings_that_the_mapper_itself_refuses_are_refused_as_a_whole_and_told_in_status() {
    let (world, service) = World::running().unwrap();
    world.broker.publish("lamp/level", "40", true).unwrap();
    is_alive(&world);
    let good = std::fs::read_to_string(world.site.path().join("tombolo.toml")).unwrap();
    let bad = good.replace("[bridges.home.endpoints]", "settings.password = \"x\"\n[bridges.home.endpoints]");
    let mark = service.lines.count();
    world.site.write("tombolo.toml", bad.as_bytes()).unwrap();
    let line = service.expect_from(mark, "configuration refused", SOON).unwrap();
    assert!(line.contains("bridges.home: ") && line.contains("password needs username"), "{line}");
    world
        .site
        .await_status(|status| {
            status["refused_configuration"].as_str().is_some_and(|reason| reason.contains("password needs username"))
                && status["bridges"][0]["state"] == "running"
        })
        .unwrap();
    let check = world.site.command(&["check"], &[]).unwrap();
    assert!(check.code == Some(78) && check.err.contains("password needs username"), "{}", check.err);
    is_alive(&world);
    world.site.write("tombolo.toml", good.as_bytes()).unwrap();
    service.expect_from(mark, "configuration unchanged", SOON).unwrap();
    world.site.await_status(|status| status["refused_configuration"].is_null()).unwrap();
    let log = service.lines.all();
    assert!(!log.iter().any(|line| line.contains("quarantined") || line.contains("bridge stopped")), "{log:#?}");
}
