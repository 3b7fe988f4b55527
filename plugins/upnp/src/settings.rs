//! The bridge's settings as the operator writes them, and the schema that describes them. Owns their shape, defaults and bounds.

use std::collections::BTreeMap;

use serde::Deserialize;

/// JSON Schema (2020-12) of [`Settings`].
pub(crate) const SCHEMA: &str = include_str!("settings.schema.json");

/// Everything.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Seconds between two searches.
    pub(crate) search_s: u32,
    /// Seconds between two readings of what is watched and tells no events.
    pub(crate) poll_s: u32,
    pub(crate) max_devices: usize,
    /// Patterns of device types that are shown; `*` stands for any text.
    pub(crate) device_types: Vec<String>,
    pub(crate) same_host: bool,
    /// Units of state variables, by name.
    pub(crate) units: BTreeMap<String, String>,
    /// Seconds that an announcement of ours is good for.
    pub(crate) max_age_s: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            search_s: 600,
            poll_s: 30,
            max_devices: 256,
            device_types: vec!["*".into()],
            same_host: true,
            units: BTreeMap::new(),
            max_age_s: 1800,
        }
    }
}

impl Settings {
    /// Reads settings; an error is for the operator.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        let text = if json.trim().is_empty() { "{}" } else { json };
        let settings: Self = serde_json::from_str(text).map_err(|error| format!("settings: {error}"))?;
        let is_in = |value: u32, least: u32| (least..=86_400).contains(&value);
        if !is_in(settings.search_s, 10) || !is_in(settings.poll_s, 1) || !is_in(settings.max_age_s, 60) {
            return Err("settings: search_s begins at 10, poll_s at 1, max_age_s at 60; each ends at 86400".into());
        }
        match (1..=2000).contains(&settings.max_devices) {
            true => Ok(settings),
            false => Err("settings: max_devices is 1 to 2000".into()),
        }
    }

    /// Whether devices of this type are shown.
    pub(crate) fn shows(&self, device_type: &str) -> bool {
        self.device_types.iter().any(|pattern| matches(pattern, device_type))
    }
}

/// `*` stands for any text. Looks for each piece as early as it can be, which needs no way back.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    for piece in middle {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_needs_to_be_set() {
        assert!(Settings::parse("").unwrap().shows("urn:schemas-upnp-org:device:BinaryLight:1"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [r#"{"serch_s": 1}"#, r#"{"search_s": 0}"#, r#"{"poll_s": 100000}"#, r#"{"max_devices": 0}"#] {
            assert!(Settings::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn stars_stand_for_any_text() {
        let all = [
            ("*", "", true),
            ("*", "x", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "a", false),
            ("*:BinaryLight:*", "urn:x:device:BinaryLight:1", true),
            ("a", "ab", false),
            ("*b*b", "ab", false),
        ];
        for (pattern, text, expected) in all {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn the_schema_knows_every_member_and_its_default() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        let members = schema["properties"].as_object().unwrap();
        let defaults: serde_json::Map<_, _> =
            members.iter().map(|(name, member)| (name.clone(), member["default"].clone())).collect();
        let read = Settings::parse(&serde_json::to_string(&defaults).unwrap()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", Settings::default()));
        assert_eq!(members.len(), 7);
    }
}
