//! What bridges put out: who gets which action, and what becomes of their life's events.
//!
//! Actions about nodes are the hub's, those about connections and requests pass the grant and go to transport, checkpoints to the store. What is
//! refused is answered with the reason, never with silence.

use tombolo_core::model::bridge::{ConnectionId, HttpCall, RequestId};
use tombolo_core::model::{Action, Event, Failure, ReasonCode};
use tombolo_runtime::{BridgeOutput, Output};

use super::{App, now};

impl App {
    pub(super) fn handle_bridge(&mut self, output: BridgeOutput) {
        let bridge = &*output.bridge;
        self.hub.mapper_called(output.called);
        match output.what {
            Output::Actions(actions) => actions.into_iter().for_each(|action| self.handle_action(bridge, action)),
            life => self.handle_life(bridge, life),
        }
    }

    fn handle_action(&mut self, bridge: &str, action: Action) {
        match action {
            Action::Open { connection, endpoint, target } => {
                self.open(bridge, connection, &endpoint, target.as_deref())
            }
            Action::Send { connection, bytes } => self.transport.send(bridge, connection, &bytes),
            Action::Close(connection) => self.transport.close(bridge, connection),
            Action::Checkpoint(state) => {
                if let Some(slot) = self.bridges.get_mut(bridge) {
                    slot.checkpoint = Some(state.clone());
                }
                self.store.checkpoint(bridge, state);
            }
            Action::SendTo { connection, peer, bytes } => self.transport.send_to(bridge, connection, peer, bytes),
            Action::Http { id, endpoint, call, timeout_ms } => self.request(bridge, id, &endpoint, call, timeout_ms),
            Action::HttpReply { id, answer } => self.transport.reply(bridge, id, answer),
            // The supervisor does these itself; `extension` topics that nobody knows are ignored by contract.
            Action::SetTimer { .. } | Action::CancelTimer(_) | Action::Log { .. } | Action::Extension { .. } => {}
            Action::PutNode(_)
            | Action::RemoveNode(_)
            | Action::NodeState { .. }
            | Action::Report(_)
            | Action::NodeFailed { .. }
            | Action::Complete { .. }
            | Action::ControlThing { .. }
            | Action::ReadThing { .. } => self.hub.handle_bridge(bridge, action, now()),
        }
    }

    fn open(&mut self, bridge: &str, connection: ConnectionId, endpoint: &str, target: Option<&str>) {
        let Some(slot) = self.bridges.get(bridge) else { return };
        let Some(running) = &slot.running else { return };
        let mailbox = running.bridge.mailbox();
        match slot.grants.open(endpoint, target) {
            Ok(permit) => self.transport.open(connection, permit, &slot.security(endpoint), mailbox),
            Err(refusal) => {
                tracing::warn!(bridge, endpoint, reason = %refusal, "endpoint refused");
                self.transport.refuse(
                    bridge,
                    connection,
                    Failure::new(ReasonCode::AccessDenied, refusal.to_string()),
                    mailbox,
                );
            }
        }
    }

    fn request(&mut self, bridge: &str, id: RequestId, endpoint: &str, call: HttpCall, timeout_ms: u32) {
        let Some(slot) = self.bridges.get(bridge) else { return };
        let Some(running) = &slot.running else { return };
        let refused = match slot.grants.request(endpoint, &call.target) {
            Ok(permit) => {
                let (security, mailbox) = (slot.security(endpoint), running.bridge.mailbox());
                let is_sent = self.transport.request(id, permit, call, timeout_ms, &security, mailbox);
                (!is_sent).then(|| Failure::new(ReasonCode::Busy, "the bridge has sent too many requests"))
            }
            Err(refusal) => {
                tracing::warn!(bridge, endpoint, reason = %refusal, "request refused");
                Some(Failure::new(ReasonCode::AccessDenied, refusal.to_string()))
            }
        };
        if let Some(failure) = refused {
            self.tell(bridge, Event::HttpDone { id, outcome: Err(failure) });
        }
    }

    fn handle_life(&mut self, bridge: &str, life: Output) {
        let Some(slot) = self.bridges.get_mut(bridge) else { return };
        let plugin = slot.config.plugin.clone();
        match life {
            Output::Actions(_) => {}
            Output::Started { version, hash, why } => {
                tracing::info!(bridge, plugin, version, hash = short(&hash), ?why, "plugin started");
                slot.runs(version, hash);
                self.hub.mapper_lost(bridge);
                self.hub.mapper_started(bridge, now());
                self.tell_load_to(bridge);
            }
            Output::Swapped { pause_us, version, hash } => {
                tracing::info!(bridge, plugin, version, hash = short(&hash), pause_us, "plugin swapped");
                slot.runs(version, hash);
                self.hub.mapper_started(bridge, now());
                self.tell_load_to(bridge);
            }
            Output::SwapFailed { reason } => {
                tracing::error!(bridge, plugin, reason, "plugin refused");
                slot.refuse(&reason);
            }
            Output::Failed { reason, restarts, restart_in_ms } => {
                tracing::error!(
                    bridge,
                    plugin,
                    version = slot.version(),
                    reason,
                    restarts,
                    restart_in_ms,
                    "plugin failed"
                );
                slot.restarts += 1;
                slot.set("restarting", Some(reason));
            }
            Output::Quarantined { reason } => {
                tracing::error!(bridge, plugin, version = slot.version(), reason, "plugin quarantined");
                slot.set("quarantined", Some(reason));
                self.transport.close_all(bridge);
                self.hub.bridge_down(bridge, now());
            }
            Output::Stopped => {
                tracing::info!(bridge, plugin, "bridge stopped");
                slot.running = None;
                let is_leaving = slot.is_leaving;
                self.transport.forget(bridge);
                match is_leaving {
                    _ if self.is_ending => {}
                    true => self.let_go(bridge),
                    false => self.employ(bridge),
                }
            }
        }
    }
}

/// Enough of a hash to tell two builds apart.
pub(super) fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
