//! What an admin wants over XMPP and only the app can do: say how the service is, reload, release a bridge, restart one.
//!
//! Owns the carrying out and the sentence that the admin reads. Whether somebody may, the hub has decided.

use tombolo_core::hub::{Granted, Service, ServiceBridge, Wish};

use super::{App, now};

impl App {
    /// Does what is wished and says what became of it.
    pub(super) fn grant(&mut self, id: u64, wish: Wish) {
        if wish != Wish::Status {
            tracing::info!(?wish, "an admin asks");
        }
        let outcome = match wish {
            Wish::Status => Ok(Granted::Status(self.service())),
            Wish::Reload => return self.reload_all(id),
            Wish::Release(bridge) => self.release(&bridge).map(Granted::Done),
            Wish::Restart(bridge) => self.restart(&bridge).map(Granted::Done),
        };
        self.hub.handle_granted(id, outcome, now());
    }

    fn service(&self) -> Service {
        let status = self.status();
        let reason = status.xmpp.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let bridges = status.bridges.into_iter().map(|bridge| ServiceBridge {
            name: bridge.name,
            plugin: bridge.plugin,
            version: bridge.version.unwrap_or_default(),
            state: bridge.state,
            reason: bridge.reason.unwrap_or_default(),
            connections: bridge.connections,
            faults: bridge.restarts,
            waiting: bridge.mailbox,
        });
        let plugins = status.plugins.into_iter().map(|plugin| {
            let refused = plugin.reason.map(|_| " (the newest file is refused)").unwrap_or_default();
            (plugin.name, format!("{}{refused}", plugin.version.as_deref().unwrap_or("-")))
        });
        Service {
            version: status.version,
            uptime_s: status.uptime_s,
            xmpp: format!("{} {}{reason}", status.xmpp.jid, status.xmpp.state),
            outbox: status.outbox,
            bridges: bridges.collect(),
            plugins: plugins.collect(),
        }
    }

    /// The configuration at once; plugin files when they are quiet. Answered when the configuration was read.
    fn reload_all(&mut self, id: u64) {
        self.reload_wishes.push(id);
        self.watcher.look();
        self.reload();
    }

    /// The configuration was read: whether it changed, or why it was refused.
    pub(super) fn grant_reloads(&mut self, outcome: &Result<bool, String>) {
        let said = match outcome {
            Ok(true) => Ok("The changed configuration is in force. Plugin files are looked at."),
            Ok(false) => Ok("The configuration has not changed. Plugin files are looked at."),
            Err(error) => Err(format!("The configuration is refused, and the old one stays in force:\n{error}")),
        };
        for id in std::mem::take(&mut self.reload_wishes) {
            self.hub.handle_granted(id, said.clone().map(|said| Granted::Done(said.to_owned())), now());
        }
    }

    fn release(&mut self, name: &str) -> Result<String, String> {
        let slot = self.bridges.get(name).ok_or_else(|| no_bridge(name))?;
        let running = slot.running.as_ref().filter(|_| ["quarantined", "restarting"].contains(&slot.state));
        let running = running.ok_or_else(|| format!("{name} is not in quarantine; it is {}.", slot.state))?;
        running.bridge.release().map_err(|_| format!("{name} is busy; try again."))?;
        Ok(format!("{name} is released and starts from its last checkpoint."))
    }

    fn restart(&mut self, name: &str) -> Result<String, String> {
        let slot = self.bridges.get(name).ok_or_else(|| no_bridge(name))?;
        if slot.running.is_none() {
            let reason = slot.reason.as_deref().unwrap_or("its plugin is not there");
            return Err(format!("{name} does not run: {reason}"));
        }
        self.stop_bridge(name);
        if let Some(slot) = self.bridges.get_mut(name) {
            slot.set("stopping", Some("starts again, as an admin asked".to_owned()));
        }
        Ok(format!("{name} stops and starts again."))
    }
}

fn no_bridge(name: &str) -> String {
    format!("There is no bridge {name}.")
}
