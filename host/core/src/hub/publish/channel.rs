//! A channel: one recipient, node or room, and what is on its way there.
//!
//! Owns order, the window of what is sent and not confirmed, and when to try again. Knows no stanza and sends nothing: [`super`] does. What
//! is sent again is sent in its first order and with its first ids.

use std::collections::{BTreeMap, VecDeque};

use jid::{BareJid, Jid};
use minidom::Element;
use serde::{Deserialize, Serialize};

use crate::model::{Timestamp, limits};

/// Where publications go that have to be confirmed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Channel {
    /// Messages to this JID, confirmed by receipts.
    Receipts(Jid),
    /// The same, confirmed when handled; in this namespace.
    Acknowledged(Jid, String),
    /// The same, in two steps.
    Assured(Jid, String),
    /// A node of a service (none: our own account), confirmed by the service.
    Node(Option<Jid>, String),
    /// A room, confirmed when it gives our message back.
    Room(BareJid),
}

/// One publication.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parcel {
    /// What is published.
    pub(super) payload: Element,
    /// It stands in the store.
    pub(super) is_kept: bool,
    /// Assured: this resource has it, and is to be told to handle it.
    pub(super) holder: Option<Jid>,
    /// How often its recipient said that something is wrong with it.
    pub(super) refusals: u32,
}

/// A parcel as it outlives a restart.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    way: String,
    to: String,
    about: String,
    payload: String,
    holder: Option<String>,
}

/// What was sent and is not confirmed.
#[derive(Debug)]
pub(super) struct Flight {
    /// Who has to confirm it; none: our own server.
    pub(super) to: Option<Jid>,
    sent: Timestamp,
    attempts: u32,
}

/// What is on its way through one channel.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) channel: Channel,
    pub(super) parcels: BTreeMap<u64, Parcel>,
    waiting: VecDeque<u64>,
    flights: BTreeMap<u64, Flight>,
    /// Attempts that failed since the last that did not.
    failures: u32,
    /// Nothing is sent before.
    closed_until: Option<Timestamp>,
    /// The timer that is set.
    pub(super) timer: Option<Timestamp>,
    /// The operator knows that something is wrong.
    pub(super) is_told: bool,
}

impl Channel {
    fn is_receipts(&self) -> bool {
        matches!(self, Self::Receipts(_))
    }

    /// For people.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Receipts(to) | Self::Acknowledged(to, _) | Self::Assured(to, _) => to.to_string(),
            Self::Node(Some(service), node) => format!("node {node} of {service}"),
            Self::Node(None, node) => format!("node {node} of our account"),
            Self::Room(room) => format!("room {room}"),
        }
    }

    /// The account whose rules decide; none: the operator's section does.
    pub(super) fn reader(&self) -> Option<BareJid> {
        match self {
            Self::Receipts(to) | Self::Acknowledged(to, _) | Self::Assured(to, _) => Some(to.to_bare()),
            Self::Node(..) | Self::Room(_) => None,
        }
    }

    /// How long an answer may take before the next attempt.
    fn patience_ms(&self, failures: u32) -> u64 {
        let first = match self {
            Self::Receipts(_) => limits::RECEIPT_WAIT_MS,
            Self::Acknowledged(..) | Self::Assured(..) => limits::QOS_WAIT_MS,
            Self::Node(..) | Self::Room(_) => limits::PUBLISH_WAIT_MS,
        };
        first.saturating_mul(1 << failures.min(20)).min(limits::PUBLISH_WAIT_MS_MAX)
    }
}

impl Record {
    pub(super) fn of(channel: &Channel, parcel: &Parcel) -> Self {
        let (way, to, about) = match channel {
            Channel::Receipts(to) => ("receipts", to.to_string(), String::new()),
            Channel::Acknowledged(to, ns) => ("acknowledged", to.to_string(), ns.clone()),
            Channel::Assured(to, ns) => ("assured", to.to_string(), ns.clone()),
            Channel::Node(service, node) => {
                ("node", service.as_ref().map(ToString::to_string).unwrap_or_default(), node.clone())
            }
            Channel::Room(room) => ("room", room.to_string(), String::new()),
        };
        let holder = parcel.holder.as_ref().map(ToString::to_string);
        Self { way: way.to_owned(), to, about, payload: String::from(&parcel.payload), holder }
    }

    /// None: another version wrote it.
    pub(super) fn read(bytes: &[u8]) -> Option<(Channel, Parcel)> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        let to = || Jid::new(&record.to).ok();
        let channel = match record.way.as_str() {
            "receipts" => Channel::Receipts(to()?),
            "acknowledged" => Channel::Acknowledged(to()?, record.about),
            "assured" => Channel::Assured(to()?, record.about),
            "node" if record.to.is_empty() => Channel::Node(None, record.about),
            "node" => Channel::Node(Some(to()?), record.about),
            "room" => Channel::Room(to()?.into_bare()),
            _ => return None,
        };
        let holder = record.holder.and_then(|holder| Jid::new(&holder).ok());
        Some((channel, Parcel { payload: record.payload.parse().ok()?, is_kept: true, holder, refusals: 0 }))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Lane {
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            channel,
            parcels: BTreeMap::new(),
            waiting: VecDeque::new(),
            flights: BTreeMap::new(),
            failures: 0,
            closed_until: None,
            timer: None,
            is_told: false,
        }
    }

    /// Takes a parcel; gives the oldest that is not under way if there is no room for it.
    pub(super) fn put(&mut self, number: u64, parcel: Parcel) -> Option<u64> {
        let displaced = (self.parcels.len() >= limits::PARCELS_PER_CHANNEL_MAX).then(|| self.waiting.pop_front());
        self.parcels.insert(number, parcel);
        self.waiting.push_back(number);
        displaced.flatten()
    }

    /// What may be sent now.
    pub(super) fn next(&self, now: Timestamp) -> Option<u64> {
        let is_open = self.closed_until.is_none_or(|until| until <= now);
        let has_room = self.flights.len() < limits::PARCELS_IN_FLIGHT_MAX;
        self.waiting.front().copied().filter(|_| is_open && has_room)
    }

    /// What [`Lane::next`] gave is under way.
    pub(super) fn sent(&mut self, number: u64, to: Option<Jid>, now: Timestamp) {
        self.waiting.retain(|other| *other != number);
        let attempts = self.flights.get(&number).map_or(0, |flight| flight.attempts) + 1;
        self.flights.insert(number, Flight { to, sent: now, attempts });
    }

    /// Confirmed, or not wanted any more.
    pub(super) fn take(&mut self, number: u64) -> Option<Parcel> {
        self.flights.remove(&number);
        self.waiting.retain(|other| *other != number);
        self.parcels.remove(&number)
    }

    pub(super) fn flight(&self, number: u64) -> Option<&Flight> {
        self.flights.get(&number)
    }

    /// What was sent first of what is not confirmed.
    pub(super) fn oldest_flight(&self) -> Option<u64> {
        self.flights.keys().next().copied()
    }

    /// Something came through.
    pub(super) fn succeeded(&mut self) {
        (self.failures, self.closed_until) = (0, None);
    }

    /// Nothing comes through: all of it waits, in order, for longer each time.
    pub(super) fn failed(&mut self, now: Timestamp) {
        self.ground();
        self.closed_until = Some(now.plus_ms(self.channel.patience_ms(self.failures)));
        self.failures = self.failures.saturating_add(1);
    }

    /// May be tried again at once; if that fails too, the wait goes on growing.
    pub(super) fn reopen(&mut self) {
        self.closed_until = None;
    }

    /// The wait is over. Who cannot be sent to even so is waited for, not for a time that has passed.
    pub(super) fn open_if_due(&mut self, now: Timestamp) {
        self.closed_until = self.closed_until.filter(|until| *until > now);
    }

    /// A new chance: what is under way is sent again at once. A message that is to be confirmed by a receipt waits for its own time: it may
    /// lie at the recipient's server.
    pub(super) fn renew(&mut self) {
        self.succeeded();
        if !self.channel.is_receipts() {
            self.ground();
        }
    }

    /// Nothing is under way any more.
    pub(super) fn ground(&mut self) {
        for number in std::mem::take(&mut self.flights).into_keys().rev() {
            self.waiting.push_front(number);
        }
    }

    /// What should have been confirmed by now: to be sent again, or to be given up.
    pub(super) fn overdue(&mut self, now: Timestamp) -> (Vec<u64>, Vec<u64>) {
        let patience_ms = self.channel.patience_ms(self.failures);
        let is_late = |flight: &Flight| flight.sent.plus_ms(patience_ms) <= now;
        let is_last = |flight: &Flight| self.channel.is_receipts() && flight.attempts >= limits::RECEIPT_ATTEMPTS_MAX;
        let late = self.flights.iter().filter(|(_, flight)| is_late(flight));
        let (given_up, again): (Vec<_>, Vec<_>) = late.partition(|(_, flight)| is_last(flight));
        let numbers = |flights: Vec<(&u64, &Flight)>| flights.into_iter().map(|(number, _)| *number).collect();
        let (again, given_up): (Vec<u64>, Vec<u64>) = (numbers(again), numbers(given_up));
        if !again.is_empty() {
            self.failures = self.failures.saturating_add(1);
        }
        (again, given_up)
    }

    /// When something is to be done by itself.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let patience_ms = self.channel.patience_ms(self.failures);
        let late = self.flights.values().map(|flight| flight.sent.plus_ms(patience_ms)).min();
        late.into_iter().chain(self.closed_until.filter(|_| !self.waiting.is_empty())).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel() -> Parcel {
        Parcel { payload: Element::bare("resp", "urn:nf:iot:sd:1.0"), is_kept: true, holder: None, refusals: 0 }
    }

    fn lane() -> Lane {
        Lane::new(Channel::Assured(Jid::new("a@b/c").unwrap(), "urn:nf:iot:qos:1.0".to_owned()))
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let jid = Jid::new("a@b/c").unwrap();
        let channels = [
            Channel::Receipts(jid.clone()),
            Channel::Acknowledged(jid.clone(), "x".to_owned()),
            Channel::Assured(jid.clone(), "x".to_owned()),
            Channel::Node(Some(Jid::new("pubsub.b").unwrap()), "n".to_owned()),
            Channel::Node(None, "n".to_owned()),
            Channel::Room(BareJid::new("r@b").unwrap()),
        ];
        for channel in channels {
            let parcel = Parcel { holder: Some(jid.clone()), ..parcel() };
            let bytes = Record::of(&channel, &parcel).to_bytes();
            assert_eq!(Record::read(&bytes), Some((channel, parcel)));
        }
        assert_eq!(Record::read(b"{}"), None);
    }

    #[test]
    fn what_is_not_confirmed_is_sent_again_after_15_s_and_twice_as_long_each_time_up_to_an_hour() {
        let (mut lane, mut now) = (lane(), Timestamp(0));
        lane.put(1, parcel());
        let mut waits = Vec::new();
        for _ in 0..11 {
            lane.sent(1, None, now);
            let due = lane.due().unwrap();
            waits.push(due.micros_since(now) / 1_000_000);
            now = due;
            assert_eq!(lane.overdue(now), (vec![1], Vec::new()));
        }
        assert_eq!(waits, [15, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
    }

    #[test]
    fn a_full_channel_lets_the_oldest_go_that_is_not_under_way() {
        let mut lane = lane();
        lane.put(0, parcel());
        lane.sent(0, None, Timestamp(0));
        for number in 1..limits::PARCELS_PER_CHANNEL_MAX as u64 {
            assert_eq!(lane.put(number, parcel()), None);
        }
        assert_eq!(lane.put(1_000_000, parcel()), Some(1));
    }

    #[test]
    fn a_failure_keeps_the_order() {
        let mut lane = lane();
        for number in 1..=3 {
            lane.put(number, parcel());
        }
        for number in 1..=2 {
            assert_eq!(lane.next(Timestamp(0)), Some(number));
            lane.sent(number, None, Timestamp(0));
        }
        lane.failed(Timestamp(0));
        assert_eq!(lane.next(Timestamp(0)), None);
        let open = Timestamp(0).plus_ms(limits::QOS_WAIT_MS);
        assert_eq!((lane.due(), lane.next(open)), (Some(open), Some(1)));
    }
}
