//! The exchange layer of CoAP: requests of ours and their answers, requests of others and ours to them, notifications both ways.
//!
//! Owns message ids, tokens, retransmission and de-duplication (RFC 7252 §4), blocks (RFC 7959) and the order of notifications (RFC 7641).
//! It knows peers by the opaque address that the host gives, and neither what a path means nor what a body holds. One session is one socket.
//!
//! **Driving contract: datagrams go into [`Session::handle_datagram`], time into [`Session::handle_time`] at [`Session::due`]; after every call
//! the datagrams of [`Session::take_datagrams`] leave. Each request ends in exactly one [`Event::Answer`], unless it is forgotten.**

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};
use tombolo_sdk::Timestamp;

use crate::codec::message::{Kind, Message, NoMessage, code};

mod answers;
mod blocks;
mod incoming;
mod observation;
mod requests;
mod retransmission;

use blocks::Upload;
pub(crate) use incoming::Incoming;
use incoming::Received;
use observation::Observation;
use requests::Exchange;

/// As the host gives it: compared and given back, never read.
pub(crate) type Address = String;

/// Names a request or an observation; its eight bytes are the token.
pub(crate) type Token = u64;

/// Bodies that are put together of blocks, in bytes, each way. The issue of a device that sends without end.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a body in one message (RFC 7252 §4.6).
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1024;
/// Messages whose repetition is recognised, over all peers.
const RECEIVED_MAX: usize = 4096;
/// EXCHANGE_LIFETIME (RFC 7252 §4.8.2).
const RECEIVED_US: Timestamp = 247 * SECOND;
/// Bodies that come in blocks at the same time.
const UPLOADS_MAX: usize = 32;
/// Messages of ours under way at the same time.
const SENT_MAX: usize = 8192;
/// How long an acknowledged request waits for its answer.
const ANSWER_US: Timestamp = 60 * SECOND;
pub(crate) const SECOND: Timestamp = 1_000_000;

/// The two parameters of retransmission that operators of slow networks change (RFC 7252 §4.8).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) acknowledge_ms: u32,
    pub(crate) repetitions: u8,
}

/// A request of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) code: u8,
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<String>,
    pub(crate) format: Option<u16>,
    pub(crate) accept: Option<u16>,
    /// 0: observe; 1: do not any longer.
    pub(crate) observe: Option<u32>,
    pub(crate) body: Vec<u8>,
}

/// An answer to a request, or a notification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) code: u8,
    pub(crate) format: Option<u16>,
    pub(crate) location: Vec<String>,
    /// Says that notifications will follow.
    pub(crate) observe: Option<u32>,
    /// For how long it counts, in seconds; of 5.03: when to ask again (RFC 7252 §5.9.3.4).
    #[serde(default)]
    pub(crate) max_age: Option<u32>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(code: u8) -> Self {
        Self { code, ..Self::default() }
    }

    /// Not now: ask again in so many seconds.
    pub(crate) fn busy(again_s: u32) -> Self {
        Self { code: code::UNAVAILABLE, max_age: Some(again_s), ..Self::default() }
    }

    /// An error with a sentence (RFC 7252 §5.5.2).
    pub(crate) fn refused(code: u8, why: &str) -> Self {
        Self { code, body: why.as_bytes().to_vec(), ..Self::default() }
    }
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Nothing came.
    Silence,
    /// The peer does not know what to do with the message.
    Reset,
    /// Blocks that do not fit together.
    Blocks,
    /// The answer is larger than is taken.
    TooLarge,
}

/// What the layer above has to know.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// Somebody asks; answer with [`Session::answer`].
    Asked(Incoming),
    /// A request was answered with an error before anybody looked at what it means.
    Refused { code: u8, why: String },
    /// The end of a request of ours.
    Answer { token: Token, owner: u64, outcome: Result<Answer, Lost> },
    /// A notification; one with an id waits for [`Session::acknowledge`].
    Notified { token: Token, owner: u64, path: Vec<String>, answer: Answer, id: Option<u16>, peer: Address },
    /// A notification of ours came to its end; false: the observer does not want any more.
    Delivered { observer: u64, is_wanted: bool },
}

/// Something of ours that waits for an acknowledgement or an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sent {
    peer: Address,
    id: u16,
    bytes: Vec<u8>,
    /// Repetitions so far.
    attempt: u8,
    is_acknowledged: bool,
    due: Timestamp,
    what: What,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum What {
    Request(Box<Exchange>),
    /// An answer that did not fit into the acknowledgement.
    Separate,
    Notification {
        observer: u64,
    },
}

/// What a newer build goes on with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    seed: u64,
    counter: u64,
    next_id: u16,
    sent: BTreeMap<Token, Sent>,
    observations: BTreeMap<Token, Observation>,
    received: VecDeque<Received>,
    uploads: Vec<Upload>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Session {
    state: State,
    timing: Timing,
    /// Of [`State::sent`], by message id and by time.
    ids: BTreeMap<u16, Token>,
    dues: BTreeSet<(Timestamp, Token)>,
    datagrams: Vec<(Address, Vec<u8>)>,
}

impl Session {
    /// A new one; `seed` makes tokens and message ids that nobody guesses.
    pub(crate) fn new(seed: u64, timing: Timing) -> Self {
        let mut session = Self::resume(State { seed, ..State::default() }, timing);
        session.state.next_id = session.chance("id") as u16;
        session
    }

    /// Goes on where another version stopped.
    pub(crate) fn resume(state: State, timing: Timing) -> Self {
        let ids = state.sent.iter().map(|(token, sent)| (sent.id, *token)).collect();
        let dues = state.sent.iter().map(|(token, sent)| (sent.due, *token)).collect();
        Self { state, timing, ids, dues, datagrams: Vec::new() }
    }

    /// Everything.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// What outlives a crash: observations, and chance that goes on where it was.
    pub(crate) fn checkpoint(&self) -> State {
        State {
            seed: self.state.seed,
            counter: self.state.counter + (1 << 20),
            next_id: self.state.next_id.wrapping_add(1 << 14),
            observations: self.state.observations.clone(),
            ..State::default()
        }
    }

    /// What has to leave, in order.
    pub(crate) fn take_datagrams(&mut self) -> Vec<(Address, Vec<u8>)> {
        std::mem::take(&mut self.datagrams)
    }

    /// When [`Session::handle_time`] is to be called.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.dues.first().map(|(due, _)| *due)
    }

    /// A datagram came. Gives at most one event.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Timestamp,
        peer: &str,
        identity: Option<&str>,
        bytes: &[u8],
    ) -> Option<Event> {
        let message = match Message::read(bytes) {
            Ok(message) => message,
            Err(NoMessage::Silent) => return None,
            Err(NoMessage::Reset(id)) => {
                self.transmit(peer, &Message::empty(Kind::Reset, id));
                return None;
            }
        };
        match message.code {
            code::EMPTY => self.handle_empty(now, peer, &message),
            code if code::is_request(code) => self.handle_request(now, peer, identity, message),
            _ => self.handle_answer(now, peer, message),
        }
    }

    /// A ping (RFC 7252 §4.3), an acknowledgement, a reset.
    fn handle_empty(&mut self, now: Timestamp, peer: &str, message: &Message) -> Option<Event> {
        match message.kind {
            Kind::Confirmable => {
                self.transmit(peer, &Message::empty(Kind::Reset, message.id));
                None
            }
            Kind::Acknowledgement => self.handle_acknowledgement(now, peer, message.id),
            Kind::Reset => self.handle_reset(peer, message.id),
            Kind::NonConfirmable => None,
        }
    }

    fn transmit(&mut self, peer: &str, message: &Message) {
        self.datagrams.push((peer.to_owned(), message.write()));
    }

    /// The same for the same counter, and not to be guessed without the seed.
    fn chance(&mut self, purpose: &str) -> u64 {
        self.state.counter += 1;
        let mut hasher = DefaultHasher::new();
        (self.state.seed, self.state.counter, purpose).hash(&mut hasher);
        hasher.finish()
    }

    /// A number that nobody guesses, for whoever needs one.
    pub(crate) fn secret(&mut self) -> u64 {
        self.chance("secret")
    }

    /// An id that no message under way has.
    fn next_id(&mut self) -> u16 {
        loop {
            let id = self.state.next_id;
            self.state.next_id = id.wrapping_add(1);
            // There are fewer messages under way than ids.
            if !self.ids.contains_key(&id) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests;
