//! Requests of others. Owns which messages came before (RFC 7252 §4.5) and which requests are refused before anybody looks at what they mean.

use serde::{Deserialize, Serialize};
use tombolo_sdk::Timestamp;

use super::{Address, Answer, Event, RECEIVED_MAX, RECEIVED_US, Session};
use crate::codec::message::{Block, Kind, Message, code, option};

/// A request with its whole body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Incoming {
    pub(crate) peer: Address,
    /// What the transport proved of the peer.
    pub(crate) identity: Option<String>,
    pub(super) is_confirmable: bool,
    pub(super) id: u16,
    pub(crate) token: Vec<u8>,
    pub(crate) code: u8,
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<String>,
    pub(crate) format: Option<u16>,
    pub(crate) accept: Option<u16>,
    pub(crate) observe: Option<u32>,
    pub(crate) body: Vec<u8>,
    /// The last block of a body that came in blocks; the answer names it.
    pub(super) block1: Option<Block>,
    /// The part of the answer that is wanted.
    pub(super) block2: Option<Block>,
    /// Whether the acknowledgement left before the answer.
    pub(super) is_acknowledged: bool,
}

/// A message that came, and what it was answered with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Received {
    pub(super) peer: Address,
    pub(super) id: u16,
    at: Timestamp,
    reply: Option<Vec<u8>>,
}

impl Session {
    pub(super) fn handle_request(
        &mut self,
        now: Timestamp,
        peer: &str,
        identity: Option<&str>,
        message: Message,
    ) -> Option<Event> {
        if !matches!(message.kind, Kind::Confirmable | Kind::NonConfirmable)
            || !self.is_first(now, peer, message.kind, message.id)
        {
            return None;
        }
        let mut incoming = Incoming {
            peer: peer.to_owned(),
            identity: identity.map(str::to_owned),
            is_confirmable: message.kind == Kind::Confirmable,
            id: message.id,
            token: message.token.clone(),
            code: message.code,
            path: message.texts(option::URI_PATH),
            query: message.texts(option::URI_QUERY),
            format: message.format(),
            accept: message.number(option::ACCEPT).and_then(|format| u16::try_from(format).ok()),
            observe: message.number(option::OBSERVE),
            body: Vec::new(),
            block1: None,
            block2: None,
            is_acknowledged: false,
        };
        match self.body_of(now, &mut incoming, message) {
            Ok(true) => Some(Event::Asked(incoming)),
            Ok(false) => None,
            Err(answer) => {
                let (code, why) = (answer.code, String::from_utf8_lossy(&answer.body).into_owned());
                self.answer(now, &incoming, answer);
                Some(Event::Refused { code, why })
            }
        }
    }

    /// Whether the body is whole; an error is the answer.
    fn body_of(&mut self, now: Timestamp, incoming: &mut Incoming, message: Message) -> Result<bool, Answer> {
        if message.option(option::PROXY_URI).or(message.option(option::PROXY_SCHEME)).is_some() {
            return Err(Answer::refused(code::NO_PROXY, "this is no proxy"));
        }
        if let Some(number) = message.unknown_critical() {
            return Err(Answer::refused(code::BAD_OPTION, &format!("option {number}")));
        }
        let bad_block = |code| Answer::refused(code, "block");
        incoming.block2 = message.block(option::BLOCK2).transpose().map_err(bad_block)?;
        match message.block(option::BLOCK1).transpose().map_err(bad_block)? {
            Some(block) => self.add_block(now, incoming, block, &message.payload),
            None => {
                incoming.body = message.payload;
                Ok(true)
            }
        }
    }

    /// Whether this message is new. One that came before and was answered is answered the same again.
    pub(super) fn is_first(&mut self, now: Timestamp, peer: &str, kind: Kind, id: u16) -> bool {
        while self
            .state
            .received
            .front()
            .is_some_and(|oldest| oldest.at + RECEIVED_US < now || self.state.received.len() >= RECEIVED_MAX)
        {
            self.state.received.pop_front();
        }
        // Repetitions come soon: they are near the end.
        if let Some(known) = self.state.received.iter().rev().find(|known| known.id == id && known.peer == peer) {
            let reply = known.reply.clone().filter(|_| kind == Kind::Confirmable);
            self.datagrams.extend(reply.map(|reply| (peer.to_owned(), reply)));
            return false;
        }
        self.state.received.push_back(Received { peer: peer.to_owned(), id, at: now, reply: None });
        true
    }

    /// What a repetition of this message is answered with.
    pub(super) fn remember_reply(&mut self, peer: &str, id: u16, bytes: &[u8]) {
        let known = self.state.received.iter_mut().rev().find(|known| known.id == id && known.peer == peer);
        if let Some(known) = known {
            known.reply = Some(bytes.to_vec());
        }
    }
}
