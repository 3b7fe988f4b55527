//! Nodes of a publish-subscribe service, as their publisher (XEP-0060, XEP-0163).
//!
//! The service's result is the acknowledgement: a publication that the stream acknowledged (XEP-0198) may still be refused by the service. With
//! each publication goes what the node must be. A service that says that it is otherwise is told to change it; one without the node, to make
//! it. Whatever else is wrong is told to the operator once and tried again, later each time.

use jid::Jid;

use super::channel::Parcel;
use super::rule::How;
use super::{Hub, NotNow};
use crate::hub::asks::{Answered, Purpose};
use crate::model::Timestamp;
use crate::wire::stanza::request;
use crate::wire::{Condition, StanzaFault, pubsub};

/// The item that is replaced where only the last is kept.
const CURRENT: &str = "current";

impl Hub {
    pub(super) fn send_to_node(
        &mut self,
        service: Option<&Jid>,
        node: &str,
        number: u64,
        parcel: Parcel,
    ) -> Result<Option<Jid>, NotNow> {
        let channel = super::Channel::Node(service.cloned(), node.to_owned());
        let rule = self.publisher.rule_of(&channel).ok_or(NotNow)?;
        let How::Node { config, .. } = &rule.how else { return Err(NotNow) };
        // Without an id of ours, a repetition would be another item.
        let id = if config.max_items == 1 { CURRENT.to_owned() } else { format!("{number:x}") };
        let publication = pubsub::publish(node, Some(&id), parcel.payload, Some(config));
        self.send_as_us(request(service, &format!("p{number:x}"), true, publication));
        Ok(service.cloned())
    }

    pub(super) fn node_refused(
        &mut self,
        lane_number: u64,
        service: Option<&Jid>,
        node: &str,
        fault: &StanzaFault,
        now: Timestamp,
    ) {
        let Some(lane) = self.publisher.lanes.get_mut(&lane_number) else { return };
        lane.failed(now);
        let rule = self.publisher.rule_of(&super::Channel::Node(service.cloned(), node.to_owned()));
        let How::Node { config, create, .. } = rule.as_ref().map_or(&How::Presence, |rule| &rule.how) else { return };
        let mending = match pubsub::Refusal::of(fault) {
            pubsub::Refusal::NoNode if *create => Some(pubsub::create(node, config)),
            pubsub::Refusal::OtherConfig => Some(pubsub::configure(node, config)),
            pubsub::Refusal::NoNode | pubsub::Refusal::Other => None,
        };
        match mending {
            Some(payload) => self.ask_peer(service, true, payload, Purpose::Node(lane_number), now),
            None => self.trouble(lane_number, why(fault)),
        }
        self.arm(lane_number);
    }

    /// A node was made or changed, or not.
    pub(in crate::hub) fn node_prepared(&mut self, lane_number: u64, outcome: &Answered, now: Timestamp) {
        match outcome {
            // Somebody else made it meanwhile.
            Err(fault) if fault.condition != Condition::Conflict => self.trouble(lane_number, why(fault)),
            _ => {
                if let Some(lane) = self.publisher.lanes.get_mut(&lane_number) {
                    lane.reopen();
                }
                self.pump(lane_number, now);
            }
        }
    }
}

fn why(fault: &StanzaFault) -> String {
    match &fault.text {
        Some(text) => format!("{}: {text}", fault.condition.as_str()),
        None => fault.condition.as_str().to_owned(),
    }
}
