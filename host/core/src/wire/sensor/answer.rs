//! What a client is answered.

use minidom::Element;

use super::super::dialect::Dialect;
use crate::model::NodeReading;

/// One step of a readout, in an iq result or in a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The generation it came in; may differ from the one asked in.
    pub dialect: Dialect,
    /// The readout's or the subscription's.
    pub id: String,
    /// What it says.
    pub progress: Progress,
}

/// How far a readout is.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// Readings follow.
    Accepted {
        /// Only later; `Started` will tell.
        queued: bool,
    },
    /// Readings follow now.
    Started,
    /// Readings, or trouble of nodes.
    Data {
        /// In the order sent.
        readings: Vec<NodeReading>,
        /// Nothing follows.
        last: bool,
    },
    /// Nothing follows.
    Done,
    /// Nothing more follows.
    Cancelled,
}

impl Answer {
    /// Reads the payload of an iq result or message; none: it is no part of a readout.
    pub fn parse(payload: &Element) -> Option<Self> {
        let _ = payload;
        None
    }
}
