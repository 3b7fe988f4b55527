//! The concentrator's read-only part: data sources, nodes, and events about nodes, for both sides (spec: concentrator).

mod answer;
mod event;
mod node;
mod request;

pub use answer::{Answer, DataSource, Reply, answer, refuse};
pub use event::{NodeEvent, event};
pub use node::{HealthState, MessageKind, NodeInfo, NodeMessage, NodeParameter};
pub use request::{Detail, NodeEvents, OPERATIONS, Operation, Request};
