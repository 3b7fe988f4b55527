//! A real CSE, both ways: its devices on XMPP and at a broker, a broker's device in the CSE, and what a crash or a newer plugin leaves.
//!
//! Whoever acts here is slixmpp, an MQTT client, or an AE that speaks HTTP; what is between them is seen from outside.

use serde_json::json;
use tombolo_dev::broker::Broker;
use tombolo_dev::place;
use tombolo_dev::process::{Process, free_port};
use tombolo_tests::acme::Acme;
use tombolo_tests::peer::values_in;
use tombolo_tests::prosody::{DOMAIN, Prosody};
use tombolo_tests::service::{SOON, Site, rebuilt};
use tombolo_tests::world::{ALICE, SERVICE, World, configuration, values};

const LAMP: &str = r#"
[[bridges.home.settings.devices]]
node = "lamp"
fields = [{ name = "Power", topic = "lamp/power", type = "boolean", command = { topic = "lamp/power/set" } }]
"#;

/// The device's own AE, and one that is let in.
const DEVICE: &str = "Cdev";
const BOSS: &str = "Cboss";

struct Stage {
    world: World,
    acme: Acme,
}

impl Stage {
    /// A CSE with a thermometer, whose container takes commands, and a switch; a broker with a lamp; each is shown the other's.
    fn new() -> (Self, Process) {
        let acme = Acme::start(&place::scratch().unwrap()).unwrap();
        devices(&acme);
        let server = Prosody::start(&["bridge", "alice", "mallory"]).unwrap();
        let broker = Broker::start(&place::scratch().unwrap(), "").unwrap();
        let mirror = format!("mirror = [\"bridge@{DOMAIN}/plant/*\"]\n[bridges.home.endpoints]");
        let file = configuration(&server, broker.port, LAMP, "").replacen("[bridges.home.endpoints]", &mirror, 1);
        let rules = format!(
            "[[allow]]\nwho = [\"alice@{DOMAIN}\", \"bridge@{DOMAIN}\"]\nmay = [\"see\", \"read\", \"control\"]\nnodes = [\"*\"]\n"
        );
        let plant = format!(
            r#"
[bridges.plant]
plugin = "onem2m"
mirror = ["bridge@{DOMAIN}/home/*"]
[bridges.plant.endpoints]
cse = {{ connect = "http://127.0.0.1:{}" }}
notifications = {{ serve = "http://127.0.0.1:{}" }}
[bridges.plant.settings]
discover_s = 5
reconnect_max_s = 2
mirror_controllers = ["{BOSS}"]
"#,
            acme.port,
            free_port().unwrap()
        );
        let site = Site::new(&[file, plant, rules].concat()).unwrap();
        ["mqtt", "onem2m"].iter().for_each(|plugin| site.install(plugin).unwrap());
        let world = World { site, broker, server };
        let service = world.site.run_ready().unwrap();
        (Self { world, acme }, service)
    }

    /// Where the lamp stands in the CSE.
    fn lamp(&self) -> String {
        let below = |address: &String| address.matches('/').count() == 2 && address.contains("lamp");
        let find = || self.acme.discover(BOSS, "cse-in/tombolo").unwrap_or_default().into_iter().find(below);
        self.acme.await_attributes("CAdmin", "cse-in/tombolo", |_| find().is_some()).unwrap();
        find().unwrap()
    }
}

fn devices(acme: &Acme) {
    let open = json!(["cse-in/open"]);
    let ae = json!({"m2m:ae": {"rn": "dev", "api": "Ndev", "rr": false, "srv": ["3"], "acpi": open}});
    acme.create(DEVICE, "cse-in", 2, &ae).unwrap();
    acme.create(DEVICE, "cse-in/dev", 3, &json!({"m2m:cnt": {"rn": "temp", "acpi": open, "lbl": ["hall"]}})).unwrap();
    acme.create(DEVICE, "cse-in/dev/temp", 3, &json!({"m2m:cnt": {"rn": "command", "acpi": open}})).unwrap();
    let switch = json!({"cod:binSh": {"rn": "switch", "cnd": "org.onem2m.common.moduleclass.binarySwitch", "acpi": open, "state": false}});
    acme.create(DEVICE, "cse-in/dev", 28, &switch).unwrap();
    acme.say(DEVICE, "cse-in/dev/temp", "20.50").unwrap();
}

#[test]
fn devices_of_a_cse_are_read_switched_and_edited() {
    let (stage, _service) = Stage::new();
    let (world, acme) = (&stage.world, &stage.acme);
    let alice = world.peer(ALICE).unwrap();
    world.await_value(&alice, "dev/temp", "value", "20.50").unwrap();
    acme.say(DEVICE, "cse-in/dev/temp", "21.00").unwrap();
    world.await_value(&alice, "dev/temp", "value", "21.00").unwrap();
    let past =
        alice.ask("read", json!({"to": SERVICE, "nodes": ["dev/temp"], "flags": {"historical": "true"}})).unwrap();
    let past: Vec<String> =
        values(&past).into_iter().filter(|(_, name, _)| name == "value").map(|(_, _, value)| value).collect();
    assert_eq!(past, ["20.50", "21.00"]);

    let set = |node: &str, field: [&str; 3]| {
        let answer = alice.ask("set", json!({"to": SERVICE, "nodes": [node], "fields": [field]})).unwrap();
        assert_eq!(answer["result"], "OK", "{answer}");
    };
    set("dev/switch", ["powerState", "boolean", "true"]);
    assert_eq!(acme.get(DEVICE, "cse-in/dev/switch").unwrap()["state"], true);
    world.await_value(&alice, "dev/switch", "powerState", "true").unwrap();
    set("dev/temp", ["value", "double", "22.5"]);
    assert_eq!(acme.get(DEVICE, "cse-in/dev/temp/command/la").unwrap()["con"], "22.5");
    acme.update(DEVICE, "cse-in/dev/switch", &json!({"cod:binSh": {"state": false}})).unwrap();
    world.await_value(&alice, "dev/switch", "powerState", "false").unwrap();
}

#[test]
fn a_brokers_lamp_is_switched_from_the_cse_and_a_cses_switch_from_the_broker() {
    let (stage, _service) = Stage::new();
    let (world, acme) = (&stage.world, &stage.acme);
    world.broker.publish("lamp/power", "OFF", true).unwrap();
    let lamp = stage.lamp();
    let power = |value: &'static str| move |newest: &serde_json::Value| newest["con"] == value;
    acme.await_attributes(BOSS, &format!("{lamp}/Power/la"), power("false")).unwrap();
    acme.await_attributes(BOSS, &format!("{lamp}/state/la"), |newest| newest["con"] == "online").unwrap();
    let device = world.broker.subscriber("lamp/power/set", |_| {}).unwrap();
    let is_ready = |found: &serde_json::Value| !found.is_null();
    acme.await_attributes("CAdmin", &format!("{lamp}/command/tombolo"), is_ready).unwrap();
    let command = acme.say(BOSS, &format!("{lamp}/command"), r#"{"Power": true}"#).unwrap();
    device.expect("lamp/power/set ON", SOON).unwrap();
    let result = acme.await_attributes(BOSS, &format!("{lamp}/result/la"), is_ready).unwrap();
    let result: serde_json::Value = serde_json::from_str(result["con"].as_str().unwrap()).unwrap();
    assert_eq!(result, json!({"command": command["ri"], "outcome": "done"}));
    world.broker.publish("lamp/power", "ON", true).unwrap();
    acme.await_attributes(BOSS, &format!("{lamp}/Power/la"), power("true")).unwrap();
    assert!(acme.get("Cother", &lamp).unwrap().is_null(), "who was not let in sees nothing");
    assert!(acme.say("Cother", &format!("{lamp}/command"), r#"{"Power": false}"#).is_err());

    let switch = format!("tombolo/bridge@{DOMAIN}/plant/dev/switch");
    let heard = world.broker.subscriber("tombolo/#", |_| {}).unwrap();
    let begins = format!("{switch}/state/powerState");
    heard.lines.wait_from(0, SOON, |line| line == format!("{begins} OFF")).expect("its state is shown");
    world.broker.publish(&format!("{switch}/set/powerState"), "ON", false).unwrap();
    heard.lines.wait_from(0, SOON, |line| line == format!("{begins} ON")).expect("its state comes back");
    assert_eq!(acme.get(DEVICE, "cse-in/dev/switch").unwrap()["state"], true);
}

#[test]
fn nothing_is_lost_or_doubled_by_newer_plugins_or_by_a_crash_of_the_cse() {
    let (mut stage, service) = Stage::new();
    let alice = stage.world.peer(ALICE).unwrap();
    stage.world.await_value(&alice, "dev/temp", "value", "20.50").unwrap();
    let subscribe = format!(
        "<iq type='set' id='s1' to='{SERVICE}'><subscribe xmlns='urn:nf:iot:events:1.0' id='w' m='true'><nd id='dev/temp' src='plant'/></subscribe></iq>"
    );
    assert!(alice.exchange("s1", &subscribe).unwrap().contains("accepted"));
    let mark = alice.mark();
    let says = |stage: &Stage, from: u32, to: u32| {
        (from..to).for_each(|number| drop(stage.acme.say(DEVICE, "cse-in/dev/temp", &number.to_string()).unwrap()));
    };
    let at_the_cse = |stage: &Stage| {
        let ours = stage.acme.get("CAdmin", "cse-in/tombolo").unwrap();
        let subscription = stage.acme.get("CAdmin", "cse-in/dev/temp/tombolo").unwrap();
        (ours["ct"].clone(), subscription["ri"].clone())
    };
    let before = at_the_cse(&stage);
    says(&stage, 100, 120);
    for build in 0..2 {
        let log = service.lines.count();
        stage.world.site.write("plugins/onem2m.wasm", &rebuilt("onem2m", &format!("build {build}")).unwrap()).unwrap();
        says(&stage, 120 + 20 * build, 140 + 20 * build);
        service.expect_from(log, "plugin swapped", SOON).unwrap();
    }
    says(&stage, 160, 170);
    assert_eq!(at_the_cse(&stage), before, "no registration and no subscription was made again");
    alice.wait_stanza_within(SOON, mark, |stanza| values_in(stanza, "w", "value").contains(&"169".into())).unwrap();

    let log = service.lines.count();
    stage.acme.kill();
    service.expect_from(log, "of no use", SOON).unwrap();
    stage.acme.start_again().unwrap();
    says(&stage, 170, 180);
    alice.wait_stanza_within(SOON, mark, |stanza| values_in(stanza, "w", "value").contains(&"179".into())).unwrap();
    let mut seen: Vec<u32> = alice
        .stanzas(mark)
        .iter()
        .flat_map(|stanza| values_in(stanza, "w", "value"))
        .filter_map(|value| value.parse().ok())
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (100..180).collect::<Vec<_>>());
}
