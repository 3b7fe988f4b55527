//! Readings that one host publishes and another shows at its own broker: from the account's own node, from a service and from a room, at two
//! kinds of servers. Whoever acts here knows MQTT only.

use std::path::Path;

use tombolo_dev::broker::Broker;
use tombolo_dev::place;
use tombolo_tests::ejabberd::{Ejabberd, Settings};
use tombolo_tests::prosody::{DOMAIN, PASSWORD, PUBSUB, Prosody, ROOMS};
use tombolo_tests::service::{SOON, Site};
use tombolo_tests::world::DEVICES;

fn configuration(server: u16, ca: &Path, name: &str, bridge: &str, broker: &Broker) -> String {
    format!(
        "[xmpp]\njid = \"{name}@{DOMAIN}\"\npassword = \"{PASSWORD}\"\nserver = \"127.0.0.1:{server}\"\nca = \"{}\"\n\
         [bridges.{bridge}]\nplugin = \"mqtt\"\nendpoints.broker = {{ connect = \"mqtt://127.0.0.1:{}\" }}\n",
        ca.display(),
        broker.port
    )
}

/// A lamp of one host's, published in three ways, and another host that hears it in all three; `tells`: the server tells contacts at once what
/// is published at an account.
fn a_lamp_is_heard_three_ways(server: u16, ca: &Path, tells: bool) {
    let scratch = place::scratch().unwrap();
    let (here, there) = (Broker::start(&scratch, "").unwrap(), Broker::start(&scratch, "").unwrap());
    let lamp = "[[publish]]\nnodes = [\"home/lamp\"]\n";
    let sections = format!(
        "{DEVICES}{lamp}how = \"pep\"\n\
         {lamp}how = \"pubsub\"\nto = \"{PUBSUB}\"\nnode = \"readings/{{bridge}}/{{node}}\"\n\
         {lamp}how = \"room\"\nto = \"plant@{ROOMS}\"\nconfig = {{ whois = \"anyone\" }}\n\
         [[allow]]\nwho = [\"other@{DOMAIN}\"]\nmay = [\"see\"]\nnodes = [\"home/lamp\"]\n"
    );
    let mirror = format!(
        "mirror = [{{ pep = \"bridge@{DOMAIN}\" }}, {{ pubsub = \"{PUBSUB}\", node = \"readings/*\", poll = \"1 s\" }}, \
         {{ room = \"plant@{ROOMS}\", nick = \"ears\", from = [\"bridge@{DOMAIN}\"] }}]\n"
    );
    let first = Site::new(&(configuration(server, ca, "bridge", "home", &here) + &sections)).unwrap();
    let second = Site::new(&(configuration(server, ca, "other", "office", &there) + &mirror)).unwrap();
    first.install("mqtt").unwrap();
    second.install("mqtt").unwrap();
    here.publish("lamp/power", "OFF", true).unwrap();
    here.publish("lamp/level", "7", true).unwrap();
    let publisher = first.run_ready().unwrap();
    // Everything is made, and has confirmed the first readings.
    first.await_status(|status| status["bridges"][0]["nodes"] == 2 && status["publications"] == 0).unwrap();

    let heard = there.subscriber("tombolo/#", |_| {}).unwrap();
    let _listener = second.run_ready().unwrap();
    let [own, service, room] = [
        format!("tombolo/bridge@{DOMAIN}/home/lamp"),
        format!("tombolo/{PUBSUB}/readings/home/lamp"),
        format!("tombolo/plant@{ROOMS}/bridge@{DOMAIN}/home/lamp"),
    ];
    for base in [&own, &service] {
        heard.expect(&format!("{base}/state/Level 7"), SOON).unwrap();
        heard.expect(&format!("{base}/state/Power OFF"), SOON).unwrap();
    }
    let is_present = |entry: &serde_json::Value| entry["state"] == "present";
    second
        .await_status(|status| {
            status["bridges"][0]["mirrored"].as_array().is_some_and(|all| all.iter().all(is_present))
        })
        .unwrap();
    here.publish("lamp/level", "8", true).unwrap();
    for base in [&own, &service, &room].into_iter().skip(usize::from(!tells)) {
        heard.expect(&format!("{base}/state/Level 8"), SOON).unwrap();
        heard.expect(&format!("{base}/availability online"), SOON).unwrap();
    }
    // Whoever publishes goes; what a service keeps is there all the same.
    drop(publisher);
    for base in [&own, &room] {
        heard.expect(&format!("{base}/availability offline"), SOON).unwrap();
    }
    assert!(!heard.lines.all().iter().any(|line| *line == format!("{service}/availability offline")));
}

#[test]
fn a_lamp_that_is_published_three_ways_is_seen_at_another_broker_over_prosody() {
    let server = Prosody::start(&["bridge", "other"]).unwrap();
    a_lamp_is_heard_three_ways(server.port, &server.ca, true);
}

#[test]
fn a_lamp_that_is_published_three_ways_is_seen_at_another_broker_over_ejabberd() {
    let settings = Settings { domain: DOMAIN, accounts: &["bridge", "other"], ..Settings::default() };
    let server = Ejabberd::start(settings).unwrap();
    // Not seen to tell us within 90 s; what was published last is fetched.
    a_lamp_is_heard_three_ways(server.port, &server.ca, false);
}
