//! Things of others, shown to our bridges: here the hub is a client.
//!
//! The operator names JIDs, and patterns over their nodes, for a bridge. Each JID is one *remote*, shared by all bridges that name it. From
//! its presence we know where it is; service discovery says in which generation it speaks and whether it is a concentrator; then its
//! nodes are browsed, read once to learn their fields, asked for the form of what can be set, and subscribed to. Where it serves no event
//! subscriptions it is read again and again. What comes of that goes to the bridges' mappers as `thing-*` events, and what mappers want
//! set or read goes out as asks of ours, whose answer is their `done`.
//!
//! | part | owns |
//! |---|---|
//! | [`entry`] | what the operator wrote: which nodes of which JID, and how to speak with it |
//! | [`remote`] | how far we are with a remote, and when it is tried again |
//! | [`whereabouts`] | where it is, and in which generation it speaks |
//! | [`jobs`] | what is asked of it, some at a time |
//! | [`browse`] | which nodes it has |
//! | [`learn`] | what it says of them: readouts, forms, subscriptions, and what comes unasked |
//! | [`published`] | what came without being asked for, by whatever way |
//! | [`service`] | nodes of services and accounts that are listened to |
//! | [`thing`] | what is known of one node; knows no stanza |
//! | [`show`] | which bridge is shown what, under which number |
//! | [`own`] | what stands at our own addresses |
//! | [`order`] | what mappers want of things |
//!
//! **Our own JID**, and as a component each address of a node, is a remote like any other: what we send to ourselves does not leave the process, but comes back in as if the server had
//! brought it ([`Hub::poll_output`]). So things of another bridge of this host take the same path, under the rules that name our own bare JID.
//!
//! **No loops.** A bridge is never shown its own nodes. A node that shows somebody else's thing says so in its extras ([`ORIGIN`], [`HOPS`]),
//! which travel as parameters of concentrator nodes: what is ours, or has gone through too many hands, is not mirrored, and a node that
//! declares an origin which its bridge is shown anyway is refused.
//!
//! **What is published** ([`published`], [`service`]) is shown as well, where an entry wants it: by an account's own nodes, presence or plain
//! messages, in nodes of a service, or in a room. Nothing is asked there but what was published last.
//!
//! What a remote says is bounded and never believed further than its own nodes: unknown nodes, foreign ids and huge texts are left out and
//! said once in the log.

mod browse;
mod entry;
mod jobs;
mod learn;
mod order;
mod own;
mod published;
mod remote;
mod service;
mod show;
mod thing;
mod whereabouts;

use std::collections::{BTreeMap, BTreeSet};

use jid::BareJid;

use super::Hub;
use super::rooms::RoomRule;
use crate::model::{HOPS, Node, ORIGIN, Timestamp};

pub(super) use entry::address;
pub use entry::{Mirror, Way};
pub(super) use jobs::Asked;
use remote::Remote;
pub(super) use service::Errand;
use service::Service;
use show::Show;
pub(super) use thing::OFFLINE;

/// What all bridges are shown.
#[derive(Debug, Default)]
pub(super) struct Mirrors {
    shows: BTreeMap<String, Show>,
    remotes: BTreeMap<BareJid, Remote>,
    services: BTreeMap<BareJid, Service>,
    /// Nodes that we are subscribed to, as far as we know.
    taken: BTreeSet<(BareJid, String)>,
    /// We are there and know our contacts.
    is_begun: bool,
}

/// A remote and what of it a bridge is shown, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirroredThings {
    /// Whose things.
    pub jid: BareJid,
    /// `present`, `away`, `met` while it is being looked at, `refused`, `unsuitable`; of a service also `waiting` for somebody's consent,
    /// `absent` where nodes are not there; of a room `anonymous` where nobody in it is believed.
    pub state: &'static str,
    /// How many of its things the bridge is shown.
    pub things: usize,
}

impl Mirrors {
    /// Whether nothing of anybody is wanted.
    pub(super) fn is_nothing(&self) -> bool {
        self.remotes.is_empty()
    }

    /// Whether the operator wants anything of this JID.
    pub(super) fn names(&self, jid: &BareJid) -> bool {
        self.remotes.contains_key(jid)
    }

    /// Whether a node of a bridge is what that bridge is shown anyway.
    pub(super) fn is_echo(&self, bridge: &str, node: &Node) -> bool {
        let Some(origin) = node.extra(ORIGIN) else { return false };
        let Some(show) = self.shows.get(bridge) else { return false };
        show.wants_address(origin) || show.shown().any(|(jid, name)| self.origin_of(jid, name) == Some(origin))
    }

    /// Rooms that some bridge wants us to be in.
    pub(super) fn rooms(&self) -> impl Iterator<Item = RoomRule> {
        self.shows.values().flat_map(|show| &show.entries).filter_map(Mirror::room)
    }

    /// Nodes of contacts' own accounts of which we want to be told.
    pub(super) fn listened(&self) -> BTreeSet<String> {
        let nodes = self.shows.values().flat_map(|show| &show.entries).filter_map(|entry| match &entry.way {
            Way::Pep(nodes) => Some(nodes),
            Way::Ask | Way::Presence | Way::Service(_) | Way::Room { .. } => None,
        });
        nodes.flatten().cloned().collect()
    }

    fn origin_of(&self, jid: &BareJid, name: &crate::model::NodeRef) -> Option<&str> {
        self.remotes.get(jid)?.things.get(name)?.node.extra(ORIGIN)
    }
}

impl Hub {
    /// What a bridge is to be shown from now on: its `mirror` entries.
    pub fn mirror(&mut self, bridge: &str, entries: Vec<Mirror>, now: Timestamp) {
        self.now = now;
        let is_nothing = entries.is_empty();
        let before = self.mirrors.shows.get(bridge).map_or_else(Vec::new, |show| show.entries.clone());
        if before == entries {
            return;
        }
        let touched =
            before.iter().chain(&entries).filter(|entry| !(before.contains(entry) && entries.contains(entry)));
        let touched: BTreeSet<BareJid> = touched.map(|entry| entry.jid.clone()).collect();
        let caps = self.caps();
        match self.mirrors.shows.get_mut(bridge) {
            Some(show) => show.entries = entries,
            None => _ = self.mirrors.shows.insert(bridge.to_owned(), Show::new(entries)),
        }
        if self.mirrors.is_begun {
            self.say_if_changed(&caps, now);
        }
        self.remotes_changed(&touched, now);
        self.services_changed(&touched, now);
        self.rooms_changed(now);
        self.hide_unwanted(bridge);
        match is_nothing {
            true => _ = self.mirrors.shows.remove(bridge),
            false => self.tell_things(bridge),
        }
    }

    /// An instance of a bridge's mapper is at work: another one, or the same bridge after it was lost events. It is told of everything
    /// that there is, with the numbers as before; for whom a number is not new, `thing-appeared` only says so again.
    pub fn mapper_started(&mut self, bridge: &str, now: Timestamp) {
        self.now = now;
        if let Some(show) = self.mirrors.shows.get_mut(bridge) {
            show.forget_told();
        }
        self.tell_things(bridge);
    }

    fn state_for_people(&self, jid: &BareJid, remote: &Remote) -> &'static str {
        let is = |is_way: &dyn Fn(&Way) -> bool| self.is_published_by(jid, is_way);
        match self.mirrors.services.get(jid) {
            _ if is(&|way| *way == Way::Ask) => remote.state_for_people(),
            Some(service) if is(&|way| matches!(way, Way::Service(_))) => service.state_for_people(),
            _ if remote.is_anonymous => "anonymous",
            _ if is(&|way| matches!(way, Way::Room { .. })) && self.is_in_room(jid) => "present",
            _ if !remote.here.is_empty() => "present",
            _ => remote.state_for_people(),
        }
    }

    /// What a bridge is shown, for people.
    pub fn mirrored(&self, bridge: &str) -> Vec<MirroredThings> {
        let Some(show) = self.mirrors.shows.get(bridge) else { return Vec::new() };
        let of = |(jid, remote): (&BareJid, &Remote)| MirroredThings {
            jid: jid.clone(),
            state: self.state_for_people(jid, remote),
            things: show.shown().filter(|(shown, _)| *shown == jid).count(),
        };
        self.mirrors.remotes.iter().filter(|(jid, _)| show.wants_any(jid)).map(of).collect()
    }
}

/// What a node's parameters say of where it comes from.
struct Provenance {
    origin: Option<String>,
    hops: u32,
}

impl Provenance {
    fn of(extras: &[(String, String)]) -> Self {
        let get = |key| extras.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone());
        // Whoever writes something else than a number has no business with us.
        let hops = get(HOPS).map_or(0, |hops| hops.parse().unwrap_or(u32::MAX));
        Self { origin: get(ORIGIN), hops }
    }
}
