//! Whether a configuration would work: plugins, their settings and their grants, looked at without starting anything.

use crate::app::{complaints, trial, unlikely};
use crate::config::{Bridge, Config, Xmpp};
use crate::reload::plugin_files;
use tombolo_core::hub::How;
use tombolo_core::model::BareJid;
use tombolo_core::policy::Policy;
use tombolo_runtime::{Engine, EngineError};

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// What keeps a bridge from working.
    pub problems: Vec<String>,
    /// What the operator may want to know.
    pub notes: Vec<String>,
}

/// Looks at every plugin file and at every bridge. Leaves nothing behind: not even compiled code is kept.
pub async fn check(config: &Config) -> Result<Findings, EngineError> {
    let engine = Engine::new(None)?;
    let mut findings = Findings::default();
    let files = plugin_files(&config.plugins).unwrap_or_default();
    for (name, bridge) in &config.bridges {
        let at = format!("{}:{}: bridges.{name}", config.file.display(), bridge.line.0);
        let Some(file) = files.get(&bridge.plugin) else {
            findings.problems.push(format!("{at}: there is no {}/{}.wasm", config.plugins.display(), bridge.plugin));
            continue;
        };
        let bytes = match std::fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) => {
                findings.problems.push(format!("{at}: {}: {error}", file.display()));
                continue;
            }
        };
        match engine.load(bytes).await {
            Ok(package) => {
                let mut complaints = complaints(name, bridge, &package);
                if complaints.is_empty() {
                    complaints.extend(trial(name, bridge, &package, None).await);
                }
                findings
                    .problems
                    .extend(complaints.iter().map(|problem| format!("{}:{problem}", config.file.display())));
                findings.notes.extend(unlikely(bridge, &package).iter().map(|note| format!("{at}: {note}")));
            }
            Err(reason) => findings.problems.push(format!("{at}: {}: {reason}", file.display())),
        }
    }
    let unused = files.keys().filter(|name| !config.bridges.values().any(|bridge| bridge.plugin == **name));
    findings.notes.extend(unused.map(|name| format!("plugin {name} is used by no bridge")));
    findings.notes.extend(unread(config));
    findings.notes.extend(unruled_mirrors(config));
    if config.allow.is_empty() {
        findings.notes.push("there is no [[allow]] rule: nobody may see anything".into());
    }
    Ok(findings)
}

/// Recipients of `[[publish]]` sections who may read nothing.
fn unread(config: &Config) -> impl Iterator<Item = String> {
    let policy = Policy::new(config.allow.clone());
    config.publish.iter().filter_map(move |rule| match &rule.how {
        How::Message { to, .. } if !policy.knows(&to.to_bare()) => {
            Some(format!("[[publish]] to {to}: no [[allow]] rule lets it read anything, so nothing is sent"))
        }
        _ => None,
    })
}

/// Our own things are mirrored under the rules that name our own account: without one, there is nothing to see.
fn unruled_mirrors(config: &Config) -> Vec<String> {
    let own = match &config.xmpp {
        Xmpp::Client(client) => client.jid.to_bare(),
        Xmpp::Component(component) => component.domain.clone(),
        Xmpp::Local(_) => return Vec::new(),
    };
    let is_component = matches!(config.xmpp, Xmpp::Component(_));
    let is_own = |jid: &BareJid| *jid == own || (is_component && jid.domain() == own.domain());
    let policy = Policy::new(config.allow.clone());
    let mirrors_own = |bridge: &Bridge| bridge.mirror.iter().any(|entry| is_own(&entry.jid));
    let bridges = config.bridges.iter().filter(|(_, bridge)| mirrors_own(bridge) && !policy.knows(&own));
    let note = |name: &String| {
        format!("bridge {name} mirrors our own {own}, whom no [[allow]] rule names: it will be shown nothing")
    };
    bridges.map(|(name, _)| note(name)).collect()
}
