//! What a data source tells its subscribers.

use minidom::Element;

use super::super::dialect::Dialect;
use super::node::{HealthState, NodeInfo, NodeMessage};
use crate::model::{NodeRef, Timestamp};

/// Something happened to a node.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum NodeEvent {
    Added {
        /// The sibling that it follows.
        after: Option<NodeRef>,
        node: NodeInfo,
    },
    Updated {
        /// Its former id, if that changed.
        old_id: Option<String>,
        node: NodeInfo,
    },
    Status {
        node: NodeRef,
        state: HealthState,
        messages: Vec<NodeMessage>,
    },
    Removed(NodeRef),
}

/// The payload of the message that tells of it.
pub fn event(dialect: Dialect, event: &NodeEvent, at: Timestamp) -> Element {
    let _ = (event, at);
    Element::bare("nodeRemoved", dialect.concentrator_ns())
}
