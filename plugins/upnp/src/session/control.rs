//! What devices are asked and told by actions (UDA 2.0 §3): reading on request and from time to time, setting, running. Owns the steps of each
//! and how their failures are told.
//!
//! What events tell is known and not asked for. Steps of one setting follow each other; readings of one node go side by side.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tombolo_sdk::events::{HttpAnswer, Invoke};
use tombolo_sdk::{Actions, Failure, NodeNumber, Read, ReasonCode, Request, Sample, Timestamp, Write};

use super::root::{Phase, Presence, Unit};
use super::{Errand, SECOND, Session, refused};
use crate::calls::{Call, Way};
use crate::codec::headers::{header, product};
use crate::codec::soap::{self, Arguments, Fault};
use crate::mapping::Input;

/// An action under way, and what follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Control {
    root: String,
    node: NodeNumber,
    service: usize,
    generation: u32,
    task: Task,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Task {
    Get { getter: usize, read: Option<Request> },
    Query { field: u16, read: Option<Request> },
    Set { request: Request, steps: Vec<(u16, String)>, at: usize },
    Run { request: Request, command: String },
}

impl Session {
    /// Somebody asks for readings.
    pub(crate) fn read(&mut self, read: &Read, way: &mut Way<'_>) {
        // Counted from one, so that answers that are there at once do not end it before the others were asked for.
        self.memory.reads.insert(read.id, 1);
        for node in &read.nodes {
            if let Err(failure) = self.read_node(read, *node, way) {
                way.out.node_failed(read.id, *node, failure);
            }
        }
        self.end_part(read.id, way.out);
    }

    fn read_node(&mut self, read: &Read, node: NodeNumber, way: &mut Way<'_>) -> Result<(), Failure> {
        let (udn, at) = self.reachable(node)?;
        let Some(unit) = self.memory.roots.get(&udn).and_then(|root| root.units.get(at)) else { return Ok(()) };
        let is_asked = |number: u16| {
            let field = unit.plan.field(number).map(|field| &field.field);
            field.is_some_and(|field| {
                field.kinds.intersects(read.kinds) && (read.fields.is_empty() || read.fields.contains(&field.name))
            })
        };
        let numbers: Vec<u16> = (0..).take(unit.plan.fields.len()).filter(|number| is_asked(*number)).collect();
        let known: Vec<Sample> =
            numbers.iter().filter(|number| unit.is_live(**number)).filter_map(|number| unit.known(*number)).collect();
        let wanted: Vec<u16> = numbers.into_iter().filter(|number| !unit.is_live(*number)).collect();
        if !known.is_empty() {
            way.out.answer(read.id, node, way.now, known);
        }
        match self.ask(node, &wanted, Some(read.id), way) {
            true => Ok(()),
            false => Err(Failure::new(ReasonCode::Busy, "there are too many requests to devices")),
        }
    }

    /// What is watched, or was just described, and tells no events.
    pub(super) fn poll_due(&mut self, way: &mut Way<'_>) {
        let again = way.now + Timestamp::from(self.settings.poll_s) * SECOND;
        let mut due = Vec::new();
        let has_callback = self.callback.is_some();
        for root in self.memory.roots.values_mut() {
            let is_there = root.presence == Presence::Here && !root.is_lost;
            for unit in root.units.iter_mut().filter(|unit| unit.poll_at.is_some_and(|at| at <= way.now)) {
                unit.poll_at = (is_there && self.memory.wanted.contains(&unit.number)).then_some(again);
                if is_there {
                    let silent =
                        (0..).take(unit.plan.fields.len()).filter(|number| !unit.will_tell(*number, has_callback));
                    due.push((unit.number, silent.collect::<Vec<u16>>()));
                }
            }
        }
        for (node, numbers) in due {
            self.ask(node, &numbers, None, way);
        }
    }

    /// Asks for fields by getters, and for what has none by its name. Whether there was room.
    fn ask(&mut self, node: NodeNumber, numbers: &[u16], read: Option<Request>, way: &mut Way<'_>) -> bool {
        let Some((udn, at)) = self.place(node) else { return true };
        let Some((root, unit)) = self.memory.roots.get(udn).and_then(|root| Some((root, root.units.get(at)?))) else {
            return true;
        };
        let mut getters: BTreeSet<usize> = BTreeSet::new();
        let mut tasks = Vec::new();
        for number in numbers {
            let Some(field) = unit.plan.field(*number) else { continue };
            match field.getter.filter(|getter| !unit.is_broken(*getter)) {
                Some(getter) if getters.insert(getter) => tasks.push((field.service, Task::Get { getter, read })),
                Some(_) => {}
                None if field.is_evented && !root.has_no_query => {
                    tasks.push((field.service, Task::Query { field: *number, read }))
                }
                None => {}
            }
        }
        let (root, generation) = (udn.to_owned(), root.generation);
        let mut has_room = true;
        for (service, task) in tasks {
            let control = Control { root: root.clone(), node, service, generation, task };
            match self.start(control, read.is_some(), way) {
                Ok(()) => {
                    read.and_then(|read| self.memory.reads.get_mut(&read)).into_iter().for_each(|left| *left += 1)
                }
                Err(_) => has_room = false,
            }
        }
        has_room
    }

    /// Somebody sets fields, in this order.
    pub(crate) fn write(&mut self, write: &Write, way: &mut Way<'_>) {
        let started = self.reachable(write.node).and_then(|(root, at)| {
            let found = self.memory.roots.get(&root).and_then(|found| Some((found.generation, found.units.get(at)?)));
            let (generation, unit) = found.ok_or_else(gone)?;
            let steps = write.settings.iter().map(|setting| {
                let field = unit.plan.field(setting.field).filter(|field| field.setter.is_some())?;
                Some((setting.field, field.kind.write(&setting.value)))
            });
            let steps = steps.collect::<Option<Vec<_>>>().filter(|steps| !steps.is_empty());
            let steps = steps.ok_or_else(|| Failure::new(ReasonCode::NotSupported, "a field that cannot be set"))?;
            let service = steps.first().and_then(|(field, _)| unit.plan.field(*field)).map_or(0, |field| field.service);
            let task = Task::Set { request: write.id, steps, at: 0 };
            Ok(Control { root, node: write.node, service, generation, task })
        });
        self.begin(write.id, started, way);
    }

    /// Somebody runs a command.
    pub(crate) fn invoke(&mut self, invoke: &Invoke, way: &mut Way<'_>) {
        let started = self.reachable(invoke.node).and_then(|(root, at)| {
            let found = self.memory.roots.get(&root).and_then(|found| Some((found.generation, found.units.get(at)?)));
            let (generation, unit) = found.ok_or_else(gone)?;
            let plan = unit.plan.command(&invoke.command).ok_or_else(gone)?;
            let inputs = plan.inputs.iter().map(|(name, input)| (name.clone(), said(name, input, &invoke.arguments)));
            let task = Task::Run { request: invoke.id, command: invoke.command.clone() };
            let control = Control { root, node: invoke.node, service: plan.service, generation, task };
            Ok((control, plan.action.clone(), inputs.collect::<Arguments>()))
        });
        self.memory.reads.insert(invoke.id, 1);
        let begun = started.and_then(|(control, action, inputs)| self.send(control, &action, &inputs, true, way));
        if let Err(failure) = begun {
            self.end(invoke.id, Err(failure), way.out);
        }
    }

    /// Nobody waits any more. What is under way ends by itself.
    pub(crate) fn cancel(&mut self, request: Request) {
        self.memory.reads.remove(&request);
    }

    fn begin(&mut self, request: Request, control: Result<Control, Failure>, way: &mut Way<'_>) {
        self.memory.reads.insert(request, 1);
        if let Err(failure) = control.and_then(|control| self.start(control, true, way)) {
            self.end(request, Err(failure), way.out);
        }
    }

    /// Where a node is, if its device can be reached.
    fn reachable(&self, node: NodeNumber) -> Result<(String, usize), Failure> {
        let (udn, at) = self.place(node).ok_or_else(gone)?;
        let is_there = self.memory.roots.get(udn).is_some_and(|root| root.presence == Presence::Here && !root.is_lost);
        match is_there {
            true => Ok((udn.to_owned(), at)),
            false => Err(Failure::new(ReasonCode::Unreachable, "the device is not there")),
        }
    }

    /// Makes the request of a task that names its own arguments.
    fn start(&mut self, control: Control, is_urgent: bool, way: &mut Way<'_>) -> Result<(), Failure> {
        let root = self.memory.roots.get(&control.root).filter(|root| root.generation == control.generation);
        let unit = root.and_then(|root| root.units.iter().find(|unit| unit.number == control.node)).ok_or_else(gone)?;
        let (action, inputs) = match &control.task {
            Task::Get { getter, .. } => {
                let getter = unit.plan.getters.get(*getter).ok_or_else(gone)?;
                (getter.action.clone(), getter.inputs.clone())
            }
            Task::Query { field, .. } => {
                let variable = unit.plan.field(*field).map(|field| field.variable.clone()).ok_or_else(gone)?;
                (soap::QUERY.to_owned(), vec![("varName".to_owned(), variable)])
            }
            Task::Set { steps, at, .. } => {
                let (field, text) = steps.get(*at).ok_or_else(gone)?;
                let setter = unit.plan.field(*field).and_then(|field| field.setter.as_ref()).ok_or_else(gone)?;
                let inputs = setter.inputs.iter().map(|(name, input)| (name.clone(), set(input, text)));
                (setter.action.clone(), inputs.collect())
            }
            Task::Run { .. } => return Err(gone()),
        };
        self.send(control, &action, &inputs, is_urgent, way)
    }

    fn send(
        &mut self,
        control: Control,
        action: &str,
        inputs: &[(String, String)],
        is_urgent: bool,
        way: &mut Way<'_>,
    ) -> Result<(), Failure> {
        let root = self.memory.roots.get(&control.root);
        let unit = root.and_then(|root| root.units.iter().find(|unit| unit.number == control.node));
        let service = unit.and_then(|unit| unit.services.get(control.service)).ok_or_else(gone)?;
        let url = service
            .control
            .clone()
            .ok_or_else(|| Failure::new(ReasonCode::NotSupported, "the service cannot be controlled"))?;
        let (of, body) = match inputs {
            [(name, variable)] if action == soap::QUERY && name == "varName" => {
                (soap::CONTROL, soap::write_query(variable))
            }
            inputs => (service.service_type.as_str(), soap::write_request(&service.service_type, action, inputs)),
        };
        let headers = vec![
            header("CONTENT-TYPE", "text/xml; charset=\"utf-8\""),
            header("USER-AGENT", &product()),
            header("SOAPACTION", &format!("\"{of}#{action}\"")),
        ];
        let body = String::from_utf8(body).unwrap_or_default();
        let call = Call { body, ..Call::new(Errand::Control(control), "POST", &url, headers) };
        way.push(call, is_urgent).map_err(|_| Failure::new(ReasonCode::Busy, "there are too many requests to devices"))
    }

    pub(super) fn handle_control(&mut self, control: Control, outcome: Result<HttpAnswer, Failure>, way: &mut Way<'_>) {
        match &outcome {
            Ok(_) => self.heard(&control.root, way.out),
            Err(failure) => self.lost(&control.root, failure, way),
        }
        let answer = answer(outcome);
        let Control { root, node, service, generation, task } = control;
        match task {
            Task::Get { getter, read } => {
                let samples = answer.and_then(|answer| match answer {
                    Ok(arguments) => Ok(self.take(node, way, |unit| got(unit, getter, &arguments))),
                    Err(fault) => self.lacks(node, getter, fault),
                });
                self.told(node, read, samples, way);
            }
            Task::Query { field, read } => {
                let samples = match answer {
                    Ok(Ok(arguments)) => {
                        let text = arguments.into_iter().next().map(|(_, text)| text);
                        Ok(self.take(node, way, |_| text.into_iter().map(|text| (field, text)).collect()))
                    }
                    Ok(Err(_)) | Err(Failure { code: ReasonCode::ProtocolViolation, .. }) => {
                        self.memory.roots.get_mut(&root).into_iter().for_each(|root| root.has_no_query = true);
                        Ok(Vec::new())
                    }
                    Err(failure) => Err(failure),
                };
                self.told(node, read, samples, way);
            }
            Task::Set { request, steps, at } => match answer.and_then(|answer| answer.map_err(failure)) {
                Ok(_) => self
                    .has_set(Control { root, node, service, generation, task: Task::Set { request, steps, at } }, way),
                Err(failure) => self.end(request, Err(failure), way.out),
            },
            Task::Run { request, command } => {
                let outcome = answer.and_then(|answer| answer.map_err(failure)).map(|arguments| {
                    let samples = self.take(node, way, |unit| resulted(unit, &command, &arguments));
                    if !samples.is_empty() && self.memory.reads.contains_key(&request) {
                        way.out.answer(request, node, way.now, samples);
                    }
                });
                self.end(request, outcome, way.out);
            }
        }
    }

    /// A step is done. The next follows; after the last, what no event will tell is read, or taken as it was set.
    fn has_set(&mut self, control: Control, way: &mut Way<'_>) {
        let Control { root, node, generation, task, .. } = control;
        let Task::Set { request, steps, at } = task else { return };
        let next = at + 1;
        if let Some((field, _)) = steps.get(next) {
            let unit = self.place(node).and_then(|(udn, at)| self.memory.roots.get(udn)?.units.get(at));
            let service = unit.and_then(|unit| unit.plan.field(*field)).map_or(0, |field| field.service);
            let control = Control { root, node, service, generation, task: Task::Set { request, steps, at: next } };
            if let Err(failure) = self.start(control, true, way) {
                self.end(request, Err(failure), way.out);
            }
            return;
        }
        let Some((_, unit)) = self.unit_mut(node) else { return self.end(request, Ok(()), way.out) };
        let silent: Vec<&(u16, String)> = steps.iter().filter(|(field, _)| !unit.is_live(*field)).collect();
        let has_getter = |field: u16| unit.plan.field(field).is_some_and(|field| field.getter.is_some());
        let (asked, assumed): (Vec<_>, Vec<_>) = silent.into_iter().partition(|(field, _)| has_getter(*field));
        let samples: Vec<Sample> =
            assumed.into_iter().filter_map(|(field, text)| unit.take(*field, text, way)).collect();
        if !samples.is_empty() {
            way.out.report(node, way.now, samples);
        }
        let asked: Vec<u16> = asked.into_iter().map(|(field, _)| *field).collect();
        self.ask(node, &asked, None, way);
        self.end(request, Ok(()), way.out);
    }

    /// Texts of fields become samples.
    fn take(
        &mut self,
        node: NodeNumber,
        way: &mut Way<'_>,
        texts: impl FnOnce(&Unit) -> Vec<(u16, String)>,
    ) -> Vec<Sample> {
        let Some((_, unit)) = self.unit_mut(node) else { return Vec::new() };
        texts(unit).into_iter().filter_map(|(field, text)| unit.take(field, &text, way)).collect()
    }

    /// A getter failed. One that the device does not have, whatever it describes, is nobody's trouble and not asked again.
    fn lacks(&mut self, node: NodeNumber, getter: usize, fault: Fault) -> Result<Vec<Sample>, Failure> {
        if !matches!(fault.code, 401 | 404 | 602) {
            return Err(failure(fault));
        }
        if let Some((_, unit)) = self.unit_mut(node)
            && let Some(getter) = unit.plan.getters.get(getter)
            && let Some(service) = unit.services.get_mut(getter.service)
        {
            service.broken.insert(getter.action.clone());
        }
        Ok(Vec::new())
    }

    /// Readings for whoever asked, or for everybody.
    fn told(
        &mut self,
        node: NodeNumber,
        read: Option<Request>,
        samples: Result<Vec<Sample>, Failure>,
        way: &mut Way<'_>,
    ) {
        let read = read.filter(|read| self.memory.reads.contains_key(read));
        match (read, samples) {
            (_, Ok(samples)) if samples.is_empty() => {}
            (Some(read), Ok(samples)) => way.out.answer(read, node, way.now, samples),
            (None, Ok(samples)) => way.out.report(node, way.now, samples),
            (Some(read), Err(failure)) => way.out.node_failed(read, node, failure),
            (None, Err(_)) => {}
        }
        read.into_iter().for_each(|read| self.end_part(read, way.out));
    }

    fn end_part(&mut self, read: Request, out: &mut Actions) {
        let Some(left) = self.memory.reads.get_mut(&read) else { return };
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.end(read, Ok(()), out);
        }
    }

    /// The one end of a request.
    fn end(&mut self, request: Request, outcome: Result<(), Failure>, out: &mut Actions) {
        if self.memory.reads.remove(&request).is_none() {
            return;
        }
        match outcome {
            Ok(()) => out.complete(request),
            Err(failure) => out.fail(request, failure),
        }
    }
}

impl Unit {
    /// Whether events tell the field, or are just about to.
    fn will_tell(&self, number: u16, has_callback: bool) -> bool {
        let service =
            self.plan.field(number).filter(|field| field.is_evented).and_then(|field| self.services.get(field.service));
        let Some(service) = service.filter(|service| service.tells_events() && has_callback) else { return false };
        service.subscription.is_live()
            || (service.subscription.failures == 0 && service.subscription.phase != Phase::Off)
    }

    fn is_broken(&self, getter: usize) -> bool {
        let Some(getter) = self.plan.getters.get(getter) else { return true };
        self.services.get(getter.service).is_some_and(|service| service.broken.contains(&getter.action))
    }
}

fn got(unit: &Unit, getter: usize, arguments: &[(String, String)]) -> Vec<(u16, String)> {
    let fields = unit.plan.getters.get(getter).map(|getter| getter.fields.as_slice()).unwrap_or_default();
    texts(fields, arguments)
}

fn resulted(unit: &Unit, command: &str, arguments: &[(String, String)]) -> Vec<(u16, String)> {
    let results = unit.plan.command(command).map(|command| command.results.as_slice()).unwrap_or_default();
    texts(results, arguments)
}

fn texts(fields: &[(String, u16)], arguments: &[(String, String)]) -> Vec<(u16, String)> {
    let text = |name: &String| arguments.iter().find(|(known, _)| known == name).map(|(_, text)| text.clone());
    fields.iter().filter_map(|(name, field)| Some((*field, text(name)?))).collect()
}

fn set(input: &Input, text: &str) -> String {
    match input {
        Input::Fixed(fixed) => fixed.clone(),
        Input::Value | Input::Asked(..) => text.to_owned(),
    }
}

fn said(name: &str, input: &Input, arguments: &[(String, String)]) -> String {
    match input {
        Input::Fixed(fixed) => fixed.clone(),
        Input::Asked(kind, unsaid) => {
            let text = arguments.iter().find(|(known, _)| known == name).map(|(_, text)| kind.write_form(text));
            text.unwrap_or_else(|| unsaid.clone())
        }
        Input::Value => String::new(),
    }
}

fn gone() -> Failure {
    Failure::new(ReasonCode::NotFound, "the device is not what it was")
}

/// Reads what came back: arguments, a fault of the device, or nothing that can be read.
fn answer(outcome: Result<HttpAnswer, Failure>) -> Result<Result<Arguments, Fault>, Failure> {
    let answer = outcome?;
    match soap::read_answer(&answer.body) {
        Ok(Ok(_)) if !(200..300).contains(&answer.status) => Err(refused(answer.status)),
        Ok(read) => Ok(read),
        Err(_) if answer.status != 200 => Err(refused(answer.status)),
        Err(why) => Err(Failure::new(ReasonCode::ProtocolViolation, format!("the device's answer {why}"))),
    }
}

/// What a fault means to whoever asked (UDA 2.0 §3.2.5, table 3-3).
fn failure(fault: Fault) -> Failure {
    let code = match fault.code {
        401 | 404 | 602 => ReasonCode::NotSupported,
        402 | 600 | 601 | 605 => ReasonCode::InvalidArgument,
        603 => ReasonCode::QuotaExceeded,
        606..=612 => ReasonCode::AccessDenied,
        _ => ReasonCode::Internal,
    };
    let text = if fault.text.is_empty() { "refused".to_owned() } else { fault.text };
    Failure::new(code, format!("the device says: {text} ({})", fault.code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_their_reasons() {
        let all = [
            (401, ReasonCode::NotSupported),
            (601, ReasonCode::InvalidArgument),
            (606, ReasonCode::AccessDenied),
            (701, ReasonCode::Internal),
        ];
        for (code, reason) in all {
            assert_eq!(failure(Fault::new(code, "x")).code, reason);
        }
        assert_eq!(failure(Fault::new(601, "Too much")).message, "the device says: Too much (601)");
    }
}
