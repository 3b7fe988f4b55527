//! A device and its object instances, as far as they are known. Owns how they are shown as nodes: the device, below it one node for each
//! instance, whose fields are what Discover and Read brought to light.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use tombolo_sdk::model::Extra;
use tombolo_sdk::{
    Actions, Command, Field, FieldKinds, Node, NodeNumber, NodeState, Readout, Sample, Timestamp, Value, ValueType,
};

use super::operations::{Current, Operation};
use super::registration::{Offer, Version};
use crate::codec::{Datum, Path};
use crate::dictionary::{Dictionary, Kind, Resource};
use crate::mapping::{fields, value};
use crate::session::{Address, Token};

/// Fields of one instance; a device that invents more is not followed.
const FIELDS_MAX: usize = 200;
/// Object Device, whose texts are what discovery shows (XEP-0347 §3.4).
pub(super) const DEVICE_OBJECT: u16 = 3;
const TAGS: &[(u16, &str)] = &[(0, "MAN"), (1, "MODEL"), (2, "SN"), (3, "V")];

/// A device that registered, now or some time ago.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Device {
    pub(super) number: NodeNumber,
    pub(super) endpoint: String,
    /// The last segment of the registration's location, which only the device knows.
    pub(super) location: String,
    pub(super) address: Address,
    pub(super) identity: Option<String>,
    pub(super) version: Version,
    pub(super) binding: String,
    pub(super) is_queue: bool,
    pub(super) lifetime_s: u32,
    pub(super) offer: Offer,
    pub(super) is_registered: bool,
    /// Whether it answered last time.
    pub(super) is_reachable: bool,
    pub(super) registered_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) heard_at: Timestamp,
    pub(super) instances: BTreeMap<Path, Instance>,
    /// What waits for its turn: a device is asked one thing at a time (RFC 7252 §4.7).
    pub(super) operations: VecDeque<Operation>,
    pub(super) current: Option<Current>,
    /// Which of the formats for writing is tried first: that of its answers, then the one that it took.
    pub(super) writes: usize,
    #[serde(default)]
    pub(super) has_written: bool,
    pub(super) has_composite: bool,
    /// Whether it may know Observe-Composite.
    #[serde(default)]
    pub(super) observes_together: bool,
    /// Of its Device object.
    tags: BTreeMap<String, String>,
    /// Said once.
    pub(super) is_warned: bool,
}

/// An object instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Instance {
    pub(super) number: NodeNumber,
    pub(super) path: Path,
    /// In the order of the node's fields.
    shown: Vec<Shown>,
    executable: Vec<u16>,
    /// What the device says of its unit.
    unit: Option<String>,
    pub(super) is_wanted: bool,
    pub(super) observing: Vec<(Path, Token)>,
    /// The device reads single resources only.
    #[serde(default)]
    pub(super) is_split: bool,
    /// The device does not observe it together with others.
    #[serde(default)]
    pub(super) is_alone: bool,
    /// It cannot be observed: when it is read next.
    pub(super) poll_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Shown {
    resource: u16,
    sub: Option<u16>,
    kind: Kind,
}

impl Device {
    pub(super) fn new(number: NodeNumber, endpoint: &str) -> Self {
        Self {
            number,
            endpoint: endpoint.to_owned(),
            location: String::new(),
            address: Address::new(),
            identity: None,
            version: Version::V1_0,
            binding: "U".into(),
            is_queue: false,
            lifetime_s: super::registration::LIFETIME_S,
            offer: Offer::default(),
            is_registered: false,
            is_reachable: false,
            registered_at: 0,
            expires_at: 0,
            heard_at: 0,
            instances: BTreeMap::new(),
            operations: VecDeque::new(),
            current: None,
            writes: 0,
            has_written: false,
            has_composite: true,
            observes_together: true,
            tags: BTreeMap::new(),
            is_warned: false,
        }
    }

    pub(super) fn state(&self) -> NodeState {
        if self.is_registered && self.is_reachable { NodeState::Online } else { NodeState::Offline }
    }

    /// What of it is kept for the next run: what it is, not what is under way.
    pub(super) fn checkpoint(&self) -> Self {
        let mut device = Self { operations: VecDeque::new(), current: None, ..self.clone() };
        device.instances.values_mut().for_each(|instance| instance.is_wanted = false);
        device
    }

    /// The node's id, or what those of instances begin with.
    pub(super) fn id(endpoint: &str) -> String {
        endpoint.replace('%', "%25").replace('/', "%2F")
    }

    pub(super) fn node(&self) -> Node {
        let extras = self.tags.iter().map(|(key, value)| Extra { key: key.clone(), value: value.clone() });
        Node {
            label: self.endpoint.clone(),
            state: self.state(),
            extras: extras.collect(),
            ..Node::new(self.number, &Self::id(&self.endpoint), "lwm2m.device", registration_fields())
        }
    }

    /// What the registration says.
    pub(super) fn samples(&self) -> Vec<Sample> {
        let version = if self.version == Version::V1_1 { "1.1" } else { "1.0" };
        let mut samples = vec![
            Sample::new(0, version),
            Sample::new(1, self.binding.as_str()),
            Sample::new(2, tombolo_sdk::Decimal::new(self.lifetime_s.into(), 0)),
            Sample::new(3, Value::Instant(self.registered_at)),
        ];
        samples.extend(self.identity.as_ref().map(|identity| Sample::new(4, identity.as_str())));
        samples
    }

    pub(super) fn put_all(&self, dictionary: &Dictionary, now: Timestamp, out: &mut Actions) {
        out.put_node(self.node());
        out.report(self.number, now, self.samples());
        self.instances.values().for_each(|instance| out.put_node(instance.node(self, dictionary)));
    }

    pub(super) fn tell_state(&self, out: &mut Actions) {
        let state = self.state();
        out.node_state(self.number, state);
        self.instances.values().for_each(|instance| out.node_state(instance.number, state));
    }

    /// Keeps what discovery shows; gives whether it is new.
    pub(super) fn keep_tag(&mut self, path: Path, datum: &Datum) -> bool {
        let tag = TAGS.iter().find(|(id, _)| path.object() == Some(DEVICE_OBJECT) && path.resource() == Some(*id));
        let Some((_, key)) = tag else { return false };
        let Some(Value::Text(text)) = value::read(Kind::String, false, datum) else { return false };
        let text: String = text.chars().filter(|character| !character.is_control()).take(200).collect();
        self.tags.insert((*key).to_owned(), text.clone()).is_none_or(|before| before != text)
    }

    /// The token under which something is observed.
    pub(super) fn observing(&self, path: Path) -> Option<Token> {
        let instance = self.instances.get(&path.up_to(2))?;
        instance.observing.iter().find(|(own, _)| *own == path).map(|(_, token)| *token)
    }
}

fn registration_fields() -> Vec<Field> {
    vec![
        Field::new("LwM2M Version", ValueType::Text).kinds(FieldKinds::IDENTITY),
        Field::new("Binding", ValueType::Text).kinds(FieldKinds::STATUS),
        Field::quantity("Lifetime", "s").kinds(FieldKinds::STATUS),
        Field::new("Registered", ValueType::Instant).kinds(FieldKinds::STATUS),
        Field::new("Identity", ValueType::Text).kinds(FieldKinds::IDENTITY),
    ]
}

impl Instance {
    /// With what every instance of its object has.
    pub(super) fn new(number: NodeNumber, path: Path, dictionary: &Dictionary) -> Self {
        let mut instance = Self {
            number,
            path,
            shown: Vec::new(),
            executable: Vec::new(),
            unit: None,
            is_wanted: false,
            observing: Vec::new(),
            is_alone: false,
            is_split: false,
            poll_at: None,
        };
        let object = instance.object();
        instance.learn(&dictionary.expected(object), dictionary);
        instance
    }

    fn object(&self) -> u16 {
        self.path.object().unwrap_or_default()
    }

    /// It has these resources, and no others.
    pub(super) fn learn(&mut self, resources: &[u16], dictionary: &Dictionary) {
        let object = self.object();
        let all = resources.iter().map(|id| dictionary.resource(object, *id));
        let before = std::mem::take(&mut self.shown);
        self.executable.clear();
        for resource in all {
            if resource.is_executable {
                self.executable.push(resource.id);
            }
            let known = before.iter().filter(|shown| shown.resource == resource.id);
            let first = self.shown.len();
            self.shown.extend(known.copied());
            // Those of several instances are shown as they come to be known.
            if self.shown.len() == first
                && resource.id != fields::SENSOR_UNITS
                && !resource.is_multiple
                && has_value(&resource)
            {
                self.shown.push(Shown { resource: resource.id, sub: None, kind: resource.kind });
            }
        }
        self.shown.truncate(FIELDS_MAX);
    }

    /// Takes a value; gives the field's place and value, and whether the node is another now.
    pub(super) fn take(&mut self, path: Path, datum: &Datum, dictionary: &Dictionary) -> (Option<Sample>, bool) {
        let Some(id) = path.resource() else { return (None, false) };
        let resource = dictionary.resource(self.object(), id);
        if id == fields::SENSOR_UNITS {
            return (None, self.take_unit(datum));
        }
        if resource.kind == Kind::Nothing {
            return (None, false);
        }
        let known = self.shown.iter().position(|shown| shown.resource == id && shown.sub == path.sub());
        let mut is_new = known.is_none();
        let at = match known {
            Some(at) => at,
            None if self.shown.len() >= FIELDS_MAX => return (None, false),
            None => {
                self.shown.push(Shown { resource: id, sub: path.sub(), kind: resource.kind });
                self.shown.len() - 1
            }
        };
        let Some(shown) = self.shown.get_mut(at) else { return (None, false) };
        if shown.kind == Kind::Unknown {
            shown.kind = value::guess(datum);
            is_new = true;
        }
        let has_unit = fields::has_unit(
            &resource,
            self.unit.as_deref(),
            Dictionary::object_unit(path.object().unwrap_or_default()),
        );
        let value = value::read(shown.kind, has_unit, datum);
        let sample = value.and_then(|value| Some(Sample::new(u16::try_from(at).ok()?, value)));
        (sample, is_new)
    }

    fn take_unit(&mut self, datum: &Datum) -> bool {
        let Some(Value::Text(text)) = value::read(Kind::String, false, datum) else { return false };
        let text: String = text.chars().filter(|character| !character.is_control()).take(40).collect();
        let is_new = self.unit.as_deref() != Some(text.as_str());
        self.unit = Some(text);
        is_new
    }

    pub(super) fn node(&self, device: &Device, dictionary: &Dictionary) -> Node {
        let id = format!("{}{}", Device::id(&device.endpoint), self.path);
        let name = dictionary
            .object_name(self.object())
            .map(|name| format!("{name} {}", self.path.instance().unwrap_or_default()));
        // A device that sleeps is not asked: its last report is the answer.
        let readout = if device.is_queue { Readout::Reported } else { Readout::OnRequest };
        Node {
            parent: Some(device.number),
            label: name.unwrap_or_default(),
            state: device.state(),
            readout,
            commands: self.commands(dictionary),
            ..Node::new(self.number, &id, &format!("lwm2m.{}", self.object()), self.fields(dictionary))
        }
    }

    fn fields(&self, dictionary: &Dictionary) -> Vec<Field> {
        let mut all: Vec<Field> = Vec::with_capacity(self.shown.len());
        for shown in &self.shown {
            let resource = dictionary.resource(self.object(), shown.resource);
            let unit = Dictionary::object_unit(self.object());
            let mut field = fields::field(&resource, shown.sub, shown.kind, self.unit.as_deref(), unit);
            fields::distinguish(&mut field.name, resource.id, |name| all.iter().any(|other| other.name == name));
            all.push(field);
        }
        all
    }

    fn commands(&self, dictionary: &Dictionary) -> Vec<Command> {
        let mut all: Vec<Command> = Vec::with_capacity(self.executable.len());
        for id in &self.executable {
            let resource = dictionary.resource(self.object(), *id);
            let mut command = fields::command(&resource);
            fields::distinguish(&mut command.name, resource.id, |name| all.iter().any(|other| other.name == name));
            all.push(command);
        }
        all
    }

    /// The executable resource that a command stands for.
    pub(super) fn executable(&self, command: &str, dictionary: &Dictionary) -> Option<Path> {
        let at = self.commands(dictionary).iter().position(|own| own.name == command)?;
        self.path.join(*self.executable.get(at)?)
    }

    /// Where a field is written, and what is written there.
    pub(super) fn setting(&self, field: u16, value: &Value, dictionary: &Dictionary) -> Option<(Path, Datum)> {
        let shown = self.shown.get(usize::from(field))?;
        let resource = dictionary.resource(self.object(), shown.resource);
        let path = self.path.join(shown.resource)?;
        let path = shown.sub.map_or(Some(path), |sub| path.join(sub))?;
        let datum = value::write(shown.kind, value)?;
        resource.is_writable.then_some((path, datum))
    }

    /// What is read to read all of it.
    pub(super) fn read_paths(&self, dictionary: &Dictionary) -> Vec<Path> {
        if self.is_split { self.readable(dictionary) } else { vec![self.path] }
    }

    /// The resources that can be read and observed one by one.
    pub(super) fn readable(&self, dictionary: &Dictionary) -> Vec<Path> {
        let mut ids: Vec<u16> = self.shown.iter().map(|shown| shown.resource).collect();
        ids.dedup();
        let is_readable = |id: &u16| dictionary.resource(self.object(), *id).is_readable;
        ids.into_iter().filter(is_readable).filter_map(|id| self.path.join(id)).collect()
    }
}

/// What can be written only has no value that could be shown, but can be set.
fn has_value(resource: &Resource) -> bool {
    (resource.is_readable || resource.is_writable) && resource.kind != Kind::Nothing
}
