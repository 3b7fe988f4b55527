//! What is known of one root device: where it is, what it consists of, what it was subscribed to. Owns how its nodes are shown.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Actions, Extra, Node, Readout, Sample, Timestamp};

use super::{Errand, state};
use crate::calls::{Call, Way};
use crate::codec::gena;
use crate::codec::scpd::Scpd;
use crate::codec::url::Url;
use crate::mapping::{Part, Plan};

/// Senders that may say goodbye for a device.
const SENDERS_MAX: usize = 4;

/// A root device with what is embedded in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Root {
    pub(super) location: Url,
    /// Another place where it announced itself, for instance in another network of its host.
    pub(super) other: Option<Url>,
    pub(super) boot_id: Option<u32>,
    pub(super) config_id: Option<u32>,
    pub(super) presence: Presence,
    /// Until when its announcement is good; of one that is gone: since when.
    pub(super) expires: Timestamp,
    /// Who announced it, as the transport tells them apart.
    pub(super) senders: Vec<String>,
    /// Somebody else said goodbye for it, and it is being asked.
    pub(super) is_doubted: bool,
    pub(super) doubted_at: Option<Timestamp>,
    /// It does not answer, although it should be there.
    pub(super) is_lost: bool,
    pub(super) fetch: Fetch,
    /// When its description was asked for last.
    pub(super) asked_at: Timestamp,
    /// Counts descriptions: answers that belong to an earlier one are stale.
    pub(super) generation: u32,
    /// Bytes of its documents.
    pub(super) bytes: usize,
    /// It does not know how to be asked for a variable.
    pub(super) has_no_query: bool,
    /// As shown.
    pub(super) units: Vec<Unit>,
    /// As it is being fetched.
    pub(super) draft: Vec<Unit>,
}

/// Whether a root device is in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Presence {
    /// Known from an earlier run.
    Unknown,
    Here,
    Gone,
}

/// How far its description is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Fetch {
    /// To be asked for.
    Due {
        at: Timestamp,
        failures: u32,
    },
    /// Asked for.
    Description {
        failures: u32,
    },
    /// So many service descriptions are still to come.
    Services {
        left: usize,
    },
    Done,
}

/// A device that is a node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Unit {
    pub(super) udn: String,
    pub(super) parent: Option<usize>,
    pub(super) id: String,
    pub(super) number: u32,
    pub(super) device_type: String,
    pub(super) label: String,
    pub(super) extras: Vec<(String, String)>,
    pub(super) services: Vec<Service>,
    /// The last text of each field, by name.
    pub(super) texts: BTreeMap<String, String>,
    /// When what tells no events is read next.
    pub(super) poll_at: Option<Timestamp>,
    #[serde(skip)]
    pub(super) plan: Plan,
    /// Fields of which it was said that their texts make no sense.
    #[serde(skip)]
    pub(super) warned: BTreeSet<u16>,
}

/// A service of a device.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Service {
    pub(super) service_type: String,
    pub(super) service_id: String,
    pub(super) short: String,
    pub(super) control: Option<Url>,
    pub(super) events: Option<Url>,
    pub(super) scpd_url: Option<Url>,
    pub(super) scpd: Option<Scpd>,
    pub(super) subscription: Subscription,
    /// Getters that it describes and does not have.
    pub(super) broken: BTreeSet<String>,
}

/// What a service is to tell us.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Subscription {
    /// The end of the URL that it tells to: nobody else knows it.
    pub(super) token: String,
    pub(super) phase: Phase,
    /// The number that the next event must have.
    pub(super) next: u32,
    /// The initial event has come.
    pub(super) is_current: bool,
    /// Who told the initial event before we were told the subscription's id.
    pub(super) early: Option<String>,
    pub(super) failures: u32,
}

/// How far a subscription is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    #[default]
    Off,
    Due(Timestamp),
    Asked,
    Live {
        sid: String,
        renew_at: Timestamp,
        until: Timestamp,
    },
    Renewing {
        sid: String,
        until: Timestamp,
    },
}

impl Subscription {
    pub(super) fn sid(&self) -> Option<&String> {
        match &self.phase {
            Phase::Live { sid, .. } | Phase::Renewing { sid, .. } => Some(sid),
            Phase::Off | Phase::Due(_) | Phase::Asked => None,
        }
    }

    /// Whether its variables are known as they are now.
    pub(super) fn is_live(&self) -> bool {
        self.is_current && self.sid().is_some()
    }

    pub(super) fn begin_again(&mut self, at: Timestamp) {
        self.phase = Phase::Due(at);
        (self.is_current, self.early, self.next) = (false, None, 0);
    }
}

impl Service {
    pub(super) fn tells_events(&self) -> bool {
        self.events.is_some()
            && self.scpd.as_ref().is_some_and(|scpd| scpd.variables.iter().any(|variable| variable.is_evented))
    }
}

impl Root {
    pub(super) fn new(location: Url, now: Timestamp) -> Self {
        Self {
            location,
            other: None,
            boot_id: None,
            config_id: None,
            presence: Presence::Here,
            expires: now,
            senders: Vec::new(),
            is_doubted: false,
            doubted_at: None,
            is_lost: false,
            fetch: Fetch::Due { at: now, failures: 0 },
            asked_at: 0,
            generation: 0,
            bytes: 0,
            has_no_query: false,
            units: Vec::new(),
            draft: Vec::new(),
        }
    }

    /// Remembers who announced it: a device has one or two sockets for that, and the first to be heard are believed.
    pub(super) fn know(&mut self, sender: &str) {
        if self.senders.len() < SENDERS_MAX && !self.senders.iter().any(|known| known == sender) {
            self.senders.push(sender.to_owned());
        }
    }

    /// Works out again what is not kept.
    pub(super) fn plan(&mut self, units: &BTreeMap<String, String>) {
        self.units.iter_mut().for_each(|unit| unit.plan(units));
    }

    pub(super) fn next_fetch(&self) -> Option<Timestamp> {
        if let Fetch::Due { at, .. } = self.fetch { Some(at) } else { None }
    }

    /// Shows its nodes.
    pub(super) fn declare(&self, out: &mut Actions) {
        for unit in &self.units {
            let parent = unit.parent.and_then(|parent| self.units.get(parent)).map(|parent| parent.number);
            out.put_node(Node { parent, state: state(self), ..unit.node() });
        }
    }

    pub(super) fn tell_state(&self, out: &mut Actions) {
        self.units.iter().for_each(|unit| out.node_state(unit.number, state(self)));
    }

    /// Asks every service to stop telling.
    pub(super) fn end_subscriptions(&mut self, way: &mut Way<'_>) {
        let services = self.units.iter_mut().flat_map(|unit| &mut unit.services);
        services.for_each(|service| service.unsubscribe(way));
    }
}

impl Service {
    /// Asks it to stop telling; nobody waits for the answer.
    pub(super) fn unsubscribe(&mut self, way: &mut Way<'_>) {
        if let (Some(sid), Some(events)) = (self.subscription.sid(), &self.events) {
            let headers = gena::unsubscribe(sid);
            let _ = way.push(Call::new(Errand::Unsubscribe, "UNSUBSCRIBE", events, headers), false);
        }
        self.subscription.phase = Phase::Off;
    }
}

impl Unit {
    pub(super) fn plan(&mut self, units: &BTreeMap<String, String>) {
        let parts: Vec<Option<Part<'_>>> = self.services.iter().map(Service::part).collect();
        self.plan = Plan::new(&parts, units);
        let fields = &self.plan.fields;
        self.texts.retain(|name, _| fields.iter().any(|field| field.field.name == *name));
    }

    fn node(&self) -> Node {
        let fields = self.plan.fields.iter().map(|field| field.field.clone()).collect();
        Node {
            label: self.label.clone(),
            readout: if self.plan.fields.is_empty() { Readout::Reported } else { Readout::OnRequest },
            commands: self.plan.commands.iter().map(|command| command.command.clone()).collect(),
            extras: self.extras.iter().map(|(key, value)| Extra { key: key.clone(), value: value.clone() }).collect(),
            ..Node::new(self.number, &self.id, &format!("upnp.{}", short_type(&self.device_type)), fields)
        }
    }

    /// Whether events tell this field as it is now.
    pub(super) fn is_live(&self, number: u16) -> bool {
        let Some(field) = self.plan.field(number).filter(|field| field.is_evented) else { return false };
        self.services.get(field.service).is_some_and(|service| service.subscription.is_live())
    }

    /// Takes the text of a field; gives the sample, or none if it makes no sense, which is said once.
    pub(super) fn take(&mut self, number: u16, text: &str, way: &mut Way<'_>) -> Option<Sample> {
        let field = self.plan.field(number)?;
        let Some(value) = field.kind.read(text) else {
            if self.warned.insert(number) {
                way.warn(format!("{}: a text of {} does not fit its type", self.id, field.field.name));
            }
            return None;
        };
        // What is kept is there to be told again; a text as long as a document is not worth it.
        if text.len() <= TEXT_KEPT_BYTES_MAX {
            self.texts.insert(field.field.name.clone(), text.to_owned());
        }
        Some(Sample::new(number, value))
    }

    /// The last value of a field.
    pub(super) fn known(&self, number: u16) -> Option<Sample> {
        let field = self.plan.field(number)?;
        Some(Sample::new(number, field.kind.read(self.texts.get(&field.field.name)?)?))
    }
}

/// Bytes of a field's text that is kept.
const TEXT_KEPT_BYTES_MAX: usize = 1024;

impl Service {
    fn part(&self) -> Option<Part<'_>> {
        Some(Part { short: &self.short, service_type: &self.service_type, scpd: self.scpd.as_ref()? })
    }
}

/// `BinaryLight.1` of `urn:schemas-upnp-org:device:BinaryLight:1`.
fn short_type(device_type: &str) -> String {
    let mut parts = device_type.rsplitn(3, ':');
    let (version, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let joined = if name.is_empty() { version.to_owned() } else { format!("{name}.{version}") };
    if joined.is_empty() { "device".into() } else { joined }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_shortly() {
        let all = [("urn:schemas-upnp-org:device:BinaryLight:1", "BinaryLight.1"), ("x", "x"), ("", "device")];
        for (text, expected) in all {
            assert_eq!(short_type(text), expected);
        }
    }
}
