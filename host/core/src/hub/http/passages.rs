//! Requests of HTTP clients of the island, asked over XMPP: `[[http]]` with `listen`, a [`Door`].
//!
//! Whoever knocks has been admitted ([`Door::admit`]) before its body was read. Order: the door is still there, there is room, the path, the
//! method, the headers; then somebody is asked: a domain at its own address, anybody else where its presence says that it is, one
//! resource after the other until one answers such requests. The presence is asked for as soon as the door is configured.
//! Each knock is answered exactly once: by the answer, whole; by a status that stands for a refusal; or with 504.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use jid::{BareJid, Jid};

use super::super::addresses::Peer;
use super::super::asks::{Answered, Purpose};
use super::super::timers::Timer;
use super::super::{Contact, Hub, Output};
use super::{Http, No, headers, outflow};
use crate::model::bridge::{Header, HttpAnswer, HttpCall};
use crate::model::{Timestamp, limits};
use crate::policy::Door;
use crate::wire::StanzaFault;
use crate::wire::http::{Body, METHODS, Request, Response};
use crate::wire::stanza::{Availability, Condition};

/// A knock that was not answered yet.
#[derive(Debug)]
pub(super) struct Passage {
    door: SocketAddr,
    /// As it is asked: its target is the resource.
    call: HttpCall,
    /// Who is asked at the moment, and who was before and does not answer such requests.
    asked: Option<Jid>,
    tried: BTreeSet<Jid>,
    /// The answer, of which only the body is missing.
    answer: Option<HttpAnswer>,
    deadline: Timestamp,
}

/// An answer of our own, and why.
struct Refused(u16, Vec<Header>, String);

impl Refused {
    fn new(status: u16, why: impl Into<String>) -> Self {
        Self(status, Vec::new(), why.into())
    }

    fn busy(why: &str) -> Self {
        Self(503, vec![("Retry-After".to_owned(), b"5".to_vec())], why.to_owned())
    }
}

impl Http {
    /// Whether a peer was asked something by way of a door, so that parts of an answer may come.
    pub(super) fn awaits(&self, peer: &Peer) -> bool {
        self.passages.values().any(|passage| passage.asked.as_ref() == Some(&peer.jid))
    }

    /// Whether a door leads to somebody.
    pub(in super::super) fn leads_to(&self, jid: &BareJid) -> bool {
        self.doors.values().any(|door| door.to() == jid)
    }
}

impl Hub {
    /// Other `[[http]]` sections with `listen` are in force. What came through a door that is gone is given up.
    pub fn doors_changed(&mut self, doors: Vec<Door>, now: Timestamp) {
        self.now = now;
        let before = std::mem::take(&mut self.http.doors);
        self.http.doors = doors.into_iter().map(|door| (door.listen(), door)).collect();
        let is_same = |passage: &Passage| {
            self.http.doors.get(&passage.door).map(Door::to) == before.get(&passage.door).map(Door::to)
        };
        let passages = self.http.passages.iter().filter(|(_, passage)| !is_same(passage));
        let lost: Vec<u64> = passages.map(|(id, _)| *id).collect();
        for id in lost {
            self.passage_ends(id, Refused::new(503, "The operator changed where this leads."));
        }
        if self.me().is_some() {
            self.look_behind_doors();
        }
    }

    /// Somebody asks through a door; answered once by [`Output::HttpReply`] of this id, which no other knock has.
    pub fn handle_knock(&mut self, id: u64, door: SocketAddr, call: HttpCall, now: Timestamp) {
        self.now = now;
        match self.passage(door, call, now) {
            Ok(passage) => {
                self.timers.set(passage.deadline, Timer::HttpPassage(id));
                self.http.passages.insert(id, passage);
                self.passage_asks(id, None, now);
            }
            Err(refused) => self.refuse_knock(id, refused),
        }
    }

    /// Whoever knocked does not wait any more.
    pub fn handle_knock_gone(&mut self, id: u64, now: Timestamp) {
        self.now = now;
        self.take_passage(id);
    }

    /// It took too long.
    pub(in super::super) fn passage_overdue(&mut self, id: u64) {
        self.passage_ends(id, Refused::new(504, "There was no whole answer in time."));
    }

    /// Asks to see the presence of those to whom doors lead, where we do not see it.
    pub(in super::super) fn look_behind_doors(&mut self) {
        let own = self.me().map(|me| me.to_bare());
        let jids: BTreeSet<BareJid> = self.http.doors.values().map(|door| door.to().clone()).collect();
        for jid in jids.into_iter().filter(|jid| jid.node().is_some() && own.as_ref() != Some(jid)) {
            let contact = Contact { jid, at: self.config.component.clone() };
            if !self.friends.sees(&contact) {
                self.send_presence(Availability::Subscribe, &contact, []);
            }
        }
    }

    fn passage(&self, listen: SocketAddr, call: HttpCall, now: Timestamp) -> Result<Passage, Refused> {
        let door = self.http.doors.get(&listen).ok_or_else(|| Refused::busy("This is not served any more."))?;
        let same = self.http.passages.values().filter(|passage| passage.door == listen).count();
        if same >= limits::HTTP_PASSAGES_PER_DOOR_MAX || self.http.passages.len() >= limits::HTTP_PASSAGES_MAX {
            return Err(Refused::busy("Too many requests at once."));
        }
        if call.target.len() > limits::HTTP_PATH_BYTES_MAX {
            return Err(Refused::new(414, ""));
        }
        let unclear = "The path has empty, \".\" or \"..\" parts, or encoded slashes, backslashes or percent signs.";
        let target = door.resource(&call.target).ok_or_else(|| Refused::new(400, unclear))?;
        if !METHODS.contains(&call.method.as_str()) {
            return Err(Refused::new(501, ""));
        }
        if !door.allows(&call.method) {
            return Err(Refused(405, vec![("Allow".to_owned(), door.allowed().into_bytes())], String::new()));
        }
        let mut headers = headers::for_target(&call.headers).map_err(|no| match no {
            No::Status(status, headers) => Refused(status, headers, String::new()),
            No::Fault(fault) => refused(door.to(), &fault),
        })?;
        headers.retain(|(name, _)| !door.keeps(name));
        headers.push(("Host".to_owned(), door.to().to_string().into_bytes()));
        let deadline = now.plus_ms(limits::HTTP_PASSAGE_MS);
        let call = HttpCall { target, headers, ..call };
        Ok(Passage { door: listen, call, asked: None, tried: BTreeSet::new(), answer: None, deadline })
    }

    /// Asks the next one who may answer; the refusal of the last one counts.
    fn passage_asks(&mut self, id: u64, last: Option<Refused>, now: Timestamp) {
        let Some(passage) = self.http.passages.get(&id) else { return };
        let Some(to) = self.http.doors.get(&passage.door).map(|door| door.to().clone()) else { return };
        let Some(next) = self.behind_door(&to).into_iter().find(|jid| !passage.tried.contains(jid)) else {
            let away = || Refused::new(502, format!("{to} is not online, or does not let us see that it is."));
            return self.passage_ends(id, last.unwrap_or_else(away));
        };
        let (number, place) = (self.number(), self.item());
        // COMPAT: slixmpp knows the long name only.
        let is_long = self.friends.is_slixmpp(&next);
        let Some(passage) = self.http.passages.get_mut(&id) else { return };
        passage.asked = Some(next.clone());
        let HttpCall { method, target, headers, body } = passage.call.clone();
        let stream = format!("tombolo-{number:x}-{place:x}");
        let is_short = body.len() <= limits::HTTP_INLINE_BYTES_MAX;
        let shown = if is_short { Body::Whole(body.clone()) } else { Body::Parts(stream.clone()) };
        let part_bytes_max = Some(limits::HTTP_PART_BYTES);
        let request = Request { is_long, method, resource: target, headers, part_bytes_max, body: shown };
        self.ask_peer(Some(&next), true, request.to_element(), Purpose::Knock(id), now);
        if !is_short && self.http.passages.contains_key(&id) {
            let peer = Peer { jid: next, at: self.config.component.clone().map(Jid::from) };
            self.begin_outflow(outflow::Purpose::Request(id, peer), stream, body, now);
        }
    }

    /// Where requests for somebody can go: ourselves and a domain at their own address, everybody else where presence says.
    fn behind_door(&self, to: &BareJid) -> Vec<Jid> {
        match self.me().filter(|me| me.to_bare() == *to) {
            Some(me) => vec![me],
            None if to.node().is_none() => vec![to.clone().into()],
            None => self.friends.resources(to).into_keys().collect(),
        }
    }

    /// What came of an ask.
    pub(in super::super) fn passage_answered(&mut self, id: u64, outcome: Answered, now: Timestamp) {
        let Some(asked) = self.http.passages.get(&id).and_then(|passage| passage.asked.clone()) else { return };
        // Whether it was taken or not: the rest is not wanted any more.
        self.forget_request(id);
        let response = match outcome {
            Ok(payload) => {
                payload.as_ref().map(Response::parse).unwrap_or(Err(StanzaFault::bad_request("It is empty.")))
            }
            Err(fault) => return self.passage_refused(id, asked, &fault, now),
        };
        match response {
            Err(fault) => {
                let why = fault.text.unwrap_or_else(|| fault.condition.as_str().to_owned());
                self.passage_ends(
                    id,
                    Refused::new(502, format!("The answer of {} cannot be used. {why}", asked.to_bare())),
                );
            }
            Ok(Response { status, headers, body, .. }) => {
                let answer = HttpAnswer { status, headers, body: Vec::new() };
                match body {
                    Body::Whole(body) => self.passage_done(id, HttpAnswer { body, ..answer }),
                    Body::Parts(stream) => self.passage_flows(id, answer, asked, stream, now),
                }
            }
        }
    }

    fn passage_flows(&mut self, id: u64, answer: HttpAnswer, asked: Jid, stream: String, now: Timestamp) {
        if let Some(passage) = self.http.passages.get_mut(&id) {
            passage.answer = Some(answer);
        }
        let from = Peer { jid: asked, at: self.config.component.clone().map(Jid::from) };
        if self.answer_flows(id, from, stream, now).is_err() {
            self.passage_ends(id, Refused::new(502, "Two answers come in the same stream."));
        }
    }

    fn passage_refused(&mut self, id: u64, asked: Jid, fault: &StanzaFault, now: Timestamp) {
        let refused = refused(&asked.to_bare(), fault);
        let is_elsewhere = matches!(
            fault.condition,
            Condition::ServiceUnavailable | Condition::FeatureNotImplemented | Condition::RecipientUnavailable
        );
        if !is_elsewhere {
            return self.passage_ends(id, refused);
        }
        if let Some(passage) = self.http.passages.get_mut(&id) {
            passage.tried.insert(asked);
            passage.asked = None;
        }
        self.passage_asks(id, Some(refused), now);
    }

    /// All parts of the answer's body came.
    pub(super) fn passage_body(&mut self, id: u64, body: Vec<u8>) {
        let answer = self.http.passages.get_mut(&id).and_then(|passage| passage.answer.take());
        if let Some(answer) = answer {
            self.passage_done(id, HttpAnswer { body, ..answer });
        }
    }

    /// Or they do not come.
    pub(super) fn passage_broken(&mut self, id: u64, no: &No) {
        let refused = match no {
            No::Status(408, _) => Refused::new(504, "The answer did not go on."),
            No::Status(413, _) => Refused::new(502, "The answer is too long."),
            No::Status(..) | No::Fault(_) => Refused::new(502, "The answer was broken off."),
        };
        self.passage_ends(id, refused);
    }

    fn passage_done(&mut self, id: u64, answer: HttpAnswer) {
        let Some(passage) = self.take_passage(id) else { return };
        match headers::for_caller(answer, &passage.call.method) {
            Ok(answer) => self.outputs.push_back(Output::HttpReply { id, answer }),
            Err(failure) => self.refuse_knock(id, Refused::new(502, failure.message)),
        }
    }

    fn passage_ends(&mut self, id: u64, refused: Refused) {
        if self.take_passage(id).is_some() {
            self.refuse_knock(id, refused);
        }
    }

    /// Nothing of it goes on, on either side.
    fn take_passage(&mut self, id: u64) -> Option<Passage> {
        let passage = self.http.passages.remove(&id)?;
        self.timers.cancel(passage.deadline, Timer::HttpPassage(id));
        self.forget_request(id);
        self.forget_answer(id);
        Some(passage)
    }

    fn refuse_knock(&mut self, id: u64, Refused(status, mut headers, why): Refused) {
        headers.push(("Content-Type".to_owned(), b"text/plain; charset=utf-8".to_vec()));
        let why = if why.is_empty() { headers::reason(status).to_owned() } else { why };
        let body = format!("{why}\n").into_bytes();
        self.outputs.push_back(Output::HttpReply { id, answer: HttpAnswer { status, headers, body } });
    }
}

/// What an error of XMPP is in terms of HTTP.
fn refused(by: &BareJid, fault: &StanzaFault) -> Refused {
    let status = match fault.condition {
        Condition::Forbidden
        | Condition::NotAllowed
        | Condition::NotAuthorized
        | Condition::RegistrationRequired
        | Condition::SubscriptionRequired => 403,
        Condition::ItemNotFound | Condition::Gone => 404,
        Condition::BadRequest | Condition::JidMalformed | Condition::NotAcceptable => 400,
        Condition::Conflict => 409,
        Condition::FeatureNotImplemented => 501,
        Condition::ResourceConstraint | Condition::PolicyViolation => 503,
        Condition::RemoteServerTimeout => 504,
        Condition::InternalServerError
        | Condition::RecipientUnavailable
        | Condition::Redirect
        | Condition::RemoteServerNotFound
        | Condition::ServiceUnavailable
        | Condition::UndefinedCondition
        | Condition::UnexpectedRequest => 502,
    };
    let text = fault.text.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
    Refused::new(status, format!("{by}: {}{text}", fault.condition.as_str()))
}
