//! Observations of ours at others (RFC 7641): which tokens bring notifications, and which notification is newer. A notification is believed
//! only from the peer that was asked, with the token that it was given.

use serde::{Deserialize, Serialize};
use tombolo_sdk::Timestamp;

use super::{Address, Answer, Event, Request, SECOND, Session, Token};
use crate::codec::message::{Kind, Message, code, option};

/// What is observed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Observation {
    pub(super) peer: Address,
    pub(super) owner: u64,
    pub(super) request: Request,
    /// Number and time of the newest notification.
    newest: (u32, Timestamp),
}

impl Observation {
    pub(super) fn new(peer: &str, owner: u64, request: Request, newest: (u32, Timestamp)) -> Self {
        Self { peer: peer.to_owned(), owner, request, newest }
    }

    /// RFC 7641 §3.4: serial numbers of 24 bits, believed for 128 seconds.
    fn is_news(&self, number: u32, now: Timestamp) -> bool {
        const HALF: u32 = 1 << 23;
        let (newest, at) = self.newest;
        (newest < number && number - newest < HALF)
            || (newest > number && newest - number > HALF)
            || now > at + 128 * SECOND
    }
}

impl Session {
    /// Whether this observation is known.
    pub(crate) fn observes(&self, token: Token) -> bool {
        self.state.observations.contains_key(&token)
    }

    /// Forgets it; a notification that comes later is rejected, by which the peer learns of it. Gives the request that ends it (RFC 7641 §3.6).
    pub(crate) fn unobserve(&mut self, token: Token) -> Option<Request> {
        let observation = self.state.observations.remove(&token)?;
        Some(Request { observe: Some(1), ..observation.request })
    }

    /// A peer has a new address.
    pub(crate) fn moved(&mut self, from: &str, to: &str) {
        for observation in self.state.observations.values_mut().filter(|observation| observation.peer == from) {
            to.clone_into(&mut observation.peer);
        }
        self.state.sent.values_mut().filter(|sent| sent.peer == from).for_each(|sent| to.clone_into(&mut sent.peer));
    }

    pub(super) fn handle_notification(
        &mut self,
        now: Timestamp,
        peer: &str,
        token: Token,
        message: Message,
    ) -> Option<Event> {
        if message.kind == Kind::Acknowledgement {
            return None;
        }
        // The acknowledgement of what is repeated may have been lost; a notification that still waits gets its own.
        if !self.is_first(now, peer, message.kind, message.id) {
            return None;
        }
        if self.state.observations.get(&token).is_none_or(|observation| observation.peer != peer) {
            self.reject(peer, &message);
            return None;
        }
        let observation = self.state.observations.get_mut(&token)?;
        let number = message.number(option::OBSERVE);
        let is_news = number.is_none_or(|number| observation.is_news(number, now));
        if let Some(number) = number.filter(|_| is_news) {
            observation.newest = (number, now);
        }
        let (owner, path) = (observation.owner, observation.request.path.clone());
        // Without the option, or with an error, it is the last (RFC 7641 §3.2).
        let is_last = number.is_none() || !code::is_success(message.code);
        if is_last {
            self.state.observations.remove(&token);
        }
        let id = (message.kind == Kind::Confirmable).then_some(message.id);
        if !is_news {
            id.into_iter().for_each(|id| self.acknowledge(peer, id));
            return None;
        }
        let answer = Answer {
            code: message.code,
            format: message.format(),
            location: Vec::new(),
            observe: number.filter(|_| !is_last),
            max_age: None,
            body: message.payload.clone(),
        };
        if message
            .block(option::BLOCK2)
            .is_some_and(|block| block.is_ok_and(|block| block.is_more && block.number == 0))
        {
            self.fetch_rest(now, token, peer, answer, &message);
            return None;
        }
        Some(Event::Notified { token, owner, path, answer, id, peer: peer.to_owned() })
    }

    /// The notification is not taken now: as if it had not arrived, so that its repetition is looked at.
    pub(crate) fn overlook(&mut self, token: Token, peer: &str, id: u16) {
        self.state.received.retain(|known| known.id != id || known.peer != peer);
        if let Some(observation) = self.state.observations.get_mut(&token) {
            observation.newest.0 = observation.newest.0.wrapping_sub(1) & 0xff_ffff;
        }
    }

    /// What the notification said is kept now.
    pub(crate) fn acknowledge(&mut self, peer: &str, id: u16) {
        let bytes = Message::empty(Kind::Acknowledgement, id).write();
        self.remember_reply(peer, id, &bytes);
        self.datagrams.push((peer.to_owned(), bytes));
    }
}
