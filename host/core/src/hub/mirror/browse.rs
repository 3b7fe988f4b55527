//! Which nodes a remote has: its data sources, their nodes, and what happens to them later.
//!
//! A source is asked for all of its nodes first; where they are too many for one answer the tree is walked, and where even one level is too
//! wide its names come from service discovery, in parts. The union of all sources, which some concentrators have beside them, comes last
//! and brings only what no other source has. A host like us lists a source only when it has nodes that we may see; its union, which is always
//! watched, tells when there is another. What was there before and is not found any more is gone, unless a part of the browse failed.

use std::collections::BTreeSet;

use jid::{BareJid, Jid};
use minidom::Element;

use super::jobs::Job;
use super::remote::Remote;
use super::thing::{Thing, extras, state_of};
use super::{Hub, Provenance};
use crate::hub::asks::Answered;
use crate::hub::concentrator::BRIDGE;
use crate::hub::registry::UNION;
use crate::model::{Node, NodeRef, ORIGIN, Timestamp, Tokens, limits};
use crate::wire::Dialect;
use crate::wire::concentrator::{Answer, DataSource, Detail, NodeEvent, NodeEvents, NodeInfo, Operation, Request};
use crate::wire::discovery;
use crate::wire::paging::{Page, Place};
use crate::wire::stanza::{Condition, StanzaFault};

const DETAIL: Detail = Detail { parameters: true, messages: true };

/// Some nodes of a source.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::hub) struct Nodes {
    source: String,
    how: How,
}

/// How they are asked for.
#[derive(Clone, Debug, PartialEq)]
enum How {
    All,
    /// Those below one; of none, the roots.
    Level(Option<NodeRef>),
    /// The names of those below one, after this item.
    Names(Option<NodeRef>, Option<String>),
    Named(Vec<NodeRef>),
}

impl Job {
    /// How a job of browsing is asked; whether in a set.
    pub(super) fn browse(&self, dialect: Dialect) -> (bool, Element) {
        let operation = match self {
            Self::Nodes(Nodes { source, how: How::Names(below, after) }) => {
                let node = below.as_ref().map_or_else(|| source.clone(), ToString::to_string);
                let page = Page { max: None, after: after.clone(), before: None };
                return (false, discovery::Request::Items { node: Some(node), page: Some(page) }.to_element());
            }
            Self::Nodes(Nodes { source, how }) => match how {
                How::All => Operation::GetAllNodes { source: source.clone(), detail: DETAIL, types: Vec::new() },
                How::Level(Some(node)) => Operation::GetChildNodes { node: node.clone(), detail: DETAIL },
                How::Level(None) | How::Names(..) => Operation::GetRootNodes { source: source.clone(), detail: DETAIL },
                How::Named(nodes) => Operation::GetNodes { nodes: nodes.clone(), detail: DETAIL },
            },
            Self::Watch(source) => {
                let ttl_s = (!dialect.is_long()).then_some(limits::MIRROR_WATCH_S);
                let events = NodeEvents::all();
                Operation::Subscribe { source: source.clone(), ttl_s, since: None, detail: DETAIL, events }
            }
            _ => Operation::GetAllDataSources,
        };
        (
            operation.changes(),
            Request { dialect, lang: None, operation, page: None, tokens: Tokens::default() }.to_element(),
        )
    }
}

impl Remote {
    /// First the watch, then the look, so that nothing is missed between the two.
    fn browse_source(&mut self, source: String, how: How) {
        self.queue.push_back(Job::Watch(source.clone()));
        self.browse(Nodes { source, how });
    }

    fn browse(&mut self, nodes: Nodes) {
        let Some(peer) = &mut self.peer else { return };
        peer.browsing += 1;
        self.queue.push_back(Job::Nodes(nodes));
    }

    fn browse_named(&mut self, source: &str, names: &[NodeRef]) {
        for part in names.chunks(limits::MIRROR_NODES_PER_ASK_MAX) {
            self.browse(Nodes { source: source.to_owned(), how: How::Named(part.to_vec()) });
        }
    }

    /// A thing is gone; it is asked for nothing any more.
    fn drop_thing(&mut self, name: &NodeRef) -> bool {
        for names in [&mut self.unread, &mut self.unformed, &mut self.unsubscribed] {
            names.remove(name);
        }
        if let Some(peer) = &mut self.peer {
            peer.polled.remove(name);
        }
        self.things.remove(name).is_some()
    }
}

impl Hub {
    /// Looks for what there is: for nodes at a concentrator, else for the device itself.
    pub(super) fn begin_browse(&mut self, jid: &BareJid) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let Some(peer) = remote.peer.as_mut().filter(|peer| peer.browsing == 0) else { return };
        peer.is_patchy = false;
        (remote.round, remote.browsed) = (remote.round + 1, 0);
        match peer.is_concentrator {
            true => remote.queue.push_back(Job::Sources),
            false => self.take_device_itself(jid),
        }
    }

    /// An answer to a job of browsing.
    pub(super) fn browsed(&mut self, jid: &BareJid, job: Job, outcome: Answered, now: Timestamp) {
        match job {
            Job::Sources => {
                self.found_sources(jid, outcome.and_then(|payload| Answer::parse(payload.as_ref())), now);
            }
            Job::Watch(source) => {
                let is_watched = outcome.and_then(|payload| Answer::parse(payload.as_ref())).is_ok();
                if let Some(peer) = self.mirrors.remotes.get_mut(jid).and_then(|remote| remote.peer.as_mut()) {
                    match is_watched {
                        true => _ = peer.watched.insert(source),
                        false => _ = peer.watched.remove(&source),
                    }
                }
            }
            Job::Nodes(nodes) => {
                if let Some(peer) = self.mirrors.remotes.get_mut(jid).and_then(|remote| remote.peer.as_mut()) {
                    peer.browsing = peer.browsing.saturating_sub(1);
                }
                match (&nodes.how, outcome) {
                    (How::Names(below, _), Ok(payload)) => {
                        let below = below.clone();
                        self.found_names(jid, &nodes.source, below, payload.as_ref());
                    }
                    (_, outcome) => {
                        let answer = outcome.and_then(|payload| Answer::parse(payload.as_ref()));
                        self.found_nodes(jid, nodes, answer, now);
                    }
                }
                self.end_browse(jid, now);
            }
            _ => {}
        }
    }

    fn found_sources(&mut self, jid: &BareJid, answer: Result<Answer, StanzaFault>, now: Timestamp) {
        if answer.as_ref().is_err_and(|fault| fault.condition == Condition::Forbidden) {
            return self.lose_for_a_while(jid, "The thing does not let us see what it has.", now);
        }
        let Ok(Answer::DataSources(sources)) = answer else {
            // It says that it is a concentrator and does not answer as one: then it is what it is by itself.
            return self.take_device_itself(jid);
        };
        let entries = self.entries_of(jid);
        let is_wanted = |source: &DataSource| entries.iter().any(|entry| entry.may_cover_source(&source.id));
        let wanted: BTreeSet<String> = sources
            .iter()
            .filter(|source| source.id != UNION && is_wanted(source))
            .map(|source| source.id.clone())
            .take(limits::WATCHES_PER_CALLER_MAX - 1)
            .collect();
        let union = sources.iter().find(|source| source.id == UNION).map(is_wanted);
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        if let Some(peer) = &mut remote.peer {
            peer.sources.clone_from(&wanted);
        }
        wanted.into_iter().for_each(|source| remote.browse_source(source, How::All));
        // The union last, so that it is known by then what it repeats; for what nobody wants of it, only to see which sources there are.
        if let Some(is_wanted) = union {
            remote.browse_source(UNION.to_owned(), if is_wanted { How::All } else { How::Level(None) });
        }
    }

    /// The union tells of another source: a bridge of a host like us has its first node that we may see.
    fn source_appeared(&mut self, jid: &BareJid, source: &str) {
        let is_wanted = self.entries_of(jid).iter().any(|entry| entry.may_cover_source(source));
        let Some(remote) = self.mirrors.remotes.get_mut(jid).filter(|_| is_wanted) else { return };
        let Some(peer) = &mut remote.peer else { return };
        if peer.sources.len() + 1 < limits::WATCHES_PER_CALLER_MAX && peer.sources.insert(source.to_owned()) {
            remote.browse_source(source.to_owned(), How::All);
        }
    }

    fn found_nodes(&mut self, jid: &BareJid, asked: Nodes, answer: Result<Answer, StanzaFault>, now: Timestamp) {
        let found = match answer {
            Ok(Answer::Nodes(found)) => found,
            Ok(_) => Vec::new(),
            Err(fault) => return self.browse_otherwise(jid, asked, &fault),
        };
        let is_wanted = self.entries_of(jid).iter().any(|entry| entry.may_cover_source(&asked.source));
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        remote.browsed += found.len();
        if remote.browsed > limits::MIRROR_BROWSED_MAX {
            if let Some(peer) = &mut remote.peer {
                peer.is_patchy = true;
            }
            return self.say_once(jid, "a remote has more nodes than are looked at; the others are left out");
        }
        if is_wanted && matches!(asked.how, How::Level(_) | How::Named(_)) {
            // In the union, what is below a bridge of another host like us is in that bridge's own source.
            let open = found.iter().filter(|info| info.has_children && info.node_type != BRIDGE);
            let open: Vec<NodeRef> = open.map(|info| info.node.clone()).collect();
            for node in open {
                remote.browse(Nodes { source: asked.source.clone(), how: How::Level(Some(node)) });
            }
        }
        for info in found.into_iter().filter(|info| info.node.source == asked.source || info.node.source.is_empty()) {
            self.take_node(jid, &info, now);
        }
    }

    /// Too many nodes for one answer: first level by level, then by their names.
    fn browse_otherwise(&mut self, jid: &BareJid, asked: Nodes, fault: &StanzaFault) {
        let how = match (asked.how, fault.condition) {
            (How::All, _) => Some(How::Level(None)),
            (How::Level(below), Condition::ResourceConstraint) => Some(How::Names(below, None)),
            (How::Named(names), _) if names.len() > 1 => {
                let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
                return names.iter().for_each(|name| remote.browse_named(&asked.source, std::slice::from_ref(name)));
            }
            // A node that has gone since it was named.
            (How::Named(_), _) => return,
            _ => None,
        };
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        match (how, &mut remote.peer) {
            (Some(how), _) => remote.browse(Nodes { source: asked.source, how }),
            (None, Some(peer)) => {
                peer.is_patchy = true;
                self.say_once(jid, "a remote does not tell all of its nodes");
            }
            (None, None) => {}
        }
    }

    fn found_names(&mut self, jid: &BareJid, source: &str, below: Option<NodeRef>, query: Option<&Element>) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let items = query.map(discovery::parse_items).unwrap_or_default();
        let prefix = format!("{source}/");
        let names: Vec<NodeRef> = items
            .iter()
            .filter_map(|item| item.node.strip_prefix(&prefix))
            .map(|id| NodeRef::new(id, source))
            .collect();
        let last = query.and_then(Place::parse).and_then(|place| place.last).filter(|_| !items.is_empty());
        remote.browsed += items.len();
        if remote.browsed <= limits::MIRROR_BROWSED_MAX
            && let Some(last) = last
        {
            remote.browse(Nodes { source: source.to_owned(), how: How::Names(below, Some(last)) });
        }
        remote.browse_named(source, &names);
    }

    /// What was not found again is gone.
    fn end_browse(&mut self, jid: &BareJid, _now: Timestamp) {
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let Some(peer) = remote.peer.as_ref().filter(|peer| peer.browsing == 0) else { return };
        if peer.is_patchy {
            return;
        }
        remote.is_well();
        let round = remote.round;
        let gone: Vec<NodeRef> = remote
            .things
            .iter()
            .filter(|(_, thing)| thing.round != round && !thing.is_published)
            .map(|(name, _)| name.clone())
            .collect();
        gone.iter().for_each(|name| self.thing_gone(jid, name));
    }

    pub(super) fn thing_gone(&mut self, jid: &BareJid, name: &NodeRef) {
        if self.mirrors.remotes.get_mut(jid).is_some_and(|remote| remote.drop_thing(name)) {
            self.hide_thing(jid, name);
        }
    }

    /// A node that a concentrator tells of: taken if it is wanted, can do something, and is not ours in the end.
    fn take_node(&mut self, jid: &BareJid, info: &NodeInfo, _now: Timestamp) {
        let name = &info.node;
        if info.node_type == BRIDGE && name.source == UNION {
            self.source_appeared(jid, &name.id);
        }
        let provenance = Provenance::of(&extras(info));
        let is_wanted = self.entries_of(jid).iter().any(|entry| entry.covers(name));
        let is_repeated = self.mirrors.remotes.get(jid).is_some_and(|remote| is_repeated(remote, name));
        if !is_wanted || is_repeated || !(info.readable || info.controllable) || !self.is_foreign(jid, &provenance) {
            return self.thing_gone(jid, name);
        }
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let is_new = !remote.things.contains_key(name);
        if is_new && (remote.things.len() >= limits::MIRRORED_NODES_PER_REMOTE_MAX || !is_short(name)) {
            return self
                .say_once(jid, "a remote has more nodes than are mirrored, or longer names; the others are left out");
        }
        let (round, Some(peer)) = (remote.round, &mut remote.peer) else { return };
        let thing = remote.things.entry(name.clone()).or_insert_with(|| Thing::new(jid, name));
        let has_changed = thing.describe(jid, info, &provenance);
        thing.round = round;
        thing.is_unread |= is_new && info.readable;
        thing.is_unformed |= is_new && info.controllable && peer.has_control;
        let is_subscribed = peer.subscriptions.values().any(|nodes| nodes.contains(name)) || peer.polled.contains(name);
        if info.readable {
            remote.unread.insert(name.clone());
            if !is_subscribed && peer.has_events {
                remote.unsubscribed.insert(name.clone());
            } else if !is_subscribed {
                peer.polled.insert(name.clone());
            }
        }
        if info.controllable && peer.has_control {
            remote.unformed.insert(name.clone());
        }
        if has_changed && !is_new {
            self.show_thing(jid, name);
        }
    }

    /// Whether a thing did not come from us, nor through too many hands.
    pub(super) fn is_foreign(&self, jid: &BareJid, from: &Provenance) -> bool {
        let is_ours = |origin: &String| !self.is_our_account(jid) && self.is_home_of(origin);
        from.hops < limits::MIRROR_HOPS_MAX && !from.origin.as_ref().is_some_and(is_ours)
    }

    /// Whether what has this origin lives here.
    fn is_home_of(&self, origin: &str) -> bool {
        let home = origin.split('/').next().unwrap_or_default();
        BareJid::new(home).is_ok_and(|home| self.is_our_account(&home))
    }

    /// Whether a node that a bridge found is a thing of ours, which somebody else shows where the bridge looks.
    pub(in crate::hub) fn lives_here(&self, node: &Node) -> bool {
        node.extra(ORIGIN).is_some_and(|origin| self.is_home_of(origin))
    }

    /// A concentrator tells what happened to a node.
    pub(in crate::hub) fn remote_node_event(&mut self, from: &Jid, event: NodeEvent, now: Timestamp) {
        let jid = from.to_bare();
        let Some(remote) = self.mirrors.remotes.get_mut(&jid) else { return };
        let is_peer = remote.peer.as_ref().is_some_and(|peer| peer.address == *from && peer.is_concentrator);
        if !is_peer {
            return;
        }
        match event {
            NodeEvent::Added { node, .. } => self.take_node(&jid, &node, now),
            NodeEvent::Updated { old_id, node } => {
                if let Some(id) = old_id {
                    self.thing_gone(&jid, &NodeRef { id, ..node.node.clone() });
                }
                self.take_node(&jid, &node, now);
            }
            NodeEvent::Status { node, state, messages } => {
                let Some(thing) = remote.things.get_mut(&node) else { return };
                let state = state_of(state, &messages);
                if std::mem::replace(&mut thing.node.state, state) != state {
                    self.show_thing(&jid, &node);
                }
            }
            NodeEvent::Removed(node) => {
                if let Some(peer) = remote.peer.as_mut().filter(|_| node.source == UNION) {
                    peer.sources.remove(&node.id);
                }
                self.thing_gone(&jid, &node);
            }
            // What is mirrored has no order.
            NodeEvent::MovedUp(_) | NodeEvent::MovedDown(_) => {}
        }
        self.ask_more(&jid, now);
    }
}

/// Whether a node of the union is another source's, told once more: there its id begins with the source.
fn is_repeated(remote: &Remote, name: &NodeRef) -> bool {
    let is_own = |source: &str, id: &str| {
        remote.peer.as_ref().is_some_and(|peer| peer.sources.contains(source))
            || remote.things.contains_key(&NodeRef::new(id, source))
    };
    name.source == UNION && name.id.split_once('/').is_some_and(|(source, id)| is_own(source, id))
}

fn is_short(name: &NodeRef) -> bool {
    [&name.id, &name.source, &name.partition].iter().all(|part| part.len() <= limits::NAME_BYTES_MAX)
}

/// The names in an order that requests can rely on.
pub(super) fn batch(names: &mut BTreeSet<NodeRef>) -> Vec<NodeRef> {
    let mut taken = Vec::new();
    while taken.len() < limits::MIRROR_NODES_PER_ASK_MAX
        && let Some(name) = names.pop_first()
    {
        taken.push(name);
    }
    taken
}
