//! What there is behind us, as people are told. Reads everything, changes nothing.

use super::Hub;
use crate::model::NodeState;

/// What there is behind us, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Things {
    /// By name.
    pub bridges: Vec<BridgeThings>,
    /// Event subscriptions that are alive.
    pub subscriptions: usize,
    /// Readouts that are under way or queued.
    pub readouts: usize,
    /// Control operations that are under way.
    pub controls: usize,
    /// Commands and edits that are under way.
    pub commands: usize,
    /// Queries that are under way.
    pub queries: usize,
    /// Full JIDs that are known to be online.
    pub online: usize,
    /// Presence subscriptions that wait for a decision.
    pub waiting: usize,
    /// Publications that are on their way.
    pub publications: usize,
    /// Publications that were given up since the start.
    pub given_up: u64,
    /// Receipts that wait for their stanzas to become durable.
    pub receipts: usize,
    /// Messages of promised readings that wait for accounts that cannot be reached.
    pub held: usize,
    /// By name.
    pub queues: Vec<QueueThings>,
}

/// What is in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueThings {
    /// As configured.
    pub name: String,
    /// In whatever state.
    pub items: usize,
    /// Of these, what nobody has on lease.
    pub waiting: usize,
}

/// One bridge's nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeThings {
    /// The source's id.
    pub name: String,
    /// For people.
    pub label: String,
    /// How many it declared.
    pub nodes: usize,
    /// Of these, how many are offline.
    pub offline: usize,
}

impl Hub {
    /// What there is, for `tombolo status`.
    pub fn things(&self) -> Things {
        let bridges = self.registry.sources().map(|(name, source)| BridgeThings {
            name: name.to_string(),
            label: source.label.clone(),
            nodes: self.registry.nodes_of(name).count(),
            offline: self.registry.nodes_of(name).filter(|(_, entry)| entry.node.state == NodeState::Offline).count(),
        });
        let (publications, given_up) = self.publisher.counts();
        Things {
            publications,
            given_up,
            bridges: bridges.collect(),
            subscriptions: self.subscriptions.len(),
            readouts: self.readouts.len(),
            controls: self.controls.len(),
            commands: self.runs.len(),
            queries: self.queries.len(),
            online: self.friends.online(),
            waiting: self.friends.waiting().len(),
            receipts: self.receipts.len(),
            queues: self.queue_things(),
            held: self.held.len(),
        }
    }
}
