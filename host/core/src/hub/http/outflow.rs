//! Bodies that leave in parts, of answers and of requests of ours: some at a time, so that a long one neither fills the way out nor cannot
//! be stopped.

use super::super::Hub;
use super::super::addresses::Peer;
use super::super::timers::Timer;
use super::Order;
use crate::model::{Timestamp, limits};
use crate::wire::http::Part;

/// A body on its way.
#[derive(Debug)]
pub(super) struct Outflow {
    pub(super) purpose: Purpose,
    stream: String,
    bytes: Vec<u8>,
    part_bytes: usize,
    /// The number of the next part.
    next: u32,
    due: Timestamp,
}

/// What a body is.
#[derive(Debug)]
pub(super) enum Purpose {
    /// The answer's to this request.
    Answer(Order),
    /// A request's that came through a door, to this address.
    Request(u64, Peer),
}

impl Outflow {
    /// Whom the body is for, as that one speaks.
    fn listener(&self) -> &Peer {
        match &self.purpose {
            Purpose::Answer(order) => &order.caller,
            Purpose::Request(_, peer) => peer,
        }
    }

    /// And where that one listens.
    fn ear(&self) -> Peer {
        match &self.purpose {
            Purpose::Answer(order) => Hub::http_ear(order),
            Purpose::Request(_, peer) => peer.clone(),
        }
    }

    /// Takes the next part.
    fn part(&mut self) -> Part {
        let size = self.part_bytes.max(1);
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
    pub(super) fn begin_outflow(&mut self, purpose: Purpose, stream: String, bytes: Vec<u8>, now: Timestamp) {
        let part_bytes = match &purpose {
            Purpose::Answer(order) => order.part_bytes,
            Purpose::Request(..) => limits::HTTP_PART_BYTES,
        };
        let number = self.number();
        self.http.outflows.insert(number, Outflow { purpose, stream, bytes, part_bytes, next: 0, due: now });
        self.outflow_turn(number, now);
    }

    /// Some more parts.
    pub(in super::super) fn outflow_turn(&mut self, number: u64, now: Timestamp) {
        for _ in 0..limits::HTTP_PARTS_PER_TURN {
            let Some(outflow) = self.http.outflows.get_mut(&number) else { return };
            let part = outflow.part();
            let ear = outflow.ear();
            if matches!(part, Part::Chunk { is_last: true, .. }) {
                self.http.outflows.remove(&number);
            }
            self.message(&ear, part.to_element());
        }
        if let Some(outflow) = self.http.outflows.get_mut(&number) {
            outflow.due = now.plus_ms(limits::HTTP_TURN_MS);
            self.timers.set(outflow.due, Timer::HttpOutflow(number));
        }
    }

    /// Whoever listened does not want to hear the rest.
    pub(super) fn outflow_closed(&mut self, from: &Peer, stream: &str) {
        let mut outflows = self.http.outflows.iter();
        let found = outflows.find(|(_, outflow)| outflow.listener() == from && outflow.stream == stream);
        if let Some((number, _)) = found {
            self.forget_outflow(*number);
        }
    }

    /// Rules have changed: who may not ask for it any more does not hear the rest.
    pub(super) fn recheck_outflows(&mut self) {
        self.cut_outflows(|hub, purpose| match purpose {
            Purpose::Answer(order) => hub.http_way(order).is_err(),
            Purpose::Request(..) => false,
        });
    }

    /// What came through a door is not asked any more: whoever was asked does not hear the rest.
    pub(super) fn forget_request(&mut self, id: u64) {
        self.cut_outflows(|_, purpose| matches!(purpose, Purpose::Request(of, _) if *of == id));
    }

    fn cut_outflows(&mut self, is_lost: impl Fn(&Self, &Purpose) -> bool) {
        let outflows = self.http.outflows.iter().filter(|(_, outflow)| is_lost(self, &outflow.purpose));
        let lost: Vec<u64> = outflows.map(|(number, _)| *number).collect();
        for number in lost {
            if let Some(outflow) = self.forget_outflow(number) {
                self.end_stream(&outflow.ear(), &outflow.stream);
            }
        }
    }

    fn forget_outflow(&mut self, number: u64) -> Option<Outflow> {
        let outflow = self.http.outflows.remove(&number)?;
        self.timers.cancel(outflow.due, Timer::HttpOutflow(number));
        Some(outflow)
    }
}
