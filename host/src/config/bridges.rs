//! `[bridges.NAME]`: which plugin, what it may reach, its settings and its limits.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};
use tombolo_core::hub::Mirror;
use tombolo_core::model::bridge::Granted;
use tombolo_core::model::{Secret, limits};
use tombolo_core::policy::Grants;
use toml::de::DeValue;

use super::document::{Field, Line, Section};
use super::endpoints::Endpoint;
use super::secret::is_reference;
use super::{mirror, secret, units};

/// One plugin at work.
#[derive(Clone, Debug, PartialEq)]
pub struct Bridge {
    /// Where its section begins.
    pub line: Line,
    /// The plugin's file name without `.wasm`.
    pub plugin: String,
    /// Whose things its mapper is shown.
    pub mirror: Vec<Mirror>,
    /// What it may reach, by the name that the plugin asks for.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// The plugin's own.
    pub settings: Settings,
    /// What it may use up.
    pub limits: Limits,
}

impl Bridge {
    /// What the bridge of this name may reach, for policy.
    pub fn grants(&self, name: &str) -> Grants {
        let grants = self.endpoints.iter().map(|(name, endpoint)| (name.clone(), endpoint.grant.clone()));
        Grants::new(name, grants.collect())
    }

    /// The same for its mapper.
    pub fn granted(&self) -> Vec<Granted> {
        let granted =
            |(name, endpoint): (&String, &Endpoint)| Granted { name: name.clone(), url: endpoint.grant.url() };
        self.endpoints.iter().map(granted).collect()
    }
}

/// A plugin's settings as JSON, secrets filled in. Never shown.
#[derive(Clone, Default)]
pub struct Settings {
    json: Value,
    secrets: Vec<Secret>,
    lines: BTreeMap<String, Line>,
}

impl Settings {
    /// The settings, with the secrets in them.
    pub fn expose(&self) -> &Value {
        &self.json
    }

    /// What was fetched from elsewhere, because it is secret.
    pub fn secrets(&self) -> &[Secret] {
        &self.secrets
    }

    /// Where the value at this JSON pointer stands in the file, or the nearest value around it.
    pub fn line(&self, pointer: &str) -> Option<Line> {
        let mut pointer = pointer;
        loop {
            match (self.lines.get(pointer), pointer.rsplit_once('/')) {
                (Some(line), _) => return Some(*line),
                (None, Some((outer, _))) => pointer = outer,
                (None, None) => return None,
            }
        }
    }
}

impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Settings(..)")
    }
}

/// What a bridge may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of one instance.
    pub memory_bytes: usize,
    /// For one call.
    pub deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: limits::INSTANCE_MEMORY_BYTES, deadline: Duration::from_millis(limits::CALL_DEADLINE_MS) }
    }
}

/// Reads `[bridges]`. For a component the names stand in addresses.
pub(super) fn read(section: &Section<'_>, is_component: bool) -> BTreeMap<String, Bridge> {
    let bridge = |(name, field): (&str, Field<'_>)| {
        check_name(&field, name, "a bridge");
        if name == "MeteringTopology" {
            field.complain("MeteringTopology is the union of all bridges; give the bridge another name");
        }
        let lower = name.to_ascii_lowercase();
        if is_component && lower != name {
            field.complain(format!("a component's nodes are NODE.BRIDGE@DOMAIN, in lower case; write bridges.{lower}"));
        }
        Some((name.to_owned(), Bridge::read(field.section()?)?))
    };
    section.entries().filter_map(bridge).collect()
}

impl Bridge {
    fn read(mut section: Section<'_>) -> Option<Self> {
        let line = section.line();
        let plugin = section.require("plugin", "\"mqtt\"").and_then(|field| plugin(&field));
        let mirror = section.take("mirror").map(|field| mirror::read(&field));
        let endpoints = section.take("endpoints").and_then(|field| field.section());
        let endpoints = endpoints.map(|section| read_endpoints(&section));
        let settings = section.take("settings").map(|field| Settings::read(&field));
        let limits = section.take("limits").and_then(|field| field.section()).map(Limits::read);
        section.finish();
        Some(Self {
            line,
            plugin: plugin?,
            mirror: mirror.unwrap_or_else(|| Some(Vec::new()))?,
            endpoints: endpoints.unwrap_or_default(),
            settings: settings.unwrap_or_else(Settings::empty),
            limits: limits.unwrap_or_default(),
        })
    }
}

fn read_endpoints(section: &Section<'_>) -> BTreeMap<String, Endpoint> {
    let endpoint = |(name, field): (&str, Field<'_>)| {
        check_name(&field, name, "an endpoint");
        Some((name.to_owned(), Endpoint::read(field.section()?)?))
    };
    section.entries().filter_map(endpoint).collect()
}

fn plugin(field: &Field<'_>) -> Option<String> {
    let name = field.text()?;
    let stem = name.strip_suffix(".wasm").unwrap_or(name);
    let is_file_name = !stem.is_empty() && !stem.starts_with('.') && !stem.contains(['/', '\\', '\0']);
    if !is_file_name || stem != name {
        let example = if is_file_name { stem } else { "mqtt" };
        field.complain(format!("write the plugin's file name without directory and `.wasm`, as in \"{example}\""));
        return None;
    }
    Some(name.to_owned())
}

/// Names stand in JIDs, rules and file names, so they are plain.
fn check_name(field: &Field<'_>, name: &str, what: &str) {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if !is_plain || name.is_empty() || name.len() > 64 {
        field.complain(format!("the name of {what} has 1 to 64 letters, digits, - and _"));
    }
}

impl Limits {
    fn read(mut section: Section<'_>) -> Self {
        let memory = section.take("memory").and_then(|field| field.parse(memory));
        let deadline = section.take("deadline").and_then(|field| field.parse(deadline));
        section.finish();
        let default = Self::default();
        Self { memory_bytes: memory.unwrap_or(default.memory_bytes), deadline: deadline.unwrap_or(default.deadline) }
    }
}

fn memory(text: &str) -> Result<usize, String> {
    let bytes = units::size(text).map_err(|error| format!("\"{text}\" is {error}"))?;
    let bounds = limits::INSTANCE_MEMORY_BYTES_MIN..=limits::INSTANCE_MEMORY_BYTES_MAX;
    usize::try_from(bytes).ok().filter(|bytes| bounds.contains(bytes)).ok_or_else(|| {
        let show = |bytes: &usize| units::show_size(*bytes as u64);
        format!("\"{text}\" is out of bounds; write {} to {}", show(bounds.start()), show(bounds.end()))
    })
}

fn deadline(text: &str) -> Result<Duration, String> {
    let deadline = units::duration(text).map_err(|error| format!("\"{text}\" is {error}"))?;
    let longest = Duration::from_millis(limits::CALL_DEADLINE_MS_MAX);
    if deadline < Duration::from_millis(1) || deadline > longest {
        return Err(format!("\"{text}\" is out of bounds; write 1 ms to {} s", longest.as_secs()));
    }
    Ok(deadline)
}

impl Settings {
    fn empty() -> Self {
        Self { json: Value::Object(Map::new()), secrets: Vec::new(), lines: BTreeMap::new() }
    }

    fn read(field: &Field<'_>) -> Self {
        let mut settings = Self::empty();
        if let Some(section) = field.section() {
            settings.json = settings.object(&section, "");
        }
        settings.lines.insert(String::new(), field.line());
        settings
    }

    fn object(&mut self, section: &Section<'_>, pointer: &str) -> Value {
        let mut object = Map::new();
        for (name, field) in section.entries() {
            let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
            object.insert(name.to_owned(), self.value(&field, &pointer));
        }
        Value::Object(object)
    }

    /// The value as JSON; null after a complaint.
    fn value(&mut self, field: &Field<'_>, pointer: &str) -> Value {
        self.lines.insert(pointer.to_owned(), field.line());
        match field.value {
            DeValue::String(text) => Value::from(text.as_ref()),
            DeValue::Boolean(value) => Value::from(*value),
            DeValue::Datetime(value) => Value::from(value.to_string()),
            DeValue::Integer(value) => {
                i64::from_str_radix(value.as_str(), value.radix()).map_or_else(|_| out_of_range(field), Value::from)
            }
            DeValue::Float(value) => {
                let number = value.as_str().parse().ok().and_then(serde_json::Number::from_f64);
                number.map_or_else(|| out_of_range(field), Value::Number)
            }
            DeValue::Array(_) => {
                let members = field.list().unwrap_or_default();
                let members = members.iter().enumerate();
                members.map(|(index, member)| self.value(member, &format!("{pointer}/{index}"))).collect()
            }
            DeValue::Table(table) if is_reference(table) => {
                let Some(secret) = secret::fetch(field) else { return Value::Null };
                let value = Value::from(secret.expose());
                self.secrets.push(secret);
                value
            }
            DeValue::Table(_) => match field.section() {
                Some(section) => self.object(&section, pointer),
                None => Value::Null,
            },
        }
    }
}

fn out_of_range(field: &Field<'_>) -> Value {
    field.complain("the number is out of range");
    Value::Null
}
