//! Messages of ours that wait (RFC 7252 §4.2): repeated with doubling intervals until they are acknowledged, then given up.
//! Owns the table of what is under way and its two indexes.

use tombolo_sdk::Timestamp;

use super::{Event, Lost, SENT_MAX, Sent, Session, Token, What};

impl Session {
    /// Whether one more message may be under way.
    pub(super) fn has_room(&self) -> bool {
        self.state.sent.len() < SENT_MAX
    }

    /// Sends a message for the first time and waits for its acknowledgement.
    pub(super) fn send(&mut self, now: Timestamp, token: Token, peer: &str, id: u16, bytes: Vec<u8>, what: What) {
        self.datagrams.push((peer.to_owned(), bytes.clone()));
        let due = now + self.interval(0);
        self.insert(token, Sent { peer: peer.to_owned(), id, bytes, attempt: 0, is_acknowledged: false, due, what });
    }

    pub(super) fn insert(&mut self, token: Token, sent: Sent) {
        self.ids.insert(sent.id, token);
        self.dues.insert((sent.due, token));
        self.state.sent.insert(token, sent);
    }

    pub(super) fn remove(&mut self, token: Token) -> Option<Sent> {
        let sent = self.state.sent.remove(&token)?;
        self.ids.remove(&sent.id);
        self.dues.remove(&(sent.due, token));
        Some(sent)
    }

    /// What was sent under this id, if it was sent to this peer.
    pub(super) fn sent_as(&self, peer: &str, id: u16) -> Option<Token> {
        let token = *self.ids.get(&id)?;
        self.state.sent.get(&token).filter(|sent| sent.peer == peer).map(|_| token)
    }

    /// It need not be repeated any more; a request goes on waiting for its answer.
    pub(super) fn acknowledged(&mut self, token: Token, due: Timestamp) {
        if let Some(mut sent) = self.remove(token) {
            sent.is_acknowledged = true;
            sent.due = due;
            self.insert(token, sent);
        }
    }

    /// ACK_TIMEOUT times a random factor up to 1.5, doubled with each repetition.
    fn interval(&mut self, attempt: u8) -> Timestamp {
        let base = Timestamp::from(self.timing.acknowledge_ms) * 1000;
        let random = (self.chance("interval") % 512) as Timestamp;
        (base + base * random / 1024) << attempt.min(10)
    }

    /// Repeats what is due, gives up what was repeated often enough.
    pub(crate) fn handle_time(&mut self, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some((_, token)) = self.dues.first().copied().filter(|(due, _)| *due <= now) {
            let Some(mut sent) = self.remove(token) else { continue };
            if sent.is_acknowledged || sent.attempt >= self.timing.repetitions {
                events.extend(self.given_up(token, sent));
                continue;
            }
            // Each interval is twice the last, counted from when it was due, and never in the past.
            sent.attempt += 1;
            sent.due = now + self.interval(sent.attempt);
            self.datagrams.push((sent.peer.clone(), sent.bytes.clone()));
            self.insert(token, sent);
        }
        events
    }

    fn given_up(&mut self, token: Token, sent: Sent) -> Option<Event> {
        match sent.what {
            What::Request(exchange) => self.end(token, *exchange, Err(Lost::Silence)),
            What::Separate => None,
            What::Notification { observer } => Some(Event::Delivered { observer, is_wanted: false }),
        }
    }
}
