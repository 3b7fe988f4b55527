//! A network of foreign UPnP devices and control points, both ways: their state and control at a broker, and a broker's lamp in the network.
//!
//! Whoever acts here is an MQTT client, GUPnP, MiniDLNA or async-upnp-client; what is between them is seen from outside.

use tombolo_dev::broker::Broker;
use tombolo_dev::place;
use tombolo_dev::process::{Process, free_port};
use tombolo_tests::network;
use tombolo_tests::prosody::{DOMAIN, Prosody};
use tombolo_tests::service::{SOON, Site, rebuilt};
use tombolo_tests::upnp::{ADDRESS, INTERFACE, Light, Shelf, interface, point};
use tombolo_tests::world::configuration;

const LAMP: &str = r#"
[[bridges.home.settings.devices]]
node = "lamp"
label = "Reading Lamp"
fields = [{ name = "Power", topic = "lamp/power", type = "boolean", command = { topic = "lamp/power/set" } }]
"#;

struct Stage {
    broker: Broker,
    site: Site,
    _server: Prosody,
}

impl Stage {
    /// A broker with a lamp and a network of UPnP; each is shown the other's.
    fn new() -> (Self, Process) {
        interface().unwrap();
        let server = Prosody::start(&["bridge", "alice"]).unwrap();
        let broker = Broker::start(&place::scratch().unwrap(), "").unwrap();
        let mirror = format!("mirror = [\"bridge@{DOMAIN}/house/*\"]\n[bridges.home.endpoints]");
        let file = configuration(&server, broker.port, LAMP, "").replacen("[bridges.home.endpoints]", &mirror, 1);
        let port = free_port().unwrap();
        let more = format!(
            r#"
[bridges.house]
plugin = "upnp"
mirror = ["bridge@{DOMAIN}/home/*"]
[bridges.house.endpoints]
ssdp = {{ group = "239.255.255.250:1900", interface = "{INTERFACE}" }}
devices = {{ connect = "http://10.77.0.0/24:*" }}
serve = {{ serve = "http://{ADDRESS}:{port}" }}
[bridges.house.settings]
search_s = 10

[[allow]]
who = ["bridge@{DOMAIN}"]
may = ["see", "read", "control"]
nodes = ["*"]
"#
        );
        let site = Site::new(&[file, more].concat()).unwrap();
        ["mqtt", "upnp"].iter().for_each(|plugin| site.install(plugin).unwrap());
        broker.publish("lamp/power", "OFF", true).unwrap();
        let service = site.run_ready().unwrap();
        (Self { broker, site, _server: server }, service)
    }

    /// Replaces the plugin by a newer build.
    fn swap(&self, service: &Process) {
        let mark = service.lines.count();
        self.site.write("plugins/upnp.wasm", &rebuilt("upnp", "newer").unwrap()).unwrap();
        service.expect_from(mark, "plugin swapped", SOON).unwrap();
    }
}

/// The topic of a field of the first device whose id begins so, once it has said something.
fn topic(heard: &Process, device: &str, field: &str) -> String {
    let begins = format!("tombolo/bridge@{DOMAIN}/house/{device}-");
    let ends = format!("/state/{field}");
    let is_it =
        |line: &str| line.starts_with(&begins) && line.split(' ').next().is_some_and(|topic| topic.ends_with(&ends));
    let line = heard.lines.wait_from(0, SOON, is_it);
    let line = line.unwrap_or_else(|| panic!("{device} {field} is not shown: {:?}", heard.lines.all()));
    line.split(' ').next().unwrap().to_owned()
}

/// Sets a field at the broker and sees the device tell it.
fn set(stage: &Stage, heard: &Process, topic: &str, value: &str) {
    let mark = heard.lines.count();
    stage.broker.publish(&topic.replace("/state/", "/set/"), value, false).unwrap();
    heard.expect_from(mark, &format!("{topic} {value}"), SOON).unwrap();
}

fn foreign_devices() {
    let (stage, service) = Stage::new();
    let heard = stage.broker.subscriber("tombolo/#", |_| {}).unwrap();
    let _light = Light::start("Porch Light").unwrap();
    let _shelf = Shelf::start("Book Shelf").unwrap();
    let (status, level) = (
        topic(&heard, "porch-light", "SwitchPower%2FStatus"),
        topic(&heard, "porch-light", "Dimming%2FLoadLevelStatus"),
    );
    topic(&heard, "book-shelf", "ContentDirectory%2FSystemUpdateID");
    set(&stage, &heard, &status, "ON");
    set(&stage, &heard, &status, "OFF");
    set(&stage, &heard, &level, "40");
    stage.swap(&service);
    set(&stage, &heard, &status, "ON");
    set(&stage, &heard, &level, "60");
}

#[test]
fn foreign_devices_are_found_switched_and_heard_over_a_swap() {
    network::of_its_own("upnp::foreign_devices_are_found_switched_and_heard_over_a_swap", "", foreign_devices).unwrap();
}

fn foreign_control_point() {
    let (stage, service) = Stage::new();
    let device = stage.broker.subscriber("lamp/power/set", |_| {}).unwrap();
    let mut point = point("Reading Lamp").unwrap();
    point.expect("found urn:schemas-upnp-org:device:BinaryLight:1", SOON).unwrap();
    point.expect("listens", SOON).unwrap();
    point.expect("event Status False", SOON).unwrap();
    let switch = |point: &mut Process, word: &str, (command, state): (&str, &str)| {
        let (asked, told) = (device.lines.count(), point.lines.count());
        point.write_line(word).unwrap();
        device.expect_from(asked, &format!("lamp/power/set {command}"), SOON).unwrap();
        point.expect_from(told, &format!("did {word}"), SOON).unwrap();
        stage.broker.publish("lamp/power", command, true).unwrap();
        point.expect_from(told, &format!("event Status {state}"), SOON).unwrap();
    };
    switch(&mut point, "on", ("ON", "True"));
    stage.swap(&service);
    switch(&mut point, "off", ("OFF", "False"));
}

#[test]
fn a_foreign_control_point_switches_a_brokers_lamp_and_hears_it_over_a_swap() {
    let name = "upnp::a_foreign_control_point_switches_a_brokers_lamp_and_hears_it_over_a_swap";
    network::of_its_own(name, "", foreign_control_point).unwrap();
}
