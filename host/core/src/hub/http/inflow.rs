//! Bodies that come in parts: of requests, and of answers to ours. A stream belongs to the full JID that named it; its parts come in any
//! order, also before the stanza that says what it is. Parts of whom no rule names, and whom we ask nothing, are not kept.

use std::collections::BTreeMap;

use super::super::Hub;
use super::super::addresses::Peer;
use super::super::timers::Timer;
use super::{No, Order, Ways, busy};
use crate::model::{Timestamp, limits};
use crate::wire::{StanzaFault, http, stanza};

/// A body of which something is missing, or what it is.
#[derive(Debug)]
pub(super) struct Inflow {
    pub(super) from: Peer,
    stream: String,
    parts: BTreeMap<u32, Vec<u8>>,
    bytes: usize,
    /// The number of the last part.
    last: Option<u32>,
    /// None: nobody has said so yet.
    purpose: Option<Purpose>,
    deadline: Timestamp,
}

/// What a body is.
#[derive(Debug)]
enum Purpose {
    /// A request's.
    Request(Box<Order>),
    /// The answer's to what somebody asked through a door.
    Answer(u64),
}

/// One part.
pub(super) struct Piece {
    pub(super) number: u32,
    pub(super) is_last: bool,
    pub(super) bytes: Vec<u8>,
}

impl Inflow {
    /// Whether it is room of the sender's that it takes up, and not of ours.
    pub(super) fn is_theirs(&self) -> bool {
        !self.is_answer()
    }

    fn is_answer(&self) -> bool {
        matches!(self.purpose, Some(Purpose::Answer(_)))
    }

    /// Takes a part; one that came before stays. An error: it is too much.
    fn take(&mut self, piece: Piece) -> Result<(), u16> {
        if piece.number as usize >= limits::HTTP_PARTS_MAX {
            return Err(413);
        }
        if piece.is_last && self.last.is_none() {
            self.last = Some(piece.number);
            let beyond = self.parts.split_off(&(piece.number + 1));
            self.bytes -= beyond.values().map(Vec::len).sum::<usize>();
        }
        if self.last.is_some_and(|last| piece.number > last) || self.parts.contains_key(&piece.number) {
            return Ok(());
        }
        self.bytes += piece.bytes.len();
        self.parts.insert(piece.number, piece.bytes);
        if self.bytes > limits::HTTP_BODY_BYTES_MAX { Err(413) } else { Ok(()) }
    }

    fn is_complete(&self) -> bool {
        self.purpose.is_some() && self.last.is_some_and(|last| self.parts.len() > last as usize)
    }
}

impl Hub {
    /// A request says that its body comes in parts.
    pub(super) fn request_flows(&mut self, order: Order, stream: String, now: Timestamp) {
        let number = match self.inflow_of(&order.caller, &stream) {
            Some(number) => number,
            None if self.http.has_room_for(&order.caller.bare()) => self.open_inflow(order.caller.clone(), stream, now),
            None => return self.http_refuse(&order, busy()),
        };
        let Some(inflow) = self.http.inflows.get_mut(&number) else { return };
        if inflow.purpose.is_some() {
            let fault = StanzaFault::bad_request("Another request uses this stream.");
            return self.refuse(&order.asker, &fault);
        }
        inflow.purpose = Some(Purpose::Request(Box::new(order)));
        self.inflow_goes_on(number, now);
    }

    /// An answer says that its body comes in parts. An error: the stream is another body's.
    pub(super) fn answer_flows(&mut self, id: u64, from: Peer, stream: String, now: Timestamp) -> Result<(), ()> {
        let known = self.inflow_of(&from, &stream);
        let number = known.unwrap_or_else(|| self.open_inflow(from, stream, now));
        let inflow = self.http.inflows.get_mut(&number).filter(|inflow| inflow.purpose.is_none()).ok_or(())?;
        inflow.purpose = Some(Purpose::Answer(id));
        self.inflow_goes_on(number, now);
        Ok(())
    }

    /// A part came. Without the stanza that says what it is it waits for that, as far as there is room.
    pub(super) fn inflow_part(&mut self, from: &Peer, stream: String, piece: Piece, now: Timestamp) {
        let number = match self.inflow_of(from, &stream) {
            Some(number) => number,
            None if stream.len() <= limits::NAME_BYTES_MAX && self.http.has_room_for(&from.bare()) => {
                self.open_inflow(from.clone(), stream, now)
            }
            None => return,
        };
        match self.http.inflows.get_mut(&number).map(|inflow| inflow.take(piece)) {
            Some(Err(status)) => self.end_inflow(number, No::from(status)),
            Some(Ok(())) => self.inflow_goes_on(number, now),
            None => {}
        }
    }

    /// The sender gives up.
    pub(super) fn inflow_closed(&mut self, from: &Peer, stream: &str) {
        if let Some(number) = self.inflow_of(from, stream) {
            self.end_inflow(number, No::from(400));
        }
    }

    /// Nothing came for too long.
    pub(in super::super) fn inflow_overdue(&mut self, number: u64, now: Timestamp) {
        if self.http.inflows.get(&number).is_some_and(|inflow| inflow.deadline <= now) {
            self.end_inflow(number, No::from(408));
        }
    }

    /// Rules have changed: who has no way any more is not listened to.
    pub(super) fn recheck_inflows(&mut self) {
        let http = &self.http;
        let is_lost = |inflow: &Inflow| {
            !inflow.is_answer() && !http.awaits(&inflow.from) && Ways::of(&http.rules, &inflow.from.bare()).is_empty()
        };
        let lost: Vec<u64> =
            http.inflows.iter().filter(|(_, inflow)| is_lost(inflow)).map(|(number, _)| *number).collect();
        for number in lost {
            self.end_inflow(number, No::Fault(StanzaFault::forbidden()));
        }
    }

    /// Nobody waits for this answer any more: whoever sends it is told.
    pub(super) fn forget_answer(&mut self, id: u64) {
        let is_its = |inflow: &Inflow| matches!(inflow.purpose, Some(Purpose::Answer(of)) if of == id);
        let found = self.http.inflows.iter().find(|(_, inflow)| is_its(inflow)).map(|(number, _)| *number);
        if let Some(inflow) = found.and_then(|number| self.take_inflow(number)) {
            self.end_stream(&inflow.from, &inflow.stream);
        }
    }

    /// Says that a stream is at its end, by both names of it.
    pub(super) fn end_stream(&mut self, ear: &Peer, stream: &str) {
        let [close, cancel] = http::end(stream);
        let id = self.stanza_id();
        self.send_from(ear.at.as_ref(), stanza::message_with(&ear.jid, &id, close, cancel));
    }

    fn inflow_of(&self, from: &Peer, stream: &str) -> Option<u64> {
        let mut inflows = self.http.inflows.iter();
        inflows.find(|(_, inflow)| inflow.from == *from && inflow.stream == stream).map(|(number, _)| *number)
    }

    fn open_inflow(&mut self, from: Peer, stream: String, now: Timestamp) -> u64 {
        let number = self.number();
        let (parts, bytes, last, purpose) = (BTreeMap::new(), 0, None, None);
        self.http.inflows.insert(number, Inflow { from, stream, parts, bytes, last, purpose, deadline: now });
        number
    }

    fn take_inflow(&mut self, number: u64) -> Option<Inflow> {
        let inflow = self.http.inflows.remove(&number)?;
        self.timers.cancel(inflow.deadline, Timer::HttpInflow(number));
        Some(inflow)
    }

    /// Hands the body on once everything is there; else waits for the next part.
    fn inflow_goes_on(&mut self, number: u64, now: Timestamp) {
        let Some(inflow) = self.http.inflows.get_mut(&number) else { return };
        self.timers.cancel(inflow.deadline, Timer::HttpInflow(number));
        if !inflow.is_complete() {
            inflow.deadline = now.plus_ms(limits::HTTP_PART_WAIT_MS);
            return self.timers.set(inflow.deadline, Timer::HttpInflow(number));
        }
        let Some(Inflow { parts, purpose: Some(purpose), .. }) = self.http.inflows.remove(&number) else { return };
        let body = parts.into_values().flatten().collect();
        match purpose {
            Purpose::Request(order) => self.http_begin(*order, body),
            Purpose::Answer(id) => self.passage_body(id, body),
        }
    }

    /// Tells whoever sends to stop, and whoever waits for the body why.
    fn end_inflow(&mut self, number: u64, no: No) {
        let Some(inflow) = self.take_inflow(number) else { return };
        match inflow.purpose {
            Some(Purpose::Request(order)) => {
                self.http_refuse(&order, no);
                self.end_stream(&Self::http_ear(&order), &inflow.stream);
            }
            Some(Purpose::Answer(id)) => {
                self.end_stream(&inflow.from, &inflow.stream);
                self.passage_broken(id, &no);
            }
            None => {}
        }
    }
}
