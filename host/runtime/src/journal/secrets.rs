//! Takes secrets out of what is recorded. Stars of the same number stand in for one, in the settings and wherever the mapper sent it,
//! so that a recording still replays: with stars in its settings a mapper sends stars.

use serde_json::Value;
use tombolo_core::model::Secret;

/// A shorter secret would be found in words that are none; it is taken out of the settings only.
const BYTES_MIN: usize = 4;

/// What a recording must not hold.
pub(super) struct Secrets(Vec<Secret>);

impl Secrets {
    pub(super) fn new(secrets: Vec<Secret>) -> Self {
        Self(secrets)
    }

    /// Takes them out of a recorded call, at any depth.
    pub(super) fn hide(&self, line: &mut Value) {
        if self.0.is_empty() {
            return;
        }
        if let Some(Value::String(settings)) = line.pointer_mut("/input/settings") {
            self.hide_in_settings(settings);
        }
        self.0.iter().filter(|secret| secret.expose().len() >= BYTES_MIN).for_each(|secret| hide(line, secret));
    }

    /// The settings are JSON within JSON.
    fn hide_in_settings(&self, settings: &mut String) {
        let Ok(mut json) = serde_json::from_str::<Value>(settings) else { return };
        self.0.iter().for_each(|secret| hide_whole(&mut json, secret));
        *settings = json.to_string();
    }
}

fn hide_whole(value: &mut Value, secret: &Secret) {
    match value {
        Value::String(text) if text == secret.expose() => *text = "*".repeat(text.len()),
        Value::Array(members) => members.iter_mut().for_each(|member| hide_whole(member, secret)),
        Value::Object(members) => members.values_mut().for_each(|member| hide_whole(member, secret)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn hide(value: &mut Value, secret: &Secret) {
    match value {
        Value::String(text) if text.contains(secret.expose()) => {
            *text = text.replace(secret.expose(), &"*".repeat(secret.expose().len()));
        }
        Value::Array(members) if members.first().is_some_and(Value::is_u64) => hide_bytes(members, secret),
        Value::Array(members) => members.iter_mut().for_each(|member| hide(member, secret)),
        Value::Object(members) => members.values_mut().for_each(|member| hide(member, secret)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Bytes are recorded as numbers.
fn hide_bytes(members: &mut [Value], secret: &Secret) {
    let wanted = secret.expose().as_bytes();
    let mut at = 0;
    while let Some(window) = members.get_mut(at..at + wanted.len()) {
        let is_here = window.iter().zip(wanted).all(|(member, byte)| member.as_u64() == Some(u64::from(*byte)));
        if is_here {
            window.fill(Value::from(b'*'));
        }
        at += if is_here { wanted.len() } else { 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_in_for_secrets_wherever_they_are() {
        let secrets = Secrets::new(vec![Secret::new("hunt\"er2"), Secret::new("in")]);
        let settings = serde_json::json!({"password": "hunt\"er2", "pin": "in", "topic": "in/out"}).to_string();
        let bytes: Vec<u8> = [b"\x04\x00\x08", "hunt\"er2".as_bytes(), b"\x00"].concat();
        let mut line = serde_json::json!({
            "call": "start",
            "input": {"settings": settings},
            "actions": [{"Send": {"connection": 1, "bytes": bytes}}, {"Log": {"message": "with hunt\"er2, again"}}],
        });
        secrets.hide(&mut line);
        let settings: Value = serde_json::from_str(line["input"]["settings"].as_str().unwrap()).unwrap();
        assert_eq!(settings, serde_json::json!({"password": "********", "pin": "**", "topic": "in/out"}));
        let sent: Vec<u8> = serde_json::from_value(line["actions"][0]["Send"]["bytes"].clone()).unwrap();
        assert_eq!(sent, b"\x04\x00\x08********\x00");
        assert_eq!(line["actions"][1]["Log"]["message"], "with ********, again");
        assert_eq!(line["call"], "start");
    }
}
