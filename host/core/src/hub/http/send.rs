//! Bodies of answers that leave in parts, some at a time, so that a long one neither fills the way out nor cannot be stopped.

use super::super::Hub;
use super::super::addresses::Peer;
use super::super::timers::Timer;
use super::Order;
use crate::model::{Timestamp, limits};
use crate::wire::http::{self, Part};
use crate::wire::stanza;

/// A body on its way.
#[derive(Debug)]
pub(super) struct Send {
    pub(super) order: Order,
    stream: String,
    bytes: Vec<u8>,
    /// The number of the next part.
    next: u32,
    due: Timestamp,
}

impl Send {
    /// Takes the next part.
    fn part(&mut self) -> Part {
        let size = self.order.part_bytes.max(1);
        let from = (self.next as usize).saturating_mul(size);
        let rest = self.bytes.get(from..).unwrap_or_default();
        let bytes = rest.get(..size).unwrap_or(rest).to_vec();
        let (number, is_last) = (self.next, rest.len() <= size);
        self.next += 1;
        Part::Chunk { stream: self.stream.clone(), number, is_last, bytes }
    }
}

impl Hub {
    /// The iq has said which stream it is.
    pub(super) fn begin_send(&mut self, number: u64, order: Order, stream: String, bytes: Vec<u8>, now: Timestamp) {
        self.http.sends.insert(number, Send { order, stream, bytes, next: 0, due: now });
        self.send_turn(number, now);
    }

    /// Some more parts.
    pub(in super::super) fn send_turn(&mut self, number: u64, now: Timestamp) {
        for _ in 0..limits::HTTP_PARTS_PER_TURN {
            let Some(send) = self.http.sends.get_mut(&number) else { return };
            let part = send.part();
            let ear = Self::http_ear(&send.order);
            if matches!(part, Part::Chunk { is_last: true, .. }) {
                self.http.sends.remove(&number);
            }
            self.message(&ear, part.to_element());
        }
        if let Some(send) = self.http.sends.get_mut(&number) {
            send.due = now.plus_ms(limits::HTTP_TURN_MS);
            self.timers.set(send.due, Timer::HttpSend(number));
        }
    }

    /// Whoever asked does not want to hear the rest.
    pub(super) fn send_closed(&mut self, from: &Peer, stream: &str) {
        let mut sends = self.http.sends.iter();
        let found = sends.find(|(_, send)| send.order.caller == *from && send.stream == stream);
        if let Some((number, _)) = found {
            self.forget_send(*number);
        }
    }

    /// Rules have changed: who may not ask for it any more does not hear the rest.
    pub(super) fn recheck_sends(&mut self) {
        let is_lost = |send: &Send| self.http_way(&send.order).is_err();
        let lost: Vec<u64> =
            self.http.sends.iter().filter(|(_, send)| is_lost(send)).map(|(number, _)| *number).collect();
        for number in lost {
            if let Some(send) = self.forget_send(number) {
                let [close, cancel] = http::end(&send.stream);
                let (id, ear) = (self.stanza_id(), Self::http_ear(&send.order));
                self.send_from(ear.at.as_ref(), stanza::message_with(&ear.jid, &id, close, cancel));
            }
        }
    }

    fn forget_send(&mut self, number: u64) -> Option<Send> {
        let send = self.http.sends.remove(&number)?;
        self.timers.cancel(send.due, Timer::HttpSend(number));
        Some(send)
    }
}
