//! The service at one instant, for `tombolo status` and probes.

use super::App;
use super::actions::short;
use super::bridges::Slot;
use crate::admin::{
    BridgeStatus, CallStatus, CustodyStatus, LimitStatus, MirrorStatus, PluginStatus, QueueStatus, Status,
};
use tombolo_core::hub::{MirroredThings, QueueThings};
use tombolo_core::model::custody::{Account, Route};
use tombolo_core::model::limits;
use tombolo_runtime::{CALL_CLASSES_US, CallCounts};

impl App {
    pub(super) fn status(&self) -> Status {
        let things = self.hub.things();
        let counts = self.transport.counts();
        let bridges =
            self.bridges.iter().map(|(name, slot)| (name, slot, counts.get(name).copied().unwrap_or_default()));
        let of = |name: &str| things.bridges.iter().find(|bridge| bridge.name == *name);
        let bridges = bridges.map(|(name, slot, counts)| BridgeStatus {
            name: name.clone(),
            plugin: slot.config.plugin.clone(),
            state: slot.state.to_owned(),
            reason: slot.reason.clone(),
            version: slot.running.as_ref().map(|running| running.version.clone()),
            hash: slot.running.as_ref().map(|running| short(&running.hash).to_owned()),
            nodes: of(name).map_or(0, |bridge| bridge.nodes),
            offline: of(name).map_or(0, |bridge| bridge.offline),
            connections: counts.open,
            sockets: counts.sockets,
            peers: counts.peers,
            lost_datagrams: counts.lost,
            requests_out: counts.requests_out,
            requests_in: counts.requests_in,
            restarts: slot.restarts,
            mirrored: self.hub.mirrored(name).into_iter().map(mirrored).collect(),
            mailbox: slot.running.as_ref().map_or(0, super::bridges::Running::waiting),
            limits: limits_of(slot),
            calls: slot.running.as_ref().map(|running| calls(&running.bridge.calls())).unwrap_or_default(),
        });
        let plugins = self.catalog.iter().map(|(name, plugin)| PluginStatus {
            name: name.clone(),
            version: plugin.package.as_ref().map(|package| package.description.version.clone()),
            reason: plugin.refused.clone(),
            bridges: self.bridges.using(name),
        });
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: self.started.elapsed().as_secs(),
            xmpp: self.xmpp.clone(),
            bridges: bridges.collect(),
            plugins: plugins.collect(),
            outbox: self.outbox.len(),
            held: things.held,
            subscriptions: things.subscriptions,
            queues: things.queues.into_iter().map(queue).collect(),
            custody: self.store.custody().iter().map(|(route, account)| custody(route, account)).collect(),
            publications: things.publications,
            given_up: things.given_up,
            refused_configuration: self.refused_configuration.clone(),
            waiting: self.hub.waiting().iter().map(ToString::to_string).collect(),
        }
    }
}

fn custody(route: &Route, account: &Account) -> CustodyStatus {
    CustodyStatus {
        bridge: route.bridge().to_owned(),
        way: route.way().to_owned(),
        taken: account.taken,
        delivered: account.delivered,
        expired: account.expired,
        refused: account.refused,
        dead: account.dead,
        waiting: account.waiting,
        balances: account.balances(),
    }
}

fn limits_of(slot: &Slot) -> LimitStatus {
    let limits = super::suits::limits(&slot.config);
    LimitStatus {
        memory_bytes: limits.memory_bytes,
        deadline_ms: super::millis(limits.deadline),
        mailbox_events: limits::MAILBOX_EVENTS_MAX,
    }
}

fn calls(counts: &CallCounts) -> CallStatus {
    let ends = CALL_CLASSES_US.iter().copied().map(Some).chain([None]);
    CallStatus {
        calls: counts.calls,
        faults: counts.faults,
        events: counts.events,
        actions: counts.actions,
        busy_us: counts.busy_us,
        lasted: ends.zip(counts.classes).collect(),
    }
}

fn queue(queue: QueueThings) -> QueueStatus {
    QueueStatus { name: queue.name, items: queue.items, waiting: queue.waiting }
}

fn mirrored(remote: MirroredThings) -> MirrorStatus {
    MirrorStatus { jid: remote.jid.to_string(), state: remote.state.to_owned(), things: remote.things }
}
