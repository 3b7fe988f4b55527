//! The concentrator: data sources, nodes, their parameters, commands and queries, and events about nodes, for both sides (spec: concentrator).

mod answer;
mod command;
mod event;
mod node;
mod query;
mod request;

pub use answer::{Answer, DataSource, Reply, answer, node_bytes, refuse, refuse_form};
pub use command::{Command, CommandKind};
pub use event::{NodeEvent, event};
pub use node::{HealthState, MessageKind, NodeInfo, NodeMessage, NodeParameter};
pub use query::{Cell, Column, MessageLevel, QueryItem, QueryMessageKind, QueryProgress};
pub use request::{Detail, Head, NodeEvents, OPERATIONS, Operation, Request, Targets};
