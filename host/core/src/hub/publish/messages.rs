//! Messages with a promise, as their sender (XEP-0184, `qos:1.0`).
//!
//! An acknowledged message is sent until its recipient says that it was handled. An assured one is sent until its recipient says that it
//! has it, and is then told to handle it until it says that it did; both steps always go to the same resource, because only that one has it.

use jid::{BareJid, Jid};
use minidom::Element;

use super::channel::{Channel, Parcel};
use super::{Hub, NotNow};
use crate::hub::Contact;
use crate::model::Timestamp;
use crate::model::custody::End;
use crate::wire::stanza::{Availability, message_with, presence, request};
use crate::wire::{Condition, FaultKind, StanzaFault, qos, receipts};

impl Hub {
    pub(super) fn send_for_receipt(&mut self, to: &Jid, number: u64, parcel: Parcel) -> Option<Jid> {
        self.send_as_us(message_with(to, &format!("p{number:x}"), parcel.payload, receipts::request()));
        Some(to.clone())
    }

    pub(super) fn send_acknowledged(
        &mut self,
        to: &Jid,
        ns: &str,
        number: u64,
        parcel: Parcel,
    ) -> Result<Option<Jid>, NotNow> {
        let to = self.resource_for(to)?;
        let asked = qos::Request::Acknowledged { message: qos::message(parcel.payload) };
        Ok(self.send_qos(to, &format!("p{number:x}"), asked.to_element(ns)))
    }

    pub(super) fn send_assured(
        &mut self,
        to: &Jid,
        ns: &str,
        number: u64,
        parcel: Parcel,
    ) -> Result<Option<Jid>, NotNow> {
        let id = format!("p{number:x}");
        if let Some(holder) = parcel.holder {
            return Ok(self.send_qos(holder, &format!("d{number:x}"), qos::Request::Deliver { id }.to_element(ns)));
        }
        let to = self.resource_for(to)?;
        let asked = qos::Request::Assured { id: id.clone(), message: qos::message(parcel.payload) };
        Ok(self.send_qos(to, &id, asked.to_element(ns)))
    }

    fn send_qos(&mut self, to: Jid, id: &str, payload: Element) -> Option<Jid> {
        self.send_as_us(request(Some(&to), id, true, payload));
        Some(to)
    }

    /// An iq to an account is answered by its server: it has to go to a resource, which we know from its presence.
    fn resource_for(&mut self, to: &Jid) -> Result<Jid, NotNow> {
        if to.is_full() || to.node().is_none() {
            return Ok(to.clone());
        }
        let bare = to.to_bare();
        if let Some(resource) = self.friends.resource_of(&bare) {
            return Ok(resource.clone());
        }
        let contact = Contact { jid: bare.clone(), at: self.config.component.clone() };
        if !self.friends.sees(&contact) && self.publisher.asked.insert(bare) {
            self.send_as_us(presence(Availability::Subscribe, Some(to), []));
        }
        Err(NotNow)
    }

    /// A recipient came online: what waits for it is sent.
    pub(in crate::hub) fn recipient_here(&mut self, bare: &BareJid, now: Timestamp) {
        if !self.publisher.lanes.is_empty() {
            self.renew_channels(
                |channel| !matches!(channel, Channel::Receipts(_)) && channel.reader().as_ref() == Some(bare),
                now,
            );
        }
    }

    /// The first step of an assured message is done: the second follows at once.
    pub(super) fn kept_by_peer(&mut self, lane_number: u64, number: u64, from: Option<&Jid>, now: Timestamp) {
        let Some(lane) = self.publisher.lanes.get_mut(&lane_number) else { return };
        lane.succeeded();
        let Some(parcel) = lane.parcels.get_mut(&number) else { return };
        parcel.holder = from.cloned();
        let (parcel, channel) = (parcel.clone(), lane.channel.clone());
        self.keep_parcel(number, &channel, &parcel);
        if let Ok(to) = self.dispatch(lane_number, number)
            && let Some(lane) = self.publisher.lanes.get_mut(&lane_number)
        {
            lane.sent(number, to, now);
        }
        self.pump(lane_number, now);
    }

    /// What can be mended later is tried again; what cannot is given up.
    pub(super) fn refused(&mut self, lane_number: u64, number: u64, fault: &StanzaFault, now: Timestamp) {
        let Some(lane) = self.publisher.lanes.get_mut(&lane_number) else { return };
        if let Channel::Node(service, node) = lane.channel.clone() {
            return self.node_refused((lane_number, number), service.as_ref(), &node, fault, now);
        }
        let reason = fault.text.as_deref().unwrap_or(fault.condition.as_str());
        if is_final(fault) {
            self.give_up_for(number, End::Refused, reason);
            return self.pump(lane_number, now);
        }
        lane.failed(now);
        self.trouble(lane_number, reason.to_owned());
        self.arm(lane_number);
    }

    /// A receipt came.
    pub(in crate::hub) fn receipt_came(&mut self, from: &Jid, id: &str, now: Timestamp) {
        if let Some(number) = self.message_of_ours(from, id) {
            self.confirmed(number, now);
        }
    }

    /// One of our messages could not be delivered; false: it was none that has a promise.
    pub(in crate::hub) fn message_bounced(
        &mut self,
        from: &Jid,
        id: &str,
        fault: &StanzaFault,
        now: Timestamp,
    ) -> bool {
        let Some(number) = self.message_of_ours(from, id) else { return false };
        if let Some(lane) = self.publisher.parcels.get(&number).copied().filter(|_| fault.kind != FaultKind::Wait) {
            self.give_up_for(number, End::Refused, fault.text.as_deref().unwrap_or(fault.condition.as_str()));
            self.pump(lane, now);
        }
        true
    }

    /// The message of ours that this id names, if it went to this account.
    fn message_of_ours(&self, from: &Jid, id: &str) -> Option<u64> {
        let number = u64::from_str_radix(id.strip_prefix('p')?, 16).ok()?;
        let lane = self.publisher.lanes.get(self.publisher.parcels.get(&number)?)?;
        let is_from = matches!(&lane.channel, Channel::Receipts(to) if to.to_bare() == from.to_bare());
        is_from.then_some(number)
    }
}

/// Whether the same message would be refused for ever; an account that is away, or a server, may come back.
fn is_final(fault: &StanzaFault) -> bool {
    use Condition as C;
    let is_away = matches!(
        fault.condition,
        C::ServiceUnavailable
            | C::RecipientUnavailable
            | C::RemoteServerNotFound
            | C::RemoteServerTimeout
            | C::ResourceConstraint
            | C::InternalServerError
            | C::Gone
    );
    fault.kind != FaultKind::Wait && !is_away
}
