//! What a client asks: a readout, or its end.

use minidom::Element;

use super::super::dialect::Dialect;
use super::super::stanza::StanzaFault;
use crate::model::{FieldKinds, NodeReading, NodeRef, Timestamp};

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Readings, please.
    Read(Read),
    /// No more of that. The answer is [`super::cancelled`], whether or not there was one.
    Cancel {
        /// The generation asked in.
        dialect: Dialect,
        /// The readout.
        id: String,
    },
}

/// Asks for readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The generation asked in; everything that belongs to the readout is answered in it.
    pub dialect: Dialect,
    /// Chosen by the caller, unique for its full JID; long names want an integer of 32 bits.
    pub id: String,
    /// Which nodes. Empty: with long names all of the device, with short names none of a concentrator.
    pub nodes: Vec<NodeRef>,
    /// Names; empty: all.
    pub fields: Vec<String>,
    /// Which kinds; never empty. `all` on the wire is every kind.
    pub kinds: FieldKinds,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Not after.
    pub to: Option<Timestamp>,
    /// Not to be done before.
    pub when: Option<Timestamp>,
}

impl Request {
    /// Reads `<req>` or `<cancel>`.
    pub fn parse(payload: &Element, dialect: Dialect) -> Result<Self, StanzaFault> {
        let _ = (payload, dialect);
        Err(StanzaFault::not_implemented())
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        Element::bare("req", Dialect::Nf.sensor_ns())
    }
}

impl Read {
    /// Drops what was not asked for: responders may send more, and clients must not mind.
    pub fn retain_wanted(&self, readings: &mut Vec<NodeReading>) {
        let _ = readings;
    }
}
