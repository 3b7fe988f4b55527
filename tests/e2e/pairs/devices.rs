//! Who is switched in the test of pairs: a device of each protocol by a library that nobody here wrote, off when it starts.

use std::rc::Rc;

use serde_json::{Value, json};
use tombolo_dev::process::{Process, bound};
use tombolo_dev::{Outcome, place};
use tombolo_tests::acme::Acme;
use tombolo_tests::service::SOON;
use tombolo_tests::upnp::{Light, point};

use super::{HOP, Island};
use crate::lwm2m::script;

/// The AE whose heating it is.
const KETTLE: &str = "Ckettle";

/// Something that can be switched.
pub(super) trait Device {
    /// What it is told counts from now on.
    fn listens(&mut self);
    /// Waits until it was switched, and has said so in its own protocol.
    fn is_switched(&mut self, on: bool) -> Outcome<()>;
}

/// A device that says in a line what it was told.
pub(super) struct Told {
    process: Process,
    words: [&'static str; 2],
    mark: usize,
    _light: Option<Light>,
}

impl Told {
    fn new(process: Process, words: [&'static str; 2]) -> Self {
        Self { process, words, mark: 0, _light: None }
    }

    /// A relay by a library of the Homie convention, version 5.
    pub(super) fn relay(broker: u16) -> Outcome<Self> {
        let mut command = bound(place::target()?.join("devices-2/bin/python"));
        command.arg(place::root().join("tests/e2e/devices.py")).args(["homie5", &broker.to_string()]);
        Ok(Self::new(Process::start("ebus_sdk", command)?, ["told on false", "told on true"]))
    }

    /// A light of coap-node.
    pub(super) fn coap_node(server: u16) -> Self {
        Self::new(script("lwm2m_device.js", &[&server.to_string()]), ["light false", "light true"])
    }

    /// A light of GUPnP; whether it is on is seen by a control point that is none of ours.
    pub(super) fn gupnp() -> Outcome<Self> {
        let light = Light::start(Island::Upnp.label())?;
        let watcher = point(Island::Upnp.label())?;
        watcher.expect("event Status False", SOON)?;
        Ok(Self { _light: Some(light), ..Self::new(watcher, ["event Status False", "event Status True"]) })
    }
}

impl Device for Told {
    fn listens(&mut self) {
        self.mark = self.process.lines.count();
    }

    fn is_switched(&mut self, on: bool) -> Outcome<()> {
        self.process.expect_from(self.mark, self.words[usize::from(on)], HOP).map(|_| ())
    }
}

/// An AE that looks for commands in a container of its own and says its state in another.
pub(super) struct Kettle(Rc<Acme>);

impl Kettle {
    pub(super) fn new(cse: Rc<Acme>) -> Outcome<Self> {
        let open = json!(["cse-in/open"]);
        let ae = json!({"m2m:ae": {"rn": "kettle", "api": "Nkettle", "rr": false, "srv": ["3"], "acpi": open}});
        cse.create(KETTLE, "cse-in", 2, &ae)?;
        for (parent, name) in [("cse-in/kettle", "heater"), ("cse-in/kettle/heater", "command")] {
            cse.create(KETTLE, parent, 3, &json!({"m2m:cnt": {"rn": name, "acpi": open}}))?;
        }
        cse.say(KETTLE, "cse-in/kettle/heater", "false")?;
        Ok(Self(cse))
    }
}

impl Device for Kettle {
    fn listens(&mut self) {}

    fn is_switched(&mut self, on: bool) -> Outcome<()> {
        let value = on.to_string();
        let is_it = |told: &Value| told["con"] == *value;
        self.0.await_attributes(KETTLE, "cse-in/kettle/heater/command/la", is_it)?;
        self.0.say(KETTLE, "cse-in/kettle/heater", &value).map(|_| ())
    }
}
