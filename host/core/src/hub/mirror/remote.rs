//! One remote: where it is, how far we are with it, and what is to be asked of it.
//!
//! Owns presence, the choice of the resource and of the generation, the retries, and the jobs, of which only some are under way at once.
//! Every loss begins a new *epoch*: answers of an older one mean nothing, except to the mapper whose request they end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jid::{BareJid, Jid};

use super::browse::Nodes;
use super::order::Order;
use super::thing::Thing;
use crate::hub::asks::{Answered, Purpose};
use crate::hub::timers::Timer;
use crate::hub::{Contact, Hub};
use crate::model::{Failure, NodeRef, NodeState, ReasonCode, Timestamp, limits};
use crate::wire::Dialect;
use crate::wire::control::Parameter;
use crate::wire::discovery::{self, Info};
use crate::wire::stanza::{Availability, Condition, FaultKind, Presence, StanzaFault, presence};

/// Somebody whose things are mirrored.
#[derive(Debug)]
pub(super) struct Remote {
    number: u64,
    /// Full JIDs that are online, and the hash of what each can do.
    here: BTreeMap<Jid, Option<String>>,
    /// Those of them that are nothing for us.
    unsuitable: BTreeSet<Jid>,
    /// It does not want us to see its presence.
    is_refused: bool,
    pub(super) epoch: u64,
    pub(super) peer: Option<Peer>,
    pub(super) queue: VecDeque<Job>,
    pub(super) under_way: usize,
    pub(super) readouts: BTreeMap<String, Readout>,
    pub(super) things: BTreeMap<NodeRef, Thing>,
    /// Things to be read, asked for their form, subscribed to.
    pub(super) unread: BTreeSet<NodeRef>,
    pub(super) unformed: BTreeSet<NodeRef>,
    pub(super) unsubscribed: BTreeSet<NodeRef>,
    pub(super) round: u64,
    pub(super) browsed: usize,
    attempts: u32,
    retry_at: Option<Timestamp>,
    pub(super) renew_at: Option<Timestamp>,
    pub(super) poll_at: Option<Timestamp>,
    armed: Option<Timestamp>,
    /// Complaints that were made already.
    said: BTreeSet<&'static str>,
}

/// The resource that we deal with.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) address: Jid,
    pub(super) dialect: Dialect,
    /// Discovery has answered.
    pub(super) is_met: bool,
    pub(super) is_concentrator: bool,
    pub(super) has_events: bool,
    pub(super) has_control: bool,
    pub(super) subscriptions: BTreeMap<String, Vec<NodeRef>>,
    /// Nodes that tell nothing by themselves.
    pub(super) polled: BTreeSet<NodeRef>,
    /// Data sources that are mirrored, beside the union of them.
    pub(super) sources: BTreeSet<String>,
    /// Data sources that tell us what happens to their nodes.
    pub(super) watched: BTreeSet<String>,
    /// Browses that have not ended, and whether one of them failed.
    pub(super) browsing: usize,
    pub(super) is_patchy: bool,
}

/// A readout of ours under way.
#[derive(Debug)]
pub(super) struct Readout {
    pub(super) nodes: Vec<NodeRef>,
    pub(super) order: Option<Order>,
    pub(super) deadline: Timestamp,
    pub(super) error: Option<String>,
}

/// Something to be asked.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::hub) enum Job {
    Disco,
    Sources,
    Nodes(Nodes),
    Read { nodes: Vec<NodeRef>, order: Option<Order> },
    Form(NodeRef),
    Subscribe { id: String, nodes: Vec<NodeRef> },
    Watch(String),
    Set { order: Order, node: NodeRef, parameters: Vec<Parameter> },
}

/// On whose behalf something was asked.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::hub) struct Asked {
    pub(super) jid: BareJid,
    pub(super) epoch: u64,
    pub(super) job: Job,
    /// The readout's id.
    pub(super) readout: Option<String>,
}

impl Remote {
    fn new(number: u64) -> Self {
        Self {
            number,
            here: BTreeMap::new(),
            unsuitable: BTreeSet::new(),
            is_refused: false,
            epoch: 0,
            peer: None,
            queue: VecDeque::new(),
            under_way: 0,
            readouts: BTreeMap::new(),
            things: BTreeMap::new(),
            unread: BTreeSet::new(),
            unformed: BTreeSet::new(),
            unsubscribed: BTreeSet::new(),
            round: 0,
            browsed: 0,
            attempts: 0,
            retry_at: None,
            renew_at: None,
            poll_at: None,
            armed: None,
            said: BTreeSet::new(),
        }
    }

    pub(super) fn peer_if_there(&self) -> Option<&Peer> {
        self.peer.as_ref().filter(|peer| peer.is_met)
    }

    pub(super) fn state_for_people(&self) -> &'static str {
        match &self.peer {
            Some(peer) if !peer.is_met || peer.browsing > 0 => "met",
            Some(_) => "present",
            None if self.is_refused => "refused",
            None if !self.here.is_empty() && self.here.keys().all(|jid| self.unsuitable.contains(jid)) => "unsuitable",
            None => "away",
        }
    }

    /// A thing that tells nothing by itself is to be read again.
    pub(super) fn read_again(&mut self, node: &NodeRef) {
        let is_polled = |peer: &Peer| peer.polled.contains(node) || peer.polled.contains(&NodeRef::default());
        if self.peer.as_ref().is_some_and(is_polled) {
            self.unread.insert(node.clone());
        }
    }

    /// How many fields it may still bring.
    pub(super) fn room(&self) -> usize {
        let fields: usize = self.things.values().map(|thing| thing.node.fields.len()).sum();
        limits::MIRRORED_FIELDS_PER_REMOTE_MAX.saturating_sub(fields)
    }

    /// Ends everything that is under way; gives the mappers' requests that end with it.
    fn forget(&mut self) -> Vec<Order> {
        self.epoch += 1;
        (self.peer, self.under_way) = (None, 0);
        (self.renew_at, self.poll_at) = (None, None);
        self.unread.clear();
        self.unformed.clear();
        self.unsubscribed.clear();
        let queued = std::mem::take(&mut self.queue).into_iter().filter_map(|job| match job {
            Job::Set { order, .. } => Some(order),
            Job::Read { order, .. } => order,
            _ => None,
        });
        queued.chain(std::mem::take(&mut self.readouts).into_values().filter_map(|readout| readout.order)).collect()
    }

    fn retry_after(&mut self, now: Timestamp) {
        let delay =
            limits::MIRROR_RETRY_MS.checked_shl(self.attempts).unwrap_or(u64::MAX).min(limits::MIRROR_RETRY_MS_MAX);
        self.attempts = (self.attempts + 1).min(20);
        self.retry_at = Some(now.plus_ms(delay));
    }

    /// It did what it should: the next trouble is the first one again.
    pub(super) fn is_well(&mut self) {
        self.attempts = 0;
    }

    fn due(&self) -> Option<Timestamp> {
        let readouts = self.readouts.values().map(|readout| readout.deadline);
        readouts.chain(self.retry_at).chain(self.renew_at).chain(self.poll_at).min()
    }
}

impl Hub {
    /// Whether this is our own account.
    pub(super) fn is_our_account(&self, jid: &BareJid) -> bool {
        self.me().is_some_and(|me| me.to_bare() == *jid)
    }

    /// The operator's entries changed: remotes come and go with them.
    pub(super) fn remotes_changed(&mut self, touched: &BTreeSet<BareJid>, now: Timestamp) {
        for jid in touched {
            self.unsubscribe_at(jid, now);
            if self.entries_of(jid).is_empty() {
                self.abandon(jid);
                continue;
            }
            // Another pattern may mean other nodes.
            self.lose(jid, "The operator changed what is mirrored.", now);
            if !self.mirrors.remotes.contains_key(jid) {
                let number = self.number();
                let mut remote = Remote::new(number);
                remote.here = self.friends.resources(jid);
                self.mirrors.remotes.insert(jid.clone(), remote);
            }
            self.approach(jid, now);
        }
    }

    /// Nobody wants anything of it any more.
    fn abandon(&mut self, jid: &BareJid) {
        let Some(mut remote) = self.mirrors.remotes.remove(jid) else { return };
        if let Some(at) = remote.armed {
            self.timers.cancel(at, Timer::Remote(remote.number));
        }
        for order in remote.forget() {
            self.order_ended(&order, Err(Failure::new(ReasonCode::Closed, "the thing is not mirrored any more")));
        }
        for name in remote.things.into_keys() {
            self.hide_thing(jid, &name);
        }
    }

    /// A new session of ours: whatever was agreed with anybody is void, except with ourselves.
    pub(in crate::hub) fn mirrors_lost(&mut self, now: Timestamp) {
        let jids: Vec<BareJid> = self.mirrors.remotes.keys().cloned().collect();
        for jid in jids {
            let me = self.me();
            let Some(remote) = self.mirrors.remotes.get_mut(&jid) else { continue };
            if remote.peer.as_ref().is_some_and(|peer| Some(&peer.address) == me.as_ref()) {
                continue;
            }
            remote.here.clear();
            remote.unsuitable.clear();
            (remote.is_refused, remote.attempts, remote.retry_at) = (false, 0, None);
            self.lose(&jid, "The connection to the server was lost.", now);
        }
    }

    /// Our contacts are known: we go looking for our remotes.
    pub(in crate::hub) fn mirrors_begin(&mut self, now: Timestamp) {
        let jids: Vec<BareJid> = self.mirrors.remotes.keys().cloned().collect();
        for jid in jids {
            self.approach(&jid, now);
        }
    }

    /// Other rules of ours: what we may see of ourselves may be other things. Nobody else's rules are known to change.
    pub(in crate::hub) fn own_rules_changed(&mut self, now: Timestamp) {
        let Some(jid) = self.me().map(|me| me.to_bare()) else { return };
        let Some(remote) = self.mirrors.remotes.get_mut(&jid) else { return };
        match remote.peer {
            Some(_) => self.begin_browse(&jid),
            None => {
                (remote.attempts, remote.retry_at) = (0, None);
                remote.unsuitable.clear();
                self.meet(&jid, now);
            }
        }
        self.ask_more(&jid, now);
    }

    /// Asks to see its presence, where we do not see it, and meets it where it needs none.
    fn approach(&mut self, jid: &BareJid, now: Timestamp) {
        if self.me().is_none() || !self.mirrors.remotes.contains_key(jid) {
            return;
        }
        let contact = self.contact(jid);
        if !self.is_our_account(jid) && !self.friends.sees(&contact) {
            self.show_presence(Availability::Subscribe, &jid.clone().into());
        }
        self.meet(jid, now);
    }

    fn contact(&self, jid: &BareJid) -> Contact {
        Contact { jid: jid.clone(), at: self.config.component.clone() }
    }

    /// Presence for a remote, from the concentrator's address.
    fn show_presence(&mut self, what: Availability, to: &Jid) {
        let caps = (what == Availability::Available).then(|| self.caps().to_element());
        let at = self.config.component.clone().map(Jid::from);
        self.send_from(at.as_ref(), presence(what, Some(to), caps));
    }

    /// Where to find it: ourselves at our own address, a domain at its own; everybody else where presence says, each resource in turn.
    fn whereabouts(&self, jid: &BareJid, remote: &Remote) -> Option<Jid> {
        if self.is_our_account(jid) {
            return self.me();
        }
        let by_presence = remote.here.keys().find(|jid| !remote.unsuitable.contains(*jid)).cloned();
        let is_domain = jid.node().is_none();
        by_presence.or_else(|| is_domain.then(|| jid.clone().into()).filter(|jid| !remote.unsuitable.contains(jid)))
    }

    /// Begins with it, if it can be found and we have not begun.
    fn meet(&mut self, jid: &BareJid, now: Timestamp) {
        let Some(remote) = self.mirrors.remotes.get(jid).filter(|remote| remote.peer.is_none()) else { return };
        let Some(address) = self.whereabouts(jid, remote).filter(|_| remote.retry_at.is_none()) else { return };
        let contact = self.contact(jid);
        if !self.is_our_account(jid) && !self.friends.is_shown(&contact) {
            // It sees whether we are here, and from our capabilities who we are.
            self.show_presence(Availability::Available, &address);
        }
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        remote.peer = Some(Peer {
            address,
            dialect: Dialect::Nf,
            is_met: false,
            is_concentrator: false,
            has_events: false,
            has_control: false,
            subscriptions: BTreeMap::new(),
            polled: BTreeSet::new(),
            sources: BTreeSet::new(),
            watched: BTreeSet::new(),
            browsing: 0,
            is_patchy: false,
        });
        remote.queue.push_back(Job::Disco);
        self.ask_more(jid, now);
    }

    /// Presence of a remote.
    pub(in crate::hub) fn remote_presence(&mut self, from: &Jid, what: &Presence, now: Timestamp) {
        let jid = from.to_bare();
        if self.is_our_account(&jid) || !self.mirrors.remotes.contains_key(&jid) {
            return;
        }
        match what {
            Presence::Available { caps } => {
                self.remote_here(&jid, from, caps.as_ref().map(|caps| caps.ver.clone()), now)
            }
            Presence::Unavailable => self.remote_gone(&jid, from, now),
            Presence::Unsubscribed => {
                if let Some(remote) = self.mirrors.remotes.get_mut(&jid) {
                    remote.is_refused = true;
                }
                self.remote_gone(&jid, &jid.clone().into(), now);
            }
            Presence::Subscribed => {
                if let Some(remote) = self.mirrors.remotes.get_mut(&jid) {
                    remote.is_refused = false;
                }
            }
            Presence::Subscribe | Presence::Unsubscribe | Presence::Probe | Presence::Error | Presence::Other => {}
        }
    }

    fn remote_here(&mut self, jid: &BareJid, from: &Jid, ver: Option<String>, now: Timestamp) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        remote.is_refused = false;
        if remote.here.len() >= limits::MIRROR_ENTRIES_MAX && !remote.here.contains_key(from) {
            return;
        }
        let before = remote.here.insert(from.clone(), ver.clone());
        let is_other = before.as_ref() != Some(&ver);
        let is_peer = remote.peer.as_ref().is_some_and(|peer| peer.address == *from);
        match (is_peer, is_other) {
            (true, true) if before.is_some() => self.lose(jid, "The thing came back as another.", now),
            // It may have been started again without its server saying so.
            (true, _) => self.renew(jid, now),
            (false, true) => _ = remote.unsuitable.remove(from),
            (false, false) => {}
        }
        if let Some(remote) = self.mirrors.remotes.get_mut(jid).filter(|remote| remote.peer.is_none()) {
            (remote.attempts, remote.retry_at) = (0, None);
        }
        self.meet(jid, now);
    }

    fn remote_gone(&mut self, jid: &BareJid, from: &Jid, now: Timestamp) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let is_gone = |address: &Jid| from.is_bare() || address == from;
        remote.here.retain(|address, _| !is_gone(address));
        remote.unsuitable.retain(|address| !is_gone(address));
        if remote.peer.as_ref().is_some_and(|peer| is_gone(&peer.address)) {
            self.lose(jid, "The thing went offline.", now);
            self.meet(jid, now);
        }
    }

    /// It cannot be reached, or we begin anew: its things are offline until it is met again.
    pub(super) fn lose(&mut self, jid: &BareJid, why: &str, now: Timestamp) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let orders = remote.forget();
        let mut changed = Vec::new();
        for (name, thing) in &mut remote.things {
            (thing.is_unread, thing.is_unformed) = (false, false);
            if std::mem::replace(&mut thing.node.state, NodeState::Offline) != NodeState::Offline {
                changed.push(name.clone());
            }
        }
        for order in orders {
            self.order_ended(&order, Err(Failure::new(ReasonCode::Closed, why)));
        }
        changed.iter().for_each(|name| self.show_thing(jid, name));
        self.set_alarm(jid, now);
    }

    /// The same, and it is tried again later.
    pub(super) fn lose_for_a_while(&mut self, jid: &BareJid, why: &str, now: Timestamp) {
        self.lose(jid, why, now);
        if let Some(remote) = self.mirrors.remotes.get_mut(jid) {
            remote.retry_after(now);
        }
        self.set_alarm(jid, now);
    }

    /// A job that comes before all others.
    pub(super) fn queue_first(&mut self, jid: &BareJid, job: Job, now: Timestamp) {
        if let Some(remote) = self.mirrors.remotes.get_mut(jid) {
            remote.queue.push_front(job);
        }
        self.ask_more(jid, now);
    }

    /// Asks what is to be asked, as much at once as a remote is taken to bear.
    pub(super) fn ask_more(&mut self, jid: &BareJid, now: Timestamp) {
        while let Some(job) = self.next_job(jid) {
            self.ask_remote(jid, job, now);
        }
        self.schedule_poll(jid, now);
        self.set_alarm(jid, now);
    }

    fn next_job(&mut self, jid: &BareJid) -> Option<Job> {
        let id = self.remote_id();
        let remote = self.mirrors.remotes.get_mut(jid)?;
        if remote.peer.is_none() || remote.under_way >= limits::MIRROR_ASKS_PER_REMOTE_MAX {
            return None;
        }
        remote.queue.pop_front().or_else(|| remote.next_lesson(id))
    }

    /// A number that fits every generation; it begins somewhere else after each start of the host, so that what the last one asked for is
    /// not taken for ours.
    pub(super) fn remote_id(&mut self) -> String {
        let number = self.number().wrapping_add(self.config.first_item >> 10);
        (number & 0x7fff_ffff).to_string()
    }

    fn ask_remote(&mut self, jid: &BareJid, job: Job, now: Timestamp) {
        let id = self.remote_id();
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let Some(peer) = &remote.peer else { return };
        let (address, epoch) = (peer.address.clone(), remote.epoch);
        let (set, payload) = match &job {
            Job::Disco => (false, discovery::Request::Info { node: None }.to_element()),
            Job::Sources | Job::Nodes(_) | Job::Watch(_) => job.browse(peer.dialect),
            _ => job.lesson(peer.dialect, &id),
        };
        remote.under_way += 1;
        let readout = match &job {
            Job::Read { nodes, order } => {
                let deadline = now.plus_ms(limits::MIRROR_READOUT_MS_MAX);
                let readout = Readout { nodes: nodes.clone(), order: order.clone(), deadline, error: None };
                remote.readouts.insert(id.clone(), readout);
                Some(id)
            }
            _ => None,
        };
        let asked = Asked { jid: jid.clone(), epoch, job, readout };
        self.ask_peer(Some(&address), set, payload, Purpose::Remote(Box::new(asked)), now);
    }

    /// An ask of ours ended.
    pub(in crate::hub) fn remote_answered(&mut self, asked: Asked, outcome: Answered, now: Timestamp) {
        let Asked { jid, epoch, job, readout } = asked;
        if let Job::Set { order, node, parameters } = &job {
            let names: Vec<String> = parameters.iter().map(|parameter| parameter.name.clone()).collect();
            self.was_set(&jid, order, node, &names, &outcome);
        }
        let Some(remote) = self.mirrors.remotes.get_mut(&jid).filter(|remote| remote.epoch == epoch) else { return };
        // An accepted readout is under way until its last message.
        if readout.is_none() {
            remote.under_way = remote.under_way.saturating_sub(1);
        }
        match (job, outcome) {
            (Job::Set { .. }, _) => {}
            (Job::Disco, outcome) => self.discovered(&jid, outcome, now),
            (_, Err(fault)) if is_unreachable(&fault) => self.lose_for_a_while(&jid, "The thing does not answer.", now),
            (job @ (Job::Sources | Job::Nodes(_) | Job::Watch(_)), outcome) => self.browsed(&jid, job, outcome, now),
            (job, outcome) => self.lesson_learned(&jid, job, readout.as_deref(), outcome, now),
        }
        self.ask_more(&jid, now);
    }

    /// What it is and can do.
    fn discovered(&mut self, jid: &BareJid, outcome: Answered, now: Timestamp) {
        let generations = self.entries_of(jid).first().map_or_else(Vec::new, |entry| entry.generations.clone());
        let info = match outcome {
            Ok(payload) => payload.as_ref().map(Info::parse).unwrap_or_default(),
            Err(fault) if is_unreachable(&fault) => {
                return self.lose_for_a_while(jid, "The thing does not answer.", now);
            }
            Err(_) => Info::default(),
        };
        let has = |ns: &str| info.features.iter().any(|feature| feature == ns);
        let speaks = |dialect: &Dialect| {
            has(dialect.sensor_ns())
                || has(dialect.control_ns())
                || has(dialect.concentrator_ns())
                || has(dialect.events_ns())
        };
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let Some(peer) = &mut remote.peer else { return };
        let Some(dialect) = generations.into_iter().find(speaks) else {
            let address = peer.address.clone();
            remote.unsuitable.insert(address);
            return self.not_this_one(jid, now);
        };
        (peer.dialect, peer.is_met) = (dialect, true);
        peer.is_concentrator = has(dialect.concentrator_ns());
        (peer.has_events, peer.has_control) = (has(dialect.events_ns()), has(dialect.control_ns()));
        remote.renew_at = Some(now.plus_ms(limits::MIRROR_RENEW_MS));
        self.begin_browse(jid);
    }

    /// Another resource may do; if none does, all are looked at again later.
    fn not_this_one(&mut self, jid: &BareJid, now: Timestamp) {
        self.lose(jid, "The thing speaks nothing that we know.", now);
        self.meet(jid, now);
        if let Some(remote) = self.mirrors.remotes.get_mut(jid).filter(|remote| remote.peer.is_none()) {
            remote.retry_after(now);
            self.set_alarm(jid, now);
        }
    }

    /// Whatever of a remote is due.
    pub(in crate::hub) fn remote_due(&mut self, number: u64, now: Timestamp) {
        let found = self.mirrors.remotes.iter_mut().find(|(_, remote)| remote.number == number);
        let Some((jid, remote)) = found.map(|(jid, remote)| (jid.clone(), remote)) else { return };
        remote.armed = None;
        let is_past = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        if is_past(remote.retry_at) {
            remote.retry_at = None;
            remote.unsuitable.clear();
            self.meet(&jid, now);
        }
        let Some(remote) = self.mirrors.remotes.get(&jid) else { return };
        let (is_renewal, is_poll) = (is_past(remote.renew_at), is_past(remote.poll_at));
        if is_renewal {
            self.renew(&jid, now);
        }
        if is_poll {
            self.poll(&jid);
        }
        self.end_overdue_readouts(&jid, now);
        self.ask_more(&jid, now);
    }

    /// One timer for each remote, at the earliest of what is due.
    pub(super) fn set_alarm(&mut self, jid: &BareJid, now: Timestamp) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let due = remote.due().map(|due| due.max(now));
        if due == remote.armed {
            return;
        }
        if let Some(before) = std::mem::replace(&mut remote.armed, due) {
            self.timers.cancel(before, Timer::Remote(remote.number));
        }
        if let Some(due) = due {
            self.timers.set(due, Timer::Remote(remote.number));
        }
    }

    /// Says something of a remote once, in the log of the bridges that it is mirrored to.
    pub(super) fn say_once(&mut self, jid: &BareJid, what: &'static str) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid).filter(|remote| !remote.said.contains(what)) else {
            return;
        };
        remote.said.insert(what);
        let bridges =
            self.mirrors.shows.iter().filter(|(_, show)| show.wants_any(jid)).map(|(bridge, _)| bridge.clone());
        for bridge in bridges.collect::<Vec<_>>() {
            self.complain(&bridge, format!("mirror: {what}; said once"));
        }
    }
}

/// Whether a fault says that nobody is there, rather than what somebody thinks.
pub(super) fn is_unreachable(fault: &StanzaFault) -> bool {
    match fault.condition {
        Condition::RemoteServerTimeout | Condition::RemoteServerNotFound | Condition::RecipientUnavailable => true,
        Condition::Gone => fault.kind == FaultKind::Cancel,
        _ => false,
    }
}
