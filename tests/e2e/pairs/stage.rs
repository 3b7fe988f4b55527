//! The stage of the test of pairs: one network with a broker, a CSE, a foreign LwM2M server and UPnP; a host `far` whose bridges have the
//! devices, and a host `near` whose bridges show them, each in the other three protocols. Between the hosts is an XMPP server.

use std::rc::Rc;

use tombolo_dev::broker::Broker;
use tombolo_dev::process::{Process, Scratch, bound, free_port};
use tombolo_dev::{Outcome, place};
use tombolo_tests::acme::Acme;
use tombolo_tests::prosody::{DOMAIN, PASSWORD, Prosody};
use tombolo_tests::service::{SOON, Site, rebuilt};
use tombolo_tests::upnp::{ADDRESS, INTERFACE, interface};

use super::Island;
use super::clients::{self, Client, DASHBOARD, SHOWN};
use super::devices::{Device, Kettle, Told};
use crate::lwm2m::script;

const PLUGINS: [&str; 4] = ["mqtt", "lwm2m", "onem2m", "upnp"];

/// A host at work.
pub(super) struct Host {
    pub(super) site: Site,
    pub(super) service: Process,
}

/// Everything that runs, those first that end first.
pub(super) struct Stage {
    pub(super) near: Host,
    pub(super) far: Host,
    pub(super) broker: Rc<Broker>,
    pub(super) wire: Process,
    _scratch: Scratch,
    _server: Prosody,
}

/// Who acts, in the order of [`Island::ALL`].
pub(super) struct Actors {
    pub(super) devices: [Box<dyn Device>; 4],
    pub(super) mqtt: clients::Mqtt,
    pub(super) lwm2m: clients::Lwm2m,
    pub(super) onem2m: clients::OneM2m,
    pub(super) upnp: clients::Upnp,
}

impl Actors {
    pub(super) fn client(&mut self, of: Island) -> &mut dyn Client {
        match of {
            Island::Mqtt => &mut self.mqtt,
            Island::Lwm2m => &mut self.lwm2m,
            Island::OneM2m => &mut self.onem2m,
            Island::Upnp => &mut self.upnp,
        }
    }
}

impl Host {
    fn start(text: &str) -> Outcome<Self> {
        let site = Site::new(text)?;
        PLUGINS.iter().try_for_each(|plugin| site.install(plugin))?;
        let service = site.run()?;
        Ok(Self { site, service })
    }

    /// Replaces every plugin by a newer build; what another host had compiled is not compiled again.
    pub(super) fn swap_all(&self) -> Outcome<()> {
        for plugin in PLUGINS {
            self.site.install(plugin)?;
            let mark = self.service.lines.count();
            self.site.write(&format!("plugins/{plugin}.wasm"), &rebuilt(plugin, "newer")?)?;
            self.service.expect_from(mark, "plugin swapped", SOON)?;
        }
        self.site.await_ready()
    }
}

impl Stage {
    pub(super) fn new() -> Outcome<(Self, Actors)> {
        interface()?;
        let mut command = bound(place::python()?);
        command.arg(place::root().join("tests/e2e/wire.py"));
        let wire = Process::start("wire", command)?;
        wire.expect("listens", SOON)?;
        let parent = place::scratch()?;
        let scratch = Scratch::new(&parent, "pairs")?;
        let server = Prosody::start(&["near", "far"])?;
        let broker = Rc::new(Broker::start(&parent, "log_type subscribe\n")?);
        let cse = Rc::new(Acme::start(&parent)?);
        let dashboard =
            serde_json::json!({"m2m:ae": {"rn": "dashboard", "api": "Ndashboard", "rr": false, "srv": ["3"]}});
        cse.create(DASHBOARD, "cse-in", 2, &dashboard)?;
        let kettle = Kettle::new(cse.clone())?;
        let (field, upstream) = (free_port()?, free_port()?);
        let database = scratch.path().join("coap.db");
        let shepherd = script("lwm2m_server.js", &[&upstream.to_string(), &database.to_string_lossy()]);
        shepherd.expect("ready", SOON)?;

        let far = Host::start(&far(&server, &broker, &cse, field)?)?;
        let near = Host::start(&near(&server, &broker, &cse, upstream)?)?;
        [&far, &near].into_iter().try_for_each(|host| host.site.await_ready())?;
        let [relay, light, lamp] = [Told::relay(broker.port)?, Told::coap_node(field), Told::gupnp()?];
        let actors = Actors {
            devices: [Box::new(relay), Box::new(light), Box::new(kettle), Box::new(lamp)],
            mqtt: clients::Mqtt::new(broker.clone())?,
            lwm2m: clients::Lwm2m::new(shepherd),
            onem2m: clients::OneM2m::new(cse),
            upnp: clients::Upnp::new(&[Island::Mqtt, Island::Lwm2m, Island::OneM2m])?,
        };
        Ok((Self { near, far, broker, wire, _scratch: scratch, _server: server }, actors))
    }
}

fn account(server: &Prosody, name: &str) -> String {
    format!(
        "[xmpp]\njid = \"{name}@{DOMAIN}\"\npassword = \"{PASSWORD}\"\nserver = \"{}\"\nca = \"{}\"\n",
        server.server(),
        server.ca.display()
    )
}

/// What both hosts have alike: endpoints of MQTT, oneM2M and UPnP.
fn endpoints(cse: &Acme, broker: &Broker) -> Outcome<[String; 3]> {
    let (told, served) = (free_port()?, free_port()?);
    Ok([
        format!("broker = {{ connect = \"mqtt://127.0.0.1:{}\" }}", broker.port),
        format!(
            "cse = {{ connect = \"http://127.0.0.1:{}\" }}, notifications = {{ serve = \"http://127.0.0.1:{told}\" }}",
            cse.port
        ),
        format!(
            "ssdp = {{ group = \"239.255.255.250:1900\", interface = \"{INTERFACE}\" }}, \
             devices = {{ connect = \"http://10.77.0.0/24:*\" }}, serve = {{ serve = \"http://{ADDRESS}:{served}\" }}"
        ),
    ])
}

fn far(server: &Prosody, broker: &Broker, cse: &Acme, field: u16) -> Outcome<String> {
    let [broker, cse, upnp] = endpoints(cse, broker)?;
    Ok(format!(
        r#"{}
[bridges.home]
plugin = "mqtt"
endpoints = {{ {broker} }}
settings = {{ client_id = "bridge-far", conventions = ["homie"] }}
[bridges.field]
plugin = "lwm2m"
endpoints = {{ server = {{ listen = "coap://127.0.0.1:{field}" }} }}
[bridges.plant]
plugin = "onem2m"
endpoints = {{ {cse} }}
settings = {{ ae_name = "far", roots = ["kettle"] }}
[bridges.house]
plugin = "upnp"
endpoints = {{ {upnp} }}
settings = {{ search_s = 10 }}
[[allow]]
who = ["near@{DOMAIN}"]
may = ["see", "read", "control"]
nodes = ["*"]
"#,
        account(server, "far")
    ))
}

fn near(server: &Prosody, broker: &Broker, cse: &Acme, upstream: u16) -> Outcome<String> {
    let [broker, cse, upnp] = endpoints(cse, broker)?;
    let others = |own: Island| {
        let others = Island::ALL.into_iter().filter(|island| *island != own);
        others.map(|island| format!("\"far@{DOMAIN}/{}/*\"", island.bridge())).collect::<Vec<_>>().join(", ")
    };
    let [mqtt, lwm2m, onem2m, house] = Island::ALL.map(others);
    Ok(format!(
        r#"{}
[bridges.home]
plugin = "mqtt"
mirror = [{mqtt}]
endpoints = {{ {broker} }}
settings = {{ client_id = "bridge-near", conventions = [] }}
[bridges.field]
plugin = "lwm2m"
mirror = [{lwm2m}]
endpoints = {{ upstream = {{ connect = "coap://127.0.0.1:{upstream}" }} }}
settings = {{ upstream = {{ endpoint = "near", version = "1.0" }} }}
[bridges.plant]
plugin = "onem2m"
mirror = [{onem2m}]
endpoints = {{ {cse} }}
settings = {{ ae_name = "{SHOWN}", roots = ["nothing"], mirror_controllers = ["{DASHBOARD}"] }}
[bridges.house]
plugin = "upnp"
mirror = [{house}]
endpoints = {{ {upnp} }}
settings = {{ device_types = ["none"] }}
[[allow]]
who = ["far@{DOMAIN}"]
may = ["see"]
nodes = ["*"]
"#,
        account(server, "near")
    ))
}
