//! Requests to our devices: documents, actions (UDA 2.0 §3) and subscriptions are answered. Owns what an action way and what waits for the
//! thing's answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tombolo_sdk::events::{HttpAnswer, HttpCall, Outcome};
use tombolo_sdk::{Failure, ReasonCode, Request, Timestamp, Value};

use super::shape::{Service, setting};
use super::{Shown, Things, documents, key};
use crate::calls::Way;
use crate::codec::date;
use crate::codec::headers::{get, header, product};
use crate::codec::soap::{self, Fault};

/// Orders that wait for their things.
const ORDERS_MAX: usize = 64;

/// Requests of others that wait for a thing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Orders {
    last: Request,
    waiting: BTreeMap<Request, Order>,
}

/// An action that is under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    /// Who is to be answered.
    request: Request,
    thing: u32,
    service: usize,
    action: String,
    /// What it sets; none: it reads.
    text: Option<String>,
}

/// What an action comes to.
enum Step {
    Answer(Vec<u8>),
    Fault(Fault),
    Wait,
}

impl Things {
    /// Answers a request, or none if it waits for a thing.
    pub(super) fn answer(
        &mut self,
        request: Request,
        path: &[&str],
        call: &HttpCall,
        way: &mut Way<'_>,
    ) -> Option<HttpAnswer> {
        let Some(url) = self.url.clone() else { return Some(status(404)) };
        let [id, rest @ ..] = path else { return Some(status(404)) };
        let Some((thing, shown)) = self.by_id(id) else { return Some(status(404)) };
        let find = |slug: &str| shown.shape.services.iter().position(|service| service.slug == slug);
        match (call.method.as_str(), rest) {
            ("GET", ["desc.xml"]) => Some(document(200, shown.described(&url).into_bytes(), way.now)),
            ("GET", [file]) => {
                match file.strip_suffix(".xml").and_then(find).and_then(|at| shown.shape.services.get(at)) {
                    Some(service) => Some(document(200, documents::scpd(service).into_bytes(), way.now)),
                    None => Some(status(404)),
                }
            }
            ("POST", [slug, "control"]) => match find(slug) {
                Some(service) => self.act(request, (thing, service), call, way),
                None => Some(status(404)),
            },
            ("SUBSCRIBE" | "UNSUBSCRIBE", [slug, "event"]) => match find(slug) {
                Some(service) => {
                    let variables = shown.evented(service);
                    Some(self.memory.subscribers.request((thing, service), &variables, call, way))
                }
                None => Some(status(404)),
            },
            (_, [_] | [_, "control" | "event"]) => Some(status(405)),
            _ => Some(status(404)),
        }
    }

    fn act(&mut self, request: Request, place: (u32, usize), call: &HttpCall, way: &mut Way<'_>) -> Option<HttpAnswer> {
        let now = way.now;
        match self.step(request, place, call, way) {
            Step::Answer(body) => Some(document(200, body, now)),
            Step::Fault(fault) => Some(document(500, soap::write_fault(&fault), now)),
            Step::Wait => None,
        }
    }

    fn step(&mut self, request: Request, (thing, at): (u32, usize), call: &HttpCall, way: &mut Way<'_>) -> Step {
        let Some(shown) = self.memory.shown.get(&thing) else { return Step::Fault(Fault::new(501, "Action Failed")) };
        let Some(service) = shown.shape.services.get(at) else { return Step::Fault(Fault::new(401, "Invalid Action")) };
        let Ok((name, arguments)) = soap::read_request(&call.body) else {
            return Step::Fault(Fault::new(402, "Invalid Args"));
        };
        let asked = get(&call.headers, "SOAPACTION").and_then(|text| text.trim_matches('"').rsplit('#').next());
        if asked.is_some_and(|asked| asked != name) {
            return Step::Fault(Fault::new(401, "Invalid Action"));
        }
        if name == soap::QUERY {
            return query(shown, service, at, &arguments);
        }
        let Some(action) = service.actions.iter().find(|action| action.name == name) else {
            return Step::Fault(Fault::new(401, "Invalid Action"));
        };
        if !action.is_set {
            let known = shown.texts.get(&key(at, action.variable));
            return match known {
                Some(text) => Step::Answer(answer(service, &action.name, Some((&action.argument, text)))),
                None => self.order(request, (thing, at), name, None, way),
            };
        }
        let Some((_, text)) = arguments.into_iter().find(|(argument, _)| *argument == action.argument) else {
            return Step::Fault(Fault::new(402, "Invalid Args"));
        };
        let Some(variable) = service.variables.get(action.variable) else {
            return Step::Fault(Fault::new(501, "Action Failed"));
        };
        let Some(setting) = setting(variable, shown.type_of(variable.field), &text) else {
            return Step::Fault(Fault::new(600, "Argument Value Invalid"));
        };
        let step = self.order(request, (thing, at), name, Some(variable_text(&setting.value, variable)), way);
        if matches!(step, Step::Wait) {
            way.out.control_thing(self.memory.orders.last, thing, vec![setting]);
        }
        step
    }

    /// Remembers who waits for the thing; a read is asked for at once.
    fn order(
        &mut self,
        request: Request,
        (thing, service): (u32, usize),
        action: String,
        text: Option<String>,
        way: &mut Way<'_>,
    ) -> Step {
        let orders = &mut self.memory.orders;
        if orders.waiting.len() >= ORDERS_MAX {
            return Step::Fault(Fault::new(603, "Out of Memory"));
        }
        orders.last += 1;
        if text.is_none() {
            way.out.read_thing(orders.last, thing);
        }
        orders.waiting.insert(orders.last, Order { request, thing, service, action, text });
        Step::Wait
    }

    pub(super) fn end_order(&mut self, done: Outcome, way: &mut Way<'_>) {
        let Some(order) = self.memory.orders.waiting.remove(&done.id) else { return };
        let answer = match done.outcome {
            Ok(()) => self.fulfilled(&order),
            Err(failure) => Err(fault(&failure)),
        };
        let answer = match answer {
            Ok(body) => document(200, body, way.now),
            Err(fault) => document(500, soap::write_fault(&fault), way.now),
        };
        way.out.http_reply(order.request, answer);
    }

    /// What a thing did, or said: the answer to whoever asked for it.
    fn fulfilled(&mut self, order: &Order) -> Result<Vec<u8>, Fault> {
        let failed = || Fault::new(501, "Action Failed");
        let shown = self.memory.shown.get_mut(&order.thing).ok_or_else(failed)?;
        let service = shown.shape.services.get(order.service).ok_or_else(failed)?;
        let action = service.actions.iter().find(|action| action.name == order.action).ok_or_else(failed)?;
        if let Some(text) = &order.text {
            // The target is what was asked for; the status follows when the thing tells it.
            if service.variables.get(action.variable).is_some_and(|variable| !variable.is_evented) {
                shown.texts.insert(key(order.service, action.variable), text.clone());
            }
            return Ok(answer(service, &action.name, None));
        }
        let text = shown.texts.get(&key(order.service, action.variable)).ok_or_else(failed)?;
        Ok(answer(service, &action.name, Some((&action.argument, text))))
    }
}

impl Shown {
    /// Positions of the variables that a service tells.
    fn evented(&self, service: usize) -> Vec<usize> {
        let variables =
            self.shape.services.get(service).map(|service| service.variables.as_slice()).unwrap_or_default();
        variables.iter().enumerate().filter(|(_, variable)| variable.is_evented).map(|(at, _)| at).collect()
    }
}

fn variable_text(value: &Value, variable: &super::shape::Variable) -> String {
    variable.form.write(value)
}

/// `QueryStateVariable`, which is deprecated and still asked.
fn query(shown: &Shown, service: &Service, at: usize, arguments: &[(String, String)]) -> Step {
    let named = arguments.iter().find(|(name, _)| name == "varName").map(|(_, text)| text.trim());
    let position = service.variables.iter().position(|variable| Some(variable.name.as_str()) == named);
    let Some(position) = position else { return Step::Fault(Fault::new(404, "Invalid Var")) };
    match shown.texts.get(&key(at, position)) {
        Some(text) => {
            Step::Answer(soap::write_answer(soap::CONTROL, soap::QUERY, &[("return".to_owned(), text.clone())]))
        }
        None => Step::Fault(Fault::new(501, "Action Failed")),
    }
}

fn answer(service: &Service, action: &str, result: Option<(&String, &String)>) -> Vec<u8> {
    let results: Vec<(String, String)> = result.map(|(name, text)| (name.clone(), text.clone())).into_iter().collect();
    soap::write_answer(&service.service_type, action, &results)
}

/// What a failure is to a control point (UDA 2.0, table 3-3).
fn fault(failure: &Failure) -> Fault {
    match failure.code {
        ReasonCode::InvalidArgument => Fault::new(601, "Argument Value Out of Range"),
        ReasonCode::NotSupported => Fault::new(602, "Optional Action Not Implemented"),
        ReasonCode::QuotaExceeded | ReasonCode::Busy => Fault::new(603, "Out of Memory"),
        ReasonCode::AccessDenied => Fault::new(606, "Action not authorized"),
        _ => Fault::new(501, "Action Failed"),
    }
}

/// An answer without a body.
pub(super) fn status(status: u16) -> HttpAnswer {
    HttpAnswer { status, headers: vec![header("SERVER", &product())], body: Vec::new() }
}

fn document(status: u16, body: Vec<u8>, now: Timestamp) -> HttpAnswer {
    let headers = vec![
        header("CONTENT-TYPE", "text/xml; charset=\"utf-8\""),
        header("DATE", &date::http(now)),
        header("EXT", ""),
        header("SERVER", &product()),
    ];
    HttpAnswer { status, headers, body }
}
