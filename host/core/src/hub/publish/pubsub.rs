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
use crate::model::custody::End;
use crate::model::{Timestamp, limits};
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
        let is_prepared = self.publisher.optionless.get(&channel) == Some(&true);
        let options = (!is_prepared).then_some(config);
        let publication = pubsub::publish(node, Some(&id), parcel.payload, options);
        self.send_as_us(request(service, &format!("p{number:x}"), true, publication));
        Ok(service.cloned())
    }

    pub(super) fn node_refused(
        &mut self,
        (lane_number, number): (u64, u64),
        service: Option<&Jid>,
        node: &str,
        fault: &StanzaFault,
        now: Timestamp,
    ) {
        let Some(lane) = self.publisher.lanes.get_mut(&lane_number) else { return };
        if is_about_content(fault)
            && let Some(parcel) = lane.parcels.get_mut(&number)
        {
            parcel.refusals += 1;
            if parcel.refusals >= limits::POISON_ATTEMPTS {
                self.give_up(number, End::dead(format!("its node's service refuses it: {}", why(fault))));
                return self.pump(lane_number, now);
            }
        }
        let Some(lane) = self.publisher.lanes.get_mut(&lane_number) else { return };
        lane.failed(now);
        let channel = super::Channel::Node(service.cloned(), node.to_owned());
        let rule = self.publisher.rule_of(&channel);
        let How::Node { config, create, .. } = rule.as_ref().map_or(&How::Presence, |rule| &rule.how) else { return };
        let refusal = pubsub::Refusal::of(fault);
        if refusal == pubsub::Refusal::NoOptions {
            self.publisher.optionless.insert(channel, false);
        }
        let mending = match refusal {
            pubsub::Refusal::NoNode | pubsub::Refusal::NoOptions if *create => Some(pubsub::create(node, config)),
            pubsub::Refusal::OtherConfig | pubsub::Refusal::NoOptions => Some(pubsub::configure(node, config)),
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
        let channel = self.publisher.lanes.get(&lane_number).map(|lane| lane.channel.clone());
        let is_optionless = channel.as_ref().is_some_and(|channel| self.publisher.optionless.contains_key(channel));
        match (outcome, channel) {
            // It is there: that it is as it must be cannot be said with the publication.
            (Err(fault), Some(super::Channel::Node(service, node)))
                if is_optionless && fault.condition == Condition::Conflict =>
            {
                let rule = self.publisher.rule_of(&super::Channel::Node(service.clone(), node.clone()));
                if let Some(How::Node { config, .. }) = rule.as_ref().map(|rule| &rule.how) {
                    let payload = pubsub::configure(&node, config);
                    self.ask_peer(service.as_ref(), true, payload, Purpose::NodeChange(lane_number), now);
                }
            }
            // Somebody else made it meanwhile.
            (Err(fault), _) if fault.condition != Condition::Conflict => self.trouble(lane_number, why(fault)),
            _ => self.node_ready(lane_number, now),
        }
    }

    /// A node that was there was changed, or not.
    pub(in crate::hub) fn node_changed(&mut self, lane_number: u64, outcome: &Answered, now: Timestamp) {
        match outcome {
            Err(fault) => self.trouble(lane_number, why(fault)),
            Ok(_) => self.node_ready(lane_number, now),
        }
    }

    fn node_ready(&mut self, lane_number: u64, now: Timestamp) {
        let Some(lane) = self.publisher.lanes.get_mut(&lane_number) else { return };
        lane.reopen();
        if let Some(is_prepared) = self.publisher.optionless.get_mut(&lane.channel) {
            *is_prepared = true;
        }
        self.pump(lane_number, now);
    }
}

/// Whether a fault is about what is published and not about the node, our rights there, or the service.
fn is_about_content(fault: &StanzaFault) -> bool {
    use Condition as C;
    let is_content = matches!(fault.condition, C::BadRequest | C::NotAcceptable | C::PolicyViolation);
    is_content && matches!(pubsub::Refusal::of(fault), pubsub::Refusal::Other)
}

fn why(fault: &StanzaFault) -> String {
    match &fault.text {
        Some(text) => format!("{}: {text}", fault.condition.as_str()),
        None => fault.condition.as_str().to_owned(),
    }
}
