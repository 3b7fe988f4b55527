//! Who we are and what we have, for clients that know service discovery only (XEP-0030): the tree of sources and nodes as items.
//!
//! What we can do is told to everybody, since presence says it anyway; what there is, only to those who may see it.

use std::ops::Range;

use jid::Jid;

use super::addresses::Peer;
use super::concentrator::List;
use super::lookup::{Place, not_found};
use super::registry::{NodeKey, UNION};
use super::{Asker, Hub};
use crate::model::{NodeRef, Timestamp, limits};
use crate::policy::Access;
use crate::wire::discovery::{self, Caps, Identity, Info, Item, Request};
use crate::wire::paging::{self as page, Page};
use crate::wire::{Dialect, Element, StanzaFault};

/// Where people read what we are; also the name of our capabilities.
const CAPS_NODE: &str = "urn:tombolo";

impl Hub {
    /// Answers service discovery.
    pub(super) fn discover(&mut self, asker: &Asker, caller: Option<&Peer>, request: &Request) {
        let answer = match request {
            Request::Info { node } => {
                self.describe(caller, node.as_deref()).map(|info| info.to_element(node.as_deref()))
            }
            Request::Items { node, page } => self.items(caller, node.as_deref(), page.as_ref()),
        };
        match answer {
            Ok(payload) => self.answer(asker, Some(payload)),
            Err(fault) => self.refuse(asker, &fault),
        }
    }

    /// What presence says of what we can do.
    pub(super) fn caps(&self) -> Caps {
        Caps { node: CAPS_NODE.to_owned(), ver: self.own_info().verification() }
    }

    /// What we can do has changed, if it is not what it was `before`: those who see our presence learn it.
    pub(super) fn say_if_changed(&mut self, before: &Caps, now: Timestamp) {
        if *before == self.caps() {
            return;
        }
        match self.config.component.clone() {
            Some(domain) => self.show_address(&domain),
            None if self.config.me.is_some() => self.announce(now),
            None => {}
        }
    }

    fn own_info(&self) -> Info {
        let info = match self.config.component {
            Some(_) => Info::component(&self.config.name),
            None => Info::ours(&self.config.name),
        };
        let info = if self.has_queues() { info.with_queues() } else { info };
        let info = if self.http.rules.is_empty() { info } else { info.with_http() };
        info.with_notify(self.mirrors.listened().into_iter())
    }

    fn describe(&self, caller: Option<&Peer>, node: Option<&str>) -> Result<Info, StanzaFault> {
        let node = node.filter(|node| !node.is_empty() && !self.is_caps(node));
        let is_concentrator = caller.is_none_or(Peer::is_with_concentrator);
        if is_concentrator && node.is_none() {
            return Ok(self.own_info());
        }
        let caller = caller.ok_or_else(StanzaFault::forbidden)?;
        if let Some((name, queue)) = node.and_then(|name| Some((name, self.queue_described(caller, name)?))) {
            return Ok(Info::of_queue(name, &queue));
        }
        let access = self.config.policy.of(&caller.bare());
        // A bridge may be called like a command.
        let is_node = self.listed(&access, None, node).is_ok();
        if let Some(info) =
            node.filter(|_| is_concentrator && !is_node).and_then(|node| self.command_info(caller, node))
        {
            return Ok(info);
        }
        let seat = self.seat_seen(&access, caller.at.as_ref())?;
        let place = self.listed(&access, seat, node)?.ok_or_else(not_found)?;
        let mut info = self.node_features(&access, &place);
        if !is_concentrator && node.is_none() {
            info.stand_alone();
        }
        Ok(info)
    }

    fn is_caps(&self, node: &str) -> bool {
        node.strip_prefix(CAPS_NODE).and_then(|rest| rest.strip_prefix('#')).is_some_and(|ver| ver == self.caps().ver)
    }

    /// A node as items name it: a bridge, or `bridge/id`; without a name, what stands at the address. None: everything.
    fn listed(
        &self,
        access: &Access<'_>,
        seat: Option<NodeKey>,
        node: Option<&str>,
    ) -> Result<Option<Place>, StanzaFault> {
        let Some(node) = node.filter(|node| !node.is_empty()) else { return Ok(seat.map(Place::Node)) };
        let place = self.visible(access, &NodeRef::new(node, UNION))?;
        match (seat, &place) {
            (None, _) => Ok(Some(place)),
            (Some(seat), Place::Node(key)) if self.registry.ancestors(*key).contains(&seat) => Ok(Some(place)),
            (Some(_), _) => Err(not_found()),
        }
    }

    fn node_features(&self, access: &Access<'_>, place: &Place) -> Info {
        let (name, is_readable, is_controllable) = match place {
            Place::Bridge(bridge) => (self.bridge_label(bridge), false, false),
            Place::Node(key) => match self.registry.get(*key) {
                Some(entry) => {
                    let is_readable = !entry.node.fields.is_empty() && access.read(&entry.name).is_ok();
                    (entry.label().to_owned(), is_readable, self.may_control(access, entry))
                }
                None => (String::new(), false, false),
            },
        };
        let mut features = vec![crate::wire::ns::DISCO_INFO.to_owned(), crate::wire::ns::DISCO_ITEMS.to_owned()];
        for dialect in Dialect::ALL {
            let spoken = [
                (is_readable, dialect.sensor_ns()),
                (is_readable, dialect.events_ns()),
                (is_controllable, dialect.control_ns()),
            ];
            features.extend(spoken.iter().filter(|(is_spoken, _)| *is_spoken).map(|(_, ns)| (*ns).to_owned()));
        }
        let identity_type = if matches!(place, Place::Bridge(_)) { "branch" } else { "leaf" };
        let identity = Identity { category: "hierarchy".to_owned(), identity_type: identity_type.to_owned(), name };
        Info { identities: vec![identity], features, form: None }
    }

    fn items(&self, caller: Option<&Peer>, node: Option<&str>, page: Option<&Page>) -> Result<Element, StanzaFault> {
        let items = self.list(caller, node)?;
        let count = items.len();
        let range = part(&items, page.unwrap_or(&Page::default()))?;
        let is_whole = range.len() == count && page.is_none();
        let index = range.start;
        let items = items.get(range).unwrap_or_default();
        let id = |item: Option<&Item>| item.map(|item| page_id(item).to_owned());
        let place =
            page::Place { first: id(items.first()), index: Some(index), last: id(items.last()), count: Some(count) };
        Ok(discovery::items(node, items, (!is_whole).then_some(&place)))
    }

    fn list(&self, caller: Option<&Peer>, node: Option<&str>) -> Result<Vec<Item>, StanzaFault> {
        let caller = caller.ok_or_else(StanzaFault::forbidden)?;
        let me = self.me().ok_or_else(not_found)?;
        if node == Some(crate::wire::ns::COMMANDS) && caller.is_with_concentrator() {
            return self.command_items(&caller.bare(), &me);
        }
        let queue = |name: &str| Item { jid: me.clone(), node: name.to_owned(), name: format!("Queue {name}") };
        let is_root = node.is_none_or(str::is_empty);
        let mut items: Vec<Item> = self.queues_of(caller).filter(|_| is_root).map(queue).collect();
        if node.is_some_and(|node| self.queue_described(caller, node).is_some()) {
            return Ok(items);
        }
        match self.places(caller, node) {
            Ok(places) => items.extend(places.iter().filter_map(|place| self.disco_item(place, &me))),
            // Who may use a queue and nothing else is no stranger.
            Err(_) if !items.is_empty() => {}
            Err(fault) => return Err(fault),
        }
        Ok(items)
    }

    fn places(&self, caller: &Peer, node: Option<&str>) -> Result<Vec<Place>, StanzaFault> {
        let access = self.config.policy.of(&caller.bare());
        let seat = self.seat_seen(&access, caller.at.as_ref())?;
        let list = match self.listed(&access, seat, node)? {
            None => List::roots(UNION),
            Some(place) => List::below(place),
        };
        Ok(self.walk(&access, &list, (None, None)).collect())
    }

    fn disco_item(&self, place: &Place, me: &Jid) -> Option<Item> {
        let (node, name) = match place {
            Place::Bridge(bridge) => (bridge.clone(), self.bridge_label(bridge)),
            Place::Node(key) => {
                let entry = self.registry.get(*key)?;
                if let Some(own) = self.address_of(*key) {
                    return Some(Item { jid: own.into(), node: String::new(), name: entry.label().to_owned() });
                }
                (entry.name.to_string(), entry.label().to_owned())
            }
        };
        Some(Item { jid: me.clone(), node, name })
    }

    /// Who we are, for clients that show contacts (XEP-0054); whoever asks may see what stands at the address.
    pub(super) fn answer_card(&mut self, asker: &Asker) {
        let entry = self.seat(asker.at.as_ref()).ok().flatten().and_then(|key| self.registry.get(key));
        let name = entry.map_or(&*self.config.name, |entry| entry.label());
        let card = discovery::card(name);
        self.answer(asker, Some(card));
    }

    fn bridge_label(&self, bridge: &str) -> String {
        let label = self.registry.source(bridge).map(|source| source.label.as_str()).filter(|label| !label.is_empty());
        label.unwrap_or(bridge).to_owned()
    }
}

/// What tells an item from all others in its list.
fn page_id(item: &Item) -> &str {
    if item.node.is_empty() { item.jid.as_str() } else { &item.node }
}

/// The part of a list that is wanted, as far as it fits into one answer.
fn part(items: &[Item], page: &Page) -> Result<Range<usize>, StanzaFault> {
    let position = |id: &String| {
        items.iter().position(|item| page_id(item) == id).ok_or_else(|| StanzaFault::not_found("No such item."))
    };
    let start = page.after.as_ref().map(position).transpose()?.map_or(0, |index| index + 1);
    let before = page.before.as_ref().filter(|id| !id.is_empty()).map(position).transpose()?;
    let wanted = start..before.unwrap_or(items.len()).max(start);
    let max = page.max.unwrap_or(usize::MAX);
    let open = items.get(wanted.clone()).unwrap_or_default();
    Ok(match page.before {
        None => wanted.start..wanted.start + fitting(open.iter(), max),
        Some(_) => wanted.end - fitting(open.iter().rev(), max)..wanted.end,
    })
}

/// How many items fit into one answer: at least one, or nobody would come further.
fn fitting<'a>(items: impl Iterator<Item = &'a Item>, max: usize) -> usize {
    const TAG_AND_ATTRIBUTES: usize = "<item jid='' node='' name=''/>".len();
    let mut bytes = 0;
    let fits = items.take(max).enumerate().take_while(|(index, item)| {
        // An escaped character takes six bytes at most.
        bytes += TAG_AND_ATTRIBUTES + item.jid.as_str().len() + 6 * (item.node.len() + item.name.len());
        *index == 0 || bytes <= limits::ANSWER_BYTES_MAX
    });
    fits.count()
}
