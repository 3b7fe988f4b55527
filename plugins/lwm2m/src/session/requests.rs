//! Requests of ours. Owns how one becomes messages, block by block, and what their answers mean for it (RFC 7252 §5, RFC 7959 §2).

use serde::{Deserialize, Serialize};
use tombolo_sdk::Timestamp;

use super::{
    ANSWER_US, Answer, BODY_BYTES_MAX, Event, Lost, Observation, PAYLOAD_BYTES_MAX, Request, Session, Token, What,
};
use crate::codec::message::{Block, Kind, Message, code, option};

/// A request under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Exchange {
    pub(super) owner: u64,
    pub(super) request: Request,
    /// The block of our body that is under way.
    sending: Block,
    /// The body of the answer so far, and the number and entity tag that its next block must have.
    answer: Answer,
    expects: u32,
    etag: Option<Vec<u8>>,
    /// It fetches the rest of a notification, which has this token and, where it waits for an acknowledgement, this id.
    rest_of: Option<(Token, Option<u16>)>,
    has_restarted: bool,
}

impl Exchange {
    fn new(owner: u64, request: Request) -> Self {
        let sending =
            Block { number: 0, is_more: request.body.len() > PAYLOAD_BYTES_MAX, exponent: Block::EXPONENT_MAX };
        Self {
            owner,
            request,
            sending,
            answer: Answer::default(),
            expects: 0,
            etag: None,
            rest_of: None,
            has_restarted: false,
        }
    }

    /// The message for the block of the request, or of the answer, that comes next.
    fn message(&self, token: Token, id: u16, wants: Option<Block>) -> Message {
        let request = &self.request;
        let mut message = Message::new(Kind::Confirmable, request.code, id, token.to_be_bytes().to_vec());
        // Only the first block of an answer can begin an observation (RFC 7959 §2.6).
        if let Some(observe) = request.observe.filter(|_| wants.is_none()) {
            message.push_number(option::OBSERVE, observe);
        }
        message.push_texts(option::URI_PATH, &request.path);
        message.push_texts(option::URI_QUERY, &request.query);
        for (number, format) in [(option::CONTENT_FORMAT, request.format), (option::ACCEPT, request.accept)] {
            format.into_iter().for_each(|format| message.push_number(number, format.into()));
        }
        if let Some(block) = wants {
            message.push_block(option::BLOCK2, block);
        }
        if request.body.len() > self.sending.size() || self.sending.number > 0 {
            message.push_block(option::BLOCK1, self.sending);
            if self.sending.number == 0 {
                message.push_number(option::SIZE1, request.body.len() as u32);
            }
        }
        // The body was said before an answer in blocks began, except by FETCH, which says it each time (RFC 8132 §2.3.2).
        if wants.is_none() || request.code == code::FETCH {
            let rest = request.body.get(self.sending.offset()..).unwrap_or_default();
            message.payload = rest.get(..self.sending.size()).unwrap_or(rest).to_vec();
        }
        message
    }

    /// Takes the block that follows `block`, which may be of another size from now on.
    fn advance(&mut self, acknowledged: Block) -> bool {
        let next = self.sending.offset() + self.sending.size();
        let exponent = acknowledged.exponent.min(self.sending.exponent);
        let size = 16 << exponent;
        if acknowledged.number != self.sending.number || next >= self.request.body.len() {
            return false;
        }
        self.sending = Block { number: (next / size) as u32, is_more: next + size < self.request.body.len(), exponent };
        true
    }
}

impl Session {
    /// Sends a request; `owner` comes back with its answer. With a token, that of an observation which is begun again or ended.
    pub(crate) fn request(
        &mut self,
        now: Timestamp,
        peer: &str,
        owner: u64,
        request: Request,
        token: Option<Token>,
    ) -> Option<Token> {
        if !self.has_room() || request.body.len() > BODY_BYTES_MAX {
            return None;
        }
        let token = token.unwrap_or_else(|| self.chance("token"));
        self.remove(token);
        let mut exchange = Exchange::new(owner, request);
        exchange.sending.is_more = exchange.request.body.len() > exchange.sending.size();
        self.dispatch(now, token, peer, exchange, None);
        Some(token)
    }

    /// Nobody waits for it any more.
    pub(crate) fn forget(&mut self, token: Token) {
        self.remove(token);
    }

    fn dispatch(&mut self, now: Timestamp, token: Token, peer: &str, exchange: Exchange, wants: Option<Block>) {
        let id = self.next_id();
        let bytes = exchange.message(token, id, wants).write();
        self.send(now, token, peer, id, bytes, What::Request(Box::new(exchange)));
    }

    /// An empty acknowledgement: the answer comes later.
    pub(super) fn handle_acknowledgement(&mut self, now: Timestamp, peer: &str, id: u16) -> Option<Event> {
        let token = self.sent_as(peer, id)?;
        let observer = match &self.state.sent.get(&token)?.what {
            What::Request(_) => {
                self.acknowledged(token, now + ANSWER_US);
                return None;
            }
            What::Separate => None,
            What::Notification { observer } => Some(*observer),
        };
        self.remove(token);
        observer.map(|observer| Event::Delivered { observer, is_wanted: true })
    }

    pub(super) fn handle_reset(&mut self, peer: &str, id: u16) -> Option<Event> {
        let token = self.sent_as(peer, id)?;
        match self.remove(token)?.what {
            What::Request(exchange) => self.end(token, *exchange, Err(Lost::Reset)),
            What::Separate => None,
            What::Notification { observer } => Some(Event::Delivered { observer, is_wanted: false }),
        }
    }

    /// An answer or a notification, in an acknowledgement or alone. What belongs to nothing is rejected, which also ends an observation that
    /// the peer still has and we do not (RFC 7641 §3.2).
    pub(super) fn handle_answer(&mut self, now: Timestamp, peer: &str, message: Message) -> Option<Event> {
        let token = <[u8; 8]>::try_from(message.token.as_slice()).ok().map(u64::from_be_bytes);
        let exchange = token.and_then(|token| {
            let sent = self.state.sent.get(&token).filter(|sent| sent.peer == peer)?;
            let is_ours = message.kind != Kind::Acknowledgement || message.id == sent.id;
            matches!(sent.what, What::Request(_)).then_some(is_ours)
        });
        if message.kind == Kind::Reset || exchange == Some(false) {
            return None;
        }
        let (Some(token), true) = (token, message.unknown_critical().is_none()) else {
            self.reject(peer, &message);
            return None;
        };
        if exchange.is_none() {
            return self.handle_notification(now, peer, token, message);
        }
        if message.kind == Kind::Confirmable {
            self.is_first(now, peer, message.kind, message.id);
            self.acknowledge(peer, message.id);
        }
        let What::Request(exchange) = self.remove(token)?.what else { return None };
        self.go_on(now, token, peer, *exchange, message)
    }

    pub(super) fn reject(&mut self, peer: &str, message: &Message) {
        let is_told = match message.kind {
            Kind::Confirmable => true,
            Kind::NonConfirmable => message.option(option::OBSERVE).is_some(),
            Kind::Acknowledgement | Kind::Reset => false,
        };
        if is_told {
            self.transmit(peer, &Message::empty(Kind::Reset, message.id));
        }
    }

    /// What an answer means: more of our body, more of theirs, or the end.
    fn go_on(
        &mut self,
        now: Timestamp,
        token: Token,
        peer: &str,
        mut exchange: Exchange,
        message: Message,
    ) -> Option<Event> {
        let block1 = message.block(option::BLOCK1).and_then(Result::ok);
        match (message.code, block1) {
            (code::CONTINUE, Some(block)) if exchange.advance(block) => {
                self.dispatch(now, token, peer, exchange, None);
                return None;
            }
            (code::CONTINUE, _) => return self.end(token, exchange, Err(Lost::Blocks)),
            // Blocks of this size are too large, or some got lost: once more from the beginning.
            (code::TOO_LARGE, Some(block)) if block.exponent < exchange.sending.exponent && !exchange.has_restarted => {
                let is_more = exchange.request.body.len() > block.size();
                exchange.sending = Block { number: 0, is_more, exponent: block.exponent };
                exchange.has_restarted = true;
                self.dispatch(now, token, peer, exchange, None);
                return None;
            }
            _ => {}
        }
        self.collect(now, token, peer, exchange, message)
    }

    /// Adds a block of the answer, and asks for the next.
    fn collect(
        &mut self,
        now: Timestamp,
        token: Token,
        peer: &str,
        mut exchange: Exchange,
        message: Message,
    ) -> Option<Event> {
        let block = match message.block(option::BLOCK2) {
            Some(Err(_)) => return self.end(token, exchange, Err(Lost::Blocks)),
            Some(Ok(block)) => Some(block),
            None => None,
        };
        let etag = message.option(option::ETAG).map(<[u8]>::to_vec);
        let offset = exchange.answer.body.len();
        let fits = block.map_or(exchange.expects == 0, |block| {
            let is_whole = !block.is_more || message.payload.len() == block.size();
            block.offset() == offset && is_whole && (offset == 0 || etag == exchange.etag)
        });
        if !fits {
            return self.end(token, exchange, Err(Lost::Blocks));
        }
        if offset == 0 {
            exchange.answer = Answer {
                max_age: None,
                code: message.code,
                format: message.format(),
                location: message.texts(option::LOCATION_PATH),
                observe: message.number(option::OBSERVE),
                body: Vec::new(),
            };
            exchange.etag = etag;
        }
        exchange.answer.body.extend_from_slice(&message.payload);
        if exchange.answer.body.len() > BODY_BYTES_MAX {
            return self.end(token, exchange, Err(Lost::TooLarge));
        }
        match block.filter(|block| block.is_more) {
            Some(block) => {
                exchange.expects = block.number + 1;
                let wants = Block { number: block.number + 1, is_more: false, exponent: block.exponent };
                self.dispatch(now, token, peer, exchange, Some(wants));
                None
            }
            None => {
                let answer = std::mem::take(&mut exchange.answer);
                self.observe(now, token, peer, &exchange, &answer);
                self.end(token, exchange, Ok(answer))
            }
        }
    }

    /// An answer with the option begins the observation that was asked for.
    fn observe(&mut self, now: Timestamp, token: Token, peer: &str, exchange: &Exchange, answer: &Answer) {
        if exchange.request.observe != Some(0) {
            return;
        }
        match answer.observe.filter(|_| code::is_success(answer.code)) {
            Some(number) => {
                let observation = Observation::new(peer, exchange.owner, exchange.request.clone(), (number, now));
                self.state.observations.insert(token, observation);
            }
            None => {
                self.state.observations.remove(&token);
            }
        }
    }

    /// Fetches the rest of a notification whose first block came.
    pub(super) fn fetch_rest(&mut self, now: Timestamp, token: Token, peer: &str, answer: Answer, message: &Message) {
        let Some(observation) = self.state.observations.get(&token) else { return };
        let request = Request { observe: None, ..observation.request.clone() };
        let mut exchange = Exchange::new(observation.owner, request);
        exchange.rest_of = Some((token, (message.kind == Kind::Confirmable).then_some(message.id)));
        exchange.etag = message.option(option::ETAG).map(<[u8]>::to_vec);
        exchange.answer = answer;
        let Some(Ok(block)) = message.block(option::BLOCK2) else { return };
        let wants = Block { number: block.number + 1, is_more: false, exponent: block.exponent };
        exchange.expects = wants.number;
        let own = self.chance("token");
        if self.has_room() {
            self.dispatch(now, own, peer, exchange, Some(wants));
        }
    }

    pub(super) fn end(&mut self, token: Token, exchange: Exchange, outcome: Result<Answer, Lost>) -> Option<Event> {
        let Some((observed, id)) = exchange.rest_of else {
            return Some(Event::Answer { token, owner: exchange.owner, outcome });
        };
        let answer = outcome.ok()?;
        let observation = self.state.observations.get(&observed)?;
        Some(Event::Notified {
            token: observed,
            owner: observation.owner,
            path: observation.request.path.clone(),
            answer,
            id,
            peer: observation.peer.clone(),
        })
    }
}
