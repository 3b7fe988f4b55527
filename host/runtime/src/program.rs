//! What the supervisor runs: programs and their instances, sandboxed or native.
//!
//! Owns the difference between the guest's business (actions, failures inside events) and the end of the guest ([`Fault`]).

use std::future::{Future, ready};
use std::pin::Pin;
use std::time::Duration;

use tombolo_core::model::bridge::{Description, StartInput, State};
use tombolo_core::model::{Action, Event, Timestamp, limits};

use crate::check;

/// A call into an instance under way.
pub type Calling<'a, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'a>>;

/// What ended an instance. After one, the instance must be dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A call took longer than the operator allows.
    #[error("deadline: a call took longer than {} ms", .0.as_millis())]
    Deadline(Duration),
    /// It wanted more memory than the operator allows.
    #[error("memory: wanted {wanted} bytes, {limit} are allowed")]
    Memory {
        /// Bytes it would have had.
        wanted: usize,
        /// Bytes it may have.
        limit: usize,
    },
    /// It recursed too deep.
    #[error("stack overflow: more than {} bytes of stack", limits::INSTANCE_STACK_BYTES)]
    Stack,
    /// It panicked or did something that WebAssembly forbids.
    #[error("trap: {0}")]
    Trap(String),
    /// It answered with something that the contract forbids.
    #[error("contract violated: {0}")]
    Contract(String),
    /// `start` returned an error, which is for the operator. The same input would give it again.
    #[error("refused to start: {0}")]
    Refused(String),
}

/// What one instance may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceLimits {
    /// Memories and tables together.
    pub memory_bytes: usize,
    /// For one call, in time that the guest really ran.
    pub deadline: Duration,
}

impl Default for InstanceLimits {
    fn default() -> Self {
        Self { memory_bytes: limits::INSTANCE_MEMORY_BYTES, deadline: Duration::from_millis(limits::CALL_DEADLINE_MS) }
    }
}

/// Something that can be instantiated: a [`Package`](crate::Package), or a native stand-in for tests and simulation.
pub trait Program: Send + Sync + 'static {
    /// What it says of itself.
    fn description(&self) -> &Description;
    /// SHA-256 of its file in hexadecimal; whatever tells versions apart for native programs.
    fn hash(&self) -> &str;
    /// A new instance that has not been started.
    fn instantiate(&self, limits: InstanceLimits) -> Calling<'_, Box<dyn Instance>>;
}

/// One running mapper. **Call `start` first and once; after a [`Fault`] call nothing and drop it.**
pub trait Instance: Send {
    /// The first call.
    fn start(&mut self, input: StartInput) -> Calling<'_, Vec<Action>>;
    /// What happened, in order.
    fn handle(&mut self, events: Vec<Event>, now: Timestamp) -> Calling<'_, Vec<Action>>;
    /// Everything that the next version needs; changes nothing.
    fn carry_over(&mut self) -> Calling<'_, State>;
    /// Last words.
    fn stop(&mut self, now: Timestamp) -> Calling<'_, Vec<Action>>;
}

/// A mapper in this process, for tests, simulation and comparison. Its answers are checked like those of a guest; it has no deadline.
pub trait NativeInstance: Send + 'static {
    /// As [`Instance::start`].
    fn start(&mut self, input: StartInput) -> Result<Vec<Action>, Fault>;
    /// As [`Instance::handle`].
    fn handle(&mut self, events: Vec<Event>, now: Timestamp) -> Result<Vec<Action>, Fault>;
    /// As [`Instance::carry_over`].
    fn carry_over(&mut self) -> Result<State, Fault>;
    /// As [`Instance::stop`].
    fn stop(&mut self, now: Timestamp) -> Result<Vec<Action>, Fault>;
}

/// A native program: a description and a way to make instances.
pub struct Native<F> {
    description: Description,
    hash: String,
    make: F,
}

impl<F, I> Native<F>
where
    F: Fn() -> I + Send + Sync + 'static,
    I: NativeInstance,
{
    /// `hash` only has to tell this program from others.
    pub fn new(description: Description, hash: impl Into<String>, make: F) -> Self {
        Self { description, hash: hash.into(), make }
    }
}

impl<F, I> Program for Native<F>
where
    F: Fn() -> I + Send + Sync + 'static,
    I: NativeInstance,
{
    fn description(&self) -> &Description {
        &self.description
    }

    fn hash(&self) -> &str {
        &self.hash
    }

    fn instantiate(&self, _limits: InstanceLimits) -> Calling<'_, Box<dyn Instance>> {
        let instance: Box<dyn Instance> = Box::new(Checked((self.make)()));
        Box::pin(ready(Ok(instance)))
    }
}

struct Checked<I>(I);

impl<I: NativeInstance> Instance for Checked<I> {
    fn start(&mut self, input: StartInput) -> Calling<'_, Vec<Action>> {
        Box::pin(ready(self.0.start(input).and_then(check::actions)))
    }

    fn handle(&mut self, events: Vec<Event>, now: Timestamp) -> Calling<'_, Vec<Action>> {
        Box::pin(ready(self.0.handle(events, now).and_then(check::actions)))
    }

    fn carry_over(&mut self) -> Calling<'_, State> {
        Box::pin(ready(self.0.carry_over().and_then(check::state)))
    }

    fn stop(&mut self, now: Timestamp) -> Calling<'_, Vec<Action>> {
        Box::pin(ready(self.0.stop(now).and_then(check::actions)))
    }
}
