//! Looking into a queue and being told of it: what changes nothing in the queue.

use jid::Jid;

use super::super::addresses::Peer;
use super::super::{Asker, Hub};
use super::no_item;
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
        let shown: Vec<&Item> = table.shown_to(&caller.jid).collect();
        let answer = if ids.is_empty() {
            part(name, &shown, page)?
        } else {
            let wanted: Vec<&Item> = shown.into_iter().filter(|item| ids.contains(&item.id)).collect();
            queue::looked(name, fitting(&wanted), None)
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

/// The part that is wanted, as far as it fits into one answer.
fn part(name: &str, shown: &[&Item], page: &Page) -> Result<minidom::Element, StanzaFault> {
    let position = |id: &String| shown.iter().position(|item| item.id == *id).ok_or_else(no_item);
    let start = page.after.as_ref().map(position).transpose()?.map_or(0, |index| index + 1);
    let end = page.before.as_ref().filter(|id| !id.is_empty()).map(position).transpose()?.unwrap_or(shown.len());
    let max = page.max.unwrap_or(usize::MAX).min(limits::QUEUE_PAGE_ITEMS_MAX);
    let (first, rest) = match page.before {
        Some(_) => (end.saturating_sub(max).max(start), end),
        None => (start, end.min(start.saturating_add(max))),
    };
    let items = fitting(shown.get(first..rest.max(first)).unwrap_or_default());
    let id = |item: Option<&&Item>| item.map(|item| item.id.clone());
    let place = paging::Place {
        first: id(items.first()),
        index: Some(first),
        last: id(items.last()),
        count: Some(shown.len()),
    };
    Ok(queue::looked(name, items, Some(&place)))
}

/// As many items as fit into one answer: at least one, or nobody would come further.
fn fitting<'a, 'b>(items: &'b [&'a Item]) -> &'b [&'a Item] {
    let mut bytes = 0;
    let fits = items.iter().enumerate().take_while(|(index, item)| {
        bytes += item.bytes();
        *index == 0 || bytes <= limits::ANSWER_BYTES_MAX
    });
    let count = fits.count();
    items.get(..count).unwrap_or(items)
}
