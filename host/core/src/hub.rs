//! What happens next: the one state machine between bridges and XMPP.
//!
//! Owns the registry of nodes, readouts, controls, event subscriptions, the concentrator's answers and the friends. It gets stanzas,
//! actions and the time, and gives stanzas and events; it asks [`crate::policy`] before anything reaches a bridge or a caller. It
//! never does I/O, reads a clock or waits.

use std::collections::VecDeque;

use jid::{BareJid, FullJid};
use minidom::Element;

use crate::model::{Action, Event, NodeState, Timestamp};
use crate::policy::Policy;

/// When peers get the oldest element names, which slixmpp wants (interop-clients §3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Downgrade {
    /// For peers whose capabilities say slixmpp or SleekXMPP.
    #[default]
    Heuristic,
    /// For everybody who speaks the long names.
    Always,
    /// For nobody.
    Never,
}

/// What a hub is made of.
#[derive(Clone, Debug, Default)]
pub struct HubConfig {
    /// Our address; none before the session is bound.
    pub me: Option<FullJid>,
    /// What we say that we are (XEP-0092).
    pub name: String,
    /// And its version.
    pub version: String,
    /// Who may do what.
    pub policy: Policy,
    /// How to treat slixmpp.
    pub downgrade: Downgrade,
}

/// What a hub wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// To be sent. With an item: keep it until the server has it, and call [`Hub::handle_durable`] with the item as soon as it would
    /// survive a crash. Without: send it, no more.
    Stanza {
        /// Names it for [`Hub::handle_durable`]; below 2^53, unique since the hub was made.
        item: Option<u64>,
        /// What to send.
        stanza: Element,
    },
    /// For a bridge's mapper.
    Event {
        /// The bridge.
        bridge: String,
        /// What happened.
        event: Event,
    },
}

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
    /// Full JIDs that are known to be online.
    pub online: usize,
    /// Presence subscriptions that wait for a decision.
    pub waiting: usize,
    /// Receipts that wait for their stanzas to become durable.
    pub receipts: usize,
}

/// One bridge's nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeThings {
    /// The source's id.
    pub name: String,
    /// For people.
    pub label: String,
    /// By id.
    pub nodes: Vec<ThingSummary>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThingSummary {
    /// The node's id.
    pub id: String,
    /// For people.
    pub label: String,
    /// Its health.
    pub state: NodeState,
    /// How many fields it declares.
    pub fields: usize,
    /// The newest reading's instant.
    pub last: Option<Timestamp>,
    /// How many subscriptions want it.
    pub subscriptions: usize,
}

/// The hub. **After every `handle_*` and every other call that takes `now`: drain [`Hub::poll_output`], then ask
/// [`Hub::poll_timeout`] when to call [`Hub::handle_timeout`].** Outputs are in the order in which they must be sent.
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    outputs: VecDeque<Output>,
}

impl Hub {
    /// A hub without bridges.
    pub fn new(config: HubConfig) -> Self {
        Self { config, outputs: VecDeque::new() }
    }

    /// Everything that arrives on the XMPP session.
    pub fn handle_stanza(&mut self, stanza: &Element, now: Timestamp) {
        let _ = (stanza, now);
    }

    /// What a bridge's mapper asks for, as far as it is the hub's: `PutNode`, `RemoveNode`, `NodeState`, `Report`, `NodeFailed` and
    /// `Complete`. Others are ignored.
    pub fn handle_bridge(&mut self, bridge: &str, action: Action, now: Timestamp) {
        let _ = (bridge, action, now);
    }

    /// The stanza of this item would survive a crash from now on (or is not wanted any more).
    pub fn handle_durable(&mut self, item: u64, now: Timestamp) {
        let _ = (item, now);
    }

    /// A bridge is there. Again for one that is there already: its label changes, nothing else.
    pub fn bridge_added(&mut self, name: &str, label: &str, now: Timestamp) {
        let _ = (name, label, now);
    }

    /// A bridge has left the configuration. Not for a swap or restart of its plugin: then the nodes stay.
    pub fn bridge_removed(&mut self, name: &str, now: Timestamp) {
        let _ = (name, now);
    }

    /// A new session is bound; not for one that was resumed.
    pub fn session_online(&mut self, me: FullJid, now: Timestamp) {
        let _ = now;
        self.config.me = Some(me);
    }

    /// The session is gone and was not resumed.
    pub fn session_offline(&mut self, now: Timestamp) {
        let _ = now;
    }

    /// Other rules are in force: whatever is alive is checked against them.
    pub fn rules_changed(&mut self, policy: Policy, now: Timestamp) {
        let _ = now;
        self.config.policy = policy;
    }

    /// The time of [`Hub::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let _ = now;
    }

    /// When [`Hub::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Who asked for a presence subscription and waits for the operator's decision.
    pub fn waiting(&self) -> Vec<BareJid> {
        Vec::new()
    }

    /// What there is, for `tombolo status`.
    pub fn things(&self) -> Things {
        Things::default()
    }
}
