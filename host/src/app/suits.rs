//! Whether a bridge's section is what its plugin needs, before anything is started for it.
//!
//! Owns the complaints: which line, which key, what to write instead. Never shows a value: it may be a secret.

use std::collections::BTreeMap;

use jsonschema::error::ValidationErrorKind;
use serde_json::Value;
use tombolo_core::model::bridge::{EndpointNeed, StartInput, State, Why};
use tombolo_core::model::{Secret, Timestamp};
use tombolo_core::policy::Grant;
use tombolo_runtime::{InstanceLimits, Package, Program};

use crate::config::{Bridge, Endpoint, Problem, hint};

/// What the operator's section lacks for the plugin.
pub(crate) fn complaints(name: &str, bridge: &Bridge, package: &Package) -> Vec<Problem> {
    let description = &package.description;
    let missing =
        description.endpoints.iter().filter(|need| need.required && !bridge.endpoints.contains_key(&need.name));
    let mut complaints: Vec<Problem> = missing.map(|need| missing_endpoint(name, bridge, need)).collect();
    match about_settings(name, bridge, &description.settings_schema) {
        Ok(more) => complaints.extend(more),
        Err(what) => {
            complaints.push(Problem { line: Some(bridge.line.0), key: format!("bridges.{name}.plugin"), what })
        }
    }
    complaints
}

/// What the plugin itself says of its settings, which no schema can say: a fresh instance starts, and that is all it does.
pub(crate) async fn trial(name: &str, bridge: &Bridge, package: &Package, state: Option<State>) -> Option<Problem> {
    // What it cannot read it is not given when it starts in earnest either.
    let state = state.filter(|state| package.description.reads_state.contains(&state.version));
    let input = StartInput {
        now: Timestamp(0),
        why: if state.is_some() { Why::Restarted } else { Why::Fresh },
        settings: bridge.settings.expose().to_string(),
        seed: 1,
        state,
        connections: Vec::new(),
        requests: Vec::new(),
        granted: bridge.granted(),
    };
    let started = match package.instantiate(limits(bridge)).await {
        Ok(mut instance) => instance.start(input).await.map(|_| ()),
        Err(fault) => Err(fault),
    };
    let what = started.err()?.to_string();
    Some(Problem { line: Some(bridge.line.0), key: format!("bridges.{name}"), what })
}

/// What no recording may hold: what was fetched as a secret, and texts whose schema says `writeOnly`.
pub(crate) fn secrets(bridge: &Bridge, package: &Package) -> Vec<Secret> {
    let mut secrets = bridge.settings.secrets().to_vec();
    if let Ok(schema) = serde_json::from_str(&package.description.settings_schema) {
        write_only(&schema, bridge.settings.expose(), &mut secrets);
    }
    secrets
}

fn write_only(schema: &Value, value: &Value, secrets: &mut Vec<Secret>) {
    match value {
        Value::String(text) if schema.get("writeOnly") == Some(&Value::Bool(true)) => secrets.push(Secret::new(text)),
        Value::Array(members) => {
            let of_members = schema.get("items").unwrap_or(&Value::Null);
            members.iter().for_each(|member| write_only(of_members, member, secrets));
        }
        Value::Object(members) => {
            for (name, member) in members {
                write_only(schema.pointer(&format!("/properties/{name}")).unwrap_or(&Value::Null), member, secrets);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What one instance of the bridge may use.
pub(crate) fn limits(bridge: &Bridge) -> InstanceLimits {
    InstanceLimits { memory_bytes: bridge.limits.memory_bytes, deadline: bridge.limits.deadline }
}

fn missing_endpoint(name: &str, bridge: &Bridge, need: &EndpointNeed) -> Problem {
    let what = format!(
        "needs the endpoint `{endpoint}` ({purpose}), which is not granted; write\n[bridges.{name}.endpoints]\n{endpoint} = {{ {example} }}",
        endpoint = need.name,
        purpose = need.purpose,
        example = endpoint_example(need),
    );
    Problem { line: Some(bridge.line.0), key: format!("bridges.{name}"), what }
}

/// What an operator would write to grant an endpoint. A scheme that a plugin names can have the kind of endpoint in front, as in
/// `listen:coap`, `group:udp` or `serve:http`; otherwise it is one to connect to.
pub(crate) fn endpoint_example(need: &EndpointNeed) -> String {
    let first = need.schemes.first().map_or("tcp", String::as_str);
    let (kind, scheme) = first.split_once(':').unwrap_or(("connect", first));
    let keys = match scheme {
        "coaps" | "dtls" => ", keys = { IDENTITY = { file = \"PATH\" } }",
        "tls" | "mqtts" | "amqps" | "https" => ", certificate = \"PATH\", key = \"PATH\"",
        _ => "",
    };
    match kind {
        "listen" => format!("listen = \"{scheme}://0.0.0.0:PORT\"{keys}"),
        "group" => "group = \"ADDRESS:PORT\", interface = \"NAME\"".to_owned(),
        "serve" => format!("serve = \"{scheme}://0.0.0.0:PORT\", public = \"{scheme}://THIS-HOST:PORT\"{keys}"),
        _ => format!("connect = \"{scheme}://HOST\""),
    }
}

/// Endpoints that are granted in another way than the plugin says it uses them.
pub(crate) fn unlikely(bridge: &Bridge, package: &Package) -> Vec<String> {
    let needs = &package.description.endpoints;
    let note = |(name, endpoint): (&String, &Endpoint)| {
        let Some(need) = needs.iter().find(|need| need.name == *name) else {
            return Some(format!("the plugin does not ask for the endpoint `{name}`"));
        };
        let kind = match &endpoint.grant {
            Grant::Connect { .. } => "",
            Grant::Listen(listener) if listener.is_server() => "serve:",
            Grant::Listen(_) => "listen:",
            Grant::Group(_) => "group:",
        };
        let schemes = endpoint.grant.schemes();
        let granted: Vec<String> = schemes.iter().map(|scheme| format!("{kind}{scheme}")).collect();
        let is_likely = need.schemes.is_empty() || granted.iter().any(|granted| need.schemes.contains(granted));
        let wanted = need.schemes.join(", ");
        let granted = granted.join(", ");
        (!is_likely).then(|| format!("the endpoint `{name}` is granted for {granted}; the plugin expects {wanted}"))
    };
    bridge.endpoints.iter().filter_map(note).collect()
}

fn about_settings(name: &str, bridge: &Bridge, schema: &str) -> Result<Vec<Problem>, String> {
    let schema: Value =
        serde_json::from_str(schema).map_err(|error| format!("the plugin's settings schema is no JSON: {error}"))?;
    let validator =
        jsonschema::validator_for(&schema).map_err(|error| format!("the plugin's settings schema is none: {error}"))?;
    let mut found = BTreeMap::new();
    for error in validator.iter_errors(bridge.settings.expose()) {
        for (pointer, what) in worded(&error, &schema) {
            let line = bridge.settings.line(&pointer).unwrap_or(bridge.line);
            let key = format!("bridges.{name}.settings{}", pointer.replace('/', "."));
            found.insert((line.0, key.clone()), Problem { line: Some(line.0), key, what });
        }
    }
    Ok(found.into_values().collect())
}

/// Where in the settings something is wrong, as JSON pointers, and what.
fn worded(error: &jsonschema::ValidationError<'_>, schema: &Value) -> Vec<(String, String)> {
    let at = error.instance_path().to_string();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let known = schema.pointer(error.schema_path().to_string().trim_end_matches("/additionalProperties"));
            let known = known.and_then(|object| object.get("properties")?.as_object());
            let hint = |word: &str| hint(word, known.into_iter().flat_map(|known| known.keys().map(String::as_str)));
            unexpected.iter().map(|word| (format!("{at}/{word}"), format!("unknown setting{}", hint(word)))).collect()
        }
        ValidationErrorKind::Enum { options: Value::Array(options) } => {
            let options: Vec<String> = options.iter().map(ToString::to_string).collect();
            vec![(at, format!("must be one of {}", options.join(", ")))]
        }
        _ => vec![(at, error.masked().to_string())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wordings(schema: Value, settings: Value) -> Vec<(String, String)> {
        let validator = jsonschema::validator_for(&schema).unwrap();
        validator.iter_errors(&settings).flat_map(|error| worded(&error, &schema)).collect()
    }

    #[test]
    fn an_unknown_setting_is_named_with_the_one_that_was_meant() {
        let inner = serde_json::json!({"type": "object", "additionalProperties": false, "properties": {"topic": {}}});
        let schema = serde_json::json!({"type": "object", "additionalProperties": false, "properties": {"will": inner, "client_id": {}}});
        assert_eq!(
            wordings(schema.clone(), serde_json::json!({"clientid": 1})),
            [("/clientid".to_owned(), "unknown setting; did you mean \"client_id\"?".to_owned())]
        );
        assert_eq!(
            wordings(schema, serde_json::json!({"will": {"topik": 1}})),
            [("/will/topik".to_owned(), "unknown setting; did you mean \"topic\"?".to_owned())]
        );
    }

    #[test]
    fn what_the_schema_calls_write_only_is_secret() {
        let member = serde_json::json!({"properties": {"key": {"writeOnly": true}, "name": {}}});
        let schema = serde_json::json!({"properties": {"list": {"items": member}, "open": {}}});
        let mut found = Vec::new();
        let settings = serde_json::json!({"list": [{"key": "a", "name": "b"}, {"key": "c"}], "open": "d"});
        write_only(&schema, &settings, &mut found);
        assert_eq!(found, [Secret::new("a"), Secret::new("c")]);
    }

    #[test]
    fn values_are_never_shown_and_choices_always() {
        let schema = serde_json::json!({"properties": {"a": {"enum": ["x", "y"]}, "password": {"type": "integer"}}});
        let found = wordings(schema, serde_json::json!({"a": "secret", "password": "secret"}));
        assert_eq!(found[0], ("/a".to_owned(), "must be one of \"x\", \"y\"".to_owned()));
        assert!(found.iter().all(|(_, what)| !what.contains("secret")), "{found:?}");
    }
}
