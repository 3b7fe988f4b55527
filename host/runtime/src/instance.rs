//! One guest in its store: memory meter, deadline, and what an error of wasmtime means. Owns the store; knows no contract version.
//!
//! The deadline counts ticks of the epoch in which the guest ran, not time on the wall: a machine that is busy elsewhere does not end
//! guests. At each tick the guest gives its worker thread to its neighbours.

use std::time::Duration;

use tombolo_core::model::bridge::{Description, StartInput, State};
use tombolo_core::model::{Action, Event, Timestamp, limits};
use wasmtime::{ResourceLimiter, Store, Trap, UpdateDeadline};

use crate::check;
use crate::contract::{Contract, Guest};
use crate::engine::Engine;
use crate::program::{Calling, Fault, Instance, InstanceLimits};

/// What the host keeps beside a guest.
pub(crate) struct Host {
    ticks_left: u64,
    meter: Meter,
}

pub(crate) struct Sandboxed {
    store: Store<Host>,
    guest: Guest,
    limits: InstanceLimits,
}

impl Sandboxed {
    pub(crate) async fn new(engine: &Engine, contract: &Contract, limits: InstanceLimits) -> Result<Self, Fault> {
        let mut store = new_store(engine, limits);
        rewind(&mut store, limits);
        let guest = contract.instantiate(&mut store).await;
        let guest = guest.map_err(|error| fault(&error, limits))?;
        Ok(Self { store, guest, limits })
    }

    pub(crate) async fn describe(&mut self) -> Result<Description, Fault> {
        rewind(&mut self.store, self.limits);
        let described = self.guest.describe(&mut self.store).await;
        described.map_err(|error| fault(&error, self.limits))
    }
}

impl Instance for Sandboxed {
    fn start(&mut self, input: StartInput) -> Calling<'_, Vec<Action>> {
        Box::pin(async move {
            rewind(&mut self.store, self.limits);
            let started = self.guest.start(&mut self.store, input).await;
            let started = started.map_err(|error| fault(&error, self.limits))?;
            started.map_err(|reason| Fault::Refused(cut(reason))).and_then(check::actions)
        })
    }

    fn handle(&mut self, events: Vec<Event>, now: Timestamp) -> Calling<'_, Vec<Action>> {
        Box::pin(async move {
            rewind(&mut self.store, self.limits);
            let actions = self.guest.handle(&mut self.store, events, now).await;
            actions.map_err(|error| fault(&error, self.limits)).and_then(check::actions)
        })
    }

    fn carry_over(&mut self) -> Calling<'_, State> {
        Box::pin(async move {
            rewind(&mut self.store, self.limits);
            let state = self.guest.carry_over(&mut self.store).await;
            state.map_err(|error| fault(&error, self.limits)).and_then(check::state)
        })
    }

    fn stop(&mut self, now: Timestamp) -> Calling<'_, Vec<Action>> {
        Box::pin(async move {
            rewind(&mut self.store, self.limits);
            let actions = self.guest.stop(&mut self.store, now).await;
            actions.map_err(|error| fault(&error, self.limits)).and_then(check::actions)
        })
    }
}

fn new_store(engine: &Engine, limits: InstanceLimits) -> Store<Host> {
    let meter = Meter { used: 0, limit: limits.memory_bytes, last: 0 };
    let mut store = Store::new(engine.wasmtime(), Host { ticks_left: 0, meter });
    store.limiter(|host| &mut host.meter);
    store.set_hostcall_fuel(limits::CALL_RESULT_BYTES_MAX);
    store.epoch_deadline_callback(|mut store| {
        let host = store.data_mut();
        host.ticks_left = host.ticks_left.saturating_sub(1);
        Ok(match host.ticks_left {
            0 => UpdateDeadline::Interrupt,
            // Not `epoch_deadline_async_yield_and_update`: its yield wakes the task at once and starves a current-thread runtime.
            _ => UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())),
        })
    });
    store
}

/// A new call has its whole deadline before it.
fn rewind(store: &mut Store<Host>, limits: InstanceLimits) {
    let tick = Duration::from_millis(limits::EPOCH_TICK_MS);
    let ticks = limits.deadline.as_nanos().div_ceil(tick.as_nanos());
    // The first tick may come at once.
    store.data_mut().ticks_left = u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1);
    store.set_epoch_deadline(1);
}

fn fault(error: &wasmtime::Error, limits: InstanceLimits) -> Fault {
    if let Some(&MemoryRefused { wanted }) = error.downcast_ref() {
        return Fault::Memory { wanted, limit: limits.memory_bytes };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Fault::Deadline(limits.deadline),
        Some(Trap::StackOverflow) => Fault::Stack,
        _ => Fault::Trap(cut(error.root_cause().to_string())),
    }
}

/// What a guest says must not fill the log.
fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(limits::LOG_LINE_BYTES_MAX));
    text
}

/// Counts what all memories and tables of an instance take together.
struct Meter {
    used: usize,
    limit: usize,
    /// What the last growth took, to be given back if it comes to nothing.
    last: usize,
}

/// More memory than allowed: a trap, because hardly a guest survives the `-1` that it would get otherwise.
#[derive(Debug, thiserror::Error)]
#[error("memory limit: wanted {wanted} bytes")]
struct MemoryRefused {
    wanted: usize,
}

impl Meter {
    fn grow(&mut self, bytes: usize) -> wasmtime::Result<bool> {
        let wanted = self.used.saturating_add(bytes);
        if wanted > self.limit {
            return Err(wasmtime::Error::new(MemoryRefused { wanted }));
        }
        self.used = wanted;
        self.last = bytes;
        Ok(true)
    }

    fn give_back(&mut self) {
        self.used = self.used.saturating_sub(std::mem::take(&mut self.last));
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(desired.saturating_sub(current))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.give_back();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(desired.saturating_sub(current).saturating_mul(size_of::<usize>()))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.give_back();
        Ok(())
    }
}
