//! The usual stage of an end-to-end test: an XMPP server, a broker, and tombolo between them.
//!
//! Owns the operator's file that most tests share. Alice may do everything; no rule names Mallory.

use serde_json::Value;
use tombolo_dev::Outcome;
use tombolo_dev::broker::Broker;
use tombolo_dev::place;
use tombolo_dev::process::Process;

use crate::peer::Peer;
use crate::prosody::{DOMAIN, PASSWORD, Prosody};
use crate::service::Site;

/// The service's full JID.
pub const SERVICE: &str = "bridge@test.localhost/tombolo";
/// May do everything.
pub const ALICE: &str = "alice@test.localhost/phone";
/// Named by no rule.
pub const MALLORY: &str = "mallory@test.localhost/phone";

/// Devices that are declared rather than discovered: a counter, a lamp with two parameters, and a meter that is only read.
pub const DEVICES: &str = r#"
[[bridges.home.settings.devices]]
node = "counter"
fields = [{ name = "Count", topic = "load/counter", type = "int64" }]

[[bridges.home.settings.devices]]
node = "lamp"
[[bridges.home.settings.devices.fields]]
name = "Power"
topic = "lamp/power"
type = "boolean"
command = { topic = "lamp/power/set" }
[[bridges.home.settings.devices.fields]]
name = "Level"
topic = "lamp/level"
type = "int32"
command = { topic = "lamp/level/set", minimum = 0, maximum = 100 }

[[bridges.home.settings.devices]]
node = "rooms/{room}/climate"
fields = [{ name = "Temperature", topic = "rooms/{room}/climate", pointer = "/t", type = "quantity", unit = "°C" }]
"#;

/// What Alice may.
pub const RULES: &str = r#"
[[allow]]
who = ["alice@test.localhost"]
may = ["see", "read", "control"]
nodes = ["home/*"]
"#;

/// An XMPP server, a broker, and a directory for tombolo.
pub struct World {
    /// The service's directory.
    pub site: Site,
    /// Between tombolo and the devices.
    pub broker: Broker,
    /// Between tombolo and its users.
    pub server: Prosody,
}

impl World {
    /// Starts both servers and prepares the directory with the MQTT plugin; tombolo is not started yet.
    pub fn new() -> Outcome<Self> {
        let server = Prosody::start(&["bridge", "alice", "mallory"])?;
        let broker = Broker::start(&place::scratch()?, "")?;
        let site = Site::new(&configuration(&server, broker.port, DEVICES, RULES))?;
        site.install("mqtt")?;
        Ok(Self { site, broker, server })
    }

    /// The same, and tombolo at work.
    pub fn running() -> Outcome<(Self, Process)> {
        let world = Self::new()?;
        let service = world.site.run_ready()?;
        Ok((world, service))
    }

    /// Writes the operator's file anew.
    pub fn configure(&self, devices: &str, rules: &str) -> Outcome<()> {
        let text = configuration(&self.server, self.broker.port, devices, rules);
        self.site.write("tombolo.toml", text.as_bytes())
    }

    /// Logs in to the server, and sends the service a presence: from its capabilities it knows slixmpp and serves its older types.
    pub fn peer(&self, jid: &str) -> Outcome<Peer> {
        let peer = Peer::on(&self.server, jid)?;
        peer.ask("greet", serde_json::json!({"to": SERVICE}))?;
        Ok(peer)
    }

    /// A command of tombolo's as this user: code, output, errors.
    pub fn command(&self, jid: &str, arguments: &[&str]) -> Outcome<crate::service::Ended> {
        let login = self.login(jid);
        let arguments: Vec<&str> = arguments.iter().copied().chain(login.iter().map(String::as_str)).collect();
        self.site.command(&arguments, &[("TOMBOLO_PASSWORD", PASSWORD)])
    }

    /// A command that goes on, as this user.
    pub fn follow(&self, jid: &str, arguments: &[&str]) -> Outcome<Process> {
        let login = self.login(jid);
        let arguments: Vec<&str> = arguments.iter().copied().chain(login.iter().map(String::as_str)).collect();
        self.site.follow(&arguments, &[("TOMBOLO_PASSWORD", PASSWORD)])
    }

    fn login(&self, jid: &str) -> [String; 6] {
        let ca = self.server.ca.display().to_string();
        // Without the resource: it belongs to the session of the same user's other client.
        let bare = jid.split('/').next().unwrap_or(jid);
        ["--as".into(), bare.into(), "--server".into(), self.server.server(), "--ca".into(), ca]
    }

    /// Waits until the bridge shows this many nodes.
    pub fn await_nodes(&self, count: u64) -> Outcome<()> {
        self.site.await_status(|status| status["bridges"][0]["nodes"].as_u64().is_some_and(|nodes| nodes >= count))
    }

    /// Waits until a readout by slixmpp gives this value.
    pub fn await_value(&self, peer: &Peer, node: &str, field: &str, value: &str) -> Outcome<()> {
        let deadline = std::time::Instant::now() + crate::service::SOON;
        loop {
            let answer =
                peer.ask("read", serde_json::json!({"to": SERVICE, "nodes": [node], "flags": {"momentary": "true"}}))?;
            if values(&answer).iter().any(|seen| seen == &(node.into(), field.into(), value.into())) {
                return Ok(());
            }
            if std::time::Instant::now() > deadline {
                return Err(format!("{node} {field} did not become {value}: {answer}").into());
            }
        }
    }
}

/// Node, field and value of everything in an answer of `peer.py` to `read`.
pub fn values(answer: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let parts = all(&answer["seen"]).into_iter();
    parts
        .flat_map(|part| {
            let node = text(&part["node"]);
            all(&part["fields"])
                .into_iter()
                .map(move |field| (node.clone(), text(&field["name"]), text(&field["value"])))
        })
        .collect()
}

/// The operator's file.
pub fn configuration(server: &Prosody, broker: u16, devices: &str, rules: &str) -> String {
    format!(
        r#"[xmpp]
jid = "bridge@{DOMAIN}"
password = "{PASSWORD}"
server = "{}"
ca = "{}"

[bridges.home]
plugin = "mqtt"
[bridges.home.endpoints]
broker = {{ connect = "mqtt://127.0.0.1:{broker}" }}
{devices}{rules}"#,
        server.server(),
        server.ca.display()
    )
}
