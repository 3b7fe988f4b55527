//! The bridge's settings as the operator writes them, and the schema that describes them. Owns their shape, defaults and bounds. The host
//! checks settings against the schema before a mapper sees them.

use serde::Deserialize;

use crate::mapping::Kind;

/// JSON Schema (2020-12) of [`Settings`].
pub(crate) const SCHEMA: &str = include_str!("settings.schema.json");

/// Everything.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) base: String,
    pub(crate) release: String,
    pub(crate) ae_name: String,
    originator: Option<String>,
    pub(crate) app_id: String,
    pub(crate) roots: Vec<String>,
    pub(crate) labels: Vec<String>,
    pub(crate) command_name: String,
    pub(crate) page_size: Option<u64>,
    pub(crate) max_nodes: usize,
    pub(crate) parallel: usize,
    pub(crate) timeout_s: u32,
    pub(crate) reconnect_max_s: u32,
    pub(crate) discover_s: u32,
    pub(crate) check_s: u32,
    pub(crate) poll_s: u32,
    pub(crate) history_max: usize,
    pub(crate) lifetime_s: Option<u32>,
    pub(crate) resources: Vec<ResourceSettings>,
    pub(crate) mirror_readers: Vec<String>,
    pub(crate) mirror_controllers: Vec<String>,
    pub(crate) mirror_acp: Vec<String>,
    pub(crate) mirror_instances: u32,
    pub(crate) mirror_flex_containers: bool,
    pub(crate) command_age_max_s: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            base: "-".into(),
            release: "3".into(),
            ae_name: "tombolo".into(),
            originator: None,
            app_id: "Ntombolo".into(),
            roots: Vec::new(),
            labels: Vec::new(),
            command_name: "command".into(),
            page_size: None,
            max_nodes: 2_000,
            parallel: 4,
            timeout_s: 20,
            reconnect_max_s: 60,
            discover_s: 60,
            check_s: 300,
            poll_s: 10,
            history_max: 1000,
            lifetime_s: None,
            resources: Vec::new(),
            mirror_readers: Vec::new(),
            mirror_controllers: Vec::new(),
            mirror_acp: Vec::new(),
            mirror_instances: 100,
            mirror_flex_containers: false,
            command_age_max_s: 60,
        }
    }
}

/// What the operator says of resources whose path fits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceSettings {
    /// As the node's id; `*` stands for any one name, `**` at the end for any rest.
    pub(crate) path: String,
    /// Where controls are created: a name beside or an address below the resource, or an address that begins with a slash.
    pub(crate) command: Option<String>,
    /// Controls are created in the resource itself.
    #[serde(default)]
    pub(crate) settable: bool,
    #[serde(default)]
    pub(crate) fields: Vec<FieldSettings>,
}

/// One field of such a resource.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldSettings {
    pub(crate) name: String,
    /// Members of a JSON content joined by slashes; empty: the whole content. A flexContainer's attribute by its short name.
    #[serde(default)]
    pub(crate) pointer: String,
    #[serde(default = "quantity", rename = "type")]
    pub(crate) kind: Kind,
    #[serde(default)]
    pub(crate) unit: String,
    #[serde(default)]
    pub(crate) label: String,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
}

const fn quantity() -> Kind {
    Kind::Quantity
}

impl FieldSettings {
    pub(crate) fn steps(&self) -> Vec<String> {
        self.pointer.split('/').filter(|step| !step.is_empty()).map(str::to_owned).collect()
    }
}

impl ResourceSettings {
    fn fits(&self, id: &str) -> bool {
        let (mut pattern, mut names) = (self.path.split('/'), id.split('/'));
        loop {
            match (pattern.next(), names.next()) {
                (Some("**"), _) => return true,
                (Some("*"), Some(_)) => {}
                (Some(word), Some(name)) if word == name => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }
}

impl Settings {
    /// Reads settings; an error is for the operator.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        let text = if json.trim().is_empty() { "{}" } else { json };
        let mut settings: Self = serde_json::from_str(text).map_err(|error| format!("settings: {error}"))?;
        settings.base = settings.base.trim_end_matches('/').to_owned();
        let is_name = |name: &str| !name.is_empty() && crate::codec::address::name(name) == name;
        if !is_name(&settings.ae_name) || !is_name(&settings.command_name) {
            return Err(
                "settings: ae_name and command_name are names of resources: letters, digits, '.', '_', '-'".into()
            );
        }
        if settings.base.is_empty() || settings.release.is_empty() {
            return Err("settings: base and release must not be empty".into());
        }
        if settings.parallel == 0 || settings.timeout_s == 0 || settings.page_size == Some(0) {
            return Err("settings: parallel, timeout_s and page_size begin at 1".into());
        }
        Ok(settings)
    }

    /// What a registration begins with: an AE-ID of our own, or `C` and `S`, for which the CSE chooses one.
    pub(crate) fn originator(&self) -> String {
        self.originator.clone().unwrap_or_else(|| format!("C{}", self.ae_name))
    }

    /// Address of our AE.
    pub(crate) fn ae(&self) -> String {
        format!("{}/{}", self.base, self.ae_name)
    }

    /// Where discovery begins.
    pub(crate) fn root_addresses(&self) -> Vec<String> {
        if self.roots.is_empty() {
            return vec![self.base.clone()];
        }
        self.roots.iter().map(|root| self.address(root)).collect()
    }

    /// An address as an operator writes it: with a slash it is complete, else it is below the base.
    pub(crate) fn address(&self, text: &str) -> String {
        match text.trim_end_matches('/') {
            whole if whole.starts_with('/') => whole.to_owned(),
            below => format!("{}/{below}", self.base),
        }
    }

    /// The first words that fit.
    pub(crate) fn of(&self, id: &str) -> Option<&ResourceSettings> {
        self.resources.iter().find(|resource| resource.fits(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_needs_to_be_set() {
        let settings = Settings::parse("").unwrap();
        assert_eq!((settings.originator(), settings.ae()), ("Ctombolo".into(), "-/tombolo".into()));
        assert_eq!(settings.root_addresses(), ["-"]);
    }

    #[test]
    fn roots_are_below_the_base_or_complete() {
        let settings = Settings::parse(r#"{"base": "cse-in/", "roots": ["dev", "/id-in/cse-in/x"]}"#).unwrap();
        assert_eq!(settings.root_addresses(), ["cse-in/dev", "/id-in/cse-in/x"]);
    }

    #[test]
    fn unfit_values_are_refused() {
        for json in [
            r#"{"ae_nam": "x"}"#,
            r#"{"ae_name": "a b"}"#,
            r#"{"parallel": 0}"#,
            r#"{"base": "/"}"#,
            r#"{"page_size": 0}"#,
        ] {
            assert!(Settings::parse(json).is_err(), "{json}");
        }
    }

    #[test]
    fn patterns_go_by_names() {
        let fits = |path: &str, id: &str| {
            let settings = Settings::parse(&format!(r#"{{"resources": [{{"path": "{path}"}}]}}"#)).unwrap();
            settings.of(id).is_some()
        };
        assert!(fits("dev/*", "dev/temp") && fits("dev/**", "dev/a/b") && fits("**", "x") && fits("a", "a"));
        assert!(!fits("dev/*", "dev/a/b") && !fits("dev", "dev/a") && !fits("dev/temp", "dev"));
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
        let declared = format!("{:?}", Settings::default()).matches(": ").count();
        assert_eq!(members.len(), declared, "every member is described");
    }
}
