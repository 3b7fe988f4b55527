//! May it? Owns the operator's rules and grants, and the permits that pass for having asked.
//!
//! Knows no stanza and no socket: it compares names, nodes and addresses with what the operator wrote. Everything is denied
//! that no rule allows. Only this module makes permits, so whoever holds one has asked.

pub mod access;
mod door;
mod glob;
pub mod grant;
mod http;
pub mod permit;
mod queue;
pub mod share;

pub use access::{Access, May, Policy, Rule};
pub use door::{Door, DoorError, Unwelcome};
pub use glob::Glob;
pub use grant::{
    AddressRange, Carrier, ConnectPermit, Grant, GrantError, Grants, Group, GroupPermit, Interface, ListenPermit,
    Listener, Permit, Refusal, RequestPermit, Scheme, Target,
};
pub use http::{HttpError, HttpRule, HttpTarget, Ways, path_of};
pub use permit::{ControlPermit, Denial, ReadPermit, SeePermit};
pub use queue::QueueRule;
pub use share::Share;
