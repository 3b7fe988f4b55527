//! Looking into a queue and being told of it: what changes nothing in the queue.

use std::collections::BTreeSet;
use std::ops::Bound;

use jid::Jid;

use super::super::addresses::Peer;
use super::super::{Asker, Hub};
use super::no_item;
use super::table::Table;
use crate::model::limits;
use crate::wire::paging::{self, Page};
use crate::wire::queue::{self, Item};
use crate::wire::{Condition, StanzaFault};

impl Hub {
    /// Shows what waits, oldest first, and what the caller has on lease.
    pub(super) fn show_queue(
        &mut self,
        asker: &Asker,
        caller: &Peer,
        name: &str,
        page: &Page,
        ids: &[String],
    ) -> Result<(), StanzaFault> {
        let Some(table) = self.queues.tables.get(name) else {
            self.answer(asker, Some(queue::looked(name, &[], None)));
            return Ok(());
        };
        let answer = if ids.is_empty() {
            part(name, table, &caller.jid, page)?
        } else {
            let places: BTreeSet<_> = ids.iter().filter_map(|id| table.shown_place(id, &caller.jid)).collect();
            let wanted: Vec<&Item> =
                places.iter().filter_map(|place| table.get(*place)).map(|held| &held.item).collect();
            queue::looked(name, wanted.get(..fitting(wanted.iter())).unwrap_or_default(), None)
        };
        self.answer(asker, Some(answer));
        Ok(())
    }

    /// Tells an address of the caller's when something begins to wait.
    pub(super) fn queue_subscribe(
        &mut self,
        asker: &Asker,
        caller: &Peer,
        name: &str,
        jid: &str,
    ) -> Result<(), StanzaFault> {
        let peer = own_address(caller, jid)?;
        let ears = self.ears(name);
        if ears.len() >= limits::QUEUE_SUBSCRIBERS_MAX && !ears.contains(&peer) {
            return Err(StanzaFault::overload("Too many subscribers."));
        }
        ears.insert(peer.clone());
        self.keep_ear(name, &peer, true);
        self.answer(asker, Some(queue::subscribed(name, jid)));
        Ok(())
    }

    /// Tells it no more.
    pub(super) fn queue_unsubscribe(
        &mut self,
        asker: &Asker,
        caller: &Peer,
        name: &str,
        jid: &str,
    ) -> Result<(), StanzaFault> {
        let peer = own_address(caller, jid)?;
        if !self.ears(name).remove(&peer) {
            return Err(queue::fault(Condition::UnexpectedRequest, "not-subscribed", "There is no such subscription."));
        }
        self.keep_ear(name, &peer, false);
        self.answer(asker, None);
        Ok(())
    }
}

/// Nobody subscribes somebody else.
fn own_address(caller: &Peer, jid: &str) -> Result<Peer, StanzaFault> {
    let is_own = |jid: &Jid| jid.to_bare() == caller.bare();
    let jid = Jid::new(jid).ok().filter(is_own).ok_or_else(|| {
        queue::fault(Condition::BadRequest, "invalid-jid", "Only addresses of the asker's account can be subscribed.")
    })?;
    Ok(Peer { jid, at: caller.at.clone() })
}

/// The part that is wanted, as far as it fits into one answer. Its index is told where it is known without counting.
fn part(name: &str, table: &Table, who: &Jid, page: &Page) -> Result<minidom::Element, StanzaFault> {
    let place = |id: &String| table.shown_place(id, who).ok_or_else(no_item);
    let after = page.after.as_ref().map(place).transpose()?;
    let before = page.before.as_ref().filter(|id| !id.is_empty()).map(place).transpose()?;
    let max = page.max.unwrap_or(usize::MAX).min(limits::QUEUE_PAGE_ITEMS_MAX);
    let is_from_end = page.before.is_some();
    let stretch = (after.map_or(Bound::Unbounded, Bound::Excluded), before.map_or(Bound::Unbounded, Bound::Excluded));
    let mut items = table.shown_to(who, stretch, max, is_from_end);
    match is_from_end {
        true => _ = items.drain(..items.len() - fitting(items.iter().rev())),
        false => items.truncate(fitting(items.iter())),
    }
    let count = table.count_shown_to(who);
    let index = match (after, before) {
        (None, None) if is_from_end => Some(count - items.len()),
        (None, _) if !is_from_end => Some(0),
        _ => None,
    };
    let id = |item: Option<&&Item>| item.map(|item| item.id.clone());
    let place = paging::Place { first: id(items.first()), index, last: id(items.last()), count: Some(count) };
    Ok(queue::looked(name, &items, Some(&place)))
}

/// How many items fit into one answer: at least one, or nobody would come further.
fn fitting<'a>(items: impl Iterator<Item = &'a &'a Item>) -> usize {
    let mut bytes = 0;
    let fits = items.enumerate().take_while(|(index, item)| {
        bytes += item.bytes();
        *index == 0 || bytes <= limits::ANSWER_BYTES_MAX
    });
    fits.count()
}
