//! Who commands in the test of pairs: a client of each protocol that knows nothing else, and what it sees of the others' devices.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use serde_json::Value;
use tombolo_dev::Outcome;
use tombolo_dev::broker::Broker;
use tombolo_dev::process::Process;
use tombolo_tests::acme::Acme;
use tombolo_tests::upnp::point;

use super::{HOP, Island};

/// Of the AE that commands, and of the one that shows things of others.
pub(super) const DASHBOARD: &str = "Cdashboard";
pub(super) const SHOWN: &str = "near";

/// Somebody who knows one protocol only, and others' devices as they stand in it.
pub(super) trait Client {
    /// Waits until the device is shown here and says that it is off.
    fn find(&mut self, device: Island) -> Outcome<()>;
    /// Tells it to switch and does not wait.
    fn command(&mut self, device: Island, on: bool) -> Outcome<()>;
    /// Waits until the command is said to be done, where the protocol says such a thing.
    fn hears_of_the_end(&mut self, device: Island, on: bool) -> Outcome<()>;
    /// Waits until the device says here that it is so.
    fn sees(&mut self, device: Island, on: bool) -> Outcome<()>;
}

/// `mosquitto_pub` and `mosquitto_sub`.
pub(super) struct Mqtt {
    broker: Rc<Broker>,
    heard: Process,
    topics: BTreeMap<Island, String>,
    mark: usize,
}

impl Mqtt {
    pub(super) fn new(broker: Rc<Broker>) -> Outcome<Self> {
        let heard = broker.subscriber("tombolo/#", |_| {})?;
        Ok(Self { broker, heard, topics: BTreeMap::new(), mark: 0 })
    }
}

impl Client for Mqtt {
    fn find(&mut self, device: Island) -> Outcome<()> {
        let begins = format!("tombolo/{}", device.address());
        let ends = format!("/state/{} OFF", device.field().replace('/', "%2F"));
        let line = self.heard.lines.wait_from(0, HOP, |line| line.starts_with(&begins) && line.ends_with(&ends));
        let line = line.ok_or_else(|| format!("no {begins}...{ends}: {:?}", self.heard.lines.all()))?;
        self.topics.extend(line.split(' ').next().map(|topic| (device, topic.to_owned())));
        Ok(())
    }

    fn command(&mut self, device: Island, on: bool) -> Outcome<()> {
        self.mark = self.heard.lines.count();
        let payload = if on { "ON" } else { "OFF" };
        self.broker.publish(&self.topics[&device].replace("/state/", "/set/"), payload, false)
    }

    fn hears_of_the_end(&mut self, _: Island, _: bool) -> Outcome<()> {
        Ok(())
    }

    fn sees(&mut self, device: Island, on: bool) -> Outcome<()> {
        let line = format!("{} {}", self.topics[&device], if on { "ON" } else { "OFF" });
        self.heard.expect_from(self.mark, &line, HOP).map(|_| ())
    }
}

/// A server of coap-shepherd, at which the things of others are instances of Actuation (3306).
pub(super) struct Lwm2m {
    server: Process,
    instances: BTreeMap<Island, u16>,
    mark: usize,
}

impl Lwm2m {
    pub(super) const fn new(server: Process) -> Self {
        Self { server, instances: BTreeMap::new(), mark: 0 }
    }

    fn ask(&mut self, request: &str) -> Outcome<String> {
        let mark = self.server.lines.count();
        self.server.write_line(request)?;
        let is_answer = |line: &str| line.starts_with("answer") || line.starts_with("error");
        self.server.lines.wait_from(mark, HOP, is_answer).ok_or_else(|| format!("{request} was not answered").into())
    }

    /// Asks who is behind each instance until one is the device.
    fn instance_of(&mut self, device: Island) -> Outcome<u16> {
        let who = |instance| format!("read /3306/{instance}/5750");
        let asked = until(|| {
            for instance in 0..3 {
                if self.ask(&who(instance))?.contains(&device.address()) {
                    return Ok(Some(instance));
                }
            }
            Ok(None)
        })?;
        asked.ok_or_else(|| format!("no instance is {}: {:?}", device.address(), self.server.lines.all()).into())
    }
}

/// Looks again until there is something.
fn until<T>(mut look: impl FnMut() -> Outcome<Option<T>>) -> Outcome<Option<T>> {
    let deadline = Instant::now() + HOP;
    loop {
        match look()? {
            None if Instant::now() < deadline => {}
            seen => return Ok(seen),
        }
    }
}

impl Client for Lwm2m {
    fn find(&mut self, device: Island) -> Outcome<()> {
        let instance = self.instance_of(device)?;
        self.instances.insert(device, instance);
        let observe = format!("observe /3306/{instance}/5850");
        // There is nothing to be observed before the first value.
        let is_off = until(|| Ok(self.ask(&observe)?.ends_with("2.05 false").then_some(())))?;
        is_off.ok_or_else(|| format!("{:?}", self.server.lines.all()).into())
    }

    fn command(&mut self, device: Island, on: bool) -> Outcome<()> {
        self.mark = self.server.lines.count();
        self.server.write_line(&format!("write /3306/{}/5850 {on}", self.instances[&device]))
    }

    fn hears_of_the_end(&mut self, device: Island, _: bool) -> Outcome<()> {
        let answer = format!("answer write /3306/{}/5850 2.04", self.instances[&device]);
        self.server.expect_from(self.mark, &answer, HOP).map(|_| ())
    }

    fn sees(&mut self, device: Island, on: bool) -> Outcome<()> {
        let line = format!(r#"{{"path":"/actuation/{}/onOff","value":{on}}}"#, self.instances[&device]);
        self.server.expect_from(self.mark, &line, HOP).map(|_| ())
    }
}

/// An application entity that creates content instances in command containers.
pub(super) struct OneM2m {
    cse: Rc<Acme>,
    /// Of the thing, and of its field.
    containers: BTreeMap<Island, (String, String)>,
    /// The last command.
    command: Value,
}

impl OneM2m {
    pub(super) const fn new(cse: Rc<Acme>) -> Self {
        Self { cse, containers: BTreeMap::new(), command: Value::Null }
    }

    /// Goes by the labels: which container is of the thing, and which one in it of the field.
    fn look(&self, device: Island) -> Outcome<Option<(String, String)>> {
        let labelled = |root: &str, label: &str| -> Outcome<Option<String>> {
            let found = self.cse.discover(DASHBOARD, root)?;
            let has_label = |address: &&String| {
                let labels = self.cse.get(DASHBOARD, address).unwrap_or_default()["lbl"].clone();
                let mut labels = labels.as_array().into_iter().flatten().filter_map(Value::as_str);
                labels.any(|one| one.starts_with(label))
            };
            Ok(found.iter().find(has_label).cloned())
        };
        let Some(thing) = labelled(&format!("cse-in/{SHOWN}"), &format!("thing:{}", device.address()))? else {
            return Ok(None);
        };
        let field = labelled(&thing, &format!("field:{}", device.field()))?;
        Ok(field.map(|field| (thing, field)))
    }
}

impl Client for OneM2m {
    fn find(&mut self, device: Island) -> Outcome<()> {
        let found = until(|| self.look(device))?.ok_or_else(|| format!("{} is not shown", device.address()))?;
        self.containers.insert(device, found);
        self.sees(device, false)
    }

    fn command(&mut self, device: Island, on: bool) -> Outcome<()> {
        let content = serde_json::json!({ device.field(): on }).to_string();
        self.command = self.cse.say(DASHBOARD, &format!("{}/command", self.containers[&device].0), &content)?;
        Ok(())
    }

    fn hears_of_the_end(&mut self, device: Island, _: bool) -> Outcome<()> {
        let result = format!("{}/result/la", self.containers[&device].0);
        let content = |told: &Value| -> Value {
            serde_json::from_str(told["con"].as_str().unwrap_or_default()).unwrap_or_default()
        };
        let is_its = |told: &Value| content(told)["command"] == self.command["ri"];
        let told = self.cse.await_attributes(DASHBOARD, &result, is_its)?;
        if content(&told)["outcome"] == "done" { Ok(()) } else { Err(told.to_string().into()) }
    }

    fn sees(&mut self, device: Island, on: bool) -> Outcome<()> {
        let newest = format!("{}/la", self.containers[&device].1);
        let value = on.to_string();
        self.cse.await_attributes(DASHBOARD, &newest, |told| told["con"] == *value).map(|_| ())
    }
}

/// Control points of async-upnp-client, one for each device.
#[derive(Default)]
pub(super) struct Upnp {
    points: BTreeMap<Island, Process>,
    mark: usize,
}

impl Upnp {
    /// Starts looking for these.
    pub(super) fn new(devices: &[Island]) -> Outcome<Self> {
        let points: Outcome<_> = devices.iter().map(|device| Ok((*device, point(device.label())?))).collect();
        Ok(Self { points: points?, mark: 0 })
    }

    /// Renews every subscription, which must be known by the id that it had.
    pub(super) fn renews(&mut self) -> Outcome<()> {
        for point in self.points.values_mut() {
            point.write_line("renew")?;
            point.expect("renewed the same", HOP)?;
        }
        Ok(())
    }
}

impl Client for Upnp {
    fn find(&mut self, device: Island) -> Outcome<()> {
        self.points[&device].expect("event Status False", HOP).map(|_| ())
    }

    fn command(&mut self, device: Island, on: bool) -> Outcome<()> {
        let point = self.points.get_mut(&device).ok_or("nobody looks for it")?;
        self.mark = point.lines.count();
        point.write_line(if on { "on" } else { "off" })
    }

    fn hears_of_the_end(&mut self, device: Island, on: bool) -> Outcome<()> {
        let word = if on { "did on" } else { "did off" };
        self.points[&device].expect_from(self.mark, word, HOP).map(|_| ())
    }

    fn sees(&mut self, device: Island, on: bool) -> Outcome<()> {
        let told = if on { "event Status True" } else { "event Status False" };
        self.points[&device].expect_from(self.mark, told, HOP).map(|_| ())
    }
}
