//! What there is: nodes, fields, values, readings, and what a mapper and its host say to each other.
//!
//! The model knows no protocol and no dialect. Its types are plain data; where a constructor guards an invariant the fields are private.

pub mod account;
pub mod bridge;
pub mod custody;
pub mod fault;
pub mod field;
pub mod limits;
pub mod node;
pub mod now;
pub mod party;
pub mod reading;
pub mod secret;
pub mod value;

pub use account::{Account, Server, TlsMode};
pub use bridge::{Action, Event};
pub use fault::{Failure, ReasonCode};
pub use field::{Constraint, Field, FieldKinds, Quality};
pub use jid::{BareJid, FullJid, Jid};
pub use node::{Command, HOPS, Node, NodeRef, NodeState, ORIGIN, Readout};
pub use now::Timestamp;
pub use party::Tokens;
pub use reading::{FieldValue, Localization, LocalizationStep, NodeReading, Reading, Sample, Setting};
pub use secret::Secret;
pub use value::{Decimal, Value, ValueType};
