//! A discovery configuration with its abbreviations and its base topic written out. Owns the words of the convention; judges none.

use serde_json::{Map, Value};
use tombolo_sdk::Extra;

use crate::mapping::names::{hardware, slug};

/// A configuration of one component, or of a device with several.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) component: String,
    pub(crate) object: String,
    members: Map<String, Value>,
}

/// Words of the components that are mapped.
const ABBREVIATIONS: &[(&str, &str)] = &[
    ("act_t", "action_topic"),
    ("act_tpl", "action_template"),
    ("avty", "availability"),
    ("avty_mode", "availability_mode"),
    ("avty_t", "availability_topic"),
    ("avty_tpl", "availability_template"),
    ("bri_cmd_t", "brightness_command_topic"),
    ("bri_cmd_tpl", "brightness_command_template"),
    ("bri_scl", "brightness_scale"),
    ("bri_stat_t", "brightness_state_topic"),
    ("bri_val_tpl", "brightness_value_template"),
    ("cmd_t", "command_topic"),
    ("cmd_tpl", "command_template"),
    ("cmps", "components"),
    ("curr_hum_t", "current_humidity_topic"),
    ("curr_hum_tpl", "current_humidity_template"),
    ("curr_temp_t", "current_temperature_topic"),
    ("curr_temp_tpl", "current_temperature_template"),
    ("dev", "device"),
    ("dev_cla", "device_class"),
    ("e", "encoding"),
    ("en", "enabled_by_default"),
    ("ent_cat", "entity_category"),
    ("exp_aft", "expire_after"),
    ("fan_mode_cmd_t", "fan_mode_command_topic"),
    ("fan_mode_cmd_tpl", "fan_mode_command_template"),
    ("fan_mode_stat_t", "fan_mode_state_topic"),
    ("fan_mode_stat_tpl", "fan_mode_state_template"),
    ("hum_cmd_t", "target_humidity_command_topic"),
    ("hum_cmd_tpl", "target_humidity_command_template"),
    ("hum_stat_t", "target_humidity_state_topic"),
    ("hum_state_tpl", "target_humidity_state_template"),
    ("max_hum", "max_humidity"),
    ("min_hum", "min_humidity"),
    ("max_temp", "max_temp"),
    ("min_temp", "min_temp"),
    ("mode_cmd_t", "mode_command_topic"),
    ("mode_cmd_tpl", "mode_command_template"),
    ("mode_stat_t", "mode_state_topic"),
    ("mode_stat_tpl", "mode_state_template"),
    ("obj_id", "object_id"),
    ("ops", "options"),
    ("opt", "optimistic"),
    ("p", "platform"),
    ("pl_avail", "payload_available"),
    ("pl_not_avail", "payload_not_available"),
    ("pl_off", "payload_off"),
    ("pl_on", "payload_on"),
    ("pow_cmd_t", "power_command_topic"),
    ("pow_cmd_tpl", "power_command_template"),
    ("pr_mode_cmd_t", "preset_mode_command_topic"),
    ("pr_mode_cmd_tpl", "preset_mode_command_template"),
    ("pr_mode_stat_t", "preset_mode_state_topic"),
    ("pr_mode_val_tpl", "preset_mode_value_template"),
    ("pr_modes", "preset_modes"),
    ("ret", "retain"),
    ("stat_cla", "state_class"),
    ("stat_off", "state_off"),
    ("stat_on", "state_on"),
    ("stat_t", "state_topic"),
    ("stat_val_tpl", "state_value_template"),
    ("sup_clrm", "supported_color_modes"),
    ("swing_mode_cmd_t", "swing_mode_command_topic"),
    ("swing_mode_cmd_tpl", "swing_mode_command_template"),
    ("swing_mode_stat_t", "swing_mode_state_topic"),
    ("swing_mode_stat_tpl", "swing_mode_state_template"),
    ("t", "topic"),
    ("temp_cmd_t", "temperature_command_topic"),
    ("temp_cmd_tpl", "temperature_command_template"),
    ("temp_hi_cmd_t", "temperature_high_command_topic"),
    ("temp_hi_stat_t", "temperature_high_state_topic"),
    ("temp_lo_cmd_t", "temperature_low_command_topic"),
    ("temp_lo_stat_t", "temperature_low_state_topic"),
    ("temp_stat_t", "temperature_state_topic"),
    ("temp_stat_tpl", "temperature_state_template"),
    ("temp_unit", "temperature_unit"),
    ("uniq_id", "unique_id"),
    ("unit_of_meas", "unit_of_measurement"),
    ("val_tpl", "value_template"),
];

const DEVICE_ABBREVIATIONS: &[(&str, &str)] = &[
    ("cns", "connections"),
    ("ids", "identifiers"),
    ("mdl", "model"),
    ("mf", "manufacturer"),
    ("sn", "serial_number"),
    ("sw", "sw_version"),
];

fn written_out(word: &str, table: &[(&str, &str)]) -> String {
    table.iter().find(|(short, _)| *short == word).map_or(word, |(_, long)| long).to_owned()
}

fn expand(members: Map<String, Value>) -> Map<String, Value> {
    members
        .into_iter()
        .map(|(word, value)| {
            let word = written_out(&word, ABBREVIATIONS);
            let value = match (word.as_str(), value) {
                ("device", Value::Object(device)) => Value::Object(
                    device.into_iter().map(|(word, value)| (written_out(&word, DEVICE_ABBREVIATIONS), value)).collect(),
                ),
                ("availability", Value::Array(list)) => Value::Array(list.into_iter().map(expand_inner).collect()),
                ("availability", value) => Value::Array(vec![expand_inner(value)]),
                (_, value) => value,
            };
            (word, value)
        })
        .collect()
}

fn expand_inner(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(expand(members)),
        other => other,
    }
}

/// Puts the base topic where `~` begins or ends a topic.
fn put_base(members: &mut Map<String, Value>, base: &str) {
    for (word, value) in members.iter_mut() {
        match value {
            Value::String(topic) if word.ends_with("topic") => {
                if let Some(rest) = topic.strip_prefix('~') {
                    *topic = format!("{base}{rest}");
                } else if let Some(start) = topic.strip_suffix('~') {
                    *topic = format!("{start}{base}");
                }
            }
            Value::Array(list) if word == "availability" => {
                list.iter_mut().filter_map(Value::as_object_mut).for_each(|one| put_base(one, base));
            }
            _ => {}
        }
    }
}

impl Config {
    pub(crate) fn parse(text: &str, component: &str, object: &str) -> Result<Self, String> {
        let members = match serde_json::from_str(text) {
            Ok(Value::Object(members)) => expand(members),
            Ok(_) => return Err("its configuration is no JSON object".into()),
            Err(error) => return Err(format!("its configuration is no JSON: {error}")),
        };
        let mut config = Self { component: component.into(), object: object.into(), members };
        if let Some(base) = config.text("~").map(str::to_owned) {
            put_base(&mut config.members, &base);
        }
        Ok(config)
    }

    /// The configurations inside that of a device; itself if it is none.
    pub(crate) fn components(&self) -> Vec<Self> {
        let Some(Value::Object(components)) = self.members.get("components") else { return vec![self.clone()] };
        components.iter().filter_map(|(object, members)| self.component(object, members.as_object()?.clone())).collect()
    }

    fn component(&self, object: &str, members: Map<String, Value>) -> Option<Self> {
        let shared = self.members.iter().filter(|(word, _)| *word != "components");
        let mut all: Map<String, Value> = shared.map(|(word, value)| (word.clone(), value.clone())).collect();
        let mut own = expand(members);
        let base = own.get("~").or(self.members.get("~")).and_then(Value::as_str).map(str::to_owned);
        base.iter().for_each(|base| put_base(&mut own, base));
        all.extend(own);
        let component = all.get("platform")?.as_str()?.to_owned();
        Some(Self { component, object: object.to_owned(), members: all })
    }

    pub(crate) fn text(&self, word: &str) -> Option<&str> {
        self.members.get(word).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A text, or what a truth or number looks like in a payload.
    pub(crate) fn payload(&self, word: &str) -> Option<String> {
        match self.members.get(word)? {
            Value::String(text) => Some(text.clone()),
            value @ (Value::Bool(_) | Value::Number(_)) => Some(value.to_string()),
            _ => None,
        }
    }

    pub(crate) fn number(&self, word: &str) -> Option<f64> {
        self.members.get(word).and_then(Value::as_f64)
    }

    pub(crate) fn truth(&self, word: &str) -> bool {
        self.members.get(word).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(crate) fn has(&self, word: &str) -> bool {
        self.members.get(word).is_some_and(|value| !value.is_null())
    }

    pub(crate) fn list(&self, word: &str) -> Option<Vec<String>> {
        let list = self.members.get(word)?.as_array()?;
        Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Availability topics, each as a configuration of its own.
    pub(crate) fn availability(&self) -> Vec<Self> {
        let list = self.members.get("availability").and_then(Value::as_array);
        let each = list.into_iter().flatten().filter_map(Value::as_object);
        each.map(|members| Self { members: members.clone(), ..self.clone() }).collect()
    }

    fn device(&self, word: &str) -> Option<&Value> {
        self.members.get("device")?.get(word)
    }

    fn device_text(&self, word: &str) -> Option<&str> {
        self.device(word).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// Which program wrote it.
    pub(crate) fn origin(&self) -> Option<&str> {
        self.members.get("origin").or_else(|| self.members.get("o"))?.get("name")?.as_str()
    }

    /// What tells devices apart: the first identifier or connection; without a device the entity stands alone.
    pub(crate) fn device_key(&self) -> String {
        let first = |value: &Value| match value {
            Value::Array(list) => list.first().cloned(),
            other => Some(other.clone()),
        };
        let identifier = self.device("identifiers").and_then(first).map(plain);
        let connection = || self.device("connections").and_then(first).map(plain);
        let alone =
            || self.text("unique_id").map_or_else(|| format!("{} {}", self.component, self.object), str::to_owned);
        identifier.or_else(connection).filter(|key| !key.is_empty()).unwrap_or_else(alone)
    }

    /// The address that other conventions know the device by.
    pub(crate) fn hardware(&self) -> Option<String> {
        let told = ["identifiers", "connections"].into_iter().filter_map(|word| self.device(word).cloned());
        told.flat_map(|value| match value {
            Value::Array(list) => list,
            other => vec![other],
        })
        .find_map(|value| hardware(&plain(value)))
    }

    pub(crate) fn device_name(&self) -> String {
        self.device_text("name").or(self.text("name").filter(|_| !self.has("device"))).unwrap_or_default().to_owned()
    }

    pub(crate) fn device_slug(&self) -> String {
        let name = slug(&self.device_name(), '-');
        let fallback = || if self.has("device") { slug(&self.device_key(), '-') } else { slug(&self.object, '-') };
        let name = if name.is_empty() { fallback() } else { name };
        if name.is_empty() { "device".into() } else { name }
    }

    /// Who made the device, as discovery tags.
    pub(crate) fn extras(&self) -> Vec<Extra> {
        let tags = [("MAN", "manufacturer"), ("MODEL", "model"), ("SN", "serial_number"), ("V", "sw_version")];
        let told = tags.iter().filter_map(|(key, word)| Some((key, self.device_text(word)?)));
        told.map(|(key, value)| Extra { key: (*key).to_owned(), value: value.to_owned() }).collect()
    }
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Array(list) => list.into_iter().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_out_abbreviations_and_the_base_topic() {
        let text = r#"{"~":"a/b","stat_t":"~/state","cmd_t":"cmd/~","avty":[{"t":"~/avail"}],"val_tpl":"{{ value }}","dev":{"ids":["x"],"mf":"M"}}"#;
        let config = Config::parse(text, "switch", "o").unwrap();
        assert_eq!(config.text("state_topic"), Some("a/b/state"));
        assert_eq!(config.text("command_topic"), Some("cmd/a/b"));
        assert_eq!(config.text("value_template"), Some("{{ value }}"));
        assert_eq!(config.availability()[0].text("topic"), Some("a/b/avail"));
        assert_eq!((config.device_key().as_str(), config.extras()[0].value.as_str()), ("x", "M"));
    }

    #[test]
    fn splits_the_configuration_of_a_device() {
        let text = r#"{"dev":{"ids":"d","name":"Dev"},"stat_t":"s","~":"b","cmps":{"t1":{"p":"sensor","val_tpl":"{{ value_json.t }}"},"s1":{"p":"switch","cmd_t":"~/set"}}}"#;
        let all = Config::parse(text, "device", "d").unwrap().components();
        assert_eq!(all.len(), 2);
        let switch = all.iter().find(|one| one.component == "switch").unwrap();
        assert_eq!((switch.text("command_topic"), switch.text("state_topic")), (Some("b/set"), Some("s")));
    }

    #[test]
    fn slugs_are_fit_to_be_shown() {
        assert_eq!(slug("  Living Room – Lämp #1 ", '-'), "living-room-lämp-1");
        assert_eq!(slug("///", '-'), "");
    }
}
