//! A domain of our own on servers that know nothing of us: every node is a thing with its own address, and nothing is lost over a crash.

use tombolo_dev::broker::Broker;
use tombolo_dev::{Outcome, place};
use tombolo_tests::ejabberd::{Ejabberd, Settings};
use tombolo_tests::peer::{Login, Peer, values_in};
use tombolo_tests::prosody::{COMPONENT, DOMAIN, PASSWORD, Prosody};
use tombolo_tests::service::{SOON, Site};
use tombolo_tests::world::DEVICES;

/// What both servers have.
trait Server {
    fn port(&self) -> u16;
    fn component_port(&self) -> u16;
    fn ca(&self) -> String;
    fn crash(&mut self) -> Outcome<()>;
}

impl Server for Prosody {
    fn port(&self) -> u16 {
        self.port
    }
    fn component_port(&self) -> u16 {
        self.component_port
    }
    fn ca(&self) -> String {
        self.ca.display().to_string()
    }
    fn crash(&mut self) -> Outcome<()> {
        self.kill();
        self.start_again()
    }
}

impl Server for Ejabberd {
    fn port(&self) -> u16 {
        self.port
    }
    fn component_port(&self) -> u16 {
        self.component_port
    }
    fn ca(&self) -> String {
        self.ca.display().to_string()
    }
    fn crash(&mut self) -> Outcome<()> {
        self.kill();
        self.start_again()
    }
}

struct Stage<S> {
    server: S,
    broker: Broker,
    site: Site,
}

impl<S: Server> Stage<S> {
    fn new(server: S) -> Self {
        let broker = Broker::start(&place::scratch().unwrap(), "").unwrap();
        let text = format!(
            r#"[xmpp.component]
domain = "{COMPONENT}"
server = "127.0.0.1:{}"
secret = "{PASSWORD}"

[bridges.home]
plugin = "mqtt"
[bridges.home.endpoints]
broker = {{ connect = "mqtt://127.0.0.1:{}" }}
{DEVICES}
[[allow]]
who = ["alice@{DOMAIN}"]
may = ["see", "read", "control"]
nodes = ["home/*"]
"#,
            server.component_port(),
            broker.port
        );
        let site = Site::new(&text).unwrap();
        site.install("mqtt").unwrap();
        Self { server, broker, site }
    }

    fn alice(&self) -> Peer {
        let ca = self.server.ca();
        let jid = format!("alice@{DOMAIN}/phone");
        let ca = Some(std::path::Path::new(&ca));
        Peer::log_in(&Login { jid: &jid, password: PASSWORD, port: self.server.port(), ca }).unwrap()
    }

    /// A command of tombolo's as Alice; gives its output.
    fn command(&self, arguments: &[&str]) -> String {
        let (server, ca, jid) =
            (format!("127.0.0.1:{}", self.server.port()), self.server.ca(), format!("alice@{DOMAIN}"));
        let login = ["--as", &jid, "--server", &server, "--ca", &ca];
        let ended = self.site.command(&[arguments, &login].concat(), &[("TOMBOLO_PASSWORD", PASSWORD)]).unwrap();
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.err);
        ended.out
    }

    /// The devices say something, and it has arrived.
    fn warm(&self) {
        self.broker.publish("load/counter", "0", true).unwrap();
        self.broker.publish("lamp/power", "true", true).unwrap();
        self.site
            .await_status(|status| status["bridges"][0]["nodes"].as_u64().is_some_and(|nodes| nodes >= 2))
            .unwrap();
    }

    fn serves_things(&self) {
        self.warm();
        assert!(self.command(&["things", COMPONENT]).contains("home/lamp"));
        assert!(self.command(&["read", COMPONENT, "home/lamp"]).contains("true"));
        let lamp = format!("lamp.home@{COMPONENT}");
        let shown = self.command(&["things", &lamp]);
        assert!(shown.contains(&lamp) && shown.contains("[read, set]"), "{shown}");
        assert!(self.command(&["read", &lamp]).contains("true"));
        let told = self.broker.subscriber("lamp/level/set", |_| {}).unwrap();
        self.command(&["set", &lamp, "Level=7"]);
        told.expect("lamp/level/set 7", SOON).unwrap();
        self.shows_presence(&lamp);
    }

    fn shows_presence(&self, lamp: &str) {
        let alice = self.alice();
        let mark = alice.mark();
        alice.send(&format!("<presence type='subscribe' to='{lamp}'/>")).unwrap();
        // The consent itself goes only to clients that asked for their contact list; the presence that follows goes to all.
        let is_shown =
            |stanza: &str| stanza.contains("<presence") && stanza.contains(lamp) && !stanza.contains("type=");
        alice.wait_stanza(mark, is_shown).expect("the lamp is there");
        let card = format!("<iq type='get' id='card' to='{lamp}'><vCard xmlns='vcard-temp'/></iq>");
        assert!(alice.exchange("card", &card).unwrap().contains("lamp"));
    }

    fn comes_back(&mut self, service: &tombolo_dev::process::Process) {
        self.warm();
        let alice = self.alice();
        let counter = format!("counter.home@{COMPONENT}");
        let subscribe = format!(
            "<iq type='set' id='s1' to='{counter}'><subscribe xmlns='urn:nf:iot:events:1.0' id='e1' m='true'/></iq>"
        );
        assert!(alice.exchange("s1", &subscribe).unwrap().contains("accepted"));
        let (log, session, mark) = (service.lines.count(), alice.mark(), alice.mark());
        self.server.crash().unwrap();
        service.expect_from(log, "xmpp offline", SOON).unwrap();
        for number in 1..=20 {
            self.broker.publish("load/counter", &number.to_string(), false).unwrap();
        }
        service.expect_from(log, "xmpp online", SOON).unwrap();
        alice.wait_event(session, "online").unwrap();
        for number in 21..=40 {
            self.broker.publish("load/counter", &number.to_string(), false).unwrap();
        }
        alice.wait_stanza(mark, |stanza| values_in(stanza, "e1", "Count").contains(&"40".into())).expect("the last");
    }
}

/// What the counter's device publishes while its server is killed, each with a promise.
const READINGS: u32 = 1500;

impl<S: Server> Stage<S> {
    /// Kills the server in the middle of a stream of readings; gives how many came twice.
    fn loses_nothing(&mut self, service: &tombolo_dev::process::Process) -> usize {
        self.warm();
        let alice = self.alice();
        let subscribe = format!(
            "<iq type='set' id='s1' to='counter.home@{COMPONENT}'><subscribe xmlns='urn:nf:iot:events:1.0' id='e1' m='true'/></iq>"
        );
        assert!(alice.exchange("s1", &subscribe).unwrap().contains("accepted"));
        let mark = alice.mark();
        let mut device = self.broker.publisher("load/counter", false).unwrap();
        let mut publish = |range: std::ops::RangeInclusive<u32>| {
            range.for_each(|number| device.write_line(&number.to_string()).unwrap());
        };
        publish(1..=READINGS / 3);
        let has = |stanza: &str, number: u32| values_in(stanza, "e1", "Count").contains(&number.to_string());
        // Under load: some have arrived, more are on their way.
        alice.wait_stanza(mark, |stanza| has(stanza, READINGS / 30)).expect("the first");
        let log = service.lines.count();
        publish(READINGS / 3 + 1..=READINGS * 2 / 3);
        self.server.crash().unwrap();
        publish(READINGS * 2 / 3 + 1..=READINGS);
        service.expect_from(log, "xmpp online", SOON).unwrap();
        alice.wait_stanza_within(2 * SOON, mark, |stanza| has(stanza, READINGS)).expect("the last");
        let mut seen: Vec<u32> = Vec::new();
        for stanza in alice.stanzas(mark) {
            seen.extend(values_in(&stanza, "e1", "Count").iter().filter_map(|value| value.parse::<u32>().ok()));
        }
        let came = seen.len();
        seen.sort_unstable();
        seen.dedup();
        let missing: Vec<u32> = (1..=READINGS).filter(|number| seen.binary_search(number).is_err()).collect();
        assert!(missing.is_empty(), "{} of {READINGS} are missing: {missing:?}", missing.len());
        came - seen.len()
    }
}

#[test]
fn nothing_that_was_promised_is_lost_when_prosody_is_killed_under_load() {
    let mut stage = Stage::new(Prosody::start(&["alice"]).unwrap());
    let service = stage.site.run_ready().unwrap();
    println!("came twice: {}", stage.loses_nothing(&service));
}

#[test]
fn nothing_that_was_promised_is_lost_when_ejabberd_is_killed_under_load() {
    let mut stage = Stage::new(ejabberd());
    let service = stage.site.run_ready().unwrap();
    println!("came twice: {}", stage.loses_nothing(&service));
}

#[test]
fn prosody_shows_every_node_as_a_thing_of_its_own() {
    let stage = Stage::new(Prosody::start(&["alice"]).unwrap());
    let _service = stage.site.run_ready().unwrap();
    stage.serves_things();
}

#[test]
fn ejabberd_shows_every_node_as_a_thing_of_its_own() {
    let stage = Stage::new(ejabberd());
    let _service = stage.site.run_ready().unwrap();
    stage.serves_things();
}

#[test]
fn a_component_is_back_after_its_prosody_was_killed() {
    let mut stage = Stage::new(Prosody::start(&["alice"]).unwrap());
    let service = stage.site.run_ready().unwrap();
    stage.comes_back(&service);
}

#[test]
fn a_component_is_back_after_its_ejabberd_was_killed() {
    let mut stage = Stage::new(ejabberd());
    let service = stage.site.run_ready().unwrap();
    stage.comes_back(&service);
}

#[test]
fn a_wrong_secret_is_said_and_tried_again() {
    let server = Prosody::start(&["alice"]).unwrap();
    let text = format!(
        "[xmpp.component]\ndomain = \"{COMPONENT}\"\nserver = \"127.0.0.1:{}\"\nsecret = \"wrong\"\n",
        server.component_port
    );
    let site = Site::new(&text).unwrap();
    let service = site.run().unwrap();
    service.expect("refuses the secret", SOON).unwrap();
    site.await_status(|status| status["xmpp"]["state"] == "refused").unwrap();
}

fn ejabberd() -> Ejabberd {
    let components = &[COMPONENT];
    Ejabberd::start(Settings { domain: DOMAIN, accounts: &["alice"], components, ..Settings::default() }).unwrap()
}
