//! The control point: devices are found, described, subscribed to, read and told. Owns what is known of them and when something is due.
//!
//! Never opens anything and never reads the mapper's settings itself. The parts are [`discovery`] (who is there), [`fetching`] (what they
//! are), [`subscriptions`] (what they tell) and [`control`] (what they are asked and told). **Driving contract: after any call,
//! [`Session::next_due`] says when [`Session::handle_time`] is to be called.**

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tombolo_sdk::events::HttpAnswer;
use tombolo_sdk::{Actions, Failure, Level, NodeNumber, NodeState, ReasonCode, Request, Timestamp};

use crate::bridge::Purpose;
use crate::calls::{Call, Way};
use crate::codec::url::Url;
use crate::mapping::Names;
use crate::settings::Settings;

mod control;
mod discovery;
mod fetching;
mod root;
mod subscriptions;

pub(crate) use control::Control;
use root::{Fetch, Phase, Presence, Root, Unit};

/// One second.
pub(crate) const SECOND: Timestamp = 1_000_000;
/// How long devices of an earlier run may take to say that they are still there: a search, its answers, and another.
const RETURN_S: Timestamp = 60;
/// How long a device that is gone is remembered.
const FORGET_S: Timestamp = 7 * 86_400;
/// Bytes of all descriptions that are kept: with their trees a part of what an instance has.
const DOCUMENTS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a request of the control point is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Errand {
    Description { root: String, generation: u32 },
    Scpd { root: String, generation: u32, unit: usize, service: usize, attempt: u32 },
    Subscribe { token: String, events: Url },
    Renew { token: String },
    Unsubscribe,
    Control(Control),
}

/// What survives a swap. A restart takes less of it: see [`Session::restarted`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    roots: BTreeMap<String, Root>,
    names: Names,
    /// Requests of the host that need more than one of ours, with how many are left.
    reads: BTreeMap<Request, usize>,
    /// Notifications that wait until their reading is stored, by receipt.
    receipts: BTreeMap<u64, Request>,
    last_receipt: u64,
    wanted: BTreeSet<NodeNumber>,
    search: discovery::Search,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Session {
    settings: Settings,
    memory: Memory,
    /// Where events are taken, without the token at the end. None: nowhere.
    callback: Option<String>,
    /// What a checkpoint would tell has changed.
    is_dirty: bool,
}

/// There is no room for one more request.
#[derive(Clone, Copy, Debug)]
struct Full;

impl Way<'_> {
    /// Queues a request; what finds no room will be tried again by whoever finds it missing.
    fn push(&mut self, call: Call<Errand>, is_urgent: bool) -> Result<(), Full> {
        let Call { purpose, method, url, headers, body } = call;
        let call = Call { purpose: Purpose::Errand(purpose), method, url, headers, body };
        let pushed = if is_urgent { self.calls.push_urgent(call) } else { self.calls.push(call) };
        pushed.map_err(|_| Full)
    }

    fn warn(&mut self, text: String) {
        self.out.log(Level::Warn, text);
    }
}

impl Session {
    /// Goes on where the version before was.
    pub(crate) fn resume(settings: Settings, memory: Memory) -> Self {
        let mut session = Self { settings, memory, callback: None, is_dirty: false };
        session.memory.roots.values_mut().for_each(|root| root.plan(&session.settings.units));
        session
    }

    /// Begins anew with the names and nodes of an earlier run. Its subscriptions are ended, because what they told meanwhile is lost.
    pub(crate) fn restarted(settings: Settings, memory: Memory, way: &mut Way<'_>) -> Self {
        let mut session =
            Self::resume(settings, Memory { roots: memory.roots, names: memory.names, ..Memory::default() });
        for root in session.memory.roots.values_mut() {
            root.presence = Presence::Unknown;
            root.senders.clear();
            root.expires = way.now + RETURN_S * SECOND;
            root.asked_at = 0;
            root.fetch = Fetch::Done;
            root.draft.clear();
            root.end_subscriptions(way);
        }
        session
    }

    /// Shows every node that is known.
    pub(crate) fn declare(&self, out: &mut Actions) {
        self.memory.roots.values().for_each(|root| root.declare(out));
    }

    /// Everything, for the next version or the next run.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.is_dirty)
    }

    /// Requests of the host that somebody here works on.
    pub(crate) fn reads(&self) -> impl Iterator<Item = Request> {
        self.memory.reads.keys().copied()
    }

    /// When [`Self::handle_time`] is due.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let polls = |root: &'_ Root| root.units.iter().filter_map(|unit| unit.poll_at).min();
        let of_root = |root| {
            [Some(root_due(root)), root.next_fetch(), polls(root), self.next_subscription(root)]
                .into_iter()
                .flatten()
                .min()
        };
        self.memory.roots.values().filter_map(of_root).chain(self.memory.search.next_due()).min()
    }

    /// Does what is due.
    pub(crate) fn handle_time(&mut self, way: &mut Way<'_>) {
        self.search(way);
        let due: Vec<String> = self
            .memory
            .roots
            .iter()
            .filter(|(_, root)| root_due(root) <= way.now)
            .map(|(udn, _)| udn.clone())
            .collect();
        for udn in due {
            match self.memory.roots.get(&udn).map(|root| root.presence) {
                Some(Presence::Gone) => self.forget(&udn, way),
                Some(Presence::Here | Presence::Unknown) => self.gone(&udn, way),
                None => {}
            }
        }
        self.fetch_due(way);
        self.subscribe_due(way);
        self.poll_due(way);
    }

    /// A request came to its end.
    pub(crate) fn handle_answer(&mut self, errand: Errand, outcome: Result<HttpAnswer, Failure>, way: &mut Way<'_>) {
        match errand {
            Errand::Description { root, generation } => self.handle_description(&root, generation, outcome, way),
            Errand::Scpd { root, generation, unit, service, attempt } => {
                self.handle_scpd(&root, generation, (unit, service, attempt), outcome, way);
            }
            Errand::Subscribe { token, events } => self.handle_subscribed(&token, &events, outcome, way),
            Errand::Renew { token } => self.handle_renewed(&token, outcome, way),
            Errand::Unsubscribe => {}
            Errand::Control(control) => self.handle_control(control, outcome, way),
        }
    }

    /// Somebody began to want readings of a node.
    pub(crate) fn handle_wanted(&mut self, node: NodeNumber, now: Timestamp) {
        self.memory.wanted.insert(node);
        if let Some((_, unit)) = self.unit_mut(node) {
            unit.poll_at = Some(now);
        }
    }

    /// Nobody is left who wants them.
    pub(crate) fn handle_unwanted(&mut self, node: NodeNumber) {
        self.memory.wanted.remove(&node);
        if let Some((_, unit)) = self.unit_mut(node) {
            unit.poll_at = None;
        }
    }

    /// A reading is durable: whose notification is answered now.
    pub(crate) fn handle_stored(&mut self, receipt: u64) -> Option<Request> {
        self.memory.receipts.remove(&receipt)
    }

    /// A last word to every device that would go on telling.
    pub(crate) fn stop(&mut self, way: &mut Way<'_>) {
        self.memory.roots.values_mut().for_each(|root| root.end_subscriptions(way));
    }

    fn unit_mut(&mut self, node: NodeNumber) -> Option<(&String, &mut Unit)> {
        let mut all =
            self.memory.roots.iter_mut().flat_map(|(udn, root)| root.units.iter_mut().map(move |unit| (udn, unit)));
        all.find(|(_, unit)| unit.number == node)
    }

    /// Where a node is: its root and its place there.
    fn place(&self, node: NodeNumber) -> Option<(&str, usize)> {
        let of_root = |root: &Root| root.units.iter().position(|unit| unit.number == node);
        self.memory.roots.iter().find_map(|(udn, root)| Some((udn.as_str(), of_root(root)?)))
    }

    /// A device answered or told something.
    fn heard(&mut self, udn: &str, out: &mut Actions) {
        if let Some(root) = self.memory.roots.get_mut(udn).filter(|root| root.is_lost) {
            root.is_lost = false;
            root.tell_state(out);
        }
    }

    /// A device does not answer: it is looked for where it was, and soon where else it announced itself.
    fn lost(&mut self, udn: &str, failure: &Failure, way: &mut Way<'_>) {
        let is_away = matches!(failure.code, ReasonCode::Unreachable | ReasonCode::Timeout | ReasonCode::Closed);
        let Some(root) = self.memory.roots.get_mut(udn).filter(|root| !root.is_lost && is_away) else { return };
        root.is_lost = true;
        root.tell_state(way.out);
        if let Some(other) = root.other.take() {
            root.location = other;
        }
        if root.fetch == Fetch::Done {
            root.fetch = Fetch::Due { at: way.now + 5 * SECOND, failures: 0 };
        }
    }

    /// A device said goodbye, or its announcement ran out.
    fn gone(&mut self, udn: &str, way: &mut Way<'_>) {
        let Some(root) = self.memory.roots.get_mut(udn) else { return };
        if root.units.is_empty() {
            return self.forget(udn, way);
        }
        root.presence = Presence::Gone;
        (root.is_lost, root.is_doubted) = (false, false);
        root.senders.clear();
        root.expires = way.now;
        root.fetch = Fetch::Done;
        root.draft.clear();
        for unit in &mut root.units {
            unit.poll_at = None;
            unit.services.iter_mut().for_each(|service| service.subscription.phase = Phase::Off);
        }
        root.tell_state(way.out);
        self.is_dirty = true;
    }

    fn forget(&mut self, udn: &str, way: &mut Way<'_>) {
        let Some(root) = self.memory.roots.remove(udn) else { return };
        root.units.iter().rev().for_each(|unit| way.out.remove_node(unit.number));
        self.is_dirty |= !root.units.is_empty();
    }
}

/// When a root's presence changes by itself.
fn root_due(root: &Root) -> Timestamp {
    match root.presence {
        Presence::Here | Presence::Unknown => root.expires,
        Presence::Gone => root.expires + FORGET_S * SECOND,
    }
}

/// A failure that says what answered wrongly.
fn refused(status: u16) -> Failure {
    Failure::new(ReasonCode::ProtocolViolation, format!("the device answered with status {status}"))
}

/// What a node's state is.
fn state(root: &Root) -> NodeState {
    match root.presence {
        Presence::Unknown => NodeState::Unknown,
        Presence::Here if !root.is_lost => NodeState::Online,
        Presence::Here | Presence::Gone => NodeState::Offline,
    }
}
