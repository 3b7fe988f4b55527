//! The bridge's settings as the operator writes them, and the schema that describes them. Owns their shape and defaults. The host checks
//! settings against the schema before a mapper sees them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::dictionary::ObjectSettings;
use crate::session::Timing;

/// JSON Schema (2020-12) of [`Settings`].
pub(crate) const SCHEMA: &str = include_str!("settings.schema.json");

/// Everything.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) max_devices: usize,
    pub(crate) max_instances: usize,
    pub(crate) forget_s: u32,
    pub(crate) identity: IdentityRule,
    pub(crate) identities: BTreeMap<String, String>,
    pub(crate) ack_timeout_ms: u32,
    pub(crate) max_retransmit: u8,
    pub(crate) awake_s: u32,
    pub(crate) poll_s: u32,
    pub(crate) observe_min_s: Option<u32>,
    pub(crate) observe_max_s: Option<u32>,
    pub(crate) partial_update: bool,
    pub(crate) objects: Vec<ObjectSettings>,
    pub(crate) upstream: UpstreamSettings,
}

/// Who may register under which name where the transport proves an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IdentityRule {
    /// Whoever is let in, under any name.
    Any,
    /// Under any name that nobody with another identity has.
    Bound,
    /// Only under a name that is the identity.
    Endpoint,
}

/// What concerns the other direction: things of others as objects of an LwM2M client.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UpstreamSettings {
    pub(crate) endpoint: String,
    pub(crate) lifetime_s: u32,
    pub(crate) version: UpstreamVersion,
    pub(crate) objects: Vec<ObjectRule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum UpstreamVersion {
    #[serde(rename = "1.0")]
    V1_0,
    #[serde(rename = "1.1")]
    V1_1,
}

/// Which object shows a field; the first rule that fits is used.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectRule {
    /// The end of a thing's address.
    pub(crate) thing: Option<String>,
    pub(crate) field: Option<String>,
    pub(crate) unit: Option<String>,
    /// None: the field is not shown.
    pub(crate) object: Option<u16>,
    pub(crate) resource: Option<u16>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_devices: 1000,
            max_instances: 256,
            forget_s: 2_592_000,
            identity: IdentityRule::Bound,
            identities: BTreeMap::new(),
            ack_timeout_ms: 2000,
            max_retransmit: 4,
            awake_s: 93,
            poll_s: 60,
            observe_min_s: None,
            observe_max_s: None,
            partial_update: false,
            objects: Vec::new(),
            upstream: UpstreamSettings::default(),
        }
    }
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self { endpoint: "tombolo".into(), lifetime_s: 300, version: UpstreamVersion::V1_1, objects: Vec::new() }
    }
}

impl Settings {
    /// Reads settings; an error is for the operator.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        let text = if json.trim().is_empty() { "{}" } else { json };
        let settings: Self = serde_json::from_str(text).map_err(|error| format!("settings: {error}"))?;
        if settings.upstream.objects.iter().any(|rule| rule.resource.is_some() && rule.object.is_none()) {
            return Err("settings: a rule of upstream.objects that names a resource names its object too".into());
        }
        Ok(settings)
    }

    pub(crate) fn timing(&self) -> Timing {
        Timing { acknowledge_ms: self.ack_timeout_ms, repetitions: self.max_retransmit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_needs_to_be_set() {
        assert_eq!(Settings::parse("").unwrap().max_devices, 1000);
        assert!(Settings::parse(r#"{"max_device": 1}"#).unwrap_err().contains("max_device"));
        assert!(Settings::parse(r#"{"upstream": {"objects": [{"resource": 1}]}}"#).is_err());
    }

    #[test]
    fn the_schema_knows_every_member_and_its_default() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        let members = schema["properties"].as_object().unwrap();
        for name in members.keys() {
            let error = Settings::parse(&format!(r#"{{"{name}": {{"no": {{"such": 1}}}}}}"#)).unwrap_err();
            assert!(!error.contains("unknown field `{name}`"), "{name}: {error}");
        }
        let defaults: serde_json::Map<_, _> =
            members.iter().filter_map(|(name, member)| Some((name.clone(), member.get("default")?.clone()))).collect();
        let read = Settings::parse(&serde_json::to_string(&defaults).unwrap()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", Settings::default()));
    }
}
