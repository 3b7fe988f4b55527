//! Devices made with libraries of their conventions, which nobody here wrote: each is found, read, switched, and confirms in its own way.

use std::process::Command;
use std::time::Duration;

use tombolo_dev::broker::Broker;
use tombolo_dev::place;
use tombolo_dev::process::{Process, bound};
use tombolo_tests::service::{SOON, Site};

const SERVICE: &str = "bridge@tombolo.localhost";

/// A service that listens to every convention, with its own XMPP server, and a broker.
fn start() -> (Broker, Site, Process) {
    let broker = Broker::start(&place::scratch().unwrap(), "").unwrap();
    let site = Site::new(&format!(
        "[xmpp.local]\naccounts = {{ alice = \"wonderland\" }}\n\n[bridges.home]\nplugin = \"mqtt\"\n\
         endpoints = {{ broker = {{ connect = \"mqtt://127.0.0.1:{}\" }} }}\n\
         settings = {{ conventions = [\"homeassistant\", \"zigbee2mqtt\", \"tasmota\", \"shelly\", \"homie\", \"sparkplug\"] }}\n\n\
         [[allow]]\nwho = [\"alice@tombolo.localhost\"]\nmay = [\"see\", \"read\", \"control\"]\nnodes = [\"home/*\"]\n",
        broker.port
    ))
    .unwrap();
    site.install("mqtt").unwrap();
    let service = site.run_ready().unwrap();
    (broker, site, service)
}

/// A device by a library of the convention.
fn device(convention: &str, environment: &str, broker: &Broker) -> Process {
    let python = place::target().unwrap().join(environment).join("bin/python");
    let mut command: Command = bound(python);
    command.arg(place::root().join("tests/e2e/devices.py")).arg(convention).arg(broker.port.to_string());
    Process::start(convention, command).unwrap()
}

/// Reads until the node says this.
fn await_reading(site: &Site, node: &str, text: &str) {
    let deadline = std::time::Instant::now() + 2 * SOON;
    loop {
        let read = site.command(&["read", SERVICE, &format!("home/{node}")], &[]).unwrap();
        if read.code == Some(0) && read.out.contains(text) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{node} without {text:?}: {} {}", read.out, read.err);
    }
}

fn set(site: &Site, node: &str, setting: &str) {
    let set = site.command(&["set", SERVICE, &format!("home/{node}"), setting], &[]).unwrap();
    assert_eq!(set.code, Some(0), "{} {}", set.out, set.err);
}

#[test]
fn a_switch_of_ha_mqtt_discoverable_is_switched_and_confirms() {
    let (broker, site, _service) = start();
    let device = device("homeassistant", "devices-2", &broker);
    await_reading(&site, "bench-plug", "12.5");
    set(&site, "bench-plug", "relay=true");
    device.expect("told switch ON", SOON).unwrap();
    await_reading(&site, "bench-plug", "true");
}

#[test]
fn a_dimmer_of_homie4_is_dimmed_and_confirms() {
    let (broker, site, _service) = start();
    let device = device("homie4", "devices-1", &broker);
    await_reading(&site, "dimmer-4", "10");
    set(&site, "dimmer-4", "dimmer/dimmer=40");
    device.expect("told dimmer 40", SOON).unwrap();
    await_reading(&site, "dimmer-4", "40");
}

#[test]
fn a_relay_of_ebus_sdk_is_switched_and_confirms() {
    let (broker, site, _service) = start();
    let device = device("homie5", "devices-2", &broker);
    await_reading(&site, "relay-5", "false");
    set(&site, "relay-5", "relay/on=true");
    device.expect("told on true", SOON).unwrap();
    await_reading(&site, "relay-5", "true");
}

#[test]
fn an_edge_node_of_pysparkplug_is_asked_for_its_birth_and_confirms() {
    // It was there before anybody listened: nothing of its birth is kept by the broker.
    let broker = Broker::start(&place::scratch().unwrap(), "").unwrap();
    let mut device = device("sparkplug", "devices-1", &broker);
    device.expect("connected", SOON).unwrap();
    let site = Site::new(&format!(
        "[xmpp.local]\naccounts = {{ alice = \"wonderland\" }}\n\n[bridges.home]\nplugin = \"mqtt\"\n\
         endpoints = {{ broker = {{ connect = \"mqtt://127.0.0.1:{}\" }} }}\nsettings = {{ conventions = [\"sparkplug\"] }}\n\n\
         [[allow]]\nwho = [\"alice@tombolo.localhost\"]\nmay = [\"see\", \"read\", \"control\"]\nnodes = [\"home/*\"]\n",
        broker.port
    ))
    .unwrap();
    site.install("mqtt").unwrap();
    let service = site.run_ready().unwrap();
    service.expect("connected with MQTT", SOON).unwrap();
    // It says something now and then; the first that is heard is answered.
    let is_asked = (0..20).any(|_| {
        device.write_line("22.5").unwrap();
        device.expect("told edge Node Control/Rebirth", Duration::from_secs(1)).is_ok()
    });
    assert!(is_asked, "{:#?}", device.lines.all());
    await_reading(&site, "plant/edge/boiler", "22.5");
    set(&site, "plant/edge/boiler", "Valve=true");
    device.expect("told Valve True", SOON).unwrap();
    await_reading(&site, "plant/edge/boiler", "true");
}
