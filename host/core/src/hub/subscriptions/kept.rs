//! Event subscriptions that outlive the process, and subscribers of whom nothing is known yet.
//!
//! Owns what is given to the store and what becomes of it at the next start. A wish that is restored waits for its nodes, which mappers
//! declare later, and for its subscriber: whose presence we are sent counts as away until it comes; of anybody else nothing can be known, so
//! it is sent what there is, and what comes back says that it is gone. Permits are asked for when a node joins, as for a new wish.

use std::collections::BTreeSet;

use jid::{BareJid, Jid};

use super::super::addresses::Peer;
use super::super::friends::Contact;
use super::super::lookup::{Readable, shown_in};
use super::super::registry::{NodeKey, UNION};
use super::super::timers::Timer;
use super::super::{Hub, Output};
use super::table::{Target, Waited};
use crate::model::{NodeRef, Timestamp, limits};
use crate::wire::subscribe::Subscribe;

/// Where wishes begin among all records.
const WISHES: &str = "wish/";

/// Has a wish forgotten.
pub(super) fn forgotten(record: u64) -> Output {
    Output::Keep { item: None, name: format!("{WISHES}{record:016x}"), bytes: None }
}

impl Hub {
    /// Takes up the event subscriptions that an earlier run kept; to be called after the bridges were added and before they act. What is no
    /// wish, not allowed any more, or too much is forgotten.
    pub fn restore(&mut self, now: Timestamp) {
        self.now = now;
        let registry = &self.registry;
        self.outputs.extend(self.named.retain(|bridge| registry.source(bridge).is_some()));
        // Everything else was restored when the hub was made.
        for (name, bytes) in std::mem::take(&mut self.config.kept) {
            let Some(digits) = name.strip_prefix(WISHES) else { continue };
            let record = u64::from_str_radix(digits, 16).ok();
            let wish = std::str::from_utf8(&bytes).ok().and_then(Subscribe::from_record);
            let is_restored = record.zip(wish).is_some_and(|(record, (jid, at, wish))| {
                self.items = self.items.max(record);
                self.restore_wish(record, &Peer { jid, at }, wish, now)
            });
            if !is_restored {
                self.outputs.push_back(Output::Keep { item: None, name, bytes: None });
            }
        }
    }

    fn restore_wish(&mut self, record: u64, caller: &Peer, wish: Subscribe, now: Timestamp) -> bool {
        let seat = caller.at.as_ref().filter(|at| at.node().is_some()).map(Jid::to_bare);
        let mut names: Vec<NodeRef> = wish.nodes.clone();
        if names.is_empty() && (wish.dialect.is_long() || seat.is_some()) {
            names.push(NodeRef::default());
        }
        names.retain(|name| {
            name.source.is_empty() || name.source == UNION || self.registry.source(&name.source).is_some()
        });
        let is_allowed = self.config.policy.of(&caller.bare()).check().is_ok();
        let name = (caller.clone(), wish.id.clone());
        let is_new = !self.subscriptions.names.contains_key(&name);
        if names.is_empty() || !is_allowed || !is_new || self.check_room(caller, &wish.id, names.len()).is_err() {
            return false;
        }
        let number = self.number();
        let names: Vec<Waited> = names.into_iter().map(|name| (seat.clone(), name)).collect();
        for name in &names {
            self.subscriptions.waiting.entry(name.clone()).or_default().insert(number);
        }
        let mut subscription = self.subscription(caller, wish, record);
        (subscription.is_kept, subscription.waiting) = (true, names);
        (subscription.away_since, subscription.is_unknown) = (Some(now), true);
        self.subscriptions.names.insert(name, number);
        self.subscriptions.live.insert(number, subscription);
        true
    }

    /// Has a wish kept; false if it is too large for that.
    pub(in crate::hub) fn keep_wish(&mut self, record: u64, caller: &Peer, wish: &Subscribe) -> bool {
        let wish = wish.to_record(&caller.jid, caller.at.as_ref());
        if wish.len() > limits::KEPT_WISH_BYTES_MAX {
            return false;
        }
        let (name, bytes) = (format!("{WISHES}{record:016x}"), Some(wish.into_bytes()));
        self.outputs.push_back(Output::Keep { item: Some(record), name, bytes });
        true
    }

    /// A node was declared: those who wait for it have it from now on.
    pub(in crate::hub) fn join_waiting(&mut self, key: NodeKey, now: Timestamp) {
        if self.subscriptions.waiting.is_empty() {
            return;
        }
        for (name, is_itself) in self.names_of(key) {
            let numbers = self.subscriptions.waiting.get(&name).cloned().unwrap_or_default();
            for number in numbers {
                self.join(number, key, &name, is_itself, now);
            }
        }
    }

    /// The names that lead to a node: its own, and with long names those of what it is below.
    fn names_of(&self, key: NodeKey) -> Vec<(Waited, bool)> {
        let mut names = Vec::new();
        for above in self.registry.ancestors(key) {
            let Some(entry) = self.registry.get(above) else { continue };
            let (id, qualified) = (&entry.node.id, entry.name.to_string());
            let own = [(id, &*entry.bridge), (&qualified, UNION), (&qualified, ""), (id, UNION), (id, "")];
            let own = own.into_iter().map(|(id, source)| NodeRef::new(id, source));
            names.extend(own.filter(|name| self.registry.find(name) == Some(above)).map(|name| (name, above == key)));
        }
        if let Some(entry) = self.registry.get(key) {
            names.extend([UNION, ""].map(|source| (NodeRef::new(&*entry.bridge, source), false)));
        }
        names.push((NodeRef::default(), false));
        let addresses: Vec<BareJid> =
            self.registry.ancestors(key).into_iter().filter_map(|above| self.address_of(above)).collect();
        let mut waited: Vec<(Waited, bool)> =
            addresses.first().map(|own| ((Some(own.clone()), NodeRef::default()), true)).into_iter().collect();
        for (name, is_itself) in names {
            waited.extend(addresses.iter().map(|at| ((Some(at.clone()), name.clone()), is_itself)));
            waited.push(((None, name), is_itself));
        }
        waited
    }

    fn join(&mut self, number: u64, key: NodeKey, name: &Waited, is_itself: bool, now: Timestamp) {
        let Some(readable) = self.readable_for(number, key, name, is_itself) else { return };
        let Some(entry) = self.registry.get(key) else { return };
        let Some(subscription) = self.subscriptions.live.get_mut(&number) else { return };
        subscription.targets.insert(key, Target::new(readable, &subscription.rules, entry, now));
        subscription.arm(number, key, &mut self.timers);
        self.subscriptions.nodes.entry(key).or_default().insert(number);
        self.subscriptions.pairs += 1;
        // From here on it is as if it had been asked for now: what is ended later must not begin again when the node is declared anew.
        if is_itself {
            self.wait_no_more_for(number, name);
        }
    }

    /// Whether a waiting wish gets the node; a newer one of the same subscriber comes first.
    fn readable_for(&mut self, number: u64, key: NodeKey, waited: &Waited, is_itself: bool) -> Option<Readable> {
        let (at, name) = waited;
        let subscription = self.subscriptions.live.get(&number)?;
        let entry = self.registry.get(key).filter(|entry| !entry.node.fields.is_empty())?;
        let permit = self.config.policy.of(&subscription.caller.bare()).read(&entry.name).ok()?;
        let is_meant = is_itself || subscription.profile.dialect.is_long();
        if !is_meant
            || subscription.targets.contains_key(&key)
            || self.subscriptions.pairs >= limits::SUBSCRIBED_NODES_MAX
        {
            return None;
        }
        let is_long = subscription.profile.dialect.is_long();
        let shown = match (at, is_itself) {
            (Some(_), true) if *name == NodeRef::default() => is_long.then(|| entry.name.clone()),
            (_, true) => Some(name.clone()),
            (_, false) => Some(shown_in(&name.source, entry)),
        };
        let (caller, record) = (subscription.caller.clone(), subscription.record);
        let others = self.subscriptions.nodes.get(&key).cloned().unwrap_or_default();
        for other in others {
            let Some(theirs) = self.subscriptions.live.get(&other).filter(|live| live.caller == caller) else {
                continue;
            };
            if theirs.record > record {
                if is_itself {
                    self.wait_no_more_for(number, waited);
                    self.end_if_empty(number);
                }
                return None;
            }
            self.end_target(other, key);
            self.end_if_empty(other);
        }
        Some(Readable { key, shown, permit })
    }

    /// A wish waits for no more nodes.
    pub(in crate::hub) fn wait_no_more(&mut self, number: u64) {
        let Some(subscription) = self.subscriptions.live.get_mut(&number) else { return };
        for name in std::mem::take(&mut subscription.waiting) {
            self.wait_no_more_for(number, &name);
        }
    }

    fn wait_no_more_for(&mut self, number: u64, name: &Waited) {
        if let Some(subscription) = self.subscriptions.live.get_mut(&number) {
            subscription.waiting.retain(|one| one != name);
        }
        if let Some(numbers) = self.subscriptions.waiting.get_mut(name) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.subscriptions.waiting.remove(name);
            }
        }
    }

    /// A new session: presences will be told anew. Whose are not is away, and forgotten in time.
    pub(in crate::hub) fn subscribers_unknown(&mut self, now: Timestamp) {
        for (number, subscription) in &mut self.subscriptions.live {
            let is_told = self.friends.sees(&Contact::of(&subscription.caller));
            if subscription.is_unknown || (is_told && subscription.away_since.is_none()) {
                let away_ms = limits::SUBSCRIBER_AWAY_MS_MAX;
                if let Some(since) = subscription.away_since.replace(now) {
                    self.timers.cancel(since.plus_ms(away_ms), Timer::Offline(*number));
                }
                subscription.is_unknown = true;
                self.timers.set(now.plus_ms(away_ms), Timer::Offline(*number));
            }
        }
    }

    /// The contacts are known, and so whose presence nobody will tell us.
    pub(in crate::hub) fn contacts_known(&mut self, now: Timestamp) {
        let live = self.subscriptions.live.values().filter(|subscription| subscription.is_unknown);
        let untold: BTreeSet<Peer> = live
            .map(|subscription| &subscription.caller)
            .filter(|caller| !self.friends.sees(&Contact::of(caller)))
            .cloned()
            .collect();
        for caller in untold {
            self.subscriber_back(&caller, now);
        }
    }
}
