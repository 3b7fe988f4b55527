//! Commands and edits under way: each is answered when every mapper has completed its part, or had its time.

use std::collections::BTreeMap;

use super::super::addresses::Peer;
use super::super::errands::{Errand, Wish};
use super::super::timers::Timer;
use super::super::{Asked, Asker, Hub, Owner};
use super::{Denied, Doer, Order, SETTINGS};
use crate::model::{Event, Failure, NodeRef, ReasonCode, Timestamp, limits};
use crate::wire::StanzaFault;
use crate::wire::concentrator::{self, Answer, Detail, Head, Targets};
use crate::wire::form::Form;

/// Commands and edits under way.
#[derive(Debug, Default)]
pub(in super::super) struct Runs(BTreeMap<u64, Run>);

#[derive(Debug)]
struct Run {
    caller: Peer,
    asker: Asker,
    head: Head,
    goal: Goal,
    /// The nodes as the caller named them, and what became of each.
    parts: Vec<(NodeRef, Result<(), Failure>)>,
    /// By request: who was asked, and for which part.
    pending: BTreeMap<u64, (String, usize)>,
    deadline: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Command,
    CommandOfSeveral,
    Edit,
    EditOfSeveral,
}

impl Runs {
    pub(in super::super) fn len(&self) -> usize {
        self.0.len()
    }

    fn is_full_for(&self, caller: &Peer) -> bool {
        self.len() >= limits::COMMANDS_MAX
            || self.0.values().filter(|run| run.caller.jid == caller.jid).count() >= limits::COMMANDS_PER_CALLER_MAX
    }
}

impl Hub {
    /// Answers `executeNodeCommand`, for one node or several.
    pub(in super::super) fn execute_command(
        &mut self,
        asker: Asker,
        caller: Peer,
        head: Head,
        (of, command): (&Targets, &str),
        form: Option<&Form>,
        now: Timestamp,
    ) {
        let goal = if matches!(of, Targets::One(_)) { Goal::Command } else { Goal::CommandOfSeveral };
        let orders = self.plan_command(&self.config.policy.of(&caller.bare()), (of, command), form, false);
        self.run(asker, caller, head, (goal, command), orders, now);
    }

    /// Answers `setNodeParametersAfterEdit`, for one node or several.
    pub(in super::super) fn edit(
        &mut self,
        asker: Asker,
        caller: Peer,
        head: Head,
        of: &Targets,
        form: &Form,
        now: Timestamp,
    ) {
        let goal = if matches!(of, Targets::One(_)) { Goal::Edit } else { Goal::EditOfSeveral };
        let orders = self.plan_edit(&self.config.policy.of(&caller.bare()), of, form);
        self.run(asker, caller, head, (goal, SETTINGS), orders, now);
    }

    fn run(
        &mut self,
        asker: Asker,
        caller: Peer,
        head: Head,
        (goal, command): (Goal, &str),
        orders: Result<Vec<Order>, Denied>,
        now: Timestamp,
    ) {
        let orders = match orders {
            Ok(_) if self.runs.is_full_for(&caller) => Err(StanzaFault::overload("Too many commands at once.").into()),
            orders => orders,
        };
        let orders = match orders {
            Ok(orders) => orders,
            Err(Denied::Fault(fault)) => return self.reply(&asker, concentrator::refuse(&head, fault)),
            Err(Denied::Form(form)) => return self.reply(&asker, concentrator::refuse_form(&head, &form)),
        };
        let number = self.number();
        let deadline = now.plus_ms(limits::COMMAND_DEADLINE_MS);
        let mut run = Run { caller, asker, head, goal, parts: Vec::new(), pending: BTreeMap::new(), deadline };
        let mut wishes = Vec::new();
        for order in orders {
            let index = run.parts.len();
            run.parts.push((order.shown.clone(), Ok(())));
            // An edit that changes nothing is done.
            if matches!(goal, Goal::Edit | Goal::EditOfSeveral) && order.arguments.is_empty() {
                continue;
            }
            if let Doer::Bridge(bridge, what) = &order.doer {
                let request = self.number();
                run.pending.insert(request, (bridge.clone(), index));
                wishes.push((request, Wish::Manage { bridge: bridge.clone(), what: *what }));
            } else if let Some((id, bridge)) = self.give(order, command, Owner::Run(number)) {
                run.pending.insert(id, (bridge, index));
            }
        }
        if run.pending.is_empty() {
            return self.run_over(run);
        }
        self.timers.set(deadline, Timer::RunDeadline(number));
        self.runs.0.insert(number, run);
        // Each may be refused at once.
        for (request, wish) in wishes {
            self.wish(Errand::Run { number, request }, wish, now);
        }
    }

    /// Hands an order to the mapper that carries it out; gives the request's number and the bridge.
    pub(super) fn give(&mut self, order: Order, command: &str, owner: Owner) -> Option<(u64, String)> {
        let Doer::Node(key) = order.doer else { return None };
        let id = self.number();
        let entry = self.registry.get(key)?;
        let (bridge, node) = (entry.bridge.to_string(), entry.node.number);
        self.tell(&bridge, Event::Invoke { id, node, command: command.to_owned(), arguments: order.arguments });
        self.requests.insert(id, Asked { bridge: bridge.clone(), owner });
        Some((id, bridge))
    }

    /// A mapper, or the service, is done with its part.
    pub(in super::super) fn run_completed(&mut self, number: u64, request: u64, outcome: Result<(), Failure>) {
        let Some(run) = self.runs.0.get_mut(&number) else { return };
        let Some((_, index)) = run.pending.remove(&request) else { return };
        if let Some((_, part)) = run.parts.get_mut(index) {
            *part = outcome;
        }
        if run.pending.is_empty()
            && let Some(run) = self.runs.0.remove(&number)
        {
            self.timers.cancel(run.deadline, Timer::RunDeadline(number));
            self.run_over(run);
        }
    }

    /// The mappers had their time.
    pub(in super::super) fn run_overdue(&mut self, number: u64) {
        let Some(mut run) = self.runs.0.remove(&number) else { return };
        for (request, (bridge, index)) in std::mem::take(&mut run.pending) {
            if self.requests.remove(&request).is_some() {
                self.tell(&bridge, Event::Cancelled(request));
            }
            if let Some((_, part)) = run.parts.get_mut(index) {
                *part = Err(Failure::new(ReasonCode::Timeout, "The device did not answer in time."));
            }
        }
        self.run_over(run);
    }

    /// A bridge is gone: nobody answers its requests any more.
    pub(in super::super) fn runs_lose_bridge(&mut self, bridge: &str) {
        let of = |(number, run): (&u64, &Run)| {
            let requests = run.pending.iter().filter(|(_, (name, _))| name == bridge);
            requests.map(|(request, _)| (*number, *request)).collect::<Vec<_>>()
        };
        let lost: Vec<(u64, u64)> = self.runs.0.iter().flat_map(of).collect();
        for (number, request) in lost {
            self.requests.remove(&request);
            self.run_completed(number, request, Err(Failure::new(ReasonCode::Closed, "The bridge is gone.")));
        }
    }

    fn run_over(&mut self, run: Run) {
        let failed = run.parts.iter().find_map(|(node, outcome)| Some((node, outcome.as_ref().err()?)));
        let answer = match (run.goal, failed) {
            (Goal::CommandOfSeveral, _) => {
                let each = run.parts.iter().map(|(_, outcome)| outcome.clone().map_err(|failure| failure.message));
                Ok(Answer::Executed(each.collect()))
            }
            (Goal::EditOfSeveral, Some((node, failure))) => {
                let mut fault = StanzaFault::from(failure);
                fault.text = Some(format!("{}: {}", node.id, failure.message));
                Err(fault)
            }
            (Goal::Command | Goal::Edit, Some((_, failure))) => Err(StanzaFault::from(failure)),
            (Goal::Command | Goal::EditOfSeveral, None) => Ok(Answer::Done),
            (Goal::Edit, None) => self.edited(&run),
        };
        self.conclude_with(&run.asker, &run.head, answer);
    }

    /// The node as it is after an edit, if the caller may still see it.
    fn edited(&self, run: &Run) -> Result<Answer, StanzaFault> {
        let Some((name, _)) = run.parts.first() else { return Ok(Answer::Done) };
        let access = self.config.policy.of(&run.caller.bare());
        let detail = Detail { parameters: true, messages: true };
        let place = self.visible(&access, name)?;
        Ok(Answer::Node(Box::new(self.info(&access, &place, &name.source, detail)?)))
    }
}
