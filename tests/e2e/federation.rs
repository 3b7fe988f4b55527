//! Two hosts that know each other only by way of their servers: Prosody for one domain, ejabberd for the other, TLS and dialback between them.
//!
//! Whoever acts here knows MQTT only. Port 5269 is fixed between servers, hence a network of the test's own.

use std::time::{Duration, Instant};

use tombolo_dev::broker::Broker;
use tombolo_dev::devices::Household;
use tombolo_dev::place;
use tombolo_dev::process::Process;
use tombolo_tests::ejabberd::{self, Ejabberd};
use tombolo_tests::network;
use tombolo_tests::prosody::{self, PASSWORD, Prosody};
use tombolo_tests::service::{SOON, Site};

/// Where each domain's server listens for the other.
const HOSTS: &str = "127.0.0.2 a.test\n127.0.0.3 b.test";

/// An island: a broker, its devices, and the host that shows it to the other one's.
struct Island {
    broker: Broker,
    household: Household,
    site: Site,
}

impl Island {
    /// The account `bridge@DOMAIN` of a server at this address shows its devices to `bridge@OTHER`, and its broker what that one has.
    fn new(domain: &str, other: &str, server: &str, ca: &std::path::Path) -> Self {
        let broker = Broker::start(&place::scratch().unwrap(), "").unwrap();
        let household = Household::start(&broker).unwrap();
        let text = format!(
            r#"[xmpp]
jid = "bridge@{domain}"
password = "{PASSWORD}"
server = "{server}"
ca = "{}"

[bridges.home]
plugin = "mqtt"
mirror = ["bridge@{other}"]
[bridges.home.endpoints]
broker = {{ connect = "mqtt://127.0.0.1:{}" }}

[[allow]]
who = ["bridge@{other}"]
may = ["see", "read", "control"]
nodes = ["home/*"]
"#,
            ca.display(),
            broker.port
        );
        let site = Site::new(&text).unwrap();
        site.install("mqtt").unwrap();
        Self { broker, household, site }
    }

    /// A client that sees what is shown of the other island.
    fn client(&self) -> Process {
        self.broker.subscriber("tombolo/#", |_| {}).unwrap()
    }
}

/// Where an island's client finds a device of the other's.
fn topic(other: &str, rest: &str) -> String {
    format!("tombolo/bridge@{other}/home/{rest}")
}

/// Switches the other island's plug from this broker, and sees what comes of it: the device's state and what it measures then. Who is told
/// that the plug cannot be reached tries again: a server may hold the other for dead for minutes after it is back.
fn switches_the_plug(here: &Island, client: &Process, domain: &str, command: &str, watts: &str) {
    let mark = client.lines.count();
    let switched = topic(domain, &format!("coffee-machine/state/switch {command}"));
    let begin = Instant::now();
    while begin.elapsed() < 6 * SOON {
        here.broker.publish(&topic(domain, "coffee-machine/set/switch"), command, false).unwrap();
        if client.lines.wait_from(mark, Duration::from_secs(10), |line| line.contains(&switched)).is_some() {
            break;
        }
    }
    client.expect_from(mark, &switched, SOON).unwrap();
    client.expect_from(mark, &topic(domain, &format!("coffee-machine/state/power {watts}")), SOON).unwrap();
}

/// The lamp's device says something new while its own host's server, or the other's, is not there.
fn dim(island: &Island, level: &str) {
    island.broker.publish("sim/lamp-1/brightness", level, true).unwrap();
}

fn two_islands() {
    let mut prosody = Prosody::start_with(prosody::Settings {
        domain: "a.test",
        accounts: &["bridge"],
        s2s: Some("127.0.0.2"),
        ..prosody::Settings::default()
    })
    .unwrap();
    let mut ejabberd = Ejabberd::start(ejabberd::Settings {
        domain: "b.test",
        accounts: &["bridge"],
        s2s: Some("127.0.0.3"),
        ..ejabberd::Settings::default()
    })
    .unwrap();
    let here = Island::new("a.test", "b.test", &prosody.server(), &prosody.ca);
    let there = Island::new("b.test", "a.test", &ejabberd.server(), &ejabberd.ca);
    let (one, two) = (here.site.run_ready().unwrap(), there.site.run_ready().unwrap());
    let (at_here, at_there) = (here.client(), there.client());
    at_here.expect(&topic("b.test", "coffee-machine/state/switch OFF"), SOON).unwrap();
    switches_the_plug(&here, &at_here, "b.test", "ON", "1260.5");
    assert_eq!(there.household.heard.wait("sim/plug-1/switch/set", SOON).as_deref(), Some("ON"));
    at_there.expect(&topic("a.test", "coffee-machine/state/switch OFF"), SOON).unwrap();
    switches_the_plug(&there, &at_there, "a.test", "ON", "1260.5");
    assert_eq!(here.household.heard.wait("sim/plug-1/switch/set", SOON).as_deref(), Some("ON"));

    // A server that dies takes the stream between them with it, and one host's own. What is said meanwhile is not lost.
    let marks = [one.lines.count(), two.lines.count()];
    ejabberd.kill();
    two.expect_from(marks[1], "xmpp offline", SOON).unwrap();
    dim(&here, "11");
    dim(&there, "22");
    ejabberd.start_again().unwrap();
    two.expect_from(marks[1], "xmpp online", SOON).unwrap();
    at_here.expect(&topic("b.test", "desk-lamp/state/lamp_brightness 22"), SOON).unwrap();
    at_there.expect(&topic("a.test", "desk-lamp/state/lamp_brightness 11"), SOON).unwrap();
    switches_the_plug(&here, &at_here, "b.test", "OFF", "0.0");
    prosody.kill();
    one.expect_from(marks[0], "xmpp offline", SOON).unwrap();
    dim(&here, "33");
    dim(&there, "44");
    prosody.start_again().unwrap();
    one.expect_from(marks[0], "xmpp online", SOON).unwrap();
    at_here.expect(&topic("b.test", "desk-lamp/state/lamp_brightness 44"), SOON).unwrap();
    at_there.expect(&topic("a.test", "desk-lamp/state/lamp_brightness 33"), SOON).unwrap();
    switches_the_plug(&there, &at_there, "a.test", "OFF", "0.0");
}

#[test]
fn clients_of_two_brokers_switch_each_others_devices_over_federated_servers() {
    let name = "federation::clients_of_two_brokers_switch_each_others_devices_over_federated_servers";
    network::of_its_own(name, HOSTS, two_islands).unwrap();
}
