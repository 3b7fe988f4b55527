//! Two sessions that talk to each other over a wire that loses, doubles and forges.

use super::*;
use crate::codec::message::option;

const TIMING: Timing = Timing { acknowledge_ms: 2000, repetitions: 4 };
const START: Timestamp = 1_700_000_000 * SECOND;

/// Two ends; what one sends the other gets, unless it is lost.
struct Pair {
    now: Timestamp,
    ends: [Session; 2],
    events: [Vec<Event>; 2],
    /// Datagrams that get lost before one arrives.
    losses: usize,
    /// Everything that was sent, by whom.
    wire: Vec<(usize, Vec<u8>)>,
}

const NAMES: [&str; 2] = ["a", "b"];

impl Pair {
    fn new() -> Self {
        let ends = [Session::new(1, TIMING), Session::new(2, TIMING)];
        Self { now: START, ends, events: [Vec::new(), Vec::new()], losses: 0, wire: Vec::new() }
    }

    fn flow(&mut self) {
        loop {
            let mut any = false;
            for from in [0, 1] {
                for (_, bytes) in self.ends[from].take_datagrams() {
                    any = true;
                    self.wire.push((from, bytes.clone()));
                    if self.losses > 0 {
                        self.losses -= 1;
                        continue;
                    }
                    let event = self.ends[1 - from].handle_datagram(self.now, NAMES[from], None, &bytes);
                    self.events[1 - from].extend(event);
                }
            }
            if !any {
                return;
            }
        }
    }

    fn advance(&mut self, seconds: i64) {
        let until = self.now + seconds * SECOND;
        while let Some(due) = self.ends.iter().filter_map(Session::due).min().filter(|due| *due <= until) {
            self.now = due.max(self.now);
            for end in [0, 1] {
                let events = self.ends[end].handle_time(self.now);
                self.events[end].extend(events);
            }
            self.flow();
        }
        self.now = until;
    }

    fn ask(&mut self, request: Request) -> Token {
        let token = self.ends[0].request(self.now, "b", 7, request, None).unwrap();
        self.flow();
        token
    }

    /// The request that the other end got last.
    fn asked(&mut self) -> Incoming {
        let Some(Event::Asked(incoming)) = self.events[1].pop() else { panic!("nobody asked") };
        incoming
    }

    fn reply(&mut self, incoming: &Incoming, answer: Answer) {
        self.ends[1].answer(self.now, incoming, answer);
        self.flow();
    }

    fn outcome(&mut self) -> Result<Answer, Lost> {
        let Some(Event::Answer { owner: 7, outcome, .. }) = self.events[0].pop() else { panic!("no answer") };
        outcome
    }
}

fn get(path: &str) -> Request {
    Request { code: code::GET, path: vec![path.into()], ..Request::default() }
}

fn content(body: &[u8]) -> Answer {
    Answer { code: code::CONTENT, format: Some(0), body: body.to_vec(), ..Answer::default() }
}

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 7) as u8).collect()
}

#[test]
fn a_request_gets_its_answer_in_the_acknowledgement() {
    let mut pair = Pair::new();
    pair.ask(Request { query: vec!["a=b".into()], accept: Some(110), ..get("x") });
    let incoming = pair.asked();
    assert_eq!((incoming.path.as_slice(), incoming.query.as_slice()), (&["x".to_owned()][..], &["a=b".to_owned()][..]));
    pair.reply(&incoming, content(b"1"));
    assert_eq!(pair.outcome(), Ok(content(b"1")));
    assert_eq!(pair.wire.len(), 2);
    assert_eq!(pair.ends[0].due(), None);
}

#[test]
fn what_gets_lost_is_repeated_and_carried_out_once() {
    let mut pair = Pair::new();
    pair.losses = 2;
    pair.ask(get("x"));
    assert!(pair.events[1].is_empty());
    pair.advance(10);
    let incoming = pair.asked();
    // Now the answer gets lost: the repeated request is answered as before and not told again.
    pair.losses = 1;
    pair.reply(&incoming, content(b"1"));
    assert!(pair.events[0].is_empty());
    pair.advance(30);
    assert_eq!(pair.outcome(), Ok(content(b"1")));
    assert!(pair.events[1].is_empty());
}

#[test]
fn a_peer_that_says_nothing_is_given_up_after_four_repetitions() {
    let mut pair = Pair::new();
    pair.losses = usize::MAX;
    pair.ask(get("x"));
    pair.advance(93);
    assert_eq!(pair.outcome(), Err(Lost::Silence));
    assert_eq!(pair.wire.len(), 5);
}

#[test]
fn an_answer_that_takes_a_while_comes_by_itself_and_is_acknowledged() {
    let mut pair = Pair::new();
    pair.ask(get("x"));
    let mut incoming = pair.asked();
    pair.ends[1].defer(&mut incoming);
    pair.flow();
    pair.advance(20);
    pair.losses = 1;
    pair.reply(&incoming, content(b"late"));
    pair.advance(5);
    assert_eq!(pair.outcome(), Ok(content(b"late")));
    assert_eq!((pair.ends[0].due(), pair.ends[1].due()), (None, None));
}

#[test]
fn an_acknowledged_request_without_an_answer_ends() {
    let mut pair = Pair::new();
    pair.ask(get("x"));
    let mut incoming = pair.asked();
    pair.ends[1].defer(&mut incoming);
    pair.flow();
    pair.advance(61);
    assert_eq!(pair.outcome(), Err(Lost::Silence));
}

#[test]
fn long_bodies_go_in_blocks_both_ways() {
    let mut pair = Pair::new();
    for length in [1024, 1025, 2048, 10_000, BODY_BYTES_MAX] {
        pair.ask(Request { code: code::PUT, body: body(length), ..get("x") });
        let incoming = pair.asked();
        assert_eq!(incoming.body, body(length));
        pair.reply(&incoming, Answer::new(code::CHANGED));
        assert_eq!(pair.outcome(), Ok(Answer::new(code::CHANGED)));
        pair.ask(get("y"));
        // Each block of the answer is asked for; whoever answers says the whole each time.
        while let Some(Event::Asked(incoming)) = pair.events[1].pop() {
            pair.reply(&incoming, content(&body(length)));
        }
        assert_eq!(pair.outcome(), Ok(content(&body(length))));
    }
    assert!(
        pair.ends[0].request(pair.now, "b", 7, Request { body: body(BODY_BYTES_MAX + 1), ..get("x") }, None).is_none()
    );
}

#[test]
fn a_body_that_changes_between_blocks_is_no_body() {
    let mut pair = Pair::new();
    pair.ask(get("y"));
    let incoming = pair.asked();
    pair.reply(&incoming, content(&body(3000)));
    let incoming = pair.asked();
    pair.reply(&incoming, content(&body(3001)));
    assert_eq!(pair.outcome(), Err(Lost::Blocks));
}

/// A peer that is written by hand.
fn raw(session: &mut Session, message: &Message) -> (Option<Event>, Vec<Message>) {
    let event = session.handle_datagram(START, "b", None, &message.write());
    let sent = session.take_datagrams().into_iter().map(|(_, bytes)| Message::read(&bytes).unwrap());
    (event, sent.collect())
}

fn answer_to(asked: &Message, code: u8) -> Message {
    Message::new(Kind::Acknowledgement, code, asked.id, asked.token.clone())
}

fn asked_by(session: &mut Session, request: Request) -> Message {
    session.request(START, "b", 7, request, None).unwrap();
    Message::read(&session.take_datagrams()[0].1).unwrap()
}

#[test]
fn blocks_that_go_in_circles_end_the_exchange() {
    use crate::codec::message::Block;
    let mut session = Session::new(1, TIMING);
    let mut asked = asked_by(&mut session, get("x"));
    for number in [0, 1, 1] {
        let mut answer = answer_to(&asked, code::CONTENT);
        answer.push_block(option::BLOCK2, Block { number, is_more: true, exponent: 0 });
        answer.payload = vec![0; 16];
        let (event, sent) = raw(&mut session, &answer);
        if let Some(event) = event {
            assert!(matches!(event, Event::Answer { outcome: Err(Lost::Blocks), .. }));
            return;
        }
        asked = sent[0].clone();
    }
    panic!("it goes on");
}

#[test]
fn an_answer_without_end_is_cut_off() {
    use crate::codec::message::Block;
    let mut session = Session::new(1, TIMING);
    let mut asked = asked_by(&mut session, get("x"));
    for number in 0..100 {
        let mut answer = answer_to(&asked, code::CONTENT);
        answer.push_block(option::BLOCK2, Block { number, is_more: true, exponent: 6 });
        answer.payload = vec![0; 1024];
        let (event, sent) = raw(&mut session, &answer);
        if let Some(event) = event {
            assert!(matches!(event, Event::Answer { outcome: Err(Lost::TooLarge), .. }));
            assert_eq!(number, 64);
            return;
        }
        asked = sent[0].clone();
    }
    panic!("it goes on");
}

#[test]
fn a_peer_that_wants_smaller_blocks_gets_them() {
    use crate::codec::message::Block;
    let mut session = Session::new(1, TIMING);
    let asked = asked_by(&mut session, Request { code: code::PUT, body: body(1100), ..get("x") });
    let mut refusal = answer_to(&asked, code::TOO_LARGE);
    refusal.push_block(option::BLOCK1, Block { number: 0, is_more: true, exponent: 4 });
    let (_, sent) = raw(&mut session, &refusal);
    let block = sent[0].block(option::BLOCK1).unwrap().unwrap();
    assert_eq!((block.number, block.size(), sent[0].payload.len()), (0, 256, 256));
    // And smaller again in the middle.
    let mut go_on = answer_to(&sent[0], code::CONTINUE);
    go_on.push_block(option::BLOCK1, Block { number: 0, is_more: true, exponent: 2 });
    let (_, sent) = raw(&mut session, &go_on);
    let block = sent[0].block(option::BLOCK1).unwrap().unwrap();
    assert_eq!((block.number, block.size(), sent[0].payload.as_slice()), (4, 64, &body(1100)[256..320]));
}

#[test]
fn uploads_out_of_order_or_without_end_are_refused() {
    use crate::codec::message::Block;
    let mut session = Session::new(1, TIMING);
    let mut id = 0;
    let mut put = |session: &mut Session, number, payload: usize| {
        id += 1;
        let mut message = Message::new(Kind::Confirmable, code::PUT, id, vec![1]);
        message.push_block(option::BLOCK1, Block { number, is_more: true, exponent: 6 });
        message.payload = vec![0; payload];
        raw(session, &message).1[0].code
    };
    assert_eq!(put(&mut session, 1, 1024), code::INCOMPLETE);
    assert_eq!(put(&mut session, 0, 1024), code::CONTINUE);
    assert_eq!(put(&mut session, 2, 1024), code::INCOMPLETE);
    assert_eq!(put(&mut session, 0, 10), code::INCOMPLETE);
    for number in 0..64 {
        assert_eq!(put(&mut session, number, 1024), code::CONTINUE);
    }
    assert_eq!(put(&mut session, 64, 1024), code::TOO_LARGE);
}

#[test]
fn what_is_not_understood_is_refused_by_its_name() {
    let mut session = Session::new(1, TIMING);
    let mut message = Message::new(Kind::Confirmable, code::GET, 1, vec![1]);
    message.push(9, *b"oscore");
    assert_eq!(raw(&mut session, &message).1[0].code, code::BAD_OPTION);
    let mut message = Message::new(Kind::Confirmable, code::GET, 2, vec![1]);
    message.push(option::PROXY_URI, *b"coap://elsewhere");
    assert_eq!(raw(&mut session, &message).1[0].code, code::NO_PROXY);
    // A ping, and an answer that nobody waits for.
    assert_eq!(raw(&mut session, &Message::empty(Kind::Confirmable, 3)).1, [Message::empty(Kind::Reset, 3)]);
    let stray = Message::new(Kind::Confirmable, code::CONTENT, 4, vec![0; 8]);
    assert_eq!(raw(&mut session, &stray).1, [Message::empty(Kind::Reset, 4)]);
    let stray = Message::new(Kind::NonConfirmable, code::CONTENT, 5, vec![0; 8]);
    assert!(raw(&mut session, &stray).1.is_empty());
}

/// The first end observes the second.
fn observing() -> (Pair, Token, Incoming) {
    let mut pair = Pair::new();
    let token = pair.ask(Request { observe: Some(0), ..get("x") });
    let incoming = pair.asked();
    pair.reply(&incoming, Answer { observe: Some(5), ..content(b"1") });
    assert_eq!(pair.outcome().unwrap().observe, Some(5));
    assert!(pair.ends[0].observes(token));
    (pair, token, incoming)
}

#[test]
fn notifications_come_in_order_and_are_acknowledged_when_their_reader_says_so() {
    let (mut pair, token, incoming) = observing();
    let tell = |pair: &mut Pair, number, body: &[u8]| {
        let now = pair.now;
        pair.ends[1].notify(now, 9, "a", &incoming.token, Answer { observe: Some(number), ..content(body) });
        pair.flow();
        pair.events[0].pop()
    };
    let Some(Event::Notified { token: of, id: Some(id), peer, answer, .. }) = tell(&mut pair, 6, b"2") else {
        panic!("no notification")
    };
    assert_eq!((of, answer.body.as_slice(), peer.as_str()), (token, &b"2"[..], "b"));
    // Not acknowledged: it is repeated, and not told again.
    pair.advance(5);
    assert!(pair.events[0].is_empty() && pair.events[1].is_empty());
    pair.ends[0].acknowledge(&peer, id);
    pair.flow();
    assert_eq!(pair.events[1], [Event::Delivered { observer: 9, is_wanted: true }]);
    // An older one is acknowledged and not told; after 128 seconds nothing is old.
    assert_eq!(tell(&mut pair, 4, b"old"), None);
    assert_eq!(pair.events[1].len(), 2);
    pair.advance(130);
    assert!(tell(&mut pair, 4, b"new").is_some());
}

#[test]
fn a_notification_in_blocks_is_fetched_before_it_is_told() {
    let (mut pair, _, incoming) = observing();
    let now = pair.now;
    pair.ends[1].notify(now, 9, "a", &incoming.token, Answer { observe: Some(6), ..content(&body(2500)) });
    pair.flow();
    while let Some(Event::Asked(incoming)) = pair.events[1].pop() {
        assert_eq!(incoming.observe, None);
        pair.reply(&incoming, content(&body(2500)));
    }
    let Some(Event::Notified { answer, id, .. }) = pair.events[0].pop() else { panic!("no notification") };
    assert_eq!((answer.body, id.is_some()), (body(2500), true));
}

#[test]
fn forged_notifications_are_rejected() {
    let (mut pair, token, incoming) = observing();
    let now = pair.now;
    let mut forged = Message::new(Kind::Confirmable, code::CONTENT, 77, incoming.token.clone());
    forged.push_number(option::OBSERVE, 8);
    assert_eq!(pair.ends[0].handle_datagram(now, "mallory", None, &forged.write()), None);
    assert_eq!(pair.ends[0].take_datagrams(), [("mallory".to_owned(), Message::empty(Kind::Reset, 77).write())]);
    forged.token = (token ^ 1).to_be_bytes().to_vec();
    assert_eq!(pair.ends[0].handle_datagram(now, "b", None, &forged.write()), None);
    assert_eq!(pair.ends[0].take_datagrams(), [("b".to_owned(), Message::empty(Kind::Reset, 77).write())]);
}

#[test]
fn an_observation_goes_on_in_the_next_version_and_at_the_next_address() {
    let (mut pair, token, incoming) = observing();
    let state = serde_json::to_vec(pair.ends[0].state()).unwrap();
    pair.ends[0] = Session::resume(serde_json::from_slice(&state).unwrap(), TIMING);
    pair.ends[0].moved("b", "c");
    let mut message = Message::new(Kind::NonConfirmable, code::CONTENT, 1, incoming.token.clone());
    message.push_number(option::OBSERVE, 6);
    let event = pair.ends[0].handle_datagram(pair.now, "c", None, &message.write());
    assert!(matches!(event, Some(Event::Notified { id: None, .. })));
    pair.ends[0].unobserve(token);
    message.id = 2;
    assert_eq!(pair.ends[0].handle_datagram(pair.now, "c", None, &message.write()), None);
    assert_eq!(pair.ends[0].take_datagrams()[0].1, Message::empty(Kind::Reset, 2).write());
}

#[test]
fn a_reset_ends_a_request_and_an_observer() {
    let mut session = Session::new(1, TIMING);
    let asked = asked_by(&mut session, get("x"));
    let (event, _) = raw(&mut session, &Message::empty(Kind::Reset, asked.id));
    assert!(matches!(event, Some(Event::Answer { outcome: Err(Lost::Reset), .. })));
    session.notify(START, 3, "b", &[1], content(b"1"));
    let told = Message::read(&session.take_datagrams()[0].1).unwrap();
    // Not from somebody else.
    assert_eq!(session.handle_datagram(START, "c", None, &Message::empty(Kind::Reset, told.id).write()), None);
    let (event, _) = raw(&mut session, &Message::empty(Kind::Reset, told.id));
    assert_eq!(event, Some(Event::Delivered { observer: 3, is_wanted: false }));
}
