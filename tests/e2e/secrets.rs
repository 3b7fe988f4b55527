//! Secrets show up nowhere: not in the log of everything that our crates say, not in status or errors, not in recordings.

use std::path::Path;

use tombolo_dev::broker::Broker;
use tombolo_dev::place;
use tombolo_dev::process::Process;
use tombolo_tests::prosody::Prosody;
use tombolo_tests::service::{SOON, Site};

/// Every level of ours, and what the libraries say when they are asked for much.
const LOG: &str = "debug,tombolo=trace,tombolo_core=trace,tombolo_runtime=trace,tokio_xmpp=trace";

const MQTT: &str = "mqtt-0wIxhUWc";
const ALICE: &str = "alice-7sPmVnbY";
const BOB: &str = "bob-K2jfgRqe";
const CAROL: &str = "carol-Zd49LtHs";
const CLIENT: &str = "client-p8QyXoTa";
const WRONG: &str = "wrong-Hn3wEuMv";

/// Everything that an operator could see of it.
struct Seen(Vec<String>);

impl Seen {
    fn of(site: &Site, service: &Process, environment: &[(&str, &str)]) -> Self {
        let mut seen = service.lines.all();
        for arguments in [&["status"][..], &["status", "--json"], &["check"], &["things", "bridge@nowhere.localhost"]] {
            let ended = site.command(arguments, environment).unwrap();
            seen.extend([ended.out, ended.err]);
        }
        Self(seen)
    }

    fn add_files(&mut self, directory: &Path) {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            match entry.path().is_dir() {
                true => self.add_files(&entry.path()),
                false => self.0.push(String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned()),
            }
        }
    }

    /// As text, and as bytes are written in logs and in recordings.
    fn holds_none_of(&self, secrets: &[&str]) {
        for secret in secrets {
            let numbers: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
            for form in [(*secret).to_owned(), numbers.join(", "), numbers.join(",")] {
                let found = self.0.iter().find(|line| line.contains(&form));
                assert!(found.is_none(), "{secret} shows up: {}", found.unwrap());
            }
        }
    }
}

fn write_secrets(site: &Site) {
    std::fs::create_dir(site.path().join("secrets")).unwrap();
    for (file, secret) in [("mqtt", MQTT), ("alice", ALICE), ("wrong", WRONG)] {
        site.write(&format!("secrets/{file}"), secret.as_bytes()).unwrap();
    }
}

#[test]
fn of_a_private_server_and_of_plugins() {
    let broker = Broker::start(&place::scratch().unwrap(), "").unwrap();
    let site = Site::new(&format!(
        "[xmpp.local]\naccounts = {{ alice = {{ file = \"secrets/alice\" }}, bob = {{ env = \"BOB\" }}, carol = \"{CAROL}\" }}\n\
         [client]\njid = \"x@nowhere.localhost\"\npassword = \"{CLIENT}\"\nserver = \"127.0.0.1:1\"\n\
         [bridges.home]\nplugin = \"mqtt\"\nendpoints = {{ broker = {{ connect = \"mqtt://127.0.0.1:{}\" }} }}\n\
         [bridges.home.settings]\nusername = \"tombolo\"\npassword = {{ file = \"secrets/mqtt\" }}\n\
         [[bridges.home.settings.devices]]\nnode = \"lamp\"\nfields = [{{ name = \"Level\", topic = \"lamp/level\", type = \"int32\" }}]\n",
        broker.port
    ))
    .unwrap();
    write_secrets(&site);
    site.install("mqtt").unwrap();
    let environment = [("BOB", BOB), ("TOMBOLO_LOG", LOG)];
    let mut service = site.follow(&["run", "--journal", "journal"], &environment).unwrap();
    service.expect("plugin started", SOON).unwrap();
    broker.publish("lamp/level", "40", true).unwrap();
    service.expect("xmpp online", SOON).unwrap();
    broker.process.expect("u'tombolo'", SOON).expect("the password was sent");

    // Refused as a whole: the complaints quote nothing.
    let good = std::fs::read_to_string(site.path().join("tombolo.toml")).unwrap();
    let mark = service.lines.count();
    site.write("tombolo.toml", good.replace("carol =", "\"car ol\" =").as_bytes()).unwrap();
    service.expect_from(mark, "configuration refused", SOON).unwrap();
    let own = std::fs::read_to_string(site.path().join("state/xmpp/password")).unwrap();
    let mut seen = Seen::of(&site, &service, &environment);
    service.stop();
    seen.0.extend(service.lines.all());
    seen.add_files(&site.path().join("journal"));
    assert!(seen.0.iter().any(|text| text.contains("\"call\":\"start\"")), "there is a recording");
    seen.holds_none_of(&[MQTT, ALICE, BOB, CAROL, CLIENT, &own]);

    let journal = site.path().join("journal/home.jsonl").display().to_string();
    let replayed = site.command(&["plugin", "replay", "plugins/mqtt.wasm", &journal], &environment).unwrap();
    assert_eq!(replayed.code, Some(0), "without its secrets it still replays: {}", replayed.err);
}

#[test]
fn of_an_account_that_the_server_refuses() {
    let server = Prosody::start(&["bridge"]).unwrap();
    let site = Site::new(&format!(
        "[xmpp]\njid = \"bridge@test.localhost\"\npassword = {{ file = \"secrets/wrong\" }}\nserver = \"{}\"\nca = \"{}\"\n",
        server.server(),
        server.ca.display()
    ))
    .unwrap();
    write_secrets(&site);
    let environment = [("TOMBOLO_LOG", LOG)];
    let service = site.follow(&["run"], &environment).unwrap();
    service.expect("xmpp login refused", SOON).unwrap();
    Seen::of(&site, &service, &environment).holds_none_of(&[WRONG]);
}
