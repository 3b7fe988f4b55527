//! What a client asks of a concentrator.

use bitflags::bitflags;
use minidom::Element;

use super::super::dialect::Dialect;
use super::super::stanza::StanzaFault;
use crate::model::{NodeRef, Timestamp};

/// Operations that can be read; what `getCapabilities` may list.
pub const OPERATIONS: &[&str] = &[
    "getCapabilities",
    "getAllDataSources",
    "getRootDataSources",
    "containsNode",
    "getNode",
    "getAllNodes",
    "getRootNodes",
    "getChildNodes",
    "getAncestors",
    "getNodeCommands",
    "subscribe",
    "unsubscribe",
];

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The generation asked in.
    pub dialect: Dialect,
    /// Language for names.
    pub lang: Option<String>,
    /// What.
    pub operation: Operation,
}

/// How much is told of each node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// With parameters.
    pub parameters: bool,
    /// With messages.
    pub messages: bool,
}

bitflags! {
    /// What a data source tells its subscribers.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct NodeEvents: u8 {
        /// A node is new.
        const ADDED = 1;
        /// A node is different.
        const UPDATED = 2;
        /// A node's health changed.
        const STATUS = 4;
        /// A node is gone.
        const REMOVED = 8;
        /// A node went up among its siblings.
        const MOVED_UP = 16;
        /// A node went down among its siblings.
        const MOVED_DOWN = 32;
    }
}

/// The operations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operation {
    GetCapabilities,
    GetAllDataSources,
    GetRootDataSources,
    ContainsNode(NodeRef),
    GetNode {
        node: NodeRef,
        detail: Detail,
    },
    GetAllNodes {
        source: String,
        detail: Detail,
        /// Only nodes of these types; empty: of any.
        types: Vec<String>,
    },
    GetRootNodes {
        source: String,
        detail: Detail,
    },
    GetChildNodes {
        node: NodeRef,
        detail: Detail,
    },
    /// The node itself, its parent, and so on to the root.
    GetAncestors {
        node: NodeRef,
        detail: Detail,
    },
    GetNodeCommands(NodeRef),
    Subscribe {
        source: String,
        /// Seconds; none in the first generation, which knows no end.
        ttl_s: Option<u64>,
        /// First tell what happened since.
        since: Option<Timestamp>,
        detail: Detail,
        events: NodeEvents,
    },
    Unsubscribe {
        source: String,
        events: NodeEvents,
    },
    /// One that we do not serve.
    Unsupported(String),
}

impl Request {
    /// Reads any operation.
    pub fn parse(payload: &Element, dialect: Dialect) -> Result<Self, StanzaFault> {
        let _ = (payload, dialect);
        Err(StanzaFault::not_implemented())
    }

    /// Writes it; whether it goes into an iq set is [`Operation::changes`].
    pub fn to_element(&self) -> Element {
        Element::bare("getCapabilities", self.dialect.concentrator_ns())
    }
}

impl Operation {
    /// Whether it goes into an iq set.
    pub const fn changes(&self) -> bool {
        matches!(self, Self::Subscribe { .. } | Self::Unsubscribe { .. })
    }

    /// The request's element name.
    pub fn name(&self) -> &str {
        "getCapabilities"
    }
}
