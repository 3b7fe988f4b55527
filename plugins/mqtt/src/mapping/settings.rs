//! The bridge's settings as the operator writes them, and the schema that describes them. Owns their shape and defaults; what
//! patterns and templates mean is read elsewhere. The host checks settings against the schema before a mapper sees them.

use serde::{Deserialize, Serialize};

use crate::codec::{Message, Qos, Version};
use crate::session::Options;

/// JSON Schema (2020-12) of [`Settings`].
pub(crate) const SCHEMA: &str = include_str!("settings.schema.json");

/// Everything.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    username: Option<String>,
    password: Option<String>,
    client_id: Option<String>,
    version: VersionSetting,
    keep_alive_s: u16,
    clean_start: bool,
    session_expiry_s: u32,
    receive_maximum: u16,
    max_packet_bytes: u32,
    reconnect_max_s: u32,
    will: Option<MessageSettings>,
    online: Option<MessageSettings>,
    pub(crate) qos: Qos,
    pub(crate) confirm_s: u32,
    conventions: Vec<ConventionName>,
    pub(crate) zigbee2mqtt_topics: Vec<String>,
    pub(crate) shelly_prefixes: Vec<String>,
    pub(crate) homie_topics: Vec<String>,
    pub(crate) sparkplug_groups: Vec<String>,
    pub(crate) discovery_prefix: Option<String>,
    pub(crate) mirror_prefix: Option<String>,
    mirror_discovery: bool,
    pub(crate) max_nodes: usize,
    pub(crate) devices: Vec<DeviceSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            username: None,
            password: None,
            client_id: None,
            version: VersionSetting::Auto,
            keep_alive_s: 60,
            clean_start: false,
            session_expiry_s: 86_400,
            receive_maximum: 256,
            max_packet_bytes: 1 << 20,
            reconnect_max_s: 60,
            will: None,
            online: None,
            qos: Qos::AtLeastOnce,
            confirm_s: 10,
            conventions: vec![ConventionName::Homeassistant],
            zigbee2mqtt_topics: vec!["zigbee2mqtt".into()],
            shelly_prefixes: vec!["+".into()],
            homie_topics: vec!["homie".into()],
            sparkplug_groups: Vec::new(),
            discovery_prefix: Some("homeassistant".into()),
            mirror_prefix: Some("tombolo".into()),
            mirror_discovery: true,
            max_nodes: 10_000,
            devices: Vec::new(),
        }
    }
}

/// How devices may announce themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConventionName {
    Homeassistant,
    Homie,
    Shelly,
    Sparkplug,
    Tasmota,
    Zigbee2mqtt,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum VersionSetting {
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "3.1.1")]
    V3,
    #[serde(rename = "5")]
    V5,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageSettings {
    topic: String,
    #[serde(default)]
    payload: String,
    #[serde(default = "at_least_once")]
    qos: Qos,
    #[serde(default = "yes")]
    retain: bool,
}

const fn at_least_once() -> Qos {
    Qos::AtLeastOnce
}

const fn yes() -> bool {
    true
}

impl MessageSettings {
    fn message(&self) -> Message {
        let payload = self.payload.clone().into_bytes();
        Message { topic: self.topic.clone(), payload, qos: self.qos, retain: self.retain }
    }
}

/// Devices that follow one pattern.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceSettings {
    pub(crate) node: String,
    pub(crate) label: Option<String>,
    pub(crate) availability: Option<AvailabilitySettings>,
    pub(crate) fields: Vec<FieldSettings>,
    #[serde(default)]
    pub(crate) commands: Vec<ActionSettings>,
}

/// Something that devices can be told to do.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActionSettings {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) label: String,
    pub(crate) topic: String,
    #[serde(default)]
    pub(crate) payload: String,
    #[serde(default = "at_least_once")]
    pub(crate) qos: Qos,
    #[serde(default)]
    pub(crate) retain: bool,
}

/// Where a device says whether it is there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AvailabilitySettings {
    pub(crate) topic: String,
    #[serde(default = "online")]
    pub(crate) payload_online: String,
    #[serde(default = "offline")]
    pub(crate) payload_offline: String,
    pub(crate) pointer: Option<String>,
    pub(crate) template: Option<String>,
}

fn online() -> String {
    "online".into()
}

fn offline() -> String {
    "offline".into()
}

/// One field.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldSettings {
    pub(crate) name: String,
    pub(crate) topic: Option<String>,
    pub(crate) pointer: Option<String>,
    pub(crate) template: Option<String>,
    #[serde(default, rename = "type")]
    pub(crate) value_type: TypeSetting,
    #[serde(default)]
    pub(crate) unit: String,
    #[serde(default)]
    pub(crate) kinds: Vec<KindSetting>,
    #[serde(default)]
    pub(crate) label: String,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) payload_on: Option<String>,
    pub(crate) payload_off: Option<String>,
    #[serde(default)]
    pub(crate) members: Vec<String>,
    pub(crate) command: Option<CommandSettings>,
}

/// What values a field takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TypeSetting {
    /// Decided by the first payload.
    #[default]
    Auto,
    Quantity,
    Int32,
    Int64,
    Boolean,
    Text,
    Enumeration,
    Instant,
    Date,
    Colour,
}

/// What a field is about.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KindSetting {
    Momentary,
    Peak,
    Status,
    Computed,
    Identity,
    Historical,
}

/// How a field is set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandSettings {
    pub(crate) topic: String,
    pub(crate) template: Option<String>,
    pub(crate) payload_on: Option<String>,
    pub(crate) payload_off: Option<String>,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) pattern: Option<String>,
    #[serde(default = "at_least_once")]
    pub(crate) qos: Qos,
    #[serde(default)]
    pub(crate) retain: bool,
}

impl Settings {
    /// Reads settings; an error is for the operator.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        let text = if json.trim().is_empty() { "{}" } else { json };
        let settings: Self = serde_json::from_str(text).map_err(|error| format!("settings: {error}"))?;
        if settings.password.is_some() && settings.username.is_none() {
            return Err("settings: password needs username (MQTT 3.1.1 allows no password alone)".into());
        }
        if settings.receive_maximum == 0 || settings.max_packet_bytes < 128 {
            return Err("settings: receive_maximum begins at 1, max_packet_bytes at 128".into());
        }
        let is_topic = |prefix: &String| !prefix.trim_matches('/').is_empty() && !prefix.contains(['+', '#', '\0']);
        if !settings.mirror_prefix.as_ref().is_none_or(is_topic) {
            return Err("settings: mirror_prefix is the beginning of topics, without + and #".into());
        }
        if !(1..=25).contains(&settings.confirm_s) {
            return Err("settings: confirm_s is 1 to 25".into());
        }
        if !settings.zigbee2mqtt_topics.iter().chain(&settings.homie_topics).all(is_topic) {
            return Err("settings: zigbee2mqtt_topics and homie_topics begin topics, without + and #".into());
        }
        if settings.sparkplug_groups.iter().any(|group| group.is_empty() || group.contains(['/', '+', '#', '\0'])) {
            return Err("settings: sparkplug_groups are one level of topics, without + and #".into());
        }
        if settings.shelly_prefixes.iter().any(|prefix| prefix.is_empty() || prefix.contains(['#', '\0'])) {
            return Err("settings: shelly_prefixes are the beginnings of topics, with + for any one level".into());
        }
        Ok(settings)
    }

    /// Conventions that are switched on, each once, the most trusted first.
    pub(crate) fn conventions(&self) -> impl Iterator<Item = ConventionName> {
        let all = self.conventions.iter().enumerate();
        all.filter(|(at, name)| !self.conventions.iter().take(*at).any(|other| other == *name)).map(|(_, name)| *name)
    }

    /// Where things of others are announced, if they are.
    pub(crate) fn mirror_discovery_prefix(&self) -> Option<&str> {
        self.discovery_prefix.as_deref().filter(|_| self.mirror_discovery)
    }

    /// What says at the broker that the bridge is there, and what says that it is not; only where the operator wants both said.
    pub(crate) fn presence(&self) -> Option<(Message, Message)> {
        let (online, will) = (self.online.as_ref()?, self.will.as_ref()?);
        (online.topic == will.topic).then(|| (online.message(), will.message()))
    }

    /// What concerns the session.
    pub(crate) fn options(&self) -> Options {
        Options {
            client_id: self.client_id.clone(),
            username: self.username.clone(),
            password: self.password.clone(),
            version: match self.version {
                VersionSetting::Auto => None,
                VersionSetting::V3 => Some(Version::V3),
                VersionSetting::V5 => Some(Version::V5),
            },
            keep_alive_s: self.keep_alive_s,
            clean_start: self.clean_start,
            session_expiry_s: self.session_expiry_s,
            receive_maximum: self.receive_maximum,
            packet_bytes_max: self.max_packet_bytes,
            reconnect_ms_max: self.reconnect_max_s.saturating_mul(1000),
            will: self.will.as_ref().map(MessageSettings::message),
            online: self.online.as_ref().map(MessageSettings::message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_needs_to_be_set() {
        let settings = Settings::parse("{}").unwrap();
        assert_eq!(settings.discovery_prefix.as_deref(), Some("homeassistant"));
        assert!(Settings::parse("").is_ok());
    }

    #[test]
    fn discovery_can_be_switched_off() {
        assert_eq!(Settings::parse(r#"{"discovery_prefix": null}"#).unwrap().discovery_prefix, None);
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(Settings::parse(r#"{"usrname": "x"}"#).unwrap_err().contains("usrname"));
    }

    #[test]
    fn the_schema_knows_every_member_and_its_default() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        let members = schema["properties"].as_object().unwrap();
        for name in members.keys() {
            let error = Settings::parse(&format!(r#"{{"{name}": {{"no": "such"}}}}"#)).unwrap_err();
            assert!(!error.contains("unknown field `{name}`"), "{name}: {error}");
        }
        let defaults: serde_json::Map<_, _> =
            members.iter().filter_map(|(name, member)| Some((name.clone(), member.get("default")?.clone()))).collect();
        let read = Settings::parse(&serde_json::to_string(&defaults).unwrap()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", Settings::default()));
        assert_eq!(members["password"]["writeOnly"], true);
    }
}
