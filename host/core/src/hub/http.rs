//! HTTP over XMPP (XEP-0332): endpoints of the island, served to XMPP clients; the other way, of HTTP clients of the island, is [`passages`].
//!
//! Order: the rules that name the caller are looked at ([`Ways`]); who has none is forbidden everything, whatever it asks for. Then the path:
//! one that leads nowhere for the caller is not found, whether it leads somewhere for others or not. Then the method, the headers, the body.
//! The app carries the request out with the permit of the rule; before its answer is passed on, the rules are asked again.
//!
//! What a client did wrong in terms of HTTP, or an endpoint, is told as an answer of HTTP; all else as an error of XMPP.

mod headers;
mod inflow;
mod outflow;
mod passages;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use jid::{BareJid, Jid};

use super::addresses::Peer;
use super::{Asker, Hub, Output};
use crate::model::bridge::{Header, HttpAnswer, HttpCall};
use crate::model::{Failure, ReasonCode, Timestamp, limits};
use crate::policy::{Door, HttpRule, Ways, path_of};
use crate::wire::StanzaFault;
use crate::wire::http::{Body, Part, Request, Response};

/// All that is under way.
#[derive(Debug, Default)]
pub(super) struct Http {
    pub(super) rules: Vec<HttpRule>,
    /// Carried out by the app.
    calls: BTreeMap<u64, Order>,
    /// By place.
    doors: BTreeMap<SocketAddr, Door>,
    /// By the number of the knock.
    passages: BTreeMap<u64, passages::Passage>,
    inflows: BTreeMap<u64, inflow::Inflow>,
    outflows: BTreeMap<u64, outflow::Outflow>,
}

impl Http {
    pub(super) fn new(rules: Vec<HttpRule>) -> Self {
        Self { rules, ..Self::default() }
    }

    /// What is under way for callers.
    fn callers(&self) -> impl Iterator<Item = &Jid> {
        let calls = self.calls.values().map(|order| &order.caller.jid);
        let inflows = self.inflows.values().filter(|inflow| inflow.is_theirs()).map(|inflow| &inflow.from.jid);
        let outflows = self.outflows.values().filter_map(|outflow| match &outflow.purpose {
            outflow::Purpose::Answer(order) => Some(&order.caller.jid),
            outflow::Purpose::Request(..) => None,
        });
        calls.chain(inflows).chain(outflows)
    }

    fn has_room_for(&self, who: &BareJid) -> bool {
        let own = self.callers().filter(|jid| jid.to_bare() == *who).count();
        self.callers().count() < limits::HTTP_CALLS_MAX && own < limits::HTTP_CALLS_PER_CALLER_MAX
    }

    /// Whether a section names somebody: then it must be able to find us.
    pub(super) fn names(&self, who: &BareJid) -> bool {
        !Ways::of(&self.rules, who).is_empty()
    }
}

/// A request, without its body.
#[derive(Clone, Debug)]
struct Order {
    asker: Asker,
    caller: Peer,
    is_long: bool,
    method: String,
    resource: String,
    headers: Vec<Header>,
    part_bytes: usize,
}

/// Why a request is not carried out.
enum No {
    /// In terms of XMPP.
    Fault(StanzaFault),
    /// In terms of HTTP: status, and headers of the answer.
    Status(u16, Vec<Header>),
}

impl From<u16> for No {
    fn from(status: u16) -> Self {
        Self::Status(status, Vec::new())
    }
}

impl Hub {
    /// Other `[[http]]` sections are in force. Who may not go on is cut off.
    pub fn http_changed(&mut self, rules: Vec<HttpRule>, now: Timestamp) {
        self.now = now;
        let before = self.caps();
        self.http.rules = rules;
        self.recheck_inflows();
        self.recheck_outflows();
        self.recheck_contacts();
        self.reconsider_waiting();
        self.say_if_changed(&before, now);
    }

    /// What became of an [`Output::Http`].
    pub fn handle_http_done(&mut self, id: u64, outcome: Result<HttpAnswer, Failure>, now: Timestamp) {
        self.now = now;
        let Some(order) = self.http.calls.remove(&id) else { return };
        if let Err(no) = self.http_way(&order) {
            return self.http_refuse(&order, no);
        }
        match outcome.and_then(|answer| headers::for_caller(answer, &order.method)) {
            Ok(answer) => self.http_answer(order, answer, now),
            Err(failure) => self.http_failed(&order, &failure),
        }
    }

    /// How much is under way.
    #[cfg(test)]
    pub(super) fn http_count(&self) -> usize {
        let Http { calls, inflows, outflows, passages, .. } = &self.http;
        calls.len() + inflows.len() + outflows.len() + passages.len()
    }

    /// Somebody asks.
    pub(super) fn http_request(&mut self, asker: Asker, caller: Peer, request: Request, now: Timestamp) {
        if self.http.rules.is_empty() || !caller.is_with_concentrator() {
            return self.refuse(&asker, &StanzaFault::service_unavailable());
        }
        let Request { is_long, method, resource, headers, part_bytes_max, body } = request;
        let part_bytes = part_bytes_max.unwrap_or(limits::HTTP_PART_BYTES);
        let order = Order { asker, caller, is_long, method, resource, headers, part_bytes };
        if let Err(no) = self.http_way(&order) {
            return self.http_refuse(&order, no);
        }
        match body {
            Body::Whole(bytes) if self.http.has_room_for(&order.caller.bare()) => self.http_begin(order, bytes),
            Body::Whole(_) => self.http_refuse(&order, busy()),
            Body::Parts(stream) => self.request_flows(order, stream, now),
        }
    }

    /// Part of a body, or the end of one.
    pub(super) fn http_part(&mut self, from: &Peer, part: Part, now: Timestamp) {
        match part {
            Part::Close(stream) => {
                self.inflow_closed(from, &stream);
                self.outflow_closed(from, &stream);
            }
            Part::Chunk { stream, number, is_last, bytes } => {
                if self.http.names(&from.bare()) || self.http.awaits(from) {
                    self.inflow_part(from, stream, inflow::Piece { number, is_last, bytes }, now);
                }
            }
        }
    }

    /// The rule that a request goes by, and the path at its target.
    fn http_way(&self, order: &Order) -> Result<(&HttpRule, String), No> {
        let ways = Ways::of(&self.http.rules, &order.caller.bare());
        if ways.is_empty() {
            return Err(No::Fault(StanzaFault::forbidden()));
        }
        if order.resource.len() > limits::HTTP_PATH_BYTES_MAX {
            return Err(No::from(414));
        }
        let (path, query) = path_of(&order.resource).ok_or(No::from(400))?;
        let rule = ways.find(path).ok_or(No::from(404))?;
        if !rule.allows(&order.method) {
            return Err(No::Status(405, vec![("Allow".to_owned(), rule.allowed().into_bytes())]));
        }
        let mut lead = rule.lead(path).ok_or(No::from(404))?;
        if let Some(query) = query {
            lead.push('?');
            lead.push_str(query);
        }
        Ok((rule, lead))
    }

    /// Everything is there: the app carries it out.
    fn http_begin(&mut self, order: Order, body: Vec<u8>) {
        let prepared = self.http_way(&order).and_then(|(rule, target)| {
            let headers = headers::for_target(&order.headers)?;
            let call = HttpCall { method: order.method.clone(), target, headers, body };
            Ok((rule.permit(), rule.ca(), call))
        });
        match prepared {
            Err(no) => self.http_refuse(&order, no),
            Ok((permit, ca, call)) => {
                let id = self.number();
                self.http.calls.insert(id, order);
                let timeout_ms = limits::HTTP_DEADLINE_MS;
                self.outputs.push_back(Output::Http { id, target: permit, ca, call, timeout_ms });
            }
        }
    }

    /// Short answers go into the iq, of others the iq says only which stream they come in.
    fn http_answer(&mut self, order: Order, answer: HttpAnswer, now: Timestamp) {
        let HttpAnswer { status, headers, body } = answer;
        let message = headers::reason(status).to_owned();
        let is_short = body.len() <= limits::HTTP_INLINE_BYTES_MAX;
        let number = self.number();
        let stream = format!("tombolo-{number:x}-{:x}", self.item());
        let shown = if is_short { Body::Whole(body.clone()) } else { Body::Parts(stream.clone()) };
        let response = Response { status, message, headers, body: shown };
        self.answer(&order.asker, Some(response.to_element(order.is_long)));
        if !is_short {
            self.begin_outflow(outflow::Purpose::Answer(order), stream, body, now);
        }
    }

    fn http_failed(&mut self, order: &Order, failure: &Failure) {
        let status = if failure.code == ReasonCode::Timeout { 504 } else { 502 };
        let headers = vec![("Content-Type".to_owned(), b"text/plain; charset=utf-8".to_vec())];
        let body = Body::Whole(format!("{}\n", failure.message).into_bytes());
        self.http_status(order, status, headers, body);
    }

    fn http_refuse(&mut self, order: &Order, no: No) {
        match no {
            No::Fault(fault) => self.refuse(&order.asker, &fault),
            No::Status(status, headers) => self.http_status(order, status, headers, Body::Whole(Vec::new())),
        }
    }

    fn http_status(&mut self, order: &Order, status: u16, headers: Vec<Header>, body: Body) {
        let message = headers::reason(status).to_owned();
        self.answer(&order.asker, Some(Response { status, message, headers, body }.to_element(order.is_long)));
    }

    /// To where the parts of an answer go: to the address that asked, which in a room is not the one that rules name.
    fn http_ear(order: &Order) -> Peer {
        let jid: Jid = order.asker.from.clone().unwrap_or_else(|| order.caller.jid.clone());
        Peer { jid, at: order.asker.at.clone() }
    }
}

fn busy() -> No {
    No::Fault(StanzaFault::overload("Too many HTTP requests at once."))
}
