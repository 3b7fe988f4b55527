//! LwM2M with clients and a server that this project did not write: coap-node, lwm2m-node-lib, coap-shepherd.

use std::process::Command;
use std::time::Duration;

use tombolo_dev::broker::Broker;
use tombolo_dev::place;
use tombolo_dev::process::{Process, bound, free_port};
use tombolo_tests::prosody::{DOMAIN, PASSWORD, Prosody};
use tombolo_tests::service::{SOON, Site, rebuilt};

const SERVICE: &str = "bridge@tombolo.localhost";
/// A command that was not answered by then waits for its device.
const HEARD_BY: Duration = Duration::from_secs(3);

/// A script of the peers' libraries.
pub(super) fn script(name: &str, arguments: &[&str]) -> Process {
    let mut command: Command = bound("node");
    command.arg(place::root().join("tests/e2e").join(name)).args(arguments);
    command.env("NODE_PATH", place::node().unwrap().join("node_modules"));
    Process::start(name, command).unwrap()
}

fn field() -> (u16, Site, Process) {
    field_with("poll_s = 1")
}

/// A service at which LwM2M devices register, with an account for the commands.
fn field_with(settings: &str) -> (u16, Site, Process) {
    let port = free_port().unwrap();
    let site = Site::new(&format!(
        "[xmpp.local]\naccounts = {{ alice = \"wonderland\" }}\n\n[bridges.field]\nplugin = \"lwm2m\"\n\
         endpoints = {{ server = {{ listen = \"coap://127.0.0.1:{port}\" }} }}\nsettings = {{ {settings} }}\n\n\
         [[allow]]\nwho = [\"alice@tombolo.localhost\"]\nmay = [\"see\", \"read\", \"control\"]\nnodes = [\"field/*\"]\n"
    ))
    .unwrap();
    site.install("lwm2m").unwrap();
    let service = site.run_ready().unwrap();
    (port, site, service)
}

fn await_nodes(site: &Site, count: u64) {
    site.await_status(|status| status["bridges"][0]["nodes"].as_u64().is_some_and(|nodes| nodes >= count)).unwrap();
}

/// Asks for a node until the answer has this text.
fn await_reading(site: &Site, node: &str, text: &str) {
    let deadline = std::time::Instant::now() + SOON;
    loop {
        let read = site.command(&["read", SERVICE, node], &[]).unwrap();
        if read.out.contains(text) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{text:?} is not in {} {}", read.out, read.err);
    }
}

#[test]
fn a_coap_node_is_read_set_commanded_and_watched_also_over_a_swap() {
    let (port, site, service) = field();
    let mut device = script("lwm2m_device.js", &[&port.to_string()]);
    device.expect("registered", SOON).unwrap();
    await_nodes(&site, 5);
    let (sensor, light) = ("field/coap-node-test/3303/0", "field/coap-node-test/3311/0");
    await_reading(&site, sensor, "21.5");
    let set = site.command(&["set", SERVICE, light, "On-Off=true"], &[]).unwrap();
    assert_eq!(set.code, Some(0), "{}", set.err);
    device.expect("light true", SOON).unwrap();
    let command = site.command(&["command", SERVICE, light, "Trigger"], &[]).unwrap();
    assert_eq!(command.code, Some(0), "{}", command.err);
    device.expect("executed", SOON).unwrap();

    let watch = site.follow(&["watch", SERVICE, sensor], &[]).unwrap();
    watch.expect("21.5", SOON).unwrap();
    device.write_line("temperature 22.25").unwrap();
    watch.expect("22.25", SOON).unwrap();
    // One is the answer to Observe, one the answer to the read that a watch begins with; none is told twice.
    let first: Vec<String> = watch.lines.all().into_iter().filter(|line| line.contains("21.5")).collect();
    assert!((1..=2).contains(&first.len()) && first.first() != first.get(1), "{first:#?}");
    let (asked, mark) = (device.lines.count(), service.lines.count());
    site.write("plugins/lwm2m.wasm", &rebuilt("lwm2m", "newer").unwrap()).unwrap();
    service.expect_from(mark, "plugin swapped", SOON).unwrap();
    device.write_line("temperature 23.75").unwrap();
    watch.expect("23.75", SOON).unwrap();
    let since = device.lines.all().split_off(asked);
    assert!(since.iter().all(|line| line.starts_with("measured")), "registered and observed once: {since:?}");
    device.write_line("leave").unwrap();
    device.expect("left", SOON).unwrap();
}

#[test]
fn a_sleeping_device_stays_registered_over_a_restart_and_gets_its_command_when_it_wakes() {
    let (port, site, service) = field_with("awake_s = 1");
    let mut device = script("lwm2m_sleeper.js", &[&port.to_string()]);
    device.write_line("wake").unwrap();
    device.expect("answered 2.01", SOON).unwrap();
    await_nodes(&site, 2);
    await_reading(&site, "field/sleeper/3306/0", "  false  ");
    device.write_line("sleep").unwrap();
    device.expect("asleep", SOON).unwrap();
    drop(service);

    let _service = site.run_ready().unwrap();
    await_nodes(&site, 2);
    let mark = device.lines.count();
    let mut set = site.follow(&["set", SERVICE, "field/sleeper/3306/0", "On-Off=true"], &[]).unwrap();
    assert!(set.wait(HEARD_BY).is_none(), "{:?}", set.lines.all());
    device.write_line("wake").unwrap();
    device.expect_from(mark, "asked 0.03 /3306/0/5850 1", SOON).unwrap();
    assert_eq!(set.wait(SOON).unwrap().code(), Some(0), "{:?}", set.lines.all());
    device.expect_from(mark, "answered 2.04", SOON).unwrap();
    await_reading(&site, "field/sleeper/3306/0", "  true  ");
    let registered = device.lines.all().iter().filter(|line| *line == "answered 2.01").count();
    assert_eq!(registered, 1, "{:?}", device.lines.all());
}

#[test]
fn a_client_that_knows_single_resources_only_is_read_and_set() {
    let (port, site, _service) = field();
    let mut device = script("lwm2m_library.js", &[&port.to_string()]);
    device.expect("registered", SOON).unwrap();
    await_nodes(&site, 3);
    await_reading(&site, "field/node-lib-test/3303/0", "21.5");
    let set = site.command(&["set", SERVICE, "field/node-lib-test/3306/0", "On-Off=true"], &[]).unwrap();
    assert_eq!(set.code, Some(0), "{}", set.err);
    device.expect("written /3306/0/5850 1", SOON).unwrap();
    let watch = site.follow(&["watch", SERVICE, "field/node-lib-test/3303/0"], &[]).unwrap();
    device.write_line("temperature 24.5").unwrap();
    watch.expect("24.5", SOON).unwrap();
}

#[test]
fn a_device_of_another_protocol_is_an_object_at_a_foreign_lwm2m_server() {
    let server = Prosody::start(&["bridge"]).unwrap();
    let scratch = place::scratch().unwrap();
    let broker = Broker::start(&scratch, "").unwrap();
    let port = free_port().unwrap();
    let site = Site::new(&format!(
        "[xmpp]\njid = \"bridge@{DOMAIN}\"\npassword = \"{PASSWORD}\"\nserver = \"{}\"\nca = \"{}\"\n\
         [bridges.home]\nplugin = \"mqtt\"\nendpoints = {{ broker = {{ connect = \"mqtt://127.0.0.1:{}\" }} }}\n\
         [[bridges.home.settings.devices]]\nnode = \"lamp\"\nfields = [\n\
         {{ name = \"Power\", topic = \"lamp\", type = \"boolean\", command = {{ topic = \"lamp/set\" }} }},\n\
         {{ name = \"Temperature\", topic = \"lamp/heat\", type = \"quantity\", unit = \"°C\" }}]\n\
         [bridges.field]\nplugin = \"lwm2m\"\nmirror = [\"bridge@{DOMAIN}/home/*\"]\n\
         endpoints = {{ upstream = {{ connect = \"coap://127.0.0.1:{port}\" }} }}\n\
         settings = {{ upstream = {{ endpoint = \"plant-7\", version = \"1.0\" }} }}\n\
         [[allow]]\nwho = [\"bridge@{DOMAIN}\"]\nmay = [\"see\", \"read\", \"control\"]\nnodes = [\"*\"]\n",
        server.server(),
        server.ca.display(),
        broker.port
    ))
    .unwrap();
    ["mqtt", "lwm2m"].iter().for_each(|plugin| site.install(plugin).unwrap());
    broker.publish("lamp", "OFF", true).unwrap();
    broker.publish("lamp/heat", "41.50", true).unwrap();
    let database = site.path().join("shepherd").join("coap.db");
    std::fs::create_dir_all(database.parent().unwrap()).unwrap();
    let mut peer = script("lwm2m_server.js", &[&port.to_string(), database.to_str().unwrap()]);
    peer.expect("ready", SOON).unwrap();
    let _service = site.run_ready().unwrap();
    peer.expect("heard devIncoming plant-7", SOON).unwrap();

    let deadline = std::time::Instant::now() + SOON;
    while std::time::Instant::now() < deadline {
        let mark = peer.lines.count();
        peer.write_line("read /3303/0/5700").unwrap();
        let answer =
            peer.lines.wait_from(mark, SOON, |line| line.starts_with("answer read") || line.starts_with("error"));
        if answer.is_some_and(|line| line.ends_with("2.05 41.5")) {
            break;
        }
    }
    peer.expect("answer read /3303/0/5700 2.05 41.5", SOON).unwrap();
    peer.write_line("observe /3306/0/5850").unwrap();
    peer.expect("answer observe /3306/0/5850 2.05 false", SOON).unwrap();
    let device = broker.subscriber("lamp/set", |_| {}).unwrap();
    peer.write_line("write /3306/0/5850 true").unwrap();
    device.expect("lamp/set ON", SOON).unwrap();
    peer.expect("answer write /3306/0/5850 2.04", SOON).unwrap();
    broker.publish("lamp", "ON", true).unwrap();
    peer.expect("heard devNotify plant-7", SOON).unwrap();
}
