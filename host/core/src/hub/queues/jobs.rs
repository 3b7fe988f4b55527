//! Bridges as consumers: control operations that wait in a queue are carried out, one attempt a lease.
//!
//! Whoever pushed the operation must be allowed it, as if it had asked itself. What is done is acknowledged; what fails stays on lease until
//! that ends, and is tried again then; what is no control operation for one of the queue's bridges will never be one, and is dead at once, as
//! is what made its mapper fail again and again.

use jid::Jid;

use super::super::Hub;
use super::super::addresses::Peer;
use super::super::controls::Informed;
use super::super::errands::Errand;
use super::table::Place;
use crate::model::{Failure, ReasonCode, Timestamp, limits};
use crate::policy::QueueRule;
use crate::wire::control::Set;
use crate::wire::queue::{self, Death};

/// In whose name bridges have items on lease; nobody can log in as that.
const WORKER: &str = "bridges.invalid";

impl Hub {
    /// Carries out what waits in a queue of bridges, as far as there are hands free.
    pub(super) fn carry_out(&mut self, name: &str, now: Timestamp) {
        let Some(rule) = self.queues.rules.get(name).filter(|rule| !rule.bridges.is_empty()).cloned() else { return };
        let Ok(worker) = Jid::new(WORKER) else { return };
        loop {
            let Some(table) = self.queues.tables.get_mut(name) else { return };
            if table.of_consumer(|jid| *jid == worker).len() >= limits::QUEUE_JOBS_MAX {
                return;
            }
            let leased = table.lease(1, usize::MAX, &worker, now.plus_ms(rule.lease_ms));
            let Some(place) = leased.first().copied() else { return };
            self.keep_attempts(name, place);
            self.begin_job(&rule, place, now);
        }
    }

    fn begin_job(&mut self, rule: &QueueRule, place: Place, now: Timestamp) {
        let Some((publisher, set)) = self.job(rule, place) else {
            return self.bury(rule, place, Death::Refused, "no bridge of the queue can do that");
        };
        let job = Errand::Job { queue: rule.name.clone(), place };
        // An error may pass: a device that is not there yet, a rule that is about to be written.
        if let Ok(writes) = self.plan(&publisher, &set) {
            self.execute(Informed::Errand(job), publisher, &set, writes, now);
        }
    }

    /// Who asks for what, if it is for the bridges of this queue.
    fn job(&self, rule: &QueueRule, place: Place) -> Option<(Peer, Set)> {
        let held = self.queues.tables.get(&rule.name)?.get(place)?;
        let set = queue::control_of(&held.item.payload)?;
        let is_ours = !set.nodes.is_empty() && set.nodes.iter().all(|node| rule.bridges.contains(&node.source));
        let publisher = Peer { jid: held.item.publisher.clone()?.into(), at: None };
        is_ours.then_some((publisher, set))
    }

    /// A control operation out of a queue has ended.
    pub(in crate::hub) fn job_ended(&mut self, name: &str, place: Place, failure: Option<&Failure>) {
        if let Some(failure) = failure {
            if failure.code == ReasonCode::Internal {
                self.job_faulted(name, place);
            }
            return;
        }
        self.item_done(name, place);
        self.take_backlog(name);
        self.carry_out(name, self.now);
    }

    /// The mapper, or its instance, went wrong over an item: after a few times it is the item.
    fn job_faulted(&mut self, name: &str, place: Place) {
        let Some(rule) = self.queues.rules.get(name).cloned() else { return };
        let faults = self.queues.tables.get_mut(name).and_then(|table| table.faulted(place));
        if faults.is_some_and(|faults| faults >= limits::POISON_ATTEMPTS) {
            self.bury(&rule, place, Death::Attempts, "it made its mapper fail again and again");
        }
    }
}
