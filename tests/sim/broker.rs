//! An MQTT broker with devices behind it, and the one client that is the bridge under test.
//!
//! Speaks 3.1.1 and 5 as far as the dialogue needs it. Keeps its client's session over connections, sends again with DUP what was not
//! acknowledged, and takes an acknowledgement (PUBACK, PUBREC) as the promise that it is: it lets go of the message. Decides nothing about
//! faults: the world cuts and restarts.

use std::collections::{BTreeSet, VecDeque};

/// A message of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) number: i64,
}

#[derive(Debug)]
struct InFlight {
    id: u16,
    message: Message,
    /// Sent on this connection.
    is_sent: bool,
    was_sent: bool,
    /// PUBREC came: only its end is missing.
    is_released: bool,
}

/// What the broker keeps of its client.
#[derive(Debug, Default)]
struct Kept {
    filters: BTreeSet<String>,
    queue: VecDeque<Message>,
    in_flight: VecDeque<InFlight>,
    next_id: u16,
}

/// What the client did that matters outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It answers for this message from now on.
    Acknowledged(Message),
    /// A command for a device.
    Command { topic: String, payload: String },
    /// The client spoke wrongly, or a version that this broker does not: the connection ends.
    Ended,
}

#[derive(Debug)]
pub(crate) struct Broker {
    /// Speaks 5; otherwise 3.1.1 only.
    pub(crate) is_new: bool,
    /// Of what it sends.
    pub(crate) qos: u8,
    kept: Option<Kept>,
    buffer: Vec<u8>,
    is_connected: bool,
    is_v5: bool,
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn text(bytes: &[u8], at: usize) -> Option<(String, usize)> {
    let length = usize::from(short(bytes, at)?);
    let text = bytes.get(at + 2..at + 2 + length)?;
    Some((String::from_utf8_lossy(text).into_owned(), at + 2 + length))
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let (mut bytes, mut length) = (vec![first], body.len());
    loop {
        let low = u8::try_from(length % 128).unwrap_or(0);
        length /= 128;
        bytes.push(if length > 0 { low | 128 } else { low });
        if length == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

/// The first whole packet: its first byte, its body, and how long it is in all.
fn frame(buffer: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (mut length, mut at) = (0_usize, 1);
    loop {
        let byte = *buffer.get(at)?;
        length |= usize::from(byte & 127) << (7 * (at - 1));
        at += 1;
        if byte < 128 {
            break;
        }
    }
    Some((*buffer.first()?, buffer.get(at..at + length)?.to_vec(), at + length))
}

impl Broker {
    pub(crate) fn new(is_new: bool, qos: u8) -> Self {
        Self { is_new, qos, kept: None, buffer: Vec::new(), is_connected: false, is_v5: false }
    }

    /// A device says something; whether the broker keeps it for its client.
    pub(crate) fn publish(&mut self, message: Message) -> bool {
        let Some(kept) = &mut self.kept else { return false };
        let is_wanted = kept.filters.contains(&message.topic);
        if is_wanted {
            kept.queue.push_back(message);
        }
        is_wanted
    }

    /// Messages that the client has not answered for.
    pub(crate) fn waiting(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.queue.len() + kept.in_flight.len())
    }

    /// Whether there is something to send.
    pub(crate) fn has_unsent(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| !kept.queue.is_empty() || kept.in_flight.iter().any(|one| !one.is_sent))
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&mut self) {
        self.is_connected = false;
        self.buffer.clear();
        for one in self.kept.iter_mut().flat_map(|kept| &mut kept.in_flight) {
            one.is_sent = false;
        }
    }

    /// Bytes of the client's; gives what is answered and what matters outside.
    pub(crate) fn read(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Vec<Heard> {
        self.buffer.extend_from_slice(bytes);
        let mut heard = Vec::new();
        while let Some((first, body, length)) = frame(&self.buffer) {
            self.buffer.drain(..length);
            let one = self.handle(first, &body, out).unwrap_or(Some(Heard::Ended));
            let is_end = one == Some(Heard::Ended);
            heard.extend(one);
            if is_end {
                self.disconnected();
                break;
            }
        }
        heard
    }

    /// None: what cannot be read.
    fn handle(&mut self, first: u8, body: &[u8], out: &mut Vec<u8>) -> Option<Option<Heard>> {
        if first >> 4 != 1 && !self.is_connected {
            return None;
        }
        match first >> 4 {
            1 => self.connect(body, out),
            3 => self.publication(first, body, out),
            4 | 5 => Some(self.acknowledged(first >> 4, short(body, 0)?, out)),
            7 => {
                let id = short(body, 0)?;
                self.kept.as_mut()?.in_flight.retain(|one| one.id != id);
                Some(None)
            }
            8 => self.subscribe(body, out),
            10 => self.unsubscribe(body, out),
            12 => {
                out.extend(packet(0xD0, &[]));
                Some(None)
            }
            14 => Some(Some(Heard::Ended)),
            _ => None,
        }
    }

    fn connect(&mut self, body: &[u8], out: &mut Vec<u8>) -> Option<Option<Heard>> {
        let (_, at) = text(body, 0)?;
        let (level, flags) = (*body.get(at)?, *body.get(at + 1)?);
        if level == 5 && !self.is_new {
            out.extend(packet(0x20, &[0, 1]));
            return Some(Some(Heard::Ended));
        }
        self.is_v5 = level == 5;
        if flags & 2 != 0 {
            self.kept = None;
        }
        let is_present = u8::from(self.kept.is_some());
        self.kept.get_or_insert_with(|| Kept { next_id: 1, ..Kept::default() });
        self.is_connected = true;
        let answer: &[u8] = if self.is_v5 { &[is_present, 0, 0] } else { &[is_present, 0] };
        out.extend(packet(0x20, answer));
        Some(None)
    }

    fn after_properties(&self, body: &[u8], at: usize) -> Option<usize> {
        match self.is_v5 {
            true => Some(at + 1 + usize::from(*body.get(at)?)),
            false => Some(at),
        }
    }

    fn publication(&mut self, first: u8, body: &[u8], out: &mut Vec<u8>) -> Option<Option<Heard>> {
        let (topic, mut at) = text(body, 0)?;
        if first & 6 != 0 {
            let id = body.get(at..at + 2)?.to_vec();
            out.extend(packet(if first & 6 == 2 { 0x40 } else { 0x50 }, &id));
            at += 2;
        }
        let at = self.after_properties(body, at)?;
        let payload = String::from_utf8_lossy(body.get(at..)?).into_owned();
        Some(Some(Heard::Command { topic, payload }))
    }

    fn acknowledged(&mut self, kind: u8, id: u16, out: &mut Vec<u8>) -> Option<Heard> {
        let kept = self.kept.as_mut()?;
        let at = kept.in_flight.iter().position(|one| one.id == id)?;
        let one = kept.in_flight.get_mut(at)?;
        let message = one.message.clone();
        if kind == 4 {
            kept.in_flight.remove(at);
            return Some(Heard::Acknowledged(message));
        }
        out.extend(packet(0x62, &id.to_be_bytes()));
        (!std::mem::replace(&mut one.is_released, true)).then_some(Heard::Acknowledged(message))
    }

    fn subscribe(&mut self, body: &[u8], out: &mut Vec<u8>) -> Option<Option<Heard>> {
        let mut at = self.after_properties(body, 2)?;
        let mut answer = body.get(..2)?.to_vec();
        answer.extend(self.is_v5.then_some(0));
        while at < body.len() {
            let (filter, after) = text(body, at)?;
            answer.push((*body.get(after)? & 3).min(self.qos));
            self.kept.as_mut()?.filters.insert(filter);
            at = after + 1;
        }
        out.extend(packet(0x90, &answer));
        Some(None)
    }

    fn unsubscribe(&mut self, body: &[u8], out: &mut Vec<u8>) -> Option<Option<Heard>> {
        let mut at = self.after_properties(body, 2)?;
        let mut answer = body.get(..2)?.to_vec();
        answer.extend(self.is_v5.then_some(0));
        while at < body.len() {
            let (filter, after) = text(body, at)?;
            self.kept.as_mut()?.filters.remove(&filter);
            answer.extend(self.is_v5.then_some(0));
            at = after;
        }
        out.extend(packet(0xB0, &answer));
        Some(None)
    }

    /// The next message for the client, if one may be sent; whether it was sent before.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>) -> Option<(Message, bool)> {
        let (is_v5, qos) = (self.is_v5, self.qos);
        let kept = self.kept.as_mut().filter(|_| self.is_connected)?;
        if !kept.in_flight.iter().any(|one| !one.is_sent) {
            let message = kept.queue.pop_front()?;
            let id = kept.next_id;
            kept.next_id = kept.next_id.checked_add(1).unwrap_or(1);
            let (is_sent, was_sent, is_released) = (false, false, false);
            kept.in_flight.push_back(InFlight { id, message, is_sent, was_sent, is_released });
        }
        let one = kept.in_flight.iter_mut().find(|one| !one.is_sent)?;
        one.is_sent = true;
        let was_sent = std::mem::replace(&mut one.was_sent, true);
        if one.is_released {
            out.extend(packet(0x62, &one.id.to_be_bytes()));
            return None;
        }
        let length = u16::try_from(one.message.topic.len()).unwrap_or(0);
        let mut body = length.to_be_bytes().to_vec();
        body.extend(one.message.topic.bytes());
        body.extend(one.id.to_be_bytes());
        body.extend(is_v5.then_some(0));
        body.extend(one.message.number.to_string().bytes());
        out.extend(packet(0x30 | (qos << 1) | (u8::from(was_sent) << 3), &body));
        Some((one.message.clone(), was_sent))
    }
}
