//! Peers at a real server who want too much, read nothing, or lie: each is bounded and answered, and whoever else asks is answered in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use minidom::Element;
use serde_json::json;
use tombolo_core::model::limits;
use tombolo_dev::broker::Broker;
use tombolo_dev::place;
use tombolo_dev::process::Process;
use tombolo_tests::client::Client;
use tombolo_tests::peer::Peer;
use tombolo_tests::prosody::{PASSWORD, Prosody, Settings};
use tombolo_tests::service::{SOON, Site};
use tombolo_tests::world::{ALICE, DEVICES, MALLORY, RULES, SERVICE, World, configuration};

/// For a read by somebody else meanwhile, on a machine with more to do.
const IN_TIME: Duration = Duration::from_secs(10);
const SUBSCRIPTIONS: usize = 10_000;
/// Requests that are under way at once.
const BATCH: usize = 500;
/// What is sent to who does not read: more than all buffers on the way hold.
const NOTES: usize = 600;
const NOTE_BYTES: usize = 40_000;
/// Resident, at most, of a build without optimisation.
const MEMORY_KIB_MAX: u64 = 400 * 1024;
const LIES: usize = 2000;

const NOTE: &str = r#"
[[bridges.home.settings.devices]]
node = "note"
fields = [{ name = "Text", topic = "note", type = "text" }]
"#;
const MALLORY_TOO: &str = r#"
[[allow]]
who = ["mallory@test.localhost"]
may = ["see", "read"]
nodes = ["home/*"]
"#;

/// The usual stage, where Mallory may read and clients may be simple; `more` stands in the section of the bridge.
fn stage(more: &str) -> (World, Process, Peer) {
    let accounts = &["bridge", "alice", "mallory"];
    let server = Prosody::start_with(Settings { accounts, is_plain: true, ..Settings::default() }).unwrap();
    let broker = Broker::start(&place::scratch().unwrap(), "").unwrap();
    let devices = format!("{DEVICES}{NOTE}");
    let text = configuration(&server, broker.port, &devices, &format!("{RULES}{MALLORY_TOO}"));
    let text = text.replace("plugin = \"mqtt\"\n", &format!("plugin = \"mqtt\"\n{more}\n"));
    let site = Site::new(&text).unwrap();
    site.install("mqtt").unwrap();
    let world = World { site, broker, server };
    let service = world.site.run_ready().unwrap();
    world.broker.publish("lamp/level", "40", true).unwrap();
    world.broker.publish("load/counter", "0", true).unwrap();
    world.broker.publish("note", "short", true).unwrap();
    world.await_nodes(3).unwrap();
    let alice = world.peer(ALICE).unwrap();
    world.await_value(&alice, "lamp", "Level", "40").unwrap();
    (world, service, alice)
}

fn mallory(world: &World) -> Client {
    Client::log_in(world.server.port, MALLORY, PASSWORD).unwrap()
}

/// Somebody else is answered, and soon.
fn is_served(alice: &Peer) {
    let begin = Instant::now();
    let flags = json!({"momentary": "true"});
    let answer = alice.ask("read", json!({"to": SERVICE, "nodes": ["lamp"], "flags": flags})).unwrap();
    assert!(answer.to_string().contains("\"40\""), "{answer}");
    assert!(begin.elapsed() < IN_TIME, "after {:?}", begin.elapsed());
}

fn stays_well(service: &Process, lines_before: usize) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < MEMORY_KIB_MAX, "{peak} KiB");
    let log = service.lines.all();
    for word in ["panicked", "plugin failed", "quarantined", "xmpp offline"] {
        assert!(!log.iter().any(|line| line.contains(word)), "{word} in {log:#?}");
    }
    assert!(log.len() - lines_before < 20, "the log is no flood either: {:#?}", &log[lines_before..]);
}

fn subscribe(id: &str, node: &str) -> String {
    format!(
        "<iq type='set' id='{id}' to='{SERVICE}'><subscribe xmlns='urn:nf:iot:events:1.0' id='{id}' m='true'><nd id='{node}' src='home'/></subscribe></iq>"
    )
}

#[test]
fn ten_thousand_subscriptions_of_one_account_are_all_answered_and_few_of_them_kept() {
    let (world, service, alice) = stage("");
    let lines = service.lines.count();
    let mut client = mallory(&world);
    let (mut accepted, mut refused) = (0, 0);
    for batch in 0..SUBSCRIPTIONS / BATCH {
        let wishes: String =
            (0..BATCH).map(|number| subscribe(&format!("s{}", batch * BATCH + number), "counter")).collect();
        client.send(&wishes).unwrap();
        let mut answers = 0;
        while answers < BATCH {
            let stanza = client.next(SOON).unwrap().expect("every one is answered");
            match (stanza.name(), stanza.attr("type")) {
                ("iq", Some("result")) => accepted += 1,
                ("iq", Some("error")) => refused += 1,
                _ => continue,
            }
            answers += 1;
        }
        if batch % 5 == 0 {
            is_served(&alice);
        }
    }
    assert_eq!((accepted, refused), (limits::SUBSCRIPTIONS_PER_CALLER_MAX, SUBSCRIPTIONS - accepted));
    world.broker.publish("load/counter", "1", true).unwrap();
    is_served(&alice);
    let is_reading = |stanza: &Element| stanza.name() == "message" && String::from(stanza).contains("'1'");
    let readings = std::iter::from_fn(|| client.next(Duration::from_secs(5)).unwrap()).filter(is_reading);
    assert_eq!(readings.take(accepted).count(), accepted, "and each of the few is served");
    stays_well(&service, lines);
}

#[test]
fn who_never_reads_holds_up_nobody() {
    let (world, service, alice) = stage("");
    let lines = service.lines.count();
    let mut client = mallory(&world);
    client.send(&subscribe("s", "note")).unwrap();
    while client.next(SOON).unwrap().expect("an answer").attr("id") != Some("s") {}
    let mut device = world.broker.publisher("note", false).unwrap();
    for number in 0..NOTES {
        device.write_line(&format!("{number} {}", "x".repeat(NOTE_BYTES))).unwrap();
        if number % 100 == 0 {
            is_served(&alice);
        }
    }
    // The device is heard to its end, whatever becomes of the readings.
    world.broker.publish("load/counter", "7", true).unwrap();
    world.await_value(&alice, "counter", "Count", "7").unwrap();
    is_served(&alice);
    drop(client);
    is_served(&alice);
    stays_well(&service, lines);
}

/// A concentrator with one meter that says a great deal of what nobody asked, and then one true thing.
fn lie(mut client: Client, ends: &AtomicBool) {
    while !ends.load(Ordering::Relaxed) {
        let Some(stanza) = client.next(Duration::from_millis(200)).unwrap() else { continue };
        let (from, id) = (stanza.attr("from").unwrap_or_default(), stanza.attr("id").unwrap_or_default());
        let iq = |payload: &str| format!("<iq type='result' id='{id}' to='{from}'>{payload}</iq>");
        let payload = stanza.children().next();
        let name = payload.map(|payload| format!("{} {}", payload.name(), payload.ns())).unwrap_or_default();
        let answer = match (stanza.name(), stanza.attr("type"), name.as_str()) {
            ("presence", Some("subscribe"), _) => format!("<presence type='subscribed' to='{from}'/><presence/>"),
            ("iq", Some("get" | "set"), "query http://jabber.org/protocol/disco#info") => {
                let features = ["sd", "events", "ctr", "concentrator"];
                let features = features.map(|name| format!("<feature var='urn:nf:iot:{name}:1.0'/>")).concat();
                iq(&format!("<query xmlns='http://jabber.org/protocol/disco#info'>{features}</query>"))
            }
            ("iq", Some(_), "getAllDataSources urn:nf:iot:concentrator:1.0") => iq(
                "<dataSources xmlns='urn:nf:iot:concentrator:1.0'><dataSource src='S' name='S' hasChildren='false'/></dataSources>",
            ),
            ("iq", Some(_), "getAllNodes urn:nf:iot:concentrator:1.0") => iq(
                "<nodeInfos xmlns='urn:nf:iot:concentrator:1.0'><nodeInfo id='m1' src='S' nodeType='Meter' displayName='Meter' state='None' \
                 hasChildren='false' isReadable='true' isControllable='false'/></nodeInfos>",
            ),
            ("iq", Some(_), "subscribe urn:nf:iot:concentrator:1.0") => iq(""),
            ("iq", Some(_), "subscribe urn:nf:iot:events:1.0") => {
                let wish = payload.and_then(|payload| payload.attr("id")).unwrap_or_default();
                let resp = |id: &str, node: &str, value: &str| {
                    format!(
                        "<message to='{from}'><resp xmlns='urn:nf:iot:sd:1.0' id='{id}'><nd id='{node}' src='S'><ts v='2026-01-01T00:00:00Z'>\
                         <q n='Energy' v='{value}' u='kWh' m='true'/></ts></nd></resp></message>"
                    )
                };
                let lies: String = (0..LIES)
                    .map(|number| match number % 4 {
                        0 => resp("never-asked", "m1", "666"),
                        1 => resp(wish, &format!("lie-{number}"), "666"),
                        2 => resp(&format!("{wish}-{number}"), "m1", "666"),
                        _ => format!("<iq type='result' id='lie-{number}' to='{from}'/>"),
                    })
                    .collect();
                let accepted = iq(&format!("<accepted xmlns='urn:nf:iot:sd:1.0' id='{wish}'/>"));
                format!("{accepted}{lies}{}", resp(wish, "m1", "42"))
            }
            ("iq", Some("get" | "set"), _) => format!(
                "<iq type='error' id='{id}' to='{from}'><error type='cancel'><feature-not-implemented xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
            ),
            _ => continue,
        };
        client.send(&answer).unwrap();
    }
}

#[test]
fn a_mirrored_thing_that_lies_about_ids_shows_nothing_but_what_is_true() {
    let (world, service, alice) = stage("mirror = [\"mallory@test.localhost\"]");
    let lines = service.lines.count();
    let shown = world.broker.subscriber("tombolo/#", |_| {}).unwrap();
    let ends = Arc::new(AtomicBool::new(false));
    let client = mallory(&world);
    let liar = std::thread::spawn({
        let ends = ends.clone();
        move || lie(client, &ends)
    });
    shown.expect("tombolo/mallory@test.localhost/S/m1/state/Energy 42", SOON).unwrap();
    is_served(&alice);
    ends.store(true, Ordering::Relaxed);
    liar.join().unwrap();
    let lies = shown.lines.all().into_iter().filter(|line| line.contains("666") || line.contains("lie-"));
    assert_eq!(lies.collect::<Vec<_>>(), Vec::<String>::new());
    let named = service.lines.all().into_iter().filter(|line| line.contains("mallory@test.localhost"));
    let named: Vec<String> = named.collect();
    assert!(!named.is_empty() && named.len() <= 4, "each kind of lie is named once: {named:#?}");
    stays_well(&service, lines);
}
