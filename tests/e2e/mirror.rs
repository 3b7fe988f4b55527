//! Things of others at a broker: two hosts that show each other theirs, two bridges of one host, and a device that is slixmpp.
//!
//! Whoever acts here knows MQTT only, or is slixmpp; what is between them is seen from outside.

use serde_json::json;
use tombolo_dev::broker::Broker;
use tombolo_dev::{Outcome, place};
use tombolo_tests::peer::Peer;
use tombolo_tests::prosody::{DOMAIN, PASSWORD, Prosody};
use tombolo_tests::service::{SOON, Site};

/// A lamp that is switched by `NAME/set` and says so at `NAME`.
fn lamp(bridge: &str, name: &str) -> String {
    format!(
        r#"[[bridges.{bridge}.settings.devices]]
node = "{name}"
fields = [{{ name = "Power", topic = "{name}", type = "boolean", command = {{ topic = "{name}/set" }} }}]
"#
    )
}

fn bridge(name: &str, broker: &Broker, mirror: &str) -> String {
    format!(
        "[bridges.{name}]\nplugin = \"mqtt\"\nmirror = [{mirror}]\n[bridges.{name}.endpoints]\nbroker = {{ connect = \"mqtt://127.0.0.1:{}\" }}\n",
        broker.port
    )
}

fn account(server: &Prosody, name: &str) -> String {
    format!(
        "[xmpp]\njid = \"{name}@{DOMAIN}\"\npassword = \"{PASSWORD}\"\nserver = \"{}\"\nca = \"{}\"\n",
        server.server(),
        server.ca.display()
    )
}

fn rule(who: &str) -> String {
    format!("[[allow]]\nwho = [\"{who}@{DOMAIN}\"]\nmay = [\"see\", \"read\", \"control\"]\nnodes = [\"*\"]\n")
}

fn site(text: &str) -> Outcome<Site> {
    let site = Site::new(text)?;
    site.install("mqtt")?;
    Ok(site)
}

/// Waits until the bridge at this place is shown so many things of others.
fn await_things(site: &Site, bridge: usize, count: u64) {
    let shown = |status: &serde_json::Value| {
        let mirrored = status["bridges"][bridge]["mirrored"].as_array().cloned().unwrap_or_default();
        mirrored.iter().filter_map(|one| one["things"].as_u64()).sum::<u64>() >= count
    };
    site.await_status(shown).unwrap();
}

#[test]
fn a_client_of_one_broker_switches_a_device_of_another_hosts_and_sees_its_state_come_back() {
    let server = Prosody::start(&["bridge", "other"]).unwrap();
    let scratch = place::scratch().unwrap();
    let (here, there) = (Broker::start(&scratch, "").unwrap(), Broker::start(&scratch, "").unwrap());
    let mirror = |who: &str| format!("\"{who}@{DOMAIN}\"");
    let first =
        [account(&server, "bridge"), bridge("home", &here, &mirror("other")), lamp("home", "kettle"), rule("other")];
    let second = [
        account(&server, "other"),
        bridge("office", &there, &mirror("bridge")),
        lamp("office", "lamp"),
        rule("bridge"),
    ];
    let (first, second) = (site(&first.concat()).unwrap(), site(&second.concat()).unwrap());
    there.publish("lamp", "OFF", true).unwrap();
    here.publish("kettle", "OFF", true).unwrap();
    let (_one, two) = (first.run_ready().unwrap(), second.run_ready().unwrap());

    let lamp = format!("tombolo/other@{DOMAIN}/office/lamp");
    let heard = here.subscriber("#", |_| {}).unwrap();
    heard.lines.wait_from(0, SOON, |line| line == format!("{lamp}/state/Power OFF")).expect("its state is shown");
    heard.expect(&format!("{lamp}/availability online"), SOON).unwrap();
    let device = there.subscriber("lamp/set", |_| {}).unwrap();
    here.publish(&format!("{lamp}/set/Power"), "ON", false).unwrap();
    device.expect("lamp/set ON", SOON).unwrap();
    there.publish("lamp", "ON", true).unwrap();
    heard.expect(&format!("{lamp}/state/Power ON"), SOON).unwrap();

    // Each is shown the other's one thing and never its own.
    await_things(&second, 0, 1);
    let status: serde_json::Value =
        serde_json::from_str(&first.command(&["status", "--json"], &[]).unwrap().out).unwrap();
    assert_eq!(
        (&status["bridges"][0]["nodes"], &status["bridges"][0]["mirrored"][0]["things"]),
        (&1.into(), &1.into())
    );
    let echoes = heard.lines.all().into_iter().filter(|line| line.contains(&format!("bridge@{DOMAIN}")));
    assert_eq!(echoes.collect::<Vec<_>>(), Vec::<String>::new());
    let configurations = heard.lines.all();
    assert!(
        configurations.iter().any(|line| line.starts_with("homeassistant/switch/tombolo_")),
        "announced as a switch"
    );
    // The other host goes: what it showed is not there any more.
    drop(two);
    heard.expect(&format!("{lamp}/availability offline"), SOON).unwrap();
}

#[test]
fn a_client_of_one_bridge_switches_a_device_of_another_bridge_of_the_same_host() {
    let server = Prosody::start(&["bridge"]).unwrap();
    let scratch = place::scratch().unwrap();
    let (here, there) = (Broker::start(&scratch, "").unwrap(), Broker::start(&scratch, "").unwrap());
    let text = [
        account(&server, "bridge"),
        bridge("home", &here, &format!("\"bridge@{DOMAIN}/office/*\"")),
        bridge("office", &there, ""),
        lamp("office", "lamp"),
        rule("bridge"),
    ];
    let site = site(&text.concat()).unwrap();
    there.publish("lamp", "OFF", true).unwrap();
    let _service = site.run_ready().unwrap();
    let lamp = format!("tombolo/bridge@{DOMAIN}/office/lamp");
    let heard = here.subscriber("tombolo/#", |_| {}).unwrap();
    heard.expect(&format!("{lamp}/state/Power OFF"), SOON).unwrap();
    let device = there.subscriber("lamp/set", |_| {}).unwrap();
    here.publish(&format!("{lamp}/set/Power"), "ON", false).unwrap();
    device.expect("lamp/set ON", SOON).unwrap();
    there.publish("lamp", "ON", true).unwrap();
    heard.expect(&format!("{lamp}/state/Power ON"), SOON).unwrap();
}

#[test]
fn a_slixmpp_device_is_shown_at_the_broker_and_switched_from_there() {
    let server = Prosody::start(&["bridge", "thing"]).unwrap();
    let here = Broker::start(&place::scratch().unwrap(), "").unwrap();
    let entry = format!("{{ things = \"thing@{DOMAIN}\", poll = \"1 s\", controls = [\"relay\"] }}");
    let site = site(&[account(&server, "bridge"), bridge("home", &here, &entry), rule("thing")].concat()).unwrap();
    let thing = Peer::on(&server, &format!("thing@{DOMAIN}/device")).unwrap();
    thing.ask("device", json!({"node": "Device1", "temperature": "21.5"})).unwrap();
    let heard = here.subscriber("tombolo/#", |_| {}).unwrap();
    let _service = site.run_ready().unwrap();
    let base = format!("tombolo/thing@{DOMAIN}/Device1");
    heard.expect(&format!("{base}/state/Temperature 21.5"), SOON).unwrap();
    heard.expect(&format!("{base}/state/relay OFF"), SOON).unwrap();
    let mark = thing.mark();
    here.publish(&format!("{base}/set/relay"), "ON", false).unwrap();
    thing.wait_event(mark, "set").unwrap();
    heard.expect(&format!("{base}/state/relay ON"), SOON).unwrap();
}
