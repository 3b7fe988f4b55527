//! What is wanted over XMPP and only the app can do: say how the service is, reload, restart a bridge, release it, keep its state.
//!
//! Owns the carrying out and the sentence that people read. Whether somebody may, the hub has decided.

use tombolo_core::hub::{Granted, Manage, Service, ServiceBridge, Wish};
use tombolo_core::model::{Failure, ReasonCode};
use tombolo_runtime::{Bridge as Running, CommandRefused};

use super::{App, now};

impl App {
    /// Does what is wished and says what became of it.
    pub(super) fn grant(&mut self, id: u64, wish: Wish) {
        if wish != Wish::Status {
            tracing::info!(?wish, "asked over XMPP");
        }
        let outcome = match wish {
            Wish::Status => Ok(Granted::Status(self.service())),
            Wish::Reload => return self.reload_all(id),
            Wish::Manage { bridge, what } => return self.manage(id, &bridge, what),
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
            Err(error) => {
                let said = format!("The configuration is refused, and the old one stays in force:\n{error}");
                Err(Failure::new(ReasonCode::InvalidArgument, said))
            }
        };
        for id in std::mem::take(&mut self.reload_wishes) {
            self.hub.handle_granted(id, said.clone().map(|said| Granted::Done(said.to_owned())), now());
        }
    }

    /// Does to a bridge as a whole what somebody who may asked for.
    fn manage(&mut self, id: u64, name: &str, what: Manage) {
        let done = match what {
            Manage::Restart => return self.restart(id, name),
            Manage::Release => self
                .command(name, &["quarantined", "restarting"], Running::release)
                .map(|()| format!("{name} is released and starts from its last checkpoint.")),
            Manage::Checkpoint => {
                self.command(name, &["running"], Running::checkpoint).map(|()| format!("{name} keeps its state."))
            }
        };
        self.hub.handle_granted(id, done.map(Granted::Done), now());
    }

    fn restart(&mut self, id: u64, name: &str) {
        let stopped = match self.bridges.get(name) {
            None => Some(no_bridge(name)),
            Some(slot) if slot.running.is_none() => {
                let reason = slot.reason.as_deref().unwrap_or("its plugin is not there");
                Some(Failure::new(ReasonCode::Unreachable, format!("{name} does not run: {reason}")))
            }
            Some(_) => None,
        };
        if let Some(failure) = stopped {
            return self.hub.handle_granted(id, Err(failure), now());
        }
        // Told before it is begun: whoever waits for a bridge that goes down learns that it is gone.
        self.hub.handle_granted(id, Ok(Granted::Done(format!("{name} stops and starts again."))), now());
        self.stop_bridge(name);
        if let Some(slot) = self.bridges.get_mut(name) {
            slot.set("stopping", Some("starts again, as was asked over XMPP".to_owned()));
        }
    }

    fn command(
        &self,
        name: &str,
        states: &[&str],
        command: impl FnOnce(&Running) -> Result<(), CommandRefused>,
    ) -> Result<(), Failure> {
        let slot = self.bridges.get(name).ok_or_else(|| no_bridge(name))?;
        let running = slot.running.as_ref().filter(|_| states.contains(&slot.state));
        let running = running.ok_or_else(|| Failure::new(ReasonCode::Busy, format!("{name} is {}.", slot.state)))?;
        command(&running.bridge).map_err(|refused| Failure::new(ReasonCode::Busy, format!("{name}: {refused}")))
    }
}

fn no_bridge(name: &str) -> Failure {
    Failure::new(ReasonCode::NotFound, format!("There is no bridge {name}."))
}
