//! What the broker is owed: acknowledgements of messages whose reports are not durable yet, and the second half of QoS 2.
//!
//! PUBACK and PUBREC leave in the order in which the messages came (MQTT-4.6.0-2, -3), so a message that is ready waits for those
//! before it. When a connection is lost, the unanswered ones are *detached*: the broker sends them again with DUP in the resumed
//! session, and what was reported already is then answered without being reported twice.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::Sink;
use super::before::{Before, name_of};
use crate::codec::{self, Ack, Publish, Qos, Version};

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Inbound {
    queue: VecDeque<Pending>,
    detached: BTreeMap<u16, Pending>,
    /// Ids of the queue.
    queued: PacketIds,
    /// Ids whose PUBREC left and whose PUBREL has not come.
    received: PacketIds,
    #[serde(default)]
    before: Before,
    /// Where in the queue the next receipt is likely to be stored.
    #[serde(skip)]
    likely: usize,
}

/// A message that is not answered. Written as an array of five numbers, because thousands may be carried over in a swap.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(from = "(u16, u8, u64, u32, u32)", into = "(u16, u8, u64, u32, u32)")]
struct Pending {
    id: u16,
    is_exactly_once: bool,
    /// Its reports asked for these receipts: `first` and so many after it.
    first: u64,
    reports: u32,
    /// Reports that are not durable yet.
    missing: u32,
}

impl From<(u16, u8, u64, u32, u32)> for Pending {
    fn from((id, is_exactly_once, first, reports, missing): (u16, u8, u64, u32, u32)) -> Self {
        Self { id, is_exactly_once: is_exactly_once != 0, first, reports, missing }
    }
}

impl From<Pending> for (u16, u8, u64, u32, u32) {
    fn from(pending: Pending) -> Self {
        (pending.id, u8::from(pending.is_exactly_once), pending.first, pending.reports, pending.missing)
    }
}

impl Pending {
    fn owns(&self, receipt: u64) -> bool {
        (self.first..self.first + u64::from(self.reports)).contains(&receipt)
    }
}

impl Inbound {
    /// Whether the broker waits for the answer to this message.
    pub(crate) fn is_waiting(&self, id: u16) -> bool {
        self.queued.contains(id)
    }

    /// Reports a message, unless it was reported before.
    pub(crate) fn handle_publish(&mut self, publish: &Publish<'_>, sink: &mut dyn Sink) {
        let is_exactly_once = publish.qos == Qos::ExactlyOnce;
        if publish.dup && self.queued.contains(publish.id) {
            return;
        }
        let pending = match self.detached.remove(&publish.id) {
            Some(before) if publish.dup && before.is_exactly_once == is_exactly_once => before,
            _ if is_exactly_once && self.received.contains(publish.id) => reported(publish, 0, 0),
            _ => self.report(publish, sink),
        };
        self.queued.insert(publish.id);
        self.queue.push_back(pending);
    }

    fn report(&mut self, publish: &Publish<'_>, sink: &mut dyn Sink) -> Pending {
        let first = name_of(publish);
        if publish.dup && self.before.knows(first) {
            let (reports, missing) = sink.handle_again(publish, first, &|receipt| self.before.has(receipt));
            self.before.forget(publish.id);
            return reported(publish, reports, missing);
        }
        self.before.forget(publish.id);
        let reports = sink.handle_message(publish, Some(first));
        reported(publish, reports, reports)
    }

    /// Gives whether something became due.
    pub(crate) fn handle_stored(&mut self, receipt: u64) -> bool {
        if let Some(pending) = self.find(receipt) {
            pending.missing = pending.missing.saturating_sub(1);
        } else if let Some(pending) = self.detached.values_mut().find(|pending| pending.owns(receipt)) {
            pending.missing = pending.missing.saturating_sub(1);
        } else {
            self.before.add(receipt);
        }
        self.is_due()
    }

    /// Receipts are stored in the order in which messages came, nearly always.
    fn find(&mut self, receipt: u64) -> Option<&mut Pending> {
        let owns = |at: &usize| self.queue.get(*at).is_some_and(|pending| pending.owns(receipt));
        let at = [self.likely, self.likely.wrapping_add(1)].into_iter().find(owns);
        self.likely = at.or_else(|| self.queue.iter().position(|pending| pending.owns(receipt)))?;
        self.queue.get_mut(self.likely)
    }

    pub(crate) fn is_due(&self) -> bool {
        self.queue.front().is_some_and(|pending| pending.missing == 0)
    }

    /// Writes what is due.
    pub(crate) fn write_due(&mut self, out: &mut Vec<u8>) {
        while let Some(pending) = self.queue.pop_front_if(|pending| pending.missing == 0) {
            self.queued.remove(pending.id);
            self.likely = self.likely.saturating_sub(1);
            if pending.is_exactly_once {
                self.received.insert(pending.id);
                codec::write_ack(Ack::Pubrec, pending.id, out);
            } else {
                codec::write_ack(Ack::Puback, pending.id, out);
            }
        }
    }

    /// PUBREL.
    pub(crate) fn handle_release(&mut self, id: u16, version: Version, out: &mut Vec<u8>) {
        if self.received.remove(id) {
            codec::write_ack(Ack::Pubcomp, id, out);
        } else {
            codec::write_unknown_pubcomp(id, version, out);
        }
    }

    /// The connection is gone; the session may come back.
    pub(crate) fn detach(&mut self) {
        self.detached.extend(self.queue.drain(..).map(|pending| (pending.id, pending)));
        self.queued = PacketIds::default();
    }

    /// The broker knows nothing of the session: the ids mean nothing any more.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

fn reported(publish: &Publish<'_>, reports: u32, missing: u32) -> Pending {
    let is_exactly_once = publish.qos == Qos::ExactlyOnce;
    Pending { id: publish.id, is_exactly_once, first: name_of(publish), reports, missing }
}

/// A set of packet ids, one bit each.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<u16>", into = "Vec<u16>")]
struct PacketIds {
    words: Vec<u64>,
}

impl PacketIds {
    const WORDS: usize = 1024;

    fn contains(&self, id: u16) -> bool {
        self.words.get(usize::from(id >> 6)).is_some_and(|word| word & (1 << (id & 63)) != 0)
    }

    fn insert(&mut self, id: u16) {
        if self.words.is_empty() {
            self.words.resize(Self::WORDS, 0);
        }
        if let Some(word) = self.words.get_mut(usize::from(id >> 6)) {
            *word |= 1 << (id & 63);
        }
    }

    fn remove(&mut self, id: u16) -> bool {
        let was_there = self.contains(id);
        if let Some(word) = self.words.get_mut(usize::from(id >> 6)) {
            *word &= !(1 << (id & 63));
        }
        was_there
    }
}

impl From<Vec<u16>> for PacketIds {
    fn from(ids: Vec<u16>) -> Self {
        let mut set = Self::default();
        ids.into_iter().for_each(|id| set.insert(id));
        set
    }
}

impl From<PacketIds> for Vec<u16> {
    fn from(set: PacketIds) -> Self {
        let used = (0_u16..).zip(&set.words).filter(|(_, word)| **word != 0);
        used.flat_map(|(at, _)| (at << 6)..=(at << 6 | 63)).filter(|id| set.contains(*id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count(u32);

    impl Sink for Count {
        fn handle_message(&mut self, _: &Publish<'_>, _: Option<u64>) -> u32 {
            self.0 += 1;
            2
        }

        fn handle_again(&mut self, _: &Publish<'_>, first: u64, is_stored: &dyn Fn(u64) -> bool) -> (u32, u32) {
            let missing = [first, first + 1].into_iter().filter(|receipt| !is_stored(*receipt)).count();
            self.0 += u32::from(missing > 0);
            (2, u32::try_from(missing).unwrap())
        }
    }

    /// The receipt of a message's report.
    fn receipt(id: u16, report: u64) -> u64 {
        name_of(&publish(id, Qos::AtLeastOnce, false)) + report
    }

    fn publish(id: u16, qos: Qos, dup: bool) -> Publish<'static> {
        Publish { topic: "a", payload: b"1", qos, id, dup, retain: false }
    }

    #[test]
    fn acknowledges_in_order_of_arrival_once_every_report_is_stored() {
        let (mut inbound, mut sink) = (Inbound::default(), Count(0));
        inbound.handle_publish(&publish(1, Qos::AtLeastOnce, false), &mut sink);
        inbound.handle_publish(&publish(2, Qos::ExactlyOnce, false), &mut sink);
        assert!(!inbound.handle_stored(receipt(2, 0)) && !inbound.handle_stored(receipt(2, 1)));
        assert!(!inbound.handle_stored(receipt(1, 0)));
        assert!(inbound.handle_stored(receipt(1, 1)));
        let mut out = Vec::new();
        inbound.write_due(&mut out);
        assert_eq!(out, [0x40, 2, 0, 1, 0x50, 2, 0, 2]);
    }

    #[test]
    fn answers_a_redelivered_message_without_reporting_it_again() {
        let (mut inbound, mut sink) = (Inbound::default(), Count(0));
        for id in [1, 2] {
            inbound.handle_publish(&publish(id, Qos::AtLeastOnce, false), &mut sink);
        }
        inbound.detach();
        assert!(!inbound.handle_stored(receipt(1, 0)) && !inbound.handle_stored(receipt(1, 1)));
        inbound.handle_publish(&publish(2, Qos::AtLeastOnce, true), &mut sink);
        inbound.handle_publish(&publish(1, Qos::AtLeastOnce, true), &mut sink);
        assert_eq!(sink.0, 2);
        assert!(!inbound.handle_stored(receipt(2, 0)));
        assert!(inbound.handle_stored(receipt(2, 1)));
        let mut out = Vec::new();
        inbound.write_due(&mut out);
        assert_eq!(out, [0x40, 2, 0, 2, 0x40, 2, 0, 1]);
    }

    #[test]
    fn takes_a_new_message_with_an_old_id_for_new() {
        let (mut inbound, mut sink) = (Inbound::default(), Count(0));
        inbound.handle_publish(&publish(1, Qos::AtLeastOnce, false), &mut sink);
        inbound.detach();
        inbound.handle_publish(&publish(1, Qos::AtLeastOnce, false), &mut sink);
        assert_eq!(sink.0, 2);
    }

    #[test]
    fn sends_pubrec_again_for_a_message_it_has() {
        let (mut inbound, mut sink, mut out) = (Inbound::default(), Count(0), Vec::new());
        inbound.handle_publish(&publish(9, Qos::ExactlyOnce, false), &mut sink);
        inbound.handle_stored(receipt(9, 0));
        inbound.handle_stored(receipt(9, 1));
        inbound.write_due(&mut out);
        inbound.detach();
        inbound.handle_publish(&publish(9, Qos::ExactlyOnce, true), &mut sink);
        inbound.write_due(&mut out);
        inbound.handle_release(9, Version::V5, &mut out);
        inbound.handle_release(9, Version::V5, &mut out);
        assert_eq!(sink.0, 1);
        assert_eq!(out, [0x50, 2, 0, 9, 0x50, 2, 0, 9, 0x70, 2, 0, 9, 0x70, 3, 0, 9, 0x92]);
    }

    #[test]
    fn a_full_queue_survives_its_text_and_stays_small() {
        let (mut inbound, mut sink) = (Inbound::default(), Count(0));
        for id in 1..=u16::MAX {
            inbound.handle_publish(&publish(id, Qos::ExactlyOnce, false), &mut sink);
        }
        let text = serde_json::to_string(&inbound).unwrap();
        assert!(text.len() < 4 << 20, "{}", text.len());
        let mut again: Inbound = serde_json::from_str(&text).unwrap();
        assert!(again.is_waiting(1) && again.is_waiting(u16::MAX));
        assert!(!again.handle_stored(receipt(1, 0)) && again.handle_stored(receipt(1, 1)));
        let mut out = Vec::new();
        again.write_due(&mut out);
        assert_eq!(out, [0x50, 2, 0, 1]);
    }

    #[test]
    fn answers_what_an_earlier_instance_had_stored_without_reporting_it_again() {
        let (mut inbound, mut sink, mut out) = (Inbound::default(), Count(0), Vec::new());
        for receipt in [receipt(1, 0), receipt(1, 1), receipt(2, 0)] {
            assert!(!inbound.handle_stored(receipt));
        }
        inbound.handle_publish(&publish(1, Qos::AtLeastOnce, true), &mut sink);
        assert_eq!(sink.0, 0);
        // Only half of it is stored.
        inbound.handle_publish(&publish(2, Qos::ExactlyOnce, true), &mut sink);
        assert_eq!(sink.0, 1);
        inbound.write_due(&mut out);
        assert!(inbound.handle_stored(receipt(2, 1)));
        inbound.write_due(&mut out);
        assert_eq!(out, [0x40, 2, 0, 1, 0x50, 2, 0, 2]);
        // It was answered: with this id comes another one.
        inbound.handle_publish(&publish(1, Qos::AtLeastOnce, true), &mut sink);
        assert_eq!(sink.0, 2);
    }

    #[test]
    fn finds_receipts_in_any_order_behind_one_that_waits() {
        let (mut inbound, mut sink, mut out) = (Inbound::default(), Count(0), Vec::new());
        for id in 1..=100 {
            inbound.handle_publish(&publish(id, Qos::AtLeastOnce, false), &mut sink);
        }
        for id in (2..=50).chain((51..=100).rev()) {
            assert!(!inbound.handle_stored(receipt(id, 0)) && !inbound.handle_stored(receipt(id, 1)));
        }
        assert!(!inbound.handle_stored(receipt(1, 0)) && inbound.handle_stored(receipt(1, 1)));
        inbound.write_due(&mut out);
        assert_eq!(out.len(), 400);
    }

    #[test]
    fn sets_of_ids_survive_their_text() {
        let set = PacketIds::from(vec![1, 64, 65535]);
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(text, "[1,64,65535]");
    }
}
