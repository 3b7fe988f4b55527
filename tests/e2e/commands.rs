//! The command line as scripts use it: output, exit codes, and complaints that help.

use tombolo_dev::place;
use tombolo_tests::service::{SOON, Site};
use tombolo_tests::world::{ALICE, SERVICE, World};

const UNREACHABLE: &str = "127.0.0.1:1";

#[test]
fn things_read_set_and_watch_do_what_they_say() {
    let (world, _service) = World::running().unwrap();
    world.broker.publish("lamp/level", "40", true).unwrap();
    world.broker.publish("rooms/attic/climate", r#"{"t":21.50}"#, true).unwrap();
    world.await_nodes(3).unwrap();

    let things = world.command(ALICE, &["things", SERVICE]).unwrap();
    assert_eq!(things.code, Some(0), "{}", things.err);
    assert!(things.out.contains("lamp") && things.out.contains("climate"), "{}", things.out);

    let read = world.command(ALICE, &["read", SERVICE, "home/rooms/attic/climate"]).unwrap();
    assert_eq!(read.code, Some(0), "{}", read.err);
    assert!(read.out.contains("Temperature") && read.out.contains("21.50 °C"), "{}", read.out);

    let json = world.command(ALICE, &["read", SERVICE, "home/lamp", "--json", "--fields", "Level"]).unwrap();
    let line: serde_json::Value = serde_json::from_str(json.out.trim()).unwrap();
    assert_eq!((&line["value"], &line["node"], &line["source"]), (&40.into(), &"lamp".into(), &"home".into()));

    let watch = world.follow(ALICE, &["watch", SERVICE, "home/lamp", "--count", "2"]).unwrap();
    watch.expect("Level=40", SOON).unwrap();
    let told = world.broker.subscriber("lamp/level/set", |_| {}).unwrap();
    let set = world.command(ALICE, &["set", SERVICE, "home/lamp", "Level=55"]).unwrap();
    assert_eq!(set.code, Some(0), "{}", set.err);
    told.expect("lamp/level/set 55", SOON).unwrap();
    let refused = world.command(ALICE, &["set", SERVICE, "home/lamp", "Level=500"]).unwrap();
    assert!(refused.code == Some(64) && refused.err.contains("a whole number from 0 to 100"), "{}", refused.err);
    world.broker.publish("lamp/level", "55", true).unwrap();
    watch.expect("Level=55", SOON).unwrap();
}

#[test]
fn exit_codes_are_those_of_the_manual() {
    let (world, mut service) = World::running().unwrap();
    let site = &world.site;
    let code = |arguments: &[&str]| site.command(arguments, &[]).unwrap();
    let alice = |arguments: &[&str]| world.command(ALICE, arguments).unwrap();

    assert_eq!(code(&["--version"]).code, Some(0));
    assert_eq!(code(&["frobnicate"]).code, Some(64));
    assert_eq!(code(&["set", SERVICE]).code, Some(64));
    assert_eq!(alice(&["read", SERVICE, "no-slash"]).code, Some(64));
    assert_eq!(alice(&["set", SERVICE, "home/lamp", "Level"]).code, Some(64));
    assert_eq!(code(&["things", SERVICE, "--as", ALICE, "--server", UNREACHABLE]).code, Some(64), "no password");
    let silent = site
        .command(
            &["things", SERVICE, "--as", ALICE, "--server", UNREACHABLE, "--tls", "insecure"],
            &[("TOMBOLO_PASSWORD", "x")],
        )
        .unwrap();
    assert_eq!(silent.code, Some(69), "{}", silent.err);
    let nobody = alice(&["things", "nobody@test.localhost/tombolo"]);
    assert_eq!(nobody.code, Some(69), "{}", nobody.err);
    assert_eq!(code(&["status"]).code, Some(0));
    assert_eq!(code(&["check"]).code, Some(0));
    assert_eq!(code(&["check", "--config", "missing.toml"]).code, Some(78));
    assert_eq!(code(&["run", "--config", "missing.toml"]).code, Some(78));

    assert!(service.stop().is_some_and(|status| status.success()), "SIGTERM ends it in order");
    assert_eq!(code(&["status"]).code, Some(69));
}

#[test]
fn a_wrong_password_on_the_command_line_is_77() {
    let world = World::new().unwrap();
    let ca = world.server.ca.display().to_string();
    let server = world.server.server();
    let refused = world
        .site
        .command(
            &["things", SERVICE, "--as", ALICE, "--server", &server, "--ca", &ca],
            &[("TOMBOLO_PASSWORD", "not-it")],
        )
        .unwrap();
    assert_eq!(refused.code, Some(77), "{}", refused.err);
    assert!(!refused.err.contains("not-it"));
}

#[test]
fn unknown_keys_are_refused_with_line_key_and_suggestion() {
    let site = Site::new("[xmpp]\njid = \"bridge@example.org\"\npasword = \"x\"\n").unwrap();
    for command in ["check", "run"] {
        let refused = site.command(&[command], &[]).unwrap();
        assert_eq!(refused.code, Some(78), "{}", refused.err);
        for part in ["tombolo.toml:3", "pasword", "password"] {
            assert!(refused.err.contains(part), "{part} in {}", refused.err);
        }
    }
}

#[test]
fn a_clear_text_login_to_another_machine_is_refused_by_the_configuration() {
    let site = Site::new(
        "[xmpp]\njid = \"b@example.org\"\npassword = \"x\"\nserver = \"192.0.2.1:5222\"\ntls = \"insecure\"\n",
    )
    .unwrap();
    let refused = site.command(&["check"], &[]).unwrap();
    assert_eq!(refused.code, Some(78), "{}", refused.err);
    assert!(refused.err.contains("on this machine"), "{}", refused.err);
}

#[test]
fn inspect_tells_what_to_paste() {
    let site = Site::new("").unwrap();
    let file = place::plugin("mqtt").unwrap();
    let inspected = site.command(&["plugin", "inspect", &file.display().to_string()], &[]).unwrap();
    assert_eq!(inspected.code, Some(0), "{}", inspected.err);
    for part in ["mqtt", "0.1.0", "broker", "[bridges."] {
        assert!(inspected.out.contains(part), "{part} in {}", inspected.out);
    }
    let none = site.command(&["plugin", "inspect", "tombolo.toml"], &[]).unwrap();
    assert!(none.code != Some(0) && none.err.contains("no WebAssembly component"), "{}", none.err);
}

#[test]
fn what_a_run_recorded_replays() {
    let world = World::new().unwrap();
    let mut service = world.site.follow(&["run", "--journal", "journal"], &[]).unwrap();
    world.site.await_ready().unwrap();
    world.broker.publish("lamp/level", "40", true).unwrap();
    world.await_nodes(1).unwrap();
    service.stop();
    let journals = walk(&world.site.path().join("journal"));
    assert_eq!(journals.len(), 1, "{journals:?}");
    let arguments = ["plugin", "replay", "plugins/mqtt.wasm", journals[0].to_str().unwrap()];
    let replayed = world.site.command(&arguments, &[]).unwrap();
    assert_eq!(replayed.code, Some(0), "{}", replayed.err);

    let text = std::fs::read_to_string(&journals[0]).unwrap().replace("lamp/level", "lamp/other");
    world.site.write("altered.jsonl", text.as_bytes()).unwrap();
    let differs = world.site.command(&["plugin", "replay", "plugins/mqtt.wasm", "altered.jsonl"], &[]).unwrap();
    assert_ne!(differs.code, Some(0));
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
