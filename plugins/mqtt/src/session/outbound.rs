//! What we are owed: acknowledgements of what we published. Owns messages in flight, in order, and those that wait for a place.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::codec::{self, Ack, Message, Qos, Version, reason};

/// Commands in flight at once: they come from people, and a broker that falls behind should be noticed.
const IN_FLIGHT_MAX: usize = 64;
/// Commands that wait behind them.
const WAITING_MAX: usize = 1024;

/// Why a message may not have reached the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Undelivered {
    /// There is no connection.
    Offline,
    /// The connection was lost and the broker forgot the session; it may have arrived or not.
    SessionLost,
    /// The broker takes no packets of this size.
    TooLarge,
    /// Too many wait already.
    QueueFull,
    /// The wire cannot carry it.
    Unwritable(String),
    /// The broker's reason.
    Refused(u8),
}

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outbound {
    flights: VecDeque<Flight>,
    waiting: VecDeque<(u64, Message)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Flight {
    token: u64,
    id: u16,
    /// None: PUBREC came, PUBREL left.
    message: Option<Message>,
}

impl Outbound {
    pub(crate) fn uses(&self, id: u16) -> bool {
        self.flights.iter().any(|flight| flight.id == id)
    }

    /// Takes a message; true: it may leave now.
    pub(crate) fn begin(
        &mut self,
        token: u64,
        id: u16,
        message: Message,
        receive_maximum: u16,
    ) -> Result<bool, Undelivered> {
        if self.has_place(receive_maximum) {
            self.flights.push_back(Flight { token, id, message: Some(message) });
            return Ok(true);
        }
        if self.waiting.len() >= WAITING_MAX {
            return Err(Undelivered::QueueFull);
        }
        self.waiting.push_back((token, message));
        Ok(false)
    }

    fn has_place(&self, receive_maximum: u16) -> bool {
        self.flights.len() < IN_FLIGHT_MAX.min(usize::from(receive_maximum))
    }

    /// The next that waited and has a place now.
    pub(crate) fn next_waiting(&mut self, receive_maximum: u16) -> Option<(u64, Message)> {
        if self.has_place(receive_maximum) { self.waiting.pop_front() } else { None }
    }

    pub(crate) fn cancel(&mut self, token: u64) {
        self.waiting.retain(|(waiting, _)| *waiting != token);
    }

    /// Gives the message that came to its end.
    pub(crate) fn handle_ack(
        &mut self,
        kind: Ack,
        id: u16,
        reason: u8,
        out: &mut Vec<u8>,
    ) -> Option<(u64, Result<(), Undelivered>)> {
        let at = self.flights.iter().position(|flight| flight.id == id);
        let flight = at.and_then(|at| self.flights.get_mut(at));
        let qos = flight.as_ref().and_then(|flight| flight.message.as_ref()).map(|message| message.qos);
        match (kind, flight, qos) {
            (Ack::Pubrec, Some(flight), Some(Qos::ExactlyOnce)) if reason < 0x80 => {
                flight.message = None;
                codec::write_ack(Ack::Pubrel, id, out);
                None
            }
            // Seen before, or never: PUBREL lets the broker come to an end.
            (Ack::Pubrec, Some(_), None) | (Ack::Pubrec, None, _) if reason < 0x80 => {
                codec::write_ack(Ack::Pubrel, id, out);
                None
            }
            (Ack::Puback, Some(_), Some(Qos::AtLeastOnce))
            | (Ack::Pubrec, Some(_), Some(Qos::ExactlyOnce))
            | (Ack::Pubcomp, Some(_), None) => self.end(at?, reason),
            _ => None,
        }
    }

    fn end(&mut self, at: usize, reason: u8) -> Option<(u64, Result<(), Undelivered>)> {
        let flight = self.flights.remove(at)?;
        let is_fine = reason < 0x80 || reason == reason::PACKET_ID_NOT_FOUND;
        Some((flight.token, if is_fine { Ok(()) } else { Err(Undelivered::Refused(reason)) }))
    }

    /// What the resumed session requires to be sent again, in the old order.
    pub(crate) fn repeat(&self, version: Version) -> Vec<u8> {
        let mut out = Vec::new();
        for flight in &self.flights {
            match &flight.message {
                Some(message) => {
                    // It was written once, so it can be written again.
                    out.extend(codec::write_publish(message, flight.id, true, version).unwrap_or_default());
                }
                None => codec::write_ack(Ack::Pubrel, flight.id, &mut out),
            }
        }
        out
    }

    /// The connection is gone: gives those that never left. What is in flight waits for the session to come back.
    pub(crate) fn detach(&mut self) -> Vec<u64> {
        self.waiting.drain(..).map(|(token, _)| token).collect()
    }

    /// The session is gone: gives what was in flight.
    pub(crate) fn give_up(&mut self) -> Vec<u64> {
        self.flights.drain(..).map(|flight| flight.token).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(qos: Qos) -> Message {
        Message { topic: "set".into(), payload: b"ON".to_vec(), qos, retain: false }
    }

    #[test]
    fn ends_exactly_once_with_pubcomp() {
        let (mut outbound, mut out) = (Outbound::default(), Vec::new());
        assert_eq!(outbound.begin(5, 1, message(Qos::ExactlyOnce), 10), Ok(true));
        assert_eq!(outbound.handle_ack(Ack::Pubrec, 1, 0, &mut out), None);
        assert_eq!(outbound.handle_ack(Ack::Pubrec, 1, 0, &mut out), None);
        assert_eq!(out, [0x62, 2, 0, 1, 0x62, 2, 0, 1]);
        assert_eq!(outbound.handle_ack(Ack::Pubcomp, 1, 0, &mut out), Some((5, Ok(()))));
        assert_eq!(outbound.handle_ack(Ack::Pubcomp, 1, 0, &mut out), None);
    }

    #[test]
    fn tells_the_brokers_refusal() {
        let (mut outbound, mut out) = (Outbound::default(), Vec::new());
        outbound.begin(5, 1, message(Qos::AtLeastOnce), 10).unwrap();
        assert_eq!(outbound.handle_ack(Ack::Puback, 1, 0x87, &mut out), Some((5, Err(Undelivered::Refused(0x87)))));
    }

    #[test]
    fn keeps_to_the_brokers_receive_maximum() {
        let mut outbound = Outbound::default();
        assert_eq!(outbound.begin(1, 1, message(Qos::AtLeastOnce), 1), Ok(true));
        assert_eq!(outbound.begin(2, 2, message(Qos::AtLeastOnce), 1), Ok(false));
        assert_eq!(outbound.next_waiting(1), None);
        outbound.handle_ack(Ack::Puback, 1, 0, &mut Vec::new());
        assert_eq!(outbound.next_waiting(1).map(|(token, _)| token), Some(2));
    }

    #[test]
    fn repeats_with_dup_in_the_old_order() {
        let (mut outbound, mut out) = (Outbound::default(), Vec::new());
        outbound.begin(1, 1, message(Qos::ExactlyOnce), 9).unwrap();
        outbound.begin(2, 2, message(Qos::AtLeastOnce), 9).unwrap();
        outbound.handle_ack(Ack::Pubrec, 1, 0, &mut out);
        let again = outbound.repeat(Version::V3);
        assert_eq!(&again[..5], [0x62, 2, 0, 1, 0x3A]);
    }
}
