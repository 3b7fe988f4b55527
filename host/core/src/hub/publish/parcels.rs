//! What is on its way: each publication from when it is posted until it is confirmed, refused for good, or displaced in a full channel.
//!
//! What was promised outlives a restart. What may be sent is looked at again whenever it is.

use std::collections::BTreeMap;

use jid::Jid;
use minidom::Element;

use super::channel::{Channel, Lane, Parcel, Record};
use super::{Hub, NotNow};
use crate::hub::Output;
use crate::hub::addresses::Peer;
use crate::hub::asks::Answered;
use crate::hub::timers::Timer;
use crate::model::custody::{End, Item, Route};
use crate::model::{Timestamp, limits};
use crate::wire::sensor;

/// How names of records begin.
const RECORDS: &str = "publish/";

impl Hub {
    /// Takes up what was on its way when an earlier run ended.
    pub(in crate::hub) fn restore_publications(&mut self) {
        let kept = self.config.kept.range(RECORDS.to_owned()..).take_while(|(name, _)| name.starts_with(RECORDS));
        let mut parcels = BTreeMap::new();
        for (name, bytes) in kept {
            let number = name.strip_prefix(RECORDS).and_then(|digits| u64::from_str_radix(digits, 16).ok());
            match number.zip(Record::read(bytes)) {
                Some((number, read)) => _ = parcels.insert(number, read),
                None => self.outputs.push_back(crate::hub::unreadable(name)),
            }
        }
        for (number, (channel, parcel)) in parcels {
            let lane_number = self.item();
            let Some(lane) = self.publisher.lane_of(&channel, lane_number) else {
                self.forget_parcel(number, &parcel, End::dead("too many places have something on its way"));
                continue;
            };
            self.publisher.parcels.insert(number, lane);
            if let Some(lane) = self.publisher.lanes.get_mut(&lane) {
                lane.put(number, parcel);
            }
        }
    }

    /// Gives up what no section wants sent any more.
    pub(super) fn close_channels(&mut self) {
        let publisher = &self.publisher;
        let closed = publisher.lanes_where(|channel| publisher.rule_of(channel).is_none());
        for lane in closed {
            let Some(lane) = self.publisher.lanes.remove(&lane) else { continue };
            self.publisher.channels.remove(&lane.channel);
            for (number, parcel) in lane.parcels {
                self.publisher.parcels.remove(&number);
                self.forget_parcel(number, &parcel, End::dead("no section wants it published any more"));
            }
        }
    }

    pub(super) fn renew_channels(&mut self, is_so: impl Fn(&Channel) -> bool, now: Timestamp) {
        for lane in self.publisher.lanes_where(is_so) {
            if let Some(lane) = self.publisher.lanes.get_mut(&lane) {
                lane.renew();
            }
            self.pump(lane, now);
        }
    }

    /// Puts a publication on its way, in custody if it has a route; gives its item then.
    pub(super) fn post(
        &mut self,
        channel: Channel,
        payload: Element,
        promised: Option<&Route>,
        now: Timestamp,
    ) -> Option<u64> {
        if String::from(&payload).len() > limits::PUBLICATION_BYTES_MAX {
            let reason = format!("a reading is larger than {} bytes", limits::PUBLICATION_BYTES_MAX);
            self.lost(&channel, reason);
            return None;
        }
        let (number, lane_number) = (self.item(), self.item());
        let is_full = self.publisher.parcels.len() >= limits::PARCELS_MAX;
        let Some(lane) = self.publisher.lane_of(&channel, lane_number).filter(|_| !is_full) else {
            self.lost(&channel, "too much is on its way".to_owned());
            return None;
        };
        let parcel = Parcel { payload, is_kept: promised.is_some(), holder: None, refusals: 0 };
        if let Some(route) = promised.cloned() {
            let (name, bytes) = record_of(number, &channel, &parcel);
            self.outputs.push_back(Output::Take { item: Item { number, route }, name, bytes });
        }
        self.publisher.parcels.insert(number, lane);
        let displaced = self.publisher.lanes.get_mut(&lane).and_then(|lane| lane.put(number, parcel));
        if let Some(displaced) = displaced {
            self.give_up(displaced, End::dead("more waited for its recipient than is kept"));
        }
        self.pump(lane, now);
        promised.map(|_| number)
    }

    /// What is kept of a parcel is otherwise now.
    pub(super) fn keep_parcel(&mut self, number: u64, channel: &Channel, parcel: &Parcel) {
        if parcel.is_kept {
            let (name, bytes) = record_of(number, channel, parcel);
            self.keep(name, Some(bytes));
        }
    }

    pub(super) fn forget_parcel(&mut self, number: u64, parcel: &Parcel, end: End) {
        if parcel.is_kept {
            self.traces.ended(number, &end, self.now);
            self.outputs.push_back(Output::End { name: format!("{RECORDS}{number:x}"), end });
        }
    }

    /// Puts a publication that was set aside on its way again.
    pub(in crate::hub) fn replay_publication(
        &mut self,
        route: &Route,
        content: &[u8],
        now: Timestamp,
    ) -> Result<(), String> {
        let (channel, parcel) = Record::read(content).ok_or("it cannot be read")?;
        if self.publisher.rule_of(&channel).is_none() {
            return Err(format!("no section publishes to {} any more", channel.describe()));
        }
        let posted = self.post(channel, parcel.payload, Some(route), now);
        posted.map(|_| ()).ok_or_else(|| "too much is on its way".to_owned())
    }

    /// Sends what may be sent.
    pub(super) fn pump(&mut self, lane_number: u64, now: Timestamp) {
        while self.publisher.is_online {
            let Some(lane) = self.publisher.lanes.get(&lane_number) else { return };
            let Some(number) = lane.next(now) else { break };
            if !self.may_still(lane, number) {
                self.give_up(number, End::dead("its reader may not read it any more"));
                continue;
            }
            let Ok(to) = self.dispatch(lane_number, number) else { break };
            self.traces.handed(number, now);
            if let Some(lane) = self.publisher.lanes.get_mut(&lane_number) {
                lane.sent(number, to, now);
            }
        }
        self.arm(lane_number);
    }

    /// Whether the rules still let its reader read what is in a parcel.
    pub(super) fn may_still(&self, lane: &Lane, number: u64) -> bool {
        let (Some(reader), Some(parcel)) = (lane.channel.reader(), lane.parcels.get(&number)) else { return true };
        let to = Peer { jid: reader.into(), at: None };
        self.may_read_all(&to, &parcel.payload)
    }

    /// Whether somebody may read every value of a message of readings, by whatever name it calls its nodes.
    pub(in crate::hub) fn may_read_all(&self, to: &Peer, payload: &Element) -> bool {
        let access = self.config.policy.of(&to.bare());
        let readings = match sensor::Answer::parse(payload).map(|answer| answer.progress) {
            Some(sensor::Progress::Data { readings, .. }) => readings,
            _ => Vec::new(),
        };
        readings.into_iter().map(|reading| self.by_own_name(to, reading)).all(|reading| {
            let permit = reading.node.as_ref().and_then(|node| access.read(node).ok());
            permit.is_some_and(|permit| reading.fields.iter().all(|field| permit.covers(&field.name)))
        })
    }

    /// Sends a parcel in the way of its channel; gives who has to confirm it.
    pub(super) fn dispatch(&mut self, lane_number: u64, number: u64) -> Result<Option<Jid>, NotNow> {
        let lane = self.publisher.lanes.get(&lane_number).ok_or(NotNow)?;
        let (channel, parcel) = (lane.channel.clone(), lane.parcels.get(&number).ok_or(NotNow)?.clone());
        match &channel {
            Channel::Receipts(to) => Ok(self.send_for_receipt(to, number, parcel)),
            Channel::Acknowledged(to, ns) => self.send_acknowledged(to, ns, number, parcel),
            Channel::Assured(to, ns) => self.send_assured(to, ns, number, parcel),
            Channel::Node(service, node) => self.send_to_node(service.as_ref(), node, number, parcel),
            Channel::Room(room) => self.send_to_room(room, number, parcel),
        }
    }

    pub(super) fn arm(&mut self, lane_number: u64) {
        let Some(lane) = self.publisher.lanes.get_mut(&lane_number) else { return };
        let due = lane.due();
        if due == lane.timer {
            return;
        }
        if let Some(at) = std::mem::replace(&mut lane.timer, due) {
            self.timers.cancel(at, Timer::Lane(lane_number));
        }
        if let Some(at) = due {
            self.timers.set(at, Timer::Lane(lane_number));
        }
    }

    /// Something should have been confirmed, or a channel may be tried again.
    pub(in crate::hub) fn lane_due(&mut self, lane_number: u64, now: Timestamp) {
        let Some(lane) = self.publisher.lanes.get_mut(&lane_number) else { return };
        lane.timer = None;
        lane.open_if_due(now);
        let channel = lane.channel.clone();
        let (again, given_up) = lane.overdue(now);
        if let (Channel::Room(room), false) = (&channel, again.is_empty()) {
            // Said again it might be heard twice: whether we are still inside comes first.
            self.room_lost(room, "does not give back what we say", now);
            return self.arm(lane_number);
        }
        for number in given_up {
            self.give_up(number, End::dead("nobody confirmed it"));
        }
        for number in again {
            let dispatched = self.dispatch(lane_number, number);
            let Some(lane) = self.publisher.lanes.get_mut(&lane_number) else { return };
            match dispatched {
                Ok(to) => lane.sent(number, to, now),
                // Nobody is there to send it to: it waits, and is overdue no more.
                Err(NotNow) => {
                    lane.ground();
                    break;
                }
            }
        }
        self.pump(lane_number, now);
    }

    /// The answer to a publication of ours, which is an iq; false: it is none.
    pub(in crate::hub) fn parcel_answered(
        &mut self,
        id: &str,
        from: Option<&Jid>,
        outcome: &Answered,
        now: Timestamp,
    ) -> bool {
        let named = |prefix: char| u64::from_str_radix(id.strip_prefix(prefix)?, 16).ok();
        let is_delivery = named('d').is_some();
        let Some(number) = named('p').or_else(|| named('d')) else { return false };
        let Some(lane_number) = self.publisher.parcels.get(&number).copied() else { return false };
        let is_own = self.is_own(from);
        let Some(lane) = self.publisher.lanes.get_mut(&lane_number) else { return false };
        let is_answerer = lane.flight(number).is_some_and(|flight| match &flight.to {
            Some(to) => from == Some(to),
            None => is_own,
        });
        let is_held = lane.parcels.get(&number).is_some_and(|parcel| parcel.holder.is_some());
        if !is_answerer || is_held != is_delivery {
            return true;
        }
        let is_assured = matches!(lane.channel, Channel::Assured(..));
        match outcome {
            Ok(_) if is_assured && !is_delivery => self.kept_by_peer(lane_number, number, from, now),
            Ok(_) => self.confirmed(number, now),
            Err(fault) => self.refused(lane_number, number, fault, now),
        }
        true
    }

    /// A publication arrived.
    pub(super) fn confirmed(&mut self, number: u64, now: Timestamp) {
        let Some(lane_number) = self.publisher.parcels.remove(&number) else { return };
        let Some(lane) = self.publisher.lanes.get_mut(&lane_number) else { return };
        lane.succeeded();
        let parcel = lane.take(number);
        if std::mem::take(&mut lane.is_told) {
            let about = lane.channel.describe();
            self.outputs.push_back(Output::Trouble { about, reason: None });
        }
        if let Some(parcel) = parcel {
            self.forget_parcel(number, &parcel, End::Delivered);
        }
        self.pump(lane_number, now);
    }

    /// A publication will never arrive.
    pub(super) fn give_up(&mut self, number: u64, end: End) {
        let why = match &end {
            End::Dead(reason) => reason.clone().into_owned(),
            _ => "it is refused".to_owned(),
        };
        self.give_up_for(number, end, &why);
    }

    pub(super) fn give_up_for(&mut self, number: u64, end: End, why: &str) {
        let Some(lane_number) = self.publisher.parcels.remove(&number) else { return };
        let Some(lane) = self.publisher.lanes.get_mut(&lane_number) else { return };
        let parcel = lane.take(number);
        self.publisher.given_up += 1;
        self.trouble(lane_number, format!("a reading was given up: {why}"));
        if let Some(parcel) = parcel {
            self.forget_parcel(number, &parcel, end);
        }
    }

    /// A publication was not even put on its way.
    pub(super) fn lost(&mut self, channel: &Channel, reason: String) {
        self.publisher.given_up += 1;
        match self.publisher.channels.get(channel).copied() {
            Some(lane) => self.trouble(lane, reason),
            None => self.outputs.push_back(Output::Trouble { about: channel.describe(), reason: Some(reason) }),
        }
    }

    /// Tells the operator, once until something comes through.
    pub(super) fn trouble(&mut self, lane_number: u64, reason: String) {
        let Some(lane) = self.publisher.lanes.get_mut(&lane_number) else { return };
        if !std::mem::replace(&mut lane.is_told, true) {
            let about = lane.channel.describe();
            self.outputs.push_back(Output::Trouble { about, reason: Some(reason) });
        }
    }
}

fn record_of(number: u64, channel: &Channel, parcel: &Parcel) -> (String, Vec<u8>) {
    (format!("{RECORDS}{number:x}"), Record::of(channel, parcel).to_bytes())
}
