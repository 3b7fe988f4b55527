//! One queue: what is in it, what waits, and who has what on lease. No stanzas, no permissions, no store: it says what has to be kept.
//!
//! An item is `Storing` until it would survive a crash, then `Waiting`, then `Leased`, and gone when it is acknowledged. Items keep their
//! place for ever: one that comes back waits where it was, before all that came later.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use jid::Jid;

use crate::model::{Timestamp, limits};
use crate::wire::queue::{Death, Item};

/// A place in a queue; larger ones came later.
pub(super) type Place = u64;

/// Some places of a queue, one after the other.
pub(super) type Stretch = (Bound<Place>, Bound<Place>);

/// The whole of it.
#[cfg(test)]
const ALL: Stretch = (Bound::Unbounded, Bound::Unbounded);

/// The items of a queue.
#[derive(Debug, Default)]
pub(super) struct Table {
    items: BTreeMap<Place, Held>,
    ids: BTreeMap<String, Place>,
    waiting: BTreeSet<Place>,
    /// What is with somebody: few, in a queue that may be long.
    leased: BTreeSet<Place>,
    /// When a lease or an item's time ends.
    ends: BTreeSet<(Timestamp, Place)>,
    /// What was acknowledged lately, by place.
    done: BTreeMap<Place, String>,
    done_ids: BTreeSet<String>,
    bytes: usize,
}

/// An item and where it stands.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) item: Item,
    /// How often it was leased.
    pub(super) attempts: u32,
    /// How often it made its mapper fail, in this run.
    faults: u32,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Storing,
    Waiting,
    Leased { to: Jid, until: Timestamp },
}

/// What a time that came means for an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It waits again.
    Lease,
    /// It is to be taken out.
    Dead(Death),
}

impl Table {
    /// Items that are in it, in whatever state.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn place_of(&self, id: &str) -> Option<Place> {
        self.ids.get(id).copied()
    }

    /// Items that may be pulled.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether an id was acknowledged lately: pushing it again changes nothing.
    pub(super) fn was_done(&self, id: &str) -> bool {
        self.done_ids.contains(id)
    }

    pub(super) fn get(&self, place: Place) -> Option<&Held> {
        self.items.get(&place)
    }

    /// Puts an item at the end; it waits once it is [`Table::stored`].
    pub(super) fn push(&mut self, place: Place, item: Item) {
        self.insert(place, Held { item, attempts: 0, faults: 0, state: State::Storing });
    }

    /// Puts an item back that was kept over a restart.
    pub(super) fn restore(&mut self, place: Place, item: Item, attempts: u32) {
        self.insert(place, Held { item, attempts, faults: 0, state: State::Waiting });
        self.wait(place);
    }

    fn insert(&mut self, place: Place, held: Held) {
        self.bytes += held.item.bytes();
        self.ids.insert(held.item.id.clone(), place);
        self.items.insert(place, held);
    }

    fn wait(&mut self, place: Place) {
        self.waiting.insert(place);
        if let Some(expires) = self.items.get(&place).and_then(|held| held.item.expires) {
            self.ends.insert((expires, place));
        }
    }

    /// An item would survive a crash: it waits from now on. Gives its id.
    pub(super) fn stored(&mut self, place: Place) -> Option<String> {
        let held = self.items.get_mut(&place).filter(|held| held.state == State::Storing)?;
        held.state = State::Waiting;
        let id = held.item.id.clone();
        self.wait(place);
        Some(id)
    }

    /// Of what waits and what this consumer has on lease, in order: at most so many from the beginning of a stretch of places, or from its
    /// end. However long the queue is, only what is on lease is looked through.
    pub(super) fn shown_to(&self, who: &Jid, stretch: Stretch, max: usize, is_from_end: bool) -> Vec<&Item> {
        let is_empty = matches!(stretch, (Bound::Excluded(after), Bound::Excluded(before)) if after >= before);
        if is_empty {
            return Vec::new();
        }
        let waiting = self.waiting.range(stretch).copied();
        let leased = self.leased.range(stretch).copied().filter(|place| self.is_leased_to(*place, who));
        let mut places: Vec<Place> = match is_from_end {
            false => waiting.take(max).chain(leased.take(max)).collect(),
            true => waiting.rev().take(max).chain(leased.rev().take(max)).collect(),
        };
        places.sort_unstable();
        let surplus = places.len().saturating_sub(max);
        places.drain(if is_from_end { 0..surplus } else { places.len() - surplus..places.len() });
        places.iter().filter_map(|place| self.items.get(place)).map(|held| &held.item).collect()
    }

    /// How many items [`Table::shown_to`] shows in all.
    pub(super) fn count_shown_to(&self, who: &Jid) -> usize {
        self.waiting.len() + self.leased.iter().filter(|place| self.is_leased_to(**place, who)).count()
    }

    /// The place of an item, if it waits or this consumer has it on lease.
    pub(super) fn shown_place(&self, id: &str, who: &Jid) -> Option<Place> {
        let place = self.place_of(id)?;
        (self.waiting.contains(&place) || self.is_leased_to(place, who)).then_some(place)
    }

    fn is_leased_to(&self, place: Place, who: &Jid) -> bool {
        matches!(self.items.get(&place), Some(Held { state: State::Leased { to, .. }, .. }) if to == who)
    }

    /// Leases the oldest items that wait.
    pub(super) fn lease(&mut self, max: usize, bytes_max: usize, to: &Jid, until: Timestamp) -> Vec<Place> {
        let mut bytes = 0;
        let waiting = self.waiting.iter().copied().take(max).enumerate().take_while(|(index, place)| {
            bytes += self.items.get(place).map_or(0, |held| held.item.bytes());
            *index == 0 || bytes <= bytes_max
        });
        let places: Vec<Place> = waiting.map(|(_, place)| place).collect();
        for place in &places {
            self.lease_one(*place, to, until);
        }
        places
    }

    fn lease_one(&mut self, place: Place, to: &Jid, until: Timestamp) {
        let Some(held) = self.items.get_mut(&place) else { return };
        self.waiting.remove(&place);
        if let Some(expires) = held.item.expires {
            self.ends.remove(&(expires, place));
        }
        held.attempts += 1;
        self.leased.insert(place);
        held.state = State::Leased { to: to.clone(), until };
        self.ends.insert((until, place));
    }

    /// The places of these ids, if this consumer may acknowledge every one: it waits, or is on lease to it.
    pub(super) fn acknowledgeable(&self, ids: &[String], who: &Jid) -> Option<Vec<Place>> {
        self.places(ids, |state| match state {
            State::Waiting => true,
            State::Leased { to, .. } => to == who,
            State::Storing => false,
        })
    }

    /// The places of these ids, if this consumer has every one on lease.
    pub(super) fn leased_to(&self, ids: &[String], who: &Jid) -> Option<Vec<Place>> {
        self.places(ids, |state| matches!(state, State::Leased { to, .. } if to == who))
    }

    fn places(&self, ids: &[String], is_right: impl Fn(&State) -> bool) -> Option<Vec<Place>> {
        let place = |id: &String| {
            let place = *self.ids.get(id)?;
            self.items.get(&place).filter(|held| is_right(&held.state)).map(|_| place)
        };
        ids.iter().map(place).collect()
    }

    /// Takes an item out.
    pub(super) fn remove(&mut self, place: Place) -> Option<Held> {
        let held = self.items.remove(&place)?;
        self.bytes -= held.item.bytes();
        self.ids.remove(&held.item.id);
        self.waiting.remove(&place);
        self.leased.remove(&place);
        let end = match &held.state {
            State::Leased { until, .. } => Some(*until),
            State::Waiting | State::Storing => held.item.expires,
        };
        if let Some(end) = end {
            self.ends.remove(&(end, place));
        }
        Some(held)
    }

    /// Remembers that an id was acknowledged; gives the place of the one that is forgotten for it.
    pub(super) fn remember_done(&mut self, place: Place, id: String) -> Option<Place> {
        self.done_ids.insert(id.clone());
        self.done.insert(place, id);
        if self.done.len() <= limits::QUEUE_DONE_IDS {
            return None;
        }
        let (place, id) = self.done.pop_first()?;
        self.done_ids.remove(&id);
        Some(place)
    }

    /// An item waits again, where it was.
    fn give_back(&mut self, place: Place) {
        let Some(held) = self.items.get_mut(&place) else { return };
        if let State::Leased { until, .. } = held.state {
            self.ends.remove(&(until, place));
            held.state = State::Waiting;
            self.leased.remove(&place);
            self.wait(place);
        }
    }

    /// A lease lasts longer, or less long.
    pub(super) fn extend(&mut self, place: Place, longer: Timestamp) {
        let Some(held) = self.items.get_mut(&place) else { return };
        if let State::Leased { until, .. } = &mut held.state {
            self.ends.remove(&(*until, place));
            *until = longer;
            self.ends.insert((longer, place));
        }
    }

    /// An item made its mapper fail; gives how often it has.
    pub(super) fn faulted(&mut self, place: Place) -> Option<u32> {
        let held = self.items.get_mut(&place)?;
        held.faults += 1;
        Some(held.faults)
    }

    /// Everything that somebody has on lease.
    pub(super) fn of_consumer(&self, is_gone: impl Fn(&Jid) -> bool) -> Vec<Place> {
        let is_with = |place: &&Place| match self.items.get(place).map(|held| &held.state) {
            Some(State::Leased { to, .. }) => is_gone(to),
            Some(State::Storing | State::Waiting) | None => false,
        };
        self.leased.iter().filter(is_with).copied().collect()
    }

    /// Items of a table that dead-letters: the oldest makes room.
    pub(super) fn oldest(&self) -> Option<Place> {
        self.items.first_key_value().map(|(place, _)| *place)
    }

    /// The earliest end of a lease or an item.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.ends.first().map(|(at, _)| *at)
    }

    /// The earliest end that has come: an item that is to be ended with [`Table::end`].
    pub(super) fn ended(&self, now: Timestamp) -> Option<Place> {
        self.ends.first().filter(|(at, _)| *at <= now).map(|(_, place)| *place)
    }

    /// Ends a lease or an item's time. The item waits again if it may be tried again.
    pub(super) fn end(&mut self, place: Place, attempts_max: u32) -> Ended {
        match self.items.get(&place) {
            Some(Held { state: State::Leased { .. }, attempts, .. })
                if attempts_max == 0 || *attempts < attempts_max =>
            {
                self.give_back(place);
                Ended::Lease
            }
            Some(Held { state: State::Leased { .. }, .. }) => Ended::Dead(Death::Attempts),
            Some(_) | None => Ended::Dead(Death::Expired),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, expires: Option<i64>) -> Item {
        let expires = expires.map(Timestamp);
        Item { id: id.into(), payload: "<a xmlns='x'/>".into(), expires, ..Item::default() }
    }

    fn jid(text: &str) -> Jid {
        Jid::new(text).unwrap()
    }

    fn ids(table: &Table, places: &[Place]) -> Vec<String> {
        places.iter().filter_map(|place| table.get(*place)).map(|held| held.item.id.clone()).collect()
    }

    fn table() -> Table {
        let mut table = Table::default();
        for (place, id) in [(1, "a"), (2, "b"), (3, "c")] {
            table.push(place, item(id, None));
            assert_eq!(table.stored(place).as_deref(), Some(id));
        }
        table
    }

    #[test]
    fn an_item_waits_only_once_it_is_stored() {
        let mut table = Table::default();
        table.push(1, item("a", None));
        assert!(table.lease(9, usize::MAX, &jid("x@y/z"), Timestamp(5)).is_empty());
        table.stored(1);
        assert_eq!(table.stored(1), None, "once");
        assert_eq!(table.lease(9, usize::MAX, &jid("x@y/z"), Timestamp(5)), vec![1]);
    }

    #[test]
    fn nobody_else_gets_what_is_on_lease() {
        let (mut table, one, other) = (table(), jid("one@x/1"), jid("other@x/1"));
        let leased = table.lease(2, usize::MAX, &one, Timestamp(10));
        assert_eq!(ids(&table, &leased), ["a", "b"]);
        let shown = |who: &Jid, stretch: Stretch, max: usize, is_from_end: bool| {
            table.shown_to(who, stretch, max, is_from_end).iter().map(|item| item.id.clone()).collect::<String>()
        };
        assert_eq!((shown(&other, ALL, 9, false), table.count_shown_to(&other)), ("c".into(), 1));
        assert_eq!((shown(&one, ALL, 9, false), table.count_shown_to(&one)), ("abc".into(), 3));
        assert_eq!((shown(&one, ALL, 2, false), shown(&one, ALL, 2, true)), ("ab".into(), "bc".into()));
        assert_eq!(shown(&one, (Bound::Excluded(1), Bound::Excluded(3)), 9, true), "b");
        assert_eq!(shown(&one, (Bound::Excluded(2), Bound::Excluded(2)), 9, false), "", "nothing is between");
        assert_eq!((table.shown_place("a", &other), table.shown_place("a", &one)), (None, Some(1)));
        assert_eq!(table.acknowledgeable(&["a".into()], &other), None);
        assert_eq!(table.acknowledgeable(&["a".into(), "c".into()], &one), Some(vec![1, 3]));
        assert_eq!(table.acknowledgeable(&["a".into(), "gone".into()], &one), None, "all or none");
        assert_eq!(table.leased_to(&["c".into()], &one), None);
        assert_eq!(table.lease(9, usize::MAX, &other, Timestamp(10)), vec![3]);
    }

    #[test]
    fn what_comes_back_waits_where_it_was_and_dies_after_its_last_attempt() {
        let (mut table, one) = (table(), jid("one@x/1"));
        table.lease(1, usize::MAX, &one, Timestamp(10));
        assert_eq!(table.next_end(), Some(Timestamp(10)));
        assert_eq!(table.ended(Timestamp(9)), None);
        assert_eq!(table.ended(Timestamp(10)), Some(1));
        assert_eq!(table.end(1, 2), Ended::Lease);
        assert_eq!(table.lease(1, usize::MAX, &one, Timestamp(20)), vec![1], "the oldest again");
        assert_eq!(table.end(1, 2), Ended::Dead(Death::Attempts));
        assert_eq!(table.remove(1).unwrap().item.id, "a");
        assert_eq!(table.next_end(), None);
    }

    #[test]
    fn an_item_that_nobody_wants_expires_but_not_while_it_is_worked_on() {
        let (mut table, one) = (Table::default(), jid("one@x/1"));
        table.push(1, item("a", Some(10)));
        table.stored(1);
        table.lease(1, usize::MAX, &one, Timestamp(50));
        assert_eq!(table.ended(Timestamp(20)), None);
        assert_eq!(table.end(1, 0), Ended::Lease);
        assert_eq!(table.ended(Timestamp(50)), Some(1));
        assert_eq!(table.end(1, 0), Ended::Dead(Death::Expired));
        table.remove(1);
        assert_eq!((table.len(), table.bytes(), table.next_end()), (0, 0, None));
    }

    #[test]
    fn acknowledged_ids_are_remembered_a_while() {
        let mut table = table();
        table.remove(1);
        assert_eq!(table.remember_done(1, "a".into()), None);
        assert!(table.was_done("a") && table.place_of("a").is_none());
        assert!(!table.was_done("b"));
        let many = u64::try_from(limits::QUEUE_DONE_IDS).unwrap();
        let forgotten = (0..many).filter_map(|index| table.remember_done(10 + index, index.to_string()));
        assert_eq!(forgotten.collect::<Vec<_>>(), [1]);
        assert!(!table.was_done("a"));
    }

    #[test]
    fn a_page_keeps_to_its_bytes_but_is_never_empty() {
        let mut table = table();
        assert_eq!(table.lease(3, 1, &jid("x@y/z"), Timestamp(5)), vec![1]);
        let two = 2 * item("a", None).bytes();
        assert_eq!(table.lease(3, two, &jid("x@y/z"), Timestamp(5)), vec![2, 3]);
    }

    #[test]
    fn giving_back_and_extending_move_the_end_of_a_lease() {
        let (mut table, one) = (table(), jid("one@x/1"));
        table.lease(2, usize::MAX, &one, Timestamp(10));
        table.extend(1, Timestamp(30));
        table.give_back(2);
        assert_eq!(table.next_end(), Some(Timestamp(30)));
        assert_eq!(table.of_consumer(|jid| *jid == one), vec![1]);
    }
}
