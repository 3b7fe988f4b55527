//! How Home Assistant finds a field of a thing: a configuration of its MQTT discovery. Owns its words; every configuration names us as its
//! origin, by which every tombolo knows not to take it for a device.

use serde_json::{Map, Value, json};
use tombolo_sdk::events::Thing;
use tombolo_sdk::{Field, FieldKinds, ValueType};

use super::super::hash::number_of;
use super::payload::Accepts;
use super::topics;
use crate::codec::Message;

/// What configurations name as their origin.
pub(in crate::mapping) const ORIGIN: &str = "tombolo";
/// The greatest numbers that a number without a range accepts: the convention's own default ends at 100.
const NUMBER_MAX: f64 = 1e9;

/// See the module.
#[derive(Debug)]
pub(super) struct Announcer {
    prefix: String,
    /// Where the bridge says that it is there, and not; from the operator's `online` and `will`.
    presence: Option<(Message, Message)>,
}

impl Announcer {
    pub(super) fn new(prefix: &str, presence: Option<(Message, Message)>) -> Self {
        Self { prefix: prefix.trim_end_matches('/').to_owned(), presence }
    }

    /// Topic and payload.
    pub(super) fn announce(
        &self,
        thing: &Thing,
        base: &str,
        field: &Field,
        state: &str,
        command: Option<(&str, &Accepts)>,
    ) -> (String, String) {
        let id = format!(
            "tombolo_{:08x}_{:08x}",
            number_of(&thing.address),
            number_of(&format!("{}@{}", field.name, thing.address))
        );
        let (component, own) = component(field, command);
        let mut config = Map::new();
        let name = if field.label.is_empty() { &field.name } else { &field.label };
        config.insert("name".into(), json!(name));
        config.insert("unique_id".into(), json!(id));
        config.insert("state_topic".into(), json!(state));
        config.insert("availability".into(), self.availability(base));
        config.insert("availability_mode".into(), json!("all"));
        config.insert("device".into(), device(thing));
        config.insert("origin".into(), json!({"name": ORIGIN, "sw_version": env!("CARGO_PKG_VERSION")}));
        let is_about_itself = field.kinds.intersects(FieldKinds::STATUS | FieldKinds::IDENTITY);
        if is_about_itself && !field.kinds.contains(FieldKinds::MOMENTARY) && command.is_none() {
            config.insert("entity_category".into(), json!("diagnostic"));
        }
        config.extend(own);
        (format!("{}/{component}/{id}/config", self.prefix), Value::Object(config).to_string())
    }

    fn availability(&self, base: &str) -> Value {
        let mut all = vec![json!({"topic": topics::availability(base)})];
        if let Some((online, will)) = &self.presence {
            let text = |message: &Message| String::from_utf8_lossy(&message.payload).into_owned();
            let there =
                json!({"topic": online.topic, "payload_available": text(online), "payload_not_available": text(will)});
            all.push(there);
        }
        Value::Array(all)
    }
}

fn device(thing: &Thing) -> Value {
    let mut device = Map::new();
    device.insert("identifiers".into(), json!([format!("tombolo_{}", thing.address)]));
    let name = if thing.node.label.is_empty() { &thing.address } else { &thing.node.label };
    device.insert("name".into(), json!(name));
    let extra = |key: &str| thing.node.extras.iter().find(|extra| extra.key == key).map(|extra| extra.value.clone());
    let model = extra("MODEL").or_else(|| Some(thing.node.node_type.clone()).filter(|text| !text.is_empty()));
    for (word, value) in
        [("manufacturer", extra("MAN")), ("model", model), ("serial_number", extra("SN")), ("sw_version", extra("V"))]
    {
        device.extend(value.map(|value| (word.to_owned(), json!(value))));
    }
    Value::Object(device)
}

/// What a field is to Home Assistant, and the words that only this kind has.
fn component(field: &Field, command: Option<(&str, &Accepts)>) -> (&'static str, Map<String, Value>) {
    let (component, own) = match command {
        Some((topic, Accepts::Switch)) => ("switch", json!({"command_topic": topic})),
        Some((topic, Accepts::Int32 { minimum, maximum } | Accepts::Int64 { minimum, maximum })) => {
            ("number", number(topic, *minimum, *maximum, 1.0))
        }
        Some((topic, Accepts::Quantity { minimum, maximum })) => ("number", number(topic, *minimum, *maximum, 0.01)),
        Some((topic, Accepts::Member { members, .. })) if !members.is_empty() => {
            ("select", json!({"command_topic": topic, "options": members}))
        }
        Some((topic, Accepts::Text | Accepts::Member { .. })) => ("text", json!({"command_topic": topic})),
        None => match field.value_type {
            ValueType::Boolean => ("binary_sensor", json!({})),
            ValueType::Instant => ("sensor", json!({"device_class": "timestamp"})),
            ValueType::Date => ("sensor", json!({"device_class": "date"})),
            ValueType::Duration => ("sensor", json!({"device_class": "duration", "unit_of_measurement": "s"})),
            ValueType::Quantity | ValueType::Int32 | ValueType::Int64 => {
                let class = if field.kinds.contains(FieldKinds::MOMENTARY) {
                    json!({"state_class": "measurement"})
                } else {
                    json!({})
                };
                ("sensor", class)
            }
            ValueType::Text | ValueType::Enumeration | ValueType::TimeOfDay | ValueType::Colour => {
                ("sensor", json!({}))
            }
        },
    };
    let mut own = if let Value::Object(own) = own { own } else { Map::new() };
    if !field.unit.is_empty() && matches!(component, "sensor" | "number") {
        own.insert("unit_of_measurement".into(), json!(field.unit));
    }
    (component, own)
}

fn number(topic: &str, minimum: Option<f64>, maximum: Option<f64>, step: f64) -> Value {
    let (minimum, maximum) = (minimum.unwrap_or(-NUMBER_MAX), maximum.unwrap_or(NUMBER_MAX));
    json!({"command_topic": topic, "min": minimum, "max": maximum, "step": step, "mode": "box"})
}
