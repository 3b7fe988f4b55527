//! What the operator changes while the service runs: plugin files and the configuration.
//!
//! Owns the comparison of the old configuration with the new one. A bad file changes nothing; a good one takes effect bridge by bridge,
//! and what did not change is not touched.

use std::collections::BTreeMap;

use tombolo_core::model::bridge::State;
use tombolo_runtime::Package;

use super::actions::short;
use super::catalog::Loaded;
use super::suits::{complaints, trial};
use super::{App, blocking, now};
use crate::config::{Bridge, Config, ConfigError, Xmpp};
use crate::reload::Change;

/// The configuration was read again and looked at.
pub(super) struct Reloaded {
    /// Which reading it was.
    number: u64,
    outcome: Result<Config, ConfigError>,
}

impl App {
    pub(super) fn handle_change(&mut self, change: Change) {
        match change {
            Change::Plugin { name, bytes, hash } => {
                self.catalog.load(name.clone(), hash, bytes);
                self.say_what_lacks(&name);
            }
            Change::PluginUnreadable { name, reason } => self.refuse_plugin(&name, "", reason),
            Change::PluginGone { name } => self.plugin_gone(&name),
            Change::Config => self.reload(),
            Change::Ready => {
                for plugin in self.config.bridges.values().map(|bridge| bridge.plugin.clone()).collect::<Vec<_>>() {
                    self.say_what_lacks(&plugin);
                }
            }
        }
    }

    /// A file was looked at: it goes to work wherever it is configured.
    pub(super) fn handle_loaded(&mut self, loaded: Loaded) {
        let Loaded { name, hash, outcome } = loaded;
        if !self.catalog.loaded(&name) {
            return;
        }
        let package = match outcome {
            Ok(package) => package,
            Err(reason) => return self.refuse_plugin(&name, &hash, reason),
        };
        let bridges = self.bridges.using(&name);
        let version = &package.description.version;
        tracing::info!(plugin = name, version, hash = short(&hash), bridges = bridges.join(","), "plugin loaded");
        self.catalog.keep(&name, Ok(package));
        for bridge in bridges {
            self.employ(&bridge);
        }
    }

    fn refuse_plugin(&mut self, name: &str, hash: &str, reason: String) {
        let bridges = self.bridges.using(name);
        tracing::error!(plugin = name, bridge = bridges.join(","), hash = short(hash), reason, "plugin refused");
        for bridge in bridges {
            if let Some(slot) = self.bridges.get_mut(&bridge) {
                slot.refuse(&reason);
            }
        }
        self.catalog.keep(name, Err(reason));
    }

    /// Bridges that cannot start say why.
    fn say_what_lacks(&mut self, plugin: &str) {
        let (state, reason) = self.catalog.lacks(plugin);
        for bridge in self.bridges.using(plugin) {
            if let Some(slot) = self.bridges.get_mut(&bridge)
                && slot.running.is_none()
            {
                slot.set(state, Some(reason.clone()));
            }
        }
    }

    /// Starts a bridge, or swaps what it runs, if its plugin is there.
    pub(super) fn employ(&mut self, bridge: &str) {
        let Some(plugin) = self.bridges.get(bridge).map(|slot| slot.config.plugin.clone()) else { return };
        let Some(package) = self.catalog.package(&plugin).cloned() else { return self.say_what_lacks(&plugin) };
        let stored = self.hub.stored_receipts(bridge);
        if let Err(reason) = self.bridges.employ(bridge, &package, stored) {
            let (version, hash) = (&package.description.version, short(&package.hash));
            // One line in the log; `status` and `check` show the lines to paste as they are.
            tracing::error!(plugin, bridge, version, hash, reason, "plugin refused");
        }
    }

    fn plugin_gone(&mut self, name: &str) {
        let bridges = self.bridges.using(name).join(",");
        let (version, hash) =
            self.catalog.package(name).map_or(("", ""), |gone| (&*gone.description.version, short(&gone.hash)));
        tracing::info!(plugin = name, bridge = bridges, version, hash, "plugin removed");
        self.catalog.forget(name);
        for bridge in self.bridges.using(name) {
            self.stop_bridge(&bridge);
            if let Some(slot) = self.bridges.get_mut(&bridge) {
                slot.set("waiting", Some(format!("plugins/{name}.wasm was removed")));
            }
        }
    }

    /// Tells a bridge to stop; its nodes stay, as offline. Whether it has to be waited for.
    pub(super) fn stop_bridge(&mut self, name: &str) -> bool {
        self.hub.bridge_down(name, now());
        self.bridges.stop(name)
    }

    /// A bridge that is not in the configuration any more has stopped.
    pub(super) fn let_go(&mut self, name: &str) {
        self.bridges.remove(name);
        self.hub.bridge_removed(name, now());
        self.store.forget(name);
    }

    /// Reads the configuration again, beside everything else: mappers are asked whether they would start with it.
    pub(super) fn reload(&mut self) {
        self.reloads += 1;
        let (number, file, read) = (self.reloads, self.config.file.clone(), self.reloaded.clone());
        let (old, packages) = (self.config.bridges.clone(), self.catalog.packages());
        let states = self.bridges.iter().map(|(name, slot)| (name.clone(), slot.checkpoint.clone())).collect();
        tokio::spawn(async move {
            let outcome = match blocking(move || Config::load(&file)).await {
                Ok(new) => refusals(&new, &old, &packages, states).await.map(|()| new),
                Err(error) => Err(error),
            };
            // Nobody hears it any more: the service ends.
            let _ = read.send(Reloaded { number, outcome }).await;
        });
    }

    /// The configuration was read. What a later reading will answer is not for us.
    pub(super) fn handle_reloaded(&mut self, reloaded: Reloaded) {
        if reloaded.number != self.reloads {
            return;
        }
        let said = match reloaded.outcome {
            Ok(new) => {
                self.refused_configuration = None;
                let is_changed = new != self.config;
                match is_changed {
                    true => self.adopt(new),
                    false => tracing::info!("configuration unchanged"),
                }
                // Even if nothing changed in the file: the files of a certificate may have been renewed.
                self.reload_private_server();
                Ok(is_changed)
            }
            Err(error) => {
                tracing::error!(reason = %error, "configuration refused; the old one stays in force");
                self.refused_configuration = Some(error.to_string());
                Err(error.to_string())
            }
        };
        self.grant_reloads(&said);
    }

    fn adopt(&mut self, new: Config) {
        self.name_what_needs_a_restart(&new);
        if new.policy() != self.config.policy() {
            self.hub.rules_changed(new.policy(), now());
        }
        if new.queues != self.config.queues {
            self.hub.queues_changed(new.queues.clone(), now());
        }
        self.hub.answer_inline(new.inline_answers);
        if new.http != self.config.http {
            self.hub.http_changed(new.http.clone(), now());
        }
        if new.publish != self.config.publish {
            self.hub.publish_changed(new.publish.clone(), now());
        }
        let old = std::mem::replace(&mut self.config, new);
        if old.doors != self.config.doors {
            self.keep_doors();
        }
        let leaving: Vec<_> = old.bridges.keys().filter(|name| !self.config.bridges.contains_key(*name)).collect();
        for name in leaving {
            if let Some(slot) = self.bridges.get_mut(name) {
                slot.is_leaving = true;
                slot.set("stopping", Some("is no longer in the configuration".to_owned()));
            }
            if !self.stop_bridge(name) {
                self.let_go(name);
            }
        }
        let changed = |(name, bridge): &(&String, &crate::config::Bridge)| old.bridges.get(*name) != Some(*bridge);
        let entering: Vec<_> =
            self.config.bridges.iter().filter(changed).map(|(name, bridge)| (name.clone(), bridge.clone())).collect();
        for (name, bridge) in entering {
            self.hub.bridge_added(&name, &name, now());
            self.hub.mirror(&name, bridge.mirror.clone(), now());
            let has_to_stop = self.stop_bridge(&name);
            self.bridges.change(&name, bridge);
            if !has_to_stop {
                self.employ(&name);
            }
        }
        tracing::info!(bridges = self.config.bridges.len(), "configuration adopted");
    }

    /// Accounts of people take effect at once.
    fn reload_private_server(&self) {
        if let (Some(server), Xmpp::Local(settings)) = (&self.local, &self.config.xmpp)
            && let Err(error) = server.reload(&settings.accounts)
        {
            tracing::error!(reason = %error, "the accounts of the private XMPP server could not be written");
        }
    }

    fn name_what_needs_a_restart(&self, new: &Config) {
        let changed = [
            ("xmpp", !is_same_server(&new.xmpp, &self.config.xmpp)),
            ("plugins", new.plugins != self.config.plugins),
            ("state", new.state != self.config.state),
            ("admin", new.admin != self.config.admin),
        ];
        for (key, _) in changed.iter().filter(|(_, changed)| *changed) {
            tracing::warn!(key, "this part of the configuration takes effect when the service is started again");
        }
    }
}

/// What the plugins that are here say of the sections that change: by their schemas, and by starting once with the newest checkpoint, which
/// is all that such an instance ever does. A section that was refused before and stays as it is keeps no other change away.
async fn refusals(
    new: &Config,
    old: &BTreeMap<String, Bridge>,
    packages: &BTreeMap<String, Package>,
    mut states: BTreeMap<String, Option<State>>,
) -> Result<(), ConfigError> {
    let mut problems = Vec::new();
    for (name, bridge) in new.bridges.iter().filter(|(name, bridge)| old.get(*name) != Some(*bridge)) {
        let Some(package) = packages.get(&bridge.plugin) else { continue };
        let found = complaints(name, bridge, package);
        match found.is_empty() {
            true => problems.extend(trial(name, bridge, package, states.remove(name).flatten()).await),
            false => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(ConfigError { file: new.file.clone(), problems }) }
}

/// Whether nothing changed but people's accounts.
fn is_same_server(new: &Xmpp, old: &Xmpp) -> bool {
    match (new, old) {
        (Xmpp::Local(new), Xmpp::Local(old)) => {
            new.domain == old.domain && new.listen == old.listen && new.certificate == old.certificate
        }
        (new, old) => new == old,
    }
}
