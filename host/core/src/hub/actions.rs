//! What bridges ask of the hub: nodes that come, change and go, and readings.
//!
//! A report is the hot path: it finds its node by number, keeps the values, and ends there if nobody wants the node.

use super::registry::{NodeKey, Put};
use super::watches::Removed;
use super::{Asked, Hub, Owner, named};
use crate::model::bridge::Report;
use crate::model::{Action, Event, Failure, Node, NodeState, Timestamp};
use crate::wire::concentrator::NodeEvents;

impl Hub {
    /// What a bridge's mapper asks for, as far as it is the hub's: `PutNode`, `RemoveNode`, `NodeState`, `Report`, `NodeFailed`,
    /// `Complete`, `ControlThing` and `ReadThing`. Others are ignored.
    pub fn handle_bridge(&mut self, bridge: &str, action: Action, now: Timestamp) {
        self.now = now;
        match action {
            Action::Report(report) => self.report(bridge, report, now),
            Action::PutNode(node) => self.put_node(bridge, *node, now),
            Action::RemoveNode(number) => self.remove_node(bridge, number, now),
            Action::NodeState { node, state } => self.state_changed(bridge, node, state, now),
            Action::NodeFailed { id, node, failure } if self.is_asked(bridge, id) => {
                if let Some(key) = self.registry.by_number(bridge, node) {
                    self.readout_failed(id, key, &failure, now);
                    self.query_failed(id, key, &failure);
                }
            }
            Action::Complete { id, outcome } if self.is_asked(bridge, id) => self.completed(id, outcome, now),
            Action::ControlThing { id, thing, settings } => self.control_thing(bridge, id, thing, &settings, now),
            Action::ReadThing { id, thing } => self.read_thing(bridge, id, thing, now),
            _ => {}
        }
    }

    /// A bridge is there. Again for one that is there already: its label changes, nothing else.
    pub fn bridge_added(&mut self, name: &str, label: &str, now: Timestamp) {
        self.now = now;
        self.registry.add_source(name, label, self.stamp(now));
    }

    /// A bridge has left the configuration. Not for a swap or restart of its plugin: then the nodes stay.
    pub fn bridge_removed(&mut self, name: &str, now: Timestamp) {
        self.now = now;
        let keys = self.registry.keys_of(name);
        let addresses: Vec<_> = keys.iter().filter_map(|key| self.address_of(*key)).collect();
        for key in keys {
            let removed = self.removed(key);
            self.subscriptions_lose(key);
            self.follows_lose(key);
            self.publisher.forget(key);
            if let Some(removed) = removed {
                self.tell_removed(&removed, now);
            }
        }
        self.readouts_lose_bridge(name, now);
        self.controls_lose_bridge(name);
        self.runs_lose_bridge(name);
        self.queries_lose_bridge(name);
        self.receipts.forget(name);
        self.outputs.extend(self.named.retain(|bridge| bridge != name));
        self.registry.remove_source(name);
        addresses.iter().for_each(|address| self.show_address(address));
        self.mirror(name, Vec::new(), now);
    }

    /// A bridge has stopped working, for instance in quarantine: what it was asked is answered as failed, and its nodes and their last
    /// values stay, as offline, until it declares them anew.
    pub fn bridge_down(&mut self, name: &str, now: Timestamp) {
        self.now = now;
        self.readouts_lose_bridge(name, now);
        self.controls_lose_bridge(name);
        self.runs_lose_bridge(name);
        self.queries_lose_bridge(name);
        let numbers: Vec<u32> = self.registry.nodes_of(name).map(|(_, entry)| entry.node.number).collect();
        for number in numbers {
            self.state_changed(name, number, NodeState::Offline, now);
        }
    }

    /// A bridge's mapper starts without the memory of the one before: `stored` of what that one counted would be taken for its own.
    pub fn mapper_lost(&mut self, bridge: &str) {
        self.receipts.forget_counted(bridge);
    }

    /// The receipts of a bridge that name what was reported and that are stored, oldest first: what its next instance is to be told.
    pub fn stored_receipts(&self, bridge: &str) -> Vec<u64> {
        self.named.of(bridge)
    }

    /// The store had no room for an item: its report is not stored, and its receipt will not be told.
    pub fn handle_unstored(&mut self, item: u64) {
        let waiting = self.receipts.waiting_for(item).map(|(bridge, receipt)| (bridge.to_owned(), receipt));
        if let Some((bridge, receipt)) = waiting {
            self.named.take_back(&bridge, receipt);
        }
    }

    fn report(&mut self, bridge: &str, report: Report, now: Timestamp) {
        let Report { mut reading, answers, receipt } = report;
        let Some(key) = self.registry.by_number(bridge, reading.node) else {
            self.complain(bridge, format!("a report of node {}, which was never declared", reading.node));
            return self.stored(bridge, receipt, &[]);
        };
        let dropped = self.registry.report(key, &mut reading, self.stamp(now));
        if dropped > 0 {
            self.complain(bridge, format!("{dropped} values of node {} do not fit their fields", reading.node));
        }
        if let Some(request) = answers.filter(|request| self.is_asked(bridge, *request)) {
            self.readout_reported(request, key, &reading);
            self.query_reported(request, key, &reading);
        }
        self.traces.begin(key, receipt, now);
        let mut items = self.notify(key, &reading, receipt.is_some(), now);
        items.extend(self.publish(key, &reading, receipt.is_some(), now));
        self.followed(key, &reading, now);
        self.stored(bridge, receipt, &items);
        self.traces.over();
    }

    /// A receipt is due at once where nobody is to receive the report.
    fn stored(&mut self, bridge: &str, receipt: Option<u64>, items: &[u64]) {
        match receipt {
            Some(receipt) if items.is_empty() => {
                self.traces.told(self.traces.current(), receipt, self.now);
                self.tell(bridge, Event::Stored(receipt));
            }
            Some(receipt) => {
                let is_name = named::is_name(receipt);
                // What waits for room in a queue is in nobody's custody yet.
                let is_late = is_name && items.iter().any(|item| self.queues.has_no_room_for(*item));
                if is_name && !is_late {
                    self.named.add(bridge, receipt);
                }
                self.receipts.owe(bridge, receipt, items, is_late);
            }
            None => {}
        }
    }

    fn put_node(&mut self, bridge: &str, node: Node, now: Timestamp) {
        if self.mirrors.is_echo(bridge, &node) {
            return self.complain(bridge, format!("node `{}` is what the bridge is shown itself", node.id));
        }
        if self.lives_here(&node) {
            return self.complain(bridge, format!("node `{}` is a thing of ours that somebody else shows", node.id));
        }
        if let Some(displaced) = self.registry.displaced_by(bridge, &node) {
            self.remove_one(displaced, now);
        }
        let known = self.registry.by_id(bridge, &node.id).and_then(|key| self.registry.get(key));
        let is_same = known.is_some_and(|entry| entry.node == node);
        let before = known.map(|entry| entry.node.state);
        let (key, what) = match self.registry.put(bridge, node, self.stamp(now)) {
            Ok(Put::Added(key)) => (key, NodeEvents::ADDED),
            Ok(Put::Updated(key)) => (key, NodeEvents::UPDATED),
            Err(reason) => return self.complain(bridge, reason),
        };
        if !is_same {
            self.tell_watchers(key, what, now);
        }
        self.join_waiting(key, now);
        if self.registry.get(key).map(|entry| entry.node.state) != before {
            self.show_node(key);
        }
        self.remind_wanted(bridge, key);
    }

    /// A mapper that declares a node may be a new instance, which does not know that somebody wants it.
    fn remind_wanted(&mut self, bridge: &str, key: NodeKey) {
        let Some(entry) = self.registry.get(key) else { return };
        if self.subscriptions.of_node(key) == 0 && !self.publisher.wants(&entry.name) && !self.follows.wants(key) {
            return;
        }
        if let Some(number) = self.registry.get(key).map(|entry| entry.node.number) {
            self.tell(bridge, Event::Wanted(number));
        }
    }

    /// Children first, so that no watcher sees a child without its parent.
    fn remove_node(&mut self, bridge: &str, number: u32, now: Timestamp) {
        let Some(key) = self.registry.by_number(bridge, number) else { return };
        for key in self.registry.descendants(key).into_iter().rev() {
            self.remove_one(key, now);
        }
    }

    fn remove_one(&mut self, key: NodeKey, now: Timestamp) {
        let removed = self.removed(key);
        self.follows_lose(key);
        let is_remembered = self.subscriptions.of_node(key) > 0;
        self.readouts_lose(key, now);
        let address = self.address_of(key);
        self.registry.remove(key, is_remembered, self.stamp(now));
        self.publisher.forget(key);
        if let Some(address) = address {
            self.show_address(&address);
        }
        if let Some(removed) = removed {
            self.tell_removed(&removed, now);
        }
    }

    fn removed(&self, key: NodeKey) -> Option<Removed> {
        let entry = self.registry.get(key)?;
        Some(Removed { bridge: entry.bridge.to_string(), name: entry.name.clone() })
    }

    fn state_changed(&mut self, bridge: &str, number: u32, state: NodeState, now: Timestamp) {
        let Some(key) = self.registry.by_number(bridge, number) else {
            return self.complain(bridge, format!("the state of node {number}, which was never declared"));
        };
        if self.registry.set_state(key, state, self.stamp(now)) {
            self.tell_watchers(key, NodeEvents::STATUS, now);
            self.show_node(key);
        }
    }

    /// Whether this bridge was asked this and has not completed it; of what others were asked it can say nothing.
    fn is_asked(&mut self, bridge: &str, request: u64) -> bool {
        match self.requests.get(&request).map(|asked| asked.bridge == bridge) {
            Some(false) => {
                self.complain(bridge, format!("an answer to request {request}, which another bridge was asked"));
                false
            }
            Some(true) => true,
            None => false,
        }
    }

    fn completed(&mut self, request: u64, outcome: Result<(), Failure>, now: Timestamp) {
        match self.requests.remove(&request).map(|Asked { owner, .. }| owner) {
            Some(Owner::Readout(number)) => self.readout_completed(number, request, outcome, now),
            Some(Owner::Control(number)) => self.control_completed(number, request, outcome),
            Some(Owner::Run(number)) => self.run_completed(number, request, outcome),
            Some(Owner::Query(number)) => self.query_completed(number, request, outcome),
            None => {}
        }
    }
}
