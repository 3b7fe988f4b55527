//! Shelly Gen2 and later: remote calls over MQTT. Owns what each device has told of its components (`NotifyFullStatus`, `NotifyStatus` and
//! the answer to `Shelly.GetStatus`), its events, and whether it is there (`online`, retained).
//!
//! Notifications are not retained, so a device that is there is asked for its status; it answers at `SOURCE/rpc`, where the answers to
//! commands come too: a number names the command, a text what was asked of whom.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tombolo_sdk::{Actions, Level, NodeState};

use super::component;
use crate::mapping::convention::{Memory, Place, tag};
use crate::mapping::json::Scalar;
use crate::mapping::names::{Identity, hardware, slug};
use crate::mapping::registry::Arrival;
use crate::mapping::spec::{About, Entity};
use crate::mapping::template::Extracted;
use crate::mapping::tree;
use crate::mapping::value::Kind;

/// What the keys of the memory begin with; behind everything of Gen1.
pub(super) const MEMORY: &str = "~second/";
/// Values of one device; the host keeps no more fields.
const LEAVES_MAX: usize = 400;
/// Devices that are known; max_nodes bounds what is shown.
const DEVICES_MAX: usize = 10_000;
/// A longer prefix is no device's.
const NAME_BYTES_MAX: usize = 256;
/// Events in one notification.
const EVENTS_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Second {
    prefixes: Vec<String>,
    /// Who answers are for.
    source: String,
    /// By topic prefix.
    devices: BTreeMap<String, Device>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Device {
    #[serde(skip)]
    id: String,
    /// Its own name, as in `shellyplus1-a8032abe54dc`.
    name: String,
    info: Value,
    is_online: Option<bool>,
    /// Fields in the order in which they were first told, which is their number.
    leaves: Vec<Leaf>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Leaf {
    path: tree::Path,
    kind: LeafKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum LeafKind {
    Number,
    Truth,
    Text,
}

impl LeafKind {
    fn of(value: &Value) -> Self {
        match value {
            Value::Bool(_) => Self::Truth,
            Value::Number(_) => Self::Number,
            _ => Self::Text,
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Number => Kind::Quantity,
            Self::Truth => Kind::boolean(),
            Self::Text => Kind::Text,
        }
    }
}

impl Second {
    pub(super) fn new(prefixes: &[String], source: &str) -> Self {
        let prefixes = prefixes.iter().map(|prefix| prefix.trim_end_matches('/').to_owned()).collect();
        Self { prefixes, source: source.to_owned(), devices: BTreeMap::new() }
    }

    pub(super) fn filters(&self) -> Vec<String> {
        let of_devices =
            self.prefixes.iter().flat_map(|prefix| [format!("{prefix}/events/rpc"), format!("{prefix}/online")]);
        of_devices.chain([format!("{}/rpc", self.source)]).collect()
    }

    pub(super) fn concerns(&self, topic: &str) -> bool {
        self.is_answer(topic) || topic.ends_with("/events/rpc") || topic.ends_with("/online")
    }

    fn is_answer(&self, topic: &str) -> bool {
        topic.strip_suffix("/rpc") == Some(&self.source)
    }

    pub(super) fn memory(&self) -> Memory {
        let written = self
            .devices
            .iter()
            .filter_map(|(prefix, device)| Some((format!("{MEMORY}{prefix}"), serde_json::to_string(device).ok()?)));
        written.collect()
    }

    pub(super) fn begin(&mut self, memory: &Memory, place: &mut Place<'_>, out: &mut Actions) {
        for (key, text) in memory {
            let prefix = key.strip_prefix(MEMORY).unwrap_or(key);
            if let Ok(device) = serde_json::from_str::<Device>(text) {
                self.devices.insert(prefix.to_owned(), device);
                self.show(prefix, place, out);
            }
        }
    }

    pub(super) fn handle_online(&self, place: &mut Place<'_>) {
        self.devices.keys().for_each(|prefix| self.ask(prefix, place));
    }

    pub(super) fn handle(&mut self, arrival: &Arrival<'_>, place: &mut Place<'_>, out: &mut Actions) -> u32 {
        let text = std::str::from_utf8(arrival.payload).unwrap_or_default();
        if let Some(prefix) = arrival.topic.strip_suffix("/online") {
            self.online(prefix, text.trim(), place, out);
            return 0;
        }
        let frame: Value = match serde_json::from_str(text) {
            Ok(frame) => frame,
            Err(_) => {
                out.log(Level::Warn, format!("topic {:?}: the payload is no JSON", arrival.topic));
                return 0;
            }
        };
        if self.is_answer(arrival.topic) {
            return self.answer(&frame, arrival, place, out);
        }
        let Some(prefix) = arrival.topic.strip_suffix("/events/rpc") else { return 0 };
        self.notify(prefix, &frame, arrival, place, out)
    }

    /// Other things have topics of this name: only a device that answers becomes a node.
    fn online(&mut self, prefix: &str, text: &str, place: &mut Place<'_>, out: &mut Actions) {
        let is_online = match text {
            "true" => true,
            "false" => false,
            _ => return,
        };
        if is_online && prefix.len() <= NAME_BYTES_MAX {
            self.ask(prefix, place);
        }
        if let Some(device) = self.device(prefix) {
            device.is_online = Some(is_online);
            device.tell(place, out);
        }
    }

    fn device(&mut self, prefix: &str) -> Option<&mut Device> {
        if prefix.is_empty()
            || prefix.len() > NAME_BYTES_MAX
            || (self.devices.len() >= DEVICES_MAX && !self.devices.contains_key(prefix))
        {
            return None;
        }
        Some(self.devices.entry(prefix.to_owned()).or_default())
    }

    fn ask(&self, prefix: &str, place: &mut Place<'_>) {
        for (what, method) in [("info", "Shelly.GetDeviceInfo"), ("status", "Shelly.GetStatus")] {
            let call = serde_json::json!({"id": format!("{what} {prefix}"), "src": self.source, "method": method});
            place.ask(format!("{prefix}/rpc"), call.to_string());
        }
    }

    fn answer(&mut self, frame: &Value, arrival: &Arrival<'_>, place: &mut Place<'_>, out: &mut Actions) -> u32 {
        let result = frame.get("result");
        if let Some(token) = frame.get("id").and_then(Value::as_u64) {
            let error = frame.get("error").map(|error| {
                let message = error.get("message").and_then(Value::as_str).unwrap_or("without a reason");
                message.chars().take(200).collect::<String>()
            });
            place.registry.answer(token, error.map_or(Ok(()), Err));
            return 0;
        }
        let asked = frame.get("id").and_then(Value::as_str).and_then(|id| id.split_once(' '));
        match (asked, result) {
            (Some(("info", prefix)), Some(result)) => {
                let words = ["id", "name", "mac", "model", "ver", "app"];
                let told = words.iter().filter_map(|word| Some(((*word).to_owned(), result.get(word)?.clone())));
                let info = told.filter(|(_, value)| value.as_str().is_some_and(|text| text.len() < 200)).collect();
                if let Some(device) = self.device(prefix) {
                    device.info = Value::Object(info);
                    device.call(frame);
                    self.show(prefix, place, out);
                }
                0
            }
            (Some(("status", prefix)), Some(result)) => self.status(prefix, frame, result, arrival, place, out),
            _ => 0,
        }
    }

    fn notify(
        &mut self,
        prefix: &str,
        frame: &Value,
        arrival: &Arrival<'_>,
        place: &mut Place<'_>,
        out: &mut Actions,
    ) -> u32 {
        let (method, params) = (frame.get("method").and_then(Value::as_str), frame.get("params"));
        if self.devices.get(prefix).is_none_or(|device| device.leaves.is_empty()) {
            // Somebody who was not there at the beginning asks for the rest.
            self.ask(prefix, place);
        }
        match (method, params) {
            (Some("NotifyStatus" | "NotifyFullStatus"), Some(params)) => {
                self.status(prefix, frame, params, arrival, place, out)
            }
            (Some("NotifyEvent"), Some(params)) => self.events(prefix, frame, params, arrival, place, out),
            _ => 0,
        }
    }

    fn events(
        &mut self,
        prefix: &str,
        frame: &Value,
        params: &Value,
        arrival: &Arrival<'_>,
        place: &mut Place<'_>,
        out: &mut Actions,
    ) -> u32 {
        let events = params.get("events").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut reports = 0;
        for event in events.iter().take(EVENTS_MAX) {
            let text = |word: &str| event.get(word).and_then(Value::as_str);
            let (Some(component), Some(name)) = (text("component"), text("event")) else { continue };
            let told = serde_json::json!({component: {"event": name}});
            reports += self.status(
                prefix,
                frame,
                &told,
                &Arrival { receipt: arrival.receipt.map(|first| first + u64::from(reports)), ..*arrival },
                place,
                out,
            );
        }
        reports
    }

    /// Components with their values: all of them, or those that changed.
    fn status(
        &mut self,
        prefix: &str,
        frame: &Value,
        components: &Value,
        arrival: &Arrival<'_>,
        place: &mut Place<'_>,
        out: &mut Actions,
    ) -> u32 {
        let Some(device) = self.device(prefix) else { return 0 };
        let mut is_new = device.call(frame) || device.id.is_empty();
        let leaves = tree::leaves(components, LEAVES_MAX * 4);
        let mut values = Vec::new();
        for (path, value) in leaves.into_iter().filter(|(path, _)| component::is_shown(path)) {
            let kind = LeafKind::of(value);
            let at = match device.leaves.iter().position(|leaf| leaf.path == path) {
                Some(at) => at,
                None if device.leaves.len() < LEAVES_MAX => {
                    is_new = true;
                    device.leaves.push(Leaf { path, kind });
                    device.leaves.len() - 1
                }
                None => continue,
            };
            if device.leaves.get(at).is_some_and(|leaf| leaf.kind == kind) {
                values.extend(read(value, kind).map(|value| (at, value)));
            }
        }
        if is_new {
            self.show(prefix, place, out);
        }
        let mut reports = 0;
        if let Some(device) = self.devices.get(prefix).filter(|device| !device.id.is_empty()) {
            place.registry.report((&device.id, &key(prefix)), values, arrival, &mut reports, out);
        }
        reports
    }

    fn show(&mut self, prefix: &str, place: &mut Place<'_>, out: &mut Actions) {
        let (source, topic) = (self.source.clone(), format!("{prefix}/rpc"));
        let Some(device) = self.devices.get_mut(prefix).filter(|device| !device.leaves.is_empty()) else { return };
        let name = if device.name.is_empty() { prefix } else { &device.name };
        let (key, address, wish) = (key(prefix), hardware(name), slug(name, '-'));
        let Some(id) = place.claim(Identity { key: &key, hardware: address.as_deref(), wish: &wish }) else {
            device.id.clear();
            return;
        };
        let fields = device.leaves.iter().map(|leaf| component::field(&leaf.path, leaf.kind.kind(), &topic, &source));
        let mut components: Vec<&str> =
            device.leaves.iter().filter_map(|leaf| Some(leaf.path.first()?.as_str())).collect();
        components.sort_unstable();
        components.dedup();
        let actions = components.iter().flat_map(|component| component::actions(component, &topic, &source));
        let entity = Entity { fields: fields.collect(), actions: actions.collect(), ..Entity::new(&key, None) };
        let text = |word: &str| device.info.get(word).and_then(Value::as_str).unwrap_or_default();
        let told = [tag("MAN", "Shelly"), tag("MODEL", text("model")), tag("SN", text("mac")), tag("V", text("ver"))];
        let about =
            About { id: id.clone(), label: text("name").to_owned(), extras: told.into_iter().flatten().collect() };
        match place.put(&about, entity) {
            Ok(()) => {
                device.id = id;
                device.tell(place, out);
            }
            Err(error) => out.log(Level::Warn, error),
        }
    }
}

impl Device {
    /// Learns the device's own name; gives whether it is another than before.
    fn call(&mut self, frame: &Value) -> bool {
        let told = frame.get("src").and_then(Value::as_str).filter(|name| !name.is_empty() && name.len() < 100);
        let Some(name) = told.filter(|name| *name != self.name) else { return false };
        name.clone_into(&mut self.name);
        true
    }

    fn tell(&self, place: &mut Place<'_>, out: &mut Actions) {
        let state = self.is_online.map(|online| if online { NodeState::Online } else { NodeState::Offline });
        place.registry.tell(&self.id, state, out);
    }
}

fn key(prefix: &str) -> String {
    format!("shelly2 {prefix}")
}

fn read(value: &Value, kind: LeafKind) -> Option<tombolo_sdk::Value> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    kind.kind().read(&Extracted::Scalar(Scalar::Text(text.into()))).ok().flatten()
}
