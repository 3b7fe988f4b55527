//! Which resources a thing needs, as jobs. Owns names, labels, policies and which fields fit a module class.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tombolo_sdk::{Field, Timestamp, Value, ValueType};

use super::accept::Accepts;
use super::jobs::OURS;
use super::{COMMAND, Job, LABEL, Place, RESULT, STATE};
use crate::codec::resource::Resource;
use crate::codec::{address, net, ty};
use crate::mapping::write_value;
use crate::settings::Settings;

/// Names of our policies.
const READERS: &str = "acp-readers";
const CONTROLLERS: &str = "acp-controllers";
/// Sums of operations (TS-0004 §6.3.4.2.29): create 1, retrieve 2, update 4, notify 16, discover 32.
const MAY_CREATE: u8 = 1;
const MAY_READ: u8 = 2 + 16 + 32;
const MAY_CHANGE: u8 = MAY_READ + 4;
const MAY_ALL: u8 = 63;
/// Labels longer than this are nobody's.
const LABEL_CHARS_MAX: usize = 200;
const KEPT_BYTES_MAX: usize = 1024;

/// One field of a thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Name of its resource.
    pub(super) resource: String,
    unit: String,
    value_type: String,
    pub(super) accepts: Option<Accepts>,
    flex: Option<Flex>,
    /// What was written last.
    #[serde(default)]
    pub(super) last: Option<Json>,
    #[serde(default)]
    pub(super) last_at: Option<Timestamp>,
}

/// The module class that a field fits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flex {
    root: String,
    definition: String,
    attribute: String,
    is_number: bool,
}

impl Entry {
    /// But for the values.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let shape = |entry: &Self| Self { last: None, last_at: None, ..entry.clone() };
        shape(self) == shape(other)
    }

    /// Whether it was not written already.
    pub(super) fn is_news(&self, at: Timestamp, value: &Value) -> bool {
        self.last_at != Some(at) || self.last.as_ref() != Some(&write_value(value))
    }

    /// Large values are not kept over a restart.
    pub(super) fn forget_large(&mut self) {
        if self.last.as_ref().and_then(Json::as_str).is_some_and(|text| text.len() > KEPT_BYTES_MAX) {
            self.last = None;
        }
    }

    pub(super) fn takes_commands(&self) -> bool {
        self.accepts.is_some()
    }

    pub(super) fn has_same_place(&self, other: &Self) -> bool {
        self.resource == other.resource && self.flex == other.flex
    }

    /// Writes a value.
    pub(super) fn job(&self, text: String) -> Job {
        match &self.flex {
            Some(flex) => Job::Set {
                below: self.resource.clone(),
                body: json!({ &*flex.root: { &*flex.attribute: flex.json(&text) } }),
            },
            None => Job::Put { below: self.resource.clone(), con: Json::String(text) },
        }
    }

    /// What somebody wrote into its flexContainer.
    pub(super) fn flex_value(&self, resource: &Resource) -> Option<Json> {
        resource.attributes.get(&self.flex.as_ref()?.attribute).cloned()
    }

    pub(super) fn accept(&self, json: &Json) -> Result<Value, String> {
        let accepts = self.accepts.as_ref().ok_or_else(|| format!("field {:?} cannot be set", self.name))?;
        accepts.read(json).ok_or_else(|| format!("field {:?} expects {}", self.name, accepts.expected()))
    }
}

impl Flex {
    fn of(field: &Field) -> Option<Self> {
        let class = |class: &str, short: &str, attribute: &str, is_number: bool| {
            let definition = format!("org.onem2m.common.moduleclass.{class}");
            Some(Self { root: format!("cod:{short}"), definition, attribute: attribute.to_owned(), is_number })
        };
        match (field.value_type, field.unit.as_str()) {
            (ValueType::Boolean, "") if field.control.is_some() => class("binarySwitch", "binSh", "state", false),
            (ValueType::Quantity, "°C") if field.control.is_none() => class("temperature", "tempe", "curT0", true),
            (ValueType::Quantity, "%") if is_humidity(&field.name) => class("relativeHumidity", "relHy", "relHy", true),
            _ => None,
        }
    }

    fn json(&self, text: &str) -> Json {
        let parsed = serde_json::from_str(text).ok();
        parsed.filter(|json: &Json| json.is_number() == self.is_number).unwrap_or_else(|| Json::String(text.to_owned()))
    }

    /// Classes want their attribute from the beginning.
    fn initial(&self) -> Json {
        if self.is_number { json!(0) } else { json!(false) }
    }
}

fn is_humidity(name: &str) -> bool {
    name.to_ascii_lowercase().contains("humidity")
}

/// In the order of the thing's fields.
pub(super) fn entries(fields: &[Field], with_classes: bool) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::with_capacity(fields.len());
    for field in fields {
        let mut resource: String = address::name(&field.name).chars().take(100).collect();
        let is_taken = |name: &str| {
            [STATE, COMMAND, RESULT, "", "la", "ol", "fopt"].contains(&name)
                || entries.iter().any(|entry| entry.resource == name)
        };
        while is_taken(&resource) {
            resource.push('_');
        }
        entries.push(Entry {
            name: field.name.clone(),
            resource,
            unit: field.unit.clone(),
            value_type: format!("{:?}", field.value_type).to_lowercase().replace("valuetype::", ""),
            accepts: Accepts::of(field),
            flex: Flex::of(field).filter(|_| with_classes),
            last: None,
            last_at: None,
        });
    }
    entries
}

/// Who may read and who may control, as the operator says.
pub(super) fn policies(place: &Place<'_>) -> Vec<Job> {
    let settings = place.settings;
    let mut policies = Vec::new();
    let own = place.origin.to_owned();
    let rule = |who: &[String], operations: u8| json!({ "acor": who, "acop": operations });
    // Who may create subscriptions may not create values.
    let rules = |who: &[String], operations: u8, children: &[u16]| {
        let create = json!({ "acor": who, "acop": MAY_CREATE, "acod": [{ "chty": children }] });
        if who.is_empty() { Vec::new() } else { vec![rule(who, operations), create] }
    };
    let ours = rule(std::slice::from_ref(&own), MAY_ALL);
    let mut add = |name: &str, rules: Vec<Json>| {
        let acp = json!({ "m2m:acp": { "rn": name, "pv": { "acr": rules }, "pvs": { "acr": [ours.clone()] } } });
        policies.push(Job::Create { below: String::new(), ty: ty::ACP, body: acp });
    };
    let (readers, controllers) = (&settings.mirror_readers, &settings.mirror_controllers);
    if !readers.is_empty() || !controllers.is_empty() {
        let mut read = vec![ours.clone()];
        read.extend(rules(readers, MAY_READ, &[ty::SUBSCRIPTION]));
        read.extend(rules(controllers, MAY_READ, &[ty::SUBSCRIPTION]));
        add(READERS, read);
    }
    if !controllers.is_empty() {
        let mut control = vec![ours.clone()];
        control.extend(rules(controllers, MAY_CHANGE, &[ty::CONTENT_INSTANCE, ty::SUBSCRIPTION]));
        add(CONTROLLERS, control);
    }
    policies
}

/// Gives a policy that exists the rules of one that was to be created.
pub(super) fn policy_update(body: &Json) -> Job {
    let mut body = body.clone();
    let attributes = body.get_mut("m2m:acp").and_then(Json::as_object_mut);
    let name =
        attributes.and_then(|attributes| attributes.remove("rn")).and_then(|name| name.as_str().map(str::to_owned));
    Job::Set { below: name.unwrap_or_default(), body }
}

/// What makes a thing, from the outside to the inside; that something is there already does no harm.
pub(super) fn creations((thing, name, node_type): (&str, &str, &str), fields: &[Entry], place: &Place<'_>) -> Vec<Job> {
    let (settings, nu) = (place.settings, place.url);
    let labels = vec![LABEL.to_owned(), label("thing", thing), label("type", node_type)];
    let mut jobs = vec![container("", name, labels, settings.mirror_instances, READERS, settings)];
    jobs.push(container("", STATE, Vec::new(), 2, READERS, settings));
    for (number, field) in (0..).zip(fields) {
        jobs.push(field_resource(field, settings));
        if field.flex.is_some()
            && field.takes_commands()
            && let Some(nu) = nu
        {
            jobs.push(subscription(&field.resource, net::UPDATED, Some(number), nu, settings));
        }
    }
    if fields.iter().any(Entry::takes_commands) {
        jobs.push(container("", RESULT, Vec::new(), settings.mirror_instances, READERS, settings));
        jobs.push(container("", COMMAND, Vec::new(), settings.mirror_instances, CONTROLLERS, settings));
        jobs.extend(nu.map(|nu| subscription(COMMAND, net::CHILD_CREATED, None, nu, settings)));
    }
    jobs
}

fn field_resource(field: &Entry, settings: &Settings) -> Job {
    let mut labels = vec![label("field", &field.name), label("type", &field.value_type)];
    labels.extend((!field.unit.is_empty()).then(|| label("unit", &field.unit)));
    let Some(flex) = &field.flex else {
        return container("", &field.resource, labels, settings.mirror_instances, READERS, settings);
    };
    let policy = if field.takes_commands() { CONTROLLERS } else { READERS };
    let value = field.last.clone().unwrap_or_else(|| flex.initial());
    let body = json!({ &*flex.root: {
        "rn": field.resource, "cnd": flex.definition, "lbl": labels, &*flex.attribute: value, "acpi": policies_of(policy, settings),
    }});
    Job::Create { below: String::new(), ty: ty::FLEX_CONTAINER, body: without_empty(body) }
}

fn container(below: &str, name: &str, labels: Vec<String>, instances: u32, policy: &str, settings: &Settings) -> Job {
    let acpi = policies_of(policy, settings);
    let body = json!({ "m2m:cnt": { "rn": name, "lbl": labels, "mni": instances, "acpi": acpi } });
    Job::Create { below: below.to_owned(), ty: ty::CONTAINER, body: without_empty(body) }
}

fn subscription(below: &str, kind: u8, field: Option<u16>, nu: &str, settings: &Settings) -> Job {
    let body = json!({ "m2m:sub": { "rn": settings.ae_name, "nu": [nu], "nct": 1, "enc": { "net": [kind] } } });
    Job::Subscribe { below: below.to_owned(), body, field }
}

/// Addresses of the policies; where nobody controls, the readers' policy is the only one.
fn policies_of(policy: &str, settings: &Settings) -> Vec<String> {
    let (has_readers, has_controllers) = (!settings.mirror_readers.is_empty(), !settings.mirror_controllers.is_empty());
    let ours = match (policy, has_readers, has_controllers) {
        (CONTROLLERS, _, true) => Some(CONTROLLERS),
        (_, false, false) => None,
        _ => Some(READERS),
    };
    let own = ours.map(|name| format!("{OURS}{name}"));
    own.into_iter().chain(settings.mirror_acp.iter().cloned()).collect()
}

/// Attributes that are empty lists are left out: some CSEs refuse them.
fn without_empty(mut body: Json) -> Json {
    for attributes in
        body.as_object_mut().into_iter().flat_map(|body| body.values_mut()).filter_map(Json::as_object_mut)
    {
        attributes.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
    }
    body
}

fn label(key: &str, value: &str) -> String {
    format!("{key}:{value}").chars().take(LABEL_CHARS_MAX).collect()
}
