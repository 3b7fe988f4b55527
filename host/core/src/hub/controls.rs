//! Control: setting parameters, and the form that shows what can be set (control.md §3).
//!
//! Order of evaluation: the caller, then all nodes, then all parameters on all nodes; only if everything passes is anything sent, one
//! write for each node. The answer waits until every mapper has completed; what failed first is what the caller learns.

use std::collections::BTreeMap;

use jid::Jid;

use super::addresses::Peer;
use super::checks::is_allowed;
use super::errands::Errand;
use super::lookup::{Place, check_count, is_device_itself, not_found};
use super::registry::{Entry, NodeKey};
use super::timers::Timer;
use super::{Asked, Asker, Hub, Owner};
use crate::model::{Event, Failure, Field, NodeRef, ReasonCode, Setting, Timestamp, Value, limits};
use crate::policy::{Access, ControlPermit, Denial};
use crate::wire::control::{self, FormParameter, GetForm, Parameter, Refusal, Set, invalid};
use crate::wire::form::Form;
use crate::wire::{Dialect, StanzaFault};

/// Control operations under way.
#[derive(Debug, Default)]
pub(super) struct Controls(BTreeMap<u64, Control>);

#[derive(Debug)]
struct Control {
    caller: Peer,
    informed: Informed,
    dialect: Dialect,
    /// By request: the bridge, and the node as the caller named it.
    pending: BTreeMap<u64, (String, NodeRef)>,
    /// Several nodes were to be set, so that a failure must say whose it is.
    is_group: bool,
    /// What failed, in the order in which it did.
    failures: Vec<(NodeRef, Failure)>,
    /// The only parameter that was to be set, which an error then is about.
    parameter: Option<String>,
    deadline: Timestamp,
}

/// Who is told the outcome.
#[derive(Debug)]
pub(super) enum Informed {
    /// It was asked in a message.
    Nobody,
    /// Whoever sent an iq.
    Asker(Asker),
    /// Whoever sent us.
    Errand(Errand),
}

/// One node's share of a control operation.
pub(super) struct Write {
    key: NodeKey,
    /// As the caller named it.
    shown: NodeRef,
    settings: Vec<Setting>,
}

impl Controls {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn of(&self, caller: &Jid) -> usize {
        self.0.values().filter(|control| control.caller.jid == *caller).count()
    }
}

/// Why nothing is set; stanza errors that control has no case of its own for included.
pub(super) struct Denied(Refusal);

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        denied.0
    }
}

impl From<StanzaFault> for Denied {
    fn from(fault: StanzaFault) -> Self {
        Self(Refusal::from(fault))
    }
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl Hub {
    /// Answers `<set>`; without an asker it came in a message and nobody is answered.
    pub(super) fn control(&mut self, asker: Option<Asker>, caller: Peer, set: &Set, now: Timestamp) {
        match self.plan(&caller, set) {
            Ok(writes) => {
                let informed = asker.map_or(Informed::Nobody, Informed::Asker);
                self.execute(informed, caller, set, writes, now);
            }
            Err(Denied(refusal)) => self.refuse_control(asker.as_ref(), set.dialect, &refusal),
        }
    }

    fn refuse_control(&mut self, asker: Option<&Asker>, dialect: Dialect, refusal: &Refusal) {
        if let Some(asker) = asker {
            self.refuse(asker, &refusal.to_fault(dialect));
        }
    }

    pub(super) fn plan(&self, caller: &Peer, set: &Set) -> Result<Vec<Write>, Denied> {
        let names: Vec<&str> = set.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        check_count(names.len())?;
        let nodes = self.controllable(caller, &set.nodes, &names)?;
        if self.controls.len() >= limits::CONTROLS_MAX
            || self.controls.of(&caller.jid) >= limits::CONTROLS_PER_CALLER_MAX
        {
            return Err(StanzaFault::overload("Too many control operations at once.").into());
        }
        let writes = nodes.into_iter().map(|(key, permit)| {
            let entry = self.registry.get(key).ok_or(Refusal::NodeNotFound)?;
            let named = set.nodes.iter().find(|name| self.place(name) == Some(Place::Node(key)));
            let shown = named.unwrap_or(&entry.name).clone();
            let settings = set.parameters.iter().map(|parameter| setting(entry, &permit, parameter));
            Ok(Write { key, shown, settings: settings.collect::<Result<_, Refusal>>()? })
        });
        writes.collect()
    }

    /// The nodes that a request is about, each with the permit to control it.
    fn controllable(
        &self,
        caller: &Peer,
        names: &[NodeRef],
        parameters: &[&str],
    ) -> Result<Vec<(NodeKey, ControlPermit)>, Denied> {
        let access = self.config.policy.of(&caller.bare());
        access.check().map_err(|_| Refusal::Forbidden)?;
        let seat = self.seat_seen(&access, caller.at.as_ref()).map_err(|_| Refusal::NodeNotFound)?;
        check_count(names.len())?;
        if let Some(key) = seat.filter(|_| is_device_itself(names)) {
            return Ok(vec![self.controllable_place(&access, Place::Node(key))?]);
        }
        if is_device_itself(names) {
            return Ok(vec![self.only_controllable(&access, parameters)?]);
        }
        let mut found: BTreeMap<NodeKey, ControlPermit> = BTreeMap::new();
        let mut order = Vec::new();
        for name in names {
            let (key, permit) =
                self.controllable_place(&access, self.place_at(seat, name).ok_or(Refusal::NodeNotFound)?)?;
            if found.insert(key, permit).is_none() {
                order.push(key);
            }
        }
        Ok(order.into_iter().filter_map(|key| found.remove_entry(&key)).collect())
    }

    fn controllable_place(&self, access: &Access<'_>, place: Place) -> Result<(NodeKey, ControlPermit), Denied> {
        match place {
            Place::Bridge(bridge) if self.sees_bridge(access, &bridge) => Err(Refusal::NoParameters.into()),
            Place::Bridge(_) => Err(Refusal::NodeNotFound.into()),
            Place::Node(key) => {
                let entry = self.registry.get(key).ok_or(Refusal::NodeNotFound)?;
                let permit = access.control(&entry.name).map_err(|denial| match denial {
                    Denial::Hidden => Refusal::NodeNotFound,
                    Denial::Stranger | Denial::Forbidden => Refusal::Forbidden,
                })?;
                match entry.is_controllable() {
                    true => Ok((key, permit)),
                    false => Err(Refusal::NoParameters.into()),
                }
            }
        }
    }

    /// COMPAT: Smack names no node at all. That works where only one node can be meant.
    fn only_controllable(&self, access: &Access<'_>, names: &[&str]) -> Result<(NodeKey, ControlPermit), Denied> {
        let mut candidates = self.registry.all().filter_map(|(key, entry)| {
            let permit = access.control(&entry.name).ok()?;
            let has_all = names.iter().all(|name| parameter(entry, &permit, name).is_some());
            (entry.is_controllable() && has_all).then_some((key, permit))
        });
        match (candidates.next(), candidates.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) => Err(Refusal::BadRequest("Node specification required.".to_owned()).into()),
            (None, _) => Err(match names.first() {
                Some(name) => Refusal::ParameterNotFound((*name).to_owned()),
                None => Refusal::NoParameters,
            }
            .into()),
        }
    }

    pub(super) fn execute(&mut self, informed: Informed, caller: Peer, set: &Set, writes: Vec<Write>, now: Timestamp) {
        let number = self.number();
        let deadline = now.plus_ms(limits::CONTROL_DEADLINE_MS);
        let parameter = match set.parameters.as_slice() {
            [only] => Some(only.name.clone()),
            _ => None,
        };
        let pending = BTreeMap::new();
        let (dialect, is_group, failures) = (set.dialect, writes.len() > 1, Vec::new());
        let mut control = Control { caller, informed, dialect, pending, is_group, failures, parameter, deadline };
        for write in writes.into_iter().filter(|write| !write.settings.is_empty()) {
            let Some(entry) = self.registry.get(write.key) else { continue };
            let (bridge, node) = (entry.bridge.to_string(), entry.node.number);
            let id = self.number();
            self.requests.insert(id, Asked { bridge: bridge.clone(), owner: Owner::Control(number) });
            self.tell(&bridge, Event::Write { id, node, settings: write.settings });
            control.pending.insert(id, (bridge, write.shown));
        }
        if control.pending.is_empty() {
            return self.conclude(control);
        }
        self.timers.set(deadline, Timer::ControlDeadline(number));
        self.controls.0.insert(number, control);
    }

    /// A mapper is done with its node.
    pub(super) fn control_completed(&mut self, number: u64, request: u64, outcome: Result<(), Failure>) {
        let Some(control) = self.controls.0.get_mut(&number) else { return };
        let Some((_, node)) = control.pending.remove(&request) else { return };
        control.failures.extend(outcome.err().map(|failure| (node, failure)));
        if control.pending.is_empty()
            && let Some(control) = self.controls.0.remove(&number)
        {
            self.timers.cancel(control.deadline, Timer::ControlDeadline(number));
            self.conclude(control);
        }
    }

    /// The mappers had their time.
    pub(super) fn control_overdue(&mut self, number: u64) {
        let Some(mut control) = self.controls.0.remove(&number) else { return };
        for (request, (bridge, node)) in std::mem::take(&mut control.pending) {
            self.requests.remove(&request);
            self.tell(&bridge, Event::Cancelled(request));
            let late = Failure::new(ReasonCode::Timeout, "The device did not answer in time.");
            control.failures.push((node, late));
        }
        self.conclude(control);
    }

    /// A bridge is gone: nobody answers its requests any more.
    pub(super) fn controls_lose_bridge(&mut self, bridge: &str) {
        let lost: Vec<(u64, u64)> = self
            .controls
            .0
            .iter()
            .flat_map(|(number, control)| {
                let requests = control.pending.iter().filter(|(_, (name, _))| name == bridge);
                requests.map(|(request, _)| (*number, *request)).collect::<Vec<_>>()
            })
            .collect();
        for (number, request) in lost {
            self.requests.remove(&request);
            self.control_completed(number, request, Err(Failure::new(ReasonCode::Closed, "The bridge is gone.")));
        }
    }

    fn conclude(&mut self, control: Control) {
        let Control { informed, dialect, is_group, failures, parameter, .. } = control;
        let asker = match informed {
            Informed::Nobody => return,
            Informed::Errand(errand) => {
                return self.errand_set(errand, failures.into_iter().next().map(|(_, failure)| failure));
            }
            Informed::Asker(asker) => asker,
        };
        let Some((_, first)) = failures.first() else {
            return self.answer(&asker, Some(control::success(dialect, &[], &[])));
        };
        let mut fault = StanzaFault::from(first);
        if is_group {
            let each = failures.iter().map(|(node, failure)| format!("{}: {}", node.id, failure.message));
            fault.text = Some(each.collect::<Vec<_>>().join("; "));
        }
        let nodes = failures.into_iter().map(|(node, _)| node).filter(|_| is_group).collect();
        self.refuse(&asker, &Refusal::Failed { fault, parameter, nodes }.to_fault(dialect));
    }

    /// Answers `<getForm>`: what the caller may set, of several nodes what they have in common.
    pub(super) fn get_form(&mut self, asker: &Asker, caller: &Peer, request: &GetForm) {
        let form = self.form(caller, request).map(|form| form.to_element(request.dialect.control_ns()));
        match form {
            Ok(form) => self.answer(asker, Some(form)),
            Err(Denied(refusal)) => self.refuse(asker, &refusal.to_fault(request.dialect)),
        }
    }

    pub(super) fn form(&self, caller: &Peer, request: &GetForm) -> Result<Form, Denied> {
        let nodes = self.controllable(caller, &request.nodes, &[])?;
        let entries: Vec<(&Entry, &ControlPermit)> =
            nodes.iter().filter_map(|(key, permit)| Some((self.registry.get(*key)?, permit))).collect();
        let Some(((first, permit), others)) = entries.split_first() else { return Err(not_found().into()) };
        let fields = first.node.fields.iter().enumerate().filter(|(_, field)| {
            is_parameter(field, permit) && others.iter().all(|(other, permit)| has_same(other, permit, field))
        });
        let parameters: Vec<FormParameter<'_>> = fields
            .map(|(index, field)| FormParameter {
                field,
                current: current(first, others, index),
                page: group_of(field),
            })
            .collect();
        if parameters.is_empty() && first.node.fields.iter().all(|field| !is_parameter(field, permit)) {
            return Err(Refusal::Forbidden.into());
        }
        let title = match entries.len() {
            1 => request.nodes.first().map_or_else(|| first.node.id.clone(), |name| name.id.clone()),
            count => format!("{count} nodes"),
        };
        Ok(control::form(&title, &parameters))
    }

    /// Whether the caller could set anything of the node.
    pub(super) fn may_control(&self, access: &Access<'_>, entry: &Entry) -> bool {
        let permit = access.control(&entry.name);
        permit.is_ok_and(|permit| entry.node.fields.iter().any(|field| is_parameter(field, &permit)))
    }
}

/// The group of a parameter: what stands before the last slash of its name.
fn group_of(field: &Field) -> &str {
    field.name.rsplit_once('/').map_or("", |(group, _)| group)
}

pub(super) fn is_parameter(field: &Field, permit: &ControlPermit) -> bool {
    field.control.is_some() && permit.covers(&field.name)
}

/// A parameter that the caller may set; one that it may not is one that does not exist.
fn parameter<'a>(entry: &'a Entry, permit: &ControlPermit, name: &str) -> Option<(u16, &'a Field)> {
    entry.field(name).filter(|(_, field)| is_parameter(field, permit))
}

fn has_same(entry: &Entry, permit: &ControlPermit, field: &Field) -> bool {
    parameter(entry, permit, &field.name).is_some_and(|(_, other)| {
        other.value_type == field.value_type && other.control == field.control && other.unit == field.unit
    })
}

/// The value to show: the last one known, if the nodes agree on it.
fn current<'a>(first: &'a Entry, others: &[(&Entry, &ControlPermit)], index: usize) -> Option<&'a Value> {
    let (_, value) = first.last_value(u16::try_from(index).ok()?)?;
    let name = &first.node.fields.get(index)?.name;
    let is_shared = others.iter().all(|(other, _)| {
        let last = other.field(name).and_then(|(index, _)| other.last_value(index));
        last.is_some_and(|(_, other)| other == value)
    });
    is_shared.then_some(value)
}

fn setting(entry: &Entry, permit: &ControlPermit, given: &Parameter) -> Result<Setting, Refusal> {
    let unknown = || Refusal::ParameterNotFound(given.name.clone());
    let (index, field) = parameter(entry, permit, &given.name).ok_or_else(unknown)?;
    let value = given.given.fit(&given.name, field.value_type)?;
    let constraint = field.control.as_ref().ok_or_else(unknown)?;
    match is_allowed(field, constraint, &value) {
        true => Ok(Setting { field: index, value }),
        false => Err(invalid(field)),
    }
}
