//! Event subscriptions: standing wishes for readings (spec: sensor-data §5). What triggers is not decided here.

use minidom::Element;

use super::dialect::Dialect;
use super::stanza::StanzaFault;
use crate::model::{FieldKinds, NodeRef};

/// What a subscriber asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Wants readings.
    Subscribe(Subscribe),
    /// Wants them no longer. The answer is an empty result, whether or not there was one.
    Unsubscribe {
        /// The generation asked in.
        dialect: Dialect,
        /// The subscription.
        id: String,
    },
}

/// A wish for readings. The answer is [`super::sensor::accepted`] with the same id, and readings carry it too.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe {
    /// The generation asked in.
    pub dialect: Dialect,
    /// Chosen by the subscriber.
    pub id: String,
    /// Which nodes; empty: see the generation's rule.
    pub nodes: Vec<NodeRef>,
    /// When to send; empty: on every new value.
    pub fields: Vec<FieldRule>,
    /// Which kinds; never empty.
    pub kinds: FieldKinds,
    /// Oldest historical value to send, in microseconds before the event.
    pub age_us_max: Option<u64>,
    /// Shortest time between two events, in microseconds.
    pub interval_us_min: Option<u64>,
    /// Longest time between two events, in microseconds.
    pub interval_us_max: Option<u64>,
    /// Also read at once.
    pub read_now: bool,
}

/// When a change of one field is worth an event. Without any threshold every change is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldRule {
    /// The field.
    pub name: String,
    /// What the subscriber takes the value to be.
    pub current: Option<f64>,
    /// Change either way; greater than zero.
    pub by: Option<f64>,
    /// Change upward; greater than zero.
    pub up: Option<f64>,
    /// Change downward; greater than zero.
    pub down: Option<f64>,
}

impl Request {
    /// Reads `<subscribe>` or `<unsubscribe>`.
    pub fn parse(payload: &Element, dialect: Dialect) -> Result<Self, StanzaFault> {
        let _ = (payload, dialect);
        Err(StanzaFault::not_implemented())
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        Element::bare("subscribe", Dialect::Nf.events_ns())
    }
}
