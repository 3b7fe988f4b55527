//! What a tombolo mapper in Rust is written with.
//!
//! A mapper is a pure state machine: events in, actions out. Implement [`Mapper`], name it in [`export!`], and build for
//! `wasm32-unknown-unknown`. The same type runs natively under [`testing::Harness`]. `README.md` beside this crate walks through it.
//!
//! This crate owns the trait, the glue to the contract and small tools without policy: an action list, named timers, stream
//! framing, exact decimals, the calendar, what becomes of an earlier state. It never does I/O, reads a clock or parses settings.

#[doc(hidden)]
pub mod bindings;
mod build;
pub mod calendar;
mod decimal;
pub mod framing;
mod glue;
#[cfg(feature = "serde")]
mod json;
mod mapper;
#[cfg(target_arch = "wasm32")]
mod memory;
mod output;
mod saved;
pub mod testing;
mod timers;

/// The harmonised model: nodes, fields, values, readings.
pub mod model {
    pub use crate::bindings::exports::tombolo::mapper::model::*;
}
/// What the host tells a mapper.
pub mod events {
    pub use crate::bindings::exports::tombolo::mapper::events::*;
}
/// What a mapper asks of the host.
pub mod actions {
    pub use crate::bindings::exports::tombolo::mapper::actions::*;
}

pub use actions::{Action, Level, Report};
pub use bindings::exports::tombolo::mapper::guest::{Description, EndpointNeed, Granted, StartInput, Why};
pub use decimal::NotDecimal;
pub use events::{Connection, Event, Read, Request, Write};
#[doc(hidden)]
pub use glue::Slot;
pub use mapper::Mapper;
pub use model::{
    Command, Constraint, Decimal, Extra, Failure, Field, FieldKinds, FieldNumber, Node, NodeNumber, NodeState, Quality,
    Reading, Readout, ReasonCode, Sample, Setting, State, Timestamp, Value, ValueType,
};
pub use output::Actions;
pub use timers::Timers;
