//! The bridges that are compared: how each is set up and started. Each takes what is published at `bench/+` in a session that the broker
//! keeps, and sends it to one JID.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tombolo_dev::process::{Process, bound};
use tombolo_dev::{Outcome, place, say};
use tombolo_tests::service::Site;

/// The account that bridges log in with.
pub(crate) const BRIDGE: &str = "bridge";
/// Who is sent everything.
pub(crate) const RECEIVER: &str = "receiver";

const AIOMQTT: &str = "aiomqtt==2.5.1";
const NODE_RED: &str = "node-red@4";
const XMPP_JS: &str = "@xmpp/client@0.14.0";

/// Where everybody finds everybody.
#[derive(Clone, Copy)]
pub(crate) struct Places<'a> {
    /// Of the broker.
    pub(crate) mqtt: u16,
    /// Of the server, without TLS.
    pub(crate) xmpp: u16,
    /// Of the accounts.
    pub(crate) domain: &'a str,
    /// Everybody's.
    pub(crate) password: &'a str,
}

impl Places<'_> {
    fn to(&self) -> String {
        format!("{RECEIVER}@{}", self.domain)
    }

    fn jid(&self) -> String {
        format!("{BRIDGE}@{}", self.domain)
    }
}

/// One of those that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Tombolo,
    Direct,
    Python,
    NodeRed,
}

impl Contender {
    pub(crate) const ALL: [Self; 4] = [Self::Tombolo, Self::Direct, Self::Python, Self::NodeRed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tombolo => "tombolo",
            Self::Direct => "rust by hand",
            Self::Python => "python",
            Self::NodeRed => "node-red",
        }
    }

    /// What it needs, into a directory of its own. A contender that runs again finds what it left.
    pub(crate) fn set_up(self, places: Places<'_>) -> Outcome<Ready> {
        match self {
            Self::Tombolo => tombolo(places),
            Self::Direct => Ok(Ready { site: Site::new("")?, contender: self }),
            Self::Python => {
                python_has(AIOMQTT, "aiomqtt")?;
                Ok(Ready { site: Site::new("")?, contender: self })
            }
            Self::NodeRed => node_red(places),
        }
    }
}

/// A contender that can be started, again and again.
pub(crate) struct Ready {
    site: Site,
    contender: Contender,
}

impl Ready {
    /// Starts it. Whether it is at work shows by what it sends.
    pub(crate) fn start(&self, places: Places<'_>) -> Outcome<Process> {
        let arguments =
            [places.mqtt.to_string(), places.xmpp.to_string(), places.jid(), places.password.to_owned(), places.to()];
        let mut command = match self.contender {
            Contender::Tombolo => {
                let mut command = bound(release("tombolo")?);
                command.arg("run");
                command
            }
            Contender::Direct => {
                let mut command = bound(release("direct-bridge")?);
                command.args(arguments);
                command
            }
            Contender::Python => {
                let mut command = bound(place::python()?);
                command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("bridge.py")).args(arguments);
                command
            }
            Contender::NodeRed => {
                let mut command = bound("node");
                command.arg(modules()?.join("node-red/red.js")).args(["--userDir", "."]);
                // The server's certificate is its own; the others do without TLS.
                command.env("NODE_TLS_REJECT_UNAUTHORIZED", "0");
                command
            }
        };
        command.current_dir(self.site.path());
        Process::start(self.contender.name(), command)
    }
}

/// An optimised program of this workspace.
fn release(name: &str) -> Outcome<PathBuf> {
    Ok(place::target()?.join("release").join(name))
}

fn tombolo(places: Places<'_>) -> Outcome<Ready> {
    let Places { mqtt, xmpp, password, .. } = places;
    let (jid, to) = (places.jid(), places.to());
    let site = Site::new(&format!(
        r#"plugins = "plugins"
state = "state"
[xmpp]
jid = "{jid}"
password = "{password}"
server = "127.0.0.1:{xmpp}"
tls = "insecure"
[bridges.bench]
plugin = "mqtt"
endpoints.broker = {{ connect = "mqtt://127.0.0.1:{mqtt}" }}
settings.client_id = "tombolo-bench"
[[bridges.bench.settings.devices]]
node = "{{device}}"
fields = [{{ name = "payload", topic = "bench/{{device}}", type = "text" }}]
[[publish]]
nodes = ["bench/*"]
how = "message"
to = "{to}"
[[allow]]
who = ["{to}"]
may = ["see", "read"]
nodes = ["*"]
"#
    ))?;
    site.install("mqtt")?;
    Ok(Ready { site, contender: Contender::Tombolo })
}

fn python_has(package: &str, module: &str) -> Outcome<()> {
    let python = place::python()?;
    if Command::new(&python).args(["-c", &format!("import {module}")]).status()?.success() {
        return Ok(());
    }
    say(&format!("installing {package}"));
    done(Command::new(python).args(["-m", "pip", "install", "--quiet", package]))
}

/// Where Node-RED and its XMPP client are installed, once.
fn modules() -> Outcome<PathBuf> {
    Ok(place::target()?.join("node-red").join("node_modules"))
}

fn node_red(places: Places<'_>) -> Outcome<Ready> {
    if !modules()?.join("@xmpp/client").exists() {
        let directory = place::target()?.join("node-red");
        say(&format!("installing {NODE_RED} and {XMPP_JS}"));
        std::fs::create_dir_all(&directory)?;
        let mut install = Command::new("npm");
        install.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&directory);
        done(install.args([NODE_RED, XMPP_JS]))?;
    }
    let site = Site::new("")?;
    let settings = format!(
        "module.exports = {{ flowFile: 'flows.json', httpAdminRoot: false, httpNodeRoot: false, uiPort: 0, uiHost: '127.0.0.1', \
         functionGlobalContext: {{ xmpp: require({:?}) }}, logging: {{ console: {{ level: 'warn' }} }} }};\n",
        modules()?.join("@xmpp/client").display().to_string()
    );
    site.write("settings.js", settings.as_bytes())?;
    site.write("flows.json", flows(places).to_string().as_bytes())?;
    Ok(Ready { site, contender: Contender::NodeRed })
}

/// A flow as its editor would save it: the MQTT node, and a function with the XMPP client, since no node for XMPP is published any more.
fn flows(places: Places<'_>) -> serde_json::Value {
    let start = format!(
        "const {{ client, xml }} = global.get('xmpp');\n\
         const own = client({{ service: 'xmpp://127.0.0.1:{}', domain: '{}', username: '{BRIDGE}', password: '{}' }});\n\
         own.on('error', error => node.error(String(error)));\n\
         own.on('online', () => context.set('online', true));\n\
         context.set('xml', xml); context.set('client', own); own.start().catch(error => node.error(String(error)));",
        places.xmpp, places.domain, places.password
    );
    let each = format!(
        "const xml = context.get('xml'), own = context.get('client');\n\
         const text = String(msg.payload);\n\
         const send = () => own.send(xml('message', {{ to: '{}', type: 'chat' }}, xml('body', {{}}, text)));\n\
         if (context.get('online')) {{ await send(); }} else {{ own.once('online', send); }}",
        places.to()
    );
    json!([
        { "id": "flow", "type": "tab", "label": "bench" },
        { "id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": places.mqtt.to_string(), "clientid": "node-red-bench",
          "autoConnect": true, "usetls": false, "protocolVersion": "4", "keepalive": "60", "cleansession": false, "autoUnsubscribe": false },
        { "id": "in", "type": "mqtt in", "z": "flow", "topic": "bench/+", "qos": "1", "datatype": "utf8", "broker": "broker",
          "nl": false, "rap": true, "rh": 0, "inputs": 0, "wires": [["out"]] },
        { "id": "out", "type": "function", "z": "flow", "func": each, "outputs": 0, "initialize": start, "finalize": "", "libs": [], "wires": [] },
    ])
}

fn done(command: &mut Command) -> Outcome<()> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}

/// How long the slowest contender takes to be at work.
pub(crate) const UP_WITHIN: Duration = Duration::from_secs(60);
