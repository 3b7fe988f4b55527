//! `plugin inspect` and `plugin replay`: what a host would say of a file.

use std::path::Path;

use tombolo_core::model::bridge::Description;
use tombolo_runtime::{Engine, InstanceLimits, Package};

use super::{Exit, say};
use crate::app::endpoint_example;

async fn load(file: &Path) -> Result<Package, Exit> {
    let bytes = std::fs::read(file).map_err(|error| Exit::Usage(format!("{}: {error}", file.display())))?;
    let engine = Engine::new(None).map_err(|error| Exit::Internal(error.to_string()))?;
    engine.load(bytes).await.map_err(|refusal| Exit::Configuration(format!("{}: {refusal}", file.display())))
}

/// What it is, what it wants, and what to paste into `tombolo.toml`.
pub(super) async fn inspect(file: &Path, json: bool) -> Result<(), Exit> {
    let package = load(file).await?;
    let description = &package.description;
    if json {
        say(serde_json::json!({
            "name": description.name, "version": description.version, "protocol": description.protocol, "summary": description.summary,
            "hash": &*package.hash, "contract": &*package.contract, "imports": &*package.imports,
            "endpoints": description.endpoints, "reads_state": description.reads_state,
            "settings_schema": serde_json::from_str::<serde_json::Value>(&description.settings_schema).unwrap_or_default(),
        }));
        return Ok(());
    }
    say(format_args!("{} {}: {}", description.name, description.version, description.summary));
    say(format_args!("protocol   {}", description.protocol));
    say(format_args!("contract   tombolo:mapper@{}", package.contract));
    say(format_args!("sha-256    {}", package.hash));
    match package.imports.is_empty() {
        true => say("imports    nothing"),
        false => say(format_args!("imports    {} (a call ends the instance)", package.imports.join(", "))),
    }
    for need in &description.endpoints {
        let required = if need.required { "required" } else { "optional" };
        say(format_args!("endpoint   {} ({required}; {}): {}", need.name, need.schemes.join(", "), need.purpose));
    }
    let stem = file.file_stem().map_or_else(|| description.name.clone(), |stem| stem.to_string_lossy().into_owned());
    say("\nTo use it, write into tombolo.toml:\n");
    say(section(&stem, description));
    Ok(())
}

fn section(plugin: &str, description: &Description) -> String {
    let mut text = format!("[bridges.NAME]\nplugin = \"{plugin}\"\n");
    if !description.endpoints.is_empty() {
        text.push_str("\n[bridges.NAME.endpoints]\n");
    }
    for need in &description.endpoints {
        let comment = if need.required { "" } else { "# " };
        text.push_str(&format!("{comment}{} = {{ {} }}  # {}\n", need.name, endpoint_example(need), need.purpose));
    }
    let schema: serde_json::Value = serde_json::from_str(&description.settings_schema).unwrap_or_default();
    let Some(members) = schema.get("properties").and_then(serde_json::Value::as_object) else { return text };
    if !members.is_empty() {
        text.push_str("\n[bridges.NAME.settings]\n");
    }
    let required: Vec<&str> = schema
        .get("required")
        .and_then(serde_json::Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(serde_json::Value::as_str)
        .collect();
    for (name, member) in members {
        let comment = if required.contains(&name.as_str()) { "" } else { "# " };
        let about =
            member.get("description").and_then(serde_json::Value::as_str).unwrap_or_default().replace('\n', " ");
        text.push_str(&format!("{comment}{name} = {}  # {about}\n", example(member)));
    }
    text
}

/// A value in the form that TOML wants: the default, or something of the right kind.
fn example(member: &serde_json::Value) -> String {
    if member.get("writeOnly").and_then(serde_json::Value::as_bool) == Some(true) {
        return "{ file = \"secrets/NAME\" }".into();
    }
    if let Some(value) =
        member.get("default").filter(|value| value.is_string() || value.is_number() || value.is_boolean())
    {
        return value.to_string();
    }
    match member.get("type").and_then(serde_json::Value::as_str) {
        Some("integer" | "number") => "0",
        Some("boolean") => "false",
        Some("array") => "[]",
        Some("object") => "{}",
        _ => "\"\"",
    }
    .into()
}

/// Runs what a journal recorded and compares.
pub(super) async fn replay(file: &Path, transcript: &Path) -> Result<(), Exit> {
    let package = load(file).await?;
    let recorded =
        std::fs::File::open(transcript).map_err(|error| Exit::Usage(format!("{}: {error}", transcript.display())))?;
    let replayed =
        tombolo_runtime::replay(&package, std::io::BufReader::new(recorded), InstanceLimits::default()).await;
    match replayed {
        Ok(replayed) => {
            say(format_args!("{}: {} calls, all as recorded", transcript.display(), replayed.calls));
            Ok(())
        }
        Err(difference) => Err(Exit::NotAllowed(format!("{}: {difference}", transcript.display()))),
    }
}
