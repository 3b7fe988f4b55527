//! Answers and notifications of ours. Owns which message carries them, and which part of a long body it holds: whoever wants the next part asks
//! again, and an entity tag tells whether the body is still the same (RFC 7959 §2.4).

use std::hash::{DefaultHasher, Hasher};

use tombolo_sdk::Timestamp;

use super::{Answer, Incoming, Session, What};
use crate::codec::message::{Block, Kind, Message, code, option};

impl Session {
    /// The answer takes a while: the request is acknowledged now (RFC 7252 §5.2.2).
    pub(crate) fn defer(&mut self, incoming: &mut Incoming) {
        if incoming.is_confirmable && !incoming.is_acknowledged {
            incoming.is_acknowledged = true;
            self.acknowledge(&incoming.peer, incoming.id);
        }
    }

    /// Answers a request.
    pub(crate) fn answer(&mut self, now: Timestamp, incoming: &Incoming, answer: Answer) {
        let is_piggybacked = incoming.is_confirmable && !incoming.is_acknowledged;
        let (kind, id) = match (incoming.is_confirmable, is_piggybacked) {
            (_, true) => (Kind::Acknowledgement, incoming.id),
            (true, false) => (Kind::Confirmable, self.next_id()),
            (false, _) => (Kind::NonConfirmable, self.next_id()),
        };
        let mut message = Message::new(kind, answer.code, id, incoming.token.clone());
        if let Some(block) = incoming.block1 {
            message.push_block(option::BLOCK1, Block { is_more: false, ..block });
        }
        fill(&mut message, answer, incoming.block2);
        let bytes = message.write();
        match kind {
            Kind::Confirmable if self.has_room() => {
                let key = self.chance("separate");
                self.send(now, key, &incoming.peer, id, bytes, What::Separate);
            }
            Kind::Confirmable | Kind::NonConfirmable | Kind::Acknowledgement | Kind::Reset => {
                self.remember_reply(&incoming.peer, incoming.id, &bytes);
                self.datagrams.push((incoming.peer.clone(), bytes));
            }
        }
    }

    /// Tells an observer; its end is an event. False: too much is under way.
    pub(crate) fn notify(&mut self, now: Timestamp, observer: u64, peer: &str, token: &[u8], answer: Answer) -> bool {
        if !self.has_room() {
            return false;
        }
        let id = self.next_id();
        let mut message = Message::new(Kind::Confirmable, answer.code, id, token.to_vec());
        fill(&mut message, answer, None);
        let key = self.chance("notification");
        self.send(now, key, peer, id, message.write(), What::Notification { observer });
        true
    }
}

/// Puts the wanted part of an answer into a message.
fn fill(message: &mut Message, answer: Answer, wanted: Option<Block>) {
    if let Some(number) = answer.observe {
        message.push_number(option::OBSERVE, number & 0xff_ffff);
    }
    message.push_texts(option::LOCATION_PATH, &answer.location);
    answer.max_age.into_iter().for_each(|seconds| message.push_number(option::MAX_AGE, seconds));
    let block = wanted.unwrap_or(Block { number: 0, is_more: false, exponent: Block::EXPONENT_MAX });
    let is_part = wanted.is_some_and(|block| block.number > 0) || answer.body.len() > block.size();
    if !is_part || !code::is_success(answer.code) {
        answer.format.into_iter().for_each(|format| message.push_number(option::CONTENT_FORMAT, format.into()));
        message.payload = answer.body;
        return;
    }
    let Some(rest) = answer.body.get(block.offset()..).filter(|rest| !rest.is_empty()) else {
        message.code = code::BAD_OPTION;
        return;
    };
    // The bytes alone: hashing a vector would hash its length too, which is no number of the same width everywhere.
    let mut hasher = DefaultHasher::new();
    hasher.write(&answer.body);
    message.push(option::ETAG, hasher.finish().to_be_bytes());
    answer.format.into_iter().for_each(|format| message.push_number(option::CONTENT_FORMAT, format.into()));
    message.push_block(option::BLOCK2, Block { is_more: rest.len() > block.size(), ..block });
    message.payload = rest.get(..block.size()).unwrap_or(rest).to_vec();
}
