//! Bodies of requests that come in parts. A stream belongs to the full JID that named it; its parts come in any order, also before the
//! request. Parts of whom no rule names are not kept.

use std::collections::BTreeMap;

use super::super::Hub;
use super::super::addresses::Peer;
use super::super::timers::Timer;
use super::{No, Order, Ways, busy};
use crate::model::{Timestamp, limits};
use crate::wire::{StanzaFault, http, stanza};

/// A body of which something is missing, or the request itself.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) from: Peer,
    stream: String,
    parts: BTreeMap<u32, Vec<u8>>,
    bytes: usize,
    /// The number of the last part.
    last: Option<u32>,
    /// None: the request has not come yet.
    order: Option<Order>,
    deadline: Timestamp,
}

/// One part.
pub(super) struct Piece {
    pub(super) number: u32,
    pub(super) is_last: bool,
    pub(super) bytes: Vec<u8>,
}

impl Upload {
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
        self.order.is_some() && self.last.is_some_and(|last| self.parts.len() > last as usize)
    }
}

impl Hub {
    /// A request says that its body comes in parts.
    pub(super) fn upload_asked(&mut self, order: Order, stream: String, now: Timestamp) {
        let number = match self.upload_of(&order.caller, &stream) {
            Some(number) => number,
            None if self.http.has_room_for(&order.caller.bare()) => self.open_upload(order.caller.clone(), stream, now),
            None => return self.http_refuse(&order, busy()),
        };
        let Some(upload) = self.http.uploads.get_mut(&number) else { return };
        if upload.order.is_some() {
            let fault = StanzaFault::bad_request("Another request uses this stream.");
            return self.refuse(&order.asker, &fault);
        }
        upload.order = Some(order);
        self.upload_goes_on(number, now);
    }

    /// A part came. Without a request it waits for one, as far as there is room.
    pub(super) fn upload_part(&mut self, from: &Peer, stream: String, piece: Piece, now: Timestamp) {
        let number = match self.upload_of(from, &stream) {
            Some(number) => number,
            None if stream.len() <= limits::NAME_BYTES_MAX && self.http.has_room_for(&from.bare()) => {
                self.open_upload(from.clone(), stream, now)
            }
            None => return,
        };
        match self.http.uploads.get_mut(&number).map(|upload| upload.take(piece)) {
            Some(Err(status)) => self.end_upload(number, No::from(status)),
            Some(Ok(())) => self.upload_goes_on(number, now),
            None => {}
        }
    }

    /// The sender gives up.
    pub(super) fn upload_closed(&mut self, from: &Peer, stream: &str) {
        if let Some(number) = self.upload_of(from, stream) {
            self.end_upload(number, No::from(400));
        }
    }

    /// Nothing came for too long.
    pub(in super::super) fn upload_overdue(&mut self, number: u64, now: Timestamp) {
        if self.http.uploads.get(&number).is_some_and(|upload| upload.deadline <= now) {
            self.end_upload(number, No::from(408));
        }
    }

    /// Rules have changed: who has no way any more is not listened to.
    pub(super) fn recheck_uploads(&mut self) {
        let rules = &self.http.rules;
        let lost = |upload: &Upload| Ways::of(rules, &upload.from.bare()).is_empty();
        let lost: Vec<u64> =
            self.http.uploads.iter().filter(|(_, upload)| lost(upload)).map(|(number, _)| *number).collect();
        for number in lost {
            self.end_upload(number, No::Fault(StanzaFault::forbidden()));
        }
    }

    fn upload_of(&self, from: &Peer, stream: &str) -> Option<u64> {
        let mut uploads = self.http.uploads.iter();
        uploads.find(|(_, upload)| upload.from == *from && upload.stream == stream).map(|(number, _)| *number)
    }

    fn open_upload(&mut self, from: Peer, stream: String, now: Timestamp) -> u64 {
        let number = self.number();
        let (parts, bytes, last, order) = (BTreeMap::new(), 0, None, None);
        self.http.uploads.insert(number, Upload { from, stream, parts, bytes, last, order, deadline: now });
        number
    }

    /// Carries the request out once everything is there; else waits for the next part.
    fn upload_goes_on(&mut self, number: u64, now: Timestamp) {
        let Some(upload) = self.http.uploads.get_mut(&number) else { return };
        self.timers.cancel(upload.deadline, Timer::HttpUpload(number));
        if !upload.is_complete() {
            upload.deadline = now.plus_ms(limits::HTTP_PART_WAIT_MS);
            return self.timers.set(upload.deadline, Timer::HttpUpload(number));
        }
        let Some(Upload { parts, order: Some(order), .. }) = self.http.uploads.remove(&number) else { return };
        self.http_begin(order, parts.into_values().flatten().collect());
    }

    /// Tells whoever sends to stop, and whoever asked why.
    fn end_upload(&mut self, number: u64, no: No) {
        let Some(upload) = self.http.uploads.remove(&number) else { return };
        self.timers.cancel(upload.deadline, Timer::HttpUpload(number));
        if let Some(order) = upload.order {
            self.http_refuse(&order, no);
            let [close, cancel] = http::end(&upload.stream);
            let (id, ear) = (self.stanza_id(), Self::http_ear(&order));
            self.send_from(ear.at.as_ref(), stanza::message_with(&ear.jid, &id, close, cancel));
        }
    }
}
