//! What mappers want of things: to be set, or read at once. Every request ends with exactly one `done`, whose failure is the remote's own.
//!
//! Order of evaluation: the mapper's number and its bound, then the thing and its declared parameters, then whether the remote is there; only
//! then anything is sent. What the remote allows is the remote's to decide.

use jid::BareJid;

use super::entry::{Mirror, Way};
use super::jobs::Job;
use super::remote::Remote;
use super::thing::Thing;
use crate::hub::Hub;
use crate::hub::asks::Answered;
use crate::hub::checks::is_allowed;
use crate::model::{Event, Failure, NodeRef, ReasonCode, Setting, Timestamp, limits};
use crate::wire::Dialect;
use crate::wire::control::{self, Parameter};

/// A mapper's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::hub) struct Order {
    pub(super) bridge: String,
    pub(super) request: u64,
}

impl Hub {
    /// `control-thing`.
    pub(in crate::hub) fn control_thing(
        &mut self,
        bridge: &str,
        request: u64,
        thing: u32,
        settings: &[Setting],
        now: Timestamp,
    ) {
        let planned = self.plan_order(bridge, request, thing).and_then(|(jid, name)| {
            let (remote, dialect) = self.remote_there(&jid)?;
            let known = remote.things.get(&name).ok_or_else(gone)?;
            let parameters = settings.iter().map(|setting| parameter(known, setting, dialect));
            Ok((jid, name.clone(), parameters.collect::<Result<Vec<_>, _>>()?))
        });
        match planned {
            Ok((jid, node, parameters)) => {
                let order = self.begin_order(bridge, request);
                self.queue_first(&jid, Job::Set { order, node, parameters }, now);
            }
            Err(failure) => self.tell(bridge, Event::Done { id: request, outcome: Err(failure) }),
        }
    }

    /// `read-thing`.
    pub(in crate::hub) fn read_thing(&mut self, bridge: &str, request: u64, thing: u32, now: Timestamp) {
        let planned = self.plan_order(bridge, request, thing).and_then(|(jid, name)| {
            self.remote_there(&jid)?;
            Ok((jid, name))
        });
        match planned {
            Ok((jid, name)) => {
                let order = Some(self.begin_order(bridge, request));
                self.queue_first(&jid, Job::Read { nodes: vec![name], order }, now);
            }
            Err(failure) => self.tell(bridge, Event::Done { id: request, outcome: Err(failure) }),
        }
    }

    fn plan_order(&self, bridge: &str, request: u64, thing: u32) -> Result<(BareJid, NodeRef), Failure> {
        let show = self.mirrors.shows.get(bridge).ok_or_else(gone)?;
        if show.orders.contains(&request) {
            return Err(Failure::new(ReasonCode::InvalidArgument, "a request of this number is under way"));
        }
        if show.orders.len() >= limits::MIRROR_ORDERS_MAX {
            return Err(Failure::new(ReasonCode::Busy, "too many requests for things of others are under way"));
        }
        show.thing(thing).cloned().ok_or_else(gone)
    }

    fn remote_there(&self, jid: &BareJid) -> Result<(&Remote, Dialect), Failure> {
        let remote = self.mirrors.remotes.get(jid).ok_or_else(gone)?;
        let away = || Failure::new(ReasonCode::Unreachable, "the thing is offline");
        Ok((remote, remote.peer_if_there().ok_or_else(away)?.dialect))
    }

    fn begin_order(&mut self, bridge: &str, request: u64) -> Order {
        if let Some(show) = self.mirrors.shows.get_mut(bridge) {
            show.orders.insert(request);
        }
        Order { bridge: bridge.to_owned(), request }
    }

    /// The end of a mapper's request.
    pub(super) fn order_ended(&mut self, order: &Order, outcome: Result<(), Failure>) {
        let was_open = self.mirrors.shows.get_mut(&order.bridge).is_some_and(|show| show.orders.remove(&order.request));
        if was_open {
            self.tell(&order.bridge, Event::Done { id: order.request, outcome });
        }
    }

    /// The thing's answer to what was to be set.
    pub(super) fn was_set(
        &mut self,
        jid: &BareJid,
        order: &Order,
        node: &NodeRef,
        names: &[String],
        outcome: &Answered,
    ) {
        let outcome = match outcome {
            Ok(payload) => all_set(&control::Answer::parse(payload.as_ref()), names),
            Err(fault) => Err(self.failure_of(fault)),
        };
        // Whoever tells us nothing by itself is read again, so that the mapper sees what became of it.
        if let Some(remote) = self.mirrors.remotes.get_mut(jid).filter(|_| outcome.is_ok()) {
            remote.read_again(node);
        }
        self.order_ended(order, outcome);
    }

    /// A remote's refusal, with the parameter that it is about.
    pub(super) fn failure_of(&self, fault: &crate::wire::StanzaFault) -> Failure {
        let failure = Failure::from(fault);
        match control::parameter_error(fault) {
            Some((name, text)) if !text.is_empty() => Failure::new(failure.code, format!("{name}: {text}")),
            Some((name, _)) => Failure::new(failure.code, format!("{name}: {}", failure.message)),
            None => failure,
        }
    }

    /// What the operator wrote of asking a remote, for all bridges.
    pub(super) fn entries_of(&self, jid: &BareJid) -> Vec<&Mirror> {
        self.all_entries_of(jid).filter(|entry| entry.way == Way::Ask).collect()
    }

    /// The same, by whichever way its things come.
    pub(super) fn all_entries_of(&self, jid: &BareJid) -> impl Iterator<Item = &Mirror> {
        let entries = self.mirrors.shows.values().flat_map(|show| &show.entries);
        entries.filter(move |entry| entry.jid == *jid)
    }
}

fn gone() -> Failure {
    Failure::new(ReasonCode::NotFound, "there is no such thing")
}

fn parameter(thing: &Thing, setting: &Setting, dialect: Dialect) -> Result<Parameter, Failure> {
    let wrong = |what: &str| Failure::new(ReasonCode::InvalidArgument, what);
    let field = thing.node.fields.get(usize::from(setting.field)).ok_or_else(|| wrong("there is no such field"))?;
    let constraint = field.control.as_ref().ok_or_else(|| wrong("the field cannot be set"))?;
    match is_allowed(field, constraint, &setting.value) {
        true => Ok(control::parameter(&field.name, &setting.value, field.value_type, dialect)),
        false => Err(wrong("the value is outside of what the thing accepts")),
    }
}

/// Some things set a part of what was asked, and say which.
fn all_set(answer: &control::Answer, names: &[String]) -> Result<(), Failure> {
    let is_whole = answer.parameters.is_empty() || names.iter().all(|name| answer.parameters.contains(name));
    let partly = || Failure::new(ReasonCode::Internal, format!("only {} was set", answer.parameters.join(", ")));
    is_whole.then_some(()).ok_or_else(partly)
}
