//! What is asked of a remote: jobs, of which only some are under way at once, and whose answers are whose.
//!
//! Answers of an older epoch mean nothing, except to the mapper whose request they end.

use jid::BareJid;

use super::browse::Nodes;
use super::order::Order;
use super::remote::Readout;
use crate::hub::Hub;
use crate::hub::asks::{Answered, Purpose};
use crate::model::{NodeRef, Timestamp, limits};
use crate::wire::control::Parameter;
use crate::wire::discovery;
use crate::wire::stanza::{Condition, FaultKind, StanzaFault};

/// Something to be asked.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::hub) enum Job {
    Disco,
    Sources,
    Nodes(Nodes),
    Read { nodes: Vec<NodeRef>, order: Option<Order> },
    Form(NodeRef),
    Subscribe { id: String, nodes: Vec<NodeRef> },
    Watch(String),
    Set { order: Order, node: NodeRef, parameters: Vec<Parameter> },
}

/// On whose behalf something was asked.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::hub) struct Asked {
    pub(super) jid: BareJid,
    pub(super) epoch: u64,
    pub(super) job: Job,
    /// The readout's id.
    pub(super) readout: Option<String>,
}

impl Hub {
    /// A job that comes before all others.
    pub(super) fn queue_first(&mut self, jid: &BareJid, job: Job, now: Timestamp) {
        if let Some(remote) = self.mirrors.remotes.get_mut(jid) {
            remote.queue.push_front(job);
        }
        self.ask_more(jid, now);
    }

    /// Asks what is to be asked, as much at once as a remote is taken to bear.
    pub(super) fn ask_more(&mut self, jid: &BareJid, now: Timestamp) {
        while let Some(job) = self.next_job(jid) {
            self.ask_remote(jid, job, now);
        }
        self.schedule_poll(jid, now);
        self.set_alarm(jid, now);
    }

    fn next_job(&mut self, jid: &BareJid) -> Option<Job> {
        let id = self.remote_id();
        let remote = self.mirrors.remotes.get_mut(jid)?;
        if remote.peer.is_none() || remote.under_way >= limits::MIRROR_ASKS_PER_REMOTE_MAX {
            return None;
        }
        remote.queue.pop_front().or_else(|| remote.next_lesson(id))
    }

    /// A number that fits every generation; it begins somewhere else after each start of the host, so that what the last one asked for is
    /// not taken for ours.
    pub(super) fn remote_id(&mut self) -> String {
        let number = self.number().wrapping_add(self.config.first_item >> 10);
        (number & 0x7fff_ffff).to_string()
    }

    fn ask_remote(&mut self, jid: &BareJid, job: Job, now: Timestamp) {
        let id = self.remote_id();
        let Some(remote) = self.mirrors.remotes.get_mut(jid) else { return };
        let Some(peer) = &remote.peer else { return };
        let (address, epoch) = (peer.address.clone(), remote.epoch);
        let (set, payload) = match &job {
            Job::Disco => (false, discovery::Request::Info { node: None }.to_element()),
            Job::Sources | Job::Nodes(_) | Job::Watch(_) => job.browse(peer.dialect),
            _ => job.lesson(peer.dialect, &id),
        };
        remote.under_way += 1;
        let readout = match &job {
            Job::Read { nodes, order } => {
                let deadline = now.plus_ms(limits::MIRROR_READOUT_MS_MAX);
                let readout = Readout { nodes: nodes.clone(), order: order.clone(), deadline, error: None };
                remote.readouts.insert(id.clone(), readout);
                Some(id)
            }
            _ => None,
        };
        let asked = Asked { jid: jid.clone(), epoch, job, readout };
        self.ask_peer(Some(&address), set, payload, Purpose::Remote(Box::new(asked)), now);
    }

    /// An ask of ours ended.
    pub(in crate::hub) fn remote_answered(&mut self, asked: Asked, outcome: Answered, now: Timestamp) {
        let Asked { jid, epoch, job, readout } = asked;
        if let Job::Set { order, node, parameters } = &job {
            let names: Vec<String> = parameters.iter().map(|parameter| parameter.name.clone()).collect();
            self.was_set(&jid, order, node, &names, &outcome);
        }
        let Some(remote) = self.mirrors.remotes.get_mut(&jid).filter(|remote| remote.epoch == epoch) else { return };
        // An accepted readout is under way until its last message.
        if readout.is_none() {
            remote.under_way = remote.under_way.saturating_sub(1);
        }
        match (job, outcome) {
            (Job::Set { .. }, _) => {}
            (Job::Disco, outcome) => self.discovered(&jid, outcome, now),
            (_, Err(fault)) if is_unreachable(&fault) => self.lose_for_a_while(&jid, "The thing does not answer.", now),
            (job @ (Job::Sources | Job::Nodes(_) | Job::Watch(_)), outcome) => self.browsed(&jid, job, outcome, now),
            (job, outcome) => self.lesson_learned(&jid, job, readout.as_deref(), outcome, now),
        }
        self.ask_more(&jid, now);
    }
}

/// Whether a fault says that nobody is there, rather than what somebody thinks.
pub(super) fn is_unreachable(fault: &StanzaFault) -> bool {
    match fault.condition {
        Condition::RemoteServerTimeout | Condition::RemoteServerNotFound | Condition::RecipientUnavailable => true,
        Condition::Gone => fault.kind == FaultKind::Cancel,
        _ => false,
    }
}
