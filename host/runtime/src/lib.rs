//! The sandbox: loads mapper components and keeps bridges running.
//!
//! This crate alone knows wasmtime and knows nothing of XMPP. An [`Engine`] turns the bytes of a file into a [`Package`]; [`spawn`] puts
//! a [`Program`] (a package, or a native stand-in) to work as a [`Bridge`]: one task, a bounded mailbox, batches of events, a deadline for
//! each call. Whatever a guest does, its own instance ends and nothing else: see [`Fault`].

mod cache;
mod check;
mod contract;
mod engine;
mod instance;
mod journal;
mod package;
mod program;
mod replay;
mod supervisor;

pub use engine::{Engine, EngineError};
pub use package::{Package, PackageError};
pub use program::{Calling, Fault, Instance, InstanceLimits, Native, NativeInstance, Program};
pub use replay::{ReplayError, Replayed, replay};
pub use supervisor::{
    Bridge, BridgeOutput, BridgeSettings, CALL_CLASSES_US, CallCounts, Clock, CommandRefused, Output, spawn,
    system_clock,
};
