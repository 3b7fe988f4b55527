//! What people ask: readings now and of the past, controls, and edits of a resource's own settings. Owns that each request of the host ends
//! exactly once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tombolo_sdk::events::Invoke;
use tombolo_sdk::{Actions, Failure, FieldKinds, NodeNumber, Read, ReasonCode, Request, Timestamp, Write};

use super::{Purpose, Session};
use crate::codec::request::Primitive;
use crate::codec::resource::{self, Resource};
use crate::codec::response::{Answer, rsc};

/// Reads under way: which time they are about, and of how many nodes answers are awaited.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Reads {
    live: BTreeMap<Request, Wanted>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Wanted {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    left: usize,
}

impl Reads {
    pub(super) fn knows(&self, request: Request) -> bool {
        self.live.contains_key(&request)
    }

    /// One node is answered; with the last one the read is.
    fn end_one(&mut self, request: Request, out: &mut Actions) {
        let Some(wanted) = self.live.get_mut(&request) else { return };
        wanted.left = wanted.left.saturating_sub(1);
        if wanted.left == 0 {
            self.live.remove(&request);
            out.complete(request);
        }
    }
}

impl Session {
    pub(crate) fn handle_read(&mut self, read: &Read, now: Timestamp, out: &mut Actions) {
        let is_past = read.since.is_some() || read.until.is_some();
        let is_past =
            is_past || (read.kinds.contains(FieldKinds::HISTORICAL) && !read.kinds.contains(FieldKinds::MOMENTARY));
        // One more than there are, for this loop.
        let wanted = Wanted { since: read.since, until: read.until, left: read.nodes.len() + 1 };
        self.state.reads.live.insert(read.id, wanted);
        for number in &read.nodes {
            self.read_one(read.id, *number, is_past, now, out);
        }
        self.state.reads.end_one(read.id, out);
    }

    fn read_one(&mut self, read: Request, number: NodeNumber, is_past: bool, now: Timestamp, out: &mut Actions) {
        let Some(node) = self.state.nodes.get(number) else {
            return self.read_failed(read, number, Failure::new(ReasonCode::NotFound, "the resource is gone"), out);
        };
        let (at, head) = node.head_reading();
        out.answer(read, number, at.unwrap_or(now), head);
        if is_past && node.has_instances() {
            let Some(wanted) = self.state.reads.live.get(&read) else { return };
            // When data of a time series were made, the CSE cannot be asked for; they were made before they came.
            let until = wanted.until.filter(|_| node.instance_type() == crate::codec::ty::CONTENT_INSTANCE);
            let primitive = self.instances_of(node, wanted.since, until, 0);
            return self.ask_for(read, number, Purpose::ReadPast { read, node: number }, primitive, out);
        }
        if let Some((at, samples)) = node.last_reading() {
            out.answer(read, number, at, samples);
            return self.state.reads.end_one(read, out);
        }
        if node.is_ae() {
            return self.state.reads.end_one(read, out);
        }
        let address = if node.has_instances() { format!("{}/la", node.address) } else { node.address.clone() };
        self.ask_for(read, number, Purpose::ReadLatest { read, node: number }, Primitive::retrieve(address), out);
    }

    fn ask_for(
        &mut self,
        read: Request,
        number: NodeNumber,
        purpose: Purpose,
        primitive: Primitive,
        out: &mut Actions,
    ) {
        if let Err(failure) = self.may_ask(purpose, primitive) {
            self.read_failed(read, number, failure, out);
        }
    }

    /// Somebody waits for this: it fails at once if the CSE is away.
    fn may_ask(&mut self, purpose: Purpose, primitive: Primitive) -> Result<(), Failure> {
        if !self.is_ready() {
            return Err(Failure::new(ReasonCode::Unreachable, "the CSE cannot be reached"));
        }
        if !self.ask(purpose, primitive) {
            return Err(Failure::new(ReasonCode::Busy, "too many requests wait for the CSE"));
        }
        Ok(())
    }

    pub(super) fn read_failed(&mut self, read: Request, number: NodeNumber, failure: Failure, out: &mut Actions) {
        if self.state.reads.knows(read) {
            out.node_failed(read, number, failure);
            self.state.reads.end_one(read, out);
        }
    }

    pub(super) fn read_latest(
        &mut self,
        read: Request,
        number: NodeNumber,
        answer: Answer,
        now: Timestamp,
        out: &mut Actions,
    ) {
        let is_empty = answer.rsc == rsc::NOT_FOUND;
        let answer = match answer.done() {
            Ok(answer) => answer,
            // No instance yet is no trouble.
            Err(_) if is_empty => return self.state.reads.end_one(read, out),
            Err(failure) => return self.read_failed(read, number, failure, out),
        };
        if let (Some(resource), Some(node)) = (Resource::read(&answer.body), self.state.nodes.get_mut(number)) {
            let known = node.field_count();
            let (at, samples) = match resource.instance() {
                Some(newest) => (newest.at, node.take(&newest.con, newest.cnf.as_deref(), newest.at).0),
                None => {
                    let (content, at) = (node.flex_content(&resource), resource.time("lt").unwrap_or(now));
                    (at, node.take(&content, None, at).0)
                }
            };
            self.declare_if_grown(number, known, now, out);
            if !samples.is_empty() {
                out.answer(read, number, at, samples);
            }
        }
        self.state.reads.end_one(read, out);
    }

    fn declare_if_grown(&mut self, number: NodeNumber, known: usize, now: Timestamp, out: &mut Actions) {
        if self.state.nodes.get(number).is_some_and(|node| node.field_count() > known) {
            self.state.nodes.touch(number);
            self.state.nodes.flush(now, out);
        }
    }

    /// Instances of the past, newest last; of too many the newest.
    pub(super) fn read_past(&mut self, read: Request, number: NodeNumber, answer: Answer, out: &mut Actions) {
        let answer = match answer.done() {
            Ok(answer) => answer,
            Err(failure) => return self.read_failed(read, number, failure, out),
        };
        let Some(wanted) = self.state.reads.live.get(&read) else { return };
        let Some(node) = self.state.nodes.get(number) else { return self.state.reads.end_one(read, out) };
        let spans = |at: Timestamp| {
            wanted.since.is_none_or(|since| since <= at) && wanted.until.is_none_or(|until| at <= until)
        };
        let mut found = resource::instances(&answer.body);
        found.retain(|instance| spans(instance.at));
        let skip = found.len().saturating_sub(self.settings.history_max);
        for instance in found.iter().skip(skip) {
            let samples = node.past(&instance.con, instance.cnf.as_deref());
            if !samples.is_empty() {
                out.answer(read, number, instance.at, samples);
            }
        }
        self.state.reads.end_one(read, out);
    }

    pub(crate) fn handle_write(&mut self, write: &Write, out: &mut Actions) {
        let Some(node) = self.state.nodes.get(write.node) else {
            return out.fail(write.id, Failure::new(ReasonCode::NotFound, "the resource is gone"));
        };
        if write.settings.is_empty() {
            return out.complete(write.id);
        }
        let Some(primitive) = node.control(&write.settings) else {
            return out.fail(write.id, Failure::new(ReasonCode::NotSupported, "a field that cannot be set"));
        };
        if let Err(failure) = self.may_ask(Purpose::Write(write.id), primitive) {
            out.fail(write.id, failure);
        }
    }

    pub(crate) fn handle_invoke(&mut self, invoke: &Invoke, out: &mut Actions) {
        let Some(node) = self.state.nodes.get(invoke.node).filter(|_| invoke.command == "settings") else {
            return out.fail(invoke.id, Failure::new(ReasonCode::NotFound, "there is no such command"));
        };
        match node.edit(&invoke.arguments) {
            Ok(primitive) => {
                let purpose = Purpose::Edit { request: invoke.id, node: invoke.node };
                if let Err(failure) = self.may_ask(purpose, primitive) {
                    out.fail(invoke.id, failure);
                }
            }
            Err(trouble) => out.fail(invoke.id, Failure::new(ReasonCode::InvalidArgument, trouble)),
        }
    }

    pub(super) fn edited(
        &mut self,
        request: Request,
        number: NodeNumber,
        answer: Answer,
        now: Timestamp,
        out: &mut Actions,
    ) {
        let outcome = answer.done().map(|answer| {
            let address = self.state.nodes.get(number).map(|node| node.address.clone());
            if let (Some(address), Some(resource)) = (address, Resource::read(&answer.body)) {
                self.state.nodes.put(&address, &resource, &self.settings);
                self.state.nodes.flush(now, out);
            }
        });
        super::finish(request, outcome, out);
    }

    pub(crate) fn handle_cancelled(&mut self, request: Request) {
        self.state.reads.live.remove(&request);
        self.state.calls.cancel(request);
    }
}
